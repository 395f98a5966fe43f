/* SPDX-License-Identifier: MIT */
/*
 * Registering IOMMUs, and probing and releasing their masters.
 */
#include "devtree/device/iommu-core.h"

#include "devtree/device/faults.h"
#include "devtree/fdt/bindings.h"
#include "sim/behaviour/behaviour.h"

/** Calls of a driver are made on its behalf: faults can be for one driver. */
#define DRIVER_CALL(core, ops, call)                       \
	({                                                 \
		const char *device_ = (core)->sim->device; \
		(core)->sim->device = (ops)->name;         \
		__auto_type result_ = (call);              \
		(core)->sim->device = device_;             \
		result_;                                   \
	})

bool iommu_core_hands_instance(const struct sim *sim, const struct iommu_ops *ops)
{
	unsigned value = behaves(sim, PROBE_DEVICE_FWSPEC);

	return ops->probe_device_fwspec && (value == PROBE_FWSPEC_ON || value == PROBE_FWSPEC_AS_POSTED);
}

/* ---- driver data and private data ---- */

void *iommu_device_new(struct device *dev, const struct iommu_ops *ops, size_t size)
{
	struct iommu_device *iommu = device_core_alloc(dev->core, size);

	iommu->dev = dev;
	iommu->ops = ops;
	iommu->node = dev->node;
	dev->drvdata = iommu;
	return iommu;
}

static bool dev_iommu_points_at(const struct dev_iommu *data, const struct iommu_device *iommu)
{
	if (data->instance == iommu)
		return true;
	return data->priv && !data->priv->freed && g_ptr_array_find(data->priv->iommus, iommu, NULL);
}

void iommu_device_data_gone(struct iommu_device *iommu)
{
	struct device_core *core = iommu->dev->core;

	g_assert(!iommu->listed);
	iommu->gone = true;
	for (guint i = 0; i < core->on_bus->len; i++) {
		const struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->iommu && dev_iommu_points_at(dev->iommu, iommu))
			sim_find(core->sim, FINDING_DRIVER_ODDITY, NULL,
				 "%s keeps a pointer to the driver data of %s, whose driver was unbound",
				 dev->path, iommu->dev->path);
	}
}

void *dev_private_new(struct device *dev, size_t size, const char *site)
{
	struct dev_private *priv;

	if (sim_fault_size(dev->core->sim, FAULT_DEVTREE_PRIVATE, size))
		return NULL;
	priv = device_core_alloc(dev->core, size);
	priv->site = site;
	priv->iommus = g_ptr_array_new();
	return priv;
}

void dev_private_free(struct device *dev, struct dev_private *priv)
{
	if (!priv)
		return;
	if (priv->freed) {
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, priv->site,
			 "private data of %s are freed twice", dev->path);
		return;
	}
	priv->freed = true;
	g_clear_pointer(&priv->iommus, g_ptr_array_unref);
}

/** Makes what the core keeps of @dev, if it is not there. Returns 0 or a negative errno. */
static int dev_iommu_get(struct device *dev)
{
	int err = dev->iommu ? 0 : sim_fault(dev->core->sim, FAULT_DEVTREE_DEV_IOMMU);

	if (!err && !dev->iommu)
		dev->iommu = g_new0(struct dev_iommu, 1);
	return err;
}

/** Frees the fwspec with it, and forgets the driver's private pointer. */
static void dev_iommu_free(struct device *dev)
{
	struct dev_private *priv = dev->iommu->priv;

	iommu_fwspec_free(dev);
	if (priv && !priv->freed) {
		sim_find(dev->core->sim, FINDING_DRIVER_ODDITY, priv->site,
			 "private data of %s are lost: nobody has their address any more", dev->path);
		dev_private_free(dev, priv);
	}
	g_clear_pointer(&dev->iommu, g_free);
}

void dev_iommu_discard(struct device *dev)
{
	if (!dev->iommu)
		return;
	if (dev->iommu->priv && !dev->iommu->priv->freed)
		g_ptr_array_unref(dev->iommu->priv->iommus);
	if (dev->iommu->fwspec)
		g_array_unref(dev->iommu->fwspec->ids);
	g_free(dev->iommu->fwspec);
	g_free(dev->iommu);
}

/* ---- fwspec ---- */

struct iommu_fwspec *dev_iommu_fwspec(const struct device *dev)
{
	return dev->iommu ? dev->iommu->fwspec : NULL;
}

struct iommu_device *iommu_from_fwnode(const struct device_core *core, const struct dt_node *node)
{
	for (guint i = 0; i < core->iommus->len; i++) {
		struct iommu_device *iommu = g_ptr_array_index(core->iommus, i);

		if (iommu->node == node)
			return iommu;
	}
	return NULL;
}

static void fwspec_count(struct device *dev,
			 void (*count)(struct device_core *, const struct dt_node *, const char *,
				       const char *),
			 const char *site)
{
	g_autofree char *holder = g_strconcat("fwspec of ", dev->path, NULL);

	count(dev->core, dev->iommu->fwspec->node, holder, site);
}

int iommu_fwspec_init(struct device *dev, const struct dt_node *node)
{
	struct device_core *core = dev->core;
	const struct iommu_device *iommu = iommu_from_fwnode(core, node), *first;
	struct iommu_fwspec *fwspec = dev_iommu_fwspec(dev);
	int err;

	if (!iommu)
		return core->deferral_over ? -ETIMEDOUT : -EPROBE_DEFER;
	if (!dev->iommu && !iommu->ready)
		return -EPROBE_DEFER;
	if (fwspec) {
		first = iommu_from_fwnode(core, fwspec->node);
		return first && first->ops == iommu->ops ? 0 : -EINVAL;
	}
	err = dev_iommu_get(dev);
	if (!err)
		err = sim_fault(core->sim, FAULT_DEVTREE_FWSPEC);
	if (err)
		return err;
	fwspec = g_new0(struct iommu_fwspec, 1);
	fwspec->node = node;
	fwspec->ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	dev->iommu->fwspec = fwspec;
	fwspec_count(dev, node_get, "iommu_fwspec_init");
	return 0;
}

void iommu_fwspec_free(struct device *dev)
{
	if (!dev_iommu_fwspec(dev))
		return;
	fwspec_count(dev, node_put, "iommu_fwspec_free");
	g_array_unref(dev->iommu->fwspec->ids);
	g_clear_pointer(&dev->iommu->fwspec, g_free);
}

int iommu_fwspec_add_ids(struct device *dev, const uint32_t *ids, unsigned count)
{
	struct iommu_fwspec *fwspec = dev_iommu_fwspec(dev);
	int err = sim_fault(dev->core->sim, FAULT_DEVTREE_S5);

	if (!fwspec)
		return -EINVAL;
	if (!err && fwspec->ids->len + count > IOMMU_FWSPEC_IDS_MAX)
		err = -ENOMEM;
	if (!err)
		g_array_append_vals(fwspec->ids, ids, count);
	return err;
}

/* ---- what the firmware says: of_iommu.c ---- */

static int of_iommu_xlate_driver(struct device *dev, const struct dt_ref *args)
{
	struct device_core *core = dev->core;
	const struct iommu_device *iommu;
	g_autofree char *module = NULL;
	int err = sim_fault(core->sim, FAULT_DEVTREE_S0);

	if (err)
		return err;
	err = iommu_fwspec_init(dev, args->node);
	if (err)
		return err;
	iommu = iommu_from_fwnode(core, args->node);
	if (iommu_core_hands_instance(core->sim, iommu->ops)) {
		if (dev->iommu->fwspec->node != args->node)
			sim_find(
				core->sim, FINDING_DRIVER_ODDITY, NULL,
				"multi-instance-not-supported: %s names %s, which is not its first IOMMU and "
				"stays unused",
				dev->path, iommu->dev->path);
		return iommu->ops->of_xlate_ids(dev, args);
	}
	if (!iommu->ops->of_xlate)
		return -ENODEV;
	module = g_strconcat("module ", iommu->ops->name, NULL);
	ledger_get(core->sim, module, dev->path, "of_iommu_xlate");
	err = iommu->ops->of_xlate(dev, args);
	ledger_put(core->sim, module, dev->path, "of_iommu_xlate");
	return err;
}

static int of_iommu_xlate(struct device *dev, const struct dt_ref *args)
{
	struct sim *sim = dev->core->sim;
	const char *device = sim->device;
	const struct dt_driver *driver;
	int err;

	if (!args->node || !args->node->status_okay)
		return -ENODEV;
	driver = dt_driver_of(args->node);
	sim->device = driver ? driver->name : NULL;
	err = of_iommu_xlate_driver(dev, args);
	sim->device = device;
	return err;
}

/** Walks `iommus` until an entry cannot be parsed or taken; one that cannot be parsed ends the walk, not the device. */
static int of_iommu_configure_iommus(struct device *dev)
{
	struct device_core *core = dev->core;
	struct dt_refs refs;
	struct dt_ref ref;
	int err = -ENODEV;

	dt_refs_init(&refs, core->tree, dev->node, "iommus", "#iommu-cells");
	while (dt_refs_next(&refs, &ref) && !ref.error && ref.node) {
		node_get(core, ref.node, dev->path, "of_parse_phandle_with_args");
		err = of_iommu_xlate(dev, &ref);
		node_put(core, ref.node, dev->path, "of_iommu_configure_dev");
		if (err)
			break;
	}
	return err;
}

/** One id a function: aliases are not modelled. */
static int of_iommu_configure_map(struct device *dev)
{
	struct device_core *core = dev->core;
	const struct dt_node *target = NULL;
	struct dt_ref ref = {.arg_count = 1};
	struct dt_map map;
	int err;

	if (!dt_map_init(&map, core->tree, dev->host))
		return -ENODEV;
	switch (dt_map_translate(&map, dev->rid, &target, &ref.args[0])) {
	case DT_FINE:
		break;
	case DT_BAD_LENGTH:
		return -EINVAL;
	case DT_BASE_OUTSIDE_MASK:
		return -EFAULT;
	default:
		return -ENODEV;
	}
	ref.node = target;
	if (target)
		node_get(core, target, dev->path, "of_map_id");
	err = of_iommu_xlate(dev, &ref);
	if (target)
		node_put(core, target, dev->path, "of_iommu_configure_dev_id");
	return err;
}

static int iommu_probe_device(struct device *dev);

/** Source: of_iommu_configure(). */
static int of_iommu_configure(struct device *dev)
{
	bool dev_iommu_present = dev->iommu != NULL;
	int err;

	if (dev_iommu_fwspec(dev))
		return 0;
	dev->iommu_attempts++;
	err = dev->host ? of_iommu_configure_map(dev) : of_iommu_configure_iommus(dev);
	if (err && dev_iommu_present)
		iommu_fwspec_free(dev);
	else if (err && dev->iommu)
		dev_iommu_free(dev);
	if (!err && !dev_iommu_present)
		err = iommu_probe_device(dev);
	return err;
}

int device_dma_configure(struct device *dev)
{
	bool named = dev->host ? dt_has(dev->host, "iommu-map") : dev->node && dt_has(dev->node, "iommus");
	int err;

	if (!named)
		return 0;
	err = of_iommu_configure(dev);
	if (err || !dev->group)
		dev->iommu_error = err;
	return err == -EPROBE_DEFER ? err : 0;
}

/* ---- groups ---- */

static void group_count(struct device *dev, struct iommu_group *group, int count, const char *site)
{
	g_autofree char *object = g_strdup_printf("group %u", group->id);

	if (count > 0)
		ledger_get(dev->core->sim, object, dev->path, site);
	else
		ledger_put(dev->core->sim, object, dev->path, site);
	group->refs += count;
	g_assert(group->refs >= 0);
}

struct iommu_group *iommu_group_alloc(struct device *dev)
{
	GPtrArray *groups = dev->core->groups;
	struct iommu_group *group;

	if (sim_fault(dev->core->sim, FAULT_DEVTREE_GROUP))
		return NULL;
	group = g_new0(struct iommu_group, 1);
	group->id = groups->len;
	g_ptr_array_add(groups, group);
	group_count(dev, group, 1, "iommu_group_alloc");
	return group;
}

struct iommu_group *iommu_group_generic(struct device *dev)
{
	return iommu_group_alloc(dev);
}

struct iommu_group *iommu_group_single(struct device *dev)
{
	struct iommu_device *iommu = dev->iommu->iommu;

	if (!iommu->singleton) {
		struct iommu_group *group = iommu_group_alloc(dev);

		if (!group)
			return NULL;
		iommu->singleton = group;
		group_count(iommu->dev, group, 1, "generic_single_device_group");
		return group;
	}
	group_count(dev, iommu->singleton, 1, "iommu_group_ref_get");
	return iommu->singleton;
}

struct iommu_group *iommu_group_keyed(struct device *dev, uint64_t key)
{
	const struct iommu_device *iommu = dev->iommu->iommu;
	struct iommu_group *group;

	for (guint i = 0; i < dev->core->groups->len; i++) {
		group = g_ptr_array_index(dev->core->groups, i);
		if (group->refs > 0 && group->owner == iommu && group->key == key) {
			group_count(dev, group, 1, "iommu_group_ref_get");
			return group;
		}
	}
	group = iommu_group_alloc(dev);
	if (!group)
		return NULL;
	group->owner = iommu;
	group->key = key;
	return group;
}

/* ---- one device ---- */

/** Whether the driver may be called for the device. After its release_device it may not, but the draft as posted does. */
static void iommu_check_usable(struct device *dev, const char *what)
{
	if (dev->iommu->released)
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, NULL, "%s: %s after %s released it",
			 dev->path, what, dev->iommu->ops->name);
	if (dev->iommu->instance && dev->iommu->instance->gone)
		sim_find(dev->core->sim, FINDING_USE_AFTER_RELEASE, NULL,
			 "%s: %s with the driver data of %s, whose driver was unbound", dev->path, what,
			 dev->iommu->instance->dev->path);
}

static void iommu_release_by_driver(struct device *dev)
{
	const struct iommu_ops *ops = dev->iommu->ops;

	iommu_check_usable(dev, "is released");
	dev->core->release_calls++;
	dev->iommu->released = true;
	if (ops->release_device) {
		const char *device = dev->core->sim->device;

		dev->core->sim->device = ops->name;
		ops->release_device(dev);
		dev->core->sim->device = device;
	}
}

static int iommu_module_get(struct device *dev)
{
	struct sim *sim = dev->core->sim;
	g_autofree char *module = g_strconcat("module ", dev->iommu->ops->name, NULL);
	int err = DRIVER_CALL(dev->core, dev->iommu->ops, sim_fault(sim, FAULT_DEVTREE_MODULE));

	if (!err)
		ledger_get(sim, module, dev->path, "iommu_init_device");
	return err;
}

static void iommu_module_put(struct device *dev)
{
	g_autofree char *module = g_strconcat("module ", dev->iommu->ops->name, NULL);

	ledger_put(dev->core->sim, module, dev->path, "iommu_deinit_device");
}

static int iommu_call_probe_device(struct device *dev, const struct iommu_ops *ops,
				   struct iommu_device **ret_iommu)
{
	dev->core->probe_calls++;
	return DRIVER_CALL(dev->core, ops, ops->probe_device(dev, ret_iommu));
}

/** As Linux 7.0 has it: the driver finds its instance. The module is held from before. */
static int iommu_do_probe_classic(struct device *dev, const struct iommu_device *resolved)
{
	int err;

	dev->iommu->ops = resolved->ops;
	err = iommu_module_get(dev);
	if (err)
		return err;
	err = iommu_call_probe_device(dev, resolved->ops, &dev->iommu->iommu);
	if (err)
		iommu_module_put(dev);
	return err;
}

/** The draft: the core hands over the instance it resolved; drivers without the new op are asked, and must agree. */
static int iommu_do_probe_fwspec(struct device *dev, struct iommu_device *resolved)
{
	struct sim *sim = dev->core->sim;
	const struct iommu_ops *ops = resolved->ops;
	bool handed = iommu_core_hands_instance(sim, ops);
	int err;

	dev->iommu->ops = ops;
	if (handed) {
		dev->core->probe_calls++;
		err = DRIVER_CALL(dev->core, ops, ops->probe_device_fwspec(resolved, dev));
		dev->iommu->iommu = resolved;
	} else {
		err = iommu_call_probe_device(dev, ops, &dev->iommu->iommu);
	}
	if (err)
		return err;
	if (dev->iommu->fwspec && dev->iommu->iommu != resolved) {
		sim_find(sim, FINDING_KERNEL_WARNING, NULL,
			 "%s: %s answers another IOMMU than its fwspec names", dev->path, ops->name);
		iommu_release_by_driver(dev);
		return -EINVAL;
	}
	err = iommu_module_get(dev);
	if (err) {
		iommu_release_by_driver(dev);
		return err;
	}
	if (behaves(sim, PROBE_DEVICE_FWSPEC) != PROBE_FWSPEC_AS_POSTED)
		return 0;
	/* No return before the label: a success is released, and the old way leaves the result unset. */
	iommu_release_by_driver(dev);
	if (!handed)
		sim_find(sim, FINDING_UNINITIALISED, NULL,
			 "%s: the result of its probe was never set; taken to be 0 here", dev->path);
	return 0;
}

/** Which IOMMU the core would ask: that of the fwspec, else the first without a node. NULL: none. */
static struct iommu_device *iommu_resolve(struct device *dev)
{
	const struct iommu_fwspec *fwspec = dev_iommu_fwspec(dev);
	struct device_core *core = dev->core;
	struct dt_refs refs;
	struct dt_ref ref;
	struct iommu_device *iommu = iommu_from_fwnode(core, fwspec ? fwspec->node : NULL);

	if (iommu || fwspec || !dev->node)
		return iommu;
	/* See iommu_ops.self_parsed. */
	dt_refs_init(&refs, core->tree, dev->node, "iommus", "#iommu-cells");
	if (!dt_refs_next(&refs, &ref) || ref.error || !ref.node)
		return NULL;
	iommu = iommu_from_fwnode(core, ref.node);
	return iommu && iommu->ops->self_parsed ? iommu : NULL;
}

static void iommu_deinit_device(struct device *dev)
{
	struct iommu_group *group = dev->group;

	iommu_release_by_driver(dev);
	iommu_module_put(dev);
	dev->group = NULL;
	dev_iommu_free(dev);
	if (!group)
		return;
	if (--group->members == 0)
		group->has_default_domain = false;
	group_count(dev, group, -1, "iommu_deinit_device");
}

/** Source: iommu_init_device(). */
static int iommu_init_device(struct device *dev)
{
	struct iommu_device *resolved;
	int err = dev_iommu_get(dev);

	if (err)
		return err;
	if (!dev->iommu->fwspec && !dev->driver) {
		device_dma_configure(dev);
		if (!dev->iommu || dev->group)
			return -ENODEV;
	}
	resolved = iommu_resolve(dev);
	if (!resolved) {
		dev_iommu_free(dev);
		return -ENODEV;
	}
	if (behaves(dev->core->sim, PROBE_DEVICE_FWSPEC) == PROBE_FWSPEC_ON ||
	    behaves(dev->core->sim, PROBE_DEVICE_FWSPEC) == PROBE_FWSPEC_AS_POSTED)
		err = iommu_do_probe_fwspec(dev, resolved);
	else
		err = iommu_do_probe_classic(dev, resolved);
	if (err) {
		dev_iommu_free(dev);
		return err;
	}
	iommu_check_usable(dev, "gets a group");
	dev->group = DRIVER_CALL(dev->core, resolved->ops, resolved->ops->device_group(dev));
	if (!dev->group) {
		iommu_deinit_device(dev);
		return -ENOMEM;
	}
	dev->group->members++;
	return 0;
}

/** The default domain of a group, and attaching @dev to it. */
static int iommu_group_attach(struct device *dev)
{
	int err;

	iommu_check_usable(dev, "is attached");
	err = DRIVER_CALL(dev->core, dev->iommu->ops, sim_fault(dev->core->sim, FAULT_DEVTREE_S7));
	if (!err)
		dev->group->has_default_domain = true;
	return err;
}

/** Source: __iommu_probe_device(). @sweep: new groups get their default domain when it ends. */
static int iommu_probe_device_locked(struct device *dev, bool sweep)
{
	int err;

	if (dev->group)
		return 0;
	err = iommu_init_device(dev);
	if (!err && (dev->group->has_default_domain || !sweep)) {
		err = iommu_group_attach(dev);
		if (err)
			iommu_deinit_device(dev);
	}
	/* Of a device that no IOMMU claims, the walk of its `iommus` knows better why. */
	if (err != -ENODEV || !dev->iommu_error)
		dev->iommu_error = err;
	return err;
}

/** The last step, without the lock. */
static void iommu_finalise(struct device *dev)
{
	if (dev->iommu->finalised)
		return;
	dev->iommu->finalised = true;
	if (!dev->iommu->ops->probe_finalize)
		return;
	iommu_check_usable(dev, "is finalised");
	dev->iommu->ops->probe_finalize(dev);
}

static int iommu_probe_device(struct device *dev)
{
	int err = iommu_probe_device_locked(dev, false);

	if (!err)
		iommu_finalise(dev);
	return err;
}

/** Source: iommu_release_device(). */
static void iommu_release_device(struct device *dev)
{
	if (dev->group)
		iommu_deinit_device(dev);
	if (dev->iommu)
		dev_iommu_free(dev);
}

void iommu_bus_notify_add(struct device *dev)
{
	iommu_probe_device(dev);
}

void iommu_bus_notify_removed(struct device *dev)
{
	iommu_release_device(dev);
}

/* ---- IOMMUs ---- */

static char *iommu_class_name(const struct iommu_device *iommu)
{
	return g_strconcat("class device iommu/", iommu->dev->name, NULL);
}

int iommu_driver_fault(const struct iommu_device *iommu, unsigned point)
{
	struct device_core *core = iommu->dev->core;

	return DRIVER_CALL(core, iommu->ops, sim_fault(core->sim, point));
}

int iommu_device_sysfs_add(struct iommu_device *iommu)
{
	g_autofree char *holder = iommu_class_name(iommu);
	int err = iommu_driver_fault(iommu, FAULT_DEVTREE_SYSFS);

	if (err)
		return err;
	iommu->sysfs = true;
	device_get_own(iommu->dev, holder, "iommu_device_sysfs_add");
	return 0;
}

void iommu_device_sysfs_remove(struct iommu_device *iommu)
{
	g_autofree char *holder = iommu_class_name(iommu);

	if (!iommu->sysfs)
		return;
	iommu->sysfs = false;
	device_put_own(iommu->dev, holder, "iommu_device_sysfs_remove");
}

/** Source: bus_iommu_probe(), for every bus. */
static int iommu_sweep(struct device_core *core)
{
	int err;

	for (guint i = 0; i < core->on_bus->len; i++) {
		err = iommu_probe_device_locked(g_ptr_array_index(core->on_bus, i), true);
		if (err && err != -ENODEV)
			return err;
	}
	for (guint i = 0; i < core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (!dev->group || dev->group->has_default_domain)
			continue;
		err = iommu_group_attach(dev);
		if (err) {
			dev->iommu_error = err;
			return err;
		}
	}
	for (guint i = 0; i < core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->group)
			iommu_finalise(dev);
	}
	return 0;
}

int iommu_device_register(struct iommu_device *iommu)
{
	struct device_core *core = iommu->dev->core;
	int err = iommu_driver_fault(iommu, FAULT_DEVTREE_REGISTER);

	if (err)
		return err;
	g_ptr_array_add(core->iommus, iommu);
	iommu->listed = true;
	err = iommu_sweep(core);
	if (err) {
		iommu_device_unregister(iommu);
		return err;
	}
	iommu->ready = true;
	return 0;
}

void iommu_device_unregister(struct iommu_device *iommu)
{
	struct device_core *core = iommu->dev->core;

	for (guint i = 0; i < core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->iommu && dev->iommu->iommu == iommu) {
			iommu_release_device(dev);
			dev->iommu_error = -ENODEV;
		}
	}
	g_ptr_array_remove(core->iommus, iommu);
	iommu->listed = false;
	iommu->ready = false;
	if (iommu->singleton)
		group_count(iommu->dev, iommu->singleton, -1, "iommu_device_unregister");
	iommu->singleton = NULL;
}
