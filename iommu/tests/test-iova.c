/* SPDX-License-Identifier: MIT */
/*
 * The IOVA allocator against three things: recordings of the kernel's own (addresses and state, byte by byte), a list
 * model that walks as the specification says (addresses, cached nodes, hint and length of the walk), and a sweep in which
 * every allocation of a scenario fails once. The rest are single facts, one a test.
 */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <zstd.h>

#include "iommu/iova/golden.h"
#include "iommu/tests/iova-model.h"

/* ---- recordings ---- */

/* Returns the text of a recording, *@ret_len bytes; free with g_free(). */
static char *golden_read(const char *path, size_t *ret_len)
{
	g_autofree char *packed = NULL;
	gsize packed_len;
	unsigned long long len;
	char *text;

	g_assert_true(g_file_get_contents(path, &packed, &packed_len, NULL));
	if (!g_str_has_suffix(path, ".zst")) {
		*ret_len = packed_len;
		return g_steal_pointer(&packed);
	}
	len = ZSTD_getFrameContentSize(packed, packed_len);
	g_assert_cmpuint(len, <, 64 << 20);
	text = g_malloc(len + 1);
	g_assert_cmpuint(ZSTD_decompress(text, len, packed, packed_len), ==, len);
	*ret_len = len;
	return text;
}

/* Fails with the first line that differs. */
static void assert_same_text(const char *path, const char *text, size_t len, const GString *emitted)
{
	size_t at = 0, line = 1, begin = 0;

	if (emitted->len == len && memcmp(emitted->str, text, len) == 0)
		return;
	for (; at < len && at < emitted->len && text[at] == emitted->str[at]; at++) {
		if (text[at] == '\n') {
			line++;
			begin = at + 1;
		}
	}
	g_test_message("%s:%zu: recorded %.*s", path, line, (int)strcspn(text + begin, "\n"), text + begin);
	g_test_message("%s:%zu: model    %.*s", path, line, (int)strcspn(emitted->str + begin, "\n"), emitted->str + begin);
	g_test_fail();
}

static void test_golden(const void *data)
{
	const char *path = data;
	g_autoptr(GString) out = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	size_t len;

	text = golden_read(path, &len);
	iova_golden_emit(path, text, len, out, &error);
	g_assert_no_error(error);
	assert_same_text(path, text, len, out);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds a test for each recording in @dir, by name. Returns how many. */
static unsigned add_golden_tests(const char *dir, const char *prefix)
{
	g_autoptr(GDir) handle = g_dir_open(dir, 0, NULL);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	const char *name;

	while (handle && (name = g_dir_read_name(handle)))
		if (g_str_has_suffix(name, ".txt") || g_str_has_suffix(name, ".txt.zst"))
			g_ptr_array_add(names, g_strdup(name));
	g_ptr_array_sort(names, compare_names);
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *test = NULL;

		name = g_ptr_array_index(names, i);
		test = g_strdup_printf("%s/%.*s-as-recorded", prefix, (int)strcspn(name, "."), name);
		g_test_add_data_func_full(test, g_build_filename(dir, name, NULL), test_golden, g_free);
	}
	return names->len;
}

static void test_golden_names_the_bad_line(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", "x:1: not an 'iova-golden 1' file"},
		{"iova-golden 2\n", "x:1: not an 'iova-golden 1' file"},
		{"iova-golden 1\n\n# c\nalloc 0 1 ff 0\n", "x:4: there is no domain"},
		{"iova-golden 1\ndomain 4096 1 1\n", "x:2: wrong number of arguments"},
		{"iova-golden 1\ndomain 4096 1 1 4096 1\n", "x:2: wrong number of arguments"},
		{"iova-golden 1\ndomain 4096 1 1 1 1 1 1 1 1 1\n", "x:2: too many arguments"},
		{"iova-golden 1\ndomain 4095 1 1 4096\n", "x:2: the granule is no power of two, or above the page size"},
		{"iova-golden 1\ndomain 4096 1 0 4096\n", "x:2: no CPUs"},
		{"iova-golden 1\ndomain 4096 1 99999 4096\n", "x:2: '99999' is out of range, at most 4096"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nralloc 0 f 1\n", "x:3: size of no granules"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nralloc 1 10000000000000000 1\n",
		 "x:3: '10000000000000000' is not a number"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nmags 0\n", "x:3: the domain has no caches"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nresv 2 1\n", "x:3: the range ends before it starts"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nfrob\n", "x:3: unknown operation 'frob'"},
		{"iova-golden 1\n = 7\n", "x:2: no operation"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nrcaches\nrcaches\n", "x:4: the domain has its caches already"},
		{"iova-golden 1\ndomain 4096 1 1 4096\nrcaches\nstress 1 9 9 ff 0 1,,2\n", "x:4: '' is out of range, at "
											   "most 9223372036854775808"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(iova_golden_emit("x", cases[i].text, strlen(cases[i].text), out, &error));
		g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
		g_assert_cmpstr(error->message, ==, cases[i].message);
	}
}

/* A recording that lies is answered with the truth: nothing behind " = " is read. */
static void test_golden_reads_inputs_only(void)
{
	static const char text[] = "iova-golden 1\ndomain 4096 1 1 4096 = 7\nralloc 1 fffff 1 = 42";
	g_autoptr(GString) out = g_string_new(NULL);

	g_assert_true(iova_golden_emit("x", text, strlen(text), out, NULL));
	g_assert_cmpstr(out->str, ==, "iova-golden 1\ndomain 4096 1 1 4096 = 100000\nralloc 1 fffff 1 = fffff\n");
}

/* ---- beside the list of iova-model.h ---- */

/* What a random run is made of. */
struct mix {
	const char *name;
	uint64_t start_pfn;
	uint64_t limits[4];
	uint64_t sizes[8]; /* drawn evenly */
	unsigned live_max, ops;
	unsigned aligned_percent, reserve_percent;
};

static const struct mix mixes[] = {
	{"tiny-space", 3, {63, 63, 40, 7}, {1, 1, 2, 3, 4, 5, 8, 16}, 40, 40000, 70, 4},
	{"start-at-zero", 0, {200, 255, 100, 0}, {1, 2, 3, 4, 9, 17, 33, 300}, 60, 20000, 60, 2},
	{"around-4g", 0xfff00, {0xfffff, 0x100000, 0x1000ff, 0xfffffffff}, {1, 2, 3, 7, 8, 20, 33, 64}, 300, 30000, 80, 1},
	{"odd-sizes", 1, {0x7fff, 0x7fff, 0x3fff, 0xffff}, {33, 33, 65, 40, 48, 129, 1, 17}, 600, 30000, 90, 0},
	{"unaligned", 1, {0x3fff, 0x3fff, 0x1fff, 0x3fff}, {1, 2, 3, 5, 11, 13, 21, 34}, 1500, 30000, 0, 0},
	{"many-small", 1, {0xfffff, 0xfffff, 0xffff, 0xffffffff}, {1, 1, 1, 2, 4, 8, 2, 1}, 5000, 40000, 100, 0},
	{"deep", 1, {0xffffffff, 0xffffffff, 0xffff, 0x1ffff}, {1, 1, 1, 1, 1, 2, 2, 3}, 20000, 60000, 100, 0},
	{"top-of-the-world", 1, {UINT64_MAX, UINT64_MAX - 1, 0xff, UINT64_MAX >> 1},
	 {1, 3, 64, UINT64_C(1) << 40, UINT64_C(1) << 62, UINT64_C(1) << 63, 0x1001, 5}, 60, 20000, 60, 0},
};

static void random_alloc(const struct mix *mix, struct prng *prng, struct list *list, struct iova_domain *iovad)
{
	uint64_t size = mix->sizes[prng_below(prng, 8)], limit = mix->limits[prng_below(prng, 4)], pfn = 0, expected = 0;
	bool aligned = prng_below(prng, 100) < mix->aligned_percent;
	bool found = list_alloc(list, size, limit, aligned, &expected);

	g_assert_true(iova_alloc_tree(iovad, size, limit, aligned, &pfn) == found);
	g_assert_cmphex(pfn, ==, expected);
}

static void random_reserve(const struct mix *mix, struct prng *prng, struct list *list, struct iova_domain *iovad)
{
	uint64_t lo = prng_next(prng) % (mix->limits[0] + 2), hi = lo + prng_below(prng, 12);
	struct range range;

	g_assert_true(list_reserve(list, lo, hi, &range));
	g_assert_true(iova_reserve(iovad, lo, hi, &lo, &hi));
	g_assert_cmphex(lo, ==, range.lo);
	g_assert_cmphex(hi, ==, range.hi);
}

static void test_random_as_list(const void *data)
{
	const struct mix *mix = data;
	struct setup setup = setup_new(1, mix->start_pfn, false);
	struct list list;
	struct prng prng;

	list_init(&list, 4096, mix->start_pfn);
	prng_init(&prng, 7, mix->name);
	for (unsigned op = 0; op < mix->ops; op++) {
		/* Grow, then hover, then shrink: in the last sixth frees win. */
		unsigned keep = op > mix->ops / 6 * 5 ? 40 : 55;
		uint64_t pfn;

		if (prng_below(&prng, 100) < mix->reserve_percent) {
			random_reserve(mix, &prng, &list, setup.iovad);
		} else if (list.ranges->len <= mix->live_max && prng_below(&prng, 100) < keep) {
			random_alloc(mix, &prng, &list, setup.iovad);
		} else {
			pfn = list_at(&list, prng_below(&prng, list.ranges->len))->lo + prng_below(&prng, 2);
			list_free_pfn(&list, pfn);
			iova_free_tree(setup.iovad, pfn);
		}
		assert_same_state(&list, setup.iovad);
		if (op % 500 == 0)
			tree_check(&setup.iovad->tree);
	}
	assert_same_ranges(&list, setup.iovad);
	list_finish(&list);
	setup_free(&setup);
}

/* The order of a gap decides what a search may skip: all small gaps, by trying every aligned block. */
static void test_gap_order_as_by_trying(void)
{
	for (uint64_t bottom = 0; bottom < 70; bottom++)
		for (uint64_t top = bottom; top < 140; top++) {
			unsigned order = 0;

			for (unsigned k = 0; k < 8; k++)
				for (uint64_t at = 0; at + (1u << k) <= top; at += 1u << k)
					if (at >= bottom)
						order = k + 1;
			g_assert_cmpuint(tree_gap_order(bottom, top), ==, order);
		}
	g_assert_cmpuint(tree_gap_order(0, UINT64_MAX), ==, 64);
	g_assert_cmpuint(tree_gap_order(1, UINT64_MAX), ==, 63);
	g_assert_cmpuint(tree_gap_order(UINT64_MAX - 1, UINT64_MAX), ==, 1);
}

/* The space is used up and given back completely several times: blocks are merged and used again. */
static void test_tree_shrinks_to_one_leaf(void)
{
	struct setup setup = setup_new(1, 1, false);
	uint32_t blocks = 0;
	uint64_t pfn;

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 20000; i++)
			g_assert_true(iova_alloc_tree(setup.iovad, 1, DMA32_LIMIT, true, &pfn));
		g_assert_cmpuint(setup.iovad->tree.height, >=, 2);
		for (unsigned i = 0; i < 20000; i++)
			iova_free_tree(setup.iovad, DMA32_LIMIT - (i * 7919u) % 20000);
		g_assert_cmpuint(iova_node_count(setup.iovad), ==, 0);
		g_assert_cmpuint(setup.iovad->tree.height, ==, 0);
		if (round == 0)
			blocks = setup.iovad->tree.block_count;
	}
	g_assert_cmpuint(setup.iovad->tree.block_count, ==, blocks);
	/* A run downwards fills its leaves: 20,000 ranges in leaves of 32, and their branches. */
	g_assert_cmpuint(blocks, <, 20000 / TREE_LEAF * 5 / 4);
	setup_free(&setup);
}

/* Of 20,000 ranges every 32nd stays: what is left lies in few blocks, not in one leaf each. */
static void test_sparse_leaves_are_merged(void)
{
	struct setup setup = setup_new(1, 1, false);
	const struct iova_tree *tree = &setup.iovad->tree;
	uint32_t in_use = 0;
	uint64_t pfn;

	for (unsigned i = 0; i < 20000; i++)
		g_assert_true(iova_alloc_tree(setup.iovad, 1, DMA32_LIMIT, true, &pfn));
	for (unsigned i = 0; i < 20000; i++)
		if (i % 32)
			iova_free_tree(setup.iovad, DMA32_LIMIT - i);
	in_use = tree->block_count;
	for (uint32_t free_block = tree->free_list; free_block != UINT32_MAX;
	     free_block = tree->blocks[free_block].next_free)
		in_use--;
	g_assert_cmpuint(tree->count, ==, 20000 / 32 + 1);
	g_assert_cmpuint(in_use, <, 100);
	setup_free(&setup);
}

/* ---- single facts, in the order of iova-facts section 10 ---- */

static void test_limit_below_first_range_fails(void)
{
	struct setup setup = setup_new(1, 0x100, true);

	g_assert_cmphex(iova_alloc_fast(setup.iovad, 8, 0xff, true), ==, 0);
	g_assert_cmpuint(iova_stats(setup.iovad)->failures, ==, 1);
	setup_free(&setup);
}

static void test_failure_poisons_the_hint_until_a_range_returns(void)
{
	struct setup setup = setup_new(1, 0x100, true);
	uint64_t lo, hi;

	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, 0xff, false), ==, 0);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, true), ==, 0);
	/* Above 32 bits the hint does not count. */
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, 0xfffffffff, false), ==, 0xfffffffff);
	g_assert_true(iova_reserve(setup.iovad, 0x200, 0x2ff, &lo, &hi));
	iova_free_tree(setup.iovad, 0x280);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false), ==, DMA32_LIMIT);
	setup_free(&setup);
}

static void test_wide_failure_raises_a_low_hint(void)
{
	struct setup setup = setup_new(1, 1, false);
	uint64_t pfn;

	g_assert_false(iova_alloc_tree(setup.iovad, 1, 0, true, &pfn));
	g_assert_cmpuint(iova_state(setup.iovad).max32_alloc_size, ==, 1);
	g_assert_false(iova_alloc_tree(setup.iovad, UINT64_C(1) << 62, UINT64_C(1) << 40, true, &pfn));
	g_assert_cmphex(iova_state(setup.iovad).max32_alloc_size, ==, UINT64_C(1) << 62);
	g_assert_true(iova_alloc_tree(setup.iovad, 1, DMA32_LIMIT, true, &pfn));
	setup_free(&setup);
}

static void test_33_granules_take_a_slot_of_64(void)
{
	struct setup setup = setup_new(1, 1, false);
	unsigned count = 0;
	uint64_t pfn;

	while (iova_alloc_tree(setup.iovad, 33, DMA32_LIMIT, true, &pfn))
		count++;
	g_assert_cmpuint(count, ==, 16383);
	setup_free(&setup);
}

static void test_freed_with_a_smaller_size_comes_back_smaller(void)
{
	struct setup setup = setup_new(1, 1, true);
	uint64_t pfn = iova_alloc_fast(setup.iovad, 5, DMA32_LIMIT, false);

	iova_free_fast(setup.iovad, pfn, 5);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 5, DMA32_LIMIT, false), ==, pfn);
	iova_free_fast(setup.iovad, pfn, 4);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 5, DMA32_LIMIT, false), !=, pfn);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 4, DMA32_LIMIT, false), ==, pfn);
	setup_free(&setup);
}

/* The kernel cannot tell pfn 0 from nothing: it leaves the cache and is lost there, and the tree serves. */
static void test_cached_pfn_0_is_a_miss(void)
{
	struct setup setup = setup_new(1, 0, true);

	iova_free_fast(setup.iovad, 0, 1);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false), ==, DMA32_LIMIT);
	g_assert_cmpuint(iova_stats(setup.iovad)->cache_hits[0], ==, 0);
	g_assert_cmpuint(iova_stats(setup.iovad)->cache_misses[0], ==, 1);
	setup_free(&setup);
}

static int fail_one_node(void *data, enum iova_memory_kind kind)
{
	unsigned *left = data;

	return kind == IOVA_MEMORY_NODE && *left && --*left == 0 ? -ENOMEM : 0;
}

static void count_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	*(unsigned *)data += 1;
}

static void test_failed_node_with_flush_empties_the_caches(void)
{
	struct setup setup = setup_new(2, 1, true);
	unsigned fail = 1, cached = 0;
	uint64_t pfn = iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false);

	setup.sim->cpu = 1;
	iova_free_fast(setup.iovad, pfn, 1);
	iova_each_cached(setup.iovad, count_cached, &cached);
	g_assert_cmpuint(cached, ==, 1);
	iova_set_allocation_hook(setup.iovad, fail_one_node, &fail);
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 8, DMA32_LIMIT, true), !=, 0);
	cached = 0;
	iova_each_cached(setup.iovad, count_cached, &cached);
	g_assert_cmpuint(cached, ==, 0);
	g_assert_cmpuint(iova_stats(setup.iovad)->rcache_flushes, ==, 1);
	setup_free(&setup);
}

static void test_cached_call_without_caches_is_found_once(void)
{
	struct setup setup = setup_new(1, 1, false);

	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false), ==, DMA32_LIMIT);
	iova_free_fast(setup.iovad, DMA32_LIMIT, 1);
	g_assert_cmpuint(setup.sim->findings.count[FINDING_NULL_DEREF], ==, 1);
	g_assert_cmpuint(iova_node_count(setup.iovad), ==, 0);
	setup_free(&setup);
}

static void test_flushing_a_pfn_without_node_warns(void)
{
	struct setup setup = setup_new(1, 1, true);

	iova_free_fast(setup.iovad, 0x77, 1);
	iova_cpu_offline(setup.iovad, 0);
	g_assert_cmpuint(iova_stats(setup.iovad)->warnings, ==, 1);
	g_assert_cmpuint(setup.sim->findings.count[FINDING_KERNEL_WARNING], ==, 1);
	g_assert_cmpuint(setup.sim->cpu_online, ==, 0);
	iova_cpu_offline(setup.iovad, 0);
	g_assert_cmpuint(setup.sim->cpu_online, ==, 0);
	iova_cpu_online(setup.iovad, 0);
	g_assert_cmpuint(setup.sim->cpu_online, ==, 1);
	setup_free(&setup);
}

static void test_work_and_locks_are_charged_where_linux_does_it(void)
{
	struct setup setup = setup_new(1, 1, true);
	uint64_t pfn = iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false);

	g_assert_cmpuint(setup.sim->work[WORK_IOVA_TREE], ==, 1);
	g_assert_cmpuint(setup.sim->work[WORK_IOVA_TREE_STEP], ==, 1);
	/* The miss looked into the depot. */
	g_assert_cmpuint(iova_depot_lock(setup.iovad, 0)->taken, ==, 1);
	g_assert_cmpuint(iova_tree_lock(setup.iovad)->taken, ==, 1);
	iova_free_fast(setup.iovad, pfn, 1);
	iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false);
	g_assert_cmpuint(setup.sim->work[WORK_IOVA_CACHE], ==, 2);
	g_assert_cmpuint(iova_depot_lock(setup.iovad, 0)->taken, ==, 1);
	g_assert_cmpuint(iova_tree_lock(setup.iovad)->taken, ==, 1);
	g_assert_cmpuint(iova_stats(setup.iovad)->cache_hits[0], ==, 1);
	g_assert_cmpuint(iova_stats(setup.iovad)->cache_misses[0], ==, 1);
	/* What goes back to the tree is looked up: two ranges and the anchor are two levels. */
	pfn = iova_alloc_fast(setup.iovad, 64, DMA32_LIMIT, false);
	iova_free_fast(setup.iovad, pfn, 64);
	g_assert_cmpuint(setup.sim->work[WORK_IOVA_TREE], ==, 3);
	g_assert_cmpuint(setup.sim->work[WORK_IOVA_TREE_STEP] - iova_stats(setup.iovad)->tree_steps, ==, 2);
	setup_free(&setup);
}

/* ---- depot ---- */

/* Allocates @count single granules and then frees them all, on CPU 0. */
static void churn(struct setup *setup, unsigned count)
{
	g_autofree uint64_t *pfns = g_new(uint64_t, count);

	for (unsigned i = 0; i < count; i++)
		pfns[i] = iova_alloc_fast(setup->iovad, 1, DMA32_LIMIT, false);
	for (unsigned i = 0; i < count; i++)
		iova_free_fast(setup->iovad, pfns[i], 1);
}

static void depot_timer(struct sim *sim, uint32_t payload)
{
	g_assert_cmpuint(payload, ==, 5 << 3 | 0);
	g_assert_true(iova_depot_work(sim->handler_data[3], payload & 7));
}

/* Two CPUs, so the depot is trimmed to two magazines, one each 100 ms. */
static void test_depot_timer_trims_to_the_online_cpus(void)
{
	struct setup setup = setup_new(2, 1, false);

	iova_domain_free(setup.iovad);
	setup.iovad = iova_domain_new(setup.sim, 4096, 1, 5, 3);
	sim_handle(setup.sim, 3, depot_timer, setup.iovad);
	g_assert_cmpint(iova_rcaches_init(setup.iovad), ==, 0);
	churn(&setup, 7 * IOVA_MAGAZINE_PFNS);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, 5);
	g_assert_true(iova_depot_pending(setup.iovad, 0));
	g_assert_cmpuint(setup.sim->events.count, ==, 1);
	sim_run_until(setup.sim, IOVA_DEPOT_TIMER_NS - 1);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, 5);
	sim_run_until(setup.sim, IOVA_DEPOT_TIMER_NS);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, 4);
	sim_run_until(setup.sim, UINT64_MAX);
	g_assert_cmpuint(setup.sim->now_ns, ==, 4 * IOVA_DEPOT_TIMER_NS);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, 2);
	g_assert_false(iova_depot_pending(setup.iovad, 0));
	g_assert_cmpuint(iova_stats(setup.iovad)->depot_trims, ==, 3);
	setup_free(&setup);
}

/* 32 magazines stay; what is pushed beyond that goes to the tree at once, and no timer runs. */
static void test_array_depot_overflows_into_the_tree(void)
{
	struct setup setup = setup_new(1, 1, true);
	unsigned magazines = IOVA_DEPOT_ARRAY + 2;

	setup.sim->behaviour[IOVA_DEPOT] = IOVA_DEPOT_ARRAY_32;
	churn(&setup, (magazines + 3) * IOVA_MAGAZINE_PFNS);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, IOVA_DEPOT_ARRAY);
	g_assert_cmpuint(iova_node_count(setup.iovad), ==, magazines * IOVA_MAGAZINE_PFNS);
	g_assert_cmpuint(iova_stats(setup.iovad)->tree_frees, ==, 3 * IOVA_MAGAZINE_PFNS);
	g_assert_false(iova_depot_pending(setup.iovad, 0));
	g_assert_false(iova_depot_work(setup.iovad, 0));
	/* The oldest overflowing magazine's pfns came first; the depot gives back the newest. */
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false), !=, 0);
	setup_free(&setup);
}

static void test_trimmed_depot_has_no_bound(void)
{
	struct setup setup = setup_new(1, 1, true);

	churn(&setup, 50 * IOVA_MAGAZINE_PFNS);
	g_assert_cmpuint(iova_depot_size(setup.iovad, 0), ==, 48);
	g_assert_cmpuint(iova_stats(setup.iovad)->tree_frees, ==, 0);
	setup_free(&setup);
}

/* ---- failures ---- */

static int fail_nth(void *data, enum iova_memory_kind kind)
{
	unsigned *left = data;

	return *left && --*left == 0 ? -ENOMEM : 0;
}

static int fail_from_nth(void *data, enum iova_memory_kind kind)
{
	unsigned *left = data;

	if (*left == 1)
		return -ENOMEM;
	--*left;
	return 0;
}

/* What the @nth step of a creation asks for, counted from 1, on @cpus possible CPUs. */
static enum iova_memory_kind creation_step(unsigned nth, unsigned cpus)
{
	unsigned of_an_order = 1 + 2 * cpus; /* its per-CPU heads, then two magazines a CPU */

	if (nth == 1)
		return IOVA_MEMORY_ARRAY;
	if (nth == 1 + IOVA_ORDERS * of_an_order + 1)
		return IOVA_MEMORY_CPUHP;
	return (nth - 2) % of_an_order ? IOVA_MEMORY_MAGAZINE : IOVA_MEMORY_PERCPU;
}

/* A creation that failed has left nothing behind, and a domain that serves raw calls as before. */
static void assert_as_before_creation(struct iova_domain *iovad)
{
	uint64_t pfn, found_lo, found_hi;

	assert_given_back(iova_memory(iovad));
	g_assert_false(iova_state(iovad).has_rcaches);
	g_assert_null(iova_depot_lock(iovad, 0));
	g_assert_true(iova_alloc_tree(iovad, 7, DMA32_LIMIT, true, &pfn));
	g_assert_cmphex(pfn, ==, DMA32_LIMIT - 7);
	g_assert_true(iova_find(iovad, pfn + 3, &found_lo, &found_hi));
	iova_free_tree(iovad, pfn);
	g_assert_cmpuint(iova_node_count(iovad), ==, 0);
}

/* The @nth step of a creation fails, alone or (@all) with every one behind it; then it fails again, then it succeeds. */
static void creation_fails_at(unsigned check, unsigned cpus, unsigned nth, bool all)
{
	enum iova_memory_kind kind = creation_step(nth, cpus);
	unsigned null_met = check == IOVA_MAGAZINE_UNCHECKED && kind == IOVA_MEMORY_MAGAZINE;
	struct setup setup = setup_new(cpus, 1, false);
	unsigned left;

	setup.sim->behaviour[IOVA_MAGAZINE_NULL_CHECK] = (uint8_t)check;
	iova_set_allocation_hook(setup.iovad, all ? fail_from_nth : fail_nth, &left);
	for (unsigned attempt = 1; attempt <= 2; attempt++) {
		left = nth;
		g_assert_cmpint(iova_rcaches_init(setup.iovad), ==, -ENOMEM);
		g_assert_cmpuint(setup.sim->findings.count[FINDING_NULL_DEREF], ==, null_met * attempt);
		iova_set_allocation_hook(setup.iovad, NULL, NULL);
		assert_as_before_creation(setup.iovad);
		iova_set_allocation_hook(setup.iovad, all ? fail_from_nth : fail_nth, &left);
	}
	iova_set_allocation_hook(setup.iovad, NULL, NULL);
	g_assert_cmpint(iova_rcaches_init(setup.iovad), ==, 0);
	g_assert_cmpuint(iova_memory(setup.iovad)->allocs[IOVA_MEMORY_ARRAY], ==, 1 + 2 * (nth > 1));
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 1, DMA32_LIMIT, false), ==, DMA32_LIMIT);
	setup_free(&setup);
}

/* The kernel crashes exactly where a null magazine meets the clean-up unchecked: iova-facts section 6. */
static void test_every_step_of_creation_may_fail(const void *data)
{
	static const unsigned checks[] = {IOVA_MAGAZINE_KFREE, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_CHECKED};
	unsigned cpus = GPOINTER_TO_UINT(data), steps = 1 + IOVA_ORDERS * (1 + 2 * cpus) + 1;

	for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++)
		for (unsigned nth = 1; nth <= steps; nth++) {
			creation_fails_at(checks[i], cpus, nth, false);
			if (cpus <= 8)
				creation_fails_at(checks[i], cpus, nth, true);
		}
}

static void test_null_deref_names_cpu_order_and_allocation(void)
{
	struct setup setup = setup_new(2, 1, false);
	unsigned left = 1 + 2 * (1 + 4) + 1 + 4; /* array, orders 0 and 1, per-CPU block, the last magazine */
	const struct finding *finding;

	setup.sim->behaviour[IOVA_MAGAZINE_NULL_CHECK] = IOVA_MAGAZINE_UNCHECKED;
	iova_set_allocation_hook(setup.iovad, fail_nth, &left);
	g_assert_cmpint(iova_rcaches_init(setup.iovad), ==, -ENOMEM);
	g_assert_cmpuint(setup.sim->findings.kept->len, ==, 1);
	finding = g_ptr_array_index(setup.sim->findings.kept, 0);
	g_assert_cmpstr(finding->text, ==,
			"iova domain 0: clean-up of failed caches frees the null prev magazine of cpu 1, order 2; "
			"allocation 16 of 31 failed, the prev magazine of cpu 1");
	setup_free(&setup);
}

/* A little of everything: creation, reservations, all orders, hand-off between CPUs, flush, trimming, a CPU leaving. Every
 * call may fail. What was allocated and did not fail is freed at the end. */
static void scenario(struct setup *setup)
{
	struct iova_domain *iovad = setup->iovad;
	uint64_t lo, hi, pfn;
	bool rcaches = iova_rcaches_init(iovad) == 0 || iova_rcaches_init(iovad) == 0;

	g_assert_true(rcaches);
	iova_reserve(iovad, 0x700, 0x7ff, &lo, &hi);
	iova_reserve(iovad, 0x6f0, 0x80f, &lo, &hi);
	if (iova_alloc_tree(iovad, 100, 0xfff, true, &pfn))
		iova_free_tree(iovad, pfn);
	for (unsigned size = 1; size <= 48; size += 3) {
		setup->sim->cpu = size % 2;
		pfn = iova_alloc_fast(iovad, size, 0xfff, true);
		if (pfn && size > 9) {
			setup->sim->cpu = 0;
			iova_free_fast(iovad, pfn, size);
		} else if (pfn) {
			iova_free_tree(iovad, pfn);
		}
	}
	churn(setup, 5 * IOVA_MAGAZINE_PFNS);
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		iova_depot_work(iovad, order);
	iova_cpu_offline(iovad, 1);
	iova_cpu_online(iovad, 1);
	iova_alloc_fast(iovad, 32, 0x20, true); /* no room: flushes */
}

/* Runs the scenario with a faults file in which @point fails at pass @nth. Returns whether there was such a pass. */
static bool scenario_fails_at(const char *point, unsigned nth)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, NULL};
	struct fault_rules *rules = fault_rules_new(tables);
	struct setup setup = setup_new(2, 1, false);
	g_autofree char *text = g_strdup_printf("[fault sweep]\npoint = %s\nnth = %u\n", point, nth);
	g_autofree char *path = NULL;
	g_autoptr(GError) error = NULL;
	uint64_t passes, fired;
	const char *name;
	int fd = g_file_open_tmp("test-iova-XXXXXX", &path, &error);

	g_assert_no_error(error);
	close(fd);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	fault_rules_load(rules, path, &error);
	g_assert_no_error(error);
	g_unlink(path);
	fault_rules_arm(rules, setup.sim);
	scenario(&setup);
	tree_check(&setup.iovad->tree);
	/* Still usable, and not out of its depth about what is free. */
	g_assert_cmphex(iova_alloc_fast(setup.iovad, 8, 0xfff, true), !=, 0);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passes, &fired));
	fault_rules_arm(NULL, setup.sim);
	setup_free(&setup);
	fault_rules_free(rules);
	return fired;
}

static void test_every_allocation_may_fail(void)
{
	for (unsigned i = 0; i < IOVA_MEMORY_KINDS; i++) { /* the points that are passed here */
		const char *point = iova_fault_table.points[i].name;
		unsigned nth = 1;

		while (scenario_fails_at(point, nth))
			nth++;
		g_test_message("%s: failed at each of %u passes", point, nth - 1);
		g_assert_cmpuint(nth, >, 1);
	}
}

static void add_list_tests(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(mixes); i++) {
		g_autofree char *name = g_strdup_printf("/iommu/iova/random-%s-as-list", mixes[i].name);

		g_test_add_data_func(name, &mixes[i], test_random_as_list);
	}
}

static void add_creation_tests(void)
{
	static const unsigned cpus[] = {1, 2, 8, 64};

	for (unsigned i = 0; i < G_N_ELEMENTS(cpus); i++) {
		g_autofree char *name = g_strdup_printf("/iommu/iova/every-step-of-creation-may-fail/%u-cpus", cpus[i]);

		g_test_add_data_func(name, GUINT_TO_POINTER(cpus[i]), test_every_step_of_creation_may_fail);
	}
}

int main(int argc, char **argv)
{
	g_autofree char *fixtures = g_build_filename(g_getenv("FIXTURES") ?: "fixtures", "golden", "iova", NULL);
	g_autofree char *shared = g_build_filename(g_getenv("SHARED") ?: "/nonexistent", "golden", "iova", NULL);

	g_test_init(&argc, &argv, NULL);
	g_assert_cmpuint(add_golden_tests(fixtures, "/iommu/iova/golden"), >, 0);
	add_golden_tests(shared, "/iommu/iova/golden-shared");
	g_test_add_func("/iommu/iova/golden/bad-line-is-named", test_golden_names_the_bad_line);
	g_test_add_func("/iommu/iova/golden/reads-inputs-only", test_golden_reads_inputs_only);
	add_list_tests();
	g_test_add_func("/iommu/iova/gap-order-as-by-trying", test_gap_order_as_by_trying);
	g_test_add_func("/iommu/iova/emptied-tree-shrinks-to-one-leaf", test_tree_shrinks_to_one_leaf);
	g_test_add_func("/iommu/iova/sparse-leaves-are-merged", test_sparse_leaves_are_merged);
	g_test_add_func("/iommu/iova/limit-below-first-range-fails", test_limit_below_first_range_fails);
	g_test_add_func("/iommu/iova/failure-poisons-hint-until-range-returns",
			test_failure_poisons_the_hint_until_a_range_returns);
	g_test_add_func("/iommu/iova/wide-failure-raises-low-hint", test_wide_failure_raises_a_low_hint);
	g_test_add_func("/iommu/iova/33-granules-take-slot-of-64", test_33_granules_take_a_slot_of_64);
	g_test_add_func("/iommu/iova/freed-smaller-comes-back-smaller",
			test_freed_with_a_smaller_size_comes_back_smaller);
	g_test_add_func("/iommu/iova/cached-pfn-0-is-a-miss", test_cached_pfn_0_is_a_miss);
	g_test_add_func("/iommu/iova/failed-node-with-flush-empties-caches",
			test_failed_node_with_flush_empties_the_caches);
	g_test_add_func("/iommu/iova/cached-call-without-caches-is-found-once",
			test_cached_call_without_caches_is_found_once);
	g_test_add_func("/iommu/iova/flushed-pfn-without-node-warns", test_flushing_a_pfn_without_node_warns);
	g_test_add_func("/iommu/iova/work-and-locks-as-linux", test_work_and_locks_are_charged_where_linux_does_it);
	g_test_add_func("/iommu/iova/depot-timer-trims-to-online-cpus", test_depot_timer_trims_to_the_online_cpus);
	g_test_add_func("/iommu/iova/array-depot-overflows-into-tree", test_array_depot_overflows_into_the_tree);
	g_test_add_func("/iommu/iova/trimmed-depot-has-no-bound", test_trimmed_depot_has_no_bound);
	add_creation_tests();
	g_test_add_func("/iommu/iova/null-deref-names-cpu-order-allocation",
			test_null_deref_names_cpu_order_and_allocation);
	g_test_add_func("/iommu/iova/every-allocation-may-fail", test_every_allocation_may_fail);
	return g_test_run();
}
