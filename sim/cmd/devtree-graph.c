/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/cycle.h"
#include "devtree/fdt/facts.h"
#include "devtree/fdt/users.h"
#include "sim/cmd/devtree.h"
#include "sim/report/facts.h"

struct graph {
	const struct devtree *tree;
	GString *text;
	struct facts *facts; /* the same for --json */
	bool *shown;	     /* one a node: at an end of an edge, or an IOMMU */
	GHashTable *drawn;   /* suppliers of the node at hand that have their edge */
	const struct dt_node *from;
};

/** Appends the node's path in quotes. */
static void append_quoted(GString *text, const struct dt_node *node)
{
	g_autofree char *path = dt_node_path(node);

	g_string_append_c(text, '"');
	for (const char *at = path; *at; at++) {
		if (*at == '"' || *at == '\\')
			g_string_append_c(text, '\\');
		g_string_append_c(text, *at);
	}
	g_string_append_c(text, '"');
}

static const char *node_role(const struct dt_node *node)
{
	if (dt_is_iommu(node))
		return "iommu";
	if (dt_is_pci_host(node))
		return "pci-host";
	if (dt_is_master(node) || dt_has(node, "iommu-map"))
		return "master";
	return "supplier";
}

static void add_node(struct graph *graph, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_is_iommu(node) ? dt_driver_of(node) : NULL;
	const char *role = node_role(node);
	g_autofree char *path = NULL;

	g_string_append(graph->text, "\t");
	append_quoted(graph->text, node);
	g_string_append_printf(graph->text, " [shape=%s%s", strcmp(role, "iommu") == 0 ? "box" : "ellipse",
			       node->available ? "" : ", style=dashed");
	if (driver)
		g_string_append_printf(graph->text, ", xlabel=\"%s\"", driver->name);
	g_string_append(graph->text, "];\n");

	path = dt_node_path(node);
	facts_begin(graph->facts, NULL, NULL);
	facts_text(graph->facts, "path", NULL, path);
	facts_text(graph->facts, "role", NULL, role);
	facts_bool(graph->facts, "available", NULL, node->available);
	if (driver)
		facts_text(graph->facts, "driver", NULL, driver->name);
	facts_end(graph->facts);
}

/** Draws one edge a supplier, however often it is named. */
static void add_edge(void *data, const struct dt_node *supplier)
{
	struct graph *graph = data;
	g_autofree char *from = NULL, *to = NULL;

	if (graph->text->len > DEVTREE_TEXT_MAX || !g_hash_table_add(graph->drawn, (void *)supplier))
		return;
	g_string_append(graph->text, "\t");
	append_quoted(graph->text, graph->from);
	g_string_append(graph->text, " -> ");
	append_quoted(graph->text, supplier);
	g_string_append(graph->text,
			graph->from->available && supplier->available ? ";\n" : " [style=dashed];\n");

	from = dt_node_path(graph->from);
	to = dt_node_path(supplier);
	facts_begin(graph->facts, NULL, NULL);
	facts_text(graph->facts, "from", NULL, from);
	facts_text(graph->facts, "to", NULL, to);
	facts_end(graph->facts);
}

static void mark_supplier(void *data, const struct dt_node *supplier)
{
	struct graph *graph = data;

	graph->shown[supplier->index] = graph->shown[graph->from->index] = true;
}

static void add_nodes(struct graph *graph)
{
	for (uint32_t i = 0; i < graph->tree->node_count; i++) {
		graph->from = &graph->tree->nodes[i];
		graph->shown[i] |= dt_is_iommu(graph->from);
		dt_suppliers(graph->tree, graph->from, mark_supplier, graph);
	}
	facts_list_begin(graph->facts, "nodes", NULL);
	for (uint32_t i = 0; i < graph->tree->node_count && graph->text->len <= DEVTREE_TEXT_MAX; i++)
		if (graph->shown[i])
			add_node(graph, &graph->tree->nodes[i]);
	facts_list_end(graph->facts);
}

static void add_edges(struct graph *graph)
{
	facts_list_begin(graph->facts, "edges", NULL);
	for (uint32_t i = 0; i < graph->tree->node_count; i++) {
		graph->from = &graph->tree->nodes[i];
		g_hash_table_remove_all(graph->drawn);
		dt_suppliers(graph->tree, graph->from, add_edge, graph);
	}
	facts_list_end(graph->facts);
}

static int graph_run(const struct devtree *tree, bool json)
{
	struct graph graph = {.tree = tree,
			      .text = g_string_new("digraph devtree {\n\trankdir=LR;\n"),
			      .facts = facts_new(),
			      .shown = g_new0(bool, tree->node_count),
			      .drawn = g_hash_table_new(NULL, NULL)};
	g_autofree char *document = NULL;
	int code;

	add_nodes(&graph);
	add_edges(&graph);
	g_string_append(graph.text, "}\n");
	document = json ? facts_to_json(graph.facts) : NULL;
	code = devtree_print(tree, json ? document : graph.text->str, graph.text->len, EXIT_DONE);
	facts_free(graph.facts);
	g_string_free(graph.text, TRUE);
	g_free(graph.shown);
	g_hash_table_unref(graph.drawn);
	return code;
}

int cmd_devtree_graph(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, graph_run);
}
