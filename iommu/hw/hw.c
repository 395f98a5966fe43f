/* SPDX-License-Identifier: MIT */
#include "iommu/hw/hw.h"

const struct iommu_hw_ops *const iommu_hw[] = {
	&amd_ops,
	&arm_smmu_ops,
	&dart_ops,
	&exynos_ops,
	&intel_ops,
	&ipmmu_ops,
	&msm_ops,
	&mtk_ops,
	&mtk_v1_iommu_ops,
	&omap_ops,
	&qcom_ops,
	&smmuv3_ops,
	&sun50i_iommu_ops,
	&tegra_ops,
	&virtio_iommu_ops,
	NULL,
};
