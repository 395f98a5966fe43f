/* SPDX-License-Identifier: MIT */
#include "sim/cmd/run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/cmd/progress.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/output.h"

GOptionEntry *run_option_entries(struct run_options *options, bool outputs)
{
	const GOptionEntry entries[] = {
		{"machine", 'c', 0, G_OPTION_ARG_FILENAME, &options->machine_file, "the machine file",
		 "MACHINE.ini"},
		{"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->sets,
		 "override one key of the machine file", "GROUP.KEY=VALUE"},
		{"faults", 'f', 0, G_OPTION_ARG_FILENAME, &options->faults_file, "the faults file",
		 "FAULTS.ini"},
		{"fail", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->fails,
		 "let the N-th pass of a fault point fail: asked before the faults file", "POINT:N"},
		{"dtb", 0, 0, G_OPTION_ARG_FILENAME, &options->dtb, "the machine is the board of this device tree",
		 "BOARD.dtb"},
		{"nvme", 0, 0, G_OPTION_ARG_FILENAME, &options->nvme,
		 "which device of the board the controller is: a host bridge or a device with iommus (default: first)",
		 "PATH|first"},
		{"mode", 0, 0, G_OPTION_ARG_FILENAME, &options->mode, "when requests arrive and complete",
		 "open|closed|asap"},
		{"no-stall", 0, 0, G_OPTION_ARG_NONE, &options->no_stall, "the same as --mode=closed", NULL},
		{"depth", 0, 0, G_OPTION_ARG_FILENAME, &options->depth,
		 "at most N requests in flight (open, closed): the trace waits", "N"},
		{"limit", 0, 0, G_OPTION_ARG_FILENAME, &options->limit, "stop after N requests", "N"},
		{"seed", 0, 0, G_OPTION_ARG_FILENAME, &options->seed, "the run's seed (machine.seed)", "N"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	const GOptionEntry more[] = {
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &options->dir,
		 "write all results into this directory", "DIR"},
		{"order", 0, 0, G_OPTION_ARG_FILENAME, &options->order,
		 "make the calls in the order of another run, without time: see --save-order", "FILE"},
		{"save-order", 0, 0, G_OPTION_ARG_FILENAME, &options->save_order,
		 "write down in which order the run makes its calls", "FILE"},
		{"snapshot-at", 0, 0, G_OPTION_ARG_FILENAME, &options->snapshot_at,
		 "snapshots at these times or after so many requests", "T|#N,..."},
		{"snapshot-every", 0, 0, G_OPTION_ARG_FILENAME, &options->snapshot_every,
		 "a snapshot each time this passes", "T|#N"},
		{"perfetto", 0, 0, G_OPTION_ARG_FILENAME, &options->perfetto,
		 "write what happened when, for ui.perfetto.dev and chrome://tracing (open, closed)", "FILE"},
		{"perfetto-limit", 0, 0, G_OPTION_ARG_FILENAME, &options->perfetto_limit,
		 "at most N events in that file (default: 1000000)", "N"},
		{"warmup", 0, 0, G_OPTION_ARG_FILENAME, &options->warmup,
		 "leave out of the results what comes before this time, or before so many requests", "T|#N"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	GOptionEntry *all =
		g_new0(GOptionEntry, TRACEOPT_ENTRIES + G_N_ELEMENTS(entries) + G_N_ELEMENTS(more));

	traceopt_entries(&options->trace, all);
	memcpy(all + TRACEOPT_ENTRIES, entries, sizeof(entries));
	if (outputs)
		memcpy(all + TRACEOPT_ENTRIES + G_N_ELEMENTS(entries) - 1, more, sizeof(more));
	return all;
}

void run_options_clear(struct run_options *options)
{
	g_free(options->machine_file);
	g_strfreev(options->sets);
	g_free(options->faults_file);
	g_strfreev(options->fails);
	g_free(options->dtb);
	g_free(options->nvme);
	traceopt_clear(&options->trace);
	g_free(options->mode);
	g_free(options->depth);
	g_free(options->limit);
	g_free(options->seed);
	g_free(options->dir);
	g_free(options->snapshot_at);
	g_free(options->snapshot_every);
	g_free(options->perfetto);
	g_free(options->perfetto_limit);
	g_free(options->warmup);
	g_free(options->order);
	g_free(options->save_order);
}

/** Reads the device tree, where one is given. */
static bool run_read_board(const struct run_options *options, struct machine_config *config,
			   struct machine_board **board, GError **error)
{
	if (options->nvme && !options->dtb)
		return sim_error_plain(error, "--nvme names a device of a board: give --dtb as well") == 0;
	if (!options->dtb)
		return true;
	*board = machine_board_load(options->dtb, options->nvme, error);
	return *board && machine_config_set_board(config, *board, error);
}

/** Adds the rule that one --fail=POINT:N is. */
static bool run_add_fail(struct fault_rules *rules, const char *fail, GError **error)
{
	const char *colon = strrchr(fail, ':');
	g_autofree char *glob = colon ? g_strndup(fail, (gsize)(colon - fail)) : NULL;
	uint64_t nth;

	if (!colon || !text_parse_u64(colon + 1, &nth) || !nth)
		return sim_error_plain(error, "--fail=%s: must be POINT:N, N a count from 1, such as dma.link:40", fail) == 0;
	if (!fault_rules_add_nth(rules, glob, nth, 0))
		return sim_error_plain(error,
				       "--fail=%s: no fault point is called \"%s\"; see \"iommusim faults points\"",
				       fail, glob) == 0;
	return true;
}

static bool run_read_rules(const struct run_options *options, struct fault_rules **rules, GError **error)
{
	if (!options->faults_file && !options->fails)
		return true;
	*rules = fault_rules_new(machine_fault_tables);
	for (char **fail = options->fails; fail && *fail; fail++)
		if (!run_add_fail(*rules, *fail, error))
			return false;
	return !options->faults_file || fault_rules_load(*rules, options->faults_file, error);
}

bool run_read_config(const struct run_options *options, struct machine_config *config,
		     struct machine_board **board, struct fault_rules **rules, GError **error)
{
	machine_config_init(config);
	if (options->machine_file && !machine_config_load(config, options->machine_file, error))
		return false;
	for (char **set = options->sets; set && *set; set++)
		if (!machine_config_set(config, *set, error))
			return false;
	if (options->seed && !text_parse_u64(options->seed, &config->seed))
		return sim_error_plain(error, "--seed=%s: must be a number", options->seed) == 0;
	if (!run_read_board(options, config, board, error) || !machine_config_check(config, error))
		return false;
	return run_read_rules(options, rules, error);
}

void run_warn_idle_rules(const struct fault_rules *rules)
{
	const char *name;
	uint64_t passes, fired;

	if (!rules)
		return;
	for (unsigned i = 0; fault_rule_stat(rules, i, &name, &passes, &fired); i++) {
		uint64_t left_out = fault_rule_left_out(rules, i);

		if (fired)
			continue;
		fprintf(stderr, "iommusim: warning: [fault %s] never fired in %" G_GUINT64_FORMAT " passes",
			name, passes);
		if (left_out)
			fprintf(stderr, " (its filters left out %" G_GUINT64_FORMAT ")", left_out);
		fputc('\n', stderr);
	}
}

void run_warn_warmup(const struct run *run)
{
	if ((run->replay.warmup_ns || run->replay.warmup_count) && !run->probe_error && !run->stats->warmed_up)
		fprintf(stderr, "iommusim: warning: the run was over before its warm-up: nothing is left out\n");
}

static int run_compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool run_parse_point(const char *text, const char *option, uint64_t *ret_value, bool *ret_count,
			    GError **error)
{
	*ret_count = text[0] == '#';
	if ((*ret_count ? text_parse_u64(text + 1, ret_value) : text_parse_time(text, ret_value)) &&
	    *ret_value)
		return true;
	return sim_error_plain(error, "--%s: \"%s\" must be a time such as 5ms, or #N for after N requests",
			       option, text) == 0;
}

static bool run_parse_snapshots(struct run *run, const struct run_options *options, GError **error)
{
	g_auto(GStrv) points = g_strsplit(options->snapshot_at ? options->snapshot_at : "", ",", -1);
	unsigned count = g_strv_length(points), times = 0, counts = 0;
	uint64_t value;
	bool is_count;

	if ((options->snapshot_at || options->snapshot_every) && !options->dir)
		return sim_error_plain(error, "snapshots need -o DIR to be written to") == 0;
	if (count > REPLAY_SNAPSHOTS_MAX)
		return sim_error_plain(error, "--snapshot-at: more than %d snapshots",
				       REPLAY_SNAPSHOTS_MAX) == 0;
	run->snap_ns = g_new(uint64_t, count + 1);
	run->snap_count = g_new(uint64_t, count + 1);
	for (unsigned i = 0; i < count; i++) {
		if (!run_parse_point(points[i], "snapshot-at", &value, &is_count, error))
			return false;
		if (is_count)
			run->snap_count[counts++] = value;
		else
			run->snap_ns[times++] = value;
	}
	qsort(run->snap_ns, times, sizeof(uint64_t), run_compare_u64);
	qsort(run->snap_count, counts, sizeof(uint64_t), run_compare_u64);
	run->snap_ns[times] = run->snap_count[counts] = UINT64_MAX;
	run->replay.snap_ns = run->snap_ns;
	run->replay.snap_count = run->snap_count;
	if (!options->snapshot_every)
		return true;
	if (!run_parse_point(options->snapshot_every, "snapshot-every", &value, &is_count, error))
		return false;
	if (is_count)
		run->replay.snap_every_count = value;
	else
		run->replay.snap_every_ns = value;
	return true;
}

static bool run_parse_warmup(struct run *run, const struct run_options *options, GError **error)
{
	uint64_t value;
	bool is_count;

	if (!options->warmup)
		return true;
	if (run->replay.mode == REPLAY_ASAP)
		return sim_error_plain(error, "--warmup: with --mode=asap nothing is measured") == 0;
	if (!run_parse_point(options->warmup, "warmup", &value, &is_count, error))
		return false;
	if (is_count)
		run->replay.warmup_count = value;
	else
		run->replay.warmup_ns = value;
	return true;
}

static bool run_parse_replay(struct run *run, const struct run_options *options, GError **error)
{
	const char *mode = options->mode ? options->mode : options->no_stall ? "closed" : "open";
	unsigned i;

	for (i = 0; replay_mode_names[i] && strcmp(replay_mode_names[i], mode) != 0; i++)
		;
	if (!replay_mode_names[i])
		return sim_error_plain(error, "--mode=%s: must be open, closed or asap", mode) == 0;
	run->replay.mode = (enum replay_mode)i;
	if (options->no_stall && run->replay.mode != REPLAY_CLOSED)
		return sim_error_plain(error, "--no-stall is --mode=closed, not --mode=%s", mode) == 0;
	if (options->depth && (!text_parse_u64(options->depth, &run->replay.depth) || !run->replay.depth))
		return sim_error_plain(error, "--depth=%s: must be a count from 1", options->depth) == 0;
	if (options->depth && run->replay.mode == REPLAY_ASAP)
		return sim_error_plain(error, "--depth: with --mode=asap the trace says what is in flight") == 0;
	if (options->limit && (!text_parse_u64(options->limit, &run->replay.limit) || !run->replay.limit))
		return sim_error_plain(error, "--limit=%s: must be a count from 1", options->limit) == 0;
	run->replay.dir = options->dir;
	run->replay.order = options->order;
	run->replay.save_order = options->save_order;
	if (options->order && (options->save_order || options->snapshot_at || options->snapshot_every || options->warmup))
		return sim_error_plain(error, "--order: there is no time in such a run, so no --save-order, --warmup or "
					      "snapshots on the way") == 0;
	return run_parse_warmup(run, options, error) && run_parse_snapshots(run, options, error);
}

/** Returns how many CPUs the trace names, 0 with *@error. Most recordings say so at their start; others are read once for
 *  it. */
static unsigned run_trace_cpus(struct io_transform *trace, const char *name, const struct trace_options *options,
			       GError **error)
{
	uint32_t cpus = io_stream_cpus(io_transform_stream(trace));
	struct io_stream *scan;
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	if (cpus)
		return cpus;
	if (!trace_can_read_twice(name)) {
		sim_error_plain(error, "%s: does not say how many CPUs it has: give --set machine.cpus=N", name);
		return 0;
	}
	scan = io_stream_open_options(name, options, error);
	if (!scan)
		return 0;
	while ((step = io_stream_next(scan, &record, &complete, error)) > 0)
		;
	if (step == IO_END)
		cpus = MAX(io_stream_stats(scan)->cpus, io_stream_cpus(scan));
	io_stream_close(scan);
	return cpus;
}

/** Opens the traces. */
static bool run_open_traces(struct run *run, char **traces, const struct trace_options *reading, GError **error)
{
	unsigned pipes = 0;

	run->names = traces;
	for (char **name = traces; *name; name++)
		pipes += strcmp(*name, "-") == 0;
	if (pipes > 1)
		return sim_error_plain(error, "-: only one trace can be standard input") == 0;
	if (g_strv_length(traces) > MACHINE_CONTROLLERS_MAX)
		return sim_error_plain(error, "more than %d traces", MACHINE_CONTROLLERS_MAX) == 0;
	if (traces[1] && run->board)
		return sim_error_plain(error, "--dtb: the board has one NVMe controller: give one trace") == 0;
	for (; traces[run->count]; run->count++) {
		run->traces[run->count] = io_transform_open(traces[run->count], reading, error);
		if (!run->traces[run->count])
			return false;
	}
	return true;
}

/** Returns how many CPUs the machine has: as the machine file says, else as many as any of the traces names. 0 with *@error. */
static unsigned run_cpus(struct run *run, const struct trace_options *reading, GError **error)
{
	unsigned most = (unsigned)run->config.cpus;

	for (unsigned i = 0; i < run->count && !run->config.cpus; i++) {
		unsigned cpus = run_trace_cpus(run->traces[i], run->names[i], reading, error);

		if (!cpus)
			return 0;
		most = MAX(most, cpus);
	}
	return most;
}

/** nvme.service = recorded: opens the traces once more, to be read ahead. */
static bool run_open_recordings(struct run *run, const struct run_options *options, GError **error)
{
	struct trace_options reading;

	if (run->config.service != SERVICE_RECORDED || run->replay.mode == REPLAY_ASAP)
		return true;
	if (!traceopt_parse(&options->trace, &reading, error))
		return false;
	reading.part.scale_millionths = 0; /* the device is as fast as it was */
	for (unsigned i = 0; i < run->count; i++) {
		if (!trace_can_read_twice(run->names[i]))
			return sim_error_plain(error,
					       "%s: nvme.service = recorded reads a trace twice, which this cannot be",
					       run->names[i]) == 0;
		run->recordings[i] = io_transform_open(run->names[i], &reading, error);
		if (!run->recordings[i])
			return false;
	}
	run->replay.recordings = run->recordings;
	return true;
}

/** Starts the file of trace events, if one is asked for. */
static bool run_open_perfetto(struct run *run, const struct run_options *options, GError **error)
{
	uint64_t limit = PERFETTO_LIMIT;

	if (options->perfetto_limit && !options->perfetto)
		return sim_error_plain(error, "--perfetto-limit is of a file: give --perfetto as well") == 0;
	if (!options->perfetto)
		return true;
	if (run->replay.mode == REPLAY_ASAP)
		return sim_error_plain(error, "--perfetto: with --mode=asap nothing takes time: give open or closed") == 0;
	if (strcmp(options->perfetto, "-") == 0)
		return sim_error_plain(error, "--perfetto=-: standard output has the report: give a file") == 0;
	if (options->perfetto_limit && (!text_parse_u64(options->perfetto_limit, &limit) || !limit))
		return sim_error_plain(error, "--perfetto-limit=%s: must be a count from 1",
				       options->perfetto_limit) == 0;
	run->perfetto_limit = limit;
	run->perfetto = perfetto_new(options->perfetto, limit, error);
	return run->perfetto != NULL;
}

static void run_show_progress(void *data, uint64_t issued)
{
	progress_show(data, issued);
}

/** Removes the machine and, with an output directory, writes what is left. */
static bool run_teardown(struct run *run, GError **error)
{
	g_autofree char *end = NULL, *teardown = NULL;

	if (run->replay.dir) {
		end = g_build_filename(run->replay.dir, "end.snap", NULL);
		teardown = g_build_filename(run->replay.dir, "teardown.snap", NULL);
	}
	/* A machine that could not be probed has no replay that would have written these. */
	if (end && run->probe_error &&
	    (!machine_snapshot(run->machine, end, NULL, error) ||
	     !output_write_text(run->replay.dir, "timeline.csv", REPLAY_TIMELINE_HEADER, error)))
		return false;
	machine_remove(run->machine);
	return !teardown || machine_snapshot_left(run->machine, teardown, error);
}

bool run_open(struct run *run, const struct run_options *options, char **traces, GError **error)
{
	struct trace_options reading;

	memset(run, 0, sizeof(*run));
	run->stats = g_new0(struct replay_stats, 1);
	if (!traceopt_parse(&options->trace, &reading, error) ||
	    !run_read_config(options, &run->config, &run->board, &run->rules, error) ||
	    !run_parse_replay(run, options, error))
		return false;
	run->options = trace_part_text(&reading.part);
	if (!run_open_traces(run, traces, &reading, error))
		return false;
	run->cpus = run_cpus(run, &reading, error);
	return run->cpus != 0;
}

bool run_execute(struct run *run, const struct run_options *options, char **traces, bool progress,
		 GError **error)
{
	struct progress state = {.begun_us = g_get_monotonic_time()};
	bool ok = true;

	if (!run_open(run, options, traces, error) || !run_open_recordings(run, options, error) ||
	    !run_open_perfetto(run, options, error))
		return false;
	if (options->dir && g_mkdir_with_parents(options->dir, 0777) != 0)
		return sim_error_plain(error, "%s: %s", options->dir, g_strerror(errno)) == 0;
	if (progress) {
		state.trace = run->traces[0]; /* they are read side by side */
		run->replay.progress = run_show_progress;
		run->replay.progress_data = &state;
	}
	run->machine = machine_new(&run->config, run->cpus, run->rules);
	for (unsigned i = 1; i < run->count; i++)
		machine_add(run->machine);
	if (run->perfetto)
		perfetto_observe(run->perfetto, run->machine->sim);
	if (options->watch)
		options->watch->begins(options->watch->data, run->machine);
	run->probe_error = machine_probe(run->machine, run->replay.mode != REPLAY_ASAP, &run->probe_step);
	for (struct machine *machine = run->machine; machine && !run->probe_error; machine = machine->next)
		if (machine->nvme->queue_count < 2) {
			run->probe_error = -ENOMEM;
			run->probe_step = "NVMe I/O queues";
		}
	/* A fault may do that; without one the machine is of no use. */
	if (run->probe_error && !run->rules)
		return sim_error_plain(error, "the machine cannot be probed: %s: %s", run->probe_step,
				       fault_errno_name(run->probe_error)) == 0;
	if (!run->probe_error)
		ok = replay_run(run->machine, run->traces, &run->replay, run->stats, run->parts, error);
	if (ok && options->watch)
		options->watch->ends(options->watch->data, run->machine);
	if (ok)
		ok = run_teardown(run, error);
	if (ok && run->perfetto)
		ok = perfetto_commit(run->perfetto, &run->perfetto_left, error);
	if (progress)
		progress_clear();
	run->elapsed_s = (double)(g_get_monotonic_time() - state.begun_us) / 1e6;
	return ok;
}

void run_clear(struct run *run)
{
	machine_free(run->machine);
	perfetto_free(run->perfetto);
	for (unsigned i = 0; i < MACHINE_CONTROLLERS_MAX; i++) {
		io_transform_close(run->traces[i]);
		io_transform_close(run->recordings[i]);
		replay_part_clear(&run->parts[i]);
	}
	g_free(run->options);
	machine_board_free(run->board);
	fault_rules_free(run->rules);
	g_free(run->snap_ns);
	g_free(run->snap_count);
	g_free(run->stats);
}
