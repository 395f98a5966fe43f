/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_TESTS_GOLDEN_FILES_H
#define IOMMU_TESTS_GOLDEN_FILES_H

/*
 * For tests: recordings, from fixtures/ (compressed) and, where that folder exists, from the shared one
 * (plain).
 */
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include <glib.h>

typedef bool (*golden_emit)(const char *name, const char *text, size_t len, GString *out, GError **error);

/** Returns the contents of @path, unpacked if it ends in .zst; free with g_free(). */
static inline char *golden_read(const char *path, size_t *ret_len)
{
	g_autofree char *packed = NULL;
	char *text;
	gsize len;

	g_assert_true(g_file_get_contents(path, &packed, &len, NULL));
	*ret_len = len;
	if (!g_str_has_suffix(path, ".zst"))
		return g_steal_pointer(&packed);
	*ret_len = ZSTD_getFrameContentSize(packed, len);
	g_assert_cmpuint(*ret_len, <, 64u << 20);
	text = g_malloc(*ret_len + 1);
	g_assert_cmpuint(ZSTD_decompress(text, *ret_len, packed, len), ==, *ret_len);
	text[*ret_len] = '\0';
	return text;
}

/** Fails with the first line that differs, if any does. */
static inline void golden_compare(const char *path, const char *expected, size_t len, const GString *got)
{
	const char *line = expected;
	unsigned number = 1;
	size_t at = 0;

	for (; at < len && at < got->len && expected[at] == got->str[at]; at++)
		if (expected[at] == '\n') {
			line = expected + at + 1;
			number++;
		}
	if (at == len && at == got->len)
		return;
	g_test_message("%s:%u: recorded: %.*s", path, number, (int)strcspn(line, "\n"), line);
	g_test_message("%s:%u: model:    %.*s", path, number,
		       (int)strcspn(got->str + (line - expected), "\n"), got->str + (line - expected));
	g_test_fail();
}

/** Lets @emit answer every recording of fixtures/golden/pagetable/ whose name begins with @prefix, and the
 * same from the shared folder; compares. */
static inline void golden_check_all(const char *prefix, golden_emit emit)
{
	const char *shared = g_getenv("SHARED");
	g_autofree char *fixtures = g_build_filename(g_getenv("FIXTURES"), "golden/pagetable", NULL);
	g_autofree char *recorded = g_build_filename(shared ? shared : "", "golden/pagetable", NULL);
	const char *folders[] = {fixtures, recorded};
	unsigned files = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autoptr(GDir) dir = g_dir_open(folders[i], 0, NULL);
		const char *name;

		while (dir && (name = g_dir_read_name(dir))) {
			g_autofree char *path = g_build_filename(folders[i], name, NULL);
			g_autoptr(GString) out = g_string_new(NULL);
			g_autoptr(GError) error = NULL;
			g_autofree char *text = NULL;
			size_t len;

			if (!g_str_has_prefix(name, prefix))
				continue;
			text = golden_read(path, &len);
			emit(path, text, len, out, &error);
			g_assert_no_error(error);
			golden_compare(path, text, len, out);
			files++;
		}
	}
	g_assert_cmpuint(files, >, 0);
}

#endif
