/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/ats.h"

#define ATS_PAGE_LG2 12

void ats_range(uint64_t address, uint64_t *ret_first, uint64_t *ret_last)
{
	unsigned lg2 = ATS_PAGE_LG2;

	if (address & ATS_SIZE)
		lg2 += 1 + (unsigned)__builtin_ctzll(~(address >> ATS_PAGE_LG2));
	*ret_last = address | (lg2 < 64 ? (UINT64_C(1) << lg2) - 1 : UINT64_MAX);
	*ret_first = lg2 < 64 ? *ret_last >> lg2 << lg2 : 0;
}

void ats_invalidate(struct iotlb *device, unsigned domain, uint64_t address)
{
	uint64_t first, last;

	ats_range(address, &first, &last);
	iotlb_invalidate(device, domain, first, last, false);
}
