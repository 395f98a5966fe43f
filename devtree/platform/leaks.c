/* SPDX-License-Identifier: MIT */
/*
 * What each IOMMU and each larb leaks when every available IOMMU is registered before the first master: the leak files of
 * golden/devtree. One run a kernel; nothing is computed but what the runs leave behind.
 */
#include "devtree/fdt/bindings.h"
#include "devtree/fdt/facts.h"
#include "devtree/fdt/parts.h"
#include "devtree/platform/board.h"

/** References on a node's device that lookups left, while the IOMMUs are bound and afterwards. */
struct leak_counts {
	int bound, removed;
};

struct leak_run {
	struct board *board;
	struct leak_counts *counts; /* by node */
};

static void leak_masters_come(struct board *board)
{
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		const struct dt_node *node = &board->tree->nodes[i];

		if (board_has_device(node) && board_node_role(node) == BOARD_MASTER)
			device_attach(board_make(board, node));
	}
	device_settle(board->core);
}

static void leak_count(struct leak_run *run, bool bound)
{
	const struct board *board = run->board;

	device_links_flush(board->core);
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		const struct device *dev = device_of_node(board->core, &board->tree->nodes[i]);

		if (dev)
			*(bound ? &run->counts[i].bound : &run->counts[i].removed) = dev->lookups;
	}
}

static void leak_masters_go(struct board *board)
{
	for (guint i = board->core->on_bus->len; i-- > 0;) {
		struct device *dev = g_ptr_array_index(board->core->on_bus, i);

		if (board_role(dev) == BOARD_MASTER)
			device_unregister(dev);
	}
}

static void leak_iommus_unbind(struct board *board)
{
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		struct device *dev = device_of_node(board->core, &board->tree->nodes[i]);

		if (dev && board_role(dev) == BOARD_IOMMU)
			device_release_driver(dev);
	}
}

static struct leak_run leak_run(const struct devtree *tree, enum board_profile profile)
{
	struct leak_run run = {board_new(tree, profile, 1), g_new0(struct leak_counts, tree->node_count)};

	board_iommus_up(run.board);
	leak_masters_come(run.board);
	leak_masters_go(run.board);
	leak_count(&run, true);
	leak_iommus_unbind(run.board);
	leak_count(&run, false);
	return run;
}

static void leak_add_iommu(GArray *iommus, const struct leak_run *runs, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_driver_of(node);
	const struct platform_iommu *platform = driver ? platform_iommu_find(driver->name) : NULL;
	struct board_leak_iommu leak = {
		.node = node,
		.driver = driver ? driver->name : "unknown",
		.old = runs[BOARD_OLD].counts[node->index].bound,
		.fixed = runs[BOARD_FIXED].counts[node->index].bound,
		.fwspec = runs[BOARD_FWSPEC].counts[node->index].bound,
		.fwspec_applies = platform && platform->ops->probe_device_fwspec,
	};

	g_array_append_val(iommus, leak);
}

static void leak_add_larbs(GArray *larbs, const struct leak_run *runs, const struct devtree *tree,
			   const struct dt_node *iommu)
{
	for (uint32_t i = 0; i < MIN(dt_larb_count(iommu), DT_LARBS_MAX); i++) {
		struct board_leak_larb leak = {.node = dt_larb(tree, iommu, i).node};

		if (!leak.node || !leak.node->available)
			continue;
		for (unsigned profile = BOARD_OLD; profile <= BOARD_FIXED; profile++) {
			leak.bound[profile] = runs[profile].counts[leak.node->index].bound;
			leak.removed[profile] = runs[profile].counts[leak.node->index].removed;
		}
		g_array_append_val(larbs, leak);
	}
}

bool board_leaks(const struct devtree *tree, struct board_leaks *ret_leaks, GError **error)
{
	struct leak_run runs[BOARD_FWSPEC + 1];

	if (!board_check(tree, error))
		return false;
	ret_leaks->iommus = g_array_new(FALSE, FALSE, sizeof(struct board_leak_iommu));
	ret_leaks->larbs = g_array_new(FALSE, FALSE, sizeof(struct board_leak_larb));
	for (unsigned profile = 0; profile < G_N_ELEMENTS(runs); profile++)
		runs[profile] = leak_run(tree, (enum board_profile)profile);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		if (!dt_is_iommu(&tree->nodes[i]))
			continue;
		leak_add_iommu(ret_leaks->iommus, runs, &tree->nodes[i]);
		leak_add_larbs(ret_leaks->larbs, runs, tree, &tree->nodes[i]);
	}
	for (unsigned profile = 0; profile < G_N_ELEMENTS(runs); profile++) {
		board_free(runs[profile].board);
		g_free(runs[profile].counts);
	}
	return true;
}

void board_leaks_clear(struct board_leaks *leaks)
{
	g_clear_pointer(&leaks->iommus, g_array_unref);
	g_clear_pointer(&leaks->larbs, g_array_unref);
}

static void leak_print_iommu(GString *out, const struct board_leak_iommu *leak)
{
	g_string_append(out, "iommu ");
	dt_append_path(out, leak->node);
	g_string_append_printf(out, " driver=%s old=%d fixed=%d op=", leak->driver, leak->old, leak->fixed);
	if (leak->fwspec_applies)
		g_string_append_printf(out, "%d\n", leak->fwspec);
	else
		g_string_append(out, "na\n");
}

static void leak_print_larb(GString *out, const struct board_leak_larb *leak)
{
	g_string_append(out, "larb ");
	dt_append_path(out, leak->node);
	g_string_append_printf(out, " bound: old=%d v1=%d fixed=%d removed: old=%d v1=%d fixed=%d\n",
			       leak->bound[BOARD_OLD], leak->bound[BOARD_V1], leak->bound[BOARD_FIXED],
			       leak->removed[BOARD_OLD], leak->removed[BOARD_V1], leak->removed[BOARD_FIXED]);
}

void board_leaks_print(GString *out, const struct board_leaks *leaks, const char *name)
{
	g_string_append_printf(out, "leak expectations v1\ndtb %s\n[iommus] %u\n", name, leaks->iommus->len);
	for (guint i = 0; i < leaks->iommus->len; i++)
		leak_print_iommu(out, &g_array_index(leaks->iommus, struct board_leak_iommu, i));
	g_string_append_printf(out, "[larbs] %u\n", leaks->larbs->len);
	for (guint i = 0; i < leaks->larbs->len; i++)
		leak_print_larb(out, &g_array_index(leaks->larbs, struct board_leak_larb, i));
	g_string_append(out, "[notes] 0\n");
}
