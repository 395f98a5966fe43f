/* SPDX-License-Identifier: MIT */
#include "iommu/dma/snapshot.h"

#include "iommu/dma/pgtable-section.h"

/* ---- domain ---- */

static void dma_domain_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct dma_device *dev = data;

	if (!dma_use_iommu(dev))
		return;
	snapshot_fact(writer, "domain");
	snapshot_u64(writer, "id", dev->domain->id);
	snapshot_text(writer, "device", dev->config.name);
	snapshot_text(writer, "iommu", dev->domain->iommu->ops->name);
	snapshot_text(writer, "format", dev->domain->pt->ops->name);
	snapshot_u64(writer, "levels", dev->domain->pt->config.top_level + 1);
	snapshot_u64(writer, "granule", UINT64_C(1) << dev->granule_lg2);
	snapshot_u64(writer, "table_pages", dev->domain->pt->table_pages);
	snapshot_text(writer, "mode", dev->fq ? "lazy" : "strict");
}

static const struct snapshot_noun dma_domain_nouns[] = {
	{.name = "domain",
	 .keys = {"id"},
	 .added = "domain added",
	 .removed = "domain removed",
	 .changed = "domain changed"},
	{0},
};

const struct snapshot_section dma_domain_section = {"domain", dma_domain_nouns, dma_domain_write, NULL};

/* ---- iova ---- */

struct dma_iova_writer {
	struct snapshot_writer *writer;
	const struct dma_device *dev;
	struct umap cached; /* pfn -> order, CPU, which magazine */
	struct umap queued; /* pfn -> nothing: waits for a flush */
};

enum dma_cache_place {
	PLACE_LOADED,
	PLACE_PREV,
	PLACE_DEPOT,
};

static void dma_iova_note_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	struct dma_iova_writer *w = data;
	struct umap_entry *entry = umap_insert(&w->cached, pfn);

	entry->value = order;
	entry->extra = cpu;
	entry->more = place[0] == 'l' ? PLACE_LOADED : place[0] == 'p' ? PLACE_PREV : PLACE_DEPOT;
}

static void dma_iova_fact(const struct dma_iova_writer *w, const char *noun, uint64_t first, uint64_t last)
{
	snapshot_fact(w->writer, noun);
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_range(w->writer, "range", first, last);
}

static void snapshot_owner(struct snapshot_writer *writer, const struct dma_live *live)
{
	g_autofree char *owner =
		live->actor ? g_strdup_printf("req:%" G_GUINT64_FORMAT, live->actor) : g_strdup("set-up");

	snapshot_text(writer, "owner", owner);
}

static void dma_iova_write_live(void *data, const struct dma_live *live)
{
	struct dma_iova_writer *w = data;

	dma_iova_fact(w, "live", live->iova, live->iova + live->len_bytes - 1);
	snapshot_owner(w->writer, live);
	snapshot_text(w->writer, "by", dma_taker_names[live->taker]);
	snapshot_u64(w->writer, "cpu", live->cpu);
	snapshot_u64(w->writer, "time_ns", live->time_ns);
}

static void dma_iova_write_cached(const struct dma_iova_writer *w, uint64_t first, uint64_t last,
				  const struct umap_entry *cached)
{
	static const char *const places[] = {"loaded", "prev", "depot"};
	g_autofree char *place =
		cached->more == PLACE_DEPOT
			? g_strdup("depot")
			: g_strdup_printf("cpu%" G_GUINT64_FORMAT ".%s", cached->extra, places[cached->more]);

	dma_iova_fact(w, "cached", first, last);
	snapshot_u64(w->writer, "order", cached->value);
	snapshot_text(w->writer, "place", place);
}

static void dma_iova_write_queued(void *data, uint64_t pfn, uint64_t granules, unsigned cpu, uint64_t time_ns,
				  uint64_t actor)
{
	struct dma_iova_writer *w = data;
	struct dma_live live = {.actor = actor};

	umap_insert(&w->queued, pfn);
	dma_iova_fact(w, "queued", pfn << w->dev->granule_lg2, ((pfn + granules) << w->dev->granule_lg2) - 1);
	snapshot_owner(w->writer, &live);
	snapshot_u64(w->writer, "cpu", cpu);
	snapshot_u64(w->writer, "time_ns", time_ns);
}

/** A node of the tree is held, waits for a flush, is parked in a cache, or reserved. The first two were
 *  written from their lists. */
static void dma_iova_write_range(void *data, uint64_t lo, uint64_t hi)
{
	struct dma_iova_writer *w = data;
	uint64_t first = lo << w->dev->granule_lg2, last = ((hi + 1) << w->dev->granule_lg2) - 1;
	const struct umap_entry *cached = umap_find(&w->cached, lo);

	if (umap_find(&w->dev->live, lo) || umap_find(&w->queued, lo))
		return;
	if (cached)
		dma_iova_write_cached(w, first, last, cached);
	else
		dma_iova_fact(w, "reserved", first, last);
}

static void dma_iova_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iova_writer w = {.writer = writer, .dev = data};

	if (!dma_use_iommu(w.dev))
		return;
	umap_init(&w.cached);
	umap_init(&w.queued);
	iova_each_cached(w.dev->iovad, dma_iova_note_cached, &w);
	if (w.dev->fq)
		fq_each(w.dev->fq, dma_iova_write_queued, &w);
	dma_live_each(w.dev, dma_iova_write_live, &w);
	iova_each_range(w.dev->iovad, dma_iova_write_range, &w);
	umap_finish(&w.cached);
	umap_finish(&w.queued);
}

static void dma_held_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iova_writer w = {.writer = writer, .dev = data};

	if (dma_use_iommu(w.dev))
		dma_live_each(w.dev, dma_iova_write_live, &w);
}

static const char *const dma_cached_changes[] = {
	"order", "IOVA cached in another size class", "place", "IOVA cached elsewhere", NULL,
};

static const char *const dma_live_changes[] = {"owner", "IOVA held by another request", NULL};

static const struct snapshot_noun dma_iova_nouns[] = {
	{.name = "cached",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "IOVA parked in a cache",
	 .removed = "IOVA no longer in a cache",
	 .changed = "cached IOVA changed",
	 .field_changed = dma_cached_changes},
	{.name = "live",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "IOVA held",
	 .removed = "IOVA no longer held",
	 .changed = "held IOVA changed",
	 .field_changed = dma_live_changes},
	{.name = "queued",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "flush pending",
	 .removed = "flush no longer pending",
	 .changed = "pending flush changed"},
	{.name = "reserved",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "IOVA reserved",
	 .removed = "IOVA no longer reserved",
	 .changed = "reserved IOVA changed"},
	{0},
};

static const struct snapshot_noun dma_held_nouns[] = {
	{.name = "live",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "IOVA leaked",
	 .removed = "IOVA no longer leaked",
	 .changed = "leaked IOVA changed",
	 .field_changed = dma_live_changes},
	{0},
};

static const struct snapshot_rule dma_iova_rules[] = {
	{SNAPSHOT_DISJOINT, "cached", NULL, NULL, NULL, NULL, NULL, "cached IOVAs overlap"},
	{SNAPSHOT_DISJOINT, "live", NULL, NULL, NULL, NULL, NULL, "held IOVAs overlap"},
	{SNAPSHOT_VALUE_EXISTS, "live", "domain", "domain", "id", NULL, NULL,
	 "IOVA of a domain that does not exist"},
	{0},
};

static const struct snapshot_rule dma_held_rules[] = {
	{SNAPSHOT_DISJOINT, "live", NULL, NULL, NULL, NULL, NULL, "held IOVAs overlap"},
	{0},
};

const struct snapshot_section dma_iova_section = {"iova", dma_iova_nouns, dma_iova_write, dma_iova_rules};
const struct snapshot_section dma_held_section = {"held", dma_held_nouns, dma_held_write, dma_held_rules};

/* ---- mapping ---- */

/** The run of pages being put together: contiguous on both sides, one permission, one holder. */
struct dma_mapping_writer {
	struct snapshot_writer *writer;
	const struct dma_device *dev;
	struct dma_live live; /* what the next pages lie in; len 0: nothing */
	uint64_t iova, paddr, len;
	unsigned prot;
	bool held;
};

static void dma_mapping_flush(struct dma_mapping_writer *w)
{
	static const char *const prots[] = {"none", "r", "w", "rw"};

	if (!w->len)
		return;
	snapshot_fact(w->writer, "map");
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_range(w->writer, "iova", w->iova, w->iova + w->len - 1);
	snapshot_hex(w->writer, "pa", w->paddr, 16);
	snapshot_text(w->writer, "prot", prots[w->prot & (PROT_READ | PROT_WRITE)]);
	if (w->held)
		snapshot_owner(w->writer, &w->live);
	else
		snapshot_text(w->writer, "owner", "none");
	w->len = 0;
}

static void dma_mapping_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			     uint64_t raw)
{
	struct dma_mapping_writer *w = data;
	bool inside = w->held && iova - w->live.iova < w->live.len_bytes;

	if (w->len && w->iova + w->len == iova && w->paddr + w->len == paddr && w->prot == prot &&
	    (inside || !(w->held || umap_find(&w->dev->live, iova >> w->dev->granule_lg2)))) {
		w->len += size;
		return;
	}
	dma_mapping_flush(w);
	w->iova = iova;
	w->paddr = paddr;
	w->len = size;
	w->prot = prot;
	if (!inside)
		w->held = dma_live_find(w->dev, iova, &w->live);
}

static void dma_mapping_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_mapping_writer w = {.writer = writer, .dev = data};

	if (!dma_use_iommu(w.dev))
		return;
	pgtable_dump(w.dev->domain->pt, dma_mapping_leaf, &w);
	dma_mapping_flush(&w);
}

static const char *const dma_mapping_changes[] = {
	"prot",	 "permission changed",	       "owner=none", "mapping left without an IOVA",
	"owner", "mapping of another request", NULL,
};

static const struct snapshot_noun dma_mapping_nouns[] = {
	{.name = "map",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "mapping added",
	 .removed = "mapping removed",
	 .changed = "mapping changed",
	 .moved = "mapping moved",
	 .follows = "owner",
	 .field_changed = dma_mapping_changes},
	{0},
};

static const struct snapshot_rule dma_mapping_rules[] = {
	{SNAPSHOT_DISJOINT, "map", NULL, NULL, NULL, NULL, NULL, "mappings overlap"},
	{SNAPSHOT_COVERED_BY, "map", "domain", "live", "domain", NULL, "owner=none",
	 "mapping outside every IOVA that is held"},
	{0},
};

const struct snapshot_section dma_mapping_section = {"mapping", dma_mapping_nouns, dma_mapping_write,
						     dma_mapping_rules};

/* ---- pagetable ---- */

static void dma_pgtable_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct dma_device *dev = data;

	if (dma_use_iommu(dev))
		pgtable_section_write(writer, dev->domain->id, dev->domain->pt);
}

const struct snapshot_section dma_pgtable_section = {PGTABLE_SECTION, pgtable_section_nouns,
						     dma_pgtable_write, pgtable_section_rules};

/* ---- iotlb ---- */

struct dma_iotlb_writer {
	struct snapshot_writer *writer;
	const struct dma_device *dev;
	const char *noun;
};

static void dma_iotlb_entry(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			    unsigned prot)
{
	struct dma_iotlb_writer *w = data;
	uint64_t now = iommu_iova_to_phys(w->dev->domain, iova);

	if (domain != w->dev->domain->id)
		return;
	snapshot_fact(w->writer, w->noun);
	snapshot_u64(w->writer, "domain", domain);
	snapshot_range(w->writer, "iova", iova, iova + size - 1);
	snapshot_hex(w->writer, "pa", paddr, 16);
	snapshot_text(w->writer, "state", now == paddr ? "valid" : "stale");
}

static void dma_iotlb_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iotlb_writer w = {writer, data, "iotlb"};

	if (!dma_use_iommu(w.dev))
		return;
	iotlb_dump(w.dev->domain->iommu->tlb, dma_iotlb_entry, &w);
	w.noun = "devtlb";
	if (w.dev->domain->device_tlb)
		iotlb_dump(w.dev->domain->device_tlb, dma_iotlb_entry, &w);
}

static const char *const dma_iotlb_changes[] = {"state=stale", "stale IOTLB entry", NULL};
static const char *const dma_devtlb_changes[] = {"state=stale", "stale entry of the device's cache", NULL};

static const struct snapshot_noun dma_iotlb_nouns[] = {
	{.name = "iotlb",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "IOTLB entry added",
	 .removed = "IOTLB entry removed",
	 .changed = "IOTLB entry changed",
	 .moved = "IOTLB entry of another page",
	 .field_changed = dma_iotlb_changes},
	{.name = "devtlb",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "entry of the device's cache added",
	 .removed = "entry of the device's cache removed",
	 .changed = "entry of the device's cache changed",
	 .moved = "entry of the device's cache of another page",
	 .field_changed = dma_devtlb_changes},
	{0},
};

const struct snapshot_section dma_iotlb_section = {"iotlb", dma_iotlb_nouns, dma_iotlb_write, NULL};
