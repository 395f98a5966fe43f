/* SPDX-License-Identifier: MIT */
#include "sim/host/recorder.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "sim/core/error.h"

#define SECTOR_BYTES 512
#define TICK_NS	     UINT64_C(100000000)

struct slot {
	struct io_record record;
	uint64_t begun_ns;
	uint64_t bytes; /* that it shall return */
};

struct recorder {
	struct recorder_config config;
	struct ring *ring;
	struct slot *slots;
	unsigned *free_slots; /* numbers; there is room for all */
	unsigned free_count;
	uint64_t start_ns; /* of the clock; 0: nothing issued yet */
	uint64_t first_ns; /* time of the trace that this is */
	struct recorder_stats stats;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- where it goes ---- */

static bool has_place(enum io_op op)
{
	return op != IO_FLUSH;
}

/** Rounds @record outwards to blocks of @target. */
static void round_outwards(const struct target *target, const struct io_record *record,
			   struct ring_request *request)
{
	uint64_t mask = target->block_bytes - 1;
	uint64_t begin = record->lba * SECTOR_BYTES, end = begin + record->bytes;

	request->place_bytes = begin & ~mask;
	request->bytes = ((end + mask) & ~mask) - request->place_bytes;
}

uint64_t recorder_bytes(const struct target *target, const struct io_record *record)
{
	struct ring_request request = {0};

	round_outwards(target, record, &request);
	return request.bytes;
}

/** Returns whether @request lies within the target, to which it may have been brought back. */
static bool bring_back(struct recorder *recorder, struct ring_request *request)
{
	uint64_t mask = recorder->config.target->block_bytes - 1;
	uint64_t size = recorder->config.target->size_bytes & ~mask;

	if (request->place_bytes <= size && request->bytes <= size - request->place_bytes)
		return true;
	if (!recorder->config.wrap || request->bytes > size) {
		recorder->stats.beyond++;
		return false;
	}
	recorder->stats.wrapped++;
	request->place_bytes = MIN(request->place_bytes % size, size - request->bytes);
	return true;
}

static enum ring_op ring_op_of(enum io_op op)
{
	switch (op) {
	case IO_READ:
		return RING_READ;
	case IO_WRITE:
		return RING_WRITE;
	case IO_FLUSH:
		return RING_FLUSH;
	case IO_DISCARD:
		return RING_DISCARD;
	case IO_WRITE_ZEROES:
		return RING_WRITE_ZEROES;
	default:
		g_assert_not_reached();
	}
}

bool recorder_takes(const struct recorder_config *config, enum io_op op)
{
	return op == IO_READ || op == IO_FLUSH || (op != IO_PASSTHROUGH && config->writes);
}

/* ---- ends ---- */

static void end(struct recorder *recorder, unsigned number, int32_t result, uint64_t now_ns)
{
	struct slot *slot = &recorder->slots[number];
	struct io_complete complete = {.time_ns = now_ns - recorder->start_ns, .cpu = slot->record.cpu};

	if (result < 0)
		complete.error = result;
	else if ((uint64_t)result < slot->bytes)
		complete.error = -EIO;
	recorder->stats.ended++;
	recorder->stats.errors += complete.error != 0;
	recorder->free_slots[recorder->free_count++] = number;
	recorder->config.ended(recorder->config.data, &slot->record, &complete, now_ns - slot->begun_ns);
}

static unsigned in_flight(const struct recorder *recorder)
{
	return recorder->config.slots - recorder->free_count;
}

static void reap(struct recorder *recorder)
{
	unsigned number;
	int32_t result;

	while (ring_reap(recorder->ring, &number, &result))
		end(recorder, number, result, clock_ns());
}

/* ---- begins ---- */

/** Waits until fewer than @depth are in flight, and for @due_ns of the clock. */
static bool wait_for_turn(struct recorder *recorder, unsigned depth, uint64_t due_ns, bool *ret_go_on,
			  GError **error)
{
	for (;;) {
		uint64_t now_ns, wait_ns = TICK_NS;

		*ret_go_on = recorder->config.go_on(recorder->config.data);
		reap(recorder);
		now_ns = clock_ns();
		if (!*ret_go_on || (in_flight(recorder) < depth && now_ns >= due_ns))
			return true;
		if (in_flight(recorder) < depth)
			wait_ns = MIN(wait_ns, due_ns - now_ns);
		if (!ring_wait(recorder->ring, wait_ns, error))
			return false;
	}
}

static void note_lateness(struct recorder *recorder, uint64_t due_ns, uint64_t now_ns)
{
	uint64_t late_ns = now_ns - due_ns;

	if (!recorder->config.by_time)
		return;
	recorder->stats.late += late_ns > RECORDER_LATE_NS;
	recorder->stats.late_max_ns = MAX(recorder->stats.late_max_ns, late_ns);
}

/** Tells that @slot begins now, and hands it to the kernel; what must not be tried ends at once. */
static bool begin(struct recorder *recorder, unsigned number, struct ring_request *request, GError **error)
{
	struct slot *slot = &recorder->slots[number];
	bool inside = !has_place(slot->record.op) || bring_back(recorder, request);

	recorder->stats.max_in_flight = MAX(recorder->stats.max_in_flight, in_flight(recorder));
	recorder->config.issued(recorder->config.data, &slot->record);
	slot->record.segments = NULL;
	slot->record.segment_count = 0;
	slot->begun_ns = clock_ns();
	if (!inside && request->op != RING_READ) {
		end(recorder, number, -ENOSPC, slot->begun_ns);
		return true;
	}
	if (request->op == RING_READ || request->op == RING_WRITE)
		slot->bytes = request->bytes;
	return ring_submit(recorder->ring, request, error);
}

bool recorder_issue(struct recorder *recorder, const struct io_record *record, unsigned depth, GError **error)
{
	struct ring_request request = {0};
	uint64_t due_ns = 0, now_ns;
	unsigned number;
	bool go_on;

	g_assert(depth > 0);
	if (!recorder_takes(&recorder->config, record->op)) {
		recorder->stats.skipped[record->op]++;
		return true;
	}
	if ((record->op == IO_READ || record->op == IO_WRITE) &&
	    recorder_bytes(recorder->config.target, record) > recorder->config.bytes_max)
		return sim_error_plain(error,
				       "request of %" G_GUINT64_FORMAT " bytes: more than was prepared for",
				       record->bytes) == 0;
	if (recorder->config.by_time && recorder->start_ns)
		due_ns = recorder->start_ns + (record->time_ns - recorder->first_ns);
	if (!wait_for_turn(recorder, MIN(depth, recorder->config.slots), due_ns, &go_on, error))
		return false;
	if (!go_on)
		return true;
	now_ns = clock_ns();
	if (!recorder->start_ns) {
		recorder->start_ns = due_ns = now_ns;
		recorder->first_ns = record->time_ns;
	}
	note_lateness(recorder, due_ns, now_ns);
	number = recorder->free_slots[--recorder->free_count];
	recorder->slots[number] = (struct slot){.record = *record};
	recorder->slots[number].record.number = ++recorder->stats.issued;
	recorder->slots[number].record.time_ns = now_ns - recorder->start_ns;
	recorder->slots[number].record.completes = true;
	recorder->slots[number].record.never_completes = false;
	request.op = ring_op_of(record->op);
	request.slot = number;
	if (has_place(record->op)) {
		round_outwards(recorder->config.target, record, &request);
		recorder->stats.rounded += request.bytes != record->bytes;
	}
	return begin(recorder, number, &request, error);
}

bool recorder_drain(struct recorder *recorder, GError **error)
{
	for (reap(recorder); in_flight(recorder); reap(recorder)) {
		recorder->config.go_on(recorder->config.data);
		if (!ring_wait(recorder->ring, TICK_NS, error))
			return false;
	}
	return true;
}

/* ---- the whole ---- */

struct recorder *recorder_new(const struct recorder_config *config, GError **error)
{
	struct ring *ring = ring_new(config->target->fd, config->slots, config->bytes_max, error);
	struct recorder *recorder;

	if (!ring)
		return NULL;
	/* Else every wait for a time stamp is up to 50 us too long. It fails on no kernel that has io_uring. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	recorder = g_new0(struct recorder, 1);
	recorder->config = *config;
	recorder->ring = ring;
	recorder->slots = g_new0(struct slot, config->slots);
	recorder->free_slots = g_new(unsigned, config->slots);
	while (recorder->free_count < config->slots) {
		recorder->free_slots[recorder->free_count] = config->slots - 1 - recorder->free_count;
		recorder->free_count++;
	}
	return recorder;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	ring_free(recorder->ring);
	g_free(recorder->slots);
	g_free(recorder->free_slots);
	g_free(recorder);
}

const struct recorder_stats *recorder_stats(const struct recorder *recorder)
{
	return &recorder->stats;
}

unsigned recorder_read_buffers(const struct recorder *recorder)
{
	return ring_read_buffers(recorder->ring);
}
