/* SPDX-License-Identifier: MIT */
/*
 * ftrace text: what tracefs gives in trace and trace_pipe, and trace-cmd report prints.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

#define HEADER_BYTES 1024 /* where the header with the number of CPUs stands */

struct ftrace {
	struct input *input;
	bool mark_open; /* the line before was free text, which may hold newlines */
	uint32_t cpus;	/* as the header says; 0: it does not */
	struct ktext_aside aside;
	uint64_t unprinted;
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
	ktext_body parse = ktext_body_of(line);

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	if (parse && !parse(&line->body, &event))
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "%.*s: fields not understood", (int)line->name_len, line->name);
	ftrace->unprinted += event.kind == TRACE_OTHER && ktext_is_raw(line);
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
		struct ktext_line line;
		struct scan scan;

		if (result <= 0)
			return result;
		scan = (struct scan){.at = text, .end = text + len};
		if (ktext_split(text, len, &line))
			return line_event(ftrace, &line, ret_event, error);
		if (!ktext_aside(&ftrace->aside, scan) && !ftrace->mark_open)
			return line_error(ftrace, error, "not a line of ftrace text");
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
	struct ktext_line line;

	if (len >= 10 && memcmp(bytes, "# tracer: ", 10) == 0)
		return 90;
	return ktext_first(bytes, len, &line) ? 85 : 0;
}

static void ftrace_facts(void *state, GHashTable *facts)
{
	const struct ftrace *ftrace = state;

	ktext_aside_facts(&ftrace->aside, facts);
	if (ftrace->unprinted)
		g_hash_table_replace(facts, g_strdup("events trace-cmd could not print"),
				     g_strdup_printf("%" G_GUINT64_FORMAT, ftrace->unprinted));
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
