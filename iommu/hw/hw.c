/* SPDX-License-Identifier: MIT */
#include "iommu/hw/hw.h"

const struct iommu_hw_ops *const iommu_hw[] = {
	&dart_ops,
	&intel_ops,
	&ipmmu_ops,
	&mtk_ops,
	&mtk_v1_iommu_ops,
	&qcom_ops,
	&sun50i_iommu_ops,
	NULL,
};
