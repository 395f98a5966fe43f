/* SPDX-License-Identifier: MIT */
/*
 * Intel: what the driver makes of an invalidation time-out, and of fault records (VT-d specification 4.1, section 11.4).
 */
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/hw-trace.h"

#define PAGE UINT64_C(0x1000)

static const struct iommu_hw_config usual = {0};

static void setup(struct hw_trace *trace, const void *config)
{
	hw_trace_init(trace, &intel_ops, config, 1);
}

static void teardown(struct hw_trace *trace, const void *config)
{
	hw_trace_finish(trace);
}

/* It comes after all, a minute later, and only then the page is free. */
static void test_a_time_out_is_queued_again(struct hw_trace *trace, const void *config)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(trace->sim, tables, "iommu.invalidate_timeout", 1);
	uint64_t from = trace->sim->cursor_ps;

	hw_trace_map(trace, PAGE, 0x40000000, PAGE);
	hw_trace_touch(trace, PAGE);
	iommu_unmap(trace->domain, PAGE, PAGE);
	g_assert_true(sweep_disarm(trace->sim, rules));
	g_assert_false(hw_trace_touch(trace, PAGE).stale);
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands, ==, 2);
	g_assert_cmpuint(trace->iommu->stats.invalidate_waits, ==, 2);
	g_assert_cmpuint(trace->iommu->stats.invalidate_timeouts, ==, 1);
	g_assert_cmpuint(trace->sim->cursor_ps - from, >=, UINT64_C(60000000000000));
	g_assert_cmpuint(trace->sim->findings.kept->len, ==, 0);
}

/* FRCD: SID in 15:0 of the second quadword, reason in its bits 39:32, type 62 (read), F 63, which is written to clear it; FSTS:
 * PFO 0, PPF 1, PRO 7. */
static void test_faults(struct hw_trace *trace, const void *config)
{
	static const struct {
		enum iommu_fault_reason reason;
		bool write;
		const char *expected;
	} cases[] = {
		{IOMMU_FAULT_TRANSLATION, false,
		 "DMAR: [DMA Read NO_PASID] Request device [3b:02.1] fault addr 0x12345000 [fault reason "
		 "0x06] PTE Read "
		 "access is not set\n"},
		{IOMMU_FAULT_TRANSLATION, true,
		 "DMAR: [DMA Write NO_PASID] Request device [3b:02.1] fault addr 0x12345000 [fault reason "
		 "0x05] PTE "
		 "Write access is not set\n"},
		{IOMMU_FAULT_PERMISSION, true,
		 "DMAR: [DMA Write NO_PASID] Request device [3b:02.1] fault addr 0x12345000 [fault reason "
		 "0x05] PTE "
		 "Write access is not set\n"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct iommu_fault fault = {.iova = 0x12345678,
						  .reason = cases[i].reason,
						  .write = cases[i].write,
						  .stream = 0x3b11};
		g_autofree char *expected =
			g_strconcat("DMAR: DRHD: handling fault status reg 2\n", cases[i].expected, NULL);
		g_autoptr(GString) out = g_string_new(NULL);

		g_assert_true(iommu_report_fault(trace->iommu, &fault, out));
		g_assert_cmpstr(out->str, ==, expected);
		hw_trace_expect(trace, "40c=80000000 34=83 ");
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/iommu/hw-intel/a-time-out-is-queued-again", struct hw_trace, &usual, setup,
		   test_a_time_out_is_queued_again, teardown);
	g_test_add("/iommu/hw-intel/faults", struct hw_trace, &usual, setup, test_faults, teardown);
	return g_test_run();
}
