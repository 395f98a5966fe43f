/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_IOTLB_H
#define IOMMU_IOTLB_IOTLB_H

/*
 * What an IOMMU remembers of its page tables: leaf translations (IOTLB) and paging-structure entries (walk
 * cache), tagged with their domain. Entries stay until they are replaced or invalidated, whatever happens to
 * the table meanwhile.
 *
 * The IOTLB is set associative; a page's set follows from its domain and its own page number, so a 2 MiB page
 * takes one entry and a lookup tries each page size that is present. Both caches replace what was used
 * longest ago.
 */
#include <stdbool.h>
#include <stdint.h>

#include "iommu/pgtable/pgtable.h"

struct iotlb_config {
	uint32_t entries;      /* leaf translations; power of two, 0 switches the IOTLB off */
	uint32_t ways;	       /* power of two, at most entries */
	uint32_t walk_entries; /* paging-structure entries, fully associative by table span; 0: off */
	bool walk_caches_faults; /* also those of a walk that found no translation: Exynos SysMMU */
};

struct iotlb_stats {
	uint64_t lookups, hits, misses;
	uint64_t walk_hits;	/* misses shortened by a paging-structure entry */
	uint64_t table_reads;	/* entries read from memory */
	uint64_t invalidations; /* commands */
	uint64_t invalidated;	/* entries dropped */
};

#define IOTLB_DOMAINS 65536 /* domain numbers are below: 16 bits in VT-d and AMD, fewer elsewhere */

struct iotlb;

struct iotlb *iotlb_new(const struct iotlb_config *config);
void iotlb_free(struct iotlb *tlb);

struct iotlb_result {
	uint64_t paddr; /* 0 where there is no translation */
	unsigned prot;
	bool hit;   /* answered without a walk */
	bool stale; /* the answer, made of what was remembered, disagrees with the page table as it is now:
		     * unmapped, mapped elsewhere, with other permissions, or not found though mapped */
	unsigned table_reads; /* memory accesses of the walk */
};

/** Translates as the device does: IOTLB, else walk cache and walk of @pt, then fill. Returns whether there is
 * a translation; *@ret_result is filled in either case. */
bool iotlb_translate(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
		     struct iotlb_result *ret_result);

/** Drops every leaf entry of @domain that overlaps [@first, @last], and, unless @leaf_only (VT-d: IH = 1),
 * every paging-structure entry that does. */
void iotlb_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool leaf_only);

/** Drops everything of @domain. */
void iotlb_invalidate_domain(struct iotlb *tlb, unsigned domain);

/** Calls @fn for every leaf entry, sorted by (domain, iova), smaller pages first. */
void iotlb_dump(const struct iotlb *tlb,
		void (*fn)(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			   unsigned prot),
		void *data);

const struct iotlb_stats *iotlb_stats(const struct iotlb *tlb);

#endif
