/* SPDX-License-Identifier: MIT */
/*
 * Page tables of the io-pgtable formats and of those that a driver has for itself, which refuse, split and free in ways of
 * their own. The conformance cases run for every configuration below, and every such format must have one; each case says
 * whether it is for formats that do something, or for those that do not. Random calls are compared with tables of single
 * pages. The recordings of the library's formats are compared byte by byte, those of the drivers' in test-hw-*.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* What a format does otherwise than LPAE's stage 2. */
enum variant_flag {
	/* Protection. */
	WRITE_READS = 1 << 0,	    /* what may be written can be read */
	NO_PERMISSIONS = 1 << 1,    /* whatever is mapped may be read and written */
	MAPS_WITHOUT_PROT = 1 << 2, /* what may be neither read nor written is mapped all the same */

	/* Which of its pages a call does; else those up to the end of a table. */
	WHOLE_COUNT = 1 << 3, /* all, one after another, each from the root */
	ONE_A_CALL = 1 << 4,  /* the first, whatever the count */

	/* A page of a size that the table lacks; else it is refused. */
	ANY_SIZE = 1 << 5,	/* is as many entries as it has pages; recorded of 8 KiB */
	SIZE_IS_PAGE = 1 << 6,	/* is of the smallest size */
	SAYS_SIZE = 1 << 7,	/* and an unmap says that it was of the one asked for */
	SIZE_IS_LARGE = 1 << 8, /* is of the next larger size */

	/* Addresses; else those too wide are refused, and the misaligned cut. */
	CUTS_IOVA = 1 << 9,	  /* the upper bits are nobody's */
	UNCHECKED_IOVA = 1 << 10, /* or select entries, if there are any; no walk does */
	CUTS_PADDR = 1 << 11,
	PADDR_IN_ATTRS = 1 << 12, /* though they reach into the entry's attributes */
	CHECKS_LARGE = 1 << 13,	  /* a larger page must be aligned */

	/* Warnings of what is refused, and of an unmap of nothing; else as the quirk says. */
	SILENT = 1 << 14,
	WARNS_ALWAYS = 1 << 15,

	/* A map over what is mapped; else it is refused, but that of a block frees a table. */
	REPLACES = 1 << 16,
	KEEPS_USED_TABLE = 1 << 17, /* a block does not take the place of a table that maps anything */
	LEAKS_TABLE = 1 << 18,	    /* it does, and the table is lost */

	/* An unmap; else it is refused where nothing or a larger page is mapped, and that of a block frees a table. */
	WHOLE_LEAF = 1 << 19,	    /* a larger page goes as a whole */
	KEEPS_TABLES = 1 << 20,	    /* no table goes */
	FREES_EMPTY = 1 << 21,	    /* a table goes with its last page */
	HOLE_IS_PAGE = 1 << 22,	    /* nothing counts as a page where there is a table */
	NO_TABLE_IS_PAGE = 1 << 23, /* and where there is none */

	/* How the driver hears of pages that went; else by add_page(). */
	TELLS_AT_ONCE = 1 << 24,   /* also by page_changed() */
	TELLS_NO_GATHER = 1 << 25, /* not by add_page() */
};

#define DART_FLAGS (UNCHECKED_IOVA | WARNS_ALWAYS)
#define V7S_FLAGS  (WRITE_READS | WHOLE_COUNT | ANY_SIZE)
#define MTK_V1_FLAGS                                                                             \
	(NO_PERMISSIONS | MAPS_WITHOUT_PROT | WHOLE_COUNT | SIZE_IS_PAGE | CUTS_PADDR | SILENT | \
	 HOLE_IS_PAGE | NO_TABLE_IS_PAGE | TELLS_AT_ONCE | TELLS_NO_GATHER)
#define SUN50I_FLAGS \
	(MAPS_WITHOUT_PROT | ONE_A_CALL | SIZE_IS_PAGE | CUTS_IOVA | SILENT | KEEPS_TABLES | TELLS_NO_GATHER)
#define OMAP_FLAGS                                                                                          \
	(NO_PERMISSIONS | MAPS_WITHOUT_PROT | ONE_A_CALL | CUTS_IOVA | CUTS_PADDR | CHECKS_LARGE | SILENT | \
	 REPLACES | LEAKS_TABLE | WHOLE_LEAF | FREES_EMPTY | HOLE_IS_PAGE | TELLS_AT_ONCE)
#define TEGRA_FLAGS                                                                           \
	(MAPS_WITHOUT_PROT | ONE_A_CALL | SIZE_IS_PAGE | SAYS_SIZE | CUTS_IOVA | CUTS_PADDR | \
	 PADDR_IN_ATTRS | SILENT | REPLACES | FREES_EMPTY | TELLS_AT_ONCE)
#define EXYNOS_FLAGS                                                                              \
	(MAPS_WITHOUT_PROT | ONE_A_CALL | SIZE_IS_LARGE | CUTS_IOVA | CUTS_PADDR | WARNS_ALWAYS | \
	 KEEPS_USED_TABLE | KEEPS_TABLES | HOLE_IS_PAGE | NO_TABLE_IS_PAGE | TELLS_AT_ONCE |      \
	 TELLS_NO_GATHER)

static const struct variant {
	const char *name;
	const char *format;
	struct pgtable_config config;
	unsigned top_level; /* what the widths come to */
	unsigned root_index_lg2;
	unsigned flags;	      /* of enum variant_flag */
	int over_err;	      /* of a map over a mapped page; 0: -EEXIST */
	int wide_paddr_err;   /* of a physical address too wide; 0: -ERANGE */
	unsigned other_pages; /* in two pieces, allocated beside the tables */
} variants[] = {
	{"lpae64s1-4k-48", "arm_64_lpae_s1", {.ias_bits = 48, .oas_bits = 48}, 3, 9, WRITE_READS},
	{"lpae64s1-4k-39-upper-half",
	 "arm_64_lpae_s1",
	 {.ias_bits = 39, .oas_bits = 48, .quirks = QUIRK_ARM_TTBR1},
	 2,
	 9,
	 WRITE_READS},
	{"lpae64s1-4k-incoherent-ns-hd",
	 "arm_64_lpae_s1",
	 {.ias_bits = 48, .oas_bits = 44, .incoherent = true, .quirks = QUIRK_ARM_NS | QUIRK_ARM_HD},
	 3,
	 9,
	 WRITE_READS},
	{"lpae64s1-16k-47",
	 "arm_64_lpae_s1",
	 {.ias_bits = 47, .oas_bits = 48, .page_sizes = SIZES_16},
	 2,
	 11,
	 WRITE_READS},
	{"lpae64s1-64k-52",
	 "arm_64_lpae_s1",
	 {.ias_bits = 52, .oas_bits = 52, .page_sizes = SIZES_64 | SIZE_4T},
	 2,
	 10,
	 WRITE_READS},
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
	{"lpae64s2-4k-48-fwb",
	 "arm_64_lpae_s2",
	 {.ias_bits = 48, .oas_bits = 48, .quirks = QUIRK_ARM_S2FWB},
	 3,
	 9},
	{"lpae32s1",
	 "arm_32_lpae_s1",
	 {.ias_bits = 32, .oas_bits = 40, .incoherent = true},
	 2,
	 2,
	 WRITE_READS},
	{"lpae32s2", "arm_32_lpae_s2", {.ias_bits = 40, .oas_bits = 40}, 2, 10},
	{"mali-40", "arm_mali_lpae", {.ias_bits = 40, .oas_bits = 40}, 3, 9},
	{"dart1-4k-4-roots",
	 "apple_dart",
	 {.ias_bits = 32, .oas_bits = 36, .page_sizes = 1 << 12, .table_offset = DART_TABLES},
	 1,
	 9,
	 DART_FLAGS},
	{"dart1-16k",
	 "apple_dart",
	 {.ias_bits = 32, .oas_bits = 36, .table_offset = DART_TABLES},
	 1,
	 11,
	 DART_FLAGS},
	{"dart2-16k-36",
	 "apple_dart2",
	 {.ias_bits = 36, .oas_bits = 42, .table_offset = DART_TABLES},
	 1,
	 11,
	 DART_FLAGS},
	{"dart2-16k-42",
	 "apple_dart2",
	 {.ias_bits = 42, .oas_bits = 42, .table_offset = DART_TABLES},
	 2,
	 11,
	 DART_FLAGS},
	{"v7s",
	 "arm_v7s",
	 {.ias_bits = 32,
	  .oas_bits = 32,
	  .incoherent = true,
	  .quirks = QUIRK_ARM_NS,
	  .table_offset = LOW_TABLES},
	 1,
	 12,
	 V7S_FLAGS},
	{"v7s-mtk-34",
	 "arm_v7s",
	 {.ias_bits = 34,
	  .oas_bits = 35,
	  .quirks = QUIRK_NO_PERMS | QUIRK_ARM_MTK_EXT | QUIRK_ARM_MTK_TTBR_EXT,
	  .table_offset = UINT64_C(0x740000000) - PHYSMEM_BASE},
	 1,
	 14,
	 V7S_FLAGS | NO_PERMISSIONS},
	{"mtk-v1",
	 "mtk_iommu_v1",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 0,
	 20,
	 MTK_V1_FLAGS},
	{"sun50i",
	 "sun50i_iommu",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 1,
	 12,
	 SUN50I_FLAGS,
	 .over_err = -EBUSY,
	 .wide_paddr_err = -EINVAL},
	{"omap",
	 "omap_iommu",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 1,
	 12,
	 OMAP_FLAGS},
	{"tegra-32",
	 "tegra_smmu",
	 {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES},
	 1,
	 10,
	 TEGRA_FLAGS},
	{"tegra-34",
	 "tegra_smmu",
	 {.ias_bits = 32, .oas_bits = 34, .table_offset = UINT64_C(0x280000000) - PHYSMEM_BASE},
	 1,
	 10,
	 TEGRA_FLAGS},
	{"exynos-32",
	 "exynos_sysmmu",
	 {.ias_bits = 32, .oas_bits = 32, .incoherent = true, .table_offset = LOW_TABLES},
	 1,
	 12,
	 EXYNOS_FLAGS | WRITE_READS,
	 .over_err = -EADDRINUSE,
	 .other_pages = 3},
	{"exynos-36",
	 "exynos_sysmmu",
	 {.ias_bits = 32, .oas_bits = 36, .incoherent = true, .table_offset = DART_TABLES},
	 1,
	 12,
	 EXYNOS_FLAGS,
	 .over_err = -EADDRINUSE,
	 .other_pages = 3},
};

#define READ_WRITE (PROT_READ | PROT_WRITE)

struct fixture {
	const struct variant *variant;
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	uint64_t page; /* size of the smallest page */
	/* What a table of the last level spans, often the next larger page; of a flat table any multiple of a page. */
	uint64_t block;
	uint64_t first; /* IOVA */
	uint32_t roots;
	uint64_t pages_charged, writes; /* by the set-up */
	uint64_t walks_flushed, walk_flushed_bytes, pages_added, bytes_dropped, all_flushed;
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

static void hear_page_changed(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie)
{
	struct fixture *fixture = cookie;

	g_assert_true(physmem_has_bytes(&fixture->sim->mem, entry));
	if (!mapped)
		fixture->bytes_dropped += size;
}

static const struct pgtable_tlb_ops hearing = {
	.flush_all = hear_flush_all,
	.flush_walk = hear_flush_walk,
	.add_page = hear_add_page,
	.page_changed = hear_page_changed,
};

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
	fixture->block = fixture->page
			 << (fixture->pt->config.top_level ? fixture->pt->levels[0].index_lg2 : 9);
	fixture->first = fixture->pt->first_iova;
	fixture->roots = fixture->pt->table_pages;
	fixture->pages_charged = fixture->sim->work[WORK_PT_PAGE];
	fixture->writes = fixture->pt->pte_writes;
}

static void teardown(struct fixture *fixture, const void *data)
{
	pgtable_gather_finish(&fixture->gather);
	pgtable_free(fixture->pt);
	g_assert_cmpuint(fixture->all_flushed, ==, 1);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(fixture->sim);
}

/** Whether the format does any of @flags. */
static bool has(const struct fixture *fixture, unsigned flags)
{
	return fixture->variant->flags & flags;
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
	return fixture->pt->ops->unmap_pages(fixture->pt, fixture->first + iova, size, count,
					     &fixture->gather);
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

/** The driver has heard of @pages that went, of @bytes together. */
static void assert_told(const struct fixture *fixture, uint64_t pages, uint64_t bytes)
{
	g_assert_cmpuint(fixture->pages_added, ==, has(fixture, TELLS_NO_GATHER) ? 0 : pages);
	g_assert_cmphex(fixture->bytes_dropped, ==, has(fixture, TELLS_AT_ONCE) ? bytes : 0);
}

static int over_err(const struct fixture *fixture)
{
	return fixture->variant->over_err ? fixture->variant->over_err : -EEXIST;
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

/** @count refusals have warned, and nothing else has. */
static void assert_warned(const struct fixture *fixture, uint64_t count)
{
	g_assert_cmpuint(warnings(fixture), ==, has(fixture, SILENT) ? 0 : count);
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
			 fixture->roots * MAX(pgtable_table_bytes(pt, top_level) / FRAME_SIZE, 1) +
				 fixture->variant->other_pages);
	g_assert_cmpuint(fixture->roots, ==, MAX(pt->root_count, 1));
	g_assert_cmpuint(pt->config.ias_bits, <=,
			 pt->levels[top_level].span_lg2 + pt->levels[top_level].index_lg2 +
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
	uint64_t at_once = has(fixture, WHOLE_COUNT) ? 5 : has(fixture, ONE_A_CALL) ? 1 : 2;

	g_assert_cmpint(map_pages(fixture, iova, 7 * page, page, 5, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, at_once * page);
	g_assert_cmphex(unmap_pages(fixture, iova, page, 5), ==, at_once * page);
	map_ok(fixture, iova, 7 * page, 5 * page);
	g_assert_cmphex(phys(fixture, iova + 4 * page), ==, 11 * page);
	g_assert_cmphex(unmap(fixture, iova, 5 * page), ==, 5 * page);
	assert_told(fixture, at_once + 5, (at_once + 5) * page);
	g_assert_cmphex(fixture->gather.start, ==, fixture->first + iova);
	g_assert_cmphex(fixture->gather.end, ==, fixture->first + iova + 5 * page - 1);
}

/* Small pages up to where a larger one fits, that one, and the rest. */
static void test_core_chooses_the_largest_pages(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, block = fixture->block, len = 2 * page + block + page;
	uint64_t leaves = fixture->pt->page_sizes & block ? 4 : len / page;

	map_ok(fixture, block - 2 * page, 5 * block - 2 * page, len);
	g_assert_cmpuint(leaves_of(fixture).count, ==, leaves);
	g_assert_cmphex(unmap(fixture, block - 2 * page, len), ==, len);
	assert_told(fixture, leaves, len);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
	/* Never congruent: small pages only. */
	map_ok(fixture, block, page, block);
	g_assert_cmpuint(leaves_of(fixture).count, ==, block / page);
}

static void test_map_over_mapped_is_refused_and_warns(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1, before = has(fixture, ONE_A_CALL) ? 0 : 4;

	map_ok(fixture, 8 * page, 100 * page, page);
	g_assert_cmpint(map_pages(fixture, (8 - before) * page, 300 * page, page, 8, &mapped), ==,
			over_err(fixture));
	g_assert_cmphex(mapped, ==, has(fixture, WHOLE_COUNT) ? before * page : 0);
	assert_warned(fixture, 1);
	g_assert_cmphex(phys(fixture, 7 * page), ==, mapped ? 303 * page : 0);
	g_assert_cmphex(phys(fixture, 8 * page), ==, 100 * page);
	fixture->pt->config.quirks |= QUIRK_NO_WARN;
	g_assert_cmpint(map_pages(fixture, 8 * page, 300 * page, page, 1, &mapped), ==, over_err(fixture));
	assert_warned(fixture, has(fixture, WARNS_ALWAYS) ? 2 : 1);
}

/* The page counts once: it is unmapped once, and its table goes as if it had been mapped once. */
static void test_map_over_mapped_replaces(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped;

	map_ok(fixture, 8 * page, 100 * page, page);
	g_assert_cmpint(map_pages(fixture, 8 * page, 300 * page, page, 8, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, page);
	g_assert_cmphex(phys(fixture, 8 * page), ==, 300 * page);
	g_assert_cmphex(unmap_pages(fixture, 8 * page, page, 1), ==, page);
	g_assert_cmphex(phys(fixture, 8 * page), ==, 0);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_page_inside_a_larger_one_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1, warned = 0;

	for (uint64_t sizes = fixture->pt->page_sizes & ~page; sizes; sizes &= sizes - 1) {
		uint64_t size = sizes & -sizes;

		map_ok(fixture, size, 3 * size, size);
		g_assert_cmpint(map_pages(fixture, size + page, page, page, 1, &mapped), ==,
				over_err(fixture));
		g_assert_cmphex(unmap_pages(fixture, size + page, page, 1), ==, 0);
		g_assert_cmphex(unmap_pages(fixture, size, page, 1), ==, 0);
		warned += 3;
		assert_warned(fixture, warned);
		g_assert_cmphex(phys(fixture, size + page), ==, 3 * size + page);
	}
	assert_told(fixture, 0, 0);
}

/** In a larger page of entries of its own level the page takes the place of one; in a larger one of the directory it is
 * not seen, and what the kernel wrote over instead is a finding. An unmap in it takes all that is left. */
static void replace_inside(struct fixture *fixture, uint64_t size)
{
	bool section = size >= fixture->block;
	uint64_t page = fixture->page, iova = size + page, mapped = 0;
	uint64_t corrupted = fixture->sim->findings.count[FINDING_CORRUPTION];

	map_ok(fixture, size, 3 * size, size);
	g_assert_cmpint(map_pages(fixture, iova, page, page, 1, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, page);
	g_assert_cmphex(phys(fixture, iova + 5), ==, (section ? 3 * size + page : page) + 5);
	g_assert_cmphex(phys(fixture, iova + page), ==, 3 * size + 2 * page);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_CORRUPTION], ==, corrupted + section);
	g_assert_cmpuint(leaves_of(fixture).count, ==, section ? 1 : size / page);
	g_assert_cmphex(leaves_of(fixture).paddr, ==, section ? 3 * size : 4 * size - page);
	if (!section)
		g_assert_cmphex(unmap_pages(fixture, iova, page, 1), ==, page);
	g_assert_cmphex(unmap_pages(fixture, size + 3 * page, page, 1), ==, size);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

static void test_page_inside_a_larger_one_replaces(struct fixture *fixture, const void *data)
{
	for (uint64_t sizes = fixture->pt->page_sizes & ~fixture->page; sizes; sizes &= sizes - 1)
		replace_inside(fixture, sizes & -sizes);
}

static void test_block_takes_the_place_of_a_live_table(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, block = fixture->block, generation = pt->table_generation, tables;
	bool leaks = has(fixture, LEAKS_TABLE);

	if (!(pt->page_sizes & block))
		return;
	map_ok(fixture, block + page, 9 * page, page);
	tables = pt->table_pages;
	map_ok(fixture, block, 3 * block, block);
	g_assert_cmpuint(pt->table_pages, ==, tables - 1);
	g_assert_cmpuint(pt->table_generation, >, generation);
	g_assert_cmphex(phys(fixture, block + page), ==, 3 * block + page);
	g_assert_cmpuint(fixture->walks_flushed, ==, leaks ? 0 : 1);
	g_assert_cmphex(fixture->walk_flushed_bytes, ==, leaks ? 0 : block);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_LEAK], ==, leaks ? 1 : 0);
	assert_told(fixture, 0, 0);
}

/* A table that maps anything keeps its place; one that no longer does gives it up, and is freed. */
static void test_block_over_a_used_table_is_refused(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, block = fixture->block, mapped = 1, tables, generation;

	map_ok(fixture, block + page, 9 * page, page);
	g_assert_cmpint(map_pages(fixture, block, 3 * block, block, 1, &mapped), ==, over_err(fixture));
	g_assert_cmphex(mapped, ==, 0);
	assert_warned(fixture, 1);
	g_assert_cmphex(phys(fixture, block + page), ==, 9 * page);
	g_assert_cmphex(unmap(fixture, block + page, page), ==, page);
	tables = pt->table_pages;
	generation = pt->table_generation;
	map_ok(fixture, block, 3 * block, block);
	g_assert_cmpuint(pt->table_pages, ==, tables - 1);
	g_assert_cmpuint(pt->table_generation, >, generation);
	g_assert_cmphex(phys(fixture, block + page), ==, 3 * block + page);
	g_assert_cmpuint(fixture->walks_flushed, ==, 0);
	assert_told(fixture, 1, page);
}

/* A section taken out of a larger one, and a table put there: the rest of the larger one takes it along. */
static void test_larger_section_takes_a_table_along(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, section = fixture->block;

	map_ok(fixture, 0, 16 * section, 16 * section);
	map_ok(fixture, 5 * section, section, section);
	g_assert_cmphex(unmap_pages(fixture, 5 * section, section, 1), ==, section);
	map_ok(fixture, 5 * section, page, page);
	g_assert_cmpuint(pt->table_pages, ==, fixture->roots + 1);
	g_assert_cmphex(unmap_pages(fixture, 7 * section, section, 1), ==, 16 * section);
	g_assert_cmpuint(pt->table_pages, ==, fixture->roots);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_LEAK], ==, 1);
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
	g_assert_cmpuint(fixture->pages_added, ==, block / page - (has(fixture, WHOLE_COUNT) ? 1 : 0));
	g_assert_cmpuint(fixture->gather.free_count, ==, 0);
	/* What a device remembers of it translates nothing. A part of a page is still memory. */
	g_assert_false(pt->ops->walk_from(pt, fixture->first + block, 0, walk.table[0], &walk));
	g_assert_cmpuint(walk.levels_touched, ==, pgtable_table_bytes(pt, 0) < FRAME_SIZE ? 1 : 0);
}

/* The size of a block takes one page, like any other, and leaves the table where it is. */
static void test_unmap_of_a_block_takes_a_page(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, block = fixture->block, tables;
	uint64_t rest = has(fixture, HOLE_IS_PAGE) ? block : block + page;

	map_ok(fixture, block, page, block);
	tables = fixture->pt->table_pages;
	g_assert_cmphex(unmap_pages(fixture, block, block, 1), ==, page);
	g_assert_cmphex(phys(fixture, block), ==, 0);
	g_assert_cmphex(phys(fixture, block + page), ==, 2 * page);
	g_assert_cmphex(unmap(fixture, rest, 2 * block - rest), ==, 2 * block - rest);
	g_assert_cmpuint(fixture->pt->table_pages, ==, tables);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
}

/* Whatever the size of the unmap. */
static void test_table_goes_with_its_last_page(struct fixture *fixture, const void *data)
{
	const struct pgtable *pt = fixture->pt;
	uint64_t page = fixture->page, block = fixture->block, generation, hole;
	struct pgtable_walk walk;

	map_ok(fixture, block, page, block);
	g_assert_true(pt->ops->walk(pt, block, &walk));
	generation = pt->table_generation;
	g_assert_cmphex(unmap(fixture, block, block - page), ==, block - page);
	hole = unmap_pages(fixture, block, block, 1);
	g_assert_cmphex(hole, ==, has(fixture, HOLE_IS_PAGE) ? page : 0);
	g_assert_cmpuint(pt->table_pages, ==, fixture->roots + 1);
	g_assert_cmphex(unmap(fixture, 2 * block - page, page), ==, page);
	g_assert_cmpuint(pt->table_pages, ==, fixture->roots);
	g_assert_cmpuint(pt->table_generation, >, generation);
	assert_told(fixture, (block + hole) / page, block + hole);
	g_assert_false(pt->ops->walk_from(pt, block, 0, walk.table[0], &walk));
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

/* It stops there and warns, unless the hole counts as a page. Where a call does one page it is the core that goes on. */
static void test_unmap_meets_a_hole(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, pages = has(fixture, HOLE_IS_PAGE) ? 5 : 3, unmapped;
	uint64_t hole = has(fixture, NO_TABLE_IS_PAGE) ? page : 0;

	map_ok(fixture, 0, page, 3 * page);
	map_ok(fixture, 4 * page, page, page);
	unmapped = has(fixture, ONE_A_CALL) ? unmap(fixture, 0, 5 * page) : unmap_pages(fixture, 0, page, 5);
	g_assert_cmphex(unmapped, ==, pages * page);
	g_assert_cmphex(phys(fixture, 4 * page), ==, pages == 5 ? 0 : page);
	assert_warned(fixture, pages == 5 ? 0 : 1);
	assert_told(fixture, pages, pages * page);
	g_assert_cmphex(unmap_pages(fixture, 0, page, 1), ==, hole);
	g_assert_cmphex(unmap_pages(fixture, 3 * fixture->block, page, 1), ==, hole);
	assert_warned(fixture, hole ? 0 : 3);
	assert_told(fixture, pages, pages * page + 2 * hole);
}

/* Also by formats that otherwise refuse without a word: their driver does not ask whether there is an entry, so that where
 * there is none we warn. */
static void test_iova_out_of_range_is_refused_with_a_warning(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, end = UINT64_C(1) << fixture->pt->config.ias_bits, mapped = 1;

	g_assert_cmphex(phys(fixture, end), ==, 0);
	g_assert_cmpint(map_pages(fixture, end, page, page, 1, &mapped), ==, -ERANGE);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmphex(unmap_pages(fixture, end, page, 1), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 2);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

static void test_iova_out_of_range_is_cut(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, end = UINT64_C(1) << fixture->pt->config.ias_bits;
	uint64_t hole = has(fixture, NO_TABLE_IS_PAGE) ? page : 0;

	g_assert_cmphex(phys(fixture, end), ==, 0);
	g_assert_cmphex(unmap_pages(fixture, end, page, 1), ==, hole);
	map_ok(fixture, end + page, 7 * page, page);
	g_assert_cmphex(phys(fixture, page + 5), ==, 7 * page + 5);
	g_assert_cmphex(phys(fixture, end + page + 5), ==, 7 * page + 5);
	g_assert_cmphex(unmap_pages(fixture, end + page, page, 1), ==, page);
	g_assert_cmphex(phys(fixture, page), ==, 0);
	assert_warned(fixture, hole ? 0 : 1);
}

static void test_iova_out_of_range_is_not_checked(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, end = UINT64_C(1) << fixture->pt->config.ias_bits;
	struct pgtable_walk walk;

	g_assert_cmphex(phys(fixture, end), ==, 0);
	g_assert_cmphex(unmap_pages(fixture, end, page, 1), ==, 0);
	assert_warned(fixture, 1);
	map_ok(fixture, end + page, 7 * page, page);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 1);
	g_assert_false(fixture->pt->ops->walk(fixture->pt, end + page, &walk));
	g_assert_cmphex(unmap_pages(fixture, end + page, page, 1), ==, page);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 0);
	assert_warned(fixture, 1);
}

static void test_physical_address_out_of_range_is_refused(struct fixture *fixture, const void *data)
{
	const struct variant *variant = fixture->variant;
	uint64_t page = fixture->page, mapped = 1;

	g_assert_cmpint(
		map_pages(fixture, page, UINT64_C(1) << fixture->pt->config.oas_bits, page, 1, &mapped), ==,
		variant->wide_paddr_err ? variant->wide_paddr_err : -ERANGE);
	g_assert_cmphex(mapped, ==, 0);
	assert_warned(fixture, 1);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

static void test_physical_address_out_of_range_is_cut(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, wide = UINT64_C(1) << fixture->pt->config.oas_bits;
	struct pgtable_walk walk;

	map_ok(fixture, page, wide + 7 * page, page);
	g_assert_cmphex(phys(fixture, page + 5), ==, 7 * page + 5);
	g_assert_true(fixture->pt->ops->walk(fixture->pt, page, &walk));
	g_assert_cmphex(walk.raw & wide / page, ==, has(fixture, PADDR_IN_ATTRS) ? wide / page : 0);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_highest_pages_are_reached(struct fixture *fixture, const void *data)
{
	const struct pgtable_config *config = &fixture->pt->config;
	uint64_t page = fixture->page, iova_end = UINT64_C(1) << config->ias_bits;
	uint64_t paddr_end = UINT64_C(1) << config->oas_bits;

	map_ok(fixture, iova_end - page, paddr_end - page, page);
	g_assert_cmphex(phys(fixture, iova_end - 1), ==, paddr_end - 1);
	g_assert_cmphex(leaves_of(fixture).paddr, ==, paddr_end - page);
}

static void test_size_that_the_table_lacks_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1;

	g_assert_cmpint(map_pages(fixture, 0, 0, 2 * page, 1, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmphex(unmap_pages(fixture, 0, 2 * page, 1), ==, 0);
	assert_warned(fixture, 2);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

/* It is one page, whatever it is called and whatever the answer says. */
static void test_size_that_the_table_lacks_is_a_page(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 0;

	g_assert_cmpint(map_pages(fixture, 0, page, 2 * page, 1, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, has(fixture, WHOLE_COUNT) ? page : 2 * page);
	g_assert_cmphex(phys(fixture, 0), ==, page);
	g_assert_cmphex(phys(fixture, page), ==, 0);
	g_assert_cmphex(unmap_pages(fixture, 0, 2 * page, 1), ==, has(fixture, SAYS_SIZE) ? 2 * page : page);
	g_assert_cmphex(phys(fixture, 0), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

static void test_size_that_the_table_lacks_is_a_larger_page(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 0;

	g_assert_cmpint(map_pages(fixture, 0, 16 * page, 2 * page, 1, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, 2 * page);
	g_assert_cmpuint(leaves_of(fixture).count, ==, 1);
	g_assert_cmphex(leaves_of(fixture).size, ==, 16 * page);
	g_assert_cmphex(unmap_pages(fixture, 0, 2 * page, 1), ==, 0);
	assert_warned(fixture, 1);
	g_assert_cmphex(phys(fixture, 15 * page), ==, 31 * page);
}

static void test_misaligned_maps_are_refused_silently(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1;

	g_assert_cmpint(map(fixture, page + 1, page, page, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmpint(map(fixture, page, page + 64, page, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmpint(map(fixture, page, page, page + 1, READ_WRITE, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmphex(unmap(fixture, page + 1, page), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 0);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

/* A larger page is checked for its alignment when its table is there already. */
static void test_misaligned_calls_are_cut_or_refused(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, block = fixture->block, mapped = 1;

	g_assert_cmpint(map_pages(fixture, block, block + page, block, 1, &mapped), ==, -EINVAL);
	g_assert_cmpint(map_pages(fixture, 17 * block, 0, 16 * block, 1, &mapped), ==, -EINVAL);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
	g_assert_cmpint(map_pages(fixture, page, 16 * page, 16 * page, 1, &mapped), ==, -EINVAL);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots + 1);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpint(map_pages(fixture, page + 0x234, 5 * page + 0x678, page, 1, &mapped), ==, 0);
	g_assert_cmphex(phys(fixture, page + 2), ==, 5 * page + 2);
}

static void test_map_without_prot_is_refused_silently(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped = 1;

	g_assert_cmpint(map(fixture, page, page, page, PROT_CACHE, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 0);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots);
}

static void test_map_without_prot_maps(struct fixture *fixture, const void *data)
{
	uint64_t page = fixture->page, mapped;
	unsigned prot;

	g_assert_cmpint(map(fixture, page, page, page, PROT_CACHE, &mapped), ==, 0);
	g_assert_cmphex(mapped, ==, page);
	g_assert_cmphex(phys_prot(fixture, page, &prot), ==, page);
	g_assert_cmpuint(prot, ==, has(fixture, NO_PERMISSIONS) ? READ_WRITE : 0);
	g_assert_cmphex(unmap(fixture, page, page), ==, page);
	g_assert_cmpuint(warnings(fixture), ==, 0);
}

/* What is invalidated at once does not wait for a queue. */
static void test_queued_gather_hears_of_no_page(struct fixture *fixture, const void *data)
{
	uint64_t len = 4 * fixture->page;

	map_ok(fixture, 0, fixture->page, len);
	fixture->gather.queued = true;
	g_assert_cmphex(unmap(fixture, 0, len), ==, len);
	assert_told(fixture, 0, len);
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
	uint64_t page = fixture->page, gathered = has(fixture, TELLS_NO_GATHER) ? 8 : 3;
	uint64_t hole = has(fixture, NO_TABLE_IS_PAGE) ? page : 0;

	map_ok(fixture, page, page, 3 * page);
	g_assert_cmphex(unmap(fixture, page, 8 * page), ==, 3 * page + 5 * hole);
	g_assert_cmphex(fixture->gather.start, ==, fixture->first + page);
	g_assert_cmphex(fixture->gather.end, ==, fixture->first + (1 + gathered) * page - 1);
	pgtable_gather_init(&fixture->gather);
	g_assert_cmphex(unmap(fixture, 16 * page, page), ==, hole);
	g_assert_cmpint(pgtable_gather_empty(&fixture->gather), ==, !hole);
}

static void test_work_is_charged_per_entry_and_table(struct fixture *fixture, const void *data)
{
	const uint64_t *work = fixture->sim->work;
	uint64_t page = fixture->page, writes;

	g_assert_cmpuint(fixture->pages_charged, ==,
			 fixture->roots + (fixture->variant->other_pages ? 2 : 0));
	map_ok(fixture, 0, page, page);
	g_assert_cmpuint(work[WORK_PT_PAGE] - fixture->pages_charged, ==,
			 fixture->pt->table_pages - fixture->roots);
	g_assert_cmpuint(work[WORK_PTE_WRITE] - fixture->writes, ==,
			 fixture->pt->table_pages - fixture->roots + 1);
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
	return GPOINTER_TO_SIZE(
		g_hash_table_lookup(reference->pages, GSIZE_TO_POINTER(iova / reference->page)));
}

static void reference_set(struct reference *reference, uint64_t iova, uint64_t paddr, unsigned prot)
{
	g_hash_table_insert(reference->pages, GSIZE_TO_POINTER(iova / reference->page),
			    GSIZE_TO_POINTER((paddr / reference->page << 2 | prot) + 1));
}

static void assert_as_reference(const struct fixture *fixture, const struct reference *reference,
				uint64_t iova)
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

static unsigned random_prot(struct prng *prng)
{
	return prng_below(prng, 2) ? READ_WRITE : prng_below(prng, 2) ? PROT_READ : PROT_WRITE;
}

/** Returns what a device may do where @prot was mapped. */
static unsigned found_prot(const struct fixture *fixture, unsigned prot)
{
	if (has(fixture, NO_PERMISSIONS) || (has(fixture, WRITE_READS) && prot == PROT_WRITE))
		return READ_WRITE;
	return prot;
}

/** Maps at random where nothing is mapped; elsewhere unmaps what is, as it was mapped or page by page. */
static void random_step(struct fixture *fixture, struct reference *reference, struct prng *prng)
{
	uint64_t page = fixture->page, block = fixture->block,
		 end = UINT64_C(1) << fixture->pt->config.ias_bits;
	uint64_t areas[] = {0, block, end / 2 - 2 * block, end - 8 * block};
	uint64_t iova = areas[prng_below(prng, 4)] + prng_below(prng, 3) * block + prng_below(prng, 4) * page;
	uint64_t len = (1 + prng_below(prng, 6)) * page, paddr = (64 + prng_below(prng, 64)) * block, done;
	unsigned prot = random_prot(prng);
	bool free = true;

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
			reference_set(reference, iova + at, paddr + at, found_prot(fixture, prot));
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

/* Random calls of formats that do a page a call and replace what is there. The reference is flat: each page of the
 * smallest size knows where it leads and of how many such pages the leaf is that it belongs to. */

#define FLAT_PAGES (3u << 13)

struct flat {
	struct {
		uint64_t paddr;
		unsigned prot, span; /* in pages; 0: nothing is mapped */
	} page[FLAT_PAGES];
	uint64_t block; /* pages of a table */
	uint64_t leaked;
};

/** Whether the directory has a table where page @number is: as long as it holds anything. */
static bool flat_has_table(const struct flat *flat, uint64_t number)
{
	uint64_t first = number / flat->block * flat->block;

	for (uint64_t i = first; i < first + flat->block; i++)
		if (flat->page[i].span && flat->page[i].span < flat->block)
			return true;
	return false;
}

/** Counts the tables in @count pages from @first on, which are lost when the directory is written there. */
static void flat_leak(struct flat *flat, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i += flat->block)
		flat->leaked += flat_has_table(flat, i);
}

static void flat_map(struct flat *flat, uint64_t number, uint64_t paddr, uint64_t span, uint64_t page,
		     unsigned prot)
{
	if (span >= flat->block)
		flat_leak(flat, number, span);
	else if (flat->page[number].span >= flat->block)
		return; /* lost in the memory that the larger page maps */
	for (uint64_t i = 0; i < span; i++) {
		flat->page[number + i].paddr = paddr + i * page;
		flat->page[number + i].prot = prot;
		flat->page[number + i].span = (unsigned)span;
	}
}

/** Returns how many pages went, or are said to. */
static uint64_t flat_unmap(struct flat *flat, uint64_t number, bool hole_is_page)
{
	uint64_t span = flat->page[number].span, first;

	if (!span)
		return hole_is_page && flat_has_table(flat, number);
	first = number / span * span;
	if (span > flat->block)
		flat_leak(flat, first, span);
	memset(&flat->page[first], 0, span * sizeof(flat->page[0]));
	return span;
}

static void flat_compare(const struct fixture *fixture, const struct flat *flat)
{
	uint64_t tables = 0;

	for (uint64_t i = 0; i < FLAT_PAGES; i++) {
		unsigned prot;

		g_assert_cmphex(phys_prot(fixture, i * fixture->page + 5, &prot), ==,
				flat->page[i].span ? flat->page[i].paddr + 5 : 0);
		g_assert_cmpuint(prot, ==, flat->page[i].prot);
		if (i % flat->block == 0)
			tables += flat_has_table(flat, i);
	}
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots + tables);
	g_assert_cmpuint(fixture->sim->findings.count[FINDING_LEAK], ==, flat->leaked);
}

/** Pages near the start of tables, and of the largest pages, so that they meet. */
static uint64_t flat_number(struct prng *prng, const struct flat *flat)
{
	return (prng_below(prng, 6) << 12 | prng_below(prng, 4) * flat->block | prng_below(prng, 40)) %
	       FLAT_PAGES;
}

static void flat_random_map(struct fixture *fixture, struct flat *flat, struct prng *prng)
{
	uint64_t page = fixture->page, sizes = fixture->pt->page_sizes, size, number, paddr, mapped;
	unsigned prot = random_prot(prng);

	for (unsigned drop = (unsigned)prng_below(prng, 6) / 2; drop && sizes & (sizes - 1); drop--)
		sizes &= sizes - 1;
	size = sizes & -sizes;
	number = flat_number(prng, flat) & -(size / page);
	paddr = (1 + prng_below(prng, 64)) * size;
	g_assert_cmpint(map(fixture, number * page, paddr, size, prot, &mapped), ==, 0);
	flat_map(flat, number, paddr, size / page, page, found_prot(fixture, prot));
}

static void flat_random_unmap(struct fixture *fixture, struct flat *flat, struct prng *prng)
{
	uint64_t number = flat_number(prng, flat);
	uint64_t unmapped = unmap_pages(fixture, number * fixture->page, fixture->page, 1) / fixture->page;

	g_assert_cmpuint(flat_unmap(flat, number, has(fixture, HOLE_IS_PAGE)), ==, unmapped);
}

static void test_random_calls_that_replace(struct fixture *fixture, const void *data)
{
	g_autofree struct flat *flat = g_new0(struct flat, 1);
	struct prng prng;

	flat->block = fixture->block / fixture->page;
	prng_init(&prng, 7, "one page a call");
	for (unsigned step = 0; step < 4000; step++) {
		if (prng_below(&prng, 5) < 3)
			flat_random_map(fixture, flat, &prng);
		else
			flat_random_unmap(fixture, flat, &prng);
		if (step % 40 == 39)
			flat_compare(fixture, flat);
	}
	g_assert_cmpint(flat->leaked != 0, ==, has(fixture, LEAKS_TABLE));
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
					 fixture->pt->config.top_level ? fixture->pt->config.top_level + 1
								       : 0);
		g_assert_cmphex(mapped, ==,
				!fired					  ? 4 * page
				: linked == fixture->pt->config.top_level ? 2 * page
									  : 0);
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

static const struct {
	const char *format;
	struct pgtable_config config;
} impossible[] = {
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
	{"arm_v7s",
	 {.ias_bits = 32, .oas_bits = 33, .quirks = QUIRK_ARM_MTK_EXT, .table_offset = LOW_TABLES}},
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
	{"omap_iommu", {.ias_bits = 31, .oas_bits = 32, .table_offset = LOW_TABLES}},
	{"omap_iommu", {.ias_bits = 32, .oas_bits = 34, .table_offset = LOW_TABLES}},
	{"omap_iommu", {.ias_bits = 32, .oas_bits = 32, .quirks = QUIRK_ARM_NS, .table_offset = LOW_TABLES}},
	{"omap_iommu", {.ias_bits = 32, .oas_bits = 32}},
	{"tegra_smmu", {.ias_bits = 34, .oas_bits = 34, .table_offset = LOW_TABLES}},
	{"tegra_smmu", {.ias_bits = 32, .oas_bits = 35, .table_offset = LOW_TABLES}},
	{"tegra_smmu", {.ias_bits = 32, .oas_bits = 12, .table_offset = LOW_TABLES}},
	{"tegra_smmu", {.ias_bits = 32, .oas_bits = 34, .quirks = QUIRK_ARM_NS, .table_offset = LOW_TABLES}},
	{"tegra_smmu", {.ias_bits = 32, .oas_bits = 34}},
	{"exynos_sysmmu", {.ias_bits = 31, .oas_bits = 32, .table_offset = LOW_TABLES}},
	{"exynos_sysmmu", {.ias_bits = 32, .oas_bits = 34, .table_offset = LOW_TABLES}},
	{"exynos_sysmmu",
	 {.ias_bits = 32, .oas_bits = 36, .quirks = QUIRK_NO_WARN, .table_offset = LOW_TABLES}},
	{"exynos_sysmmu", {.ias_bits = 32, .oas_bits = 32, .table_offset = DART_TABLES}},
	{"exynos_sysmmu", {.ias_bits = 32, .oas_bits = 32, .table_offset = LOW_TABLES + 0x400}},
};

static void test_impossible_geometry_is_refused(void)
{
	struct sim *sim = sim_new(1, 1);
	struct pgtable *pt = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(impossible); i++)
		g_assert_cmpint(
			pgtable_new(sim, pgtable_format(impossible[i].format), &impossible[i].config, &pt),
			==, -EINVAL);
	g_assert_null(pt);
	g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(sim);
}

/* The root is the last page that an entry can point to, so there is no room for a table. */
static void test_tables_out_of_reach_are_refused(void)
{
	static const struct {
		const char *format;
		unsigned oas_bits;
		uint64_t root_bytes;
		unsigned warnings;
	} cases[] = {
		{"omap_iommu", 32, 0x4000, 1},
		{"tegra_smmu", 34, 0x1000, 0},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct pgtable_config config = {.ias_bits = 32,
						      .oas_bits = cases[i].oas_bits,
						      .table_offset = (UINT64_C(1) << cases[i].oas_bits) -
								      cases[i].root_bytes - PHYSMEM_BASE};
		struct sim *sim = sim_new(1, 1);
		struct pgtable *pt;
		uint64_t mapped;

		g_assert_cmpint(pgtable_new(sim, pgtable_format(cases[i].format), &config, &pt), ==, 0);
		g_assert_cmpint(pgtable_map(pt, 0x1000, 0x1000, 0x1000, READ_WRITE, &mapped), ==, -ENOMEM);
		g_assert_cmphex(mapped, ==, 0);
		g_assert_cmpuint(pt->table_pages, ==, 1);
		g_assert_cmpuint(sim->findings.count[FINDING_KERNEL_WARNING], ==, cases[i].warnings);
		pgtable_free(pt);
		g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
		sim_free(sim);
	}
}

/* Of the library's sizes, one larger than what an entry of the root spans. */
static const struct variant lpae_of_1_gib = {
	"lpae64s1-4k-30", "arm_64_lpae_s1", {.ias_bits = 30, .oas_bits = 48}, 1, 9, WRITE_READS};

/* It is looked for from the root down, making tables on the way, until there is no further level. */
static void test_size_above_the_root_is_refused(struct fixture *fixture, const void *data)
{
	uint64_t block = fixture->block, size = block << 9, mapped = 1;

	g_assert_true(fixture->pt->page_sizes & size);
	g_assert_cmpint(map_pages(fixture, 0, 0, size, 1, &mapped), ==, -EINVAL);
	g_assert_cmphex(mapped, ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 1);
	g_assert_cmpuint(fixture->pt->table_pages, ==, fixture->roots + 1);
	g_assert_cmphex(unmap_pages(fixture, 0, size, 1), ==, 0);
	map_ok(fixture, 0, fixture->page, fixture->page);
	g_assert_cmphex(unmap_pages(fixture, 0, size, 1), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 3);
	map_ok(fixture, block, 3 * block, block);
	g_assert_cmpint(map_pages(fixture, block, 0, size, 1, &mapped), ==, -EEXIST);
	g_assert_cmphex(unmap_pages(fixture, block, size, 1), ==, 0);
	g_assert_cmpuint(warnings(fixture), ==, 5);
	g_assert_cmphex(phys(fixture, 0), ==, fixture->page);
	g_assert_cmphex(phys(fixture, block), ==, 3 * block);
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

/* A root that is refused takes those before it along, and a table beside the root the root. */
static void every_failing_root_is_reported(const char *format, const struct pgtable_config *config,
					   unsigned count)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct sim *sim = sim_new(1, 1);
	uint64_t fired = 1;

	for (uint64_t nth = 1; fired; nth++) {
		struct fault_rules *rules = sweep_arm(sim, tables, "pgtable.page", nth);
		struct pgtable *pt = NULL;

		g_assert_cmpint(pgtable_new(sim, pgtable_format(format), config, &pt), ==,
				nth <= count ? -ENOMEM : 0);
		fired = sweep_disarm(sim, rules);
		pgtable_free(pt);
		g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	}
	sim_free(sim);
}

static void test_every_failing_root_is_reported(void)
{
	static const struct pgtable_config four_roots = {
		.ias_bits = 32, .oas_bits = 36, .page_sizes = 1 << 12, .table_offset = DART_TABLES};
	static const struct pgtable_config others = {
		.ias_bits = 32, .oas_bits = 36, .table_offset = DART_TABLES};

	every_failing_root_is_reported("apple_dart", &four_roots, 4);
	every_failing_root_is_reported("exynos_sysmmu", &others, 3);
}

static void test_unknown_quirk_is_refused_by_line(void)
{
	static const char text[] = "cfg fmt=arm_64_lpae_s1 ias=48 oas=48 quirks=ns,slow\n";
	g_autoptr(GString) out = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	g_assert_false(pgtable_golden_emit("f", text, strlen(text), out, &error));
	g_assert_cmpstr(error->message, ==, "f:1: unknown quirk");
}

/* @with: only for formats with any of these flags; @without: only for those with none of these. */
static const struct {
	const char *name;
	void (*run)(struct fixture *fixture, const void *data);
	unsigned with, without;
} conformance[] = {
	{"geometry-is-what-the-widths-come-to", test_geometry_is_what_the_widths_come_to},
	{"every-page-size-maps-walks-and-unmaps", test_every_page_size_maps_walks_and_unmaps},
	{"calls-end-with-the-table-and-the-core-goes-on", test_calls_end_with_the_table_and_the_core_goes_on},
	{"core-chooses-the-largest-pages", test_core_chooses_the_largest_pages},
	{"map-over-mapped-is-refused-and-warns", test_map_over_mapped_is_refused_and_warns,
	 .without = REPLACES},
	{"map-over-mapped-replaces", test_map_over_mapped_replaces, .with = REPLACES},
	{"page-inside-a-larger-one-is-refused", test_page_inside_a_larger_one_is_refused,
	 .without = REPLACES},
	{"page-inside-a-larger-one-replaces", test_page_inside_a_larger_one_replaces, .with = WHOLE_LEAF},
	{"block-takes-the-place-of-a-live-table", test_block_takes_the_place_of_a_live_table,
	 .without = KEEPS_USED_TABLE},
	{"block-over-a-used-table-is-refused", test_block_over_a_used_table_is_refused,
	 .with = KEEPS_USED_TABLE},
	{"larger-section-takes-a-table-along", test_larger_section_takes_a_table_along, .with = LEAKS_TABLE},
	{"unmap-of-a-block-frees-the-table-there", test_unmap_of_a_block_frees_the_table_there,
	 .without = KEEPS_TABLES | FREES_EMPTY},
	{"unmap-of-a-block-takes-a-page", test_unmap_of_a_block_takes_a_page, .with = KEEPS_TABLES},
	{"table-goes-with-its-last-page", test_table_goes_with_its_last_page, .with = FREES_EMPTY},
	{"walk-from-a-remembered-table", test_walk_from_a_remembered_table},
	{"unmap-meets-a-hole", test_unmap_meets_a_hole},
	{"iova-out-of-range-is-refused-with-a-warning", test_iova_out_of_range_is_refused_with_a_warning,
	 .without = CUTS_IOVA | UNCHECKED_IOVA},
	{"iova-out-of-range-is-not-checked", test_iova_out_of_range_is_not_checked, .with = UNCHECKED_IOVA},
	{"iova-out-of-range-is-cut", test_iova_out_of_range_is_cut, .with = CUTS_IOVA},
	{"physical-address-out-of-range-is-refused", test_physical_address_out_of_range_is_refused,
	 .without = CUTS_PADDR},
	{"physical-address-out-of-range-is-cut", test_physical_address_out_of_range_is_cut,
	 .with = CUTS_PADDR},
	{"highest-pages-are-reached", test_highest_pages_are_reached},
	{"size-that-the-table-lacks-is-refused", test_size_that_the_table_lacks_is_refused,
	 .without = ANY_SIZE | SIZE_IS_PAGE | SIZE_IS_LARGE},
	{"size-that-the-table-lacks-is-a-page", test_size_that_the_table_lacks_is_a_page,
	 .with = SIZE_IS_PAGE},
	{"size-that-the-table-lacks-is-a-larger-page", test_size_that_the_table_lacks_is_a_larger_page,
	 .with = SIZE_IS_LARGE},
	{"misaligned-maps-are-refused-silently", test_misaligned_maps_are_refused_silently},
	{"misaligned-calls-are-cut-or-refused", test_misaligned_calls_are_cut_or_refused,
	 .with = CHECKS_LARGE},
	{"map-without-prot-is-refused-silently", test_map_without_prot_is_refused_silently,
	 .without = MAPS_WITHOUT_PROT},
	{"map-without-prot-maps", test_map_without_prot_maps, .with = MAPS_WITHOUT_PROT},
	{"queued-gather-hears-of-no-page", test_queued_gather_hears_of_no_page},
	{"without-callbacks-the-range-is-gathered", test_without_callbacks_the_range_is_gathered},
	{"core-gathers-where-nobody-does", test_core_gathers_where_nobody_does},
	{"work-is-charged-per-entry-and-table", test_work_is_charged_per_entry_and_table},
	{"random-calls-as-a-table-of-pages", test_random_calls_as_a_table_of_pages, .without = WHOLE_LEAF},
	{"random-calls-that-replace", test_random_calls_that_replace, .with = REPLACES},
	{"every-failing-page-is-reported-and-unwound", test_every_failing_page_is_reported_and_unwound},
};

static void add_conformance(const struct variant *variant)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(conformance); i++) {
		g_autofree char *path =
			g_strdup_printf("/iommu/io-pgtable/%s/%s", variant->name, conformance[i].name);

		if (conformance[i].with && !(conformance[i].with & variant->flags))
			continue;
		if (!(conformance[i].without & variant->flags))
			g_test_add(path, struct fixture, variant, setup, conformance[i].run, teardown);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		add_conformance(&variants[i]);
	g_test_add_func("/iommu/io-pgtable/every-format-has-a-variant", test_every_format_has_a_variant);
	g_test_add_func("/iommu/io-pgtable/impossible-geometry-is-refused",
			test_impossible_geometry_is_refused);
	g_test_add_func("/iommu/io-pgtable/tables-out-of-reach-are-refused",
			test_tables_out_of_reach_are_refused);
	g_test_add("/iommu/io-pgtable/lpae64s1-4k-30/size-above-the-root-is-refused", struct fixture,
		   &lpae_of_1_gib, setup, test_size_above_the_root_is_refused, teardown);
	g_test_add_func("/iommu/io-pgtable/golden/lpae-byte-for-byte", test_lpae_recordings);
	g_test_add_func("/iommu/io-pgtable/every-failing-root-is-reported",
			test_every_failing_root_is_reported);
	g_test_add_func("/iommu/io-pgtable/golden/dart-byte-for-byte", test_dart_recordings);
	g_test_add_func("/iommu/io-pgtable/golden/v7s-byte-for-byte", test_v7s_recordings);
	g_test_add_func("/iommu/io-pgtable/golden/unknown-quirk-is-refused-by-line",
			test_unknown_quirk_is_refused_by_line);
	return g_test_run();
}
