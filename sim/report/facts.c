/* SPDX-License-Identifier: MIT */
#include "sim/report/facts.h"

#include <json-glib/json-glib.h>

#include "sim/core/text.h"

#define FACTS_VALUE_COLUMN 30

struct facts {
	JsonBuilder *json;
	GString *text;
	unsigned depth; /* headings that stand above in the table */
	GArray *shown;	/* of gboolean: whether each open group has a heading */
};

struct facts *facts_new(void)
{
	struct facts *facts = g_new0(struct facts, 1);

	facts->json = json_builder_new();
	facts->text = g_string_new(NULL);
	facts->shown = g_array_new(FALSE, FALSE, sizeof(gboolean));
	json_builder_begin_object(facts->json);
	return facts;
}

void facts_free(struct facts *facts)
{
	if (!facts)
		return;
	g_object_unref(facts->json);
	g_string_free(facts->text, TRUE);
	g_array_unref(facts->shown);
	g_free(facts);
}

static void facts_row(struct facts *facts, const char *label, const char *value)
{
	int width = FACTS_VALUE_COLUMN - 2 * (int)facts->depth;

	g_string_append_printf(facts->text, "%*s%-*s %s\n", 2 * (int)facts->depth, "", MAX(width, 1), label,
			       value);
}

void facts_u64(struct facts *facts, const char *key, const char *label, uint64_t value)
{
	if (key) {
		g_autofree char *digits = g_strdup_printf("%" G_GUINT64_FORMAT, value);

		json_builder_set_member_name(facts->json, key);
		/* The library's integers are signed: what does not fit is written as text. */
		if (value <= G_MAXINT64)
			json_builder_add_int_value(facts->json, (gint64)value);
		else
			json_builder_add_string_value(facts->json, digits);
	}
	if (label) {
		g_autofree char *count = text_count(value);

		facts_row(facts, label, count);
	}
}

void facts_i64(struct facts *facts, const char *key, const char *label, int64_t value)
{
	g_autofree char *digits = g_strdup_printf("%" G_GINT64_FORMAT, value);

	if (key) {
		json_builder_set_member_name(facts->json, key);
		json_builder_add_int_value(facts->json, value);
	}
	if (label)
		facts_row(facts, label, digits);
}

void facts_item(struct facts *facts, const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value, -1);

	json_builder_add_string_value(facts->json, valid);
}

void facts_text(struct facts *facts, const char *key, const char *label, const char *value)
{
	if (key) {
		g_autofree char *valid = g_utf8_make_valid(value, -1); /* a file name may be anything */

		json_builder_set_member_name(facts->json, key);
		json_builder_add_string_value(facts->json, valid);
	}
	if (label)
		facts_row(facts, label, value);
}

void facts_bool(struct facts *facts, const char *key, const char *label, bool value)
{
	if (key) {
		json_builder_set_member_name(facts->json, key);
		json_builder_add_boolean_value(facts->json, value);
	}
	if (label)
		facts_row(facts, label, value ? "yes" : "no");
}

void facts_time(struct facts *facts, const char *key, const char *label, uint64_t ns)
{
	g_autofree char *time = text_time(ns);

	facts_u64(facts, key, NULL, ns);
	if (label)
		facts_row(facts, label, time);
}

void facts_size(struct facts *facts, const char *key, const char *label, uint64_t bytes)
{
	g_autofree char *size = text_size(bytes);

	facts_u64(facts, key, NULL, bytes);
	if (label)
		facts_row(facts, label, size);
}

void facts_line(struct facts *facts, const char *format, ...)
{
	va_list args;

	g_string_append_printf(facts->text, "%*s", 2 * (int)facts->depth, "");
	va_start(args, format);
	g_string_append_vprintf(facts->text, format, args);
	va_end(args);
	g_string_append_c(facts->text, '\n');
}

static void facts_open(struct facts *facts, const char *key, const char *label)
{
	gboolean shown = label != NULL;

	if (key)
		json_builder_set_member_name(facts->json, key);
	if (shown)
		g_string_append_printf(facts->text, "%*s%s\n", 2 * (int)facts->depth, "", label);
	facts->depth += shown ? 1 : 0;
	g_array_append_val(facts->shown, shown);
}

static void facts_close(struct facts *facts)
{
	g_assert(facts->shown->len > 0);
	facts->depth -= g_array_index(facts->shown, gboolean, facts->shown->len - 1) ? 1 : 0;
	g_array_set_size(facts->shown, facts->shown->len - 1);
}

void facts_begin(struct facts *facts, const char *key, const char *label)
{
	facts_open(facts, key, label);
	json_builder_begin_object(facts->json);
}

void facts_end(struct facts *facts)
{
	json_builder_end_object(facts->json);
	facts_close(facts);
}

void facts_list_begin(struct facts *facts, const char *key, const char *label)
{
	facts_open(facts, key, label);
	json_builder_begin_array(facts->json);
}

void facts_list_end(struct facts *facts)
{
	json_builder_end_array(facts->json);
	facts_close(facts);
}

char *facts_to_text(struct facts *facts)
{
	g_assert(facts->shown->len == 0);
	return g_strdup(facts->text->str);
}

char *facts_to_json(struct facts *facts)
{
	JsonGenerator *generator = json_generator_new();
	JsonNode *root;
	g_autofree char *json = NULL;

	g_assert(facts->shown->len == 0);
	json_builder_end_object(facts->json);
	root = json_builder_get_root(facts->json);
	json_generator_set_root(generator, root);
	json_generator_set_pretty(generator, TRUE);
	json = json_generator_to_data(generator, NULL);
	json_node_unref(root);
	g_object_unref(generator);
	return g_strconcat(json, "\n", NULL);
}
