/* SPDX-License-Identifier: MIT */
#include "sim/report/trace-events.h"

#include "sim/io/output.h"

struct trace_events {
	struct output *output;
	uint64_t limit, count, reserved;
	uint32_t *reserve; /* what is written comes out of this; NULL: of what is not reserved */
	GString *line;	   /* scratch */
	GPtrArray *groups, *tracks, *pools;
};

struct trace_group {
	struct trace_events *events;
	unsigned id, order;
	unsigned tracks;
	char *name;
	bool named;
};

struct trace_track {
	struct trace_group *group;
	unsigned id, order;
	char *name;
	bool named;
};

struct trace_pool {
	struct trace_group *group;
	unsigned order;
	char *name;
	GArray *lanes;
};

/** One track of a pool. */
struct trace_lane {
	struct trace_track *track;
	uint64_t to_ps; /* taken until then */
};

/* ---- text ---- */

void trace_append_string(GString *json, const char *text)
{
	g_string_append_c(json, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			g_string_append_c(json, '\\');
		if (c < ' ')
			g_string_append_printf(json, "\\u%04x", c);
		else
			g_string_append_c(json, *text);
	}
	g_string_append_c(json, '"');
}

static uint64_t trace_ns(uint64_t ps)
{
	return ps / 1000 + (ps % 1000 != 0);
}

static void trace_append_us(GString *json, const char *member, uint64_t ns)
{
	g_string_append_printf(json, ",\"%s\":%" G_GUINT64_FORMAT ".%03u", member, ns / 1000,
			       (unsigned)(ns % 1000));
}

/** Begins an event; what belongs to it follows until trace_end(). */
static GString *trace_begin(struct trace_events *events, char phase, const char *name, unsigned group)
{
	GString *line = events->line;

	g_string_assign(line, events->count ? ",\n" : "\n");
	g_string_append_printf(line, "{\"ph\":\"%c\",\"name\":", phase);
	trace_append_string(line, name);
	g_string_append_printf(line, ",\"pid\":%u", group);
	return line;
}

static void trace_end(struct trace_events *events, const char *args)
{
	if (*args)
		g_string_append_printf(events->line, ",\"args\":{%s}", args);
	g_string_append_c(events->line, '}');
	output_write(events->output, events->line->str, events->line->len);
	events->count++;
	if (events->reserve && *events->reserve) {
		--*events->reserve;
		events->reserved--;
	}
	g_assert(events->count + events->reserved <= events->limit);
}

/* ---- room ---- */

bool trace_events_room(const struct trace_events *events, uint64_t count)
{
	return count <= events->limit - events->count - events->reserved;
}

bool trace_events_reserve(struct trace_events *events, uint32_t count, uint32_t *ret_reserve)
{
	if (!trace_events_room(events, count))
		return false;
	events->reserved += count;
	*ret_reserve = count;
	return true;
}

void trace_events_use(struct trace_events *events, uint32_t *reserve)
{
	events->reserve = reserve;
}

void trace_events_release(struct trace_events *events, uint32_t *reserve)
{
	events->reserved -= *reserve;
	*reserve = 0;
	events->reserve = NULL;
}

uint64_t trace_events_count(const struct trace_events *events)
{
	return events->count;
}

/* ---- groups and tracks ---- */

/** Writes the names of a group or a track: metadata events. */
static void trace_name(struct trace_events *events, const char *kind, unsigned group, unsigned track,
		       const char *name, unsigned order)
{
	g_autofree char *name_kind = g_strdup_printf("%s_name", kind);
	g_autofree char *order_kind = g_strdup_printf("%s_sort_index", kind);
	g_autofree char *order_args = g_strdup_printf("\"sort_index\":%u", order);
	g_autoptr(GString) name_args = g_string_new("\"name\":");

	trace_append_string(name_args, name);
	g_string_append_printf(trace_begin(events, 'M', name_kind, group), ",\"tid\":%u", track);
	trace_end(events, name_args->str);
	g_string_append_printf(trace_begin(events, 'M', order_kind, group), ",\"tid\":%u", track);
	trace_end(events, order_args);
}

static void trace_name_group(struct trace_group *group)
{
	if (group->named)
		return;
	group->named = true;
	trace_name(group->events, "process", group->id, 0, group->name, group->order);
}

static void trace_name_track(struct trace_track *track)
{
	struct trace_group *group = track->group;

	trace_name_group(group);
	if (track->named)
		return;
	track->named = true;
	trace_name(group->events, "thread", group->id, track->id, track->name, track->order);
}

static void trace_group_free(void *data)
{
	struct trace_group *group = data;

	g_free(group->name);
	g_free(group);
}

static void trace_track_free(void *data)
{
	struct trace_track *track = data;

	g_free(track->name);
	g_free(track);
}

static void trace_pool_free(void *data)
{
	struct trace_pool *pool = data;

	g_array_unref(pool->lanes);
	g_free(pool->name);
	g_free(pool);
}

struct trace_group *trace_group_new(struct trace_events *events, unsigned order, const char *name)
{
	struct trace_group *group = g_new0(struct trace_group, 1);

	group->events = events;
	group->order = order;
	group->name = g_strdup(name);
	g_ptr_array_add(events->groups, group);
	group->id = events->groups->len;
	return group;
}

struct trace_track *trace_track_new(struct trace_group *group, unsigned order, const char *name)
{
	struct trace_track *track = g_new0(struct trace_track, 1);

	track->group = group;
	track->id = ++group->tracks;
	track->order = order;
	track->name = g_strdup(name);
	g_ptr_array_add(group->events->tracks, track);
	return track;
}

struct trace_pool *trace_pool_new(struct trace_group *group, unsigned order, const char *name)
{
	struct trace_pool *pool = g_new0(struct trace_pool, 1);

	pool->group = group;
	pool->order = order;
	pool->name = g_strdup(name);
	pool->lanes = g_array_new(FALSE, FALSE, sizeof(struct trace_lane));
	g_ptr_array_add(group->events->pools, pool);
	return pool;
}

struct trace_track *trace_pool_take(struct trace_pool *pool, uint64_t from_ps, uint64_t to_ps)
{
	struct trace_lane lane = {.to_ps = to_ps};
	g_autofree char *name = NULL;

	for (guint i = 0; i < pool->lanes->len; i++) {
		struct trace_lane *old = &g_array_index(pool->lanes, struct trace_lane, i);

		if (old->to_ps > from_ps)
			continue;
		old->to_ps = to_ps;
		return old->track;
	}
	name = pool->lanes->len ? g_strdup_printf("%s (+%u)", pool->name, pool->lanes->len)
				: g_strdup(pool->name);
	lane.track = trace_track_new(pool->group, pool->order, name);
	g_array_append_val(pool->lanes, lane);
	return lane.track;
}

/* ---- events ---- */

static GString *trace_begin_on(struct trace_track *track, char phase, const char *name, const char *category)
{
	GString *line;

	trace_name_track(track);
	line = trace_begin(track->group->events, phase, name, track->group->id);
	g_string_append_printf(line, ",\"tid\":%u,\"cat\":\"%s\"", track->id, category);
	return line;
}

void trace_slice(struct trace_track *track, uint64_t from_ps, uint64_t to_ps, const char *name,
		 const char *category, const char *args)
{
	GString *line = trace_begin_on(track, 'X', name, category);

	trace_append_us(line, "ts", trace_ns(from_ps));
	trace_append_us(line, "dur", trace_ns(to_ps) - trace_ns(from_ps));
	trace_end(track->group->events, args);
}

void trace_instant(struct trace_track *track, uint64_t at_ps, const char *name, const char *category,
		   const char *args)
{
	GString *line = trace_begin_on(track, 'i', name, category);

	trace_append_us(line, "ts", trace_ns(at_ps));
	g_string_append(line, ",\"s\":\"t\"");
	trace_end(track->group->events, args);
}

void trace_flow(struct trace_track *track, char phase, uint64_t id, uint64_t at_ps)
{
	GString *line = trace_begin_on(track, phase, "request", "flow");

	g_string_append_printf(line, ",\"id\":%" G_GUINT64_FORMAT, id);
	trace_append_us(line, "ts", trace_ns(at_ps));
	if (phase == 'f')
		g_string_append(line, ",\"bp\":\"e\""); /* at the slice around it, not at the next */
	trace_end(track->group->events, "");
}

void trace_counter(struct trace_group *group, uint64_t at_ps, const char *name, const char *unit,
		   uint64_t value)
{
	g_autofree char *args = g_strdup_printf("\"%s\":%" G_GUINT64_FORMAT, unit, value);

	trace_name_group(group);
	trace_append_us(trace_begin(group->events, 'C', name, group->id), "ts", trace_ns(at_ps));
	trace_end(group->events, args);
}

/* ---- the file ---- */

struct trace_events *trace_events_new(const char *path, uint64_t limit, GError **error)
{
	struct output *output = output_new(path, error);
	struct trace_events *events;

	if (!output)
		return NULL;
	events = g_new0(struct trace_events, 1);
	events->output = output;
	events->limit = limit;
	events->line = g_string_new(NULL);
	events->groups = g_ptr_array_new_with_free_func(trace_group_free);
	events->tracks = g_ptr_array_new_with_free_func(trace_track_free);
	events->pools = g_ptr_array_new_with_free_func(trace_pool_free);
	output_puts(output, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	return events;
}

/** Frees all but the output. */
static void trace_events_free(struct trace_events *events)
{
	g_ptr_array_unref(events->pools);
	g_ptr_array_unref(events->tracks);
	g_ptr_array_unref(events->groups);
	g_string_free(events->line, TRUE);
	g_free(events);
}

bool trace_events_commit(struct trace_events *events, const char *others, GError **error)
{
	struct output *output = events->output;

	output_printf(output, "\n],\"otherData\":{%s}}\n", others);
	trace_events_free(events);
	return output_commit(output, error);
}

void trace_events_abandon(struct trace_events *events)
{
	if (!events)
		return;
	output_abandon(events->output);
	trace_events_free(events);
}
