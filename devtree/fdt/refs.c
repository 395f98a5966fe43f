/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/refs.h"

#include <errno.h>

void dt_refs_init(struct dt_refs *refs, const struct devtree *tree, const struct dt_node *node,
		  const char *list, const char *cells_name)
{
	*refs = (struct dt_refs){
		.tree = tree, .property = dt_find_property(node, list), .cells_name = cells_name};
}

void dt_refs_init_fixed(struct dt_refs *refs, const struct devtree *tree, const struct dt_node *node,
			const char *list, uint32_t cells)
{
	*refs = (struct dt_refs){
		.tree = tree, .property = dt_find_property(node, list), .fixed_cells = cells};
}

/** Finds how many arguments follow the phandle of @ref. */
static enum dt_kind ref_count_args(const struct dt_refs *refs, const struct dt_ref *ref, uint32_t *ret_count)
{
	*ret_count = refs->fixed_cells;
	if (!ref->node)
		return DT_DANGLING_PHANDLE;
	if (refs->cells_name && !dt_read_u32(ref->node, refs->cells_name, ret_count))
		return DT_MISSING_CELLS;
	if (*ret_count > DT_ARGS_MAX || *ret_count > dt_cell_count(refs->property) - refs->at)
		return DT_BAD_CELL_COUNT;
	return DT_FINE;
}

bool dt_refs_next(struct dt_refs *refs, struct dt_ref *ret_ref)
{
	struct dt_ref ref = {0};

	if (refs->at >= dt_cell_count(refs->property))
		return false;
	ref.phandle = dt_cell(refs->property, refs->at++);
	if (ref.phandle) {
		ref.node = dt_find_phandle(refs->tree, ref.phandle);
		ref.error = ref_count_args(refs, &ref, &ref.arg_count);
	}
	if (ref.error) {
		ref.arg_count = 0;
		refs->at = dt_cell_count(refs->property); /* where the next entry begins nobody knows */
	}
	for (uint32_t i = 0; i < ref.arg_count; i++)
		ref.args[i] = dt_cell(refs->property, refs->at++);
	*ret_ref = ref;
	return true;
}

int dt_parse_phandle_with_args(const struct devtree *tree, const struct dt_node *node, const char *list,
			       const char *cells_name, uint32_t index, struct dt_ref *ret_ref)
{
	struct dt_refs refs;
	struct dt_ref ref;

	dt_refs_init(&refs, tree, node, list, cells_name);
	for (uint32_t i = 0; dt_refs_next(&refs, &ref); i++) {
		if (ref.error)
			return -EINVAL;
		if (i == index && !ref.node)
			return -ENOENT;
		if (i == index) {
			*ret_ref = ref;
			return 0;
		}
	}
	return -ENOENT;
}

const struct dt_node *dt_parse_phandle(const struct devtree *tree, const struct dt_node *node,
				       const char *list, uint32_t index)
{
	const struct dt_property *property = dt_find_property(node, list);

	return index < dt_cell_count(property) ? dt_find_phandle(tree, dt_cell(property, index)) : NULL;
}

/* ---- iommu-map ---- */

#define MAP_ENTRY_CELLS 4

bool dt_map_init(struct dt_map *ret_map, const struct devtree *tree, const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "iommu-map");
	struct dt_map map = {.tree = tree, .property = property, .mask = UINT32_MAX};

	if (!property)
		return false;
	map.bad_length = property->len == 0 || property->len % (MAP_ENTRY_CELLS * 4);
	map.count = map.bad_length ? 0 : property->len / (MAP_ENTRY_CELLS * 4);
	map.has_mask = dt_read_u32(node, "iommu-map-mask", &map.mask);
	*ret_map = map;
	return true;
}

struct dt_map_entry dt_map_entry(const struct dt_map *map, uint32_t i)
{
	uint32_t at = i * MAP_ENTRY_CELLS;

	return (struct dt_map_entry){
		.rid = dt_cell(map->property, at),
		.phandle = dt_cell(map->property, at + 1),
		.id = dt_cell(map->property, at + 2),
		.length = dt_cell(map->property, at + 3),
		.target = dt_find_phandle(map->tree, dt_cell(map->property, at + 1)),
	};
}

enum dt_kind dt_map_translate(const struct dt_map *map, uint32_t rid, const struct dt_node **ret_target,
			      uint32_t *ret_id)
{
	uint32_t masked = rid & map->mask;

	if (map->bad_length)
		return DT_BAD_LENGTH;
	for (uint32_t i = 0; i < map->count; i++) {
		struct dt_map_entry entry = dt_map_entry(map, i);

		if (entry.rid & ~map->mask)
			return DT_BASE_OUTSIDE_MASK;
		if (masked < entry.rid || masked >= (uint32_t)(entry.rid + entry.length))
			continue;
		if (!entry.target)
			return DT_DANGLING_PHANDLE;
		*ret_target = entry.target;
		*ret_id = masked - entry.rid + entry.id;
		return DT_FINE;
	}
	*ret_target = NULL;
	*ret_id = rid;
	return DT_FINE;
}
