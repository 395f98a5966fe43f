/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/cmd/cmd.h"
#include "sim/core/text.h"

int cmd_fail(const char *format, ...)
{
	va_list args;

	fputs("iommusim: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_UNUSABLE;
}

int cmd_fail_error(GError *error)
{
	int code = cmd_fail("%s", error->message);

	g_error_free(error);
	return code;
}

void cmd_common_clear(struct cmd_common *common)
{
	g_clear_pointer(&common->progress, g_free);
	g_clear_pointer(&common->args, g_strfreev);
}

static bool cmd_check_common(const struct command *command, const struct cmd_common *common, unsigned min,
			     unsigned max)
{
	unsigned count = common->args ? g_strv_length(common->args) : 0;

	if (common->progress &&
	    !g_strv_contains((const char *const[]){"auto", "always", "never", NULL}, common->progress)) {
		cmd_fail("--progress=%s: must be auto, always or never", common->progress);
		return false;
	}
	if (count >= min && count <= max)
		return true;
	if (max == G_MAXUINT)
		cmd_fail("%s takes at least %u argument%s (%s); see \"iommusim %s --help\"", command->name,
			 min, min == 1 ? "" : "s", command->usage, command->name);
	else if (max == 0)
		cmd_fail("%s takes no argument: \"%s\"; see \"iommusim %s --help\"", command->name,
			 common->args[0], command->name);
	else if (min < max)
		cmd_fail("%s takes %u to %u arguments (%s), not %u; see \"iommusim %s --help\"",
			 command->name, min, max, command->usage, count, command->name);
	else
		cmd_fail("%s takes %u argument%s (%s), not %u; see \"iommusim %s --help\"", command->name,
			 max, max == 1 ? "" : "s", command->usage, count, command->name);
	return false;
}

/** Returns what stands at the end of --help: details, and the example; free with g_free(). */
static char *cmd_closing(const struct command *command)
{
	g_auto(GStrv) lines = g_strsplit(command->example ? command->example : "", "\n", -1);
	GString *text = g_string_new(command->details);

	if (text->len)
		g_string_append_c(text, '\n');
	if (command->example)
		g_string_append(text, "Example:\n");
	for (char **line = lines; command->example && *line; line++)
		g_string_append_printf(text, "  %s\n", *line);
	return g_string_free(text, FALSE);
}

static void cmd_add_options(GPtrArray *names, const GOptionEntry *entries)
{
	for (; entries && entries->long_name; entries++)
		if (*entries->long_name)
			g_ptr_array_add(names, (void *)entries->long_name);
}

/** Prints why the options were not taken: of an unknown one, which was meant. */
static void cmd_refuse(const char *name, const GError *error, const GOptionEntry *entries,
		       const GOptionEntry *shared)
{
	const char *asked = strstr(error->message, "--");
	g_autofree char *word = asked ? g_strndup(asked + 2, strcspn(asked + 2, "=")) : NULL;
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	const char *meant = NULL;

	cmd_add_options(names, entries);
	cmd_add_options(names, shared);
	g_ptr_array_add(names, NULL);
	if (word && g_error_matches(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION))
		meant = text_nearest(word, (const char *const *)names->pdata);
	if (meant)
		cmd_fail("%s: did you mean --%s? See \"%s --help\"", error->message, meant, name);
	else
		cmd_fail("%s; see \"%s --help\"", error->message, name);
}

bool cmd_parse(const struct command *command, int argc, char **argv, const GOptionEntry *entries,
	       unsigned min, unsigned max, struct cmd_common *ret_common)
{
	struct cmd_common common = {.exit_code = EXIT_UNUSABLE};
	gboolean help = FALSE;
	const GOptionEntry shared[] = {
		{"help", 'h', 0, G_OPTION_ARG_NONE, &help, "print this text", NULL},
		{"json", 0, 0, G_OPTION_ARG_NONE, &common.json, "print one JSON document", NULL},
		{"progress", 0, 0, G_OPTION_ARG_FILENAME, &common.progress,
		 "show progress on stderr; auto: where it is a terminal (default)", "auto|always|never"},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &common.args, NULL, NULL},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	GOptionContext *context = g_option_context_new(command->usage);
	g_autofree char *name = g_strdup_printf("iommusim %s", command->name);
	g_autofree char *closing = cmd_closing(command);
	GError *error = NULL;
	bool ok;

	/* GOption names the program in its help by this. */
	g_set_prgname(name);
	g_option_context_set_summary(context, command->summary);
	g_option_context_set_description(context, closing);
	if (entries)
		g_option_context_add_main_entries(context, entries, NULL);
	g_option_context_add_main_entries(context, shared, NULL);
	/* Our own --help: the library's converts to the locale's characters, of which a program without locale has few. */
	g_option_context_set_help_enabled(context, FALSE);
	ok = g_option_context_parse(context, &argc, &argv, &error);
	if (ok && help) {
		g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);

		common.exit_code = cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
	}
	g_option_context_free(context);
	if (!ok) {
		cmd_refuse(name, error, entries, shared);
		g_error_free(error);
	}
	if (ok && !common.args)
		common.args = g_new0(char *, 1);
	if (!ok || help || !cmd_check_common(command, &common, min, max)) {
		cmd_common_clear(&common);
		*ret_common = common;
		return false;
	}
	*ret_common = common;
	return true;
}

bool cmd_shows_progress(const struct cmd_common *common)
{
	if (common->progress && strcmp(common->progress, "always") == 0)
		return true;
	return !(common->progress && strcmp(common->progress, "never") == 0) && isatty(STDERR_FILENO);
}

bool cmd_print(const char *text)
{
	if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
		return true;
	cmd_fail("standard output: %s", strerror(errno));
	return false;
}
