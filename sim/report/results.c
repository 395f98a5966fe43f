/* SPDX-License-Identifier: MIT */
#include "sim/report/results.h"

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/input.h"

#define ROW_NS UINT64_C(10000000) /* of a time line, where machine.ini does not say */

/** Keeps the text of machine.ini, which keyfile_load() has accepted: comments say what keys are for. */
static bool results_read_lines(struct results *results, const char *path, GError **error)
{
	struct input *input = input_open(path, error);
	const char *line;
	size_t len;
	int got;

	if (!input)
		return false;
	results->machine_lines = g_ptr_array_new_with_free_func(g_free);
	while ((got = input_line(input, &line, &len, error)) > 0)
		g_ptr_array_add(results->machine_lines, g_strndup(line, len));
	input_close(input);
	return got == 0;
}

static bool results_read_machine(struct results *results, GError **error)
{
	g_autofree char *path = g_build_filename(results->dir, "machine.ini", NULL);

	if (!g_file_test(path, G_FILE_TEST_EXISTS))
		return true;
	results->machine = keyfile_load(path, error);
	return results->machine && results_read_lines(results, path, error);
}

static bool results_read_timeline(struct results *results, GError **error)
{
	g_autofree char *path = g_build_filename(results->dir, "timeline.csv", NULL);
	const char *row = results->machine ? keyfile_get(results->machine, "machine", "timeline") : NULL;
	uint64_t row_ns = ROW_NS;

	if (!g_file_test(path, G_FILE_TEST_EXISTS))
		return true;
	if (row && (!text_parse_time(row, &row_ns) || !row_ns)) {
		g_autofree char *machine = g_build_filename(results->dir, "machine.ini", NULL);

		return sim_error_line(error, machine, keyfile_line(results->machine, "machine", "timeline"),
				      "machine.timeline: \"%s\" must be a time", row) == 0;
	}
	results->timeline = timeline_load(path, row_ns, error);
	return results->timeline != NULL;
}

struct results *results_load(const char *dir, GError **error)
{
	g_autofree char *path = g_build_filename(dir, "run.json", NULL);
	struct results *results = g_new0(struct results, 1);

	results->dir = g_strdup(dir);
	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		sim_error_plain(error, "%s: no run.json in it: give a directory that replay -o wrote", dir);
	} else {
		results->run = document_load(path, error);
		if (results->run && results_read_machine(results, error) &&
		    results_read_timeline(results, error))
			return results;
	}
	results_free(results);
	return NULL;
}

void results_free(struct results *results)
{
	if (!results)
		return;
	g_free(results->dir);
	document_free(results->run);
	keyfile_free(results->machine);
	if (results->machine_lines)
		g_ptr_array_unref(results->machine_lines);
	g_free(results->timeline);
	g_free(results);
}
