/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_USERS_H
#define DEVTREE_FDT_USERS_H

/*
 * Who is behind which IOMMU: `iommus` and iommu-map, turned round.
 */
#include "devtree/fdt/refs.h"

/** Ids of a node that reach an IOMMU. */
struct dt_ids {
	bool mapped; /* from iommu-map: @rid to @rid + @length - 1 become @id and so on */
	uint32_t rid, length, id;
	uint32_t arg_count; /* from iommus: the cells of one entry */
	uint32_t args[DT_ARGS_MAX];
};

/** A node behind an IOMMU, with all its ids there. */
struct dt_user {
	const struct dt_node *node;
	GArray *ids; /* of struct dt_ids; neighbouring entries of iommu-map are joined */
};

struct dt_users {
	uint32_t node_count;
	GPtrArray **of; /* one a node: of struct dt_user, in document order; NULL: nobody */
};

/** Finds who is behind each IOMMU; free with dt_users_free(). Entries that cannot be resolved are left out. */
struct dt_users *dt_users_new(const struct devtree *tree);
void dt_users_free(struct dt_users *users);

#endif
