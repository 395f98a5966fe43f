/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_SMMUV3_H
#define IOMMU_HW_SMMUV3_H

#include "iommu/iommu.h"

/** iommu_hw_config.features of arm-smmu-v3. */
enum smmuv3_feature {
	SMMUV3_NO_RANGES = 1 << 0, /* before SMMUv3.2: a TLBI command takes one address */
};

#define SMMUV3_ENTRY_QWORDS 8

/** Makes the context descriptor of @domain, of stage 1. Source: SMMUv3 specification (IHI 0070), section 5.4;
 * arm-smmu-v3.c arm_smmu_make_s1_cd(). */
void smmuv3_context_descriptor(const struct iommu_domain *domain, uint64_t ret_entry[SMMUV3_ENTRY_QWORDS]);

/** Makes the stream table entry of a device attached to @domain; with stage 1 the context descriptor lies at @context.
 * Source: the same, section 5.2; arm_smmu_make_cdtable_ste(), arm_smmu_make_s2_domain_ste(). */
void smmuv3_stream_entry(const struct iommu_domain *domain, uint64_t context,
			 uint64_t ret_entry[SMMUV3_ENTRY_QWORDS]);

#endif
