/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "sim/report/page-internal.h"

/* ---- figures ---- */

static char *figure_id(const struct page *page, const char *id, unsigned run)
{
	if (page->count == 1 || run >= PAGE_RUNS_MAX)
		return g_strdup_printf("chart-%s", id);
	return g_strdup_printf("chart-%s-%c", id, 'a' + run);
}

void page_figure_begin(struct page *page, const char *id, const char *title, const char *about, unsigned run)
{
	g_autofree char *name = figure_id(page, id, run);
	g_autofree char *of = page->count > 1 && run < PAGE_RUNS_MAX
				      ? g_strdup_printf("%s, run %s", title, page_run_name(run))
				      : g_strdup(title);

	html_printf(page->html,
		    "<figure>\n<figcaption id=\"%s-title\">%s</figcaption>\n<p class=\"about\" "
		    "id=\"%s-about\">%s</p>\n"
		    "<div class=\"plot\"><canvas id=\"%s\" role=\"img\" aria-labelledby=\"%s-title\" "
		    "aria-describedby=\"%s-about\">The numbers are in the table below.</canvas></div>\n",
		    name, of, name, about, name, name, name);
}

void page_figure_end(struct page *page)
{
	html_printf(page->html, "</figure>\n");
}

void page_numbers_begin(struct page *page, const char *title, unsigned run, bool many)
{
	g_autofree char *of = page->count > 1 && run < PAGE_RUNS_MAX
				      ? g_strdup_printf("%s, run %s: numbers", title, page_run_name(run))
				      : g_strdup_printf("%s: numbers", title);

	html_printf(page->html, "<details%s>\n<summary>%s</summary>\n", many ? " class=\"long\"" : "", of);
	page_table_begin(page, of);
}

void page_numbers_end(struct page *page)
{
	page_table_end(page);
	html_printf(page->html, "</details>\n");
}

void chart_text(struct page *page, const char *name, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	json_builder_set_member_name(page->charts, name);
	json_builder_add_string_value(page->charts, valid);
}

void chart_u64(struct page *page, const char *name, uint64_t value)
{
	json_builder_set_member_name(page->charts, name);
	/* The script has doubles, and shows three digits. */
	if (value <= G_MAXINT64)
		json_builder_add_int_value(page->charts, (gint64)value);
	else
		json_builder_add_double_value(page->charts, (double)value);
}

static void chart_double(struct page *page, const char *name, double value)
{
	json_builder_set_member_name(page->charts, name);
	json_builder_add_double_value(page->charts, value);
}

void chart_bool(struct page *page, const char *name, bool value)
{
	json_builder_set_member_name(page->charts, name);
	json_builder_add_boolean_value(page->charts, value);
}

void chart_list(struct page *page, const char *name)
{
	json_builder_set_member_name(page->charts, name);
	json_builder_begin_array(page->charts);
}

void page_chart_begin(struct page *page, const char *id, const char *kind, unsigned run)
{
	g_autofree char *name = figure_id(page, id, run);

	json_builder_begin_object(page->charts);
	chart_text(page, "id", name);
	chart_text(page, "kind", kind);
}

/* ---- over time ---- */

void page_moment(GString *html, uint64_t ns, uint64_t bin_ns)
{
	int digits = bin_ns >= 1000000 ? 3 : bin_ns >= 1000 ? 6 : 9;
	uint64_t unit = digits == 3 ? 1000000 : digits == 6 ? 1000 : 1;

	html_printf(html,
		    "<data value=\"%" G_GUINT64_FORMAT "\">%" G_GUINT64_FORMAT ".%0*" G_GUINT64_FORMAT
		    " s</data>",
		    ns, ns / 1000000000, digits, ns % 1000000000 / unit);
}

static double time_value(const struct timeline *timeline, const struct time_chart *chart, unsigned series,
			 unsigned bin)
{
	double value = (double)timeline->values[chart->series[series].column][bin];

	return chart->rate ? value * 1e9 / (double)timeline->bin_ns : value;
}

static bool time_series_there(const struct timeline *timeline, const struct time_chart *chart,
			      unsigned series)
{
	return series < G_N_ELEMENTS(chart->series) && chart->series[series].label &&
	       timeline->present[chart->series[series].column];
}

static double time_most(const struct page *page, const struct time_chart *chart, unsigned run)
{
	const struct timeline *timeline = page->runs[run]->timeline;
	double most = 0;

	for (unsigned s = 0; time_series_there(timeline, chart, s); s++)
		for (unsigned bin = 0; bin < timeline->bins; bin++)
			if (timeline_has(timeline, chart->series[s].column, bin))
				most = MAX(most, time_value(timeline, chart, s, bin));
	return most;
}

/** Whether a run has something to show. @most: of all runs; nothing is 0 on a logarithmic scale. */
static bool time_chart_there(const struct page *page, const struct time_chart *chart, unsigned run,
			     double most)
{
	const struct timeline *timeline = page->runs[run]->timeline;

	return timeline && timeline->bins && time_series_there(timeline, chart, 0) &&
	       (chart->log ? time_most(page, chart, run) : most) > 0;
}

static void time_table(struct page *page, const struct time_chart *chart, unsigned run)
{
	const struct timeline *timeline = page->runs[run]->timeline;
	GString *html = page->html;

	page_numbers_begin(page, chart->title, run, true);
	html_printf(html, "<tr><th scope=\"col\">From</th>");
	for (unsigned s = 0; time_series_there(timeline, chart, s); s++)
		html_printf(html, "<th scope=\"col\" class=\"n\">%s</th>", chart->series[s].label);
	html_printf(html, "</tr>\n");
	for (unsigned bin = 0; bin < timeline->bins; bin++) {
		if (!timeline->known[bin])
			continue;
		html_printf(html, "<tr><th scope=\"row\">");
		page_moment(html, timeline->begin_ns + bin * timeline->bin_ns, timeline->bin_ns);
		html_printf(html, "</th>");
		for (unsigned s = 0; time_series_there(timeline, chart, s); s++) {
			enum timeline_column column = chart->series[s].column;

			if (!timeline_has(timeline, column, bin))
				html_printf(html, "<td class=\"n\">\u2013</td>");
			else if (chart->rate)
				html_cell_number(html, chart->unit, time_value(timeline, chart, s, bin));
			else
				html_cell_count(html, chart->unit, timeline->values[column][bin]);
		}
		html_printf(html, "</tr>\n");
	}
	page_numbers_end(page);
}

/** When the time line begins, and where it ends. */
void chart_times(struct page *page, const struct timeline *timeline)
{
	uint64_t begin_ns = UINT64_MAX, end_ns = 0;

	for (unsigned run = 0; run < page->count; run++) {
		const struct timeline *at = page->runs[run]->timeline;

		if (!at || !at->bins)
			continue;
		begin_ns = MIN(begin_ns, at->begin_ns);
		end_ns = MAX(end_ns, at->begin_ns + at->bins * at->bin_ns);
	}
	chart_u64(page, "begin_ns", timeline->begin_ns);
	chart_u64(page, "bin_ns", timeline->bin_ns);
	chart_u64(page, "from_ns", begin_ns);
	chart_u64(page, "to_ns", end_ns);
}

void chart_values(struct page *page, const struct timeline *timeline, enum timeline_column column)
{
	chart_list(page, "values");
	for (unsigned bin = 0; bin < timeline->bins; bin++) {
		if (!timeline_has(timeline, column, bin))
			json_builder_add_null_value(page->charts);
		else if (timeline->values[column][bin] <= G_MAXINT64)
			json_builder_add_int_value(page->charts, (gint64)timeline->values[column][bin]);
		else
			json_builder_add_double_value(page->charts, (double)timeline->values[column][bin]);
	}
	json_builder_end_array(page->charts);
}

static void time_script(struct page *page, const struct time_chart *chart, unsigned run, double most)
{
	const struct timeline *timeline = page->runs[run]->timeline;

	page_chart_begin(page, chart->id, "time", run);
	chart_text(page, "unit", unit_names[chart->unit]);
	chart_bool(page, "rate", chart->rate);
	chart_bool(page, "log", chart->log);
	chart_double(page, "most", most);
	chart_times(page, timeline);
	chart_list(page, "series");
	for (unsigned s = 0; time_series_there(timeline, chart, s); s++) {
		json_builder_begin_object(page->charts);
		chart_text(page, "label", chart->series[s].label);
		chart_bool(page, "holds", chart->holds);
		chart_values(page, timeline, chart->series[s].column);
		json_builder_end_object(page->charts);
	}
	json_builder_end_array(page->charts);
	json_builder_end_object(page->charts);
}

/** Says why a chart is not there. */
static void time_lacking(struct page *page, const struct time_chart *chart, unsigned run)
{
	const struct timeline *timeline = page->runs[run]->timeline;
	struct document *document = page->runs[run]->run;
	bool asap = g_strcmp0(document_text(document, document_find(document, "replay.mode")), "asap") == 0;
	g_autofree char *column =
		timeline && time_series_there(timeline, chart, 0)
			? g_strdup_printf("it is 0 all the time%s",
					  asap ? " (--mode=asap has no device and no latencies)" : "")
			: g_strdup_printf("timeline.csv has no column %s",
					  timeline_columns[chart->series[0].column].name);
	g_autofree char *sentence = g_strdup_printf("%s: left out, %s.", chart->title,
						    !timeline	      ? "there is no timeline.csv"
						    : !timeline->bins ? "timeline.csv has no rows"
								      : column);

	page_run_note(page, run, sentence);
}

void page_time_chart(struct page *page, const struct time_chart *chart)
{
	double most = 0;

	for (unsigned run = 0; run < page->count; run++)
		if (page->runs[run]->timeline)
			most = MAX(most, time_most(page, chart, run));
	page_pair_begin(page);
	for (unsigned run = 0; run < page->count; run++) {
		page_pair_run(page);
		if (time_chart_there(page, chart, run, most)) {
			page_figure_begin(page, chart->id, chart->title, chart->about, run);
			time_table(page, chart, run);
			page_figure_end(page);
			time_script(page, chart, run, most);
		} else {
			time_lacking(page, chart, run);
		}
		page_pair_end(page);
	}
	page_pair_end(page);
}

/* ---- by label ---- */

/** Returns where @name is in @names, put there if it is new; @max where there is no room. */
static unsigned grid_index(char **names, unsigned *count, unsigned max, const char *name)
{
	unsigned i;

	for (i = 0; i < *count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	if (i < max)
		names[(*count)++] = g_strdup(name);
	return i;
}

void grid_put(struct grid *grid, const char *series, const char *label, double value)
{
	unsigned known_series = grid->series_count, known_labels = grid->label_count;
	unsigned s = grid_index(grid->series, &grid->series_count, GRID_SERIES, series);
	unsigned l = grid_index(grid->labels, &grid->label_count, GRID_LABELS, label);

	for (unsigned i = known_series; i < grid->series_count; i++)
		for (unsigned j = 0; j < GRID_LABELS; j++)
			grid->values[i][j] = NAN;
	for (unsigned j = known_labels; j < grid->label_count; j++)
		for (unsigned i = 0; i < GRID_SERIES; i++)
			grid->values[i][j] = NAN;
	if (s < GRID_SERIES && l < GRID_LABELS)
		grid->values[s][l] = value;
}

/** Returns the largest number of a label; a NaN is not. */
static double grid_label_most(const struct grid *grid, unsigned label)
{
	double most = 0;

	for (unsigned s = 0; s < grid->series_count; s++)
		if (grid->values[s][label] > most)
			most = grid->values[s][label];
	return most;
}

double grid_most(const struct grid *grid)
{
	double most = 0;

	for (unsigned l = 0; l < grid->label_count; l++)
		most = MAX(most, grid_label_most(grid, l));
	return most;
}

void grid_sort(struct grid *grid)
{
	for (unsigned l = 1; l < grid->label_count; l++) {
		for (unsigned at = l; at > 0 && grid_label_most(grid, at) > grid_label_most(grid, at - 1);
		     at--) {
			char *label = grid->labels[at];

			grid->labels[at] = grid->labels[at - 1];
			grid->labels[at - 1] = label;
			for (unsigned s = 0; s < grid->series_count; s++) {
				double value = grid->values[s][at];

				grid->values[s][at] = grid->values[s][at - 1];
				grid->values[s][at - 1] = value;
			}
		}
	}
}

void grid_clear(struct grid *grid)
{
	for (unsigned s = 0; s < grid->series_count; s++)
		g_free(grid->series[s]);
	for (unsigned l = 0; l < grid->label_count; l++)
		g_free(grid->labels[l]);
	grid->series_count = grid->label_count = 0;
}

static void grid_table(struct page *page, const struct grid *grid, unsigned run)
{
	GString *html = page->html;

	page_numbers_begin(page, grid->title, run, false);
	html_printf(html, "<tr><th scope=\"col\">%s</th>", grid->head);
	for (unsigned s = 0; s < grid->series_count; s++) {
		html_printf(html, "<th scope=\"col\" class=\"n\">");
		html_text(html, grid->series[s]);
		html_printf(html, "</th>");
	}
	html_printf(html, "</tr>\n");
	for (unsigned l = 0; l < grid->label_count; l++) {
		html_printf(html, "<tr><th scope=\"row\">");
		html_text(html, grid->labels[l]);
		html_printf(html, "</th>");
		for (unsigned s = 0; s < grid->series_count; s++) {
			if (isnan(grid->values[s][l]))
				html_printf(html, "<td class=\"n\">\u2013</td>");
			else
				html_cell_number(html, grid->unit, grid->values[s][l]);
		}
		html_printf(html, "</tr>\n");
	}
	page_numbers_end(page);
}

static void grid_script(struct page *page, const struct grid *grid, unsigned run, double most)
{
	page_chart_begin(page, grid->id, grid->kind, run);
	chart_text(page, "unit", unit_names[grid->unit]);
	chart_bool(page, "log", grid->log);
	chart_double(page, "most", most);
	chart_list(page, "labels");
	for (unsigned l = 0; l < grid->label_count; l++) {
		g_autofree char *label =
			g_utf8_substring(grid->labels[l], 0, MIN(g_utf8_strlen(grid->labels[l], -1), 60));

		json_builder_add_string_value(page->charts, label);
	}
	json_builder_end_array(page->charts);
	chart_list(page, "series");
	for (unsigned s = 0; s < grid->series_count; s++) {
		json_builder_begin_object(page->charts);
		chart_text(page, "label", grid->series[s]);
		chart_list(page, "values");
		for (unsigned l = 0; l < grid->label_count; l++)
			if (isnan(grid->values[s][l]))
				json_builder_add_null_value(page->charts);
			else
				json_builder_add_double_value(page->charts, grid->values[s][l]);
		json_builder_end_array(page->charts);
		json_builder_end_object(page->charts);
	}
	json_builder_end_array(page->charts);
	json_builder_end_object(page->charts);
}

void page_grid(struct page *page, struct grid *grid, unsigned run, double most)
{
	if (grid->label_count) {
		page_figure_begin(page, grid->id, grid->title, grid->about, run);
		grid_table(page, grid, run);
		page_figure_end(page);
		grid_script(page, grid, run, most);
	}
	grid_clear(grid);
}
