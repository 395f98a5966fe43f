/* SPDX-License-Identifier: MIT */
/*
 * machine show: the machine that a file and --set make, key by key.
 */
#include "sim/cmd/run.h"
#include "sim/io/output.h"

static void machine_show_key(void *data, const struct machine_config_key *key)
{
	struct facts *facts = (struct facts *)data;

	facts_begin(facts, NULL, NULL);
	facts_text(facts, "key", NULL, key->name);
	facts_text(facts, "value", NULL, key->value);
	facts_text(facts, "default", NULL, key->initial);
	facts_text(facts, "takes", NULL, key->takes);
	facts_text(facts, "what", NULL, key->what ? key->what : "");
	facts_end(facts);
	facts_line(facts, "%-32s %-24s %-24s %s", key->name, key->value, key->initial, key->takes);
	if (key->what)
		facts_line(facts, "    %s", key->what);
}

/** Writes the machine file @path. */
static bool machine_write(const struct machine_config *config, const char *path, GError **error)
{
	g_autofree char *text = machine_config_text(config);
	struct output *output = output_new(path, error);

	if (!output)
		return false;
	output_puts(output, text);
	return output_commit(output, error);
}

static char *machine_table(const struct machine_config *config, bool json)
{
	struct facts *facts = facts_new();
	char *text;

	facts_line(facts, "%-32s %-24s %-24s %s", "KEY", "VALUE", "DEFAULT", "TAKES");
	facts_list_begin(facts, "keys", NULL);
	machine_config_keys(config, machine_show_key, facts);
	facts_list_end(facts);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return text;
}

int cmd_machine_show(const struct command *command, int argc, char **argv)
{
	struct run_options options = {0};
	const GOptionEntry entries[] = {
		{"machine", 'c', 0, G_OPTION_ARG_FILENAME, &options.machine_file, "the machine file",
		 "MACHINE.ini"},
		{"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options.sets,
		 "override one key of the machine file", "GROUP.KEY=VALUE"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.dir,
		 "write it as a machine file; - is standard output", "MACHINE.ini"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct machine_board *board = NULL;
	struct fault_rules *rules = NULL;
	struct machine_config config;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_DONE;

	if (!cmd_parse(command, argc, argv, entries, 0, 0, &common)) {
		run_options_clear(&options);
		return common.exit_code;
	}
	if (!run_read_config(&options, &config, &board, &rules, &error)) {
		code = cmd_fail_error(error);
	} else if (options.dir) {
		if (!machine_write(&config, options.dir, &error))
			code = cmd_fail_error(error);
	} else {
		g_autofree char *text = machine_table(&config, common.json);

		code = cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
	}
	run_options_clear(&options);
	cmd_common_clear(&common);
	return code;
}
