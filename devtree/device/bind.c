/* SPDX-License-Identifier: MIT */
/*
 * Binding a device to its driver: the checks before a probe, deferral, and unbinding. Source: drivers/base/dd.c of
 * Linux 7.0.
 */
#include "devtree/device/device.h"

#include "devtree/device/iommu-core.h"

/* ---- what the firmware says of suppliers: fw_devlink ---- */

/** Calls @fn for the node of each IOMMU that @dev names, until it says true. Returns whether it did. A PCI function waits
 *  with its host bridge. */
static bool firmware_any_supplier(const struct device *dev,
				  bool (*fn)(const struct device *dev, const struct dt_node *node,
					     const struct device *data),
				  const struct device *data)
{
	const struct dt_node *maps = dev->host ? dev->host : dev->node;
	struct dt_refs refs;
	struct dt_ref ref;
	struct dt_map map;

	if (!dev->core->firmware_links || !maps)
		return false;
	if (dev->node) {
		dt_refs_init(&refs, dev->core->tree, dev->node, "iommus", "#iommu-cells");
		while (dt_refs_next(&refs, &ref) && !ref.error && ref.node)
			if (fn(dev, ref.node, data))
				return true;
	}
	if (!dt_map_init(&map, dev->core->tree, maps))
		return false;
	for (uint32_t i = 0; i < map.count; i++) {
		const struct dt_node *target = dt_map_entry(&map, i).target;

		if (target && fn(dev, target, data))
			return true;
	}
	return false;
}

/** Whether the node may yet get a bound device. */
static bool firmware_supplier_missing(const struct device *dev, const struct dt_node *node,
				      const struct device *unused)
{
	const struct device *supplier;

	if (node == dev->node || !node->available)
		return false;
	supplier = device_of_node(dev->core, node);
	return !supplier || !supplier->bound;
}

static bool firmware_supplier_is(const struct device *dev, const struct dt_node *node,
				 const struct device *supplier)
{
	return node == supplier->node;
}

/** The links that firmware nodes make are managed: their consumers are unbound first, and bind again with the supplier. */
static void firmware_unbind_consumers(struct device *supplier)
{
	for (guint i = 0; supplier->node && i < supplier->core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(supplier->core->on_bus, i);

		if (dev == supplier || !dev->bound ||
		    !firmware_any_supplier(dev, firmware_supplier_is, supplier))
			continue;
		device_release_driver(dev);
		dev->deferred = true;
	}
}

/* ---- binding ---- */

/** What devres and the cleanup of a failed probe or an unbind take away: the driver's data. */
static void device_unbind_cleanup(struct device *dev)
{
	if (dev->drvdata)
		iommu_device_data_gone(dev->drvdata);
	dev->drvdata = NULL;
	dev->driver = NULL;
	dev->bound = false;
}

/** Faults can be for one driver. */
static int device_call_probe(struct device *dev, const struct device_driver *driver)
{
	struct sim *sim = dev->core->sim;
	const char *device = sim->device;
	int err;

	sim->device = driver->name;
	err = driver->probe(dev);
	sim->device = device;
	return err;
}

/** Source: really_probe(). */
static int device_really_probe(struct device *dev, const struct device_driver *driver)
{
	int err;

	dev->attempts++;
	if (!device_links_suppliers_bound(dev))
		return -EPROBE_DEFER;
	if (!dev->core->deferral_over && firmware_any_supplier(dev, firmware_supplier_missing, NULL))
		return -EPROBE_DEFER;
	dev->driver = driver;
	err = device_dma_configure(dev);
	if (!err && driver->probe)
		err = device_call_probe(dev, driver);
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

	if (!dev->bound || dev->unbinding)
		return;
	dev->unbinding = true; /* suppliers may form a cycle */
	firmware_unbind_consumers(dev);
	device_links_unbind_consumers(dev);
	if (driver->remove)
		driver->remove(dev);
	device_unbind_cleanup(dev);
	device_links_supplier_unbound(dev);
	dev->unbinding = false;
}
