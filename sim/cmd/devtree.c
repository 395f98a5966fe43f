/* SPDX-License-Identifier: MIT */
#include "sim/cmd/devtree.h"

#include <stdio.h>
#include <string.h>

#include "devtree/fdt/check.h"
#include "devtree/fdt/facts.h"
#include "sim/report/facts.h"

int devtree_print(const struct devtree *tree, const char *text, size_t len, int code)
{
	if (len > DEVTREE_TEXT_MAX)
		return cmd_fail("%s: what there is to say of it takes more than %u MiB", tree->name,
				DEVTREE_TEXT_MAX >> 20);
	return cmd_print(text) ? code : EXIT_UNUSABLE;
}

int devtree_command(const struct command *command, int argc, char **argv, devtree_fn run)
{
	struct cmd_common common;
	struct devtree *tree;
	GError *error = NULL;
	int code;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return common.exit_code;
	tree = devtree_load(common.args[0], NULL, &error);
	code = tree ? run(tree, common.json) : cmd_fail_error(error);
	devtree_free(tree);
	cmd_common_clear(&common);
	return code;
}

/* ---- facts ---- */

static int facts_run(const struct devtree *tree, bool json)
{
	g_autofree char *name = g_path_get_basename(tree->name);
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *document = NULL;

	if (!dt_facts(tree, name, text) || !json)
		return devtree_print(tree, text->str, text->len, EXIT_DONE);
	document = devtree_facts_to_json(text->str);
	return devtree_print(tree, document, strlen(document), EXIT_DONE);
}

int cmd_devtree_facts(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, facts_run);
}

/* ---- check ---- */

struct problems {
	GString *text;
	struct facts *facts; /* NULL: text only */
	uint64_t errors, warnings;
};

static bool problems_add(void *data, enum dt_kind kind, const struct dt_node *node, const char *sentence)
{
	static const char *const layers[] = {[DT_LAYER_NONE] = "none",
					     [DT_LAYER_BLOB] = "blob",
					     [DT_LAYER_TREE] = "tree",
					     [DT_LAYER_BINDING] = "binding",
					     [DT_LAYER_DRIVER] = "driver"};
	const struct dt_kind_info *info = &dt_kinds[kind];
	struct problems *problems = data;
	g_autofree char *path = dt_node_path(node);

	*(info->warning ? &problems->warnings : &problems->errors) += 1;
	g_string_append_printf(problems->text, "%s %s: %s%s\n", info->name, path, sentence,
			       info->warning ? " (a warning)" : "");
	if (problems->facts) {
		facts_begin(problems->facts, NULL, NULL);
		facts_text(problems->facts, "kind", NULL, info->name);
		facts_text(problems->facts, "layer", NULL, layers[info->layer]);
		facts_bool(problems->facts, "warning", NULL, info->warning);
		facts_text(problems->facts, "path", NULL, path);
		facts_text(problems->facts, "sentence", NULL, sentence);
		facts_end(problems->facts);
	}
	return problems->text->len <= DEVTREE_TEXT_MAX;
}

static int check_run(const struct devtree *tree, bool json)
{
	struct problems problems = {.text = g_string_new(NULL), .facts = json ? facts_new() : NULL};
	int code;

	if (json)
		facts_list_begin(problems.facts, "problems", NULL);
	dt_check(tree, problems_add, &problems);
	code = problems.errors ? EXIT_FOUND : EXIT_DONE;
	if (json && problems.text->len <= DEVTREE_TEXT_MAX) {
		g_autofree char *document = NULL;

		facts_list_end(problems.facts);
		facts_u64(problems.facts, "errors", NULL, problems.errors);
		facts_u64(problems.facts, "warnings", NULL, problems.warnings);
		document = facts_to_json(problems.facts);
		code = devtree_print(tree, document, 0, code);
	} else {
		code = devtree_print(tree, problems.text->str, problems.text->len, code);
	}
	if (!json && problems.text->len == 0)
		fprintf(stderr, "%s: nothing wrong\n", tree->name);
	facts_free(problems.facts);
	g_string_free(problems.text, TRUE);
	return code;
}

int cmd_devtree_check(const struct command *command, int argc, char **argv)
{
	return devtree_command(command, argc, argv, check_run);
}
