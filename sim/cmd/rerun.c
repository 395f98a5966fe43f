/* SPDX-License-Identifier: MIT */
#include "sim/cmd/rerun.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "sim/core/error.h"

/** The machine file of the results has these, and results are not written again. */
static const char *const left_out[] = {"machine",	 "set", "seed", "output", "snapshot-at",
				       "snapshot-every", "perfetto", "perfetto-limit", NULL};

static void write_flag(struct facts *facts, const char *name, bool value)
{
	g_autofree char *text = g_strdup_printf("--%s", name);

	if (value)
		facts_item(facts, text);
}

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
		else if (entries->arg == G_OPTION_ARG_NONE)
			write_flag(facts, entries->long_name, *(gboolean *)entries->arg_data);
		else
			g_assert_not_reached(); /* an option of another kind has to be added here */
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

/** Returns where the traces were; NULL if @root does not say. */
static char **take_names(JsonObject *root)
{
	JsonNode *list = json_object_get_member(root, "traces"), *one = member(root, "trace", "name");
	g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
	JsonArray *traces = list && JSON_NODE_HOLDS_ARRAY(list) ? json_node_get_array(list) : NULL;

	if (one && json_node_get_string(one))
		g_strv_builder_add(builder, json_node_get_string(one));
	for (guint i = 0; traces && i < json_array_get_length(traces); i++) {
		JsonNode *trace = json_array_get_element(traces, i), *name = NULL;

		if (JSON_NODE_HOLDS_OBJECT(trace))
			name = json_object_get_member(json_node_get_object(trace), "name");
		if (!name || !JSON_NODE_HOLDS_VALUE(name) || !json_node_get_string(name))
			return NULL;
		g_strv_builder_add(builder, json_node_get_string(name));
	}
	return one || traces ? g_strv_builder_end(builder) : NULL;
}

static bool take_root(struct rerun *rerun, JsonNode *node, const char *path, GError **error)
{
	JsonObject *root = node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
	JsonNode *ios, *end_ns;

	rerun->traces = root ? take_names(root) : NULL;
	ios = root ? member(root, "replay", "ios") : NULL;
	end_ns = root ? member(root, "replay", "end_ns") : NULL;
	if (!rerun->traces || !rerun->traces[0] || !ios || !end_ns)
		return sim_error_plain(error, "%s: not what replay -o writes", path) == 0;
	rerun->ios = (uint64_t)json_node_get_int(ios);
	rerun->end_ns = (uint64_t)json_node_get_int(end_ns);
	return take_options(rerun, root, path, error);
}

/** Whether the traces are there: one may have moved to @trace. */
static bool find_traces(struct rerun *rerun, const char *dir, const char *trace, GError **error)
{
	if (trace && rerun->traces[1])
		return sim_error_plain(error, "%s: of several traces; --trace is for one", dir) == 0;
	if (trace) {
		g_free(rerun->traces[0]);
		rerun->traces[0] = g_strdup(trace);
	}
	for (char **at = rerun->traces; *at; at++)
		if (strcmp(*at, "-") == 0 || !g_file_test(*at, G_FILE_TEST_EXISTS))
			return sim_error_plain(error, "%s: its trace %s is not there: give --trace=FILE", dir,
					       strcmp(*at, "-") == 0 ? "was standard input and" : *at) == 0;
	return true;
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
	if (!take_root(rerun, json_parser_get_root(parser), path, error))
		return false;
	rerun->options.machine_file = g_build_filename(dir, "machine.ini", NULL);
	return find_traces(rerun, dir, trace, error);
}

void rerun_clear(struct rerun *rerun)
{
	run_options_clear(&rerun->options);
	g_strfreev(rerun->traces);
}

bool rerun_check(const struct rerun *rerun, const struct run *run, GError **error)
{
	if (run->stats->ios == rerun->ios && run->machine->sim->now_ns == rerun->end_ns)
		return true;
	return sim_error_plain(error,
			       "%s: the run is not the same any more: the trace, a file it was given or the "
			       "program has changed",
			       rerun->traces[0]) == 0;
}
