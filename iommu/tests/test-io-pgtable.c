/* SPDX-License-Identifier: MIT */
/*
 * Page tables of the io-pgtable formats, which refuse, split and free in ways of their own. The conformance cases run
 * for every configuration below, and every such format must have one; random calls are compared with a hash table of
 * single pages. The recordings are compared byte by byte.
 */
#include <errno.h>
#include <stdlib.h>

#include "iommu/pgtable/golden.h"
#include "iommu/pgtable/pgtable-fault.h"
#include "iommu/pgtable/pgtable.h"
#include "iommu/tests/fault-sweep.h"
#include "iommu/tests/golden-files.h"

#define SIZES_4	 (UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30)
#define SIZES_16 (UINT64_C(1) << 14 | UINT64_C(1) << 25)
#define SIZES_64 (UINT64_C(1) << 16 | UINT64_C(1) << 29)
#define SIZE_4T	 (UINT64_C(1) << 42)

/* Makes table pages appear at 2 GiB. */
#define LOW_TABLES ((UINT64_C(1) << 31) - PHYSMEM_BASE)

#define DART_TABLES (UINT64_C(0x880000000) - PHYSMEM_BASE)

static const struct variant {
	const char *name;
	const char *format;
	struct pgtable_config config;
	unsigned top_level;    /* what the widths come to */
	unsigned root_index_lg2;
	bool write_reads;  /* what may be written can be read */
	bool any_iova;	   /* the bits above its width are ignored, and every refusal warns */
	bool page_by_page; /* the format does the pages of a call one after another, each from the root */
	/* A driver's own format: it tells add_page nothing, refuses without a warning what there is room for, and takes
	 * any page size and protection. The rest is of these. */
	bool own;
	int over_err;	    /* of a map over a mapped page */
	int wide_paddr_err; /* of a physical address too wide; 0: its upper bits are ignored */
	bool one_a_call;    /* one page, whatever was asked for */
	bool unmaps_holes;  /* what is not mapped counts as unmapped */
	bool no_perms;	    /* whatever is mapped may be read and written */
} variants[] = {
	{"lpae64s1-4k-48", "arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48}, 3, 9, true},
	{"lpae64s1-4k-39-upper-half",
	 "arm_64_lpae_s1",
	 {.ias_bits = 39, .oas_bits = 48, .quirks = QUIRK_ARM_TTBR1},
	 2,
	 9,
	 true},
	{"lpae64s1-4k-incoherent-ns-hd",
	 "arm_64_lpae_s1",
	 {.ias_bits = 48, .oas_bits = 44, .incoherent = true, .quirks = QUIRK_ARM_NS | QUIRK_ARM_HD},
	 3,
	 9,
	 true},
	{"lpae64s1-16k-47", "arm_64_lpae_s1", {.ias_bits = 47, .oas_bits = 48, .page_sizes = SIZES_16}, 2, 11, true},
	{"lpae64s1-64k-52",
	 "arm_64_lpae_s1",
	 {.ias_bits = 52, .oas_bits = 52, .page_sizes = SIZES_64 | SIZE_4T},
	 2,
	 10,
	 true},
	{"lpae64s2-4k-40-concatenated", "arm_64_lpae_s2", {.ias_bits = 40, .oas_bits = 40}, 2, 10},
	{"lpae64s2-16k-40-concatenated",
	 "arm_64_lpae_s2",
	 {.ias_bits = 40, .oas_bits = 40, .page_sizes = SIZES_16},
	 1,
	 15},
	{"lpae64s2-16k-48-concatenated",
	 "arm_64_lpae_s2",
	 {.ias_bits = 48, .oas_bits = 48, .page_sizes = SIZES_16},
	 2,
	 12},
	{"lpae64s2-4k-48-fwb", "arm_64_lpae_s2", {.ias_bits = 48, .oas_bits = 48, .quirks = QUIRK_ARM_S2FWB}, 3, 9},
	{"lpae32s1", "arm_32_lpae_s1", {.ias_bits = 32, .oas_bits = 40, .incoherent = true}, 2, 2, true},
	{"lpae32s2", "arm_32_lpae_s2", {.ias_bits = 40, .oas_bits = 40}, 2, 10},
	{"mali-40", "arm_mali_lpae", {.ias_bits = 40, .oas_bits = 40}, 3, 9},
	{"dart1-4k-4-roots",
	 "apple_dart",
	 {.ias_bits = 32, .oas_bits = 36, .page_sizes = 1 << 12, .table_offset = DART_TABLES},
	 1,
	 9,
	 .any_iova = true},
	{"dart1-16k", "apple_dart", {.ias_bits = 32, .oas_bits = 36, .table_offset = DART_TABLES}, 1, 11, .any_iova = true},
	{"dart2-16k-36", "apple_dart2", {.ias_bits = 36, .oas_bits = 42, .table_offset = DART_TABLES}, 1, 11, .any_iova = true},
	{"dart2-16k-42", "apple_dart2", {.ias_bits = 42, .oas_bits = 42, .table_offset = DART_TABLES}, 2, 11, .any_iova = true},
	{"v7s",
	 "arm_v7s",
	 {.ias_bits = 32, .oas_bits = 32, .incoherent = true, .quirks = QUIRK_ARM_NS, .table_offset = LOW_TABLES},
	 1,
	 12,
	 .write_reads = true,
	 .page_by_page = true},
	{"v7s-mtk-34",
	 "arm_v7s",
	 {.ias_bits = 34,
	  .oas_bits = 35,
	  .quirks = QUIRK_NO_PERMS | QUIRK_ARM_MTK_EXT | QUIRK_ARM_MTK_TTBR_EXT,
	  .table_offset = UINT64_C(0x740000000) - PHYSMEM_BASE},
	 1,
	 14,
	 .write_reads = true,
	 .page_by_page = true},
	{"mtk-v1",
	 "mtk_iommu_v1",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 0,
	 20,
	 .page_by_page = true,
	 .own = true,
	 .over_err = -EEXIST,
	 .unmaps_holes = true,
	 .no_perms = true},
	{"sun50i",
	 "sun50i_iommu",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 1,
	 12,
	 .any_iova = true,
	 .own = true,
	 .over_err = -EBUSY,
	 .wide_paddr_err = -EINVAL,
	 .one_a_call = true},
};

#define READ_WRITE (PROT_READ | PROT_WRITE)

struct fixture {
	const struct variant *variant;
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	uint64_t page;	/* size of the smallest page */
	uint64_t block; /* of the next larger one, or where the last level's table ends; of a flat one any such place */
	uint64_t first; /* IOVA */
	uint32_t roots;
	uint64_t walks_flushed, walk_flushed_bytes, pages_added, all_flushed;
};

static void hear_flush_all(void *cookie)
{
	((struct fixture *)cookie)->all_flushed++;
}

static void hear_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	struct fixture *fixture = cookie;

	g_assert_cmphex(granule, ==, fixture->page);
	fixture->walks_flushed++;
	fixture->walk_flushed_bytes += size;
}

static void hear_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	((struct fixture *)cookie)->pages_added++;
	pgtable_gather_add_range(gather, iova, granule);
}

static const struct pgtable_tlb_ops hearing = {hear_flush_all, hear_flush_walk, hear_add_page};

static void setup(struct fixture *fixture, const void *data)
{
	*fixture = (struct fixture){.variant = data, .sim = sim_new(1, 1)};
	g_assert_cmpint(pgtable_new(fixture->sim, pgtable_format(fixture->variant->format),
				    &fixture->variant->config, &fixture->pt),
			==, 0);
	fixture->pt->tlb = &hearing;
	fixture->pt->tlb_cookie = fixture;
	pgtable_gather_init(&fixture->gather);
	fixture->page = fixture->pt->page_sizes & -fixture->pt->page_sizes;
	fixture->block = fixture->page << (fixture->pt->config.top_level ? fixture->pt->levels[0].index_lg2 : 9);
	fixture->first = fixture->pt->first_iova;
	fixture->roots = fixture->pt->table_pages;
}

static void teardown(struct fixture *fixture, const void *data)
{
	pgtable_gather_finish(&fixture->gather);
	pgtable_free(fixture->pt);
	g_assert_cmpuint(fixture->all_flushed, ==, 1);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(fixture->sim);
}

/* IOVAs in these tests count from the table's first one. */

static int map_pages(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t size, uint64_t count,
		     uint64_t *ret_mapped)
{
	return fixture->pt->ops->map_pages(fixture->pt, fixture->first + iova, paddr, size, count, READ_WRITE,
					   ret_mapped);
}

static uint64_t unmap_pages(struct fixture *fixture, uint64_t iova, uint64_t size, uint64_t count)
{
	return fixture->pt->ops->unmap_pages(fixture->pt, fixture->first + iova, size, count, &fixture->gather);
}

static int map(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
	       uint64_t *ret_mapped)
{
	return pgtable_map(fixture->pt, fixture->first + iova, paddr, len, prot, ret_mapped);
}

static void map_ok(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len)
{
	uint64_t mapped;

	g_assert_cmpint(map(fixture, iova, paddr, len, READ_WRITE, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, len);
}

static uint64_t unmap(struct fixture *fixture, uint64_t iova, uint64_t len)
{
	return pgtable_unmap(fixture->pt, fixture->first + iova, len, &fixture->gather);
}

/** Returns where @iova leads, by walk and by lookup, or 0; *@ret_prot is what it may do there. */
static uint64_t phys_prot(const struct fixture *fixture, uint64_t iova, unsigned *ret_prot)
{
	uint64_t paddr = 0, looked_up = 0;
	struct pgtable_walk walk;

	*ret_prot = 0;
	iova += fixture->first;
	if (fixture->pt->ops->walk(fixture->pt, iova, &walk))
		paddr = walk.paddr;
	g_assert_cmpint(fixture->pt->ops->lookup(fixture->pt, iova, &looked_up, ret_prot), ==, paddr != 0);
	g_assert_cmphex(looked_up, ==, paddr);
	g_assert_cmphex(*ret_prot, ==, walk.prot);
	return paddr;
}

static uint64_t phys(const struct fixture *fixture, uint64_t iova)
{
	unsigned prot;

	return phys_prot(fixture, iova, &prot);
}

/** Returns how many pages of @count a format tells its driver of. */
static uint64_t told(const struct fixture *fixture, uint64_t count)
{
	return fixture->variant->own ? 0 : count;
}

static uint64_t warnings(const struct fixture *fixture)
{
	return fixture->sim->findings.count[FINDING_KERNEL_WARNING];
}

struct leaves {
	unsigned count;
	uint64_t iova, paddr, size; /* of the last one */
};

static void count_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	struct leaves *leaves = data;

	*leaves = (struct leaves){leaves->count + 1, iova, paddr, size};
}

static struct leaves leaves_of(const struct fixture *fixture)
{
	struct leaves leaves = {0};

	pgtable_dump(fixture->pt, count_leaf, &leaves);
	return leaves;
}

/* Conformance. */

static void test_geometry_is_what_the_widths_come_to(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	unsigned top_level = pt->config.top_level;

	g_assert_cmpuint(top_level, ==, fixture->variant->top_level);
	g_assert_cmpuint(pt->levels[top_level].index_lg2, ==, fixture->variant->root_index_lg2);
	g_assert_cmphex(pt->first_iova, ==,
			pt->config.quirks & QUIRK_ARM_TTBR1 ? -(UINT64_C(1) << pt->config.ias_bits) : 0);
	g_assert_cmpuint(pt->root_paddr % pgtable_table_bytes(pt, top_level), ==, 0);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==,
			 fixture->roots * MAX(pgtable_table_bytes(pt, top_level) / FRAME_SIZE, 1));
	g_assert_cmpuint(fixture->roots, ==, MAX(pt->root_count, 1));
	g_assert_cmpuint(pt->config.ias_bits, <=, pt->levels[top_level].span_lg2 + pt->levels[top_level].index_lg2 +
							  g_bit_storage(fixture->roots - 1));
}

static void test_every_page_size_maps_walks_and_unmaps(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;

	for (uint64_t sizes = pt->page_sizes; sizes; sizes &= sizes - 1) {
		uint64_t size = sizes & -sizes, iova = 2 * size, paddr = 6 * size;
		struct pgtable_walk walk;
		struct leaves leaves;

		map_ok(fixture, iova, paddr, size);
		leaves = leaves_of(fixture);
		g_assert_cmpuint(leaves.count, ==, 1);
		g_assert_cmphex(leaves.iova, ==, fixture->first + iova);
		g_assert_cmphex(leaves.paddr, ==, paddr);
		g_assert_cmphex(leaves.size, ==, size);
		g_assert_true(pt->ops->walk(pt, fixture->first + iova + size - 1, &walk));
		g_assert_cmphex(walk.paddr, ==, paddr + size - 1);
		g_assert_cmphex(walk.leaf_size, ==, size);
		g_assert_cmpuint(walk.prot, ==, READ_WRITE);
		g_assert_cmpuint(walk.levels_touched, ==, pt->config.top_level + 1 - walk.stop_level);
		g_assert_cmphex(walk.table[pt->config.top_level], ==, pt->root_paddr);
		g_assert_cmphex(walk.raw, ==, pgtable_entry_raw(pt, walk.entry));
		g_assert_cmphex(phys(fixture, iova - 1), ==, 0);
		g_assert_cmphex(phys(fixture, iova + size), ==, 0);
		g_assert_cmphex(unmap(fixture, iova, size), ==, size);
		g_assert_cmphex(phys(fixture, iova), ==, 0);
	}
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_calls_end_with_the_table_and_the_core_goes_on(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, block = fixture->block, iova = block - 2 * page, mapped;
	uint64_t at_once = fixture->variant->page_by_page ? 5 : fixture->variant->one_a_call ? 1 : 2;

	g_assert_cmpint(map_pages(fixture, iova, 7 * page, page, 5, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, at_once * page);
	g_assert_cmphex(unmap_pages(fixture, iova, page, 5), ==, at_once * page);
	map_ok(fixture, iova, 7 * page, 5 * page);
	g_assert_cmphex(phys(fixture, iova + 4 * page), ==, 11 * page);
	g_assert_cmphex(unmap(fixture, iova, 5 * page), ==, 5 * page);
	g_assert_cmpuint(fixture->pages_added, ==, told(fixture, at_once + 5));
	g_assert_cmphex(fixture->gather.start, ==, fixture->first + iova);
	g_assert_cmphex(fixture->gather.end, ==, fixture->first + iova + 5 * page - 1);
}

/* Small pages up to where a larger one fits, that one, and the rest. */
static void test_core_chooses_the_largest_pages(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, block = fixture->block, len = 2 * page + block + page;
	bool fits = fixture->pt->page_sizes & block;

	map_ok(fixture, block - 2 * page, 5 * block - 2 * page, len);
	g_assert_cmpuint(leaves_of(fixture).count, ==, fits ? 4 : len / page);
	g_assert_cmphex(unmap(fixture, block - 2 * page, len), ==, len);
	g_assert_cmpuint(fixture->pages_added, ==, told(fixture, fits ? 4 : len / page));
	g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
	/* Never congruent: small pages only. */
	map_ok(fixture, block, page, block);
	g_assert_cmpuint(leaves_of(fixture).count, ==, block / page);
}

static void test_map_over_mapped_is_refused_and_warns(struct fixture *fixture, const void *data)
{
	const struct variant *variant = fixture->variant;
	uint64_t page = fixture->page, mapped = 1, before = variant->one_a_call ? 0 : 4;
	int over_err = variant->own ? variant->over_err : -EEXIST;

	map_ok(fixture, 8 * page, 100 * page, page);
	g_assert_cmpint(map_pages(fixture, (8 - before) * page, 300 * page, page, 8, &mapped), ==, over_err);
	g_assert_cmphex(mapped, ==, variant->page_by_page ? before * page : 0);
	g_assert_cmpuint(warnings(fixture), ==, variant->own ? 0 : 1);
	g_assert_cmphex(phys(fixture, 7 * page), ==, mapped ? 303 * page : 0);
	g_assert_cmphex(phys(fixture, 8 * page), ==, 100 * page);
	fixture->pt->config.quirks |= QUIRK_NO_WARN;
	g_assert_cmpint(map_pages(fixture, 8 * page, 300 * page, page, 1, &mapped), ==, over_err);
	g_assert_cmpuint(warnings(fixture), ==, variant->own ? 0 : variant->any_iova ? 2 : 1);
}

static void test_page_inside_a_larger_one_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1, warned = 0;

	for (uint64_t sizes = fixture->pt->page_sizes & ~page; sizes; sizes &= sizes - 1) {
		uint64_t size = sizes & -sizes;

		map_ok(fixture, size, 3 * size, size);
		g_assert_cmpint(map_pages(fixture, size + page, page, page, 1, &mapped), ==, -EEXIST);
		g_assert_cmphex(unmap_pages(fixture, size + page, page, 1), ==, 0);
		g_assert_cmphex(unmap_pages(fixture, size, page, 1), ==, 0);
		warned += 3;
		g_assert_cmpuint(warnings(fixture), ==, warned);
		g_assert_cmphex(phys(fixture, size + page), ==, 3 * size + page);
	}
	g_assert_cmpuint(fixture->pages_added, ==, 0);
}

static void test_highest_physical_page_is_reached(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, end = UINT64_C(1) << fixture->pt->config.oas_bits;

	map_ok(fixture, page, end - page, page);
	g_assert_cmphex(phys(fixture, 2 * page - 1), ==, end - 1);
	g_assert_cmphex(leaves_of(fixture).paddr, ==, end - page);
}

static void test_block_takes_the_place_of_a_live_table(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, block = fixture->block, generation = pt->table_generation, tables;

	if (!(pt->page_sizes & block))
		return;
	map_ok(fixture, block + page, 9 * page, page);
	tables = pt->table_pages;
	map_ok(fixture, block, 3 * block, block);
	g_assert_cmpuint(pt->table_pages, ==, tables - 1);
	g_assert_cmpuint(pt->table_generation, >, generation);
	g_assert_cmphex(phys(fixture, block + page), ==, 3 * block + page);
	g_assert_cmpuint(fixture->walks_flushed, ==, 1);
	g_assert_cmphex(fixture->walk_flushed_bytes, ==, block);
	g_assert_cmpuint(fixture->pages_added, ==, 0);
}

static void test_unmap_of_a_block_frees_the_table_there(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, block = fixture->block, tables;
	struct pgtable_walk walk;

	if (!(pt->page_sizes & block))
		return;
	map_ok(fixture, block, page, block);
	g_assert_true(pt->ops->walk(pt, fixture->first + block, &walk));
	tables = pt->table_pages;
	/* Page by page no table goes. */
	g_assert_cmphex(unmap_pages(fixture, block, page, block / page - 1), ==, block - page);
	g_assert_cmpuint(pt->table_pages, ==, tables);
	g_assert_cmphex(unmap_pages(fixture, block, block, 1), ==, block);
	g_assert_cmpuint(pt->table_pages, ==, tables - 1);
	g_assert_cmpuint(fixture->walks_flushed, ==, 1);
	g_assert_cmpuint(fixture->pages_added, ==, block / page - (fixture->variant->page_by_page ? 1 : 0));
	g_assert_cmpuint(fixture->gather.free_count, ==, 0);
	/* What a device remembers of it translates nothing. A part of a page is still memory. */
	g_assert_false(pt->ops->walk_from(pt, fixture->first + block, 0, walk.table[0], &walk));
	g_assert_cmpuint(walk.levels_touched, ==, pgtable_table_bytes(pt, 0) < FRAME_SIZE ? 1 : 0);
}

static void test_walk_from_a_remembered_table(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, iova = fixture->first + 5 * page + 3;
	struct pgtable_walk walk, again;

	map_ok(fixture, 0, 2 * page, 8 * page);
	g_assert_true(pt->ops->walk(pt, iova, &walk));
	for (unsigned level = 0; level <= pt->config.top_level; level++) {
		g_assert_true(pt->ops->walk_from(pt, iova, level, walk.table[level], &again));
		g_assert_cmphex(again.paddr, ==, 7 * page + 3);
		g_assert_cmpuint(again.levels_touched, ==, level + 1);
	}
}

static void test_unmap_stops_at_a_hole_and_warns(struct fixture *fixture, const void *data)
{
	const struct variant *variant = fixture->variant;
	uint64_t page = fixture->page, unmapped;

	map_ok(fixture, 0, page, 3 * page);
	map_ok(fixture, 4 * page, page, page);
	unmapped = variant->one_a_call ? unmap(fixture, 0, 5 * page) : unmap_pages(fixture, 0, page, 5);
	g_assert_cmphex(unmapped, ==, (variant->unmaps_holes ? 5 : 3) * page);
	g_assert_cmpuint(warnings(fixture), ==, variant->own ? 0 : 1);
	g_assert_cmpuint(fixture->pages_added, ==, told(fixture, 3));
	g_assert_cmphex(phys(fixture, 4 * page), ==, variant->unmaps_holes ? 0 : page);
	g_assert_cmphex(unmap_pages(fixture, 0, page, 1), ==, variant->unmaps_holes ? page : 0);
	g_assert_cmpuint(warnings(fixture), ==, variant->own ? 0 : 2);
	g_assert_cmpuint(fixture->pages_added, ==, told(fixture, 3));
}

/* A driver's own format does not ask whether there is an entry, so that where there is none we warn. */
static void test_out_of_range_is_refused_with_a_warning(struct fixture *fixture, const void *data)
{
	const struct pgtable_config *config = &fixture->pt->config;
	const struct variant *variant = fixture->variant;
	uint64_t page = fixture->page, end = UINT64_C(1) << config->ias_bits, mapped = 1;
	unsigned iova_warnings = variant->any_iova ? 0 : 2;

	g_assert_cmphex(phys(fixture, end), ==, 0);
	if (!variant->any_iova) {
		g_assert_cmpint(map_pages(fixture, end, page, page, 1, &mapped), ==, -ERANGE);
		g_assert_cmphex(mapped, ==, 0);
	}
	g_assert_cmpint(map_pages(fixture, page, UINT64_C(1) << config->oas_bits, page, 1, &mapped), ==,
			variant->own ? variant->wide_paddr_err : -ERANGE);
	g_assert_cmphex(mapped, ==, variant->own && !variant->wide_paddr_err ? page : 0);
	g_assert_cmphex(unmap_pages(fixture, end, page, 1), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, variant->own ? iova_warnings : variant->any_iova ? 2 : 3);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
	map_ok(fixture, end - page, page, page);
	g_assert_cmphex(phys(fixture, end - 1), ==, 2 * page - 1);
}

/* But by v7s, which takes any: its recordings have a page of 8 KiB. A driver's own format does not look at it. */
static void test_size_that_the_table_lacks_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1;

	if (fixture->variant->own) {
		g_assert_cmpint(map_pages(fixture, 0, page, 2 * page, 1, &mapped), ==, 0);
		g_assert_cmpuint(leaves_of(fixture).count, ==, 1);
		g_assert_cmphex(unmap_pages(fixture, 0, 2 * page, 1), ==, page);
		g_assert_cmpuint(warnings(fixture), ==, 0);
		return;
	}
	if (fixture->variant->page_by_page)
		return;
	g_assert_cmpint(map_pages(fixture, 0, 0, 2 * page, 1, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmphex(unmap_pages(fixture, 0, 2 * page, 1), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 2);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

static void test_misaligned_and_forbidding_maps_are_refused_silently(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1;

	g_assert_cmpint(map(fixture, page + 1, page, page, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmpint(map(fixture, page, page + 64, page, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmpint(map(fixture, page, page, page + 1, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmphex(unmap(fixture, page + 1, page), ==, 0);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
	g_assert_cmpint(map(fixture, page, page, page, PROT_CACHE, &mapped), ==, fixture->variant->own ? 0 : -EINVAL);
	g_assert_cmphex(mapped, ==, fixture->variant->own ? page : 0);
	g_assert_cmpuint(leaves_of(fixture).count, ==, mapped / page);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_queued_gather_hears_of_no_page(struct fixture *fixture, const void *data)
{
	map_ok(fixture, 0, fixture->page, 4 * fixture->page);
	fixture->gather.queued = true;
	g_assert_cmphex(unmap(fixture, 0, 4 * fixture->page), ==, 4 * fixture->page);
	g_assert_cmpuint(fixture->pages_added, ==, 0);
	g_assert_true(pgtable_gather_empty(&fixture->gather));
}

static void test_without_callbacks_the_range_is_gathered(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page;

	map_ok(fixture, page, page, 4 * page);
	fixture->pt->tlb = NULL;
	g_assert_cmphex(unmap(fixture, page, 4 * page), ==, 4 * page);
	g_assert_cmphex(fixture->gather.start, ==, fixture->first + page);
	g_assert_cmphex(fixture->gather.end, ==, fixture->first + 5 * page - 1);
	fixture->pt->tlb = &hearing;
}

/* The whole range, also behind where the unmap then stops. What a format tells its driver of is gathered by that. */
static void test_core_gathers_where_nobody_does(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, gathered = fixture->variant->own ? 8 : 3;

	map_ok(fixture, page, page, 3 * page);
	g_assert_cmphex(unmap(fixture, page, 8 * page), ==, (fixture->variant->unmaps_holes ? 8 : 3) * page);
	g_assert_cmphex(fixture->gather.start, ==, fixture->first + page);
	g_assert_cmphex(fixture->gather.end, ==, fixture->first + (1 + gathered) * page - 1);
	pgtable_gather_init(&fixture->gather);
	g_assert_cmphex(unmap(fixture, 16 * page, page), ==, fixture->variant->unmaps_holes ? page : 0);
	g_assert_cmpint(pgtable_gather_empty(&fixture->gather), ==, !fixture->variant->unmaps_holes);
}

static void test_work_is_charged_per_entry_and_table(struct fixture *fixture, const void *data)
{
	const uint64_t *work = fixture->sim->work;
	uint64_t page = fixture->page, writes;

	map_ok(fixture, 0, page, page);
	g_assert_cmpuint(work[WORK_PT_PAGE], ==, fixture->pt->table_pages);
	g_assert_cmpuint(work[WORK_PTE_WRITE], ==, fixture->pt->table_pages - fixture->roots + 1);
	writes = work[WORK_PTE_WRITE];
	map_ok(fixture, page, 2 * page, 8 * page);
	unmap(fixture, page, 8 * page);
	g_assert_cmpuint(work[WORK_PTE_WRITE] - writes, ==, 16);
	g_assert_cmpuint(work[WORK_PTE_WRITE], ==, fixture->pt->pte_writes);
}

/* Random calls, and the reference: a hash table of pages. */

struct reference {
	GHashTable *pages; /* IOVA / page -> (physical page << 2 | prot) + 1 */
	uint64_t page;
};

static uint64_t reference_get(const struct reference *reference, uint64_t iova)
{
	return GPOINTER_TO_SIZE(g_hash_table_lookup(reference->pages, GSIZE_TO_POINTER(iova / reference->page)));
}

static void reference_set(struct reference *reference, uint64_t iova, uint64_t paddr, unsigned prot)
{
	g_hash_table_insert(reference->pages, GSIZE_TO_POINTER(iova / reference->page),
			    GSIZE_TO_POINTER((paddr / reference->page << 2 | prot) + 1));
}

static void assert_as_reference(const struct fixture *fixture, const struct reference *reference, uint64_t iova)
{
	uint64_t value = reference_get(reference, iova);
	unsigned prot;

	if (value) {
		g_assert_cmphex(phys_prot(fixture, iova, &prot), ==,
				((value - 1) >> 2) * reference->page + iova % reference->page);
		g_assert_cmphex(prot, ==, (value - 1) & 3);
	} else {
		g_assert_cmphex(phys_prot(fixture, iova, &prot), ==, 0);
	}
}

/** Maps at random where nothing is mapped; elsewhere unmaps what is, as it was mapped or page by page. */
static void random_step(struct fixture *fixture, struct reference *reference, struct prng *prng)
{
	uint64_t page = fixture->page, block = fixture->block, end = UINT64_C(1) << fixture->pt->config.ias_bits;
	uint64_t areas[] = {0, block, end / 2 - 2 * block, end - 8 * block};
	uint64_t iova = areas[prng_below(prng, 4)] + prng_below(prng, 3) * block + prng_below(prng, 4) * page;
	uint64_t len = (1 + prng_below(prng, 6)) * page, paddr = (64 + prng_below(prng, 64)) * block, done;
	unsigned prot = prng_below(prng, 2) ? READ_WRITE : prng_below(prng, 2) ? PROT_READ : PROT_WRITE;
	unsigned found = prot == PROT_WRITE && fixture->variant->write_reads ? READ_WRITE : prot;
	bool free = true;

	if (fixture->pt->config.quirks & QUIRK_NO_PERMS || fixture->variant->no_perms)
		found = READ_WRITE;
	if (prng_below(prng, 8) == 0)
		len += block;
	if (prng_below(prng, 2))
		paddr += iova % block;
	for (uint64_t at = 0; at < len; at += page)
		free &= !reference_get(reference, iova + at);
	if (free) {
		g_assert_cmpint(map(fixture, iova, paddr, len, prot, &done), ==, 0);
		g_assert_cmphex(done, ==, len);
		for (uint64_t at = 0; at < len; at += page)
			reference_set(reference, iova + at, paddr + at, found);
		return;
	}
	/* How far it comes depends on blocks, so only what it says is taken from it, and compared. */
	done = unmap(fixture, iova, len);
	g_assert_cmphex(done, <=, len);
	for (uint64_t at = 0; at < done; at += page)
		g_hash_table_remove(reference->pages, GSIZE_TO_POINTER((iova + at) / page));
}

static void test_random_calls_as_a_table_of_pages(struct fixture *fixture, const void *data)
{
	struct reference reference = {g_hash_table_new(NULL, NULL), fixture->page};
	struct prng prng;
	GHashTableIter iter;
	gpointer key;

	prng_init(&prng, 7, "io-pgtable");
	for (unsigned step = 0; step < 600; step++) {
		random_step(fixture, &reference, &prng);
		for (unsigned i = 0; i < 64; i++)
			assert_as_reference(fixture, &reference,
					    fixture->block * prng_below(&prng, 4) +
						    prng_below(&prng, 8 * fixture->page));
		if (step % 100 != 99)
			continue;
		g_hash_table_iter_init(&iter, reference.pages);
		while (g_hash_table_iter_next(&iter, &key, NULL))
			assert_as_reference(fixture, &reference, GPOINTER_TO_SIZE(key) * fixture->page + 5);
	}
	g_hash_table_unref(reference.pages);
}

/* The n-th table page of a map over two tables is refused; what was mapped is unmapped, and all can be mapped again. */
static void test_every_failing_page_is_reported_and_unwound(struct fixture *fixture, const void *data)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	uint64_t page = fixture->page, iova = fixture->block - 2 * page, fired = 1;

	for (uint64_t nth = 1; fired; nth++) {
		uint32_t before, linked;
		struct fault_rules *rules;
		uint64_t mapped;
		int err;

		teardown(fixture, data);
		setup(fixture, data);
		before = fixture->pt->table_pages;
		rules = sweep_arm(fixture->sim, tables, "pgtable.page", nth);
		err = map(fixture, iova, 7 * page, 4 * page, READ_WRITE, &mapped);
		fired = sweep_disarm(fixture->sim, rules);
		linked = fixture->pt->table_pages - before;
		g_assert_cmpint(err, ==, fired ? -ENOMEM : 0);
		if (fired)
			g_assert_cmpuint(linked, ==, nth - 1);
		else
			g_assert_cmpuint(linked, ==,
					 fixture->pt->config.top_level ? fixture->pt->config.top_level + 1 : 0);
		g_assert_cmphex(mapped, ==, !fired ? 4 * page : linked == fixture->pt->config.top_level ? 2 * page : 0);
		g_assert_cmphex(unmap(fixture, iova, mapped), ==, mapped);
		g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
		map_ok(fixture, iova, 7 * page, 4 * page);
	}
}

/* The rest. */

static void test_every_format_has_a_variant(void)
{
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++) {
		bool found = false;

		for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
			found |= strcmp(variants[i].format, (*format)->name) == 0;
		g_assert_cmpint(found, ==, (*format)->map_pages != NULL);
		g_assert_true(!(*format)->map_pages == !(*format)->unmap_pages);
		g_assert_true(!(*format)->map_pages == !!(*format)->map_range);
	}
}

static void test_impossible_geometry_is_refused(void)
{
	static const struct {
		const char *format;
		struct pgtable_config config;
	} bad[] = {
		{"arm_64_lpae_s1", {.ias_bits = 49, .oas_bits = 48}},
		{"arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 52}},
		{"arm_64_lpae_s1", {.ias_bits = 53, .oas_bits = 48, .page_sizes = SIZES_64}},
		{"arm_64_lpae_s1", {.ias_bits = 12, .oas_bits = 48}},
		{"arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48, .page_sizes = 1 << 13}},
		{"arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48, .quirks = QUIRK_ARM_S2FWB}},
		{"arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48, .quirks = QUIRK_ARM_OUTER_WBWA}},
		{"arm_64_lpae_s2", {.ias_bits = 48, .oas_bits = 48, .quirks = QUIRK_ARM_NS}},
		/* More than 16 tables side by side. */
		{"arm_64_lpae_s2", {.ias_bits = 47, .oas_bits = 40, .page_sizes = SIZES_16}},
		{"arm_32_lpae_s1", {.ias_bits = 33, .oas_bits = 40}},
		{"arm_32_lpae_s1", {.ias_bits = 32, .oas_bits = 41}},
		{"arm_32_lpae_s2", {.ias_bits = 41, .oas_bits = 40}},
		{"arm_mali_lpae", {.ias_bits = 48, .oas_bits = 41}},
		{"arm_mali_lpae", {.ias_bits = 48, .oas_bits = 40, .page_sizes = SIZES_64}},
		{"apple_dart", {.ias_bits = 32, .oas_bits = 40, .table_offset = DART_TABLES}},
		{"apple_dart", {.ias_bits = 42, .oas_bits = 36, .table_offset = DART_TABLES}},
		{"apple_dart", {.ias_bits = 33, .oas_bits = 36, .page_sizes = 1 << 12, .table_offset = DART_TABLES}},
		{"apple_dart", {.ias_bits = 32, .oas_bits = 36, .page_sizes = 5 << 12, .table_offset = DART_TABLES}},
		{"apple_dart", {.ias_bits = 32, .oas_bits = 36, .incoherent = true, .table_offset = DART_TABLES}},
		{"apple_dart", {.ias_bits = 32, .oas_bits = 36}}, /* tables that entries cannot point to */
		{"arm_v7s", {.ias_bits = 33, .oas_bits = 32, .table_offset = LOW_TABLES}},
		{"arm_v7s", {.ias_bits = 32, .oas_bits = 33, .table_offset = LOW_TABLES}},
		{"arm_v7s", {.ias_bits = 32, .oas_bits = 32, .quirks = QUIRK_ARM_HD, .table_offset = LOW_TABLES}},
		{"arm_v7s", {.ias_bits = 32, .oas_bits = 33, .quirks = QUIRK_ARM_MTK_EXT, .table_offset = LOW_TABLES}},
		{"arm_v7s",
		 {.ias_bits = 32,
		  .oas_bits = 32,
		  .quirks = QUIRK_NO_PERMS | QUIRK_ARM_MTK_TTBR_EXT,
		  .table_offset = LOW_TABLES}},
		{"arm_v7s", {.ias_bits = 32, .oas_bits = 32}}, /* tables that entries cannot point to */
		{"mtk_iommu_v1", {.ias_bits = 31, .oas_bits = 32, .table_offset = LOW_TABLES}},
		{"mtk_iommu_v1", {.ias_bits = 32, .oas_bits = 33, .table_offset = LOW_TABLES}},
		{"mtk_iommu_v1", {.ias_bits = 32, .oas_bits = 32}},
		{"sun50i_iommu", {.ias_bits = 33, .oas_bits = 32, .table_offset = LOW_TABLES}},
		{"sun50i_iommu", {.ias_bits = 32, .oas_bits = 40, .table_offset = LOW_TABLES}},
		{"sun50i_iommu", {.ias_bits = 32, .oas_bits = 32}},
	};
	struct sim *sim = sim_new(1, 1);
	struct pgtable *pt = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
		g_assert_cmpint(pgtable_new(sim, pgtable_format(bad[i].format), &bad[i].config, &pt), ==, -EINVAL);
	g_assert_null(pt);
	g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(sim);
}

static void test_lpae_recordings(void)
{
	golden_check_all("lpae", pgtable_golden_emit);
	golden_check_all("mali", pgtable_golden_emit);
}

static void test_v7s_recordings(void)
{
	golden_check_all("v7s", pgtable_golden_emit);
}

static void test_dart_recordings(void)
{
	golden_check_all("dart1-", pgtable_golden_emit);
	golden_check_all("dart2-", pgtable_golden_emit);
}

/* A root that is refused takes those before it along. */
static void test_every_failing_root_is_reported(void)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct sim *sim = sim_new(1, 1);
	uint64_t fired = 1;

	for (uint64_t nth = 1; fired; nth++) {
		struct fault_rules *rules = sweep_arm(sim, tables, "pgtable.page", nth);
		static const struct pgtable_config config = {
			.ias_bits = 32, .oas_bits = 36, .page_sizes = 1 << 12, .table_offset = DART_TABLES};
		struct pgtable *pt = NULL;

		g_assert_cmpint(pgtable_new(sim, pgtable_format("apple_dart"), &config, &pt), ==,
				nth <= 4 ? -ENOMEM : 0);
		fired = sweep_disarm(sim, rules);
		pgtable_free(pt);
		g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	}
	sim_free(sim);
}

static void test_unknown_quirk_is_refused_by_line(void)
{
	static const char text[] = "cfg fmt=arm_64_lpae_s1 ias=48 oas=48 quirks=ns,slow\n";
	g_autoptr(GString) out = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	g_assert_false(pgtable_golden_emit("f", text, strlen(text), out, &error));
	g_assert_cmpstr(error->message, ==, "f:1: unknown quirk");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} conformance[] = {
		{"geometry-is-what-the-widths-come-to", test_geometry_is_what_the_widths_come_to},
		{"every-page-size-maps-walks-and-unmaps", test_every_page_size_maps_walks_and_unmaps},
		{"calls-end-with-the-table-and-the-core-goes-on",
		 test_calls_end_with_the_table_and_the_core_goes_on},
		{"core-chooses-the-largest-pages", test_core_chooses_the_largest_pages},
		{"map-over-mapped-is-refused-and-warns", test_map_over_mapped_is_refused_and_warns},
		{"page-inside-a-larger-one-is-refused", test_page_inside_a_larger_one_is_refused},
		{"highest-physical-page-is-reached", test_highest_physical_page_is_reached},
		{"block-takes-the-place-of-a-live-table", test_block_takes_the_place_of_a_live_table},
		{"unmap-of-a-block-frees-the-table-there", test_unmap_of_a_block_frees_the_table_there},
		{"walk-from-a-remembered-table", test_walk_from_a_remembered_table},
		{"unmap-stops-at-a-hole-and-warns", test_unmap_stops_at_a_hole_and_warns},
		{"out-of-range-is-refused-with-a-warning", test_out_of_range_is_refused_with_a_warning},
		{"size-that-the-table-lacks-is-refused", test_size_that_the_table_lacks_is_refused},
		{"misaligned-and-forbidding-maps-are-refused-silently",
		 test_misaligned_and_forbidding_maps_are_refused_silently},
		{"queued-gather-hears-of-no-page", test_queued_gather_hears_of_no_page},
		{"without-callbacks-the-range-is-gathered", test_without_callbacks_the_range_is_gathered},
		{"core-gathers-where-nobody-does", test_core_gathers_where_nobody_does},
		{"work-is-charged-per-entry-and-table", test_work_is_charged_per_entry_and_table},
		{"random-calls-as-a-table-of-pages", test_random_calls_as_a_table_of_pages},
		{"every-failing-page-is-reported-and-unwound",
		 test_every_failing_page_is_reported_and_unwound},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		for (unsigned j = 0; j < G_N_ELEMENTS(conformance); j++) {
			g_autofree char *path = g_strdup_printf("/iommu/io-pgtable/%s/%s", variants[i].name,
								conformance[j].name);

			g_test_add(path, struct fixture, &variants[i], setup, conformance[j].run, teardown);
		}
	g_test_add_func("/iommu/io-pgtable/every-format-has-a-variant", test_every_format_has_a_variant);
	g_test_add_func("/iommu/io-pgtable/impossible-geometry-is-refused", test_impossible_geometry_is_refused);
	g_test_add_func("/iommu/io-pgtable/golden/lpae-byte-for-byte", test_lpae_recordings);
	g_test_add_func("/iommu/io-pgtable/every-failing-root-is-reported", test_every_failing_root_is_reported);
	g_test_add_func("/iommu/io-pgtable/golden/dart-byte-for-byte", test_dart_recordings);
	g_test_add_func("/iommu/io-pgtable/golden/v7s-byte-for-byte", test_v7s_recordings);
	g_test_add_func("/iommu/io-pgtable/golden/unknown-quirk-is-refused-by-line",
			test_unknown_quirk_is_refused_by_line);
	return g_test_run();
}
