/* SPDX-License-Identifier: MIT */
#include "devtree/platform/board.h"

#include <string.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/facts.h"
#include "sim/core/error.h"

const char *const board_profile_names[BOARD_PROFILES] = {
	[BOARD_OLD] = "old",
	[BOARD_V1] = "v1",
	[BOARD_FIXED] = "fixed",
	[BOARD_FWSPEC] = "fwspec",
	[BOARD_AS_POSTED] = "as-posted",
	[BOARD_HELPER] = "helper",
};

int board_profile_find(const char *name)
{
	for (unsigned i = 0; i < BOARD_PROFILES; i++)
		if (strcmp(board_profile_names[i], name) == 0)
			return (int)i;
	return -1;
}

void board_set_profile(struct sim *sim, enum board_profile profile)
{
	/* The helper does in one place what the series does in each driver. */
	static const uint8_t puts[BOARD_PROFILES] = {
		[BOARD_OLD] = XLATE_PUT_OLD,	     [BOARD_V1] = XLATE_PUT_V1,
		[BOARD_FIXED] = XLATE_PUT_FIXED,     [BOARD_FWSPEC] = XLATE_PUT_FIXED,
		[BOARD_AS_POSTED] = XLATE_PUT_FIXED, [BOARD_HELPER] = XLATE_PUT_OLD,
	};
	static const uint8_t larbs[BOARD_PROFILES] = {
		[BOARD_OLD] = LARB_REFS_OLD,	     [BOARD_V1] = LARB_REFS_V1,
		[BOARD_FIXED] = LARB_REFS_FIXED,     [BOARD_FWSPEC] = LARB_REFS_FIXED,
		[BOARD_AS_POSTED] = LARB_REFS_FIXED, [BOARD_HELPER] = LARB_REFS_FIXED,
	};
	static const uint8_t fwspec[BOARD_PROFILES] = {
		[BOARD_FWSPEC] = PROBE_FWSPEC_ON,
		[BOARD_AS_POSTED] = PROBE_FWSPEC_AS_POSTED,
		[BOARD_HELPER] = PROBE_FWSPEC_HELPER,
	};

	behaviour_set_version(sim, KERNEL_7_0);
	for (unsigned row = OF_XLATE_PUT_APPLE_DART; row <= OF_XLATE_PUT_TEGRA; row++)
		sim->behaviour[row] = puts[profile];
	sim->behaviour[MTK_LARB_REFS] = larbs[profile];
	sim->behaviour[MTK_V1_LARB_COUNT_CHECK] =
		profile == BOARD_OLD ? LARB_COUNT_CHECK_OFF : LARB_COUNT_CHECK_ON;
	sim->behaviour[PROBE_DEVICE_FWSPEC] = fwspec[profile];
}

bool board_check(const struct devtree *tree, GError **error)
{
	uint64_t iommus = 0, devices = 0, cells = 0;

	for (uint32_t i = 0; i < tree->node_count; i++) {
		const struct dt_node *node = &tree->nodes[i];
		uint32_t list = dt_cell_count(dt_find_property(node, "iommus"));

		iommus += dt_is_iommu(node);
		devices += board_has_device(node);
		cells += list;
		if (list > BOARD_LIST_CELLS_MAX) {
			g_autofree char *path = dt_node_path(node);

			sim_error_plain(error, "%s: iommus of %s has %u cells, at most %u can be simulated",
					tree->name, path, list, BOARD_LIST_CELLS_MAX);
			return false;
		}
	}
	if (iommus <= BOARD_IOMMUS_MAX && devices <= BOARD_DEVICES_MAX && cells <= BOARD_MASTER_CELLS_MAX)
		return true;
	sim_error_plain(error,
			"%s: too large to be simulated: at most %u IOMMUs, %u devices and %u cells in iommus",
			tree->name, BOARD_IOMMUS_MAX, BOARD_DEVICES_MAX, BOARD_MASTER_CELLS_MAX);
	return false;
}

struct board *board_new_in(struct sim *sim, const struct devtree *tree)
{
	struct board *board = g_new0(struct board, 1);

	board->sim = sim;
	board->tree = tree;
	board->core = device_core_new(sim, tree, platform_drivers);
	return board;
}

struct board *board_new(const struct devtree *tree, enum board_profile profile, uint64_t seed)
{
	struct sim *sim = sim_new(1, seed);
	struct board *board;

	board_set_profile(sim, profile);
	board = board_new_in(sim, tree);
	board->owns_sim = true;
	return board;
}

void board_free(struct board *board)
{
	if (!board)
		return;
	device_core_free(board->core);
	if (board->owns_sim)
		sim_free(board->sim);
	g_free(board);
}

/* ---- making devices ---- */

static bool board_is_supplier(const struct dt_node *node)
{
	const struct dt_property *compatible = dt_find_property(node, "compatible");
	const char *text;
	uint32_t at = 0;

	while (compatible && (text = dt_next_string(compatible, &at)))
		if (g_str_has_prefix(text, "mediatek,") && strstr(text, "-smi-"))
			return true;
	return false;
}

enum board_role board_node_role(const struct dt_node *node)
{
	if (dt_is_iommu(node) || dt_driver_of(node))
		return BOARD_IOMMU;
	if (dt_has(node, "iommus"))
		return BOARD_MASTER;
	return board_is_supplier(node) ? BOARD_SUPPLIER : BOARD_OTHER;
}

enum board_role board_role(const struct device *dev)
{
	if (dev->bus == DEVICE_BUS_PCI)
		return BOARD_MASTER;
	return dev->node ? board_node_role(dev->node) : BOARD_OTHER;
}

bool board_has_device(const struct dt_node *node)
{
	if (!node->available || dt_node_dropped(node))
		return false;
	return node->device != DT_DEVICE_NONE || board_node_role(node) != BOARD_OTHER;
}

struct device *board_make(struct board *board, const struct dt_node *node)
{
	struct device_identity identity = {.node = node};
	struct device *dev;

	for (const struct dt_node *up = node->parent; up && !identity.parent; up = up->parent)
		identity.parent = device_of_node(board->core, up);
	identity.bus = node->device == DT_DEVICE_AMBA ? DEVICE_BUS_AMBA : DEVICE_BUS_PLATFORM;
	dev = device_new(board->core, &identity);
	device_add(dev);
	return dev;
}

/** One function behind a host bridge: on the first bus behind its port, else on its own bus. */
static void board_make_function(struct board *board, const struct dt_node *host)
{
	static const uint32_t rids[] = {0x100, 0};
	g_autofree char *host_path = dt_node_path(host);
	g_autofree char *path = NULL, *name = NULL;
	const struct dt_node *target = NULL;
	uint32_t id, rid = rids[0];
	struct dt_map map;

	if (!dt_map_init(&map, board->tree, host))
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(rids) && !target; i++) {
		rid = rids[i];
		if (dt_map_translate(&map, rid, &target, &id) != DT_FINE)
			break;
	}
	name = g_strdup_printf("0000:%02x:00.0", rid >> 8);
	path = g_strdup_printf("%s/%s", host_path, name);
	device_add(
		device_new(board->core, &(struct device_identity){.path = path,
								  .name = name,
								  .parent = device_of_node(board->core, host),
								  .bus = DEVICE_BUS_PCI,
								  .host = host,
								  .rid = rid}));
}

/** Whether PCI functions are enumerated behind it. */
static bool board_is_host(const struct dt_node *node)
{
	const struct dt_property *type = dt_find_property(node, "device_type");
	uint32_t at = 0;
	const char *text = type ? dt_next_string(type, &at) : NULL;

	return text && strcmp(text, "pci") == 0 && dt_has(node, "iommu-map");
}

void board_populate(struct board *board)
{
	for (uint32_t i = 0; i < board->tree->node_count; i++)
		if (board_has_device(&board->tree->nodes[i]))
			board_make(board, &board->tree->nodes[i]);
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		const struct dt_node *node = &board->tree->nodes[i];

		if (node->available && !dt_node_dropped(node) && board_is_host(node))
			board_make_function(board, node);
	}
}

/* ---- probing ---- */

GPtrArray *board_order(const struct board *board)
{
	GPtrArray *order = g_ptr_array_new();

	for (guint i = 0; i < board->core->on_bus->len; i++) {
		struct device *dev = g_ptr_array_index(board->core->on_bus, i);

		if (board_role(dev) != BOARD_OTHER)
			g_ptr_array_add(order, dev);
	}
	return order;
}

void board_iommus_up(struct board *board)
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

void board_attach(struct board *board, GPtrArray *first)
{
	g_autoptr(GPtrArray) order = board_order(board);

	for (guint i = 0; first && i < first->len; i++)
		device_attach(g_ptr_array_index(first, i));
	for (guint i = 0; i < order->len; i++) {
		struct device *dev = g_ptr_array_index(order, i);

		if (!dev->attempts)
			device_attach(dev);
	}
	device_settle(board->core);
	device_deferral_timeout(board->core);
	device_links_flush(board->core);
}

void board_boot(struct board *board, GPtrArray *first)
{
	board_populate(board);
	board_attach(board, first);
}

unsigned board_rebind(struct board *board)
{
	g_autoptr(GPtrArray) order = board_order(board);
	unsigned count = 0;

	for (guint i = 0; i < order->len; i++) {
		struct device *dev = g_ptr_array_index(order, i);

		if (board_role(dev) != BOARD_IOMMU || !dev->bound || dev->driver->no_unbind)
			continue;
		device_release_driver(dev);
		device_links_flush(board->core);
		device_attach(dev);
		device_settle(board->core);
		count++;
	}
	device_links_flush(board->core);
	return count;
}

/* ---- taking down ---- */

static void board_unregister(struct board *board, bool (*which)(const struct device *dev))
{
	for (guint i = board->core->on_bus->len; i-- > 0;) {
		struct device *dev;

		if (i >= board->core->on_bus->len) /* a driver took its children along */
			continue;
		dev = g_ptr_array_index(board->core->on_bus, i);
		if (which(dev))
			device_unregister(dev);
	}
	device_links_flush(board->core);
}

static bool board_is_master(const struct device *dev)
{
	return board_role(dev) == BOARD_MASTER;
}

static bool board_is_iommu(const struct device *dev)
{
	return board_role(dev) == BOARD_IOMMU;
}

static bool board_is_any(const struct device *dev)
{
	return true;
}

/** A node's reference that its device still has, because that leaked: no leak of its own. */
static bool board_node_of_leaked(const struct board *board, const struct ledger_entry *entry)
{
	const struct device *dev;

	if (!g_str_has_prefix(entry->object, "node ") || strcmp(entry->object + 5, entry->holder) != 0)
		return false;
	dev = device_by_path(board->core, entry->holder);
	return dev && !dev->released;
}

static void board_report(void *data, const struct ledger_entry *entry)
{
	struct board *board = data;
	bool node = g_str_has_prefix(entry->object, "node ");

	if (board_node_of_leaked(board, entry))
		return;
	sim_find(board->sim, node ? FINDING_DRIVER_ODDITY : FINDING_REF_LEAK, entry->site,
		 "%s still holds %u reference%s on %s", entry->holder, entry->count,
		 entry->count == 1 ? "" : "s", entry->object);
}

void board_down(struct board *board)
{
	board_unregister(board, board_is_master);
	board_unregister(board, board_is_iommu);
	board_unregister(board, board_is_any);
	ledger_each(board->sim, board_report, board);
}
