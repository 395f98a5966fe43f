/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_POPULATE_H
#define DEVTREE_FDT_POPULATE_H

/*
 * Which nodes become devices at boot, and what these are called: of_platform_default_populate(), Linux 7.0
 * drivers/of/platform.c and address.c.
 *
 * A child of the root that has "compatible" becomes a device unless it is disabled, and so do the children of what is a
 * bus (simple-bus, simple-mfd, isa, arm,amba-bus). All other children wait for the driver of their parent. Nodes that
 * Linux drops for their depth become nothing.
 */
#include "devtree/fdt/tree.h"

/** Sets node->device of every node. devtree_load() calls it. */
void dt_populate(struct devtree *tree);

/** Returns the name a device of @node would have, whether or not it is made at boot: "14830000.display-controller", or
 *  "soc@0:usb@13600000" where reg does not translate (of_device_make_bus_id()). Free with g_free(). */
char *dt_device_name(const struct dt_node *node);

/** Translates the first address of "reg" to the root's address space. Returns false where there is none, it is too short,
 *  or a bus on the way has no "ranges" that hold it (of_translate_address()). Buses of 1 or 2 address cells, and of 3
 *  whose first is flags. */
bool dt_translate_reg(const struct dt_node *node, uint64_t *ret_address);

#endif
