/* SPDX-License-Identifier: MIT */

/*
 * Samsung's SysMMU: a table of 4096 entries of 1 MiB, and below it tables of 256 entries of 4 KiB; 64 KiB are 16 entries
 * that are the same. Up to version 3 entries hold addresses of 32 bits, from 5 on those of 36 bits, shifted down by four.
 * Source: drivers/iommu/exynos-iommu.c of Linux 7.0; pagetable-facts sections 1 to 5 and 9.
 *
 * No entry of the first level is ever zero: what is unused points to a second-level table that all such entries share,
 * the way around a bug of version 3.3. How many entries of a table are unused is counted beside the tables; one that has
 * become empty stays until a section takes its place, or to the end. The kernel has one shared table for the machine,
 * here each page table has its own.
 *
 * The kernel's level 1 is our 1, its level 2 our 0. Addresses are 32 bits wide to the driver, and what is above them is
 * dropped; it takes whatever physical address it is given, and each call does one page, however many are asked for.
 */
#include <string.h>

#include "iommu/pgtable/formats.h"

#define EXYNOS_TYPE_MASK    3u
#define EXYNOS_TYPE_TABLE   1u /* level 1 */
#define EXYNOS_TYPE_SECTION 2u
#define EXYNOS_TYPE_LARGE   1u /* level 0: one of 16 entries of a 64 KiB page */
#define EXYNOS_TYPE_SMALL   2u /* any with this bit */

#define EXYNOS_TABLE_ADDRESS 0xffffffc0u
#define EXYNOS_LARGE_LG2     4
#define EXYNOS_WIDE_SHIFT    4 /* by which entries shift addresses of 36 bits */

#define SMALL_SIZE   0x1000u
#define LARGE_SIZE   0x10000u
#define SECTION_SIZE 0x100000u

#define L1_ENTRIES 4096u
#define L2_ENTRIES 256u

/* Protection of addresses of 32 bits: whether there is access at all, and whether that is to read only. */
#define EXYNOS_ACCESS(level)	((level) ? 1u << 10 : 1u << 4)
#define EXYNOS_READ_ONLY(level) ((level) ? 1u << 15 : 1u << 9)
/* Of 36 bits: PROT_READ and PROT_WRITE, side by side. */
#define EXYNOS_PROT_SHIFT(level) ((level) ? 4 : 2)
#define EXYNOS_PROT_MASK	 (unsigned)(PROT_READ | PROT_WRITE)

struct exynos {
	struct pgtable pt;
	uint64_t
		unused; /* address of L1_ENTRIES counters of unused entries, by index of the table; 16 bits each */
};

static inline const struct exynos *exynos(const struct pgtable *pt)
{
	return (const struct exynos *)pt;
}

static inline bool is_wide(const struct pgtable *pt)
{
	return pt->config.oas_bits > 32;
}

static inline unsigned address_shift(const struct pgtable *pt)
{
	return is_wide(pt) ? EXYNOS_WIDE_SHIFT : 0;
}

/** Returns the entry of level 1 that points to @table. */
static inline uint32_t table_entry(const struct pgtable *pt, uint64_t table)
{
	return (uint32_t)((table + pt->config.table_offset) >> address_shift(pt)) | EXYNOS_TYPE_TABLE;
}

static inline uint64_t entry_table(const struct pgtable *pt, uint32_t raw)
{
	return ((uint64_t)(raw & EXYNOS_TABLE_ADDRESS) << address_shift(pt)) - pt->config.table_offset;
}

/** Returns the leaf for @paddr, of which nothing is cut off below. Without any permission it is mapped all the same. */
static uint32_t leaf_entry(const struct pgtable *pt, unsigned level, uint64_t paddr, unsigned prot,
			   uint32_t type)
{
	uint32_t raw = (uint32_t)(paddr >> address_shift(pt)) | type;

	prot &= EXYNOS_PROT_MASK;
	if (is_wide(pt))
		return raw | prot << EXYNOS_PROT_SHIFT(level);
	if (prot)
		raw |= EXYNOS_ACCESS(level);
	return prot == PROT_READ ? raw | EXYNOS_READ_ONLY(level) : raw;
}

static unsigned entry_prot(const struct pgtable *pt, unsigned level, uint32_t raw)
{
	if (is_wide(pt))
		return raw >> EXYNOS_PROT_SHIFT(level) & EXYNOS_PROT_MASK;
	if (!(raw & EXYNOS_ACCESS(level)))
		return 0;
	return raw & EXYNOS_READ_ONLY(level) ? PROT_READ : PROT_READ | PROT_WRITE;
}

typedef uint32_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	uint32_t type = raw & EXYNOS_TYPE_MASK;
	unsigned size_lg2;

	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (level == 1 && type == EXYNOS_TYPE_TABLE) {
		ret_entry->paddr = entry_table(pt, raw);
		ret_entry->kind = ret_entry->paddr == pt->zero_table ? ENTRY_ZERO : ENTRY_TABLE;
		ret_entry->attr = raw & ~EXYNOS_TABLE_ADDRESS;
		return;
	}
	if (type == 0 || (level == 1 && type != EXYNOS_TYPE_SECTION))
		return;
	ret_entry->kind = ENTRY_LEAF;
	ret_entry->contig_lg2 = level == 0 && type == EXYNOS_TYPE_LARGE ? EXYNOS_LARGE_LG2 : 0;
	size_lg2 = pt->levels[level].span_lg2 + ret_entry->contig_lg2;
	ret_entry->paddr = (uint64_t)raw << address_shift(pt) & UINT64_MAX << size_lg2;
	ret_entry->attr = raw & ~(uint32_t)(ret_entry->paddr >> address_shift(pt));
	ret_entry->prot = entry_prot(pt, level, raw);
}

#include "iommu/pgtable/io-pgtable.h"

/** Frees what init() allocated beside the tables, as far as it came. */
static void others_free(struct pgtable *pt)
{
	struct exynos *table = (struct exynos *)pt;

	if (table->unused)
		pgtable_other_free(pt, table->unused, L1_ENTRIES * sizeof(uint16_t));
	if (pt->zero_table)
		pgtable_other_free(pt, pt->zero_table, L2_ENTRIES * sizeof(entry_t));
}

static int tables_alloc(struct pgtable *pt)
{
	struct exynos *table = (struct exynos *)pt;
	int err = pgtable_other_alloc(pt, L2_ENTRIES * sizeof(entry_t), &pt->zero_table);

	if (!err)
		err = pgtable_table_alloc_unflushed(pt, 1, &pt->root_paddr);
	if (!err)
		err = pgtable_other_alloc(pt, L1_ENTRIES * sizeof(uint16_t), &table->unused);
	return err;
}

/** Whether entries and registers can hold the address of @table, of which the lowest @align_lg2 bits are to be zero. */
static bool address_fits(const struct pgtable *pt, uint64_t table, unsigned align_lg2)
{
	uint64_t address = table + pt->config.table_offset;

	return address >> pt->config.oas_bits == 0 && (address & ((1u << align_lg2) - 1)) == 0;
}

static void exynos_free_tables(struct pgtable *pt)
{
	if (pt->root_paddr)
		pgtable_free_tables(pt, 1, pt->root_paddr);
	others_free(pt);
}

static int exynos_init(struct pgtable *pt)
{
	struct pgtable_config *config = &pt->config;
	entry_t *entries;
	int err;

	if (config->ias_bits != 32 || (config->oas_bits != 32 && config->oas_bits != 36) || config->quirks)
		return -EINVAL;
	config->top_level = 1;
	pt->levels[0] = (struct pgtable_level){.span_lg2 = 12, .index_lg2 = 8};
	pt->levels[1] = (struct pgtable_level){.span_lg2 = 20, .index_lg2 = 12};
	pt->entry_bytes = sizeof(entry_t);
	err = tables_alloc(pt);
	if (!err && !address_fits(pt, pt->root_paddr, 14))
		err = -EINVAL;
	if (err) {
		exynos_free_tables(pt);
		return err;
	}
	entries = table_entries(pt, pt->root_paddr);
	for (uint32_t i = 0; i < L1_ENTRIES; i++)
		entries[i] = table_entry(pt, pt->zero_table);
	pgtable_wrote(pt, L1_ENTRIES);
	pgtable_cache_flush(pt, pt->root_paddr, L1_ENTRIES * sizeof(*entries));
	return 0;
}

/** An entry, and the address of it. */
struct slot {
	entry_t *entry;
	uint64_t at;
};

static struct slot slot_of(const struct pgtable *pt, unsigned level, uint64_t table, uint32_t iova)
{
	uint64_t at = table + level_index(pt, level, iova) * sizeof(entry_t);

	return (struct slot){pgtable_bytes(pt, at), at};
}

/** Writes @count entries that are the same. */
static void entries_write(struct pgtable *pt, struct slot slot, uint32_t raw, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		slot.entry[i] = raw;
	pgtable_wrote(pt, count);
	pgtable_cache_flush(pt, slot.at, count * sizeof(*slot.entry));
}

/** Returns the counter of unused entries in the table for @iova. */
static uint16_t *unused_of(const struct pgtable *pt, uint32_t iova)
{
	return pgtable_bytes(pt, exynos(pt)->unused + level_index(pt, 1, iova) * sizeof(uint16_t));
}

static void tell_table_changed(struct pgtable *pt, uint32_t iova, uint64_t at, bool linked)
{
	if (pt->tlb && pt->tlb->table_changed)
		pt->tlb->table_changed(iova, at, linked, pt->tlb_cookie);
}

static void tell_page_changed(struct pgtable *pt, uint32_t iova, uint64_t size, uint64_t at, bool mapped)
{
	if (pt->tlb && pt->tlb->page_changed)
		pt->tlb->page_changed(iova, size, at, mapped, pt->tlb_cookie);
}

/** lv1set_section() */
static int map_section(struct pgtable *pt, uint32_t iova, uint64_t paddr, unsigned prot)
{
	struct slot slot = slot_of(pt, 1, pt->root_paddr, iova);
	struct pgtable_entry old;

	entry_decode(pt, 1, *slot.entry, &old);
	if (old.kind == ENTRY_LEAF || (old.kind == ENTRY_TABLE && *unused_of(pt, iova) != L2_ENTRIES)) {
		io_pgtable_warn(pt, "map of 1 MiB over a mapped page");
		return -EADDRINUSE;
	}
	if (old.kind == ENTRY_TABLE) {
		tell_table_changed(pt, iova, slot.at, false);
		pgtable_free_tables(pt, 0, old.paddr);
		*unused_of(pt, iova) = 0;
	}
	pt->table_generation++; /* what this entry led to, the shared table too, no longer is there */
	entries_write(pt, slot, leaf_entry(pt, 1, paddr, prot, EXYNOS_TYPE_SECTION), 1);
	tell_page_changed(pt, iova, SECTION_SIZE, slot.at, true);
	return 0;
}

/** alloc_lv2entry(): makes the table for @iova, where @slot had none. */
static int table_new(struct pgtable *pt, uint32_t iova, struct slot slot, bool was_shared,
		     uint64_t *ret_table)
{
	uint64_t table;
	int err = pgtable_table_alloc_unflushed(pt, 0, &table);

	if (err)
		return err;
	if (!address_fits(pt, table, 10)) {
		pgtable_free_tables(pt, 0, table);
		return -ENOMEM;
	}
	pt->table_generation++;
	entries_write(pt, slot, table_entry(pt, table), 1);
	*unused_of(pt, iova) = L2_ENTRIES;
	pgtable_cache_flush(pt, table, L2_ENTRIES * sizeof(entry_t));
	if (was_shared)
		tell_table_changed(pt, iova, slot.at, true);
	*ret_table = table;
	return 0;
}

static int table_reach(struct pgtable *pt, uint32_t iova, uint64_t *ret_table)
{
	struct slot slot = slot_of(pt, 1, pt->root_paddr, iova);
	struct pgtable_entry entry;

	entry_decode(pt, 1, *slot.entry, &entry);
	if (entry.kind == ENTRY_LEAF) {
		io_pgtable_warn(pt, "map over a page of 1 MiB");
		return -EADDRINUSE;
	}
	if (entry.kind != ENTRY_TABLE)
		return table_new(pt, iova, slot, entry.kind == ENTRY_ZERO, ret_table);
	*ret_table = entry.paddr;
	return 0;
}

/** lv2set_page() for 64 KiB. A used entry in the midst is found only there: what was written before it is taken back, and
 * that without a flush. */
static int map_large(struct pgtable *pt, struct slot slot, uint32_t raw)
{
	uint32_t i = 0;

	for (; i < 1u << EXYNOS_LARGE_LG2 && !(slot.entry[i] & EXYNOS_TYPE_MASK); i++)
		slot.entry[i] = raw;
	pgtable_wrote(pt, i);
	if (i == 1u << EXYNOS_LARGE_LG2) {
		pgtable_cache_flush(pt, slot.at, i * sizeof(*slot.entry));
		return 0;
	}
	memset(slot.entry, 0, i * sizeof(*slot.entry));
	pgtable_wrote(pt, i);
	io_pgtable_warn(pt, "map of 64 KiB over a mapped page");
	return -EADDRINUSE;
}

static int map_small(struct pgtable *pt, struct slot slot, uint32_t raw)
{
	if (*slot.entry & EXYNOS_TYPE_MASK) {
		io_pgtable_warn(pt, "map over a mapped page");
		return -EADDRINUSE;
	}
	entries_write(pt, slot, raw, 1);
	return 0;
}

/** Whether 64 KiB from @iova on have their entries in one table. The kernel does not ask, and would go on behind it. */
static bool large_fits(const struct pgtable *pt, uint32_t iova)
{
	return level_index(pt, 0, iova) + (1u << EXYNOS_LARGE_LG2) <= L2_ENTRIES;
}

/** Maps one page; a size that is neither that of a section nor of a small page counts as large. */
static int map_page(struct pgtable *pt, uint32_t iova, uint64_t paddr, uint64_t size, unsigned prot)
{
	uint64_t table;
	struct slot slot;
	int err;

	if (size == SECTION_SIZE)
		return map_section(pt, iova, paddr, prot);
	if (size != SMALL_SIZE && G_UNLIKELY(!large_fits(pt, iova))) {
		io_pgtable_warn(pt, "map of 64 KiB beyond the end of a table");
		return -EINVAL;
	}
	err = table_reach(pt, iova, &table);
	if (err)
		return err;
	slot = slot_of(pt, 0, table, iova);
	if (size == SMALL_SIZE)
		err = map_small(pt, slot, leaf_entry(pt, 0, paddr, prot, EXYNOS_TYPE_SMALL));
	else
		err = map_large(pt, slot, leaf_entry(pt, 0, paddr, prot, EXYNOS_TYPE_LARGE));
	if (err)
		return err;
	*unused_of(pt, iova) -= size == SMALL_SIZE ? 1 : 1 << EXYNOS_LARGE_LG2;
	tell_page_changed(pt, iova, size, slot.at, true);
	return 0;
}

static int exynos_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize,
			    uint64_t count, unsigned prot, uint64_t *mapped)
{
	int err = map_page(pt, (uint32_t)iova, paddr, pgsize, prot);

	*mapped = err ? 0 : pgsize;
	return err;
}

/** Takes one page out of the table for @iova. Returns how many bytes are to be invalidated, 0 after a warning. What is
 * not mapped counts as one small page. */
static uint64_t unmap_in_table(struct pgtable *pt, uint32_t iova, uint64_t size, struct slot slot)
{
	struct pgtable_entry entry;

	entry_decode(pt, 0, *slot.entry, &entry);
	if (entry.kind == ENTRY_EMPTY)
		return SMALL_SIZE;
	if (entry.contig_lg2 == 0) {
		entries_write(pt, slot, 0, 1);
		*unused_of(pt, iova) += 1;
		return SMALL_SIZE;
	}
	if (size < LARGE_SIZE || G_UNLIKELY(!large_fits(pt, iova))) {
		io_pgtable_warn(pt, "unmap of a part of a larger page");
		return 0;
	}
	entries_write(pt, slot, 0, 1u << EXYNOS_LARGE_LG2);
	*unused_of(pt, iova) += 1u << EXYNOS_LARGE_LG2;
	return LARGE_SIZE;
}

/** Unmaps the page at @iova, whatever its size if that is not above @size, and tells of it also where there is none.
 * exynos_iommu_unmap(). */
static uint64_t exynos_unmap_pages(struct pgtable *pt, uint64_t iova64, uint64_t size, uint64_t count,
				   struct pgtable_gather *gather)
{
	uint32_t iova = (uint32_t)iova64;
	struct slot slot = slot_of(pt, 1, pt->root_paddr, iova);
	struct pgtable_entry entry;

	entry_decode(pt, 1, *slot.entry, &entry);
	if (entry.kind == ENTRY_TABLE) {
		slot = slot_of(pt, 0, entry.paddr, iova);
		size = unmap_in_table(pt, iova, size, slot);
	} else if (entry.kind == ENTRY_LEAF && size < SECTION_SIZE) {
		io_pgtable_warn(pt, "unmap of a part of a larger page");
		size = 0;
	} else {
		size = MIN(size, SECTION_SIZE);
		if (entry.kind == ENTRY_LEAF)
			entries_write(pt, slot, table_entry(pt, pt->zero_table), 1);
	}
	if (size)
		tell_page_changed(pt, iova, size, slot.at, false);
	return size;
}

static bool exynos_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	return io_pgtable_walk(pt, (uint32_t)iova, ret_walk);
}

static bool exynos_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr, unsigned *ret_prot)
{
	return io_pgtable_lookup(pt, (uint32_t)iova, ret_paddr, ret_prot);
}

static void exynos_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "pgtable=0x%" G_GINT64_MODIFIER "x", pgtable_root(pt));
}

/** The driver's words; the manual is not public. */
static void exynos_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	const struct pgtable_field narrow[] = {
		{"", EXYNOS_TYPE_MASK},
		{"ACCESS", EXYNOS_ACCESS(level)},
		{"RDONLY", EXYNOS_READ_ONLY(level)},
		{NULL, 0},
	};
	const struct pgtable_field wide[] = {
		{"", EXYNOS_TYPE_MASK},
		{"R", PROT_READ << EXYNOS_PROT_SHIFT(level)},
		{"W", PROT_WRITE << EXYNOS_PROT_SHIFT(level)},
		{NULL, 0},
	};
	struct pgtable_entry entry;

	entry_decode(pt, level, (uint32_t)raw, &entry);
	pgtable_describe_fields(is_wide(pt) ? wide : narrow, entry.attr, out);
}

/* Up to version 3, and from 5 on. */
static const struct pgtable_config exynos_geometries[] = {
	{.ias_bits = 32, .oas_bits = 32},
	{.ias_bits = 32, .oas_bits = 36},
	{0},
};

const struct pgtable_ops exynos_sysmmu_ops = {
	.name = "exynos_sysmmu",
	.description = "Samsung Exynos SysMMU",
	.geometries = exynos_geometries,
	.page_sizes = SMALL_SIZE | LARGE_SIZE | SECTION_SIZE,
	.state_size = sizeof(struct exynos),
	.init = exynos_init,
	.map_pages = exynos_map_pages,
	.unmap_pages = exynos_unmap_pages,
	.walk = exynos_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = exynos_lookup,
	.decode = io_pgtable_decode,
	.root_registers = exynos_root_registers,
	.describe = exynos_describe,
	.free_tables = exynos_free_tables,
};
