/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_PGTABLE_H
#define IOMMU_PGTABLE_PGTABLE_H

/*
 * Page tables on simulated physical memory: what a driver would have written, so what a device's walker reads.
 *
 * A format is one file with one const struct pgtable_ops and one row in formats.c. All sizes in bytes, all addresses
 * 64-bit, last addresses inclusive.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/core/sim.h"

enum pgtable_prot {
	PROT_READ = 1 << 0,
	PROT_WRITE = 1 << 1,
	PROT_CACHE = 1 << 2,
	PROT_NOEXEC = 1 << 3,
	PROT_MMIO = 1 << 4,
	PROT_PRIV = 1 << 5,
};

/* Names clash with <sys/mman.h>, which nothing here includes. */

struct pgtable_config {
	unsigned ias_bits; /* width of an IOVA */
	unsigned oas_bits; /* width of a physical address */
	unsigned top_level; /* of the root table; 0 is the last level: 3 for four levels */
	bool force_coherence; /* VT-d: snoop bit in every leaf */
	bool force_writeable; /* VT-d: read-only maps are refused */
	bool incoherent;      /* the walker does not snoop CPU caches: each written run of entries is flushed */
};

struct pgtable;

/** What an unmap must invalidate, and the table pages to free once that is done. Sources: iommu_iotlb_gather. */
struct pgtable_gather {
	uint64_t start;	    /* first address; UINT64_MAX when empty */
	uint64_t end;	    /* last address; 0 when empty */
	uint64_t *freelist; /* table pages taken out, to be freed after the invalidation */
	uint32_t free_count;
	uint32_t free_capacity;
};

static inline void pgtable_gather_init(struct pgtable_gather *gather)
{
	gather->start = UINT64_MAX;
	gather->end = 0;
	gather->free_count = 0;
}

static inline bool pgtable_gather_empty(const struct pgtable_gather *gather)
{
	return gather->start > gather->end;
}

/** What a device's walk found on its way, for walk caches and time. */
struct pgtable_walk {
	uint64_t paddr;		 /* of the IOVA asked for */
	uint64_t leaf_size;	 /* of the page that maps it */
	unsigned prot;
	unsigned levels_touched; /* entries read, the leaf's included */
	uint64_t table[6];	 /* table[level]: address of the table read at that level, 0 where none */
	unsigned stop_level;	 /* level of the last entry read */
};

struct pgtable_ops {
	const char *name; /* "vtdss" */
	const char *description;
	uint64_t page_sizes; /* bitmap of supported leaf sizes */
	size_t state_size;   /* of the format's own struct, which begins with struct pgtable */
	/** Sets up an empty table. Returns 0 or a negative errno (-EINVAL for a geometry the format lacks, -ENOMEM). */
	int (*init)(struct pgtable *pt);
	/** Maps [@iova, @iova + @len) to @paddr on. *@mapped says how far it came, also on failure: -ENOMEM, -EADDRINUSE,
	 *  -ERANGE, -EINVAL. What was mapped stays; tables linked on the way stay. */
	int (*map_range)(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			 uint64_t *mapped);
	/** Unmaps, adding to @gather. Returns how many bytes were mapped there from @iova on without a hole. */
	uint64_t (*unmap_range)(struct pgtable *pt, uint64_t iova, uint64_t len, struct pgtable_gather *gather);
	/** Walks as the device does. Returns whether @iova is mapped; *@ret_walk is filled in either case. */
	bool (*walk)(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk);
	/** Calls @fn for every leaf in ascending order. */
	void (*dump)(const struct pgtable *pt,
		     void (*fn)(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw),
		     void *data);
	/** Frees all tables. */
	void (*finish)(struct pgtable *pt);
};

struct pgtable {
	const struct pgtable_ops *ops;
	struct sim *sim;
	struct pgtable_config config;
	uint64_t root_paddr;
	uint32_t table_pages; /* linked now, the root included; pages on a gather's list no longer count */
	uint64_t pte_writes;
};

/** The formats, NULL-ended. */
extern const struct pgtable_ops *const pgtable_formats[];

/** Makes a page table of @format on @sim's memory. Returns 0 with *@ret_pt, or a negative errno. */
int pgtable_new(struct sim *sim, const struct pgtable_ops *format, const struct pgtable_config *config,
		struct pgtable **ret_pt);
void pgtable_free(struct pgtable *pt);

/** Frees the table pages of @gather and empties it; the caller has invalidated. */
void pgtable_gather_free(struct sim *sim, struct pgtable_gather *gather);

/** Allocates one zeroed table page through fault point pgtable.page. Returns 0 with *@ret_paddr, or -ENOMEM. For formats. */
int pgtable_page_alloc(struct pgtable *pt, uint64_t *ret_paddr);

/** Puts a table page that is no longer linked on @gather's list. For formats. */
void pgtable_gather_add_page(struct pgtable *pt, struct pgtable_gather *gather, uint64_t paddr);

#endif
