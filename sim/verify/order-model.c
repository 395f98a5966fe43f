/* SPDX-License-Identifier: MIT */
#include "sim/verify/order-model.h"

#include <errno.h>

#include "iommu/iova/domain.h"

/* A call that has begun and is not done. */
struct under_way {
	uint32_t index;
	uint32_t fails;		  /* allocations of memory that are still to fail */
	struct iova_touch locked; /* what it keeps locked, if it says so */
	struct iova_call call;
};

struct order_model {
	const struct order_problem *problem;
	struct iova_domain *iovad;
	struct under_way *calls; /* few */
	uint32_t count, capacity;
	uint32_t *fails; /* of the call that runs */
	int8_t work_orders[VERIFY_WORKS_MAX];
};

/* ---- parts ---- */

static void add_part(GArray *parts, uint32_t call, unsigned until, uint64_t first, uint64_t last)
{
	struct order_part part = {.call = call, .until = until, .first = first, .last = last};

	g_array_append_val(parts, part);
}

/* The event of failure @number, which is inside the call. */
static uint64_t fail_event(const struct verify_call *call, uint32_t number)
{
	return CLAMP(call->fails[number], call->first, call->last);
}

/* A flush: each magazine, the second try. */
static void add_flush_parts(const struct order_problem *problem, GArray *parts, uint32_t index)
{
	const struct verify_call *call = &problem->calls[index];
	unsigned steps = iova_call_steps(problem->sim);
	uint64_t failed = fail_event(call, 0), again = call->fail_count > 1 ? fail_event(call, 1) : failed;
	uint64_t last = call->fail_count > 1 ? again : call->last;

	if (problem->start->cpus > VERIFY_FLUSH_CPUS_MAX) {
		add_part(parts, index, steps - 1, failed, last);
	} else {
		for (unsigned until = 3; until < steps; until++)
			add_part(parts, index, until, failed, last);
	}
	add_part(parts, index, steps, again, last);
}

static void add_parts(const struct order_problem *problem, GArray *parts, uint32_t index)
{
	const struct verify_call *call = &problem->calls[index];
	bool fails = call->fail_count > 0;
	uint64_t failed = fails ? fail_event(call, 0) : 0;

	if (call->kind == VERIFY_FREE && fails) { /* in want of a magazine */
		add_part(parts, index, 1, failed, failed);
		add_part(parts, index, 2, failed, call->last);
		return;
	}
	add_part(parts, index, 1, call->first, fails ? failed : call->last);
	if (!fails || !call->flush) {
		add_part(parts, index, call->flush ? iova_call_steps(problem->sim) : 2,
			 fails ? failed : call->first, call->last);
		return;
	}
	add_part(parts, index, 2, failed, failed); /* in want of a node */
	add_flush_parts(problem, parts, index);
}

static int compare_parts(const void *a, const void *b)
{
	const struct order_part *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->call != y->call)
		return x->call < y->call ? -1 : 1;
	return x->until < y->until ? -1 : x->until > y->until;
}

void order_problem_init(struct order_problem *problem, const struct verify_order_start *start,
			const struct verify_call *calls, size_t count)
{
	GArray *parts = g_array_new(FALSE, FALSE, sizeof(struct order_part));

	*problem = (struct order_problem){
		.start = start, .calls = calls, .call_count = count, .sim = sim_new(start->cpus, 1)};
	behaviour_set_version(problem->sim, start->version);
	for (unsigned i = 0; i < VERIFY_WORKS_MAX; i++)
		problem->work_orders[i] = -1;
	for (uint32_t i = 0; i < count; i++) {
		g_assert(calls[i].cpu < start->cpus);
		g_assert(calls[i].kind != VERIFY_DEPOT_WORK || calls[i].id < VERIFY_WORKS_MAX);
		g_assert(calls[i].first <= calls[i].last);
		add_parts(problem, parts, i);
	}
	g_array_sort(parts, compare_parts);
	problem->part_count = parts->len;
	problem->parts = (struct order_part *)(void *)g_array_free(parts, FALSE);
}

void order_problem_finish(struct order_problem *problem)
{
	g_clear_pointer(&problem->parts, g_free);
	g_clear_pointer(&problem->sim, sim_free);
}

/* ---- what a part touches ---- */

#define TOUCHED_TREE  (UINT64_C(1) << 63)
#define TOUCHED_DEPOT (UINT64_C(1) << 57) /* of order 0; the others above */
#define TOUCHED_CACHE 57		  /* bits below, shared by caches: a false conflict does no harm */

static uint64_t cache_bit(unsigned cpu, unsigned order)
{
	return UINT64_C(1) << (cpu * IOVA_ORDERS + order) % TOUCHED_CACHE;
}

static uint64_t touched_set(const struct iova_touch *touch)
{
	return (touch->cache ? cache_bit(touch->cpu, touch->order) : 0) |
	       (touch->depot ? TOUCHED_DEPOT << touch->order : 0) | (touch->tree ? TOUCHED_TREE : 0);
}

static unsigned size_order(uint64_t size)
{
	return size <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(size - 1);
}

uint64_t order_may_touch(const struct order_problem *problem, uint32_t part)
{
	const struct verify_call *call = &problem->calls[problem->parts[part].call];
	unsigned order = size_order(call->pages);

	if (call->kind == VERIFY_DEPOT_WORK || problem->parts[part].until > 2)
		return UINT64_MAX;
	if (order >= IOVA_ORDERS || problem->parts[part].until == 2)
		return TOUCHED_TREE;
	return cache_bit(call->cpu, order) | TOUCHED_DEPOT << order;
}

/* ---- the model ---- */

static int fail_memory(void *data, enum iova_memory_kind kind)
{
	struct order_model *model = data;

	if (!model->fails || *model->fails == 0)
		return 0;
	--*model->fails;
	return -ENOMEM;
}

struct order_model *order_model_new(const struct order_problem *problem)
{
	const struct verify_order_start *start = problem->start;
	struct order_model *model = g_new0(struct order_model, 1);
	uint64_t lo, hi;

	model->problem = problem;
	model->iovad = iova_domain_new(problem->sim, start->granule_bytes, start->start_pfn, 0, EVENT_KINDS);
	if (iova_rcaches_init(model->iovad) != 0)
		g_assert_not_reached();
	for (size_t i = 0; i < start->reserved_count; i++)
		iova_reserve(model->iovad, start->reserved[i].lo, start->reserved[i].hi, &lo, &hi);
	iova_set_allocation_hook(model->iovad, fail_memory, model);
	for (unsigned i = 0; i < VERIFY_WORKS_MAX; i++)
		model->work_orders[i] = -1;
	return model;
}

struct order_model *order_model_copy(const struct order_model *model)
{
	struct order_model *copy = g_memdup2(model, sizeof(*model));

	copy->iovad = iova_domain_copy(model->iovad, model->problem->sim);
	iova_set_allocation_hook(copy->iovad, fail_memory, copy);
	copy->capacity = model->count;
	copy->calls = g_memdup2(model->calls, model->count * sizeof(*copy->calls));
	for (uint32_t i = 0; i < copy->count; i++)
		copy->calls[i].call = iova_call_copy(copy->iovad, &model->calls[i].call);
	return copy;
}

void order_model_free(struct order_model *model)
{
	if (!model)
		return;
	for (uint32_t i = 0; i < model->count; i++)
		iova_call_drop(model->iovad, &model->calls[i].call);
	iova_domain_free(model->iovad);
	g_free(model->calls);
	g_free(model);
}

static struct under_way *find_under_way(const struct order_model *model, uint32_t index)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (model->calls[i].index == index)
			return &model->calls[i];
	return NULL;
}

static bool order_is_taken(const struct order_model *model, unsigned order)
{
	for (unsigned id = 0; id < VERIFY_WORKS_MAX; id++)
		if (model->work_orders[id] == (int)order)
			return true;
	return false;
}

/* Which size class the worker @id serves: chosen when it first runs. */
static unsigned work_order(struct order_model *model, uint32_t id)
{
	int8_t *chosen = &model->work_orders[id];

	if (*chosen < 0)
		*chosen = (int8_t)model->problem->work_orders[id];
	for (unsigned order = 0; *chosen < 0 && order < IOVA_ORDERS; order++)
		if (iova_depot_pending(model->iovad, order) && !order_is_taken(model, order))
			*chosen = (int8_t)order;
	for (unsigned order = 0; *chosen < 0 && order < IOVA_ORDERS; order++)
		if (!order_is_taken(model, order))
			*chosen = (int8_t)order;
	return *chosen < 0 ? 0 : (unsigned)*chosen;
}

static struct under_way *begin(struct order_model *model, uint32_t index)
{
	static const enum iova_op ops[] = {[VERIFY_ALLOC] = IOVA_OP_ALLOC,
					   [VERIFY_FREE] = IOVA_OP_FREE,
					   [VERIFY_DEPOT_WORK] = IOVA_OP_DEPOT_WORK};
	const struct verify_call *call = &model->problem->calls[index];
	struct under_way *begun;

	if (model->count == model->capacity) {
		model->capacity = MAX(8, model->capacity * 2);
		model->calls = g_renew(struct under_way, model->calls, model->capacity);
	}
	begun = &model->calls[model->count++];
	*begun = (struct under_way){
		.index = index,
		.fails = call->fail_count,
		.call = {.op = ops[call->kind],
			 .cpu = call->cpu,
			 .size = call->pages,
			 .limit_pfn = call->limit_pfn,
			 .flush = call->flush,
			 .pfn = call->kind == VERIFY_FREE ? call->pfn : 0},
	};
	if (call->kind == VERIFY_DEPOT_WORK)
		begun->call.order = work_order(model, call->id);
	return begun;
}

/* Whether another call keeps locked what @index touches. */
static bool is_blocked(const struct order_model *model, uint32_t index, const struct iova_touch *touch)
{
	for (uint32_t i = 0; i < model->count; i++) {
		const struct iova_touch *locked = &model->calls[i].locked;

		if (!locked->locked || model->calls[i].index == index || touch->order != locked->order)
			continue;
		if ((touch->depot && locked->depot) ||
		    (touch->cache && locked->cache && touch->cpu == locked->cpu))
			return true;
	}
	return false;
}

bool order_model_is_idle(const struct order_model *model, uint32_t part)
{
	const struct order_part *what = &model->problem->parts[part];

	return what->until != 1 && !find_under_way(model, what->call);
}

struct order_outcome order_model_run(struct order_model *model, uint32_t part)
{
	const struct order_part *what = &model->problem->parts[part];
	const struct verify_call *recorded = &model->problem->calls[what->call];
	struct order_outcome outcome = {0};
	struct under_way *run = find_under_way(model, what->call);

	if (!run && what->until != 1)
		return outcome; /* it is done */
	if (!run)
		run = begin(model, what->call);
	model->fails = &run->fails;
	while (!run->call.done && run->call.step < what->until) {
		struct iova_touch touch;

		iova_call_step(model->iovad, &run->call, &touch);
		outcome.touched |= touched_set(&touch);
		outcome.differs |= is_blocked(model, what->call, &touch);
		run->locked = touch;
	}
	model->fails = NULL;
	if (!run->call.done)
		return outcome;
	outcome.pfn = run->call.pfn;
	outcome.answered = recorded->kind == VERIFY_ALLOC;
	outcome.differs |=
		outcome.answered && recorded->pfn != VERIFY_PFN_UNKNOWN && recorded->pfn != outcome.pfn;
	*run = model->calls[--model->count];
	return outcome;
}
