/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_VTD_INV_H
#define IOMMU_IOTLB_VTD_INV_H

/*
 * The invalidation commands of Intel VT-d: which range a page-selective invalidation covers, and its two
 * words in the queue. Sources: drivers/iommu/intel/cache.c calculate_psi_aligned_address();
 * drivers/iommu/intel/iommu.h qi_desc_iotlb(); VT-d specification 4.1, section 6.5.2.3.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "sim/core/golden.h"

/** The whole address space as a mask: what vtd_psi() answers where no smaller range covers. */
#define VTD_MASK_ALL 52

/** Finds the smallest 2^*@ret_mask naturally aligned 4 KiB pages, from *@ret_addr on, that cover [@start,
 * @end]. */
void vtd_psi(uint64_t start, uint64_t end, uint64_t *ret_addr, unsigned *ret_mask);

/** The largest mask that hardware reports to take (MAMV). */
#define VTD_MAMV 18

/** Makes the IOTLB invalidation of @domain_id: of 2^@mask pages at @addr, @ih leaving paging-structure caches
 * alone, or of the whole domain where @mask is above VTD_MAMV. @dw_dr: drain writes and reads. */
void vtd_iotlb_desc(unsigned domain_id, uint64_t addr, unsigned mask, bool ih, bool dw_dr,
		    uint64_t ret_qw[2]);

/** Returns the second word of the device-TLB invalidation for 2^@mask pages at @addr, as vtd_psi() found them: what
 * the device is sent (ats.h). Source: drivers/iommu/intel/iommu.h qi_desc_dev_iotlb(); VT-d specification 4.1,
 * section 6.5.2.5. */
uint64_t vtd_dev_iotlb_addr(uint64_t addr, unsigned mask);

/** Reads the inputs (flush lines) in a recording of invalidation commands, of @len bytes, and appends the
 * whole file as the model has it. On error *@error names @name and the line. */
bool vtd_inv_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error);

/** "invalidation": the above. */
extern const struct golden_runner vtd_inv_golden_runner;

#endif
