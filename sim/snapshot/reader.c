/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/kind.h"
#include "sim/snapshot/form.h"

#define RANGE_DIGITS 16
#define RANGE_LEN    (2 * (2 + RANGE_DIGITS) + 1)

static bool is_name_len(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
			return false;
	}
	return len > 0;
}

bool snapshot_is_name(const char *text)
{
	return is_name_len(text, strlen(text));
}

void snapshot_append_escaped(GString *string, const char *value, const char *also)
{
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c < ' ' || c > '~' || c == '%' || strchr(also, c))
			g_string_append_printf(string, "%%%02X", c);
		else
			g_string_append_c(string, (char)c);
	}
}

void snapshot_append_range(GString *string, uint64_t first, uint64_t last)
{
	text_append_hex(string, first, RANGE_DIGITS);
	g_string_append_c(string, '-');
	text_append_hex(string, last, RANGE_DIGITS);
}

void snapshot_append_field(GString *string, const char *name, const char *value)
{
	g_string_append_c(string, ' ');
	g_string_append(string, name);
	g_string_append_c(string, '=');
	g_string_append(string, value);
}

/* Parses 0x and lower-case digits, RANGE_DIGITS of them: the one form in which text sorts as numbers do. */
static bool parse_fixed(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text[0] != '0' || text[1] != 'x')
		return false;
	for (unsigned i = 2; i < 2 + RANGE_DIGITS; i++) {
		unsigned digit = (unsigned char)text[i] - '0';

		if (digit > 9) {
			digit = (unsigned char)text[i] - 'a' + 10u;
			if (digit < 10 || digit > 15)
				return false;
		}
		value = value << 4 | digit;
	}
	*ret_value = value;
	return true;
}

bool snapshot_parse_range(const char *text, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t first, last;

	if (strlen(text) != RANGE_LEN || text[RANGE_LEN / 2] != '-')
		return false;
	if (!parse_fixed(text, &first) || !parse_fixed(text + RANGE_LEN / 2 + 1, &last) || first > last)
		return false;
	*ret_first = first;
	*ret_last = last;
	return true;
}

const char *snapshot_line_get(const struct snapshot_line *line, const char *field)
{
	for (unsigned i = 0; i < line->field_count; i++)
		if (strcmp(line->fields[i].name, field) == 0)
			return line->fields[i].value;
	return NULL;
}

const struct snapshot_noun *snapshot_section_noun(const struct snapshot_section *section, const char *name)
{
	for (const struct snapshot_noun *noun = section->nouns; noun && noun->name; noun++)
		if (strcmp(noun->name, name) == 0)
			return noun;
	return NULL;
}

int snapshot_section_index(const struct snapshot_section *const *sections, const char *name)
{
	for (int i = 0; sections && sections[i]; i++)
		if (strcmp(sections[i]->name, name) == 0)
			return i;
	return -1;
}

const char *snapshot_reader_path(const struct snapshot_reader *reader)
{
	return input_path(reader->input);
}

bool snapshot_reader_ended(const struct snapshot_reader *reader)
{
	return input_offset(reader->input) == reader->len_bytes;
}

static int G_GNUC_PRINTF(3, 4)
	fault(const struct snapshot_reader *reader, GError **error, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	return sim_error_line(error, input_path(reader->input), input_line_number(reader->input), "%s",
			      message);
}

/* All of them are looked at: that is a few instructions for sixteen. */
static bool is_printable(const char *line, size_t len)
{
	unsigned char other = 0;

	for (size_t i = 0; i < len; i++)
		other |= (unsigned char)(line[i] - ' ') > '~' - ' ';
	return !other;
}

static int refuse_byte(const struct snapshot_reader *reader, const char *line, GError **error)
{
	while (*line >= ' ' && *line <= '~')
		line++;
	return fault(reader, error, "byte 0x%02x cannot stand in a snapshot", (unsigned char)*line);
}

/* Reads a line into reader->text, checked for what no line may hold. Returns 1, 0 at the end, -1 with *@error. */
static int read_line(struct snapshot_reader *reader, GError **error)
{
	const char *line;
	size_t len;
	int got = input_line(reader->input, &line, &len, error);

	if (got <= 0)
		return got;
	if (len > SNAPSHOT_LINE_MAX)
		return fault(reader, error, "line longer than %d bytes", SNAPSHOT_LINE_MAX);
	if (!is_printable(line, len))
		return refuse_byte(reader, line, error);
	g_string_truncate(reader->text, 0);
	g_string_append_len(reader->text, line, (gssize)len);
	reader->len_bytes += len + 1;
	return 1;
}

static void digest_line(struct snapshot_reader *reader)
{
	sha256_update(&reader->digest, reader->text->str, reader->text->len);
	sha256_update(&reader->digest, "\n", 1);
}

static int read_first_line(struct snapshot_reader *reader, GError **error)
{
	const char *path = input_path(reader->input), *line;
	const uint8_t *bytes;
	size_t len;
	ssize_t got = input_peek(reader->input, KIND_BYTES, &bytes, error);
	const char *kind;

	/* Looked at before a line is asked for: what is no text at all need not have a line that ends. */
	if (got < 0)
		return -1;
	if ((size_t)got < strlen(SNAPSHOT_MAGIC) ||
	    memcmp(bytes, SNAPSHOT_MAGIC, strlen(SNAPSHOT_MAGIC)) != 0) {
		kind = kind_of_file(bytes, (size_t)got);
		if (kind)
			return sim_error_line(error, path, 1, "not a snapshot, but %s", kind);
		return sim_error_line(error, path, 1, "not a snapshot: the first line is not \"%s\"",
				      SNAPSHOT_FIRST_LINE);
	}
	if (input_line(reader->input, &line, &len, error) <= 0)
		return -1;
	if (len != strlen(SNAPSHOT_FIRST_LINE) || memcmp(line, SNAPSHOT_FIRST_LINE, len) != 0)
		return sim_error_line(error, path, 1, "a snapshot of another version than 1");
	g_string_append_len(reader->text, line, (gssize)len);
	reader->len_bytes = len + 1;
	digest_line(reader);
	return 0;
}

struct snapshot_reader *snapshot_reader_new(const char *path, const struct snapshot_section *const *sections,
					    GError **error)
{
	struct snapshot_reader *reader;
	struct input *input = input_open(path, error);

	if (!input)
		return NULL;
	reader = g_new0(struct snapshot_reader, 1);
	reader->input = input;
	reader->sections = sections;
	reader->section_index = reader->section_anchor = -1;
	sha256_init(&reader->digest);
	reader->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	reader->text = g_string_new(NULL);
	reader->previous = g_string_new(NULL);
	reader->split = g_string_new(NULL);
	if (read_first_line(reader, error) < 0) {
		snapshot_reader_free(reader);
		return NULL;
	}
	return reader;
}

void snapshot_reader_free(struct snapshot_reader *reader)
{
	if (!reader)
		return;
	g_string_free(reader->split, TRUE);
	g_string_free(reader->previous, TRUE);
	g_string_free(reader->text, TRUE);
	g_hash_table_unref(reader->seen);
	g_free(reader->section);
	input_close(reader->input);
	g_free(reader);
}

static int read_header(struct snapshot_reader *reader, GError **error)
{
	char *key, *blank;

	if (reader->section)
		return fault(reader, error, "header line after the first section");
	g_string_assign(reader->split, reader->text->str);
	if (!g_str_has_prefix(reader->split->str, "# "))
		return fault(reader, error, "header line that is not \"# KEY VALUE\"");
	key = reader->split->str + 2;
	blank = strchr(key, ' ');
	if (blank)
		*blank = '\0';
	if (!snapshot_is_name(key))
		return fault(reader, error, "header line that is not \"# KEY VALUE\"");
	reader->key = key;
	reader->value = blank ? blank + 1 : "";
	return SNAPSHOT_HEADER;
}

static int read_section(struct snapshot_reader *reader, GError **error)
{
	g_autofree char *name = NULL;
	const char *text = reader->text->str;
	size_t len = reader->text->len;

	if (text[len - 1] != ']' || !is_name_len(text + 1, len - 2))
		return fault(reader, error, "section line that is not \"[NAME]\"");
	name = g_strndup(text + 1, len - 2);
	if (g_hash_table_contains(reader->seen, name))
		return fault(reader, error, "section [%s] a second time", name);
	if (g_hash_table_size(reader->seen) == SNAPSHOT_SECTIONS_MAX)
		return fault(reader, error, "more than %d sections", SNAPSHOT_SECTIONS_MAX);
	reader->section_index = snapshot_section_index(reader->sections, name);
	if (reader->section_index >= 0) {
		if (reader->section_index < reader->section_anchor)
			return fault(reader, error, "section [%s] after section [%s], which it precedes",
				     name, reader->sections[reader->section_anchor]->name);
		reader->section_anchor = reader->section_index;
	}
	g_hash_table_add(reader->seen, g_strdup(name));
	g_free(reader->section);
	reader->section = g_steal_pointer(&name);
	g_string_truncate(reader->previous, 0);
	return SNAPSHOT_SECTION;
}

/* As snapshot_line_get(), of which every field of every line is asked. */
static bool has_field(const struct snapshot_line *line, const char *name)
{
	for (unsigned i = 0; i < line->field_count; i++)
		if (line->fields[i].name[0] == name[0] && strcmp(line->fields[i].name, name) == 0)
			return true;
	return false;
}

/* Cuts @word, NAME=VALUE that ends at @end, into the next field. */
static int split_field(struct snapshot_reader *reader, char *word, const char *end, GError **error)
{
	struct snapshot_line *line = &reader->line;
	char *equals = memchr(word, '=', (size_t)(end - word));

	if (word == end)
		return fault(reader, error, "more than one blank between fields, or one at the end");
	if (!equals)
		return fault(reader, error, "field \"%s\" without '='", word);
	*equals = '\0';
	if (!is_name_len(word, (size_t)(equals - word)))
		return fault(reader, error, "\"%s\" cannot name a field", word);
	if (memchr(equals + 1, '=', (size_t)(end - equals - 1)))
		return fault(reader, error, "field \"%s\" with a second '='", word);
	if (line->field_count == SNAPSHOT_FIELDS_MAX)
		return fault(reader, error, "more than %d fields", SNAPSHOT_FIELDS_MAX);
	if (has_field(line, word))
		return fault(reader, error, "field \"%s\" a second time", word);
	reader->fields[line->field_count++] = (struct snapshot_field){.name = word, .value = equals + 1};
	return 0;
}

/* What is known about the fact's noun must be so: check and diff rely on it. */
static int check_keys(struct snapshot_reader *reader, GError **error)
{
	const struct snapshot_noun *noun = reader->noun;

	for (unsigned i = 0; noun->keys[i]; i++) {
		bool there = i < reader->line.field_count && strcmp(reader->fields[i].name, noun->keys[i]) == 0;
		const char *value = there ? reader->fields[i].value : snapshot_line_get(&reader->line, noun->keys[i]);

		if (!value)
			return fault(reader, error, "%s without its field \"%s\"", noun->name, noun->keys[i]);
		if (!there)
			return fault(reader, error, "field \"%s\" of %s is not number %u", noun->keys[i],
				     noun->name, i + 1);
		if (noun->range && strcmp(noun->range, noun->keys[i]) == 0 &&
		    !snapshot_parse_range(value, &reader->first, &reader->last))
			return fault(reader, error, "\"%s\" is not a range 0xFIRST-0xLAST of 16 digits each",
				     value);
	}
	return 0;
}

static void copy_string(GString *to, const GString *from)
{
	g_string_truncate(to, 0);
	g_string_append_len(to, from->str, (gssize)from->len);
}

/* Ends the word at @word, of a text that ends at @last, with a NUL. Returns where that is. */
static char *cut_word(char *word, char *last)
{
	char *end = memchr(word, ' ', (size_t)(last - word));

	if (!end)
		return last;
	*end = '\0';
	return end;
}

static int read_fact(struct snapshot_reader *reader, GError **error)
{
	char *word, *end, *last;

	if (!reader->section)
		return fault(reader, error, "fact before the first section");
	if (strcmp(reader->previous->str, reader->text->str) > 0)
		return fault(reader, error, "out of order: sorts before the line above it");
	copy_string(reader->previous, reader->text);
	copy_string(reader->split, reader->text);
	word = reader->split->str;
	last = word + reader->split->len;
	end = cut_word(word, last);
	if (!is_name_len(word, (size_t)(end - word)))
		return fault(reader, error, "\"%s\" cannot name a fact", word);
	reader->line = (struct snapshot_line){
		.section = reader->section,
		.text = reader->text->str,
		.noun = word,
		.fields = reader->fields,
		.number = input_line_number(reader->input),
	};
	while (end < last) {
		word = end + 1;
		end = cut_word(word, last);
		if (split_field(reader, word, end, error) < 0)
			return -1;
	}
	reader->noun = NULL;
	if (reader->section_index >= 0)
		reader->noun =
			snapshot_section_noun(reader->sections[reader->section_index], reader->line.noun);
	if (reader->noun && check_keys(reader, error) < 0)
		return -1;
	return SNAPSHOT_FACT;
}

static int read_digest(struct snapshot_reader *reader, GError **error)
{
	char digest[SHA256_HEX_LEN + 1];
	int got;

	sha256_finish(&reader->digest, digest);
	if (strcmp(reader->text->str + strlen(SNAPSHOT_DIGEST), digest) != 0)
		return fault(reader, error, "digest does not match");
	reader->has_digest = true;
	got = read_line(reader, error);
	if (got > 0)
		return fault(reader, error, "text after the digest");
	return got < 0 ? -1 : SNAPSHOT_END;
}

int snapshot_reader_next(struct snapshot_reader *reader, GError **error)
{
	int got = read_line(reader, error);

	if (got <= 0)
		return got < 0 ? -1 : SNAPSHOT_END;
	if (g_str_has_prefix(reader->text->str, SNAPSHOT_DIGEST))
		return read_digest(reader, error);
	digest_line(reader);
	switch (reader->text->str[0]) {
	case '\0':
		return fault(reader, error, "empty line");
	case '#':
		return read_header(reader, error);
	case '[':
		return read_section(reader, error);
	default:
		return read_fact(reader, error);
	}
}

static int visit(struct snapshot_reader *reader, int item, const struct snapshot_visitor *visitor, void *data,
		 GError **error)
{
	switch (item) {
	case SNAPSHOT_HEADER:
		return visitor->header ? visitor->header(data, reader->key, reader->value, error) : 0;
	case SNAPSHOT_SECTION:
		return visitor->section ? visitor->section(data, reader->section, error) : 0;
	default:
		return visitor->fact ? visitor->fact(data, &reader->line, error) : 0;
	}
}

int snapshot_read(const char *path, const struct snapshot_section *const *sections,
		  const struct snapshot_visitor *visitor, void *data, GError **error)
{
	struct snapshot_reader *reader = snapshot_reader_new(path, sections, error);
	int item, result = 0;

	if (!reader)
		return -1;
	while (result == 0 && (item = snapshot_reader_next(reader, error)) != SNAPSHOT_END)
		result = item < 0 ? -1 : visit(reader, item, visitor, data, error);
	snapshot_reader_free(reader);
	return result;
}
