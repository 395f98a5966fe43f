/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_REPORT_H
#define SIM_CMD_REPORT_H

/*
 * A run as facts: what was replayed, what the machine did, what was found.
 */
#include "sim/machine/replay.h"
#include "sim/report/facts.h"

struct run_report {
	char **names; /* of the traces, as the user named them */
	struct io_transform *const *traces;
	const struct replay_part *parts;
	unsigned count;	     /* of these three */
	const char *reading; /* which part of the traces, as options; "": all */
	const struct machine *machine;
	const struct replay_options *options;
	const struct replay_stats *stats;
	const struct fault_rules *rules; /* NULL: no faults file */
	int probe_error;		 /* 0, or why the machine could not be probed … */
	const char *probe_step;		 /* … and where */
};

/** Adds the run to @facts. The counts of the machine must be taken before it is removed: call with the machine probed, or
 *  after machine_remove(), whose findings are then in. */
void report_run(struct facts *facts, const struct run_report *run);

/** Adds which part of a trace is meant, and how it is played: @part as trace_part_text() has it; and how far its rounds are
 *  apart. Nothing where it is the whole. */
void report_part(struct facts *facts, const char *part, uint64_t shift_bytes);

/** Adds what the reader says about the recording. */
void report_recording(struct facts *facts, struct io_stream *stream);

/** Adds the violations among @findings, or the observations: how many, and those that were kept as list @key. */
void report_findings(struct facts *facts, const struct findings *findings, gboolean violations, const char *key,
		     const char *label);

#endif
