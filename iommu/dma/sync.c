/* SPDX-License-Identifier: MIT */
#include "iommu/dma/sync.h"

#include "sim/fault/fault.h"

#define CACHE_LINE 64

static void dma_cache(struct dma_device *dev, enum dma_call_kind kind, uint64_t paddr, uint64_t len,
		      unsigned flags)
{
	sim_charge(dev->sim, WORK_CACHE_SYNC, (len + CACHE_LINE - 1) / CACHE_LINE);
	DMA_ANNOUNCE(dev, .kind = kind, .paddr = paddr, .size = len, .flags = flags);
}

void dma_cache_for_device(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	dma_cache(dev, DMA_CALL_CACHE_FOR_DEVICE, paddr, len, flags);
}

void dma_cache_for_cpu(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	dma_cache(dev, DMA_CALL_CACHE_FOR_CPU, paddr, len, flags);
}

void dma_cache_flush(struct dma_device *dev)
{
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_CACHE_FLUSH);
}

static void dma_copy(struct dma_device *dev, uint64_t *counter, uint64_t len)
{
	*counter += len;
	sim_charge(dev->sim, WORK_COPY, (len + CACHE_LINE - 1) / CACHE_LINE);
}

/** Zeroes what an untrusted device would see around [@addr, @addr + @len). */
static void dma_bounce_zero(struct dma_device *dev, uint64_t addr, uint64_t len, uint64_t align_mask)
{
	dma_copy(dev, &dev->config.swiotlb->stats.zeroed_bytes, addr & align_mask);
	dma_copy(dev, &dev->config.swiotlb->stats.zeroed_bytes, -(addr + len) & align_mask);
}

uint64_t dma_bounce_map(struct dma_device *dev, uint64_t paddr, uint64_t len, uint64_t align_mask,
			unsigned flags)
{
	struct swiotlb *pool = dev->config.swiotlb;
	uint64_t addr = 0;
	uint32_t slots = 0;

	if (!pool) {
		DMA_ANNOUNCE(dev, .kind = DMA_CALL_BOUNCE_INACTIVE, .paddr = paddr, .size = len);
		return DMA_MAPPING_ERROR;
	}
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_BOUNCED, .paddr = paddr, .size = len);
	if (!sim_fault_size(dev->sim, FAULT_DMA_BOUNCE, len))
		addr = swiotlb_map(pool, paddr, len, align_mask, dev->config.min_align_mask, &slots);
	if (!addr)
		addr = DMA_MAPPING_ERROR;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_BOUNCE_MAP, .paddr = paddr, .size = len, .addr = addr,
		     .slots = slots, .flags = flags);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	dev->need_unmap = true;
	/* Also for data that the device will write: it may write less than all of them. */
	dma_copy(dev, &pool->stats.copied_in_bytes, len);
	if (dev->config.untrusted)
		dma_bounce_zero(dev, addr, len, align_mask);
	return addr;
}

void dma_bounce_sync(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags)
{
	if (flags & DMA_TO_DEVICE || !swiotlb_holds(dev->config.swiotlb, addr))
		return;
	dma_copy(dev, &dev->config.swiotlb->stats.copied_out_bytes, len);
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_BOUNCE_SYNC, .addr = addr, .size = len, .flags = flags);
}

void dma_bounce_unmap(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags)
{
	if (!swiotlb_holds(dev->config.swiotlb, addr))
		return;
	if (!(flags & (DMA_TO_DEVICE | DMA_ATTR_SKIP_CPU_SYNC)))
		dma_copy(dev, &dev->config.swiotlb->stats.copied_out_bytes, len);
	swiotlb_unmap(dev->config.swiotlb, addr);
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_BOUNCE_UNMAP, .addr = addr, .size = len, .flags = flags);
}
