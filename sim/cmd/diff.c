/* SPDX-License-Identifier: MIT */
/*
 * diff: two snapshots compared by meaning. What is found is kept in a temporary file, so that the summary can stand
 * first and memory stays bounded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/cmd/cmd.h"
#include "sim/cmd/diff-cause.h"
#include "sim/core/text.h"
#include "sim/machine/machine.h"
#include "sim/report/facts.h"
#include "sim/snapshot/snapshot.h"

#define CHANGES_MAX 1000 /* counted apart: a change can name who it is about */
#define CAUSES_MAX  3	 /* told of one change */

#define BOLD   "\033[1m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

/** So many findings of one cause. */
struct diff_share {
	const struct diff_cause *cause;
	uint64_t count;
};

/** So many findings of one change. */
struct diff_change {
	uint64_t count, bytes;
	GArray *shares; /* of struct diff_share */
};

struct diff_run {
	struct diff_causes *causes;
	GHashTable *changes; /* what it is called -> struct diff_change */
	struct facts *facts;
	FILE *details; /* of the findings, as they will be printed; NULL: not wanted */
	uint64_t count, not_followed;
	bool json, colour;
};

static void change_free(void *data)
{
	struct diff_change *change = data;

	g_array_unref(change->shares);
	g_free(change);
}

/* ---- as it is found ---- */

static struct diff_change *diff_change_of(struct diff_run *run, const char *name)
{
	struct diff_change *change;

	if (g_hash_table_size(run->changes) >= CHANGES_MAX && !g_hash_table_contains(run->changes, name))
		name = "other change";
	change = g_hash_table_lookup(run->changes, name);
	if (!change) {
		change = g_new0(struct diff_change, 1);
		change->shares = g_array_new(FALSE, FALSE, sizeof(struct diff_share));
		g_hash_table_insert(run->changes, g_strdup(name), change);
	}
	return change;
}

static void diff_count_cause(struct diff_change *change, const struct diff_cause *cause)
{
	struct diff_share share = {cause, 1};

	for (guint i = 0; i < change->shares->len; i++) {
		struct diff_share *known = &g_array_index(change->shares, struct diff_share, i);

		if (known->cause == cause) {
			known->count++;
			return;
		}
	}
	g_array_append_val(change->shares, share);
}

/** Returns the length of the range that the finding is about, 0 if it is about none. */
static uint64_t diff_bytes(const char *const *fields)
{
	uint64_t first, last;

	for (unsigned i = 0; fields[i]; i += 2)
		if (snapshot_parse_range(fields[i + 1], &first, &last))
			return last - first + 1;
	return 0;
}

/** The colour of a finding: gone, come, or changed. */
static const char *diff_colour(const char *change, const char *const *fields)
{
	for (unsigned i = 0; fields[i]; i += 2)
		if (strcmp(fields[i], "field") == 0)
			return YELLOW;
	return strstr(change, "removed") || strstr(change, "no longer") || strstr(change, "dropped") ? RED
												     : GREEN;
}

/** For people: blanks as blanks; what else a snapshot does not hold stays escaped, as a terminal should not get it. */
static char *diff_said(const char *text)
{
	g_auto(GStrv) words = g_strsplit(text, "%20", -1);

	return g_strjoinv(" ", words);
}

static void diff_write_detail(const struct diff_run *run, const char *text, const char *const *fields,
			      const struct diff_cause *cause)
{
	g_autofree char *said = diff_said(text);

	fprintf(run->details, "%s%s%s%s%s%s\n", run->colour ? diff_colour(fields[1], fields) : "", said,
		run->colour ? PLAIN : "", cause ? " (" : "", cause ? cause->whole : "", cause ? ")" : "");
}

/** Writes @text as a JSON string. */
static void diff_write_string(FILE *file, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);

	putc('"', file);
	for (const char *at = valid; *at; at++) {
		unsigned char c = (unsigned char)*at;

		if (c == '"' || c == '\\')
			putc('\\', file);
		if (c < ' ' || c == 0x7f)
			fprintf(file, "\\u%04x", c);
		else
			putc(c, file);
	}
	putc('"', file);
}

static void diff_write_member(FILE *file, const char *name, const char *value, bool first)
{
	fputs(first ? "\n      " : ",\n      ", file);
	diff_write_string(file, name);
	fputs(" : ", file);
	diff_write_string(file, value);
}

/** As an element of the array, as facts_to_json() would have it. */
static void diff_write_json(const struct diff_run *run, const char *const *fields,
			    const struct diff_cause *cause)
{
	fputs(run->count > 1 ? ",\n    {" : "\n    {", run->details);
	for (unsigned i = 0; fields[i]; i += 2)
		diff_write_member(run->details, fields[i], fields[i + 1], i == 0);
	if (cause)
		diff_write_member(run->details, "cause", cause->whole, false);
	fputs("\n    }", run->details);
}

static void diff_finding(void *data, const char *text, const char *const *fields)
{
	struct diff_run *run = data;
	const struct diff_cause *cause = diff_causes_of(run->causes, fields);
	struct diff_change *change = diff_change_of(run, fields[1]);

	run->count++;
	change->count++;
	change->bytes += diff_bytes(fields);
	diff_count_cause(change, cause);
	if (run->details && run->json)
		diff_write_json(run, fields, cause);
	else if (run->details)
		diff_write_detail(run, text, fields, cause);
}

/* ---- the summary ---- */

/** Returns the changes by name. */
static GList *diff_names(const struct diff_run *run)
{
	return g_list_sort(g_hash_table_get_keys(run->changes), (GCompareFunc)strcmp);
}

/** "mapping added" of three: "3 mappings added". */
static char *diff_plural(const char *change, uint64_t count)
{
	static const char *const words[][2] = {
		{"mapping", "mappings"},     {"IOVA", "IOVAs"},
		{"entry", "entries"},	     {"reference", "references"},
		{"request", "requests"},     {"domain", "domains"},
		{"flush", "flushes"},	     {"permission", "permissions"},
		{"queue", "queues"},	     {"pool", "pools"},
		{"table", "tables"},	     {"change", "changes"},
		{"violation", "violations"}, {"segment", "segments"},
		{"device", "devices"},	     {"size", "sizes"},
	};
	g_auto(GStrv) parts = g_strsplit(change, " ", -1);

	for (char **part = parts; *part && count != 1; part++)
		for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
			if (strcmp(*part, words[i][0]) == 0) {
				g_autofree char *rest = NULL;

				g_free(*part);
				*part = g_strdup(words[i][1]);
				rest = g_strjoinv(" ", parts);
				return g_strdup_printf("%" G_GUINT64_FORMAT " %s", count, rest);
			}
	return g_strdup_printf("%" G_GUINT64_FORMAT " %s", count, change);
}

/** Appends whom it was by: ", all by …", or ", 2 by …, 1 by …". */
static void diff_append_causes(GString *line, const struct diff_change *change)
{
	unsigned told = 0;

	for (guint i = 0; i < change->shares->len; i++) {
		const struct diff_share *share = &g_array_index(change->shares, struct diff_share, i);

		if (!share->cause || told++ >= CAUSES_MAX)
			continue;
		g_string_append(line, ", ");
		if (change->count > 1 && share->count == change->count)
			g_string_append(line, "all ");
		else if (change->count > 1)
			g_string_append_printf(line, "%" G_GUINT64_FORMAT " ", share->count);
		g_string_append_printf(line, "by %s", share->cause->summary);
	}
	if (told > CAUSES_MAX)
		g_string_append_printf(line, ", others by %u others", told - CAUSES_MAX);
}

/** A mapping that is there after the removal is a leak. */
static char *diff_summary_name(const struct diff_run *run, const char *change)
{
	if (diff_causes_after_removal(run->causes) && strcmp(change, "mapping added") == 0)
		return g_strdup("mapping leaked");
	return g_strdup(change);
}

static void diff_summary_setting(void *data, const char *text)
{
	facts_line(data, "configured differently: %s", text);
}

static void diff_summary(struct diff_run *run)
{
	GList *names = diff_names(run);

	diff_causes_settings(run->causes, diff_summary_setting, run->facts);
	if (run->not_followed)
		facts_line(run->facts,
			   "%" G_GUINT64_FORMAT
			   " of these were not looked for elsewhere: shown as removed and added",
			   run->not_followed);
	facts_list_begin(run->facts, "summary", NULL);
	for (GList *at = names; at; at = at->next) {
		const struct diff_change *change = g_hash_table_lookup(run->changes, at->data);
		g_autofree char *name = diff_summary_name(run, at->data);
		g_autofree char *counted = diff_plural(name, change->count), *said = diff_said(counted);
		g_autoptr(GString) line = g_string_new(said);

		if (change->bytes) {
			g_autofree char *size = text_size(change->bytes);

			g_string_append_printf(line, ", %s", size);
		}
		diff_append_causes(line, change);
		facts_begin(run->facts, NULL, NULL);
		facts_text(run->facts, "change", NULL, at->data);
		facts_u64(run->facts, "count", NULL, change->count);
		facts_u64(run->facts, "range_bytes", NULL, change->bytes);
		facts_text(run->facts, "text", NULL, line->str);
		facts_end(run->facts);
		facts_line(run->facts, run->colour ? BOLD "%s" PLAIN : "%s", line->str);
	}
	facts_list_end(run->facts);
	g_list_free(names);
}

/** --stat: the counts alone. */
static void diff_stat(struct diff_run *run)
{
	GList *names = diff_names(run);

	facts_list_begin(run->facts, "changes", NULL);
	for (GList *at = names; at; at = at->next) {
		const struct diff_change *change = g_hash_table_lookup(run->changes, at->data);

		facts_u64(run->facts, NULL, at->data, change->count);
		facts_begin(run->facts, NULL, NULL);
		facts_text(run->facts, "change", NULL, at->data);
		facts_u64(run->facts, "count", NULL, change->count);
		facts_end(run->facts);
	}
	facts_list_end(run->facts);
	facts_u64(run->facts, "count", "in all", run->count);
	g_list_free(names);
}

/* ---- the command ---- */

/** Prints @before, the findings, @after. Returns false after a message. */
static bool diff_print_details(struct diff_run *run, const char *before, const char *after)
{
	char buffer[16384];
	size_t got;

	fputs(before, stdout);
	rewind(run->details);
	while ((got = fread(buffer, 1, sizeof(buffer), run->details)) > 0)
		if (fwrite(buffer, 1, got, stdout) != got)
			break;
	if (!ferror(run->details) && cmd_print(after))
		return true;
	cmd_fail("the differences cannot be printed: %s", g_strerror(errno));
	return false;
}

/** The findings stand first in the JSON, and the rest of the document behind them. */
static bool diff_print_json(struct diff_run *run, const char *text)
{
	g_autofree char *after = g_strdup_printf("%s],\n%s", run->count ? "\n  " : "", text + strlen("{\n"));

	return diff_print_details(run, "{\n  \"changes\" : [", after);
}

static int diff_conclude(struct diff_run *run, const struct cmd_common *common, bool stat)
{
	g_autofree char *text = NULL;
	bool printed;

	if (stat) {
		diff_stat(run);
	} else {
		diff_summary(run);
		facts_u64(run->facts, "count", NULL, run->count);
	}
	if (run->not_followed)
		facts_u64(run->facts, "not_followed", stat ? "not looked for elsewhere" : NULL,
			  run->not_followed);
	text = common->json ? facts_to_json(run->facts) : facts_to_text(run->facts);
	if (!common->json && !stat && !run->count)
		return EXIT_DONE;
	if (run->json)
		printed = diff_print_json(run, text);
	else if (run->details)
		printed = cmd_print(text) && diff_print_details(run, "\n", "");
	else
		printed = cmd_print(text);
	if (!printed)
		return EXIT_UNUSABLE;
	return run->count ? EXIT_FOUND : EXIT_DONE;
}

static bool diff_uses_colour(void)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

static int diff_execute(const struct cmd_common *common, const char *const *ignore, bool stat)
{
	struct diff_run run = {.json = common->json && !stat, .facts = facts_new()};
	const struct snapshot_diff_options options = {.ignore = ignore,
						      .ret_not_followed = &run.not_followed};
	GError *error = NULL;
	int code;

	run.colour = !common->json && !stat && diff_uses_colour();
	run.changes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, change_free);
	run.causes = diff_causes_new(common->args[0], common->args[1]);
	if (!stat)
		run.details = tmpfile();
	if (!stat && !run.details)
		code = cmd_fail("a temporary file cannot be made: %s", g_strerror(errno));
	else
		code = snapshot_diff(common->args[0], common->args[1], machine_sections, &options,
				     diff_finding, &run, &error) < 0
			       ? cmd_fail_error(error)
			       : diff_conclude(&run, common, stat);
	if (run.details)
		fclose(run.details);
	diff_causes_free(run.causes);
	g_hash_table_unref(run.changes);
	facts_free(run.facts);
	return code;
}

int cmd_diff(const struct command *command, int argc, char **argv)
{
	char *ignore = NULL;
	gboolean stat = FALSE;
	const GOptionEntry entries[] = {
		{"ignore", 0, 0, G_OPTION_ARG_FILENAME, &ignore, "leave these fields out of the comparison",
		 "FIELD,..."},
		{"stat", 0, 0, G_OPTION_ARG_NONE, &stat, "only count the changes", NULL},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	g_auto(GStrv) fields = NULL;
	struct cmd_common common;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 2, 2, &common)) {
		g_free(ignore);
		return common.exit_code;
	}
	if (ignore)
		fields = g_strsplit(ignore, ",", -1);
	if (strcmp(common.args[0], "-") == 0 && strcmp(common.args[1], "-") == 0)
		code = cmd_fail("-: only one of the two can be standard input");
	else
		code = diff_execute(&common, (const char *const *)fields, stat);
	g_free(ignore);
	cmd_common_clear(&common);
	return code;
}
