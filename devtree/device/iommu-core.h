/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_DEVICE_IOMMU_CORE_H
#define DEVTREE_DEVICE_IOMMU_CORE_H

/*
 * How a master gets its IOMMU: registration and its sweep, fwspec, groups, release. Source: drivers/iommu/iommu.c and
 * of_iommu.c of Linux 7.0, as devtree-facts (a) tells them.
 *
 * The order for one master:
 *
 *	bus add notice, or an IOMMU registers and sweeps every bus
 *	  device_dma_configure()	walks `iommus` (or iommu-map): for each entry iommu_fwspec_init() and ops->of_xlate
 *	  ops->probe_device		the driver finds its instance
 *	  ops->device_group, default domain, attach; ops->probe_finalize
 *	…
 *	bus removal notice, or the IOMMU unregisters: ops->release_device, and everything goes
 *
 * Under behaviour probe-device-fwspec the core resolves the instance from the fwspec and hands it to
 * ops->probe_device_fwspec, where a driver has that. As posted it then runs into the label that releases the device.
 */
#include "devtree/device/device.h"

struct iommu_hw_ops; /* iommu/iommu.h */

#define IOMMU_FWSPEC_IDS_MAX \
	65536 /* more than any property of a 16 MiB blob's masters names; bounds the memory */

/** Which IOMMU a master is behind, and as whom: what the firmware says. */
struct iommu_fwspec {
	const struct dt_node *node; /* of the first IOMMU named; holds a reference */
	GArray *ids;		    /* of uint32_t, in order, never without duplicates on purpose */
};

struct iommu_ops {
	const char *name; /* of the driver and its module: "apple-dart" */
	/** Takes in one entry of `iommus`. Returns 0 or a negative errno. NULL: no entry can be taken (-ENODEV). */
	int (*of_xlate)(struct device *dev, const struct dt_ref *args);
	/** Finds the instance. Returns 0 with *@ret_iommu or a negative errno; -ENODEV: not one of ours. */
	int (*probe_device)(struct device *dev, struct iommu_device **ret_iommu);
	/** Both of the new design: of_xlate packs ids, probe_device_fwspec is handed the instance. NULL: the driver
	 * cannot use it and keeps the two above. */
	int (*of_xlate_ids)(struct device *dev, const struct dt_ref *args);
	int (*probe_device_fwspec)(struct iommu_device *iommu, struct device *dev);
	void (*probe_finalize)(struct device *dev); /* may be NULL, so may be the next */
	void (*release_device)(struct device *dev);
	/** Returns the group with a reference for @dev, or NULL at fault point devtree.group. */
	struct iommu_group *(*device_group)(struct device *dev);
	/** The driver's probe_device parses `iommus` by itself, and Linux 7.0 would not call it for lack of a fwspec:
	 * the model calls it nevertheless, as older cores did. */
	bool self_parsed;
};

/** An IOMMU's driver data: first member of what each driver has of its own. */
struct iommu_device {
	struct device *dev;
	const struct iommu_ops *ops;
	const struct dt_node *node;    /* NULL: of the kind without a node (Intel, AMD) */
	struct iommu_group *singleton; /* iommu_group_single() */
	bool listed, ready, sysfs;
	bool gone; /* the driver was unbound: the memory is somebody else's */
};

/** A master's private data: first member of what each driver has of its own. */
struct dev_private {
	bool freed;
	const char *site;  /* that allocated it */
	GPtrArray *iommus; /* of struct iommu_device: pointers without a reference */
};

/** The kernel's struct dev_iommu. Its one private pointer is two here, of which a driver uses one. */
struct dev_iommu {
	struct iommu_fwspec *fwspec;
	struct iommu_device *iommu;    /* what probe_device answered */
	struct iommu_device *instance; /* private pointer: the driver's data itself */
	struct dev_private *priv;      /* private pointer: something of the master's own */
	const struct iommu_ops *ops;   /* of who probed it; holds its module */
	bool finalised;		       /* probe_finalize was called */
	bool released;		       /* release_device ran: nothing of the driver may be used */
};

struct iommu_group {
	unsigned id;
	int refs;
	unsigned members;
	bool has_default_domain;
	const void *owner; /* with @key: whose, see iommu_group_keyed() */
	uint64_t key;
};

/* ---- for the driver core ---- */

void iommu_bus_notify_add(struct device *dev);
void iommu_bus_notify_removed(struct device *dev);
/** The bus's dma_configure: walks what the firmware says. Returns 0 or -EPROBE_DEFER; other errors leave the master
 *  without translation, in dev->iommu_error. */
int device_dma_configure(struct device *dev);
/** An IOMMU's driver data are freed by devres: whoever still points at them is reported. */
void iommu_device_data_gone(struct iommu_device *iommu);
/** Frees what the host needs for a device's IOMMU data; no model. */
void dev_iommu_discard(struct device *dev);

/* ---- for drivers ---- */

/** Returns driver data of @size bytes for @dev, which starts with a struct iommu_device, and makes it dev->drvdata. */
void *iommu_device_new(struct device *dev, const struct iommu_ops *ops, size_t size);
/** Passes @point on behalf of the driver of @iommu. Returns 0 or a negative errno. */
int iommu_driver_fault(const struct iommu_device *iommu, unsigned point);
/** Makes the class device "iommu/…", a child of the IOMMU's device. Returns 0 or a negative errno. */
int iommu_device_sysfs_add(struct iommu_device *iommu);
void iommu_device_sysfs_remove(struct iommu_device *iommu);
/** Registers the IOMMU and probes every device on every bus that has no group. An error of one of them, but for -ENODEV,
 *  unregisters it again and is returned. Fault point devtree.register. */
int iommu_device_register(struct iommu_device *iommu);
/** Releases its masters and takes it off the list. */
void iommu_device_unregister(struct iommu_device *iommu);

/** Returns 0 when the fwspec is there and of the same driver; -EPROBE_DEFER when @node has no IOMMU yet, -ETIMEDOUT when
 *  it will get none; -EINVAL when the fwspec is of another driver; -ENOMEM (fault point devtree.fwspec). */
int iommu_fwspec_init(struct device *dev, const struct dt_node *node);
void iommu_fwspec_free(struct device *dev);
/** Appends ids as they are. -ENOMEM at fault point devtree.probe.S5. */
int iommu_fwspec_add_ids(struct device *dev, const uint32_t *ids, unsigned count);
/** The fwspec of a master, or NULL. */
struct iommu_fwspec *dev_iommu_fwspec(const struct device *dev);

/** Private data of @size bytes for @dev, allocated in @site; NULL at fault point devtree.private. */
void *dev_private_new(struct device *dev, size_t size, const char *site);
/** kfree() of it; again: a finding. */
void dev_private_free(struct device *dev, struct dev_private *priv);

/** A new group with a reference for the caller; NULL at fault point devtree.group. */
struct iommu_group *iommu_group_alloc(struct device *dev);
/** generic_device_group() (and that of PCI, all of whose functions are taken to be isolated). */
struct iommu_group *iommu_group_generic(struct device *dev);
/** generic_single_device_group(): one for all masters of an IOMMU. */
struct iommu_group *iommu_group_single(struct device *dev);
/** One for all masters of an IOMMU that have @key in common, as long as it has a member. */
struct iommu_group *iommu_group_keyed(struct device *dev, uint64_t key);

/** The IOMMU registered for @node, NULL for none. With a NULL @node: the first of those without. */
struct iommu_device *iommu_from_fwnode(const struct device_core *core, const struct dt_node *node);

/** Whether the core hands instances to drivers that can take them (probe-device-fwspec on, or as-posted). */
bool iommu_core_hands_instance(const struct sim *sim, const struct iommu_ops *ops);

#endif
