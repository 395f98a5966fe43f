/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "sim/report/page-internal.h"

/** The sections, in their order. */
static const struct {
	const char *id, *title;
	page_section write;
	unsigned runs; /* that it needs */
} page_sections[] = {
	{"differences", "Differences", page_differences, 2},
	{"glance", "At a glance", page_glance, 1},
	{"time", "Throughput and latency over time", page_time, 1},
	{"latency", "Latency distribution", page_latency, 1},
	{"cpu", "Where CPU time goes", page_cpu, 1},
	{"iova", "IOVA space and caches", page_iova, 1},
	{"iotlb", "IOTLB and page-table walks", page_iotlb, 1},
	{"invalidation", "Invalidation and the stale window", page_invalidation, 1},
	{"events", "Faults and violations on the time line", page_events, 1},
	{"leaks", "What was left, and who took it", page_leaks, 1},
	{"config", "Effective configuration", page_config, 1},
	{"repeat", "How to repeat the run", page_repeat, 1},
	{"rest", "Other results", page_rest, 1},
};

const char *page_run_name(unsigned run)
{
	return run ? "B" : "A";
}

void page_shown(struct page *page, const char *group)
{
	g_hash_table_add(page->shown, (void *)group);
}

void page_note(struct page *page, const char *sentence)
{
	html_printf(page->html, "<p class=\"note\">%s</p>\n", sentence);
}

void page_run_note(struct page *page, unsigned run, const char *sentence)
{
	html_printf(page->html, "<p class=\"note\">");
	if (page->count > 1)
		html_printf(page->html, "Run %s: ", page_run_name(run));
	html_printf(page->html, "%s</p>\n", sentence);
}

void page_charts_begin(struct page *page)
{
	html_printf(page->html, page->count > 1 ? "<div>\n" : "<div class=\"charts\">\n");
}

void page_charts_end(struct page *page)
{
	html_printf(page->html, "</div>\n");
}

void page_pair_begin(struct page *page)
{
	if (page->count > 1)
		html_printf(page->html, "<div class=\"pair\">\n");
}

void page_pair_run(struct page *page)
{
	if (page->count > 1)
		html_printf(page->html, "<div>\n");
}

void page_pair_end(struct page *page)
{
	if (page->count > 1)
		html_printf(page->html, "</div>\n");
}

void page_table_begin(struct page *page, const char *caption)
{
	html_printf(page->html, "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"");
	html_text(page->html, caption);
	html_printf(page->html, "\">\n<table>\n<caption>");
	html_text(page->html, caption);
	html_printf(page->html, "</caption>\n");
}

void page_table_end(struct page *page)
{
	html_printf(page->html, "</table>\n</div>\n");
}

void page_run_headers(struct page *page)
{
	if (page->count > 1)
		html_printf(page->html,
			    "<th scope=\"col\" class=\"n\">A</th><th scope=\"col\" class=\"n\">B</th>"
			    "<th scope=\"col\">Change</th></tr>\n");
	else
		html_printf(page->html, "<th scope=\"col\" class=\"n\">Value</th></tr>\n");
}

void page_change_cell(struct page *page, enum unit unit, double a, double b)
{
	bool points = unit == UNIT_PERCENT;
	double change = points ? b - a : (b - a) * 100 / a;
	const char *name = points ? "points" : "%";
	char number[G_ASCII_DTOSTR_BUF_SIZE];

	if (a == b)
		html_printf(page->html, "<td class=\"same\">same</td>");
	else if (a == 0)
		html_printf(page->html, "<td>from 0</td>");
	else if (!points && b / a >= 10)
		html_printf(page->html, "<td>\u00d7 %s</td>",
			    g_ascii_formatd(number, sizeof(number), "%.1f", b / a));
	else if (fabs(change) < 0.1)
		html_printf(page->html, "<td>%s, less than 0.1 %s</td>", change > 0 ? "up" : "down", name);
	else
		html_printf(page->html, "<td>%s %s</td>",
			    g_ascii_formatd(number, sizeof(number), "%+.1f", change), name);
}

/** Returns one of the files that are compiled in, as text; borrowed. */
static const char *page_file(const char *name)
{
	g_autofree char *path = g_strconcat("/iommusim/report/", name, NULL);
	g_autoptr(GBytes) bytes =
		g_resource_lookup_data(page_get_resource(), path, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);

	g_assert(bytes); /* kept by the program itself, and ended by a zero byte there */
	return g_bytes_get_data(bytes, NULL);
}

/** Returns the digest of @text as a content security policy names it. */
static char *page_digest(const char *text)
{
	g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
	guint8 digest[32];
	gsize len = sizeof(digest);
	g_autofree char *base64 = NULL;

	g_checksum_update(checksum, (const guchar *)text, -1);
	g_checksum_get_digest(checksum, digest, &len);
	base64 = g_base64_encode(digest, len);
	return g_strdup_printf("'sha256-%s'", base64);
}

/** Appends what was run, and on which machine, as far as run.json says. */
static void page_subject(const struct page *page, unsigned run, GString *html)
{
	static const struct {
		const char *path, *before;
	} parts[] = {
		{"trace.name", ": "},
		{"replay.mode", ", --mode="},
		{"machine.kernel_version", ", on Linux "},
		{"machine.iommu", ", IOMMU "},
		{"machine.iommu_mode", ", "},
	};
	struct document *document = page->runs[run]->run;
	unsigned traces = document_length(document, document_find(document, "traces"));

	if (traces)
		html_printf(html, ": %u traces", traces);
	for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
		const char *text = document_text(document, document_find(document, parts[i].path));

		if (!text)
			continue;
		html_printf(html, "%s", parts[i].before);
		html_text(html, text);
	}
}

/** The names of the runs, below the title. */
static char *page_names(const struct page *page)
{
	GString *html = g_string_new(NULL);

	for (unsigned run = 0; run < page->count; run++) {
		if (page->count > 1)
			html_printf(html, "<p><b>Run %s</b>: <code>", page_run_name(run));
		else
			html_printf(html, "<p><code>");
		html_text(html, page->runs[run]->dir);
		html_printf(html, "</code>");
		page_subject(page, run, html);
		html_printf(html, "</p>\n");
	}
	return g_string_free(html, FALSE);
}

static char *page_title(const struct page *page)
{
	GString *html = g_string_new("iommusim: ");

	for (unsigned run = 0; run < page->count; run++) {
		html_text(html, page->runs[run]->dir);
		if (run + 1 < page->count)
			html_printf(html, " and ");
	}
	return g_string_free(html, FALSE);
}

/** Returns what the script draws. */
static char *page_data(struct page *page)
{
	g_autoptr(JsonGenerator) generator = json_generator_new();
	g_autoptr(JsonNode) root = NULL;
	g_autofree char *json = NULL;
	GString *html = g_string_new(NULL);

	json_builder_end_array(page->charts);
	json_builder_end_object(page->charts);
	root = json_builder_get_root(page->charts);
	json_generator_set_root(generator, root);
	json = json_generator_to_data(generator, NULL);
	html_json(html, json);
	return g_string_free(html, FALSE);
}

static GString *page_whole(struct page *page, const char *names, const char *version)
{
	const char *style = page_file("page.css"), *chart = page_file("chart.min.js"),
		   *script = page_file("page.js");
	g_autofree char *style_digest = page_digest(style), *chart_digest = page_digest(chart),
			*script_digest = page_digest(script), *title = page_title(page),
			*data = page_data(page);
	const char *parts[] = {
		"style-digest",
		style_digest,
		"chart-digest",
		chart_digest,
		"script-digest",
		script_digest,
		"version",
		version,
		"title",
		title,
		"names",
		names,
		"heading",
		page->count > 1 ? "Two simulated runs" : "Simulated run",
		"contents",
		page->contents->str,
		"sections",
		page->html->str,
		"style",
		style,
		"chart",
		chart,
		"script",
		script,
		"data",
		data,
		NULL,
	};
	GString *html = g_string_new(NULL);

	html_template(html, page_file("page.html"), parts);
	return html;
}

static void page_write_section(struct page *page, const char *id, const char *title, page_section write)
{
	gsize before, start = page->html->len;

	html_printf(page->html, "<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">%s</h2>\n", id, id, title);
	before = page->html->len;
	write(page);
	if (page->html->len == before) {
		g_string_truncate(page->html, start);
		return;
	}
	html_printf(page->html, "</section>\n");
	html_printf(page->contents, "<li><a href=\"#%s\">%s</a></li>\n", id, title);
}

GString *page_new(struct results *const *runs, unsigned count, const char *version, GError **error)
{
	struct page page = {.runs = runs, .count = count};
	g_autofree char *names = NULL;
	GString *html = NULL;
	bool sound = true;

	g_assert(count >= 1 && count <= PAGE_RUNS_MAX);
	page.html = g_string_new(NULL);
	page.contents = g_string_new(NULL);
	page.charts = json_builder_new();
	page.shown = g_hash_table_new(g_str_hash, g_str_equal);
	json_builder_begin_object(page.charts);
	chart_list(&page, "charts");
	for (unsigned i = 0; i < G_N_ELEMENTS(page_sections); i++)
		if (page_sections[i].runs <= count)
			page_write_section(&page, page_sections[i].id, page_sections[i].title,
					   page_sections[i].write);
	names = page_names(&page);
	for (unsigned run = 0; run < count && sound; run++)
		sound = document_error(runs[run]->run, error);
	if (sound)
		html = page_whole(&page, names, version);
	g_hash_table_unref(page.shown);
	g_object_unref(page.charts);
	g_string_free(page.contents, TRUE);
	g_string_free(page.html, TRUE);
	return html;
}
