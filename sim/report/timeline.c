/* SPDX-License-Identifier: MIT */
#include "sim/report/timeline.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/input.h"

#define FIELDS_MAX 64

const struct timeline_column_info timeline_columns[TIMELINE_COLUMNS] = {
	[TIMELINE_IOS] = {"ios", TIMELINE_SUM},
	[TIMELINE_BYTES] = {"bytes", TIMELINE_SUM},
	[TIMELINE_ERRORS] = {"errors", TIMELINE_SUM},
	[TIMELINE_IOVA_LIVE] = {"iova_live", TIMELINE_MOST},
	[TIMELINE_MAPPED_BYTES] = {"mapped_bytes", TIMELINE_MOST},
	[TIMELINE_PAGE_TABLE_PAGES] = {"page_table_pages", TIMELINE_MOST},
	[TIMELINE_ISSUED] = {"issued", TIMELINE_SUM},
	[TIMELINE_LATENCY_MEAN] = {"latency_mean_ns", TIMELINE_MEAN},
	[TIMELINE_LATENCY_MAX] = {"latency_max_ns", TIMELINE_MOST},
	[TIMELINE_CPU_BUSY] = {"cpu_busy_ns", TIMELINE_SUM},
	[TIMELINE_IOTLB_MISSES] = {"iotlb_misses", TIMELINE_SUM},
	[TIMELINE_TABLE_READS] = {"table_reads", TIMELINE_SUM},
	[TIMELINE_INVALIDATIONS] = {"invalidations", TIMELINE_SUM},
	[TIMELINE_LINK_UP] = {"link_up_bytes", TIMELINE_SUM},
	[TIMELINE_LINK_DOWN] = {"link_down_bytes", TIMELINE_SUM},
	[TIMELINE_IN_FLIGHT_MAX] = {"in_flight_max", TIMELINE_MOST},
};

struct reader {
	struct input *input;
	const char *path;
	struct timeline *timeline;
	unsigned fields;
	int end_field;		/* which field is end_ns */
	int column[FIELDS_MAX]; /* of each field; -1: none of ours */
	uint64_t end_ns;	/* of the row before */
	uint64_t row[TIMELINE_COLUMNS];
	bool measured; /* the row has latencies */
};

/** Reads a line of fields; the last must end in a newline too, else the file was cut. Returns as input_line(). */
static int reader_line(struct reader *reader, char ***ret_fields, GError **error)
{
	uint64_t before = input_offset(reader->input);
	g_autofree char *text = NULL;
	const char *line;
	size_t len;
	int got = input_line(reader->input, &line, &len, error);

	if (got <= 0)
		return got;
	if (input_offset(reader->input) == before + len)
		return sim_error_line(error, reader->path, input_line_number(reader->input),
				      "ends in the middle");
	if (memchr(line, '\0', len) || !g_utf8_validate(line, (gssize)len, NULL))
		return sim_error_line(error, reader->path, input_line_number(reader->input), "not text");
	text = g_strndup(line, len);
	*ret_fields = g_strsplit(text, ",", FIELDS_MAX + 1);
	return 1;
}

static int reader_name(struct reader *reader, unsigned field, const char *name, GError **error)
{
	reader->column[field] = -1;
	if (strcmp(name, "end_ns") == 0) {
		if (reader->end_field >= 0)
			return sim_error_line(error, reader->path, 1, "end_ns stands there twice");
		reader->end_field = (int)field;
		return 0;
	}
	for (int i = 0; i < TIMELINE_COLUMNS; i++) {
		if (strcmp(name, timeline_columns[i].name) != 0)
			continue;
		if (reader->timeline->present[i])
			return sim_error_line(error, reader->path, 1, "%s stands there twice", name);
		reader->timeline->present[i] = true;
		reader->column[field] = i;
	}
	return 0;
}

static int reader_header(struct reader *reader, GError **error)
{
	g_auto(GStrv) names = NULL;
	int got = reader_line(reader, &names, error);

	if (got < 0)
		return -1;
	reader->fields = got ? g_strv_length(names) : 0;
	reader->end_field = -1;
	if (reader->fields > FIELDS_MAX)
		return sim_error_line(error, reader->path, 1, "more than %d columns", FIELDS_MAX);
	for (unsigned i = 0; i < reader->fields; i++)
		if (reader_name(reader, i, names[i], error) < 0)
			return -1;
	if (reader->end_field < 0)
		return sim_error_line(error, reader->path, 1,
				      "not a time line: its first line has no end_ns");
	return 0;
}

static int reader_number(struct reader *reader, const char *text, uint64_t *ret_value, GError **error)
{
	if (text_parse_u64(text, ret_value))
		return 0;
	return sim_error_line(error, reader->path, input_line_number(reader->input),
			      "\"%.40s\" must be a count", text);
}

static bool column_is_latency(int column)
{
	return column == TIMELINE_LATENCY_MEAN || column == TIMELINE_LATENCY_MAX;
}

static int reader_row(struct reader *reader, char **fields, GError **error)
{
	uint64_t line = input_line_number(reader->input), value;

	reader->measured = true;
	if (g_strv_length(fields) != reader->fields)
		return sim_error_line(error, reader->path, line, "%u columns, not %u as in the first line",
				      g_strv_length(fields), reader->fields);
	for (unsigned i = 0; i < reader->fields; i++) {
		if (!*fields[i] && column_is_latency(reader->column[i])) {
			reader->measured = false;
			value = 0;
		} else if (reader_number(reader, fields[i], &value, error) < 0) {
			return -1;
		}
		if (reader->column[i] >= 0)
			reader->row[reader->column[i]] = value;
		if ((int)i != reader->end_field)
			continue;
		if (value <= reader->end_ns)
			return sim_error_line(error, reader->path, line, "time does not go on: %s",
					      fields[i]);
		reader->end_ns = value;
	}
	return 0;
}

/** Adds @value to stretch @bin. Returns false where the sum does not fit. */
static bool timeline_put(struct timeline *timeline, enum timeline_column column, unsigned bin, uint64_t value)
{
	uint64_t *into = &timeline->values[column][bin];

	if (timeline_columns[column].merge != TIMELINE_MOST)
		return !__builtin_add_overflow(*into, value, into);
	*into = MAX(*into, value);
	return true;
}

/** Makes one stretch of each pair. */
static bool timeline_halve(struct timeline *timeline)
{
	bool fits = !__builtin_mul_overflow(timeline->bin_ns, 2, &timeline->bin_ns);

	for (unsigned bin = 0; bin < TIMELINE_BINS; bin++) {
		unsigned into = bin / 2;
		bool known = timeline->known[bin];
		uint64_t weight = timeline->weights[bin];

		timeline->known[bin] = false;
		timeline->weights[bin] = 0;
		timeline->known[into] |= known;
		fits &= !__builtin_add_overflow(timeline->weights[into], weight, &timeline->weights[into]);
		for (unsigned column = 0; column < TIMELINE_COLUMNS; column++) {
			uint64_t value = timeline->values[column][bin];

			timeline->values[column][bin] = 0;
			fits &= timeline_put(timeline, column, into, value);
		}
	}
	return fits;
}

static bool timeline_add(struct timeline *timeline, uint64_t end_ns, const uint64_t *row, bool measured)
{
	uint64_t well = measured ? row[TIMELINE_IOS] - MIN(row[TIMELINE_IOS], row[TIMELINE_ERRORS]) : 0, bin;
	bool fits = true;

	while ((bin = (end_ns - 1 - timeline->begin_ns) / timeline->bin_ns) >= TIMELINE_BINS && fits)
		fits = timeline_halve(timeline);
	if (!fits)
		return false;
	timeline->bins = (unsigned)bin + 1;
	timeline->known[bin] = true;
	for (unsigned column = 0; column < TIMELINE_COLUMNS; column++) {
		uint64_t value = row[column];

		if (timeline_columns[column].merge == TIMELINE_MEAN)
			fits &= !__builtin_mul_overflow(value, well, &value);
		fits &= timeline_put(timeline, column, (unsigned)bin, value);
	}
	return fits && !__builtin_add_overflow(timeline->weights[bin], well, &timeline->weights[bin]);
}

static void timeline_finish(struct timeline *timeline)
{
	for (unsigned column = 0; column < TIMELINE_COLUMNS; column++)
		for (unsigned bin = 0; bin < timeline->bins; bin++)
			if (timeline_columns[column].merge == TIMELINE_MEAN && timeline->weights[bin])
				timeline->values[column][bin] /= timeline->weights[bin];
}

static int reader_rows(struct reader *reader, uint64_t row_ns, GError **error)
{
	struct timeline *timeline = reader->timeline;
	int got;

	for (;;) {
		g_auto(GStrv) fields = NULL;

		got = reader_line(reader, &fields, error);
		if (got <= 0)
			break;
		if (reader_row(reader, fields, error) < 0)
			return -1;
		if (!timeline->rows++) {
			timeline->bin_ns = row_ns;
			timeline->begin_ns = reader->end_ns - MIN(reader->end_ns, row_ns);
		}
		if (!timeline_add(timeline, reader->end_ns, reader->row, reader->measured))
			return sim_error_line(error, reader->path, input_line_number(reader->input),
					      "adds up to more than 64 bits hold");
	}
	return got;
}

struct timeline *timeline_load(const char *path, uint64_t row_ns, GError **error)
{
	struct reader reader = {.path = path};
	int result;

	g_assert(row_ns > 0);
	reader.input = input_open(path, error);
	if (!reader.input)
		return NULL;
	reader.timeline = g_new0(struct timeline, 1);
	result = reader_header(&reader, error);
	if (result == 0)
		result = reader_rows(&reader, row_ns, error);
	input_close(reader.input);
	if (result < 0) {
		g_free(reader.timeline);
		return NULL;
	}
	timeline_finish(reader.timeline);
	return reader.timeline;
}

bool timeline_has(const struct timeline *timeline, enum timeline_column column, unsigned bin)
{
	if (!timeline->present[column])
		return false;
	if (timeline_columns[column].merge == TIMELINE_SUM)
		return true;
	if (column_is_latency(column))
		return timeline->weights[bin] > 0;
	/* A row in which nothing ended is written as long as something is in flight. */
	return timeline->known[bin] || column == TIMELINE_IN_FLIGHT_MAX;
}
