/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/populate.h"

#include <string.h>

static const char *const buses[] = {"simple-bus", "simple-mfd", "isa", "arm,amba-bus", NULL};

/* Children of /reserved-memory that have a driver. */
static const char *const memory_devices[] = {"phram",	"qcom,rmtfs-mem", "qcom,cmd-db",      "qcom,smem",
					     "ramoops", "nvmem-rmem",	  "google,open-dice", NULL};

static bool is_one_of(const struct dt_node *node, const char *const *compatibles)
{
	for (; *compatibles; compatibles++)
		if (dt_is_compatible(node, *compatibles))
			return true;
	return false;
}

/** Makes the device of one node. Returns whether its children are to be looked at. */
static bool populate_node(struct dt_node *node)
{
	if (dt_node_dropped(node) || node->device != DT_DEVICE_NONE || !dt_has(node, "compatible") ||
	    dt_is_compatible(node, "operating-points-v2") || !node->status_okay)
		return false;
	if (dt_is_compatible(node, "arm,primecell")) {
		node->device = DT_DEVICE_AMBA;
		return false;
	}
	node->device = DT_DEVICE_PLATFORM;
	return is_one_of(node, buses);
}

/** Populates the children of @top, and theirs. Depth is bounded: nodes below DT_DEPTH_MAX become nothing. */
static void populate_children(struct dt_node *top)
{
	for (struct dt_node *node = top->child; node; node = node->sibling)
		if (populate_node(node))
			populate_children(node);
}

/** Populates the reserved-memory regions that a driver uses. */
static void populate_memory(struct dt_node *memory)
{
	for (struct dt_node *node = memory->child; node; node = node->sibling)
		if (is_one_of(node, memory_devices) && node->status_okay)
			node->device = DT_DEVICE_PLATFORM;
}

/** Populates the first available framebuffer that the boot loader left. */
static void populate_framebuffer(struct dt_node *chosen)
{
	for (struct dt_node *node = chosen->child; node; node = node->sibling)
		if (dt_is_compatible(node, "simple-framebuffer") && node->status_okay) {
			node->device = DT_DEVICE_PLATFORM;
			return;
		}
}

void dt_populate(struct devtree *tree)
{
	for (struct dt_node *node = tree->nodes[0].child; node; node = node->sibling) {
		if (strcmp(node->name, "reserved-memory") == 0)
			populate_memory(node);
		else if (strcmp(node->name, "firmware") == 0)
			populate_children(node);
		else if (strcmp(node->name, "chosen") == 0)
			populate_framebuffer(node);
	}
	populate_children(&tree->nodes[0]);
}

/* ---- names ---- */

#define ADDRESS_CELLS_MAX 4 /* OF_MAX_ADDR_CELLS */

/** An address on a bus: @value of its last two cells, @flags of the first of three. */
struct bus_address {
	uint32_t flags;
	uint64_t value;
};

static struct bus_address read_address(const struct dt_property *property, uint32_t first, uint32_t cells)
{
	struct bus_address address = {0, dt_read_number(property, first, cells)};

	if (cells == 3) {
		address.flags = dt_cell(property, first);
		address.value = dt_read_number(property, first + 1, 2);
	}
	return address;
}

/** Whether addresses can be translated on the bus that @bus is (OF_CHECK_COUNTS()). */
static bool counts_are_valid(const struct dt_node *bus)
{
	uint32_t cells = bus->address_cells;

	return cells > 0 && cells <= ADDRESS_CELLS_MAX && bus->size_cells > 0;
}

/** Translates @address, of @cells cells, from the bus that @bus is to its parent's. Returns false where no range has it. */
static bool translate_one(const struct dt_node *bus, uint32_t cells, struct bus_address *address)
{
	const struct dt_property *ranges = dt_find_property(bus, "ranges");
	uint32_t parent_cells = bus->parent->address_cells, size_cells = bus->size_cells;
	uint32_t step;

	if (!ranges || !counts_are_valid(bus->parent))
		return false;
	if (ranges->len == 0) {
		if (parent_cells != 3)
			address->flags = 0;
		return true;
	}
	if (size_cells > ADDRESS_CELLS_MAX)
		return false;
	step = cells + parent_cells + size_cells;
	for (uint32_t at = 0; dt_cell_count(ranges) - at >= step; at += step) {
		struct bus_address first = read_address(ranges, at, cells);
		uint64_t size = dt_read_number(ranges, at + cells + parent_cells, size_cells);
		uint64_t offset = address->value - first.value;

		if (address->flags != first.flags || address->value < first.value || offset >= size)
			continue;
		*address = read_address(ranges, at + cells, parent_cells);
		address->value += offset;
		return true;
	}
	return false;
}

bool dt_translate_reg(const struct dt_node *node, uint64_t *ret_address)
{
	const struct dt_property *reg = dt_find_property(node, "reg");
	struct bus_address address;
	uint32_t cells;

	if (!node->parent || !reg)
		return false;
	cells = node->parent->address_cells;
	if (!counts_are_valid(node->parent) || dt_cell_count(reg) < cells)
		return false;
	address = read_address(reg, 0, cells);
	for (const struct dt_node *bus = node->parent; bus->parent; bus = bus->parent) {
		if (!translate_one(bus, cells, &address))
			return false;
		cells = bus->parent->address_cells;
	}
	if (address.value == UINT64_MAX)
		return false; /* OF_BAD_ADDR */
	*ret_address = address.value;
	return true;
}

char *dt_device_name(const struct dt_node *node)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	GString *name = g_string_new(NULL);

	for (; node->parent; node = node->parent) {
		uint64_t address;

		if (dt_translate_reg(node, &address)) {
			g_string_append_printf(name, "%" G_GINT64_MODIFIER "x.", address);
			dt_append_text(name, node->name, strcspn(node->name, "@"));
			break;
		}
		g_ptr_array_add(names, (char *)node->name);
	}
	for (guint i = names->len; i > 0; i--) {
		if (name->len)
			g_string_append_c(name, ':');
		dt_append_text(name, names->pdata[i - 1], strlen(names->pdata[i - 1]));
	}
	return g_string_free(name, FALSE);
}
