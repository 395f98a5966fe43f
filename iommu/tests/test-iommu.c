/* SPDX-License-Identifier: MIT */
/*
 * Mapping into a domain, and the invalidations of VT-d that go with it: every failure in a map leaves the
 * leaves as they were; after an unmap the IOTLB holds nothing of the range; as few and as small invalidations
 * as the driver sends.
 */
#include <errno.h>

#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"

#define PAGE   UINT64_C(0x1000)
#define LARGE  UINT64_C(0x200000)
#define HUGE   UINT64_C(0x40000000)
#define DOMAIN 3
#define RW     (PROT_READ | PROT_WRITE)

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
};

static void setup(struct fixture *fixture, const void *data)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};

	fixture->sim = sim_new(2, 1);
	behaviour_set_version(fixture->sim, KERNEL_7_0);
	fixture->iommu = iommu_new(fixture->sim, &intel_ops, &tlb);
	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN, &table, &fixture->domain), ==, 0);
}

static void teardown(struct fixture *fixture, const void *data)
{
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	iommu_free(fixture->iommu);
	sim_free(fixture->sim);
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

static uint64_t commands(const struct fixture *fixture)
{
	g_assert_cmpuint(fixture->iommu->stats.invalidate_commands, ==,
			 fixture->iommu->stats.invalidate_waits);
	return fixture->iommu->stats.invalidate_commands;
}

static void append_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	g_string_append_printf(data,
			       "%" G_GINT64_MODIFIER "x+%" G_GINT64_MODIFIER "x=%" G_GINT64_MODIFIER "x:%x ",
			       iova, size, paddr, prot);
}

/* Every leaf of the table as text. */
static char *leaves(const struct fixture *fixture)
{
	GString *text = g_string_new(NULL);

	pgtable_dump(fixture->domain->pt, append_leaf, text);
	return g_string_free(text, FALSE);
}

/* ---- failures ---- */

static const struct shape {
	const char *name;
	uint64_t iova, paddr, len;
} shapes[] = {
	{"one-page", 5 * PAGE, 0x777000, PAGE},
	{"pages-in-two-tables", 6 * LARGE - 4 * PAGE, 0x9000, 8 * PAGE},
	{"large-page", 8 * LARGE, 16 * LARGE, LARGE},
	{"large-pages-with-ragged-ends", 10 * LARGE - PAGE, 20 * LARGE - PAGE, 2 * LARGE + 3 * PAGE},
	{"across-a-gibibyte", HUGE - 2 * PAGE, 0x123000, 4 * PAGE},
	{"across-half-a-tebibyte", 512 * HUGE - PAGE, 0x123000, 2 * PAGE},
};

static const char *const map_points[] = {"iommu.map", "pgtable.page"};

/* Also what was mapped before, next to it, stays; and the next attempt succeeds. */
static void test_failed_map(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	const struct shape *shape = data;

	map(fixture, shape->iova - PAGE, 0x555000, PAGE);
	map(fixture, shape->iova + shape->len, 0x556000, PAGE);
	for (unsigned point = 0; point < G_N_ELEMENTS(map_points); point++)
		for (uint64_t nth = 1, fired = 1; fired; nth++) {
			struct fault_rules *rules = sweep_arm(fixture->sim, tables, map_points[point], nth);
			g_autofree char *before = leaves(fixture), *after = NULL;
			struct iommu_stats stats = fixture->iommu->stats;
			int err =
				iommu_map_nosync(fixture->domain, shape->iova, shape->paddr, shape->len, RW);

			fired = sweep_disarm(fixture->sim, rules);
			g_assert_cmpint(err, ==, fired ? -ENOMEM : 0);
			stats.mapped_bytes = fixture->iommu->stats.mapped_bytes - stats.mapped_bytes;
			stats.unmapped_bytes = fixture->iommu->stats.unmapped_bytes - stats.unmapped_bytes;
			if (fired)
				g_assert_cmpuint(stats.mapped_bytes, ==, stats.unmapped_bytes);
			else
				g_assert_cmpuint(iommu_unmap(fixture->domain, shape->iova, shape->len), ==,
						 shape->len);
			after = leaves(fixture);
			g_assert_cmpstr(before, ==, after);
		}
}

static void test_map_over_something_fails_without_touching_it(struct fixture *fixture, const void *data)
{
	g_autofree char *before = NULL, *after = NULL;

	map(fixture, 9 * PAGE, 0x555000, PAGE);
	before = leaves(fixture);
	g_assert_cmpint(iommu_map_nosync(fixture->domain, 8 * PAGE, 0x700000, 3 * PAGE, RW), ==, -EADDRINUSE);
	after = leaves(fixture);
	g_assert_cmpstr(before, ==, after);
}

static void count_event(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len_bytes)
{
	(*(unsigned *)data)++;
}

/* Maps a page through a driver of either kind, failing if @fail is set; returns what the caller is told, and in
 * *@events how many events iommu:map there were. */
static int map_watched(const struct iommu_hw_ops *driver, unsigned behaviour, bool fail, unsigned *events)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	/* Tables must lie where 40 bits reach. */
	const struct pgtable_config table = {.ias_bits = 32,
					     .oas_bits = 40,
					     .top_level = 2,
					     .table_offset = UINT64_C(0x80000000) - PHYSMEM_BASE};
	static const struct iotlb_config tlb = {0};
	struct sim_observer observer = {.map_event = count_event, .data = events};
	struct sim *sim = sim_new(1, 1);
	struct iommu *iommu = iommu_new(sim, driver, &tlb);
	struct iommu_domain *domain;
	struct fault_rules *rules;
	int err;

	sim_observe(sim, &observer);
	sim->behaviour[NOSYNC_MAP_ERROR] = (uint8_t)behaviour;
	g_assert_cmpint(iommu_domain_new(iommu, 1, &table, &domain), ==, 0);
	rules = sweep_arm(sim, tables, "iommu.map", fail ? 1 : 2);
	*events = 0;
	err = iommu_map_nosync(domain, PAGE, 0x555000, PAGE, RW);
	sweep_disarm(sim, rules);
	g_assert_cmphex(iommu_iova_to_phys(domain, PAGE), ==, fail ? 0 : 0x555000);
	iommu_domain_free(domain);
	iommu_free(iommu);
	sim_free(sim);
	return err;
}

/* Defect D2: a page-table driver's failure is told to nobody but the trace, and a success not even to that. */
static void test_inverted_error_test_hides_failures_of_page_table_drivers(void)
{
	static const struct {
		const struct iommu_hw_ops *driver;
		unsigned behaviour;
		int failure; /* what a failed map returns */
		unsigned failure_events, success_events;
	} cases[] = {
		{&ipmmu_ops, NOSYNC_MAP_INVERTED, 0, 1, 0},
		{&ipmmu_ops, NOSYNC_MAP_FIXED, -ENOMEM, 0, 1},
		{&intel_ops, NOSYNC_MAP_INVERTED, -ENOMEM, 0, 0},
		{&intel_ops, NOSYNC_MAP_FIXED, -ENOMEM, 0, 1},
	};
	unsigned events;

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_test_message("%s, %u", cases[i].driver->name, cases[i].behaviour);
		g_assert_cmpint(map_watched(cases[i].driver, cases[i].behaviour, true, &events), ==, cases[i].failure);
		g_assert_cmpuint(events, ==, cases[i].failure_events);
		g_assert_cmpint(map_watched(cases[i].driver, cases[i].behaviour, false, &events), ==, 0);
		g_assert_cmpuint(events, ==, cases[i].success_events);
	}
}

static void test_failed_sync_map_leaves_the_mapping(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules;
	uint64_t sent;

	fixture->iommu->caching_mode = true;
	map(fixture, PAGE, 0x555000, PAGE);
	sent = commands(fixture);
	rules = sweep_arm(fixture->sim, tables, "iommu.sync_map", 1);
	g_assert_cmpint(iommu_sync_map(fixture->domain, PAGE, PAGE), ==, -ENOMEM);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	g_assert_cmpuint(commands(fixture), ==, sent);
	g_assert_cmphex(iommu_iova_to_phys(fixture->domain, PAGE), ==, 0x555000);
}

/* ---- invalidation ---- */

static void test_unmap_of_any_size_sends_one_command(struct fixture *fixture, const void *data)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
		uint64_t sent = commands(fixture);

		map(fixture, shapes[i].iova, shapes[i].paddr, shapes[i].len);
		g_assert_cmpuint(commands(fixture), ==, sent);
		g_assert_cmpuint(iommu_unmap(fixture->domain, shapes[i].iova, shapes[i].len), ==,
				 shapes[i].len);
		g_assert_cmpuint(commands(fixture), ==, sent + 1);
	}
}

static void test_unmap_of_nothing_sends_none(struct fixture *fixture, const void *data)
{
	g_assert_cmpuint(iommu_unmap(fixture->domain, 7 * PAGE, PAGE), ==, 0);
	g_assert_cmpuint(iommu_unmap(fixture->domain, 7 * PAGE, 0), ==, 0);
	g_assert_cmpuint(commands(fixture), ==, 0);
}

static void test_unmaps_gather_into_one_command(struct fixture *fixture, const void *data)
{
	struct pgtable_gather gather = {0};

	pgtable_gather_init(&gather);
	for (uint64_t iova = PAGE; iova <= 3 * PAGE; iova += PAGE) {
		map(fixture, iova, 0x100000 + iova, PAGE);
		touch(fixture, iova);
		g_assert_cmpuint(iommu_unmap_fast(fixture->domain, iova, PAGE, &gather), ==, PAGE);
	}
	g_assert_cmpuint(commands(fixture), ==, 0);
	g_assert_true(touch(fixture, 2 * PAGE).stale);
	iommu_iotlb_sync(fixture->domain, &gather);
	g_assert_cmpuint(commands(fixture), ==, 1);
	for (uint64_t iova = PAGE; iova <= 3 * PAGE; iova += PAGE)
		g_assert_false(touch(fixture, iova).hit);
	pgtable_gather_finish(&gather);
}

static void test_walk_cache_survives_when_no_table_is_freed(struct fixture *fixture, const void *data)
{
	map(fixture, PAGE, 0x555000, 3 * PAGE);
	touch(fixture, PAGE);
	g_assert_cmpuint(iommu_unmap(fixture->domain, PAGE, PAGE), ==, PAGE);
	g_assert_cmpuint(touch(fixture, 3 * PAGE).table_reads, ==, 1);
}

/** Kernels such as 6.1 do not say that only a leaf went: the whole walk is read again. */
static void test_old_kernels_lose_the_walk_cache(struct fixture *fixture, const void *data)
{
	fixture->sim->behaviour[VTD_INVALIDATION_HINT] = VTD_HINT_NEVER;
	map(fixture, PAGE, 0x555000, 3 * PAGE);
	touch(fixture, PAGE);
	g_assert_cmpuint(iommu_unmap(fixture->domain, PAGE, PAGE), ==, PAGE);
	g_assert_cmpuint(touch(fixture, 3 * PAGE).table_reads, ==, 4);
}

static void test_walk_cache_is_dropped_when_a_table_is_freed(struct fixture *fixture, const void *data)
{
	unsigned tables = fixture->domain->pt->table_pages;

	map(fixture, 4 * LARGE, 0x1000, LARGE);
	touch(fixture, 4 * LARGE);
	g_assert_cmpuint(fixture->domain->pt->table_pages, ==, tables + 3);
	g_assert_cmpuint(iommu_unmap(fixture->domain, 4 * LARGE, LARGE), ==, LARGE);
	g_assert_cmpuint(fixture->domain->pt->table_pages, <, tables + 3);
	map(fixture, 4 * LARGE, 0x555000, PAGE);
	g_assert_cmpuint(touch(fixture, 4 * LARGE).table_reads, >, 1);
	g_assert_cmphex(touch(fixture, 4 * LARGE).paddr, ==, 0x555000);
}

static void test_caching_mode_invalidates_on_map(struct fixture *fixture, const void *data)
{
	map(fixture, PAGE, 0x555000, PAGE);
	g_assert_cmpint(iommu_sync_map(fixture->domain, PAGE, PAGE), ==, 0);
	g_assert_cmpuint(commands(fixture), ==, 0);
	fixture->iommu->caching_mode = true;
	map(fixture, 2 * PAGE, 0x556000, PAGE);
	g_assert_cmpint(iommu_sync_map(fixture->domain, 2 * PAGE, PAGE), ==, 0);
	g_assert_cmpuint(commands(fixture), ==, 1);
	g_assert_cmpint(iommu_sync_map(fixture->domain, 2 * PAGE, 0), ==, 0);
	g_assert_cmpuint(commands(fixture), ==, 1);
}

/* The largest page-selective command covers 1 GiB; beyond, the domain goes as a whole. */
static void test_largest_command_spares_the_rest(struct fixture *fixture, const void *data)
{
	map(fixture, HUGE, 0x80000000, HUGE);
	map(fixture, 9 * HUGE, 0x555000, PAGE);
	touch(fixture, HUGE);
	touch(fixture, 9 * HUGE);
	iommu_unmap(fixture->domain, HUGE, HUGE);
	g_assert_true(touch(fixture, 9 * HUGE).hit);
}

static void test_range_beyond_the_largest_command_takes_the_domain(struct fixture *fixture, const void *data)
{
	map(fixture, 2 * HUGE, 0x80000000, 2 * HUGE);
	map(fixture, 9 * HUGE, 0x555000, PAGE);
	touch(fixture, 9 * HUGE);
	iommu_unmap(fixture->domain, 2 * HUGE, 2 * HUGE);
	g_assert_false(touch(fixture, 9 * HUGE).hit);
}

static void test_flush_all_empties_the_domain_and_no_other(struct fixture *fixture, const void *data)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	struct iommu_domain *other;
	struct iotlb_result result;

	g_assert_cmpint(iommu_domain_new(fixture->iommu, DOMAIN + 1, &table, &other), ==, 0);
	g_assert_cmpint(iommu_map_nosync(other, PAGE, 0x666000, PAGE, RW), ==, 0);
	map(fixture, PAGE, 0x555000, PAGE);
	touch(fixture, PAGE);
	iotlb_translate(fixture->iommu->tlb, DOMAIN + 1, other->pt, PAGE, &result);
	intel_ops.flush_iotlb_all(fixture->domain);
	g_assert_cmpuint(commands(fixture), ==, 1);
	g_assert_false(touch(fixture, PAGE).hit);
	iotlb_translate(fixture->iommu->tlb, DOMAIN + 1, other->pt, PAGE, &result);
	g_assert_true(result.hit);
	iommu_domain_free(other);
}

/* ---- a device with a cache of its own ---- */

/** Switches ATS on: the fixture's domain has a device with a cache of 64 entries. */
static void attach_device_cache(struct fixture *fixture)
{
	fixture->domain->device_tlb = iotlb_new(&(struct iotlb_config){.entries = 64, .ways = 4});
}

static void detach_device_cache(struct fixture *fixture)
{
	iotlb_free(g_steal_pointer(&fixture->domain->device_tlb));
}

static struct iotlb_result touch_ats(struct fixture *fixture, struct iotlb *device, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate_ats(device, fixture->iommu->tlb, DOMAIN, fixture->domain->pt, iova, &result);
	return result;
}

static void test_device_cache_is_invalidated_with_one_command_more(struct fixture *fixture, const void *data)
{
	struct iommu_stats *stats = &fixture->iommu->stats;
	uint64_t submitted;

	attach_device_cache(fixture);
	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
		struct iotlb *device = fixture->domain->device_tlb;

		*stats = (struct iommu_stats){0};
		map(fixture, shapes[i].iova, shapes[i].paddr, shapes[i].len);
		g_assert_true(touch_ats(fixture, device, shapes[i].iova).requested);
		touch_ats(fixture, device, shapes[i].iova + shapes[i].len - 1);
		g_assert_true(touch_ats(fixture, device, shapes[i].iova).hit);
		submitted = fixture->sim->work[WORK_INVALIDATE_SUBMIT];
		iommu_unmap(fixture->domain, shapes[i].iova, shapes[i].len);
		g_assert_cmpuint(stats->invalidate_commands, ==, 2);
		g_assert_cmpuint(stats->device_invalidations, ==, 1);
		g_assert_cmpuint(stats->invalidate_waits, ==, 1);
		/* and the wait */
		g_assert_cmpuint(fixture->sim->work[WORK_INVALIDATE_SUBMIT], ==, submitted + 3);
		g_assert_cmphex(touch_ats(fixture, device, shapes[i].iova).paddr, ==, 0);
		g_assert_cmphex(touch_ats(fixture, device, shapes[i].iova + shapes[i].len - 1).paddr, ==, 0);
	}
	detach_device_cache(fixture);
}

static void test_device_cache_is_flushed_with_the_domain(struct fixture *fixture, const void *data)
{
	attach_device_cache(fixture);
	map(fixture, 5 * HUGE, 0x555000, PAGE);
	map(fixture, UINT64_C(0xfffffffff000), 0x556000, PAGE);
	touch_ats(fixture, fixture->domain->device_tlb, 5 * HUGE);
	touch_ats(fixture, fixture->domain->device_tlb, UINT64_C(0xfffffffff000));
	intel_ops.flush_iotlb_all(fixture->domain);
	g_assert_cmpuint(fixture->iommu->stats.device_invalidations, ==, 1);
	g_assert_false(touch_ats(fixture, fixture->domain->device_tlb, 5 * HUGE).hit);
	g_assert_false(touch_ats(fixture, fixture->domain->device_tlb, UINT64_C(0xfffffffff000)).hit);
	detach_device_cache(fixture);
}

static void test_device_cache_is_not_told_of_new_mappings(struct fixture *fixture, const void *data)
{
	attach_device_cache(fixture);
	fixture->iommu->caching_mode = true;
	map(fixture, PAGE, 0x555000, PAGE);
	g_assert_cmpint(iommu_sync_map(fixture->domain, PAGE, PAGE), ==, 0);
	g_assert_cmpuint(commands(fixture), ==, 1);
	g_assert_cmpuint(fixture->iommu->stats.device_invalidations, ==, 0);
	detach_device_cache(fixture);
}

/* A driver that forgets the device leaves it the page. */
static void test_device_cache_that_is_forgotten_is_stale(struct fixture *fixture, const void *data)
{
	struct iotlb *device;

	attach_device_cache(fixture);
	map(fixture, PAGE, 0x555000, PAGE);
	touch_ats(fixture, fixture->domain->device_tlb, PAGE);
	device = g_steal_pointer(&fixture->domain->device_tlb);
	iommu_unmap(fixture->domain, PAGE, PAGE);
	g_assert_true(touch_ats(fixture, device, PAGE).stale);
	g_assert_cmphex(touch_ats(fixture, device, PAGE).paddr, ==, 0x555000);
	iotlb_free(device);
}

/* ---- at random ---- */

struct overlap {
	struct fixture *fixture;
	uint64_t first, last;
};

/* No entry of the range, and each entry says what the table says. */
static void check_entry(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			unsigned prot)
{
	const struct overlap *overlap = data;

	g_assert_true(iova + size - 1 < overlap->first || iova > overlap->last);
	g_assert_cmphex(iommu_iova_to_phys(overlap->fixture->domain, iova), ==, paddr);
}

#define SLOTS	   32
#define SLOT_BYTES (8 * LARGE)

static void nothing_stale_after_any_unmap(struct fixture *fixture)
{
	struct iotlb *device = fixture->domain->device_tlb;
	uint64_t begin[SLOTS] = {0}, len[SLOTS] = {0};
	struct prng prng;

	prng_init(&prng, 7, "iommu");
	for (unsigned step = 0; step < 20000; step++) {
		unsigned slot = prng_below(&prng, SLOTS);

		if (len[slot] && prng_below(&prng, 3)) {
			uint64_t iova = begin[slot] + prng_next(&prng) % len[slot];

			g_assert_false(
				(device ? touch_ats(fixture, device, iova) : touch(fixture, iova)).stale);
		} else if (len[slot]) {
			struct overlap overlap = {fixture, begin[slot], begin[slot] + len[slot] - 1};

			g_assert_cmpuint(iommu_unmap(fixture->domain, begin[slot], len[slot]), ==, len[slot]);
			iotlb_dump(fixture->iommu->tlb, check_entry, &overlap);
			if (device)
				iotlb_dump(device, check_entry, &overlap);
			len[slot] = 0;
		} else {
			uint64_t unit = prng_below(&prng, 2) ? LARGE : PAGE;

			begin[slot] = slot * SLOT_BYTES + prng_below(&prng, 4) * unit;
			len[slot] = (1 + prng_below(&prng, 4)) * unit;
			map(fixture, begin[slot], (1 + prng_below(&prng, 64)) * LARGE, len[slot]);
		}
	}
	g_assert_cmpuint(iotlb_stats(device ? device : fixture->iommu->tlb)->hits, >, 500);
}

static void test_nothing_stale_after_any_unmap(struct fixture *fixture, const void *data)
{
	nothing_stale_after_any_unmap(fixture);
}

static void test_nothing_stale_in_a_device_after_any_unmap(struct fixture *fixture, const void *data)
{
	attach_device_cache(fixture);
	nothing_stale_after_any_unmap(fixture);
	detach_device_cache(fixture);
}

#define TEST(path, function) g_test_add("/iommu/core/" path, struct fixture, NULL, setup, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_autofree char *path =
			g_strconcat("/iommu/core/failed-map-leaves-no-leaf/", shapes[i].name, NULL);

		g_test_add(path, struct fixture, &shapes[i], setup, test_failed_map, teardown);
	}
	TEST("map-over-something-fails-without-touching-it",
	     test_map_over_something_fails_without_touching_it);
	g_test_add_func("/iommu/core/inverted-error-test-hides-failures-of-page-table-drivers",
			test_inverted_error_test_hides_failures_of_page_table_drivers);
	TEST("failed-sync-map-leaves-the-mapping", test_failed_sync_map_leaves_the_mapping);
	TEST("unmap-of-any-size-sends-one-command", test_unmap_of_any_size_sends_one_command);
	TEST("unmap-of-nothing-sends-none", test_unmap_of_nothing_sends_none);
	TEST("unmaps-gather-into-one-command", test_unmaps_gather_into_one_command);
	TEST("walk-cache-survives-when-no-table-is-freed", test_walk_cache_survives_when_no_table_is_freed);
	TEST("old-kernels-lose-the-walk-cache", test_old_kernels_lose_the_walk_cache);
	TEST("walk-cache-is-dropped-when-a-table-is-freed", test_walk_cache_is_dropped_when_a_table_is_freed);
	TEST("caching-mode-invalidates-on-map", test_caching_mode_invalidates_on_map);
	TEST("largest-command-spares-the-rest", test_largest_command_spares_the_rest);
	TEST("range-beyond-the-largest-command-takes-the-domain",
	     test_range_beyond_the_largest_command_takes_the_domain);
	TEST("flush-all-empties-the-domain-and-no-other", test_flush_all_empties_the_domain_and_no_other);
	TEST("device-cache-is-invalidated-with-one-command-more",
	     test_device_cache_is_invalidated_with_one_command_more);
	TEST("device-cache-is-flushed-with-the-domain", test_device_cache_is_flushed_with_the_domain);
	TEST("device-cache-is-not-told-of-new-mappings", test_device_cache_is_not_told_of_new_mappings);
	TEST("device-cache-that-is-forgotten-is-stale", test_device_cache_that_is_forgotten_is_stale);
	TEST("nothing-stale-after-any-unmap", test_nothing_stale_after_any_unmap);
	TEST("nothing-stale-in-a-device-after-any-unmap", test_nothing_stale_in_a_device_after_any_unmap);
	return g_test_run();
}
