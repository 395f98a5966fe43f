/* SPDX-License-Identifier: MIT */
#include "sim/verify/calls.h"

#define CALLS_PER_EVENT (1u << 20) /* more than an op makes */

struct collector {
	const struct verify_recording *recording;
	struct verify_calls *calls;
	uint64_t works[VERIFY_WORKS_MAX]; /* objects */
	unsigned work_count;
};

static const struct verify_event *event_at(const struct collector *collector, uint32_t number)
{
	return &collector->recording->events[number];
}

/** Notes the failures of memory from event @from to @to, excluded, of one op. Returns how many. */
static uint32_t collect_fails(struct collector *collector, uint32_t from, uint32_t to)
{
	uint32_t count = 0;

	for (uint32_t at = from; at != VERIFY_NONE && at < to; at = event_at(collector, at)->next) {
		uint64_t number = at;

		if (event_at(collector, at)->kind != KEVENT_FAIL_SLAB)
			continue;
		g_array_append_val(collector->calls->fails, number);
		count++;
	}
	return count;
}

static void add(struct collector *collector, struct verify_call *call, uint32_t entry, uint32_t end,
		uint32_t answer)
{
	call->cpu = event_at(collector, entry)->cpu;
	call->first = entry;
	call->last = end == VERIFY_NONE ? UINT64_MAX : end;
	g_array_append_val(collector->calls->calls, *call);
	g_array_append_val(collector->calls->events, answer);
}

static void add_alloc(struct collector *collector, uint32_t entry)
{
	const struct verify_event *event = event_at(collector, entry);
	uint32_t answer = verify_find(collector->recording, event->next, KEVENT_IOVA_ALLOC_RET);
	struct verify_call call = {.kind = VERIFY_ALLOC,
				   .pages = event->field[KEVENT_SIZE],
				   .limit_pfn = event->field[KEVENT_LIMIT],
				   .flush = event->field[KEVENT_FLUSH],
				   .pfn = VERIFY_PFN_UNKNOWN};

	if (answer != VERIFY_NONE)
		call.pfn = event_at(collector, answer)->field[KEVENT_PFN];
	call.fail_count = collect_fails(collector, entry, answer);
	add(collector, &call, entry, answer, answer == VERIFY_NONE ? entry : answer);
}

static void add_free(struct collector *collector, uint32_t entry)
{
	const struct verify_recording *recording = collector->recording;
	const struct verify_event *event = event_at(collector, entry);
	uint32_t end = event->follows;
	struct verify_call call = {
		.kind = VERIFY_FREE, .pages = event->field[KEVENT_SIZE], .pfn = event->field[KEVENT_PFN]};

	if (recording->machine.kinds[KEVENT_IOVA_FREE_RET])
		end = verify_find(recording, event->next, KEVENT_IOVA_FREE_RET);
	call.fail_count = collect_fails(collector, entry, end);
	add(collector, &call, entry, end, entry);
}

static void add_work(struct collector *collector, uint32_t entry)
{
	uint64_t object = event_at(collector, entry)->field[KEVENT_OBJECT];
	struct verify_call call = {.kind = VERIFY_DEPOT_WORK};

	while (call.id < collector->work_count && collector->works[call.id] != object)
		call.id++;
	if (call.id == VERIFY_WORKS_MAX)
		return; /* another domain's */
	if (call.id == collector->work_count)
		collector->works[collector->work_count++] = object;
	add(collector, &call, entry,
	    verify_find(collector->recording, event_at(collector, entry)->next, KEVENT_DEPOT_WORK_RET),
	    entry);
}

/** Whether the call's numbers are such that the allocator may be asked. */
static bool is_sane(const struct verify_event *event)
{
	return event->field[KEVENT_SIZE] > 0 && event->field[KEVENT_SIZE] <= UINT64_C(1) << 52;
}

void verify_calls_init_empty(struct verify_calls *calls)
{
	calls->calls = g_array_new(FALSE, FALSE, sizeof(struct verify_call));
	calls->events = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	calls->fails = g_array_new(FALSE, FALSE, sizeof(uint64_t));
}

void verify_calls_init(struct verify_calls *calls, const struct verify_recording *recording)
{
	struct collector collector = {.recording = recording, .calls = calls};
	uint64_t *fails;

	verify_calls_init_empty(calls);
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];

		if (event->kind == KEVENT_DEPOT_WORK)
			add_work(&collector, i);
		else if (event->field[KEVENT_OBJECT] != recording->machine.iovad || !is_sane(event))
			continue;
		else if (event->kind == KEVENT_IOVA_ALLOC)
			add_alloc(&collector, i);
		else if (event->kind == KEVENT_IOVA_FREE)
			add_free(&collector, i);
	}
	fails = (uint64_t *)(void *)calls->fails->data;
	for (unsigned i = 0; i < calls->calls->len; i++) {
		struct verify_call *call = &g_array_index(calls->calls, struct verify_call, i);

		call->fails = fails;
		fails += call->fail_count;
	}
}

void verify_calls_add(struct verify_calls *calls, const struct verify_recording *recording, uint32_t op,
		      unsigned nth, uint32_t from, const struct verify_call *call)
{
	const struct verify_op *of = verify_op(recording, op);
	struct verify_call bounded = *call;
	uint32_t last = of->last;

	if (of->kind == VERIFY_OP_FLUSH)
		last = MIN(recording->events[last].follows, recording->event_count);
	/* Several calls of an op keep their order. */
	bounded.cpu = of->cpu;
	bounded.first = (uint64_t)from * CALLS_PER_EVENT + nth;
	bounded.last = (uint64_t)last * CALLS_PER_EVENT + nth;
	g_array_append_val(calls->calls, bounded);
}

static int compare_calls(const void *a, const void *b)
{
	const struct verify_call *first = a, *second = b;

	return (first->first > second->first) - (first->first < second->first);
}

void verify_calls_sort(struct verify_calls *calls)
{
	g_array_sort(calls->calls, compare_calls);
	for (unsigned i = 0; i < calls->calls->len; i++) {
		uint32_t event = (uint32_t)(g_array_index(calls->calls, struct verify_call, i).first /
					    CALLS_PER_EVENT);

		g_array_append_val(calls->events, event);
	}
}

void verify_calls_finish(struct verify_calls *calls)
{
	g_array_unref(calls->calls);
	g_array_unref(calls->events);
	g_array_unref(calls->fails);
}
