/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_CYCLE_H
#define DEVTREE_FDT_CYCLE_H

/*
 * Who needs whom, among the nodes that an IOMMU's work takes: a master needs its IOMMUs, these their larbs or their root,
 * and so on. A chain that returns to its start can never be probed.
 */
#include "devtree/fdt/tree.h"

/** Hands each node that @node needs to @fn: through iommus, iommu-map, mediatek,larbs, mediatek,smi, renesas,ipmmu-main. */
void dt_suppliers(const struct devtree *tree, const struct dt_node *node,
		  void (*fn)(void *data, const struct dt_node *supplier), void *data);

/** Returns a new array of node_count elements: for each node, a supplier of it through which its chain returns to it, NULL
 *  where none does. Free with g_free(). */
const struct dt_node **dt_find_cycles(const struct devtree *tree);

#endif
