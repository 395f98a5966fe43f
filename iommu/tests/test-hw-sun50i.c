/* SPDX-License-Identifier: MIT */
/*
 * Allwinner's IOMMU: its recordings; what a zap after a map takes and what it leaves, in the TLB and in the page-walk
 * cache; what stays where the hardware does not answer; who is blamed for a fault, and reset.
 */
#include <errno.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/golden-files.h"

#define PAGE   UINT64_C(0x1000)
#define MIB    (UINT64_C(1) << 20)
#define DOMAIN 1
#define RW     (PROT_READ | PROT_WRITE)

#define FLUSH_ALL "80=3003f "

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *writes; /* of registers: "80=3003f " */
};

static void note_write(void *data, uint32_t offset, uint32_t value)
{
	g_string_append_printf(data, "%x=%x ", offset, value);
}

static void setup(struct fixture *fixture, const void *data)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct pgtable_config table = {.table_offset = (UINT64_C(1) << 31) - PHYSMEM_BASE};

	fixture->sim = sim_new(1, 1);
	fixture->writes = g_string_new(NULL);
	fixture->iommu = iommu_new(fixture->sim, &sun50i_iommu_ops, &tlb);
	fixture->iommu->watch = (struct iommu_watch){note_write, NULL, fixture->writes};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	g_string_truncate(fixture->writes, 0);
}

static void teardown(struct fixture *fixture, const void *data)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(fixture->iommu);
	sim_free(fixture->sim);
	g_string_free(fixture->writes, TRUE);
}

/** Maps each page to where it is itself. */
static void map(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, iova, iova, len, RW), ==, 0);
	g_assert_cmpint(iommu_sync_map(fixture->domain, iova, len), ==, 0);
}

/** Lets a device access @iova. */
static struct iotlb_result touch(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->iommu->tlb, DOMAIN, fixture->domain->pt, iova, &result);
	return result;
}

/** Returns whether @iova was in the IOTLB; it is now, if it is mapped. */
static bool cached(struct fixture *fixture, uint64_t iova)
{
	return touch(fixture, iova).hit;
}

/** Checks what was written since, and forgets it. */
static void assert_writes(struct fixture *fixture, const char *expected)
{
	g_assert_cmpstr(fixture->writes->str, ==, expected);
	g_string_truncate(fixture->writes, 0);
}

static uint64_t warnings(const struct fixture *fixture)
{
	return fixture->sim->findings.count[FINDING_KERNEL_WARNING];
}

/** Makes the @nth wait time out from now on. */
static struct fault_rules *arm_timeout(struct fixture *fixture, uint64_t nth)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};

	return sweep_arm(fixture->sim, tables, "iommu.invalidate_timeout", nth);
}

static void test_recordings(void)
{
	golden_check_all("sun50i", iommu_hw_golden_runner.emit);
}

static void test_damaged_recordings_are_refused_by_line(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"cfg fmt=sun50i_iommu ias=32 oas=32 base=low\n", "f:1: base is not a number: low"},
		{"cfg fmt=sun50i_iommu oas=32\n", "f:1: impossible geometry"},
		{"cfg fmt=sun50i_iommu ias=32 oas=32 base=0x40000000\nmap 0x1000 0x1000 0x1000 1 q\n",
		 "f:2: protection is not of the letters rwcxmp"},
		{"cfg fmt=sun50i_iommu ias=32 oas=32 base=0x40000000 oom=1\nwalk 0x1000\n",
		 "f:2: no table has been set up"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(
			iommu_hw_golden_runner.emit("f", cases[i].text, strlen(cases[i].text), out, &error));
		g_assert_cmpstr(error->message, ==, cases[i].message);
	}
}

/* The page and the next, and if there is more than one the two behind the range. Those in the middle stay: they were not
 * mapped before, so an unmap has taken care of them. */
static void test_map_zaps_around_both_ends(struct fixture *fixture, const void *data)
{
	map(fixture, 0, 2 * PAGE);
	map(fixture, 8 * PAGE, 3 * PAGE);
	for (uint64_t page = 0; page < 2; page++)
		g_assert_false(cached(fixture, page * PAGE));
	for (uint64_t page = 8; page < 11; page++)
		g_assert_false(cached(fixture, page * PAGE));
	g_string_truncate(fixture->writes, 0);
	map(fixture, 2 * PAGE, 6 * PAGE);
	assert_writes(fixture, "40=0 90=2000 94=fffff000 98=1 90=3000 94=fffff000 98=1 "
			       "90=8000 94=fffff000 98=1 90=9000 94=fffff000 98=1 "
			       "a0=2000 a8=1 a0=102000 a8=1 40=1 ");
	g_assert_true(cached(fixture, PAGE));
	g_assert_false(cached(fixture, 8 * PAGE));
	g_assert_false(cached(fixture, 9 * PAGE));
	g_assert_true(cached(fixture, 10 * PAGE));
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_map_of_one_page_zaps_two(struct fixture *fixture, const void *data)
{
	map(fixture, 5 * PAGE, 2 * PAGE);
	touch(fixture, 5 * PAGE);
	touch(fixture, 6 * PAGE);
	g_string_truncate(fixture->writes, 0);
	map(fixture, 4 * PAGE, PAGE);
	assert_writes(fixture, "40=0 90=4000 94=fffff000 98=1 90=5000 94=fffff000 98=1 "
			       "a0=4000 a8=1 a0=104000 a8=1 40=1 ");
	g_assert_false(cached(fixture, 5 * PAGE));
	g_assert_true(cached(fixture, 6 * PAGE));
}

static void test_bits_above_32_are_ignored(struct fixture *fixture, const void *data)
{
	uint64_t iova = (UINT64_C(1) << 32) + 5 * PAGE;

	map(fixture, 5 * PAGE, PAGE);
	g_assert_cmphex(touch(fixture, iova + 3).paddr, ==, 5 * PAGE + 3);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, iova + 3), ==, 5 * PAGE + 3);
	g_assert_cmpint(iommu_map_nosync(fixture->domain, iova, PAGE, PAGE, RW), ==, -EBUSY);
	g_assert_cmphex(iommu_unmap(fixture->domain, iova, PAGE), ==, PAGE);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 5 * PAGE), ==, 0);
}

/* Addresses behind the end of the space are those at its start. */
static void test_zap_at_the_end_of_the_space_wraps(struct fixture *fixture, const void *data)
{
	map(fixture, 0, 2 * PAGE);
	touch(fixture, 0);
	touch(fixture, PAGE);
	g_string_truncate(fixture->writes, 0);
	map(fixture, (UINT64_C(1) << 32) - PAGE, PAGE);
	assert_writes(fixture, "40=0 90=fffff000 94=fffff000 98=1 90=0 94=fffff000 98=1 "
			       "a0=fffff000 a8=1 a0=ff000 a8=1 40=1 ");
	g_assert_false(cached(fixture, 0));
	g_assert_true(cached(fixture, PAGE));
}

/* Of the page-walk cache the tables at the start go, and with more than 1 MiB those behind; pages there stay. */
static void test_map_zaps_the_walk_cache_by_table(struct fixture *fixture, const void *data)
{
	/* Not all in one set of the IOTLB. */
	for (uint64_t table = 1; table < 9; table++)
		map(fixture, table * (MIB + 2 * PAGE), 2 * PAGE);
	for (uint64_t table = 1; table < 9; table++)
		g_assert_cmpuint(touch(fixture, table * (MIB + 2 * PAGE)).table_reads, ==, 2);
	map(fixture, 2 * MIB, PAGE);
	for (uint64_t table = 1; table < 9; table++) {
		g_assert_true(cached(fixture, table * (MIB + 2 * PAGE)));
		g_assert_cmpuint(touch(fixture, table * (MIB + 2 * PAGE) + PAGE).table_reads, ==,
				 table == 2 || table == 3 ? 2 : 1);
	}
}

static void test_map_of_more_than_a_table_zaps_those_behind(struct fixture *fixture, const void *data)
{
	map(fixture, 6 * MIB, PAGE);
	g_string_truncate(fixture->writes, 0);
	map(fixture, 2 * MIB, MIB + PAGE);
	assert_writes(fixture, "40=0 90=200000 94=fffff000 98=1 90=201000 94=fffff000 98=1 "
			       "90=301000 94=fffff000 98=1 90=302000 94=fffff000 98=1 "
			       "a0=200000 a8=1 a0=300000 a8=1 a0=301000 a8=1 a0=401000 a8=1 40=1 ");
}

static void test_unmap_flushes_everything(struct fixture *fixture, const void *data)
{
	map(fixture, 4 * PAGE, 4 * PAGE);
	map(fixture, 9 * MIB, PAGE);
	for (uint64_t page = 4; page < 8; page++)
		touch(fixture, page * PAGE);
	touch(fixture, 9 * MIB);
	g_string_truncate(fixture->writes, 0);
	g_assert_cmphex(iommu_unmap(fixture->domain, 4 * PAGE, 4 * PAGE), ==, 4 * PAGE);
	assert_writes(fixture, FLUSH_ALL);
	for (uint64_t page = 4; page < 8; page++)
		g_assert_cmphex(touch(fixture, page * PAGE).paddr, ==, 0);
	g_assert_cmpuint(touch(fixture, 9 * MIB).table_reads, ==, 2);
	/* Nothing there, nothing to flush. */
	g_assert_cmphex(iommu_unmap(fixture->domain, 4 * PAGE, 4 * PAGE), ==, 0);
	assert_writes(fixture, "");
}

/* The driver does no more than to warn: what was unmapped is still reached. */
static void test_flush_that_times_out_leaves_everything(struct fixture *fixture, const void *data)
{
	struct fault_rules *rules;
	uint64_t start_ps = 0;

	map(fixture, 4 * PAGE, PAGE);
	touch(fixture, 4 * PAGE);
	rules = arm_timeout(fixture, 1);
	start_ps = fixture->sim->cursor_ps;
	g_assert_cmphex(iommu_unmap(fixture->domain, 4 * PAGE, PAGE), ==, PAGE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	g_assert_cmpuint(fixture->sim->cursor_ps - start_ps, >=, UINT64_C(2000000000));
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_true(touch(fixture, 4 * PAGE).stale);
	g_assert_cmphex(touch(fixture, 4 * PAGE).paddr, ==, 4 * PAGE);
}

/* Each zap is waited for by itself, and each missing one leaves just what it was for. */
static void test_zap_that_times_out_leaves_its_own(struct fixture *fixture, const void *data)
{
	for (uint64_t nth = 1; nth <= 4; nth++) {
		struct fault_rules *rules;

		map(fixture, 4 * PAGE, 2 * PAGE);
		touch(fixture, 4 * PAGE);
		touch(fixture, 5 * PAGE);
		rules = arm_timeout(fixture, nth);
		/* As after a map there. */
		g_assert_cmpint(iommu_sync_map(fixture->domain, 4 * PAGE, PAGE), ==, 0);
		g_assert_true(sweep_disarm(fixture->sim, rules));
		g_assert_cmpuint(warnings(fixture), ==, nth);
		g_assert_cmpuint(touch(fixture, 4 * PAGE).table_reads, ==, nth == 1 ? 0 : nth == 3 ? 1 : 2);
		g_assert_cmpint(cached(fixture, 5 * PAGE), ==, nth == 2);
		iommu_unmap(fixture->domain, 4 * PAGE, 2 * PAGE);
	}
}

static void test_attach_that_times_out_enables_nothing(struct fixture *fixture, const void *data)
{
	struct fault_rules *rules = arm_timeout(fixture, 1);

	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	assert_writes(fixture, "50=80000000 70=3f 30=0 100=3003f b0=fff0000 b4=aaa b4=5550000 " FLUSH_ALL);
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	assert_writes(fixture, "50=80000000 70=3f 30=0 100=3003f b0=fff0000 b4=aaa b4=5550000 " FLUSH_ALL
			       "40=1 20=1 ");
}

/* Faults. */

#define ZAP_1000 "40=0 90=1000 94=fffff000 98=1 90=2000 94=fffff000 98=1 a0=1000 a8=1 a0=101000 a8=1 40=1 "

static void test_faults_blame_and_reset_a_master(struct fixture *fixture, const void *data)
{
	static const struct {
		struct iommu_fault fault;
		const char *line, *writes;
	} cases[] = {
		{{.iova = 0x1000, .level = 1, .stream = 2, .write = true},
		 "Page fault for 0x0000000000001000 (master 2, dir rd)\n",
		 ZAP_1000 "104=10000 10=fffffffb 10=ffffffff "},
		{{.iova = 0x1000, .level = 0, .stream = 0},
		 "Page fault for 0x0000000000001000 (master 0, dir rd)\n",
		 ZAP_1000 "104=20000 10=fffffffe 10=ffffffff "},
		{{.iova = 0x1000,
		  .reason = IOMMU_FAULT_PERMISSION,
		  .entry = 0x40000022,
		  .stream = 5,
		  .write = true},
		 "Page fault for 0x0000000000001000 (master 5, dir wr)\n",
		 ZAP_1000 "104=20 10=ffffffdf 10=ffffffff "},
		{{.iova = 0x1000, .reason = IOMMU_FAULT_PERMISSION, .entry = 0x40000032, .stream = 3},
		 "Page fault for 0x0000000000001000 (master 3, dir rd)\n",
		 ZAP_1000 "104=8 10=fffffff7 10=ffffffff "},
		/* Of a page that nobody may access it is not known, and so a read. */
		{{.iova = 0x1000,
		  .reason = IOMMU_FAULT_PERMISSION,
		  .entry = 0x40000012,
		  .stream = 1,
		  .write = true},
		 "Page fault for 0x0000000000001000 (master 1, dir rd)\n",
		 ZAP_1000 "104=2 10=fffffffd 10=ffffffff "},
		{{.iova = 0x1000, .stream = 7}, /* there is none */
		 "Page fault for 0x0000000000001000 (master 1, dir rd)\n",
		 ZAP_1000 "104=20000 10=fffffffd 10=ffffffff "},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);

		g_assert_true(iommu_report_fault(fixture->iommu, &cases[i].fault, out));
		g_assert_cmpstr(out->str, ==, cases[i].line);
		assert_writes(fixture, cases[i].writes);
	}
}

/* The second level is looked at first, and of several masters the highest one named; all are reset. */
static void test_several_faults_at_once(struct fixture *fixture, const void *data)
{
	struct iommu_registers registers = {0};
	g_autoptr(GString) out = g_string_new(NULL);

	iommu_registers_add(&registers, 0x108, 0x30001);
	iommu_registers_add(&registers, 0x130, 0x5000);
	iommu_registers_add(&registers, 0x134, 0x1000);
	iommu_registers_add(&registers, 0x180, 0x8);
	iommu_registers_add(&registers, 0x184, 0x14);
	fixture->iommu->ops->fault_handle(fixture->iommu, &registers, out);
	g_assert_cmpstr(out->str, ==, "Page fault for 0x0000000000001000 (master 4, dir rd)\n");
	assert_writes(fixture, ZAP_1000 "104=30001 10=ffffffe2 10=ffffffff ");
}

static void test_interrupt_of_nothing_is_left_alone(struct fixture *fixture, const void *data)
{
	struct iommu_registers registers = {0};
	g_autoptr(GString) out = g_string_new(NULL);

	fixture->iommu->ops->fault_handle(fixture->iommu, &registers, out);
	g_assert_cmpstr(out->str, ==, "");
	assert_writes(fixture, "");
}

/* With the last device the second level goes, whatever is mapped; the directory with the domain. */
static void test_detach_frees_the_second_level(struct fixture *fixture, const void *data)
{
	struct pgtable *pt = fixture->domain->pt;

	map(fixture, 4 * PAGE, PAGE);
	map(fixture, 9 * MIB, PAGE);
	g_assert_cmpuint(pt->table_pages, ==, 3);
	g_string_truncate(fixture->writes, 0);
	sun50i_iommu_ops.detach(fixture->domain);
	assert_writes(fixture, "20=0 50=0 ");
	g_assert_cmpuint(pt->table_pages, ==, 1);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 4 * PAGE), ==, 0);
	fixture->domain->attached = false;
}

#define TEST(name, fn) g_test_add("/iommu/hw/sun50i/" name, struct fixture, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/iommu/hw/sun50i/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/hw/sun50i/damaged-recordings-are-refused-by-line",
			test_damaged_recordings_are_refused_by_line);
	TEST("map-zaps-around-both-ends", test_map_zaps_around_both_ends);
	TEST("map-of-one-page-zaps-two", test_map_of_one_page_zaps_two);
	TEST("bits-above-32-are-ignored", test_bits_above_32_are_ignored);
	TEST("zap-at-the-end-of-the-space-wraps", test_zap_at_the_end_of_the_space_wraps);
	TEST("map-zaps-the-walk-cache-by-table", test_map_zaps_the_walk_cache_by_table);
	TEST("map-of-more-than-a-table-zaps-those-behind", test_map_of_more_than_a_table_zaps_those_behind);
	TEST("unmap-flushes-everything", test_unmap_flushes_everything);
	TEST("flush-that-times-out-leaves-everything", test_flush_that_times_out_leaves_everything);
	TEST("zap-that-times-out-leaves-its-own", test_zap_that_times_out_leaves_its_own);
	TEST("attach-that-times-out-enables-nothing", test_attach_that_times_out_enables_nothing);
	TEST("faults-blame-and-reset-a-master", test_faults_blame_and_reset_a_master);
	TEST("several-faults-at-once", test_several_faults_at_once);
	TEST("interrupt-of-nothing-is-left-alone", test_interrupt_of_nothing_is_left_alone);
	TEST("detach-frees-the-second-level", test_detach_frees_the_second_level);
	return g_test_run();
}
