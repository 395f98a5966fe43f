/* SPDX-License-Identifier: MIT */
#include "blockdma/snapshot.h"

static void nvme_write_pool(struct snapshot_writer *writer, const struct nvme *nvme, const char *name,
			    const struct dma_pool *pool)
{
	snapshot_fact(writer, "pool");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_text(writer, "name", name);
	snapshot_u64(writer, "block_bytes", pool->block_bytes);
	snapshot_u64(writer, "pages", pool->page_count);
	snapshot_u64(writer, "in_use", pool->in_use);
}

static void nvme_write_queue(struct snapshot_writer *writer, const struct nvme *nvme,
			     const struct nvme_queue *queue)
{
	snapshot_fact(writer, "queue");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_hex(writer, "qid", queue->qid, 4);
	snapshot_u64(writer, "depth", queue->depth);
	snapshot_u64(writer, "sq_tail", queue->sq_tail);
	snapshot_u64(writer, "cq_head", queue->cq_head);
	snapshot_u64(writer, "in_flight", nvme_queue_tags(queue) - queue->free_tag_count);
}

static void nvme_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct nvme *nvme = data;

	if (!nvme)
		return;
	nvme_write_pool(writer, nvme, "small", &nvme->small_pool);
	nvme_write_pool(writer, nvme, "large", &nvme->large_pool);
	for (unsigned qid = 0; qid < nvme->queue_count; qid++)
		nvme_write_queue(writer, nvme, &nvme->queues[qid]);
}

static const struct snapshot_noun nvme_nouns[] = {
	{.name = "pool",
	 .keys = {"device", "name"},
	 .added = "descriptor pool added",
	 .removed = "descriptor pool removed",
	 .changed = "descriptor pool changed"},
	{.name = "queue",
	 .keys = {"device", "qid"},
	 .added = "queue added",
	 .removed = "queue removed",
	 .changed = "queue changed"},
	{0},
};

const struct snapshot_section nvme_section = {"nvme", nvme_nouns, nvme_write, NULL};
