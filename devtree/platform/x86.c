/* SPDX-License-Identifier: MIT */
/*
 * Intel and AMD: no node and no fwspec. The core takes the first IOMMU without a node for its ops, and the driver finds the
 * instance itself, here by the last PCI function that each one serves. Source: drivers/iommu/intel/iommu.c and
 * amd/iommu.c.
 */
#include "devtree/platform/platform.h"

struct x86_iommu {
	struct iommu_device iommu;
};

/** The first instance of @ops that serves the function. */
static int x86_probe_device(struct device *dev, const struct iommu_ops *ops, struct iommu_device **ret_iommu)
{
	const GPtrArray *iommus = dev->core->iommus;
	int err;

	if (dev->bus != DEVICE_BUS_PCI)
		return -ENODEV;
	err = platform_stage(dev, FAULT_DEVTREE_S6);
	if (err)
		return err;
	for (guint i = 0; i < iommus->len; i++) {
		struct iommu_device *iommu = g_ptr_array_index(iommus, i);

		if (iommu->ops == ops && dev->rid <= iommu->dev->rid) {
			dev->iommu->instance = iommu;
			*ret_iommu = iommu;
			return 0;
		}
	}
	return -ENODEV;
}

static int intel_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	return x86_probe_device(dev, platform_intel.ops, ret_iommu);
}

static int amd_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	return x86_probe_device(dev, platform_amd.ops, ret_iommu);
}

static const struct iommu_ops intel_iommu_ops = {
	.name = "intel-iommu",
	.probe_device = intel_probe_device,
	.device_group = iommu_group_generic,
};

static const struct iommu_ops amd_iommu_ops = {
	.name = "amd-iommu",
	.probe_device = amd_probe_device,
	.device_group = iommu_group_generic,
};

static bool x86_match(const struct device_driver *driver, const struct device *dev)
{
	return !dev->node && dev->bus == DEVICE_BUS_PLATFORM && g_str_has_prefix(dev->name, driver->name);
}

static int intel_probe(struct device *dev)
{
	struct x86_iommu *x86 = iommu_device_new(dev, &intel_iommu_ops, sizeof(*x86));

	return platform_iommu_register(&x86->iommu);
}

static int amd_probe(struct device *dev)
{
	struct x86_iommu *x86 = iommu_device_new(dev, &amd_iommu_ops, sizeof(*x86));

	return platform_iommu_register(&x86->iommu);
}

const struct platform_iommu platform_intel = {
	.driver = {.name = "intel-iommu",
		   .match = x86_match,
		   .probe = intel_probe,
		   .remove = platform_iommu_remove},
	.ops = &intel_iommu_ops,
	.hw = &intel_ops,
	.put = PLATFORM_NEVER_LEAKS,
};

const struct platform_iommu platform_amd = {
	.driver = {.name = "amd-iommu",
		   .match = x86_match,
		   .probe = amd_probe,
		   .remove = platform_iommu_remove},
	.ops = &amd_iommu_ops,
	.hw = &amd_ops,
	.put = PLATFORM_NEVER_LEAKS,
};
