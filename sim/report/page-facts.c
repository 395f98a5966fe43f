/* SPDX-License-Identifier: MIT */
/*
 * Groups of run.json as tables. Nothing here knows what the keys mean, beyond the unit that their last word says: a fact that
 * a room adds to its results appears without a change here.
 */
#include <string.h>

#include "sim/report/page-internal.h"

#define LIST_ROWS_MAX	 200 /* of one table */
#define FACTS_DEPTH_MAX	 6
#define CHANGED_ROWS_MAX 400

bool page_u64(const struct page *page, unsigned run, const char *path, uint64_t *ret_value)
{
	struct document *document = page->runs[run]->run;

	return document_u64(document, document_find(document, path), ret_value);
}

/** Appends where a value is from, for programs to compare. */
static void fact_source(struct page *page, unsigned run, const char *path)
{
	if (!path)
		return;
	html_printf(page->html, " data-run=\"%u\" data-key=\"", run);
	html_text(page->html, path);
	html_printf(page->html, "\"");
}

/** Appends what stands at @node; @path: where that is, NULL: not to be told. */
static void fact_cell(struct page *page, unsigned run, const char *path, const char *key, JsonNode *node,
		      bool right)
{
	GString *html = page->html;
	uint64_t value;

	if (!node || !JSON_NODE_HOLDS_VALUE(node)) {
		html_printf(html, "<td class=\"n\">\u2013</td>");
		return;
	}
	if (document_is_u64(node, &value)) {
		g_autofree char *text = html_count(html_key_unit(key), value);

		html_printf(html, "<td class=\"n\"><data value=\"%" G_GUINT64_FORMAT "\"", value);
		fact_source(page, run, path);
		html_printf(html, ">%s</data></td>", text);
		return;
	}
	html_printf(html, right ? "<td class=\"t\"><span" : "<td><span");
	fact_source(page, run, path);
	html_printf(html, ">");
	if (json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
		html_printf(html, "%s", json_node_get_boolean(node) ? "yes" : "no");
	} else if (json_node_get_value_type(node) == G_TYPE_STRING) {
		html_text(html, json_node_get_string(node));
	} else {
		g_autofree char *number = json_to_string(node, FALSE);

		html_text(html, number);
	}
	html_printf(html, "</span></td>");
}

static void fact_label(struct page *page, const char *key)
{
	g_autofree char *label = html_key_label(key);

	html_printf(page->html, "<tr><th scope=\"row\">");
	html_text(page->html, label);
	html_printf(page->html, "</th>");
}

/** Takes the names of the members of @path in all runs, in their order: first those of the first. */
static GPtrArray *facts_names(const struct page *page, const char *path)
{
	GPtrArray *names = g_ptr_array_new();
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (unsigned run = 0; run < page->count; run++) {
		JsonNode *node = document_find(page->runs[run]->run, path);
		JsonObjectIter iter;
		const char *name;

		if (!node || !JSON_NODE_HOLDS_OBJECT(node))
			continue;
		json_object_iter_init_ordered(&iter, json_node_get_object(node));
		while (json_object_iter_next_ordered(&iter, &name, NULL))
			if (g_hash_table_add(seen, (void *)name))
				g_ptr_array_add(names, (void *)name);
	}
	return names;
}

/** Returns what the first run that has it has there. */
static JsonNode *facts_any(const struct page *page, const char *path)
{
	JsonNode *node = NULL;

	for (unsigned run = 0; run < page->count && !node; run++)
		node = document_find(page->runs[run]->run, path);
	return node;
}

static void fact_row(struct page *page, const char *path, const char *key)
{
	JsonNode *nodes[PAGE_RUNS_MAX];
	uint64_t values[PAGE_RUNS_MAX];
	bool counts = true;

	fact_label(page, key);
	for (unsigned run = 0; run < page->count; run++) {
		nodes[run] = document_find(page->runs[run]->run, path);
		counts = counts && document_is_u64(nodes[run], &values[run]);
		fact_cell(page, run, path, key, nodes[run], true);
	}
	if (page->count > 1 && counts)
		page_change_cell(page, html_key_unit(key), (double)values[0], (double)values[1]);
	else if (page->count > 1)
		html_printf(page->html, "<td>%s</td>",
			    nodes[0] && nodes[1] && json_node_equal(nodes[0], nodes[1]) ? "same" : "differs");
	html_printf(page->html, "</tr>\n");
}

/** Returns whether member @name of the list's first elements is a count where it is there. */
static bool list_counts(JsonNode *list, unsigned length, const char *name)
{
	uint64_t value;

	for (unsigned i = 0; i < MIN(length, LIST_ROWS_MAX); i++) {
		JsonNode *node = document_member(document_element(list, i), name);

		if (node && !document_is_u64(node, &value))
			return false;
	}
	return true;
}

/** Appends the header of a list's table: the members of its first elements. */
static GPtrArray *list_header(struct page *page, JsonNode *list, unsigned length)
{
	GPtrArray *names = g_ptr_array_new();
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

	for (unsigned i = 0; i < MIN(length, LIST_ROWS_MAX); i++) {
		JsonNode *element = document_element(list, i);
		JsonObjectIter iter;
		const char *name;
		JsonNode *value;

		if (!JSON_NODE_HOLDS_OBJECT(element))
			continue;
		json_object_iter_init_ordered(&iter, json_node_get_object(element));
		while (json_object_iter_next_ordered(&iter, &name, &value))
			if (JSON_NODE_HOLDS_VALUE(value) && g_hash_table_add(seen, (void *)name))
				g_ptr_array_add(names, (void *)name);
	}
	html_printf(page->html, "<tr>");
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *label = html_key_label(names->pdata[i]);

		html_printf(page->html, list_counts(list, length, names->pdata[i])
						? "<th scope=\"col\" class=\"n\">"
						: "<th scope=\"col\">");
		html_text(page->html, label);
		html_printf(page->html, "</th>");
	}
	if (!names->len)
		html_printf(page->html, "<th scope=\"col\">value</th>");
	html_printf(page->html, "</tr>\n");
	return names;
}

static void list_row(struct page *page, unsigned run, const char *path, JsonNode *element,
		     const GPtrArray *names)
{
	html_printf(page->html, "<tr>");
	for (guint i = 0; i < names->len; i++) {
		g_autofree char *at = g_strdup_printf("%s.%s", path, (char *)names->pdata[i]);

		fact_cell(page, run, at, names->pdata[i], document_member(element, names->pdata[i]), false);
	}
	if (!names->len)
		fact_cell(page, run, path, "", element, false);
	html_printf(page->html, "</tr>\n");
}

static void list_table(struct page *page, unsigned run, const char *path, const char *what)
{
	g_autofree char *caption =
		page->count > 1 ? g_strdup_printf("%s, run %s", what, page_run_name(run)) : g_strdup(what);
	struct document *document = page->runs[run]->run;
	JsonNode *list = document_find(document, path);
	unsigned length = document_length(document, list);
	g_autoptr(GPtrArray) names = NULL;

	if (!length) {
		html_printf(page->html, "<p class=\"note\">");
		html_text(page->html, caption);
		html_printf(page->html, ": none.</p>\n");
		return;
	}
	page_table_begin(page, caption);
	names = list_header(page, list, length);
	for (unsigned i = 0; i < MIN(length, LIST_ROWS_MAX); i++) {
		g_autofree char *at = g_strdup_printf("%s.%u", path, i);

		list_row(page, run, at, document_element(list, i), names);
	}
	page_table_end(page);
	if (length > LIST_ROWS_MAX)
		html_printf(page->html, "<p class=\"note\">The first %d of %u; run.json has them all.</p>\n",
			    LIST_ROWS_MAX, length);
}

bool page_list(struct page *page, const char *path, const char *caption)
{
	bool any = false;

	for (unsigned run = 0; run < page->count; run++)
		any |= document_length(page->runs[run]->run, document_find(page->runs[run]->run, path)) > 0;
	if (!any)
		return false;
	page_pair_begin(page);
	for (unsigned run = 0; run < page->count; run++) {
		page_pair_run(page);
		list_table(page, run, path, caption);
		page_pair_end(page);
	}
	page_pair_end(page);
	return true;
}

/** What is below a group: its lists, and groups in it. */
static void facts_below(struct page *page, const char *path, const GPtrArray *names, unsigned depth);

static void facts_at(struct page *page, const char *path, const char *caption, unsigned depth)
{
	g_autoptr(GPtrArray) names = facts_names(page, path);
	bool any = false;

	for (guint i = 0; i < names->len; i++) {
		g_autofree char *at = g_strdup_printf("%s.%s", path, (char *)names->pdata[i]);
		JsonNode *node = facts_any(page, at);

		if (!node || !JSON_NODE_HOLDS_VALUE(node))
			continue;
		if (!any) {
			page_table_begin(page, caption);
			html_printf(page->html, "<tr><th scope=\"col\">What</th>");
			page_run_headers(page);
		}
		any = true;
		fact_row(page, at, names->pdata[i]);
	}
	if (any)
		page_table_end(page);
	facts_below(page, path, names, depth);
}

static void facts_below(struct page *page, const char *path, const GPtrArray *names, unsigned depth)
{
	for (guint i = 0; i < names->len && depth < FACTS_DEPTH_MAX; i++) {
		g_autofree char *at = g_strdup_printf("%s.%s", path, (char *)names->pdata[i]);
		g_autofree char *caption = html_key_caption(names->pdata[i]);
		JsonNode *node = facts_any(page, at);

		if (node && JSON_NODE_HOLDS_ARRAY(node))
			page_list(page, at, caption);
		else if (node && JSON_NODE_HOLDS_OBJECT(node))
			facts_at(page, at, caption, depth + 1);
	}
}

bool page_facts(struct page *page, const char *path, const char *caption)
{
	gsize before, start = page->html->len;

	html_printf(page->html, "<details>\n<summary>");
	html_text(page->html, caption);
	html_printf(page->html, ": details</summary>\n");
	before = page->html->len;
	facts_at(page, path, caption, 0);
	if (page->html->len == before) {
		g_string_truncate(page->html, start);
		return false;
	}
	html_printf(page->html, "</details>\n");
	return true;
}

/* ---- what differs ---- */

/* The values of a run, by name. */
struct flat {
	GPtrArray *paths;   /* of char *, in order */
	GHashTable *values; /* path -> JsonNode *, borrowed */
};

/** Adds what is below @node. An element of a list is called by its first text, "ops[read]": places may differ. */
static void flat_add(struct flat *flat, const char *path, JsonNode *node, unsigned depth);

static void flat_add_members(struct flat *flat, const char *path, JsonNode *node, unsigned depth)
{
	JsonObjectIter iter;
	const char *name;
	JsonNode *value;

	json_object_iter_init_ordered(&iter, json_node_get_object(node));
	while (json_object_iter_next_ordered(&iter, &name, &value)) {
		g_autofree char *at = path ? g_strdup_printf("%s.%s", path, name) : g_strdup(name);

		flat_add(flat, at, value, depth + 1);
	}
}

static const char *flat_element_name(JsonNode *element)
{
	static const char *const names[] = {"name", "op", "status", "kind"};

	for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
		JsonNode *name = document_member(element, names[i]);

		if (name && JSON_NODE_HOLDS_VALUE(name) && json_node_get_value_type(name) == G_TYPE_STRING)
			return json_node_get_string(name);
	}
	return NULL;
}

static void flat_add_elements(struct flat *flat, const char *path, JsonNode *list, unsigned depth)
{
	for (unsigned i = 0; i < json_array_get_length(json_node_get_array(list)); i++) {
		JsonNode *element = document_element(list, i);
		const char *name = flat_element_name(element);
		g_autofree char *at =
			name ? g_strdup_printf("%s[%s]", path, name) : g_strdup_printf("%s[%u]", path, i);

		flat_add(flat, at, element, depth + 1);
	}
}

static void flat_add(struct flat *flat, const char *path, JsonNode *node, unsigned depth)
{
	/* What depends on the host, and what is a story instead of a number and has a section. */
	static const char *const left_out[] = {"host",	  "violations", "observations",
					       "firings", "options",	NULL};

	if (depth == 1 && g_strv_contains(left_out, path))
		return;
	if (JSON_NODE_HOLDS_OBJECT(node)) {
		flat_add_members(flat, path, node, depth);
	} else if (JSON_NODE_HOLDS_ARRAY(node)) {
		flat_add_elements(flat, path, node, depth);
	} else if (!g_hash_table_contains(flat->values, path)) {
		char *kept = g_strdup(path);

		g_ptr_array_add(flat->paths, kept);
		g_hash_table_insert(flat->values, kept, node);
	}
}

static struct flat flat_new(const struct page *page, unsigned run)
{
	struct flat flat = {g_ptr_array_new_with_free_func(g_free),
			    g_hash_table_new(g_str_hash, g_str_equal)};

	flat_add(&flat, NULL, document_root(page->runs[run]->run), 0);
	return flat;
}

static void flat_clear(struct flat *flat)
{
	g_hash_table_unref(flat->values);
	g_ptr_array_unref(flat->paths);
}

static void changed_row(struct page *page, const char *path, JsonNode *a, JsonNode *b)
{
	const char *dot = strrchr(path, '.');
	uint64_t values[PAGE_RUNS_MAX];

	html_printf(page->html, "<tr><th scope=\"row\">");
	html_text(page->html, path);
	html_printf(page->html, "</th>");
	fact_cell(page, 0, NULL, dot ? dot + 1 : path, a, true);
	fact_cell(page, 1, NULL, dot ? dot + 1 : path, b, true);
	if (document_is_u64(a, &values[0]) && document_is_u64(b, &values[1]))
		page_change_cell(page, html_key_unit(dot ? dot + 1 : path), (double)values[0],
				 (double)values[1]);
	else
		html_printf(page->html, "<td>%s</td>", !a ? "only in B" : !b ? "only in A" : "differs");
	html_printf(page->html, "</tr>\n");
}

static bool changed(const struct flat *a, const struct flat *b, const char *path)
{
	JsonNode *one = g_hash_table_lookup(a->values, path), *other = g_hash_table_lookup(b->values, path);

	return !one || !other || !json_node_equal(one, other);
}

/** Returns the names of what differs, in the order of the first run, then what only the second has; borrowed. */
static GPtrArray *changed_paths(const struct flat *a, const struct flat *b)
{
	GPtrArray *paths = g_ptr_array_new();

	for (guint i = 0; i < a->paths->len; i++)
		if (changed(a, b, a->paths->pdata[i]))
			g_ptr_array_add(paths, a->paths->pdata[i]);
	for (guint i = 0; i < b->paths->len; i++)
		if (!g_hash_table_contains(a->values, b->paths->pdata[i]))
			g_ptr_array_add(paths, b->paths->pdata[i]);
	return paths;
}

void page_changed_facts(struct page *page)
{
	struct flat a = flat_new(page, 0), b = flat_new(page, 1);
	g_autoptr(GPtrArray) paths = changed_paths(&a, &b);

	if (!paths->len) {
		page_note(page, "No number of the two runs differs.");
	} else {
		html_printf(page->html, "<details>\n<summary>All %u results that differ</summary>\n",
			    paths->len);
		page_table_begin(page, "Results that differ");
		html_printf(page->html, "<tr><th scope=\"col\">Key in run.json</th>");
		page_run_headers(page);
		for (guint i = 0; i < MIN(paths->len, CHANGED_ROWS_MAX); i++)
			changed_row(page, paths->pdata[i], g_hash_table_lookup(a.values, paths->pdata[i]),
				    g_hash_table_lookup(b.values, paths->pdata[i]));
		page_table_end(page);
		if (paths->len > CHANGED_ROWS_MAX)
			html_printf(page->html, "<p class=\"note\">The first %d of these.</p>\n",
				    CHANGED_ROWS_MAX);
		html_printf(page->html, "</details>\n");
	}
	flat_clear(&a);
	flat_clear(&b);
}
