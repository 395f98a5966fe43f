/* SPDX-License-Identifier: MIT */

/*
 * The IOMMU of TI's OMAP. Source: drivers/iommu/omap-iommu.c of Linux 7.0; pagetable-facts sections 3 and 5 to 8.
 *
 * There is no command that invalidates an address. The driver reads the entries of the TLB one after another until one
 * covers the address, loads the same entry again, and flushes that: before each map and after each unmap. So it pays for
 * the whole TLB where the address is not there, and where several entries cover what is unmapped, or what another page is
 * mapped over, the others stay.
 *
 * The TLB that it reads is the model's IOTLB: entry n of the one is entry n of the other. An IOTLB with more entries than
 * the driver knows of keeps what lies behind. Entries that software loaded (recordings do, and nothing else in Linux 7.0)
 * stand in front of those, and do not translate.
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/omap.h"
#include "iommu/pgtable/formats.h"

#define MMU_IRQSTATUS	0x18
#define MMU_IRQENABLE	0x1c
#define MMU_CNTL	0x44
#define MMU_FAULT_AD	0x48
#define MMU_TTB		0x4c
#define MMU_LD_TLB	0x54
#define MMU_CAM		0x58
#define MMU_RAM		0x5c
#define MMU_GFLUSH	0x60
#define MMU_FLUSH_ENTRY 0x64

#define MMU_IRQ_TRANSLATIONFAULT 0x2u
#define MMU_IRQ_MASK		 0x1fu /* with TLB miss, EMU miss, walk fault, multi-hit */
#define MMU_IRQ_TWL_MASK	 0x1eu /* all but the TLB miss, which the table walker serves */

#define MMU_CNTL_TWL_EN 0x4u
#define MMU_CNTL_MMU_EN 0x2u

#define MMU_CAM_PGSZ_MASK 0x3u
#define MMU_CAM_PGSZ_1M	  0x0u
#define MMU_CAM_PGSZ_64K  0x1u
#define MMU_CAM_PGSZ_4K	  0x2u
#define MMU_CAM_PGSZ_16M  0x3u
#define MMU_CAM_V	  0x4u

#define TLB_LINES_MAX 32

/** An entry as the registers show it. */
struct cam_ram {
	uint32_t cam, ram;
};

struct omap {
	unsigned lines;
	struct cam_ram loaded[TLB_LINES_MAX]; /* by software; valid by its CAM's bit */
	struct iommu_domain *domain;	      /* attached; or NULL */
};

static struct omap *omap_state(const struct iommu *iommu)
{
	return iommu->state;
}

unsigned omap_tlb_lines(const struct iommu *iommu)
{
	return omap_state(iommu)->lines;
}

void omap_tlb_load(struct iommu *iommu, unsigned line, uint32_t cam, uint32_t ram)
{
	g_assert(line < omap_tlb_lines(iommu));
	omap_state(iommu)->loaded[line] = (struct cam_ram){cam, ram};
}

/** The device tree may say 8 or 32, and means 32 without a word. */
static int omap_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct omap *omap = iommu->state;

	omap->lines = config->tlb_lines ? config->tlb_lines : TLB_LINES_MAX;
	return omap->lines == 8 || omap->lines == TLB_LINES_MAX ? 0 : -EINVAL;
}

static void omap_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 32;
	config->page_sizes = 0;
	config->quirks = 0;
}

static uint64_t cam_size(uint32_t cam)
{
	static const unsigned size_lg2[] = {
		[MMU_CAM_PGSZ_1M] = 20,
		[MMU_CAM_PGSZ_64K] = 16,
		[MMU_CAM_PGSZ_4K] = 12,
		[MMU_CAM_PGSZ_16M] = 24,
	};

	return UINT64_C(1) << size_lg2[cam & MMU_CAM_PGSZ_MASK];
}

static uint32_t cam_page_size(uint64_t size)
{
	uint32_t code = MMU_CAM_PGSZ_1M;

	while (code < MMU_CAM_PGSZ_MASK && cam_size(code) != size)
		code++;
	return code;
}

static bool cam_covers(uint32_t cam, uint64_t iova)
{
	return cam & MMU_CAM_V && ((cam ^ iova) & -cam_size(cam)) == 0;
}

/** Reads entry @line. Returns false where neither software nor a walk for @domain put one. */
static bool tlb_read(const struct iommu_domain *domain, unsigned line, struct cam_ram *ret_entry)
{
	const struct omap *omap = omap_state(domain->iommu);
	struct iotlb_entry entry;

	if (omap->loaded[line].cam & MMU_CAM_V) {
		*ret_entry = omap->loaded[line];
		return true;
	}
	if (!iotlb_entry(domain->iommu->tlb, line, &entry) || entry.domain != domain->id)
		return false;
	*ret_entry = (struct cam_ram){
		.cam = (uint32_t)entry.iova | cam_page_size(entry.size) | MMU_CAM_V,
		.ram = (uint32_t)entry.paddr,
	};
	return true;
}

static void tlb_drop(const struct iommu_domain *domain, unsigned line)
{
	struct omap *omap = omap_state(domain->iommu);

	if (omap->loaded[line].cam & MMU_CAM_V)
		omap->loaded[line] = (struct cam_ram){0};
	else
		iotlb_invalidate_entry(domain->iommu->tlb, line);
}

/** flush_iotlb_page(). For each entry the driver reads LOCK, writes it with the entry's number, and reads CAM and RAM. */
static void omap_flush_page(struct iommu_domain *domain, uint64_t iova)
{
	struct iommu *iommu = domain->iommu;
	unsigned lines = omap_tlb_lines(iommu), line = 0;
	struct cam_ram entry;
	bool found = false;

	for (; line < lines && !found; line++)
		found = tlb_read(domain, line, &entry) && cam_covers(entry.cam, iova);
	iommu_scan(iommu, 3 * line, line);
	if (!found)
		return;
	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, MMU_CAM, entry.cam);
	iommu_writel(iommu, MMU_RAM, entry.ram);
	iommu_writel(iommu, MMU_FLUSH_ENTRY, 1);
	iommu_writel(iommu, MMU_LD_TLB, 1);
	iommu_writel(iommu, MMU_FLUSH_ENTRY, 1);
	tlb_drop(domain, line - 1);
}

/** flush_iotlb_all(), which the driver calls when it attaches and detaches, and never else. */
static void omap_flush_all(struct iommu_domain *domain)
{
	struct omap *omap = omap_state(domain->iommu);

	domain->iommu->stats.invalidate_commands++;
	iommu_writel(domain->iommu, MMU_GFLUSH, 1);
	memset(omap->loaded, 0, sizeof(omap->loaded));
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
}

static void omap_map_begin(uint64_t iova, uint64_t size, void *cookie)
{
	omap_flush_page(cookie, iova);
}

static void omap_page_changed(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie)
{
	omap_flush_page(cookie, iova);
}

static const struct pgtable_tlb_ops omap_tlb_ops = {
	.map_begin = omap_map_begin,
	.page_changed = omap_page_changed,
};

static void omap_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &omap_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/** One domain at a time: the TLB has no tags. */
static int omap_attach(struct iommu_domain *domain)
{
	struct omap *omap = omap_state(domain->iommu);
	struct pgtable *pt = domain->pt;

	if (omap->domain)
		return -EBUSY;
	omap->domain = domain;
	pgtable_cache_flush(pt, pt->root_paddr, pgtable_table_bytes(pt, pt->config.top_level));
	omap_flush_all(domain);
	iommu_writel(domain->iommu, MMU_TTB, (uint32_t)pgtable_root(pt));
	iommu_writel(domain->iommu, MMU_IRQENABLE, MMU_IRQ_TWL_MASK);
	iommu_writel(domain->iommu, MMU_CNTL, MMU_CNTL_MMU_EN | MMU_CNTL_TWL_EN);
	return 0;
}

static void omap_detach(struct iommu_domain *domain)
{
	omap_clear_all(domain->pt);
	omap_flush_all(domain);
	omap_state(domain->iommu)->domain = NULL;
}

/** The driver has none: everything is invalidated where it is unmapped, also for the flush queue. */
static void omap_flush_iotlb_all(struct iommu_domain *domain)
{
}

/** There are no permissions, so nothing is ever refused but for the want of a translation. */
static void omap_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			     struct iommu_registers *ret_registers)
{
	iommu_registers_add(ret_registers, MMU_IRQSTATUS, MMU_IRQ_TRANSLATIONFAULT);
	iommu_registers_add(ret_registers, MMU_FAULT_AD, (uint32_t)fault->iova);
}

/** Returns where a walk for @iova reads in the table of @level at @table. */
static uint64_t entry_at(const struct pgtable *pt, unsigned level, uint64_t table, uint64_t iova)
{
	uint64_t mask = (UINT64_C(1) << pt->levels[level].index_lg2) - 1;

	return table + (iova >> pt->levels[level].span_lg2 & mask) * pt->entry_bytes;
}

static void describe_entry(const struct pgtable *pt, const char *name, uint64_t at, const char *before,
			   GString *out)
{
	g_string_append_printf(out, " %s:0x%08" G_GINT64_MODIFIER "x *%s:%s%08" G_GINT64_MODIFIER "x", name,
			       at + pt->config.table_offset, name, before,
			       pgtable_entry_raw(pt, pgtable_bytes(pt, at)));
}

/** iommu_fault_handler(), which turns interrupts off. For an entry's own address, which the kernel prints hashed, this has
 * the physical one; "px" is how the kernel spells it. */
static void omap_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint64_t status = iommu_registers_get(registers, MMU_IRQSTATUS) & MMU_IRQ_MASK;
	uint64_t iova = iommu_registers_get(registers, MMU_FAULT_AD);
	const struct iommu_domain *domain = omap_state(iommu)->domain;
	const struct pgtable *pt;
	struct pgtable_walk walk;
	uint64_t table;

	if (!domain || !status)
		return;
	pt = domain->pt;
	iommu_writel(iommu, MMU_IRQSTATUS, (uint32_t)status);
	iommu_writel(iommu, MMU_IRQENABLE, 0);
	g_string_append_printf(out, "errs:0x%08" G_GINT64_MODIFIER "x da:0x%08" G_GINT64_MODIFIER "x", status,
			       iova);
	pt->ops->walk(pt, iova, &walk);
	table = walk.table[0];
	describe_entry(pt, "pgd", entry_at(pt, 1, pt->root_paddr, iova), table ? "0x" : "px", out);
	if (table)
		describe_entry(pt, "pte", entry_at(pt, 0, table, iova), "0x", out);
	g_string_append_c(out, '\n');
}

const struct iommu_hw_ops omap_ops = {
	.name = "omap-iommu",
	.description = "TI OMAP IOMMU, of OMAP3 on, DRA7 and AM57",
	.format = &omap_iommu_ops,
	.state_size = sizeof(struct omap),
	.init = omap_init,
	.domain_config = omap_domain_config,
	.domain_init = omap_domain_init,
	.attach = omap_attach,
	.detach = omap_detach,
	.tlb = {.entries = TLB_LINES_MAX, .ways = TLB_LINES_MAX},
	.tlb_source = "stated by the driver, which reads it line by line",
	.flush_iotlb_all = omap_flush_iotlb_all,
	.fault_latch = omap_fault_latch,
	.fault_handle = omap_fault_handle,
};
