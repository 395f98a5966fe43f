/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_TESTS_HW_TRACE_H
#define IOMMU_TESTS_HW_TRACE_H

/*
 * What a driver does to its hardware, as text: "OFFSET=VALUE " for a register write, "OFFSET:VALUE " for one of 64 bits, "[QWORD
 * QWORD] " for a command of 16 bytes.
 */
#include <string.h>

#include "iommu/iommu.h"

static inline void hw_trace_write(void *data, uint32_t offset, uint32_t value)
{
	g_string_append_printf(data, "%x=%x ", offset, value);
}

static inline void hw_trace_write64(void *data, uint32_t offset, uint64_t value)
{
	g_string_append_printf(data, "%x:%" G_GINT64_MODIFIER "x ", offset, value);
}

static inline void hw_trace_command(void *data, const void *command, size_t len_bytes)
{
	uint64_t qwords[2];

	g_assert_cmpuint(len_bytes, ==, sizeof(qwords));
	memcpy(qwords, command, sizeof(qwords));
	g_string_append_printf(data, "[%" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x] ", qwords[0],
			       qwords[1]);
}

/** One IOMMU with one domain, and what was written since. */
struct hw_trace {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *text;
};

/** Makes one of @ops and @config, and a domain called @id, attached; its tables lie from 2 GiB on. */
static inline void hw_trace_init(struct hw_trace *trace, const struct iommu_hw_ops *ops,
				 const struct iommu_hw_config *config, unsigned id)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct pgtable_config table = {.ias_bits = 48,
					     .oas_bits = 48,
					     .top_level = 3,
					     .table_offset = (UINT64_C(1) << 31) - PHYSMEM_BASE};

	trace->sim = sim_new(1, 1);
	trace->text = g_string_new(NULL);
	trace->iommu = iommu_new_config(trace->sim, ops, config, &tlb);
	g_assert_nonnull(trace->iommu);
	trace->iommu->watch = (struct iommu_watch){.write = hw_trace_write,
						   .data = trace->text,
						   .command = hw_trace_command,
						   .write64 = hw_trace_write64};
	g_assert_cmpint(iommu_domain_new(trace->iommu, id, &table, &trace->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(trace->domain), ==, 0);
}

static inline void hw_trace_finish(struct hw_trace *trace)
{
	iommu_domain_free(trace->domain);
	g_assert_cmpuint(trace->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(trace->iommu);
	sim_free(trace->sim);
	g_string_free(trace->text, TRUE);
}

/** Compares what was written with @expected, and starts anew. */
#define hw_trace_expect(trace, expected)                           \
	do {                                                       \
		g_assert_cmpstr((trace)->text->str, ==, expected); \
		g_string_truncate((trace)->text, 0);               \
	} while (0)

static inline void hw_trace_map(struct hw_trace *trace, uint64_t iova, uint64_t paddr, uint64_t len)
{
	g_assert_cmpint(iommu_map_nosync(trace->domain, iova, paddr, len, PROT_READ | PROT_WRITE), ==, 0);
	g_assert_cmpint(iommu_sync_map(trace->domain, iova, len), ==, 0);
}

static inline struct iotlb_result hw_trace_touch(struct hw_trace *trace, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(trace->iommu->tlb, trace->domain->id, trace->domain->pt, iova, &result);
	return result;
}

#endif
