/* SPDX-License-Identifier: MIT */
/*
 * AMD: commands, device table entry and event records bit for bit, against values put together from the fields that the
 * specification (48882, revision 3.10) gives in sections 2.2.2.1 (DTE), 2.4.1 to 2.4.3 (commands) and 2.5.3 (IO_PAGE_FAULT).
 */
#include "iommu/hw/amd.h"
#include "iommu/hw/hw.h"
#include "iommu/iotlb/amd-inv.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/hw-trace.h"

#define PAGE   UINT64_C(0x1000)
#define GIB    UINT64_C(0x40000000)
#define DOMAIN 0x25

static const struct iommu_hw_config usual = {0};

static void setup(struct hw_trace *trace, const void *config)
{
	hw_trace_init(trace, &amd_ops, config, DOMAIN);
}

static void setup_attached(struct hw_trace *trace, const void *config)
{
	setup(trace, config);
	g_string_truncate(trace->text, 0);
}

static void setup_np_cache(struct hw_trace *trace, const void *config)
{
	setup_attached(trace, config);
	trace->iommu->caching_mode = true;
}

static void teardown(struct hw_trace *trace, const void *config)
{
	hw_trace_finish(trace);
}

/* INVALIDATE_DEVTAB_ENTRY, opcode 2 in bits 63:60, DeviceID 15:0. COMPLETION_WAIT, opcode 1, s in bit 0, the address; then the
 * value to store. CmdTailPtr counts 16 bytes each. */
static void test_attach_flushes_the_device_table(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "[2000000000000000 0] 2008=10 [1000000000001001 1] 2008=20 ");
}

/* INVALIDATE_IOMMU_PAGES, opcode 3, DomainID in 47:32; then S 0, PDE 1, and the address, whose lowest clear bit tells the
 * size: bit 13 the four pages from 4 on, in which 5, 6 and 7 lie. */
static void test_three_pages_are_one_command(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 5 * PAGE, 0x40000000, 3 * PAGE);
	hw_trace_expect(trace, "");
	iommu_unmap(trace->domain, 5 * PAGE, 3 * PAGE);
	hw_trace_expect(trace, "[3000002500000000 5003] 2008=30 [1000000000001001 2] 2008=40 ");
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands, ==, 1);
}

static void test_flush_all_is_all_addresses(struct hw_trace *trace, const void *config)
{
	amd_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "[3000002500000000 7ffffffffffff003] 2008=30 [1000000000001001 2] 2008=40 ");
}

/* 5 alone, then 6 and 7; one wait for both, and after a map too. */
static void test_np_cache_goes_in_pieces(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 5 * PAGE, 0x40000000, 3 * PAGE);
	hw_trace_expect(trace, "[3000002500000000 5002] 2008=30 [3000002500000000 6003] 2008=40 "
			       "[1000000000001001 2] 2008=50 ");
	iommu_unmap(trace->domain, 5 * PAGE, 3 * PAGE);
	hw_trace_expect(trace, "[3000002500000000 5002] 2008=60 [3000002500000000 6003] 2008=70 "
			       "[1000000000001001 3] 2008=80 ");
}

static void test_the_buffer_is_a_ring(struct hw_trace *trace, const void *config)
{
	for (unsigned i = 2; i < 510; i += 2)
		amd_ops.flush_iotlb_all(trace->domain);
	g_assert_true(g_str_has_suffix(trace->text->str, "2008=1fe0 "));
	g_string_truncate(trace->text, 0);
	amd_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace,
			"[3000002500000000 7ffffffffffff003] 2008=1ff0 [1000000000001001 100] 2008=0 ");
}

/* A map beyond the three levels makes a fourth, and the device table tells of it. */
static void test_a_higher_root_is_told(struct hw_trace *trace, const void *config)
{
	uint64_t entry[AMD_DTE_QWORDS];

	amd_device_entry(trace->domain, entry);
	/* V 0, TV 1, Mode 3 in 11:9, root, IR 61, IW 62; DomainID in 15:0. */
	g_assert_cmphex(entry[0], ==, 0x6000000080000603);
	g_assert_cmphex(entry[1], ==, DOMAIN);
	g_assert_cmphex(entry[2] | entry[3], ==, 0);
	hw_trace_map(trace, 600 * GIB, 0x40000000, PAGE);
	hw_trace_expect(trace, "[2000000000000000 0] 2008=30 [1000000000001001 2] 2008=40 ");
	amd_device_entry(trace->domain, entry);
	g_assert_cmphex(entry[0] & 0xfff, ==, 0x803);
	g_assert_cmphex(entry[0] & UINT64_C(0x000ffffffffff000), !=, 0x80000000);
	g_assert_cmphex(hw_trace_touch(trace, 600 * GIB).paddr, ==, 0x40000000);
}

static void test_a_wait_that_never_ends(struct hw_trace *trace, const void *config)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(trace->sim, tables, "iommu.invalidate_timeout", 1);
	uint64_t from = trace->sim->cursor_ps;
	const struct finding *finding;

	hw_trace_map(trace, PAGE, 0x40000000, PAGE);
	hw_trace_touch(trace, PAGE);
	iommu_unmap(trace->domain, PAGE, PAGE);
	g_assert_true(sweep_disarm(trace->sim, rules));
	g_assert_true(hw_trace_touch(trace, PAGE).stale);
	g_assert_cmpuint(trace->sim->cursor_ps - from, >=, UINT64_C(100000000000));
	finding = g_ptr_array_index(trace->sim->findings.kept, 0);
	g_assert_cmpstr(finding->text, ==, "Completion-Wait loop timed out");
}

/* Flags: PR 4, RW 5, PE 6. The status is cleared, then the record is taken out by its head. */
static void test_events(struct hw_trace *trace, const void *config)
{
	static const struct {
		enum iommu_fault_reason reason;
		bool write;
		const char *flags;
	} cases[] = {
		{IOMMU_FAULT_TRANSLATION, false, "0x0000"},
		{IOMMU_FAULT_TRANSLATION, true, "0x0020"},
		{IOMMU_FAULT_PERMISSION, false, "0x0050"},
		{IOMMU_FAULT_PERMISSION, true, "0x0070"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct iommu_fault fault = {.iova = 0x12345678,
						  .reason = cases[i].reason,
						  .write = cases[i].write,
						  .stream = 0x1a2,
						  .domain = DOMAIN};
		g_autofree char *expected =
			g_strdup_printf("AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:14.2 "
					"domain=0x0025 address=0x12345678 flags=%s]\n",
					cases[i].flags);
		g_autofree char *writes = g_strdup_printf("2020=3 2010=%x ", 16 * (i + 1));
		g_autoptr(GString) out = g_string_new(NULL);

		g_assert_true(iommu_report_fault(trace->iommu, &fault, out));
		g_assert_cmpstr(out->str, ==, expected);
		hw_trace_expect(trace, writes);
	}
}

static void test_covers_is_what_the_command_says(void)
{
	static const struct {
		uint64_t iova, size, first, last;
	} cases[] = {
		{0x5000, 0x1000, 0x5000, 0x5fff},
		{0x5000, 0x3000, 0x4000, 0x7fff},
		{0x5000, 0x4000, 0, 0xffff},
		{UINT64_C(1) << 51, UINT64_C(1) << 51, UINT64_C(1) << 51, (UINT64_C(1) << 52) - 1},
		{0, AMD_INV_ALL, 0, UINT64_MAX},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint32_t words[AMD_INV_WORDS];
		uint64_t first, last;

		amd_inv_pages(1, cases[i].iova, cases[i].size, words);
		amd_inv_covers(words, &first, &last);
		g_assert_cmphex(first, ==, cases[i].first);
		g_assert_cmphex(last, ==, cases[i].last);
	}
}

#define TEST(path, setup, function) \
	g_test_add("/iommu/hw-amd/" path, struct hw_trace, &usual, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("attach-flushes-the-device-table", setup, test_attach_flushes_the_device_table);
	TEST("three-pages-are-one-command", setup_attached, test_three_pages_are_one_command);
	TEST("flush-all-is-all-addresses", setup_attached, test_flush_all_is_all_addresses);
	TEST("np-cache-goes-in-pieces", setup_np_cache, test_np_cache_goes_in_pieces);
	TEST("the-buffer-is-a-ring", setup_attached, test_the_buffer_is_a_ring);
	TEST("a-higher-root-is-told", setup_attached, test_a_higher_root_is_told);
	TEST("a-wait-that-never-ends", setup_attached, test_a_wait_that_never_ends);
	TEST("events", setup_attached, test_events);
	g_test_add_func("/iommu/hw-amd/covers-is-what-the-command-says",
			test_covers_is_what_the_command_says);
	return g_test_run();
}
