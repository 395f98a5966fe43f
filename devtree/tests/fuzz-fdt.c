/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: any bytes as a device tree. Built with libFuzzer it is driven by that; otherwise its main() reads the files
 * and directories given, so that what was once found stays tested.
 */
#include <stdio.h>

#include "devtree/fdt/check.h"
#include "devtree/fdt/facts.h"
#include "devtree/fdt/users.h"
#include "sim/core/error.h"
#include "sim/tests/fuzz-main.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_problem(void *data, enum dt_kind kind, const struct dt_node *node, const char *sentence)
{
	g_assert_true(dt_kinds[kind].layer >= DT_LAYER_TREE);
	return ++*(unsigned *)data < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GString) facts = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	enum dt_kind kind = DT_FINE;
	struct devtree *tree = devtree_parse("fuzz", data, size, &kind, &error);
	unsigned problems = 0;

	g_assert_true((tree == NULL) == (error != NULL));
	if (!tree) {
		g_assert_true(error->domain == SIM_ERROR);
		g_assert_true(dt_kinds[kind].layer == DT_LAYER_BLOB);
		return 0;
	}
	dt_facts(tree, "fuzz", facts);
	dt_check(tree, count_problem, &problems);
	dt_users_free(dt_users_new(tree));
	devtree_free(tree);
	return 0;
}

#ifndef FUZZ_ENGINE
static bool replay_file(const char *path)
{
	g_autofree char *bytes = NULL;
	gsize len;

	if (!g_file_get_contents(path, &bytes, &len, NULL)) {
		fprintf(stderr, "%s: cannot be read\n", path);
		return false;
	}
	return LLVMFuzzerTestOneInput((const uint8_t *)bytes, len) == 0;
}

int main(int argc, char **argv)
{
	return fuzz_main(argc, argv, replay_file);
}
#endif
