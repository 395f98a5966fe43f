/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/pgtable-fault.h"

#include <errno.h>

static const struct fault_point points[] = {
	[FAULT_PGTABLE_PAGE - FAULT_ROOM_IOMMU] =
		{
			.name = "pgtable.page",
			.error = -ENOMEM,
			.sees = "no memory for a page-table page",
			.source = "iommu_alloc_pages_node_sz() in drivers/iommu/iommu-pages.c",
		},
	[FAULT_IOMMU_MAP - FAULT_ROOM_IOMMU] =
		{
			.name = "iommu.map",
			.error = -ENOMEM,
			.sees = "the map call fails before it writes an entry",
			.source = "iommu_map_nosync() in drivers/iommu/iommu.c",
		},
	[FAULT_IOMMU_SYNC_MAP - FAULT_ROOM_IOMMU] =
		{
			.name = "iommu.sync_map",
			.error = -ENOMEM,
			.sees = "the driver cannot make new entries visible to the hardware",
			.source = "iommu_sync_map() in drivers/iommu/iommu.c",
		},
	[FAULT_IOMMU_INVALIDATE_TIMEOUT - FAULT_ROOM_IOMMU] =
		{
			.name = "iommu.invalidate_timeout",
			.error = -ETIMEDOUT,
			.sees = "the hardware does not say that it has invalidated, until the driver gives up",
			.source = "each driver's wait: pagetable-facts section 6",
			/* The driver says so, and goes on; what is in the caches stays there. */
			.expected = 1u << FINDING_KERNEL_WARNING | 1u << FINDING_STALE | 1u << FINDING_PERMISSION |
				    1u << FINDING_HOLE | 1u << FINDING_STALE_REACHABLE,
		},
};

const struct fault_table iommu_fault_table = {
	.first = FAULT_ROOM_IOMMU,
	.count = G_N_ELEMENTS(points),
	.points = points,
};
