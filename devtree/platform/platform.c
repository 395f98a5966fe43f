/* SPDX-License-Identifier: MIT */
#include "devtree/platform/platform.h"

#include "devtree/fdt/bindings.h"

bool platform_match(const struct device_driver *driver, const struct device *dev)
{
	const struct dt_driver *known = dev->node ? dt_driver_of(dev->node) : NULL;

	return known && g_str_equal(known->name, driver->name);
}

void platform_lookup(struct device *master, const struct dt_node *node, const struct platform_iommu *platform,
		     const char *site, struct platform_lookup *ret_lookup)
{
	struct sim *sim = master->core->sim;
	bool helper = behaves(sim, PROBE_DEVICE_FWSPEC) == PROBE_FWSPEC_HELPER;
	struct platform_lookup *lookup = ret_lookup;

	*lookup = (struct platform_lookup){.site = helper ? "iommu_xlate_to_iommu_drvdata" : site};
	lookup->holder = g_strdup_printf("%s for %s", platform->driver.name, master->path);
	lookup->device = device_find_by_node(master->core, node, lookup->holder, lookup->site);
	if (!lookup->device)
		return;
	lookup->held = true;
	if (!platform_stage(master, FAULT_DEVTREE_S3))
		lookup->iommu = lookup->device->drvdata;
	if (helper || behaves(sim, (enum behaviour)platform->put) != XLATE_PUT_OLD)
		platform_lookup_put(lookup);
}

void platform_lookup_put(struct platform_lookup *lookup)
{
	if (lookup->held)
		device_put(lookup->device, lookup->holder, lookup->site);
	lookup->held = false;
	g_clear_pointer(&lookup->holder, g_free);
}

void platform_lookup_keep(struct platform_lookup *lookup)
{
	g_clear_pointer(&lookup->holder, g_free);
}

int platform_null(struct device *dev, const char *site)
{
	sim_find(dev->core->sim, FINDING_NULL_DEREF, NULL, "%s: %s uses driver data that are not there",
		 dev->path, site);
	return -EFAULT;
}

int platform_xlate_ids(struct device *dev, const struct dt_ref *args)
{
	return iommu_fwspec_add_ids(dev, args->args, args->arg_count);
}

unsigned platform_id_count(const struct device *dev)
{
	const struct iommu_fwspec *fwspec = dev_iommu_fwspec(dev);

	return fwspec ? fwspec->ids->len : 0;
}

uint32_t platform_id(const struct device *dev, unsigned i)
{
	return g_array_index(dev_iommu_fwspec(dev)->ids, uint32_t, i);
}

int platform_iommu_register(struct iommu_device *iommu)
{
	int err = iommu_device_sysfs_add(iommu);

	if (err)
		return err;
	err = iommu_device_register(iommu);
	if (err)
		iommu_device_sysfs_remove(iommu);
	return err;
}

void platform_iommu_remove(struct device *dev)
{
	iommu_device_unregister(dev->drvdata);
	iommu_device_sysfs_remove(dev->drvdata);
}
