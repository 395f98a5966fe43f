/* SPDX-License-Identifier: MIT */
/*
 * Binding a device to its driver: the checks before a probe, deferral, and unbinding. Source: drivers/base/dd.c of
 * Linux 7.0.
 */
#include "devtree/device/device.h"

#include "devtree/device/iommu-core.h"

/** fw_devlink: whether the node of a supplier has no bound device yet, which the consumer waits for. */
static bool firmware_supplier_missing(const struct device *dev, const struct dt_node *node)
{
	const struct device *supplier;

	if (!node || node == dev->node || !node->available)
		return false;
	supplier = device_of_node(dev->core, node);
	return !supplier || !supplier->bound;
}

static bool firmware_suppliers_bound(const struct device *dev)
{
	const struct device_core *core = dev->core;
	struct dt_refs refs;
	struct dt_ref ref;
	struct dt_map map;

	if (!core->firmware_links || core->deferral_over || !dev->node)
		return true;
	dt_refs_init(&refs, core->tree, dev->node, "iommus", "#iommu-cells");
	while (dt_refs_next(&refs, &ref) && !ref.error && ref.node)
		if (firmware_supplier_missing(dev, ref.node))
			return false;
	if (!dt_map_init(&map, core->tree, dev->node))
		return true;
	for (uint32_t i = 0; i < map.count; i++)
		if (firmware_supplier_missing(dev, dt_map_entry(&map, i).target))
			return false;
	return true;
}

/** What devres and the cleanup of a failed probe or an unbind take away: the driver's data. */
static void device_unbind_cleanup(struct device *dev)
{
	if (dev->drvdata)
		iommu_device_data_gone(dev->drvdata);
	dev->drvdata = NULL;
	dev->driver = NULL;
	dev->bound = false;
}

/** Source: really_probe(). */
static int device_really_probe(struct device *dev, const struct device_driver *driver)
{
	int err;

	dev->attempts++;
	if (!device_links_suppliers_bound(dev) || !firmware_suppliers_bound(dev))
		return -EPROBE_DEFER;
	dev->driver = driver;
	err = device_dma_configure(dev);
	if (!err && driver->probe)
		err = driver->probe(dev);
	if (err) {
		device_unbind_cleanup(dev);
		return err;
	}
	dev->bound = true;
	dev->core->bound_since = true;
	return 0;
}

static const struct device_driver *device_match(const struct device *dev)
{
	for (const struct device_driver *const *driver = dev->core->drivers; *driver; driver++)
		if ((*driver)->match(*driver, dev))
			return *driver;
	return NULL;
}

int device_attach(struct device *dev)
{
	const struct device_driver *driver;

	g_assert(dev->added);
	if (dev->bound)
		return 0;
	driver = device_match(dev);
	if (!driver)
		return 1;
	dev->error = device_really_probe(dev, driver);
	dev->deferred = dev->error == -EPROBE_DEFER;
	return dev->error;
}

/** Tries every deferred device once. A driver may add devices meanwhile: they stand at the end. */
static void device_retry_deferred(struct device_core *core)
{
	for (guint i = 0; i < core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->deferred)
			device_attach(dev);
	}
}

void device_settle(struct device_core *core)
{
	while (core->bound_since) {
		core->bound_since = false;
		device_retry_deferred(core);
	}
}

void device_deferral_timeout(struct device_core *core)
{
	core->deferral_over = true;
	device_retry_deferred(core);
	device_settle(core);
}

void device_release_driver(struct device *dev)
{
	const struct device_driver *driver = dev->driver;

	if (!dev->bound)
		return;
	device_links_unbind_consumers(dev);
	if (driver->remove)
		driver->remove(dev);
	device_unbind_cleanup(dev);
	device_links_supplier_unbound(dev);
}
