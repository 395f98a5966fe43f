/* SPDX-License-Identifier: MIT */

/*
 * What formats of the kernel's io-pgtable library share: how they warn, what they tell the driver, and the walks.
 * Sources: include/linux/io-pgtable.h, drivers/iommu/io-pgtable.c.
 *
 * Included by one format's .c file, which has defined before:
 *	entry_t				uint64_t or uint32_t
 *	entry_decode(pt, level, raw, ret_entry)
 * Everything is static, so the compiler makes each format its own copy without calls between the two.
 *
 * Function, not method: the kernel descends from the root on every call. Here the tables of level 0 used last are
 * remembered, for lookups and for formats that have nothing to do on the way to one. The order in which pages are
 * allocated, written, flushed and freed is the kernel's.
 */
#include <errno.h>

#include "iommu/pgtable/pgtable.h"

/** A WARN_ON of the library. */
static inline void io_pgtable_warn(struct pgtable *pt, const char *why)
{
	sim_find(pt->sim, FINDING_KERNEL_WARNING, NULL, "%s", why);
}

/** One that the driver can turn off. */
static inline void io_pgtable_warn_unless_off(struct pgtable *pt, const char *why)
{
	if (!(pt->config.quirks & QUIRK_NO_WARN))
		io_pgtable_warn(pt, why);
}

static inline void io_pgtable_flush_walk(struct pgtable *pt, uint64_t iova, uint64_t size)
{
	if (pt->tlb && pt->tlb->flush_walk)
		pt->tlb->flush_walk(iova, size, pt->page_sizes & -pt->page_sizes, pt->tlb_cookie);
}

/** Tells of @count pages of @size that went. */
static inline void io_pgtable_add_pages(struct pgtable *pt, struct pgtable_gather *gather, uint64_t iova,
					uint64_t size, uint64_t count)
{
	if (gather->queued)
		return;
	if (!pt->tlb) {
		pgtable_gather_add_range(gather, iova, size * count);
		return;
	}
	for (uint64_t i = 0; pt->tlb->add_page && i < count; i++)
		pt->tlb->add_page(gather, iova + i * size, size, pt->tlb_cookie);
}

/** Whether @iova cannot be translated by this table. */
static inline bool io_pgtable_iova_beyond(const struct pgtable *pt, uint64_t iova)
{
	return ((iova ^ pt->first_iova) >> pt->config.ias_bits) != 0;
}

/** Whether a driver may ask for pages of @size. */
static inline bool io_pgtable_size_ok(const struct pgtable *pt, uint64_t size)
{
	return size && !(size & (size - 1)) && size & pt->page_sizes;
}

static inline uint32_t level_index(const struct pgtable *pt, unsigned level, uint64_t iova)
{
	return (uint32_t)(iova >> pt->levels[level].span_lg2) & ((1u << pt->levels[level].index_lg2) - 1);
}

/** Returns the root for @iova. */
static inline uint64_t io_pgtable_root(const struct pgtable *pt, uint64_t iova)
{
	const struct pgtable_level *top = &pt->levels[pt->config.top_level];

	if (pt->root_count <= 1)
		return pt->root_paddr;
	return pt->roots[iova >> (top->span_lg2 + top->index_lg2) & (pt->root_count - 1)];
}

static inline entry_t *table_entries(const struct pgtable *pt, uint64_t table)
{
	return pgtable_bytes(pt, table);
}

static inline unsigned io_pgtable_leaf_table_lg2(const struct pgtable *pt)
{
	return pt->levels[0].span_lg2 + pt->levels[0].index_lg2;
}

/** Returns the address of the remembered table of level 0 for @iova, or 0. */
static inline uint64_t io_pgtable_leaf_table(const struct pgtable *pt, uint64_t iova)
{
	const struct pgtable_recent *table = pgtable_recent_find(pt, io_pgtable_leaf_table_lg2(pt), iova);

	return table ? table->paddr : 0;
}

/** Remembers @table of level 0, which was found from the root for @iova. */
static inline void io_pgtable_leaf_table_add(const struct pgtable *pt, uint64_t iova, uint64_t table)
{
	pgtable_recent_add(pt, io_pgtable_leaf_table_lg2(pt), iova, table);
}

static bool io_pgtable_walk_from(const struct pgtable *pt, uint64_t iova, unsigned level, uint64_t table,
				 struct pgtable_walk *ret_walk)
{
	*ret_walk = (struct pgtable_walk){.stop_level = level};
	for (;; level--) {
		const entry_t *at;
		struct pgtable_entry entry;

		if (!physmem_has_bytes(&pt->sim->mem, table))
			return false;
		ret_walk->table[level] = table;
		ret_walk->stop_level = level;
		ret_walk->levels_touched++;
		at = table_entries(pt, table) + level_index(pt, level, iova);
		entry_decode(pt, level, *at, &entry);
		if (entry.kind == ENTRY_LEAF) {
			ret_walk->leaf_size = UINT64_C(1) << (pt->levels[level].span_lg2 + entry.contig_lg2);
			ret_walk->paddr = entry.paddr | (iova & (ret_walk->leaf_size - 1));
			ret_walk->prot = entry.prot;
			ret_walk->entry = at;
			ret_walk->raw = *at;
			return true;
		}
		if (entry.kind == ENTRY_EMPTY || level == 0)
			return false;
		table = entry.paddr;
	}
}

static bool io_pgtable_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	if (G_UNLIKELY(io_pgtable_iova_beyond(pt, iova))) {
		*ret_walk = (struct pgtable_walk){.stop_level = pt->config.top_level};
		return false;
	}
	return io_pgtable_walk_from(pt, iova, pt->config.top_level, io_pgtable_root(pt, iova), ret_walk);
}

static bool io_pgtable_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr,
			      unsigned *ret_prot)
{
	uint64_t table = io_pgtable_leaf_table(pt, iova);
	unsigned level = 0;

	if (G_UNLIKELY(io_pgtable_iova_beyond(pt, iova)))
		return false;
	if (G_UNLIKELY(!table)) {
		table = io_pgtable_root(pt, iova);
		level = pt->config.top_level;
	}
	for (;; level--) {
		struct pgtable_entry entry;

		entry_decode(pt, level, table_entries(pt, table)[level_index(pt, level, iova)], &entry);
		if (entry.kind == ENTRY_LEAF) {
			uint64_t size = UINT64_C(1) << (pt->levels[level].span_lg2 + entry.contig_lg2);

			*ret_paddr = entry.paddr | (iova & (size - 1));
			*ret_prot = entry.prot;
			return true;
		}
		if (entry.kind == ENTRY_EMPTY || level == 0)
			return false;
		table = entry.paddr;
		if (level == 1)
			io_pgtable_leaf_table_add(pt, iova, table);
	}
}

static void io_pgtable_decode(const struct pgtable *pt, unsigned level, const void *table, uint32_t index,
			      struct pgtable_entry *ret_entry)
{
	entry_decode(pt, level, ((const entry_t *)table)[index], ret_entry);
}
