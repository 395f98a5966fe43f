/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_IPMMU_H
#define IOMMU_HW_IPMMU_H

#include "iommu/iommu.h"

/** What tells one generation from another. */
struct ipmmu_soc {
	const char *name;
	unsigned contexts, micro_tlbs;
	uint32_t context_base, context_stride; /* offsets of registers */
	bool two_bit_sl0;		       /* IMTTBCR.SL0 has two bits, and there are no cache attributes */
	bool has_imbuscr;
};

/** Returns the generation of @iommu, an IPMMU. */
const struct ipmmu_soc *ipmmu_soc(const struct iommu *iommu);

#endif
