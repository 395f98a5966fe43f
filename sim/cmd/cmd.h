/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_CMD_H
#define SIM_CMD_CMD_H

/*
 * Subcommands: one file each, one row in commands.c. They parse options, call the rooms, print, and choose the exit
 * code. Messages go to stderr, results to stdout.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

enum exit_code {
	EXIT_DONE = 0,	   /* done, nothing to report */
	EXIT_FOUND = 1,	   /* done, and what was asked about was found */
	EXIT_UNUSABLE = 2, /* the request or its input is unusable */
	EXIT_INTERNAL = 3, /* we are wrong */
};

struct command {
	const char *name;    /* "snapshot show": words that follow the program's name */
	const char *summary; /* one line of --help */
	const char *usage;   /* the arguments that follow name and options: "TRACE" */
	int (*run)(const struct command *command, int argc, char **argv);
	const char *details; /* what stands at the end of --help; may be NULL */
	const char *example; /* commands that run as they stand: in --help and in the manual */
};

/** The subcommands, ended by a NULL name. */
extern const struct command commands[];

int cmd_replay(const struct command *command, int argc, char **argv);
int cmd_explain(const struct command *command, int argc, char **argv);
int cmd_bisect(const struct command *command, int argc, char **argv);
int cmd_diff(const struct command *command, int argc, char **argv);
int cmd_snapshot_show(const struct command *command, int argc, char **argv);
int cmd_snapshot_check(const struct command *command, int argc, char **argv);
int cmd_whois(const struct command *command, int argc, char **argv);
int cmd_report(const struct command *command, int argc, char **argv);
int cmd_trace_info(const struct command *command, int argc, char **argv);
int cmd_trace_convert(const struct command *command, int argc, char **argv);
int cmd_trace_record(const struct command *command, int argc, char **argv);
int cmd_trace_formats(const struct command *command, int argc, char **argv);
int cmd_machine_show(const struct command *command, int argc, char **argv);
int cmd_conform(const struct command *command, int argc, char **argv);
int cmd_iova_stat(const struct command *command, int argc, char **argv);
int cmd_pagetable_formats(const struct command *command, int argc, char **argv);
int cmd_pagetable_dump(const struct command *command, int argc, char **argv);
int cmd_pagetable_walk(const struct command *command, int argc, char **argv);
int cmd_behaviours(const struct command *command, int argc, char **argv);
int cmd_devtree_list(const struct command *command, int argc, char **argv);
int cmd_devtree_facts(const struct command *command, int argc, char **argv);
int cmd_devtree_check(const struct command *command, int argc, char **argv);
int cmd_devtree_graph(const struct command *command, int argc, char **argv);
int cmd_devtree_leaks(const struct command *command, int argc, char **argv);
int cmd_devtree_probe(const struct command *command, int argc, char **argv);
int cmd_topology(const struct command *command, int argc, char **argv);
int cmd_verify(const struct command *command, int argc, char **argv);
int cmd_faults_sweep(const struct command *command, int argc, char **argv);
int cmd_faults_points(const struct command *command, int argc, char **argv);
int cmd_faults_list(const struct command *command, int argc, char **argv);

/** Options that every subcommand takes. */
struct cmd_common {
	gboolean json;
	char *progress; /* "auto", "always", "never" */
	char **args;	/* what is left: NULL-ended */
	int exit_code; /* where cmd_parse() returned false: after a message, or after the help that was asked for */
};

/** Parses @argv with @entries (NULL-ended, may be NULL) and the common options, and checks that @min to @max arguments are
 *  left. Returns false when there is nothing more to do than to exit with ret_common->exit_code. Free with
 *  cmd_common_clear(). */
bool cmd_parse(const struct command *command, int argc, char **argv, const GOptionEntry *entries,
	       unsigned min, unsigned max, struct cmd_common *ret_common);
void cmd_common_clear(struct cmd_common *common);

/** Prints "iommusim: MESSAGE". Returns EXIT_UNUSABLE. */
int cmd_fail(const char *format, ...) G_GNUC_PRINTF(1, 2);
/** The same of @error, which it frees. */
int cmd_fail_error(GError *error);

/** Whether progress is to be shown. */
bool cmd_shows_progress(const struct cmd_common *common);

/** Prints @text on stdout. Returns false, after a message, when that failed. */
bool cmd_print(const char *text);

#endif
