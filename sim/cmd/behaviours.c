/* SPDX-License-Identifier: MIT */
#include "sim/behaviour/behaviour.h"
#include "sim/cmd/cmd.h"
#include "sim/report/facts.h"

static void behaviours_row(struct facts *facts, enum behaviour number)
{
	const struct behaviour_row *row = &behaviour_rows[number];
	g_autofree char *values = g_strjoinv(", ", (char **)row->values);
	g_autoptr(GString) columns = g_string_new(NULL);

	facts_begin(facts, NULL, NULL);
	facts_text(facts, "name", NULL, row->name);
	facts_text(facts, "what", NULL, row->what);
	facts_text(facts, "upstream", NULL, row->upstream);
	facts_list_begin(facts, "values", NULL);
	for (unsigned i = 0; row->values[i]; i++) {
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "value", NULL, row->values[i]);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_list_begin(facts, "versions", NULL);
	for (unsigned version = 0; version < KERNEL_VERSIONS; version++) {
		const char *value = behaviour_value_name(number, (enum kernel_version)version);

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "version", NULL, kernel_version_names[version]);
		facts_text(facts, "value", NULL, value);
		facts_end(facts);
		g_string_append_printf(columns, " %-12s", value);
	}
	facts_list_end(facts);
	facts_end(facts);
	facts_line(facts, "%-26s%s", row->name, g_strchomp(columns->str));
	facts_line(facts, "    values: %s; upstream: %s", values, row->upstream);
	facts_line(facts, "    %s", row->what);
}

int cmd_behaviours(const struct command *command, int argc, char **argv)
{
	struct cmd_common common;
	struct facts *facts;
	g_autoptr(GString) head = g_string_new(NULL);
	g_autofree char *text = NULL;

	if (!cmd_parse(command, argc, argv, NULL, 0, 0, &common))
		return common.exit_code;
	facts = facts_new();
	for (unsigned version = 0; version < KERNEL_VERSIONS; version++)
		g_string_append_printf(head, " %-12s", kernel_version_names[version]);
	facts_line(facts, "%-26s%s", "BEHAVIOUR", g_strchomp(head->str));
	facts_list_begin(facts, "behaviours", NULL);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		behaviours_row(facts, (enum behaviour)row);
	facts_list_end(facts);
	text = common.json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	cmd_common_clear(&common);
	return cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
}
