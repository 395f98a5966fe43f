/* SPDX-License-Identifier: MIT */
#ifndef SIM_CAMPAIGN_SWEEP_H
#define SIM_CAMPAIGN_SWEEP_H

/*
 * The fault sweep: the n-th pass of every fault point fails, for every n, one run each.
 *
 * Set-up and the part of a run before the fault are not repeated. One run, in which nothing is swept, is the trunk; at each pass
 * that is to fail it forks, the child lets the pass fail, goes on to the end of the trace, removes the machine and says what
 * broke. So a pair (point, n) costs a fork and the rest of a run, and a child sees exactly what a run of its own with a rule "nth
 * = n" sees. The trace is held in memory: parent and children read nothing.
 *
 * What is required of a run with a fault, by comparison with one without:
 *	- it comes to its end: every request that the other issued is issued, and ends; the program survives it
 *	- no violation, no request given up, nothing freed or left reachable in part, more than the other found, but for what the
 *	  failing hardware does by itself (struct fault_point)
 *	- nothing is left when the machine is removed: no address, no mapping, no frame
 *	- where memory was short (-ENOMEM), the request is tried again: no more requests end with an error
 *	- where the trace ends, the same data are mapped: (device, physical address, length, permission). What the driver keeps
 *	  for itself is not compared: a shortage may let it do with less
 * Where probing fails, which is an end too, only what concerns findings and what is left is required. Where other rules let other
 * passes fail, these are others as soon as one more fails: then requests that fail or are given up, and data that are mapped, are not
 * compared.
 */
#include "sim/machine/replay.h"

struct sweep_options {
	const struct machine_config *config;
	unsigned cpus;
	struct io_transform *trace;   /* held */
	struct replay_options replay; /* mode, limit, depth */
	struct fault_rules *rules;    /* what else fails meanwhile, in all runs; not NULL, without a watch */
	bool others_fail;	      /* there are such rules */
	const char *points;	      /* a glob */
	uint64_t max;		      /* passes of a point at most, evenly spread; 0: all */
	unsigned jobs;		      /* children at once, 1 to SWEEP_JOBS_MAX */
	const char *dir;	      /* results go here, and are taken up from here; NULL: nowhere */
	const char *identity;	      /* of what is swept, in words: other results in @dir are refused */
	/** Called after each pair; may be NULL. @done counts those that were taken up, too. */
	void (*progress)(void *data, uint64_t done, uint64_t taken_up, uint64_t total);
	void *progress_data;
};

#define SWEEP_JOBS_MAX	1024
#define SWEEP_PAIRS_MAX 10000000

struct sweep_pair {
	unsigned point;
	uint64_t pass;
	bool done;
	char *broke; /* what did, on one line; NULL: nothing */
};

struct sweep_result {
	uint64_t passes[SIM_FAULTS_MAX]; /* of all points, in a run without a swept fault */
	GArray *pairs;			 /* of struct sweep_pair, by point and pass */
	uint64_t broken;		 /* of these */
	uint64_t taken_up;		 /* of these, not run again */
	char *unfaulted;		 /* what is wrong without a fault already; NULL: nothing */
};

/** Sweeps. Returns false with *@error: then what came out so far stands in the directory, and the same call goes on with it.
 *  Free what *@ret_result holds with sweep_result_clear() in either case. */
bool sweep_run(const struct sweep_options *options, struct sweep_result *ret_result, GError **error);
void sweep_result_clear(struct sweep_result *result);

#endif
