/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_CHECK_H
#define DEVTREE_FDT_CHECK_H

/*
 * What is wrong with a device tree, as far as IOMMUs are concerned, by kind and node.
 *
 * A property that cannot be resolved hides nothing but itself: the rest of the tree is checked all the same. Linux passes
 * over most of this in silence, and the device then runs without its IOMMU.
 */
#include "devtree/fdt/tree.h"

/** Is handed one problem of @node; @sentence is borrowed for the call. Returns false to end the check. */
typedef bool (*dt_problem_fn)(void *data, enum dt_kind kind, const struct dt_node *node,
			      const char *sentence);

/** Hands every problem of @tree to @fn, in the order of the nodes. */
void dt_check(const struct devtree *tree, dt_problem_fn fn, void *data);

#endif
