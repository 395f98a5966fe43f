/* SPDX-License-Identifier: MIT */
#include "sim/tests/steps.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/tests/sample.h"

static void append_issue(GString *out, const struct io_stream *stream, const struct io_record *record)
{
	g_string_append_printf(out, "issue %u us=%u cpu=%u %s %s %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT,
			       (unsigned)record->number, (unsigned)(record->time_ns / 1000), record->cpu,
			       io_stream_device_name(stream, record->device), io_op_names[record->op],
			       record->lba, record->bytes);
	if (record->queue != TRACE_NO_QUEUE)
		g_string_append_printf(out, " q=%u/%u", record->queue, record->tag);
	for (uint32_t i = 0; i < record->segment_count; i++)
		g_string_append_printf(out, " %s%" G_GINT64_MODIFIER "x+%u%s%s",
				       i		   ? ""
				       : record->to_device ? "> "
							   : "< ",
				       record->segments[i].paddr, record->segments[i].len_bytes,
				       record->segments[i].flags & IO_SEGMENT_METADATA ? "m" : "",
				       record->segments[i].flags & IO_SEGMENT_P2P ? "p" : "");
	g_string_append_c(out, '\n');
}

static void append_complete(GString *out, const struct io_record *record, const struct io_complete *complete)
{
	g_string_append_printf(out, "done %u us=%u cpu=%u", (unsigned)record->number,
			       (unsigned)(complete->time_ns / 1000), complete->cpu);
	if (complete->error)
		g_string_append_printf(out, " error=%d", complete->error);
	g_string_append(out, record->completes ? "\n" : " given up\n");
}

char *steps_run(const char *path, const struct trace_options *options, bool keep,
		struct io_stream_stats *ret_stats, GError **error)
{
	const struct trace_options none = {0};
	struct io_stream *stream = io_stream_open_options(path, options ? options : &none, error);
	GString *out = g_string_new(NULL);
	g_autoptr(GHashTable) open_slots = g_hash_table_new(NULL, NULL);
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;
	uint64_t time_ns = 0, number = 0;

	if (!stream)
		return g_string_free(out, FALSE);
	while ((step = io_stream_next(stream, &record, &complete, error)) > 0) {
		uint64_t at_ns = step == IO_ISSUE ? record->time_ns : complete.time_ns;

		g_assert_cmpuint(at_ns, >=, time_ns);
		time_ns = at_ns;
		if (step == IO_ISSUE) {
			uint64_t bytes = 0;

			for (uint32_t i = 0; i < record->segment_count; i++)
				bytes += record->segments[i].flags & IO_SEGMENT_METADATA
						 ? 0
						 : record->segments[i].len_bytes;
			if (bytes && (record->op == IO_READ || record->op == IO_WRITE))
				g_assert_cmpuint(bytes, ==, record->bytes);
			g_assert_cmpuint(record->number, ==, ++number);
			g_assert_true(g_hash_table_add(open_slots, GUINT_TO_POINTER(record->slot)));
		} else {
			g_assert_true(g_hash_table_remove(open_slots, GUINT_TO_POINTER(record->slot)));
		}
		if (keep && step == IO_ISSUE)
			append_issue(out, stream, record);
		else if (keep)
			append_complete(out, record, &complete);
	}
	*ret_stats = *io_stream_stats(stream);
	if (step == IO_END) {
		const struct io_stream_stats *stats = ret_stats;

		g_assert_cmpuint(stats->issues, ==, stats->completions + stats->requeued + stats->unfinished);
		g_assert_cmpint(io_stream_next(stream, &record, &complete, error), ==, IO_END);
	} else {
		GError *again = NULL;

		g_assert_cmpint(io_stream_next(stream, &record, &complete, &again), ==, IO_TROUBLE);
		g_clear_error(&again);
	}
	io_stream_close(stream);
	return g_string_free(out, FALSE);
}

void steps_write_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = g_fopen(path, "wb");

	g_assert_nonnull(file);
	g_assert_cmpuint(fwrite(bytes, 1, len, file), ==, len);
	g_assert_cmpint(fclose(file), ==, 0);
}

char *steps_scratch(const void *bytes, size_t len)
{
	char *path = NULL;
	int fd = g_file_open_tmp("trace-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	close(fd);
	steps_write_file(path, bytes, len);
	return path;
}

char *steps_fixture(const char *name)
{
	return g_build_filename(g_getenv("FIXTURES"), "traces", name, NULL);
}

char *steps_replace_formats(const char *message)
{
	g_auto(GStrv) parts = g_strsplit(message, "FORMATS", 2);
	GString *names = g_string_new(NULL);
	char *replaced;

	for (unsigned i = 0; trace_formats[i]; i++)
		g_string_append_printf(names, "%s%s", i ? ", " : "", trace_formats[i]->name);
	replaced = g_strjoinv(names->str, parts);
	g_string_free(names, TRUE);
	return replaced;
}

void steps_assert_hostile(const char *name, const struct trace_options *options, const char *message)
{
	g_autofree char *path = g_build_filename(g_getenv("FIXTURES"), "hostile", "traces", name, NULL);
	g_autofree char *expected = g_strconcat(path, message, NULL);
	g_autofree char *full = steps_replace_formats(expected);
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	g_free(steps_run(path, options, false, &stats, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_null(strchr(error->message, '\n'));
	if (g_str_has_suffix(message, " ")) /* names the path once more */
		g_assert_true(g_str_has_prefix(error->message, full));
	else
		g_assert_cmpstr(error->message, ==, full);
}

/* Reads @bytes as a trace: it must end, with success or one error of ours. */
static void assert_ends(const char *path, const struct trace_options *options, const void *bytes, size_t len)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	steps_write_file(path, bytes, len);
	g_free(steps_run(path, NULL, false, &stats, &error));
	if (error)
		g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
}

void steps_assert_damage_ends(const char *name, const struct trace_options *options, size_t most)
{
	g_autofree char *path = steps_fixture(name), *bytes = NULL;
	g_autofree char *copy = steps_scratch("", 0);
	gsize len;

	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	len = MIN(len, most);
	for (gsize i = 0; i <= len; i += sample_every())
		assert_ends(copy, options, bytes, i);
	for (gsize i = 0; i < len; i += sample_every()) {
		static const uint8_t flips[] = {0x01, 0x20, 0x80, 0xff};

		bytes[i] ^= (char)flips[i % 4];
		assert_ends(copy, options, bytes, len);
		bytes[i] ^= (char)flips[i % 4];
	}
	g_unlink(copy);
}
