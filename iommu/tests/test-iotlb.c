/* SPDX-License-Identifier: MIT */
/*
 * IOTLB, walk cache and VT-d's invalidation commands. The caches are compared, answer by answer, with lists
 * of all that was filled, kept in order of use and searched from end to end; the commands with what Linux 7.0
 * wrote.
 */
#include "iommu/iotlb/iotlb.h"
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
};

struct reference {
	struct iotlb_config config;
	GArray *leaves, *tables; /* of struct known */
	struct iotlb_stats stats;
};

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

static void reference_fill_leaf(struct reference *reference, const struct known *known)
{
	guint in_set = 0, oldest = 0;

	for (guint i = reference->leaves->len; i-- > 0;)
		if (known_set(reference, &g_array_index(reference->leaves, struct known, i)) ==
		    known_set(reference, known)) {
			in_set++;
			oldest = i;
		}
	if (in_set == reference->config.ways)
		g_array_remove_index(reference->leaves, oldest);
	g_array_append_vals(reference->leaves, known, 1);
}

static void reference_fill_table(struct reference *reference, const struct known *known)
{
	struct known old;

	if (known_use(reference->tables, known->domain, (int)known->level, known->start, &old)) {
		g_array_index(reference->tables, struct known, reference->tables->len - 1).paddr =
			known->paddr;
		return;
	}
	if (reference->tables->len == reference->config.walk_entries)
		g_array_remove_index(reference->tables, 0);
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

static bool reference_translate(struct reference *reference, unsigned domain, const struct pgtable *pt,
				uint64_t iova, struct iotlb_result *ret_result)
{
	struct pgtable_walk walk, now;
	bool now_found = pt->ops->walk(pt, iova, &now), found;
	struct known known;

	*ret_result = (struct iotlb_result){0};
	reference->stats.lookups++;
	ret_result->hit = known_use(reference->leaves, domain, -1, iova, &known);
	if (ret_result->hit) {
		reference->stats.hits++;
		ret_result->paddr = known.paddr + (iova - known.start);
		ret_result->prot = known.prot;
		ret_result->stale = !now_found || now.paddr != ret_result->paddr || now.prot != known.prot;
		return true;
	}
	found = reference_walk(reference, domain, pt, iova, &walk);
	ret_result->table_reads = walk.levels_touched;
	reference->stats.table_reads += walk.levels_touched;
	reference->stats.misses++;
	ret_result->stale =
		found != now_found || (found && (walk.paddr != now.paddr || walk.prot != now.prot));
	if (!found && !reference->config.walk_caches_faults)
		return false;
	if (found) {
		ret_result->paddr = walk.paddr;
		ret_result->prot = walk.prot;
		known = (struct known){domain,
				       0,
				       iova & ~(walk.leaf_size - 1),
				       walk.leaf_size,
				       walk.paddr & ~(walk.leaf_size - 1),
				       walk.prot};
		reference_fill_leaf(reference, &known);
	}
	for (unsigned level = pt->config.top_level; level-- > walk.stop_level;) {
		uint64_t span = UINT64_C(1) << (pt->levels[level].span_lg2 + pt->levels[level].index_lg2);

		if (!walk.table[level])
			continue;
		known = (struct known){domain, level, iova & ~(span - 1), span, walk.table[level], 0};
		reference_fill_table(reference, &known);
	}
	return found;
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

static void random_change(struct pgtable *pt, struct pgtable_gather *gather, struct prng *prng)
{
	uint64_t iova = draw_iova(prng), len = (1 + prng_below(prng, 16)) * PAGE, mapped;
	uint64_t paddr = (UINT64_C(1) << 32) + prng_below(prng, 64) * PAGE;

	if (prng_below(prng, 4) == 0) {
		iova &= ~(LARGE - 1);
		paddr = (UINT64_C(1) << 32) + prng_below(prng, 4) * LARGE;
		len = LARGE;
	}
	if (prng_below(prng, 2))
		pt->ops->map_range(pt, iova, paddr, len, prng_below(prng, 4) ? READ_WRITE : PROT_READ,
				   &mapped);
	else
		pt->ops->unmap_range(pt, iova, len, gather);
	if (prng_below(prng, 4) == 0)
		pgtable_gather_free(pt->sim, gather);
}

static void assert_same_result(const struct iotlb_result *one, const struct iotlb_result *two)
{
	g_assert_cmphex(one->paddr, ==, two->paddr);
	g_assert_cmpuint(one->prot, ==, two->prot);
	g_assert_cmpint(one->hit, ==, two->hit);
	g_assert_cmpint(one->stale, ==, two->stale);
	g_assert_cmpuint(one->table_reads, ==, two->table_reads);
}

static void random_against_lists(const struct iotlb_config *config, uint64_t seed)
{
	struct reference reference = {.config = *config,
				      .leaves = g_array_new(FALSE, TRUE, sizeof(struct known)),
				      .tables = g_array_new(FALSE, TRUE, sizeof(struct known))};
	struct sim *sim = sim_new(1, 1);
	struct pgtable *tables[2] = {new_table(sim), new_table(sim)};
	struct iotlb *tlb = iotlb_new(config);
	struct pgtable_gather gather = {0};
	struct prng prng;
	unsigned stale = 0;

	prng_init(&prng, seed, "iotlb");
	pgtable_gather_init(&gather);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned domain = prng_below(&prng, 2);
		struct iotlb_result got, expected;
		uint64_t iova = draw_iova(&prng), len = (1 + prng_below(&prng, 64)) * PAGE;
		bool leaf_only = prng_below(&prng, 2);

		switch (prng_below(&prng, 24)) {
		case 0:
		case 1:
			random_change(tables[domain], &gather, &prng);
			break;
		case 2:
			iotlb_invalidate(tlb, domain, iova, iova + len - 1, leaf_only);
			reference_invalidate(&reference, domain, iova, iova + len - 1, leaf_only);
			break;
		case 3:
			if (prng_below(&prng, 16) == 0) {
				iotlb_invalidate_domain(tlb, domain);
				reference_invalidate(&reference, domain, 0, UINT64_MAX, false);
			}
			break;
		default:
			g_assert_cmpint(
				iotlb_translate(tlb, domain, tables[domain], iova, &got), ==,
				reference_translate(&reference, domain, tables[domain], iova, &expected));
			assert_same_result(&got, &expected);
			stale += got.stale;
		}
		g_assert_cmpmem(iotlb_stats(tlb), sizeof(struct iotlb_stats), &reference.stats,
				sizeof(reference.stats));
	}
	g_assert_cmpuint(stale, >, 0);
	g_assert_cmpuint(reference.stats.hits, >, 0);
	g_assert_cmpuint(reference.stats.walk_hits, >, 0);
	pgtable_gather_free(sim, &gather);
	pgtable_gather_finish(&gather);
	iotlb_free(tlb);
	pgtable_free(tables[0]);
	pgtable_free(tables[1]);
	sim_free(sim);
	g_array_unref(reference.leaves);
	g_array_unref(reference.tables);
}

static void test_random_calls_as_lists_in_order_of_use(void)
{
	static const struct iotlb_config configs[] = {
		{.entries = 16, .ways = 16, .walk_entries = 3},
		{.entries = 64, .ways = 4, .walk_entries = 8},
		{.entries = 128, .ways = 1, .walk_entries = 32},
		{.entries = 64, .ways = 4, .walk_entries = 8, .walk_caches_faults = true},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(configs); i++)
		for (uint64_t seed = 1; seed <= 4; seed++)
			random_against_lists(&configs[i], seed);
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
	g_test_add_func("/iommu/vtd-inv/psi-is-the-smallest-aligned-range",
			test_psi_is_the_smallest_aligned_range);
	g_test_add_func("/iommu/vtd-inv/psi-of-everything-is-everything",
			test_psi_of_everything_is_everything);
	g_test_add_func("/iommu/vtd-inv/golden/byte-for-byte", test_recordings);
	g_test_add_func("/iommu/vtd-inv/golden/unusable-recording-is-refused-by-line",
			test_unusable_recording_is_refused_by_line);
	return g_test_run();
}
