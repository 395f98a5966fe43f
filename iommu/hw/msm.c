/* SPDX-License-Identifier: MIT */

/*
 * Qualcomm's IOMMU of MSM8x60, MSM8960 and APQ8064, with short descriptors. A domain has the context of its own number.
 *
 * Unmap: TLBIVA for each page, at once, and for each that a freed table covered. Map: the same for each 4 KiB. Nothing is
 * waited for, so no wait can fail. Sources: drivers/iommu/msm_iommu.c and the register file msm_iommu_hw-8xxx.h of
 * Linux 7.0; there is no public specification.
 */
#include <errno.h>

#include "iommu/hw/hw.h"
#include "iommu/pgtable/arm-registers.h"

/* Contexts, a page each. */
#define CONTEXTS       3 /* qcom,ncb of APQ8064's largest */
#define CONTEXT_BYTES  0x1000
#define CTX_SCTLR      0x000
#define CTX_ACTLR      0x004
#define CTX_CONTEXTIDR 0x008
#define CTX_TTBR0      0x010
#define CTX_TTBR1      0x014
#define CTX_TTBCR      0x018
#define CTX_PAR	       0x01c
#define CTX_FSR	       0x020
#define CTX_FSRRESTORE 0x024
#define CTX_FAR	       0x028
#define CTX_FSYNR0     0x02c
#define CTX_FSYNR1     0x030
#define CTX_PRRR       0x034
#define CTX_NMRR       0x038
#define CTX_TLBLCKR    0x03c
#define CTX_TLBFLPTER  0x044
#define CTX_TLBSLPTER  0x048
#define CTX_BFBCR      0x04c
#define CTX_TLBIALL    0x800
#define CTX_TLBIVA     0x808

#define SCTLR_M	  (1u << 0)
#define SCTLR_TRE (1u << 1)
#define SCTLR_AFE (1u << 2)

#define ACTLR_CFEIE   (1u << 1) /* a fault interrupts */
#define ACTLR_RCOSH   (1u << 4)
#define ACTLR_RCISH   (1u << 5)
#define ACTLR_RCNSH   (1u << 6)
#define ACTLR_TLBMCFG (3u << 12) /* a miss walks the table */
#define ACTLR_CFCFG   (1u << 14) /* an access that faults waits */
#define ACTLR_V2PCFG  (3u << 16)
#define BFBCR_BFBDFE  (1u << 0) /* prefetch */

#define TLBIVA_VA 0xfffff000u

#define CTX_FILE 0x50 /* registers that hold what was written are below */

struct msm {
	uint32_t registers[CONTEXTS][CTX_FILE / 4];
};

static uint32_t context(unsigned number, uint32_t offset)
{
	return number * CONTEXT_BYTES + offset;
}

/** Returns where a register below CTX_FILE has its value. */
static uint32_t *held(const struct iommu *iommu, unsigned number, uint32_t offset)
{
	struct msm *msm = iommu->state;

	return &msm->registers[number][offset / 4];
}

static void msm_write(const struct iommu_domain *domain, uint32_t offset, uint32_t value)
{
	iommu_writel(domain->iommu, context(domain->id, offset), value);
	if (offset < CTX_FILE)
		*held(domain->iommu, domain->id, offset) = value;
}

/** Sets @bits of a register and leaves the others. */
static void msm_set(const struct iommu_domain *domain, uint32_t offset, uint32_t bits)
{
	iommu_readl(domain->iommu);
	msm_write(domain, offset, *held(domain->iommu, domain->id, offset) | bits);
}

static void msm_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 32;
	config->page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 16 | UINT64_C(1) << 20 | UINT64_C(1) << 24;
	config->quirks = 0;
	config->incoherent = true;
}

/* Invalidation. */

static void msm_flush_domain(struct iommu_domain *domain)
{
	msm_write(domain, CTX_TLBIALL, 0);
	domain->iommu->stats.invalidate_commands++;
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
}

/** __flush_iotlb_range(): the driver reads the ASID back for each page. */
static void msm_flush_range(struct iommu_domain *domain, uint64_t iova, uint64_t size, uint64_t granule)
{
	for (uint64_t at = 0; at < size; at += granule) {
		iommu_readl(domain->iommu);
		msm_write(domain, CTX_TLBIVA, ((uint32_t)(iova + at) & TLBIVA_VA) | domain->id);
		domain->iommu->stats.invalidate_commands++;
	}
	if (size)
		iotlb_invalidate(domain->iommu->tlb, domain->id, iova, iova + size - 1, false);
}

static void msm_flush_all(void *cookie)
{
	msm_flush_domain(cookie);
}

static void msm_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	msm_flush_range(cookie, iova, size, granule);
}

static void msm_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	msm_flush_range(cookie, iova, granule, granule);
}

static const struct pgtable_tlb_ops msm_tlb_ops = {
	.flush_all = msm_flush_all,
	.flush_walk = msm_flush_walk,
	.add_page = msm_add_page,
};

static int msm_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	msm_flush_range(domain, iova, len, UINT64_C(1) << 12);
	return 0;
}

static void msm_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &msm_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/* Attachment. */

static void msm_reset_context(const struct iommu_domain *domain)
{
	static const uint32_t zeroed[] = {
		CTX_ACTLR, CTX_SCTLR, CTX_FSRRESTORE, CTX_TTBR0,     CTX_TTBR1,	    CTX_TTBCR,	 CTX_BFBCR,
		CTX_PAR,   CTX_FAR,   CTX_TLBIALL,    CTX_TLBFLPTER, CTX_TLBSLPTER, CTX_TLBLCKR,
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(zeroed); i++)
		msm_write(domain, zeroed[i], 0);
}

/** __program_context(). Bit by bit, as the driver's macros set them. */
static int msm_attach(struct iommu_domain *domain)
{
	static const uint32_t faults[] = {ACTLR_CFEIE, ACTLR_CFCFG, ACTLR_RCISH, ACTLR_RCOSH, ACTLR_RCNSH};

	if (domain->id >= CONTEXTS)
		return -ENODEV;
	msm_write(domain, CTX_CONTEXTIDR, domain->id);
	msm_reset_context(domain);
	msm_set(domain, CTX_SCTLR, SCTLR_TRE);
	msm_set(domain, CTX_SCTLR, SCTLR_AFE);
	msm_set(domain, CTX_ACTLR, ACTLR_TLBMCFG);
	msm_set(domain, CTX_ACTLR, ACTLR_V2PCFG);
	msm_write(domain, CTX_TTBCR, 0);
	msm_write(domain, CTX_TTBR0, v7s_ttbr(domain->pt));
	msm_write(domain, CTX_TTBR1, 0);
	msm_write(domain, CTX_PRRR, V7S_PRRR);
	msm_write(domain, CTX_NMRR, V7S_NMRR);
	msm_write(domain, CTX_TLBIALL, 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++)
		msm_set(domain, CTX_ACTLR, faults[i]);
	msm_set(domain, CTX_BFBCR, BFBCR_BFBDFE);
	msm_set(domain, CTX_SCTLR, SCTLR_M);
	return 0;
}

static void msm_detach(struct iommu_domain *domain)
{
	msm_reset_context(domain);
}

/* Faults. */

#define FSR_TF	     (1u << 1)
#define FSR_APF	     (1u << 3)
#define FSR_SS	     (1u << 30) /* the access waits */
#define FSR_CLEAR    0x4000000fu
#define FSYNR1_WRITE (1u << 8)

static const struct {
	uint32_t bit;
	const char *name;
} fsr_bits[] = {
	{FSR_TF, "TF "},       {1u << 2, "AFF "},     {FSR_APF, "APF "}, {1u << 4, "TLBMF "},
	{1u << 5, "HTWDEEF "}, {1u << 6, "HTWSEEF "}, {1u << 7, "MHF "}, {1u << 16, "SL "},
	{FSR_SS, "SS "},       {1u << 31, "MULTI "},
};

/** What the handler reads: what the fault left, and how the context is set up. */
static void msm_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			    struct iommu_registers *ret_registers)
{
	static const uint32_t set_up[] = {CTX_TTBR0, CTX_TTBR1, CTX_SCTLR, CTX_ACTLR};
	unsigned number = fault->domain;

	if (number >= CONTEXTS)
		return;
	iommu_registers_add(ret_registers, context(number, CTX_FSR),
			    (fault->reason == IOMMU_FAULT_PERMISSION ? FSR_APF : FSR_TF) | FSR_SS);
	iommu_registers_add(ret_registers, context(number, CTX_FAR), (uint32_t)fault->iova);
	iommu_registers_add(ret_registers, context(number, CTX_FSYNR0), fault->stream & 0xff);
	iommu_registers_add(ret_registers, context(number, CTX_FSYNR1), fault->write ? FSYNR1_WRITE : 0);
	for (unsigned i = 0; i < G_N_ELEMENTS(set_up); i++)
		iommu_registers_add(ret_registers, context(number, set_up[i]),
				    *held(iommu, number, set_up[i]));
}

static unsigned latched(const struct iommu_registers *registers, unsigned number, uint32_t offset)
{
	return (unsigned)iommu_registers_get(registers, context(number, offset));
}

static void print_pair(const struct iommu_registers *registers, unsigned number, const char *name,
		       uint32_t offset, const char *name_2, uint32_t offset_2, GString *out)
{
	g_string_append_printf(out, "%-6s = %08x    %-6s = %08x\n", name, latched(registers, number, offset),
			       name_2, latched(registers, number, offset_2));
}

/** print_ctx_regs(). */
static void print_context(const struct iommu_registers *registers, unsigned number, GString *out)
{
	unsigned fsr = latched(registers, number, CTX_FSR);

	print_pair(registers, number, "FAR", CTX_FAR, "PAR", CTX_PAR, out);
	g_string_append_printf(out, "FSR    = %08x [", fsr);
	for (unsigned i = 0; i < G_N_ELEMENTS(fsr_bits); i++)
		if (fsr & fsr_bits[i].bit)
			g_string_append(out, fsr_bits[i].name);
	g_string_append(out, "]\n");
	print_pair(registers, number, "FSYNR0", CTX_FSYNR0, "FSYNR1", CTX_FSYNR1, out);
	print_pair(registers, number, "TTBR0", CTX_TTBR0, "TTBR1", CTX_TTBR1, out);
	print_pair(registers, number, "SCTLR", CTX_SCTLR, "ACTLR", CTX_ACTLR, out);
}

/** msm_iommu_fault_handler(). */
static void msm_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	/* The registers lie at 0 here. */
	g_string_append(out, "Unexpected IOMMU page fault!\nbase = 00000000\n");
	for (unsigned number = 0; number < CONTEXTS; number++) {
		if (!latched(registers, number, CTX_FSR))
			continue;
		g_string_append_printf(out, "Fault occurred in context %u.\nInteresting registers:\n",
				       number);
		print_context(registers, number, out);
		iommu_writel(iommu, context(number, CTX_FSR), FSR_CLEAR);
	}
}

const struct iommu_hw_ops msm_ops = {
	.name = "msm",
	.description = "Qualcomm IOMMU of MSM8960 and APQ8064",
	.format = &arm_v7s_ops,
	.state_size = sizeof(struct msm),
	.domain_config = msm_domain_config,
	.domain_init = msm_domain_init,
	.attach = msm_attach,
	.detach = msm_detach,
	.fault_latch = msm_fault_latch,
	.fault_handle = msm_fault_handle,
	.tlb = {.entries = 128, .ways = 4, .walk_entries = 16},
	.tlb_source = "assumed",
	.iotlb_sync_map = msm_iotlb_sync_map,
	.flush_iotlb_all = msm_flush_domain,
};
