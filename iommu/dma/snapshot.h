/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_SNAPSHOT_H
#define IOMMU_DMA_SNAPSHOT_H

/*
 * What this room writes into a snapshot. The data of each section is the struct dma_device; without an IOMMU the
 * sections are empty.
 *
 *	domain   one fact a domain: format, geometry, who is attached
 *	iova     address space: who holds what (live), what is parked in which cache (cached), what is reserved
 *	mapping  the page table as ranges, each with the request that holds its IOVA
 *	pagetable  the page table as bits: pgtable-section.h
 *	iotlb    translations that the hardware remembers
 */
#include "iommu/dma/dma.h"
#include "sim/snapshot/snapshot.h"

extern const struct snapshot_section dma_domain_section;
extern const struct snapshot_section dma_iova_section;
/** The same without what is cached and reserved: at teardown only what is held is news. */
extern const struct snapshot_section dma_held_section;
extern const struct snapshot_section dma_mapping_section;
extern const struct snapshot_section dma_pgtable_section;
extern const struct snapshot_section dma_iotlb_section;

#endif
