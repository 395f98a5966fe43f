/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/run.h"

/** Shows every point; of @sim, which may be NULL, how often it was passed. */
static void faults_show(struct facts *facts, const struct sim *sim)
{
	facts_line(facts, "%-24s %10s  %-9s %-60s %s", "POINT", sim ? "PASSES" : "", "ERRNO", "WHAT THE KERNEL SEES",
		   "SOURCE");
	facts_list_begin(facts, "points", NULL);
	for (const struct fault_table *const *table = machine_fault_tables; *table; table++)
		for (unsigned i = 0; i < (*table)->count; i++) {
			const struct fault_point *point = &(*table)->points[i];
			uint64_t passes = sim ? sim->fault_passes[(*table)->first + i] : 0;
			g_autofree char *count = sim ? g_strdup_printf("%" G_GUINT64_FORMAT, passes) : g_strdup("");

			facts_line(facts, "%-24s %10s  %-9s %-60s %s", point->name, count,
				   fault_errno_name(point->error), point->sees, point->source);
			facts_begin(facts, NULL, NULL);
			facts_text(facts, "point", NULL, point->name);
			if (sim)
				facts_u64(facts, "passes", NULL, passes);
			facts_text(facts, "errno", NULL, fault_errno_name(point->error));
			facts_text(facts, "sees", NULL, point->sees);
			facts_text(facts, "source", NULL, point->source);
			facts_end(facts);
		}
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
	} else {
		code = cmd_fail_error(error);
	}
	run_clear(&run);
	run_options_clear(&options);
	cmd_common_clear(&common);
	return code;
}
