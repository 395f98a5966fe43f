/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_SG_H
#define IOMMU_DMA_SG_H

/*
 * Scatter lists: the way in that block drivers took before Linux 6.17. A list of physically contiguous entries goes in,
 * and comes back as DMA segments, as few as can be:
 *
 *	entries (paddr, len)	   widened to granules	     one IOVA		    DMA segments (addr, len)
 *	[a00-fff] [000-fff] [000-4ff]  3 granules of memory  iova .. iova + 3 granules  one: iova + a00, to its end
 *
 * All entries share one IOVA, in which each takes whole granules; neighbours whose granules touch physically are mapped in
 * one go. Where an entry's end or the next one's start lies inside a granule, a DMA segment ends. Without an IOMMU each entry
 * is a segment of its own. Source: iommu_dma_map_sg() and iommu_dma_unmap_sg() in drivers/iommu/dma-iommu.c, iommu_map_sg()
 * in drivers/iommu/iommu.c of Linux 6.1; blockdma-sg-facts section 2.
 */
#include "iommu/dma/dma.h"

/** An entry, and a DMA segment: as in the kernel the first nents elements of a table hold the segments of all of it. */
struct scatterlist {
	uint64_t paddr;
	uint64_t len;
	uint64_t padded; /* bytes it takes in the IOVA; 0: it is on the bus */

	uint64_t dma_addr;
	uint64_t dma_len;
	bool dma_bus; /* an address on the bus, which nobody unmaps */
};

struct sg_table {
	struct scatterlist *sgl; /* borrowed */
	unsigned orig_nents;	 /* entries, at least one */
	unsigned nents;		 /* DMA segments; 0: not mapped */

	/* What the device takes of a DMA segment (dma_parms): one window of this and one more bytes, and so many in all. */
	uint64_t seg_boundary_mask;
	uint64_t max_seg_bytes;
};

/** Maps the entries of @sgt and fills in its segments. Returns 0; or, with nothing left mapped and no segments, -ENOMEM
 *  (no IOVA, or no memory for page tables), -EREMOTEIO (another device's memory, out of reach), -EIO (without an IOMMU), or
 *  -EINVAL for anything else. */
int dma_map_sg(struct dma_device *dev, struct sg_table *sgt, unsigned flags);
/** Undoes dma_map_sg() in one unmap; @flags as given there. */
void dma_unmap_sg(struct dma_device *dev, struct sg_table *sgt, unsigned flags);

/** Takes @bytes of memory, whole granules, behind an IOMMU: in blocks as large as they come, for @use, mapped into one IOVA that
 *  the device may read and write. Returns its table of one segment, whose elements are its own, or NULL. Source:
 *  iommu_dma_alloc_noncontiguous() in drivers/iommu/dma-iommu.c of Linux 7.0. */
struct sg_table *dma_alloc_noncontiguous(struct dma_device *dev, uint64_t bytes, enum frame_use use);
void dma_free_noncontiguous(struct dma_device *dev, struct sg_table *sgt);

/** The same for memory that somebody else has: the entries of @sgt, whole granules, whose padded is their len. Returns 0, with
 *  one segment, or -ENOMEM with nothing left mapped. */
int dma_map_noncontiguous(struct dma_device *dev, struct sg_table *sgt);
void dma_unmap_noncontiguous(struct dma_device *dev, struct sg_table *sgt);

#endif
