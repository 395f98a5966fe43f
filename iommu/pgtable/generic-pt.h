/* SPDX-License-Identifier: MIT */

/*
 * The algorithm of the kernel's generic_pt, for formats whose leaves are each one entry of a 4 KiB table of 8-byte
 * entries. Sources: drivers/iommu/generic_pt/iommu_pt.h (map_range, unmap_range, iova_to_phys), pt_iter.h.
 *
 * Included by one format's .c file, which has defined before:
 *	entry_kind(level, raw)		empty, leaf or table
 *	entry_paddr(raw)		the address field
 *	leaf_entry(level, paddr, attrs)	a leaf
 *	table_entry(addr)		an entry that points to a table
 *	TABLE_FLUSHED			the software bit that generic_pt sets in it, the walker being incoherent, once
 *					flushed
 * Everything is static, so the compiler makes each format its own copy without calls between the two.
 *
 * Function, not method: the kernel descends from the root on every call. Here the last tables used at level 0 are
 * remembered, because nearly every map and unmap of a request stays inside one. The order in which pages are allocated,
 * written, flushed and freed is the kernel's.
 */
#include <errno.h>

#include "iommu/pgtable/pgtable.h"

#define ENTRIES_LG2 9
#define ENTRIES	    (1u << ENTRIES_LG2)
#define PAGE_LG2    12
#define TABLE_LG2   (PAGE_LG2 + ENTRIES_LG2) /* span of a table of level 0 */
#define LEAF_SLOTS  64

/** A table of level 0 that was used before. */
struct leaf_slot {
	uint64_t tag; /* IOVA >> TABLE_LG2; UINT64_MAX: none */
	uint64_t *entries;
	uint64_t paddr;
};

struct generic_pt {
	struct pgtable pt;
	uint64_t last_iova;
	struct leaf_slot leaf_slots[LEAF_SLOTS]; /* direct mapped */
};

static inline struct generic_pt *generic_pt(const struct pgtable *pt)
{
	return (struct generic_pt *)pt;
}

static inline unsigned level_lg2(unsigned level)
{
	return PAGE_LG2 + ENTRIES_LG2 * level;
}

static inline uint32_t entry_index(unsigned level, uint64_t iova)
{
	return (uint32_t)(iova >> level_lg2(level)) & (ENTRIES - 1);
}

/** Returns the address of the table that @raw points to. */
static inline uint64_t entry_table(const struct pgtable *pt, uint64_t raw)
{
	return entry_paddr(raw) - pt->config.table_offset;
}

static inline struct leaf_slot *leaf_slot(const struct pgtable *pt, uint64_t iova)
{
	return &generic_pt(pt)->leaf_slots[(iova >> TABLE_LG2) & (LEAF_SLOTS - 1)];
}

/** Returns the remembered table of level 0 for @iova, or NULL. */
static inline struct leaf_slot *leaf_find(const struct pgtable *pt, uint64_t iova)
{
	struct leaf_slot *slot = leaf_slot(pt, iova);

	return G_LIKELY(slot->tag == iova >> TABLE_LG2) ? slot : NULL;
}

static void leaf_forget_all(struct pgtable *pt)
{
	for (unsigned i = 0; i < LEAF_SLOTS; i++)
		generic_pt(pt)->leaf_slots[i].tag = UINT64_MAX;
}

static int generic_pt_init(struct pgtable *pt)
{
	struct generic_pt *state = generic_pt(pt);

	for (unsigned level = 0; level <= pt->config.top_level; level++)
		pt->levels[level] = (struct pgtable_level){.span_lg2 = (uint8_t)level_lg2(level),
							   .index_lg2 = ENTRIES_LG2};
	pt->entry_bytes = sizeof(uint64_t);
	state->last_iova = (UINT64_C(1) << MIN(pt->config.ias_bits, level_lg2(pt->config.top_level + 1))) - 1;
	leaf_forget_all(pt);
	return pgtable_page_alloc(pt, &pt->root_paddr);
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
			*entry = table_entry(below + pt->config.table_offset);
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
	leaf_forget_all(pt);
	return 0;
}

/** Writes up to @count leaves from @raw on, stopping at the first entry in use; returns how many it wrote. */
static inline uint32_t leaves_write(uint64_t *entries, uint32_t count, unsigned level, uint64_t raw)
{
	uint64_t step = UINT64_C(1) << level_lg2(level);
	uint32_t i;

	for (i = 0; i < count && entry_kind(level, entries[i]) == ENTRY_EMPTY; i++, raw += step)
		entries[i] = raw;
	return i;
}

/** The same for leaves that may meet empty tables, which they replace. */
static int leaves_install(struct pgtable *pt, struct pgtable_gather *gather, unsigned level, uint64_t table,
			  uint64_t iova, uint32_t count, uint64_t raw, uint32_t *ret_written)
{
	uint64_t at = table + entry_index(level, iova) * sizeof(uint64_t);
	uint64_t *entries = pgtable_bytes(pt, at);
	uint64_t step = UINT64_C(1) << level_lg2(level);
	uint32_t written = 0;
	int err = 0;

	while (written < count) {
		written += leaves_write(entries + written, count - written, level, raw + written * step);
		if (written == count)
			break;
		if (entry_kind(level, entries[written]) == ENTRY_TABLE)
			err = table_replace(pt, gather, level, iova + written * step, entries + written,
					    at + written * sizeof(*entries));
		else
			err = -EADDRINUSE;
		if (err)
			break;
	}
	pgtable_wrote(pt, written);
	pgtable_cache_flush(pt, at, written * sizeof(*entries));
	*ret_written = written;
	return err;
}

/** Returns log2 of the largest page at @iova and @paddr in @len bytes, 0 if none fits. */
static inline unsigned best_size_lg2(uint64_t sizes, uint64_t iova, uint64_t paddr, uint64_t len)
{
	uint64_t both = iova | paddr;

	sizes &= UINT64_MAX >> __builtin_clzll(len); /* not above the length */
	if (both)
		sizes &= UINT64_MAX >> __builtin_clzll(both & -both); /* not above the alignment */
	return sizes ? 63 - (unsigned)__builtin_clzll(sizes) : 0;
}

/** Returns how many pages of 2^@size_lg2 come before the table at @iova ends, or the length does. A larger
 * page can only start where a table ends, its size being the span of one. */
static inline uint32_t run_length(uint64_t iova, uint64_t len, unsigned size_lg2, unsigned level)
{
	return (uint32_t)MIN(len >> size_lg2, ENTRIES - entry_index(level, iova));
}

static int map_slow(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, uint64_t attrs,
		    uint64_t *ret_mapped)
{
	struct pgtable_gather gather = {0};
	uint64_t done = 0;
	int err = 0;

	pgtable_gather_init(&gather);
	while (done < len && !err) {
		uint64_t at = iova + done, to = paddr + done, table;
		unsigned size_lg2 = best_size_lg2(pt->ops->page_sizes, at, to, len - done);
		unsigned level = (size_lg2 - PAGE_LG2) / ENTRIES_LG2;
		uint32_t count = run_length(at, len - done, size_lg2, level), written;

		err = table_reach(pt, at, level, &table);
		if (err)
			break;
		if (level == 0)
			*leaf_slot(pt, at) = (struct leaf_slot){
				.tag = at >> TABLE_LG2, .entries = pgtable_bytes(pt, table), .paddr = table};
		err = leaves_install(pt, &gather, level, table, at, count, leaf_entry(level, to, attrs),
				     &written);
		done += (uint64_t)written << size_lg2;
	}
	pgtable_sync_replaced(pt, &gather);
	*ret_mapped = done;
	return err;
}

/** Maps with @attrs, the bits of every leaf, which the format has made of the protection. */
static inline int generic_pt_map(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len,
				 uint64_t attrs, uint64_t *ret_mapped)
{
	uint64_t last = iova + len - 1;
	struct leaf_slot *slot;

	*ret_mapped = 0;
	if (len == 0)
		return -EINVAL;
	if (last < iova)
		return -EOVERFLOW;
	if ((iova | paddr | len) & ((1u << PAGE_LG2) - 1))
		return -ENXIO;
	if (last > generic_pt(pt)->last_iova)
		return -ERANGE;
	slot = leaf_find(pt, iova);
	/* Inside one table, and too short for a larger page. */
	if (G_LIKELY(slot && len < UINT64_C(1) << TABLE_LG2 && (iova ^ last) >> TABLE_LG2 == 0)) {
		uint32_t index = entry_index(0, iova), count = (uint32_t)(len >> PAGE_LG2);
		uint32_t written = leaves_write(slot->entries + index, count, 0, leaf_entry(0, paddr, attrs));

		pgtable_wrote(pt, written);
		if (G_UNLIKELY(pt->config.incoherent))
			pgtable_cache_flush(pt, slot->paddr + index * sizeof(uint64_t),
					    written * sizeof(uint64_t));
		*ret_mapped = (uint64_t)written << PAGE_LG2;
		return G_LIKELY(written == count) ? 0 : -EADDRINUSE;
	}
	return map_slow(pt, iova, paddr, len, attrs, ret_mapped);
}

struct unmap {
	struct pgtable *pt;
	struct pgtable_gather *gather;
	uint64_t unmapped;
	bool tables_freed;
};

/** Unmaps [@first, @last], which lies inside the table at @paddr of @level. Returns whether it met no hole.
 */
static bool unmap_table(struct unmap *unmap, unsigned level, uint64_t paddr, uint64_t first, uint64_t last)
{
	struct pgtable *pt = unmap->pt;
	uint64_t *entries = pgtable_bytes(pt, paddr);
	uint64_t span_mask = (UINT64_C(1) << level_lg2(level)) - 1;
	uint32_t index = entry_index(level, first), end = entry_index(level, last) + 1;
	uint32_t leaves = 0, cleared_first = ENTRIES, cleared_end = 0;
	bool whole = true;

	for (uint64_t at = first; index < end; index++, at = (at | span_mask) + 1) {
		enum pgtable_entry_kind kind = entry_kind(level, entries[index]);

		whole = kind != ENTRY_EMPTY;
		if (!whole)
			break;
		if (kind == ENTRY_LEAF) {
			/* A leaf goes as a whole, if it starts here. */
			whole = (at & span_mask) == 0;
			if (!whole)
				break;
			leaves++;
		} else {
			bool covered = (at & span_mask) == 0 && last >= (at | span_mask);
			uint64_t below = entry_table(pt, entries[index]);

			whole = unmap_table(unmap, level - 1, below, at, MIN(last, at | span_mask));
			if (!whole)
				break;
			if (!covered)
				continue;
			pgtable_gather_add_page(pt, unmap->gather, below);
			unmap->tables_freed = true;
		}
		entries[index] = 0;
		pgtable_wrote(pt, 1);
		cleared_first = MIN(cleared_first, index);
		cleared_end = index + 1;
	}
	unmap->unmapped += (uint64_t)leaves << level_lg2(level);
	if (cleared_end)
		pgtable_cache_flush(pt, paddr + cleared_first * sizeof(*entries),
				    (cleared_end - cleared_first) * sizeof(*entries));
	return whole;
}

static uint64_t unmap_slow(struct pgtable *pt, uint64_t iova, uint64_t last, struct pgtable_gather *gather)
{
	struct unmap unmap = {.pt = pt, .gather = gather};
	uint32_t first = gather->free_count;

	unmap_table(&unmap, pt->config.top_level, pt->root_paddr, iova, last);
	pgtable_gather_splice(gather, first);
	if (unmap.tables_freed)
		leaf_forget_all(pt);
	return unmap.unmapped;
}

static uint64_t generic_pt_unmap_range(struct pgtable *pt, uint64_t iova, uint64_t len,
				       struct pgtable_gather *gather)
{
	uint64_t last = iova + len - 1, unmapped;
	struct leaf_slot *slot;

	if (len == 0 || last < iova || last > generic_pt(pt)->last_iova)
		return 0;
	slot = leaf_find(pt, iova);
	/* Inside one table without covering it, so none is freed. */
	if (G_LIKELY(slot && (iova ^ last) >> TABLE_LG2 == 0 &&
		     last - iova < (UINT64_C(1) << TABLE_LG2) - 1 && (iova & ((1u << PAGE_LG2) - 1)) == 0)) {
		uint32_t index = entry_index(0, iova), count = entry_index(0, last) + 1 - index, i;
		uint64_t *entries = slot->entries + index;

		for (i = 0; i < count && entry_kind(0, entries[i]) == ENTRY_LEAF; i++)
			entries[i] = 0;
		pgtable_wrote(pt, i);
		if (G_UNLIKELY(pt->config.incoherent && i))
			pgtable_cache_flush(pt, slot->paddr + index * sizeof(uint64_t), i * sizeof(uint64_t));
		unmapped = (uint64_t)i << PAGE_LG2;
	} else {
		unmapped = unmap_slow(pt, iova, last, gather);
	}
	pgtable_gather_add_range(gather, iova, unmapped);
	return unmapped;
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
			uint64_t offset_mask = (UINT64_C(1) << level_lg2(level)) - 1;

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
	if (G_UNLIKELY(iova > generic_pt(pt)->last_iova)) {
		*ret_walk = (struct pgtable_walk){.stop_level = pt->config.top_level};
		return false;
	}
	return generic_pt_walk_from(pt, iova, pt->config.top_level, pt->root_paddr, ret_walk);
}

static bool generic_pt_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr,
			      unsigned *ret_prot)
{
	const struct leaf_slot *slot = leaf_find(pt, iova);
	struct pgtable_walk walk;

	if (G_LIKELY(slot != NULL)) {
		uint64_t raw = slot->entries[entry_index(0, iova)];

		if (entry_kind(0, raw) != ENTRY_LEAF)
			return false;
		*ret_paddr = entry_paddr(raw) | (iova & ((1u << PAGE_LG2) - 1));
		*ret_prot = entry_prot(raw);
		return true;
	}
	if (!generic_pt_walk(pt, iova, &walk))
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
	if (ret_entry->kind == ENTRY_LEAF) {
		ret_entry->paddr &= UINT64_MAX << level_lg2(level);
		ret_entry->prot = entry_prot(raw);
	} else if (ret_entry->kind == ENTRY_TABLE) {
		ret_entry->attr = raw & ~ret_entry->paddr;
		ret_entry->paddr = entry_table(pt, raw);
	}
}
