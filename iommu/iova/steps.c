/* SPDX-License-Identifier: MIT */
#include "iommu/iova/steps.h"

#include "iommu/iova/domain.h"

#define CACHED_SIZE_MAX (UINT64_C(1) << (IOVA_ORDERS - 1))

enum {
	STEP_CACHE,
	STEP_TREE,
	STEP_FLUSH, /* the first of many */
};

static unsigned depot_step(const struct sim *sim)
{
	return STEP_FLUSH + sim->cpu_count * IOVA_ORDERS * 2;
}

unsigned iova_call_steps(const struct sim *sim)
{
	return depot_step(sim) + IOVA_ORDERS * IOVA_DEPOT_STEPS + 1;
}

static unsigned call_order(const struct iova_call *call)
{
	return call->size <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(call->size - 1);
}

static bool is_cached(const struct iova_domain *iovad, const struct iova_call *call)
{
	return iovad->rcaches && call->size <= CACHED_SIZE_MAX;
}

/* What an allocation takes: cached sizes are rounded up. */
static uint64_t taken_size(const struct iova_call *call)
{
	return call->size <= CACHED_SIZE_MAX ? UINT64_C(1) << call_order(call) : call->size;
}

/* Says that the step looks at the caches of the CPU that runs, and at the depot where those do not do: in a magazine of
 * @useless pfns. */
static void touch_cache(const struct iova_domain *iovad, const struct iova_call *call, uint64_t useless,
			struct iova_touch *touch)
{
	const struct iova_cpu_rcache *cpu_rcache;

	touch->cache = true;
	touch->cpu = call->cpu;
	touch->order = call_order(call);
	cpu_rcache = &iovad->rcaches[touch->order].cpu_rcaches[call->cpu];
	touch->depot = cpu_rcache->loaded->size == useless && cpu_rcache->prev->size == useless;
}

static void alloc_from_cache(struct iova_domain *iovad, struct iova_call *call, struct iova_touch *touch)
{
	iovad->stats.allocs++;
	if (!is_cached(iovad, call))
		return;
	touch_cache(iovad, call, 0, touch);
	call->pfn = iova_rcache_get(iovad, call_order(call), call->limit_pfn + 1 - taken_size(call));
	call->done = call->pfn != 0;
}

static void alloc_from_tree(struct iova_domain *iovad, struct iova_call *call, bool last,
			    struct iova_touch *touch)
{
	touch->tree = true;
	call->done = iova_alloc_tree(iovad, taken_size(call), call->limit_pfn, true, &call->pfn);
	if (call->done || !last)
		return;
	iovad->stats.failures++;
	call->pfn = 0;
	call->done = true;
}

static void flush_magazine(struct iova_domain *iovad, unsigned number, struct iova_touch *touch)
{
	unsigned cpu = number / 2 / IOVA_ORDERS, order = number / 2 % IOVA_ORDERS;
	struct iova_cpu_rcache *cpu_rcache;

	if (!iovad->rcaches || !iovad->sim->cpus[cpu].online)
		return;
	cpu_rcache = &iovad->rcaches[order].cpu_rcaches[cpu];
	*touch = (struct iova_touch){
		.cache = true, .tree = true, .cpu = cpu, .order = order, .locked = number % 2 == 0};
	iova_magazine_flush(iovad, number % 2 ? cpu_rcache->prev : cpu_rcache->loaded);
}

/* The steps of a depot that come when it is empty, other than the first, are none. */
static void flush_depot(struct iova_domain *iovad, unsigned number, struct iova_touch *touch)
{
	unsigned order = number / IOVA_DEPOT_STEPS, step = number % IOVA_DEPOT_STEPS;
	struct iova_rcache *rcache;

	if (!iovad->rcaches)
		return;
	rcache = &iovad->rcaches[order];
	if (step > 0 && !rcache->depot)
		return;
	*touch = (struct iova_touch){.depot = true, .tree = rcache->depot != NULL, .order = order};
	iova_depot_flush(iovad, order, step + 1 < IOVA_DEPOT_STEPS ? 1 : UINT64_MAX);
	touch->locked = rcache->depot != NULL;
}

static void alloc_step(struct iova_domain *iovad, struct iova_call *call, unsigned step,
		       struct iova_touch *touch)
{
	if (step == STEP_CACHE)
		return alloc_from_cache(iovad, call, touch);
	if (step == STEP_TREE || step == iova_call_steps(iovad->sim) - 1)
		return alloc_from_tree(iovad, call, step != STEP_TREE || !call->flush, touch);
	if (step == STEP_FLUSH)
		iovad->stats.rcache_flushes++;
	if (step < depot_step(iovad->sim))
		flush_magazine(iovad, step - STEP_FLUSH, touch);
	else
		flush_depot(iovad, step - depot_step(iovad->sim), touch);
}

static void free_step(struct iova_domain *iovad, struct iova_call *call, unsigned step,
		      struct iova_touch *touch)
{
	if (step == STEP_CACHE) {
		iovad->stats.frees++;
		if (!is_cached(iovad, call))
			return;
		touch_cache(iovad, call, IOVA_MAGAZINE_PFNS, touch);
		call->done =
			iova_rcache_insert(iovad, call_order(call), call->pfn, &call->held) && !call->held;
		return;
	}
	touch->tree = true;
	call->done = true;
	if (!call->held)
		return iova_free_tree(iovad, call->pfn);
	iova_magazine_flush(iovad, call->held);
	iova_magazine_free(iovad, g_steal_pointer(&call->held));
}

static void work_step(struct iova_domain *iovad, struct iova_call *call, unsigned step,
		      struct iova_touch *touch)
{
	if (!iovad->rcaches) {
		call->done = true;
		return;
	}
	touch->order = call->order;
	if (step == STEP_CACHE) {
		touch->depot = true;
		call->held = iova_depot_surplus(iovad, call->order);
		call->done = !call->held;
		return;
	}
	touch->depot = true; /* its timer */
	touch->tree = true;
	call->done = true;
	iova_depot_trim(iovad, call->order, g_steal_pointer(&call->held));
}

void iova_call_step(struct iova_domain *iovad, struct iova_call *call, struct iova_touch *ret_touch)
{
	static void (*const steps[])(struct iova_domain *, struct iova_call *, unsigned,
				     struct iova_touch *) = {
		[IOVA_OP_ALLOC] = alloc_step,
		[IOVA_OP_FREE] = free_step,
		[IOVA_OP_DEPOT_WORK] = work_step,
	};

	g_assert(!call->done);
	*ret_touch = (struct iova_touch){0};
	iovad->sim->cpu = call->cpu;
	steps[call->op](iovad, call, call->step++, ret_touch);
}

struct iova_call iova_call_copy(struct iova_domain *copy, const struct iova_call *call)
{
	struct iova_call result = *call;

	if (call->held)
		result.held = iova_magazine_copy(call->held, IOVA_MAGAZINE_PFNS);
	return result;
}

void iova_call_drop(struct iova_domain *iovad, struct iova_call *call)
{
	iova_magazine_free(iovad, g_steal_pointer(&call->held));
}
