/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_DEVICE_DEVICE_H
#define DEVTREE_DEVICE_DEVICE_H

/*
 * Devices, their drivers and the references between them: the part of drivers/base that decides who probes when, and what
 * is left when somebody goes. Source: drivers/base/core.c, dd.c, platform.c and drivers/of/platform.c of Linux 7.0, as
 * devtree-facts (a) tells them.
 *
 * A device's count is the kernel's: 1 at its creation, 1 for its bus, 1 for its parent's list, 1 for each child and each
 * end of a device link, and what drivers take by looking it up. Every one is in the ledger with its holder and the function
 * that took it. Those of the last kind are counted apart: after everybody who looked the device up has gone, they are what
 * leaked, and below zero what was dropped too often.
 *
 * Nothing is freed before the core is: a device, a driver's data and a master's private data are marked, so that who uses
 * them afterwards is reported and the run goes on.
 *
 *	core = device_core_new(sim, tree, drivers);
 *	dev = device_new(core, …);	// count 1, the creator's
 *	device_add(dev);		// on its bus: the IOMMU core hears of it
 *	device_attach(dev);		// its driver probes, or it is deferred
 *	device_settle(core);		// whoever was deferred tries again, while somebody binds
 *	device_unregister(dev);		// device_del(), and the creator's reference goes
 */
#include <errno.h>

#include "devtree/device/ledger.h"
#include "devtree/fdt/refs.h"

#define EPROBE_DEFER 517 /* the kernel's: try again when another driver has bound */

struct device;
struct device_driver;
struct iommu_device;
struct iommu_ops;

enum device_bus { DEVICE_BUS_PLATFORM, DEVICE_BUS_AMBA, DEVICE_BUS_PCI };

/** The state of one machine's driver core. */
struct device_core {
	struct sim *sim;	    /* its ledger belongs to the core */
	const struct devtree *tree; /* NULL: no device has a node */
	const struct device_driver *const
		*drivers;		     /* NULL-ended; the first that matches a device is its driver */
	GPtrArray *devices;		     /* of struct device: all that were ever made, in that order */
	GPtrArray *on_bus;		     /* those that are added */
	GHashTable *by_node;		     /* node -> device on a bus */
	GPtrArray *links;		     /* of struct device_link, in the order they were made */
	GPtrArray *link_work;		     /* links whose release, with both references, is still to run */
	GPtrArray *iommus;		     /* of struct iommu_device: registered ones */
	GPtrArray *groups;		     /* of struct iommu_group: all that were ever made */
	GPtrArray *memory;		     /* what drivers allocated, freed with the core */
	bool firmware_links;		     /* fw_devlink: a master's driver waits for its IOMMUs' drivers */
	bool deferral_over;		     /* the wait for missing suppliers has timed out */
	bool bound_since;		     /* somebody bound since the deferred devices were tried */
	uint64_t probe_calls, release_calls; /* of IOMMU drivers, for masters */
};

struct device {
	struct device_core *core;
	char *path; /* the node's, or what the creator said: unique, and the name in the ledger */
	char *name; /* the kernel's: "14830000.display-controller" */
	const struct dt_node *node; /* NULL: none, such as PCI functions */
	struct device *parent;	    /* NULL: none */
	enum device_bus bus;
	const struct dt_node
		*host; /* of a PCI function: the node of its host bridge; NULL: no node has one */
	uint32_t
		rid; /* of a PCI function: bus, device and function; of an IOMMU without a node: the last it serves */
	int refs;
	int lookups; /* of these, taken by looking the device up: what is left when all have gone has leaked */
	bool added;  /* is on its bus */
	bool released; /* the count reached 0 and the release callback ran */

	const struct device_driver *driver; /* set while a probe runs, and when bound */
	bool bound;
	bool unbinding;	   /* it and its consumers are on their way */
	bool deferred;	   /* waits for another device to bind */
	unsigned attempts; /* probes by its driver, and those that ended before it */
	int error;	   /* of the last one: 0 or a negative errno */

	struct iommu_device *drvdata; /* of an IOMMU: its driver's data; NULL: not set */
	struct dev_iommu *iommu;      /* of a master, see iommu-core.h; NULL: none */
	struct iommu_group *group;
	int iommu_error;	 /* of a master: why the last try to find its IOMMU failed, or 0 */
	unsigned iommu_attempts; /* how often its `iommus` or iommu-map was walked */
};

struct device_driver {
	const char *name;
	bool (*match)(const struct device_driver *driver, const struct device *dev);
	/** Returns 0 or a negative errno, -EPROBE_DEFER to be tried again. NULL: there is nothing to do. */
	int (*probe)(struct device *dev);
	void (*remove)(struct device *dev); /* may be NULL */
	bool no_unbind;			    /* suppress_bind_attrs: sysfs has no unbind for it */
};

/** @tree and @drivers are borrowed. Makes the ledger of @sim. Free with device_core_free(), which frees that too. */
struct device_core *device_core_new(struct sim *sim, const struct devtree *tree,
				    const struct device_driver *const *drivers);
void device_core_free(struct device_core *core);

/** Returns memory of @size bytes, zeroed, that lives as long as the core: see above. */
void *device_core_alloc(struct device_core *core, size_t size);

struct device_identity {
	const struct dt_node *node; /* NULL: then path and name are given */
	const char *path;
	const char *name;
	struct device *parent;
	enum device_bus bus;
	const struct dt_node *host;
	uint32_t rid;
};

/** Returns a device with a count of 1, its creator's. Owned by the core. */
struct device *device_new(struct device_core *core, const struct device_identity *identity);
/** Puts it on its bus and tells the IOMMU core. */
void device_add(struct device *dev);
/** Unbinds it, takes it off its bus and lets its IOMMU go. */
void device_del(struct device *dev);
/** device_del(), and the creator's reference. */
void device_unregister(struct device *dev);

/** A reference that @holder took by a lookup in @site. Using a released device is a finding. */
void device_get(struct device *dev, const char *holder, const char *site);
/** @holder drops one in @site. The last one releases the device; one that nobody took is a finding. */
void device_put(struct device *dev, const char *holder, const char *site);

/** The same for references of the driver core itself: parents, buses, links, class devices. */
void device_get_own(struct device *dev, const char *holder, const char *site);
void device_put_own(struct device *dev, const char *holder, const char *site);

/** of_find_device_by_node(), bus_find_device_by_fwnode(): a reference for @holder, or NULL when no bus has such a device. */
struct device *device_find_by_node(struct device_core *core, const struct dt_node *node, const char *holder,
				   const char *site);
/** The device of @node on a bus, without a reference; for the core and for reports. */
struct device *device_of_node(const struct device_core *core, const struct dt_node *node);
/** The device called @path that was made last, NULL for none. */
struct device *device_by_path(const struct device_core *core, const char *path);

/** References on nodes, groups and modules: entered in the ledger under "node PATH", "group N", "module NAME". */
void node_get(struct device_core *core, const struct dt_node *node, const char *holder, const char *site);
void node_put(struct device_core *core, const struct dt_node *node, const char *holder, const char *site);

/** Returns "-EPROBE_DEFER", "-EINVAL" …, "0". */
const char *device_errno_name(int error);

/* ---- binding: bind.c ---- */

/** Gives the device to its driver. Returns 0 when it is bound now or was, 1 when no driver matches, or the error; deferred
 * devices are kept for device_settle(). */
int device_attach(struct device *dev);
/** Tries deferred devices again, in their order, as long as one of them binds. */
void device_settle(struct device_core *core);
/** The deferral timeout: missing IOMMUs are errors from now on, and everybody tries a last time. */
void device_deferral_timeout(struct device_core *core);
/** Unbinds the device from its driver, its consumers over managed links first. No driver: nothing happens. */
void device_release_driver(struct device *dev);

/* ---- links: link.c ---- */

enum {
	LINK_STATELESS = 1, /* its maker deletes it; else it is managed: it orders probe and unbind */
	LINK_AUTOREMOVE_SUPPLIER = 2, /* goes when the supplier's driver does */
};

struct device_link {
	struct device *consumer, *supplier;
	unsigned flags;
	unsigned refs; /* its own: every add of the same pair takes one, whatever that costs the devices */
	bool gone;     /* off the lists; its release runs later */
};

/** Returns the link of that pair, new or with one more reference; NULL at fault point devtree.link. A new one holds both
 *  devices. */
struct device_link *device_link_add(struct device *consumer, struct device *supplier, unsigned flags);
/** Drops one reference of a stateless link. NULL is allowed. */
void device_link_del(struct device_link *link);
/** The link of the pair, or NULL. */
struct device_link *device_link_find(struct device *consumer, struct device *supplier);
/** Runs the deferred releases: only now links give back what they hold. */
void device_links_flush(struct device_core *core);

/* For bind.c and device.c. */
bool device_links_suppliers_bound(const struct device *dev);
void device_links_unbind_consumers(struct device *supplier);
void device_links_supplier_unbound(struct device *supplier);
void device_links_purge(struct device *dev);

#endif
