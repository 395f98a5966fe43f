/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/formats.h"

const struct pgtable_ops *const pgtable_formats[] = {
	&amdv1_ops,
	&apple_dart2_ops,
	&apple_dart_ops,
	&arm_32_lpae_s1_ops,
	&arm_32_lpae_s2_ops,
	&arm_64_lpae_s1_ops,
	&arm_64_lpae_s2_ops,
	&arm_mali_lpae_ops,
	&arm_v7s_ops,
	&exynos_sysmmu_ops,
	&mtk_v1_ops,
	&omap_iommu_ops,
	&riscv64_ops,
	&sun50i_ops,
	&tegra_smmu_ops,
	&vtdss_ops,
	&x86_64_ops,
	NULL,
};
