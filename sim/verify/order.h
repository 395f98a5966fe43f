/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_ORDER_H
#define SIM_VERIFY_ORDER_H

/*
 * In which order did the calls of a recorded IOVA allocator take effect?
 *
 * A recording tells when a call was entered and when it returned. CPUs overlap and interrupts nest, so in between it took
 * effect at moments that nobody wrote down. Of two calls, one of which returned before the other was entered, the order
 * is known; all others are open. Here an order within these bounds is searched for under which the model of the
 * allocator gives every recorded address.
 *
 * A call is not one moment either. What is put in order are its parts, in the sense of iommu/iova/steps.h: the caches;
 * the tree; and, where memory failed and the caches are emptied, each magazine and the second try.
 *
 * The search starts from the order of entry and runs the model until an address differs. Then it looks for a repair, and
 * keeps the one that gets furthest:
 *  1. two overlapping parts that touch the same cache, depot or the tree change places: first those that have to do with
 *     the address that came or the one that should have come, then all others, latest first;
 *  2. another size class for a worker;
 *  3. a walk from the difference on, or a little before it, through all orders of what overlaps there;
 *  4. a call in which its CPU stood still for long is left for later, until all that overlaps with it is explained;
 *  5. two parts change places, then a walk.
 * Where no repair helps, the next best of the last one takes its place. What counts as further is the first part, in the
 * order of entry, that is not yet explained. A problem of few parts is in the end walked through from its beginning, which
 * finds an order or proves that there is none. A walk skips orders that differ only in parts that do not touch each
 * other. Nothing depends on time or chance.
 *
 * What is assumed: a call acts on the CPU it is given with, from entry to return. Nobody else touches the domain. All CPUs
 * are online. The allocations of memory that injected failures hit inside a call are the first ones of that call, and
 * the failure's event is the moment of its part. With more CPUs than VERIFY_FLUSH_CPUS_MAX a whole flush is one part.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iommu/iova/iova.h"
#include "sim/behaviour/behaviour.h"

/** verify_call.pfn of an allocation: the answer was not recorded. */
#define VERIFY_PFN_UNKNOWN UINT64_MAX

#define VERIFY_FLUSH_CPUS_MAX 16

/** Work items of the depots' workers: one a size class. */
#define VERIFY_WORKS_MAX IOVA_ORDERS

enum verify_call_kind {
	VERIFY_ALLOC,
	VERIFY_FREE,
	VERIFY_DEPOT_WORK, /* the 100 ms worker of one size class */
};

/** One call as it was recorded. */
struct verify_call {
	enum verify_call_kind kind;
	uint32_t cpu;
	/* Numbers of the events between which it took effect: entry and return. UINT64_MAX: until the end. */
	uint64_t first, last;
	uint64_t pages; /* as asked for, at least 1, at most 2^52; 0 for a worker */
	uint64_t limit_pfn;
	bool flush;
	/* Of an allocation: the recorded answer, 0 = it failed, or VERIFY_PFN_UNKNOWN. Of a free: what is freed. */
	uint64_t pfn;
	/* Of a worker: which work item, below VERIFY_WORKS_MAX. Its size class is not recorded; equal ids are equal classes. */
	uint32_t id;
	/* Injected failures of memory inside the call: their event numbers, ascending. Borrowed. */
	const uint64_t *fails;
	uint32_t fail_count;
};

struct verify_range {
	uint64_t lo, hi; /* pfns, inclusive */
};

/** The domain before the first call. */
struct verify_order_start {
	uint64_t granule_bytes;
	uint64_t start_pfn;
	uint32_t cpus; /* 1 to SIM_CPUS_MAX */
	enum kernel_version version;
	const struct verify_range *reserved; /* in the order of the calls; borrowed */
	size_t reserved_count;
};

enum verify_order_end {
	VERIFY_ORDER_SOLVED,	    /* every recorded address is explained */
	VERIFY_ORDER_CONTRADICTION, /* all orders were tried: none explains every address */
	VERIFY_ORDER_BUDGET, /* none was found by what was tried, or with the steps that were allowed */
};

struct verify_order {
	enum verify_order_end end;
	/* The calls, @count of them, by the moment of their last effect. */
	uint32_t *order;
	size_t count;
	/* Allocations whose answer was recorded, and of these how many the model gives in this order. After the first
	 * difference it goes on as if nothing had happened. */
	uint64_t recorded, predicted;
	uint64_t undecidable; /* allocations whose answer was not recorded: any will do */
	/* Parts that come before one that was entered earlier and touches the same: the order of entry is not enough, the
	 * recorded addresses chose. */
	uint64_t choices;
	/* Calls in whose middle another call touched what they touch: whole calls in this order are not enough. */
	uint64_t split;
	uint64_t steps; /* of the model: what the search cost */
	/* Not solved: the first call, in the order of entry, that no order explained that explains all before it; and what
	 * the model gave it in this order. */
	size_t failed;
	uint64_t failed_pfn;
};

/** Steps that take about a minute. */
#define VERIFY_ORDER_STEPS_DEFAULT UINT64_C(100000000)

/** Searches for an order of the @count calls of @calls, fewer than 2^26, sorted by their first event, with about
 *  @steps_max steps of the model. Release with verify_order_finish(). */
void verify_order_find(const struct verify_order_start *start, const struct verify_call *calls, size_t count,
		       uint64_t steps_max, struct verify_order *ret_order);
void verify_order_finish(struct verify_order *order);

#endif
