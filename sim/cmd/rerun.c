/* SPDX-License-Identifier: MIT */
#include "sim/cmd/rerun.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "sim/core/error.h"

/** The machine file of the results has these, and results are not written again. */
static const char *const left_out[] = {"machine",	 "set", "seed", "output", "snapshot-at",
				       "snapshot-every", NULL};

static void write_option(struct facts *facts, const char *name, const char *value)
{
	g_autofree char *text = g_strdup_printf("--%s=%s", name, value);

	if (value)
		facts_item(facts, text);
}

void rerun_write_options(struct facts *facts, const GOptionEntry *entries)
{
	facts_list_begin(facts, "options", NULL);
	for (; entries->long_name; entries++) {
		if (g_strv_contains(left_out, entries->long_name))
			continue;
		if (entries->arg == G_OPTION_ARG_FILENAME)
			write_option(facts, entries->long_name, *(char **)entries->arg_data);
		else if (entries->arg == G_OPTION_ARG_FILENAME_ARRAY)
			for (char **value = *(char ***)entries->arg_data; value && *value; value++)
				write_option(facts, entries->long_name, *value);
		else
			g_assert_not_reached(); /* an option that takes no text has to be added here */
	}
	facts_list_end(facts);
}

/** Returns member @name of group @group, NULL if there is none or it is no value. */
static JsonNode *member(JsonObject *root, const char *group, const char *name)
{
	JsonNode *node = json_object_get_member(root, group);
	JsonObject *object = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;

	node = object ? json_object_get_member(object, name) : NULL;
	return node && JSON_NODE_HOLDS_VALUE(node) ? node : NULL;
}

/** Takes the list of options as a command line. */
static bool take_options(struct rerun *rerun, JsonObject *root, const char *path, GError **error)
{
	g_autofree GOptionEntry *entries = run_option_entries(&rerun->options, false);
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	g_autoptr(GError) reason = NULL;
	g_auto(GStrv) args = NULL;
	JsonNode *node = json_object_get_member(root, "options");
	JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

	if (!list)
		return sim_error_plain(error, "%s: no list \"options\" in it: the run cannot be repeated",
				       path) == 0;
	g_strv_builder_add(builder, "replay");
	for (guint i = 0; i < json_array_get_length(list); i++) {
		const char *text = json_node_get_string(json_array_get_element(list, i));

		g_strv_builder_add(builder, text ? text : "");
	}
	args = g_strv_builder_end(builder);
	g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_set_help_enabled(context, FALSE);
	if (!g_option_context_parse_strv(context, &args, &reason))
		return sim_error_plain(error, "%s: %s", path, reason->message) == 0;
	return true;
}

static bool take_root(struct rerun *rerun, JsonNode *node, const char *path, const char *trace,
		      GError **error)
{
	JsonObject *root = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	JsonNode *name, *ios, *end_ns;

	name = root ? member(root, "trace", "name") : NULL;
	ios = root ? member(root, "replay", "ios") : NULL;
	end_ns = root ? member(root, "replay", "end_ns") : NULL;
	if (!name || !json_node_get_string(name) || !ios || !end_ns)
		return sim_error_plain(error, "%s: not what replay -o writes", path) == 0;
	rerun->trace = g_strdup(trace ? trace : json_node_get_string(name));
	rerun->ios = (uint64_t)json_node_get_int(ios);
	rerun->end_ns = (uint64_t)json_node_get_int(end_ns);
	return take_options(rerun, root, path, error);
}

bool rerun_load(struct rerun *rerun, const char *dir, const char *trace, GError **error)
{
	g_autofree char *path = g_build_filename(dir, "run.json", NULL);
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	g_autoptr(GError) reason = NULL;

	*rerun = (struct rerun){0};
	if (!g_file_test(path, G_FILE_TEST_EXISTS))
		return sim_error_plain(error, "%s: no run.json in it: not what replay -o writes", dir) == 0;
	if (!json_parser_load_from_file(parser, path, &reason))
		return sim_error_plain(error, "%s: %s", path, reason->message) == 0;
	if (!take_root(rerun, json_parser_get_root(parser), path, trace, error))
		return false;
	rerun->options.machine_file = g_build_filename(dir, "machine.ini", NULL);
	if (strcmp(rerun->trace, "-") == 0 || !g_file_test(rerun->trace, G_FILE_TEST_EXISTS))
		return sim_error_plain(error, "%s: its trace %s is not there: give --trace=FILE", dir,
				       strcmp(rerun->trace, "-") == 0 ? "was standard input and"
								      : rerun->trace) == 0;
	return true;
}

void rerun_clear(struct rerun *rerun)
{
	run_options_clear(&rerun->options);
	g_free(rerun->trace);
}

bool rerun_check(const struct rerun *rerun, const struct run *run, GError **error)
{
	if (run->stats->ios == rerun->ios && run->machine->sim->now_ns == rerun->end_ns)
		return true;
	return sim_error_plain(error,
			       "%s: the run is not the same any more: the trace, a file it was given or the "
			       "program has changed",
			       rerun->trace) == 0;
}
