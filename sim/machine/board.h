/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_BOARD_H
#define SIM_MACHINE_BOARD_H

/*
 * A machine that is the board of a device tree: the NVMe controller is a function on it, and has the IOMMU that the
 * board's drivers gave that function, with its page-table format, its stream and its memory.
 */
#include "blockdma/request.h"
#include "devtree/platform/board.h"

/** What is known of the machine before it runs. */
struct machine_board {
	struct devtree *tree;
	char *nvme; /* path of the device that the controller is: "/soc/pcie@1000/0000:01:00.0" */
	const struct iommu_hw_ops *hw; /* NULL: nothing translates its accesses */
	struct iommu_hw_config hw_config;
	char *iommu;	 /* path of the IOMMU's node; NULL without one */
	unsigned stream; /* what the IOMMU knows the controller by */
	/* The first memory of the tree that the IOMMU reaches, at most 4 GiB of it and, where it begins there, below 4 GiB.
	 * Frames with bytes lie in its lower half, data in the upper. */
	uint64_t memory_base, memory_bytes;
};

/** Reads the board of @path. @nvme: the path of a host bridge, behind which the controller is a function, or of a device
 *  with `iommus`; "first" or NULL: the first host bridge with iommu-map. Returns NULL with *@error. Free with
 *  machine_board_free(), which takes NULL. */
struct machine_board *machine_board_load(const char *path, const char *nvme, GError **error);
void machine_board_free(struct machine_board *board);

/** Moves the memory of @vec into the board's: its address is taken modulo what there is. */
void machine_board_place(const struct machine_board *board, struct bio_vec *vec);

/** The IOMMU that the device at @path of @core is behind, and its row; NULL: none. */
const struct iommu_device *machine_board_iommu(const struct device_core *core, const char *path,
					       const struct platform_iommu **ret_platform);

#endif
