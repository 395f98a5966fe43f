/* SPDX-License-Identifier: MIT */
#include "iommu/dma/direct.h"

#include "iommu/dma/sync.h"

static bool dma_reaches(const struct dma_device *dev, uint64_t paddr, uint64_t len)
{
	return paddr <= dev->config.mask && len - 1 <= dev->config.mask - paddr;
}

static uint64_t dma_direct_overflow(struct dma_device *dev, uint64_t paddr, uint64_t len)
{
	sim_find(dev->sim, FINDING_KERNEL_WARNING, NULL,
		 "dma_direct_map_phys: overflow: the device cannot reach %" G_GUINT64_FORMAT
		 " bytes at 0x%" G_GINT64_MODIFIER "x",
		 len, paddr);
	return DMA_MAPPING_ERROR;
}

static uint64_t dma_direct_sync(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	if (dma_syncs(dev, flags)) {
		dma_cache_for_device(dev, paddr, len, flags);
		dma_cache_flush(dev);
	}
	return paddr;
}

/** swiotlb_map. */
static uint64_t dma_direct_bounce(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	uint64_t addr;

	/* Neither another device's memory nor what must be coherent has a copy. */
	if (flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT))
		return DMA_MAPPING_ERROR;
	addr = dma_bounce_map(dev, paddr, len, 0, flags);
	if (addr == DMA_MAPPING_ERROR)
		return addr;
	if (!dma_reaches(dev, addr, len)) {
		dma_bounce_unmap(dev, addr, len, flags | DMA_ATTR_SKIP_CPU_SYNC);
		return dma_direct_overflow(dev, addr, len);
	}
	return dma_direct_sync(dev, addr, len, flags);
}

uint64_t dma_direct_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	if (dev->config.incoherent && flags & DMA_ATTR_REQUIRE_COHERENT)
		return DMA_MAPPING_ERROR;
	if (dev->config.swiotlb_force)
		return dma_direct_bounce(dev, paddr, len, flags);
	if (dma_reaches(dev, paddr, len))
		return dma_direct_sync(dev, paddr, len, flags);
	if (dev->config.swiotlb && !(flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT)))
		return dma_direct_bounce(dev, paddr, len, flags);
	return dma_direct_overflow(dev, paddr, len);
}

uint64_t dma_direct_max_mapping_size(const struct dma_device *dev)
{
	if (dev->config.swiotlb && (dev->config.swiotlb_force || dev->config.mask != UINT64_MAX))
		return swiotlb_max_mapping_size(dev->config.swiotlb);
	return UINT64_MAX;
}

void dma_direct_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags)
{
	if (flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT))
		return;
	if (dma_syncs(dev, flags)) {
		dma_cache_for_cpu(dev, addr, len, flags);
		dma_cache_flush(dev);
	}
	if (!(flags & DMA_ATTR_SKIP_CPU_SYNC))
		dma_bounce_sync(dev, addr, len, flags);
	dma_bounce_unmap(dev, addr, len, flags | DMA_ATTR_SKIP_CPU_SYNC);
}
