/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_PARTS_H
#define DEVTREE_FDT_PARTS_H

/*
 * What some bindings say beyond `iommus`: MediaTek's larbs, Qualcomm's context banks, reserved IOVA regions.
 */
#include "devtree/fdt/refs.h"

#define DT_LARBS_MAX 32 /* MTK_LARB_NR_MAX: larbs of one IOMMU, ids are below it */

/** One entry of "mediatek,larbs". */
struct dt_larb {
	uint32_t index;			  /* in the list */
	uint32_t phandle;		  /* that the entry holds */
	const struct dt_node *node;	  /* NULL: no node has that phandle */
	uint32_t id;			  /* "mediatek,larb-id", else @index */
	bool id_default;		  /* @id is @index */
	const struct dt_node *smi;	  /* what "mediatek,smi" of the larb names; NULL: none */
	const struct dt_node *smi_common; /* the same of @smi, when it has one, else @smi */
};

/** Returns how many entries "mediatek,larbs" of @node has; not bounded by DT_LARBS_MAX. */
uint32_t dt_larb_count(const struct dt_node *node);
/** Entry @index, below that. */
struct dt_larb dt_larb(const struct devtree *tree, const struct dt_node *node, uint32_t index);

/** A child of a Qualcomm IOMMU: a context bank, whose number is its ASID. */
struct dt_context {
	bool has_asid; /* neither "qcom,ctx-asid" nor "reg": false, the driver cannot probe it */
	bool from_reg; /* reg / 0x1000, else "qcom,ctx-asid" */
	uint32_t asid;
};

/** What @child of a Qualcomm IOMMU says. */
struct dt_context dt_context(const struct dt_node *child);

/** Steps through "iommu-addresses" of a reserved-memory node: IOVA ranges that a device's driver may not hand out. */
struct dt_region_walk {
	const struct devtree *tree;
	const struct dt_property *property;
	uint32_t at; /* cell */
};

struct dt_region {
	const struct dt_node *device; /* whose address space it is in; NULL with an error */
	uint32_t phandle;
	enum dt_kind error;  /* DT_FINE, DT_DANGLING_PHANDLE, DT_BAD_CELL_COUNT: the walk ends here */
	uint64_t iova, size; /* bytes; as many cells as the parent of @device has for its children */
};

void dt_region_walk_init(struct dt_region_walk *walk, const struct devtree *tree, const struct dt_node *node);
bool dt_region_next(struct dt_region_walk *walk, struct dt_region *ret_region);

#endif
