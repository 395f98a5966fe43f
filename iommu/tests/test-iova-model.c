/* SPDX-License-Identifier: MIT */
/*
 * The IOVA allocator against the plain one of iova-model.h, in two ways: a million operations at random, in 50 domains
 * that differ in everything a domain can differ in; and every sequence of a few operations in a space so small that all
 * corners are near. The same file is built a second time with a tree whose blocks hold four ranges, so that few operations
 * split and merge blocks.
 */
#include <string.h>

#include "iommu/tests/iova-model.h"

/* ---- at random ---- */

#define SEEDS	     50
#define OPS_PER_SEED 20000
#define LIVE_MAX     6000

/* What one seed draws. */
struct shape {
	unsigned cpus, granule_lg2, live_max, fail_percent, flush_percent, aligned_percent, reserve_percent;
	uint64_t start_pfn, limits[4];
	const uint64_t *sizes; /* eight, drawn evenly */
	bool caches, array;
};

struct held {
	uint64_t pfn, size;
};

struct run {
	struct shape shape;
	struct prng prng;
	struct setup setup;
	struct list list;
	struct caches *caches;
	GArray *held; /* of struct held: what the caches gave out */
	unsigned fails;
	bool growing;
};

static uint64_t pick(struct prng *prng, const uint64_t *values, unsigned count)
{
	return values[prng_below(prng, count)];
}

static struct shape shape_draw(unsigned seed, struct prng *prng)
{
	static const uint64_t cpus[] = {1, 1, 2, 3, 8, 17, 64}, granules[] = {12, 12, 12, 14, 16, 24};
	static const uint64_t lives[] = {20, 100, 400, 1500, 1500}, starts[] = {0, 1, 1, 1, 3, 100};
	static const uint64_t sizes[][8] = {
		{1, 1, 1, 1, 1, 2, 2, 4},     {1, 2, 4, 8, 16, 32, 32, 1}, {1, 3, 5, 9, 17, 31, 33, 7},
		{33, 33, 65, 40, 48, 129, 1, 17}, {1, 1, 1, 1, 1, 1, 1, 1},    {1, 2, 100, 1000, 5000, 64, 256, 1},
	};
	struct shape shape = {
		.cpus = (unsigned)pick(prng, cpus, G_N_ELEMENTS(cpus)),
		.granule_lg2 = (unsigned)pick(prng, granules, G_N_ELEMENTS(granules)),
		.live_max = (unsigned)pick(prng, lives, G_N_ELEMENTS(lives)),
		.fail_percent = prng_below(prng, 3) ? 0 : 2,
		.flush_percent = prng_below(prng, 2) ? 25 : 1,
		.aligned_percent = 50 + (unsigned)prng_below(prng, 51),
		.reserve_percent = (unsigned)prng_below(prng, 3),
		.start_pfn = pick(prng, starts, G_N_ELEMENTS(starts)),
		.sizes = sizes[prng_below(prng, G_N_ELEMENTS(sizes))],
		.caches = seed % 5 < 3,
		.array = seed % 5 == 0,
	};
	uint64_t dma32 = (UINT64_C(1) << 32) >> shape.granule_lg2, span = UINT64_C(1) << (6 + prng_below(prng, 12));
	uint64_t last = prng_below(prng, 2) ? MIN(shape.start_pfn + span, dma32 - 1) : dma32 - 1;

	if (prng_below(prng, 4) == 0)
		shape.start_pfn = dma32 - MIN(span / 2, dma32 / 2);
	last = MAX(last, shape.start_pfn);
	shape.limits[0] = shape.limits[1] = last;
	shape.limits[2] = prng_below(prng, 2) ? last : shape.start_pfn + (last - shape.start_pfn) / 2;
	shape.limits[3] = prng_below(prng, 8) ? dma32 + span : UINT64_MAX >> prng_below(prng, 3);
	if (seed % 10 < 2) { /* room for so many of one size that depots fill and overflow */
		shape.cpus = 1 + (unsigned)prng_below(prng, 2);
		shape.granule_lg2 = 12;
		shape.start_pfn = 1;
		shape.live_max = LIVE_MAX;
		shape.sizes = sizes[prng_below(prng, 3) ? 4 : 0];
		shape.limits[0] = shape.limits[1] = shape.limits[2] = shape.limits[3] = DMA32_LIMIT;
	}
	return shape;
}

static int fail_first(void *data, enum iova_memory_kind kind)
{
	unsigned *fails = data;

	if (!*fails)
		return 0;
	--*fails;
	return -ENOMEM;
}

static void run_init(struct run *run, unsigned seed)
{
	*run = (struct run){.held = g_array_new(FALSE, FALSE, sizeof(struct held))};
	prng_init(&run->prng, seed, "iova shapes");
	run->shape = shape_draw(seed, &run->prng);
	run->setup = setup_new_granule(run->shape.cpus, UINT64_C(1) << run->shape.granule_lg2, run->shape.start_pfn,
				       run->shape.caches);
	run->setup.sim->behaviour[IOVA_DEPOT] = run->shape.array ? IOVA_DEPOT_ARRAY_32 : IOVA_DEPOT_TRIMMED;
	iova_set_allocation_hook(run->setup.iovad, fail_first, &run->fails);
	list_init(&run->list, UINT64_C(1) << run->shape.granule_lg2, run->shape.start_pfn);
	run->caches = caches_new(&run->list, run->shape.cpus, run->shape.array);
}

static void run_finish(struct run *run)
{
	caches_free(run->caches);
	list_finish(&run->list);
	g_array_free(run->held, TRUE);
	setup_free(&run->setup);
}

static void run_raw_alloc(struct run *run, uint64_t size, uint64_t limit)
{
	bool aligned = prng_below(&run->prng, 100) < run->shape.aligned_percent;
	uint64_t pfn = 0, expected = 0;
	bool found = list_alloc(&run->list, size, limit, aligned, &expected);

	g_assert_true(iova_alloc_tree(run->setup.iovad, size, limit, aligned, &pfn) == found);
	g_assert_cmphex(pfn, ==, expected);
}

static void run_raw_free(struct run *run)
{
	uint64_t pfn = list_at(&run->list, (guint)prng_below(&run->prng, run->list.ranges->len))->lo;

	pfn += prng_below(&run->prng, 2);
	list_free_pfn(&run->list, pfn);
	iova_free_tree(run->setup.iovad, pfn);
}

static void run_alloc(struct run *run, unsigned cpu, uint64_t size, uint64_t limit)
{
	bool flush = prng_below(&run->prng, 100) < run->shape.flush_percent;
	struct held held = {iova_alloc_fast(run->setup.iovad, size, limit, flush), size};

	g_assert_cmphex(held.pfn, ==, caches_alloc(run->caches, cpu, size, limit, flush));
	if (held.pfn)
		g_array_append_val(run->held, held);
}

static void run_free(struct run *run, unsigned cpu)
{
	guint i = (guint)prng_below(&run->prng, run->held->len);
	struct held held = g_array_index(run->held, struct held, i);

	iova_free_fast(run->setup.iovad, held.pfn, held.size);
	caches_give(run->caches, cpu, held.pfn, held.size);
	g_array_remove_index_fast(run->held, i);
}

static void run_reserve(struct run *run)
{
	uint64_t lo = prng_next(&run->prng) % (run->shape.limits[0] + 2), hi = lo + prng_below(&run->prng, 12);
	uint64_t real_lo = 0, real_hi = 0;
	struct range range = {0};
	bool reserved = list_reserve(&run->list, lo, hi, &range);

	g_assert_true(iova_reserve(run->setup.iovad, lo, hi, &real_lo, &real_hi) == reserved);
	g_assert_cmphex(real_lo, ==, range.lo);
	g_assert_cmphex(real_hi, ==, range.hi);
}

static void run_hotplug(struct run *run, unsigned cpu)
{
	run->caches->offline[cpu] = !run->caches->offline[cpu];
	if (run->caches->offline[cpu]) {
		iova_cpu_offline(run->setup.iovad, cpu);
		caches_empty_cpu(run->caches, cpu);
	} else {
		iova_cpu_online(run->setup.iovad, cpu);
	}
}

/* In a domain with caches a few operations go past them: what is then freed may be cached, which warns. */
static void run_op(struct run *run)
{
	unsigned cpu = (unsigned)prng_below(&run->prng, run->shape.cpus), what = (unsigned)prng_below(&run->prng, 1000);
	uint64_t size = pick(&run->prng, run->shape.sizes, 8), limit = pick(&run->prng, run->shape.limits, 4);
	guint live = run->shape.caches ? run->held->len : run->list.ranges->len - 1;
	bool alloc = prng_below(&run->prng, 100) < (run->growing ? 85 : 15);

	run->setup.sim->cpu = cpu;
	if (prng_below(&run->prng, 100) < run->shape.fail_percent)
		run->fails = run->list.fails = 1 + (unsigned)prng_below(&run->prng, 2);
	if (live == 0 || live >= run->shape.live_max)
		run->growing = live == 0;
	if (what < 10 * run->shape.reserve_percent && (!run->shape.caches || run->list.ranges->len < LIVE_MAX))
		run_reserve(run);
	else if (run->shape.caches && what >= 970 && what < 990)
		g_assert_true(iova_depot_work(run->setup.iovad, what % IOVA_ORDERS) ==
			      caches_work(run->caches, what % IOVA_ORDERS));
	else if (run->shape.caches && what == 990)
		run_hotplug(run, cpu);
	else if (what == 991 || (!run->shape.caches && !alloc))
		run_raw_free(run);
	else if (!run->shape.caches || what == 992)
		run_raw_alloc(run, size, limit);
	else if (alloc || live == 0)
		run_alloc(run, cpu, size, limit);
	else
		run_free(run, cpu);
	g_assert_cmpuint(run->fails, ==, run->list.fails);
	run->fails = run->list.fails = 0;
}

static void test_random(const void *data)
{
	struct run run;

	run_init(&run, GPOINTER_TO_UINT(data));
	for (unsigned op = 0; op < OPS_PER_SEED; op++) {
		run_op(&run);
		assert_same_state(&run.list, run.setup.iovad);
		if (run.shape.caches)
			assert_same_counts(run.caches, run.setup.iovad);
		if (op % 500 && op + 1 < OPS_PER_SEED)
			continue;
		assert_same_ranges(&run.list, run.setup.iovad);
		if (run.shape.caches)
			assert_same_magazines(run.caches, run.setup.iovad);
	}
	g_test_message("%u cpus, granule 2^%u, start %" G_GINT64_MODIFIER "x, up to %u live, %s: %" G_GUINT64_FORMAT
		       " nodes visited, %" G_GUINT64_FORMAT " pushes, %" G_GUINT64_FORMAT " trims, %" G_GUINT64_FORMAT
		       " flushes, %" G_GUINT64_FORMAT " warnings",
		       run.shape.cpus, run.shape.granule_lg2, run.shape.start_pfn, run.shape.live_max,
		       !run.shape.caches ? "no caches" : run.shape.array ? "array depot" : "trimmed depot",
		       run.list.steps, run.caches->stats.depot_pushes, run.caches->stats.depot_trims,
		       run.caches->stats.rcache_flushes, run.caches->stats.warnings);
	run_finish(&run);
}

/* ---- every sequence, straight from the tree ---- */

#define SPACE_FIRST 1
#define SPACE_LAST  12
#define SPACE_HALF  6
#define DEPTH	    6 /* operations in the longest sequences */
#define BLOCKS_MAX  24

/* One letter of the alphabet; after these come the frees of each range that there is. */
static const struct tiny_op {
	uint64_t size; /* 0: reserve [lo, limit] */
	uint64_t lo, limit;
	bool aligned;
} tiny_ops[] = {
	{1, 0, SPACE_LAST, true},  {2, 0, SPACE_LAST, true},  {3, 0, SPACE_LAST, false}, {5, 0, SPACE_LAST, true},
	{1, 0, SPACE_HALF, false}, {5, 0, SPACE_HALF, false}, {0, 3, 5, false},		 {0, 5, 9, false},
};

struct explored {
	struct setup setup;
	struct list list;
	uint64_t sequences, failures, heights;
};

/* Where a domain without caches can be taken back to. Ranges and blocks are few. */
struct bookmark {
	struct iova_domain iovad;
	struct list list;
	struct range ranges[SPACE_LAST + 2];
	struct tree_block blocks[BLOCKS_MAX];
};

static void bookmark_set(struct bookmark *bookmark, const struct explored *explored)
{
	const struct iova_domain *iovad = explored->setup.iovad;

	g_assert_cmpuint(iovad->tree.block_count, <=, BLOCKS_MAX);
	g_assert_cmpuint(explored->list.ranges->len, <=, G_N_ELEMENTS(bookmark->ranges));
	bookmark->iovad = *iovad;
	bookmark->list = explored->list;
	memcpy(bookmark->blocks, iovad->tree.blocks, iovad->tree.block_count * sizeof(struct tree_block));
	memcpy(bookmark->ranges, explored->list.ranges->data, explored->list.ranges->len * sizeof(struct range));
}

static void bookmark_return(const struct bookmark *bookmark, guint range_count, struct explored *explored)
{
	struct iova_domain *iovad = explored->setup.iovad;
	struct tree_block *blocks = iovad->tree.blocks; /* may have grown since */
	uint32_t capacity = iovad->tree.block_capacity;

	*iovad = bookmark->iovad;
	iovad->tree.blocks = blocks;
	iovad->tree.block_capacity = capacity;
	memcpy(blocks, bookmark->blocks, iovad->tree.block_count * sizeof(struct tree_block));
	explored->list = bookmark->list;
	g_array_set_size(explored->list.ranges, range_count);
	memcpy(explored->list.ranges->data, bookmark->ranges, range_count * sizeof(struct range));
}

static void tiny_call(struct explored *explored, const struct tiny_op *op)
{
	struct iova_domain *iovad = explored->setup.iovad;
	uint64_t pfn = 0, expected = 0, lo, hi;
	struct range range;
	bool found;

	if (op->size) {
		found = list_alloc(&explored->list, op->size, op->limit, op->aligned, &expected);
		g_assert_true(iova_alloc_tree(iovad, op->size, op->limit, op->aligned, &pfn) == found);
		g_assert_cmphex(pfn, ==, expected);
		explored->failures += !found;
		return;
	}
	g_assert_true(list_reserve(&explored->list, op->lo, op->limit, &range));
	g_assert_true(iova_reserve(iovad, op->lo, op->limit, &lo, &hi));
	g_assert_cmphex(lo, ==, range.lo);
	g_assert_cmphex(hi, ==, range.hi);
}

static void tiny_free(struct explored *explored, guint i)
{
	uint64_t pfn = list_at(&explored->list, i)->hi;

	g_assert_true(list_free_pfn(&explored->list, pfn));
	iova_free_tree(explored->setup.iovad, pfn);
}

/* Tries every operation after those done so far, and every sequence that begins so. */
static void explore(struct explored *explored, unsigned done)
{
	guint ranges = explored->list.ranges->len, calls = G_N_ELEMENTS(tiny_ops);
	struct bookmark bookmark;

	bookmark_set(&bookmark, explored);
	for (guint i = 0; i < calls + ranges - 1; i++) {
		if (i < calls)
			tiny_call(explored, &tiny_ops[i]);
		else
			tiny_free(explored, i - calls);
		explored->sequences++;
		explored->heights |= UINT64_C(1) << explored->setup.iovad->tree.height;
		assert_same_state(&explored->list, explored->setup.iovad);
		assert_same_ranges(&explored->list, explored->setup.iovad);
		if (done + 1 < DEPTH)
			explore(explored, done + 1);
		bookmark_return(&bookmark, ranges, explored);
	}
}

/* @data: the granule's order. With 4 KiB all of the space is 32-bit, with 1 GiB it ends at pfn 4, with 512 MiB at 8. */
static void test_every_sequence(const void *data)
{
	uint64_t granule = UINT64_C(1) << GPOINTER_TO_UINT(data);
	struct explored explored = {.setup = setup_new_granule(1, granule, SPACE_FIRST, false)};

	list_init(&explored.list, granule, SPACE_FIRST);
	explore(&explored, 0);
	g_test_message("%" G_GUINT64_FORMAT " sequences, %" G_GUINT64_FORMAT " failed allocations at their ends",
		       explored.sequences, explored.failures);
	g_assert_cmpuint(explored.sequences, >, 100000);
	g_assert_cmpuint(explored.failures, >, 0);
	if (TREE_LEAF < 32) /* blocks were split, and branches too */
		g_assert_cmphex(explored.heights, ==, 0x7);
	list_finish(&explored.list);
	setup_free(&explored.setup);
}

/* ---- every sequence, through the caches ---- */

#define CACHED_DEPTH 6
#define CACHED_OPS   8

struct cached_run {
	struct setup setup;
	struct list list;
	struct caches *caches;
	struct held held[CACHED_DEPTH];
	unsigned held_count;
};

static void cached_alloc(struct cached_run *run, unsigned cpu, uint64_t size, uint64_t limit, bool flush)
{
	struct held held = {.size = size};

	run->setup.sim->cpu = cpu;
	held.pfn = iova_alloc_fast(run->setup.iovad, size, limit, flush);
	g_assert_cmphex(held.pfn, ==, caches_alloc(run->caches, cpu, size, limit, flush));
	if (held.pfn)
		run->held[run->held_count++] = held;
}

static void cached_free(struct cached_run *run, unsigned cpu, unsigned i)
{
	struct held held = run->held[i];

	if (!run->held_count)
		return;
	run->setup.sim->cpu = cpu;
	iova_free_fast(run->setup.iovad, held.pfn, held.size);
	caches_give(run->caches, cpu, held.pfn, held.size);
	run->held_count--;
	memmove(&run->held[i], &run->held[i + 1], (run->held_count - i) * sizeof(held));
}

static void cached_op(struct cached_run *run, unsigned op)
{
	switch (op) {
	case 0:
		cached_alloc(run, 0, 1, SPACE_LAST, false);
		break;
	case 1:
		cached_alloc(run, 0, 1, SPACE_HALF, true);
		break;
	case 2:
		cached_alloc(run, 1, 3, SPACE_LAST, true);
		break;
	case 3:
		cached_alloc(run, 0, 5, SPACE_LAST, true);
		break;
	case 4:
		cached_free(run, 0, 0);
		break;
	case 5:
		cached_free(run, 0, run->held_count ? run->held_count - 1 : 0);
		break;
	case 6:
		cached_free(run, 1, 0);
		break;
	default:
		iova_cpu_offline(run->setup.iovad, 0);
		iova_cpu_online(run->setup.iovad, 0);
		caches_empty_cpu(run->caches, 0);
	}
}

/* @number, in digits of the base CACHED_OPS, is the sequence. A shorter one is the beginning of one of these. */
static void cached_sequence(unsigned number)
{
	struct cached_run run = {.setup = setup_new(2, SPACE_FIRST, true)};

	list_init(&run.list, 4096, SPACE_FIRST);
	run.caches = caches_new(&run.list, 2, false);
	for (unsigned done = 0; done < CACHED_DEPTH; done++, number /= CACHED_OPS) {
		cached_op(&run, number % CACHED_OPS);
		assert_same_state(&run.list, run.setup.iovad);
		assert_same_counts(run.caches, run.setup.iovad);
	}
	assert_same_ranges(&run.list, run.setup.iovad);
	assert_same_magazines(run.caches, run.setup.iovad);
	caches_free(run.caches);
	list_finish(&run.list);
	setup_free(&run.setup);
}

static void test_every_cached_sequence(void)
{
	unsigned sequences = 1;

	for (unsigned i = 0; i < CACHED_DEPTH; i++)
		sequences *= CACHED_OPS;
	for (unsigned number = 0; number < sequences; number++)
		cached_sequence(number);
}

int main(int argc, char **argv)
{
	static const unsigned granules[] = {12, 29, 30};

	g_test_init(&argc, &argv, NULL);
	for (unsigned seed = 0; seed < SEEDS; seed++) {
		g_autofree char *name = g_strdup_printf("/iommu/iova/random-as-list/%02u", seed);

		g_test_add_data_func(name, GUINT_TO_POINTER(seed), test_random);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(granules); i++) {
		g_autofree char *name = g_strdup_printf("/iommu/iova/every-sequence-as-list/granule-%u", granules[i]);

		g_test_add_data_func(name, GUINT_TO_POINTER(granules[i]), test_every_sequence);
	}
	g_test_add_func("/iommu/iova/every-cached-sequence-as-list", test_every_cached_sequence);
	return g_test_run();
}
