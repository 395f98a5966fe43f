/* SPDX-License-Identifier: MIT */
/*
 * What blkparse prints: its default lines, or those of a format given to its -f.
 *
 * A format is taken apart once into items; a line is read by them, where a blank stands for any number of blanks. The
 * default lines have a head of such a format, and behind it what depends on the action. The summary at the end is no
 * event; what it says of skipped records is kept.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

#define DEFAULT_HEAD "%D %c %s %T.%t %p %a %d "
#define ITEMS_MAX    64
#define FREE_MAX     512 /* a command has 16 characters, a packet's bytes fewer than this */
#define SECONDS_MAX  (UINT64_MAX / 1000000000 - 1)

/* A letter of the format, or a character that stands for itself. */
struct item {
	bool is_field;
	char c;
};

struct blkparse {
	struct input *input;
	struct item items[ITEMS_MAX];
	unsigned item_count;
	bool is_default;
	bool in_summary;
	uint64_t skipped_records;
	struct names actions;
};

/* What a line says, as far as its items name it. */
struct fields {
	uint64_t seconds, nanoseconds, cpu, major, minor, sector, blocks, bytes, error;
	bool has_bytes, negative;
	enum trace_event_kind kind;
	const char *action;
	size_t action_len;
	struct ktext_rwbs rwbs;
};

/* ---- the format ---- */

static bool format_has(const struct blkparse *blkparse, char c)
{
	for (unsigned i = 0; i < blkparse->item_count; i++)
		if (blkparse->items[i].is_field && blkparse->items[i].c == c)
			return true;
	return false;
}

/* Takes "%-8s" from *@at, whose '%' is gone. */
static bool format_field(const char **at, struct item *ret_item)
{
	while (**at == '-' || g_ascii_isdigit(**at))
		(*at)++;
	if (!**at || !strchr("aCcdDeMmNnPpSsTtuU%", **at))
		return false;
	*ret_item = (struct item){.is_field = **at != '%', .c = **at};
	(*at)++;
	return true;
}

static bool format_compile(struct blkparse *blkparse, const char *format, GError **error)
{
	const char *at = format;

	while (*at) {
		struct item item = {.c = *at++};

		if (blkparse->item_count == ITEMS_MAX)
			return sim_error_plain(error, "--blkparse-format: more than %d items", ITEMS_MAX) ==
			       0;
		if (item.c == '%' && !format_field(&at, &item))
			return sim_error_plain(error, "--blkparse-format=%s: blkparse knows no field '%%%c'",
					       format, *at ? *at : ' ') == 0;
		if (item.c == '\\' && !item.is_field && (*at == 'n' || *at == 't'))
			item.c = *at++ == 'n' ? '\n' : ' ';
		if (item.c == '\t')
			item.c = ' ';
		if (item.c != '\n' || item.is_field)
			blkparse->items[blkparse->item_count++] = item;
	}
	return true;
}

/* A request needs an action, an operation, a time and a range. */
static bool format_check(const struct blkparse *blkparse, const char *format, GError **error)
{
	static const char needed[] = "adTS";

	for (const char *c = needed; *c; c++)
		if (!format_has(blkparse, *c))
			return sim_error_plain(error, "--blkparse-format=%s: lacks %%%c", format, *c) == 0;
	if (!format_has(blkparse, 'n') && !format_has(blkparse, 'N'))
		return sim_error_plain(error, "--blkparse-format=%s: lacks %%n or %%N", format) == 0;
	return true;
}

/* ---- a line ---- */

static bool take_action(struct scan *scan, struct fields *fields)
{
	fields->action = scan->at;
	if (!ktext_action(scan, &fields->kind))
		return false;
	fields->action_len = (size_t)(scan->at - fields->action);
	return true;
}

static bool take_device(struct scan *scan, struct fields *fields)
{
	uint32_t device;

	if (!ktext_device(scan, &device))
		return false;
	fields->major = device >> 20;
	fields->minor = device & 0xfffff;
	return true;
}

static bool take_field(struct scan *scan, char c, struct fields *fields)
{
	uint64_t unused;

	scan_blanks(scan);
	switch (c) {
	case 'a':
		return take_action(scan, fields);
	case 'c':
		return scan_decimal(scan, &fields->cpu);
	case 'd':
		return ktext_rwbs(scan, &fields->rwbs);
	case 'D':
		return take_device(scan, fields);
	case 'e':
		fields->negative = scan_char(scan, '-');
		return scan_decimal(scan, &fields->error) && fields->error <= 4095;
	case 'M':
		return scan_decimal(scan, &fields->major) && fields->major < 1u << 11;
	case 'm':
		return scan_decimal(scan, &fields->minor) && fields->minor < 1u << 20;
	case 'N':
		fields->has_bytes = true;
		return scan_decimal(scan, &fields->bytes) && fields->bytes <= UINT32_MAX;
	case 'n':
		return scan_decimal(scan, &fields->blocks) && fields->blocks <= UINT32_MAX >> 9;
	case 'S':
		return scan_decimal(scan, &fields->sector) &&
		       (fields->sector <= TRACE_LBA_MAX || fields->sector == UINT64_MAX);
	case 'T':
		return scan_decimal(scan, &fields->seconds) && fields->seconds <= SECONDS_MAX;
	case 't':
		return scan_decimal(scan, &fields->nanoseconds) && fields->nanoseconds < 1000000000;
	default: /* p, s, u, U */
		return scan_decimal(scan, &unused);
	}
}

static bool take_items(struct scan *scan, const struct item *items, unsigned count, struct fields *fields);

/* A command or a packet may hold anything: it ends where the rest fits. */
static bool take_free(struct scan *scan, const struct item *items, unsigned count, struct fields *fields)
{
	const char *last = scan->end - scan->at > FREE_MAX ? scan->at + FREE_MAX : scan->end;

	for (const char *end = scan->at; end <= last; end++) {
		struct scan rest = {.at = end, .end = scan->end};

		if (!count && end != scan->end)
			continue;
		if (take_items(&rest, items, count, fields)) {
			*scan = rest;
			return true;
		}
	}
	return false;
}

static bool take_items(struct scan *scan, const struct item *items, unsigned count, struct fields *fields)
{
	for (unsigned i = 0; i < count; i++) {
		bool taken = true;

		if (items[i].is_field && (items[i].c == 'C' || items[i].c == 'P'))
			return take_free(scan, items + i + 1, count - i - 1, fields);
		if (items[i].is_field)
			taken = take_field(scan, items[i].c, fields);
		else
			scan_blanks(
				scan); /* a blank of the format, or what filled the field before to its width */
		if (!items[i].is_field && items[i].c != ' ')
			taken = scan_char(scan, items[i].c);
		if (!taken)
			return false;
	}
	return true;
}

static void fill_request(const struct fields *fields, struct trace_event *event)
{
	uint64_t count = fields->has_bytes ? fields->bytes >> 9 : fields->blocks;

	ktext_set_op(event, &fields->rwbs, fields->sector, count);
	event->bytes = fields->has_bytes ? fields->bytes : fields->blocks << 9;
	event->error = fields->negative ? -(int32_t)fields->error : (int32_t)fields->error;
	if (event->op == IO_FLUSH)
		event->lba = 0;
	else if (event->kind == TRACE_COMPLETE && ktext_is_flush_echo(&fields->rwbs, count))
		event->kind = TRACE_OTHER;
}

/* Returns false when the line is not as the format has it. */
static bool parse_line(const struct blkparse *blkparse, struct scan scan, struct fields *ret_fields,
		       struct trace_event *ret_event)
{
	struct fields fields = {0};
	struct trace_event event = {.queue = TRACE_NO_QUEUE};

	if (!take_items(&scan, blkparse->items, blkparse->item_count, &fields))
		return false;
	event.kind = fields.kind;
	event.time_ns = fields.seconds * 1000000000 + fields.nanoseconds;
	event.cpu = (uint32_t)MIN(fields.cpu, UINT32_MAX);
	event.device = (uint32_t)(fields.major << 20 | fields.minor);
	if (event.kind != TRACE_OTHER) {
		if (!blkparse->is_default)
			fill_request(&fields, &event);
		else if (!ktext_request(&scan, &fields.rwbs, &event))
			return false;
	}
	*ret_fields = fields;
	*ret_event = event;
	return true;
}

/* ---- lines that are no events ---- */

/* "Input file t.blktrace.0 added": blkparse says what it reads, before all else, or behind it where its output goes to a file. */
static bool names_input(struct scan scan)
{
	static const char added[] = " added";
	size_t len = sizeof(added) - 1;

	return SCAN(&scan, "Input file ") && (size_t)(scan.end - scan.at) > len &&
	       memcmp(scan.end - len, added, len) == 0;
}

static bool begins_summary(struct scan scan)
{
	uint64_t cpu;

	if (SCAN(&scan, "CPU"))
		return scan_decimal(&scan, &cpu) && SCAN(&scan, " (");
	return SCAN(&scan, "Total (") || SCAN(&scan, "Events (") || SCAN(&scan, "Throughput (") ||
	       SCAN(&scan, "Skips: ");
}

/* "Skips: 3 forward (1,234 -   0.5%)": the records that are missing stand in the bracket. */
static void take_skips(struct blkparse *blkparse, struct scan scan)
{
	uint64_t gaps, records = 0;

	if (!SCAN(&scan, "Skips: ") || !scan_decimal(&scan, &gaps) || !SCAN(&scan, " forward ("))
		return;
	for (scan_blanks(&scan); scan.at < scan.end && records < UINT32_MAX; scan.at++)
		if (g_ascii_isdigit(*scan.at))
			records = records * 10 + (uint64_t)(*scan.at - '0');
		else if (*scan.at != ',')
			break;
	blkparse->skipped_records += records;
}

/* ---- the reader ---- */

static struct scan line_scan(const char *text, size_t len)
{
	struct scan scan = {.at = text, .end = text + len};

	while (scan.end > text && (scan.end[-1] == ' ' || scan.end[-1] == '\r'))
		scan.end--;
	return scan;
}

static int line_error(const struct blkparse *blkparse, GError **error)
{
	return sim_error_line(error, input_path(blkparse->input), input_line_number(blkparse->input), "%s",
			      blkparse->is_default ? "not a line of blkparse: is it of another format?"
						   : "not a line of --blkparse-format");
}

static int blkparse_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct blkparse *blkparse = state;
	struct fields fields;
	const char *text;
	size_t len;
	int result;

	while ((result = input_line(blkparse->input, &text, &len, error)) > 0) {
		struct scan scan = line_scan(text, len);

		blkparse->in_summary |= begins_summary(scan);
		if (blkparse->in_summary)
			take_skips(blkparse, scan);
		if (blkparse->in_summary || scan.at == scan.end || names_input(scan))
			continue;
		if (!parse_line(blkparse, scan, &fields, ret_event))
			return line_error(blkparse, error);
		ret_event->position = input_line_number(blkparse->input);
		if (fields.cpu >= SIM_CPUS_MAX)
			return sim_error_line(error, input_path(blkparse->input), ret_event->position,
					      "CPU %" G_GUINT64_FORMAT ": at most %u CPUs", fields.cpu,
					      SIM_CPUS_MAX);
		names_count(&blkparse->actions, fields.action, fields.action_len, TRACE_EVENTS_MAX);
		return 1;
	}
	return result;
}

static bool blkparse_open(void *state, struct input *input, const char *path,
			  const struct trace_options *options, GError **error)
{
	struct blkparse *blkparse = state;

	blkparse->input = input;
	blkparse->is_default = !options->blkparse_format;
	names_init(&blkparse->actions);
	if (blkparse->is_default)
		return format_compile(blkparse, DEFAULT_HEAD, error);
	return format_compile(blkparse, options->blkparse_format, error) &&
	       format_check(blkparse, options->blkparse_format, error);
}

static int blkparse_probe(const uint8_t *bytes, size_t len)
{
	struct blkparse blkparse = {.is_default = true};
	struct scan all = {.at = (const char *)bytes, .end = (const char *)bytes + len};

	if (!format_compile(&blkparse, DEFAULT_HEAD, NULL))
		return 0;
	while (all.at < all.end) {
		const char *newline = memchr(all.at, '\n', (size_t)(all.end - all.at));
		struct scan scan = line_scan(all.at, (size_t)((newline ? newline : all.end) - all.at));
		struct trace_event event;
		struct fields fields;

		if (scan.at < scan.end && !names_input(scan))
			return parse_line(&blkparse, scan, &fields, &event) ? 90 : 0;
		all.at = newline ? newline + 1 : all.end;
	}
	return 0;
}

static void blkparse_facts(void *state, GHashTable *facts)
{
	const struct blkparse *blkparse = state;

	if (blkparse->in_summary)
		g_hash_table_replace(facts, g_strdup("lost events"),
				     g_strdup_printf("%" G_GUINT64_FORMAT, blkparse->skipped_records));
}

static const struct names *blkparse_events(const void *state)
{
	return &((const struct blkparse *)state)->actions;
}

static void blkparse_close(void *state)
{
	names_finish(&((struct blkparse *)state)->actions);
}

const struct trace_reader_ops trace_blkparse = {
	.name = "blkparse",
	.description = "what blkparse prints",
	.counts_lines = true,
	.probe = blkparse_probe,
	.state_size = sizeof(struct blkparse),
	.open = blkparse_open,
	.next = blkparse_next,
	.facts = blkparse_facts,
	.events = blkparse_events,
	.close = blkparse_close,
};
