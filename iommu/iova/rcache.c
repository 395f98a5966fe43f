/* SPDX-License-Identifier: MIT */
/*
 * Magazines and depots: iova-facts sections 4 to 6. Source: drivers/iommu/iova.c of Linux 7.0; for the depot of a fixed
 * size, that of 6.1.
 */
#include "iommu/iova/domain.h"

#include <errno.h>
#include <string.h>

/* What the kernel asks for, in bytes of a 64-bit build; counted against a fault rule's space. */
#define MAGAZINE_BYTES	 1024
#define RCACHE_BYTES	 128 /* one size class of the array */
#define CPU_RCACHE_BYTES 64  /* one CPU's heads: a cache line */

G_STATIC_ASSERT(sizeof(struct iova_magazine) == MAGAZINE_BYTES);

static struct iova_magazine *magazine_new(struct iova_domain *iovad)
{
	struct iova_magazine *magazine;

	if (iova_memory_take(iovad, IOVA_MEMORY_MAGAZINE, MAGAZINE_BYTES))
		return NULL;
	magazine = iovad->spare_magazines;
	if (magazine)
		iovad->spare_magazines = magazine->next;
	else
		magazine = g_new(struct iova_magazine, 1);
	magazine->size = 0; /* the rest means nothing yet */
	return magazine;
}

void iova_magazine_free(struct iova_domain *iovad, struct iova_magazine *magazine)
{
	if (!magazine)
		return;
	iova_memory_give(iovad, IOVA_MEMORY_MAGAZINE);
	magazine->next = iovad->spare_magazines;
	iovad->spare_magazines = magazine;
}

void iova_magazine_flush(struct iova_domain *iovad, struct iova_magazine *magazine)
{
	sim_lock(iovad->sim, &iovad->tree_lock);
	for (uint64_t i = 0; i < magazine->size; i++)
		if (!iova_remove_locked(iovad, magazine->pfns[i]))
			iova_warn(iovad, "cached pfn 0x%" G_GINT64_MODIFIER "x has no node",
				  magazine->pfns[i]);
	sim_unlock(iovad->sim, &iovad->tree_lock);
	SIM_ANNOUNCE(iovad->sim, iova_cache, magazine->pfns, magazine->size, "tree");
	magazine->size = 0;
}

/* Has the host fetch a magazine that is about to be emptied or filled, line by line. */
static void magazine_prefetch(const struct iova_magazine *magazine)
{
	for (unsigned i = 0; i < sizeof(*magazine); i += 64)
		__builtin_prefetch((const char *)magazine + i, 1);
}

static struct iova_magazine *depot_pop(struct iova_domain *iovad, struct iova_rcache *rcache)
{
	struct iova_magazine *magazine = rcache->depot;

	rcache->depot = magazine->next;
	rcache->depot_size--;
	magazine->size = IOVA_MAGAZINE_PFNS;
	return magazine;
}

static void depot_arm(struct iova_domain *iovad, unsigned order)
{
	struct sim *sim = iovad->sim;

	iovad->rcaches[order].work_pending = true;
	if (iovad->event_kind < EVENT_KINDS)
		event_queue_push(&sim->events, sim->now_ns + IOVA_DEPOT_TIMER_NS, iovad->event_kind,
				 iovad->id << 3 | order);
}

/* Pushes a full magazine. The fixed array of old may be full too: then it is left to the caller, and true is returned. */
static bool depot_push(struct iova_domain *iovad, unsigned order, struct iova_magazine *magazine)
{
	struct iova_rcache *rcache = &iovad->rcaches[order];
	bool array = behaves(iovad->sim, IOVA_DEPOT) == IOVA_DEPOT_ARRAY_32;

	sim_lock(iovad->sim, &rcache->lock);
	if (array && rcache->depot_size >= IOVA_DEPOT_ARRAY) {
		sim_unlock(iovad->sim, &rcache->lock);
		return true;
	}
	magazine->next = rcache->depot;
	rcache->depot = magazine;
	rcache->depot_size++;
	iovad->stats.depot_pushes++;
	sim_unlock(iovad->sim, &rcache->lock);
	SIM_ANNOUNCE(iovad->sim, iova_cache, magazine->pfns, IOVA_MAGAZINE_PFNS, "depot");
	if (!array && !rcache->work_pending)
		depot_arm(iovad, order);
	return false;
}

/* Gives @cpu_rcache a loaded magazine that is not empty. Returns false if neither prev nor the depot has one. */
static bool refill(struct iova_domain *iovad, struct iova_rcache *rcache, struct iova_cpu_rcache *cpu_rcache)
{
	if (cpu_rcache->prev->size) {
		struct iova_magazine *empty = cpu_rcache->loaded;

		cpu_rcache->loaded = cpu_rcache->prev;
		cpu_rcache->prev = empty;
		return true;
	}
	sim_lock(iovad->sim, &rcache->lock);
	if (!rcache->depot) {
		sim_unlock(iovad->sim, &rcache->lock);
		return false;
	}
	iova_magazine_free(iovad, cpu_rcache->loaded);
	cpu_rcache->loaded = depot_pop(iovad, rcache);
	iovad->stats.depot_pops++;
	magazine_prefetch(cpu_rcache->loaded);
	sim_unlock(iovad->sim, &rcache->lock);
	SIM_ANNOUNCE(iovad->sim, iova_cache, cpu_rcache->loaded->pfns, IOVA_MAGAZINE_PFNS, "loaded");
	return true;
}

/* Takes the topmost pfn at or below @highest_pfn; the top entry takes its place. */
static uint64_t magazine_take(struct iova_magazine *magazine, uint64_t highest_pfn)
{
	for (uint64_t i = magazine->size; i-- > 0;) {
		uint64_t pfn = magazine->pfns[i];

		if (pfn <= highest_pfn) {
			magazine->pfns[i] = magazine->pfns[--magazine->size];
			return pfn;
		}
	}
	return 0;
}

/* Returns to the tree what @cpu has cached. */
static void flush_cpu(struct iova_domain *iovad, unsigned cpu)
{
	if (!iovad->rcaches)
		return;
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		struct iova_cpu_rcache *cpu_rcache = &iovad->rcaches[order].cpu_rcaches[cpu];

		iova_magazine_flush(iovad, cpu_rcache->loaded);
		iova_magazine_flush(iovad, cpu_rcache->prev);
	}
}

void iova_depot_flush(struct iova_domain *iovad, unsigned order, uint64_t count)
{
	struct iova_rcache *rcache = &iovad->rcaches[order];

	sim_lock(iovad->sim, &rcache->lock);
	while (rcache->depot && count-- > 0) {
		struct iova_magazine *magazine = depot_pop(iovad, rcache);

		iova_magazine_flush(iovad, magazine);
		iova_magazine_free(iovad, magazine);
	}
	sim_unlock(iovad->sim, &rcache->lock);
}

/* Returns to the tree what the online CPUs and the depots hold. */
static void flush_all(struct iova_domain *iovad)
{
	iovad->stats.rcache_flushes++;
	for (unsigned cpu = 0; cpu < iovad->sim->cpu_count; cpu++)
		if (iovad->sim->cpus[cpu].online)
			flush_cpu(iovad, cpu);
	if (!iovad->rcaches)
		return;
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		iova_depot_flush(iovad, order, UINT64_MAX);
}

static void count_hit(struct iova_domain *iovad, unsigned order)
{
	iovad->stats.cache_hits[order]++;
	sim_charge(iovad->sim, WORK_IOVA_CACHE, 1);
}

uint64_t iova_rcache_get(struct iova_domain *iovad, unsigned order, uint64_t highest_pfn)
{
	struct iova_rcache *rcache = &iovad->rcaches[order];
	struct iova_cpu_rcache *cpu_rcache = &rcache->cpu_rcaches[iovad->sim->cpu];
	uint64_t pfn = 0;

	if (cpu_rcache->loaded->size || refill(iovad, rcache, cpu_rcache))
		pfn = magazine_take(cpu_rcache->loaded, highest_pfn);
	if (pfn)
		count_hit(iovad, order);
	else /* pfn 0 is lost to the cache: the kernel cannot tell it from nothing */
		iovad->stats.cache_misses[order]++;
	return pfn;
}

/* Gives @cpu_rcache, whose loaded magazine is full, one with room. Returns false if there is no memory for one.
 * *@ret_surplus is a full magazine for which there was no room in the depot, or NULL. */
static bool make_room(struct iova_domain *iovad, unsigned order, struct iova_cpu_rcache *cpu_rcache,
		      struct iova_magazine **ret_surplus)
{
	struct iova_magazine *full = cpu_rcache->loaded, *fresh;

	*ret_surplus = NULL;
	if (cpu_rcache->prev->size < IOVA_MAGAZINE_PFNS) {
		cpu_rcache->loaded = cpu_rcache->prev;
		cpu_rcache->prev = full;
		return true;
	}
	fresh = magazine_new(iovad);
	if (!fresh)
		return false;
	magazine_prefetch(fresh);
	cpu_rcache->loaded = fresh;
	if (depot_push(iovad, order, full))
		*ret_surplus = full;
	return true;
}

/* Reports, once, that the kernel would use caches that are not there. */
static void find_missing_rcaches(struct iova_domain *iovad)
{
	if (iovad->missing_rcaches_found)
		return;
	iovad->missing_rcaches_found = true;
	sim_find(iovad->sim, FINDING_NULL_DEREF, NULL,
		 "iova domain %u: cached call in a domain without caches", iovad->id);
}

void iova_set_tree_only(struct iova_domain *iovad)
{
	g_assert(!iovad->rcaches);
	iovad->missing_rcaches_found = true;
}

#define CACHED_SIZE_MAX (1u << (IOVA_ORDERS - 1))

/* The order of each size that is cached; a table, because counting leading zeros is slow on some CPUs. */
static const uint8_t size_orders[CACHED_SIZE_MAX + 1] = {
	0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
};

static inline struct iova_magazine *loaded_magazine(struct iova_domain *iovad, unsigned order)
{
	return iovad->rcaches[order].cpu_rcaches[iovad->sim->cpu].loaded;
}

/* Both of these are alloc_iova_fast(): here all of it, below what happens a hundred times as often. */
static G_GNUC_NO_INLINE uint64_t alloc_slow(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn,
					    bool flush)
{
	uint64_t pfn = 0;

	if (G_UNLIKELY(iovad->recorded))
		return iovad->recorded->alloc(iovad->recorded_data, size, limit_pfn, flush);
	if (size <= CACHED_SIZE_MAX) {
		unsigned order = size_orders[size];

		size = UINT64_C(1) << order;
		if (!iovad->rcaches)
			find_missing_rcaches(iovad);
		else
			pfn = iova_rcache_get(iovad, order, limit_pfn + 1 - size);
		if (pfn)
			return pfn;
	}
	if (iova_alloc_tree(iovad, size, limit_pfn, true, &pfn))
		return pfn;
	if (flush) {
		flush_all(iovad);
		if (iova_alloc_tree(iovad, size, limit_pfn, true, &pfn))
			return pfn;
	}
	iovad->stats.failures++;
	return 0;
}

uint64_t iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush)
{
	iovad->stats.allocs++;
	if (G_LIKELY(size <= CACHED_SIZE_MAX && iovad->rcaches)) {
		unsigned order = size_orders[size];
		struct iova_magazine *loaded = loaded_magazine(iovad, order);

		if (G_LIKELY(loaded->size)) {
			uint64_t pfn = loaded->pfns[loaded->size - 1];

			if (G_LIKELY(pfn && pfn <= limit_pfn + 1 - (UINT64_C(1) << order))) {
				loaded->size--;
				count_hit(iovad, order);
				return pfn;
			}
		}
	}
	return alloc_slow(iovad, size, limit_pfn, flush);
}

static void magazine_push(struct iova_domain *iovad, struct iova_magazine *magazine, uint64_t pfn)
{
	magazine->pfns[magazine->size++] = pfn;
	sim_charge(iovad->sim, WORK_IOVA_CACHE, 1);
}

bool iova_rcache_insert(struct iova_domain *iovad, unsigned order, uint64_t pfn,
			struct iova_magazine **ret_surplus)
{
	struct iova_cpu_rcache *cpu_rcache = &iovad->rcaches[order].cpu_rcaches[iovad->sim->cpu];

	*ret_surplus = NULL;
	if (cpu_rcache->loaded->size == IOVA_MAGAZINE_PFNS &&
	    !make_room(iovad, order, cpu_rcache, ret_surplus))
		return false;
	magazine_push(iovad, cpu_rcache->loaded, pfn);
	return true;
}

/* As above: free_iova_fast(), all of it. */
static G_GNUC_NO_INLINE void free_slow(struct iova_domain *iovad, uint64_t pfn, uint64_t size)
{
	struct iova_magazine *surplus;

	if (G_UNLIKELY(iovad->recorded)) {
		iovad->recorded->free(iovad->recorded_data, pfn, size);
		return;
	}
	if (size > CACHED_SIZE_MAX) {
		iova_free_tree(iovad, pfn);
	} else if (!iovad->rcaches) {
		find_missing_rcaches(iovad);
		iova_free_tree(iovad, pfn);
	} else if (!iova_rcache_insert(iovad, size_orders[size], pfn, &surplus)) {
		iova_free_tree(iovad, pfn);
	} else if (surplus) {
		iova_magazine_flush(iovad, surplus);
		iova_magazine_free(iovad, surplus);
	}
}

void iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size)
{
	iovad->stats.frees++;
	if (G_LIKELY(size <= CACHED_SIZE_MAX && iovad->rcaches)) {
		struct iova_magazine *loaded = loaded_magazine(iovad, size_orders[size]);

		if (G_LIKELY(loaded->size < IOVA_MAGAZINE_PFNS)) {
			magazine_push(iovad, loaded, pfn);
			return;
		}
	}
	free_slow(iovad, pfn, size);
}

void iova_set_recorded(struct iova_domain *iovad, const struct iova_recorded_ops *ops, void *data)
{
	g_assert(!iovad->rcaches);
	iovad->recorded = ops;
	iovad->recorded_data = data;
}

struct iova_magazine *iova_depot_surplus(struct iova_domain *iovad, unsigned order)
{
	struct iova_rcache *rcache = &iovad->rcaches[order];
	struct iova_magazine *surplus = NULL;

	rcache->work_pending = false;
	sim_lock(iovad->sim, &rcache->lock);
	if (rcache->depot_size > iovad->sim->cpu_online)
		surplus = depot_pop(iovad, rcache);
	sim_unlock(iovad->sim, &rcache->lock);
	return surplus;
}

void iova_depot_trim(struct iova_domain *iovad, unsigned order, struct iova_magazine *surplus)
{
	iova_magazine_flush(iovad, surplus);
	iova_magazine_free(iovad, surplus);
	iovad->stats.depot_trims++;
	depot_arm(iovad, order);
}

bool iova_depot_work(struct iova_domain *iovad, unsigned order)
{
	struct iova_magazine *surplus;

	g_assert(order < IOVA_ORDERS);
	if (!iovad->rcaches || !iovad->rcaches[order].work_pending)
		return false;
	surplus = iova_depot_surplus(iovad, order);
	if (surplus)
		iova_depot_trim(iovad, order, surplus);
	return true;
}

void iova_cpu_offline(struct iova_domain *iovad, unsigned cpu)
{
	g_assert(cpu < iovad->sim->cpu_count);
	if (iovad->sim->cpus[cpu].online) {
		iovad->sim->cpus[cpu].online = false;
		iovad->sim->cpu_online--;
	}
	flush_cpu(iovad, cpu);
}

void iova_cpu_online(struct iova_domain *iovad, unsigned cpu)
{
	g_assert(cpu < iovad->sim->cpu_count);
	if (!iovad->sim->cpus[cpu].online) {
		iovad->sim->cpus[cpu].online = true;
		iovad->sim->cpu_online++;
	}
}

/* Creation under way. */
struct init {
	struct iova_rcache *rcaches;
	unsigned attempts; /* allocations tried so far */
	unsigned failed;   /* number of the first that failed */
	const char *failed_what;
	unsigned failed_cpu;
};

static struct iova_magazine *init_magazine(struct iova_domain *iovad, struct init *init, unsigned cpu,
					   const char *what)
{
	struct iova_magazine *magazine = magazine_new(iovad);

	init->attempts++;
	if (!magazine && !init->failed) {
		init->failed = init->attempts;
		init->failed_what = what;
		init->failed_cpu = cpu;
	}
	return magazine;
}

/* Both magazines of a CPU are tried before either is looked at: one of them failing may leave the other. */
static int init_cpu(struct iova_domain *iovad, struct init *init, unsigned order, unsigned cpu)
{
	struct iova_cpu_rcache *cpu_rcache = &init->rcaches[order].cpu_rcaches[cpu];

	cpu_rcache->loaded = init_magazine(iovad, init, cpu, "loaded");
	cpu_rcache->prev = init_magazine(iovad, init, cpu, "prev");
	return cpu_rcache->loaded && cpu_rcache->prev ? 0 : -ENOMEM;
}

static int init_order(struct iova_domain *iovad, struct init *init, unsigned order)
{
	unsigned cpus = iovad->sim->cpu_count;
	struct iova_rcache *rcache = &init->rcaches[order];
	int err = iova_memory_take(iovad, IOVA_MEMORY_PERCPU, (uint64_t)cpus * CPU_RCACHE_BYTES);

	init->attempts++;
	if (err)
		return err;
	rcache->lock.name = "iova depot";
	rcache->cpu_rcaches = g_new0(struct iova_cpu_rcache, cpus);
	for (unsigned cpu = 0; cpu < cpus && !err; cpu++)
		err = init_cpu(iovad, init, order, cpu);
	return err;
}

/* Reports what an unchecked free of a null magazine does; the rest of the clean-up is then only ours. */
static void find_null_magazine(struct iova_domain *iovad, const struct init *init, unsigned order,
			       unsigned cpu, const char *what)
{
	unsigned cpus = iovad->sim->cpu_count;

	sim_find(iovad->sim, FINDING_NULL_DEREF, NULL,
		 "iova domain %u: clean-up of failed caches frees the null %s magazine of cpu %u, order %u; "
		 "allocation %u of %u failed, the %s magazine of cpu %u",
		 iovad->id, what, cpu, order, init->failed, 1 + IOVA_ORDERS * (1 + 2 * cpus),
		 init->failed_what, init->failed_cpu);
}

/* Frees the magazines of one class. @init: of a creation that failed, NULL at the end of a domain. Returns whether a
 * null one was among them. */
static bool free_magazines(struct iova_domain *iovad, struct iova_rcache *rcache, const struct init *init,
			   unsigned order, bool found)
{
	bool unchecked = behaves(iovad->sim, IOVA_MAGAZINE_NULL_CHECK) == IOVA_MAGAZINE_UNCHECKED;

	for (unsigned cpu = 0; cpu < iovad->sim->cpu_count; cpu++) {
		struct iova_cpu_rcache *cpu_rcache = &rcache->cpu_rcaches[cpu];

		if (init && unchecked && !found && (!cpu_rcache->loaded || !cpu_rcache->prev)) {
			find_null_magazine(iovad, init, order, cpu, cpu_rcache->loaded ? "prev" : "loaded");
			found = true;
		}
		iova_magazine_free(iovad, cpu_rcache->loaded);
		iova_magazine_free(iovad, cpu_rcache->prev);
	}
	return found;
}

/* Releases all there is of @rcaches, stopping at the first class that has no per-CPU heads: free_iova_rcaches(). */
static void free_rcaches(struct iova_domain *iovad, struct iova_rcache *rcaches, const struct init *init)
{
	bool found = false;

	for (unsigned order = 0; order < IOVA_ORDERS && rcaches[order].cpu_rcaches; order++) {
		struct iova_rcache *rcache = &rcaches[order];

		found = free_magazines(iovad, rcache, init, order, found);
		iova_memory_give(iovad, IOVA_MEMORY_PERCPU);
		g_free(rcache->cpu_rcaches);
		while (rcache->depot)
			iova_magazine_free(iovad, depot_pop(iovad, rcache));
	}
	iova_memory_give(iovad, IOVA_MEMORY_ARRAY);
	g_free(rcaches);
}

int iova_rcaches_init(struct iova_domain *iovad)
{
	struct init init = {.attempts = 1};
	int err = iova_memory_take(iovad, IOVA_MEMORY_ARRAY, IOVA_ORDERS * RCACHE_BYTES);

	g_assert(!iovad->rcaches);
	if (err)
		return err;
	init.rcaches = g_new0(struct iova_rcache, IOVA_ORDERS);
	for (unsigned order = 0; order < IOVA_ORDERS && !err; order++)
		err = init_order(iovad, &init, order);
	if (!err)
		err = iova_memory_take(iovad, IOVA_MEMORY_CPUHP, 1);
	if (err) {
		free_rcaches(iovad, init.rcaches, &init);
		return err;
	}
	iovad->rcaches = init.rcaches;
	return 0;
}

struct iova_magazine *iova_magazine_copy(const struct iova_magazine *magazine, uint64_t size)
{
	struct iova_magazine *copy = g_new(struct iova_magazine, 1);

	copy->size = size;
	memcpy(copy->pfns, magazine->pfns, size * sizeof(*copy->pfns));
	return copy;
}

static void depot_copy(struct iova_rcache *rcache)
{
	struct iova_magazine **link = &rcache->depot;

	for (const struct iova_magazine *full = rcache->depot; full; full = full->next) {
		*link = iova_magazine_copy(full, IOVA_MAGAZINE_PFNS);
		link = &(*link)->next;
	}
	*link = NULL;
}

static void rcache_copy(struct iova_rcache *rcache, unsigned cpus)
{
	rcache->cpu_rcaches = g_memdup2(rcache->cpu_rcaches, cpus * sizeof(*rcache->cpu_rcaches));
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		struct iova_cpu_rcache *cpu_rcache = &rcache->cpu_rcaches[cpu];

		cpu_rcache->loaded = iova_magazine_copy(cpu_rcache->loaded, cpu_rcache->loaded->size);
		cpu_rcache->prev = iova_magazine_copy(cpu_rcache->prev, cpu_rcache->prev->size);
	}
	depot_copy(rcache);
}

void iova_rcaches_copy(struct iova_domain *iovad)
{
	iovad->spare_magazines = NULL;
	if (!iovad->rcaches)
		return;
	iovad->rcaches = g_memdup2(iovad->rcaches, IOVA_ORDERS * sizeof(*iovad->rcaches));
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		rcache_copy(&iovad->rcaches[order], iovad->sim->cpu_count);
}

void iova_rcaches_free(struct iova_domain *iovad)
{
	if (iovad->rcaches) {
		iova_memory_give(iovad, IOVA_MEMORY_CPUHP);
		free_rcaches(iovad, g_steal_pointer(&iovad->rcaches), NULL);
	}
	while (iovad->spare_magazines) {
		struct iova_magazine *spare = iovad->spare_magazines;

		iovad->spare_magazines = spare->next;
		g_free(spare);
	}
}

const struct sim_lock *iova_depot_lock(const struct iova_domain *iovad, unsigned order)
{
	return iovad->rcaches ? &iovad->rcaches[order].lock : NULL;
}

uint64_t iova_depot_size(const struct iova_domain *iovad, unsigned order)
{
	return iovad->rcaches ? iovad->rcaches[order].depot_size : 0;
}

bool iova_depot_pending(const struct iova_domain *iovad, unsigned order)
{
	return iovad->rcaches && iovad->rcaches[order].work_pending;
}

typedef void (*each_cached_fn)(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu);

static void each_in_magazine(const struct iova_magazine *magazine, uint64_t size, unsigned order,
			     const char *place, unsigned cpu, each_cached_fn fn, void *data)
{
	for (uint64_t i = 0; i < size; i++)
		fn(data, magazine->pfns[i], order, place, cpu);
}

void iova_each_cached(const struct iova_domain *iovad,
		      void (*fn)(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu),
		      void *data)
{
	for (unsigned order = 0; iovad->rcaches && order < IOVA_ORDERS; order++) {
		const struct iova_rcache *rcache = &iovad->rcaches[order];

		for (const struct iova_magazine *full = rcache->depot; full; full = full->next)
			each_in_magazine(full, IOVA_MAGAZINE_PFNS, order, "depot", 0, fn, data);
		for (unsigned cpu = 0; cpu < iovad->sim->cpu_count; cpu++) {
			const struct iova_cpu_rcache *cpu_rcache = &rcache->cpu_rcaches[cpu];

			each_in_magazine(cpu_rcache->loaded, cpu_rcache->loaded->size, order, "loaded", cpu,
					 fn, data);
			each_in_magazine(cpu_rcache->prev, cpu_rcache->prev->size, order, "prev", cpu, fn,
					 data);
		}
	}
}
