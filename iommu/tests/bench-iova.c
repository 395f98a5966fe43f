/* SPDX-License-Identifier: MIT */
/*
 * Host time of the IOVA allocator, beside that of plain operations measured in the same process: a malloc and free pair
 * (m) and the removal and insertion of a random key in a GTree (g) with as many live keys. Each figure is the least
 * disturbed of a few rounds. Before timing, what a row measures has been checked against the kernel by test-iova.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iommu/iova/domain.h"
#include "sim/tests/bench-unit.h"

#define ROUNDS	    5
#define DMA32_LIMIT 0xfffffu
#define WIDE_LIMIT  0xfffffffffu

static double now_ns(void)
{
	return bench_cpu_s() * 1e9;
}

/* A benchmark sets itself up, runs @ops operations and returns the ns that each took. */
typedef double (*bench_fn)(unsigned size, unsigned ops);

static double best(bench_fn fn, unsigned size, unsigned ops)
{
	double least = fn(size, ops);

	for (unsigned round = 1; round < ROUNDS; round++) {
		double ns = fn(size, ops);

		least = MIN(least, ns);
	}
	return least;
}

/* ---- the units ---- */

static double bench_malloc(unsigned size, unsigned ops)
{
	return bench_malloc_ns(ops);
}

static gint compare_keys(gconstpointer a, gconstpointer b)
{
	return a < b ? -1 : a > b;
}

static double bench_gtree(unsigned live, unsigned ops)
{
	GTree *tree = g_tree_new(compare_keys);
	g_autofree gpointer *keys = g_new(gpointer, live);
	struct prng prng;
	double begin, end;

	prng_init(&prng, 1, "gtree");
	for (unsigned i = 0; i < live; i++) {
		keys[i] = GSIZE_TO_POINTER(prng_next(&prng) | 1);
		g_tree_insert(tree, keys[i], keys[i]);
	}
	begin = now_ns();
	for (unsigned i = 0; i < ops; i++) {
		unsigned k = prng_below(&prng, live);

		g_tree_remove(tree, keys[k]);
		keys[k] = GSIZE_TO_POINTER(prng_next(&prng) | 1);
		g_tree_insert(tree, keys[k], keys[k]);
	}
	end = now_ns();
	g_tree_destroy(tree);
	return (end - begin) / ops;
}

/* ---- the allocator ---- */

static struct iova_domain *domain_new(unsigned cpus)
{
	struct sim *sim = sim_new(cpus, 1);
	struct iova_domain *iovad;

	behaviour_set_version(sim, KERNEL_FIXED);
	iovad = iova_domain_new(sim, 4096, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(iovad), ==, 0);
	return iovad;
}

static void domain_free(struct iova_domain *iovad)
{
	struct sim *sim = iovad->sim;

	iova_domain_free(iovad);
	sim_free(sim);
}

static double bench_cached(unsigned size, unsigned ops)
{
	struct iova_domain *iovad = domain_new(1);
	double begin = now_ns(), end;

	for (unsigned i = 0; i < ops / 2; i++)
		iova_free_fast(iovad, iova_alloc_fast(iovad, size, DMA32_LIMIT, true), size);
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

static double bench_bursts(unsigned burst, unsigned ops)
{
	struct iova_domain *iovad = domain_new(1);
	g_autofree uint64_t *pfns = g_new(uint64_t, burst);
	double begin = now_ns(), end;

	for (unsigned done = 0; done < ops; done += 2 * burst) {
		for (unsigned i = 0; i < burst; i++)
			pfns[i] = iova_alloc_fast(iovad, UINT64_C(1) << i % IOVA_ORDERS, DMA32_LIMIT, true);
		for (unsigned i = 0; i < burst; i++)
			iova_free_fast(iovad, pfns[i], UINT64_C(1) << i % IOVA_ORDERS);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

static double bench_handoff(unsigned burst, unsigned ops)
{
	struct iova_domain *iovad = domain_new(2);
	g_autofree uint64_t *pfns = g_new(uint64_t, burst);
	double begin = now_ns(), end;

	for (unsigned done = 0; done < ops; done += 2 * burst) {
		iovad->sim->cpu = 0;
		for (unsigned i = 0; i < burst; i++)
			pfns[i] = iova_alloc_fast(iovad, 1, DMA32_LIMIT, true);
		iovad->sim->cpu = 1;
		for (unsigned i = 0; i < burst; i++)
			iova_free_fast(iovad, pfns[i], 1);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

/* 1024 requests in flight, of 1 to 32 granules; 30 % complete on a CPU other than their own. */
static double bench_nvme(unsigned cpus, unsigned ops)
{
	enum { DEPTH = 1024 };
	struct iova_domain *iovad = domain_new(cpus);
	struct {
		uint64_t pfn;
		uint32_t size, cpu;
	} requests[DEPTH] = {0}, *request;
	struct prng prng;
	double begin, end;

	prng_init(&prng, 1, "nvme");
	begin = now_ns();
	for (unsigned i = 0; i < ops / 2; i++) {
		uint64_t draw = prng_next(&prng);

		request = &requests[draw % DEPTH];
		if (request->pfn) {
			iovad->sim->cpu = (draw >> 10 & 1023) < 307 ? (unsigned)(draw >> 20 & 0xffff) % cpus : request->cpu;
			iova_free_fast(iovad, request->pfn, request->size);
		}
		request->size = 1u << (draw >> 36) % IOVA_ORDERS;
		request->cpu = iovad->sim->cpu = (unsigned)(draw >> 48) % cpus;
		request->pfn = iova_alloc_fast(iovad, request->size, DMA32_LIMIT, true);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

static double bench_random(unsigned live, unsigned ops)
{
	struct iova_domain *iovad = domain_new(1);
	g_autofree uint64_t *pfns = g_new(uint64_t, live);
	struct prng prng;
	double begin, end;

	prng_init(&prng, 1, "random");
	for (unsigned i = 0; i < live; i++)
		iova_alloc_tree(iovad, 1, WIDE_LIMIT, true, &pfns[i]);
	begin = now_ns();
	for (unsigned i = 0; i < ops; i++) {
		unsigned k = prng_below(&prng, live);

		iova_free_tree(iovad, pfns[k]);
		iova_alloc_tree(iovad, 1, WIDE_LIMIT, true, &pfns[k]);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

/* Single granules in every second place: as many holes as ranges, each too small for two, up to where nothing is free. */
static struct iova_domain *holes_new(unsigned holes)
{
	struct iova_domain *iovad = domain_new(1);
	uint64_t pfn, lo, hi;

	for (unsigned i = 0; i < 2 * holes; i++)
		iova_alloc_tree(iovad, 1, DMA32_LIMIT, true, &pfn);
	iova_reserve(iovad, 0, DMA32_LIMIT - 2 * holes, &lo, &hi);
	for (unsigned i = 0; i < holes; i++)
		iova_free_tree(iovad, DMA32_LIMIT - 2 * i);
	return iovad;
}

static double bench_failing_search(unsigned holes, unsigned ops)
{
	struct iova_domain *iovad = holes_new(holes);
	uint64_t pfn;
	double begin = now_ns(), end;

	for (unsigned i = 0; i < ops; i++) {
		iovad->max32_alloc_size = iovad->dma_32bit_pfn;
		iova_alloc_tree(iovad, 2, DMA32_LIMIT, true, &pfn);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

static double bench_reset_and_fail(unsigned holes, unsigned ops)
{
	struct iova_domain *iovad = holes_new(holes);
	struct prng prng;
	uint64_t pfn;
	double begin, end;

	prng_init(&prng, 1, "holes");
	begin = now_ns();
	for (unsigned i = 0; i < ops; i++) {
		iova_free_tree(iovad, DMA32_LIMIT - 2 * prng_below(&prng, holes) - 1);
		iova_alloc_tree(iovad, 4, DMA32_LIMIT, true, &pfn);
		iova_alloc_tree(iovad, 1, DMA32_LIMIT, true, &pfn);
	}
	end = now_ns();
	domain_free(iovad);
	return (end - begin) / ops;
}

enum unit { UNIT_M, UNIT_G1K, UNIT_G100K, UNIT_G1M, UNITS };

static const struct {
	const char *name;
	enum unit unit;
	double goal; /* in that unit; 0: none */
	bench_fn fn;
	unsigned size, ops;
} rows[] = {
	{"cached alloc or free, one range in turn", UNIT_M, 0.6, bench_cached, 1, 8000000},
	{"cached, bursts of 200 over six orders", UNIT_M, 0.8, bench_bursts, 200, 4000000},
	{"depot hand-off, 2000 allocated on one cpu, freed on another", UNIT_M, 0.6, bench_handoff, 2000, 4000000},
	{"NVMe mix, depth 1024, 1..32 granules, 30 % remote completion, 64 cpus", UNIT_M, 1.5, bench_nvme, 64, 4000000},
	{"free a random live range then allocate one, 1k live (pair)", UNIT_G1K, 1.5, bench_random, 1000, 400000},
	{"same, 100k live", UNIT_G100K, 1.5, bench_random, 100000, 400000},
	{"same, 1M live", UNIT_G1M, 1.5, bench_random, 1000000, 400000},
	{"failing 32-bit search, 100k holes too small, hint reset", UNIT_G100K, 1.5, bench_failing_search, 100000, 400000},
	{"same, with the free that resets the hint and an allocation after it", UNIT_G100K, 0, bench_reset_and_fail, 100000,
	 200000},
};

/* With an argument: only the rows in whose name it occurs. */
int main(int argc, char **argv)
{
	static const char *const names[UNITS] = {"m", "g1k", "g100k", "g1m"};
	double units[UNITS];

	units[UNIT_M] = best(bench_malloc, 64, 4000000);
	units[UNIT_G1K] = best(bench_gtree, 1000, 400000);
	units[UNIT_G100K] = best(bench_gtree, 100000, 400000);
	units[UNIT_G1M] = best(bench_gtree, 1000000, 400000);
	for (unsigned i = 0; i < UNITS; i++)
		printf("unit %s\t%.2f ns\n", names[i], units[i]);
	printf("ns/op\tratio\tunit\tgoal\toperation\n");
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		double ns;

		if (argc > 1 && !strstr(rows[i].name, argv[1]))
			continue;
		ns = best(rows[i].fn, rows[i].size, rows[i].ops);
		printf("%.2f\t%.2f\t%s\t%.1f\tiova: %s\n", ns, ns / units[rows[i].unit], names[rows[i].unit], rows[i].goal,
		       rows[i].name);
		fflush(stdout);
	}
	return 0;
}
