/* SPDX-License-Identifier: MIT */
#include "blockdma/nvme.h"

#include <errno.h>
#include <string.h>

#include "blockdma/controller.h"
#include "blockdma/prep.h"
#include "sim/behaviour/behaviour.h"

static const struct fault_point nvme_points[] = {
	{"nvme.prp_pool", -ENOMEM, "no memory for a PRP list",
	 "nvme_pci_setup_data_prp() in drivers/nvme/host/pci.c"},
	{"nvme.sgl_pool", -ENOMEM, "no memory for an SGL",
	 "nvme_pci_setup_data_sgl() in drivers/nvme/host/pci.c"},
	{"nvme.vec_pool", -ENOMEM, "no element to record mappings in",
	 "nvme_pci_prp_save_mapping() in drivers/nvme/host/pci.c"},
	{"nvme.queue", -ENOMEM, "no memory for a queue: the device works with fewer",
	 "nvme_alloc_queue() in drivers/nvme/host/pci.c"},
	{"nvme.metadata", -ENOMEM, "no memory for an SGL of metadata",
	 "nvme_pci_setup_meta_iter() in drivers/nvme/host/pci.c"},
	{"nvme.discard", -ENOMEM, "no memory for a discard's ranges: they go into the shared page",
	 "nvme_setup_discard() in drivers/nvme/host/core.c"},
	{"nvme.hmb", -ENOMEM, "no memory for a piece of the host memory buffer: smaller ones are tried",
	 "nvme_alloc_host_mem() in drivers/nvme/host/pci.c"},
	{"nvme.dbbuf", -ENOMEM, "no memory for shadow doorbells: registers alone are written",
	 "nvme_dbbuf_dma_alloc() in drivers/nvme/host/pci.c"},
};

const struct fault_table nvme_fault_table = {FAULT_ROOM_NVME, G_N_ELEMENTS(nvme_points), nvme_points};

G_STATIC_ASSERT(sizeof(struct nvme_sqe) == NVME_SQE_BYTES);
G_STATIC_ASSERT(sizeof(struct nvme_cqe) == NVME_CQE_BYTES);
G_STATIC_ASSERT(sizeof(struct nvme_sgl_desc) == 16);

/* ---- queues ---- */

/** nvme_alloc_queue: completion queue first, then submission queue. */
static int nvme_queue_init(struct nvme *nvme, struct nvme_queue *queue, unsigned qid, unsigned depth)
{
	int err = sim_fault(nvme->sim, FAULT_NVME_QUEUE);
	unsigned tags;

	*queue = (struct nvme_queue){.qid = qid,
				     .polled = qid > nvme->config.io_queues - nvme->config.poll_queues,
				     .depth = depth,
				     .sq_order = physmem_order((uint64_t)depth * NVME_SQE_BYTES),
				     .cq_order = physmem_order((uint64_t)depth * NVME_CQE_BYTES),
				     .cq_phase = true,
				     .cq_tail_phase = true,
				     .lock.name = "submission queue"};
	if (err)
		return err;
	err = dma_alloc_coherent(nvme->dev, queue->cq_order, FRAME_NVME_QUEUE, &queue->cq_paddr,
				 &queue->cq_addr);
	if (err)
		return err;
	err = dma_alloc_coherent(nvme->dev, queue->sq_order, FRAME_NVME_QUEUE, &queue->sq_paddr,
				 &queue->sq_addr);
	if (err) {
		dma_free_coherent(nvme->dev, queue->cq_order, queue->cq_paddr, queue->cq_addr);
		return err;
	}
	tags = nvme_queue_tags(queue);
	queue->iods = g_new0(struct nvme_iod, tags);
	queue->free_tags = g_new(uint16_t, tags);
	for (unsigned i = 0; i < tags; i++)
		queue->free_tags[i] = (uint16_t)(tags - 1 - i); /* the lowest tag first */
	queue->free_tag_count = (uint16_t)tags;
	return 0;
}

static void nvme_queue_finish(struct nvme *nvme, struct nvme_queue *queue)
{
	dma_free_coherent(nvme->dev, queue->sq_order, queue->sq_paddr, queue->sq_addr);
	dma_free_coherent(nvme->dev, queue->cq_order, queue->cq_paddr, queue->cq_addr);
	g_free(queue->free_tags);
	g_free(queue->iods);
}

/* ---- shadow doorbells (section 6.2) ---- */

static uint32_t *nvme_dbbuf_value(const struct nvme *nvme, unsigned index)
{
	return (uint32_t *)physmem_bytes(&nvme->sim->mem, nvme->dbbuf.values_paddr) + index;
}

static const uint32_t *nvme_dbbuf_event(const struct nvme *nvme, unsigned index)
{
	return (const uint32_t *)physmem_bytes(&nvme->sim->mem, nvme->dbbuf.events_paddr) + index;
}

static int nvme_dbbuf_alloc(struct nvme *nvme, uint64_t *ret_paddr, uint64_t *ret_addr)
{
	unsigned order = nvme->dbbuf.order;
	int err = sim_fault_size(nvme->sim, FAULT_NVME_DBBUF, (uint64_t)FRAME_SIZE << order);

	return err ? err : dma_alloc_coherent(nvme->dev, order, FRAME_NVME_QUEUE, ret_paddr, ret_addr);
}

/** nvme_dbbuf_dma_alloc: without the memory, the device goes on with registers alone. */
static void nvme_dbbuf_init(struct nvme *nvme)
{
	struct nvme_dbbuf *dbbuf = &nvme->dbbuf;

	dbbuf->order = physmem_order((nvme->config.io_queues + 1) * UINT64_C(8));
	if (nvme_dbbuf_alloc(nvme, &dbbuf->values_paddr, &dbbuf->values_addr) != 0)
		return;
	if (nvme_dbbuf_alloc(nvme, &dbbuf->events_paddr, &dbbuf->events_addr) != 0)
		dma_free_coherent(nvme->dev, dbbuf->order, dbbuf->values_paddr, dbbuf->values_addr);
	else
		dbbuf->used = true;
}

static void nvme_dbbuf_finish(struct nvme *nvme)
{
	struct nvme_dbbuf *dbbuf = &nvme->dbbuf;

	if (!dbbuf->used)
		return;
	dma_free_coherent(nvme->dev, dbbuf->order, dbbuf->values_paddr, dbbuf->values_addr);
	dma_free_coherent(nvme->dev, dbbuf->order, dbbuf->events_paddr, dbbuf->events_addr);
}

/** Whether the controller asked to be told when the value passes @event, and it does on the way from @old to @value. */
static bool nvme_dbbuf_need_event(uint16_t event, uint16_t value, uint16_t old)
{
	return (uint16_t)(value - event - 1) < (uint16_t)(value - old);
}

/** Gives a doorbell of @queue its new @value: in memory, where there is such memory. Returns whether the register has to be
 *  written as well. */
static bool nvme_must_ring(struct nvme *nvme, const struct nvme_queue *queue, unsigned index, uint16_t value)
{
	if (nvme->dbbuf.used && queue->qid) {
		uint32_t *shadow = nvme_dbbuf_value(nvme, index);
		uint16_t old = (uint16_t)*shadow;

		*shadow = value;
		if (!nvme_dbbuf_need_event((uint16_t)*nvme_dbbuf_event(nvme, index), value, old)) {
			nvme->stats.doorbells_saved++;
			return false;
		}
	}
	sim_charge(nvme->sim, WORK_DOORBELL, 1);
	nvme->stats.doorbells++;
	return true;
}

/* ---- probing ---- */

static uint32_t nvme_segments_max(const struct nvme *nvme, bool large)
{
	if (!nvme_maps_sg(nvme))
		return NVME_MAX_SEGMENTS;
	return large ? NVME_SG_SEGMENTS : NVME_SG_SEGMENTS_4M;
}

/** What the driver tells the block layer: section 1.7, of scatter lists 1.1 and 1.2. */
static void nvme_set_limits(struct nvme *nvme)
{
	struct queue_limits *limits = &nvme->limits;
	unsigned transfer = behaves(nvme->sim, NVME_TRANSFER_LIMIT);
	bool large = transfer == NVME_TRANSFER_8M_OPTIMAL;

	limits->max_bytes = large ? NVME_MAX_BYTES : NVME_MAX_BYTES_4M;
	limits->max_bytes = MIN(limits->max_bytes, transfer == NVME_TRANSFER_4M ? dma_max_mapping_size(nvme->dev)
										  : dma_opt_mapping_size(nvme->dev));
	if (nvme->config.mdts)
		limits->max_bytes = MIN(limits->max_bytes, (uint64_t)NVME_PAGE << nvme->config.mdts);
	limits->max_segments =
		MIN((uint32_t)(limits->max_bytes / NVME_PAGE) + 1, nvme_segments_max(nvme, large));
	limits->page_lg2 = (uint8_t)nvme->dev->granule_lg2; /* no kernel runs with smaller ones */
	limits->logical_block_bytes = nvme->config.logical_block_bytes;
	limits->virt_boundary_mask = nvme->config.sgl && !nvme_maps_sg(nvme) ? 0 : NVME_PAGE - 1;
	limits->seg_boundary_mask = nvme_maps_sg(nvme) ? UINT32_MAX : 0;
	limits->max_integrity_segments =
		nvme->config.meta_sgl && !nvme_maps_sg(nvme) ? NVME_MAX_META_SEGMENTS : 1;
}

int nvme_new(struct sim *sim, struct dma_device *dev, const struct nvme_config *config,
	     struct nvme **ret_nvme)
{
	struct nvme *nvme = g_new0(struct nvme, 1);
	int err;

	nvme->sim = sim;
	nvme->dev = dev;
	nvme->config = *config;
	nvme->vecs = g_ptr_array_new_with_free_func(g_free);
	nvme->free_vecs = g_ptr_array_new();
	nvme->hmb.blocks = g_array_new(FALSE, FALSE, sizeof(struct nvme_hmb_block));
	nvme->tables = g_ptr_array_new_with_free_func(g_free);
	nvme->free_tables = g_ptr_array_new();
	nvme_set_limits(nvme);
	nvme->abort_limit = (int)config->acl + 1;
	nvme->abort_request = (struct request){.op = REQ_OP_DRV};
	nvme->discard_page = physmem_alloc(&sim->mem, 0, FRAME_NVME_POOL);
	nvme->queues = g_new0(struct nvme_queue, config->io_queues + 1);
	dma_pool_init(&nvme->large_pool, dev, "nvme descriptor page", NVME_PAGE);
	dma_pool_init(&nvme->small_pool, dev, "nvme descriptor 256", NVME_SMALL_POOL_BYTES);
	err = nvme_queue_init(nvme, &nvme->queues[0], 0, NVME_ADMIN_DEPTH);
	if (err) {
		nvme_free(nvme);
		return err;
	}
	if (config->shadow_doorbells)
		nvme_dbbuf_init(nvme);
	nvme_hmb_alloc(nvme);
	nvme->stats.hmb_bytes = nvme->hmb.bytes;
	for (nvme->queue_count = 1; nvme->queue_count <= config->io_queues; nvme->queue_count++)
		if (nvme_queue_init(nvme, &nvme->queues[nvme->queue_count], nvme->queue_count,
				    config->depth) != 0)
			break;
	*ret_nvme = nvme;
	return 0;
}

void nvme_free(struct nvme *nvme)
{
	if (!nvme)
		return;
	dma_pool_finish(&nvme->small_pool);
	dma_pool_finish(&nvme->large_pool);
	while (nvme->queue_count > 0)
		nvme_queue_finish(nvme, &nvme->queues[--nvme->queue_count]);
	nvme_hmb_free(nvme);
	g_array_unref(nvme->hmb.blocks);
	nvme_dbbuf_finish(nvme);
	physmem_free(&nvme->sim->mem, nvme->discard_page, 0);
	g_ptr_array_unref(nvme->free_vecs);
	g_ptr_array_unref(nvme->vecs);
	g_ptr_array_unref(nvme->free_tables);
	g_ptr_array_unref(nvme->tables);
	g_free(nvme->queues);
	g_free(nvme);
}

struct nvme_iod *nvme_get_tag(struct nvme *nvme, unsigned qid)
{
	struct nvme_queue *queue = &nvme->queues[qid];
	uint16_t tag;

	if (!queue->free_tag_count)
		return NULL;
	tag = queue->free_tags[--queue->free_tag_count];
	/* Written here and not at the probe: what is never used of deep queues costs no memory. */
	queue->iods[tag].tag = tag;
	return &queue->iods[tag];
}

void nvme_put_tag(struct nvme *nvme, unsigned qid, struct nvme_iod *iod)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	iod->req = NULL;
	queue->free_tags[queue->free_tag_count++] = iod->tag;
}

/* ---- discards (section 6.10) ---- */

enum blk_status nvme_setup_discard(struct nvme *nvme, struct nvme_iod *iod)
{
	if (!sim_fault_size(nvme->sim, FAULT_NVME_DISCARD, NVME_DSM_BYTES))
		return BLK_STS_OK;
	if (nvme->discard_page_busy)
		return BLK_STS_RESOURCE;
	nvme->discard_page_busy = true;
	iod->discard_vec = (struct bio_vec){nvme->discard_page, NVME_DSM_BYTES};
	iod->discard_own = iod->req->vecs;
	iod->req->vecs = &iod->discard_vec;
	return BLK_STS_OK;
}

void nvme_cleanup_discard(struct nvme *nvme, struct nvme_iod *iod)
{
	if (!iod->discard_own)
		return;
	iod->req->vecs = iod->discard_own;
	iod->discard_own = NULL;
	nvme->discard_page_busy = false;
}

/* ---- submission (section 6.1) ---- */

static void nvme_copy_command(struct nvme *nvme, struct nvme_queue *queue, const struct nvme_iod *iod)
{
	memcpy(physmem_bytes(&nvme->sim->mem, queue->sq_paddr + (uint64_t)queue->sq_tail * NVME_SQE_BYTES),
	       &iod->sqe, NVME_SQE_BYTES);
	queue->sq_tail = nvme_ring_next(queue, queue->sq_tail);
	nvme->stats.commands++;
}

static void nvme_ring_sq(struct nvme *nvme, struct nvme_queue *queue, bool last)
{
	/* A tail that came round to where the doorbell stands would say that there is nothing. */
	if (!last && nvme_ring_next(queue, queue->sq_tail) != queue->last_sq_tail)
		return;
	queue->last_sq_tail = queue->sq_tail;
	if (!nvme_must_ring(nvme, queue, nvme_dbbuf_index(queue->qid), queue->sq_tail))
		return;
	/* Nobody answers a write: one that is lost looks like any other to the driver. */
	if (sim_fault(nvme->sim, FAULT_CONTROLLER_DOORBELL))
		return;
	queue->sq_doorbell = queue->sq_tail;
	queue->awake = true;
}

void nvme_submit(struct nvme *nvme, unsigned qid, struct nvme_iod *iod, bool last)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	sim_lock(nvme->sim, &queue->lock);
	nvme_copy_command(nvme, queue, iod);
	nvme_ring_sq(nvme, queue, last);
	sim_unlock(nvme->sim, &queue->lock);
}

void nvme_commit(struct nvme *nvme, unsigned qid)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	sim_lock(nvme->sim, &queue->lock);
	if (queue->sq_tail != queue->last_sq_tail)
		nvme_ring_sq(nvme, queue, true);
	sim_unlock(nvme->sim, &queue->lock);
}

void nvme_submit_list(struct nvme *nvme, unsigned qid, struct nvme_iod *const *iods, unsigned count)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	sim_lock(nvme->sim, &queue->lock);
	for (unsigned i = 0; i < count; i++)
		nvme_copy_command(nvme, queue, iods[i]);
	nvme_ring_sq(nvme, queue, true);
	sim_unlock(nvme->sim, &queue->lock);
	nvme->stats.batches++;
}

/* ---- completion (section 6.4) ---- */

struct nvme_iod *nvme_poll_cq(struct nvme *nvme, unsigned qid, uint16_t *ret_status)
{
	struct nvme_queue *queue = &nvme->queues[qid];
	const struct nvme_cqe *cqe =
		physmem_bytes(&nvme->sim->mem, queue->cq_paddr + (uint64_t)queue->cq_head * NVME_CQE_BYTES);
	struct nvme_iod *iod;

	if ((cqe->status & 1) != queue->cq_phase)
		return NULL;
	queue->cq_head = nvme_ring_next(queue, queue->cq_head);
	if (queue->cq_head == 0)
		queue->cq_phase = !queue->cq_phase;
	iod = &queue->iods[cqe->command_id & 0xfff];
	g_assert(iod->req != NULL);
	iod->generation = (iod->generation + 1) & 0xf;
	*ret_status = cqe->status >> 1;
	nvme->stats.completions++;
	return iod;
}

void nvme_ring_cq(struct nvme *nvme, unsigned qid)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	if (nvme_must_ring(nvme, queue, nvme_dbbuf_index(qid) + 1, queue->cq_head))
		queue->cq_doorbell = queue->cq_head;
}

/* NVM Express base specification, "Status Field": type and code. */
enum blk_status nvme_error_status(uint16_t status)
{
	static const struct {
		uint16_t status;
		enum blk_status blk;
	} table[] = {
		{NVME_SC_SUCCESS, BLK_STS_OK},
		{0x001, BLK_STS_NOTSUPP},		/* invalid opcode */
		{0x002, BLK_STS_NOTSUPP},		/* invalid field */
		{0x00b, BLK_STS_NOTSUPP},		/* invalid namespace */
		{0x021, BLK_STS_TARGET},		/* command interrupted */
		{0x080, BLK_STS_TARGET},		/* LBA out of range */
		{0x081, BLK_STS_NOSPC},			/* capacity exceeded */
		{0x082, BLK_STS_TARGET},		/* namespace not ready */
		{0x083, BLK_STS_RESV_CONFLICT},		/* reservation conflict */
		{0x180, BLK_STS_NOTSUPP},		/* conflicting attributes */
		{0x181, BLK_STS_PROTECTION},		/* invalid protection information */
		{0x182, BLK_STS_MEDIUM},		/* write to a read-only range */
		{0x1bd, BLK_STS_ZONE_ACTIVE_RESOURCE}, /* too many active zones */
		{0x1be, BLK_STS_ZONE_OPEN_RESOURCE},	/* too many open zones */
		{0x280, BLK_STS_MEDIUM},		/* write fault */
		{0x281, BLK_STS_MEDIUM},		/* unrecovered read error */
		{0x282, BLK_STS_PROTECTION},		/* guard check */
		{0x283, BLK_STS_PROTECTION},		/* application tag check */
		{0x284, BLK_STS_PROTECTION},		/* reference tag check */
		{0x285, BLK_STS_MEDIUM},		/* compare failure */
		{0x286, BLK_STS_MEDIUM},		/* access denied */
		{0x287, BLK_STS_MEDIUM},		/* unwritten block */
		{0x370, BLK_STS_TRANSPORT},		/* host path error */
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++)
		if (table[i].status == (status & NVME_STATUS_TYPE_CODE))
			return table[i].blk;
	return BLK_STS_IOERR;
}

/* ---- time-outs and reset ---- */

static bool nvme_send_abort(struct nvme *nvme, unsigned qid, const struct nvme_iod *iod)
{
	struct nvme_iod *abort = nvme_get_tag(nvme, 0);

	if (!abort)
		return false;
	abort->req = &nvme->abort_request;
	abort->sqe = (struct nvme_sqe){.opcode = NVME_ADMIN_ABORT,
				       .command_id = (uint16_t)(abort->generation << 12 | abort->tag),
				       .cdw10 = (uint32_t)iod->sqe.command_id << 16 | qid};
	nvme_submit(nvme, 0, abort, true);
	nvme->stats.aborts++;
	return true;
}

enum nvme_timeout nvme_timeout(struct nvme *nvme, unsigned qid, struct nvme_iod *iod)
{
	if (qid == 0 || iod->aborted)
		return NVME_TIMEOUT_RESET;
	if (nvme->abort_limit == 0)
		return NVME_TIMEOUT_REARM;
	nvme->abort_limit--;
	iod->aborted = true;
	if (nvme_send_abort(nvme, qid, iod))
		return NVME_TIMEOUT_ABORT;
	nvme->abort_limit++;
	return NVME_TIMEOUT_REARM;
}

void nvme_abort_done(struct nvme *nvme, struct nvme_iod *iod)
{
	nvme->abort_limit++;
	nvme_put_tag(nvme, 0, iod);
}

/** nvme_init_queue: both sides start at the first entry, in the first lap. */
static void nvme_queue_reset(struct nvme *nvme, struct nvme_queue *queue)
{
	queue->sq_tail = queue->last_sq_tail = queue->cq_head = 0;
	queue->cq_phase = true;
	memset(physmem_bytes(&nvme->sim->mem, queue->cq_paddr), 0, (size_t)queue->depth * NVME_CQE_BYTES);
	queue->sq_doorbell = queue->cq_doorbell = queue->sq_head = queue->cq_tail = queue->in_controller = 0;
	queue->cq_tail_phase = true;
	queue->awake = false;
}

static void nvme_cancel_queue(struct nvme *nvme, struct nvme_queue *queue,
			      void (*cancel)(void *data, struct nvme_iod *iod), void *data)
{
	for (unsigned tag = 0; tag < nvme_queue_tags(queue); tag++) {
		struct nvme_iod *iod = &queue->iods[tag];

		if (!iod->req)
			continue;
		if (nvme_is_abort(nvme, iod)) {
			nvme_abort_done(nvme, iod);
			continue;
		}
		nvme->stats.cancelled++;
		cancel(data, iod);
	}
}

void nvme_cancel_all(struct nvme *nvme, void (*cancel)(void *data, struct nvme_iod *iod), void *data)
{
	nvme->stats.resets++;
	for (unsigned qid = 1; qid < nvme->queue_count; qid++)
		nvme_cancel_queue(nvme, &nvme->queues[qid], cancel, data);
	nvme_cancel_queue(nvme, &nvme->queues[0], cancel, data);
	for (unsigned qid = 0; qid < nvme->queue_count; qid++)
		nvme_queue_reset(nvme, &nvme->queues[qid]);
	if (nvme->dbbuf.used) {
		memset(nvme_dbbuf_value(nvme, 0), 0, (size_t)FRAME_SIZE << nvme->dbbuf.order);
		memset(physmem_bytes(&nvme->sim->mem, nvme->dbbuf.events_paddr), 0,
		       (size_t)FRAME_SIZE << nvme->dbbuf.order);
	}
}
