/* SPDX-License-Identifier: MIT */
#include "iommu/iommu.h"

struct iommu *iommu_new(struct sim *sim, const struct iommu_hw_ops *ops, const struct iotlb_config *tlb)
{
	struct iommu *iommu = g_new0(struct iommu, 1);
	struct iotlb_config seeded = *tlb;

	iommu->sim = sim;
	iommu->ops = ops;
	prng_init(&seeded.prng, sim->seed, "iotlb");
	iommu->tlb = iotlb_new(&seeded);
	iommu->queue_lock.name = "invalidation queue";
	return iommu;
}

void iommu_free(struct iommu *iommu)
{
	if (!iommu)
		return;
	iotlb_free(iommu->tlb);
	g_free(iommu);
}

/** A table that map_range() replaces may be remembered: invalidate before its page is used again. */
static void iommu_domain_sync(struct pgtable *pt, const struct pgtable_gather *gather, void *data)
{
	struct iommu_domain *domain = data;

	domain->iommu->ops->iotlb_sync(domain, gather);
}

int iommu_domain_new(struct iommu *iommu, unsigned id, const struct pgtable_config *config,
		     struct iommu_domain **ret_domain)
{
	struct iommu_domain *domain;
	struct pgtable *pt;
	int err = pgtable_new(iommu->sim, iommu->ops->format, config, &pt);

	if (err)
		return err;
	domain = g_new0(struct iommu_domain, 1);
	domain->iommu = iommu;
	domain->pt = pt;
	domain->id = id;
	pt->sync = iommu_domain_sync;
	pt->sync_data = domain;
	*ret_domain = domain;
	return 0;
}

void iommu_domain_free(struct iommu_domain *domain)
{
	if (!domain)
		return;
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
	if (domain->device_tlb)
		iotlb_invalidate_domain(domain->device_tlb, domain->id);
	pgtable_free(domain->pt);
	g_free(domain);
}
