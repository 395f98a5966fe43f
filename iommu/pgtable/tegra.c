/* SPDX-License-Identifier: MIT */

/*
 * Tegra SMMU: a directory of 1024 entries and tables of as many 4 KiB pages. Source: drivers/iommu/tegra-smmu.c of Linux
 * 7.0; pagetable-facts sections 2 to 5.
 *
 * The kernel's directory is our level 1. It maps and unmaps one page a call, whatever size it is told, and ignores the
 * upper halves of 64-bit IOVAs. A page over a page replaces it silently. Each directory entry has a count of the pages in
 * use; the table is freed when it comes to 0. The width of a physical address, 32 or 34 bits, is that of a page frame
 * number in an entry, but a wider one is not refused: it reaches into the attributes.
 */
#include "iommu/pgtable/formats.h"

#define TEGRA_READABLE	(1u << 31)
#define TEGRA_WRITABLE	(1u << 30)
#define TEGRA_NONSECURE (1u << 29)
#define TEGRA_NEXT	(1u << 28) /* points to a table */
#define TEGRA_PAGE_LG2	12
#define TEGRA_INDEX_LG2 10

struct tegra {
	struct pgtable pt;
	uint16_t used[1u << TEGRA_INDEX_LG2]; /* pages mapped below each entry of the directory */
};

/** The field of a page frame number. */
static inline uint32_t pfn_mask(const struct pgtable *pt)
{
	return (1u << (pt->config.oas_bits - TEGRA_PAGE_LG2)) - 1;
}

static inline uint64_t entry_address(const struct pgtable *pt, uint32_t raw)
{
	return (uint64_t)(raw & pfn_mask(pt)) << TEGRA_PAGE_LG2;
}

typedef uint32_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (!raw)
		return;
	ret_entry->attr = raw & ~pfn_mask(pt);
	if (level) {
		ret_entry->kind = ENTRY_TABLE;
		ret_entry->paddr = entry_address(pt, raw) - pt->config.table_offset;
	} else {
		ret_entry->kind = ENTRY_LEAF;
		ret_entry->paddr = entry_address(pt, raw);
		ret_entry->prot =
			(raw & TEGRA_READABLE ? PROT_READ : 0) | (raw & TEGRA_WRITABLE ? PROT_WRITE : 0);
	}
}

#include "iommu/pgtable/io-pgtable.h"

/** Whether an entry has room for the address of the table at @table. */
static bool table_in_reach(const struct pgtable *pt, uint64_t table)
{
	return (table + pt->config.table_offset) >> pt->config.oas_bits == 0;
}

static int tegra_init(struct pgtable *pt)
{
	struct pgtable_config *config = &pt->config;
	int err;

	if (config->ias_bits != 32 || config->oas_bits <= TEGRA_PAGE_LG2 || config->oas_bits > 34 ||
	    config->quirks)
		return -EINVAL;
	config->top_level = 1;
	config->incoherent = false;
	for (unsigned level = 0; level <= 1; level++)
		pt->levels[level] = (struct pgtable_level){
			.span_lg2 = (uint8_t)(TEGRA_PAGE_LG2 + level * TEGRA_INDEX_LG2),
			.index_lg2 = TEGRA_INDEX_LG2};
	pt->entry_bytes = sizeof(entry_t);
	err = pgtable_table_alloc(pt, 1, &pt->root_paddr);
	if (err)
		return err;
	if (!table_in_reach(pt, pt->root_paddr)) {
		pgtable_free_tables(pt, 1, pt->root_paddr);
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

static void entry_write(struct pgtable *pt, uint64_t at, entry_t raw)
{
	*(entry_t *)pgtable_bytes(pt, at) = raw;
	pgtable_wrote(pt, 1);
	pgtable_cache_flush(pt, at, sizeof(entry_t));
}

/** tegra_smmu_set_pde(): the directory's entry for @iova, 0 for one without a table. */
static void directory_write(struct pgtable *pt, uint64_t iova, entry_t raw)
{
	uint64_t at = entry_at(pt, 1, pt->root_paddr, iova);

	entry_write(pt, at, raw);
	if (pt->tlb && pt->tlb->table_changed)
		pt->tlb->table_changed(iova, at, raw != 0, pt->tlb_cookie);
}

/** tegra_smmu_set_pte(): the entry at @at of the page at @iova, 0 to unmap it. */
static void page_write(struct pgtable *pt, uint64_t iova, uint64_t at, entry_t raw)
{
	entry_write(pt, at, raw);
	if (pt->tlb && pt->tlb->page_changed)
		pt->tlb->page_changed(iova, UINT64_C(1) << TEGRA_PAGE_LG2, at, raw != 0, pt->tlb_cookie);
}

/** Finds the table for @iova, 0 where there is none. */
static uint64_t table_find(const struct pgtable *pt, uint64_t iova)
{
	struct pgtable_entry entry;

	entry_decode(pt, 1, table_entries(pt, pt->root_paddr)[level_index(pt, 1, iova)], &entry);
	return entry.paddr;
}

/** The same, making it where there is none. */
static int table_reach(struct pgtable *pt, uint64_t iova, uint64_t *ret_table)
{
	int err;

	*ret_table = table_find(pt, iova);
	if (*ret_table)
		return 0;
	err = pgtable_table_alloc(pt, 0, ret_table);
	if (err)
		return err;
	if (!table_in_reach(pt, *ret_table)) {
		pgtable_free_tables(pt, 0, *ret_table);
		return -ENOMEM;
	}
	directory_write(pt, iova,
			(entry_t)((*ret_table + pt->config.table_offset) >> TEGRA_PAGE_LG2) | TEGRA_READABLE |
				TEGRA_WRITABLE | TEGRA_NONSECURE | TEGRA_NEXT);
	return 0;
}

static int tegra_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			   unsigned prot, uint64_t *mapped)
{
	entry_t raw = (entry_t)(paddr >> TEGRA_PAGE_LG2) | TEGRA_NONSECURE;
	uint64_t table, at;
	int err;

	*mapped = 0;
	iova = (uint32_t)iova;
	err = table_reach(pt, iova, &table);
	if (err)
		return err;
	raw |= (prot & PROT_READ ? TEGRA_READABLE : 0) | (prot & PROT_WRITE ? TEGRA_WRITABLE : 0);
	at = entry_at(pt, 0, table, iova);
	if (*(entry_t *)pgtable_bytes(pt, at) == 0)
		((struct tegra *)pt)->used[level_index(pt, 1, iova)]++;
	page_write(pt, iova, at, raw);
	*mapped = pgsize;
	return 0;
}

static uint64_t tegra_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				  struct pgtable_gather *gather)
{
	uint64_t table, at;

	iova = (uint32_t)iova;
	table = table_find(pt, iova);
	if (!table)
		return 0;
	at = entry_at(pt, 0, table, iova);
	if (*(entry_t *)pgtable_bytes(pt, at) == 0)
		return 0;
	page_write(pt, iova, at, 0);
	if (--((struct tegra *)pt)->used[level_index(pt, 1, iova)] == 0) {
		directory_write(pt, iova, 0);
		pgtable_free_tables(pt, 0, table);
	}
	io_pgtable_add_pages(pt, gather, iova, pgsize, 1);
	return pgsize;
}

/** An IOVA has 32 bits; what is above is nobody's. */
static bool tegra_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	return io_pgtable_walk(pt, (uint32_t)iova, ret_walk);
}

static bool tegra_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr, unsigned *ret_prot)
{
	return io_pgtable_lookup(pt, (uint32_t)iova, ret_paddr, ret_prot);
}

static void tegra_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "pd=0x%" G_GINT64_MODIFIER "x", pgtable_root(pt));
}

static void tegra_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"NEXT", TEGRA_NEXT},
		{"NONSECURE", TEGRA_NONSECURE},
		{"WRITABLE", TEGRA_WRITABLE},
		{"READABLE", TEGRA_READABLE},
		{NULL, 0},
	};

	pgtable_describe_fields(fields, raw & ~(uint64_t)pfn_mask(pt), out);
}

/* Tegra30 and Tegra114; Tegra124 and Tegra210. */
static const struct pgtable_config tegra_geometries[] = {
	{.ias_bits = 32, .oas_bits = 32},
	{.ias_bits = 32, .oas_bits = 34},
	{0},
};

const struct pgtable_ops tegra_smmu_ops = {
	.name = "tegra_smmu",
	.description = "NVIDIA Tegra SMMU",
	.geometries = tegra_geometries,
	.page_sizes = UINT64_C(1) << TEGRA_PAGE_LG2,
	.state_size = sizeof(struct tegra),
	.init = tegra_init,
	.map_pages = tegra_map_pages,
	.unmap_pages = tegra_unmap_pages,
	.walk = tegra_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = tegra_lookup,
	.decode = io_pgtable_decode,
	.root_registers = tegra_root_registers,
	.describe = tegra_describe,
};
