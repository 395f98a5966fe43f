/* SPDX-License-Identifier: MIT */
/*
 * PRP lists and SGLs, exhaustively: every alignment and length of one and of two vectors up to four pages in steps of a
 * block, and every number of list entries around the boundaries of a list.
 *
 * The judge reads the command as the device does: lists out of memory, each address through the page table. What comes out,
 * range by range, must be the request's bytes in their order. Which form the command has, and which lists from which pool,
 * is computed here once more from sections 6.5 to 6.7 of the facts; what was taken must be back after the unmap. The same of
 * metadata, of what fails midway, and of a tag whose last request was of another kind.
 */
#include <errno.h>
#include <string.h>

#include "blockdma/nvme.h"
#include "iommu/hw/hw.h"
#include "sim/behaviour/behaviour.h"
#include "sim/fault/fault.h"

#define PAGE	  UINT64_C(4096)
#define STEP	  UINT64_C(512)
#define PAGES_MAX 4
#define A	  UINT64_C(0x100000000)
#define B	  UINT64_C(0x180000000)
#define M	  UINT64_C(0x200000000) /* metadata */
#define P2P	  UINT64_C(0x300000000) /* memory of another device */

static const struct fault_table *const tables[] = {&dma_fault_table, &nvme_fault_table, NULL};

struct options {
	const char *name;
	bool direct;	/* no IOMMU */
	bool scattered; /* with one: there is never an IOVA for all of a request */
	bool sgl;
	uint32_t threshold;
	bool low;	  /* the device drives 32 bits of an address: what is above is bounced */
	enum dma_p2p p2p; /* of the other device's memory; NONE: through the host bridge */
};

static const struct options kinds[] = {
	{"iommu/prp", .sgl = false},
	{"iommu/sgl-when-forced", .sgl = true},
	{"iommu/sgl-from-2k", .sgl = true, .threshold = 2048},
	{"iommu/sgl-from-8k", .sgl = true, .threshold = 8192},
	{"iommu-in-pieces/prp", .scattered = true, .sgl = false},
	{"iommu-in-pieces/sgl-when-forced", .scattered = true, .sgl = true},
	{"iommu-in-pieces/sgl-from-8k", .scattered = true, .sgl = true, .threshold = 8192},
	{"direct/prp", .direct = true, .sgl = false},
	{"direct/sgl-when-forced", .direct = true, .sgl = true},
	{"direct/sgl-from-2k", .direct = true, .sgl = true, .threshold = 2048},
	{"direct/sgl-from-8k", .direct = true, .sgl = true, .threshold = 8192},
};

struct fixture {
	const struct options *options;
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct nvme *nvme;
	struct sim_observer observer;
	struct fault_rules *rules; /* NULL: nothing fails */
	struct swiotlb *swiotlb;   /* NULL: none */
	int vec_err;		   /* of a record that could not be had, heard */
	unsigned mmio_unmaps;	   /* of memory of another device, heard */
	unsigned blocks;	   /* of the small pool that somebody else has */
	uint32_t held;		   /* IOVAs of the queues */
	uint64_t mapped;	   /* bytes of these */
	GArray *expected;	   /* of struct bio_vec: physical ranges, what touches joined */
	GArray *found;
};

static void heard_dma_call(void *data, struct sim *sim, const struct dma_call *call)
{
	struct fixture *fixture = data;
	bool undoes = call->kind == DMA_CALL_UNMAP_PHYS || call->kind == DMA_CALL_DESTROY;

	fixture->mmio_unmaps += undoes && call->flags & DMA_ATTR_MMIO;
	if (call->kind == DMA_CALL_VEC_ALLOC)
		fixture->vec_err = call->err;
}

static uint64_t mapped_bytes(const struct fixture *fixture)
{
	return fixture->iommu->stats.mapped_bytes - fixture->iommu->stats.unmapped_bytes;
}

static void setup(struct fixture *fixture, const struct options *options)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {.entries = 64, .ways = 4, .walk_entries = 16};
	static const struct swiotlb_config swiotlb = {
		.base = 0x70000000, .slots = 512, .slot_bytes = SWIOTLB_SLOT_BYTES};
	/* One attempt for an IOVA, not a first one below 4 GiB. */
	struct dma_config dma = {.name = "nvme0",
				 .mask = options->low ? UINT32_MAX : UINT64_MAX,
				 .aperture_end = 0xffffffffffff,
				 .forcedac = true,
				 .p2p = {.kind = options->p2p ? options->p2p : DMA_P2P_HOST_BRIDGE,
					 .first = P2P,
					 .last = P2P + 0xffffffff}};
	const struct nvme_config nvme = {.io_queues = 1,
					 .depth = 4,
					 .sgl = options->sgl,
					 .meta_sgl = options->sgl,
					 .sgl_threshold = options->threshold,
					 .logical_block_bytes = 512};

	*fixture = (struct fixture){.options = options,
				    .sim = sim_new(1, 1),
				    .expected = g_array_new(FALSE, FALSE, sizeof(struct bio_vec)),
				    .found = g_array_new(FALSE, FALSE, sizeof(struct bio_vec))};
	fixture->observer = (struct sim_observer){.dma_call = heard_dma_call, .data = fixture};
	sim_observe(fixture->sim, &fixture->observer);
	behaviour_set_version(fixture->sim, KERNEL_7_0);
	fixture->iommu = iommu_new(fixture->sim, &intel_ops, &tlb);
	fixture->iovad = iova_domain_new(fixture->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(fixture->iovad), ==, 0);
	if (options->low)
		dma.swiotlb = fixture->swiotlb = swiotlb_new(&swiotlb);
	if (!options->direct)
		g_assert_cmpint(iommu_domain_new(fixture->iommu, 1, &table, &fixture->domain), ==, 0);
	dma_device_init(&fixture->dev, fixture->sim, &dma, fixture->domain, fixture->iovad);
	g_assert_cmpint(nvme_new(fixture->sim, &fixture->dev, &nvme, &fixture->nvme), ==, 0);
	fixture->held = fixture->dev.live.count;
	fixture->mapped = mapped_bytes(fixture);
}

/* Whether there is nothing left but queues, and pages that the pools keep. */
static void assert_all_freed(const struct fixture *fixture)
{
	const struct nvme *nvme = fixture->nvme;
	uint32_t pages = fixture->domain ? nvme->small_pool.page_count + nvme->large_pool.page_count : 0;

	g_assert_cmpuint(nvme->small_pool.in_use, ==, fixture->blocks);
	g_assert_cmpuint(nvme->large_pool.in_use, ==, 0);
	/* Blocks that were put back are there for the next. */
	g_assert_cmpuint(nvme->small_pool.free_count + fixture->blocks, ==,
			 nvme->small_pool.page_count * (PAGE / NVME_SMALL_POOL_BYTES));
	g_assert_cmpuint(nvme->large_pool.free_count, ==, nvme->large_pool.page_count);
	g_assert_cmpuint(nvme->dma_vecs, ==, 0);
	g_assert_cmpuint(fixture->swiotlb ? fixture->swiotlb->stats.in_use : 0, ==, 0);
	g_assert_cmpuint(fixture->dev.live.count, ==, fixture->held + pages);
	g_assert_cmpuint(mapped_bytes(fixture), ==, fixture->mapped + pages * PAGE);
	g_assert_cmpuint(findings_violations(&fixture->sim->findings), ==, 0);
	g_assert_cmpuint(findings_observations(&fixture->sim->findings), ==, 0);
}

static void finish(struct fixture *fixture)
{
	assert_all_freed(fixture);
	nvme_free(fixture->nvme);
	g_assert_cmpuint(fixture->sim->mem.in_use[FRAME_NVME_POOL], ==, 0);
	g_assert_cmpuint(fixture->dev.live.count, ==, 0);
	g_assert_cmpuint(mapped_bytes(fixture), ==, 0);
	dma_device_finish(&fixture->dev);
	swiotlb_free(fixture->swiotlb);
	iommu_domain_free(fixture->domain);
	iommu_free(fixture->iommu);
	iova_domain_free(fixture->iovad);
	g_array_unref(fixture->expected);
	g_array_unref(fixture->found);
	sim_free(fixture->sim);
}

/* ---- what the device reads ---- */

static void add_range(GArray *ranges, uint64_t paddr, uint64_t len)
{
	struct bio_vec *last = ranges->len ? &g_array_index(ranges, struct bio_vec, ranges->len - 1) : NULL;
	struct bio_vec range = {paddr, len};

	if (last && last->paddr + last->len == paddr)
		last->len += len;
	else
		g_array_append_val(ranges, range);
}

/* Returns where @addr leads, for an access that @prot must allow. */
static uint64_t translate(const struct fixture *fixture, uint64_t addr, unsigned prot)
{
	const struct pgtable *pt;
	uint64_t paddr;
	unsigned allowed;

	if (!fixture->domain)
		return addr;
	pt = fixture->domain->pt;
	g_assert_true(pt->ops->lookup(pt, addr, &paddr, &allowed));
	g_assert_cmpuint(allowed & prot, ==, prot);
	return paddr;
}

/* The device moves @len bytes at @addr, a page of its own at a time. */
static void move(struct fixture *fixture, const struct request *req, uint64_t addr, uint64_t len)
{
	while (len) {
		uint64_t part = MIN(len, PAGE - addr % PAGE);

		add_range(fixture->found, translate(fixture, addr, req->to_device ? PROT_READ : PROT_WRITE),
			  part);
		addr += part;
		len -= part;
	}
}

static const void *list_at(const struct fixture *fixture, uint64_t addr)
{
	uint64_t paddr = translate(fixture, addr, PROT_READ);

	g_assert_true(physmem_has_bytes(&fixture->sim->mem, paddr));
	return physmem_bytes(&fixture->sim->mem, paddr);
}

/* Returns how many lists the device reads. As it sees them they end where their page does. */
static unsigned read_prps(struct fixture *fixture, const struct nvme_iod *iod)
{
	const struct request *req = iod->req;
	uint64_t first = MIN(req->bytes, PAGE - iod->sqe.dptr[0] % PAGE), left = req->bytes - first, next;
	unsigned lists = 0;

	move(fixture, req, iod->sqe.dptr[0], first);
	if (left <= PAGE) {
		if (left)
			g_assert_cmphex(iod->sqe.dptr[1] % PAGE, ==, 0);
		else
			g_assert_cmphex(iod->sqe.dptr[1], ==, 0);
		move(fixture, req, iod->sqe.dptr[1], left);
		return 0;
	}
	for (next = iod->sqe.dptr[1]; left; lists++) {
		unsigned slots = (unsigned)((PAGE - next % PAGE) / sizeof(uint64_t)), at;
		const uint64_t *list = list_at(fixture, next);

		g_assert_cmphex(next % 8, ==, 0);
		for (at = 0; left && at < slots && (at + 1 < slots || left <= PAGE); at++) {
			g_assert_cmphex(list[at] % PAGE, ==, 0);
			move(fixture, req, list[at], MIN(left, PAGE));
			left -= MIN(left, PAGE);
		}
		if (left)
			next = list[slots - 1];
	}
	return lists;
}

/* Returns how many entries the list has, 0 where the command holds the only one. */
static unsigned read_sgl(struct fixture *fixture, const struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *desc = (const void *)iod->sqe.dptr, *list;
	unsigned count;

	if (desc->type == NVME_SGL_DATA) {
		move(fixture, iod->req, desc->addr, desc->length);
		return 0;
	}
	g_assert_cmphex(desc->type, ==, NVME_SGL_LAST_SEGMENT);
	g_assert_cmpuint(desc->length % 16, ==, 0);
	list = list_at(fixture, desc->addr);
	count = desc->length / 16;
	for (unsigned i = 0; i < count; i++) {
		g_assert_cmphex(list[i].type, ==, NVME_SGL_DATA);
		move(fixture, iod->req, list[i].addr, list[i].length);
	}
	return count;
}

static void assert_same_ranges(const struct fixture *fixture)
{
	g_assert_cmpuint(fixture->found->len, ==, fixture->expected->len);
	for (guint i = 0; i < fixture->found->len; i++) {
		const struct bio_vec *found = &g_array_index(fixture->found, struct bio_vec, i),
				     *expected = &g_array_index(fixture->expected, struct bio_vec, i);

		g_assert_cmphex(found->paddr, ==, expected->paddr);
		g_assert_cmpuint(found->len, ==, expected->len);
	}
}

/* ---- what the facts demand ---- */

/* Which way a command has to go. */
struct wanted {
	bool single, coalesced, sgl, small;
	unsigned lists;	  /* of PRPs or of an SGL */
	unsigned entries; /* of an SGL's list */
};

static uint64_t ceil_div(uint64_t value, uint64_t by)
{
	return (value + by - 1) / by;
}

/* Section 6.6: what follows the first page, in lists of which the last slot chains. */
static void want_prps(const struct request *req, struct wanted *wanted)
{
	uint64_t first = PAGE - req->vecs[0].paddr % PAGE;
	uint64_t pages = req->bytes > first ? ceil_div(req->bytes - first, PAGE) : 0;

	if (pages <= 1)
		return;
	wanted->small = pages <= 32;
	wanted->lists = pages <= 512 ? 1 : (unsigned)(1 + ceil_div(pages - 512, 511));
}

static struct wanted want(const struct fixture *fixture, const struct request *req)
{
	const struct options *options = fixture->options;
	bool forced = options->sgl && (request_gap_mask(req) % PAGE || req->op == REQ_OP_DRV);
	bool prp_possible = req->vecs[0].paddr % PAGE + req->bytes <= 2 * PAGE;
	struct wanted wanted = {0};
	uint64_t entries;

	if (req->nr_phys_segments == 1 && (prp_possible || options->sgl)) {
		wanted.single = true;
		wanted.sgl = forced || !prp_possible;
		return wanted;
	}
	wanted.coalesced = !options->direct && !options->scattered && !(request_gap_mask(req) % PAGE);
	entries = wanted.coalesced ? 1 : req->nr_phys_segments;
	wanted.sgl = forced || (options->sgl && options->threshold &&
				ceil_div(req->bytes, entries) >= options->threshold);
	if (!wanted.sgl) {
		want_prps(req, &wanted);
	} else if (entries > 1) {
		wanted.lists = 1;
		wanted.small = req->nr_phys_segments <= 16;
		wanted.entries = fixture->expected->len;
	}
	return wanted;
}

/* ---- one request ---- */

/* Lets the next attempt at an IOVA fail, and, unless it is 0, that @later ones after it as well. */
static void fail_iova(struct fixture *fixture, uint64_t later)
{
	fixture->rules = fault_rules_new(tables);
	g_assert_true(fault_rules_add_nth(fixture->rules, "dma.iova", 1, 0));
	if (later)
		g_assert_true(fault_rules_add_nth(fixture->rules, "dma.iova", 1 + later, 0));
	fault_rules_arm(fixture->rules, fixture->sim);
}

/* Ends it; @fired must have failed. */
static void end_faults(struct fixture *fixture, unsigned fired)
{
	unsigned count = 0;

	if (fixture->rules)
		fault_firings(fixture->rules, &count);
	g_assert_cmpuint(count, ==, fired);
	fault_rules_arm(NULL, fixture->sim);
	g_clear_pointer(&fixture->rules, fault_rules_free);
}

/* Prepares @req, with no IOVA for all of it where the options say so. */
static void prepare(struct fixture *fixture, struct nvme_iod *iod, struct request *req, bool single)
{
	bool fails = fixture->options->scattered && !single && !(request_gap_mask(req) % PAGE);

	if (fails)
		fail_iova(fixture, 0);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, req, 1), ==, BLK_STS_OK);
	end_faults(fixture, fails);
}

static void check_command(const struct fixture *fixture, const struct nvme_iod *iod,
			  const struct wanted *wanted, const struct nvme_stats *before)
{
	const struct nvme_stats *stats = &fixture->nvme->stats;
	const struct nvme_sqe *sqe = &iod->sqe;
	const struct request *req = iod->req;

	g_assert_cmphex(sqe->flags, ==, wanted->sgl ? NVME_CMD_SGL_METABUF : 0);
	g_assert_cmphex(sqe->opcode, ==,
			req->op == REQ_OP_WRITE	 ? NVME_CMD_WRITE
			: req->op == REQ_OP_READ ? NVME_CMD_READ
			: req->to_device	 ? NVME_CMD_VENDOR_OUT
						 : NVME_CMD_VENDOR_IN);
	g_assert_cmpuint(sqe->nsid, ==, 1);
	g_assert_cmphex(sqe->cdw10 | (uint64_t)sqe->cdw11 << 32, ==, req->sector);
	g_assert_cmpuint(sqe->cdw12, ==, req->op == REQ_OP_DRV ? req->bytes : req->bytes / 512 - 1);
	g_assert_cmpuint(iod->total_len, ==, req->bytes);
	g_assert_cmpuint(iod->descriptor_count, ==, wanted->lists);
	g_assert_cmpuint(fixture->nvme->small_pool.in_use, ==,
			 fixture->blocks + (wanted->small ? wanted->lists : 0));
	g_assert_cmpuint(fixture->nvme->large_pool.in_use, ==, wanted->small ? 0 : wanted->lists);
	g_assert_cmpuint(blk_dma_coalesced(&iod->state), ==, wanted->coalesced);
	g_assert_cmpuint(stats->single - before->single, ==, wanted->single);
	g_assert_cmpuint(stats->coalesced - before->coalesced, ==, wanted->coalesced);
	g_assert_cmpuint(stats->per_segment - before->per_segment, ==, !wanted->single && !wanted->coalesced);
	g_assert_cmpuint(stats->sgl_commands - before->sgl_commands, ==, wanted->sgl);
	g_assert_cmpuint(stats->prp_commands - before->prp_commands, ==, !wanted->sgl);
	g_assert_cmpuint(stats->lists - before->lists, ==, wanted->lists);
}

/* Undoes what was prepared; nothing is left of it, and the tag knows nothing of it. */
static void undo(struct fixture *fixture, struct nvme_iod *iod)
{
	bool recorded = iod->vecs != NULL;

	nvme_unmap_rq(fixture->nvme, iod);
	g_assert_cmpuint(iod->descriptor_count, ==, 0);
	g_assert_null(iod->vecs);
	g_assert_cmpuint(iod->vec_count, ==, 0);
	g_assert_false(iod->has_meta_descriptor);
	nvme_put_tag(fixture->nvme, 1, iod);
	assert_all_freed(fixture);
	/* One at a time was needed; it is kept for the next. */
	g_assert_cmpuint(fixture->nvme->free_vecs->len, >=, recorded);
	g_assert_cmpuint(fixture->nvme->free_vecs->len, <=, 1);
}

static void count_bytes(struct request *req)
{
	req->bytes = req->meta_bytes = 0;
	for (uint32_t i = 0; i < req->vec_count; i++)
		req->bytes += req->vecs[i].len;
	for (uint32_t i = 0; i < req->meta_vec_count; i++)
		req->meta_bytes += req->meta_vecs[i].len;
	request_prepare(req);
}

/* Takes @req there and back. */
static void run(struct fixture *fixture, struct request *req)
{
	struct nvme_stats before = fixture->nvme->stats;
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);
	struct wanted wanted;

	count_bytes(req);
	g_array_set_size(fixture->expected, 0);
	g_array_set_size(fixture->found, 0);
	for (uint32_t i = 0; i < req->vec_count; i++)
		add_range(fixture->expected, req->vecs[i].paddr, req->vecs[i].len);
	wanted = want(fixture, req);
	prepare(fixture, iod, req, wanted.single);
	check_command(fixture, iod, &wanted, &before);
	if (wanted.sgl)
		g_assert_cmpuint(read_sgl(fixture, iod), ==, wanted.entries);
	else
		g_assert_cmpuint(read_prps(fixture, iod), ==, wanted.lists);
	assert_same_ranges(fixture);
	undo(fixture, iod);
}

/* Whether the block layer would send these to a controller without SGLs. */
static bool sendable(const struct fixture *fixture, const struct bio_vec *vecs, uint32_t count)
{
	for (uint32_t i = 1; i < count && !fixture->options->sgl; i++)
		if ((vecs[i].paddr | (vecs[i - 1].paddr + vecs[i - 1].len)) % PAGE)
			return false;
	return true;
}

static void run_vecs(struct fixture *fixture, struct bio_vec *vecs, uint32_t count, enum req_op op)
{
	struct request req = {.number = 1,
			      .vecs = vecs,
			      .vec_count = count,
			      .sector = vecs[0].len << 31 | vecs[0].paddr % PAGE,
			      .op = op,
			      .to_device = op == REQ_OP_WRITE || vecs[0].paddr & STEP};

	if (sendable(fixture, vecs, count))
		run(fixture, &req);
}

/* ---- cases ---- */

static void test_every_vector(const void *data)
{
	static const enum req_op ops[] = {REQ_OP_READ, REQ_OP_WRITE, REQ_OP_DRV};
	struct fixture fixture;

	setup(&fixture, data);
	for (uint64_t offset = 0; offset < PAGE; offset += STEP)
		for (uint64_t len = STEP; len <= PAGES_MAX * PAGE; len += STEP)
			for (unsigned op = 0; op < G_N_ELEMENTS(ops); op++) {
				struct bio_vec vec = {A + offset, len};

				run_vecs(&fixture, &vec, 1, ops[op]);
			}
	finish(&fixture);
}

/* The second one apart from the first, behind it in memory or before, or where it ends. */
static void test_every_pair(const void *data)
{
	struct fixture fixture;
	unsigned number = 0;

	setup(&fixture, data);
	for (uint64_t offset = 0; offset < PAGE; offset += STEP)
		for (uint64_t len = STEP; len <= PAGES_MAX * PAGE; len += STEP)
			for (uint64_t second = 0; second < PAGE; second += STEP)
				for (uint64_t more = STEP; more <= PAGES_MAX * PAGE; more += STEP) {
					bool before = number++ & 1;
					struct bio_vec vecs[] = {{(before ? B : A) + offset, len},
								 {(before ? A : B) + second, more}};

					run_vecs(&fixture, vecs, 2, number & 2 ? REQ_OP_READ : REQ_OP_WRITE);
					if (second)
						continue;
					vecs[1].paddr = vecs[0].paddr + len;
					run_vecs(&fixture, vecs, 2, REQ_OP_WRITE);
				}
	finish(&fixture);
}

#define PIECES_MAX 128u

/* Makes a request whose first page has @first bytes, then whole pages and @last bytes that need @entries list entries in
 * all, in @pieces of about the same size. Returns how many vectors it has. */
static uint32_t make_pieces(struct bio_vec *vecs, uint64_t first, uint64_t entries, uint64_t last,
			    uint32_t pieces)
{
	uint64_t left = (entries - 1) * PAGE + last, each = ceil_div(entries, pieces) * PAGE;
	uint32_t count = 0;

	vecs[count++] = (struct bio_vec){A + PAGE - first, first};
	for (; left; count++) {
		vecs[count] = (struct bio_vec){B + count * UINT64_C(0x1000000), MIN(left, each)};
		left -= vecs[count].len;
	}
	return count;
}

/* Lists of every length at the boundaries, once more where a small one ends with its page: the device could not tell its
 * last slot from one that chains. */
static void test_list_boundaries(const void *data)
{
	static const uint64_t around[] = {2, 16, 32, 512, 1023, 1024, 1534, 2045};
	static const uint64_t firsts[] = {STEP, PAGE}, lasts[] = {STEP, PAGE};
	static const uint32_t pieces[] = {1, 2, 15, 16, 17, PIECES_MAX - 1};
	struct dma_pool_block held[PAGE / NVME_SMALL_POOL_BYTES - 1];
	struct bio_vec vecs[PIECES_MAX + 1];
	struct fixture fixture;

	setup(&fixture, data);
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(around); i++) {
		if (i == G_N_ELEMENTS(around))
			for (; fixture.blocks < G_N_ELEMENTS(held); fixture.blocks++)
				g_assert_cmpint(
					dma_pool_alloc(&fixture.nvme->small_pool, &held[fixture.blocks]), ==,
					0);
		for (int by = -1; by <= 1; by++)
			for (unsigned j = 0;
			     j < G_N_ELEMENTS(firsts) * G_N_ELEMENTS(lasts) * G_N_ELEMENTS(pieces); j++) {
				uint64_t entries = around[i % G_N_ELEMENTS(around)] + (uint64_t)by;
				uint32_t count = make_pieces(vecs, firsts[j & 1], entries, lasts[j >> 1 & 1],
							     pieces[j >> 2]);

				run_vecs(&fixture, vecs, count, j & 1 ? REQ_OP_READ : REQ_OP_WRITE);
			}
	}
	while (fixture.blocks)
		dma_pool_free(&fixture.nvme->small_pool, held[--fixture.blocks]);
	finish(&fixture);
}

/* From one entry to as many as there may be segments, of which each is one. */
static void test_every_number_of_entries(const void *data)
{
	struct bio_vec vecs[NVME_MAX_SEGMENTS];
	const struct options *options = data;
	uint64_t len = options->sgl ? STEP : PAGE;
	struct fixture fixture;

	setup(&fixture, options);
	for (uint32_t count = 1; count <= NVME_MAX_SEGMENTS; count++) {
		for (uint32_t i = 0; i < count; i++)
			vecs[i] = (struct bio_vec){A + (count - i) * 2 * PAGE, len};
		run_vecs(&fixture, vecs, count, REQ_OP_READ);
	}
	finish(&fixture);
}

/* Two bios that touch are merged across any joint, and leave no gap bit: also inside the first page. */
static void test_every_pair_of_bios(const void *data)
{
	static const uint32_t firsts[] = {0, 1};
	struct fixture fixture;

	setup(&fixture, data);
	for (uint64_t offset = 0; offset < PAGE; offset += STEP)
		for (uint64_t len = STEP; len <= PAGES_MAX * PAGE; len += STEP)
			for (uint64_t more = STEP; more <= PAGES_MAX * PAGE; more += STEP) {
				struct bio_vec vecs[] = {{A + offset, len}, {A + offset + len, more}};
				struct request req = {.number = 1,
						      .vecs = vecs,
						      .vec_count = 2,
						      .bio_first = firsts,
						      .bio_count = 2,
						      .op = REQ_OP_WRITE,
						      .to_device = true};

				run(&fixture, &req);
			}
	finish(&fixture);
}

/* ---- metadata ---- */

/* Reads the metadata as the device does. Returns how many entries the list has besides the one that tells of it. */
static unsigned read_metadata(struct fixture *fixture, const struct nvme_iod *iod)
{
	const struct request *req = iod->req;
	const struct nvme_sgl_desc *list;
	unsigned count;

	if (!(iod->sqe.flags & NVME_CMD_SGL_METASEG)) {
		move(fixture, req, iod->sqe.metadata, req->meta_bytes);
		return 0;
	}
	list = list_at(fixture, iod->sqe.metadata);
	if (list[0].type == NVME_SGL_DATA) {
		move(fixture, req, list[0].addr, list[0].length);
		return 0;
	}
	g_assert_cmphex(list[0].type, ==, NVME_SGL_LAST_SEGMENT);
	g_assert_cmphex(list[0].addr, ==, iod->sqe.metadata + sizeof(*list));
	count = list[0].length / 16;
	for (unsigned i = 1; i <= count; i++)
		move(fixture, req, list[i].addr, list[i].length);
	return count;
}

/* A request of one page with @count pieces of metadata, @step apart from @meta on, of one segment each or one in all. */
static void run_metadata(struct fixture *fixture, enum req_op op, uint64_t meta, uint64_t step,
			 uint32_t count)
{
	const struct options *options = fixture->options;
	struct bio_vec vec = {A, PAGE}, pieces[8];
	struct request req = {.number = 1,
			      .vecs = &vec,
			      .vec_count = 1,
			      .meta_vecs = pieces,
			      .meta_vec_count = count,
			      .op = op,
			      .to_device = true};
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);
	bool by_iter = meta >= P2P, by_sgl, one_iova;

	g_array_set_size(fixture->expected, 0);
	g_array_set_size(fixture->found, 0);
	for (uint32_t i = 0; i < count; i++) {
		pieces[i] = (struct bio_vec){meta + i * step, PAGE};
		add_range(fixture->expected, pieces[i].paddr, pieces[i].len);
	}
	count_bytes(&req);
	by_iter = by_iter || (options->sgl && (op == REQ_OP_DRV || req.nr_integrity_segments > 1));
	one_iova = by_iter && !options->direct && !options->scattered;
	by_sgl =
		by_iter && options->sgl && (op == REQ_OP_DRV || (req.nr_integrity_segments > 1 && !one_iova));
	if (by_iter && options->scattered) {
		fixture->rules = fault_rules_new(tables);
		g_assert_true(fault_rules_add_nth(fixture->rules, "dma.iova", 2, 0));
		fault_rules_arm(fixture->rules, fixture->sim);
	}
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_OK);
	end_faults(fixture, by_iter && options->scattered);
	g_assert_cmpuint(iod->sqe.flags & NVME_CMD_SGL_METASEG, ==, by_sgl ? NVME_CMD_SGL_METASEG : 0);
	g_assert_cmpuint(fixture->nvme->small_pool.in_use, ==, by_sgl);
	g_assert_cmpuint(iod->meta_total_len, ==, by_iter ? req.meta_bytes : 0);
	g_assert_cmpuint(read_metadata(fixture, iod), ==,
			 !by_sgl || one_iova || count == 1 ? 0 : fixture->expected->len);
	assert_same_ranges(fixture);
	fixture->mmio_unmaps = 0;
	undo(fixture, iod);
	g_assert_cmpuint(fixture->mmio_unmaps, ==,
			 options->direct || meta < P2P ? 0
			 : one_iova		       ? 1
						       : fixture->expected->len);
}

/* By turns with the same tag, so that what one leaves is seen by the next. */
static void test_metadata(const void *data)
{
	const struct options *options = data;
	struct fixture fixture;

	setup(&fixture, options);
	for (uint32_t count = 1; count <= 8; count++) {
		run_metadata(&fixture, REQ_OP_DRV, M, 2 * PAGE, options->sgl ? count : 1);
		run_metadata(&fixture, REQ_OP_WRITE, M, PAGE, 1);
		run_metadata(&fixture, REQ_OP_WRITE, M, 2 * PAGE, options->sgl ? count : 1);
		run_metadata(&fixture, REQ_OP_WRITE, P2P, 2 * PAGE, options->sgl ? count : 1);
		run_metadata(&fixture, REQ_OP_DRV, P2P, 2 * PAGE, options->sgl ? count : 1);
		run_metadata(&fixture, REQ_OP_WRITE, M, PAGE, 1);
	}
	finish(&fixture);
}

/* Where the first mapping is undone when its list cannot be had, that of metadata is, in one IOVA or not. */
static void test_metadata_pool_fails(const void *data)
{
	struct bio_vec vec = {A, PAGE}, pieces[] = {{M, PAGE}, {M + 2 * PAGE, PAGE}};
	struct request req = {.number = 1,
			      .vecs = &vec,
			      .vec_count = 1,
			      .meta_vecs = pieces,
			      .meta_vec_count = 2,
			      .op = REQ_OP_DRV};
	const struct options *options = data;
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, options);
	fixture.sim->behaviour[DESCRIPTOR_POOL_UNMAP] = DESCRIPTOR_POOL_FIXED;
	iod = nvme_get_tag(fixture.nvme, 1);
	count_bytes(&req);
	fixture.rules = fault_rules_new(tables);
	g_assert_true(fault_rules_add_nth(fixture.rules, "nvme.metadata", 1, 0));
	if (options->scattered)
		g_assert_true(fault_rules_add_nth(fixture.rules, "dma.iova", 2, 0));
	fault_rules_arm(fixture.rules, fixture.sim);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_RESOURCE);
	end_faults(&fixture, 1 + options->scattered);
	nvme_put_tag(fixture.nvme, 1, iod);
	finish(&fixture);
}

/* ---- what fails, and what comes after another ---- */

/* The mapping of each segment in turn fails: what was mapped before is undone, and the next request finds a clean tag. */
static void test_every_mapping_fails(const void *data)
{
	const struct options *options = data;
	struct bio_vec vecs[40];
	struct fixture fixture;

	setup(&fixture, options);
	for (uint32_t count = 2; count <= G_N_ELEMENTS(vecs); count++) {
		struct request req = {.number = 1, .vecs = vecs, .vec_count = count, .op = REQ_OP_READ};

		for (uint32_t i = 0; i < count; i++)
			vecs[i] = (struct bio_vec){A + i * 2 * PAGE, PAGE};
		vecs[0] = (struct bio_vec){A + PAGE / 2, PAGE / 2};
		run(&fixture, &req); /* so that the pools need no page meanwhile */
		for (uint64_t nth = 1; nth <= count; nth++) {
			struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);

			fail_iova(&fixture, nth);
			g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_RESOURCE);
			end_faults(&fixture, 2);
			g_assert_null(iod->vecs);
			nvme_put_tag(fixture.nvme, 1, iod);
			assert_all_freed(&fixture);
		}
	}
	finish(&fixture);
}

/* There is no memory for a list, the second or the fifth: what is mapped by itself is undone, with the lists before. */
static void test_every_list_fails(const void *data)
{
	const struct options *options = data;
	struct bio_vec vecs[PIECES_MAX + 1];
	struct fixture fixture;

	setup(&fixture, options);
	for (uint64_t entries = 2; entries <= 2047; entries += 409) {
		struct request req = {.number = 1, .vecs = vecs, .op = REQ_OP_READ};
		unsigned lists = entries <= 512 ? 1 : (unsigned)(1 + ceil_div(entries - 512, 511));

		req.vec_count = make_pieces(vecs, PAGE, entries, PAGE, 100);
		count_bytes(&req);
		for (unsigned nth = 1; nth <= lists; nth++) {
			struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);

			fixture.rules = fault_rules_new(tables);
			if (options->scattered)
				g_assert_true(fault_rules_add_nth(fixture.rules, "dma.iova", 1, 0));
			g_assert_true(fault_rules_add_nth(fixture.rules, "nvme.prp_pool", nth, 0));
			fault_rules_arm(fixture.rules, fixture.sim);
			g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_RESOURCE);
			end_faults(&fixture, 1 + options->scattered);
			g_assert_null(iod->vecs);
			nvme_put_tag(fixture.nvme, 1, iod);
			assert_all_freed(&fixture);
		}
	}
	finish(&fixture);
}

/* Memory of another device, in one segment: mapped as one of several would be, and undone from where that is written. */
static void run_other_device(struct fixture *fixture, enum req_op op)
{
	bool sgl = fixture->options->sgl && op == REQ_OP_DRV;
	struct bio_vec vec = {P2P, 2 * PAGE};
	struct request req = {.number = 1, .vecs = &vec, .vec_count = 1, .op = op};
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);

	count_bytes(&req);
	if (fixture->options->scattered)
		fail_iova(fixture, 0);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_OK);
	end_faults(fixture, fixture->options->scattered);
	g_assert_cmpuint(iod->p2p, ==, DMA_P2P_HOST_BRIDGE);
	if (sgl)
		g_assert_cmpuint(read_sgl(fixture, iod), ==, 0);
	fixture->mmio_unmaps = 0;
	undo(fixture, iod);
	g_assert_cmpuint(fixture->mmio_unmaps, ==, !fixture->options->direct);
}

/* No data: nothing is mapped, and nothing counted as a command of PRPs or an SGL. */
static void run_nothing(struct fixture *fixture, enum req_op op, uint8_t opcode)
{
	struct request req = {.number = 1, .op = op};
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);
	struct nvme_stats before = fixture->nvme->stats;

	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_cmphex(iod->sqe.opcode, ==, opcode);
	g_assert_cmphex(iod->sqe.flags | iod->sqe.dptr[0] | iod->sqe.dptr[1] | iod->sqe.cdw12, ==, 0);
	g_assert_cmpmem(&before, sizeof(before), &fixture->nvme->stats, sizeof(before));
	undo(fixture, iod);
}

/* Memory of another device, then ordinary memory, and commands without any. */
static void test_same_tag_for_other_kinds(const void *data)
{
	static const enum req_op ops[] = {REQ_OP_READ, REQ_OP_DRV};
	struct fixture fixture;

	setup(&fixture, data);
	for (unsigned i = 0; i < 2 * G_N_ELEMENTS(ops); i++) {
		struct bio_vec own = {A, 2 * PAGE};

		run_other_device(&fixture, ops[i / 2]);
		fixture.mmio_unmaps = 0;
		run_vecs(&fixture, &own, 1, REQ_OP_READ);
		g_assert_cmpuint(fixture.mmio_unmaps, ==, 0);
		run_nothing(&fixture, REQ_OP_DRV, NVME_CMD_VENDOR_NONE);
		run_nothing(&fixture, REQ_OP_FLUSH, NVME_CMD_FLUSH);
		run_nothing(&fixture, REQ_OP_WRITE_ZEROES, NVME_CMD_WRITE_ZEROES);
		run_nothing(&fixture, REQ_OP_DISCARD, NVME_CMD_DSM);
	}
	finish(&fixture);
}

/* A sync that failed without rollback leaves its IOVA (D1). The next request with that tag has none of it. */
static void test_same_tag_after_a_lost_iova(const void *data)
{
	struct bio_vec even[] = {{A, PAGE}, {B, PAGE}}, odd[] = {{A, 512}, {B, 512}, {B + PAGE, 512}};
	struct request first = {.number = 1, .vecs = even, .vec_count = 2, .op = REQ_OP_READ},
		       next = {.number = 1, .vecs = odd, .vec_count = 3, .op = REQ_OP_READ};
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, data);
	fixture.sim->behaviour[BLKDMA_ROLLBACK] = BLKDMA_ROLLBACK_OLD;
	iod = nvme_get_tag(fixture.nvme, 1);
	count_bytes(&first);
	fixture.rules = fault_rules_new(tables);
	g_assert_true(fault_rules_add_nth(fixture.rules, "dma.sync", 1, 0));
	fault_rules_arm(fixture.rules, fixture.sim);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &first, 1), ==, BLK_STS_RESOURCE);
	end_faults(&fixture, 1);
	g_assert_true(blk_dma_coalesced(&iod->state));
	dma_iova_destroy(&fixture.dev, &(struct dma_iova_state){iod->state.addr, iod->state.size},
			 first.bytes, DMA_FROM_DEVICE);
	nvme_put_tag(fixture.nvme, 1, iod);
	run(&fixture, &next);
	finish(&fixture);
}

/* ---- what cannot be described, and what cannot be recorded ---- */

/* Pieces that the block layer never sends to a controller without SGLs: no PRP can say them. */
static void test_incorrectly_formed(const void *data)
{
	static const struct {
		struct bio_vec vecs[4];
		uint32_t count;
	} shapes[] = {
		/* One ends early; also where the sum is of pages again. */
		{{{A, PAGE}, {B, STEP}, {M, PAGE}, {M + 2 * PAGE, PAGE}}, 4},
		{{{A, PAGE}, {B, STEP}, {M, PAGE}, {M + 2 * PAGE, PAGE - STEP}}, 4},
		/* One begins late. */
		{{{A, PAGE}, {B + STEP, 2 * PAGE}}, 2},
	};
	struct fixture fixture;

	setup(&fixture, data);
	for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
		struct bio_vec vecs[4];
		struct request req = {
			.number = 1, .vecs = vecs, .vec_count = shapes[i].count, .op = REQ_OP_READ};
		struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);

		memcpy(vecs, shapes[i].vecs, sizeof(vecs));
		count_bytes(&req);
		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_IOERR);
		nvme_put_tag(fixture.nvme, 1, iod);
		assert_all_freed(&fixture);
	}
	finish(&fixture);
}

/* Prepares what is to fail at @point with @status. */
static void fail_once(struct fixture *fixture, struct request *req, const char *point, enum blk_status status)
{
	struct nvme_iod *iod = nvme_get_tag(fixture->nvme, 1);

	fixture->rules = fault_rules_new(tables);
	g_assert_true(fault_rules_add_nth(fixture->rules, point, 1, 0));
	fault_rules_arm(fixture->rules, fixture->sim);
	g_assert_cmpint(nvme_prep_rq(fixture->nvme, iod, req, 1), ==, status);
	end_faults(fixture, 1);
	nvme_put_tag(fixture->nvme, 1, iod);
}

/* Of a device that reaches the first piece but not the second, this is the first that must be unmapped: the record is asked
 * for when one piece is already in the command. */
static void test_record_fails_midway(void)
{
	static const struct options options = {.direct = true, .low = true};
	struct bio_vec vecs[] = {{0x10000000, 2 * PAGE}, {A, 2 * PAGE}, {B, PAGE}};
	struct request req = {.number = 1, .vecs = vecs, .vec_count = 3, .op = REQ_OP_READ};
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, &options);
	fixture.sim->behaviour[DESCRIPTOR_POOL_UNMAP] = DESCRIPTOR_POOL_FIXED;
	count_bytes(&req);
	fail_once(&fixture, &req, "nvme.vec_pool", BLK_STS_RESOURCE);
	g_assert_cmpint(fixture.vec_err, ==, -ENOMEM);
	assert_all_freed(&fixture);
	g_assert_cmpuint(fixture.swiotlb->stats.maps, ==, 1);
	iod = nvme_get_tag(fixture.nvme, 1);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_cmpuint(iod->vec_count, ==, 3);
	undo(&fixture, iod);
	finish(&fixture);
}

/* Bus addresses need no unmap. Under p2p-vec-free = leak they are recorded nevertheless, for nobody: each request that
 * succeeds loses a record, one that fails does not (D9). */
static void test_bus_addresses(void)
{
	static const struct options options = {.sgl = true, .p2p = DMA_P2P_BUS_ADDR};
	struct bio_vec vecs[] = {{P2P, PAGE}, {P2P + 4 * PAGE, 2 * PAGE}};
	struct request req = {.number = 1, .vecs = vecs, .vec_count = 2, .op = REQ_OP_READ};
	struct fixture fixture;

	setup(&fixture, &options);
	count_bytes(&req);
	for (unsigned fixed = 0; fixed < 2; fixed++) {
		fixture.sim->behaviour[P2P_VEC_FREE] = fixed ? P2P_VEC_FIXED : P2P_VEC_LEAK;
		fixture.sim->behaviour[DESCRIPTOR_POOL_UNMAP] = DESCRIPTOR_POOL_FIXED;
		req.op = REQ_OP_READ;
		fail_once(&fixture, &req, "nvme.prp_pool", BLK_STS_RESOURCE);
		assert_all_freed(&fixture);
		req.op = REQ_OP_DRV;
		fail_once(&fixture, &req, "nvme.sgl_pool", BLK_STS_RESOURCE);
		assert_all_freed(&fixture);
	}
	fixture.sim->behaviour[P2P_VEC_FREE] = P2P_VEC_LEAK;
	req.op = REQ_OP_READ;
	for (unsigned lost = 1; lost <= 3; lost++) {
		struct nvme_iod *iod = nvme_get_tag(fixture.nvme, 1);

		g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
		g_assert_cmpuint(iod->vec_count, ==, 2);
		nvme_unmap_rq(fixture.nvme, iod);
		nvme_put_tag(fixture.nvme, 1, iod);
		g_assert_cmpuint(fixture.nvme->dma_vecs, ==, lost);
	}
	fixture.nvme->dma_vecs = 0; /* the loss was looked at */
	finish(&fixture);
}

/* With the joints of their own, two pieces of metadata inside a page get no IOVA for both (D6). */
static void test_metadata_gap(void)
{
	static const struct options options = {.sgl = true};
	struct bio_vec vec = {A, PAGE}, pieces[] = {{M, STEP}, {M + 2 * PAGE, STEP}};
	struct request req = {.number = 1,
			      .vecs = &vec,
			      .vec_count = 1,
			      .meta_vecs = pieces,
			      .meta_vec_count = 2,
			      .op = REQ_OP_WRITE,
			      .to_device = true};
	struct fixture fixture;
	struct nvme_iod *iod;

	setup(&fixture, &options);
	fixture.sim->behaviour[METADATA_GAP] = METADATA_GAP_OWN;
	iod = nvme_get_tag(fixture.nvme, 1);
	count_bytes(&req);
	g_assert_cmpint(nvme_prep_rq(fixture.nvme, iod, &req, 1), ==, BLK_STS_OK);
	g_assert_false(blk_dma_coalesced(&iod->meta_state));
	add_range(fixture.expected, M, STEP);
	add_range(fixture.expected, M + 2 * PAGE, STEP);
	g_assert_cmpuint(read_metadata(&fixture, iod), ==, 2);
	assert_same_ranges(&fixture);
	undo(&fixture, iod);
	finish(&fixture);
}

static bool with_sgls(const struct options *options)
{
	return options->sgl;
}

static bool in_pieces(const struct options *options)
{
	return options->scattered;
}

static bool prps_only(const struct options *options)
{
	return !options->sgl;
}

static bool in_one_iova(const struct options *options)
{
	return !options->direct && !options->scattered && options->sgl;
}

/* A request in one IOVA that fails midway leaves entries (D8), and an SGL has one list. */
static bool in_pieces_by_prps(const struct options *options)
{
	return (options->scattered || options->direct) && !options->threshold;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const void *data);
		bool (*applies)(const struct options *options); /* NULL: to all */
	} tests[] = {
		{"every-vector", test_every_vector},
		{"every-pair", test_every_pair},
		{"every-pair-of-bios", test_every_pair_of_bios},
		{"list-boundaries", test_list_boundaries},
		{"every-number-of-entries", test_every_number_of_entries},
		{"metadata", test_metadata},
		{"metadata-pool-fails", test_metadata_pool_fails, with_sgls},
		{"every-mapping-fails", test_every_mapping_fails, in_pieces},
		{"every-list-fails", test_every_list_fails, in_pieces_by_prps},
		{"same-tag-for-other-kinds", test_same_tag_for_other_kinds},
		{"same-tag-after-a-lost-iova", test_same_tag_after_a_lost_iova, in_one_iova},
		{"incorrectly-formed", test_incorrectly_formed, prps_only},
	};

	g_test_init(&argc, &argv, NULL);
	for (unsigned test = 0; test < G_N_ELEMENTS(tests); test++)
		for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
			g_autofree char *path = g_strdup_printf("/blockdma/prp-sgl/%s/%s", tests[test].name,
								kinds[kind].name);

			if (!tests[test].applies || tests[test].applies(&kinds[kind]))
				g_test_add_data_func(path, &kinds[kind], tests[test].run);
		}
	g_test_add_func("/blockdma/prp-sgl/record-fails-midway", test_record_fails_midway);
	g_test_add_func("/blockdma/prp-sgl/bus-addresses", test_bus_addresses);
	g_test_add_func("/blockdma/prp-sgl/metadata-gap", test_metadata_gap);
	return g_test_run();
}
