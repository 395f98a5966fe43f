/* SPDX-License-Identifier: MIT */
/*
 * Qualcomm's first IOMMU: the driver keeps a list of its instances, and looks no device up. Source:
 * drivers/iommu/msm_iommu.c.
 */
#include "devtree/platform/platform.h"

struct msm {
	struct iommu_device iommu;
};

static int msm_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct iommu_device *iommu = iommu_from_fwnode(dev->core, args->node);

	if (!iommu)
		return -ENODEV;
	if (!dev->iommu->instance)
		dev->iommu->instance = iommu;
	return iommu_fwspec_add_ids(dev, args->args, MIN(args->arg_count, 1));
}

static int msm_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	*ret_iommu = dev->iommu->instance;
	return platform_check(dev, FAULT_DEVTREE_S6, *ret_iommu != NULL, -ENODEV);
}

static const struct iommu_ops msm_iommu_ops = {
	.name = "msm",
	.of_xlate = msm_of_xlate,
	.probe_device = msm_probe_device,
	.device_group = iommu_group_generic,
};

static int msm_probe(struct device *dev)
{
	struct msm *msm = iommu_device_new(dev, &msm_iommu_ops, sizeof(*msm));

	return platform_iommu_register(&msm->iommu);
}

const struct platform_iommu platform_msm = {
	.driver = {.name = "msm",
		   .match = platform_match,
		   .probe = msm_probe,
		   .remove = platform_iommu_remove},
	.ops = &msm_iommu_ops,
	.hw = &msm_ops,
	.put = PLATFORM_NEVER_LEAKS,
};
