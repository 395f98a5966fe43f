/* SPDX-License-Identifier: MIT */
/*
 * Qualcomm's IOMMU: the recordings of its driver; that exactly the pages that went leave the IOTLB, once the driver has
 * waited; what it never invalidates; what a time-out leaves; faults, printed or not.
 */
#include <errno.h>

#include "iommu/hw/qcom.h"
#include "iommu/tests/golden-files.h"
#include "iommu/tests/hw-harness.h"
#include "sim/behaviour/behaviour.h"

#define PAGE  UINT64_C(0x1000)
#define LARGE UINT64_C(0x200000)

#define TABLES ((UINT64_C(1) << 31) - PHYSMEM_BASE)

static void setup(struct harness *harness, const void *data)
{
	/* The widths and the sizes are the driver's. */
	harness_init(harness, &qcom_ops, &(struct iommu_hw_config){0},
		     &(struct pgtable_config){.ias_bits = 48, .oas_bits = 52, .table_offset = TABLES});
}

static void teardown(struct harness *harness, const void *data)
{
	harness_finish(harness);
}

static void test_recordings(void)
{
	golden_check_all("qcom-", iommu_hw_golden_runner.emit);
}

static void test_damaged_recording_is_refused_by_line(void)
{
	harness_damaged("cfg fmt=qcom_iommu ias=32 oas=40 base=here\n", "f:1: base is not a number: here");
	harness_damaged("cfg fmt=qcom_iommu ias=32 oas=40\nmap 0x1000 0x1000 0x1000\n",
			"f:2: missing or unreadable number");
}

static void test_attach_programs_the_context_bank(struct harness *harness, const void *data)
{
	g_autofree char *written = harness_written(harness);

	g_assert_cmpstr(written, ==,
			" 0x0=0x0 0x60=0x0 0x58=0xc00001fe 0x20=0x80000000 0x24=0x10000 0x28=0x0 0x2c=0x0 "
			"0x10=0x38002"
			" 0x30=0x80802020 0x38=0xf404ff44 0x3c=0xffffffff 0x0=0x10e7");
	g_assert_cmphex(harness->domain->pt->page_sizes, ==, PAGE);
}

static void test_map_writes_nothing(struct harness *harness, const void *data)
{
	g_autofree char *before = harness_written(harness), *written = NULL;

	harness_map(harness, PAGE, 0x555000, 3 * PAGE);
	written = harness_written(harness);
	g_assert_cmpstr(written, ==, "");
}

static void test_unmap_names_each_page_and_waits_once(struct harness *harness, const void *data)
{
	const struct iommu_stats *stats = &harness->iommu->stats;
	g_autofree char *before = harness_written(harness), *written = NULL;

	harness_map(harness, 0xfffff000, 0x555000, PAGE);
	harness_map(harness, LARGE - PAGE, 0x555000, 2 * PAGE);
	iommu_unmap(harness->domain, LARGE - PAGE, 2 * PAGE);
	iommu_unmap(harness->domain, 0xfffff000, PAGE);
	written = harness_written(harness);
	g_assert_cmpstr(written, ==, " 0x620=0x1ff001 0x620=0x200001 0x7f0=0x0 0x620=0xfffff001 0x7f0=0x0");
	g_assert_cmpuint(stats->mmio_reads, ==, 2);
	g_assert_cmpuint(stats->invalidate_commands, ==, 3);
	g_assert_cmpuint(stats->invalidate_waits, ==, 2);
}

static void test_nothing_stale_after_any_unmap(struct harness *harness, const void *data)
{
	harness_random_calls(harness, UINT64_C(1) << 32, 6000);
}

/* Pages in between, of the same gather, stay; so does the walk cache. */
static void test_only_the_pages_that_went_are_forgotten(struct harness *harness, const void *data)
{
	struct pgtable_gather gather = {0};

	harness_map(harness, 0, 0x555000, 8 * PAGE);
	for (uint64_t iova = 0; iova < 8 * PAGE; iova += PAGE)
		harness_touch(harness, iova);
	pgtable_gather_init(&gather);
	for (uint64_t iova = 0; iova < 8 * PAGE; iova += 2 * PAGE)
		iommu_unmap_fast(harness->domain, iova, PAGE, &gather);
	/* Written already, but nobody has waited. */
	for (uint64_t iova = 0; iova < 8 * PAGE; iova += PAGE) {
		g_assert_true(harness_touch(harness, iova).hit);
		g_assert_cmpint(harness_touch(harness, iova).stale, ==, iova % (2 * PAGE) == 0);
	}
	iommu_iotlb_sync(harness->domain, &gather);
	pgtable_gather_finish(&gather);
	for (uint64_t iova = 0; iova < 8 * PAGE; iova += PAGE) {
		struct iotlb_result result = harness_touch(harness, iova);

		g_assert_cmpint(result.hit, ==, iova % (2 * PAGE) != 0);
		g_assert_false(result.stale);
		g_assert_cmpuint(result.table_reads, ==, result.hit ? 0 : 1);
	}
}

/* What was obeyed once is not obeyed again. */
static void test_a_page_that_is_mapped_again_stays(struct harness *harness, const void *data)
{
	harness_map(harness, 0, 0x555000, 2 * PAGE);
	iommu_unmap(harness->domain, 0, PAGE);
	harness_map(harness, 0, 0x777000, PAGE);
	harness_touch(harness, 0);
	iommu_unmap(harness->domain, PAGE, PAGE);
	g_assert_true(harness_touch(harness, 0).hit);
}

/* Addresses that follow one another, but not of one domain. */
static void test_another_domain_keeps_its_pages(struct harness *harness, const void *data)
{
	static const struct pgtable_config table = {.table_offset = TABLES};
	struct pgtable_gather gather = {0}, gather_other = {0};
	struct iommu_domain *other;
	struct iotlb_result result;

	g_assert_cmpint(iommu_domain_new(harness->iommu, HARNESS_DOMAIN + 1, &table, &other), ==, 0);
	g_assert_cmpint(iommu_map_nosync(other, 0, 0x888000, 2 * PAGE, PROT_READ), ==, 0);
	harness_map(harness, 0, 0x555000, 2 * PAGE);
	harness_touch(harness, PAGE);
	iotlb_translate(harness->iommu->tlb, HARNESS_DOMAIN + 1, other->pt, PAGE, &result);
	pgtable_gather_init(&gather);
	pgtable_gather_init(&gather_other);
	iommu_unmap_fast(harness->domain, 0, PAGE, &gather);
	iommu_unmap_fast(other, PAGE, PAGE, &gather_other);
	iommu_iotlb_sync(harness->domain, &gather);
	iommu_iotlb_sync(other, &gather_other);
	g_assert_true(harness_touch(harness, PAGE).hit);
	iotlb_translate(harness->iommu->tlb, HARNESS_DOMAIN + 1, other->pt, PAGE, &result);
	g_assert_false(result.hit);
	pgtable_gather_finish(&gather);
	pgtable_gather_finish(&gather_other);
	iommu_domain_free(other);
}

/* More than the model keeps: the first are obeyed early, all of them in the end. */
static void test_many_scattered_pages_are_all_forgotten(struct harness *harness, const void *data)
{
	struct pgtable_gather gather = {0};

	harness_map(harness, 0, LARGE, LARGE);
	pgtable_gather_init(&gather);
	for (uint64_t iova = 0; iova < 200 * PAGE; iova += 2 * PAGE) {
		harness_touch(harness, iova);
		iommu_unmap_fast(harness->domain, iova, PAGE, &gather);
	}
	g_assert_true(harness_touch(harness, 198 * PAGE).stale);
	iommu_iotlb_sync(harness->domain, &gather);
	pgtable_gather_finish(&gather);
	harness_check_iotlb(harness, LARGE, PAGE);
}

static void test_failed_map_leaves_nothing_stale(struct harness *harness, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	g_autofree char *before = NULL, *written = NULL;
	struct fault_rules *rules;

	harness_map(harness, LARGE - 2 * PAGE, 0x555000, PAGE);
	before = harness_written(harness);
	rules = sweep_arm(harness->sim, tables, "pgtable.page", 1);
	g_assert_cmpint(iommu_map_nosync(harness->domain, LARGE - PAGE, 0x666000, 2 * PAGE, PROT_READ), ==,
			-ENOMEM);
	g_assert_true(sweep_disarm(harness->sim, rules));
	written = harness_written(harness);
	g_assert_cmpstr(written, ==, " 0x620=0x1ff001 0x7f0=0x0");
	harness_check_iotlb(harness, LARGE - PAGE, 2 * PAGE);
}

/* The driver's flush_iotlb_all only waits. The kernel never queues for it: it declares no deferred flushes. */
static void test_queued_unmap_outlives_flush_all(struct harness *harness, const void *data)
{
	g_autofree char *before = NULL, *queued = NULL, *flushed = NULL;

	harness_map(harness, PAGE, 0x555000, 2 * PAGE);
	harness_touch(harness, PAGE);
	before = harness_written(harness);
	harness_unmap_lazily(harness, PAGE, 2 * PAGE);
	queued = harness_written(harness);
	g_assert_cmpstr(queued, ==, "");
	g_assert_true(harness_touch(harness, PAGE).stale);
	qcom_ops.flush_iotlb_all(harness->domain);
	flushed = harness_written(harness);
	g_assert_cmpstr(flushed, ==, " 0x7f0=0x0");
	g_assert_true(harness_touch(harness, PAGE).stale);
}

/* What the format may call for, though with pages of one size it never does. */
static void test_flush_walk_and_flush_all_of_the_format(struct harness *harness, const void *data)
{
	const struct pgtable_tlb_ops *tlb = harness->domain->pt->tlb;
	g_autofree char *before = NULL, *walk = NULL, *all = NULL;
	struct pgtable_gather gather = {0};

	harness_map(harness, 0, 0x555000, 4 * PAGE);
	harness_map(harness, LARGE, 0x555000, PAGE);
	harness_map(harness, 0xfffff000, 0x555000, PAGE);
	harness_touch(harness, PAGE);
	harness_touch(harness, LARGE);
	harness_touch(harness, 0xfffff000);
	tlb->add_page(&gather, 0, PAGE, harness->domain);
	before = harness_written(harness);
	tlb->flush_walk(PAGE, 2 * PAGE, PAGE, harness->domain);
	walk = harness_written(harness);
	g_assert_cmpstr(walk, ==, " 0x600=0x1001 0x600=0x2001 0x7f0=0x0");
	g_assert_true(harness_touch(harness, LARGE).hit);
	g_assert_cmpuint(harness_touch(harness, 3 * PAGE).table_reads, ==, 3);
	tlb->flush_all(harness->domain);
	all = harness_written(harness);
	g_assert_cmpstr(all, ==, " 0x610=0x1 0x7f0=0x0");
	harness_check_iotlb(harness, 0, UINT64_C(1) << 32);
}

/* What was asked for stays asked for: the next wait that succeeds is for both. */
static void test_timeout_leaves_it_to_the_next_wait(struct harness *harness, const void *data)
{
	struct fault_rules *rules = harness_arm_timeout(harness, 1);
	uint64_t begun_ps = harness->sim->cursor_ps;

	harness_map(harness, PAGE, 0x555000, 6 * PAGE);
	harness_touch(harness, PAGE);
	iommu_unmap(harness->domain, PAGE, PAGE);
	g_assert_true(sweep_disarm(harness->sim, rules));
	g_assert_cmpuint(harness->sim->cursor_ps - begun_ps, >=, UINT64_C(5000000000000));
	g_assert_cmpuint(harness->iommu->stats.invalidate_timeouts, ==, 1);
	g_assert_cmpstr(harness_warning(harness), ==, "timeout waiting for TLB SYNC");
	g_assert_true(harness_touch(harness, PAGE).stale);
	iommu_unmap(harness->domain, 5 * PAGE, PAGE);
	harness_check_iotlb(harness, PAGE, PAGE);
}

static const struct {
	const char *name;
	uint64_t iova;
	bool write;
	const char *printed;
	const char *acknowledged;
} faults[] = {
	{"no-page", 0x2010, false,
	 "Unhandled context fault: fsr=0x202, iova=0x0000000000002010, fsynr=0x3, cb=1\n",
	 " 0x58=0x202 0x8=0x1"},
	{"no-table", 0x80000000, true,
	 "Unhandled context fault: fsr=0x202, iova=0x0000000080000000, fsynr=0x11, cb=1\n",
	 " 0x58=0x202 0x8=0x1"},
	{"read-only", 0x1000, true,
	 "Unhandled context fault: fsr=0x208, iova=0x0000000000001000, fsynr=0x13, cb=1\n",
	 " 0x58=0x208 0x8=0x1"},
};

/* Linux 7.0 prints nothing of a fault that nobody handled. It is acknowledged all the same. */
static void test_fault(const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);

	for (unsigned version = KERNEL_7_0; version <= KERNEL_FIXED; version++) {
		g_autofree char *before = NULL, *printed = NULL, *acknowledged = NULL;
		struct harness harness;

		setup(&harness, NULL);
		behaviour_set_version(harness.sim, version);
		g_assert_cmpint(iommu_map_nosync(harness.domain, PAGE, PAGE, PAGE, PROT_READ), ==, 0);
		before = harness_written(&harness);
		printed = harness_fault(&harness, faults[i].iova, faults[i].write, 0);
		acknowledged = harness_written(&harness);
		g_assert_cmpstr(printed, ==, version == KERNEL_FIXED ? faults[i].printed : "");
		g_assert_cmpstr(acknowledged, ==, faults[i].acknowledged);
		g_assert_cmpuint(harness.iommu->stats.mmio_reads, ==, 4);
		teardown(&harness, NULL);
	}
}

static void test_no_fault_is_not_acknowledged(struct harness *harness, const void *data)
{
	struct iommu_registers none = {1, {{0x58, 0x200}}};
	g_autofree char *before = harness_written(harness), *written = NULL;
	g_autoptr(GString) out = g_string_new(NULL);

	behaviour_set_version(harness->sim, KERNEL_FIXED);
	qcom_ops.fault_handle(harness->iommu, &none, out);
	written = harness_written(harness);
	g_assert_cmpstr(out->str, ==, "");
	g_assert_cmpstr(written, ==, "");
}

#define TEST(path, function) g_test_add("/iommu/qcom/" path, struct harness, NULL, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("attach-programs-the-context-bank", test_attach_programs_the_context_bank);
	TEST("map-writes-nothing", test_map_writes_nothing);
	TEST("unmap-names-each-page-and-waits-once", test_unmap_names_each_page_and_waits_once);
	TEST("nothing-stale-after-any-unmap", test_nothing_stale_after_any_unmap);
	TEST("only-the-pages-that-went-are-forgotten", test_only_the_pages_that_went_are_forgotten);
	TEST("a-page-that-is-mapped-again-stays", test_a_page_that_is_mapped_again_stays);
	TEST("another-domain-keeps-its-pages", test_another_domain_keeps_its_pages);
	TEST("many-scattered-pages-are-all-forgotten", test_many_scattered_pages_are_all_forgotten);
	TEST("failed-map-leaves-nothing-stale", test_failed_map_leaves_nothing_stale);
	TEST("queued-unmap-outlives-flush-all", test_queued_unmap_outlives_flush_all);
	TEST("flush-walk-and-flush-all-of-the-format", test_flush_walk_and_flush_all_of_the_format);
	TEST("timeout-leaves-it-to-the-next-wait", test_timeout_leaves_it_to_the_next_wait);
	TEST("no-fault-is-not-acknowledged", test_no_fault_is_not_acknowledged);
	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
		g_autofree char *path = g_strconcat("/iommu/qcom/fault/", faults[i].name, NULL);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_fault);
	}
	g_test_add_func("/iommu/qcom/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/qcom/damaged-recording-is-refused-by-line",
			test_damaged_recording_is_refused_by_line);
	return g_test_run();
}
