/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_DMA_H
#define IOMMU_DMA_DMA_H

/*
 * The DMA layer on an IOMMU (dma-iommu): drivers hand in physical addresses and get IOVAs. Strict: an unmap invalidates,
 * waits, and frees the IOVA. Lazy: it puts the range into a flush queue (fq.h).
 *
 * Three ways in. One call, one mapping: dma_map_phys() and dma_unmap_phys(). One call for a list of pieces: sg.h. Two steps,
 * one IOVA for a whole request:
 *
 *	if (dma_iova_try_alloc(dev, &state, first_paddr, total_bytes)) {
 *		for each segment: err = dma_iova_link(dev, &state, paddr, linked_so_far, bytes, prot);
 *		err = dma_iova_sync(dev, &state, 0, total_bytes);
 *	}
 *	... device uses state.addr ...
 *	dma_iova_destroy(dev, &state, total_bytes);
 *
 * Addresses and lengths in bytes. Nothing here knows requests: who takes an IOVA is sim->actor. Source:
 * drivers/iommu/dma-iommu.c of Linux 7.0, blockdma-facts section 3.
 */
#include <stdbool.h>
#include <stdint.h>

#include "iommu/dma/fq.h"
#include "iommu/dma/swiotlb.h"
#include "iommu/iommu.h"
#include "iommu/iova/iova.h"
#include "sim/core/umap.h"

enum {
	FAULT_DMA_IOVA = FAULT_ROOM_DMA,
	FAULT_DMA_LINK,
	FAULT_DMA_SYNC,
	FAULT_DMA_BOUNCE,
};

extern const struct fault_table dma_fault_table;

#define DMA_MAPPING_ERROR UINT64_MAX

/** Which way the data go, and how they are mapped: the attributes are the bits of include/linux/dma-mapping.h. */
enum dma_flags {
	DMA_FROM_DEVICE = 0,
	DMA_TO_DEVICE = 1 << 0,
	DMA_ATTR_SKIP_CPU_SYNC = 1 << 5,     /* no cache maintenance */
	DMA_ATTR_MMIO = 1 << 10,	     /* memory of another device */
	DMA_ATTR_REQUIRE_COHERENT = 1 << 12, /* rather fail than bounce or flush */
};

#define DMA_ATTRS (~(unsigned)DMA_TO_DEVICE)

/** Largest mapping that the IOVA caches serve, in bytes: what drivers are told is optimal (32 CPU pages). */
#define DMA_OPT_MAPPING_SIZE (32u << FRAME_LG2)

/** By which call an IOVA was taken. */
enum dma_taker {
	DMA_TAKER_MAP_PHYS,
	DMA_TAKER_TRY_ALLOC,
	DMA_TAKER_COHERENT,
	DMA_TAKER_MAP_SG,
	DMA_TAKERS,
};

extern const char *const dma_taker_names[DMA_TAKERS];

/** An IOVA that somebody holds. */
struct dma_live {
	uint64_t iova;
	uint64_t len_bytes;
	enum dma_taker taker;
	bool to_device; /* of a single mapping */
	uint64_t actor; /* request number, 0: set-up */
	uint64_t time_ns;
	unsigned cpu;
};

/** A call of the DMA interface, or one below it, as it returns; for observers. What does not concern the kind is 0. */
enum dma_call_kind {
	DMA_CALL_TRY_ALLOC,	   /* @paddr, @size -> @addr, 0: none */
	DMA_CALL_LINK,		   /* @paddr, @offset, @size -> @err, @bounced */
	DMA_CALL_SYNC,		   /* @offset, @size -> @err */
	DMA_CALL_DESTROY,	   /* @size: as mapped; @allocated */
	DMA_CALL_MAP_PHYS,	   /* @paddr, @size -> @addr, or DMA_MAPPING_ERROR */
	DMA_CALL_UNMAP_PHYS,	   /* @addr, @size */
	DMA_CALL_MAP_SG,	   /* @paddr of the first entry, @size of all -> @addr of the first segment, or @err */
	DMA_CALL_UNMAP_SG,	   /* @addr of the first segment, @size of all */
	DMA_CALL_BUS_ADDR,	   /* @paddr -> @addr */
	DMA_CALL_VEC_ALLOC,	   /* a driver's record of mappings could not be had: @err */
	DMA_CALL_USE_64BIT,	   /* none below 4 GiB: these are no longer tried first */
	DMA_CALL_DEFERRED_ATTACH,  /* -> @err */
	DMA_CALL_CACHE_FOR_DEVICE, /* @paddr, @size are written back */
	DMA_CALL_CACHE_FOR_CPU,	   /* @paddr, @size are dropped */
	DMA_CALL_CACHE_FLUSH,	   /* and all that is done */
	DMA_CALL_BOUNCED,	   /* @paddr, @size: the trace event swiotlb_bounced */
	DMA_CALL_BOUNCE_MAP,	   /* @paddr, @size -> @addr and @slots, or DMA_MAPPING_ERROR */
	DMA_CALL_BOUNCE_SYNC,	   /* @addr, @size were copied back */
	DMA_CALL_BOUNCE_UNMAP,	   /* @addr, @size */
	DMA_CALL_BOUNCE_INACTIVE,  /* @paddr, @size should be bounced, and there is no pool */
};

struct dma_call {
	enum dma_call_kind kind;
	unsigned flags; /* of enum dma_flags */
	int err;
	uint32_t slots;
	bool bounced;
	uint64_t paddr, addr, offset, size, allocated;
};

struct dma_device;
struct dma_pool;
struct dma_pool_block;

/** Where memory that device and CPU share comes from, if not from the DMA layer itself: recordings have addresses of
 * their own for it. Each as the function without "memory" in its name, below. */
struct dma_memory_ops {
	int (*alloc_coherent)(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
			      uint64_t *ret_addr);
	void (*free_coherent)(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr);
	int (*pool_alloc)(struct dma_pool *pool, struct dma_pool_block *ret_block);
	void (*pool_free)(struct dma_pool *pool, const struct dma_pool_block *block);
	void *data;
};

/** How a device reaches the memory of another one. Source: enum pci_p2pdma_map_type. */
enum dma_p2p {
	DMA_P2P_NONE, /* it is ordinary memory */
	DMA_P2P_BUS_ADDR,
	DMA_P2P_HOST_BRIDGE,
	DMA_P2P_UNSUPPORTED,
};

/** Another device's memory. */
struct dma_p2p_window {
	enum dma_p2p kind; /* DMA_P2P_NONE: there is none */
	uint64_t first, last;
	uint64_t bus_offset; /* DMA_P2P_BUS_ADDR: of its addresses on the bus, modulo 2^64 */
};

struct dma_config {
	const char *name;      /* "nvme0" */
	struct dma_p2p_window p2p;
	uint64_t mask;	       /* highest address the device can use */
	uint64_t aperture_end; /* last address of the domain, inclusive */
	bool forcedac;	       /* iommu.forcedac=1: no 32-bit attempt first */
	bool incoherent;       /* the device does not see the CPU's caches */
	bool untrusted;	       /* it must see no more of memory than it was given: behind an external port */
	bool swiotlb_force;    /* swiotlb=force: without an IOMMU, everything is bounced */
	bool deferred_attach;  /* the domain is attached at the first use: a crash kernel */
	uint64_t min_align_mask; /* bits of an address that a bounce buffer must have as well: dma_set_min_align_mask() */
	struct swiotlb *swiotlb; /* bounce buffers, borrowed; NULL: there are none */
};

struct dma_stats {
	uint64_t map_calls, unmap_calls; /* dma_map_phys, dma_unmap_phys */
	uint64_t sg_map_calls, sg_unmap_calls; /* dma_map_sg, dma_unmap_sg */
	uint64_t iova_requests;		 /* dma_iova_try_alloc that succeeded */
	uint64_t links, syncs, destroys;
	uint64_t attempts_32bit_failed;
	uint64_t errors;
};

/** A device as the DMA layer sees it. */
struct dma_device {
	struct sim *sim;
	struct dma_config config;
	struct iommu_domain *domain; /* NULL: no IOMMU, addresses are physical */
	struct iova_domain *iovad;
	struct fq *fq; /* NULL: strict; set by the owner after dma_device_init(), who frees it */
	unsigned granule_lg2;
	bool try_32bit; /* PCI devices ask below 4 GiB first, until that fails once */
	bool special; /* maps and unmaps in other ways than a coherent device that is trusted: see dma_device_init() */
	bool need_unmap; /* see dma_need_unmap() */
	bool attach_deferred;
	const struct dma_memory_ops *memory; /* NULL, but for recordings */
	struct umap live;		     /* IOVA page -> struct dma_live, packed */
	struct dma_stats stats;
};

struct dma_iova_state {
	uint64_t addr; /* IOVA, with the offset of the first segment in its granule */
	uint64_t size; /* payload in bytes; 0: not in use */
	bool bounced;  /* some of it by way of a bounce buffer */
	bool to_device; /* of what was linked last */
};

/** Initialises *@dev for @domain (borrowed; NULL for no translation) and @iovad (borrowed, with caches). */
void dma_device_init(struct dma_device *dev, struct sim *sim, const struct dma_config *config,
		     struct iommu_domain *domain, struct iova_domain *iovad);
void dma_device_finish(struct dma_device *dev);

/** Whether the device is behind an IOMMU, so that a request may get one IOVA. */
static inline bool dma_use_iommu(const struct dma_device *dev)
{
	return dev->domain != NULL;
}

/** Whether what dma_map_phys() maps must be unmapped at all: not where addresses are physical, unless the CPU's caches or,
 *  once there was one, a bounce buffer have to be seen to. */
static inline bool dma_need_unmap(const struct dma_device *dev)
{
	return dev->need_unmap;
}

/** Returns the largest mapping that a driver may ask for: where all of it may be bounced, what a bounce buffer holds; UINT64_MAX:
 *  any. Source: dma_max_mapping_size() in kernel/dma/mapping.c, iommu_dma_max_mapping_size(). */
uint64_t dma_max_mapping_size(const struct dma_device *dev);

/** Returns the largest mapping that a driver should ask for: what the IOVA caches serve, or what a bounce buffer holds;
 *  UINT64_MAX: any. */
uint64_t dma_opt_mapping_size(const struct dma_device *dev);

/** Returns how the device reaches @paddr. */
static inline enum dma_p2p dma_p2p(const struct dma_device *dev, uint64_t paddr)
{
	const struct dma_p2p_window *window = &dev->config.p2p;

	return paddr >= window->first && paddr <= window->last ? window->kind : DMA_P2P_NONE;
}

/** Returns the bus address of @paddr, which is of kind DMA_P2P_BUS_ADDR. */
uint64_t dma_p2p_bus_addr(struct dma_device *dev, uint64_t paddr);

/** Maps @len bytes at @paddr. Returns the device's address, or DMA_MAPPING_ERROR with nothing left behind. A granule that an
 *  untrusted device would see more of is bounced; DMA_ATTR_MMIO and DMA_ATTR_REQUIRE_COHERENT fail then. */
uint64_t dma_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags);
/** Undoes dma_map_phys(); @len and @flags as given there. Else it is a finding, under the name that DMA debugging has for
 *  it: a wrong size, direction or function, an invalid address, or one that nobody holds. */
void dma_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags);

/** Takes an IOVA for @size bytes whose first segment is at @paddr. Returns false, with *@state zeroed, when the device
 *  has no IOMMU, cannot be attached, or there is no IOVA. */
bool dma_iova_try_alloc(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr, uint64_t size);
/** Maps @size bytes at @paddr at @offset in the state; the first and last granule become visible whole, or are bounced for
 *  an untrusted device. Returns 0, or a negative errno with nothing of this call mapped; under bounce-link = old a bounced
 *  link may leave some, and take away others' (defects D3, D4). */
int dma_iova_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr, uint64_t offset,
		  uint64_t size, unsigned flags);
/** Makes the links of [@offset, @offset + @size) known to the hardware. Returns 0 or a negative errno; links stay. */
int dma_iova_sync(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset, uint64_t size);
/** Unmaps the first @mapped bytes and frees the IOVA; @mapped = 0 only frees. Less than was allocated returns the IOVA in
 *  a smaller class (defect D5) unless rollback-iova-free = whole. */
void dma_iova_destroy(struct dma_device *dev, struct dma_iova_state *state, uint64_t mapped, unsigned flags);

/** Allocates zeroed memory that device and CPU share: 2^@order frames for @use. Returns 0 with both addresses, or -ENOMEM. */
int dma_alloc_coherent(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
		       uint64_t *ret_addr);
void dma_free_coherent(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr);

/** Returns whether @iova lies in an IOVA that somebody holds, and whose it is. Looks back at most the largest mapping. */
bool dma_live_find(const struct dma_device *dev, uint64_t iova, struct dma_live *ret_live);
/** Calls @fn for everything held, ascending. */
void dma_live_each(const struct dma_device *dev, void (*fn)(void *data, const struct dma_live *live),
		   void *data);
/** Returns "request 12 on cpu 3 at 1.23 ms (dma_map_phys)"; free with g_free(). */
char *dma_live_text(const struct dma_live *live);

/* ---- pools of small blocks in coherent memory (mm/dmapool.c): last freed first, a page more when none is free ---- */

struct dma_pool {
	struct dma_device *dev;
	const char *name;
	uint32_t block_bytes;
	uint32_t in_use;
	uint32_t page_count, page_capacity;
	struct dma_pool_page {
		uint64_t paddr, addr;
	} * pages;
	uint32_t free_count, free_capacity;
	struct dma_pool_block {
		uint64_t paddr, addr;
	} * free;
};

void dma_pool_init(struct dma_pool *pool, struct dma_device *dev, const char *name, uint32_t block_bytes);
/** Frees the pool's pages; blocks still in use are the caller's leak to report. */
void dma_pool_finish(struct dma_pool *pool);
/** Takes a block. Returns 0 with both addresses, or -ENOMEM. */
int dma_pool_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block);
void dma_pool_free(struct dma_pool *pool, struct dma_pool_block block);

#endif
