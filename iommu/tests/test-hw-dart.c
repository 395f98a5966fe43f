/* SPDX-License-Identifier: MIT */
/*
 * Apple DART: the recordings of its driver; register sequences of the hardware that no recording has; that nothing stays
 * in the IOTLB after an unmap, and everything does as long as a flush queue waits; what a time-out leaves; every fault in
 * the driver's words.
 */
#include <errno.h>

#include "iommu/tests/golden-files.h"
#include "iommu/tests/hw-harness.h"

#define KIB_4  (UINT64_C(1) << 12)
#define KIB_16 (UINT64_C(1) << 14)

static const struct variant {
	const char *name;
	struct iommu_hw_config hw;
	struct pgtable_config table;
	const char *attach; /* register writes */
	const char *flush;
	unsigned polls; /* of a flush */
} variants[] = {
	{"t8103",
	 {.streams = 0x5},
	 {0},
	 " 0x200=0x80800000 0x220=0x80800000 0x204=0x0 0x224=0x0 0x208=0x0 0x228=0x0 0x20c=0x0 0x22c=0x0"
	 " 0x100=0x80 0x108=0x80 0x34=0x5 0x20=0x100000",
	 " 0x34=0x5 0x20=0x100000",
	 1},
	{"t8103-4k",
	 {.soc = "t8103"},
	 {.page_sizes = KIB_4},
	 " 0x200=0x80800000 0x204=0x80800001 0x208=0x80800002 0x20c=0x80800003 0x100=0x80 0x34=0x1 "
	 "0x20=0x100000",
	 " 0x34=0x1 0x20=0x100000",
	 1},
	{"t8103usb4",
	 {.soc = "t8103usb4", .streams = 0x200000001},
	 {.page_sizes = KIB_16},
	 " 0x400=0x80800000 0x610=0x80800000 0x404=0x0 0x614=0x0 0x408=0x0 0x618=0x0 0x40c=0x0 0x61c=0x0"
	 " 0x100=0x80 0x184=0x80 0x34=0x1 0x38=0x2 0x20=0x100000",
	 " 0x34=0x1 0x38=0x2 0x20=0x100000",
	 1},
	{"t6000",
	 {.soc = "t6000", .streams = 0x8000},
	 {0},
	 " 0x2f0=0x90000000 0x2f4=0x0 0x2f8=0x0 0x2fc=0x0 0x13c=0x80 0x34=0x8000 0x20=0x100000",
	 " 0x34=0x8000 0x20=0x100000",
	 1},
	{"t8110-36",
	 {.soc = "t8110", .streams = 0x11},
	 {.ias_bits = 36, .oas_bits = 42},
	 " 0x1400=0x800001 0x1410=0x800001 0x1000=0x1 0x1010=0x1 0x80=0x100 0x80=0x104",
	 " 0x80=0x100 0x80=0x104",
	 2},
	{"t8110-42",
	 {.soc = "t8110", .streams = UINT64_C(1) << 63, .asids = 256},
	 {.ias_bits = 48, .oas_bits = 52}, /* more than there is */
	 " 0x14fc=0x800001 0x10fc=0x9 0x80=0x13f",
	 " 0x80=0x13f",
	 1},
};

struct fixture {
	const struct variant *variant;
	struct harness harness;
};

static void setup(struct fixture *fixture, const void *data)
{
	fixture->variant = data;
	harness_init(&fixture->harness, &dart_ops, &fixture->variant->hw, &fixture->variant->table);
}

static void teardown(struct fixture *fixture, const void *data)
{
	harness_finish(&fixture->harness);
}

static void test_recordings(void)
{
	golden_check_all("dart-", iommu_hw_golden_runner.emit);
}

static void test_damaged_recording_is_refused_by_line(void)
{
	harness_damaged("cfg fmt=dart_driver ias=32 oas=36 soc=t8104\n",
			"f:1: cfg of hardware that the driver does not know");
	harness_damaged("cfg fmt=dart_driver ias=32 oas=36 soc=t8103 level=0x10000\n",
			"f:1: cfg of hardware that the driver does not know");
	harness_damaged("cfg fmt=dart_driver ias=36 oas=42 soc=t8110 level=0x10000 asids=16\n",
			"f:1: cfg of hardware that the driver does not know");
	harness_damaged("cfg fmt=dart_driver ias=36 oas=42 soc=t8110 asids=257\n",
			"f:1: cfg of hardware that the driver does not know");
	harness_damaged("cfg fmt=dart_driver ias=36 oas=42 soc=t8110 asids=0x100000010\n",
			"f:1: more streams than any DART has");
	harness_damaged("cfg fmt=dart_driver ias=36 oas=42 soc=t8110 asids=many\n",
			"f:1: asids is not a number: many");
	harness_damaged("cfg fmt=dart_driver ias=36 oas=42 soc=t8110 level=all\n",
			"f:1: level is not a number: all");
	harness_damaged("cfg fmt=dart_driver ias=32 oas=36 soc=t8103\ntlbset 0 0 0\n", "f:2: unknown op");
}

static void test_attach_points_every_stream_at_the_table(struct fixture *fixture, const void *data)
{
	g_autofree char *written = harness_written(&fixture->harness);

	g_assert_cmpstr(written, ==, fixture->variant->attach);
}

/* And every flush is the same, for one page or many. */
static void test_map_unmap_and_flush_write_the_same(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	const struct iommu_stats *stats = &harness->iommu->stats;
	g_autofree char *attached = harness_written(harness);
	uint64_t reads = stats->mmio_reads, waits = stats->invalidate_waits;

	for (unsigned step = 0; step < 3; step++) {
		g_autofree char *written = NULL;

		if (step == 0)
			harness_map(harness, harness->page, 7 * harness->page, 9 * harness->page);
		else if (step == 1)
			iommu_unmap(harness->domain, 2 * harness->page, harness->page);
		else
			dart_ops.flush_iotlb_all(harness->domain);
		written = harness_written(harness);
		g_assert_cmpstr(written, ==, fixture->variant->flush);
	}
	g_assert_cmpuint(stats->mmio_reads - reads, ==, 3 * fixture->variant->polls);
	g_assert_cmpuint(stats->invalidate_waits - waits, ==, 3 * fixture->variant->polls);
	g_assert_cmpuint(stats->invalidate_commands, ==, stats->invalidate_waits);
	g_assert_cmpuint(harness->iommu->queue_lock.taken, ==, 4);
}

static void test_unmap_of_nothing_writes_nothing(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	g_autofree char *attached = harness_written(harness), *written = NULL;

	g_assert_cmphex(iommu_unmap(harness->domain, 5 * harness->page, harness->page), ==, 0);
	written = harness_written(harness);
	g_assert_cmpstr(written, ==, "");
}

static void test_nothing_stale_after_any_unmap(struct fixture *fixture, const void *data)
{
	harness_random_calls(&fixture->harness, UINT64_C(1) << fixture->harness.domain->pt->config.ias_bits,
			     4000);
}

/* A map takes what was remembered of other pages along. */
static void test_map_forgets_the_whole_stream(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	uint64_t page = harness->page;

	harness_map(harness, page, 7 * page, page);
	g_assert_false(harness_touch(harness, page).hit);
	g_assert_true(harness_touch(harness, page).hit);
	harness_map(harness, 40 * page, 8 * page, page);
	g_assert_false(harness_touch(harness, page).hit);
}

static void test_queued_unmap_stays_until_flush_all(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	uint64_t page = harness->page;
	g_autofree char *before = NULL, *after = NULL;

	harness_map(harness, page, 7 * page, 2 * page);
	harness_touch(harness, 2 * page);
	before = harness_written(harness);
	harness_unmap_lazily(harness, page, 2 * page);
	after = harness_written(harness);
	g_assert_cmpstr(after, ==, "");
	g_assert_true(harness_touch(harness, 2 * page).hit);
	g_assert_true(harness_touch(harness, 2 * page).stale);
	dart_ops.flush_iotlb_all(harness->domain);
	harness_check_iotlb(harness, page, 2 * page);
	g_assert_cmphex(harness_touch(harness, 2 * page).paddr, ==, 0);
}

/* The driver says so and goes on: what was remembered stays until a flush is obeyed. */
static void test_timeout_leaves_the_iotlb(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	struct fault_rules *rules;
	uint64_t page = harness->page, begun_ps, reads;

	harness_map(harness, page, 7 * page, page);
	harness_touch(harness, page);
	rules = harness_arm_timeout(harness, 1);
	begun_ps = harness->sim->cursor_ps;
	reads = harness->iommu->stats.mmio_reads;
	g_assert_cmphex(iommu_unmap(harness->domain, page, page), ==, page);
	g_assert_true(sweep_disarm(harness->sim, rules));
	g_assert_cmpuint(harness->sim->cursor_ps - begun_ps, >=, UINT64_C(100000000));
	g_assert_cmpuint(harness->iommu->stats.mmio_reads - reads, ==, 100);
	g_assert_true(g_str_has_prefix(harness_warning(harness), "busy bit did not clear after command "));
	g_assert_true(harness_touch(harness, page).stale);
	dart_ops.flush_iotlb_all(harness->domain);
	harness_check_iotlb(harness, page, page);
}

static void test_timeout_of_attach_is_ignored(struct fixture *fixture, const void *data)
{
	struct harness *harness = &fixture->harness;
	struct fault_rules *rules = harness_arm_timeout(harness, 1);

	g_assert_cmpint(iommu_domain_attach(harness->domain), ==, 0);
	g_assert_true(sweep_disarm(harness->sim, rules));
	g_assert_cmpint(iommu_map_nosync(harness->domain, 0, 0, harness->page, PROT_READ), ==, 0);
	rules = harness_arm_timeout(harness, 1);
	g_assert_cmpint(iommu_sync_map(harness->domain, 0, harness->page), ==, 0);
	g_assert_true(sweep_disarm(harness->sim, rules));
}

/* ---- one at a time ---- */

static void harness_init_soc(struct harness *harness, const char *soc, uint64_t streams, unsigned ias_bits)
{
	harness_init(harness, &dart_ops, &(struct iommu_hw_config){.soc = soc, .streams = streams},
		     &(struct pgtable_config){.ias_bits = ias_bits, .oas_bits = 42});
}

static void test_warning_names_the_streams(void)
{
	struct fault_rules *rules;
	struct harness harness;

	harness_init_soc(&harness, "t8103usb4", 0x8000000000000003, 32);
	rules = harness_arm_timeout(&harness, 1);
	dart_ops.flush_iotlb_all(harness.domain);
	sweep_disarm(harness.sim, rules);
	g_assert_cmpstr(harness_warning(&harness), ==,
			"busy bit did not clear after command 100000 for streams 8000000000000003");
	harness_finish(&harness);
}

/* The last stream is not asked, and nothing is forgotten. */
static void test_t8110_stops_at_the_stream_that_does_not_obey(void)
{
	g_autofree char *before = NULL, *after = NULL;
	struct fault_rules *rules;
	struct harness harness;

	harness_init_soc(&harness, "t8110", 0x13, 36);
	harness_map(&harness, 0, harness.page, harness.page);
	harness_touch(&harness, 0);
	before = harness_written(&harness);
	rules = harness_arm_timeout(&harness, 2);
	dart_ops.flush_iotlb_all(harness.domain);
	sweep_disarm(harness.sim, rules);
	after = harness_written(&harness);
	g_assert_cmpstr(after, ==, " 0x80=0x100 0x80=0x101");
	g_assert_cmpstr(harness_warning(&harness), ==, "busy bit did not clear after command 1 for stream 1");
	g_assert_true(harness_touch(&harness, 0).hit);
	harness_finish(&harness);
}

/* The address that is read is that of the refused access, and the page is one that the table refuses for this reason. */
static const struct {
	const char *name, *soc;
	uint64_t streams;
	unsigned ias_bits;
	uint64_t iova;
	bool write;
	unsigned stream;
	const char *printed;
	const char *acknowledged;
} faults[] = {
	{"t8103-no-pte", "t8103", 0x8, 32, 0x1c010, false, 3,
	 "translation fault: status:0x83000004 stream:3 code:0x4 (NO PTE FOR IOVA) at 0x1c010\n",
	 " 0x40=0x83000004"},
	{"t8103-no-pmd", "t8103", 0x8, 32, 0x80000000, true, 3,
	 "translation fault: status:0x83000002 stream:3 code:0x2 (NO PMD FOR IOVA) at 0x80000000\n",
	 " 0x40=0x83000002"},
	{"t8103-no-ttbr", "t8103", 0x8, 32, 0x1000000000, true, 3,
	 "translation fault: status:0x83000001 stream:3 code:0x1 (NO TTBR FOR IOVA) at 0x1000000000\n",
	 " 0x40=0x83000001"},
	{"t8103-write", "t8103", 0x8, 32, 0x4000, true, 3,
	 "translation fault: status:0x83000008 stream:3 code:0x8 (WRITE FAULT) at 0x4000\n",
	 " 0x40=0x83000008"},
	{"t8103-read", "t8103", 0x8, 32, 0x8fff, false, 3,
	 "translation fault: status:0x83000010 stream:3 code:0x10 (READ FAULT) at 0x8fff\n",
	 " 0x40=0x83000010"},
	{"t8103usb4-stream-beyond-its-field", "t8103usb4", 0x20000, 32, 0x1c010, false, 17,
	 "translation fault: status:0x81000004 stream:1 code:0x4 (NO PTE FOR IOVA) at 0x1c010\n",
	 " 0x40=0x81000004"},
	{"t8110-no-pte", "t8110", 0x20, 42, 0x1c010, false, 5,
	 "translation fault: status:0x80500008 stream:5 code:0x8 (NO PTE FOR IOVA) at 0x1c010\n",
	 " 0x100=0x80500008 0x1c0=0xffffffff"},
	{"t8110-no-pmd", "t8110", 0x20, 42, 0x80000000, false, 5,
	 "translation fault: status:0x80500004 stream:5 code:0x4 (NO PMD FOR IOVA) at 0x80000000\n",
	 " 0x100=0x80500004 0x1c0=0xffffffff"},
	{"t8110-no-pgd", "t8110", 0x20, 42, 0x20000000000, false, 5,
	 "translation fault: status:0x80500002 stream:5 code:0x2 (NO PGD FOR IOVA) at 0x20000000000\n",
	 " 0x100=0x80500002 0x1c0=0xffffffff"},
	{"t8110-no-ttbr", "t8110", 0x20, 36, 0x1000000000, false, 5,
	 "translation fault: status:0x80500001 stream:5 code:0x1 (NO TTBR FOR IOVA) at 0x1000000000\n",
	 " 0x100=0x80500001 0x1c0=0xffffffff"},
	{"t8110-write", "t8110", 0x20, 36, 0x4000, true, 5,
	 "translation fault: status:0x80500010 stream:5 code:0x10 (WRITE FAULT) at 0x4000\n",
	 " 0x100=0x80500010 0x1c0=0xffffffff"},
	{"t8110-read", "t8110", 0x20, 36, 0x8000, false, 5,
	 "translation fault: status:0x80500020 stream:5 code:0x20 (READ FAULT) at 0x8000\n",
	 " 0x100=0x80500020 0x1c0=0xffffffff"},
};

static void test_fault(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	g_autofree char *before = NULL, *printed = NULL, *acknowledged = NULL;
	struct harness harness;

	harness_init_soc(&harness, faults[i].soc, faults[i].streams, faults[i].ias_bits);
	g_assert_cmpint(iommu_map_nosync(harness.domain, 0x4000, 0x4000, 0x4000, PROT_READ), ==, 0);
	g_assert_cmpint(iommu_map_nosync(harness.domain, 0x8000, 0x4000, 0x4000, PROT_WRITE), ==, 0);
	before = harness_written(&harness);
	printed = harness_fault(&harness, faults[i].iova, faults[i].write, faults[i].stream);
	acknowledged = harness_written(&harness);
	g_assert_cmpstr(printed, ==, faults[i].printed);
	g_assert_cmpstr(acknowledged, ==, faults[i].acknowledged);
	harness_finish(&harness);
}

/* What another DART might latch: two reasons at once, and an interrupt that was none. */
static void test_odd_error_words(void)
{
	struct iommu_registers two = {2, {{0x40, 0x8f000006}, {0x50, 0x1234}}},
			       none = {1, {{0x40, 0xf000004}}};
	g_autofree char *before = NULL, *acknowledged = NULL;
	g_autoptr(GString) out = g_string_new(NULL);
	struct harness harness;

	harness_init_soc(&harness, "t6000", 1, 32);
	before = harness_written(&harness);
	dart_ops.fault_handle(harness.iommu, &two, out);
	dart_ops.fault_handle(harness.iommu, &none, out);
	acknowledged = harness_written(&harness);
	g_assert_cmpstr(out->str, ==,
			"translation fault: status:0x8f000006 stream:15 code:0x6 (unknown) at 0x1234\n");
	g_assert_cmpstr(acknowledged, ==, " 0x40=0x8f000006");
	harness_finish(&harness);
}

static void test_all_error_streams_are_cleared(void)
{
	g_autofree char *before = NULL, *printed = NULL, *acknowledged = NULL;
	struct harness harness;

	harness_init(&harness, &dart_ops, &(struct iommu_hw_config){.soc = "t8110", .asids = 65},
		     &(struct pgtable_config){.ias_bits = 36, .oas_bits = 36});
	before = harness_written(&harness);
	printed = harness_fault(&harness, 0, false, 64);
	acknowledged = harness_written(&harness);
	g_assert_cmpstr(printed, ==,
			"translation fault: status:0x84000004 stream:64 code:0x4 (NO PMD FOR IOVA) at 0x0\n");
	g_assert_cmpstr(acknowledged, ==,
			" 0x100=0x84000004 0x1c0=0xffffffff 0x1c4=0xffffffff 0x1c8=0xffffffff");
	harness_finish(&harness);
}

#define TEST(path, function)   \
	{                      \
		path, function \
	}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} cases[] = {
		TEST("attach-points-every-stream-at-the-table", test_attach_points_every_stream_at_the_table),
		TEST("map-unmap-and-flush-write-the-same", test_map_unmap_and_flush_write_the_same),
		TEST("unmap-of-nothing-writes-nothing", test_unmap_of_nothing_writes_nothing),
		TEST("nothing-stale-after-any-unmap", test_nothing_stale_after_any_unmap),
		TEST("map-forgets-the-whole-stream", test_map_forgets_the_whole_stream),
		TEST("queued-unmap-stays-until-flush-all", test_queued_unmap_stays_until_flush_all),
		TEST("timeout-leaves-the-iotlb", test_timeout_leaves_the_iotlb),
		TEST("timeout-of-attach-and-map-is-ignored", test_timeout_of_attach_is_ignored),
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		for (unsigned j = 0; j < G_N_ELEMENTS(cases); j++) {
			g_autofree char *path =
				g_strdup_printf("/iommu/dart/%s/%s", variants[i].name, cases[j].name);

			g_test_add(path, struct fixture, &variants[i], setup, cases[j].run, teardown);
		}
	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
		g_autofree char *path = g_strconcat("/iommu/dart/fault/", faults[i].name, NULL);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_fault);
	}
	g_test_add_func("/iommu/dart/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/dart/damaged-recording-is-refused-by-line",
			test_damaged_recording_is_refused_by_line);
	g_test_add_func("/iommu/dart/warning-names-the-streams", test_warning_names_the_streams);
	g_test_add_func("/iommu/dart/t8110-stops-at-the-stream-that-does-not-obey",
			test_t8110_stops_at_the_stream_that_does_not_obey);
	g_test_add_func("/iommu/dart/odd-error-words", test_odd_error_words);
	g_test_add_func("/iommu/dart/all-error-streams-are-cleared", test_all_error_streams_are_cleared);
	return g_test_run();
}
