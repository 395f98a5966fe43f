/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_SIM_H
#define SIM_CORE_SIM_H

/*
 * One simulation. Everything a run changes hangs on one struct sim, passed explicitly; there are no globals, so many
 * simulations live side by side in one process.
 *
 * Function and time are two layers. Functional code (allocators, page tables, mappers, drivers) runs "on" sim->cpu at
 * sim->now_ns and changes state at once; it reports work with sim_charge(), which moves sim->cursor_ps, the time that
 * this CPU has reached inside the current step. Only the floor and sim/machine read the cursor to decide when the next
 * thing happens; others only to announce how long something took (observer.h). Under --mode asap nobody looks at it.
 *
 * The order of a step: sim_step_begin(cpu, at) ... functional code ... sim_step_end(), which returns when the CPU is
 * free again.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "sim/core/event.h"
#include "sim/core/finding.h"
#include "sim/core/observer.h"
#include "sim/core/physmem.h"
#include "sim/core/prng.h"
#include "sim/core/work.h"

#define SIM_CPUS_MAX	   4096 /* as NR_CPUS of distribution kernels is at most 8192, and traces name far fewer */
#define SIM_BEHAVIOURS_MAX 64
#define SIM_FAULTS_MAX	   256

struct fault_rules;
struct ledger;

struct sim_cpu {
	uint64_t free_at_ns; /* end of what it is doing */
	uint64_t busy_ns;
	bool online;
};

struct sim {
	uint64_t now_ns;
	bool timed; /* locks and servers make CPUs wait: all but asap */
	uint64_t cursor_ps; /* see above; in picoseconds, so that small costs add up exactly */
	uint64_t wait_ps;   /* sum of what all CPUs waited for locks and servers */
	unsigned cpu;	    /* whom functional code runs on */
	const char *
		device; /* device it acts for, such as "nvme0": for findings and for device= of a faults file */
	uint64_t actor; /* number of the request being served, 0 for set-up: who takes what is taken now */

	struct event_queue events;
	event_handler handlers[EVENT_KINDS];
	void *handler_data[EVENT_KINDS];

	struct sim_cpu *cpus;
	unsigned cpu_count; /* possible CPUs, numbered from 0 */
	unsigned cpu_online;

	struct physmem mem;
	uint64_t seed; /* of the run; every consumer of random numbers starts from it: prng_init() */

	uint64_t work[WORK_KINDS];
	uint32_t cost_ps[WORK_KINDS];

	struct findings findings;
	struct sim_observer *observers;

	/* Written by sim/behaviour, read through behaves(). */
	uint8_t behaviour[SIM_BEHAVIOURS_MAX];

	/* Written by sim/fault, read through sim_fault(). */
	uint64_t fault_passes[SIM_FAULTS_MAX];
	bool fault_armed[SIM_FAULTS_MAX];
	struct fault_rules *fault_rules;
	uint32_t fault_action; /* of the pass that failed last: what its rule says, FAULT_NO_ACTION for nothing */

	struct ledger *ledger; /* devtree/device */
};

/** Returns a new simulation with @cpu_count CPUs (1 to SIM_CPUS_MAX), all online, time 0. Free with sim_free(). */
struct sim *sim_new(unsigned cpu_count, uint64_t seed);
void sim_free(struct sim *sim);

/** Makes @handler the one for events of @kind; @data is found in sim->handler_data[@kind]. */
void sim_handle(struct sim *sim, unsigned kind, event_handler handler, void *data);

/** Registers @observer, borrowed until sim_free(); announcements reach observers in the order of registration. */
void sim_observe(struct sim *sim, struct sim_observer *observer);

/** Charges @count units of @kind to the CPU that runs now. */
static inline void sim_charge(struct sim *sim, enum work kind, uint64_t count)
{
	sim->work[kind] += count;
	sim->cursor_ps += count * sim->cost_ps[kind];
}

/** Starts a step on @cpu, not before @at_ns and not before the CPU is free. */
static inline void sim_step_begin(struct sim *sim, unsigned cpu, uint64_t at_ns)
{
	uint64_t start_ns = MAX(at_ns, sim->cpus[cpu].free_at_ns);

	sim->cpu = cpu;
	sim->cursor_ps = start_ns * 1000;
}

/** Returns how far the CPU of this step has come, in ns, rounded up. */
static inline uint64_t sim_cursor_ns(const struct sim *sim)
{
	return (sim->cursor_ps + 999) / 1000;
}

/** Ends a step begun at @begun_ns (what sim_cursor_ns() was then); returns when the CPU is free again. */
static inline uint64_t sim_step_end(struct sim *sim, uint64_t begun_ns)
{
	struct sim_cpu *cpu = &sim->cpus[sim->cpu];

	cpu->free_at_ns = sim_cursor_ns(sim);
	cpu->busy_ns += cpu->free_at_ns - begun_ns;
	return cpu->free_at_ns;
}

/** Moves the CPU of this step to @at_ps, when @lock is its own, and counts the wait. */
void sim_wait(struct sim *sim, struct sim_lock *lock, uint64_t at_ps);

/** Waits, in simulated time, until @server is free, and has it then: hardware that serves one at a time, or a lock. Returns
 *  whether it had to wait. */
static inline bool sim_enter(struct sim *sim, struct sim_lock *server)
{
	uint64_t free_ps;

	server->taken++;
	server->holder_from_ps = sim->cursor_ps;
	if (!server->busy.count || !sim->timed)
		return false;
	free_ps = busy_free_ps(&server->busy, sim->cursor_ps);
	if (free_ps == sim->cursor_ps)
		return false;
	sim_wait(sim, server, free_ps);
	return true;
}

/** The opposite. */
static inline void sim_leave(struct sim *sim, struct sim_lock *server)
{
	server->hold_ps_sum += sim->cursor_ps - server->holder_from_ps;
	if (sim->timed)
		busy_take(&server->busy, server->holder_from_ps, sim->cursor_ps, sim->now_ns * 1000);
}

/** Takes @lock: fetches its cache line, if another CPU had it last, and waits until it is free. Who waited also pays for the
 *  handing over, and holds the lock meanwhile. */
static inline void sim_lock(struct sim *sim, struct sim_lock *lock)
{
	bool elsewhere = lock->cpu != sim->cpu;

	lock->cpu = sim->cpu;
	if (elsewhere)
		sim_charge(sim, WORK_CACHE_LINE, 1);
	if (sim_enter(sim, lock))
		sim_charge(sim, WORK_LOCK_HANDOVER, elsewhere);
}

static inline void sim_unlock(struct sim *sim, struct sim_lock *lock)
{
	sim_leave(sim, lock);
}

/** Handles every event due at or before @until_ns, in order, moving sim->now_ns along; then sets it to @until_ns, unless
 *  that is UINT64_MAX (run until nothing waits). */
void sim_run_until(struct sim *sim, uint64_t until_ns);

#endif
