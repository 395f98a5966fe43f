/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_DIRECT_H
#define IOMMU_DMA_DIRECT_H

/*
 * Mapping without an IOMMU: addresses are physical, but for what the device cannot reach, which is bounced. For the DMA
 * layer alone. Source: kernel/dma/direct.h and swiotlb.c of Linux 7.0.
 */
#include "iommu/dma/dma.h"

/** As dma_map_phys() and dma_unmap_phys(). */
uint64_t dma_direct_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags);
uint64_t dma_direct_max_mapping_size(const struct dma_device *dev);
void dma_direct_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags);

#endif
