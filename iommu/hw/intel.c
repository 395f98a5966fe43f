/* SPDX-License-Identifier: MIT */
/*
 * Intel VT-d with second-stage tables and queued invalidation.
 *
 * Unmap: one page-selective descriptor for the smallest aligned power of two of pages that covers the range, with the
 * invalidation hint when no table was freed; for a device with a cache of its own another one for the same pages; then
 * one wait descriptor. Map: nothing, except in caching mode, where only the IOTLB is told. Sources:
 * drivers/iommu/intel/cache.c (cache_tag_flush_range, cache_tag_flush_range_np) and dmar.c of Linux 7.0,
 * pagetable-facts section 5.
 */
#include "iommu/hw/hw.h"
#include "iommu/iotlb/ats.h"
#include "iommu/iotlb/vtd-inv.h"
#include "iommu/pgtable/formats.h"

/** Queues @commands descriptors and one wait, and waits. The queue's lock covers the writing, not the waiting. */
static void intel_submit(struct iommu *iommu, unsigned commands)
{
	struct sim *sim = iommu->sim;

	sim_lock(sim, &iommu->queue_lock);
	sim_charge(sim, WORK_INVALIDATE_SUBMIT, commands);
	sim_unlock(sim, &iommu->queue_lock);
	sim_charge(sim, WORK_INVALIDATE_WAIT, 1);
	iommu->stats.invalidate_commands += commands;
	iommu->stats.invalidate_waits++;
}

static void intel_flush_iotlb(struct iommu_domain *domain, uint64_t addr, unsigned mask, bool leaf_only)
{
	struct iotlb *tlb = domain->iommu->tlb;

	if (mask > VTD_MAMV)
		iotlb_invalidate_domain(tlb, domain->id);
	else
		iotlb_invalidate(tlb, domain->id, addr, addr + ((uint64_t)FRAME_SIZE << mask) - 1, leaf_only);
}

/** First the IOTLB, then the device, or it could fetch what is gone again. */
static void intel_flush_range(struct iommu_domain *domain, uint64_t first, uint64_t last, bool leaf_only)
{
	struct iommu *iommu = domain->iommu;
	uint64_t addr;
	unsigned mask;

	vtd_psi(first, last, &addr, &mask);
	intel_submit(iommu, domain->device_tlb ? 2 : 1);
	intel_flush_iotlb(domain, addr, mask, leaf_only);
	if (domain->device_tlb) {
		ats_invalidate(domain->device_tlb, domain->id, vtd_dev_iotlb_addr(addr, mask));
		iommu->stats.device_invalidations++;
	}
}

static void intel_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	intel_flush_range(domain, gather->start, gather->end, gather->free_count == 0);
}

/** A device remembers nothing of what was not mapped, so it is not told. */
static int intel_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	uint64_t addr;
	unsigned mask;

	if (!domain->iommu->caching_mode || !len)
		return 0;
	vtd_psi(iova, iova + len - 1, &addr, &mask);
	intel_submit(domain->iommu, 1);
	intel_flush_iotlb(domain, addr, mask, false);
	return 0;
}

static void intel_flush_iotlb_all(struct iommu_domain *domain)
{
	intel_flush_range(domain, 0, UINT64_MAX, false);
}

const struct iommu_hw_ops intel_ops = {
	.name = "intel",
	.description = "Intel VT-d, second stage, queued invalidation",
	.format = &vtdss_ops,
	.tlb = {.entries = 512, .ways = 8, .walk_entries = 64},
	.tlb_source = "assumed, Intel publishes no sizes",
	.iotlb_sync = intel_iotlb_sync,
	.iotlb_sync_map = intel_iotlb_sync_map,
	.flush_iotlb_all = intel_flush_iotlb_all,
};
