/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_INTERNAL_H
#define IOMMU_DMA_INTERNAL_H

/*
 * What the files of the DMA layer share: addresses within granules, and IOVAs taken and given back with the record of who
 * holds them. Nobody else includes it.
 */
#include "iommu/dma/dma.h"

/** Returns @bytes rounded up to whole granules. */
static inline uint64_t dma_align(const struct dma_device *dev, uint64_t bytes)
{
	uint64_t granule = UINT64_C(1) << dev->granule_lg2;

	return (bytes + granule - 1) & ~(granule - 1);
}

/** Returns the offset of @addr in its granule. */
static inline uint64_t dma_offset(const struct dma_device *dev, uint64_t addr)
{
	return addr & ((UINT64_C(1) << dev->granule_lg2) - 1);
}

static inline void dma_announce(struct dma_device *dev, const struct dma_call *call)
{
	SIM_ANNOUNCE(dev->sim, dma_call, call);
}

/** Returns how the page table maps data under @flags: enum pgtable_prot. */
unsigned dma_prot(unsigned flags);

/** Takes an IOVA of @len bytes, whole granules, below 4 GiB first where that is wanted. Returns it, or 0. */
uint64_t dma_alloc_iova(struct dma_device *dev, uint64_t len, enum dma_taker taker);

/** Gives back the @len bytes at @iova at once: nothing may be mapped there. */
void dma_free_iova(struct dma_device *dev, uint64_t iova, uint64_t len);

/** Unmaps @len bytes at @iova for good and gives back @freed bytes of IOVA: after an invalidation, or, lazy, by way of the
 *  flush queue. */
void dma_unmap_and_free(struct dma_device *dev, uint64_t iova, uint64_t len, uint64_t freed);

#endif
