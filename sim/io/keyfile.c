/* SPDX-License-Identifier: MIT */
#include "sim/io/keyfile.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/io/input.h"
#include "sim/io/kind.h"

#define KEYFILE_MAX (1u << 20)

struct keyfile {
	char *name;
	GKeyFile *keys;
	GHashTable *index; /* "group" or "group\nkey" -> struct entry; no name holds a newline */
};

struct entry {
	uint64_t line;
	char *value; /* stripped; NULL for a group */
};

/* Where the index builder is. It is stricter than GKeyFile, which then accepts what it accepted. */
struct scan {
	struct keyfile *keyfile;
	uint64_t line;
	char *group; /* NULL before the first */
};

static void entry_free(void *data)
{
	struct entry *entry = data;

	g_free(entry->value);
	g_free(entry);
}

static char *index_name(const char *group, const char *key)
{
	return key ? g_strdup_printf("%s\n%s", group, key) : g_strdup(group);
}

static const struct entry *index_find(const struct keyfile *keyfile, const char *group, const char *key)
{
	g_autofree char *name = index_name(group, key);

	return g_hash_table_lookup(keyfile->index, name);
}

static void index_add(struct scan *scan, const char *key)
{
	struct entry *entry = g_new0(struct entry, 1);

	entry->line = scan->line;
	g_hash_table_insert(scan->keyfile->index, index_name(scan->group, key), entry);
}

/* Returns what is wrong with @text as the name of a group or key, or NULL. */
static const char *name_fault(const char *text)
{
	if (*text == '\0')
		return "is empty";
	for (const char *c = text; *c; c++) {
		if (g_ascii_iscntrl(*c))
			return "holds a control character";
		if (*c == '[' || *c == ']')
			return "holds a bracket";
	}
	if (g_ascii_isspace(text[0]) || g_ascii_isspace(text[strlen(text) - 1]))
		return "has white space around it";
	return NULL;
}

/* @text begins with '[' and has no white space around it. */
static int scan_group(struct scan *scan, const char *text, GError **error)
{
	const char *file = scan->keyfile->name, *end = strchr(text, ']'), *fault;
	g_autofree char *group = NULL;
	const struct entry *first;

	if (!end)
		return sim_error_line(error, file, scan->line, "group without its closing bracket");
	if (end[1] != '\0')
		return sim_error_line(error, file, scan->line, "text after the group's closing bracket");
	group = g_strndup(text + 1, (size_t)(end - text - 1));
	fault = name_fault(group);
	if (fault)
		return sim_error_line(error, file, scan->line, "the group's name %s", fault);
	first = index_find(scan->keyfile, group, NULL);
	if (first)
		return sim_error_line(error, file, scan->line,
				      "duplicate group [%s], first on line %" G_GUINT64_FORMAT, group,
				      first->line);
	g_free(scan->group);
	scan->group = g_steal_pointer(&group);
	index_add(scan, NULL);
	return 0;
}

static int scan_key(struct scan *scan, const char *text, GError **error)
{
	const char *file = scan->keyfile->name, *equals = strchr(text, '='), *fault;
	g_autofree char *key = NULL;
	const struct entry *first;

	if (!equals)
		return sim_error_line(error, file, scan->line, "expected [GROUP], KEY = VALUE or # COMMENT");
	key = g_strchomp(g_strndup(text, (size_t)(equals - text)));
	fault = name_fault(key);
	if (fault)
		return sim_error_line(error, file, scan->line, "the key's name %s", fault);
	if (!scan->group)
		return sim_error_line(error, file, scan->line, "key \"%s\" stands before the first [GROUP]",
				      key);
	first = index_find(scan->keyfile, scan->group, key);
	if (first)
		return sim_error_line(error, file, scan->line,
				      "duplicate key \"%s\" in [%s], first on line %" G_GUINT64_FORMAT, key,
				      scan->group, first->line);
	index_add(scan, key);
	return 0;
}

static int scan_line(struct scan *scan, const char *bytes, size_t len, GError **error)
{
	const char *file = scan->keyfile->name;
	g_autofree char *text = NULL;

	if (memchr(bytes, '\0', len))
		return sim_error_line(error, file, scan->line, "NUL byte in a key file");
	if (!g_utf8_validate_len(bytes, len, NULL))
		return sim_error_line(error, file, scan->line, "not UTF-8");
	text = g_strstrip(g_strndup(bytes, len));
	if (*text == '\0' || *text == '#')
		return 0;
	return *text == '[' ? scan_group(scan, text, error) : scan_key(scan, text, error);
}

static int scan_lines(struct keyfile *keyfile, const GString *text, GError **error)
{
	struct scan scan = {.keyfile = keyfile};
	size_t begin = 0;
	int result = 0;

	while (begin < text->len && result == 0) {
		const char *newline = memchr(text->str + begin, '\n', text->len - begin);
		size_t end = newline ? (size_t)(newline - text->str) : text->len;

		scan.line++;
		result = scan_line(&scan, text->str + begin, end - begin, error);
		begin = end + 1;
	}
	g_free(scan.group);
	return result;
}

/* Takes the values from GKeyFile into the index, so that they can be lent out. */
static void index_values(struct keyfile *keyfile)
{
	GHashTableIter iter;
	void *name, *data;

	g_hash_table_iter_init(&iter, keyfile->index);
	while (g_hash_table_iter_next(&iter, &name, &data)) {
		const char *newline = strchr(name, '\n');
		g_autofree char *group = NULL;
		struct entry *entry = data;

		if (!newline)
			continue;
		group = g_strndup(name, (size_t)(newline - (char *)name));
		entry->value = g_key_file_get_value(keyfile->keys, group, newline + 1, NULL);
		g_assert(entry->value);
		g_strstrip(entry->value);
	}
}

static struct keyfile *keyfile_from(const char *name, const GString *text, GError **error)
{
	struct keyfile *keyfile = g_new0(struct keyfile, 1);
	g_autoptr(GError) refused = NULL;

	keyfile->name = g_strdup(name);
	keyfile->keys = g_key_file_new();
	keyfile->index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
	if (scan_lines(keyfile, text, error) < 0)
		goto fail;
	if (!g_key_file_load_from_data(keyfile->keys, text->str, text->len, G_KEY_FILE_NONE, &refused)) {
		sim_error_plain(error, "%s: %s", name, refused->message);
		goto fail;
	}
	index_values(keyfile);
	return keyfile;

fail:
	keyfile_free(keyfile);
	return NULL;
}

struct keyfile *keyfile_load(const char *path, GError **error)
{
	struct input *input = input_open(path, error);
	g_autoptr(GString) text = g_string_new(NULL);
	struct keyfile *keyfile = NULL;
	const char *line, *kind = NULL;
	const uint8_t *bytes;
	size_t len;
	ssize_t peeked;
	int got;

	if (!input)
		return NULL;
	peeked = input_peek(input, KIND_BYTES, &bytes, error);
	if (peeked > 0)
		kind = kind_of_no_keyfile(bytes, (size_t)peeked);
	if (kind)
		sim_error_plain(error, "%s: not a key file, but %s", path, kind);
	if (kind || peeked < 0) {
		input_close(input);
		return NULL;
	}
	while ((got = input_line(input, &line, &len, error)) > 0) {
		if (text->len + len + 1 > KEYFILE_MAX) {
			sim_error_line(error, path, input_line_number(input), "key file larger than 1 MiB");
			got = -1;
			break;
		}
		g_string_append_len(text, line, (gssize)len);
		g_string_append_c(text, '\n');
	}
	if (got == 0)
		keyfile = keyfile_from(path, text, error);
	input_close(input);
	return keyfile;
}

struct keyfile *keyfile_parse(const char *name, const char *text, GError **error)
{
	g_autoptr(GString) copy = g_string_new(text);

	return keyfile_from(name, copy, error);
}

void keyfile_free(struct keyfile *keyfile)
{
	if (!keyfile)
		return;
	g_hash_table_unref(keyfile->index);
	g_key_file_unref(keyfile->keys);
	g_free(keyfile->name);
	g_free(keyfile);
}

const char *keyfile_name(const struct keyfile *keyfile)
{
	return keyfile->name;
}

char **keyfile_groups(const struct keyfile *keyfile)
{
	return g_key_file_get_groups(keyfile->keys, NULL);
}

char **keyfile_keys(const struct keyfile *keyfile, const char *group)
{
	char **keys = g_key_file_get_keys(keyfile->keys, group, NULL, NULL);

	return keys ? keys : g_new0(char *, 1);
}

const char *keyfile_get(const struct keyfile *keyfile, const char *group, const char *key)
{
	const struct entry *entry = index_find(keyfile, group, key);

	return entry ? entry->value : NULL;
}

uint64_t keyfile_line(const struct keyfile *keyfile, const char *group, const char *key)
{
	const struct entry *entry = index_find(keyfile, group, key);

	return entry ? entry->line : 0;
}
