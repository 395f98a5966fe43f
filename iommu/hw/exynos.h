/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_EXYNOS_H
#define IOMMU_HW_EXYNOS_H

#include "iommu/iommu.h"

/** What iommu_hw_config.features says of a SysMMU. */
enum exynos_feature {
	EXYNOS_VM = 1 << 0,	       /* version 7: its registers are laid out by virtual machine */
	EXYNOS_FAULT_HANDLER = 1 << 1, /* the master's driver handles its faults; else one is a panic */
};

/** Returns the version of @iommu, a SysMMU: major * 100 + minor. */
unsigned exynos_version(const struct iommu *iommu);

#endif
