/* SPDX-License-Identifier: MIT */
/*
 * Tegra, of which the memory controller is the IOMMU's device. probe_device walks `iommus` a second time and calls its
 * own of_xlate, so that every id is in the fwspec twice. Source: drivers/iommu/tegra-smmu.c.
 */
#include "devtree/platform/platform.h"

struct tegra_mc {
	struct iommu_device iommu;
};

static int tegra_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	struct iommu_device *mc;

	platform_lookup(dev, args->node, &platform_tegra, "tegra_smmu_of_xlate", &lookup);
	mc = lookup.iommu;
	platform_lookup_put(&lookup);
	if (!mc)
		return platform_null(dev, "tegra_smmu_of_xlate");
	dev->iommu->instance = mc;
	return iommu_fwspec_add_ids(dev, args->args, MIN(args->arg_count, 1));
}

/** tegra_smmu_find() and tegra_smmu_configure() of one entry. */
static int tegra_configure(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;

	platform_lookup(dev, args->node, &platform_tegra, "tegra_smmu_find", &lookup);
	if (!lookup.iommu) {
		platform_lookup_put(&lookup);
		return 0; /* of another kind: not this driver's entry */
	}
	platform_lookup_keep(&lookup);
	return tegra_of_xlate(dev, args);
}

static int tegra_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	struct dt_refs refs;
	struct dt_ref ref;

	if (dev->node)
		dt_refs_init(&refs, dev->core->tree, dev->node, "iommus", "#iommu-cells");
	while (dev->node && dt_refs_next(&refs, &ref) && !ref.error && ref.node) {
		int err;

		node_get(dev->core, ref.node, dev->path, "of_parse_phandle_with_args");
		err = tegra_configure(dev, &ref);
		node_put(dev->core, ref.node, dev->path, "tegra_smmu_probe_device");
		if (!err)
			err = platform_stage(dev, FAULT_DEVTREE_S6);
		if (err)
			return err;
	}
	*ret_iommu = dev->iommu->instance;
	return *ret_iommu ? 0 : -ENODEV;
}

static int tegra_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	dev->iommu->instance = iommu;
	return platform_stage(dev, FAULT_DEVTREE_S6);
}

/** One for each swgroup. The groups of SoCs that put several together are not modelled. */
static struct iommu_group *tegra_device_group(struct device *dev)
{
	return platform_id_count(dev) ? iommu_group_keyed(dev, platform_id(dev, 0))
				      : iommu_group_generic(dev);
}

static const struct iommu_ops tegra_smmu_ops = {
	.name = "tegra-smmu",
	.of_xlate = tegra_of_xlate,
	.probe_device = tegra_probe_device,
	.of_xlate_ids = platform_xlate_ids,
	.probe_device_fwspec = tegra_probe_device_fwspec,
	.device_group = tegra_device_group,
};

static int tegra_probe(struct device *dev)
{
	struct tegra_mc *mc = iommu_device_new(dev, &tegra_smmu_ops, sizeof(*mc));

	return platform_iommu_register(&mc->iommu);
}

static const struct platform_soc tegra_socs[] = {
	{"nvidia,tegra30-mc", {.soc = "tegra30"}},
	{"nvidia,tegra114-mc", {.soc = "tegra114"}},
	{"nvidia,tegra124-mc", {.soc = "tegra124"}},
	{"nvidia,tegra132-mc", {.soc = "tegra124"}},
	{"nvidia,tegra210-mc", {.soc = "tegra210"}},
	{NULL},
};

const struct platform_iommu platform_tegra = {
	.driver = {.name = "tegra-smmu",
		   .match = platform_match,
		   .probe = tegra_probe,
		   .remove = platform_iommu_remove},
	.ops = &tegra_smmu_ops,
	.hw = &tegra_ops,
	.socs = tegra_socs,
	.put = OF_XLATE_PUT_TEGRA,
};
