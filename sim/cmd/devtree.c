/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "devtree/fdt/facts.h"
#include "sim/cmd/cmd.h"

/* ---- facts ---- */

int cmd_devtree_facts(const struct command *command, int argc, char **argv)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct cmd_common common;
	struct devtree *tree;
	GError *error = NULL;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return common.exit_code;
	tree = devtree_load(common.args[0], NULL, &error);
	if (!tree) {
		code = cmd_fail_error(error);
	} else {
		g_autofree char *name = g_path_get_basename(common.args[0]);
		dt_facts(tree, name, text);
		if (!cmd_print(text->str))
			code = EXIT_UNUSABLE;
	}
	devtree_free(tree);
	cmd_common_clear(&common);
	return code;
}
