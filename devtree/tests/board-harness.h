/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_TESTS_BOARD_HARNESS_H
#define DEVTREE_TESTS_BOARD_HARNESS_H

/*
 * What tests of boards share: a tree by name, a board with some of its devices, faults for one driver.
 */
#include <string.h>

#include "devtree/platform/board.h"

static const struct fault_table *const harness_tables[] = {&devtree_fault_table, NULL};

/** Our own board called @name, as the build compiled it. */
static inline struct devtree *harness_tree(const char *name)
{
	g_autofree char *file = g_strconcat(name, ".dtb", NULL);
	g_autofree char *path = g_build_filename(g_getenv("BOARDS"), file, NULL);
	GError *error = NULL;
	struct devtree *tree = devtree_load(path, NULL, &error);

	g_assert_no_error(error);
	return tree;
}

/** Returns the node whose name begins with @prefix. */
static inline const struct dt_node *harness_node(const struct devtree *tree, const char *prefix)
{
	for (uint32_t i = 0; i < tree->node_count; i++)
		if (g_str_has_prefix(tree->nodes[i].name, prefix))
			return &tree->nodes[i];
	g_error("no node is called %s…", prefix);
}

static inline struct device *harness_device(const struct board *board, const char *prefix)
{
	return device_of_node(board->core, harness_node(board->tree, prefix));
}

/** Lets the @nth pass of @point on behalf of @driver fail, and with @persist all later ones. Free the rules after the board. */
static inline struct fault_rules *harness_fail(struct board *board, const char *driver, const char *point,
					       uint64_t nth, bool persist)
{
	struct fault_rules *rules = fault_rules_new(harness_tables);

	g_assert_true(fault_rules_add_nth_of(rules, point, driver, nth, 0, persist));
	fault_rules_arm(rules, board->sim);
	return rules;
}

static inline uint64_t harness_fired(const struct fault_rules *rules)
{
	const char *name;
	uint64_t passes, fired;

	g_assert_true(fault_rule_stat(rules, 0, &name, &passes, &fired));
	return fired;
}

/** Changes cell @i of a property; the tree is the caller's own. */
static inline void harness_set_cell(const struct dt_node *node, const char *name, uint32_t i, uint32_t value)
{
	const struct dt_property *property = dt_find_property(node, name);
	uint32_t cell = GUINT32_TO_BE(value);

	g_assert_cmpuint((i + 1) * 4, <=, property->len);
	memcpy((uint8_t *)property->value + (size_t)i * 4, &cell, sizeof(cell));
}

#endif
