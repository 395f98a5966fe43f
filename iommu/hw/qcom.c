/* SPDX-License-Identifier: MIT */

/*
 * Qualcomm's IOMMU of MSM8916 and its like: context banks of an Arm SMMU by themselves, each with the tables of one
 * device. One of them is modelled; offsets of registers are inside it. Source:
 * drivers/iommu/arm/arm-smmu/qcom_iommu.c of Linux 7.0; pagetable-facts sections 1 and 5 to 8; Arm IHI 0062D, chapter 16.
 */
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/qcom.h"
#include "iommu/pgtable/formats.h"
#include "sim/behaviour/behaviour.h"

#define CB_SCTLR     0x0
#define CB_RESUME    0x8
#define CB_TCR2	     0x10
#define CB_TTBR0     0x20
#define CB_TTBR1     0x28
#define CB_TCR	     0x30
#define CB_MAIR0     0x38
#define CB_MAIR1     0x3c
#define CB_FSR	     0x58
#define CB_FAR	     0x60
#define CB_FAR_HIGH  0x64
#define CB_FSYNR0    0x68
#define CB_TLBIVA    0x600
#define CB_TLBIASID  0x610
#define CB_TLBIVAL   0x620
#define CB_TLBSYNC   0x7f0
#define CB_TLBSTATUS 0x7f4

/* Address-space tags without a global scope, faults reported and ended, remapped attributes, access flag as permission,
 * translation on. */
#define SCTLR_ENABLED 0x10e7u

#define RESUME_TERMINATE 1u

#define TTBR_ASID_LG2 48

#define TCR_EAE	      0x80000000u /* long descriptors */
#define TCR_EPD1      0x800000u	  /* no walks of TTBR1 */
#define TCR_SH0_OUTER 0x2000u	  /* as for a walker that is not coherent */

#define TCR2_SEP_UPSTREAM 0x38000u
#define TCR2_PASIZE_40	  0x2u

#define FSR_TF		0x2u   /* no translation */
#define FSR_PF		0x8u   /* no permission */
#define FSR_FORMAT_LPAE 0x200u /* the tables are 32-bit long descriptors */
#define FSR_FAULTS	0xc00001feu

#define FSYNR0_WRITE 0x10u

/* qcom_iommu_tlb_sync() looks without a pause, 5 seconds long. How often depends on the bus: the first look and the last
 * are counted. */
#define SYNC_TRIES	2
#define SYNC_TIMEOUT_NS UINT64_C(5000000000)

#define POSTED_MAX 64

/** An invalidation that was written and that no TLBSYNC has been waited for since. */
struct posted {
	uint64_t first, last;
	unsigned domain;
	bool leaf_only;
};

/** What was posted is obeyed when TLBSYNC is done; the oldest of too many before, as it may be at any time. */
struct qcom {
	struct posted posted[POSTED_MAX]; /* oldest first */
	unsigned posted_count;
};

/* Invalidation. */

static void obey(struct iommu *iommu, const struct posted *posted)
{
	iotlb_invalidate(iommu->tlb, posted->domain, posted->first, posted->last, posted->leaf_only);
}

static void post(struct iommu_domain *domain, uint64_t first, uint64_t last, bool leaf_only)
{
	struct qcom *qcom = domain->iommu->state;
	struct posted *latest = &qcom->posted[qcom->posted_count];

	if (qcom->posted_count && latest[-1].last + 1 == first && latest[-1].domain == domain->id &&
	    latest[-1].leaf_only == leaf_only) {
		latest[-1].last = last;
		return;
	}
	if (qcom->posted_count == POSTED_MAX) {
		obey(domain->iommu, &qcom->posted[0]);
		qcom->posted_count--;
		memmove(&qcom->posted[0], &qcom->posted[1], qcom->posted_count * sizeof(qcom->posted[0]));
		latest--;
	}
	*latest = (struct posted){first, last, domain->id, leaf_only};
	qcom->posted_count++;
}

static void tlb_sync(struct iommu *iommu)
{
	struct qcom *qcom = iommu->state;

	iommu_writel(iommu, CB_TLBSYNC, 0);
	if (iommu_poll(iommu, SYNC_TRIES, SYNC_TIMEOUT_NS) < 0) {
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL, "timeout waiting for TLB SYNC");
		return;
	}
	for (unsigned i = 0; i < qcom->posted_count; i++)
		obey(iommu, &qcom->posted[i]);
	qcom->posted_count = 0;
}

/** Posts the invalidation of each page of @granule in [@iova, @iova + @size), one register write a page. */
static void post_pages(struct iommu_domain *domain, uint64_t iova, uint64_t size, uint64_t granule,
		       bool leaf_only)
{
	struct iommu *iommu = domain->iommu;

	iova = iova >> 12 << 12;
	for (uint64_t done = 0; done < size; done += granule) {
		iommu->stats.invalidate_commands++;
		iommu_writel(iommu, leaf_only ? CB_TLBIVAL : CB_TLBIVA, (uint32_t)(iova + done) | QCOM_ASID);
	}
	post(domain, iova, iova + size - 1, leaf_only);
}

static void qcom_flush_all(void *cookie)
{
	struct iommu_domain *domain = cookie;

	domain->iommu->stats.invalidate_commands++;
	iommu_writel(domain->iommu, CB_TLBIASID, QCOM_ASID);
	post(domain, 0, UINT64_MAX, false);
	tlb_sync(domain->iommu);
}

static void qcom_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	struct iommu_domain *domain = cookie;

	post_pages(domain, iova, size, granule, false);
	tlb_sync(domain->iommu);
}

static void qcom_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	post_pages(cookie, iova, granule, granule, true);
}

static const struct pgtable_tlb_ops qcom_tlb_ops = {
	.flush_all = qcom_flush_all,
	.flush_walk = qcom_flush_walk,
	.add_page = qcom_add_page,
};

/** The driver's flush_iotlb_all, and its iotlb_sync, which is the same: nothing is invalidated but what was asked for page
 * by page. What a queued gather kept to itself stays in the IOTLB; the driver declares no deferred flushes, so that the
 * kernel never queues here. */
static void qcom_flush_iotlb_all(struct iommu_domain *domain)
{
	tlb_sync(domain->iommu);
}

static void qcom_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	qcom_flush_iotlb_all(domain);
}

/* Set-up. */

static void qcom_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 40;
	config->page_sizes = UINT64_C(1) << 12;
	config->quirks = 0;
	config->incoherent = true;
}

static void qcom_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &qcom_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/** qcom_iommu_init_domain(): off, what an earlier user left cleared, then on. */
static int qcom_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu_writel(iommu, CB_SCTLR, 0);
	iommu_writel(iommu, CB_FAR, 0);
	iommu_writel(iommu, CB_FSR, FSR_FAULTS);
	iommu_writeq(iommu, CB_TTBR0, pgtable_root(domain->pt) | (uint64_t)QCOM_ASID << TTBR_ASID_LG2);
	iommu_writeq(iommu, CB_TTBR1, 0);
	iommu_writel(iommu, CB_TCR2, TCR2_SEP_UPSTREAM | TCR2_PASIZE_40);
	iommu_writel(iommu, CB_TCR, TCR_EAE | TCR_EPD1 | TCR_SH0_OUTER | (64 - domain->pt->config.ias_bits));
	iommu_writel(iommu, CB_MAIR0, (uint32_t)LPAE_MAIR);
	iommu_writel(iommu, CB_MAIR1, (uint32_t)(LPAE_MAIR >> 32));
	iommu_writel(iommu, CB_SCTLR, SCTLR_ENABLED);
	return 0;
}

/* Faults. */

static void qcom_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			     struct iommu_registers *ret_registers)
{
	uint32_t level = 3 - MIN(fault->level, 3);

	iommu_registers_add(ret_registers, CB_FSR,
			    FSR_FORMAT_LPAE | (fault->reason == IOMMU_FAULT_PERMISSION ? FSR_PF : FSR_TF));
	iommu_registers_add(ret_registers, CB_FSYNR0, level | (fault->write ? FSYNR0_WRITE : 0));
	iommu_registers_add(ret_registers, CB_FAR, (uint32_t)fault->iova);
	iommu_registers_add(ret_registers, CB_FAR_HIGH, fault->iova >> 32);
}

static uint64_t latched(struct iommu *iommu, const struct iommu_registers *registers, uint32_t offset)
{
	iommu_readl(iommu);
	return iommu_registers_get(registers, offset);
}

/** qcom_iommu_fault(). No handler of a device driver is modelled, so nobody has handled the fault. */
static void qcom_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint32_t status = (uint32_t)latched(iommu, registers, CB_FSR), syndrome;
	uint64_t iova;

	if (!(status & FSR_FAULTS))
		return;
	syndrome = (uint32_t)latched(iommu, registers, CB_FSYNR0);
	iova = latched(iommu, registers, CB_FAR);
	iova |= latched(iommu, registers, CB_FAR_HIGH) << 32;
	if (behaves(iommu->sim, QCOM_FAULT_REPORT) == QCOM_FAULT_REPORT_UNHANDLED)
		g_string_append_printf(out,
				       "Unhandled context fault: fsr=0x%x, iova=0x%016" G_GINT64_MODIFIER
				       "x, fsynr=0x%x, cb=%u\n",
				       status, iova, syndrome, QCOM_ASID);
	iommu_writel(iommu, CB_FSR, status);
	iommu_writel(iommu, CB_RESUME, RESUME_TERMINATE);
}

const struct iommu_hw_ops qcom_ops = {
	.name = "qcom-iommu",
	.description = "Qualcomm IOMMU of MSM8916: one context bank",
	.format = &arm_32_lpae_s1_ops,
	.state_size = sizeof(struct qcom),
	.domain_config = qcom_domain_config,
	.domain_init = qcom_domain_init,
	.attach = qcom_attach,
	.tlb = {.entries = 128, .ways = 4, .walk_entries = 16},
	.tlb_source = "assumed",
	.iotlb_sync = qcom_iotlb_sync,
	.flush_iotlb_all = qcom_flush_iotlb_all,
	.fault_latch = qcom_fault_latch,
	.fault_handle = qcom_fault_handle,
};
