/* SPDX-License-Identifier: MIT */
/*
 * bisect: which behaviours make two runs differ, and the first event at which they do. A run is one of the machine, with
 * behaviours as the good set has them and some of those in which the bad one differs; two runs are alike if their
 * violations are, and their snapshots at the end and after the removal.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include "sim/cmd/run.h"
#include "sim/core/error.h"
#include "sim/core/subset.h"
#include "sim/machine/event-stream.h"

/** How a run ended. */
struct bisect_end {
	char *dir; /* with its snapshots */
	char *violations;
	uint64_t violation_count;
};

struct bisect {
	struct run_options options;
	char **traces;
	char *dir; /* temporary, of all ends */
	uint8_t good[BEHAVIOURS], bad[BEHAVIOURS];
	enum behaviour rows[BEHAVIOURS]; /* in which they differ */
	unsigned count;
	struct bisect_end good_end;
	uint64_t runs;
	bool progress;
};

/* ---- sets ---- */

/** Applies @assignment, NAME=VALUE, to @values. */
static bool bisect_assign(uint8_t *values, const char *option, const char *assignment, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(assignment, "=", 2);
	int row, value;

	if (!parts[0] || !parts[1])
		return sim_error_plain(error, "--%s: \"%s\" must be NAME=VALUE, such as version=fixed or blkdma-rollback=old", option, assignment) == 0;
	if (strcmp(parts[0], "version") == 0) {
		int version = kernel_version_find(parts[1]);

		if (version < 0)
			return sim_error_plain(error, "--%s: no kernel version is called \"%s\"; see \"iommusim behaviours\"", option,
					       parts[1]) == 0;
		for (row = 0; row < BEHAVIOURS; row++)
			values[row] = behaviour_rows[row].value_in[version];
		return true;
	}
	row = behaviour_find(parts[0]);
	if (row < 0)
		return sim_error_plain(error, "--%s: no behaviour is called \"%s\"", option, parts[0]) == 0;
	value = behaviour_find_value((enum behaviour)row, parts[1]);
	if (value < 0) {
		g_autofree char *choices = g_strjoinv(", ", (char **)behaviour_rows[row].values);

		return sim_error_plain(error, "--%s: %s=%s: must be one of %s", option, parts[0], parts[1],
				       choices) == 0;
	}
	values[row] = (uint8_t)value;
	return true;
}

static bool bisect_read_set(uint8_t *values, const char *option, const char *set, GError **error)
{
	g_auto(GStrv) assignments = g_strsplit(set, ",", -1);

	for (char **assignment = assignments; *assignment; assignment++)
		if (!bisect_assign(values, option, *assignment, error))
			return false;
	return true;
}

/** Both sets, over what the machine file says, and in which behaviours they differ. */
static bool bisect_read_sets(struct bisect *bisect, const char *good, const char *bad, GError **error)
{
	struct machine_config config;
	struct machine_board *board = NULL;
	struct fault_rules *rules = NULL;
	bool ok = run_read_config(&bisect->options, &config, &board, &rules, error);

	for (unsigned row = 0; ok && row < BEHAVIOURS; row++)
		bisect->good[row] = bisect->bad[row] =
			(uint8_t)machine_config_behaviour(&config, (enum behaviour)row);
	machine_board_free(board);
	fault_rules_free(rules);
	if (!ok || !bisect_read_set(bisect->good, "good", good, error) ||
	    !bisect_read_set(bisect->bad, "bad", bad, error))
		return false;
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		/* What one of two versions lacks it never asks for: the other's value is as good. */
		if (bisect->good[row] == BEHAVIOUR_NONE)
			bisect->good[row] = bisect->bad[row];
		if (bisect->good[row] != bisect->bad[row] && bisect->bad[row] != BEHAVIOUR_NONE)
			bisect->rows[bisect->count++] = (enum behaviour)row;
	}
	if (bisect->count)
		return true;
	return sim_error_plain(error, "--good and --bad are the same behaviours") == 0;
}

/* ---- runs ---- */

static void bisect_end_clear(struct bisect_end *end)
{
	static const char *const files[] = {"end.snap", "teardown.snap", "timeline.csv", NULL};

	for (const char *const *file = files; end->dir && *file; file++) {
		g_autofree char *path = g_build_filename(end->dir, *file, NULL);

		g_unlink(path);
	}
	if (end->dir)
		g_rmdir(end->dir);
	g_clear_pointer(&end->dir, g_free);
	g_clear_pointer(&end->violations, g_free);
}

static char *bisect_violations(const struct findings *findings)
{
	GString *text = g_string_new(NULL);

	for (unsigned kind = 0; kind < FINDING_KINDS; kind++)
		if (finding_kinds[kind].violation)
			g_string_append_printf(text, "%" G_GUINT64_FORMAT " ", findings->count[kind]);
	for (guint i = 0; i < findings->kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(findings->kept, i);

		if (finding_kinds[finding->kind].violation)
			g_string_append_printf(text, "\n%u %s %s", finding->kind, finding->device,
					       finding->text);
	}
	return g_string_free(text, FALSE);
}

/** The behaviours as --set has them: the good ones, and with @in (NULL: none) some as the bad ones. */
static char **bisect_sets(const struct bisect *bisect, const bool *in)
{
	g_autoptr(GStrvBuilder) sets = g_strv_builder_new();

	if (bisect->options.sets)
		g_strv_builder_addv(sets, (const char **)bisect->options.sets);
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		uint8_t value = bisect->good[row];
		g_autofree char *set = NULL;

		for (unsigned i = 0; in && i < bisect->count; i++)
			if (in[i] && bisect->rows[i] == row)
				value = bisect->bad[row];
		if (value == BEHAVIOUR_NONE)
			continue;
		set = g_strdup_printf("behaviour.%s=%s", behaviour_rows[row].name,
				      behaviour_rows[row].values[value]);
		g_strv_builder_add(sets, set);
	}
	return g_strv_builder_end(sets);
}

/** Runs with @in of the bad behaviours. Exactly one of @watch and @ret_end is NULL. */
static bool bisect_run(struct bisect *bisect, const bool *in, const struct run_watch *watch,
		       struct bisect_end *ret_end, GError **error)
{
	struct run_options options = bisect->options;
	g_auto(GStrv) sets = bisect_sets(bisect, in);
	struct run run;
	bool ok;

	options.sets = sets;
	options.watch = watch;
	if (ret_end)
		options.dir = g_strdup_printf("%s/%" G_GUINT64_FORMAT, bisect->dir, bisect->runs);
	bisect->runs++;
	if (bisect->progress)
		fprintf(stderr, "\rrun %" G_GUINT64_FORMAT "\033[K", bisect->runs);
	ok = run_execute(&run, &options, bisect->traces, false, error);
	if (ret_end) {
		ret_end->dir = options.dir;
		ret_end->violations = ok ? bisect_violations(&run.machine->sim->findings) : NULL;
		ret_end->violation_count = ok ? findings_violations(&run.machine->sim->findings) : 0;
	}
	run_clear(&run);
	return ok;
}

static void bisect_count(void *data, const char *text, const char *const *fields)
{
	(*(uint64_t *)data)++;
}

/** Counts how the snapshots called @name differ. Returns 0 same, 1 different, -1 with *@error. */
static int bisect_diff(const struct bisect_end *a, const struct bisect_end *b, const char *name,
		       uint64_t *ret_count, GError **error)
{
	g_autofree char *path_a = g_build_filename(a->dir, name, NULL);
	g_autofree char *path_b = g_build_filename(b->dir, name, NULL);

	*ret_count = 0;
	return snapshot_diff(path_a, path_b, machine_sections, NULL, bisect_count, ret_count, error);
}

/** Returns whether a run with @in ends otherwise than the good one. */
static int bisect_test(void *data, const bool *in, GError **error)
{
	struct bisect *bisect = data;
	struct bisect_end end = {0};
	uint64_t count;
	int differs = -1;

	if (bisect_run(bisect, in, NULL, &end, error)) {
		differs = strcmp(end.violations, bisect->good_end.violations) != 0;
		if (!differs)
			differs = bisect_diff(&bisect->good_end, &end, "end.snap", &count, error);
		if (!differs)
			differs = bisect_diff(&bisect->good_end, &end, "teardown.snap", &count, error);
	}
	bisect_end_clear(&end);
	return differs;
}

/* ---- where they part ---- */

struct bisect_hearing {
	struct event_stream stream;
	enum event_stream_kind kind;
	FILE *file;
	uint64_t wanted;
};

static void bisect_begins(void *data, struct machine *machine)
{
	struct bisect_hearing *hearing = data;

	event_stream_init(&hearing->stream, machine->sim, hearing->kind, hearing->file, hearing->wanted);
}

/** The machine's removal is still heard; what can be said of it stands in the snapshots. */
static void bisect_ends(void *data, struct machine *machine)
{
}

static bool bisect_hear(struct bisect *bisect, const bool *in, struct bisect_hearing *hearing, GError **error)
{
	const struct run_watch watch = {bisect_begins, bisect_ends, hearing};

	if (hearing->file)
		rewind(hearing->file);
	if (!bisect_run(bisect, in, &watch, NULL, error))
		return false;
	if (!event_stream_end(&hearing->stream))
		return sim_error_plain(error, "the temporary file of events: %s", g_strerror(errno)) == 0;
	return true;
}

/** Finds the first event in which the good run and one with @in differ. Returns what it was in each, NULL if the run had
 *  ended; *@ret_number is UINT64_MAX if there is none. */
static bool bisect_part(struct bisect *bisect, const bool *in, uint64_t *ret_number, char **ret_good,
			char **ret_bad, GError **error)
{
	struct bisect_hearing good = {.kind = EVENT_STREAM_WRITE, .file = tmpfile()},
			      bad = {.kind = EVENT_STREAM_COMPARE};
	bool ok = false;

	if (!good.file)
		return sim_error_plain(error, "a temporary file cannot be made: %s", g_strerror(errno)) == 0;
	bad.file = good.file;
	if (!bisect_hear(bisect, NULL, &good, error) || !bisect_hear(bisect, in, &bad, error))
		goto out;
	event_stream_finish(&good.stream);
	*ret_number = good.wanted = bad.stream.wanted;
	good.kind = EVENT_STREAM_TELL;
	good.file = NULL;
	if (good.wanted != UINT64_MAX && !bisect_hear(bisect, NULL, &good, error))
		goto out;
	*ret_good = g_steal_pointer(&good.stream.told);
	*ret_bad = g_steal_pointer(&bad.stream.told);
	ok = true;
out:
	fclose(bad.file);
	event_stream_finish(&good.stream);
	event_stream_finish(&bad.stream);
	return ok;
}

/* ---- what there is to say ---- */

static void bisect_tell_set(const struct bisect *bisect, const bool *in, struct facts *facts)
{
	unsigned size = 0;

	for (unsigned i = 0; i < bisect->count; i++)
		size += in[i];
	facts_line(facts, "%u of %u behaviours make%s the runs differ (%" G_GUINT64_FORMAT " runs)", size,
		   bisect->count, size == 1 ? "s" : "", bisect->runs);
	facts_u64(facts, "behaviours_tried", NULL, bisect->count);
	facts_list_begin(facts, "behaviours", NULL);
	for (unsigned i = 0; i < bisect->count; i++) {
		const struct behaviour_row *row = &behaviour_rows[bisect->rows[i]];
		const char *good = row->values[bisect->good[bisect->rows[i]]];
		const char *bad = row->values[bisect->bad[bisect->rows[i]]];

		if (!in[i])
			continue;
		facts_line(facts, "  %s: %s -> %s", row->name, good, bad);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, row->name);
		facts_text(facts, "good", NULL, good);
		facts_text(facts, "bad", NULL, bad);
		facts_text(facts, "upstream", NULL, row->upstream);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static bool bisect_tell_ends(struct bisect *bisect, const bool *in, struct facts *facts, GError **error)
{
	struct bisect_end end = {0};
	uint64_t at_end, left;
	bool ok = bisect_run(bisect, in, NULL, &end, error) &&
		  bisect_diff(&bisect->good_end, &end, "end.snap", &at_end, error) >= 0 &&
		  bisect_diff(&bisect->good_end, &end, "teardown.snap", &left, error) >= 0;

	if (ok) {
		facts_u64(facts, "violations_good", "violations of the good run",
			  bisect->good_end.violation_count);
		facts_u64(facts, "violations_bad", "violations of the bad run", end.violation_count);
		facts_u64(facts, "differences_at_end", "differences at the end", at_end);
		facts_u64(facts, "differences_after_removal", "differences after the removal", left);
	}
	bisect_end_clear(&end);
	return ok;
}

static bool bisect_tell_event(struct bisect *bisect, const bool *in, struct facts *facts, GError **error)
{
	g_autofree char *good = NULL, *bad = NULL;
	uint64_t number = UINT64_MAX;

	if (!bisect_part(bisect, in, &number, &good, &bad, error))
		return false;
	if (number == UINT64_MAX) {
		facts_line(facts, "no event differs: only what nobody announces");
		return true;
	}
	facts_begin(facts, "first_event", "first event that differs");
	facts_u64(facts, "number", "number", number + 1);
	facts_text(facts, "good", "good", good ? good : "the run has ended");
	facts_text(facts, "bad", "bad", bad ? bad : "the run has ended");
	facts_end(facts);
	return true;
}

static int bisect_execute(struct bisect *bisect, struct facts *facts, GError **error)
{
	g_autofree bool *in = g_new(bool, bisect->count);
	int differs;

	for (unsigned i = 0; i < bisect->count; i++)
		in[i] = true;
	if (!bisect_run(bisect, NULL, NULL, &bisect->good_end, error))
		return -1;
	differs = bisect_test(bisect, in, error);
	if (differs < 0)
		return -1;
	if (!differs) {
		facts_line(facts, "both runs end alike: behaviours that differ: %u", bisect->count);
		facts_u64(facts, "behaviours_tried", NULL, bisect->count);
		facts_list_begin(facts, "behaviours", NULL);
		facts_list_end(facts);
		return 0;
	}
	if (!subset_reduce(bisect->count, in, bisect_test, bisect, error))
		return -1;
	bisect_tell_set(bisect, in, facts);
	return bisect_tell_ends(bisect, in, facts, error) && bisect_tell_event(bisect, in, facts, error) ? 1
													 : -1;
}

/* ---- the command ---- */

static int bisect_command(struct bisect *bisect, const struct cmd_common *common, const char *good,
			  const char *bad)
{
	struct facts *facts = facts_new();
	GError *error = NULL;
	int result = -1;

	if (bisect_read_sets(bisect, good, bad, &error))
		bisect->dir = g_dir_make_tmp("iommusim-bisect-XXXXXX", &error);
	if (bisect->dir)
		result = bisect_execute(bisect, facts, &error);
	if (bisect->progress)
		fputs("\r\033[K", stderr);
	bisect_end_clear(&bisect->good_end);
	if (bisect->dir)
		g_rmdir(bisect->dir);
	g_free(bisect->dir);
	if (result < 0) {
		result = cmd_fail_error(error);
	} else {
		g_autofree char *text = common->json ? facts_to_json(facts) : facts_to_text(facts);

		result = !cmd_print(text) ? EXIT_UNUSABLE : result ? EXIT_FOUND : EXIT_DONE;
	}
	facts_free(facts);
	return result;
}

int cmd_bisect(const struct command *command, int argc, char **argv)
{
	struct bisect bisect = {0};
	g_autofree GOptionEntry *replay = run_option_entries(&bisect.options, false);
	g_autofree char *good = NULL, *bad = NULL;
	const GOptionEntry own[] = {
		{"good", 0, 0, G_OPTION_ARG_FILENAME, &good,
		 "behaviours of the good run, or version=VERSION for all", "NAME=VALUE,..."},
		{"bad", 0, 0, G_OPTION_ARG_FILENAME, &bad, "the same of the bad run", "NAME=VALUE,..."},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	g_autoptr(GArray) entries = g_array_new(TRUE, FALSE, sizeof(GOptionEntry));
	struct cmd_common common;
	int code;

	for (const GOptionEntry *entry = replay; entry->long_name; entry++)
		g_array_append_vals(entries, entry, 1);
	g_array_append_vals(entries, own, G_N_ELEMENTS(own) - 1);
	if (!cmd_parse(command, argc, argv, (const GOptionEntry *)(void *)entries->data, 1, G_MAXUINT,
		       &common)) {
		run_options_clear(&bisect.options);
		return common.exit_code;
	}
	bisect.traces = common.args;
	bisect.progress = cmd_shows_progress(&common);
	code = EXIT_DONE;
	for (char **trace = common.args; *trace && code == EXIT_DONE; trace++)
		if (!trace_can_read_twice(*trace))
			code = cmd_fail("%s: is read many times: give a file", *trace);
	if (code == EXIT_DONE)
		code = good && bad ? bisect_command(&bisect, &common, good, bad)
				   : cmd_fail("--good=SET and --bad=SET are needed, such as --good=version=fixed --bad=blkdma-rollback=old");
	run_options_clear(&bisect.options);
	cmd_common_clear(&common);
	return code;
}
