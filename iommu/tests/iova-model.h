/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_TESTS_IOVA_MODEL_H
#define IOMMU_TESTS_IOVA_MODEL_H

/*
 * For tests: the allocator written down a second time, as plainly as the specification says it. The ranges are a list
 * that is walked node by node and each magazine is an array; nothing is fast, and nothing is shared with the model under
 * test but numbers. Both are given the same calls and must agree on results, state and the length of every walk.
 */
#include <errno.h>

#include "iommu/iova/domain.h"

#define DMA32_LIMIT 0xfffffu /* last 32-bit pfn of 4 KiB */

/* ---- what is tested: a simulation and a domain ---- */

struct setup {
	struct sim *sim;
	struct iova_domain *iovad;
};

static inline struct setup setup_new_granule(unsigned cpus, uint64_t granule_bytes, uint64_t start_pfn, bool rcaches)
{
	struct setup setup = {.sim = sim_new(cpus, 1)};

	behaviour_set_version(setup.sim, KERNEL_FIXED);
	setup.iovad = iova_domain_new(setup.sim, granule_bytes, start_pfn, 0, EVENT_KINDS);
	if (rcaches)
		g_assert_cmpint(iova_rcaches_init(setup.iovad), ==, 0);
	return setup;
}

static inline struct setup setup_new(unsigned cpus, uint64_t start_pfn, bool rcaches)
{
	return setup_new_granule(cpus, 4096, start_pfn, rcaches);
}

/* Everything that was taken has been given back. */
static inline void assert_given_back(const struct iova_memory *memory)
{
	for (unsigned kind = 0; kind < IOVA_MEMORY_KINDS; kind++)
		g_assert_cmpuint(memory->allocs[kind], ==, memory->frees[kind]);
}

static inline void setup_free(struct setup *setup)
{
	struct iova_memory memory;

	tree_check(&setup->iovad->tree);
	iova_domain_finish(setup->iovad, &memory);
	assert_given_back(&memory);
	sim_free(setup->sim);
}

/* ---- the list: iova-facts section 3 ---- */

struct range {
	uint64_t lo, hi;
};

struct list {
	GArray *ranges; /* ascending, the anchor last */
	uint64_t start_pfn, dma32, hint, steps;
	uint64_t cached_hi, cached32_hi; /* a range is known by its hi */
	unsigned fails;			 /* allocations of memory that fail from now on */
};

static inline struct range *list_at(const struct list *list, guint i)
{
	return &g_array_index(list->ranges, struct range, i);
}

/* First range whose hi is @pfn or more. */
static inline guint list_seek(const struct list *list, uint64_t pfn)
{
	guint low = 0, high = list->ranges->len - 1;

	while (low < high) {
		guint middle = (low + high) / 2;

		if (list_at(list, middle)->hi < pfn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static inline void list_init(struct list *list, uint64_t granule_bytes, uint64_t start_pfn)
{
	uint64_t dma32 = (UINT64_C(1) << 32) / granule_bytes;
	struct range anchor = {UINT64_MAX, UINT64_MAX};

	*list = (struct list){.ranges = g_array_new(FALSE, FALSE, sizeof(struct range)),
			      .start_pfn = start_pfn,
			      .dma32 = dma32,
			      .hint = dma32,
			      .cached_hi = UINT64_MAX,
			      .cached32_hi = UINT64_MAX};
	g_array_append_val(list->ranges, anchor);
}

static inline void list_finish(struct list *list)
{
	g_array_free(list->ranges, TRUE);
}

static inline bool list_has_memory(struct list *list)
{
	if (!list->fails)
		return true;
	list->fails--;
	return false;
}

static inline bool list_alloc(struct list *list, uint64_t size, uint64_t limit_pfn, bool aligned, uint64_t *ret_pfn)
{
	uint64_t limit = limit_pfn + 1, mask = UINT64_MAX, low = list->start_pfn, high = limit, new, retry;
	bool is32 = limit <= list->dma32;
	guint i;

	while (aligned && ~mask + 1 < size)
		mask <<= 1;
	if (!list_has_memory(list) || (is32 && size >= list->hint))
		return false;
	i = list_seek(list, is32 ? list->cached32_hi : list->cached_hi);
	retry = list_at(list, i)->hi;
	for (bool first = true;; first = false) {
		for (;; i--) {
			list->steps++;
			high = MIN(high, list_at(list, i)->lo);
			new = (high - size) & mask;
			if (i == 0 || new > list_at(list, i - 1)->hi || new < low)
				break;
		}
		if (high >= size && new >= low)
			break;
		if (!first || retry >= limit) {
			list->hint = size;
			return false;
		}
		high = limit;
		low = retry + 1;
		i = is32 ? list_seek(list, limit) : list->ranges->len - 1;
	}
	g_array_insert_val(list->ranges, i, ((struct range){new, new + size - 1}));
	*(new + size - 1 < list->dma32 ? &list->cached32_hi : &list->cached_hi) = new + size - 1;
	*ret_pfn = new;
	return true;
}

/* Returns whether there was a range that contains @pfn. */
static inline bool list_free_pfn(struct list *list, uint64_t pfn)
{
	guint i = list_seek(list, pfn);
	struct range range = *list_at(list, i);
	uint64_t next;

	if (range.lo > pfn || range.lo == UINT64_MAX)
		return false;
	next = list_at(list, i + 1)->hi;
	if (range.hi == list->cached32_hi ||
	    (range.hi < list->dma32 && range.lo >= list_at(list, list_seek(list, list->cached32_hi))->lo))
		list->cached32_hi = next;
	if (range.lo < list->dma32)
		list->hint = list->dma32;
	if (range.lo >= list_at(list, list_seek(list, list->cached_hi))->lo)
		list->cached_hi = next;
	g_array_remove_index(list->ranges, i);
	return true;
}

static inline bool list_reserve(struct list *list, uint64_t lo, uint64_t hi, struct range *ret_range)
{
	guint i = list_seek(list, lo);

	for (; list_at(list, i)->lo <= hi; i++) {
		struct range *range = list_at(list, i);

		range->lo = MIN(range->lo, lo);
		if (hi <= range->hi) {
			*ret_range = *range;
			return true;
		}
		lo = range->hi + 1;
	}
	if (!list_has_memory(list))
		return false;
	*ret_range = (struct range){lo, hi};
	g_array_insert_val(list->ranges, i, *ret_range);
	return true;
}

/* ---- magazines and depots: iova-facts sections 4 to 6 ---- */

#define CACHES_CPUS_MAX 64

struct plain_magazine {
	unsigned size;
	uint64_t pfns[IOVA_MAGAZINE_PFNS];
};

struct caches {
	struct list *list;
	unsigned cpus;
	bool array; /* iova-depot = array-32 */
	struct plain_magazine *loaded[IOVA_ORDERS][CACHES_CPUS_MAX];
	struct plain_magazine *prev[IOVA_ORDERS][CACHES_CPUS_MAX];
	GPtrArray *depot[IOVA_ORDERS]; /* newest last */
	bool pending[IOVA_ORDERS];
	bool offline[CACHES_CPUS_MAX];
	struct iova_stats stats; /* what is counted here, the same way */
};

static inline struct caches *caches_new(struct list *list, unsigned cpus, bool array)
{
	struct caches *caches = g_new0(struct caches, 1);

	g_assert(cpus <= CACHES_CPUS_MAX);
	caches->list = list;
	caches->cpus = cpus;
	caches->array = array;
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		caches->depot[order] = g_ptr_array_new_with_free_func(g_free);
		for (unsigned cpu = 0; cpu < cpus; cpu++) {
			caches->loaded[order][cpu] = g_new0(struct plain_magazine, 1);
			caches->prev[order][cpu] = g_new0(struct plain_magazine, 1);
		}
	}
	return caches;
}

static inline void caches_free(struct caches *caches)
{
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		g_ptr_array_unref(caches->depot[order]);
		for (unsigned cpu = 0; cpu < caches->cpus; cpu++) {
			g_free(caches->loaded[order][cpu]);
			g_free(caches->prev[order][cpu]);
		}
	}
	g_free(caches);
}

static inline void caches_empty(struct caches *caches, struct plain_magazine *magazine)
{
	for (unsigned i = 0; i < magazine->size; i++)
		if (!list_free_pfn(caches->list, magazine->pfns[i]))
			caches->stats.warnings++;
	magazine->size = 0;
}

static inline struct plain_magazine *caches_pop(struct caches *caches, unsigned order)
{
	return g_ptr_array_steal_index(caches->depot[order], caches->depot[order]->len - 1);
}

static inline void caches_swap(struct caches *caches, unsigned order, unsigned cpu)
{
	struct plain_magazine *loaded = caches->loaded[order][cpu];

	caches->loaded[order][cpu] = caches->prev[order][cpu];
	caches->prev[order][cpu] = loaded;
}

static inline uint64_t caches_get(struct caches *caches, unsigned order, unsigned cpu, uint64_t highest)
{
	struct plain_magazine *loaded;

	if (!caches->loaded[order][cpu]->size && caches->prev[order][cpu]->size) {
		caches_swap(caches, order, cpu);
	} else if (!caches->loaded[order][cpu]->size && caches->depot[order]->len) {
		g_free(caches->loaded[order][cpu]);
		caches->loaded[order][cpu] = caches_pop(caches, order);
		caches->stats.depot_pops++;
	}
	loaded = caches->loaded[order][cpu];
	for (unsigned i = loaded->size; i-- > 0;) {
		uint64_t pfn = loaded->pfns[i];

		if (pfn > highest)
			continue;
		loaded->pfns[i] = loaded->pfns[--loaded->size];
		*(pfn ? &caches->stats.cache_hits[order] : &caches->stats.cache_misses[order]) += 1;
		return pfn;
	}
	caches->stats.cache_misses[order]++;
	return 0;
}

static inline void caches_empty_cpu(struct caches *caches, unsigned cpu)
{
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		caches_empty(caches, caches->loaded[order][cpu]);
		caches_empty(caches, caches->prev[order][cpu]);
	}
}

static inline void caches_flush(struct caches *caches)
{
	caches->stats.rcache_flushes++;
	for (unsigned cpu = 0; cpu < caches->cpus; cpu++)
		if (!caches->offline[cpu])
			caches_empty_cpu(caches, cpu);
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		while (caches->depot[order]->len) {
			g_autofree struct plain_magazine *magazine = caches_pop(caches, order);

			caches_empty(caches, magazine);
		}
}

static inline unsigned order_of_size(uint64_t size)
{
	unsigned order = 0;

	while (UINT64_C(1) << order < size)
		order++;
	return order;
}

static inline uint64_t caches_alloc(struct caches *caches, unsigned cpu, uint64_t size, uint64_t limit_pfn, bool flush)
{
	unsigned order = order_of_size(size);
	uint64_t pfn = 0;

	if (size < 32)
		size = UINT64_C(1) << order;
	if (order < IOVA_ORDERS)
		pfn = caches_get(caches, order, cpu, limit_pfn + 1 - size);
	if (pfn || list_alloc(caches->list, size, limit_pfn, true, &pfn) || !flush)
		return pfn;
	caches_flush(caches);
	list_alloc(caches->list, size, limit_pfn, true, &pfn);
	return pfn;
}

/* The full loaded magazine gives way to an empty one. Returns false when there is no memory for that. */
static inline bool caches_renew(struct caches *caches, unsigned order, unsigned cpu)
{
	struct plain_magazine *full = caches->loaded[order][cpu];

	if (!list_has_memory(caches->list))
		return false;
	caches->loaded[order][cpu] = g_new0(struct plain_magazine, 1);
	if (caches->array && caches->depot[order]->len == IOVA_DEPOT_ARRAY) {
		caches_empty(caches, full);
		g_free(full);
		return true;
	}
	g_ptr_array_add(caches->depot[order], full);
	caches->stats.depot_pushes++;
	caches->pending[order] = !caches->array;
	return true;
}

static inline void caches_give(struct caches *caches, unsigned cpu, uint64_t pfn, uint64_t size)
{
	unsigned order = order_of_size(size);
	struct plain_magazine *loaded;

	if (order >= IOVA_ORDERS) {
		list_free_pfn(caches->list, pfn);
		return;
	}
	if (caches->loaded[order][cpu]->size == IOVA_MAGAZINE_PFNS) {
		if (caches->prev[order][cpu]->size < IOVA_MAGAZINE_PFNS) {
			caches_swap(caches, order, cpu);
		} else if (!caches_renew(caches, order, cpu)) {
			list_free_pfn(caches->list, pfn);
			return;
		}
	}
	loaded = caches->loaded[order][cpu];
	loaded->pfns[loaded->size++] = pfn;
}

static inline bool caches_work(struct caches *caches, unsigned order)
{
	unsigned online = 0;

	if (!caches->pending[order])
		return false;
	for (unsigned cpu = 0; cpu < caches->cpus; cpu++)
		online += !caches->offline[cpu];
	caches->pending[order] = caches->depot[order]->len > online;
	if (caches->pending[order]) {
		g_autofree struct plain_magazine *magazine = caches_pop(caches, order);

		caches_empty(caches, magazine);
		caches->stats.depot_trims++;
	}
	return true;
}

/* ---- comparing ---- */

struct compare {
	const struct list *list;
	guint i;
};

static inline void compare_range(void *data, uint64_t lo, uint64_t hi)
{
	struct compare *compare = data;
	struct range *range = list_at(compare->list, compare->i++);

	g_assert_cmphex(lo, ==, range->lo);
	g_assert_cmphex(hi, ==, range->hi);
}

/* Every range, and that the tree is in order. */
static inline void assert_same_ranges(const struct list *list, const struct iova_domain *iovad)
{
	struct compare compare = {.list = list};

	iova_each_range(iovad, compare_range, &compare);
	g_assert_cmpuint(compare.i, ==, list->ranges->len - 1);
	tree_check(&iovad->tree);
}

/* What is cheap to look at: after every operation. */
static inline void assert_same_state(const struct list *list, const struct iova_domain *iovad)
{
	struct iova_state state = iova_state(iovad);

	g_assert_cmphex(state.cached_hi, ==, list->cached_hi);
	g_assert_cmphex(state.cached32_hi, ==, list->cached32_hi);
	g_assert_cmphex(state.cached_lo, ==, list_at(list, list_seek(list, list->cached_hi))->lo);
	g_assert_cmphex(state.cached32_lo, ==, list_at(list, list_seek(list, list->cached32_hi))->lo);
	g_assert_cmphex(state.max32_alloc_size, ==, list->hint);
	g_assert_cmpuint(iova_stats(iovad)->tree_steps, ==, list->steps);
	g_assert_cmpuint(iova_node_count(iovad), ==, list->ranges->len - 1);
}

static inline void assert_same_counts(const struct caches *caches, const struct iova_domain *iovad)
{
	const struct iova_stats *stats = iova_stats(iovad);

	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		g_assert_cmpuint(iova_depot_size(iovad, order), ==, caches->depot[order]->len);
		g_assert_true(iova_depot_pending(iovad, order) == caches->pending[order]);
		g_assert_cmpuint(stats->cache_hits[order], ==, caches->stats.cache_hits[order]);
		g_assert_cmpuint(stats->cache_misses[order], ==, caches->stats.cache_misses[order]);
	}
	g_assert_cmpuint(stats->depot_pushes, ==, caches->stats.depot_pushes);
	g_assert_cmpuint(stats->depot_pops, ==, caches->stats.depot_pops);
	g_assert_cmpuint(stats->depot_trims, ==, caches->stats.depot_trims);
	g_assert_cmpuint(stats->rcache_flushes, ==, caches->stats.rcache_flushes);
	g_assert_cmpuint(stats->warnings, ==, caches->stats.warnings);
}

static inline void collect_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	uint64_t what = (uint64_t)order << 32 | (uint64_t)place[0] << 16 | cpu;

	g_array_append_val((GArray *)data, pfn);
	g_array_append_val((GArray *)data, what);
}

static inline void collect_plain(GArray *cached, const struct plain_magazine *magazine, unsigned order, const char *place,
				 unsigned cpu)
{
	for (unsigned i = 0; i < magazine->size; i++)
		collect_cached(cached, magazine->pfns[i], order, place, cpu);
}

/* The contents of every magazine. */
static inline void assert_same_magazines(const struct caches *caches, const struct iova_domain *iovad)
{
	g_autoptr(GArray) plain = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_autoptr(GArray) real = g_array_new(FALSE, FALSE, sizeof(uint64_t));

	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		for (guint i = caches->depot[order]->len; i-- > 0;)
			collect_plain(plain, g_ptr_array_index(caches->depot[order], i), order, "depot", 0);
		for (unsigned cpu = 0; cpu < caches->cpus; cpu++) {
			collect_plain(plain, caches->loaded[order][cpu], order, "loaded", cpu);
			collect_plain(plain, caches->prev[order][cpu], order, "prev", cpu);
		}
	}
	iova_each_cached(iovad, collect_cached, real);
	g_assert_cmpmem(real->data, real->len * sizeof(uint64_t), plain->data, plain->len * sizeof(uint64_t));
}

#endif
