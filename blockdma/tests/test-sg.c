/* SPDX-License-Identifier: MIT */
/*
 * Scatter lists, as the NVMe driver before Linux 6.17 has them: which way a request goes, what its limits are, and what is
 * left when a step fails.
 *
 * Recordings of a real 6.1 are the judge of the rest. Their requests are given to the driver in recorded order, each on its
 * CPU: how it was mapped, on which pages and of how many bytes. What the model then does is compared with what that kernel
 * did: IOVAs asked for and got, map calls, list pools, unmaps, invalidations. The first page's offset is not recorded;
 * it is taken as 0, which asks for the same granules.
 */
#include <errno.h>
#include <stdio.h>

#include "blockdma/mapper-sg.h"
#include "blockdma/nvme.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"
#include "sim/io/input.h"

#define PAGE  UINT64_C(4096)
#define A     UINT64_C(0x100000000)
#define DEPTH 1023u

static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table, &dma_fault_table,
						   &nvme_fault_table, NULL};

struct alloc {
	uint64_t pages, pfn;
};

struct map {
	uint64_t iova, paddr, len;
};

/* What the model did since it was last asked. */
struct heard {
	GArray *allocs; /* of struct alloc */
	GArray *maps;	/* of struct map */
	GArray *unmaps; /* of struct map, without paddr */
	unsigned invalidations;
};

struct fixture {
	struct sim *sim;
	struct sim_observer observer;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct nvme *nvme;
	struct heard heard;
};

struct options {
	enum kernel_version version;
	bool direct; /* no IOMMU */
	bool prp_only;
	bool no_threshold;
	enum dma_p2p p2p; /* of everything from 4 TiB on */
};

#define P2P_FIRST (UINT64_C(1) << 42)
#define P2P_BUS	  (UINT64_C(1) << 44)

/* ---- the machine ---- */

static void hear_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit, bool flush,
			 uint64_t pfn)
{
	struct alloc alloc = {granules, pfn};

	g_array_append_val(((struct heard *)data)->allocs, alloc);
}

static void hear_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		     uint64_t len, unsigned prot)
{
	struct map map = {iova, paddr, len};

	g_array_append_val(((struct heard *)data)->maps, map);
}

static void hear_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
		       uint64_t unmapped)
{
	struct map map = {iova, 0, len};

	g_array_append_val(((struct heard *)data)->unmaps, map);
	g_assert_cmpuint(unmapped, ==, len);
}

static void hear_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	((struct heard *)data)->invalidations++;
}

static void forget(struct heard *heard)
{
	g_array_set_size(heard->allocs, 0);
	g_array_set_size(heard->maps, 0);
	g_array_set_size(heard->unmaps, 0);
	heard->invalidations = 0;
}

/* Queues take no IOVAs: where recordings have theirs is part of what is replayed. */
static int plain_alloc(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
		       uint64_t *ret_addr)
{
	*ret_paddr = *ret_addr = physmem_alloc(&dev->sim->mem, order, use);
	return 0;
}

static void plain_free(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr)
{
	physmem_free(&dev->sim->mem, paddr, order);
}

static const struct dma_memory_ops plain_memory = {.alloc_coherent = plain_alloc,
						   .free_coherent = plain_free};

static void setup_domain(struct fixture *fixture, const struct options *options)
{
	static const struct pgtable_config table = {.ias_bits = 39, .oas_bits = 52, .top_level = 2};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	const struct dma_config dma = {.name = "nvme0",
				       .mask = UINT64_MAX,
				       .aperture_end = 0x7fffffffff,
				       .p2p = {options->p2p, P2P_FIRST, UINT64_MAX, P2P_BUS}};
	struct heard heard = {g_array_new(FALSE, FALSE, sizeof(struct alloc)),
			      g_array_new(FALSE, FALSE, sizeof(struct map)),
			      g_array_new(FALSE, FALSE, sizeof(struct map)), 0};

	*fixture = (struct fixture){.sim = sim_new(4, 1), .heard = heard};
	behaviour_set_version(fixture->sim, options->version);
	fixture->iommu = iommu_new(fixture->sim, &intel_ops, &tlb);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	if (!options->direct)
		g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	dma_device_init(&fixture->dev, fixture->sim, &dma, fixture->domain, fixture->iovad);
}

static void setup(struct fixture *fixture, const struct options *options)
{
	const struct nvme_config config = {.io_queues = 4,
					   .depth = DEPTH,
					   .sgl = !options->prp_only,
					   .sgl_threshold = options->no_threshold ? 0 : 32768,
					   .logical_block_bytes = 512};

	setup_domain(fixture, options);
	fixture->dev.memory = &plain_memory;
	g_assert_cmpint(nvme_new(fixture->sim, &fixture->dev, &config, &fixture->nvme), ==, 0);
	fixture->dev.memory = NULL;
	/* An observer's data are the fixture's: it must not move any more. */
	fixture->observer = (struct sim_observer){.iova_attempt = hear_attempt,
						  .map = hear_map,
						  .unmap = hear_unmap,
						  .invalidate = hear_invalidate,
						  .data = &fixture->heard};
	sim_observe(fixture->sim, &fixture->observer);
}

static void finish_pools(struct fixture *fixture)
{
	dma_pool_finish(&fixture->nvme->large_pool);
	dma_pool_finish(&fixture->nvme->small_pool);
}

/* Nothing may be left but @leaks blocks of the pools, which are there no more. */
static void finish(struct fixture *fixture, unsigned leaks)
{
	struct nvme *nvme = fixture->nvme;

	g_assert_cmpuint(nvme->small_pool.in_use + nvme->large_pool.in_use, ==, leaks);
	g_assert_cmpuint(nvme->dma_vecs, ==, 0);
	finish_pools(fixture);
	g_assert_cmpuint(fixture->dev.live.count, ==, 0);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	if (fixture->domain)
		g_assert_cmpuint(fixture->iommu->stats.mapped_bytes, ==,
				 fixture->iommu->stats.unmapped_bytes);
	fixture->dev.memory = &plain_memory;
	nvme_free(nvme);
	fq_free(fixture->dev.fq);
	dma_device_finish(&fixture->dev);
	iommu_domain_free(fixture->domain);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	g_array_unref(fixture->heard.allocs);
	g_array_unref(fixture->heard.maps);
	g_array_unref(fixture->heard.unmaps);
	sim_free(fixture->sim);
}

/* ---- reading a recording ---- */

enum step_kind {
	STEP_PREP,     /* a command with data is prepared */
	STEP_COHERENT, /* memory for queues and the like */
	STEP_FREE,     /* what is at the IOVA ends */
	STEP_FLUSH,    /* the flush queue's timer */
};

enum way {
	WAY_NONE,
	WAY_PAGE, /* dma_map_page */
	WAY_SG,	  /* dma_map_sg */
};

/* One command, or other holder of an IOVA. */
struct holder {
	enum step_kind kind; /* STEP_PREP or STEP_COHERENT */
	uint64_t line;
	unsigned qid, cpu;
	enum way way;
	bool to_device;
	uint64_t offset, bytes; /* in the first page; of all */
	GArray *allocs, *maps;	/* struct alloc, struct map: of the list pool's page as well */
	unsigned lists;
	uint64_t pool;

	struct nvme_iod *iod; /* of the model */
	struct request req;
	uint64_t paddr, addr; /* of coherent memory */
	GArray *vecs;
};

struct step {
	enum step_kind kind;
	unsigned cpu;
	struct holder *holder; /* NULL: a page of the list pools; or a flush */
	struct map range;
};

struct recording {
	bool lazy;
	GArray *reserved; /* struct map: first and last page */
	GArray *steps;
	GPtrArray *holders;
	GHashTable *live; /* first page -> holder */

	struct holder *preparing[4];
	uint64_t pages[4]; /* asked for last */
	bool flushing[4];  /* the timer has fired, and gives the first range back next */
};

static void holder_free(void *data)
{
	struct holder *holder = data;

	g_array_unref(holder->allocs);
	g_array_unref(holder->maps);
	g_array_unref(holder->vecs);
	g_free(holder);
}

static struct holder *holder_new(struct recording *recording, enum step_kind kind, unsigned cpu,
				 uint64_t line)
{
	struct holder *holder = g_new0(struct holder, 1);

	*holder = (struct holder){.kind = kind,
				  .cpu = cpu,
				  .line = line,
				  .allocs = g_array_new(FALSE, FALSE, sizeof(struct alloc)),
				  .maps = g_array_new(FALSE, FALSE, sizeof(struct map)),
				  .vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec))};
	g_ptr_array_add(recording->holders, holder);
	return holder;
}

/* The number behind @name; 0x or decimal. */
static uint64_t field(const char *body, const char *name)
{
	const char *at = strstr(body, name);

	g_assert_nonnull(at);
	return g_ascii_strtoull(at + strlen(name), NULL, 0);
}

static void add_step(struct recording *recording, enum step_kind kind, unsigned cpu, struct holder *holder,
		     const struct map *range)
{
	struct step step = {kind, cpu, holder, range ? *range : (struct map){0}};

	g_array_append_val(recording->steps, step);
}

/* An allocation happens at its return; a request's first one is when the model prepares it. */
static void read_alloc(struct recording *recording, unsigned cpu, uint64_t pfn, uint64_t line)
{
	struct holder *holder = recording->preparing[cpu];
	struct alloc alloc = {recording->pages[cpu], pfn};
	bool first = !holder || holder->allocs->len == 0;

	if (!holder)
		holder = holder_new(recording, STEP_COHERENT, cpu, line);
	g_array_append_val(holder->allocs, alloc);
	if (first) {
		add_step(recording, holder->kind, cpu, holder, NULL);
		g_hash_table_insert(recording->live, GSIZE_TO_POINTER(pfn), holder);
	}
}

/* Strict: the IOVA goes back where it is freed; lazy: it is queued where it is unmapped. */
static void read_free(struct recording *recording, unsigned cpu, struct map range)
{
	struct holder *holder = g_hash_table_lookup(recording->live, GSIZE_TO_POINTER(range.iova / PAGE));

	g_hash_table_remove(recording->live, GSIZE_TO_POINTER(range.iova / PAGE));
	add_step(recording, STEP_FREE, cpu, holder, &range);
}

static void read_event(struct recording *recording, unsigned cpu, const char *event, const char *body,
		       uint64_t line)
{
	struct holder *holder = recording->preparing[cpu];
	struct map map;

	/* The first domain's are those of the device's. */
	if (strcmp(event, "iova_reserve") == 0 && recording->reserved->len < 5) {
		map = (struct map){field(body, "lo="), 0, field(body, "hi=")};
		g_array_append_val(recording->reserved, map);
	} else if (strcmp(event, "nvme_setup_cmd") == 0) {
		holder = recording->preparing[cpu] = holder_new(recording, STEP_PREP, cpu, line);
		holder->qid = (unsigned)field(body, "qid=");
	} else if (strcmp(event, "dma_map_page") == 0 && holder) {
		holder->way = WAY_PAGE;
		holder->offset = field(body, "offset=") % PAGE; /* recorded is that in a compound page */
		holder->bytes = field(body, " size=");
		holder->to_device = field(body, "dir=") == 1;
	} else if (strcmp(event, "dma_map_sg") == 0 && holder) {
		holder->way = WAY_SG;
		holder->to_device = field(body, "dir=") == 1;
	} else if (strcmp(event, "iova_alloc") == 0) {
		recording->pages[cpu] = field(body, "size=");
	} else if (strcmp(event, "iova_alloc_ret") == 0) {
		read_alloc(recording, cpu, field(body, "pfn="), line);
	} else if (strcmp(event, "map") == 0 && holder) {
		map = (struct map){field(body, "iova="), field(body, "paddr="), field(body, " size=")};
		g_array_append_val(holder->maps, map);
	} else if (strcmp(event, "pool_alloc") == 0 && holder) {
		holder->lists++;
		holder->pool = field(body, "pool=");
	} else if (strcmp(event, "block_rq_issue") == 0 && holder) {
		if (holder->way == WAY_SG)
			sscanf(body, "%*s %*s %" G_GUINT64_FORMAT, &holder->bytes);
		recording->preparing[cpu] = NULL;
	} else if (strcmp(event, "unmap") == 0 && recording->lazy) {
		read_free(recording, cpu, (struct map){field(body, "iova="), 0, field(body, " size=")});
	} else if (strcmp(event, "iova_free") == 0 && !recording->lazy) {
		read_free(recording, cpu,
			  (struct map){field(body, "pfn=") * PAGE, 0, field(body, " size=") * PAGE});
	} else if (strcmp(event, "fq_timeout") == 0) {
		recording->flushing[cpu] = true;
	} else if (strcmp(event, "iova_free") == 0 && recording->flushing[cpu]) {
		recording->flushing[cpu] = false;
		add_step(recording, STEP_FLUSH, cpu, NULL, NULL);
	}
}

static void recording_read(struct recording *recording, const char *path, bool lazy)
{
	g_autoptr(GError) error = NULL;
	struct input *input = input_open(path, &error);
	const char *text;
	size_t len;

	g_assert_no_error(error);
	*recording = (struct recording){.lazy = lazy,
					.reserved = g_array_new(FALSE, FALSE, sizeof(struct map)),
					.steps = g_array_new(FALSE, FALSE, sizeof(struct step)),
					.holders = g_ptr_array_new_with_free_func(holder_free),
					.live = g_hash_table_new(NULL, NULL)};
	while (input_line(input, &text, &len, &error) > 0) {
		g_autofree char *line = g_strndup(text, len);
		char event[32], *body;
		unsigned cpu;

		body = *line == '#' ? NULL : strstr(line, " [0");
		if (!body || sscanf(body, " [%u] %*s %*s %31[^:]:", &cpu, event) != 2)
			continue;
		g_assert_cmpuint(cpu, <, 4);
		body = strstr(body, event) + strlen(event) + 1;
		read_event(recording, cpu, event, body, input_line_number(input));
	}
	g_assert_no_error(error);
	input_close(input);
}

static void recording_clear(struct recording *recording)
{
	g_array_unref(recording->reserved);
	g_array_unref(recording->steps);
	g_ptr_array_unref(recording->holders);
	g_hash_table_unref(recording->live);
}

/* ---- replaying it ---- */

struct tally {
	unsigned prepared, tables, single, lists, unmapped, iovas_wrong, pool_pages;
	GHashTable *pools; /* recorded pool -> 1 small, 2 large */
};

/* The vectors of a request: a run is one; a table of one entry is of two bios that touch. */
static void make_request(struct holder *holder)
{
	static const uint32_t two_bios[] = {0, 1};
	uint64_t start = g_array_index(holder->allocs, struct alloc, 0).pfn * PAGE, total = 0;
	uint64_t end = start + g_array_index(holder->allocs, struct alloc, 0).pages * PAGE;
	struct bio_vec vec;

	for (guint i = 0; i < holder->maps->len; i++) {
		const struct map *map = &g_array_index(holder->maps, struct map, i);

		if (map->iova < start || map->iova >= end)
			continue;
		vec = (struct bio_vec){map->paddr, map->len};
		total += map->len;
		g_array_append_val(holder->vecs, vec);
	}
	g_assert_cmpuint(total, >=, holder->offset + holder->bytes);
	g_assert_cmpuint(total - holder->offset - holder->bytes, <, PAGE);
	g_array_index(holder->vecs, struct bio_vec, 0).paddr += holder->offset;
	g_array_index(holder->vecs, struct bio_vec, 0).len -= holder->offset;
	g_array_index(holder->vecs, struct bio_vec, holder->vecs->len - 1).len -=
		total - holder->offset - holder->bytes;
	if (holder->way == WAY_SG && holder->vecs->len == 1) {
		struct bio_vec *first = &g_array_index(holder->vecs, struct bio_vec, 0);

		vec = (struct bio_vec){first->paddr + first->len / 2, first->len - first->len / 2};
		first->len -= vec.len;
		g_array_append_val(holder->vecs, vec);
		holder->req.bio_first = two_bios;
		holder->req.bio_count = 2;
	}
	holder->req.number = holder->line;
	holder->req.bytes = holder->bytes;
	holder->req.vecs = (struct bio_vec *)(void *)holder->vecs->data;
	holder->req.vec_count = holder->vecs->len;
	holder->req.op = holder->qid == 0 ? REQ_OP_DRV : holder->to_device ? REQ_OP_WRITE : REQ_OP_READ;
	holder->req.to_device = holder->to_device;
}

/* What the model asked for and mapped, against the recording. The page of a list pool lies elsewhere. */
static void compare_prep(const struct fixture *fixture, const struct holder *holder, struct tally *tally)
{
	const struct heard *heard = &fixture->heard;
	uint64_t moved = 0;

	g_assert_cmpuint(heard->allocs->len, ==, holder->allocs->len);
	for (guint i = 0; i < heard->allocs->len; i++) {
		const struct alloc *mine = &g_array_index(heard->allocs, struct alloc, i);
		const struct alloc *theirs = &g_array_index(holder->allocs, struct alloc, i);

		g_assert_cmpuint(mine->pages, ==, theirs->pages);
		tally->iovas_wrong += mine->pfn != theirs->pfn;
		if (i == 0)
			moved = (mine->pfn - theirs->pfn) * PAGE;
	}
	if (holder->kind == STEP_COHERENT)
		return;
	tally->pool_pages += holder->allocs->len - 1;
	g_assert_cmpuint(heard->maps->len, ==, holder->maps->len);
	for (guint i = 0; i + holder->allocs->len - 1 < heard->maps->len; i++) {
		const struct map *mine = &g_array_index(heard->maps, struct map, i);
		const struct map *theirs = &g_array_index(holder->maps, struct map, i);

		g_assert_cmphex(mine->iova, ==, theirs->iova + moved);
		g_assert_cmphex(mine->paddr, ==, theirs->paddr);
		g_assert_cmpuint(mine->len, ==, theirs->len);
	}
}

static void compare_way(const struct holder *holder, struct tally *tally)
{
	const struct nvme_iod *iod = holder->iod;
	guint size = iod->small_descriptor ? 1 : 2;
	gpointer known;

	g_assert_cmpint(iod->single ? WAY_PAGE : WAY_SG, ==, holder->way);
	g_assert_cmpuint(iod->descriptor_count, ==, holder->lists);
	if (holder->way == WAY_SG) {
		g_assert_cmpuint(iod->sgt.nents, ==, 1);
	}
	tally->prepared++;
	tally->tables += holder->way == WAY_SG;
	tally->single += holder->way == WAY_PAGE;
	tally->lists += holder->lists;
	if (!holder->lists)
		return;
	known = g_hash_table_lookup(tally->pools, GSIZE_TO_POINTER(holder->pool));
	if (known)
		g_assert_cmpuint(GPOINTER_TO_UINT(known), ==, size);
	g_hash_table_insert(tally->pools, GSIZE_TO_POINTER(holder->pool), GUINT_TO_POINTER(size));
}

static void play_prep(struct fixture *fixture, struct holder *holder, struct tally *tally)
{
	make_request(holder);
	holder->req.limits = &fixture->nvme->limits;
	request_prepare(&holder->req);
	g_assert_cmpuint(holder->req.bytes, <=, fixture->nvme->limits.max_bytes);
	holder->iod = nvme_get_tag(fixture->nvme, holder->qid);
	g_assert_nonnull(holder->iod);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, holder->iod, &holder->req, holder->qid ? 1 : 0), ==,
			BLK_STS_OK);
	compare_prep(fixture, holder, tally);
	compare_way(holder, tally);
}

static void play_coherent(struct fixture *fixture, struct holder *holder, struct tally *tally)
{
	uint64_t pages = g_array_index(holder->allocs, struct alloc, 0).pages;

	g_assert_cmpuint(pages & (pages - 1), ==, 0);
	g_assert_cmpint(dma_alloc_coherent(&fixture->dev, (unsigned)__builtin_ctzll(pages), FRAME_NVME_QUEUE,
					   &holder->paddr, &holder->addr),
			==, 0);
	compare_prep(fixture, holder, tally);
}

static void play_free(struct fixture *fixture, const struct step *step, bool lazy, struct tally *tally)
{
	struct holder *holder = step->holder;
	const struct map *unmap;

	if (!holder) {
		finish_pools(fixture);
		return;
	}
	if (holder->kind == STEP_COHERENT) {
		dma_free_coherent(
			&fixture->dev,
			(unsigned)__builtin_ctzll(g_array_index(holder->allocs, struct alloc, 0).pages),
			holder->paddr, holder->addr);
	} else {
		nvme_unmap_rq(fixture->nvme, holder->iod);
		nvme_put_tag(fixture->nvme, holder->qid, holder->iod);
		tally->unmapped++;
	}
	unmap = &g_array_index(fixture->heard.unmaps, struct map, 0);
	g_assert_cmpuint(fixture->heard.unmaps->len, ==, 1);
	g_assert_cmpuint(unmap->len, ==, step->range.len);
	tally->iovas_wrong += unmap->iova != step->range.iova;
	/* Lazy: one more when the ring is full. */
	g_assert_cmpuint(fixture->heard.invalidations, ==, lazy ? 0 : 1);
}

static void play(struct fixture *fixture, const struct recording *recording, struct tally *tally)
{
	for (guint i = 0; i < recording->steps->len; i++) {
		const struct step *step = &g_array_index(recording->steps, struct step, i);

		forget(&fixture->heard);
		fixture->sim->cpu = step->cpu;
		switch (step->kind) {
		case STEP_PREP:
			play_prep(fixture, step->holder, tally);
			break;
		case STEP_COHERENT:
			play_coherent(fixture, step->holder, tally);
			break;
		case STEP_FREE:
			play_free(fixture, step, recording->lazy, tally);
			break;
		case STEP_FLUSH:
			fq_timeout(fixture->dev.fq);
			break;
		}
	}
}

static const struct recorded {
	const char *name;
	bool fixture; /* of this tree; else of the shared recordings */
	bool lazy;
	bool exact; /* the order of the file decides every address */
	unsigned prepared, tables, lists;
} recordings[] = {
	{"v6.1-strict-ext4", true, false, true, 615, 209, 183},
	{"v6.1-strict-rr4k-qd1", false, false, true, 3014, 0, 0},
	{"v6.1-lazy-ext4", false, true, true, 593, 182, 145},
	{"v6.1-lazy-mixed-qd16x4", false, true, false, 6014, 549, 86},
};

static void test_recording(const void *data)
{
	const struct recorded *recorded = data;
	const struct options options = {.version = KERNEL_6_1};
	const char *root = g_getenv(recorded->fixture ? "FIXTURES" : "SHARED");
	g_autofree char *name =
		g_strconcat(recorded->name, recorded->fixture ? ".trace.txt.zst" : "/trace.txt.zst", NULL);
	g_autofree char *path = g_build_filename(root ? root : "", "traces", name, NULL);
	struct tally tally = {.pools = g_hash_table_new(NULL, NULL)};
	struct recording recording;
	struct fixture fixture;

	if (!recorded->fixture && !g_file_test(path, G_FILE_TEST_EXISTS)) {
		g_test_skip("the shared recordings are not here");
		return;
	}
	recording_read(&recording, path, recorded->lazy);
	setup(&fixture, &options);
	for (guint i = 0; i < recording.reserved->len; i++) {
		const struct map *range = &g_array_index(recording.reserved, struct map, i);
		uint64_t lo, hi;

		g_assert_true(iova_reserve(fixture.iovad, range->iova, range->len, &lo, &hi));
	}
	if (recorded->lazy)
		fixture.dev.fq = fq_new(fixture.domain, fixture.iovad, false, 4000000, 0, 0);
	play(&fixture, &recording, &tally);
	g_test_message("%u prepared, %u tables, %u lists, %u pool pages, %u addresses differ", tally.prepared,
		       tally.tables, tally.lists, tally.pool_pages, tally.iovas_wrong);
	g_assert_cmpuint(tally.prepared, ==, recorded->prepared);
	g_assert_cmpuint(tally.unmapped, ==, tally.prepared);
	g_assert_cmpuint(tally.tables, ==, recorded->tables);
	g_assert_cmpuint(tally.tables + tally.single, ==, tally.prepared);
	g_assert_cmpuint(tally.lists, ==, recorded->lists);
	if (recorded->exact)
		g_assert_cmpuint(tally.iovas_wrong, ==, 0);
	g_hash_table_unref(tally.pools);
	finish(&fixture, 0);
	recording_clear(&recording);
}

/* ---- limits, ways, and what goes wrong ---- */

static void test_limits_follow_the_version(void)
{
	static const struct {
		struct options options;
		uint64_t bytes;
		uint32_t segments;
	} rows[] = {
		{{.version = KERNEL_6_1}, 4 << 20, 127},
		{{.version = KERNEL_6_1, .direct = true}, 4 << 20, 127},
		{{.version = KERNEL_6_6}, 128 << 10, 33},
		{{.version = KERNEL_6_6, .direct = true}, 4 << 20, 127},
		{{.version = KERNEL_6_12}, 128 << 10, 33},
		{{.version = KERNEL_6_12, .direct = true, .prp_only = true}, 8 << 20, 128},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct fixture fixture;
		const struct queue_limits *limits;

		setup(&fixture, &rows[i].options);
		limits = &fixture.nvme->limits;
		g_assert_cmpuint(limits->max_bytes, ==, rows[i].bytes);
		g_assert_cmpuint(limits->max_segments, ==, rows[i].segments);
		g_assert_cmphex(limits->virt_boundary_mask, ==, 4095);
		g_assert_cmphex(limits->seg_boundary_mask, ==, UINT32_MAX);
		finish(&fixture, 0);
	}
}

/* @count vectors of @len bytes, @step apart; the first is at @paddr. */
struct shape {
	uint64_t paddr, len, step;
	uint32_t count;
	bool bios; /* each in a bio of its own */
};

static struct request shape_request(const struct shape *shape, struct bio_vec *vecs, uint32_t *firsts,
				    const struct fixture *fixture)
{
	struct request req = {.number = 1,
			      .bytes = shape->len * shape->count,
			      .vecs = vecs,
			      .vec_count = shape->count,
			      .limits = &fixture->nvme->limits,
			      .op = REQ_OP_WRITE,
			      .to_device = true};

	for (uint32_t i = 0; i < shape->count; i++) {
		vecs[i] = (struct bio_vec){shape->paddr + i * shape->step, shape->len};
		firsts[i] = i;
	}
	if (shape->bios) {
		req.bio_first = firsts;
		req.bio_count = shape->count;
	}
	request_prepare(&req);
	return req;
}

static const struct way_case {
	const char *name;
	struct options options;
	struct shape shape;
	bool admin, user; /* a user command */
	bool single, sgl;
	unsigned entries, lists;
	bool small;
} ways[] = {
	{"one-page", {KERNEL_6_1}, {A, 4096, 0, 1}, .single = true},
	{"two-pages", {KERNEL_6_1}, {A, 8192, 0, 1}, .single = true},
	{"more-than-two-pages", {KERNEL_6_1}, {A + 512, 8192, 0, 1}, .single = true, .sgl = true},
	{"more-without-sgl",
	 {KERNEL_6_1, .prp_only = true},
	 {A + 512, 8192, 0, 1},
	 .entries = 1,
	 .lists = 1,
	 .small = true},
	{"more-with-threshold-0",
	 {KERNEL_6_1, .no_threshold = true},
	 {A + 512, 8192, 0, 1},
	 .entries = 1,
	 .lists = 1,
	 .small = true},
	{"more-of-the-admin-queue",
	 {KERNEL_6_1},
	 {A, 65536, 0, 1},
	 .admin = true,
	 .entries = 1,
	 .lists = 1,
	 .small = true},
	{"more-of-another-device",
	 {KERNEL_6_1, .p2p = DMA_P2P_HOST_BRIDGE},
	 {P2P_FIRST, 12288, 0, 1},
	 .entries = 1,
	 .lists = 1,
	 .small = true},
	{"two-that-touch-in-two-bios", {KERNEL_6_1}, {A, 1024, 1024, 2, true}, .entries = 1},
	{"two-that-touch-in-one-bio", {KERNEL_6_1}, {A, 4096, 4096, 2}, .entries = 2},
	{"mean-at-the-threshold", {KERNEL_6_1}, {A, 32768, 65536, 2}, .sgl = true, .entries = 2},
	{"mean-below-the-threshold",
	 {KERNEL_6_1},
	 {A, 28672, 65536, 2},
	 .entries = 2,
	 .lists = 1,
	 .small = true},
	/* From 6.3 on one DMA segment of the whole. */
	{"mean-of-what-is-mapped", {KERNEL_6_6}, {A, 28672, 65536, 2}, .sgl = true, .entries = 2},
	{"mean-of-what-is-mapped-too-low", {KERNEL_6_6}, {A, 4096, 65536, 2}, .entries = 2},
	{"without-iommu-segments-are-entries",
	 {KERNEL_6_6, .direct = true},
	 {A, 28672, 65536, 2},
	 .entries = 2,
	 .lists = 1,
	 .small = true},
	{"sgl-of-segments",
	 {KERNEL_6_6, .direct = true},
	 {A, 65536, 131072, 2},
	 .sgl = true,
	 .entries = 2,
	 .lists = 1,
	 .small = true},
	{"sgl-of-16",
	 {KERNEL_6_12, .direct = true},
	 {A, 65536, 131072, 16},
	 .sgl = true,
	 .entries = 16,
	 .lists = 1,
	 .small = true},
	{"sgl-of-17",
	 {KERNEL_6_12, .direct = true},
	 {A, 65536, 131072, 17},
	 .sgl = true,
	 .entries = 17,
	 .lists = 1},
	{"user-command", {KERNEL_6_6}, {A, 4096, 65536, 2}, .user = true, .entries = 2},
	{"user-command-later", {KERNEL_6_12}, {A, 4096, 65536, 2}, .user = true, .sgl = true, .entries = 2},
	{"33-pages", {KERNEL_6_1}, {A, 4096, 65536, 33}, .entries = 33, .lists = 1, .small = true},
	{"34-pages", {KERNEL_6_1}, {A, 4096, 65536, 34}, .entries = 34, .lists = 1},
	{"4-mib", {KERNEL_6_1, .prp_only = true}, {A, 1 << 20, 1 << 21, 4}, .entries = 4, .lists = 2},
};

/* Pages of data that a PRP command names, in order. */
static void read_prps(const struct fixture *fixture, const struct nvme_iod *iod, GArray *addrs)
{
	uint64_t left = iod->req->bytes - MIN(iod->req->bytes, PAGE - iod->sqe.dptr[0] % PAGE);
	unsigned slots = iod->small_descriptor ? 32 : 512;

	g_array_append_val(addrs, iod->sqe.dptr[0]);
	if (left && !iod->descriptor_count)
		g_array_append_val(addrs, iod->sqe.dptr[1]);
	for (unsigned list = 0; list < iod->descriptor_count; list++) {
		const uint64_t *prps = physmem_bytes(&fixture->sim->mem, iod->descriptors[list].paddr);
		bool chained = list + 1 < iod->descriptor_count;

		for (unsigned at = 0; left && at < slots - (chained ? 1 : 0); at++) {
			g_array_append_val(addrs, prps[at]);
			left -= MIN(left, PAGE);
		}
		if (chained)
			g_assert_cmphex(prps[slots - 1], ==, iod->descriptors[list + 1].addr);
	}
}

static uint64_t to_phys(const struct fixture *fixture, uint64_t addr)
{
	return fixture->domain ? iommu_iova_to_phys(fixture->domain, addr - addr % PAGE) + addr % PAGE : addr;
}

/* The command leads to the request's bytes, page by page, or, an SGL, segment by segment. */
static void assert_leads(const struct fixture *fixture, const struct nvme_iod *iod)
{
	g_autoptr(GArray) addrs = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	const struct nvme_sgl_desc *list = (const void *)iod->sqe.dptr;
	const struct request *req = iod->req;
	uint64_t bytes = 0;
	guint at = 0;

	if (!iod->sgl) {
		read_prps(fixture, iod, addrs);
		for (uint32_t i = 0; i < req->vec_count; i++)
			for (uint64_t done = 0, part; done < req->vecs[i].len; done += part) {
				uint64_t paddr = req->vecs[i].paddr + done;

				part = MIN(PAGE - paddr % PAGE, req->vecs[i].len - done);
				if (i && !done && paddr % PAGE)
					continue; /* goes on in the page before */
				g_assert_cmphex(to_phys(fixture, g_array_index(addrs, uint64_t, at)), ==,
						paddr);
				at++;
			}
		g_assert_cmpuint(at, ==, addrs->len);
		return;
	}
	g_assert_cmphex(iod->sqe.flags, ==, NVME_CMD_SGL_METABUF);
	if (iod->descriptor_count) {
		g_assert_cmphex(list->type, ==, NVME_SGL_LAST_SEGMENT);
		g_assert_cmphex(list->addr, ==, iod->descriptors[0].addr);
		g_assert_cmpuint(list->length, ==, 16 * iod->sgt.nents);
		list = physmem_bytes(&fixture->sim->mem, iod->descriptors[0].paddr);
	}
	for (unsigned i = 0; i < MAX(iod->sgt.nents, 1); i++) {
		g_assert_cmphex(list[i].type, ==, NVME_SGL_DATA);
		g_assert_cmphex(to_phys(fixture, list[i].addr), ==, req->vecs[i].paddr);
		bytes += list[i].length;
	}
	g_assert_cmpuint(bytes, ==, req->bytes);
}

static void test_way(const void *data)
{
	const struct way_case *way = data;
	struct bio_vec vecs[128];
	uint32_t firsts[128];
	struct fixture fixture;
	struct nvme_iod *iod;
	struct request req;

	setup(&fixture, &way->options);
	req = shape_request(&way->shape, vecs, firsts, &fixture);
	if (way->user)
		req.op = REQ_OP_DRV;
	iod = nvme_get_tag(fixture.nvme, way->admin ? 0 : 1);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, way->admin ? 0 : 1), ==, BLK_STS_OK);
	g_assert_cmpint(iod->single, ==, way->single);
	g_assert_cmpint(iod->sgl, ==, way->sgl);
	g_assert_cmpuint(iod->sgt.orig_nents, ==, way->entries);
	g_assert_cmpuint(fixture.nvme->dma_vecs, ==, way->entries ? 1 : 0);
	g_assert_cmpuint(iod->descriptor_count, ==, way->lists);
	if (way->lists)
		g_assert_cmpint(iod->small_descriptor, ==, way->small);
	assert_leads(&fixture, iod);
	nvme_unmap_rq(fixture.nvme, iod);
	nvme_put_tag(fixture.nvme, way->admin ? 0 : 1, iod);
	finish(&fixture, 0);
}

static void test_vectors_are_cut_at_4_gib(void)
{
	const struct options options = {.version = KERNEL_6_1};
	struct scatterlist sgl[4];
	struct bio_vec vecs[2];
	uint32_t firsts[2];
	struct fixture fixture;
	struct request req;

	setup(&fixture, &options);
	req = shape_request(&(struct shape){2 * A - 8192, 65536, 0, 1}, vecs, firsts, &fixture);
	g_assert_cmpuint(req.nr_phys_segments, ==, 2);
	g_assert_cmpuint(blk_rq_map_sg(&req, sgl), ==, 2);
	g_assert_cmphex(sgl[1].paddr, ==, 2 * A);
	g_assert_cmpuint(sgl[0].len, ==, 8192);
	/* Nor do bios join across it. */
	req = shape_request(&(struct shape){2 * A - 8192, 8192, 8192, 2, true}, vecs, firsts, &fixture);
	g_assert_cmpuint(blk_rq_map_sg(&req, sgl), ==, 2);
	finish(&fixture, 0);
}

static enum blk_status prep_shape(const struct options *options, const struct shape *shape, unsigned leaks)
{
	struct bio_vec vecs[128];
	uint32_t firsts[128];
	struct fixture fixture;
	enum blk_status status;
	struct nvme_iod *iod;
	struct request req;

	setup(&fixture, options);
	req = shape_request(shape, vecs, firsts, &fixture);
	iod = nvme_get_tag(fixture.nvme, 1);
	status = nvme_prep_rq(fixture.nvme, iod, &req, 1);
	nvme_put_tag(fixture.nvme, 1, iod);
	finish(&fixture, leaks);
	return status;
}

/* Nobody hands the driver such a request: its queue has a virt boundary. */
static void test_prps_that_cannot_be_leak_their_list(void)
{
	const struct options options = {KERNEL_6_1, .direct = true, .prp_only = true};

	g_assert_cmpint(prep_shape(&options, &(struct shape){A, 2048, 65536, 8}, 1), ==, BLK_STS_IOERR);
}

static void test_memory_out_of_reach_is_the_targets_error(void)
{
	const struct options options = {KERNEL_6_1, .p2p = DMA_P2P_UNSUPPORTED};

	g_assert_cmpint(prep_shape(&options, &(struct shape){P2P_FIRST, 4096, 0, 1}, 0), ==, BLK_STS_TARGET);
	g_assert_cmpint(prep_shape(&options, &(struct shape){P2P_FIRST, 4096, 65536, 3}, 0), ==,
			BLK_STS_TARGET);
}

static void test_failed_metadata_undoes_the_data(void)
{
	const struct options options = {KERNEL_6_1};
	struct bio_vec vecs[3], meta = {A + 0x800000, 64};
	uint32_t firsts[3];
	struct fixture fixture;
	struct nvme_iod *iod;
	struct request req;

	setup(&fixture, &options);
	req = shape_request(&(struct shape){A, 4096, 65536, 3}, vecs, firsts, &fixture);
	req.meta_vecs = &meta;
	req.meta_vec_count = 1;
	req.meta_bytes = 64;
	request_prepare(&req);
	iod = nvme_get_tag(fixture.nvme, 1);
	/* Once before, so that the pool has its page: then three runs of data, and the metadata. */
	for (unsigned nth = 0; nth <= 5; nth++) {
		static const enum blk_status expected[] = {BLK_STS_OK,	     BLK_STS_RESOURCE,
							   BLK_STS_RESOURCE, BLK_STS_RESOURCE,
							   BLK_STS_IOERR,    BLK_STS_OK};
		struct fault_rules *rules = nth ? sweep_arm(fixture.sim, tables, "iommu.map", nth) : NULL;

		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, expected[nth]);
		if (nth)
			g_assert_cmpint(sweep_disarm(fixture.sim, rules), ==, expected[nth] != BLK_STS_OK);
		if (expected[nth] == BLK_STS_OK) {
			g_assert_true(iod->single_meta);
			nvme_unmap_rq(fixture.nvme, iod);
		}
	}
	nvme_put_tag(fixture.nvme, 1, iod);
	finish(&fixture, 0);
}

static const char *const points[] = {"iova.node", "pgtable.page",  "iommu.map",	    "iommu.sync_map",
				     "dma.iova",  "nvme.prp_pool", "nvme.sgl_pool", "nvme.vec_pool"};

/* Every kind of request, each pass of the point failing in turn: it can be tried again, and nothing stays. */
static void test_each_failure_leaves_nothing(const void *data)
{
	static const struct shape shapes[] = {
		{A, 512, 0, 1},		  {A + 512, 12288, 0, 1}, {A, 4096, 65536, 8},
		{A, 4096, 65536, 64},	  {A, 65536, 131072, 20}, {A, 32768, 65536, 2},
		{A + 512, 3 << 20, 0, 1},
	};
	const char *point = data;
	uint64_t passes = 0;

	for (unsigned variant = 0; variant < 8; variant++) {
		const struct options options = {.version = variant & 1 ? KERNEL_6_12 : KERNEL_6_1,
						.direct = variant & 2,
						.prp_only = variant & 4};

		for (uint64_t nth = 1, fired = 1; fired; nth++, passes++) {
			struct fault_rules *rules;
			struct fixture fixture;
			unsigned failed = 0;

			setup(&fixture, &options);
			rules = sweep_arm(fixture.sim, tables, point, nth);
			for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
				struct bio_vec vecs[64];
				uint32_t firsts[64];
				struct request req = shape_request(&shapes[i], vecs, firsts, &fixture);
				struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);
				enum blk_status status = nvme_prep_rq(fixture.nvme, iod, &req, 1);

				if (status == BLK_STS_OK) {
					assert_leads(&fixture, iod);
					nvme_unmap_rq(fixture.nvme, iod);
				} else {
					g_assert_cmpint(status, ==, BLK_STS_RESOURCE);
					failed++;
				}
				nvme_put_tag(fixture.nvme, 1, iod);
				g_assert_cmpuint(fixture.nvme->dma_vecs, ==, 0);
			}
			fired = sweep_disarm(fixture.sim, rules);
			g_assert_cmpuint(failed, <=, fired);
			finish(&fixture, 0);
		}
	}
	g_test_message("%s: %" G_GUINT64_FORMAT " passes", point, passes - 8);
	g_assert_cmpuint(passes, >, 8);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(recordings); i++) {
		g_autofree char *path = g_strdup_printf("/blockdma/sg/recorded/%s", recordings[i].name);

		g_test_add_data_func(path, &recordings[i], test_recording);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
		g_autofree char *path = g_strdup_printf("/blockdma/sg/way/%s", ways[i].name);

		g_test_add_data_func(path, &ways[i], test_way);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
		g_autofree char *path = g_strdup_printf("/blockdma/sg/sweep/%s", points[i]);

		g_test_add_data_func(path, points[i], test_each_failure_leaves_nothing);
	}
	g_test_add_func("/blockdma/sg/limits-follow-the-version", test_limits_follow_the_version);
	g_test_add_func("/blockdma/sg/vectors-are-cut-at-4-gib", test_vectors_are_cut_at_4_gib);
	g_test_add_func("/blockdma/sg/prps-that-cannot-be-leak-their-list",
			test_prps_that_cannot_be_leak_their_list);
	g_test_add_func("/blockdma/sg/memory-out-of-reach-is-the-targets-error",
			test_memory_out_of_reach_is_the_targets_error);
	g_test_add_func("/blockdma/sg/failed-metadata-undoes-the-data", test_failed_metadata_undoes_the_data);
	return g_test_run();
}
