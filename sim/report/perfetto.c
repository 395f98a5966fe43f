/* SPDX-License-Identifier: MIT */
#include "sim/report/perfetto.h"

#include <string.h>

#include "blockdma/request.h"
#include "sim/report/trace-events.h"

/* What a request may still need once it has been submitted: its slice with seven parts, two ends of its arrow, its channel, the
 * step that completes it and its part of that, and the names of a group and of three tracks. */
#define PERFETTO_REQUEST (1 + 7 + 2 + 1 + 2 + TRACE_GROUP_NAMES + 3 * TRACE_TRACK_NAMES)
/* The names that a first event may need. */
#define PERFETTO_NAMES (TRACE_GROUP_NAMES + TRACE_TRACK_NAMES)

/* Order of tracks in the group of a device. */
#define ORDER_EVENTS   0
#define ORDER_QUEUES   1
#define ORDER_CHANNELS 100000

static const struct {
	const char *name, *category;
} perfetto_spans[SPANS] = {
	[SPAN_SUBMIT] = {"submission", "cpu"},
	[SPAN_COMPLETE] = {"completion", "cpu"},
	[SPAN_INTERRUPT] = {"interrupt", "cpu"},
	[SPAN_THREAD_WAKE] = {"interrupt thread", "cpu"},
	[SPAN_TIMEOUT] = {"time-out", "cpu"},
	[SPAN_RESET] = {"reset", "cpu"},
	[SPAN_TIMER] = {"timer", "cpu"},
	[SPAN_PREPARE] = {"prepare", "driver"},
	[SPAN_FINISH] = {"finish", "driver"},
	[SPAN_ALLOC] = {"alloc", "iova"},
	[SPAN_FREE] = {"free", "iova"},
	[SPAN_MAP] = {"map", "iommu"},
	[SPAN_SYNC_MAP] = {"sync map", "iommu"},
	[SPAN_UNMAP] = {"unmap", "iommu"},
	[SPAN_INVALIDATE] = {"invalidate", "iommu"},
	[SPAN_INVALIDATE_WAIT] = {"invalidate wait", "wait"},
	[SPAN_DEFER] = {"defer", "iova"},
	[SPAN_FLUSH] = {"flush", "iommu"},
	[SPAN_WAIT] = {"wait", "wait"},
	[SPAN_TAG_WAIT] = {"wait for a tag", "wait"},
	[SPAN_FETCH] = {"fetch", "device"},
	[SPAN_CHANNEL_WAIT] = {"wait for a channel", "wait"},
	[SPAN_SERVICE] = {"service", "device"},
	[SPAN_TRANSFER] = {"transfer", "device"},
	[SPAN_WALK] = {"walk", "iommu"},
};

struct perfetto_device {
	char *name;
	struct trace_group *group;
	struct trace_track *events;
	GPtrArray *queues, *channels; /* of pools, NULL for those not used yet */
	uint64_t in_flight, shown;
};

/** What took time in the step at hand. */
struct perfetto_part {
	struct sim_took took; /* with @to_ps */
	guint number;
};

/** An attempt of a request that is in flight. */
struct perfetto_request {
	const struct request *req;
	struct perfetto_device *device;
	uint64_t flow;		 /* 0: not in the file, or not yet */
	uint64_t wait_ps;	 /* since when it waited for a tag; UINT64_MAX: it did not */
	uint64_t from_ps, to_ps; /* of its preparation */
	unsigned qid, tag, cpu;
	unsigned stage_count;
	struct sim_took stages[4]; /* on the device */
	uint32_t reserve;
};

struct perfetto {
	struct sim_observer observer;
	struct trace_events *events; /* NULL: ended */
	const struct sim *sim;	     /* that is heard */
	uint64_t limit;
	bool begun; /* the first request came: what was before it took no time */
	struct perfetto_left left;
	struct trace_group *cpus, *iommu;
	GPtrArray *cpu_tracks, *walkers; /* NULL for those not used yet */
	GPtrArray *devices;
	GHashTable *requests; /* struct request -> struct perfetto_request */
	GArray *parts;
	uint64_t flows;
	const struct request *waited; /* the request that got a tag last */
	uint64_t waited_ps;
	uint64_t counters_ns; /* when counters are next */
	uint64_t mapped_bytes, shown_bytes;
	GString *args; /* scratch */
};

/* ---- tracks ---- */

/** Returns where number @i of @array is, which grows as needed. */
static gpointer *perfetto_at(GPtrArray *array, unsigned i)
{
	if (i >= array->len)
		g_ptr_array_set_size(array, (gint)i + 1);
	return &array->pdata[i];
}

static struct trace_track *perfetto_track(struct trace_group *group, GPtrArray *array, unsigned i,
					  const char *kind)
{
	gpointer *track = perfetto_at(array, i);
	g_autofree char *name = *track ? NULL : g_strdup_printf("%s %u", kind, i);

	if (!*track)
		*track = trace_track_new(group, i, name);
	return *track;
}

static struct trace_pool *perfetto_pool(const struct perfetto_device *device, GPtrArray *array, unsigned i,
					unsigned order, const char *kind)
{
	gpointer *pool = perfetto_at(array, i);
	g_autofree char *name = *pool ? NULL : g_strdup_printf("%s %u", kind, i);

	if (!*pool)
		*pool = trace_pool_new(device->group, order + i, name);
	return *pool;
}

static void perfetto_device_free(void *data)
{
	struct perfetto_device *device = data;

	g_ptr_array_unref(device->queues);
	g_ptr_array_unref(device->channels);
	g_free(device->name);
	g_free(device);
}

/** Returns the device that @sim acts for. */
static struct perfetto_device *perfetto_device(struct perfetto *perfetto, const struct sim *sim)
{
	const char *name = sim->device ? sim->device : "machine";
	struct perfetto_device *device;

	for (guint i = 0; i < perfetto->devices->len; i++) {
		device = g_ptr_array_index(perfetto->devices, i);
		if (strcmp(device->name, name) == 0)
			return device;
	}
	device = g_new0(struct perfetto_device, 1);
	device->name = g_strdup(name);
	device->group = trace_group_new(perfetto->events, 2 + perfetto->devices->len, name);
	device->events = trace_track_new(device->group, ORDER_EVENTS, "events");
	device->queues = g_ptr_array_new();
	device->channels = g_ptr_array_new();
	g_ptr_array_add(perfetto->devices, device);
	return device;
}

/* ---- what is in the file ---- */

/** Whether @count events and the names before them may be written; if not, nothing new begins any more. */
static bool perfetto_room(struct perfetto *perfetto, const struct sim *sim, uint64_t count)
{
	if (perfetto->left.until_ns == UINT64_MAX &&
	    !trace_events_room(perfetto->events, count + PERFETTO_NAMES))
		perfetto->left.until_ns = sim->now_ns;
	return perfetto->left.until_ns == UINT64_MAX;
}

static const char *perfetto_args(struct perfetto *perfetto, const struct sim_took *took)
{
	GString *args = perfetto->args;

	g_string_truncate(args, 0);
	if (took->req)
		g_string_append_printf(args, ",\"request\":%" G_GUINT64_FORMAT, took->req->number);
	if (took->addr || took->bytes)
		g_string_append_printf(args,
				       ",\"iova\":\"0x%" G_GINT64_MODIFIER "x\",\"bytes\":%" G_GUINT64_FORMAT,
				       took->addr, took->bytes);
	if (took->count)
		g_string_append_printf(args, ",\"count\":%u", took->count);
	if (took->err)
		g_string_append_printf(args, ",\"error\":%d", took->err);
	return args->len ? args->str + 1 : "";
}

static void perfetto_slice(struct perfetto *perfetto, struct trace_track *track, const struct sim_took *took)
{
	const char *name = perfetto_spans[took->what].name;
	g_autofree char *full = took->name ? g_strdup_printf("wait: %s", took->name) : NULL;

	if (took->what == SPAN_TIMER)
		name = took->name;
	else if (full)
		name = full;
	trace_slice(track, took->from_ps, took->to_ps, name, perfetto_spans[took->what].category,
		    perfetto_args(perfetto, took));
}

/* ---- counters ---- */

static void perfetto_count_device(const struct sim *sim, struct perfetto_device *device)
{
	if (device->in_flight == device->shown)
		return;
	device->shown = device->in_flight;
	trace_counter(device->group, sim->now_ns * 1000, "in flight", "requests", device->in_flight);
}

static void perfetto_count(struct perfetto *perfetto, const struct sim *sim)
{
	if (!perfetto_room(perfetto, sim, 1 + (1 + TRACE_GROUP_NAMES) * perfetto->devices->len))
		return;
	perfetto->counters_ns = sim->now_ns + PERFETTO_COUNTER_NS;
	for (guint i = 0; i < perfetto->devices->len; i++)
		perfetto_count_device(sim, g_ptr_array_index(perfetto->devices, i));
	if (perfetto->mapped_bytes != perfetto->shown_bytes)
		trace_counter(perfetto->iommu, sim->now_ns * 1000, "mapped", "bytes", perfetto->mapped_bytes);
	perfetto->shown_bytes = perfetto->mapped_bytes;
}

static void hear_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		     uint64_t len, unsigned prot)
{
	struct perfetto *perfetto = data;

	perfetto->mapped_bytes += len;
}

static void hear_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
		       uint64_t unmapped)
{
	struct perfetto *perfetto = data;

	/* What a map that failed halfway had mapped was never announced. */
	perfetto->mapped_bytes -= MIN(unmapped, perfetto->mapped_bytes);
}

/* ---- requests ---- */

static void hear_setup(void *data, struct sim *sim, const struct request *req, unsigned qid, unsigned tag)
{
	struct perfetto *perfetto = data;
	struct perfetto_request *request;

	if (!perfetto->events)
		return;
	if (!perfetto->begun)
		g_array_set_size(perfetto->parts, 0);
	perfetto->begun = true;
	request = g_new0(struct perfetto_request, 1);
	*request = (struct perfetto_request){.req = req,
					     .device = perfetto_device(perfetto, sim),
					     .qid = qid,
					     .tag = tag & 0xfff,
					     .cpu = sim->cpu,
					     .wait_ps = perfetto->waited == req ? perfetto->waited_ps
										: UINT64_MAX};
	perfetto->waited = NULL;
	g_hash_table_insert(perfetto->requests, (gpointer)req, request);
}

static struct trace_pool *perfetto_queue(const struct perfetto_request *request)
{
	return perfetto_pool(request->device, request->device->queues, request->qid, ORDER_QUEUES, "queue");
}

/** Writes stage @what of @request, as much of it as is before @end_ps. Returns whether any is. */
static bool perfetto_stage(struct perfetto *perfetto, struct trace_track *track, struct sim_took stage,
			   uint64_t end_ps)
{
	if (stage.from_ps > end_ps)
		return false;
	stage.to_ps = MIN(stage.to_ps, end_ps);
	perfetto_slice(perfetto, track, &stage);
	return true;
}

static const char *perfetto_request_args(struct perfetto *perfetto, const struct perfetto_request *request)
{
	const struct request *req = request->req;

	g_string_printf(perfetto->args,
			"\"request\":%" G_GUINT64_FORMAT ",\"sector\":%" G_GUINT64_FORMAT
			",\"bytes\":%" G_GUINT64_FORMAT ",\"tag\":%u,\"cpu\":%u",
			req->number, req->sector, req->bytes, request->tag, request->cpu);
	return perfetto->args->str;
}

/** Writes what @request did, up to @end_ps, to its queue. @done: a CPU has finished it, and the arrow ends there; else here. */
static void perfetto_show(struct perfetto *perfetto, const struct perfetto_request *request, uint64_t end_ps,
			  bool done)
{
	uint64_t from_ps = MIN(request->wait_ps, request->from_ps), to_ps = MAX(end_ps, request->to_ps);
	struct trace_track *track = trace_pool_take(perfetto_queue(request), from_ps, to_ps);
	const struct sim_took *last = NULL;

	trace_slice(track, from_ps, to_ps, req_op_names[request->req->op], "request",
		    perfetto_request_args(perfetto, request));
	if (from_ps < request->from_ps)
		trace_slice(track, from_ps, request->from_ps, perfetto_spans[SPAN_TAG_WAIT].name, "wait", "");
	trace_slice(track, request->from_ps, request->to_ps, "submit", "driver", "");
	if (!done)
		trace_flow(track, 'f', request->flow, request->from_ps);
	for (unsigned i = 0; i < request->stage_count; i++) {
		struct sim_took stage = request->stages[i];

		stage.req = NULL;
		if (!perfetto_stage(perfetto, track, stage, to_ps))
			return;
		if (done && i == 0)
			trace_flow(track, 't', request->flow, stage.from_ps);
		last = &request->stages[i];
	}
	if (last && last->to_ps < to_ps)
		trace_slice(track, last->to_ps, to_ps, "complete", "driver", "");
}

/** @part is the end of @request, which is in the file. */
static void perfetto_finish(struct perfetto *perfetto, struct trace_track *track,
			    struct perfetto_request *request, const struct sim_took *part)
{
	uint64_t seen_ps =
		request->stage_count ? MAX(request->from_ps, request->stages[0].from_ps) : request->from_ps;
	/* A reset may end, on another CPU, what this one has begun ahead of it. */
	bool done = part->from_ps >= seen_ps;

	trace_events_use(perfetto->events, &request->reserve);
	perfetto_slice(perfetto, track, part);
	perfetto_show(perfetto, request, part->to_ps, done);
	if (done)
		trace_flow(track, 'f', request->flow, part->from_ps);
	trace_events_release(perfetto->events, &request->reserve);
	request->device->in_flight--;
	g_hash_table_remove(perfetto->requests, request->req);
}

static struct perfetto_request *perfetto_request(const struct perfetto *perfetto, const struct request *req)
{
	return req ? g_hash_table_lookup(perfetto->requests, req) : NULL;
}

/* ---- steps of CPUs ---- */

/** By their beginning, outer parts first: these come later. */
static int perfetto_compare_parts(const void *a, const void *b)
{
	const struct perfetto_part *x = a, *y = b;

	if (x->took.from_ps != y->took.from_ps)
		return x->took.from_ps < y->took.from_ps ? -1 : 1;
	if (x->took.to_ps != y->took.to_ps)
		return x->took.to_ps > y->took.to_ps ? -1 : 1;
	return x->number > y->number ? -1 : x->number < y->number;
}

static void perfetto_begin(struct perfetto *perfetto, struct trace_track *track, const struct sim_took *part)
{
	struct perfetto_request *request = perfetto_request(perfetto, part->req);
	bool room = trace_events_reserve(perfetto->events, PERFETTO_REQUEST, &request->reserve);

	g_assert(room);
	request->flow = ++perfetto->flows;
	perfetto->left.requests++;
	request->device->in_flight++;
	trace_flow(track, 's', request->flow, part->from_ps);
}

static struct trace_track *perfetto_cpu(struct perfetto *perfetto, const struct sim *sim)
{
	return perfetto_track(perfetto->cpus, perfetto->cpu_tracks, sim->cpu, "CPU");
}

static const struct sim_took *perfetto_part(const struct perfetto *perfetto, guint i)
{
	return &g_array_index(perfetto->parts, struct perfetto_part, i).took;
}

static void perfetto_write_step(struct perfetto *perfetto, const struct sim *sim, const struct sim_took *step)
{
	struct trace_track *track = perfetto_cpu(perfetto, sim);

	perfetto_slice(perfetto, track, step);
	for (guint i = 0; i < perfetto->parts->len; i++) {
		const struct sim_took *part = perfetto_part(perfetto, i);
		struct perfetto_request *request = perfetto_request(perfetto, part->req);

		if (part->what == SPAN_FINISH && request && request->flow) {
			perfetto_finish(perfetto, track, request, part);
			continue;
		}
		perfetto_slice(perfetto, track, part);
		if (part->what == SPAN_PREPARE && !part->err)
			perfetto_begin(perfetto, track, part);
	}
	if (sim->now_ns >= perfetto->counters_ns)
		perfetto_count(perfetto, sim);
}

/** The limit is reached: only what requests in the file need is written of the step. */
static void perfetto_write_rest(struct perfetto *perfetto, const struct sim *sim, const struct sim_took *step)
{
	bool begun = false;

	for (guint i = 0; i < perfetto->parts->len; i++) {
		const struct sim_took *part = perfetto_part(perfetto, i);
		struct perfetto_request *request = perfetto_request(perfetto, part->req);

		if (part->what != SPAN_FINISH || !request || !request->flow) {
			perfetto->left.left_requests += part->what == SPAN_PREPARE && !part->err;
			perfetto->left.left_slices++;
			if (part->what == SPAN_PREPARE && request)
				g_hash_table_remove(perfetto->requests, part->req);
			continue;
		}
		trace_events_use(perfetto->events, &request->reserve);
		if (!begun)
			perfetto_slice(perfetto, perfetto_cpu(perfetto, sim), step);
		begun = true;
		perfetto_finish(perfetto, perfetto_cpu(perfetto, sim), request, part);
	}
	perfetto->left.left_slices += !begun;
}

/** What was charged between steps belongs to none, and what took no time is not to be seen. */
static bool perfetto_keeps(const struct sim_took *step, const struct sim_took *part)
{
	if (part->from_ps < step->from_ps || part->to_ps > step->to_ps)
		return false;
	return part->from_ps < part->to_ps || part->what == SPAN_PREPARE || part->what == SPAN_FINISH;
}

static void perfetto_sort_parts(struct perfetto *perfetto, const struct sim_took *step)
{
	GArray *parts = perfetto->parts;
	guint kept = 0;

	for (guint i = 0; i < parts->len; i++) {
		if (perfetto_keeps(step, perfetto_part(perfetto, i)))
			g_array_index(parts, struct perfetto_part, kept++) =
				g_array_index(parts, struct perfetto_part, i);
	}
	g_array_set_size(parts, kept);
	g_array_sort(parts, perfetto_compare_parts);
}

static void perfetto_step(struct perfetto *perfetto, const struct sim *sim, const struct sim_took *step)
{
	uint64_t events = 1;

	perfetto_sort_parts(perfetto, step);
	if (!perfetto->parts->len && step->from_ps == step->to_ps)
		return;
	for (guint i = 0; i < perfetto->parts->len; i++)
		events += perfetto_part(perfetto, i)->what == SPAN_PREPARE ? 2 + PERFETTO_REQUEST : 1;
	if (perfetto_room(perfetto, sim, events))
		perfetto_write_step(perfetto, sim, step);
	else
		perfetto_write_rest(perfetto, sim, step);
}

static void hear_took(void *data, struct sim *sim, const struct sim_took *took)
{
	struct perfetto *perfetto = data;
	struct perfetto_part part = {.took = *took, .number = perfetto->parts->len};
	struct perfetto_request *request;

	if (!perfetto->begun || !perfetto->events)
		return;
	part.took.to_ps = sim->cursor_ps;
	if (took->what < SPAN_STEPS) {
		perfetto_step(perfetto, sim, &part.took);
		g_array_set_size(perfetto->parts, 0);
		return;
	}
	g_array_append_val(perfetto->parts, part);
	if (took->what != SPAN_PREPARE)
		return;
	request = perfetto_request(perfetto, took->req);
	if (took->err) {
		g_hash_table_remove(perfetto->requests, took->req);
	} else if (request) {
		request->from_ps = took->from_ps;
		request->to_ps = sim->cursor_ps;
	}
}

/* ---- hardware ---- */

static void perfetto_walk(struct perfetto *perfetto, const struct sim *sim, const struct sim_took *took)
{
	if (perfetto_room(perfetto, sim, 1))
		perfetto_slice(perfetto,
			       perfetto_track(perfetto->iommu, perfetto->walkers, took->unit, "walker"),
			       took);
	else
		perfetto->left.left_slices++;
}

/** The channel of @request works on it. */
static void perfetto_serve(struct perfetto *perfetto, struct perfetto_request *request,
			   const struct sim_took *took)
{
	struct perfetto_device *device = request->device;
	struct trace_pool *pool =
		perfetto_pool(device, device->channels, took->unit, ORDER_CHANNELS, "channel");

	trace_events_use(perfetto->events, &request->reserve);
	perfetto_slice(perfetto, trace_pool_take(pool, took->from_ps, took->to_ps), took);
	trace_events_use(perfetto->events, NULL);
}

static void hear_hardware(void *data, struct sim *sim, const struct sim_took *took)
{
	struct perfetto *perfetto = data;
	struct perfetto_request *request;

	if (!perfetto->events)
		return;
	if (took->what == SPAN_TAG_WAIT) {
		perfetto->waited = took->req;
		perfetto->waited_ps = took->from_ps;
		return;
	}
	if (took->what == SPAN_WALK) {
		perfetto_walk(perfetto, sim, took);
		return;
	}
	request = perfetto_request(perfetto, took->req);
	if (!request || !request->flow || request->stage_count == G_N_ELEMENTS(request->stages))
		return;
	request->stages[request->stage_count++] = *took;
	if (took->what == SPAN_SERVICE)
		perfetto_serve(perfetto, request, took);
}

/* ---- points in time ---- */

static void perfetto_point(struct perfetto *perfetto, const struct sim *sim, const char *name)
{
	if (!perfetto->events)
		return;
	if (perfetto_room(perfetto, sim, 1))
		trace_instant(perfetto_device(perfetto, sim)->events, sim->now_ns * 1000, name, "found",
			      perfetto->args->str);
	else
		perfetto->left.left_slices++;
}

static void hear_found(void *data, struct sim *sim, unsigned kind, const char *text)
{
	struct perfetto *perfetto = data;

	g_string_assign(perfetto->args, "\"text\":");
	trace_append_string(perfetto->args, text);
	perfetto_point(perfetto, sim, finding_kinds[kind].name);
}

static void hear_fault(void *data, struct sim *sim, unsigned domain, uint64_t iova, bool write)
{
	struct perfetto *perfetto = data;

	g_string_printf(perfetto->args, "\"iova\":\"0x%" G_GINT64_MODIFIER "x\",\"domain\":%u,\"write\":%s",
			iova, domain, write ? "true" : "false");
	perfetto_point(perfetto, sim, "fault");
}

/* ---- a run ---- */

struct perfetto *perfetto_new(const char *path, uint64_t limit, GError **error)
{
	struct trace_events *events = trace_events_new(path, limit, error);
	struct perfetto *perfetto;

	if (!events)
		return NULL;
	perfetto = g_new0(struct perfetto, 1);
	*perfetto = (struct perfetto){.events = events,
				      .limit = limit,
				      .left.until_ns = UINT64_MAX,
				      .cpus = trace_group_new(events, 0, "CPUs"),
				      .iommu = trace_group_new(events, 1, "IOMMU"),
				      .cpu_tracks = g_ptr_array_new(),
				      .walkers = g_ptr_array_new(),
				      .devices = g_ptr_array_new_with_free_func(perfetto_device_free),
				      .requests = g_hash_table_new_full(NULL, NULL, NULL, g_free),
				      .parts = g_array_new(FALSE, FALSE, sizeof(struct perfetto_part)),
				      .args = g_string_new(NULL),
				      .observer = {.nvme_setup = hear_setup,
						   .took = hear_took,
						   .hardware = hear_hardware,
						   .map = hear_map,
						   .unmap = hear_unmap,
						   .found = hear_found,
						   .io_page_fault = hear_fault}};
	perfetto->observer.data = perfetto;
	return perfetto;
}

void perfetto_observe(struct perfetto *perfetto, struct sim *sim)
{
	perfetto->sim = sim;
	sim_observe(sim, &perfetto->observer);
}

static int perfetto_compare_requests(const void *a, const void *b)
{
	const struct perfetto_request *x = a, *y = b;

	return x->flow < y->flow ? -1 : x->flow > y->flow;
}

/** Ends the arrows of requests that never ended. */
static void perfetto_show_open(struct perfetto *perfetto)
{
	g_autoptr(GList) open =
		g_list_sort(g_hash_table_get_values(perfetto->requests), perfetto_compare_requests);

	for (GList *at = open; at; at = at->next) {
		struct perfetto_request *request = at->data;

		if (!request->flow)
			continue;
		trace_events_use(perfetto->events, &request->reserve);
		perfetto_show(perfetto, request, request->to_ps, false);
		trace_events_release(perfetto->events, &request->reserve);
	}
}

bool perfetto_commit(struct perfetto *perfetto, struct perfetto_left *ret_left, GError **error)
{
	struct perfetto_left *left = &perfetto->left;
	g_autofree char *others = NULL;

	perfetto_show_open(perfetto);
	perfetto_count(perfetto, perfetto->sim);
	left->events = trace_events_count(perfetto->events);
	others =
		g_strdup_printf("\"limit\":%" G_GUINT64_FORMAT ",\"events\":%" G_GUINT64_FORMAT
				",\"requests\":%" G_GUINT64_FORMAT ",\"left_out_requests\":%" G_GUINT64_FORMAT
				",\"left_out_slices\":%" G_GUINT64_FORMAT
				",\"complete\":%s,\"complete_until_ns\":%" G_GUINT64_FORMAT,
				perfetto->limit, left->events, left->requests, left->left_requests,
				left->left_slices, left->until_ns == UINT64_MAX ? "true" : "false",
				left->until_ns == UINT64_MAX ? perfetto->sim->now_ns : left->until_ns);
	*ret_left = *left;
	return trace_events_commit(g_steal_pointer(&perfetto->events), others, error);
}

void perfetto_free(struct perfetto *perfetto)
{
	if (!perfetto)
		return;
	trace_events_abandon(perfetto->events);
	g_string_free(perfetto->args, TRUE);
	g_array_unref(perfetto->parts);
	g_hash_table_unref(perfetto->requests);
	g_ptr_array_unref(perfetto->devices);
	g_ptr_array_unref(perfetto->walkers);
	g_ptr_array_unref(perfetto->cpu_tracks);
	g_free(perfetto);
}
