/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_GOLDEN_H
#define IOMMU_HW_GOLDEN_H

/*
 * Replays a recording of a whole IOMMU driver: its page table and its register writes. As iommu/pgtable/golden.h.
 */
#include "sim/core/golden.h"

extern const struct golden_runner iommu_hw_golden_runner;

#endif
