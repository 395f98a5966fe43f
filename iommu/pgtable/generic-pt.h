/* SPDX-License-Identifier: MIT */

/*
 * The algorithm of the kernel's generic_pt, for formats of 4 KiB tables of 8-byte entries. Sources:
 * drivers/iommu/generic_pt/iommu_pt.h (map_range, unmap_range, iova_to_phys, increase_top), pt_iter.h.
 *
 * Included by one format's .c file, which has defined before, on top of generic-pt-levels.h:
 *	ENTRY_ADDRESS			the bits of the address field
 *	address_field(addr)		what that field holds of an address; sums of addresses are sums of fields
 *	entry_kind(level, raw)		empty, leaf or table
 *	entry_paddr(raw)		the address in the address field
 *	entry_prot(raw)			of a leaf
 *	table_entry(level, addr)	an entry, in a table of @level, that points to a table
 *	TABLE_FLUSHED			the software bit that generic_pt sets in it, the walker being incoherent, once
 *					flushed
 *	leaf_entry(level, size_lg2, paddr, attrs)	a leaf of 2^@size_lg2 bytes; each of its entries is the same
 *	leaf_contig_lg2(level, raw)	log2 of how many entries the leaf has that @raw is of
 *	LEAVES_CONTIGUOUS		0 if that is always 0, so that the compiler leaves out what only they need
 * Everything is static, so the compiler makes each format its own copy without calls between the two.
 *
 * Function, not method: the kernel descends from the root on every call. Here the last tables used at level 0 are
 * remembered, because nearly every map, unmap and lookup of a request stays inside one. The order in which pages are
 * allocated, written, flushed and freed is the kernel's.
 */
#include <errno.h>
#include <string.h>

#include "iommu/pgtable/generic-pt-levels.h"
#include "iommu/pgtable/pgtable.h"

struct generic_pt {
	struct pgtable pt;
	uint64_t last_iova; /* that the root reaches; with signed addresses, the last of the lower half */
};

static inline struct generic_pt *generic_pt(const struct pgtable *pt)
{
	return (struct generic_pt *)pt;
}

/** Returns log2 of the size of the leaf that @raw is of. */
static inline unsigned leaf_lg2(unsigned level, uint64_t raw)
{
	return level_lg2(level) + leaf_contig_lg2(level, raw);
}

/** Returns the address of the table that @raw points to. */
static inline uint64_t entry_table(const struct pgtable *pt, uint64_t raw)
{
	return entry_paddr(raw) - pt->config.table_offset;
}

/** Returns the remembered table of level 0 for @iova, or NULL. */
static inline const struct pgtable_recent *leaf_table(const struct pgtable *pt, uint64_t iova)
{
	return pgtable_recent_find(pt, TABLE_LG2, iova);
}

/** Returns the last IOVA that a root at the present top level reaches. */
static uint64_t iova_last(const struct pgtable *pt)
{
	unsigned bits =
		MIN(pt->config.ias_bits - pt->config.sign_extend, level_lg2(pt->config.top_level + 1));

	return UINT64_MAX >> (64 - MIN(bits, 64));
}

/** Returns whether [@first, @last] is in reach of the root, in one half of the space if addresses are signed.
 */
static inline bool iova_reached(const struct pgtable *pt, uint64_t first, uint64_t last)
{
	uint64_t last_iova = generic_pt(pt)->last_iova;

	return G_LIKELY(last <= last_iova) || (pt->config.sign_extend && first >= ~last_iova);
}

static int generic_pt_init(struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;
	unsigned level_max = config->dynamic_top ? PGTABLE_LEVELS_MAX - 1 : config->top_level;

	for (unsigned level = 0; level <= level_max; level++) {
		unsigned bits = config->ias_bits - MIN(config->ias_bits, level_lg2(level));

		pt->levels[level] = (struct pgtable_level){.span_lg2 = (uint8_t)level_lg2(level),
							   .index_lg2 = (uint8_t)MIN(bits, ENTRIES_LG2)};
	}
	pt->entry_bytes = sizeof(uint64_t);
	pt->table_mask = entry_paddr(ENTRY_ADDRESS);
	generic_pt(pt)->last_iova = iova_last(pt);
	return pgtable_page_alloc(pt, &pt->root_paddr);
}

/** Returns the level above which a root need not be to reach @last and to hold leaves of @leaf_level. */
static unsigned top_needed(const struct pgtable *pt, uint64_t last, unsigned leaf_level)
{
	unsigned level = MAX(pt->config.top_level, leaf_level);

	while (level < PGTABLE_LEVELS_MAX - 1 && last >> level_lg2(level + 1))
		level++;
	return level;
}

/** Puts roots above the root until it is of @level. Where a page is refused, the old one stays. */
static int top_raise(struct pgtable *pt, unsigned level)
{
	unsigned top = pt->config.top_level;
	uint64_t pages[PGTABLE_LEVELS_MAX], below = pt->root_paddr;

	for (unsigned at = top + 1; at <= level; at++) {
		int err = pgtable_page_alloc(pt, &pages[at]);

		if (err) {
			for (unsigned made = top + 1; made < at; made++)
				pgtable_page_free(pt, pages[made]);
			return err;
		}
		*(uint64_t *)pgtable_bytes(pt, pages[at]) = table_entry(at, below + pt->config.table_offset);
		pgtable_wrote(pt, 1);
		below = pages[at];
	}
	pt->root_paddr = below;
	pt->config.top_level = level;
	generic_pt(pt)->last_iova = iova_last(pt);
	if (pt->change_top)
		pt->change_top(pt, pt->sync_data);
	return 0;
}

/** Finds the table of @level that holds the entry of @iova, making those that are missing on the way. */
static int table_reach(struct pgtable *pt, uint64_t iova, unsigned level, uint64_t *ret_paddr)
{
	uint64_t paddr = pt->root_paddr;

	for (unsigned at = pt->config.top_level; at > level; at--) {
		uint32_t index = entry_index(at, iova);
		uint64_t *entry = (uint64_t *)pgtable_bytes(pt, paddr) + index;
		enum pgtable_entry_kind kind = entry_kind(at, *entry);

		if (kind == ENTRY_LEAF)
			return -EADDRINUSE;
		if (kind == ENTRY_EMPTY) {
			uint64_t below;
			int err = pgtable_page_alloc(pt, &below);

			if (err)
				return err;
			*entry = table_entry(at, below + pt->config.table_offset);
			pgtable_wrote(pt, 1);
			if (pt->config.incoherent) {
				pgtable_cache_flush(pt, paddr + index * sizeof(*entry), sizeof(*entry));
				*entry |= TABLE_FLUSHED;
			}
		}
		paddr = entry_table(pt, *entry);
	}
	*ret_paddr = paddr;
	return 0;
}

/** Makes room for a leaf where a table of smaller pages hangs at @entry, if that maps nothing. */
static int table_replace(struct pgtable *pt, struct pgtable_gather *gather, unsigned level, uint64_t iova,
			 uint64_t *entry, uint64_t entry_at)
{
	uint64_t below = entry_table(pt, *entry);
	uint32_t first = gather->free_count;

	if (!pgtable_is_empty(pt, level - 1, below))
		return -EADDRINUSE;
	pgtable_gather_tables_below(pt, gather, level - 1, below);
	*entry = 0;
	pgtable_wrote(pt, 1);
	pgtable_cache_flush(pt, entry_at, sizeof(*entry));
	pgtable_gather_add_page(pt, gather, below);
	pgtable_gather_add_range(gather, iova, UINT64_C(1) << level_lg2(level));
	pgtable_gather_splice(gather, first);
	return 0;
}

/** Writes up to @count leaves of 2^@size_lg2 bytes from @raw on, stopping at the first with an entry in use;
 * returns how many it wrote. */
static inline uint32_t leaves_write(uint64_t *entries, uint32_t count, unsigned level, unsigned size_lg2,
				    uint64_t raw)
{
	uint32_t each = LEAVES_CONTIGUOUS ? 1u << (size_lg2 - level_lg2(level)) : 1;
	uint64_t step = address_field(UINT64_C(1) << size_lg2);
	uint32_t written;

	if (!LEAVES_CONTIGUOUS || each == 1) {
		uint64_t *entry = entries, *end = entries + count;

		for (; entry < end && entry_kind(level, *entry) == ENTRY_EMPTY; entry++, raw += step)
			*entry = raw;
		return (uint32_t)(entry - entries);
	}
	for (written = 0; written < count; written++, entries += each, raw += step) {
		for (uint32_t i = 0; i < each; i++)
			if (entry_kind(level, entries[i]) != ENTRY_EMPTY)
				return written;
		for (uint32_t i = 0; i < each; i++)
			entries[i] = raw;
	}
	return written;
}

/** Makes @count entries from @entries on empty, which are in use: by tables that map nothing, or for good. */
static int leaf_make_room(struct pgtable *pt, struct pgtable_gather *gather, unsigned level, uint64_t iova,
			  uint64_t *entries, uint64_t at, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		enum pgtable_entry_kind kind = entry_kind(level, entries[i]);
		int err = kind == ENTRY_LEAF ? -EADDRINUSE : 0;

		if (kind == ENTRY_TABLE)
			err = table_replace(pt, gather, level, iova + ((uint64_t)i << level_lg2(level)),
					    entries + i, at + i * sizeof(*entries));
		if (err)
			return err;
	}
	return 0;
}

/** Leaves of one size, in one table. */
struct leaf_run {
	uint64_t iova, paddr;
	unsigned level, size_lg2;
	uint32_t count;
};

/** The same for leaves that may meet empty tables, which they replace. */
static int leaves_install(struct pgtable *pt, struct pgtable_gather *gather, const struct leaf_run *run,
			  uint64_t table, uint64_t attrs, uint32_t *ret_written)
{
	uint64_t at = table + entry_index(run->level, run->iova) * sizeof(uint64_t);
	uint64_t *entries = pgtable_bytes(pt, at);
	uint32_t each = 1u << (run->size_lg2 - level_lg2(run->level)), written = 0;
	int err = 0;

	while (written < run->count) {
		uint64_t done = (uint64_t)written << run->size_lg2;

		written += leaves_write(entries + written * each, run->count - written, run->level,
					run->size_lg2,
					leaf_entry(run->level, run->size_lg2, run->paddr + done, attrs));
		if (written == run->count)
			break;
		done = (uint64_t)written << run->size_lg2;
		err = leaf_make_room(pt, gather, run->level, run->iova + done, entries + written * each,
				     at + written * each * sizeof(*entries), each);
		if (err)
			break;
	}
	pgtable_wrote(pt, written * each);
	pgtable_cache_flush(pt, at, written * each * sizeof(*entries));
	*ret_written = written;
	return err;
}

/** Returns log2 of the largest page at @iova and @paddr in @len bytes, 0 if none fits. */
static inline unsigned best_size_lg2(uint64_t sizes, uint64_t iova, uint64_t paddr, uint64_t len)
{
	uint64_t both = iova | paddr;

	sizes &= UINT64_MAX >> __builtin_clzll(len); /* not above the length */
	if (both)
		sizes &= both ^ (both - 1); /* not above the alignment */
	return sizes ? 63 - (unsigned)__builtin_clzll(sizes) : 0;
}

/** Returns how many pages of 2^@size_lg2 come before the table at @iova ends, or the length does, or a larger
 * page is possible. Where each size is the span of a table, the latter is where a table ends. */
static inline uint32_t run_length(uint64_t sizes, uint64_t iova, uint64_t paddr, uint64_t len,
				  unsigned size_lg2, unsigned level)
{
	uint64_t limit = MIN(len, (uint64_t)(ENTRIES - entry_index(level, iova)) << level_lg2(level));

	if (LEAVES_CONTIGUOUS) {
		uint64_t larger = sizes & (UINT64_MAX << size_lg2 << 1);
		uint64_t next = larger & -larger;

		if (next && ((iova ^ paddr) & (next - 1)) == 0)
			limit = MIN(limit, next - (iova & (next - 1)));
	}
	return (uint32_t)(limit >> size_lg2);
}

/** Returns the next leaves of [@iova, @iova + @len), which is not empty. */
static inline struct leaf_run run_next(const struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len)
{
	struct leaf_run run = {.iova = iova, .paddr = paddr};

	run.size_lg2 = best_size_lg2(pt->page_sizes, iova, paddr, len);
	run.level = (run.size_lg2 - PAGE_LG2) / ENTRIES_LG2;
	run.count = run_length(pt->page_sizes, iova, paddr, len, run.size_lg2, run.level);
	return run;
}

/** Makes the root reach @last, and hold the leaves that come first. */
static int map_prepare(struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t paddr)
{
	unsigned level;

	if (!pt->config.dynamic_top)
		return iova_reached(pt, iova, last) ? 0 : -ERANGE;
	if (pt->config.ias_bits < 64 && last >> pt->config.ias_bits)
		return -ERANGE;
	level = top_needed(pt, last, run_next(pt, iova, paddr, last - iova + 1).level);
	return level > pt->config.top_level ? top_raise(pt, level) : 0;
}

/* Not inlined, so that the way that is nearly always taken saves no registers for it. */
static G_NO_INLINE int map_slow(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len,
				uint64_t attrs, uint64_t *ret_mapped)
{
	struct pgtable_gather gather = {0};
	uint64_t done = 0;
	int err = map_prepare(pt, iova, iova + len - 1, paddr);

	if (err)
		return err;
	pgtable_gather_init(&gather);
	while (done < len && !err) {
		struct leaf_run run = run_next(pt, iova + done, paddr + done, len - done);
		uint32_t written;
		uint64_t table;

		err = table_reach(pt, run.iova, run.level, &table);
		if (err)
			break;
		if (run.level == 0)
			pgtable_recent_add(pt, TABLE_LG2, run.iova, table);
		err = leaves_install(pt, &gather, &run, table, attrs, &written);
		done += (uint64_t)written << run.size_lg2;
	}
	pgtable_sync_replaced(pt, &gather);
	*ret_mapped = done;
	return err;
}

/** Maps inside @table of level 0. */
static inline int map_in_table(struct pgtable *pt, const struct pgtable_recent *table, uint64_t iova,
			       uint64_t paddr, uint64_t len, uint64_t attrs, uint64_t *ret_mapped)
{
	uint64_t *entries = table->entries;
	uint32_t index = entry_index(0, iova), count = (uint32_t)(len >> PAGE_LG2), written = 0;

	if (LEAVES_CONTIGUOUS && count > 1) {
		while (written < count) {
			uint64_t done = (uint64_t)written << PAGE_LG2;
			struct leaf_run run = run_next(pt, iova + done, paddr + done, len - done);
			uint32_t leaves = leaves_write(entries + index + written, run.count, 0, run.size_lg2,
						       leaf_entry(0, run.size_lg2, run.paddr, attrs));

			written += leaves << (run.size_lg2 - PAGE_LG2);
			if (leaves < run.count)
				break;
		}
	} else {
		written = leaves_write(entries + index, count, 0, PAGE_LG2,
				       leaf_entry(0, PAGE_LG2, paddr, attrs));
	}
	pgtable_wrote(pt, written);
	pgtable_cache_flush(pt, table->paddr + index * sizeof(*entries), written * sizeof(*entries));
	*ret_mapped = (uint64_t)written << PAGE_LG2;
	return G_LIKELY(written == count) ? 0 : -EADDRINUSE;
}

/** Maps with @attrs, the bits of every leaf, which the format has made of the protection. */
static inline int generic_pt_map(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len,
				 uint64_t attrs, uint64_t *ret_mapped)
{
	const struct pgtable_recent *table = leaf_table(pt, iova);
	uint64_t last = iova + len - 1;

	*ret_mapped = 0;
	if (len == 0)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	if ((iova | paddr | len) & ((1u << PAGE_LG2) - 1))
		return -ENXIO;
	/* Inside one table, and too short for a larger page than fits there. */
	if (G_LIKELY(table && len < UINT64_C(1) << TABLE_LG2 && (iova ^ last) >> TABLE_LG2 == 0 &&
		     iova_reached(pt, iova, last)))
		return map_in_table(pt, table, iova, paddr, len, attrs, ret_mapped);
	return map_slow(pt, iova, paddr, len, attrs, ret_mapped);
}

struct unmap {
	struct pgtable *pt;
	struct pgtable_gather *gather;
	uint64_t unmapped;
};

static inline void entries_clear(struct pgtable *pt, uint64_t *entries, uint32_t count)
{
	if (!LEAVES_CONTIGUOUS || count == 1)
		entries[0] = 0;
	else
		memset(entries, 0, count * sizeof(*entries));
	pgtable_wrote(pt, count);
}

/** Unmaps up to @count pages from @index on in the table of level 0 at @paddr, whose bytes are @table; returns how
 * many, which is more where a leaf reaches further. */
static inline uint64_t unmap_leaves(struct pgtable *pt, uint64_t *table, uint64_t paddr, uint64_t index,
				    uint64_t count)
{
	uint64_t *entries = table + index, done;

	if (!LEAVES_CONTIGUOUS) {
		for (done = 0; done < count && entry_kind(0, entries[done]) == ENTRY_LEAF; done++)
			entries[done] = 0;
	} else {
		if (index & ((1u << leaf_contig_lg2(0, entries[0])) - 1))
			return 0; /* not where the leaf starts */
		for (done = 0; done < count && entry_kind(0, entries[done]) == ENTRY_LEAF;) {
			uint32_t each = 1u << leaf_contig_lg2(0, entries[done]);

			entries[done] = 0;
			if (each > 1)
				memset(entries + done + 1, 0, (each - 1) * sizeof(*entries));
			done += each;
		}
	}
	pgtable_wrote(pt, done);
	if (done)
		pgtable_cache_flush(pt, paddr + index * sizeof(*table), done * sizeof(*table));
	return done;
}

/** Unmaps [@first, @last], which lies inside the table at @paddr of @level. Returns whether it met no hole.
 */
static bool unmap_table(struct unmap *unmap, unsigned level, uint64_t paddr, uint64_t first, uint64_t last)
{
	struct pgtable *pt = unmap->pt;
	uint64_t *entries = pgtable_bytes(pt, paddr);
	uint64_t span_mask = (UINT64_C(1) << level_lg2(level)) - 1;
	uint32_t index = entry_index(level, first), end = entry_index(level, last) + 1, each;
	uint32_t leaf_entries = 0, cleared_first = ENTRIES, cleared_end = 0;
	bool whole = true;

	if (level == 0) {
		uint64_t done = 0;

		if ((first & span_mask) == 0)
			done = unmap_leaves(pt, entries, paddr, index, end - index);
		unmap->unmapped += done << PAGE_LG2;
		return done >= end - index;
	}
	for (uint64_t at = first; index < end;
	     index += each, at = (at & ~span_mask) + ((uint64_t)each << level_lg2(level))) {
		enum pgtable_entry_kind kind = entry_kind(level, entries[index]);

		each = 1;
		whole = kind != ENTRY_EMPTY;
		if (!whole)
			break;
		if (kind == ENTRY_LEAF) {
			each = 1u << leaf_contig_lg2(level, entries[index]);
			/* A leaf goes as a whole, if it starts here. */
			whole = (at & span_mask) == 0 && (index & (each - 1)) == 0;
			if (!whole)
				break;
			leaf_entries += each;
		} else {
			bool covered = (at & span_mask) == 0 && last >= (at | span_mask);
			uint64_t below = entry_table(pt, entries[index]);

			whole = unmap_table(unmap, level - 1, below, at, MIN(last, at | span_mask));
			if (!whole)
				break;
			if (!covered)
				continue;
			pgtable_gather_add_page(pt, unmap->gather, below);
		}
		entries_clear(pt, entries + index, each);
		cleared_first = MIN(cleared_first, index);
		cleared_end = index + each;
	}
	unmap->unmapped += (uint64_t)leaf_entries << level_lg2(level);
	if (cleared_end)
		pgtable_cache_flush(pt, paddr + cleared_first * sizeof(*entries),
				    (cleared_end - cleared_first) * sizeof(*entries));
	return whole;
}

static bool generic_pt_walk_from(const struct pgtable *pt, uint64_t iova, unsigned level, uint64_t table,
				 struct pgtable_walk *ret_walk)
{
	*ret_walk = (struct pgtable_walk){.stop_level = level};
	for (;; level--) {
		const uint64_t *entry;
		enum pgtable_entry_kind kind;

		if (!physmem_has_bytes(&pt->sim->mem, table))
			return false;
		ret_walk->table[level] = table;
		ret_walk->stop_level = level;
		ret_walk->levels_touched++;
		entry = (const uint64_t *)pgtable_bytes(pt, table) + entry_index(level, iova);
		kind = entry_kind(level, *entry);
		if (kind == ENTRY_LEAF) {
			uint64_t offset_mask = (UINT64_C(1) << leaf_lg2(level, *entry)) - 1;

			ret_walk->leaf_size = offset_mask + 1;
			ret_walk->paddr = (entry_paddr(*entry) & ~offset_mask) | (iova & offset_mask);
			ret_walk->prot = entry_prot(*entry);
			ret_walk->entry = entry;
			ret_walk->raw = *entry;
			return true;
		}
		if (kind == ENTRY_EMPTY || level == 0)
			return false;
		table = entry_table(pt, *entry);
	}
}

static bool generic_pt_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	if (G_UNLIKELY(!iova_reached(pt, iova, iova))) {
		*ret_walk = (struct pgtable_walk){.stop_level = pt->config.top_level};
		return false;
	}
	return generic_pt_walk_from(pt, iova, pt->config.top_level, pt->root_paddr, ret_walk);
}

/** The same, remembering the table of level 0 that the walk came to. */
static G_NO_INLINE bool walk_remember(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	bool found = generic_pt_walk(pt, iova, ret_walk);

	if (ret_walk->table[0])
		pgtable_recent_add(pt, TABLE_LG2, iova, ret_walk->table[0]);
	return found;
}

static G_NO_INLINE uint64_t unmap_slow(struct pgtable *pt, uint64_t iova, uint64_t last,
				       struct pgtable_gather *gather)
{
	struct unmap unmap = {.pt = pt, .gather = gather};
	uint32_t first = gather->free_count;

	unmap_table(&unmap, pt->config.top_level, pt->root_paddr, iova, last);
	pgtable_gather_splice(gather, first);
	return unmap.unmapped;
}

/** Returns the table of level 0 that holds all entries of [@iova, @last] and more, so that none is freed with them;
 * else, or where none of them is mapped, NULL. */
static inline const struct pgtable_recent *unmap_one_table(const struct pgtable *pt, uint64_t iova,
							   uint64_t last)
{
	const struct pgtable_recent *table = leaf_table(pt, iova);
	struct pgtable_walk walk;

	if (G_UNLIKELY((iova ^ last) >> TABLE_LG2 || last - iova >= (UINT64_C(1) << TABLE_LG2) - 1 ||
		       iova & ((1u << PAGE_LG2) - 1)))
		return NULL;
	if (G_UNLIKELY(!table) && walk_remember(pt, iova, &walk))
		return leaf_table(pt, iova);
	return table;
}

static uint64_t generic_pt_unmap_range(struct pgtable *pt, uint64_t iova, uint64_t len,
				       struct pgtable_gather *gather)
{
	uint64_t last = iova + len - 1, unmapped;
	const struct pgtable_recent *table;

	if (len == 0 || last < iova || !iova_reached(pt, iova, last))
		return 0;
	table = unmap_one_table(pt, iova, last);
	if (G_LIKELY(table != NULL)) {
		uint32_t index = entry_index(0, iova), count = entry_index(0, last) + 1 - index;

		unmapped = unmap_leaves(pt, table->entries, table->paddr, index, count) << PAGE_LG2;
	} else {
		unmapped = unmap_slow(pt, iova, last, gather);
	}
	pgtable_gather_add_range(gather, iova, unmapped);
	return unmapped;
}

static bool generic_pt_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr,
			      unsigned *ret_prot)
{
	const struct pgtable_recent *table = leaf_table(pt, iova);
	struct pgtable_walk walk;

	if (G_LIKELY(table != NULL)) {
		uint64_t raw = ((const uint64_t *)table->entries)[entry_index(0, iova)], offset_mask;

		if (entry_kind(0, raw) != ENTRY_LEAF)
			return false;
		offset_mask = (UINT64_C(1) << leaf_lg2(0, raw)) - 1;
		*ret_paddr = (entry_paddr(raw) & ~offset_mask) | (iova & offset_mask);
		*ret_prot = entry_prot(raw);
		return true;
	}
	if (!walk_remember(pt, iova, &walk))
		return false;
	*ret_paddr = walk.paddr;
	*ret_prot = walk.prot;
	return true;
}

static void generic_pt_decode(const struct pgtable *pt, unsigned level, const void *table, uint32_t index,
			      struct pgtable_entry *ret_entry)
{
	uint64_t raw = ((const uint64_t *)table)[index];

	*ret_entry =
		(struct pgtable_entry){.kind = entry_kind(level, raw), .raw = raw, .paddr = entry_paddr(raw)};
	if (ret_entry->kind != ENTRY_EMPTY)
		ret_entry->attr = raw & ~ENTRY_ADDRESS;
	if (ret_entry->kind == ENTRY_LEAF) {
		/* What this code did not write may name any size: one that no address has room for. */
		unsigned contig_lg2 = MIN(leaf_contig_lg2(level, raw), 63 - level_lg2(level));

		ret_entry->paddr &= UINT64_MAX << (level_lg2(level) + contig_lg2);
		ret_entry->contig_lg2 = (uint8_t)contig_lg2;
		ret_entry->prot = entry_prot(raw);
	} else if (ret_entry->kind == ENTRY_TABLE) {
		ret_entry->paddr = entry_table(pt, raw);
	}
}
