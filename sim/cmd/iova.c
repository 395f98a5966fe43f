/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "iommu/iova/iova.h"
#include "sim/cmd/cmd.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/machine/machine.h"
#include "sim/report/facts.h"

#define MAP_COLUMNS    64
#define MAP_ROWS       16
#define MAP_CELLS      (MAP_COLUMNS * MAP_ROWS)
#define WINDOW_BYTES   (UINT64_C(1) << 32)
#define MAP_CELL_BYTES (WINDOW_BYTES / MAP_CELLS)

enum iova_use {
	USE_LIVE,
	USE_CACHED,
	USE_RESERVED,
	USES,
};

static const char *const iova_nouns[USES] = {"live", "cached", "reserved"};

struct iova_range {
	uint64_t first, last;
};

struct iova_cell {
	uint64_t bytes[USES];
};

/** What a snapshot says of one domain's address space. */
struct iova_space {
	const char *path;
	uint64_t end;	 /* first address beyond the space; 0: not known */
	uint64_t ranges[USES], bytes[USES];
	GArray *used;	    /* of struct iova_range: every range, whatever its use */
	GHashTable *places; /* "order place" -> count */
	struct iova_cell cells[MAP_CELLS];
};

static void iova_mark_cells(struct iova_space *space, enum iova_use use, uint64_t first, uint64_t last)
{
	last = MIN(last, WINDOW_BYTES - 1);
	for (uint64_t at = first; at <= last && at < WINDOW_BYTES;) {
		uint64_t cell = at / MAP_CELL_BYTES, cell_last = MIN(last, (cell + 1) * MAP_CELL_BYTES - 1);

		space->cells[cell].bytes[use] += cell_last - at + 1;
		at = cell_last + 1;
	}
}

static void iova_count_place(struct iova_space *space, const struct snapshot_line *line)
{
	const char *order = snapshot_line_get(line, "order"), *place = snapshot_line_get(line, "place");
	char *key = g_strdup_printf("%s %s", order ? order : "-", place ? place : "-");
	gpointer count = g_hash_table_lookup(space->places, key);

	g_hash_table_replace(space->places, key, GSIZE_TO_POINTER(GPOINTER_TO_SIZE(count) + 1));
}

static int iova_see_domain(struct iova_space *space, const struct snapshot_line *line, GError **error)
{
	const char *levels = snapshot_line_get(line, "levels");
	uint64_t number;

	if (!levels || !text_parse_u64(levels, &number) || number < 1 || number > 5)
		return sim_error_line(error, space->path, line->number, "a domain without its number of levels");
	space->end = UINT64_C(1) << (12 + 9 * number);
	return 0;
}

static int iova_see_fact(void *data, const struct snapshot_line *line, GError **error)
{
	struct iova_space *space = data;
	struct iova_range range;
	const char *text;

	if (strcmp(line->section, "domain") == 0)
		return iova_see_domain(space, line, error);
	if (strcmp(line->section, "iova") != 0)
		return 0;
	for (unsigned use = 0; use < USES; use++) {
		if (strcmp(line->noun, iova_nouns[use]) != 0)
			continue;
		text = snapshot_line_get(line, "range");
		if (!text || !snapshot_parse_range(text, &range.first, &range.last))
			return sim_error_line(error, space->path, line->number, "no range of IOVAs");
		space->ranges[use]++;
		space->bytes[use] += range.last - range.first + 1;
		g_array_append_val(space->used, range);
		iova_mark_cells(space, (enum iova_use)use, range.first, range.last);
		if (use == USE_CACHED)
			iova_count_place(space, line);
	}
	return 0;
}

static int iova_compare_ranges(const void *a, const void *b)
{
	const struct iova_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/** Free bytes and the largest gap in [@start, @end). */
static void iova_gaps(const struct iova_space *space, uint64_t start, uint64_t end, uint64_t *ret_free,
		      uint64_t *ret_largest, uint64_t *ret_count)
{
	uint64_t at = start;

	*ret_free = *ret_largest = *ret_count = 0;
	for (guint i = 0; i <= space->used->len && at < end; i++) {
		bool is_end = i == space->used->len;
		const struct iova_range *range = is_end ? NULL : &g_array_index(space->used, struct iova_range, i);
		uint64_t next = is_end ? end : MIN(range->first, end);

		if (next > at) {
			*ret_free += next - at;
			*ret_largest = MAX(*ret_largest, next - at);
			++*ret_count;
		}
		if (!is_end)
			at = MAX(at, range->last + 1);
	}
}

static void iova_show_gaps(struct facts *facts, const struct iova_space *space, const char *key, const char *label,
			   uint64_t start, uint64_t end)
{
	uint64_t free, largest, count;
	g_autofree char *share = NULL;

	iova_gaps(space, start, end, &free, &largest, &count);
	facts_begin(facts, key, label);
	facts_size(facts, "free_bytes", "free", free);
	facts_u64(facts, "gaps", "gaps", count);
	facts_size(facts, "largest_gap_bytes", "largest gap", largest);
	/* Free bytes that do not lie in the largest gap, in thousandths. */
	share = g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %%",
				free ? (free - largest) / (free / 1000 + 1) / 10 : 0,
				free ? (free - largest) / (free / 1000 + 1) % 10 : 0);
	facts_u64(facts, "fragmentation_per_mille", NULL, free ? (free - largest) / (free / 1000 + 1) : 0);
	facts_text(facts, NULL, "outside the largest gap", share);
	facts_end(facts);
}

/** One letter for a cell: what fills most of it; lower case where it is not full. */
static char iova_letter(const struct iova_cell *cell)
{
	static const char full[USES] = {'L', 'C', 'R'}, part[USES] = {'l', 'c', 'r'};
	uint64_t used = 0;
	unsigned most = 0;

	for (unsigned use = 0; use < USES; use++) {
		used += cell->bytes[use];
		if (cell->bytes[use] > cell->bytes[most])
			most = use;
	}
	if (!used)
		return '.';
	return used >= MAP_CELL_BYTES ? full[most] : part[most];
}

static void iova_show_map(struct facts *facts, const struct iova_space *space)
{
	facts_list_begin(facts, "map_rows", "below 4 GiB, 4 MiB a letter: live, cached, reserved; capital: full");
	for (unsigned row = 0; row < MAP_ROWS; row++) {
		char text[MAP_COLUMNS + 1] = {0};
		uint64_t first = (uint64_t)row * MAP_COLUMNS * MAP_CELL_BYTES;

		for (unsigned column = 0; column < MAP_COLUMNS; column++)
			text[column] = iova_letter(&space->cells[row * MAP_COLUMNS + column]);
		facts_line(facts, "0x%08" G_GINT64_MODIFIER "x %s", first, text);
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "first", NULL, first);
		facts_text(facts, "cells", NULL, text);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static void iova_show_places(struct facts *facts, const struct iova_space *space)
{
	GList *keys = g_list_sort(g_hash_table_get_keys(space->places), (GCompareFunc)strcmp);

	facts_list_begin(facts, "caches", keys ? "cached, by size and place" : NULL);
	for (GList *key = keys; key; key = key->next) {
		g_auto(GStrv) words = g_strsplit(key->data, " ", 2);
		uint64_t order = 0, count = GPOINTER_TO_SIZE(g_hash_table_lookup(space->places, key->data));
		g_autofree char *label = NULL;

		text_parse_u64(words[0], &order);
		label = g_strdup_printf("%" G_GUINT64_FORMAT " KiB, %s", UINT64_C(4) << MIN(order, 32), words[1]);
		facts_u64(facts, NULL, label, count);
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "order", NULL, order);
		facts_text(facts, "place", NULL, words[1]);
		facts_u64(facts, "count", NULL, count);
		facts_end(facts);
	}
	facts_list_end(facts);
	g_list_free(keys);
}

static char *iova_show(const struct iova_space *space, bool json)
{
	static const char *const labels[USES] = {"live", "cached", "reserved"};
	struct facts *facts = facts_new();
	char *text;

	for (unsigned use = 0; use < USES; use++) {
		facts_begin(facts, iova_nouns[use], labels[use]);
		facts_u64(facts, "ranges", "ranges", space->ranges[use]);
		facts_size(facts, "range_bytes", "bytes", space->bytes[use]);
		facts_end(facts);
	}
	/* Page 0 is never handed out: it is the failure value. */
	iova_show_gaps(facts, space, "below_4g", "below 4 GiB", FRAME_SIZE, WINDOW_BYTES);
	if (space->end > WINDOW_BYTES)
		iova_show_gaps(facts, space, "whole", "whole space", FRAME_SIZE, space->end);
	iova_show_places(facts, space);
	iova_show_map(facts, space);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

int cmd_iova_stat(const struct command *command, int argc, char **argv)
{
	static const struct snapshot_visitor visitor = {.fact = iova_see_fact};
	struct iova_space *space;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return EXIT_UNUSABLE;
	space = g_new0(struct iova_space, 1);
	space->path = common.args[0];
	space->used = g_array_new(FALSE, FALSE, sizeof(struct iova_range));
	space->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	if (snapshot_read(common.args[0], machine_sections, &visitor, space, &error) == 0) {
		g_autofree char *text = NULL;

		g_array_sort(space->used, iova_compare_ranges);
		text = iova_show(space, common.json);
		if (!cmd_print(text))
			code = EXIT_UNUSABLE;
	} else {
		code = cmd_fail_error(error);
	}
	g_hash_table_unref(space->places);
	g_array_unref(space->used);
	g_free(space);
	cmd_common_clear(&common);
	return code;
}
