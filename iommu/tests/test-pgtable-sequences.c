/* SPDX-License-Identifier: MIT */
/*
 * Every short sequence of maps and unmaps, for every geometry of every format, against a list of what is mapped: small pages
 * and a larger one at the bottom and at the top of the address space, some of which take each other's place. What a map must
 * refuse differs by format and is not tried here; that a larger page takes the place of a table that became empty is.
 * And what a map does that gets tables which no entry can point to.
 */
#include <errno.h>

#include "iommu/pgtable/pgtable.h"
#include "sim/tests/sample.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define UNITS	   6
#define STEPS	   4
#define SIZES_MAX  4 /* larger sizes tried, of formats with many */

/* Tables appear from 1 GiB on: narrow entries have no room for higher ones. */
#define LOW_TABLES ((UINT64_C(1) << 30) - PHYSMEM_BASE)

/** Something that is mapped and unmapped as a whole. */
struct unit {
	uint64_t iova, paddr, len;
	bool mapped;
};

struct world {
	struct sim *sim;
	struct pgtable *pt;
	struct unit units[UNITS];
};

/** Lays the units out: pages of @page, and larger ones of @large, which may be the same. */
static void units_init(struct world *world, uint64_t page, uint64_t large)
{
	uint64_t bottom = world->pt->first_iova, end = bottom;
	struct unit units[UNITS] = {
		{.iova = bottom, .len = page},
		{.iova = bottom + page, .len = page},
		{.iova = bottom + 2 * large, .len = large},
		{.iova = bottom + 2 * large, .len = page},
		{.len = page},
		{.len = large},
	};

	/* Of 64 bits the end is 0. */
	end += world->pt->config.ias_bits < 64 ? UINT64_C(1) << world->pt->config.ias_bits : -bottom;
	units[4].iova = end - page;
	units[5].iova = end - large;
	for (unsigned i = 0; i < UNITS; i++) {
		units[i].paddr = (i + 1) * large;
		world->units[i] = units[i];
	}
}

static bool covers(const struct unit *unit, uint64_t iova)
{
	return iova - unit->iova < unit->len;
}

static bool overlap(const struct unit *a, const struct unit *b)
{
	return covers(a, b->iova) || covers(b, a->iova);
}

static void check_at(const struct world *world, uint64_t iova)
{
	const struct pgtable *pt = world->pt;
	uint64_t expected = 0, paddr = 0;
	struct pgtable_walk walk;
	bool mapped = false;
	unsigned prot = 0;

	for (unsigned i = 0; i < UNITS; i++)
		if (world->units[i].mapped && covers(&world->units[i], iova)) {
			expected = world->units[i].paddr + (iova - world->units[i].iova);
			mapped = true;
		}
	g_assert_true(pt->ops->lookup(pt, iova, &paddr, &prot) == mapped);
	g_assert_cmphex(paddr, ==, expected);
	g_assert_true(pt->ops->walk(pt, iova, &walk) == mapped);
	if (!mapped)
		return;
	g_assert_cmphex(walk.paddr, ==, expected);
	g_assert_cmpuint(walk.prot, ==, prot);
}

static void add_size(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	*(uint64_t *)data += size;
}

static void check(const struct world *world)
{
	uint64_t mapped = 0, found = 0;

	for (unsigned i = 0; i < UNITS; i++) {
		check_at(world, world->units[i].iova);
		check_at(world, world->units[i].iova + world->units[i].len - 1);
		mapped += world->units[i].mapped ? world->units[i].len : 0;
	}
	pgtable_dump(world->pt, add_size, &found);
	g_assert_cmphex(found, ==, mapped);
}

/** Unmaps the unit, or maps it unless another one is in its place. */
static void step(struct world *world, struct unit *unit)
{
	struct pgtable_gather gather = {0};
	uint64_t mapped;

	if (unit->mapped) {
		pgtable_gather_init(&gather);
		g_assert_cmphex(pgtable_unmap(world->pt, unit->iova, unit->len, &gather), ==, unit->len);
		pgtable_gather_free(world->sim, &gather);
		pgtable_gather_finish(&gather);
		unit->mapped = false;
		return;
	}
	for (unsigned i = 0; i < UNITS; i++)
		if (world->units[i].mapped && overlap(&world->units[i], unit))
			return;
	g_assert_cmpint(pgtable_map(world->pt, unit->iova, unit->paddr, unit->len, READ_WRITE, &mapped), ==,
			0);
	g_assert_cmphex(mapped, ==, unit->len);
	unit->mapped = true;
}

/** Runs the sequence that @number spells in base UNITS, from its last digit on. What a number with only zeros before these
 *  digits begins with in the same way is looked at there alone. */
static void run_sequence(const struct pgtable_ops *format, const struct pgtable_config *config, uint64_t page,
			 uint64_t large, unsigned steps, unsigned number)
{
	struct world world = {.sim = sim_new(1, 1)};

	g_assert_cmpint(pgtable_new(world.sim, format, config, &world.pt), ==, 0);
	units_init(&world, page, large);
	for (; steps; steps--, number /= UNITS) {
		step(&world, &world.units[number % UNITS]);
		if (number < UNITS)
			check(&world);
	}
	pgtable_free(world.pt);
	g_assert_cmpuint(world.sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	g_assert_cmpuint(findings_violations(&world.sim->findings), ==, 0);
	sim_free(world.sim);
}

/** Returns how many steps sequences have: fewer where a root is megabytes to clear. */
static unsigned steps_of(const struct pgtable *pt)
{
	return pgtable_table_bytes(pt, pt->config.top_level) > (1u << 20) ? 2 : STEPS;
}

struct geometry {
	const struct pgtable_ops *format;
	struct pgtable_config config;
};

static void test_every_sequence(const void *data)
{
	const struct geometry *geometry = data;
	struct sim *sim = sim_new(1, 1);
	uint64_t sizes, page, reach;
	unsigned steps, sequences = 1, tried = 0;
	struct pgtable *pt;

	g_assert_cmpint(pgtable_new(sim, geometry->format, &geometry->config, &pt), ==, 0);
	page = pt->page_sizes & -pt->page_sizes;
	sizes = pt->page_sizes & ~page;
	reach = pt->config.ias_bits < 64 ? UINT64_C(1) << pt->config.ias_bits : UINT64_MAX;
	steps = steps_of(pt);
	pgtable_free(pt);
	sim_free(sim);
	for (unsigned i = 0; i < steps; i++)
		sequences *= UNITS;
	if (!sizes)
		sizes = page;
	for (; sizes && tried < SIZES_MAX; sizes &= sizes - 1, tried++) {
		uint64_t large = sizes & -sizes;

		/* Five of them, and addresses for as many, must fit. */
		if (large > reach / 8 || large > (UINT64_C(1) << geometry->config.oas_bits) / 8)
			break;
		for (unsigned i = tried; i < sequences; i += sample_every())
			run_sequence(geometry->format, &geometry->config, page, large, steps, i);
	}
	g_assert_cmpuint(tried, >, 0);
}

/** Maps a page where no memory for tables is in reach of an entry, and all is as before. Some formats do not even begin. */
static void test_out_of_reach(const void *data)
{
	const struct geometry *geometry = data;
	struct pgtable_config config = geometry->config;
	struct sim *sim = sim_new(1, 1);
	struct pgtable *pt;
	uint64_t page, mapped = 1;
	uint32_t tables;
	int err;

	config.table_offset = (UINT64_C(1) << 56) - PHYSMEM_BASE;
	err = pgtable_new(sim, geometry->format, &config, &pt);
	if (err) {
		g_assert_true(err == -ENOMEM || err == -EINVAL);
		g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
		sim_free(sim);
		return;
	}
	tables = pt->table_pages;
	page = pt->page_sizes & -pt->page_sizes;
	err = pgtable_map(pt, pt->first_iova, page, page, READ_WRITE, &mapped);
	/* With a single level there is no table to point to. */
	g_assert_cmpint(err, ==, pt->config.top_level ? -ENOMEM : 0);
	g_assert_cmphex(mapped, ==, err ? 0 : page);
	g_assert_cmpuint(pt->table_pages, ==, tables);
	pgtable_free(pt);
	g_assert_cmpuint(sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	sim_free(sim);
}

/** Adds a case for @geometry. */
static void add(const char *what, unsigned number, const struct geometry *geometry, GTestDataFunc test)
{
	g_autofree char *path =
		g_strdup_printf("/iommu/pgtable-sequences/%s%s/%u", what, geometry->format->name, number);

	g_test_add_data_func_full(path, g_memdup2(geometry, sizeof(*geometry)), test, g_free);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++)
		for (unsigned i = 0; (*format)->geometries && (*format)->geometries[i].ias_bits; i++) {
			struct geometry geometry = {*format, (*format)->geometries[i]};

			geometry.config.table_offset = LOW_TABLES;
			add("", i, &geometry, test_every_sequence);
			add("out-of-reach/", i, &geometry, test_out_of_reach);
		}
	return g_test_run();
}
