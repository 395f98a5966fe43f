/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/report/facts.h"
#include "sim/trace/writer.h"

static bool formats_can_write(const char *name)
{
	for (unsigned i = 0; trace_writers[i]; i++)
		if (strcmp(trace_writers[i]->name, name) == 0)
			return true;
	return false;
}

int cmd_trace_formats(const struct command *command, int argc, char **argv)
{
	g_autofree char *text = NULL;
	struct cmd_common common;
	struct facts *facts;

	if (!cmd_parse(command, argc, argv, NULL, 0, 0, &common))
		return common.exit_code;
	facts = facts_new();
	facts_line(facts, "%-10s %-10s %s", "FORMAT", "", "DESCRIPTION");
	facts_list_begin(facts, "formats", NULL);
	for (unsigned i = 0; trace_formats[i]; i++) {
		bool writes = formats_can_write(trace_formats[i]->name);

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, trace_formats[i]->name);
		facts_text(facts, "description", NULL, trace_formats[i]->description);
		facts_bool(facts, "writes", NULL, writes);
		facts_end(facts);
		facts_line(facts, "%-10s %-10s %s", trace_formats[i]->name, writes ? "read/write" : "read",
			   trace_formats[i]->description);
	}
	facts_list_end(facts);
	text = common.json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	cmd_common_clear(&common);
	return cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
}
