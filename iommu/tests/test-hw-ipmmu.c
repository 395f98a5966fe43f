/* SPDX-License-Identifier: MIT */
/*
 * IPMMU-VMSA: its recordings, what a context flush leaves, what the driver says of a fault; and what the frame of drivers'
 * recordings refuses.
 */
#include <errno.h>

#include "iommu/hw/golden.h"
#include "iommu/hw/hw.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/golden-files.h"

#define PAGE UINT64_C(0x1000)
#define RW   (PROT_READ | PROT_WRITE)

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

static void setup(struct fixture *fixture, const void *soc)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct iommu_hw_config config = {.soc = soc};
	/* Tables must lie where 40 bits reach. */
	const struct pgtable_config table = {.table_offset = UINT64_C(0x80000000) - PHYSMEM_BASE};

	fixture->sim = sim_new(1, 1);
	fixture->writes = g_string_new(NULL);
	fixture->iommu = iommu_new_config(fixture->sim, &ipmmu_ops, &config, &tlb);
	g_assert_nonnull(fixture->iommu);
	fixture->iommu->watch = (struct iommu_watch){note_write, NULL, fixture->writes};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
}

static void teardown(struct fixture *fixture, const void *soc)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(fixture->iommu);
	sim_free(fixture->sim);
	g_string_free(fixture->writes, TRUE);
}

static struct iotlb_result touch(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->iommu->tlb, 1, fixture->domain->pt, iova, &result);
	return result;
}

static void test_attach_writes_the_context_of_its_generation(struct fixture *fixture, const void *soc)
{
	g_assert_cmpstr(fixture->writes->str, ==,
			"10010=80000000 10014=0 10008=80000080 10028=f404ff44 10020=0 10000=7 ");
	g_assert_cmpuint(ipmmu_soc(fixture->iommu)->micro_tlbs, ==, 64);
}

static void test_unmap_flushes_the_context_once(struct fixture *fixture, const void *soc)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0x1000, 0x40000000, 4 * PAGE, RW), ==, 0);
	g_assert_cmphex(touch(fixture, 0x2000).paddr, ==, 0x40001000);
	g_string_truncate(fixture->writes, 0);
	g_assert_cmpuint(iommu_unmap(fixture->domain, 0x1000, 4 * PAGE), ==, 4 * PAGE);
	g_assert_cmpstr(fixture->writes->str, ==, "0=7 ");
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, 2);
	g_assert_false(touch(fixture, 0x2000).stale);
	g_assert_cmphex(touch(fixture, 0x2000).paddr, ==, 0);
}

static void test_a_flush_that_never_ends_leaves_what_was_cached(struct fixture *fixture, const void *soc)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(fixture->sim, tables, "iommu.invalidate_timeout", 1);

	g_assert_cmpint(iommu_map_nosync(fixture->domain, 0x1000, 0x40000000, PAGE, RW), ==, 0);
	touch(fixture, 0x1000);
	iommu_unmap(fixture->domain, 0x1000, PAGE);
	g_assert_true(touch(fixture, 0x1000).stale);
	g_assert_cmpuint(fixture->iommu->stats.invalidate_timeouts, ==, 1);
	g_assert_cmpuint(fixture->iommu->stats.mmio_reads, ==, 101);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_KERNEL_WARNING], ==, 1);
	g_assert_true(sweep_disarm(fixture->sim, rules));
}

static void test_faults_in_the_driver_s_words(struct fixture *fixture, const void *soc)
{
	const struct iommu_fault hole = {.iova = 0x12345000, .reason = IOMMU_FAULT_TRANSLATION};
	const struct iommu_fault denied = {.iova = 0x12345000, .reason = IOMMU_FAULT_PERMISSION, .write = true};
	g_autoptr(GString) out = g_string_new(NULL);

	g_string_truncate(fixture->writes, 0);
	g_assert_true(iommu_report_fault(fixture->iommu, &hole, out));
	g_assert_true(iommu_report_fault(fixture->iommu, &denied, out));
	g_assert_cmpstr(out->str, ==,
			"Unhandled fault: status 0x00000001 iova 0x12345000\n"
			"Unhandled fault: status 0x00000002 iova 0x12345000\n");
	g_assert_cmpstr(fixture->writes->str, ==, "20=0 20=0 ");
}

static bool emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	g_assert_true(iommu_hw_golden_runner.probe(text, len));
	return iommu_hw_golden_runner.emit(name, text, len, out, error);
}

static void test_recordings(void)
{
	golden_check_all("ipmmu-vmsa", emit);
}

static void test_unusable_recording_is_refused_by_line(void)
{
#define CFG "cfg fmt=ipmmu_vmsa ias=32 oas=40 base=0x480000000"
	static const char *const texts[] = {
		"# a\n" CFG " soc=gen1\n",
		"# a\n" CFG " soc=gen2 pgsizes=x\n",
		"# a\ncfg fmt=ipmmu_vmsa ias=0 oas=40\n",
		"# a\ntlbset 0 0x1000 0x2000\n",
		CFG "\ntlbset 0 0x1000 0x2000\n",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(iommu_hw_golden_runner.emit("f", texts[i], strlen(texts[i]), out, &error));
		g_assert_true(g_str_has_prefix(error->message, "f:2: "));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add("/iommu/hw-ipmmu/attach-writes-the-context-of-its-generation", struct fixture, "gen4", setup,
		   test_attach_writes_the_context_of_its_generation, teardown);
	g_test_add("/iommu/hw-ipmmu/unmap-flushes-the-context-once", struct fixture, "gen3", setup,
		   test_unmap_flushes_the_context_once, teardown);
	g_test_add("/iommu/hw-ipmmu/a-flush-that-never-ends-leaves-what-was-cached", struct fixture, "gen2", setup,
		   test_a_flush_that_never_ends_leaves_what_was_cached, teardown);
	g_test_add("/iommu/hw-ipmmu/faults-in-the-driver-s-words", struct fixture, NULL, setup,
		   test_faults_in_the_driver_s_words, teardown);
	g_test_add_func("/iommu/hw-ipmmu/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/hw-ipmmu/unusable-recording-is-refused-by-line",
			test_unusable_recording_is_refused_by_line);
	return g_test_run();
}
