/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_IOTLB_H
#define IOMMU_IOTLB_IOTLB_H

/*
 * What an IOMMU remembers of its page tables: leaf translations (IOTLB) and paging-structure entries (walk
 * cache), tagged with their domain. Entries stay until they are replaced or invalidated, whatever happens to
 * the table meanwhile.
 *
 * The IOTLB is set associative; a page's set follows from its domain and its own page number, so a 2 MiB page
 * takes one entry and a lookup tries each page size that is present. The walk cache is fully associative and
 * replaces what was used longest ago.
 *
 * A device's own translation cache (ATS) is another one of these, without a walk cache: what it misses it asks
 * the IOMMU for, through iotlb_translate_ats().
 */
#include <stdbool.h>
#include <stdint.h>

#include "iommu/pgtable/pgtable.h"
#include "sim/core/prng.h"

/** Which way of a full set a leaf is put into. */
enum iotlb_replacement {
	IOTLB_LRU,    /* used longest ago */
	IOTLB_PLRU,   /* tree pseudo-LRU: from the root on, the half that was not used last */
	IOTLB_RANDOM, /* drawn from the configuration's @prng */
	IOTLB_REPLACEMENTS,
};

/** "lru" and so on, NULL-ended. */
extern const char *const iotlb_replacement_names[IOTLB_REPLACEMENTS + 1];

#define IOTLB_PLRU_WAYS_MAX 64

struct iotlb_config {
	uint32_t entries; /* leaf translations; power of two, 0 switches the IOTLB off */
	uint32_t ways;	  /* power of two, at most entries; PLRU: at most IOTLB_PLRU_WAYS_MAX */
	enum iotlb_replacement replacement;
	/** Bitmap of the page sizes that a leaf can have; 0: whatever the table has. A larger page is held in
	 * pieces of the largest size below its own, each when it is used; one below all of them is not held. */
	uint64_t page_sizes;
	/** Paging-structure entries by level: how many places of tables of [level] are remembered. A level with 0
	 * has no entries of its own and shares @walk_entries with the others that have none. */
	uint32_t walk_level_entries[PGTABLE_LEVELS_MAX];
	uint32_t walk_entries;
	bool walk_caches_faults; /* also the tables of a walk that found no translation: Exynos SysMMU */
	struct prng prng; /* of IOTLB_RANDOM */
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
	bool requested;	      /* the device's own cache did not have it: ATS */
	uint8_t size_lg2;     /* of the entry or page that holds the translation */
	unsigned table_reads; /* memory accesses of the walk */
};

/** Translates as the device does: IOTLB, else walk cache and walk of @pt, then fill. Returns whether there is
 * a translation; *@ret_result is filled in either case. */
bool iotlb_translate(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
		     struct iotlb_result *ret_result);

/** The same for a device with a translation cache of its own, @device: only what that does not hold is asked of
 * the IOMMU's @tlb, and then held. @ret_result->hit tells of whichever answered. */
bool iotlb_translate_ats(struct iotlb *device, struct iotlb *tlb, unsigned domain, const struct pgtable *pt,
			 uint64_t iova, struct iotlb_result *ret_result);

/** [@first, @last] of @domain was unmapped at @time_ns, and nothing invalidated yet; @tables: table pages went as
 * well. Entries stay: this is for iotlb_gone_since(). */
void iotlb_unmapped(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool tables,
		    uint64_t time_ns);

/** Of a stale answer for @iova that @tlb has just given: finds when the mapping behind it was unmapped. Returns
 * false where that is not known: never mapped there, or too long ago (unmap-log.h). */
bool iotlb_gone_since(const struct iotlb *tlb, unsigned domain, uint64_t iova, uint64_t *ret_time_ns);

/** Drops every leaf entry of @domain that overlaps [@first, @last], and, unless @leaf_only (VT-d: IH = 1),
 * every paging-structure entry that does. */
void iotlb_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool leaf_only);

/** Drops every paging-structure entry of @domain that overlaps [@first, @last], and no leaf entry. */
void iotlb_invalidate_walks(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last);

/** Drops everything of @domain. */
void iotlb_invalidate_domain(struct iotlb *tlb, unsigned domain);

/** A leaf entry, as whoever can look at the hardware's entries one by one finds it. */
struct iotlb_entry {
	unsigned domain;
	uint64_t iova, paddr, size;
};

/** Reads entry @number: those of one set lie side by side, and a fully associative IOTLB has one set. Returns false where
 * there is nothing, also beyond the last one. */
bool iotlb_entry(const struct iotlb *tlb, uint32_t number, struct iotlb_entry *ret_entry);

/** Drops entry @number, which holds something, and no other, whatever overlaps it. */
void iotlb_invalidate_entry(struct iotlb *tlb, uint32_t number);

/** Calls @fn for every leaf entry, sorted by (domain, iova), smaller pages first. */
void iotlb_dump(const struct iotlb *tlb,
		void (*fn)(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			   unsigned prot),
		void *data);

/** A paging-structure entry: where the table of @level for [@first, @last] is remembered to lie. */
struct iotlb_walk {
	unsigned domain, level;
	uint64_t first, last; /* IOVAs, inclusive */
	uint64_t table;
};

/** Calls @fn for every paging-structure entry, in no order that means anything. */
void iotlb_dump_walks(const struct iotlb *tlb, void (*fn)(void *data, const struct iotlb_walk *walk), void *data);

const struct iotlb_stats *iotlb_stats(const struct iotlb *tlb);

#endif
