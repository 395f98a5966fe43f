/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_WORK_H
#define SIM_CORE_WORK_H

/*
 * Work: what functional code did, in units that a cost table turns into time.
 *
 * A model reports work where the kernel would do it, whether or not time is on; the counts are part of the results.
 * Costs never change what a model computes, only when the next thing happens.
 */
#include <stdint.h>

#include "sim/core/busy.h"

enum work {
	WORK_BLOCK_SUBMIT,	/* one request through the block layer and the NVMe driver, to the doorbell */
	WORK_BLOCK_COMPLETE,	/* one completion through driver and block layer */
	WORK_IOVA_CACHE,	/* one hit in, or free into, a per-CPU magazine */
	WORK_IOVA_TREE,		/* one allocation from or free into the tree, without the steps */
	WORK_IOVA_TREE_STEP,	/* one node that the kernel's walk or look-up visits */
	WORK_PTE_WRITE,		/* one page-table entry written or cleared */
	WORK_PT_PAGE,		/* one page-table page allocated or freed */
	WORK_CACHE_LINE,	/* one cache line fetched from another CPU */
	WORK_LOCK_HANDOVER,	/* one lock handed to a CPU that waited for it */
	WORK_CACHE_SYNC,	/* one cache line written back, or dropped, for a device that does not see the cache */
	WORK_COPY,		/* one cache line copied to or from a bounce buffer, or zeroed there */
	WORK_INVALIDATE_SUBMIT, /* one invalidation command written to its queue */
	WORK_INVALIDATE_WORK,	/* one command carried out by the hardware, which does one at a time */
	WORK_INVALIDATE_PAGE,	/* one page of a range that it invalidates by address */
	WORK_INVALIDATE_WAIT,	/* one look at its answer, when it is there */
	WORK_MMIO_READ,		/* one read of a register of an IOMMU, which the CPU waits for */
	WORK_MMIO_WRITE,	/* one write to one */
	WORK_DOORBELL,		/* one MMIO write to a doorbell */
	WORK_INTERRUPT,		/* one interrupt taken */
	WORK_THREAD_WAKE,	/* one thread of an interrupt woken and switched to */
	WORK_HOST_EXIT,		/* one exit of a guest to its hypervisor, for a queue, and back */
	WORK_HOST_MAP,		/* one request to map or unmap, carried out by the host */
	WORK_HOST_PAGE,		/* one page that the host pins, or lets go, for it */
	WORK_KINDS,
};

struct work_kind {
	const char *name;    /* key in the machine file's [cost], without the _ns */
	const char *what;    /* one line for people */
	uint32_t default_ns; /* cost of one unit */
	const char *source;  /* where the default comes from */
};

/** The kinds, in the order of enum work. */
extern const struct work_kind work_kinds[WORK_KINDS];

/**
 * A lock of the modelled kernel, handed over in the order of simulated time as far as that is known (busy.h), as a queued
 * spinlock does (kernel/locking/qspinlock.c). It counts who waited how long.
 */
struct sim_lock {
	const char *name;
	unsigned cpu; /* that had it last, and so has its cache line */
	uint64_t holder_from_ps; /* when the holding of this moment began */
	uint64_t taken;
	uint64_t waits; /* of these, how many waited */
	uint64_t wait_ns_sum;
	uint64_t wait_ns_max;
	uint64_t hold_ps_sum; /* how long it was held */
	struct busy busy;
};

#endif
