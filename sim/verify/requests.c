/* SPDX-License-Identifier: MIT */
/*
 * Commands, their data, and memory shared with the device, made from what the recording tells of them.
 */
#include <errno.h>

#include "sim/verify/model-internal.h"

#define SHARED_MAX  (UINT64_C(1) << 28) /* bytes of one allocation; more is an error in the recording, */
#define DATA_MAX    (UINT64_C(1) << 26) /* and of one command: the driver's limit is far below */
#define ATTEMPT_OPS 100000		/* how many ops later a command is tried again at most */

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
	uint64_t size; /* as asked for */
};

/* ---- shared memory ---- */

/** The pieces of memory that the maps from @from on name, of @bytes together. */
static struct scatterlist *shared_pieces(struct verify_model *model, uint32_t from, uint64_t bytes,
					 unsigned *ret_count)
{
	GArray *pieces = g_array_new(FALSE, TRUE, sizeof(struct scatterlist));
	uint64_t total = 0;

	for (uint32_t at = from; at != VERIFY_NONE && total < bytes; at = verify_event_at(model, at)->next) {
		const struct verify_event *event = verify_event_at(model, at);
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
		struct scatterlist rest = {
			.paddr = VERIFY_SOMEWHERE, .len = bytes - total, .padded = bytes - total};

		g_array_append_val(pieces, rest);
	}
	*ret_count = pieces->len;
	return (struct scatterlist *)(void *)g_array_free(pieces, FALSE);
}

uint64_t verify_shared_alloc(struct verify_model *model, uint32_t from, uint64_t size)
{
	uint64_t bytes = (size + FRAME_SIZE - 1) & -(uint64_t)FRAME_SIZE;
	struct shared *shared;
	int err;

	if (!bytes || bytes > SHARED_MAX)
		return DMA_MAPPING_ERROR;
	shared = g_new0(struct shared, 1);
	shared->sgt.sgl = shared_pieces(model, from, bytes, &shared->sgt.orig_nents);
	model->sharing = true;
	err = dma_map_noncontiguous(&model->dev, &shared->sgt);
	model->sharing = false;
	if (err) {
		g_free(shared->sgt.sgl);
		g_free(shared);
		return DMA_MAPPING_ERROR;
	}
	shared->iova = shared->sgt.sgl[0].dma_addr;
	shared->size = size;
	g_hash_table_replace(model->shared, &shared->iova, shared);
	VERIFY_EFFECT(model, KEVENT_DMA_ALLOC, VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE),
		      [KEVENT_ADDR] = shared->iova, [KEVENT_SIZE] = size);
	VERIFY_EFFECT(model, KEVENT_DMA_ALLOC_CALL, VERIFY_HAS(KEVENT_SIZE), [KEVENT_SIZE] = size);
	return shared->iova;
}

void verify_shared_free(void *data)
{
	struct shared *shared = data;

	g_free(shared->sgt.sgl);
	g_free(shared);
}

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

/* ---- pools ---- */

/** Whether the op that runs allocates memory in the recording, beside what its data took. */
static bool recorded_growth(const struct verify_model *model)
{
	const struct verify_machine *machine = &model->recording->machine;
	enum kevent_kind kind = machine->kinds[KEVENT_DMA_ALLOC] ? KEVENT_DMA_ALLOC : KEVENT_MAP;

	return verify_find(model->recording, model->answer, kind) != VERIFY_NONE;
}

/** A block from a pool whose calls were not recorded: that CPUs came in the order of the ops is a guess, so where the recording
 *  shows that a page was allocated, or not, that counts. */
static bool guess_block(struct verify_model *model, bool small, struct verify_block *ret_block)
{
	GArray *free = small ? model->small_blocks : model->large_blocks;
	bool grows = recorded_growth(model);

	model->result->choices += grows != !free->len;
	*ret_block = (struct verify_block){.grows = grows};
	if (!grows && free->len) {
		ret_block->addr = g_array_index(free, uint64_t, free->len - 1);
		g_array_set_size(free, free->len - 1);
	}
	return true;
}

static void free_guessed(struct verify_model *model, bool small, uint64_t page, uint32_t from)
{
	GArray *free = small ? model->small_blocks : model->large_blocks;
	uint32_t bytes = small ? NVME_SMALL_POOL_BYTES : NVME_PAGE;

	for (uint32_t offset = FRAME_SIZE; offset > from; offset -= bytes) {
		uint64_t addr = page + offset - bytes;

		g_array_append_val(free, addr);
	}
}

static bool recorded_block(struct verify_model *model, struct dma_pool *pool, struct verify_block *ret_block)
{
	bool small = pool->block_bytes == NVME_SMALL_POOL_BYTES;

	if (!model->recording->machine.kinds[KEVENT_POOL_ALLOC])
		return guess_block(model, small, ret_block);
	model->block = verify_find(model->recording, model->block, KEVENT_POOL_ALLOC);
	if (model->block == VERIFY_NONE)
		return false;
	if (!verify_pools_alloc(model->pools, model->block, model->at, small, ret_block))
		verify_differs(
			model->result, model->block,
			g_strdup_printf("a block of %u bytes, from the other pool", pool->block_bytes));
	model->block = verify_event_at(model, model->block)->next;
	return true;
}

static int block_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block)
{
	struct verify_model *model = pool->dev->memory->data;
	bool known = model->recording->machine.kinds[KEVENT_POOL_ALLOC];
	struct verify_block block = {0};
	uint64_t page;

	VERIFY_EFFECT(model, KEVENT_POOL_ALLOC, 0, 0);
	recorded_block(model, pool, &block);
	if (block.grows) {
		page = verify_shared_alloc(model, known ? model->block : model->answer, FRAME_SIZE);
		if (page == DMA_MAPPING_ERROR)
			return -ENOMEM;
		if (!known) {
			block.addr = page;
			free_guessed(model, pool->block_bytes == NVME_SMALL_POOL_BYTES, page,
				     pool->block_bytes);
		}
	}
	ret_block->paddr = physmem_alloc(&model->sim->mem, 0, FRAME_NVME_POOL);
	ret_block->addr = block.addr;
	return 0;
}

static void block_free(struct dma_pool *pool, const struct dma_pool_block *block)
{
	struct verify_model *model = pool->dev->memory->data;

	VERIFY_EFFECT(model, KEVENT_POOL_FREE, VERIFY_HAS(KEVENT_ADDR), [KEVENT_ADDR] = block->addr);
	if (!model->recording->machine.kinds[KEVENT_POOL_ALLOC])
		g_array_append_val(pool->block_bytes == NVME_SMALL_POOL_BYTES ? model->small_blocks
									      : model->large_blocks,
				   block->addr);
	physmem_free(&model->sim->mem, block->paddr, 0);
}

void verify_memory_init(struct verify_model *model)
{
	model->memory = (struct dma_memory_ops){.alloc_coherent = plain_alloc,
						.free_coherent = plain_free,
						.pool_alloc = block_alloc,
						.pool_free = block_free,
						.data = model};
	model->dev.memory = &model->memory;
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
	const struct verify_event *first = verify_event_at(model, a->first),
				  *second = verify_event_at(model, b->first);

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

/** Returns the next map after @at of the same list: it goes on where that ended. VERIFY_NONE after the last. */
static uint32_t next_page(const struct verify_model *model, uint32_t at)
{
	const struct verify_event *event = verify_event_at(model, at);
	uint64_t end = event->field[KEVENT_ADDR] + event->field[KEVENT_SIZE];

	at = verify_find(model->recording, event->next, KEVENT_MAP);
	return at != VERIFY_NONE && verify_event_at(model, at)->field[KEVENT_ADDR] == end ? at : VERIFY_NONE;
}

/** Whether the request's own size is that of its data: a discard's is that of the range it is about. */
static bool tells_size(const struct verify_op *op)
{
	return op->issued && op->bytes && op->io_op != IO_DISCARD;
}

/** The data as the old mapper's events have them: whole pages of a list, or one piece with its offset in the first. */
static void take_pages(const struct verify_model *model, const struct verify_op *op, GArray *vecs)
{
	uint64_t left = op->bytes, mapped = 0, skip = 0;
	uint32_t call = verify_find(model->recording, op->first, KEVENT_DMA_MAP_CALL),
		 first = verify_find(model->recording, op->first, KEVENT_MAP);

	for (uint32_t at = first; at != VERIFY_NONE; at = next_page(model, at))
		mapped += verify_event_at(model, at)->field[KEVENT_SIZE];
	if (call != VERIFY_NONE) {
		skip = verify_event_at(model, call)->field[KEVENT_OFFSET] % FRAME_SIZE;
		if (!tells_size(op))
			left = verify_event_at(model, call)->field[KEVENT_SIZE];
	} else if (mapped > left && mapped - left >= FRAME_SIZE) {
		/* The list begins inside a page; any place from which its last page is needed does. */
		skip = mapped - left - FRAME_SIZE + 1;
		skip = (skip + 511) & ~UINT64_C(511);
	}
	for (uint32_t at = first; at != VERIFY_NONE && left; at = next_page(model, at)) {
		const struct verify_event *event = verify_event_at(model, at);
		struct bio_vec vec = {event->field[KEVENT_PADDR] + skip, event->field[KEVENT_SIZE] - skip};

		if (event->field[KEVENT_SIZE] <= skip)
			continue;
		vec.len = MIN(vec.len, left);
		left -= vec.len;
		skip = 0;
		g_array_append_val(vecs, vec);
	}
}

/** Makes the vectors @bytes together, by the last one. */
static void fit_last(GArray *vecs, uint64_t bytes)
{
	uint64_t before = 0;

	if (!vecs->len)
		return;
	for (unsigned i = 0; i + 1 < vecs->len; i++)
		before += g_array_index(vecs, struct bio_vec, i).len;
	if (before < bytes)
		g_array_index(vecs, struct bio_vec, vecs->len - 1).len = bytes - before;
}

static void take_segments(const struct verify_model *model, const struct verify_op *op, GArray *vecs)
{
	bool links = verify_find(model->recording, op->first, KEVENT_LINK) != VERIFY_NONE;

	for (uint32_t at = op->first; at != VERIFY_NONE; at = verify_event_at(model, at)->next) {
		const struct verify_event *event = verify_event_at(model, at);
		struct bio_vec vec = {event->field[KEVENT_PADDR], event->field[KEVENT_SIZE]};

		if (event->kind == (links ? KEVENT_LINK : KEVENT_DMA_MAP) && vec.len)
			g_array_append_val(vecs, vec);
	}
	if (tells_size(op))
		fit_last(vecs, op->bytes);
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

/** The recording lacks where the data lie, and only what was unmapped tells how many pages they took: anywhere will do. */
static void invent_vectors(struct verify_model *model, const struct verify_op *op, GArray *vecs)
{
	uint32_t unmap = op->partner == VERIFY_NONE
				 ? VERIFY_NONE
				 : verify_find(model->recording,
					       verify_op(model->recording, op->partner)->first, KEVENT_UNMAP);
	struct bio_vec vec = {.paddr = VERIFY_SOMEWHERE, .len = op->bytes};
	uint64_t mapped;

	if (unmap == VERIFY_NONE || !op->bytes)
		return;
	mapped = verify_event_at(model, unmap)->field[KEVENT_SIZE];
	/* A page more than they fill: they begin inside one. */
	if (mapped >= op->bytes + FRAME_SIZE)
		vec.paddr += FRAME_SIZE - 512;
	model->result->invented_requests++;
	g_array_append_val(vecs, vec);
	split_vector(model, vecs);
}

static const enum req_op req_ops[IO_OPS] = {
	[IO_READ] = REQ_OP_READ,
	[IO_WRITE] = REQ_OP_WRITE,
	[IO_FLUSH] = REQ_OP_FLUSH,
	[IO_DISCARD] = REQ_OP_DISCARD,
	[IO_WRITE_ZEROES] = REQ_OP_WRITE_ZEROES,
	[IO_PASSTHROUGH] = REQ_OP_DRV,
};

/** A read comes from the device, all others that have data go to it; only a passthrough command does not say. */
static bool is_to_device(const struct verify_model *model, const struct verify_op *op)
{
	if (op->io_op != IO_PASSTHROUGH)
		return op->io_op != IO_READ;
	for (uint32_t at = op->first; at != VERIFY_NONE; at = verify_event_at(model, at)->next) {
		const struct verify_event *event = verify_event_at(model, at);

		if ((is_data(event, false) || event->kind == KEVENT_DMA_MAP_CALL ||
		     event->kind == KEVENT_DMA_MAP_SG) &&
		    verify_has(event, KEVENT_DIR))
			return event->field[KEVENT_DIR] != 2;
	}
	return true;
}

/** Leaves out what is more than any driver takes at once. Returns how many bytes the rest is. */
static uint64_t cut_vectors(GArray *vecs)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < vecs->len; i++) {
		uint64_t len = g_array_index(vecs, struct bio_vec, i).len;

		if (len > DATA_MAX - bytes) {
			g_array_set_size(vecs, i);
			break;
		}
		bytes += len;
	}
	return bytes;
}

static struct flight *flight_new(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, data_op(model, number));
	bool listed = verify_find(model->recording, op->first, KEVENT_TRY_ALLOC) != VERIFY_NONE ||
		      verify_find(model->recording, op->first, KEVENT_DMA_MAP_SG) != VERIFY_NONE;
	GArray *vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	struct flight *flight = g_new0(struct flight, 1);
	struct request *req = &flight->req;
	uint64_t bytes;

	if (model->recording->machine.scatter_lists)
		take_pages(model, op, vecs);
	else
		take_segments(model, op, vecs);
	if (vecs->len == 1 && listed)
		split_vector(model, vecs);
	if (!vecs->len && !listed) {
		invent_vectors(model, op, vecs);
		listed = vecs->len > 0;
	}
	bytes = cut_vectors(vecs);
	flight->bios[1] = 1;
	*req = (struct request){.number = number + 1,
				.bytes = bytes,
				.limits = &model->nvme->limits,
				.vec_count = vecs->len,
				.bio_first = vecs->len == 2 && listed ? flight->bios : NULL,
				.bio_count = 2,
				.special = op->io_op == IO_DISCARD,
				.op = req_ops[op->io_op],
				.to_device = is_to_device(model, op)};
	flight->vecs = req->vecs = (struct bio_vec *)(void *)g_array_free(vecs, FALSE);
	request_prepare(req);
	return flight;
}

void verify_flight_free(void *data)
{
	struct flight *flight = data;

	g_free(flight->vecs);
	g_free(flight);
}

/* ---- ops ---- */

void verify_submit(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);
	struct flight *flight = flight_new(model, number);

	flight->qid = MIN(op->queue, model->nvme->queue_count - 1);
	flight->iod = nvme_get_tag(model->nvme, flight->qid);
	if (!flight->iod) {
		verify_differs(model->result, op->first,
			       g_strdup_printf("no more than %u commands in flight",
					       nvme_queue_tags(&model->nvme->queues[flight->qid])));
		verify_flight_free(flight);
		return;
	}
	if (nvme_prep_rq(model->nvme, flight->iod, &flight->req, op->queue ? 1 : 0) != BLK_STS_OK ||
	    !op->issued) {
		nvme_put_tag(model->nvme, flight->qid, flight->iod);
		verify_flight_free(flight);
		return;
	}
	g_hash_table_insert(model->flights, GUINT_TO_POINTER(number + 1), flight);
}

void verify_complete(struct verify_model *model, uint32_t number)
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

static bool release_at(struct verify_model *model, uint64_t iova)
{
	struct shared *shared = g_hash_table_lookup(model->shared, &iova);

	if (!shared)
		return false;
	VERIFY_EFFECT(model, KEVENT_DMA_FREE, VERIFY_HAS(KEVENT_ADDR) | VERIFY_HAS(KEVENT_SIZE),
		      [KEVENT_ADDR] = iova, [KEVENT_SIZE] = shared->size);
	dma_unmap_noncontiguous(&model->dev, &shared->sgt);
	g_hash_table_remove(model->shared, &iova);
	return true;
}

void verify_release(struct verify_model *model, uint32_t number)
{
	const struct verify_op *op = verify_op(model->recording, number);

	release_at(model, verify_event_at(model, op->first)->field[KEVENT_ADDR]);
}

bool verify_other(struct verify_model *model, uint32_t number)
{
	bool ours = false;

	for (uint32_t at = verify_op(model->recording, number)->first; at != VERIFY_NONE;
	     at = verify_event_at(model, at)->next) {
		const struct verify_event *event = verify_event_at(model, at);
		uint64_t iova = event->field[KEVENT_ADDR], bytes = 0;

		if (event->kind == KEVENT_UNMAP) {
			ours |= g_hash_table_contains(model->shared, &iova) && release_at(model, iova);
		} else if (event->kind == KEVENT_MAP && event->field[KEVENT_PADDR] != iova) {
			uint32_t last = at;

			for (uint32_t page = at; page != VERIFY_NONE; page = next_page(model, page)) {
				bytes += verify_event_at(model, page)->field[KEVENT_SIZE];
				last = page;
			}
			ours |= verify_shared_alloc(model, at, bytes) != DMA_MAPPING_ERROR;
			at = last;
		}
	}
	return ours;
}
