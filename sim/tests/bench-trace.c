/* SPDX-License-Identifier: MIT */
/*
 * Host time and memory of reading a trace: "bench-trace IOMMUSIM MAKE-TRACE [IOS [BIG-MIB]]". Makes a blktrace, converts it to
 * each format that can be written, and lets the program read each (trace info). Times are CPU seconds of the program (user
 * and system) for one record of the format: an event of blktrace, iot, ftrace and blkparse, a row of a list; beside m, a malloc
 * and free pair measured here between the rounds. Each figure is the least disturbed of a few rounds.
 *
 * Then ftrace text of BIG-MIB (0: none) is piped into the program, whose memory must not grow by it. That reading is right is the
 * tests' concern; here only the number of requests is checked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "sim/core/text.h"
#include "sim/tests/bench-unit.h"

#define ROUNDS	 7
#define UNIT_OPS 4000000
#define GOAL_MIB 64.0

/* ---- the program ---- */

struct cost {
	double cpu_s;
	double peak_mib;
};

/** Starts @argv with @in and @out as its standard input and output; -1: none. */
static pid_t start(const char *const *argv, int in, int out)
{
	pid_t child = fork();

	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(in < 0 ? null : in, STDIN_FILENO);
		dup2(out < 0 ? null : out, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (child < 0)
		g_error("cannot start %s", argv[0]);
	return child;
}

/** Waits for @child. Fails the benchmark unless it ends well. */
static struct cost cost_of(pid_t child, const char *name)
{
	struct rusage usage;
	int status;

	if (wait4(child, &status, 0, &usage) != child || !WIFEXITED(status) || WEXITSTATUS(status))
		g_error("%s failed", name);
	return (struct cost){
		.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
		.peak_mib = (double)usage.ru_maxrss / 1024,
	};
}

static struct cost run(const char *const *argv)
{
	return cost_of(start(argv, -1, -1), argv[1]);
}

/** Fails the benchmark unless @trace has @ios requests. */
static void check_ios(const char *iommusim, const char *trace, uint64_t ios)
{
	g_autofree char *expected = g_strdup_printf("\"ios\" : %" G_GUINT64_FORMAT ",", ios), *text = NULL;
	const char *argv[] = {iommusim, "trace", "info", "--json", trace, NULL};

	if (!g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, &text, NULL, NULL, NULL) ||
	    !strstr(text, expected))
		g_error("%s: not %s", trace, expected);
}

static const struct {
	const char *name;
	unsigned records; /* for one request: its issue and its completion, or a row */
	double goal_m;	  /* ns for a record, in units of m */
} rows[] = {
	{"blktrace", 2, 6},  {"iot", 2, 6},  {"ftrace", 2, 30},
	{"blkparse", 2, 30}, {"fio", 1, 30}, {"csv", 1, 30},
};

static void bench_rows(const char *iommusim, const char *blktrace, uint64_t ios)
{
	printf("%-10s %12s %10s %7s %7s %9s %9s\n", "read", "records/s", "ns/record", "m", "goal m",
	       "peak MiB", "goal MiB");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *made = g_strdup_printf("%s.%s", blktrace, rows[i].name);
		const char *trace = i ? made : blktrace;
		const char *convert[] = {iommusim, "trace", "convert", "--to", rows[i].name,
					 "-o",	   made,    blktrace,  NULL};
		const char *info[] = {iommusim, "trace", "info", trace, NULL};
		double m_ns = bench_malloc_ns(UNIT_OPS), ns, records = (double)(ios * rows[i].records);
		struct cost best;

		if (i)
			run(convert);
		check_ios(iommusim, trace, ios);
		best = run(info);
		for (unsigned round = 1; round < ROUNDS; round++) {
			struct cost cost = run(info);
			double unit_ns = bench_malloc_ns(UNIT_OPS);

			best.cpu_s = MIN(best.cpu_s, cost.cpu_s);
			best.peak_mib = MAX(best.peak_mib, cost.peak_mib);
			m_ns = MIN(m_ns, unit_ns);
		}
		ns = best.cpu_s * 1e9 / records;
		printf("%-10s %12.0f %10.1f %7.1f %7.0f %9.1f %9.0f   (m %.2f ns)\n", rows[i].name,
		       records / best.cpu_s, ns, ns / m_ns, rows[i].goal_m, best.peak_mib, GOAL_MIB, m_ns);
		fflush(stdout);
		if (i)
			g_unlink(made);
	}
}

/* ---- a trace larger than any that would be kept ---- */

#define LINE_BYTES 110 /* of ftrace text, about: to know how many requests make so many bytes */

/** Pipes what the program makes of @blktrace into it once more. */
static void bench_big(const char *iommusim, const char *blktrace)
{
	const char *convert[] = {iommusim, "trace", "convert", "--to=ftrace", "-o", "-", blktrace, NULL};
	const char *info[] = {iommusim, "trace", "info", "-", NULL};
	struct cost writing, reading;
	pid_t writer, reader;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		g_error("no pipe");
	writer = start(convert, -1, ends[1]);
	reader = start(info, ends[0], -1);
	close(ends[0]);
	close(ends[1]);
	writing = cost_of(writer, "convert");
	reading = cost_of(reader, "info");
	printf("writing: %.1f s, peak %.1f MiB; reading: %.1f s, peak %.1f MiB, goal %.0f MiB\n",
	       writing.cpu_s, writing.peak_mib, reading.cpu_s, reading.peak_mib, GOAL_MIB);
}

static void make(const char *make_trace, const char *name, uint64_t ios)
{
	g_autofree char *count = g_strdup_printf("ios=%" G_GUINT64_FORMAT, ios);
	const char *argv[] = {make_trace, name, count, "remote=25", NULL};

	run(argv);
}

int main(int argc, char **argv)
{
	g_autofree char *dir = g_dir_make_tmp("bench-trace-XXXXXX", NULL);
	g_autofree char *name = g_build_filename(dir, "bench", NULL);
	uint64_t ios = 1000000, big_mib = 2048;

	if (argc < 3 || argc > 5 || (argc > 3 && !text_parse_u64(argv[3], &ios)) || !ios ||
	    (argc > 4 && !text_parse_u64(argv[4], &big_mib))) {
		fputs("usage: bench-trace IOMMUSIM MAKE-TRACE [IOS [BIG-MIB]]\n", stderr);
		return 2;
	}
	make(argv[2], name, ios);
	printf("%" G_GUINT64_FORMAT " I/Os of 4 KiB, 4 CPUs, depth 32\n", ios);
	bench_rows(argv[1], name, ios);
	if (big_mib) {
		make(argv[2], name, (big_mib << 20) / (2 * LINE_BYTES));
		printf("%" G_GUINT64_FORMAT " MiB of ftrace text through a pipe\n", big_mib);
		bench_big(argv[1], name);
	}
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		g_autofree char *path = g_strdup_printf("%s.blktrace.%u", name, cpu);

		g_unlink(path);
	}
	g_rmdir(dir);
	return 0;
}
