/* SPDX-License-Identifier: MIT */
/*
 * The Tegra SMMU: its recordings, what the flushes that go with each entry take from the TLB and from the page-table cache,
 * and what the memory controller's handler says of a fault.
 */
#include <errno.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/hw/tegra.h"
#include "iommu/tests/golden-files.h"

#define PAGE	UINT64_C(0x1000)
#define GROUP	UINT64_C(0x4000)
#define SECTION UINT64_C(0x400000)
#define RW	(PROT_READ | PROT_WRITE)
#define DOMAIN	7

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

static struct iommu_domain *attach(struct fixture *fixture, unsigned id)
{
	static const struct pgtable_config table = {.table_offset = TABLES - PHYSMEM_BASE};
	struct iommu_domain *domain;

	g_assert_cmpint(iommu_domain_new(fixture->iommu, id, &table, &domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(domain), ==, 0);
	return domain;
}

static void setup(struct fixture *fixture, const void *soc)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 64, .walk_entries = 16};
	const struct iommu_hw_config config = {.soc = soc};

	fixture->sim = sim_new(1, 1);
	fixture->writes = g_string_new(NULL);
	fixture->iommu = iommu_new_config(fixture->sim, &tegra_ops, &config, &tlb);
	g_assert_nonnull(fixture->iommu);
	fixture->iommu->watch = (struct iommu_watch){note_write, NULL, fixture->writes};
	fixture->domain = attach(fixture, DOMAIN);
}

static void teardown(struct fixture *fixture, const void *soc)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
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

static void test_attach_flushes_the_address_space(struct fixture *fixture, const void *soc)
{
	g_assert_cmpstr(fixture->writes->str, ==, "9b8=0 34=80000001 30=80000000 1c=0 20=e0080000 ");
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, 1);
}

/* 32 bits of address: no upper half. */
static void test_attach_of_tegra30(struct fixture *fixture, const void *soc)
{
	g_assert_cmpstr(fixture->writes->str, ==, "34=80000001 30=80000000 1c=0 20=e0080000 ");
}

/* The lowest number that is free, as long as there is one; it stands in the flushes. */
static void test_address_spaces_are_numbered(struct fixture *fixture, const void *soc)
{
	static const struct pgtable_config table = {.table_offset = TABLES - PHYSMEM_BASE};
	unsigned count = tegra_soc(fixture->iommu)->asids;
	g_autofree struct iommu_domain **domains = g_new0(struct iommu_domain *, count);
	struct iommu_domain *more;

	for (unsigned i = 1; i < count; i++) {
		domains[i] = attach(fixture, DOMAIN + i);
		g_assert_cmpuint(domains[i]->asid, ==, i);
	}
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN + count, &table, &more), ==, 0);
	g_assert_cmpint(iommu_domain_attach(more), ==, -ENOSPC);
	iommu_domain_free(domains[2]);
	g_assert_cmpint(iommu_domain_attach(more), ==, 0);
	g_assert_cmpuint(more->asid, ==, 2);
	domains[2] = more;
	g_string_truncate(fixture->writes, 0);
	g_assert_cmpint(iommu_map_nosync(domains[3], 5 * GROUP, GROUP, PAGE, RW), ==, 0);
	if (count == 4)
		g_assert_nonnull(strstr(fixture->writes->str, "30=e0000002 "));
	else
		g_assert_nonnull(strstr(fixture->writes->str, "30=83000002 "));
	for (unsigned i = 1; i < count; i++)
		iommu_domain_free(domains[i]);
}

static void test_unmap_flushes_the_group_and_the_section_of_a_freed_table(struct fixture *fixture,
									  const void *soc)
{
	map(fixture, SECTION + 5 * GROUP, GROUP, 2 * PAGE);
	touch(fixture, SECTION + 5 * GROUP);
	g_string_truncate(fixture->writes, 0);
	fixture->iommu->stats.mmio_reads = 0;
	g_assert_cmpuint(iommu_unmap(fixture->domain, SECTION + 5 * GROUP, PAGE), ==, PAGE);
	g_assert_cmpstr(fixture->writes->str, ==, "9b8=0 34=80001041 30=80000417 ");
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, 1);
	g_assert_cmphex(touch(fixture, SECTION + 5 * GROUP).paddr, ==, 0);
	g_string_truncate(fixture->writes, 0);
	g_assert_cmpuint(iommu_unmap(fixture->domain, SECTION + 5 * GROUP + PAGE, PAGE), ==, PAGE);
	g_assert_cmpstr(fixture->writes->str, ==,
			"9b8=0 34=80001041 30=80000417 9b8=0 34=80000001 30=80000402 ");
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, 3);
	g_assert_cmpuint(fixture->domain->pt->table_pages, ==, 1);
}

/* A flush takes the four pages of a line, and spares the others. */
static void test_unmap_takes_a_line_of_the_tlb(struct fixture *fixture, const void *soc)
{
	map(fixture, GROUP, 8 * GROUP, 2 * GROUP);
	for (uint64_t iova = GROUP; iova < 3 * GROUP; iova += PAGE)
		touch(fixture, iova);
	iommu_unmap(fixture->domain, 2 * GROUP - PAGE, PAGE);
	g_assert_cmphex(touch(fixture, 2 * GROUP - PAGE).paddr, ==, 0);
	g_assert_false(touch(fixture, GROUP).hit);
	g_assert_true(touch(fixture, 2 * GROUP).hit);
}

static uint64_t reads_after_a_miss(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result = touch(fixture, iova);

	g_assert_false(result.hit);
	g_assert_cmphex(result.paddr, !=, 0);
	return result.table_reads;
}

/* Tegra124 has 8 entries in a line of the page-table cache, so 8 tables are looked for anew when a ninth comes next to
 * them, and no leaf is. Those of another line stay. */
static void test_new_table_takes_a_line_of_the_page_table_cache(struct fixture *fixture, const void *soc)
{
	map(fixture, 8 * SECTION, GROUP, 2 * GROUP);
	map(fixture, 16 * SECTION, GROUP, 2 * GROUP);
	touch(fixture, 8 * SECTION);
	touch(fixture, 16 * SECTION);
	map(fixture, 15 * SECTION, GROUP, PAGE);
	g_assert_true(touch(fixture, 8 * SECTION).hit);
	g_assert_cmpuint(reads_after_a_miss(fixture, 8 * SECTION + GROUP), ==, 2);
	g_assert_cmpuint(reads_after_a_miss(fixture, 16 * SECTION + GROUP), ==, 1);
}

/* Nothing that was unmapped, or that another page was mapped over, is ever found. */
static void test_nothing_stale_is_left(struct fixture *fixture, const void *soc)
{
	struct prng prng;

	prng_init(&prng, 3, "tegra");
	for (unsigned step = 0; step < 4000; step++) {
		uint64_t iova = prng_below(&prng, 3) * SECTION + prng_below(&prng, 12) * PAGE;

		if (prng_below(&prng, 2))
			map(fixture, iova, (1 + prng_below(&prng, 1000)) * PAGE, PAGE);
		else
			iommu_unmap(fixture->domain, iova, PAGE);
		for (unsigned i = 0; i < 12; i++)
			g_assert_false(touch(fixture, prng_below(&prng, 3) * SECTION + i * PAGE).stale);
	}
}

static void test_flush_queue_has_nothing_to_flush(struct fixture *fixture, const void *soc)
{
	map(fixture, PAGE, GROUP, PAGE);
	touch(fixture, PAGE);
	g_string_truncate(fixture->writes, 0);
	fixture->iommu->ops->flush_iotlb_all(fixture->domain);
	g_assert_cmpstr(fixture->writes->str, ==, "");
	g_assert_true(touch(fixture, PAGE).hit);
}

static void report(struct fixture *fixture, const struct iommu_fault *fault, const char *expected)
{
	g_autoptr(GString) out = g_string_new(NULL);

	g_string_truncate(fixture->writes, 0);
	g_assert_true(iommu_report_fault(fixture->iommu, fault, out));
	g_assert_cmpstr(out->str, ==, expected);
	g_assert_cmpstr(fixture->writes->str, ==, "0=440 ");
}

/* As posted of a Tegra124: display0a at 0xfe056b40. */
static void test_faults_in_the_driver_s_words(struct fixture *fixture, const void *soc)
{
	const struct iommu_fault hole = {.iova = 0xfe056b40, .stream = 1};
	const struct iommu_fault denied = {.iova = 0x12345000,
					   .reason = IOMMU_FAULT_PERMISSION,
					   .write = true,
					   .stream = 0x35,
					   .entry = 0xa0012345};
	const struct iommu_fault nobody = {
		.iova = 0x1000, .write = true, .stream = 0x7f, .entry = 0x60000000};

	report(fixture, &hole,
	       "display0a: read @0xfe056b40: EMEM address decode error (SMMU translation error [--S])\n"
	       "display0a: read @0xfe056b40: Page fault (SMMU translation error [--S])\n");
	report(fixture, &denied,
	       "hdaw: write @0x12345000: EMEM address decode error (SMMU translation error [R--])\n"
	       "hdaw: write @0x12345000: Page fault (SMMU translation error [R--])\n");
	report(fixture, &nobody,
	       "unknown: write @0x00001000: EMEM address decode error (SMMU translation error [-W-])\n"
	       "unknown: write @0x00001000: Page fault (SMMU translation error [-W-])\n");
}

/* Longer addresses, and clients with numbers that others have no bits for. */
static void test_faults_of_tegra210(struct fixture *fixture, const void *soc)
{
	const struct iommu_fault fault = {.iova = 0x1000, .stream = 0x80};

	report(fixture, &fault,
	       "sesrd: read @0x0000000000001000: EMEM address decode error (SMMU translation error [--S])\n"
	       "sesrd: read @0x0000000000001000: Page fault (SMMU translation error [--S])\n");
}

static void test_clients_by_generation(void)
{
	static const struct {
		const char *soc;
		unsigned id;
		const char *name;
	} cases[] = {
		{"tegra30", 0x1c, "mpecsrd"},	{"tegra114", 0x1c, "msencsrd"},
		{"tegra124", 0x1c, "msencsrd"}, {"tegra210", 0x1c, "nvencsrd"},
		{"tegra30", 0x34, "fdcdwr2"},	{"tegra124", 0x34, "unknown"},
		{"tegra210", 0x89, "gpuswr2"},	{"tegra30", 0x44, "unknown"},
	};
	static const struct iotlb_config tlb = {0};
	struct sim *sim = sim_new(1, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct iommu_hw_config config = {.soc = cases[i].soc};
		struct iommu *iommu = iommu_new_config(sim, &tegra_ops, &config, &tlb);

		g_assert_cmpstr(tegra_client_name(tegra_soc(iommu), cases[i].id), ==, cases[i].name);
		iommu_free(iommu);
	}
	sim_free(sim);
}

static void test_impossible_hardware_is_refused(void)
{
	static const struct iommu_hw_config configs[] = {
		{.soc = "tegra20"},   {.asids = 129},	    {.atom_bytes = 24},	  {.atom_bytes = 2},
		{.atom_bytes = 8192}, {.address_bits = 31}, {.address_bits = 35},
	};
	static const struct iotlb_config tlb = {0};
	struct sim *sim = sim_new(1, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(configs); i++)
		g_assert_null(iommu_new_config(sim, &tegra_ops, &configs[i], &tlb));
	sim_free(sim);
}

static bool emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	g_assert_true(iommu_hw_golden_runner.probe(text, len));
	return iommu_hw_golden_runner.emit(name, text, len, out, error);
}

static void test_recordings(void)
{
	golden_check_all("tegra", emit);
}

static void test_damaged_recording_is_refused_by_line(void)
{
#define CFG "cfg fmt=tegra_smmu ias=32 oas=34 base=0x280000000"
	static const struct {
		const char *text, *why;
	} texts[] = {
		{"# a\n" CFG " asids=200\n", "cfg of hardware that the driver does not know"},
		{"# a\n" CFG " atom=33\n", "cfg of hardware that the driver does not know"},
		{"# a\n" CFG " addrbits=64\n", "cfg of hardware that the driver does not know"},
		{"# a\n" CFG " atom=x\n", "atom is not a number: x"},
		{"# a\n" CFG " addrbits=0xfffffffff\n", "number too large"},
		{CFG "\ntlbset 0 0x1006 0x0\n", "unknown op"},
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
		const char *name, *soc;
		void (*run)(struct fixture *fixture, const void *soc);
	} cases[] = {
		{"attach-flushes-the-address-space", NULL, test_attach_flushes_the_address_space},
		{"attach-of-tegra30", "tegra30", test_attach_of_tegra30},
		{"4-address-spaces-are-numbered", "tegra30", test_address_spaces_are_numbered},
		{"128-address-spaces-are-numbered", "tegra210", test_address_spaces_are_numbered},
		{"unmap-flushes-the-group-and-the-section-of-a-freed-table", NULL,
		 test_unmap_flushes_the_group_and_the_section_of_a_freed_table},
		{"unmap-takes-a-line-of-the-tlb", NULL, test_unmap_takes_a_line_of_the_tlb},
		{"new-table-takes-a-line-of-the-page-table-cache", "tegra124",
		 test_new_table_takes_a_line_of_the_page_table_cache},
		{"nothing-stale-is-left", NULL, test_nothing_stale_is_left},
		{"flush-queue-has-nothing-to-flush", NULL, test_flush_queue_has_nothing_to_flush},
		{"faults-in-the-driver-s-words", NULL, test_faults_in_the_driver_s_words},
		{"faults-of-tegra210", "tegra210", test_faults_of_tegra210},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/hw-tegra/%s", cases[i].name);

		g_test_add(path, struct fixture, cases[i].soc, setup, cases[i].run, teardown);
	}
	g_test_add_func("/iommu/hw-tegra/clients-by-generation", test_clients_by_generation);
	g_test_add_func("/iommu/hw-tegra/impossible-hardware-is-refused",
			test_impossible_hardware_is_refused);
	g_test_add_func("/iommu/hw-tegra/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/hw-tegra/damaged-recording-is-refused-by-line",
			test_damaged_recording_is_refused_by_line);
	return g_test_run();
}
