/* SPDX-License-Identifier: MIT */
/*
 * ftrace text: what tracefs gives in trace and trace_pipe, and trace-cmd report prints.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

#define PROBE_LINES  64
#define HEADER_BYTES 1024 /* where the header with the number of CPUs stands */

struct ftrace {
	struct input *input;
	bool mark_open; /* the line before was free text, which may hold newlines */
	bool has_entries;
	uint32_t cpus; /* as the header says; 0: it does not */
	uint64_t entries_in_buffer, entries_written;
	uint64_t lost_events, lost_reports;
	struct names events;
};

static bool name_is(const struct ktext_line *line, const char *name)
{
	return line->name_len == strlen(name) && memcmp(line->name, name, line->name_len) == 0;
}

static bool is_free_text(const struct ktext_line *line)
{
	return name_is(line, "tracing_mark_write") || name_is(line, "print") || name_is(line, "bprint");
}

/* "# entries-in-buffer/entries-written: 16735/16735   #P:4" */
static void header_entries(struct ftrace *ftrace, struct scan scan)
{
	uint64_t in_buffer, written;

	if (!SCAN(&scan, "# entries-in-buffer/entries-written: ") || !scan_decimal(&scan, &in_buffer) ||
	    !scan_char(&scan, '/') || !scan_decimal(&scan, &written))
		return;
	ftrace->has_entries = true;
	ftrace->entries_in_buffer = in_buffer;
	ftrace->entries_written = written;
}

static bool take_lost(struct ftrace *ftrace, struct scan scan)
{
	uint64_t count;

	if (!ktext_is_lost(scan, &count))
		return false;
	ftrace->lost_reports++;
	ftrace->lost_events += MIN(count, UINT64_MAX - ftrace->lost_events);
	return true;
}

static int line_error(const struct ftrace *ftrace, GError **error, const char *what)
{
	return sim_error_line(error, input_path(ftrace->input), input_line_number(ftrace->input), "%s", what);
}

static int line_event(struct ftrace *ftrace, struct ktext_line *line, struct trace_event *ret_event,
		      GError **error)
{
	struct trace_event event = {
		.kind = TRACE_OTHER,
		.time_ns = line->time_ns,
		.position = input_line_number(ftrace->input),
		.cpu = line->cpu,
		.context = line->context,
		.queue = TRACE_NO_QUEUE,
	};
	ktext_body parse = ktext_body_of(line->name, line->name_len);

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	if (parse && !parse(&line->body, &event))
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "%.*s: fields not understood", (int)line->name_len, line->name);
	ftrace->mark_open = !parse && is_free_text(line);
	names_count(&ftrace->events, line->name, line->name_len, TRACE_EVENTS_MAX);
	*ret_event = event;
	return 1;
}

static int ftrace_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct ftrace *ftrace = state;
	const char *text;
	size_t len;

	for (;;) {
		int result = input_line(ftrace->input, &text, &len, error);
		struct scan scan = {.at = text, .end = text + len};
		struct ktext_line line;

		if (result <= 0)
			return result;
		if (ktext_split(text, len, &line))
			return line_event(ftrace, &line, ret_event, error);
		if (ktext_is_header(scan)) {
			if (len == 13 && SCAN(&scan, "# tracer: blk"))
				return line_error(ftrace, error, "text of the blk tracer");
			header_entries(ftrace, scan);
		} else if (!take_lost(ftrace, scan) && !ftrace->mark_open) {
			return line_error(ftrace, error, "not a line of ftrace text");
		}
	}
}

static bool ftrace_open(void *state, struct input *input, const char *path,
			const struct trace_options *options, GError **error)
{
	struct ftrace *ftrace = state;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, HEADER_BYTES, &bytes, error);

	if (len < 0)
		return false;
	ftrace->input = input;
	names_init(&ftrace->events);
	ftrace->cpus = ktext_header_cpus(bytes, (size_t)len);
	return true;
}

static uint32_t ftrace_cpus(const void *state)
{
	return ((const struct ftrace *)state)->cpus;
}

static int ftrace_probe(const uint8_t *bytes, size_t len)
{
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + len};

	if (SCAN(&scan, "# tracer: "))
		return 95;
	for (unsigned i = 0; i < PROBE_LINES && scan.at < scan.end; i++) {
		uint64_t lost;
		const char *newline = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));
		struct scan text = {.at = scan.at, .end = newline ? newline : scan.end};
		struct ktext_line line;

		if (ktext_split(text.at, (size_t)(text.end - text.at), &line))
			return 85;
		if (!ktext_is_header(text) && !ktext_is_lost(text, &lost))
			return 0;
		scan.at = newline ? newline + 1 : scan.end;
	}
	return 0;
}

static void add_fact(GHashTable *facts, const char *key, uint64_t value)
{
	g_hash_table_replace(facts, g_strdup(key), g_strdup_printf("%" G_GUINT64_FORMAT, value));
}

static void ftrace_facts(void *state, GHashTable *facts)
{
	const struct ftrace *ftrace = state;

	if (ftrace->has_entries) {
		add_fact(facts, "entries in buffer", ftrace->entries_in_buffer);
		add_fact(facts, "entries written", ftrace->entries_written);
	}
	add_fact(facts, "lost events", ftrace->lost_events);
	add_fact(facts, "lost reports", ftrace->lost_reports);
}

static const struct names *ftrace_events(const void *state)
{
	return &((const struct ftrace *)state)->events;
}

static void ftrace_close(void *state)
{
	names_finish(&((struct ftrace *)state)->events);
}

const struct trace_reader_ops trace_ftrace = {
	.name = "ftrace",
	.description = "ftrace text (trace, trace_pipe, trace-cmd report)",
	.counts_lines = true,
	.probe = ftrace_probe,
	.state_size = sizeof(struct ftrace),
	.open = ftrace_open,
	.next = ftrace_next,
	.cpus = ftrace_cpus,
	.facts = ftrace_facts,
	.events = ftrace_events,
	.close = ftrace_close,
};
