/* SPDX-License-Identifier: MIT */
#include "devtree/platform/board.h"
#include "sim/cmd/cmd.h"

int cmd_devtree_leaks(const struct command *command, int argc, char **argv)
{
	struct cmd_common common;
	struct devtree *tree;
	GError *error = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *base = NULL;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return common.exit_code;
	tree = devtree_load(common.args[0], NULL, &error);
	if (!tree) {
		code = cmd_fail_error(error);
		goto out;
	}
	base = g_path_get_basename(common.args[0]);
	board_leaks(text, tree, base);
	if (!cmd_print(text->str))
		code = EXIT_UNUSABLE;
	devtree_free(tree);
out:
	cmd_common_clear(&common);
	return code;
}
