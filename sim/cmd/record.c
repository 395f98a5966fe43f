/* SPDX-License-Identifier: MIT */
/*
 * iommusim trace record: what a trace needs is found in a first reading, before anything is issued; the second one issues.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/cmd/progress.h"
#include "sim/cmd/traceopt.h"
#include "sim/core/error.h"
#include "sim/core/histogram.h"
#include "sim/core/text.h"
#include "sim/host/recorder.h"
#include "sim/report/facts.h"
#include "sim/trace/writer.h"

struct record {
	char *device, *mode, *depth_text, *output_path;
	gboolean allow_writes, no_wrap;

	struct recorder_config config;
	uint64_t depth; /* 0: as recorded */

	/* What the first reading found. */
	uint64_t requests; /* that are taken, and of these: */
	uint64_t depth_max, bytes_max;
	uint64_t writes; /* that are not, as they would change the device */

	struct io_transform *trace;
	struct recorder *recorder;
	struct output *output;	     /* NULL: none is written */
	struct trace_writer *writer; /* the same */
	struct progress progress;
	bool shows_progress, interrupted;
	sigset_t signals;
	struct histogram latencies[IO_OPS];
	uint64_t errors[IO_OPS];
	uint64_t latency_min_ns[IO_OPS];
};

/* ---- what the trace needs ---- */

static bool record_scan_issue(struct record *record, const struct io_record *request, const char *path,
			      GError **error)
{
	bool has_data = request->op == IO_READ || request->op == IO_WRITE;

	record->requests++;
	if (!has_data)
		return true;
	record->bytes_max = MAX(record->bytes_max, recorder_bytes(record->config.target, request));
	if (record->bytes_max <= RING_BYTES_MAX)
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT " is of %" G_GUINT64_FORMAT
			       " bytes: at most %" G_GUINT64_FORMAT " are issued at once",
			       path, request->number, request->bytes, RING_BYTES_MAX) == 0;
}

/** Reads all of @trace for what is to be prepared. */
static bool record_scan_steps(struct record *record, struct io_transform *trace, const char *path,
			      GError **error)
{
	const struct io_record *request;
	struct io_complete complete;
	uint64_t depth = 0;
	enum io_step step;

	while ((step = io_transform_next(trace, &request, &complete, error)) > 0) {
		if (!recorder_takes(&record->config, request->op)) {
			record->writes += step == IO_ISSUE && request->op != IO_PASSTHROUGH;
			continue;
		}
		depth = step == IO_ISSUE ? depth + 1 : depth - 1;
		record->depth_max = MAX(record->depth_max, depth);
		if (step == IO_ISSUE && !record_scan_issue(record, request, path, error))
			return false;
	}
	return step == IO_END;
}

static bool record_scan(struct record *record, const char *path, const struct trace_options *reading,
			GError **error)
{
	struct trace_options once = *reading;
	struct io_transform *trace;
	bool ok;

	if (!trace_can_read_twice(path))
		return sim_error_plain(error, "%s: is read twice, so it must be a file, not a pipe", path) ==
		       0;
	once.part.repeat = 0;
	once.part.has_shift = false;
	trace = io_transform_open(path, &once, error);
	if (!trace)
		return false;
	ok = record_scan_steps(record, trace, path, error);
	io_transform_close(trace);
	if (!ok)
		return false;
	record->writes *= MAX(reading->part.repeat, 1); /* one round was read */
	if (record->requests)
		return true;
	return sim_error_plain(
		       error, "%s: has no request that could be issued%s", path,
		       record->writes
			       ? ": all would destroy what is on the device, which --allow-writes lets them"
			       : "") == 0;
}

/* ---- the real thing ---- */

static bool record_go_on(void *data)
{
	struct record *record = data;
	sigset_t pending;

	if (record->shows_progress)
		progress_show(&record->progress, recorder_stats(record->recorder)->ended);
	sigpending(&pending);
	if (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM))
		record->interrupted = true;
	return !record->interrupted;
}

static void record_issued(void *data, const struct io_record *request)
{
	struct record *record = data;

	if (record->writer)
		trace_writer_step(record->writer, IO_ISSUE, request, NULL);
}

static void record_ended(void *data, const struct io_record *request, const struct io_complete *complete,
			 uint64_t latency_ns)
{
	struct record *record = data;
	uint64_t *min_ns = &record->latency_min_ns[request->op];

	if (record->writer)
		trace_writer_step(record->writer, IO_COMPLETE, request, complete);
	if (complete->error) {
		record->errors[request->op]++;
		return;
	}
	*min_ns = record->latencies[request->op].count ? MIN(*min_ns, latency_ns) : latency_ns;
	histogram_add(&record->latencies[request->op], latency_ns);
}

static bool record_steps(struct record *record, GError **error)
{
	const struct io_record *request;
	struct io_complete complete;
	uint64_t depth = 0; /* of the recording, at this place */
	enum io_step step = IO_END;

	while (!record->interrupted &&
	       (step = io_transform_next(record->trace, &request, &complete, error)) > 0) {
		if (record->writer)
			record->writer->stream =
				io_transform_stream(record->trace); /* another in each round */
		if (recorder_takes(&record->config, request->op))
			depth = step == IO_ISSUE ? depth + 1 : depth - 1;
		if (step == IO_ISSUE &&
		    !recorder_issue(
			    record->recorder, request,
			    (unsigned)MIN(record->depth ? record->depth : MAX(depth, 1), RING_SLOTS_MAX),
			    error))
			return false;
	}
	return step != IO_TROUBLE && recorder_drain(record->recorder, error);
}

/** Nothing of the trace is written where it was interrupted too early: such a file would be none. */
static bool record_finish(struct record *record, GError **error)
{
	struct output *output = g_steal_pointer(&record->output);

	if (!recorder_stats(record->recorder)->issued) {
		output_abandon(output);
		return sim_error_plain(error, "interrupted before the first request") == 0;
	}
	if (!output)
		return true;
	trace_writer_finish(record->writer, io_transform_stats(record->trace));
	return output_commit(output, error);
}

/** From here on Ctrl-C ends the recording, not the program: it is seen by record_go_on(). */
static void record_hold_signals(struct record *record)
{
	sigemptyset(&record->signals);
	sigaddset(&record->signals, SIGINT);
	sigaddset(&record->signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &record->signals, NULL);
}

static void record_warn(const struct record *record)
{
	const struct target *target = record->config.target;

	if (record->writes)
		fprintf(stderr,
			"iommusim: %" G_GUINT64_FORMAT
			" requests are left out: they would destroy what is on %s "
			"(--allow-writes issues them)\n",
			record->writes, target->path);
	if (!target->direct)
		fprintf(stderr,
			"iommusim: %s: its file system refuses direct I/O (O_DIRECT): the page cache is "
			"measured, "
			"not a device\n",
			target->path);
	if (target->has_holes)
		fprintf(stderr, "iommusim: %s: has holes: reading those asks no device\n", target->path);
	if (!record->depth && record->depth_max > RING_SLOTS_MAX)
		fprintf(stderr,
			"iommusim: the trace has up to %" G_GUINT64_FORMAT
			" requests in flight, %u are issued at once\n",
			record->depth_max, RING_SLOTS_MAX);
}

static bool record_run(struct record *record, const char *path, const struct trace_options *reading,
		       GError **error)
{
	bool ok;

	record->trace = io_transform_open(path, reading, error);
	if (!record->trace)
		return false;
	record->config.slots =
		(unsigned)CLAMP(record->depth ? record->depth : record->depth_max, 1, RING_SLOTS_MAX);
	record->config.bytes_max = record->bytes_max;
	record->recorder = recorder_new(&record->config, error);
	if (!record->recorder)
		return false;
	if (record->output_path) {
		record->output = output_new(record->output_path, error);
		if (!record->output)
			return false;
		record->writer = trace_writer_new(&trace_iot_writer, io_transform_stream(record->trace),
						  record->output);
	}
	record_warn(record);
	record_hold_signals(record);
	record->progress = (struct progress){.trace = record->trace, .begun_us = g_get_monotonic_time()};
	ok = record_steps(record, error);
	if (record->shows_progress)
		progress_clear();
	if (ok)
		return record_finish(record, error);
	output_abandon(g_steal_pointer(&record->output));
	return false;
}

/* ---- what came of it ---- */

static void record_show_latencies(struct facts *facts, const struct record *record, enum io_op op)
{
	const struct histogram *histogram = &record->latencies[op];

	facts_begin(facts, NULL, io_op_names[op]);
	facts_text(facts, "op", NULL, io_op_names[op]);
	facts_u64(facts, "count", "count", histogram->count);
	facts_u64(facts, "errors", record->errors[op] ? "errors, not in these" : NULL, record->errors[op]);
	facts_time(facts, "latency_min_ns", "least", record->latency_min_ns[op]);
	facts_time(facts, "latency_mean_ns", "mean",
		   histogram->count ? histogram->sum_ns / histogram->count : 0);
	facts_time(facts, "latency_p50_ns", "half within", histogram_percentile(histogram, 500));
	facts_time(facts, "latency_p99_ns", "99 % within", histogram_percentile(histogram, 990));
	facts_time(facts, "latency_p999_ns", "99.9 % within", histogram_percentile(histogram, 999));
	facts_time(facts, "latency_max_ns", "most", histogram->max_ns);
	facts_end(facts);
}

static void record_show_skipped(struct facts *facts, const struct recorder_stats *stats)
{
	facts_begin(facts, "skipped", NULL);
	for (unsigned op = 0; op < IO_OPS; op++)
		facts_u64(facts, op == IO_WRITE_ZEROES ? "write_zeroes" : io_op_names[op], NULL,
			  stats->skipped[op]);
	facts_end(facts);
	for (unsigned op = 0; op < IO_OPS; op++) {
		g_autofree char *label = g_strdup_printf("left out: %s", io_op_names[op]);

		if (stats->skipped[op])
			facts_u64(facts, NULL, label, stats->skipped[op]);
	}
}

static char *record_text(const struct record *record, bool json)
{
	const struct recorder_stats *stats = recorder_stats(record->recorder);
	const struct target *target = record->config.target;
	struct facts *facts = facts_new();
	char *text;

	facts_text(facts, "device", "device", target->path);
	facts_size(facts, "device_bytes", "of", target->size_bytes);
	facts_bool(facts, "direct", "past the page cache", target->direct);
	facts_text(facts, "mode", "mode", record->config.by_time ? "open" : "closed");
	facts_u64(facts, "ios", "I/Os issued", stats->issued);
	facts_u64(facts, "completed", "completed", stats->ended);
	facts_u64(facts, "errors", "with an error", stats->errors);
	record_show_skipped(facts, stats);
	facts_bool(facts, "interrupted", record->interrupted ? "interrupted" : NULL, record->interrupted);
	facts_u64(facts, "wrapped", "brought back into the device", stats->wrapped);
	facts_u64(facts, "beyond", "reached beyond its end", stats->beyond);
	facts_u64(facts, "rounded", "rounded outwards to its blocks", stats->rounded);
	facts_u64(facts, "max_in_flight", "most in flight", stats->max_in_flight);
	facts_u64(facts, "read_buffers", NULL, recorder_read_buffers(record->recorder));
	facts_u64(facts, "late", record->config.by_time ? "issued more than 1 ms late" : NULL, stats->late);
	facts_time(facts, "late_max_ns", record->config.by_time ? "latest" : NULL, stats->late_max_ns);
	facts_list_begin(facts, "latencies", "latencies");
	for (unsigned op = 0; op < IO_OPS; op++)
		if (record->latencies[op].count || record->errors[op])
			record_show_latencies(facts, record, (enum io_op)op);
	facts_list_end(facts);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

/** Prints it; on standard error where the trace went to standard output. */
static bool record_print(const struct record *record, bool json)
{
	g_autofree char *text = record_text(record, json);

	if (!record->output_path || strcmp(record->output_path, "-") != 0)
		return cmd_print(text);
	fputs(text, stderr);
	return true;
}

/* ---- options ---- */

static bool record_check(struct record *record, const struct cmd_common *common, GError **error)
{
	const char *mode = record->mode ? record->mode : "open";

	if (!record->device)
		return sim_error_plain(error, "give the file or block device to use as --device=FILE") == 0;
	if (strcmp(mode, "open") != 0 && strcmp(mode, "closed") != 0 && strcmp(mode, "asap") != 0)
		return sim_error_plain(error, "--mode=%s: must be open or closed", mode) == 0;
	if (record->depth_text && (!text_parse_u64(record->depth_text, &record->depth) || !record->depth ||
				   record->depth > RING_SLOTS_MAX))
		return sim_error_plain(error, "--depth=%s: must be a count from 1 to %u", record->depth_text,
				       RING_SLOTS_MAX) == 0;
	if (record->output_path && g_str_has_suffix(record->output_path, ".gz"))
		return sim_error_plain(error, "-o %s: gzip is only read: name it .zst to have it packed",
				       record->output_path) == 0;
	if (common->json && record->output_path && strcmp(record->output_path, "-") == 0)
		return sim_error_plain(error, "--json and -o - both want standard output") == 0;
	record->config.by_time = strcmp(mode, "open") == 0;
	record->config.wrap = !record->no_wrap;
	record->config.writes = record->allow_writes;
	record->config.go_on = record_go_on;
	record->config.issued = record_issued;
	record->config.ended = record_ended;
	record->config.data = record;
	record->shows_progress = cmd_shows_progress(common);
	return true;
}

/** Opens the device; neither the trace that is read nor the one that is written may be it. */
static bool record_open(struct record *record, const char *trace, GError **error)
{
	struct target *target = target_open(record->device, record->allow_writes, error);

	record->config.target = target;
	if (!target)
		return false;
	if (target_is(target, trace))
		return sim_error_plain(error, "%s: is the trace itself", record->device) == 0;
	if (record->output_path && target_is(target, record->output_path))
		return sim_error_plain(error, "%s: is the trace that is to be written", record->device) == 0;
	return true;
}

static void record_clear(struct record *record)
{
	trace_writer_free(record->writer);
	output_abandon(record->output);
	recorder_free(record->recorder);
	io_transform_close(record->trace);
	target_close(record->config.target);
	g_free(record->device);
	g_free(record->mode);
	g_free(record->depth_text);
	g_free(record->output_path);
	g_free(record);
}

static const char record_details[] =
	"Requests go to places of the trace modulo the size of the device, and as deep as the trace had them "
	"at that\n"
	"moment. Ctrl-C ends the recording; what was recorded so far is kept.\n";

int cmd_trace_record(const struct command *command, int argc, char **argv)
{
	struct record *record = g_new0(struct record, 1);
	struct traceopt options = {0};
	const GOptionEntry own[] = {
		{"device", 0, 0, G_OPTION_ARG_FILENAME, &record->device, "where the requests go",
		 "FILE|BLOCKDEV"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &record->output_path,
		 "trace to write, with the latencies; - is standard output", "OUT"},
		{"mode", 0, 0, G_OPTION_ARG_FILENAME, &record->mode,
		 "open: by the trace's time stamps; closed (or asap): as soon as the depth allows",
		 "open|closed"},
		{"depth", 0, 0, G_OPTION_ARG_FILENAME, &record->depth_text,
		 "most requests in flight, instead of as many as the trace had", "N"},
		{"allow-writes", 0, 0, G_OPTION_ARG_NONE, &record->allow_writes,
		 "issue writes, discards and write zeroes as well: DESTROYS what is on the device", NULL},
		{"no-wrap", 0, 0, G_OPTION_ARG_NONE, &record->no_wrap,
		 "requests beyond the end of the device fail, instead of coming back into it", NULL},
	};
	GOptionEntry entries[TRACEOPT_ENTRIES + G_N_ELEMENTS(own) + 1] = {0};
	struct command described = *command;
	struct trace_options reading;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_UNUSABLE;

	described.details = record_details;
	memcpy(entries, own, sizeof(own));
	traceopt_entries(&options, entries + G_N_ELEMENTS(own));
	if (!cmd_parse(&described, argc, argv, entries, 1, 1, &common)) {
		code = common.exit_code;
		goto out_free;
	}
	if (!record_check(record, &common, &error) || !traceopt_parse(&options, &reading, &error) ||
	    !record_open(record, common.args[0], &error) ||
	    !record_scan(record, common.args[0], &reading, &error) ||
	    !record_run(record, common.args[0], &reading, &error)) {
		cmd_fail_error(error);
	} else if (record_print(record, common.json)) {
		code = EXIT_DONE;
	}
	cmd_common_clear(&common);
out_free:
	record_clear(record);
	traceopt_clear(&options);
	return code;
}
