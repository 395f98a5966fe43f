/* SPDX-License-Identifier: MIT */
#include "iommu/iommu.h"

#include "sim/behaviour/behaviour.h"
#include "sim/fault/fault.h"

static int iommu_map_pages(struct iommu_domain *domain, uint64_t iova, uint64_t paddr, uint64_t len,
			   unsigned prot)
{
	struct iommu *iommu = domain->iommu;
	struct sim *sim = iommu->sim;
	uint64_t mapped = 0;
	int err;

	err = sim_fault_size(sim, FAULT_IOMMU_MAP, len);
	iommu->stats.maps++;
	if (!err)
		err = pgtable_map(domain->pt, iova, paddr, len, prot, &mapped);
	iommu->stats.mapped_bytes += mapped;
	if (err) {
		/* The kernel unmaps also when nothing was mapped: the call with size 0 is in its traces. */
		iommu_unmap(domain, iova, mapped);
		/* 7.0 has the test of a page-table driver's error the wrong way round (defect D2). */
		if (!domain->pt->ops->map_pages || behaves(sim, NOSYNC_MAP_ERROR) != NOSYNC_MAP_INVERTED)
			return err;
		SIM_ANNOUNCE(sim, map_event, iova, paddr, len);
		return 0;
	}
	SIM_ANNOUNCE(sim, map, domain->id, iova, paddr, len, prot);
	if (behaves(sim, NOSYNC_MAP_ERROR) != NOSYNC_MAP_INVERTED)
		SIM_ANNOUNCE(sim, map_event, iova, paddr, len);
	return 0;
}

int iommu_map_nosync(struct iommu_domain *domain, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot)
{
	struct sim *sim = domain->iommu->sim;
	uint64_t from_ps = sim->cursor_ps;
	int err;

	SIM_ANNOUNCE(sim, map_call, iova, paddr, len, prot);
	err = iommu_map_pages(domain, iova, paddr, len, prot);
	SIM_ANNOUNCE(sim, map_return, err);
	SIM_TOOK(sim, .what = SPAN_MAP, .from_ps = from_ps, .addr = iova, .bytes = len, .err = err);
	return err;
}

int iommu_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	struct sim *sim = domain->iommu->sim;
	int err = sim_fault_size(sim, FAULT_IOMMU_SYNC_MAP, len);
	uint64_t from_ps;

	if (err || !domain->iommu->ops->iotlb_sync_map)
		return err;
	SIM_ANNOUNCE(sim, sync_map, domain->id, iova, iova + len - 1);
	from_ps = sim->cursor_ps;
	err = domain->iommu->ops->iotlb_sync_map(domain, iova, len);
	SIM_TOOK(sim, .what = SPAN_SYNC_MAP, .from_ps = from_ps, .addr = iova, .bytes = len, .err = err);
	return err;
}

/** Lets the caches know when [@iova, @iova + @len) went; @tables: table pages went as well. */
static void iommu_log_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t len, bool tables)
{
	uint64_t last = iova + len - 1, now_ns = domain->iommu->sim->now_ns;

	iotlb_unmapped(domain->iommu->tlb, domain->id, iova, last, tables, now_ns);
	if (domain->device_tlb)
		iotlb_unmapped(domain->device_tlb, domain->id, iova, last, tables, now_ns);
}

uint64_t iommu_unmap_fast(struct iommu_domain *domain, uint64_t iova, uint64_t len,
			  struct pgtable_gather *gather)
{
	uint64_t generation = domain->pt->table_generation, from_ps = domain->iommu->sim->cursor_ps,
		 unmapped = 0;

	domain->iommu->stats.unmaps++;
	if (len)
		unmapped = pgtable_unmap(domain->pt, iova, len, gather);
	if (unmapped)
		iommu_log_unmap(domain, iova, unmapped, domain->pt->table_generation != generation);
	domain->iommu->stats.unmapped_bytes += unmapped;
	SIM_ANNOUNCE(domain->iommu->sim, unmap, domain->id, iova, len, unmapped);
	SIM_TOOK(domain->iommu->sim, .what = SPAN_UNMAP, .from_ps = from_ps, .addr = iova, .bytes = len);
	return unmapped;
}

void iommu_iotlb_sync(struct iommu_domain *domain, struct pgtable_gather *gather)
{
	struct sim *sim = domain->iommu->sim;
	uint64_t from_ps = sim->cursor_ps;

	if (!pgtable_gather_empty(gather)) {
		if (domain->iommu->ops->iotlb_sync)
			domain->iommu->ops->iotlb_sync(domain, gather);
		SIM_ANNOUNCE(sim, invalidate, domain->id, gather->start, gather->end);
		SIM_TOOK(sim, .what = SPAN_INVALIDATE, .from_ps = from_ps, .addr = gather->start,
			 .bytes = gather->end - gather->start + 1);
	}
	pgtable_gather_free(sim, gather);
}

uint64_t iommu_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	struct pgtable_gather gather = {0};
	uint64_t unmapped;

	pgtable_gather_init(&gather);
	unmapped = iommu_unmap_fast(domain, iova, len, &gather);
	iommu_iotlb_sync(domain, &gather);
	pgtable_gather_finish(&gather);
	return unmapped;
}

uint64_t iommu_iova_to_phys(const struct iommu_domain *domain, uint64_t iova)
{
	uint64_t paddr = 0;
	unsigned prot;

	domain->pt->ops->lookup(domain->pt, iova, &paddr, &prot);
	if (domain->iommu->ops->iova_to_phys)
		return domain->iommu->ops->iova_to_phys(domain, iova, paddr);
	return paddr;
}
