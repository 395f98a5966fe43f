/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_QCOM_H
#define IOMMU_HW_QCOM_H

/** Number of the context bank that the model has, which the driver uses as its ASID. */
#define QCOM_ASID 1u

#endif
