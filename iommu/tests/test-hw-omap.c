/* SPDX-License-Identifier: MIT */
/*
 * The OMAP IOMMU: its recordings, and the TLB that the driver looks through: what a scan costs, what it finds, and what it
 * leaves behind.
 */
#include <errno.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/hw/omap.h"
#include "iommu/tests/golden-files.h"

#define PAGE	UINT64_C(0x1000)
#define LARGE	UINT64_C(0x10000)
#define SECTION UINT64_C(0x100000)
#define SUPER	UINT64_C(0x1000000)
#define RW	(PROT_READ | PROT_WRITE)
#define DOMAIN	1

#define TABLES UINT64_C(0x80000000)

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *writes;
};

static void note_write(void *data, uint32_t offset, uint32_t value)
{
	g_string_append_printf(data, "%x=%x ", offset, value);
}

/* As the device has it: all of its entries can hold any page. @lines is a number of entries, 0 for the usual one. */
static void setup(struct fixture *fixture, const void *lines)
{
	static const struct iotlb_config tlb = {.entries = 32, .ways = 32};
	const struct iommu_hw_config config = {.tlb_lines = GPOINTER_TO_UINT(lines)};
	const struct pgtable_config table = {.table_offset = TABLES - PHYSMEM_BASE};

	fixture->sim = sim_new(1, 1);
	fixture->writes = g_string_new(NULL);
	fixture->iommu = iommu_new_config(fixture->sim, &omap_ops, &config, &tlb);
	g_assert_nonnull(fixture->iommu);
	fixture->iommu->watch = (struct iommu_watch){note_write, NULL, fixture->writes};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
}

static void teardown(struct fixture *fixture, const void *lines)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(fixture->iommu);
	sim_free(fixture->sim);
	g_string_free(fixture->writes, TRUE);
}

static void map(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, iova, paddr, len, RW), ==, 0);
}

static struct iotlb_result touch(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->iommu->tlb, DOMAIN, fixture->domain->pt, iova, &result);
	return result;
}

/** Forgets the writes and accesses so far. */
static void forget(struct fixture *fixture)
{
	g_string_truncate(fixture->writes, 0);
	fixture->iommu->stats = (struct iommu_stats){0};
}

static void assert_accesses(const struct fixture *fixture, uint64_t reads, uint64_t writes)
{
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, reads);
	g_assert_cmpuint(fixture->iommu->stats.mmio_writes, ==, writes);
}

static void test_attach_and_detach_flush_everything(struct fixture *fixture, const void *lines)
{
	g_assert_cmpstr(fixture->writes->str, ==, "60=1 4c=80000000 1c=1e 44=6 ");
	map(fixture, LARGE, LARGE, 3 * PAGE);
	touch(fixture, LARGE);
	forget(fixture);
	fixture->iommu->ops->detach(fixture->domain);
	fixture->domain->attached = false;
	g_assert_cmpstr(fixture->writes->str, ==, "60=1 ");
	g_assert_false(touch(fixture, LARGE).hit);
	g_assert_cmpuint(fixture->domain->pt->table_pages, ==, 1);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, LARGE), ==, 0);
}

static void test_second_domain_has_to_wait(struct fixture *fixture, const void *lines)
{
	const struct pgtable_config table = {.table_offset = TABLES - PHYSMEM_BASE};
	struct iommu_domain *second;

	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN + 1, &table, &second), ==, 0);
	g_assert_cmpint(iommu_domain_attach(second), ==, -EBUSY);
	iommu_domain_free(fixture->domain);
	g_assert_cmpint(iommu_domain_attach(second), ==, 0);
	fixture->domain = second;
}

/* Three reads and a write an entry, all of them where the address is not there. */
static void test_map_and_unmap_look_through_the_tlb(struct fixture *fixture, const void *lines)
{
	unsigned entries = omap_tlb_lines(fixture->iommu);

	forget(fixture);
	map(fixture, PAGE, LARGE, 2 * PAGE);
	assert_accesses(fixture, 2 * 3 * entries, 2 * entries);
	touch(fixture, PAGE);
	touch(fixture, 2 * PAGE);
	forget(fixture);
	g_assert_cmpuint(iommu_unmap(fixture->domain, PAGE, 2 * PAGE), ==, 2 * PAGE);
	g_assert_cmpstr(fixture->writes->str, ==,
			"58=1006 5c=10000 64=1 54=1 64=1 58=2006 5c=11000 64=1 54=1 64=1 ");
	assert_accesses(fixture, 3 * 1 + 3 * 2, 1 + 5 + 2 + 5);
	g_assert_false(touch(fixture, PAGE).hit);
	g_assert_false(touch(fixture, 2 * PAGE).hit);
	g_assert_cmphex(touch(fixture, PAGE).paddr, ==, 0);
}

static void test_pages_of_every_size_are_found(struct fixture *fixture, const void *lines)
{
	static const struct {
		uint64_t size;
		const char *cam;
	} sizes[] = {{PAGE, "58=4000006 "},
		     {LARGE, "58=4000005 "},
		     {SECTION, "58=4000004 "},
		     {SUPER, "58=4000007 "}};

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		uint64_t size = sizes[i].size;

		map(fixture, 4 * SUPER, 2 * SUPER, size);
		touch(fixture, 4 * SUPER + size - 1);
		forget(fixture);
		g_assert_cmpuint(iommu_unmap(fixture->domain, 4 * SUPER, size), ==, size);
		g_assert_true(g_str_has_prefix(fixture->writes->str, sizes[i].cam));
		g_assert_false(touch(fixture, 4 * SUPER + size - 1).hit);
	}
}

static uint64_t unmap_one(struct fixture *fixture, uint64_t iova)
{
	struct pgtable_gather gather = {0};
	uint64_t unmapped;

	pgtable_gather_init(&gather);
	unmapped = pgtable_unmap_pages(fixture->domain->pt, iova, PAGE, 1, &gather);
	pgtable_gather_finish(&gather);
	return unmapped;
}

/* What the driver unmaps from inside a larger page goes from the TLB as well, and an address too wide is cut for both. */
static void test_unmap_inside_a_larger_page_finds_its_entry(struct fixture *fixture, const void *lines)
{
	map(fixture, 4 * LARGE, LARGE, LARGE);
	touch(fixture, 4 * LARGE);
	g_assert_cmpuint(unmap_one(fixture, (UINT64_C(1) << 32) + 4 * LARGE + 5 * PAGE), ==, LARGE);
	g_assert_false(touch(fixture, 4 * LARGE + 9 * PAGE).hit);
}

/* The driver misses these: it looks for one address, and stops at the first entry that covers it. */
static void test_larger_page_over_small_ones_leaves_those_in_the_tlb(struct fixture *fixture,
								     const void *lines)
{
	map(fixture, 4 * LARGE, 7 * LARGE, 2 * PAGE);
	touch(fixture, 4 * LARGE);
	touch(fixture, 4 * LARGE + PAGE);
	map(fixture, 4 * LARGE, 9 * LARGE, LARGE);
	g_assert_false(touch(fixture, 4 * LARGE).stale);
	g_assert_true(touch(fixture, 4 * LARGE + PAGE).stale);
	g_assert_cmphex(touch(fixture, 4 * LARGE + PAGE).paddr, ==, 7 * LARGE + PAGE);
	/* Two entries cover the second page now; the unmap drops the one that comes first. */
	touch(fixture, 4 * LARGE + 2 * PAGE);
	g_assert_cmpuint(unmap_one(fixture, 4 * LARGE + PAGE), ==, LARGE);
	g_assert_true(touch(fixture, 4 * LARGE + PAGE).hit);
}

static void test_flush_of_one_entry_spares_its_neighbours(struct fixture *fixture, const void *lines)
{
	map(fixture, PAGE, LARGE, 3 * PAGE);
	for (uint64_t iova = PAGE; iova <= 3 * PAGE; iova += PAGE)
		touch(fixture, iova);
	iommu_unmap(fixture->domain, 2 * PAGE, PAGE);
	g_assert_true(touch(fixture, PAGE).hit);
	g_assert_false(touch(fixture, 2 * PAGE).hit);
	g_assert_true(touch(fixture, 3 * PAGE).hit);
}

/* A device tree that says 8 where there are 32: the driver does not look at the rest. */
static void test_entries_that_the_driver_does_not_know_stay(struct fixture *fixture, const void *lines)
{
	map(fixture, 0, LARGE, 9 * PAGE);
	for (uint64_t iova = 0; iova < 9 * PAGE; iova += PAGE)
		touch(fixture, iova);
	iommu_unmap(fixture->domain, 0, 9 * PAGE);
	g_assert_false(touch(fixture, 7 * PAGE).hit);
	g_assert_true(touch(fixture, 8 * PAGE).stale);
}

/* An entry that software loaded is found like others, shows what was loaded, and goes. Invalid ones are not found. */
static void test_loaded_entries_are_found(struct fixture *fixture, const void *lines)
{
	map(fixture, SECTION, SECTION, PAGE);
	omap_tlb_load(fixture->iommu, 0, 0x100002, 0x777000);
	omap_tlb_load(fixture->iommu, 3, 0x10000e, 0x777040);
	forget(fixture);
	g_assert_cmpuint(unmap_one(fixture, SECTION), ==, PAGE);
	g_assert_cmpstr(fixture->writes->str, ==, "58=10000e 5c=777040 64=1 54=1 64=1 ");
	assert_accesses(fixture, 3 * 4, 4 + 5);
	forget(fixture);
	g_assert_cmpuint(unmap_one(fixture, SECTION), ==, 0);
	g_assert_cmpstr(fixture->writes->str, ==, "");
}

static void test_flush_queue_has_nothing_to_flush(struct fixture *fixture, const void *lines)
{
	map(fixture, PAGE, LARGE, PAGE);
	touch(fixture, PAGE);
	forget(fixture);
	fixture->iommu->ops->flush_iotlb_all(fixture->domain);
	assert_accesses(fixture, 0, 0);
	g_assert_true(touch(fixture, PAGE).hit);
}

static void test_faults_in_the_driver_s_words(struct fixture *fixture, const void *lines)
{
	struct iommu_fault fault = {.iova = 0x12345678, .reason = IOMMU_FAULT_TRANSLATION, .write = true};
	g_autoptr(GString) out = g_string_new(NULL);

	map(fixture, 0x12301000, LARGE, PAGE);
	forget(fixture);
	g_assert_true(iommu_report_fault(fixture->iommu, &fault, out));
	fault.iova = 0x22345678;
	g_assert_true(iommu_report_fault(fixture->iommu, &fault, out));
	map(fixture, 0x22300000, SECTION, SECTION);
	g_assert_true(iommu_report_fault(fixture->iommu, &fault, out));
	g_assert_cmpstr(out->str, ==,
			"errs:0x00000002 da:0x12345678 pgd:0x8000048c *pgd:0x80004001 pte:0x80004114 "
			"*pte:0x00000000\n"
			"errs:0x00000002 da:0x22345678 pgd:0x8000088c *pgd:px00000000\n"
			"errs:0x00000002 da:0x22345678 pgd:0x8000088c *pgd:px00100002\n");
	g_assert_cmpstr(fixture->writes->str, ==, "18=2 1c=0 18=2 1c=0 18=2 1c=0 ");
}

static void test_only_8_or_32_entries(void)
{
	static const struct iotlb_config tlb = {0};
	static const unsigned lines[] = {1, 16, 33, 64};
	struct sim *sim = sim_new(1, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
		const struct iommu_hw_config config = {.tlb_lines = lines[i]};

		g_assert_null(iommu_new_config(sim, &omap_ops, &config, &tlb));
	}
	sim_free(sim);
}

static bool emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	g_assert_true(iommu_hw_golden_runner.probe(text, len));
	return iommu_hw_golden_runner.emit(name, text, len, out, error);
}

static void test_recordings(void)
{
	golden_check_all("omap", emit);
}

static void test_damaged_recording_is_refused_by_line(void)
{
#define CFG "cfg fmt=omap_iommu ias=32 oas=32 base=0x80000000 asids="
	static const struct {
		const char *text, *why;
	} texts[] = {
		{"# a\n" CFG "9\n", "cfg of hardware that the driver does not know"},
		{"# a\n" CFG "0x100000020\n", "number too large"},
		{"# a\n" CFG "many\n", "asids is not a number: many"},
		{CFG "8\ntlbset 8 0x1006 0x0\n", "the TLB has no such entry"},
		{CFG "8\ntlbset 0 0x1006\n", "tlbset takes the number of an entry, CAM and RAM"},
		{CFG "8\ntlbset 0 0x1006 0x0 0x0\n", "tlbset takes the number of an entry, CAM and RAM"},
		{CFG "8\ntlbset 0 0x100001006 0x0\n", "missing or unreadable number"},
		{CFG "8\ntlbset 0 cam 0x0\n", "missing or unreadable number"},
		{CFG "8\ntlbget 0 0x1006 0x0\n", "unknown op"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		const char *text = texts[i].text;
		g_autofree char *message = g_strdup_printf("f:2: %s", texts[i].why);
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(iommu_hw_golden_runner.emit("f", text, strlen(text), out, &error));
		g_assert_cmpstr(error->message, ==, message);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *lines);
		unsigned lines;
	} cases[] = {
		{"attach-and-detach-flush-everything", test_attach_and_detach_flush_everything, 0},
		{"second-domain-has-to-wait", test_second_domain_has_to_wait, 0},
		{"map-and-unmap-look-through-the-tlb", test_map_and_unmap_look_through_the_tlb, 32},
		{"map-and-unmap-look-through-8-entries", test_map_and_unmap_look_through_the_tlb, 8},
		{"pages-of-every-size-are-found", test_pages_of_every_size_are_found, 0},
		{"unmap-inside-a-larger-page-finds-its-entry",
		 test_unmap_inside_a_larger_page_finds_its_entry, 0},
		{"larger-page-over-small-ones-leaves-those-in-the-tlb",
		 test_larger_page_over_small_ones_leaves_those_in_the_tlb, 0},
		{"flush-of-one-entry-spares-its-neighbours", test_flush_of_one_entry_spares_its_neighbours,
		 0},
		{"entries-that-the-driver-does-not-know-stay",
		 test_entries_that_the_driver_does_not_know_stay, 8},
		{"loaded-entries-are-found", test_loaded_entries_are_found, 8},
		{"flush-queue-has-nothing-to-flush", test_flush_queue_has_nothing_to_flush, 0},
		{"faults-in-the-driver-s-words", test_faults_in_the_driver_s_words, 0},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/hw-omap/%s", cases[i].name);

		g_test_add(path, struct fixture, GUINT_TO_POINTER(cases[i].lines), setup, cases[i].run,
			   teardown);
	}
	g_test_add_func("/iommu/hw-omap/only-8-or-32-entries", test_only_8_or_32_entries);
	g_test_add_func("/iommu/hw-omap/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/hw-omap/damaged-recording-is-refused-by-line",
			test_damaged_recording_is_refused_by_line);
	return g_test_run();
}
