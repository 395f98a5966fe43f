/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_FQ_H
#define IOMMU_DMA_FQ_H

/*
 * Flush queues: lazy mode's rings of unmapped ranges that wait for one invalidation of everything.
 *
 * A range goes into the ring of the CPU that unmaps it (or into the one ring of a device whose invalidations are very
 * costly). It may be handed out again after a flush that *started* later; until that flush the device can still use the
 * old translation. A ring that is full flushes; so does a timer, which then empties all rings on the CPU where it fires.
 * Source: drivers/iommu/dma-iommu.c of Linux 7.0 (queue_iova, fq_flush_timeout), iova-facts section 8, blockdma-facts
 * section 4.
 */
#include "iommu/iommu.h"
#include "iommu/iova/iova.h"
#include "sim/core/histogram.h"

#define FQ_PERCPU_ENTRIES 256u
#define FQ_PERCPU_NS	  UINT64_C(10000000)
#define FQ_SINGLE_ENTRIES 32768u
#define FQ_SINGLE_NS	  UINT64_C(1000000000)

struct fq_stats {
	uint64_t queued;
	uint64_t flushes_full, flushes_timer;
};

struct fq;

/** A range that waits for a flush. */
struct fq_queued {
	uint64_t pfn, granules;
	unsigned ring;	      /* the CPU's; 0 of a single one */
	uint64_t flushes;     /* that had started when it was queued: one that starts later covers it */
	uint64_t time_ns;     /* of the unmap */
	uint64_t actor;	      /* whose */
	const uint64_t *pages; /* physical addresses of table pages that go with it, borrowed */
	uint32_t page_count;
};

/** Called for each of them, oldest first in each ring. */
typedef void (*fq_visitor)(void *data, const struct fq_queued *queued);

/** What a queue's next step depends on besides what is queued. */
struct fq_state {
	uint64_t started, finished; /* flushes */
	uint32_t ring_entries;	    /* of a ring: one stays free */
	bool timer_on;
	unsigned timer_cpu;
};

/** Makes the rings, through fault point iova.fq. @single: one ring. @tick_ns: the scheduler's, at least 1; the time-out is
 *  whole ticks, rounded up. @event_kind: under which the timer is put into
 *  sim->events with payload @id; its owner calls fq_timeout(). Returns NULL when there is no memory: the domain is strict. */
struct fq *fq_new(struct iommu_domain *domain, struct iova_domain *iovad, bool single, uint64_t tick_ns,
		  unsigned event_kind, unsigned id);
/** Frees the rings and the table pages they hold. What is queued is not given back, as in the kernel. NULL is allowed. */
void fq_free(struct fq *fq);

/** Queues the range [@pfn, @pfn + @granules) with the table pages of @gather, which is emptied. */
void fq_queue(struct fq *fq, uint64_t pfn, uint64_t granules, struct pgtable_gather *gather);

/** The timer fires; the current CPU is fq_timer_cpu(), the one that armed it, and takes what is given back. */
void fq_timeout(struct fq *fq);
/** The same in its steps, between which other CPUs may queue: the flush; then each ring, in order, gives back what is
 *  covered. */
void fq_timeout_flush(struct fq *fq);
void fq_timeout_ring(struct fq *fq, unsigned ring);
/** While @held, flushes by others are going on for whoever queues: they have started, and have not finished. */
void fq_hold(struct fq *fq, bool held);
/** What the current CPU queued last is queued only now, after all flushes that have started. */
void fq_queued_now(struct fq *fq);
unsigned fq_ring_count(const struct fq *fq);
/** Returns whether something is queued in @ring, and the oldest of it. */
bool fq_ring_oldest(const struct fq *fq, unsigned ring, uint64_t *ret_pfn);
unsigned fq_timer_cpu(const struct fq *fq);

const struct fq_stats *fq_stats(const struct fq *fq);
/** Returns how long ranges stayed reachable: from the unmap to the flush that ended it. */
const struct histogram *fq_windows(const struct fq *fq);
/** Forgets these. */
void fq_forget_windows(struct fq *fq);
/** Calls @add with @sum and the lock of each ring. */
void fq_add_locks(const struct fq *fq, struct sim_lock *sum,
		  void (*add)(struct sim_lock *sum, const struct sim_lock *lock));
void fq_each(const struct fq *fq, fq_visitor fn, void *data);
struct fq_state fq_state(const struct fq *fq);
/** Returns where @ring begins and ends: its oldest entry and the next free one; equal when it is empty. */
void fq_ring_ends(const struct fq *fq, unsigned ring, uint32_t *ret_head, uint32_t *ret_tail);

#endif
