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
	uint32_t *leaves;    /* one a node: IOMMUs that name it as renesas,ipmmu-main */
	GString *text;
	struct facts *facts; /* the same for --json */
};

/** For a person to read: a terminal gets no command out of a blob. Free with g_free(). */
static char *first_string(const struct dt_node *node, const char *name)
{
	const struct dt_property *property = dt_find_property(node, name);
	uint32_t at = 0;
	const char *text = property ? dt_next_string(property, &at) : NULL;
	g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
	GString *safe = g_string_new(NULL);

	for (const char *next = valid; *next; next = g_utf8_next_char(next)) {
		gunichar character = g_utf8_get_char(next);

		if (g_unichar_iscntrl(character))
			g_string_append_printf(safe, "\\x%02x", character);
		else
			g_string_append_unichar(safe, character);
	}
	return g_string_free(safe, FALSE);
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
	if (dt_is_iommu(node) && node->device == DT_DEVICE_NONE)
		return ", no device until its parent's driver makes it";
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

/** Appends "0x1", or "0x1-0x5" where @last is another. */
static void append_range(GString *text, uint32_t first, uint32_t last)
{
	g_string_append_printf(text, "0x%x", first);
	if (last != first)
		g_string_append_printf(text, "-0x%x", last);
}

static const struct dt_ids *user_ids(const struct dt_user *user, guint i)
{
	return i < user->ids->len ? &g_array_index(user->ids, struct dt_ids, i) : NULL;
}

/** Appends the cells of the entries from @i on, runs of single ones as ranges. Returns where iommu-map's begin. */
static guint append_references(GString *text, const struct dt_user *user, guint i)
{
	const struct dt_ids *ids;
	bool any = false;

	for (; (ids = user_ids(user, i)) && !ids->mapped && text->len <= DEVTREE_TEXT_MAX; i++) {
		uint32_t first = ids->args[0];

		if (ids->arg_count == 0)
			continue;
		g_string_append(text, any ? " " : "  id ");
		any = true;
		for (uint32_t j = 0; j < ids->arg_count && ids->arg_count > 1; j++)
			g_string_append_printf(text, "%s0x%x", j ? "," : "", ids->args[j]);
		if (ids->arg_count > 1)
			continue;
		for (const struct dt_ids *next; (next = user_ids(user, i + 1)) && !next->mapped &&
						next->arg_count == 1 && next->args[0] - 1 == ids->args[0];
		     i++)
			ids = next;
		append_range(text, first, ids->args[0]);
	}
	return i;
}

/** Appends what iommu-map makes of requester ids. */
static void append_map(GString *text, const struct dt_user *user, guint i)
{
	uint32_t mask = UINT32_MAX;
	const struct dt_ids *ids;

	dt_read_u32(user->node, "iommu-map-mask", &mask);
	for (; (ids = user_ids(user, i)) && text->len <= DEVTREE_TEXT_MAX; i++) {
		if (mask == 0 && ids->rid == 0 && ids->length) {
			g_string_append_printf(text, "  every rid as id 0x%x", ids->id);
			continue;
		}
		g_string_append(text, mask == UINT32_MAX ? "  rid " : "  rid & ");
		if (mask != UINT32_MAX)
			g_string_append_printf(text, "0x%x = ", mask);
		append_range(text, ids->rid, ids->rid + MAX(ids->length, 1) - 1);
		g_string_append(text, " as id ");
		append_range(text, ids->id, ids->id + MAX(ids->length, 1) - 1);
	}
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
	g_autofree char *path = dt_node_path(user->node);
	uint32_t instances = list->instances[user->node->index], mask;
	g_autoptr(GString) ids = g_string_new(NULL);

	append_map(ids, user, append_references(ids, user, 0));
	g_string_append_printf(list->text, "    %-*s%s", ids->len ? columns : 0, path, ids->str);
	if (instances > 1)
		g_string_append_printf(list->text, ", one of its %u IOMMUs", instances);
	g_string_append_printf(list->text, "%s\n", node_state(user->node));

	facts_begin(list->facts, NULL, NULL);
	add_node_facts(list, user->node, path);
	if (dt_read_u32(user->node, "iommu-map-mask", &mask))
		facts_u64(list->facts, "rid_mask", NULL, mask);
	facts_list_begin(list->facts, "ids", NULL);
	add_ids_facts(list, user);
	facts_list_end(list->facts);
	facts_end(list->facts);
}

/** Adds those behind an IOMMU; NULL: nobody. */
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

/** Appends the line of an IOMMU, @indent first. */
static void append_iommu(struct list *list, const char *indent, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_driver_of(node);
	g_autofree char *path = dt_node_path(node), *compatible = first_string(node, "compatible");

	g_string_append_printf(list->text, "%s%s  ", indent, path);
	if (driver)
		g_string_append(list->text, driver->name);
	else
		g_string_append_printf(list->text, "%s (no modelled driver)", compatible);
	if (list->leaves[node->index])
		g_string_append_printf(list->text, ", main of %u others", list->leaves[node->index]);
	g_string_append_printf(list->text, "%s\n", node_state(node));
	add_node_facts(list, node, path);
	if (driver)
		facts_text(list->facts, "driver", NULL, driver->name);
	facts_text(list->facts, "compatible", NULL, compatible);
}

/** Adds the IOMMUs, first those that somebody is behind. */
static void add_iommus(struct list *list)
{
	bool heading = false;

	facts_list_begin(list->facts, "iommus", NULL);
	for (uint32_t i = 0; i < list->tree->node_count && list->text->len <= DEVTREE_TEXT_MAX; i++) {
		if (!list->users->of[i])
			continue;
		g_string_append_c(list->text, '\n');
		facts_begin(list->facts, NULL, NULL);
		append_iommu(list, "", &list->tree->nodes[i]);
		add_users(list, list->users->of[i]);
		facts_end(list->facts);
	}
	for (uint32_t i = 0; i < list->tree->node_count && list->text->len <= DEVTREE_TEXT_MAX; i++) {
		if (list->users->of[i] || !dt_is_iommu(&list->tree->nodes[i]))
			continue;
		g_string_append(list->text, heading ? "" : "\nIOMMUs without masters\n");
		heading = true;
		facts_begin(list->facts, NULL, NULL);
		append_iommu(list, "    ", &list->tree->nodes[i]);
		add_users(list, NULL);
		facts_end(list->facts);
	}
	facts_list_end(list->facts);
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
			g_string_append(list->text, "\nbehind no IOMMU\n");
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

static void count_relations(struct list *list)
{
	list->instances = g_new0(uint32_t, list->tree->node_count);
	list->leaves = g_new0(uint32_t, list->tree->node_count);
	for (uint32_t i = 0; i < list->tree->node_count; i++)
		for (guint j = 0; list->users->of[i] && j < list->users->of[i]->len; j++)
			list->instances[((struct dt_user *)list->users->of[i]->pdata[j])->node->index]++;
	for (uint32_t i = 0; i < list->tree->node_count; i++) {
		const struct dt_node *main =
			dt_parse_phandle(list->tree, &list->tree->nodes[i], "renesas,ipmmu-main", 0);

		if (main)
			list->leaves[main->index]++;
	}
}

static int list_run(const struct devtree *tree, bool json)
{
	struct list list = {.tree = tree, .users = dt_users_new(tree), .text = g_string_new(NULL)};
	g_autofree char *document = NULL;
	uint64_t problems = 0;
	int code;

	list.facts = facts_new();
	count_relations(&list);
	add_summary(&list);
	add_iommus(&list);
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
	g_free(list.leaves);
	dt_users_free(list.users);
	return code;
}

int cmd_devtree_list(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, list_run);
}
