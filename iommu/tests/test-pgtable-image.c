/* SPDX-License-Identifier: MIT */
/*
 * Page tables to a snapshot and back: for every geometry of every format, a table of pages mapped at random, written,
 * read again, and asked about many IOVAs: the walk must find the same entries at the same places. Beside that, what diff
 * says of two of them, and state that no map makes.
 */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "iommu/dma/pgtable-image.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

/* Tables appear from 1 GiB on: narrow entries have no room for higher ones. */
#define LOW_TABLES ((UINT64_C(1) << 30) - PHYSMEM_BASE)

/** What geometries do not vary. */
static const struct {
	const char *name;
	const char *format;
	struct pgtable_config config;
} more_variants[] = {
	{"amdv1-low-root", "amdv1", {.ias_bits = 64, .oas_bits = 52, .top_level = 2, .dynamic_top = true}},
	{"vtdss-snoop-incoherent",
	 "vtdss",
	 {.ias_bits = 48, .oas_bits = 46, .top_level = 3, .force_coherence = true, .incoherent = true}},
	{"riscv_64-signed",
	 "riscv_64",
	 {.ias_bits = 39, .oas_bits = 56, .top_level = 2, .sign_extend = true, .contiguous_64k = true}},
	{"x86_64-signed", "x86_64", {.ias_bits = 57, .oas_bits = 52, .top_level = 4, .sign_extend = true}},
	{"arm_64_lpae_s1-upper-half",
	 "arm_64_lpae_s1",
	 {.ias_bits = 39, .oas_bits = 48, .quirks = QUIRK_ARM_TTBR1 | QUIRK_ARM_NS, .incoherent = true}},
	{"arm_64_lpae_s2-concatenated", "arm_64_lpae_s2", {.ias_bits = 40, .oas_bits = 40}},
	{"arm_mali_lpae-narrow", "arm_mali_lpae", {.ias_bits = 32, .oas_bits = 40}},
};

struct fixture {
	GRand *rand;
	struct sim *sim;
	struct pgtable *pt;
	char *dir, *path, *other_path;
	struct pgtable_images *images; /* NULL before image_read() */
};

struct variant {
	const struct pgtable_ops *format;
	struct pgtable_config config;
};

static void write_section(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	pgtable_section_write(writer, 7, data);
}

static const struct snapshot_section section = {PGTABLE_SECTION, pgtable_section_nouns, write_section, NULL};
static const struct snapshot_section *const sections[] = {&section, NULL};

static void write_snapshot(const char *path, struct pgtable *pt)
{
	const struct snapshot_source sources[] = {{&section, pt}, {NULL, NULL}};
	const char *const header[] = {NULL};
	GError *error = NULL;

	snapshot_write(path, pt->sim, header, sources, &error);
	g_assert_no_error(error);
}

static int see_fact(void *data, const struct snapshot_line *line, GError **error)
{
	return pgtable_images_fact(data, line, error);
}

static const struct snapshot_visitor visitor = {.fact = see_fact};

static void setup(struct fixture *fixture, const void *data)
{
	struct variant variant = *(const struct variant *)data;

	*fixture = (struct fixture){.rand = g_rand_new_with_seed(1), .sim = sim_new(1, 1)};
	variant.config.table_offset = LOW_TABLES;
	g_assert_cmpint(pgtable_new(fixture->sim, variant.format, &variant.config, &fixture->pt), ==, 0);
	fixture->dir = g_dir_make_tmp("pgtable-image-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->dir, "a.snap", NULL);
	fixture->other_path = g_build_filename(fixture->dir, "b.snap", NULL);
}

static void teardown(struct fixture *fixture, const void *data)
{
	g_unlink(fixture->path);
	g_unlink(fixture->other_path);
	g_rmdir(fixture->dir);
	g_free(fixture->dir);
	g_free(fixture->path);
	g_free(fixture->other_path);
	pgtable_images_free(fixture->images);
	pgtable_free(fixture->pt);
	sim_free(fixture->sim);
	g_rand_free(fixture->rand);
}

static uint64_t random_u64(struct fixture *fixture)
{
	return (uint64_t)g_rand_int(fixture->rand) << 32 | g_rand_int(fixture->rand);
}

static uint64_t random_iova(struct fixture *fixture)
{
	const struct pgtable_config *config = &fixture->pt->config;
	uint64_t iova = random_u64(fixture) & (UINT64_MAX >> (64 - config->ias_bits));

	/* A quarter of the address space, a few places of it: so that they meet. */
	iova &= ~(UINT64_C(3) << (config->ias_bits - 2)) | UINT64_C(2) << (config->ias_bits - 2);
	if (g_rand_boolean(fixture->rand))
		iova &= UINT64_C(0xffffff) | UINT64_C(1) << (config->ias_bits - 1);
	return pgtable_iova_extend(config, iova + fixture->pt->first_iova);
}

/** Maps runs of pages of any size, here and there, many beside others. */
static void map_at_random(struct fixture *fixture)
{
	struct pgtable *pt = fixture->pt;
	uint64_t small =
		(UINT64_C(1) << MIN(34, pt->config.ias_bits - 7)) - 1; /* else few would fill the space */

	for (unsigned i = 0; i < 400; i++) {
		uint64_t sizes = pt->page_sizes & small, size, mapped;
		unsigned prot = g_rand_int(fixture->rand) & (2 * PROT_PRIV - 1);

		for (unsigned skip = (unsigned)g_rand_int_range(fixture->rand, 0, 3);
		     skip && sizes & (sizes - 1); skip--)
			sizes &= sizes - 1;
		size = sizes & -sizes;
		prot |= g_rand_boolean(fixture->rand) ? PROT_READ : READ_WRITE;
		/* What is mapped there already is refused, or replaced: either is a state. */
		pgtable_map(pt, random_iova(fixture) & -size,
			    random_u64(fixture) & (UINT64_MAX >> (64 - pt->config.oas_bits + 1)) & -size,
			    size * (uint64_t)g_rand_int_range(fixture->rand, 1, 40), prot, &mapped);
	}
}

static const struct pgtable_image *image_read(struct fixture *fixture)
{
	GError *error = NULL;

	write_snapshot(fixture->path, fixture->pt);
	fixture->images = pgtable_images_new(fixture->path);
	g_assert_cmpint(snapshot_read(fixture->path, sections, &visitor, fixture->images, &error), ==, 0);
	g_assert_no_error(error);
	pgtable_images_finish(fixture->images, &error);
	g_assert_no_error(error);
	return pgtable_images_find(fixture->images, 7);
}

/* ---- the same bits ---- */

struct counting {
	const struct pgtable *pt;
	uint64_t entries, tables;
};

static void count_table(void *data, const char *path, unsigned level, uint64_t paddr, uint32_t entries)
{
	struct counting *counting = data;

	counting->tables++;
	for (uint32_t i = 0; i < entries; i++) {
		const void *at = pgtable_bytes(counting->pt, paddr + (uint64_t)i * counting->pt->entry_bytes);

		counting->entries += pgtable_entry_raw(counting->pt, at) != 0;
	}
}

static void assert_counts(struct fixture *fixture, const struct pgtable_image *image)
{
	struct counting counting = {.pt = fixture->pt};
	const struct pgtable_visitor counter = {.table = count_table, .data = &counting};
	uint64_t entries = 0;

	pgtable_visit(fixture->pt, &counter);
	for (guint i = 0; i < image->runs->len; i++)
		entries += g_array_index(image->runs, struct pgtable_image_run, i).entries;
	g_assert_cmpuint(entries, ==, counting.entries);
	g_assert_cmpuint(image->tables->len, ==, counting.tables);
}

/** Asks both tables about @iova. */
static void assert_walk(struct fixture *fixture, const struct pgtable_image *image, uint64_t iova)
{
	struct pgtable_walk wanted, got;
	GError *error = NULL;
	struct pgtable *placed;
	bool mapped = fixture->pt->ops->walk(fixture->pt, iova, &wanted);

	g_assert_true(pgtable_image_has_iova(image, iova));
	placed = pgtable_image_place(fixture->images, image, iova, &error);
	g_assert_no_error(error);
	g_assert_true(placed->ops->walk(placed, iova, &got) == mapped);
	g_assert_cmphex(got.paddr, ==, wanted.paddr);
	g_assert_cmphex(got.leaf_size, ==, wanted.leaf_size);
	g_assert_cmphex(got.prot, ==, wanted.prot);
	g_assert_cmphex(got.raw, ==, wanted.raw);
	g_assert_cmpuint(got.levels_touched, ==, wanted.levels_touched);
	g_assert_cmpuint(got.stop_level, ==, wanted.stop_level);
	for (unsigned level = 0; level < PGTABLE_LEVELS_MAX; level++) {
		const uint64_t table = wanted.table[level];
		const unsigned span_lg2 = fixture->pt->levels[level].span_lg2;
		uint64_t index;

		g_assert_cmphex(got.table[level], ==, table);
		if (!table)
			continue;
		index = iova >> span_lg2 & ((UINT64_C(1) << fixture->pt->levels[level].index_lg2) - 1);
		g_assert_cmphex(
			pgtable_entry_raw(placed, pgtable_bytes(placed, table + index * placed->entry_bytes)),
			==,
			pgtable_entry_raw(fixture->pt,
					  pgtable_bytes(fixture->pt, table + index * placed->entry_bytes)));
	}
	pgtable_image_withdraw(placed);
}

struct asking {
	struct fixture *fixture;
	const struct pgtable_image *image;
	uint64_t leaves;
};

static void ask_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	struct asking *asking = data;

	/* The ends of some: a prime beside powers of two. */
	if (asking->leaves++ % 37)
		return;
	assert_walk(asking->fixture, asking->image, iova);
	assert_walk(asking->fixture, asking->image, iova + size - 1);
}

static void test_there_and_back(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;
	struct asking asking = {.fixture = fixture};

	map_at_random(fixture);
	image = image_read(fixture);
	g_assert_nonnull(image);
	g_assert_cmpstr(image->pt->ops->name, ==, fixture->pt->ops->name);
	assert_counts(fixture, image);
	asking.image = image;
	pgtable_dump(fixture->pt, ask_leaf, &asking);
	g_assert_cmpuint(asking.leaves, >, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_walk(fixture, image, random_iova(fixture));
}

static void test_empty(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image = image_read(fixture);

	assert_counts(fixture, image);
	assert_walk(fixture, image, random_iova(fixture));
}

static void test_every_entry_is_described(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;

	map_at_random(fixture);
	image = image_read(fixture);
	for (guint i = 0; i < image->runs->len; i++) {
		const struct pgtable_image_run *run =
			&g_array_index(image->runs, struct pgtable_image_run, i);
		g_autoptr(GString) text = g_string_new(NULL);

		if (!fixture->pt->ops->describe) {
			g_test_skip("the format does not describe its entries");
			return;
		}
		fixture->pt->ops->describe(fixture->pt, run->level, run->raw, text);
		/* What no field covers would be a number. */
		g_assert_null(strstr(text->str, "0x"));
	}
}

/* Leaves and table entries as the drivers write them, by the names of the manuals. */
static const struct {
	const char *format;
	unsigned level;
	uint64_t raw;
	const char *text;
} described[] = {
	{"amdv1", 0, 0x7000000000007e01, "PR NextLevel=7 FC IR IW"},
	{"amdv1", 1, 0x6000400000002201, "PR NextLevel=1 IR IW"},
	{"apple_dart", 0, 0x000fff0000000083, "VALID SP_OFF NO_WRITE SP_START=0 SP_END=4095"},
	{"apple_dart2", 0, 0x000fff0000000007, "VALID NO_CACHE NO_WRITE SP_START=0 SP_END=4095"},
	{"apple_dart", 1, 0x0000000880000001, "VALID"},
	{"arm_64_lpae_s1", 0, 0xf47, "AttrIndx=1 AP=1 SH=3 AF nG"},
	{"arm_64_lpae_s1", 0, 0x0068000000000ee3, "AttrIndx=0 NS AP=3 SH=2 AF nG DBM PXN UXN"},
	{"arm_64_lpae_s1", 1, 0x8080000000002003, "SW_SYNC NSTable"},
	{"arm_64_lpae_s2", 0, 0x006000000000569f, "MemAttr=7 HAP=2 SH=2 AF XN[0] XN[1]"},
	{"arm_32_lpae_s2", 0, 0x7ff, "MemAttr=15 HAP=3 SH=3 AF"},
	{"arm_mali_lpae", 0, 0x2c5, "AttrIndx=1 HAP=3 SH=2"},
	{"arm_v7s", 0, 0xe72, "AF UNPRIV RDONLY S nG TEX"},
	{"arm_v7s", 0, 0x9c31, "AF UNPRIV S nG TEX XN"},
	{"arm_v7s", 0, 0xc73, "XN AF UNPRIV S nG TEX"},
	{"arm_v7s", 1, 0xf1c1e, "AF UNPRIV S nG B C TEX XN CONT NS"},
	{"arm_v7s", 1, 0x9, "NS"},
	{"exynos_sysmmu", 0, 0x40001212, "ACCESS RDONLY"},
	{"exynos_sysmmu", 0, 0x40010011, "ACCESS"},
	{"exynos_sysmmu", 1, 0x40108402, "ACCESS RDONLY"},
	{"exynos_sysmmu", 1, 0x40000401, ""},
	{"mtk_iommu_v1", 0, 0x4000100a, "VALID NONSEC"},
	{"omap_iommu", 0, 0x40010001, ""},
	{"omap_iommu", 1, 0x41040002, "SUPER"},
	{"riscv_64", 0, 0x80000000000020df, "V R W X U A D N"},
	{"sun50i_iommu", 0, 0x40001042, "VALID ACI=4"},
	{"sun50i_iommu", 1, 0x40000401, ""},
	{"tegra_smmu", 0, 0xa0040001, "NONSECURE READABLE"},
	{"tegra_smmu", 1, 0xf0040001, "NEXT NONSECURE WRITABLE READABLE"},
	{"riscv_64", 1, 0x1, "V"},
	{"vtdss", 0, 0x803, "R W SNP"},
	{"vtdss", 1, 0x40000081, "R PS"},
	{"vtdss", 1, 0x2403, "R W flushed"},
	{"vtdss", 0, 0x4000000000005003, "R W 0x4000000000000000"},
	{"x86_64", 1, 0x400000e7, "P RW US A D PS"},
	{"x86_64", 2, 0x2227, "P RW US A flushed"},
};

static void test_described(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(described); i++) {
		const struct pgtable_ops *format = pgtable_format(described[i].format);
		struct pgtable_config config = format->geometries[0];
		g_autoptr(GString) text = g_string_new(NULL);
		struct sim *sim = sim_new(1, 1);
		struct pgtable *pt;

		config.table_offset = LOW_TABLES;
		g_assert_cmpint(pgtable_new(sim, format, &config, &pt), ==, 0);
		format->describe(pt, described[i].level, described[i].raw, text);
		g_assert_cmpstr(text->str, ==, described[i].text);
		pgtable_free(pt);
		sim_free(sim);
	}
}

/* ---- what no map makes ---- */

static const struct variant riscv = {
	.config = {.ias_bits = 39, .oas_bits = 56, .top_level = 2, .contiguous_64k = true}};

/** Returns where the entry of @iova is in the last table. */
static uint64_t *last_entry(struct fixture *fixture, uint64_t iova)
{
	struct pgtable_walk walk;

	g_assert_true(fixture->pt->ops->walk(fixture->pt, iova, &walk));
	return (uint64_t *)pgtable_bytes(fixture->pt, walk.table[0]) + (iova >> 12 & 511);
}

static void test_part_of_a_leaf(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;
	uint64_t mapped;

	g_assert_cmpint(pgtable_map(fixture->pt, 0x10000, 0x450000, 0x20000, READ_WRITE, &mapped), ==, 0);
	*last_entry(fixture, 0x13000) = 0;
	image = image_read(fixture);
	assert_counts(fixture, image);
	for (uint64_t iova = 0xf000; iova <= 0x30000; iova += 0x1000)
		assert_walk(fixture, image, iova);
}

static void test_bits_that_mean_nothing(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;
	uint64_t mapped, *entries;

	g_assert_cmpint(pgtable_map(fixture->pt, 0x1000, 0x5000, 0x1000, READ_WRITE, &mapped), ==, 0);
	entries = last_entry(fixture, 0x1000);
	for (unsigned i = 3; i < 9; i++)
		entries[i] = 0x700;
	image = image_read(fixture);
	assert_counts(fixture, image);
	g_assert_cmpuint(image->runs->len, ==, 4); /* two tables, the page, the six */
	for (uint64_t iova = 0; iova <= 0x10000; iova += 0x1000)
		assert_walk(fixture, image, iova);
}

static void test_runs_are_one_fact(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;
	uint64_t mapped;

	g_assert_cmpint(pgtable_map(fixture->pt, 0x40000000, 0x1000, 0x5000, READ_WRITE, &mapped), ==, 0);
	g_assert_cmpint(pgtable_map(fixture->pt, 0x40010000, 0x60000, 0x100000, READ_WRITE, &mapped), ==, 0);
	for (uint64_t i = 0; i < 8; i++) /* downwards, as a page allocator often hands them out */
		g_assert_cmpint(pgtable_map(fixture->pt, 0x40180000 + 0x1000 * i, 0x900000 - 0x1000 * i,
					    0x1000, PROT_READ, &mapped),
				==, 0);
	/* Pages that follow each other, but not alike. */
	g_assert_cmpint(pgtable_map(fixture->pt, 0x401a0000, 0xa00000, 0x1000, READ_WRITE, &mapped), ==, 0);
	g_assert_cmpint(pgtable_map(fixture->pt, 0x401a1000, 0xa01000, 0x1000, PROT_READ, &mapped), ==, 0);
	image = image_read(fixture);
	g_assert_cmpuint(image->runs->len, ==, 2 + 3 + 2);
	assert_counts(fixture, image);
	for (uint64_t iova = 0x40000000; iova <= 0x401b0000; iova += 0x1000)
		assert_walk(fixture, image, iova);
}

/* ---- the table that unused entries share ---- */

static const struct variant exynos = {.config = {.ias_bits = 32, .oas_bits = 36}};

static void test_zero_entries_are_few_facts(struct fixture *fixture, const void *data)
{
	const struct pgtable_image *image;
	struct pgtable_image_run *run;
	struct pgtable_entry entry;
	uint64_t mapped;

	g_assert_cmpint(pgtable_map(fixture->pt, 0x100000, 0x100000, 0x100000, READ_WRITE, &mapped), ==, 0);
	image = image_read(fixture);
	g_assert_cmpuint(image->runs->len, ==, 3); /* one, the section, all others */
	run = &g_array_index(image->runs, struct pgtable_image_run, 2);
	g_assert_cmpuint(run->entries, ==, 4094);
	pgtable_image_decode(image, run, 4093, &entry);
	g_assert_cmpint(entry.kind, ==, ENTRY_ZERO);
	g_assert_cmphex(entry.paddr, ==, fixture->pt->zero_table);
	assert_walk(fixture, image, 0);
	assert_walk(fixture, image, 0x1ff000);
	assert_walk(fixture, image, 0xfffff000);
}

/* Two facts tell of it, and the second of another table. */
static void test_zero_entries_must_agree(struct fixture *fixture, const void *data)
{
	g_autofree char *text = NULL;
	GError *error = NULL;
	uint64_t mapped;
	char *raw;

	g_assert_cmpint(pgtable_map(fixture->pt, 0x100000, 0x100000, 0x100000, READ_WRITE, &mapped), ==, 0);
	write_snapshot(fixture->path, fixture->pt);
	g_assert_true(g_file_get_contents(fixture->path, &text, NULL, &error));
	raw = g_strrstr(g_strrstr(text, "\nzero "), " raw=0x0");
	raw[strlen(" raw=0x")] = '1';
	g_assert_true(g_file_set_contents(fixture->path, text, -1, &error));
	fixture->images = pgtable_images_new(fixture->path);
	g_assert_cmpint(snapshot_read(fixture->path, sections, &visitor, fixture->images, &error), !=, 0);
	g_assert_nonnull(strstr(error->message, "which does not point to the shared table"));
	g_error_free(error);
}

/* ---- diff ---- */

static void add_change(void *data, const char *text, const char *const *fields)
{
	g_string_append_printf(data, "%s\n", text);
}

/** Compares @fixture's table with one of the same configuration that maps [@iova, @iova + @len) by pages of @size. */
static char *diff_with(struct fixture *fixture, uint64_t iova, uint64_t paddr, uint64_t len, uint64_t size,
		       unsigned prot)
{
	struct sim *sim = sim_new(1, 1);
	GString *text = g_string_new(NULL);
	GError *error = NULL;
	struct pgtable *pt;
	uint64_t mapped;

	physmem_alloc(&sim->mem, 3, FRAME_NVME_POOL); /* so tables lie elsewhere */
	g_assert_cmpint(pgtable_new(sim, fixture->pt->ops, &fixture->pt->config, &pt), ==, 0);
	for (uint64_t at = 0; at < len; at += size)
		g_assert_cmpint(pgtable_map(pt, iova + at, paddr + at, size, prot, &mapped), ==, 0);
	write_snapshot(fixture->path, fixture->pt);
	write_snapshot(fixture->other_path, pt);
	snapshot_diff(fixture->path, fixture->other_path, sections, NULL, add_change, text, &error);
	g_assert_no_error(error);
	pgtable_free(pt);
	sim_free(sim);
	return g_string_free(text, FALSE);
}

static void test_diff(struct fixture *fixture, const void *data)
{
	g_autofree char *same = NULL, *moved = NULL, *smaller = NULL, *read_only = NULL, *fewer = NULL;
	const uint64_t block = 1 << 21;
	uint64_t mapped;

	g_assert_cmpint(pgtable_map(fixture->pt, block, 0x40000000, block, READ_WRITE, &mapped), ==, 0);
	same = diff_with(fixture, block, 0x40000000, block, block, READ_WRITE);
	g_assert_cmpstr(same, ==, "");
	moved = diff_with(fixture, block, 0x80000000, block, block, READ_WRITE);
	g_assert_cmpstr(moved, ==, "");
	smaller = diff_with(fixture, block, 0x40000000, block, 4096, READ_WRITE);
	g_assert_cmpstr(smaller, ==,
			"page size changed: domain=7 iova=0x0000000000200000-0x00000000003fffff size 2097152 "
			"-> 4096\n"
			"page table added: domain=7 level=0 iova=0x0000000000200000-0x00000000003fffff "
			"attr=0x0000000000000001\n");
	read_only = diff_with(fixture, block, 0x40000000, block, block, PROT_READ);
	g_assert_cmpstr(read_only, ==,
			"page-table entry changed: domain=7 iova=0x0000000000200000-0x00000000003fffff attr "
			"0x00000000000000df -> 0x000000000000005b\n");
	fewer = diff_with(fixture, block, 0x40000000, 0, block, READ_WRITE);
	g_assert_cmpstr(fewer, ==,
			"page table removed: domain=7 level=1 iova=0x0000000000000000-0x000000003fffffff "
			"attr=0x0000000000000001\n");
}

/* ---- the list ---- */

static void add(const char *name, const struct pgtable_ops *format, const struct pgtable_config *config)
{
	static const struct {
		const char *name;
		void (*run)(struct fixture *fixture, const void *data);
	} cases[] = {
		{"there-and-back", test_there_and_back},
		{"empty-there-and-back", test_empty},
		{"every-entry-is-described", test_every_entry_is_described},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/pgtable-image/%s/%s", name, cases[i].name);
		struct variant *variant = g_new(struct variant, 1);

		*variant = (struct variant){format, *config};
		g_test_add_vtable(path, sizeof(struct fixture), variant, (GTestFixtureFunc)setup,
				  (GTestFixtureFunc)cases[i].run, (GTestFixtureFunc)teardown);
	}
}

static void add_case(const char *name, const char *format, const struct variant *shape,
		     void (*run)(struct fixture *fixture, const void *data))
{
	struct variant *variant = g_memdup2(shape, sizeof(*shape));
	g_autofree char *path = g_strdup_printf("/iommu/pgtable-image/%s", name);

	variant->format = pgtable_format(format);
	g_test_add_vtable(path, sizeof(struct fixture), variant, (GTestFixtureFunc)setup,
			  (GTestFixtureFunc)run, (GTestFixtureFunc)teardown);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++)
		for (const struct pgtable_config *config = (*format)->geometries; config && config->ias_bits;
		     config++) {
			g_autofree char *name =
				g_strdup_printf("%s-%u-%u-%td", (*format)->name, config->ias_bits,
						config->oas_bits, config - (*format)->geometries);

			add(name, *format, config);
		}
	for (unsigned i = 0; i < G_N_ELEMENTS(more_variants); i++)
		add(more_variants[i].name, pgtable_format(more_variants[i].format), &more_variants[i].config);
	g_test_add_func("/iommu/pgtable-image/fields-by-name", test_described);
	add_case("part-of-a-leaf-is-kept", "riscv_64", &riscv, test_part_of_a_leaf);
	add_case("bits-that-mean-nothing-are-kept", "riscv_64", &riscv, test_bits_that_mean_nothing);
	add_case("runs-are-one-fact", "riscv_64", &riscv, test_runs_are_one_fact);
	add_case("diff-tells-what-mappings-do-not", "riscv_64", &riscv, test_diff);
	add_case("zero-entries-are-few-facts", "exynos_sysmmu", &exynos, test_zero_entries_are_few_facts);
	add_case("zero-entries-must-agree", "exynos_sysmmu", &exynos, test_zero_entries_must_agree);
	return g_test_run();
}
