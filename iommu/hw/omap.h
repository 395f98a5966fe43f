/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_OMAP_H
#define IOMMU_HW_OMAP_H

#include "iommu/iommu.h"

/** Returns how many entries the TLB of @iommu, an OMAP IOMMU, has. */
unsigned omap_tlb_lines(const struct iommu *iommu);

/** Loads entry @line, below that number, as software does: with the values of the registers CAM and RAM. It does not
 * translate. */
void omap_tlb_load(struct iommu *iommu, unsigned line, uint32_t cam, uint32_t ram);

#endif
