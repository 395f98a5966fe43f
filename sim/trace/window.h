/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_WINDOW_H
#define SIM_TRACE_WINDOW_H

/*
 * Puts the events of a list of requests in order of time, as far as they are less than WINDOW_EVENTS apart. Lists are
 * written by the end of requests, or by several writers at once; and a row with a response time is two events.
 */
#include "sim/trace/trace.h"

#define WINDOW_EVENTS 8192

struct window {
	GArray *heap;	     /* earliest first; of one time, first come first */
	GArray *events;	     /* of struct trace_event: what the heap is about */
	GArray *free_places; /* of uint32_t: in events */
	uint64_t latest_ns, sequence;
};

void window_init(struct window *window);
void window_finish(struct window *window);

/** Puts @event in. An issue that is earlier than one before it is marked as late. */
void window_add(struct window *window, const struct trace_event *event);

/** Takes the earliest event out, as soon as there are enough, or, at the end, any. Returns false where there is none. */
bool window_take(struct window *window, bool at_end, struct trace_event *ret_event);

#endif
