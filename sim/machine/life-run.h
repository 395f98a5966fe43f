/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_LIFE_RUN_H
#define SIM_MACHINE_LIFE_RUN_H

/*
 * Lives as a run tells them: an observer of a machine that writes what it hears into books (sim/trace/life.h). Beside
 * what a recording has it hears the device's accesses and faults, and where the allocator keeps what was freed.
 *
 * Times are those of the simulation.
 */
#include "sim/machine/machine.h"
#include "sim/trace/life.h"

struct life_run {
	struct sim_observer observer;
	struct machine *machine;
	GPtrArray *books;		  /* of struct life_book, borrowed */
	struct life_request request;	  /* the one that was prepared last */
	const char *source;		  /* where the allocator took the last range from */
	uint64_t tree_allocs, depot_pops; /* of the allocator, when last looked at */
	unsigned links;			  /* of the request's segments */
	GPtrArray *mapped;		  /* lives that were mapped in the call that has not returned */
};

/** Starts hearing @machine, which is not probed yet, for as long as it lives. */
void life_run_init(struct life_run *run, struct machine *machine, GPtrArray *books);
/** Notes where the allocator keeps what is free now: before the machine is removed. */
void life_run_end(struct life_run *run);
/** After machine_free(). */
void life_run_finish(struct life_run *run);

#endif
