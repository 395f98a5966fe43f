/* SPDX-License-Identifier: MIT */
#include "sim/verify/given.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/input.h"
#include "sim/verify/order-model.h"

#define COLUMNS 8 /* op id cpu pages limit_pfn flush fails pfn */

/** What tells one call from another in such a file. */
struct key {
	uint64_t kind, cpu, pages, pfn;
};

static guint key_hash(gconstpointer data)
{
	const struct key *key = data;

	return (guint)((key->pfn * 31 + key->pages) * 31 + key->cpu * 7 + key->kind);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return memcmp(a, b, sizeof(struct key)) == 0;
}

/** A worker is known by its CPU: its line has the size class, which no event has. */
static struct key key_of(const struct verify_call *call)
{
	bool work = call->kind == VERIFY_DEPOT_WORK;

	return (struct key){call->kind, call->cpu, work ? 0 : call->pages, work ? 0 : call->pfn};
}

static void queue_free(void *data)
{
	g_queue_free(data);
}

/** Returns the calls by key: of equal ones, the earlier first. */
static GHashTable *index_calls(const struct verify_calls *calls)
{
	GHashTable *index = g_hash_table_new_full(key_hash, key_equal, g_free, queue_free);

	for (unsigned i = 0; i < calls->calls->len; i++) {
		struct key key = key_of(&g_array_index(calls->calls, struct verify_call, i));
		GQueue *queue = g_hash_table_lookup(index, &key);

		if (!queue) {
			queue = g_queue_new();
			g_hash_table_insert(index, g_memdup2(&key, sizeof(key)), queue);
		}
		g_queue_push_tail(queue, GUINT_TO_POINTER(i));
	}
	return index;
}

/** Takes a line apart. Returns 1 with *@ret_key, 0 of a line that is no call, -1 of nonsense. */
static int take_line(const char *text, size_t len, struct key *ret_key)
{
	g_autofree char *line = g_strndup(text, len);
	g_auto(GStrv) columns = g_strsplit(line, " ", COLUMNS + 1);
	struct key key = {0};

	if (line[0] == '#' || line[0] == '\0' || line[0] == 'I' || line[0] == 'R')
		return 0;
	if (g_strv_length(columns) != COLUMNS || strlen(columns[0]) != 1 || !strchr("AFW", columns[0][0]))
		return -1;
	key.kind = columns[0][0] == 'A'	  ? VERIFY_ALLOC
		   : columns[0][0] == 'F' ? VERIFY_FREE
					  : VERIFY_DEPOT_WORK;
	if (!text_parse_u64(columns[2], &key.cpu))
		return -1;
	if (key.kind != VERIFY_DEPOT_WORK &&
	    (!text_parse_u64(columns[3], &key.pages) || !text_parse_u64(columns[COLUMNS - 1], &key.pfn)))
		return -1;
	*ret_key = key;
	return 1;
}

static bool read_lines(struct input *input, const char *path, GHashTable *index, GArray *order,
		       GError **error)
{
	const char *text;
	size_t len;
	int result;

	while ((result = input_line(input, &text, &len, error)) > 0) {
		struct key key;
		int taken = take_line(text, len, &key);
		GQueue *queue = taken > 0 ? g_hash_table_lookup(index, &key) : NULL;
		uint32_t call;

		if (taken == 0)
			continue;
		if (taken < 0)
			return sim_error_line(error, path, input_line_number(input),
					      "not a line of an alloc-order file") == 0;
		if (!queue || g_queue_is_empty(queue))
			return sim_error_line(error, path, input_line_number(input),
					      "the recording has no such call") == 0;
		call = GPOINTER_TO_UINT(g_queue_pop_head(queue));
		g_array_append_val(order, call);
	}
	return result == 0;
}

GArray *verify_given_read(const struct verify_calls *calls, const char *path, GError **error)
{
	struct input *input = input_open(path, error);
	g_autoptr(GHashTable) index = NULL;
	GArray *order;
	bool ok;

	if (!input)
		return NULL;
	index = index_calls(calls);
	order = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	ok = read_lines(input, path, index, order, error);
	if (ok && order->len != calls->calls->len)
		ok = sim_error_plain(error, "%s: has %u calls, the recording %u", path, order->len,
				     calls->calls->len) == 0;
	input_close(input);
	if (ok)
		return order;
	g_array_unref(order);
	return NULL;
}

/* ---- running ---- */

static uint32_t *first_parts(const struct order_problem *problem)
{
	uint32_t *first = g_new(uint32_t, problem->call_count + 1);

	for (size_t i = problem->part_count; i-- > 0;)
		first[problem->parts[i].call] = (uint32_t)i;
	return first;
}

/** Runs the parts of @call one after another. Returns whether its answer is as recorded; else what it was. */
static bool run_call(const struct order_problem *problem, struct order_model *model, uint32_t first,
		     uint32_t call, uint64_t *ret_pfn)
{
	for (uint32_t part = first; part < problem->part_count; part++) {
		struct order_outcome outcome;

		if (problem->parts[part].call != call)
			continue;
		if (order_model_is_idle(model, part))
			break;
		outcome = order_model_run(model, part);
		*ret_pfn = outcome.pfn;
		if (outcome.differs)
			return false;
		if (outcome.answered)
			break;
	}
	return true;
}

void verify_given_check(const struct verify_order_start *start, const struct verify_calls *calls,
			const GArray *order, struct verify_order *ret_order)
{
	const struct verify_call *all = (const struct verify_call *)(void *)calls->calls->data;
	struct order_problem problem;
	struct order_model *model;
	uint64_t latest = 0;
	uint32_t *first;
	bool agrees = true;

	*ret_order = (struct verify_order){.end = VERIFY_ORDER_SOLVED, .count = order->len};
	order_problem_init(&problem, start, all, calls->calls->len);
	model = order_model_new(&problem);
	first = first_parts(&problem);
	for (unsigned i = 0; i < order->len && agrees; i++) {
		uint32_t call = g_array_index(order, uint32_t, i);
		bool answers = all[call].kind == VERIFY_ALLOC;

		latest = MAX(latest, all[call].first);
		agrees = all[call].last >= latest &&
			 run_call(&problem, model, first[call], call, &ret_order->failed_pfn);
		ret_order->predicted += answers && agrees;
		if (!agrees) {
			ret_order->end = VERIFY_ORDER_CONTRADICTION;
			ret_order->failed = call;
		}
	}
	for (unsigned i = 0; i < calls->calls->len; i++)
		ret_order->recorded += all[i].kind == VERIFY_ALLOC;
	g_free(first);
	order_model_free(model);
	order_problem_finish(&problem);
}
