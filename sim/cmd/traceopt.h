/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_TRACEOPT_H
#define SIM_CMD_TRACEOPT_H

/*
 * The options that say how a trace is read, the same for every command that takes one.
 */
#include <glib.h>

#include "sim/trace/trace.h"

struct traceopt {
	char *format;
	char *at;
	char *csv;
	char *blkparse_format;
	char *from, *to;
	char *skip;
	char *scale;
	char *repeat, *shift;
};

#define TRACEOPT_ENTRIES 10

/** Fills @entries, of TRACEOPT_ENTRIES, with the options for GOption, which writes them to @options. */
void traceopt_entries(struct traceopt *options, GOptionEntry *entries);

/** Makes *@ret_options of what was given; its strings are borrowed from @options. Returns false with *@error. */
bool traceopt_parse(const struct traceopt *options, struct trace_options *ret_options, GError **error);

void traceopt_clear(struct traceopt *options);

#endif
