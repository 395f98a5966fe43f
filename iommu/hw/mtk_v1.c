/* SPDX-License-Identifier: MIT */

/*
 * MediaTek's M4U of the first generation, of the MT2701: one table for all, and the range of each map or unmap
 * invalidated before the call returns. Source: drivers/iommu/mtk_iommu_v1.c of Linux 7.0; pagetable-facts sections 5, 6
 * and 8.
 */
#include "iommu/hw/hw.h"
#include "iommu/pgtable/formats.h"

#define MMU_PT_BASE_ADDR  0x000
#define MMU_INT_CONTROL	  0x220
#define MMU_FAULT_ST	  0x224
#define MMU_FAULT_VA	  0x228
#define MMU_INVLD_PA	  0x22c
#define MMU_INT_ID	  0x388
#define MMU_INVALIDATE	  0x5c0
#define MMU_INVLD_START_A 0x5c4
#define MMU_INVLD_END_A	  0x5c8
#define MMU_INV_SEL	  0x5d8
#define MMU_CPE_DONE	  0x60c

#define INV_SEL_BOTH	 0x3u
#define INVALIDATE_RANGE 0x1u
#define INVALIDATE_ALL	 0x2u

#define FAULT_TRANSLATION 0x1u
#define INT_ENABLED	  0xffu /* all kinds of fault */
#define INT_CLR		  0x1000u

#define PAGE_MASK_4K UINT64_C(0xfff)

/* A look every 10 microseconds, 100 milliseconds long. */
#define CPE_DONE_TRIES	    10000
#define CPE_DONE_TIMEOUT_NS 100000000

struct mtk_v1 {
	struct iommu_domain *domain; /* attached; NULL: none */
};

/** Numbers of the first port of each larb (local arbiter). */
static const unsigned larb_ports[] = {0, 11, 21, 44};

static struct mtk_v1 *mtk_v1_state(const struct iommu *iommu)
{
	return iommu->state;
}

static void mtk_v1_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 32;
}

static void mtk_v1_tlb_flush_all(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, MMU_INV_SEL, INV_SEL_BOTH);
	iommu_writel(iommu, MMU_INVALIDATE, INVALIDATE_ALL);
	iotlb_invalidate_domain(iommu->tlb, domain->id);
}

/** A map that failed at once has a @size of 0, and with it an end before its start: nothing, but at IOVA 0, where the end
 * is that of the space. */
static void mtk_v1_tlb_flush_range(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	struct iommu *iommu = domain->iommu;
	uint32_t start = (uint32_t)(iova & ~PAGE_MASK_4K),
		 end = (uint32_t)((iova + size - 1) & ~PAGE_MASK_4K);

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, MMU_INV_SEL, INV_SEL_BOTH);
	iommu_writel(iommu, MMU_INVLD_START_A, start);
	iommu_writel(iommu, MMU_INVLD_END_A, end);
	iommu_writel(iommu, MMU_INVALIDATE, INVALIDATE_RANGE);
	if (iommu_poll(iommu, CPE_DONE_TRIES, CPE_DONE_TIMEOUT_NS) < 0) {
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "Partial TLB flush timed out, falling back to full flush");
		mtk_v1_tlb_flush_all(domain);
	} else if (start <= end) {
		iotlb_invalidate(iommu->tlb, domain->id, start, end | PAGE_MASK_4K, false);
	}
	iommu_writel(iommu, MMU_CPE_DONE, 0);
}

static void mtk_v1_page_changed(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie)
{
	mtk_v1_tlb_flush_range(cookie, iova, size);
}

static const struct pgtable_tlb_ops mtk_v1_tlb_ops = {.page_changed = mtk_v1_page_changed};

static void mtk_v1_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &mtk_v1_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

static int mtk_v1_attach(struct iommu_domain *domain)
{
	mtk_v1_state(domain->iommu)->domain = domain;
	iommu_writel(domain->iommu, MMU_PT_BASE_ADDR, (uint32_t)pgtable_root(domain->pt));
	return 0;
}

static void mtk_v1_detach(struct iommu_domain *domain)
{
	mtk_v1_state(domain->iommu)->domain = NULL;
}

/** The driver forgets where in the page @iova was. */
static uint64_t mtk_v1_iova_to_phys(const struct iommu_domain *domain, uint64_t iova, uint64_t paddr)
{
	return paddr & ~PAGE_MASK_4K;
}

static void mtk_v1_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			       struct iommu_registers *ret_registers)
{
	unsigned larb = G_N_ELEMENTS(larb_ports) - 1;

	while (fault->stream < larb_ports[larb])
		larb--;
	iommu_registers_add(ret_registers, MMU_FAULT_ST, FAULT_TRANSLATION);
	iommu_registers_add(ret_registers, MMU_FAULT_VA, (uint32_t)fault->iova);
	iommu_registers_add(ret_registers, MMU_INVLD_PA, 0);
	/* The port has four bits, larb 2 more ports than that. */
	iommu_registers_add(ret_registers, MMU_INT_ID,
			    (6 - larb) << 13 | ((fault->stream - larb_ports[larb]) & 0xf) << 8);
}

static uint32_t mtk_v1_read(struct iommu *iommu, const struct iommu_registers *registers, uint32_t offset)
{
	iommu_readl(iommu);
	return (uint32_t)iommu_registers_get(registers, offset);
}

/** mtk_iommu_v1_isr(). The hardware does not say whether it was a read or a write. */
static void mtk_v1_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint32_t status = mtk_v1_read(iommu, registers, MMU_FAULT_ST);
	uint32_t iova = mtk_v1_read(iommu, registers, MMU_FAULT_VA) & ~(uint32_t)PAGE_MASK_4K;
	uint32_t paddr = mtk_v1_read(iommu, registers, MMU_INVLD_PA);
	uint32_t id = mtk_v1_read(iommu, registers, MMU_INT_ID);
	struct iommu_domain *domain = mtk_v1_state(iommu)->domain;

	g_string_append_printf(out, "fault type=0x%x iova=0x%x pa=0x%x larb=%d port=%u\n", status, iova,
			       paddr, 6 - (int)(id >> 13 & 7), id >> 8 & 0xf);
	iommu_readl(iommu); /* MMU_INT_CONTROL, of which the other bits stay */
	iommu_writel(iommu, MMU_INT_CONTROL, INT_ENABLED | INT_CLR);
	if (domain)
		mtk_v1_tlb_flush_all(domain);
}

const struct iommu_hw_ops mtk_v1_iommu_ops = {
	.name = "mtk-v1",
	.description = "MediaTek M4U of the first generation, MT2701",
	.format = &mtk_v1_ops,
	.state_size = sizeof(struct mtk_v1),
	.domain_config = mtk_v1_domain_config,
	.domain_init = mtk_v1_domain_init,
	.attach = mtk_v1_attach,
	.detach = mtk_v1_detach,
	.iova_to_phys = mtk_v1_iova_to_phys,
	.tlb = {.entries = 128, .ways = 4},
	.tlb_source = "assumed; there is one level, so nothing to remember of a walk",
	.flush_iotlb_all = mtk_v1_tlb_flush_all,
	.fault_latch = mtk_v1_fault_latch,
	.fault_handle = mtk_v1_fault_handle,
};
