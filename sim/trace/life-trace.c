/* SPDX-License-Identifier: MIT */
#include "sim/trace/life-trace.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/trace/kevent.h"

#define GRANULE_BYTES 4096 /* where no iova_init tells */
#define CACHED_MAX    32   /* granules of the largest cached size */
#define DONE_MAX      8	   /* lives that one CPU ends before it says of which request */

/* VT-d's invalidation descriptors: specification section 6.5.2. */
#define QI_TYPE(qw0)	  ((qw0)&0xf)
#define QI_TYPE_IOTLB	  2
#define QI_GRANULARITY(q) ((q) >> 4 & 3)
#define QI_PAGE_SELECTIVE 3
#define QI_DOMAIN(qw0)	  ((qw0) >> 16 & 0xffff)
#define QI_ADDRESS(qw1)	  ((qw1) & ~UINT64_C(0xfff))
#define QI_MASK(qw1)	  ((qw1)&0x3f)

/** What one CPU, or one task, is in the middle of. */
struct doing {
	struct life_request request;
	bool set_up, issued; /* what was seen of it */
	const char *owner;   /* what else the next IOVA is for */
	bool allocating;     /* … alloc_granules for alloc_object */
	uint64_t alloc_granules, alloc_object;
	uint64_t try_paddr, try_bytes; /* of the data that the next IOVA is for; 0: not known */
	unsigned call_access;	       /* of the DMA call that is under way; 0: not known */
	unsigned links;		       /* of its segments */
	uint64_t link_offset, link_bytes;
	unsigned link_access; /* of the map to come; 0: it is no segment's */
	bool flushed;	      /* flushed_domain, since the last unmap */
	uint64_t flushed_domain;
	bool unmapping;	    /* nothing was done since the unmap */
	bool in_timer;	    /* of the flush queues */
	GPtrArray *fresh;   /* lives that wait to be told of their request */
	GPtrArray *mapping; /* lives whose map has not returned */
	GPtrArray *ended;   /* lives of no known request, until a completion says of which */
};

struct life_trace {
	GPtrArray *books;
	GHashTable *doing;   /* by task, or by CPU and context */
	GHashTable *flying;  /* device, queue and tag -> struct life_request */
	GHashTable *granule; /* object -> bytes */
	GHashTable *object;  /* domain of the IOMMU -> object, as far as it was learnt */
	struct life_scope *scope;
	bool issue_first, issue_last; /* which of set-up and issue comes first, once it is known */
	bool any;
};

/** Whether @name is the event's. */
static bool is_named(const struct kevent *event, const char *name)
{
	return event->name_len == strlen(name) && memcmp(event->name, name, event->name_len) == 0;
}

static void doing_free(void *data)
{
	struct doing *doing = data;

	g_ptr_array_free(doing->fresh, TRUE);
	g_ptr_array_free(doing->mapping, TRUE);
	g_ptr_array_free(doing->ended, TRUE);
	g_free(doing);
}

/** A task may move to another CPU; an interrupt has its own, whatever it interrupts. */
static struct doing *doing_of(struct life_trace *trace, const struct kevent *event)
{
	bool is_task = event->io.context == TRACE_TASK && event->pid;
	uint64_t key =
		is_task ? event->pid : UINT64_C(1) << 40 | (uint64_t)event->io.cpu << 8 | event->io.context;
	struct doing *doing = g_hash_table_lookup(trace->doing, &key);

	if (doing)
		return doing;
	doing = g_new0(struct doing, 1);
	doing->fresh = g_ptr_array_new();
	doing->mapping = g_ptr_array_new();
	doing->ended = g_ptr_array_new();
	g_hash_table_insert(trace->doing, g_memdup2(&key, sizeof(key)), doing);
	return doing;
}

static struct life_when when_of(const struct kevent *event)
{
	return (struct life_when){
		.time_ns = event->io.time_ns, .cpu = event->io.cpu, .context = event->io.context};
}

static uint64_t granule_of(const struct life_trace *trace, uint64_t object)
{
	const uint64_t *bytes = g_hash_table_lookup(trace->granule, &object);

	return bytes ? *bytes : GRANULE_BYTES;
}

static void remember(GHashTable *table, uint64_t key, uint64_t value)
{
	g_hash_table_replace(table, g_memdup2(&key, sizeof(key)), g_memdup2(&value, sizeof(value)));
}

/** enum dma_data_direction, as what the device may do; 0 where it is not told. */
static unsigned access_of_dir(const struct kevent *event)
{
	if (!kevent_has(event, KEVENT_DIR))
		return 0;
	return event->field[KEVENT_DIR] == 1   ? LIFE_READ
	       : event->field[KEVENT_DIR] == 2 ? LIFE_WRITE
					       : LIFE_READ | LIFE_WRITE;
}

/* ---- requests ---- */

static void set_request(struct doing *doing, struct life *life)
{
	if (life->owner)
		return;
	if (doing->owner) {
		life->owner = doing->owner;
		return;
	}
	life->request = doing->request;
	g_ptr_array_add(doing->fresh, life);
}

/** Tells the lives that began on the way of what is known by now. */
static void tell_fresh(struct doing *doing)
{
	for (guint i = 0; i < doing->fresh->len; i++) {
		struct life *life = g_ptr_array_index(doing->fresh, i);

		if (!life->owner)
			life->request = doing->request;
	}
}

static uint64_t command_key(uint32_t device, uint16_t queue, uint16_t tag)
{
	return (uint64_t)device << 32 | (uint64_t)queue << 16 | tag;
}

/** Remembers the request for its completion. */
static void note_flying(struct life_trace *trace, const struct life_request *request)
{
	uint64_t key = command_key(request->device, request->queue, request->tag);

	if (request->has_queue)
		g_hash_table_replace(trace->flying, g_memdup2(&key, sizeof(key)),
				     g_memdup2(request, sizeof(*request)));
}

static void doing_done(struct doing *doing)
{
	g_ptr_array_set_size(doing->fresh, 0);
	doing->request = (struct life_request){0};
	doing->set_up = doing->issued = false;
	doing->call_access = 0;
}

static void take_setup_fields(struct life_request *request, const struct trace_event *io)
{
	request->known = request->has_queue = true;
	request->device = io->device;
	request->queue = io->queue;
	request->tag = io->tag;
}

static void on_setup(struct life_trace *trace, struct doing *doing, const struct trace_event *io)
{
	bool after_issue = doing->issued && doing->fresh->len && !trace->issue_last;

	if (after_issue)
		trace->issue_first = true;
	else
		doing_done(doing);
	take_setup_fields(&doing->request, io);
	doing->set_up = true;
	tell_fresh(doing);
	note_flying(trace, &doing->request);
	if (after_issue)
		doing_done(doing);
}

static void on_issue(struct life_trace *trace, struct doing *doing, const struct trace_event *io)
{
	struct life_request *request = &doing->request;
	bool last = !trace->issue_first && (doing->set_up || doing->fresh->len);

	if (!last)
		doing_done(doing);
	trace->issue_last |= last && doing->set_up;
	request->known = request->has_place = true;
	if (!doing->set_up)
		request->device = io->device;
	request->op = io->op;
	request->lba = io->lba;
	request->bytes = io->bytes;
	doing->issued = true;
	tell_fresh(doing);
	note_flying(trace, request);
	/* Where set-ups come first, what follows belongs to another. */
	if (last || trace->issue_last)
		doing_done(doing);
}

/** A completion says whose mappings this CPU has just undone: that of the command, where there is one. */
static void on_nvme_complete(struct life_trace *trace, struct doing *doing, const struct trace_event *io)
{
	uint64_t key = command_key(io->device, io->queue, io->tag);
	const struct life_request *flying = g_hash_table_lookup(trace->flying, &key);

	for (guint i = 0; i < doing->ended->len; i++) {
		struct life *life = g_ptr_array_index(doing->ended, i);

		if (flying)
			life->request = *flying;
		else
			take_setup_fields(&life->request, io);
	}
	g_ptr_array_set_size(doing->ended, 0);
	g_hash_table_remove(trace->flying, &key);
}

static void on_block_complete(struct doing *doing, const struct trace_event *io)
{
	for (guint i = 0; i < doing->ended->len; i++) {
		struct life *life = g_ptr_array_index(doing->ended, i);

		life->request = (struct life_request){.known = true,
						      .has_place = true,
						      .device = io->device,
						      .op = io->op,
						      .lba = io->lba,
						      .bytes = io->bytes};
	}
	g_ptr_array_set_size(doing->ended, 0);
}

static void on_io(struct life_trace *trace, struct doing *doing, const struct trace_event *io)
{
	if (io->kind == TRACE_SETUP)
		on_setup(trace, doing, io);
	else if (io->kind == TRACE_ISSUE)
		on_issue(trace, doing, io);
	else if (io->kind == TRACE_NVME_COMPLETE)
		on_nvme_complete(trace, doing, io);
	else if (io->kind == TRACE_COMPLETE)
		on_block_complete(doing, io);
}

/* ---- the allocator ---- */

static void on_init(struct life_trace *trace, const struct kevent *event)
{
	uint64_t bytes = event->field[KEVENT_GRANULE];

	trace->scope->from_start = true;
	if (kevent_has(event, KEVENT_OBJECT) && bytes && !(bytes & (bytes - 1)))
		remember(trace->granule, event->field[KEVENT_OBJECT], bytes);
}

static void on_reserve(struct life_trace *trace, const struct kevent *event)
{
	uint64_t granule = granule_of(trace, event->field[KEVENT_OBJECT]);

	for (guint i = 0; i < trace->books->len; i++)
		life_reserve(g_ptr_array_index(trace->books, i), event->field[KEVENT_LO] * granule,
			     event->field[KEVENT_HI] * granule + granule - 1);
}

/** What became of the address between its last life and @life, as far as that tells of the allocator. */
static char *reuse_text(const struct life_book *book, const struct life *life, struct life_when when)
{
	const struct life *before;
	const struct life_step *end;
	g_autofree char *apart = NULL;

	if (life->number < 2)
		return NULL;
	before = g_ptr_array_index(book->lives, life->number - 2);
	end = &g_array_index(before->steps, struct life_step, before->steps->len - 1);
	if (end->kind != LIFE_FREE || before->object != life->object || end->when.time_ns > when.time_ns)
		return NULL;
	apart = text_time(when.time_ns - end->when.time_ns);
	if (before->first != life->first || before->last != life->last)
		return g_strdup_printf("; again after %s, as part of another range: from the tree", apart);
	if (end->when.cpu != when.cpu)
		return g_strdup_printf("; again after %s, freed on cpu %u: by way of depot or tree", apart,
				       end->when.cpu);
	return g_strdup_printf("; again after %s, freed on this cpu", apart);
}

static void on_alloc(struct doing *doing, const struct kevent *event)
{
	doing->allocating = true;
	doing->alloc_granules = kevent_has(event, KEVENT_SIZE) ? event->field[KEVENT_SIZE] : 0;
	doing->alloc_object = event->field[KEVENT_OBJECT];
}

static void on_alloc_book(struct life_trace *trace, struct doing *doing, const struct kevent *event,
			  struct life_book *book)
{
	uint64_t granule = granule_of(trace, doing->alloc_object);
	uint64_t granules = MAX(doing->alloc_granules, 1), first = event->field[KEVENT_PFN] * granule;
	struct life *life = life_alloc(book, when_of(event), doing->alloc_object, first,
				       life_rounded(granules) * granule, doing->alloc_granules * granule);
	g_autofree char *reuse = NULL;

	if (!life)
		return;
	set_request(doing, life);
	if (doing->try_bytes)
		life_data(life, first + (doing->try_paddr & (granule - 1)), doing->try_bytes);
	reuse = reuse_text(book, life, when_of(event));
	life_step_say(&g_array_index(life->steps, struct life_step, 0), "%" G_GUINT64_FORMAT " B%s",
		      granules * granule, reuse ? reuse : "");
}

static void on_alloc_ret(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	if (!doing->allocating) { /* its entry is not recorded */
		doing->alloc_granules = 0;
		doing->alloc_object = 0;
	}
	for (guint i = 0; event->field[KEVENT_PFN] && i < trace->books->len; i++)
		on_alloc_book(trace, doing, event, g_ptr_array_index(trace->books, i));
	doing->allocating = false;
	doing->try_bytes = 0;
	doing->owner = NULL;
}

/** Where a freed range goes. */
static char *free_text(const struct doing *doing, const struct kevent *event, const struct life *life,
		       uint64_t granule)
{
	uint64_t granules = event->field[KEVENT_SIZE];
	GString *text = g_string_new(NULL);

	if (granules > CACHED_MAX)
		g_string_append(text, "to the tree");
	else
		g_string_append_printf(text,
				       "to the magazines of cpu %u, class of %" G_GUINT64_FORMAT " granules",
				       event->io.cpu, life_rounded(granules));
	if (doing->in_timer)
		g_string_append(text, ", by the timer of the flush queues");
	if (life && life->asked && life->asked != granules * granule)
		g_string_append_printf(text,
				       "; %" G_GUINT64_FORMAT " B, not the %" G_GUINT64_FORMAT
				       " B that were allocated",
				       granules * granule, life->asked);
	return g_string_free(text, FALSE);
}

static void on_free(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	uint64_t object = event->field[KEVENT_OBJECT], granule = granule_of(trace, object);
	uint64_t granules = kevent_has(event, KEVENT_SIZE) ? event->field[KEVENT_SIZE] : 1;

	if (doing->flushed && object)
		remember(trace->object, doing->flushed_domain, object);
	for (guint i = 0; i < trace->books->len; i++) {
		struct life_book *book = g_ptr_array_index(trace->books, i);
		g_autofree char *text =
			kevent_has(event, KEVENT_SIZE)
				? free_text(doing, event, life_book_open(book, object), granule)
				: NULL;

		life_free(book, when_of(event), object, event->field[KEVENT_PFN] * granule,
			  life_rounded(granules) * granule, text);
	}
}

/* ---- the page table ---- */

static void on_link(struct doing *doing, const struct kevent *event)
{
	if (!event->field[KEVENT_OFFSET])
		doing->links = 0;
	doing->links++;
	doing->link_offset = event->field[KEVENT_OFFSET];
	doing->link_bytes = event->field[KEVENT_SIZE];
	doing->link_access = access_of_dir(event);
}

static void on_map_book(struct doing *doing, const struct kevent *event, struct life_book *book)
{
	uint64_t first = event->field[KEVENT_ADDR];
	unsigned prot = kevent_has(event, KEVENT_PROT)
				? (unsigned)event->field[KEVENT_PROT] & (LIFE_READ | LIFE_WRITE)
				: MAX(doing->link_access, doing->call_access);
	struct life *life = life_map(book, when_of(event), first, event->field[KEVENT_SIZE],
				     event->field[KEVENT_PADDR], prot);

	if (!life)
		return;
	if (!life->allocated)
		set_request(doing, life);
	g_ptr_array_add(doing->mapping, life);
	if (doing->link_access)
		life_step_say(&g_array_index(life->steps, struct life_step, life->steps->len - 1),
			      "segment %u, %" G_GUINT64_FORMAT " B at offset %" G_GUINT64_FORMAT,
			      doing->links, doing->link_bytes, doing->link_offset);
}

static void on_map(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	trace->scope->has_maps = true;
	g_ptr_array_set_size(doing->mapping, 0);
	for (guint i = 0; i < trace->books->len; i++)
		on_map_book(doing, event, g_ptr_array_index(trace->books, i));
	doing->link_access = 0;
	doing->owner = NULL;
}

static void on_map_ret(struct doing *doing, const struct kevent *event)
{
	for (guint i = 0; event->field[KEVENT_RET] && i < doing->mapping->len; i++)
		life_map_failed(g_ptr_array_index(doing->mapping, i), when_of(event),
				(int64_t)event->field[KEVENT_RET]);
	g_ptr_array_set_size(doing->mapping, 0);
}

static void end_life(struct doing *doing, struct life *life)
{
	if (!life || life->request.known || life->owner)
		return;
	if (doing->ended->len == DONE_MAX)
		g_ptr_array_set_size(doing->ended, 0);
	g_ptr_array_add(doing->ended, life);
}

static void on_unmap(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	uint64_t len = kevent_has(event, KEVENT_LEN) ? event->field[KEVENT_LEN] : event->field[KEVENT_SIZE];

	trace->scope->has_unmaps = true;
	doing->flushed = false;
	for (guint i = 0; i < trace->books->len; i++)
		end_life(doing, life_unmap(g_ptr_array_index(trace->books, i), when_of(event), LIFE_UNMAP,
					   event->field[KEVENT_ADDR], len));
}

/* ---- the DMA interface ---- */

/** A probe at the entry of the call says what the mapping to come is for. */
static void on_dma_call(struct doing *doing, const struct kevent *event)
{
	doing->call_access =
		event->kind == KEVENT_DMA_ALLOC_CALL ? LIFE_READ | LIFE_WRITE : access_of_dir(event);
	doing->owner = event->kind == KEVENT_DMA_ALLOC_CALL ? "coherent memory of the driver" : NULL;
	doing->try_paddr = event->kind == KEVENT_DMA_MAP_CALL ? event->field[KEVENT_OFFSET] : 0;
	doing->try_bytes = event->kind == KEVENT_DMA_MAP_SG ? 0 : event->field[KEVENT_SIZE];
}

/** dma_map_phys has returned: the mapping is known already, if the recording tells maps. */
static void on_dma_map_book(struct doing *doing, const struct kevent *event, struct life_book *book)
{
	uint64_t first = event->field[KEVENT_ADDR], len = event->field[KEVENT_SIZE];
	uint64_t page = first & ~(uint64_t)(GRANULE_BYTES - 1);
	struct life *life = life_book_open(book, 0);
	struct life_step *step;

	if (book->iova < page || book->iova > ((first + len - 1) | (GRANULE_BYTES - 1)))
		return;
	if (!life || !life->mapped) {
		life = life_map(
			book, when_of(event), page, ((first + len - 1) | (GRANULE_BYTES - 1)) - page + 1,
			event->field[KEVENT_PADDR] & ~(uint64_t)(GRANULE_BYTES - 1), access_of_dir(event));
		if (!life->allocated)
			set_request(doing, life);
	}
	life_data(life, first, len);
	step = life_add(life, LIFE_DMA_MAP, when_of(event), first, len);
	step->paddr = event->field[KEVENT_PADDR] + (book->iova - first);
	step->prot = access_of_dir(event);
}

static void on_dma_map(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	for (guint i = 0; event->field[KEVENT_SIZE] && i < trace->books->len; i++)
		on_dma_map_book(doing, event, g_ptr_array_index(trace->books, i));
}

/** Where unmaps are not recorded, this is one. */
static void on_dma_unmap(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	uint64_t first = event->field[KEVENT_ADDR] & ~(uint64_t)(GRANULE_BYTES - 1);
	uint64_t last = (event->field[KEVENT_ADDR] + event->field[KEVENT_SIZE] - 1) | (GRANULE_BYTES - 1);

	if (trace->scope->has_unmaps || !event->field[KEVENT_SIZE])
		return;
	for (guint i = 0; i < trace->books->len; i++) {
		struct life_book *book = g_ptr_array_index(trace->books, i);
		struct life *life = life_book_open(book, 0);

		if (!life || life->mapped)
			end_life(doing,
				 life_unmap(book, when_of(event), LIFE_DMA_UNMAP, first, last - first + 1));
	}
}

/** dma_alloc_coherent has returned: it is whose the mapping was. */
static void on_dma_alloc(struct life_trace *trace, const struct kevent *event)
{
	uint64_t first = event->field[KEVENT_ADDR], len = event->field[KEVENT_SIZE];

	for (guint i = 0; i < trace->books->len; i++) {
		struct life_book *book = g_ptr_array_index(trace->books, i);
		struct life *life = life_book_open(book, 0);

		if (!life || !len || book->iova < first ||
		    book->iova > ((first + len - 1) | (GRANULE_BYTES - 1)))
			continue;
		life->owner = "coherent memory of the driver";
		life->request = (struct life_request){0};
		life_data(life, first, len);
	}
}

/* ---- invalidation ---- */

static void flush(struct life_trace *trace, struct doing *doing, const struct kevent *event, uint64_t domain,
		  uint64_t first, uint64_t last, bool all)
{
	const uint64_t *object = g_hash_table_lookup(trace->object, &domain);
	const char *text = doing->in_timer ? "by the timer of the flush queues"
			   : all	   ? "with everything of its domain"
					   : NULL;

	trace->scope->has_flushes = true;
	doing->flushed = true;
	doing->flushed_domain = domain;
	for (guint i = 0; i < trace->books->len; i++)
		life_flush(g_ptr_array_index(trace->books, i), when_of(event), object ? *object : 0, first,
			   last, doing->in_timer || (all && !doing->unmapping), text);
}

static void on_range(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	uint64_t first = event->field[KEVENT_ADDR], last = event->field[KEVENT_LEN];

	flush(trace, doing, event, event->field[KEVENT_DOMAIN], first, last,
	      first == 0 && last == UINT64_MAX);
}

static void on_descriptor(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	uint64_t qw0 = event->field[KEVENT_QW0], qw1 = event->field[KEVENT_QW1];
	uint64_t first = QI_ADDRESS(qw1), mask = QI_MASK(qw1);

	if (QI_TYPE(qw0) != QI_TYPE_IOTLB)
		return;
	if (QI_GRANULARITY(qw0) != QI_PAGE_SELECTIVE)
		flush(trace, doing, event, QI_DOMAIN(qw0), 0, UINT64_MAX, true);
	else if (mask < 52)
		flush(trace, doing, event, QI_DOMAIN(qw0), first & ~((UINT64_C(0x1000) << mask) - 1),
		      first | ((UINT64_C(0x1000) << mask) - 1), false);
}

/* ---- the events ---- */

static void on_event(struct life_trace *trace, struct doing *doing, const struct kevent *event)
{
	switch (event->kind) {
	case KEVENT_IO:
		on_io(trace, doing, &event->io);
		break;
	case KEVENT_IOVA_INIT:
		on_init(trace, event);
		break;
	case KEVENT_IOVA_RESERVE:
		on_reserve(trace, event);
		break;
	case KEVENT_IOVA_ALLOC:
		on_alloc(doing, event);
		break;
	case KEVENT_IOVA_ALLOC_RET:
		on_alloc_ret(trace, doing, event);
		break;
	case KEVENT_IOVA_FREE:
		on_free(trace, doing, event);
		break;
	case KEVENT_TRY_ALLOC:
		doing->try_paddr = event->field[KEVENT_PADDR];
		doing->try_bytes = event->field[KEVENT_SIZE];
		break;
	case KEVENT_LINK:
		on_link(doing, event);
		break;
	case KEVENT_MAP:
	case KEVENT_MAP_NOSYNC:
		on_map(trace, doing, event);
		break;
	case KEVENT_MAP_NOSYNC_RET:
		on_map_ret(doing, event);
		break;
	case KEVENT_UNMAP:
		on_unmap(trace, doing, event);
		break;
	case KEVENT_DMA_MAP:
		on_dma_map(trace, doing, event);
		break;
	case KEVENT_DMA_UNMAP:
		on_dma_unmap(trace, doing, event);
		break;
	case KEVENT_DMA_ALLOC:
		on_dma_alloc(trace, event);
		break;
	case KEVENT_DMA_ALLOC_CALL:
	case KEVENT_DMA_MAP_CALL:
	case KEVENT_DMA_MAP_SG:
		on_dma_call(doing, event);
		break;
	case KEVENT_INVALIDATE:
		on_range(trace, doing, event);
		break;
	case KEVENT_QI_SUBMIT:
		on_descriptor(trace, doing, event);
		break;
	case KEVENT_FQ_TIMEOUT:
		doing->flushed = false;
		break;
	default:
		if (is_named(event, "attach_device_to_domain"))
			trace->scope->from_start = true;
		break;
	}
}

/** What follows a timer, or an unmap, directly is its work. */
static void take_event(struct life_trace *trace, const struct kevent *event)
{
	struct doing *doing = doing_of(trace, event);
	struct life_scope *scope = trace->scope;

	if (!trace->any)
		scope->first_ns = event->io.time_ns;
	trace->any = true;
	scope->last_ns = MAX(scope->last_ns, event->io.time_ns);
	on_event(trace, doing, event);
	switch (event->kind) {
	case KEVENT_INVALIDATE:
	case KEVENT_QI_SUBMIT:
		break;
	case KEVENT_IOVA_FREE:
	case KEVENT_IOVA_FREE_RET:
		doing->unmapping = false;
		break;
	default:
		doing->unmapping = event->kind == KEVENT_UNMAP;
		doing->in_timer = event->kind == KEVENT_FQ_TIMEOUT;
		break;
	}
}

bool life_trace_read(const char *path, GPtrArray *books, struct life_scope *ret_scope, GError **error)
{
	struct life_scope scope = {.source = "recording"};
	struct life_trace trace = {
		.books = books,
		.scope = &scope,
		.doing = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, doing_free),
		.flying = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free),
		.granule = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free),
		.object = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free)};
	struct kevent_stream *stream = kevent_open(path, error);
	struct kevent event;
	int result = -1;

	if (stream) {
		while ((result = kevent_next(stream, &event, error)) > 0)
			take_event(&trace, &event);
		scope.lost = kevent_lost(stream);
		kevent_close(stream);
	}
	if (result == 0 && !trace.any)
		result = sim_error_plain(error, "%s: no event in it", path);
	g_hash_table_unref(trace.doing);
	g_hash_table_unref(trace.flying);
	g_hash_table_unref(trace.granule);
	g_hash_table_unref(trace.object);
	*ret_scope = scope;
	return result == 0;
}
