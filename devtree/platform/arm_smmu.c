/* SPDX-License-Identifier: MIT */
/*
 * Arm SMMU, version 1 and 2, and 3: the contrast. of_xlate only packs cells, probe_device resolves the instance from the
 * fwspec, and its lookup is put at once: nothing ever leaked. Source: drivers/iommu/arm/arm-smmu/arm-smmu.c and
 * arm-smmu-v3/arm-smmu-v3.c.
 */
#include "devtree/platform/platform.h"

struct smmu {
	struct iommu_device iommu;
};

struct smmu_master {
	struct dev_private priv;
};

/** Stream id, and for SMMUs of two cells its mask above it. */
static int arm_smmu_of_xlate(struct device *dev, const struct dt_ref *args)
{
	uint32_t id = args->arg_count > 0 ? args->args[0] & 0xffff : 0;

	if (args->arg_count > 1)
		id |= args->args[1] << 16;
	return iommu_fwspec_add_ids(dev, &id, 1);
}

static int smmuv3_of_xlate(struct device *dev, const struct dt_ref *args)
{
	return iommu_fwspec_add_ids(dev, args->args, MIN(args->arg_count, 1));
}

static int smmu_connect(struct device *dev, struct iommu_device *iommu)
{
	struct smmu_master *master;
	int err = platform_stage(dev, FAULT_DEVTREE_S6);

	if (err)
		return err;
	master = dev_private_new(dev, sizeof(*master), "arm_smmu_probe_device");
	if (!master)
		return -ENOMEM;
	g_ptr_array_add(master->priv.iommus, iommu);
	dev->iommu->priv = &master->priv;
	device_link_add(dev, iommu->dev, LINK_AUTOREMOVE_SUPPLIER);
	return 0;
}

/** arm_smmu_get_by_fwnode(): the reference is dropped before the driver's data are read. */
static int smmu_probe_device(struct device *dev, const struct platform_iommu *platform,
			     struct iommu_device **ret_iommu)
{
	const struct iommu_fwspec *fwspec = dev_iommu_fwspec(dev);
	g_autofree char *holder = g_strdup_printf("%s for %s", platform->driver.name, dev->path);
	struct device *smmu;

	if (!fwspec)
		return -ENODEV;
	smmu = device_find_by_node(dev->core, fwspec->node, holder, "arm_smmu_get_by_fwnode");
	if (!smmu)
		return -ENODEV;
	device_put(smmu, holder, "arm_smmu_get_by_fwnode");
	*ret_iommu = platform_stage(dev, FAULT_DEVTREE_S3) ? NULL : smmu->drvdata;
	return *ret_iommu ? smmu_connect(dev, *ret_iommu) : -ENODEV;
}

static int arm_smmu_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	return smmu_probe_device(dev, &platform_arm_smmu, ret_iommu);
}

static int smmuv3_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	return smmu_probe_device(dev, &platform_smmuv3, ret_iommu);
}

static int smmu_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	return smmu_connect(dev, iommu);
}

static void smmu_release_device(struct device *dev)
{
	dev_private_free(dev, dev->iommu->priv);
}

/** Masters with the same first stream id have one; how masks overlap is not looked at. */
static struct iommu_group *arm_smmu_device_group(struct device *dev)
{
	return iommu_group_keyed(dev, platform_id_count(dev) ? platform_id(dev, 0) : 0);
}

static const struct iommu_ops arm_smmu_iommu_ops = {
	.name = "arm-smmu",
	.of_xlate = arm_smmu_of_xlate,
	.probe_device = arm_smmu_probe_device,
	.of_xlate_ids = arm_smmu_of_xlate,
	.probe_device_fwspec = smmu_probe_device_fwspec,
	.release_device = smmu_release_device,
	.device_group = arm_smmu_device_group,
};

static const struct iommu_ops smmuv3_iommu_ops = {
	.name = "arm-smmu-v3",
	.of_xlate = smmuv3_of_xlate,
	.probe_device = smmuv3_probe_device,
	.of_xlate_ids = smmuv3_of_xlate,
	.probe_device_fwspec = smmu_probe_device_fwspec,
	.release_device = smmu_release_device,
	.device_group = iommu_group_generic,
};

static int arm_smmu_probe(struct device *dev)
{
	struct smmu *smmu = iommu_device_new(dev, &arm_smmu_iommu_ops, sizeof(*smmu));

	return platform_iommu_register(&smmu->iommu);
}

static int smmuv3_probe(struct device *dev)
{
	struct smmu *smmu = iommu_device_new(dev, &smmuv3_iommu_ops, sizeof(*smmu));

	return platform_iommu_register(&smmu->iommu);
}

static const struct platform_soc arm_smmu_socs[] = {
	{"arm,smmu-v1", {.version = 1}},
	{"arm,mmu-400", {.version = 1}},
	{"arm,mmu-401", {.version = 1}},
	{NULL},
};

const struct platform_iommu platform_arm_smmu = {
	.driver = {.name = "arm-smmu",
		   .match = platform_match,
		   .probe = arm_smmu_probe,
		   .remove = platform_iommu_remove},
	.ops = &arm_smmu_iommu_ops,
	.hw = &arm_smmu_ops,
	.socs = arm_smmu_socs,
	.put = PLATFORM_NEVER_LEAKS,
};

const struct platform_iommu platform_smmuv3 = {
	.driver = {.name = "arm-smmu-v3",
		   .match = platform_match,
		   .probe = smmuv3_probe,
		   .remove = platform_iommu_remove},
	.ops = &smmuv3_iommu_ops,
	.hw = &smmuv3_ops,
	.put = PLATFORM_NEVER_LEAKS,
};
