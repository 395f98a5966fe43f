/* SPDX-License-Identifier: MIT */
/*
 * The table of formats that can be written, and what all writers have in common: counting what a format cannot hold.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/writer.h"

/* clang-format off */
const struct trace_writer_ops *const trace_writers[] = {
	&trace_iot_writer,
	&trace_csv_writer,
	&trace_fio_writer,
	&trace_blkparse_writer,
	&trace_ftrace_writer,
	NULL,
};

/* What is dropped, and of what: "segments of 7 requests". */
static const struct {
	const char *name, *what, *one, *many;
} facts[TRACE_FACTS] = {
	[TRACE_FACT_REQUEST] = {"requests", "", "request", "requests"},
	[TRACE_FACT_TIME] = {"times", "nanoseconds of ", "event", "events"},
	[TRACE_FACT_CPU] = {"cpus", "CPUs of ", "request", "requests"},
	[TRACE_FACT_DEVICE] = {"device_names", "names of ", "device", "devices"},
	[TRACE_FACT_RANGE] = {"ranges", "exact ranges of ", "request", "requests"},
	[TRACE_FACT_COMMAND] = {"commands", "queues and command ids of ", "request", "requests"},
	[TRACE_FACT_SEGMENTS] = {"segments", "segments of ", "request", "requests"},
	[TRACE_FACT_SEGMENT_FLAGS] = {"segment_flags", "metadata or peer-to-peer segments of ", "request", "requests"},
	[TRACE_FACT_END] = {"completions", "completions of ", "request", "requests"},
	[TRACE_FACT_END_CPU] = {"completion_cpus", "CPUs of ", "completion", "completions"},
	[TRACE_FACT_ERROR] = {"errors", "errors of ", "completion", "completions"},
	[TRACE_FACT_REQUEUE] = {"requeues", "refusals by the driver of ", "request", "requests"},
	[TRACE_FACT_LIST] = {"without_completions", "that there are no completions of ", "request", "requests"},
	[TRACE_FACT_ORDER] = {"order", "order at the same time of ", "event", "events"},
	[TRACE_FACT_OTHER] = {"other_events", "", "event that is part of no request", "events that are part of no request"},
};
/* clang-format on */

const struct trace_writer_ops *trace_writer_find(const char *name, GError **error)
{
	GString *names = g_string_new(NULL);

	for (unsigned i = 0; trace_writers[i]; i++) {
		if (strcmp(trace_writers[i]->name, name) == 0) {
			g_string_free(names, TRUE);
			return trace_writers[i];
		}
		g_string_append_printf(names, "%s%s", i ? ", " : "", trace_writers[i]->name);
	}
	sim_error_plain(error, "--to=%s: no format that can be written (%s)", name, names->str);
	g_string_free(names, TRUE);
	return NULL;
}

struct trace_writer *trace_writer_new(const struct trace_writer_ops *ops, struct io_stream *stream,
				      struct output *output)
{
	struct trace_writer *writer = g_new0(struct trace_writer, 1);

	writer->ops = ops;
	writer->stream = stream;
	writer->output = output;
	writer->state = g_malloc0(ops->state_size);
	writer->names = g_ptr_array_new_with_free_func(g_free);
	ops->open(writer);
	return writer;
}

/* Counts @fact, which a request has, if the format has no place for it. */
static void expect(struct trace_writer *writer, bool there, enum trace_fact fact)
{
	if (there && !(writer->ops->holds & 1u << fact))
		trace_writer_drop(writer, fact);
}

static bool has_flags(const struct io_record *record)
{
	for (uint32_t i = 0; i < record->segment_count; i++)
		if (record->segments[i].flags)
			return true;
	return false;
}

static void take_issue(struct trace_writer *writer, const struct io_record *record)
{
	writer->time_ns = record->time_ns;
	expect(writer, record->cpu != 0, TRACE_FACT_CPU);
	expect(writer, record->queue != TRACE_NO_QUEUE, TRACE_FACT_COMMAND);
	expect(writer, record->segment_count != 0, TRACE_FACT_SEGMENTS);
	expect(writer, has_flags(record), TRACE_FACT_SEGMENT_FLAGS);
	expect(writer, record->never_completes, TRACE_FACT_LIST);
	writer->ops->issue(writer, record);
}

static void take_end(struct trace_writer *writer, const struct io_record *record,
		     const struct io_complete *complete)
{
	bool holds = writer->ops->holds & TRACE_HOLDS(END);

	writer->time_ns = complete->time_ns;
	if (!record->completes && !(writer->ops->holds & TRACE_HOLDS(LIST)))
		return;
	expect(writer, record->completes, TRACE_FACT_END);
	expect(writer, holds && complete->cpu != record->cpu, TRACE_FACT_END_CPU);
	expect(writer, holds && complete->error, TRACE_FACT_ERROR);
	expect(writer, holds && complete->requeued, TRACE_FACT_REQUEUE);
	if (writer->ops->end)
		writer->ops->end(writer, record, complete);
}

void trace_writer_step(struct trace_writer *writer, enum io_step step, const struct io_record *record,
		       const struct io_complete *complete)
{
	bool fits = !writer->ops->fits || writer->ops->fits(record);

	if (step == IO_ISSUE && !fits)
		trace_writer_drop(writer, TRACE_FACT_REQUEST);
	else if (step == IO_ISSUE)
		take_issue(writer, record);
	else if (fits)
		take_end(writer, record, complete);
}

void trace_writer_finish(struct trace_writer *writer, const struct io_stream_stats *stats)
{
	writer->cpus = MIN(MAX(stats->cpus, io_stream_cpus(writer->stream)), SIM_CPUS_MAX);
	writer->dropped[TRACE_FACT_OTHER] = stats->other + stats->queued + stats->unmatched_completions;
	writer->ops->finish(writer);
}

void trace_writer_free(struct trace_writer *writer)
{
	if (!writer)
		return;
	if (writer->ops->close)
		writer->ops->close(writer);
	g_ptr_array_unref(writer->names);
	g_free(writer->state);
	g_free(writer);
}

char *trace_writer_dropped(const struct trace_writer *writer, enum trace_fact fact)
{
	uint64_t count = writer->dropped[fact];

	if (!count)
		return NULL;
	return g_strdup_printf("%s%" G_GUINT64_FORMAT " %s", facts[fact].what, count,
			       count == 1 ? facts[fact].one : facts[fact].many);
}

const char *trace_fact_name(enum trace_fact fact)
{
	return facts[fact].name;
}

#define NAME_MAX_BYTES 255

static char *name_without(const char *name, const char *foreign)
{
	char *text = g_strndup(*name ? name : "_", NAME_MAX_BYTES);
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (strchr(foreign, text[i]) || g_ascii_iscntrl(text[i]) ||
		    ((i == 0 || i == len - 1) && g_ascii_isspace(text[i])))
			text[i] = '_';
	return text;
}

const char *trace_writer_device(struct trace_writer *writer, uint32_t index, const char *foreign)
{
	const char *name;

	if (index >= writer->names->len)
		g_ptr_array_set_size(writer->names, (gint)index + 1);
	if (!g_ptr_array_index(writer->names, index)) {
		name = io_stream_device_name(writer->stream, index);
		g_ptr_array_index(writer->names, index) = name_without(name, foreign);
		if (strcmp(name, g_ptr_array_index(writer->names, index)) != 0)
			trace_writer_drop(writer, TRACE_FACT_DEVICE);
	}
	return g_ptr_array_index(writer->names, index);
}

uint64_t trace_record_data_bytes(const struct io_record *record)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < record->segment_count; i++)
		bytes += record->segments[i].flags & IO_SEGMENT_METADATA ? 0 : record->segments[i].len_bytes;
	return bytes;
}
