/* SPDX-License-Identifier: MIT */
#include "sim/core/busy.h"

#include <string.h>

#include <glib.h>

/** Returns the number of spans that end before @at_ps, or at it: who asks then has nothing to do with them. */
static uint32_t busy_before(const struct busy *busy, uint64_t at_ps)
{
	uint32_t i = busy->count;

	while (i && busy->spans[i - 1].to_ps > at_ps)
		i--;
	return i;
}

uint64_t busy_free_ps(const struct busy *busy, uint64_t at_ps)
{
	uint32_t i = busy_before(busy, at_ps);

	if (i < busy->count && busy->spans[i].from_ps <= at_ps)
		return busy->spans[i].to_ps;
	return at_ps;
}

static void busy_remove(struct busy *busy, uint32_t at, uint32_t count)
{
	busy->count -= count;
	memmove(&busy->spans[at], &busy->spans[at + count], (busy->count - at) * sizeof(busy->spans[0]));
}

/** Returns the holding behind which the gap to the next is smallest. */
static uint32_t busy_smallest_gap(const struct busy *busy)
{
	uint64_t smallest_ps = UINT64_MAX;
	uint32_t at = 0;

	for (uint32_t i = 0; i + 1 < busy->count; i++) {
		uint64_t gap_ps = busy->spans[i + 1].from_ps - busy->spans[i].to_ps;

		if (gap_ps < smallest_ps) {
			smallest_ps = gap_ps;
			at = i;
		}
	}
	return at;
}

/** Makes room for one more: forgets what is over, or else closes a gap. */
static void busy_squeeze(struct busy *busy, uint64_t past_ps)
{
	uint32_t over = busy_before(busy, past_ps), at;

	busy_remove(busy, 0, over);
	if (over)
		return;
	at = busy_smallest_gap(busy);
	busy->spans[at].to_ps += busy->spans[at + 1].to_ps - busy->spans[at + 1].from_ps;
	busy_remove(busy, at + 1, 1);
}

void busy_insert(struct busy *busy, uint64_t from_ps, uint64_t to_ps, uint64_t past_ps)
{
	struct busy_span span = {from_ps, to_ps};
	uint32_t first, end;

	g_assert(from_ps <= to_ps);
	if (from_ps == to_ps)
		return;
	if (busy->spans[busy->count - 1].to_ps <= past_ps)
		busy->count = 0;
	first = end = busy_before(busy, from_ps);
	if (first && busy->spans[first - 1].to_ps == from_ps)
		span.from_ps = busy->spans[--first].from_ps;
	for (; end < busy->count && busy->spans[end].from_ps <= span.to_ps; end++)
		span.to_ps += busy->spans[end].to_ps - busy->spans[end].from_ps;
	if (first == end) {
		memmove(&busy->spans[first + 1], &busy->spans[first], (busy->count - first) * sizeof(span));
		busy->count++;
	} else {
		busy_remove(busy, first + 1, end - first - 1);
	}
	busy->spans[first] = span;
	if (busy->count == BUSY_SPANS)
		busy_squeeze(busy, past_ps);
}
