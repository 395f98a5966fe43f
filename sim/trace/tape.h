/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_TAPE_H
#define SIM_TRACE_TAPE_H

/*
 * Steps of a trace in memory, to be taken more than once.
 */
#include "sim/trace/trace.h"

struct tape;

struct tape *tape_new(void);
void tape_free(struct tape *tape);

/** Adds a step, as io_transform_next() returned it: IO_ISSUE or IO_COMPLETE. */
void tape_add(struct tape *tape, enum io_step step, const struct io_record *record,
	      const struct io_complete *complete);

/** Returns the next step, as io_transform_next() does; IO_END behind the last. */
enum io_step tape_play(struct tape *tape, const struct io_record **ret_record,
		       struct io_complete *ret_complete);

/** The next step is the first again. */
void tape_rewind(struct tape *tape);

#endif
