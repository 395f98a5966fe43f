/* SPDX-License-Identifier: MIT */
/*
 * Qualcomm's IOMMU: the registers of a context in the driver's order, invalidation address by address, faults.
 */
#include <errno.h>

#include "iommu/hw/hw.h"
#include "iommu/tests/hw-trace.h"

#define PAGE	UINT64_C(0x1000)
#define MIB	UINT64_C(0x100000)
#define CONTEXT 2

static const struct iommu_hw_config usual = {0};

static void setup(struct hw_trace *trace, const void *config)
{
	hw_trace_init(trace, &msm_ops, config, CONTEXT);
}

static void setup_attached(struct hw_trace *trace, const void *config)
{
	setup(trace, config);
	g_string_truncate(trace->text, 0);
}

static void teardown(struct hw_trace *trace, const void *config)
{
	hw_trace_finish(trace);
}

#define RESET                                                                           \
	"2004=0 2000=0 2024=0 2010=0 2014=0 2018=0 204c=0 201c=0 2028=0 2800=0 2044=0 " \
	"2048=0 203c=0 "

static void test_attach_programs_the_context(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace,
			"2008=2 " RESET "2000=2 2000=6 2004=3000 2004=33000 2018=0 2010=80000002 2014=0 "
			"2034=800b8204 2038=40004000 2800=0 "
			"2004=33002 2004=37002 2004=37022 2004=37032 2004=37072 204c=1 2000=7 ");
}

static void test_detach_resets_it(struct hw_trace *trace, const void *config)
{
	struct iommu_domain *other;

	g_assert_cmpint(iommu_domain_new(trace->iommu, 0, &trace->domain->pt->config, &other), ==, 0);
	g_assert_cmpint(iommu_domain_attach(other), ==, 0);
	g_string_truncate(trace->text, 0);
	iommu_domain_free(other);
	hw_trace_expect(trace, "4=0 0=0 24=0 10=0 14=0 18=0 4c=0 1c=0 28=0 800=0 44=0 48=0 3c=0 800=0 ");
}

static void test_more_domains_than_contexts(struct hw_trace *trace, const void *config)
{
	struct iommu_domain *other;

	g_assert_cmpint(iommu_domain_new(trace->iommu, 3, &trace->domain->pt->config, &other), ==, 0);
	g_assert_cmpint(iommu_domain_attach(other), ==, -ENODEV);
	iommu_domain_free(other);
}

/* TLBIVA: the address in bits 31:12, the ASID in 7:0; each after a read of CONTEXTIDR. */
static void test_maps_and_unmaps_invalidate_each_page(struct hw_trace *trace, const void *config)
{
	uint64_t reads = trace->iommu->stats.mmio_reads;

	hw_trace_map(trace, 0x40001000, 0x50000000, 2 * PAGE);
	hw_trace_expect(trace, "2808=40001002 2808=40002002 ");
	iommu_unmap(trace->domain, 0x40001000, 2 * PAGE);
	hw_trace_expect(trace, "2808=40001002 2808=40002002 ");
	g_assert_cmpuint(trace->iommu->stats.mmio_reads - reads, ==, 4);
	g_assert_cmpuint(trace->iommu->stats.invalidate_waits, ==, 0);
	msm_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "2800=0 ");
}

/* A section is told by its own address when it goes, but by 256 when it comes. */
static void test_a_section_goes_at_once(struct hw_trace *trace, const void *config)
{
	uint64_t commands = trace->iommu->stats.invalidate_commands;

	hw_trace_map(trace, 8 * MIB, 0x50000000, MIB);
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands - commands, ==, 256);
	g_string_truncate(trace->text, 0);
	iommu_unmap(trace->domain, 8 * MIB, MIB);
	hw_trace_expect(trace, "2808=800002 ");
}

static void test_faults(struct hw_trace *trace, const void *config)
{
	const struct iommu_fault denied = {.iova = 0x12345678,
					   .reason = IOMMU_FAULT_PERMISSION,
					   .write = true,
					   .stream = 4,
					   .domain = CONTEXT};
	const struct iommu_fault hole = {
		.iova = 0x12345678, .reason = IOMMU_FAULT_TRANSLATION, .domain = CONTEXT};
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_true(iommu_report_fault(trace->iommu, &denied, out));
	g_assert_cmpstr(out->str, ==,
			"Unexpected IOMMU page fault!\n"
			"base = 00000000\n"
			"Fault occurred in context 2.\n"
			"Interesting registers:\n"
			"FAR    = 12345678    PAR    = 00000000\n"
			"FSR    = 40000008 [APF SS ]\n"
			"FSYNR0 = 00000004    FSYNR1 = 00000100\n"
			"TTBR0  = 80000002    TTBR1  = 00000000\n"
			"SCTLR  = 00000007    ACTLR  = 00037072\n");
	hw_trace_expect(trace, "2020=4000000f ");
	g_string_truncate(out, 0);
	g_assert_true(iommu_report_fault(trace->iommu, &hole, out));
	g_assert_nonnull(
		strstr(out->str, "\nFSR    = 40000002 [TF SS ]\nFSYNR0 = 00000000    FSYNR1 = 00000000\n"));
}

#define TEST(path, setup, function) \
	g_test_add("/iommu/hw-msm/" path, struct hw_trace, &usual, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("attach-programs-the-context", setup, test_attach_programs_the_context);
	TEST("detach-resets-it", setup, test_detach_resets_it);
	TEST("more-domains-than-contexts", setup_attached, test_more_domains_than_contexts);
	TEST("maps-and-unmaps-invalidate-each-page", setup_attached,
	     test_maps_and_unmaps_invalidate_each_page);
	TEST("a-section-goes-at-once", setup_attached, test_a_section_goes_at_once);
	TEST("faults", setup_attached, test_faults);
	return g_test_run();
}
