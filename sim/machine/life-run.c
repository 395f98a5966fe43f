/* SPDX-License-Identifier: MIT */
#include "sim/machine/life-run.h"

#include <string.h>

#include "blockdma/request.h"

#define PAGE_MASK (~(uint64_t)(FRAME_SIZE - 1)) /* devices move data page by page, and announce each */

static const enum io_op io_ops[REQ_OPS] = {
	[REQ_OP_READ] = IO_READ,
	[REQ_OP_WRITE] = IO_WRITE,
	[REQ_OP_FLUSH] = IO_FLUSH,
	[REQ_OP_DISCARD] = IO_DISCARD,
	[REQ_OP_WRITE_ZEROES] = IO_WRITE_ZEROES,
	[REQ_OP_DRV] = IO_PASSTHROUGH,
};

static struct life_when when_of(const struct sim *sim)
{
	return (struct life_when){.time_ns = sim->now_ns, .cpu = sim->cpu, .context = TRACE_CONTEXTS};
}

/** Nothing of a device happens on a CPU. */
static struct life_when when_of_device(const struct sim *sim)
{
	return (struct life_when){.time_ns = sim->now_ns, .cpu = UINT32_MAX, .context = TRACE_CONTEXTS};
}

static void hear_setup(void *data, struct sim *sim, const struct request *req, unsigned qid, unsigned tag)
{
	struct life_run *run = data;

	run->request = (struct life_request){.known = true,
					     .has_queue = true,
					     .has_place = true,
					     .op = io_ops[req->op],
					     .queue = (uint16_t)qid,
					     .tag = (uint16_t)tag,
					     .device = TRACE_NVME,
					     .lba = req->sector,
					     .bytes = req->bytes,
					     .number = req->number};
}

/* ---- the allocator ---- */

static uint64_t granule_of(const struct life_run *run)
{
	return UINT64_C(1) << run->machine->dev.granule_lg2;
}

static void hear_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			 uint64_t pfn)
{
	struct life_run *run = data;
	const struct iova_stats *stats = iova_stats(run->machine->iovad);

	if (stats->tree_allocs != run->tree_allocs)
		run->source = "from the tree";
	else if (stats->depot_pops != run->depot_pops)
		run->source = "from a magazine that was in the depot";
	else
		run->source = "from a magazine of this cpu";
	run->tree_allocs = stats->tree_allocs;
	run->depot_pops = stats->depot_pops;
}

static void hear_alloc_book(struct life_run *run, struct sim *sim, struct life_book *book, uint64_t iova,
			    uint64_t len)
{
	uint64_t granule = granule_of(run);
	struct life *life =
		life_alloc(book, when_of(sim), 0, iova, life_rounded(len / granule) * granule, len);
	struct dma_live live;

	if (!life)
		return;
	life_step_say(&g_array_index(life->steps, struct life_step, 0), "%" G_GUINT64_FORMAT " B, %s", len,
		      run->source);
	if (dma_live_find(&run->machine->dev, iova, &live) && live.taker == DMA_TAKER_COHERENT)
		life->owner = "coherent memory of the driver";
	else if (sim->actor && sim->actor == run->request.number)
		life->request = run->request;
	else
		life->owner = "the driver's set-up";
}

static void hear_alloc(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++)
		hear_alloc_book(run, sim, g_ptr_array_index(run->books, i), iova, len);
}

static void hear_return(void *data, struct sim *sim, uint64_t pfn, uint64_t granules)
{
	struct life_run *run = data;
	uint64_t granule = granule_of(run), first = pfn * granule;
	g_autofree char *text =
		granules > 1u << (IOVA_ORDERS - 1)
			? g_strdup("to the tree")
			: g_strdup_printf("to the magazines of cpu %u, class of %" G_GUINT64_FORMAT
					  " granules",
					  sim->cpu, life_rounded(granules));

	for (guint i = 0; i < run->books->len; i++) {
		struct life_book *book = g_ptr_array_index(run->books, i);
		const struct life *life = life_book_open(book, 0);
		g_autofree char *wrong = NULL;

		if (life && life->asked && life->asked != granules * granule)
			wrong = g_strdup_printf("%s; %" G_GUINT64_FORMAT " B, not the %" G_GUINT64_FORMAT
						" B that were allocated",
						text, granules * granule, life->asked);
		life_free(book, when_of(sim), 0, first, life_rounded(granules) * granule,
			  wrong ? wrong : text);
	}
}

/** Returns the last life of @book, if it is over: its range is in the allocator's hands. */
static struct life *cached_life(const struct life_book *book)
{
	if (!book->lives->len || life_book_open(book, 0))
		return NULL;
	return g_ptr_array_index(book->lives, book->lives->len - 1);
}

static void say_place(struct life *life, struct life_when when, const char *place)
{
	if (strcmp(place, "loaded") == 0)
		life_step_say(life_add(life, LIFE_CACHE, when, 0, 0), "in the loaded magazine of cpu %u",
			      when.cpu);
	else if (strcmp(place, "prev") == 0)
		life_step_say(life_add(life, LIFE_CACHE, when, 0, 0), "in the second magazine of cpu %u",
			      when.cpu);
	else
		life_step_say(life_add(life, LIFE_CACHE, when, 0, 0), "in the %s", place);
}

static void hear_cache(void *data, struct sim *sim, const uint64_t *pfns, uint64_t count, const char *place)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++) {
		struct life *life = cached_life(g_ptr_array_index(run->books, i));

		for (uint64_t k = 0; life && k < count; k++)
			if (pfns[k] * granule_of(run) == life->first)
				say_place(life, when_of(sim), place);
	}
}

static void note_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	struct life_run *run = data;
	struct life_when when = when_of(run->machine->sim);

	when.cpu = cpu;
	for (guint i = 0; i < run->books->len; i++) {
		struct life *life = cached_life(g_ptr_array_index(run->books, i));

		if (life && pfn * granule_of(run) == life->first)
			say_place(life, when, place);
	}
}

/* ---- the page table and the IOTLB ---- */

static void hear_map(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		     uint64_t len, unsigned prot)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++) {
		struct life *life = life_map(g_ptr_array_index(run->books, i), when_of(sim), iova, len, paddr,
					     prot & (LIFE_READ | LIFE_WRITE));

		if (life)
			g_ptr_array_add(run->mapped, life);
	}
}

static void hear_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
		       uint64_t unmapped)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++)
		life_unmap(g_ptr_array_index(run->books, i), when_of(sim), LIFE_UNMAP, iova, unmapped);
}

static void hear_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	struct life_run *run = data;
	bool all = first == 0 && last == UINT64_MAX;

	for (guint i = 0; i < run->books->len; i++)
		life_flush(g_ptr_array_index(run->books, i), when_of(sim), 0, first, last, all,
			   all ? "with everything of its domain" : NULL);
}

/* ---- the device ---- */

static void hear_translate(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
			   bool hit)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++) {
		struct life_book *book = g_ptr_array_index(run->books, i);

		if ((iova & PAGE_MASK) == (book->iova & PAGE_MASK))
			life_access(book, when_of_device(sim),
				    (paddr & PAGE_MASK) + (book->iova & ~PAGE_MASK),
				    hit ? "translated by the IOTLB" : "translated by a walk");
	}
}

static void hear_fault(void *data, struct sim *sim, unsigned domain, uint64_t iova, bool write)
{
	struct life_run *run = data;

	for (guint i = 0; i < run->books->len; i++) {
		struct life_book *book = g_ptr_array_index(run->books, i);

		if ((iova & PAGE_MASK) == (book->iova & PAGE_MASK))
			life_fault(book, when_of_device(sim), write ? LIFE_WRITE : LIFE_READ);
	}
}

/* ---- the DMA interface ---- */

/** Says of the maps since the last call which segment they were for. */
static void hear_link(struct life_run *run, const struct dma_call *call)
{
	run->links = call->offset ? run->links + 1 : 1;
	for (guint i = 0; i < run->mapped->len; i++) {
		struct life *life = g_ptr_array_index(run->mapped, i);
		struct life_step *step = &g_array_index(life->steps, struct life_step, life->steps->len - 1);

		if (step->kind == LIFE_MAP)
			life_step_say(step,
				      "segment %u, %" G_GUINT64_FORMAT " B at offset %" G_GUINT64_FORMAT,
				      run->links, call->size, call->offset);
	}
}

/** @call->size bytes are behind @call->addr, or will be. */
static void hear_data(struct life_run *run, const struct dma_call *call)
{
	for (guint i = 0; call->addr && call->addr != DMA_MAPPING_ERROR && i < run->books->len; i++) {
		struct life *life = life_book_open(g_ptr_array_index(run->books, i), 0);

		if (life && call->addr >= life->first && call->addr <= life->last)
			life_data(life, call->addr, call->size);
	}
}

static void hear_call(void *data, struct sim *sim, const struct dma_call *call)
{
	struct life_run *run = data;

	if (call->kind == DMA_CALL_LINK)
		hear_link(run, call);
	else if (call->kind == DMA_CALL_TRY_ALLOC || call->kind == DMA_CALL_MAP_PHYS)
		hear_data(run, call);
	g_ptr_array_set_size(run->mapped, 0);
}

void life_run_init(struct life_run *run, struct machine *machine, GPtrArray *books)
{
	*run = (struct life_run){.machine = machine,
				 .books = books,
				 .source = "from the tree",
				 .mapped = g_ptr_array_new(),
				 .observer = {.nvme_setup = hear_setup,
					      .iova_attempt = hear_attempt,
					      .iova_alloc = hear_alloc,
					      .iova_return = hear_return,
					      .iova_cache = hear_cache,
					      .map = hear_map,
					      .unmap = hear_unmap,
					      .invalidate = hear_invalidate,
					      .translate = hear_translate,
					      .io_page_fault = hear_fault,
					      .dma_call = hear_call}};
	run->observer.data = run;
	for (guint i = 0; i < books->len; i++)
		for (unsigned k = 0; k < machine->config.reserved_count; k++)
			life_reserve(g_ptr_array_index(books, i), machine->config.reserved[k].first,
				     machine->config.reserved[k].last);
	sim_observe(machine->sim, &run->observer);
}

void life_run_end(struct life_run *run)
{
	if (run->machine->iovad)
		iova_each_cached(run->machine->iovad, note_cached, run);
}

void life_run_finish(struct life_run *run)
{
	if (run->mapped)
		g_ptr_array_free(run->mapped, TRUE);
	run->mapped = NULL;
}
