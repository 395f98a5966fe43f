/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/devtree.h"
#include "sim/core/text.h"
#include "sim/report/facts.h"

/*
 * The facts as JSON. The text is canonical, one fact a line, words without spaces in them, so it is read again rather than
 * written twice: a line is a noun, values in places whose names the noun knows, and NAME=VALUE.
 */
struct noun {
	const char *name;
	const char *places[7]; /* of values without a name */
	const char *list;      /* of an indented line: the list that it belongs to */
	bool plain;	       /* places only: a name there may look like anything */
};

static const struct noun nouns[] = {
	{"iommu", {"path"}, NULL},
	{"master", {"path"}, NULL},
	{"ref", {"path"}, "references"},
	{"empty", {NULL}, "references"},
	{"error", {"kind", "of"}, "errors"},
	{"multi", {"path"}, NULL, true},
	{"host", {"path"}, NULL},
	{"map", {"target"}, "maps"},
	{"xlat", {"target"}, "translations"},
	{"pci", {"path"}, NULL},
	{"nvme", {"path"}, NULL},
	{"region", {"path"}, NULL},
	{"resv", {NULL}, "reservations"},
	{"memreg", {"path"}, NULL},
	{"m4u", {"path"}, NULL},
	{"larb", {"path"}, "larbs"},
	{"qcom", {"path"}, NULL},
	{"ctx", {"path"}, "contexts"},
	{"leaf", {"path", "target"}, NULL},
	{"disabled", {"path"}, NULL, true},
	{"count", {"path", "entries", "available_entries", "masters", "available_masters"}, NULL, true},
	{"dev", {"bus", "name", "path"}, NULL, true},
	{"dup", {"phandle", "path"}, NULL, true},
};

/* Titles of the sections that are no plural. */
static const char *const plurals[][2] = {
	{"iommu-map", "hosts"},		{"nvme", "nvme_controllers"},
	{"iommu-addresses", "regions"}, {"ipmmu-main", "leaves"},
	{"iommu-use", "counts"},	{"masters-with-memory-region", "memory_regions"},
	{"mediatek-larbs", "m4us"},	{"disabled-iommus-and-masters", "disableds"},
};

struct document {
	struct facts *facts;
	bool in_section, in_item;
	const char *list; /* of the item, open; NULL: none */
};

static const struct noun *find_noun(const char *name)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(nouns); i++)
		if (strcmp(nouns[i].name, name) == 0)
			return &nouns[i];
	g_assert_not_reached();
}

/** Adds a value as what it is: a number, yes or no, nothing ("-"), else text. */
static void add_value(struct facts *facts, const char *name, const char *value)
{
	g_autofree char *key = g_strdelimit(g_strdup(name), "-", '_');
	uint64_t number;

	if (strcmp(value, "-") == 0)
		return;
	if (g_ascii_isdigit(value[0]) && !strchr(value, 'x') && text_parse_u64(value, &number))
		facts_u64(facts, key, NULL, number);
	else if (strcmp(name, "boot") != 0 && (strcmp(value, "yes") == 0 || strcmp(value, "no") == 0))
		facts_bool(facts, key, NULL, value[0] == 'y');
	else
		facts_text(facts, key, NULL, value);
}

/** Adds the words up to the one that ends in a bracket, the first of which begins with one. Returns the last. */
static char **add_cells(struct facts *facts, char **word)
{
	bool last;

	facts_list_begin(facts, "cells", NULL);
	for (;; word++) {
		g_autofree char *cell = g_strdelimit(g_strdup(*word), "[]", ' ');

		last = g_str_has_suffix(*word, "]");
		if (*g_strstrip(cell))
			facts_item(facts, cell);
		if (last)
			break;
	}
	facts_list_end(facts);
	return word;
}

/** Adds the words of a line, after its noun. */
static void add_words(struct facts *facts, const struct noun *noun, char **word)
{
	unsigned place = 0;

	for (; *word; word++) {
		char *equals = strchr(*word, '=');

		if (noun->plain) {
			g_assert(noun->places[place]);
			add_value(facts, noun->places[place++], *word);
		} else if ((*word)[0] == '[') {
			word = add_cells(facts, word);
		} else if (strcmp(*word, "error") == 0 && word[1]) {
			add_value(facts, "error", *++word);
		} else if (equals && (*word)[0] != '/') {
			*equals = 0;
			add_value(facts, *word, equals + 1);
		} else if (strcmp(*word, "->") != 0 && strcmp(*word, "none") != 0 && noun->places[place]) {
			add_value(facts, noun->places[place++], *word);
		}
	}
}

/** memreg PATH -> PATH...: the one line with any number of values. */
static void add_memory(struct facts *facts, char **word)
{
	facts_text(facts, "path", NULL, word[0]);
	facts_list_begin(facts, "memory_nodes", NULL);
	for (word += 2; *word; word++)
		if (strcmp(*word, "-") != 0)
			facts_item(facts, *word);
	facts_list_end(facts);
}

static void end_list(struct document *document)
{
	if (document->list)
		facts_list_end(document->facts);
	document->list = NULL;
}

static void end_item(struct document *document)
{
	end_list(document);
	if (document->in_item)
		facts_end(document->facts);
	document->in_item = false;
}

static void end_section(struct document *document)
{
	end_item(document);
	if (document->in_section)
		facts_list_end(document->facts);
	document->in_section = false;
}

static void begin_section(struct document *document, const char *line)
{
	g_autofree char *title = g_strndup(line + 1, strcspn(line + 1, "]"));
	const char *key = title;

	end_section(document);
	for (unsigned i = 0; i < G_N_ELEMENTS(plurals); i++)
		if (strcmp(plurals[i][0], title) == 0)
			key = plurals[i][1];
	g_strdelimit(title, "-", '_');
	facts_list_begin(document->facts, key, NULL);
	document->in_section = true;
}

static void add_line(struct document *document, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line + strspn(line, " "), " ", -1);
	const struct noun *noun = find_noun(words[0]);

	if (line[0] != ' ') {
		end_item(document);
		facts_begin(document->facts, NULL, NULL);
		document->in_item = true;
		if (strcmp(noun->name, "memreg") == 0)
			add_memory(document->facts, words + 1);
		else
			add_words(document->facts, noun, words + 1);
		return;
	}
	if (!document->list || strcmp(document->list, noun->list) != 0) {
		end_list(document);
		facts_list_begin(document->facts, noun->list, NULL);
		document->list = noun->list;
	}
	facts_begin(document->facts, NULL, NULL);
	add_words(document->facts, noun, words + 1);
	facts_end(document->facts);
}

char *devtree_facts_to_json(const char *text)
{
	struct document document = {.facts = facts_new()};
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	char *json;

	for (char **line = lines + 1; *line; line++) {
		char *space = strchr(*line, ' ');

		if ((*line)[0] == '[') {
			begin_section(&document, *line);
		} else if (document.in_section && **line) {
			add_line(&document, *line);
		} else if (space) { /* dtb, board, nodes */
			*space = 0;
			add_value(document.facts, *line, space + 1);
		}
	}
	end_section(&document);
	json = facts_to_json(document.facts);
	facts_free(document.facts);
	return json;
}
