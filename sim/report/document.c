/* SPDX-License-Identifier: MIT */
#include "sim/report/document.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/input.h"

struct document {
	char *path;
	JsonNode *root;
	GHashTable *lines; /* JsonNode * -> its line; never followed */
	GError *error;	   /* the first complaint */
};

/* Where the scan is that goes before the parser. */
struct scan {
	const char *path;
	uint64_t line;
	unsigned depth;
	bool in_text, escaped, ended;
};

static GString *document_read(const char *path, GError **error)
{
	struct input *input = input_open(path, error);
	g_autoptr(GString) text = g_string_new(NULL);
	const uint8_t *bytes;
	ssize_t count = -1;

	if (!input)
		return NULL;
	while ((count = input_peek(input, 64 << 10, &bytes, error)) > 0 &&
	       text->len + (size_t)count <= DOCUMENT_BYTES_MAX) {
		g_string_append_len(text, (const char *)bytes, count);
		input_skip(input, (size_t)count);
	}
	if (count > 0)
		sim_error_offset(error, path, input_offset(input), "more than %u MiB",
				 DOCUMENT_BYTES_MAX >> 20);
	input_close(input);
	return count == 0 ? g_steal_pointer(&text) : NULL;
}

static int scan_text(struct scan *scan, char c, GError **error)
{
	if ((unsigned char)c < ' ')
		return sim_error_line(error, scan->path, scan->line, "a text does not end in its line");
	if (!scan->escaped && c == '"')
		scan->in_text = false;
	scan->escaped = !scan->escaped && c == '\\';
	return 0;
}

static int scan_bracket(struct scan *scan, char c, GError **error)
{
	if (c == '{' || c == '[') {
		if (++scan->depth > DOCUMENT_NESTING_MAX)
			return sim_error_line(error, scan->path, scan->line, "nested deeper than %d",
					      DOCUMENT_NESTING_MAX);
		return 0;
	}
	if (!scan->depth)
		return sim_error_line(error, scan->path, scan->line, "'%c' closes nothing", c);
	scan->ended = --scan->depth == 0;
	return 0;
}

/** What the parser is lenient with, and what could exhaust it: it recurses, and it knows comments. */
static int scan_byte(struct scan *scan, char c, GError **error)
{
	if (scan->in_text)
		return scan_text(scan, c, error);
	scan->line += c == '\n';
	if (c && strchr(" \t\r\n", c))
		return 0;
	if (scan->ended)
		return sim_error_line(error, scan->path, scan->line, "goes on behind its end");
	if (c == '"') {
		scan->in_text = true;
		return 0;
	}
	if (c && strchr("{}[]", c))
		return scan_bracket(scan, c, error);
	if (!c || !strchr(":,+-.0123456789Eaeflnrstu", c))
		return sim_error_line(error, scan->path, scan->line, "not JSON");
	return 0;
}

static int document_scan(const char *path, const GString *text, GError **error)
{
	struct scan scan = {.path = path, .line = 1};
	const char *end;

	if (!g_utf8_validate(text->str, (gssize)text->len, &end))
		return sim_error_offset(error, path, (uint64_t)(end - text->str), "not UTF-8");
	for (size_t i = 0; i < text->len; i++)
		if (scan_byte(&scan, text->str[i], error) < 0)
			return -1;
	if (!scan.ended)
		return sim_error_line(error, path, scan.line, "ends in the middle");
	return 0;
}

static void document_note(struct document *document, JsonParser *parser, JsonNode *node)
{
	g_hash_table_insert(document->lines, node, GUINT_TO_POINTER(json_parser_get_current_line(parser)));
}

static void document_note_member(JsonParser *parser, JsonObject *object, const char *name, void *document)
{
	document_note(document, parser, json_object_get_member(object, name));
}

static void document_note_element(JsonParser *parser, JsonArray *array, int index, void *document)
{
	document_note(document, parser, json_array_get_element(array, (guint)index));
}

/** The library says "<data>:LINE:COLUMN: why". Returns false. */
static bool document_not_json(struct document *document, const char *message, GError **error)
{
	const char *place = strstr(message, ">:"), *why = place ? strstr(place, ": ") : NULL;
	uint64_t line = place ? g_ascii_strtoull(place + 2, NULL, 10) : 0;

	return sim_error_line(error, document->path, MAX(line, 1), "not JSON: %s", why ? why + 2 : message) == 0;
}

static bool document_parse(struct document *document, const GString *text, GError **error)
{
	g_autoptr(JsonParser) parser = json_parser_new();
	g_autoptr(GError) reason = NULL;

	g_signal_connect(parser, "object-member", G_CALLBACK(document_note_member), document);
	g_signal_connect(parser, "array-element", G_CALLBACK(document_note_element), document);
	if (!json_parser_load_from_data(parser, text->str, (gssize)text->len, &reason))
		return document_not_json(document, reason->message, error);
	document->root = json_parser_steal_root(parser);
	if (!document->root || !JSON_NODE_HOLDS_OBJECT(document->root))
		return sim_error_line(error, document->path, 1, "must be an object") == 0;
	return true;
}

struct document *document_load(const char *path, GError **error)
{
	g_autoptr(GString) text = document_read(path, error);
	struct document *document;

	if (!text || document_scan(path, text, error) < 0)
		return NULL;
	document = g_new0(struct document, 1);
	document->path = g_strdup(path);
	document->lines = g_hash_table_new(NULL, NULL);
	if (document_parse(document, text, error))
		return document;
	document_free(document);
	return NULL;
}

void document_free(struct document *document)
{
	if (!document)
		return;
	g_clear_pointer(&document->root, json_node_unref);
	g_hash_table_unref(document->lines);
	g_clear_error(&document->error);
	g_free(document->path);
	g_free(document);
}

JsonNode *document_root(const struct document *document)
{
	return document->root;
}

JsonNode *document_member(JsonNode *object, const char *name)
{
	if (!object || !JSON_NODE_HOLDS_OBJECT(object))
		return NULL;
	return json_object_get_member(json_node_get_object(object), name);
}

JsonNode *document_find(const struct document *document, const char *path)
{
	g_auto(GStrv) names = g_strsplit(path, ".", -1);
	JsonNode *node = document->root;
	uint64_t index;

	for (char **name = names; *name && node; name++) {
		if (!JSON_NODE_HOLDS_ARRAY(node))
			node = document_member(node, *name);
		else if (text_parse_u64(*name, &index) &&
			 index < json_array_get_length(json_node_get_array(node)))
			node = document_element(node, (unsigned)index);
		else
			node = NULL;
	}
	return node;
}

static void document_complain(struct document *document, const JsonNode *node, const char *what)
{
	if (!document->error)
		sim_error_line(&document->error, document->path,
			       MAX(GPOINTER_TO_UINT(g_hash_table_lookup(document->lines, node)), 1),
			       "must be %s", what);
}

unsigned document_length(struct document *document, JsonNode *list)
{
	if (list && JSON_NODE_HOLDS_ARRAY(list))
		return json_array_get_length(json_node_get_array(list));
	if (list)
		document_complain(document, list, "a list");
	return 0;
}

JsonNode *document_element(JsonNode *list, unsigned index)
{
	return json_array_get_element(json_node_get_array(list), index);
}

bool document_is_u64(JsonNode *node, uint64_t *ret_value)
{
	const char *digits;

	if (!node || !JSON_NODE_HOLDS_VALUE(node))
		return false;
	if (json_node_get_value_type(node) == G_TYPE_INT64 && json_node_get_int(node) >= 0) {
		*ret_value = (uint64_t)json_node_get_int(node);
		return true;
	}
	/* Only what the library cannot hold is written as digits: other digits are a text. */
	digits = json_node_get_string(node);
	return digits && strlen(digits) >= 19 && g_ascii_isdigit(digits[0]) && digits[1] != 'x' &&
	       text_parse_u64(digits, ret_value);
}

bool document_u64(struct document *document, JsonNode *node, uint64_t *ret_value)
{
	if (!node)
		return false;
	if (document_is_u64(node, ret_value))
		return true;
	document_complain(document, node, "a count");
	return false;
}

const char *document_text(struct document *document, JsonNode *node)
{
	if (!node)
		return NULL;
	if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING)
		return json_node_get_string(node);
	document_complain(document, node, "a text");
	return NULL;
}

bool document_error(struct document *document, GError **error)
{
	if (!document->error)
		return true;
	g_propagate_error(error, g_steal_pointer(&document->error));
	return false;
}
