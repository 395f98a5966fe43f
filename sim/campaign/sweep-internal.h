/* SPDX-License-Identifier: MIT */
#ifndef SIM_CAMPAIGN_SWEEP_INTERNAL_H
#define SIM_CAMPAIGN_SWEEP_INTERNAL_H

/*
 * What the files of the sweep share.
 *
 *	sweep.c		the pairs, the trunk and its children
 *	sweep-run.c	one run, and what is required of it
 *	sweep-file.c	the results, as they come out
 *
 * Nobody else includes it.
 */
#include "sim/campaign/sweep.h"

/** Data that a device can reach: one granule of it. */
struct sweep_mapping {
	unsigned device;
	unsigned prot;
	uint64_t paddr;
};

/** One run to its end, with the machine removed but not freed. */
struct sweep_outcome {
	struct machine *machine;
	struct replay_stats stats;
	struct replay_part part;
	int probe_error;
	const char *probe_step;
	GArray *live;  /* of struct sweep_mapping, sorted: where the trace ends */
	uint64_t unfreed; /* descriptor blocks and vector tables that the drivers have when all has ended */
	char *trouble; /* the replay could not go on */
};

/** Runs the trace from its beginning, and fills *@ret_outcome; clear with sweep_outcome_clear(). */
void sweep_replay(const struct sweep_options *options, struct sweep_outcome *ret_outcome);
void sweep_outcome_clear(struct sweep_outcome *outcome);

/** Sorts @live, of struct sweep_mapping: so sweep_say_live() wants it. */
void sweep_live_sort(GArray *live);

/** Says in @said what is mapped in @live and not in @reference, both sorted, and, with @fewer, the reverse. Whatever is mapped twice
 *  counts twice. */
void sweep_say_live(GString *said, const GArray *live, const GArray *reference, bool fewer);

/** Returns what is wrong with @outcome, of a run in which a pass of @point failed, by comparison with @reference; NULL:
 *  nothing. Free with g_free(). */
char *sweep_judge(const struct sweep_options *options, const struct sweep_outcome *outcome,
		  const struct sweep_outcome *reference, const struct fault_point *point);

/** Returns what is wrong with @reference itself; NULL: nothing. Free with g_free(). */
char *sweep_judge_unfaulted(const struct sweep_options *options, const struct sweep_outcome *reference);

/** The file of results. */
struct sweep_file {
	char *path;
	GString *head; /* its first lines */
	int fd;	       /* -1: none is written */
};

/** Takes up what options->dir has of the same sweep, into @result, and opens it to go on; a new one begins there otherwise. Does
 *  nothing without a directory. Returns false with *@error. Free with sweep_file_clear(). */
bool sweep_file_open(struct sweep_file *file, const struct sweep_options *options,
		     const struct sweep_outcome *reference, struct sweep_result *result, GError **error);
/** Adds what came out of @pair. */
bool sweep_file_add(const struct sweep_file *file, const struct sweep_options *options,
		    const struct sweep_pair *pair, GError **error);
/** Writes the results once more, sorted: whatever came out first. */
bool sweep_file_finish(const struct sweep_file *file, const struct sweep_options *options,
		       const struct sweep_result *result, GError **error);
void sweep_file_clear(struct sweep_file *file);

#endif
