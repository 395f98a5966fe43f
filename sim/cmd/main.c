/* SPDX-License-Identifier: MIT */
/*
 * iommusim: picks the subcommand. Everything else is in its file.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/cmd/cmd.h"
#include "sim/core/text.h"

/** Prints the help; of the commands, with a @family, only those that begin with it. */
static void main_help(FILE *to, const char *family)
{
	fputs("Usage: iommusim COMMAND [OPTION...] [ARGUMENT...]\n\n"
	      "Simulates what Linux does between a block request and the device's memory access.\n\n"
	      "Commands:\n",
	      to);
	for (const struct command *command = commands; command->name; command++)
		if (!family ||
		    (g_str_has_prefix(command->name, family) && command->name[strlen(family)] == ' '))
			fprintf(to, "  %-18s %s\n", command->name, command->summary);
	fputs("\nOptions:\n"
	      "  --help             this text; \"iommusim COMMAND --help\" for one command\n"
	      "  --version          the version\n\n"
	      "Exit: 0 nothing to report, 1 something was found, 2 unusable request or input, 3 internal "
	      "error.\n",
	      to);
}

static int main_flushed(void)
{
	return cmd_print("") ? EXIT_DONE : EXIT_UNUSABLE;
}

/** Returns how many words of @argv (from 1 on) are the name of @command, 0 if they are not. */
static int main_match(const struct command *command, int argc, char **argv)
{
	g_auto(GStrv) words = g_strsplit(command->name, " ", -1);
	int count = (int)g_strv_length(words);

	if (argc < 1 + count)
		return 0;
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], argv[1 + i]) != 0)
			return 0;
	return count;
}

/** Returns whether @word begins the name of some command of two words. */
static bool main_is_family(const char *word)
{
	for (const struct command *command = commands; command->name; command++)
		if (g_str_has_prefix(command->name, word) && command->name[strlen(word)] == ' ')
			return true;
	return false;
}

/** Returns the command, or the first word of one, that @asked may have been meant for, or NULL; free with g_free(). */
static char *main_meant(const char *asked)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

	for (const struct command *command = commands; command->name; command++) {
		g_ptr_array_add(names, g_strdup(command->name));
		g_ptr_array_add(names, g_strndup(command->name, strcspn(command->name, " ")));
	}
	g_ptr_array_add(names, g_strdup("--version"));
	g_ptr_array_add(names, g_strdup("--help"));
	g_ptr_array_add(names, NULL);
	return g_strdup(text_nearest(asked, (const char *const *)names->pdata));
}

/** Says that there is no command @asked, and which was meant: perhaps one of that word and @next, which may be NULL. */
static int main_refuse(const char *asked, const char *next)
{
	g_autofree char *both = next ? g_strjoin(" ", asked, next, NULL) : NULL;
	g_autofree char *meant = both ? main_meant(both) : NULL;

	if (!meant)
		meant = main_meant(asked);
	return meant ? cmd_fail("no command \"%s\": did you mean \"%s\"? See \"iommusim --help\"", asked,
				meant)
		     : cmd_fail("no command \"%s\"; see \"iommusim --help\"", asked);
}

/** An assertion that fails is our mistake: GLib has said which, and aborts. Exit 3, as documented, not a signal. */
static void main_aborted(int signal_number)
{
	_exit(EXIT_INTERNAL);
}

/** Makes "help COMMAND" of @argv "COMMAND --help". @ret_argv has room for all of it. */
static void main_take_help(int argc, char **argv, char **ret_argv)
{
	memcpy(ret_argv, argv, (size_t)(argc + 1) * sizeof(*argv));
	if (argc < 3 || strcmp(argv[1], "help") != 0)
		return;
	memmove(ret_argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
	ret_argv[argc - 1] = (char *)"--help"; /* GOption moves words, and changes none */
}

int main(int argc, char **given)
{
	g_autofree char **argv = g_new(char *, argc + 1);

	signal(SIGABRT, main_aborted);
	main_take_help(argc, given, argv);
	if (argc < 2) {
		main_help(stderr, NULL);
		return EXIT_UNUSABLE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		main_help(stdout, NULL);
		return main_flushed();
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("iommusim " IOMMUSIM_VERSION);
		return main_flushed();
	}
	for (const struct command *command = commands; command->name; command++) {
		int words = main_match(command, argc, argv);

		if (words)
			return command->run(command, argc - words, argv + words);
	}
	if (main_is_family(argv[1]) && argc > 2 && strcmp(argv[2], "--help") != 0) {
		g_autofree char *asked = g_strjoin(" ", argv[1], argv[2], NULL);

		return main_refuse(asked, NULL);
	}
	if (main_is_family(argv[1])) {
		main_help(argc > 2 ? stdout : stderr, argv[1]);
		return argc > 2 ? EXIT_DONE : EXIT_UNUSABLE;
	}
	return main_refuse(argv[1], argv[2]);
}
