/* SPDX-License-Identifier: MIT */
/*
 * blktrace's binary files, NAME.blktrace.CPU, plain or compressed, in the byte order of whoever wrote them.
 *
 * A trace is one file a CPU; the files are merged by (time, number in the file's name, order in the file). A record is
 * struct blk_io_trace of include/uapi/linux/blktrace_api.h, version 7, with pdu_len bytes behind it that nothing here
 * needs.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/names.h"

#define FILES_MAX    1024 /* of one trace: each holds its buffers */
#define RECORD_BYTES 48
#define MAGIC	     0x65617400u
#define MAGIC_MASK   0xffffff00u
#define VERSION	     7
#define ACTION_MASK  0xffu /* above it, a flag that the pdu starts with a cgroup id */
#define CPU_DIGITS   6
#define ACTIONS	     16 /* that have a name */

enum action {
	ACTION_QUEUE = 1,
	ACTION_REQUEUE = 6,
	ACTION_ISSUE = 7,
	ACTION_COMPLETE = 8,
};

enum category {
	CATEGORY_READ = 1u << 0,
	CATEGORY_WRITE = 1u << 1,
	CATEGORY_FLUSH = 1u << 2,
	CATEGORY_PASSTHROUGH = 1u << 9,
	CATEGORY_NOTIFY = 1u << 10,
	CATEGORY_DISCARD = 1u << 13,
};

struct record {
	uint32_t magic;
	uint32_t sequence;
	uint64_t time_ns;
	uint64_t sector;
	uint32_t bytes;
	uint32_t action; /* enum action in the low half, enum category in the high one */
	uint32_t pid;
	uint32_t device;
	uint32_t cpu;
	uint16_t error;
	uint16_t pdu_len;
};

G_STATIC_ASSERT(sizeof(struct record) == RECORD_BYTES);

struct file {
	struct input *input;
	bool owned;
	bool swapped;
	const uint8_t *seen, *at, *end; /* what the input shows; where the next record begins */
	uint64_t seen_offset;
	struct record record; /* the next one, when the file is in the heap */
	uint64_t offset;      /* of that record */
};

/* A file by its next record. */
struct next {
	uint64_t time_ns;
	uint32_t index;
};

struct blktrace {
	GArray *files;	   /* of struct file, by number in the name */
	struct next *heap; /* earliest record at 0 */
	uint32_t heap_count;
	bool started;
	bool taken;	  /* the record at the top of the heap was dealt with */
	const char *path; /* of the file of the last event */
	uint32_t cpus;	  /* as the names tell; 0 for a file that is not named so */
	uint64_t records, notifications;
	struct names actions;
	uint32_t action_numbers
		[ACTIONS + 1]; /* in these: the number and 1, 0 for one that did not occur; last: others */
};

/* ---- names ---- */

struct name {
	char *prefix; /* NAME; NULL: not a name of ours */
	uint32_t cpu;
};

/* Takes "t.blktrace.3.zst" apart. */
static struct name name_split(const char *base)
{
	const char *infix = g_strrstr(base, ".blktrace.");
	struct name name = {0};
	const char *digits, *at;

	if (!infix || infix == base)
		return name;
	digits = at = infix + strlen(".blktrace.");
	for (; g_ascii_isdigit(*at); at++)
		if (at - digits < CPU_DIGITS)
			name.cpu = name.cpu * 10 + (uint32_t)(*at - '0');
	if (at == digits || at - digits > CPU_DIGITS)
		return name;
	if (*at == '\0' || strcmp(at, ".zst") == 0 || strcmp(at, ".gz") == 0)
		name.prefix = g_strndup(base, (size_t)(infix - base));
	return name;
}

struct member {
	char *path;
	uint32_t cpu;
};

static void member_clear(void *data)
{
	g_free(((struct member *)data)->path);
}

static gint member_compare(gconstpointer a, gconstpointer b)
{
	const struct member *x = a, *y = b;

	return x->cpu != y->cpu ? (x->cpu < y->cpu ? -1 : 1) : strcmp(x->path, y->path);
}

/* Returns the files of the trace called @prefix in @directory by CPU, of struct member. With @prefix NULL there must be
 * only one such trace. An empty array: none. NULL with *@error. */
static GArray *members_find(const char *directory, const char *prefix, GError **error)
{
	g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(struct member));
	g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
	g_autofree char *only = g_strdup(prefix);
	const char *base;

	g_array_set_clear_func(members, member_clear);
	while (dir && (base = g_dir_read_name(dir))) {
		struct name name = name_split(base);
		g_autofree char *owned = name.prefix;
		struct member member;

		if (!owned || (prefix && strcmp(owned, prefix) != 0))
			continue;
		if (only && strcmp(owned, only) != 0) {
			bool before = strcmp(only, owned) < 0;

			sim_error_plain(error, "%s: holds more than one blktrace ('%s', '%s'): name one",
					directory, before ? only : owned, before ? owned : only);
			return NULL;
		}
		if (!only)
			only = g_strdup(owned);
		member = (struct member){.cpu = name.cpu};
		member.path = strcmp(directory, ".") == 0 ? g_strdup(base)
							  : g_build_filename(directory, base, NULL);
		g_array_append_val(members, member);
	}
	g_array_sort(members, member_compare);
	if (members->len > FILES_MAX) {
		sim_error_plain(error, "%s: blktrace of more than %u files", directory, FILES_MAX);
		return NULL;
	}
	for (uint32_t i = 1; i < members->len; i++) {
		const struct member *a = &g_array_index(members, struct member, i - 1), *b = a + 1;

		if (a->cpu == b->cpu) {
			sim_error_plain(error, "%s: the same CPU as %s", b->path, a->path);
			return NULL;
		}
	}
	return g_steal_pointer(&members);
}

static char *blktrace_resolve(const char *path, GError **error)
{
	bool is_directory = g_file_test(path, G_FILE_TEST_IS_DIR);
	g_autofree char *directory = is_directory ? g_strdup(path) : g_path_get_dirname(path);
	g_autofree char *prefix = is_directory ? NULL : g_path_get_basename(path);
	g_autoptr(GArray) members = members_find(directory, prefix, error);

	if (!members || !members->len)
		return NULL;
	return g_strdup(g_array_index(members, struct member, 0).path);
}

/* ---- records ---- */

static void record_swap(struct record *record)
{
	record->magic = GUINT32_SWAP_LE_BE(record->magic);
	record->sequence = GUINT32_SWAP_LE_BE(record->sequence);
	record->time_ns = GUINT64_SWAP_LE_BE(record->time_ns);
	record->sector = GUINT64_SWAP_LE_BE(record->sector);
	record->bytes = GUINT32_SWAP_LE_BE(record->bytes);
	record->action = GUINT32_SWAP_LE_BE(record->action);
	record->pid = GUINT32_SWAP_LE_BE(record->pid);
	record->device = GUINT32_SWAP_LE_BE(record->device);
	record->cpu = GUINT32_SWAP_LE_BE(record->cpu);
	record->error = GUINT16_SWAP_LE_BE(record->error);
	record->pdu_len = GUINT16_SWAP_LE_BE(record->pdu_len);
}

static int file_error(const struct file *file, GError **error, const char *what, uint64_t value)
{
	return sim_error_offset(error, input_path(file->input), file->offset, "%s %" G_GUINT64_FORMAT, what,
				value);
}

/* Makes at least a record visible, if there is one. Returns how many bytes are, -1 with *@error. */
static ssize_t file_see(struct file *file, GError **error)
{
	ssize_t len;

	input_skip(file->input, (size_t)(file->at - file->seen));
	len = input_peek(file->input, RECORD_BYTES, &file->seen, error);
	file->at = file->seen;
	file->end = file->seen + MAX(len, 0);
	file->seen_offset = input_offset(file->input);
	return len;
}

static int file_skip_pdu(struct file *file, GError **error)
{
	size_t left = file->record.pdu_len;

	while (left > (size_t)(file->end - file->at)) {
		left -= (size_t)(file->end - file->at);
		file->at = file->end;
		if (file_see(file, error) < 0)
			return -1;
		if (file->at == file->end)
			return sim_error_offset(error, input_path(file->input), file->offset,
						"record ends %zu bytes beyond the file", left);
	}
	file->at += left;
	return 0;
}

static int file_check(const struct file *file, GError **error)
{
	const struct record *record = &file->record;

	if ((record->magic & MAGIC_MASK) != MAGIC)
		return sim_error_offset(error, input_path(file->input), file->offset,
					"not a blktrace record: magic 0x%08x", record->magic);
	if ((record->magic & ~MAGIC_MASK) != VERSION)
		return file_error(file, error, "blktrace record of unknown version",
				  record->magic & ~MAGIC_MASK);
	if (record->action >> 16 & CATEGORY_NOTIFY)
		return 0; /* has no request in it */
	if (record->cpu >= SIM_CPUS_MAX)
		return file_error(file, error, "record of impossible CPU", record->cpu);
	if (record->sector > TRACE_LBA_MAX && record->sector != UINT64_MAX)
		return file_error(file, error, "record of impossible sector", record->sector);
	if (record->device >> 20 >= 1u << 11)
		return file_error(file, error, "record of impossible device major", record->device >> 20);
	return 0;
}

/* Reads the next record into file->record. Returns 1, 0 at the end of the file, -1 with *@error. */
static int file_advance(struct file *file, GError **error)
{
	ssize_t len = file->end - file->at;

	if (len < RECORD_BYTES)
		len = file_see(file, error);
	file->offset = file->seen_offset + (uint64_t)(file->at - file->seen);
	if (len <= 0)
		return (int)len;
	if (len < RECORD_BYTES)
		return sim_error_offset(error, input_path(file->input), file->offset,
					"record cut off after %zd of %d bytes", len, RECORD_BYTES);
	memcpy(&file->record, file->at, RECORD_BYTES);
	if (file->offset == 0)
		file->swapped = (GUINT32_SWAP_LE_BE(file->record.magic) & MAGIC_MASK) == MAGIC;
	if (file->swapped)
		record_swap(&file->record);
	if (file_check(file, error) < 0)
		return -1;
	file->at += RECORD_BYTES;
	return file_skip_pdu(file, error) < 0 ? -1 : 1;
}

/* ---- merging ---- */

static struct file *file_at(const struct blktrace *blktrace, uint32_t index)
{
	return &g_array_index(blktrace->files, struct file, index);
}

static bool heap_before(const struct next *a, const struct next *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->index < b->index;
}

static void heap_sift_down(struct blktrace *blktrace, uint32_t i)
{
	struct next *heap = blktrace->heap, moved = heap[i];
	uint32_t child;

	for (; (child = 2 * i + 1) < blktrace->heap_count; i = child) {
		if (child + 1 < blktrace->heap_count && heap_before(&heap[child + 1], &heap[child]))
			child++;
		if (!heap_before(&heap[child], &moved))
			break;
		heap[i] = heap[child];
	}
	heap[i] = moved;
}

/* Reads the first record of every file. */
static bool merge_start(struct blktrace *blktrace, GError **error)
{
	blktrace->started = true;
	blktrace->heap = g_new0(struct next, blktrace->files->len);
	for (uint32_t i = 0; i < blktrace->files->len; i++) {
		struct file *file = file_at(blktrace, i);
		int result = file_advance(file, error);

		if (result < 0)
			return false;
		if (result > 0)
			blktrace->heap[blktrace->heap_count++] = (struct next){file->record.time_ns, i};
	}
	for (uint32_t i = blktrace->heap_count; i-- > 0;)
		heap_sift_down(blktrace, i);
	return true;
}

/* Replaces the earliest record by the next one of its file. */
static int merge_advance(struct blktrace *blktrace, GError **error)
{
	struct file *file = file_at(blktrace, blktrace->heap[0].index);
	int result = file_advance(file, error);

	if (result > 0)
		blktrace->heap[0].time_ns = file->record.time_ns;
	if (result == 0)
		blktrace->heap[0] = blktrace->heap[--blktrace->heap_count];
	if (result >= 0 && blktrace->heap_count)
		heap_sift_down(blktrace, 0);
	return result;
}

/* ---- events ---- */

/* Write zeroes is a write here: the format does not tell them apart. */
static enum io_op op_of(const struct record *record)
{
	uint32_t category = record->action >> 16;

	if (category & CATEGORY_DISCARD)
		return IO_DISCARD;
	if (category & CATEGORY_PASSTHROUGH)
		return IO_PASSTHROUGH;
	if (category & CATEGORY_FLUSH && record->bytes == 0)
		return IO_FLUSH;
	if (category & CATEGORY_WRITE)
		return IO_WRITE;
	return category & CATEGORY_READ ? IO_READ : IO_PASSTHROUGH;
}

static enum trace_event_kind kind_of(const struct record *record, enum io_op op)
{
	switch (record->action & ACTION_MASK) {
	case ACTION_QUEUE:
		return TRACE_QUEUE;
	case ACTION_REQUEUE:
		return TRACE_REQUEUE;
	case ACTION_ISSUE:
		return TRACE_ISSUE;
	case ACTION_COMPLETE:
		/* The second end of a write that carried a flush, without data: the flush machinery's. */
		return record->bytes == 0 && (op == IO_WRITE || op == IO_READ) ? TRACE_OTHER : TRACE_COMPLETE;
	default:
		return TRACE_OTHER;
	}
}

/* The letters that blkparse prints. */
static const char *const action_names[ACTIONS] = {
	NULL, "Q", "M", "F", "G", "S", "R", "D", "C", "P", "U", "UT", "I", "X", "B", "A",
};

static void count_action(struct blktrace *blktrace, const struct record *record)
{
	uint32_t action = MIN(record->action & ACTION_MASK, ACTIONS);
	const char *name = action < ACTIONS && action_names[action] ? action_names[action] : "other";
	uint32_t *number = &blktrace->action_numbers[action];

	if (*number)
		names_count_again(&blktrace->actions, *number - 1);
	else
		*number = names_count(&blktrace->actions, name, strlen(name), TRACE_EVENTS_MAX) + 1;
}

static void fill_event(const struct file *file, struct trace_event *event)
{
	const struct record *record = &file->record;
	enum io_op op = op_of(record);
	bool placed = op != IO_FLUSH && op != IO_PASSTHROUGH && record->sector != UINT64_MAX;

	*event = (struct trace_event){
		.kind = kind_of(record, op),
		.op = op,
		.time_ns = record->time_ns,
		.position = file->offset,
		.cpu = record->cpu,
		.device = record->device,
		.lba = placed ? record->sector : 0,
		.bytes = record->bytes,
		.error = (int16_t)record->error,
		.queue = TRACE_NO_QUEUE,
	};
}

static int blktrace_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct blktrace *blktrace = state;

	if (!blktrace->started && !merge_start(blktrace, error))
		return -1;
	for (;;) {
		const struct file *file;

		if (blktrace->taken && merge_advance(blktrace, error) < 0)
			return -1;
		blktrace->taken = blktrace->heap_count > 0;
		if (!blktrace->taken)
			return 0;
		file = file_at(blktrace, blktrace->heap[0].index);
		blktrace->records++;
		if (file->record.action >> 16 & CATEGORY_NOTIFY) {
			blktrace->notifications++;
			continue;
		}
		count_action(blktrace, &file->record);
		fill_event(file, ret_event);
		blktrace->path = input_path(file->input);
		return 1;
	}
}

/* ---- opening ---- */

static void add_file(struct blktrace *blktrace, struct input *input, bool owned)
{
	struct file file = {.input = input, .owned = owned};

	g_array_append_val(blktrace->files, file);
}

static bool blktrace_open(void *state, struct input *input, const char *path,
			  const struct trace_options *options, GError **error)
{
	struct blktrace *blktrace = state;
	g_autofree char *base = g_path_get_basename(path);
	g_autofree char *directory = g_path_get_dirname(path);
	g_autofree char *prefix = name_split(base).prefix;
	g_autoptr(GArray) members = NULL;

	names_init(&blktrace->actions);
	blktrace->files = g_array_new(FALSE, FALSE, sizeof(struct file));
	blktrace->path = input_path(input);
	if (!prefix) {
		add_file(blktrace, input, false);
		return true;
	}
	members = members_find(directory, prefix, error);
	if (!members)
		return false;
	for (uint32_t i = 0; i < members->len; i++) {
		const char *member = g_array_index(members, struct member, i).path;

		g_autofree char *member_base = g_path_get_basename(member);
		struct input *sibling;

		blktrace->cpus = MIN(g_array_index(members, struct member, i).cpu + 1, SIM_CPUS_MAX);
		if (strcmp(member_base, base) == 0) {
			add_file(blktrace, input, false);
			continue;
		}
		sibling = input_open(member, error);
		if (!sibling)
			return false;
		add_file(blktrace, sibling, true);
	}
	return true;
}

static int blktrace_probe(const uint8_t *bytes, size_t len)
{
	uint32_t magic;

	if (len < sizeof(magic))
		return 0;
	memcpy(&magic, bytes, sizeof(magic));
	return (magic & MAGIC_MASK) == MAGIC || (GUINT32_SWAP_LE_BE(magic) & MAGIC_MASK) == MAGIC ? 100 : 0;
}

/* A CPU that had nothing to do has an empty file. */
static bool blktrace_may_be_empty(const char *path)
{
	g_autofree char *base = g_path_get_basename(path);
	g_autofree char *prefix = name_split(base).prefix;

	return prefix != NULL;
}

static const char *blktrace_path(const void *state)
{
	return ((const struct blktrace *)state)->path;
}

/* One file a CPU, and a CPU without events has an empty one. */
static uint32_t blktrace_cpus(const void *state)
{
	return ((const struct blktrace *)state)->cpus;
}

static void blktrace_facts(void *state, GHashTable *facts)
{
	const struct blktrace *blktrace = state;

	g_hash_table_replace(facts, g_strdup("files"), g_strdup_printf("%u", blktrace->files->len));
	g_hash_table_replace(facts, g_strdup("records"),
			     g_strdup_printf("%" G_GUINT64_FORMAT, blktrace->records));
	g_hash_table_replace(facts, g_strdup("notifications"),
			     g_strdup_printf("%" G_GUINT64_FORMAT, blktrace->notifications));
}

static const struct names *blktrace_events(const void *state)
{
	return &((const struct blktrace *)state)->actions;
}

static void blktrace_close(void *state)
{
	struct blktrace *blktrace = state;

	for (uint32_t i = 0; blktrace->files && i < blktrace->files->len; i++) {
		struct file *file = &g_array_index(blktrace->files, struct file, i);

		if (file->owned)
			input_close(file->input);
	}
	if (blktrace->files)
		g_array_unref(blktrace->files);
	g_free(blktrace->heap);
	names_finish(&blktrace->actions);
}

const struct trace_reader_ops trace_blktrace = {
	.name = "blktrace",
	.description = "blktrace binary files, NAME.blktrace.CPU: one of them, NAME, or their directory",
	.resolve = blktrace_resolve,
	.probe = blktrace_probe,
	.may_be_empty = blktrace_may_be_empty,
	.state_size = sizeof(struct blktrace),
	.open = blktrace_open,
	.next = blktrace_next,
	.path = blktrace_path,
	.cpus = blktrace_cpus,
	.facts = blktrace_facts,
	.events = blktrace_events,
	.close = blktrace_close,
};
