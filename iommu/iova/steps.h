/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_STEPS_H
#define IOMMU_IOVA_STEPS_H

/*
 * Calls of the allocator taken apart into steps: what Linux does under one lock, so that a step is whole and other CPUs,
 * or an interrupt, may come between two of them. iova_alloc_fast(), iova_free_fast() and iova_depot_work() are all steps of
 * a call in a row. Source: the locks of drivers/iommu/iova.c of Linux 7.0 and 6.1.
 *
 * An allocation: (0) this CPU's magazines, and the depot when they are empty; (1) the tree; where that fails and flush is
 * set, (2 ...) of each online CPU, order by order, the loaded magazine to the tree, then prev; then of each depot, order by
 * order, magazine after magazine; last the tree again. Between loaded and prev of a CPU and order, and between the
 * magazines of a depot, that cache or depot stays locked, though the tree does not: whoever interleaves steps has to
 * keep others off it. A free: (0) a magazine; (1) where
 * there was none, the tree; or, with a depot of fixed size that was full, a magazine to the tree. The depot's worker: (0) a
 * magazine off the depot; (1) to the tree.
 */
#include "iommu/iova/iova.h"

/** Steps in which a flush empties a depot: a magazine each, the last all that are left. */
#define IOVA_DEPOT_STEPS 16

enum iova_op {
	IOVA_OP_ALLOC,
	IOVA_OP_FREE,
	IOVA_OP_DEPOT_WORK,
};

/** A call under way. */
struct iova_call {
	enum iova_op op;
	unsigned cpu;	/* whom it runs on */
	unsigned order; /* of the worker */
	uint64_t size;	/* as asked for */
	uint64_t limit_pfn;
	bool flush;
	uint64_t pfn; /* of a free: what; of an allocation that is done: the answer */
	/* Kept by the steps. All 0 at first. */
	unsigned step; /* number of the next one */
	bool done;
	struct iova_magazine *held; /* between depot and tree */
};

/** What a step looked at or changed. */
struct iova_touch {
	bool cache; /* the magazines of @order of @cpu */
	bool depot; /* of @order */
	bool tree;
	unsigned cpu, order;
	bool locked; /* and it stays locked until the next step */
};

/** Returns how many steps an allocation with flush has at most; its last is the one to the tree. The others have two. */
unsigned iova_call_steps(const struct sim *sim);

/** Does the next step of @call, which is not done. *@ret_touch says what it had to do with. */
void iova_call_step(struct iova_domain *iovad, struct iova_call *call, struct iova_touch *ret_touch);

/** Returns a copy of @call as it is under way in @copy, a copy of the domain. */
struct iova_call iova_call_copy(struct iova_domain *copy, const struct iova_call *call);

/** Drops a call that is under way; its domain is about to be freed. */
void iova_call_drop(struct iova_domain *iovad, struct iova_call *call);

#endif
