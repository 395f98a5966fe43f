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
#define PGTABLE_ROOTS_MAX  4

/** What a driver asks of an io-pgtable format. Source: include/linux/io-pgtable.h, enum io_pgtable_quirks. */
enum pgtable_quirk {
	QUIRK_ARM_NS = 1 << 0,		 /* accesses are non-secure */
	QUIRK_NO_PERMS = 1 << 1,	 /* v7s: the hardware ignores permissions */
	QUIRK_ARM_MTK_EXT = 1 << 2,	 /* v7s: physical addresses above 32 bits */
	QUIRK_ARM_MTK_TTBR_EXT = 1 << 3, /* v7s: tables above 32 bits as well */
	QUIRK_ARM_TTBR1 = 1 << 4,	 /* the upper half of the address space */
	QUIRK_ARM_OUTER_WBWA = 1 << 5,	 /* a non-coherent walker uses the system cache */
	QUIRK_ARM_HD = 1 << 6,		 /* hardware marks dirty pages */
	QUIRK_ARM_S2FWB = 1 << 7,	 /* stage 2 attributes override those of stage 1 */
	QUIRK_NO_WARN = 1 << 8,		 /* refusals and holes come without a WARN */
};

struct pgtable_config {
	unsigned ias_bits;    /* width of an IOVA */
	unsigned oas_bits;    /* width of a physical address */
	unsigned top_level;   /* of the root table; 0 is the last level: 3 for four levels */
	uint64_t page_sizes;  /* io-pgtable: those asked for; 0: all that the format has */
	unsigned quirks;      /* io-pgtable: of enum pgtable_quirk */
	bool force_coherence; /* VT-d: snoop bit in every leaf; AMD: force-coherence bit */
	bool force_writeable; /* VT-d: read-only maps are refused */
	bool incoherent; /* the walker does not snoop CPU caches: each written run of entries is flushed */
	bool dynamic_top; /* AMD v1: a root is put above the root when an IOVA needs it; @top_level is the first */
	bool sign_extend; /* bits above @ias_bits repeat the highest of it, so both ends of the space are valid */
	bool contiguous_64k; /* RISC-V: 64 KiB leaves of 16 entries (Svnapot) */
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
	uint64_t page_size; /* of all pages in the range, for drivers that keep to one; 0: nobody said */
};

/** Empties @gather, keeping the memory of its list. */
static inline void pgtable_gather_init(struct pgtable_gather *gather)
{
	gather->start = UINT64_MAX;
	gather->end = 0;
	gather->free_count = 0;
	gather->queued = false;
	gather->page_size = 0;
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
	ENTRY_ZERO, /* points to a table that all such entries share and that stays zero: a device walks it like any
		     * other, but nothing is ever linked, visited or freed there */
};

/** One entry, taken apart. */
struct pgtable_entry {
	enum pgtable_entry_kind kind;
	uint64_t raw;
	uint64_t attr;	    /* of one that is not empty: @raw without the address */
	uint64_t paddr;	    /* of the leaf's page, or of the table, the shared one too */
	uint8_t contig_lg2; /* log2 of the entries that make up the leaf, aligned to their number */
	unsigned prot;	    /* of a leaf */
};

/** A field of an entry, for people. A table of them ends with a NULL name. */
struct pgtable_field {
	const char *name; /* "": of no interest, as it is told otherwise (an address, the type) */
	uint64_t mask;
};

struct pgtable_ops {
	const char *name; /* "vtdss" */
	const char *description;
	/** The widest table of each geometry that the format has: its widths are the limits. Ended by one whose
	 * @ias_bits is 0. Its table_offset does not count. NULL: not told. */
	const struct pgtable_config *geometries;
	uint64_t page_sizes; /* bitmap of supported leaf sizes, of whatever configuration */
	/** Returns those that a table of @config supports; NULL: all. */
	uint64_t (*config_page_sizes)(const struct pgtable_config *config);
	size_t state_size; /* of the format's own struct, which begins with struct pgtable */
	/** Sets up an empty table. Returns 0 or a negative errno (-EINVAL for a geometry the format lacks,
	 * -ENOMEM). */
	int (*init)(struct pgtable *pt);
	/** Maps [@iova, @iova + @len) to @paddr on. *@mapped says how far it came, also on failure: -ENOMEM,
	 * -EADDRINUSE, -ERANGE, -EINVAL, and -ENXIO where no page size fits the alignment. What was mapped
	 * stays; tables linked on the way stay. Empty tables that a larger page replaces go through pt->sync
	 * and are freed before it returns. */
	int (*map_range)(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			 uint64_t *mapped);
	/** The same for formats of the kernel's io-pgtable library, which have this instead of map_range: maps at
	 * most @count pages of @pgsize, and fewer where the table ends that holds their entries, without an error.
	 * *@mapped says how many bytes. -EEXIST, -ENOMEM, -ERANGE, -EINVAL. Call it through pgtable_map(). */
	int (*map_pages)(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			 unsigned prot, uint64_t *mapped);
	/** The counterpart, instead of unmap_range; tables that the pages cover are freed before it returns. Returns
	 * the bytes that are unmapped now. */
	uint64_t (*unmap_pages)(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				struct pgtable_gather *gather);
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
	/** Frees every table and whatever else init() allocated, the last step of pgtable_free(); NULL: the tables depth
	 * first, each after those that it points to. */
	void (*free_tables)(struct pgtable *pt);
	/** Appends what @raw, an entry of @level, says beside its address, in the names of the format's manual: see
	 * pgtable_describe_fields(). NULL: nobody wrote it down. */
	void (*describe)(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out);
};

/** Hears of the side effects on table memory; any member may be NULL. For recordings and tests. */
struct pgtable_watch {
	bool (*deny_page)(void *data, uint64_t size); /* whether this allocation is to fail */
	void (*page_alloc)(void *data, uint64_t paddr, uint64_t size);
	void (*page_free)(void *data, uint64_t paddr, uint64_t size); /* not by a gather */
	void (*cache_flush)(void *data, uint64_t paddr, uint64_t len_bytes);
	/* What pgtable_map() and pgtable_unmap() ask of an io-pgtable format, and the answers. */
	void (*map_pages)(void *data, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count);
	void (*map_pages_done)(void *data, int err, uint64_t mapped);
	void (*unmap_pages)(void *data, uint64_t iova, uint64_t pgsize, uint64_t count);
	void (*unmap_pages_done)(void *data, uint64_t unmapped);
	void *data;
};

/** What an io-pgtable format tells the driver while it changes entries; any member may be NULL. Source:
 * include/linux/io-pgtable.h, struct iommu_flush_ops. */
struct pgtable_tlb_ops {
	/** Invalidates the whole table's translations; it is about to be freed. */
	void (*flush_all)(void *cookie);
	/** Invalidates [@iova, @iova + @size) with the walk caches, now: a table that was found there is about to be
	 * freed. @granule is the smallest page's size. */
	void (*flush_walk)(uint64_t iova, uint64_t size, uint64_t granule, void *cookie);
	/** The page of @granule at @iova went; to be invalidated when @gather is synchronised. */
	void (*add_page)(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie);

	/* The rest is for formats that a driver has for itself, which invalidate in the midst of a change. @entry is
	 * the simulated address of the entry. */

	/** A page of @size is about to be mapped at @iova. */
	void (*map_begin)(uint64_t iova, uint64_t size, void *cookie);
	/** The directory's entry for @iova points to a new table now (@linked), or no longer to the one it did, which
	 * is about to be freed. */
	void (*table_changed)(uint64_t iova, uint64_t entry, bool linked, void *cookie);
	/** A page of @size was mapped at @iova, or unmapped; or pages as long, of a format that does all of a call at
	 * once. @size 0: there was nothing to unmap. */
	void (*page_changed)(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie);
};

/** Geometry of one level: a table of 2^@index_lg2 entries, each spanning 2^@span_lg2 bytes of IOVA. */
struct pgtable_level {
	uint8_t span_lg2;
	uint8_t index_lg2;
};

/** Where tables smaller than a page come from: the last one freed, else the next piece of a page. The pages stay
 * until the table is freed. */
struct pgtable_slab {
	GArray *frames;	     /* uint64_t: addresses; NULL until the first table */
	GArray *free;	     /* the same, of tables; the last one is next */
	uint32_t used_bytes; /* of the last frame */
};

#define PGTABLE_RECENT 64

/** A table of level 0 that was used before: see pgtable_recent_find(). */
struct pgtable_recent {
	uint64_t number;     /* IOVA divided by what such a table spans */
	uint64_t generation; /* of the page table then; 0: none */
	uint64_t paddr;
	void *entries;
};

struct pgtable {
	const struct pgtable_ops *ops;
	struct sim *sim;
	struct pgtable_config config; /* its @top_level is that of the root as it is now */
	uint64_t root_paddr;
	uint64_t page_sizes;  /* bitmap of the leaf sizes that this table supports */
	uint32_t table_pages; /* linked now, the root included; pages on a gather's list no longer count */
	uint64_t pte_writes;
	uint64_t cache_flushes; /* runs of entries flushed for an incoherent walker */

	/* Filled by the format's init. */
	struct pgtable_level levels[PGTABLE_LEVELS_MAX]; /* [0] is the last level */
	struct pgtable_slab slab;
	uint8_t entry_bytes;
	uint64_t table_mask; /* bits of an address that entries can point to; 0: the format looks to that itself */
	uint64_t
		roots[PGTABLE_ROOTS_MAX]; /* of a format with several, side by side; [0] is @root_paddr too */
	uint8_t root_count;		  /* a power of two; 0: @root_paddr is the only one */
	uint64_t zero_table; /* the one that entries of kind ENTRY_ZERO share; 0: there are none */
	uint64_t first_iova; /* where the table's index 0 lies: 0, but for one of the upper half */

	/** Grows when a table page is unlinked. As long as it stays, what was found in a table page is what
	 * the device would find there now. No two tables of a simulation ever have the same value. */
	uint64_t table_generation;

	/** Invalidates what @gather says, before map_range() frees the empty tables that it replaced:
	 * iommu_iotlb_sync(). NULL where nothing remembers tables. */
	void (*sync)(struct pgtable *pt, const struct pgtable_gather *gather, void *data);
	/** Points the device at the new root, which has just been put above the old one. NULL: nobody is told. */
	void (*change_top)(struct pgtable *pt, void *data);
	void *sync_data;
	/** Hears of what io-pgtable formats unmap. NULL: pages are gathered as a range, and nobody is told else. */
	const struct pgtable_tlb_ops *tlb;
	void *tlb_cookie;
	uint64_t paddr_or;     /* the driver ORs it into each address that it maps: MediaTek's 4 GB mode */
	bool gathers_attempts; /* the driver gathers what it is asked to unmap, whether or not it was mapped */
	const struct pgtable_watch *watch;
	struct pgtable_recent recent[PGTABLE_RECENT]; /* by the low bits of @number */
};

/** The formats, NULL-ended. */
extern const struct pgtable_ops *const pgtable_formats[];

/** Returns the format called @name, or NULL. */
const struct pgtable_ops *pgtable_format(const char *name);

/** Returns the bitmap of leaf sizes that a table of @format and @config supports. */
uint64_t pgtable_page_sizes(const struct pgtable_ops *format, const struct pgtable_config *config);

/** Makes a page table of @format on @sim's memory. Returns 0 with *@ret_pt, or a negative errno. */
int pgtable_new(struct sim *sim, const struct pgtable_ops *format, const struct pgtable_config *config,
		struct pgtable **ret_pt);

/** The same with @watch (borrowed until pgtable_free(), or NULL) hearing of the root already. */
int pgtable_new_watched(struct sim *sim, const struct pgtable_ops *format,
			const struct pgtable_config *config, const struct pgtable_watch *watch,
			struct pgtable **ret_pt);
void pgtable_free(struct pgtable *pt);

/** One call of the driver's map_pages. */
static inline int pgtable_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize,
				    uint64_t count, unsigned prot, uint64_t *mapped)
{
	return pt->ops->map_pages(pt, iova, paddr | pt->paddr_or, pgsize, count, prot, mapped);
}

/** One of its unmap_pages. */
static inline uint64_t pgtable_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
					   struct pgtable_gather *gather)
{
	if (pt->gathers_attempts)
		pgtable_gather_add_range(gather, iova, pgsize * count);
	return pt->ops->unmap_pages(pt, iova, pgsize, count, gather);
}

/** Maps through map_pages(), size by size: see pgtable_map(). */
int pgtable_map_by_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			 uint64_t *mapped);

/** The counterpart. If neither the format nor the driver has gathered anything once some of it is unmapped, the whole
 * range is, also what then turns out not to be mapped. */
uint64_t pgtable_unmap_by_pages(struct pgtable *pt, uint64_t iova, uint64_t len,
				struct pgtable_gather *gather);

/** Maps [@iova, @iova + @len) to @paddr on, whatever the format. *@mapped says how far it came; on failure the
 * caller unmaps exactly that. Source: iommu_map_nosync() in drivers/iommu/iommu.c. */
static inline int pgtable_map(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			      uint64_t *mapped)
{
	if (G_LIKELY(pt->ops->map_range != NULL))
		return pt->ops->map_range(pt, iova, paddr, len, prot, mapped);
	return pgtable_map_by_pages(pt, iova, paddr, len, prot, mapped);
}

/** Unmaps, whatever the format, adding to @gather. Returns how many bytes from @iova on are unmapped now. Source:
 * __iommu_unmap() in drivers/iommu/iommu.c. */
static inline uint64_t pgtable_unmap(struct pgtable *pt, uint64_t iova, uint64_t len,
				     struct pgtable_gather *gather)
{
	if (G_LIKELY(pt->ops->unmap_range != NULL))
		return pt->ops->unmap_range(pt, iova, len, gather);
	return pgtable_unmap_by_pages(pt, iova, len, gather);
}

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

/** Returns the address of the root as hardware is told it. */
static inline uint64_t pgtable_root(const struct pgtable *pt)
{
	return pt->root_paddr + pt->config.table_offset;
}

/** Returns @iova with the bits above its width as a device gives them. */
uint64_t pgtable_iova_extend(const struct pgtable_config *config, uint64_t iova);

/** The rest is for formats. */

/** Appends the @fields of @raw with blanks between: a bit by its name where it is set, a wider field as NAME=VALUE, and
 * what no field covers as a number. */
void pgtable_describe_fields(const struct pgtable_field *fields, uint64_t raw, GString *out);

/** Allocates one zeroed table page through fault point pgtable.page. Returns 0 with *@ret_paddr, or -ENOMEM.
 */
int pgtable_page_alloc(struct pgtable *pt, uint64_t *ret_paddr);

/** The same for a table of @level. One of several pages is aligned to its size; one smaller than a page has a part of
 * one, but for the root. */
int pgtable_table_alloc(struct pgtable *pt, unsigned level, uint64_t *ret_paddr);

/** The same for a driver that flushes the new table only later, by pgtable_cache_flush(). */
int pgtable_table_alloc_unflushed(struct pgtable *pt, unsigned level, uint64_t *ret_paddr);

/** Allocates @len_bytes of zeroed memory for what is not a table of the tree, in whole pages of its own; through the same
 * fault point, and heard of as a table is, but not counted among @pt->table_pages. @len_bytes is below a page, or a power
 * of two. Returns 0 with *@ret_paddr, or -ENOMEM. Free with pgtable_other_free() of the same size. */
int pgtable_other_alloc(struct pgtable *pt, uint64_t len_bytes, uint64_t *ret_paddr);
void pgtable_other_free(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes);

/** Returns the size of a table of @level; what is allocated for it is whole pages, a power of two of them. */
uint64_t pgtable_table_bytes(const struct pgtable *pt, unsigned level);

/** Frees the table at @paddr, of @level, and all below it, each after those that it points to. They must not be
 * reachable any more; the caller has invalidated. */
void pgtable_free_tables(struct pgtable *pt, unsigned level, uint64_t paddr);

/** Frees a table page that was never linked. */
void pgtable_page_free(struct pgtable *pt, uint64_t paddr);

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

/** What pgtable_cache_flush() does for an incoherent walker. */
void pgtable_cache_flush_incoherent(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes);

/** Tells that [@paddr, @paddr + @len_bytes) of table memory was written and, the walker being incoherent,
 * flushed. */
static inline void pgtable_cache_flush(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes)
{
	if (G_UNLIKELY(pt->config.incoherent))
		pgtable_cache_flush_incoherent(pt, paddr, len_bytes);
}

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

/** Returns the table of level 0 for @iova, where it spans 2^@span_lg2 bytes, or NULL. It was found from the root by
 * this @iova or by one that lies in the same table, and no table has been unlinked since. */
static inline const struct pgtable_recent *pgtable_recent_find(const struct pgtable *pt, unsigned span_lg2,
							       uint64_t iova)
{
	const struct pgtable_recent *recent = &pt->recent[iova >> span_lg2 & (PGTABLE_RECENT - 1)];

	return G_LIKELY(recent->number == iova >> span_lg2 && recent->generation == pt->table_generation)
		       ? recent
		       : NULL;
}

/** Remembers that the root leads to the table of level 0 at @paddr for @iova. @pt says the same as before, and was
 * made by pgtable_new(), so it may be written. */
static inline void pgtable_recent_add(const struct pgtable *pt, unsigned span_lg2, uint64_t iova,
				      uint64_t paddr)
{
	((struct pgtable *)pt)->recent[iova >> span_lg2 & (PGTABLE_RECENT - 1)] =
		(struct pgtable_recent){.number = iova >> span_lg2,
					.generation = pt->table_generation,
					.paddr = paddr,
					.entries = pgtable_bytes(pt, paddr)};
}

#endif
