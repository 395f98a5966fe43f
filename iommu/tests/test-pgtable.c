/* SPDX-License-Identifier: MIT */
/*
 * Page tables. The conformance cases run for every configuration below, and every registered format must have
 * one; the clever code is compared with a list of leaves that is searched from end to end. The recordings are
 * compared byte by byte: what Linux 7.0 wrote, allocated, flushed and freed.
 */
#include <errno.h>
#include <stdlib.h>

#include <glib/gstdio.h>

#include "iommu/pgtable/golden.h"
#include "iommu/pgtable/pgtable-fault.h"
#include "iommu/pgtable/pgtable.h"
#include "iommu/tests/golden-files.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static const struct variant {
	const char *name;
	const char *format;
	struct pgtable_config config;
	bool write_reads; /* what may be written can be read */
} variants[] = {
	{"amdv1",
	 "amdv1",
	 {.ias_bits = 64, .oas_bits = 52, .top_level = 2, .dynamic_top = true, .force_coherence = true}},
	{"amdv1-48-bits", "amdv1", {.ias_bits = 48, .oas_bits = 48, .top_level = 2, .dynamic_top = true}},
	{"amdv1-fixed-root", "amdv1", {.ias_bits = 48, .oas_bits = 52, .top_level = 3}},
	{"riscv_64-3-levels-signed",
	 "riscv_64",
	 {.ias_bits = 39, .oas_bits = 56, .top_level = 2, .sign_extend = true},
	 .write_reads = true},
	{"riscv_64-4-levels-64k",
	 "riscv_64",
	 {.ias_bits = 48, .oas_bits = 56, .top_level = 3, .contiguous_64k = true},
	 .write_reads = true},
	{"riscv_64-5-levels-64k-signed",
	 "riscv_64",
	 {.ias_bits = 57, .oas_bits = 56, .top_level = 4, .contiguous_64k = true, .sign_extend = true},
	 .write_reads = true},
	{"vtdss", "vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 3}},
	{"vtdss-3-levels-snoop",
	 "vtdss",
	 {.ias_bits = 39, .oas_bits = 46, .top_level = 2, .force_coherence = true}},
	{"vtdss-5-levels-incoherent",
	 "vtdss",
	 {.ias_bits = 57, .oas_bits = 52, .top_level = 4, .incoherent = true}},
	{"vtdss-forcewrite",
	 "vtdss",
	 {.ias_bits = 48, .oas_bits = 52, .top_level = 3, .force_writeable = true}},
	{"x86_64-47-bits", "x86_64", {.ias_bits = 47, .oas_bits = 52, .top_level = 3}, .write_reads = true},
	{"x86_64-signed",
	 "x86_64",
	 {.ias_bits = 48, .oas_bits = 52, .top_level = 3, .sign_extend = true},
	 .write_reads = true},
	{"x86_64-5-levels-signed-incoherent",
	 "x86_64",
	 {.ias_bits = 57, .oas_bits = 52, .top_level = 4, .sign_extend = true, .incoherent = true},
	 .write_reads = true},
};

/** Returns the configuration of the variant called @name. */
static const struct variant *variant_find(const char *name)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		if (strcmp(variants[i].name, name) == 0)
			return &variants[i];
	g_assert_not_reached();
}

#define READ_WRITE (PROT_READ | PROT_WRITE)

struct fixture {
	const struct variant *variant;
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
};

static void setup(struct fixture *fixture, const void *data)
{
	fixture->variant = data;
	fixture->sim = sim_new(1, 1);
	g_assert_cmpint(pgtable_new(fixture->sim, pgtable_format(fixture->variant->format),
				    &fixture->variant->config, &fixture->pt),
			==, 0);
	pgtable_gather_init(&fixture->gather);
}

static void teardown(struct fixture *fixture, const void *data)
{
	pgtable_gather_free(fixture->sim, &fixture->gather);
	pgtable_gather_finish(&fixture->gather);
	pgtable_free(fixture->pt);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(fixture->sim);
}

static int map(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
	       uint64_t *ret_mapped)
{
	return fixture->pt->ops->map_range(fixture->pt, iova, paddr, len, prot, ret_mapped);
}

static void map_ok(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len)
{
	uint64_t mapped;

	g_assert_cmpint(map(fixture, iova, paddr, len, READ_WRITE, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, len);
}

static uint64_t unmap(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	return fixture->pt->ops->unmap_range(fixture->pt, iova, len, &fixture->gather);
}

static uint64_t phys(const struct fixture *fixture, uint64_t iova)
{
	uint64_t paddr = 0, looked_up = 0;
	struct pgtable_walk walk;
	unsigned prot = 0;

	if (fixture->pt->ops->walk(fixture->pt, iova, &walk))
		paddr = walk.paddr;
	g_assert_cmpint(fixture->pt->ops->lookup(fixture->pt, iova, &looked_up, &prot), ==, paddr != 0);
	g_assert_cmphex(looked_up, ==, paddr);
	g_assert_cmphex(prot, ==, walk.prot);
	return paddr;
}

static unsigned size_lg2_smallest(const struct pgtable *pt)
{
	return (unsigned)__builtin_ctzll(pt->page_sizes);
}

/** Returns the last IOVA; with signed addresses, of the lower half. */
static uint64_t iova_last(const struct pgtable *pt)
{
	return UINT64_MAX >> (64 - pt->config.ias_bits + pt->config.sign_extend);
}

/** Returns the largest page size of which eight fit into the IOVAs and into physical memory. */
static uint64_t size_large(const struct pgtable *pt)
{
	uint64_t fitting = MIN(iova_last(pt), UINT64_MAX >> (64 - pt->config.oas_bits)) >> 3;

	return UINT64_C(1) << (63 - __builtin_clzll(pt->page_sizes & fitting));
}

/* The reference: leaves in no order, searched from end to end. */

struct leaf {
	uint64_t iova, paddr, size;
	unsigned prot;
};

struct reference {
	uint64_t page_sizes;
	GArray *leaves;
};

static struct leaf *reference_overlap(const struct reference *reference, uint64_t iova, uint64_t size)
{
	for (guint i = 0; i < reference->leaves->len; i++) {
		struct leaf *leaf = &g_array_index(reference->leaves, struct leaf, i);

		if (leaf->iova <= iova + (size - 1) && iova <= leaf->iova + (leaf->size - 1))
			return leaf;
	}
	return NULL;
}

static uint64_t reference_best_size(uint64_t page_sizes, uint64_t iova, uint64_t paddr, uint64_t len)
{
	for (int lg2 = 63; lg2 >= 0; lg2--) {
		uint64_t size = UINT64_C(1) << lg2;

		if (page_sizes & size && size <= len && iova % size == 0 && paddr % size == 0)
			return size;
	}
	g_assert_not_reached();
}

static int reference_map(struct reference *reference, uint64_t iova, uint64_t paddr, uint64_t len,
			 unsigned prot, uint64_t *ret_mapped)
{
	for (*ret_mapped = 0; *ret_mapped < len;) {
		uint64_t at = iova + *ret_mapped, to = paddr + *ret_mapped;
		struct leaf leaf = {
			at, to, reference_best_size(reference->page_sizes, at, to, len - *ret_mapped), prot};

		if (reference_overlap(reference, at, leaf.size))
			return -EADDRINUSE;
		g_array_append_val(reference->leaves, leaf);
		*ret_mapped += leaf.size;
	}
	return 0;
}

static uint64_t reference_unmap(struct reference *reference, uint64_t iova, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		struct leaf *leaf = reference_overlap(reference, iova + done, 1);

		if (!leaf || leaf->iova != iova + done)
			break;
		done += leaf->size;
		g_array_remove_index_fast(reference->leaves,
					  (guint)(leaf - &g_array_index(reference->leaves, struct leaf, 0)));
	}
	return done;
}

static int compare_leaves(const void *a, const void *b)
{
	const struct leaf *one = a, *two = b;

	return one->iova < two->iova ? -1 : one->iova > two->iova;
}

static void collect_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			 uint64_t raw)
{
	struct leaf leaf = {iova, paddr, size, prot};

	g_array_append_val((GArray *)data, leaf);
}

static GArray *collect(const struct pgtable *pt)
{
	GArray *leaves = g_array_new(FALSE, TRUE, sizeof(struct leaf));

	pgtable_dump(pt, collect_leaf, leaves);
	return leaves;
}

static void assert_same_leaves(GArray *got, GArray *expected)
{
	g_array_sort(expected, compare_leaves);
	g_assert_cmpuint(got->len, ==, expected->len);
	for (guint i = 0; i < got->len; i++) {
		const struct leaf *one = &g_array_index(got, struct leaf, i);
		const struct leaf *two = &g_array_index(expected, struct leaf, i);

		g_assert_cmphex(one->iova, ==, two->iova);
		g_assert_cmphex(one->paddr, ==, two->paddr);
		g_assert_cmphex(one->size, ==, two->size);
		g_assert_cmphex(one->prot, ==, two->prot);
	}
}

static void count_table(void *data, const char *path, unsigned level, uint64_t paddr, uint32_t entries)
{
	(*(unsigned *)data)++;
}

/** Compares the table with @reference, and the pages it counts with those that can be reached. */
static void assert_as_reference(const struct fixture *fixture, const struct reference *reference)
{
	g_autoptr(GArray) got = collect(fixture->pt);
	unsigned tables = 0;
	struct pgtable_visitor visitor = {.table = count_table, .data = &tables};

	assert_same_leaves(got, reference->leaves);
	pgtable_visit(fixture->pt, &visitor);
	g_assert_cmpuint(tables, ==, fixture->pt->table_pages);
	g_assert_cmpuint(tables + fixture->gather.free_count, ==, fixture->sim->mem.in_use[FRAME_PGTABLE]);
}

/* Conformance. */

static void test_every_page_size_maps_walks_and_unmaps(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t smallest = UINT64_C(1) << size_lg2_smallest(pt);
	unsigned sizes = 0;

	for (unsigned lg2 = 0; lg2 < 64; lg2++) {
		uint64_t size = UINT64_C(1) << lg2, iova = 2 * size, paddr = 6 * size;
		struct pgtable_walk walk;
		g_autoptr(GArray) leaves = NULL;

		if (!(pt->page_sizes & size))
			continue;
		if (iova > iova_last(pt) - (size - 1))
			iova = size;
		if ((paddr + size - 1) >> pt->config.oas_bits)
			paddr = size;
		map_ok(fixture, iova, paddr, size);
		leaves = collect(pt);
		g_assert_cmpuint(leaves->len, ==, 1);
		g_assert_cmphex(g_array_index(leaves, struct leaf, 0).iova, ==, iova);
		g_assert_cmphex(g_array_index(leaves, struct leaf, 0).size, ==, size);
		g_assert_true(pt->ops->walk(pt, iova + size - 1, &walk));
		g_assert_cmphex(walk.paddr, ==, paddr + size - 1);
		g_assert_cmphex(walk.leaf_size, ==, size);
		g_assert_cmpuint(walk.prot, ==, READ_WRITE);
		g_assert_cmpuint(walk.levels_touched, ==, pt->config.top_level + 1 - walk.stop_level);
		g_assert_cmphex(walk.table[pt->config.top_level], ==, pt->root_paddr);
		g_assert_cmphex(phys(fixture, iova), ==, paddr);
		g_assert_cmphex(phys(fixture, iova - 1), ==, 0);
		g_assert_cmphex(phys(fixture, iova + size), ==, 0);
		if (size > smallest)
			g_assert_cmphex(unmap(fixture, iova + smallest, smallest), ==, 0);
		g_assert_cmphex(unmap(fixture, iova, smallest), ==, size);
		g_assert_cmphex(phys(fixture, iova), ==, 0);
		g_assert_cmphex(phys(fixture, iova + size - 1), ==, 0);
		map_ok(fixture, iova, paddr, size);
		g_assert_cmphex(unmap(fixture, iova, size), ==, size);
		sizes++;
	}
	g_assert_cmpuint(sizes, ==, (unsigned)__builtin_popcountll(pt->page_sizes));
}

static void test_map_over_mapped_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt), mapped = 1;
	uint64_t largest = size_large(fixture->pt);

	map_ok(fixture, 8 * page, 100 * page, 4 * page);
	g_assert_cmpint(map(fixture, 9 * page, 200 * page, page, READ_WRITE, &mapped), ==, -EADDRINUSE);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpint(map(fixture, 4 * page, 300 * page, 8 * page, READ_WRITE, &mapped), ==, -EADDRINUSE);
	g_assert_cmphex(mapped, ==, 4 * page);
	g_assert_cmphex(phys(fixture, 8 * page), ==, 100 * page);
	g_assert_cmphex(phys(fixture, 7 * page), ==, 303 * page);
	/* A large page over a table of small ones, and the reverse. */
	g_assert_cmpint(map(fixture, 0, 0, largest, READ_WRITE, &mapped), ==, -EADDRINUSE);
	g_assert_cmphex(mapped, ==, 0);
	map_ok(fixture, largest, 4 * largest, largest);
	g_assert_cmpint(map(fixture, largest + page, page, page, READ_WRITE, &mapped), ==, -EADDRINUSE);
	g_assert_cmphex(phys(fixture, largest + page), ==, 4 * largest + page);
}

static void test_out_of_range_is_refused(struct fixture *fixture, const void *data)
{
	const struct pgtable_config *config = &fixture->pt->config;
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt), mapped = 1;
	uint64_t end = iova_last(fixture->pt) + 1;

	if (end) {
		g_assert_cmpint(map(fixture, end, page, page, READ_WRITE, &mapped), ==, -ERANGE);
		g_assert_cmphex(mapped, ==, 0);
		g_assert_cmpint(map(fixture, end - page, page, 2 * page, READ_WRITE, &mapped), ==, -ERANGE);
		g_assert_cmphex(unmap(fixture, end, page), ==, 0);
		g_assert_true(pgtable_gather_empty(&fixture->gather));
		g_assert_cmphex(phys(fixture, end), ==, 0);
	}
	g_assert_cmpuint(fixture->pt->table_pages, ==, 1);
	g_assert_cmpint(map(fixture, page, UINT64_C(1) << config->oas_bits, page, READ_WRITE, &mapped), ==,
			-ERANGE);
	g_assert_cmpint(map(fixture, page, page, 0, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmpint(map(fixture, -page, page, 2 * page, READ_WRITE, &mapped), ==, -EOVERFLOW);
	g_assert_cmpint(map(fixture, page + 1, page, page, READ_WRITE, &mapped), ==, -ENXIO);
	map_ok(fixture, end - page, page, page);
	g_assert_cmphex(phys(fixture, end - 1), ==, 2 * page - 1);
}

static void test_no_permission_is_refused_with_a_warning(struct fixture *fixture, const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt), mapped = 1;

	g_assert_cmpint(map(fixture, page, page, page, PROT_CACHE, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_KERNEL_WARNING], ==, 1);
	g_assert_cmpuint(fixture->pt->table_pages, ==, 1);
}

static void test_read_only_is_refused_where_write_is_forced(struct fixture *fixture, const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt), mapped = 1;
	int err = map(fixture, page, page, page, PROT_READ, &mapped);

	g_assert_cmpint(err, ==, fixture->pt->config.force_writeable ? -EINVAL : 0);
	g_assert_cmphex(mapped, ==, err ? 0 : page);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_KERNEL_WARNING], ==, 0);
}

static void test_large_page_replaces_an_empty_table(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = UINT64_C(1) << size_lg2_smallest(pt);
	uint64_t largest = size_large(pt);
	uint64_t generation = pt->table_generation, tables;

	map_ok(fixture, largest + page, page, page);
	g_assert_cmphex(unmap(fixture, largest + page, page), ==, page);
	tables = pt->table_pages;
	map_ok(fixture, largest, 0, largest);
	g_assert_cmpuint(pt->table_pages, <, tables);
	g_assert_cmpuint(pt->table_generation, >, generation);
	/* What was remembered of the table that went must not be used: these would be found there. */
	g_assert_cmphex(phys(fixture, largest + page), ==, page);
	g_assert_cmphex(unmap(fixture, largest + page, page), ==, 0);
}

static void test_unmap_frees_the_tables_it_covers(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = UINT64_C(1) << size_lg2_smallest(pt);
	uint64_t table = UINT64_C(1) << (pt->levels[0].span_lg2 + pt->levels[0].index_lg2);

	/* Not congruent, so of small pages only. */
	map_ok(fixture, table, page, 2 * table);
	g_assert_cmphex(unmap(fixture, table, table - page), ==, table - page);
	g_assert_cmpuint(fixture->gather.free_count, ==, 0);
	map_ok(fixture, table, page, table - page);
	g_assert_cmphex(unmap(fixture, table, 2 * table), ==, 2 * table);
	g_assert_cmpuint(fixture->gather.free_count, ==, 2);
	g_assert_cmphex(fixture->gather.start, ==, table);
	g_assert_cmphex(fixture->gather.end, ==, 3 * table - 1);
	g_assert_cmphex(phys(fixture, table), ==, 0);
	map_ok(fixture, table, page, page);
	g_assert_cmphex(phys(fixture, table), ==, page);
}

static void test_unmap_of_a_larger_page_takes_it_whole_or_not_at_all(struct fixture *fixture,
								     const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt);
	uint64_t largest = size_large(fixture->pt);

	map_ok(fixture, largest, largest, largest);
	g_assert_cmphex(unmap(fixture, largest + page, page), ==, 0);
	g_assert_true(pgtable_gather_empty(&fixture->gather));
	g_assert_cmphex(unmap(fixture, largest, page), ==, largest);
	g_assert_cmphex(fixture->gather.end, ==, 2 * largest - 1);
}

static void test_unmap_stops_at_a_hole(struct fixture *fixture, const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt);

	map_ok(fixture, 0, page, 3 * page);
	map_ok(fixture, 4 * page, page, page);
	g_assert_cmphex(unmap(fixture, 0, 5 * page), ==, 3 * page);
	g_assert_cmphex(phys(fixture, 4 * page), ==, page);
	g_assert_cmphex(unmap(fixture, 0, page), ==, 0);
}

/* What Linux 7.0 does, recorded as "unmap 0x0 ... gather start=0x0 end=0xffffffffffffffff". */
static void test_unmap_of_nothing_at_zero_gathers_everything(struct fixture *fixture, const void *data)
{
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt);

	g_assert_cmphex(unmap(fixture, page, page), ==, 0);
	g_assert_true(pgtable_gather_empty(&fixture->gather));
	g_assert_cmphex(unmap(fixture, 0, page), ==, 0);
	g_assert_false(pgtable_gather_empty(&fixture->gather));
	g_assert_cmphex(fixture->gather.end, ==, UINT64_MAX);
}

static void test_queued_gather_has_pages_but_no_range(struct fixture *fixture, const void *data)
{
	const struct pgtable_level *last = &fixture->pt->levels[0];
	uint64_t page = UINT64_C(1) << last->span_lg2, table = page << last->index_lg2;

	map_ok(fixture, table, page, table);
	fixture->gather.queued = true;
	g_assert_cmphex(unmap(fixture, table, table), ==, table);
	g_assert_true(pgtable_gather_empty(&fixture->gather));
	g_assert_cmpuint(fixture->gather.free_count, ==, 1);
}

/* iommu_pages_list_splice() puts the pages of a later call first. */
static void test_pages_of_a_later_unmap_are_freed_first(struct fixture *fixture, const void *data)
{
	const struct pgtable_level *last = &fixture->pt->levels[0];
	uint64_t page = UINT64_C(1) << last->span_lg2, table = page << last->index_lg2, pages[4];
	struct pgtable_walk walk;

	for (unsigned i = 0; i < 4; i++) {
		map_ok(fixture, i * table, page, table);
		g_assert_true(fixture->pt->ops->walk(fixture->pt, i * table, &walk));
		pages[i] = walk.table[0];
	}
	g_assert_cmphex(unmap(fixture, 0, 2 * table), ==, 2 * table);
	g_assert_cmphex(unmap(fixture, 2 * table, 2 * table), ==, 2 * table);
	g_assert_cmpuint(fixture->gather.free_count, ==, 4);
	for (unsigned i = 0; i < 4; i++)
		g_assert_cmphex(fixture->gather.freelist[i], ==, pages[(i + 2) % 4]);
}

static void test_work_is_charged_per_entry_and_page(struct fixture *fixture, const void *data)
{
	const uint64_t *work = fixture->sim->work;
	uint64_t page = UINT64_C(1) << size_lg2_smallest(fixture->pt), writes, pages;

	map_ok(fixture, 0, page, page);
	g_assert_cmpuint(work[WORK_PT_PAGE], ==, fixture->pt->table_pages);
	g_assert_cmpuint(work[WORK_PTE_WRITE], ==, fixture->pt->table_pages - 1 + 1);
	g_assert_cmpuint(work[WORK_PTE_WRITE], ==, fixture->pt->pte_writes);
	writes = work[WORK_PTE_WRITE];
	pages = work[WORK_PT_PAGE];
	map_ok(fixture, page, 2 * page, 8 * page);
	unmap(fixture, page, 8 * page);
	g_assert_cmpuint(work[WORK_PTE_WRITE] - writes, ==, 16);
	g_assert_cmpuint(work[WORK_PT_PAGE], ==, pages);
}

static void test_walk_from_a_remembered_table(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	struct pgtable_walk walk, again;
	uint64_t page = UINT64_C(1) << pt->levels[0].span_lg2, span = page << pt->levels[0].index_lg2;

	map_ok(fixture, 0, 2 * page, span);
	g_assert_true(pt->ops->walk(pt, 5 * page, &walk));
	g_assert_cmphex(walk.raw, ==, pgtable_entry_raw(pt, walk.entry));
	for (unsigned level = 0; level <= pt->config.top_level; level++) {
		g_assert_true(pt->ops->walk_from(pt, 5 * page + 3, level, walk.table[level], &again));
		g_assert_cmphex(again.paddr, ==, 7 * page + 3);
		g_assert_cmpuint(again.levels_touched, ==, level + 1);
	}
	/* Taken out it is still memory, and read; once freed it is neither. */
	g_assert_cmphex(unmap(fixture, 0, span), ==, span);
	g_assert_false(pt->ops->walk_from(pt, 5 * page, 0, walk.table[0], &again));
	g_assert_cmpuint(again.levels_touched, ==, 1);
	pgtable_gather_free(fixture->sim, &fixture->gather);
	g_assert_false(pt->ops->walk_from(pt, 5 * page, 0, walk.table[0], &again));
	g_assert_cmpuint(again.levels_touched, ==, 0);
}

static void test_both_ends_of_a_signed_space_are_mapped(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = UINT64_C(1) << size_lg2_smallest(pt), last = iova_last(pt), mapped;
	g_autoptr(GArray) leaves = NULL;

	if (!pt->config.sign_extend)
		return;
	map_ok(fixture, last + 1 - page, page, page);
	map_ok(fixture, ~last, 2 * page, page);
	map_ok(fixture, -page, 3 * page, page);
	g_assert_cmpint(map(fixture, ~last - page, page, page, READ_WRITE, &mapped), ==, -ERANGE);
	g_assert_cmphex(phys(fixture, ~last), ==, 2 * page);
	g_assert_cmphex(phys(fixture, UINT64_MAX), ==, 4 * page - 1);
	g_assert_cmphex(phys(fixture, ~last - 1), ==, 0);
	leaves = collect(pt);
	g_assert_cmpuint(leaves->len, ==, 3);
	g_assert_cmphex(g_array_index(leaves, struct leaf, 0).iova, ==, last + 1 - page);
	g_assert_cmphex(g_array_index(leaves, struct leaf, 1).iova, ==, ~last);
	g_assert_cmphex(g_array_index(leaves, struct leaf, 2).iova, ==, -page);
	g_assert_cmphex(unmap(fixture, -page, page), ==, page);
	g_assert_cmphex(unmap(fixture, ~last, page), ==, page);
}

/** Draws an address of a few small areas, so that calls meet. */
static uint64_t draw_iova(struct prng *prng, const struct pgtable *pt)
{
	uint64_t last = iova_last(pt);
	uint64_t areas[] = {0,
			    510 * MIB,
			    GIB - 2 * MIB,
			    last / 2 + 1,
			    last + 1 - 6 * MIB,
			    pt->config.sign_extend ? -6 * MIB : 0};
	uint64_t area = areas[prng_below(prng, G_N_ELEMENTS(areas))], at = 0;

	switch (prng_below(prng, 4)) {
	case 0: /* where 2 MiB and 1 GiB fit */
		at = prng_below(prng, 3) * 2 * MIB;
		break;
	case 1: /* near a table's end */
		at = 2 * MIB - (1 + prng_below(prng, 8)) * 4 * KIB;
		break;
	default:
		at = prng_below(prng, 1024) * 4 * KIB;
	}
	return area + at;
}

static uint64_t draw_len(struct prng *prng)
{
	static const uint64_t lens[] = {4 * KIB,   4 * KIB, 8 * KIB, 32 * KIB,
					128 * KIB, 2 * MIB, 2 * MIB, 2 * MIB + 12 * KIB,
					4 * MIB,   5 * MIB};

	return lens[prng_below(prng, G_N_ELEMENTS(lens))];
}

/** Returns how much of @len there is from @iova to the end of the space, or of its half. */
static uint64_t len_fitting(const struct pgtable *pt, uint64_t iova, uint64_t len)
{
	uint64_t last = iova <= iova_last(pt) ? iova_last(pt) : UINT64_MAX;

	return MIN(len - 1, last - iova) + 1;
}

static void random_step(struct fixture *fixture, struct reference *reference, struct prng *prng)
{
	uint64_t iova = draw_iova(prng, fixture->pt), len = draw_len(prng), mapped, expected;
	uint64_t paddr = 16 * GIB + prng_below(prng, 1 << 20) * 4 * KIB;

	len = len_fitting(fixture->pt, iova, len);
	/* Congruent in every other call, so that larger pages fit. */
	if (prng_below(prng, 2))
		paddr = (paddr & ~(2 * MIB - 1)) | (iova & (2 * MIB - 1));
	if (prng_below(prng, 5) < 3) {
		unsigned prot = prng_below(prng, 2) ? READ_WRITE : PROT_WRITE;
		unsigned kept = fixture->variant->write_reads ? prot | PROT_READ : prot;
		int err = reference_map(reference, iova, paddr, len, kept, &expected);

		g_assert_cmpint(map(fixture, iova, paddr, len, prot, &mapped), ==, err);
		g_assert_cmphex(mapped, ==, expected);
		if (err)
			g_assert_cmphex(unmap(fixture, iova, mapped), ==,
					reference_unmap(reference, iova, mapped));
	} else {
		struct leaf *known = reference->leaves->len
					     ? &g_array_index(reference->leaves, struct leaf,
							      prng_below(prng, reference->leaves->len))
					     : NULL;

		if (known && prng_below(prng, 4))
			iova = known->iova;
		len = len_fitting(fixture->pt, iova, len);
		g_assert_cmphex(unmap(fixture, iova, len), ==, reference_unmap(reference, iova, len));
	}
	if (prng_below(prng, 3) == 0)
		pgtable_gather_free(fixture->sim, &fixture->gather);
}

static void test_random_calls_as_a_list_of_leaves(struct fixture *fixture, const void *data)
{
	struct reference reference = {fixture->pt->page_sizes, g_array_new(FALSE, TRUE, sizeof(struct leaf))};
	struct prng prng;

	prng_init(&prng, 7, "pgtable");
	for (unsigned step = 0; step < 1500; step++) {
		uint64_t iova = draw_iova(&prng, fixture->pt) + prng_below(&prng, 4096);
		const struct leaf *leaf;

		random_step(fixture, &reference, &prng);
		leaf = reference_overlap(&reference, iova, 1);
		g_assert_cmphex(phys(fixture, iova), ==, leaf ? leaf->paddr + (iova - leaf->iova) : 0);
		if (step % 50 == 0)
			assert_as_reference(fixture, &reference);
	}
	assert_as_reference(fixture, &reference);
	g_array_unref(reference.leaves);
}

/* Makes pass @nth of pgtable.page fail, counted from now. */
static struct fault_rules *arm_nth(struct sim *sim, unsigned nth)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	g_autofree char *text = g_strdup_printf("[fault page]\npoint = pgtable.page\nnth = %u\n", nth),
			*path = NULL;
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;
	int file = g_file_open_tmp("faults-XXXXXX", &path, &error);

	g_assert_no_error(error);
	g_assert_true(g_close(file, NULL));
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	fault_rules_load(rules, path, &error);
	g_assert_no_error(error);
	g_remove(path);
	fault_rules_arm(rules, sim);
	return rules;
}

/* One map of several tables and page sizes, with something mapped before; the n-th table page of it is
 * refused. */
static void test_every_failing_page_is_reported_and_unwound(struct fixture *fixture, const void *data)
{
	const uint64_t iova = 2 * MIB - 8 * KIB, paddr = 6 * MIB - 8 * KIB, len = 5 * MIB;
	uint64_t before = fixture->sim->fault_passes[FAULT_PGTABLE_PAGE], passes, mapped;
	uint32_t in_use = fixture->sim->mem.in_use[FRAME_PGTABLE];

	map_ok(fixture, iova, paddr, len);
	passes = fixture->sim->fault_passes[FAULT_PGTABLE_PAGE] - before;
	g_assert_cmpuint(passes, >=, 3);
	for (unsigned nth = 1; nth <= passes; nth++) {
		struct reference reference = {fixture->pt->page_sizes,
					      g_array_new(FALSE, TRUE, sizeof(struct leaf))};
		struct fault_rules *rules;
		uint64_t expected;
		g_autoptr(GArray) after = NULL, unwound = NULL;

		teardown(fixture, data);
		setup(fixture, data);
		in_use = fixture->sim->mem.in_use[FRAME_PGTABLE];
		rules = arm_nth(fixture->sim, nth);
		g_assert_cmpint(map(fixture, iova, paddr, len, READ_WRITE, &mapped), ==, -ENOMEM);
		g_assert_cmphex(mapped, <, len);
		fault_rules_arm(NULL, fixture->sim);
		fault_rules_free(rules);
		/* Leaves are chosen for the whole length: those of the prefix are the first of the whole
		 * map's. */
		g_assert_cmpint(reference_map(&reference, iova, paddr, len, READ_WRITE, &expected), ==, 0);
		for (guint i = reference.leaves->len; i-- > 0;)
			if (g_array_index(reference.leaves, struct leaf, i).iova >= iova + mapped)
				g_array_remove_index(reference.leaves, i);
		after = collect(fixture->pt);
		assert_same_leaves(after, reference.leaves);
		g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, in_use + nth - 1);
		if (mapped)
			g_assert_cmphex(unmap(fixture, iova, mapped), ==, mapped);
		unwound = collect(fixture->pt);
		g_assert_cmpuint(unwound->len, ==, 0);
		map_ok(fixture, iova, paddr, len);
		g_array_unref(reference.leaves);
	}
}

/* AMD's driver starts with three levels, which reach 2^39. */

static void count_change_top(struct pgtable *pt, void *data)
{
	(*(unsigned *)data)++;
}

static void test_root_rises_as_far_as_needed(struct fixture *fixture, const void *data)
{
	struct pgtable *pt = fixture->pt;
	uint64_t first_root = pt->root_paddr, high = UINT64_C(1) << 50, page = 4 * KIB;
	struct pgtable_walk walk;
	unsigned changes = 0;

	pt->change_top = count_change_top;
	pt->sync_data = &changes;
	map_ok(fixture, 3 * page, page, page);
	g_assert_cmphex(phys(fixture, high), ==, 0);
	g_assert_cmphex(unmap(fixture, high, page), ==, 0);
	g_assert_true(pgtable_gather_empty(&fixture->gather));
	g_assert_cmpuint(changes, ==, 0);
	map_ok(fixture, high, 2 * page, page);
	g_assert_cmpuint(changes, ==, 1);
	g_assert_cmpuint(pt->config.top_level, ==, 4);
	g_assert_true(pt->ops->walk(pt, 3 * page, &walk));
	g_assert_cmphex(walk.paddr, ==, page);
	g_assert_cmphex(walk.table[4], ==, pt->root_paddr);
	g_assert_cmphex(walk.table[2], ==, first_root);
	g_assert_cmphex(phys(fixture, high + 1), ==, 2 * page + 1);
	/* Once risen it stays. */
	g_assert_cmphex(unmap(fixture, high, page), ==, page);
	map_ok(fixture, -page, page, page);
	g_assert_cmpuint(changes, ==, 2);
	g_assert_cmpuint(pt->config.top_level, ==, 5);
	g_assert_cmphex(phys(fixture, UINT64_MAX), ==, 2 * page - 1);
}

static void test_root_stays_where_a_page_is_refused(struct fixture *fixture, const void *data)
{
	struct pgtable *pt = fixture->pt;
	uint64_t root = pt->root_paddr, high = UINT64_C(1) << 60, page = 4 * KIB, mapped;
	unsigned changes = 0;

	pt->change_top = count_change_top;
	pt->sync_data = &changes;
	for (unsigned nth = 1; nth <= 3; nth++) {
		struct fault_rules *rules = arm_nth(fixture->sim, nth);

		g_assert_cmpint(map(fixture, high, page, page, READ_WRITE, &mapped), ==, -ENOMEM);
		fault_rules_arm(NULL, fixture->sim);
		fault_rules_free(rules);
		g_assert_cmpuint(changes, ==, 0);
		g_assert_cmphex(pt->root_paddr, ==, root);
		g_assert_cmpuint(pt->config.top_level, ==, 2);
		g_assert_cmpuint(pt->table_pages, ==, 1);
		g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 1);
	}
	map_ok(fixture, high, page, page);
	g_assert_cmpuint(changes, ==, 1);
}

static void test_root_rises_for_a_page_that_needs_it(struct fixture *fixture, const void *data)
{
	struct pgtable_walk walk;

	/* In reach of four levels, but a page of 2^48 bytes is an entry of the fifth. */
	map_ok(fixture, 0, 0, UINT64_C(1) << 48);
	g_assert_cmpuint(fixture->pt->config.top_level, ==, 4);
	g_assert_true(fixture->pt->ops->walk(fixture->pt, 12345, &walk));
	g_assert_cmphex(walk.paddr, ==, 12345);
	g_assert_cmphex(walk.leaf_size, ==, UINT64_C(1) << 48);
}

static void test_failing_root_is_reported(void)
{
	struct sim *sim = sim_new(1, 1);
	struct fault_rules *rules = arm_nth(sim, 1);
	struct pgtable *pt = NULL;

	g_assert_cmpint(pgtable_new(sim, pgtable_format("vtdss"), &variant_find("vtdss")->config, &pt), ==,
			-ENOMEM);
	g_assert_null(pt);
	g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	fault_rules_free(rules);
	sim_free(sim);
}

static void test_impossible_geometry_is_refused(void)
{
	static const struct {
		const char *format;
		struct pgtable_config config;
	} bad[] = {
		{"vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 1}},
		{"vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 5}},
		{"vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 2}},
		{"vtdss", {.ias_bits = 48, .oas_bits = 53, .top_level = 3}},
		{"vtdss", {.ias_bits = 48, .oas_bits = 52, .top_level = 3, .sign_extend = true}},
		{"amdv1", {.ias_bits = 64, .oas_bits = 53, .top_level = 2, .dynamic_top = true}},
		{"amdv1", {.ias_bits = 64, .oas_bits = 52, .top_level = 6, .dynamic_top = true}},
		{"amdv1", {.ias_bits = 48, .oas_bits = 52, .top_level = 3, .incoherent = true}},
		{"x86_64", {.ias_bits = 39, .oas_bits = 52, .top_level = 2}},
		{"x86_64", {.ias_bits = 48, .oas_bits = 52, .top_level = 3, .dynamic_top = true}},
		{"riscv_64", {.ias_bits = 48, .oas_bits = 56, .top_level = 2}},
		{"riscv_64", {.ias_bits = 47, .oas_bits = 56, .top_level = 3}},
		{"riscv_64", {.ias_bits = 48, .oas_bits = 57, .top_level = 3}},
	};
	struct sim *sim = sim_new(1, 1);
	struct pgtable *pt;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_cmpint(pgtable_new(sim, pgtable_format(bad[i].format), &bad[i].config, &pt), ==,
				-EINVAL);
	sim_free(sim);
}

static void test_two_tables_never_share_a_generation(void)
{
	struct sim *sim = sim_new(1, 1);
	struct pgtable *one, *two;
	uint64_t generation;

	g_assert_cmpint(pgtable_new(sim, pgtable_format("vtdss"), &variant_find("vtdss")->config, &one), ==,
			0);
	generation = one->table_generation;
	pgtable_free(one);
	g_assert_cmpint(pgtable_new(sim, pgtable_format("vtdss"), &variant_find("vtdss")->config, &two), ==,
			0);
	g_assert_cmpuint(two->table_generation >> 32, !=, generation >> 32);
	pgtable_free(two);
	sim_free(sim);
}

static void test_every_format_has_a_variant(void)
{
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++) {
		bool found = false;

		for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
			found |= strcmp(variants[i].format, (*format)->name) == 0;
		/* The others are in test-io-pgtable. */
		g_assert_cmpint(found, ==, (*format)->map_range != NULL);
	}
	g_assert_null(pgtable_format("no-such-format"));
}

static void test_recordings(const void *prefix)
{
	golden_check_all(prefix, pgtable_golden_emit);
}

static void test_unusable_recordings_are_refused_by_line(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"case a\nmap 0x1000 0x1000 0x1000 1 rw\n", "f:2: no table has been set up"},
		{"cfg fmt=unheard\n", "f:1: cfg of a format that is not modelled"},
		{"cfg fmt=vtdss ias=4x level=3\n", "f:1: ias is not a number: 4x"},
		{"cfg fmt=vtdss ias=65 oas=52 level=3\n", "f:1: impossible geometry"},
		{"\nfly 0x1000\n", "f:2: unknown op"},
		{"cfg fmt=vtdss ias=48 oas=52 level=3\nmap 0x1000\n", "f:2: missing or unreadable number"},
		{"cfg fmt=vtdss ias=48 oas=52 level=3\nmap 0x1000 0x1000 0x1000 1 rq\n",
		 "f:2: protection is not of the letters rwcxmp"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(pgtable_golden_emit("f", cases[i].text, strlen(cases[i].text), out, &error));
		g_assert_cmpstr(error->message, ==, cases[i].message);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} conformance[] = {
		{"every-page-size-maps-walks-and-unmaps", test_every_page_size_maps_walks_and_unmaps},
		{"map-over-mapped-is-refused", test_map_over_mapped_is_refused},
		{"out-of-range-is-refused", test_out_of_range_is_refused},
		{"no-permission-is-refused-with-a-warning", test_no_permission_is_refused_with_a_warning},
		{"read-only-is-refused-where-write-is-forced",
		 test_read_only_is_refused_where_write_is_forced},
		{"large-page-replaces-an-empty-table", test_large_page_replaces_an_empty_table},
		{"unmap-frees-the-tables-it-covers", test_unmap_frees_the_tables_it_covers},
		{"unmap-of-a-larger-page-takes-it-whole-or-not-at-all",
		 test_unmap_of_a_larger_page_takes_it_whole_or_not_at_all},
		{"unmap-stops-at-a-hole", test_unmap_stops_at_a_hole},
		{"unmap-of-nothing-at-zero-gathers-everything",
		 test_unmap_of_nothing_at_zero_gathers_everything},
		{"queued-gather-has-pages-but-no-range", test_queued_gather_has_pages_but_no_range},
		{"pages-of-a-later-unmap-are-freed-first", test_pages_of_a_later_unmap_are_freed_first},
		{"work-is-charged-per-entry-and-page", test_work_is_charged_per_entry_and_page},
		{"walk-from-a-remembered-table", test_walk_from_a_remembered_table},
		{"random-calls-as-a-list-of-leaves", test_random_calls_as_a_list_of_leaves},
		{"both-ends-of-a-signed-space-are-mapped", test_both_ends_of_a_signed_space_are_mapped},
		{"every-failing-page-is-reported-and-unwound",
		 test_every_failing_page_is_reported_and_unwound},
	};

	static const char *const recordings[] = {"amdv1-", "riscv64-", "vtdss-", "x86_64-"};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		for (unsigned j = 0; j < G_N_ELEMENTS(conformance); j++) {
			g_autofree char *path = g_strdup_printf("/iommu/pgtable/%s/%s", variants[i].name,
								conformance[j].name);

			g_test_add(path, struct fixture, &variants[i], setup, conformance[j].run, teardown);
		}
	g_test_add_func("/iommu/pgtable/every-format-has-a-variant", test_every_format_has_a_variant);
	g_test_add_func("/iommu/pgtable/failing-root-is-reported", test_failing_root_is_reported);
	g_test_add_func("/iommu/pgtable/impossible-geometry-is-refused", test_impossible_geometry_is_refused);
	g_test_add("/iommu/pgtable/amdv1/root-rises-as-far-as-needed", struct fixture, variant_find("amdv1"),
		   setup, test_root_rises_as_far_as_needed, teardown);
	g_test_add("/iommu/pgtable/amdv1/root-stays-where-a-page-is-refused", struct fixture,
		   variant_find("amdv1"), setup, test_root_stays_where_a_page_is_refused, teardown);
	g_test_add("/iommu/pgtable/amdv1/root-rises-for-a-page-that-needs-it", struct fixture,
		   variant_find("amdv1"), setup, test_root_rises_for_a_page_that_needs_it, teardown);
	g_test_add_func("/iommu/pgtable/two-tables-never-share-a-generation",
			test_two_tables_never_share_a_generation);
	for (unsigned i = 0; i < G_N_ELEMENTS(recordings); i++) {
		g_autofree char *path =
			g_strdup_printf("/iommu/pgtable/golden/%sbyte-for-byte", recordings[i]);

		g_test_add_data_func(path, recordings[i], test_recordings);
	}
	g_test_add_func("/iommu/pgtable/golden/unusable-recordings-are-refused-by-line",
			test_unusable_recordings_are_refused_by_line);
	return g_test_run();
}
