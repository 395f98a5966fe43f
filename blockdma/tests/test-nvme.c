/* SPDX-License-Identifier: MIT */
/*
 * The NVMe data path: which form a command takes, what its lists hold, what the controller then touches, and
 * what is left when a step fails.
 *
 * The judge of a command is an expansion of the request's vectors, page by page, that knows nothing of lists:
 * what the controller translates must be those physical addresses, in that order. It is heard through the
 * observer.
 */
#include <errno.h>

#include "blockdma/controller.h"
#include "iommu/hw/hw.h"
#include "iommu/tests/fault-sweep.h"
#include "sim/behaviour/behaviour.h"

#define PAGE  UINT64_C(4096)
#define A     UINT64_C(0x100000000)
#define DEPTH 8u

static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table, &dma_fault_table,
						   &nvme_fault_table, NULL};

struct options {
	bool direct; /* no IOMMU */
	bool sgl;
	uint32_t threshold;
	enum kernel_version version; /* 0: of those with the block mapper, the one without bugs */
	bool shadow; /* doorbells */
	const struct iommu_hw_ops *hw; /* NULL: Intel's */
};

struct fixture {
	struct sim *sim;
	struct sim_observer observer;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct nvme *nvme;
	struct controller ctrl;
	GArray *touched; /* of uint64_t: physical addresses of data that the controller translated to */
};

static void note_translation(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
			     bool hit)
{
	if (paddr < PHYSMEM_BASE)
		g_array_append_val(((struct fixture *)data)->touched, paddr);
}

/* Everything but the controller. */
static void setup_machine(struct fixture *fixture, const struct options *options)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	static const struct dma_config dma = {
		.name = "nvme0", .mask = UINT64_MAX, .aperture_end = 0xffffffffffff};

	*fixture = (struct fixture){.sim = sim_new(2, 1),
				    .touched = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
				    .observer = {.translate = note_translation, .data = fixture}};
	sim_observe(fixture->sim, &fixture->observer);
	behaviour_set_version(fixture->sim, options->version ? options->version : KERNEL_FIXED);
	fixture->iommu = iommu_new(fixture->sim, options->hw ? options->hw : &intel_ops, &tlb);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	if (!options->direct)
		g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	dma_device_init(&fixture->dev, fixture->sim, &dma, fixture->domain, fixture->iovad);
}

static struct nvme_config config_of(const struct options *options)
{
	return (struct nvme_config){.io_queues = 2,
				    .depth = DEPTH,
				    .sgl = options->sgl,
				    .sgl_threshold = options->threshold,
				    .shadow_doorbells = options->shadow,
				    .logical_block_bytes = 512};
}

static void setup(struct fixture *fixture, const struct options *options)
{
	struct nvme_config config = config_of(options);

	setup_machine(fixture, options);
	g_assert_cmpint(nvme_new(fixture->sim, &fixture->dev, &config, &fixture->nvme), ==, 0);
	fixture->ctrl = (struct controller){.nvme = fixture->nvme, .iotlb = true};
}

static void count_data(void *data, const struct dma_live *live)
{
	*(uint64_t *)data += live->taker != DMA_TAKER_COHERENT;
}

static void count_any(void *data, const struct dma_live *live)
{
	(*(uint64_t *)data)++;
}

static void add_size(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	*(uint64_t *)data += paddr < PHYSMEM_BASE ? size : 0;
}

/* IOVAs that hold data of requests. */
static uint64_t data_iovas(const struct fixture *fixture)
{
	uint64_t count = 0;

	dma_live_each(&fixture->dev, count_data, &count);
	return count;
}

/* Bytes of data that the table still maps. */
static uint64_t data_mapped(const struct fixture *fixture)
{
	uint64_t bytes = 0;

	if (fixture->domain)
		pgtable_dump(fixture->domain->pt, add_size, &bytes);
	return bytes;
}

static void assert_no_data(const struct fixture *fixture)
{
	g_assert_cmpuint(data_iovas(fixture), ==, 0);
	g_assert_cmpuint(data_mapped(fixture), ==, 0);
	g_assert_cmpuint(fixture->nvme->small_pool.in_use, ==, 0);
	g_assert_cmpuint(fixture->nvme->large_pool.in_use, ==, 0);
	g_assert_cmpuint(fixture->nvme->dma_vecs, ==, 0);
}

/* The machine without the NVMe device, which must have left nothing. */
static void finish_machine(struct fixture *fixture)
{
	dma_device_finish(&fixture->dev);
	iommu_domain_free(fixture->domain);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	g_array_unref(fixture->touched);
	sim_free(fixture->sim);
}

static void finish(struct fixture *fixture)
{
	nvme_free(fixture->nvme);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_NVME_POOL], ==, 0);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_NVME_QUEUE], ==, 0);
	finish_machine(fixture);
}

/* ---- requests ---- */

/* @count vectors of @len bytes, @step apart, the first at @paddr; "first" and "last" may stick out. */
struct shape {
	struct bio_vec first; /* len 0: none */
	uint64_t paddr, len, step;
	uint32_t count;
	struct bio_vec last;
};

static GArray *shape_vecs(const struct shape *shape)
{
	GArray *vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));

	if (shape->first.len)
		g_array_append_val(vecs, shape->first);
	for (uint32_t i = 0; i < shape->count; i++) {
		struct bio_vec vec = {shape->paddr + i * shape->step, shape->len};

		g_array_append_val(vecs, vec);
	}
	if (shape->last.len)
		g_array_append_val(vecs, shape->last);
	return vecs;
}

static struct request request_of(const GArray *vecs, enum req_op op)
{
	struct request req = {.number = 1,
			      .vecs = (struct bio_vec *)(void *)vecs->data,
			      .vec_count = vecs->len,
			      .op = op,
			      .to_device = op != REQ_OP_READ};

	for (guint i = 0; i < vecs->len; i++)
		req.bytes += req.vecs[i].len;
	request_prepare(&req);
	return req;
}

/* The reference: physical addresses, one for each page that a run of touching vectors lies in. */
static GArray *expand(const struct request *req)
{
	GArray *addrs = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	uint64_t end = 1;

	for (uint32_t i = 0; i < req->vec_count; i++)
		for (uint64_t at = req->vecs[i].paddr, left = req->vecs[i].len; left;) {
			uint64_t part = MIN(left, PAGE - at % PAGE);

			if (at != end || at % PAGE == 0)
				g_array_append_val(addrs, at);
			at += part;
			left -= part;
			end = at;
		}
	return addrs;
}

/* Prepares, submits, lets the controller do it and compares, completes and unmaps. Returns how the
 * preparation ended. */
static enum blk_status try_request(struct fixture *fixture, unsigned qid, struct request *req)
{
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, qid);
	g_autoptr(GArray) expected = expand(req);
	struct controller_command command;
	enum blk_status prepared;
	uint16_t status;

	g_assert_nonnull(iod);
	prepared = nvme_prep_rq(fixture->nvme, iod, req, qid ? 1 : 0);
	if (prepared != BLK_STS_OK) {
		nvme_put_tag(fixture->nvme, qid, iod);
		return prepared;
	}
	nvme_submit(fixture->nvme, qid, iod, true);
	g_array_set_size(fixture->touched, 0);
	g_assert_true(controller_execute(&fixture->ctrl, qid, &command));
	g_assert_cmpuint(command.status, ==, NVME_SC_SUCCESS);
	g_assert_cmpuint(command.bytes, ==, req->bytes);
	g_assert_cmpuint(command.write, ==, req->to_device);
	if (fixture->domain) {
		g_assert_cmpuint(fixture->touched->len, ==, expected->len);
		for (guint i = 0; i < expected->len; i++)
			g_assert_cmphex(g_array_index(fixture->touched, uint64_t, i), ==,
					g_array_index(expected, uint64_t, i));
	}
	g_assert_true(controller_complete(&fixture->ctrl, qid, &command));
	g_assert_true(nvme_poll_cq(fixture->nvme, qid, &status) == iod);
	g_assert_cmpuint(status, ==, 0);
	nvme_unmap_rq(fixture->nvme, iod);
	nvme_put_tag(fixture->nvme, qid, iod);
	return BLK_STS_OK;
}

static void run_request(struct fixture *fixture, unsigned qid, struct request *req)
{
	g_assert_cmpint(try_request(fixture, qid, req), ==, BLK_STS_OK);
}

/* ---- PRP ---- */

static const struct prp_case {
	const char *name;
	struct shape shape;
	unsigned lists;	 /* 0: PRP1 and maybe PRP2 */
	bool small;	 /* the lists' pool */
	unsigned second; /* pages that PRP2 holds itself */
} prp_cases[] = {
	{"one-page", {.paddr = A, .len = 4096, .count = 1}},
	{"part-of-a-page", {.paddr = A + 512, .len = 512, .count = 1}},
	{"one-page-across-two", {.paddr = A + 512, .len = 4096, .count = 1}, .second = 1},
	{"two-pages", {.paddr = A, .len = 8192, .count = 1}, .second = 1},
	{"two-pages-apart", {.paddr = A, .len = 4096, .step = 0x3000, .count = 2}, .second = 1},
	{"three-pages-need-a-list", {.paddr = A, .len = 4096, .step = 0x3000, .count = 3}, .lists = 1,
	 .small = true},
	{"three-pages-in-one-piece", {.paddr = A + 0xa00, .len = 9728, .count = 1}, .lists = 1, .small = true},
	{"32-entries-fit-the-small-pool", {.paddr = A, .len = 4096, .step = 0x3000, .count = 33}, .lists = 1,
	 .small = true},
	{"32-entries-after-a-part",
	 {.first = {A + 0x800, 2048}, .paddr = A + 0x10000, .len = 4096, .step = 0x3000, .count = 32},
	 .lists = 1, .small = true},
	{"32-entries-with-a-short-last",
	 {.paddr = A, .len = 4096, .step = 0x3000, .count = 32, .last = {A + 0x1000000, 512}}, .lists = 1,
	 .small = true},
	{"33-entries-take-the-large-pool", {.paddr = A, .len = 4096, .step = 0x3000, .count = 34}, .lists = 1},
	{"512-entries-need-no-chain", {.paddr = A, .len = 513 * 4096, .count = 1}, .lists = 1},
	{"512-entries-of-large-pieces", {.paddr = A, .len = 171 * 4096, .step = 0x1000000, .count = 3},
	 .lists = 1},
	{"513-entries-chain", {.paddr = A, .len = 514 * 4096, .count = 1}, .lists = 2},
	{"513-entries-the-last-short", {.paddr = A, .len = 513 * 4096 + 512, .count = 1}, .lists = 2},
	{"1023-entries-fill-two-lists", {.paddr = A, .len = 1024 * 4096, .count = 1}, .lists = 2},
	{"1024-entries-take-three", {.paddr = A, .len = 1025 * 4096, .count = 1}, .lists = 3},
	{"8-mib", {.paddr = A, .len = 8 << 20, .count = 1}, .lists = 5},
	{"8-mib-in-128-pieces", {.paddr = A, .len = 65536, .step = 0x100000, .count = 128}, .lists = 5},
};

struct prp_test {
	const struct prp_case *row;
	struct options options;
};

/* Follows the lists as the specification says, without the controller; returns how many there were. */
static unsigned read_prps(struct fixture *fixture, const struct nvme_iod *iod, GArray *addrs)
{
	uint64_t left = iod->req->bytes - MIN(iod->req->bytes, PAGE - iod->sqe.dptr[0] % PAGE);
	unsigned lists = 0;

	g_array_append_val(addrs, iod->sqe.dptr[0]);
	if (left && left <= PAGE)
		g_array_append_val(addrs, iod->sqe.dptr[1]);
	for (uint64_t next = iod->sqe.dptr[1]; left > PAGE || (lists && left);) {
		const uint64_t *list = physmem_bytes(&fixture->sim->mem, iod->descriptors[lists].paddr);
		unsigned slots = iod->small_descriptor ? 32 : 512, at = 0;

		g_assert_cmphex(next, ==, iod->descriptors[lists].addr);
		lists++;
		for (; left && at < slots && !(at == slots - 1 && left > PAGE); at++) {
			g_array_append_val(addrs, list[at]);
			left -= MIN(left, PAGE);
		}
		next = list[slots - 1];
	}
	return lists;
}

static void test_prp(const void *data)
{
	const struct prp_test *test = data;
	g_autoptr(GArray) vecs = shape_vecs(&test->row->shape),
			  addrs = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	struct request req = request_of(vecs, REQ_OP_WRITE);
	g_autoptr(GArray) expected = expand(&req);
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, &test->options);
	iod = nvme_get_tag(fixture.nvme, 1);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_cmpuint(iod->sqe.flags, ==, 0);
	g_assert_cmpuint(iod->total_len, ==, req.bytes);
	g_assert_cmpuint(read_prps(&fixture, iod, addrs), ==, test->row->lists);
	g_assert_cmpuint(iod->descriptor_count, ==, test->row->lists);
	g_assert_cmpuint(fixture.nvme->small_pool.in_use, ==, test->row->small ? 1 : 0);
	g_assert_cmpuint(addrs->len, ==, expected->len);
	for (guint i = 0; i < addrs->len; i++) {
		uint64_t addr = g_array_index(addrs, uint64_t, i);

		g_assert_cmphex(test->options.direct ? addr : iommu_iova_to_phys(fixture.domain, addr), ==,
				g_array_index(expected, uint64_t, i));
	}
	if (!test->row->lists && !test->row->second)
		g_assert_cmphex(iod->sqe.dptr[1], ==, 0);
	nvme_unmap_rq(fixture.nvme, iod);
	nvme_put_tag(fixture.nvme, 1, iod);
	assert_no_data(&fixture);
	run_request(&fixture, 1, &req);
	assert_no_data(&fixture);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	finish(&fixture);
}

/* ---- SGL ---- */

static const struct sgl_case {
	const char *name;
	struct shape shape;
	enum req_op op;
	bool direct;
	uint32_t threshold;
	bool sgl;
	unsigned entries; /* in a list; 0: inline */
	bool small;
} sgl_cases[] = {
	{"one-segment-that-prp-can-say", {.paddr = A, .len = 8192, .count = 1}, REQ_OP_READ, .threshold = 512},
	{"one-segment-that-prp-cannot-say", {.paddr = A + 4, .len = 8192, .count = 1}, REQ_OP_READ,
	 .sgl = true},
	{"passthrough-always", {.paddr = A, .len = 4096, .count = 1}, REQ_OP_DRV, .sgl = true},
	{"passthrough-in-pieces", {.paddr = A, .len = 4096, .step = 0x3000, .count = 3}, REQ_OP_DRV,
	 .sgl = true},
	{"one-iova-is-one-entry", {.paddr = A, .len = 4096, .step = 0x3000, .count = 32}, REQ_OP_WRITE,
	 .threshold = 32768, .sgl = true},
	{"one-iova-below-the-threshold", {.paddr = A, .len = 4096, .step = 0x3000, .count = 7}, REQ_OP_WRITE,
	 .threshold = 32768},
	{"one-iova-at-the-threshold", {.paddr = A, .len = 4096, .step = 0x3000, .count = 8}, REQ_OP_WRITE,
	 .threshold = 32768, .sgl = true},
	{"pieces-below-the-threshold", {.paddr = A, .len = 28672, .step = 0x10000, .count = 4}, REQ_OP_WRITE,
	 .direct = true, .threshold = 32768},
	{"pieces-at-the-threshold", {.paddr = A, .len = 32768, .step = 0x10000, .count = 4}, REQ_OP_WRITE,
	 .direct = true, .threshold = 32768, .sgl = true, .entries = 4, .small = true},
	{"threshold-of-the-mean-rounded-up",
	 {.first = {A, 4096}, .paddr = A + 0x10000, .len = 8192, .step = 0x10000, .count = 1, .last = {A + 0x40000, 5120}},
	 REQ_OP_WRITE, .direct = true, .threshold = 5803, .sgl = true, .entries = 3, .small = true},
	{"threshold-0-is-never", {.paddr = A, .len = 32768, .step = 0x10000, .count = 4}, REQ_OP_WRITE,
	 .direct = true},
	{"gap-needs-it", {.paddr = A + 512, .len = 512, .step = 0x3000, .count = 2}, REQ_OP_READ, .sgl = true,
	 .entries = 2, .small = true},
	{"16-entries-fit-the-small-pool", {.paddr = A + 512, .len = 512, .step = 0x3000, .count = 16},
	 REQ_OP_READ, .sgl = true, .entries = 16, .small = true},
	{"17-entries-take-the-large-pool", {.paddr = A + 512, .len = 512, .step = 0x3000, .count = 17},
	 REQ_OP_READ, .sgl = true, .entries = 17},
	{"256-entries-fill-it", {.paddr = A + 512, .len = 512, .step = 0x3000, .count = 256}, REQ_OP_READ,
	 .sgl = true, .entries = 256},
	{"touching-vectors-are-one-entry-of-a-list", {.paddr = A + 512, .len = 512, .step = 512, .count = 4},
	 REQ_OP_READ, .sgl = true, .entries = 1, .small = true},
};

static void test_sgl(const void *data)
{
	const struct sgl_case *row = data;
	struct options options = {
		.direct = row->direct, .sgl = true, .threshold = row->threshold, .version = KERNEL_FIXED};
	g_autoptr(GArray) vecs = shape_vecs(&row->shape);
	struct request req = request_of(vecs, row->op);
	const struct nvme_sgl_desc *desc;
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, &options);
	iod = nvme_get_tag(fixture.nvme, 1);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_cmphex(iod->sqe.flags, ==, row->sgl ? NVME_CMD_SGL_METABUF : 0);
	desc = (const void *)iod->sqe.dptr;
	if (row->sgl) {
		g_assert_cmphex(desc->type, ==, row->entries ? NVME_SGL_LAST_SEGMENT : NVME_SGL_DATA);
		g_assert_cmpuint(desc->length, ==, row->entries ? row->entries * 16 : req.bytes);
		g_assert_cmpuint(fixture.nvme->small_pool.in_use, ==, row->entries && row->small);
		g_assert_cmpuint(fixture.nvme->large_pool.in_use, ==, row->entries && !row->small);
	}
	nvme_unmap_rq(fixture.nvme, iod);
	nvme_put_tag(fixture.nvme, 1, iod);
	assert_no_data(&fixture);
	run_request(&fixture, 1, &req);
	assert_no_data(&fixture);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	finish(&fixture);
}

static void test_admin_queue_takes_no_sgl(void)
{
	static const struct options options = {.sgl = true, .threshold = 512, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .step = 0x3000, .count = 3};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_DRV);
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, &options);
	iod = nvme_get_tag(fixture.nvme, 0);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 0), ==, BLK_STS_OK);
	g_assert_cmphex(iod->sqe.flags, ==, 0);
	nvme_unmap_rq(fixture.nvme, iod);
	nvme_put_tag(fixture.nvme, 0, iod);
	run_request(&fixture, 0, &req);
	assert_no_data(&fixture);
	finish(&fixture);
}

static void test_limits_follow_the_iommu_and_the_controller(void)
{
	static const struct {
		struct options options;
		uint64_t bytes, boundary;
		uint32_t segments;
	} rows[] = {
		{{.direct = false, .sgl = true}, 128 << 10, 0, 33},
		{{.direct = false, .sgl = false}, 128 << 10, 4095, 33},
		{{.direct = true, .sgl = true}, 8 << 20, 0, 256},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct fixture fixture;

		setup(&fixture, &rows[i].options);
		g_assert_cmpuint(fixture.nvme->limits.max_bytes, ==, rows[i].bytes);
		g_assert_cmpuint(fixture.nvme->limits.max_segments, ==, rows[i].segments);
		g_assert_cmphex(fixture.nvme->limits.virt_boundary_mask, ==, rows[i].boundary);
		finish(&fixture);
	}
}

/* ---- any shape ---- */

#define RANDOM_VECS 20

/* Vectors of whole blocks: most on pages, some touching, and, where @gaps, some anywhere. */
static void random_vecs(struct prng *prng, bool gaps, GArray *vecs)
{
	uint32_t count = 1 + prng_below(prng, RANDOM_VECS);

	g_array_set_size(vecs, 0);
	for (uint32_t i = 0; i < count; i++) {
		bool first = i == 0, last = i + 1 == count;
		uint64_t offset =
			(first || gaps) && prng_below(prng, 3) == 0 ? prng_below(prng, 1024) * 4 : 0;
		struct bio_vec vec = {A + (uint64_t)prng_below(prng, 1 << 18) * PAGE + offset, PAGE - offset};

		if (prng_below(prng, 4) == 0)
			vec.len += prng_below(prng, 4) * PAGE;
		if ((last || gaps) && prng_below(prng, 3) == 0)
			vec.len = (1 + prng_below(prng, 16)) * 4;
		if (!first && prng_below(prng, 5) == 0) {
			const struct bio_vec *before = &g_array_index(vecs, struct bio_vec, i - 1);

			if (gaps || (before->paddr + before->len) % PAGE == 0)
				vec.paddr = before->paddr + before->len;
		}
		g_array_append_val(vecs, vec);
	}
}

/* Reads, writes and passthrough, on each kind of device: the controller touches what the expansion says.
 * Lengths are no multiples of a block, so all go as passthrough but those that happen to be. */
static void test_controller_touches_the_request(const void *data)
{
	const struct options *options = data;
	g_autoptr(GArray) vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	struct fixture fixture;
	struct prng prng;

	setup(&fixture, options);
	prng_init(&prng, options->threshold, "shapes");
	for (unsigned round = 0; round < 3000; round++) {
		struct request req;

		random_vecs(&prng, options->sgl, vecs);
		req = request_of(vecs, prng_below(&prng, 2) ? REQ_OP_READ : REQ_OP_WRITE);
		if (req.bytes % 512 || prng_below(&prng, 8) == 0)
			req.op = REQ_OP_DRV;
		run_request(&fixture, 1 + prng_below(&prng, 2), &req);
	}
	assert_no_data(&fixture);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	g_assert_cmpuint(fixture.nvme->stats.prp_commands, >, 0);
	if (options->sgl)
		g_assert_cmpuint(fixture.nvme->stats.sgl_commands, >, 0);
	finish(&fixture);
}

/* ---- queues ---- */

static void test_queue_is_full_at_its_tags(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	struct fixture fixture;

	setup(&fixture, &options);
	for (unsigned qid = 0; qid < 2; qid++) {
		unsigned tags = qid ? DEPTH - 1 : NVME_ADMIN_DEPTH - 2;
		g_autofree struct nvme_iod **iods = g_new(struct nvme_iod *, tags);

		for (unsigned i = 0; i < tags; i++) {
			iods[i] = nvme_get_tag(fixture.nvme, qid);
			g_assert_nonnull(iods[i]);
			g_assert_cmpuint(iods[i]->tag, ==, i);
		}
		g_assert_null(nvme_get_tag(fixture.nvme, qid));
		nvme_put_tag(fixture.nvme, qid, iods[3]);
		g_assert_true(nvme_get_tag(fixture.nvme, qid) == iods[3]);
	}
	finish(&fixture);
}

/* Batches of every size, completed in another order than submitted, for many laps: each completion is seen
 * once, in the order in which it was written, and none is seen before. */
static void test_phase_turns_at_each_lap(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	unsigned generations[DEPTH] = {0};
	struct fixture fixture;
	uint16_t status;

	setup(&fixture, &options);
	for (unsigned round = 0; round < 20 * DEPTH; round++) {
		struct controller_command commands[DEPTH], none;
		unsigned count = 1 + round % (DEPTH - 1);

		for (unsigned i = 0; i < count; i++) {
			struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);

			g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
			g_assert_cmphex(iod->sqe.command_id, ==,
					(generations[iod->tag] % 16) << 12 | iod->tag);
			nvme_submit(fixture.nvme, 1, iod, true);
		}
		for (unsigned i = 0; i < count; i++)
			g_assert_true(controller_execute(&fixture.ctrl, 1, &commands[i]));
		g_assert_false(controller_execute(&fixture.ctrl, 1, &none));
		g_assert_null(nvme_poll_cq(fixture.nvme, 1, &status));
		for (unsigned i = count; i-- > 0;) {
			commands[i].status =
				(uint16_t)(round & 1 ? NVME_SC_DATA_XFER_ERROR : NVME_SC_SUCCESS);
			g_assert_true(controller_complete(&fixture.ctrl, 1, &commands[i]));
		}
		for (unsigned i = count; i-- > 0;) {
			struct nvme_iod *iod = nvme_poll_cq(fixture.nvme, 1, &status);

			g_assert_nonnull(iod);
			g_assert_cmpuint(iod->tag, ==, commands[i].command_id & 0xfff);
			g_assert_cmpuint(status, ==, commands[i].status);
			generations[iod->tag]++;
			nvme_unmap_rq(fixture.nvme, iod);
			nvme_put_tag(fixture.nvme, 1, iod);
		}
		g_assert_null(nvme_poll_cq(fixture.nvme, 1, &status));
	}
	assert_no_data(&fixture);
	g_assert_cmpuint(fixture.nvme->stats.commands, ==, fixture.nvme->stats.completions);
	finish(&fixture);
}

/* ---- doorbells ---- */

/* Puts @count commands into queue 1 of an idle controller; the last one says so if @last. */
static void submit_some(struct fixture *fixture, struct request *req, unsigned count, bool last)
{
	for (unsigned i = 0; i < count; i++) {
		struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);

		g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, req, 1), ==, BLK_STS_OK);
		nvme_submit(fixture->nvme, 1, iod, last && i + 1 == count);
	}
}

/* Lets the controller do what it knows of, and completes it with one doorbell; returns how many commands. */
static unsigned serve_all(struct fixture *fixture)
{
	struct controller_command commands[DEPTH];
	unsigned count = 0;
	struct nvme_iod *iod;
	uint16_t status;

	while (controller_execute(&fixture->ctrl, 1, &commands[count]))
		count++;
	for (unsigned i = 0; i < count; i++)
		g_assert_true(controller_complete(&fixture->ctrl, 1, &commands[i]));
	while ((iod = nvme_poll_cq(fixture->nvme, 1, &status))) {
		nvme_unmap_rq(fixture->nvme, iod);
		nvme_put_tag(fixture->nvme, 1, iod);
	}
	nvme_ring_cq(fixture->nvme, 1);
	return count;
}

/* A batch is not seen before its last command or the commit, whatever the tail was before. */
static void test_doorbell_waits_for_the_end_of_the_batch(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct fixture fixture;
	uint64_t rung = 0;

	setup(&fixture, &options);
	for (unsigned round = 0; round < 5 * DEPTH; round++) {
		submit_some(&fixture, &req, 3, round & 1);
		g_assert_cmpuint(fixture.nvme->stats.doorbells, ==, rung + (round & 1));
		if (!(round & 1))
			g_assert_cmpuint(serve_all(&fixture), ==, 0);
		rung = fixture.nvme->stats.doorbells;
		nvme_commit(fixture.nvme, 1);
		nvme_commit(fixture.nvme, 1);
		g_assert_cmpuint(fixture.nvme->stats.doorbells, ==, rung + !(round & 1));
		g_assert_cmpuint(serve_all(&fixture), ==, 3);
		rung = fixture.nvme->stats.doorbells;
	}
	finish(&fixture);
}

/* A batch that fills the ring would end where the doorbell stands: it is rung for before. */
static void test_doorbell_does_not_wait_for_a_lap(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct fixture fixture;

	setup(&fixture, &options);
	submit_some(&fixture, &req, DEPTH - 2, false);
	g_assert_cmpuint(fixture.nvme->stats.doorbells, ==, 0);
	submit_some(&fixture, &req, 1, false);
	g_assert_cmpuint(fixture.nvme->stats.doorbells, ==, 1);
	g_assert_cmpuint(serve_all(&fixture), ==, DEPTH - 1);
	finish(&fixture);
}

static void test_doorbell_rings_once_for_a_list(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct nvme_iod *iods[5];
	struct fixture fixture;

	setup(&fixture, &options);
	for (unsigned i = 0; i < G_N_ELEMENTS(iods); i++) {
		iods[i] = nvme_get_tag(fixture.nvme, 1);
		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iods[i], &req, 1), ==, BLK_STS_OK);
	}
	nvme_submit_list(fixture.nvme, 1, iods, G_N_ELEMENTS(iods));
	g_assert_cmpuint(fixture.nvme->stats.doorbells, ==, 1);
	g_assert_cmpuint(serve_all(&fixture), ==, G_N_ELEMENTS(iods));
	finish(&fixture);
}

/* With shadow doorbells, a controller that has commands looks for more of its own accord, and asks to be woken when it
 * has none; nothing is ever overlooked. The queues' ends are told once a lap, where the event index stands. */
static void test_shadow_doorbells_wake_who_sleeps(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED, .shadow = true};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct nvme_stats *stats;
	struct fixture fixture;

	setup(&fixture, &options);
	stats = &fixture.nvme->stats;
	for (unsigned round = 0; round < 8 * DEPTH; round++) {
		uint64_t before = stats->doorbells, sq = fixture.nvme->queues[1].sq_doorbell;

		submit_some(&fixture, &req, 1, true);
		g_assert_cmpuint(stats->doorbells, ==, before + 1);
		g_assert_cmpuint(fixture.nvme->queues[1].sq_doorbell, !=, sq);
		submit_some(&fixture, &req, 1 + round % (DEPTH - 2), true);
		submit_some(&fixture, &req, 0, true);
		g_assert_cmpuint(stats->doorbells, ==, before + 1);
		g_assert_cmpuint(serve_all(&fixture), ==, 2 + round % (DEPTH - 2));
		g_assert_cmpuint(stats->doorbells, <=, before + 2);
	}
	g_assert_cmpuint(stats->doorbells_saved, >, 0);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	finish(&fixture);
}

/* The device works without them when there is no memory for them, and the admin queue never has them. */
static void test_shadow_doorbells_are_not_needed(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED, .shadow = true};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);

	/* The admin queue's two mappings come before. */
	for (uint64_t nth = 3; nth <= 4; nth++) {
		struct nvme_config config = config_of(&options);
		struct fault_rules *rules;
		struct fixture fixture;

		setup_machine(&fixture, &options);
		fixture.dev.try_32bit = false; /* one attempt an IOVA */
		rules = sweep_arm(fixture.sim, tables, "dma.iova", nth);
		g_assert_cmpint(nvme_new(fixture.sim, &fixture.dev, &config, &fixture.nvme), ==, 0);
		g_assert_true(sweep_disarm(fixture.sim, rules));
		g_assert_false(fixture.nvme->dbbuf.used);
		g_assert_cmpuint(fixture.nvme->queue_count, ==, 3);
		fixture.ctrl = (struct controller){.nvme = fixture.nvme};
		run_request(&fixture, 1, &req);
		g_assert_cmpuint(fixture.nvme->stats.doorbells_saved, ==, 0);
		finish(&fixture);
	}
}

/* ---- time-outs ---- */

/* The first time-out sends an Abort that names queue and command, the second one resets; the admin queue is not aborted;
 * without budget or tag, the command gets more time. */
static void test_timeout_aborts_and_then_resets(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED};
	static const struct shape shape = {.paddr = A, .len = 4096, .count = 1};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct controller_command command;
	struct nvme_iod *iods[3], *abort;
	struct fixture fixture;
	uint16_t status;

	setup(&fixture, &options);
	for (unsigned i = 0; i < 3; i++) {
		iods[i] = nvme_get_tag(fixture.nvme, i ? 1 : 0);
		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iods[i], &req, i ? 1 : 0), ==, BLK_STS_OK);
	}
	g_assert_cmpint(nvme_timeout(fixture.nvme, 0, iods[0]), ==, NVME_TIMEOUT_RESET);
	g_assert_cmpint(nvme_timeout(fixture.nvme, 1, iods[1]), ==, NVME_TIMEOUT_ABORT);
	g_assert_cmpint(nvme_timeout(fixture.nvme, 1, iods[1]), ==, NVME_TIMEOUT_RESET);
	/* ACL is 0: one at once. */
	g_assert_cmpint(nvme_timeout(fixture.nvme, 1, iods[2]), ==, NVME_TIMEOUT_REARM);
	g_assert_true(controller_execute(&fixture.ctrl, 0, &command));
	g_assert_true(command.abort);
	g_assert_cmpuint(command.abort_qid, ==, 1);
	g_assert_cmpuint(command.abort_id, ==, iods[1]->sqe.command_id);
	g_assert_true(controller_complete(&fixture.ctrl, 0, &command));
	abort = nvme_poll_cq(fixture.nvme, 0, &status);
	g_assert_true(nvme_is_abort(fixture.nvme, abort));
	nvme_abort_done(fixture.nvme, abort);
	while (nvme_get_tag(fixture.nvme, 0))
		;
	g_assert_cmpint(nvme_timeout(fixture.nvme, 1, iods[2]), ==, NVME_TIMEOUT_REARM);
	g_assert_cmpint(fixture.nvme->abort_limit, ==, 1);
	g_assert_cmpint(nvme_timeout(fixture.nvme, 1, iods[2]), ==, NVME_TIMEOUT_RESET);
	for (unsigned i = 0; i < 3; i++)
		nvme_unmap_rq(fixture.nvme, iods[i]);
	assert_no_data(&fixture);
	finish(&fixture);
}

struct cancelled {
	struct fixture *fixture;
	unsigned count;
	uint16_t last_tag;
};

static void note_cancelled(void *data, struct nvme_iod *iod)
{
	struct cancelled *cancelled = data;

	g_assert_cmpuint(iod->tag, >=, cancelled->last_tag);
	cancelled->last_tag = iod->tag;
	cancelled->count++;
	nvme_unmap_rq(cancelled->fixture->nvme, iod);
	nvme_put_tag(cancelled->fixture->nvme, 1, iod);
}

/* Whatever lap the rings were in, after a reset both sides start anew, and nothing is mapped any more. */
static void test_reset_starts_anew(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_FIXED, .shadow = true};
	static const struct shape shape = {.paddr = A, .len = 4096, .step = 8192, .count = 20};
	g_autoptr(GArray) vecs = shape_vecs(&shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct fixture fixture;

	setup(&fixture, &options);
	for (unsigned round = 0; round < 3 * DEPTH; round++) {
		struct cancelled cancelled = {.fixture = &fixture};
		struct controller_command command;
		unsigned count = round % DEPTH;

		for (unsigned i = 0; i < round; i++)
			run_request(&fixture, 1, &req);
		submit_some(&fixture, &req, count, true);
		if (count)
			g_assert_true(controller_execute(&fixture.ctrl, 1, &command));
		nvme_cancel_all(fixture.nvme, note_cancelled, &cancelled);
		g_assert_cmpuint(cancelled.count, ==, count);
		g_assert_cmpuint(fixture.nvme->queues[1].sq_tail, ==, 0);
		assert_no_data(&fixture);
		submit_some(&fixture, &req, DEPTH - 1, true);
		g_assert_cmpuint(serve_all(&fixture), ==, DEPTH - 1);
	}
	finish(&fixture);
}

static const struct {
	uint16_t status;
	enum blk_status blk;
	bool retried;
} statuses[] = {
	{0x000, BLK_STS_OK, false},	    {0x001, BLK_STS_NOTSUPP, true},
	{0x4002, BLK_STS_NOTSUPP, false},   {0x004, BLK_STS_IOERR, true},
	{0x081, BLK_STS_NOSPC, true},	    {0x4080, BLK_STS_TARGET, false},
	{0x0282, BLK_STS_PROTECTION, true}, {0x4281, BLK_STS_MEDIUM, false},
	{0x083, BLK_STS_RESV_CONFLICT, true}, {0x371, BLK_STS_IOERR, true},
	{0x0b70, BLK_STS_TRANSPORT, true},
};

static void test_status_decides(void)
{
	struct nvme nvme = {.config.crdt = 2};

	for (unsigned i = 0; i < G_N_ELEMENTS(statuses); i++) {
		g_assert_cmpint(nvme_error_status(statuses[i].status), ==, statuses[i].blk);
		g_assert_cmpint(nvme_retries(statuses[i].status, 4), ==, statuses[i].retried);
		g_assert_false(nvme_retries(statuses[i].status, 5));
		g_assert_cmpuint(nvme_retry_delay_ns(&nvme, statuses[i].status), ==,
				 statuses[i].status == 0xb70 ? 200000000 : 0);
	}
}

/* ---- host memory buffer ---- */

#define MIB UINT64_C(0x100000)

static const struct hmb_case {
	const char *name;
	bool direct;
	uint64_t preferred, min, desc_min;
	unsigned descs_max;
	uint64_t nth; /* pass of nvme.hmb that fails; 0: none */
	bool persist;
	uint64_t bytes; /* that the controller gets */
	unsigned descs;
	enum kernel_version version; /* 0: as if fixed */
} hmb_cases[] = {
	{"one-piece", false, 10 * MIB, 0, 0, 0, 0, false, 10 * MIB, 1},
	{"one-piece-of-odd-size", false, 9 * MIB + 4097, 0, 0, 0, 0, false, 9 * MIB + 4096, 1},
	{"not-more-than-the-limit", false, 100 * MIB, 0, 0, 0, 0, false, 16 * MIB, 1},
	{"needs-more-than-the-limit", false, 100 * MIB, 17 * MIB, 0, 0, 0, false, 0, 0},
	{"chunks-without-iommu", true, 10 * MIB, 0, 0, 0, 0, false, 10 * MIB, 3},
	{"chunks-when-one-piece-fails", false, 10 * MIB, 0, 0, 0, 1, false, 10 * MIB, 3},
	{"few-chunks", true, 10 * MIB, 0, 0, 2, 0, false, 8 * MIB, 2},
	{"too-few-chunks", true, 10 * MIB, 9 * MIB, 0, 2, 0, false, 0, 0},
	{"some-is-enough", true, 10 * MIB, 4 * MIB, 0, 0, 2, false, 4 * MIB, 1},
	{"some-is-not-enough", true, 10 * MIB, 5 * MIB, 0, 0, 2, false, 10 * MIB, 5},
	{"no-first-chunk", true, 10 * MIB, 0, 0, 0, 1, false, 10 * MIB, 5},
	{"chunks-would-be-too-small", true, 10 * MIB, 5 * MIB, 3 * MIB, 0, 2, false, 0, 0},
	{"chunks-before-6.13", false, 10 * MIB, 0, 0, 0, 0, false, 10 * MIB, 3, KERNEL_6_12},
	{"one-piece-later", false, 10 * MIB, 0, 0, 0, 0, false, 10 * MIB, 1, KERNEL_6_17},
	{"nothing-at-all", false, 10 * MIB, 0, 0, 0, 1, true, 0, 0},
};

static void test_hmb(const void *data)
{
	const struct hmb_case *row = data;
	struct options options = {.direct = row->direct, .version = row->version};
	struct nvme_config config = config_of(&options);
	struct fault_rules *rules = fault_rules_new(tables);
	struct fixture fixture;

	config.hmb_preferred = row->preferred;
	config.hmb_min = row->min;
	config.hmb_desc_min = row->desc_min;
	config.hmb_descs_max = row->descs_max;
	config.hmb_limit = 16 * MIB;
	setup_machine(&fixture, &options);
	if (row->nth)
		g_assert_true(fault_rules_add_nth_of(rules, "nvme.hmb", NULL, row->nth, 0, row->persist));
	fault_rules_arm(rules, fixture.sim);
	g_assert_cmpint(nvme_new(fixture.sim, &fixture.dev, &config, &fixture.nvme), ==, 0);
	fixture.ctrl = (struct controller){.nvme = fixture.nvme};
	g_assert_cmpuint(fixture.nvme->queue_count, ==, 3);
	g_assert_cmpuint(fixture.nvme->hmb.bytes, ==, row->bytes);
	g_assert_cmpuint(fixture.nvme->hmb.desc_count, ==, row->descs);
	if (row->bytes) {
		const uint64_t *descs = physmem_bytes(&fixture.sim->mem, fixture.nvme->hmb.desc_paddr);
		uint64_t bytes = 0;

		for (unsigned i = 0; i < row->descs; i++)
			for (uint64_t page = 0; page < descs[2 * i + 1]; page++, bytes += PAGE) {
				uint64_t paddr = descs[2 * i] + page * PAGE;

				if (fixture.domain)
					paddr = iommu_iova_to_phys(fixture.domain, paddr);
				g_assert_cmpuint(fixture.sim->mem.use[(paddr - PHYSMEM_BASE) >> FRAME_LG2], ==,
						 FRAME_NVME_HMB);
			}
		g_assert_cmpuint(bytes, ==, row->bytes);
	}
	fault_rules_arm(NULL, fixture.sim);
	fault_rules_free(rules);
	nvme_free(fixture.nvme);
	g_assert_cmpuint(fixture.sim->mem.in_use[FRAME_NVME_HMB], ==, 0);
	g_assert_cmpuint(fixture.dev.live.count, ==, 0);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	finish_machine(&fixture);
}

/* ---- discards ---- */

/* Without memory of its own, a discard's ranges lie in the one shared page; a second one has to wait for it. Either way
 * it is mapped alone, as one segment of a page. */
static void test_discard_falls_back_to_the_shared_page(void)
{
	static const struct options options = {.sgl = true, .threshold = 1, .version = KERNEL_FIXED};
	struct bio_vec own = {A, NVME_DSM_BYTES};
	struct request reqs[2];
	struct fixture fixture;
	struct nvme_iod *iods[2];
	uint64_t iova;

	setup(&fixture, &options);
	for (unsigned i = 0; i < 2; i++) {
		struct fault_rules *rules = sweep_arm(fixture.sim, tables, "nvme.discard", 1);

		reqs[i] = (struct request){.bytes = NVME_DSM_BYTES, .vecs = &own, .vec_count = 1,
					   .op = REQ_OP_DISCARD, .to_device = true, .special = true};
		request_prepare(&reqs[i]);
		iods[i] = nvme_get_tag(fixture.nvme, 1);
		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iods[i], &reqs[i], 1), ==,
				i ? BLK_STS_RESOURCE : BLK_STS_OK);
		g_assert_true(sweep_disarm(fixture.sim, rules));
	}
	iova = iods[0]->sqe.dptr[0];
	g_assert_cmpuint(iods[0]->sqe.flags, ==, 0);
	g_assert_cmphex(iommu_iova_to_phys(fixture.domain, iova), ==, fixture.nvme->discard_page);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iods[1], &reqs[1], 1), ==, BLK_STS_OK);
	g_assert_cmphex(iommu_iova_to_phys(fixture.domain, iods[1]->sqe.dptr[0]), ==, A);
	g_assert_cmpuint(fixture.nvme->stats.single, ==, 2);
	for (unsigned i = 0; i < 2; i++) {
		nvme_unmap_rq(fixture.nvme, iods[i]);
		g_assert_true(reqs[i].vecs == &own);
		g_assert_false(fixture.nvme->discard_page_busy);
	}
	assert_no_data(&fixture);
	finish(&fixture);
}

/* ---- failures ---- */

static const struct shape prp_shape = {.paddr = A, .len = 4096, .step = 0x3000, .count = 8};
static const struct shape gap_shape = {.paddr = A + 512, .len = 512, .step = 0x3000, .count = 4};

/* Prepares @shape with the first pass of @point failing; what it left is for the caller to look at. */
static void fail_prep(struct fixture *fixture, const struct options *options, const struct shape *shape,
		      const char *point)
{
	g_autoptr(GArray) vecs = shape_vecs(shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct fault_rules *rules;
	struct nvme_iod *iod;

	setup(fixture, options);
	iod = nvme_get_tag(fixture->nvme, 1);
	rules = sweep_arm(fixture->sim, tables, point, 1);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_RESOURCE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	nvme_put_tag(fixture->nvme, 1, iod);
	g_assert_cmpuint(fixture->nvme->small_pool.in_use, ==, 0);
	g_assert_cmpuint(fixture->nvme->dma_vecs, ==, 0);
}

static void test_sgl_pool_failure_leaks_the_first_mapping(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_7_0};
	struct fixture fixture;

	fail_prep(&fixture, &options, &gap_shape, "nvme.sgl_pool");
	g_assert_cmpuint(data_iovas(&fixture), ==, 1);
	g_assert_cmpuint(data_mapped(&fixture), ==, PAGE);
	finish(&fixture);
}

static void test_sgl_pool_failure_undoes_the_first_mapping_later(void)
{
	static const struct options options = {.sgl = true, .version = KERNEL_7_0_LATER};
	struct fixture fixture;

	fail_prep(&fixture, &options, &gap_shape, "nvme.sgl_pool");
	assert_no_data(&fixture);
	finish(&fixture);
}

static void test_prp_pool_failure_unmaps_what_was_put_into_prps(void)
{
	static const struct options options = {.version = KERNEL_7_0_LATER};
	struct fixture fixture;

	fail_prep(&fixture, &options, &prp_shape, "nvme.prp_pool");
	g_assert_cmpuint(data_iovas(&fixture), ==, 0);
	g_assert_cmpuint(data_mapped(&fixture), ==, 7 * PAGE);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_STALE_REACHABLE], ==, 1);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_IOVA_SMALLER_CLASS], ==, 1);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	finish(&fixture);
}

static void test_prp_pool_failure_unmaps_the_whole(void)
{
	static const struct options options = {.version = KERNEL_FIXED};
	struct fixture fixture;

	fail_prep(&fixture, &options, &prp_shape, "nvme.prp_pool");
	assert_no_data(&fixture);
	g_assert_cmpuint(findings_observations(&fixture.sim->findings), ==, 0);
	finish(&fixture);
}

/* Without one IOVA for all of a request its mappings are recorded in an element that must be had. */
static void fail_vec_pool(struct fixture *fixture, const struct options *options)
{
	g_autoptr(GArray) vecs = shape_vecs(&prp_shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	struct fault_rules *rules;
	struct nvme_iod *iod;

	setup(fixture, options);
	fixture->dev.try_32bit = false;
	iod = nvme_get_tag(fixture->nvme, 1);
	rules = sweep_arm(fixture->sim, tables, "dma.iova", 1);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	g_assert_cmpuint(iod->vec_count, ==, 8);
	g_assert_cmpuint(fixture->nvme->dma_vecs, ==, 1);
	nvme_unmap_rq(fixture->nvme, iod);
	assert_no_data(fixture);
	req.gap_bit = 1; /* as if a joint were inside a page: no attempt at one IOVA */
	rules = sweep_arm(fixture->sim, tables, "nvme.vec_pool", 1);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_RESOURCE);
	g_assert_true(sweep_disarm(fixture->sim, rules));
	nvme_put_tag(fixture->nvme, 1, iod);
	g_assert_cmpuint(fixture->nvme->dma_vecs, ==, 0);
}

static void test_vec_pool_failure_leaks_the_first_mapping(void)
{
	static const struct options options = {.version = KERNEL_7_0};
	struct fixture fixture;

	fail_vec_pool(&fixture, &options);
	g_assert_cmpuint(data_iovas(&fixture), ==, 1);
	g_assert_cmpuint(data_mapped(&fixture), ==, PAGE);
	finish(&fixture);
}

static void test_vec_pool_failure_undoes_the_first_mapping_later(void)
{
	static const struct options options = {.version = KERNEL_7_0_LATER};
	struct fixture fixture;

	fail_vec_pool(&fixture, &options);
	assert_no_data(&fixture);
	finish(&fixture);
}

/* The old rollback reports a half-linked request as mapped: the controller runs into the hole, and the driver of the IOMMU
 * logs that in its own words. */
static void old_rollback_lets_the_controller_fault(const struct iommu_hw_ops *hw, const char *logged)
{
	const struct options options = {.version = KERNEL_6_19, .hw = hw};
	g_autoptr(GArray) vecs = shape_vecs(&prp_shape);
	struct request req = request_of(vecs, REQ_OP_READ);
	const struct finding *finding;
	struct controller_command command;
	struct fault_rules *rules;
	struct fixture fixture;
	struct nvme_iod *iod;
	uint16_t status;

	setup(&fixture, &options);
	iod = nvme_get_tag(fixture.nvme, 1);
	rules = sweep_arm(fixture.sim, tables, "dma.link", 4);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_true(sweep_disarm(fixture.sim, rules));
	nvme_submit(fixture.nvme, 1, iod, true);
	g_assert_true(controller_execute(&fixture.ctrl, 1, &command));
	g_assert_cmpuint(command.status, ==, NVME_SC_DATA_XFER_ERROR);
	g_assert_cmpuint(command.bytes, ==, 3 * PAGE);
	g_assert_cmpuint(fixture.ctrl.stats.faults, ==, 1);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_HOLE], ==, 1);
	finding = g_ptr_array_index(fixture.sim->findings.kept, fixture.sim->findings.kept->len - 1);
	g_assert_cmpint(finding->kind, ==, FINDING_HOLE);
	g_assert_true(g_pattern_match_simple(logged, finding->text));
	g_assert_true(controller_complete(&fixture.ctrl, 1, &command));
	g_assert_true(nvme_poll_cq(fixture.nvme, 1, &status) == iod);
	g_assert_cmpint(nvme_error_status(status), ==, BLK_STS_IOERR);
	nvme_unmap_rq(fixture.nvme, iod);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_WRONG_SIZE], ==, 1);
	finish(&fixture);
}

static void test_old_rollback_lets_the_controller_fault(void)
{
	old_rollback_lets_the_controller_fault(
		&intel_ops,
		"write of IOVA 0x*; logged: DMAR: DRHD: handling fault status reg 2 | DMAR: [DMA Write "
		"NO_PASID] Request device [00:00.0] fault addr 0x*000 [fault reason 0x05] PTE Write "
		"access is not set");
	old_rollback_lets_the_controller_fault(
		&amd_ops,
		"write of IOVA 0x*; logged: AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:00.0 "
		"domain=0x0001 address=0x* flags=0x0020]");
	old_rollback_lets_the_controller_fault(
		&smmuv3_ops,
		"write of IOVA 0x*; logged: event 0x10 received: 0x0000000000000010 0x* | event: "
		"F_TRANSLATION client: (unassigned sid) sid: 0 ssid: 0 iova: 0x* ipa: 0 | unpriv data "
		"write s1 \"Input address caused fault\" stag: 0");
}

static const struct point {
	const char *name;
	bool prp, sgl, direct; /* on which devices it is passed */
} points[] = {
	{"iova.node", true, true, false},     {"pgtable.page", true, true, false},
	{"iommu.map", true, true, false},     {"iommu.sync_map", true, true, false},
	{"dma.iova", true, true, false},      {"dma.link", true, true, false},
	{"dma.sync", true, true, false},      {"nvme.prp_pool", true, false, true},
	{"nvme.sgl_pool", false, true, true}, {"nvme.queue", true, true, true},
};

/* Every kind of request once. Returns how many of them could not be prepared. */
static unsigned play(struct fixture *fixture)
{
	static const struct shape shapes[] = {
		{.paddr = A, .len = 512, .count = 1},
		{.paddr = A + 4, .len = 3 * 4096, .count = 1},
		{.paddr = A, .len = 4096, .step = 0x3000, .count = 8},
		{.paddr = A, .len = 4096, .step = 0x3000, .count = 32},
		{.paddr = A + 512, .len = 512, .step = 0x3000, .count = 4},
		{.paddr = A + 512, .len = 512, .step = 0x3000, .count = 20},
		{.paddr = A, .len = 1100 * 4096, .count = 1},
	};
	unsigned failed = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
		g_autoptr(GArray) vecs = shape_vecs(&shapes[i]);
		struct request req = request_of(vecs, REQ_OP_WRITE);
		enum blk_status status;

		/* A device without SGLs never sees a gap. */
		if (!fixture->nvme->config.sgl && (request_gap_mask(&req) & (NVME_PAGE - 1)))
			continue;
		status = try_request(fixture, 1, &req);
		g_assert_true(status == BLK_STS_OK || status == BLK_STS_RESOURCE);
		failed += status != BLK_STS_OK;
	}
	return failed;
}

struct sweep_test {
	const struct point *point;
	struct options options;
};

/* Probing and every kind of request, with each pass of the point failing in turn. */
static void test_each_failure_leaves_nothing(const void *data)
{
	const struct sweep_test *test = data;
	struct nvme_config config = config_of(&test->options);
	uint64_t passes = 0;

	for (uint64_t nth = 1, fired = 1; fired; nth++) {
		struct fault_rules *rules;
		struct fixture fixture;
		uint64_t live = 0;
		int err;

		setup_machine(&fixture, &test->options);
		rules = sweep_arm(fixture.sim, tables, test->point->name, nth);
		err = nvme_new(fixture.sim, &fixture.dev, &config, &fixture.nvme);
		fixture.ctrl.nvme = fixture.nvme;
		if (err) {
			g_assert_cmpint(err, ==, -ENOMEM);
			fired = sweep_disarm(fixture.sim, rules);
			g_assert_true(fired);
		} else if (fixture.nvme->queue_count < 2) {
			fired = sweep_disarm(fixture.sim, rules);
			g_assert_true(fired);
			nvme_free(fixture.nvme);
		} else {
			unsigned failed = play(&fixture);

			fired = sweep_disarm(fixture.sim, rules);
			g_assert_cmpuint(failed, <=, fired);
			assert_no_data(&fixture);
			g_assert_cmpuint(play(&fixture), ==, 0);
			assert_no_data(&fixture);
			nvme_free(fixture.nvme);
		}
		dma_live_each(&fixture.dev, count_any, &live);
		g_assert_cmpuint(live, ==, 0);
		g_assert_cmpuint(fixture.sim->mem.in_use[FRAME_NVME_POOL], ==, 0);
		g_assert_cmpuint(fixture.sim->mem.in_use[FRAME_NVME_QUEUE], ==, 0);
		g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
		g_assert_cmpuint(findings_observations(&fixture.sim->findings), ==, 0);
		finish_machine(&fixture);
		passes = nth - 1;
	}
	g_test_message("%s: %" G_GUINT64_FORMAT " passes", test->point->name, passes);
	g_assert_cmpuint(passes, >, 0);
}

static void add_prp_tests(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(prp_cases); i++)
		for (unsigned direct = 0; direct < 2; direct++) {
			struct prp_test *test = g_new(struct prp_test, 1);
			g_autofree char *path = g_strdup_printf(
				"/blockdma/nvme/prp-%s/%s", direct ? "direct" : "strict", prp_cases[i].name);

			*test = (struct prp_test){&prp_cases[i], {.direct = direct, .version = KERNEL_FIXED}};
			g_test_add_data_func_full(path, test, test_prp, g_free);
		}
}

static void add_sweep_test(const struct point *point, bool direct, bool sgl)
{
	struct sweep_test *test;
	g_autofree char *path =
		g_strdup_printf("/blockdma/nvme/each-failure-leaves-nothing/%s-%s-%s", point->name,
				direct ? "direct" : "strict", sgl ? "sgl" : "prp");

	if (!(sgl ? point->sgl : point->prp) || (direct && !point->direct))
		return;
	test = g_new(struct sweep_test, 1);
	*test = (struct sweep_test){
		point, {.direct = direct, .sgl = sgl, .threshold = 32768, .version = KERNEL_FIXED}};
	g_test_add_data_func_full(path, test, test_each_failure_leaves_nothing, g_free);
}

static void add_sweep_tests(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(points); i++)
		for (unsigned kind = 0; kind < 4; kind++)
			add_sweep_test(&points[i], kind & 1, kind & 2);
}

int main(int argc, char **argv)
{
	static const struct options random_options[] = {
		{.version = KERNEL_FIXED},
		{.sgl = true, .threshold = 0, .version = KERNEL_FIXED},
		{.sgl = true, .threshold = 8192, .version = KERNEL_FIXED},
		{.sgl = true, .threshold = 32768, .version = KERNEL_7_0},
	};

	g_test_init(&argc, &argv, NULL);
	add_prp_tests();
	for (unsigned i = 0; i < G_N_ELEMENTS(sgl_cases); i++) {
		g_autofree char *path = g_strconcat("/blockdma/nvme/sgl/", sgl_cases[i].name, NULL);

		g_test_add_data_func(path, &sgl_cases[i], test_sgl);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(random_options); i++) {
		g_autofree char *path =
			g_strdup_printf("/blockdma/nvme/controller-touches-the-request/%s-threshold-%u",
					random_options[i].sgl ? "sgl" : "prp", random_options[i].threshold);

		g_test_add_data_func(path, &random_options[i], test_controller_touches_the_request);
	}
	g_test_add_func("/blockdma/nvme/admin-queue-takes-no-sgl", test_admin_queue_takes_no_sgl);
	g_test_add_func("/blockdma/nvme/limits-follow-the-iommu-and-the-controller",
			test_limits_follow_the_iommu_and_the_controller);
	g_test_add_func("/blockdma/nvme/queue-is-full-at-its-tags", test_queue_is_full_at_its_tags);
	g_test_add_func("/blockdma/nvme/phase-turns-at-each-lap", test_phase_turns_at_each_lap);
	g_test_add_func("/blockdma/nvme/doorbell/waits-for-the-end-of-the-batch",
			test_doorbell_waits_for_the_end_of_the_batch);
	g_test_add_func("/blockdma/nvme/doorbell/does-not-wait-for-a-lap",
			test_doorbell_does_not_wait_for_a_lap);
	g_test_add_func("/blockdma/nvme/doorbell/rings-once-for-a-list",
			test_doorbell_rings_once_for_a_list);
	g_test_add_func("/blockdma/nvme/doorbell/shadow-wakes-who-sleeps",
			test_shadow_doorbells_wake_who_sleeps);
	g_test_add_func("/blockdma/nvme/doorbell/shadow-is-not-needed",
			test_shadow_doorbells_are_not_needed);
	g_test_add_func("/blockdma/nvme/timeout-aborts-and-then-resets",
			test_timeout_aborts_and_then_resets);
	g_test_add_func("/blockdma/nvme/reset-starts-anew", test_reset_starts_anew);
	g_test_add_func("/blockdma/nvme/status-decides", test_status_decides);
	for (unsigned i = 0; i < G_N_ELEMENTS(hmb_cases); i++) {
		g_autofree char *path = g_strconcat("/blockdma/nvme/hmb/", hmb_cases[i].name, NULL);

		g_test_add_data_func(path, &hmb_cases[i], test_hmb);
	}
	g_test_add_func("/blockdma/nvme/discard-falls-back-to-the-shared-page",
			test_discard_falls_back_to_the_shared_page);
	g_test_add_func("/blockdma/nvme/sgl-pool-failure-leaks-the-first-mapping",
			test_sgl_pool_failure_leaks_the_first_mapping);
	g_test_add_func("/blockdma/nvme/sgl-pool-failure-undoes-the-first-mapping-later",
			test_sgl_pool_failure_undoes_the_first_mapping_later);
	g_test_add_func("/blockdma/nvme/prp-pool-failure-unmaps-what-was-put-into-prps",
			test_prp_pool_failure_unmaps_what_was_put_into_prps);
	g_test_add_func("/blockdma/nvme/prp-pool-failure-unmaps-the-whole",
			test_prp_pool_failure_unmaps_the_whole);
	g_test_add_func("/blockdma/nvme/vec-pool-failure-leaks-the-first-mapping",
			test_vec_pool_failure_leaks_the_first_mapping);
	g_test_add_func("/blockdma/nvme/vec-pool-failure-undoes-the-first-mapping-later",
			test_vec_pool_failure_undoes_the_first_mapping_later);
	g_test_add_func("/blockdma/nvme/old-rollback-lets-the-controller-fault",
			test_old_rollback_lets_the_controller_fault);
	add_sweep_tests();
	return g_test_run();
}
