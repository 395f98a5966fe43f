/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_RUN_H
#define SIM_CMD_RUN_H

/*
 * What commands that replay a trace share: their options, and the run from an opened trace to a removed machine.
 */
#include "sim/cmd/cmd.h"
#include "sim/cmd/report.h"
#include "sim/cmd/traceopt.h"
#include "sim/report/perfetto.h"
#include "sim/trace/transform.h"

/** Somebody who looks on. */
struct run_watch {
	void (*begins)(void *data, struct machine *machine); /* it is made, and not probed yet */
	void (*ends)(void *data, struct machine *machine);   /* it is about to be removed */
	void *data;
};

struct run_options {
	char *machine_file;
	char **sets;
	char *faults_file;
	char **fails;
	char *dtb;
	char *nvme;
	struct traceopt trace;
	char *mode;
	gboolean no_stall;
	char *depth;
	char *limit;
	char *seed;
	char *dir;
	char *snapshot_at;
	char *snapshot_every;
	char *perfetto, *perfetto_limit;
	char *warmup;
	char *order, *save_order;
	const struct run_watch *watch; /* borrowed; NULL: nobody. No option */
};

/** The options for GOption, written to @options; NULL-ended, free with g_free(). @outputs: with -o and snapshots. */
GOptionEntry *run_option_entries(struct run_options *options, bool outputs);
void run_options_clear(struct run_options *options);

/** Reads the machine, with a device tree the board into *@board, and with a faults file its rules into *@rules. Both are NULL
 *  before; free them in either case. */
bool run_read_config(const struct run_options *options, struct machine_config *config,
		     struct machine_board **board, struct fault_rules **rules, GError **error);

/** Warns of rules that never fired: most often a wrong nth. @rules may be NULL. */
void run_warn_idle_rules(const struct fault_rules *rules);

struct run;

/** Warns of a warm-up that was longer than the run. */
void run_warn_warmup(const struct run *run);

/** A finished run. */
struct run {
	struct machine_config config;
	struct machine_board *board;
	struct fault_rules *rules;
	char **names;	     /* of the traces, as the user has them; borrowed, NULL-ended */
	unsigned count;	     /* of them, and of what follows */
	struct io_transform *traces[MACHINE_CONTROLLERS_MAX];
	struct io_transform *recordings[MACHINE_CONTROLLERS_MAX]; /* nvme.service = recorded: the same once more */
	struct replay_part parts[MACHINE_CONTROLLERS_MAX];
	unsigned cpus; /* of the machine */
	char *options; /* which part of the traces, as options */
	struct machine *machine;
	struct replay_options replay;
	struct replay_stats *stats;
	uint64_t *snap_ns, *snap_count;
	struct perfetto *perfetto; /* NULL: not asked for */
	uint64_t perfetto_limit;
	struct perfetto_left perfetto_left;
	int probe_error;
	const char *probe_step;
	double elapsed_s;
};

/** Reads what @options say and opens @traces, NULL-ended and not empty: fills config, board, rules, names, count, traces, options,
 *  cpus and replay of @run. Returns false with *@error. Free with run_clear() in any case. */
bool run_open(struct run *run, const struct run_options *options, char **traces, GError **error);

/** Replays @traces, NULL-ended and not empty, each on a controller of its own, as @options say and removes the machine. Returns false with *@error. Free with run_clear() in any case. */
bool run_execute(struct run *run, const struct run_options *options, char **traces, bool progress,
		 GError **error);
void run_clear(struct run *run);

#endif
