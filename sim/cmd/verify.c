/* SPDX-License-Identifier: MIT */
#include "sim/verify/verify.h"

#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/report/facts.h"

#define AROUND 6 /* events of the CPU that are shown before and after a difference */

struct verify_cmd {
	char *machine_file;
	char **sets;
	char *snapshots;
	char *order;
	gboolean table;
};

static bool verify_read_config(const struct verify_cmd *options, const struct verify_recording *recording,
			       struct machine_config *config, GError **error)
{
	machine_config_init(config);
	verify_configure(recording, config);
	if (options->machine_file && !machine_config_load(config, options->machine_file, error))
		return false;
	for (char **set = options->sets; set && *set; set++)
		if (!machine_config_set(config, *set, error))
			return false;
	return machine_config_check(config, error);
}

static void show_counts(struct facts *facts, const struct verify_result *result)
{
	facts_list_begin(facts, "classes", NULL);
	for (unsigned class = 0; class < VERIFY_CLASSES; class ++) {
		const struct verify_count *count = &result->count[class];

		if (!count->recorded)
			continue;
		facts_line(facts,
			   "%s: %" G_GUINT64_FORMAT " recorded, %" G_GUINT64_FORMAT
			   " predicted, %" G_GUINT64_FORMAT " not decidable from the events",
			   verify_class_names[class], count->recorded, count->predicted, count->undecided);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "class", NULL, verify_class_names[class]);
		facts_u64(facts, "recorded", NULL, count->recorded);
		facts_u64(facts, "predicted", NULL, count->predicted);
		facts_u64(facts, "undecided", NULL, count->undecided);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** Whether event @number happened on @cpu and tells something. */
static bool is_near(const struct verify_recording *recording, uint32_t number, uint32_t cpu)
{
	return recording->events[number].cpu == cpu && recording->events[number].kind != KEVENT_OTHER;
}

static void show_around(struct facts *facts, const struct verify_recording *recording, uint32_t event)
{
	uint32_t cpu = recording->events[event].cpu, first = event, last = event;

	for (unsigned i = 0; first > 0 && i < AROUND;)
		i += is_near(recording, --first, cpu);
	for (unsigned i = 0; last + 1 < recording->event_count && i < AROUND;)
		i += is_near(recording, ++last, cpu);
	facts_list_begin(facts, "around", NULL);
	for (uint32_t i = first; i <= last; i++) {
		g_autofree char *text = NULL;

		if (!is_near(recording, i, cpu) && i != event)
			continue;
		text = verify_event_text(recording, i);
		facts_line(facts, "%c %s", i == event ? '>' : ' ', text);
		facts_item(facts, text);
	}
	facts_list_end(facts);
}

static void show_difference(struct facts *facts, const struct verify_recording *recording,
			    const struct verify_result *result)
{
	const struct verify_event *event = &recording->events[result->first.event];
	g_autofree char *place = verify_event_place(recording, result->first.event);

	facts_begin(facts, "first_difference", NULL);
	facts_line(facts, "first difference: %s: the model expected %s", place, result->first.text);
	facts_u64(facts, recording->counts_lines ? "line" : "offset", NULL, event->position);
	facts_text(facts, "expected", NULL, result->first.text);
	show_around(facts, recording, result->first.event);
	facts_end(facts);
}

/** What the recording tells of the machine, or the user of what it does not. */
static void show_machine(struct facts *facts, const struct verify_recording *recording,
			 const struct machine_config *config)
{
	const char *version = kernel_version_names[config->version];
	const char *mode =
		config->caching_mode ? "strict (caching mode)" : iommu_mode_names[config->iommu_mode];

	facts_begin(facts, "machine", NULL);
	facts_line(facts, "machine: Linux %s, %u CPUs, %s%s", version, recording->machine.cpus, mode,
		   config->forcedac ? ", forcedac" : "");
	facts_text(facts, "version", NULL, version);
	facts_u64(facts, "cpus", NULL, recording->machine.cpus);
	facts_text(facts, "mode", NULL, mode);
	facts_bool(facts, "forcedac", NULL, config->forcedac);
	facts_u64(facts, "events", NULL, recording->event_count);
	facts_u64(facts, "lost_events", NULL, recording->lost);
	facts_end(facts);
	if (recording->lost)
		facts_line(facts, "warning: %" G_GUINT64_FORMAT " events were lost", recording->lost);
}

static void show_count(struct facts *facts, const char *key, uint64_t count, const char *what)
{
	facts_u64(facts, key, NULL, count);
	if (count)
		facts_line(facts, "%" G_GUINT64_FORMAT " %s", count, what);
}

/** What had to be chosen or made up. */
static void show_assumptions(struct facts *facts, const struct verify_result *result)
{
	show_count(facts, "choices", result->choices,
		   "times the recorded answers chose among orders that the events allow");
	show_count(facts, "split_calls", result->split, "calls of the allocator that others came into");
	show_count(facts, "missed_calls", result->missed_calls,
		   "calls that probes missed, and what they did was recorded");
	show_count(facts, "guessed_vectors", result->guessed_vectors,
		   "requests whose number of vectors, two or more, only the calls tell");
	show_count(facts, "invented_requests", result->invented_requests,
		   "requests whose segments the recording does not have");
}

/** Shows one row of a table of recordings: recorded and predicted by class. */
static void show_row(struct facts *facts, const struct verify_recording *recording,
		     const struct verify_result *result)
{
	GString *heads = g_string_new("| trace |"), *lines = g_string_new("|---|"), *row = g_string_new(NULL);

	g_string_append_printf(row, "| %s |", recording->path);
	for (unsigned class = 0; class < VERIFY_CLASSES; class ++) {
		const struct verify_count *count = &result->count[class];

		g_string_append_printf(heads, " %s |", verify_class_names[class]);
		g_string_append(lines, "---|");
		g_string_append_printf(row, " %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, count->predicted,
				       count->recorded);
		if (count->undecided)
			g_string_append_printf(row, " (%" G_GUINT64_FORMAT " undecided)", count->undecided);
		g_string_append(row, " |");
	}
	g_string_append(heads, " choices | result |");
	g_string_append(lines, "---|---|");
	g_string_append_printf(row, " %" G_GUINT64_FORMAT " | %s |", result->choices,
			       result->first.found ? "differs" : "agrees");
	facts_line(facts, "%s", heads->str);
	facts_line(facts, "%s", lines->str);
	facts_line(facts, "%s", row->str);
	g_string_free(heads, TRUE);
	g_string_free(lines, TRUE);
	g_string_free(row, TRUE);
}

static int verify_show(const struct verify_recording *recording, const struct machine_config *config,
		       const struct verify_result *result, bool table, bool json)
{
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;

	if (table && !json) {
		show_row(facts, recording, result);
	} else {
		show_machine(facts, recording, config);
		show_counts(facts, result);
		show_assumptions(facts, result);
		if (result->first.found)
			show_difference(facts, recording, result);
	}
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	if (!cmd_print(text))
		return EXIT_UNUSABLE;
	return result->first.found ? EXIT_FOUND : EXIT_DONE;
}

/** Returns the directory with the dumps: the one that was named, or snapshots/ beside @path, where it is; NULL: none. */
static char *verify_snapshots(const struct verify_cmd *options, const char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);
	char *beside;

	if (options->snapshots)
		return strcmp(options->snapshots, "none") == 0 ? NULL : g_strdup(options->snapshots);
	beside = g_build_filename(dir, "snapshots", NULL);
	if (strcmp(path, "-") != 0 && g_file_test(beside, G_FILE_TEST_IS_DIR))
		return beside;
	g_free(beside);
	return NULL;
}

static int verify_path(const struct verify_cmd *options, const char *path, bool json)
{
	g_autofree char *snapshots = verify_snapshots(options, path);
	GError *error = NULL;
	struct verify_recording *recording = verify_recording_read(path, &error);
	struct machine_config config;
	struct verify_result result = {0};
	int code = EXIT_UNUSABLE;

	if (recording && verify_read_config(options, recording, &config, &error) &&
	    verify(recording,
		   &(const struct verify_options){
			   .config = &config, .snapshots = snapshots, .order = options->order},
		   &result, &error))
		code = verify_show(recording, &config, &result, options->table, json);
	if (error)
		code = cmd_fail_error(error);
	verify_result_clear(&result);
	verify_recording_free(recording);
	return code;
}

int cmd_verify(const struct command *command, int argc, char **argv)
{
	struct verify_cmd options = {0};
	const GOptionEntry entries[] = {
		{"config", 'c', 0, G_OPTION_ARG_FILENAME, &options.machine_file, "machine file",
		 "MACHINE.ini"},
		{"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.sets, "override one key",
		 "GROUP.KEY=VALUE"},
		{"order", 0, 0, G_OPTION_ARG_FILENAME, &options.order, "an order of the allocator's calls",
		 "FILE"},
		{"snapshots", 0, 0, G_OPTION_ARG_FILENAME, &options.snapshots,
		 "dumps of the page table (snapshots/ beside TRACE)", "DIR|none"},
		{"table", 0, 0, G_OPTION_ARG_NONE, &options.table, "one row, for a table of recordings",
		 NULL},
		{NULL},
	};
	struct cmd_common common;
	int code;

	if (cmd_parse(command, argc, argv, entries, 1, 1, &common)) {
		code = verify_path(&options, common.args[0], common.json);
		cmd_common_clear(&common);
	} else {
		code = common.exit_code;
	}
	g_free(options.machine_file);
	g_strfreev(options.sets);
	g_free(options.order);
	g_free(options.snapshots);
	return code;
}
