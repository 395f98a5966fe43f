/* SPDX-License-Identifier: MIT */
/*
 * The whole path from a request to its NVMe command and back, against recordings of the kernel's own code,
 * line by line.
 *
 * The calls between rooms are seen at the linker's seam (--wrap, see meson.build): the model's objects call
 * __wrap_X() here, which logs and goes on to the model's X() as __real_X(). Below, a page-table format that
 * logs and hands on to vtdss, and an IOMMU that logs. So no line of the model knows of this. Conventions of
 * the recorder that are no facts of the kernel: queues and descriptor pools take no IOVA, and descriptors lie
 * at 0xfd000000 (4 KiB) and 0xfe000000 (256).
 *
 * Each run is compared under three kernels: 7.0, 7.0 with the old rollback, and later; where the recording of
 * a variant has no such run, the one of 7.0 holds for it. Failures are put in once where the recorder put
 * them (in the driver op, the allocator, the pool; memory for flush queues always by rule), and once more
 * with a rule of a faults file; then the failing call is not made, and its own line is left out. In "later",
 * "trace iommu:map" lines are left out.
 *
 * A warning is logged where the kernel gives it, in the unmap, and the findings of the run are counted
 * against them. Of a bio that must be split the size is compared, not the segments and gaps of the part
 * before.
 *
 * Left out: what the model does not have (see skip_reason()). How many runs were compared is asserted for
 * each file.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "blockdma/nvme.h"
#include "blockdma/tests/recording.h"
#include "iommu/iova/domain.h"
#include "iommu/pgtable/formats.h"
#include "sim/behaviour/behaviour.h"
#include "sim/fault/fault.h"

#define HEX	   "0x%" G_GINT64_MODIFIER "x"
#define PAGE	   UINT64_C(4096)
#define LARGE_POOL UINT64_C(0xfd000000)
#define SMALL_POOL UINT64_C(0xfe000000)

enum site {
	SITE_MAP,
	SITE_SYNC,
	SITE_IOVA,
	SITE_POOL,
	SITE_VECPOOL,
	SITE_FQALLOC,
	SITES,
};

static const struct {
	const char *name;
	const char *points[2]; /* in a faults file; a request passes one of them */
} sites[SITES] = {
	[SITE_MAP] = {"map", {"iommu.map"}},
	[SITE_SYNC] = {"sync", {"iommu.sync_map"}},
	[SITE_IOVA] = {"iova", {"dma.iova"}},
	[SITE_POOL] = {"pool", {"nvme.prp_pool", "nvme.sgl_pool"}},
	[SITE_VECPOOL] = {"vecpool", {"nvme.vec_pool"}},
	[SITE_FQALLOC] = {"fqalloc", {"iova.fq"}},
};

/* What a tag asks for. */
struct injection {
	bool armed;
	enum site site;
	uint64_t nth;
	int error; /* negative */
	bool partial;
	bool by_rule;
};

/* A request on its way: what a driver keeps of it between mapping and unmapping. */
struct flight {
	const struct recorded_request *rec;
	struct request req;
	bool started, coalesced;
	struct dma_iova_state state;
	GArray *segments; /* of struct nvme_dma_vec */
	uint64_t mapped;  /* bytes in them */
	struct nvme_iod *iod;
};

/* One execution of the model. */
struct stage {
	const struct recorded_case *rec;
	struct injection injection;
	uint64_t passes[SITES];
	GPtrArray *log;

	struct sim *sim;
	struct sim_observer observer; /* the only one, by which the doubles find their stage */
	struct fault_rules *rules;
	struct pgtable_ops format;
	struct iommu_hw_ops hw;
	struct iommu *iommu;
	struct iommu_domain *domain; /* NULL in direct mode */
	struct iova_domain *iovad;
	struct dma_device dev;
	struct nvme *nvme;
	GArray *flights; /* of struct flight, one a request of the case */

	bool in_destroy, noticed_64bit, timer;
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

/* Passes @site; returns 0, or the error with which the recorder failed this pass. */
static int pass(struct stage *stage, enum site site)
{
	const struct injection *injection = &stage->injection;

	stage->passes[site]++;
	if (!injection->armed || injection->by_rule || injection->site != site ||
	    injection->nth != stage->passes[site])
		return 0;
	return injection->error;
}

static const char *direction(bool to_device)
{
	return to_device ? "to_device" : "from_device";
}

/* ---- below: page table and IOMMU ---- */

static int logged_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			    uint64_t *mapped)
{
	struct stage *stage = stage_of(pt->sim);
	int err = pass(stage, SITE_MAP), ret = err;
	uint64_t part = stage->injection.partial ? (len / 2) & ~(PAGE - 1) : 0;

	*mapped = 0;
	if (!err)
		ret = vtdss_ops.map_range(pt, iova, paddr, len, prot, mapped);
	else if (part)
		g_assert_cmpint(vtdss_ops.map_range(pt, iova, paddr, part, prot, mapped), ==, 0);
	say(stage, "  pt_map iova=" HEX " pa=" HEX " size=" HEX " prot=%s%s%s%s -> %d mapped=" HEX, iova,
	    paddr, len, prot & PROT_READ ? "R" : "", prot & PROT_WRITE ? "W" : "",
	    prot & PROT_CACHE ? "C" : "", prot & PROT_MMIO ? "M" : "", ret, *mapped);
	return ret;
}

static uint64_t logged_unmap_range(struct pgtable *pt, uint64_t iova, uint64_t len,
				   struct pgtable_gather *gather)
{
	uint64_t unmapped = vtdss_ops.unmap_range(pt, iova, len, gather);

	say(stage_of(pt->sim), "  pt_unmap iova=" HEX " size=" HEX " -> " HEX, iova, len, unmapped);
	return unmapped;
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

static void logged_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
			 uint64_t unmapped)
{
	struct stage *stage = data;

	/* The kernel asks the format also to unmap nothing, which refuses; the model leaves that call out. */
	if (!len)
		say(stage, "  pt_unmap iova=" HEX " size=0x0 -> 0x0 (rejected)", iova);
	say(stage, "  trace iommu:unmap iova=" HEX " size=" HEX " unmapped=" HEX, iova, len, unmapped);
	if (unmapped != len && stage->in_destroy) {
		say(stage, "! WARN __iommu_dma_iova_unlink: unmapped != size");
		stage->warnings++;
	}
}

/* ---- at the seams ---- */

uint64_t __real_iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush);
uint64_t __wrap_iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush);
void __real_iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size);
void __wrap_iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size);
bool __real_dma_iova_try_alloc(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			       uint64_t size);
bool __wrap_dma_iova_try_alloc(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			       uint64_t size);
int __real_dma_iova_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			 uint64_t offset, uint64_t size, bool to_device);
int __wrap_dma_iova_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			 uint64_t offset, uint64_t size, bool to_device);
int __real_dma_iova_sync(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset,
			 uint64_t size);
int __wrap_dma_iova_sync(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset,
			 uint64_t size);
void __real_dma_iova_destroy(struct dma_device *dev, struct dma_iova_state *state, uint64_t mapped);
void __wrap_dma_iova_destroy(struct dma_device *dev, struct dma_iova_state *state, uint64_t mapped);
uint64_t __real_dma_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, bool to_device);
uint64_t __wrap_dma_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, bool to_device);
void __real_dma_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len);
void __wrap_dma_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len);
int __wrap_dma_alloc_coherent(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
			      uint64_t *ret_addr);
void __wrap_dma_free_coherent(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr);
int __wrap_dma_pool_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block);
void __wrap_dma_pool_free(struct dma_pool *pool, struct dma_pool_block block);
void __wrap_event_queue_push(struct event_queue *queue, uint64_t time_ns, unsigned kind, uint32_t payload);

/* The kernel gives up on 32-bit addresses between the attempt that failed and the next. */
static void notice_64bit(struct stage *stage)
{
	if (stage->noticed_64bit || stage->dev.try_32bit || stage->dev.config.forcedac)
		return;
	say(stage, "! notice using 64-bit dma addresses (32-bit window exhausted once)");
	stage->noticed_64bit = true;
}

uint64_t __wrap_iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush)
{
	struct stage *stage = stage_of(iovad->sim);
	uint64_t pfn = 0;

	notice_64bit(stage);
	if (pass(stage, SITE_IOVA) == 0)
		pfn = __real_iova_alloc_fast(iovad, size, limit_pfn, flush);
	say(stage, "  iova_alloc pages=%" G_GUINT64_FORMAT " limit_pfn=" HEX " flush=%d -> pfn=" HEX, size,
	    limit_pfn, flush, pfn);
	stage->iova_live += pfn != 0;
	return pfn;
}

void __wrap_iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size)
{
	struct stage *stage = stage_of(iovad->sim);
	uint64_t lo = 0, hi = 0;

	g_assert_true(iova_find(iovad, pfn, &lo, &hi));
	say(stage, "  iova_free pfn=" HEX " pages=%" G_GUINT64_FORMAT " node_pages=%" G_GUINT64_FORMAT, pfn,
	    size, hi - lo + 1);
	stage->iova_live--;
	__real_iova_free_fast(iovad, pfn, size);
}

bool __wrap_dma_iova_try_alloc(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			       uint64_t size)
{
	bool got = __real_dma_iova_try_alloc(dev, state, paddr, size);

	say(stage_of(dev->sim), "= dma_iova_try_alloc phys=" HEX " size=" HEX " -> %d addr=" HEX, paddr, size,
	    got, state->addr);
	return got;
}

int __wrap_dma_iova_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			 uint64_t offset, uint64_t size, bool to_device)
{
	int err = __real_dma_iova_link(dev, state, paddr, offset, size, to_device);

	say(stage_of(dev->sim),
	    "= dma_iova_link phys=" HEX " off=" HEX " size=" HEX " dir=%s attrs=0x0 -> %d bounced=0", paddr,
	    offset, size, direction(to_device), err);
	return err;
}

int __wrap_dma_iova_sync(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset, uint64_t size)
{
	int err = __real_dma_iova_sync(dev, state, offset, size);

	say(stage_of(dev->sim), "= dma_iova_sync off=" HEX " size=" HEX " -> %d", offset, size, err);
	return err;
}

void __wrap_dma_iova_destroy(struct dma_device *dev, struct dma_iova_state *state, uint64_t mapped)
{
	struct stage *stage = stage_of(dev->sim);
	uint64_t allocated = state->size;

	stage->in_destroy = true;
	__real_dma_iova_destroy(dev, state, mapped);
	stage->in_destroy = false;
	say(stage, "= dma_iova_destroy mapped=" HEX " attrs=0x0 (alloc_size=" HEX ")", mapped, allocated);
}

uint64_t __wrap_dma_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, bool to_device)
{
	uint64_t addr = __real_dma_map_phys(dev, paddr, len, to_device);

	say(stage_of(dev->sim), "= dma_map_phys phys=" HEX " size=" HEX " attrs=0x0 -> " HEX, paddr, len,
	    addr);
	return addr;
}

void __wrap_dma_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len)
{
	__real_dma_unmap_phys(dev, addr, len);
	say(stage_of(dev->sim), "= dma_unmap_phys addr=" HEX " size=" HEX " attrs=0x0", addr, len);
}

/* Queues: memory, and no trace of it anywhere. */
int __wrap_dma_alloc_coherent(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
			      uint64_t *ret_addr)
{
	*ret_paddr = *ret_addr = physmem_alloc(&dev->sim->mem, order, use);
	return 0;
}

void __wrap_dma_free_coherent(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr)
{
	physmem_free(&dev->sim->mem, paddr, order);
}

static const char *pool_name(const struct dma_pool *pool)
{
	return pool->block_bytes == NVME_PAGE ? "large" : "small";
}

int __wrap_dma_pool_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block)
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

void __wrap_dma_pool_free(struct dma_pool *pool, struct dma_pool_block block)
{
	struct stage *stage = stage_of(pool->dev->sim);

	*(pool->block_bytes == NVME_PAGE ? &stage->large_live : &stage->small_live) -= 1;
	say(stage, "= dma_pool_free %s addr=" HEX, pool_name(pool), block.addr);
	physmem_free(&stage->sim->mem, block.paddr, 0);
}

/* The one event here is the timer of the flush queues, which fires when the recording says. */
void __wrap_event_queue_push(struct event_queue *queue, uint64_t time_ns, unsigned kind, uint32_t payload)
{
	struct sim *sim = (struct sim *)(void *)((char *)queue - offsetof(struct sim, events));
	struct stage *stage = stage_of(sim);

	say(stage, "  fq_timer_arm ms=%" G_GUINT64_FORMAT, (time_ns - sim->now_ns) / 1000000);
	stage->timer = true;
}

/* ---- the stage ---- */

static void arm_rule(struct stage *stage)
{
	static const struct fault_table *const tables[] = {&iova_fault_table, &iommu_fault_table,
							   &dma_fault_table, &nvme_fault_table, NULL};
	static const struct {
		int error;
		const char *name;
	} errors[] = {{-ENOMEM, "ENOMEM"}, {-EINVAL, "EINVAL"}, {-EIO, "EIO"}};
	const struct injection *injection = &stage->injection;
	g_autoptr(GError) error = NULL;
	g_autoptr(GString) text = g_string_new(NULL);
	g_autofree char *path = NULL;
	unsigned at = 0;
	int fd;

	while (errors[at].error != injection->error)
		g_assert_cmpuint(++at, <, G_N_ELEMENTS(errors));
	for (unsigned i = 0; i < 2 && sites[injection->site].points[i]; i++)
		g_string_append_printf(text,
				       "[fault %u]\npoint = %s\nnth = %" G_GUINT64_FORMAT "\nerrno = %s\n", i,
				       sites[injection->site].points[i], injection->nth, errors[at].name);
	fd = g_file_open_tmp("blockdma-XXXXXX.ini", &path, &error);
	g_assert_no_error(error);
	g_assert_cmpint(write(fd, text->str, text->len), ==, text->len);
	close(fd);
	stage->rules = fault_rules_new(tables);
	fault_rules_load(stage->rules, path, &error);
	unlink(path);
	g_assert_no_error(error);
	fault_rules_arm(stage->rules, stage->sim);
}

static void flight_add(struct stage *stage, const struct recorded_request *rec, uint64_t number)
{
	bool passthrough = recorded_is(stage->rec, "usercmd", "1");
	struct flight flight = {.rec = rec,
				.req = {.number = number,
					.vecs = (struct bio_vec *)(void *)rec->vecs->data,
					.vec_count = rec->vecs->len,
					.op = passthrough ? REQ_OP_DRV : rec->op,
					.to_device = rec->to_device},
				.segments = g_array_new(FALSE, FALSE, sizeof(struct nvme_dma_vec))};

	for (guint i = 0; i < rec->vecs->len; i++)
		flight.req.bytes += flight.req.vecs[i].len;
	request_prepare(&flight.req);
	g_array_append_val(stage->flights, flight);
}

static void stage_init(struct stage *stage, const struct recorded_case *rec,
		       const struct injection *injection, enum kernel_version version, bool old_rollback)
{
	static const struct pgtable_config table = {.ias_bits = 48, .oas_bits = 52, .top_level = 3};
	static const struct iotlb_config tlb = {0};
	uint64_t bits = recorded_number(rec, "dma_mask_bits"), bus = recorded_number(rec, "bus_dma_limit");
	uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
	struct dma_config dma = {.name = "nvme0",
				 .mask = bus ? MIN(mask, bus) : mask,
				 .aperture_end = recorded_number(rec, "aperture_end"),
				 .forcedac = recorded_is(rec, "forcedac", "1")};
	struct nvme_config nvme = {.io_queues = 1,
				   .depth = 64,
				   .sgl = recorded_is(rec, "sgl", "1"),
				   .sgl_threshold = (uint32_t)recorded_number(rec, "sgl_threshold"),
				   .logical_block_bytes = 512};

	*stage = (struct stage){.rec = rec,
				.injection = *injection,
				.log = g_ptr_array_new_with_free_func(g_free),
				.sim = sim_new(4, 1),
				.format = vtdss_ops,
				.observer = {.unmap = logged_unmap, .data = stage}};
	sim_observe(stage->sim, &stage->observer);
	behaviour_set_version(stage->sim, version);
	stage->sim->behaviour[IOVA_MAGAZINE_NULL_CHECK] = IOVA_MAGAZINE_CHECKED;
	if (old_rollback)
		stage->sim->behaviour[BLKDMA_ROLLBACK] = BLKDMA_ROLLBACK_OLD;
	stage->format.map_range = logged_map_range;
	stage->format.unmap_range = logged_unmap_range;
	stage->hw = (struct iommu_hw_ops){.name = "logged",
					  .format = &stage->format,
					  .iotlb_sync = logged_iotlb_sync,
					  .iotlb_sync_map = logged_iotlb_sync_map,
					  .flush_iotlb_all = logged_flush_iotlb_all};
	stage->iommu = iommu_new(stage->sim, &stage->hw, &tlb);
	stage->iovad = iova_domain_new(stage->sim, PAGE, 1, 0, EVENT_KINDS);
	g_assert_cmpint(iova_rcaches_init(stage->iovad), ==, 0);
	if (!recorded_is(rec, "mode", "direct"))
		g_assert_cmpint(iommu_domain_new(stage->iommu, 1, &table, &stage->domain), ==, 0);
	dma_device_init(&stage->dev, stage->sim, &dma, stage->domain, stage->iovad);
	if (injection->armed && (injection->by_rule || injection->site == SITE_FQALLOC))
		arm_rule(stage);
	if (g_str_has_prefix(recorded_text(rec, "mode"), "lazy")) {
		stage->dev.fq = fq_new(stage->domain, stage->iovad, recorded_is(rec, "mode", "lazy1"), 1, 0, 0);
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
	iova_domain_free(stage->iovad);
	iommu_domain_free(stage->domain);
	iommu_free(stage->iommu);
	sim_free(stage->sim);
	fault_rules_free(stage->rules);
	g_ptr_array_unref(stage->log);
}

/* ---- what a device would find ---- */

static void say_range(struct stage *stage, bool mapped, uint64_t iova, uint64_t paddr, uint64_t len)
{
	if (len && mapped)
		say(stage, "xlat iova=" HEX " len=" HEX " -> pa=" HEX, iova, len, paddr);
	else if (len)
		say(stage, "hole iova=" HEX " len=" HEX, iova, len);
}

/* Logs the translation of [@iova, @iova + @len) in runs that are contiguous on both sides. */
static void say_translation(struct stage *stage, uint64_t iova, uint64_t len)
{
	uint64_t run_iova = iova, run_paddr = 0, run_len = 0;
	bool run_mapped = false;

	while (stage->domain && len) {
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

static void count_queued(void *data, uint64_t pfn, uint64_t granules, unsigned cpu, uint64_t time_ns,
			 uint64_t actor)
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
	    " fq_pending=%" G_GUINT64_FORMAT " timer=%d bounce_slots=0 pool_large=%" G_GUINT64_FORMAT
	    " pool_small=%" G_GUINT64_FORMAT " dma_vecs=%u warns=%" G_GUINT64_FORMAT,
	    runs.pages, stage->iova_live, queued, stage->timer, stage->large_live, stage->small_live,
	    stage->nvme->dma_vecs, stage->warnings);
	for (guint i = 0; i < runs.lines->len; i++)
		g_ptr_array_add(stage->log, g_ptr_array_index(runs.lines, i));
	g_ptr_array_unref(runs.lines);
}

/* ---- the block mapper with the smallest driver that can be ---- */

static void blk_map(struct stage *stage, struct flight *flight)
{
	struct blk_dma_iter iter;
	GArray *segments = g_array_set_size(flight->segments, 0);

	flight->mapped = 0;
	flight->started = blk_rq_dma_map_iter_start(&flight->req, &stage->dev, &flight->state, &iter);
	flight->coalesced = blk_dma_coalesced(&flight->state);
	say(stage, "= blk_rq_dma_map_iter_start -> %d", flight->started);
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

		say_translation(stage, vec->addr, vec->len);
	}
}

static void blk_unmap(struct stage *stage, struct flight *flight)
{
	bool whole;

	if (!flight->started) {
		say(stage, "unmap skipped (driver never unmaps after a failed start)");
		return;
	}
	whole = blk_rq_dma_unmap(&stage->dev, &flight->state, flight->mapped);
	say(stage, "= blk_rq_dma_unmap mapped=" HEX " -> %d", flight->mapped, whole);
	for (guint i = 0; !whole && i < flight->segments->len; i++) {
		const struct nvme_dma_vec *vec = &g_array_index(flight->segments, struct nvme_dma_vec, i);

		dma_unmap_phys(&stage->dev, vec->addr, vec->len);
	}
}

/* ---- the NVMe driver ---- */

static unsigned iod_flags(const struct nvme_iod *iod)
{
	return (iod->small_descriptor ? 0x2 : 0) | (iod->single ? 0x4 : 0);
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
	say_translation(stage, iod->sqe.dptr[0], first);
	len -= first;
	if (!list)
		say_translation(stage, iod->sqe.dptr[1], len);
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
		say_translation(stage, desc->addr, desc->length);
		return;
	}
	list = physmem_bytes(&stage->sim->mem, iod->descriptors[0].paddr);
	for (unsigned i = 0; i < desc->length / sizeof(*list); i++) {
		say(stage, "sgl [%u] type=0x%02x addr=" HEX " len=0x%x", i, list[i].type, list[i].addr,
		    list[i].length);
		say_translation(stage, list[i].addr, list[i].length);
	}
}

static void drive_nvme_map(struct stage *stage, struct flight *flight)
{
	unsigned qid = (unsigned)recorded_number(stage->rec, "qid");
	struct nvme_iod *iod = nvme_get_tag(stage->nvme, qid);
	enum blk_status status;

	flight->iod = iod;
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
	say(stage, "psdt %s", iod->sqe.flags & NVME_CMD_SGL_METABUF ? "SGL_MPTR" : "PRP");
	say(stage, "iod flags=0x%x nr_descriptors=%u total_len=" HEX " coalesced=%d nr_dma_vecs=%u",
	    iod_flags(iod), iod->descriptor_count, iod->total_len, blk_dma_coalesced(&iod->state),
	    iod->vec_count);
	if (flight->req.vec_count && iod->sqe.flags & NVME_CMD_SGL_METABUF)
		say_sgl(stage, iod);
	else if (flight->req.vec_count)
		say_prps(stage, iod);
}

static void drive_nvme_unmap(struct stage *stage, struct flight *flight)
{
	if (!flight->started) {
		say(stage, "unmap skipped (request was never started)");
		return;
	}
	nvme_unmap_rq(stage->nvme, flight->iod);
	nvme_put_tag(stage->nvme, (unsigned)recorded_number(stage->rec, "qid"), flight->iod);
}

/* ---- a run ---- */

/* Logs what the block layer derives of the request. Returns whether a bio must be split, which ends the run.
 */
static bool derive(struct stage *stage, const struct flight *flight)
{
	const struct recorded_request *req = flight->rec;
	struct queue_limits limits = {.max_bytes = recorded_number(stage->rec, "max_bytes"),
				      .max_segments = (uint32_t)recorded_number(stage->rec, "max_segments"),
				      .logical_block_bytes = (uint32_t)recorded_number(stage->rec, "lbs"),
				      .virt_boundary_mask = recorded_number(stage->rec, "virt_boundary")};
	bool split = false;

	for (guint bio = 0; !req->special && bio < req->bio_first->len; bio++) {
		uint32_t first = g_array_index(req->bio_first, uint32_t, bio), end = req->vecs->len;
		const struct bio_vec *vecs = (const struct bio_vec *)(const void *)req->vecs->data + first;
		uint64_t bytes = 0, fits;

		if (bio + 1 < req->bio_first->len)
			end = g_array_index(req->bio_first, uint32_t, bio + 1);
		for (uint32_t i = 0; i < end - first; i++)
			bytes += vecs[i].len;
		fits = request_split_bytes(vecs, end - first, 0, &limits);
		if (fits == bytes)
			continue;
		say(stage, "derive bio=%u split=%" G_GINT64_FORMAT, bio,
		    fits ? (int64_t)(fits / 512) : -EINVAL);
		split = true;
	}
	if (split) {
		say(stage, "status split");
		return true;
	}
	say(stage, "derive req=%s bytes=%" G_GUINT64_FORMAT " segs=%u meta_segs=0 gap_bit=%u gap_mask=" HEX,
	    req->name, flight->req.bytes, flight->req.nr_phys_segments, flight->req.gap_bit,
	    request_gap_mask(&flight->req));
	return false;
}

/* Returns whether it came to mapping. */
static bool map_request(struct stage *stage, struct flight *flight)
{
	if (derive(stage, flight))
		return false;
	if (recorded_is(stage->rec, "level", "nvme"))
		drive_nvme_map(stage, flight);
	else
		blk_map(stage, flight);
	return true;
}

static void unmap_request(struct stage *stage, struct flight *flight)
{
	if (recorded_is(stage->rec, "level", "nvme"))
		drive_nvme_unmap(stage, flight);
	else
		blk_unmap(stage, flight);
}

static struct flight *flight_named(struct stage *stage, const char *name)
{
	guint at = 0;

	while (!g_str_equal(g_array_index(stage->flights, struct flight, at).rec->name, name))
		g_assert_cmpuint(++at, <, stage->flights->len);
	return &g_array_index(stage->flights, struct flight, at);
}

/* "inject SITE N" counts from here; "inject" alone clears. */
static void script_inject(struct stage *stage, char *const *words, unsigned count)
{
	unsigned site = 0;

	memset(stage->passes, 0, sizeof(stage->passes));
	stage->injection = (struct injection){0};
	if (count < 3)
		return;
	while (!g_str_equal(sites[site].name, words[1]))
		g_assert_cmpuint(++site, <, SITES);
	stage->injection = (struct injection){
		.armed = true, .site = (enum site)site, .nth = recorded_word(words, 2), .error = -ENOMEM};
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

	for (uint64_t i = 0; i < count; i++) {
		stage->log = g_ptr_array_new_with_free_func(g_free);
		map_request(stage, flight);
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

	say(stage, "op %s", op);
	if (g_str_equal(words[0], "map"))
		map_request(stage, flight_named(stage, words[1]));
	else if (g_str_equal(words[0], "unmap"))
		unmap_request(stage, flight_named(stage, words[1]));
	else if (g_str_equal(words[0], "inject"))
		script_inject(stage, words, g_strv_length(words));
	else if (g_str_equal(words[0], "state"))
		say_state(stage);
	else if (g_str_equal(words[0], "loop"))
		script_loop(stage, flight_named(stage, words[1]), recorded_word(words, 2));
	else if (g_str_equal(words[0], "cpu"))
		stage->sim->cpu = (unsigned)recorded_word(words, 1);
	else if (!g_str_equal(words[0], "timer"))
		g_assert_not_reached();
	else if (!fire_timer(stage))
		say(stage, "timer not armed");
}

static void run_model(struct stage *stage)
{
	const GPtrArray *ops = stage->rec->ops;

	for (guint i = 0; i < ops->len; i++)
		script_op(stage, g_ptr_array_index(ops, i));
	if (!ops->len) {
		struct flight *flight = &g_array_index(stage->flights, struct flight, 0);

		if (!map_request(stage, flight))
			return;
		say(stage, "phase unmap");
		unmap_request(stage, flight);
		say_state(stage);
		if (fire_timer(stage))
			say_state(stage);
	}
	g_assert_cmpuint(stage->sim->findings.count[FINDING_WRONG_SIZE], ==, stage->warnings);
}

/* ---- comparison ---- */

/* Returns why the model cannot run a case, NULL if it can. */
static const char *skip_reason(const struct recorded_case *rec)
{
	static const struct {
		const char *key, *value, *reason;
	} needed[] = {
		{"driver", "pt", "another kind of IOMMU driver"},
		{"coherent", "1", "non-coherent device"},
		{"untrusted", "0", "bounce buffers"},
		{"swiotlb_force", "0", "bounce buffers"},
		{"p2p", "none", "peer-to-peer memory"},
		{"deferred", "none", "deferred attach"},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
		if (!recorded_is(rec, needed[i].key, needed[i].value))
			return needed[i].reason;
	if (recorded_is(rec, "mode", "direct") && !recorded_is(rec, "dma_mask_bits", "64"))
		return "bounce buffers";
	if (rec->metadata || recorded_is(rec, "level", "meta"))
		return "integrity metadata";
	if (recorded_text(rec, "max_segment_size") || recorded_text(rec, "seg_boundary"))
		return "segment limits that NVMe does not have";
	for (guint r = 0; r < rec->requests->len; r++) {
		const GArray *vecs =
			((const struct recorded_request *)g_ptr_array_index(rec->requests, r))->vecs;

		for (guint i = 0; i < vecs->len; i++) {
			const struct bio_vec *vec = &g_array_index(vecs, struct bio_vec, i);

			if ((vec->paddr | vec->len) & 3)
				return "misaligned buffers, which no trace has";
		}
	}
	return NULL;
}

/* Reads "ok" or "fail SITE:N [partial] errno=E". Returns false for what is not injected here. */
static bool injection_parse(const char *tag, struct injection *ret_injection)
{
	g_auto(GStrv) words = g_strsplit(tag, " ", -1);
	struct injection injection = {0};
	uint64_t error;

	*ret_injection = injection;
	if (g_str_equal(tag, "ok"))
		return true;
	for (unsigned site = 0; site < SITES; site++) {
		size_t len = strlen(sites[site].name);

		if (!g_str_has_prefix(words[1], sites[site].name) || words[1][len] != ':')
			continue;
		injection.armed = true;
		injection.site = (enum site)site;
		g_assert_true(text_parse_u64(words[1] + len + 1, &injection.nth));
		injection.error = -ENOMEM;
		injection.partial = g_strcmp0(words[2], "partial") == 0;
		if (strchr(tag, '=')) {
			g_assert_true(text_parse_u64(strchr(tag, '=') + 2, &error));
			injection.error = -(int)error;
		}
		*ret_injection = injection;
		return true;
	}
	return false;
}

/* Whether @line is that of the call that failed, which is not made when a rule fails it before. */
static bool is_failing_call(const struct injection *injection, const char *line)
{
	switch (injection->site) {
	case SITE_MAP:
		return g_str_has_prefix(line, "  pt_map ") && strstr(line, " -> -");
	case SITE_SYNC:
		return g_str_has_prefix(line, "  iotlb_sync_map ") && strstr(line, " -> -");
	case SITE_IOVA:
		return g_str_has_prefix(line, "  iova_alloc ") && g_str_has_suffix(line, " -> pfn=0x0");
	case SITE_POOL:
		return g_str_has_prefix(line, "= dma_pool_alloc ") && g_str_has_suffix(line, " -> fail");
	default:
		return false;
	}
}

/* Returns the lines of a recorded run that the model answers, as it words them. */
static GPtrArray *comparable_lines(const struct recorded_run *run, const struct injection *injection)
{
	GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
	bool split = false;

	for (guint i = 0; i < run->lines->len; i++)
		split |= g_str_equal(g_ptr_array_index(run->lines, i), "status split");
	for (guint i = 0; i < run->lines->len; i++) {
		const char *line = g_ptr_array_index(run->lines, i),
			   *tail = strstr(line, " segs_before_split");

		if (g_str_has_prefix(line, "  trace iommu:map ") ||
		    (split && g_str_has_prefix(line, "derive req")) ||
		    (injection->by_rule && is_failing_call(injection, line)))
			continue;
		g_ptr_array_add(lines, tail ? g_strndup(line, (gsize)(tail - line)) : g_strdup(line));
	}
	return lines;
}

static void compare(const char *what, const struct stage *stage, const char *tag, const GPtrArray *expected)
{
	for (guint i = 0; i < MAX(expected->len, stage->log->len); i++) {
		const char *recorded = i < expected->len ? g_ptr_array_index(expected, i) : "(end)";
		const char *model = i < stage->log->len ? g_ptr_array_index(stage->log, i) : "(end)";

		if (g_str_equal(recorded, model))
			continue;
		g_test_message("%s: case %s, run %s, line %u", what, stage->rec->name, tag, i + 1);
		g_test_message("recorded: %s", recorded);
		g_test_message("model:    %s", model);
		g_test_fail();
		return;
	}
}

/* A kernel of the recordings. */
struct variant {
	const char *name;
	enum kernel_version version;
	bool old_rollback;
};

static const struct variant variants[] = {
	{"fixed", KERNEL_7_0, false},
	{"buggy", KERNEL_7_0, true},
	{"later", KERNEL_7_0_LATER, false},
};

/* A recording, and what of it the model can run. */
struct expectation {
	const char *name;
	unsigned runs;		     /* compared, under each variant */
	unsigned skipped;	     /* runs of cases or tags that the model does not have */
	unsigned in_buggy, in_later; /* of the compared ones, those that the variant's own file holds */
	unsigned by_rule;	     /* compared once more with a rule of a faults file */
};

static const struct expectation expectations[] = {
	{.name = "basic", .runs = 214, .skipped = 21, .in_buggy = 121, .by_rule = 171},
	{.name = "modes", .runs = 63, .skipped = 92, .in_buggy = 36, .by_rule = 46},
	{.name = "p2p", .skipped = 27},
	{.name = "swiotlb", .skipped = 138},
	{.name = "meta", .skipped = 34},
	{.name = "split", .runs = 15, .skipped = 2, .in_buggy = 8, .by_rule = 8},
	{.name = "zero", .runs = 26, .in_buggy = 6, .by_rule = 18},
	{.name = "nvme", .runs = 211, .skipped = 98, .in_buggy = 90, .in_later = 2, .by_rule = 174},
	{.name = "seq", .runs = 12, .in_buggy = 3},
	{.name = "rand_blk", .runs = 40, .skipped = 66, .in_buggy = 30, .by_rule = 30},
	{.name = "rand_nvme", .runs = 44, .skipped = 86, .in_buggy = 26, .by_rule = 33},
};

struct golden_test {
	const struct expectation *expected;
	const struct variant *variant;
	bool by_rule;
	const char *folder, *suffix;
};

static GPtrArray *read_recording(const struct golden_test *test, const char *variant)
{
	g_autofree char *file = g_strdup_printf("%s.%s.%s", test->expected->name, variant, test->suffix);
	g_autofree char *path = g_build_filename(test->folder, file, NULL);

	return g_file_test(path, G_FILE_TEST_EXISTS) ? recording_read(path, variant) : NULL;
}

/* Runs the model as @run's tag says and compares with @expected's lines. */
static void check_run(const struct golden_test *test, const struct recorded_case *rec,
		      const struct recorded_run *run, const struct injection *injection)
{
	g_autofree char *what = g_strdup_printf("%s.%s", test->expected->name, test->variant->name);
	g_autoptr(GPtrArray) lines = comparable_lines(run, injection);
	struct stage stage;

	stage_init(&stage, rec, injection, test->variant->version, test->variant->old_rollback);
	run_model(&stage);
	compare(what, &stage, run->tag, lines);
	stage_finish(&stage);
}

struct tally {
	unsigned runs, own, skipped;
};

static void check_case(const struct golden_test *test, const struct recorded_case *rec,
		       const struct recorded_case *own_rec, struct tally *tally)
{
	const char *reason = skip_reason(rec);

	if (reason && !test->by_rule && g_str_equal(test->variant->name, "fixed"))
		g_test_message("skipped %s: %s", rec->name, reason);
	for (guint i = 0; i < rec->runs->len; i++) {
		const struct recorded_run *run = g_ptr_array_index(rec->runs, i);
		const struct recorded_run *own = recorded_find_run(own_rec, run->tag);
		struct injection injection;

		if (reason || !injection_parse(run->tag, &injection)) {
			tally->skipped++;
			continue;
		}
		injection.by_rule = test->by_rule;
		if (test->by_rule &&
		    (!injection.armed || injection.partial || injection.site == SITE_FQALLOC))
			continue;
		check_run(test, rec, own ? own : run, &injection);
		tally->runs++;
		tally->own += own != NULL;
	}
}

static void test_golden(const void *data)
{
	const struct golden_test *test = data;
	g_autoptr(GPtrArray) cases = read_recording(test, "fixed");
	g_autoptr(GPtrArray) own = NULL;
	struct tally tally = {0};

	g_assert_nonnull(cases);
	if (!g_str_equal(test->variant->name, "fixed"))
		own = read_recording(test, test->variant->name);
	for (guint i = 0; i < cases->len; i++) {
		const struct recorded_case *rec = g_ptr_array_index(cases, i);

		check_case(test, rec, recording_find(own, rec->name), &tally);
	}
	g_test_message("%s.%s: %u runs compared, %u of them from its own recording, %u skipped",
		       test->expected->name, test->variant->name, tally.runs, tally.own, tally.skipped);
	g_assert_cmpuint(tally.runs, ==, test->by_rule ? test->expected->by_rule : test->expected->runs);
	g_assert_cmpuint(tally.skipped, ==, test->expected->skipped);
	if (!test->by_rule && test->variant->old_rollback)
		g_assert_cmpuint(tally.own, ==, test->expected->in_buggy);
	if (!test->by_rule && test->variant->version == KERNEL_7_0_LATER)
		g_assert_cmpuint(tally.own, ==, test->expected->in_later);
}

/* Adds the tests of the recordings in @folder, which main() keeps. */
static void add_tests(const char *folder, const char *suffix, const char *prefix)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(expectations); i++)
		for (unsigned v = 0; v < G_N_ELEMENTS(variants); v++)
			for (unsigned by_rule = 0; by_rule < 2; by_rule++) {
				struct golden_test *test = g_new(struct golden_test, 1);
				g_autofree char *path = g_strdup_printf(
					"%s/%s/%s%s", prefix, expectations[i].name, variants[v].name,
					by_rule ? "-failures-by-rule" : "-as-recorded");

				*test = (struct golden_test){&expectations[i], &variants[v], by_rule, folder,
							     suffix};
				g_test_add_data_func_full(path, test, test_golden, g_free);
			}
}

int main(int argc, char **argv)
{
	const char *shared_data = g_getenv("SHARED");
	g_autofree char *fixtures = g_build_filename(g_getenv("FIXTURES"), "golden/blockdma", NULL);
	g_autofree char *shared = g_build_filename(shared_data ? shared_data : "", "golden/blockdma", NULL);

	g_test_init(&argc, &argv, NULL);
	add_tests(fixtures, "txt.zst", "/blockdma/golden");
	if (g_file_test(shared, G_FILE_TEST_IS_DIR))
		add_tests(shared, "txt", "/blockdma/golden-shared");
	return g_test_run();
}
