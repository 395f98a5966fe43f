/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_ARM_SMMU_H
#define IOMMU_HW_ARM_SMMU_H

#include "iommu/iommu.h"

/** iommu_hw_config.features of arm-smmu. */
enum arm_smmu_feature {
	ARM_SMMU_LPAE_32 = 1 << 0, /* tables of VMSAv7 long descriptors; version 1 has no other */
	ARM_SMMU_SHORT = 1 << 1,   /* of short descriptors, of stage 1 */
};

#endif
