/* SPDX-License-Identifier: MIT */
/*
 * Renesas IPMMU. From Gen3 on a root without masters serves the leaves, and few devices may use them. A master is behind one,
 * named by its first entry. Source: drivers/iommu/ipmmu-vmsa.c.
 */
#include <string.h>

#include "devtree/platform/platform.h"

struct ipmmu {
	struct iommu_device iommu;
	bool has_leaves; /* Gen3 and later */
};

/** "renesas,ipmmu-vmsa" is R-Car Gen2 and its relatives; all others are later. */
static bool ipmmu_has_leaves(const struct device *dev)
{
	return !dt_is_compatible(dev->node, "renesas,ipmmu-vmsa");
}

static bool ipmmu_is_root(const struct device *dev)
{
	return !dt_has(dev->node, "renesas,ipmmu-main");
}

/** PCI, and four controllers of SD cards. Some revisions of SoCs allow none: not modelled. */
static bool ipmmu_device_allowed(const struct device *dev, const struct dt_node *node)
{
	static const char *const allowed[] = {"ee100000.mmc", "ee120000.mmc", "ee140000.mmc", "ee160000.mmc",
					      NULL};

	if (platform_stage(dev, FAULT_DEVTREE_S2))
		return false;
	if (dt_is_compatible(node, "renesas,ipmmu-vmsa"))
		return true;
	return dev->bus == DEVICE_BUS_PCI || g_strv_contains(allowed, dev->name);
}

static int ipmmu_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;

	if (!ipmmu_device_allowed(dev, args->node))
		return -ENODEV;
	iommu_fwspec_add_ids(dev, args->args, MIN(args->arg_count, 1)); /* whether it succeeds or not */
	if (dev->iommu->instance)
		return 0;
	platform_lookup(dev, args->node, &platform_ipmmu, "ipmmu_init_platform_device", &lookup);
	if (!lookup.device)
		return -ENODEV;
	dev->iommu->instance = lookup.iommu;
	platform_lookup_keep(&lookup);
	return 0;
}

static int ipmmu_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	*ret_iommu = dev->iommu->instance;
	return platform_check(dev, FAULT_DEVTREE_S6, *ret_iommu != NULL, -ENODEV);
}

static int ipmmu_of_xlate_ids(struct device *dev, const struct dt_ref *args)
{
	if (!ipmmu_device_allowed(dev, args->node))
		return -ENODEV;
	return platform_xlate_ids(dev, args);
}

static int ipmmu_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	dev->iommu->instance = iommu;
	return platform_stage(dev, FAULT_DEVTREE_S6);
}

static const struct iommu_ops ipmmu_iommu_ops = {
	.name = "ipmmu-vmsa",
	.of_xlate = ipmmu_of_xlate,
	.probe_device = ipmmu_probe_device,
	.of_xlate_ids = ipmmu_of_xlate_ids,
	.probe_device_fwspec = ipmmu_probe_device_fwspec,
	.device_group = iommu_group_single,
};

/** driver_for_each_device(): whether a root has probed. */
static bool ipmmu_root_bound(const struct device_core *core)
{
	for (guint i = 0; i < core->on_bus->len; i++) {
		const struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->drvdata && dev->bound && dev->drvdata->ops == &ipmmu_iommu_ops && ipmmu_is_root(dev))
			return true;
	}
	return false;
}

static int ipmmu_probe(struct device *dev)
{
	struct ipmmu *ipmmu = iommu_device_new(dev, &ipmmu_iommu_ops, sizeof(*ipmmu));

	ipmmu->has_leaves = ipmmu_has_leaves(dev);
	if (ipmmu->has_leaves && !ipmmu_is_root(dev) && !ipmmu_root_bound(dev->core))
		return -EPROBE_DEFER;
	if (ipmmu->has_leaves && ipmmu_is_root(dev))
		return 0;
	return platform_iommu_register(&ipmmu->iommu);
}

static void ipmmu_remove(struct device *dev)
{
	if (dev->drvdata->listed)
		platform_iommu_remove(dev);
}

static const struct platform_soc ipmmu_socs[] = {
	{"renesas,rcar-gen4-ipmmu-vmsa", {.soc = "gen4"}},
	{"renesas,ipmmu-r8a774a1", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a774b1", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a774c0", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a774e1", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a7795", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a7796", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77961", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77965", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77970", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77980", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77990", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a77995", {.soc = "gen3"}},
	{"renesas,ipmmu-r8a779a0", {.soc = "gen4"}},
	{"renesas,ipmmu-vmsa", {.soc = "gen2"}},
	{NULL},
};

const struct platform_iommu platform_ipmmu = {
	.driver = {.name = "ipmmu-vmsa",
		   .match = platform_match,
		   .probe = ipmmu_probe,
		   .remove = ipmmu_remove},
	.ops = &ipmmu_iommu_ops,
	.hw = &ipmmu_ops,
	.socs = ipmmu_socs,
	.put = OF_XLATE_PUT_IPMMU,
};
