/* SPDX-License-Identifier: MIT */
#include "sim/trace/ktext.h"

#include "sim/core/sim.h"

#define SECONDS_MAX (UINT64_MAX / 1000000000 - 1)

/* ---- the line ---- */

/* Returns where the digits of TASK-PID begin, which with (TGID) perhaps ends right before @end, and their end; NULL if there
 * is no such thing. */
static const char *pid_before(const char *line, const char *end, const char **ret_end)
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
	*ret_end = end;
	return digits < end && digits > line && digits[-1] == '-' ? digits : NULL;
}

static bool task_ends_at(const char *line, const char *end)
{
	return pid_before(line, end, &end) != NULL;
}

uint32_t ktext_pid(const char *text, const struct ktext_line *line)
{
	struct scan scan = {0};
	uint64_t pid = 0;

	scan.at = pid_before(text, line->task_end, &scan.end);
	return scan.at && scan_decimal(&scan, &pid) && pid <= UINT32_MAX ? (uint32_t)pid : 0;
}

static bool take_time(struct scan *scan, uint64_t *ret_time_ns)
{
	struct scan in = *scan;
	uint64_t seconds, fraction, unit = 1000000000;
	const char *digits;

	if (!scan_decimal(&in, &seconds) || seconds > SECONDS_MAX || !scan_char(&in, '.'))
		return false;
	digits = in.at;
	if (!scan_decimal(&in, &fraction) || in.at - digits > 9 || !scan_char(&in, ':'))
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
static bool take_prefix(struct scan *scan, struct ktext_line *ret_line)
{
	struct scan in = *scan;
	uint64_t cpu;

	if (!scan_decimal(&in, &cpu) || cpu > UINT32_MAX || !scan_char(&in, ']') || !scan_char(&in, ' '))
		return false;
	ret_line->cpu = (uint32_t)cpu;
	ret_line->context = TRACE_TASK;
	scan_blanks(&in);
	if (!take_time(&in, &ret_line->time_ns)) {
		const char *flags = in.at;

		while (in.at < in.end && *in.at != ' ')
			in.at++;
		ret_line->context = context_of(flags, (size_t)(in.at - flags));
		scan_blanks(&in);
		if (!take_time(&in, &ret_line->time_ns))
			return false;
	}
	*scan = in;
	return true;
}

static void take_name(struct scan *scan, struct ktext_line *ret_line)
{
	const char *at;

	scan_blanks(scan);
	for (at = scan->at; at < scan->end && *at != ':' && *at != ' '; at++)
		;
	ret_line->name = scan->at;
	ret_line->name_len = 0;
	if (at < scan->end && *at == ':') {
		ret_line->name_len = (size_t)(at - scan->at);
		scan->at = at + 1;
		scan_blanks(scan);
	}
}

bool ktext_split(const char *text, size_t len, struct ktext_line *ret_line)
{
	struct scan scan = {.at = text, .end = text + len};

	while (scan.end > text && (scan.end[-1] == ' ' || scan.end[-1] == '\r'))
		scan.end--;
	while ((scan.at = memchr(scan.at, '[', (size_t)(scan.end - scan.at)))) {
		const char *bracket = scan.at++;

		if (task_ends_at(text, bracket) && take_prefix(&scan, ret_line)) {
			take_name(&scan, ret_line);
			ret_line->task_end = bracket;
			ret_line->body = scan;
			return true;
		}
	}
	return false;
}

/* ---- bodies: false when the body is not what the event's name promises ---- */

bool ktext_device(struct scan *scan, uint32_t *ret_device)
{
	struct scan in = *scan;
	uint64_t major, minor;

	if (!scan_decimal(&in, &major) || major >= 1u << 11 || !scan_char(&in, ',') ||
	    !scan_decimal(&in, &minor) || minor >= 1u << 20)
		return false;
	*ret_device = (uint32_t)(major << 20 | minor);
	*scan = in;
	return true;
}

static bool device_and_blank(struct scan *scan, uint32_t *ret_device)
{
	return ktext_device(scan, ret_device) && scan_char(scan, ' ');
}

bool ktext_rwbs(struct scan *scan, struct ktext_rwbs *ret_rwbs)
{
	struct ktext_rwbs rwbs = {0};

	rwbs.preflush = scan->end - scan->at >= 2 && scan->at[0] == 'F' && scan->at[1] >= 'A' &&
			scan->at[1] <= 'Z' && scan->at[1] != 'A' && scan->at[1] != 'S' && scan->at[1] != 'M';
	if (rwbs.preflush)
		scan->at++;
	if (SCAN(scan, "WZ")) {
		rwbs.op = IO_WRITE_ZEROES;
	} else if (scan_char(scan, 'R')) {
		rwbs.op = IO_READ;
	} else if (SCAN(scan, "ZA") || scan_char(scan, 'W')) {
		rwbs.op = IO_WRITE;
	} else if (scan_char(scan, 'D')) {
		rwbs.op = IO_DISCARD; /* and DE, secure erase */
	} else if (scan_char(scan, 'F')) {
		rwbs.op = IO_FLUSH;
	} else if (scan_char(scan, 'Z')) {
		rwbs.op = IO_PASSTHROUGH; /* zone management: a command without data */
	} else if (scan_char(scan, 'N')) {
		rwbs.op = IO_PASSTHROUGH;
		rwbs.none = true;
	} else {
		return false;
	}
	while (scan->at < scan->end && *scan->at >= 'A' && *scan->at <= 'Z')
		scan->at++;
	*ret_rwbs = rwbs;
	return true;
}

static bool rwbs_and_blank(struct scan *scan, struct ktext_rwbs *ret_rwbs)
{
	return ktext_rwbs(scan, ret_rwbs) && scan_char(scan, ' ');
}

/* "(" the bytes of a SCSI command, mostly none ") ". */
static bool take_cdb(struct scan *scan)
{
	const char *close = memchr(scan->at, ')', (size_t)(scan->end - scan->at));

	if (!close || *scan->at != '(')
		return false;
	scan->at = close + 1;
	return scan_char(scan, ' ');
}

/* "SECTOR + NR " and, anywhere behind it, "]" as the last character, which a cut line lacks. A request without a place
 * on the disk has all ones as its sector. */
static bool take_range(struct scan *scan, uint64_t *ret_sector, uint64_t *ret_count)
{
	return scan_decimal(scan, ret_sector) && SCAN(scan, " + ") && scan_decimal(scan, ret_count) &&
	       scan_char(scan, ' ') && scan->end[-1] == ']' && *ret_count <= UINT32_MAX >> 9 &&
	       (*ret_sector <= TRACE_LBA_MAX || *ret_sector == UINT64_MAX);
}

bool ktext_is_flush_echo(const struct ktext_rwbs *rwbs, uint64_t count)
{
	return count == 0 && (rwbs->op == IO_WRITE || rwbs->op == IO_READ);
}

/* N is a passthrough command, or, as kernels like 6.1 print it, write zeroes: that one has a place on the disk. */
void ktext_set_op(struct trace_event *event, const struct ktext_rwbs *rwbs, uint64_t sector, uint64_t count)
{
	event->op = rwbs->op;
	if (rwbs->none && count > 0 && sector != UINT64_MAX)
		event->op = IO_WRITE_ZEROES;
	else if (rwbs->preflush && count == 0 && (rwbs->none || rwbs->op == IO_WRITE))
		event->op = IO_FLUSH;
	event->lba = sector == UINT64_MAX ? 0 : sector;
}

/* Old kernels (4.10 and before) have bytes only of passthrough commands, else 0. */
void ktext_set_bytes(struct trace_event *event, uint64_t bytes, uint64_t count)
{
	event->bytes = bytes || event->op == IO_PASSTHROUGH ? bytes : count << 9;
}

static bool body_rq_issue(struct scan *scan, struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t sector, count;

	if (!device_and_blank(scan, &event->device) || !rwbs_and_blank(scan, &rwbs) ||
	    !scan_decimal(scan, &event->bytes) || event->bytes > UINT32_MAX || !scan_char(scan, ' ') ||
	    !take_cdb(scan) || !take_range(scan, &sector, &count))
		return false;
	ktext_set_op(event, &rwbs, sector, count);
	ktext_set_bytes(event, event->bytes, count);
	event->kind = TRACE_ISSUE;
	return true;
}

/* [ERRNO], 0 or negative. */
static bool take_errno(struct scan *scan, int32_t *ret_error)
{
	const char *open = memrchr(scan->at, '[', (size_t)(scan->end - scan->at));
	struct scan in = {.at = open ? open + 1 : scan->end, .end = scan->end};
	bool negative = scan_char(&in, '-');
	uint64_t value;

	if (!scan_decimal(&in, &value) || value > 4095 || !scan_char(&in, ']'))
		return false;
	*ret_error = negative ? -(int32_t)value : (int32_t)value;
	return true;
}

static bool body_rq_complete(struct scan *scan, struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t sector, count;

	if (!device_and_blank(scan, &event->device) || !rwbs_and_blank(scan, &rwbs) || !take_cdb(scan) ||
	    !take_range(scan, &sector, &count) || !take_errno(scan, &event->error))
		return false;
	ktext_set_op(event, &rwbs, sector, count);
	event->bytes = count << 9;
	event->kind = ktext_is_flush_echo(&rwbs, count) ? TRACE_OTHER : TRACE_COMPLETE;
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
	struct ktext_rwbs rwbs;
	uint64_t sector, count;

	if (!device_and_blank(scan, &event->device) || !rwbs_and_blank(scan, &rwbs) ||
	    !take_range(scan, &sector, &count))
		return false;
	ktext_set_op(event, &rwbs, sector, count);
	event->bytes = count << 9;
	event->kind = TRACE_QUEUE;
	return true;
}

/* "nvme0: disk=nvme0n1, qid=4, cmdid=53249", where disk= is absent for what is not for a namespace. */
static bool take_command_name(struct scan *scan, struct trace_event *event)
{
	uint64_t instance, queue, tag;

	if (!SCAN(scan, "nvme") || !scan_decimal(scan, &instance) || instance >= 1u << 16 ||
	    !SCAN(scan, ": "))
		return false;
	if (!SCAN(scan, "qid=") && !SCAN_FIND(scan, " qid="))
		return false;
	if (!scan_decimal(scan, &queue) || queue >= TRACE_NO_QUEUE || !SCAN(scan, ", cmdid=") ||
	    !scan_decimal(scan, &tag) || tag > UINT16_MAX || !scan_char(scan, ','))
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
	if (!take_command_name(scan, event) || !SCAN_FIND(scan, " cmd=(") || scan->end[-1] != ')')
		return false;
	for (unsigned i = 0; event->queue && i < G_N_ELEMENTS(nvme_commands); i++) {
		if (!scan_text(scan, nvme_commands[i].name, strlen(nvme_commands[i].name)))
			continue;
		event->op = nvme_commands[i].op;
		if (!nvme_commands[i].has_blocks)
			return true;
		if (!SCAN(scan, "slba=") || !scan_decimal(scan, &event->lba) || !SCAN(scan, ", len=") ||
		    !scan_decimal(scan, &blocks) || blocks > UINT16_MAX)
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
	if (!take_command_name(scan, event) || !SCAN_FIND(scan, " status=") || !scan_number(scan, &status) ||
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

	if (!SCAN_FIND(&phys, " phys="))
		return true;
	if (!scan_number(&phys, &paddr) || !SCAN_FIND(&size, " size=") || !scan_number(&size, &bytes) ||
	    !SCAN_FIND(&dir, " dir=") || !scan_number(&dir, &direction) || direction > 2)
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
	if (!SCAN_FIND(scan, " dir="))
		return false;
	event->to_device = SCAN(scan, "TO_DEVICE") || SCAN(scan, "BIDIRECTIONAL");
	if (!event->to_device && !SCAN(scan, "FROM_DEVICE"))
		return false;
	if (!SCAN(scan, " dma_addr=") || !scan_hex(scan, &dma_addr) || !SCAN(scan, " size=") ||
	    !scan_decimal(scan, &bytes) || !SCAN(scan, " phys_addr=") || !scan_hex(scan, &paddr) ||
	    !SCAN(scan, " attrs"))
		return false;
	return set_segment(event, paddr, bytes);
}

/* ---- bodies of tools that do not know the kernel's own functions: all fields, as they are in the event ---- */

#define RAW_HEAD "[FAILED TO PARSE]"

static const struct {
	uint8_t opcode;
	enum io_op op;
	bool has_blocks; /* the place in the first eight bytes, the length in the next two */
} nvme_opcodes[] = {
	{0x00, IO_FLUSH, false},       {0x01, IO_WRITE, true},	  {0x02, IO_READ, true},
	{0x08, IO_WRITE_ZEROES, true}, {0x09, IO_DISCARD, false}, {0x7d, IO_WRITE, false},
};

void ktext_set_command(struct trace_event *event, uint64_t opcode, const uint8_t cdw10[KTEXT_CDW10_BYTES])
{
	uint64_t lba;

	event->op = IO_PASSTHROUGH;
	for (unsigned i = 0; event->queue && i < G_N_ELEMENTS(nvme_opcodes); i++) {
		if (nvme_opcodes[i].opcode != opcode)
			continue;
		event->op = nvme_opcodes[i].op;
		if (!nvme_opcodes[i].has_blocks)
			return;
		memcpy(&lba, cdw10, sizeof(lba));
		event->lba = GUINT64_FROM_LE(lba);
		event->bytes = (uint64_t)(cdw10[8] | cdw10[9] << 8) + 1;
	}
}

/* Takes " NAME=" of a number below @limit, which stands anywhere. */
static bool raw_number(struct scan scan, const char *name, uint64_t limit, uint64_t *ret_value)
{
	return scan_find_text(&scan, name, strlen(name)) && scan_number(&scan, ret_value) &&
	       *ret_value < limit;
}

/* " cdw10=ARRAY[00, 08, …]", in hexadecimal. */
static bool raw_cdw10(struct scan scan, uint8_t ret_bytes[KTEXT_CDW10_BYTES])
{
	if (!SCAN_FIND(&scan, " cdw10=ARRAY["))
		return false;
	for (unsigned i = 0; i < KTEXT_CDW10_BYTES; i++) {
		uint64_t byte;

		if (!scan_hex(&scan, &byte) || byte > UINT8_MAX ||
		    !(i + 1 < KTEXT_CDW10_BYTES ? SCAN(&scan, ", ") : SCAN(&scan, "]")))
			return false;
		ret_bytes[i] = (uint8_t)byte;
	}
	return true;
}

static bool raw_command_name(struct scan scan, struct trace_event *event)
{
	uint64_t instance, queue, tag;

	if (!raw_number(scan, " ctrl_id=", 1u << 16, &instance) ||
	    !raw_number(scan, " qid=", TRACE_NO_QUEUE, &queue) ||
	    !raw_number(scan, " cid=", UINT16_MAX + 1u, &tag))
		return false;
	event->device = TRACE_NVME | (uint32_t)instance;
	event->queue = (uint16_t)queue;
	event->tag = (uint16_t)tag;
	return true;
}

/* What lacks a field is not used, and no error: nobody promised it. */
static bool raw_nvme_setup(struct scan *scan, struct trace_event *event)
{
	uint8_t cdw10[KTEXT_CDW10_BYTES];
	uint64_t opcode;

	if (raw_number(*scan, " opcode=", UINT8_MAX + 1u, &opcode) && raw_cdw10(*scan, cdw10) &&
	    raw_command_name(*scan, event)) {
		event->kind = TRACE_SETUP;
		ktext_set_command(event, opcode, cdw10);
	}
	return true;
}

static bool raw_nvme_complete(struct scan *scan, struct trace_event *event)
{
	uint64_t status;

	if (raw_number(*scan, " status=", UINT16_MAX + 1u, &status) && raw_command_name(*scan, event)) {
		event->kind = TRACE_NVME_COMPLETE;
		event->error = (int32_t)status;
	}
	return true;
}

bool ktext_is_raw(const struct ktext_line *line)
{
	struct scan body = line->body;

	return SCAN(&body, RAW_HEAD);
}

/* ---- which event is which ---- */

#define NAME_IS(literal) (memcmp(name, literal, sizeof(literal) - 1) == 0)

/* By length first: nearly all lines of a full recording are none of ours. */
static ktext_body body_of(const char *name, size_t len)
{
	switch (len) {
	case 4:
		return NAME_IS("link") ? body_link : NULL;
	case 12:
		return NAME_IS("dma_map_phys") || NAME_IS("dma_map_page") ? body_dma_map : NULL;
	case 14:
		if (NAME_IS("nvme_setup_cmd"))
			return body_nvme_setup;
		return NAME_IS("block_rq_issue") ? body_rq_issue : NULL;
	case 15:
		return NAME_IS("block_bio_queue") ? body_bio_queue : NULL;
	case 16:
		if (NAME_IS("nvme_complete_rq"))
			return body_nvme_complete;
		return NAME_IS("block_rq_requeue") ? body_rq_requeue : NULL;
	case 17:
		return NAME_IS("block_rq_complete") ? body_rq_complete : NULL;
	default:
		return NULL;
	}
}

#undef NAME_IS

ktext_body ktext_body_of(const struct ktext_line *line)
{
	ktext_body body = body_of(line->name, line->name_len);

	if (!body || !ktext_is_raw(line))
		return body;
	if (body == body_nvme_setup)
		return raw_nvme_setup;
	return body == body_nvme_complete ? raw_nvme_complete : NULL;
}

/* ---- blktrace's actions ---- */

bool ktext_action(struct scan *scan, enum trace_event_kind *ret_kind)
{
	const char *at = scan->at;

	while (scan->at < scan->end && g_ascii_isalpha(*scan->at))
		scan->at++;
	*ret_kind = TRACE_OTHER;
	if (scan->at - at != 1)
		return scan->at - at == 2; /* UT, unplugged by its timer */
	switch (*at) {
	case 'Q':
		*ret_kind = TRACE_QUEUE;
		break;
	case 'R':
		*ret_kind = TRACE_REQUEUE;
		break;
	case 'D':
		*ret_kind = TRACE_ISSUE;
		break;
	case 'C':
		*ret_kind = TRACE_COMPLETE;
		break;
	}
	return true;
}

/* A command's bytes instead of sectors: "36 (12 00 …) [COMM]"; its completion tells neither. */
static bool request_of_bytes(struct scan *scan, struct trace_event *event, uint64_t bytes)
{
	event->op = IO_PASSTHROUGH;
	event->lba = 0;
	event->bytes = bytes;
	return bytes <= UINT32_MAX;
}

/* blk_log_generic() and blk_log_with_error(): without sectors, completions still name a place, all others nothing. */
bool ktext_request(struct scan *scan, const struct ktext_rwbs *rwbs, struct trace_event *event)
{
	bool has_error = event->kind == TRACE_COMPLETE || event->kind == TRACE_REQUEUE;
	uint64_t sector = 0, count = 0;
	bool has_number;

	scan_blanks(scan);
	has_number = scan_decimal(scan, &sector);
	if (has_number && SCAN(scan, " + ") && !scan_decimal(scan, &count))
		return false;
	scan_blanks(scan);
	if (scan->at == scan->end || (*scan->at != '[' && *scan->at != '(') || scan->end[-1] != ']')
		return false;
	if (has_error && (!take_errno(scan, &event->error)))
		return false;
	if (count > UINT32_MAX >> 9 || (sector > TRACE_LBA_MAX && sector != UINT64_MAX))
		return false;
	if (has_error ? !has_number : has_number && count == 0)
		return request_of_bytes(scan, event, sector);
	ktext_set_op(event, rwbs, sector, count);
	event->bytes = count << 9;
	if (event->op == IO_FLUSH || event->op == IO_PASSTHROUGH)
		event->lba = 0;
	if (event->kind == TRACE_COMPLETE && ktext_is_flush_echo(rwbs, count) && event->op != IO_FLUSH)
		event->kind = TRACE_OTHER;
	return true;
}

/* ---- lines that are no events ---- */

static bool is_header(struct scan scan)
{
	uint64_t cpu;

	if (SCAN(&scan, "CPU "))
		return scan_decimal(&scan, &cpu) && SCAN(&scan, " is empty");
	return scan.at == scan.end || *scan.at == '#' || SCAN(&scan, " => ") || SCAN(&scan, "cpus=") ||
	       SCAN(&scan, "version = ");
}

/* "# entries-in-buffer/entries-written: 16735/16735   #P:4" */
static void take_entries(struct ktext_aside *aside, struct scan scan)
{
	uint64_t in_buffer, written;

	if (!SCAN(&scan, "# entries-in-buffer/entries-written: ") || !scan_decimal(&scan, &in_buffer) ||
	    !scan_char(&scan, '/') || !scan_decimal(&scan, &written))
		return;
	aside->has_entries = true;
	aside->entries_in_buffer = in_buffer;
	aside->entries_written = written;
}

bool ktext_aside(struct ktext_aside *aside, struct scan scan)
{
	uint64_t cpu, count = 0;

	if (is_header(scan)) {
		take_entries(aside, scan);
		return true;
	}
	if (!SCAN(&scan, "CPU:") || !scan_decimal(&scan, &cpu) || !SCAN(&scan, " ["))
		return false;
	(void)SCAN(&scan, "LOST ");
	(void)scan_decimal(&scan, &count); /* the number may be missing */
	aside->lost_reports++;
	aside->lost_events += MIN(count, UINT64_MAX - aside->lost_events);
	return true;
}

static void add_fact(GHashTable *facts, const char *key, uint64_t value)
{
	g_hash_table_replace(facts, g_strdup(key), g_strdup_printf("%" G_GUINT64_FORMAT, value));
}

void ktext_aside_facts(const struct ktext_aside *aside, GHashTable *facts)
{
	if (aside->has_entries) {
		add_fact(facts, "entries in buffer", aside->entries_in_buffer);
		add_fact(facts, "entries written", aside->entries_written);
	}
	add_fact(facts, "lost events", aside->lost_events);
	add_fact(facts, "lost reports", aside->lost_reports);
}

bool ktext_first(const uint8_t *bytes, size_t len, struct ktext_line *ret_line)
{
	struct scan scan = {.at = (const char *)bytes, .end = (const char *)bytes + len};
	struct ktext_aside aside = {0};

	while (scan.at < scan.end) {
		const char *newline = memchr(scan.at, '\n', (size_t)(scan.end - scan.at));
		struct scan text = {.at = scan.at, .end = newline ? newline : scan.end};

		if (ktext_split(text.at, (size_t)(text.end - text.at), ret_line))
			return true;
		if (!ktext_aside(&aside, text))
			return false;
		scan.at = newline ? newline + 1 : scan.end;
	}
	return false;
}

uint32_t ktext_header_cpus(const uint8_t *bytes, size_t len)
{
	const char *text = (const char *)bytes, *found = g_strstr_len(text, (gssize)len, "#P:");
	struct scan scan = {.at = found, .end = text + len};
	uint64_t cpus;

	if (!found || !SCAN(&scan, "#P:") || !scan_decimal(&scan, &cpus) || cpus > SIM_CPUS_MAX)
		return 0;
	return (uint32_t)cpus;
}
