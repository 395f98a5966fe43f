/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_DIFF_CAUSE_H
#define SIM_CMD_DIFF_CAUSE_H

/*
 * Why two snapshots differ, from what lies beside them: a fault that fired in one run, as its run.json has it, or what
 * the headers say is configured differently. Runs are deterministic: with one thing different, it is the cause.
 */
#include <stdbool.h>

struct diff_cause {
	char *summary; /* "dma.link failure in request 1841" */
	char *whole;   /* the same with CPU and device */
};

struct diff_causes;

/** Looks beside @path_a and @path_b ("-" has nothing beside it). What is not there or cannot be read is no cause. */
struct diff_causes *diff_causes_new(const char *path_a, const char *path_b);
void diff_causes_free(struct diff_causes *causes);

/** Returns the cause of a finding, @fields being as snapshot_diff() reports them; NULL if it is not known. Borrowed. */
const struct diff_cause *diff_causes_of(const struct diff_causes *causes, const char *const *fields);

/** Whether both were written after the machine had been removed: what is there is a leak. */
bool diff_causes_after_removal(const struct diff_causes *causes);

/** Calls @each for every setting that differs: "behaviour.blkdma-rollback: fixed -> old". */
void diff_causes_settings(const struct diff_causes *causes, void (*each)(void *data, const char *text),
			  void *data);

#endif
