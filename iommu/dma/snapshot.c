/* SPDX-License-Identifier: MIT */
#include "iommu/dma/snapshot.h"

#include <string.h>

#include "iommu/dma/pgtable-section.h"
#include "iommu/dma/snapshot-check.h"

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
	snapshot_text(writer, "attached", dev->domain->attached ? "yes" : "no");
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
	struct umap told; /* pfn -> nothing: of a range that is queued or cached, and was written so */

	/* The magazine that is being written. */
	const char *place;
	unsigned order, cpu;
	uint64_t slot; /* the next one; on through the magazines of a depot */
};

static void dma_iova_fact(const struct dma_iova_writer *w, const char *noun, uint64_t first, uint64_t last)
{
	snapshot_fact(w->writer, noun);
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_range(w->writer, "range", first, last);
}

static void snapshot_owner(struct snapshot_writer *writer, uint64_t actor)
{
	g_autofree char *owner =
		actor ? g_strdup_printf("req:%" G_GUINT64_FORMAT, actor) : g_strdup("set-up");

	snapshot_text(writer, "owner", owner);
}

static void snapshot_pfn(struct snapshot_writer *writer, const char *field, uint64_t pfn)
{
	if (pfn == IOVA_ANCHOR)
		snapshot_text(writer, field, "anchor");
	else
		snapshot_hex(writer, field, pfn, 16);
}

static void dma_iova_write_allocator(const struct dma_iova_writer *w)
{
	struct iova_state state = iova_state(w->dev->iovad);

	snapshot_fact(w->writer, "allocator");
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_hex(w->writer, "dma_32bit_pfn", state.dma_32bit_pfn, 16);
	snapshot_pfn(w->writer, "cached_pfn", state.cached_lo);
	snapshot_pfn(w->writer, "cached32_pfn", state.cached32_lo);
	snapshot_u64(w->writer, "max32_alloc_size", state.max32_alloc_size);
	snapshot_text(w->writer, "rcaches", state.has_rcaches ? "yes" : "no");
	for (unsigned order = 0; order < IOVA_ORDERS && state.has_rcaches; order++) {
		snapshot_fact(w->writer, "depot");
		snapshot_u64(w->writer, "domain", w->dev->domain->id);
		snapshot_u64(w->writer, "order", order);
		snapshot_u64(w->writer, "magazines", iova_depot_size(w->dev->iovad, order));
		snapshot_text(w->writer, "timer", iova_depot_pending(w->dev->iovad, order) ? "armed" : "off");
	}
}

static void dma_iova_write_live(void *data, const struct dma_live *live)
{
	struct dma_iova_writer *w = data;

	dma_iova_fact(w, "live", live->iova, live->iova + live->len_bytes - 1);
	snapshot_owner(w->writer, live->actor);
	snapshot_text(w->writer, "by", dma_taker_names[live->taker]);
	snapshot_u64(w->writer, "cpu", live->cpu);
	snapshot_u64(w->writer, "time_ns", live->time_ns);
}

/** What is cached comes magazine by magazine, each from the bottom up. A pfn that is in two of them is two facts. */
static void dma_iova_write_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	struct dma_iova_writer *w = data;
	bool depot = strcmp(place, "depot") == 0;
	uint64_t lo = pfn, hi = pfn + (UINT64_C(1) << order) - 1;

	if (order != w->order || cpu != w->cpu || place != w->place)
		w->slot = 0;
	w->order = order;
	w->cpu = cpu;
	w->place = place;
	iova_find(w->dev->iovad, pfn, &lo, &hi);
	umap_insert(&w->told, lo);
	dma_iova_fact(w, "cached", lo << w->dev->granule_lg2, ((hi + 1) << w->dev->granule_lg2) - 1);
	snapshot_u64(w->writer, "order", order);
	if (depot) {
		snapshot_text(w->writer, "place", place);
		snapshot_u64(w->writer, "magazine", w->slot / IOVA_MAGAZINE_PFNS);
	} else {
		g_autofree char *name = g_strdup_printf("cpu%u.%s", cpu, place);

		snapshot_text(w->writer, "place", name);
	}
	snapshot_u64(w->writer, "slot", w->slot++ % IOVA_MAGAZINE_PFNS);
}

static void dma_iova_write_queued(void *data, const struct fq_queued *queued)
{
	struct dma_iova_writer *w = data;
	uint64_t first = queued->pfn << w->dev->granule_lg2;

	umap_insert(&w->told, queued->pfn);
	dma_iova_fact(w, "queued", first, first + ((queued->granules << w->dev->granule_lg2) - 1));
	snapshot_owner(w->writer, queued->actor);
	snapshot_u64(w->writer, "cpu", queued->ring);
	snapshot_u64(w->writer, "time_ns", queued->time_ns);
	snapshot_u64(w->writer, "flushes", queued->flushes);
	snapshot_u64(w->writer, "tables", queued->page_count);
}

static void dma_iova_write_flushqueue(const struct dma_iova_writer *w, const struct fq *fq)
{
	struct fq_state state = fq_state(fq);
	uint32_t head, tail;

	snapshot_fact(w->writer, "flushqueue");
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_u64(w->writer, "started", state.started);
	snapshot_u64(w->writer, "finished", state.finished);
	if (state.timer_on)
		snapshot_u64(w->writer, "timer_cpu", state.timer_cpu);
	for (unsigned ring = 0; ring < fq_ring_count(fq); ring++) {
		fq_ring_ends(fq, ring, &head, &tail);
		snapshot_fact(w->writer, "ring");
		snapshot_u64(w->writer, "domain", w->dev->domain->id);
		snapshot_u64(w->writer, "cpu", ring);
		snapshot_u64(w->writer, "entries", state.ring_entries);
		snapshot_u64(w->writer, "head", head);
		snapshot_u64(w->writer, "tail", tail);
	}
	fq_each(fq, dma_iova_write_queued, (void *)w);
}

/** A node of the tree is held, waits for a flush, is parked in a cache, or reserved. All but the last were written from
 *  their lists. */
static void dma_iova_write_range(void *data, uint64_t lo, uint64_t hi)
{
	struct dma_iova_writer *w = data;

	if (!umap_find(&w->dev->live, lo) && !umap_find(&w->told, lo))
		dma_iova_fact(w, "reserved", lo << w->dev->granule_lg2,
			      ((hi + 1) << w->dev->granule_lg2) - 1);
}

static void dma_iova_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iova_writer w = {.writer = writer, .dev = data};

	if (!dma_use_iommu(w.dev))
		return;
	umap_init(&w.told);
	dma_iova_write_allocator(&w);
	iova_each_cached(w.dev->iovad, dma_iova_write_cached, &w);
	if (w.dev->fq)
		dma_iova_write_flushqueue(&w, w.dev->fq);
	dma_live_each(w.dev, dma_iova_write_live, &w);
	iova_each_range(w.dev->iovad, dma_iova_write_range, &w);
	umap_finish(&w.told);
}

static void dma_held_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iova_writer w = {.writer = writer, .dev = data};

	if (dma_use_iommu(w.dev))
		dma_live_each(w.dev, dma_iova_write_live, &w);
}

/* Where the search begins, and which slot of a magazine: what comes of it is told. */
static const char *const dma_allocator_unseen[] = {"cached_pfn",       "cached32_pfn", "dma_32bit_pfn",
						   "max32_alloc_size", "rcaches",      NULL};
static const char *const dma_cached_unseen[] = {"magazine", "slot", NULL};
static const char *const dma_depot_unseen[] = {"magazines", "timer", NULL};
static const char *const dma_queue_unseen[] = {"started", "finished", "timer_cpu", NULL};
static const char *const dma_queued_unseen[] = {"flushes", "tables", NULL};
static const char *const dma_ring_unseen[] = {"entries", "head", "tail", NULL};

static const char *const dma_cached_changes[] = {
	"order", "IOVA cached in another size class", "place", "IOVA cached elsewhere", NULL,
};

static const char *const dma_live_changes[] = {"owner", "IOVA held by another request", NULL};

static const struct snapshot_noun dma_iova_nouns[] = {
	{.name = "allocator", .keys = {"domain"}, .unseen = dma_allocator_unseen},
	{.name = "cached",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .unseen = dma_cached_unseen,
	 .added = "IOVA parked in a cache",
	 .removed = "IOVA no longer in a cache",
	 .changed = "cached IOVA changed",
	 .field_changed = dma_cached_changes},
	{.name = "depot", .keys = {"domain", "order"}, .unseen = dma_depot_unseen},
	{.name = "flushqueue", .keys = {"domain"}, .unseen = dma_queue_unseen},
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
	 .unseen = dma_queued_unseen,
	 .added = "flush pending",
	 .removed = "flush no longer pending",
	 .changed = "pending flush changed"},
	{.name = "reserved",
	 .keys = {"domain", "range"},
	 .range = "range",
	 .added = "IOVA reserved",
	 .removed = "IOVA no longer reserved",
	 .changed = "reserved IOVA changed"},
	{.name = "ring", .keys = {"domain", "cpu"}, .unseen = dma_ring_unseen},
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

#define OF_DOMAIN(of, what)                                                                      \
	{                                                                                        \
		.kind = SNAPSHOT_VALUE_EXISTS, .noun = of, .field = "domain", .other = "domain", \
		.other_field = "id", .says = what " of a domain that does not exist"             \
	}
#define APART(of, from, what)                                                         \
	{                                                                             \
		.kind = SNAPSHOT_APART, .noun = of, .field = "domain", .other = from, \
		.other_field = "domain", .says = what                                 \
	}

static const struct snapshot_rule dma_iova_rules[] = {
	OF_DOMAIN("allocator", "allocator"),
	OF_DOMAIN("cached", "cached IOVA"),
	OF_DOMAIN("depot", "depot"),
	OF_DOMAIN("flushqueue", "flush queue"),
	OF_DOMAIN("live", "IOVA"),
	OF_DOMAIN("queued", "queued IOVA"),
	OF_DOMAIN("reserved", "reserved IOVA"),
	OF_DOMAIN("ring", "ring"),
	{.kind = SNAPSHOT_DISJOINT, .noun = "cached", .says = "cached IOVAs overlap"},
	{.kind = SNAPSHOT_DISJOINT, .noun = "live", .says = "held IOVAs overlap"},
	{.kind = SNAPSHOT_DISJOINT, .noun = "queued", .says = "queued IOVAs overlap"},
	{.kind = SNAPSHOT_DISJOINT, .noun = "reserved", .says = "reserved IOVAs overlap"},
	APART("cached", "live", "cached IOVA that is held as well"),
	APART("cached", "queued", "cached IOVA that waits for a flush as well"),
	APART("cached", "reserved", "cached IOVA that is reserved as well"),
	APART("live", "queued", "held IOVA that waits for a flush as well"),
	APART("live", "reserved", "held IOVA that is reserved as well"),
	APART("queued", "reserved", "queued IOVA that is reserved as well"),
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "queued",
	 .field = "domain,cpu",
	 .other = "ring",
	 .other_field = "domain,cpu",
	 .says = "queued IOVA in no ring"},
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "ring",
	 .field = "domain",
	 .other = "flushqueue",
	 .other_field = "domain",
	 .says = "ring of no flush queue"},
	{.kind = SNAPSHOT_AT_MOST,
	 .noun = "flushqueue",
	 .field = "finished",
	 .other_field = "started",
	 .says = "more flushes finished than started"},
	{.kind = SNAPSHOT_BELOW,
	 .noun = "ring",
	 .field = "head",
	 .other_field = "entries",
	 .says = "head behind the ring"},
	{.kind = SNAPSHOT_BELOW,
	 .noun = "ring",
	 .field = "tail",
	 .other_field = "entries",
	 .says = "tail behind the ring"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "live",
	 .field = "by",
	 .other_field = "dma_map_phys,dma_iova_try_alloc,dma_alloc_coherent,dma_map_sg",
	 .says = "no call that takes an IOVA"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "depot",
	 .field = "timer",
	 .other_field = "armed,off",
	 .says = "neither armed nor off"},
	{0},
};

static const struct snapshot_rule dma_held_rules[] = {
	OF_DOMAIN("live", "IOVA"),
	{.kind = SNAPSHOT_DISJOINT, .noun = "live", .says = "held IOVAs overlap"},
	{0},
};

const struct snapshot_section dma_iova_section = {"iova", dma_iova_nouns, dma_iova_write, dma_iova_rules,
						  &dma_iova_judge};
const struct snapshot_section dma_held_section = {"held", dma_held_nouns, dma_held_write, dma_held_rules};

/* ---- mapping ---- */

static const char *const dma_prot_names[] = {"none", "r", "w", "rw"};

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
	if (!w->len)
		return;
	snapshot_fact(w->writer, "map");
	snapshot_u64(w->writer, "domain", w->dev->domain->id);
	snapshot_range(w->writer, "iova", w->iova, w->iova + w->len - 1);
	snapshot_hex(w->writer, "pa", w->paddr, 16);
	snapshot_text(w->writer, "prot", dma_prot_names[w->prot & (PROT_READ | PROT_WRITE)]);
	if (w->held)
		snapshot_owner(w->writer, w->live.actor);
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
	OF_DOMAIN("map", "mapping"),
	{.kind = SNAPSHOT_DISJOINT, .noun = "map", .says = "mappings overlap"},
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "map",
	 .field = "domain",
	 .other = "live",
	 .other_field = "domain",
	 .unless = "owner=none",
	 .says = "mapping outside every IOVA that is held"},
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "map",
	 .field = "domain,owner",
	 .other = "live",
	 .other_field = "domain,owner",
	 .unless = "owner=none",
	 .says = "mapping in an IOVA of another owner"},
	{.kind = SNAPSHOT_APART,
	 .noun = "map",
	 .field = "domain",
	 .other = "live",
	 .other_field = "domain",
	 .unless = "owner!=none",
	 .says = "mapping of nobody in an IOVA that is held"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "map",
	 .field = "prot",
	 .other_field = "none,r,w,rw",
	 .says = "no permission"},
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "map",
	 .field = "domain",
	 .other = "leaf",
	 .other_field = "domain",
	 .says = "mapping that the page table does not have"},
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

const struct snapshot_section dma_pgtable_section = {
	PGTABLE_SECTION, pgtable_section_nouns, dma_pgtable_write, pgtable_section_rules, &dma_pgtable_judge};

/* ---- iotlb ---- */

struct dma_iotlb_writer {
	struct snapshot_writer *writer;
	const struct dma_device *dev;
	const char *noun;
	GArray *queued;		   /* of struct dma_queued, by first */
	GHashTable *queued_tables; /* physical addresses of tables that wait for a flush */
};

struct dma_queued {
	uint64_t first, last;
};

static void dma_iotlb_note_queued(void *data, const struct fq_queued *queued)
{
	struct dma_iotlb_writer *w = data;
	uint64_t first = queued->pfn << w->dev->granule_lg2;
	struct dma_queued range = {first, first + ((queued->granules << w->dev->granule_lg2) - 1)};

	g_array_append_val(w->queued, range);
	for (uint32_t i = 0; i < queued->page_count; i++)
		g_hash_table_add(w->queued_tables, g_memdup2(&queued->pages[i], sizeof(uint64_t)));
}

static int dma_compare_queued(const void *a, const void *b)
{
	const struct dma_queued *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static bool dma_is_queued(const struct dma_iotlb_writer *w, uint64_t iova)
{
	guint low = 0, high = w->queued->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		const struct dma_queued *at = &g_array_index(w->queued, struct dma_queued, middle);

		if (iova >= at->first && iova <= at->last)
			return true;
		if (iova < at->first)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/** What an entry for [@iova, @last] that leads to @paddr is worth: whether the page table agrees; where it does not, whether a
 *  flush is on its way. */
static const char *dma_iotlb_state(const struct dma_iotlb_writer *w, uint64_t iova, uint64_t last,
				   uint64_t paddr, unsigned prot)
{
	const struct pgtable *pt = w->dev->domain->pt;
	bool pending = false;
	struct pgtable_walk now;
	uint64_t step;

	for (uint64_t at = iova; at <= last; at += step) {
		bool agrees = pt->ops->walk(pt, at, &now) && now.paddr == paddr + (at - iova) &&
			      ((now.prot ^ prot) & (PROT_READ | PROT_WRITE)) == 0;

		if (!agrees && !dma_is_queued(w, at))
			return "stale";
		pending |= !agrees;
		step = agrees ? now.leaf_size - (at & (now.leaf_size - 1)) : FRAME_SIZE;
		if (last - at < step)
			break;
	}
	return pending ? "pending" : "valid";
}

static void dma_iotlb_entry(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			    unsigned prot)
{
	struct dma_iotlb_writer *w = data;

	if (domain != w->dev->domain->id)
		return;
	snapshot_fact(w->writer, w->noun);
	snapshot_u64(w->writer, "domain", domain);
	snapshot_range(w->writer, "iova", iova, iova + size - 1);
	snapshot_hex(w->writer, "pa", paddr, 16);
	snapshot_text(w->writer, "prot", dma_prot_names[prot & (PROT_READ | PROT_WRITE)]);
	snapshot_text(w->writer, "state", dma_iotlb_state(w, iova, iova + size - 1, paddr, prot));
}

static void dma_iotlb_walk(void *data, const struct iotlb_walk *walk)
{
	struct dma_iotlb_writer *w = data;
	const struct pgtable *pt = w->dev->domain->pt;
	const char *state = "valid";
	struct pgtable_walk now;

	if (walk->domain != w->dev->domain->id)
		return;
	pt->ops->walk(pt, walk->first, &now);
	if (now.table[walk->level] != walk->table)
		state = g_hash_table_contains(w->queued_tables, &walk->table) ? "pending" : "stale";
	snapshot_fact(w->writer, "walk");
	snapshot_u64(w->writer, "domain", walk->domain);
	snapshot_u64(w->writer, "level", walk->level);
	snapshot_range(w->writer, "iova", walk->first, walk->last);
	snapshot_hex(w->writer, "table", walk->table, 16);
	snapshot_text(w->writer, "state", state);
}

static void dma_iotlb_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	struct dma_iotlb_writer w = {.writer = writer, .dev = data, .noun = "iotlb"};

	if (!dma_use_iommu(w.dev))
		return;
	w.queued = g_array_new(FALSE, FALSE, sizeof(struct dma_queued));
	w.queued_tables = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	if (w.dev->fq)
		fq_each(w.dev->fq, dma_iotlb_note_queued, &w);
	g_array_sort(w.queued, dma_compare_queued);
	iotlb_dump(w.dev->domain->iommu->tlb, dma_iotlb_entry, &w);
	iotlb_dump_walks(w.dev->domain->iommu->tlb, dma_iotlb_walk, &w);
	w.noun = "devtlb";
	if (w.dev->domain->device_tlb)
		iotlb_dump(w.dev->domain->device_tlb, dma_iotlb_entry, &w);
	g_hash_table_unref(w.queued_tables);
	g_array_unref(w.queued);
}

static const char *const dma_iotlb_changes[] = {
	"state=stale", "stale IOTLB entry", "state=pending", "IOTLB entry waits for a flush", NULL,
};
static const char *const dma_devtlb_changes[] = {
	"state=stale",
	"stale entry of the device's cache",
	"state=pending",
	"entry of the device's cache waits for a flush",
	NULL,
};
static const char *const dma_walk_changes[] = {
	"state=stale",
	"stale entry of the walk cache",
	"state=pending",
	"entry of the walk cache waits for a flush",
	NULL,
};
static const char *const dma_walk_unseen[] = {"table", NULL}; /* where a table lies is chance */

static const struct snapshot_noun dma_iotlb_nouns[] = {
	{.name = "devtlb",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "entry of the device's cache added",
	 .removed = "entry of the device's cache removed",
	 .changed = "entry of the device's cache changed",
	 .moved = "entry of the device's cache of another page",
	 .field_changed = dma_devtlb_changes},
	{.name = "iotlb",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "IOTLB entry added",
	 .removed = "IOTLB entry removed",
	 .changed = "IOTLB entry changed",
	 .moved = "IOTLB entry of another page",
	 .field_changed = dma_iotlb_changes},
	{.name = "walk",
	 .keys = {"domain", "level", "iova"},
	 .range = "iova",
	 .unseen = dma_walk_unseen,
	 .added = "entry of the walk cache added",
	 .removed = "entry of the walk cache removed",
	 .changed = "entry of the walk cache changed",
	 .field_changed = dma_walk_changes},
	{0},
};

/* An entry is what the page table says; or a flush of some of it is on its way; or it is called stale. */
#define CACHE_RULES(of, what)                                                                         \
	OF_DOMAIN(of, what),                                                                          \
		{.kind = SNAPSHOT_ONE_OF,                                                             \
		 .noun = of,                                                                          \
		 .field = "state",                                                                    \
		 .other_field = "valid,pending,stale",                                                \
		 .says = what " neither valid nor pending nor stale"},                                \
		{.kind = SNAPSHOT_COVERED_BY,                                                         \
		 .noun = of,                                                                          \
		 .field = "domain",                                                                   \
		 .other = "map",                                                                      \
		 .other_field = "domain",                                                             \
		 .unless = "state!=valid",                                                            \
		 .says = what " said to be valid, where the page table says otherwise",               \
		 .alike = "pa,prot"},                                                                 \
		{.kind = SNAPSHOT_COVERED_BY,                                                         \
		 .noun = of,                                                                          \
		 .field = "domain",                                                                   \
		 .other = "map",                                                                      \
		 .other_field = "domain",                                                             \
		 .unless = "state=valid",                                                             \
		 .says = what " not said to be valid, where the page table says the same",            \
		 .alike = "pa,prot",                                                                  \
		 .opposite = true},                                                                   \
	{                                                                                             \
		.kind = SNAPSHOT_APART, .noun = of, .field = "domain", .other = "queued",             \
		.other_field = "domain", .unless = "state!=pending",                                  \
		.says = what " said to be pending, where nothing waits for a flush", .opposite = true \
	}

#define WALK_RULE(condition, is, what)                                                                 \
	{                                                                                              \
		.kind = SNAPSHOT_VALUE_EXISTS, .noun = "walk", .field = "domain,level,table",          \
		.other = "table", .other_field = "domain,level,pa", .unless = condition, .says = what, \
		.opposite = is                                                                         \
	}

static const struct snapshot_rule dma_iotlb_rules[] = {
	CACHE_RULES("devtlb", "entry of the device's cache"),
	CACHE_RULES("iotlb", "IOTLB entry"),
	OF_DOMAIN("walk", "entry of the walk cache"),
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "walk",
	 .field = "state",
	 .other_field = "valid,pending,stale",
	 .says = "entry of the walk cache neither valid nor pending nor stale"},
	WALK_RULE("state!=valid", false, "entry of the walk cache said to be valid, but of no page table"),
	WALK_RULE("state!=stale", true, "entry of the walk cache said to be stale, but of a page table"),
	{.kind = SNAPSHOT_DISJOINT, .noun = "walk", .says = "entries of the walk cache overlap"},
	{0},
};

const struct snapshot_section dma_iotlb_section = {"iotlb", dma_iotlb_nouns, dma_iotlb_write, dma_iotlb_rules,
						   NULL};
