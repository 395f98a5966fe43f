/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_DEVICE_SNAPSHOT_H
#define DEVTREE_DEVICE_SNAPSHOT_H

/*
 * "device": the driver core's devices, links, IOMMUs and groups. Its data is a struct device_core, or NULL: then there is none.
 * Who holds the references that are counted here is in "reference" (ledger.h).
 */
#include "sim/snapshot/snapshot.h"

extern const struct snapshot_section device_section;

#endif
