/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_HW_H
#define IOMMU_HW_HW_H

/* The IOMMUs that iommu_hw[] lists, one file each. */
#include "iommu/iommu.h"

extern const struct iommu_hw_ops amd_ops;
extern const struct iommu_hw_ops arm_smmu_ops;
extern const struct iommu_hw_ops dart_ops;
extern const struct iommu_hw_ops exynos_ops;
extern const struct iommu_hw_ops intel_ops;
extern const struct iommu_hw_ops ipmmu_ops;
extern const struct iommu_hw_ops msm_ops;
extern const struct iommu_hw_ops mtk_ops;
extern const struct iommu_hw_ops mtk_v1_iommu_ops;
extern const struct iommu_hw_ops omap_ops;
extern const struct iommu_hw_ops qcom_ops;
extern const struct iommu_hw_ops smmuv3_ops;
extern const struct iommu_hw_ops sun50i_iommu_ops;
extern const struct iommu_hw_ops tegra_ops;
extern const struct iommu_hw_ops virtio_iommu_ops;

#endif
