/* SPDX-License-Identifier: MIT */
/*
 * Sections: IOVA space, IOTLB, invalidation, what happened when, what was left.
 */
#include <string.h>

#include "sim/report/page-internal.h"

#define EVENTS_MAX 500 /* of each list, in a chart */

/** How a bar is called that stands for a run. */
static const char *bar_series(const struct page *page, unsigned run)
{
	return page->count > 1 ? page_run_name(run) : "share";
}

/* ---- IOVA space ---- */

/** Adds the share that @hits has of itself and @misses. */
static void rate_put(const struct page *page, unsigned run, struct grid *grid, const char *label,
		     uint64_t hits, uint64_t misses)
{
	if (hits || misses)
		grid_put(grid, bar_series(page, run), label,
			 100.0 * (double)hits / ((double)hits + (double)misses));
}

/** By size, where the run says so: an order is a number of granules, a power of two. */
static void orders_put(const struct page *page, unsigned run, struct grid *grid)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, "iova.orders");

	for (unsigned i = 0; i < document_length(document, list); i++) {
		JsonNode *element = document_element(list, i);
		uint64_t order, hits, misses;
		g_autofree char *label = NULL;

		if (!document_u64(document, document_member(element, "order"), &order) || order > 63 ||
		    !document_u64(document, document_member(element, "cache_hits"), &hits) ||
		    !document_u64(document, document_member(element, "cache_misses"), &misses))
			continue;
		label = g_strdup_printf("%" G_GUINT64_FORMAT " granules", UINT64_C(1) << order);
		rate_put(page, run, grid, order ? label : "1 granule", hits, misses);
	}
}

static void iova_rates(struct page *page)
{
	struct grid grid = {
		.id = "iova-cache",
		.title = "IOVAs from a magazine",
		.about = "The share of allocations that a per-CPU magazine served; the others went to the "
			 "tree.",
		.kind = "bar",
		.head = "Size",
		.unit = UNIT_PERCENT,
	};

	for (unsigned run = 0; run < page->count; run++) {
		uint64_t hits, misses;

		if (page_u64(page, run, "iova.cache_hits", &hits) &&
		    page_u64(page, run, "iova.cache_misses", &misses))
			rate_put(page, run, &grid, "all sizes", hits, misses);
		orders_put(page, run, &grid);
	}
	page_grid(page, &grid, PAGE_RUNS_MAX, 100);
}

void page_iova(struct page *page)
{
	static const struct time_chart charts[] = {
		{
			.id = "iova-live",
			.title = "IOVAs held",
			.about = "Ranges of IOVA space that are held, the most of each stretch.",
			.unit = UNIT_COUNT,
			.holds = true,
			.series = {{TIMELINE_IOVA_LIVE, "held"}},
		},
		{
			.id = "mapped",
			.title = "Mapped bytes",
			.about = "What a device can reach through the page tables, the most of each stretch.",
			.unit = UNIT_BYTES,
			.holds = true,
			.series = {{TIMELINE_MAPPED_BYTES, "mapped"}},
		},
		{
			.id = "tables",
			.title = "Page-table pages",
			.about = "Pages that hold the page tables, the most of each stretch.",
			.unit = UNIT_COUNT,
			.holds = true,
			.series = {{TIMELINE_PAGE_TABLE_PAGES, "pages"}},
		},
	};

	page_charts_begin(page);
	for (unsigned i = 0; i < G_N_ELEMENTS(charts); i++)
		page_time_chart(page, &charts[i]);
	page_charts_end(page);
	iova_rates(page);
	if (!page_facts(page, "iova", "IOVA allocator"))
		page_note(page, "No IOVA allocator: addresses are not translated.");
	page_facts(page, "bounce_buffers", "Bounce buffers");
	page_shown(page, "iova");
	page_shown(page, "bounce_buffers");
}

/* ---- IOTLB ---- */

/** What a list of the IOTLB's counters is per I/O. */
static void lookups_put(const struct page *page, unsigned run, struct grid *grid)
{
	static const struct {
		const char *path, *label;
	} rows[] = {
		{"iommu.iotlb_lookups", "IOTLB lookups"},
		{"iommu.iotlb_misses", "IOTLB misses"},
		{"iommu.walk_cache_hits", "walk-cache hits"},
		{"iommu.table_reads", "entries read by walks"},
		{"iommu.device_tlb_lookups", "lookups in the device"},
		{"iommu.device_tlb_misses", "asked for by the device"},
	};
	uint64_t ios, value, hits;

	if (!page_u64(page, run, "replay.ios", &ios) || !ios)
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (page_u64(page, run, rows[i].path, &value))
			grid_put(grid, page->count > 1 ? page_run_name(run) : "an I/O", rows[i].label,
				 (double)value / (double)ios);
	if (page_u64(page, run, "iommu.iotlb_misses", &value) &&
	    page_u64(page, run, "iommu.walk_cache_hits", &hits))
		grid_put(grid, page->count > 1 ? page_run_name(run) : "an I/O", "walk-cache misses",
			 (double)(value - MIN(value, hits)) / (double)ios);
}

void page_iotlb(struct page *page)
{
	static const struct time_chart chart = {
		.id = "walks",
		.title = "Misses and walks",
		.about = "IOTLB misses, and page-table entries that walks read from memory: the fewer for a "
			 "miss, the more the walk caches knew.",
		.unit = UNIT_PER_S,
		.rate = true,
		.series = {{TIMELINE_IOTLB_MISSES, "IOTLB misses"}, {TIMELINE_TABLE_READS, "entries read"}},
	};
	struct grid grid = {
		.id = "iotlb",
		.title = "Translations an I/O",
		.about = "IOTLB lookups and misses of one I/O, and how many page-table entries walks read "
			 "for it. A walk that "
			 "finds its upper levels in the walk caches reads one entry.",
		.kind = "bar",
		.head = "What",
		.unit = UNIT_COUNT,
	};

	for (unsigned run = 0; run < page->count; run++)
		lookups_put(page, run, &grid);
	if (!grid.label_count)
		page_note(
			page,
			"No translations were counted: no IOMMU translates, or the run had no device time.");
	page_grid(page, &grid, PAGE_RUNS_MAX, 0);
	page_time_chart(page, &chart);
	page_facts(page, "iommu", "IOMMU");
	page_shown(page, "iommu");
}

/* ---- invalidation ---- */

static void windows_put(const struct page *page, unsigned run, struct grid *grid)
{
	struct document *document = page->runs[run]->run;
	JsonNode *group = document_find(document, "flush_queue");
	JsonObjectIter iter;
	const char *key;
	JsonNode *node;

	if (!group || !JSON_NODE_HOLDS_OBJECT(group))
		return;
	json_object_iter_init_ordered(&iter, json_node_get_object(group));
	while (json_object_iter_next_ordered(&iter, &key, &node)) {
		size_t len = strlen(key);
		g_autofree char *label = NULL;
		uint64_t ns;

		if (!g_str_has_prefix(key, "window_") || !g_str_has_suffix(key, "_ns") ||
		    len < sizeof("window__ns") || !document_u64(document, node, &ns))
			continue;
		label = g_strndup(key + strlen("window_"), len - strlen("window__ns"));
		grid_put(grid, page->count > 1 ? page_run_name(run) : "time", label, (double)ns);
	}
}

void page_invalidation(struct page *page)
{
	static const struct time_chart chart = {
		.id = "invalidations",
		.title = "Invalidation commands a second",
		.about = "Commands that were queued to the IOMMU, a second.",
		.unit = UNIT_PER_S,
		.rate = true,
		.series = {{TIMELINE_INVALIDATIONS, "commands"}},
	};
	struct grid grid = {
		.id = "stale",
		.title = "Stale window",
		.about = "How long ranges could still be reached by a device after they were unmapped, until "
			 "the flush "
			 "that ended it.",
		.kind = "bar",
		.head = "Window",
		.unit = UNIT_NS,
	};

	page_time_chart(page, &chart);
	for (unsigned run = 0; run < page->count; run++) {
		struct document *document = page->runs[run]->run;
		const char *mode = document_text(document, document_find(document, "machine.iommu_mode"));

		windows_put(page, run, &grid);
		if (mode && !document_find(document, "flush_queue"))
			page_run_note(page, run,
				      strcmp(mode, "strict") == 0
					      ? "No stale window: in strict mode an unmap returns when its "
						"invalidation is done."
					      : "No stale window: there is no flush queue.");
	}
	page_grid(page, &grid, PAGE_RUNS_MAX, 0);
	page_facts(page, "flush_queue", "Flush queue");
	page_shown(page, "flush_queue");
}

/* ---- what happened when ---- */

struct event_list {
	const char *path, *label, *key; /* what an element is called by */
};

static const struct event_list event_lists[] = {
	{"violations", "violations", "kind"},
	{"observations", "observations", "kind"},
	{"firings", "faults that were injected", "point"},
};

/** Adds the points of @list, [time, name], to what the script is told. Returns how many. */
static unsigned events_points(struct page *page, unsigned run, const struct event_list *list)
{
	struct document *document = page->runs[run]->run;
	JsonNode *elements = document_find(document, list->path);
	unsigned length = MIN(document_length(document, elements), EVENTS_MAX), count = 0;

	for (unsigned i = 0; i < length; i++) {
		JsonNode *element = document_element(elements, i);
		const char *name = document_text(document, document_member(element, list->key));
		uint64_t time_ns;

		if (!name || !document_u64(document, document_member(element, "time_ns"), &time_ns))
			continue;
		json_builder_begin_array(page->charts);
		json_builder_add_double_value(page->charts, (double)time_ns);
		json_builder_add_string_value(page->charts, name);
		json_builder_end_array(page->charts);
		count++;
	}
	return count;
}

static void events_chart(struct page *page, unsigned run)
{
	const struct timeline *timeline = page->runs[run]->timeline;

	page_chart_begin(page, "events", "events", run);
	chart_times(page, timeline);
	chart_values(page, timeline, TIMELINE_IOS);
	chart_list(page, "series");
	for (unsigned i = 0; i < G_N_ELEMENTS(event_lists); i++) {
		json_builder_begin_object(page->charts);
		chart_text(page, "label", event_lists[i].label);
		chart_list(page, "points");
		events_points(page, run, &event_lists[i]);
		json_builder_end_array(page->charts);
		json_builder_end_object(page->charts);
	}
	json_builder_end_array(page->charts);
	json_builder_end_object(page->charts);
}

static void events_table(struct page *page, unsigned run)
{
	const struct timeline *timeline = page->runs[run]->timeline;

	page_numbers_begin(page, "Errors of I/Os", run, true);
	html_printf(page->html,
		    "<tr><th scope=\"col\">From</th><th scope=\"col\" class=\"n\">I/Os that ended</th>"
		    "<th scope=\"col\" class=\"n\">with an error</th></tr>\n");
	for (unsigned bin = 0; bin < timeline->bins; bin++) {
		if (!timeline->known[bin])
			continue;
		html_printf(page->html, "<tr><th scope=\"row\">");
		page_moment(page->html, timeline->begin_ns + bin * timeline->bin_ns, timeline->bin_ns);
		html_printf(page->html, "</th>");
		html_cell_count(page->html, UNIT_COUNT, timeline->values[TIMELINE_IOS][bin]);
		html_cell_count(page->html, UNIT_COUNT, timeline->values[TIMELINE_ERRORS][bin]);
		html_printf(page->html, "</tr>\n");
	}
	page_numbers_end(page);
}

/** Says how many of each there are: a chart does not, where they lie on one another. */
static void events_count(struct page *page, unsigned run)
{
	html_printf(page->html, "<p class=\"note\">");
	if (page->count > 1)
		html_printf(page->html, "Run %s: ", page_run_name(run));
	for (unsigned i = 0; i < G_N_ELEMENTS(event_lists); i++) {
		struct document *document = page->runs[run]->run;
		unsigned length = document_length(document, document_find(document, event_lists[i].path));

		html_printf(page->html, "%s%s: %u", i ? ", " : "", event_lists[i].label, length);
		if (length > EVENTS_MAX)
			html_printf(page->html, " (the first %d are drawn)", EVENTS_MAX);
	}
	html_printf(page->html, ".</p>\n");
}

void page_events(struct page *page)
{
	page_pair_begin(page);
	for (unsigned run = 0; run < page->count; run++) {
		const struct timeline *timeline = page->runs[run]->timeline;

		page_pair_run(page);
		if (timeline && timeline->bins && timeline->present[TIMELINE_IOS]) {
			page_figure_begin(page, "events", "What happened when",
					  "Injected faults, violations and observations at their time, above "
					  "the I/Os a "
					  "second (grey).",
					  run);
			events_table(page, run);
			page_figure_end(page);
			events_chart(page, run);
		} else {
			page_run_note(page, run,
				      "What happened when: left out, there are no rows of timeline.csv.");
		}
		events_count(page, run);
		page_pair_end(page);
	}
	page_pair_end(page);
	page_list(page, "fault_rules", "Fault rules");
	page_list(page, "firings", "Faults that were injected");
	page_list(page, "observations", "Observations: oddities of the modelled kernel");
	page_shown(page, "fault_rules");
	page_shown(page, "firings");
	page_shown(page, "observations");
	page_shown(page, "observation_count");
}

/* ---- what was left ---- */

/** Counts the violations by kind. */
static void leaks_put(const struct page *page, unsigned run, struct grid *grid)
{
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, "violations");
	g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);

	for (unsigned i = 0; i < document_length(document, list); i++) {
		const char *kind =
			document_text(document, document_member(document_element(list, i), "kind"));
		unsigned count;

		if (!kind)
			continue;
		count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, kind)) + 1;
		g_hash_table_insert(counts, (void *)kind, GUINT_TO_POINTER(count));
		grid_put(grid, page->count > 1 ? page_run_name(run) : "violations", kind, count);
	}
}

void page_leaks(struct page *page)
{
	struct grid grid = {
		.id = "leaks",
		.title = "Violations by kind",
		.about = "What DMA debugging or the ledger of references would call wrong; those that are "
			 "listed below.",
		.kind = "bar",
		.head = "Kind",
		.unit = UNIT_COUNT,
	};

	for (unsigned run = 0; run < page->count; run++) {
		uint64_t count, listed;

		leaks_put(page, run, &grid);
		if (!page_u64(page, run, "violation_count", &count))
			continue;
		listed = document_length(page->runs[run]->run,
					 document_find(page->runs[run]->run, "violations"));
		if (count > listed)
			html_printf(page->html,
				    "<p class=\"note\">%s%s%" G_GUINT64_FORMAT
				    " violations, of which run.json "
				    "has the first of each kind: %" G_GUINT64_FORMAT ".</p>\n",
				    page->count > 1 ? page_run_name(run) : "", page->count > 1 ? ": " : "",
				    count, listed);
	}
	if (!grid.label_count)
		page_note(page, "Nothing: after every device was released no mapping, no IOVA and no "
				"reference was left, "
				"and no access went wrong.");
	page_grid(page, &grid, PAGE_RUNS_MAX, 0);
	page_list(page, "violations", "Violations, and where the thing was acquired");
	page_note(page, "The whole state that was left is in teardown.snap: <code>iommusim snapshot "
			"show</code> prints it, "
			"<code>iommusim whois</code> tells the life of an address.");
	page_shown(page, "violations");
	page_shown(page, "violation_count");
}
