/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_AMD_H
#define IOMMU_HW_AMD_H

#include "iommu/iommu.h"

#define AMD_DTE_QWORDS 4

/** Makes the device table entry of a device attached to @domain, of an AMD IOMMU. Source: AMD IOMMU specification, section
 * 2.2.2.1; drivers/iommu/amd/iommu.c set_dte_entry(). */
void amd_device_entry(const struct iommu_domain *domain, uint64_t ret_entry[AMD_DTE_QWORDS]);

#endif
