/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_TRACE_EVENTS_H
#define SIM_REPORT_TRACE_EVENTS_H

/*
 * A file of trace events, the JSON that ui.perfetto.dev and chrome://tracing open ("Trace Event Format").
 *
 * A group (a "process" there) has tracks ("threads"), and a track has slices that are one after another or one in another.
 * Slices and points of a track are written in the order of their beginning, an outer one before what is in it. What may overlap
 * goes to a pool, which has as many tracks as that takes, and no more.
 *
 * Times are simulated, in ps, and written in microseconds with three decimals: ns, rounded up as everywhere, so that what
 * touches still touches. The file is streamed: memory does not grow with it. Every event counts, those that give names, too:
 * there are never more than @limit, for who asks for room before.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct trace_events;
struct trace_group;
struct trace_track;
struct trace_pool;

/* What the first event of a track, and of a group, takes besides. */
#define TRACE_TRACK_NAMES 2
#define TRACE_GROUP_NAMES 2

/** Starts the file @path (sim/io/output.h). Returns NULL with *@error. */
struct trace_events *trace_events_new(const char *path, uint64_t limit, GError **error);

/** Writes the end of the file, with @others, the members of an object or "", and makes it visible. Frees @events. */
bool trace_events_commit(struct trace_events *events, const char *others, GError **error);
/** Gives up: no file. Frees @events; NULL is allowed. */
void trace_events_abandon(struct trace_events *events);

/** Groups are shown in the order of @order. Freed with the events, as are tracks and pools. */
struct trace_group *trace_group_new(struct trace_events *events, unsigned order, const char *name);
/** Tracks of a group are shown in the order of @order. */
struct trace_track *trace_track_new(struct trace_group *group, unsigned order, const char *name);
/** The first track of it is called @name, the others "@name (+1)" and so on. */
struct trace_pool *trace_pool_new(struct trace_group *group, unsigned order, const char *name);
/** Returns the first track of @pool that is free from @from_ps on, and takes it until @to_ps. */
struct trace_track *trace_pool_take(struct trace_pool *pool, uint64_t from_ps, uint64_t to_ps);

/** @args: the members of an object, such as "\"bytes\":4096", or "". */
void trace_slice(struct trace_track *track, uint64_t from_ps, uint64_t to_ps, const char *name,
		 const char *category, const char *args);
/** A point in time. */
void trace_instant(struct trace_track *track, uint64_t at_ps, const char *name, const char *category,
		   const char *args);
/** An arrow @id begins ('s'), goes on ('t') or ends ('f') at the slice of @track that was written last, in which @at_ps is. */
void trace_flow(struct trace_track *track, char phase, uint64_t id, uint64_t at_ps);
/** What @name, counted in @unit, is from @at_ps on. */
void trace_counter(struct trace_group *group, uint64_t at_ps, const char *name, const char *unit,
		   uint64_t value);

/** Sets @events aside for later, if there is room. What is written while trace_events_use() says @reserve comes out of that. */
bool trace_events_reserve(struct trace_events *events, uint32_t count, uint32_t *ret_reserve);
void trace_events_use(struct trace_events *events, uint32_t *reserve);
/** Gives back what is left of it. */
void trace_events_release(struct trace_events *events, uint32_t *reserve);
/** Whether there is room for @count events. */
bool trace_events_room(const struct trace_events *events, uint64_t count);

uint64_t trace_events_count(const struct trace_events *events);

/** Appends @text to @json as a string of JSON. */
void trace_append_string(GString *json, const char *text);

#endif
