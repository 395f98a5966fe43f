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

/* How a live IOVA's record says what kind of holder it has: above the bytes it was taken for. */
#define LIVE_TAKER_LG2 56
#define LIVE_TO_DEVICE (UINT64_C(1) << 63)

static inline uint64_t dma_live_kind(enum dma_taker taker, bool to_device)
{
	return (uint64_t)taker << LIVE_TAKER_LG2 | (to_device ? LIVE_TO_DEVICE : 0);
}

/** Attaches a device whose domain was left for its first mapping. Returns 0 or what the driver said; then it is asked again
 *  next time. */
int dma_attach(struct dma_device *dev);

/** Returns how the page table maps data under @flags: enum pgtable_prot. */
unsigned dma_prot(const struct dma_device *dev, unsigned flags);

/** Takes an IOVA of @len bytes, whole granules, below 4 GiB first where that is wanted, for a holder of @kind:
 *  dma_live_kind(). Returns it, or 0. */
uint64_t dma_alloc_iova(struct dma_device *dev, uint64_t len, uint64_t kind);

/** Gives back the @len bytes at @iova at once: nothing may be mapped there. */
void dma_free_iova(struct dma_device *dev, uint64_t iova, uint64_t len);

/** Whether there is something to unmap at @addr, which @taker mapped; what is wrong with unmapping it is reported. */
bool dma_check_unmap(struct dma_device *dev, uint64_t addr, enum dma_taker taker, unsigned flags);

/** Unmaps @len bytes at @iova for good and gives back @freed bytes of IOVA: after an invalidation, or, lazy, by way of the
 *  flush queue. */
void dma_unmap_and_free(struct dma_device *dev, uint64_t iova, uint64_t len, uint64_t freed);

#endif
