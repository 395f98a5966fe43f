/* SPDX-License-Identifier: MIT */
#include "sim/machine/counts.h"

static void counts_add(void *sum, const void *more, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)sum)[i] += ((const uint64_t *)more)[i];
}

/** Adds what is one controller's. */
static void counts_add_controller(struct machine_counts *counts, const struct machine *machine)
{
	if (machine->iovad)
		counts_add(&counts->iova, iova_stats(machine->iovad), sizeof(counts->iova));
	if (machine->device_tlb)
		counts_add(&counts->device_tlb, iotlb_stats(machine->device_tlb), sizeof(counts->device_tlb));
	if (machine->dev.fq)
		counts_add(&counts->fq, fq_stats(machine->dev.fq), sizeof(counts->fq));
	if (machine->domain)
		counts->pte_writes += machine->domain->pt->pte_writes;
	counts->page_faults += machine->ctrl.stats.faults;
}

void machine_counts_take(const struct machine *first, struct machine_counts *ret_counts)
{
	G_STATIC_ASSERT(sizeof(*ret_counts) % sizeof(uint64_t) == 0);
	*ret_counts = (struct machine_counts){0};
	if (first->iommu) {
		ret_counts->tlb = *iotlb_stats(first->iommu->tlb);
		ret_counts->iommu = first->iommu->stats;
	}
	for (const struct machine *machine = first; machine; machine = machine->next)
		counts_add_controller(ret_counts, machine);
}

void machine_counts_subtract(struct machine_counts *counts, const struct machine_counts *before)
{
	for (size_t i = 0; i < sizeof(*counts) / sizeof(uint64_t); i++)
		((uint64_t *)counts)[i] -= ((const uint64_t *)before)[i];
}
