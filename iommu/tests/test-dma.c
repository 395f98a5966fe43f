/* SPDX-License-Identifier: MIT */
/*
 * The DMA layer in strict mode: what callers get, what a device then finds, and that nothing stays behind,
 * also when any one step fails. Single facts first; then a script in which each fault point fails at each of
 * its passes in turn.
 */
#include <errno.h>

#include "iommu/dma/dma.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"

#define PAGE   UINT64_C(0x1000)
#define TOP_32 UINT64_C(0x100000000)
#define PADDR  UINT64_C(0x300000000)

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
};

static void setup_config(struct fixture *fixture, const struct dma_config *config,
			 enum kernel_version version)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};

	*fixture = (struct fixture){.sim = sim_new(4, 1)};
	behaviour_set_version(fixture->sim, version);
	fixture->iommu = iommu_new(fixture->sim, &intel_ops, &tlb);
	g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	dma_device_init(&fixture->dev, fixture->sim, config, fixture->domain, fixture->iovad);
}

static void setup(struct fixture *fixture, const void *data)
{
	static const struct dma_config config = {
		.name = "nvme0", .mask = UINT64_MAX, .aperture_end = 0xffffffffffff};

	setup_config(fixture, &config, KERNEL_7_0);
}

/* The same under the kernel in which nothing that is known is left to fix. */
static void setup_fixed(struct fixture *fixture, const void *data)
{
	setup(fixture, data);
	behaviour_set_version(fixture->sim, KERNEL_FIXED);
}

static void teardown(struct fixture *fixture, const void *data)
{
	dma_device_finish(&fixture->dev);
	iommu_domain_free(fixture->domain);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	sim_free(fixture->sim);
}

static uint64_t found(const struct fixture *fixture, enum finding_kind kind)
{
	return fixture->sim->findings.count[kind];
}

static uint64_t all_found(const struct fixture *fixture)
{
	return findings_violations(&fixture->sim->findings) + findings_observations(&fixture->sim->findings);
}

/* ---- what is there ---- */

static void count_live(void *data, const struct dma_live *live)
{
	(*(uint64_t *)data)++;
}

static void count_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	*(uint64_t *)data += size;
}

static void count_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	(*(uint64_t *)data)++;
}

static uint64_t live_count(const struct fixture *fixture)
{
	uint64_t count = 0;

	dma_live_each(&fixture->dev, count_live, &count);
	return count;
}

static uint64_t mapped_bytes(const struct fixture *fixture)
{
	uint64_t bytes = 0;

	pgtable_dump(fixture->domain->pt, count_leaf, &bytes);
	return bytes;
}

/* Nobody holds anything: no IOVA but what the caches keep, no leaf, no frame but tables. */
static void assert_empty(const struct fixture *fixture)
{
	uint64_t cached = 0;

	iova_each_cached(fixture->iovad, count_cached, &cached);
	g_assert_cmpuint(live_count(fixture), ==, 0);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 0);
	g_assert_cmpuint(iova_node_count(fixture->iovad), ==, cached);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_PGTABLE], ==, fixture->domain->pt->table_pages);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_NVME_QUEUE], ==, 0);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_NVME_POOL], ==, 0);
}

static unsigned prot_of(const struct fixture *fixture, uint64_t iova)
{
	uint64_t paddr;
	unsigned prot = 0;

	g_assert_true(fixture->domain->pt->ops->lookup(fixture->domain->pt, iova, &paddr, &prot));
	return prot & (PROT_READ | PROT_WRITE);
}

/* ---- one call, one mapping ---- */

static void test_map_keeps_the_offset_and_shows_whole_granules(struct fixture *fixture, const void *data)
{
	static const struct {
		uint64_t offset, len, pages;
	} cases[] = {{0, 4096, 1}, {0, 1, 1},	    {512, 512, 1},  {2560, 4096, 2},
		     {4095, 2, 2}, {0, 131072, 32}, {4, 131072, 33}};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t addr = dma_map_phys(&fixture->dev, PADDR + cases[i].offset, cases[i].len, DMA_TO_DEVICE);

		g_assert_cmphex(addr % PAGE, ==, cases[i].offset);
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, addr), ==, PADDR + cases[i].offset);
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, addr + cases[i].len - 1), ==,
				PADDR + cases[i].offset + cases[i].len - 1);
		g_assert_cmpuint(mapped_bytes(fixture), ==, cases[i].pages * PAGE);
		dma_unmap_phys(&fixture->dev, addr, cases[i].len, DMA_TO_DEVICE);
		assert_empty(fixture);
	}
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

static void test_direction_is_what_the_device_may_do(struct fixture *fixture, const void *data)
{
	uint64_t out = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE),
		 in = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_FROM_DEVICE);

	g_assert_cmpuint(prot_of(fixture, out), ==, PROT_READ);
	g_assert_cmpuint(prot_of(fixture, in), ==, PROT_WRITE);
	dma_unmap_phys(&fixture->dev, out, PAGE, DMA_TO_DEVICE);
	dma_unmap_phys(&fixture->dev, in, PAGE, DMA_FROM_DEVICE);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

static void test_without_iommu_addresses_are_physical(struct fixture *fixture, const void *data)
{
	static const struct dma_config config = {
		.name = "nvme0", .mask = UINT64_MAX, .aperture_end = 0xffffffffffff};
	struct dma_iova_state state = {1, 1};
	struct dma_device dev;

	dma_device_init(&dev, fixture->sim, &config, NULL, NULL);
	g_assert_false(dma_use_iommu(&dev));
	g_assert_cmphex(dma_map_phys(&dev, PADDR + 3, 100, DMA_TO_DEVICE), ==, PADDR + 3);
	g_assert_false(dma_iova_try_alloc(&dev, &state, PADDR, PAGE));
	g_assert_cmphex(state.addr | state.size, ==, 0);
	dma_unmap_phys(&dev, PADDR + 3, 100, DMA_TO_DEVICE);
	dma_device_finish(&dev);
	assert_empty(fixture);
}

static void test_holder_is_known_anywhere_in_its_range(struct fixture *fixture, const void *data)
{
	struct dma_live live;
	uint64_t addr;

	fixture->sim->actor = 12;
	fixture->sim->cpu = 3;
	fixture->sim->now_ns = 1230000;
	addr = dma_map_phys(&fixture->dev, PADDR + 100, 3 * PAGE, DMA_TO_DEVICE);
	g_assert_true(dma_live_find(&fixture->dev, addr + 3 * PAGE - 1, &live));
	g_assert_cmphex(live.iova, ==, addr - 100);
	g_assert_cmpuint(live.len_bytes, ==, 4 * PAGE);
	g_assert_cmpuint(live.actor, ==, 12);
	g_assert_cmpuint(live.cpu, ==, 3);
	g_assert_cmpuint(live.time_ns, ==, 1230000);
	g_assert_false(dma_live_find(&fixture->dev, addr - 100 + 4 * PAGE, &live));
	dma_unmap_phys(&fixture->dev, addr, 3 * PAGE, DMA_TO_DEVICE);
	g_assert_false(dma_live_find(&fixture->dev, addr, &live));
}

/* ---- below 4 GiB first ---- */

static uint64_t map_with_iova_failing(struct fixture *fixture, uint64_t nth)
{
	static const struct fault_table *const tables[] = {&dma_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(fixture->sim, tables, "dma.iova", nth);
	uint64_t addr = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE);

	g_assert_true(sweep_disarm(fixture->sim, rules));
	return addr;
}

static void test_32bit_attempt_is_given_up_for_good(struct fixture *fixture, const void *data)
{
	g_assert_cmphex(map_with_iova_failing(fixture, 1), >=, TOP_32);
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE), >=, TOP_32);
	g_assert_cmpuint(fixture->dev.stats.attempts_32bit_failed, ==, 1);
	g_assert_cmpuint(fixture->sim->fault_passes[FAULT_DMA_IOVA], ==, 3);
}

static void test_32bit_attempt_is_made_for_each_request(struct fixture *fixture, const void *data)
{
	fixture->sim->behaviour[IOVA_32BIT_RETRY] = IOVA_32BIT_EACH_REQUEST;
	g_assert_cmphex(map_with_iova_failing(fixture, 1), >=, TOP_32);
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE), <, TOP_32);
	g_assert_cmpuint(fixture->dev.stats.attempts_32bit_failed, ==, 1);
}

static void test_forcedac_makes_no_32bit_attempt(struct fixture *fixture, const void *data)
{
	fixture->dev.try_32bit = false;
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE), >=, TOP_32);
	g_assert_cmpuint(fixture->sim->fault_passes[FAULT_DMA_IOVA], ==, 1);
}

static void test_32bit_device_has_one_attempt(struct fixture *fixture, const void *data)
{
	fixture->dev.config.mask = UINT32_MAX;
	g_assert_cmphex(map_with_iova_failing(fixture, 1), ==, DMA_MAPPING_ERROR);
	g_assert_cmpuint(fixture->sim->fault_passes[FAULT_DMA_IOVA], ==, 1);
	g_assert_true(fixture->dev.try_32bit);
	assert_empty(fixture);
}

/* ---- one IOVA for a request ---- */

static void test_try_alloc_refuses_what_the_kernel_refuses(struct fixture *fixture, const void *data)
{
	static const uint64_t sizes[] = {0, UINT64_C(1) << 63, UINT64_MAX};

	for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct dma_iova_state state = {1, 1};

		g_assert_false(dma_iova_try_alloc(&fixture->dev, &state, PADDR, sizes[i]));
		g_assert_cmphex(state.addr | state.size, ==, 0);
	}
	assert_empty(fixture);
}

/* Partial first and last segment, whole ones between: no holes for the device. */
static void test_linked_segments_lie_side_by_side(struct fixture *fixture, const void *data)
{
	static const struct {
		uint64_t paddr, len;
	} segments[] = {{PADDR + 2560, 1536}, {PADDR + 8 * PAGE, 2 * PAGE}, {PADDR + 0x40 * PAGE, 512}};
	struct dma_iova_state state;
	uint64_t total = 1536 + 2 * PAGE + 512, at = 0, sent;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, segments[0].paddr, total));
	g_assert_cmphex(state.addr % PAGE, ==, 2560);
	for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
		g_assert_cmpint(
			dma_iova_link(&fixture->dev, &state, segments[i].paddr, at, segments[i].len, DMA_FROM_DEVICE),
			==, 0);
		at += segments[i].len;
	}
	g_assert_cmpint(dma_iova_sync(&fixture->dev, &state, 0, total), ==, 0);
	at = state.addr;
	for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++)
		for (uint64_t byte = 0; byte < segments[i].len; byte += 512, at += 512)
			g_assert_cmphex(iommu_iova_to_phys(fixture->domain, at), ==,
					segments[i].paddr + byte);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 4 * PAGE);
	sent = fixture->iommu->stats.invalidate_commands;
	dma_iova_destroy(&fixture->dev, &state, total, DMA_FROM_DEVICE);
	g_assert_cmpuint(fixture->iommu->stats.invalidate_commands, ==, sent + 1);
	g_assert_cmphex(state.addr | state.size, ==, 0);
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

static void test_link_inside_a_granule_warns(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 2 * PAGE));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, PAGE, DMA_TO_DEVICE), ==, 0);
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 512, PAGE, 512, DMA_TO_DEVICE), ==, -EIO);
	g_assert_cmpuint(found(fixture, FINDING_LINK_IN_GRANULE), ==, 1);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	g_assert_cmpuint(mapped_bytes(fixture), ==, PAGE);
	dma_iova_destroy(&fixture->dev, &state, PAGE, DMA_TO_DEVICE);
	assert_empty(fixture);
}

static void test_destroy_in_the_other_direction_is_reported(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	for (unsigned to = 0; to < 2; to++)
		for (unsigned from = 0; from < 2; from++) {
			g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, PAGE));
			g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, PAGE, to), ==, 0);
			g_assert_cmpint(dma_iova_sync(&fixture->dev, &state, 0, PAGE), ==, 0);
			dma_iova_destroy(&fixture->dev, &state, PAGE, from);
			g_assert_cmpuint(found(fixture, FINDING_WRONG_DIRECTION), ==, to ? 2 : from);
		}
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 2);
}

static void test_destroy_of_nothing_linked_only_frees(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 4 * PAGE));
	dma_iova_destroy(&fixture->dev, &state, 0, DMA_TO_DEVICE);
	g_assert_cmpuint(fixture->iommu->stats.unmaps, ==, 0);
	g_assert_cmpuint(fixture->iommu->stats.invalidate_commands, ==, 0);
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

/* Takes @pages, links @linked of them, gives up. Returns the IOVA that was taken. */
static uint64_t give_up_after(struct fixture *fixture, uint64_t pages, uint64_t linked)
{
	struct dma_iova_state state;
	uint64_t iova;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, pages * PAGE));
	iova = state.addr;
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, linked * PAGE, DMA_TO_DEVICE), ==, 0);
	dma_iova_destroy(&fixture->dev, &state, linked * PAGE, DMA_TO_DEVICE);
	assert_empty(fixture);
	return iova;
}

static uint64_t map_pages(struct fixture *fixture, uint64_t pages)
{
	return dma_map_phys(&fixture->dev, PADDR, pages * PAGE, DMA_TO_DEVICE);
}

static void test_partial_destroy_pollutes_the_smaller_class(struct fixture *fixture, const void *data)
{
	uint64_t iova = give_up_after(fixture, 8, 2);

	g_assert_cmpuint(found(fixture, FINDING_IOVA_SMALLER_CLASS), ==, 1);
	g_assert_cmphex(map_pages(fixture, 8), !=, iova);
	g_assert_cmphex(map_pages(fixture, 2), ==, iova);
}

static void test_partial_destroy_of_the_whole_keeps_the_class(struct fixture *fixture, const void *data)
{
	uint64_t iova = give_up_after(fixture, 8, 2);

	g_assert_cmpuint(all_found(fixture), ==, 0);
	g_assert_cmphex(map_pages(fixture, 2), !=, iova);
	g_assert_cmphex(map_pages(fixture, 8), ==, iova);
}

/* Only where the size class differs is there anything to report. */
static void test_smaller_class_is_reported_where_it_is_smaller(struct fixture *fixture, const void *data)
{
	static const struct {
		unsigned taken, linked, reported;
	} cases[] = {{8, 5, 0},	  {8, 4, 1},   {3, 2, 1},   {4, 3, 0},	  {2, 1, 1},	 {32, 17, 0},
		     {32, 16, 1}, {33, 32, 1}, {64, 33, 0}, {100, 99, 0}, {300, 200, 0}, {300, 4, 1}};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t before = found(fixture, FINDING_IOVA_SMALLER_CLASS);

		give_up_after(fixture, cases[i].taken, cases[i].linked);
		g_test_message("%u of %u granules", cases[i].linked, cases[i].taken);
		g_assert_cmpuint(found(fixture, FINDING_IOVA_SMALLER_CLASS) - before, ==, cases[i].reported);
	}
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
}

static void test_entries_left_behind_are_reported(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 4 * PAGE));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, 4 * PAGE, DMA_TO_DEVICE), ==, 0);
	dma_iova_destroy(&fixture->dev, &state, PAGE, DMA_TO_DEVICE);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 3 * PAGE);
	g_assert_cmpuint(found(fixture, FINDING_STALE_REACHABLE), ==, 1);
	g_assert_cmpuint(live_count(fixture), ==, 0);
}

static void test_destroy_beyond_what_is_linked_is_a_wrong_size(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 4 * PAGE));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, PAGE, DMA_TO_DEVICE), ==, 0);
	dma_iova_destroy(&fixture->dev, &state, 4 * PAGE, DMA_TO_DEVICE);
	g_assert_cmpuint(found(fixture, FINDING_WRONG_SIZE), ==, 1);
	assert_empty(fixture);
}

/* ---- misuse ---- */

static void test_unmap_of_another_length_is_a_wrong_size(struct fixture *fixture, const void *data)
{
	static const uint64_t lengths[] = {PAGE, 3 * PAGE};

	for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
		uint64_t addr = map_pages(fixture, 2);

		fixture->sim->findings.count[FINDING_WRONG_SIZE] = 0;
		dma_unmap_phys(&fixture->dev, addr, lengths[i], DMA_TO_DEVICE);
		g_assert_cmpuint(found(fixture, FINDING_WRONG_SIZE), ==, 1);
	}
}

static void test_unmap_of_the_same_pages_is_right(struct fixture *fixture, const void *data)
{
	uint64_t addr = dma_map_phys(&fixture->dev, PADDR, 100, DMA_TO_DEVICE);

	/* The layer sees granules: 100 bytes and 4096 are the same page. */
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_TO_DEVICE);
	g_assert_cmpuint(all_found(fixture), ==, 0);
	assert_empty(fixture);
}

static void test_second_unmap_is_reported_and_changes_nothing(struct fixture *fixture, const void *data)
{
	uint64_t addr = map_pages(fixture, 2), unmaps;

	dma_unmap_phys(&fixture->dev, addr, 2 * PAGE, DMA_TO_DEVICE);
	unmaps = fixture->iommu->stats.unmaps;
	dma_unmap_phys(&fixture->dev, addr, 2 * PAGE, DMA_TO_DEVICE);
	g_assert_cmpuint(found(fixture, FINDING_DOUBLE_UNMAP), ==, 1);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 1);
	g_assert_cmpuint(fixture->iommu->stats.unmaps, ==, unmaps);
	assert_empty(fixture);
}

/* ---- shared memory and pools ---- */

static void test_coherent_memory_is_zeroed_and_open_both_ways(struct fixture *fixture, const void *data)
{
	uint64_t paddr, addr;

	g_assert_cmpint(dma_alloc_coherent(&fixture->dev, 2, FRAME_NVME_QUEUE, &paddr, &addr), ==, 0);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 4 * PAGE);
	for (uint64_t at = 0; at < 4 * PAGE; at += PAGE) {
		const uint64_t *words = physmem_bytes(&fixture->sim->mem, paddr + at);

		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, addr + at), ==, paddr + at);
		g_assert_cmpuint(prot_of(fixture, addr + at), ==, PROT_READ | PROT_WRITE);
		for (unsigned i = 0; i < PAGE / 8; i++)
			g_assert_cmphex(words[i], ==, 0);
	}
	dma_free_coherent(&fixture->dev, 2, paddr, addr);
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

static void test_pool_page_holds_sixteen_small_blocks_in_order(struct fixture *fixture, const void *data)
{
	struct dma_pool_block blocks[17];
	struct dma_pool pool;

	dma_pool_init(&pool, &fixture->dev, "small", 256);
	for (unsigned i = 0; i < 17; i++) {
		g_assert_cmpint(dma_pool_alloc(&pool, &blocks[i]), ==, 0);
		g_assert_cmphex(iommu_iova_to_phys(fixture->domain, blocks[i].addr), ==, blocks[i].paddr);
		g_assert_cmpuint(pool.page_count, ==, 1 + i / 16);
		if (i % 16)
			g_assert_cmphex(blocks[i].addr, ==, blocks[i - 1].addr + 256);
		else
			g_assert_cmphex(blocks[i].addr % PAGE, ==, 0);
	}
	g_assert_cmpuint(pool.in_use, ==, 17);
	for (unsigned i = 0; i < 17; i++)
		dma_pool_free(&pool, blocks[i]);
	g_assert_cmpuint(pool.in_use, ==, 0);
	g_assert_cmpuint(pool.page_count, ==, 2);
	dma_pool_finish(&pool);
	assert_empty(fixture);
}

static void test_pool_hands_out_the_last_freed_first(struct fixture *fixture, const void *data)
{
	struct dma_pool_block blocks[3], again;
	struct dma_pool pool;

	dma_pool_init(&pool, &fixture->dev, "large", 4096);
	for (unsigned i = 0; i < 3; i++)
		g_assert_cmpint(dma_pool_alloc(&pool, &blocks[i]), ==, 0);
	g_assert_cmpuint(pool.page_count, ==, 3);
	dma_pool_free(&pool, blocks[0]);
	dma_pool_free(&pool, blocks[2]);
	g_assert_cmpint(dma_pool_alloc(&pool, &again), ==, 0);
	g_assert_cmphex(again.addr, ==, blocks[2].addr);
	g_assert_cmpint(dma_pool_alloc(&pool, &again), ==, 0);
	g_assert_cmphex(again.addr, ==, blocks[0].addr);
	dma_pool_finish(&pool);
	assert_empty(fixture);
}

/* ---- every failure ---- */

/* Maps @pages one by one; unmaps what it got. Returns whether all went well. */
static bool play_single(struct fixture *fixture, unsigned pages)
{
	uint64_t addrs[8];
	unsigned count = 0;

	for (; count < pages; count++) {
		addrs[count] = dma_map_phys(&fixture->dev, PADDR + count * 2 * PAGE + 512, PAGE, DMA_TO_DEVICE);
		if (addrs[count] == DMA_MAPPING_ERROR)
			break;
	}
	for (unsigned i = 0; i < count; i++)
		dma_unmap_phys(&fixture->dev, addrs[i], PAGE, DMA_TO_DEVICE);
	return count == pages;
}

/* Links @pages into one IOVA. Returns 0 or the error of the step that failed, everything undone. */
static int play_linked(struct fixture *fixture, uint64_t pages)
{
	struct dma_iova_state state;
	uint64_t linked = 0;
	int err = 0;

	if (!dma_iova_try_alloc(&fixture->dev, &state, PADDR, pages * PAGE)) {
		g_assert_cmphex(state.addr | state.size, ==, 0);
		return -ENOMEM;
	}
	for (; linked < pages && !err; linked += !err)
		err = dma_iova_link(&fixture->dev, &state, PADDR + linked * 3 * PAGE, linked * PAGE, PAGE, DMA_FROM_DEVICE);
	if (!err)
		err = dma_iova_sync(&fixture->dev, &state, 0, pages * PAGE);
	dma_iova_destroy(&fixture->dev, &state, linked * PAGE, DMA_FROM_DEVICE);
	return err;
}

static int play_pool(struct fixture *fixture, uint32_t block_bytes)
{
	struct dma_pool_block blocks[20];
	struct dma_pool pool;
	unsigned count = 0;
	int err = 0;

	dma_pool_init(&pool, &fixture->dev, "pool", block_bytes);
	for (; count < G_N_ELEMENTS(blocks) && !err; count += !err)
		err = dma_pool_alloc(&pool, &blocks[count]);
	g_assert_cmpuint(pool.in_use, ==, count);
	while (count)
		dma_pool_free(&pool, blocks[--count]);
	dma_pool_finish(&pool);
	return err;
}

/* Returns how many of the scenes failed. */
static unsigned play(struct fixture *fixture)
{
	static const unsigned linked_pages[] = {1, 4, 33, 520};
	static const uint32_t block_bytes[] = {256, 4096};
	unsigned failed = !play_single(fixture, 8);

	for (unsigned i = 0; i < G_N_ELEMENTS(linked_pages); i++) {
		int err = play_linked(fixture, linked_pages[i]);

		g_assert_true(err == 0 || err == -ENOMEM);
		failed += err != 0;
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(block_bytes); i++) {
		int err = play_pool(fixture, block_bytes[i]);

		g_assert_true(err == 0 || err == -ENOMEM);
		failed += err != 0;
	}
	return failed;
}

static const struct point {
	const char *name;
	unsigned id;
	unsigned scenes_failed; /* by one failure: 0 where the code has another way */
} points[] = {
	{"iova.node", FAULT_IOVA_NODE, 0},
	{"pgtable.page", FAULT_PGTABLE_PAGE, 1},
	{"iommu.map", FAULT_IOMMU_MAP, 1},
	{"dma.iova", FAULT_DMA_IOVA, 0},
	{"iommu.sync_map", FAULT_IOMMU_SYNC_MAP, 1},
	{"dma.link", FAULT_DMA_LINK, 1},
	{"dma.sync", FAULT_DMA_SYNC, 1},
};

/* The point fails at its first pass, its second, … to its last, each time in a fresh domain: the caller is
 * told, nothing stays behind, nothing is reported. A node and one attempt at an IOVA have a second way. */
static void test_each_failure_leaves_nothing(const void *data)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table,
							   &dma_fault_table, NULL};
	const struct point *point = data;
	uint64_t passes = 0;

	for (uint64_t nth = 1, fired = 1; fired; nth++) {
		struct fault_rules *rules;
		struct fixture fixture;
		unsigned failed;

		setup_fixed(&fixture, NULL);
		passes = fixture.sim->fault_passes[point->id];
		rules = sweep_arm(fixture.sim, tables, point->name, nth);
		failed = play(&fixture);
		fired = sweep_disarm(fixture.sim, rules);
		passes = fixture.sim->fault_passes[point->id] - passes;
		assert_empty(&fixture);
		g_assert_cmpuint(failed, ==, fired ? point->scenes_failed : 0);
		g_assert_cmpuint(all_found(&fixture), ==, 0);
		g_assert_cmpuint(play(&fixture), ==, 0);
		assert_empty(&fixture);
		teardown(&fixture, NULL);
		if (!fired)
			g_assert_cmpuint(passes, ==, nth - 1);
	}
	g_assert_cmpuint(passes, >, 0);
	g_test_message("%s: %" G_GUINT64_FORMAT " passes", point->name, passes);
}

#define TEST(path, function) g_test_add("/iommu/dma/" path, struct fixture, NULL, setup, function, teardown)
#define TEST_FIXED(path, function) \
	g_test_add("/iommu/dma/" path, struct fixture, NULL, setup_fixed, function, teardown)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	TEST("map-keeps-the-offset-and-shows-whole-granules",
	     test_map_keeps_the_offset_and_shows_whole_granules);
	TEST("direction-is-what-the-device-may-do", test_direction_is_what_the_device_may_do);
	TEST("without-iommu-addresses-are-physical", test_without_iommu_addresses_are_physical);
	TEST("holder-is-known-anywhere-in-its-range", test_holder_is_known_anywhere_in_its_range);
	TEST("32bit-attempt-is-given-up-for-good", test_32bit_attempt_is_given_up_for_good);
	TEST("32bit-attempt-is-made-for-each-request", test_32bit_attempt_is_made_for_each_request);
	TEST("forcedac-makes-no-32bit-attempt", test_forcedac_makes_no_32bit_attempt);
	TEST("32bit-device-has-one-attempt", test_32bit_device_has_one_attempt);
	TEST("try-alloc-refuses-what-the-kernel-refuses", test_try_alloc_refuses_what_the_kernel_refuses);
	TEST("linked-segments-lie-side-by-side", test_linked_segments_lie_side_by_side);
	TEST("link-inside-a-granule-warns", test_link_inside_a_granule_warns);
	TEST("destroy-in-the-other-direction-is-reported", test_destroy_in_the_other_direction_is_reported);
	TEST("destroy-of-nothing-linked-only-frees", test_destroy_of_nothing_linked_only_frees);
	TEST("partial-destroy-pollutes-the-smaller-class", test_partial_destroy_pollutes_the_smaller_class);
	TEST_FIXED("partial-destroy-of-the-whole-keeps-the-class",
		   test_partial_destroy_of_the_whole_keeps_the_class);
	TEST("smaller-class-is-reported-where-it-is-smaller",
	     test_smaller_class_is_reported_where_it_is_smaller);
	TEST("entries-left-behind-are-reported", test_entries_left_behind_are_reported);
	TEST("destroy-beyond-what-is-linked-is-a-wrong-size",
	     test_destroy_beyond_what_is_linked_is_a_wrong_size);
	TEST("unmap-of-another-length-is-a-wrong-size", test_unmap_of_another_length_is_a_wrong_size);
	TEST("unmap-of-the-same-pages-is-right", test_unmap_of_the_same_pages_is_right);
	TEST("second-unmap-is-reported-and-changes-nothing",
	     test_second_unmap_is_reported_and_changes_nothing);
	TEST("coherent-memory-is-zeroed-and-open-both-ways",
	     test_coherent_memory_is_zeroed_and_open_both_ways);
	TEST("pool-page-holds-sixteen-small-blocks-in-order",
	     test_pool_page_holds_sixteen_small_blocks_in_order);
	TEST("pool-hands-out-the-last-freed-first", test_pool_hands_out_the_last_freed_first);
	for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
		g_autofree char *path =
			g_strdup_printf("/iommu/dma/each-failure-leaves-nothing/%s", points[i].name);

		g_test_add_data_func(path, &points[i], test_each_failure_leaves_nothing);
	}
	return g_test_run();
}
