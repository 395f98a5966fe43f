/* SPDX-License-Identifier: MIT */
#include "devtree/device/device.h"

#include "devtree/device/iommu-core.h"
#include "devtree/fdt/populate.h"
#include "sim/fault/fault.h"

static const char *const device_bus_holders[] = {
	[DEVICE_BUS_PLATFORM] = "bus platform",
	[DEVICE_BUS_AMBA] = "bus amba",
	[DEVICE_BUS_PCI] = "bus pci",
};

static void device_free(void *data)
{
	struct device *dev = data;

	dev_iommu_discard(dev);
	g_free(dev->path);
	g_free(dev->name);
	g_free(dev);
}

struct device_core *device_core_new(struct sim *sim, const struct devtree *tree,
				    const struct device_driver *const *drivers)
{
	struct device_core *core = g_new0(struct device_core, 1);

	core->sim = sim;
	core->tree = tree;
	core->drivers = drivers;
	core->devices = g_ptr_array_new_with_free_func(device_free);
	core->on_bus = g_ptr_array_new();
	core->by_node = g_hash_table_new(NULL, NULL);
	core->links = g_ptr_array_new_with_free_func(g_free);
	core->link_work = g_ptr_array_new();
	core->iommus = g_ptr_array_new();
	core->groups = g_ptr_array_new_with_free_func(g_free);
	core->memory = g_ptr_array_new_with_free_func(g_free);
	core->firmware_links = true;
	ledger_new(sim);
	return core;
}

void device_core_free(struct device_core *core)
{
	if (!core)
		return;
	g_ptr_array_unref(core->devices);
	g_ptr_array_unref(core->on_bus);
	g_hash_table_unref(core->by_node);
	g_ptr_array_unref(core->links);
	g_ptr_array_unref(core->link_work);
	g_ptr_array_unref(core->iommus);
	g_ptr_array_unref(core->groups);
	g_ptr_array_unref(core->memory);
	ledger_free(core->sim);
	g_free(core);
}

void *device_core_alloc(struct device_core *core, size_t size)
{
	void *memory = g_malloc0(size);

	g_ptr_array_add(core->memory, memory);
	return memory;
}

/* ---- counting ---- */

static void device_release(struct device *dev, const char *site)
{
	dev->released = true;
	if (dev->added)
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, NULL,
			 "%s is released in %s while its bus, its driver and its children still have it",
			 dev->path, site);
	if (dev->node)
		node_put(dev->core, dev->node, dev->path, "platform_device_release");
}

static void device_count_up(struct device *dev, const char *holder, const char *site)
{
	if (dev->released)
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, NULL,
			 "%s takes a reference on %s in %s after its release", holder, dev->path, site);
	ledger_get(dev->core->sim, dev->path, holder, site);
	dev->refs++;
}

static void device_count_down(struct device *dev, const char *holder, const char *site)
{
	ledger_put(dev->core->sim, dev->path, holder, site);
	if (dev->released) {
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, NULL,
			 "%s drops a reference on %s in %s after its release", holder, dev->path, site);
		return;
	}
	if (--dev->refs == 0)
		device_release(dev, site);
}

void device_get(struct device *dev, const char *holder, const char *site)
{
	dev->lookups++;
	device_count_up(dev, holder, site);
}

void device_put(struct device *dev, const char *holder, const char *site)
{
	dev->lookups--;
	device_count_down(dev, holder, site);
}

void device_get_own(struct device *dev, const char *holder, const char *site)
{
	device_count_up(dev, holder, site);
}

void device_put_own(struct device *dev, const char *holder, const char *site)
{
	device_count_down(dev, holder, site);
}

static char *node_object(const struct dt_node *node)
{
	g_autofree char *path = dt_node_path(node);

	return g_strconcat("node ", path, NULL);
}

void node_get(struct device_core *core, const struct dt_node *node, const char *holder, const char *site)
{
	g_autofree char *object = node_object(node);

	ledger_get(core->sim, object, holder, site);
}

void node_put(struct device_core *core, const struct dt_node *node, const char *holder, const char *site)
{
	g_autofree char *object = node_object(node);

	ledger_put(core->sim, object, holder, site);
}

/* ---- coming and going ---- */

struct device *device_new(struct device_core *core, const struct device_identity *identity)
{
	struct device *dev = g_new0(struct device, 1);

	g_assert(identity->node || (identity->path && identity->name));
	dev->core = core;
	dev->node = identity->node;
	dev->path = identity->path ? g_strdup(identity->path) : dt_node_path(identity->node);
	dev->name = identity->name ? g_strdup(identity->name) : dt_device_name(identity->node);
	dev->parent = identity->parent;
	dev->bus = identity->bus;
	dev->host = identity->host;
	dev->rid = identity->rid;
	g_ptr_array_add(core->devices, dev);
	device_get_own(dev, "creator", "device_initialize");
	if (dev->node)
		node_get(core, dev->node, dev->path, "of_device_alloc");
	return dev;
}

void device_add(struct device *dev)
{
	g_assert(!dev->added);
	dev->added = true;
	device_get_own(dev, device_bus_holders[dev->bus], "bus_add_device");
	if (dev->parent) {
		device_get_own(dev, dev->parent->path, "device_add");
		device_get_own(dev->parent, dev->path, "device_add");
	}
	g_ptr_array_add(dev->core->on_bus, dev);
	if (dev->node)
		g_hash_table_insert(dev->core->by_node, (void *)dev->node, dev);
	iommu_bus_notify_add(dev);
}

void device_del(struct device *dev)
{
	if (!dev->added)
		return;
	device_release_driver(dev);
	device_links_purge(dev);
	dev->deferred = false;
	if (dev->node)
		g_hash_table_remove(dev->core->by_node, dev->node);
	g_ptr_array_remove(dev->core->on_bus, dev);
	iommu_bus_notify_removed(dev);
	dev->added = false;
	if (dev->parent) {
		device_put_own(dev, dev->parent->path, "device_del");
		device_put_own(dev->parent, dev->path, "device_del");
	}
	device_put_own(dev, device_bus_holders[dev->bus], "bus_remove_device");
}

void device_unregister(struct device *dev)
{
	device_del(dev);
	device_put_own(dev, "creator", "device_unregister");
}

/* ---- finding ---- */

struct device *device_of_node(const struct device_core *core, const struct dt_node *node)
{
	return g_hash_table_lookup(core->by_node, node);
}

struct device *device_find_by_node(struct device_core *core, const struct dt_node *node, const char *holder,
				   const char *site)
{
	struct device *dev = device_of_node(core, node);

	if (dev)
		device_get(dev, holder, site);
	return dev;
}

struct device *device_by_path(const struct device_core *core, const char *path)
{
	for (guint i = core->devices->len; i-- > 0;) {
		struct device *dev = g_ptr_array_index(core->devices, i);

		if (g_str_equal(dev->path, path))
			return dev;
	}
	return NULL;
}

const char *device_errno_name(int error)
{
	if (error == -EPROBE_DEFER)
		return "EPROBE_DEFER";
	return error ? fault_errno_name(error) : "0";
}
