/* SPDX-License-Identifier: MIT */

/*
 * Replays recordings of the kernel's block DMA path: each run of each case is made by the model in a world of its own,
 * and told line by line as the recorder told it.
 *
 * What the model does is heard of through observers, and below it through a page-table format and an IOMMU of our own that
 * write a line and hand on. Conventions of the recorder that are no facts of the kernel: queues and descriptor pools take no
 * IOVA, and descriptors lie at 0xfd000000 (4 KiB) and 0xfe000000 (256), each block after the one before.
 *
 * A failure is put in where the recorder put it: in the driver op, the attempt at an IOVA, the pool; that of memory for flush
 * queues and for vectors by a fault rule.
 */
#include "blockdma/golden.h"

#include <errno.h>
#include <string.h>

#include "blockdma/golden-case.h"
#include "blockdma/nvme.h"
#include "iommu/iova/domain.h"
#include "iommu/pgtable/formats.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/fault/fault.h"

#define HEX	   "0x%" G_GINT64_MODIFIER "x"
#define PAGE	   UINT64_C(4096)
#define LARGE_POOL UINT64_C(0xfd000000)
#define SMALL_POOL UINT64_C(0xfe000000)
#define LOOPS_MAX  1000000
/* What all runs of a recording may ask for together: many times what recordings do. */
#define PAGES_MAX (1u << 20)

enum site {
	SITE_MAP,
	SITE_SYNC,
	SITE_IOVA,
	SITE_BOUNCE,
	SITE_POOL,
	SITE_VECPOOL,
	SITE_FQALLOC,
	SITES,
};

/** What a recording calls the places that fail, and the fault point that fails there; NULL: the stage itself does. */
static const struct {
	const char *name;
	const char *point;
} sites[SITES] = {
	[SITE_MAP] = {"map", NULL},
	[SITE_SYNC] = {"sync", NULL},
	[SITE_IOVA] = {"iova", "dma.iova"},
	[SITE_BOUNCE] = {"bounce", "dma.bounce"},
	[SITE_POOL] = {"pool", NULL},
	[SITE_VECPOOL] = {"vecpool", "nvme.vec_pool"},
	[SITE_FQALLOC] = {"fqalloc", "iova.fq"},
};

/** What the line "run" asks for. */
struct injection {
	bool armed;
	enum site site;
	uint64_t nth;
	int error; /* negative */
	bool partial;
};

/** A request on its way: what a driver keeps of it between mapping and unmapping. */
struct flight {
	const struct golden_request *rec;
	struct request req;
	bool started, coalesced;
	struct dma_iova_state state;
	GArray *segments; /* of struct nvme_dma_vec */
	uint64_t mapped;  /* bytes in them */
	enum dma_p2p p2p;
	struct nvme_iod *iod;
};

/** The world of one run. */
struct stage {
	const struct golden_case *rec;
	struct injection injection;
	uint64_t passes[SITES];
	GPtrArray *log; /* lines */
	const char *wrong; /* what the recording asked for that makes no sense; NULL: nothing */
	uint64_t *pages;   /* asked for so far in all of the recording */

	struct sim *sim;
	struct sim_observer observer; /* the only one, by which the doubles below find their stage */
	struct fault_rules *rules;
	struct pgtable_ops format;
	struct iommu_hw_ops hw;
	struct iommu *iommu;
	struct iommu_domain *domain; /* NULL in direct mode */
	struct iova_domain *iovad;
	struct swiotlb *swiotlb; /* NULL: not active */
	struct dma_memory_ops memory;
	struct dma_device dev;
	struct nvme *nvme;
	GArray *flights; /* of struct flight, one a request of the case */

	bool timer;
	struct queue_limits limits;
	uint64_t iova_live, warnings;
	uint64_t large_live, small_live, large_next, small_next;
};

static struct stage *stage_of(const struct sim *sim)
{
	return sim->observers->data;
}

static void say(struct stage *stage, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(struct stage *stage, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_ptr_array_add(stage->log, g_strdup_vprintf(format, args));
	va_end(args);
}

/** Passes @site; returns 0, or the error with which this pass is to fail. */
static int pass(struct stage *stage, enum site site)
{
	const struct injection *injection = &stage->injection;

	stage->passes[site]++;
	if (!injection->armed || injection->site != site || injection->nth != stage->passes[site])
		return 0;
	return injection->error;
}

static const char *direction(unsigned flags)
{
	return flags & DMA_TO_DEVICE ? "to_device" : "from_device";
}

/* Below: page table and IOMMU. */

/** Maps @len bytes, or only half of them where this pass is to fail. */
static int driver_map(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
		      uint64_t *mapped)
{
	struct stage *stage = stage_of(pt->sim);
	uint64_t part = stage->injection.partial ? (len / 2) & ~(PAGE - 1) : 0;
	int err = pass(stage, SITE_MAP);

	*mapped = 0;
	if (!err)
		return vtdss_ops.map_range(pt, iova, paddr, len, prot, mapped);
	/* What lies there already (D8), or beyond the table, ends that half early. */
	if (part)
		vtdss_ops.map_range(pt, iova, paddr, part, prot, mapped);
	return err;
}

/** What follows the name of a driver's op that maps. */
static char *map_text(uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot, int err, uint64_t mapped)
{
	return g_strdup_printf("iova=" HEX " pa=" HEX " size=" HEX " prot=%s%s%s%s -> %d mapped=" HEX, iova, paddr,
			       len, prot & PROT_READ ? "R" : "", prot & PROT_WRITE ? "W" : "",
			       prot & PROT_CACHE ? "C" : "", prot & PROT_MMIO ? "M" : "", err, mapped);
}

static int logged_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			    uint64_t *mapped)
{
	g_autofree char *text = NULL;
	int err;

	if (!len) {
		err = vtdss_ops.map_range(pt, iova, paddr, len, prot, mapped);
		say(stage_of(pt->sim), "  pt_map iova=" HEX " size=0x0 -> %d empty", iova, err);
		return err;
	}
	err = driver_map(pt, iova, paddr, len, prot, mapped);
	text = map_text(iova, paddr, len, prot, err, *mapped);
	say(stage_of(pt->sim), "  pt_map %s", text);
	return err;
}

static uint64_t logged_unmap_range(struct pgtable *pt, uint64_t iova, uint64_t len,
				   struct pgtable_gather *gather)
{
	uint64_t unmapped = vtdss_ops.unmap_range(pt, iova, len, gather);

	say(stage_of(pt->sim), "  pt_unmap iova=" HEX " size=" HEX " -> " HEX, iova, len, unmapped);
	return unmapped;
}

/* The same for drivers of one page size a call. */

static int logged_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			    unsigned prot, uint64_t *mapped)
{
	int err = driver_map(pt, iova, paddr, pgsize * count, prot, mapped);
	g_autofree char *text = map_text(iova, paddr, pgsize * count, prot, err, *mapped);

	say(stage_of(pt->sim), "  map_pages pgsize=" HEX " count=%" G_GUINT64_FORMAT " %s", pgsize, count, text);
	return err;
}

static uint64_t logged_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				   struct pgtable_gather *gather)
{
	bool queued = gather->queued;
	uint64_t unmapped;

	/* A driver that leaves gathering to the core. */
	gather->queued = true;
	unmapped = vtdss_ops.unmap_range(pt, iova, pgsize * count, gather);
	gather->queued = queued;
	say(stage_of(pt->sim), "  unmap_pages iova=" HEX " pgsize=" HEX " count=%" G_GUINT64_FORMAT " -> " HEX, iova,
	    pgsize, count, unmapped);
	return unmapped;
}

/** The driver's ops on page tables, on top of VT-d's format. */
static struct pgtable_ops format_of(enum golden_pt driver)
{
	struct pgtable_ops format = vtdss_ops;

	if (driver == GOLDEN_PGTBL || driver == GOLDEN_PGTBL_4K) {
		format.map_range = NULL;
		format.unmap_range = NULL;
		format.map_pages = logged_map_pages;
		format.unmap_pages = logged_unmap_pages;
	} else {
		format.map_range = logged_map_range;
		format.unmap_range = logged_unmap_range;
	}
	if (driver == GOLDEN_PGTBL_4K)
		format.page_sizes = PAGE;
	return format;
}

/** Attaching is deferred until the first mapping, or it is not watched. */
static int deferred_attach(struct iommu_domain *domain)
{
	return stage_of(domain->iommu->sim)->rec->settings.deferred == GOLDEN_DEFERRED_FAIL ? -ENODEV : 0;
}

static void logged_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	say(stage_of(domain->iommu->sim), "  iotlb_sync start=" HEX " end=" HEX, gather->start, gather->end);
}

static int logged_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	struct stage *stage = stage_of(domain->iommu->sim);
	int err = pass(stage, SITE_SYNC);

	say(stage, "  iotlb_sync_map iova=" HEX " size=" HEX " -> %d", iova, len, err);
	return err;
}

static void logged_flush_iotlb_all(struct iommu_domain *domain)
{
	say(stage_of(domain->iommu->sim), "  flush_iotlb_all");
}

/* What is announced. */

static void heard_map_event(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len)
{
	say(data, "  trace iommu:map iova=" HEX " paddr=" HEX " size=" HEX, iova, paddr, len);
}

static void heard_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
			uint64_t unmapped)
{
	struct stage *stage = data;

	/* The kernel asks the format also to unmap nothing, which refuses; the model leaves that call out. */
	if (!len && stage->format.unmap_range)
		say(stage, "  pt_unmap iova=" HEX " size=0x0 -> 0x0 (rejected)", iova);
	say(stage, "  trace iommu:unmap iova=" HEX " size=" HEX " unmapped=" HEX, iova, len, unmapped);
}

static void heard_iova_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			       uint64_t pfn)
{
	struct stage *stage = data;

	say(stage, "  iova_alloc pages=%" G_GUINT64_FORMAT " limit_pfn=" HEX " flush=%d -> pfn=" HEX, granules,
	    limit_pfn, flush, pfn);
	stage->iova_live += pfn != 0;
}

static void heard_iova_return(void *data, struct sim *sim, uint64_t pfn, uint64_t granules)
{
	struct stage *stage = data;
	uint64_t lo = 0, hi = 0;

	iova_find(stage->iovad, pfn, &lo, &hi);
	say(stage, "  iova_free pfn=" HEX " pages=%" G_GUINT64_FORMAT " node_pages=%" G_GUINT64_FORMAT, pfn,
	    granules, hi - lo + 1);
	stage->iova_live--;
}

/** The timer fires when the recording says. */
static void heard_flush_timer(void *data, struct sim *sim, uint64_t delay_ns)
{
	struct stage *stage = data;

	say(stage, "  fq_timer_arm ms=%" G_GUINT64_FORMAT, delay_ns / 1000000);
	stage->timer = true;
}

static void heard_bounce_map(struct stage *stage, const struct dma_call *call)
{
	if (call->addr == DMA_MAPPING_ERROR)
		say(stage, "  swiotlb_map orig=" HEX " len=" HEX " -> full", call->paddr, call->size);
	else
		say(stage, "  swiotlb_map orig=" HEX " len=" HEX " slots=%u -> bounce=" HEX " copy_in=1", call->paddr,
		    call->size, call->slots, call->addr);
}

static void heard_dma_call(void *data, struct sim *sim, const struct dma_call *call)
{
	struct stage *stage = data;

	switch (call->kind) {
	case DMA_CALL_TRY_ALLOC:
		say(stage, "= dma_iova_try_alloc phys=" HEX " size=" HEX " -> %d addr=" HEX, call->paddr,
		    call->size, call->addr != 0, call->addr);
		break;
	case DMA_CALL_LINK:
		say(stage,
		    "= dma_iova_link phys=" HEX " off=" HEX " size=" HEX " dir=%s attrs=0x%x -> %d bounced=%d",
		    call->paddr, call->offset, call->size, direction(call->flags), call->flags & DMA_ATTRS,
		    call->err, call->bounced);
		break;
	case DMA_CALL_SYNC:
		say(stage, "= dma_iova_sync off=" HEX " size=" HEX " -> %d", call->offset, call->size, call->err);
		break;
	case DMA_CALL_DESTROY:
		say(stage, "= dma_iova_destroy mapped=" HEX " attrs=0x%x (alloc_size=" HEX ")", call->size,
		    call->flags & DMA_ATTRS, call->allocated);
		break;
	case DMA_CALL_MAP_PHYS:
		say(stage, "= dma_map_phys phys=" HEX " size=" HEX " attrs=0x%x -> " HEX, call->paddr, call->size,
		    call->flags & DMA_ATTRS, call->addr);
		break;
	case DMA_CALL_UNMAP_PHYS:
		say(stage, "= dma_unmap_phys addr=" HEX " size=" HEX " attrs=0x%x", call->addr, call->size,
		    call->flags & DMA_ATTRS);
		break;
	case DMA_CALL_MAP_SG:
	case DMA_CALL_UNMAP_SG:
		break; /* not of 7.0 */
	case DMA_CALL_BUS_ADDR:
		say(stage, "= p2p_bus_addr phys=" HEX " -> " HEX, call->paddr, call->addr);
		break;
	case DMA_CALL_VEC_ALLOC:
		say(stage, "= mempool_alloc dma_vecs -> fail");
		break;
	case DMA_CALL_USE_64BIT:
		say(stage, "! notice using 64-bit dma addresses (32-bit window exhausted once)");
		break;
	case DMA_CALL_DEFERRED_ATTACH:
		say(stage, "  deferred_attach rc=%d", call->err);
		break;
	case DMA_CALL_CACHE_FOR_DEVICE:
		say(stage, "  cache_for_device phys=" HEX " len=" HEX " dir=%s", call->paddr, call->size,
		    direction(call->flags));
		break;
	case DMA_CALL_CACHE_FOR_CPU:
		say(stage, "  cache_for_cpu phys=" HEX " len=" HEX " dir=%s", call->paddr, call->size,
		    direction(call->flags));
		break;
	case DMA_CALL_CACHE_FLUSH:
		say(stage, "  cache_flush");
		break;
	case DMA_CALL_BOUNCED:
		say(stage, "  trace swiotlb_bounced phys=" HEX " size=" HEX, call->paddr, call->size);
		break;
	case DMA_CALL_BOUNCE_MAP:
		heard_bounce_map(stage, call);
		break;
	case DMA_CALL_BOUNCE_SYNC:
		say(stage, "  swiotlb_sync_for_cpu bounce=" HEX " len=" HEX, call->addr, call->size);
		break;
	case DMA_CALL_BOUNCE_UNMAP:
		say(stage, "  swiotlb_unmap bounce=" HEX " len=" HEX " copy_out=%d", call->addr, call->size,
		    !(call->flags & (DMA_TO_DEVICE | DMA_ATTR_SKIP_CPU_SYNC)));
		break;
	case DMA_CALL_BOUNCE_INACTIVE:
		say(stage, "! warn_once bounce buffers inactive");
		break;
	}
}

/** Warnings, as the kernel's source words them: each finding begins with the function that warns. */
static void heard_finding(void *data, struct sim *sim, unsigned kind, const char *text)
{
	static const struct {
		const char *function, *warning;
		bool uncounted; /* by the recorder */
	} warnings[] = {
		{"dma_iova_link: ", "iova_start_pad && offset > 0", false},
		{"iommu_dma_iova_unlink_range_slow: ", "!phys", false},
		{"iommu_dma_unmap_phys: ", "!phys", false},
		{"dma_direct_map_phys: ", "overflow", true},
	};
	struct stage *stage = data;

	if (kind == FINDING_WRONG_SIZE) {
		say(stage, "! WARN __iommu_dma_iova_unlink: unmapped != size");
		stage->warnings++;
	}
	if (kind != FINDING_KERNEL_WARNING && kind != FINDING_LINK_IN_GRANULE)
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(warnings); i++)
		if (g_str_has_prefix(text, warnings[i].function)) {
			say(stage, "! WARN %s%s", warnings[i].function, warnings[i].warning);
			stage->warnings += !warnings[i].uncounted;
		}
}

/* Memory that device and CPU share. */

/** Queues: memory, and no trace of it anywhere. */
static int coherent_alloc(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
			  uint64_t *ret_addr)
{
	*ret_paddr = *ret_addr = physmem_alloc(&dev->sim->mem, order, use);
	return 0;
}

static void coherent_free(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr)
{
	physmem_free(&dev->sim->mem, paddr, order);
}

static const char *pool_name(const struct dma_pool *pool)
{
	return pool->block_bytes == NVME_PAGE ? "large" : "small";
}

static int pool_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block)
{
	struct stage *stage = stage_of(pool->dev->sim);
	bool large = pool->block_bytes == NVME_PAGE;

	if (pass(stage, SITE_POOL)) {
		say(stage, "= dma_pool_alloc %s -> fail", pool_name(pool));
		return -ENOMEM;
	}
	ret_block->paddr = physmem_alloc(&stage->sim->mem, 0, FRAME_NVME_POOL);
	ret_block->addr = large ? LARGE_POOL + NVME_PAGE * stage->large_next++
				: SMALL_POOL + NVME_SMALL_POOL_BYTES * stage->small_next++;
	*(large ? &stage->large_live : &stage->small_live) += 1;
	say(stage, "= dma_pool_alloc %s -> " HEX, pool_name(pool), ret_block->addr);
	return 0;
}

static void pool_free(struct dma_pool *pool, const struct dma_pool_block *block)
{
	struct stage *stage = stage_of(pool->dev->sim);

	*(pool->block_bytes == NVME_PAGE ? &stage->large_live : &stage->small_live) -= 1;
	say(stage, "= dma_pool_free %s addr=" HEX, pool_name(pool), block->addr);
	physmem_free(&stage->sim->mem, block->paddr, 0);
}

/* The stage. */

static void arm(struct stage *stage)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table,
							   &dma_fault_table, &nvme_fault_table, NULL};
	const struct injection *injection = &stage->injection;

	fault_rules_arm(NULL, stage->sim);
	g_clear_pointer(&stage->rules, fault_rules_free);
	if (!injection->armed || !sites[injection->site].point)
		return;
	stage->rules = fault_rules_new(tables);
	fault_rules_add_nth(stage->rules, sites[injection->site].point, injection->nth, injection->error);
	fault_rules_arm(stage->rules, stage->sim);
}

/** Charges the recording with the vectors and pages of @req. */
static void charge(struct stage *stage, const struct request *req)
{
	*stage->pages += 1 + req->vec_count + req->meta_vec_count + (req->bytes + req->meta_bytes) / PAGE;
	if (*stage->pages > PAGES_MAX)
		stage->wrong = "more pages than a recording may ask for";
}

static void flight_add(struct stage *stage, const struct golden_request *rec, uint64_t number)
{
	struct flight flight = {.rec = rec,
				.req = {.number = number,
					.vecs = (struct bio_vec *)(void *)rec->vecs->data,
					.vec_count = rec->vecs->len,
					.bio_first = (const uint32_t *)(const void *)rec->bio_first->data,
					.bio_count = rec->bio_first->len,
					.meta_vecs = (struct bio_vec *)(void *)rec->meta_vecs->data,
					.meta_vec_count = rec->meta_vecs->len,
					.meta_first = (const uint32_t *)(const void *)rec->meta_first->data,
					.limits = &stage->limits,
					.special = rec->special,
					.op = stage->rec->settings.usercmd ? REQ_OP_DRV : rec->op,
					.to_device = rec->to_device},
				.segments = g_array_new(FALSE, FALSE, sizeof(struct nvme_dma_vec))};

	for (guint i = 0; i < rec->vecs->len; i++)
		flight.req.bytes += flight.req.vecs[i].len;
	flight.req.meta_bytes = ((flight.req.bytes >> 9) >> (stage->rec->settings.interval_exp - 9)) *
				stage->rec->settings.meta_size;
	charge(stage, &flight.req);
	request_prepare(&flight.req);
	g_array_append_val(stage->flights, flight);
}

static void stage_init(struct stage *stage, const struct golden_case *rec, const struct injection *injection,
		       enum kernel_version version, bool old_rollback, uint64_t *pages)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {0};
	static const struct swiotlb_config swiotlb = {
		.base = 0x70000000, .slots = 512, .slot_bytes = SWIOTLB_SLOT_BYTES};
	static const enum dma_p2p p2p_kinds[] = {[GOLDEN_P2P_NONE] = DMA_P2P_NONE,
						 [GOLDEN_P2P_BUS] = DMA_P2P_BUS_ADDR,
						 [GOLDEN_P2P_HOST] = DMA_P2P_HOST_BRIDGE,
						 [GOLDEN_P2P_UNSUP] = DMA_P2P_UNSUPPORTED};
	const struct golden_settings *settings = &rec->settings;
	uint64_t mask = settings->dma_mask_bits == 64 ? UINT64_MAX
						      : (UINT64_C(1) << settings->dma_mask_bits) - 1;
	struct dma_config dma = {.name = "nvme0",
				 .mask = settings->bus_dma_limit ? MIN(mask, settings->bus_dma_limit) : mask,
				 .aperture_end = settings->aperture_end,
				 .forcedac = settings->forcedac,
				 .incoherent = !settings->coherent,
				 .untrusted = settings->untrusted,
				 .swiotlb_force = settings->swiotlb_force,
				 .deferred_attach = settings->deferred != GOLDEN_DEFERRED_NONE,
				 .p2p = {.kind = p2p_kinds[settings->p2p],
					 .first = settings->p2p_lo,
					 .last = settings->p2p_hi - 1,
					 .bus_offset = settings->bus_offset}};
	struct nvme_config nvme = {.io_queues = 1,
				   .depth = 64,
				   .sgl = settings->sgl,
				   .meta_sgl = settings->meta_sgl,
				   .sgl_threshold = (uint32_t)settings->sgl_threshold,
				   .logical_block_bytes = 512};

	*stage = (struct stage){.rec = rec,
				.injection = *injection,
				.pages = pages,
				.log = g_ptr_array_new_with_free_func(g_free),
				.sim = sim_new(4, 1),
				.format = format_of((enum golden_pt)settings->driver),
				.memory = {coherent_alloc, coherent_free, pool_alloc, pool_free, NULL},
				.observer = {.iova_attempt = heard_iova_attempt,
					     .iova_return = heard_iova_return,
					     .flush_timer = heard_flush_timer,
					     .dma_call = heard_dma_call,
					     .found = heard_finding,
					     .map_event = heard_map_event,
					     .unmap = heard_unmap,
					     .data = stage}};
	if (settings->swiotlb)
		dma.swiotlb = stage->swiotlb = swiotlb_new(&swiotlb);
	stage->limits = (struct queue_limits){.max_bytes = settings->max_bytes,
					      .max_segments = (uint32_t)settings->max_segments,
					      .logical_block_bytes = (uint32_t)settings->lbs,
					      .virt_boundary_mask = settings->virt_boundary,
					      .seg_boundary_mask = settings->seg_boundary,
					      .max_segment_size = (uint32_t)settings->max_segment_size,
					      .dma_alignment = (uint32_t)settings->dma_alignment};
	sim_observe(stage->sim, &stage->observer);
	behaviour_set_version(stage->sim, version);
	stage->sim->behaviour[IOVA_MAGAZINE_NULL_CHECK] = IOVA_MAGAZINE_CHECKED;
	if (old_rollback)
		stage->sim->behaviour[BLKDMA_ROLLBACK] = BLKDMA_ROLLBACK_OLD;
	stage->hw = (struct iommu_hw_ops){.name = "logged",
					  .format = &stage->format,
					  .attach = deferred_attach,
					  .iotlb_sync = logged_iotlb_sync,
					  .iotlb_sync_map =
						  settings->driver == GOLDEN_PT_NOSM ? NULL : logged_iotlb_sync_map,
					  .flush_iotlb_all = logged_flush_iotlb_all};
	stage->iommu = iommu_new(stage->sim, &stage->hw, &tlb);
	stage->iovad = iova_domain_new(stage->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(stage->iovad), ==, 0);
	if (settings->mode != GOLDEN_DIRECT)
		g_assert_cmpint(iommu_domain_new(stage->iommu, 1, &table, &stage->domain), ==, 0);
	dma_device_init(&stage->dev, stage->sim, &dma, stage->domain, stage->iovad);
	stage->dev.memory = &stage->memory;
	arm(stage);
	if (settings->mode == GOLDEN_LAZY || settings->mode == GOLDEN_LAZY1) {
		stage->dev.fq = fq_new(stage->domain, stage->iovad, settings->mode == GOLDEN_LAZY1, 1, 0, 0);
		if (!stage->dev.fq)
			say(stage, "  fq_init -> fail, falling back to strict");
	}
	g_assert_cmpint(nvme_new(stage->sim, &stage->dev, &nvme, &stage->nvme), ==, 0);
	stage->flights = g_array_new(FALSE, TRUE, sizeof(struct flight));
	for (guint i = 0; i < rec->requests->len; i++)
		flight_add(stage, g_ptr_array_index(rec->requests, i), i + 1);
}

static void stage_finish(struct stage *stage)
{
	for (guint i = 0; i < stage->flights->len; i++)
		g_array_unref(g_array_index(stage->flights, struct flight, i).segments);
	g_array_unref(stage->flights);
	nvme_free(stage->nvme);
	fq_free(stage->dev.fq);
	dma_device_finish(&stage->dev);
	swiotlb_free(stage->swiotlb);
	iova_domain_free(stage->iovad);
	iommu_domain_free(stage->domain);
	iommu_free(stage->iommu);
	sim_free(stage->sim);
	fault_rules_free(stage->rules);
	g_ptr_array_unref(stage->log);
}

/* What a device would find. */

static void say_range(struct stage *stage, bool mapped, uint64_t iova, uint64_t paddr, uint64_t len)
{
	if (len && mapped)
		say(stage, "xlat iova=" HEX " len=" HEX " -> pa=" HEX, iova, len, paddr);
	else if (len)
		say(stage, "hole iova=" HEX " len=" HEX, iova, len);
}

/* Logs the translation of [@iova, @iova + @len) in runs that are contiguous on both sides; a bus address has none. */
static void say_translation(struct stage *stage, enum dma_p2p p2p, uint64_t iova, uint64_t len)
{
	uint64_t run_iova = iova, run_paddr = 0, run_len = 0;
	bool run_mapped = false;

	while (stage->domain && p2p != DMA_P2P_BUS_ADDR && len) {
		uint64_t part = MIN(len, PAGE - iova % PAGE), paddr = 0;
		const struct pgtable *pt = stage->domain->pt;
		unsigned prot;
		bool mapped = pt->ops->lookup(pt, iova, &paddr, &prot);

		if (!run_len || mapped != run_mapped || (mapped && paddr != run_paddr + run_len)) {
			say_range(stage, run_mapped, run_iova, run_paddr, run_len);
			run_iova = iova;
			run_paddr = paddr;
			run_len = 0;
			run_mapped = mapped;
		}
		run_len += part;
		iova += part;
		len -= part;
	}
	say_range(stage, run_mapped, run_iova, run_paddr, run_len);
}

struct runs {
	struct stage *stage;
	GPtrArray *lines;
	uint64_t pages, iova, len;
};

static void runs_flush(struct runs *runs)
{
	if (runs->len)
		g_ptr_array_add(runs->lines,
				g_strdup_printf("pte_run iova=" HEX " size=" HEX, runs->iova, runs->len));
	runs->len = 0;
}

static void runs_add(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot, uint64_t raw)
{
	struct runs *runs = data;

	runs->pages += size / PAGE;
	if (runs->iova + runs->len != iova)
		runs_flush(runs);
	if (!runs->len)
		runs->iova = iova;
	runs->len += size;
}

static void count_queued(void *data, const struct fq_queued *queued)
{
	(*(uint64_t *)data)++;
}

static void say_state(struct stage *stage)
{
	struct runs runs = {.stage = stage, .lines = g_ptr_array_new()};
	uint64_t queued = 0;

	if (stage->domain)
		pgtable_dump(stage->domain->pt, runs_add, &runs);
	runs_flush(&runs);
	if (stage->dev.fq)
		fq_each(stage->dev.fq, count_queued, &queued);
	say(stage,
	    "state live_ptes=%" G_GUINT64_FORMAT " iova_live=%" G_GUINT64_FORMAT
	    " fq_pending=%" G_GUINT64_FORMAT " timer=%d bounce_slots=%u pool_large=%" G_GUINT64_FORMAT
	    " pool_small=%" G_GUINT64_FORMAT " dma_vecs=%u warns=%" G_GUINT64_FORMAT,
	    runs.pages, stage->iova_live, queued, stage->timer, stage->swiotlb ? stage->swiotlb->stats.in_use : 0,
	    stage->large_live, stage->small_live,
	    stage->nvme->dma_vecs, stage->warnings);
	for (guint i = 0; i < runs.lines->len; i++)
		g_ptr_array_add(stage->log, g_ptr_array_index(runs.lines, i));
	g_ptr_array_unref(runs.lines);
}

/* The block mapper with the smallest driver that can be. */

static void blk_map(struct stage *stage, struct flight *flight)
{
	bool integrity = stage->rec->settings.level == GOLDEN_META;
	struct blk_dma_iter iter;
	GArray *segments = g_array_set_size(flight->segments, 0);

	flight->mapped = 0;
	flight->started =
		integrity
			? blk_rq_integrity_dma_map_iter_start(&flight->req, &stage->dev, &flight->state, &iter)
			: blk_rq_dma_map_iter_start(&flight->req, &stage->dev, &flight->state, &iter);
	flight->coalesced = blk_dma_coalesced(&flight->state);
	flight->p2p = iter.p2p;
	say(stage, "= blk_rq_%sdma_map_iter_start -> %d", integrity ? "integrity_" : "", flight->started);
	for (bool more = flight->started; more;
	     more = !flight->coalesced && blk_rq_dma_map_iter_next(&flight->req, &stage->dev, &iter)) {
		struct nvme_dma_vec vec = {iter.addr, iter.len};

		flight->mapped += iter.len;
		g_array_append_val(segments, vec);
	}
	say(stage, "status %s", blk_status_names[iter.status]);
	if (flight->started)
		say(stage, "coalesced %d", flight->coalesced);
	say(stage, "segs %u", segments->len);
	for (guint i = 0; i < segments->len; i++) {
		const struct nvme_dma_vec *vec = &g_array_index(segments, struct nvme_dma_vec, i);

		say(stage, "seg addr=" HEX " len=" HEX, vec->addr, vec->len);
	}
	for (guint i = 0; i < segments->len; i++) {
		const struct nvme_dma_vec *vec = &g_array_index(segments, struct nvme_dma_vec, i);

		say_translation(stage, flight->p2p, vec->addr, vec->len);
	}
}

static void blk_unmap(struct stage *stage, struct flight *flight)
{
	bool whole;

	if (!flight->started) {
		say(stage, "unmap skipped (driver never unmaps after a failed start)");
		return;
	}
	flight->started = false;
	whole = blk_rq_dma_unmap(&flight->req, &stage->dev, &flight->state, flight->mapped, flight->p2p);
	say(stage, "= blk_rq_dma_unmap mapped=" HEX " -> %d", flight->mapped, whole);
	for (guint i = 0; !whole && i < flight->segments->len; i++) {
		const struct nvme_dma_vec *vec = &g_array_index(flight->segments, struct nvme_dma_vec, i);

		dma_unmap_phys(&stage->dev, vec->addr, vec->len, blk_dma_flags(&flight->req, flight->p2p));
	}
}

/* The NVMe driver. */

static unsigned iod_flags(const struct nvme_iod *iod)
{
	return (iod->small_descriptor ? 0x2 : 0) | (iod->single ? 0x4 : 0) |
	       (iod->p2p == DMA_P2P_BUS_ADDR ? 0x8 : 0) | (iod->p2p == DMA_P2P_HOST_BRIDGE ? 0x20 : 0) |
	       (iod->single_meta ? 0x80 : 0);
}

/* Logs runs of entries that go up by a page. */
static void say_prp_entries(struct stage *stage, const uint64_t *list, unsigned count)
{
	for (unsigned first = 0, last; first < count; first = last + 1) {
		for (last = first; last + 1 < count && list[last + 1] == list[last] + PAGE;)
			last++;
		say(stage, "prp [%u..%u] " HEX " step 0x1000", first, last, list[first]);
	}
}

static void say_prps(struct stage *stage, const struct nvme_iod *iod)
{
	uint64_t len = iod->req->bytes, first = MIN(len, PAGE - iod->sqe.dptr[0] % PAGE);
	bool list = len - first > PAGE;

	say(stage, "prp1 " HEX " prp2 " HEX "%s", iod->sqe.dptr[0], iod->sqe.dptr[1], list ? " (list)" : "");
	say_translation(stage, iod->p2p, iod->sqe.dptr[0], first);
	len -= first;
	if (!list)
		say_translation(stage, iod->p2p, iod->sqe.dptr[1], len);
	for (unsigned i = 0; list && len; i++) {
		const uint64_t *entries = physmem_bytes(&stage->sim->mem, iod->descriptors[i].paddr);
		unsigned pages = (unsigned)((len + PAGE - 1) / PAGE),
			 slots = iod->small_descriptor ? 32 : 512;
		unsigned here = pages <= slots ? pages : slots - 1;

		say(stage, "prp_list " HEX " entries=%u", iod->descriptors[i].addr, here);
		say_prp_entries(stage, entries, here);
		if (here < pages)
			say(stage, "prp [%u] chain " HEX, slots - 1, entries[slots - 1]);
		len -= MIN(len, here * PAGE);
	}
}

static void say_sgl(struct stage *stage, const struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *desc = (const void *)iod->sqe.dptr, *list;

	say(stage, "sgl type=0x%02x addr=" HEX " len=0x%x", desc->type, desc->addr, desc->length);
	if (desc->type == NVME_SGL_DATA) {
		say_translation(stage, iod->p2p, desc->addr, desc->length);
		return;
	}
	list = physmem_bytes(&stage->sim->mem, iod->descriptors[0].paddr);
	for (unsigned i = 0; i < desc->length / sizeof(*list); i++) {
		say(stage, "sgl [%u] type=0x%02x addr=" HEX " len=0x%x", i, list[i].type, list[i].addr,
		    list[i].length);
		say_translation(stage, iod->p2p, list[i].addr, list[i].length);
	}
}

static void say_metadata(struct stage *stage, const struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *list;

	say(stage, "mptr " HEX " meta_total_len=" HEX " single_meta=%d", iod->sqe.metadata, iod->meta_total_len,
	    iod->single_meta);
	if (!iod->has_meta_descriptor)
		return;
	list = physmem_bytes(&stage->sim->mem, iod->meta_descriptor.paddr);
	for (unsigned i = 0; i == 0 || (list[0].type != NVME_SGL_DATA && i <= list[0].length / sizeof(*list)); i++)
		say(stage, "msgl [%u] type=0x%02x addr=" HEX " len=0x%x", i, list[i].type, list[i].addr,
		    list[i].length);
}

static void drive_nvme_map(struct stage *stage, struct flight *flight)
{
	unsigned qid = (unsigned)stage->rec->settings.qid;
	struct nvme_iod *iod = nvme_get_tag(stage->nvme, qid);
	enum blk_status status;

	flight->iod = iod;
	if (!iod) {
		stage->wrong = "more requests at once than a queue has tags";
		return;
	}
	say(stage, "= nvme_setup_cmd");
	status = nvme_prep_rq(stage->nvme, iod, &flight->req, qid ? 1 : 0);
	flight->started = status == BLK_STS_OK;
	say(stage, "= nvme_%s", flight->started ? "start_request" : "cleanup_cmd");
	say(stage, "status %s", blk_status_names[status]);
	if (!flight->started) {
		say(stage, "flags 0x%x", iod_flags(iod));
		nvme_put_tag(stage->nvme, qid, iod);
		return;
	}
	say(stage, "psdt %s",
	    iod->sqe.flags & NVME_CMD_SGL_METASEG   ? "SGL_SGLMPTR"
	    : iod->sqe.flags & NVME_CMD_SGL_METABUF ? "SGL_MPTR"
						    : "PRP");
	say(stage, "iod flags=0x%x nr_descriptors=%u total_len=" HEX " coalesced=%d nr_dma_vecs=%u",
	    iod_flags(iod), iod->descriptor_count, iod->total_len, blk_dma_coalesced(&iod->state),
	    iod->vec_count);
	if (flight->req.vec_count && iod->sgl)
		say_sgl(stage, iod);
	else if (flight->req.vec_count)
		say_prps(stage, iod);
	if (flight->req.meta_vec_count)
		say_metadata(stage, iod);
}

static void drive_nvme_unmap(struct stage *stage, struct flight *flight)
{
	if (!flight->started) {
		say(stage, "unmap skipped (request was never started)");
		return;
	}
	flight->started = false;
	nvme_unmap_rq(stage->nvme, flight->iod);
	nvme_put_tag(stage->nvme, (unsigned)stage->rec->settings.qid, flight->iod);
}

/* A run. */

/* Logs what the block layer derives of the request. Returns whether a bio must be split, which ends the run.
 */
static bool derive(struct stage *stage, const struct flight *flight)
{
	const struct golden_request *req = flight->rec;
	/* The counts that a request has are those its bios had when they were looked at for splitting. */
	uint32_t segments = 0;
	unsigned gap_bit = 0;
	bool whole = true;

	for (guint bio = 0; !req->special && bio < req->bio_first->len; bio++) {
		uint32_t first = g_array_index(req->bio_first, uint32_t, bio), end = req->vecs->len;
		struct bio_split split;

		if (bio + 1 < req->bio_first->len)
			end = g_array_index(req->bio_first, uint32_t, bio + 1);
		split = bio_split(flight->req.vecs + first, end - first, 0, &stage->limits);
		segments += split.segments;
		if (split.gap_bit && (!gap_bit || split.gap_bit < gap_bit))
			gap_bit = split.gap_bit;
		if (!split.err && !split.split)
			continue;
		say(stage, "derive bio=%u split=%" G_GINT64_FORMAT " segs_before_split=%u gap_bit=%u", bio,
		    split.err ? split.err : (int64_t)(split.bytes / 512), split.segments, split.gap_bit);
		whole = false;
	}
	if (whole) {
		segments = flight->req.nr_phys_segments;
		gap_bit = flight->req.gap_bit;
	}
	say(stage, "derive req=%s bytes=%" G_GUINT64_FORMAT " segs=%u meta_segs=%u gap_bit=%u gap_mask=" HEX,
	    req->name, flight->req.bytes, segments, flight->req.nr_integrity_segments, gap_bit,
	    request_gap_mask(&(struct request){.gap_bit = gap_bit}));
	if (!whole)
		say(stage, "status split");
	return !whole;
}

/** Whether a command can say all of @req, as one of a driver that set the limits itself always can. */
static bool fits_command(const struct request *req)
{
	return req->bytes <= NVME_MAX_BYTES && req->nr_phys_segments <= NVME_MAX_SEGMENTS &&
	       req->nr_integrity_segments <= NVME_MAX_META_SEGMENTS;
}

/* Returns whether it came to mapping. */
static bool map_request(struct stage *stage, struct flight *flight)
{
	bool nvme = stage->rec->settings.level == GOLDEN_NVME;

	charge(stage, &flight->req);
	if (stage->wrong || derive(stage, flight))
		return false;
	if (nvme && !fits_command(&flight->req))
		stage->wrong = "a request that no command can say";
	else if (nvme)
		drive_nvme_map(stage, flight);
	else
		blk_map(stage, flight);
	return !stage->wrong;
}

static void unmap_request(struct stage *stage, struct flight *flight)
{
	if (stage->rec->settings.level == GOLDEN_NVME)
		drive_nvme_unmap(stage, flight);
	else
		blk_unmap(stage, flight);
}

static struct flight *flight_named(struct stage *stage, const char *name)
{
	int at = golden_case_request(stage->rec, name);

	if (at < 0)
		stage->wrong = "an op names no request of the case";
	return at < 0 ? NULL : &g_array_index(stage->flights, struct flight, at);
}

static bool site_find(const char *name, size_t len, enum site *ret_site)
{
	for (unsigned i = 0; i < SITES; i++)
		if (strlen(sites[i].name) == len && memcmp(sites[i].name, name, len) == 0) {
			*ret_site = (enum site)i;
			return true;
		}
	return false;
}

/** "inject SITE N" counts from here; "inject" alone clears. */
static void script_inject(struct stage *stage, char *const *words, unsigned count)
{
	struct injection injection = {.armed = true, .error = -ENOMEM};

	memset(stage->passes, 0, sizeof(stage->passes));
	stage->injection = (struct injection){0};
	if (count > 1 && (count != 3 || !site_find(words[1], strlen(words[1]), &injection.site) ||
			  !text_parse_u64(words[2], &injection.nth) || !injection.nth)) {
		stage->wrong = "not 'inject SITE N'";
		return;
	}
	if (count > 1)
		stage->injection = injection;
	arm(stage);
}

/* Fires the timer of the flush queues if it is armed; returns whether it was. */
static bool fire_timer(struct stage *stage)
{
	unsigned cpu = stage->sim->cpu;

	if (!stage->timer)
		return false;
	stage->timer = false;
	say(stage, "= fq_timer_fire");
	stage->sim->cpu = fq_timer_cpu(stage->dev.fq);
	fq_timeout(stage->dev.fq);
	stage->sim->cpu = cpu;
	return true;
}

/* Maps and unmaps @count times; of the lines only flushes, timer and warnings are kept. */
static void script_loop(struct stage *stage, struct flight *flight, uint64_t count)
{
	GPtrArray *log = stage->log;

	for (uint64_t i = 0; i < count && !stage->wrong; i++) {
		stage->log = g_ptr_array_new_with_free_func(g_free);
		if (map_request(stage, flight))
			unmap_request(stage, flight);
		for (guint at = 0; at < stage->log->len; at++) {
			const char *line = g_ptr_array_index(stage->log, at);

			if (g_str_has_prefix(line, "  fq_timer_arm") ||
			    g_str_has_prefix(line, "  flush_iotlb_all") || line[0] == '!')
				g_ptr_array_add(log, g_strdup_printf("[iter %" G_GUINT64_FORMAT "] %s", i,
								     line[0] == ' ' ? line + 2 : line));
		}
		g_ptr_array_unref(stage->log);
	}
	stage->log = log;
}

static void script_op(struct stage *stage, const char *op)
{
	g_auto(GStrv) words = g_strsplit(op, " ", -1);
	unsigned count = g_strv_length(words);
	const char *argument = count > 1 ? words[1] : NULL;
	struct flight *flight = NULL;
	uint64_t number = 0;

	say(stage, "op %s", op);
	if (strcmp(words[0], "map") == 0 && (flight = flight_named(stage, argument)))
		map_request(stage, flight);
	else if (strcmp(words[0], "unmap") == 0 && (flight = flight_named(stage, argument)))
		unmap_request(stage, flight);
	else if (strcmp(words[0], "inject") == 0)
		script_inject(stage, words, count);
	else if (strcmp(words[0], "state") == 0)
		say_state(stage);
	else if (strcmp(words[0], "loop") == 0 && count == 3 && text_parse_u64(words[2], &number) &&
		 number <= LOOPS_MAX && (flight = flight_named(stage, argument)))
		script_loop(stage, flight, number);
	else if (strcmp(words[0], "cpu") == 0 && count == 2 && text_parse_u64(argument, &number) &&
		 number < stage->sim->cpu_count)
		stage->sim->cpu = (unsigned)number;
	else if (strcmp(words[0], "timer") != 0)
		stage->wrong = "unknown op, or one that makes no sense";
	else if (!fire_timer(stage))
		say(stage, "timer not armed");
}

static void run_model(struct stage *stage)
{
	const GPtrArray *ops = stage->rec->ops;

	for (guint i = 0; i < ops->len && !stage->wrong; i++)
		script_op(stage, g_ptr_array_index(ops, i));
	if (!ops->len && stage->flights->len && !stage->wrong) {
		struct flight *flight = &g_array_index(stage->flights, struct flight, 0);

		if (!map_request(stage, flight))
			return;
		say(stage, "phase unmap");
		unmap_request(stage, flight);
		say_state(stage);
		if (fire_timer(stage))
			say_state(stage);
	}
}

/* The file. */

/** Reads "ok" or "fail SITE:N [partial] [errno=-E]". Returns whether it is either. */
static bool injection_read(const char *tag, struct injection *ret_injection)
{
	g_auto(GStrv) words = g_strsplit(tag, " ", -1);
	struct injection injection = {.armed = true, .error = -ENOMEM};
	char **word = words + 2;
	const char *colon;
	uint64_t error = ENOMEM;

	*ret_injection = (struct injection){0};
	if (strcmp(tag, "ok") == 0)
		return true;
	if (g_strv_length(words) < 2 || strcmp(words[0], "fail") != 0 || !(colon = strchr(words[1], ':')) ||
	    !site_find(words[1], (size_t)(colon - words[1]), &injection.site) ||
	    !text_parse_u64(colon + 1, &injection.nth) || !injection.nth)
		return false;
	injection.partial = *word && strcmp(*word, "partial") == 0;
	word += injection.partial;
	if (*word && (!g_str_has_prefix(*word, "errno=-") ||
		      !text_parse_u64(*word++ + strlen("errno=-"), &error) || error < 1 || error > 4095))
		return false;
	injection.error = -(int)error;
	*ret_injection = injection;
	return *word == NULL;
}

/** A replay. */
struct golden {
	const char *name;
	GString *out;
	enum kernel_version version;
	bool old_rollback;
	uint64_t pages;		 /* asked for so far */
	struct golden_case *rec; /* between "case" and "endcase" */
	bool in_run;		 /* between "run" and "end", where the recorded answers stand */
};

static bool golden_wrong(const struct golden *golden, uint64_t number, const char *why, GError **error)
{
	sim_error_line(error, golden->name, number, "%s", why);
	return false;
}

static bool golden_header(struct golden *golden, const char *line, GError **error)
{
	static const struct {
		const char *line;
		enum kernel_version version;
		bool old_rollback;
	} variants[] = {
		{"blockdma-golden 1 variant=fixed kernel=7.0", KERNEL_7_0, false},
		{"blockdma-golden 1 variant=buggy kernel=7.0", KERNEL_7_0, true},
		{"blockdma-golden 1 variant=later kernel=7.0", KERNEL_7_0_LATER, false},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(variants); i++)
		if (strcmp(variants[i].line, line) == 0) {
			golden->version = variants[i].version;
			golden->old_rollback = variants[i].old_rollback;
			return true;
		}
	return golden_wrong(golden, 1, "not 'blockdma-golden 1 variant=fixed|buggy|later kernel=7.0'", error);
}

static bool golden_run(struct golden *golden, uint64_t number, const char *tag, GError **error)
{
	struct injection injection;
	const char *wrong;
	struct stage stage;

	if (!injection_read(tag, &injection))
		return golden_wrong(golden, number, "not 'run ok' or 'run fail SITE:N [partial] [errno=-E]'", error);
	stage_init(&stage, golden->rec, &injection, golden->version, golden->old_rollback, &golden->pages);
	run_model(&stage);
	for (guint i = 0; i < stage.log->len; i++)
		g_string_append_printf(golden->out, "%s\n", (const char *)g_ptr_array_index(stage.log, i));
	wrong = stage.wrong;
	stage_finish(&stage);
	return wrong ? golden_wrong(golden, number, wrong, error) : true;
}

static bool golden_line(void *data, uint64_t number, char *line, GError **error)
{
	struct golden *golden = data;
	const char *wrong = NULL;

	if (number == 1 && !golden_header(golden, line, error))
		return false;
	if (golden->in_run && strcmp(line, "end") != 0)
		return true;
	g_string_append_printf(golden->out, "%s\n", line);
	if (number == 1 || line[0] == '#' || line[0] == '\0')
		return true;
	if (golden->in_run) {
		golden->in_run = false;
	} else if (g_str_has_prefix(line, "case ") && !golden->rec) {
		golden->rec = golden_case_new(line + strlen("case "));
	} else if (!golden->rec) {
		wrong = "outside of a case";
	} else if (strcmp(line, "endcase") == 0) {
		g_clear_pointer(&golden->rec, golden_case_free);
	} else if (g_str_has_prefix(line, "run ")) {
		golden->in_run = true;
		return golden_run(golden, number, line + strlen("run "), error);
	} else {
		wrong = golden_case_define(golden->rec, line);
	}
	return wrong ? golden_wrong(golden, number, wrong, error) : true;
}

static bool blockdma_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct golden golden = {.name = name, .out = out};
	bool ok = golden_lines(name, text, len, golden_line, &golden, error);

	golden_case_free(golden.rec);
	return ok;
}

static bool blockdma_golden_probe(const char *text, size_t len)
{
	static const char magic[] = "blockdma-golden ";

	return len >= strlen(magic) && memcmp(text, magic, strlen(magic)) == 0;
}

const struct golden_runner blockdma_golden_runner = {"blockdma", blockdma_golden_probe, blockdma_golden_emit};
