/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "sim/core/sha256.h"
#include "sim/core/text.h"
#include "sim/io/output.h"
#include "sim/snapshot/form.h"
#include "sim/snapshot/snapshot.h"

struct snapshot_writer {
	struct output *output;
	struct sha256 digest; /* over all that was put out */
	const struct snapshot_section *section;

	/* The section's facts: NUL-ended lines one after the other, and where each begins. */
	GString *lines;
	GArray *offsets; /* of size_t */

	/* The fact that is being written. */
	const struct snapshot_noun *noun; /* NULL: none */
	const char *fields[SNAPSHOT_FIELDS_MAX];
	unsigned field_count;
};

static void put(struct snapshot_writer *writer, const char *text, size_t len)
{
	sha256_update(&writer->digest, text, len);
	output_write(writer->output, text, len);
}

static void put_line(struct snapshot_writer *writer, const char *text)
{
	put(writer, text, strlen(text));
	put(writer, "\n", 1);
}

static void fact_end(struct snapshot_writer *writer)
{
	if (!writer->noun)
		return;
	for (unsigned i = 0; writer->noun->keys[i]; i++)
		g_assert(i < writer->field_count);
	g_assert(writer->lines->len - g_array_index(writer->offsets, size_t, writer->offsets->len - 1) <=
		 SNAPSHOT_LINE_MAX);
	g_string_append_c(writer->lines, '\0');
	writer->noun = NULL;
}

void snapshot_fact(struct snapshot_writer *writer, const char *noun)
{
	fact_end(writer);
	writer->noun = snapshot_section_noun(writer->section, noun);
	g_assert(writer->noun);
	writer->field_count = 0;
	g_array_append_val(writer->offsets, writer->lines->len);
	g_string_append(writer->lines, noun);
}

/* Starts a field: keys come first and in their order, no field twice. */
static void field_begin(struct snapshot_writer *writer, const char *field, bool range)
{
	unsigned key = 0;

	g_assert(writer->noun);
	g_assert(writer->field_count < SNAPSHOT_FIELDS_MAX);
	g_assert(snapshot_is_name(field));
	while (writer->noun->keys[key] && key < writer->field_count)
		key++;
	if (writer->noun->keys[key])
		g_assert_cmpstr(writer->noun->keys[key], ==, field);
	for (unsigned i = 0; i < writer->field_count; i++)
		g_assert_cmpstr(writer->fields[i], !=, field);
	g_assert(range == (writer->noun->range && strcmp(writer->noun->range, field) == 0));
	writer->fields[writer->field_count++] = field;
	g_string_append_c(writer->lines, ' ');
	g_string_append(writer->lines, field);
	g_string_append_c(writer->lines, '=');
}

void snapshot_text(struct snapshot_writer *writer, const char *field, const char *value)
{
	field_begin(writer, field, false);
	snapshot_append_escaped(writer->lines, value, " =");
}

void snapshot_u64(struct snapshot_writer *writer, const char *field, uint64_t value)
{
	char digits[21], *first = digits + sizeof(digits);

	field_begin(writer, field, false);
	do {
		*--first = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	g_string_append_len(writer->lines, first, digits + sizeof(digits) - first);
}

void snapshot_hex(struct snapshot_writer *writer, const char *field, uint64_t value, unsigned digits)
{
	g_assert(digits == 16 || value >> 4 * digits == 0);
	field_begin(writer, field, false);
	text_append_hex(writer->lines, value, digits);
}

void snapshot_range(struct snapshot_writer *writer, const char *field, uint64_t first, uint64_t last)
{
	g_assert_cmpuint(first, <=, last);
	field_begin(writer, field, true);
	snapshot_append_range(writer->lines, first, last);
}

static int compare_lines(const void *a, const void *b, void *data)
{
	const char *lines = data;

	return strcmp(lines + *(const size_t *)a, lines + *(const size_t *)b);
}

/* Writes the section of @source, with what further sources have of it. Returns the source of the next one. */
static const struct snapshot_source *write_section(struct snapshot_writer *writer, struct sim *sim,
						   const struct snapshot_source *source)
{
	const size_t *offsets;

	writer->section = source->section;
	g_string_truncate(writer->lines, 0);
	g_array_set_size(writer->offsets, 0);
	for (; source->section == writer->section; source++) {
		source->section->write(writer, sim, source->data);
		fact_end(writer);
	}

	put(writer, "[", 1);
	put(writer, writer->section->name, strlen(writer->section->name));
	put_line(writer, "]");
	offsets = (const size_t *)(void *)writer->offsets->data;
	if (writer->offsets->len)
		qsort_r(writer->offsets->data, writer->offsets->len, sizeof(size_t), compare_lines,
			writer->lines->str);
	for (guint i = 0; i < writer->offsets->len; i++)
		put_line(writer, writer->lines->str + offsets[i]);
	return source;
}

static void write_header(struct snapshot_writer *writer, const char *const *header)
{
	g_autoptr(GString) line = g_string_new(NULL);

	put_line(writer, SNAPSHOT_FIRST_LINE);
	for (; *header; header += 2) {
		g_assert(snapshot_is_name(header[0]));
		g_string_printf(line, "# %s ", header[0]);
		snapshot_append_escaped(line, header[1], "");
		g_assert(line->len <= SNAPSHOT_LINE_MAX);
		put_line(writer, line->str);
	}
}

bool snapshot_write(const char *path, struct sim *sim, const char *const *header,
		    const struct snapshot_source *sources, GError **error)
{
	struct snapshot_writer writer = {.output = output_new(path, error)};
	char digest[SHA256_HEX_LEN + 1];

	if (!writer.output)
		return false;
	sha256_init(&writer.digest);
	writer.lines = g_string_new(NULL);
	writer.offsets = g_array_new(FALSE, FALSE, sizeof(size_t));
	write_header(&writer, header);
	while (sources->section)
		sources = write_section(&writer, sim, sources);
	sha256_finish(&writer.digest, digest);
	output_printf(writer.output, SNAPSHOT_DIGEST "%s\n", digest);
	g_array_unref(writer.offsets);
	g_string_free(writer.lines, TRUE);
	return output_commit(writer.output, error);
}
