/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "blockdma/golden.h"
#include "devtree/platform/golden.h"
#include "iommu/hw/golden.h"
#include "iommu/iotlb/amd-inv.h"
#include "iommu/iotlb/vtd-inv.h"
#include "iommu/iova/golden.h"
#include "iommu/pgtable/golden.h"
#include "sim/cmd/cmd.h"
#include "sim/core/error.h"
#include "sim/io/input.h"
#include "sim/report/facts.h"

#define CONFORM_BYTES_MAX (1u << 30) /* of a recording, uncompressed */

static const struct golden_runner *const conform_runners[] = {
	&iova_golden_runner,	&alloc_order_golden_runner, &pgtable_golden_runner,
	&iommu_hw_golden_runner, &vtd_inv_golden_runner,    &amd_inv_golden_runner,
	&blockdma_golden_runner, &devtree_facts_golden_runner, &devtree_leaks_golden_runner,
	NULL,
};

static const struct golden_runner *conform_runner(const GString *text)
{
	for (unsigned i = 0; conform_runners[i]; i++)
		if (conform_runners[i]->probe(text->str, text->len))
			return conform_runners[i];
	return NULL;
}

/** Returns the whole of @path, decompressed; NULL with *@error. */
static GString *conform_read(const char *path, GError **error)
{
	struct input *input = input_open(path, error);
	GString *text = g_string_new(NULL);
	const uint8_t *bytes;
	ssize_t len;

	while (input && (len = input_peek(input, 65536, &bytes, error)) > 0) {
		if (text->len + (size_t)len > CONFORM_BYTES_MAX) {
			sim_error_plain(error, "%s: larger than 1 GiB", path);
			len = -1;
			break;
		}
		g_string_append_len(text, (const char *)bytes, len);
		input_skip(input, (size_t)len);
	}
	if (input && len == 0) {
		input_close(input);
		return text;
	}
	if (input)
		input_close(input);
	g_string_free(text, TRUE);
	return NULL;
}

static bool conform_run(const struct golden_runner *runner, const char *path, const GString *text,
			const char *boards, GString *out, GError **error)
{
	if (!runner->emit_board)
		return runner->emit(path, text->str, text->len, out, error);
	if (!boards)
		return sim_error_plain(error, "%s: is about a board: say where the blobs are with --boards=DIR",
				       path) == 0;
	return runner->emit_board(path, text->str, text->len, boards, out, error);
}

/* ---- which files ---- */

/** Whether a file of a directory only accompanies the recordings. */
static bool conform_accompanies(const char *base)
{
	static const char *const patterns[] = {"README*", "MANIFEST*", "*SUMS", "*.tsv",
					       "*.json",  "*.md",      ".*"};

	for (unsigned i = 0; i < G_N_ELEMENTS(patterns); i++)
		if (g_pattern_match_simple(patterns[i], base))
			return true;
	return false;
}

static int conform_compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** Appends the files below @directory, sorted. */
static bool conform_list(const char *directory, GPtrArray *paths, GError **error)
{
	GDir *dir = g_dir_open(directory, 0, NULL);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	const char *base;
	bool ok = true;

	if (!dir)
		return sim_error_plain(error, "%s: cannot be read", directory) == 0;
	while ((base = g_dir_read_name(dir)))
		if (!conform_accompanies(base))
			g_ptr_array_add(names, g_build_filename(directory, base, NULL));
	g_dir_close(dir);
	g_ptr_array_sort(names, conform_compare_names);
	for (guint i = 0; ok && i < names->len; i++) {
		const char *path = g_ptr_array_index(names, i);

		if (g_file_test(path, G_FILE_TEST_IS_DIR))
			ok = conform_list(path, paths, error);
		else
			g_ptr_array_add(paths, g_strdup(path));
	}
	return ok;
}

/* ---- running ---- */

struct conform {
	struct facts *facts;
	const char *boards; /* --boards, or NULL */
	bool json;
	unsigned passed, failed;
	unsigned skipped; /* files of directories that are no recordings */
	char *first_skipped;
};

/** The line that begins at @text, without its newline, at most 200 bytes of it, those that cannot be shown as "?". */
static char *conform_line_at(const char *text, const char *end)
{
	const char *newline = text < end ? memchr(text, '\n', (size_t)(end - text)) : NULL;
	size_t len = text < end ? (size_t)((newline ? newline : end) - text) : 0;
	char *line;

	if (text >= end)
		return g_strdup("(end of the file)");
	line = g_strndup(text, MIN(len, 200));
	for (char *at = line; *at; at++)
		if (!g_ascii_isprint(*at))
			*at = '?';
	return line;
}

/** Returns the number of the first line in which the texts differ, 0 if in none; then both lines, to be freed. */
static uint64_t conform_difference(const GString *a, const GString *b, char **ret_a, char **ret_b)
{
	size_t line_start = 0, at = 0, shorter = MIN(a->len, b->len);
	uint64_t line = 1;

	for (; at < shorter && a->str[at] == b->str[at]; at++)
		if (a->str[at] == '\n') {
			line_start = at + 1;
			line++;
		}
	if (at == a->len && at == b->len)
		return 0;
	*ret_a = conform_line_at(a->str + line_start, a->str + a->len);
	*ret_b = conform_line_at(b->str + line_start, b->str + b->len);
	return line;
}

/** Says how @path came out. @line: the first that differs, and how it does; 0: none does. */
static void conform_report(struct conform *conform, const char *path, const char *kind, uint64_t line,
			   const char *recorded, const char *modelled)
{
	*(line ? &conform->failed : &conform->passed) += 1;
	if (line && !conform->json)
		printf("failed: %s: line %" G_GUINT64_FORMAT ": recorded \"%s\", model \"%s\"\n", path, line,
		       recorded, modelled);
	else if (!conform->json)
		printf("passed: %s\n", path);
	facts_begin(conform->facts, NULL, NULL);
	facts_text(conform->facts, "file", NULL, path);
	facts_text(conform->facts, "kind", NULL, kind);
	facts_bool(conform->facts, "passed", NULL, !line);
	if (line) {
		facts_u64(conform->facts, "line", NULL, line);
		facts_text(conform->facts, "recorded", NULL, recorded);
		facts_text(conform->facts, "model", NULL, modelled);
	}
	facts_end(conform->facts);
}

static void conform_skip(struct conform *conform, const char *path)
{
	if (!conform->skipped)
		conform->first_skipped = g_strdup(path);
	conform->skipped++;
}

/** Emits @path and compares it with itself. @named: the user named this very file. */
static bool conform_one(struct conform *conform, const char *path, bool named, GError **error)
{
	g_autoptr(GString) out = g_string_new(NULL);
	GString *text = conform_read(path, error);
	const struct golden_runner *runner;
	g_autofree char *recorded = NULL, *modelled = NULL;
	uint64_t line;
	bool ok = false;

	if (!text)
		return false;
	runner = conform_runner(text);
	if (!runner) {
		if (named)
			sim_error_plain(error, "%s: not a recording of a kind that is known", path);
		else
			conform_skip(conform, path);
		ok = !named;
		goto out;
	}
	if (!conform_run(runner, path, text, conform->boards, out, error))
		goto out;
	line = conform_difference(text, out, &recorded, &modelled);
	conform_report(conform, path, runner->kind, line, recorded, modelled);
	ok = true;
out:
	g_string_free(text, TRUE);
	return ok;
}

static bool conform_argument(struct conform *conform, const char *path, GError **error)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

	if (!g_file_test(path, G_FILE_TEST_IS_DIR))
		return conform_one(conform, path, true, error);
	if (!conform_list(path, paths, error))
		return false;
	for (guint i = 0; i < paths->len; i++)
		if (!conform_one(conform, g_ptr_array_index(paths, i), false, error))
			return false;
	return true;
}

static int conform_emit(const char *path, const char *boards)
{
	g_autoptr(GString) out = g_string_new(NULL);
	GError *error = NULL;
	GString *text = conform_read(path, &error);
	const struct golden_runner *runner;
	int code = EXIT_DONE;

	if (!text)
		return cmd_fail_error(error);
	runner = conform_runner(text);
	if (!runner)
		code = cmd_fail("%s: not a recording of a kind that is known", path);
	else if (!conform_run(runner, path, text, boards, out, &error))
		code = cmd_fail_error(error);
	else if (!cmd_print(out->str))
		code = EXIT_UNUSABLE;
	g_string_free(text, TRUE);
	return code;
}

/** Prints what it comes to. Returns the exit code. */
static int conform_sum_up(struct conform *conform)
{
	g_autofree char *text = NULL;

	if (conform->skipped)
		fprintf(stderr, "iommusim: skipped %u file%s of no kind of recording that is known: %s%s\n",
			conform->skipped, conform->skipped == 1 ? "" : "s", conform->first_skipped,
			conform->skipped == 1 ? "" : " and more");
	facts_u64(conform->facts, "passed", NULL, conform->passed);
	facts_u64(conform->facts, "failed", NULL, conform->failed);
	facts_u64(conform->facts, "skipped", NULL, conform->skipped);
	text = conform->json ? facts_to_json(conform->facts)
			     : g_strdup_printf("%u passed, %u failed\n", conform->passed, conform->failed);
	if (!cmd_print(text))
		return EXIT_UNUSABLE;
	return conform->failed ? EXIT_FOUND : EXIT_DONE;
}

static int conform_all(const struct cmd_common *common, const char *boards)
{
	struct conform conform = {.facts = facts_new(), .boards = boards, .json = common->json};
	GError *error = NULL;
	bool ok = true;
	int code;

	facts_list_begin(conform.facts, "files", NULL);
	for (char **path = common->args; *path && ok; path++)
		ok = conform_argument(&conform, *path, &error);
	facts_list_end(conform.facts);
	if (!ok)
		code = cmd_fail_error(error);
	else if (conform.passed + conform.failed == 0)
		code = cmd_fail("%s: no recording of a kind that is known in it", common->args[0]);
	else
		code = conform_sum_up(&conform);
	g_free(conform.first_skipped);
	facts_free(conform.facts);
	return code;
}

int cmd_conform(const struct command *command, int argc, char **argv)
{
	g_autofree char *boards = NULL;
	gboolean emit = FALSE;
	const GOptionEntry entries[] = {
		{"boards", 0, 0, G_OPTION_ARG_FILENAME, &boards,
		 "where the blobs are that recordings of boards name", "DIR"},
		{"emit", 0, 0, G_OPTION_ARG_NONE, &emit, "print the one file as the model has it", NULL},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct cmd_common common;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, G_MAXUINT, &common))
		return common.exit_code;
	if (emit && common.args[1])
		code = cmd_fail("conform --emit takes one file");
	else
		code = emit ? conform_emit(common.args[0], boards) : conform_all(&common, boards);
	cmd_common_clear(&common);
	return code;
}
