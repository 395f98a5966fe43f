/* SPDX-License-Identifier: MIT */
/*
 * The search for the order of recorded allocator calls. Problems whose answer is known: calls that the model itself did in
 * a random order, with intervals made wider around it; the same with one wrong address; and problems of few calls, for
 * which all permutations are tried. Then recordings of the kernel, read from their traces: each is explained in full.
 */
#include <stdlib.h>
#include <string.h>

#include "iommu/iova/steps.h"
#include "sim/core/prng.h"
#include "sim/io/input.h"
#include "sim/tests/sample.h"
#include "sim/verify/order.h"

/* ---- problems that the model made ---- */

struct problem {
	struct verify_order_start start;
	GArray *calls; /* struct verify_call, sorted */
};

static int compare_calls(const void *a, const void *b)
{
	const struct verify_call *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static const struct verify_range reserved[] = {{0xa0, 0xbf}, {0xfee00, 0xfeeff}};

static void problem_init(struct problem *problem, unsigned cpus)
{
	problem->start =
		(struct verify_order_start){.granule_bytes = 4096,
					    .start_pfn = 1,
					    .cpus = cpus,
					    .version = (enum kernel_version)kernel_version_find("7.0"),
					    .reserved = reserved,
					    .reserved_count = G_N_ELEMENTS(reserved)};
	problem->calls = g_array_new(FALSE, TRUE, sizeof(struct verify_call));
}

static void problem_finish(struct problem *problem)
{
	g_array_unref(problem->calls);
}

static struct verify_call *call_at(const struct problem *problem, size_t index)
{
	return &g_array_index(problem->calls, struct verify_call, index);
}

static void find(const struct problem *problem, uint64_t steps_max, struct verify_order *ret_order)
{
	g_array_sort(problem->calls, compare_calls);
	verify_order_find(&problem->start, call_at(problem, 0), problem->calls->len, steps_max, ret_order);
}

static struct iova_domain *domain_new(const struct verify_order_start *start, struct sim *sim)
{
	struct iova_domain *iovad =
		iova_domain_new(sim, start->granule_bytes, start->start_pfn, 0, EVENT_KINDS);
	uint64_t lo, hi;

	behaviour_set_version(sim, start->version);
	g_assert_cmpint(iova_rcaches_init(iovad), ==, 0);
	for (size_t i = 0; i < start->reserved_count; i++)
		g_assert_true(iova_reserve(iovad, start->reserved[i].lo, start->reserved[i].hi, &lo, &hi));
	return iovad;
}

/* Does @call as a whole. Returns false if its answer is not the recorded one. */
static bool replay(struct iova_domain *iovad, struct sim *sim, const struct verify_call *call)
{
	sim->cpu = call->cpu;
	if (call->kind == VERIFY_FREE)
		iova_free_fast(iovad, call->pfn, call->pages);
	else if (call->kind == VERIFY_DEPOT_WORK)
		iova_depot_work(iovad, 0);
	else
		return iova_alloc_fast(iovad, call->pages, call->limit_pfn, call->flush) == call->pfn;
	return true;
}

/* Whole calls in @order: within their bounds, and with the recorded answers. */
static void assert_order_explains(const struct problem *problem, const struct verify_order *order)
{
	struct sim *sim = sim_new(problem->start.cpus, 1);
	struct iova_domain *iovad = domain_new(&problem->start, sim);
	uint64_t max_first = 0;

	g_assert_cmpuint(order->count, ==, problem->calls->len);
	for (size_t i = 0; i < order->count; i++) {
		const struct verify_call *call = call_at(problem, order->order[i]);

		max_first = MAX(max_first, call->first);
		g_assert_cmpuint(max_first, <=, call->last);
		g_assert_true(replay(iovad, sim, call));
	}
	iova_domain_free(iovad);
	sim_free(sim);
}

/* A random machine at work: the model in steps, which are done at random moments; @width is how much longer than it took
 * a call seems to take, on either side. */
struct maker {
	struct problem *problem;
	struct prng prng;
	struct sim *sim;
	struct iova_domain *iovad;
	uint64_t now, width;
	GArray *held; /* struct verify_call: what can be freed from .last on */
};

static void do_call(struct maker *maker, struct verify_call *call)
{
	uint64_t before = prng_below(&maker->prng, (uint32_t)maker->width + 1);

	maker->now += 10;
	call->first = MAX(call->first, maker->now > before ? maker->now - before : 1);
	call->last = maker->now + prng_below(&maker->prng, (uint32_t)maker->width + 1);
	maker->sim->cpu = call->cpu;
	if (call->kind == VERIFY_ALLOC)
		call->pfn = iova_alloc_fast(maker->iovad, call->pages, call->limit_pfn, call->flush);
	else if (call->kind == VERIFY_FREE)
		iova_free_fast(maker->iovad, call->pfn, call->pages);
	else
		iova_depot_work(maker->iovad, 0);
	g_array_append_val(maker->problem->calls, *call);
	if (call->kind == VERIFY_ALLOC)
		g_array_append_val(maker->held, *call);
}

static void do_alloc(struct maker *maker)
{
	struct verify_call call = {.kind = VERIFY_ALLOC,
				   .cpu = prng_below(&maker->prng, maker->problem->start.cpus),
				   .pages = 1 + prng_below(&maker->prng, 2),
				   .limit_pfn = 0xfffff};

	do_call(maker, &call);
}

static void do_free(struct maker *maker)
{
	unsigned pick = prng_below(&maker->prng, maker->held->len);
	const struct verify_call *held = &g_array_index(maker->held, struct verify_call, pick);
	struct verify_call call = {.kind = VERIFY_FREE,
				   .cpu = prng_below(&maker->prng, maker->problem->start.cpus),
				   .pages = held->pages,
				   .pfn = held->pfn,
				   .first = held->last + 1};

	/* A free is entered only after the allocation has returned. */
	if (call.first > maker->now + 10)
		return;
	g_array_remove_index_fast(maker->held, pick);
	do_call(maker, &call);
}

/* @count calls that grow to about @live, then shrink, in turn; a worker now and then. */
static void maker_init(struct maker *maker, struct problem *problem, uint64_t seed)
{
	*maker = (struct maker){.problem = problem,
				.held = g_array_new(FALSE, FALSE, sizeof(struct verify_call))};
	prng_init_own(&maker->prng, 1, seed, "verify");
	maker->sim = sim_new(problem->start.cpus, 1);
	maker->iovad = domain_new(&problem->start, maker->sim);
}

static void maker_run(struct maker *maker, unsigned count, unsigned live)
{
	unsigned grow = 7;

	for (unsigned i = 0; i < count; i++) {
		if (maker->held->len > live)
			grow = 3;
		else if (maker->held->len < live / 4)
			grow = 7;
		if (maker->held->len == 0 || prng_below(&maker->prng, 10) < grow)
			do_alloc(maker);
		else
			do_free(maker);
		if (live > 500 && prng_below(&maker->prng, 2000) == 0) {
			struct verify_call call = {.kind = VERIFY_DEPOT_WORK};

			do_call(maker, &call);
		}
	}
}

static void maker_finish(struct maker *maker)
{
	iova_domain_free(maker->iovad);
	sim_free(maker->sim);
	g_array_unref(maker->held);
}

static void problem_work(struct problem *problem, uint64_t seed, unsigned cpus, unsigned count, unsigned live,
			 uint64_t width)
{
	struct maker maker;

	problem_init(problem, cpus);
	maker_init(&maker, problem, seed);
	maker.width = width;
	maker_run(&maker, count, live);
	maker_finish(&maker);
}

static const struct mix {
	const char *name;
	unsigned cpus, count, live;
	uint64_t width;
} mixes[] = {
	{"one-cpu-in-order", 1, 3000, 300, 0},	 {"one-cpu-nested", 1, 3000, 300, 15},
	{"two-cpus", 2, 3000, 300, 15},		 {"two-cpus-wide", 2, 1000, 100, 20},
	{"four-cpus-depot", 4, 20000, 3000, 15},
};

static void test_made_by_the_model(const void *data)
{
	const struct mix *mix = data;

	for (uint64_t seed = 0; seed < 5; seed += sample_every()) {
		struct problem problem;
		struct verify_order order;

		problem_work(&problem, seed, mix->cpus, mix->count, mix->live, mix->width);
		find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
		g_test_message("%s %" G_GUINT64_FORMAT ": end %d, %" G_GUINT64_FORMAT
			       " choices, %" G_GUINT64_FORMAT " split, %" G_GUINT64_FORMAT " steps",
			       mix->name, seed, (int)order.end, order.choices, order.split, order.steps);
		g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
		g_assert_cmpuint(order.predicted, ==, order.recorded);
		g_assert_cmpuint(order.failed, ==, order.count);
		if (mix->width == 0)
			g_assert_cmpuint(order.choices, ==, 0);
		if (order.split == 0)
			assert_order_explains(&problem, &order);
		verify_order_finish(&order);
		problem_finish(&problem);
	}
}

/* Returns the number of an allocation from @from on. */
static size_t some_alloc(const struct problem *problem, size_t from)
{
	while (call_at(problem, from)->kind != VERIFY_ALLOC)
		from++;
	return from;
}

static void test_wrong_address_is_found(const void *data)
{
	uint64_t width = GPOINTER_TO_SIZE(data);

	for (uint64_t seed = 0; seed < 5; seed += sample_every()) {
		struct problem problem;
		struct verify_order order;
		struct verify_call *wrong;
		uint64_t pfn;
		size_t index;

		problem_work(&problem, seed, 2, 1000, 100, width);
		g_array_sort(problem.calls, compare_calls);
		index = some_alloc(&problem, 400 + seed * 50);
		wrong = call_at(&problem, index);
		pfn = wrong->pfn;
		wrong->pfn = 0x77777; /* which nobody has */
		find(&problem, 2000000, &order);
		g_assert_cmpint(order.end, !=, VERIFY_ORDER_SOLVED);
		g_assert_cmpuint(order.failed, ==, index);
		if (width == 0) {
			g_assert_cmpint(order.end, ==, VERIFY_ORDER_CONTRADICTION);
			g_assert_cmpuint(order.predicted, ==, order.recorded - 1);
			g_assert_cmpuint(order.failed_pfn, ==, pfn);
		}
		verify_order_finish(&order);
		problem_finish(&problem);
	}
}

static void test_unknown_address_is_undecidable(void)
{
	struct problem problem;
	struct verify_order order;

	problem_work(&problem, 1, 2, 500, 50, 0);
	g_array_sort(problem.calls, compare_calls);
	call_at(&problem, some_alloc(&problem, 100))->pfn = VERIFY_PFN_UNKNOWN;
	find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
	g_assert_cmpuint(order.undecidable, ==, 1);
	g_assert_cmpuint(order.predicted, ==, order.recorded);
	verify_order_finish(&order);
	problem_finish(&problem);
}

/* ---- all permutations ---- */

/* Whether whole calls from place @at on can be put in an order that explains them. */
static bool permute(const struct problem *problem, const struct iova_domain *iovad, struct sim *sim,
		    uint32_t *order, size_t at)
{
	size_t count = problem->calls->len;
	bool found = at == count;

	for (size_t next = at; next < count && !found; next++) {
		const struct verify_call *call = call_at(problem, order[next]);
		struct iova_domain *copy;
		bool admissible = true;

		for (size_t i = at; i < count; i++)
			admissible &= call_at(problem, order[i])->last >= call->first;
		if (!admissible)
			continue;
		copy = iova_domain_copy(iovad, sim);
		if (replay(copy, sim, call)) {
			uint32_t chosen = order[next];

			order[next] = order[at];
			order[at] = chosen;
			found = permute(problem, copy, sim, order, at + 1);
			order[at] = order[next];
			order[next] = chosen;
		}
		iova_domain_free(copy);
	}
	return found;
}

static bool permute_all(const struct problem *problem)
{
	struct sim *sim = sim_new(problem->start.cpus, 1);
	struct iova_domain *iovad = domain_new(&problem->start, sim);
	g_autofree uint32_t *order = g_new(uint32_t, problem->calls->len);
	bool found;

	for (uint32_t i = 0; i < problem->calls->len; i++)
		order[i] = i;
	found = permute(problem, iovad, sim, order, 0);
	iova_domain_free(iovad);
	sim_free(sim);
	return found;
}

/* Calls one after another, then a few that overlap; in half of the cases two answers among these are exchanged. */
static void problem_small(struct problem *problem, uint64_t seed)
{
	struct maker maker;

	problem_init(problem, 2);
	maker_init(&maker, problem, seed);
	maker_run(&maker, 6 + prng_below(&maker.prng, 10), 6);
	maker.width = 30 + prng_below(&maker.prng, 60);
	maker.now += maker.width;
	maker_run(&maker, 8, 4);
	if (prng_below(&maker.prng, 2)) {
		size_t a = problem->calls->len - 1 - prng_below(&maker.prng, 8);
		size_t b = problem->calls->len - 1 - prng_below(&maker.prng, 8);
		uint64_t pfn = call_at(problem, a)->pfn;

		if (call_at(problem, a)->kind == VERIFY_ALLOC && call_at(problem, b)->kind == VERIFY_ALLOC) {
			call_at(problem, a)->pfn = call_at(problem, b)->pfn;
			call_at(problem, b)->pfn = pfn;
		}
	}
	maker_finish(&maker);
}

static void test_as_all_permutations(void)
{
	unsigned solved = 0, impossible = 0, split = 0;

	for (uint64_t seed = 0; seed < 400; seed += sample_every()) {
		struct problem problem;
		struct verify_order order;

		problem_small(&problem, seed);
		find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
		g_assert_cmpint(order.end, !=, VERIFY_ORDER_BUDGET);
		solved += order.end == VERIFY_ORDER_SOLVED;
		impossible += order.end == VERIFY_ORDER_CONTRADICTION;
		split += order.end == VERIFY_ORDER_SOLVED && order.split > 0;
		/* With parts of calls in between there is more than permutations show. */
		if (order.end == VERIFY_ORDER_CONTRADICTION)
			g_assert_false(permute_all(&problem));
		else if (order.split == 0)
			g_assert_true(permute_all(&problem));
		verify_order_finish(&order);
		problem_finish(&problem);
	}
	g_test_message("%u solved, %u of them split, %u impossible", solved, split, impossible);
	g_assert_cmpuint(solved * sample_every(), >, 200);
	g_assert_cmpuint(impossible * sample_every(), >, 20);
}

/* ---- single facts ---- */

static void add_call(struct problem *problem, enum verify_call_kind kind, uint64_t first, uint64_t last,
		     uint64_t pfn)
{
	struct verify_call call = {
		.kind = kind, .first = first, .last = last, .pages = 1, .limit_pfn = 0xfffff, .pfn = pfn};

	g_array_append_val(problem->calls, call);
}

static void test_no_calls_are_solved(void)
{
	struct problem problem;
	struct verify_order order;

	problem_init(&problem, 1);
	find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
	g_assert_cmpuint(order.count, ==, 0);
	verify_order_finish(&order);
	problem_finish(&problem);
}

/* Two frees, the second inside the first: their addresses come back in the order that says which was first. */
static void test_interrupt_before_the_free_it_came_into(void)
{
	struct problem problem;
	struct verify_order order;

	problem_init(&problem, 1);
	add_call(&problem, VERIFY_ALLOC, 1, 2, 0xfffff);
	add_call(&problem, VERIFY_ALLOC, 3, 4, 0xffffe);
	add_call(&problem, VERIFY_FREE, 5, 8, 0xfffff);
	add_call(&problem, VERIFY_FREE, 6, 7, 0xffffe);
	add_call(&problem, VERIFY_ALLOC, 9, 10, 0xfffff);
	add_call(&problem, VERIFY_ALLOC, 11, 12, 0xffffe);
	find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
	g_assert_cmpuint(order.choices, ==, 1);
	g_assert_cmpuint(order.order[2], ==, 3);
	g_assert_cmpuint(order.order[3], ==, 2);
	verify_order_finish(&order);
	problem_finish(&problem);
}

/* CPU 1 has two pages cached, the lower on top, when CPU 0 empties all caches. If it allocates before, it gets the lower
 * one; if it does so after its cache was emptied and before CPU 0 tries again, it gets the higher one from the tree. */
static void other_cpu_during_a_flush(bool inside)
{
	static const uint64_t fails[] = {10};
	struct problem problem;
	struct verify_order order;

	problem_init(&problem, 2);
	add_call(&problem, VERIFY_ALLOC, 1, 2, 0xfffff);
	add_call(&problem, VERIFY_ALLOC, 3, 4, 0xffffe);
	add_call(&problem, VERIFY_FREE, 5, 6, 0xfffff);
	add_call(&problem, VERIFY_FREE, 7, 8, 0xffffe);
	add_call(&problem, VERIFY_ALLOC, 9, 13, inside ? 0xffffe : 0xfffff);
	call_at(&problem, 4)->flush = true;
	call_at(&problem, 4)->fails = fails;
	call_at(&problem, 4)->fail_count = 1;
	add_call(&problem, VERIFY_ALLOC, 11, 12, inside ? 0xfffff : 0xffffe);
	for (size_t i = 2; i < 6; i++)
		call_at(&problem, i)->cpu = i != 4;
	find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
	g_assert_cmpuint(order.split, ==, inside);
	verify_order_finish(&order);
	problem_finish(&problem);
}

static void test_other_cpu_inside_a_flush(void)
{
	other_cpu_during_a_flush(true);
}

static void test_other_cpu_beside_a_flush(void)
{
	other_cpu_during_a_flush(false);
}

/*
 * CPU 1 has a full magazine, prev, and one page in the other, loaded, when CPU 0 empties all caches. It may allocate before,
 * or behind, yet not between the two magazines, whose cache is locked: it cannot get the topmost of prev.
 */
static void test_nobody_comes_between_loaded_and_prev(void)
{
	static const uint64_t fails[] = {602};
	static const struct {
		uint64_t pfn;
		enum verify_order_end end;
	} cases[] = {
		{0xfff80, VERIFY_ORDER_SOLVED},	       /* before: from loaded */
		{0xfff81, VERIFY_ORDER_CONTRADICTION}, /* between: from prev */
		{0xfffff, VERIFY_ORDER_SOLVED},	       /* behind: from the tree, before CPU 0 */
		{0xffffe, VERIFY_ORDER_SOLVED},	       /* the same after CPU 0 */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct problem problem;
		struct verify_order order;

		problem_init(&problem, 2);
		for (uint64_t page = 0; page <= IOVA_MAGAZINE_PFNS; page++)
			add_call(&problem, VERIFY_ALLOC, 2 * page + 1, 2 * page + 2, 0xfffff - page);
		for (uint64_t page = 0; page <= IOVA_MAGAZINE_PFNS; page++) {
			add_call(&problem, VERIFY_FREE, 300 + 2 * page, 301 + 2 * page, 0xfffff - page);
			call_at(&problem, problem.calls->len - 1)->cpu = 1;
		}
		add_call(&problem, VERIFY_ALLOC, 601, 610, VERIFY_PFN_UNKNOWN);
		call_at(&problem, problem.calls->len - 1)->flush = true;
		call_at(&problem, problem.calls->len - 1)->fails = fails;
		call_at(&problem, problem.calls->len - 1)->fail_count = 1;
		add_call(&problem, VERIFY_ALLOC, 603, 609, cases[i].pfn);
		call_at(&problem, problem.calls->len - 1)->cpu = 1;
		find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
		g_assert_cmpint(order.end, ==, cases[i].end);
		g_assert_cmpuint(order.undecidable, ==, 1);
		verify_order_finish(&order);
		problem_finish(&problem);
	}
}

#define PAGES_HELD (2 * 5 * IOVA_MAGAZINE_PFNS)

/* Calls of one and of two pages in turn. */
static void add_turns(struct problem *problem, enum verify_call_kind kind, uint64_t *now)
{
	for (unsigned i = 0; i < PAGES_HELD; i++, *now += 2) {
		add_call(problem, kind, *now + 1, *now + 2, 0);
		call_at(problem, problem->calls->len - 1)->pages = 1 + i % 2;
	}
}

/* Does all calls as recorded, of which the answers are not yet known; the worker is that of @order. */
static void answer(struct problem *problem, unsigned order)
{
	struct sim *sim = sim_new(1, 1);
	struct iova_domain *iovad = domain_new(&problem->start, sim);

	for (size_t i = 0; i < problem->calls->len; i++) {
		struct verify_call *call = call_at(problem, i);

		if (call->kind == VERIFY_ALLOC) {
			call->pfn = iova_alloc_fast(iovad, call->pages, call->limit_pfn, false);
		} else if (call->kind == VERIFY_FREE) {
			call->pfn = call_at(problem, i - PAGES_HELD)->pfn;
			iova_free_fast(iovad, call->pfn, call->pages);
		} else {
			g_assert_true(iova_depot_work(iovad, order));
		}
	}
	g_assert_cmpuint(iova_stats(iovad)->depot_trims, ==, 1);
	iova_domain_free(iovad);
	sim_free(sim);
}

/* A worker of which two size classes are in want: which it serves shows in what is allocated later. */
static void test_class_of_a_worker_is_found(void)
{
	for (unsigned order_served = 0; order_served < 2; order_served++) {
		struct problem problem;
		struct verify_order order;
		uint64_t now = 0;

		problem_init(&problem, 1);
		add_turns(&problem, VERIFY_ALLOC, &now);
		add_turns(&problem, VERIFY_FREE, &now);
		add_call(&problem, VERIFY_DEPOT_WORK, now + 1, now + 2, 0);
		now += 2;
		add_turns(&problem, VERIFY_ALLOC, &now);
		answer(&problem, order_served);
		find(&problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
		g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
		verify_order_finish(&order);
		problem_finish(&problem);
	}
}

static void test_budget_ends_the_search(void)
{
	struct problem problem;
	struct verify_order order;

	problem_work(&problem, 1, 2, 1000, 100, 80);
	verify_order_find(&problem.start, call_at(&problem, 0), 0, 0, &order);
	verify_order_finish(&order);
	g_array_sort(problem.calls, compare_calls);
	verify_order_find(&problem.start, call_at(&problem, 0), problem.calls->len, 1, &order);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_BUDGET);
	g_assert_cmpuint(order.predicted, <, order.recorded);
	g_assert_cmpuint(order.failed, <, order.count);
	verify_order_finish(&order);
	problem_finish(&problem);
}

/* ---- recordings ---- */

/* What the events of a trace say of the allocator that is used after boot. */
struct recording {
	struct problem problem;
	GArray *ranges;	   /* struct verify_range */
	GPtrArray *fails;  /* of each call: GArray of uint64_t */
	GHashTable *open;  /* context -> GArray of numbers of calls, the innermost last */
	GHashTable *works; /* of a worker's item -> its id + 1 */
	uint64_t iovad;
	bool frees_return; /* there are events for it */
};

/* A line of ftrace's text: "TASK-PID [CPU] FLAGS TIME: EVENT: FIELDS". */
struct line {
	uint64_t number;
	unsigned cpu;
	char *context; /* a task, or a CPU and how deep in interrupts it is */
	const char *text;
};

static bool event_split(char *line, uint64_t number, struct line *ret_event)
{
	char *cpu = strstr(line, " ["), *flags = cpu ? strchr(cpu, ']') : NULL,
	     *text = flags ? strstr(flags, ": ") : NULL;
	char *pid = cpu;

	if (!text || *line == '#')
		return false;
	while (pid > line && *pid != '-')
		pid--;
	ret_event->number = number;
	ret_event->cpu = (unsigned)strtoul(cpu + 2, NULL, 10);
	ret_event->text = text + 2;
	/* The third flag is of interrupts: then, as in idle tasks, it is the CPU that counts. */
	if (flags[4] != '.' || pid[1] == '0')
		ret_event->context = g_strdup_printf("cpu %u %c", ret_event->cpu, flags[4]);
	else
		ret_event->context = g_strdup_printf("task %lu", strtoul(pid + 1, NULL, 10));
	return true;
}

static bool event_is(const struct line *event, const char *name)
{
	size_t len = strlen(name);

	return strncmp(event->text, name, len) == 0 && event->text[len] == ':';
}

static uint64_t event_field(const struct line *event, const char *name)
{
	const char *at = strstr(event->text, name);

	return at ? strtoull(at + strlen(name), NULL, 0) : 0;
}

static GArray *open_calls(struct recording *recording, const struct line *event)
{
	GArray *open = g_hash_table_lookup(recording->open, event->context);

	if (!open) {
		open = g_array_new(FALSE, FALSE, sizeof(uint32_t));
		g_hash_table_insert(recording->open, g_strdup(event->context), open);
	}
	return open;
}

static struct verify_call *innermost(struct recording *recording, const struct line *event)
{
	GArray *open = open_calls(recording, event);

	return open->len ? call_at(&recording->problem, g_array_index(open, uint32_t, open->len - 1)) : NULL;
}

static void enter(struct recording *recording, const struct line *event, struct verify_call call)
{
	uint32_t index = recording->problem.calls->len;

	call.cpu = event->cpu;
	call.first = event->number;
	call.last = UINT64_MAX;
	call.id = index; /* for its failures */
	g_array_append_val(recording->problem.calls, call);
	g_ptr_array_add(recording->fails, g_array_new(FALSE, FALSE, sizeof(uint64_t)));
	g_array_append_val(open_calls(recording, event), index);
}

static void leave(struct recording *recording, const struct line *event, enum verify_call_kind kind)
{
	struct verify_call *call = innermost(recording, event);
	GArray *open = open_calls(recording, event);

	if (!call || call->kind != kind)
		return;
	call->last = event->number;
	if (kind == VERIFY_ALLOC)
		call->pfn = event_field(event, "pfn=");
	g_array_set_size(open, open->len - 1);
}

static uint32_t work_id(struct recording *recording, uint64_t work)
{
	uint32_t id = GPOINTER_TO_UINT(g_hash_table_lookup(recording->works, GSIZE_TO_POINTER(work)));

	if (id == 0) {
		id = g_hash_table_size(recording->works) + 1;
		g_hash_table_insert(recording->works, GSIZE_TO_POINTER(work), GUINT_TO_POINTER(id));
	}
	return id - 1;
}

static void read_domain(struct recording *recording, const struct line *event)
{
	struct verify_range range = {event_field(event, "lo="), event_field(event, "hi=")};

	if (event_is(event, "iova_reserve")) {
		g_array_append_val(recording->ranges, range);
	} else if (event_is(event, "iova_init")) {
		recording->problem.start.granule_bytes = event_field(event, "granule=");
		recording->problem.start.start_pfn = event_field(event, "start=");
		g_array_set_size(recording->ranges, 0);
	} else if (event_is(event, "iova_alloc")) {
		enter(recording, event,
		      (struct verify_call){.kind = VERIFY_ALLOC,
					   .pages = event_field(event, "size="),
					   .limit_pfn = event_field(event, "limit="),
					   .flush = event_field(event, "flush="),
					   .pfn = VERIFY_PFN_UNKNOWN});
	} else if (event_is(event, "iova_free")) {
		enter(recording, event,
		      (struct verify_call){.kind = VERIFY_FREE,
					   .pages = event_field(event, "size="),
					   .pfn = event_field(event, "pfn=")});
	}
}

static void read_event(struct recording *recording, const struct line *event)
{
	struct verify_call *inner = innermost(recording, event);

	/* Without an event for the return it is before whatever its task or interrupt does next. */
	if (inner && inner->kind == VERIFY_FREE && !recording->frees_return)
		leave(recording, event, VERIFY_FREE);
	if (strstr(event->text, "iovad=") && event_field(event, "iovad=") == recording->iovad)
		return read_domain(recording, event);
	if (event_is(event, "depot_work"))
		enter(recording, event,
		      (struct verify_call){.kind = VERIFY_DEPOT_WORK,
					   .pfn = work_id(recording, event_field(event, "work="))});
	else if (event_is(event, "iova_alloc_ret"))
		leave(recording, event, VERIFY_ALLOC);
	else if (event_is(event, "iova_free_ret"))
		leave(recording, event, VERIFY_FREE);
	else if (event_is(event, "depot_work_ret"))
		leave(recording, event, VERIFY_DEPOT_WORK);
	else if (event_is(event, "should_failslab") && inner)
		g_array_append_val((GArray *)g_ptr_array_index(recording->fails, inner->id), event->number);
}

/* Twice: first which allocator is used, and what there are events for. */
static void read_trace(struct recording *recording, const char *path, bool calls)
{
	g_autoptr(GError) error = NULL;
	struct input *input = input_open(path, &error);
	const char *bytes;
	size_t len;

	g_assert_no_error(error);
	while (input_line(input, &bytes, &len, &error) == 1) {
		g_autofree char *line = g_strndup(bytes, len);
		struct line event;

		if (!event_split(line, input_line_number(input), &event))
			continue;
		recording->problem.start.cpus = MAX(recording->problem.start.cpus, event.cpu + 1);
		if (calls)
			read_event(recording, &event);
		else if (event_is(&event, "iova_alloc"))
			recording->iovad = event_field(&event, "iovad=");
		else if (event_is(&event, "iova_free_ret"))
			recording->frees_return = true;
		g_free(event.context);
	}
	g_assert_no_error(error);
	input_close(input);
}

static void recording_read(struct recording *recording, const char *path, const char *version)
{
	*recording = (struct recording){
		.ranges = g_array_new(FALSE, FALSE, sizeof(struct verify_range)),
		.fails = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref),
		.open = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref),
		.works = g_hash_table_new(NULL, NULL),
	};
	problem_init(&recording->problem, 1);
	recording->problem.start.version = (enum kernel_version)kernel_version_find(version);
	read_trace(recording, path, false);
	read_trace(recording, path, true);
	recording->problem.start.reserved = &g_array_index(recording->ranges, struct verify_range, 0);
	recording->problem.start.reserved_count = recording->ranges->len;
	for (size_t i = 0; i < recording->problem.calls->len; i++) {
		struct verify_call *call = call_at(&recording->problem, i);
		const GArray *fails = g_ptr_array_index(recording->fails, i);

		call->fails = (const uint64_t *)(const void *)fails->data;
		call->fail_count = fails->len;
		call->id = call->kind == VERIFY_DEPOT_WORK ? (uint32_t)call->pfn : 0;
	}
}

static void recording_finish(struct recording *recording)
{
	problem_finish(&recording->problem);
	g_array_unref(recording->ranges);
	g_ptr_array_unref(recording->fails);
	g_hash_table_unref(recording->open);
	g_hash_table_unref(recording->works);
}

static void test_recording(const void *data)
{
	const char *path = data;
	g_autofree char *folder = g_path_get_dirname(path), *folder_name = g_path_get_basename(folder);
	struct recording recording;
	struct verify_order order;
	int64_t begin = g_get_monotonic_time();

	recording_read(&recording, path, strstr(path, "v6.1-") ? "6.1" : "7.0");
	g_assert_cmpuint(recording.problem.calls->len, >, 100);
	begin = g_get_monotonic_time();
	find(&recording.problem, VERIFY_ORDER_STEPS_DEFAULT, &order);
	g_test_message("%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " addresses, %" G_GUINT64_FORMAT
		       " choices, %" G_GUINT64_FORMAT " split, %" G_GUINT64_FORMAT
		       " steps, %.2f s; failed %zu of %zu",
		       folder_name, order.predicted, order.recorded, order.choices, order.split, order.steps,
		       (double)(g_get_monotonic_time() - begin) / 1e6, order.failed, order.count);
	g_assert_cmpint(order.end, ==, VERIFY_ORDER_SOLVED);
	g_assert_cmpuint(order.predicted, ==, order.recorded);
	verify_order_finish(&order);
	recording_finish(&recording);
}

static void add_recording(const char *name, const char *path)
{
	g_autofree char *test = g_strdup_printf("/sim/verify-order/recording/%s", name);

	g_test_add_data_func_full(test, g_strdup(path), test_recording, g_free);
}

static void add_recordings(void)
{
	g_autofree char *shared = g_build_filename(g_getenv("SHARED"), "traces", NULL);
	g_autofree char *bundled = g_build_filename(g_getenv("FIXTURES"), "traces", NULL);
	g_autoptr(GDir) dir = g_dir_open(shared, 0, NULL), bundled_dir = g_dir_open(bundled, 0, NULL);
	const char *name;

	while (bundled_dir && (name = g_dir_read_name(bundled_dir))) {
		g_autofree char *path = g_build_filename(bundled, name, NULL);

		if (g_str_has_suffix(name, ".trace.txt.zst"))
			add_recording(name, path);
	}
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(shared, name, "trace.txt.zst", NULL);

		if (*name == 'v' && sample_takes_name(name) && g_file_test(path, G_FILE_TEST_EXISTS))
			add_recording(name, path);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(mixes); i++) {
		g_autofree char *name =
			g_strdup_printf("/sim/verify-order/made-by-the-model/%s", mixes[i].name);

		g_test_add_data_func(name, &mixes[i], test_made_by_the_model);
	}
	g_test_add_data_func("/sim/verify-order/wrong-address/in-order", GSIZE_TO_POINTER(0),
			     test_wrong_address_is_found);
	g_test_add_data_func("/sim/verify-order/wrong-address/overlapping", GSIZE_TO_POINTER(20),
			     test_wrong_address_is_found);
	g_test_add_func("/sim/verify-order/unknown-address-is-undecidable",
			test_unknown_address_is_undecidable);
	g_test_add_func("/sim/verify-order/as-all-permutations", test_as_all_permutations);
	g_test_add_func("/sim/verify-order/no-calls-are-solved", test_no_calls_are_solved);
	g_test_add_func("/sim/verify-order/interrupt-before-what-it-came-into",
			test_interrupt_before_the_free_it_came_into);
	g_test_add_func("/sim/verify-order/other-cpu-inside-flush", test_other_cpu_inside_a_flush);
	g_test_add_func("/sim/verify-order/other-cpu-beside-flush", test_other_cpu_beside_a_flush);
	g_test_add_func("/sim/verify-order/nobody-between-loaded-and-prev",
			test_nobody_comes_between_loaded_and_prev);
	g_test_add_func("/sim/verify-order/class-of-a-worker-is-found", test_class_of_a_worker_is_found);
	g_test_add_func("/sim/verify-order/budget-ends-the-search", test_budget_ends_the_search);
	add_recordings();
	return g_test_run();
}
