/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/cmd/progress.h"
#include "sim/cmd/report.h"
#include "sim/cmd/traceopt.h"
#include "sim/trace/names.h"
#include "sim/trace/transform.h"

#define TRACE_SIZES 40 /* powers of two of a request's bytes */

/** How many requests have how many bytes, by power of two: enough to see what a load is. */
struct trace_sizes {
	uint64_t count[TRACE_SIZES];
	uint64_t unaligned;
};

/** Whether a device with blocks of 4 KiB would refuse it. */
static bool trace_unaligned(const struct io_record *record)
{
	bool has_place = record->op != IO_FLUSH && record->op != IO_PASSTHROUGH;

	return has_place && (record->lba % 8 || record->bytes % 4096);
}

static int trace_read(struct io_transform *trace, struct trace_sizes *sizes, bool shows_progress,
		      GError **error)
{
	struct progress progress = {.trace = trace, .begun_us = g_get_monotonic_time()};
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	for (uint64_t steps = 0; (step = io_transform_next(trace, &record, &complete, error)) > 0; steps++) {
		if (shows_progress && steps % PROGRESS_STEPS == 0)
			progress_show(&progress, io_transform_stats(trace)->issues);
		if (step != IO_ISSUE)
			continue;
		if (record->bytes)
			sizes->count[MIN(63u - (unsigned)__builtin_clzll(record->bytes), TRACE_SIZES - 1)]++;
		sizes->unaligned += trace_unaligned(record);
	}
	if (shows_progress)
		progress_clear();
	return step == IO_END ? 0 : -1;
}

static void trace_show_ops(struct facts *facts, const struct io_stream_stats *stats)
{
	facts_list_begin(facts, "ops", "operations");
	for (unsigned op = 0; op < IO_OPS; op++) {
		g_autofree char *text =
			g_strdup_printf("%" G_GUINT64_FORMAT " requests, %" G_GUINT64_FORMAT " bytes",
					stats->op_count[op], stats->op_bytes[op]);

		if (!stats->op_count[op])
			continue;
		facts_text(facts, NULL, io_op_names[op], text);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "op", NULL, io_op_names[op]);
		facts_u64(facts, "count", NULL, stats->op_count[op]);
		facts_u64(facts, "data_bytes", NULL, stats->op_bytes[op]);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static void trace_show_sizes(struct facts *facts, const struct trace_sizes *sizes)
{
	facts_list_begin(facts, "sizes", "sizes, from");
	for (unsigned i = 0; i < TRACE_SIZES; i++) {
		g_autofree char *label = g_strdup_printf("%" G_GUINT64_FORMAT " B", UINT64_C(1) << i);

		if (!sizes->count[i])
			continue;
		facts_u64(facts, NULL, label, sizes->count[i]);
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "from_bytes", NULL, UINT64_C(1) << i);
		facts_u64(facts, "count", NULL, sizes->count[i]);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static int trace_compare_events(const void *a, const void *b)
{
	const struct name_entry *const *x = a, *const *y = b;

	return strcmp((*x)->text, (*y)->text);
}

/** How often the recording has which event, by name. */
static void trace_show_events(struct facts *facts, const struct names *names)
{
	g_autoptr(GPtrArray) events = g_ptr_array_new();

	for (uint32_t i = 0; names && names_at(names, i); i++)
		g_ptr_array_add(events, (void *)names_at(names, i));
	g_ptr_array_sort(events, trace_compare_events);
	facts_list_begin(facts, "event_names", "events by name");
	for (guint i = 0; i < events->len; i++) {
		const struct name_entry *event = g_ptr_array_index(events, i);

		facts_u64(facts, NULL, event->text[0] ? event->text : "(none)", event->count);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, event->text);
		facts_u64(facts, "count", NULL, event->count);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static char *trace_facts(struct io_transform *trace, const char *part, const struct trace_sizes *sizes,
			 bool json)
{
	const struct io_stream_stats *stats = io_transform_stats(trace);
	struct io_stream *stream = io_transform_stream(trace);
	struct facts *facts = facts_new();
	char *text;

	facts_text(facts, "format", "format", io_stream_format(stream)->name);
	report_part(facts, part, io_transform_shift_bytes(trace));
	facts_u64(facts, "events", "events", stats->events);
	facts_u64(facts, "events_other", "of these, not about I/O", stats->other);
	facts_u64(facts, "ios", "I/Os", stats->issues);
	facts_u64(facts, "completed", "completed", stats->completions);
	facts_u64(facts, "requeued", "not taken by the driver", stats->requeued);
	facts_u64(facts, "unfinished", "never completed", stats->unfinished);
	facts_u64(facts, "unmatched_completions", "completions without an issue",
		  stats->unmatched_completions);
	facts_u64(facts, "setups_dropped", "set-ups without an issue", stats->setups_dropped);
	facts_u64(facts, "at_missing", "taken at their issue", stats->at_missing);
	facts_u64(facts, "without_segments", "without recorded segments", stats->without_segments);
	facts_u64(facts, "unaligned_4k", "not of whole 4 KiB blocks", sizes->unaligned);
	facts_u64(facts, "time_backwards", "events back in time", stats->time_backwards);
	facts_u64(facts, "ties", "events of one time", stats->ties);
	facts_time(facts, "span_ns", "time span",
		   stats->last_ns > stats->first_ns ? stats->last_ns - stats->first_ns : 0);
	facts_u64(facts, "max_in_flight", "most in flight", stats->max_in_flight);
	facts_u64(facts, "cpus", "CPUs", MAX(stats->cpus, io_stream_cpus(stream)));
	facts_list_begin(facts, "devices", "devices");
	for (uint32_t i = 0; io_stream_device_name(stream, i); i++) {
		facts_line(facts, "%s", io_stream_device_name(stream, i));
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, io_stream_device_name(stream, i));
		facts_end(facts);
	}
	facts_list_end(facts);
	trace_show_ops(facts, stats);
	trace_show_sizes(facts, sizes);
	trace_show_events(facts, io_stream_events(stream));
	report_recording(facts, stream);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

int cmd_trace_info(const struct command *command, int argc, char **argv)
{
	struct traceopt options = {0};
	GOptionEntry entries[TRACEOPT_ENTRIES + 1] = {0};
	struct trace_options reading;
	struct trace_sizes sizes = {0};
	struct io_transform *trace = NULL;
	g_autofree char *part = NULL;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_DONE;

	traceopt_entries(&options, entries);
	if (!cmd_parse(command, argc, argv, entries, 1, 1, &common)) {
		traceopt_clear(&options);
		return common.exit_code;
	}
	if (traceopt_parse(&options, &reading, &error)) {
		part = trace_part_text(&reading.part);
		trace = io_transform_open(common.args[0], &reading, &error);
	}
	if (trace && trace_read(trace, &sizes, cmd_shows_progress(&common), &error) == 0) {
		g_autofree char *text = trace_facts(trace, part, &sizes, common.json);

		if (!cmd_print(text))
			code = EXIT_UNUSABLE;
	} else {
		code = cmd_fail_error(error);
	}
	io_transform_close(trace);
	traceopt_clear(&options);
	cmd_common_clear(&common);
	return code;
}
