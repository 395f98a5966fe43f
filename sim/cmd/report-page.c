/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/core/error.h"
#include "sim/io/output.h"
#include "sim/report/facts.h"
#include "sim/report/page.h"

/** Prints what was written, unless that is the output itself. */
static bool report_tell(const struct cmd_common *common, const char *path, uint64_t bytes)
{
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;

	facts_text(facts, "page", "page", path);
	facts_size(facts, "page_bytes", "size", bytes);
	text = common->json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return strcmp(path, "-") == 0 || cmd_print(text);
}

/** Reads the runs in @dirs (NULL-ended, as many as a page takes), and writes their page as @path. */
static bool report_write(const char *path, char **dirs, uint64_t *ret_bytes, GError **error)
{
	struct results *runs[PAGE_RUNS_MAX] = {NULL};
	unsigned count = 0;
	GString *html = NULL;
	struct output *output;
	bool ok = true;

	for (; dirs[count] && ok; count++) {
		runs[count] = results_load(dirs[count], error);
		ok = runs[count] != NULL;
	}
	if (ok)
		html = page_new(runs, count, IOMMUSIM_VERSION, error);
	for (unsigned i = 0; i < count; i++)
		results_free(runs[i]);
	if (!html)
		return false;
	output = output_new(path, error);
	if (output)
		output_write(output, html->str, html->len);
	*ret_bytes = html->len;
	g_string_free(html, TRUE);
	return output && output_commit(output, error);
}

int cmd_report(const struct command *command, int argc, char **argv)
{
	char *path = NULL;
	const GOptionEntry entries[] = {
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &path, "the page to write", "FILE.html"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct cmd_common common;
	GError *error = NULL;
	uint64_t bytes = 0;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, entries, 1, PAGE_RUNS_MAX, &common)) {
		g_free(path);
		return common.exit_code;
	}
	if (!path)
		code = cmd_fail("report: say where the page goes: -o FILE.html");
	else if (!report_write(path, common.args, &bytes, &error))
		code = cmd_fail_error(error);
	else if (!report_tell(&common, path, bytes))
		code = EXIT_UNUSABLE;
	g_free(path);
	cmd_common_clear(&common);
	return code;
}
