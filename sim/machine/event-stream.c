/* SPDX-License-Identifier: MIT */
#include "sim/machine/event-stream.h"

#include <string.h>

#include "blockdma/request.h"
#include "iommu/dma/dma.h"
#include "sim/core/text.h"

#define NUMBERS_MAX 7

/** An announcement: what it is called, and its numbers with their names. */
struct stream_event {
	const char *name;
	const char *names[NUMBERS_MAX];
	uint64_t numbers[NUMBERS_MAX];
	const char *text; /* NULL: none */
};

/* FNV-1a, a word at a time. */
static uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; text && *text; text++)
		hash = hash_word(hash, (uint8_t)*text);
	return hash;
}

static uint64_t hash_event(const struct sim *sim, const struct stream_event *event)
{
	uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), event->name);

	hash = hash_word(hash, sim->now_ns);
	hash = hash_word(hash, sim->cpu);
	hash = hash_word(hash, sim->actor);
	hash = hash_text(hash, sim->device);
	for (unsigned i = 0; i < NUMBERS_MAX && event->names[i]; i++)
		hash = hash_word(hash, event->numbers[i]);
	return hash_text(hash, event->text);
}

static char *tell_event(const struct sim *sim, const struct stream_event *event)
{
	g_autofree char *time = text_time(sim->now_ns);
	GString *text = g_string_new(NULL);

	g_string_printf(text, "at %s, cpu %u", time, sim->cpu);
	if (sim->device)
		g_string_append_printf(text, ", %s", sim->device);
	if (sim->actor)
		g_string_append_printf(text, ", request %" G_GUINT64_FORMAT, sim->actor);
	g_string_append_printf(text, ": %s", event->name);
	for (unsigned i = 0; i < NUMBERS_MAX && event->names[i]; i++)
		g_string_append_printf(text, " %s=0x%" G_GINT64_MODIFIER "x", event->names[i],
				       event->numbers[i]);
	if (event->text)
		g_string_append_printf(text, " %s", event->text);
	return g_string_free(text, FALSE);
}

static void hear(struct event_stream *stream, const struct sim *sim, const struct stream_event *event)
{
	uint64_t number = stream->count++, hash, other;

	if (stream->kind == EVENT_STREAM_COMPARE && stream->wanted == UINT64_MAX) {
		hash = hash_event(sim, event);
		if (fread(&other, sizeof(other), 1, stream->file) != 1 || other != hash)
			stream->wanted = number;
	} else if (stream->kind == EVENT_STREAM_WRITE) {
		hash = hash_event(sim, event);
		fwrite(&hash, sizeof(hash), 1, stream->file);
	}
	if (number != stream->wanted)
		return;
	stream->told = tell_event(sim, event);
	stream->time_ns = sim->now_ns;
}

#define HEAR(...) hear(data, sim, &(const struct stream_event){__VA_ARGS__})

static void heard_iova_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			       uint64_t pfn)
{
	HEAR("IOVA asked for", {"granules", "limit_pfn", "flush", "pfn"}, {granules, limit_pfn, flush, pfn});
}

static void heard_iova_return(void *data, struct sim *sim, uint64_t pfn, uint64_t granules)
{
	HEAR("IOVA given back", {"pfn", "granules"}, {pfn, granules});
}

static void heard_iova_cache(void *data, struct sim *sim, const uint64_t *pfns, uint64_t count,
			     const char *place)
{
	HEAR("IOVAs cached", {"pfn", "count"}, {count ? pfns[0] : 0, count}, place);
}

static void heard_nvme_setup(void *data, struct sim *sim, const struct request *req, unsigned qid,
			     unsigned tag)
{
	HEAR("command set up", {"request", "sector", "bytes", "qid", "tag"},
	     {req->number, req->sector, req->bytes, qid, tag});
}

static void heard_flush_timer(void *data, struct sim *sim, uint64_t delay_ns)
{
	HEAR("flush timer set", {"delay_ns"}, {delay_ns});
}

static const char *const dma_calls[] = {
	[DMA_CALL_TRY_ALLOC] = "dma_iova_try_alloc",
	[DMA_CALL_LINK] = "dma_iova_link",
	[DMA_CALL_SYNC] = "dma_iova_sync",
	[DMA_CALL_DESTROY] = "dma_iova_destroy",
	[DMA_CALL_MAP_PHYS] = "dma_map_phys",
	[DMA_CALL_UNMAP_PHYS] = "dma_unmap_phys",
	[DMA_CALL_MAP_SG] = "dma_map_sg",
	[DMA_CALL_UNMAP_SG] = "dma_unmap_sg",
	[DMA_CALL_BUS_ADDR] = "bus address",
	[DMA_CALL_VEC_ALLOC] = "no record of mappings",
	[DMA_CALL_USE_64BIT] = "no address below 4 GiB",
	[DMA_CALL_DEFERRED_ATTACH] = "deferred attach",
	[DMA_CALL_CACHE_FOR_DEVICE] = "cache written back",
	[DMA_CALL_CACHE_FOR_CPU] = "cache dropped",
	[DMA_CALL_CACHE_FLUSH] = "cache maintenance done",
	[DMA_CALL_BOUNCED] = "swiotlb_bounced",
	[DMA_CALL_BOUNCE_MAP] = "bounce slots taken",
	[DMA_CALL_BOUNCE_SYNC] = "bounce slots copied back",
	[DMA_CALL_BOUNCE_UNMAP] = "bounce slots given back",
	[DMA_CALL_BOUNCE_INACTIVE] = "no bounce pool",
};

static void heard_dma_call(void *data, struct sim *sim, const struct dma_call *call)
{
	HEAR(dma_calls[call->kind], {"paddr", "addr", "offset", "size", "error", "bounced", "allocated"},
	     {call->paddr, call->addr, call->offset, call->size, (uint64_t) - (int64_t)call->err,
	      call->bounced, call->allocated});
}

static void heard_found(void *data, struct sim *sim, unsigned kind, const char *text)
{
	HEAR(finding_kinds[kind].name, {NULL}, {0}, text);
}

static void heard_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		      uint64_t len_bytes, unsigned prot)
{
	HEAR("map", {"domain", "iova", "pa", "bytes", "prot"}, {domain, iova, paddr, len_bytes, prot});
}

static void heard_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len_bytes,
			uint64_t unmapped_bytes)
{
	HEAR("unmap", {"domain", "iova", "bytes", "unmapped_bytes"},
	     {domain, iova, len_bytes, unmapped_bytes});
}

static void heard_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	HEAR("invalidate", {"domain", "first", "last"}, {domain, first, last});
}

static void heard_translate(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
			    bool hit)
{
	HEAR("translate", {"domain", "iova", "pa", "hit"}, {domain, iova, paddr, hit});
}

static void heard_io_page_fault(void *data, struct sim *sim, unsigned domain, uint64_t iova, bool write)
{
	HEAR("I/O page fault", {"domain", "iova", "write"}, {domain, iova, write});
}

static void heard_ref_get(void *data, struct sim *sim, const char *object, const char *holder)
{
	g_autofree char *text = g_strdup_printf("on %s by %s", object, holder);

	HEAR("reference taken", {NULL}, {0}, text);
}

static void heard_ref_put(void *data, struct sim *sim, const char *object, const char *holder)
{
	g_autofree char *text = g_strdup_printf("on %s by %s", object, holder);

	HEAR("reference dropped", {NULL}, {0}, text);
}

void event_stream_init(struct event_stream *stream, struct sim *sim, enum event_stream_kind kind, FILE *file,
		       uint64_t wanted)
{
	*stream = (struct event_stream){
		.observer = {.iova_attempt = heard_iova_attempt,
			     .iova_return = heard_iova_return,
			     .iova_cache = heard_iova_cache,
			     .nvme_setup = heard_nvme_setup,
			     .flush_timer = heard_flush_timer,
			     .dma_call = heard_dma_call,
			     .found = heard_found,
			     .map = heard_map,
			     .unmap = heard_unmap,
			     .invalidate = heard_invalidate,
			     .translate = heard_translate,
			     .io_page_fault = heard_io_page_fault,
			     .ref_get = heard_ref_get,
			     .ref_put = heard_ref_put,
			     .data = stream},
		.kind = kind,
		.file = file,
		.wanted = kind == EVENT_STREAM_TELL ? wanted : UINT64_MAX,
	};
	sim_observe(sim, &stream->observer);
}

bool event_stream_end(struct event_stream *stream)
{
	uint64_t other;

	if (stream->kind == EVENT_STREAM_WRITE)
		return fflush(stream->file) == 0 && !ferror(stream->file);
	if (stream->kind == EVENT_STREAM_TELL)
		return true;
	if (stream->wanted == UINT64_MAX && fread(&other, sizeof(other), 1, stream->file) == 1)
		stream->wanted = stream->count;
	return !ferror(stream->file);
}

void event_stream_finish(struct event_stream *stream)
{
	g_clear_pointer(&stream->told, g_free);
}
