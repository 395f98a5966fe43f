/* SPDX-License-Identifier: MIT */
/*
 * Host time and memory of a diff of two large snapshots: "bench-diff IOMMUSIM [MAPPINGS]". Both hold the same address
 * space, cut into facts differently (what is one range in one is split in the other), and DIFFERENCES of it are planted in
 * the second: mappings removed, added, moved to another IOVA or another page, with another permission, or with that in the
 * middle of one. The diff has to find exactly these. Then the first with
 * itself, where nothing is. Times are CPU seconds of the program (user and system), rates those of both files together.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include "sim/core/prng.h"
#include "sim/core/sha256.h"
#include "sim/core/text.h"

#define DIFFERENCES 200
#define GOAL_MIB    64.0
#define GOAL_MB_S   100.0
#define PAGE	    UINT64_C(4096)
#define UNIT_PAGES  16 /* mapped for one request, contiguous */
#define CUTS_MAX    3  /* so many facts of a unit, 2 on average */
#define PART_PAGES  5  /* of a unit, from this page on, for a difference inside it */

enum planted { REMOVED, ADDED, MOVED_AWAY, OTHER_PAGE, READ_ONLY, READ_ONLY_INSIDE, KINDS };

/** A snapshot as it is made, text and digest. */
struct made {
	FILE *file;
	struct sha256 digest;
	struct prng cuts;
	uint64_t facts;
	bool changed;	/* the second: with the differences */
	uint64_t spare; /* IOVA behind all units: what is moved away goes here */
};

static void made_line(struct made *made, const char *text)
{
	sha256_update(&made->digest, text, strlen(text));
	fputs(text, made->file);
}

static void made_fact(struct made *made, uint64_t iova, uint64_t pages, uint64_t pa, const char *prot,
		      uint64_t request)
{
	char line[256];

	g_snprintf(line, sizeof(line),
		   "map domain=1 iova=0x%016" G_GINT64_MODIFIER "x-0x%016" G_GINT64_MODIFIER
		   "x pa=0x%016" G_GINT64_MODIFIER "x prot=%s owner=req:%" G_GUINT64_FORMAT "\n",
		   iova, iova + pages * PAGE - 1, pa, prot, request);
	made_line(made, line);
	made->facts++;
}

/** @left pages, CUTS_MAX at least, cut by chance into one fact or up to CUTS_MAX. */
static void made_cut(struct made *made, uint64_t iova, uint64_t left, uint64_t pa, const char *prot,
		     uint64_t request)
{
	uint64_t cuts = 1 + prng_below(&made->cuts, CUTS_MAX);

	for (; left; cuts--) {
		uint64_t pages = cuts > 1 ? 1 + prng_below(&made->cuts, left - cuts + 1) : left;

		made_fact(made, iova, pages, pa, prot, request);
		iova += pages * PAGE;
		pa += pages * PAGE;
		left -= pages;
	}
}

static void made_unit(struct made *made, uint64_t unit, uint64_t units)
{
	uint64_t step = units / DIFFERENCES, iova = (UINT64_C(1) << 32) + unit * UNIT_PAGES * PAGE;
	uint64_t pa = (UINT64_C(1) << 40) + unit * 3 * UNIT_PAGES * PAGE;
	int kind = unit % step == step / 2 && unit / step < DIFFERENCES ? (int)(unit / step % KINDS) : KINDS;

	if (kind == (made->changed ? REMOVED : ADDED))
		return;
	if (made->changed && kind == MOVED_AWAY)
		return;
	if (made->changed && kind == OTHER_PAGE)
		pa += UINT64_C(1) << 50;
	if (made->changed && kind == READ_ONLY_INSIDE) {
		uint64_t part = PART_PAGES * PAGE;

		made_cut(made, iova, PART_PAGES, pa, "rw", unit);
		made_cut(made, iova + part, PART_PAGES, pa + part, "r", unit);
		made_cut(made, iova + 2 * part, UNIT_PAGES - 2 * PART_PAGES, pa + 2 * part, "rw", unit);
		return;
	}
	made_cut(made, iova, UNIT_PAGES, pa, made->changed && kind == READ_ONLY ? "r" : "rw", unit);
}

/** What was left out above, behind all others. */
static void made_moved(struct made *made, uint64_t units)
{
	uint64_t step = units / DIFFERENCES;

	for (uint64_t at = MOVED_AWAY; at < DIFFERENCES; at += KINDS) {
		uint64_t unit = at * step + step / 2;

		made_cut(made, (UINT64_C(1) << 48) + at * 2 * UNIT_PAGES * PAGE, UNIT_PAGES,
			 (UINT64_C(1) << 40) + unit * 3 * UNIT_PAGES * PAGE, "rw", unit);
	}
}

/** Writes a snapshot to @path. Returns its size in bytes. */
static uint64_t make(const char *path, bool changed, uint64_t mappings)
{
	struct made made = {.file = fopen(path, "w"), .changed = changed};
	char digest[SHA256_HEX_LEN + 1];
	uint64_t units = mappings / ((1 + CUTS_MAX) / 2);
	struct stat info;

	if (!made.file)
		g_error("%s cannot be written", path);
	sha256_init(&made.digest);
	prng_init(&made.cuts, changed ? 2 : 1, "cuts");
	made_line(&made, "iommusim-snapshot 1\n# kernel.version 7.0\n[mapping]\n");
	for (uint64_t unit = 0; unit < units; unit++)
		made_unit(&made, unit, units);
	if (changed)
		made_moved(&made, units);
	sha256_finish(&made.digest, digest);
	fprintf(made.file, "digest sha256:%s\n", digest);
	if (fclose(made.file) != 0 || g_stat(path, &info) != 0)
		g_error("%s cannot be written", path);
	return (uint64_t)info.st_size;
}

/** Runs "diff --stat --json" and compares what it counts with @wanted. */
static void bench(const char *what, const char *const *argv, uint64_t wanted, uint64_t bytes)
{
	g_autofree char *counted = g_strdup_printf("\n  \"count\" : %" G_GUINT64_FORMAT, wanted);
	struct rusage before, after;
	g_autofree char *out = NULL;
	g_autoptr(GError) error = NULL;
	int status;
	double cpu_s;

	getrusage(RUSAGE_CHILDREN, &before);
	if (!g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, &out, NULL, &status, &error))
		g_error("%s", error->message);
	getrusage(RUSAGE_CHILDREN, &after);
	cpu_s = (double)(after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec -
			 before.ru_stime.tv_sec) +
		(double)(after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec -
			 before.ru_stime.tv_usec) /
			1e6;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != (wanted ? 1 : 0) || !strstr(out, counted))
		g_error("%s: %" G_GUINT64_FORMAT " differences wanted, but\n%s", what, wanted, out);
	printf("%-22s %9.0f %10.2f %9.0f %9.0f %9.1f %9.0f\n", what, (double)bytes / 1e6, cpu_s,
	       (double)bytes / 1e6 / cpu_s, GOAL_MB_S, (double)after.ru_maxrss / 1024, GOAL_MIB);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t mappings = 10000000, bytes_a, bytes_b;

	if (argc < 2 || argc > 3 || (argc == 3 && !text_parse_u64(argv[2], &mappings)) ||
	    mappings < 100 * DIFFERENCES) {
		fprintf(stderr, "usage: bench-diff IOMMUSIM [MAPPINGS, from %d]\n", 100 * DIFFERENCES);
		return 2;
	}
	g_autofree char *dir = g_dir_make_tmp("bench-diff-XXXXXX", NULL);
	g_autofree char *a = g_build_filename(dir, "a.snap", NULL);
	g_autofree char *b = g_build_filename(dir, "b.snap", NULL);
	const char *differ[] = {argv[1], "diff", "--stat", "--json", a, b, NULL};
	const char *same[] = {argv[1], "diff", "--stat", "--json", a, a, NULL};

	bytes_a = make(a, false, mappings);
	bytes_b = make(b, true, mappings);
	printf("%-22s %9s %10s %9s %9s %9s %9s\n", "diff", "MB", "CPU s", "MB/s", "goal", "peak MiB",
	       "goal MiB");
	bench("200 differences", differ, DIFFERENCES, bytes_a + bytes_b);
	bench("with itself", same, 0, 2 * bytes_a);
	g_unlink(a);
	g_unlink(b);
	g_rmdir(dir);
	return 0;
}
