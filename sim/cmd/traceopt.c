/* SPDX-License-Identifier: MIT */
#include "sim/cmd/traceopt.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"

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
		{"from", 0, 0, G_OPTION_ARG_FILENAME, &options->from,
		 "only requests issued at this time of the trace or later; time counts from there", "T"},
		{"to", 0, 0, G_OPTION_ARG_FILENAME, &options->to,
		 "only requests issued before this time of the trace", "T"},
		{"skip", 0, 0, G_OPTION_ARG_FILENAME, &options->skip,
		 "leave out the first N requests (of those from --from on); time counts from the next", "N"},
		{"scale", 0, 0, G_OPTION_ARG_FILENAME, &options->scale,
		 "play the trace F times as fast: 2 halves all times, 0.5 doubles them", "F"},
		{"repeat", 0, 0, G_OPTION_ARG_FILENAME, &options->repeat,
		 "play it N times, one after the other, each behind the one before on the disk", "N"},
		{"shift", 0, 0, G_OPTION_ARG_FILENAME, &options->shift,
		 "how far behind (default: what the trace spans, in whole MiB; 0: at the same places)",
		 "SIZE"},
	};

	memcpy(entries, all, sizeof(all));
}

/** Parses a positive decimal number with at most six digits behind its point into millionths. */
static bool traceopt_parse_scale(const char *text, uint64_t *ret_millionths)
{
	uint64_t whole = 0, unit = TRACE_SCALE_ONE, fraction = 0;
	const char *at = text;

	for (; g_ascii_isdigit(*at) && whole <= TRACE_SCALE_MAX / TRACE_SCALE_ONE; at++)
		whole = whole * 10 + (uint64_t)(*at - '0');
	if (at == text)
		return false;
	if (*at == '.' && !g_ascii_isdigit(*++at))
		return false;
	for (; g_ascii_isdigit(*at) && unit > 1; at++) {
		unit /= 10;
		fraction += (uint64_t)(*at - '0') * unit;
	}
	*ret_millionths = whole * TRACE_SCALE_ONE + fraction;
	return *at == '\0' && *ret_millionths && *ret_millionths <= TRACE_SCALE_MAX;
}

static bool traceopt_parse_window(const struct traceopt *options, struct trace_part *part, GError **error)
{
	if (options->from && !text_parse_time(options->from, &part->from_ns))
		return sim_error_plain(error, "--from=%s: must be a time such as 5ms", options->from) == 0;
	if (options->to && (!text_parse_time(options->to, &part->to_ns) || part->to_ns <= part->from_ns))
		return sim_error_plain(error, "--to=%s: must be a time such as 5ms%s", options->to,
				       options->from ? ", after --from" : ", after 0") == 0;
	if (options->skip && !text_parse_u64(options->skip, &part->skip))
		return sim_error_plain(error, "--skip=%s: must be a count", options->skip) == 0;
	return true;
}

static bool traceopt_parse_part(const struct traceopt *options, struct trace_part *part, GError **error)
{
	if (!traceopt_parse_window(options, part, error))
		return false;
	if (options->scale && !traceopt_parse_scale(options->scale, &part->scale_millionths))
		return sim_error_plain(error, "--scale=%s: must be a decimal number from 0.000001 to 1000000",
				       options->scale) == 0;
	if (options->repeat && (!text_parse_u64(options->repeat, &part->repeat) || !part->repeat ||
				part->repeat > TRACE_REPEAT_MAX))
		return sim_error_plain(error, "--repeat=%s: must be a count from 1 to %u", options->repeat,
				       TRACE_REPEAT_MAX) == 0;
	part->has_shift = options->shift != NULL;
	if (options->shift &&
	    (!text_parse_size(options->shift, &part->shift_bytes) || part->shift_bytes % 512))
		return sim_error_plain(error,
				       "--shift=%s: must be a size such as 1G, in whole sectors of 512 bytes",
				       options->shift) == 0;
	if (options->shift && part->repeat <= 1)
		return sim_error_plain(
			       error,
			       "--shift says how far the rounds of --repeat=N are apart: give that, too") ==
		       0;
	return true;
}

/** An option of one format says which it is: nothing may say another. */
static bool traceopt_check_format(const struct trace_options *options, GError **error)
{
	const char *const of_one[][3] = {
		{options->csv, "--csv", "csv"},
		{options->blkparse_format, "--blkparse-format", "blkparse"},
	};

	if (options->csv && options->blkparse_format)
		return sim_error_plain(error,
				       "--csv and --blkparse-format are of different formats: give one") == 0;
	for (unsigned i = 0; i < G_N_ELEMENTS(of_one); i++)
		if (of_one[i][0] && options->format && strcmp(options->format, of_one[i][2]) != 0)
			return sim_error_plain(error, "%s is for traces in format %s, not %s", of_one[i][1],
					       of_one[i][2], options->format) == 0;
	return true;
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
	if (!traceopt_check_format(&parsed, error) || !traceopt_parse_part(options, &parsed.part, error))
		return false;
	*ret_options = parsed;
	return true;
}

void traceopt_clear(struct traceopt *options)
{
	g_free(options->format);
	g_free(options->at);
	g_free(options->csv);
	g_free(options->blkparse_format);
	g_free(options->from);
	g_free(options->to);
	g_free(options->skip);
	g_free(options->scale);
	g_free(options->repeat);
	g_free(options->shift);
}
