/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_PAGE_INTERNAL_H
#define SIM_REPORT_PAGE_INTERNAL_H

/*
 * The parts of the page, for its own files:
 *
 *	page.c		the skeleton, its digests, the table of sections
 *	page-facts.c	groups of run.json as tables; what differs between two runs
 *	page-charts.c	charts: the element, its numbers as a table, and what the script draws
 *	page-load.c	sections: at a glance, time line, latency, CPU time
 *	page-iommu.c	sections: IOVA space, IOTLB, invalidation, findings
 *	page-config.c	sections: configuration, repeating the run, the rest
 *
 * Nobody else includes it.
 */
#include <gio/gio.h>

#include "sim/report/html.h"
#include "sim/report/page.h"

/** The files that are compiled in, which the build makes of page.gresource.xml; borrowed. */
GResource *page_get_resource(void);

struct page {
	struct results *const *runs;
	unsigned count;
	GString *html;	     /* the sections so far */
	GString *contents;   /* links to them */
	JsonBuilder *charts; /* inside the list of charts */
	GHashTable *shown;   /* names of the groups of run.json that a section has shown; borrowed */
};

/** A section's content; it may say that there is nothing, in a sentence. */
typedef void (*page_section)(struct page *page);

void page_differences(struct page *page);
void page_glance(struct page *page);
void page_time(struct page *page);
void page_latency(struct page *page);
void page_cpu(struct page *page);
void page_iova(struct page *page);
void page_iotlb(struct page *page);
void page_invalidation(struct page *page);
void page_events(struct page *page);
void page_leaks(struct page *page);
void page_config(struct page *page);
void page_repeat(struct page *page);
void page_rest(struct page *page);

/* ---- small parts ---- */

/** "A" or "B". */
const char *page_run_name(unsigned run);
/** A section has shown group @group of run.json; a name of ours. */
void page_shown(struct page *page, const char *group);
/** A sentence of our own. */
void page_note(struct page *page, const char *sentence);
/** The same of one run. */
void page_run_note(struct page *page, unsigned run, const char *sentence);
/** Opens and closes charts that find room beside each other. */
void page_charts_begin(struct page *page);
void page_charts_end(struct page *page);
/** Opens what is side by side where there are two runs, and in it the part of one; page_pair_end() closes either. */
void page_pair_begin(struct page *page);
void page_pair_run(struct page *page);
void page_pair_end(struct page *page);
/** Opens a table that can be scrolled by itself; @caption is ours. Rows follow; header row first. */
void page_table_begin(struct page *page, const char *caption);
void page_table_end(struct page *page);
/** The header cells of the runs' columns: "Value", or "A", "B" and "Change". */
void page_run_headers(struct page *page);
/** Appends how @b differs from @a, of @unit: "same", "+12 %", "from 0"; of percent, "+12.0 points". */
void page_change_cell(struct page *page, enum unit unit, double a, double b);

/* ---- groups of run.json ---- */

/** Shows the values of group @path ("replay", "trace.recording") as one table with @caption, and its lists and groups as
 *  tables below, in a disclosure. Returns whether any run has it. */
bool page_facts(struct page *page, const char *path, const char *caption);
/** Shows list @path alone. Returns whether any run has elements there. */
bool page_list(struct page *page, const char *path, const char *caption);
/** Takes a count of run @run. Returns false where there is none. */
bool page_u64(const struct page *page, unsigned run, const char *path, uint64_t *ret_value);
/** Shows which values of the two runs differ. */
void page_changed_facts(struct page *page);

/* ---- charts ---- */

/** Lines over the time of the run. */
struct time_chart {
	const char *id, *title;
	const char *about; /* one sentence: what one sees */
	enum unit unit;
	bool rate; /* a second, instead of in each stretch */
	bool log;
	bool holds; /* a value holds until the next */
	struct {
		enum timeline_column column;
		const char *label; /* NULL: no more */
	} series[3];
};

void page_time_chart(struct page *page, const struct time_chart *chart);
/** Appends a moment of the run, as exact as a stretch of @bin_ns asks for. */
void page_moment(GString *html, uint64_t ns, uint64_t bin_ns);

#define GRID_SERIES 8
#define GRID_LABELS 64

/** Numbers by label and series: bars, or lines over labels. What has no more room is left to the tables of facts. */
struct grid {
	const char *id, *title, *about, *kind; /* "bar", "line" */
	const char *head;		       /* of the column of labels */
	enum unit unit;
	bool log;
	unsigned series_count, label_count;
	char *series[GRID_SERIES], *labels[GRID_LABELS];
	double values[GRID_SERIES][GRID_LABELS]; /* NaN: none */
};

/** Puts a number; a label or a series that is new comes last. */
void grid_put(struct grid *grid, const char *series, const char *label, double value);
/** Puts the labels with the largest numbers first. */
void grid_sort(struct grid *grid);
/** Shows the chart, of run @run alone or, PAGE_RUNS_MAX, of all, and clears @grid. @most: the end of the scale, to be the
 *  same for both runs; 0: as the numbers have it. Nothing where it has no numbers. */
void page_grid(struct page *page, struct grid *grid, unsigned run, double most);
double grid_most(const struct grid *grid);
void grid_clear(struct grid *grid);

/* A figure: what the functions above are made of. */
void page_figure_begin(struct page *page, const char *id, const char *title, const char *about, unsigned run);
void page_figure_end(struct page *page);
/** The disclosure that holds the numbers; @many: too many for paper. */
void page_numbers_begin(struct page *page, const char *title, unsigned run, bool many);
void page_numbers_end(struct page *page);
/** Appends members of what the script is told. */
void chart_text(struct page *page, const char *name, const char *text);
void chart_u64(struct page *page, const char *name, uint64_t value);
void chart_bool(struct page *page, const char *name, bool value);
void chart_list(struct page *page, const char *name);
/** When the time line of @run begins, and where those of all runs begin and end. */
void chart_times(struct page *page, const struct timeline *timeline);
void chart_values(struct page *page, const struct timeline *timeline, enum timeline_column column);
/** Opens what the script is told of a chart; the caller adds members and ends the object. */
void page_chart_begin(struct page *page, const char *id, const char *kind, unsigned run);

#endif
