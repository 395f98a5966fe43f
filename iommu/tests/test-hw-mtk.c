/* SPDX-License-Identifier: MIT */
/*
 * MediaTek's M4U of both generations: their recordings; which range is invalidated, also where the hardware does not
 * answer; addresses in the 4 GB mode; who is blamed for a fault, by the layout of each SoC.
 */
#include <errno.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/hw/mtk.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/golden-files.h"

#define PAGE   UINT64_C(0x1000)
#define GIB    (UINT64_C(1) << 30)
#define DOMAIN 1
#define RW     (PROT_READ | PROT_WRITE)

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	GString *writes; /* of registers: "38=3 " */
};

static void note_write(void *data, uint32_t offset, uint32_t value)
{
	g_string_append_printf(data, "%x=%x ", offset, value);
}

static void open_domain(struct fixture *fixture, const struct iommu_hw_ops *ops,
			const struct iommu_hw_config *config)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct pgtable_config table = {.table_offset = (UINT64_C(1) << 31) - PHYSMEM_BASE};

	fixture->sim = sim_new(1, 1);
	fixture->writes = g_string_new(NULL);
	fixture->iommu = iommu_new_config(fixture->sim, ops, config, &tlb);
	g_assert_nonnull(fixture->iommu);
	fixture->iommu->watch = (struct iommu_watch){note_write, NULL, fixture->writes};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	g_string_truncate(fixture->writes, 0);
}

/** @soc: as mtk knows it. */
static void setup_m4u(struct fixture *fixture, const void *soc)
{
	const struct iommu_hw_config config = {.soc = soc};

	open_domain(fixture, &mtk_ops, &config);
}

static void setup_4gb(struct fixture *fixture, const void *soc)
{
	const struct iommu_hw_config config = {.soc = soc, .above_4g = true};

	open_domain(fixture, &mtk_ops, &config);
}

static void setup_v1(struct fixture *fixture, const void *data)
{
	static const struct iommu_hw_config usual = {0};

	open_domain(fixture, &mtk_v1_iommu_ops, &usual);
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

static void test_recordings(const void *prefix)
{
	golden_check_all(prefix, iommu_hw_golden_runner.emit);
}

static void test_damaged_recordings_are_refused_by_line(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"cfg fmt=mtk_m4u ias=32 oas=32 feats=0x1 level=0x1000\n",
		 "f:1: cfg of hardware that the driver does not know"},
		{"cfg fmt=mtk_m4u ias=32 oas=32 feats=0x1 level=0x39\n",
		 "f:1: cfg of hardware that the driver does not know"},
		{"case a\ncfg fmt=mtk_m4u ias=32 oas=32 feats=0x100000000\n",
		 "f:2: cfg of hardware that the driver does not know"},
		{"cfg fmt=mtk_m4u ias=32 oas=32 feats=some\n", "f:1: feats is not a number: some"},
		{"cfg fmt=mtk_m4u ias=32 oas=32 level=\n", "f:1: level is not a number: "},
		{"cfg fmt=mtk_m4u ias=32 oas=32 ver=x\n", "f:1: ver is not a number: x"},
		{"cfg fmt=mtk_iommu_v1 ias=32 oas=32 base=0x80000000\ntlbset 0 0 0\n", "f:2: unknown op"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(
			iommu_hw_golden_runner.emit("f", cases[i].text, strlen(cases[i].text), out, &error));
		g_assert_cmpstr(error->message, ==, cases[i].message);
	}
}

/* The second generation. */

static void test_hardware_that_there_is_none_of_is_refused(void)
{
	static const struct iommu_hw_config bad[] = {
		{.soc = "mt9999"},
		{.inv_sel = 0x1000},
		{.soc = "mt8173", .inv_sel = 0x2e},
	};
	static const struct iotlb_config tlb = {0};
	struct sim *sim = sim_new(1, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_null(iommu_new_config(sim, &mtk_ops, &bad[i], &tlb));
	sim_free(sim);
}

static void test_socs_have_their_widths(void)
{
	static const struct {
		struct iommu_hw_config config;
		unsigned ias_bits, oas_bits;
		bool high_tables, enable_4gb;
		uint32_t inv_sel;
	} cases[] = {
		{{0}, 32, 32, false, false, 0x38},
		{{.above_4g = true}, 32, 33, false, true, 0x38},
		{{.soc = "mt8183", .above_4g = true}, 32, 35, false, false, 0x38},
		{{.soc = "mt6779"}, 32, 35, true, false, 0x2c},
		{{.soc = "mt8192"}, 34, 35, false, false, 0x2c},
		{{.soc = "mt8195-infra"}, 32, 35, false, false, 0x2c},
		{{.soc = "mt8188-vpp"}, 34, 35, true, false, 0x2c},
		{{.features = 0x20200, .inv_sel = 0x2c}, 34, 35, true, false, 0x2c},
		{{.features = 0x200}, 34, 35, false, false, 0x38},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct pgtable_config *table;
		struct fixture fixture;

		open_domain(&fixture, &mtk_ops, &cases[i].config);
		table = &fixture.domain->pt->config;
		g_assert_cmpuint(table->ias_bits, ==, cases[i].ias_bits);
		g_assert_cmpuint(table->oas_bits, ==, cases[i].oas_bits);
		g_assert_cmpint(!!(table->quirks & QUIRK_ARM_MTK_TTBR_EXT), ==, cases[i].high_tables);
		g_assert_cmpint(mtk_m4u(fixture.iommu)->enable_4gb, ==, cases[i].enable_4gb);
		g_assert_cmphex(mtk_m4u(fixture.iommu)->inv_sel, ==, cases[i].inv_sel);
		teardown(&fixture, NULL);
	}
}

static void test_the_range_and_no_more_is_invalidated(struct fixture *fixture, const void *soc)
{
	map(fixture, 3 * PAGE, 3 * PAGE, PAGE);
	map(fixture, 4 * PAGE, 4 * PAGE, 4 * PAGE);
	for (uint64_t page = 3; page < 8; page++)
		g_assert_false(cached(fixture, page * PAGE));
	map(fixture, 8 * PAGE, 8 * PAGE, PAGE);
	g_assert_true(cached(fixture, 7 * PAGE));
	g_assert_false(cached(fixture, 8 * PAGE));
	g_string_truncate(fixture->writes, 0);
	unmap(fixture, 4 * PAGE, 4 * PAGE);
	assert_writes(fixture, "38=3 24=4000 28=7000 20=1 12c=0 ");
	g_assert_true(cached(fixture, 3 * PAGE));
	g_assert_true(cached(fixture, 8 * PAGE));
	for (uint64_t page = 4; page < 8; page++)
		g_assert_cmphex(touch(fixture, page * PAGE).paddr, ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

/* Of an IOVA the registers have bits 33:32 where no page's address has any. */
static void test_range_above_4_gib(struct fixture *fixture, const void *soc)
{
	map(fixture, 12 * GIB - PAGE, 0x40000000, 2 * PAGE);
	assert_writes(fixture, "2c=3 24=fffff002 28=3 20=1 12c=0 ");
	g_assert_cmphex(touch(fixture, 12 * GIB).paddr, ==, 0x40001000);
	unmap(fixture, 12 * GIB, PAGE);
	assert_writes(fixture, "2c=3 24=3 28=3 20=1 12c=0 ");
	g_assert_cmphex(touch(fixture, 12 * GIB).paddr, ==, 0);
	g_assert_cmphex(touch(fixture, 12 * GIB - PAGE).paddr, ==, 0x40000000);
}

/* The table there is freed; what the device remembers of it goes with the range. */
static void test_table_that_a_section_replaces_is_forgotten(struct fixture *fixture, const void *soc)
{
	uint64_t section = UINT64_C(1) << 20;

	map(fixture, section + PAGE, PAGE, PAGE);
	g_assert_cmphex(touch(fixture, section + PAGE).paddr, ==, PAGE);
	map(fixture, section, 8 * section, section);
	g_assert_cmphex(touch(fixture, section + PAGE).paddr, ==, 8 * section + PAGE);
	unmap(fixture, section, section);
	g_assert_cmphex(touch(fixture, section + PAGE).paddr, ==, 0);
	map(fixture, section + PAGE, PAGE, PAGE);
	g_assert_false(touch(fixture, section + PAGE).stale);
}

static void test_unmap_of_nothing_is_invalidated_too(struct fixture *fixture, const void *soc)
{
	g_assert_cmphex(iommu_unmap(fixture->domain, 4 * PAGE, 4 * PAGE), ==, 0);
	assert_writes(fixture, "38=3 24=4000 28=7000 20=1 12c=0 ");
	g_assert_cmpuint(warnings(fixture), ==, 1);
}

/* Without an answer everything is flushed, and nobody waits for that. */
static void test_partial_flush_that_times_out_becomes_a_full_one(struct fixture *fixture, const void *soc)
{
	struct fault_rules *rules;
	uint64_t start_ps, reads;

	map(fixture, 4 * PAGE, 4 * PAGE, PAGE);
	map(fixture, 9 * PAGE, 9 * PAGE, PAGE);
	touch(fixture, 4 * PAGE);
	touch(fixture, 9 * PAGE);
	g_string_truncate(fixture->writes, 0);
	reads = fixture->iommu->stats.mmio_reads;
	start_ps = fixture->sim->cursor_ps;
	rules = arm_timeout(fixture, 1);
	unmap(fixture, 4 * PAGE, PAGE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	assert_writes(fixture, "38=3 24=4000 28=4000 20=1 12c=0 38=3 20=2 ");
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads - reads, ==, 100);
	g_assert_cmpuint(fixture->sim->cursor_ps - start_ps, >=, UINT64_C(1000000000));
	g_assert_cmphex(touch(fixture, 4 * PAGE).paddr, ==, 0);
	g_assert_false(cached(fixture, 9 * PAGE));
}

static void test_4gb_mode_maps_above_and_answers_below(struct fixture *fixture, const void *soc)
{
	static const struct {
		uint64_t asked, bus, answered;
	} cases[] = {
		{0x40000000, 0x140000000, 0x40000000},
		{0x3ffff000, 0x13ffff000, 0x13ffff000}, /* no memory is there */
		{0x1ffffe000, 0x1ffffe000, 0xffffe000},
		{0x145678000, 0x145678000, 0x45678000},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		map(fixture, PAGE, cases[i].asked, PAGE);
		g_assert_cmphex(touch(fixture, PAGE + 5).paddr, ==, cases[i].bus + 5);
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, PAGE + 5), ==, cases[i].answered + 5);
		unmap(fixture, PAGE, PAGE);
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, PAGE + 5), ==, 0);
	}
}

/* Faults. */

/** Returns what the driver prints of a refused access; free with g_free(). */
static char *fault_line(struct fixture *fixture, const struct iommu_fault *fault)
{
	GString *out = g_string_new(NULL);

	g_assert_true(iommu_report_fault(fixture->iommu, fault, out));
	return g_string_free(out, FALSE);
}

#define M4U_ID(larb, port) ((larb) << 5 | (port))

static void test_faults_blame_the_port_of_each_layout(void)
{
	static const struct {
		const char *soc;
		struct iommu_fault fault;
		const char *line;
	} cases[] = {
		{"mt8173",
		 {.iova = 0x12345678, .stream = M4U_ID(2, 9)},
		 "fault type=0x1 iova=0x12345001 pa=0x0 master=0x124(larb=2 port=9) layer=1 read\n"},
		{"mt8173",
		 {.iova = 0xfffff000, .stream = M4U_ID(5, 31), .write = true, .level = 1},
		 "fault type=0x1 iova=0xfffff002 pa=0x0 master=0x2fc(larb=5 port=31) layer=0 write\n"},
		{"mt8183",
		 {.iova = 0x1000, .stream = M4U_ID(1, 3)},
		 "fault type=0x1 iova=0x1001 pa=0x0 master=0x38c(larb=1 port=3) layer=1 read\n"},
		{"mt8365",
		 {.iova = 0x1000, .stream = M4U_ID(3, 17)},
		 "fault type=0x1 iova=0x1001 pa=0x0 master=0x344(larb=3 port=17) layer=1 read\n"},
		{"mt8192",
		 {.iova = 0x2abcdefff, .stream = M4U_ID(20, 6), .write = true},
		 "fault type=0x1 iova=0x2abcde000 pa=0x0 master=0xb98(larb=20 port=6) layer=1 write\n"},
		{"mt8195-vdo",
		 {.iova = 0x3fffff000, .stream = M4U_ID(0, 1)},
		 "fault type=0x1 iova=0x3fffff000 pa=0x0 master=0x84(larb=0 port=1) layer=1 read\n"},
		{"mt8195-vpp",
		 {.iova = 0x1000, .stream = M4U_ID(18, 2)},
		 "fault type=0x1 iova=0x1000 pa=0x0 master=0x1b08(larb=18 port=2) layer=1 read\n"},
		{"mt8195-infra",
		 {.iova = 0x1000, .stream = 0x13},
		 "fault type=0x1 iova=0x1001 pa=0x0 master=0x13(larb=32 port=0) layer=1 read\n"},
		{"mt8173", /* it has no larb 9 */
		 {.iova = 0x1000, .stream = M4U_ID(9, 1)},
		 "fault type=0x1 iova=0x1001 pa=0x0 master=0x84(larb=1 port=1) layer=1 read\n"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct fixture fixture;
		g_autofree char *line = NULL;

		setup_m4u(&fixture, cases[i].soc);
		line = fault_line(&fixture, &cases[i].fault);
		g_assert_cmpstr(line, ==, cases[i].line);
		teardown(&fixture, NULL);
	}
}

/* What larbs a SoC has, each can be told from all others. */
static void test_every_larb_is_blamed_by_its_own_number(void)
{
	static const struct {
		const char *soc;
		unsigned larbs[24];
	} cases[] = {
		{"mt2712", {0, 1, 2, 3, 4, 5, 6, 7}},
		{"mt6779", {0, 1, 2, 3, 5, 7, 8, 9, 10}},
		{"mt6795", {0, 1, 2, 3, 4}},
		{"mt6893", {0, 1, 2, 4, 5, 7, 9, 11, 13, 14, 16, 17, 18, 19, 20}},
		{"mt8167", {0, 1, 2}},
		{"mt8173", {0, 1, 2, 3, 4, 5}},
		{"mt8183", {0, 1, 2, 3, 4, 5, 6, 7}},
		{"mt8186", {0, 1, 2, 4, 7, 8, 9, 11, 13, 14, 16, 17, 19, 20}},
		{"mt8188-vdo", {0, 2, 5, 9, 10, 11, 13, 19, 21, 25, 29, 30}},
		{"mt8188-vpp", {1, 3, 4, 6, 7, 12, 14, 15, 16, 17, 23, 24, 27, 28}},
		{"mt8189-apu", {0}},
		{"mt8189-mm", {0, 1, 2, 4, 7, 9, 11, 13, 14, 16, 17, 19, 20, 21}},
		{"mt8192", {0, 1, 2, 4, 5, 7, 9, 11, 13, 14, 16, 17, 18, 19, 20}},
		{"mt8195-vdo", {0, 2, 5, 7, 9, 10, 11, 13, 15, 17, 19, 21, 24, 25}},
		{"mt8195-vpp", {1, 3, 4, 6, 8, 12, 14, 16, 18, 20, 22, 23, 26, 29, 30, 31}},
		{"mt8365", {0, 1, 2, 3, 4, 5}},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		bool apu = g_str_has_suffix(cases[i].soc, "-apu");
		struct fixture fixture;

		setup_m4u(&fixture, cases[i].soc);
		for (unsigned j = 0; j == 0 || cases[i].larbs[j]; j++) {
			const struct iommu_fault fault = {.stream = M4U_ID(cases[i].larbs[j], 11)};
			g_autofree char *expected = g_strdup_printf(
				"(larb=%u port=%u)", apu ? 32 : cases[i].larbs[j], apu ? 0 : 11);
			g_autofree char *line = fault_line(&fixture, &fault);

			g_assert_nonnull(strstr(line, expected));
		}
		teardown(&fixture, NULL);
	}
}

/** Lets the driver handle registers as the second MMU of the hardware leaves them, with a physical address. */
static char *second_mmu_line(struct fixture *fixture)
{
	struct iommu_registers registers = {0};
	GString *out = g_string_new(NULL);

	iommu_registers_add(&registers, 0x134, 1 << 9);
	iommu_registers_add(&registers, 0x144, 0x7654321u << 4 | 0x5 << 6 | 0x2);
	iommu_registers_add(&registers, 0x148, 0x89abc000);
	iommu_registers_add(&registers, 0x154, 1 << 7 | 4 << 2);
	fixture->iommu->ops->fault_handle(fixture->iommu, &registers, out);
	return g_string_free(out, FALSE);
}

static void test_second_mmu_speaks_where_the_first_is_silent(struct fixture *fixture, const void *soc)
{
	g_autofree char *line = second_mmu_line(fixture);

	g_assert_cmpstr(
		line, ==,
		"fault type=0x200 iova=0x76543352 pa=0x589abc000 master=0x90(larb=1 port=4) layer=0 write\n");
}

/* The driver looks for the upper bits of the physical address where it has just removed them. */
static void test_34_bits_lose_those_of_the_physical_address(struct fixture *fixture, const void *soc)
{
	g_autofree char *line = second_mmu_line(fixture);

	g_assert_cmpstr(
		line, ==,
		"fault type=0x200 iova=0x176543000 pa=0x89abc000 master=0x90(larb=0 port=4) layer=0 write\n");
}

static void test_fault_is_acknowledged_and_everything_flushed(struct fixture *fixture, const void *soc)
{
	const struct iommu_fault fault = {.iova = 0x1000};
	g_autofree char *line = NULL;

	map(fixture, 9 * PAGE, 9 * PAGE, PAGE);
	touch(fixture, 9 * PAGE);
	g_string_truncate(fixture->writes, 0);
	line = fault_line(fixture, &fault);
	assert_writes(fixture, "120=106f 38=3 20=2 ");
	g_assert_false(cached(fixture, 9 * PAGE));
}

/* The first generation. */

static void test_v1_attach_points_at_the_table(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	assert_writes(fixture, "0=80000000 ");
}

static void test_v1_calls_invalidate_their_range_themselves(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 4 * PAGE, 0x45678000, 4 * PAGE, RW), ==, 0);
	assert_writes(fixture, "5d8=3 5c4=4000 5c8=7000 5c0=1 60c=0 ");
	g_assert_cmpint(iommu_sync_map(fixture->domain, 4 * PAGE, 4 * PAGE), ==, 0);
	for (uint64_t page = 4; page < 8; page++)
		touch(fixture, page * PAGE);
	unmap(fixture, 5 * PAGE, 2 * PAGE);
	assert_writes(fixture, "5d8=3 5c4=5000 5c8=6000 5c0=1 60c=0 ");
	g_assert_true(cached(fixture, 4 * PAGE));
	g_assert_true(cached(fixture, 7 * PAGE));
	g_assert_cmphex(touch(fixture, 5 * PAGE).paddr, ==, 0);
	g_assert_cmphex(touch(fixture, 6 * PAGE).paddr, ==, 0);
	/* The device finds the byte, the driver its page. */
	g_assert_cmphex(touch(fixture, 4 * PAGE + 0x123).paddr, ==, 0x45678123);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 4 * PAGE + 0x123), ==, 0x45678000);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, 5 * PAGE), ==, 0);
}

/* One flat table is one read, and there is nothing between the device and a page to remember. */
static void test_v1_walk_reads_one_entry(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0xfffff000, 0x45678000, PAGE, RW), ==, 0);
	g_assert_cmpint(touch(fixture, 0xfffff123).table_reads, ==, 1);
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0xffffe000, 0x12345000, PAGE, RW), ==, 0);
	g_assert_cmpint(touch(fixture, 0xffffe123).table_reads, ==, 1);
	g_assert_cmpuint(iotlb_stats(fixture->iommu->tlb)->walk_hits, ==, 0);
}

/* The driver would write behind the table. */
static void test_v1_range_over_the_end_is_refused(struct fixture *fixture, const void *data)
{
	struct pgtable *pt = fixture->domain->pt;
	struct pgtable_gather gather = {0};
	uint64_t last = 0xfffff000, mapped = 1;

	pgtable_gather_init(&gather);
	g_assert_cmpint(pgtable_map_pages(pt, last, PAGE, PAGE, 2, RW, &mapped), ==, -ERANGE);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpint(pgtable_map_pages(pt, last, PAGE, PAGE, UINT64_MAX, RW, &mapped), ==, -ERANGE);
	g_assert_cmphex(pgtable_unmap_pages(pt, last, PAGE, 2, &gather), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 3);
	assert_writes(fixture, "");
	g_assert_cmpint(pgtable_map_pages(pt, last, PAGE, PAGE, 1, RW, &mapped), ==, 0);
	g_assert_cmphex(pgtable_unmap_pages(pt, last, PAGE, 1, &gather), ==, PAGE);
	pgtable_gather_finish(&gather);
}

/* Nothing was mapped, and the end of that is before its start; at IOVA 0 it wraps, to the end of all. */
static void test_v1_refused_map_invalidates_nothing_or_everything(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0, 0x45678000, 2 * PAGE, RW), ==, 0);
	touch(fixture, 0);
	touch(fixture, PAGE);
	g_string_truncate(fixture->writes, 0);
	g_assert_cmpint(iommu_map_nosync(fixture->domain, PAGE, 0x12345000, PAGE, RW), ==, -EEXIST);
	assert_writes(fixture, "5d8=3 5c4=1000 5c8=0 5c0=1 60c=0 ");
	g_assert_true(cached(fixture, 0));
	g_assert_true(cached(fixture, PAGE));
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0, 0x12345000, PAGE, RW), ==, -EEXIST);
	assert_writes(fixture, "5d8=3 5c4=0 5c8=fffff000 5c0=1 60c=0 ");
	g_assert_false(cached(fixture, 0));
	g_assert_false(cached(fixture, PAGE));
}

/* As in the second generation, but that the status is cleared last. */
static void test_v1_partial_flush_that_times_out_becomes_a_full_one(struct fixture *fixture, const void *data)
{
	struct fault_rules *rules;

	map(fixture, 4 * PAGE, 4 * PAGE, PAGE);
	map(fixture, 9 * PAGE, 9 * PAGE, PAGE);
	touch(fixture, 4 * PAGE);
	touch(fixture, 9 * PAGE);
	g_string_truncate(fixture->writes, 0);
	rules = arm_timeout(fixture, 1);
	unmap(fixture, 4 * PAGE, PAGE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	assert_writes(fixture, "5d8=3 5c4=4000 5c8=4000 5c0=1 5d8=3 5c0=2 60c=0 ");
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmphex(touch(fixture, 4 * PAGE).paddr, ==, 0);
	g_assert_false(cached(fixture, 9 * PAGE));
}

static void test_v1_faults_blame_larb_and_port(struct fixture *fixture, const void *data)
{
	static const struct {
		unsigned stream;
		const char *who;
	} cases[] =
		{
			{0, "larb=0 port=0"},  {10, "larb=0 port=10"}, {11, "larb=1 port=0"},
			{20, "larb=1 port=9"}, {21, "larb=2 port=0"},  {36, "larb=2 port=15"},
			{37, "larb=2 port=0"}, /* four bits for 23 ports */
			{44, "larb=3 port=0"},
		};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct iommu_fault fault = {
			.iova = 0x12345678, .write = true, .stream = cases[i].stream};
		g_autofree char *expected =
			g_strdup_printf("fault type=0x1 iova=0x12345000 pa=0x0 %s\n", cases[i].who);
		g_autofree char *line = fault_line(fixture, &fault);

		g_assert_cmpstr(line, ==, expected);
	}
}

static void test_v1_fault_is_acknowledged_and_everything_flushed(struct fixture *fixture, const void *data)
{
	const struct iommu_fault fault = {.iova = 0x1000};
	g_autofree char *line = NULL;

	map(fixture, 9 * PAGE, 9 * PAGE, PAGE);
	touch(fixture, 9 * PAGE);
	g_string_truncate(fixture->writes, 0);
	line = fault_line(fixture, &fault);
	assert_writes(fixture, "220=10ff 5d8=3 5c0=2 ");
	g_assert_false(cached(fixture, 9 * PAGE));
}

#define TEST(name, setup, soc, fn) g_test_add("/iommu/hw/" name, struct fixture, soc, setup, fn, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/iommu/hw/mtk/recordings-byte-for-byte", "mtk-m4u", test_recordings);
	g_test_add_data_func("/iommu/hw/mtk-v1/recordings-byte-for-byte", "mtk-v1", test_recordings);
	g_test_add_func("/iommu/hw/mtk/damaged-recordings-are-refused-by-line",
			test_damaged_recordings_are_refused_by_line);
	g_test_add_func("/iommu/hw/mtk/hardware-that-there-is-none-of-is-refused",
			test_hardware_that_there_is_none_of_is_refused);
	g_test_add_func("/iommu/hw/mtk/socs-have-their-widths", test_socs_have_their_widths);
	TEST("mtk/the-range-and-no-more-is-invalidated", setup_m4u, NULL,
	     test_the_range_and_no_more_is_invalidated);
	TEST("mtk/range-above-4-gib", setup_m4u, "mt8192", test_range_above_4_gib);
	TEST("mtk/table-that-a-section-replaces-is-forgotten", setup_m4u, NULL,
	     test_table_that_a_section_replaces_is_forgotten);
	TEST("mtk/unmap-of-nothing-is-invalidated-too", setup_m4u, NULL,
	     test_unmap_of_nothing_is_invalidated_too);
	TEST("mtk/partial-flush-that-times-out-becomes-a-full-one", setup_m4u, NULL,
	     test_partial_flush_that_times_out_becomes_a_full_one);
	TEST("mtk/4gb-mode-maps-above-and-answers-below", setup_4gb, "mt8173",
	     test_4gb_mode_maps_above_and_answers_below);
	g_test_add_func("/iommu/hw/mtk/faults-blame-the-port-of-each-layout",
			test_faults_blame_the_port_of_each_layout);
	g_test_add_func("/iommu/hw/mtk/every-larb-is-blamed-by-its-own-number",
			test_every_larb_is_blamed_by_its_own_number);
	TEST("mtk/second-mmu-speaks-where-the-first-is-silent", setup_m4u, NULL,
	     test_second_mmu_speaks_where_the_first_is_silent);
	TEST("mtk/34-bits-lose-those-of-the-physical-address", setup_m4u, "mt8192",
	     test_34_bits_lose_those_of_the_physical_address);
	TEST("mtk/fault-is-acknowledged-and-everything-flushed", setup_m4u, NULL,
	     test_fault_is_acknowledged_and_everything_flushed);
	TEST("mtk-v1/attach-points-at-the-table", setup_v1, NULL, test_v1_attach_points_at_the_table);
	TEST("mtk-v1/calls-invalidate-their-range-themselves", setup_v1, NULL,
	     test_v1_calls_invalidate_their_range_themselves);
	TEST("mtk-v1/walk-reads-one-entry", setup_v1, NULL, test_v1_walk_reads_one_entry);
	TEST("mtk-v1/range-over-the-end-is-refused", setup_v1, NULL, test_v1_range_over_the_end_is_refused);
	TEST("mtk-v1/refused-map-invalidates-nothing-or-everything", setup_v1, NULL,
	     test_v1_refused_map_invalidates_nothing_or_everything);
	TEST("mtk-v1/partial-flush-that-times-out-becomes-a-full-one", setup_v1, NULL,
	     test_v1_partial_flush_that_times_out_becomes_a_full_one);
	TEST("mtk-v1/faults-blame-larb-and-port", setup_v1, NULL, test_v1_faults_blame_larb_and_port);
	TEST("mtk-v1/fault-is-acknowledged-and-everything-flushed", setup_v1, NULL,
	     test_v1_fault_is_acknowledged_and_everything_flushed);
	return g_test_run();
}
