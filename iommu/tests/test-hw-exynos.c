/* SPDX-License-Identifier: MIT */
/*
 * Samsung's SysMMU. The recordings of all its kinds are compared byte by byte. Then what a device finds: after an unmap
 * nothing of the page, of whatever size, in any version; after a map the page, but where a section took the place of a
 * table that the unit still remembers: the driver misses that, and each of these cases shows that the model notices.
 * An unmapped address that is looked up here stands for the unit's prefetch, which comes to such addresses by itself.
 */
#include <errno.h>

#include "iommu/hw/exynos.h"
#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/golden-files.h"
#include "sim/core/prng.h"

#define PAGE	UINT64_C(0x1000)
#define LARGE	UINT64_C(0x10000)
#define SECTION UINT64_C(0x100000)
#define DOMAIN	3
#define RW	(PROT_READ | PROT_WRITE)

static const struct kind {
	const char *name;
	unsigned version;
	unsigned features;
	bool flpd_cache;
	bool flpd_flushed; /* by the driver, where a table takes the place of the shared one */
	uint32_t flush_entry;
} kinds[] = {
	{"v1", 100, 0, false, false, 0x10},
	{"v2", 200, 0, false, false, 0x10},
	{"v3.2", 302, 0, true, false, 0x10},
	{"v3.3", 303, 0, true, true, 0x10},
	{"v5", 500, 0, true, true, 0x14},
	{"v7", 700, 0, true, true, 0x14},
	{"v7-vm", 704, EXYNOS_VM, true, true, 0x8014},
};

struct fixture {
	const struct kind *kind;
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *writes; /* "offset=value " each, since it was last emptied */
};

static void hear_write(void *data, uint32_t offset, uint32_t value)
{
	struct fixture *fixture = data;

	g_string_append_printf(fixture->writes, "%x=%x ", offset, value);
}

static void setup_of(struct fixture *fixture, const struct kind *kind, unsigned features)
{
	static const struct pgtable_config table = {.table_offset = (UINT64_C(1) << 31) - PHYSMEM_BASE};
	struct iommu_hw_config hw = {.version = kind->version, .features = kind->features | features};
	struct iotlb_config tlb = {.entries = 64, .ways = 8};

	if (kind->flpd_cache) {
		tlb.walk_entries = 16;
		tlb.walk_caches_faults = true;
	}
	*fixture = (struct fixture){.kind = kind, .sim = sim_new(1, 1), .writes = g_string_new(NULL)};
	fixture->iommu = iommu_new_config(fixture->sim, &exynos_ops, &hw, &tlb);
	fixture->iommu->watch = (struct iommu_watch){.write = hear_write, .data = fixture};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	g_string_truncate(fixture->writes, 0);
}

static void setup(struct fixture *fixture, const void *data)
{
	setup_of(fixture, data, 0);
}

static void teardown(struct fixture *fixture, const void *data)
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
	g_assert_cmpint(iommu_sync_map(fixture->domain, iova, len), ==, 0);
}

static void unmap(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	g_assert_cmphex(iommu_unmap(fixture->domain, iova, len), ==, len);
}

static struct iotlb_result touch(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->iommu->tlb, DOMAIN, fixture->domain->pt, iova, &result);
	return result;
}

static void assert_found(struct fixture *fixture, uint64_t iova, uint64_t paddr)
{
	struct iotlb_result result = touch(fixture, iova);

	g_assert_cmphex(result.paddr, ==, paddr);
	g_assert_false(result.stale);
}

/** Where the table says that there is something, or nothing, and the device found the opposite. */
static void assert_missed(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result = touch(fixture, iova);

	g_assert_cmphex(result.paddr, ==, 0);
	g_assert_true(result.stale);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, iova), !=, 0);
}

/* Invalidation. */

static void test_unmap_leaves_nothing_of_a_page_of_any_size(struct fixture *fixture, const void *data)
{
	for (uint64_t sizes = PAGE | LARGE | SECTION; sizes; sizes &= sizes - 1) {
		uint64_t size = sizes & -sizes, iova = 8 * size;

		map(fixture, iova, 16 * SECTION, size);
		assert_found(fixture, iova + size - 1, 16 * SECTION + size - 1);
		assert_found(fixture, iova, 16 * SECTION);
		unmap(fixture, iova, size);
		assert_found(fixture, iova, 0);
		assert_found(fixture, iova + size - 1, 0);
	}
}

/** Returns how often the flush register of one page was written. */
static unsigned flushes(struct fixture *fixture)
{
	g_autofree char *word = g_strdup_printf("%x=", fixture->kind->flush_entry);
	g_auto(GStrv) parts = g_strsplit(fixture->writes->str, " ", -1);
	unsigned count = 0;

	for (char **part = parts; *part; part++)
		count += g_str_has_prefix(*part, word);
	g_string_truncate(fixture->writes, 0);
	return count;
}

static void test_only_version_2_flushes_set_by_set(struct fixture *fixture, const void *data)
{
	bool sets = fixture->kind->version / 100 == 2;

	map(fixture, SECTION, SECTION, PAGE);
	map(fixture, SECTION + LARGE, SECTION, LARGE);
	map(fixture, 2 * SECTION, SECTION, SECTION);
	g_string_truncate(fixture->writes, 0);
	unmap(fixture, SECTION, PAGE);
	g_assert_cmpuint(flushes(fixture), ==, 1);
	unmap(fixture, SECTION + LARGE, LARGE);
	g_assert_cmpuint(flushes(fixture), ==, sets ? 16 : 1);
	unmap(fixture, 2 * SECTION, SECTION);
	g_assert_cmpuint(flushes(fixture), ==, sets ? 64 : 1);
}

/* 120 looks, and one more; then the unit goes on as it was, and nobody is told. */
static void test_unit_that_does_not_stop_is_not_flushed(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct iotlb_result result;
	struct fault_rules *rules;
	uint64_t reads;

	map(fixture, SECTION, 7 * PAGE, PAGE);
	assert_found(fixture, SECTION, 7 * PAGE);
	g_string_truncate(fixture->writes, 0);
	reads = fixture->iommu->stats.mmio_reads;
	rules = sweep_arm(fixture->sim, tables, "iommu.invalidate_timeout", 1);
	unmap(fixture, SECTION, PAGE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	g_assert_cmpstr(fixture->writes->str, ==, "0=7 0=5 ");
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads - reads, ==, 121);
	g_assert_cmpuint(fixture->iommu->stats.invalidate_timeouts, ==, 1);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	result = touch(fixture, SECTION);
	g_assert_true(result.hit);
	g_assert_true(result.stale);
	/* The next one reaches it. */
	unmap(fixture, SECTION, PAGE);
	assert_found(fixture, SECTION, 0);
}

static void test_flush_of_everything_is_not_the_drivers(struct fixture *fixture, const void *data)
{
	fixture->iommu->ops->flush_iotlb_all(fixture->domain);
	g_assert_cmpuint(fixture->writes->len, ==, 0);
	g_assert_cmpuint(iotlb_stats(fixture->iommu->tlb)->invalidations, ==, 1); /* by attach */
}

/* What is remembered of the first level. */

static void test_page_is_found_where_the_shared_table_was(struct fixture *fixture, const void *data)
{
	assert_found(fixture, SECTION, 0); /* the unit comes to the shared table */
	map(fixture, SECTION, 7 * PAGE, PAGE);
	if (fixture->kind->flpd_cache && !fixture->kind->flpd_flushed)
		assert_missed(fixture, SECTION);
	else
		assert_found(fixture, SECTION, 7 * PAGE);
}

/* The FLPD check after a map of 1 MiB looks at the entry that has already been overwritten. */
static void test_section_is_missed_where_the_shared_table_was(struct fixture *fixture, const void *data)
{
	assert_found(fixture, SECTION + PAGE, 0);
	map(fixture, SECTION, 16 * SECTION, SECTION);
	if (!fixture->kind->flpd_cache) {
		assert_found(fixture, SECTION + PAGE, 16 * SECTION + PAGE);
		return;
	}
	assert_missed(fixture, SECTION + PAGE);
	assert_missed(fixture, SECTION);
	/* Its neighbour, which the unit never came to. */
	map(fixture, 2 * SECTION, 16 * SECTION, SECTION);
	assert_found(fixture, 2 * SECTION, 16 * SECTION);
	/* An unmap flushes the entry with the page, before version 5. */
	unmap(fixture, SECTION, SECTION);
	map(fixture, SECTION, 16 * SECTION, SECTION);
	if (fixture->kind->version < 500)
		assert_found(fixture, SECTION, 16 * SECTION);
	else
		assert_missed(fixture, SECTION);
	/* Whatever flushes everything does: a new table anywhere. */
	map(fixture, 5 * SECTION, 7 * PAGE, PAGE);
	assert_found(fixture, SECTION, 16 * SECTION);
}

/* The table is freed, and the unit still walks it: first it finds nothing there, then the pages of somebody else. */
static void test_section_is_missed_where_an_emptied_table_was(struct fixture *fixture, const void *data)
{
	struct iotlb_result result;

	map(fixture, SECTION + PAGE, 7 * PAGE, PAGE);
	assert_found(fixture, SECTION + PAGE, 7 * PAGE);
	unmap(fixture, SECTION + PAGE, PAGE);
	assert_found(fixture, SECTION, 0);
	map(fixture, SECTION, 16 * SECTION, SECTION);
	if (!fixture->kind->flpd_cache) {
		assert_found(fixture, SECTION + PAGE, 16 * SECTION + PAGE);
		return;
	}
	assert_missed(fixture, SECTION + PAGE);
	/* Only this driver's flushes are looked at: a new table comes in the place of the freed one, and with it a flush of
	 * the address that it is for; from version 5 on of everything. */
	map(fixture, 9 * SECTION + PAGE, 123 * PAGE, PAGE);
	result = touch(fixture, SECTION + PAGE);
	if (fixture->kind->version < 500) {
		g_assert_cmphex(result.paddr, ==, 123 * PAGE);
		g_assert_true(result.stale);
	} else {
		g_assert_cmphex(result.paddr, ==, 16 * SECTION + PAGE);
		g_assert_false(result.stale);
	}
}

/* Without prefetch: in version 5 an unmap leaves the entry of the first level, and the section takes the table away. */
static void test_unmap_keeps_the_first_level_from_version_5_on(struct fixture *fixture, const void *data)
{
	map(fixture, SECTION + PAGE, 7 * PAGE, PAGE);
	assert_found(fixture, SECTION + PAGE, 7 * PAGE);
	unmap(fixture, SECTION + PAGE, PAGE);
	map(fixture, SECTION, 16 * SECTION, SECTION);
	if (fixture->kind->version < 500)
		assert_found(fixture, SECTION, 16 * SECTION);
	else
		assert_missed(fixture, SECTION);
}

/** Maps, unmaps and looks up at random in four sections, with sections or without. Returns how many answers were stale. */
static unsigned random_stale_answers(struct fixture *fixture, bool sections)
{
	static const uint64_t sizes[] = {PAGE, PAGE, LARGE, SECTION};
	unsigned stale = 0, found = 0;
	struct prng prng;

	prng_init(&prng, 11, "exynos");
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t size = sizes[prng_below(&prng, sections ? 4 : 3)];
		uint64_t iova = (prng_below(&prng, 4) * SECTION + prng_below(&prng, 3) * LARGE +
				 prng_below(&prng, 3) * PAGE) &
				~(size - 1);
		struct iotlb_result result;

		if (prng_below(&prng, 3) == 0 && !iommu_iova_to_phys(fixture->domain, iova))
			iommu_map_nosync(fixture->domain, iova, (64 + prng_below(&prng, 64)) * SECTION, size,
					 RW);
		else if (prng_below(&prng, 2))
			iommu_unmap(fixture->domain, iova, size);
		result = touch(fixture, iova);
		found += result.paddr != 0;
		stale += result.stale;
	}
	g_assert_cmpuint(found, >, 1000);
	return stale;
}

static void test_random_calls_leave_nothing_stale_but_by_sections(struct fixture *fixture, const void *data)
{
	const struct kind *kind = fixture->kind;

	if (!kind->flpd_cache || kind->flpd_flushed)
		g_assert_cmpuint(random_stale_answers(fixture, false), ==, 0);
	teardown(fixture, data);
	setup(fixture, data);
	if (kind->flpd_cache)
		g_assert_cmpuint(random_stale_answers(fixture, true), >, 0);
	else
		g_assert_cmpuint(random_stale_answers(fixture, true), ==, 0);
}

/* What the core never asks, but the driver would do; @size at @iova in one call. */

static int map_call(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t size)
{
	uint64_t mapped;

	return pgtable_map_pages(fixture->domain->pt, iova, paddr, size, 1, RW, &mapped);
}

static uint64_t unmap_call(struct fixture *fixture, uint64_t iova, uint64_t size)
{
	struct pgtable_gather gather = {0};

	return pgtable_unmap_pages(fixture->domain->pt, iova, size, 1, &gather);
}

static uint64_t warnings(const struct fixture *fixture)
{
	return fixture->sim->findings.count[FINDING_KERNEL_WARNING];
}

/* Sixteen entries from within the last sixteen on would go on behind the table. */
static void test_large_page_ends_with_its_table(struct fixture *fixture, const void *data)
{
	uint64_t last = 2 * SECTION - LARGE;

	g_assert_cmpint(map_call(fixture, last + PAGE, SECTION, LARGE), ==, -EINVAL);
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmpint(map_call(fixture, last, SECTION, LARGE), ==, 0);
	g_assert_cmphex(unmap_call(fixture, last + PAGE, LARGE), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 2);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 2 * SECTION - 1), ==, SECTION + LARGE - 1);
	g_assert_cmphex(unmap_call(fixture, last, LARGE), ==, LARGE);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, last), ==, 0);
}

static void test_unmap_takes_a_section_at_most(struct fixture *fixture, const void *data)
{
	map(fixture, SECTION, 16 * SECTION, 2 * SECTION);
	g_assert_cmphex(unmap_call(fixture, 0, 4 * SECTION), ==, SECTION);
	g_assert_cmphex(unmap_call(fixture, SECTION, 4 * SECTION), ==, SECTION);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, SECTION), ==, 0);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 2 * SECTION), ==, 17 * SECTION);
}

/* A used entry in the midst: what was written before it is taken back, and of that nothing is flushed from CPU caches. */
static void test_large_page_over_a_used_entry_is_taken_back(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->domain->pt;
	uint64_t flushed, written;

	map(fixture, SECTION + 9 * PAGE, 7 * PAGE, PAGE);
	flushed = pt->cache_flushes;
	written = pt->pte_writes;
	g_assert_cmpint(map_call(fixture, SECTION, SECTION, LARGE), ==, -EADDRINUSE);
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmpuint(pt->cache_flushes, ==, flushed);
	g_assert_cmpuint(pt->pte_writes - written, ==, 18);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, SECTION), ==, 0);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, SECTION + 8 * PAGE), ==, 0);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, SECTION + 9 * PAGE), ==, 7 * PAGE);
}

/* The lowest bits of an address that is not aligned make an entry of no kind; a table in its place flushes nothing. */
static void test_table_where_no_shared_one_was_flushes_nothing(struct fixture *fixture, const void *data)
{
	uint64_t odd = fixture->kind->version < 500 ? 1 : 0x10;

	g_assert_cmpint(map_call(fixture, SECTION, 16 * SECTION + odd, SECTION), ==, 0);
	assert_found(fixture, SECTION, 0);
	g_assert_cmpint(map_call(fixture, SECTION, 7 * PAGE, PAGE), ==, 0);
	assert_found(fixture, SECTION, 7 * PAGE);
	g_assert_cmpuint(fixture->writes->len, ==, 0);
}

/* Faults. */

static const struct {
	unsigned kind;
	enum iommu_fault_reason reason;
	bool write;
	const char *printed;
	const char *cleared;
} faults[] = {
	{0, IOMMU_FAULT_TRANSLATION, false, "[READ] PAGE FAULT", "1c=1"},
	{0, IOMMU_FAULT_TRANSLATION, true, "[READ] PAGE FAULT", "1c=1"}, /* which is not known of it */
	{3, IOMMU_FAULT_PERMISSION, false, "[READ] AR ACCESS PROTECTION FAULT", "1c=20"},
	{3, IOMMU_FAULT_PERMISSION, true, "[WRITE] AW ACCESS PROTECTION FAULT", "1c=80"},
	{4, IOMMU_FAULT_TRANSLATION, false, "[READ] PAGE FAULT", "64=2"},
	{4, IOMMU_FAULT_TRANSLATION, true, "[WRITE] PAGE FAULT", "64=20000"},
	{4, IOMMU_FAULT_PERMISSION, false, "[READ] ACCESS PROTECTION FAULT", "64=8"},
	{4, IOMMU_FAULT_PERMISSION, true, "[WRITE] ACCESS PROTECTION FAULT", "64=80000"},
	{5, IOMMU_FAULT_TRANSLATION, false, "[READ] PAGE FAULT", "64=2"},
	{5, IOMMU_FAULT_PERMISSION, true, "[WRITE] ACCESS PROTECTION FAULT", "64=4"},
	{6, IOMMU_FAULT_TRANSLATION, true, "[WRITE] PAGE FAULT", "64=2"},
	{6, IOMMU_FAULT_PERMISSION, false, "[READ] ACCESS PROTECTION FAULT", "64=4"},
};

static void test_faults_are_told_as_the_driver_does(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
		struct iommu_fault fault = {
			.iova = 0x6715b3e0, .reason = faults[i].reason, .write = faults[i].write};
		g_autofree char *line = g_strdup_printf("%s occurred at 0x6715b3e0\n", faults[i].printed);
		g_autofree char *panic = g_strdup_printf(
			"%sKernel panic - not syncing: Unrecoverable System MMU Fault!\n", line);
		g_autofree char *writes = g_strdup_printf("%s 0=5 ", faults[i].cleared);

		for (unsigned handled = 0; handled < 2; handled++) {
			g_autoptr(GString) out = g_string_new(NULL);
			struct fixture fixture;

			setup_of(&fixture, &kinds[faults[i].kind], handled ? EXYNOS_FAULT_HANDLER : 0);
			g_assert_true(iommu_report_fault(fixture.iommu, &fault, out));
			g_assert_cmpstr(out->str, ==, handled ? line : panic);
			g_assert_cmpstr(fixture.writes->str, ==, handled ? writes : "");
			teardown(&fixture, NULL);
		}
	}
}

static void test_other_bits_of_the_status(void)
{
	static const struct {
		unsigned kind;
		uint32_t status, status_at;
		const char *printed, *writes;
	} bits[] = {
		{0, 0, 0x18, "", ""},
		{0, 0x6, 0x18, "[READ] AR MULTI-HIT FAULT occurred at 0x0\n", "1c=2 0=5 "},
		{0, 0x300, 0x18, "Unhandled interrupt bit 8\n", "1c=100 0=5 "},
		{4, 0x20, 0x60, "Unhandled interrupt bit 5\n", "64=20 0=5 "},
		{4, 0x200000, 0x60, "Unhandled interrupt bit 21\n", "64=200000 0=5 "},
		{4, 0x100000, 0x60, "[WRITE] SECURITY PROTECTION FAULT occurred at 0x0\n", "64=100000 0=5 "},
		{6, 0x10, 0x60, "[READ] PTW FAULT occurred at 0x0\n", "64=10 0=5 "},
		{6, 0x80000000, 0x60, "[READ] RESERVED FAULT occurred at 0x0\n", "64=80000000 0=5 "},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		struct iommu_registers registers = {0};
		struct fixture fixture;

		setup_of(&fixture, &kinds[bits[i].kind], EXYNOS_FAULT_HANDLER);
		iommu_registers_add(&registers, bits[i].status_at, bits[i].status);
		exynos_ops.fault_handle(fixture.iommu, &registers, out);
		g_assert_cmpstr(out->str, ==, bits[i].printed);
		g_assert_cmpstr(fixture.writes->str, ==, bits[i].writes);
		teardown(&fixture, NULL);
	}
}

/* Configuration, and recordings. */

static void test_versions_there_are_none_of_are_refused(void)
{
	static const struct iommu_hw_config bad[] = {
		{.version = 99},
		{.version = 800},
		{.version = 500, .features = EXYNOS_VM},
		{.version = 700, .features = 1 << 2},
	};
	static const struct iotlb_config tlb = {0};
	struct sim *sim = sim_new(1, 1);
	struct iommu *usual = iommu_new(sim, &exynos_ops, &tlb);

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_null(iommu_new_config(sim, &exynos_ops, &bad[i], &tlb));
	g_assert_cmpuint(exynos_version(usual), ==, 500);
	iommu_free(usual);
	sim_free(sim);
}

static void test_recordings(void)
{
	golden_check_all("exynos-", iommu_hw_golden_runner.emit);
}

static void test_damaged_recordings_are_refused_by_line(void)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{"cfg fmt=exynos_sysmmu ias=32 ver=99", "f:1: cfg of hardware that the driver does not know"},
		{"cfg fmt=exynos_sysmmu ias=32 ver=70000", "f:1: cfg of a SysMMU that there is none of"},
		{"cfg fmt=exynos_sysmmu ias=32 ver=700 level=2",
		 "f:1: cfg of a SysMMU that there is none of"},
		{"cfg fmt=exynos_sysmmu ias=32 ver=three", "f:1: ver is not a number: three"},
		{"cfg fmt=exynos_sysmmu ias=32 ver=100 base=0x40000000\ntlbset 1 2 3", "f:2: unknown op"},
		{"cfg fmt=exynos_sysmmu ias=32 ver=100 base=0x40000000\nmap 0x1000 rw",
		 "f:2: missing or unreadable number"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(
			iommu_hw_golden_runner.emit("f", bad[i].text, strlen(bad[i].text), out, &error));
		g_assert_cmpstr(error->message, ==, bad[i].message);
	}
}

/* A base where entries cannot hold the tables is answered, not followed. */
static void test_tables_beyond_the_width_are_refused(void)
{
	static const char text[] = "cfg fmt=exynos_sysmmu ias=32 ver=100 base=0x1000\n"
				   "cfg fmt=exynos_sysmmu ias=32 ver=100 base=0xffff0000\n"
				   "cmap 0x0 0x0 0x8000000 rw\n";
	g_autoptr(GString) out = g_string_new(NULL), pages = g_string_new(text);
	g_autoptr(GError) error = NULL;

	for (unsigned i = 0; i < 64; i++)
		g_string_append_printf(pages, "map 0x%x 0x0 0x1000 1 rw\n", (256 + i) << 20);
	iommu_hw_golden_runner.emit("f", pages->str, pages->len, out, &error);
	g_assert_no_error(error);
	g_assert_nonnull(strstr(out->str, "ret cfg -22"));
	g_assert_nonnull(strstr(out->str, "ret cfg 0"));
	g_assert_nonnull(strstr(out->str, "ret cmap 0")); /* sections need no table */
	g_assert_nonnull(strstr(out->str, "ret map 0 mapped=0x1000\nmap"));
	g_assert_nonnull(strstr(out->str, "ret map -12 mapped=0x0\nmap"));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} cases[] = {
		{"unmap-leaves-nothing-of-a-page-of-any-size",
		 test_unmap_leaves_nothing_of_a_page_of_any_size},
		{"only-version-2-flushes-set-by-set", test_only_version_2_flushes_set_by_set},
		{"unit-that-does-not-stop-is-not-flushed", test_unit_that_does_not_stop_is_not_flushed},
		{"flush-of-everything-is-not-the-drivers", test_flush_of_everything_is_not_the_drivers},
		{"page-is-found-where-the-shared-table-was", test_page_is_found_where_the_shared_table_was},
		{"section-is-missed-where-the-shared-table-was",
		 test_section_is_missed_where_the_shared_table_was},
		{"section-is-missed-where-an-emptied-table-was",
		 test_section_is_missed_where_an_emptied_table_was},
		{"unmap-keeps-the-first-level-from-version-5-on",
		 test_unmap_keeps_the_first_level_from_version_5_on},
		{"random-calls-leave-nothing-stale-but-by-sections",
		 test_random_calls_leave_nothing_stale_but_by_sections},
		{"large-page-ends-with-its-table", test_large_page_ends_with_its_table},
		{"unmap-takes-a-section-at-most", test_unmap_takes_a_section_at_most},
		{"large-page-over-a-used-entry-is-taken-back",
		 test_large_page_over_a_used_entry_is_taken_back},
		{"table-where-no-shared-one-was-flushes-nothing",
		 test_table_where_no_shared_one_was_flushes_nothing},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		for (unsigned j = 0; j < G_N_ELEMENTS(cases); j++) {
			g_autofree char *path =
				g_strdup_printf("/iommu/hw/exynos/%s/%s", kinds[i].name, cases[j].name);

			g_test_add(path, struct fixture, &kinds[i], setup, cases[j].run, teardown);
		}
	g_test_add_func("/iommu/hw/exynos/faults-are-told-as-the-driver-does",
			test_faults_are_told_as_the_driver_does);
	g_test_add_func("/iommu/hw/exynos/other-bits-of-the-status", test_other_bits_of_the_status);
	g_test_add_func("/iommu/hw/exynos/versions-there-are-none-of-are-refused",
			test_versions_there_are_none_of_are_refused);
	g_test_add_func("/iommu/hw/exynos/golden/byte-for-byte", test_recordings);
	g_test_add_func("/iommu/hw/exynos/golden/damaged-recordings-are-refused-by-line",
			test_damaged_recordings_are_refused_by_line);
	g_test_add_func("/iommu/hw/exynos/golden/tables-beyond-the-width-are-refused",
			test_tables_beyond_the_width_are_refused);
	return g_test_run();
}
