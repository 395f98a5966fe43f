/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/machine/machine.h"
#include "sim/report/facts.h"
#include "sim/snapshot/snapshot.h"

/* ---- show ---- */

struct snapshot_shown {
	struct facts *facts;
	GString *section; /* lines of the section being read, as a table */
	bool in_section, in_header;
};

static void snapshot_end_section(struct snapshot_shown *shown)
{
	if (shown->in_header)
		facts_end(shown->facts);
	if (shown->in_section)
		facts_list_end(shown->facts);
	shown->in_header = shown->in_section = false;
}

static int snapshot_show_header(void *data, const char *key, const char *value, GError **error)
{
	struct snapshot_shown *shown = data;

	facts_text(shown->facts, key, key, value);
	return 0;
}

/** The JSON key of a section: a plural. */
static char *snapshot_plural(const char *name)
{
	return g_str_has_suffix(name, "s") ? g_strdup(name) : g_strconcat(name, "s", NULL);
}

static int snapshot_show_section(void *data, const char *name, GError **error)
{
	struct snapshot_shown *shown = data;
	g_autofree char *key = snapshot_plural(name);

	snapshot_end_section(shown);
	facts_list_begin(shown->facts, key, name);
	shown->in_section = true;
	return 0;
}

/** For people: the values with their names, ranges and addresses without leading zeroes. */
static void snapshot_append_value(GString *line, const char *name, const char *value)
{
	uint64_t first, last;

	if (snapshot_parse_range(value, &first, &last))
		g_string_append_printf(line, " %s=0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x", name,
				       first, last);
	else
		g_string_append_printf(line, " %s=%s", name, value);
}

static int snapshot_show_fact(void *data, const struct snapshot_line *line, GError **error)
{
	struct snapshot_shown *shown = data;
	g_autoptr(GString) text = g_string_new(line->noun);

	facts_begin(shown->facts, NULL, NULL);
	facts_text(shown->facts, "noun", NULL, line->noun);
	for (unsigned i = 0; i < line->field_count; i++) {
		facts_text(shown->facts, line->fields[i].name, NULL, line->fields[i].value);
		snapshot_append_value(text, line->fields[i].name, line->fields[i].value);
	}
	facts_end(shown->facts);
	facts_line(shown->facts, "%s", text->str);
	return 0;
}

int cmd_snapshot_show(const struct command *command, int argc, char **argv)
{
	static const struct snapshot_visitor visitor = {snapshot_show_header, snapshot_show_section,
							snapshot_show_fact};
	struct snapshot_shown shown = {0};
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return common.exit_code;
	shown.facts = facts_new();
	facts_begin(shown.facts, "header", NULL);
	shown.in_header = true;
	if (snapshot_read(common.args[0], machine_sections, &visitor, &shown, &error) == 0) {
		g_autofree char *text = NULL;

		snapshot_end_section(&shown);
		text = common.json ? facts_to_json(shown.facts) : facts_to_text(shown.facts);
		if (!cmd_print(text))
			code = EXIT_UNUSABLE;
	} else {
		code = cmd_fail_error(error);
	}
	facts_free(shown.facts);
	cmd_common_clear(&common);
	return code;
}

/* ---- check ---- */

struct snapshot_findings {
	struct facts *facts;
	uint64_t count;
	bool json;
};

static void snapshot_finding(void *data, const char *text, const char *const *fields)
{
	struct snapshot_findings *findings = data;

	findings->count++;
	if (!findings->json) {
		puts(text);
		return;
	}
	facts_begin(findings->facts, NULL, NULL);
	for (unsigned i = 0; fields[i]; i += 2)
		facts_text(findings->facts, fields[i], NULL, fields[i + 1]);
	facts_end(findings->facts);
}

/** Prints the JSON where that was asked for, and makes the exit code of @result. */
static int snapshot_conclude(struct snapshot_findings *findings, int result, GError *error)
{
	g_autofree char *json = NULL;

	facts_list_end(findings->facts);
	if (result < 0)
		return cmd_fail_error(error);
	facts_u64(findings->facts, "count", NULL, findings->count);
	json = facts_to_json(findings->facts);
	if (!cmd_print(findings->json ? json : ""))
		return EXIT_UNUSABLE;
	return result ? EXIT_FOUND : EXIT_DONE;
}

int cmd_snapshot_check(const struct command *command, int argc, char **argv)
{
	struct snapshot_findings findings = {0};
	struct cmd_common common;
	GError *error = NULL;
	int result, code;

	if (!cmd_parse(command, argc, argv, NULL, 1, 1, &common))
		return common.exit_code;
	findings.facts = facts_new();
	findings.json = common.json;
	facts_list_begin(findings.facts, "findings", NULL);
	result = snapshot_check(common.args[0], machine_sections, snapshot_finding, &findings, &error);
	if (result == 0 && !common.json)
		printf("%s: sound\n", common.args[0]);
	code = snapshot_conclude(&findings, result, error);
	facts_free(findings.facts);
	cmd_common_clear(&common);
	return code;
}
