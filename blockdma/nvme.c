/* SPDX-License-Identifier: MIT */
#include "blockdma/nvme.h"

#include <errno.h>
#include <string.h>

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
};

const struct fault_table nvme_fault_table = {FAULT_ROOM_NVME, G_N_ELEMENTS(nvme_points), nvme_points};

G_STATIC_ASSERT(sizeof(struct nvme_sqe) == NVME_SQE_BYTES);
G_STATIC_ASSERT(sizeof(struct nvme_cqe) == NVME_CQE_BYTES);
G_STATIC_ASSERT(sizeof(struct nvme_sgl_desc) == 16);

/* ---- queues ---- */

static unsigned nvme_order(uint64_t bytes)
{
	unsigned order = 0;

	while ((uint64_t)FRAME_SIZE << order < bytes)
		order++;
	return order;
}

/** nvme_alloc_queue: completion queue first, then submission queue. */
static int nvme_queue_init(struct nvme *nvme, struct nvme_queue *queue, unsigned qid, unsigned depth)
{
	int err = sim_fault(nvme->sim, FAULT_NVME_QUEUE);
	unsigned tags;

	*queue = (struct nvme_queue){.qid = qid,
				     .depth = depth,
				     .sq_order = nvme_order((uint64_t)depth * NVME_SQE_BYTES),
				     .cq_order = nvme_order((uint64_t)depth * NVME_CQE_BYTES),
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
	for (unsigned i = 0; i < tags; i++) {
		queue->iods[i].tag = (uint16_t)i;
		queue->free_tags[i] = (uint16_t)(tags - 1 - i); /* the lowest tag first */
	}
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
	if (transfer != NVME_TRANSFER_4M)
		limits->max_bytes = MIN(limits->max_bytes, dma_opt_mapping_size(nvme->dev));
	limits->max_segments =
		MIN((uint32_t)(limits->max_bytes / NVME_PAGE) + 1, nvme_segments_max(nvme, large));
	limits->logical_block_bytes = nvme->config.logical_block_bytes;
	limits->virt_boundary_mask = nvme->config.sgl && !nvme_maps_sg(nvme) ? 0 : NVME_PAGE - 1;
	limits->seg_boundary_mask = nvme_maps_sg(nvme) ? UINT32_MAX : 0;
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
	nvme->free_tables = g_ptr_array_new_with_free_func(g_free);
	nvme_set_limits(nvme);
	nvme->queues = g_new0(struct nvme_queue, config->io_queues + 1);
	dma_pool_init(&nvme->large_pool, dev, "nvme descriptor page", NVME_PAGE);
	dma_pool_init(&nvme->small_pool, dev, "nvme descriptor 256", NVME_SMALL_POOL_BYTES);
	err = nvme_queue_init(nvme, &nvme->queues[0], 0, NVME_ADMIN_DEPTH);
	if (err) {
		nvme_free(nvme);
		return err;
	}
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
	g_ptr_array_unref(nvme->free_vecs);
	g_ptr_array_unref(nvme->vecs);
	g_ptr_array_unref(nvme->free_tables);
	g_free(nvme->queues);
	g_free(nvme);
}

struct nvme_iod *nvme_get_tag(struct nvme *nvme, unsigned qid)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	return queue->free_tag_count ? &queue->iods[queue->free_tags[--queue->free_tag_count]] : NULL;
}

void nvme_put_tag(struct nvme *nvme, unsigned qid, struct nvme_iod *iod)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	iod->req = NULL;
	queue->free_tags[queue->free_tag_count++] = iod->tag;
}

void nvme_submit(struct nvme *nvme, unsigned qid, struct nvme_iod *iod)
{
	struct nvme_queue *queue = &nvme->queues[qid];

	sim_lock(nvme->sim, &queue->lock);
	memcpy(physmem_bytes(&nvme->sim->mem, queue->sq_paddr + (uint64_t)queue->sq_tail * NVME_SQE_BYTES),
	       &iod->sqe, NVME_SQE_BYTES);
	queue->sq_tail = nvme_ring_next(queue, queue->sq_tail);
	sim_charge(nvme->sim, WORK_DOORBELL, 1);
	sim_unlock(nvme->sim, &queue->lock);
	nvme->stats.doorbells++;
	nvme->stats.commands++;
}

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

enum blk_status nvme_error_status(uint16_t status)
{
	switch (status & 0x7ff) {
	case NVME_SC_SUCCESS:
		return BLK_STS_OK;
	case NVME_SC_INVALID_FIELD:
		return BLK_STS_NOTSUPP;
	default:
		return BLK_STS_IOERR;
	}
}
