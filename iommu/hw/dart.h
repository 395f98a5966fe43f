/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_DART_H
#define IOMMU_HW_DART_H

#include "iommu/iommu.h"

/** Which DART it is. */
struct dart_facts {
	const char *soc;
	unsigned streams;  /* that it has */
	uint64_t attached; /* bitmap of those that it translates */
};

/** Returns the facts of @iommu, a DART; borrowed. */
const struct dart_facts *dart_facts(const struct iommu *iommu);

#endif
