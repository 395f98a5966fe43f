/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_REFS_H
#define DEVTREE_FDT_REFS_H

/*
 * References from node to node: lists of phandles with arguments, and iommu-map.
 *
 * A list such as `iommus` holds phandles, each followed by as many cells as the node it names asks for, so an entry that
 * cannot be resolved hides all that follow it. Linux (of_phandle_iterator_next(), of_parse_phandle_with_args(),
 * of_map_id(); 7.0) tells the caller nothing of that: its walk just ends. Here the entry comes out with its kind of error,
 * and the walk ends after it.
 *
 *	struct dt_refs refs;
 *	struct dt_ref ref;
 *
 *	dt_refs_init(&refs, tree, node, "iommus", "#iommu-cells");
 *	while (dt_refs_next(&refs, &ref))
 *		if (ref.error) …
 *		else if (!ref.node) … // phandle 0: an empty entry. Linux's walk of `iommus` ends here with -ENOENT
 *		else … ref.args[0 .. ref.arg_count - 1]
 */
#include "devtree/fdt/tree.h"

struct dt_refs {
	const struct devtree *tree;
	const struct dt_property *property; /* NULL: none, no entries */
	const char *cells_name;		    /* NULL: @fixed_cells */
	uint32_t fixed_cells;
	uint32_t at; /* cell */
};

struct dt_ref {
	const struct dt_node *node; /* NULL: empty, or DT_DANGLING_PHANDLE */
	uint32_t phandle;
	enum dt_kind error; /* DT_FINE, DT_DANGLING_PHANDLE, DT_MISSING_CELLS, DT_BAD_CELL_COUNT */
	uint32_t arg_count;
	uint32_t args[DT_ARGS_MAX];
};

/** Starts on @list of @node, whose entries have as many arguments as property @cells_name of their target says. */
void dt_refs_init(struct dt_refs *refs, const struct devtree *tree, const struct dt_node *node,
		  const char *list, const char *cells_name);
/** The same with @cells arguments each: 0 for a list of phandles alone. */
void dt_refs_init_fixed(struct dt_refs *refs, const struct devtree *tree, const struct dt_node *node,
			const char *list, uint32_t cells);
/** Writes the next entry to *@ret_ref. Returns false at the end, also after an entry with an error. Tail bytes of a length
 *  that is no multiple of 4 are ignored, as Linux does. */
bool dt_refs_next(struct dt_refs *refs, struct dt_ref *ret_ref);

/** What of_parse_phandle_with_args(node, list, cells_name, index) returns: 0 with *@ret_ref, -ENOENT past the end and for
 *  an empty entry, -EINVAL for an entry at or before @index that cannot be resolved. */
int dt_parse_phandle_with_args(const struct devtree *tree, const struct dt_node *node, const char *list,
			       const char *cells_name, uint32_t index, struct dt_ref *ret_ref);

/** Returns the node that the first phandle of @list names, or NULL (of_parse_phandle(node, list, index)). */
const struct dt_node *dt_parse_phandle(const struct devtree *tree, const struct dt_node *node,
				       const char *list, uint32_t index);

/** iommu-map of a host bridge (or of another node that hands out ids, such as host1x). */
struct dt_map {
	const struct devtree *tree;
	const struct dt_property *property;
	uint32_t count; /* entries; 0 when the length is bad */
	bool has_mask;
	uint32_t mask; /* 0xffffffff when there is none */
	bool bad_length;
};

struct dt_map_entry {
	uint32_t rid;
	uint32_t phandle;
	uint32_t id;	 /* what @rid becomes */
	uint32_t length; /* of ids; rid + length is taken in 32 bits and may wrap, then nothing matches */
	const struct dt_node *target; /* NULL: dangling */
};

/** Returns whether @node has "iommu-map"; then fills *@ret_map. */
bool dt_map_init(struct dt_map *ret_map, const struct devtree *tree, const struct dt_node *node);
/** Entry @i, below map->count. */
struct dt_map_entry dt_map_entry(const struct dt_map *map, uint32_t i);

/** What of_map_id() makes of @rid. Returns DT_FINE with *@ret_target and *@ret_id, where *@ret_target is NULL when no entry
 *  matches; or DT_BAD_LENGTH (-EINVAL), DT_BASE_OUTSIDE_MASK (-EFAULT), DT_DANGLING_PHANDLE (-ENODEV). The id is one cell,
 *  whatever #iommu-cells of the target says. */
enum dt_kind dt_map_translate(const struct dt_map *map, uint32_t rid, const struct dt_node **ret_target,
			      uint32_t *ret_id);

#endif
