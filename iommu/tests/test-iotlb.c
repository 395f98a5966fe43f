/* SPDX-License-Identifier: MIT */
/*
 * IOTLB, walk cache, a device's own cache, and VT-d's invalidation commands. The caches are compared, answer by
 * answer, with lists of all that was filled, kept in order of use and searched from end to end, whose victims
 * are found from the definition of each replacement; the commands with what Linux 7.0 wrote.
 */
#include "iommu/iotlb/ats.h"
#include "iommu/iotlb/iotlb.h"
#include "iommu/iotlb/unmap-log.h"
#include "iommu/iotlb/vtd-inv.h"
#include "iommu/tests/golden-files.h"

#define PAGE	   UINT64_C(0x1000)
#define LARGE	   UINT64_C(0x200000)
#define READ_WRITE (PROT_READ | PROT_WRITE)
#define DOMAIN	   7

struct fixture {
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	struct iotlb *tlb;
};

static struct pgtable *new_table(struct sim *sim)
{
	static const struct pgtable_config config = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	struct pgtable *pt;

	g_assert_cmpint(pgtable_new(sim, pgtable_format("vtdss"), &config, &pt), ==, 0);
	return pt;
}

static void setup(struct fixture *fixture, const void *data)
{
	static const struct iotlb_config config = {.entries = 16, .ways = 4, .walk_entries = 4};

	fixture->sim = sim_new(1, 1);
	fixture->pt = new_table(fixture->sim);
	fixture->tlb = iotlb_new(&config);
	pgtable_gather_init(&fixture->gather);
}

static void teardown(struct fixture *fixture, const void *data)
{
	pgtable_gather_free(fixture->sim, &fixture->gather);
	pgtable_gather_finish(&fixture->gather);
	iotlb_free(fixture->tlb);
	pgtable_free(fixture->pt);
	sim_free(fixture->sim);
}

static void map(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot)
{
	uint64_t mapped;

	g_assert_cmpint(pt->ops->map_range(pt, iova, paddr, len, prot, &mapped), ==, 0);
}

static void unmap(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	g_assert_cmphex(fixture->pt->ops->unmap_range(fixture->pt, iova, len, &fixture->gather), ==, len);
}

static struct iotlb_result translate(struct fixture *fixture, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, iova, &result);
	return result;
}

static void test_second_access_hits(struct fixture *fixture, const void *data)
{
	struct iotlb_result result;

	map(fixture->pt, PAGE, 5 * PAGE, PAGE, PROT_WRITE);
	result = translate(fixture, PAGE + 3);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE + 3);
	g_assert_false(result.hit);
	g_assert_cmpuint(result.table_reads, ==, 4);
	result = translate(fixture, PAGE + 9);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE + 9);
	g_assert_cmpuint(result.prot, ==, PROT_WRITE);
	g_assert_true(result.hit);
	g_assert_false(result.stale);
	g_assert_cmpuint(result.table_reads, ==, 0);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->hits, ==, 1);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->table_reads, ==, 4);
}

static void test_neighbour_is_found_from_the_remembered_table(struct fixture *fixture, const void *data)
{
	map(fixture->pt, 0, 8 * PAGE, 2 * PAGE, READ_WRITE);
	map(fixture->pt, 4 * LARGE, 3 * PAGE, PAGE, READ_WRITE);
	g_assert_cmpuint(translate(fixture, 0).table_reads, ==, 4);
	g_assert_cmpuint(translate(fixture, PAGE).table_reads, ==, 1);
	g_assert_cmpuint(translate(fixture, 4 * LARGE).table_reads, ==, 2);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->walk_hits, ==, 2);
}

static void test_what_is_not_mapped_is_not_remembered(struct fixture *fixture, const void *data)
{
	struct iotlb_result result;

	g_assert_false(iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, PAGE, &result));
	g_assert_false(result.stale);
	map(fixture->pt, PAGE, 5 * PAGE, PAGE, READ_WRITE);
	g_assert_true(iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, PAGE, &result));
	g_assert_false(result.hit);
}

/* But where the hardware does so, the way to where nothing was found. */
static void test_tables_of_a_fault_are_remembered(struct fixture *fixture, const void *data)
{
	static const struct iotlb_config config = {
		.entries = 16, .ways = 4, .walk_entries = 4, .walk_caches_faults = true};
	struct iotlb_result result;

	map(fixture->pt, 0, 5 * PAGE, PAGE, READ_WRITE);
	iotlb_free(fixture->tlb);
	fixture->tlb = iotlb_new(&config);
	g_assert_false(iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, PAGE, &result));
	g_assert_cmpuint(result.table_reads, ==, 4);
	result = translate(fixture, 0);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE);
	g_assert_cmpuint(result.table_reads, ==, 1);
	g_assert_false(result.hit);
}

static void test_hit_after_unmap_is_stale(struct fixture *fixture, const void *data)
{
	struct iotlb_result result;

	map(fixture->pt, PAGE, 5 * PAGE, 2 * PAGE, READ_WRITE);
	translate(fixture, PAGE);
	translate(fixture, 2 * PAGE);
	unmap(fixture, PAGE, PAGE);
	result = translate(fixture, PAGE);
	g_assert_true(result.hit);
	g_assert_true(result.stale);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE);
	g_assert_false(translate(fixture, 2 * PAGE).stale);
	/* Mapped elsewhere, with less permission, and as it was. */
	map(fixture->pt, PAGE, 9 * PAGE, PAGE, READ_WRITE);
	g_assert_true(translate(fixture, PAGE).stale);
	unmap(fixture, PAGE, PAGE);
	map(fixture->pt, PAGE, 5 * PAGE, PAGE, PROT_READ);
	g_assert_true(translate(fixture, PAGE).stale);
	unmap(fixture, PAGE, PAGE);
	map(fixture->pt, PAGE, 5 * PAGE, PAGE, READ_WRITE);
	g_assert_false(translate(fixture, PAGE).stale);
}

static void test_hit_is_stale_when_its_table_page_is_used_again(struct fixture *fixture, const void *data)
{
	struct pgtable_walk walk;
	uint64_t table;

	map(fixture->pt, 0, PAGE, LARGE, READ_WRITE);
	translate(fixture, 0);
	g_assert_true(fixture->pt->ops->walk(fixture->pt, 0, &walk));
	table = walk.table[0];
	unmap(fixture, 0, LARGE);
	pgtable_gather_free(fixture->sim, &fixture->gather);
	g_assert_true(translate(fixture, 0).stale);
	/* The same page, with the same bytes at the same place, now serves another IOVA. */
	map(fixture->pt, LARGE, PAGE, LARGE, READ_WRITE);
	g_assert_true(fixture->pt->ops->walk(fixture->pt, LARGE, &walk));
	g_assert_cmphex(walk.table[0], ==, table);
	g_assert_true(translate(fixture, 0).hit);
	g_assert_true(translate(fixture, 0).stale);
}

static void test_hit_on_a_large_page_that_became_small_ones(struct fixture *fixture, const void *data)
{
	map(fixture->pt, LARGE, 4 * LARGE, LARGE, READ_WRITE);
	translate(fixture, LARGE + 5 * PAGE);
	unmap(fixture, LARGE, LARGE);
	map(fixture->pt, LARGE, 4 * LARGE, 2 * PAGE, READ_WRITE);
	map(fixture->pt, LARGE + 2 * PAGE, PAGE, PAGE, READ_WRITE);
	g_assert_true(translate(fixture, LARGE).hit);
	g_assert_false(translate(fixture, LARGE).stale);
	g_assert_true(translate(fixture, LARGE + 2 * PAGE).stale);
	g_assert_true(translate(fixture, LARGE + 3 * PAGE).stale);
	g_assert_false(translate(fixture, LARGE + PAGE).stale);
}

static void test_invalidated_is_not_found(struct fixture *fixture, const void *data)
{
	map(fixture->pt, 0, 8 * PAGE, 4 * PAGE, READ_WRITE);
	for (unsigned i = 0; i < 4; i++)
		translate(fixture, i * PAGE);
	iotlb_invalidate(fixture->tlb, DOMAIN + 1, 0, UINT64_MAX, false);
	g_assert_true(translate(fixture, PAGE).hit);
	iotlb_invalidate(fixture->tlb, DOMAIN, PAGE + 5, 2 * PAGE, true);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->invalidated, ==, 2);
	g_assert_true(translate(fixture, 0).hit);
	g_assert_true(translate(fixture, 3 * PAGE).hit);
	g_assert_false(translate(fixture, PAGE).hit);
	g_assert_false(translate(fixture, 2 * PAGE).hit);
	iotlb_invalidate_domain(fixture->tlb, DOMAIN);
	g_assert_cmpuint(translate(fixture, 0).table_reads, ==, 4);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->invalidations, ==, 3);
}

static void test_one_page_of_a_large_one_invalidates_it(struct fixture *fixture, const void *data)
{
	map(fixture->pt, LARGE, LARGE, LARGE, READ_WRITE);
	translate(fixture, LARGE);
	g_assert_true(translate(fixture, 2 * LARGE - 1).hit);
	iotlb_invalidate(fixture->tlb, DOMAIN, LARGE + 7 * PAGE, LARGE + 8 * PAGE - 1, true);
	g_assert_false(translate(fixture, LARGE).hit);
}

/* IH = 1 promises that no table was freed. Where one was, the device goes on in a page that is no longer the
 * table. */
static void test_hint_keeps_a_table_that_is_gone(struct fixture *fixture, const void *data)
{
	struct iotlb_result result;
	bool found;

	for (unsigned leaf_only = 0; leaf_only <= 1; leaf_only++) {
		map(fixture->pt, 0, PAGE, LARGE, READ_WRITE);
		translate(fixture, 0);
		unmap(fixture, 0, LARGE);
		iotlb_invalidate(fixture->tlb, DOMAIN, 0, LARGE - 1, leaf_only);
		/* Another table takes the page, or the old one would be found by luck. */
		map(fixture->pt, 8 * LARGE, PAGE, PAGE, READ_WRITE);
		pgtable_gather_free(fixture->sim, &fixture->gather);
		map(fixture->pt, 16 * LARGE, 3 * PAGE, 2 * PAGE, READ_WRITE);
		map(fixture->pt, 0, 64 * PAGE, 3 * PAGE, READ_WRITE);
		found = iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, 0, &result);
		g_assert_true(found);
		g_assert_false(result.hit);
		g_assert_cmpint(result.stale, ==, leaf_only);
		g_assert_cmphex(result.paddr, ==, leaf_only ? 3 * PAGE : 64 * PAGE);
		/* What came from the wrong table is known as such when it is hit, and so is a hole that is
		 * none. */
		g_assert_cmpint(translate(fixture, 0).stale, ==, leaf_only);
		found = iotlb_translate(fixture->tlb, DOMAIN, fixture->pt, 2 * PAGE, &result);
		g_assert_cmpint(found, ==, !leaf_only);
		g_assert_cmpint(result.stale, ==, leaf_only);
		iotlb_invalidate_domain(fixture->tlb, DOMAIN);
		g_assert_cmphex(translate(fixture, 0).paddr, ==, 64 * PAGE);
		teardown(fixture, data);
		setup(fixture, data);
	}
}

static void test_tables_that_were_freed_elsewhere_stay_trusted(struct fixture *fixture, const void *data)
{
	map(fixture->pt, 0, PAGE, 2 * PAGE, READ_WRITE);
	map(fixture->pt, LARGE, PAGE, LARGE, READ_WRITE);
	translate(fixture, 0);
	unmap(fixture, LARGE, LARGE);
	g_assert_false(translate(fixture, 0).stale);
	g_assert_false(translate(fixture, PAGE).stale);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->walk_hits, ==, 1);
}

static void test_used_longest_ago_is_replaced(struct fixture *fixture, const void *data)
{
	/* One set: every fourth page, four ways. */
	map(fixture->pt, 0, 64 * PAGE, 32 * PAGE, READ_WRITE);
	for (unsigned i = 0; i < 4; i++)
		translate(fixture, i * 4 * PAGE);
	translate(fixture, 0);
	translate(fixture, 16 * PAGE);
	g_assert_true(translate(fixture, 0).hit);
	g_assert_true(translate(fixture, 8 * PAGE).hit);
	g_assert_false(translate(fixture, 4 * PAGE).hit);
}

/** Puts another cache into the fixture. */
static void use_config(struct fixture *fixture, const struct iotlb_config *config)
{
	iotlb_free(fixture->tlb);
	fixture->tlb = iotlb_new(config);
}

static void append_entry(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			 unsigned prot)
{
	g_string_append_printf(data, "%x+%x ", (unsigned)(iova / PAGE), (unsigned)(size / PAGE));
}

static void assert_held(const struct fixture *fixture, const char *expected)
{
	g_autoptr(GString) text = g_string_new(NULL);

	iotlb_dump(fixture->tlb, append_entry, text);
	g_assert_cmpstr(text->str, ==, expected);
}

/* Four ways filled in order; the lower half was used last, and in the upper half the last way: the third goes,
 * where true LRU would take the second. */
static void test_plru_replaces_in_the_half_that_was_not_used_last(struct fixture *fixture, const void *data)
{
	use_config(fixture, &(struct iotlb_config){.entries = 4, .ways = 4, .replacement = IOTLB_PLRU});
	map(fixture->pt, 0, 64 * PAGE, 8 * PAGE, READ_WRITE);
	for (unsigned i = 0; i < 4; i++)
		translate(fixture, i * PAGE);
	translate(fixture, 0);
	translate(fixture, 4 * PAGE);
	assert_held(fixture, "0+1 1+1 3+1 4+1 ");
	/* The third way was used last, and so was the first in its half. */
	translate(fixture, 5 * PAGE);
	assert_held(fixture, "0+1 3+1 4+1 5+1 ");
}

static void random_victims(struct fixture *fixture, uint64_t seed, GString *held)
{
	struct iotlb_config config = {.entries = 8, .ways = 8, .replacement = IOTLB_RANDOM};

	prng_init(&config.prng, seed, "victims");
	use_config(fixture, &config);
	for (unsigned i = 0; i < 32; i++)
		translate(fixture, i * PAGE);
	iotlb_dump(fixture->tlb, append_entry, held);
}

static void test_random_victims_follow_the_seed(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) one = g_string_new(NULL), again = g_string_new(NULL), other = g_string_new(NULL);

	map(fixture->pt, 0, 64 * PAGE, 32 * PAGE, READ_WRITE);
	random_victims(fixture, 1, one);
	random_victims(fixture, 1, again);
	random_victims(fixture, 2, other);
	g_assert_cmpstr(one->str, ==, again->str);
	g_assert_cmpstr(one->str, !=, other->str);
}

static void test_a_large_page_is_held_in_pieces(struct fixture *fixture, const void *data)
{
	use_config(fixture, &(struct iotlb_config){.entries = 16, .ways = 16, .page_sizes = PAGE});
	map(fixture->pt, LARGE, 4 * LARGE, LARGE, READ_WRITE);
	g_assert_cmpuint(translate(fixture, LARGE + 5).table_reads, ==, 3);
	g_assert_cmphex(translate(fixture, LARGE + 7).paddr, ==, 4 * LARGE + 7);
	g_assert_true(translate(fixture, LARGE + PAGE - 1).hit);
	g_assert_false(translate(fixture, LARGE + PAGE).hit);
	g_assert_cmphex(translate(fixture, LARGE + PAGE + 1).paddr, ==, 4 * LARGE + PAGE + 1);
	assert_held(fixture, "200+1 201+1 ");
	/* Each piece goes stale, and is invalidated, by itself. */
	unmap(fixture, LARGE, LARGE);
	iotlb_invalidate(fixture->tlb, DOMAIN, LARGE, LARGE + PAGE - 1, false);
	assert_held(fixture, "201+1 ");
	g_assert_true(translate(fixture, LARGE + PAGE).stale);
}

static void test_a_page_is_held_as_the_largest_size_below(struct fixture *fixture, const void *data)
{
	uint64_t huge = UINT64_C(1) << 30;

	use_config(fixture, &(struct iotlb_config){.entries = 16, .ways = 16, .page_sizes = PAGE | LARGE});
	map(fixture->pt, huge, huge, huge, READ_WRITE);
	map(fixture->pt, PAGE, PAGE, PAGE, READ_WRITE);
	translate(fixture, huge + 3 * LARGE + PAGE);
	translate(fixture, PAGE);
	assert_held(fixture, "1+1 40600+200 ");
	use_config(fixture, &(struct iotlb_config){.entries = 16, .ways = 16, .page_sizes = LARGE});
	translate(fixture, huge + 3 * LARGE + PAGE);
	translate(fixture, PAGE);
	assert_held(fixture, "40600+200 ");
}

static void test_each_level_has_a_walk_cache_of_its_own(struct fixture *fixture, const void *data)
{
	uint64_t huge = UINT64_C(1) << 30;

	/* One last-level table, two of the level above. */
	use_config(fixture, &(struct iotlb_config){.walk_level_entries = {1, 2}});
	for (unsigned i = 0; i < 3; i++)
		map(fixture->pt, i * huge, PAGE, PAGE, READ_WRITE);
	map(fixture->pt, LARGE, PAGE, PAGE, READ_WRITE);
	g_assert_cmpuint(translate(fixture, 0).table_reads, ==, 4);
	g_assert_cmpuint(translate(fixture, 0).table_reads, ==, 1);
	g_assert_cmpuint(translate(fixture, LARGE).table_reads, ==, 2);
	g_assert_cmpuint(translate(fixture, huge).table_reads, ==, 4);
	/* The last-level table of 0 made room twice, the one above did not. */
	g_assert_cmpuint(translate(fixture, 0).table_reads, ==, 2);
	g_assert_cmpuint(translate(fixture, 2 * huge).table_reads, ==, 4);
	g_assert_cmpuint(translate(fixture, LARGE).table_reads, ==, 2);
	g_assert_cmpuint(translate(fixture, huge).table_reads, ==, 4);
}

/* A format of two levels: the walk cache holds where the pages of a MiB lie. */
static void test_walk_cache_of_a_format_with_two_levels(struct fixture *fixture, const void *data)
{
	static const struct pgtable_config config = {
		.ias_bits = 32, .oas_bits = 32, .top_level = 1, .table_offset = -PHYSMEM_BASE};
	struct iotlb_result result;
	struct pgtable *pt;

	g_assert_cmpint(pgtable_new(fixture->sim, pgtable_format("arm_v7s"), &config, &pt), ==, 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t mapped;

		g_assert_cmpint(pgtable_map(pt, i * PAGE, (9 + i) * PAGE, PAGE, READ_WRITE, &mapped), ==, 0);
	}
	g_assert_true(iotlb_translate(fixture->tlb, DOMAIN, pt, PAGE, &result));
	g_assert_cmpuint(result.table_reads, ==, 2);
	g_assert_true(iotlb_translate(fixture->tlb, DOMAIN, pt, 2 * PAGE, &result));
	g_assert_cmpuint(result.table_reads, ==, 1);
	g_assert_cmphex(result.paddr, ==, 11 * PAGE);
	iotlb_invalidate(fixture->tlb, DOMAIN, 0, PAGE - 1, false);
	g_assert_true(iotlb_translate(fixture->tlb, DOMAIN, pt, 0, &result));
	g_assert_cmpuint(result.table_reads, ==, 2);
	pgtable_free(pt);
}

static struct iotlb_result translate_ats(struct fixture *fixture, struct iotlb *device, uint64_t iova)
{
	struct iotlb_result result;

	iotlb_translate_ats(device, fixture->tlb, DOMAIN, fixture->pt, iova, &result);
	return result;
}

static void test_device_cache_keeps_what_the_iommu_forgot(struct fixture *fixture, const void *data)
{
	struct iotlb *device = iotlb_new(&(struct iotlb_config){.entries = 4, .ways = 4});
	struct iotlb_result result;

	map(fixture->pt, PAGE, 5 * PAGE, PAGE, READ_WRITE);
	g_assert_cmpuint(translate_ats(fixture, device, PAGE).table_reads, ==, 4);
	result = translate_ats(fixture, device, PAGE + 8);
	g_assert_true(result.hit);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE + 8);
	g_assert_false(result.stale);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->lookups, ==, 1);
	unmap(fixture, PAGE, PAGE);
	iotlb_invalidate_domain(fixture->tlb, DOMAIN);
	result = translate_ats(fixture, device, PAGE);
	g_assert_true(result.stale);
	g_assert_cmphex(result.paddr, ==, 5 * PAGE);
	iotlb_invalidate(device, DOMAIN, PAGE, 2 * PAGE - 1, false);
	g_assert_cmphex(translate_ats(fixture, device, PAGE).paddr, ==, 0);
	g_assert_cmpuint(iotlb_stats(fixture->tlb)->lookups, ==, 2);
	iotlb_free(device);
}

/* A device that is told first fetches the old translation again from an IOMMU that is told later. */
static void test_device_cache_is_filled_from_a_stale_entry(struct fixture *fixture, const void *data)
{
	struct iotlb *device = iotlb_new(&(struct iotlb_config){.entries = 4, .ways = 4});

	map(fixture->pt, PAGE, 5 * PAGE, PAGE, READ_WRITE);
	translate_ats(fixture, device, PAGE);
	unmap(fixture, PAGE, PAGE);
	iotlb_invalidate_domain(device, DOMAIN);
	g_assert_true(translate_ats(fixture, device, PAGE).stale);
	iotlb_invalidate_domain(fixture->tlb, DOMAIN);
	g_assert_true(translate_ats(fixture, device, PAGE).stale);
	iotlb_free(device);
}

static uint64_t gone_since(const struct fixture *fixture, uint64_t iova)
{
	uint64_t time_ns = 0;

	return iotlb_gone_since(fixture->tlb, DOMAIN, iova, &time_ns) ? time_ns : UINT64_MAX;
}

static void test_gone_since_the_unmap_after_it_was_filled(struct fixture *fixture, const void *data)
{
	map(fixture->pt, 0, 9 * PAGE, 4 * PAGE, READ_WRITE);
	translate(fixture, 0);
	g_assert_cmpuint(gone_since(fixture, 0), ==, UINT64_MAX);
	for (uint64_t time_ns = 100; time_ns < 300; time_ns += 100) {
		unmap(fixture, 0, 2 * PAGE);
		iotlb_unmapped(fixture->tlb, DOMAIN, 0, 2 * PAGE - 1, false, time_ns);
		map(fixture->pt, 0, (9 + time_ns) * PAGE, 2 * PAGE, READ_WRITE);
		translate(fixture, PAGE);
	}
	g_assert_true(translate(fixture, 0).stale);
	g_assert_cmpuint(gone_since(fixture, 0), ==, 100);
	/* This one was filled between the two. */
	g_assert_true(translate(fixture, PAGE).stale);
	g_assert_cmpuint(gone_since(fixture, PAGE), ==, 200);
	/* Other pages, and other domains, did not go. */
	g_assert_cmpuint(gone_since(fixture, 2 * PAGE), ==, UINT64_MAX);
	/* An invalidation that misses a page of it leaves it known; one that covers it does not. */
	iotlb_invalidate(fixture->tlb, DOMAIN, 0, PAGE - 1, true);
	g_assert_cmpuint(gone_since(fixture, PAGE), ==, 200);
	iotlb_invalidate(fixture->tlb, DOMAIN, 0, 4 * PAGE - 1, true);
	g_assert_cmpuint(gone_since(fixture, PAGE), ==, UINT64_MAX);
}

/* The device goes on in a table page with another use: the address went with the table, before the answer was
 * made. */
static void test_gone_since_the_unmap_before_where_a_table_was_kept(struct fixture *fixture, const void *data)
{
	map(fixture->pt, 0, PAGE, LARGE, READ_WRITE);
	translate(fixture, 0);
	unmap(fixture, 0, LARGE);
	iotlb_unmapped(fixture->tlb, DOMAIN, 0, LARGE - 1, true, 100);
	iotlb_invalidate(fixture->tlb, DOMAIN, 0, LARGE - 1, true);
	map(fixture->pt, 8 * LARGE, PAGE, PAGE, READ_WRITE);
	pgtable_gather_free(fixture->sim, &fixture->gather);
	map(fixture->pt, 16 * LARGE, 3 * PAGE, PAGE, READ_WRITE);
	g_assert_true(translate(fixture, 0).stale);
	g_assert_cmpuint(gone_since(fixture, 0), ==, 100);
}

/* The log stays bounded: half of it is forgotten, and the newest stays known. */
static void test_gone_since_forgets_the_oldest(struct fixture *fixture, const void *data)
{
	for (uint64_t i = 0; i <= UNMAP_LOG_MAX; i++)
		iotlb_unmapped(fixture->tlb, DOMAIN, i * PAGE, i * PAGE + PAGE - 1, false, i);
	g_assert_cmpuint(gone_since(fixture, 0), ==, UINT64_MAX);
	g_assert_cmpuint(gone_since(fixture, (UNMAP_LOG_MAX / 2 - 1) * PAGE), ==, UINT64_MAX);
	g_assert_cmpuint(gone_since(fixture, UNMAP_LOG_MAX / 2 * PAGE), ==, UNMAP_LOG_MAX / 2);
	g_assert_cmpuint(gone_since(fixture, UNMAP_LOG_MAX * PAGE), ==, UNMAP_LOG_MAX);
}

static void test_switched_off_walks_every_time(void)
{
	struct sim *sim = sim_new(1, 1);
	struct pgtable *pt = new_table(sim);
	struct iotlb *tlb = iotlb_new(&(struct iotlb_config){0});
	struct iotlb_result result;

	map(pt, 0, PAGE, PAGE, READ_WRITE);
	for (unsigned i = 0; i < 3; i++) {
		g_assert_true(iotlb_translate(tlb, DOMAIN, pt, 0, &result));
		g_assert_cmpuint(result.table_reads, ==, 4);
		iotlb_invalidate_domain(tlb, DOMAIN);
	}
	g_assert_cmpuint(iotlb_stats(tlb)->hits, ==, 0);
	g_assert_cmpuint(iotlb_stats(tlb)->invalidated, ==, 0);
	iotlb_free(tlb);
	pgtable_free(pt);
	sim_free(sim);
}

static void expect_sorted(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			  unsigned prot)
{
	g_string_append_printf(data, "%u:%x+%x ", domain, (unsigned)(iova / PAGE), (unsigned)(size / PAGE));
}

static void test_dump_is_sorted(struct fixture *fixture, const void *data)
{
	static const uint64_t iovas[] = {3 * PAGE, 2 * LARGE + PAGE, PAGE, 2 * PAGE};
	g_autoptr(GString) text = g_string_new(NULL);
	struct iotlb_result result;

	map(fixture->pt, 0, PAGE, 4 * PAGE, READ_WRITE);
	map(fixture->pt, 2 * LARGE, 0, LARGE, READ_WRITE);
	for (unsigned domain = 9; domain >= 8; domain--)
		for (unsigned i = 0; i < G_N_ELEMENTS(iovas); i++)
			iotlb_translate(fixture->tlb, domain, fixture->pt, iovas[i], &result);
	iotlb_dump(fixture->tlb, expect_sorted, text);
	g_assert_cmpstr(text->str, ==, "8:1+1 8:2+1 8:3+1 8:400+200 9:1+1 9:2+1 9:3+1 9:400+200 ");
}

/* The reference: lists in order of use, oldest first. */

struct known {
	unsigned domain;
	unsigned level; /* of a table */
	uint64_t start, size;
	uint64_t paddr; /* of the page or the table */
	unsigned prot;
	unsigned way;	 /* of a leaf, in its set */
	uint64_t filled; /* how many translations there had been */
};

struct reference {
	struct iotlb_config config;
	GArray *leaves, *tables; /* of struct known */
	uint64_t *touched;	 /* by set and way: when it was last used or filled */
	uint64_t touches;
	struct iotlb_stats stats;
};

static void reference_init(struct reference *reference, const struct iotlb_config *config)
{
	*reference = (struct reference){.config = *config,
					.leaves = g_array_new(FALSE, TRUE, sizeof(struct known)),
					.tables = g_array_new(FALSE, TRUE, sizeof(struct known)),
					.touched = g_new0(uint64_t, config->entries)};
}

static void reference_finish(struct reference *reference)
{
	g_array_unref(reference->leaves);
	g_array_unref(reference->tables);
	g_free(reference->touched);
}

static struct known known_take(GArray *list, guint index)
{
	struct known known = g_array_index(list, struct known, index);

	g_array_remove_index(list, index);
	return known;
}

/** Finds what covers @iova, the smallest first, and makes it the newest. */
static bool known_use(GArray *list, unsigned domain, int level, uint64_t iova, struct known *ret_known)
{
	guint best = list->len;

	for (guint i = 0; i < list->len; i++) {
		const struct known *known = &g_array_index(list, struct known, i);

		if (known->domain == domain && (level < 0 || known->level == (unsigned)level) &&
		    known->start <= iova && iova - known->start < known->size &&
		    (best == list->len || known->size < g_array_index(list, struct known, best).size))
			best = i;
	}
	if (best == list->len)
		return false;
	*ret_known = known_take(list, best);
	g_array_append_vals(list, ret_known, 1);
	return true;
}

static uint64_t known_set(const struct reference *reference, const struct known *known)
{
	return (known->start / known->size + known->domain) %
	       (reference->config.entries / reference->config.ways);
}

static void reference_touch(struct reference *reference, const struct known *leaf)
{
	reference->touched[known_set(reference, leaf) * reference->config.ways + leaf->way] =
		++reference->touches;
}

static uint64_t newest_touch(const uint64_t *touched, unsigned count)
{
	uint64_t newest = 0;

	for (unsigned i = 0; i < count; i++)
		newest = MAX(newest, touched[i]);
	return newest;
}

/** Tree pseudo-LRU by its definition: the half whose newest use is older, again and again; the lower one where
 * neither was used. */
static unsigned plru_way(const uint64_t *touched, unsigned count)
{
	unsigned half = count / 2;

	if (count == 1)
		return 0;
	if (newest_touch(touched, half) <= newest_touch(touched + half, half))
		return plru_way(touched, half);
	return half + plru_way(touched + half, half);
}

/** The way of the set of @known to replace; @oldest is the index of its leaf used longest ago. */
static unsigned reference_victim_way(struct reference *reference, const struct known *known, guint oldest)
{
	unsigned ways = reference->config.ways;

	switch (reference->config.replacement) {
	case IOTLB_PLRU:
		return plru_way(reference->touched + known_set(reference, known) * ways, ways);
	case IOTLB_RANDOM:
		return prng_below(&reference->config.prng, ways);
	default:
		return g_array_index(reference->leaves, struct known, oldest).way;
	}
}

/** The size that a page of @size is held as; 0: not at all. */
static uint64_t held_size(const struct reference *reference, uint64_t size)
{
	while (size && reference->config.page_sizes && !(size & reference->config.page_sizes))
		size /= 2;
	return size;
}

static void reference_fill_leaf(struct reference *reference, unsigned domain, uint64_t iova, uint64_t size,
				uint64_t paddr, unsigned prot)
{
	struct known new;
	guint oldest = 0;
	uint64_t taken = 0;

	size = held_size(reference, size);
	if (!size)
		return;
	new = (struct known){.domain = domain,
			     .start = iova / size * size,
			     .size = size,
			     .paddr = paddr / size * size,
			     .prot = prot,
			     .filled = reference->stats.lookups};
	for (guint i = reference->leaves->len; i-- > 0;) {
		const struct known *other = &g_array_index(reference->leaves, struct known, i);

		if (known_set(reference, other) != known_set(reference, &new))
			continue;
		taken |= UINT64_C(1) << other->way;
		oldest = i;
	}
	while (new.way < reference->config.ways && taken >> new.way & 1)
		new.way++;
	if (new.way == reference->config.ways) {
		new.way = reference_victim_way(reference, &new, oldest);
		for (guint i = reference->leaves->len; i-- > 0;) {
			const struct known *other = &g_array_index(reference->leaves, struct known, i);

			if (other->way == new.way &&
			    known_set(reference, other) == known_set(reference, &new))
				g_array_remove_index(reference->leaves, i);
		}
	}
	reference_touch(reference, &new);
	g_array_append_val(reference->leaves, new);
}

/** How many tables of the levels that share with @level are remembered, and which of them was used longest ago. */
static uint32_t reference_tables_with(const struct reference *reference, unsigned level, guint *ret_oldest)
{
	const uint32_t *own = reference->config.walk_level_entries;
	uint32_t count = 0;

	for (guint i = reference->tables->len; i-- > 0;) {
		unsigned other = g_array_index(reference->tables, struct known, i).level;

		if (own[level] ? other != level : own[other] != 0)
			continue;
		count++;
		*ret_oldest = i;
	}
	return count;
}

static void reference_fill_table(struct reference *reference, const struct known *known)
{
	uint32_t own = reference->config.walk_level_entries[known->level];
	uint32_t capacity = own ? own : reference->config.walk_entries;
	struct known old;
	guint oldest = 0;

	if (!capacity)
		return;
	if (known_use(reference->tables, known->domain, (int)known->level, known->start, &old)) {
		g_array_index(reference->tables, struct known, reference->tables->len - 1).paddr =
			known->paddr;
		return;
	}
	if (reference_tables_with(reference, known->level, &oldest) == capacity)
		g_array_remove_index(reference->tables, oldest);
	g_array_append_vals(reference->tables, known, 1);
}

static bool reference_walk(struct reference *reference, unsigned domain, const struct pgtable *pt,
			   uint64_t iova, struct pgtable_walk *ret_walk)
{
	struct known known;

	for (unsigned level = 0; level < pt->config.top_level; level++)
		if (known_use(reference->tables, domain, (int)level, iova, &known)) {
			reference->stats.walk_hits++;
			return pt->ops->walk_from(pt, iova, level, known.paddr, ret_walk);
		}
	return pt->ops->walk(pt, iova, ret_walk);
}

static bool now_otherwise(const struct pgtable *pt, uint64_t iova, bool found, uint64_t paddr, unsigned prot)
{
	struct pgtable_walk now;

	if (pt->ops->walk(pt, iova, &now) != found)
		return true;
	return found && (now.paddr != paddr || now.prot != prot);
}

static bool reference_hit(struct reference *reference, unsigned domain, const struct pgtable *pt,
			  uint64_t iova, struct iotlb_result *ret_result)
{
	struct known known;

	*ret_result = (struct iotlb_result){0};
	reference->stats.lookups++;
	if (!known_use(reference->leaves, domain, -1, iova, &known)) {
		reference->stats.misses++;
		return false;
	}
	reference_touch(reference, &known);
	reference->stats.hits++;
	ret_result->hit = true;
	ret_result->paddr = known.paddr + (iova - known.start);
	ret_result->prot = known.prot;
	ret_result->size_lg2 = (uint8_t)__builtin_ctzll(known.size);
	ret_result->stale = now_otherwise(pt, iova, true, ret_result->paddr, known.prot);
	return true;
}

static bool reference_translate(struct reference *reference, unsigned domain, const struct pgtable *pt,
				uint64_t iova, struct iotlb_result *ret_result)
{
	struct pgtable_walk walk;
	bool found;

	if (reference_hit(reference, domain, pt, iova, ret_result))
		return true;
	found = reference_walk(reference, domain, pt, iova, &walk);
	ret_result->table_reads = walk.levels_touched;
	reference->stats.table_reads += walk.levels_touched;
	ret_result->stale = now_otherwise(pt, iova, found, walk.paddr, walk.prot);
	if (!found && !reference->config.walk_caches_faults)
		return false;
	if (found) {
		ret_result->paddr = walk.paddr;
		ret_result->prot = walk.prot;
		ret_result->size_lg2 = (uint8_t)__builtin_ctzll(walk.leaf_size);
		reference_fill_leaf(reference, domain, iova, walk.leaf_size, walk.paddr, walk.prot);
	}
	for (unsigned level = pt->config.top_level; level-- > walk.stop_level;) {
		uint64_t span = UINT64_C(1) << (pt->levels[level].span_lg2 + pt->levels[level].index_lg2);
		struct known known = {.domain = domain,
				      .level = level,
				      .start = iova & ~(span - 1),
				      .size = span,
				      .paddr = walk.table[level]};

		if (walk.table[level])
			reference_fill_table(reference, &known);
	}
	return found;
}

static bool reference_translate_ats(struct reference *device, struct reference *reference, unsigned domain,
				    const struct pgtable *pt, uint64_t iova, struct iotlb_result *ret_result)
{
	bool found;

	if (reference_hit(device, domain, pt, iova, ret_result))
		return true;
	found = reference_translate(reference, domain, pt, iova, ret_result);
	ret_result->requested = true;
	if (!found)
		return false;
	reference_fill_leaf(device, domain, iova, UINT64_C(1) << ret_result->size_lg2, ret_result->paddr,
			    ret_result->prot);
	return true;
}

static void known_drop(struct reference *reference, GArray *list, unsigned domain, uint64_t first,
		       uint64_t last)
{
	for (guint i = list->len; i-- > 0;) {
		const struct known *known = &g_array_index(list, struct known, i);

		if (known->domain == domain && known->start <= last &&
		    known->start + known->size - 1 >= first) {
			g_array_remove_index(list, i);
			reference->stats.invalidated++;
		}
	}
}

static void reference_invalidate(struct reference *reference, unsigned domain, uint64_t first, uint64_t last,
				 bool leaf_only)
{
	reference->stats.invalidations++;
	known_drop(reference, reference->leaves, domain, first, last);
	if (!leaf_only)
		known_drop(reference, reference->tables, domain, first, last);
}

static uint64_t draw_iova(struct prng *prng)
{
	static const uint64_t areas[] = {0, LARGE, UINT64_C(1) << 30, UINT64_C(0xffffffc00000)};

	return areas[prng_below(prng, G_N_ELEMENTS(areas))] + prng_below(prng, 40) * PAGE;
}

/** An unmap, so that the latest one before or after a fill can be found by looking at all of them. */
struct unmapped {
	unsigned domain;
	uint64_t first, last, time_ns;
	uint64_t lookups; /* that there had been */
};

/** Two tables, a cache with its reference, and perhaps a device's cache with its own in front. */
struct random_run {
	struct sim *sim;
	struct pgtable *tables[2];
	struct pgtable_gather gather;
	struct prng prng;
	struct iotlb *tlb, *device; /* NULL: the device has none */
	struct reference reference, device_reference;
	GArray *unmaps; /* of struct unmapped */
	unsigned step, stale, dated;
};

static void random_run_init(struct random_run *run, const struct iotlb_config *config,
			    const struct iotlb_config *device, uint64_t seed)
{
	struct iotlb_config seeded = *config;

	*run = (struct random_run){.sim = sim_new(1, 1),
				   .unmaps = g_array_new(FALSE, TRUE, sizeof(struct unmapped))};
	prng_init(&seeded.prng, seed, "victims");
	for (unsigned i = 0; i < 2; i++)
		run->tables[i] = new_table(run->sim);
	run->tlb = iotlb_new(&seeded);
	reference_init(&run->reference, &seeded);
	if (device) {
		run->device = iotlb_new(device);
		reference_init(&run->device_reference, device);
	}
	prng_init(&run->prng, seed, "iotlb");
	pgtable_gather_init(&run->gather);
}

static void random_run_finish(struct random_run *run)
{
	pgtable_gather_free(run->sim, &run->gather);
	pgtable_gather_finish(&run->gather);
	reference_finish(&run->reference);
	if (run->device)
		reference_finish(&run->device_reference);
	iotlb_free(run->device);
	iotlb_free(run->tlb);
	g_array_unref(run->unmaps);
	for (unsigned i = 0; i < 2; i++)
		pgtable_free(run->tables[i]);
	sim_free(run->sim);
}

static void random_unmap(struct random_run *run, unsigned domain, uint64_t iova, uint64_t len)
{
	struct pgtable *pt = run->tables[domain];
	uint64_t generation = pt->table_generation;
	uint64_t unmapped = pt->ops->unmap_range(pt, iova, len, &run->gather);
	struct unmapped entry = {domain, iova, iova + unmapped - 1, run->step, run->reference.stats.lookups};

	if (!unmapped)
		return;
	g_array_append_val(run->unmaps, entry);
	iotlb_unmapped(run->tlb, domain, entry.first, entry.last, pt->table_generation != generation,
		       entry.time_ns);
}

static void random_change(struct random_run *run, unsigned domain)
{
	struct prng *prng = &run->prng;
	uint64_t iova = draw_iova(prng), len = (1 + prng_below(prng, 16)) * PAGE, mapped;
	uint64_t paddr = (UINT64_C(1) << 32) + prng_below(prng, 64) * PAGE;
	struct pgtable *pt = run->tables[domain];

	if (prng_below(prng, 4) == 0) {
		iova &= ~(LARGE - 1);
		paddr = (UINT64_C(1) << 32) + prng_below(prng, 4) * LARGE;
		len = LARGE;
	}
	if (prng_below(prng, 2))
		pt->ops->map_range(pt, iova, paddr, len, prng_below(prng, 4) ? READ_WRITE : PROT_READ,
				   &mapped);
	else
		random_unmap(run, domain, iova, len);
	if (prng_below(prng, 4) == 0)
		pgtable_gather_free(run->sim, &run->gather);
}

static void random_invalidate(struct random_run *run, unsigned domain, uint64_t first, uint64_t last,
			      bool leaf_only)
{
	bool device = run->device && prng_below(&run->prng, 2);

	iotlb_invalidate(device ? run->device : run->tlb, domain, first, last, leaf_only);
	reference_invalidate(device ? &run->device_reference : &run->reference, domain, first, last,
			     leaf_only);
}

static void assert_same_result(const struct iotlb_result *one, const struct iotlb_result *two)
{
	g_assert_cmphex(one->paddr, ==, two->paddr);
	g_assert_cmpuint(one->prot, ==, two->prot);
	g_assert_cmpint(one->hit, ==, two->hit);
	g_assert_cmpint(one->stale, ==, two->stale);
	g_assert_cmpint(one->requested, ==, two->requested);
	g_assert_cmpuint(one->size_lg2, ==, two->size_lg2);
	g_assert_cmpuint(one->table_reads, ==, two->table_reads);
}

/** A leaf that is hit and stale went with the first unmap after it was filled, if there was one: one that came from
 * a table page with another use never was of this table. */
static void assert_gone_since(struct random_run *run, unsigned domain, uint64_t iova)
{
	struct known leaf;
	uint64_t time_ns;

	g_assert_true(known_use(run->reference.leaves, domain, -1, iova, &leaf));
	for (guint i = 0; i < run->unmaps->len; i++) {
		const struct unmapped *unmapped = &g_array_index(run->unmaps, struct unmapped, i);

		if (unmapped->domain != domain || unmapped->lookups < leaf.filled || unmapped->first > iova ||
		    unmapped->last < iova)
			continue;
		g_assert_true(iotlb_gone_since(run->tlb, domain, iova, &time_ns));
		g_assert_cmpuint(time_ns, ==, unmapped->time_ns);
		run->dated++;
		return;
	}
}

static void random_translate(struct random_run *run, unsigned domain, uint64_t iova)
{
	const struct pgtable *pt = run->tables[domain];
	struct iotlb_result got, expected;
	bool found, expected_found;

	if (run->device) {
		found = iotlb_translate_ats(run->device, run->tlb, domain, pt, iova, &got);
		expected_found = reference_translate_ats(&run->device_reference, &run->reference, domain, pt,
							 iova, &expected);
	} else {
		found = iotlb_translate(run->tlb, domain, pt, iova, &got);
		expected_found = reference_translate(&run->reference, domain, pt, iova, &expected);
	}
	g_assert_cmpint(found, ==, expected_found);
	assert_same_result(&got, &expected);
	run->stale += got.stale;
	if (!run->device && got.hit && got.stale)
		assert_gone_since(run, domain, iova);
}

static void random_steps(struct random_run *run, unsigned steps)
{
	struct prng *prng = &run->prng;

	for (run->step = 0; run->step < steps; run->step++) {
		unsigned domain = prng_below(prng, 2);
		uint64_t iova = draw_iova(prng), len = (1 + prng_below(prng, 64)) * PAGE;
		bool leaf_only = prng_below(prng, 2);

		switch (prng_below(prng, 24)) {
		case 0:
		case 1:
			random_change(run, domain);
			break;
		case 2:
			random_invalidate(run, domain, iova, iova + len - 1, leaf_only);
			break;
		case 3:
			if (prng_below(prng, 16) == 0)
				random_invalidate(run, domain, 0, UINT64_MAX, false);
			break;
		default:
			random_translate(run, domain, iova);
		}
		g_assert_cmpmem(iotlb_stats(run->tlb), sizeof(struct iotlb_stats), &run->reference.stats,
				sizeof(run->reference.stats));
		if (run->device)
			g_assert_cmpmem(iotlb_stats(run->device), sizeof(struct iotlb_stats),
					&run->device_reference.stats, sizeof(run->reference.stats));
	}
}

#define SMALL_ONLY PAGE
#define BOTH_SIZES (PAGE | LARGE)

static void test_random_calls_as_lists_in_order_of_use(void)
{
	static const struct iotlb_config configs[] = {
		{.entries = 16, .ways = 16, .walk_entries = 3},
		{.entries = 64, .ways = 4, .walk_entries = 8},
		{.entries = 128, .ways = 1, .walk_entries = 32},
		{.entries = 32, .ways = 4, .walk_entries = 8, .page_sizes = SMALL_ONLY},
		{.entries = 32, .ways = 8, .walk_entries = 2, .page_sizes = BOTH_SIZES},
		{.entries = 32, .ways = 8, .walk_entries = 2, .page_sizes = LARGE},
		{.entries = 16, .ways = 16, .walk_entries = 8, .replacement = IOTLB_PLRU},
		{.entries = 64, .ways = 4, .walk_entries = 8, .replacement = IOTLB_PLRU},
		{.entries = 64, .ways = 64, .walk_entries = 8, .replacement = IOTLB_PLRU, .page_sizes = PAGE},
		{.entries = 16, .ways = 16, .walk_entries = 8, .replacement = IOTLB_RANDOM},
		{.entries = 64, .ways = 4, .walk_entries = 8, .replacement = IOTLB_RANDOM},
		{.entries = 16, .ways = 8, .walk_level_entries = {2, 1, 1}},
		{.entries = 16, .ways = 8, .walk_level_entries = {0, 2}, .walk_entries = 2},
		{.entries = 16, .ways = 8, .walk_level_entries = {4}},
		{.entries = 64, .ways = 4, .walk_entries = 8, .walk_caches_faults = true},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(configs); i++)
		for (uint64_t seed = 1; seed <= 4; seed++) {
			struct random_run run;

			random_run_init(&run, &configs[i], NULL, seed);
			random_steps(&run, 20000);
			g_assert_cmpuint(run.stale, >, 0);
			g_assert_cmpuint(run.dated, >, 0);
			g_assert_cmpuint(run.reference.stats.hits, >, 0);
			g_assert_cmpuint(run.reference.stats.walk_hits, >, 0);
			random_run_finish(&run);
		}
}

static void test_random_calls_of_a_device_with_a_cache(void)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 8};
	static const struct iotlb_config devices[] = {
		{.entries = 16, .ways = 16},
		{.entries = 16, .ways = 4, .page_sizes = SMALL_ONLY},
		{.entries = 8, .ways = 8, .replacement = IOTLB_PLRU, .page_sizes = BOTH_SIZES},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++)
		for (uint64_t seed = 1; seed <= 4; seed++) {
			struct random_run run;

			random_run_init(&run, &tlb, &devices[i], seed);
			random_steps(&run, 20000);
			g_assert_cmpuint(run.stale, >, 0);
			g_assert_cmpuint(run.device_reference.stats.hits, >, 0);
			random_run_finish(&run);
		}
}

/* Commands. */

static void test_psi_is_the_smallest_aligned_range(void)
{
	struct prng prng;

	prng_init(&prng, 3, "psi");
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t start = prng_next(&prng) >> (8 + prng_below(&prng, 40)), addr;
		uint64_t end = start + (prng_next(&prng) >> (8 + prng_below(&prng, 56)));
		unsigned mask, expected = 0;

		while (start >> (12 + expected) != end >> (12 + expected))
			expected++;
		vtd_psi(start, end, &addr, &mask);
		g_assert_cmpuint(mask, ==, expected);
		g_assert_cmphex(addr, ==, start >> (12 + mask) << (12 + mask));
	}
}

static void test_psi_of_everything_is_everything(void)
{
	uint64_t addr, qw[2];
	unsigned mask;

	vtd_psi(0, UINT64_MAX, &addr, &mask);
	g_assert_cmphex(addr, ==, 0);
	g_assert_cmpuint(mask, ==, VTD_MASK_ALL);
	vtd_iotlb_desc(0xffff, addr, mask, true, false, qw);
	g_assert_cmphex(qw[0], ==, 0xffff0022);
	g_assert_cmphex(qw[1], ==, 0);
}

/* What a device makes of the address is what the driver meant, to the page: the lowest clear bit tells it. */
static void test_device_is_sent_the_range(void)
{
	struct prng prng;

	prng_init(&prng, 5, "ats");
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t start = prng_next(&prng) >> prng_below(&prng, 52), addr, sent, first, last, bit;
		uint64_t end = start + (prng_next(&prng) >> (prng_below(&prng, 60) + 4));
		unsigned mask;

		if (end < start)
			continue;
		vtd_psi(start, end, &addr, &mask);
		sent = vtd_dev_iotlb_addr(addr, mask);
		ats_range(sent, &first, &last);
		g_assert_cmphex(first, ==, addr);
		g_assert_cmphex(last - first, ==,
				mask == VTD_MASK_ALL ? UINT64_MAX : (UINT64_C(1) << (mask + 12)) - 1);
		g_assert_cmphex(sent & (PAGE - 1), ==, mask ? ATS_SIZE : 0);
		for (bit = PAGE; sent & bit; bit *= 2)
			;
		if (mask)
			g_assert_cmphex(bit, ==, UINT64_C(1) << (mask + 11));
	}
	g_assert_cmphex(vtd_dev_iotlb_addr(0, VTD_MASK_ALL), ==, UINT64_C(0x7ffffffffffff001));
}

static void test_recordings(void)
{
	golden_check_all("inv-vtd", vtd_inv_golden_emit);
}

static void test_unusable_recording_is_refused_by_line(void)
{
	static const char *const texts[] = {"# a\nflush start=0x0\n", "\nflush start=0x2000 end=0x1000\n",
					    "\nflush start=0x0 end=0xfff x\n"};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(vtd_inv_golden_emit("f", texts[i], strlen(texts[i]), out, &error));
		g_assert_true(g_str_has_prefix(error->message, "f:2: "));
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} cases[] = {
		{"second-access-hits", test_second_access_hits},
		{"neighbour-is-found-from-the-remembered-table",
		 test_neighbour_is_found_from_the_remembered_table},
		{"what-is-not-mapped-is-not-remembered", test_what_is_not_mapped_is_not_remembered},
		{"tables-of-a-fault-are-remembered", test_tables_of_a_fault_are_remembered},
		{"hit-after-unmap-is-stale", test_hit_after_unmap_is_stale},
		{"hit-is-stale-when-its-table-page-is-used-again",
		 test_hit_is_stale_when_its_table_page_is_used_again},
		{"hit-on-a-large-page-that-became-small-ones",
		 test_hit_on_a_large_page_that_became_small_ones},
		{"invalidated-is-not-found", test_invalidated_is_not_found},
		{"one-page-of-a-large-one-invalidates-it", test_one_page_of_a_large_one_invalidates_it},
		{"hint-keeps-a-table-that-is-gone", test_hint_keeps_a_table_that_is_gone},
		{"tables-that-were-freed-elsewhere-stay-trusted",
		 test_tables_that_were_freed_elsewhere_stay_trusted},
		{"used-longest-ago-is-replaced", test_used_longest_ago_is_replaced},
		{"plru-replaces-in-the-half-that-was-not-used-last",
		 test_plru_replaces_in_the_half_that_was_not_used_last},
		{"random-victims-follow-the-seed", test_random_victims_follow_the_seed},
		{"a-large-page-is-held-in-pieces", test_a_large_page_is_held_in_pieces},
		{"a-page-is-held-as-the-largest-size-below", test_a_page_is_held_as_the_largest_size_below},
		{"each-level-has-a-walk-cache-of-its-own", test_each_level_has_a_walk_cache_of_its_own},
		{"walk-cache-of-a-format-with-two-levels", test_walk_cache_of_a_format_with_two_levels},
		{"device-cache-keeps-what-the-iommu-forgot", test_device_cache_keeps_what_the_iommu_forgot},
		{"device-cache-is-filled-from-a-stale-entry", test_device_cache_is_filled_from_a_stale_entry},
		{"gone-since-the-unmap-after-it-was-filled", test_gone_since_the_unmap_after_it_was_filled},
		{"gone-since-the-unmap-before-where-a-table-was-kept",
		 test_gone_since_the_unmap_before_where_a_table_was_kept},
		{"gone-since-forgets-the-oldest", test_gone_since_forgets_the_oldest},
		{"dump-is-sorted", test_dump_is_sorted},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/iotlb/%s", cases[i].name);

		g_test_add(path, struct fixture, NULL, setup, cases[i].run, teardown);
	}
	g_test_add_func("/iommu/iotlb/switched-off-walks-every-time", test_switched_off_walks_every_time);
	g_test_add_func("/iommu/iotlb/random-calls-as-lists-in-order-of-use",
			test_random_calls_as_lists_in_order_of_use);
	g_test_add_func("/iommu/iotlb/random-calls-of-a-device-with-a-cache",
			test_random_calls_of_a_device_with_a_cache);
	g_test_add_func("/iommu/vtd-inv/psi-is-the-smallest-aligned-range",
			test_psi_is_the_smallest_aligned_range);
	g_test_add_func("/iommu/vtd-inv/psi-of-everything-is-everything",
			test_psi_of_everything_is_everything);
	g_test_add_func("/iommu/vtd-inv/device-is-sent-the-range", test_device_is_sent_the_range);
	g_test_add_func("/iommu/vtd-inv/golden/byte-for-byte", test_recordings);
	g_test_add_func("/iommu/vtd-inv/golden/unusable-recording-is-refused-by-line",
			test_unusable_recording_is_refused_by_line);
	return g_test_run();
}
