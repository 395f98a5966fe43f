/* SPDX-License-Identifier: MIT */
/*
 * The DMA layer for devices that are not the usual one: untrusted, not coherent, behind a page-table driver that loses
 * errors, of a crash kernel, or without an IOMMU. What they get, in which order the CPU does its part, what misuse is
 * called; then every fault point at every pass leaves nothing.
 */
#include <errno.h>

#include "iommu/dma/dma.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"

#define PAGE  UINT64_C(0x1000)
#define PADDR UINT64_C(0x300000000)
#define BASE  UINT64_C(0x70000000)

/** What a test asks for; 0: as usual. */
struct wish {
	const struct iommu_hw_ops *driver; /* NULL: intel */
	enum kernel_version version;	   /* 0 is 6.1, which has none of this: 7.0 */
	bool lazy, no_iommu, no_swiotlb;
	struct dma_config dma;
};

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain; /* NULL: no IOMMU */
	struct iova_domain *iovad;
	struct swiotlb *swiotlb;
	struct dma_device dev;
	struct sim_observer observer;
	GString *calls; /* what the CPU did, in order: "bounce" etc. */
};

static const struct wish untrusted = {.dma = {.untrusted = true}};
static const struct wish untrusted_later = {.version = KERNEL_7_0_LATER, .dma = {.untrusted = true}};
static const struct wish incoherent = {.dma = {.incoherent = true}};
static const struct wish deferred = {.dma = {.deferred_attach = true}};
static const struct wish usual = {.version = KERNEL_7_0};
static const struct wish page_table_driver = {.driver = &ipmmu_ops};
static const struct wish no_iommu = {.no_iommu = true, .dma = {.mask = UINT32_MAX}};
static const struct wish no_iommu_incoherent = {.no_iommu = true,
						.dma = {.mask = UINT32_MAX, .incoherent = true}};

/* Notes what concerns caches and bounce buffers, and how something is mapped. */
static void note_call(void *data, struct sim *sim, const struct dma_call *call)
{
	static const char *const names[] = {
		[DMA_CALL_DEFERRED_ATTACH] = "attach", [DMA_CALL_CACHE_FOR_DEVICE] = "device",
		[DMA_CALL_CACHE_FOR_CPU] = "cpu",      [DMA_CALL_CACHE_FLUSH] = "flush",
		[DMA_CALL_BOUNCE_MAP] = "bounce",      [DMA_CALL_BOUNCE_SYNC] = "back",
		[DMA_CALL_BOUNCE_UNMAP] = "unbounce",  [DMA_CALL_BOUNCE_INACTIVE] = "inactive",
	};

	if (call->kind < G_N_ELEMENTS(names) && names[call->kind])
		g_string_append_printf(data, "%s ", names[call->kind]);
}

static void note_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		     uint64_t len, unsigned prot)
{
	g_string_append_printf(data, "map%s%s ", prot & PROT_CACHE ? "/cache" : "",
			       prot & PROT_MMIO ? "/mmio" : "");
}

static void note_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
		       uint64_t unmapped)
{
	if (len)
		g_string_append(data, "unmap ");
}

static void setup(struct fixture *fixture, const void *data)
{
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	static const struct swiotlb_config pool = {.base = BASE, .slots = 64, .slot_bytes = 2048};
	/* Tables of a page-table driver must lie where 40 bits reach. */
	const struct pgtable_config table = {.ias_bits = 48,
					     .oas_bits = 52,
					     .top_level = 3,
					     .table_offset = UINT64_C(0x80000000) - PHYSMEM_BASE};
	const struct wish *wish = data;
	struct dma_config dma = wish->dma;

	*fixture = (struct fixture){.sim = sim_new(4, 1), .calls = g_string_new(NULL)};
	behaviour_set_version(fixture->sim, wish->version ? wish->version : KERNEL_7_0);
	fixture->iommu = iommu_new(fixture->sim, wish->driver ? wish->driver : &intel_ops, &tlb);
	if (!wish->no_iommu)
		g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	if (!wish->no_swiotlb)
		fixture->swiotlb = swiotlb_new(&pool);
	dma.name = "dev";
	dma.mask = dma.mask ? dma.mask : UINT64_MAX;
	dma.aperture_end = UINT32_MAX;
	dma.swiotlb = fixture->swiotlb;
	dma_device_init(&fixture->dev, fixture->sim, &dma, fixture->domain, fixture->iovad);
	if (wish->lazy)
		fixture->dev.fq = fq_new(fixture->domain, fixture->iovad, false, 1, 0, 0);
	fixture->observer = (struct sim_observer){
		.dma_call = note_call, .map = note_map, .unmap = note_unmap, .data = fixture->calls};
	sim_observe(fixture->sim, &fixture->observer);
}

static void teardown(struct fixture *fixture, const void *data)
{
	fq_free(fixture->dev.fq);
	dma_device_finish(&fixture->dev);
	swiotlb_free(fixture->swiotlb);
	iommu_domain_free(fixture->domain);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	sim_free(fixture->sim);
	g_string_free(fixture->calls, TRUE);
}

static void assert_calls(struct fixture *fixture, const char *expected)
{
	g_assert_cmpstr(fixture->calls->str, ==, expected);
	g_string_truncate(fixture->calls, 0);
}

static uint64_t found(const struct fixture *fixture, enum finding_kind kind)
{
	return fixture->sim->findings.count[kind];
}

static uint64_t all_found(const struct fixture *fixture)
{
	return findings_violations(&fixture->sim->findings) + findings_observations(&fixture->sim->findings);
}

static void count_live(void *data, const struct dma_live *live)
{
	(*(uint64_t *)data)++;
}

static void count_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	*(uint64_t *)data += size;
}

static uint64_t mapped_bytes(const struct fixture *fixture)
{
	uint64_t bytes = 0;

	pgtable_dump(fixture->domain->pt, count_leaf, &bytes);
	return bytes;
}

/* No IOVA is held, nothing is mapped, no slot is used. */
static void assert_empty(const struct fixture *fixture)
{
	uint64_t live = 0;

	dma_live_each(&fixture->dev, count_live, &live);
	g_assert_cmpuint(live, ==, 0);
	if (fixture->domain)
		g_assert_cmpuint(mapped_bytes(fixture), ==, 0);
	if (fixture->swiotlb)
		g_assert_cmpuint(fixture->swiotlb->stats.in_use, ==, 0);
}

static uint64_t phys(const struct fixture *fixture, uint64_t iova)
{
	return iommu_iova_to_phys(fixture->domain, iova);
}

/* ---- untrusted ---- */

static void test_untrusted_sees_only_copies_of_partial_granules(struct fixture *fixture, const void *data)
{
	static const struct {
		uint64_t offset, len, slots;
	} cases[] = {{0, 4096, 0}, {0, 8192, 0}, {512, 512, 2}, {0, 4095, 2}, {512, 4096, 4}, {1, 8192, 6}};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint64_t paddr = PADDR + cases[i].offset, len = cases[i].len;
		uint64_t addr = dma_map_phys(&fixture->dev, paddr, len, DMA_FROM_DEVICE);

		g_assert_cmphex(addr % PAGE, ==, cases[i].offset);
		g_assert_cmpuint(fixture->swiotlb->stats.in_use, ==, cases[i].slots);
		g_assert_cmphex(phys(fixture, addr), ==, (cases[i].slots ? BASE : PADDR) + cases[i].offset);
		dma_unmap_phys(&fixture->dev, addr, len, DMA_FROM_DEVICE);
		assert_empty(fixture);
	}
	g_assert_cmpuint(fixture->swiotlb->stats.copied_in_bytes, ==, 512 + 4095 + 4096 + 8192);
	g_assert_cmpuint(fixture->swiotlb->stats.copied_out_bytes, ==, 512 + 4095 + 4096 + 8192);
	g_assert_cmpuint(fixture->swiotlb->stats.zeroed_bytes, ==, 3584 + 1 + 4096 + 4096);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

static void test_bounce_is_copied_back_after_the_unmap(struct fixture *fixture, const void *data)
{
	uint64_t addr = dma_map_phys(&fixture->dev, PADDR + 512, 512, DMA_FROM_DEVICE);

	assert_calls(fixture, "bounce map/cache ");
	dma_unmap_phys(&fixture->dev, addr, 512, DMA_FROM_DEVICE);
	assert_calls(fixture, "unmap unbounce ");
	addr = dma_map_phys(&fixture->dev, PADDR + 512, 512, DMA_TO_DEVICE);
	dma_unmap_phys(&fixture->dev, addr, 512, DMA_TO_DEVICE);
	g_assert_cmpuint(fixture->swiotlb->stats.copied_in_bytes, ==, 1024);
	g_assert_cmpuint(fixture->swiotlb->stats.copied_out_bytes, ==, 512);
}

static void test_no_copy_of_what_cannot_be_copied(struct fixture *fixture, const void *data)
{
	static const unsigned attrs[] = {DMA_ATTR_MMIO, DMA_ATTR_REQUIRE_COHERENT};
	struct dma_iova_state state;

	for (unsigned i = 0; i < G_N_ELEMENTS(attrs); i++) {
		uint64_t addr;

		g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR + 512, 512, attrs[i]), ==,
				DMA_MAPPING_ERROR);
		addr = dma_map_phys(&fixture->dev, PADDR, PAGE, attrs[i]);
		g_assert_cmphex(phys(fixture, addr), ==, PADDR);
		dma_unmap_phys(&fixture->dev, addr, PAGE, attrs[i]);
		g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR + 512, 512));
		g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 512, 0, 512, attrs[i]), ==,
				-EPERM);
		dma_iova_destroy(&fixture->dev, &state, 0, attrs[i]);
	}
	/* What is coherent goes into no IOVA of which a part is a copy. */
	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR + 512, PAGE - 512 + PAGE));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 512, 0, PAGE - 512, 0), ==, 0);
	g_assert_true(state.bounced);
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 8 * PAGE, PAGE - 512, PAGE,
				      DMA_ATTR_REQUIRE_COHERENT),
			==, -EOPNOTSUPP);
	dma_iova_destroy(&fixture->dev, &state, PAGE - 512, 0);
	assert_empty(fixture);
	g_assert_cmpuint(found(fixture, FINDING_KERNEL_WARNING), ==, 0);
}

static void test_without_a_pool_partial_granules_fail(struct fixture *fixture, const void *data)
{
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR + 512, 512, DMA_TO_DEVICE), ==, DMA_MAPPING_ERROR);
	assert_calls(fixture, "inactive ");
	dma_unmap_phys(&fixture->dev, dma_map_phys(&fixture->dev, PADDR, PAGE, 0), PAGE, 0);
	assert_empty(fixture);
}

static void test_link_bounces_both_ends(struct fixture *fixture, const void *data)
{
	uint64_t len = 512 + 2 * PAGE + 1024;
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR + PAGE - 512, len));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + PAGE - 512, 0, len, DMA_FROM_DEVICE), ==,
			0);
	g_assert_cmpint(dma_iova_sync(&fixture->dev, &state, 0, len), ==, 0);
	assert_calls(fixture, "bounce map/cache map/cache bounce map/cache ");
	g_assert_cmphex(phys(fixture, state.addr), ==, BASE + PAGE - 512);
	g_assert_cmphex(phys(fixture, state.addr + 512), ==, PADDR + PAGE);
	g_assert_cmphex(phys(fixture, state.addr + 512 + PAGE), ==, PADDR + 2 * PAGE);
	g_assert_cmphex(phys(fixture, state.addr + 512 + 2 * PAGE), ==, BASE + PAGE);
	dma_iova_destroy(&fixture->dev, &state, len, DMA_FROM_DEVICE);
	assert_calls(fixture, "unbounce unbounce unmap ");
	g_assert_cmpuint(fixture->swiotlb->stats.copied_out_bytes, ==, 512 + 1024);
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 0);
}

/* Two granules of which each is filled in part, and none whole. */
static int link_two_parts(struct fixture *fixture)
{
	struct dma_iova_state state;
	int err;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR + PAGE - 512, 1024));
	err = dma_iova_link(&fixture->dev, &state, PADDR + PAGE - 512, 0, 1024, DMA_FROM_DEVICE);
	dma_iova_destroy(&fixture->dev, &state, err ? 0 : 1024, DMA_FROM_DEVICE);
	assert_empty(fixture);
	g_assert_cmpuint(all_found(fixture), ==, 0);
	return err;
}

static void test_link_without_whole_granules_fails(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(link_two_parts(fixture), ==, -EINVAL);
}

static void test_link_without_whole_granules(struct fixture *fixture, const void *data)
{
	g_assert_cmpint(link_two_parts(fixture), ==, 0);
}

/* The second link of three granules fails at its bounced end; returns what is left of the first. */
static uint64_t fail_second_link(struct fixture *fixture)
{
	static const struct fault_table *const tables[] = {&dma_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(fixture->sim, tables, "dma.bounce", 1);
	struct dma_iova_state state;
	uint64_t left;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 4 * PAGE + 512));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, 2 * PAGE, 0), ==, 0);
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 8 * PAGE, 2 * PAGE, 2 * PAGE + 512, 0),
			==, -ENOMEM);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	left = phys(fixture, state.addr);
	dma_iova_destroy(&fixture->dev, &state, 2 * PAGE, 0);
	return left;
}

/* Defect D4: what is unwound is not its own. */
static void test_failed_link_takes_others_mappings_away(struct fixture *fixture, const void *data)
{
	g_assert_cmphex(fail_second_link(fixture), ==, 0);
	g_assert_cmpuint(found(fixture, FINDING_WRONG_SIZE), ==, 1);
	g_assert_cmpuint(found(fixture, FINDING_STALE_REACHABLE), ==, 1);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 2 * PAGE);
}

static void test_failed_link_undoes_its_own_mappings(struct fixture *fixture, const void *data)
{
	g_assert_cmphex(fail_second_link(fixture), ==, PADDR);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	assert_empty(fixture);
}

/* ---- not coherent ---- */

static void test_caches_are_synchronised_around_a_mapping(struct fixture *fixture, const void *data)
{
	uint64_t addr = dma_map_phys(&fixture->dev, PADDR + 512, 512, DMA_TO_DEVICE);

	assert_calls(fixture, "device flush map ");
	dma_unmap_phys(&fixture->dev, addr, 512, DMA_TO_DEVICE);
	assert_calls(fixture, "cpu flush unmap ");
	addr = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_ATTR_SKIP_CPU_SYNC);
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_ATTR_SKIP_CPU_SYNC);
	assert_calls(fixture, "map unmap ");
	addr = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_ATTR_MMIO);
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_ATTR_MMIO);
	assert_calls(fixture, "map/mmio unmap ");
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_ATTR_REQUIRE_COHERENT), ==,
			DMA_MAPPING_ERROR);
	assert_calls(fixture, "");
	assert_empty(fixture);
}

static void test_caches_are_synchronised_granule_by_granule(struct fixture *fixture, const void *data)
{
	struct dma_iova_state state;

	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, 3 * PAGE));
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, 2 * PAGE, DMA_ATTR_REQUIRE_COHERENT),
			==, -EOPNOTSUPP);
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR, 0, 2 * PAGE, 0), ==, 0);
	g_assert_cmpint(dma_iova_link(&fixture->dev, &state, PADDR + 8 * PAGE, 2 * PAGE, PAGE, 0), ==, 0);
	g_assert_cmpint(dma_iova_sync(&fixture->dev, &state, 0, 3 * PAGE), ==, 0);
	assert_calls(fixture, "device map device map flush ");
	dma_iova_destroy(&fixture->dev, &state, 3 * PAGE, 0);
	assert_calls(fixture, "cpu cpu cpu flush unmap ");
	g_assert_cmpuint(fixture->sim->work[WORK_CACHE_SYNC], ==, 2 * 3 * PAGE / 64);
	assert_empty(fixture);
}

/* ---- errors that a driver loses ---- */

static void lose_map(struct fixture *fixture)
{
	static const struct fault_table *const tables[] = {&iommu_fault_table, NULL};
	struct fault_rules *rules = sweep_arm(fixture->sim, tables, "iommu.map", 1);
	uint64_t addr = dma_map_phys(&fixture->dev, 0x40000000, PAGE, 0);

	g_assert_true(sweep_disarm(fixture->sim, rules));
	g_assert_cmphex(addr, !=, DMA_MAPPING_ERROR);
	g_assert_cmphex(phys(fixture, addr), ==, 0);
	dma_unmap_phys(&fixture->dev, addr, PAGE, 0);
}

static void test_lost_mapping_warns_and_keeps_its_iova(struct fixture *fixture, const void *data)
{
	uint64_t live = 0;

	lose_map(fixture);
	g_assert_cmpuint(found(fixture, FINDING_KERNEL_WARNING), ==, 1);
	dma_live_each(&fixture->dev, count_live, &live);
	g_assert_cmpuint(live, ==, 1);
	dma_unmap_phys(&fixture->dev, dma_map_phys(&fixture->dev, 0x40000000, PAGE, 0), PAGE, 0);
	g_assert_cmpuint(all_found(fixture), ==, 1);
}

/* ---- a crash kernel ---- */

static int reluctant_attach(struct iommu_domain *domain)
{
	unsigned *refusals = domain->iommu->watch.data;

	return *refusals && (*refusals)-- ? -ENODEV : 0;
}

static void test_domain_is_attached_at_the_first_use(struct fixture *fixture, const void *data)
{
	struct iommu_hw_ops reluctant = intel_ops;
	struct dma_iova_state state;
	unsigned refusals = 2;
	uint64_t addr;

	reluctant.attach = reluctant_attach;
	fixture->iommu->ops = &reluctant;
	fixture->iommu->watch.data = &refusals;
	g_assert_false(dma_iova_try_alloc(&fixture->dev, &state, PADDR, PAGE));
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, 0), ==, DMA_MAPPING_ERROR);
	assert_calls(fixture, "attach attach ");
	g_assert_false(fixture->domain->attached);
	addr = dma_map_phys(&fixture->dev, PADDR, PAGE, 0);
	assert_calls(fixture, "attach map/cache ");
	g_assert_true(fixture->domain->attached);
	dma_unmap_phys(&fixture->dev, addr, PAGE, 0);
	g_assert_true(dma_iova_try_alloc(&fixture->dev, &state, PADDR, PAGE));
	dma_iova_destroy(&fixture->dev, &state, 0, 0);
	assert_calls(fixture, "unmap ");
	assert_empty(fixture);
	fixture->iommu->ops = &intel_ops;
}

/* ---- without an IOMMU ---- */

static void test_unreachable_memory_is_bounced(struct fixture *fixture, const void *data)
{
	uint64_t addr;

	g_assert_cmphex(dma_map_phys(&fixture->dev, 0xfffff000, PAGE, 0), ==, 0xfffff000);
	g_assert_false(dma_need_unmap(&fixture->dev));
	addr = dma_map_phys(&fixture->dev, 0xfffff800, PAGE, DMA_FROM_DEVICE);
	g_assert_cmphex(addr, ==, BASE);
	assert_calls(fixture, "bounce ");
	/* From now on the driver must unmap, also what was not bounced. */
	g_assert_true(dma_need_unmap(&fixture->dev));
	dma_unmap_phys(&fixture->dev, 0xfffff000, PAGE, DMA_FROM_DEVICE);
	assert_calls(fixture, "");
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_calls(fixture, "back unbounce ");
	g_assert_cmpuint(fixture->swiotlb->stats.copied_out_bytes, ==, PAGE);
	g_assert_cmpuint(fixture->swiotlb->stats.zeroed_bytes, ==, 0);
	addr = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_TO_DEVICE);
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_TO_DEVICE);
	assert_calls(fixture, "bounce unbounce ");
	g_assert_cmpuint(all_found(fixture), ==, 0);
	assert_empty(fixture);
}

static void test_unreachable_memory_of_others_warns(struct fixture *fixture, const void *data)
{
	g_assert_cmphex(dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_ATTR_MMIO), ==, DMA_MAPPING_ERROR);
	g_assert_cmphex(dma_map_phys(&fixture->dev, UINT64_MAX - PAGE + 1, PAGE, DMA_ATTR_MMIO), ==,
			DMA_MAPPING_ERROR);
	g_assert_cmpuint(found(fixture, FINDING_KERNEL_WARNING), ==, 2);
	assert_calls(fixture, "");
}

static void test_bounce_buffer_is_synchronised_too(struct fixture *fixture, const void *data)
{
	uint64_t addr = dma_map_phys(&fixture->dev, PADDR, PAGE, DMA_FROM_DEVICE);

	g_assert_true(dma_need_unmap(&fixture->dev));
	assert_calls(fixture, "bounce device flush ");
	dma_unmap_phys(&fixture->dev, addr, PAGE, DMA_FROM_DEVICE);
	assert_calls(fixture, "cpu flush back unbounce ");
	dma_unmap_phys(&fixture->dev, dma_map_phys(&fixture->dev, 0x1000, PAGE, 0), PAGE, 0);
	assert_calls(fixture, "device flush cpu flush ");
	assert_empty(fixture);
}

/* ---- misuse ---- */

static void test_misuse_has_the_names_of_dma_debugging(struct fixture *fixture, const void *data)
{
	struct dma_device *dev = &fixture->dev;
	struct dma_iova_state state;
	uint64_t addr;

	dma_unmap_phys(dev, DMA_MAPPING_ERROR, PAGE, 0);
	g_assert_cmpuint(found(fixture, FINDING_INVALID_UNMAP), ==, 1);
	addr = dma_map_phys(dev, PADDR, PAGE, DMA_TO_DEVICE);
	dma_unmap_phys(dev, addr, PAGE, DMA_FROM_DEVICE);
	g_assert_cmpuint(found(fixture, FINDING_WRONG_DIRECTION), ==, 1);
	dma_unmap_phys(dev, addr, PAGE, DMA_TO_DEVICE);
	g_assert_cmpuint(found(fixture, FINDING_DOUBLE_UNMAP), ==, 1);
	g_assert_true(dma_iova_try_alloc(dev, &state, PADDR, PAGE));
	g_assert_cmpint(dma_iova_link(dev, &state, PADDR, 0, PAGE, 0), ==, 0);
	dma_unmap_phys(dev, state.addr, PAGE, 0);
	g_assert_cmpuint(found(fixture, FINDING_WRONG_FUNCTION), ==, 1);
	state = (struct dma_iova_state){0};
	dma_iova_destroy(dev, &state, PAGE, 0);
	g_assert_cmpuint(found(fixture, FINDING_DOUBLE_UNMAP), ==, 2);
	g_assert_cmpuint(all_found(fixture), ==, 5);
	assert_empty(fixture);
}

/* ---- every failure ---- */

/* Maps pieces one by one and unmaps what it got. Returns whether all went well. */
static bool play_single(struct fixture *fixture)
{
	uint64_t addrs[6], len = PAGE + 512;
	unsigned count = 0;

	for (; count < G_N_ELEMENTS(addrs); count++) {
		addrs[count] = dma_map_phys(&fixture->dev, PADDR + count * 4 * PAGE + count * 512, len,
					    DMA_FROM_DEVICE);
		if (addrs[count] == DMA_MAPPING_ERROR)
			break;
	}
	for (unsigned i = 0; i < count; i++)
		dma_unmap_phys(&fixture->dev, addrs[i], len, DMA_FROM_DEVICE);
	return count == G_N_ELEMENTS(addrs);
}

/* Links @head bytes up to a granule's end, two granules, and @tail bytes. Returns whether all went well. */
static bool play_linked(struct fixture *fixture, uint64_t head, uint64_t tail)
{
	struct bio {
		uint64_t paddr, len;
	} pieces[] = {
		{PADDR + 8 * PAGE - head, head}, {PADDR + 16 * PAGE, 2 * PAGE}, {PADDR + 24 * PAGE, tail}};
	uint64_t total = head + 2 * PAGE + tail, linked = 0;
	struct dma_iova_state state;
	int err = 0;

	if (!dma_iova_try_alloc(&fixture->dev, &state, pieces[head ? 0 : 1].paddr, total))
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(pieces) && !err; i++) {
		if (!pieces[i].len)
			continue;
		err = dma_iova_link(&fixture->dev, &state, pieces[i].paddr, linked, pieces[i].len,
				    DMA_FROM_DEVICE);
		linked += err ? 0 : pieces[i].len;
	}
	if (!err)
		err = dma_iova_sync(&fixture->dev, &state, 0, total);
	dma_iova_destroy(&fixture->dev, &state, linked, DMA_FROM_DEVICE);
	return err == 0;
}

static unsigned play(struct fixture *fixture)
{
	static const uint64_t ends[] = {0, 512, PAGE - 512, PAGE, PAGE + 512};
	unsigned failed = !play_single(fixture);

	for (unsigned i = 0; fixture->domain && i < G_N_ELEMENTS(ends) * G_N_ELEMENTS(ends); i++)
		failed += !play_linked(fixture, ends[i / G_N_ELEMENTS(ends)], ends[i % G_N_ELEMENTS(ends)]);
	return failed;
}

static const char *const points[] = {"iova.node", "pgtable.page", "iommu.map", "iommu.sync_map",
				     "dma.iova",  "dma.link",	  "dma.sync",  "dma.bounce"};

static const struct {
	const char *name;
	struct wish wish;
	bool passes_bounce;
} worlds[] = {
	{"untrusted", {.version = KERNEL_FIXED, .dma = {.untrusted = true}}, true},
	{"incoherent", {.version = KERNEL_FIXED, .dma = {.incoherent = true}}, false},
	{"both-lazy",
	 {.version = KERNEL_FIXED, .lazy = true, .dma = {.untrusted = true, .incoherent = true}},
	 true},
	{"deferred", {.version = KERNEL_FIXED, .dma = {.deferred_attach = true, .untrusted = true}}, true},
	{"no-iommu",
	 {.version = KERNEL_FIXED, .no_iommu = true, .dma = {.mask = UINT32_MAX, .incoherent = true}},
	 true},
	{"no-iommu-all", {.version = KERNEL_FIXED, .no_iommu = true, .dma = {.swiotlb_force = true}}, true},
};

/* One point fails at its first pass, its second, … to its last, each time in a world of its own. */
static void test_each_failure_leaves_nothing(const void *data)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table,
							   &dma_fault_table, NULL};
	unsigned world = GPOINTER_TO_UINT(data) / G_N_ELEMENTS(points);
	const char *point = points[GPOINTER_TO_UINT(data) % G_N_ELEMENTS(points)];
	bool bounce = strcmp(point, "dma.bounce") == 0;
	uint64_t failures = 0;

	for (uint64_t nth = 1, fired = 1; fired; nth++) {
		struct fault_rules *rules;
		struct fixture fixture;

		setup(&fixture, &worlds[world].wish);
		rules = sweep_arm(fixture.sim, tables, point, nth);
		g_assert_cmpuint(play(&fixture), <=, 1);
		fired = sweep_disarm(fixture.sim, rules);
		failures += fired;
		assert_empty(&fixture);
		g_assert_cmpuint(play(&fixture), ==, 0);
		assert_empty(&fixture);
		g_assert_cmpuint(all_found(&fixture), ==, 0);
		teardown(&fixture, NULL);
	}
	g_test_message("%" G_GUINT64_FORMAT " failures", failures);
	if (bounce)
		g_assert_cmpint(failures > 5, ==, worlds[world].passes_bounce);
}

#define TEST(path, function, wish) \
	g_test_add("/iommu/dma-special/" path, struct fixture, &(wish), setup, function, teardown)

int main(int argc, char **argv)
{
	static const struct wish no_pool = {.no_swiotlb = true, .dma = {.untrusted = true}};

	g_test_init(&argc, &argv, NULL);
	TEST("untrusted-sees-only-copies-of-partial-granules",
	     test_untrusted_sees_only_copies_of_partial_granules, untrusted);
	TEST("bounce-is-copied-back-after-the-unmap", test_bounce_is_copied_back_after_the_unmap, untrusted);
	TEST("no-copy-of-what-cannot-be-copied", test_no_copy_of_what_cannot_be_copied, untrusted);
	TEST("without-a-pool-partial-granules-fail", test_without_a_pool_partial_granules_fail, no_pool);
	TEST("link-bounces-both-ends", test_link_bounces_both_ends, untrusted);
	TEST("link-without-whole-granules-fails", test_link_without_whole_granules_fails, untrusted);
	TEST("link-without-whole-granules", test_link_without_whole_granules, untrusted_later);
	TEST("failed-link-takes-others-mappings-away", test_failed_link_takes_others_mappings_away,
	     untrusted);
	TEST("failed-link-undoes-its-own-mappings", test_failed_link_undoes_its_own_mappings,
	     untrusted_later);
	TEST("caches-are-synchronised-around-a-mapping", test_caches_are_synchronised_around_a_mapping,
	     incoherent);
	TEST("caches-are-synchronised-granule-by-granule", test_caches_are_synchronised_granule_by_granule,
	     incoherent);
	TEST("lost-mapping-warns-and-keeps-its-iova", test_lost_mapping_warns_and_keeps_its_iova,
	     page_table_driver);
	TEST("domain-is-attached-at-the-first-use", test_domain_is_attached_at_the_first_use, deferred);
	TEST("unreachable-memory-is-bounced", test_unreachable_memory_is_bounced, no_iommu);
	TEST("unreachable-memory-of-others-warns", test_unreachable_memory_of_others_warns, no_iommu);
	TEST("bounce-buffer-is-synchronised-too", test_bounce_buffer_is_synchronised_too,
	     no_iommu_incoherent);
	TEST("misuse-has-the-names-of-dma-debugging", test_misuse_has_the_names_of_dma_debugging, usual);
	for (unsigned i = 0; i < G_N_ELEMENTS(worlds) * G_N_ELEMENTS(points); i++) {
		g_autofree char *path = g_strdup_printf(
			"/iommu/dma-special/each-failure-leaves-nothing/%s/%s",
			worlds[i / G_N_ELEMENTS(points)].name, points[i % G_N_ELEMENTS(points)]);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_each_failure_leaves_nothing);
	}
	return g_test_run();
}
