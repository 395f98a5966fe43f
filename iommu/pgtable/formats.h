/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_FORMATS_H
#define IOMMU_PGTABLE_FORMATS_H

/*
 * One line a format: what formats.c lists.
 */
#include "iommu/pgtable/pgtable.h"

extern const struct pgtable_ops vtdss_ops;

#endif
