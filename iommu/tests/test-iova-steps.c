/* SPDX-License-Identifier: MIT */
/*
 * Copies of a domain, and calls taken apart into steps. Random calls on several CPUs, with failing memory, go to two
 * domains: what is copied, or done step by step, must answer and end like what is not. Then single facts about steps.
 */
#include <errno.h>
#include <string.h>

#include "iommu/iova/domain.h"
#include "iommu/iova/steps.h"
#include "sim/core/prng.h"

#define CPUS 3
#define HELD 8000

/* One domain, and what is held in it. */
struct side {
	struct sim *sim;
	struct iova_domain *iovad;
	unsigned fails; /* allocations of memory that fail from now on */
};

/* A call of the random mix. */
struct draw {
	enum iova_op op;
	unsigned cpu, order, fails;
	uint64_t size, limit;
	bool flush;
	uint32_t pick;
};

static int fail_memory(void *data, enum iova_memory_kind kind)
{
	struct side *side = data;

	return side->fails && side->fails-- ? -ENOMEM : 0;
}

static void side_init(struct side *side, const char *version)
{
	uint64_t lo, hi;

	*side = (struct side){.sim = sim_new(CPUS, 1)};
	behaviour_set_version(side->sim, (enum kernel_version)kernel_version_find(version));
	side->iovad = iova_domain_new(side->sim, 4096, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(side->iovad), ==, 0);
	iova_set_allocation_hook(side->iovad, fail_memory, side);
	g_assert_true(iova_reserve(side->iovad, 0xf0000, 0xf1234, &lo, &hi));
}

static void side_finish(struct side *side)
{
	iova_domain_free(side->iovad);
	sim_free(side->sim);
}

/* More allocations than frees at first, then the other way round, so that caches and depot are empty and full in turn.
 * CPU 0 allocates more than it frees. */
static struct draw draw_call(struct prng *prng, unsigned number)
{
	bool grow = number / 15000 % 2 == 0;
	bool alloc = prng_below(prng, 10) < (grow ? 7u : 3u);

	return (struct draw){
		.op = prng_below(prng, 300) == 0 ? IOVA_OP_DEPOT_WORK
		      : alloc			 ? IOVA_OP_ALLOC
						 : IOVA_OP_FREE,
		.cpu = alloc ? prng_below(prng, 2) : 1 + prng_below(prng, 2),
		.order = prng_below(prng, IOVA_ORDERS),
		.fails = prng_below(prng, 1000) == 0,
		.size = prng_below(prng, 20) == 0 ? 1 + prng_below(prng, 60) : 1,
		.limit = prng_below(prng, 4) ? 0xfffff : 0x7ffffff,
		.flush = prng_below(prng, 3) == 0,
		.pick = (uint32_t)prng_next(prng),
	};
}

static uint64_t whole_call(struct side *side, const struct draw *draw, uint64_t pfn)
{
	side->sim->cpu = draw->cpu;
	side->fails = draw->fails;
	if (draw->op == IOVA_OP_ALLOC)
		pfn = iova_alloc_fast(side->iovad, draw->size, draw->limit, draw->flush);
	else if (draw->op == IOVA_OP_FREE)
		iova_free_fast(side->iovad, pfn, draw->size);
	else
		iova_depot_work(side->iovad, draw->order);
	side->fails = 0;
	return pfn;
}

/* The same in steps; in the middle of each the domain and the call give way to their copies. */
static uint64_t stepped_call(struct side *side, const struct draw *draw, uint64_t pfn, unsigned *steps,
			     unsigned *surplus)
{
	struct iova_call call = {.op = draw->op,
				 .cpu = draw->cpu,
				 .order = draw->order,
				 .size = draw->size,
				 .limit_pfn = draw->limit,
				 .flush = draw->flush,
				 .pfn = pfn};
	struct iova_touch touch;

	side->fails = draw->fails;
	while (!call.done && !(draw->op == IOVA_OP_DEPOT_WORK &&
			       !iova_depot_pending(side->iovad, draw->order) && call.step == 0)) {
		iova_call_step(side->iovad, &call, &touch);
		++*steps;
		*surplus += call.held != NULL;
		if (!call.done && draw->pick % 16 == 0) {
			struct iova_domain *copy = iova_domain_copy(side->iovad, side->sim);
			struct iova_call copied = iova_call_copy(copy, &call);

			iova_call_drop(side->iovad, &call);
			iova_domain_free(side->iovad);
			side->iovad = copy;
			call = copied;
		}
	}
	side->fails = 0;
	return call.pfn;
}

static void hash_range(void *data, uint64_t lo, uint64_t hi)
{
	uint64_t *hash = data;

	*hash = (*hash ^ lo) * 31 + hi;
}

static void hash_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	uint64_t *hash = data;

	*hash = (*hash ^ pfn) * 31 + order + (uint64_t)place[0] * 8 + cpu;
}

static void assert_same(const struct side *a, const struct side *b)
{
	struct iova_state state_a = iova_state(a->iovad), state_b = iova_state(b->iovad);
	uint64_t hash_a = 0, hash_b = 0;

	iova_each_range(a->iovad, hash_range, &hash_a);
	iova_each_range(b->iovad, hash_range, &hash_b);
	iova_each_cached(a->iovad, hash_cached, &hash_a);
	iova_each_cached(b->iovad, hash_cached, &hash_b);
	g_assert_cmpuint(hash_a, ==, hash_b);
	g_assert_cmpuint(state_a.cached_hi, ==, state_b.cached_hi);
	g_assert_cmpuint(state_a.cached32_hi, ==, state_b.cached32_hi);
	g_assert_cmpuint(state_a.max32_alloc_size, ==, state_b.max32_alloc_size);
	g_assert_cmpmem(iova_stats(a->iovad), sizeof(struct iova_stats), iova_stats(b->iovad),
			sizeof(struct iova_stats));
	g_assert_cmpmem(iova_memory(a->iovad), sizeof(struct iova_memory), iova_memory(b->iovad),
			sizeof(struct iova_memory));
}

static void test_steps_in_a_row_are_the_call(const void *version)
{
	struct side whole, stepped;
	struct {
		uint64_t pfn, size;
	} held[HELD];
	unsigned live = 0, steps = 0, surplus = 0;
	struct prng prng;

	side_init(&whole, version);
	side_init(&stepped, version);
	prng_init(&prng, 1, "steps");
	for (unsigned i = 0; i < 60000; i++) {
		struct draw draw = draw_call(&prng, i);
		uint64_t pfn = 0, answer;
		unsigned pick = 0;

		if (draw.op == IOVA_OP_FREE || (draw.op == IOVA_OP_ALLOC && live == HELD)) {
			if (live == 0)
				continue;
			pick = draw.pick % live;
			draw.op = IOVA_OP_FREE;
			draw.size = held[pick].size;
			pfn = held[pick].pfn;
		}
		answer = whole_call(&whole, &draw, pfn);
		g_assert_cmpuint(answer, ==, stepped_call(&stepped, &draw, pfn, &steps, &surplus));
		if (draw.op == IOVA_OP_FREE) {
			held[pick] = held[--live];
		} else if (draw.op == IOVA_OP_ALLOC && answer) {
			held[live].pfn = answer;
			held[live++].size = draw.size;
		}
		if (i % 500 == 0)
			assert_same(&whole, &stepped);
	}
	assert_same(&whole, &stepped);
	g_assert_cmpuint(iova_stats(whole.iovad)->rcache_flushes, >, 0);
	g_assert_cmpuint(steps, >, 60000);
	g_assert_cmpuint(surplus, >, 0);
	side_finish(&whole);
	side_finish(&stepped);
}

static uint64_t alloc_on(struct side *side, unsigned cpu, bool flush)
{
	side->sim->cpu = cpu;
	return iova_alloc_fast(side->iovad, 1, 0xfffff, flush);
}

static void test_copy_goes_its_own_way(void)
{
	struct side side;
	struct iova_domain *copy;
	uint64_t pfn, nodes;

	side_init(&side, "7.0");
	pfn = alloc_on(&side, 0, false);
	nodes = iova_node_count(side.iovad);
	copy = iova_domain_copy(side.iovad, side.sim);
	iova_free_fast(side.iovad, pfn, 1);
	g_assert_cmpuint(alloc_on(&side, 0, false), ==, pfn);
	g_assert_cmpuint(iova_alloc_fast(copy, 1, 0xfffff, false), ==, pfn - 1);
	g_assert_cmpuint(iova_node_count(side.iovad), ==, nodes);
	g_assert_cmpuint(iova_node_count(copy), ==, nodes + 1);
	iova_domain_free(copy);
	side_finish(&side);
}

/* What the flush has passed by, another CPU may fill again before the retry. */
static void test_other_cpu_comes_between_flush_and_retry(void)
{
	struct side side;
	struct iova_call call = {
		.op = IOVA_OP_ALLOC, .cpu = 0, .size = 1, .limit_pfn = 0xfffff, .flush = true};
	struct iova_touch touch;
	uint64_t first, second;

	side_init(&side, "7.0");
	first = alloc_on(&side, 1, false);
	second = alloc_on(&side, 1, false);
	side.sim->cpu = 1;
	iova_free_fast(side.iovad, first, 1);
	side.fails = 1;
	while (call.step + 1 < iova_call_steps(side.sim)) {
		iova_call_step(side.iovad, &call, &touch);
		g_assert_false(call.done);
	}
	g_assert_cmpuint(alloc_on(&side, 1, false), ==, first);
	iova_call_step(side.iovad, &call, &touch);
	g_assert_true(call.done);
	g_assert_true(touch.tree);
	g_assert_cmpuint(call.pfn, ==, second - 1);
	side_finish(&side);
}

static void test_step_names_the_depot_only_if_it_looks_there(void)
{
	struct side side;
	struct iova_call call = {.op = IOVA_OP_ALLOC, .cpu = 2, .size = 3, .limit_pfn = 0xfffff};
	struct iova_call second = call;
	struct iova_touch touch;

	side_init(&side, "7.0");
	iova_call_step(side.iovad, &call, &touch);
	g_assert_true(touch.cache);
	g_assert_true(touch.depot);
	g_assert_false(touch.tree);
	g_assert_cmpuint(touch.cpu, ==, 2);
	g_assert_cmpuint(touch.order, ==, 2);
	iova_call_step(side.iovad, &call, &touch);
	g_assert_true(call.done);
	g_assert_true(touch.tree);
	g_assert_false(touch.cache);
	iova_free_fast(side.iovad, call.pfn, 3);
	iova_call_step(side.iovad, &second, &touch);
	g_assert_true(second.done);
	g_assert_false(touch.depot);
	side_finish(&side);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_data_func("/iommu/iova-steps/in-a-row-are-the-call/7.0", "7.0",
			     test_steps_in_a_row_are_the_call);
	g_test_add_data_func("/iommu/iova-steps/in-a-row-are-the-call/6.1", "6.1",
			     test_steps_in_a_row_are_the_call);
	g_test_add_func("/iommu/iova-steps/copy-goes-its-own-way", test_copy_goes_its_own_way);
	g_test_add_func("/iommu/iova-steps/other-cpu-between-flush-and-retry",
			test_other_cpu_comes_between_flush_and_retry);
	g_test_add_func("/iommu/iova-steps/depot-only-if-looked-at",
			test_step_names_the_depot_only_if_it_looks_there);
	return g_test_run();
}
