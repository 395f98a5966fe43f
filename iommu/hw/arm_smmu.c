/* SPDX-License-Identifier: MIT */

/*
 * Arm SMMU, versions 1 and 2, stage 1 or stage 2. A domain has the context bank of its own number.
 *
 * Unmap: one register write for each page, at once, and for each that a freed table covered, walk caches included; then
 * TLBSYNC, and TLBSTATUS is polled. Version 1 cannot invalidate stage 2 by address, so the whole VMID goes each time. Map:
 * nothing. Sources: drivers/iommu/arm/arm-smmu/arm-smmu.c of Linux 7.0; Arm System Memory Management Unit Architecture
 * Specification, SMMU architecture version 2.0 (IHI 0062D), chapters 9 and 10 (global registers), 16 and 17 (context banks of
 * stage 1 and 2).
 */
#include <errno.h>

#include "iommu/hw/arm_smmu.h"
#include "iommu/hw/hw.h"
#include "iommu/pgtable/arm-registers.h"

/* Global address space 0. */
#define GR0_TLBIVMID 0x64
#define GR0_TLBGSYNC 0x70

/* Global address space 1, from a page on. */
#define GR1		 0x1000
#define GR1_CBAR(n)	 (GR1 + (n)*4)
#define GR1_CBFRSYNRA(n) (GR1 + 0x400 + (n)*4)
#define GR1_CBA2R(n)	 (GR1 + 0x800 + (n)*4)

/* Context banks, a page each: as with 128 pages of 4 KiB before them. */
#define BANKS	   128
#define BANK_FIRST 0x80000
#define BANK_BYTES 0x1000

#define CB_SCTLR      0x00
#define CB_TCR2	      0x10
#define CB_TTBR0      0x20
#define CB_TTBR1      0x28
#define CB_TCR	      0x30
#define CB_CONTEXTIDR 0x34
#define CB_MAIR0      0x38
#define CB_MAIR1      0x3c
#define CB_FSR	      0x58
#define CB_FAR	      0x60
#define CB_FSYNR0     0x68
#define CB_TLBIVA     0x600
#define CB_TLBIASID   0x610
#define CB_TLBIVAL    0x620
#define CB_TLBIIPAS2  0x630
#define CB_TLBIIPAS2L 0x638
#define CB_TLBSYNC    0x7f0

#define CBAR_TYPE_S2	   (0u << 16)
#define CBAR_TYPE_S1	   (1u << 16) /* stage 2 bypassed */
#define CBAR_S1_BPSHCFG	   (3u << 8)  /* non-shareable */
#define CBAR_S1_MEMATTR_WB (0xfu << 12)
#define CBA2R_VA64	   1u

#define SCTLR_ASIDPNE (1u << 12)
#define SCTLR_CFIE    (1u << 6)
#define SCTLR_CFRE    (1u << 5)
#define SCTLR_AFE     (1u << 2)
#define SCTLR_TRE     (1u << 1)
#define SCTLR_M	      (1u << 0)

#define TCR_EAE	  (1u << 31)
#define TCR_EPD1  (1u << 23)
#define TCR2_AS	  (1u << 4)
#define TCR2_SEP  (7u << 15) /* sign extension from the upstream bus width */
#define VTCR_RES1 (1u << 31)
#define ASID_LG2  48

/* __arm_smmu_tlb_sync(): ten looks, then after 1, 2, 4 … 2^19 microseconds ten more. */
#define SYNC_TRIES	200
#define SYNC_TIMEOUT_NS (((UINT64_C(1) << 20) - 1) * 1000)
#define SYNC_ANY	0xffffffffu

struct arm_smmu {
	unsigned version, stage;
	const struct pgtable_ops *format;
};

static const struct arm_smmu *arm_smmu(const struct iommu *iommu)
{
	return iommu->state;
}

static int arm_smmu_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct arm_smmu *smmu = iommu->state;
	bool stage2;

	smmu->version = config->version ? config->version : 2;
	smmu->stage = config->stage ? config->stage : 1;
	stage2 = smmu->stage == 2;
	if (smmu->version > 2 || smmu->stage > 2 || (stage2 && config->features & ARM_SMMU_SHORT))
		return -EINVAL;
	if (config->features & ARM_SMMU_SHORT)
		smmu->format = &arm_v7s_ops;
	else if (smmu->version == 1 || config->features & ARM_SMMU_LPAE_32)
		smmu->format = stage2 ? &arm_32_lpae_s2_ops : &arm_32_lpae_s1_ops;
	else
		smmu->format = stage2 ? &arm_64_lpae_s2_ops : &arm_64_lpae_s1_ops;
	return 0;
}

static const struct pgtable_ops *arm_smmu_domain_format(const struct iommu *iommu)
{
	return arm_smmu(iommu)->format;
}

static bool is_aarch64(const struct arm_smmu *smmu)
{
	return smmu->format == &arm_64_lpae_s1_ops || smmu->format == &arm_64_lpae_s2_ops;
}

static bool is_short(const struct arm_smmu *smmu)
{
	return smmu->format == &arm_v7s_ops;
}

/** The hardware has 48 bits on either side; coherent or not is the caller's. */
static void arm_smmu_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	const struct arm_smmu *smmu = arm_smmu(iommu);

	config->ias_bits = is_aarch64(smmu) ? 48 : smmu->stage == 2 ? 40 : 32;
	config->oas_bits = is_aarch64(smmu) ? 48 : is_short(smmu) ? 32 : 40;
	config->quirks = 0;
}

/* Registers of the domain's bank, and its tags. */

static uint32_t bank(unsigned number, uint32_t offset)
{
	return BANK_FIRST + number * BANK_BYTES + offset;
}

static uint32_t asid(const struct iommu_domain *domain)
{
	return domain->id;
}

/** VMID 0 is left to who is bypassed. */
static uint32_t vmid(const struct iommu_domain *domain)
{
	return domain->id + 1;
}

/* Invalidation. */

/** Waits for all invalidations that were written: at @offset, and the status lies in the next register. */
static int arm_smmu_sync_at(struct iommu *iommu, uint32_t offset)
{
	int err;

	iommu_writel(iommu, offset, SYNC_ANY);
	err = iommu_poll(iommu, SYNC_TRIES, SYNC_TIMEOUT_NS);
	if (err)
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "TLB sync timed out -- SMMU may be deadlocked");
	return err;
}

/** By the bank, or where version 1 has no such register, by the whole SMMU. */
static int arm_smmu_sync(const struct iommu_domain *domain)
{
	const struct arm_smmu *smmu = arm_smmu(domain->iommu);
	bool global = smmu->version == 1 && smmu->stage == 2;

	return arm_smmu_sync_at(domain->iommu, global ? GR0_TLBGSYNC : bank(domain->id, CB_TLBSYNC));
}

static void write_tlbi_vmid(const struct iommu_domain *domain)
{
	iommu_writel(domain->iommu, GR0_TLBIVMID, vmid(domain));
	domain->iommu->stats.invalidate_commands++;
}

static void arm_smmu_flush_domain(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	int err;

	if (arm_smmu(iommu)->stage == 1) {
		iommu_writel(iommu, bank(domain->id, CB_TLBIASID), asid(domain));
		iommu->stats.invalidate_commands++;
		err = arm_smmu_sync(domain);
	} else {
		write_tlbi_vmid(domain);
		err = arm_smmu_sync_at(iommu, GR0_TLBGSYNC);
	}
	if (!err)
		iotlb_invalidate_domain(iommu->tlb, domain->id);
}

static void arm_smmu_flush_all(void *cookie)
{
	arm_smmu_flush_domain(cookie);
}

/** Writes what is to be invalidated at @iova: a page number with the ASID, or in 32 bits an address with it; at stage 2 a
 * page number. */
static void write_tlbi(const struct iommu_domain *domain, uint32_t offset, uint64_t iova)
{
	struct iommu *iommu = domain->iommu;
	const struct arm_smmu *smmu = arm_smmu(iommu);
	bool stage1 = smmu->stage == 1;
	uint64_t page = iova >> 12;

	if (is_aarch64(smmu))
		iommu_write64(iommu, bank(domain->id, offset),
			      page | (stage1 ? (uint64_t)asid(domain) << ASID_LG2 : 0));
	else
		iommu_writel(iommu, bank(domain->id, offset),
			     (uint32_t)(stage1 ? page << 12 | asid(domain) : page));
	iommu->stats.invalidate_commands++;
}

static void arm_smmu_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	struct iommu_domain *domain = cookie;
	uint32_t offset = arm_smmu(domain->iommu)->stage == 1 ? CB_TLBIVA : CB_TLBIIPAS2;

	for (uint64_t at = 0; at < size; at += granule)
		write_tlbi(domain, offset, iova + at);
	if (arm_smmu_sync(domain) == 0)
		iotlb_invalidate(domain->iommu->tlb, domain->id, iova, iova + size - 1, false);
}

static void arm_smmu_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	const struct iommu_domain *domain = cookie;

	write_tlbi(domain, arm_smmu(domain->iommu)->stage == 1 ? CB_TLBIVAL : CB_TLBIIPAS2L, iova);
}

static const struct pgtable_tlb_ops by_address = {
	.flush_all = arm_smmu_flush_all,
	.flush_walk = arm_smmu_flush_walk,
	.add_page = arm_smmu_add_page,
};

/* Version 1, stage 2. */

static void arm_smmu_v1_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	arm_smmu_flush_domain(cookie);
}

static void arm_smmu_v1_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	write_tlbi_vmid(cookie);
}

static const struct pgtable_tlb_ops by_vmid = {
	.flush_all = arm_smmu_flush_all,
	.flush_walk = arm_smmu_v1_flush_walk,
	.add_page = arm_smmu_v1_add_page,
};

/** What was written for each page is done once this has waited. */
static void arm_smmu_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	if (arm_smmu_sync(domain))
		return;
	if (domain->pt->tlb == &by_vmid)
		iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
	else
		iotlb_invalidate(domain->iommu->tlb, domain->id, gather->start, gather->end, true);
}

static void arm_smmu_domain_init(struct iommu_domain *domain)
{
	const struct arm_smmu *smmu = arm_smmu(domain->iommu);

	domain->pt->tlb = smmu->version == 1 && smmu->stage == 2 ? &by_vmid : &by_address;
	domain->pt->tlb_cookie = domain;
}

/* Attachment: arm_smmu_write_context_bank(). */

static uint32_t walk_fields(const struct lpae_control *control)
{
	return control->size | control->inner << 8 | control->outer << 10 | control->shareability << 12 |
	       control->granule << 14;
}

static void write_short(const struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	if (arm_smmu(iommu)->version > 1)
		iommu_writel(iommu, bank(domain->id, CB_TCR2), 0);
	iommu_writel(iommu, bank(domain->id, CB_TCR), 0);
	iommu_writel(iommu, bank(domain->id, CB_CONTEXTIDR), asid(domain));
	iommu_writel(iommu, bank(domain->id, CB_TTBR0), v7s_ttbr(domain->pt));
	iommu_writel(iommu, bank(domain->id, CB_TTBR1), 0);
	iommu_writel(iommu, bank(domain->id, CB_MAIR0), V7S_PRRR);
	iommu_writel(iommu, bank(domain->id, CB_MAIR1), V7S_NMRR);
}

static void write_stage1(const struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	bool aarch64 = is_aarch64(arm_smmu(iommu));
	uint64_t tag = (uint64_t)asid(domain) << ASID_LG2;
	struct lpae_control control;

	lpae_control(domain->pt, &control);
	if (arm_smmu(iommu)->version > 1)
		iommu_writel(iommu, bank(domain->id, CB_TCR2),
			     control.width | TCR2_SEP | (aarch64 ? TCR2_AS : 0));
	iommu_writel(iommu, bank(domain->id, CB_TCR),
		     walk_fields(&control) | TCR_EPD1 | (aarch64 ? 0 : TCR_EAE));
	iommu_write64(iommu, bank(domain->id, CB_TTBR0), pgtable_root(domain->pt) | tag);
	iommu_write64(iommu, bank(domain->id, CB_TTBR1), tag);
	iommu_writel(iommu, bank(domain->id, CB_MAIR0), (uint32_t)LPAE_MAIR);
	iommu_writel(iommu, bank(domain->id, CB_MAIR1), (uint32_t)(LPAE_MAIR >> 32));
}

static void write_stage2(const struct iommu_domain *domain)
{
	struct lpae_control control;

	lpae_control(domain->pt, &control);
	iommu_writel(domain->iommu, bank(domain->id, CB_TCR),
		     walk_fields(&control) | control.start << 6 | control.width << 16 | VTCR_RES1);
	iommu_write64(domain->iommu, bank(domain->id, CB_TTBR0), pgtable_root(domain->pt));
}

/** Returns the kind of bank, with weak attributes of stage 1, which those of the entries override. All banks share the
 * first interrupt. */
static uint32_t bank_attributes(const struct iommu_domain *domain)
{
	const struct arm_smmu *smmu = arm_smmu(domain->iommu);

	if (smmu->stage == 1)
		return CBAR_TYPE_S1 | CBAR_S1_BPSHCFG | CBAR_S1_MEMATTR_WB;
	return CBAR_TYPE_S2 | vmid(domain);
}

static int arm_smmu_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	const struct arm_smmu *smmu = arm_smmu(iommu);
	uint32_t control = SCTLR_CFIE | SCTLR_CFRE | SCTLR_AFE | SCTLR_TRE | SCTLR_M;

	if (domain->id >= BANKS)
		return -ENOSPC;
	if (smmu->version > 1)
		iommu_writel(iommu, GR1_CBA2R(domain->id), is_aarch64(smmu) ? CBA2R_VA64 : 0);
	iommu_writel(iommu, GR1_CBAR(domain->id), bank_attributes(domain));
	if (is_short(smmu))
		write_short(domain);
	else if (smmu->stage == 1)
		write_stage1(domain);
	else
		write_stage2(domain);
	iommu_writel(iommu, bank(domain->id, CB_SCTLR), control | (smmu->stage == 1 ? SCTLR_ASIDPNE : 0));
	return 0;
}

/** The bank is disabled: arm_smmu_destroy_domain_context(). */
static void arm_smmu_detach(struct iommu_domain *domain)
{
	iommu_writel(domain->iommu, bank(domain->id, CB_SCTLR), 0);
}

/* Faults. */

#define FSR_TF	       (1u << 1)
#define FSR_PF	       (1u << 3)
#define FSR_FORMAT_LG2 9 /* 0: short, 1: long, 2: AArch64 */
#define FSYNR0_WNR     (1u << 4)
#define FSYNR0_PNU     (1u << 5)
#define FSYNR0_IND     (1u << 6)

static unsigned fault_format(const struct arm_smmu *smmu)
{
	return is_aarch64(smmu) ? 2 : is_short(smmu) ? 0 : 1;
}

/** The level is counted from the top of a full table. */
static unsigned fault_level(const struct arm_smmu *smmu, const struct iommu_fault *fault)
{
	return (is_short(smmu) ? 2 : 3) - fault->level;
}

static void arm_smmu_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
				 struct iommu_registers *ret_registers)
{
	const struct arm_smmu *smmu = arm_smmu(iommu);
	unsigned number = fault->domain;

	iommu_registers_add(ret_registers, bank(number, CB_FSR),
			    fault_format(smmu) << FSR_FORMAT_LG2 |
				    (fault->reason == IOMMU_FAULT_PERMISSION ? FSR_PF : FSR_TF));
	iommu_registers_add(ret_registers, bank(number, CB_FAR), fault->iova);
	iommu_registers_add(ret_registers, bank(number, CB_FSYNR0),
			    (fault->write ? FSYNR0_WNR : 0) | (fault_level(smmu, fault) & 3));
	iommu_registers_add(ret_registers, GR1_CBFRSYNRA(number), fault->stream & 0xffff);
}

static void print_fault(unsigned number, uint32_t fsr, uint64_t far, uint32_t fsynr, uint32_t stream,
			GString *out)
{
	g_string_append_printf(out,
			       "Unhandled context fault: fsr=0x%x, iova=0x%08" G_GINT64_MODIFIER
			       "x, fsynr=0x%x, cbfrsynra=0x%x, cb=%u\n",
			       fsr, far, fsynr, stream, number);
	g_string_append_printf(out, "FSR    = %08x [Format=%u%s%s], SID=0x%x\n", fsr,
			       fsr >> FSR_FORMAT_LG2 & 3, fsr & FSR_PF ? " PF" : "",
			       fsr & FSR_TF ? " TF" : "", stream);
	g_string_append_printf(out, "FSYNR0 = %08x [S1CBNDX=%u%s%s%s PLVL=%u]\n", fsynr, fsynr >> 16 & 0xff,
			       fsynr & FSYNR0_IND ? " IND" : "", fsynr & FSYNR0_PNU ? " PNU" : "",
			       fsynr & FSYNR0_WNR ? " WNR" : "", fsynr & 3);
}

/** arm_smmu_context_fault(), which each bank's interrupt calls; here, the bank that latched something. */
static void arm_smmu_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	for (unsigned number = 0; number < BANKS; number++) {
		uint32_t fsr = (uint32_t)iommu_registers_get(registers, bank(number, CB_FSR));

		if (!fsr)
			continue;
		print_fault(number, fsr, iommu_registers_get(registers, bank(number, CB_FAR)),
			    (uint32_t)iommu_registers_get(registers, bank(number, CB_FSYNR0)),
			    (uint32_t)iommu_registers_get(registers, GR1_CBFRSYNRA(number)), out);
		iommu_writel(iommu, bank(number, CB_FSR), fsr);
	}
}

const struct iommu_hw_ops arm_smmu_ops = {
	.name = "arm-smmu",
	.description = "Arm SMMU, versions 1 and 2",
	.deferred_flush = true,
	.format = &arm_64_lpae_s1_ops,
	.state_size = sizeof(struct arm_smmu),
	.init = arm_smmu_init,
	.domain_format = arm_smmu_domain_format,
	.domain_config = arm_smmu_domain_config,
	.domain_init = arm_smmu_domain_init,
	.attach = arm_smmu_attach,
	.detach = arm_smmu_detach,
	.fault_latch = arm_smmu_fault_latch,
	.fault_handle = arm_smmu_fault_handle,
	.tlb = {.entries = 512, .ways = 4, .walk_entries = 64},
	.tlb_source = "assumed, of an MMU-500, which its integrator configures",
	.iotlb_sync = arm_smmu_iotlb_sync,
	.flush_iotlb_all = arm_smmu_flush_domain,
};
