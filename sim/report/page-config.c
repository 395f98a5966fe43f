/* SPDX-License-Identifier: MIT */
/*
 * Sections: configuration, repeating the run, and what no other section knows.
 */
#include <string.h>

#include "sim/report/page-internal.h"

/* ---- configuration ---- */

/** Returns the comment above line @line of machine.ini, which says what the key is for; free with g_free(). */
static char *config_comment(const struct results *results, uint64_t line)
{
	GString *comment = g_string_new(NULL);
	uint64_t first = line;

	while (first > 1 && ((char *)results->machine_lines->pdata[first - 2])[0] == '#')
		first--;
	for (; first < line; first++) {
		const char *text = (char *)results->machine_lines->pdata[first - 1] + 1;

		g_string_append_printf(comment, "%s%s", comment->len ? " " : "", text + strspn(text, " "));
	}
	return g_string_free(comment, FALSE);
}

static void config_key(struct page *page, const char *group, const char *key)
{
	const struct results *first = page->runs[page->runs[0]->machine ? 0 : 1];
	const struct results *of =
		keyfile_line(first->machine, group, key) ? first : page->runs[page->count - 1];
	g_autofree char *comment = config_comment(of, keyfile_line(of->machine, group, key));
	const char *value = NULL;
	bool same = true;

	html_printf(page->html, "<tr><th scope=\"row\">");
	html_text(page->html, key);
	html_printf(page->html, "</th>");
	for (unsigned run = 0; run < page->count; run++) {
		const struct keyfile *machine = page->runs[run]->machine;
		const char *text = machine ? keyfile_get(machine, group, key) : NULL;

		same = same && (!run || g_strcmp0(text, value) == 0);
		value = text;
		html_printf(page->html, "<td>");
		html_text(page->html, text ? text : "\u2013");
		html_printf(page->html, "</td>");
	}
	if (page->count > 1)
		html_printf(page->html, "<td>%s</td>", same ? "same" : "<b>differs</b>");
	html_printf(page->html, "<td class=\"words\">");
	html_text(page->html, comment);
	html_printf(page->html, "</td></tr>\n");
}

static void config_group_rows(struct page *page, unsigned run, const char *group)
{
	const struct keyfile *before = run ? page->runs[0]->machine : NULL;
	g_auto(GStrv) keys = keyfile_keys(page->runs[run]->machine, group);

	for (char **key = keys; *key; key++)
		if (!before || !keyfile_line(before, group, *key))
			config_key(page, group, *key);
}

static void config_group(struct page *page, const char *group)
{
	g_autofree char *caption = g_strdup_printf("[%s]", group);

	html_printf(page->html, "<details>\n<summary>");
	html_text(page->html, caption);
	html_printf(page->html, "</summary>\n");
	page_table_begin(page, caption);
	html_printf(page->html, "<tr><th scope=\"col\">Key</th>");
	for (unsigned run = 0; run < page->count; run++)
		html_printf(page->html, "<th scope=\"col\">%s</th>",
			    page->count > 1 ? page_run_name(run) : "Value");
	html_printf(page->html, "%s<th scope=\"col\">What it is</th></tr>\n",
		    page->count > 1 ? "<th scope=\"col\">Change</th>" : "");
	for (unsigned run = 0; run < page->count; run++)
		if (page->runs[run]->machine)
			config_group_rows(page, run, group);
	page_table_end(page);
	html_printf(page->html, "</details>\n");
}

static void config_groups(struct page *page, unsigned run)
{
	const struct keyfile *before = run ? page->runs[0]->machine : NULL;
	g_auto(GStrv) groups = keyfile_groups(page->runs[run]->machine);

	for (char **group = groups; *group; group++)
		if (!before || !keyfile_line(before, *group, NULL))
			config_group(page, *group);
}

void page_config(struct page *page)
{
	page_facts(page, "machine", "Machine");
	page_shown(page, "machine");
	for (unsigned run = 0; run < page->count; run++) {
		if (page->runs[run]->machine)
			config_groups(page, run);
		else
			page_note(page, "The configuration is left out: there is no machine.ini.");
	}
}

/* ---- repeating it ---- */

/** Appends @word as a shell takes it, quoted where it must be. */
static void repeat_word(struct page *page, const char *prefix, const char *word)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,%+@#";
	g_autofree char *whole = g_strconcat(prefix, word, NULL);
	g_autofree char *quoted =
		whole[strspn(whole, plain)] || !*whole ? g_shell_quote(whole) : g_strdup(whole);

	html_printf(page->html, " ");
	html_text(page->html, quoted);
}

static void repeat_traces(struct page *page, struct document *document)
{
	JsonNode *list = document_find(document, "traces");
	const char *name = document_text(document, document_find(document, "trace.name"));

	if (name)
		repeat_word(page, "", name);
	for (unsigned i = 0; i < document_length(document, list); i++) {
		name = document_text(document, document_member(document_element(list, i), "name"));
		if (name)
			repeat_word(page, "", name);
	}
}

static void repeat_run(struct page *page, unsigned run)
{
	struct document *document = page->runs[run]->run;
	JsonNode *options = document_find(document, "options");
	g_autofree char *machine = g_build_filename(page->runs[run]->dir, "machine.ini", NULL);

	if (page->count > 1)
		html_printf(page->html, "<p>Run %s:</p>\n", page_run_name(run));
	html_printf(page->html, "<pre tabindex=\"0\"><code>iommusim replay");
	if (page->runs[run]->machine)
		repeat_word(page, "", "-c"), repeat_word(page, "", machine);
	for (unsigned i = 0; i < document_length(document, options); i++) {
		const char *option = document_text(document, document_element(options, i));

		if (option)
			repeat_word(page, "", option);
	}
	html_printf(page->html, " -o again");
	repeat_traces(page, document);
	html_printf(page->html, "</code></pre>\n");
}

void page_repeat(struct page *page)
{
	for (unsigned run = 0; run < page->count; run++)
		repeat_run(page, run);
	page_note(page, "The same trace and the same files give the same results, byte for byte; only what "
			"run.json has under "
			"\"host\" depends on the machine that computed it.");
	page_shown(page, "options");
	page_shown(page, "host");
}

/* ---- the rest ---- */

static void rest_one(struct page *page, unsigned run, const char *name, JsonNode *node)
{
	g_autofree char *caption = html_key_caption(name);

	/* The second run shows what the first had not. */
	if (!g_hash_table_add(page->shown, (void *)name))
		return;
	if (JSON_NODE_HOLDS_OBJECT(node)) {
		page_facts(page, name, caption);
	} else if (JSON_NODE_HOLDS_ARRAY(node)) {
		page_list(page, name, caption);
	} else if (JSON_NODE_HOLDS_VALUE(node) && document_text(page->runs[run]->run, node)) {
		html_printf(page->html, "<p>");
		html_text(page->html, caption);
		html_printf(page->html, ": ");
		html_text(page->html, json_node_get_string(node));
		html_printf(page->html, "</p>\n");
	}
}

void page_rest(struct page *page)
{
	for (unsigned run = 0; run < page->count; run++) {
		JsonObjectIter iter;
		const char *name;
		JsonNode *node;

		json_object_iter_init_ordered(&iter,
					      json_node_get_object(document_root(page->runs[run]->run)));
		while (json_object_iter_next_ordered(&iter, &name, &node))
			rest_one(page, run, name, node);
	}
}
