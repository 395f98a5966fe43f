/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/run.h"

/** Calls @each with every point, and its number. */
static void faults_each(void (*each)(void *data, const struct fault_point *point, unsigned id), void *data)
{
	for (const struct fault_table *const *table = machine_fault_tables; *table; table++)
		for (unsigned i = 0; i < (*table)->count; i++)
			each(data, &(*table)->points[i], (*table)->first + i);
}

struct faults_list {
	struct facts *facts;
	const struct sim *sim; /* NULL: passes are not shown */
	int point_width, error_width, sees_width;
};

static void faults_measure(void *data, const struct fault_point *point, unsigned id)
{
	struct faults_list *list = data;

	list->point_width = MAX(list->point_width, (int)strlen(point->name));
	list->error_width = MAX(list->error_width, (int)strlen(fault_errno_name(point->error)));
	list->sees_width = MAX(list->sees_width, (int)strlen(point->sees));
}

static void faults_show_point(void *data, const struct fault_point *point, unsigned id)
{
	const struct faults_list *list = data;
	uint64_t passes = list->sim ? list->sim->fault_passes[id] : 0;
	g_autofree char *count = list->sim ? g_strdup_printf(" %10" G_GUINT64_FORMAT, passes) : g_strdup("");

	facts_line(list->facts, "%-*s%s  %-*s  %-*s  %s", list->point_width, point->name, count,
		   list->error_width, fault_errno_name(point->error), list->sees_width, point->sees,
		   point->source);
	facts_begin(list->facts, NULL, NULL);
	facts_text(list->facts, "point", NULL, point->name);
	if (list->sim)
		facts_u64(list->facts, "passes", NULL, passes);
	facts_text(list->facts, "errno", NULL, fault_errno_name(point->error));
	facts_text(list->facts, "sees", NULL, point->sees);
	facts_text(list->facts, "source", NULL, point->source);
	if (point->actions)
		facts_text(list->facts, "actions", NULL, point->actions);
	facts_end(list->facts);
}

/** Shows every point; of @sim, which may be NULL, how often it was passed. */
static void faults_show(struct facts *facts, const struct sim *sim)
{
	struct faults_list list = {.facts = facts, .sim = sim};

	faults_each(faults_measure, &list);
	facts_line(facts, "%-*s%s  %-*s  %-*s  %s", list.point_width, "POINT", sim ? "     PASSES" : "",
		   list.error_width, "ERRNO", list.sees_width, "WHAT THE KERNEL SEES", "SOURCE");
	facts_list_begin(facts, "points", NULL);
	faults_each(faults_show_point, &list);
	facts_list_end(facts);
}

int cmd_faults_points(const struct command *command, int argc, char **argv)
{
	g_autofree char *text = NULL;
	struct cmd_common common;
	struct facts *facts;

	if (!cmd_parse(command, argc, argv, NULL, 0, 0, &common))
		return common.exit_code;
	facts = facts_new();
	faults_show(facts, NULL);
	text = common.json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	cmd_common_clear(&common);
	return cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
}

int cmd_faults_list(const struct command *command, int argc, char **argv)
{
	struct run_options options = {0};
	g_autofree GOptionEntry *entries = run_option_entries(&options, false);
	struct cmd_common common;
	GError *error = NULL;
	struct run run;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, entries, 1, G_MAXUINT, &common)) {
		run_options_clear(&options);
		return common.exit_code;
	}
	if (run_execute(&run, &options, common.args, cmd_shows_progress(&common), &error)) {
		struct facts *facts = facts_new();
		g_autofree char *text = NULL;

		faults_show(facts, run.machine->sim);
		text = common.json ? facts_to_json(facts) : facts_to_text(facts);
		facts_free(facts);
		if (!cmd_print(text))
			code = EXIT_UNUSABLE;
		run_warn_idle_rules(run.rules);
	} else {
		code = cmd_fail_error(error);
	}
	run_clear(&run);
	run_options_clear(&options);
	cmd_common_clear(&common);
	return code;
}
