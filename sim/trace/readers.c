/* SPDX-License-Identifier: MIT */
/*
 * The table of trace formats, and opening a trace by what it looks like.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/io/kind.h"
#include "sim/trace/formats.h"

#define PROBE_BYTES (16u << 10)

/* clang-format off */
const struct trace_reader_ops *const trace_formats[] = {
	&trace_iot,
	&trace_ftrace,
	&trace_tracedat,
	&trace_blktrace,
	&trace_blkparse,
	&trace_blktext,
	&trace_perf,
	&trace_iolog,
	&trace_msr,
	&trace_alibaba,
	&trace_tencent,
	&trace_systor,
	&trace_spc,
	&trace_mqsim,
	&trace_csv,
	NULL,
};
/* clang-format on */

static char *format_names(void)
{
	GString *names = g_string_new(NULL);

	for (unsigned i = 0; trace_formats[i]; i++)
		g_string_append_printf(names, "%s%s", i ? ", " : "", trace_formats[i]->name);
	return g_string_free(names, FALSE);
}

static const struct trace_reader_ops *format_named(const char *name, GError **error)
{
	g_autofree char *names = NULL;

	for (unsigned i = 0; trace_formats[i]; i++)
		if (strcmp(trace_formats[i]->name, name) == 0)
			return trace_formats[i];
	names = format_names();
	sim_error_plain(error, "unknown trace format '%s' (known: %s)", name, names);
	return NULL;
}

static const struct trace_reader_ops *format_probed(struct input *input, GError **error)
{
	const struct trace_reader_ops *best = NULL;
	g_autofree char *names = NULL;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, PROBE_BYTES, &bytes, error);
	const char *kind;
	int best_score = 0;

	if (len < 0)
		return NULL;
	for (unsigned i = 0; trace_formats[i]; i++) {
		const struct trace_reader_ops *ops = trace_formats[i];
		int score = len == 0 ? ops->may_be_empty && ops->may_be_empty(input_path(input))
				     : ops->probe(bytes, (size_t)len);

		if (score > best_score) {
			best = ops;
			best_score = score;
		}
	}
	names = format_names();
	kind = kind_of_file(bytes, (size_t)len);
	if (!best && len == 0)
		sim_error_plain(error, "%s: empty", input_path(input));
	else if (!best && kind)
		sim_error_plain(error, "%s: no trace in a format known here, but %s", input_path(input), kind);
	else if (!best)
		sim_error_plain(error, "%s: no trace in a format known here (%s)", input_path(input), names);
	return best;
}

/* Returns the format that makes a trace of @path, which is a directory or does not exist, and its first file. NULL:
 * none does, or with *@error. */
static const struct trace_reader_ops *format_resolved(const char *path, char **ret_file, GError **error)
{
	for (unsigned i = 0; trace_formats[i]; i++) {
		GError *trouble = NULL;
		char *file = trace_formats[i]->resolve ? trace_formats[i]->resolve(path, &trouble) : NULL;

		if (file) {
			*ret_file = file;
			return trace_formats[i];
		}
		if (trouble) {
			g_propagate_error(error, trouble);
			return NULL;
		}
	}
	return NULL;
}

static bool is_file(const char *path)
{
	return strcmp(path, "-") == 0 ||
	       (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_DIR));
}

/* An option that belongs to one format names it. */
static const char *format_asked(const struct trace_options *options)
{
	if (options->format)
		return options->format;
	if (options->csv)
		return trace_csv.name;
	return options->blkparse_format ? trace_blkparse.name : NULL;
}

bool trace_source_open(const char *path, const struct trace_options *options, struct trace_source *ret_source,
		       GError **error)
{
	const char *format = format_asked(options);
	struct trace_source source = {0};
	g_autofree char *file = NULL;
	GError *trouble = NULL;

	if (format) {
		source.ops = format_named(format, error);
		if (!source.ops)
			return false;
	}
	if (!is_file(path)) {
		const struct trace_reader_ops *resolved = format_resolved(path, &file, &trouble);

		if (trouble) {
			g_propagate_error(error, trouble);
			return false;
		}
		if (!source.ops)
			source.ops = resolved;
	}
	/* What no format resolved, opening says what is wrong with. */
	source.input = input_open(file ? file : path, error);
	if (source.input && !source.ops)
		source.ops = format_probed(source.input, error);
	if (!source.input || !source.ops)
		goto out_close;
	source.state = g_malloc0(source.ops->state_size);
	if (!source.ops->open(source.state, source.input, file ? file : path, options, error))
		goto out_close;
	*ret_source = source;
	return true;
out_close:
	trace_source_close(&source);
	return false;
}

void trace_source_close(struct trace_source *source)
{
	if (source->state)
		source->ops->close(source->state);
	g_free(source->state);
	input_close(source->input);
	*source = (struct trace_source){0};
}

int trace_source_error(const struct trace_source *source, uint64_t position, const char *message,
		       GError **error)
{
	const char *path = source->ops->path ? source->ops->path(source->state) : input_path(source->input);

	if (source->ops->counts_lines)
		return sim_error_line(error, path, position, "%s", message);
	return sim_error_offset(error, path, position, "%s", message);
}
