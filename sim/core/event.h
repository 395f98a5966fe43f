/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_EVENT_H
#define SIM_CORE_EVENT_H

/*
 * The event queue: what truly waits, ordered by (time, sequence).
 *
 * Two events of the same time come out in the order in which they were put in, so a run never depends on the heap's
 * shape. It carries what waits for simulated time to pass (a completion, a timer); arrivals come from the trace cursor,
 * and locks, links and channels are "free at" times, not events. An event is 16 bytes: a kind, which picks the handler
 * that a room registered, and a payload of 24 bits (a slot number).
 */
#include <stdbool.h>
#include <stdint.h>

struct sim;

#define EVENT_KINDS	  16
#define EVENT_PAYLOAD_MAX 0xffffffu

struct event {
	uint64_t time_ns;
	uint32_t sequence; /* compared as a signed difference: fewer than 2^31 events wait at once */
	uint32_t what;	   /* kind in the high 8 bits, payload in the low 24 */
};

struct event_queue {
	struct event *heap; /* binary heap, root at 0 */
	uint32_t count;
	uint32_t capacity;
	uint32_t next_sequence;
};

/** Called when an event is due, with sim->now_ns already at its time. */
typedef void (*event_handler)(struct sim *sim, uint32_t payload);

/** Puts an event of @kind (below EVENT_KINDS) with @payload at @time_ns, which may not lie in the past of the caller. */
void event_queue_push(struct event_queue *queue, uint64_t time_ns, unsigned kind, uint32_t payload);

/** Takes the earliest event into *@ret_event. Returns false, and leaves it alone, when nothing waits. */
bool event_queue_pop(struct event_queue *queue, struct event *ret_event);

/** Takes the earliest event of @kind with @payload, whatever else is before it. It looks at all of them. */
bool event_queue_take(struct event_queue *queue, unsigned kind, uint32_t payload, struct event *ret_event);

/** Returns the time of the earliest event, UINT64_MAX when nothing waits. */
static inline uint64_t event_queue_next_ns(const struct event_queue *queue)
{
	return queue->count ? queue->heap[0].time_ns : UINT64_MAX;
}

static inline unsigned event_kind(const struct event *event)
{
	return event->what >> 24;
}

static inline uint32_t event_payload(const struct event *event)
{
	return event->what & EVENT_PAYLOAD_MAX;
}

void event_queue_finish(struct event_queue *queue);

#endif
