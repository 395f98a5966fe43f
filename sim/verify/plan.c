/* SPDX-License-Identifier: MIT */
/*
 * When each op takes effect: the recording gives it bounds.
 */
#include <string.h>

#include "sim/verify/model-internal.h"

uint32_t verify_op_flush(const struct verify_recording *recording, const struct verify_op *op)
{
	uint32_t at = verify_find(recording, op->first, KEVENT_INVALIDATE);

	return at == VERIFY_NONE ? verify_find(recording, op->first, KEVENT_QI_SUBMIT) : at;
}

/* ---- when queued ranges come and go ---- */

/** Where the recorded kernel gave back what, and when it flushed. */
struct queue_times {
	GHashTable *frees; /* pfn -> GArray of events, ascending */
	GArray *flushes;   /* of events: invalidations of everything */
	GArray *finishes;  /* of events: something is given back by whom flushed */
	GArray **undos;	   /* per CPU: numbers of the ops that queue, ascending */
};

static void free_times(void *data)
{
	g_array_unref(data);
}

static int compare_events(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

	return (first > second) - (first < second);
}

static void times_init(struct queue_times *times, const struct verify_recording *recording)
{
	times->frees = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_times);
	times->flushes = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	times->finishes = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	times->undos = g_new(GArray *, recording->machine.cpus);
	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++)
		times->undos[cpu] = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];
		GArray *at;

		if (event->kind != KEVENT_IOVA_FREE)
			continue;
		at = g_hash_table_lookup(times->frees, &event->field[KEVENT_PFN]);
		if (!at) {
			at = g_array_new(FALSE, FALSE, sizeof(uint32_t));
			g_hash_table_insert(times->frees,
					    g_memdup2(&event->field[KEVENT_PFN], sizeof(uint64_t)), at);
		}
		g_array_append_val(at, i);
	}
	for (uint32_t number = 0; number < recording->ops->len; number++) {
		const struct verify_op *op = verify_op(recording, number);
		uint32_t flush = verify_op_flush(recording, op);

		if (verify_op_queues(op))
			g_array_append_val(times->undos[op->cpu], number);
		if (flush == VERIFY_NONE || !(verify_op_queues(op) || op->kind == VERIFY_OP_FLUSH))
			continue;
		g_array_append_val(times->flushes, flush);
		flush = verify_find(recording, flush, KEVENT_IOVA_FREE);
		if (flush != VERIFY_NONE)
			g_array_append_val(times->finishes, flush);
	}
	g_array_sort(times->flushes, compare_events);
	g_array_sort(times->finishes, compare_events);
}

static void times_finish(struct queue_times *times, const struct verify_recording *recording)
{
	g_hash_table_unref(times->frees);
	g_array_unref(times->flushes);
	g_array_unref(times->finishes);
	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++)
		g_array_unref(times->undos[cpu]);
	g_free(times->undos);
}

/** Returns the index of the first element of @array, which ascends, above @value: the length if there is none. */
static unsigned index_above(const GArray *array, uint32_t value)
{
	unsigned low = 0, high = array->len;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (g_array_index(array, uint32_t, middle) > value)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/** Returns that element, VERIFY_NONE if there is none. */
static uint32_t first_above(const GArray *array, uint32_t value)
{
	unsigned index = index_above(array, value);

	return index < array->len ? g_array_index(array, uint32_t, index) : VERIFY_NONE;
}

/** Returns the last op that begins at @event or before. */
static uint32_t last_begun(const struct verify_recording *recording, uint32_t event)
{
	uint32_t low = 0, high = recording->ops->len;

	while (low + 1 < high) {
		uint32_t middle = (low + high) / 2;

		if (verify_op(recording, middle)->first > event)
			high = middle;
		else
			low = middle;
	}
	return low;
}

/** Returns the first op on @number's CPU, after it, that gives something back; VERIFY_NONE if there is none. */
static uint32_t next_reaper(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number)
{
	const GArray *undos = times->undos[verify_op(recording, number)->cpu];

	while ((number = first_above(undos, number)) != VERIFY_NONE)
		if (verify_find(recording, verify_op(recording, number)->first, KEVENT_IOVA_FREE) !=
		    VERIFY_NONE)
			break;
	return number;
}

/** Whether what op @number unmaps at @unmap was queued before the flush at @flush: then it goes back when its ring is looked at
 *  first after that, by the timer's flush or when this CPU unmaps again. */
static bool queued_before(const struct verify_recording *recording, const struct queue_times *times,
			  uint32_t number, uint32_t unmap, uint32_t flush)
{
	uint64_t pfn = recording->events[unmap].field[KEVENT_ADDR] / FRAME_SIZE;
	const GArray *frees = g_hash_table_lookup(times->frees, &pfn);
	uint32_t freed = frees ? first_above(frees, unmap) : VERIFY_NONE, reaper;
	const struct verify_op *flushing, *op;

	if (freed == VERIFY_NONE || recording->events[freed].op == recording->events[flush].op)
		return true;
	reaper = next_reaper(recording, times, number);
	if (recording->events[freed].op != reaper)
		return false;
	flushing = verify_op(recording, recording->events[flush].op);
	op = verify_op(recording, reaper);
	/* By then the timer's flush would have emptied the ring. */
	if (flushing->kind == VERIFY_OP_FLUSH && op->first > flushing->last)
		return false;
	return freed < verify_op_flush(recording, op);
}

/** Returns the event at which the flush of op @number starts, which the recording bounds by @begin and @due:
 *  before what it did not cover, although that was queued and done with before the invalidation. */
static uint32_t flush_event(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number, uint32_t begin, uint32_t due, uint64_t *choices)
{
	uint32_t flush = verify_op_flush(recording, verify_op(recording, number));

	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++) {
		const GArray *undos = times->undos[cpu];

		for (unsigned i = index_above(undos, last_begun(recording, due)); i-- > 0;) {
			uint32_t other = g_array_index(undos, uint32_t, i), unmap;
			const struct verify_op *op = verify_op(recording, other);

			if (op->last < begin)
				break;
			unmap = verify_find(recording, op->first, KEVENT_UNMAP);
			if (other == number || unmap == VERIFY_NONE || unmap <= begin || op->last > due ||
			    queued_before(recording, times, other, unmap, flush))
				continue;
			++*choices;
			due = MIN(due, unmap - 1);
		}
	}
	return due;
}

/** Returns the event at which op @number queues what it unmaps, which the recording bounds by @unmap and the op's end: after the
 *  flushes in between that did not cover it. */
static uint32_t queue_event(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number, uint32_t unmap, uint64_t *choices)
{
	const struct verify_op *op = verify_op(recording, number);
	uint32_t own = verify_op_flush(recording, op), due = unmap;

	if (own != VERIFY_NONE) {
		/* It found its ring full: what another flush covered was not known to be free. */
		due = MIN(own, first_above(times->finishes, unmap) - 1);
		*choices += due != own;
		return flush_event(recording, times, number, unmap, due, choices);
	}
	for (uint32_t flush = first_above(times->flushes, unmap); flush < op->last;
	     flush = first_above(times->flushes, flush)) {
		++*choices;
		if (!queued_before(recording, times, number, unmap, flush))
			due = flush + 1;
	}
	return due;
}

/** Returns the event at which op @number takes effect: what undoes, where it begins to; what does, where it has done. */
static uint32_t due_event(const struct verify_recording *recording, const struct queue_times *times,
			  uint32_t number, uint64_t *choices)
{
	const struct verify_op *op = verify_op(recording, number);
	uint32_t at;

	switch (op->kind) {
	case VERIFY_OP_COMPLETE:
	case VERIFY_OP_RELEASE:
		at = verify_find(recording, op->first, KEVENT_UNMAP);
		if (at == VERIFY_NONE)
			return op->first;
		return recording->machine.lazy ? queue_event(recording, times, number, at, choices) : at;
	case VERIFY_OP_FLUSH:
		at = verify_op_flush(recording, op);
		return at == VERIFY_NONE ? op->first
					 : flush_event(recording, times, number, op->first, at, choices);
	case VERIFY_OP_SUBMIT:
		/* A failure shows what there was not when the map began. */
		at = verify_find(recording, op->first, KEVENT_FAIL_PAGE);
		if (at != VERIFY_NONE)
			return verify_find(recording, op->first, KEVENT_MAP_NOSYNC);
		return op->last;
	default:
		return op->last;
	}
}

void verify_plan(struct verify_model *model)
{
	const struct verify_recording *recording = model->recording;
	struct queue_times times;

	times_init(&times, recording);
	model->due = g_new(uint32_t, recording->event_count + 1);
	model->due_next = g_new(uint32_t, recording->ops->len + 1);
	memset(model->due, 0xff, sizeof(uint32_t) * (recording->event_count + 1));
	for (uint32_t number = recording->ops->len; number-- > 0;) {
		uint32_t at = due_event(recording, &times, number, &model->result->choices);

		at = MIN(at, recording->event_count - 1);
		model->due_next[number] = model->due[at];
		model->due[at] = number;
	}
	times_finish(&times, recording);
}
