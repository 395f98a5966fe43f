/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/check.h"
#include "devtree/fdt/facts.h"
#include "devtree/fdt/populate.h"
#include "devtree/fdt/users.h"
#include "sim/cmd/devtree.h"
#include "sim/report/facts.h"

#define PATH_COLUMNS_MAX 60

struct list {
	const struct devtree *tree;
	struct dt_users *users;
	uint32_t *instances; /* one a node: IOMMUs that it is behind */
	GString *text;
	struct facts *facts; /* the same for --json */
};

static char *first_string(const struct dt_node *node, const char *name)
{
	const struct dt_property *property = dt_find_property(node, name);
	uint32_t at = 0;
	const char *text = property ? dt_next_string(property, &at) : NULL;

	return g_utf8_make_valid(text ? text : "", -1);
}

/** What a person should know of whether the node is used: "", ", disabled", … */
static const char *node_state(const struct dt_node *node)
{
	if (!node->status_okay)
		return ", disabled";
	if (!node->available)
		return ", below a disabled node";
	if (dt_node_dropped(node))
		return ", too deep for Linux";
	return "";
}

static void add_node_facts(struct list *list, const struct dt_node *node, const char *path)
{
	g_autofree char *name = NULL;

	facts_text(list->facts, "path", NULL, path);
	facts_bool(list->facts, "available", NULL, node->available);
	if (node->device == DT_DEVICE_NONE)
		return;
	name = dt_device_name(node);
	facts_text(list->facts, "device", NULL, name);
}

/* ---- ids ---- */

static void append_ids(GString *text, const struct dt_ids *ids)
{
	if (ids->mapped) {
		g_string_append_printf(text, " 0x%x", ids->rid);
		if (ids->length != 1)
			g_string_append_printf(text, "+0x%x", ids->length);
		g_string_append_printf(text, "->0x%x", ids->id);
		return;
	}
	for (uint32_t i = 0; i < ids->arg_count; i++)
		g_string_append_printf(text, "%c0x%x", i ? ',' : ' ', ids->args[i]);
}

static void add_ids_facts(struct list *list, const struct dt_user *user)
{
	for (guint i = 0; i < user->ids->len; i++) {
		const struct dt_ids *ids = &g_array_index(user->ids, struct dt_ids, i);

		facts_begin(list->facts, NULL, NULL);
		if (ids->mapped) {
			facts_u64(list->facts, "rid", NULL, ids->rid);
			facts_u64(list->facts, "length", NULL, ids->length);
			facts_u64(list->facts, "id", NULL, ids->id);
		}
		for (uint32_t j = 0; j < ids->arg_count; j++) {
			g_autofree char *key = j ? g_strdup_printf("cell_%u", j) : g_strdup("id");

			facts_u64(list->facts, key, NULL, ids->args[j]);
		}
		facts_end(list->facts);
	}
}

/* ---- IOMMUs and who is behind them ---- */

static void add_user(struct list *list, const struct dt_user *user, int columns)
{
	const struct dt_ids *first = &g_array_index(user->ids, struct dt_ids, 0);
	g_autofree char *path = dt_node_path(user->node);
	uint32_t mask;

	g_string_append_printf(list->text, "    %-*s ", columns, path);
	if (first->mapped || first->arg_count)
		g_string_append(list->text, user->ids->len > 1 ? " ids" : " id");
	for (guint i = 0; i < user->ids->len && list->text->len <= DEVTREE_TEXT_MAX; i++)
		append_ids(list->text, &g_array_index(user->ids, struct dt_ids, i));
	if (first->mapped && dt_read_u32(user->node, "iommu-map-mask", &mask))
		g_string_append_printf(list->text, " of rid & 0x%x", mask);
	if (list->instances[user->node->index] > 1)
		g_string_append_printf(list->text, ", behind %u IOMMUs", list->instances[user->node->index]);
	g_string_append(list->text, node_state(user->node));
	while (g_str_has_suffix(list->text->str, " "))
		g_string_truncate(list->text, list->text->len - 1);
	g_string_append_c(list->text, '\n');

	facts_begin(list->facts, NULL, NULL);
	add_node_facts(list, user->node, path);
	if (first->mapped && dt_read_u32(user->node, "iommu-map-mask", &mask))
		facts_u64(list->facts, "rid_mask", NULL, mask);
	facts_list_begin(list->facts, "ids", NULL);
	add_ids_facts(list, user);
	facts_list_end(list->facts);
	facts_end(list->facts);
}

/** Adds those behind @node, at most one of them a PCI host. */
static void add_users(struct list *list, const GPtrArray *users)
{
	size_t columns = 0;

	facts_list_begin(list->facts, "masters", NULL);
	for (guint i = 0; users && i < users->len; i++) {
		g_autofree char *path = dt_node_path(((const struct dt_user *)users->pdata[i])->node);

		columns = MAX(columns, strlen(path));
	}
	for (guint i = 0; users && i < users->len && list->text->len <= DEVTREE_TEXT_MAX; i++)
		add_user(list, users->pdata[i], (int)MIN(columns, PATH_COLUMNS_MAX));
	facts_list_end(list->facts);
}

static void add_iommu(struct list *list, const struct dt_node *node)
{
	const GPtrArray *users = list->users->of[node->index];
	const struct dt_driver *driver = dt_driver_of(node);
	g_autofree char *path = dt_node_path(node), *compatible = NULL;

	if (!dt_is_iommu(node) && !users)
		return;
	compatible = first_string(node, "compatible");
	g_string_append_printf(list->text, "\n%s  %s%s%s\n", path,
			       driver ? driver->name : "no modelled driver: ", driver ? "" : compatible,
			       node_state(node));
	if (node->available && node->device == DT_DEVICE_NONE)
		g_string_append(list->text,
				"    (made a device not at boot, but by the driver of its parent)\n");
	if (!users)
		g_string_append(list->text, "    nobody\n");
	facts_begin(list->facts, NULL, NULL);
	add_node_facts(list, node, path);
	if (driver)
		facts_text(list->facts, "driver", NULL, driver->name);
	facts_text(list->facts, "compatible", NULL, compatible);
	add_users(list, users);
	facts_end(list->facts);
}

/* ---- the rest ---- */

/** PCI hosts and NVMe controllers that no IOMMU translates for. */
static void add_outside(struct list *list)
{
	bool heading = false;

	facts_list_begin(list->facts, "outside_any_iommu", NULL);
	for (uint32_t i = 0; i < list->tree->node_count && list->text->len <= DEVTREE_TEXT_MAX; i++) {
		const struct dt_node *node = &list->tree->nodes[i];
		const char *what = dt_is_pci_host(node) ? "PCI host" : dt_is_nvme(node) ? "NVMe" : NULL;
		g_autofree char *path = NULL;

		if (!what || list->instances[i])
			continue;
		if (!heading)
			g_string_append(list->text, "\nnot behind any IOMMU\n");
		heading = true;
		path = dt_node_path(node);
		g_string_append_printf(list->text, "    %s  %s%s\n", path, what, node_state(node));
		facts_begin(list->facts, NULL, NULL);
		add_node_facts(list, node, path);
		facts_text(list->facts, "what", NULL, what);
		facts_end(list->facts);
	}
	facts_list_end(list->facts);
}

static bool count_problem(void *data, enum dt_kind kind, const struct dt_node *node, const char *sentence)
{
	*(uint64_t *)data += !dt_kinds[kind].warning;
	return true;
}

static void append_count(GString *text, uint64_t count, const char *what, const char *after)
{
	g_string_append_printf(text, "%" G_GUINT64_FORMAT " %s%s%s", count, what, count == 1 ? "" : "s",
			       after);
}

/** Adds how many there are of what. */
static void add_summary(struct list *list)
{
	g_autofree char *model = first_string(&list->tree->nodes[0], "model");
	g_autofree char *board = first_string(&list->tree->nodes[0], "compatible");
	uint64_t iommus = 0, masters = 0, hosts = 0;

	for (uint32_t i = 0; i < list->tree->node_count; i++) {
		const struct dt_node *node = &list->tree->nodes[i];

		iommus += dt_is_iommu(node);
		masters += dt_is_master(node);
		hosts += dt_is_pci_host(node);
	}
	g_string_append_printf(list->text, "%s%s%s: ", model, *model && *board ? ", " : "", board);
	append_count(list->text, iommus, "IOMMU", ", ");
	append_count(list->text, masters, "master", ", ");
	append_count(list->text, hosts, "PCI host", "\n");
	facts_text(list->facts, "model", NULL, model);
	facts_text(list->facts, "board", NULL, board);
}

static void count_instances(struct list *list)
{
	for (uint32_t i = 0; i < list->tree->node_count; i++)
		for (guint j = 0; list->users->of[i] && j < list->users->of[i]->len; j++)
			list->instances[((struct dt_user *)list->users->of[i]->pdata[j])->node->index]++;
}

static int list_run(const struct devtree *tree, bool json)
{
	struct list list = {.tree = tree, .users = dt_users_new(tree), .text = g_string_new(NULL)};
	g_autofree char *document = NULL;
	uint64_t problems = 0;
	int code;

	list.instances = g_new0(uint32_t, tree->node_count);
	list.facts = facts_new();
	count_instances(&list);
	add_summary(&list);
	facts_list_begin(list.facts, "iommus", NULL);
	for (uint32_t i = 0; i < tree->node_count && list.text->len <= DEVTREE_TEXT_MAX; i++)
		add_iommu(&list, &tree->nodes[i]);
	facts_list_end(list.facts);
	add_outside(&list);
	dt_check(tree, count_problem, &problems);
	facts_u64(list.facts, "problems", NULL, problems);
	if (problems)
		g_string_append_printf(list.text,
				       "\n%" G_GUINT64_FORMAT " problem%s: see iommusim devtree check\n",
				       problems, problems == 1 ? "" : "s");
	document = json ? facts_to_json(list.facts) : NULL;
	code = devtree_print(tree, json ? document : list.text->str, list.text->len, EXIT_DONE);
	facts_free(list.facts);
	g_string_free(list.text, TRUE);
	g_free(list.instances);
	dt_users_free(list.users);
	return code;
}

int cmd_devtree_list(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, list_run);
}
