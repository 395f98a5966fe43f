/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_PROGRESS_H
#define SIM_CMD_PROGRESS_H

/*
 * How far a command has read its trace, on one line of stderr.
 */
#include <glib.h>

#include "sim/trace/transform.h"

#define PROGRESS_STEPS 4096 /* of a trace: so often is often enough to look at the clock */

struct progress {
	struct io_transform *trace;
	gint64 begun_us, next_us;
};

/** Shows that @ios requests were dealt with, a few times a second: call it as often as you like. */
void progress_show(struct progress *progress, uint64_t ios);

/** Takes the line away. */
void progress_clear(void);

#endif
