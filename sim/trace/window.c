/* SPDX-License-Identifier: MIT */
#include "sim/trace/window.h"

/* The heap holds what it compares; events are large, and stay where they are. */
struct waiting {
	uint64_t time_ns, sequence;
	uint32_t place; /* of the event */
};

void window_init(struct window *window)
{
	*window = (struct window){.heap = g_array_new(FALSE, FALSE, sizeof(struct waiting)),
				  .events = g_array_new(FALSE, FALSE, sizeof(struct trace_event)),
				  .free_places = g_array_new(FALSE, FALSE, sizeof(uint32_t))};
}

void window_finish(struct window *window)
{
	if (!window->heap)
		return;
	g_array_unref(window->heap);
	g_array_unref(window->events);
	g_array_unref(window->free_places);
	*window = (struct window){0};
}

static struct waiting *waiting_at(const struct window *window, guint i)
{
	return &g_array_index(window->heap, struct waiting, i);
}

static bool waiting_before(const struct waiting *a, const struct waiting *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

/* Returns where @event is kept. */
static uint32_t event_keep(struct window *window, const struct trace_event *event)
{
	GArray *places = window->free_places;
	uint32_t place;

	if (!places->len) {
		g_array_append_val(window->events, *event);
		return window->events->len - 1;
	}
	place = g_array_index(places, uint32_t, places->len - 1);
	g_array_set_size(places, places->len - 1);
	g_array_index(window->events, struct trace_event, place) = *event;
	return place;
}

void window_add(struct window *window, const struct trace_event *event)
{
	struct waiting waiting = {.time_ns = event->time_ns, .sequence = window->sequence++};
	guint i = window->heap->len;

	waiting.place = event_keep(window, event);
	if (event->kind != TRACE_COMPLETE) {
		g_array_index(window->events, struct trace_event, waiting.place).late =
			event->time_ns < window->latest_ns;
		window->latest_ns = MAX(window->latest_ns, event->time_ns);
	}
	g_array_append_val(window->heap, waiting);
	for (; i && waiting_before(&waiting, waiting_at(window, (i - 1) / 2)); i = (i - 1) / 2)
		*waiting_at(window, i) = *waiting_at(window, (i - 1) / 2);
	*waiting_at(window, i) = waiting;
}

bool window_take(struct window *window, bool at_end, struct trace_event *ret_event)
{
	guint count = window->heap->len, i = 0, child;
	struct waiting last;
	uint32_t place;

	if (!count || (!at_end && count < WINDOW_EVENTS))
		return false;
	place = waiting_at(window, 0)->place;
	*ret_event = g_array_index(window->events, struct trace_event, place);
	g_array_append_val(window->free_places, place);
	last = *waiting_at(window, --count);
	g_array_set_size(window->heap, count);
	for (; (child = 2 * i + 1) < count; i = child) {
		if (child + 1 < count &&
		    waiting_before(waiting_at(window, child + 1), waiting_at(window, child)))
			child++;
		if (!waiting_before(waiting_at(window, child), &last))
			break;
		*waiting_at(window, i) = *waiting_at(window, child);
	}
	if (count)
		*waiting_at(window, i) = last;
	return true;
}
