/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_TESTS_HW_HARNESS_H
#define IOMMU_TESTS_HW_HARNESS_H

/*
 * For tests of one driver: an IOMMU with a domain, what it writes into registers, and what its IOTLB still holds.
 */
#include <string.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"

#define HARNESS_DOMAIN 3

struct harness {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *written; /* " 0x34=0x3" for each register write since harness_written() */
	uint64_t page;	  /* size of the smallest page */
};

static inline void harness_hear_write(void *data, uint32_t offset, uint32_t value)
{
	g_string_append_printf(((struct harness *)data)->written, " 0x%x=0x%x", offset, value);
}

/** Makes all of it, the domain attached. */
static inline void harness_init(struct harness *harness, const struct iommu_hw_ops *ops,
				const struct iommu_hw_config *config, const struct pgtable_config *table)
{
	static const struct iotlb_config tlb = {.entries = 256, .ways = 4, .walk_entries = 16};

	*harness = (struct harness){.sim = sim_new(2, 1), .written = g_string_new(NULL)};
	harness->iommu = iommu_new_config(harness->sim, ops, config, &tlb);
	g_assert_nonnull(harness->iommu);
	harness->iommu->watch.write = harness_hear_write;
	harness->iommu->watch.data = harness;
	g_assert_cmpint(iommu_domain_new(harness->iommu, HARNESS_DOMAIN, table, &harness->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(harness->domain), ==, 0);
	harness->page = harness->domain->pt->page_sizes & -harness->domain->pt->page_sizes;
}

static inline void harness_finish(struct harness *harness)
{
	iommu_domain_free(harness->domain);
	g_assert_cmpuint(harness->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(harness->iommu);
	sim_free(harness->sim);
	g_string_free(harness->written, TRUE);
}

/** Returns what was written since the last call, and forgets it; free with g_free(). */
static inline char *harness_written(struct harness *harness)
{
	char *text = g_strdup(harness->written->str);

	g_string_truncate(harness->written, 0);
	return text;
}

/** Maps @len bytes, as dma-iommu does. */
static inline void harness_map(struct harness *harness, uint64_t iova, uint64_t paddr, uint64_t len)
{
	g_assert_cmpint(iommu_map_nosync(harness->domain, iova, paddr, len, PROT_READ | PROT_WRITE), ==, 0);
	g_assert_cmpint(iommu_sync_map(harness->domain, iova, len), ==, 0);
}

/** Lets the device access @iova. */
static inline struct iotlb_result harness_touch(struct harness *harness, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(harness->iommu->tlb, HARNESS_DOMAIN, harness->domain->pt, iova, &result);
	return result;
}

struct harness_range {
	struct harness *harness;
	uint64_t first, last;
};

static inline void harness_check_leaf(void *data, unsigned domain, uint64_t iova, uint64_t paddr,
				      uint64_t size, unsigned prot)
{
	const struct harness_range *range = data;

	g_assert_true(iova + size - 1 < range->first || iova > range->last);
	g_assert_cmphex(iommu_iova_to_phys(range->harness->domain, iova), ==, paddr);
}

/** Fails if the IOTLB holds anything of [@iova, @iova + @len), or anything that the table says otherwise. */
static inline void harness_check_iotlb(struct harness *harness, uint64_t iova, uint64_t len)
{
	struct harness_range range = {harness, iova, iova + len - 1};

	iotlb_dump(harness->iommu->tlb, harness_check_leaf, &range);
}

#define HARNESS_SLOTS 24

/** Maps, accesses and unmaps at random below @end; after each unmap the IOTLB must hold nothing of it, and no access may
 * ever find what the table does not say. */
static inline void harness_random_calls(struct harness *harness, uint64_t end, unsigned steps)
{
	uint64_t begin[HARNESS_SLOTS] = {0}, len[HARNESS_SLOTS] = {0}, slot_bytes = end / HARNESS_SLOTS;
	struct prng prng;

	prng_init(&prng, 7, "hw");
	slot_bytes -= slot_bytes % harness->page;
	for (unsigned step = 0; step < steps; step++) {
		unsigned slot = prng_below(&prng, HARNESS_SLOTS);

		if (len[slot] && prng_below(&prng, 4)) {
			uint64_t iova = begin[slot] + prng_next(&prng) % len[slot];
			struct iotlb_result result = harness_touch(harness, iova);

			g_assert_false(result.stale);
			g_assert_cmphex(result.paddr, ==, iommu_iova_to_phys(harness->domain, iova));
		} else if (len[slot]) {
			g_assert_cmphex(iommu_unmap(harness->domain, begin[slot], len[slot]), ==, len[slot]);
			harness_check_iotlb(harness, begin[slot], len[slot]);
			len[slot] = 0;
		} else {
			begin[slot] = slot * slot_bytes + prng_below(&prng, 64) * harness->page;
			len[slot] = (1 + prng_below(&prng, 6)) * harness->page;
			harness_map(harness, begin[slot], (1 + prng_below(&prng, 4096)) * harness->page,
				    len[slot]);
		}
	}
	for (unsigned slot = 0; slot < HARNESS_SLOTS; slot++)
		if (len[slot])
			iommu_unmap(harness->domain, begin[slot], len[slot]);
	harness_check_iotlb(harness, 0, end);
	g_assert_cmpuint(iotlb_stats(harness->iommu->tlb)->hits, >, 50);
}

/** Unmaps as the flush queue has it: nothing is told to the hardware. */
static inline void harness_unmap_lazily(struct harness *harness, uint64_t iova, uint64_t len)
{
	struct pgtable_gather gather = {0};

	pgtable_gather_init(&gather);
	gather.queued = true;
	g_assert_cmphex(iommu_unmap_fast(harness->domain, iova, len, &gather), ==, len);
	iommu_iotlb_sync(harness->domain, &gather);
	pgtable_gather_finish(&gather);
}

/** Makes the next wait, or the @nth from now, time out; undo with sweep_disarm(). */
static inline struct fault_rules *harness_arm_timeout(struct harness *harness, uint64_t nth)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};

	return sweep_arm(harness->sim, tables, "iommu.invalidate_timeout", nth);
}

/** Returns what the kernel warned of last, borrowed; NULL: nothing. */
static inline const char *harness_warning(const struct harness *harness)
{
	const GPtrArray *kept = harness->sim->findings.kept;
	const struct finding *last = kept->len ? g_ptr_array_index(kept, kept->len - 1) : NULL;

	return last ? last->text : NULL;
}

/** Lets the device be refused at @iova, because the table says so, and returns what the driver prints; free with
 * g_free(). */
static inline char *harness_fault(struct harness *harness, uint64_t iova, bool write, unsigned stream)
{
	const struct pgtable *pt = harness->domain->pt;
	struct iommu_fault fault = {.iova = iova, .write = write, .stream = stream, .domain = HARNESS_DOMAIN};
	g_autoptr(GString) out = g_string_new(NULL);
	struct pgtable_walk walk;

	if (pt->ops->walk(pt, iova, &walk)) {
		g_assert_cmpuint(walk.prot & (write ? PROT_WRITE : PROT_READ), ==, 0);
		fault.reason = IOMMU_FAULT_PERMISSION;
	}
	fault.level = walk.stop_level;
	g_assert_true(iommu_report_fault(harness->iommu, &fault, out));
	return g_strdup(out->str);
}

/** Fails unless the driver refuses @text, a recording, with @message. */
static inline void harness_damaged(const char *text, const char *message)
{
	g_autoptr(GString) out = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	g_assert_false(iommu_hw_golden_runner.emit("f", text, strlen(text), out, &error));
	g_assert_cmpstr(error->message, ==, message);
}

#endif
