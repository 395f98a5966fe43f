/* SPDX-License-Identifier: MIT */
/*
 * Sections: differences and the run at a glance, its time line, latencies, CPU time.
 */
#include <math.h>
#include <string.h>

#include "sim/report/page-internal.h"

/* ---- at a glance ---- */

/* A number of the first table: part / whole, times what makes its unit. */
struct metric {
	const char *label;
	enum unit unit;
	const char *part, *whole; /* paths in run.json; whole NULL: the number itself */
	const char *more;	  /* another part of the whole, beside @part; NULL: @whole is all */
	double factor;
};

static const struct metric metrics[] = {
	{"I/Os replayed", UNIT_COUNT, "replay.ios", NULL, NULL, 1},
	{"Simulated time", UNIT_NS, "replay.end_ns", NULL, NULL, 1},
	{"I/Os a second, over all of it", UNIT_PER_S, "replay.ios", "replay.elapsed_ns", NULL, 1e9},
	{"Data a second, over all of it", UNIT_BYTES_PER_S, "replay.data_bytes", "replay.elapsed_ns", NULL,
	 1e9},
	{"Most in flight", UNIT_COUNT, "replay.max_in_flight", NULL, NULL, 1},
	{"CPU time an I/O", UNIT_NS, "cpu.busy_ns", "replay.ios", NULL, 1},
	{"IOVAs from a magazine", UNIT_PERCENT, "iova.cache_hits", "iova.cache_misses", "iova.cache_hits",
	 100},
	{"IOTLB lookups that missed", UNIT_PERCENT, "iommu.iotlb_misses", "iommu.iotlb_lookups", NULL, 100},
	{"Page-table entries read an I/O", UNIT_COUNT, "iommu.table_reads", "replay.ios", NULL, 1},
	{"Invalidation commands an I/O", UNIT_COUNT, "iommu.invalidations", "replay.ios", NULL, 1},
	{"Reachable after unmap, at most", UNIT_NS, "flush_queue.window_max_ns", NULL, NULL, 1},
	{"Ended with an error", UNIT_COUNT, "replay.errors", NULL, NULL, 1},
	{"Device accesses that faulted", UNIT_COUNT, "iommu.page_faults", NULL, NULL, 1},
	{"Violations", UNIT_COUNT, "violation_count", NULL, NULL, 1},
	{"Observations", UNIT_COUNT, "observation_count", NULL, NULL, 1},
};

static bool metric_value(const struct page *page, unsigned run, const struct metric *metric,
			 double *ret_value)
{
	uint64_t part, whole = 1, more = 0;

	if (!page_u64(page, run, metric->part, &part))
		return false;
	if (metric->whole && !page_u64(page, run, metric->whole, &whole))
		return false;
	if (metric->more && !page_u64(page, run, metric->more, &more))
		return false;
	if (!whole && !more)
		return false;
	*ret_value = (double)part * metric->factor / ((double)whole + (double)more);
	return true;
}

/** Returns the mean latency of all that ended well. */
static bool mean_latency(const struct page *page, unsigned run, double *ret_ns)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, "replay.latencies");
	double sum = 0, all = 0;

	for (unsigned i = 0; i < document_length(document, list); i++) {
		JsonNode *element = document_element(list, i);
		uint64_t count, mean;

		if (!document_u64(document, document_member(element, "count"), &count) ||
		    !document_u64(document, document_member(element, "latency_mean_ns"), &mean))
			continue;
		all += (double)count;
		sum += (double)count * (double)mean;
	}
	*ret_ns = all > 0 ? sum / all : 0;
	return all > 0;
}

/** @values: NaN where a run has none. */
static void glance_row(struct page *page, const char *label, enum unit unit, const double *values)
{
	html_printf(page->html, "<tr><th scope=\"row\">%s</th>", label);
	for (unsigned run = 0; run < page->count; run++) {
		if (isnan(values[run]))
			html_printf(page->html, "<td class=\"n\">\u2013</td>");
		else if (unit == UNIT_COUNT && values[run] == floor(values[run]) && values[run] < 0x1p53)
			html_cell_count(page->html, unit, (uint64_t)values[run]);
		else
			html_cell_number(page->html, unit, values[run]);
	}
	if (page->count > 1 && !isnan(values[0]) && !isnan(values[1]))
		page_change_cell(page, unit, values[0], values[1]);
	else if (page->count > 1)
		html_printf(page->html, "<td>%s</td>", isnan(values[0]) ? "only in B" : "only in A");
	html_printf(page->html, "</tr>\n");
}

static void glance_metric(struct page *page, const struct metric *metric)
{
	double values[PAGE_RUNS_MAX] = {NAN, NAN};
	bool any = false;

	for (unsigned run = 0; run < page->count; run++)
		any |= metric_value(page, run, metric, &values[run]);
	if (any)
		glance_row(page, metric->label, metric->unit, values);
}

static void glance_latency(struct page *page)
{
	double values[PAGE_RUNS_MAX] = {NAN, NAN};
	bool any = false;

	for (unsigned run = 0; run < page->count; run++) {
		double mean;

		if (!mean_latency(page, run, &mean))
			continue;
		values[run] = mean;
		any = true;
	}
	if (any)
		glance_row(page, "Latency, mean", UNIT_NS, values);
}

static void glance_table(struct page *page)
{
	page_table_begin(page, page->count > 1 ? "Both runs at a glance" : "The run at a glance");
	html_printf(page->html, "<tr><th scope=\"col\">What</th>");
	page_run_headers(page);
	for (unsigned i = 0; i < G_N_ELEMENTS(metrics); i++) {
		glance_metric(page, &metrics[i]);
		if (strcmp(metrics[i].part, "replay.max_in_flight") == 0)
			glance_latency(page);
	}
	page_table_end(page);
}

/** What anybody wants to know first. */
static void glance_verdict(struct page *page, unsigned run)
{
	uint64_t violations;

	if (!page_u64(page, run, "violation_count", &violations))
		return;
	html_printf(page->html, "<p class=\"verdict %s\">", violations ? "bad" : "good");
	if (page->count > 1)
		html_printf(page->html, "Run %s: ", page_run_name(run));
	if (violations)
		html_printf(page->html, "%" G_GUINT64_FORMAT " %s. ", violations,
			    violations == 1 ? "violation" : "violations");
	else
		html_printf(page->html, "No violations. ");
	html_printf(page->html, "<a href=\"#leaks\">%s</a></p>\n",
		    violations ? "What, and whose" : "Details");
}

void page_glance(struct page *page)
{
	for (unsigned run = 0; run < page->count; run++)
		glance_verdict(page, run);
	/* Two runs have the table under "Differences". */
	if (page->count == 1)
		glance_table(page);
	page_facts(page, "trace", "Trace");
	page_list(page, "traces", "Traces");
	page_facts(page, "replay", "Replay");
	page_shown(page, "trace");
	page_shown(page, "traces");
	page_shown(page, "replay");
}

/** Adds a row for key @key of @group where the runs differ in it. Returns whether they do. */
static bool config_row(struct page *page, const char *group, const char *key, bool first)
{
	const char *a = keyfile_get(page->runs[0]->machine, group, key);
	const char *b = keyfile_get(page->runs[1]->machine, group, key);

	if (g_strcmp0(a, b) == 0)
		return false;
	if (first) {
		page_table_begin(page, "Configuration that differs");
		html_printf(page->html, "<tr><th scope=\"col\">Key</th><th scope=\"col\">A</th>"
					"<th scope=\"col\">B</th></tr>\n");
	}
	html_printf(page->html, "<tr><th scope=\"row\">");
	html_text(page->html, group);
	html_printf(page->html, ".");
	html_text(page->html, key);
	html_printf(page->html, "</th><td>");
	html_text(page->html, a ? a : "\u2013");
	html_printf(page->html, "</td><td>");
	html_text(page->html, b ? b : "\u2013");
	html_printf(page->html, "</td></tr>\n");
	return true;
}

/** Adds rows for the keys of run @of, unless @beyond is set and the first run has them. */
static bool config_rows(struct page *page, unsigned of, bool any)
{
	const struct keyfile *machine = page->runs[of]->machine;
	g_auto(GStrv) groups = keyfile_groups(machine);

	for (char **group = groups; *group; group++) {
		g_auto(GStrv) keys = keyfile_keys(machine, *group);

		for (char **key = keys; *key; key++)
			if (of == 0 || !keyfile_get(page->runs[0]->machine, *group, *key))
				any |= config_row(page, *group, *key, !any);
	}
	return any;
}

/** Returns the options of the run, as it was called, that machine.ini does not hold; free with g_free(). */
static char *config_options(const struct page *page, unsigned run)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, "options");
	GString *text = g_string_new(NULL);

	for (unsigned i = 0; i < document_length(document, list); i++) {
		const char *option = document_text(document, document_element(list, i));

		if (option)
			g_string_append_printf(text, "%s%s", text->len ? " " : "", option);
	}
	return g_string_free(text, FALSE);
}

/** Says with which options the runs were made where these differ. Returns whether they do. */
static bool differences_options(struct page *page)
{
	g_autofree char *a = config_options(page, 0), *b = config_options(page, 1);

	if (strcmp(a, b) == 0)
		return false;
	page_table_begin(page, "Options that differ");
	html_printf(page->html,
		    "<tr><th scope=\"col\">Run</th><th scope=\"col\">Options of replay</th></tr>\n"
		    "<tr><th scope=\"row\">A</th><td>");
	html_text(page->html, *a ? a : "\u2013");
	html_printf(page->html, "</td></tr>\n<tr><th scope=\"row\">B</th><td>");
	html_text(page->html, *b ? b : "\u2013");
	html_printf(page->html, "</td></tr>\n");
	page_table_end(page);
	return true;
}

static void differences_config(struct page *page)
{
	bool any = false, options = differences_options(page);

	if (!page->runs[0]->machine || !page->runs[1]->machine) {
		page_note(page, "Configurations are not compared: a run has no machine.ini.");
		return;
	}
	for (unsigned run = 0; run < page->count; run++)
		any = config_rows(page, run, any);
	if (any)
		page_table_end(page);
	else
		page_note(page, options ? "Both runs have the same machine.ini."
					: "Both runs have the same configuration.");
}

void page_differences(struct page *page)
{
	glance_table(page);
	differences_config(page);
	page_changed_facts(page);
}

/* ---- over time ---- */

void page_time(struct page *page)
{
	static const struct time_chart charts[] = {
		{
			.id = "throughput",
			.title = "I/Os a second",
			.about = "I/Os that were issued and that ended, a second.",
			.unit = UNIT_PER_S,
			.rate = true,
			.series = {{TIMELINE_IOS, "ended"}, {TIMELINE_ISSUED, "issued"}},
		},
		{
			.id = "bandwidth",
			.title = "Data a second",
			.about = "Bytes that these moved, a second.",
			.unit = UNIT_BYTES_PER_S,
			.rate = true,
			.series = {{TIMELINE_BYTES, "data"}},
		},
		{
			.id = "latency-time",
			.title = "Latency",
			.about = "From submission to end, of what ended well in each stretch.",
			.unit = UNIT_NS,
			.log = true,
			.series = {{TIMELINE_LATENCY_MEAN, "mean"}, {TIMELINE_LATENCY_MAX, "max"}},
		},
		{
			.id = "in-flight",
			.title = "In flight",
			.about = "Requests in flight, the most at any moment of each stretch.",
			.unit = UNIT_COUNT,
			.series = {{TIMELINE_IN_FLIGHT_MAX, "at most"}},
		},
		{
			.id = "link",
			.title = "PCIe link",
			.about = "What went over the links of all controllers, a second.",
			.unit = UNIT_BYTES_PER_S,
			.rate = true,
			.series = {{TIMELINE_LINK_UP, "to memory"}, {TIMELINE_LINK_DOWN, "to the device"}},
		},
	};
	uint64_t rows = 0;

	page_charts_begin(page);
	for (unsigned i = 0; i < G_N_ELEMENTS(charts); i++)
		page_time_chart(page, &charts[i]);
	page_charts_end(page);
	page_facts(page, "device", "Device and its link");
	page_shown(page, "device");
	for (unsigned run = 0; run < page->count; run++)
		rows = MAX(rows, page->runs[run]->timeline ? page->runs[run]->timeline->rows : 0);
	if (rows > TIMELINE_BINS)
		html_printf(page->html,
			    "<p class=\"note\">timeline.csv has up to %" G_GUINT64_FORMAT
			    " rows; here neighbours are merged into at most %u stretches.</p>\n",
			    rows, TIMELINE_BINS);
}

/* ---- latency ---- */

/** Takes "latency_p99_ns" as "p99", "latency_max_ns" as "max"; NULL: no percentile. Free with g_free(). */
static char *percentile_name(const char *key)
{
	size_t len = strlen(key);
	bool ours = g_str_has_prefix(key, "latency_") && g_str_has_suffix(key, "_ns") &&
		    len > strlen("latency_") + strlen("_ns");
	char *name;

	if (!ours || strcmp(key, "latency_mean_ns") == 0)
		return NULL;
	name = g_strndup(key + strlen("latency_"), len - strlen("latency_") - strlen("_ns"));
	/* "p999": in a key there is no dot */
	if (name[0] == 'p' && strlen(name) == 4) {
		g_autofree char *digits = name;

		return g_strdup_printf("%.3s.%s", digits, digits + 3);
	}
	return name;
}

static void percentiles_put(struct document *document, struct grid *grid, JsonNode *element)
{
	const char *op = document_text(document, document_member(element, "op")), *key;
	JsonObjectIter iter;
	JsonNode *node;

	if (!op || !JSON_NODE_HOLDS_OBJECT(element))
		return;
	json_object_iter_init_ordered(&iter, json_node_get_object(element));
	while (json_object_iter_next_ordered(&iter, &key, &node)) {
		g_autofree char *name = percentile_name(key);
		uint64_t ns;

		if (name && document_u64(document, node, &ns))
			grid_put(grid, op, name, (double)ns);
	}
}

static void percentiles_read(const struct page *page, unsigned run, struct grid *grid)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, "replay.latencies");

	*grid = (struct grid){
		.id = "percentiles",
		.title = "Latency by percentile",
		.about = "So long or less took so many of the requests of each kind.",
		.kind = "line",
		.head = "Percentile",
		.unit = UNIT_NS,
		.log = true,
	};
	for (unsigned i = 0; i < document_length(document, list); i++)
		percentiles_put(document, grid, document_element(list, i));
}

/* How long the requests of each kind took, in four steps of each power of two. */
#define SHAPE_SLOTS 256

struct shape {
	unsigned count;
	const char *names[GRID_SERIES]; /* borrowed */
	uint64_t slots[GRID_SERIES][SHAPE_SLOTS], all[GRID_SERIES];
};

static unsigned shape_slot(uint64_t ns)
{
	unsigned power = ns ? 63 - (unsigned)__builtin_clzll(ns) : 0;

	return power < 2 ? power * 4 : power * 4 + (unsigned)(ns >> (power - 2) & 3);
}

/** Returns where a slot ends. */
static double shape_end(unsigned slot)
{
	return ldexp(1 + (slot + 1) % 4 / 4.0, (int)((slot + 1) / 4));
}

static void shape_put(struct document *document, struct shape *shape, JsonNode *element)
{
	const char *op = document_text(document, document_member(element, "op"));
	JsonNode *list = document_member(element, "histogram");
	unsigned at = shape->count;

	if (!op || at == GRID_SERIES || !document_length(document, list))
		return;
	shape->names[shape->count++] = op;
	for (unsigned i = 0; i < document_length(document, list); i++) {
		JsonNode *group = document_element(list, i);
		uint64_t upto_ns, count;

		if (!document_u64(document, document_member(group, "upto_ns"), &upto_ns) ||
		    !document_u64(document, document_member(group, "count"), &count))
			continue;
		shape->slots[at][shape_slot(upto_ns)] += count;
		shape->all[at] += count;
	}
}

/** Says from which slot to which all runs have something, and how many slots become one. Returns whether any has. */
static bool shape_range(const struct shape *shapes, unsigned count, unsigned *ret_first, unsigned *ret_last,
			unsigned *ret_merge_lg2)
{
	unsigned first = SHAPE_SLOTS, last = 0, merge_lg2 = 0;

	for (unsigned run = 0; run < count; run++)
		for (unsigned s = 0; s < shapes[run].count; s++)
			for (unsigned slot = 0; slot < SHAPE_SLOTS; slot++)
				if (shapes[run].slots[s][slot]) {
					first = MIN(first, slot);
					last = MAX(last, slot);
				}
	if (first > last)
		return false;
	while ((last >> merge_lg2) - (first >> merge_lg2) >= GRID_LABELS)
		merge_lg2++;
	*ret_first = first >> merge_lg2;
	*ret_last = last >> merge_lg2;
	*ret_merge_lg2 = merge_lg2;
	return true;
}

static void shape_grid(const struct shape *shape, struct grid *grid, unsigned first, unsigned last,
		       unsigned merge_lg2)
{
	*grid = (struct grid){
		.id = "histogram",
		.title = "Latency, how often",
		.about =
			"The share of the requests of each kind that took up to so long, and longer than the "
			"step before; steps grow with the time.",
		.kind = "line",
		.head = "Up to",
		.unit = UNIT_PERCENT,
	};
	for (unsigned at = first; at <= last; at++) {
		g_autofree char *label = html_number(UNIT_NS, shape_end(((at + 1) << merge_lg2) - 1));

		for (unsigned s = 0; s < shape->count; s++) {
			uint64_t count = 0;

			for (unsigned slot = at << merge_lg2; slot < (at + 1) << merge_lg2; slot++)
				count += shape->slots[s][slot];
			if (shape->all[s])
				grid_put(grid, shape->names[s], label,
					 100.0 * (double)count / (double)shape->all[s]);
		}
	}
}

static void latency_histogram(struct page *page)
{
	g_autofree struct shape *shapes = g_new0(struct shape, page->count);
	unsigned first, last, merge_lg2;
	struct grid grids[PAGE_RUNS_MAX];
	double most = 0;

	for (unsigned run = 0; run < page->count; run++) {
		struct document *document = page->runs[run]->run;
		JsonNode *list = document_find(document, "replay.latencies");

		for (unsigned i = 0; i < document_length(document, list); i++)
			shape_put(document, &shapes[run], document_element(list, i));
	}
	if (!shape_range(shapes, page->count, &first, &last, &merge_lg2))
		return;
	for (unsigned run = 0; run < page->count; run++) {
		shape_grid(&shapes[run], &grids[run], first, last, merge_lg2);
		most = MAX(most, grid_most(&grids[run]));
	}
	page_pair_begin(page);
	for (unsigned run = 0; run < page->count; run++) {
		page_pair_run(page);
		page_grid(page, &grids[run], run, most);
		page_pair_end(page);
	}
	page_pair_end(page);
}

static void latency_percentiles(struct page *page)
{
	struct grid grids[PAGE_RUNS_MAX];
	double most = 0;

	for (unsigned run = 0; run < page->count; run++) {
		percentiles_read(page, run, &grids[run]);
		most = MAX(most, grid_most(&grids[run]));
	}
	page_pair_begin(page);
	for (unsigned run = 0; run < page->count; run++) {
		page_pair_run(page);
		if (!grids[run].label_count)
			page_run_note(page, run,
				      "No latencies: nothing ended well, or the run had no device time "
				      "(--mode=asap).");
		page_grid(page, &grids[run], run, most);
		page_pair_end(page);
	}
	page_pair_end(page);
}

void page_latency(struct page *page)
{
	latency_histogram(page);
	latency_percentiles(page);
}

/* ---- CPU time ---- */

/** Puts what each element of list @path has as @value_key, for each of @per, into @grid. */
static void costs_put(const struct page *page, unsigned run, struct grid *grid, const char *path,
		      const char *value_key, double per)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, path);

	for (unsigned i = 0; i < document_length(document, list); i++) {
		JsonNode *element = document_element(list, i);
		const char *name = document_text(document, document_member(element, "name"));
		uint64_t value;

		if (name && document_u64(document, document_member(element, value_key), &value) && value) {
			g_autofree char *label = html_key_label(name);

			grid_put(grid, page->count > 1 ? page_run_name(run) : "time", label,
				 (double)value / per);
		}
	}
}

void page_cpu(struct page *page)
{
	static const struct time_chart busy = {
		.id = "cpu-time",
		.title = "CPU time a second",
		.about = "How long the CPUs, all together, were busy in each second of the run.",
		.unit = UNIT_NS,
		.rate = true,
		.series = {{TIMELINE_CPU_BUSY, "busy"}},
	};
	struct grid grid = {
		.id = "cpu",
		.title = "CPU time an I/O",
		.about = "What one I/O costs the CPUs, by kind of work.",
		.kind = "bar",
		.head = "Kind of work",
		.unit = UNIT_NS,
	};
	struct grid waits = {
		.id = "locks",
		.title = "Waiting for locks, an I/O",
		.about = "How long CPUs waited for each lock, for one I/O.",
		.kind = "bar",
		.head = "Lock",
		.unit = UNIT_NS,
	};
	uint64_t ios;

	for (unsigned run = 0; run < page->count; run++) {
		if (!page_u64(page, run, "replay.ios", &ios) || !ios)
			continue;
		costs_put(page, run, &grid, "cpu.work_kinds", "cost_ns", (double)ios);
		costs_put(page, run, &waits, "locks", "wait_sum_ns", (double)ios);
	}
	if (!grid.label_count)
		page_note(page, "No CPU time was counted.");
	page_time_chart(page, &busy);
	grid_sort(&grid);
	page_grid(page, &grid, PAGE_RUNS_MAX, 0);
	page_facts(page, "cpu", "CPU time");
	if (!waits.label_count)
		page_note(page, "No CPU waited for a lock.");
	grid_sort(&waits);
	page_grid(page, &waits, PAGE_RUNS_MAX, 0);
	page_list(page, "locks", "Locks");
	page_shown(page, "cpu");
	page_shown(page, "locks");
}
