/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_MTK_H
#define IOMMU_HW_MTK_H

#include "iommu/iommu.h"

/** What the driver knows of an M4U. */
struct mtk_m4u {
	unsigned features;	     /* as its platform data has them */
	uint32_t inv_sel;	     /* offset of the register INV_SEL */
	bool enable_4gb;	     /* memory has the layout of the 4 GB mode */
	const uint8_t (*larbs)[8];   /* of eight commons the larbs behind up to eight sub-commons */
	struct iommu_domain *domain; /* attached; NULL: none */
};

/** Returns what the driver knows of @iommu, an M4U. */
const struct mtk_m4u *mtk_m4u(const struct iommu *iommu);

#endif
