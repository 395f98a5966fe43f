/* SPDX-License-Identifier: MIT */
#include "iommu/iommu.h"

struct iommu *iommu_new_config(struct sim *sim, const struct iommu_hw_ops *ops,
			       const struct iommu_hw_config *config, const struct iotlb_config *tlb)
{
	struct iommu *iommu = g_new0(struct iommu, 1);
	struct iotlb_config seeded = *tlb;

	iommu->sim = sim;
	iommu->ops = ops;
	prng_init(&seeded.prng, sim->seed, "iotlb");
	iommu->tlb = iotlb_new(&seeded);
	iommu->queue_lock.name = "invalidation queue";
	iommu->hardware.name = "invalidation hardware";
	iommu->state = g_malloc0(ops->state_size);
	if (ops->init && ops->init(iommu, config) < 0) {
		iommu_free(iommu);
		return NULL;
	}
	return iommu;
}

struct iommu *iommu_new(struct sim *sim, const struct iommu_hw_ops *ops, const struct iotlb_config *tlb)
{
	static const struct iommu_hw_config usual = {0};

	return iommu_new_config(sim, ops, &usual, tlb);
}

void iommu_free(struct iommu *iommu)
{
	if (!iommu)
		return;
	iotlb_free(iommu->tlb);
	g_free(iommu->state);
	g_free(iommu);
}

/** A table that map_range() replaces may be remembered: invalidate before its page is used again. */
static void iommu_domain_sync(struct pgtable *pt, const struct pgtable_gather *gather, void *data)
{
	struct iommu_domain *domain = data;

	if (domain->iommu->ops->iotlb_sync)
		domain->iommu->ops->iotlb_sync(domain, gather);
}

int iommu_domain_new(struct iommu *iommu, unsigned id, const struct pgtable_config *config,
		     struct iommu_domain **ret_domain)
{
	struct iommu_domain *domain;
	const struct iommu_hw_ops *ops = iommu->ops;
	struct pgtable_config completed = *config;
	struct pgtable *pt;
	int err;

	if (ops->domain_config)
		ops->domain_config(iommu, &completed);
	err = pgtable_new_watched(iommu->sim, ops->domain_format ? ops->domain_format(iommu) : ops->format,
				  &completed, iommu->watch.pgtable, &pt);
	if (err)
		return err;
	domain = g_new0(struct iommu_domain, 1);
	domain->iommu = iommu;
	domain->pt = pt;
	domain->id = id;
	pt->sync = iommu_domain_sync;
	pt->sync_data = domain;
	if (ops->domain_init)
		ops->domain_init(domain);
	*ret_domain = domain;
	return 0;
}

int iommu_domain_attach(struct iommu_domain *domain)
{
	const struct iommu_hw_ops *ops = domain->iommu->ops;
	int err = ops->attach ? ops->attach(domain) : 0;

	domain->attached = !err;
	return err;
}

void iommu_domain_free(struct iommu_domain *domain)
{
	if (!domain)
		return;
	if (domain->attached && domain->iommu->ops->detach)
		domain->iommu->ops->detach(domain);
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
	if (domain->device_tlb)
		iotlb_invalidate_domain(domain->device_tlb, domain->id);
	pgtable_free(domain->pt);
	g_free(domain);
}
