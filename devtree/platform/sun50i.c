/* SPDX-License-Identifier: MIT */
/*
 * Allwinner H6 and H616. A master is behind one; of several entries the last decides, and nothing is checked. Source:
 * drivers/iommu/sun50i-iommu.c.
 */
#include "devtree/platform/platform.h"

struct sun50i {
	struct iommu_device iommu;
};

static int sun50i_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;

	platform_lookup(dev, args->node, &platform_sun50i, "sun50i_iommu_of_xlate", &lookup);
	if (!lookup.device)
		return platform_null(dev, "sun50i_iommu_of_xlate");
	dev->iommu->instance = lookup.iommu;
	platform_lookup_keep(&lookup);
	return iommu_fwspec_add_ids(dev, args->args, MIN(args->arg_count, 1));
}

static int sun50i_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	*ret_iommu = dev->iommu->instance;
	return platform_check(dev, FAULT_DEVTREE_S6, *ret_iommu != NULL, -ENODEV);
}

static int sun50i_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	dev->iommu->instance = iommu;
	return platform_stage(dev, FAULT_DEVTREE_S6);
}

static const struct iommu_ops sun50i_ops = {
	.name = "sun50i-iommu",
	.of_xlate = sun50i_of_xlate,
	.probe_device = sun50i_probe_device,
	.of_xlate_ids = platform_xlate_ids,
	.probe_device_fwspec = sun50i_probe_device_fwspec,
	.device_group = iommu_group_single,
};

static int sun50i_probe(struct device *dev)
{
	struct sun50i *sun50i = iommu_device_new(dev, &sun50i_ops, sizeof(*sun50i));

	return platform_iommu_register(&sun50i->iommu);
}

const struct platform_iommu platform_sun50i = {
	.driver = {.name = "sun50i-iommu",
		   .match = platform_match,
		   .probe = sun50i_probe,
		   .remove = platform_iommu_remove},
	.ops = &sun50i_ops,
	.hw = &sun50i_iommu_ops,
	.put = OF_XLATE_PUT_SUN50I,
};
