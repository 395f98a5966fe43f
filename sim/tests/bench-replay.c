/* SPDX-License-Identifier: MIT */
/*
 * Host time and memory of a replay: "bench-replay IOMMUSIM MAKE-TRACE RECORDING [IOS]". Makes a trace of 4 KiB requests, in the
 * program's own format, in a directory of its own, and runs the program on it in each mode, then on a tenth of it and on
 * ten times as many, which must cost as much an I/O and need no more memory. Times are CPU seconds of the
 * program (user and system), beside plain operations measured here in the same minute: m is a malloc and free
 * pair, g1k a pair of GTree operations with a thousand keys. Each figure is the least disturbed of a few
 * rounds. That a replay does what it should is test-machine's concern; here only the number of I/Os is
 * checked.
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

#include "sim/core/prng.h"
#include "sim/core/text.h"
#include "sim/tests/bench-unit.h"

#define ROUNDS	   3
#define ROUNDS_OP  5
#define CPUS	   4
#define GOAL_MIB   64.0
#define GOAL_START 0.05

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the units ---- */

static gint unit_compare(gconstpointer a, gconstpointer b)
{
	return a < b ? -1 : a > b;
}

static double unit_gtree_ns(unsigned ops)
{
	enum { LIVE = 1000 };
	GTree *tree = g_tree_new(unit_compare);
	gpointer keys[LIVE];
	struct prng prng;
	double begin, end;

	prng_init(&prng, 1, "gtree");
	for (unsigned i = 0; i < LIVE; i++) {
		keys[i] = GSIZE_TO_POINTER(prng_next(&prng) | 1);
		g_tree_insert(tree, keys[i], keys[i]);
	}
	begin = bench_cpu_s();
	for (unsigned i = 0; i < ops; i++) {
		unsigned k = prng_below(&prng, LIVE);

		g_tree_remove(tree, keys[k]);
		keys[k] = GSIZE_TO_POINTER(prng_next(&prng) | 1);
		g_tree_insert(tree, keys[k], keys[k]);
	}
	end = bench_cpu_s();
	g_tree_destroy(tree);
	return (end - begin) * 1e9 / ops;
}

static double unit_best(double (*unit)(unsigned ops), unsigned ops)
{
	double least = unit(ops);

	for (unsigned round = 1; round < ROUNDS_OP; round++) {
		double ns = unit(ops);

		least = MIN(least, ns);
	}
	return least;
}

/* ---- the program ---- */

struct cost {
	double cpu_s;
	double elapsed_s;
	double peak_mib;
};

/** Adds @more to @best, the least disturbed of what was measured so far. */
static void cost_add(struct cost *best, struct cost more)
{
	best->cpu_s = MIN(best->cpu_s, more.cpu_s);
	best->elapsed_s = MIN(best->elapsed_s, more.elapsed_s);
	best->peak_mib = MAX(best->peak_mib, more.peak_mib);
}

/** Runs @argv with its output away and waits for it. Fails the benchmark unless it ends well. */
static struct cost cost_of(const char *const *argv)
{
	double begin = now_s();
	struct rusage usage;
	pid_t child = fork();
	int status;

	if (child == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status) ||
	    WEXITSTATUS(status))
		g_error("%s %s failed", argv[0], argv[1]);
	return (struct cost){
		.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
		.elapsed_s = now_s() - begin,
		.peak_mib = (double)usage.ru_maxrss / 1024,
	};
}

static struct cost cost_best(const char *const *argv)
{
	struct cost best = cost_of(argv);

	for (unsigned round = 1; round < ROUNDS; round++)
		cost_add(&best, cost_of(argv));
	return best;
}

static const struct {
	const char *name;
	const char *args[4]; /* NULL-ended */
	double goal_m;	     /* ns for one I/O, in units of m */
} rows[] = {
	{"asap", {"--mode=asap", "--set=machine.cpus=4"}, 22},
	{"open (timed)", {"--mode=open", "--set=machine.cpus=4"}, 45},
	{"closed", {"--mode=closed", "--set=machine.cpus=4"}, 45},
	{"only reading: trace info", {NULL}, 12}, /* 6 a record */
};

static void bench_row(const char *name, struct cost cost, uint64_t ios, double m_ns, double goal_m)
{
	double ns = cost.cpu_s * 1e9 / (double)ios;

	printf("%-26s %12.0f %9.1f %7.1f %7.0f %9.1f %9.0f\n", name, (double)ios / cost.cpu_s, ns, ns / m_ns,
	       goal_m, cost.peak_mib, GOAL_MIB);
	fflush(stdout);
}

static void bench_rows(const char *iommusim, const char *trace, uint64_t ios, double m_ns)
{
	printf("%-26s %12s %9s %7s %7s %9s %9s\n", "replay", "I/Os/CPU-s", "ns/I/O", "m", "goal m",
	       "peak MiB", "goal MiB");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		const char *argv[] = {iommusim,	       "replay",	trace, "--progress=never",
				      rows[i].args[0], rows[i].args[1], NULL};
		const char *info[] = {iommusim, "trace", "info", trace, NULL};

		bench_row(rows[i].name, cost_best(rows[i].args[0] ? argv : info), ios, m_ns, rows[i].goal_m);
	}
}

/** What an I/O costs must not depend on how many there are: a tenth of the trace, and ten times all of it. */
static void bench_flat(const char *iommusim, const char *trace, uint64_t ios, double m_ns)
{
	g_autofree char *limit = g_strdup_printf("--limit=%" G_GUINT64_FORMAT, MAX(ios / 10, 1));

	for (unsigned i = 0; i < 2; i++) {
		const char *tenth[] = {iommusim,	   "replay",	    trace,	     limit,
				       "--progress=never", rows[i].args[0], rows[i].args[1], NULL};
		const char *tenfold[] = {iommusim,	     "replay",	      trace,	       "--repeat=10",
					 "--progress=never", rows[i].args[0], rows[i].args[1], NULL};
		g_autofree char *less = g_strdup_printf("%s, a tenth", rows[i].name);
		g_autofree char *more = g_strdup_printf("%s, tenfold", rows[i].name);

		bench_row(less, cost_best(tenth), MAX(ios / 10, 1), m_ns, rows[i].goal_m);
		bench_row(more, cost_of(tenfold), ios * 10, m_ns, rows[i].goal_m);
	}
}

static void bench_start(const char *iommusim, const char *trace)
{
	const char *said[] = {iommusim, "replay", trace, "--limit=1", "--set=machine.cpus=4", NULL};
	const char *unsaid[] = {iommusim, "replay", trace, "--limit=1", NULL};

	printf("start to first I/O: %.4f s (CPUs not said: %.4f s), goal %.2f s\n", cost_best(said).elapsed_s,
	       cost_best(unsaid).elapsed_s, GOAL_START);
}

/** Returns how many results a sweep has written into @dir, and removes them. */
static unsigned sweep_pairs(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, "sweep.txt", NULL), *text = NULL;
	unsigned pairs = 0;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		g_error("no results in %s", dir);
	for (const char *line = text; *line; line = strchr(line, '\n') + 1)
		pairs += *line != '#';
	g_unlink(path);
	g_rmdir(dir);
	return pairs;
}

#define SWEEP_IOS 450 /* so many of the recording have more than 10,000 pairs */

/** The fault sweep of a recording: at least 10,000 runs, as many side by side as said. Wall time: that is what jobs are for. */
static void bench_sweep(const char *iommusim, const char *trace, const char *results)
{
	static const char *const jobs[] = {"--jobs=1", "--jobs=2"};

	for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++) {
		const char *argv[] = {iommusim,
				      "faults",
				      "sweep",
				      "--set=kernel.version=fixed",
				      "--limit=" G_STRINGIFY(SWEEP_IOS),
				      "--progress=never",
				      "-o",
				      results,
				      jobs[i],
				      trace,
				      NULL};
		struct cost cost = cost_of(argv);
		unsigned pairs = sweep_pairs(results);

		if (pairs < 10000)
			g_error("only %u pairs", pairs);
		printf("faults sweep %s: %u pairs of %u I/Os, %.1f s, %.0f pairs/s (CPU: %.0f pairs/s)\n",
		       jobs[i], pairs, SWEEP_IOS, cost.elapsed_s, pairs / cost.elapsed_s, pairs / cost.cpu_s);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	g_autofree char *dir = g_dir_make_tmp("bench-replay-XXXXXX", NULL);
	g_autofree char *name = g_build_filename(dir, "bench", NULL);
	g_autofree char *results = g_build_filename(dir, "sweep", NULL);
	uint64_t ios = 10000000;
	double m_ns;

	if (argc < 4 || argc > 5 || (argc == 5 && !text_parse_u64(argv[4], &ios)) || !ios) {
		fputs("usage: bench-replay IOMMUSIM MAKE-TRACE RECORDING [IOS]\n", stderr);
		return 2;
	}
	g_autofree char *count = g_strdup_printf("ios=%" G_GUINT64_FORMAT, ios);
	g_autofree char *trace = g_strconcat(name, ".iot", NULL);
	const char *make[] = {argv[2], name, count, "remote=25", NULL};
	const char *convert[] = {argv[1], "trace", "convert", "--to=iot", "-o", trace, name, NULL};

	cost_of(make);
	cost_of(convert);
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		g_autofree char *path = g_strdup_printf("%s.blktrace.%u", name, cpu);

		g_unlink(path);
	}
	m_ns = unit_best(bench_malloc_ns, 4000000);
	printf("m (malloc_free_64) %.2f ns, g1k (gtree_1k) %.1f ns\n", m_ns,
	       unit_best(unit_gtree_ns, 400000));
	printf("%" G_GUINT64_FORMAT " I/Os of 4 KiB, %d CPUs, depth 32, iot\n", ios, CPUS);
	bench_rows(argv[1], trace, ios, m_ns);
	bench_flat(argv[1], trace, ios, m_ns);
	bench_start(argv[1], trace);
	bench_sweep(argv[1], argv[3], results);
	g_unlink(trace);
	g_rmdir(dir);
	return 0;
}
