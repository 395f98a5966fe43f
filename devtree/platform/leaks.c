/* SPDX-License-Identifier: MIT */
/*
 * What each IOMMU and each larb leaks when every available IOMMU is registered before the first master: the leak files of
 * golden/devtree. One run a kernel; nothing is computed but what the runs leave behind.
 */
#include "devtree/fdt/bindings.h"
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

/** Everything but the masters, IOMMUs last: nobody is deferred who need not be. */
static void leak_suppliers_come(struct board *board)
{
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		const struct dt_node *node = &board->tree->nodes[i];

		if (board_has_device(node) && board_node_role(node) != BOARD_MASTER)
			board_make(board, node);
	}
	for (unsigned iommus = 0; iommus < 2; iommus++) {
		for (guint i = 0; i < board->core->on_bus->len; i++) {
			struct device *dev = g_ptr_array_index(board->core->on_bus, i);

			if ((board_role(dev) == BOARD_IOMMU) == (iommus == 1))
				device_attach(dev);
		}
		device_settle(board->core);
	}
}

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

	leak_suppliers_come(run.board);
	leak_masters_come(run.board);
	leak_masters_go(run.board);
	leak_count(&run, true);
	leak_iommus_unbind(run.board);
	leak_count(&run, false);
	return run;
}

static void leak_iommu_line(GString *out, const struct leak_run *runs, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_driver_of(node);
	const struct platform_iommu *platform = driver ? platform_iommu_find(driver->name) : NULL;

	g_string_append(out, "iommu ");
	dt_append_path(out, node);
	g_string_append_printf(out, " driver=%s old=%d fixed=%d op=", driver ? driver->name : "unknown",
			       runs[BOARD_OLD].counts[node->index].bound,
			       runs[BOARD_FIXED].counts[node->index].bound);
	if (platform && platform->ops->probe_device_fwspec)
		g_string_append_printf(out, "%d\n", runs[BOARD_FWSPEC].counts[node->index].bound);
	else
		g_string_append(out, "na\n");
}

static unsigned leak_larb_lines(GString *out, const struct leak_run *runs, const struct devtree *tree,
				const struct dt_node *iommu)
{
	unsigned lines = 0;

	for (uint32_t i = 0; i < dt_larb_count(iommu); i++) {
		const struct dt_node *node = dt_larb(tree, iommu, i).node;

		if (!node || !node->available)
			continue;
		g_string_append(out, "larb ");
		dt_append_path(out, node);
		for (unsigned removed = 0; removed < 2; removed++) {
			g_string_append(out, removed ? " removed:" : " bound:");
			for (unsigned profile = BOARD_OLD; profile <= BOARD_FIXED; profile++) {
				const struct leak_counts *counts = &runs[profile].counts[node->index];

				g_string_append_printf(out, " %s=%d", board_profile_names[profile],
						       removed ? counts->removed : counts->bound);
			}
		}
		g_string_append_c(out, '\n');
		lines++;
	}
	return lines;
}

void board_leaks(GString *out, const struct devtree *tree, const char *name)
{
	g_autoptr(GString) iommus = g_string_new(NULL), larbs = g_string_new(NULL);
	struct leak_run runs[BOARD_FWSPEC + 1];
	unsigned iommu_count = 0, larb_count = 0;

	for (unsigned profile = 0; profile < G_N_ELEMENTS(runs); profile++)
		runs[profile] = leak_run(tree, (enum board_profile)profile);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		if (!dt_has(&tree->nodes[i], "#iommu-cells"))
			continue;
		leak_iommu_line(iommus, runs, &tree->nodes[i]);
		larb_count += leak_larb_lines(larbs, runs, tree, &tree->nodes[i]);
		iommu_count++;
	}
	g_string_append_printf(out, "leak expectations v1\ndtb %s\n[iommus] %u\n%s[larbs] %u\n%s[notes] 0\n",
			       name, iommu_count, iommus->str, larb_count, larbs->str);
	for (unsigned profile = 0; profile < G_N_ELEMENTS(runs); profile++) {
		board_free(runs[profile].board);
		g_free(runs[profile].counts);
	}
}
