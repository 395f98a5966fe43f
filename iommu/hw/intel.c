/* SPDX-License-Identifier: MIT */
/*
 * Intel VT-d with second-stage tables and queued invalidation.
 *
 * Unmap: one page-selective descriptor for the smallest aligned power of two of pages that covers the range, with the
 * invalidation hint when no table was freed (behaviour vtd-invalidation-hint); for a device with a cache of its own another one for the same pages; then
 * one wait descriptor. Map: nothing, except in caching mode, where only the IOTLB is told. Sources:
 * drivers/iommu/intel/cache.c (cache_tag_flush_range, cache_tag_flush_range_np) and dmar.c of Linux 7.0,
 * pagetable-facts section 5.
 */
#include "iommu/hw/hw.h"
#include "iommu/iotlb/ats.h"
#include "iommu/iotlb/vtd-inv.h"
#include "iommu/pgtable/formats.h"
#include "sim/behaviour/behaviour.h"

/* How long hardware waits for a device before it reports an invalidation time-out: PCI Express Base Specification, chapter 10
 * (Address Translation Services), one minute at least. */
#define ITE_NS (UINT64_C(60) * 1000 * 1000 * 1000)

/* The driver has no limit; this is where the model goes on as if the hardware had answered. */
#define RESTARTS_MAX 16

#define IQT	     0x88
#define QUEUE_LENGTH 256u /* descriptors: QI_LENGTH */
#define DESC_LG2     4

struct intel {
	uint32_t tail; /* of the queue, in descriptors */
};

/** Queues @commands descriptors and one wait, and waits. The queue's lock covers the writing, not the waiting. An invalidation
 * time-out aborts the wait: qi_check_fault() clears it, and qi_submit_sync() takes all back and queues them again. */
static void intel_submit(struct iommu *iommu, unsigned commands)
{
	struct sim *sim = iommu->sim;
	struct intel *intel = iommu->state;

	for (unsigned restarts = 0; restarts <= RESTARTS_MAX; restarts++) {
		sim_lock(sim, &iommu->queue_lock);
		iommu_commands(iommu, commands + 1);
		intel->tail = (intel->tail + commands + 1) % QUEUE_LENGTH;
		iommu_writel(iommu, IQT, intel->tail << DESC_LG2);
		sim_unlock(sim, &iommu->queue_lock);
		iommu->stats.invalidate_commands += commands;
		if (iommu_wait(iommu, ITE_NS) == 0)
			return;
	}
	sim_find(sim, FINDING_STUCK, NULL, "invalidation that times out again and again");
}

static void intel_flush_iotlb(struct iommu_domain *domain, uint64_t addr, unsigned mask, bool leaf_only)
{
	struct iotlb *tlb = domain->iommu->tlb;

	if (mask > VTD_MAMV)
		iotlb_invalidate_domain(tlb, domain->id);
	else
		iotlb_invalidate(tlb, domain->id, addr, addr + ((uint64_t)FRAME_SIZE << mask) - 1, leaf_only);
}

/** Writes the descriptor for somebody who listens. */
static void intel_command(struct iommu_domain *domain, uint64_t addr, unsigned mask, bool leaf_only)
{
	uint64_t qw[2];

	if (G_LIKELY(!domain->iommu->watch.command))
		return;
	vtd_iotlb_desc(domain->id, addr, mask, leaf_only, true, qw);
	domain->iommu->watch.command(domain->iommu->watch.data, qw, sizeof(qw));
}

/** First the IOTLB, then the device, or it could fetch what is gone again. */
static void intel_flush_range(struct iommu_domain *domain, uint64_t first, uint64_t last, bool leaf_only)
{
	struct iommu *iommu = domain->iommu;
	uint64_t addr;
	unsigned mask;

	vtd_psi(first, last, &addr, &mask);
	intel_command(domain, addr, mask, leaf_only);
	iommu->queued_pages = mask > VTD_MAMV ? 0 : UINT64_C(1) << mask;
	intel_submit(iommu, domain->device_tlb ? 2 : 1);
	intel_flush_iotlb(domain, addr, mask, leaf_only);
	if (domain->device_tlb) {
		ats_invalidate(domain->device_tlb, domain->id, vtd_dev_iotlb_addr(addr, mask));
		iommu->stats.device_invalidations++;
	}
}

static void intel_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	bool hint = behaves(domain->iommu->sim, VTD_INVALIDATION_HINT) == VTD_HINT_LEAVES;

	intel_flush_range(domain, gather->start, gather->end, hint && gather->free_count == 0);
}

/** A device remembers nothing of what was not mapped, so it is not told. */
static int intel_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	uint64_t addr;
	unsigned mask;

	if (!domain->iommu->caching_mode || !len)
		return 0;
	vtd_psi(iova, iova + len - 1, &addr, &mask);
	intel_command(domain, addr, mask, false);
	intel_submit(domain->iommu, 1);
	intel_flush_iotlb(domain, addr, mask, false);
	return 0;
}

static void intel_flush_iotlb_all(struct iommu_domain *domain)
{
	intel_flush_range(domain, 0, UINT64_MAX, false);
}

/* Faults: VT-d specification 4.1, chapter 7 (reasons) and section 11.4 (fault status and recording registers). */

#define FSTS	  0x34
#define FSTS_PFO  0x1u /* a record was lost */
#define FSTS_PPF  0x2u /* a record is there; its number is in bits 15:8 */
#define FSTS_PRO  0x80u
#define FRCD	  0x400	      /* the first record, of 16 bytes; CAP.FRO says where: assumed */
#define FRCD_F	  0x80000000u /* of the uppermost word: the record is valid */
#define FRCD_READ 0x40000000u

#define REASON_NOT_WRITEABLE 0x05 /* also of what is not mapped at all */
#define REASON_NOT_READABLE  0x06

static void intel_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			      struct iommu_registers *ret_registers)
{
	iommu_registers_add(ret_registers, FSTS, FSTS_PPF);
	iommu_registers_add(ret_registers, FRCD, fault->iova & ~UINT64_C(0xfff));
	iommu_registers_add(ret_registers, FRCD + 8, fault->stream & 0xffff);
	iommu_registers_add(ret_registers, FRCD + 12,
			    FRCD_F | (fault->write ? REASON_NOT_WRITEABLE : FRCD_READ | REASON_NOT_READABLE));
}

/** dmar_fault(). */
static void intel_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint64_t status = iommu_registers_get(registers, FSTS),
		 upper = iommu_registers_get(registers, FRCD + 12);
	unsigned source = (unsigned)iommu_registers_get(registers, FRCD + 8) & 0xffff, reason = upper & 0xff;

	g_string_append_printf(out, "DMAR: DRHD: handling fault status reg %x\n", (unsigned)status);
	iommu_writel(iommu, FRCD + 12, FRCD_F);
	g_string_append_printf(
		out,
		"DMAR: [DMA %s NO_PASID] Request device [%02x:%02x.%x] fault addr 0x%" G_GINT64_MODIFIER
		"x [fault reason 0x%02x] PTE %s access is not set\n",
		upper & FRCD_READ ? "Read" : "Write", source >> 8, source >> 3 & 0x1f, source & 7,
		iommu_registers_get(registers, FRCD), reason,
		reason == REASON_NOT_READABLE ? "Read" : "Write");
	iommu_writel(iommu, FSTS, FSTS_PFO | FSTS_PPF | FSTS_PRO);
}

const struct iommu_hw_ops intel_ops = {
	.name = "intel",
	.description = "Intel VT-d, second stage, queued invalidation",
	.deferred_flush = true,
	.device_tlb = true,
	.state_size = sizeof(struct intel),
	.format = &vtdss_ops,
	.fault_latch = intel_fault_latch,
	.fault_handle = intel_fault_handle,
	.tlb = {.entries = 512, .ways = 8, .walk_entries = 64},
	.tlb_source = "assumed, Intel publishes no sizes",
	.iotlb_sync = intel_iotlb_sync,
	.iotlb_sync_map = intel_iotlb_sync_map,
	.flush_iotlb_all = intel_flush_iotlb_all,
};
