/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "devtree/platform/platform.h"

const struct platform_iommu *const platform_iommus[] = {
	&platform_dart,	  &platform_qcom, &platform_exynos, &platform_ipmmu, &platform_mtk,
	&platform_mtk_v1, &platform_omap, &platform_sun50i, &platform_tegra, &platform_arm_smmu,
	&platform_smmuv3, &platform_msm,  &platform_intel,  &platform_amd,   NULL,
};

const struct device_driver *const platform_drivers[] = {
	&platform_dart.driver,
	&platform_qcom.driver,
	&platform_exynos.driver,
	&platform_ipmmu.driver,
	&platform_mtk.driver,
	&platform_mtk_v1.driver,
	&platform_omap.driver,
	&platform_sun50i.driver,
	&platform_tegra.driver,
	&platform_arm_smmu.driver,
	&platform_smmuv3.driver,
	&platform_msm.driver,
	&platform_intel.driver,
	&platform_amd.driver,
	&platform_qcom_context_driver,
	&platform_smi_common_driver,
	&platform_smi_larb_driver,
	&platform_master_driver,
	NULL,
};

const struct platform_iommu *platform_iommu_find(const char *name)
{
	for (const struct platform_iommu *const *platform = platform_iommus; *platform; platform++)
		if (strcmp((*platform)->driver.name, name) == 0)
			return *platform;
	return NULL;
}

struct iommu_hw_config platform_hw_config(const struct platform_iommu *platform, const struct devtree *tree,
					  const struct dt_node *node)
{
	const struct platform_soc *soc = platform->socs;

	for (; soc && soc->compatible; soc++)
		if (dt_is_compatible(node, soc->compatible) || dt_is_compatible(tree->nodes, soc->compatible))
			return soc->config;
	return (struct iommu_hw_config){0};
}

/** Any driver of a master: it needs nothing but its IOMMU. */
static bool master_match(const struct device_driver *driver, const struct device *dev)
{
	return dev->bus == DEVICE_BUS_PCI || (dev->node && dt_has(dev->node, "iommus"));
}

const struct device_driver platform_master_driver = {
	.name = "master",
	.match = master_match,
};
