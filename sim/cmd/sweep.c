/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sim/campaign/sweep.h"
#include "sim/cmd/run.h"
#include "sim/core/error.h"
#include "sim/core/text.h"

/* What a user says of a sweep, beside what concerns each of its runs. */
struct sweep_request {
	struct run_options run;
	GOptionEntry *run_entries;
	char *points, *max, *jobs, *dir;
};

/* ---- options ---- */

static GOptionEntry *sweep_entries(struct sweep_request *request)
{
	const GOptionEntry own[] = {
		{"points", 0, 0, G_OPTION_ARG_FILENAME, &request->points, "only the points of these names",
		 "GLOB"},
		{"max", 0, 0, G_OPTION_ARG_FILENAME, &request->max,
		 "at most N passes of a point, evenly spread over all", "N"},
		{"jobs", 0, 0, G_OPTION_ARG_FILENAME, &request->jobs,
		 "runs at once (default: as many as there are CPUs); the result is the same", "N"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &request->dir,
		 "keep the results in this directory, and go on with those that are there", "DIR"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	GOptionEntry *all;
	size_t count = 0;

	request->run_entries = run_option_entries(&request->run, false);
	while (request->run_entries[count].long_name)
		count++;
	all = g_new0(GOptionEntry, count + G_N_ELEMENTS(own));
	memcpy(all, request->run_entries, count * sizeof(*all));
	memcpy(all + count, own, sizeof(own));
	return all;
}

static void sweep_request_clear(struct sweep_request *request)
{
	run_options_clear(&request->run);
	g_free(request->run_entries);
	g_free(request->points);
	g_free(request->max);
	g_free(request->jobs);
	g_free(request->dir);
}

static bool sweep_parse(const struct sweep_request *request, struct sweep_options *options, GError **error)
{
	uint64_t jobs = MIN(g_get_num_processors(), SWEEP_JOBS_MAX);

	options->points = request->points ? request->points : "*";
	if (request->max && (!text_parse_u64(request->max, &options->max) || !options->max))
		return sim_error_plain(error, "--max=%s: must be a count from 1", request->max) == 0;
	if (request->jobs && (!text_parse_u64(request->jobs, &jobs) || !jobs || jobs > SWEEP_JOBS_MAX))
		return sim_error_plain(error, "--jobs=%s: must be a count from 1 to %d", request->jobs,
				       SWEEP_JOBS_MAX) == 0;
	options->jobs = (unsigned)jobs;
	options->dir = request->dir;
	return true;
}

/* ---- as a command ---- */

/** Adds an option to a command line, so that a shell takes it as it is. */
static void sweep_quote(GString *text, const char *name, const char *value)
{
	g_autofree char *word =
		value ? g_strdup_printf("--%s=%s", name, value) : g_strdup_printf("--%s", name);
	g_autofree char *quoted = g_shell_quote(word);
	bool plain =
		strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=.,:/+%@") ==
		strlen(word);

	g_string_append_printf(text, " %s", plain ? word : quoted);
}

/** Returns the options that the user gave and that concern each run, as a command line. */
static char *sweep_run_options(const struct sweep_request *request)
{
	GString *text = g_string_new(NULL);

	for (const GOptionEntry *entry = request->run_entries; entry->long_name; entry++) {
		if (entry->arg == G_OPTION_ARG_FILENAME) {
			if (*(char **)entry->arg_data)
				sweep_quote(text, entry->long_name, *(char **)entry->arg_data);
		} else if (entry->arg == G_OPTION_ARG_FILENAME_ARRAY) {
			for (char **value = *(char ***)entry->arg_data; value && *value; value++)
				sweep_quote(text, entry->long_name, *value);
		} else if (*(gboolean *)entry->arg_data) {
			sweep_quote(text, entry->long_name, NULL);
		}
	}
	return g_string_free(text, FALSE);
}

/** Returns the command that repeats @pair. The swept fault comes first: it is asked before the others, as here. */
static char *sweep_command(const struct run *run, const char *options, const char *point,
			   const struct sweep_pair *pair)
{
	g_autofree char *trace = g_shell_quote(run->names[0]);

	return g_strdup_printf("iommusim replay --fail=%s:%" G_GUINT64_FORMAT "%s %s", point, pair->pass,
			       options, trace);
}

/** Returns what a sweep is of, so that another one is told from it: the machine, the options, what else fails. */
static char *sweep_identity(const struct run *run, const struct sweep_request *request, const char *options,
			    GError **error)
{
	g_autofree char *machine = machine_config_text(&run->config), *faults = NULL;
	GError *reason = NULL;

	if (request->run.faults_file &&
	    !g_file_get_contents(request->run.faults_file, &faults, NULL, &reason)) {
		sim_error_plain(error, "%s", reason->message);
		g_error_free(reason);
		return NULL;
	}
	return g_strdup_printf("%s\n%s\n%s", machine, options, faults ? faults : "");
}

/* ---- what came out ---- */

/** Adds the row of the @count pairs from @pair on, of one point. */
static void sweep_show_point(struct facts *facts, const char *name, uint64_t passes,
			     const struct sweep_pair *pairs, guint count)
{
	uint64_t broke = 0;

	for (guint i = 0; i < count; i++)
		broke += pairs[i].broke != NULL;
	facts_line(facts, "%-26s %10" G_GUINT64_FORMAT " %10u %10" G_GUINT64_FORMAT, name, passes, count,
		   broke);
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "point", NULL, name);
	facts_u64(facts, "passes", NULL, passes);
	facts_u64(facts, "tried", NULL, count);
	facts_u64(facts, "broke", NULL, broke);
	facts_end(facts);
}

static void sweep_show_points(struct facts *facts, const struct sweep_options *options,
			      const struct sweep_result *result)
{
	const struct sweep_pair *pairs = (const void *)result->pairs->data;
	guint from = 0;

	facts_line(facts, "%-26s %10s %10s %10s", "POINT", "PASSES", "TRIED", "BROKE");
	facts_list_begin(facts, "points", NULL);
	for (unsigned id = 0; id < SIM_FAULTS_MAX; id++) {
		const struct fault_point *point = fault_point_get(options->rules, id);
		guint end = from;

		while (end < result->pairs->len && pairs[end].point == id)
			end++;
		if (point && g_pattern_match_simple(options->points, point->name))
			sweep_show_point(facts, point->name, result->passes[id], pairs + from, end - from);
		from = end;
	}
	facts_list_end(facts);
}

static void sweep_show_broken(struct facts *facts, const struct run *run, const struct sweep_options *options,
			      const struct sweep_result *result, const char *run_options)
{
	facts_list_begin(facts, "broken", NULL);
	for (guint i = 0; i < result->pairs->len; i++) {
		const struct sweep_pair *pair = &g_array_index(result->pairs, struct sweep_pair, i);
		const char *name = fault_point_get(options->rules, pair->point)->name;
		g_autofree char *command = NULL;

		if (!pair->broke)
			continue;
		command = sweep_command(run, run_options, name, pair);
		facts_line(facts, "%s %" G_GUINT64_FORMAT ": %s", name, pair->pass, pair->broke);
		facts_line(facts, "    %s", command);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "point", NULL, name);
		facts_u64(facts, "pass", NULL, pair->pass);
		facts_text(facts, "what", NULL, pair->broke);
		facts_text(facts, "command", NULL, command);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static int sweep_show(const struct run *run, const struct sweep_options *options,
		      const struct sweep_result *result, const char *run_options, bool json)
{
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;

	facts_u64(facts, "pairs", "pairs of point and pass", result->pairs->len);
	facts_u64(facts, "broken_count", "of these, broke", result->broken);
	if (result->unfaulted)
		facts_text(facts, "unfaulted", "without a fault already", result->unfaulted);
	sweep_show_points(facts, options, result);
	sweep_show_broken(facts, run, options, result, run_options);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	if (!cmd_print(text))
		return EXIT_UNUSABLE;
	return result->broken || result->unfaulted ? EXIT_FOUND : EXIT_DONE;
}

/* ---- progress ---- */

struct sweep_progress {
	gint64 begun_us, next_us;
};

static void sweep_show_progress(void *data, uint64_t done, uint64_t taken_up, uint64_t total)
{
	struct sweep_progress *progress = data;
	gint64 now_us = g_get_monotonic_time();
	double rate = (double)(done - taken_up) / ((double)(now_us - progress->begun_us + 1) / 1e6);

	if (now_us < progress->next_us)
		return;
	progress->next_us = now_us + 250000;
	fprintf(stderr,
		"\r%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " pairs, %.0f pairs/s, %.0f s left \033[K",
		done, total, rate, (double)(total - done) / rate);
}

/* ---- the command ---- */

static int sweep_execute(struct run *run, const struct sweep_request *request,
			 const struct cmd_common *common)
{
	g_autofree char *run_options = sweep_run_options(request), *identity = NULL;
	struct sweep_progress state = {.begun_us = g_get_monotonic_time()};
	struct sweep_options options = {0};
	struct sweep_result result = {0};
	GError *error = NULL;
	int code;

	if (!sweep_parse(request, &options, &error) || !run_open(run, &request->run, common->args, &error) ||
	    !io_transform_hold(run->traces[0], run->replay.limit, &error))
		return cmd_fail_error(error);
	identity = sweep_identity(run, request, run_options, &error);
	if (!identity)
		return cmd_fail_error(error);
	if (options.dir && g_mkdir_with_parents(options.dir, 0777) != 0)
		return cmd_fail("%s: %s", options.dir, g_strerror(errno));
	options.others_fail = run->rules != NULL;
	if (!run->rules)
		run->rules = fault_rules_new(machine_fault_tables);
	options.config = &run->config;
	options.cpus = run->cpus;
	options.trace = run->traces[0];
	options.replay = run->replay;
	options.rules = run->rules;
	options.identity = identity;
	if (cmd_shows_progress(common)) {
		options.progress = sweep_show_progress;
		options.progress_data = &state;
	}
	if (sweep_run(&options, &result, &error))
		code = sweep_show(run, &options, &result, run_options, common->json);
	else
		code = cmd_fail_error(error);
	if (options.progress)
		fputs("\r\033[K", stderr);
	if (code < EXIT_UNUSABLE)
		run_warn_idle_rules(run->rules);
	sweep_result_clear(&result);
	return code;
}

int cmd_faults_sweep(const struct command *command, int argc, char **argv)
{
	struct sweep_request request = {0};
	g_autofree GOptionEntry *entries = sweep_entries(&request);
	struct cmd_common common;
	struct run run = {0};
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, 1, &common)) {
		sweep_request_clear(&request);
		return common.exit_code;
	}
	code = sweep_execute(&run, &request, &common);
	run_clear(&run);
	sweep_request_clear(&request);
	cmd_common_clear(&common);
	return code;
}
