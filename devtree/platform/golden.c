/* SPDX-License-Identifier: MIT */
#include "devtree/platform/golden.h"

#include <string.h>

#include "devtree/fdt/facts.h"
#include "devtree/platform/board.h"
#include "sim/core/error.h"

static bool begins_with(const char *text, size_t len, const char *line)
{
	size_t line_len = strlen(line);

	return len > line_len && memcmp(text, line, line_len) == 0 && text[line_len] == '\n';
}

static bool facts_probe(const char *text, size_t len)
{
	return begins_with(text, len, "golden devtree facts v1");
}

static bool leaks_probe(const char *text, size_t len)
{
	return begins_with(text, len, "leak expectations v1");
}

/** Returns the name of the blob, which the second line of @text says; NULL with *@error. Free with g_free(). */
static char *blob_name(const char *name, const char *text, size_t len, GError **error)
{
	static const char word[] = "dtb ";
	const char *begin = (const char *)memchr(text, '\n', len) + 1, *end = text + len, *newline;
	g_autofree char *blob = NULL;

	newline = memchr(begin, '\n', (size_t)(end - begin));
	if (newline && (size_t)(newline - begin) > strlen(word) && memcmp(begin, word, strlen(word)) == 0)
		blob = g_strndup(begin + strlen(word), (size_t)(newline - begin) - strlen(word));
	/* Beside the other blobs, and nowhere else. */
	if (!blob || strlen(blob) != (size_t)(newline - begin) - strlen(word) || strchr(blob, '/') || blob[0] == '.') {
		sim_error_line(error, name, 2, "must be \"dtb\" and the name of a blob");
		return NULL;
	}
	return g_steal_pointer(&blob);
}

/** Returns the path of @blob in @boards or, if it is not there, in a folder of it: the first by name. Free with g_free(). */
static char *blob_path(const char *boards, const char *blob)
{
	char *path = g_build_filename(boards, blob, NULL);
	GDir *dir = g_file_test(path, G_FILE_TEST_EXISTS) ? NULL : g_dir_open(boards, 0, NULL);
	g_autofree char *first = NULL;
	const char *folder;

	while (dir && (folder = g_dir_read_name(dir))) {
		g_autofree char *inner = g_build_filename(boards, folder, blob, NULL);

		if (g_file_test(inner, G_FILE_TEST_EXISTS) && (!first || strcmp(inner, first) < 0)) {
			g_free(first);
			first = g_steal_pointer(&inner);
		}
	}
	if (dir)
		g_dir_close(dir);
	if (!first)
		return path;
	g_free(path);
	return g_steal_pointer(&first);
}

static struct devtree *blob_load(const char *boards, const char *blob, GError **error)
{
	g_autofree char *path = blob_path(boards, blob);

	return devtree_load(path, NULL, error);
}

static bool facts_emit(const char *name, const char *text, size_t len, const char *boards, GString *out,
		       GError **error)
{
	g_autofree char *blob = blob_name(name, text, len, error);
	struct devtree *tree = blob ? blob_load(boards, blob, error) : NULL;
	bool ok = tree && dt_facts(tree, blob, out);

	if (tree && !ok)
		sim_error_plain(error, "%s: more than %u MiB of facts", tree->name, DT_FACTS_BYTES_MAX >> 20);
	devtree_free(tree);
	return ok;
}

static bool leaks_emit(const char *name, const char *text, size_t len, const char *boards, GString *out,
		       GError **error)
{
	g_autofree char *blob = blob_name(name, text, len, error);
	struct devtree *tree = blob ? blob_load(boards, blob, error) : NULL;
	struct board_leaks leaks;
	bool ok = tree && board_leaks(tree, &leaks, error);

	if (ok) {
		board_leaks_print(out, &leaks, blob);
		board_leaks_clear(&leaks);
	}
	devtree_free(tree);
	return ok;
}

const struct golden_runner devtree_facts_golden_runner = {
	.kind = "devtree-facts", .probe = facts_probe, .emit_board = facts_emit};
const struct golden_runner devtree_leaks_golden_runner = {
	.kind = "devtree-leaks", .probe = leaks_probe, .emit_board = leaks_emit};
