/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_PGTABLE_H
#define IOMMU_PGTABLE_PGTABLE_H

/*
 * Page tables on simulated physical memory: what a driver would have written, so what a device's walker
 * reads.
 *
 * A format is one file with one const struct pgtable_ops and one row in formats.c. What formats share is
 * here: pages come and go through pgtable_page_alloc() and the gather, and whatever is not on the hot path
 * (dump, finish, visit) is written once in pgtable.c on top of the format's decode(). Formats of the kernel's
 * generic_pt share its algorithm too: generic-pt.h. All sizes in bytes, all addresses 64-bit, last addresses
 * inclusive.
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

#define PGTABLE_LEVELS_MAX 6

struct pgtable_config {
	unsigned ias_bits;    /* width of an IOVA */
	unsigned oas_bits;    /* width of a physical address */
	unsigned top_level;   /* of the root table; 0 is the last level: 3 for four levels */
	bool force_coherence; /* VT-d: snoop bit in every leaf */
	bool force_writeable; /* VT-d: read-only maps are refused */
	bool incoherent; /* the walker does not snoop CPU caches: each written run of entries is flushed */
	/** What entries hold of a table page is its address plus this (modulo 2^64): 0, but for tables that
	 * must appear in low memory, as in 32-bit entries and in recordings. Every interface here speaks of
	 * the page's address. */
	uint64_t table_offset;
};

struct pgtable;

/** What an unmap must invalidate, and the table pages to free once that is done. Source:
 * include/linux/iommu.h, struct iommu_iotlb_gather. Zero it before the first pgtable_gather_init(), so that
 * @freelist starts as NULL. */
struct pgtable_gather {
	uint64_t start;	    /* first address; UINT64_MAX when empty */
	uint64_t end;	    /* last address; 0 when empty */
	uint64_t *freelist; /* table pages taken out, in the order they are freed after the invalidation */
	uint32_t free_count;
	uint32_t free_capacity;
	bool queued; /* the flush queue invalidates the whole domain later: no range is gathered */
};

/** Empties @gather, keeping the memory of its list. */
static inline void pgtable_gather_init(struct pgtable_gather *gather)
{
	gather->start = UINT64_MAX;
	gather->end = 0;
	gather->free_count = 0;
	gather->queued = false;
}

/** Returns whether there is nothing to invalidate. As in the kernel, a range of which nothing was mapped
 * leaves start above end, which is empty, but at IOVA 0, where end wraps around: that one invalidates
 * everything. */
static inline bool pgtable_gather_empty(const struct pgtable_gather *gather)
{
	return gather->start >= gather->end;
}

/** Adds [@iova, @iova + @len); @len may be 0. For formats. */
static inline void pgtable_gather_add_range(struct pgtable_gather *gather, uint64_t iova, uint64_t len)
{
	if (gather->queued)
		return;
	gather->start = MIN(gather->start, iova);
	gather->end = MAX(gather->end, iova + len - 1);
}

/** What a device's walk found on its way, for walk caches and time. */
struct pgtable_walk {
	uint64_t paddr;	    /* of the IOVA asked for */
	uint64_t leaf_size; /* of the page that maps it */
	unsigned prot;
	unsigned levels_touched;	    /* entries read, the leaf's included */
	uint64_t table[PGTABLE_LEVELS_MAX]; /* by level: the tables read, 0 where none */
	unsigned stop_level;		    /* level of the last entry read */
	const void *entry; /* the leaf, readable while the simulation lives; NULL where not mapped */
	uint64_t raw;	   /* what it holds */
};

enum pgtable_entry_kind {
	ENTRY_EMPTY,
	ENTRY_LEAF,
	ENTRY_TABLE,
};

/** One entry, taken apart. */
struct pgtable_entry {
	enum pgtable_entry_kind kind;
	uint64_t raw;
	uint64_t attr;	/* of an entry that points to a table: @raw without the address */
	uint64_t paddr; /* of the leaf's page, or of the table */
	unsigned prot;	/* of a leaf */
};

struct pgtable_ops {
	const char *name; /* "vtdss" */
	const char *description;
	uint64_t page_sizes; /* bitmap of supported leaf sizes */
	size_t state_size;   /* of the format's own struct, which begins with struct pgtable */
	/** Sets up an empty table. Returns 0 or a negative errno (-EINVAL for a geometry the format lacks,
	 * -ENOMEM). */
	int (*init)(struct pgtable *pt);
	/** Maps [@iova, @iova + @len) to @paddr on. *@mapped says how far it came, also on failure: -ENOMEM,
	 * -EADDRINUSE, -ERANGE, -EINVAL, and -ENXIO where no page size fits the alignment. What was mapped
	 * stays; tables linked on the way stay. Empty tables that a larger page replaces go through pt->sync
	 * and are freed before it returns. */
	int (*map_range)(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			 uint64_t *mapped);
	/** Unmaps, adding to @gather. Returns how many bytes were mapped there from @iova on without a hole:
	 * more than
	 *  @len where @len ended inside a larger page, 0 where @iova lies inside one. */
	uint64_t (*unmap_range)(struct pgtable *pt, uint64_t iova, uint64_t len,
				struct pgtable_gather *gather);
	/** Walks as the device does. Returns whether @iova is mapped; *@ret_walk is filled in either case. */
	bool (*walk)(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk);
	/** Goes on with a walk at the table of @level at @table, as a device does that remembers where it
	 * lies. The page may have been freed since: what is no longer memory with bytes translates nothing.
	 */
	bool (*walk_from)(const struct pgtable *pt, uint64_t iova, unsigned level, uint64_t table,
			  struct pgtable_walk *ret_walk);
	/** What the table says of @iova, by the shortest way and without a word on how a device would find
	 * it. Returns false and leaves *@ret_paddr and *@ret_prot alone where nothing is mapped. */
	bool (*lookup)(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr, unsigned *ret_prot);
	/** Takes the entry at @index of a table of @level apart; @table is where its bytes are. */
	void (*decode)(const struct pgtable *pt, unsigned level, const void *table, uint32_t index,
		       struct pgtable_entry *ret_entry);
	/** Appends the register values that point hardware at the table, "name=value" with spaces between. */
	void (*root_registers)(const struct pgtable *pt, GString *out);
};

/** Hears of the side effects on table memory; any member may be NULL. For recordings and tests. */
struct pgtable_watch {
	bool (*deny_page)(void *data, uint64_t size); /* whether this allocation is to fail */
	void (*page_alloc)(void *data, uint64_t paddr, uint64_t size);
	void (*page_free)(void *data, uint64_t paddr, uint64_t size); /* by pgtable_free(), not by a gather */
	void (*cache_flush)(void *data, uint64_t paddr, uint64_t len_bytes);
	void *data;
};

/** Geometry of one level: a table of 2^@index_lg2 entries, each spanning 2^@span_lg2 bytes of IOVA. */
struct pgtable_level {
	uint8_t span_lg2;
	uint8_t index_lg2;
};

struct pgtable {
	const struct pgtable_ops *ops;
	struct sim *sim;
	struct pgtable_config config;
	uint64_t root_paddr;
	uint32_t table_pages; /* linked now, the root included; pages on a gather's list no longer count */
	uint64_t pte_writes;
	uint64_t cache_flushes; /* runs of entries flushed for an incoherent walker */

	/* Filled by the format's init. */
	struct pgtable_level levels[PGTABLE_LEVELS_MAX]; /* [0] is the last level */
	uint8_t entry_bytes;

	/** Grows when a table page is unlinked. As long as it stays, what was found in a table page is what
	 * the device would find there now. No two tables of a simulation ever have the same value. */
	uint64_t table_generation;

	/** Invalidates what @gather says, before map_range() frees the empty tables that it replaced:
	 * iommu_iotlb_sync(). NULL where nothing remembers tables. */
	void (*sync)(struct pgtable *pt, const struct pgtable_gather *gather, void *data);
	void *sync_data;
	const struct pgtable_watch *watch;
};

/** The formats, NULL-ended. */
extern const struct pgtable_ops *const pgtable_formats[];

/** Returns the format called @name, or NULL. */
const struct pgtable_ops *pgtable_format(const char *name);

/** Makes a page table of @format on @sim's memory. Returns 0 with *@ret_pt, or a negative errno. */
int pgtable_new(struct sim *sim, const struct pgtable_ops *format, const struct pgtable_config *config,
		struct pgtable **ret_pt);

/** The same with @watch (borrowed until pgtable_free(), or NULL) hearing of the root already. */
int pgtable_new_watched(struct sim *sim, const struct pgtable_ops *format,
			const struct pgtable_config *config, const struct pgtable_watch *watch,
			struct pgtable **ret_pt);
void pgtable_free(struct pgtable *pt);

/** Frees the table pages of @gather and empties it; the caller has invalidated. */
void pgtable_gather_free(struct sim *sim, struct pgtable_gather *gather);

/** Frees what @gather holds in host memory. Its table pages must have been freed. */
void pgtable_gather_finish(struct pgtable_gather *gather);

/** Calls @fn for every leaf in ascending order. */
void pgtable_dump(const struct pgtable *pt,
		  void (*fn)(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			     uint64_t raw),
		  void *data);

/** What pgtable_visit() calls, any of them NULL: @table for each table before its entries, @entry for each
 * entry that is not empty, after which the table it points to, if it does, is next once all entries of this
 * table are done. */
struct pgtable_visitor {
	void (*table)(void *data, const char *path, unsigned level, uint64_t paddr, uint32_t entries);
	void (*entry)(void *data, const char *path, unsigned level, uint32_t index,
		      const struct pgtable_entry *entry);
	void *data;
};

/** Visits all tables, depth first, in ascending order. @path names a table by the indices that lead to it:
 * "T.0.511". */
void pgtable_visit(const struct pgtable *pt, const struct pgtable_visitor *visitor);

/** The rest is for formats. */

/** Allocates one zeroed table page through fault point pgtable.page. Returns 0 with *@ret_paddr, or -ENOMEM.
 */
int pgtable_page_alloc(struct pgtable *pt, uint64_t *ret_paddr);

/** Puts a table page that is no longer linked at the end of @gather's list. */
void pgtable_gather_add_page(struct pgtable *pt, struct pgtable_gather *gather, uint64_t paddr);

/** Moves the pages from index @from on to the front of @gather's list, as iommu_pages_list_splice() does with
 * those of one call. */
void pgtable_gather_splice(struct pgtable_gather *gather, uint32_t from);

/** Puts all tables below the entry-holding table at @paddr, of @level, on @gather's list, each before its
 * own. */
void pgtable_gather_tables_below(struct pgtable *pt, struct pgtable_gather *gather, unsigned level,
				 uint64_t paddr);

/** Returns whether no leaf is reachable from the table at @paddr of @level. */
bool pgtable_is_empty(const struct pgtable *pt, unsigned level, uint64_t paddr);

/** Ends a map that replaced tables: lets pt->sync invalidate, then frees them. */
void pgtable_sync_replaced(struct pgtable *pt, struct pgtable_gather *gather);

/** Tells that [@paddr, @paddr + @len_bytes) of table memory was written and, the walker being incoherent,
 * flushed. */
void pgtable_cache_flush(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes);

/** Charges @count entries written or cleared. */
static inline void pgtable_wrote(struct pgtable *pt, uint64_t count)
{
	pt->pte_writes += count;
	sim_charge(pt->sim, WORK_PTE_WRITE, count);
}

/** Returns the entry that @entry points to. */
static inline uint64_t pgtable_entry_raw(const struct pgtable *pt, const void *entry)
{
	return pt->entry_bytes == sizeof(uint64_t) ? *(const uint64_t *)entry : *(const uint32_t *)entry;
}

/** Returns the bytes of the table page at @paddr. */
static inline void *pgtable_bytes(const struct pgtable *pt, uint64_t paddr)
{
	return physmem_bytes(&pt->sim->mem, paddr);
}

#endif
