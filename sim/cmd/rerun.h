/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_RERUN_H
#define SIM_CMD_RERUN_H

/*
 * A run once more: what "replay -o DIR" wrote says how it was made, and a run is the same every time. So what was not
 * written down the first time can be looked for the second time.
 */
#include "sim/cmd/run.h"
#include "sim/report/facts.h"

struct rerun {
	struct run_options options;
	char **traces; /* NULL-ended */
	uint64_t ios, end_ns; /* of the first time */
};

/** Adds what @entries, the options of a replay, were given, as far as DIR/machine.ini does not have it: list "options". */
void rerun_write_options(struct facts *facts, const GOptionEntry *entries);

/** Reads run.json of @dir. @trace: where the trace is now, of which there is one; NULL: where they
 *  were. Returns false with *@error. Free with
 *  rerun_clear() in either case. */
bool rerun_load(struct rerun *rerun, const char *dir, const char *trace, GError **error);
void rerun_clear(struct rerun *rerun);

/** Returns whether @run, of rerun->options and rerun->traces, came out as the first time; else *@error. */
bool rerun_check(const struct rerun *rerun, const struct run *run, GError **error);

#endif
