/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_SNAPSHOT_CHECK_H
#define IOMMU_DMA_SNAPSHOT_CHECK_H

/*
 * What "snapshot check" asks of this room's facts, where a rule cannot say it; the rules are in snapshot.c.
 */
#include "sim/snapshot/snapshot.h"

/** [iova]: ranges are whole granules and not below their size class; magazines are stacks, those of a depot full; a depot has
 *  as many as it says, a ring as much in it as between its ends; no range was queued after more flushes than there were. */
extern const struct snapshot_judge dma_iova_judge;

/** [pagetable]: the tables hang together, there are as many as the domain says, and their leaves say what the mappings say. */
extern const struct snapshot_judge dma_pgtable_judge;

#endif
