/* SPDX-License-Identifier: MIT */

/*
 * MediaTek's first format, of the M4U in the MT2701: one flat table of 4 MiB with an entry for each page of 4 KiB. Source:
 * drivers/iommu/mtk_iommu_v1.c of Linux 7.0.
 *
 * There is nothing to allocate but the table, in memory that needs no flushing. The driver invalidates inside each call
 * what the call has changed, and that is what it says through page_changed(): all pages of a call as one.
 */
#include "iommu/pgtable/formats.h"

#define DESC_VALID   (1u << 1)
#define DESC_NONSEC  (1u << 3)
#define DESC_ADDRESS 0xfffff000u

#define PAGE_LG2 12

typedef uint32_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (!(raw & DESC_VALID))
		return;
	ret_entry->kind = ENTRY_LEAF;
	ret_entry->attr = raw & ~DESC_ADDRESS;
	ret_entry->paddr = raw & DESC_ADDRESS;
	ret_entry->prot = PROT_READ | PROT_WRITE;
}

#include "iommu/pgtable/io-pgtable.h"

static int mtk_v1_init(struct pgtable *pt)
{
	int err;

	if (pt->config.ias_bits != 32 || pt->config.oas_bits != 32)
		return -EINVAL;
	pt->config.incoherent = false; /* dma_alloc_coherent() */
	pt->config.top_level = 0;
	pt->levels[0] = (struct pgtable_level){.span_lg2 = PAGE_LG2, .index_lg2 = 20};
	pt->entry_bytes = sizeof(entry_t);
	err = pgtable_table_alloc(pt, 0, &pt->root_paddr);
	if (err)
		return err;
	if (pgtable_root(pt) >> 32) {
		pgtable_free_tables(pt, 0, pt->root_paddr); /* the register has no room for such an address */
		return -EINVAL;
	}
	return 0;
}

/** Whether @count pages from @iova on have entries. The driver leaves that to its caller, and would run over the end. */
static bool entries_exist(const struct pgtable *pt, uint64_t iova, uint64_t count)
{
	uint64_t entries = UINT64_C(1) << pt->levels[0].index_lg2;

	return !io_pgtable_iova_beyond(pt, iova) && count <= entries - (iova >> PAGE_LG2);
}

static uint64_t entry_at(const struct pgtable *pt, uint64_t iova)
{
	return pt->root_paddr + level_index(pt, 0, iova) * sizeof(entry_t);
}

static void tell(const struct pgtable *pt, uint64_t iova, uint64_t size, bool mapped)
{
	if (pt->tlb && pt->tlb->page_changed)
		pt->tlb->page_changed(iova, size, entry_at(pt, iova), mapped, pt->tlb_cookie);
}

/** mtk_iommu_v1_map(): stops at the first entry in use, with what came before left in place. */
static int mtk_v1_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize,
			    uint64_t count, unsigned prot, uint64_t *mapped)
{
	uint32_t *entries;
	uint64_t done = 0;

	*mapped = 0;
	if (!entries_exist(pt, iova, count)) {
		io_pgtable_warn(pt, "map beyond the end of the table");
		return -ERANGE;
	}
	entries = pgtable_bytes(pt, entry_at(pt, iova));
	for (; done < count && !entries[done]; done++)
		entries[done] = (uint32_t)(paddr + (done << PAGE_LG2)) | DESC_VALID | DESC_NONSEC;
	pgtable_wrote(pt, done);
	*mapped = done << PAGE_LG2;
	tell(pt, iova, *mapped, true);
	return done == count ? 0 : -EEXIST;
}

/** mtk_iommu_v1_unmap(): never looks at what it clears. */
static uint64_t mtk_v1_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				   struct pgtable_gather *gather)
{
	uint32_t *entries;

	if (!entries_exist(pt, iova, count)) {
		io_pgtable_warn(pt, "unmap beyond the end of the table");
		return 0;
	}
	entries = pgtable_bytes(pt, entry_at(pt, iova));
	for (uint64_t i = 0; i < count; i++)
		entries[i] = 0;
	pgtable_wrote(pt, count);
	tell(pt, iova, count << PAGE_LG2, false);
	return count << PAGE_LG2;
}

static void mtk_v1_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "pt_base=0x%" G_GINT64_MODIFIER "x", pgtable_root(pt));
}

static void mtk_v1_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"VALID", DESC_VALID},
		{"NONSEC", DESC_NONSEC},
		{"", DESC_ADDRESS},
		{NULL, 0},
	};

	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config mtk_v1_geometries[] = {{.ias_bits = 32, .oas_bits = 32}, {0}};

const struct pgtable_ops mtk_v1_ops = {
	.name = "mtk_iommu_v1",
	.description = "MediaTek M4U of the first generation",
	.geometries = mtk_v1_geometries,
	.page_sizes = UINT64_C(1) << PAGE_LG2,
	.state_size = sizeof(struct pgtable),
	.init = mtk_v1_init,
	.map_pages = mtk_v1_map_pages,
	.unmap_pages = mtk_v1_unmap_pages,
	.walk = io_pgtable_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = io_pgtable_lookup,
	.decode = io_pgtable_decode,
	.root_registers = mtk_v1_root_registers,
	.describe = mtk_v1_describe,
};
