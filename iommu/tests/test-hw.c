/* SPDX-License-Identifier: MIT */
/*
 * Every IOMMU of iommu_hw[], and of some its other kinds: whatever the registers, a device never gets through what was
 * unmapped, and always through what was mapped, unless the driver is known to leave something out. A driver that joins
 * the table is tested; what it leaves out it says in traits[].
 */
#include <string.h>

#include "iommu/hw/arm_smmu.h"
#include "iommu/hw/exynos.h"
#include "iommu/hw/hw.h"
#include "iommu/hw/smmuv3.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/core/prng.h"

#define MIB    (UINT64_C(1) << 20)
#define RW     (PROT_READ | PROT_WRITE)
#define DOMAIN 1

/** What is known of a driver besides its ops. */
struct traits {
	const char *name;
	bool defers;		/* offers IOMMU_CAP_DEFERRED_FLUSH; else its domains are never lazy */
	bool silent;		/* of a fault that nobody has handled */
	bool panics;		/* at a fault, which it then does not acknowledge */
	bool gives_up;		/* on a wait that timed out, so that what was cached stays */
	bool insists;		/* until the wait has ended: never leaves anything */
	bool quiet;		/* and says nothing of it */
	bool never_flushes_all; /* as there is nothing left to do, it thinks: what a time-out left stays */
	bool map_misses;	/* after a map and its sync the device may still find what was there before */
	bool unmap_misses;	/* the same of an unmap */
	const char *kind;	/* of other_kinds that it is about; NULL: all without a row of their own */
};

static const struct traits traits[] = {
	{"amd", .defers = true, .gives_up = true},
	{"apple-dart", .gives_up = true},
	{"arm-smmu", .defers = true, .gives_up = true},
	{"arm-smmu-v3", .defers = true, .gives_up = true},
	{"intel", .defers = true, .insists = true},
	/* From version 3.2 on a unit remembers entries of the first level, also of what is not mapped. A page of 1 MiB takes
	 * the place of such an entry without a flush, and of a table that has become empty, which is freed: the device does
	 * not find that page, or, before version 5, finds those of the table's next owner. Version 3.2 has no flush for a new
	 * table either. What is unmapped it never reaches: before version 5 each unmap flushes the entry as well, and since
	 * then a table that is used again flushes all. */
	{"exynos-sysmmu", .panics = true, .gives_up = true, .quiet = true, .never_flushes_all = true,
	 .map_misses = true},
	{"exynos-sysmmu", .panics = true, .gives_up = true, .quiet = true, .never_flushes_all = true,
	 .kind = "v2"},
	{"ipmmu-vmsa", .gives_up = true},
	/* These two invalidate each page as it goes and wait for nothing: their flush_iotlb_all(), which is empty, has
	 * nothing to miss. */
	{"omap-iommu"},
	{"tegra-smmu"},
	{"qcom-iommu", .gives_up = true, .silent = true},
	{"virtio-iommu", .defers = true},
	{NULL},
};

/** One IOMMU: of a driver, its usual one or another. */
struct kind {
	const char *name; /* of the driver */
	const char *what;
	struct iommu_hw_config config;
	bool caching_mode;
	struct iotlb_config tlb; /* no ways: the driver's usual one */
};

static const struct kind other_kinds[] = {
	{"amd", "np-cache", .caching_mode = true},
	{"apple-dart", "t6000", {.soc = "t6000"}},
	{"apple-dart", "t8110", {.soc = "t8110"}},
	{"arm-smmu", "stage-2", {.stage = 2}},
	{"arm-smmu", "32-bit", {.features = ARM_SMMU_LPAE_32}},
	{"arm-smmu", "short", {.features = ARM_SMMU_SHORT}},
	{"arm-smmu", "v1", {.version = 1}},
	{"arm-smmu", "v1-stage-2", {.version = 1, .stage = 2}},
	{"arm-smmu", "v1-short", {.version = 1, .features = ARM_SMMU_SHORT}},
	{"arm-smmu-v3", "stage-2", {.stage = 2}},
	{"arm-smmu-v3", "without-ranges", {.features = SMMUV3_NO_RANGES}},
	{"arm-smmu-v3", "stage-2-without-ranges", {.stage = 2, .features = SMMUV3_NO_RANGES}},
	{"intel", "caching-mode", .caching_mode = true},
	{"exynos-sysmmu", "v2", {.version = 200}, .tlb = {.entries = 512, .ways = 8}},
	{"exynos-sysmmu", "v3.2", {.version = 302}},
	{"exynos-sysmmu", "v3.3", {.version = 303}},
	{"exynos-sysmmu", "v7-vm", {.version = 700, .features = EXYNOS_VM}},
	{"ipmmu-vmsa", "gen2", {.soc = "gen2"}},
	{"omap-iommu", "8-lines", {.tlb_lines = 8}, .tlb = {.entries = 8, .ways = 8}},
	{"tegra-smmu", "tegra30", {.soc = "tegra30"}},
	{"tegra-smmu", "tegra210", {.soc = "tegra210"}},
};

struct subject {
	const struct iommu_hw_ops *ops;
	const struct traits *traits;
	struct kind kind;
};

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	const struct traits *traits;
	uint64_t page;			   /* the smallest */
	uint64_t writes;		   /* of registers */
	uint64_t map_missed, unmap_missed; /* accesses for which the device had not been told */
	struct prng prng;
};

static void count_write(void *data, uint32_t offset, uint32_t value)
{
	uint64_t *writes = data;

	(*writes)++;
}

static void setup(struct fixture *fixture, const void *data)
{
	const struct subject *subject = data;
	const struct iotlb_config *tlb = subject->kind.tlb.ways ? &subject->kind.tlb : &subject->ops->tlb;
	/* Tables lie where the entries of every format reach. */
	const struct pgtable_config table = {
		.ias_bits = 48,
		.oas_bits = 48,
		.top_level = 3,
		.table_offset = (UINT64_C(1) << 31) - PHYSMEM_BASE,
	};

	*fixture = (struct fixture){.traits = subject->traits};
	fixture->sim = sim_new(1, 1);
	fixture->iommu = iommu_new_config(fixture->sim, subject->ops, &subject->kind.config, tlb);
	g_assert_nonnull(fixture->iommu);
	fixture->iommu->caching_mode = subject->kind.caching_mode;
	fixture->iommu->watch = (struct iommu_watch){.write = count_write, .data = &fixture->writes};
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
	g_assert_cmpint(iommu_domain_attach(fixture->domain), ==, 0);
	fixture->page = fixture->domain->pt->page_sizes & -fixture->domain->pt->page_sizes;
	prng_init(&fixture->prng, 1, subject->ops->name);
}

static void teardown(struct fixture *fixture, const void *data)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(fixture->iommu);
	sim_free(fixture->sim);
}

static struct iotlb_result touch(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->iommu->tlb, DOMAIN, fixture->domain->pt, iova, &result);
	return result;
}

static void map(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len)
{
	g_assert_cmpint(iommu_map_nosync(fixture->domain, iova, paddr, len, RW), ==, 0);
	g_assert_cmpint(iommu_sync_map(fixture->domain, iova, len), ==, 0);
}

/** Returns the address of the @i-th page to look at of @len bytes: its first, its last, else any. */
static uint64_t sample(struct fixture *fixture, uint64_t iova, uint64_t len, unsigned i)
{
	uint64_t pages = len / fixture->page, page = prng_next(&fixture->prng) % pages;

	return iova + (i == 0 ? 0 : i == 1 ? pages - 1 : page) * fixture->page;
}

#define SAMPLES 24

static void check_mapped(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t at = sample(fixture, iova, len, i) + prng_below(&fixture->prng, 4096);
		struct iotlb_result result = touch(fixture, at);

		g_assert_true(result.stale == (result.paddr != paddr + (at - iova)));
		g_assert_true(fixture->traits->map_misses || !result.stale);
		fixture->map_missed += result.stale;
	}
}

/** Returns how many of the pages looked at a device still gets through. */
static unsigned count_reachable(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SAMPLES; i++) {
		struct iotlb_result result = touch(fixture, sample(fixture, iova, len, i));

		/* The table is right, whatever the device remembers. */
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, iova), ==, 0);
		g_assert_true(result.stale == (result.paddr != 0));
		count += result.stale;
	}
	fixture->unmap_missed += count;
	return count;
}

/* ---- random ranges ---- */

#define SLOTS	   24
#define SLOT_BYTES (16 * MIB)
#define STEPS	   3000

struct slot {
	uint64_t iova, paddr, len; /* len 0: nothing */
};

static void slot_fill(struct fixture *fixture, struct slot *slot, unsigned number)
{
	uint64_t unit = prng_below(&fixture->prng, 2) ? 2 * MIB : fixture->page;

	slot->iova = number * SLOT_BYTES + prng_below(&fixture->prng, 3) * unit;
	slot->paddr = UINT64_C(0x40000000) + prng_below(&fixture->prng, 64) * unit;
	slot->len = (1 + prng_below(&fixture->prng, 4)) * unit;
	map(fixture, slot->iova, slot->paddr, slot->len);
	check_mapped(fixture, slot->iova, slot->paddr, slot->len);
}

static void test_random_ranges(struct fixture *fixture, const void *data)
{
	struct slot slots[SLOTS] = {0};

	for (unsigned step = 0; step < STEPS; step++) {
		unsigned number = prng_below(&fixture->prng, SLOTS);
		struct slot *slot = &slots[number];

		if (!slot->len) {
			slot_fill(fixture, slot, number);
		} else if (prng_below(&fixture->prng, 2)) {
			check_mapped(fixture, slot->iova, slot->paddr, slot->len);
		} else {
			g_assert_cmpuint(iommu_unmap(fixture->domain, slot->iova, slot->len), ==, slot->len);
			count_reachable(fixture, slot->iova, slot->len);
			slot->len = 0;
		}
	}
	g_assert_cmpuint(iotlb_stats(fixture->iommu->tlb)->hits, >, STEPS);
	g_assert_true((fixture->map_missed > 0) == fixture->traits->map_misses);
	g_assert_true((fixture->unmap_missed > 0) == fixture->traits->unmap_misses);
}

/* A part of what is mapped goes, and comes back as something else: what is next to it stays as it was. The addresses are
 * such that each page is one of its own. */
static void test_part_of_a_range(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, iova = 32 * MIB, paddr = 0x40000000 + page;

	map(fixture, iova, paddr, 8 * page);
	check_mapped(fixture, iova, paddr, 8 * page);
	g_assert_cmpuint(iommu_unmap(fixture->domain, iova + 2 * page, 3 * page), ==, 3 * page);
	if (!fixture->traits->unmap_misses)
		g_assert_cmpuint(count_reachable(fixture, iova + 2 * page, 3 * page), ==, 0);
	check_mapped(fixture, iova, paddr, 2 * page);
	check_mapped(fixture, iova + 5 * page, paddr + 5 * page, 3 * page);
	map(fixture, iova + 2 * page, 0x60000000, 3 * page);
	check_mapped(fixture, iova + 2 * page, 0x60000000, 3 * page);
}

/* Page by page until tables are full, and then all at once, so that whole tables go with what they mapped. */
static void test_full_tables(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, iova = 32 * MIB, len = 2 * MIB;

	for (unsigned round = 0; round < 3; round++) {
		for (uint64_t at = 0; at < len; at += page)
			map(fixture, iova + at, 0x40000000 + 3 * at, page);
		for (uint64_t at = 0; at < len; at += page * 64)
			touch(fixture, iova + at + page);
		check_mapped(fixture, iova, 0x40000000, page);
		g_assert_cmpuint(iommu_unmap(fixture->domain, iova, len), ==, len);
		for (uint64_t at = 0; at < len && !fixture->traits->unmap_misses; at += page)
			g_assert_cmphex(touch(fixture, iova + at).paddr, ==, 0);
		map(fixture, iova, 0x60000000, len);
		check_mapped(fixture, iova, 0x60000000, len);
		g_assert_cmpuint(iommu_unmap(fixture->domain, iova, len), ==, len);
		if (!fixture->traits->unmap_misses)
			g_assert_cmpuint(count_reachable(fixture, iova, len), ==, 0);
	}
}

/* ---- the flush queue ---- */

static void test_lazy(struct fixture *fixture, const void *data)
{
	struct pgtable_gather gather = {0};
	uint64_t iova = 32 * MIB, len = 4 * fixture->page;

	if (!fixture->traits->defers) {
		g_test_skip("the driver offers no deferred flushes");
		return;
	}
	map(fixture, iova, 0x40000000, len);
	check_mapped(fixture, iova, 0x40000000, len);
	pgtable_gather_init(&gather);
	gather.queued = true;
	g_assert_cmpuint(iommu_unmap_fast(fixture->domain, iova, len, &gather), ==, len);
	g_assert_cmpuint(count_reachable(fixture, iova, len), >, 0);
	fixture->iommu->ops->flush_iotlb_all(fixture->domain);
	pgtable_gather_free(fixture->sim, &gather);
	pgtable_gather_finish(&gather);
	g_assert_cmpuint(count_reachable(fixture, iova, len), ==, 0);
	map(fixture, iova, 0x50000000, len);
	check_mapped(fixture, iova, 0x50000000, len);
}

/* ---- time-outs ---- */

/** Returns how many pages can be reached after they were unmapped, by what one wait without an answer left. */
static unsigned time_out_once(struct fixture *fixture)
{
	uint64_t iova = 32 * MIB, len = 4 * fixture->page;
	unsigned reachable;

	map(fixture, iova, 0x40000000, len);
	for (uint64_t at = iova; at < iova + len; at += fixture->page)
		touch(fixture, at);
	g_assert_cmpuint(iommu_unmap(fixture->domain, iova, len), ==, len);
	reachable = count_reachable(fixture, iova, len);
	map(fixture, iova, 0x50000000, len);
	iommu_unmap(fixture->domain, iova, len);
	fixture->iommu->ops->flush_iotlb_all(fixture->domain);
	return reachable;
}

static void test_time_out_at_every_wait(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	unsigned reachable = 0, sum = 0;

	for (uint64_t nth = 1, fired = 1; fired; nth++) {
		struct fault_rules *rules = sweep_arm(fixture->sim, tables, "iommu.invalidate_timeout", nth);
		uint64_t timeouts = fixture->iommu->stats.invalidate_timeouts;

		reachable = time_out_once(fixture);
		fired = sweep_disarm(fixture->sim, rules);
		g_assert_cmpuint(fixture->iommu->stats.invalidate_timeouts - timeouts, ==, fired);
		if (!fired && !fixture->traits->unmap_misses)
			g_assert_cmpuint(reachable, ==, 0);
		sum += reachable;
		fixture->iommu->ops->flush_iotlb_all(fixture->domain);
		if (!fixture->traits->never_flushes_all)
			g_assert_cmpuint(count_reachable(fixture, 32 * MIB, 4 * fixture->page), ==, 0);
	}
	if (fixture->traits->gives_up)
		g_assert_cmpuint(sum, >, 0);
	if (fixture->traits->insists)
		g_assert_cmpuint(sum, ==, 0);
}

/* Hardware that never answers at all: the model comes to an end, and says what happened. */
static void test_time_out_of_every_wait(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = fault_rules_new(tables);
	const struct iommu_stats *stats = &fixture->iommu->stats;
	uint64_t waits = stats->invalidate_waits, timeouts = stats->invalidate_timeouts;
	unsigned reachable;
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("always-XXXXXX.ini", &path, &error);

	g_assert_no_error(error);
	close(fd);
	g_assert_true(g_file_set_contents(
		path, "[fault always]\npoint = iommu.invalidate_timeout\nprobability = 100\ntimes = -1\n", -1,
		&error));
	g_assert_true(fault_rules_load(rules, path, &error));
	unlink(path);
	fault_rules_arm(rules, fixture->sim);
	reachable = time_out_once(fixture);
	if (fixture->traits->insists)
		g_assert_cmpuint(reachable, ==, 0);
	if (fixture->traits->insists || fixture->traits->gives_up)
		g_assert_true((fixture->sim->findings.kept->len == 0) == fixture->traits->quiet);
	g_assert_cmpuint(stats->invalidate_timeouts - timeouts, ==, stats->invalidate_waits - waits);
	fault_rules_arm(NULL, fixture->sim);
	fault_rules_free(rules);
}

/* ---- faults ---- */

static void test_faults(struct fixture *fixture, const void *data)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct iommu_fault fault = {
			.iova = 0x12345000,
			.reason = i & 1 ? IOMMU_FAULT_PERMISSION : IOMMU_FAULT_TRANSLATION,
			.write = i & 2,
			.domain = DOMAIN,
		};
		g_autoptr(GString) out = g_string_new(NULL);
		uint64_t writes = fixture->writes;

		if (!iommu_report_fault(fixture->iommu, &fault, out)) {
			g_assert_null(fixture->iommu->ops->fault_latch);
			g_assert_cmpuint(out->len, ==, 0);
			continue;
		}
		g_assert_true((fixture->writes == writes) == fixture->traits->panics);
		g_assert_cmpint(out->len == 0, ==, fixture->traits->silent);
		if (!out->len)
			continue;
		g_assert_cmpint(out->str[out->len - 1], ==, '\n');
		g_assert_null(strstr(out->str, "\n\n"));
	}
}

/* ---- the caches ---- */

static void test_shape(struct fixture *fixture, const void *data)
{
	const struct iommu_hw_ops *ops = fixture->iommu->ops;
	const struct iotlb_config *tlb = &ops->tlb;

	g_assert_cmpuint(tlb->ways, >, 0);
	g_assert_cmpuint(tlb->ways & (tlb->ways - 1), ==, 0);
	g_assert_cmpuint(tlb->entries & (tlb->entries - 1), ==, 0);
	if (tlb->entries)
		g_assert_cmpuint(tlb->ways, <=, tlb->entries);
	g_assert_nonnull(ops->tlb_source);
	g_assert_true(strstr(ops->tlb_source, "stated") || strstr(ops->tlb_source, "assumed"));
}

static const struct {
	const char *name;
	void (*function)(struct fixture *fixture, const void *data);
} cases[] = {
	{"random-ranges", test_random_ranges},
	{"part-of-a-range", test_part_of_a_range},
	{"full-tables", test_full_tables},
	{"lazy", test_lazy},
	{"time-out-at-every-wait", test_time_out_at_every_wait},
	{"time-out-of-every-wait", test_time_out_of_every_wait},
	{"faults", test_faults},
	{"shape", test_shape},
};

/** Returns the row of that kind of driver @name, else that of all its kinds, else the last, of a driver of which nothing is
 * known. */
static const struct traits *traits_of(const char *name, const char *kind)
{
	const struct traits *row = traits, *all = NULL;

	for (; row->name; row++) {
		if (strcmp(row->name, name) != 0)
			continue;
		if (!row->kind)
			all = row;
		else if (strcmp(row->kind, kind) == 0)
			return row;
	}
	return all ? all : row;
}

static void add_kind(GPtrArray *subjects, const struct iommu_hw_ops *ops, const struct kind *kind)
{
	struct subject *subject = g_new0(struct subject, 1);

	*subject = (struct subject){ops, traits_of(ops->name, kind->what), *kind};
	g_ptr_array_add(subjects, subject);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path =
			g_strconcat("/iommu/hw/", ops->name, "/", kind->what, "/", cases[i].name, NULL);

		g_test_add(path, struct fixture, subject, setup, cases[i].function, teardown);
	}
}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) subjects = g_ptr_array_new_with_free_func(g_free);

	g_test_init(&argc, &argv, NULL);
	for (const struct iommu_hw_ops *const *ops = iommu_hw; *ops; ops++) {
		const struct kind usual = {(*ops)->name, "usual"};

		add_kind(subjects, *ops, &usual);
		for (unsigned i = 0; i < G_N_ELEMENTS(other_kinds); i++)
			if (strcmp(other_kinds[i].name, (*ops)->name) == 0)
				add_kind(subjects, *ops, &other_kinds[i]);
	}
	return g_test_run();
}
