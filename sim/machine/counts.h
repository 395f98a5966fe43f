/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_COUNTS_H
#define SIM_MACHINE_COUNTS_H

/*
 * What a machine has counted so far, of all its controllers together: so that what a warm-up counted can be taken off.
 */
#include "iommu/dma/fq.h"
#include "sim/core/histogram.h"
#include "sim/machine/machine.h"

/** Sums alone: nothing but uint64_t. */
struct machine_counts {
	struct iova_stats iova;
	struct iotlb_stats tlb, device_tlb;
	struct iommu_stats iommu;
	struct fq_stats fq;
	uint64_t page_faults, pte_writes;
};

void machine_counts_take(const struct machine *first, struct machine_counts *ret_counts);

/** Takes @before off @counts. */
void machine_counts_subtract(struct machine_counts *counts, const struct machine_counts *before);

#endif
