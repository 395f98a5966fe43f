/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/cmd/progress.h"
#include "sim/cmd/traceopt.h"
#include "sim/core/error.h"
#include "sim/report/facts.h"
#include "sim/trace/writer.h"

struct convert {
	char **tos; /* as given: a format, and perhaps a time, --to=T */
	const char *to;
	char *output;
	struct io_transform *trace;
	struct trace_writer *writer;
};

static bool convert_steps(struct convert *convert, bool shows_progress, GError **error)
{
	struct progress progress = {.trace = convert->trace, .begun_us = g_get_monotonic_time()};
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	for (uint64_t steps = 0; (step = io_transform_next(convert->trace, &record, &complete, error)) > 0;
	     steps++) {
		convert->writer->stream = io_transform_stream(convert->trace); /* another in each round */
		trace_writer_step(convert->writer, step, record, &complete);
		if (shows_progress && steps % PROGRESS_STEPS == 0)
			progress_show(&progress, io_transform_stats(convert->trace)->issues);
	}
	if (shows_progress)
		progress_clear();
	return step == IO_END;
}

/** Opens the trace before the output, so that what is no trace leaves nothing behind. */
static bool convert_run(struct convert *convert, const char *trace, const struct trace_options *reading,
			bool shows_progress, GError **error)
{
	const struct trace_writer_ops *ops = trace_writer_find(convert->to, error);
	struct output *output;

	if (!ops)
		return false;
	convert->trace = io_transform_open(trace, reading, error);
	if (!convert->trace)
		return false;
	output = output_new(convert->output, error);
	if (!output)
		return false;
	convert->writer = trace_writer_new(ops, io_transform_stream(convert->trace), output);
	if (!convert_steps(convert, shows_progress, error)) {
		output_abandon(output);
		return false;
	}
	trace_writer_finish(convert->writer, io_transform_stats(convert->trace));
	return output_commit(output, error);
}

static void convert_warn(const struct convert *convert)
{
	for (unsigned i = 0; i < TRACE_FACTS; i++) {
		g_autofree char *what = trace_writer_dropped(convert->writer, (enum trace_fact)i);

		if (what)
			fprintf(stderr, "iommusim: %s dropped: %s cannot hold them\n", what, convert->to);
	}
}

static bool convert_print_json(const struct convert *convert)
{
	const struct io_stream_stats *stats = io_transform_stats(convert->trace);
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;
	bool ok;

	facts_text(facts, "from", NULL, io_stream_format(io_transform_stream(convert->trace))->name);
	facts_text(facts, "to", NULL, convert->to);
	facts_u64(facts, "ios", NULL, stats->issues);
	facts_u64(facts, "completed", NULL, stats->completions);
	facts_begin(facts, "dropped", NULL);
	for (unsigned i = 0; i < TRACE_FACTS; i++)
		facts_u64(facts, trace_fact_name((enum trace_fact)i), NULL, convert->writer->dropped[i]);
	facts_end(facts);
	text = facts_to_json(facts);
	ok = cmd_print(text);
	facts_free(facts);
	return ok;
}

/** Takes --to out of the options of reading: it has two meanings here. */
static void convert_drop_to(GOptionEntry *entries)
{
	unsigned i = 0;

	while (strcmp(entries[i].long_name, "to") != 0)
		i++;
	for (; entries[i].long_name; i++)
		entries[i] = entries[i + 1];
}

/** Tells the two meanings of --to apart: times begin with a digit. */
static void convert_take_to(struct convert *convert, struct traceopt *options)
{
	for (char **to = convert->tos; to && *to; to++) {
		if (!g_ascii_isdigit(**to)) {
			convert->to = *to;
			continue;
		}
		g_free(options->to);
		options->to = g_strdup(*to);
	}
}

static bool convert_check(const struct convert *convert, const struct cmd_common *common, GError **error)
{
	if (!convert->to)
		return sim_error_plain(error, "give the format to write as --to=NAME") == 0;
	if (!convert->output)
		return sim_error_plain(error, "give the file to write as -o OUT, - for standard output") == 0;
	if (g_str_has_suffix(convert->output, ".gz"))
		return sim_error_plain(error, "-o %s: gzip is only read: name it .zst to have it packed",
				       convert->output) == 0;
	if (common->json && strcmp(convert->output, "-") == 0)
		return sim_error_plain(error, "--json and -o - both want standard output") == 0;
	return true;
}

static char *convert_help(void)
{
	GString *text = g_string_new("Formats:\n");

	for (unsigned i = 0; trace_writers[i]; i++)
		g_string_append_printf(text, "  %-10s %s\n", trace_writers[i]->name,
				       trace_writers[i]->description);
	g_string_append(text, "\nWhat the format cannot hold is said on standard error. An OUT that ends in "
			      ".zst is compressed.\n");
	return g_string_free(text, FALSE);
}

int cmd_trace_convert(const struct command *command, int argc, char **argv)
{
	struct convert convert = {0};
	struct traceopt options = {0};
	g_autofree char *help = convert_help();
	const GOptionEntry own[] = {
		{"to", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &convert.tos,
		 "format to write; a time: only requests issued before this time of the trace", "NAME|T"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &convert.output,
		 "file to write; - is standard output", "OUT"},
	};
	GOptionEntry entries[TRACEOPT_ENTRIES + G_N_ELEMENTS(own) + 1] = {0};
	struct command described = *command;
	struct trace_options reading;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_UNUSABLE;

	described.details = help;
	memcpy(entries, own, sizeof(own));
	traceopt_entries(&options, entries + G_N_ELEMENTS(own));
	convert_drop_to(entries + G_N_ELEMENTS(own));
	if (!cmd_parse(&described, argc, argv, entries, 1, 1, &common)) {
		code = common.exit_code;
		goto out_free;
	}
	convert_take_to(&convert, &options);
	if (convert_check(&convert, &common, &error) && traceopt_parse(&options, &reading, &error) &&
	    convert_run(&convert, common.args[0], &reading, cmd_shows_progress(&common), &error)) {
		convert_warn(&convert);
		if (!common.json || convert_print_json(&convert))
			code = EXIT_DONE;
	} else {
		cmd_fail_error(error);
	}
	trace_writer_free(convert.writer);
	io_transform_close(convert.trace);
	cmd_common_clear(&common);
out_free:
	g_strfreev(convert.tos);
	g_free(convert.output);
	traceopt_clear(&options);
	return code;
}
