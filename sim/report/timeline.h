/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_TIMELINE_H
#define SIM_REPORT_TIMELINE_H

/*
 * timeline.csv, however long, as at most TIMELINE_BINS stretches of equal length.
 *
 * Rows are put into stretches as long as a row; when these do not suffice, each pair of them becomes one twice as long. So
 * memory is constant, no row is lost, and what is added up stays exact. The file leaves out rows in which nothing happened:
 * of such a stretch it is known that there was no I/O, not what was mapped.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define TIMELINE_BINS 320u

/** What a column says; columns that are not in this list are passed over. */
enum timeline_column {
	TIMELINE_IOS,
	TIMELINE_BYTES,
	TIMELINE_ERRORS,
	TIMELINE_IOVA_LIVE,
	TIMELINE_MAPPED_BYTES,
	TIMELINE_PAGE_TABLE_PAGES,
	TIMELINE_ISSUED,
	TIMELINE_LATENCY_MEAN,
	TIMELINE_LATENCY_MAX,
	TIMELINE_CPU_BUSY,
	TIMELINE_IOTLB_MISSES,
	TIMELINE_TABLE_READS,
	TIMELINE_INVALIDATIONS,
	TIMELINE_LINK_UP,
	TIMELINE_LINK_DOWN,
	TIMELINE_IN_FLIGHT_MAX,
	TIMELINE_COLUMNS,
};

/** How the rows of a stretch become one number. */
enum timeline_merge {
	TIMELINE_SUM,  /* of what happened; 0 where nothing did */
	TIMELINE_MOST, /* of what held at the end of each row, or was the most in it */
	TIMELINE_MEAN, /* of what ended well */
};

/** Per column: its name in the file, and how it is merged. */
extern const struct timeline_column_info {
	const char *name;
	enum timeline_merge merge;
} timeline_columns[TIMELINE_COLUMNS];

struct timeline {
	uint64_t begin_ns, bin_ns; /* stretch i: from begin_ns + i * bin_ns on */
	uint64_t rows;		   /* of the file */
	unsigned bins;		   /* up to the last that has a row */
	bool present[TIMELINE_COLUMNS];
	bool known[TIMELINE_BINS]; /* a row lies in it */
	uint64_t values[TIMELINE_COLUMNS][TIMELINE_BINS];
	uint64_t weights[TIMELINE_BINS]; /* of the means: what ended well */
};

/** Reads @path, whose rows are @row_ns (not 0) long. Returns NULL with "FILE:LINE: …" in *@error. Free with g_free(). */
struct timeline *timeline_load(const char *path, uint64_t row_ns, GError **error);

/** Returns whether @column has a value in stretch @bin: nobody knows how long requests took where none ended. */
bool timeline_has(const struct timeline *timeline, enum timeline_column column, unsigned bin);

#endif
