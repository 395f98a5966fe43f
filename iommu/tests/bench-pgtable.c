/* SPDX-License-Identifier: MIT */
/*
 * Time of page-table calls and translations on this host, each compared once with what it must answer.
 *
 * Prints, tab separated: operation, ns each, the same as a multiple of a malloc/free pair of 64 bytes
 * measured in this process, and the multiple that is the goal. Each figure is the least disturbed of several
 * rounds, and the yardstick is measured again between them. Exit 0 whatever the figures: a loaded host is no
 * failure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "iommu/iotlb/iotlb.h"

#define ROUNDS 7
#define REGION (UINT64_C(256) << 20)
#define PAGE   UINT64_C(4096)
#define PIECE  (32 * PAGE)

static uint64_t sink;

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double pair_ns(void)
{
	enum { PAIRS = 1000000, DEPTH = 64 };
	static void *ring[DEPTH];
	double start = now_ns();

	for (unsigned i = 0; i < PAIRS; i++) {
		free(ring[i % DEPTH]);
		ring[i % DEPTH] = malloc(64);
		*(volatile char *)ring[i % DEPTH] = 1;
	}
	start = (now_ns() - start) / PAIRS;
	for (unsigned i = 0; i < DEPTH; i++) {
		free(ring[i]);
		ring[i] = NULL;
	}
	return start;
}

struct bench {
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	struct iotlb *hitting, *walking;
};

/* IOVA and physical address are not congruent: small pages only, as the buffers of most requests. */
static uint64_t paddr_of(uint64_t iova)
{
	return iova + (UINT64_C(3) << 30) + PAGE;
}

static uint64_t map_all(struct bench *bench, uint64_t piece)
{
	uint64_t mapped = 0, sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += piece) {
		bench->pt->ops->map_range(bench->pt, iova, paddr_of(iova), piece, PROT_READ | PROT_WRITE,
					  &mapped);
		sum += mapped;
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / piece;
}

static uint64_t unmap_all(struct bench *bench, uint64_t piece)
{
	uint64_t sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += piece) {
		pgtable_gather_init(&bench->gather);
		sum += bench->pt->ops->unmap_range(bench->pt, iova, piece, &bench->gather);
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / piece;
}

static uint64_t map_4k(struct bench *bench)
{
	return map_all(bench, PAGE);
}

static uint64_t unmap_4k(struct bench *bench)
{
	return unmap_all(bench, PAGE);
}

static uint64_t map_128k(struct bench *bench)
{
	return map_all(bench, PIECE);
}

static uint64_t unmap_128k(struct bench *bench)
{
	return unmap_all(bench, PIECE);
}

static uint64_t lookup_all(struct bench *bench)
{
	uint64_t sum = 0, paddr;
	unsigned prot;

	for (uint64_t iova = 0; iova < REGION; iova += PAGE)
		if (bench->pt->ops->lookup(bench->pt, iova, &paddr, &prot))
			sum += paddr - paddr_of(iova) + 1;
	g_assert_cmpuint(sum, ==, REGION / PAGE);
	return REGION / PAGE;
}

static uint64_t walk_all(struct bench *bench)
{
	struct pgtable_walk walk;
	uint64_t sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += PAGE)
		if (bench->pt->ops->walk(bench->pt, iova, &walk))
			sum += walk.paddr - paddr_of(iova) + 1;
	g_assert_cmpuint(sum, ==, REGION / PAGE);
	return REGION / PAGE;
}

/** Translates in a window of @window pages again and again. */
static uint64_t translate(struct bench *bench, struct iotlb *tlb, uint64_t window)
{
	enum { TRANSLATIONS = 200000 };
	struct iotlb_result result;
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRANSLATIONS; i++) {
		uint64_t iova = i * 7 % window * PAGE;

		if (iotlb_translate(tlb, 1, bench->pt, iova, &result))
			sum += result.paddr - paddr_of(iova) + 1;
	}
	g_assert_cmpuint(sum, ==, TRANSLATIONS);
	return TRANSLATIONS;
}

static uint64_t translate_hit(struct bench *bench)
{
	return translate(bench, bench->hitting, 64);
}

/* A table page goes between any two, so that no hit is known to agree with the table without a walk. */
static uint64_t translate_hit_after_unlink(struct bench *bench)
{
	enum { TRANSLATIONS = 200000 };
	struct iotlb_result result;
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRANSLATIONS; i++) {
		bench->pt->table_generation++;
		iotlb_translate(bench->hitting, 1, bench->pt, i % 64 * PAGE, &result);
		sum += result.hit && !result.stale;
	}
	sink += sum;
	return TRANSLATIONS;
}

static uint64_t translate_walk(struct bench *bench)
{
	return translate(bench, bench->walking, 8192);
}

static const struct {
	const char *name;
	uint64_t (*run)(struct bench *bench); /* returns how many operations it did */
	double goal;			      /* 0: none */
} rows[] = {
	{"pagetable: vtdss map 4K, sequential", map_4k, 3},
	{"translate: IOTLB hit", translate_hit, 1.5},
	{"translate: IOTLB hit, table page unlinked since", translate_hit_after_unlink, 0},
	{"translate: 4 levels, every access walks", translate_walk, 6},
	{"pagetable: vtdss iova_to_phys", lookup_all, 2},
	{"pagetable: vtdss device walk, 4 levels", walk_all, 0},
	{"pagetable: vtdss unmap 4K", unmap_4k, 3},
	{"pagetable: vtdss map 128K (32 pages)", map_128k, 8},
	{"pagetable: vtdss unmap 128K", unmap_128k, 7},
};

int main(void)
{
	static const struct pgtable_config config = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	struct bench bench = {.sim = sim_new(1, 1)};
	double best[G_N_ELEMENTS(rows)], pair = pair_ns();

	g_assert_cmpint(pgtable_new(bench.sim, pgtable_format("vtdss"), &config, &bench.pt), ==, 0);
	bench.hitting = iotlb_new(&(struct iotlb_config){.entries = 256, .ways = 8, .walk_entries = 32});
	bench.walking = iotlb_new(&(struct iotlb_config){0});
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
			double start = now_ns(), each;
			uint64_t count = rows[i].run(&bench);

			each = (now_ns() - start) / (double)count;
			best[i] = round == 0 ? each : MIN(best[i], each);
		}
		iotlb_invalidate_domain(bench.hitting, 1);
		pair = MIN(pair, pair_ns());
	}
	printf("# operation\tns\tm\tgoal_m\tm = %.2f ns\n", pair);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		printf("%s\t%.1f\t%.2f\t", rows[i].name, best[i], best[i] / pair);
		if (rows[i].goal > 0)
			printf("%.1f\n", rows[i].goal);
		else
			printf("-\n");
	}
	iotlb_free(bench.walking);
	iotlb_free(bench.hitting);
	pgtable_gather_finish(&bench.gather);
	pgtable_free(bench.pt);
	sim_free(bench.sim);
	return sink == 0;
}
