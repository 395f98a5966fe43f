/* SPDX-License-Identifier: MIT */
/*
 * Events to records.
 *
 * What a CPU prepares (set-up, segments) is collected by CPU and context, so an interrupt in the middle has a place
 * of its own, and goes to the request that the CPU issues next, if it fits.
 *
 * Two things about a recording become clear only after the first steps: whether requests are issued before they are
 * prepared, and whether block completions follow the commands' own. Until then steps wait in a short queue, in order;
 * an unsettled one at its head is settled after LOOKAHEAD_EVENTS at the latest.
 */
#include <errno.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/core/umap.h"
#include "sim/trace/bios.h"
#include "sim/trace/inflight.h"

#define LOOKAHEAD_EVENTS 256
#define LOOKAHEAD_ISSUE	 1024 /* events from a set-up to its issue, of all CPUs */
#define LOOKAHEAD_MISSES 16   /* issues waited for in vain, after which nothing is waited for any more */
#define STEPS_MAX	 4096 /* above LOOKAHEAD_ISSUE times the steps that one event can cause */

/* Does a request's preparation come before or after its issue? */
enum order {
	ORDER_UNKNOWN,
	ORDER_SETUP_FIRST, /* as Linux does it */
	ORDER_ISSUE_FIRST,
};

/* Which event ends a request that has a command? */
enum ending {
	ENDING_UNKNOWN,
	ENDING_BLOCK, /* block completions are recorded: they do */
	ENDING_NVME,
};

enum step_kind {
	STEP_ISSUE,
	STEP_COMPLETE,
	STEP_TENTATIVE, /* a command's completion, while it is not known whether a block completion follows */
	STEP_VOID,
};

struct step {
	enum step_kind kind;
	uint32_t slot;
	uint64_t event; /* number of the event that caused it */
	struct io_complete complete;
};

/* What a CPU prepares in one context. */
struct prep {
	bool open;
	bool has_setup;
	bool to_device;
	struct trace_event setup;
	struct segment_list list;
	uint64_t segment_bytes;
	struct slot *held;    /* request issued before its preparation; its step waits */
	struct slot *pending; /* request that starts with its set-up; its step waits for the issue */
};

struct device {
	uint32_t number;
	uint32_t index; /* in public, INFLIGHT_NONE before a record names it */
	char *name;
};

struct io_stream {
	struct trace_source source;
	enum trace_at at;
	struct io_stream_stats stats;
	GHashTable *facts;
	GError *trouble;
	bool reader_ended;
	bool flushed;

	bool has_base;
	uint64_t base_ns;
	uint64_t now_ns;
	uint64_t event_ns; /* of the last event, as recorded */

	struct prep **preps; /* by CPU and context */
	bool setups_seen;
	enum order order;
	unsigned order_misses;
	enum ending ending;

	uint64_t record_number;
	struct inflight inflight;
	uint32_t ended_slot; /* returned as completed by the last call */
	uint64_t done_sequence;

	struct bios bios;   /* --at=queue */
	GArray *ended_bios; /* slots of the last completion, from ended_at on still to be returned */
	guint ended_at;
	struct io_complete ended_complete;

	struct umap device_numbers; /* number -> id */
	GArray *devices;	    /* of struct device, by id */
	GArray *device_ids;	    /* of uint32_t, by index */
	uint32_t last_number, last_id;

	struct step steps[STEPS_MAX];
	uint32_t step_head, step_count;
};

const char *const trace_at_names[] = {
	[TRACE_AT_ISSUE] = "issue",
	[TRACE_AT_QUEUE] = "queue",
	[TRACE_AT_SETUP] = "setup",
	[TRACE_ATS] = NULL,
};

const char *const io_op_names[IO_OPS] = {
	[IO_READ] = "read",
	[IO_WRITE] = "write",
	[IO_FLUSH] = "flush",
	[IO_DISCARD] = "discard",
	[IO_WRITE_ZEROES] = "write zeroes",
	[IO_PASSTHROUGH] = "passthrough",
};

/* ---- devices ---- */

static char *device_name(const struct io_stream *stream, uint32_t number)
{
	const struct trace_source *source = &stream->source;

	if (source->ops->device_name)
		return source->ops->device_name(source->state, number);
	if (number & TRACE_NVME)
		return g_strdup_printf("nvme%u", number & ~TRACE_NVME);
	return g_strdup_printf("%u,%u", number >> 20, number & 0xfffff);
}

/* Returns the id of device @number, TRACE_DEVICES_MAX when there are too many. */
static uint32_t device_id(struct io_stream *stream, uint32_t number)
{
	struct umap_entry *entry;
	struct device device = {.number = number, .index = INFLIGHT_NONE};

	if (number == stream->last_number && stream->devices->len)
		return stream->last_id;
	entry = umap_find(&stream->device_numbers, number);
	if (!entry) {
		if (stream->devices->len == TRACE_DEVICES_MAX)
			return TRACE_DEVICES_MAX;
		entry = umap_insert(&stream->device_numbers, number);
		entry->value = stream->devices->len;
		device.name = device_name(stream, number);
		g_array_append_val(stream->devices, device);
	}
	stream->last_number = number;
	stream->last_id = (uint32_t)entry->value;
	return stream->last_id;
}

static uint32_t device_index(struct io_stream *stream, uint32_t id)
{
	struct device *device = &g_array_index(stream->devices, struct device, id);

	if (device->index == INFLIGHT_NONE) {
		device->index = stream->device_ids->len;
		g_array_append_val(stream->device_ids, id);
	}
	return device->index;
}

/* ---- steps ---- */

static struct step *step_at(struct io_stream *stream, uint32_t i)
{
	return &stream->steps[(stream->step_head + i) % STEPS_MAX];
}

static void step_push(struct io_stream *stream, enum step_kind kind, const struct slot *slot,
		      const struct io_complete *complete)
{
	struct step *step = step_at(stream, stream->step_count++);

	g_assert(stream->step_count <= STEPS_MAX);
	step->kind = kind;
	step->slot = slot->record.slot;
	step->event = stream->stats.events;
	if (complete)
		step->complete = *complete;
}

static void hold_end(struct slot *slot)
{
	if (slot->held) {
		slot->held->held = NULL;
		slot->held = NULL;
	}
}

/* Withdraws what the completion of @slot's command has put into the queue of steps. */
static void tentative_end(struct io_stream *stream, const struct slot *slot)
{
	for (uint32_t i = 0; i < stream->step_count; i++) {
		struct step *step = step_at(stream, i);

		if (step->kind == STEP_TENTATIVE && step->slot == slot->record.slot)
			step->kind = STEP_VOID;
	}
}

static void slot_end(struct io_stream *stream, struct slot *slot, const struct io_complete *complete)
{
	hold_end(slot);
	if (slot->done_sequence && stream->ending == ENDING_UNKNOWN)
		tentative_end(stream, slot);
	inflight_unlink(&stream->inflight, slot);
	step_push(stream, STEP_COMPLETE, slot, complete);
}

/* Which bios a completion can end: those of its device and operation. */
static uint32_t bio_group(uint32_t device, enum io_op op)
{
	return device * IO_OPS + op;
}

static void slot_give_up(struct io_stream *stream, struct slot *slot)
{
	struct io_complete complete = {.time_ns = stream->now_ns, .cpu = slot->record.cpu};

	if (stream->at == TRACE_AT_QUEUE)
		bios_remove(&stream->bios, slot->bio_group, slot->record.lba, slot->bio_number);
	slot->record.completes = false;
	stream->stats.unfinished++;
	slot_end(stream, slot, &complete);
}

static void count_io_time(struct io_stream *stream)
{
	if (!stream->stats.issues)
		stream->stats.first_ns = stream->now_ns;
	stream->stats.last_ns = stream->now_ns;
}

static void set_ending(struct io_stream *stream, enum ending ending)
{
	stream->ending = ending;
	for (uint32_t i = 0; i < stream->step_count; i++) {
		struct step *step = step_at(stream, i);

		if (step->kind != STEP_TENTATIVE)
			continue;
		step->kind = ending == ENDING_NVME ? STEP_COMPLETE : STEP_VOID;
		if (ending == ENDING_NVME) {
			inflight_unlink(&stream->inflight, inflight_slot(&stream->inflight, step->slot));
			stream->stats.completions++;
		}
	}
}

/* ---- preparation ---- */

static struct prep *prep_find(struct io_stream *stream, const struct trace_event *event)
{
	return stream->preps[event->cpu * TRACE_CONTEXTS + event->context];
}

static struct prep *prep_get(struct io_stream *stream, const struct trace_event *event)
{
	struct prep **prep = &stream->preps[event->cpu * TRACE_CONTEXTS + event->context];

	if (!*prep)
		*prep = g_new0(struct prep, 1);
	return *prep;
}

static void prep_start(struct prep *prep, const struct trace_event *setup)
{
	prep->open = true;
	prep->has_setup = setup != NULL;
	if (setup)
		prep->setup = *setup;
	prep->list.count = 0;
	prep->segment_bytes = 0;
}

/* What @prep has set up is not issued: it was no request. */
static void pending_drop(struct io_stream *stream, struct prep *prep)
{
	struct slot *slot = prep->pending;

	if (!slot)
		return;
	for (uint32_t i = 0; i < stream->step_count; i++) {
		struct step *step = step_at(stream, i);

		if (step->kind == STEP_ISSUE && step->slot == slot->record.slot)
			step->kind = STEP_VOID;
	}
	prep->pending = NULL;
	slot->pending = NULL;
	inflight_give_back(&stream->inflight, slot->record.slot);
}

/* Makes the set-up of @prep the start of a request, which its issue will tell more of. */
static void pending_start(struct io_stream *stream, struct prep *prep, const struct trace_event *setup)
{
	struct slot *slot = inflight_take(&stream->inflight);

	slot->record.time_ns = stream->now_ns;
	slot->record.position = setup->position;
	slot->record.cpu = setup->cpu;
	slot->pending = prep;
	prep->pending = slot;
	step_push(stream, STEP_ISSUE, slot, NULL);
}

/* Nothing came for the request that @prep holds back, if any. */
static void prep_release(struct io_stream *stream, struct prep *prep)
{
	if (!prep->held)
		return;
	if (stream->order == ORDER_UNKNOWN)
		stream->order_misses++;
	hold_end(prep->held);
}

static bool op_fits(enum io_op command, enum io_op request)
{
	return command == request || request == IO_PASSTHROUGH ||
	       (command == IO_DISCARD && request == IO_WRITE_ZEROES); /* some drives zero that way */
}

/* Is @setup the command of @record? Blocks are 512 bytes to 64 KiB: whatever makes the length right must make the place
 * right, too. */
static bool setup_fits(const struct trace_event *setup, const struct io_record *record)
{
	if (!op_fits(setup->op, record->op))
		return false;
	if (!setup->bytes || record->op == IO_PASSTHROUGH)
		return true;
	if (setup->lba > TRACE_LBA_MAX)
		return false;
	for (unsigned lg2 = 0; lg2 <= 7; lg2++)
		if (setup->bytes << (lg2 + 9) == record->bytes)
			return setup->lba << lg2 == record->lba;
	return false;
}

/* Returns how many segments at the start of @prep's list are not the record's: those of others, where nothing says what
 * is being prepared. INFLIGHT_NONE: the segments are not of this request at all. */
static uint32_t segments_foreign(const struct prep *prep, const struct io_record *record)
{
	uint64_t bytes = 0;

	/* The segments of the other operations are lists of ranges: the driver's own data, of any length. */
	if (record->op == IO_DISCARD || record->op == IO_WRITE_ZEROES || record->op == IO_FLUSH)
		return prep->has_setup ? 0 : INFLIGHT_NONE;
	if (prep->has_setup)
		return prep->segment_bytes == record->bytes ? 0 : INFLIGHT_NONE;
	for (uint32_t i = prep->list.count; i > 0 && bytes < record->bytes; i--) {
		bytes += prep->list.segments[i - 1].len_bytes;
		if (bytes == record->bytes)
			return i - 1;
	}
	return INFLIGHT_NONE;
}

static void prep_give_segments(struct io_stream *stream, struct prep *prep, struct slot *slot)
{
	uint32_t foreign = segments_foreign(prep, &slot->record);
	struct segment_list list = slot->list;

	if (foreign == INFLIGHT_NONE) {
		stream->stats.segments_dropped += prep->has_setup;
		return;
	}
	if (foreign) {
		prep->list.count -= foreign;
		memmove(prep->list.segments, prep->list.segments + foreign,
			prep->list.count * sizeof(*prep->list.segments));
	}
	slot->list = prep->list;
	prep->list = list;
	slot->record.segments = slot->list.segments;
	slot->record.segment_count = slot->list.count;
	if (slot->record.op == IO_PASSTHROUGH)
		slot->record.to_device = prep->to_device;
}

/* Makes what was prepared part of the request. */
static void prep_give(struct io_stream *stream, struct prep *prep, struct slot *slot)
{
	struct io_record *record = &slot->record;

	if (prep->list.count)
		prep_give_segments(stream, prep, slot);
	if (prep->has_setup) {
		record->queue = prep->setup.queue;
		record->tag = prep->setup.tag;
		/* A command of the driver itself has no block device: "0,0". */
		if (g_array_index(stream->devices, struct device, record->device).number == 0)
			record->device = device_id(stream, prep->setup.device);
		inflight_set_command(&stream->inflight, slot, inflight_command_key(&prep->setup));
	}
	prep->open = false;
	prep->list.count = 0;
}

/* ---- events ---- */

static int event_trouble(struct io_stream *stream, const struct trace_event *event, const char *what)
{
	return trace_source_error(&stream->source, event->position, what, &stream->trouble);
}

static int take_setup(struct io_stream *stream, const struct trace_event *event)
{
	struct prep *prep = prep_get(stream, event);

	stream->setups_seen = true;
	if (device_id(stream, event->device) == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	if (prep->held && setup_fits(event, &prep->held->record)) {
		struct slot *slot = prep->held;

		stream->order = ORDER_ISSUE_FIRST;
		prep->has_setup = true;
		prep->setup = *event;
		prep_give(stream, prep, slot);
		hold_end(slot);
		return 0;
	}
	prep_release(stream, prep);
	stream->stats.setups_dropped += prep->open && prep->has_setup;
	pending_drop(stream, prep);
	prep_start(prep, event);
	if (stream->at == TRACE_AT_SETUP)
		pending_start(stream, prep, event);
	return 0;
}

static int take_segment(struct io_stream *stream, const struct trace_event *event)
{
	struct prep *prep = prep_get(stream, event);

	if (!prep->open) {
		/* With set-ups recorded, what maps outside of one is another driver's. */
		if (!prep->held && stream->setups_seen && stream->order != ORDER_ISSUE_FIRST)
			return 0;
		prep_start(prep, NULL);
	}
	if (prep->list.count == IO_SEGMENTS_MAX) {
		if (prep->has_setup)
			return event_trouble(stream, event, "request of more than 1024 segments");
		prep_start(prep, NULL);
	}
	inflight_segments_append(&stream->inflight, &prep->list, event->paddr, (uint32_t)event->bytes, 0);
	prep->segment_bytes += event->bytes;
	prep->to_device = event->to_device;
	return 0;
}

/* Is the first of those with the key of @slot a command that failed and is now tried again? Then that has ended. */
static void end_failed_attempt(struct io_stream *stream, uint64_t key)
{
	struct io_complete complete;
	struct slot *slot;

	if (stream->ending != ENDING_BLOCK)
		return;
	slot = inflight_first(&stream->inflight, key);
	if (!slot || !slot->done_sequence || !slot->done.error)
		return;
	complete = slot->done;
	complete.time_ns = stream->now_ns;
	stream->stats.completions++;
	slot_end(stream, slot, &complete);
}

/* Returns the slot of a request that starts now, or started when @prep was set up for it. */
static struct slot *slot_start(struct io_stream *stream, const struct trace_event *event, struct prep *prep)
{
	struct slot *slot = prep && prep->open ? prep->pending : NULL;

	if (slot) {
		const struct io_record issue = {.op = event->op, .lba = event->lba, .bytes = event->bytes};

		if (setup_fits(&prep->setup, &issue)) {
			prep->pending = NULL;
			slot->pending = NULL;
			return slot;
		}
	}
	slot = inflight_take(&stream->inflight);
	slot->record.time_ns = stream->now_ns;
	slot->record.position = event->position;
	slot->record.cpu = event->cpu;
	stream->stats.at_missing += stream->at == TRACE_AT_SETUP;
	step_push(stream, STEP_ISSUE, slot, NULL);
	return slot;
}

static struct slot *slot_issue(struct io_stream *stream, const struct trace_event *event, uint32_t id,
			       struct prep *prep)
{
	struct slot *slot = slot_start(stream, event, prep);
	struct io_record *record = &slot->record;

	count_io_time(stream);
	if (!stream->stats.issues)
		stream->stats.first_ns = record->time_ns;
	stream->stats.issues++;
	record->lba = event->lba;
	record->bytes = event->bytes;
	record->device = id; /* its index is made when the record is returned */
	record->queue = event->queue;
	record->tag = event->tag;
	record->op = event->op;
	record->to_device = event->op == IO_WRITE || event->op == IO_DISCARD;
	record->completes = true;
	record->never_completes = event->never_completes;
	if (event->request)
		inflight_set_command(&stream->inflight, slot, inflight_number_key(event->request));
	else
		slot->block_key = inflight_block_key(id, event->op, event->lba);
	inflight_link(&stream->inflight, slot);
	if (!event->never_completes)
		stream->stats.max_in_flight = stream->inflight.count_max;
	return slot;
}

/* Until the recording's order is known, and where it is issue first, an issue without preparation waits for one. */
static bool may_wait(const struct io_stream *stream)
{
	return stream->order == ORDER_ISSUE_FIRST ||
	       (stream->order == ORDER_UNKNOWN && stream->order_misses < LOOKAHEAD_MISSES);
}

static bool too_much_in_flight(const struct io_stream *stream, const struct trace_event *event)
{
	const struct inflight *inflight = &stream->inflight;

	if (event->never_completes && inflight->count >= IO_LIST_DEPTH)
		return true;
	return inflight->count >= IO_IN_FLIGHT_MAX ||
	       (inflight->count && inflight->segments_held > INFLIGHT_SEGMENTS_HELD);
}

/* An issue that has all there is of it: nothing waits, and nothing of what its CPU did before belongs to it. */
static int take_whole_issue(struct io_stream *stream, const struct trace_event *event)
{
	uint32_t id = device_id(stream, event->device);
	struct slot *slot;

	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	if (too_much_in_flight(stream, event))
		slot_give_up(stream, inflight_slot(&stream->inflight, stream->inflight.oldest));
	slot = slot_issue(stream, event, id, NULL);
	slot->record.to_device = event->to_device;
	for (uint32_t i = 0; i < event->segment_count; i++)
		inflight_segments_append(&stream->inflight, &slot->list, event->segments[i].paddr,
					 event->segments[i].len_bytes, event->segments[i].flags);
	slot->record.segments = slot->list.segments;
	slot->record.segment_count = slot->list.count;
	return 0;
}

static int take_whole_end(struct io_stream *stream, const struct trace_event *event)
{
	struct slot *slot = inflight_by_command(&stream->inflight, inflight_number_key(event->request));
	bool requeued = event->kind == TRACE_REQUEUE;
	struct io_complete complete = {
		.time_ns = stream->now_ns, .cpu = event->cpu, .error = event->error, .requeued = requeued};

	if (!slot) {
		stream->stats.unmatched_completions++;
		return 0;
	}
	if (event->given_up) {
		slot_give_up(stream, slot);
		return 0;
	}
	if (!requeued)
		count_io_time(stream);
	stream->stats.completions += !requeued;
	stream->stats.requeued += requeued;
	slot_end(stream, slot, &complete);
	return 0;
}

static int take_issue(struct io_stream *stream, const struct trace_event *event)
{
	struct prep *prep = prep_find(stream, event);
	uint32_t id = device_id(stream, event->device);
	struct slot *slot;

	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	end_failed_attempt(stream, inflight_block_key(id, event->op, event->lba));
	if (too_much_in_flight(stream, event))
		slot_give_up(stream, inflight_slot(&stream->inflight, stream->inflight.oldest));
	slot = slot_issue(stream, event, id, prep);
	if (prep)
		prep_release(stream, prep);
	if (prep && prep->open && (!prep->has_setup || setup_fits(&prep->setup, &slot->record))) {
		if (prep->has_setup && stream->order == ORDER_UNKNOWN)
			stream->order = ORDER_SETUP_FIRST;
		prep_give(stream, prep, slot);
	} else if (may_wait(stream)) {
		prep = prep_get(stream, event);
		stream->stats.setups_dropped += prep->open;
		pending_drop(stream, prep);
		prep->open = false;
		prep->held = slot;
		slot->held = prep;
	}
	return 0;
}

static int take_complete(struct io_stream *stream, const struct trace_event *event)
{
	uint32_t id = device_id(stream, event->device);
	struct prep *prep = prep_find(stream, event);
	struct io_complete complete = {.time_ns = stream->now_ns, .cpu = event->cpu, .error = event->error};
	struct slot *slot;

	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	if (prep)
		prep_release(stream, prep);
	slot = inflight_pick(&stream->inflight, inflight_block_key(id, event->op, event->lba));
	if (!slot) {
		stream->stats.unmatched_completions++;
		return 0;
	}
	if (slot->done_sequence && stream->ending == ENDING_UNKNOWN)
		set_ending(stream, ENDING_BLOCK);
	count_io_time(stream);
	stream->stats.completions++;
	slot_end(stream, slot, &complete);
	return 0;
}

static int take_requeue(struct io_stream *stream, const struct trace_event *event)
{
	uint32_t id = device_id(stream, event->device);
	struct io_complete complete = {.time_ns = stream->now_ns, .cpu = event->cpu, .error = -EAGAIN};
	uint64_t key = inflight_block_key(id, event->op, event->lba);
	struct slot *slot;

	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	slot = inflight_pick(&stream->inflight, key);
	if (!slot)
		return 0; /* it never came as far as its issue */
	if (slot->done_sequence) {
		/* It was carried out, failed, and is tried again. */
		complete.error = slot->done.error;
		stream->stats.completions++;
	} else {
		slot = inflight_last(&stream->inflight, key);
		complete.requeued = true;
		stream->stats.requeued++;
	}
	slot_end(stream, slot, &complete);
	return 0;
}

static int take_nvme_complete(struct io_stream *stream, const struct trace_event *event)
{
	struct slot *slot = inflight_by_command(&stream->inflight, inflight_command_key(event));
	struct prep *prep = prep_find(stream, event);

	if (prep)
		prep_release(stream, prep);
	if (!slot) {
		stream->stats.unmatched_completions += stream->ending == ENDING_NVME;
		return 0;
	}
	if (slot->done_sequence)
		return 0;
	slot->done_sequence = ++stream->done_sequence;
	slot->done =
		(struct io_complete){.time_ns = stream->now_ns, .cpu = event->cpu, .error = event->error};
	count_io_time(stream);
	if (stream->ending == ENDING_UNKNOWN) {
		step_push(stream, STEP_TENTATIVE, slot, &slot->done);
	} else if (stream->ending == ENDING_NVME) {
		stream->stats.completions++;
		slot_end(stream, slot, &slot->done);
	}
	return 0;
}

/* ---- bios: what --at=queue is about ---- */

static int take_bio(struct io_stream *stream, const struct trace_event *event)
{
	uint32_t id = device_id(stream, event->device);
	struct slot *slot;

	stream->stats.queued++;
	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	if (too_much_in_flight(stream, event))
		slot_give_up(stream, inflight_slot(&stream->inflight, stream->inflight.oldest));
	slot = slot_issue(stream, event, id, NULL);
	slot->bio_group = bio_group(id, event->op);
	slot->bio_number = stream->stats.issues;
	if (event->bytes)
		bios_add(&stream->bios, slot->bio_group, event->lba, event->bytes, slot->bio_number,
			 slot->record.slot);
	return 0;
}

/* A completion may end more bios than there is room for steps: the rest waits here. */
static void bios_return(struct io_stream *stream)
{
	while (stream->ended_at < stream->ended_bios->len && stream->step_count < STEPS_MAX) {
		uint32_t number = g_array_index(stream->ended_bios, uint32_t, stream->ended_at++);

		stream->stats.completions++;
		slot_end(stream, inflight_slot(&stream->inflight, number), &stream->ended_complete);
	}
}

static int take_bio_complete(struct io_stream *stream, const struct trace_event *event)
{
	uint32_t id = device_id(stream, event->device);
	struct slot *slot;

	if (id == TRACE_DEVICES_MAX)
		return event_trouble(stream, event, "more than 65536 devices");
	g_array_set_size(stream->ended_bios, 0);
	stream->ended_at = 0;
	stream->ended_complete =
		(struct io_complete){.time_ns = stream->now_ns, .cpu = event->cpu, .error = event->error};
	if (event->bytes) {
		if (!bios_end(&stream->bios, bio_group(id, event->op), event->lba, event->bytes,
			      stream->ended_bios))
			stream->stats.unmatched_completions += event->op != IO_PASSTHROUGH;
	} else {
		/* The flush machinery flushes for bios that have data, too. */
		slot = inflight_first(&stream->inflight, inflight_block_key(id, event->op, event->lba));
		if (slot && !slot->record.bytes)
			g_array_append_val(stream->ended_bios, slot->record.slot);
	}
	if (stream->ended_bios->len)
		count_io_time(stream);
	bios_return(stream);
	return 0;
}

static int take_queue_event(struct io_stream *stream, const struct trace_event *event)
{
	if (event->request)
		return 0; /* has no bios */
	if (event->kind == TRACE_QUEUE)
		return take_bio(stream, event);
	if (event->kind == TRACE_COMPLETE)
		return take_bio_complete(stream, event);
	stream->stats.other += event->kind == TRACE_OTHER;
	return 0;
}

/* Makes the event's time the stream's, which never goes back. */
static void take_time(struct io_stream *stream, const struct trace_event *event)
{
	bool back = false;

	if (!stream->has_base) {
		stream->has_base = true;
		stream->base_ns = stream->source.ops->from_zero ? 0 : event->time_ns;
	} else {
		stream->stats.ties += event->time_ns == stream->event_ns;
	}
	stream->event_ns = event->time_ns;
	if (event->time_ns >= stream->base_ns + stream->now_ns)
		stream->now_ns = event->time_ns - stream->base_ns;
	else
		back = true;
	stream->stats.time_backwards += back || event->late;
}

static int take_event(struct io_stream *stream, const struct trace_event *event)
{
	stream->stats.events++;
	stream->stats.cpus = MAX(stream->stats.cpus, event->cpu + 1);
	take_time(stream, event);
	if (stream->at == TRACE_AT_QUEUE)
		return take_queue_event(stream, event);
	if (event->request)
		return event->kind == TRACE_ISSUE ? take_whole_issue(stream, event)
						  : take_whole_end(stream, event);
	switch (event->kind) {
	case TRACE_SETUP:
		return take_setup(stream, event);
	case TRACE_SEGMENT:
		return take_segment(stream, event);
	case TRACE_ISSUE:
		return take_issue(stream, event);
	case TRACE_COMPLETE:
		return take_complete(stream, event);
	case TRACE_REQUEUE:
		return take_requeue(stream, event);
	case TRACE_NVME_COMPLETE:
		return take_nvme_complete(stream, event);
	case TRACE_QUEUE:
		stream->stats.queued++;
		return 0;
	default:
		stream->stats.other++;
		return 0;
	}
}

/* ---- out ---- */

/* Settles what the step at the head waits for, if it has waited long enough or nothing more comes. */
static void settle_head(struct io_stream *stream)
{
	struct step *step = step_at(stream, 0);
	struct slot *slot = inflight_slot(&stream->inflight, step->slot);

	uint64_t patience = slot->pending ? LOOKAHEAD_ISSUE : LOOKAHEAD_EVENTS;

	if (!stream->reader_ended && stream->stats.events - step->event < patience)
		return;
	if (step->kind == STEP_ISSUE && slot->pending)
		pending_drop(stream, slot->pending);
	else if (step->kind == STEP_ISSUE && slot->held)
		prep_release(stream, slot->held);
	else if (step->kind == STEP_TENTATIVE)
		set_ending(stream, ENDING_NVME);
}

static void finish_issue(struct io_stream *stream, struct io_record *record)
{
	bool data = record->op == IO_READ || record->op == IO_WRITE || record->op == IO_PASSTHROUGH;

	record->number = ++stream->record_number;
	record->device = device_index(stream, record->device);
	stream->stats.op_count[record->op]++;
	stream->stats.op_bytes[record->op] += record->bytes;
	stream->stats.without_segments += data && record->bytes && !record->segment_count;
}

/* Takes the next step that is settled. IO_END: there is none. */
static enum io_step step_pop(struct io_stream *stream, const struct io_record **ret_record,
			     struct io_complete *ret_complete)
{
	while (stream->step_count) {
		struct step *step = step_at(stream, 0);
		struct slot *slot = inflight_slot(&stream->inflight, step->slot);

		if (step->kind == STEP_TENTATIVE || slot->held || slot->pending)
			settle_head(stream);
		if (step->kind == STEP_TENTATIVE ||
		    (step->kind == STEP_ISSUE && (slot->held || slot->pending)))
			return IO_END;
		stream->step_head = (stream->step_head + 1) % STEPS_MAX;
		stream->step_count--;
		if (step->kind == STEP_VOID)
			continue;
		*ret_record = &slot->record;
		if (step->kind == STEP_ISSUE) {
			finish_issue(stream, &slot->record);
			return IO_ISSUE;
		}
		*ret_complete = step->complete;
		stream->ended_slot = step->slot;
		return IO_COMPLETE;
	}
	return IO_END;
}

/* At the end: a command that was reported complete has ended, even if its block completion is missing. Called until it
 * returns false, since the queue of steps is short. */
static bool flush_some(struct io_stream *stream)
{
	uint32_t next;

	for (uint32_t i = stream->inflight.oldest; i != INFLIGHT_NONE && stream->step_count < STEPS_MAX;
	     i = next) {
		struct slot *slot = inflight_slot(&stream->inflight, i);
		struct io_complete complete = slot->done;

		next = slot->open_next;
		if (!slot->done_sequence)
			continue;
		complete.time_ns = stream->now_ns;
		stream->stats.completions++;
		slot_end(stream, slot, &complete);
	}
	return stream->step_count > 0;
}

static void finish(struct io_stream *stream)
{
	stream->flushed = true;
	for (uint32_t i = stream->inflight.oldest; i != INFLIGHT_NONE;) {
		struct slot *slot = inflight_slot(&stream->inflight, i);

		slot->record.completes = false;
		stream->stats.unfinished++;
		i = slot->open_next;
	}
	for (unsigned i = 0; i < SIM_CPUS_MAX * TRACE_CONTEXTS; i++) {
		const struct prep *prep = stream->preps[i];

		stream->stats.setups_dropped += prep && prep->open && prep->has_setup;
	}
	if (!stream->stats.issues)
		sim_error_plain(&stream->trouble, "%s: no %s events in it, read as %s",
				input_path(stream->source.input),
				stream->at == TRACE_AT_QUEUE ? "queue" : "I/O", stream->source.ops->name);
	else if (stream->stats.at_missing == stream->stats.issues)
		sim_error_plain(&stream->trouble, "%s: no set-up before any issue in it, read as %s",
				input_path(stream->source.input), stream->source.ops->name);
}

static enum io_step report_trouble(struct io_stream *stream, GError **error)
{
	g_propagate_error(error, g_error_copy(stream->trouble));
	return IO_TROUBLE;
}

enum io_step io_stream_next(struct io_stream *stream, const struct io_record **ret_record,
			    struct io_complete *ret_complete, GError **error)
{
	if (stream->ended_slot != INFLIGHT_NONE) {
		inflight_give_back(&stream->inflight, stream->ended_slot);
		stream->ended_slot = INFLIGHT_NONE;
	}
	for (;;) {
		enum io_step step = step_pop(stream, ret_record, ret_complete);
		struct trace_event event;
		int result;

		if (step != IO_END)
			return step;
		if (stream->trouble)
			return report_trouble(stream, error);
		if (stream->ended_at < stream->ended_bios->len) {
			bios_return(stream);
			continue;
		}
		if (stream->flushed)
			return IO_END;
		if (stream->reader_ended) {
			if (!flush_some(stream))
				finish(stream);
			continue;
		}
		result = stream->source.ops->next(stream->source.state, &event, &stream->trouble);
		if (result > 0)
			result = take_event(stream, &event);
		else if (result == 0)
			stream->reader_ended = true;
		if (result < 0)
			return report_trouble(stream, error);
	}
}

/* ---- opening and asking ---- */

struct io_stream *io_stream_open(const char *path, const char *format, GError **error)
{
	struct trace_options options = {.format = format};

	return io_stream_open_options(path, &options, error);
}

struct io_stream *io_stream_open_options(const char *path, const struct trace_options *options,
					 GError **error)
{
	struct io_stream *stream;
	struct trace_source source;

	if (!trace_source_open(path, options, &source, error))
		return NULL;
	stream = g_new0(struct io_stream, 1);
	stream->source = source;
	stream->at = options->at;
	bios_init(&stream->bios);
	stream->ended_bios = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	stream->preps = g_new0(struct prep *, SIM_CPUS_MAX * TRACE_CONTEXTS);
	inflight_init(&stream->inflight);
	stream->ended_slot = INFLIGHT_NONE;
	umap_init(&stream->device_numbers);
	stream->devices = g_array_new(FALSE, FALSE, sizeof(struct device));
	stream->device_ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	return stream;
}

void io_stream_close(struct io_stream *stream)
{
	if (!stream)
		return;
	for (unsigned i = 0; i < SIM_CPUS_MAX * TRACE_CONTEXTS; i++)
		if (stream->preps[i]) {
			inflight_segments_free(&stream->inflight, &stream->preps[i]->list);
			g_free(stream->preps[i]);
		}
	g_free(stream->preps);
	bios_finish(&stream->bios);
	g_array_unref(stream->ended_bios);
	inflight_finish(&stream->inflight);
	for (uint32_t i = 0; i < stream->devices->len; i++)
		g_free(g_array_index(stream->devices, struct device, i).name);
	g_array_unref(stream->devices);
	g_array_unref(stream->device_ids);
	umap_finish(&stream->device_numbers);
	g_clear_pointer(&stream->facts, g_hash_table_unref);
	g_clear_error(&stream->trouble);
	trace_source_close(&stream->source);
	g_free(stream);
}

const struct trace_reader_ops *io_stream_format(const struct io_stream *stream)
{
	return stream->source.ops;
}

const struct io_stream_stats *io_stream_stats(const struct io_stream *stream)
{
	return &stream->stats;
}

const struct input *io_stream_input(const struct io_stream *stream)
{
	return stream->source.input;
}

const char *io_stream_device_name(const struct io_stream *stream, uint32_t index)
{
	if (index >= stream->device_ids->len)
		return NULL;
	return g_array_index(stream->devices, struct device,
			     g_array_index(stream->device_ids, uint32_t, index))
		.name;
}

uint32_t io_stream_cpus(const struct io_stream *stream)
{
	return stream->source.ops->cpus ? stream->source.ops->cpus(stream->source.state) : 0;
}

const struct names *io_stream_events(const struct io_stream *stream)
{
	const struct trace_source *source = &stream->source;

	return source->ops->events ? source->ops->events(source->state) : NULL;
}

GHashTable *io_stream_facts(struct io_stream *stream)
{
	if (!stream->facts)
		stream->facts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (stream->source.ops->facts)
		stream->source.ops->facts(stream->source.state, stream->facts);
	return stream->facts;
}
