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
#define MAP_ROW_BYTES  (MAP_CELL_BYTES * MAP_COLUMNS)

enum iova_use {
	USE_LIVE,
	USE_QUEUED,
	USE_CACHED,
	USE_RESERVED,
	USES,
};

static const char *const iova_nouns[USES] = {"live", "queued", "cached", "reserved"};
static const char *const iova_labels[USES] = {"live", "queued for a flush", "cached", "reserved"};

struct iova_range {
	uint64_t first, last;
};

struct iova_cell {
	uint64_t bytes[USES];
};

/** Where ranges are cached, and how many of each size. */
struct iova_place {
	char *name; /* "cpu3.loaded" */
	uint64_t counts[IOVA_ORDERS];
};

/** What a snapshot says of one domain's address space. */
struct iova_space {
	const char *path;
	bool found; /* then @domain is the one that is shown */
	uint64_t domain;
	uint64_t granule_bytes;
	uint64_t end; /* first address beyond the space; 0: not known */
	uint64_t ranges[USES], bytes[USES];
	GArray *used;	   /* of struct iova_range: every range, whatever its use */
	GPtrArray *places; /* of struct iova_place */
	struct iova_cell cells[MAP_CELLS];
};

static struct iova_space *iova_space_new(const char *path)
{
	struct iova_space *space = g_new0(struct iova_space, 1);

	space->path = path;
	space->granule_bytes = FRAME_SIZE;
	space->used = g_array_new(FALSE, FALSE, sizeof(struct iova_range));
	space->places = g_ptr_array_new();
	return space;
}

static void iova_space_free(struct iova_space *space)
{
	for (guint i = 0; i < space->places->len; i++) {
		struct iova_place *place = g_ptr_array_index(space->places, i);

		g_free(place->name);
		g_free(place);
	}
	g_ptr_array_unref(space->places);
	g_array_unref(space->used);
	g_free(space);
}

/* ---- reading ---- */

static void iova_mark_cells(struct iova_space *space, enum iova_use use, uint64_t first, uint64_t last)
{
	last = MIN(last, WINDOW_BYTES - 1);
	for (uint64_t at = first; at <= last && at < WINDOW_BYTES;) {
		uint64_t cell = at / MAP_CELL_BYTES, cell_last = MIN(last, (cell + 1) * MAP_CELL_BYTES - 1);

		space->cells[cell].bytes[use] += cell_last - at + 1;
		at = cell_last + 1;
	}
}

static struct iova_place *iova_place(struct iova_space *space, const char *name)
{
	struct iova_place *place;

	for (guint i = 0; i < space->places->len; i++) {
		place = g_ptr_array_index(space->places, i);
		if (strcmp(place->name, name) == 0)
			return place;
	}
	place = g_new0(struct iova_place, 1);
	place->name = g_strdup(name);
	g_ptr_array_add(space->places, place);
	return place;
}

static int iova_count_place(struct iova_space *space, const struct snapshot_line *line, GError **error)
{
	const char *text = snapshot_line_get(line, "order"), *place = snapshot_line_get(line, "place");
	uint64_t order;

	if (!text || !place || !text_parse_u64(text, &order) || order >= IOVA_ORDERS)
		return sim_error_line(error, space->path, line->number,
				      "a cached range without its order and place");
	iova_place(space, place)->counts[order]++;
	return 0;
}

/** Whether @line is of the domain that is shown, which is the only one unless the user named it. Sets *@ret_ours. */
static int iova_see_id(struct iova_space *space, const struct snapshot_line *line, const char *field,
		       const uint64_t *wanted, bool *ret_ours, GError **error)
{
	const char *text = snapshot_line_get(line, field);
	uint64_t id;

	if (!text || !text_parse_u64(text, &id))
		return sim_error_line(error, space->path, line->number, "without the number of its domain");
	*ret_ours = !wanted || id == *wanted;
	if (*ret_ours && space->found && space->domain != id)
		return sim_error_line(error, space->path, line->number,
				      "more than one domain: choose with --domain=N");
	if (*ret_ours) {
		space->found = true;
		space->domain = id;
	}
	return 0;
}

static int iova_see_domain(struct iova_space *space, const struct snapshot_line *line, GError **error)
{
	const char *levels = snapshot_line_get(line, "levels"), *granule = snapshot_line_get(line, "granule");
	uint64_t number;

	if (!levels || !text_parse_u64(levels, &number) || number < 1 || number > 5)
		return sim_error_line(error, space->path, line->number,
				      "a domain without its number of levels");
	space->end = UINT64_C(1) << (12 + 9 * number);
	if (granule && (!text_parse_u64(granule, &number) || number == 0 || number > WINDOW_BYTES))
		return sim_error_line(error, space->path, line->number, "a granule that cannot be");
	if (granule)
		space->granule_bytes = number;
	return 0;
}

static int iova_see_range(struct iova_space *space, const struct snapshot_line *line, enum iova_use use,
			  GError **error)
{
	const char *text = snapshot_line_get(line, "range");
	struct iova_range range;

	if (!text || !snapshot_parse_range(text, &range.first, &range.last))
		return sim_error_line(error, space->path, line->number, "no range of IOVAs");
	space->ranges[use]++;
	space->bytes[use] += range.last - range.first + 1;
	g_array_append_val(space->used, range);
	iova_mark_cells(space, use, range.first, range.last);
	return use == USE_CACHED ? iova_count_place(space, line, error) : 0;
}

/** What reading needs to know: the space to fill, and the domain the user named, if one. */
struct iova_reading {
	struct iova_space *space;
	const uint64_t *wanted;
};

static int iova_see_fact(void *data, const struct snapshot_line *line, GError **error)
{
	const struct iova_reading *reading = data;
	struct iova_space *space = reading->space;
	bool ours;

	if (strcmp(line->section, "domain") == 0 && strcmp(line->noun, "domain") == 0) {
		if (iova_see_id(space, line, "id", reading->wanted, &ours, error) != 0)
			return -1;
		return ours ? iova_see_domain(space, line, error) : 0;
	}
	if (strcmp(line->section, "iova") != 0)
		return 0;
	for (unsigned use = 0; use < USES; use++) {
		if (strcmp(line->noun, iova_nouns[use]) != 0)
			continue;
		if (iova_see_id(space, line, "domain", reading->wanted, &ours, error) != 0)
			return -1;
		return ours ? iova_see_range(space, line, (enum iova_use)use, error) : 0;
	}
	return 0;
}

/* ---- free space ---- */

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
		const struct iova_range *range =
			is_end ? NULL : &g_array_index(space->used, struct iova_range, i);
		uint64_t next = is_end ? end : MIN(range->first, end);

		if (next > at) {
			*ret_free += next - at;
			*ret_largest = MAX(*ret_largest, next - at);
			++*ret_count;
		}
		if (!is_end && range->last >= at)
			at = MIN(range->last, end - 1) + 1;
	}
}

/** @part of @whole in thousandths, rounded down. */
static uint64_t iova_per_mille(uint64_t part, uint64_t whole)
{
	unsigned shift = whole > UINT64_MAX / 1000 ? 10 : 0;

	return whole ? (part >> shift) * 1000 / (whole >> shift) : 0;
}

static void iova_show_gaps(struct facts *facts, const struct iova_space *space, const char *key,
			   const char *label, uint64_t start, uint64_t end)
{
	uint64_t free, largest, count, outside;
	g_autofree char *share = NULL;

	iova_gaps(space, start, end, &free, &largest, &count);
	outside = iova_per_mille(free - largest, free);
	facts_begin(facts, key, label);
	facts_size(facts, "free_bytes", "free", free);
	facts_u64(facts, "gaps", "gaps", count);
	facts_size(facts, "largest_gap_bytes", "largest gap", largest);
	facts_u64(facts, "fragmentation_per_mille", NULL, outside);
	share = g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %% of it", outside / 10,
				outside % 10);
	facts_text(facts, NULL, "outside the largest gap", share);
	facts_end(facts);
}

/* ---- the map ---- */

/** One letter for a cell: what fills most of it; lower case where it is not full. */
static char iova_letter(const struct iova_cell *cell)
{
	static const char full[USES] = {'L', 'Q', 'C', 'R'}, part[USES] = {'l', 'q', 'c', 'r'};
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

/** Draws @row. Returns whether anything is in it. */
static bool iova_draw_row(const struct iova_space *space, unsigned row, char *ret_text)
{
	bool used = false;

	for (unsigned column = 0; column < MAP_COLUMNS; column++) {
		ret_text[column] = iova_letter(&space->cells[row * MAP_COLUMNS + column]);
		used |= ret_text[column] != '.';
	}
	ret_text[MAP_COLUMNS] = '\0';
	return used;
}

/** Tells people of the @count rows before @row in which there is nothing. */
static void iova_show_empty(struct facts *facts, unsigned row, unsigned count)
{
	if (count)
		facts_line(facts, "0x%08" G_GINT64_MODIFIER "x to 0x%08" G_GINT64_MODIFIER "x: free",
			   (row - count) * MAP_ROW_BYTES, row * MAP_ROW_BYTES - 1);
}

/** People see rows in which there is nothing as one; programs get them all. */
static void iova_show_map(struct facts *facts, const struct iova_space *space)
{
	unsigned empty = 0;

	facts_list_begin(facts, "map_rows", "map below 4 GiB, 4 MiB a letter");
	facts_line(facts,
		   "l live, q queued, c cached, r reserved: what fills most of it; capital: full; . free");
	for (unsigned row = 0; row < MAP_ROWS; row++) {
		char text[MAP_COLUMNS + 1];
		bool used = iova_draw_row(space, row, text);

		if (used) {
			iova_show_empty(facts, row, empty);
			facts_line(facts, "0x%08" G_GINT64_MODIFIER "x %s", row * MAP_ROW_BYTES, text);
		}
		empty = used ? 0 : empty + 1;
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "first", NULL, row * MAP_ROW_BYTES);
		facts_text(facts, "cells", NULL, text);
		facts_end(facts);
	}
	iova_show_empty(facts, MAP_ROWS, empty);
	facts_list_end(facts);
}

/* ---- the caches ---- */

static uint64_t iova_place_cpu(const struct iova_place *place)
{
	return g_str_has_prefix(place->name, "cpu") ? g_ascii_strtoull(place->name + 3, NULL, 10)
						    : UINT64_MAX;
}

/** By CPU, its loaded magazine before the other; what is no CPU's comes last. */
static int iova_compare_places(const void *a, const void *b)
{
	const struct iova_place *x = *(const struct iova_place *const *)a,
				*y = *(const struct iova_place *const *)b;
	uint64_t x_cpu = iova_place_cpu(x), y_cpu = iova_place_cpu(y);

	return x_cpu == y_cpu ? strcmp(x->name, y->name) : x_cpu < y_cpu ? -1 : 1;
}

static void iova_show_counts(struct facts *facts, const char *label, const uint64_t counts[IOVA_ORDERS])
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		g_autofree char *count = counts[order] ? text_count(counts[order]) : g_strdup(".");

		g_string_append_printf(text, "%10s", count);
	}
	facts_line(facts, "%-14s%s", label, text->str);
}

static void iova_show_places_table(struct facts *facts, const struct iova_space *space)
{
	g_autoptr(GString) head = g_string_new(NULL);
	uint64_t all[IOVA_ORDERS] = {0};

	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		g_autofree char *size = text_size(space->granule_bytes << order);

		g_string_append_printf(head, "%10s", size);
	}
	facts_line(facts, "%-14s%s", "", head->str);
	for (guint i = 0; i < space->places->len; i++) {
		const struct iova_place *place = g_ptr_array_index(space->places, i);

		iova_show_counts(facts, place->name, place->counts);
		for (unsigned order = 0; order < IOVA_ORDERS; order++)
			all[order] += place->counts[order];
	}
	iova_show_counts(facts, "all", all);
}

static void iova_show_places(struct facts *facts, const struct iova_space *space)
{
	g_ptr_array_sort(space->places, iova_compare_places);
	facts_list_begin(facts, "caches", space->places->len ? "cached ranges, by place and size" : NULL);
	if (space->places->len)
		iova_show_places_table(facts, space);
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		for (guint i = 0; i < space->places->len; i++) {
			const struct iova_place *place = g_ptr_array_index(space->places, i);

			if (!place->counts[order])
				continue;
			facts_begin(facts, NULL, NULL);
			facts_u64(facts, "order", NULL, order);
			facts_text(facts, "place", NULL, place->name);
			facts_u64(facts, "count", NULL, place->counts[order]);
			facts_end(facts);
		}
	facts_list_end(facts);
}

/* ---- all of it ---- */

static char *iova_show(const struct iova_space *space, bool json)
{
	struct facts *facts = facts_new();
	char *text;

	facts_u64(facts, "domain", "domain", space->domain);
	for (unsigned use = 0; use < USES; use++) {
		facts_begin(facts, iova_nouns[use], iova_labels[use]);
		facts_u64(facts, "ranges", "ranges", space->ranges[use]);
		facts_size(facts, "range_bytes", "bytes", space->bytes[use]);
		facts_end(facts);
	}
	/* Page 0 is never handed out: it is the failure value. */
	iova_show_gaps(facts, space, "below_4g", "below 4 GiB", space->granule_bytes, WINDOW_BYTES);
	if (space->end > WINDOW_BYTES)
		iova_show_gaps(facts, space, "whole", "whole space", space->granule_bytes, space->end);
	iova_show_places(facts, space);
	iova_show_map(facts, space);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

/** Reads the file and prints; @wanted: the domain that the user named, or NULL. */
static int iova_stat(const struct cmd_common *common, const uint64_t *wanted)
{
	static const struct snapshot_visitor visitor = {.fact = iova_see_fact};
	struct iova_reading reading = {iova_space_new(common->args[0]), wanted};
	struct iova_space *space = reading.space;
	GError *error = NULL;
	int code = EXIT_DONE;

	if (snapshot_read(space->path, machine_sections, &visitor, &reading, &error) != 0) {
		code = cmd_fail_error(error);
	} else if (!space->found && wanted) {
		code = cmd_fail("%s: no domain %" G_GUINT64_FORMAT " in it", space->path, *wanted);
	} else if (!space->used->len) {
		/* Even an idle domain has reserved ranges, so this is no end.snap, or of a machine without an IOMMU. */
		code = cmd_fail("%s: no IOVAs in it; end.snap of a run has them", space->path);
	} else {
		g_autofree char *text = NULL;

		g_array_sort(space->used, iova_compare_ranges);
		text = iova_show(space, common->json);
		if (!cmd_print(text))
			code = EXIT_UNUSABLE;
	}
	iova_space_free(space);
	return code;
}

int cmd_iova_stat(const struct command *command, int argc, char **argv)
{
	g_autofree char *domain = NULL;
	const GOptionEntry entries[] = {
		{"domain", 0, 0, G_OPTION_ARG_FILENAME, &domain, "of several domains, which one", "N"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct cmd_common common;
	uint64_t wanted;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, 1, &common))
		return common.exit_code;
	if (domain && !text_parse_u64(domain, &wanted))
		code = cmd_fail("--domain=%s: must be a number", domain);
	else
		code = iova_stat(&common, domain ? &wanted : NULL);
	cmd_common_clear(&common);
	return code;
}
