/* SPDX-License-Identifier: MIT */
/*
 * The host memory buffer: memory that a controller without its own gets from the driver for as long as it works.
 *
 * Behind an IOMMU one piece of IOVA space is tried first, whatever pages are behind it; else, and without one, chunks, each
 * contiguous, the largest size first. Source: nvme_setup_host_mem() in drivers/nvme/host/pci.c of Linux 7.0,
 * blockdma-facts section 6.13.
 */
#include <errno.h>

#include "blockdma/nvme.h"
#include "sim/behaviour/behaviour.h"

#define HMB_CHUNK_MAX ((uint64_t)FRAME_SIZE << PHYSMEM_ORDER_MAX)

/* One entry of the list that the controller gets. */
struct hmb_desc {
	uint64_t addr;
	uint32_t pages; /* of NVME_PAGE */
	uint32_t reserved;
};

G_STATIC_ASSERT(sizeof(struct hmb_desc) == 16);

/** Takes the list, of @count entries. */
static int hmb_alloc_descs(struct nvme *nvme, unsigned count)
{
	struct nvme_hmb *hmb = &nvme->hmb;

	hmb->desc_order = physmem_order((uint64_t)count * sizeof(struct hmb_desc));
	return dma_alloc_coherent(nvme->dev, hmb->desc_order, FRAME_NVME_HMB, &hmb->desc_paddr, &hmb->desc_addr);
}

static void hmb_free_descs(struct nvme *nvme)
{
	dma_free_coherent(nvme->dev, nvme->hmb.desc_order, nvme->hmb.desc_paddr, nvme->hmb.desc_addr);
}

static void hmb_set_desc(struct nvme *nvme, unsigned at, uint64_t addr, uint64_t bytes)
{
	struct hmb_desc *descs = physmem_bytes(&nvme->sim->mem, nvme->hmb.desc_paddr);

	descs[at] = (struct hmb_desc){.addr = addr, .pages = (uint32_t)(bytes / NVME_PAGE)};
	nvme->hmb.desc_count = at + 1;
	nvme->hmb.bytes += bytes;
}

/** nvme_alloc_host_mem_single: @bytes in one descriptor, whatever blocks are behind it. */
static int hmb_alloc_single(struct nvme *nvme, uint64_t bytes)
{
	struct nvme_hmb *hmb = &nvme->hmb;
	int err = sim_fault_size(nvme->sim, FAULT_NVME_HMB, bytes);

	if (err)
		return err;
	hmb->sgt = dma_alloc_noncontiguous(nvme->dev, bytes, FRAME_NVME_HMB);
	if (!hmb->sgt)
		return -ENOMEM;
	err = hmb_alloc_descs(nvme, 1);
	if (err) {
		dma_free_noncontiguous(nvme->dev, hmb->sgt);
		hmb->sgt = NULL;
		return err;
	}
	hmb_set_desc(nvme, 0, hmb->sgt->sgl[0].dma_addr, bytes);
	return 0;
}

/** nvme_alloc_host_mem_multi: as much of @bytes as there is, in chunks of @chunk bytes, the last one smaller. */
static int hmb_alloc_multi(struct nvme *nvme, uint64_t bytes, uint64_t chunk)
{
	struct nvme_hmb *hmb = &nvme->hmb;
	uint64_t count = (bytes + chunk - 1) / chunk, done = 0;

	if (nvme->config.hmb_descs_max)
		count = MIN(count, nvme->config.hmb_descs_max);
	if (hmb_alloc_descs(nvme, (unsigned)count) != 0)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		uint64_t len = MIN(chunk, bytes - done);
		struct nvme_hmb_block block = {.order = physmem_order(len)};

		if (sim_fault_size(nvme->sim, FAULT_NVME_HMB, len) ||
		    dma_alloc_coherent(nvme->dev, block.order, FRAME_NVME_HMB, &block.paddr, &block.addr) != 0)
			break;
		g_array_append_val(hmb->blocks, block);
		hmb_set_desc(nvme, i, block.addr, len);
		done += len;
	}
	if (done)
		return 0;
	hmb_free_descs(nvme);
	return -ENOMEM;
}

void nvme_hmb_free(struct nvme *nvme)
{
	struct nvme_hmb *hmb = &nvme->hmb;

	if (!hmb->desc_count)
		return;
	if (hmb->sgt)
		dma_free_noncontiguous(nvme->dev, hmb->sgt);
	hmb->sgt = NULL;
	for (guint i = 0; i < hmb->blocks->len; i++) {
		const struct nvme_hmb_block *block = &g_array_index(hmb->blocks, struct nvme_hmb_block, i);

		dma_free_coherent(nvme->dev, block->order, block->paddr, block->addr);
	}
	hmb_free_descs(nvme);
	g_array_set_size(hmb->blocks, 0);
	hmb->desc_count = 0;
	hmb->bytes = 0;
}

/** Whether one piece is tried at all: pages of the kernel can be put together without holes. */
static bool hmb_tries_single(const struct nvme *nvme)
{
	return behaves(nvme->sim, NVME_HMB) == NVME_HMB_ONE_IOVA && dma_use_iommu(nvme->dev) &&
	       nvme->dev->granule_lg2 <= FRAME_LG2;
}

void nvme_hmb_alloc(struct nvme *nvme)
{
	const struct nvme_config *config = &nvme->config;
	uint64_t bytes = MIN(config->hmb_preferred, config->hmb_limit) & ~(uint64_t)(NVME_PAGE - 1);
	uint64_t smallest = MAX(config->hmb_desc_min, 2 * FRAME_SIZE);

	if (!bytes || config->hmb_min > config->hmb_limit)
		return;
	if (hmb_tries_single(nvme) && hmb_alloc_single(nvme, bytes) == 0)
		return;
	for (uint64_t chunk = MIN(bytes, HMB_CHUNK_MAX); chunk >= smallest; chunk /= 2) {
		if (hmb_alloc_multi(nvme, bytes, chunk) != 0)
			continue;
		if (nvme->hmb.bytes >= config->hmb_min)
			return;
		nvme_hmb_free(nvme);
	}
}
