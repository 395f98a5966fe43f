/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "sim/cmd/rerun.h"
#include "sim/cmd/run.h"
#include "sim/core/text.h"
#include "sim/io/output.h"

/** @entries are the options as they were given. */
static struct facts *replay_facts(const struct run *run, const GOptionEntry *entries)
{
	const struct run_report report = {.names = run->names,
					  .traces = run->traces,
					  .parts = run->parts,
					  .count = run->count,
					  .reading = run->options,
					  .machine = run->machine,
					  .options = &run->replay,
					  .stats = run->stats,
					  .rules = run->rules,
					  .probe_error = run->probe_error,
					  .probe_step = run->probe_step};
	struct facts *facts = facts_new();

	report_run(facts, &report);
	rerun_write_options(facts, entries);
	return facts;
}

/** Writes run.json and machine.ini. What depends on the host and the moment stands under "host" alone. */
static bool replay_write_results(const struct run *run, const GOptionEntry *entries, GError **error)
{
	struct facts *facts = replay_facts(run, entries);
	g_autofree char *config = machine_config_text(&run->config);
	g_autofree char *machine =
		run->options[0] ? g_strdup_printf("# The trace was read with %s\n%s", run->options, config)
				: g_strdup(config);
	g_autofree char *json = NULL;
	bool ok;

	facts_begin(facts, "host", NULL);
	facts_u64(facts, "elapsed_us", NULL, (uint64_t)(run->elapsed_s * 1e6));
	facts_end(facts);
	json = facts_to_json(facts);
	ok = output_write_text(run->replay.dir, "machine.ini", machine, error) &&
	     output_write_text(run->replay.dir, "run.json", json, error);
	facts_free(facts);
	return ok;
}

static void replay_warn_missed_snapshots(const struct run *run)
{
	if (run->stats->snapshots_missed)
		fprintf(stderr,
			"iommusim: warning: the run ended before %" G_GUINT64_FORMAT " of the snapshots\n",
			run->stats->snapshots_missed);
}

/** Says what the file of trace events has not. */
static void replay_warn_left_out(const struct run *run, const char *path)
{
	const struct perfetto_left *left = &run->perfetto_left;
	g_autofree char *until = text_time(left->until_ns);

	if (run->perfetto && left->until_ns != UINT64_MAX)
		fprintf(stderr,
			"iommusim: warning: %s: %" G_GUINT64_FORMAT
			" events, complete until %s: left out %" G_GUINT64_FORMAT
			" requests and %" G_GUINT64_FORMAT " slices (--perfetto-limit=%" G_GUINT64_FORMAT ")\n",
			path, left->events, until, left->left_requests, left->left_slices,
			run->perfetto_limit);
}

static int replay_report(const struct run *run, const struct run_options *options,
			 const struct cmd_common *common, const GOptionEntry *entries)
{
	struct facts *facts = replay_facts(run, entries);
	g_autofree char *text = common->json ? facts_to_json(facts) : facts_to_text(facts);
	bool ok = cmd_print(text);

	facts_free(facts);
	run_warn_idle_rules(run->rules);
	run_warn_warmup(run);
	replay_warn_missed_snapshots(run);
	replay_warn_left_out(run, options->perfetto);
	if (cmd_shows_progress(common))
		fprintf(stderr, "%" G_GUINT64_FORMAT " I/Os in %.3f s, %.0f k/s\n", run->stats->ios,
			run->elapsed_s, (double)run->stats->ios / run->elapsed_s / 1e3);
	if (!ok)
		return EXIT_UNUSABLE;
	return findings_violations(&run->machine->sim->findings) ? EXIT_FOUND : EXIT_DONE;
}

int cmd_replay(const struct command *command, int argc, char **argv)
{
	struct run_options options = {0};
	g_autofree GOptionEntry *entries = run_option_entries(&options, true);
	struct cmd_common common;
	GError *error = NULL;
	struct run run;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, G_MAXUINT, &common)) {
		run_options_clear(&options);
		return common.exit_code;
	}
	if (run_execute(&run, &options, common.args, cmd_shows_progress(&common), &error) &&
	    (!options.dir || replay_write_results(&run, entries, &error)))
		code = replay_report(&run, &options, &common, entries);
	else
		code = cmd_fail_error(error);
	run_clear(&run);
	run_options_clear(&options);
	cmd_common_clear(&common);
	return code;
}
