/* SPDX-License-Identifier: MIT */
/*
 * ftrace text: what tracefs gives in trace and trace_pipe, and trace-cmd report prints.
 *
 * A line is TASK-PID (TGID) [CPU] FLAGS SECONDS.FRACTION: EVENT: BODY, where (TGID) and FLAGS may be missing. TASK
 * is whatever a process calls itself, so a line is known by its first [CPU] that has -PID before it and a time behind.
 * Bodies are those of Linux 6.1 to 7.0, include/trace/events/{block,dma}.h and drivers/nvme/host/trace.h.
 */
#include <errno.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"

#define SECONDS_MAX  (UINT64_MAX / 1000000000 - 1)
#define PROBE_LINES  64
#define HEADER_BYTES 1024 /* where the header with the number of CPUs stands */

struct ftrace {
	struct input *input;
	bool mark_open; /* the line before was free text, which may hold newlines */
	bool has_entries;
	uint32_t cpus; /* as the header says; 0: it does not */
	uint64_t entries_in_buffer, entries_written;
	uint64_t lost_events, lost_reports;
};

/* The part of a line that is not yet understood. */
struct scan {
	const char *at, *end;
};

struct line {
	uint64_t time_ns;
	uint32_t cpu;
	uint8_t context;
	const char *name; /* of the event; not terminated */
	size_t name_len;  /* 0: none, as in the text of some tracers */
	struct scan body;
};

/* ---- scanners: each takes what it names from the front, or leaves the scan alone and returns false ---- */

static inline void skip_blanks(struct scan *scan)
{
	while (scan->at < scan->end && *scan->at == ' ')
		scan->at++;
}

static inline bool take_char(struct scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

static inline bool take_text(struct scan *scan, const char *text, size_t len)
{
	if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, text, len) != 0)
		return false;
	scan->at += len;
	return true;
}

#define TAKE(scan, literal) take_text(scan, literal, sizeof(literal) - 1)

static inline bool take_decimal(struct scan *scan, uint64_t *ret_value)
{
	const char *at = scan->at;
	uint64_t value = 0;

	for (; at < scan->end && *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (at == scan->at)
		return false;
	scan->at = at;
	*ret_value = value;
	return true;
}

static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool take_hex(struct scan *scan, uint64_t *ret_value)
{
	const char *at = scan->at;
	uint64_t value = 0;

	for (; at < scan->end && hex_digit(*at) >= 0; at++) {
		if (value >> 60)
			return false;
		value = value << 4 | (uint64_t)hex_digit(*at);
	}
	if (at == scan->at)
		return false;
	scan->at = at;
	*ret_value = value;
	return true;
}

/* Decimal, or hexadecimal after 0x. */
static bool take_number(struct scan *scan, uint64_t *ret_value)
{
	struct scan hex = *scan;

	if (!TAKE(&hex, "0x"))
		return take_decimal(scan, ret_value);
	if (!take_hex(&hex, ret_value))
		return false;
	*scan = hex;
	return true;
}

/* Moves @scan behind the first @name, which is the field's name with the blank before it and its equals sign. */
static bool find_field(struct scan *scan, const char *name, size_t len)
{
	const char *at = memmem(scan->at, (size_t)(scan->end - scan->at), name, len);

	if (!at)
		return false;
	scan->at = at + len;
	return true;
}

#define FIND(scan, literal) find_field(scan, literal, sizeof(literal) - 1)

/* ---- the line ---- */

/* Does TASK-PID, perhaps with (TGID), end right before @end? */
static bool task_ends_at(const char *line, const char *end)
{
	const char *digits;

	while (end > line && end[-1] == ' ')
		end--;
	if (end > line && end[-1] == ')') {
		while (end > line && end[-1] != '(')
			end--;
		if (end > line)
			end--;
		while (end > line && end[-1] == ' ')
			end--;
	}
	digits = end;
	while (digits > line && digits[-1] >= '0' && digits[-1] <= '9')
		digits--;
	return digits < end && digits > line && digits[-1] == '-';
}

static bool take_time(struct scan *scan, uint64_t *ret_time_ns)
{
	struct scan in = *scan;
	uint64_t seconds, fraction, unit = 1000000000;
	const char *digits;

	if (!take_decimal(&in, &seconds) || seconds > SECONDS_MAX || !take_char(&in, '.'))
		return false;
	digits = in.at;
	if (!take_decimal(&in, &fraction) || in.at - digits > 9 || !take_char(&in, ':'))
		return false;
	for (; digits < in.at - 1; digits++)
		unit /= 10;
	*ret_time_ns = seconds * 1000000000 + fraction * unit;
	*scan = in;
	return true;
}

/* The third letter of the flags says it; trace_print_lat_fmt() in kernel/trace/trace_output.c. */
static uint8_t context_of(const char *flags, size_t len)
{
	if (len < 3)
		return TRACE_TASK;
	switch (flags[2]) {
	case 's':
		return TRACE_SOFTIRQ;
	case 'h':
	case 'H':
		return TRACE_HARDIRQ;
	case 'z':
	case 'Z':
		return TRACE_NMI;
	default:
		return TRACE_TASK;
	}
}

/* Reads what follows the '[' of the CPU. */
static bool take_prefix(struct scan *scan, struct line *ret_line)
{
	struct scan in = *scan;
	uint64_t cpu;

	if (!take_decimal(&in, &cpu) || cpu > UINT32_MAX || !take_char(&in, ']') || !take_char(&in, ' '))
		return false;
	ret_line->cpu = (uint32_t)cpu;
	ret_line->context = TRACE_TASK;
	skip_blanks(&in);
	if (!take_time(&in, &ret_line->time_ns)) {
		const char *flags = in.at;

		while (in.at < in.end && *in.at != ' ')
			in.at++;
		ret_line->context = context_of(flags, (size_t)(in.at - flags));
		skip_blanks(&in);
		if (!take_time(&in, &ret_line->time_ns))
			return false;
	}
	*scan = in;
	return true;
}

static void take_name(struct scan *scan, struct line *ret_line)
{
	const char *at;

	skip_blanks(scan);
	for (at = scan->at; at < scan->end && *at != ':' && *at != ' '; at++)
		;
	ret_line->name = scan->at;
	ret_line->name_len = 0;
	if (at < scan->end && *at == ':') {
		ret_line->name_len = (size_t)(at - scan->at);
		scan->at = at + 1;
		skip_blanks(scan);
	}
}

static bool line_split(const char *text, size_t len, struct line *ret_line)
{
	struct scan scan = {.at = text, .end = text + len};

	while (scan.end > text && (scan.end[-1] == ' ' || scan.end[-1] == '\r'))
		scan.end--;
	while ((scan.at = memchr(scan.at, '[', (size_t)(scan.end - scan.at)))) {
		const char *bracket = scan.at++;

		if (task_ends_at(text, bracket) && take_prefix(&scan, ret_line)) {
			take_name(&scan, ret_line);
			ret_line->body = scan;
			return true;
		}
	}
	return false;
}

/* ---- bodies: false when the body is not what the event's name promises ---- */

static bool take_device(struct scan *scan, uint32_t *ret_device)
{
	uint64_t major, minor;

	if (!take_decimal(scan, &major) || major >= 1u << 11 || !take_char(scan, ',') ||
	    !take_decimal(scan, &minor) || minor >= 1u << 20 || !take_char(scan, ' '))
		return false;
	*ret_device = (uint32_t)(major << 20 | minor);
	return true;
}

struct rwbs {
	enum io_op op;
	bool none; /* N: no operation the block layer knows */
	bool preflush;
};

/* blk_fill_rwbs() in kernel/trace/blktrace.c: [F] operation [F] [A] [S] [M] [U]. */
static bool take_rwbs(struct scan *scan, struct rwbs *ret_rwbs)
{
	struct rwbs rwbs = {0};

	rwbs.preflush = scan->end - scan->at >= 2 && scan->at[0] == 'F' && scan->at[1] >= 'A' &&
			scan->at[1] <= 'Z' && scan->at[1] != 'A' && scan->at[1] != 'S' && scan->at[1] != 'M';
	if (rwbs.preflush)
		scan->at++;
	if (TAKE(scan, "WZ")) {
		rwbs.op = IO_WRITE_ZEROES;
	} else if (take_char(scan, 'R')) {
		rwbs.op = IO_READ;
	} else if (TAKE(scan, "ZA") || take_char(scan, 'W')) {
		rwbs.op = IO_WRITE;
	} else if (take_char(scan, 'D')) {
		rwbs.op = IO_DISCARD; /* and DE, secure erase */
	} else if (take_char(scan, 'F')) {
		rwbs.op = IO_FLUSH;
	} else if (take_char(scan, 'Z')) {
		rwbs.op = IO_PASSTHROUGH; /* zone management: a command without data */
	} else if (take_char(scan, 'N')) {
		rwbs.op = IO_PASSTHROUGH;
		rwbs.none = true;
	} else {
		return false;
	}
	while (scan->at < scan->end && *scan->at >= 'A' && *scan->at <= 'Z')
		scan->at++;
	*ret_rwbs = rwbs;
	return take_char(scan, ' ');
}

/* "(" the bytes of a SCSI command, mostly none ") ". */
static bool take_cdb(struct scan *scan)
{
	const char *close = memchr(scan->at, ')', (size_t)(scan->end - scan->at));

	if (!close || *scan->at != '(')
		return false;
	scan->at = close + 1;
	return take_char(scan, ' ');
}

/* "SECTOR + NR " and, anywhere behind it, "]" as the last character, which a cut line lacks. A request without a place
 * on the disk has all ones as its sector. */
static bool take_range(struct scan *scan, uint64_t *ret_sector, uint64_t *ret_count)
{
	return take_decimal(scan, ret_sector) && TAKE(scan, " + ") && take_decimal(scan, ret_count) &&
	       take_char(scan, ' ') && scan->end[-1] == ']' && *ret_count <= UINT32_MAX >> 9 &&
	       (*ret_sector <= TRACE_LBA_MAX || *ret_sector == UINT64_MAX);
}

/* N is a passthrough command, or, as kernels like 6.1 print it, write zeroes: that one has a place on the disk. */
static void set_op(struct trace_event *event, const struct rwbs *rwbs, uint64_t sector, uint64_t count)
{
	event->op = rwbs->op;
	if (rwbs->none && count > 0 && sector != UINT64_MAX)
		event->op = IO_WRITE_ZEROES;
	else if (rwbs->preflush && count == 0 && (rwbs->none || rwbs->op == IO_WRITE))
		event->op = IO_FLUSH;
	event->lba = sector == UINT64_MAX ? 0 : sector;
}

static bool body_rq_issue(struct scan *scan, struct trace_event *event)
{
	struct rwbs rwbs;
	uint64_t sector, count;

	if (!take_device(scan, &event->device) || !take_rwbs(scan, &rwbs) ||
	    !take_decimal(scan, &event->bytes) || event->bytes > UINT32_MAX || !take_char(scan, ' ') ||
	    !take_cdb(scan) || !take_range(scan, &sector, &count))
		return false;
	set_op(event, &rwbs, sector, count);
	event->kind = TRACE_ISSUE;
	return true;
}

/* [ERRNO], 0 or negative. */
static bool take_errno(struct scan *scan, int32_t *ret_error)
{
	const char *open = memrchr(scan->at, '[', (size_t)(scan->end - scan->at));
	struct scan in = {.at = open ? open + 1 : scan->end, .end = scan->end};
	bool negative = take_char(&in, '-');
	uint64_t value;

	if (!take_decimal(&in, &value) || value > 4095 || !take_char(&in, ']'))
		return false;
	*ret_error = negative ? -(int32_t)value : (int32_t)value;
	return true;
}

static bool body_rq_complete(struct scan *scan, struct trace_event *event)
{
	struct rwbs rwbs;
	uint64_t sector, count;

	if (!take_device(scan, &event->device) || !take_rwbs(scan, &rwbs) || !take_cdb(scan) ||
	    !take_range(scan, &sector, &count) || !take_errno(scan, &event->error))
		return false;
	set_op(event, &rwbs, sector, count);
	event->bytes = count << 9;
	/* A write that only carried a flush ends a second time with nothing: the flush machinery's, not a request's. */
	if (count == 0 && (rwbs.op == IO_WRITE || rwbs.op == IO_READ))
		event->kind = TRACE_OTHER;
	else
		event->kind = TRACE_COMPLETE;
	return true;
}

static bool body_rq_requeue(struct scan *scan, struct trace_event *event)
{
	if (!body_rq_complete(scan, event))
		return false;
	event->error = 0;
	event->kind = TRACE_REQUEUE;
	return true;
}

static bool body_bio_queue(struct scan *scan, struct trace_event *event)
{
	struct rwbs rwbs;
	uint64_t sector, count;

	if (!take_device(scan, &event->device) || !take_rwbs(scan, &rwbs) ||
	    !take_range(scan, &sector, &count))
		return false;
	set_op(event, &rwbs, sector, count);
	event->bytes = count << 9;
	event->kind = TRACE_QUEUE;
	return true;
}

/* "nvme0: disk=nvme0n1, qid=4, cmdid=53249", where disk= is absent for what is not for a namespace. */
static bool take_command_name(struct scan *scan, struct trace_event *event)
{
	uint64_t instance, queue, tag;

	if (!TAKE(scan, "nvme") || !take_decimal(scan, &instance) || instance >= 1u << 16 ||
	    !TAKE(scan, ": "))
		return false;
	if (!TAKE(scan, "qid=") && !FIND(scan, " qid="))
		return false;
	if (!take_decimal(scan, &queue) || queue >= TRACE_NO_QUEUE || !TAKE(scan, ", cmdid=") ||
	    !take_decimal(scan, &tag) || tag > UINT16_MAX || !take_char(scan, ','))
		return false;
	event->device = TRACE_NVME | (uint32_t)instance;
	event->queue = (uint16_t)queue;
	event->tag = (uint16_t)tag;
	return true;
}

static const struct {
	const char *name; /* with the blank behind it */
	enum io_op op;
	bool has_blocks; /* slba= and len= */
} nvme_commands[] = {
	{"nvme_cmd_read ", IO_READ, true},	    {"nvme_cmd_write ", IO_WRITE, true},
	{"nvme_cmd_zone_append ", IO_WRITE, false}, {"nvme_cmd_write_zeroes ", IO_WRITE_ZEROES, true},
	{"nvme_cmd_dsm ", IO_DISCARD, false},	    {"nvme_cmd_flush ", IO_FLUSH, false},
};

static bool body_nvme_setup(struct scan *scan, struct trace_event *event)
{
	uint64_t blocks;

	event->kind = TRACE_SETUP;
	event->op = IO_PASSTHROUGH;
	if (!take_command_name(scan, event) || !FIND(scan, " cmd=(") || scan->end[-1] != ')')
		return false;
	for (unsigned i = 0; event->queue && i < G_N_ELEMENTS(nvme_commands); i++) {
		if (!take_text(scan, nvme_commands[i].name, strlen(nvme_commands[i].name)))
			continue;
		event->op = nvme_commands[i].op;
		if (!nvme_commands[i].has_blocks)
			return true;
		if (!TAKE(scan, "slba=") || !take_decimal(scan, &event->lba) || !TAKE(scan, ", len=") ||
		    !take_decimal(scan, &blocks) || blocks > UINT16_MAX)
			return false;
		event->bytes = blocks + 1;
		return true;
	}
	return true;
}

static bool body_nvme_complete(struct scan *scan, struct trace_event *event)
{
	uint64_t status;

	event->kind = TRACE_NVME_COMPLETE;
	if (!take_command_name(scan, event) || !FIND(scan, " status=") || !take_number(scan, &status) ||
	    status > UINT16_MAX || scan->at != scan->end)
		return false;
	event->error = (int32_t)status;
	return true;
}

static bool set_segment(struct trace_event *event, uint64_t paddr, uint64_t bytes)
{
	event->kind = TRACE_SEGMENT;
	event->paddr = paddr;
	event->bytes = bytes;
	return bytes > 0 && bytes <= UINT32_MAX && paddr <= UINT64_MAX - bytes;
}

/* Probe on dma_iova_link(): "(PLACE) … phys=0x… … size=… dir=1". Probes are named by whoever sets them: one
 * without these fields is another's. Directions as in enum dma_data_direction: 0 both, 1 to the device, 2 from it. */
static bool body_link(struct scan *scan, struct trace_event *event)
{
	struct scan phys = *scan, size = *scan, dir = *scan;
	uint64_t paddr, bytes, direction;

	if (!FIND(&phys, " phys="))
		return true;
	if (!take_number(&phys, &paddr) || !FIND(&size, " size=") || !take_number(&size, &bytes) ||
	    !FIND(&dir, " dir=") || !take_number(&dir, &direction) || direction > 2)
		return false;
	event->to_device = direction != 2;
	return set_segment(event, paddr, bytes);
}

/* "DEVICE dir=TO_DEVICE dma_addr=… size=… phys_addr=… attrs=…"; a probe of this name starts with its place. */
static bool body_dma_map(struct scan *scan, struct trace_event *event)
{
	uint64_t dma_addr, bytes, paddr;

	if (scan->at < scan->end && *scan->at == '(')
		return true;
	if (!FIND(scan, " dir="))
		return false;
	event->to_device = TAKE(scan, "TO_DEVICE") || TAKE(scan, "BIDIRECTIONAL");
	if (!event->to_device && !TAKE(scan, "FROM_DEVICE"))
		return false;
	if (!TAKE(scan, " dma_addr=") || !take_hex(scan, &dma_addr) || !TAKE(scan, " size=") ||
	    !take_decimal(scan, &bytes) || !TAKE(scan, " phys_addr=") || !take_hex(scan, &paddr) ||
	    !TAKE(scan, " attrs"))
		return false;
	return set_segment(event, paddr, bytes);
}

/* ---- the reader ---- */

typedef bool (*body_parser)(struct scan *scan, struct trace_event *event);

#define NAME_IS(line, literal) (memcmp((line)->name, literal, sizeof(literal) - 1) == 0)

/* By length first: nearly all lines of a full recording are none of ours. */
static body_parser body_of(const struct line *line)
{
	switch (line->name_len) {
	case 4:
		return NAME_IS(line, "link") ? body_link : NULL;
	case 12:
		return NAME_IS(line, "dma_map_phys") || NAME_IS(line, "dma_map_page") ? body_dma_map : NULL;
	case 14:
		if (NAME_IS(line, "nvme_setup_cmd"))
			return body_nvme_setup;
		return NAME_IS(line, "block_rq_issue") ? body_rq_issue : NULL;
	case 15:
		return NAME_IS(line, "block_bio_queue") ? body_bio_queue : NULL;
	case 16:
		if (NAME_IS(line, "nvme_complete_rq"))
			return body_nvme_complete;
		return NAME_IS(line, "block_rq_requeue") ? body_rq_requeue : NULL;
	case 17:
		return NAME_IS(line, "block_rq_complete") ? body_rq_complete : NULL;
	default:
		return NULL;
	}
}

static bool is_free_text(const struct line *line)
{
	return (line->name_len == 18 && NAME_IS(line, "tracing_mark_write")) ||
	       (line->name_len == 5 && NAME_IS(line, "print")) ||
	       (line->name_len == 6 && NAME_IS(line, "bprint"));
}

/* "# entries-in-buffer/entries-written: 16735/16735   #P:4" */
static void header_entries(struct ftrace *ftrace, struct scan scan)
{
	uint64_t in_buffer, written;

	if (!TAKE(&scan, "# entries-in-buffer/entries-written: ") || !take_decimal(&scan, &in_buffer) ||
	    !take_char(&scan, '/') || !take_decimal(&scan, &written))
		return;
	ftrace->has_entries = true;
	ftrace->entries_in_buffer = in_buffer;
	ftrace->entries_written = written;
}

/* "CPU:2 [LOST 17 EVENTS]", from trace-cmd "CPU:2 [17 EVENTS DROPPED]". The number may be missing. */
static bool is_lost_line(struct ftrace *ftrace, struct scan scan)
{
	uint64_t cpu, count;

	if (!TAKE(&scan, "CPU:") || !take_decimal(&scan, &cpu) || !TAKE(&scan, " ["))
		return false;
	if (ftrace) {
		(void)TAKE(&scan, "LOST ");
		ftrace->lost_reports++;
		if (take_decimal(&scan, &count))
			ftrace->lost_events += MIN(count, UINT64_MAX - ftrace->lost_events);
	}
	return true;
}

/* Lines that belong to the format and are no event: headers, of trace-cmd too, and the lines of a stack trace. */
static bool is_header_line(struct scan scan)
{
	return scan.at == scan.end || *scan.at == '#' || TAKE(&scan, " => ") || TAKE(&scan, "cpus=") ||
	       TAKE(&scan, "version = ");
}

static int line_error(const struct ftrace *ftrace, GError **error, const char *what)
{
	return sim_error_line(error, input_path(ftrace->input), input_line_number(ftrace->input), "%s", what);
}

static int line_event(struct ftrace *ftrace, struct line *line, struct trace_event *ret_event, GError **error)
{
	struct trace_event event = {
		.kind = TRACE_OTHER,
		.time_ns = line->time_ns,
		.position = input_line_number(ftrace->input),
		.cpu = line->cpu,
		.context = line->context,
		.queue = TRACE_NO_QUEUE,
	};
	body_parser parse = body_of(line);

	if (line->cpu >= SIM_CPUS_MAX)
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "CPU %u: at most %u CPUs", line->cpu, SIM_CPUS_MAX);
	if (parse && !parse(&line->body, &event))
		return sim_error_line(error, input_path(ftrace->input), event.position,
				      "%.*s: fields not understood", (int)line->name_len, line->name);
	ftrace->mark_open = !parse && is_free_text(line);
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
		struct scan scan;
		struct line line;

		if (result <= 0)
			return result;
		scan = (struct scan){.at = text, .end = text + len};
		if (line_split(text, len, &line))
			return line_event(ftrace, &line, ret_event, error);
		if (is_header_line(scan)) {
			if (len == 13 && TAKE(&scan, "# tracer: blk"))
				return line_error(
					ftrace, error,
					"text of the blk tracer: record block:* events or blktrace files");
			header_entries(ftrace, scan);
		} else if (!is_lost_line(ftrace, scan) && !ftrace->mark_open) {
			return line_error(ftrace, error, "not a line of ftrace text");
		}
	}
}

/* "#P:4" at the end of a header line: how many CPUs the recording machine had. */
static uint32_t header_cpus(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes, *found = g_strstr_len(text, (gssize)len, "#P:");
	struct scan scan = {.at = found, .end = text + len};
	uint64_t cpus;

	if (!found || !TAKE(&scan, "#P:") || !take_decimal(&scan, &cpus) || cpus > SIM_CPUS_MAX)
		return 0;
	return (uint32_t)cpus;
}

static bool ftrace_open(void *state, struct input *input, const char *path, GError **error)
{
	struct ftrace *ftrace = state;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, HEADER_BYTES, &bytes, error);

	if (len < 0)
		return false;
	ftrace->input = input;
	ftrace->cpus = header_cpus(bytes, (size_t)len);
	return true;
}

static uint32_t ftrace_cpus(const void *state)
{
	return ((const struct ftrace *)state)->cpus;
}

static int ftrace_probe(const uint8_t *bytes, size_t len)
{
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + len};

	if (TAKE(&scan, "# tracer: "))
		return 95;
	for (unsigned i = 0; i < PROBE_LINES && scan.at < scan.end; i++) {
		const char *newline = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));
		struct scan text = {.at = scan.at, .end = newline ? newline : scan.end};
		struct line line;

		if (line_split(text.at, (size_t)(text.end - text.at), &line))
			return 85;
		if (!is_header_line(text) && !is_lost_line(NULL, text))
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

static void ftrace_close(void *state)
{
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
	.close = ftrace_close,
};
