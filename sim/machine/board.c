/* SPDX-License-Identifier: MIT */
#include "sim/machine/board.h"

#include <string.h>

#include "sim/core/error.h"

#define GIB		(UINT64_C(1) << 30)
#define REACH_32BIT	(4 * GIB)
#define MEMORY_MIN	(64u << 20)
#define MEMORY_USUAL	GIB /* where the tree leaves it to the boot loader, as most do */
#define MEMORY_USUAL_AT GIB
#define DART_MEMORY_AT	(32 * GIB) /* of every Apple board up to the M1 */

/* ---- memory ---- */

/** Returns the board's IOMMU for a try, in a simulation with memory just below 2^@bits; NULL: the model has none such. */
static struct iommu *board_try_iommu(const struct machine_board *board, unsigned bits)
{
	struct sim *sim = sim_new(1, 1);
	struct iommu *iommu;

	behaviour_set_version(sim, KERNEL_7_0);
	physmem_move(&sim->mem, (UINT64_C(1) << bits) - MEMORY_MIN);
	iommu = iommu_new_config(sim, board->hw, &board->hw_config, &board->hw->tlb);
	if (!iommu)
		sim_free(sim);
	return iommu;
}

static void board_end_try(struct iommu *iommu)
{
	struct sim *sim = iommu->sim;

	iommu_free(iommu);
	sim_free(sim);
}

/** Whether the IOMMU takes tables that lie just below 2^@bits, and maps what lies there. */
static bool board_reaches(const struct machine_board *board, unsigned bits)
{
	static const struct pgtable_config wish = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	struct iommu *iommu = board_try_iommu(board, bits);
	struct iommu_domain *domain = NULL;
	bool reaches;

	if (!iommu)
		return false;
	reaches = iommu_domain_new(iommu, 1, &wish, &domain) == 0 && domain->pt->config.oas_bits >= bits;
	iommu_domain_free(domain);
	board_end_try(iommu);
	return reaches;
}

/** Returns the end of the memory that the machine can use: below the usual place of a simulation's frames. */
static uint64_t board_reach(const struct machine_board *board)
{
	uint64_t reach = PHYSMEM_BASE;

	while (board->hw && reach > REACH_32BIT && !board_reaches(board, (unsigned)__builtin_ctzll(reach)))
		reach >>= 1;
	return reach;
}

/** Takes as much of [@base, @base + @bytes) as the machine uses and reaches. Returns whether that is enough. */
static bool board_take_memory(struct machine_board *board, uint64_t reach, uint64_t base, uint64_t bytes)
{
	uint64_t first = (base + PHYSMEM_ALIGN - 1) & -PHYSMEM_ALIGN, skipped = first - base;

	if (first < base || first >= reach)
		return false;
	bytes = bytes > skipped ? MIN(bytes - skipped, REACH_32BIT) : 0;
	bytes = MIN(bytes, (first < REACH_32BIT ? REACH_32BIT : reach) - first);
	bytes &= -(2 * PHYSMEM_ALIGN);
	if (bytes < MEMORY_MIN)
		return false;
	board->memory_base = first;
	board->memory_bytes = bytes;
	return true;
}

static bool board_is_memory(const struct dt_node *node)
{
	const struct dt_property *type = dt_find_property(node, "device_type");
	uint32_t at = 0;
	const char *text = type ? dt_next_string(type, &at) : NULL;

	return node->depth == 1 && node->available && text && strcmp(text, "memory") == 0;
}

static bool board_read_memory(struct machine_board *board, uint64_t reach, const struct dt_node *node)
{
	const struct dt_property *reg = dt_find_property(node, "reg");
	uint32_t address = node->parent->address_cells, size = node->parent->size_cells;

	if (address > 2 || size > 2 || size == 0)
		return false;
	for (uint32_t at = 0; at + address + size <= dt_cell_count(reg); at += address + size)
		if (board_take_memory(board, reach, dt_read_number(reg, at, address),
				      dt_read_number(reg, at + address, size)))
			return true;
	return false;
}

static void board_find_memory(struct machine_board *board)
{
	uint64_t reach = board_reach(board);

	for (uint32_t i = 0; i < board->tree->node_count; i++)
		if (board_is_memory(&board->tree->nodes[i]) && board_read_memory(board, reach, &board->tree->nodes[i]))
			return;
	board_take_memory(board, reach, board->hw == &dart_ops ? DART_MEMORY_AT : MEMORY_USUAL_AT, MEMORY_USUAL);
}

void machine_board_place(const struct machine_board *board, struct bio_vec *vec)
{
	uint64_t half = board->memory_bytes / 2, offset = vec->paddr % half;

	g_assert(vec->len + FRAME_SIZE <= half);
	/* What would run over the end lies before it, as far into its page as it was. */
	if (offset + vec->len > half)
		offset = ((half - vec->len - FRAME_SIZE) & -(uint64_t)FRAME_SIZE) + offset % FRAME_SIZE;
	vec->paddr = board->memory_base + half + offset;
}

/* ---- the controller ---- */

static const struct device *board_first_function(const struct device_core *core)
{
	for (guint i = 0; i < core->on_bus->len; i++) {
		const struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->bus == DEVICE_BUS_PCI)
			return dev;
	}
	return NULL;
}

/** The function behind the host bridge at @path, or the device that is there. */
static const struct device *board_named(const struct device_core *core, const char *path)
{
	const struct dt_node *node = dt_find_path(core->tree, path);

	for (guint i = 0; node && i < core->on_bus->len; i++) {
		const struct device *dev = g_ptr_array_index(core->on_bus, i);

		if (dev->bus == DEVICE_BUS_PCI ? dev->host == node
					       : dev->node == node && board_role(dev) == BOARD_MASTER)
			return dev;
	}
	return NULL;
}

static const struct device *board_find_nvme(const struct device_core *core, const char *nvme, GError **error)
{
	const char *name = core->tree->name;
	const struct device *dev;

	if (!nvme || strcmp(nvme, "first") == 0) {
		dev = board_first_function(core);
		if (!dev)
			sim_error_plain(error,
					"%s: no enabled PCI host bridge with iommu-map: name a device with iommus by "
					"--nvme=PATH (`iommusim devtree list` has them)",
					name);
		return dev;
	}
	dev = board_named(core, nvme);
	if (!dev)
		sim_error_plain(error,
				"--nvme=%s: is no enabled PCI host bridge with iommu-map or device with iommus on %s "
				"(`iommusim devtree list` has them)",
				nvme, name);
	return dev;
}

const struct iommu_device *machine_board_iommu(const struct device_core *core, const char *path,
					       const struct platform_iommu **ret_platform)
{
	const struct device *dev = device_by_path(core, path);
	const struct iommu_device *iommu = dev && dev->iommu ? dev->iommu->iommu : NULL;

	*ret_platform = iommu ? platform_iommu_find(iommu->dev->driver->name) : NULL;
	return *ret_platform ? iommu : NULL;
}

/** What the IOMMU knows @dev by: an id or, where the driver attaches a bitmap of streams, the first of these. */
static bool board_streams(struct machine_board *board, const struct platform_iommu *platform, const struct device *dev,
			  GError **error)
{
	if (!platform->streams) {
		board->stream = platform_id_count(dev) ? platform_id(dev, 0) : 0;
		return true;
	}
	if (!platform->streams(dev, &board->hw_config.streams))
		return sim_error_plain(error, "%s: %s has a stream above 63, which is not modelled", board->tree->name,
				       board->nvme) == 0;
	board->stream = (unsigned)__builtin_ctzll(board->hw_config.streams);
	return true;
}

/** A driver takes what the tree says; the hardware may have fewer streams. */
static bool board_iommu_exists(const struct machine_board *board, GError **error)
{
	struct iommu *iommu = board_try_iommu(board, 32);

	if (!iommu)
		return sim_error_plain(error, "%s: %s is stream %u of %s, which the model of that IOMMU does not have",
				       board->tree->name, board->nvme, board->stream, board->iommu) == 0;
	board_end_try(iommu);
	return true;
}

/** Brings the board up as the repaired kernel does, to see what becomes of the controller. */
static bool board_probe(struct machine_board *board, const char *nvme, GError **error)
{
	struct board *trial = board_new(board->tree, BOARD_FIXED, 1);
	const struct platform_iommu *platform;
	const struct iommu_device *iommu;
	const struct device *dev;
	bool ok;

	board_boot(trial, NULL);
	dev = board_find_nvme(trial->core, nvme, error);
	ok = dev != NULL;
	if (ok) {
		board->nvme = g_strdup(dev->path);
		iommu = machine_board_iommu(trial->core, dev->path, &platform);
		if (iommu) {
			board->hw = platform->hw;
			board->hw_config = platform_hw_config(platform, board->tree, iommu->node);
			board->iommu = dt_node_path(iommu->node);
			ok = board_streams(board, platform, dev, error) && board_iommu_exists(board, error);
		}
	}
	board_free(trial);
	return ok;
}

struct machine_board *machine_board_load(const char *path, const char *nvme, GError **error)
{
	struct machine_board *board = g_new0(struct machine_board, 1);

	board->tree = devtree_load(path, NULL, error);
	if (!board->tree || !board_check(board->tree, error) || !board_probe(board, nvme, error)) {
		machine_board_free(board);
		return NULL;
	}
	board_find_memory(board);
	return board;
}

void machine_board_free(struct machine_board *board)
{
	if (!board)
		return;
	devtree_free(board->tree);
	g_free(board->nvme);
	g_free(board->iommu);
	g_free(board);
}
