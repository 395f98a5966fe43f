/* SPDX-License-Identifier: MIT */
#include "iommu/dma/fq.h"

#include "sim/fault/fault.h"

struct fq_entry {
	uint64_t pfn;
	uint64_t granules;
	uint64_t *pages; /* table pages that the hardware may still walk */
	uint32_t page_count;
	uint64_t counter; /* flushes started when it was queued */
	uint64_t time_ns;
	uint64_t actor;
};

struct fq_ring {
	struct fq_entry *entries;
	uint32_t head, tail; /* oldest, next free; equal: empty */
	struct sim_lock lock;
};

struct fq {
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct sim *sim;
	struct fq_ring *rings;
	unsigned ring_count; /* CPUs, or 1 */
	uint32_t size;	     /* of a ring; one slot stays free */
	uint64_t timeout_ns;
	uint64_t flush_start, flush_finish;
	uint64_t noticed; /* of those that finished, by whoever queues */
	bool held;
	uint64_t flush_ns; /* when the last flush was */
	bool timer_on;
	unsigned timer_cpu;
	unsigned event_kind, id;
	struct fq_stats stats;
	struct histogram windows;
};

struct fq *fq_new(struct iommu_domain *domain, struct iova_domain *iovad, bool single, uint64_t tick_ns,
		  unsigned event_kind, unsigned id)
{
	struct sim *sim = domain->iommu->sim;
	struct fq *fq;

	if (sim_fault(sim, FAULT_IOVA_FQ))
		return NULL;
	fq = g_new0(struct fq, 1);
	fq->domain = domain;
	fq->iovad = iovad;
	fq->sim = sim;
	fq->ring_count = single ? 1 : sim->cpu_count;
	fq->size = single ? FQ_SINGLE_ENTRIES : FQ_PERCPU_ENTRIES;
	fq->timeout_ns = single ? FQ_SINGLE_NS : FQ_PERCPU_NS;
	fq->timeout_ns = (fq->timeout_ns + tick_ns - 1) / tick_ns * tick_ns;
	fq->event_kind = event_kind;
	fq->id = id;
	fq->rings = g_new0(struct fq_ring, fq->ring_count);
	for (unsigned i = 0; i < fq->ring_count; i++) {
		fq->rings[i].entries = g_new0(struct fq_entry, fq->size);
		fq->rings[i].lock.name = "flush queue";
	}
	return fq;
}

static void fq_free_pages(struct fq *fq, struct fq_entry *entry)
{
	for (uint32_t i = 0; i < entry->page_count; i++)
		physmem_free(&fq->sim->mem, entry->pages[i], 0);
	g_clear_pointer(&entry->pages, g_free);
	entry->page_count = 0;
}

void fq_free(struct fq *fq)
{
	if (!fq)
		return;
	for (unsigned i = 0; i < fq->ring_count; i++) {
		struct fq_ring *ring = &fq->rings[i];

		for (; ring->head != ring->tail; ring->head = (ring->head + 1) % fq->size)
			fq_free_pages(fq, &ring->entries[ring->head]);
		g_free(ring->entries);
	}
	g_free(fq->rings);
	g_free(fq);
}

/** Invalidates everything of the domain: whatever was queued before is covered by it. */
static void fq_flush(struct fq *fq)
{
	uint64_t from_ps = fq->sim->cursor_ps;

	fq->flush_start++;
	fq->domain->iommu->ops->flush_iotlb_all(fq->domain);
	fq->flush_finish++;
	if (!fq->held)
		fq->noticed = fq->flush_finish;
	fq->flush_ns = fq->sim->now_ns;
	SIM_ANNOUNCE(fq->sim, invalidate, fq->domain->id, 0, UINT64_MAX);
	SIM_TOOK(fq->sim, .what = SPAN_FLUSH, .from_ps = from_ps);
}

void fq_hold(struct fq *fq, bool held)
{
	fq->held = held;
	if (!held)
		fq->noticed = fq->flush_finish;
}

/** Gives back what the first @finished flushes have covered, to the magazines of the CPU that runs this. */
static void fq_reap(struct fq *fq, struct fq_ring *ring, uint64_t finished)
{
	uint64_t from_ps = fq->sim->cursor_ps;
	uint32_t count = 0;

	for (; ring->head != ring->tail; ring->head = (ring->head + 1) % fq->size) {
		struct fq_entry *entry = &ring->entries[ring->head];
		uint64_t window_ns = fq->flush_ns - entry->time_ns;

		if (entry->counter >= finished)
			break;
		histogram_add(&fq->windows, window_ns);
		fq_free_pages(fq, entry);
		SIM_ANNOUNCE(fq->sim, iova_return, entry->pfn, entry->granules);
		iova_free_fast(fq->iovad, entry->pfn, entry->granules);
		count++;
	}
	if (count)
		SIM_TOOK(fq->sim, .what = SPAN_FREE, .from_ps = from_ps, .count = count);
}

static void fq_append(struct fq *fq, struct fq_ring *ring, uint64_t pfn, uint64_t granules,
		      struct pgtable_gather *gather)
{
	struct fq_entry *entry = &ring->entries[ring->tail];

	*entry = (struct fq_entry){.pfn = pfn,
				   .granules = granules,
				   .counter = fq->flush_start,
				   .time_ns = fq->sim->now_ns,
				   .actor = fq->sim->actor};
	if (gather->free_count) {
		entry->pages = g_memdup2(gather->freelist, gather->free_count * sizeof(uint64_t));
		entry->page_count = gather->free_count;
		gather->free_count = 0;
	}
	ring->tail = (ring->tail + 1) % fq->size;
}

void fq_queue(struct fq *fq, uint64_t pfn, uint64_t granules, struct pgtable_gather *gather)
{
	struct fq_ring *ring = &fq->rings[fq->ring_count == 1 ? 0 : fq->sim->cpu];
	uint64_t from_ps = fq->sim->cursor_ps;

	sim_lock(fq->sim, &ring->lock);
	fq_reap(fq, ring, fq->noticed);
	if ((ring->tail + 1) % fq->size == ring->head) {
		fq->stats.flushes_full++;
		fq_flush(fq);
		fq_reap(fq, ring, fq->flush_finish);
	}
	fq_append(fq, ring, pfn, granules, gather);
	sim_unlock(fq->sim, &ring->lock);
	SIM_TOOK(fq->sim, .what = SPAN_DEFER, .from_ps = from_ps);
	fq->stats.queued++;
	if (!fq->timer_on) {
		fq->timer_on = true;
		fq->timer_cpu = fq->sim->cpu;
		SIM_ANNOUNCE(fq->sim, flush_timer, fq->timeout_ns);
		event_queue_push(&fq->sim->events, fq->sim->now_ns + fq->timeout_ns, fq->event_kind, fq->id);
	}
}

void fq_queued_now(struct fq *fq)
{
	struct fq_ring *ring = &fq->rings[fq->ring_count == 1 ? 0 : fq->sim->cpu];

	if (ring->head != ring->tail)
		ring->entries[(ring->tail + fq->size - 1) % fq->size].counter = fq->flush_start;
}

unsigned fq_timer_cpu(const struct fq *fq)
{
	return fq->timer_cpu;
}

void fq_timeout_flush(struct fq *fq)
{
	fq->timer_on = false;
	fq->stats.flushes_timer++;
	fq_flush(fq);
}

void fq_timeout_ring(struct fq *fq, unsigned ring)
{
	sim_lock(fq->sim, &fq->rings[ring].lock);
	fq_reap(fq, &fq->rings[ring], fq->flush_finish);
	sim_unlock(fq->sim, &fq->rings[ring].lock);
}

void fq_timeout(struct fq *fq)
{
	fq_timeout_flush(fq);
	for (unsigned i = 0; i < fq->ring_count; i++)
		fq_timeout_ring(fq, i);
}

unsigned fq_ring_count(const struct fq *fq)
{
	return fq->ring_count;
}

bool fq_ring_oldest(const struct fq *fq, unsigned ring, uint64_t *ret_pfn)
{
	const struct fq_ring *from = &fq->rings[ring];

	if (from->head == from->tail)
		return false;
	*ret_pfn = from->entries[from->head].pfn;
	return true;
}

const struct histogram *fq_windows(const struct fq *fq)
{
	return &fq->windows;
}

void fq_forget_windows(struct fq *fq)
{
	fq->windows = (struct histogram){0};
}

const struct fq_stats *fq_stats(const struct fq *fq)
{
	return &fq->stats;
}

void fq_add_locks(const struct fq *fq, struct sim_lock *sum,
		  void (*add)(struct sim_lock *sum, const struct sim_lock *lock))
{
	for (unsigned i = 0; i < fq->ring_count; i++)
		add(sum, &fq->rings[i].lock);
}

void fq_each(const struct fq *fq, fq_visitor fn, void *data)
{
	for (unsigned i = 0; i < fq->ring_count; i++) {
		const struct fq_ring *ring = &fq->rings[i];

		for (uint32_t at = ring->head; at != ring->tail; at = (at + 1) % fq->size) {
			const struct fq_entry *entry = &ring->entries[at];
			const struct fq_queued queued = {
				.pfn = entry->pfn,
				.granules = entry->granules,
				.ring = i,
				.flushes = entry->counter,
				.time_ns = entry->time_ns,
				.actor = entry->actor,
				.pages = entry->pages,
				.page_count = entry->page_count,
			};

			fn(data, &queued);
		}
	}
}

struct fq_state fq_state(const struct fq *fq)
{
	return (struct fq_state){
		.started = fq->flush_start,
		.finished = fq->flush_finish,
		.ring_entries = fq->size,
		.timer_on = fq->timer_on,
		.timer_cpu = fq->timer_cpu,
	};
}

void fq_ring_ends(const struct fq *fq, unsigned ring, uint32_t *ret_head, uint32_t *ret_tail)
{
	*ret_head = fq->rings[ring].head;
	*ret_tail = fq->rings[ring].tail;
}
