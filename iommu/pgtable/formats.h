/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_FORMATS_H
#define IOMMU_PGTABLE_FORMATS_H

/*
 * One line a format: what formats.c lists.
 */
#include "iommu/pgtable/pgtable.h"

extern const struct pgtable_ops amdv1_ops;
extern const struct pgtable_ops apple_dart2_ops;
extern const struct pgtable_ops apple_dart_ops;
extern const struct pgtable_ops arm_32_lpae_s1_ops;
extern const struct pgtable_ops arm_32_lpae_s2_ops;
extern const struct pgtable_ops arm_64_lpae_s1_ops;
extern const struct pgtable_ops arm_64_lpae_s2_ops;
extern const struct pgtable_ops arm_mali_lpae_ops;
extern const struct pgtable_ops arm_v7s_ops;
extern const struct pgtable_ops exynos_sysmmu_ops;
extern const struct pgtable_ops mtk_v1_ops;
extern const struct pgtable_ops omap_iommu_ops;
extern const struct pgtable_ops riscv64_ops;
extern const struct pgtable_ops sun50i_ops;
extern const struct pgtable_ops tegra_smmu_ops;
extern const struct pgtable_ops vtdss_ops;
extern const struct pgtable_ops x86_64_ops;

/** Memory attributes by index, of every LPAE table of stage 1; as the kernel computes them, in a signed int. */
#define LPAE_MAIR UINT64_C(0xfffffffff404ff44)

/** Takes the second-level tables of @pt, a table of sun50i_ops, out of the directory one by one and frees each: what the
 * driver does when the last device goes. */
void sun50i_free_second_level(struct pgtable *pt);
/** Empties an OMAP table: what the driver does when it detaches. Source: iopgtable_clear_entry_all() in
 * drivers/iommu/omap-iommu.c. */
void omap_clear_all(struct pgtable *pt);

#endif
