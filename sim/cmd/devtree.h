/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_DEVTREE_H
#define SIM_CMD_DEVTREE_H

/*
 * What the devtree commands share.
 */
#include "devtree/fdt/tree.h"
#include "sim/cmd/cmd.h"

#define DEVTREE_TEXT_MAX (256u << 20) /* bytes; the paths of a hostile tree could ask for any amount */

/** Prints what there is to say of @tree. Returns an exit code. */
typedef int (*devtree_fn)(const struct devtree *tree, bool json);

/** A command whose one argument is a board, which it hands to @run. Returns an exit code. */
int devtree_command(const struct command *command, int argc, char **argv, devtree_fn run);

/** Prints @text unless it is longer than DEVTREE_TEXT_MAX, in which case it says so of @tree. Returns an exit code, @code
 *  where all went well. */
int devtree_print(const struct devtree *tree, const char *text, size_t len, int code);

/** Returns the facts (text as of dt_facts()) as one JSON document; free with g_free(). */
char *devtree_facts_to_json(const char *text);

#endif
