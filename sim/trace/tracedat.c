/* SPDX-License-Identifier: MIT */
/*
 * trace.dat, trace-cmd's binary file.
 *
 * The libraries that read it want a file that can be sought in, and trust what stands in it. So compressed input and pipes
 * are first copied into an unnamed temporary file; and a child process reads, and sends the events through a pipe: damage
 * ends the child, not us.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/names.h"
#include "sim/trace/tracedat-internal.h"
#include "sim/trace/tracedat.h"

#define MAGIC	    "\x17\x08\x44tracing"
#define MAGIC_BYTES 10
#define COPY_BYTES  65536
#define NO_TMP	    "no temporary file to unpack into"

struct tracedat {
	struct input *input;
	pid_t child;
	int pipe;
	uint32_t cpus;
	bool ended;
	struct message messages[TRACEDAT_BATCH];
	size_t at, count;	      /* messages read and not yet returned */
	struct message_fields fields; /* of the event that comes next, or came last */
	GString *body;
	struct names events;
	GHashTable *facts; /* text -> value */
};

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

static bool start_child(struct tracedat *tracedat, int file, bool kevents, GError **error)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return sim_error_plain(error, "%s: no pipe: %s", input_path(tracedat->input),
				       g_strerror(errno)) == 0;
	tracedat->child = fork();
	if (tracedat->child == 0) {
		close(ends[0]);
		tracedat_child(file, ends[1], kevents);
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
	case MESSAGE_FIELDS:
		tracedat->fields = message->fields;
		g_string_truncate(tracedat->body, 0);
		break;
	case MESSAGE_BODY:
		g_string_append_len(tracedat->body, message->text,
				    (gssize)MIN(message->value, TRACEDAT_TEXT_BYTES));
		break;
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
		if (message->value == TRACEDAT_NO_OFFSET)
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
			return sim_error_plain(error, "%s: " TRACEDAT_DAMAGED, input_path(tracedat->input));
		if (!events && tracedat->messages[tracedat->at].kind == MESSAGE_EVENT)
			return 0;
		result = take_message(tracedat, &tracedat->messages[tracedat->at++], ret_event, error);
		if (result || !events)
			return result;
	}
	return 0;
}

/* ---- a stream of events ---- */

int tracedat_probe(const uint8_t *bytes, size_t len)
{
	return len >= MAGIC_BYTES && memcmp(bytes, MAGIC, MAGIC_BYTES) == 0 ? 100 : 0;
}

static bool start(struct tracedat *tracedat, struct input *input, const char *path, bool kevents,
		  GError **error)
{
	struct trace_event event;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, MAGIC_BYTES, &bytes, error);
	bool started;
	int file;

	tracedat->input = input;
	tracedat->pipe = -1;
	tracedat->body = g_string_new(NULL);
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
	started = start_child(tracedat, file, kevents, error);
	close(file);
	return started && take_messages(tracedat, false, &event, error) == 0;
}

static void finish(struct tracedat *tracedat)
{
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
	if (tracedat->body)
		g_string_free(tracedat->body, TRUE);
}

struct tracedat *tracedat_open(struct input *input, const char *path, bool kevents, GError **error)
{
	struct tracedat *tracedat = g_new0(struct tracedat, 1);

	if (start(tracedat, input, path, kevents, error))
		return tracedat;
	tracedat_close(tracedat);
	return NULL;
}

void tracedat_close(struct tracedat *tracedat)
{
	if (tracedat)
		finish(tracedat);
	g_free(tracedat);
}

int tracedat_next_kevent(struct tracedat *tracedat, struct kevent *ret_event, GError **error)
{
	const struct message_fields *fields = &tracedat->fields;
	const struct name_entry *name;
	struct kevent event = {0};
	int result = take_messages(tracedat, true, &event.io, error);

	if (result <= 0)
		return result;
	event.kind = fields->kind;
	event.pid = fields->pid;
	event.has = fields->has;
	event.probe = fields->probe;
	memcpy(event.field, fields->field, sizeof(event.field));
	name = names_at(&tracedat->events, fields->name);
	event.name = name ? name->text : "";
	event.name_len = strlen(event.name);
	event.body = tracedat->body->str;
	event.body_len = tracedat->body->len;
	*ret_event = event;
	return 1;
}

uint32_t tracedat_cpus(const struct tracedat *tracedat)
{
	return tracedat->cpus;
}

uint64_t tracedat_lost(const struct tracedat *tracedat)
{
	const char *lost = g_hash_table_lookup(tracedat->facts, TRACEDAT_LOST);

	return lost ? g_ascii_strtoull(lost, NULL, 10) : 0;
}

/* ---- a trace format ---- */

static bool reader_open(void *state, struct input *input, const char *path,
			const struct trace_options *options, GError **error)
{
	return start(state, input, path, false, error);
}

static int reader_next(void *state, struct trace_event *ret_event, GError **error)
{
	return take_messages(state, true, ret_event, error);
}

static uint32_t reader_cpus(const void *state)
{
	return tracedat_cpus(state);
}

static void reader_facts(void *state, GHashTable *facts)
{
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, ((struct tracedat *)state)->facts);
	while (g_hash_table_iter_next(&iter, &key, &value))
		g_hash_table_replace(facts, g_strdup(key), g_strdup(value));
}

static const struct names *reader_events(const void *state)
{
	return &((const struct tracedat *)state)->events;
}

static void reader_close(void *state)
{
	finish(state);
}

const struct trace_reader_ops trace_tracedat = {
	.name = "tracedat",
	.description = "trace.dat, trace-cmd's binary file",
	.probe = tracedat_probe,
	.state_size = sizeof(struct tracedat),
	.open = reader_open,
	.next = reader_next,
	.cpus = reader_cpus,
	.facts = reader_facts,
	.events = reader_events,
	.close = reader_close,
};
