/* SPDX-License-Identifier: MIT */

/*
 * Allwinner's two-level format, of the IOMMU in the H6 and later: pages of 4 KiB and nothing else. Source:
 * drivers/iommu/sun50i-iommu.c of Linux 7.0.
 *
 * The driver does one page a call, refuses without a WARN, and never frees a second-level table before the last device
 * goes. It flushes every entry that it writes; the directory itself is handed to the device, and flushed, only when one
 * is attached.
 */
#include "iommu/pgtable/formats.h"

#define DTE_TYPE_MASK  3u
#define DTE_TYPE_TABLE 1u
#define DTE_ADDRESS    0xfffffc00u

#define PTE_VALID     (1u << 1)
#define PTE_ACI_SHIFT 4 /* authority control index: which of 16 sets of rights the page has */
#define PTE_ACI_MASK  0xfu
#define PTE_ADDRESS   0xfffff000u

/* The sets that the driver defines. */
enum {
	ACI_NONE = 1,
	ACI_READ = 2,
	ACI_WRITE = 3,
	ACI_READ_WRITE = 4,
};

typedef uint32_t entry_t;

static inline bool dte_is_table(uint32_t raw)
{
	return (raw & DTE_TYPE_MASK) == DTE_TYPE_TABLE;
}

static inline uint64_t dte_table(const struct pgtable *pt, uint32_t raw)
{
	return (raw & DTE_ADDRESS) - pt->config.table_offset;
}

static inline unsigned pte_prot(uint32_t raw)
{
	switch (raw >> PTE_ACI_SHIFT & PTE_ACI_MASK) {
	case ACI_READ:
		return PROT_READ;
	case ACI_WRITE:
		return PROT_WRITE;
	case ACI_READ_WRITE:
		return PROT_READ | PROT_WRITE;
	default:
		return 0;
	}
}

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (level == 1 && dte_is_table(raw)) {
		ret_entry->kind = ENTRY_TABLE;
		ret_entry->attr = raw & ~DTE_ADDRESS;
		ret_entry->paddr = dte_table(pt, raw);
	} else if (level == 0 && raw & PTE_VALID) {
		ret_entry->kind = ENTRY_LEAF;
		ret_entry->attr = raw & ~PTE_ADDRESS;
		ret_entry->paddr = raw & PTE_ADDRESS;
		ret_entry->prot = pte_prot(raw);
	}
}

#include "iommu/pgtable/io-pgtable.h"

static int sun50i_init(struct pgtable *pt)
{
	int err;

	if (pt->config.ias_bits != 32 || pt->config.oas_bits != 32)
		return -EINVAL;
	pt->config.top_level = 1;
	pt->levels[0] = (struct pgtable_level){.span_lg2 = 12, .index_lg2 = 8};
	pt->levels[1] = (struct pgtable_level){.span_lg2 = 20, .index_lg2 = 12};
	pt->entry_bytes = sizeof(entry_t);
	pt->table_mask = DTE_ADDRESS;
	pt->config.incoherent = false; /* the directory is flushed when a device is attached */
	err = pgtable_table_alloc(pt, 1, &pt->root_paddr);
	if (err)
		return err;
	if (pgtable_root(pt) >> 32) {
		pgtable_free_tables(pt, 1, pt->root_paddr); /* entries have no room for such an address */
		return -EINVAL;
	}
	pt->config.incoherent = true;
	return 0;
}

static void entry_write(struct pgtable *pt, uint64_t at, uint32_t raw)
{
	*(uint32_t *)pgtable_bytes(pt, at) = raw;
	pgtable_wrote(pt, 1);
	pgtable_cache_flush(pt, at, sizeof(raw));
}

static uint64_t dte_at(const struct pgtable *pt, uint64_t iova)
{
	return pt->root_paddr + level_index(pt, 1, iova) * sizeof(entry_t);
}

/** Finds the second-level table for @iova, making it if there is none. */
static int table_reach(struct pgtable *pt, uint64_t iova, uint64_t *ret_table)
{
	uint64_t at = dte_at(pt, iova);
	const uint32_t *dte = pgtable_bytes(pt, at);
	int err;

	if (dte_is_table(*dte)) {
		*ret_table = dte_table(pt, *dte);
		return 0;
	}
	err = pgtable_table_alloc(pt, 0, ret_table);
	if (err)
		return err;
	/* Once more: the allocation has flushed it already. */
	pgtable_cache_flush(pt, *ret_table, pgtable_table_bytes(pt, 0));
	entry_write(pt, at, (uint32_t)(*ret_table + pt->config.table_offset) | DTE_TYPE_TABLE);
	return 0;
}

static uint32_t leaf_entry(uint64_t paddr, unsigned prot)
{
	uint32_t aci = ACI_NONE;

	if (prot & PROT_READ && prot & PROT_WRITE)
		aci = ACI_READ_WRITE;
	else if (prot & PROT_READ)
		aci = ACI_READ;
	else if (prot & PROT_WRITE)
		aci = ACI_WRITE;
	return ((uint32_t)paddr & PTE_ADDRESS) | aci << PTE_ACI_SHIFT | PTE_VALID;
}

/** sun50i_iommu_map(): one page, whatever @count says. */
static int sun50i_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize,
			    uint64_t count, unsigned prot, uint64_t *mapped)
{
	uint64_t table, at;
	int err;

	*mapped = 0;
	if (paddr >> 32)
		return -EINVAL;
	err = table_reach(pt, iova, &table);
	if (err)
		return err;
	at = table + level_index(pt, 0, iova) * sizeof(entry_t);
	if (*(const uint32_t *)pgtable_bytes(pt, at) & PTE_VALID)
		return -EBUSY;
	entry_write(pt, at, leaf_entry(paddr, prot));
	*mapped = pgsize;
	return 0;
}

/** sun50i_iommu_unmap(): the same. */
static uint64_t sun50i_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				   struct pgtable_gather *gather)
{
	uint32_t dte = *(const uint32_t *)pgtable_bytes(pt, dte_at(pt, iova));
	uint64_t at;

	if (!dte_is_table(dte))
		return 0;
	at = dte_table(pt, dte) + level_index(pt, 0, iova) * sizeof(entry_t);
	if (!(*(const uint32_t *)pgtable_bytes(pt, at) & PTE_VALID))
		return 0;
	entry_write(pt, at, 0);
	return UINT64_C(1) << pt->levels[0].span_lg2;
}

void sun50i_free_second_level(struct pgtable *pt)
{
	const uint32_t *directory = table_entries(pt, pt->root_paddr);

	for (uint32_t i = 0; i < 1u << pt->levels[1].index_lg2; i++) {
		uint32_t dte = directory[i];

		if (!dte_is_table(dte))
			continue;
		entry_write(pt, pt->root_paddr + i * sizeof(dte), 0);
		pgtable_free_tables(pt, 0, dte_table(pt, dte));
	}
}

/* Neither the driver nor the device knows of more than 32 bits of an IOVA. */

static bool sun50i_walk(const struct pgtable *pt, uint64_t iova, struct pgtable_walk *ret_walk)
{
	return io_pgtable_walk(pt, (uint32_t)iova, ret_walk);
}

static bool sun50i_lookup(const struct pgtable *pt, uint64_t iova, uint64_t *ret_paddr, unsigned *ret_prot)
{
	return io_pgtable_lookup(pt, (uint32_t)iova, ret_paddr, ret_prot);
}

static void sun50i_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "dt=0x%" G_GINT64_MODIFIER "x", pgtable_root(pt));
}

static void sun50i_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field page_fields[] = {
		{"VALID", PTE_VALID},
		{"ACI", PTE_ACI_MASK << PTE_ACI_SHIFT},
		{"", PTE_ADDRESS},
		{NULL, 0},
	};
	static const struct pgtable_field table_fields[] = {
		{"", DTE_TYPE_MASK},
		{"", DTE_ADDRESS},
		{NULL, 0},
	};

	pgtable_describe_fields(level ? table_fields : page_fields, raw, out);
}

static const struct pgtable_config sun50i_geometries[] = {{.ias_bits = 32, .oas_bits = 32}, {0}};

const struct pgtable_ops sun50i_ops = {
	.name = "sun50i_iommu",
	.description = "Allwinner H6 and later",
	.geometries = sun50i_geometries,
	.page_sizes = UINT64_C(1) << 12,
	.state_size = sizeof(struct pgtable),
	.init = sun50i_init,
	.map_pages = sun50i_map_pages,
	.unmap_pages = sun50i_unmap_pages,
	.walk = sun50i_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = sun50i_lookup,
	.decode = io_pgtable_decode,
	.root_registers = sun50i_root_registers,
	.describe = sun50i_describe,
};
