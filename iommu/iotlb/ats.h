/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_ATS_H
#define IOMMU_IOTLB_ATS_H

/*
 * Address Translation Services: what an IOMMU tells a device that has a translation cache of its own. Source: PCI
 * Express Base Specification 6.0, section 10.3 (ATS Invalidation); the address of VT-d's device-TLB invalidation and
 * of AMD's INVALIDATE_IOTLB_PAGES is the same.
 */
#include "iommu/iotlb/iotlb.h"

/** In @address: the range is larger than 4 KiB, and the lowest clear bit from 12 on is the highest one that differs
 * in it. */
#define ATS_SIZE UINT64_C(1)

/** Finds the range that an Invalidate Request with @address covers. */
void ats_range(uint64_t address, uint64_t *ret_first, uint64_t *ret_last);

/** The device with the cache @device obeys such a request. */
void ats_invalidate(struct iotlb *device, unsigned domain, uint64_t address);

#endif
