/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_ORDER_MODEL_H
#define SIM_VERIFY_ORDER_MODEL_H

/*
 * What the search puts in order, and the model that it runs. Only for the files of order.h.
 */
#include "iommu/iova/steps.h"
#include "sim/verify/order.h"

/** A part of a call: its steps up to @until, exclusive. The parts of a call follow each other, in this order. */
struct order_part {
	uint32_t call;
	uint32_t until;
	uint64_t first, last; /* as of a call */
};

/** The problem. Nothing here changes, but for @work_orders, which the search chooses. */
struct order_problem {
	const struct verify_order_start *start;
	const struct verify_call *calls;
	size_t call_count;
	struct order_part *parts; /* in the order of entry */
	size_t part_count;
	struct sim *sim;
	int work_orders[VERIFY_WORKS_MAX]; /* size class of a worker; -1: the lowest that waits for one */
};

void order_problem_init(struct order_problem *problem, const struct verify_order_start *start,
			const struct verify_call *calls, size_t count);
void order_problem_finish(struct order_problem *problem);

/** Returns whether part @a takes effect before part @b in every order. */
static inline bool order_precedes(const struct order_problem *problem, uint32_t a, uint32_t b)
{
	const struct order_part *x = &problem->parts[a], *y = &problem->parts[b];

	return x->last < y->first || (x->call == y->call && a < b);
}

/** The allocator, somewhere on its way. */
struct order_model;

struct order_model *order_model_new(const struct order_problem *problem);
struct order_model *order_model_copy(const struct order_model *model);
void order_model_free(struct order_model *model);

/** What running a part showed. */
struct order_outcome {
	/* What it touched, as a set: two parts whose sets have nothing in common can change places. 0: nothing was left to
	 * do. */
	uint64_t touched;
	bool answered; /* an allocation ended here */
	/* It ended not with the recorded answer; or it cannot be now, because another call keeps locked what it touches. */
	bool differs;
	uint64_t pfn;
};

/** What parts that did not run yet may touch. */
uint64_t order_may_touch(const struct order_problem *problem, uint32_t part);

/** Returns whether running @part, whose call's parts before it have run, would do nothing: the call is done. */
bool order_model_is_idle(const struct order_model *model, uint32_t part);

/** Runs @part; those of its call before it have run. */
struct order_outcome order_model_run(struct order_model *model, uint32_t part);

#endif
