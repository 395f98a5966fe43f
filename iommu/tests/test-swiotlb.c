/* SPDX-License-Identifier: MIT */
/*
 * The pool of bounce buffers: where mappings come to lie, what they end in, and that no two share a slot; by single facts,
 * and by a long random life beside a map of the slots that is kept here.
 */
#include "iommu/dma/swiotlb.h"
#include "sim/core/prng.h"

#define SLOT	UINT64_C(2048)
#define GRANULE (UINT64_C(4096) - 1)
#define BASE	UINT64_C(0x70000000)

static const struct swiotlb_config config = {.base = BASE, .slots = 16, .slot_bytes = SLOT};

static uint64_t map(struct swiotlb *pool, uint64_t paddr, uint64_t len, uint64_t align_mask)
{
	uint32_t slots;

	return swiotlb_map(pool, paddr, len, align_mask, 0, &slots);
}

static void test_first_run_that_fits(void)
{
	static const struct {
		uint64_t paddr, len, align_mask, keep_mask, addr;
		uint32_t slots;
	} cases[] = {
		/* As far as the slots: the offset in one is kept. */
		{0x100000200, 512, 0, 0, BASE + 0x200, 1},
		{0x100008000, 4096, 0, 0, BASE + SLOT, 2},
		{0x100008700, 512, 0, 0, BASE + 3 * SLOT + 0x700, 2},
		/* As far as the granule: it is the mapping's own, whatever part of it the buffer fills. */
		{0x300000e00, 512, GRANULE, 0, BASE + 6 * SLOT + 0xe00, 2},
		{0x300009000, 1, GRANULE, 0, BASE + 8 * SLOT, 2},
		/* A run of the slots, and the low bits of a page. */
		{0x300009800, 2048, 0, GRANULE, BASE + 5 * SLOT, 1},
		{0x300009000, 2048, 0, GRANULE, BASE + 10 * SLOT, 1},
	};
	struct swiotlb *pool = swiotlb_new(&config);
	uint32_t slots, used = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_assert_cmphex(swiotlb_map(pool, cases[i].paddr, cases[i].len, cases[i].align_mask,
					    cases[i].keep_mask, &slots),
				==, cases[i].addr);
		g_assert_cmpuint(slots, ==, cases[i].slots);
		used += slots;
		g_assert_cmpuint(pool->stats.in_use, ==, used);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
		swiotlb_unmap(pool, cases[i].addr);
	g_assert_cmpuint(pool->stats.in_use, ==, 0);
	g_assert_cmpuint(pool->stats.in_use_max, ==, used);
	g_assert_cmphex(map(pool, 0x1000, 16 * SLOT, GRANULE), ==, BASE);
	swiotlb_free(pool);
}

static void test_full_pool_says_so_and_changes_nothing(void)
{
	struct swiotlb *pool = swiotlb_new(&config);
	uint64_t first = map(pool, 0, 8 * SLOT, 0), second = map(pool, 0, 7 * SLOT, 0);

	g_assert_cmphex(second, ==, BASE + 8 * SLOT);
	g_assert_cmphex(map(pool, 0, 2 * SLOT, 0), ==, 0);
	/* One slot is free, but not a whole granule. */
	g_assert_cmphex(map(pool, 0, 1, GRANULE), ==, 0);
	g_assert_cmpuint(pool->stats.full, ==, 2);
	g_assert_cmpuint(pool->stats.in_use, ==, 15);
	swiotlb_unmap(pool, first);
	g_assert_cmphex(map(pool, 0, 2 * SLOT, 0), ==, BASE);
	g_assert_true(swiotlb_holds(pool, second));
	swiotlb_free(pool);
}

static void test_mapping_is_no_longer_than_a_run_may_be(void)
{
	struct swiotlb_config bounded = config;
	struct swiotlb *pool;

	bounded.run_max = 4;
	pool = swiotlb_new(&bounded);
	g_assert_cmphex(map(pool, 1, 4 * SLOT, 0), ==, 0);
	g_assert_cmphex(map(pool, 0, UINT64_MAX, 0), ==, 0);
	g_assert_cmphex(map(pool, 0, 4 * SLOT, 0), ==, BASE);
	g_assert_cmpuint(swiotlb_max_mapping_size(pool), ==, 2 * SLOT);
	swiotlb_free(pool);
}

static void test_only_the_address_of_a_mapping_is_held(void)
{
	struct swiotlb *pool = swiotlb_new(&config);
	uint64_t addr = map(pool, 0xe00, 0x400, GRANULE);

	g_assert_cmphex(addr, ==, BASE + 0xe00);
	g_assert_true(swiotlb_holds(pool, addr));
	g_assert_false(swiotlb_holds(pool, BASE));
	g_assert_false(swiotlb_holds(pool, addr + 1));
	g_assert_false(swiotlb_holds(pool, BASE - SLOT));
	g_assert_false(swiotlb_holds(pool, BASE + 16 * SLOT));
	g_assert_false(swiotlb_holds(pool, 0));
	g_assert_false(swiotlb_holds(NULL, addr));
	swiotlb_unmap(pool, addr);
	g_assert_false(swiotlb_holds(pool, addr));
	swiotlb_free(pool);
}

/* A mapping of the random life. */
struct held {
	uint64_t addr;
	uint32_t first, slots;
};

/* Whether @slots from @first on are all free, or all held, as @used says. */
static void claim(bool *used, const struct held *held, bool now)
{
	for (uint32_t i = held->first; i < held->first + held->slots; i++) {
		g_assert_cmpint(used[i], ==, !now);
		used[i] = now;
	}
}

static void test_no_slot_has_two_mappings(void)
{
	static const struct swiotlb_config large = {
		.base = BASE, .slots = 512, .slot_bytes = SLOT, .run_max = 128};
	struct swiotlb *pool = swiotlb_new(&large);
	struct held held[64] = {{0}};
	bool used[512] = {false};
	struct prng prng;

	prng_init(&prng, 3, "swiotlb");
	for (unsigned step = 0; step < 20000; step++) {
		struct held *one = &held[prng_below(&prng, G_N_ELEMENTS(held))];
		uint64_t paddr = prng_below(&prng, 1 << 20), align_mask = prng_below(&prng, 2) ? GRANULE : 0;
		uint64_t len = 1 + prng_below(&prng, prng_below(&prng, 8) ? 4096 : 140000);
		uint64_t kept = GRANULE;

		if (one->addr) {
			swiotlb_unmap(pool, one->addr);
			claim(used, one, false);
			one->addr = 0;
			continue;
		}
		one->addr = swiotlb_map(pool, paddr, len, align_mask, kept, &one->slots);
		if (!one->addr)
			continue;
		g_assert_cmphex(one->addr & kept, ==, paddr & kept);
		one->first = (uint32_t)(((one->addr & ~(align_mask | (SLOT - 1))) - BASE) / SLOT);
		g_assert_cmphex(one->addr + len, <=, BASE + (one->first + one->slots) * SLOT);
		claim(used, one, true);
	}
	g_assert_cmpuint(pool->stats.full, >, 0);
	g_assert_cmpuint(pool->stats.maps, >, 5000);
	swiotlb_free(pool);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/iommu/swiotlb/first-run-that-fits", test_first_run_that_fits);
	g_test_add_func("/iommu/swiotlb/full-pool-says-so-and-changes-nothing",
			test_full_pool_says_so_and_changes_nothing);
	g_test_add_func("/iommu/swiotlb/mapping-is-no-longer-than-a-run-may-be",
			test_mapping_is_no_longer_than_a_run_may_be);
	g_test_add_func("/iommu/swiotlb/only-the-address-of-a-mapping-is-held",
			test_only_the_address_of_a_mapping_is_held);
	g_test_add_func("/iommu/swiotlb/no-slot-has-two-mappings", test_no_slot_has_two_mappings);
	return g_test_run();
}
