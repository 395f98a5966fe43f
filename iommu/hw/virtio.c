/* SPDX-License-Identifier: MIT */
/*
 * virtio-iommu: a hypervisor's IOMMU, told by requests in a virtqueue.
 *
 * Map: a MAP request for each piece that is contiguous in memory, as the core cuts a mapping; then one kick, and the driver
 * polls until the host has answered all. Unmap: an UNMAP request a call, sent and waited for at the sync, or, in lazy mode,
 * at the flush. The queue's lock is held while it polls. The guest has no page table, only a list of mappings; the table of
 * this model is the host's, of VT-d, and so are the caches. Sources: viommu_map_pages(), viommu_unmap_pages(),
 * viommu_iotlb_sync_map(), __viommu_sync_req() in drivers/iommu/virtio-iommu.c of Linux 7.0; Virtual I/O Device
 * specification 1.3, section 5.13.
 *
 * Not modelled: what the requests look like in memory, a queue too short for them, and fault events.
 */
#include "iommu/hw/hw.h"
#include "iommu/pgtable/formats.h"

struct virtio {
	uint64_t unmaps; /* calls for which a request is in the queue or was */
	uint64_t pages;	 /* that these cover */
};

/** Puts @requests into the queue, which concern @pages, kicks the host and waits for its answers: viommu_sync_req(). */
static void virtio_sync(struct iommu *iommu, uint64_t requests, uint64_t pages)
{
	struct sim *sim = iommu->sim;

	sim_lock(sim, &iommu->queue_lock);
	sim_charge(sim, WORK_INVALIDATE_SUBMIT, requests);
	sim_enter(sim, &iommu->hardware);
	sim_charge(sim, WORK_HOST_EXIT, 1);
	sim_charge(sim, WORK_HOST_MAP, requests);
	sim_charge(sim, WORK_HOST_PAGE, pages);
	sim_leave(sim, &iommu->hardware);
	sim_unlock(sim, &iommu->queue_lock);
}

/** Sends what the unmaps since the last time have put into the queue. */
static void virtio_sync_unmaps(struct iommu *iommu, uint64_t pages)
{
	struct virtio *virtio = iommu->state;
	uint64_t requests = iommu->stats.unmaps - virtio->unmaps;

	virtio->unmaps = iommu->stats.unmaps;
	iommu->stats.invalidate_commands += requests;
	if (requests)
		virtio_sync(iommu, requests, pages);
}

/** Returns how many pages were unmapped since the last time. */
static uint64_t virtio_unmapped_pages(struct iommu *iommu)
{
	struct virtio *virtio = iommu->state;
	uint64_t pages = iommu->stats.unmapped_bytes >> FRAME_LG2, since = pages - virtio->pages;

	virtio->pages = pages;
	return since;
}

/** The host invalidates what it unmaps. */
static void virtio_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	struct iommu *iommu = domain->iommu;

	virtio_sync_unmaps(iommu, virtio_unmapped_pages(iommu));
	iotlb_invalidate(iommu->tlb, domain->id, gather->start, gather->end, false);
}

static void virtio_flush_iotlb_all(struct iommu_domain *domain)
{
	virtio_sync_unmaps(domain->iommu, virtio_unmapped_pages(domain->iommu));
	iotlb_invalidate_domain(domain->iommu->tlb, domain->id);
}

/** Returns of how many pieces, each contiguous in memory, the @pages from @iova on are. */
static uint64_t virtio_pieces(const struct iommu_domain *domain, uint64_t iova, uint64_t pages)
{
	uint64_t next = 0, pieces = 0;

	for (uint64_t i = 0; i < pages; i++) {
		uint64_t paddr = 0;
		unsigned prot;

		domain->pt->ops->lookup(domain->pt, iova + (i << FRAME_LG2), &paddr, &prot);
		pieces += paddr != next;
		next = paddr + FRAME_SIZE;
	}
	return pieces;
}

static int virtio_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	uint64_t pages = len >> FRAME_LG2, requests = virtio_pieces(domain, iova, pages);

	domain->iommu->stats.invalidate_commands += requests;
	if (requests)
		virtio_sync(domain->iommu, requests, pages);
	return 0;
}

const struct iommu_hw_ops virtio_iommu_ops = {
	.name = "virtio-iommu",
	.description = "virtio-iommu of a hypervisor that maps in VT-d",
	.deferred_flush = true,
	.state_size = sizeof(struct virtio),
	.format = &vtdss_ops,
	.tlb = {.entries = 512, .ways = 8, .walk_entries = 64},
	.tlb_source = "assumed, Intel publishes no sizes",
	.iotlb_sync = virtio_iotlb_sync,
	.iotlb_sync_map = virtio_iotlb_sync_map,
	.flush_iotlb_all = virtio_flush_iotlb_all,
};
