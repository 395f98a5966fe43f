/* SPDX-License-Identifier: MIT */
/*
 * dma_map_sg(): what is mapped where, which DMA segments come back, and that nothing is left, whether a list is unmapped or
 * could not be mapped.
 *
 * The judge of a mapping is the page table, read byte by byte along the segments: they must lead to the bytes of the entries,
 * in their order.
 */
#include <errno.h>

#include "iommu/dma/sg.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/prng.h"

#define PAGE	    UINT64_C(4096)
#define A	    UINT64_C(0x100000000)
#define P2P_FIRST   (UINT64_C(1) << 42)
#define P2P_BUS	    (UINT64_C(1) << 44)
#define ENTRIES_MAX 64u

static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table, &dma_fault_table,
						   NULL};

struct fixture {
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct sim_observer observer;
	GString *calls; /* "map IOVA PADDR LEN" and "unmap IOVA LEN", IOVAs from the end of the first */
};

static void hear_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		     uint64_t len, unsigned prot)
{
	g_string_append_printf(((struct fixture *)data)->calls, "map %lx %lx;", (unsigned long)paddr,
			       (unsigned long)len);
}

static void hear_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
		       uint64_t unmapped)
{
	g_string_append_printf(((struct fixture *)data)->calls, "unmap %lx;", (unsigned long)len);
}

static void hear_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	g_string_append(((struct fixture *)data)->calls, "invalidate;");
}

static void setup(struct fixture *fixture, enum dma_p2p p2p, bool direct)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct dma_config dma = {.name = "nvme0",
				       .mask = UINT64_MAX,
				       .aperture_end = 0xffffffffffff,
				       .p2p = {p2p, P2P_FIRST, UINT64_MAX, P2P_BUS}};

	*fixture = (struct fixture){.sim = sim_new(1, 1), .calls = g_string_new(NULL)};
	fixture->observer = (struct sim_observer){
		.map = hear_map, .unmap = hear_unmap, .invalidate = hear_invalidate, .data = fixture};
	sim_observe(fixture->sim, &fixture->observer);
	behaviour_set_version(fixture->sim, KERNEL_6_1);
	fixture->iommu = iommu_new(fixture->sim, &intel_ops, &tlb);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	if (!direct)
		g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	dma_device_init(&fixture->dev, fixture->sim, &dma, fixture->domain, fixture->iovad);
}

static void assert_empty(const struct fixture *fixture)
{
	g_assert_cmpuint(fixture->dev.live.count, ==, 0);
	g_assert_cmpuint(fixture->iommu->stats.mapped_bytes, ==, fixture->iommu->stats.unmapped_bytes);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	g_assert_cmpuint(findings_observations(&fixture->sim->findings), ==, 0);
}

static void finish(struct fixture *fixture)
{
	assert_empty(fixture);
	fq_free(fixture->dev.fq);
	dma_device_finish(&fixture->dev);
	iommu_domain_free(fixture->domain);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	g_string_free(fixture->calls, TRUE);
	sim_free(fixture->sim);
}

static struct sg_table table_of(struct scatterlist *sgl, unsigned count)
{
	return (struct sg_table){.sgl = sgl,
				 .orig_nents = count,
				 .seg_boundary_mask = UINT32_MAX,
				 .max_seg_bytes = UINT32_MAX};
}

/* Follows segments and entries side by side, in steps that neither ends within. */
static void assert_reaches(const struct fixture *fixture, const struct sg_table *sgt)
{
	uint64_t of_segment = 0, of_entry = 0;
	unsigned segment = 0, entry = 0;

	while (segment < sgt->nents) {
		const struct scatterlist *in = &sgt->sgl[entry], *out = &sgt->sgl[segment];
		uint64_t iova = out->dma_addr + of_segment, paddr = in->paddr + of_entry;
		uint64_t part = MIN(out->dma_len - of_segment, in->len - of_entry);

		part = MIN(part, PAGE - iova % PAGE);
		g_assert_cmpuint(entry, <, sgt->orig_nents);
		if (out->dma_bus)
			g_assert_cmphex(iova, ==, paddr + P2P_BUS);
		else
			g_assert_cmphex(iommu_iova_to_phys(fixture->domain, iova - iova % PAGE) + iova % PAGE,
					==, paddr);
		of_segment += part;
		of_entry += part;
		if (of_segment == out->dma_len) {
			of_segment = 0;
			segment++;
		}
		if (of_entry == in->len) {
			of_entry = 0;
			entry++;
		}
	}
	g_assert_cmpuint(entry, ==, sgt->orig_nents);
	g_assert_cmpuint(of_entry, ==, 0);
}

/* ---- lists and what becomes of them ---- */

static const struct list {
	const char *name;
	uint64_t boundary, max; /* 0: those of NVMe */
	struct {
		uint64_t paddr, len;
	} entries[6];
	unsigned segments;
	const char *calls;
} lists[] = {
	{"one-entry", 0, 0, {{A, 4096}}, 1, "map 100000000 1000;unmap 1000;invalidate;"},
	{"one-entry-inside-a-granule",
	 0,
	 0,
	 {{A + 0x200, 512}},
	 1,
	 "map 100000000 1000;unmap 1000;invalidate;"},
	{"one-entry-across-granules",
	 0,
	 0,
	 {{A + 0xe00, 1024}},
	 1,
	 "map 100000000 2000;unmap 2000;invalidate;"},
	{"touching-entries-are-one-run",
	 0,
	 0,
	 {{A, 4096}, {A + 0x1000, 8192}, {A + 0x3000, 100}},
	 1,
	 "map 100000000 4000;unmap 4000;invalidate;"},
	{"apart-they-are-runs-of-one-segment",
	 0,
	 0,
	 {{A + 0x800, 2048}, {A + 0x9000, 4096}, {A + 0x5000, 8192}},
	 1,
	 "map 100000000 1000;map 100009000 1000;map 100005000 2000;unmap 4000;invalidate;"},
	{"rest-of-a-granule-ends-a-segment",
	 0,
	 0,
	 {{A, 2048}, {A + 0x9000, 4096}},
	 2,
	 "map 100000000 1000;map 100009000 1000;unmap 2000;invalidate;"},
	{"offset-begins-a-segment",
	 0,
	 0,
	 {{A, 4096}, {A + 0x9800, 2048}, {A + 0x5000, 4096}},
	 2,
	 "map 100000000 1000;map 100009000 1000;map 100005000 1000;unmap 3000;invalidate;"},
	/* What is one run physically is still two segments: the second begins inside a granule, which both have. */
	{"touching-inside-a-granule",
	 0,
	 0,
	 {{A, 2048}, {A + 0x800, 2048}},
	 2,
	 "map 100000000 1000;map 100000000 1000;unmap 2000;invalidate;"},
	{"largest-segment",
	 0,
	 8192,
	 {{A, 4096}, {A + 0x9000, 4096}, {A + 0x5000, 4096}},
	 2,
	 "map 100000000 1000;map 100009000 1000;map 100005000 1000;unmap 3000;invalidate;"},
	{"on-the-boundary-a-segment-begins",
	 0x1fff,
	 0,
	 {{A, 8192}, {A + 0x9000, 4096}},
	 2,
	 "map 100000000 2000;map 100009000 1000;unmap 3000;invalidate;"},
	{"across-the-boundary-the-one-before-grows",
	 0x3fff,
	 0,
	 {{A, 4096}, {A + 0x9000, 16384}},
	 2,
	 "map 100000000 4000;map 100009000 4000;unmap 8000;invalidate;"},
	{"just-up-to-the-boundary",
	 0x3fff,
	 0,
	 {{A, 4096}, {A + 0x9000, 12288}},
	 1,
	 "map 100000000 1000;map 100009000 3000;unmap 4000;invalidate;"},
};

static struct sg_table list_table(const struct list *list, struct scatterlist *sgl)
{
	struct sg_table sgt = table_of(sgl, 0);

	for (; sgt.orig_nents < 6 && list->entries[sgt.orig_nents].len; sgt.orig_nents++)
		sgl[sgt.orig_nents] = (struct scatterlist){.paddr = list->entries[sgt.orig_nents].paddr,
							   .len = list->entries[sgt.orig_nents].len};
	if (list->boundary)
		sgt.seg_boundary_mask = list->boundary;
	if (list->max)
		sgt.max_seg_bytes = list->max;
	return sgt;
}

static void test_list(const void *data)
{
	const struct list *list = data;
	struct scatterlist sgl[6];
	struct sg_table sgt = list_table(list, sgl);
	struct fixture fixture;

	setup(&fixture, DMA_P2P_NONE, false);
	g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
	g_assert_cmpuint(sgt.nents, ==, list->segments);
	g_assert_cmpuint(fixture.dev.live.count, ==, 1);
	assert_reaches(&fixture, &sgt);
	dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
	g_assert_cmpstr(fixture.calls->str, ==, list->calls);
	finish(&fixture);
}

static void test_any_list_reaches_its_bytes(void)
{
	struct prng prng;
	struct scatterlist sgl[ENTRIES_MAX];
	struct fixture fixture;

	prng_init(&prng, 3, "lists");
	setup(&fixture, DMA_P2P_BUS_ADDR, false);
	for (unsigned round = 0; round < 3000; round++) {
		struct sg_table sgt = table_of(sgl, 1 + prng_below(&prng, ENTRIES_MAX));

		sgt.seg_boundary_mask = (PAGE << (4 + prng_below(&prng, 8))) - 1;
		sgt.max_seg_bytes = PAGE << (3 + prng_below(&prng, 4));
		for (unsigned i = 0; i < sgt.orig_nents; i++) {
			uint64_t first = prng_below(&prng, 4) ? 0 : prng_below(&prng, 8) * 512;
			uint64_t last = prng_below(&prng, 4) ? 0 : 512;
			bool bus = round % 2 && prng_below(&prng, 5) == 0;

			sgl[i] = (struct scatterlist){
				.paddr = (bus ? P2P_FIRST : A) + prng_below(&prng, 64) * PAGE + first,
				.len = (1 + prng_below(&prng, 5)) * PAGE - first - last};
			if (!sgl[i].len)
				sgl[i].len = 512;
		}
		g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_FROM_DEVICE), ==, 0);
		assert_reaches(&fixture, &sgt);
		dma_unmap_sg(&fixture.dev, &sgt, DMA_FROM_DEVICE);
		g_assert_cmpuint(sgt.nents, ==, 0);
		assert_empty(&fixture);
	}
	finish(&fixture);
}

static void test_lazy_unmap_waits_for_the_flush(void)
{
	struct scatterlist sgl[] = {{.paddr = A, .len = 4096}, {.paddr = A + 0x9000, .len = 4096}};
	struct sg_table sgt = table_of(sgl, 2);
	struct fixture fixture;

	setup(&fixture, DMA_P2P_NONE, false);
	fixture.dev.fq = fq_new(fixture.domain, fixture.iovad, false, 1000000, 0, 0);
	g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
	dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
	g_assert_cmpstr(fixture.calls->str, ==, "map 100000000 1000;map 100009000 1000;unmap 2000;");
	g_assert_cmpuint(fq_stats(fixture.dev.fq)->queued, ==, 1);
	fq_timeout(fixture.dev.fq);
	finish(&fixture);
}

static void test_without_iommu_each_entry_is_a_segment(void)
{
	struct scatterlist sgl[] = {{.paddr = A, .len = 4096}, {.paddr = A + 0x1000, .len = 4096}};
	struct sg_table sgt = table_of(sgl, 2);
	struct fixture fixture;

	setup(&fixture, DMA_P2P_NONE, true);
	g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
	g_assert_cmpuint(sgt.nents, ==, 2);
	for (unsigned i = 0; i < 2; i++) {
		g_assert_cmphex(sgl[i].dma_addr, ==, sgl[i].paddr);
		g_assert_cmpuint(sgl[i].dma_len, ==, sgl[i].len);
	}
	dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
	finish(&fixture);
}

/* ---- other devices' memory ---- */

static void test_bus_addresses_take_no_iova(void)
{
	struct scatterlist sgl[] = {{.paddr = P2P_FIRST, .len = 4096},
				    {.paddr = P2P_FIRST + 0x1000, .len = 512}};
	struct sg_table sgt = table_of(sgl, 2);
	struct fixture fixture;

	setup(&fixture, DMA_P2P_BUS_ADDR, false);
	g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
	g_assert_cmpuint(sgt.nents, ==, 2);
	g_assert_cmphex(sgl[1].dma_addr, ==, P2P_FIRST + 0x1000 + P2P_BUS);
	g_assert_cmpuint(sgl[1].dma_len, ==, 512);
	g_assert_cmpuint(fixture.dev.live.count, ==, 0);
	dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
	g_assert_cmpstr(fixture.calls->str, ==, "");
	finish(&fixture);
}

static void test_out_of_reach_is_refused(void)
{
	struct scatterlist sgl[] = {{.paddr = A, .len = 4096}, {.paddr = P2P_FIRST, .len = 4096}};
	struct sg_table sgt = table_of(sgl, 2);

	for (unsigned direct = 0; direct < 2; direct++) {
		struct fixture fixture;

		setup(&fixture, DMA_P2P_UNSUPPORTED, direct);
		g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, -EREMOTEIO);
		g_assert_cmpuint(sgt.nents, ==, 0);
		finish(&fixture);
	}
}

static void test_host_bridge_is_ordinary(void)
{
	struct scatterlist sgl[] = {{.paddr = A, .len = 4096}, {.paddr = P2P_FIRST, .len = 4096}};
	struct sg_table sgt = table_of(sgl, 2);
	struct fixture fixture;

	setup(&fixture, DMA_P2P_HOST_BRIDGE, false);
	g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
	g_assert_cmpuint(sgt.nents, ==, 1);
	assert_reaches(&fixture, &sgt);
	dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
	finish(&fixture);
}

/* ---- failures ---- */

static const struct failure {
	const char *point;
	unsigned nth;
	const char *error; /* of the fault; NULL: its own */
	int err;
	const char *calls;
} failures[] = {
	/* Below 4 GiB, and anywhere. */
	{"dma.iova", 1, NULL, -ENOMEM, ""},
	/* The run's own unmap of nothing, then that of the runs before. */
	{"iommu.map", 1, "ENOMEM", -ENOMEM, "unmap 0;unmap 0;"},
	{"iommu.map", 2, "ENOMEM", -ENOMEM, "map 100000000 1000;unmap 0;unmap 1000;invalidate;"},
	{"iommu.map", 3, "EIO", -EINVAL,
	 "map 100000000 1000;map 100009000 1000;unmap 0;unmap 2000;invalidate;"},
	{"iommu.map", 1, "EREMOTEIO", -EREMOTEIO, "unmap 0;unmap 0;"},
	{"iommu.sync_map", 1, "EIO", -EINVAL,
	 "map 100000000 1000;map 100009000 1000;map 100005000 1000;unmap 3000;invalidate;"},
};

/* Makes passes of @point fail from the @nth on. */
static struct fault_rules *arm(struct sim *sim, const struct failure *failure)
{
	g_autofree char *text = g_strdup_printf(
		"[fault a]\npoint = %s\nnth = %u\npersist = yes\n%s%s\n", failure->point, failure->nth,
		failure->error ? "errno = " : "", failure->error ? failure->error : "");
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("sg-XXXXXX.ini", &path, &error);

	g_assert_no_error(error);
	close(fd);
	g_assert_true(g_file_set_contents(path, text, -1, &error));
	fault_rules_load(rules, path, &error);
	unlink(path);
	g_assert_no_error(error);
	fault_rules_arm(rules, sim);
	return rules;
}

/* Also where unmaps wait: what failed is undone at once. */
static void test_failure_undoes_all(const void *data)
{
	const struct failure *failure = data;

	for (unsigned lazy = 0; lazy < 2; lazy++) {
		struct scatterlist sgl[] = {{.paddr = A, .len = 4096},
					    {.paddr = A + 0x9000, .len = 4096},
					    {.paddr = A + 0x5000, .len = 512}};
		struct sg_table sgt = table_of(sgl, 3);
		struct fault_rules *rules;
		struct fixture fixture;

		setup(&fixture, DMA_P2P_NONE, false);
		if (lazy)
			fixture.dev.fq = fq_new(fixture.domain, fixture.iovad, false, 1000000, 0, 0);
		rules = arm(fixture.sim, failure);
		g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, failure->err);
		g_assert_true(sweep_disarm(fixture.sim, rules));
		g_assert_cmpuint(sgt.nents, ==, 0);
		g_assert_cmpstr(fixture.calls->str, ==, failure->calls);
		assert_empty(&fixture);
		/* The list is as before. */
		g_assert_cmpint(dma_map_sg(&fixture.dev, &sgt, DMA_TO_DEVICE), ==, 0);
		assert_reaches(&fixture, &sgt);
		dma_unmap_sg(&fixture.dev, &sgt, DMA_TO_DEVICE);
		if (lazy)
			fq_timeout(fixture.dev.fq);
		finish(&fixture);
	}
}

/* ---- memory of one IOVA ---- */

#define NONCONTIGUOUS_BYTES (10 * UINT64_C(0x100000) + PAGE)

static void test_noncontiguous_is_one_segment(void)
{
	struct fixture fixture;
	struct sg_table *sgt;

	for (unsigned lazy = 0; lazy < 2; lazy++) {
		setup(&fixture, DMA_P2P_NONE, false);
		if (lazy)
			fixture.dev.fq = fq_new(fixture.domain, fixture.iovad, false, 1000000, 0, 0);
		sgt = dma_alloc_noncontiguous(&fixture.dev, NONCONTIGUOUS_BYTES, FRAME_NVME_HMB);
		g_assert_nonnull(sgt);
		g_assert_cmpuint(sgt->orig_nents, ==, 4); /* 4 MiB twice, 2 MiB, a page */
		g_assert_cmpuint(sgt->nents, ==, 1);
		g_assert_cmpuint(sgt->sgl[0].dma_len, ==, NONCONTIGUOUS_BYTES);
		assert_reaches(&fixture, sgt);
		g_assert_cmpuint(fixture.dev.live.count, ==, 1);
		dma_free_noncontiguous(&fixture.dev, sgt);
		g_assert_cmpuint(fixture.sim->mem.in_use[FRAME_NVME_HMB], ==, 0);
		if (lazy)
			fq_timeout(fixture.dev.fq);
		finish(&fixture);
	}
}

/* Each point from each pass on: no memory, no IOVA and no mapping is left. */
static void test_noncontiguous_failure_leaves_nothing(void)
{
	static const char *const points[] = {"dma.iova", "iommu.map", "pgtable.page", "iommu.sync_map"};

	for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
		unsigned refused = 0;

		for (uint64_t nth = 1, fired = 1; fired; nth++) {
			struct fault_rules *rules;
			struct fixture fixture;
			struct sg_table *sgt;

			setup(&fixture, DMA_P2P_NONE, false);
			fixture.dev.config.mask = UINT32_MAX; /* no second attempt above */
			rules = sweep_arm(fixture.sim, tables, points[i], nth);
			sgt = dma_alloc_noncontiguous(&fixture.dev, NONCONTIGUOUS_BYTES, FRAME_NVME_HMB);
			fired = sweep_disarm(fixture.sim, rules);
			g_assert_true(fired == (sgt == NULL));
			refused += fired;
			if (sgt)
				dma_free_noncontiguous(&fixture.dev, sgt);
			g_assert_cmpuint(fixture.sim->mem.in_use[FRAME_NVME_HMB], ==, 0);
			finish(&fixture);
		}
		g_assert_cmpuint(refused, >, 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/dma-sg/list/%s", lists[i].name);

		g_test_add_data_func(path, &lists[i], test_list);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(failures); i++) {
		g_autofree char *path = g_strdup_printf("/iommu/dma-sg/failure/%s-%u%s%s", failures[i].point,
							failures[i].nth, failures[i].error ? "-" : "",
							failures[i].error ? failures[i].error : "");

		g_test_add_data_func(path, &failures[i], test_failure_undoes_all);
	}
	g_test_add_func("/iommu/dma-sg/any-list-reaches-its-bytes", test_any_list_reaches_its_bytes);
	g_test_add_func("/iommu/dma-sg/lazy-unmap-waits-for-the-flush", test_lazy_unmap_waits_for_the_flush);
	g_test_add_func("/iommu/dma-sg/without-iommu-each-entry-is-a-segment",
			test_without_iommu_each_entry_is_a_segment);
	g_test_add_func("/iommu/dma-sg/bus-addresses-take-no-iova", test_bus_addresses_take_no_iova);
	g_test_add_func("/iommu/dma-sg/out-of-reach-is-refused", test_out_of_reach_is_refused);
	g_test_add_func("/iommu/dma-sg/noncontiguous-is-one-segment", test_noncontiguous_is_one_segment);
	g_test_add_func("/iommu/dma-sg/noncontiguous-failure-leaves-nothing",
			test_noncontiguous_failure_leaves_nothing);
	g_test_add_func("/iommu/dma-sg/host-bridge-is-ordinary", test_host_bridge_is_ordinary);
	return g_test_run();
}
