/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOMMU_H
#define IOMMU_IOMMU_H

/*
 * Domains: an address space behind an IOMMU, and mapping into it.
 *
 * A domain is a page table, the hardware that caches it, and who is attached. This room knows no devices: an endpoint is
 * a plain struct that devtree/ or the PCI topology fills in. Source: drivers/iommu/iommu.c of Linux 7.0.
 */
#include <stdbool.h>
#include <stdint.h>

#include "iommu/iotlb/iotlb.h"
#include "iommu/pgtable/pgtable-fault.h"
#include "iommu/pgtable/pgtable.h"

struct iommu;
struct iommu_domain;

/** What a driver does around its page table. One file each in iommu/hw. */
struct iommu_hw_ops {
	const char *name; /* "intel" */
	const char *description;
	const struct pgtable_ops *format;
	/** The caches of hardware of this kind, where the machine file does not say else: at least one way, also
	 * where there are no entries. */
	struct iotlb_config tlb;
	const char *tlb_source; /* where these numbers come from; "assumed" where no source states them */
	/** Invalidates what @gather holds, before its table pages are freed. The gather is not empty. */
	void (*iotlb_sync)(struct iommu_domain *domain, const struct pgtable_gather *gather);
	/** After new mappings [@iova, @iova + @len); NULL: nothing to do. Returns 0 or a negative errno. */
	int (*iotlb_sync_map)(struct iommu_domain *domain, uint64_t iova, uint64_t len);
	/** Invalidates everything of the domain. */
	void (*flush_iotlb_all)(struct iommu_domain *domain);
};

/** The IOMMUs, NULL-ended. */
extern const struct iommu_hw_ops *const iommu_hw[];

struct iommu_stats {
	uint64_t maps, unmaps; /* calls */
	uint64_t mapped_bytes, unmapped_bytes;
	uint64_t invalidate_commands; /* descriptors queued, waits not counted */
	uint64_t device_invalidations; /* of these, to a device's own cache */
	uint64_t invalidate_waits;
};

/** One IOMMU of the machine. */
struct iommu {
	struct sim *sim;
	const struct iommu_hw_ops *ops;
	struct iotlb *tlb;
	struct sim_lock queue_lock; /* of the invalidation queue */
	bool caching_mode; /* VT-d: also not-present entries may be cached, so maps are invalidated as well */
	struct iommu_stats stats;
};

struct iommu_domain {
	struct iommu *iommu;
	struct pgtable *pt;
	unsigned id; /* what entries in the IOTLB are tagged with */
	/** The cache of the attached device, where ATS is on, borrowed: the driver invalidates it as well. NULL:
	 * none. */
	struct iotlb *device_tlb;
};

/** Returns a new IOMMU whose caches are as @tlb says, random victims drawn from @sim's seed. Free with iommu_free() after
 *  its domains. */
struct iommu *iommu_new(struct sim *sim, const struct iommu_hw_ops *ops, const struct iotlb_config *tlb);
void iommu_free(struct iommu *iommu);

/** Makes a domain. Returns 0 with *@ret_domain or a negative errno. Free with iommu_domain_free(). */
int iommu_domain_new(struct iommu *iommu, unsigned id, const struct pgtable_config *config,
		     struct iommu_domain **ret_domain);
void iommu_domain_free(struct iommu_domain *domain);

/** Maps without telling the hardware (iommu_map_nosync). On failure what this call mapped is unmapped again, with an
 *  immediate sync. Fault point iommu.map. Returns 0 or a negative errno. */
int iommu_map_nosync(struct iommu_domain *domain, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot);

/** Tells the hardware of new mappings, where it must know. Fault point iommu.sync_map. Returns 0 or a negative errno. */
int iommu_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len);

/** Unmaps, adding to @gather (initialised by the caller). Returns the bytes that were mapped. */
uint64_t iommu_unmap_fast(struct iommu_domain *domain, uint64_t iova, uint64_t len,
			  struct pgtable_gather *gather);

/** Invalidates what was gathered (nothing, if nothing was) and frees its table pages. */
void iommu_iotlb_sync(struct iommu_domain *domain, struct pgtable_gather *gather);

/** Unmaps with an immediate sync. Returns the bytes that were mapped. */
uint64_t iommu_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t len);

/** Returns the physical address that the page table has for @iova, 0 where it is not mapped. */
uint64_t iommu_iova_to_phys(const struct iommu_domain *domain, uint64_t iova);

#endif
