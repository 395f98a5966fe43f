/* SPDX-License-Identifier: MIT */
/*
 * Writers: every trace among the fixtures is written in every format and read back; what was not said to be dropped must
 * be there. And iot by itself: its index against one made in the plain way, damage of every kind.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/core/error.h"
#include "sim/core/prng.h"
#include "sim/tests/steps.h"
#include "sim/trace/iot.h"
#include "sim/trace/writer.h"

/* Writes the trace @path as @ops to @out. Returns what was dropped, a bit a fact. */
static unsigned convert(const char *path, const struct trace_writer_ops *ops, const char *out)
{
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open(path, NULL, &error);
	struct output *output;
	struct trace_writer *writer;
	const struct io_record *record;
	struct io_complete complete;
	unsigned dropped = 0;
	enum io_step step;

	g_assert_no_error(error);
	output = output_new(out, &error);
	g_assert_no_error(error);
	writer = trace_writer_new(ops, stream, output);
	while ((step = io_stream_next(stream, &record, &complete, &error)) > 0)
		trace_writer_step(writer, step, record, &complete);
	g_assert_no_error(error);
	trace_writer_finish(writer, io_stream_stats(stream));
	g_assert_true(output_commit(output, &error));
	for (unsigned i = 0; i < TRACE_FACTS; i++) {
		g_autofree char *text = trace_writer_dropped(writer, (enum trace_fact)i);

		g_assert_true((text != NULL) == (writer->dropped[i] != 0));
		dropped |= writer->dropped[i] ? 1u << i : 0;
	}
	trace_writer_free(writer);
	io_stream_close(stream);
	return dropped;
}

static char *steps_of(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	char *steps = steps_run(path, NULL, true, &stats, &error);

	g_assert_no_error(error);
	return steps;
}

/* Shows the first line that differs instead of thousands. */
static void assert_same_steps(const char *a, const char *b)
{
	g_auto(GStrv) left = NULL, right = NULL;

	if (strcmp(a, b) == 0)
		return;
	left = g_strsplit(a, "\n", -1);
	right = g_strsplit(b, "\n", -1);
	for (guint i = 0; left[i] && right[i]; i++)
		g_assert_cmpstr(left[i], ==, right[i]);
	g_assert_cmpuint(g_strv_length(left), ==, g_strv_length(right));
}

static char *scratch(void)
{
	return steps_scratch("", 0);
}

static void remove_scratch(char *path)
{
	g_unlink(path);
	g_free(path);
}

/* ---- there and back ---- */

/* Events that are no request's change nothing of the requests. */
#define HARMLESS (TRACE_HOLDS(OTHER))

static void test_there_and_back(gconstpointer path)
{
	g_autofree char *steps = steps_of(path);
	char *out = scratch(), *again = scratch();
	g_autofree char *bytes = NULL, *bytes_again = NULL;
	gsize len, len_again;

	for (unsigned i = 0; trace_writers[i]; i++) {
		unsigned dropped = convert(path, trace_writers[i], out) & ~HARMLESS;
		g_autofree char *back = NULL;

		if (trace_writers[i] == &trace_iot_writer)
			g_assert_cmpuint(dropped, ==, 0);
		if (dropped)
			continue;
		back = steps_of(out);
		assert_same_steps(back, steps);
	}
	/* What holds all holds it byte for byte. */
	convert(path, &trace_iot_writer, out);
	convert(out, &trace_iot_writer, again);
	g_assert_true(g_file_get_contents(out, &bytes, &len, NULL));
	g_assert_true(g_file_get_contents(again, &bytes_again, &len_again, NULL));
	g_assert_cmpmem(bytes, len, bytes_again, len_again);
	remove_scratch(out);
	remove_scratch(again);
}

static const char *const traces[] = {
	"loop-mix.blkparse.txt",
	"loop-mix.blktrace",
	"loop-mix.fio-v3.iolog",
	"loop-mix.ftrace-blk.txt",
	"loop-mix.ftrace-events.txt",
	"loop-uring.perf-script.txt",
	"synthetic-alibaba.csv",
	"synthetic-fio-v2.iolog",
	"synthetic-mqsim.trace",
	"synthetic-msr.csv",
	"synthetic-nvme-iommu-dma.ftrace.txt",
	"synthetic-spc.txt",
	"synthetic-systor17.csv",
	"synthetic-tencent.csv",
	"synthetic.iot",
	"synthetic.trace.dat",
	"v6.1-strict-ext4.trace.txt.zst",
	"v7.0-strict-ext4.blkparse.txt.zst",
	"v7.0-strict-ext4.blktrace",
	"v7.0-strict-ext4.trace.txt.zst",
};

/* What each format is known to hold, of a recording that has nothing else: else the test above might skip everything. */
static void test_nothing_is_dropped(void)
{
	static const struct {
		const char *trace;
		const struct trace_writer_ops *ops;
	} rows[] = {
		{"v7.0-strict-ext4.trace.txt.zst", &trace_ftrace_writer},
		{"v6.1-strict-ext4.trace.txt.zst", &trace_ftrace_writer},
		{"v7.0-strict-ext4.blktrace", &trace_ftrace_writer},
		{"v7.0-strict-ext4.blktrace", &trace_blkparse_writer},
		{"v7.0-strict-ext4.blktrace", &trace_csv_writer},
		{"synthetic-msr.csv", &trace_csv_writer},
		{"synthetic-alibaba.csv", &trace_csv_writer},
		{"synthetic-alibaba.csv", &trace_fio_writer},
		{"synthetic-fio-v2.iolog", &trace_fio_writer},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *path = steps_fixture(rows[i].trace);
		char *out = scratch();

		g_test_message("%s as %s", rows[i].trace, rows[i].ops->name);
		g_assert_cmphex(convert(path, rows[i].ops, out) & ~HARMLESS, ==, 0);
		remove_scratch(out);
	}
}

/* What is dropped of a trace that has something of everything, by format. */
static void test_dropped_is_counted(void)
{
	static const struct {
		const struct trace_writer_ops *ops;
		uint64_t dropped[TRACE_FACTS];
	} rows[] = {
		{&trace_iot_writer, {0}},
		{&trace_ftrace_writer,
		 {[TRACE_FACT_DEVICE] = 1,
		  [TRACE_FACT_SEGMENTS] = 1,
		  [TRACE_FACT_SEGMENT_FLAGS] = 1,
		  [TRACE_FACT_ERROR] = 1,
		  [TRACE_FACT_LIST] = 1}},
		{&trace_blkparse_writer,
		 {[TRACE_FACT_DEVICE] = 2,
		  [TRACE_FACT_COMMAND] = 6,
		  [TRACE_FACT_SEGMENTS] = 5,
		  [TRACE_FACT_SEGMENT_FLAGS] = 2,
		  [TRACE_FACT_ERROR] = 1,
		  [TRACE_FACT_LIST] = 1}},
		{&trace_csv_writer,
		 {[TRACE_FACT_REQUEST] = 1,
		  [TRACE_FACT_COMMAND] = 5,
		  [TRACE_FACT_SEGMENTS] = 4,
		  [TRACE_FACT_SEGMENT_FLAGS] = 2,
		  [TRACE_FACT_END_CPU] = 1,
		  [TRACE_FACT_ERROR] = 2,
		  [TRACE_FACT_REQUEUE] = 1,
		  [TRACE_FACT_LIST] = 1,
		  [TRACE_FACT_ORDER] = 1}},
		{&trace_fio_writer,
		 {[TRACE_FACT_REQUEST] = 2,
		  [TRACE_FACT_TIME] = 5,
		  [TRACE_FACT_CPU] = 4,
		  [TRACE_FACT_DEVICE] = 1,
		  [TRACE_FACT_COMMAND] = 4,
		  [TRACE_FACT_SEGMENTS] = 4,
		  [TRACE_FACT_SEGMENT_FLAGS] = 2,
		  [TRACE_FACT_END] = 4}},
	};
	g_autofree char *path = steps_fixture("synthetic.iot");

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct io_stream *stream = io_stream_open(path, NULL, NULL);
		struct output *output = output_new("/dev/null", NULL);
		struct trace_writer *writer = trace_writer_new(rows[i].ops, stream, output);
		const struct io_record *record;
		struct io_complete complete;
		enum io_step step;

		while ((step = io_stream_next(stream, &record, &complete, NULL)) > 0)
			trace_writer_step(writer, step, record, &complete);
		trace_writer_finish(writer, io_stream_stats(stream));
		for (unsigned fact = 0; fact < TRACE_FACTS; fact++) {
			g_test_message("%s: %s", rows[i].ops->name, trace_fact_name((enum trace_fact)fact));
			g_assert_cmpuint(writer->dropped[fact], ==, rows[i].dropped[fact]);
		}
		trace_writer_free(writer);
		output_abandon(output);
		io_stream_close(stream);
	}
}

/* The largest of everything that readers take. */
static void test_extremes(void)
{
	GString *trace = g_string_new(" t-1 [000] ..... 0.0: x: \n");
	uint64_t address = UINT64_MAX - 512;
	g_autofree char *path = NULL, *steps = NULL, *back = NULL;
	char *out = scratch();

	g_string_append(trace, " t-1 [4095] ..... 18446744072.999999999: nvme_setup_cmd: nvme65535: disk=x, qid=65534, "
			       "cmdid=65535, nsid=1, flags=0x0, meta=0x0, cmd=(nvme_cmd_write slba=35184372087807, len=1023)\n");
	for (unsigned i = 0; i < IO_SEGMENTS_MAX; i++, address = i % 2 ? 0 : UINT64_MAX - 512)
		g_string_append_printf(trace,
				       " t-1 [4095] ..... 18446744072.999999999: link: (x) phys=%" G_GUINT64_FORMAT
				       " off=0 size=512 dir=1\n",
				       address);
	g_string_append(trace,
			" t-1 [4095] ..... 18446744072.999999999: block_rq_issue: 2047,1048575 W 524288 () "
			"35184372087807 + 1024 [x]\n"
			" t-1 [000] ..... 18446744072.999999999: block_rq_issue: 0,1 D 4294966784 () 0 + 8388607 [x]\n"
			" t-1 [4095] ..... 18446744072.999999999: block_rq_complete: 0,1 D () 0 + 8388607 [-4095]\n"
			" t-1 [4094] ..... 18446744072.999999999: block_rq_complete: 2047,1048575 W () 35184372087807 + "
			"1024 [4095]\n");
	path = steps_scratch(trace->str, trace->len);
	steps = steps_of(path);
	for (unsigned i = 0; trace_writers[i]; i++) {
		if (trace_writers[i] != &trace_iot_writer && trace_writers[i] != &trace_ftrace_writer)
			continue;
		g_assert_cmphex(convert(path, trace_writers[i], out) & ~HARMLESS, ==, 0);
		g_free(back);
		back = steps_of(out);
		assert_same_steps(back, steps);
	}
	g_string_free(trace, TRUE);
	remove_scratch(out);
	g_unlink(path);
}

/* More requests and devices than fit into one frame. */
static void test_many_frames(void)
{
	char *path = scratch(), *out = scratch();
	FILE *file = fopen(path, "w");
	g_autofree char *steps = NULL, *back = NULL;
	struct prng prng;

	prng_init(&prng, 1, "many");
	for (unsigned i = 0; i < 60000; i++) {
		uint64_t sector = prng_next(&prng) % TRACE_LBA_MAX;

		fprintf(file, "%u,%u %u 1 %u.%09u 1 D R %" G_GUINT64_FORMAT " + 8 [x]\n", 1 + i % 3, i % 700, i % 64, i / 1000,
			prng_below(&prng, 1000000000), sector);
		fprintf(file, "%u,%u %u 1 %u.%09u 1 C R %" G_GUINT64_FORMAT " + 8 [0]\n", 1 + i % 3, i % 700, i % 64,
			i / 1000, prng_below(&prng, 1000000000), sector);
	}
	fclose(file);
	steps = steps_of(path);
	g_assert_cmphex(convert(path, &trace_iot_writer, out) & ~HARMLESS, ==, 0);
	back = steps_of(out);
	assert_same_steps(back, steps);
	remove_scratch(path);
	remove_scratch(out);
}

/* A request that completes after so many others that csv cannot hold their rows any longer. */
static void test_csv_row_too_late(void)
{
	GString *trace = g_string_new("8,0 0 1 0.000000000 1 D R 8 + 8 [x]\n");
	g_autofree char *path = NULL;
	char *out = scratch();

	for (unsigned i = 1; i <= IO_IN_FLIGHT_MAX; i++)
		g_string_append_printf(trace,
				       "8,0 0 1 %u.%09u 1 D W 800 + 8 [x]\n8,0 0 1 %u.%09u 1 C W 800 + 8 [0]\n",
				       i / 1000, i % 1000 * 1000000, i / 1000, i % 1000 * 1000000 + 5);
	g_string_append(trace, "8,0 0 1 99.000000000 1 C R 8 + 8 [0]\n");
	path = steps_scratch(trace->str, trace->len);
	g_assert_cmphex(convert(path, &trace_csv_writer, out) & ~HARMLESS, ==, TRACE_HOLDS(END));
	g_string_free(trace, TRUE);
	g_unlink(path);
	remove_scratch(out);
}

/* ---- iot ---- */

static void test_index_is_every_so_many(void)
{
	static const unsigned counts[] = {0, 1, 2, 2047, 2048, 2049, 4095, 4096, 4097, 5000, 100000};
	struct iot_index *index = g_new(struct iot_index, 1);

	for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
		unsigned stride = 1;

		memset(index, 0, sizeof(*index));
		for (unsigned j = 0; j < counts[i]; j++)
			iot_index_add(index, j, &(struct iot_frame){.first = 2 * j, .time_ns = 3 * j});
		while ((counts[i] + stride - 1) / stride > IOT_INDEX_MAX)
			stride *= 2;
		g_assert_cmpuint(index->count, ==, (counts[i] + stride - 1) / stride);
		for (unsigned j = 0; j < index->count; j++) {
			g_assert_cmpuint(index->entries[j].offset, ==, j * stride);
			g_assert_cmpuint(index->entries[j].first, ==, 2 * j * stride);
			g_assert_cmpuint(index->entries[j].time_ns, ==, 3 * j * stride);
		}
	}
	g_free(index);
}

static void test_numbers_come_back(void)
{
	static const uint64_t values[] = {0, 1, 511, 512, 513, 1024, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 1};

	for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
		g_assert_cmpuint(iot_unzigzag(iot_zigzag(values[i])), ==, values[i]);
		if (values[i] <= UINT32_MAX)
			g_assert_cmpuint(iot_unpack_bytes(iot_pack_bytes(values[i])), ==, values[i]);
	}
	g_assert_cmpuint(iot_zigzag(UINT64_MAX), ==, 1);
	g_assert_cmpuint(iot_zigzag(1), ==, 2);
	for (unsigned op = 0, back; op < IO_OPS; op++)
		g_assert_true(iot_op_of(iot_op_code(op), &back) && back == op);
}

static bool reads(const char *path, const void *bytes, size_t len)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;

	steps_write_file(path, bytes, len);
	g_free(steps_run(path, NULL, false, &stats, &error));
	if (error)
		g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_true(!error || !strchr(error->message, '\n'));
	return !error;
}

/* Not one bit may be another, and nothing may be missing or too much. */
static void test_every_bit_counts(void)
{
	g_autofree char *name = steps_fixture("synthetic.iot"), *bytes = NULL;
	char *copy = scratch();
	gsize len;

	g_assert_true(g_file_get_contents(name, &bytes, &len, NULL));
	g_assert_true(reads(copy, bytes, len));
	for (gsize i = 0; i < len; i++)
		g_assert_false(reads(copy, bytes, i));
	for (gsize bit = 0; bit < 8 * len; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		g_assert_false(reads(copy, bytes, len));
		bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	remove_scratch(copy);
}

/* The same where the checksums fit: whatever it says then, reading it ends. */
static void test_damage_with_checksums_ends(void)
{
	g_autofree char *name = steps_fixture("synthetic.iot"), *bytes = NULL;
	char *copy = scratch();
	unsigned read = 0;
	gsize len;

	g_assert_true(g_file_get_contents(name, &bytes, &len, NULL));
	for (gsize bit = 0; bit < 8 * len; bit++) {
		g_autofree uint8_t *damaged = g_memdup2(bytes, len);

		damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
		iot_reseal(damaged, len);
		read += reads(copy, damaged, len);
	}
	/* Some of it is nothing but another number. */
	g_assert_cmpuint(read, >, 100);
	remove_scratch(copy);
}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(traces); i++) {
		char *path = steps_fixture(traces[i]);
		g_autofree char *title = g_strdup_printf("/writers/there-and-back/%s", traces[i]);

		g_ptr_array_add(paths, path);
		g_test_add_data_func(title, path, test_there_and_back);
	}
	g_test_add_func("/writers/nothing-is-dropped-of-what-fits", test_nothing_is_dropped);
	g_test_add_func("/writers/what-is-dropped-is-counted", test_dropped_is_counted);
	g_test_add_func("/writers/extremes", test_extremes);
	g_test_add_func("/writers/many-frames", test_many_frames);
	g_test_add_func("/writers/csv-row-too-late", test_csv_row_too_late);
	g_test_add_func("/writers/iot/index-is-every-so-many-frames", test_index_is_every_so_many);
	g_test_add_func("/writers/iot/numbers-come-back", test_numbers_come_back);
	g_test_add_func("/writers/iot/every-bit-counts", test_every_bit_counts);
	g_test_add_func("/writers/iot/damage-with-checksums-ends", test_damage_with_checksums_ends);
	return g_test_run();
}
