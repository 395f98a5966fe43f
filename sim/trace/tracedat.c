/* SPDX-License-Identifier: MIT */
/*
 * trace.dat, trace-cmd's binary file, by libtracecmd and libtraceevent.
 *
 * These libraries want a file that can be sought in, and trust what stands in it. So compressed input and pipes are
 * first copied into an unnamed temporary file; and a child process reads, and sends the events through a pipe: damage ends
 * the child, not us. What the fields of events mean is as in ktext.c, which has them as text.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <trace-cmd.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/ktext.h"
#include "sim/trace/names.h"

#define MAGIC	     "\x17\x08\x44tracing"
#define MAGIC_BYTES  10
#define COPY_BYTES   65536
#define TEXT_BYTES   88
#define BATCH	     512 /* messages written at once */
#define FIELDS_MAX   6
#define IDLE_SECONDS 20 /* of CPU time without a batch: the child turns in circles */
#define NO_TMP	     "no temporary file to unpack into"
#define DAMAGED	     "damaged trace.dat: libtracecmd cannot read it"
#define NO_OFFSET    UINT64_MAX

/* ---- what goes through the pipe ---- */

enum message_kind {
	MESSAGE_EVENT,
	MESSAGE_CPUS,  /* value: how many the recording machine has; first */
	MESSAGE_NAME,  /* text: an event's, value: how many there were */
	MESSAGE_FACT,  /* text and value */
	MESSAGE_ERROR, /* text, value: offset or NO_OFFSET */
	MESSAGE_END,
};

struct message {
	enum message_kind kind;
	uint64_t value;
	union {
		struct trace_event event;
		char text[TEXT_BYTES];
	};
};

struct tracedat {
	struct input *input;
	pid_t child;
	int pipe;
	uint32_t cpus;
	bool ended;
	struct message messages[BATCH];
	size_t at, count; /* messages read and not yet returned */
	struct names events;
	GHashTable *facts; /* text -> value */
};

/* ---- the child: events and their fields ---- */

struct kind_of_event;

typedef bool (*event_reader)(const struct kind_of_event *kind, const struct tep_record *record,
			     struct trace_event *event);

struct kind_of_event {
	struct tep_event *event;
	event_reader read; /* NULL: not used */
	struct tep_format_field *fields[FIELDS_MAX];
	uint64_t count;
};

struct child {
	struct tep_handle *tep;
	GHashTable *kinds; /* event -> kind_of_event */
	uint64_t lost_events, lost_reports, offset;
	int pipe;
	struct message messages[BATCH];
	size_t count;
	bool failed;
};

static uint64_t field_u64(const struct kind_of_event *kind, unsigned i, const struct tep_record *record,
			  bool *ok)
{
	struct tep_format_field *field = kind->fields[i];
	unsigned long long value = 0;

	if (!field || field->offset < 0 || field->size <= 0 || field->offset + field->size > record->size ||
	    tep_read_number_field(field, record->data, &value) != 0)
		*ok = false;
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

static struct kind_of_event *kind_get(struct child *child, struct tep_event *event)
{
	struct kind_of_event *kind = g_hash_table_lookup(child->kinds, event);

	if (kind)
		return kind;
	kind = g_new0(struct kind_of_event, 1);
	kind->event = event;
	for (unsigned i = 0; i < G_N_ELEMENTS(used_events); i++) {
		if (strcmp(used_events[i].name, event->name) != 0)
			continue;
		kind->read = used_events[i].read;
		for (unsigned j = 0; j < FIELDS_MAX && used_events[i].fields[j]; j++)
			kind->fields[j] = tep_find_field(event, used_events[i].fields[j]);
	}
	g_hash_table_insert(child->kinds, event, kind);
	return kind;
}

/* ---- the child: sending ---- */

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

	if (child->count == BATCH)
		send_all(child);
	message = &child->messages[child->count++];
	memset(message, 0, sizeof(*message));
	message->kind = kind;
	message->value = value;
	return message;
}

static void send_text(struct child *child, enum message_kind kind, uint64_t value, const char *text)
{
	g_strlcpy(send_next(child, kind, value)->text, text, TEXT_BYTES);
}

/* TRACE_FLAG_… of include/linux/trace_events.h. */
static uint8_t context_of(int flags)
{
	if (flags & 0x40)
		return TRACE_NMI;
	if (flags & 0x08)
		return TRACE_HARDIRQ;
	return flags & 0x10 ? TRACE_SOFTIRQ : TRACE_TASK;
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
	if (kind->read && !kind->read(kind, record, &event)) {
		g_autofree char *what = g_strdup_printf("%s: fields not understood", format->name);

		return child_fail(child, record->offset, what);
	}
	send_next(child, MESSAGE_EVENT, 0)->event = event;
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
		child_fail(child, NO_OFFSET, DAMAGED);
		return;
	}
	send_next(child, MESSAGE_CPUS, (uint64_t)MAX(tep_get_cpus(child->tep), 0));
	send_all(child);
	if (tracecmd_iterate_events(handle, NULL, 0, child_record, child) != 0 && !child->failed)
		child_fail(child, NO_OFFSET, DAMAGED);
	child_send_names(child);
	send_text(child, MESSAGE_FACT, child->lost_events, "lost events");
	send_text(child, MESSAGE_FACT, child->lost_reports, "lost reports");
	send_text(child, MESSAGE_FACT, (uint64_t)MAX(tracecmd_buffer_instances(handle), 0),
		  "buffers not read");
}

/* A crash in here is an expected end: quiet, and without a core. */
static void child_main(int file, int pipe)
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
	child->kinds = g_hash_table_new(NULL, NULL);
	child_read(child, file);
	send_next(child, MESSAGE_END, 0);
	send_all(child);
	_exit(0);
}

/* ---- the parent ---- */

/* Returns the file itself where it needs no unpacking, else -1. */
static int open_plain(const char *path)
{
	char magic[MAGIC_BYTES];
	struct stat status;
	int file = strcmp(path, "-") == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);

	if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
	    pread(file, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	    memcmp(magic, MAGIC, MAGIC_BYTES) == 0 && lseek(file, 0, SEEK_SET) == 0)
		return file;
	if (file >= 0)
		close(file);
	return -1;
}

static bool write_all(int file, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t written = write(file, bytes, len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		bytes += written;
		len -= (size_t)written;
	}
	return true;
}

/* Copies the unpacked input into a file without a name. Returns it, or -1 with *@error. */
static int open_unpacked(struct input *input, GError **error)
{
	g_autofree char *name = g_build_filename(g_get_tmp_dir(), "trace-dat-XXXXXX", NULL);
	int file = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
	const uint8_t *bytes;
	ssize_t len;

	if (file < 0)
		return sim_error_plain(error, "%s: " NO_TMP ": %s", input_path(input), g_strerror(errno));
	unlink(name);
	while ((len = input_peek(input, COPY_BYTES, &bytes, error)) > 0) {
		if (!write_all(file, bytes, (size_t)len)) {
			sim_error_plain(error, "%s: " NO_TMP ": %s", input_path(input), g_strerror(errno));
			len = -1;
			break;
		}
		input_skip(input, (size_t)len);
	}
	if (len == 0 && lseek(file, 0, SEEK_SET) == 0)
		return file;
	close(file);
	return -1;
}

static bool start_child(struct tracedat *tracedat, int file, GError **error)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return sim_error_plain(error, "%s: no pipe: %s", input_path(tracedat->input),
				       g_strerror(errno)) == 0;
	tracedat->child = fork();
	if (tracedat->child == 0) {
		close(ends[0]);
		child_main(file, ends[1]);
	}
	close(ends[1]);
	tracedat->pipe = ends[0];
	if (tracedat->child < 0)
		return sim_error_plain(error, "%s: no process: %s", input_path(tracedat->input),
				       g_strerror(errno)) == 0;
	return true;
}

/* Reads more messages. Returns false at the end of the pipe, which comes after a MESSAGE_END only if all went well. */
static bool receive(struct tracedat *tracedat)
{
	uint8_t *buffer = (uint8_t *)tracedat->messages;
	size_t have = 0;

	while (have == 0 || have % sizeof(struct message)) {
		ssize_t got = read(tracedat->pipe, buffer + have, sizeof(tracedat->messages) - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	tracedat->at = 0;
	tracedat->count = have / sizeof(struct message);
	return true;
}

static int take_message(struct tracedat *tracedat, const struct message *message,
			struct trace_event *ret_event, GError **error)
{
	const char *path = input_path(tracedat->input);

	switch (message->kind) {
	case MESSAGE_EVENT:
		*ret_event = message->event;
		return 1;
	case MESSAGE_CPUS:
		tracedat->cpus = (uint32_t)MIN(message->value, SIM_CPUS_MAX);
		break;
	case MESSAGE_NAME:
		names_add(&tracedat->events, message->text, strlen(message->text), message->value,
			  TRACE_EVENTS_MAX);
		break;
	case MESSAGE_FACT:
		g_hash_table_replace(tracedat->facts, g_strdup(message->text),
				     g_strdup_printf("%" G_GUINT64_FORMAT, message->value));
		break;
	case MESSAGE_ERROR:
		if (message->value == NO_OFFSET)
			return sim_error_plain(error, "%s: %s", path, message->text);
		return sim_error_offset(error, path, message->value, "%s", message->text);
	case MESSAGE_END:
		tracedat->ended = true;
		break;
	}
	return 0;
}

/* Returns 1 with an event, 0 when there is none before the end, -1 with *@error. @events: whether to go on to them. */
static int take_messages(struct tracedat *tracedat, bool events, struct trace_event *ret_event,
			 GError **error)
{
	while (!tracedat->ended) {
		int result;

		if (tracedat->at == tracedat->count && !receive(tracedat))
			return sim_error_plain(error, "%s: " DAMAGED, input_path(tracedat->input));
		if (!events && tracedat->messages[tracedat->at].kind == MESSAGE_EVENT)
			return 0;
		result = take_message(tracedat, &tracedat->messages[tracedat->at++], ret_event, error);
		if (result || !events)
			return result;
	}
	return 0;
}

static int tracedat_next(void *state, struct trace_event *ret_event, GError **error)
{
	return take_messages(state, true, ret_event, error);
}

static int tracedat_probe(const uint8_t *bytes, size_t len)
{
	return len >= MAGIC_BYTES && memcmp(bytes, MAGIC, MAGIC_BYTES) == 0 ? 100 : 0;
}

static bool tracedat_open(void *state, struct input *input, const char *path,
			  const struct trace_options *options, GError **error)
{
	struct tracedat *tracedat = state;
	struct trace_event event;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, MAGIC_BYTES, &bytes, error);
	bool started;
	int file;

	tracedat->input = input;
	tracedat->pipe = -1;
	names_init(&tracedat->events);
	tracedat->facts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (len < 0)
		return false;
	if (!tracedat_probe(bytes, (size_t)len))
		return sim_error_offset(error, input_path(input), 0, "not a trace.dat") == 0;
	file = open_plain(path);
	if (file < 0)
		file = open_unpacked(input, error);
	if (file < 0)
		return false;
	started = start_child(tracedat, file, error);
	close(file);
	return started && take_messages(tracedat, false, &event, error) == 0;
}

static uint32_t tracedat_cpus(const void *state)
{
	return ((const struct tracedat *)state)->cpus;
}

static void tracedat_facts(void *state, GHashTable *facts)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, ((struct tracedat *)state)->facts);
	while (g_hash_table_iter_next(&iter, &key, &value))
		g_hash_table_replace(facts, g_strdup(key), g_strdup(value));
}

static const struct names *tracedat_events(const void *state)
{
	return &((const struct tracedat *)state)->events;
}

static void tracedat_close(void *state)
{
	struct tracedat *tracedat = state;

	if (tracedat->pipe >= 0)
		close(tracedat->pipe);
	if (tracedat->child > 0) {
		kill(tracedat->child, SIGKILL);
		while (waitpid(tracedat->child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	names_finish(&tracedat->events);
	if (tracedat->facts)
		g_hash_table_unref(tracedat->facts);
}

const struct trace_reader_ops trace_tracedat = {
	.name = "tracedat",
	.description = "trace.dat, trace-cmd's binary file",
	.probe = tracedat_probe,
	.state_size = sizeof(struct tracedat),
	.open = tracedat_open,
	.next = tracedat_next,
	.cpus = tracedat_cpus,
	.facts = tracedat_facts,
	.events = tracedat_events,
	.close = tracedat_close,
};
