/* SPDX-License-Identifier: MIT */
#include "sim/verify/order.h"

#include <string.h>

#include "sim/verify/order-model.h"

#define CHECKPOINTS_MAX	   256 /* models kept: about 100 KiB each */
#define COPY_STEPS	   64  /* what copying a model counts for at least: that of four CPUs */
#define COPY_STEPS_CPU	   16
#define OVERLAP_MAX	   16384 /* how many parts back one that overlaps is looked for */
#define POSTPONED_OVER_MIN 64	 /* parts that a call is postponed over, at least */
#define PAIRS_MAX	   4000	 /* tried for one difference */
#define PAIRS_ENOUGH	   200	 /* tried after one that helps was found */
#define WALKED_PAIRS_MAX   300	 /* tried together with a walk */
#define WALK_STEPS	   4000	 /* of one walk */
#define WALK_FINDS_MAX	   8
#define PROOF_PARTS_MAX	   4096 /* a problem of no more is walked through from its beginning */

/* Another content for a stretch of the order, and another size class for a worker. Applied twice it is undone. */
struct repair {
	size_t metric; /* how far the order gets with it */
	size_t at, length;
	uint32_t *parts;
	int work; /* whose worker's class, -1: none's */
	int work_order;
	uint32_t rank; /* not 0: the parts of @postponed's call from that one on get this rank */
	uint32_t postponed;
};

/* A repair that was made, and those that could have been made instead. */
struct decision {
	GArray *repairs; /* struct repair, best first */
	size_t next;	 /* the one after the one that is made */
};

struct search {
	struct order_problem problem;
	uint64_t steps, steps_max;
	uint32_t *order;    /* of parts */
	uint32_t *position; /* of a part */
	uint32_t *
		rank; /* of a part: how early it is to be explained. Twice its number, unless it is postponed */
	uint64_t *touched;  /* by a part that comes before the difference */
	uint64_t *max_last; /* of the parts up to a position */
	struct order_model *
		*checkpoints; /* the model at the multiples of @checkpoint_every, as far as explained */
	size_t checkpoint_count, checkpoint_every;
	size_t changed;	     /* position from which on the order is not that of the checkpoints */
	size_t disturbed;    /* from this position on each part is at its own number */
	size_t failed;	     /* position where an address differs; the number of parts if none does */
	uint64_t failed_pfn; /* what the model gave there */
	size_t metric;	     /* the lowest rank that is not explained, and whose it is */
	uint32_t unexplained;
	GArray *decisions;
	size_t best_metric;
	uint32_t best_unexplained;
	uint32_t *best_order;
	int best_work_orders[VERIFY_WORKS_MAX];
};

/* ---- running the model ---- */

/* Returns false if the address differs. */
static bool run_part(struct search *search, struct order_model *model, uint32_t part, uint64_t *ret_touched)
{
	struct order_outcome outcome = order_model_run(model, part);

	*ret_touched = outcome.touched;
	search->steps += outcome.touched != 0;
	if (outcome.differs)
		search->failed_pfn = outcome.pfn;
	return !outcome.differs;
}

static struct order_model *copy_model(struct search *search, const struct order_model *model)
{
	search->steps += MAX(COPY_STEPS, COPY_STEPS_CPU * (uint64_t)search->problem.start->cpus);
	return order_model_copy(model);
}

/* Says how far the order gets whose part at position @failed differs. */
static void set_failed(struct search *search, size_t failed)
{
	search->failed = failed;
	search->metric = 2 * search->problem.part_count;
	for (size_t at = failed; at < search->problem.part_count; at++) {
		uint32_t part = search->order[at];

		if (search->rank[part] < search->metric) {
			search->metric = search->rank[part];
			search->unexplained = part;
		}
		if (at >= search->disturbed)
			return;
	}
}

/* Returns the model at position @at, which is explained up to there. */
static struct order_model *model_at(struct search *search, size_t at)
{
	size_t checkpoint =
		MIN(MIN(at, search->changed) / search->checkpoint_every, search->checkpoint_count - 1);
	struct order_model *model = copy_model(search, search->checkpoints[checkpoint]);
	uint64_t touched;

	g_assert(at <= search->failed);
	for (size_t i = checkpoint * search->checkpoint_every; i < at; i++)
		run_part(search, model, search->order[i], &touched);
	return model;
}

/* Runs the order, which changed from position @from on, to the first difference. */
static void run_trial(struct search *search, size_t from)
{
	struct order_model *model = model_at(search, from);
	size_t at = from;
	uint64_t touched;

	while (at < search->problem.part_count && run_part(search, model, search->order[at], &touched))
		at++;
	order_model_free(model);
	set_failed(search, at);
}

/* The same, and it is the order from now on: leaves checkpoints behind. */
static void run_kept(struct search *search, size_t from)
{
	size_t checkpoint = MIN(from / search->checkpoint_every, search->checkpoint_count - 1);
	struct order_model *model;
	size_t at = checkpoint * search->checkpoint_every;

	search->changed = SIZE_MAX;
	while (search->checkpoint_count > checkpoint + 1)
		order_model_free(search->checkpoints[--search->checkpoint_count]);
	model = copy_model(search, search->checkpoints[checkpoint]);
	for (; at < search->problem.part_count; at++) {
		if (at == search->checkpoint_count * search->checkpoint_every)
			search->checkpoints[search->checkpoint_count++] = copy_model(search, model);
		if (!run_part(search, model, search->order[at], &search->touched[search->order[at]]))
			break;
	}
	order_model_free(model);
	set_failed(search, at);
	if (search->metric > search->best_metric) {
		search->best_metric = search->metric;
		search->best_unexplained = search->unexplained;
		memcpy(search->best_order, search->order,
		       search->problem.part_count * sizeof(*search->order));
		memcpy(search->best_work_orders, search->problem.work_orders,
		       sizeof(search->best_work_orders));
	}
}

/* ---- repairs ---- */

static void repair_clear(void *data)
{
	g_free(((struct repair *)data)->parts);
}

static GArray *repairs_new(void)
{
	GArray *repairs = g_array_new(FALSE, FALSE, sizeof(struct repair));

	g_array_set_clear_func(repairs, repair_clear);
	return repairs;
}

/* Gives parts of a call another rank, or the one they had. */
static void rank_apply(struct search *search, const struct repair *repair)
{
	const struct order_part *parts = search->problem.parts;

	for (size_t i = 0; i < repair->length; i++) {
		uint32_t part = search->order[repair->at + i];

		if (parts[part].call == parts[repair->postponed].call && part >= repair->postponed)
			search->rank[part] = search->rank[part] == 2 * part ? repair->rank : 2 * part;
	}
}

static void repair_apply(struct search *search, struct repair *repair)
{
	if (repair->rank)
		rank_apply(search, repair);
	for (size_t i = 0; i < repair->length; i++) {
		uint32_t part = repair->parts[i];

		repair->parts[i] = search->order[repair->at + i];
		search->order[repair->at + i] = part;
		search->position[part] = (uint32_t)(repair->at + i);
	}
	search->disturbed = MAX(search->disturbed, repair->at + repair->length);
	if (repair->work >= 0) {
		int before = search->problem.work_orders[repair->work];

		search->problem.work_orders[repair->work] = repair->work_order;
		repair->work_order = before;
	}
}

/* Tries @repair; if it gets beyond @metric it goes to @repairs, else it is cleared. */
static void repair_try(struct search *search, struct repair *repair, size_t metric, GArray *repairs)
{
	repair_apply(search, repair);
	run_trial(search, repair->at);
	repair_apply(search, repair);
	repair->metric = search->metric;
	if (search->metric > metric)
		g_array_append_val(repairs, *repair);
	else
		repair_clear(repair);
}

static int compare_repairs(const void *a, const void *b)
{
	const struct repair *x = a, *y = b;

	return x->metric > y->metric ? -1 : x->metric < y->metric;
}

/* ---- two parts change places ---- */

/* @late, which comes later, is to go before @early. What is between them either stays on the left, as far as it has to
 * precede @late, or on the right, as far as it has to follow @early: @move_early says which of the two moves. */
struct pair {
	uint32_t early, late;
	bool move_early;
};

static bool stays_left(const struct search *search, const struct pair *pair, uint32_t part)
{
	if (pair->move_early)
		return !order_precedes(&search->problem, pair->early, part);
	return order_precedes(&search->problem, part, pair->late);
}

static struct repair exchange(const struct search *search, const struct pair *pair)
{
	size_t from = search->position[pair->early], to = search->position[pair->late], count = 0;
	const uint32_t *order = search->order;
	struct repair repair = {.at = from, .length = to - from + 1, .work = -1};

	g_assert(from < to);
	repair.parts = g_new(uint32_t, repair.length);
	for (size_t i = from + 1; i < to; i++)
		if (stays_left(search, pair, order[i]))
			repair.parts[count++] = order[i];
	repair.parts[count++] = pair->late;
	repair.parts[count++] = pair->early;
	for (size_t i = from + 1; i < to; i++)
		if (!stays_left(search, pair, order[i]))
			repair.parts[count++] = order[i];
	return repair;
}

static uint64_t touched_by(const struct search *search, uint32_t part)
{
	if (search->position[part] > search->failed)
		return order_may_touch(&search->problem, part);
	return search->touched[part];
}

/* Whether a part has to do with the address that came or the one that should have. */
static bool concerns(const struct search *search, uint32_t part)
{
	const struct order_part *parts = search->problem.parts;
	uint32_t failed = parts[search->order[search->failed]].call;
	uint64_t pfn = search->problem.calls[parts[part].call].pfn;

	return parts[part].call == failed || pfn == search->problem.calls[failed].pfn ||
	       pfn == search->failed_pfn;
}

/* Appends the pairs in which the part at @position goes before an earlier one. */
static void add_pairs(const struct search *search, size_t position, bool only_concerned, GArray *pairs)
{
	const struct order_part *parts = search->problem.parts;
	uint32_t late = search->order[position];
	size_t end = position > OVERLAP_MAX ? position - OVERLAP_MAX : 0;

	for (size_t at = position; at-- > end && search->max_last[at] >= parts[late].first;) {
		struct pair pair = {.early = search->order[at], .late = late};

		if (at > search->failed || order_precedes(&search->problem, pair.early, late) ||
		    !(touched_by(search, pair.early) & touched_by(search, late)) ||
		    parts[pair.early].call == parts[late].call)
			continue;
		if (only_concerned && !concerns(search, pair.early) && !concerns(search, late))
			continue;
		g_array_append_val(pairs, pair);
		pair.move_early = true;
		if (position - at > 1)
			g_array_append_val(pairs, pair);
	}
}

/* Returns the position behind the last part that may come before the one that differs, and brings max_last up to date. */
static size_t overlap_end(struct search *search)
{
	const struct order_part *parts = search->problem.parts;
	uint64_t last = parts[search->order[search->failed]].last, max_last = 0;
	size_t at;

	for (at = 0; at < search->problem.part_count &&
		     (at <= search->failed || parts[search->order[at]].first <= last);
	     at++) {
		max_last = MAX(max_last, parts[search->order[at]].last);
		search->max_last[at] = max_last;
	}
	return at;
}

/* Where the search stood before it tried something. */
struct stand {
	size_t failed, metric;
	uint64_t failed_pfn;
};

static struct stand stand_get(const struct search *search)
{
	return (struct stand){search->failed, search->metric, search->failed_pfn};
}

static void stand_set(struct search *search, const struct stand *stand)
{
	search->failed = stand->failed;
	search->metric = stand->metric;
	search->failed_pfn = stand->failed_pfn;
}

static void try_pairs(struct search *search, const GArray *pairs, size_t from, GArray *repairs)
{
	struct stand stand = stand_get(search);

	for (size_t i = from; i < pairs->len && search->steps < search->steps_max; i++) {
		struct repair repair = exchange(search, &g_array_index(pairs, struct pair, i));

		repair_try(search, &repair, stand.metric, repairs);
		stand_set(search, &stand);
	}
}

static void repairs_by_pairs(struct search *search, bool only_concerned, GArray *repairs)
{
	g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));

	for (size_t at = overlap_end(search); at-- > 0 && pairs->len < PAIRS_MAX;) {
		size_t from = pairs->len;

		if (repairs->len > 0 && pairs->len > PAIRS_ENOUGH)
			return;
		add_pairs(search, at, only_concerned, pairs);
		try_pairs(search, pairs, from, repairs);
	}
}

/* ---- another size class for a worker ---- */

static void repairs_by_works(struct search *search, GArray *repairs)
{
	const struct order_problem *problem = &search->problem;
	struct stand stand = stand_get(search);
	bool seen[VERIFY_WORKS_MAX] = {false};

	for (size_t at = 0; at < stand.failed; at++) {
		const struct verify_call *call = &problem->calls[problem->parts[search->order[at]].call];

		if (call->kind != VERIFY_DEPOT_WORK || seen[call->id])
			continue;
		seen[call->id] = true;
		for (int order = 0; order < IOVA_ORDERS; order++) {
			struct repair repair = {.at = at, .work = (int)call->id, .work_order = order};

			if (order != problem->work_orders[call->id])
				repair_try(search, &repair, stand.metric, repairs);
			stand_set(search, &stand);
		}
	}
}

/* ---- walks through all orders ---- */

/* A part that need not go next: what begins with it was walked through, and it goes with everything since. */
struct asleep {
	uint32_t part;
	uint64_t touched;
};

struct walk {
	struct search *search;
	size_t from; /* position */
	size_t end;  /* position behind all that were moved */
	size_t goal; /* parts up to this rank are to be explained */
	uint64_t steps_end;
	bool gave_up;
	unsigned finds_max;
	GArray *found; /* struct repair */
};

static bool walk_from(struct walk *walk, struct order_model *model, size_t at, GArray *asleep);

static bool is_asleep(const GArray *asleep, uint32_t part)
{
	for (size_t i = 0; i < asleep->len; i++)
		if (g_array_index(asleep, struct asleep, i).part == part)
			return true;
	return false;
}

/* Wakes those that do not go with what was touched. */
static void wake(GArray *asleep, uint64_t touched)
{
	for (guint i = asleep->len; i-- > 0;)
		if (g_array_index(asleep, struct asleep, i).touched & touched)
			g_array_remove_index_fast(asleep, i);
}

static bool walk_arrived(const struct walk *walk, size_t at)
{
	const struct search *search = walk->search;

	for (; at < search->problem.part_count; at++) {
		if (search->rank[search->order[at]] <= walk->goal)
			return false;
		if (at >= search->disturbed)
			return true;
	}
	return true;
}

static void walk_find(struct walk *walk, size_t at)
{
	struct search *search = walk->search;
	struct repair repair = {.at = walk->from, .length = MAX(at, walk->end) - walk->from, .work = -1};

	repair.parts = g_memdup2(search->order + walk->from, repair.length * sizeof(*repair.parts));
	g_array_append_val(walk->found, repair);
}

/* Moves the part at position @from to @to. */
static void move_part(struct search *search, size_t from, size_t to)
{
	uint32_t part = search->order[from];

	if (from > to)
		memmove(&search->order[to + 1], &search->order[to], (from - to) * sizeof(part));
	else
		memmove(&search->order[from], &search->order[from + 1], (to - from) * sizeof(part));
	search->order[to] = part;
}

/* Lets the part at position @next go at position @at. Returns false when the walk is to end; *@ret_touched is what the part
 * touched. */
static bool walk_part(struct walk *walk, const struct order_model *model, size_t at, size_t next,
		      const GArray *asleep, uint64_t *ret_touched)
{
	struct search *search = walk->search;
	struct order_model *after = copy_model(search, model);
	uint32_t part = search->order[next];
	size_t disturbed = search->disturbed, end = walk->end;
	bool go_on = true, agrees = run_part(search, after, part, ret_touched);

	if (agrees) {
		g_autoptr(GArray) still = g_array_copy((GArray *)asleep);

		wake(still, *ret_touched);
		move_part(search, next, at);
		search->disturbed = MAX(search->disturbed, next + 1);
		walk->end = MAX(walk->end, next + 1);
		go_on = walk_from(walk, after, at + 1, still);
		move_part(search, at, next);
		search->disturbed = disturbed;
		walk->end = end;
	}
	order_model_free(after);
	return go_on;
}

/* Whether the part at position @next may go before those from @at on, of which the earliest ends at @min_last. */
static bool may_go(const struct search *search, size_t at, size_t next, uint64_t min_last)
{
	const struct order_part *parts = search->problem.parts;
	const struct order_part *part = &parts[search->order[next]];

	if (part->first > min_last)
		return false;
	if (part->until == 1)
		return true;
	for (size_t i = at; i < next; i++)
		if (parts[search->order[i]].call == part->call)
			return false;
	return true;
}

/* Whether only the part at position @at can go next, or need not be tried against others as it has nothing left to do. */
static bool walk_is_forced(const struct search *search, const struct order_model *model, size_t at)
{
	const struct order_part *parts = search->problem.parts;
	uint64_t min_last = parts[search->order[at]].last;

	if (order_model_is_idle(model, search->order[at]))
		return true;
	for (size_t next = at + 1; next < search->problem.part_count; next++) {
		const struct order_part *part = &parts[search->order[next]];

		if (part->first > min_last && next >= search->disturbed)
			return true;
		if (may_go(search, at, next, min_last))
			return false;
		min_last = MIN(min_last, part->last);
	}
	return true;
}

/* Does what is forced from position *@at on. Returns false if that leads nowhere. */
static bool walk_forced(struct walk *walk, struct order_model *model, size_t *at, GArray *asleep)
{
	struct search *search = walk->search;

	while (!walk_arrived(walk, *at) && walk_is_forced(search, model, *at)) {
		uint32_t part = search->order[*at];
		uint64_t touched;

		if (is_asleep(asleep, part) || !run_part(search, model, part, &touched))
			return false;
		wake(asleep, touched);
		++*at;
	}
	return true;
}

/* Goes on from position @at, where @model is, and changes both @model and @asleep. Returns false when the walk is to end:
 * it gave up, or found enough. */
static bool walk_from(struct walk *walk, struct order_model *model, size_t at, GArray *asleep)
{
	struct search *search = walk->search;
	const struct order_part *parts = search->problem.parts;
	uint64_t min_last = UINT64_MAX;

	if (!walk_forced(walk, model, &at, asleep))
		return true;
	if (walk_arrived(walk, at)) {
		walk_find(walk, at);
		return walk->found->len < walk->finds_max;
	}
	if (search->steps >= walk->steps_end) {
		walk->gave_up = true;
		return false;
	}
	for (size_t next = at; next < search->problem.part_count; next++) {
		struct asleep explored = {.part = search->order[next]};

		if (parts[explored.part].first > min_last && next >= search->disturbed)
			break;
		if (may_go(search, at, next, min_last) && !is_asleep(asleep, explored.part)) {
			if (!walk_part(walk, model, at, next, asleep, &explored.touched))
				return false;
			if (explored.touched == 0)
				return true; /* it goes with everything: no need to try others before it */
			g_array_append_val(asleep, explored);
		}
		min_last = MIN(min_last, parts[explored.part].last);
	}
	return true;
}

/* Walks from position @from, explained up to there, until all parts up to rank @goal are. Returns false if it gave up. */
static bool walk(struct search *search, size_t from, size_t goal, uint64_t steps, unsigned finds_max,
		 GArray *found)
{
	struct walk walk = {.search = search,
			    .from = from,
			    .goal = goal,
			    .steps_end = search->steps + steps,
			    .finds_max = finds_max,
			    .found = found};
	struct order_model *model = model_at(search, from);
	g_autoptr(GArray) asleep = g_array_new(FALSE, FALSE, sizeof(struct asleep));

	walk_from(&walk, model, from, asleep);
	order_model_free(model);
	return !walk.gave_up;
}

static void try_found(struct search *search, GArray *found, GArray *repairs)
{
	struct stand stand = stand_get(search);

	for (size_t i = 0; i < found->len; i++) {
		struct repair *repair = &g_array_index(found, struct repair, i);

		repair_try(search, repair, stand.metric, repairs);
		repair->parts = NULL;
		stand_set(search, &stand);
	}
}

static void repairs_by_walk(struct search *search, GArray *repairs)
{
	static const size_t back[] = {0, 8, 32, 128};
	struct stand stand = stand_get(search);

	for (size_t i = 0; i < G_N_ELEMENTS(back) && repairs->len == 0; i++) {
		g_autoptr(GArray) found = repairs_new();

		walk(search, stand.failed > back[i] ? stand.failed - back[i] : 0, stand.metric, WALK_STEPS,
		     WALK_FINDS_MAX, found);
		stand_set(search, &stand);
		try_found(search, found, repairs);
	}
}

/* Makes of @first, which is applied, and what a walk from its difference finds one repair each. */
static void walk_after(struct search *search, const struct repair *first, size_t goal, GArray *found)
{
	g_autoptr(GArray) second = repairs_new();

	walk(search, search->failed, goal, WALK_STEPS / 8, 2, second);
	for (size_t i = 0; i < second->len; i++) {
		struct repair *repair = &g_array_index(second, struct repair, i), both = {.work = -1};
		size_t end = MAX(first->at + first->length, repair->at + repair->length);

		both.at = MIN(first->at, repair->at);
		both.length = end - both.at;
		repair_apply(search, repair);
		both.parts = g_memdup2(search->order + both.at, both.length * sizeof(*both.parts));
		repair_apply(search, repair);
		g_array_append_val(found, both);
	}
}

static void repairs_by_pairs_and_walk(struct search *search, GArray *repairs)
{
	g_autoptr(GArray) pairs = g_array_new(FALSE, FALSE, sizeof(struct pair));
	g_autoptr(GArray) found = repairs_new();
	struct stand stand = stand_get(search);

	for (size_t at = overlap_end(search); at-- > 0 && pairs->len < WALKED_PAIRS_MAX;)
		add_pairs(search, at, false, pairs);
	for (size_t i = 0; i < pairs->len && search->steps < search->steps_max; i++) {
		struct repair first = exchange(search, &g_array_index(pairs, struct pair, i));

		repair_apply(search, &first);
		search->changed = first.at;
		run_trial(search, first.at);
		walk_after(search, &first, stand.metric, found);
		repair_apply(search, &first);
		search->changed = SIZE_MAX;
		repair_clear(&first);
		stand_set(search, &stand);
	}
	try_found(search, found, repairs);
}

/* ---- a long call is left for later ---- */

/*
 * A CPU may have stood still in the middle of a call, for as long as it takes others to make hundreds. What they need to be
 * explained is found first; then the long call, which now is the last of them, looks for its place among them.
 */
static void repairs_by_postponing(struct search *search, GArray *repairs)
{
	const struct order_part *parts = search->problem.parts;
	uint32_t failed = search->order[search->failed], highest = failed;
	size_t end = overlap_end(search), count = 0;
	struct repair repair = {
		.at = search->failed, .length = end - search->failed, .work = -1, .postponed = failed};
	struct stand stand = stand_get(search);

	if (repair.length < POSTPONED_OVER_MIN || search->rank[failed] != 2 * failed)
		return;
	repair.parts = g_new(uint32_t, repair.length);
	for (int which = 0; which < 3; which++) { /* those that stay before it, its own, those after it */
		for (size_t at = search->failed; at < end; at++) {
			uint32_t part = search->order[at];
			bool mine = parts[part].call == parts[failed].call;
			int belongs = mine ? 1 : order_precedes(&search->problem, failed, part) ? 2 : 0;

			if (belongs != which)
				continue;
			repair.parts[count++] = part;
			if (which == 0)
				highest = MAX(highest, part);
		}
	}
	g_assert(count == repair.length);
	repair.rank = 2 * highest + 1;
	repair_try(search, &repair, stand.metric, repairs);
	stand_set(search, &stand);
}

/* ---- the search ---- */

/* Returns what gets further than the order as it is, best first. */
static GArray *find_repairs(struct search *search)
{
	GArray *repairs = repairs_new();

	repairs_by_pairs(search, true, repairs);
	if (repairs->len == 0)
		repairs_by_pairs(search, false, repairs);
	if (repairs->len == 0)
		repairs_by_works(search, repairs);
	if (repairs->len == 0)
		repairs_by_walk(search, repairs);
	if (repairs->len == 0)
		repairs_by_postponing(search, repairs);
	if (repairs->len == 0)
		repairs_by_pairs_and_walk(search, repairs);
	g_array_sort(repairs, compare_repairs);
	return repairs;
}

/* Takes the next repair there is; undoes those that lead nowhere. Returns false when there is none left. */
static bool decide(struct search *search)
{
	while (search->decisions->len > 0) {
		struct decision *last =
			&g_array_index(search->decisions, struct decision, search->decisions->len - 1);

		if (last->next > 0)
			repair_apply(search, &g_array_index(last->repairs, struct repair, last->next - 1));
		if (last->next < last->repairs->len) {
			struct repair *repair = &g_array_index(last->repairs, struct repair, last->next++);

			repair_apply(search, repair);
			run_kept(search, repair->at);
			return true;
		}
		g_array_unref(last->repairs);
		g_array_set_size(search->decisions, search->decisions->len - 1);
	}
	return false;
}

static void search_repairs(struct search *search)
{
	while (search->failed < search->problem.part_count && search->steps < search->steps_max) {
		struct decision decision = {.repairs = find_repairs(search)};

		g_array_append_val(search->decisions, decision);
		if (!decide(search))
			break;
	}
}

/* Walks through a small problem as a whole. Returns whether there is no order. */
static bool search_all(struct search *search)
{
	g_autoptr(GArray) found = repairs_new();
	size_t count = search->problem.part_count;

	if (count > PROOF_PARTS_MAX || search->steps >= search->steps_max)
		return false;
	if (!walk(search, 0, 2 * count - 1, search->steps_max - search->steps, 1, found))
		return false;
	if (found->len == 0)
		return true;
	repair_apply(search, &g_array_index(found, struct repair, 0));
	run_kept(search, 0);
	return false;
}

static void search_init(struct search *search, const struct verify_order_start *start,
			const struct verify_call *calls, size_t count, uint64_t steps_max)
{
	size_t parts;

	*search = (struct search){.steps_max = steps_max, .changed = SIZE_MAX};
	order_problem_init(&search->problem, start, calls, count);
	parts = search->problem.part_count;
	search->order = g_new(uint32_t, parts);
	search->position = g_new(uint32_t, parts);
	search->rank = g_new(uint32_t, parts);
	for (size_t i = 0; i < parts; i++) {
		search->order[i] = search->position[i] = (uint32_t)i;
		search->rank[i] = 2 * (uint32_t)i;
	}
	search->best_order = g_memdup2(search->order, parts * sizeof(*search->order));
	memcpy(search->best_work_orders, search->problem.work_orders, sizeof(search->best_work_orders));
	search->touched = g_new0(uint64_t, parts);
	search->max_last = g_new(uint64_t, parts);
	search->checkpoint_every = 64 + parts / CHECKPOINTS_MAX;
	search->checkpoints = g_new0(struct order_model *, parts / search->checkpoint_every + 1);
	search->checkpoints[search->checkpoint_count++] = order_model_new(&search->problem);
	search->decisions = g_array_new(FALSE, FALSE, sizeof(struct decision));
}

static void search_finish(struct search *search)
{
	while (search->checkpoint_count > 0)
		order_model_free(search->checkpoints[--search->checkpoint_count]);
	for (size_t i = 0; i < search->decisions->len; i++)
		g_array_unref(g_array_index(search->decisions, struct decision, i).repairs);
	g_array_unref(search->decisions);
	g_free(search->checkpoints);
	g_free(search->max_last);
	g_free(search->touched);
	g_free(search->best_order);
	g_free(search->position);
	g_free(search->rank);
	g_free(search->order);
	order_problem_finish(&search->problem);
}

/* ---- the result ---- */

/* Runs the best order to its end, differences or not, and counts. */
static void run_to_the_end(struct search *search, struct verify_order *result)
{
	const struct order_problem *problem = &search->problem;
	struct order_model *model = order_model_new(problem);
	uint64_t max_first = 0;

	for (size_t at = 0; at < problem->part_count; at++) {
		uint32_t part = search->best_order[at], call = problem->parts[part].call;
		struct order_outcome outcome = order_model_run(model, part);

		max_first = MAX(max_first, problem->parts[part].first);
		g_assert(max_first <= problem->parts[part].last); /* in bounds */
		g_assert(!outcome.differs || result->end != VERIFY_ORDER_SOLVED);
		search->touched[part] = outcome.touched;
		if (!outcome.answered)
			continue;
		if (problem->calls[call].pfn == VERIFY_PFN_UNKNOWN)
			result->undecidable++;
		else
			result->predicted += !outcome.differs;
		result->recorded += problem->calls[call].pfn != VERIFY_PFN_UNKNOWN;
		if (call == result->failed)
			result->failed_pfn = outcome.pfn;
	}
	order_model_free(model);
}

/* Counts parts that come before one that was entered earlier and touches the same. */
static uint64_t count_choices(const struct search *search)
{
	size_t count = search->problem.part_count;
	g_autofree uint32_t *min_after = g_new(uint32_t, count + 1); /* lowest part from a position on */
	uint64_t choices = 0;

	min_after[count] = UINT32_MAX;
	for (size_t at = count; at-- > 0;)
		min_after[at] = MIN(min_after[at + 1], search->best_order[at]);
	for (size_t at = 0; at < count; at++) {
		uint32_t part = search->best_order[at];
		bool chosen = false;

		for (size_t i = at + 1; min_after[i] < part && !chosen; i++)
			chosen = search->best_order[i] < part &&
				 (search->touched[search->best_order[i]] & search->touched[part]);
		choices += chosen;
	}
	return choices;
}

/* Whether another call touched what @call had touched before it was done: it is between positions @first and @last. */
static bool is_split(const struct search *search, uint32_t call, uint32_t first, uint32_t last)
{
	uint64_t touched = 0;

	for (uint32_t at = first; at < last; at++) {
		uint32_t part = search->best_order[at];

		if (search->problem.parts[part].call == call)
			touched |= search->touched[part];
		else if (search->touched[part] & touched)
			return true;
	}
	return false;
}

/* Orders the calls by their last part that did something, and counts those that others came into. */
static void order_calls(const struct search *search, struct verify_order *result)
{
	const struct order_problem *problem = &search->problem;
	g_autofree uint32_t *first = g_new0(uint32_t, result->count), *last = g_new0(uint32_t, result->count);
	size_t filled = 0;

	for (uint32_t at = 0; at < problem->part_count; at++) {
		uint32_t part = search->best_order[at], call = problem->parts[part].call;

		if (problem->parts[part].until == 1)
			first[call] = last[call] = at;
		else if (search->touched[part])
			last[call] = at;
	}
	for (uint32_t at = 0; at < problem->part_count; at++) {
		uint32_t call = problem->parts[search->best_order[at]].call;

		if (last[call] != at)
			continue;
		result->order[filled++] = call;
		result->split += is_split(search, call, first[call], last[call]);
	}
	g_assert(filled == result->count);
}

void verify_order_find(const struct verify_order_start *start, const struct verify_call *calls, size_t count,
		       uint64_t steps_max, struct verify_order *ret_order)
{
	struct search search;
	bool impossible = false;

	search_init(&search, start, calls, count, steps_max);
	run_kept(&search, 0);
	search_repairs(&search);
	if (search.failed < search.problem.part_count)
		impossible = search_all(&search);
	*ret_order = (struct verify_order){
		.end = impossible ? VERIFY_ORDER_CONTRADICTION : VERIFY_ORDER_BUDGET,
		.order = g_new(uint32_t, count),
		.count = count,
		.steps = search.steps,
		.failed = count,
	};
	if (search.best_metric == 2 * search.problem.part_count)
		ret_order->end = VERIFY_ORDER_SOLVED;
	else
		ret_order->failed = search.problem.parts[search.best_unexplained].call;
	memcpy(search.problem.work_orders, search.best_work_orders, sizeof(search.best_work_orders));
	run_to_the_end(&search, ret_order);
	ret_order->choices = count_choices(&search);
	order_calls(&search, ret_order);
	search_finish(&search);
}

void verify_order_finish(struct verify_order *order)
{
	g_clear_pointer(&order->order, g_free);
}
