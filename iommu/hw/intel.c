/* SPDX-License-Identifier: MIT */
/*
 * Intel VT-d with second-stage tables and queued invalidation.
 *
 * Unmap: one page-selective descriptor for the smallest aligned power of two of pages that covers the range, with the
 * invalidation hint when no table was freed, then a wait descriptor. Map: nothing, except in caching mode. Sources:
 * drivers/iommu/intel/cache.c and dmar.c of Linux 7.0, pagetable-facts section 5.
 */
#include "iommu/hw/hw.h"
#include "iommu/iotlb/vtd-inv.h"
#include "iommu/pgtable/formats.h"

/** Queues one descriptor and its wait, and waits. The queue's lock covers the writing, not the waiting. */
static void intel_submit(struct iommu *iommu)
{
	struct sim *sim = iommu->sim;

	sim_lock(sim, &iommu->queue_lock);
	sim_charge(sim, WORK_INVALIDATE_SUBMIT, 1);
	sim_unlock(sim, &iommu->queue_lock);
	sim_charge(sim, WORK_INVALIDATE_WAIT, 1);
	iommu->stats.invalidate_commands++;
	iommu->stats.invalidate_waits++;
}

static void intel_flush_range(struct iommu_domain *domain, uint64_t first, uint64_t last, bool leaf_only)
{
	uint64_t addr;
	unsigned mask;

	vtd_psi(first, last, &addr, &mask);
	intel_submit(domain->iommu);
	if (mask > VTD_MAMV)
		iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
	else
		iotlb_invalidate(domain->iommu->tlb, domain->id, addr,
				 addr + ((uint64_t)FRAME_SIZE << mask) - 1, leaf_only);
}

static void intel_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	intel_flush_range(domain, gather->start, gather->end, gather->free_count == 0);
}

static int intel_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	if (domain->iommu->caching_mode && len)
		intel_flush_range(domain, iova, iova + len - 1, false);
	return 0;
}

static void intel_flush_iotlb_all(struct iommu_domain *domain)
{
	intel_submit(domain->iommu);
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
}

const struct iommu_hw_ops intel_ops = {
	.name = "intel",
	.description = "Intel VT-d, second stage, queued invalidation",
	.format = &vtdss_ops,
	.iotlb_sync = intel_iotlb_sync,
	.iotlb_sync_map = intel_iotlb_sync_map,
	.flush_iotlb_all = intel_flush_iotlb_all,
};
