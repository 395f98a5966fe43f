/* SPDX-License-Identifier: MIT */
#include "sim/verify/model.h"

#include <errno.h>
#include <string.h>

#include "blockdma/nvme.h"
#include "iommu/hw/hw.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/error.h"
#include "sim/verify/pools.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

#define DEPTH	    1024   /* of the driver's queues; more requests in flight are an error in the recording */
#define ATTEMPT_OPS 100000 /* how many ops later a command is tried again at most */

/** Something that the model did, as the event that it would be. */
struct effect {
	enum kevent_kind kind;
	uint32_t has;
	uint64_t field[KEVENT_FIELDS];
};

/** Of an op that prepared a command, until it is undone. */
struct flight {
	struct request req;
	struct bio_vec *vecs;
	uint32_t bios[2]; /* the first vector of each */
	struct nvme_iod *iod;
	unsigned qid;
};

/** Memory shared with the device. */
struct shared {
	struct sg_table sgt;
	uint64_t iova; /* key */
};

struct verify_model {
	const struct verify_recording *recording;
	struct verify_result *result;
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct dma_memory_ops memory;
	struct nvme *nvme;
	struct verify_pools *pools;
	struct sim_observer observer;
	GHashTable *flights; /* number of the op + 1 -> struct flight */
	GHashTable *shared;  /* IOVA -> struct shared */
	uint32_t *due;	     /* per event: first op that runs there, VERIFY_NONE */
	uint32_t *due_next;  /* per op */
	uint32_t at;	     /* next event */
	uint32_t gave_up;    /* event: no address below 4 GiB */

	/* Of the op that runs. */
	uint32_t op;
	uint32_t answer; /* its next event that has an address the allocator gave */
	uint32_t map;	 /* its next call that maps */
	uint32_t block;	 /* its next event of a pool */
	GArray *effects, *flush_effects;
	struct fault_rules *failure;

	/* A flush by the timer, which takes its time. */
	uint32_t flush;	   /* op, VERIFY_NONE */
	uint32_t *queuing; /* per CPU: op that flushed itself and goes on, VERIFY_NONE */
	uint32_t notice;   /* event by which the last flush has finished, VERIFY_NONE: it has */
	unsigned flush_ring;
};

const char *const verify_class_names[VERIFY_CLASSES] = {
	[VERIFY_IOVA] = "iova",
	[VERIFY_REQUESTS] = "iova requests",
	[VERIFY_FREES] = "iova frees",
	[VERIFY_CALLS] = "dma calls",
	[VERIFY_MAPS] = "maps",
	[VERIFY_UNMAPS] = "unmaps",
	[VERIFY_INVALIDATIONS] = "invalidations",
	[VERIFY_POOLS] = "pools",
	[VERIFY_COHERENT] = "coherent",
	[VERIFY_ORDER] = "order within ops",
	[VERIFY_TABLES] = "page-table entries",
};

/* Which events are compared, as what; and whether their order among each other tells. Calls are seen at their entry by a probe
 * and at their return by a trace event, so those do not. */
static const struct {
	bool compared, ordered;
	enum verify_class class;
} kinds[KEVENT_KINDS] = {
	[KEVENT_IOVA_ALLOC] = {true, true, VERIFY_REQUESTS},
	[KEVENT_IOVA_FREE] = {true, true, VERIFY_FREES},
	[KEVENT_TRY_ALLOC] = {true, false, VERIFY_CALLS},
	[KEVENT_LINK] = {true, false, VERIFY_CALLS},
	[KEVENT_DESTROY] = {true, false, VERIFY_CALLS},
	[KEVENT_MAP_NOSYNC] = {true, true, VERIFY_MAPS},
	[KEVENT_MAP] = {true, true, VERIFY_MAPS},
	[KEVENT_UNMAP] = {true, true, VERIFY_UNMAPS},
	[KEVENT_DMA_MAP] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_MAP_CALL] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_UNMAP] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_MAP_SG] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_UNMAP_SG] = {true, false, VERIFY_CALLS},
	[KEVENT_DMA_ALLOC] = {true, false, VERIFY_COHERENT},
	[KEVENT_DMA_FREE] = {true, false, VERIFY_COHERENT},
	[KEVENT_POOL_ALLOC] = {true, true, VERIFY_POOLS},
	[KEVENT_POOL_FREE] = {true, true, VERIFY_POOLS},
	[KEVENT_INVALIDATE] = {true, false, VERIFY_INVALIDATIONS},
	[KEVENT_QI_SUBMIT] = {true, true, VERIFY_INVALIDATIONS},
};

static const struct verify_event *event_at(const struct verify_model *model, uint32_t number)
{
	return &model->recording->events[number];
}

void verify_differs(struct verify_result *result, uint32_t event, char *text)
{
	if (result->first.found && result->first.event <= event) {
		g_free(text);
		return;
	}
	g_free(result->first.text);
	result->first = (struct verify_difference){.found = true, .event = event, .text = text};
}

struct iommu_domain *verify_model_domain(const struct verify_model *model)
{
	return model->domain;
}

/* ---- effects ---- */

static void effect_add(struct verify_model *model, enum kevent_kind kind, const struct effect *fields)
{
	struct effect effect = *fields;

	effect.kind = kind;
	if (model->recording->machine.kinds[kind])
		g_array_append_val(model->effects, effect);
}

#define HAS(field) (1u << (field))
#define EFFECT(model, kind, has_bits, ...) \
	effect_add(model, kind, &(const struct effect){.has = (has_bits), .field = {__VA_ARGS__}})

static uint64_t direction_of(unsigned flags)
{
	return flags & DMA_TO_DEVICE ? 1 : 2;
}

static void heard_attempt(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			  uint64_t pfn)
{
	EFFECT(data, KEVENT_IOVA_ALLOC, HAS(KEVENT_SIZE) | HAS(KEVENT_LIMIT) | HAS(KEVENT_FLUSH),
	       [KEVENT_SIZE] = granules, [KEVENT_LIMIT] = limit_pfn, [KEVENT_FLUSH] = flush);
}

/** Lets the page table fail where the recorded kernel's did. */
static void arm_failure(struct verify_model *model)
{
	uint32_t at = model->map;

	for (; at != VERIFY_NONE && event_at(model, at)->kind != KEVENT_MAP_NOSYNC_RET;
	     at = event_at(model, at)->next)
		if (event_at(model, at)->kind == KEVENT_FAIL_PAGE)
			break;
	if (at == VERIFY_NONE || event_at(model, at)->kind != KEVENT_FAIL_PAGE)
		return;
	g_clear_pointer(&model->failure, fault_rules_free);
	model->failure = fault_rules_new((const struct fault_table *const[]){&iommu_fault_table, NULL});
	fault_rules_add_nth(model->failure, "pgtable.page", 1, -ENOMEM);
	fault_rules_arm(model->failure, model->sim);
}

static void heard_map_call(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len,
			   unsigned prot)
{
	struct verify_model *model = data;

	EFFECT(model, KEVENT_MAP_NOSYNC,
	       HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_PADDR) | HAS(KEVENT_PROT),
	       [KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_PADDR] = paddr, [KEVENT_PROT] = prot);
	model->map = verify_find(model->recording, model->map, KEVENT_MAP_NOSYNC);
	if (model->map == VERIFY_NONE)
		return;
	arm_failure(model);
	model->map = event_at(model, model->map)->next;
}

static void heard_map_event(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len)
{
	EFFECT(data, KEVENT_MAP, HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_PADDR),
	       [KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_PADDR] = paddr);
}

static void heard_unmap(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len,
			uint64_t unmapped)
{
	EFFECT(data, KEVENT_UNMAP, HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_LEN),
	       [KEVENT_ADDR] = iova, [KEVENT_SIZE] = len, [KEVENT_LEN] = unmapped);
}

static void heard_invalidate(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last)
{
	EFFECT(data, KEVENT_INVALIDATE, HAS(KEVENT_ADDR) | HAS(KEVENT_LEN) | HAS(KEVENT_DOMAIN),
	       [KEVENT_ADDR] = first, [KEVENT_LEN] = last, [KEVENT_DOMAIN] = domain);
}

static void heard_command(void *data, const void *command, size_t len)
{
	const uint64_t *qw = command;

	EFFECT(data, KEVENT_QI_SUBMIT,
	       HAS(KEVENT_QW0) | HAS(KEVENT_QW1), [KEVENT_QW0] = qw[0], [KEVENT_QW1] = qw[1]);
}

static void heard_map_phys(struct verify_model *model, const struct dma_call *call)
{
	uint64_t dir = direction_of(call->flags);

	EFFECT(model, KEVENT_DMA_MAP,
	       HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_PADDR) | HAS(KEVENT_DIR),
	       [KEVENT_ADDR] = call->addr, [KEVENT_SIZE] = call->size, [KEVENT_PADDR] = call->paddr,
	       [KEVENT_DIR] = dir);
	EFFECT(model, KEVENT_DMA_MAP_CALL, HAS(KEVENT_OFFSET) | HAS(KEVENT_SIZE) | HAS(KEVENT_DIR),
	       [KEVENT_OFFSET] = call->paddr % FRAME_SIZE, [KEVENT_SIZE] = call->size, [KEVENT_DIR] = dir);
}

static void heard_call(void *data, struct sim *sim, const struct dma_call *call)
{
	uint64_t dir = direction_of(call->flags);

	switch (call->kind) {
	case DMA_CALL_TRY_ALLOC:
		EFFECT(data, KEVENT_TRY_ALLOC, HAS(KEVENT_PADDR) | HAS(KEVENT_SIZE),
		       [KEVENT_PADDR] = call->paddr, [KEVENT_SIZE] = call->size);
		break;
	case DMA_CALL_LINK:
		EFFECT(data, KEVENT_LINK,
		       HAS(KEVENT_PADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_OFFSET) | HAS(KEVENT_DIR),
		       [KEVENT_PADDR] = call->paddr, [KEVENT_SIZE] = call->size,
		       [KEVENT_OFFSET] = call->offset, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_DESTROY:
		EFFECT(data, KEVENT_DESTROY, HAS(KEVENT_SIZE) | HAS(KEVENT_LEN) | HAS(KEVENT_DIR),
		       [KEVENT_SIZE] = call->allocated, [KEVENT_LEN] = call->size, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_MAP_PHYS:
		heard_map_phys(data, call);
		break;
	case DMA_CALL_UNMAP_PHYS:
		EFFECT(data, KEVENT_DMA_UNMAP, HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE) | HAS(KEVENT_DIR),
		       [KEVENT_ADDR] = call->addr, [KEVENT_SIZE] = call->size, [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_MAP_SG:
		EFFECT(data, KEVENT_DMA_MAP_SG, HAS(KEVENT_DIR), [KEVENT_DIR] = dir);
		break;
	case DMA_CALL_UNMAP_SG:
		EFFECT(data, KEVENT_DMA_UNMAP_SG, 0, 0);
		break;
	default:
		break;
	}
}

/* ---- what the model is given ---- */

/** Returns what the allocator gave this op next, 0 when it failed or the recording has no more. */
static uint64_t recorded_alloc(void *data, uint64_t size, uint64_t limit_pfn, bool flush)
{
	struct verify_model *model = data;
	uint64_t pfn;

	model->answer = verify_find(model->recording, model->answer, KEVENT_IOVA_ALLOC_RET);
	if (model->answer == VERIFY_NONE)
		return 0;
	pfn = event_at(model, model->answer)->field[KEVENT_PFN];
	model->answer = event_at(model, model->answer)->next;
	return pfn;
}

static void recorded_free(void *data, uint64_t pfn, uint64_t size)
{
	EFFECT(data, KEVENT_IOVA_FREE,
	       HAS(KEVENT_PFN) | HAS(KEVENT_SIZE), [KEVENT_PFN] = pfn, [KEVENT_SIZE] = size);
}

static const struct iova_recorded_ops recorded_ops = {.alloc = recorded_alloc, .free = recorded_free};

/** Memory for the driver's queues, which nobody compares: shared memory is what the recording says. */
static int plain_alloc(struct dma_device *dev, unsigned order, enum frame_use use, uint64_t *ret_paddr,
		       uint64_t *ret_addr)
{
	*ret_paddr = *ret_addr = physmem_alloc(&dev->sim->mem, order, use);
	return 0;
}

static void plain_free(struct dma_device *dev, unsigned order, uint64_t paddr, uint64_t addr)
{
	physmem_free(&dev->sim->mem, paddr, order);
}

/* ---- shared memory ---- */

/** The pieces of memory that the maps from @from on name, of @bytes together. */
static struct scatterlist *shared_pieces(struct verify_model *model, uint32_t from, uint64_t bytes,
					 unsigned *ret_count)
{
	GArray *pieces = g_array_new(FALSE, TRUE, sizeof(struct scatterlist));
	uint64_t total = 0;

	for (uint32_t at = from; at != VERIFY_NONE && total < bytes; at = event_at(model, at)->next) {
		const struct verify_event *event = event_at(model, at);
		struct scatterlist piece = {.paddr = event->field[KEVENT_PADDR],
					    .len = event->field[KEVENT_SIZE],
					    .padded = event->field[KEVENT_SIZE]};

		if (event->kind != KEVENT_MAP_NOSYNC && event->kind != KEVENT_MAP)
			continue;
		if ((piece.paddr | piece.len) % FRAME_SIZE || piece.len > bytes - total)
			break;
		total += piece.len;
		g_array_append_val(pieces, piece);
	}
	if (total < bytes) {
		struct scatterlist rest = {.len = bytes - total, .padded = bytes - total};

		g_array_append_val(pieces, rest);
	}
	*ret_count = pieces->len;
	return (struct scatterlist *)(void *)g_array_free(pieces, FALSE);
}

/** Allocates what a call of @size bytes gets, in memory that lies where the recording says. Returns its address, or
 *  DMA_MAPPING_ERROR. */
static uint64_t shared_alloc(struct verify_model *model, uint32_t from, uint64_t size)
{
	uint64_t bytes = (size + FRAME_SIZE - 1) & -(uint64_t)FRAME_SIZE;
	struct shared *shared;
	int err;

	if (!bytes || bytes > UINT64_C(1) << 32)
		return DMA_MAPPING_ERROR;
	shared = g_new0(struct shared, 1);
	shared->sgt.sgl = shared_pieces(model, from, bytes, &shared->sgt.orig_nents);
	err = dma_map_noncontiguous(&model->dev, &shared->sgt);
	if (err) {
		g_free(shared->sgt.sgl);
		g_free(shared);
		return DMA_MAPPING_ERROR;
	}
	shared->iova = shared->sgt.sgl[0].dma_addr;
	g_hash_table_replace(model->shared, &shared->iova, shared);
	EFFECT(model, KEVENT_DMA_ALLOC,
	       HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE), [KEVENT_ADDR] = shared->iova, [KEVENT_SIZE] = size);
	EFFECT(model, KEVENT_DMA_ALLOC_CALL, HAS(KEVENT_SIZE), [KEVENT_SIZE] = size);
	return shared->iova;
}

static void shared_free(void *data)
{
	struct shared *shared = data;

	g_free(shared->sgt.sgl);
	g_free(shared);
}

/* ---- pools ---- */

static int block_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block)
{
	struct verify_model *model = pool->dev->memory->data;
	bool small = pool->block_bytes == NVME_SMALL_POOL_BYTES;
	struct verify_block block = {0};

	EFFECT(model, KEVENT_POOL_ALLOC, 0, 0);
	model->block = verify_find(model->recording, model->block, KEVENT_POOL_ALLOC);
	if (model->block != VERIFY_NONE) {
		if (!verify_pools_alloc(model->pools, model->block, model->at, small, &block))
			verify_differs(model->result, model->block,
				       g_strdup_printf("a block of %u bytes, from the other pool",
						       pool->block_bytes));
		model->block = event_at(model, model->block)->next;
	}
	if (block.grows && shared_alloc(model, model->block, FRAME_SIZE) == DMA_MAPPING_ERROR)
		return -ENOMEM;
	ret_block->paddr = physmem_alloc(&model->sim->mem, 0, FRAME_NVME_POOL);
	ret_block->addr = block.addr;
	return 0;
}

static void block_free(struct dma_pool *pool, const struct dma_pool_block *block)
{
	struct verify_model *model = pool->dev->memory->data;

	EFFECT(model, KEVENT_POOL_FREE, HAS(KEVENT_ADDR), [KEVENT_ADDR] = block->addr);
	physmem_free(&model->sim->mem, block->paddr, 0);
}

/* ---- requests ---- */

static bool is_data(const struct verify_event *event, bool scatter_lists)
{
	switch (event->kind) {
	case KEVENT_LINK:
	case KEVENT_DMA_MAP:
		return true;
	case KEVENT_MAP:
		return scatter_lists;
	default:
		return false;
	}
}

static bool same_command(const struct verify_model *model, const struct verify_op *a,
			 const struct verify_op *b)
{
	const struct verify_event *first = event_at(model, a->first), *second = event_at(model, b->first);

	return b->kind == VERIFY_OP_SUBMIT && a->io_op == b->io_op && a->queue == b->queue &&
	       first->field[KEVENT_ADDR] == second->field[KEVENT_ADDR] &&
	       first->field[KEVENT_SIZE] == second->field[KEVENT_SIZE];
}

/** Returns the op that tells the data of the command that @number prepares: where that did not work out, a later attempt, perhaps
 *  with another tag, may tell all of it. */
static uint32_t data_op(const struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint32_t last = MIN(model->recording->ops->len, number + ATTEMPT_OPS);

	if (op->issued)
		return number;
	for (uint32_t next = number + 1; next < last; next++) {
		const struct verify_op *later = verify_op(model->recording, next);

		if (later->issued && same_command(model, op, later))
			return next;
	}
	return number;
}

/** Whether @event is about memory for a list of addresses, which comes after the data. */
static bool is_list(const struct verify_event *event)
{
	return event->kind == KEVENT_POOL_ALLOC || event->kind == KEVENT_DMA_ALLOC_CALL;
}

/** The data as the old mapper's events have them: whole pages of a list, or one piece with its offset in the first. */
static void take_pages(const struct verify_model *model, const struct verify_op *op, GArray *vecs)
{
	uint64_t left = op->bytes, mapped = 0, skip = 0;
	uint32_t call = verify_find(model->recording, op->first, KEVENT_DMA_MAP_CALL);

	for (uint32_t at = op->first; at != VERIFY_NONE && !is_list(event_at(model, at));
	     at = event_at(model, at)->next)
		if (event_at(model, at)->kind == KEVENT_MAP)
			mapped += event_at(model, at)->field[KEVENT_SIZE];
	if (call != VERIFY_NONE) {
		skip = event_at(model, call)->field[KEVENT_OFFSET] % FRAME_SIZE;
		left = event_at(model, call)->field[KEVENT_SIZE];
	} else if (mapped > left && mapped - left >= FRAME_SIZE) {
		/* The list begins inside a page; any place from which its last page is needed does. */
		skip = mapped - left - FRAME_SIZE + 1;
		skip = (skip + 511) & ~UINT64_C(511);
	}
	for (uint32_t at = op->first; at != VERIFY_NONE && left; at = event_at(model, at)->next) {
		const struct verify_event *event = event_at(model, at);
		struct bio_vec vec = {event->field[KEVENT_PADDR] + skip, event->field[KEVENT_SIZE] - skip};

		if (event->kind != KEVENT_MAP || event->field[KEVENT_SIZE] <= skip)
			continue;
		vec.len = MIN(vec.len, left);
		left -= vec.len;
		skip = 0;
		g_array_append_val(vecs, vec);
	}
}

static void take_segments(const struct verify_model *model, const struct verify_op *op, GArray *vecs)
{
	bool links = verify_find(model->recording, op->first, KEVENT_LINK) != VERIFY_NONE;

	for (uint32_t at = op->first; at != VERIFY_NONE; at = event_at(model, at)->next) {
		const struct verify_event *event = event_at(model, at);
		struct bio_vec vec = {event->field[KEVENT_PADDR], event->field[KEVENT_SIZE]};

		if (event->kind == (links ? KEVENT_LINK : KEVENT_DMA_MAP) && vec.len)
			g_array_append_val(vecs, vec);
	}
}

/** A request that was not mapped in one call had more than one vector, even where they touch: then the number that the
 *  recording does not have is two, of two requests that were merged into one. */
static void split_vector(struct verify_model *model, GArray *vecs)
{
	struct bio_vec *first = &g_array_index(vecs, struct bio_vec, 0), second = *first;
	uint64_t head = FRAME_SIZE - first->paddr % FRAME_SIZE;

	model->result->guessed_vectors++;
	if (head >= first->len)
		head = first->len / 2;
	if (!head)
		return;
	first->len = head;
	second.paddr += head;
	second.len -= head;
	g_array_append_val(vecs, second);
}

static const enum req_op req_ops[IO_OPS] = {
	[IO_READ] = REQ_OP_READ,
	[IO_WRITE] = REQ_OP_WRITE,
	[IO_FLUSH] = REQ_OP_FLUSH,
	[IO_DISCARD] = REQ_OP_DISCARD,
	[IO_WRITE_ZEROES] = REQ_OP_WRITE_ZEROES,
	[IO_PASSTHROUGH] = REQ_OP_DRV,
};

static bool is_to_device(const struct verify_model *model, const struct verify_op *op)
{
	for (uint32_t at = op->first; at != VERIFY_NONE; at = event_at(model, at)->next) {
		const struct verify_event *event = event_at(model, at);

		if ((is_data(event, false) || event->kind == KEVENT_DMA_MAP_CALL ||
		     event->kind == KEVENT_DMA_MAP_SG) &&
		    verify_has(event, KEVENT_DIR))
			return event->field[KEVENT_DIR] != 2;
	}
	return op->io_op != IO_READ;
}

static struct flight *flight_new(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, data_op(model, number));
	bool listed = verify_find(model->recording, op->first, KEVENT_TRY_ALLOC) != VERIFY_NONE ||
		      verify_find(model->recording, op->first, KEVENT_DMA_MAP_SG) != VERIFY_NONE;
	GArray *vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	struct flight *flight = g_new0(struct flight, 1);
	struct request *req = &flight->req;

	if (model->recording->machine.scatter_lists)
		take_pages(model, op, vecs);
	else
		take_segments(model, op, vecs);
	if (vecs->len == 1 && listed)
		split_vector(model, vecs);
	flight->bios[1] = 1;
	*req = (struct request){.number = number + 1,
				.limits = &model->nvme->limits,
				.vec_count = vecs->len,
				.bio_first = vecs->len == 2 && listed ? flight->bios : NULL,
				.bio_count = 2,
				.special = op->io_op == IO_DISCARD,
				.op = req_ops[op->io_op],
				.to_device = is_to_device(model, op)};
	for (unsigned i = 0; i < vecs->len; i++)
		req->bytes += g_array_index(vecs, struct bio_vec, i).len;
	flight->vecs = req->vecs = (struct bio_vec *)(void *)g_array_free(vecs, FALSE);
	request_prepare(req);
	return flight;
}

static void flight_free(void *data)
{
	struct flight *flight = data;

	g_free(flight->vecs);
	g_free(flight);
}

/* ---- ops ---- */

static void submit(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	struct flight *flight = flight_new(model, number);

	flight->qid = MIN(op->queue, model->nvme->queue_count - 1);
	flight->iod = nvme_get_tag(model->nvme, flight->qid);
	if (!flight->iod) {
		verify_differs(model->result, op->first,
			       g_strdup_printf("no more than %u commands in flight",
					       nvme_queue_tags(&model->nvme->queues[flight->qid])));
		flight_free(flight);
		return;
	}
	if (nvme_prep_rq(model->nvme, flight->iod, &flight->req, op->queue ? 1 : 0) != BLK_STS_OK ||
	    !op->issued) {
		nvme_put_tag(model->nvme, flight->qid, flight->iod);
		flight_free(flight);
		return;
	}
	g_hash_table_insert(model->flights, GUINT_TO_POINTER(number + 1), flight);
}

static void complete(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	struct flight *flight = g_hash_table_lookup(model->flights, GUINT_TO_POINTER(op->partner + 1));

	if (op->partner == VERIFY_NONE || !flight)
		return;
	nvme_unmap_rq(model->nvme, flight->iod);
	nvme_cleanup_discard(model->nvme, flight->iod);
	nvme_put_tag(model->nvme, flight->qid, flight->iod);
	g_hash_table_remove(model->flights, GUINT_TO_POINTER(op->partner + 1));
}

static void release(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint64_t iova = event_at(model, op->first)->field[KEVENT_ADDR];
	struct shared *shared = g_hash_table_lookup(model->shared, &iova);

	EFFECT(model, KEVENT_DMA_FREE,
	       HAS(KEVENT_ADDR) | HAS(KEVENT_SIZE), [KEVENT_ADDR] = iova, [KEVENT_SIZE] = op->bytes);
	if (!shared)
		return;
	dma_unmap_noncontiguous(&model->dev, &shared->sgt);
	g_hash_table_remove(model->shared, &iova);
}

/* ---- comparing ---- */

static char *effect_text(const struct effect *effect)
{
	static const char *const names[KEVENT_FIELDS] = {"object", "addr", "size", "paddr", "offset", "dir"};
	GString *text = g_string_new(kevent_names[effect->kind]);

	for (unsigned i = 0; i < KEVENT_FIELDS; i++)
		if (effect->has >> i & 1)
			g_string_append_printf(text, " %s=" HEX, names[i], effect->field[i]);
	return g_string_free(text, FALSE);
}

static bool agrees(const struct verify_event *event, const struct effect *effect)
{
	uint32_t both = event->has & effect->has;

	for (unsigned i = 0; i < KEVENT_FIELDS; i++)
		if (both >> i & 1 && event->field[i] != effect->field[i])
			return false;
	return true;
}

/** Whether @event is of the domain that is looked at. */
static bool is_ours(const struct verify_model *model, const struct verify_event *event)
{
	const struct verify_machine *machine = &model->recording->machine;
	unsigned domain;

	if (verify_event_domain(event, &domain))
		return domain == machine->domain_id;
	if (event->kind != KEVENT_IOVA_ALLOC && event->kind != KEVENT_IOVA_FREE)
		return true;
	return !verify_has(event, KEVENT_OBJECT) || event->field[KEVENT_OBJECT] == machine->iovad;
}

static const struct effect *next_effect(const struct verify_model *model, enum kevent_kind kind, unsigned *at)
{
	for (; *at < model->effects->len; ++*at) {
		const struct effect *effect = &g_array_index(model->effects, struct effect, *at);

		if (effect->kind == kind)
			return &g_array_index(model->effects, struct effect, (*at)++);
	}
	return NULL;
}

/** Compares the events of @kind from @from on with the effects of that kind. */
static void compare_kind(struct verify_model *model, uint32_t from, uint32_t last, enum kevent_kind kind)
{
	struct verify_count *count = &model->result->count[kinds[kind].class];
	const struct effect *effect;
	unsigned at = 0;

	for (; from != VERIFY_NONE; from = event_at(model, from)->next) {
		const struct verify_event *event = event_at(model, from);

		if (event->kind != kind || !is_ours(model, event))
			continue;
		effect = next_effect(model, kind, &at);
		count->recorded++;
		if (effect && agrees(event, effect))
			count->predicted++;
		else
			verify_differs(model->result, from,
				       effect ? effect_text(effect)
					      : g_strdup_printf("no %s here", kevent_names[kind]));
	}
	while ((effect = next_effect(model, kind, &at))) {
		g_autofree char *text = NULL;

		/* One that is missing counts as recorded and not predicted, so that the class shows it. */
		count->recorded++;
		/* What the call led to is compared itself: the probe missed it. */
		if (model->recording->machine.missed[kind] && !kinds[kind].ordered) {
			count->undecided++;
			continue;
		}
		text = effect_text(effect);
		verify_differs(model->result, last, g_strdup_printf("also %s", text));
	}
}

static const struct verify_event *next_ordered(const struct verify_model *model, uint32_t *from)
{
	for (; *from != VERIFY_NONE; *from = event_at(model, *from)->next)
		if (kinds[event_at(model, *from)->kind].ordered && is_ours(model, event_at(model, *from)))
			return event_at(model, *from);
	return NULL;
}

static void compare_order(struct verify_model *model, uint32_t from)
{
	bool same = true;

	for (unsigned i = 0; i < model->effects->len && same; i++) {
		const struct effect *effect = &g_array_index(model->effects, struct effect, i);
		const struct verify_event *event;

		if (!kinds[effect->kind].ordered)
			continue;
		event = next_ordered(model, &from);
		same = event && event->kind == effect->kind;
		if (event && !same)
			verify_differs(model->result, from,
				       g_strdup_printf("%s first", kevent_names[effect->kind]));
		if (event)
			from = event->next;
	}
	model->result->count[VERIFY_ORDER].recorded++;
	model->result->count[VERIFY_ORDER].predicted += same;
}

/** Events of which nobody can say what for. */
static void count_undecided(struct verify_model *model, uint32_t from)
{
	for (; from != VERIFY_NONE; from = event_at(model, from)->next) {
		struct verify_count *count = &model->result->count[kinds[event_at(model, from)->kind].class];

		if (!kinds[event_at(model, from)->kind].compared || !is_ours(model, event_at(model, from)))
			continue;
		count->recorded++;
		count->undecided++;
	}
}

static void compare(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);

	if (op->kind == VERIFY_OP_OTHER) {
		count_undecided(model, op->first);
		return;
	}
	for (unsigned kind = 0; kind < KEVENT_KINDS; kind++)
		if (kinds[kind].compared && model->recording->machine.kinds[kind])
			compare_kind(model, op->first, op->last, kind);
	compare_order(model, op->first);
}

static void op_begin(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint32_t at;

	model->op = number;
	model->answer = model->map = model->block = op->first;
	g_array_set_size(model->effects, 0);
	model->sim->cpu = op->cpu;
	model->sim->actor = number + 1;
	model->sim->now_ns = event_at(model, op->first)->time_ns;
	/* Another CPU may have found out since. */
	at = verify_find(model->recording, op->first, KEVENT_IOVA_ALLOC);
	if (!model->dev.config.forcedac && at != VERIFY_NONE &&
	    behaves(model->sim, IOVA_32BIT_RETRY) == IOVA_32BIT_STICKY)
		model->dev.try_32bit = at < model->gave_up;
}

/** Returns the event at which it showed that there is no address below 4 GiB: from then on none is asked for. */
static uint32_t find_gave_up(const struct verify_recording *recording)
{
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];
		uint32_t answer;

		if (event->kind != KEVENT_IOVA_ALLOC || event->op == VERIFY_NONE ||
		    event->field[KEVENT_FLUSH] || event->field[KEVENT_OBJECT] != recording->machine.iovad)
			continue;
		answer = verify_find(recording, event->next, KEVENT_IOVA_ALLOC_RET);
		if (answer != VERIFY_NONE && !recording->events[answer].field[KEVENT_PFN])
			return answer;
	}
	return VERIFY_NONE;
}

static void op_end(struct verify_model *model, uint32_t number)
{
	compare(model, number);
	fault_rules_arm(NULL, model->sim);
	g_clear_pointer(&model->failure, fault_rules_free);
}

/* ---- flushes ---- */

static bool op_queues(const struct verify_op *op)
{
	return op->kind == VERIFY_OP_COMPLETE || op->kind == VERIFY_OP_RELEASE;
}

static uint32_t op_flush(const struct verify_recording *recording, const struct verify_op *op)
{
	uint32_t at = verify_find(recording, op->first, KEVENT_INVALIDATE);

	return at == VERIFY_NONE ? verify_find(recording, op->first, KEVENT_QI_SUBMIT) : at;
}

/** Lets @run act for the timer's flush, whose effects are kept apart from those of ops that run meanwhile. */
static void flush_act(struct verify_model *model, void (*run)(struct verify_model *model, uint32_t at),
		      uint32_t at)
{
	GArray *effects = model->effects;
	unsigned cpu = model->sim->cpu;

	model->effects = model->flush_effects;
	model->sim->cpu = verify_op(model->recording, model->flush)->cpu;
	run(model, at);
	model->effects = effects;
	model->sim->cpu = cpu;
}

/** Whoever queues from now on knows of the flush. */
static void flush_notice(struct verify_model *model)
{
	model->notice = VERIFY_NONE;
	if (model->dev.fq)
		fq_hold(model->dev.fq, false);
}

/** An op that flushed and gave back what was in its ring comes to an end with event @at: only now it queues. */
static void queue_last(struct verify_model *model, uint32_t at)
{
	uint32_t number = model->queuing[event_at(model, at)->cpu];

	if (number == VERIFY_NONE || verify_op(model->recording, number)->last != at)
		return;
	model->sim->cpu = event_at(model, at)->cpu;
	fq_queued_now(model->dev.fq);
	model->queuing[model->sim->cpu] = VERIFY_NONE;
}

/** A flush starts in op @number: it is over when that gives something back, or ends. */
static void flush_hold(struct verify_model *model, uint32_t number)
{
	const struct verify_recording *recording = model->recording;
	const struct verify_op *op = verify_op(recording, number);
	uint32_t freed = verify_find(recording, op_flush(recording, op), KEVENT_IOVA_FREE);

	fq_hold(model->dev.fq, true);
	model->notice = MIN(freed, event_at(model, op->last)->follows);
}

/** Whether the model has given back what the event at @at says, in this flush. */
static bool flush_has(const struct verify_model *model, uint32_t at)
{
	for (unsigned i = model->effects->len; i-- > 0;) {
		const struct effect *effect = &g_array_index(model->effects, struct effect, i);

		if (effect->kind == KEVENT_IOVA_FREE &&
		    effect->field[KEVENT_PFN] == event_at(model, at)->field[KEVENT_PFN])
			return true;
	}
	return false;
}

/** Something is given back in the recording: the next ring that has it as its oldest is emptied. */
static void flush_step(struct verify_model *model, uint32_t at)
{
	uint64_t oldest;

	if (event_at(model, at)->kind != KEVENT_IOVA_FREE)
		return;
	if (flush_has(model, at))
		return;
	for (unsigned ring = model->flush_ring; ring < fq_ring_count(model->dev.fq); ring++) {
		if (!fq_ring_oldest(model->dev.fq, ring, &oldest) ||
		    oldest != event_at(model, at)->field[KEVENT_PFN])
			continue;
		model->flush_ring = ring + 1;
		fq_timeout_ring(model->dev.fq, ring);
		return;
	}
}

static void flush_last(struct verify_model *model, uint32_t at)
{
	for (; model->flush_ring < fq_ring_count(model->dev.fq); model->flush_ring++)
		fq_timeout_ring(model->dev.fq, model->flush_ring);
	compare(model, model->flush);
}

static void flush_first(struct verify_model *model, uint32_t at)
{
	fq_timeout_flush(model->dev.fq);
}

static void flush_end(struct verify_model *model)
{
	flush_act(model, flush_last, 0);
	model->flush = VERIFY_NONE;
}

/** The timer's flush begins with its invalidation, and gives back one thing after another; meanwhile others unmap. */
static void flush_begin(struct verify_model *model, uint32_t number)
{
	if (!model->dev.fq)
		return;
	if (model->flush != VERIFY_NONE)
		flush_end(model);
	model->flush = number;
	flush_hold(model, number);
	model->flush_ring = 0;
	g_array_set_size(model->flush_effects, 0);
	flush_act(model, flush_first, 0);
}

/** All that happened before event @at has: the flush is over when its stream does something else. Until then rings that it has
 *  not come to may be emptied by their CPUs. */
static void flush_go(struct verify_model *model, uint32_t at)
{
	if (model->flush == VERIFY_NONE)
		return;
	if (event_at(model, verify_op(model->recording, model->flush)->last)->follows <= at)
		flush_end(model);
	else if (event_at(model, at)->op == model->flush)
		flush_act(model, flush_step, at);
}

/* ---- when queued ranges come and go ---- */

/** Where the recorded kernel gave back what, and when it flushed. */
struct queue_times {
	GHashTable *frees; /* pfn -> GArray of events, ascending */
	GArray *flushes;   /* of events: invalidations of everything */
	GArray *finishes;  /* of events: something is given back by whom flushed */
	GArray **undos;	   /* per CPU: numbers of the ops that queue, ascending */
};

static void free_times(void *data)
{
	g_array_unref(data);
}

static int compare_events(const void *a, const void *b)
{
	uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

	return (first > second) - (first < second);
}

static void times_init(struct queue_times *times, const struct verify_recording *recording)
{
	times->frees = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, free_times);
	times->flushes = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	times->finishes = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	times->undos = g_new(GArray *, recording->machine.cpus);
	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++)
		times->undos[cpu] = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];
		GArray *at;

		if (event->kind != KEVENT_IOVA_FREE)
			continue;
		at = g_hash_table_lookup(times->frees, &event->field[KEVENT_PFN]);
		if (!at) {
			at = g_array_new(FALSE, FALSE, sizeof(uint32_t));
			g_hash_table_insert(times->frees,
					    g_memdup2(&event->field[KEVENT_PFN], sizeof(uint64_t)), at);
		}
		g_array_append_val(at, i);
	}
	for (uint32_t number = 0; number < recording->ops->len; number++) {
		const struct verify_op *op = verify_op(recording, number);
		uint32_t flush = op_flush(recording, op);

		if (op_queues(op))
			g_array_append_val(times->undos[op->cpu], number);
		if (flush == VERIFY_NONE || !(op_queues(op) || op->kind == VERIFY_OP_FLUSH))
			continue;
		g_array_append_val(times->flushes, flush);
		flush = verify_find(recording, flush, KEVENT_IOVA_FREE);
		if (flush != VERIFY_NONE)
			g_array_append_val(times->finishes, flush);
	}
	g_array_sort(times->flushes, compare_events);
	g_array_sort(times->finishes, compare_events);
}

static void times_finish(struct queue_times *times, const struct verify_recording *recording)
{
	g_hash_table_unref(times->frees);
	g_array_unref(times->flushes);
	g_array_unref(times->finishes);
	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++)
		g_array_unref(times->undos[cpu]);
	g_free(times->undos);
}

/** Returns the first element of @array, which ascends, above @value: VERIFY_NONE if there is none. */
static uint32_t first_above(const GArray *array, uint32_t value)
{
	unsigned low = 0, high = array->len;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (g_array_index(array, uint32_t, middle) > value)
			high = middle;
		else
			low = middle + 1;
	}
	return low < array->len ? g_array_index(array, uint32_t, low) : VERIFY_NONE;
}

/** Returns the first op on @number's CPU, after it, that gives something back; VERIFY_NONE if there is none. */
static uint32_t next_reaper(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number)
{
	const GArray *undos = times->undos[verify_op(recording, number)->cpu];

	while ((number = first_above(undos, number)) != VERIFY_NONE)
		if (verify_find(recording, verify_op(recording, number)->first, KEVENT_IOVA_FREE) !=
		    VERIFY_NONE)
			break;
	return number;
}

/** Whether what op @number unmaps at @unmap was queued before the flush at @flush: then it goes back when its ring is looked at
 *  first after that, by the timer's flush or when this CPU unmaps again. */
static bool queued_before(const struct verify_recording *recording, const struct queue_times *times,
			  uint32_t number, uint32_t unmap, uint32_t flush)
{
	uint64_t pfn = recording->events[unmap].field[KEVENT_ADDR] / FRAME_SIZE;
	const GArray *frees = g_hash_table_lookup(times->frees, &pfn);
	uint32_t freed = frees ? first_above(frees, unmap) : VERIFY_NONE, reaper;
	const struct verify_op *flushing, *op;

	if (freed == VERIFY_NONE || recording->events[freed].op == recording->events[flush].op)
		return true;
	reaper = next_reaper(recording, times, number);
	if (recording->events[freed].op != reaper)
		return false;
	flushing = verify_op(recording, recording->events[flush].op);
	op = verify_op(recording, reaper);
	/* By then the timer's flush would have emptied the ring. */
	if (flushing->kind == VERIFY_OP_FLUSH && op->first > flushing->last)
		return false;
	return freed < op_flush(recording, op);
}

/** Returns the event at which the flush of op @number starts, which the recording bounds by @begin and @due:
 *  before what it did not cover, although that was queued and done with before the invalidation. */
static uint32_t flush_event(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number, uint32_t begin, uint32_t due, uint64_t *choices)
{
	uint32_t flush = op_flush(recording, verify_op(recording, number));

	for (uint32_t cpu = 0; cpu < recording->machine.cpus; cpu++) {
		const GArray *undos = times->undos[cpu];

		for (unsigned i = undos->len; i-- > 0;) {
			uint32_t other = g_array_index(undos, uint32_t, i), unmap;
			const struct verify_op *op = verify_op(recording, other);

			if (op->last < begin)
				break;
			unmap = verify_find(recording, op->first, KEVENT_UNMAP);
			if (other == number || unmap == VERIFY_NONE || unmap <= begin || op->last > due ||
			    queued_before(recording, times, other, unmap, flush))
				continue;
			++*choices;
			due = MIN(due, unmap - 1);
		}
	}
	return due;
}

/** Returns the event at which op @number queues what it unmaps, which the recording bounds by @unmap and the op's end: after the
 *  flushes in between that did not cover it. */
static uint32_t queue_event(const struct verify_recording *recording, const struct queue_times *times,
			    uint32_t number, uint32_t unmap, uint64_t *choices)
{
	const struct verify_op *op = verify_op(recording, number);
	uint32_t own = op_flush(recording, op), due = unmap;

	if (own != VERIFY_NONE) {
		/* It found its ring full: what another flush covered was not known to be free. */
		due = MIN(own, first_above(times->finishes, unmap) - 1);
		*choices += due != own;
		return flush_event(recording, times, number, unmap, due, choices);
	}
	for (uint32_t flush = first_above(times->flushes, unmap); flush < op->last;
	     flush = first_above(times->flushes, flush)) {
		++*choices;
		if (!queued_before(recording, times, number, unmap, flush))
			due = flush + 1;
	}
	return due;
}

/* ---- running ---- */

static void run_op(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);

	op_begin(model, number);
	switch (op->kind) {
	case VERIFY_OP_SUBMIT:
		submit(model, number);
		break;
	case VERIFY_OP_COMPLETE:
		complete(model, number);
		break;
	case VERIFY_OP_COHERENT:
		shared_alloc(model, op->first, op->bytes);
		break;
	case VERIFY_OP_RELEASE:
		release(model, number);
		break;
	default:
		break;
	}
	op_end(model, number);
}

static void run_due(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	uint32_t freed, flush;

	if (op->kind == VERIFY_OP_FLUSH) {
		flush_begin(model, number);
		return;
	}
	if (!model->dev.fq || !op_queues(op)) {
		run_op(model, number);
		return;
	}
	/* Where this op gives back what was queued, the flush that covers it is over. */
	freed = verify_find(model->recording, op->first, KEVENT_IOVA_FREE);
	flush = op_flush(model->recording, op);
	if (freed < flush)
		flush_notice(model);
	if (flush != VERIFY_NONE) {
		flush_hold(model, number);
		model->queuing[op->cpu] = number;
	}
	run_op(model, number);
}

void verify_model_run(struct verify_model *model, uint32_t end)
{
	for (; model->at < MIN(end, model->recording->event_count); model->at++) {
		if (model->at >= model->notice)
			flush_notice(model);
		queue_last(model, model->at);
		flush_go(model, model->at);
		for (uint32_t op = model->due[model->at]; op != VERIFY_NONE; op = model->due_next[op])
			run_due(model, op);
	}
	if (model->at == model->recording->event_count && model->flush != VERIFY_NONE)
		flush_end(model);
}

/** Returns the event at which op @number takes effect: what undoes, where it begins to; what does, where it has done. */
static uint32_t due_event(const struct verify_recording *recording, const struct queue_times *times,
			  uint32_t number, uint64_t *choices)
{
	const struct verify_op *op = verify_op(recording, number);
	uint32_t at;

	switch (op->kind) {
	case VERIFY_OP_COMPLETE:
	case VERIFY_OP_RELEASE:
		at = verify_find(recording, op->first, KEVENT_UNMAP);
		if (at == VERIFY_NONE)
			return op->first;
		return recording->machine.lazy ? queue_event(recording, times, number, at, choices) : at;
	case VERIFY_OP_FLUSH:
		at = op_flush(recording, op);
		return at == VERIFY_NONE ? op->first
					 : flush_event(recording, times, number, op->first, at, choices);
	case VERIFY_OP_SUBMIT:
		/* A failure shows what there was not when the map began. */
		at = verify_find(recording, op->first, KEVENT_FAIL_PAGE);
		if (at != VERIFY_NONE)
			return verify_find(recording, op->first, KEVENT_MAP_NOSYNC);
		return op->last;
	default:
		return op->last;
	}
}

static void plan(struct verify_model *model)
{
	const struct verify_recording *recording = model->recording;
	struct queue_times times;

	times_init(&times, recording);
	model->due = g_new(uint32_t, recording->event_count + 1);
	model->due_next = g_new(uint32_t, recording->ops->len + 1);
	memset(model->due, 0xff, sizeof(uint32_t) * (recording->event_count + 1));
	for (uint32_t number = recording->ops->len; number-- > 0;) {
		uint32_t at = due_event(recording, &times, number, &model->result->choices);

		at = MIN(at, recording->event_count - 1);
		model->due_next[number] = model->due[at];
		model->due[at] = number;
	}
	times_finish(&times, recording);
}

/* ---- the machine ---- */

static void listen(struct verify_model *model)
{
	model->observer = (struct sim_observer){.iova_attempt = heard_attempt,
						.map_call = heard_map_call,
						.map_event = heard_map_event,
						.unmap = heard_unmap,
						.invalidate = heard_invalidate,
						.dma_call = heard_call,
						.data = model};
	sim_observe(model->sim, &model->observer);
	model->iommu->watch.command = heard_command;
	model->iommu->watch.data = model;
}

static int build(struct verify_model *model, const struct machine_config *config)
{
	const struct verify_machine *machine = &model->recording->machine;
	struct pgtable_config pgtable = {.ias_bits = 12 + 9 * (unsigned)config->levels,
					 .oas_bits = 52,
					 .top_level = (unsigned)config->levels - 1};
	struct nvme_config nvme = {.io_queues = MAX(machine->queues, 1),
				   .depth = DEPTH,
				   .sgl = config->sgl,
				   .sgl_threshold = (uint32_t)config->sgl_threshold,
				   .logical_block_bytes = (uint32_t)config->logical_block_bytes};
	struct dma_config dma = {.name = "nvme0",
				 .mask = UINT64_MAX >> (64 - config->dma_bits),
				 .forcedac = config->forcedac,
				 .min_align_mask = NVME_PAGE - 1};
	struct iotlb_config tlb;
	int err;

	machine_config_tlb(config, &tlb);
	model->iommu = iommu_new(model->sim, machine_config_hardware(config), &tlb);
	model->iommu->caching_mode = config->caching_mode;
	err = iommu_domain_new(model->iommu, machine->domain_id, &pgtable, &model->domain);
	if (!err)
		err = iommu_domain_attach(model->domain);
	if (err)
		return err;
	model->iovad =
		iova_domain_new(model->sim, FRAME_SIZE, machine->start_pfn, machine->domain_id, EVENT_KINDS);
	iova_set_recorded(model->iovad, &recorded_ops, model);
	dma.aperture_end = UINT64_MAX >> (64 - model->domain->pt->config.ias_bits);
	dma_device_init(&model->dev, model->sim, &dma, model->domain, model->iovad);
	if (config->iommu_mode == IOMMU_LAZY && !config->caching_mode)
		model->dev.fq = fq_new(model->domain, model->iovad, config->flush_queue == FLUSH_QUEUE_SINGLE,
				       1000000000 / config->hz, 0, machine->domain_id);
	model->memory = (struct dma_memory_ops){.alloc_coherent = plain_alloc,
						.free_coherent = plain_free,
						.pool_alloc = block_alloc,
						.pool_free = block_free,
						.data = model};
	model->dev.memory = &model->memory;
	return nvme_new(model->sim, &model->dev, &nvme, &model->nvme);
}

struct verify_model *verify_model_new(const struct verify_recording *recording,
				      const struct machine_config *config, struct verify_result *result,
				      GError **error)
{
	struct verify_model *model = g_new0(struct verify_model, 1);
	int err;

	model->recording = recording;
	model->result = result;
	model->flush = model->notice = VERIFY_NONE;
	model->sim = sim_new(recording->machine.cpus, config->seed);
	behaviour_set_version(model->sim, (enum kernel_version)config->version);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		model->sim->behaviour[row] = (uint8_t)machine_config_behaviour(config, (enum behaviour)row);
	model->effects = g_array_new(FALSE, FALSE, sizeof(struct effect));
	model->flush_effects = g_array_new(FALSE, FALSE, sizeof(struct effect));
	model->flights = g_hash_table_new_full(NULL, NULL, NULL, flight_free);
	model->shared = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, shared_free);
	model->pools = verify_pools_new(recording, result);
	model->queuing = g_new(uint32_t, recording->machine.cpus);
	memset(model->queuing, 0xff, recording->machine.cpus * sizeof(uint32_t));
	plan(model);
	model->gave_up = find_gave_up(recording);
	err = build(model, config);
	if (err) {
		sim_error_plain(error, "%s: the machine cannot be made: %s", recording->path,
				g_strerror(-err));
		verify_model_free(model);
		return NULL;
	}
	listen(model);
	return model;
}

void verify_model_free(struct verify_model *model)
{
	if (!model)
		return;
	if (model->sim)
		model->sim->observers = NULL;
	nvme_free(model->nvme);
	if (model->dev.sim) {
		fq_free(model->dev.fq);
		dma_device_finish(&model->dev);
	}
	iova_domain_free(model->iovad);
	iommu_domain_free(model->domain);
	if (model->iommu)
		iommu_free(model->iommu);
	g_hash_table_unref(model->flights);
	g_hash_table_unref(model->shared);
	verify_pools_free(model->pools);
	g_array_unref(model->effects);
	g_array_unref(model->flush_effects);
	g_clear_pointer(&model->failure, fault_rules_free);
	g_free(model->queuing);
	g_free(model->due);
	g_free(model->due_next);
	sim_free(model->sim);
	g_free(model);
}
