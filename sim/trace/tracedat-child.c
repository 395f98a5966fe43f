/* SPDX-License-Identifier: MIT */
/*
 * The process that reads a trace.dat for tracedat.c, by libtracecmd and libtraceevent. What the fields of events mean is as
 * in ktext.c and kevent.c, which have them as text.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <trace-cmd.h>
#include <unistd.h>

#include "sim/core/sim.h"
#include "sim/trace/kevent-rows.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"
#include "sim/trace/tracedat-internal.h"

#define FIELDS_MAX   6
#define IDLE_SECONDS 20 /* of CPU time without a batch: the child turns in circles */

G_STATIC_ASSERT(FIELDS_MAX >= KEVENT_KEYS_MAX);

/* ---- events and their fields ---- */

struct kind_of_event;

typedef bool (*event_reader)(const struct kind_of_event *kind, const struct tep_record *record,
			     struct trace_event *event);

struct kind_of_event {
	struct tep_event *event;
	const struct kevent_row *row; /* NULL: none of these, or not asked for */
	event_reader read;	      /* NULL: not used */
	bool mark;
	struct tep_format_field *fields[FIELDS_MAX]; /* of the first of these three that it has */
	uint32_t name;
	uint64_t count;
};

struct child {
	struct tep_handle *tep;
	GHashTable *kinds;  /* event -> kind_of_event */
	struct names names; /* as the parent knows them */
	uint64_t lost_events, lost_reports;
	int pipe;
	bool kevents;
	struct message messages[TRACEDAT_BATCH];
	size_t count;
	bool failed;
};

/* Sign-extended, where the field is signed. */
static uint64_t field_u64(const struct kind_of_event *kind, unsigned i, const struct tep_record *record,
			  bool *ok)
{
	const unsigned long no_number = TEP_FIELD_IS_ARRAY | TEP_FIELD_IS_STRING | TEP_FIELD_IS_DYNAMIC;
	struct tep_format_field *field = kind->fields[i];
	unsigned long long value = 0;

	if (!field || field->flags & no_number || field->offset < 0 || field->size <= 0 ||
	    field->offset + field->size > record->size ||
	    tep_read_number_field(field, record->data, &value) != 0) {
		*ok = false;
		return 0;
	}
	if (field->flags & TEP_FIELD_IS_SIGNED && field->size < 8 && value >> (field->size * 8 - 1))
		value |= UINT64_MAX << field->size * 8;
	return value;
}

static const uint8_t *field_bytes(const struct kind_of_event *kind, unsigned i,
				  const struct tep_record *record, int size)
{
	struct tep_format_field *field = kind->fields[i];

	if (!field || field->offset < 0 || field->size < size || field->offset + field->size > record->size)
		return NULL;
	return (const uint8_t *)record->data + field->offset;
}

static bool field_rwbs(const struct kind_of_event *kind, unsigned i, const struct tep_record *record,
		       struct ktext_rwbs *ret_rwbs)
{
	const char *text = (const char *)field_bytes(kind, i, record, 1);
	struct scan scan = {.at = text, .end = text};

	if (!text)
		return false;
	while (scan.end < text + kind->fields[i]->size && *scan.end)
		scan.end++;
	return ktext_rwbs(&scan, ret_rwbs) && scan.at == scan.end;
}

/* dev, sector, nr_sector, rwbs: what all block events begin with. */
static bool read_block(const struct kind_of_event *kind, const struct tep_record *record,
		       struct trace_event *event, struct ktext_rwbs *ret_rwbs, uint64_t *ret_count)
{
	bool ok = true;
	uint64_t device = field_u64(kind, 0, record, &ok), sector = field_u64(kind, 1, record, &ok),
		 count = field_u64(kind, 2, record, &ok);

	if (!ok || !field_rwbs(kind, 3, record, ret_rwbs) || device >> 20 >= 1u << 11 ||
	    count > UINT32_MAX >> 9 || (sector > TRACE_LBA_MAX && sector != UINT64_MAX))
		return false;
	event->device = (uint32_t)device;
	event->bytes = count << 9;
	ktext_set_op(event, ret_rwbs, sector, count);
	*ret_count = count;
	return true;
}

static bool read_issue(const struct kind_of_event *kind, const struct tep_record *record,
		       struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t count;
	bool ok = read_block(kind, record, event, &rwbs, &count);

	event->kind = TRACE_ISSUE;
	ktext_set_bytes(event, field_u64(kind, 4, record, &ok), count);
	return ok && event->bytes <= UINT32_MAX;
}

static bool read_queue(const struct kind_of_event *kind, const struct tep_record *record,
		       struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t count;

	event->kind = TRACE_QUEUE;
	return read_block(kind, record, event, &rwbs, &count);
}

static bool read_requeue(const struct kind_of_event *kind, const struct tep_record *record,
			 struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t count;

	if (!read_block(kind, record, event, &rwbs, &count))
		return false;
	event->kind = ktext_is_flush_echo(&rwbs, count) ? TRACE_OTHER : TRACE_REQUEUE;
	return true;
}

static bool read_complete(const struct kind_of_event *kind, const struct tep_record *record,
			  struct trace_event *event)
{
	struct ktext_rwbs rwbs;
	uint64_t count;
	bool ok = read_block(kind, record, event, &rwbs, &count);

	event->error = (int32_t)field_u64(kind, 4, record, &ok);
	event->kind = ok && ktext_is_flush_echo(&rwbs, count) ? TRACE_OTHER : TRACE_COMPLETE;
	return ok && event->error <= 4095 && event->error >= -4095;
}

static bool read_command(const struct kind_of_event *kind, const struct tep_record *record,
			 struct trace_event *event)
{
	bool ok = true;
	uint64_t instance = field_u64(kind, 0, record, &ok), queue = field_u64(kind, 1, record, &ok),
		 tag = field_u64(kind, 2, record, &ok);

	event->device = TRACE_NVME | (uint32_t)instance;
	event->queue = (uint16_t)queue;
	event->tag = (uint16_t)tag;
	return ok && instance < 1u << 16 && queue < TRACE_NO_QUEUE && tag <= UINT16_MAX;
}

static bool read_setup(const struct kind_of_event *kind, const struct tep_record *record,
		       struct trace_event *event)
{
	bool ok = read_command(kind, record, event);
	uint64_t opcode = field_u64(kind, 3, record, &ok);
	const uint8_t *cdw10 = field_bytes(kind, 4, record, KTEXT_CDW10_BYTES);

	event->kind = TRACE_SETUP;
	if (!ok || !cdw10)
		return false;
	ktext_set_command(event, opcode, cdw10);
	return true;
}

static bool read_nvme_complete(const struct kind_of_event *kind, const struct tep_record *record,
			       struct trace_event *event)
{
	bool ok = read_command(kind, record, event);

	event->kind = TRACE_NVME_COMPLETE;
	event->error = (int32_t)field_u64(kind, 3, record, &ok);
	return ok;
}

/* A probe of one of these names, set by others and for something else, has no physical address. */
static bool read_segment(const struct kind_of_event *kind, const struct tep_record *record,
			 struct trace_event *event)
{
	bool ok = true;
	uint64_t paddr, bytes, direction;

	if (!kind->fields[0])
		return true;
	paddr = field_u64(kind, 0, record, &ok);
	bytes = field_u64(kind, 1, record, &ok);
	direction = field_u64(kind, 2, record, &ok);
	event->kind = TRACE_SEGMENT;
	event->paddr = paddr;
	event->bytes = bytes;
	event->to_device = direction != 2;
	return ok && bytes > 0 && bytes <= UINT32_MAX && paddr <= UINT64_MAX - bytes && direction <= 2;
}

static const struct {
	const char *name;
	event_reader read;
	const char *fields[FIELDS_MAX];
} used_events[] = {
	{"block_rq_issue", read_issue, {"dev", "sector", "nr_sector", "rwbs", "bytes"}},
	{"block_rq_complete", read_complete, {"dev", "sector", "nr_sector", "rwbs", "error"}},
	{"block_rq_requeue", read_requeue, {"dev", "sector", "nr_sector", "rwbs"}},
	{"block_bio_queue", read_queue, {"dev", "sector", "nr_sector", "rwbs"}},
	{"nvme_setup_cmd", read_setup, {"ctrl_id", "qid", "cid", "opcode", "cdw10"}},
	{"nvme_complete_rq", read_nvme_complete, {"ctrl_id", "qid", "cid", "status"}},
	{"link", read_segment, {"phys", "size", "dir"}},
	{"dma_map_phys", read_segment, {"phys_addr", "size", "dir"}},
	{"dma_map_page", read_segment, {"phys_addr", "size", "dir"}},
};

/* ---- sending ---- */

static void send_all(struct child *child)
{
	const struct itimerval patience = {.it_value.tv_sec = IDLE_SECONDS};
	const char *at = (const char *)child->messages;
	size_t left = child->count * sizeof(struct message);

	while (left) {
		ssize_t written = write(child->pipe, at, left);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			_exit(1); /* nobody listens any more */
		at += written;
		left -= (size_t)written;
	}
	child->count = 0;
	setitimer(ITIMER_PROF, &patience, NULL);
}

static struct message *send_next(struct child *child, enum message_kind kind, uint64_t value)
{
	struct message *message;

	if (child->count == TRACEDAT_BATCH)
		send_all(child);
	message = &child->messages[child->count++];
	memset(message, 0, sizeof(*message));
	message->kind = kind;
	message->value = value;
	return message;
}

static void send_text(struct child *child, enum message_kind kind, uint64_t value, const char *text)
{
	g_strlcpy(send_next(child, kind, value)->text, text, TRACEDAT_TEXT_BYTES);
}

/* ---- which event is which ---- */

/* A probe's fields begin with its place. */
static bool is_probe(const struct tep_event *event)
{
	return event->format.fields && g_str_has_prefix(event->format.fields->name, "__probe_");
}

static struct tep_format_field *key_field(struct tep_event *event, const struct kevent_key *key)
{
	g_autofree char *name = g_strndup(key->text + 1, strlen(key->text) - 2);
	struct tep_format_field *field = tep_find_field(event, name);

	return field || !key->format ? field : tep_find_field(event, key->format);
}

/* Finds what kevent.c makes of the event. Returns false if that is nothing but its being an I/O event or another. */
static bool kind_set_row(struct kind_of_event *kind)
{
	struct tep_event *event = kind->event;

	kind->row = kevent_row_of(event->name, strlen(event->name), is_probe(event));
	for (unsigned i = 0; kind->row && i < KEVENT_KEYS_MAX && kind->row->keys[i].text; i++)
		kind->fields[i] = key_field(event, &kind->row->keys[i]);
	kind->mark = !kind->row && strcmp(event->name, "print") == 0 && strcmp(event->system, "ftrace") == 0;
	if (kind->mark)
		kind->fields[0] = tep_find_field(event, "buf");
	return kind->row || kind->mark;
}

static void kind_set_reader(struct kind_of_event *kind)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(used_events); i++) {
		if (strcmp(used_events[i].name, kind->event->name) != 0)
			continue;
		kind->read = used_events[i].read;
		for (unsigned j = 0; j < FIELDS_MAX && used_events[i].fields[j]; j++)
			kind->fields[j] = tep_find_field(kind->event, used_events[i].fields[j]);
	}
}

static struct kind_of_event *kind_get(struct child *child, struct tep_event *event)
{
	struct kind_of_event *kind = g_hash_table_lookup(child->kinds, event);

	if (kind)
		return kind;
	kind = g_new0(struct kind_of_event, 1);
	kind->event = event;
	kind->name = names_add(&child->names, event->name, MIN(strlen(event->name), TRACEDAT_TEXT_BYTES - 1),
			       0, TRACE_EVENTS_MAX);
	send_text(child, MESSAGE_NAME, 0, event->name);
	if (!child->kevents || !kind_set_row(kind))
		kind_set_reader(kind);
	g_hash_table_insert(child->kinds, event, kind);
	return kind;
}

/* ---- one event ---- */

/* TRACE_FLAG_… of include/linux/trace_events.h. */
static uint8_t context_of(int flags)
{
	if (flags & 0x40)
		return TRACE_NMI;
	if (flags & 0x08)
		return TRACE_HARDIRQ;
	return flags & 0x10 ? TRACE_SOFTIRQ : TRACE_TASK;
}

static bool read_row(const struct kind_of_event *kind, const struct tep_record *record,
		     struct message_fields *fields)
{
	bool ok = true;

	for (unsigned i = 0; i < KEVENT_KEYS_MAX && kind->row->keys[i].text; i++) {
		const struct kevent_key *key = &kind->row->keys[i];
		uint64_t value;

		if (!kind->fields[i] && !kind->row->take)
			continue; /* a probe that was set without it */
		value = field_u64(kind, i, record, &ok);
		if (key->number == NUMBER_DIR && value > 2)
			return false;
		fields->field[key->field] = value;
		fields->has |= 1u << key->field;
	}
	return ok;
}

/* The first line of a mark without the blanks around it, as a line of text has it. */
static bool read_mark(const struct kind_of_event *kind, const struct tep_record *record,
		      struct scan *ret_body)
{
	const char *text = (const char *)field_bytes(kind, 0, record, 0);
	struct scan body = {.at = text, .end = text};

	if (!text)
		return false;
	while (body.end < (const char *)record->data + record->size && *body.end && *body.end != '\n')
		body.end++;
	while (body.end > body.at && (body.end[-1] == ' ' || body.end[-1] == '\r'))
		body.end--;
	scan_blanks(&body);
	*ret_body = body;
	return true;
}

static void send_body(struct child *child, struct scan body)
{
	while (body.at < body.end) {
		size_t len = MIN((size_t)(body.end - body.at), TRACEDAT_TEXT_BYTES);

		memcpy(send_next(child, MESSAGE_BODY, len)->text, body.at, len);
		body.at += len;
	}
}

/* Sends @event, which so far has what all have, with what the record says. Returns false if it cannot be understood. */
static bool send_event(struct child *child, const struct kind_of_event *kind, struct tep_record *record,
		       struct trace_event *event)
{
	struct message_fields fields = {.kind = KEVENT_OTHER, .name = kind->name};
	struct scan body = {0};
	bool ok = true;

	if (kind->row) {
		fields.kind = kind->row->kind;
		fields.probe = kind->row->probe;
		ok = read_row(kind, record, &fields);
	} else if (kind->mark) {
		fields.kind = KEVENT_MARK;
		ok = read_mark(kind, record, &body);
	} else if (kind->read) {
		fields.kind = KEVENT_IO;
		ok = kind->read(kind, record, event);
	}
	if (!ok)
		return false;
	if (child->kevents) {
		fields.pid = (uint32_t)tep_data_pid(child->tep, record);
		send_next(child, MESSAGE_FIELDS, 0)->fields = fields;
		send_body(child, body);
	}
	send_next(child, MESSAGE_EVENT, 0)->event = *event;
	return true;
}

static int child_fail(struct child *child, uint64_t offset, const char *what)
{
	child->failed = true;
	send_text(child, MESSAGE_ERROR, offset, what);
	return -1;
}

static void count_lost(struct child *child, const struct tep_record *record)
{
	if (!record->missed_events)
		return;
	child->lost_reports++; /* a negative number: how many is not known */
	child->lost_events += record->missed_events > 0 ? (uint64_t)record->missed_events : 0;
}

static int child_record(struct tracecmd_input *handle, struct tep_record *record, int cpu, void *data)
{
	struct child *child = data;
	struct tep_event *format = tep_find_event_by_record(child->tep, record);
	struct trace_event event = {
		.kind = TRACE_OTHER,
		.time_ns = record->ts,
		.position = record->offset,
		.cpu = (uint32_t)cpu,
		.queue = TRACE_NO_QUEUE,
	};
	struct kind_of_event *kind;

	count_lost(child, record);
	if (cpu < 0 || cpu >= (int)SIM_CPUS_MAX)
		return child_fail(child, record->offset, "CPU out of range");
	if (!format)
		return child_fail(child, record->offset, "event whose format the file does not have");
	kind = kind_get(child, format);
	kind->count++;
	event.context = context_of(tep_data_flags(child->tep, record));
	if (!send_event(child, kind, record, &event)) {
		g_autofree char *what = g_strdup_printf("%s: fields not understood", format->name);

		return child_fail(child, record->offset, what);
	}
	return 0;
}

static void child_send_names(struct child *child)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, child->kinds);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct kind_of_event *kind = value;

		send_text(child, MESSAGE_NAME, kind->count, kind->event->name);
	}
}

static void child_read(struct child *child, int file)
{
	struct tracecmd_input *handle;

	tracecmd_set_loglevel(TEP_LOG_NONE);
	tep_set_loglevel(TEP_LOG_NONE);
	handle = tracecmd_open_fd(file, TRACECMD_FL_LOAD_NO_PLUGINS);
	child->tep = handle ? tracecmd_get_tep(handle) : NULL;
	if (!child->tep) {
		child_fail(child, TRACEDAT_NO_OFFSET, TRACEDAT_DAMAGED);
		return;
	}
	send_next(child, MESSAGE_CPUS, (uint64_t)MAX(tep_get_cpus(child->tep), 0));
	send_all(child);
	if (tracecmd_iterate_events(handle, NULL, 0, child_record, child) != 0 && !child->failed)
		child_fail(child, TRACEDAT_NO_OFFSET, TRACEDAT_DAMAGED);
	child_send_names(child);
	send_text(child, MESSAGE_FACT, child->lost_events, TRACEDAT_LOST);
	send_text(child, MESSAGE_FACT, child->lost_reports, "lost reports");
	send_text(child, MESSAGE_FACT, (uint64_t)MAX(tracecmd_buffer_instances(handle), 0),
		  "buffers not read");
}

/* A crash in here is an expected end: quiet, and without a core. */
void tracedat_child(int file, int pipe, bool kevents)
{
	const struct rlimit no_core = {0};
	struct child *child = g_new0(struct child, 1);
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	if (nowhere >= 0) {
		dup2(nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
	}
	child->pipe = pipe;
	child->kevents = kevents;
	names_init(&child->names);
	child->kinds = g_hash_table_new(NULL, NULL);
	child_read(child, file);
	send_next(child, MESSAGE_END, 0);
	send_all(child);
	_exit(0);
}
