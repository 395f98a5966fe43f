/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/check.h"

#include <string.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/cycle.h"
#include "devtree/fdt/parts.h"

struct check {
	const struct devtree *tree;
	dt_problem_fn fn;
	void *data;
	bool ended;
	const struct dt_node **cycles;	  /* of dt_find_cycles() */
	const struct dt_driver **drivers; /* one a node: of those with #iommu-cells or larbs, else NULL */
	uint32_t *contexts;		  /* one a node: highest context of a Qualcomm IOMMU + 1 */
};

G_GNUC_PRINTF(4, 5)
static void report(struct check *check, enum dt_kind kind, const struct dt_node *node, const char *format,
		   ...)
{
	g_autofree char *sentence = NULL;
	va_list args;

	if (check->ended)
		return;
	va_start(args, format);
	sentence = g_strdup_vprintf(format, args);
	va_end(args);
	check->ended = !check->fn(check->data, kind, node, sentence);
}

static bool is_driver(const struct check *check, const struct dt_node *node, const char *name)
{
	const struct dt_driver *driver = check->drivers[node->index];

	return driver && strcmp(driver->name, name) == 0;
}

/* ---- the tree ---- */

static void check_phandle(struct check *check, const struct dt_node *node)
{
	g_autofree char *first = NULL;

	if (!node->phandle_reused)
		return;
	first = dt_node_path(dt_find_phandle(check->tree, node->phandle));
	report(check, DT_DUPLICATE_PHANDLE, node, "phandle 0x%x belongs to %s, which keeps it", node->phandle,
	       first);
}

/** Reports the top of each branch that Linux cuts off. */
static void check_depth(struct check *check, const struct dt_node *node)
{
	uint32_t end = node->index + 1;

	if (node->depth != DT_DEPTH_MAX)
		return;
	while (end < check->tree->node_count && check->tree->nodes[end].depth > DT_DEPTH_MAX)
		end++;
	report(check, DT_TOO_DEEP, node, "at depth %u: Linux drops the node and the %u below it", node->depth,
	       end - node->index - 1);
}

/* ---- bindings ---- */

/** Reports the entry number @i of @list that cannot be resolved. */
static void report_ref(struct check *check, const struct dt_node *node, const char *list, uint32_t i,
		       const struct dt_ref *ref)
{
	g_autofree char *target = ref->node ? dt_node_path(ref->node) : NULL;
	uint32_t cells;

	if (ref->error == DT_DANGLING_PHANDLE)
		report(check, ref->error, node, "%s entry %u: no node has phandle 0x%x", list, i,
		       ref->phandle);
	else if (ref->error == DT_MISSING_CELLS)
		report(check, ref->error, node, "%s entry %u: %s has no #iommu-cells", list, i, target);
	else if (dt_read_u32(ref->node, "#iommu-cells", &cells) && cells > DT_ARGS_MAX)
		report(check, ref->error, node, "%s entry %u: %s asks for %u cells, at most %u are read",
		       list, i, target, cells, DT_ARGS_MAX);
	else
		report(check, ref->error, node,
		       "%s entry %u: the property ends before the cells that %s asks for", list, i, target);
}

static void check_iommus(struct check *check, const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "iommus");
	struct dt_refs refs;
	struct dt_ref ref;

	if (!property)
		return;
	if (property->len % 4)
		report(check, DT_BAD_LENGTH, node,
		       "iommus is %u bytes long, no multiple of 4; Linux ignores the tail", property->len);
	dt_refs_init(&refs, check->tree, node, "iommus", "#iommu-cells");
	for (uint32_t i = 0; dt_refs_next(&refs, &ref); i++)
		if (ref.error)
			report_ref(check, node, "iommus", i, &ref);
}

/** A list of phandles without arguments. */
static void check_list(struct check *check, const struct dt_node *node, const char *list)
{
	const struct dt_property *property = dt_find_property(node, list);

	for (uint32_t i = 0; i < dt_cell_count(property); i++) {
		uint32_t phandle = dt_cell(property, i);

		if (!dt_find_phandle(check->tree, phandle))
			report(check, DT_DANGLING_PHANDLE, node, "%s entry %u: no node has phandle 0x%x",
			       list, i, phandle);
	}
}

static void check_main_ipmmu(struct check *check, const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "renesas,ipmmu-main");

	if (dt_cell_count(property) && !dt_parse_phandle(check->tree, node, "renesas,ipmmu-main", 0))
		report(check, DT_DANGLING_PHANDLE, node, "renesas,ipmmu-main: no node has phandle 0x%x",
		       dt_cell(property, 0));
}

/** An entry of iommu-map that can match: ids first to last. */
struct map_range {
	uint32_t first, last, entry;
};

static int compare_ranges(const void *a, const void *b)
{
	const struct map_range *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/** Reports the lowest id that two entries hold. */
static void check_map_overlap(struct check *check, const struct dt_node *node, const struct dt_map *map)
{
	g_autofree struct map_range *ranges = NULL;
	uint32_t count = 0;

	if (map->count == 0)
		return;
	ranges = g_new(struct map_range, map->count);
	for (uint32_t i = 0; i < map->count; i++) {
		struct dt_map_entry entry = dt_map_entry(map, i);
		uint32_t end = entry.rid + entry.length;

		if (end > entry.rid) /* else it wraps, or is empty, and matches nothing */
			ranges[count++] = (struct map_range){entry.rid, end - 1, i};
	}
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (uint32_t i = 1; i < count; i++) {
		const struct map_range *before = &ranges[i - 1], *range = &ranges[i];

		if (range->first > before->last)
			continue;
		report(check, DT_MAP_OVERLAP, node,
		       "iommu-map entries %u and %u both hold id 0x%x; the first of them decides",
		       MIN(before->entry, range->entry), MAX(before->entry, range->entry), range->first);
		return;
	}
}

static void check_map(struct check *check, const struct dt_node *node)
{
	struct dt_map map;

	if (!dt_map_init(&map, check->tree, node))
		return;
	if (map.bad_length && map.property->len == 0)
		report(check, DT_BAD_LENGTH, node, "iommu-map is empty; no id is translated");
	else if (map.bad_length)
		report(check, DT_BAD_LENGTH, node,
		       "iommu-map is %u bytes long, no multiple of 16; no id is translated",
		       map.property->len);
	for (uint32_t i = 0; i < map.count && !check->ended; i++) {
		struct dt_map_entry entry = dt_map_entry(&map, i);

		if (entry.rid & ~map.mask)
			report(check, DT_BASE_OUTSIDE_MASK, node,
			       "iommu-map entry %u: base 0x%x has bits outside the mask 0x%x", i, entry.rid,
			       map.mask);
		if (!entry.target)
			report(check, DT_DANGLING_PHANDLE, node,
			       "iommu-map entry %u: no node has phandle 0x%x", i, entry.phandle);
	}
	check_map_overlap(check, node, &map);
}

static void check_regions(struct check *check, const struct dt_node *node)
{
	struct dt_region_walk walk;
	struct dt_region region;

	dt_region_walk_init(&walk, check->tree, node);
	for (uint32_t i = 0; dt_region_next(&walk, &region); i++) {
		if (region.error == DT_DANGLING_PHANDLE)
			report(check, region.error, node,
			       "iommu-addresses entry %u: no node has phandle 0x%x", i, region.phandle);
		else if (region.error)
			report(check, region.error, node,
			       "iommu-addresses entry %u: the property ends inside an address or a size", i);
	}
}

static void check_cycle(struct check *check, const struct dt_node *node)
{
	const struct dt_node *through = check->cycles[node->index];
	g_autofree char *path = NULL;

	if (!through)
		return;
	path = dt_node_path(through);
	if (through == node)
		report(check, DT_PHANDLE_CYCLE, node, "it needs itself");
	else
		report(check, DT_PHANDLE_CYCLE, node, "it needs %s, which in the end needs it", path);
}

/* ---- drivers ---- */

static void check_cells(struct check *check, const struct dt_node *node)
{
	const struct dt_driver *driver = check->drivers[node->index];
	uint32_t cells;

	if (!driver || !dt_read_u32(node, "#iommu-cells", &cells) ||
	    (cells >= driver->cells_min && cells <= driver->cells_max))
		return;
	if (driver->cells_min == driver->cells_max)
		report(check, DT_WRONG_CELL_COUNT, node, "#iommu-cells is %u, %s takes %u", cells,
		       driver->name, driver->cells_min);
	else
		report(check, DT_WRONG_CELL_COUNT, node, "#iommu-cells is %u, %s takes %u to %u", cells,
		       driver->name, driver->cells_min, driver->cells_max);
}

/** Larbs of @node, which @node's driver keeps by their ids. */
static void check_larb_ids(struct check *check, const struct dt_node *node)
{
	const struct dt_node *taken[DT_LARBS_MAX] = {0};
	uint32_t count = dt_larb_count(node);

	for (uint32_t i = 0; i < count && !check->ended; i++) {
		struct dt_larb larb = dt_larb(check->tree, node, i);
		g_autofree char *other = NULL;

		if (!larb.node || !larb.node->status_okay)
			continue; /* dangling is reported elsewhere; the driver passes over disabled ones */
		if (larb.id >= DT_LARBS_MAX) {
			report(check, DT_LARB_ID_RANGE, larb.node, "larb id %u, the highest is %u", larb.id,
			       DT_LARBS_MAX - 1);
		} else if (taken[larb.id]) {
			other = dt_node_path(taken[larb.id]);
			report(check, DT_LARB_ID_DUPLICATE, larb.node, "larb id %u is that of %s already",
			       larb.id, other);
		} else {
			taken[larb.id] = larb.node;
		}
	}
}

static void check_larbs(struct check *check, const struct dt_node *node)
{
	uint32_t count = dt_larb_count(node);
	bool has_ids =
		is_driver(check, node, "mtk-iommu"); /* for mtk-iommu-v1 the place in the list is the id */

	if (!dt_has(node, "mediatek,larbs") || (!has_ids && !is_driver(check, node, "mtk-iommu-v1")))
		return;
	if (count > DT_LARBS_MAX)
		report(check, DT_LARB_COUNT, node, "%u larbs, at most %u can be", count, DT_LARBS_MAX);
	else if (has_ids && count == 0)
		report(check, DT_LARB_COUNT, node, "mediatek,larbs is empty");
	else if (has_ids)
		check_larb_ids(check, node);
}

/** Contexts that @node asks for, of IOMMUs that have not so many. */
static void check_asids(struct check *check, const struct dt_node *node)
{
	struct dt_refs refs;
	struct dt_ref ref;

	dt_refs_init(&refs, check->tree, node, "iommus", "#iommu-cells");
	for (uint32_t i = 0; !check->ended && dt_refs_next(&refs, &ref); i++) {
		g_autofree char *path = NULL;
		uint32_t highest;

		if (ref.error || ref.arg_count != 1 || !is_driver(check, ref.node, "qcom-iommu"))
			continue;
		highest = check->contexts[ref.node->index];
		if (ref.args[0] < highest)
			continue;
		path = dt_node_path(ref.node);
		if (highest)
			report(check, DT_ASID_RANGE, node,
			       "iommus entry %u: context %u, the highest of %s is %u", i, ref.args[0], path,
			       highest - 1);
		else
			report(check, DT_ASID_RANGE, node, "iommus entry %u: context %u, but %s has none", i,
			       ref.args[0], path);
	}
}

static void check_contexts(struct check *check, const struct dt_node *node)
{
	uint32_t reg;

	if (!is_driver(check, node, "qcom-iommu"))
		return;
	for (const struct dt_node *child = node->child; child; child = child->sibling)
		if (!dt_read_u32(child, "reg", &reg))
			report(check, DT_MISSING_REG, child, "a context bank without reg cannot be probed");
}

/* ---- the whole ---- */

static void check_node(struct check *check, const struct dt_node *node)
{
	check_phandle(check, node);
	check_depth(check, node);
	check_iommus(check, node);
	check_map(check, node);
	check_list(check, node, "mediatek,larbs");
	check_list(check, node, "mediatek,smi");
	if (dt_has(node, "iommus"))
		check_list(check, node, "memory-region");
	check_main_ipmmu(check, node);
	check_regions(check, node);
	check_cycle(check, node);
	check_cells(check, node);
	check_larbs(check, node);
	check_asids(check, node);
	check_contexts(check, node);
}

/** Looks up once a node what references to it ask for again and again. */
static void check_init(struct check *check)
{
	const struct devtree *tree = check->tree;

	check->cycles = dt_find_cycles(tree);
	check->drivers = g_new0(const struct dt_driver *, tree->node_count);
	check->contexts = g_new0(uint32_t, tree->node_count);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		const struct dt_node *node = &tree->nodes[i];

		if (dt_has(node, "#iommu-cells") || dt_has(node, "mediatek,larbs"))
			check->drivers[i] = dt_driver_of(node);
		if (!is_driver(check, node, "qcom-iommu"))
			continue;
		for (const struct dt_node *child = node->child; child; child = child->sibling) {
			struct dt_context context = dt_context(child);

			if (context.has_asid && context.asid < UINT32_MAX)
				check->contexts[i] = MAX(check->contexts[i], context.asid + 1);
		}
	}
}

void dt_check(const struct devtree *tree, dt_problem_fn fn, void *data)
{
	struct check check = {.tree = tree, .fn = fn, .data = data};

	check_init(&check);
	for (uint32_t i = 0; i < tree->node_count && !check.ended; i++)
		check_node(&check, &tree->nodes[i]);
	g_free(check.cycles);
	g_free(check.drivers);
	g_free(check.contexts);
}
