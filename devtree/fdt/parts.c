/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/parts.h"

/* ---- MediaTek ---- */

uint32_t dt_larb_count(const struct dt_node *node)
{
	return dt_cell_count(dt_find_property(node, "mediatek,larbs"));
}

struct dt_larb dt_larb(const struct devtree *tree, const struct dt_node *node, uint32_t index)
{
	struct dt_larb larb = {.index = index, .id = index, .id_default = true};

	larb.phandle = dt_cell(dt_find_property(node, "mediatek,larbs"), index);
	larb.node = dt_find_phandle(tree, larb.phandle);
	if (!larb.node)
		return larb;
	larb.id_default = !dt_read_u32(larb.node, "mediatek,larb-id", &larb.id);
	larb.smi = dt_parse_phandle(tree, larb.node, "mediatek,smi", 0);
	if (larb.smi)
		larb.smi_common = dt_parse_phandle(tree, larb.smi, "mediatek,smi", 0);
	if (!larb.smi_common)
		larb.smi_common = larb.smi;
	return larb;
}

/* ---- Qualcomm ---- */

struct dt_context dt_context(const struct dt_node *child)
{
	struct dt_context context = {0};
	uint32_t reg;

	if (dt_read_u32(child, "qcom,ctx-asid", &context.asid)) {
		context.has_asid = true;
	} else if (dt_read_u32(child, "reg", &reg)) {
		context.has_asid = context.from_reg = true;
		context.asid = reg / 0x1000;
	}
	return context;
}

/* ---- reserved IOVA ranges ---- */

void dt_region_walk_init(struct dt_region_walk *walk, const struct devtree *tree, const struct dt_node *node)
{
	*walk = (struct dt_region_walk){.tree = tree, .property = dt_find_property(node, "iommu-addresses")};
}

/** Reads address and size that follow the phandle of @region. */
static enum dt_kind region_read(struct dt_region_walk *walk, struct dt_region *region)
{
	uint32_t left = dt_cell_count(walk->property) - walk->at, address_cells, size_cells;

	if (!region->device)
		return DT_DANGLING_PHANDLE;
	if (!region->device->parent)
		return DT_BAD_CELL_COUNT; /* the root is on no bus */
	address_cells = region->device->parent->address_cells;
	size_cells = region->device->parent->size_cells;
	if (address_cells > left || size_cells > left - address_cells)
		return DT_BAD_CELL_COUNT;
	region->iova = dt_read_number(walk->property, walk->at, address_cells);
	region->size = dt_read_number(walk->property, walk->at + address_cells, size_cells);
	walk->at += address_cells + size_cells;
	return DT_FINE;
}

bool dt_region_next(struct dt_region_walk *walk, struct dt_region *ret_region)
{
	struct dt_region region = {0};

	if (walk->at >= dt_cell_count(walk->property))
		return false;
	region.phandle = dt_cell(walk->property, walk->at++);
	region.device = dt_find_phandle(walk->tree, region.phandle);
	region.error = region_read(walk, &region);
	if (region.error)
		walk->at = dt_cell_count(walk->property);
	*ret_region = region;
	return true;
}
