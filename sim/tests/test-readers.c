/* SPDX-License-Identifier: MIT */
/*
 * Readers, one after another: what each makes of a short text that has the format's quirks, of damaged files, of every
 * beginning of a good one, and of recordings. Of the same run in several formats the requests must be the same.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/tests/steps.h"
#include "sim/trace/names.h"

/* ---- short texts ---- */

struct reading {
	const char *name; /* FORMAT/CASE */
	struct trace_options options;
	const char *text;
	const char *steps;
};

static const struct reading readings[] = {
	{"blkparse/actions-without-a-request", {0},
	 "  8,0    3        1     1.000000000   697  Q   W 8 + 8 [a ] b]\n"
	 "  8,0    3        2     1.000001000   697  P   N [x]\n"
	 "  8,0    3        3     1.000002000   697  U   N [x] 1\n"
	 "  8,0    3        4     1.000003000   697 UT   N [x] 1\n"
	 "  8,0    3        5     1.000004000   697  X   W 8 / 12 [x]\n"
	 "  8,0    3        6     1.000005000   697  A   W 8 + 8 <- (8,1) 0\n"
	 "  8,0    3        0     1.000006000     0  m   N cfq697S dispatch\n"
	 "\n"
	 "  8,0    3        7     1.000007000   697  D   W 8 + 8 [a ] b]\n"
	 "  8,0    1        1     1.000009000     0  C   W 8 + 8 [-5]\n",
	 "issue 1 us=7 cpu=3 8,0 write 8+4096\n"
	 "done 1 us=9 cpu=1 error=-5\n"},
	{"blkparse/operations-by-their-letters", {0},
	 "8,0 0 1 0.000000000 1 D FN [kworker/0:0H]\n"
	 "8,0 0 2 0.000001000 1 C FN 0 [0]\n"
	 "8,0 0 3 0.000002000 1 D FWFSM 16 + 8 [x]\n"
	 "8,0 0 4 0.000003000 1 D DS 64 + 64 [x]\n"
	 "8,0 0 5 0.000004000 1 D RA 96 + 8 (  1234) [x]\n"
	 "8,0 0 6 0.000005000 1 C RA 96 + 8 (  5678) [0]\n"
	 "8,0 0 7 0.000006000 1 C WS 0 [0]\n",
	 "issue 1 us=0 cpu=0 8,0 flush 0+0\n"
	 "done 1 us=1 cpu=0\n"
	 "issue 2 us=2 cpu=0 8,0 write 16+4096\n"
	 "issue 3 us=3 cpu=0 8,0 discard 64+32768\n"
	 "issue 4 us=4 cpu=0 8,0 read 96+4096\n"
	 "done 4 us=5 cpu=0\n"},
	{"blkparse/passthrough-names-bytes", {0},
	 "8,0 0 1 0.000000000 1 D R 36 (12 01 00 00) [sg_inq]\n"
	 "8,0 0 2 0.000001000 1 D N 0 [x]\n"
	 "8,0 0 3 0.000002000 1 C R (12 01 00 00) [0]\n"
	 "8,0 0 4 0.000003000 1 C N [-5]\n",
	 "issue 1 us=0 cpu=0 8,0 passthrough 0+36\n"
	 "issue 2 us=1 cpu=0 8,0 passthrough 0+0\n"
	 "done 1 us=2 cpu=0\n"
	 "done 2 us=3 cpu=0 error=-5\n"},
	{"blkparse/summary-is-no-event", {0},
	 "8,0 0 1 0.000000000 1 D W 0 + 8 [x]\n"
	 "8,0 0 2 0.000001000 1 C W 0 + 8 [0]\n"
	 "CPU0 (t):\n Reads Queued:           0,        0KiB\t Writes Queued:           1,        4KiB\n\n"
	 "Throughput (R/W): 0KiB/s / 4KiB/s\nEvents (t): 2 entries\nSkips: 1 forward (1,234 -   0.5%)\n",
	 "issue 1 us=0 cpu=0 8,0 write 0+4096\n"
	 "done 1 us=1 cpu=0\n"},
	{"blkparse/any-format", {.blkparse_format = "%5T.%9t|%C|%-3a/%M:%m %3d @%10S*%n cpu%c %e\\n"},
	 "    1.000000000|a | b]|D  /259:1   W @        16*8 cpu3 0\n"
	 "    1.000005000||C  /259:1   W @        16*8 cpu2 -5\n",
	 "issue 1 us=0 cpu=3 259,1 write 16+4096\n"
	 "done 1 us=5 cpu=2 error=-5\n"},
	{"blkparse/any-format-in-bytes", {.blkparse_format = "%D %a %d %S %N %T %t"},
	 "  8,16 D R 16 4608 7 9000\n",
	 "issue 1 us=0 cpu=0 8,16 read 16+4608\n"},
};

static void test_reading(gconstpointer data)
{
	const struct reading *reading = data;
	g_autofree char *path = steps_scratch(reading->text, strlen(reading->text));
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	g_autofree char *steps = steps_run(path, &reading->options, true, &stats, &error);

	g_unlink(path);
	g_assert_no_error(error);
	g_assert_cmpstr(steps, ==, reading->steps);
}

/* ---- what the recording says of itself ---- */

struct saying {
	const char *name;
	const char *text;
	const char *key, *value;
};

static const struct saying sayings[] = {
	{"blkparse/skipped-records",
	 "8,0 0 1 0.000000000 1 D W 0 + 8 [x]\nTotal (t):\nSkips: 1 forward (1,234 -   0.5%)\n", "lost events", "1234"},
};

static void test_saying(gconstpointer data)
{
	const struct saying *saying = data;
	g_autofree char *path = steps_scratch(saying->text, strlen(saying->text));
	g_autoptr(GError) error = NULL;
	struct io_stream *stream = io_stream_open(path, NULL, &error);
	const struct io_record *record;
	struct io_complete complete;

	g_assert_no_error(error);
	while (io_stream_next(stream, &record, &complete, &error) > 0)
		;
	g_assert_no_error(error);
	g_assert_cmpstr(g_hash_table_lookup(io_stream_facts(stream), saying->key), ==, saying->value);
	io_stream_close(stream);
	g_unlink(path);
}

/* ---- options that cannot be ---- */

struct refusal {
	const char *name;
	struct trace_options options;
	const char *message;
};

static const struct refusal refusals[] = {
	{"blkparse-unknown-field", {.blkparse_format = "%a %Z"}, "--blkparse-format=%a %Z: blkparse knows no field '%Z'"},
	{"blkparse-ends-in-percent", {.blkparse_format = "%a %"}, "--blkparse-format=%a %: blkparse knows no field '% '"},
	{"blkparse-without-operation", {.blkparse_format = "%a %T %S %n"}, "--blkparse-format=%a %T %S %n: lacks %d"},
	{"blkparse-without-size", {.blkparse_format = "%a %d %T %S"}, "--blkparse-format=%a %d %T %S: lacks %n or %N"},
	{"blkparse-too-long",
	 {.blkparse_format = "0123456789012345678901234567890123456789012345678901234567890123456789"},
	 "--blkparse-format: more than 64 items"},
};

static void test_refusal(gconstpointer data)
{
	const struct refusal *refusal = data;
	g_autofree char *path = steps_scratch("x\n", 2);
	g_autoptr(GError) error = NULL;

	g_assert_null(io_stream_open_options(path, &refusal->options, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_cmpstr(error->message, ==, refusal->message);
	g_unlink(path);
}

/* ---- damage ---- */

struct hostile {
	const char *name; /* in fixtures/hostile/traces */
	struct trace_options options;
	const char *message; /* behind the path */
};

static const struct hostile hostiles[] = {
	{"blkparse-action-three-letters.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-cpu-too-high.txt", {0}, ":2: CPU 4096: at most 4096 CPUs"},
	{"blkparse-cut-off.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-error-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-major-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-nanoseconds-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-no-issue.txt", {0}, ": no I/O events in it, read as blkparse"},
	{"blkparse-of-another-format.txt", {.blkparse_format = "%T.%t %a %d %S %n"}, ":2: not a line of --blkparse-format"},
	{"blkparse-sector-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
	{"blkparse-time-too-large.txt", {0}, ":2: not a line of blkparse: is it of another format?"},
};

static void test_hostile(gconstpointer data)
{
	const struct hostile *hostile = data;

	steps_assert_hostile(hostile->name, &hostile->options, hostile->message);
}

static const char *const damaged[] = {
	"loop-mix.blkparse.txt",
};

static void test_damage(gconstpointer data)
{
	steps_assert_damage_ends(data, NULL, 1200);
}

/* ---- recordings: counts, and the same run in two formats ---- */

struct golden {
	const char *name;   /* in fixtures/traces, or in shared/traces/public-samples */
	const char *format; /* as told by its content */
	uint64_t events, issues, completions, backwards, ties, cpus;
	uint64_t op_count[IO_OPS];
};

static const struct golden goldens[] = {
	{"loop-mix.blkparse.txt", "blkparse", 1967, 327, 327, 0, 0, 2, {208, 108, 3, 8, 0, 0}},
	{"v7.0-strict-ext4.blkparse.txt.zst", "blkparse", 3902, 524, 524, 0, 0, 4, {280, 171, 9, 64, 0, 0}},
};

static char *golden_path(const struct golden *golden)
{
	char *path = steps_fixture(golden->name);

	if (g_file_test(path, G_FILE_TEST_EXISTS))
		return path;
	g_free(path);
	return g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", "public-samples", golden->name,
				NULL);
}

static void test_golden(gconstpointer data)
{
	const struct golden *golden = data;
	g_autofree char *path = golden_path(golden);
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	struct io_stream *stream;

	if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_test_skip("needs shared/traces/public-samples");
		return;
	}
	g_free(steps_run(path, NULL, false, &stats, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(stats.events, ==, golden->events);
	g_assert_cmpuint(stats.issues, ==, golden->issues);
	g_assert_cmpuint(stats.completions, ==, golden->completions);
	g_assert_cmpuint(stats.unmatched_completions, ==, 0);
	g_assert_cmpuint(stats.time_backwards, ==, golden->backwards);
	g_assert_cmpuint(stats.ties, ==, golden->ties);
	g_assert_cmpuint(stats.cpus, ==, golden->cpus);
	for (unsigned op = 0; op < IO_OPS; op++)
		g_assert_cmpuint(stats.op_count[op], ==, golden->op_count[op]);
	stream = io_stream_open(path, NULL, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(io_stream_format(stream)->name, ==, golden->format);
	io_stream_close(stream);
}

static char *steps_of(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct io_stream_stats stats;
	char *steps = steps_run(path, NULL, true, &stats, &error);

	g_assert_no_error(error);
	return steps;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the number out of "issue 7 us=…": it depends on the order of what happened at one time. */
static void strip_number(char *line)
{
	char *number = strchr(line, ' '), *rest = number ? strchr(number + 1, ' ') : NULL;

	if (rest)
		memmove(number, rest, strlen(rest) + 1);
}

/* Steps of one time have no order between CPUs. Shows the first line that differs instead of a million. */
static void assert_same_steps(const char *a, const char *b)
{
	g_auto(GStrv) left = g_strsplit(a, "\n", -1), right = g_strsplit(b, "\n", -1);
	guint left_count = g_strv_length(left), right_count = g_strv_length(right);

	g_assert_cmpuint(left_count, ==, right_count);
	for (guint i = 0; i < left_count; i++) {
		strip_number(left[i]);
		strip_number(right[i]);
	}
	qsort(left, left_count, sizeof(char *), compare_lines);
	qsort(right, right_count, sizeof(char *), compare_lines);
	for (guint i = 0; i < left_count; i++)
		g_assert_cmpstr(left[i], ==, right[i]);
}

/* blkparse merged the files as we do. */
static void test_blkparse_is_blktrace(gconstpointer data)
{
	g_autofree char *text = g_build_filename(data, "blkparse.txt.zst", NULL);
	g_autofree char *of_text = steps_of(text), *of_files = steps_of(data);

	assert_same_steps(of_text, of_files);
}

/* Adds @test for every run in shared/traces that has @file. */
static void add_runs(const char *file, const char *prefix, GTestDataFunc test, bool give_directory, GPtrArray *paths)
{
	g_autofree char *traces = g_build_filename(g_getenv("SHARED") ? g_getenv("SHARED") : "", "traces", NULL);
	g_autoptr(GDir) dir = g_dir_open(traces, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		char *path = g_build_filename(traces, name, file, NULL);
		g_autofree char *title = g_strdup_printf("%s/%s", prefix, name);

		if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
			g_free(path);
			continue;
		}
		if (give_directory)
			*strrchr(path, '/') = '\0';
		g_ptr_array_add(paths, path);
		g_test_add_data_func(title, path, test);
	}
}

#define ADD(prefix, table, test)                                                                      \
	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {                                          \
		g_autofree char *title = g_strdup_printf("/readers/%s%s", prefix, (table)[i].name);   \
                                                                                                      \
		g_test_add_data_func(title, &(table)[i], test);                                       \
	}

int main(int argc, char **argv)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

	g_test_init(&argc, &argv, NULL);
	ADD("", readings, test_reading)
	ADD("says/", sayings, test_saying)
	ADD("refused/", refusals, test_refusal)
	ADD("hostile/", hostiles, test_hostile)
	ADD("golden/", goldens, test_golden)
	for (unsigned i = 0; i < G_N_ELEMENTS(damaged); i++) {
		g_autofree char *title = g_strdup_printf("/readers/every-prefix-and-flip-ends/%s", damaged[i]);

		g_test_add_data_func(title, damaged[i], test_damage);
	}
	add_runs("blktrace/blkparse.txt.zst", "/readers/blkparse-is-blktrace", test_blkparse_is_blktrace, true, paths);
	return g_test_run();
}
