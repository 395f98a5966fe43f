/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_PGTABLE_FAULT_H
#define IOMMU_PGTABLE_PGTABLE_FAULT_H

/*
 * The fault points of the IOMMU room: table memory here, the two calls into the core in iommu/map.c, the wait for
 * an invalidation in iommu/registers.c.
 */
#include "sim/fault/fault.h"

enum {
	FAULT_PGTABLE_PAGE = FAULT_ROOM_IOMMU,
	FAULT_IOMMU_MAP,
	FAULT_IOMMU_SYNC_MAP,
	FAULT_IOMMU_INVALIDATE_TIMEOUT,
};

extern const struct fault_table iommu_fault_table;

#endif
