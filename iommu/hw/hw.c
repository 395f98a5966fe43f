/* SPDX-License-Identifier: MIT */
#include "iommu/hw/hw.h"

#include <string.h>

const struct iommu_hw_ops *const iommu_hw[] = {
	&intel_ops,
	NULL,
};

const struct iommu_hw_ops *iommu_hw_find(const char *name)
{
	for (unsigned i = 0; iommu_hw[i]; i++)
		if (strcmp(iommu_hw[i]->name, name) == 0)
			return iommu_hw[i];
	return NULL;
}
