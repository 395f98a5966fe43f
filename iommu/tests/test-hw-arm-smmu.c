/* SPDX-License-Identifier: MIT */
/*
 * Arm SMMU, versions 1 and 2: the registers of a context bank bit for bit, against values put together from the fields
 * that the specification (IHI 0062D) gives: TLBIVMID, TLBGSYNC (chapter 9), CBAR, CBA2R (chapter 10), SCTLR, TCR, TCR2, TTBR,
 * FSR, FSYNR0, TLBI (chapters 16 and 17).
 */
#include <errno.h>

#include "iommu/hw/arm_smmu.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/hw-trace.h"

#define PAGE  UINT64_C(0x1000)
#define LARGE UINT64_C(0x200000)
#define BANK  5 /* and so ASID 5, or VMID 6 */

/* The bank lies at 0x80000 + 5 * 0x1000. TLBSYNC is 0x7f0. */
#define SYNC "857f0=ffffffff "

static const struct iommu_hw_config stage1 = {0}, stage2 = {.stage = 2},
				    lpae_32 = {.features = ARM_SMMU_LPAE_32}, v1 = {.version = 1},
				    v1_stage2 = {.version = 1, .stage = 2},
				    v1_short = {.version = 1, .features = ARM_SMMU_SHORT};

static void setup(struct hw_trace *trace, const void *config)
{
	hw_trace_init(trace, &arm_smmu_ops, config, BANK);
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

/* CBA2R.VA64; CBAR: TYPE 1 in 17:16, MemAttr 0xf in 15:12, BPSHCFG 3 in 9:8. TCR2: SEP 7 in 17:15, AS 4, PASize 5; TCR: T0SZ
 * 16, IRGN 1 in 9:8, ORGN 1 in 11:10, SH 3 in 13:12, EPD1 23. TTBR: ASID in 63:48. SCTLR: M 0, TRE 1, AFE 2, CFRE 5, CFIE 6,
 * ASIDPNE 12. */
static void test_bank_of_stage_1(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "1814=1 1014=1f300 85010=38015 85030=803510 "
			       "85020:5000080000000 85028:5000000000000 85038=f404ff44 8503c=ffffffff "
			       "85000=1067 ");
}

/* CBAR: TYPE 0, VMID 6. TCR: RES1 31, PS 5 in 18:16, SL0 2 in 7:6. No TCR2, TTBR1 or MAIR. */
static void test_bank_of_stage_2(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "1814=1 1014=6 85030=80053590 85020:80000000 85000=67 ");
}

/* TCR: EAE 31, T0SZ 32; PASize 2: 40 bits. */
static void test_bank_of_32_bits(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace, "1814=0 1014=1f300 85010=38002 85030=80803520 "
			       "85020:5000080000000 85028:5000000000000 85038=f404ff44 8503c=ffffffff "
			       "85000=1067 ");
}

/* Neither CBA2R nor TCR2. TTBR0 with the coherent walker's attributes; PRRR and NMRR in the place of MAIR. */
static void test_bank_of_version_1_short(struct hw_trace *trace, const void *config)
{
	hw_trace_expect(trace,
			"1014=1f300 85030=0 85034=5 85020=8000006a 85028=0 85038=800b8204 8503c=40004000 "
			"85000=1067 ");
}

static void test_detach_disables_the_bank(struct hw_trace *trace, const void *config)
{
	struct iommu_domain *other;

	g_assert_cmpint(iommu_domain_new(trace->iommu, 127, &trace->domain->pt->config, &other), ==, 0);
	g_assert_cmpint(iommu_domain_attach(other), ==, 0);
	g_string_truncate(trace->text, 0);
	iommu_domain_free(other);
	/* The format's own flush follows. */
	hw_trace_expect(trace, "ff000=0 ff610=7f ff7f0=ffffffff ");
}

static void test_more_domains_than_banks(struct hw_trace *trace, const void *config)
{
	struct iommu_domain *other;

	g_assert_cmpint(iommu_domain_new(trace->iommu, 128, &trace->domain->pt->config, &other), ==, 0);
	g_assert_cmpint(iommu_domain_attach(other), ==, -ENOSPC);
	hw_trace_expect(trace, "");
	iommu_domain_free(other);
}

/* TLBIVAL 0x620: Address[55:12] in bits 43:0, ASID in 63:48, in one access. */
static void test_each_page_is_a_write(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, UINT64_C(0x923456789000), 0x40000000, 2 * PAGE);
	hw_trace_expect(trace, "");
	iommu_unmap(trace->domain, UINT64_C(0x923456789000), 2 * PAGE);
	hw_trace_expect(trace, "85620:5000923456789 85620:500092345678a " SYNC);
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands, ==, 2);
	g_assert_cmpuint(trace->iommu->stats.invalidate_waits, ==, 1);
	arm_smmu_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "85610=5 " SYNC); /* TLBIASID */
}

/* TLBIVA 0x600 in 32 bits: an address with the ASID in its lowest bits. */
static void test_32_bits_write_an_address(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 0x40001000, 0x40000000, PAGE);
	iommu_unmap(trace->domain, 0x40001000, PAGE);
	hw_trace_expect(trace, "85620=40001005 " SYNC);
}

/* TLBIIPAS2L 0x638: IPA[51:12]. */
static void test_stage_2_writes_a_page_number(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 0x40001000, 0x40000000, PAGE);
	iommu_unmap(trace->domain, 0x40001000, PAGE);
	hw_trace_expect(trace, "85638:40001 " SYNC);
	arm_smmu_ops.flush_iotlb_all(trace->domain);
	hw_trace_expect(trace, "64=6 70=ffffffff "); /* TLBIVMID, TLBGSYNC */
}

static void test_version_1_has_only_the_vmid(struct hw_trace *trace, const void *config)
{
	hw_trace_map(trace, 0x40001000, 0x40000000, 2 * PAGE);
	hw_trace_map(trace, 0x80001000, 0x40000000, PAGE);
	hw_trace_touch(trace, 0x80001000);
	iommu_unmap(trace->domain, 0x40001000, 2 * PAGE);
	hw_trace_expect(trace, "64=6 64=6 70=ffffffff ");
	g_assert_false(hw_trace_touch(trace, 0x80001000).hit);
}

/* A table that goes: each page that it covered by TLBIVA, and a sync; then its own entry. */
static void test_a_freed_table_is_told_page_by_page(struct hw_trace *trace, const void *config)
{
	for (uint64_t at = 0; at < LARGE; at += PAGE)
		hw_trace_map(trace, 4 * LARGE + at, 0x40000000 + 2 * at, PAGE);
	hw_trace_touch(trace, 4 * LARGE);
	iommu_unmap(trace->domain, 4 * LARGE, LARGE);
	g_assert_true(g_str_has_prefix(trace->text->str, "85600:5000000000800 85600:5000000000801 "));
	g_assert_true(
		g_str_has_suffix(trace->text->str, "85600:50000000009ff " SYNC "85620:5000000000800 " SYNC));
	g_assert_cmpuint(trace->iommu->stats.invalidate_commands, ==, 513);
	g_assert_false(hw_trace_touch(trace, 4 * LARGE).stale);
}

static void test_a_sync_that_never_ends(struct hw_trace *trace, const void *config)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(trace->sim, tables, "iommu.invalidate_timeout", 1);
	const struct finding *finding;

	hw_trace_map(trace, PAGE, 0x40000000, PAGE);
	hw_trace_touch(trace, PAGE);
	iommu_unmap(trace->domain, PAGE, PAGE);
	g_assert_true(sweep_disarm(trace->sim, rules));
	g_assert_true(hw_trace_touch(trace, PAGE).stale);
	g_assert_cmpuint(trace->iommu->stats.mmio_reads, ==, 200);
	finding = g_ptr_array_index(trace->sim->findings.kept, 0);
	g_assert_cmpstr(finding->text, ==, "TLB sync timed out -- SMMU may be deadlocked");
}

static void check_fault(struct hw_trace *trace, const struct iommu_fault *fault, const char *expected)
{
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_true(iommu_report_fault(trace->iommu, fault, out));
	g_assert_cmpstr(out->str, ==, expected);
}

/* FSR: TF 1, PF 3, FORMAT in 10:9, written back to clear it; FSYNR0: PLVL in 1:0, WNR 4. */
static void test_faults(struct hw_trace *trace, const void *config)
{
	const struct iommu_fault hole = {
		.iova = 0xffeff000, .reason = IOMMU_FAULT_TRANSLATION, .stream = 0x1004, .domain = BANK};
	const struct iommu_fault denied = {
		.iova = 0x1000, .reason = IOMMU_FAULT_PERMISSION, .write = true, .level = 1, .domain = BANK};

	check_fault(trace, &hole,
		    "Unhandled context fault: fsr=0x402, iova=0xffeff000, fsynr=0x3, cbfrsynra=0x1004, cb=5\n"
		    "FSR    = 00000402 [Format=2 TF], SID=0x1004\n"
		    "FSYNR0 = 00000003 [S1CBNDX=0 PLVL=3]\n");
	hw_trace_expect(trace, "85058=402 ");
	check_fault(trace, &denied,
		    "Unhandled context fault: fsr=0x408, iova=0x00001000, fsynr=0x12, cbfrsynra=0x0, cb=5\n"
		    "FSR    = 00000408 [Format=2 PF], SID=0x0\n"
		    "FSYNR0 = 00000012 [S1CBNDX=0 WNR PLVL=2]\n");
	hw_trace_expect(trace, "85058=408 ");
}

static void test_faults_of_short_descriptors(struct hw_trace *trace, const void *config)
{
	const struct iommu_fault hole = {
		.iova = 0x1000, .reason = IOMMU_FAULT_TRANSLATION, .write = true, .level = 1, .domain = BANK};

	check_fault(trace, &hole,
		    "Unhandled context fault: fsr=0x2, iova=0x00001000, fsynr=0x11, cbfrsynra=0x0, cb=5\n"
		    "FSR    = 00000002 [Format=0 TF], SID=0x0\n"
		    "FSYNR0 = 00000011 [S1CBNDX=0 WNR PLVL=1]\n");
}

static void test_kinds_that_do_not_exist(void)
{
	static const struct iotlb_config tlb = {0};
	static const struct iommu_hw_config kinds[] = {
		{.version = 3}, {.stage = 3}, {.stage = 2, .features = ARM_SMMU_SHORT}};
	struct sim *sim = sim_new(1, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		g_assert_null(iommu_new_config(sim, &arm_smmu_ops, &kinds[i], &tlb));
	sim_free(sim);
}

#define TEST(path, config, setup, function) \
	g_test_add("/iommu/hw-arm-smmu/" path, struct hw_trace, config, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("bank-of-stage-1", &stage1, setup, test_bank_of_stage_1);
	TEST("bank-of-stage-2", &stage2, setup, test_bank_of_stage_2);
	TEST("bank-of-32-bits", &lpae_32, setup, test_bank_of_32_bits);
	TEST("bank-of-version-1-short", &v1_short, setup, test_bank_of_version_1_short);
	TEST("detach-disables-the-bank", &stage1, setup, test_detach_disables_the_bank);
	TEST("more-domains-than-banks", &stage1, setup_attached, test_more_domains_than_banks);
	TEST("each-page-is-a-write", &stage1, setup_attached, test_each_page_is_a_write);
	TEST("32-bits-write-an-address", &lpae_32, setup_attached, test_32_bits_write_an_address);
	TEST("version-1-writes-an-address", &v1, setup_attached, test_32_bits_write_an_address);
	TEST("short-descriptors-write-an-address", &v1_short, setup_attached, test_32_bits_write_an_address);
	TEST("stage-2-writes-a-page-number", &stage2, setup_attached, test_stage_2_writes_a_page_number);
	TEST("version-1-has-only-the-vmid", &v1_stage2, setup_attached, test_version_1_has_only_the_vmid);
	TEST("a-freed-table-is-told-page-by-page", &stage1, setup_attached,
	     test_a_freed_table_is_told_page_by_page);
	TEST("a-sync-that-never-ends", &stage1, setup_attached, test_a_sync_that_never_ends);
	TEST("faults", &stage1, setup_attached, test_faults);
	TEST("faults-of-short-descriptors", &v1_short, setup_attached, test_faults_of_short_descriptors);
	g_test_add_func("/iommu/hw-arm-smmu/kinds-that-do-not-exist", test_kinds_that_do_not_exist);
	return g_test_run();
}
