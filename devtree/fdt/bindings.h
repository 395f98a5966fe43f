/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_BINDINGS_H
#define DEVTREE_FDT_BINDINGS_H

/*
 * The modelled IOMMU drivers, as far as a device tree knows them: one row a driver. What a driver does when it probes is
 * not here but in devtree/platform, which finds its row by name.
 */
#include "devtree/fdt/tree.h"

struct dt_driver {
	const char *name;		/* "apple-dart" */
	const char *const *compatibles; /* NULL-ended: of the IOMMU's node */
	uint32_t cells_min, cells_max;	/* #iommu-cells that its of_xlate understands */
	bool multi_instance;		/* one master may be behind several */
};

/** The drivers, ended by a NULL name. */
extern const struct dt_driver dt_drivers[];

/** Returns the driver whose compatible @node has, the one that its first known string names; NULL for none. */
const struct dt_driver *dt_driver_of(const struct dt_node *node);
/** Returns the driver called @name, or NULL. */
const struct dt_driver *dt_driver_by_name(const char *name);

#endif
