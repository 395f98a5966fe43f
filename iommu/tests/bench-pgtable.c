/* SPDX-License-Identifier: MIT */
/*
 * Time of page-table calls and translations on this host, each compared once with what it must answer.
 *
 * Prints, tab separated: operation, ns each, the same as a multiple of a malloc/free pair of 64 bytes
 * measured in this process, and the multiple that is the goal. Each figure is the least disturbed of several
 * rounds, and the yardstick is measured again between them. Exit 0 whatever the figures: a loaded host is no
 * failure.
 *
 * Calls go through the format's ops from one end of a region to the other, page by page or 32 pages at a time. The
 * region's last-level tables are there but for the first round, and are many more than a format remembers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "iommu/iotlb/iotlb.h"

#define ROUNDS 7
#define REGION (UINT64_C(1) << 30)
#define PAGE   UINT64_C(4096)
#define PIECE  (32 * PAGE)

/* Entries of DART have room for 36 bits of an address. */
#define TABLES_LOW ((UINT64_C(1) << 32) - PHYSMEM_BASE)

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

enum table {
	VTDSS,
	AMDV1,
	LPAE,
	DART1,
	TABLES,
};

/* As the drivers ask for them. */
static const struct {
	const char *format;
	struct pgtable_config config;
} tables[TABLES] = {
	[VTDSS] = {"vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 3}},
	[AMDV1] = {"amdv1",
		   {.ias_bits = 64,
		    .oas_bits = 52,
		    .top_level = 2,
		    .dynamic_top = true,
		    .force_coherence = true}},
	[LPAE] = {"arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48}},
	[DART1] = {"apple_dart",
		   {.ias_bits = 32, .oas_bits = 36, .page_sizes = PAGE, .table_offset = TABLES_LOW}},
};

struct bench {
	struct sim *sim;
	struct pgtable *tables[TABLES];
	struct pgtable *pt; /* of this row */
	uint64_t piece;	    /* that this row maps or unmaps at once */
	struct pgtable_gather gather;
	struct iotlb *hitting, *walking;
};

/* IOVA and physical address are not congruent: small pages only, as the buffers of most requests. */
static uint64_t paddr_of(uint64_t iova)
{
	return iova + (UINT64_C(3) << 30) + PAGE;
}

static uint64_t map_ranges(struct bench *bench)
{
	uint64_t mapped = 0, sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += bench->piece) {
		bench->pt->ops->map_range(bench->pt, iova, paddr_of(iova), bench->piece,
					  PROT_READ | PROT_WRITE, &mapped);
		sum += mapped;
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / bench->piece;
}

static uint64_t unmap_ranges(struct bench *bench)
{
	uint64_t sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += bench->piece) {
		pgtable_gather_init(&bench->gather);
		sum += bench->pt->ops->unmap_range(bench->pt, iova, bench->piece, &bench->gather);
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / bench->piece;
}

static uint64_t map_pages(struct bench *bench)
{
	uint64_t mapped = 0, sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += bench->piece) {
		bench->pt->ops->map_pages(bench->pt, iova, paddr_of(iova), PAGE, bench->piece / PAGE,
					  PROT_READ | PROT_WRITE, &mapped);
		sum += mapped;
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / bench->piece;
}

static uint64_t unmap_pages(struct bench *bench)
{
	uint64_t sum = 0;

	for (uint64_t iova = 0; iova < REGION; iova += bench->piece) {
		pgtable_gather_init(&bench->gather);
		sum += bench->pt->ops->unmap_pages(bench->pt, iova, PAGE, bench->piece / PAGE,
						   &bench->gather);
	}
	g_assert_cmphex(sum, ==, REGION);
	return REGION / bench->piece;
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
	enum table table;
	uint64_t (*run)(struct bench *bench); /* returns how many operations it did */
	double goal;			      /* 0: none */
	uint64_t piece;
} rows[] = {
	{"pagetable: vtdss map 4K, sequential", VTDSS, map_ranges, 3, PAGE},
	{"translate: IOTLB hit", VTDSS, translate_hit, 1.5},
	{"translate: IOTLB hit, table page unlinked since", VTDSS, translate_hit_after_unlink},
	{"translate: 4 levels, every access walks", VTDSS, translate_walk, 6},
	{"pagetable: vtdss iova_to_phys", VTDSS, lookup_all, 2},
	{"pagetable: vtdss device walk, 4 levels", VTDSS, walk_all},
	{"pagetable: vtdss unmap 4K", VTDSS, unmap_ranges, 3, PAGE},
	{"pagetable: vtdss map 128K (32 pages)", VTDSS, map_ranges, 8, PIECE},
	{"pagetable: vtdss unmap 128K", VTDSS, unmap_ranges, 7, PIECE},
	{"pagetable: amdv1 map 4K", AMDV1, map_ranges, 3, PAGE},
	{"pagetable: amdv1 walk", AMDV1, lookup_all, 2},
	{"pagetable: amdv1 unmap 4K", AMDV1, unmap_ranges, 3, PAGE},
	{"pagetable: lpae s1 4K map", LPAE, map_pages, 2, PAGE},
	{"pagetable: lpae s1 4K walk", LPAE, lookup_all, 2},
	{"pagetable: lpae s1 4K unmap", LPAE, unmap_pages, 2, PAGE},
	{"pagetable: lpae s1 4K map 128K", LPAE, map_pages, 6, PIECE},
	{"pagetable: lpae s1 4K unmap 128K", LPAE, unmap_pages, 8, PIECE},
	{"pagetable: dart1 4K map", DART1, map_pages, 1.4, PAGE},
	{"pagetable: dart1 4K walk", DART1, lookup_all, 0.75, PAGE},
	{"pagetable: dart1 4K unmap", DART1, unmap_pages, 1.4, PAGE},
};

int main(void)
{
	struct bench bench = {.sim = sim_new(1, 1)};
	double best[G_N_ELEMENTS(rows)], pair = pair_ns(), again;

	for (unsigned i = 0; i < TABLES; i++)
		g_assert_cmpint(pgtable_new(bench.sim, pgtable_format(tables[i].format), &tables[i].config,
					    &bench.tables[i]),
				==, 0);
	bench.hitting = iotlb_new(&(struct iotlb_config){.entries = 256, .ways = 8, .walk_entries = 32});
	bench.walking = iotlb_new(&(struct iotlb_config){0});
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
			double start, each;
			uint64_t count;

			bench.pt = bench.tables[rows[i].table];
			bench.piece = rows[i].piece;
			start = now_ns();
			count = rows[i].run(&bench);
			each = (now_ns() - start) / (double)count;
			best[i] = round == 0 ? each : MIN(best[i], each);
		}
		iotlb_invalidate_domain(bench.hitting, 1);
		again = pair_ns();
		pair = MIN(pair, again);
	}
	printf("# operation\tns\tm\tgoal_m\tm = %.2f ns\n", pair);
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		printf("%s\t%.1f\t%.2f\t", rows[i].name, best[i], best[i] / pair);
		if (rows[i].goal > 0)
			printf("%g\n", rows[i].goal);
		else
			printf("-\n");
	}
	iotlb_free(bench.walking);
	iotlb_free(bench.hitting);
	pgtable_gather_finish(&bench.gather);
	for (unsigned i = 0; i < TABLES; i++)
		pgtable_free(bench.tables[i]);
	sim_free(bench.sim);
	return sink == 0;
}
