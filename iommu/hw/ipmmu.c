/* SPDX-License-Identifier: MIT */

/*
 * Renesas IPMMU-VMSA, of the second to fourth generation of R-Car: 32-bit stage-1 tables, and nothing finer than a whole
 * context to invalidate. Source: drivers/iommu/ipmmu-vmsa.c of Linux 7.0; pagetable-facts sections 1 and 5 to 8.
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/pgtable/formats.h"

/* Registers of a context. */
#define IMCTR	 0x00
#define IMTTBCR	 0x08
#define IMBUSCR	 0x0c
#define IMTTLBR0 0x10
#define IMSTR	 0x20
#define IMMAIR0	 0x28
#define IMELAR	 0x30
#define IMEUAR	 0x34

#define IMCTR_MMUEN 0x1u
#define IMCTR_FLUSH 0x2u
#define IMCTR_INTEN 0x4u

#define IMTTBCR_EAE	   0x80000000u
#define IMTTBCR_SH0_INNER  0x3000u
#define IMTTBCR_ORGN0_WBWA 0x400u
#define IMTTBCR_IRGN0_WBWA 0x100u
#define IMTTBCR_SL0_1	   0x10u /* the walk starts at level 1 */
#define IMTTBCR_SL0_1_GEN3 0x80u /* the same, in a field of two bits */

#define IMSTR_TF    0x1u  /* no translation */
#define IMSTR_PF    0x2u  /* no permission */
#define IMSTR_ABORT 0x4u  /* the walk could not read a table */
#define IMSTR_MHIT  0x10u /* several entries of the TLB answered */

/* ipmmu_tlb_sync(): a look every microsecond, 100 microseconds long. */
#define FLUSH_TRIES	 100
#define FLUSH_TIMEOUT_NS 100000

static const struct ipmmu_soc socs[] = {
	{"gen3", 8, 48, 0, 0x40, true, false},
	{"gen2", 1, 32, 0, 0x40, false, true},
	{"gen4", 16, 64, 0x10000, 0x1040, true, false},
};

struct ipmmu {
	const struct ipmmu_soc *soc;
};

const struct ipmmu_soc *ipmmu_soc(const struct iommu *iommu)
{
	return ((const struct ipmmu *)iommu->state)->soc;
}

static int ipmmu_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct ipmmu *ipmmu = iommu->state;

	for (unsigned i = 0; i < G_N_ELEMENTS(socs) && !ipmmu->soc; i++)
		if (!config->soc || strcmp(socs[i].name, config->soc) == 0)
			ipmmu->soc = &socs[i];
	return ipmmu->soc ? 0 : -EINVAL;
}

/** Offset of a register of context 0, the only one here. */
static uint32_t context(const struct iommu *iommu, uint32_t offset)
{
	return ipmmu_soc(iommu)->context_base + offset;
}

static void ipmmu_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 40;
	config->page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30;
	config->quirks = QUIRK_ARM_NS;
	config->incoherent = true;
}

static void ipmmu_flush_context(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu->stats.invalidate_commands++;
	iommu_readl(iommu); /* IMCTR, of which the other bits stay */
	iommu_writel(iommu, context(iommu, IMCTR), IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
	if (iommu_poll(iommu, FLUSH_TRIES, FLUSH_TIMEOUT_NS) == 0)
		iotlb_invalidate_domain(iommu->tlb, domain->id);
	else
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "TLB sync timed out -- MMU may be deadlocked");
}

static void ipmmu_flush_all(void *cookie)
{
	ipmmu_flush_context(cookie);
}

static void ipmmu_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	ipmmu_flush_context(cookie);
}

static const struct pgtable_tlb_ops ipmmu_tlb_ops = {
	.flush_all = ipmmu_flush_all,
	.flush_walk = ipmmu_flush_walk,
};

static void ipmmu_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &ipmmu_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

static int ipmmu_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	const struct ipmmu_soc *soc = ipmmu_soc(iommu);
	uint32_t control = IMTTBCR_EAE;

	if (soc->two_bit_sl0)
		control |= IMTTBCR_SL0_1_GEN3;
	else
		control |= IMTTBCR_SH0_INNER | IMTTBCR_ORGN0_WBWA | IMTTBCR_IRGN0_WBWA | IMTTBCR_SL0_1;
	iommu_writeq(iommu, context(iommu, IMTTLBR0), pgtable_root(domain->pt));
	iommu_writel(iommu, context(iommu, IMTTBCR), control);
	iommu_writel(iommu, context(iommu, IMMAIR0), (uint32_t)LPAE_MAIR);
	if (soc->has_imbuscr)
		iommu_writel(iommu, context(iommu, IMBUSCR), 0);
	iommu_writel(iommu, context(iommu, IMSTR), 0);
	iommu_writel(iommu, context(iommu, IMCTR), IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
	return 0;
}

static void ipmmu_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	ipmmu_flush_context(domain);
}

static void ipmmu_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			      struct iommu_registers *ret_registers)
{
	iommu_registers_add(ret_registers, context(iommu, IMSTR),
			    fault->reason == IOMMU_FAULT_PERMISSION ? IMSTR_PF : IMSTR_TF);
	iommu_registers_add(ret_registers, context(iommu, IMELAR), (uint32_t)fault->iova);
	iommu_registers_add(ret_registers, context(iommu, IMEUAR), fault->iova >> 32);
}

/** ipmmu_domain_irq(). The address is lost once the status is cleared, so it is read before. */
static void ipmmu_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint64_t status = iommu_registers_get(registers, context(iommu, IMSTR));
	uint64_t iova = iommu_registers_get(registers, context(iommu, IMELAR)) |
			iommu_registers_get(registers, context(iommu, IMEUAR)) << 32;

	if (!(status & (IMSTR_TF | IMSTR_PF | IMSTR_ABORT | IMSTR_MHIT)))
		return;
	iommu_writel(iommu, context(iommu, IMSTR), 0);
	if (status & IMSTR_MHIT)
		g_string_append_printf(out, "Multiple TLB hits @0x%" G_GINT64_MODIFIER "x\n", iova);
	if (status & IMSTR_ABORT)
		g_string_append_printf(out, "Page Table Walk Abort @0x%" G_GINT64_MODIFIER "x\n", iova);
	if (status & (IMSTR_TF | IMSTR_PF))
		g_string_append_printf(out,
				       "Unhandled fault: status 0x%08" G_GINT64_MODIFIER
				       "x iova 0x%" G_GINT64_MODIFIER "x\n",
				       status, iova);
}

const struct iommu_hw_ops ipmmu_ops = {
	.name = "ipmmu-vmsa",
	.description = "Renesas IPMMU-VMSA of R-Car gen2, gen3, gen4",
	.format = &arm_32_lpae_s1_ops,
	.state_size = sizeof(struct ipmmu),
	.init = ipmmu_init,
	.domain_config = ipmmu_domain_config,
	.domain_init = ipmmu_domain_init,
	.attach = ipmmu_attach,
	.tlb = {.entries = 256, .ways = 4, .walk_entries = 16},
	.tlb_source = "assumed; the driver states only how many micro-TLBs there are",
	.iotlb_sync = ipmmu_iotlb_sync,
	.flush_iotlb_all = ipmmu_flush_context,
	.fault_latch = ipmmu_fault_latch,
	.fault_handle = ipmmu_fault_handle,
};
