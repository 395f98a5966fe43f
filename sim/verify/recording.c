/* SPDX-License-Identifier: MIT */
#include "sim/verify/recording.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

#define QI_TYPE	      0xf /* of a descriptor's first word */
#define QI_TYPE_IOTLB 0x2
#define QI_GRANU      0x30
#define QI_WHOLE      0x20
#define QI_GLOBAL     0x10
#define QI_DOMAIN(qw) ((qw) >> 16 & 0xffff)

/** What is being read. */
struct reader {
	struct verify_recording *recording;
	GHashTable *streams;	/* key -> number + 1 */
	GArray *open;		/* per stream: number of its open op, or VERIFY_NONE */
	GHashTable *in_flight;	/* queue << 16 | tag -> number of the op that prepared it + 1 */
	GHashTable *allocators; /* iovad -> calls */
	size_t capacity;
};

/* ---- streams ---- */

static uint32_t stream_of(struct reader *reader, const struct kevent *event)
{
	bool task = event->io.context == TRACE_TASK && event->pid != 0;
	uint64_t key =
		task ? event->pid : UINT64_C(1) << 63 | (uint64_t)event->io.context << 32 | event->io.cpu;
	gpointer found = g_hash_table_lookup(reader->streams, &key);
	uint32_t none = VERIFY_NONE;

	if (found)
		return GPOINTER_TO_UINT(found) - 1;
	g_hash_table_insert(reader->streams, g_memdup2(&key, sizeof(key)),
			    GUINT_TO_POINTER(++reader->recording->stream_count));
	g_array_append_val(reader->open, none);
	return reader->recording->stream_count - 1;
}

static uint32_t *open_op(struct reader *reader, uint32_t stream)
{
	return &g_array_index(reader->open, uint32_t, stream);
}

/* ---- ops ---- */

static enum verify_op_kind open_kind(struct reader *reader, uint32_t stream)
{
	uint32_t open = *open_op(reader, stream);

	return open == VERIFY_NONE ? VERIFY_OP_KINDS : verify_op(reader->recording, open)->kind;
}

static void op_close(struct reader *reader, uint32_t stream)
{
	*open_op(reader, stream) = VERIFY_NONE;
}

static struct verify_op *op_begin(struct reader *reader, uint32_t number, enum verify_op_kind kind)
{
	struct verify_recording *recording = reader->recording;
	struct verify_event *event = &recording->events[number];
	struct verify_op op = {.kind = kind,
			       .first = number,
			       .last = number,
			       .cpu = event->cpu,
			       .stream = event->stream,
			       .queue = TRACE_NO_QUEUE,
			       .partner = VERIFY_NONE};

	event->op = recording->ops->len;
	*open_op(reader, event->stream) = event->op;
	g_array_append_val(recording->ops, op);
	return verify_op(recording, event->op);
}

/** Adds the event to what its stream is doing, which becomes @otherwise if it is nothing. */
static struct verify_op *op_add(struct reader *reader, uint32_t number, enum verify_op_kind otherwise)
{
	struct verify_recording *recording = reader->recording;
	struct verify_event *event = &recording->events[number];
	uint32_t open = *open_op(reader, event->stream);
	struct verify_op *op;

	if (open == VERIFY_NONE)
		return op_begin(reader, number, otherwise);
	op = verify_op(recording, open);
	event->op = open;
	recording->events[op->last].next = number;
	op->last = number;
	return op;
}

/** Whether an op of @kind may have an event of @event_kind in its middle. */
static bool op_takes(enum verify_op_kind kind, enum kevent_kind event_kind)
{
	switch (kind) {
	case VERIFY_OP_COHERENT:
		return event_kind == KEVENT_IOVA_ALLOC || event_kind == KEVENT_IOVA_ALLOC_RET ||
		       event_kind == KEVENT_MAP || event_kind == KEVENT_MAP_NOSYNC ||
		       event_kind == KEVENT_MAP_NOSYNC_RET || event_kind == KEVENT_FAIL_SLAB ||
		       event_kind == KEVENT_FAIL_PAGE || event_kind == KEVENT_INVALIDATE_MAP ||
		       event_kind == KEVENT_QI_SUBMIT;
	case VERIFY_OP_FLUSH:
		return event_kind == KEVENT_INVALIDATE || event_kind == KEVENT_QI_SUBMIT ||
		       event_kind == KEVENT_IOVA_FREE || event_kind == KEVENT_IOVA_FREE_RET ||
		       event_kind == KEVENT_FAIL_SLAB;
	case VERIFY_OP_RELEASE:
		return event_kind == KEVENT_UNMAP || event_kind == KEVENT_INVALIDATE ||
		       event_kind == KEVENT_QI_SUBMIT || event_kind == KEVENT_IOVA_FREE ||
		       event_kind == KEVENT_IOVA_FREE_RET || event_kind == KEVENT_FAIL_SLAB;
	default:
		return true;
	}
}

static void op_middle(struct reader *reader, uint32_t number)
{
	struct verify_event *event = &reader->recording->events[number];
	enum verify_op_kind kind = open_kind(reader, event->stream);

	if (kind != VERIFY_OP_KINDS && !op_takes(kind, event->kind))
		op_close(reader, event->stream);
	op_add(reader, number, VERIFY_OP_OTHER);
}

/** Whether @event invalidates a whole domain, as only a flush of the queues does. */
static bool is_whole_flush(const struct verify_event *event)
{
	if (event->kind == KEVENT_INVALIDATE)
		return event->field[KEVENT_ADDR] == 0 && event->field[KEVENT_LEN] == UINT64_MAX;
	return event->kind == KEVENT_QI_SUBMIT && (event->field[KEVENT_QW0] & QI_TYPE) == QI_TYPE_IOTLB &&
	       (event->field[KEVENT_QW0] & QI_GRANU) == QI_WHOLE;
}

/** An invalidation belongs to what its stream is doing; or it is the timer's flush, if that itself was not recorded. */
static void op_invalidate(struct reader *reader, uint32_t number)
{
	struct verify_event *event = &reader->recording->events[number];
	enum verify_op_kind kind = open_kind(reader, event->stream);
	const struct verify_op *open;

	if (!is_whole_flush(event)) {
		op_middle(reader, number);
		return;
	}
	if (kind == VERIFY_OP_FLUSH) {
		open = verify_op(reader->recording, *open_op(reader, event->stream));
		if (verify_find(reader->recording, open->first, event->kind) != VERIFY_NONE)
			kind = VERIFY_OP_KINDS; /* the next one */
	}
	if (kind == VERIFY_OP_KINDS)
		op_begin(reader, number, VERIFY_OP_FLUSH);
	else
		op_middle(reader, number);
}

static uint32_t command_key(const struct verify_event *event)
{
	return (uint32_t)event->queue << 16 | event->tag;
}

static void op_setup(struct reader *reader, uint32_t number)
{
	const struct verify_event *event = &reader->recording->events[number];
	struct verify_op *op = op_begin(reader, number, VERIFY_OP_SUBMIT);

	op->queue = event->queue;
	op->tag = event->tag;
	op->io_op = event->io_op;
	reader->recording->machine.queues = MAX(reader->recording->machine.queues, event->queue);
	g_hash_table_replace(reader->in_flight, GUINT_TO_POINTER(command_key(event)),
			     GUINT_TO_POINTER(event->op + 1));
}

static void op_issue(struct reader *reader, uint32_t number)
{
	struct verify_event *event = &reader->recording->events[number];
	struct verify_op *op;

	if (open_kind(reader, event->stream) != VERIFY_OP_SUBMIT)
		return;
	op = op_add(reader, number, VERIFY_OP_SUBMIT);
	op->issued = true;
	op->bytes = event->field[KEVENT_SIZE];
	op_close(reader, event->stream);
}

static void op_complete(struct reader *reader, uint32_t number)
{
	struct verify_event *event = &reader->recording->events[number];
	gpointer submit = g_hash_table_lookup(reader->in_flight, GUINT_TO_POINTER(command_key(event)));
	struct verify_op *op;

	if (open_kind(reader, event->stream) != VERIFY_OP_OTHER)
		op_close(reader, event->stream);
	op = op_add(reader, number, VERIFY_OP_COMPLETE);
	op->kind = VERIFY_OP_COMPLETE;
	op->queue = event->queue;
	op->tag = event->tag;
	if (submit) {
		op->partner = GPOINTER_TO_UINT(submit) - 1;
		verify_op(reader->recording, op->partner)->partner = event->op;
		g_hash_table_remove(reader->in_flight, GUINT_TO_POINTER(command_key(event)));
	}
	op_close(reader, event->stream);
}

static void op_io(struct reader *reader, uint32_t number)
{
	switch (reader->recording->events[number].io) {
	case TRACE_SETUP:
		op_setup(reader, number);
		break;
	case TRACE_ISSUE:
		op_issue(reader, number);
		break;
	case TRACE_NVME_COMPLETE:
		op_complete(reader, number);
		break;
	}
}

/** Memory was allocated (@kind COHERENT) or given back, and this event tells of it: of what went before, where there is
 *  something, or, at the call's entry, of what comes. */
static void op_memory(struct reader *reader, uint32_t number, enum verify_op_kind kind, bool entry)
{
	const struct verify_event *event = &reader->recording->events[number];
	enum verify_op_kind open = open_kind(reader, event->stream);
	struct verify_op *op;

	if (open == VERIFY_OP_SUBMIT && kind == VERIFY_OP_COHERENT) {
		op_add(reader, number, kind); /* a pool that grows */
		return;
	}
	if (open != VERIFY_OP_KINDS && (entry || open != VERIFY_OP_OTHER))
		op_close(reader, event->stream);
	if (kind == VERIFY_OP_RELEASE && !event->field[KEVENT_ADDR])
		return; /* of nothing */
	op = op_add(reader, number, kind);
	op->kind = kind;
	op->bytes = event->field[KEVENT_SIZE];
	if (!entry)
		op_close(reader, event->stream);
}

/* ---- what the events say of the machine ---- */

static void learn_allocator(struct reader *reader, const struct verify_event *event)
{
	uint64_t iovad = event->field[KEVENT_OBJECT];
	uint64_t *calls = g_hash_table_lookup(reader->allocators, &iovad);

	if (!calls) {
		calls = g_new0(uint64_t, 2);
		calls[0] = iovad;
		g_hash_table_insert(reader->allocators, calls, calls);
	}
	calls[1]++;
}

static void learn(struct reader *reader, const struct verify_event *event)
{
	struct verify_machine *machine = &reader->recording->machine;

	machine->kinds[event->kind] = true;
	machine->missed[event->kind] |= event->probe;
	switch (event->kind) {
	case KEVENT_IOVA_ALLOC:
		learn_allocator(reader, event);
		break;
	case KEVENT_FQ_TIMEOUT:
		machine->lazy = true;
		break;
	case KEVENT_INVALIDATE_MAP:
		machine->caching_mode = true;
		break;
	case KEVENT_DMA_MAP_SG:
	case KEVENT_DMA_UNMAP_SG:
		machine->scatter_lists = true;
		break;
	case KEVENT_MAP:
		/* Kernels with probes on what replaces it have no such event on VT-d. */
		machine->scatter_lists |= !machine->kinds[KEVENT_DMA_MAP];
		break;
	default:
		break;
	}
}

/* ---- events ---- */

static void store(struct reader *reader, const struct kevent *from)
{
	struct verify_recording *recording = reader->recording;
	struct verify_event event = {.time_ns = from->io.time_ns,
				     .position = from->io.position,
				     .has = from->has,
				     .cpu = from->io.cpu,
				     .stream = stream_of(reader, from),
				     .op = VERIFY_NONE,
				     .next = VERIFY_NONE,
				     .queue = from->io.queue,
				     .tag = from->io.tag,
				     .kind = (uint8_t)from->kind,
				     .io = (uint8_t)from->io.kind,
				     .io_op = (uint8_t)from->io.op,
				     .context = from->io.context,
				     .probe = from->probe};

	memcpy(event.field, from->field, sizeof(event.field));
	if (from->kind == KEVENT_DMA_MAP_CALL) /* from the first page of what may be a larger one */
		event.field[KEVENT_OFFSET] %= FRAME_SIZE;
	if (from->kind == KEVENT_IO) {
		event.field[KEVENT_ADDR] = from->io.lba;
		event.field[KEVENT_SIZE] = from->io.bytes;
	}
	if (recording->event_count == reader->capacity) {
		reader->capacity = reader->capacity ? reader->capacity * 2 : 65536;
		recording->events = g_renew(struct verify_event, recording->events, reader->capacity);
	}
	recording->events[recording->event_count++] = event;
}

static void mark(struct reader *reader, const struct kevent *event)
{
	struct verify_mark *mark;

	if (event->body_len < 6 || memcmp(event->body, "phase ", 6) != 0)
		return;
	mark = g_new(struct verify_mark, 1);
	mark->event = reader->recording->event_count - 1;
	mark->text = g_strndup(event->body + 6, event->body_len - 6);
	g_ptr_array_add(reader->recording->marks, mark);
}

static void place(struct reader *reader, uint32_t number)
{
	const struct verify_event *event = &reader->recording->events[number];

	switch (event->kind) {
	case KEVENT_IO:
		op_io(reader, number);
		break;
	case KEVENT_DMA_ALLOC:
	case KEVENT_DMA_ALLOC_CALL:
		op_memory(reader, number, VERIFY_OP_COHERENT, event->kind == KEVENT_DMA_ALLOC_CALL);
		break;
	case KEVENT_DMA_FREE:
		op_memory(reader, number, VERIFY_OP_RELEASE, true);
		break;
	case KEVENT_FQ_TIMEOUT:
		op_begin(reader, number, VERIFY_OP_FLUSH);
		break;
	case KEVENT_DEPOT_WORK:
		op_begin(reader, number, VERIFY_OP_DEPOT);
		break;
	case KEVENT_DEPOT_WORK_RET:
		if (open_kind(reader, event->stream) == VERIFY_OP_DEPOT)
			op_add(reader, number, VERIFY_OP_DEPOT);
		op_close(reader, event->stream);
		break;
	case KEVENT_MARK:
	case KEVENT_OTHER:
	case KEVENT_IOVA_INIT:
	case KEVENT_IOVA_RESERVE:
		break;
	case KEVENT_QI_SUBMIT:
		if ((event->field[KEVENT_QW0] & QI_TYPE) == QI_TYPE_IOTLB &&
		    (event->field[KEVENT_QW0] & QI_GRANU) != QI_GLOBAL)
			op_invalidate(reader, number);
		break;
	case KEVENT_INVALIDATE:
		op_invalidate(reader, number);
		break;
	default:
		op_middle(reader, number);
	}
}

/** The domain is the one whose allocator is called most: after the boot, the NVMe controller's alone is. */
static void choose_allocator(struct reader *reader)
{
	struct verify_machine *machine = &reader->recording->machine;
	uint64_t most = 0;
	GHashTableIter iter;
	uint64_t *calls;

	g_hash_table_iter_init(&iter, reader->allocators);
	while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&calls))
		if (calls[1] > most || (calls[1] == most && calls[0] < machine->iovad)) {
			most = calls[1];
			machine->iovad = calls[0];
		}
}

static void learn_start(struct verify_recording *recording)
{
	struct verify_machine *machine = &recording->machine;
	bool asked = false;

	machine->granule = FRAME_SIZE;
	machine->start_pfn = 1;
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];
		bool ours = event->field[KEVENT_OBJECT] == machine->iovad;

		if (event->kind == KEVENT_IOVA_INIT && ours) {
			machine->granule = event->field[KEVENT_GRANULE];
			machine->start_pfn = event->field[KEVENT_START];
			g_array_set_size(recording->reserved, 0);
		} else if (event->kind == KEVENT_IOVA_RESERVE && ours) {
			struct verify_range range = {event->field[KEVENT_LO], event->field[KEVENT_HI]};

			g_array_append_val(recording->reserved, range);
		} else if (event->kind == KEVENT_IOVA_ALLOC && ours) {
			if (!asked)
				machine->forcedac =
					event->field[KEVENT_LIMIT] > UINT32_MAX / machine->granule;
			asked = true;
			machine->limit_pfn = MAX(machine->limit_pfn, event->field[KEVENT_LIMIT]);
		}
	}
}

bool verify_event_domain(const struct verify_event *event, unsigned *ret_domain)
{
	if (event->kind == KEVENT_INVALIDATE || event->kind == KEVENT_INVALIDATE_MAP)
		*ret_domain = (unsigned)event->field[KEVENT_DOMAIN];
	else if (event->kind == KEVENT_QI_SUBMIT)
		*ret_domain = (unsigned)QI_DOMAIN(event->field[KEVENT_QW0]);
	else
		return false;
	return true;
}

/** A domain that is flushed as a whole rather than page by page is lazy. */
static void learn_mode(struct verify_recording *recording)
{
	uint64_t whole = 0, pages = 0;
	unsigned domain;

	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];

		if (event->op == VERIFY_NONE || event->kind == KEVENT_INVALIDATE_MAP ||
		    !verify_event_domain(event, &domain) || domain != recording->machine.domain_id)
			continue;
		if (is_whole_flush(event))
			whole++;
		else
			pages++;
	}
	recording->machine.lazy |= whole > pages;
}

/** The domain is the one that commands undo mappings in. */
static void learn_domain(struct verify_recording *recording)
{
	unsigned *counts = g_new0(unsigned, 1u << 16), domain;

	recording->machine.domain_id = 1;
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];

		if (event->op == VERIFY_NONE || !verify_event_domain(event, &domain) || domain >> 16)
			continue;
		if (++counts[domain] > counts[recording->machine.domain_id])
			recording->machine.domain_id = domain;
	}
	g_free(counts);
}

static bool check(const struct verify_recording *recording, GError **error)
{
	const struct verify_machine *machine = &recording->machine;

	if (!machine->kinds[KEVENT_IO])
		return sim_error_plain(error, "%s: no block or NVMe events", recording->path) == 0;
	if (!machine->kinds[KEVENT_UNMAP] && !machine->kinds[KEVENT_MAP] && !machine->kinds[KEVENT_DMA_MAP] &&
	    !machine->kinds[KEVENT_MAP_NOSYNC])
		return sim_error_plain(error,
				       "%s: no events of the DMA or IOMMU layer to compare with: iommu, dma",
				       recording->path) == 0;
	if (machine->granule != FRAME_SIZE)
		return sim_error_plain(error,
				       "%s: granules of 0x%" G_GINT64_MODIFIER
				       "x bytes: only 0x%x is modelled",
				       recording->path, machine->granule, FRAME_SIZE) == 0;
	return true;
}

/** Finds by which event what stands before it in its stream is over: for a task the next one of its own; an interrupt has ended
 *  when its CPU does something that it would have interrupted. */
static void link_streams(struct verify_recording *recording)
{
	uint32_t *next = g_new(uint32_t, recording->stream_count + 1);
	uint32_t(*below)[TRACE_CONTEXTS] = g_malloc_n(recording->machine.cpus, sizeof(*below));

	memset(next, 0xff, (recording->stream_count + 1) * sizeof(*next));
	memset(below, 0xff, recording->machine.cpus * sizeof(*below));
	for (uint32_t i = recording->event_count; i-- > 0;) {
		struct verify_event *event = &recording->events[i];

		event->follows = event->context == TRACE_TASK ? next[event->stream]
							      : below[event->cpu][event->context];
		next[event->stream] = i;
		for (unsigned context = event->context; context < TRACE_CONTEXTS; context++)
			below[event->cpu][context] = i;
	}
	g_free(next);
	g_free(below);
}

static bool read_all(struct reader *reader, struct kevent_stream *stream, GError **error)
{
	struct verify_recording *recording = reader->recording;
	struct kevent event;
	int result;

	while ((result = kevent_next(stream, &event, error)) > 0) {
		if (recording->event_count == VERIFY_EVENTS_MAX)
			return sim_error_plain(error, "%s: more than %u events", recording->path,
					       VERIFY_EVENTS_MAX) == 0;
		if (event.kind == KEVENT_IOVA_RESERVE && event.field[KEVENT_LO] > event.field[KEVENT_HI])
			return sim_error_line(error, recording->path, event.io.position,
					      "iova_reserve: lo above hi") == 0;
		recording->machine.cpus = MAX(recording->machine.cpus, event.io.cpu + 1);
		store(reader, &event);
		if (event.kind == KEVENT_MARK)
			mark(reader, &event);
		place(reader, recording->event_count - 1);
		learn(reader, &recording->events[recording->event_count - 1]);
	}
	recording->machine.cpus = MAX(recording->machine.cpus, kevent_cpus(stream));
	recording->lost = kevent_lost(stream);
	return result == 0;
}

static void mark_free(void *data)
{
	struct verify_mark *mark = data;

	g_free(mark->text);
	g_free(mark);
}

struct verify_recording *verify_recording_read(const char *path, GError **error)
{
	struct kevent_stream *stream = kevent_open(path, error);
	struct verify_recording *recording;
	struct reader reader = {0};
	bool ok;

	if (!stream)
		return NULL;
	recording = g_new0(struct verify_recording, 1);
	recording->path = g_strdup(path);
	recording->counts_lines = kevent_counts_lines(stream);
	recording->ops = g_array_new(FALSE, FALSE, sizeof(struct verify_op));
	recording->reserved = g_array_new(FALSE, FALSE, sizeof(struct verify_range));
	recording->marks = g_ptr_array_new_with_free_func(mark_free);
	reader.recording = recording;
	reader.streams = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	reader.open = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	reader.in_flight = g_hash_table_new(NULL, NULL);
	reader.allocators = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	ok = read_all(&reader, stream, error);
	/* Of nothing, nothing can be learnt. */
	if (ok && !recording->event_count) {
		ok = check(recording, error);
	} else if (ok) {
		link_streams(recording);
		choose_allocator(&reader);
		learn_start(recording);
		learn_domain(recording);
		learn_mode(recording);
		ok = check(recording, error);
	}
	g_hash_table_unref(reader.streams);
	g_hash_table_unref(reader.in_flight);
	g_hash_table_unref(reader.allocators);
	g_array_unref(reader.open);
	kevent_close(stream);
	if (ok)
		return recording;
	verify_recording_free(recording);
	return NULL;
}

void verify_recording_free(struct verify_recording *recording)
{
	if (!recording)
		return;
	g_free(recording->path);
	g_free(recording->events);
	g_array_unref(recording->ops);
	g_array_unref(recording->reserved);
	g_ptr_array_unref(recording->marks);
	g_free(recording);
}

uint32_t verify_find(const struct verify_recording *recording, uint32_t from, enum kevent_kind kind)
{
	while (from != VERIFY_NONE && recording->events[from].kind != kind)
		from = recording->events[from].next;
	return from;
}

static void append_io(GString *text, const struct verify_event *event)
{
	static const char *const names[TRACE_OTHER + 1] = {
		[TRACE_SETUP] = "nvme_setup_cmd",	[TRACE_ISSUE] = "block_rq_issue",
		[TRACE_COMPLETE] = "block_rq_complete", [TRACE_NVME_COMPLETE] = "nvme_complete_rq",
		[TRACE_QUEUE] = "block_bio_queue",	[TRACE_REQUEUE] = "block_rq_requeue",
	};

	g_string_append(text, names[event->io] ? names[event->io] : "another I/O event");
	if (event->queue != TRACE_NO_QUEUE)
		g_string_append_printf(text, " qid=%u cmdid=%u", event->queue, event->tag);
	if (event->io == TRACE_SETUP || event->io == TRACE_ISSUE || event->io == TRACE_COMPLETE)
		g_string_append_printf(text, " %s", io_op_names[event->io_op]);
	if (event->io == TRACE_ISSUE || event->io == TRACE_COMPLETE)
		g_string_append_printf(text, " sector=%" G_GUINT64_FORMAT " bytes=%" G_GUINT64_FORMAT,
				       event->field[KEVENT_ADDR], event->field[KEVENT_SIZE]);
}

char *verify_event_place(const struct verify_recording *recording, uint32_t number)
{
	return g_strdup_printf("%s%c%" G_GUINT64_FORMAT, recording->path, recording->counts_lines ? ':' : '@',
			       recording->events[number].position);
}

char *verify_event_text(const struct verify_recording *recording, uint32_t number)
{
	static const char *const contexts[TRACE_CONTEXTS] = {[TRACE_TASK] = "task",
							     [TRACE_SOFTIRQ] = "softirq",
							     [TRACE_HARDIRQ] = "irq",
							     [TRACE_NMI] = "nmi"};
	const struct verify_event *event = &recording->events[number];
	uint64_t us = (event->time_ns + 500) / 1000; /* as the kernel prints it */
	g_autofree char *place = verify_event_place(recording, number);
	GString *text = g_string_new(NULL);

	g_string_append_printf(text, "%s: cpu %u ", place, event->cpu);
	g_string_append_printf(text, "%s %" G_GUINT64_FORMAT ".%06u ", contexts[event->context], us / 1000000,
			       (unsigned)(us % 1000000));
	if (event->kind == KEVENT_IO)
		append_io(text, event);
	else
		kevent_append(text, event->kind, event->has, event->field);
	return g_string_free(text, FALSE);
}
