/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_SWIOTLB_H
#define IOMMU_DMA_SWIOTLB_H

/*
 * The pool of bounce buffers (swiotlb): memory that a device may use in place of a buffer that it cannot reach, or whose
 * neighbourhood it must not see.
 *
 * A mapping has a run of slots, the first that is long enough. Its address ends as the buffer's does, so that the device
 * sees the same offset; what is asked to be aligned has its slots to itself, up to that alignment. Only addresses are
 * modelled: what is copied is counted, the bytes are not there. Source: kernel/dma/swiotlb.c of Linux 7.0, with one area
 * that is searched from its beginning.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct swiotlb_config {
	uint64_t base;	     /* physical address of slot 0, aligned to any alignment that is asked for */
	uint32_t slots;	     /* at least run_max */
	uint32_t slot_bytes; /* power of two; the kernel's IO_TLB_SIZE is 2 KiB */
	uint32_t run_max;    /* slots of one mapping at most (IO_TLB_SEGSIZE, 128); 0: all */
};

/** As the kernel starts with, and there. */
#define SWIOTLB_SLOT_BYTES 2048
#define SWIOTLB_RUN_MAX	   128

struct swiotlb_stats {
	uint64_t maps, unmaps;
	uint64_t full; /* maps that found no run */
	uint64_t copied_in_bytes, copied_out_bytes;
	uint64_t zeroed_bytes;	     /* around buffers of untrusted devices */
	uint32_t in_use, in_use_max; /* slots */
};

struct swiotlb {
	struct swiotlb_config config;
	struct swiotlb_stats stats;
	struct swiotlb_slot {
		bool used;
		uint64_t addr;	     /* of the mapping whose first byte lies here; 0: none does */
		uint32_t first, run; /* its slots */
	} * slots;
};

/** Returns a new, empty pool; free with swiotlb_free(). */
struct swiotlb *swiotlb_new(const struct swiotlb_config *config);
void swiotlb_free(struct swiotlb *pool);

/** Takes slots for @len bytes whose buffer is at @paddr. @align_mask, a power of two less one, is how far around them the
 *  device sees: that far they are the mapping's own; 0: it sees no further than the slots. @keep_mask, the like, has the
 *  bits in which the address must end as @paddr does, besides those. Returns the address with *@ret_slots, or 0 when no run
 *  is free. */
uint64_t swiotlb_map(struct swiotlb *pool, uint64_t paddr, uint64_t len, uint64_t align_mask,
		     uint64_t keep_mask, uint32_t *ret_slots);

/** Returns the longest mapping for which there can be a run, wherever the buffer begins in a page: the kernel's
 *  swiotlb_max_mapping_size() for a device that keeps the bits within a page. */
static inline uint64_t swiotlb_max_mapping_size(const struct swiotlb *pool)
{
	return (uint64_t)pool->config.run_max * pool->config.slot_bytes - 4096;
}

/** Whether a mapping begins at @addr: whether that is what swiotlb_map() returned, and it is still mapped. @pool may be
 *  NULL. */
bool swiotlb_holds(const struct swiotlb *pool, uint64_t addr);

/** Gives back the slots of the mapping that begins at @addr. */
void swiotlb_unmap(struct swiotlb *pool, uint64_t addr);

#endif
