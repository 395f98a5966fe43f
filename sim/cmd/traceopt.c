/* SPDX-License-Identifier: MIT */
#include "sim/cmd/traceopt.h"

#include <string.h>

#include "sim/core/error.h"

void traceopt_entries(struct traceopt *options, GOptionEntry *entries)
{
	const GOptionEntry all[TRACEOPT_ENTRIES] = {
		{"trace-format", 0, 0, G_OPTION_ARG_FILENAME, &options->format,
		 "format of the trace; auto tells by content", "auto|NAME"},
		{"at", 0, 0, G_OPTION_ARG_FILENAME, &options->at, "which event of a request is the request",
		 "issue|queue|setup"},
		{"csv", 0, 0, G_OPTION_ARG_FILENAME, &options->csv, "columns of a list of requests",
		 "time:ns,op,offset:sectors,size:bytes,..."},
		{"blkparse-format", 0, 0, G_OPTION_ARG_FILENAME, &options->blkparse_format,
		 "what blkparse was given as -f", "STR"},
	};

	memcpy(entries, all, sizeof(all));
}

bool traceopt_parse(const struct traceopt *options, struct trace_options *ret_options, GError **error)
{
	struct trace_options parsed = {.csv = options->csv, .blkparse_format = options->blkparse_format};
	unsigned at = TRACE_AT_ISSUE;

	if (options->format && strcmp(options->format, "auto") != 0)
		parsed.format = options->format;
	if (options->at)
		for (at = 0; trace_at_names[at] && strcmp(trace_at_names[at], options->at) != 0; at++)
			;
	if (!trace_at_names[at])
		return sim_error_plain(error, "--at=%s: must be issue, queue or setup", options->at) == 0;
	parsed.at = (enum trace_at)at;
	*ret_options = parsed;
	return true;
}

void traceopt_clear(struct traceopt *options)
{
	g_free(options->format);
	g_free(options->at);
	g_free(options->csv);
	g_free(options->blkparse_format);
}
