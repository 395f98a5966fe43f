/* SPDX-License-Identifier: MIT */
#include "iommu/dma/dma.h"

#include <errno.h>

#include "iommu/dma/direct.h"
#include "iommu/dma/internal.h"
#include "iommu/dma/sync.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/text.h"

static const struct fault_point dma_points[] = {
	{"dma.iova", -ENOMEM, "no IOVA: one allocation attempt fails",
	 "iommu_dma_alloc_iova() in drivers/iommu/dma-iommu.c"},
	{"dma.link", -ENOMEM, "a segment cannot be mapped into the request's IOVA",
	 "dma_iova_link() in drivers/iommu/dma-iommu.c"},
	{"dma.sync", -ENOMEM, "the hardware cannot be told of the new mappings",
	 "dma_iova_sync() in drivers/iommu/dma-iommu.c"},
	{"dma.bounce", -ENOMEM, "no bounce buffer is free",
	 "swiotlb_tbl_map_single() in kernel/dma/swiotlb.c"},
};

const struct fault_table dma_fault_table = {FAULT_ROOM_DMA, G_N_ELEMENTS(dma_points), dma_points};

const char *const dma_taker_names[DMA_TAKERS] = {"dma_map_phys", "dma_iova_try_alloc", "dma_alloc_coherent", "dma_map_sg"};

void dma_device_init(struct dma_device *dev, struct sim *sim, const struct dma_config *config,
		     struct iommu_domain *domain, struct iova_domain *iovad)
{
	*dev = (struct dma_device){.sim = sim,
				   .config = *config,
				   .domain = domain,
				   .iovad = iovad,
				   .granule_lg2 = domain ? iommu_granule_lg2(domain) : FRAME_LG2,
				   .try_32bit = !config->forcedac,
				   .need_unmap = domain || config->incoherent,
				   .attach_deferred = domain && config->deferred_attach};
	/* Page-table drivers may lose an error (D2), so what was mapped through them need not be there. */
	dev->special = config->incoherent || config->untrusted || (domain && domain->pt->ops->map_pages);
	umap_init(&dev->live);
}

void dma_device_finish(struct dma_device *dev)
{
	umap_finish(&dev->live);
}

/* ---- who holds which IOVA ---- */

/* A live range is one entry: key first page, value bytes and dma_live_kind(), extra actor, more time << 12 | cpu. */
#define LIVE_LEN ((UINT64_C(1) << LIVE_TAKER_LG2) - 1)

G_STATIC_ASSERT(SIM_CPUS_MAX <= 1 << 12);

static void dma_live_add(struct dma_device *dev, uint64_t iova, uint64_t len, uint64_t kind)
{
	struct umap_entry *entry = umap_insert(&dev->live, iova >> dev->granule_lg2);

	entry->value = len | kind;
	entry->extra = dev->sim->actor;
	entry->more = dev->sim->now_ns << 12 | dev->sim->cpu;
}

static struct dma_live dma_live_unpack(const struct dma_device *dev, const struct umap_entry *entry)
{
	return (struct dma_live){.iova = entry->key << dev->granule_lg2,
				 .len_bytes = entry->value & LIVE_LEN,
				 .taker =
					 (enum dma_taker)((entry->value & ~LIVE_TO_DEVICE) >> LIVE_TAKER_LG2),
				 .to_device = (entry->value & LIVE_TO_DEVICE) != 0,
				 .actor = entry->extra,
				 .time_ns = entry->more >> 12,
				 .cpu = entry->more & ((1 << 12) - 1)};
}

/* How far back a containing range may start: the largest coherent block or request. */
#define DMA_LIVE_PAGES_MAX 4096

bool dma_live_find(const struct dma_device *dev, uint64_t iova, struct dma_live *ret_live)
{
	uint64_t page = iova >> dev->granule_lg2;

	for (unsigned back = 0; back < DMA_LIVE_PAGES_MAX && back <= page; back++) {
		const struct umap_entry *entry = umap_find(&dev->live, page - back);

		if (!entry)
			continue;
		*ret_live = dma_live_unpack(dev, entry);
		return iova - ret_live->iova < ret_live->len_bytes;
	}
	return false;
}

void dma_live_each(const struct dma_device *dev, void (*fn)(void *data, const struct dma_live *live),
		   void *data)
{
	struct umap_entry *sorted = umap_sorted(&dev->live);

	for (uint32_t i = 0; i < dev->live.count; i++) {
		struct dma_live live = dma_live_unpack(dev, &sorted[i]);

		fn(data, &live);
	}
	g_free(sorted);
}

char *dma_live_text(const struct dma_live *live)
{
	g_autofree char *time = text_time(live->time_ns);

	if (live->actor == 0)
		return g_strdup_printf("set-up (%s)", dma_taker_names[live->taker]);
	return g_strdup_printf("request %" G_GUINT64_FORMAT " on cpu %u at %s (%s)", live->actor, live->cpu,
			       time, dma_taker_names[live->taker]);
}

/* ---- IOVAs ---- */

/* iommu_deferred_attach */
int dma_attach(struct dma_device *dev)
{
	int err = iommu_domain_attach(dev->domain);

	dev->attach_deferred = err != 0;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_DEFERRED_ATTACH, .err = err);
	return err;
}

static uint64_t dma_iova_attempt(struct dma_device *dev, uint64_t granules, uint64_t limit, bool flush)
{
	uint64_t limit_pfn = limit >> dev->granule_lg2, from_ps = dev->sim->cursor_ps, pfn = 0;

	if (!sim_fault_size(dev->sim, FAULT_DMA_IOVA, granules << dev->granule_lg2))
		pfn = iova_alloc_fast(dev->iovad, granules, limit_pfn, flush);
	SIM_ANNOUNCE(dev->sim, iova_attempt, granules, limit_pfn, flush, pfn);
	SIM_TOOK(dev->sim, .what = SPAN_ALLOC, .from_ps = from_ps, .addr = pfn << dev->granule_lg2,
		 .bytes = granules << dev->granule_lg2);
	return pfn;
}

/** Gives @granules from @pfn on back to the allocator. */
static void dma_iova_return(struct dma_device *dev, uint64_t pfn, uint64_t granules)
{
	uint64_t from_ps = dev->sim->cursor_ps;

	SIM_ANNOUNCE(dev->sim, iova_return, pfn, granules);
	iova_free_fast(dev->iovad, pfn, granules);
	SIM_TOOK(dev->sim, .what = SPAN_FREE, .from_ps = from_ps, .addr = pfn << dev->granule_lg2,
		 .bytes = granules << dev->granule_lg2);
}

/* iommu_dma_alloc_iova */
uint64_t dma_alloc_iova(struct dma_device *dev, uint64_t len, uint64_t kind)
{
	uint64_t limit = MIN(dev->config.mask, dev->config.aperture_end);
	uint64_t granules = len >> dev->granule_lg2, pfn = 0;

	if (limit > UINT32_MAX && dev->try_32bit) {
		pfn = dma_iova_attempt(dev, granules, UINT32_MAX, false);
		if (!pfn) {
			dev->stats.attempts_32bit_failed++;
			if (behaves(dev->sim, IOVA_32BIT_RETRY) == IOVA_32BIT_STICKY) {
				dev->try_32bit = false;
				DMA_ANNOUNCE(dev, .kind = DMA_CALL_USE_64BIT);
			}
		}
	}
	if (!pfn)
		pfn = dma_iova_attempt(dev, granules, limit, true);
	if (!pfn)
		return 0;
	dma_live_add(dev, pfn << dev->granule_lg2, len, kind);
	SIM_ANNOUNCE(dev->sim, iova_alloc, dev->domain->id, pfn << dev->granule_lg2, len);
	return pfn << dev->granule_lg2;
}

/** The size class that a free of @len bytes goes to; ranges above the largest cached size all go to the tree. */
static unsigned dma_size_class(const struct dma_device *dev, uint64_t len)
{
	uint64_t granules = len >> dev->granule_lg2;

	return granules <= 1 ? 0 : MIN(64u - (unsigned)__builtin_clzll(granules - 1), IOVA_ORDERS);
}

/** The holder of @iova, if there is one, gives up @len bytes of it; *@ret_live says who it was, of no bytes if nobody. So
 *  much less than was taken that the range goes to a smaller size class, and is handed out again as one of that size, is
 *  an observation (D5, D8). */
static void dma_drop_live(struct dma_device *dev, uint64_t iova, uint64_t len, struct dma_live *ret_live)
{
	struct umap_entry *entry = umap_find(&dev->live, iova >> dev->granule_lg2);

	SIM_ANNOUNCE(dev->sim, iova_free, dev->domain->id, iova, len);
	*ret_live = entry ? dma_live_unpack(dev, entry) : (struct dma_live){0};
	if (!entry)
		return;
	if (dma_size_class(dev, len) < dma_size_class(dev, ret_live->len_bytes)) {
		g_autofree char *taken = dma_live_text(ret_live);

		sim_find(dev->sim, FINDING_IOVA_SMALLER_CLASS, taken,
			 "IOVA 0x%" G_GINT64_MODIFIER "x of %" G_GUINT64_FORMAT
			 " bytes freed as one of %" G_GUINT64_FORMAT,
			 iova, ret_live->len_bytes, len);
	}
	umap_remove(&dev->live, entry);
}

void dma_free_iova(struct dma_device *dev, uint64_t iova, uint64_t len)
{
	struct dma_live live;

	dma_drop_live(dev, iova, len, &live);
	dma_iova_return(dev, iova >> dev->granule_lg2, len >> dev->granule_lg2);
}

/** Reports an unmap that found something else than @len bytes mapped at @iova, whoever holds that. */
static void dma_report_wrong_size(struct dma_device *dev, uint64_t iova, uint64_t len, uint64_t unmapped)
{
	const struct umap_entry *entry = umap_find(&dev->live, iova >> dev->granule_lg2);
	struct dma_live live = entry ? dma_live_unpack(dev, entry) : (struct dma_live){0};
	g_autofree char *taken = entry ? dma_live_text(&live) : NULL;

	sim_find(dev->sim, FINDING_WRONG_SIZE, taken,
		 "unmap of %" G_GUINT64_FORMAT " bytes at IOVA 0x%" G_GINT64_MODIFIER
		 "x found %" G_GUINT64_FORMAT " mapped",
		 len, iova, unmapped);
}

/** Whether @iova was taken for a single mapping, and of how many bytes. */
static bool dma_holds_mapping(const struct dma_device *dev, uint64_t iova, uint64_t *ret_len)
{
	const struct umap_entry *entry = umap_find(&dev->live, iova >> dev->granule_lg2);

	if (!entry || (entry->value & ~LIVE_LEN) == dma_live_kind(DMA_TAKER_TRY_ALLOC, false))
		return false;
	*ret_len = entry->value & LIVE_LEN;
	return true;
}

void dma_unmap_and_free(struct dma_device *dev, uint64_t iova, uint64_t len, uint64_t freed)
{
	struct pgtable_gather gather = {0};
	struct dma_live live;
	uint64_t unmapped, held;

	pgtable_gather_init(&gather);
	gather.queued = dev->fq != NULL;
	unmapped = iommu_unmap_fast(dev->domain, iova, len, &gather);
	if (unmapped != len)
		dma_report_wrong_size(dev, iova, len, unmapped);
	if (!dev->fq)
		iommu_iotlb_sync(dev->domain, &gather);
	/* Of a request's IOVA a part may be unmapped (rollback); of a mapping, never. */
	if (unmapped == len && dma_holds_mapping(dev, iova, &held) && held != len)
		dma_report_wrong_size(dev, iova, len, held);
	dma_drop_live(dev, iova, freed, &live);
	if (dev->fq)
		fq_queue(dev->fq, iova >> dev->granule_lg2, freed >> dev->granule_lg2, &gather);
	else
		dma_iova_return(dev, iova >> dev->granule_lg2, freed >> dev->granule_lg2);
	pgtable_gather_finish(&gather);
}

/* dma_info_to_prot */
unsigned dma_prot(const struct dma_device *dev, unsigned flags)
{
	unsigned prot = flags & DMA_TO_DEVICE ? PROT_READ : PROT_WRITE;

	if (flags & DMA_ATTR_MMIO)
		return prot | PROT_MMIO;
	return dev->config.incoherent ? prot : prot | PROT_CACHE;
}

/** __iommu_dma_map: returns the IOVA of @paddr, or DMA_MAPPING_ERROR. */
static uint64_t dma_map(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned prot, uint64_t kind)
{
	uint64_t offset = dma_offset(dev, paddr), size = dma_align(dev, len + offset), iova;

	if (G_UNLIKELY(dev->attach_deferred) && dma_attach(dev) != 0)
		return DMA_MAPPING_ERROR;
	iova = dma_alloc_iova(dev, size, kind);
	if (!iova)
		return DMA_MAPPING_ERROR;
	if (iommu_map_nosync(dev->domain, iova, paddr - offset, size, prot) != 0)
		goto free_iova;
	if (iommu_sync_map(dev->domain, iova, size) != 0)
		goto unmap;
	return iova + offset;

unmap:
	iommu_unmap(dev->domain, iova, size);
free_iova:
	dma_free_iova(dev, iova, size);
	return DMA_MAPPING_ERROR;
}

/** __iommu_dma_unmap. */
static void dma_unmap(struct dma_device *dev, uint64_t addr, uint64_t len)
{
	uint64_t offset = dma_offset(dev, addr), size = dma_align(dev, len + offset);

	dma_unmap_and_free(dev, addr - offset, size, size);
}

uint64_t dma_max_mapping_size(const struct dma_device *dev)
{
	if (!dma_use_iommu(dev))
		return dma_direct_max_mapping_size(dev);
	return dev->config.untrusted && dev->config.swiotlb ? swiotlb_max_mapping_size(dev->config.swiotlb) : UINT64_MAX;
}

uint64_t dma_opt_mapping_size(const struct dma_device *dev)
{
	return MIN(dma_max_mapping_size(dev), dma_use_iommu(dev) ? DMA_OPT_MAPPING_SIZE : UINT64_MAX);
}

/** Whether the device would see more in the granules around [@paddr, @paddr + @len) than it should. */
static bool dma_needs_bounce(const struct dma_device *dev, uint64_t paddr, uint64_t len)
{
	return dev->config.untrusted && dma_offset(dev, paddr | len);
}

/** A bounce buffer that has its granules to itself. */
static uint64_t dma_bounce_granules(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	return dma_bounce_map(dev, paddr, len, (UINT64_C(1) << dev->granule_lg2) - 1, flags);
}

static uint64_t dma_map_usual(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	return dma_map(dev, paddr, len, dma_prot(dev, flags),
		       dma_live_kind(DMA_TAKER_MAP_PHYS, flags & DMA_TO_DEVICE));
}

/** What iommu_dma_map_phys does besides for a device that is special. */
static uint64_t dma_map_special(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	bool no_copy = flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT);
	uint64_t addr;

	if (dev->config.incoherent && flags & DMA_ATTR_REQUIRE_COHERENT)
		return DMA_MAPPING_ERROR;
	if (dma_needs_bounce(dev, paddr, len)) {
		paddr = no_copy ? DMA_MAPPING_ERROR : dma_bounce_granules(dev, paddr, len, flags);
		if (paddr == DMA_MAPPING_ERROR)
			return paddr;
	}
	if (dma_syncs(dev, flags)) {
		dma_cache_for_device(dev, paddr, len, flags);
		dma_cache_flush(dev);
	}
	addr = dma_map_usual(dev, paddr, len, flags);
	if (addr == DMA_MAPPING_ERROR && !no_copy)
		dma_bounce_unmap(dev, paddr, len, flags);
	return addr;
}

/** What iommu_dma_unmap_phys does besides. */
static void dma_unmap_special(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags)
{
	uint64_t paddr = 0;

	if (flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT)) {
		dma_unmap(dev, addr, len);
		return;
	}
	paddr = iommu_iova_to_phys(dev->domain, addr);
	if (!paddr) {
		sim_find(dev->sim, FINDING_KERNEL_WARNING, NULL,
			 "iommu_dma_unmap_phys: nothing is mapped at IOVA 0x%" G_GINT64_MODIFIER "x", addr);
		return;
	}
	if (dma_syncs(dev, flags)) {
		dma_cache_for_cpu(dev, paddr, len, flags);
		dma_cache_flush(dev);
	}
	dma_unmap(dev, addr, len);
	dma_bounce_unmap(dev, paddr, len, flags);
}

static const char *const unmap_names[DMA_TAKERS] = {
	[DMA_TAKER_MAP_PHYS] = "dma_unmap_phys", [DMA_TAKER_MAP_SG] = "dma_unmap_sg"};

static void dma_report_direction(struct dma_device *dev, uint64_t addr, bool to_device, const char *taken)
{
	sim_find(dev->sim, FINDING_WRONG_DIRECTION, taken,
		 "IOVA 0x%" G_GINT64_MODIFIER "x was mapped %s the device, and is unmapped the other way", addr,
		 to_device ? "to" : "from");
}

/** Reports an unmap of @addr that is not the counterpart of a map by @taker, as DMA debugging does. Returns whether there
 *  is something to unmap nevertheless. */
static bool dma_report_misuse(struct dma_device *dev, uint64_t addr, enum dma_taker taker,
			      const struct umap_entry *entry)
{
	struct dma_live live;
	g_autofree char *taken = NULL;

	if (!entry) {
		bool invalid = addr == DMA_MAPPING_ERROR;

		sim_find(dev->sim, invalid ? FINDING_INVALID_UNMAP : FINDING_DOUBLE_UNMAP, NULL,
			 "unmap of IOVA 0x%" G_GINT64_MODIFIER "x, which %s", addr,
			 invalid ? "a failed map returned" : "nobody holds");
		return false;
	}
	live = dma_live_unpack(dev, entry);
	taken = dma_live_text(&live);
	if (live.taker != taker)
		sim_find(dev->sim, FINDING_WRONG_FUNCTION, taken,
			 "%s of IOVA 0x%" G_GINT64_MODIFIER "x, taken by %s", unmap_names[taker], addr,
			 dma_taker_names[live.taker]);
	else
		dma_report_direction(dev, addr, live.to_device, taken);
	return true;
}

bool dma_check_unmap(struct dma_device *dev, uint64_t addr, enum dma_taker taker, unsigned flags)
{
	const struct umap_entry *entry = umap_find(&dev->live, addr >> dev->granule_lg2);

	if (G_LIKELY(entry && (entry->value & ~LIVE_LEN) == dma_live_kind(taker, flags & DMA_TO_DEVICE)))
		return true;
	return dma_report_misuse(dev, addr, taker, entry);
}

uint64_t dma_p2p_bus_addr(struct dma_device *dev, uint64_t paddr)
{
	uint64_t addr = paddr + dev->config.p2p.bus_offset;

	DMA_ANNOUNCE(dev, .kind = DMA_CALL_BUS_ADDR, .paddr = paddr, .addr = addr);
	return addr;
}

uint64_t dma_map_phys(struct dma_device *dev, uint64_t paddr, uint64_t len, unsigned flags)
{
	uint64_t addr;

	dev->stats.map_calls++;
	if (!dma_use_iommu(dev))
		addr = dma_direct_map_phys(dev, paddr, len, flags);
	else if (G_UNLIKELY(dev->special))
		addr = dma_map_special(dev, paddr, len, flags);
	else
		addr = dma_map_usual(dev, paddr, len, flags);
	if (addr == DMA_MAPPING_ERROR)
		dev->stats.errors++;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_MAP_PHYS, .paddr = paddr, .size = len, .addr = addr,
		     .flags = flags);
	return addr;
}

void dma_unmap_phys(struct dma_device *dev, uint64_t addr, uint64_t len, unsigned flags)
{
	dev->stats.unmap_calls++;
	if (!dma_use_iommu(dev))
		dma_direct_unmap_phys(dev, addr, len, flags);
	else if (!dma_check_unmap(dev, addr, DMA_TAKER_MAP_PHYS, flags))
		; /* said so */
	else if (G_UNLIKELY(dev->special))
		dma_unmap_special(dev, addr, len, flags);
	else
		dma_unmap(dev, addr, len);
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_UNMAP_PHYS, .addr = addr, .size = len, .flags = flags);
}

/* ---- one IOVA for a request ---- */

bool dma_iova_try_alloc(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr, uint64_t size)
{
	uint64_t offset = dma_offset(dev, paddr), iova = 0;

	*state = (struct dma_iova_state){0};
	if (dma_use_iommu(dev) && size && !(size >> 63) &&
	    !(G_UNLIKELY(dev->attach_deferred) && dma_attach(dev) != 0))
		iova = dma_alloc_iova(dev, dma_align(dev, size + offset),
				      dma_live_kind(DMA_TAKER_TRY_ALLOC, false));
	if (iova) {
		dev->stats.iova_requests++;
		state->addr = iova + offset;
		state->size = size;
	}
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_TRY_ALLOC, .paddr = paddr, .size = size, .addr = state->addr);
	return iova != 0;
}

/** __dma_iova_link: maps whole granules. */
static inline int dma_link_granules(struct dma_device *dev, uint64_t iova, uint64_t paddr, uint64_t len,
				    unsigned flags)
{
	if (dma_syncs(dev, flags))
		dma_cache_for_device(dev, paddr, len, flags);
	return iommu_map_nosync(dev->domain, iova, paddr, len, dma_prot(dev, flags));
}

/** iommu_dma_iova_bounce_and_link: a part of one granule, which begins at @pad in it. */
static int dma_link_part(struct dma_device *dev, struct dma_iova_state *state, uint64_t addr, uint64_t paddr,
			 uint64_t len, uint64_t pad, unsigned flags)
{
	uint64_t bounce = dma_bounce_granules(dev, paddr, len, flags);
	int err;

	if (bounce == DMA_MAPPING_ERROR)
		return -ENOMEM;
	err = dma_link_granules(dev, addr - pad, bounce - pad, dma_align(dev, len), flags);
	if (err)
		dma_bounce_unmap(dev, bounce, len, flags);
	else
		state->bounced = true;
	return err;
}

/** iommu_dma_iova_unlink_range_slow: before an unmap, what the CPU has to do for each granule. */
static void dma_unlink_sync(struct dma_device *dev, uint64_t addr, uint64_t size, unsigned flags)
{
	uint64_t end = addr + size, len;

	/* As the kernel's: of no bytes, the granule is looked at all the same. */
	do {
		uint64_t paddr = iommu_iova_to_phys(dev->domain, addr);

		if (!paddr) {
			sim_find(dev->sim, FINDING_KERNEL_WARNING, NULL,
				 "iommu_dma_iova_unlink_range_slow: nothing is mapped at IOVA "
				 "0x%" G_GINT64_MODIFIER "x, the rest is not synchronised",
				 addr);
			return;
		}
		len = MIN(end - addr, (UINT64_C(1) << dev->granule_lg2) - dma_offset(dev, addr));
		if (dma_syncs(dev, flags))
			dma_cache_for_cpu(dev, paddr, len, flags);
		dma_bounce_unmap(dev, paddr, len, flags);
		addr += len;
	} while (addr < end);
	if (dma_syncs(dev, flags))
		dma_cache_flush(dev);
}

/** dma_iova_unlink: takes @size bytes at @offset out of the state again. */
static void dma_unlink(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset, uint64_t size,
		       unsigned flags)
{
	uint64_t addr = state->addr + offset, pad = dma_offset(dev, addr), len = dma_align(dev, size + pad);
	uint64_t unmapped;

	if (state->bounced || dma_syncs(dev, flags))
		dma_unlink_sync(dev, addr, size, flags);
	unmapped = iommu_unmap(dev->domain, addr - pad, len);
	if (unmapped != len)
		dma_report_wrong_size(dev, addr - pad, len, unmapped);
}

/** iommu_dma_iova_link_swiotlb: the whole granules are mapped, what is left over at either end is bounced. */
static int dma_link_bounced(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr,
			    uint64_t offset, uint64_t size, unsigned flags)
{
	uint64_t addr = state->addr + offset, pad = dma_offset(dev, paddr),
		 tail = dma_offset(dev, paddr + size);
	uint64_t head = pad ? MIN(size, (UINT64_C(1) << dev->granule_lg2) - pad) : 0, whole;
	bool fixed = behaves(dev->sim, BOUNCE_LINK) == BOUNCE_LINK_FIXED;
	uint64_t mapped = head;
	int err = 0;

	if (head)
		err = dma_link_part(dev, state, addr, paddr, head, pad, flags);
	if (err || head == size)
		return err;
	whole = size - head - tail;
	/* Generic page tables refuse to map nothing (D3). */
	if (whole || !fixed)
		err = dma_link_granules(dev, addr + head, paddr + head, whole, flags);
	if (err)
		goto unlink;
	mapped += whole;
	if (tail)
		err = dma_link_part(dev, state, addr + mapped, paddr + mapped, tail, 0, flags);
	if (err)
		goto unlink;
	return 0;

unlink:
	/* As many bytes, but from the state's beginning: it is others' that go (D4). */
	if (!fixed)
		dma_unlink(dev, state, 0, mapped, flags);
	else if (mapped)
		dma_unlink(dev, state, offset, mapped, flags);
	return err;
}

static int dma_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr, uint64_t offset,
		    uint64_t size, unsigned flags)
{
	uint64_t pad = dma_offset(dev, paddr);
	int err;

	/* The kernel warns. Only the block mapper's choice for metadata leads here, which has no known repair (D6). */
	if (offset && pad) {
		sim_find(dev->sim, FINDING_LINK_IN_GRANULE, NULL,
			 "dma_iova_link: segment 0x%" G_GINT64_MODIFIER "x starts inside a granule", paddr);
		return -EIO;
	}
	/* The same, but the segment before ends inside one: no warning, the page table refuses. */
	if (G_UNLIKELY(dma_offset(dev, state->addr + offset - pad)))
		sim_find(dev->sim, FINDING_LINK_IN_GRANULE, NULL,
			 "segment 0x%" G_GINT64_MODIFIER "x comes after one that ends inside a granule", paddr);
	if (flags & DMA_ATTR_REQUIRE_COHERENT && (dev->config.incoherent || state->bounced))
		return -EOPNOTSUPP;
	err = sim_fault_size(dev->sim, FAULT_DMA_LINK, size);
	if (err)
		return err;
	if (G_LIKELY(!dev->special) || !dma_needs_bounce(dev, paddr, size))
		return dma_link_granules(dev, state->addr + offset - pad, paddr - pad,
					 dma_align(dev, size + pad), flags);
	if (flags & (DMA_ATTR_MMIO | DMA_ATTR_REQUIRE_COHERENT))
		return -EPERM;
	return dma_link_bounced(dev, state, paddr, offset, size, flags);
}

int dma_iova_link(struct dma_device *dev, struct dma_iova_state *state, uint64_t paddr, uint64_t offset,
		  uint64_t size, unsigned flags)
{
	int err = dma_link(dev, state, paddr, offset, size, flags);

	dev->stats.links++;
	state->to_device = flags & DMA_TO_DEVICE;
	if (err)
		dev->stats.errors++;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_LINK, .paddr = paddr, .offset = offset, .size = size, .err = err,
		     .bounced = state->bounced, .flags = flags);
	return err;
}

int dma_iova_sync(struct dma_device *dev, struct dma_iova_state *state, uint64_t offset, uint64_t size)
{
	uint64_t addr = state->addr + offset, pad = dma_offset(dev, addr);
	int err = sim_fault_size(dev->sim, FAULT_DMA_SYNC, size);

	dev->stats.syncs++;
	if (dev->config.incoherent)
		dma_cache_flush(dev);
	if (!err)
		err = iommu_sync_map(dev->domain, addr - pad, dma_align(dev, size + pad));
	if (err)
		dev->stats.errors++;
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_SYNC, .offset = offset, .size = size, .err = err);
	return err;
}

/** Looks for entries that stay behind in an IOVA about to be freed beyond the @unmapped first bytes (D8). */
static void dma_report_left_behind(struct dma_device *dev, const struct dma_live *live, uint64_t unmapped)
{
	uint64_t left = 0;

	for (uint64_t at = unmapped; at < live->len_bytes; at += UINT64_C(1) << dev->granule_lg2)
		if (iommu_iova_to_phys(dev->domain, live->iova + at))
			left += UINT64_C(1) << dev->granule_lg2;
	if (left) {
		g_autofree char *taken = dma_live_text(live);

		sim_find(dev->sim, FINDING_STALE_REACHABLE, taken,
			 "%" G_GUINT64_FORMAT " bytes stay mapped in the freed IOVA 0x%" G_GINT64_MODIFIER
			 "x",
			 left, live->iova);
	}
}

void dma_iova_destroy(struct dma_device *dev, struct dma_iova_state *state, uint64_t mapped, unsigned flags)
{
	uint64_t offset = dma_offset(dev, state->addr), iova = state->addr - offset;
	uint64_t allocated = dma_align(dev, state->size + offset), size = dma_align(dev, mapped + offset);
	bool whole = behaves(dev->sim, ROLLBACK_IOVA_FREE) == ROLLBACK_IOVA_WHOLE;
	uint64_t payload = state->size;
	struct dma_live live;

	dev->stats.destroys++;
	if (!payload) {
		sim_find(dev->sim, FINDING_DOUBLE_UNMAP, NULL,
			 "destroy of a request's IOVA that is not held");
		return;
	}
	if (G_UNLIKELY(mapped && state->to_device != !!(flags & DMA_TO_DEVICE)) && dma_live_find(dev, iova, &live)) {
		g_autofree char *taken = dma_live_text(&live);

		dma_report_direction(dev, state->addr, state->to_device, taken);
	}
	if (mapped && (state->bounced || dma_syncs(dev, flags)))
		dma_unlink_sync(dev, state->addr, mapped, flags);
	*state = (struct dma_iova_state){0};
	if (mapped) {
		if (size < allocated && dma_live_find(dev, iova, &live))
			dma_report_left_behind(dev, &live, size);
		dma_unmap_and_free(dev, iova, size, whole ? allocated : size);
	} else {
		/* Nothing was ever visible to the device: never queued. */
		dma_free_iova(dev, iova, allocated);
	}
	DMA_ANNOUNCE(dev, .kind = DMA_CALL_DESTROY, .size = mapped, .allocated = payload, .flags = flags);
}

/* ---- memory shared with the device ---- */

/** The kernel's pages are as large as granules, and what a device is to see has its pages to itself. */
static unsigned dma_coherent_order(const struct dma_device *dev, unsigned order)
{
	return MAX(order, dev->granule_lg2 - FRAME_LG2);
}

int dma_alloc_coherent(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
		       uint64_t *ret_addr)
{
	uint64_t paddr, addr;

	if (dev->memory)
		return dev->memory->alloc_coherent(dev, order, use, ret_paddr, ret_addr);
	order = dma_coherent_order(dev, order);
	paddr = addr = physmem_alloc(&dev->sim->mem, order, use);
	if (dma_use_iommu(dev)) {
		addr = dma_map(dev, paddr, (uint64_t)FRAME_SIZE << order,
			       PROT_READ | dma_prot(dev, DMA_FROM_DEVICE),
			       dma_live_kind(DMA_TAKER_COHERENT, false));
		if (addr == DMA_MAPPING_ERROR) {
			physmem_free(&dev->sim->mem, paddr, order);
			return -ENOMEM;
		}
	}
	*ret_paddr = paddr;
	*ret_addr = addr;
	return 0;
}

void dma_free_coherent(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr)
{
	if (dev->memory) {
		dev->memory->free_coherent(dev, order, paddr, addr);
		return;
	}
	order = dma_coherent_order(dev, order);
	if (dma_use_iommu(dev))
		dma_unmap(dev, addr, (uint64_t)FRAME_SIZE << order);
	physmem_free(&dev->sim->mem, paddr, order);
}
