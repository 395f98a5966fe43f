/* SPDX-License-Identifier: MIT */
/*
 * Flush queues: geometry, when they flush, who gets what back, and that nothing is handed out before its flush. Numbers
 * are those of Linux 7.0 (iova-facts section 8).
 */
#include "iommu/dma/dma.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"

#define EVENT_FLUSH 0

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
};

static void flush_event(struct sim *sim, uint32_t payload)
{
	struct fixture *f = sim->handler_data[EVENT_FLUSH];

	g_assert_cmpuint(payload, ==, 7);
	sim->cpu = fq_timer_cpu(f->dev.fq);
	fq_timeout(f->dev.fq);
}

static void fixture_init(struct fixture *f, unsigned cpus, bool single)
{
	struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	struct pgtable_config pgtable = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	struct dma_config dma = {.name = "dev", .mask = UINT64_MAX, .aperture_end = (UINT64_C(1) << 48) - 1};

	*f = (struct fixture){.sim = sim_new(cpus, 1)};
	behaviour_set_version(f->sim, KERNEL_7_0);
	f->iommu = iommu_new(f->sim, &intel_ops, &tlb);
	g_assert_cmpint(iommu_domain_new(f->iommu, 1, &pgtable, &f->domain), ==, 0);
	f->iovad = iova_domain_new(f->sim, FRAME_SIZE, 1, 1, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(f->iovad), ==, 0);
	dma_device_init(&f->dev, f->sim, &dma, f->domain, f->iovad);
	f->dev.fq = fq_new(f->domain, f->iovad, single, 1000000, EVENT_FLUSH, 7);
	g_assert_nonnull(f->dev.fq);
	sim_handle(f->sim, EVENT_FLUSH, flush_event, f);
}

static void fixture_finish(struct fixture *f)
{
	fq_free(f->dev.fq);
	dma_device_finish(&f->dev);
	iova_domain_free(f->iovad);
	iommu_domain_free(f->domain);
	g_assert_cmpuint(f->sim->mem.in_use[FRAME_PGTABLE], ==, 0);
	iommu_free(f->iommu);
	sim_free(f->sim);
}

static uint64_t map_unmap(struct fixture *f)
{
	uint64_t addr = dma_map_phys(&f->dev, 0x100000, 4096, DMA_TO_DEVICE);

	g_assert_cmphex(addr, !=, DMA_MAPPING_ERROR);
	dma_unmap_phys(&f->dev, addr, 4096, DMA_TO_DEVICE);
	return addr;
}

static void count_queued(void *data, const struct fq_queued *queued)
{
	*(unsigned *)data += 1;
}

static unsigned queued(const struct fixture *f)
{
	unsigned count = 0;

	fq_each(f->dev.fq, count_queued, &count);
	return count;
}

static void test_unmap_neither_invalidates_nor_frees(void)
{
	struct fixture f;
	uint64_t first;

	fixture_init(&f, 1, false);
	first = map_unmap(&f);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 0);
	g_assert_cmpuint(f.dev.live.count, ==, 0);
	g_assert_cmphex(iommu_iova_to_phys(f.domain, first), ==, 0);
	/* Not handed out again before the flush, though the magazine would give the last freed first. */
	g_assert_cmphex(map_unmap(&f), !=, first);
	fixture_finish(&f);
}

static void test_the_256th_on_a_cpu_flushes_and_stays_alone(void)
{
	struct fixture f;

	fixture_init(&f, 2, false);
	for (unsigned i = 0; i < 255; i++)
		map_unmap(&f);
	g_assert_cmpuint(queued(&f), ==, 255);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 0);
	/* The other CPU has a ring of its own. */
	f.sim->cpu = 1;
	map_unmap(&f);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 0);
	f.sim->cpu = 0;
	map_unmap(&f);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 1);
	g_assert_cmpuint(fq_stats(f.dev.fq)->flushes_full, ==, 1);
	/* Its own ring was emptied; the other CPU's entry waits, although the flush covered it. */
	g_assert_cmpuint(queued(&f), ==, 2);
	/* The next unmap there reaps it first. */
	f.sim->cpu = 1;
	map_unmap(&f);
	g_assert_cmpuint(queued(&f), ==, 2);
	fixture_finish(&f);
}

static void test_the_timer_empties_all_rings_into_one_cpu(void)
{
	struct fixture f;
	uint64_t first, second;

	fixture_init(&f, 2, false);
	f.sim->cpu = 1;
	first = map_unmap(&f);
	f.sim->now_ns = 5000000;
	f.sim->cpu = 0;
	second = map_unmap(&f);
	sim_run_until(f.sim, 9999999);
	g_assert_cmpuint(queued(&f), ==, 2);
	sim_run_until(f.sim, 10000000);
	g_assert_cmpuint(queued(&f), ==, 0);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 1);
	g_assert_cmpuint(fq_windows(f.dev.fq)->max_ns, ==, 10000000);
	/* CPU 1 armed the timer: both are in its magazine, rings in the order of CPUs, so CPU 1's own came last. */
	f.sim->cpu = 1;
	g_assert_cmphex(dma_map_phys(&f.dev, 0x100000, 4096, DMA_TO_DEVICE), ==, first);
	g_assert_cmphex(dma_map_phys(&f.dev, 0x100000, 4096, DMA_TO_DEVICE), ==, second);
	/* One-shot: nothing waits until the next unmap. */
	g_assert_cmpuint(f.sim->events.count, ==, 0);
	fixture_finish(&f);
}

static void test_a_single_ring_is_shared_and_slow(void)
{
	struct fixture f;

	fixture_init(&f, 2, true);
	for (unsigned i = 0; i < FQ_SINGLE_ENTRIES - 1; i++) {
		f.sim->cpu = i % 2;
		map_unmap(&f);
	}
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 0);
	map_unmap(&f);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 1);
	g_assert_cmpuint(queued(&f), ==, 1);
	g_assert_cmpuint(event_queue_next_ns(&f.sim->events), ==, FQ_SINGLE_NS);
	fixture_finish(&f);
}

static void test_the_timer_waits_whole_ticks(void)
{
	struct fixture f;

	fixture_init(&f, 1, false);
	fq_free(f.dev.fq);
	/* 250 ticks a second: three ticks of 4 ms. */
	f.dev.fq = fq_new(f.domain, f.iovad, false, 4000000, EVENT_FLUSH, 7);
	map_unmap(&f);
	g_assert_cmpuint(event_queue_next_ns(&f.sim->events), ==, 12000000);
	fixture_finish(&f);
}

static void test_freed_table_pages_wait_for_the_flush(void)
{
	struct fixture f;
	struct dma_iova_state state;
	uint64_t len = UINT64_C(2) << 20;
	uint32_t before;

	fixture_init(&f, 1, false);
	/* 2 MiB of small pages: one last-level table, which the unmap takes out whole. */
	g_assert_true(dma_iova_try_alloc(&f.dev, &state, 0x1000, len));
	g_assert_cmpint(dma_iova_link(&f.dev, &state, 0x1000, 0, len, DMA_TO_DEVICE), ==, 0);
	before = f.sim->mem.in_use[FRAME_PGTABLE];
	dma_iova_destroy(&f.dev, &state, len, DMA_TO_DEVICE);
	g_assert_cmpuint(f.sim->mem.in_use[FRAME_PGTABLE], ==, before);
	sim_run_until(f.sim, FQ_PERCPU_NS);
	g_assert_cmpuint(f.sim->mem.in_use[FRAME_PGTABLE], <, before);
	fixture_finish(&f);
}

static void test_nothing_linked_is_freed_at_once(void)
{
	struct fixture f;
	struct dma_iova_state state;

	fixture_init(&f, 1, false);
	g_assert_true(dma_iova_try_alloc(&f.dev, &state, 0x1000, 8192));
	dma_iova_destroy(&f.dev, &state, 0, DMA_TO_DEVICE);
	g_assert_cmpuint(queued(&f), ==, 0);
	g_assert_cmpuint(f.dev.live.count, ==, 0);
	fixture_finish(&f);
}

static void test_a_stale_entry_serves_until_the_flush(void)
{
	struct fixture f;
	struct iotlb_result result;
	uint64_t addr, since_ns;

	fixture_init(&f, 1, false);
	addr = dma_map_phys(&f.dev, 0x100000, 4096, DMA_TO_DEVICE);
	g_assert_true(iotlb_translate(f.iommu->tlb, 1, f.domain->pt, addr, &result));
	sim_run_until(f.sim, 1000000);
	dma_unmap_phys(&f.dev, addr, 4096, DMA_TO_DEVICE);
	/* The last moment of the window. */
	sim_run_until(f.sim, 1000000 + FQ_PERCPU_NS - 1);
	g_assert_true(iotlb_translate(f.iommu->tlb, 1, f.domain->pt, addr, &result));
	g_assert_true(result.stale);
	g_assert_true(iotlb_gone_since(f.iommu->tlb, 1, addr, &since_ns));
	g_assert_cmpuint(since_ns, ==, 1000000);
	sim_run_until(f.sim, 1000000 + FQ_PERCPU_NS);
	g_assert_false(iotlb_translate(f.iommu->tlb, 1, f.domain->pt, addr, &result));
	g_assert_false(iotlb_gone_since(f.iommu->tlb, 1, addr, &since_ns));
	fixture_finish(&f);
}

/* Random requests whose device comes late: lazy, it gets through to frames that were given back until the flush, and
 * only until then; strict, never. */
static void test_the_window_of_late_accesses(void)
{
	for (unsigned lazy = 0; lazy <= 1; lazy++) {
		uint64_t unmap_ns[64] = {0}, addrs[64] = {0};
		unsigned stale = 0;
		struct fixture f;
		struct prng prng;

		fixture_init(&f, 1, false);
		if (!lazy)
			fq_free(g_steal_pointer(&f.dev.fq));
		prng_init(&prng, 1, "late");
		for (unsigned step = 0; step < 20000; step++) {
			unsigned slot = prng_below(&prng, 64), late = prng_below(&prng, 64);
			struct iotlb_result result;
			uint64_t since_ns;

			sim_run_until(f.sim, f.sim->now_ns + prng_below(&prng, 1000000));
			addrs[slot] = dma_map_phys(&f.dev, 0x100000 + slot * 0x3000, 4096, true);
			g_assert_true(iotlb_translate(f.iommu->tlb, 1, f.domain->pt, addrs[slot], &result));
			g_assert_false(result.stale);
			dma_unmap_phys(&f.dev, addrs[slot], 4096, DMA_TO_DEVICE);
			unmap_ns[slot] = f.sim->now_ns;
			sim_run_until(f.sim, f.sim->now_ns + prng_below(&prng, 1000000));
			if (!unmap_ns[late] ||
			    !iotlb_translate(f.iommu->tlb, 1, f.domain->pt, addrs[late], &result))
				continue;
			/* Nothing is mapped at this moment. */
			g_assert_true(result.stale);
			g_assert_true(iotlb_gone_since(f.iommu->tlb, 1, addrs[late], &since_ns));
			g_assert_cmpuint(f.sim->now_ns - since_ns, <, FQ_PERCPU_NS);
			g_assert_cmpuint(since_ns, >=, unmap_ns[late]);
			stale++;
		}
		if (lazy)
			g_assert_cmpuint(stale, >, 100);
		else
			g_assert_cmpuint(stale, ==, 0);
		fixture_finish(&f);
	}
}

static void test_no_memory_for_rings_means_strict(void)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, NULL};
	struct fault_rules *rules;
	struct fixture f;
	uint64_t addr;

	fixture_init(&f, 2, false);
	fq_free(g_steal_pointer(&f.dev.fq));
	rules = sweep_arm(f.sim, tables, "iova.fq", 1);
	f.dev.fq = fq_new(f.domain, f.iovad, false, 1000000, EVENT_FLUSH, 7);
	g_assert_null(f.dev.fq);
	g_assert_true(sweep_disarm(f.sim, rules));
	/* Invalidated and given back at once, so the magazine gives it out again; nothing waits for a timer. */
	addr = map_unmap(&f);
	g_assert_cmpuint(f.iommu->stats.invalidate_commands, ==, 1);
	g_assert_cmphex(map_unmap(&f), ==, addr);
	g_assert_cmpuint(f.sim->events.count, ==, 0);
	fixture_finish(&f);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/iommu/fq/unmap-neither-invalidates-nor-frees",
			test_unmap_neither_invalidates_nor_frees);
	g_test_add_func("/iommu/fq/256th-flushes-and-stays-alone",
			test_the_256th_on_a_cpu_flushes_and_stays_alone);
	g_test_add_func("/iommu/fq/timer-empties-all-into-one-cpu",
			test_the_timer_empties_all_rings_into_one_cpu);
	g_test_add_func("/iommu/fq/single-ring-is-shared-and-slow", test_a_single_ring_is_shared_and_slow);
	g_test_add_func("/iommu/fq/timer-waits-whole-ticks", test_the_timer_waits_whole_ticks);
	g_test_add_func("/iommu/fq/table-pages-wait-for-the-flush",
			test_freed_table_pages_wait_for_the_flush);
	g_test_add_func("/iommu/fq/nothing-linked-is-freed-at-once", test_nothing_linked_is_freed_at_once);
	g_test_add_func("/iommu/fq/stale-entry-serves-until-the-flush",
			test_a_stale_entry_serves_until_the_flush);
	g_test_add_func("/iommu/fq/window-of-late-accesses", test_the_window_of_late_accesses);
	g_test_add_func("/iommu/fq/no-memory-for-rings-means-strict", test_no_memory_for_rings_means_strict);
	return g_test_run();
}
