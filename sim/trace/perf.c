/* SPDX-License-Identifier: MIT */
/*
 * What perf script prints: COMM TID [CPU] SECONDS.FRACTION: GROUP:EVENT: BODY, the bodies being ftrace's.
 *
 * COMM is whatever a process calls itself, so a line is known by its first [CPU] that has a number before it and a time
 * behind. perf does not know the kernel's own functions: bodies that need them, such as those of NVMe commands, it prints raw.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

struct perf {
	struct input *input;
	uint64_t lost_events, unprinted;
	struct names events;
};

/* ---- the line ---- */

/* Does " TID", perhaps PID/TID, end right before @end? */
static bool thread_ends_at(const char *line, const char *end)
{
	const char *digits;

	while (end > line && end[-1] == ' ')
		end--;
	for (digits = end; digits > line && (g_ascii_isdigit(digits[-1]) || digits[-1] == '/');)
		digits--;
	return digits < end && digits > line && (digits[-1] == ' ' || digits[-1] == '-');
}

/* Reads what follows the '[' of the CPU. */
static bool take_prefix(struct scan *scan, struct ktext_line *ret_line)
{
	struct scan in = *scan;
	uint64_t cpu;

	if (!scan_decimal(&in, &cpu) || cpu > UINT32_MAX || !SCAN(&in, "] "))
		return false;
	scan_blanks(&in);
	if (!scan_time(&in, 1000000000, &ret_line->time_ns) || !SCAN(&in, ": "))
		return false;
	ret_line->cpu = (uint32_t)cpu;
	ret_line->context = TRACE_TASK;
	*scan = in;
	return true;
}

/* "GROUP:EVENT:", perhaps with a period before it; what perf tells of itself, "PERF_RECORD_…", has no colon. */
static void take_name(struct scan *scan, struct ktext_line *ret_line)
{
	struct scan period;
	const char *end, *name, *colon;
	uint64_t count;

	scan_blanks(scan);
	period = *scan;
	if (scan_decimal(&period, &count) && scan_char(&period, ' ')) {
		*scan = period;
		scan_blanks(scan);
	}
	name = scan->at;
	for (end = name; end < scan->end && *end != ' ';)
		end++;
	scan->at = end;
	scan_blanks(scan);
	if (end > name && end[-1] == ':')
		end--;
	colon = memrchr(name, ':', (size_t)(end - name));
	if (colon)
		name = colon + 1;
	ret_line->name = name;
	ret_line->name_len = (size_t)(end - name);
}

static bool line_split(const char *text, size_t len, struct ktext_line *ret_line)
{
	struct scan scan = {.at = text, .end = text + len};

	while (scan.end > text && (scan.end[-1] == ' ' || scan.end[-1] == '\r'))
		scan.end--;
	while ((scan.at = memchr(scan.at, '[', (size_t)(scan.end - scan.at)))) {
		const char *bracket = scan.at++;

		if (thread_ends_at(text, bracket) && take_prefix(&scan, ret_line)) {
			take_name(&scan, ret_line);
			ret_line->body = scan;
			return true;
		}
	}
	return false;
}

/* Lines that are no events: headers, and call chains, "\tffffffff8109c3b1 schedule+0x11 ([kernel.kallsyms])". */
static bool is_aside(struct scan scan)
{
	uint64_t address;

	if (scan.at == scan.end || *scan.at == '#')
		return true;
	if (*scan.at != ' ' && *scan.at != '\t')
		return false;
	scan_blanks(&scan);
	return scan.at == scan.end || (scan_hex(&scan, &address) && (scan.at == scan.end || *scan.at == ' '));
}

/* ---- the reader ---- */

static int line_event(struct perf *perf, struct ktext_line *line, struct trace_event *ret_event,
		      GError **error)
{
	static const char lost[] = "PERF_RECORD_LOST";
	struct trace_event event = {
		.kind = TRACE_OTHER,
		.time_ns = line->time_ns,
		.position = input_line_number(perf->input),
		.cpu = line->cpu,
		.context = line->context,
		.queue = TRACE_NO_QUEUE,
	};
	ktext_body parse = ktext_body_of(line);
	struct scan body = line->body;
	uint64_t count;

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(perf->input), event.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	if (parse && !parse(&line->body, &event))
		return sim_error_line(error, input_path(perf->input), event.position,
				      "%.*s: fields not understood", (int)line->name_len, line->name);
	perf->unprinted += event.kind == TRACE_OTHER && ktext_is_raw(line);
	if (line->name_len == sizeof(lost) - 1 && memcmp(line->name, lost, line->name_len) == 0 &&
	    SCAN(&body, "lost ") && scan_decimal(&body, &count))
		perf->lost_events += MIN(count, UINT64_MAX - perf->lost_events);
	names_count(&perf->events, line->name, line->name_len, TRACE_EVENTS_MAX);
	*ret_event = event;
	return 1;
}

static int perf_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct perf *perf = state;
	const char *text;
	size_t len;

	for (;;) {
		int result = input_line(perf->input, &text, &len, error);
		struct ktext_line line;

		if (result <= 0)
			return result;
		if (line_split(text, len, &line))
			return line_event(perf, &line, ret_event, error);
		if (!is_aside((struct scan){.at = text, .end = text + len}))
			return sim_error_line(error, input_path(perf->input), input_line_number(perf->input),
					      "not a line of perf script");
	}
}

static bool perf_open(void *state, struct input *input, const char *path, const struct trace_options *options,
		      GError **error)
{
	struct perf *perf = state;

	perf->input = input;
	names_init(&perf->events);
	return true;
}

static int perf_probe(const uint8_t *bytes, size_t len)
{
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + len};

	while (scan.at < scan.end) {
		const char *newline = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));
		struct scan text = {.at = scan.at, .end = newline ? newline : scan.end};
		struct ktext_line line;

		if (line_split(text.at, (size_t)(text.end - text.at), &line))
			return 80;
		if (!is_aside(text))
			return 0;
		scan.at = newline ? newline + 1 : scan.end;
	}
	return 0;
}

static void perf_facts(void *state, GHashTable *facts)
{
	const struct perf *perf = state;

	g_hash_table_replace(facts, g_strdup("lost events"),
			     g_strdup_printf("%" G_GUINT64_FORMAT, perf->lost_events));
	if (perf->unprinted)
		g_hash_table_replace(facts, g_strdup("events perf could not print"),
				     g_strdup_printf("%" G_GUINT64_FORMAT, perf->unprinted));
}

static const struct names *perf_events(const void *state)
{
	return &((const struct perf *)state)->events;
}

static void perf_close(void *state)
{
	names_finish(&((struct perf *)state)->events);
}

const struct trace_reader_ops trace_perf = {
	.name = "perf",
	.description = "what perf script prints",
	.counts_lines = true,
	.probe = perf_probe,
	.state_size = sizeof(struct perf),
	.open = perf_open,
	.next = perf_next,
	.facts = perf_facts,
	.events = perf_events,
	.close = perf_close,
};
