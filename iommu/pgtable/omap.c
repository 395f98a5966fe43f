/* SPDX-License-Identifier: MIT */

/*
 * OMAP: the directory of 1 MiB sections and the tables of 4 KiB pages that the OMAP IOMMU walks, with sizes 16 times as
 * large made of 16 entries. Source: drivers/iommu/omap-iommu.c and omap-iopgtable.h of Linux 7.0; pagetable-facts
 * sections 2 to 5 and 9.
 *
 * The kernel's directory is our level 1. It maps and unmaps one page a call, ignores permissions and the upper halves of
 * 64-bit addresses, and never looks at what an entry held before it writes it. What comes of that is kept:
 *	a page over a page, or over one of the entries of a larger page, replaces it silently;
 *	a section over a table leaks the table, which is a finding, and its memory is not used again;
 *	a page where there is a section takes the section's memory for a table, so the entry is written into whatever is
 *	mapped: a finding, and here nothing is written.
 */
#include "iommu/pgtable/formats.h"

#define OMAP_TYPE_MASK	  3u
#define OMAP_TYPE_TABLE	  1u /* level 1 */
#define OMAP_TYPE_SECTION 2u
#define OMAP_TYPE_LARGE	  1u /* level 0: one of 16 entries of a 64 KiB page */
#define OMAP_TYPE_SMALL	  2u
#define OMAP_SUPER	  (1u << 18) /* level 1: one of 16 entries of a 16 MiB section */
#define OMAP_CONT_LG2	  4

#define OMAP_TABLE_ADDRESS 0xfffffc00u

typedef uint32_t entry_t;

static inline bool entry_is_table(unsigned level, uint32_t raw)
{
	return level == 1 && (raw & OMAP_TYPE_MASK) == OMAP_TYPE_TABLE;
}

/** Whether @raw, a leaf, is one of 16 that make up a larger page. */
static inline bool entry_is_contiguous(unsigned level, uint32_t raw)
{
	return level ? (raw & OMAP_SUPER) != 0 : (raw & OMAP_TYPE_LARGE) != 0;
}

static inline uint64_t entry_table(const struct pgtable *pt, uint32_t raw)
{
	return (raw & OMAP_TABLE_ADDRESS) - pt->config.table_offset;
}

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	unsigned contig_lg2;

	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (!(raw & OMAP_TYPE_MASK))
		return;
	if (entry_is_table(level, raw)) {
		ret_entry->kind = ENTRY_TABLE;
		ret_entry->attr = raw & ~OMAP_TABLE_ADDRESS;
		ret_entry->paddr = entry_table(pt, raw);
		return;
	}
	contig_lg2 = entry_is_contiguous(level, raw) ? OMAP_CONT_LG2 : 0;
	ret_entry->kind = ENTRY_LEAF;
	ret_entry->contig_lg2 = (uint8_t)contig_lg2;
	ret_entry->paddr = raw & ~0u << (pt->levels[level].span_lg2 + contig_lg2);
	ret_entry->attr = raw & ~ret_entry->paddr;
	ret_entry->prot = PROT_READ | PROT_WRITE;
}

#include "iommu/pgtable/io-pgtable.h"

#define OMAP_SIZES (UINT64_C(1) << 12 | UINT64_C(1) << 16 | UINT64_C(1) << 20 | UINT64_C(1) << 24)

static int omap_init(struct pgtable *pt)
{
	struct pgtable_config *config = &pt->config;
	int err;

	if (config->ias_bits != 32 || config->oas_bits != 32 || config->quirks)
		return -EINVAL;
	config->top_level = 1;
	config->incoherent = false;
	pt->levels[0] = (struct pgtable_level){.span_lg2 = 12, .index_lg2 = 8};
	pt->levels[1] = (struct pgtable_level){.span_lg2 = 20, .index_lg2 = 12};
	pt->entry_bytes = sizeof(entry_t);
	err = pgtable_table_alloc(pt, 1, &pt->root_paddr);
	if (err)
		return err;
	if (pgtable_root(pt) >> 32) {
		pgtable_free_tables(pt, 1, pt->root_paddr); /* the register has no room for such an address */
		return -EINVAL;
	}
	config->incoherent = true; /* always; the directory is flushed when it is attached */
	return 0;
}

/** Returns where the entry of @level for @iova lies in the table at @table. */
static uint64_t entry_at(const struct pgtable *pt, unsigned level, uint64_t table, uint64_t iova)
{
	return table + level_index(pt, level, iova) * sizeof(entry_t);
}

/** Writes @raw into @count entries from @at on. */
static void entries_write(struct pgtable *pt, uint64_t at, entry_t raw, uint64_t count)
{
	entry_t *entries = pgtable_bytes(pt, at);

	for (uint64_t i = 0; i < count; i++)
		entries[i] = raw;
	pgtable_wrote(pt, count);
}

/** Finds the table for @iova, making it where the directory has nothing: iopte_alloc(). *@ret_table is 0 where there is a
 * section. */
static int table_reach(struct pgtable *pt, uint64_t iova, uint64_t *ret_table)
{
	uint64_t at = entry_at(pt, 1, pt->root_paddr, iova);
	entry_t raw = *(entry_t *)pgtable_bytes(pt, at);
	int err;

	if (raw) {
		*ret_table = entry_is_table(1, raw) ? entry_table(pt, raw) : 0;
		return 0;
	}
	err = pgtable_table_alloc(pt, 0, ret_table);
	if (err)
		return err;
	if ((*ret_table + pt->config.table_offset) >> 32) {
		io_pgtable_warn(pt, "table where the directory cannot point to");
		pgtable_free_tables(pt, 0, *ret_table);
		return -ENOMEM;
	}
	entries_write(pt, at, (entry_t)(*ret_table + pt->config.table_offset) | OMAP_TYPE_TABLE, 1);
	pgtable_cache_flush(pt, at, sizeof(entry_t));
	return 0;
}

/** The kernel takes the section at @iova for a table. */
static void find_page_in_section(struct pgtable *pt, uint64_t iova)
{
	entry_t section = *(entry_t *)pgtable_bytes(pt, entry_at(pt, 1, pt->root_paddr, iova));
	uint64_t at = (section & OMAP_TABLE_ADDRESS) + level_index(pt, 0, iova) * sizeof(entry_t);

	sim_find(pt->sim, FINDING_CORRUPTION, "iopte_alloc",
		 "a page mapped at 0x%" G_GINT64_MODIFIER
		 "x, in a section: its entry is written to 0x%" G_GINT64_MODIFIER "x, which the section maps",
		 iova, at);
}

/** Forgets the tables of the directory's entries from @at on, which are about to be overwritten. Nothing frees them any
 * more, and nothing else gets their memory. */
static void tables_leak(struct pgtable *pt, uint64_t iova, uint64_t at, uint64_t count)
{
	const entry_t *entries = pgtable_bytes(pt, at);

	for (uint64_t i = 0; i < count; i++) {
		if (!entry_is_table(1, entries[i]))
			continue;
		sim_find(pt->sim, FINDING_LEAK, "iopte_alloc",
			 "the table of 0x%" G_GINT64_MODIFIER "x: its entry in the directory is overwritten",
			 iova + (i << pt->levels[1].span_lg2));
		pt->table_pages--;
		pt->table_generation++;
	}
}

/** iopgtable_store_entry_core(). Only small pages may be misaligned, and are cut to size; of a large one this is found
 * when the table is there already. */
static int page_store(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t size)
{
	unsigned level = size >> pt->levels[1].span_lg2 ? 1 : 0;
	uint64_t count = size >> pt->levels[level].span_lg2, table = pt->root_paddr, at;
	entry_t raw = (entry_t)(paddr & -size);
	int err = level ? 0 : table_reach(pt, iova, &table);

	if ((iova | paddr) & (size - 1) && (level || count > 1))
		return -EINVAL;
	if (err)
		return err;
	if (!table) {
		find_page_in_section(pt, iova);
		return 0;
	}
	at = entry_at(pt, level, table, iova);
	if (level) {
		tables_leak(pt, iova, at, count);
		raw |= OMAP_TYPE_SECTION | (count > 1 ? OMAP_SUPER : 0);
	} else {
		raw |= count > 1 ? OMAP_TYPE_LARGE : OMAP_TYPE_SMALL;
	}
	entries_write(pt, at, raw, count);
	pgtable_cache_flush(pt, at, count * sizeof(entry_t));
	return 0;
}

static int omap_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			  unsigned prot, uint64_t *mapped)
{
	int err;

	*mapped = 0;
	if (!io_pgtable_size_ok(pt, pgsize))
		return -EINVAL;
	iova = (uint32_t)iova;
	if (pt->tlb && pt->tlb->map_begin)
		pt->tlb->map_begin(iova, pgsize, pt->tlb_cookie);
	err = page_store(pt, iova, (uint32_t)paddr, pgsize);
	if (!err)
		*mapped = pgsize;
	return err;
}

/** Clears the entry of @iova, which may be empty, or all of the larger page that it is one of, whatever may stand there
 * by now. The flush has the right length, but begins at the given entry. Returns the size of what went. */
static uint64_t leaf_clear(struct pgtable *pt, unsigned level, uint64_t table, uint64_t iova)
{
	uint64_t at = entry_at(pt, level, table, iova), first, count = 1, size;

	if (entry_is_contiguous(level, *(entry_t *)pgtable_bytes(pt, at)))
		count = 1u << OMAP_CONT_LG2;
	first = at & ~(count * sizeof(entry_t) - 1);
	size = count << pt->levels[level].span_lg2;
	if (level)
		tables_leak(pt, iova & -size, first, count);
	entries_write(pt, first, 0, count);
	pgtable_cache_flush(pt, at, count * sizeof(entry_t));
	return size;
}

static bool table_is_empty(const struct pgtable *pt, uint64_t table)
{
	const entry_t *entries = table_entries(pt, table);

	for (uint32_t i = 0; i < 1u << pt->levels[0].index_lg2; i++)
		if (entries[i])
			return false;
	return true;
}

/** iopgtable_clear_entry_core(). Returns the size of what went, 0 where the directory had nothing. */
static uint64_t page_clear(struct pgtable *pt, uint64_t iova)
{
	uint64_t at = entry_at(pt, 1, pt->root_paddr, iova), table, cleared;
	entry_t raw = *(entry_t *)pgtable_bytes(pt, at);

	if (!raw)
		return 0;
	if (!entry_is_table(1, raw))
		return leaf_clear(pt, 1, pt->root_paddr, iova);
	table = entry_table(pt, raw);
	cleared = leaf_clear(pt, 0, table, iova);
	if (table_is_empty(pt, table)) {
		pgtable_free_tables(pt, 0, table);
		entries_write(pt, at, 0, 1);
		pgtable_cache_flush(pt, at, sizeof(entry_t));
	}
	return cleared;
}

static uint64_t omap_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				 struct pgtable_gather *gather)
{
	uint64_t cleared;

	iova = (uint32_t)iova;
	cleared = page_clear(pt, iova);
	/* Also where nothing was mapped. The page's own entry may be gone with its table: told is the directory's. */
	if (pt->tlb && pt->tlb->page_changed)
		pt->tlb->page_changed(iova, cleared, entry_at(pt, 1, pt->root_paddr, iova), false,
				      pt->tlb_cookie);
	if (cleared)
		io_pgtable_add_pages(pt, gather, iova & -cleared, cleared, 1);
	return cleared;
}

void omap_clear_all(struct pgtable *pt)
{
	for (uint64_t i = 0; i < 1u << pt->levels[1].index_lg2; i++) {
		uint64_t at = pt->root_paddr + i * sizeof(entry_t);
		entry_t raw = *(entry_t *)pgtable_bytes(pt, at);

		if (!raw)
			continue;
		if (entry_is_table(1, raw))
			pgtable_free_tables(pt, 0, entry_table(pt, raw));
		entries_write(pt, at, 0, 1);
		pgtable_cache_flush(pt, at, sizeof(entry_t));
	}
}

/** An address has 32 bits; what is above is nobody's. */
static bool omap_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	return io_pgtable_walk(pt, (uint32_t)iova, ret_walk);
}

static bool omap_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr, unsigned *ret_prot)
{
	return io_pgtable_lookup(pt, (uint32_t)iova, ret_paddr, ret_prot);
}

static void omap_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "ttb=0x%" G_GINT64_MODIFIER "x", pgtable_root(pt));
}

static void omap_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"", OMAP_TYPE_MASK},
		{"SUPER", OMAP_SUPER},
		{NULL, 0},
	};
	struct pgtable_entry entry;

	entry_decode(pt, level, (uint32_t)raw, &entry);
	pgtable_describe_fields(fields, entry.attr, out);
}

static const struct pgtable_config omap_geometries[] = {{.ias_bits = 32, .oas_bits = 32}, {0}};

const struct pgtable_ops omap_iommu_ops = {
	.name = "omap_iommu",
	.description = "TI OMAP IOMMU",
	.geometries = omap_geometries,
	.page_sizes = OMAP_SIZES,
	.state_size = sizeof(struct pgtable),
	.init = omap_init,
	.map_pages = omap_map_pages,
	.unmap_pages = omap_unmap_pages,
	.walk = omap_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = omap_lookup,
	.decode = io_pgtable_decode,
	.root_registers = omap_root_registers,
	.describe = omap_describe,
};
