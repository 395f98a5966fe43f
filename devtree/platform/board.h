/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_PLATFORM_BOARD_H
#define DEVTREE_PLATFORM_BOARD_H

/*
 * A board brought up: the devices of its tree, probed by the drivers of this room in a given order, and taken down again.
 *
 *	board = board_new(tree, BOARD_OLD, 1);
 *	board_boot(board, NULL);	// everything is made, probed, and tried again
 *	…				// board->core has the devices and sim->ledger who holds what
 *	board_down(board);		// everybody goes: what is left in the ledger has leaked, and is a finding
 *	board_free(board);
 */
#include "devtree/platform/platform.h"

/** Which kernel's drivers. */
enum board_profile {
	BOARD_OLD,	 /* before the series of September 2025 */
	BOARD_V1,	 /* the series as posted */
	BOARD_FIXED,	 /* as merged: Linux 7.0 */
	BOARD_FWSPEC,	 /* with probe_device_fwspec, its bug repaired */
	BOARD_AS_POSTED, /* the same as it was posted */
	BOARD_HELPER,	 /* with one helper of the core for the lookup */
	BOARD_PROFILES,
};

extern const char *const board_profile_names[BOARD_PROFILES];

/** Returns the profile called @name, or -1. */
int board_profile_find(const char *name);

/** Sets the behaviours that the profile stands for, all others as in Linux 7.0. */
void board_set_profile(struct sim *sim, enum board_profile profile);

/** What a node is for the IOMMUs. */
enum board_role { BOARD_OTHER, BOARD_IOMMU, BOARD_MASTER, BOARD_SUPPLIER /* MediaTek's larbs and commons */ };

struct board {
	struct sim *sim;
	bool owns_sim;
	struct device_core *core;
	const struct devtree *tree;
};

/* What is simulated at most: registering an IOMMU looks at every device, so a hostile tree could ask for years. The largest
 * board in Linux has 18 IOMMUs and some 300 devices. */
#define BOARD_IOMMUS_MAX       128
#define BOARD_DEVICES_MAX      8192
#define BOARD_LIST_CELLS_MAX   2048  /* of one master's `iommus` */
#define BOARD_MASTER_CELLS_MAX 16384 /* of all masters' */

/** Returns whether the tree is small enough to be simulated, else false with *@error. */
bool board_check(const struct devtree *tree, GError **error);

/** @tree has passed board_check(), and is borrowed. Free with board_free(). */
struct board *board_new(const struct devtree *tree, enum board_profile profile, uint64_t seed);
/** The same in @sim, with its behaviours; that is borrowed, and has no ledger yet. */
struct board *board_new_in(struct sim *sim, const struct devtree *tree);
void board_free(struct board *board);

enum board_role board_role(const struct device *dev);
enum board_role board_node_role(const struct dt_node *node);

/** Whether there is a device of @node some time: at boot, or made by the driver of another bus. */
bool board_has_device(const struct dt_node *node);

/** Makes and adds a device of @node, below that of its nearest ancestor that has one. */
struct device *board_make(struct board *board, const struct dt_node *node);

/** Makes what boot makes of the tree and what other buses' drivers make later, IOMMUs and masters alike, and one PCI function
 *  behind each host bridge that has iommu-map; then gives each to its driver, those of @first (NULL: none) in their order,
 *  the others in document order; and lets the deferred try again to the end. */
void board_boot(struct board *board, GPtrArray *first);

/** The devices that board_boot() probes, in document order: for an order of one's own. Free with g_ptr_array_unref(). */
GPtrArray *board_order(const struct board *board);

/** board_boot() in two steps. */
void board_populate(struct board *board);
void board_attach(struct board *board, GPtrArray *first);

/** The other way: makes everything but the masters, and binds the IOMMUs last, so that nobody is deferred who need not be.
 *  Masters can then be made one by one. */
void board_iommus_up(struct board *board);

/** Unbinds every IOMMU that sysfs can unbind, then binds them again. Returns how many. */
unsigned board_rebind(struct board *board);

/** Unregisters the masters, unbinds the IOMMUs and unregisters the rest. What leaked is a finding each: references on
 *  devices, groups and modules as violations, those on nodes, which no known fix repairs, as observations. */
void board_down(struct board *board);

/* ---- leaks.c: what a board leaks, by kernel ---- */

/** References on an IOMMU's device after all its masters have come and gone. */
struct board_leak_iommu {
	const struct dt_node *node;
	const char *driver; /* "unknown": none of ours */
	int old, fixed, fwspec;
	bool fwspec_applies; /* the driver can use probe_device_fwspec */
};

/** References on a larb's device while its IOMMU is bound, and when it no longer is; by profile. */
struct board_leak_larb {
	const struct dt_node *node;
	int bound[BOARD_FIXED + 1], removed[BOARD_FIXED + 1];
};

struct board_leaks {
	GArray *iommus; /* of struct board_leak_iommu, in document order: the disabled ones too, which leak nothing */
	GArray *larbs; /* of struct board_leak_larb, in the order of their IOMMUs' lists: available ones */
};

/** Runs @tree once a kernel: every available IOMMU is registered, then each master made, probed and released. PCI functions
 *  are left out. Free with board_leaks_clear(). Returns false, with *@error, for a tree that board_check() refuses. */
bool board_leaks(const struct devtree *tree, struct board_leaks *ret_leaks, GError **error);
void board_leaks_clear(struct board_leaks *leaks);

/** Appends them as a leak file of golden/devtree has them; @name is the blob's. */
void board_leaks_print(GString *out, const struct board_leaks *leaks, const char *name);

#endif
