/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_SYNC_H
#define IOMMU_DMA_SYNC_H

/*
 * What the CPU does around a mapping for a device that does not see its caches, or must not see all of its memory: cache
 * maintenance and bounce buffers. For the DMA layer alone; none of it is on the way of a coherent device that is trusted.
 */
#include "iommu/dma/dma.h"

/** Tells observers of a struct dma_call of these members. With nobody listening it is not even put together. */
#define DMA_ANNOUNCE(dev, ...)                                                                       \
	do {                                                                                         \
		if (G_UNLIKELY((dev)->sim->observers != NULL))                                       \
			SIM_ANNOUNCE((dev)->sim, dma_call, &((const struct dma_call){__VA_ARGS__})); \
	} while (0)

/** Whether a mapping with @flags is kept coherent by the CPU. */
static inline bool dma_syncs(const struct dma_device *dev, unsigned flags)
{
	return dev->config.incoherent && !(flags & (DMA_ATTR_SKIP_CPU_SYNC | DMA_ATTR_MMIO));
}

/** Writes back what the CPU has of [@paddr, @paddr + @len), before the device comes to it; with dma_cache_flush() done. */
void dma_cache_for_device(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags);
/** Drops what the CPU has of it, after the device. */
void dma_cache_for_cpu(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags);
void dma_cache_flush(struct dma_device *dev);

/** Copies @len bytes at @paddr into a bounce buffer. @align_mask as in swiotlb_map(); what the device sees of it around the
 *  copy is zeroed if it is untrusted. Fault point dma.bounce. Returns the buffer's address, or DMA_MAPPING_ERROR. */
uint64_t dma_bounce_map(struct dma_device *dev, uint64_t paddr, uint64_t len, uint64_t align_mask,
			unsigned flags);
/** Copies the bounce buffer at @addr back, if it is one and the device wrote it. */
void dma_bounce_sync(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags);
/** Copies it back, if so and @flags do not forbid it, and frees it. Nothing, if @addr is no bounce buffer. */
void dma_bounce_unmap(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags);

#endif
