/* SPDX-License-Identifier: MIT */
/*
 * fio's iolog, versions 2 and 3: lists of requests, without completions.
 *
 * Version 3: "TIME FILE ACTION [OFFSET LENGTH]", time in microseconds from the start. Version 2: no time; "FILE wait
 * MICROSECONDS" lets it pass.
 *
 * The jobs of a run that share a log write it at once, each from its own buffer: there are several headers, time goes back
 * and forth, and a line may be torn. Torn lines are counted; that many of them mean that it is no iolog.
 */
#include "sim/core/error.h"
#include "sim/trace/formats.h"
#include "sim/trace/names.h"
#include "sim/trace/scan.h"
#include "sim/trace/window.h"

#define US_NS	   1000
#define TORN_LINES 16 /* and a tenth of all: more are not torn but something else */

struct iolog {
	struct input *input;
	bool timed; /* version 3 */
	uint64_t now_ns;
	bool ended;
	uint64_t unaligned, lines, logs;
	uint64_t torn, torn_first; /* lines, and the number of the first */
	struct window window;
	struct names files, actions;
};

/* The range of a request in whole sectors: a place in the middle of one counts as all of it. */
static bool set_range(struct iolog *iolog, uint64_t offset, uint64_t bytes, struct trace_event *event)
{
	uint64_t end = offset + bytes, first = offset >> 9, last;

	if (bytes > UINT32_MAX || end < offset || end >> 9 >= TRACE_LBA_MAX)
		return false;
	last = (end + 511) >> 9;
	iolog->unaligned += offset % 512 || bytes % 512;
	event->lba = first;
	event->bytes = (last - first) << 9;
	return event->bytes <= UINT32_MAX;
}

static const struct {
	const char *name;
	enum trace_event_kind kind;
	enum io_op op;
	bool has_range;
} actions[] = {
	{"read", TRACE_ISSUE, IO_READ, true},	    {"write", TRACE_ISSUE, IO_WRITE, true},
	{"trim", TRACE_ISSUE, IO_DISCARD, true},    {"sync", TRACE_ISSUE, IO_FLUSH, false},
	{"datasync", TRACE_ISSUE, IO_FLUSH, false}, {"add", TRACE_OTHER, IO_READ, false},
	{"open", TRACE_OTHER, IO_READ, false},	    {"close", TRACE_OTHER, IO_READ, false},
};

static bool take_word(struct scan *scan, const char **ret_word, size_t *ret_len)
{
	scan_blanks(scan);
	*ret_word = scan->at;
	while (scan->at < scan->end && *scan->at != ' ' && *scan->at != '\t')
		scan->at++;
	*ret_len = (size_t)(scan->at - *ret_word);
	return *ret_len > 0;
}

static bool take_wait(struct iolog *iolog, struct scan *scan)
{
	uint64_t wait;

	scan_blanks(scan);
	if (iolog->timed || !scan_decimal(scan, &wait) || wait > (UINT64_MAX / 2 - iolog->now_ns) / US_NS)
		return false;
	iolog->now_ns += wait * US_NS;
	return true;
}

static bool take_action(struct iolog *iolog, struct scan *scan, const char *name, size_t len,
			struct trace_event *event)
{
	uint64_t offset, bytes;

	if (len == 4 && memcmp(name, "wait", 4) == 0)
		return take_wait(iolog, scan);
	for (unsigned i = 0; i < G_N_ELEMENTS(actions); i++) {
		if (strlen(actions[i].name) != len || memcmp(actions[i].name, name, len) != 0)
			continue;
		event->kind = actions[i].kind;
		event->op = actions[i].op;
		if (!actions[i].has_range)
			return true;
		scan_blanks(scan);
		if (!scan_decimal(scan, &offset) || !scan_char(scan, ' '))
			return false;
		scan_blanks(scan);
		return scan_decimal(scan, &bytes) && bytes && set_range(iolog, offset, bytes, event);
	}
	return false;
}

static bool take_version(struct scan *scan, uint64_t *ret_version)
{
	return SCAN(scan, "fio version ") && scan_decimal(scan, ret_version) && SCAN(scan, " iolog");
}

/* Returns false when the line is torn. */
static bool take_line(struct iolog *iolog, struct scan scan, struct trace_event *ret_event)
{
	struct trace_event event = {.kind = TRACE_OTHER, .queue = TRACE_NO_QUEUE, .never_completes = true};
	const char *file, *action;
	size_t file_len, action_len;
	uint64_t time_us;

	scan_blanks(&scan);
	if (iolog->timed) {
		if (!scan_decimal(&scan, &time_us) || time_us > UINT64_MAX / 2 / US_NS ||
		    !scan_char(&scan, ' '))
			return false;
		iolog->now_ns = time_us * US_NS;
	}
	if (!take_word(&scan, &file, &file_len) || !take_word(&scan, &action, &action_len) ||
	    !take_action(iolog, &scan, action, action_len, &event))
		return false;
	scan_blanks(&scan);
	if (event.op != IO_FLUSH && scan.at != scan.end)
		return false;
	event.device = names_count(&iolog->files, file, file_len, TRACE_DEVICES_MAX);
	if (event.device == NAMES_NONE)
		return false;
	names_count(&iolog->actions, action, action_len, TRACE_EVENTS_MAX);
	event.time_ns = iolog->now_ns;
	*ret_event = event;
	return true;
}

static void read_line(struct iolog *iolog, struct scan scan)
{
	struct trace_event event;
	struct scan header = scan;
	uint64_t version;

	iolog->lines++;
	if (take_version(&header, &version) && header.at == header.end) {
		iolog->logs++;
	} else if (take_line(iolog, scan, &event)) {
		event.position = input_line_number(iolog->input);
		window_add(&iolog->window, &event);
	} else if (iolog->torn++ == 0) {
		iolog->torn_first = input_line_number(iolog->input);
	}
}

static int check_torn(const struct iolog *iolog, GError **error)
{
	if (iolog->torn <= iolog->lines / 10 && iolog->torn <= TORN_LINES + iolog->lines / 100)
		return 0;
	return sim_error_line(error, input_path(iolog->input), iolog->torn_first,
			      "not a line of an iolog, the first of %" G_GUINT64_FORMAT
			      " among %" G_GUINT64_FORMAT,
			      iolog->torn, iolog->lines);
}

static int iolog_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct iolog *iolog = state;
	const char *text;
	size_t len;

	while (!window_take(&iolog->window, iolog->ended, ret_event)) {
		int result = iolog->ended ? 0 : input_line(iolog->input, &text, &len, error);
		struct scan scan = {.at = text, .end = text + len};

		if (result < 0 || iolog->ended)
			return result;
		iolog->ended = result == 0;
		if (iolog->ended && check_torn(iolog, error) < 0)
			return -1;
		if (iolog->ended)
			continue;
		while (scan.end > text && (scan.end[-1] == ' ' || scan.end[-1] == '\r'))
			scan.end--;
		if (scan.at < scan.end)
			read_line(iolog, scan);
	}
	return 1;
}

static bool iolog_open(void *state, struct input *input, const char *path,
		       const struct trace_options *options, GError **error)
{
	struct iolog *iolog = state;
	const char *text;
	size_t len;
	struct scan scan;
	uint64_t version;
	int result;

	iolog->input = input;
	iolog->logs = 1;
	window_init(&iolog->window);
	names_init(&iolog->files);
	names_init(&iolog->actions);
	result = input_line(input, &text, &len, error);
	if (result < 0)
		return false;
	scan = (struct scan){.at = result ? text : NULL, .end = result ? text + len : NULL};
	if (!result || !take_version(&scan, &version))
		return sim_error_line(error, input_path(input), 1, "no 'fio version N iolog'") == 0;
	if (version != 2 && version != 3)
		return sim_error_line(error, input_path(input), 1,
				      "iolog of version %" G_GUINT64_FORMAT ": only 2 and 3 are known",
				      version) == 0;
	iolog->timed = version == 3;
	return true;
}

static int iolog_probe(const uint8_t *bytes, size_t len)
{
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + len};
	uint64_t version;

	return take_version(&scan, &version) ? 100 : 0;
}

static void add_fact(GHashTable *facts, const char *key, uint64_t value)
{
	g_hash_table_replace(facts, g_strdup(key), g_strdup_printf("%" G_GUINT64_FORMAT, value));
}

static void iolog_facts(void *state, GHashTable *facts)
{
	const struct iolog *iolog = state;

	g_hash_table_replace(facts, g_strdup("version"), g_strdup(iolog->timed ? "3" : "2"));
	add_fact(facts, "logs in the file", iolog->logs);
	add_fact(facts, "torn lines", iolog->torn);
	add_fact(facts, "not of whole sectors", iolog->unaligned);
}

static const struct names *iolog_events(const void *state)
{
	return &((const struct iolog *)state)->actions;
}

static char *iolog_device_name(const void *state, uint32_t number)
{
	return g_strdup(names_at(&((const struct iolog *)state)->files, number)->text);
}

static void iolog_close(void *state)
{
	struct iolog *iolog = state;

	window_finish(&iolog->window);
	names_finish(&iolog->files);
	names_finish(&iolog->actions);
}

const struct trace_reader_ops trace_iolog = {
	.name = "fio",
	.description = "fio's iolog, version 2 or 3",
	.counts_lines = true,
	.probe = iolog_probe,
	.state_size = sizeof(struct iolog),
	.open = iolog_open,
	.next = iolog_next,
	.facts = iolog_facts,
	.events = iolog_events,
	.device_name = iolog_device_name,
	.close = iolog_close,
};
