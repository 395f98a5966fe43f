/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_AMD_INV_H
#define IOMMU_IOTLB_AMD_INV_H

/*
 * The invalidation commands of the AMD IOMMU: which range INVALIDATE_IOMMU_PAGES covers, and the four words of each in
 * the command buffer. Sources: drivers/iommu/amd/iommu.c build_inv_address(), build_inv_iommu_pages(),
 * amd_iommu_domain_flush_pages(); AMD I/O Virtualization Technology (IOMMU) Specification, revision 3.10,
 * sections 2.4.1 to 2.4.3.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "sim/core/golden.h"

#define AMD_INV_WORDS 4
#define AMD_INV_ALL   UINT64_C(0x7fffffffffffffff) /* as a size: everything of the domain */

/** Makes the command that invalidates, in @domain_id's tables without a PASID, [@iova, @iova + @size) and the
 * walk caches: one page if that lies in one, else the smallest power of two that is naturally aligned and
 * covers it, or everything where the range crosses a multiple of 2^52. @size 0 stands for 2^64, as a length
 * that has wrapped does in the kernel. */
void amd_inv_pages(unsigned domain_id, uint64_t iova, uint64_t size, uint32_t ret_words[AMD_INV_WORDS]);

/** Finds which addresses, the last one included, an INVALIDATE_IOMMU_PAGES command covers. */
void amd_inv_covers(const uint32_t words[AMD_INV_WORDS], uint64_t *ret_first, uint64_t *ret_last);

/** Makes INVALIDATE_DEVTAB_ENTRY: what was remembered of the device table entry of @device goes. */
void amd_inv_devtab_entry(unsigned device, uint32_t ret_words[AMD_INV_WORDS]);

/** Makes COMPLETION_WAIT: once all commands before it are done, @value is stored at @address, of which the lowest three
 * bits are 0. */
void amd_completion_wait(uint64_t address, uint64_t value, uint32_t ret_words[AMD_INV_WORDS]);

/** Returns how much of the @size bytes at @iova, more than 0, is the largest naturally aligned power of two
 * that starts there. An IOMMU that caches what is not present (NpCache) is one that a hypervisor models: the
 * driver gives it such pieces, one command each, so that nothing else is invalidated. */
uint64_t amd_inv_piece(uint64_t iova, uint64_t size);

/** Reads the inputs (flush lines) in a recording of invalidation commands, of @len bytes, and appends the
 * whole file as the model has it. On error *@error names @name and the line. */
bool amd_inv_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error);

/** "invalidation": the above. */
extern const struct golden_runner amd_inv_golden_runner;

#endif
