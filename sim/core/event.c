/* SPDX-License-Identifier: MIT */
#include "sim/core/event.h"

#include <glib.h>

static inline bool event_before(const struct event *a, const struct event *b)
{
	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns;
	return (int32_t)(a->sequence - b->sequence) < 0;
}

void event_queue_push(struct event_queue *queue, uint64_t time_ns, unsigned kind, uint32_t payload)
{
	struct event event = {
		.time_ns = time_ns, .sequence = queue->next_sequence++, .what = kind << 24 | payload};
	uint32_t hole;

	g_assert(kind < EVENT_KINDS);
	g_assert(payload <= EVENT_PAYLOAD_MAX);
	if (queue->count == queue->capacity) {
		queue->capacity = queue->capacity ? queue->capacity * 2 : 64;
		queue->heap = g_renew(struct event, queue->heap, queue->capacity);
	}
	for (hole = queue->count++; hole > 0; hole = (hole - 1) / 2) {
		struct event *parent = &queue->heap[(hole - 1) / 2];

		if (!event_before(&event, parent))
			break;
		queue->heap[hole] = *parent;
	}
	queue->heap[hole] = event;
}

bool event_queue_pop(struct event_queue *queue, struct event *ret_event)
{
	struct event last;
	uint32_t hole = 0;

	if (queue->count == 0)
		return false;
	*ret_event = queue->heap[0];
	last = queue->heap[--queue->count];
	for (uint32_t child = 1; child < queue->count; child = 2 * hole + 1) {
		if (child + 1 < queue->count && event_before(&queue->heap[child + 1], &queue->heap[child]))
			child++;
		if (!event_before(&queue->heap[child], &last))
			break;
		queue->heap[hole] = queue->heap[child];
		hole = child;
	}
	if (queue->count)
		queue->heap[hole] = last;
	return true;
}

bool event_queue_take(struct event_queue *queue, unsigned kind, uint32_t payload, struct event *ret_event)
{
	uint32_t what = kind << 24 | payload, found = queue->count;
	struct event event;

	for (uint32_t i = 0; i < queue->count; i++)
		if (queue->heap[i].what == what &&
		    (found == queue->count || event_before(&queue->heap[i], &queue->heap[found])))
			found = i;
	if (found == queue->count)
		return false;
	/* As if it were the earliest of all: up to the root, and off. */
	event = queue->heap[found];
	for (; found > 0; found = (found - 1) / 2)
		queue->heap[found] = queue->heap[(found - 1) / 2];
	queue->heap[0] = event;
	return event_queue_pop(queue, ret_event);
}

void event_queue_finish(struct event_queue *queue)
{
	g_clear_pointer(&queue->heap, g_free);
	queue->count = queue->capacity = 0;
}
