/* SPDX-License-Identifier: MIT */
/*
 * OMAP. Entries have no cells; probe_device reads `iommus` itself, as a plain list of phandles, and remembers an IOMMU for
 * each. Source: drivers/iommu/omap-iommu.c.
 */
#include "devtree/platform/platform.h"

struct omap_iommu {
	struct iommu_device iommu;
};

struct omap_master {
	struct dev_private priv;
	GPtrArray *held; /* of struct device: references that v1 keeps until release */
};

static int omap_of_xlate(struct device *dev, const struct dt_ref *args)
{
	return 0;
}

static char *omap_holder(const struct device *dev)
{
	return g_strdup_printf("omap-iommu for %s", dev->path);
}

static bool omap_keeps(const struct device *dev)
{
	return behaves(dev->core->sim, OF_XLATE_PUT_OMAP) == XLATE_PUT_V1 &&
	       behaves(dev->core->sim, PROBE_DEVICE_FWSPEC) != PROBE_FWSPEC_HELPER;
}

/** Frees the array; v1 drops what it remembered. */
static void omap_master_free(struct device *dev, struct omap_master *master, const char *site)
{
	g_autofree char *holder = omap_holder(dev);

	for (guint i = 0; master->held && i < master->held->len; i++)
		device_put(g_ptr_array_index(master->held, i), holder, site);
	g_clear_pointer(&master->held, g_ptr_array_unref);
	dev_private_free(dev, &master->priv);
}

/** Looks up the IOMMU of entry @i. Returns 0 or a negative errno. */
static int omap_take_entry(struct device *dev, struct omap_master *master, unsigned i)
{
	const struct dt_node *node = dt_parse_phandle(dev->core->tree, dev->node, "iommus", i);
	struct platform_lookup lookup;
	int err = 0;

	if (!node)
		return -EINVAL;
	node_get(dev->core, node, dev->path, "of_parse_phandle");
	platform_lookup(dev, node, &platform_omap, "omap_iommu_probe_device", &lookup);
	node_put(dev->core, node, dev->path, "omap_iommu_probe_device");
	if (!lookup.device)
		return -ENODEV;
	/* v1 takes it into the array only after the check, so that one without driver data is lost. */
	if (omap_keeps(dev)) {
		g_autofree char *holder = omap_holder(dev);

		device_get(lookup.device, holder, "omap_iommu_probe_device");
		if (lookup.iommu)
			g_ptr_array_add(master->held, lookup.device);
	}
	if (!lookup.iommu)
		err = -EINVAL;
	else
		err = platform_stage(dev, FAULT_DEVTREE_S6);
	if (!err)
		g_ptr_array_add(master->priv.iommus, lookup.iommu);
	platform_lookup_keep(&lookup);
	return err;
}

static int omap_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	unsigned count = dt_cell_count(dt_find_property(dev->node, "iommus"));
	struct omap_master *master;

	if (count == 0)
		return -ENODEV;
	master = dev_private_new(dev, sizeof(*master), "omap_iommu_probe_device");
	if (!master)
		return -ENOMEM;
	master->held = g_ptr_array_new();
	for (unsigned i = 0; i < count; i++) {
		int err = omap_take_entry(dev, master, i);

		if (err) {
			omap_master_free(dev, master, "omap_iommu_probe_device");
			return err;
		}
	}
	dev->iommu->priv = &master->priv;
	*ret_iommu = g_ptr_array_index(master->priv.iommus, 0);
	return 0;
}

static void omap_release_device(struct device *dev)
{
	omap_master_free(dev, (struct omap_master *)dev->iommu->priv, "omap_iommu_release_device");
}

static const struct iommu_ops omap_iommu_ops = {
	.name = "omap-iommu",
	.of_xlate = omap_of_xlate,
	.probe_device = omap_probe_device,
	.release_device = omap_release_device,
	.device_group = iommu_group_single,
};

static int omap_probe(struct device *dev)
{
	struct omap_iommu *omap = iommu_device_new(dev, &omap_iommu_ops, sizeof(*omap));

	return platform_iommu_register(&omap->iommu);
}

const struct platform_iommu platform_omap = {
	.driver = {.name = "omap-iommu",
		   .match = platform_match,
		   .probe = omap_probe,
		   .remove = platform_iommu_remove},
	.ops = &omap_iommu_ops,
	.hw = &omap_ops,
	.put = OF_XLATE_PUT_OMAP,
};
