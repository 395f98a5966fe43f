/* SPDX-License-Identifier: MIT */
#include "sim/trace/window.h"

struct waiting {
	struct trace_event event;
	uint64_t sequence;
};

void window_init(struct window *window)
{
	*window = (struct window){.heap = g_array_new(FALSE, FALSE, sizeof(struct waiting))};
}

void window_finish(struct window *window)
{
	if (window->heap)
		g_array_unref(window->heap);
	window->heap = NULL;
}

static struct waiting *waiting_at(const struct window *window, guint i)
{
	return &g_array_index(window->heap, struct waiting, i);
}

static bool waiting_before(const struct waiting *a, const struct waiting *b)
{
	return a->event.time_ns != b->event.time_ns ? a->event.time_ns < b->event.time_ns
						    : a->sequence < b->sequence;
}

void window_add(struct window *window, const struct trace_event *event)
{
	struct waiting waiting = {.event = *event, .sequence = window->sequence++};
	guint i = window->heap->len;

	if (event->kind != TRACE_COMPLETE) {
		waiting.event.late = event->time_ns < window->latest_ns;
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

	if (!count || (!at_end && count < WINDOW_EVENTS))
		return false;
	*ret_event = waiting_at(window, 0)->event;
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
