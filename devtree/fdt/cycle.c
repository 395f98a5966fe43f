/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/cycle.h"

#include "devtree/fdt/refs.h"

typedef void (*supplier_fn)(void *data, const struct dt_node *supplier);

/** Hands the nodes of a list to @fn, up to its first bad entry. */
static void list_suppliers(const struct devtree *tree, const struct dt_node *node, const char *list,
			   const char *cells_name, supplier_fn fn, void *data)
{
	struct dt_refs refs;
	struct dt_ref ref;

	dt_refs_init(&refs, tree, node, list, cells_name);
	while (dt_refs_next(&refs, &ref))
		if (ref.node && !ref.error)
			fn(data, ref.node);
}

void dt_suppliers(const struct devtree *tree, const struct dt_node *node, supplier_fn fn, void *data)
{
	const struct dt_node *root_ipmmu = dt_parse_phandle(tree, node, "renesas,ipmmu-main", 0);
	struct dt_map map;

	list_suppliers(tree, node, "iommus", "#iommu-cells", fn, data);
	list_suppliers(tree, node, "mediatek,larbs", NULL, fn, data);
	list_suppliers(tree, node, "mediatek,smi", NULL, fn, data);
	if (root_ipmmu)
		fn(data, root_ipmmu);
	if (!dt_map_init(&map, tree, node))
		return;
	for (uint32_t i = 0; i < map.count; i++) {
		struct dt_map_entry entry = dt_map_entry(&map, i);

		if (entry.target)
			fn(data, entry.target);
	}
}

/* ---- strongly connected components, after Tarjan, with a stack of our own: a hostile chain is as long as the blob ---- */

struct search {
	const struct devtree *tree;
	GArray *edges;	      /* of uint32_t: suppliers of node 0, of node 1, … */
	uint32_t *first_edge; /* one a node, and one more */
	uint32_t *next_edge;  /* where the search of a node has come to */
	uint32_t *order;      /* when a node was first seen, from 1; 0: not yet */
	uint32_t *low;	      /* the earliest node still open that it reaches */
	uint32_t *component;  /* 0: still open */
	uint32_t seen, components;
	GArray *open; /* nodes without a component */
	GArray *way;  /* from where the search began to where it is */
};

static void search_add_edge(void *data, const struct dt_node *supplier)
{
	GArray *edges = data;

	g_array_append_val(edges, supplier->index);
}

static void search_enter(struct search *search, uint32_t node)
{
	search->order[node] = search->low[node] = ++search->seen;
	search->next_edge[node] = search->first_edge[node];
	g_array_append_val(search->open, node);
	g_array_append_val(search->way, node);
}

/** All that @node reaches is known: closes its component if it began with it, and goes back a step. */
static void search_leave(struct search *search, uint32_t node)
{
	uint32_t member, before;

	if (search->low[node] == search->order[node]) {
		search->components++;
		do {
			member = g_array_index(search->open, uint32_t, search->open->len - 1);
			g_array_set_size(search->open, search->open->len - 1);
			search->component[member] = search->components;
		} while (member != node);
	}
	g_array_set_size(search->way, search->way->len - 1);
	if (search->way->len == 0)
		return;
	before = g_array_index(search->way, uint32_t, search->way->len - 1);
	search->low[before] = MIN(search->low[before], search->low[node]);
}

static void search_from(struct search *search, uint32_t start)
{
	search_enter(search, start);
	while (search->way->len) {
		uint32_t node = g_array_index(search->way, uint32_t, search->way->len - 1);
		uint32_t supplier;

		if (search->next_edge[node] == search->first_edge[node + 1]) {
			search_leave(search, node);
			continue;
		}
		supplier = g_array_index(search->edges, uint32_t, search->next_edge[node]++);
		if (!search->order[supplier])
			search_enter(search, supplier);
		else if (!search->component[supplier])
			search->low[node] = MIN(search->low[node], search->order[supplier]);
	}
}

static void search_init(struct search *search, const struct devtree *tree)
{
	*search = (struct search){
		.tree = tree,
		.edges = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
		.first_edge = g_new(uint32_t, tree->node_count + 1),
		.next_edge = g_new0(uint32_t, tree->node_count),
		.order = g_new0(uint32_t, tree->node_count),
		.low = g_new0(uint32_t, tree->node_count),
		.component = g_new0(uint32_t, tree->node_count),
		.open = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
		.way = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
	};
	for (uint32_t i = 0; i < tree->node_count; i++) {
		search->first_edge[i] = search->edges->len;
		dt_suppliers(tree, &tree->nodes[i], search_add_edge, search->edges);
	}
	search->first_edge[tree->node_count] = search->edges->len;
}

static void search_finish(struct search *search)
{
	g_array_unref(search->edges);
	g_free(search->first_edge);
	g_free(search->next_edge);
	g_free(search->order);
	g_free(search->low);
	g_free(search->component);
	g_array_unref(search->open);
	g_array_unref(search->way);
}

const struct dt_node **dt_find_cycles(const struct devtree *tree)
{
	const struct dt_node **through = g_new0(const struct dt_node *, tree->node_count);
	struct search search;

	search_init(&search, tree);
	for (uint32_t i = 0; i < tree->node_count; i++)
		if (!search.order[i])
			search_from(&search, i);
	for (uint32_t i = 0; i < tree->node_count; i++)
		for (uint32_t j = search.first_edge[i]; j < search.first_edge[i + 1] && !through[i]; j++) {
			uint32_t supplier = g_array_index(search.edges, uint32_t, j);

			/* Inside a component of several every edge lies on a cycle; a component of one needs a loop. */
			if (search.component[supplier] == search.component[i])
				through[i] = &tree->nodes[supplier];
		}
	search_finish(&search);
	return through;
}
