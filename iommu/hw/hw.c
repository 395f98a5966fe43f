/* SPDX-License-Identifier: MIT */
#include "iommu/hw/hw.h"

const struct iommu_hw_ops *const iommu_hw[] = {
	&intel_ops,
	&ipmmu_ops,
	&omap_ops,
	&tegra_ops,
	NULL,
};
