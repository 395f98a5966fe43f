/* SPDX-License-Identifier: MIT */
#include "devtree/platform/board.h"
#include "sim/cmd/devtree.h"
#include "sim/report/facts.h"

static void leaks_path(struct facts *facts, const struct dt_node *node)
{
	g_autofree char *path = dt_node_path(node);

	facts_text(facts, "path", NULL, path);
}

static void leaks_iommu(struct facts *facts, const struct board_leak_iommu *leak)
{
	facts_begin(facts, NULL, NULL);
	leaks_path(facts, leak->node);
	facts_text(facts, "driver", NULL, leak->driver);
	facts_i64(facts, "old", NULL, leak->old);
	facts_i64(facts, "fixed", NULL, leak->fixed);
	facts_bool(facts, "fwspec_applies", NULL, leak->fwspec_applies);
	if (leak->fwspec_applies)
		facts_i64(facts, "fwspec", NULL, leak->fwspec);
	facts_end(facts);
}

static void leaks_larb(struct facts *facts, const struct board_leak_larb *leak)
{
	facts_begin(facts, NULL, NULL);
	leaks_path(facts, leak->node);
	for (unsigned removed = 0; removed < 2; removed++) {
		const int *counts = removed ? leak->removed : leak->bound;

		facts_begin(facts, removed ? "removed" : "bound", NULL);
		for (unsigned profile = BOARD_OLD; profile <= BOARD_FIXED; profile++)
			facts_i64(facts, board_profile_names[profile], NULL, counts[profile]);
		facts_end(facts);
	}
	facts_end(facts);
}

static char *leaks_json(const struct board_leaks *leaks)
{
	struct facts *facts = facts_new();
	char *text;

	facts_list_begin(facts, "iommus", NULL);
	for (guint i = 0; i < leaks->iommus->len; i++)
		leaks_iommu(facts, &g_array_index(leaks->iommus, struct board_leak_iommu, i));
	facts_list_end(facts);
	facts_list_begin(facts, "larbs", NULL);
	for (guint i = 0; i < leaks->larbs->len; i++)
		leaks_larb(facts, &g_array_index(leaks->larbs, struct board_leak_larb, i));
	facts_list_end(facts);
	text = facts_to_json(facts);
	facts_free(facts);
	return text;
}

static int leaks_run(const struct devtree *tree, bool json)
{
	g_autofree char *name = g_path_get_basename(tree->name);
	struct board_leaks leaks;
	GError *error = NULL;
	char *text;
	int code;

	if (!board_leaks(tree, &leaks, &error))
		return cmd_fail_error(error);
	if (json) {
		text = leaks_json(&leaks);
	} else {
		GString *out = g_string_new(NULL);

		board_leaks_print(out, &leaks, name);
		text = g_string_free(out, FALSE);
	}
	code = cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
	g_free(text);
	board_leaks_clear(&leaks);
	return code;
}

int cmd_devtree_leaks(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, leaks_run);
}
