/* SPDX-License-Identifier: MIT */
/*
 * Arm SMMUv3: commands, structures and events bit for bit, against values put together from the fields that the
 * specification (IHI 0070) gives in sections 4.3 (CFGI), 4.4 (TLBI), 4.7.3 (SYNC), 5.2 (STE), 5.4 (CD) and 7.3 (events); and
 * the commands read again as the hardware does.
 */
#include "iommu/hw/hw.h"
#include "iommu/hw/smmuv3.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/hw-trace.h"

#define PAGE  UINT64_C(0x1000)
#define LARGE UINT64_C(0x200000)
#define TAG   0x5 /* of the domain: ASID or VMID */

/* CMD_SYNC: CS = 2 in bits 13:12, MSH = 3 in 23:22, MSIAttr = 0xf in 27:24. */
#define SYNC "[fc02046 0] "

static const struct iommu_hw_config stage1 = {0}, stage2 = {.stage = 2},
				    no_ranges = {.features = SMMUV3_NO_RANGES};

static void setup(struct hw_trace *trace, const void *config)
{
	hw_trace_init(trace, &smmuv3_ops, config, TAG);
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

/* CMD_CFGI_CD 0x05 and CMD_CFGI_STE 0x03 with Leaf, each followed by a sync and twice; CMD_PREFETCH_CONFIG 0x01. The
 * producer's index counts commands. */
static void test_attach_tells_of_both_entries(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "[5 1] " SYNC "98=2 [5 1] " SYNC "98=4 "
			       "[3 1] " SYNC "98=6 [3 1] " SYNC "98=8 [1 0] 98=9 ");
}

static void test_attach_of_stage_2_tells_of_one(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "[3 1] " SYNC "98=2 [3 1] " SYNC "98=4 [1 0] 98=5 ");
}

/* CMD_TLBI_NH_VA: ASID in bits 63:48, SCALE 24:20, NUM 16:12; then TG = 1 in 11:10, TTL 9:8, Leaf 0. */
static void test_three_pages_are_one_range(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 5 * PAGE, 0x40000000, 3 * PAGE);
	hw_trace_expect(trace, "");
	iommu_unmap(trace->domain, 5 * PAGE, 3 * PAGE);
	hw_trace_expect(trace, "[5000000002012 5701] " SYNC "98=b ");
}

/* 33 = 1 + 1 * 2^5 pages. */
static void test_33_pages_are_two_ranges(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 0x100000, 0x40000000, 33 * PAGE);
	iommu_unmap(trace->domain, 0x100000, 33 * PAGE);
	hw_trace_expect(trace, "[5000000000012 100701] [5000000500012 101701] " SYNC "98=c ");
}

/* 512 = 1 * 2^9 pages, TTL = 2. */
static void test_a_block_says_its_level(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 4 * LARGE, 0x40000000, LARGE);
	iommu_unmap(trace->domain, 4 * LARGE, LARGE);
	hw_trace_expect(trace, "[5000000900012 800601] " SYNC "98=b ");
}

/* The table goes first: neither Leaf nor TTL. */
static void test_a_table_goes_with_its_walk_caches(struct hw_trace *trace, const void *config)
{
	for (uint64_t at = 0; at < LARGE; at += PAGE)
		hw_trace_map(trace, 4 * LARGE + at, 0x40000000 + 2 * at, PAGE);
	hw_trace_touch(trace, 4 * LARGE);
	iommu_unmap(trace->domain, 4 * LARGE, LARGE);
	hw_trace_expect(trace, "[5000000900012 800400] " SYNC "98=b [5000000900012 800601] " SYNC "98=d ");
	g_assert_false(hw_trace_touch(trace, 4 * LARGE).stale);
}

/* Pages first, then a block: of another granule, so that the pages go before. */
static void test_another_granule_is_another_sync(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 4 * LARGE - PAGE, 0x40000000 - PAGE, LARGE + PAGE);
	iommu_unmap(trace->domain, 4 * LARGE - PAGE, LARGE + PAGE);
	hw_trace_expect(trace, "[5000000000012 7ff701] " SYNC "98=b [5000000900012 800601] " SYNC "98=d ");
}

static void test_disjoint_pages_are_two_syncs(struct hw_trace *trace, const void *config)
{
	struct pgtable_gather gather = {0};

	hw_trace_map(trace, PAGE, 0x40000000, 4 * PAGE);
	pgtable_gather_init(&gather);
	iommu_unmap_fast(trace->domain, 2 * PAGE, PAGE, &gather);
	iommu_unmap_fast(trace->domain, PAGE, PAGE, &gather); /* side by side */
	hw_trace_expect(trace, "");
	iommu_unmap_fast(trace->domain, 4 * PAGE, PAGE, &gather);
	hw_trace_expect(trace, "[5000000100012 1701] " SYNC "98=b ");
	iommu_iotlb_sync(trace->domain, &gather);
	hw_trace_expect(trace, "[5000000000012 4701] " SYNC "98=d ");
	pgtable_gather_finish(&gather);
}

static void test_without_ranges_each_page_is_a_command(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 5 * PAGE, 0x40000000, 3 * PAGE);
	iommu_unmap(trace->domain, 5 * PAGE, 3 * PAGE);
	hw_trace_expect(trace,
			"[5000000000012 5001] [5000000000012 6001] [5000000000012 7001] " SYNC "98=d ");
	/* A block is one granule. */
	hw_trace_map(trace, 4 * LARGE, 0x40000000, LARGE);
	iommu_unmap(trace->domain, 4 * LARGE, LARGE);
	hw_trace_expect(trace, "[5000000000012 800001] " SYNC "98=f ");
}

/* 64 at once, without a sync; the rest with one. */
static void test_many_commands_go_in_batches(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 0x100000, 0x40000000, 100 * PAGE);
	iommu_unmap(trace->domain, 0x100000, 100 * PAGE);
	g_assert_nonnull(strstr(trace->text->str, " [5000000000012 13f001] 98=49 [5000000000012 140001] "));
	g_assert_true(g_str_has_suffix(trace->text->str, "[5000000000012 163001] " SYNC "98=6e "));
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands, ==, 100);
}

/* CMD_TLBI_S2_IPA 0x2a: VMID in bits 47:32. */
static void test_stage_2_by_intermediate_address(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 5 * PAGE, 0x40000000, 3 * PAGE);
	iommu_unmap(trace->domain, 5 * PAGE, 3 * PAGE);
	hw_trace_expect(trace, "[50000202a 5701] " SYNC "98=7 ");
	smmuv3_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "[500000028 0] " SYNC "98=9 "); /* CMD_TLBI_S12_VMALL */
}

static void test_flush_all_is_by_asid(struct hw_trace *trace, const void *config)
{
	smmuv3_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "[5000000000011 0] " SYNC "98=b ");
}

/* The index has 18 bits and a bit above them that turns. */
static void test_the_queue_is_a_ring(struct hw_trace *trace, const void *config)
{
	for (unsigned i = 9; i < (1 << 19) - 1; i += 2)
		smmuv3_ops.flush_iotlb_all(trace->domain);
	g_assert_true(g_str_has_suffix(trace->text->str, "98=7ffff "));
	g_string_truncate(trace->text, 0);
	smmuv3_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "[5000000000011 0] " SYNC "98=1 ");
}

/* T0SZ 16 in bits 5:0, IR0 1 in 9:8, OR0 1 in 11:10, SH0 3 in 13:12, EPD1 30, V 31, IPS 5 in 34:32, AA64 41, R 45, A 46,
 * ASET 47, ASID 63:48. */
static void test_context_descriptor(struct hw_trace *trace, const void *config)
{
	uint64_t entry[SMMUV3_ENTRY_QWORDS], stream[SMMUV3_ENTRY_QWORDS];

	smmuv3_context_descriptor(trace->domain, entry);
	g_assert_cmphex(entry[0], ==, 0x0005e205c0003510);
	g_assert_cmphex(entry[1], ==, 0x80000000);
	g_assert_cmphex(entry[2], ==, 0);
	g_assert_cmphex(entry[3], ==, 0xfffffffff404ff44);
	/* V 0, Config 5 in 3:1, S1ContextPtr; S1DSS 2 in 1:0, S1CIR 1, S1COR 1, S1CSH 3. */
	smmuv3_stream_entry(trace->domain, 0x12345000, stream);
	g_assert_cmphex(stream[0], ==, 0x1234500b);
	g_assert_cmphex(stream[1], ==, 0xd6);
	g_assert_cmphex(stream[2] | stream[3], ==, 0);
}

/* S2VMID 15:0; VTCR from bit 32 on: T0SZ 16 in 5:0, SL0 2 in 7:6, IR0 1, OR0 1, SH0 3, TG 0 in 15:14, PS 5 in 18:16; S2AA64
 * 51, S2PTW 54, S2R 58. */
static void test_stream_entry_of_stage_2(struct hw_trace *trace, const void *config)
{
	uint64_t entry[SMMUV3_ENTRY_QWORDS];

	smmuv3_stream_entry(trace->domain, 0, entry);
	g_assert_cmphex(entry[0], ==, 0xd);
	g_assert_cmphex(entry[1], ==, UINT64_C(1) << 44);
	g_assert_cmphex(entry[2], ==, 0x044d359000000005);
	g_assert_cmphex(entry[3], ==, 0x80000000);
}

static void test_a_sync_that_never_ends(struct hw_trace *trace, const void *config)
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
	g_assert_cmpuint(trace->sim->cursor_ps - from, >=, UINT64_C(1000000000000));
	finding = g_ptr_array_index(trace->sim->findings.kept, 0);
	g_assert_cmpstr(finding->text, ==,
			"CMD_SYNC timeout at 0x0000000a [hwprod 0x0000000b, hwcons 0x00000009]");
}

/* F_TRANSLATION 0x10, F_PERMISSION 0x13: StreamID 63:32; RnW 35, S2 39, Class 2 in 41:40; the address; the IPA. The record is
 * taken out by its consumer's index. */
static void test_events(struct hw_trace *trace, const void *config)
{
	const struct iommu_fault hole = {
		.iova = 0x12345678, .reason = IOMMU_FAULT_TRANSLATION, .stream = 0x100};
	const struct iommu_fault denied = {
		.iova = 0x12345678, .reason = IOMMU_FAULT_PERMISSION, .write = true, .stream = 0x100};
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_true(iommu_report_fault(trace->iommu, &hole, out));
	g_assert_cmpstr(
		out->str, ==,
		"event 0x10 received:\n"
		"\t0x0000010000000010\n"
		"\t0x0000020800000000\n"
		"\t0x0000000012345678\n"
		"\t0x0000000000000000\n"
		"event: F_TRANSLATION client: (unassigned sid) sid: 0x100 ssid: 0 iova: 0x12345678 ipa: 0\n"
		"unpriv data read s1 \"Input address caused fault\" stag: 0\n");
	g_string_truncate(out, 0);
	g_assert_true(iommu_report_fault(trace->iommu, &denied, out));
	g_assert_nonnull(
		strstr(out->str, "event 0x13 received:\n\t0x0000010000000013\n\t0x0000020000000000\n"));
	g_assert_nonnull(strstr(out->str, "event: F_PERMISSION client: (unassigned sid) sid: 0x100 "));
	g_assert_nonnull(strstr(out->str, "unpriv data write s1 \"Input"));
	hw_trace_expect(trace, "100ac=1 100ac=2 ");
}

static void test_events_of_stage_2(struct hw_trace *trace, const void *config)
{
	const struct iommu_fault hole = {
		.iova = 0x12345678, .reason = IOMMU_FAULT_TRANSLATION, .write = true};
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_true(iommu_report_fault(trace->iommu, &hole, out));
	g_assert_nonnull(
		strstr(out->str,
		       "\t0x0000028000000000\n\t0x0000000012345678\n\t0x0000000012345000\n"
		       "event: F_TRANSLATION client: (unassigned sid) sid: 0 ssid: 0 iova: 0x12345678 ipa: "
		       "0x12345000\nunpriv data write s2 "));
}

/* ---- read again as the hardware does ---- */

struct reader {
	uint64_t first, last; /* all that was named, without a gap */
	unsigned commands;
};

/** Section 4.4.1.1, range-based invalidation and level hint: (NUM + 1) * 2^SCALE pages of TG from the address on. */
static void read_command(void *data, const void *command, size_t len_bytes)
{
	struct reader *reader = data;
	uint64_t qwords[2], at, pages;

	memcpy(qwords, command, sizeof(qwords));
	if ((qwords[0] & 0xff) != 0x12)
		return;
	at = qwords[1] & ~UINT64_C(0xfff);
	pages = ((qwords[0] >> 12 & 0x1f) + 1) << (qwords[0] >> 20 & 0x1f);
	g_assert_cmpuint(qwords[1] >> 10 & 3, ==, 1);
	if (reader->commands++)
		g_assert_cmphex(at, ==, reader->last + 1);
	else
		reader->first = at;
	reader->last = at + pages * PAGE - 1;
}

/* Exactly what was unmapped is named, in as few commands as its number of pages has runs of five bits. Less than a table's
 * span, so that no table goes by itself. */
static void test_ranges_name_exactly_what_went(struct hw_trace *trace, const void *config)
{
	struct prng prng;

	prng_init(&prng, 3, "smmuv3");
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t pages = 1 + prng_next(&prng) % (1 + prng_next(&prng) % 511), rest = pages;
		uint64_t iova = (1 + prng_below(&prng, 4000)) * PAGE;
		struct reader reader = {0};
		unsigned fewest = 0;

		for (; rest; fewest++)
			rest &= ~(UINT64_C(0x1f) << __builtin_ctzll(rest));
		trace->iommu->watch = (struct iommu_watch){.command = read_command, .data = &reader};
		hw_trace_map(trace, iova, 0x40000000, pages * PAGE);
		g_assert_cmpuint(iommu_unmap(trace->domain, iova, pages * PAGE), ==, pages * PAGE);
		g_assert_cmpuint(reader.commands, ==, fewest);
		g_assert_cmphex(reader.first, ==, iova);
		g_assert_cmphex(reader.last, ==, iova + pages * PAGE - 1);
	}
}

#define TEST(path, config, setup, function) \
	g_test_add("/iommu/hw-smmuv3/" path, struct hw_trace, config, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("attach-tells-of-both-entries", &stage1, setup, test_attach_tells_of_both_entries);
	TEST("attach-of-stage-2-tells-of-one", &stage2, setup, test_attach_of_stage_2_tells_of_one);
	TEST("three-pages-are-one-range", &stage1, setup_attached, test_three_pages_are_one_range);
	TEST("33-pages-are-two-ranges", &stage1, setup_attached, test_33_pages_are_two_ranges);
	TEST("a-block-says-its-level", &stage1, setup_attached, test_a_block_says_its_level);
	TEST("a-table-goes-with-its-walk-caches", &stage1, setup_attached,
	     test_a_table_goes_with_its_walk_caches);
	TEST("another-granule-is-another-sync", &stage1, setup_attached,
	     test_another_granule_is_another_sync);
	TEST("disjoint-pages-are-two-syncs", &stage1, setup_attached, test_disjoint_pages_are_two_syncs);
	TEST("without-ranges-each-page-is-a-command", &no_ranges, setup_attached,
	     test_without_ranges_each_page_is_a_command);
	TEST("many-commands-go-in-batches", &no_ranges, setup_attached, test_many_commands_go_in_batches);
	TEST("stage-2-by-intermediate-address", &stage2, setup_attached,
	     test_stage_2_by_intermediate_address);
	TEST("flush-all-is-by-asid", &stage1, setup_attached, test_flush_all_is_by_asid);
	TEST("the-queue-is-a-ring", &stage1, setup_attached, test_the_queue_is_a_ring);
	TEST("context-descriptor", &stage1, setup_attached, test_context_descriptor);
	TEST("stream-entry-of-stage-2", &stage2, setup_attached, test_stream_entry_of_stage_2);
	TEST("a-sync-that-never-ends", &stage1, setup_attached, test_a_sync_that_never_ends);
	TEST("events", &stage1, setup_attached, test_events);
	TEST("events-of-stage-2", &stage2, setup_attached, test_events_of_stage_2);
	TEST("ranges-name-exactly-what-went", &stage1, setup_attached, test_ranges_name_exactly_what_went);
	return g_test_run();
}
