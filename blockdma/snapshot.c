/* SPDX-License-Identifier: MIT */
#include "blockdma/snapshot.h"

#include <string.h>

#include "sim/core/text.h"

/* ---- writing ---- */

static void nvme_write_domain(struct snapshot_writer *writer, const struct nvme *nvme)
{
	if (dma_use_iommu(nvme->dev))
		snapshot_u64(writer, "domain", nvme->dev->domain->id);
	else
		snapshot_text(writer, "domain", "none");
}

static void nvme_write_controller(struct snapshot_writer *writer, const struct nvme *nvme)
{
	snapshot_fact(writer, "controller");
	snapshot_text(writer, "device", nvme->dev->config.name);
	nvme_write_domain(writer, nvme);
	snapshot_hex(writer, "dma_mask", nvme->dev->config.mask, 16);
	snapshot_text(writer, "try_32bit", nvme->dev->try_32bit ? "yes" : "no");
	snapshot_u64(writer, "queues", nvme->queue_count);
	snapshot_u64(writer, "aborts_left", nvme->abort_limit > 0 ? (uint64_t)nvme->abort_limit : 0);
	snapshot_u64(writer, "vectors", nvme->dma_vecs);
	snapshot_u64(writer, "hmb_bytes", nvme->hmb.bytes);
}

/** Memory that the driver shares with the controller as long as it is bound. */
static void nvme_write_memory(struct snapshot_writer *writer, const struct nvme *nvme, const char *use,
			      uint64_t addr, uint64_t paddr, uint64_t bytes)
{
	snapshot_fact(writer, "memory");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_text(writer, "use", use);
	snapshot_range(writer, "range", addr, addr + bytes - 1);
	nvme_write_domain(writer, nvme);
	snapshot_hex(writer, "pa", paddr, 16);
}

static uint64_t nvme_frames(unsigned order)
{
	return (uint64_t)FRAME_SIZE << order;
}

static void nvme_write_shared(struct snapshot_writer *writer, const struct nvme *nvme)
{
	const struct nvme_hmb *hmb = &nvme->hmb;
	const struct nvme_dbbuf *dbbuf = &nvme->dbbuf;

	if (dbbuf->used) {
		nvme_write_memory(writer, nvme, "doorbells", dbbuf->values_addr, dbbuf->values_paddr,
				  nvme_frames(dbbuf->order));
		nvme_write_memory(writer, nvme, "doorbell-events", dbbuf->events_addr, dbbuf->events_paddr,
				  nvme_frames(dbbuf->order));
	}
	if (hmb->desc_count)
		nvme_write_memory(writer, nvme, "hmb-descriptors", hmb->desc_addr, hmb->desc_paddr,
				  nvme_frames(hmb->desc_order));
	for (uint64_t i = 0, addr = hmb->sgt ? hmb->sgt->sgl[0].dma_addr : 0;
	     hmb->sgt && i < hmb->sgt->orig_nents; i++) {
		const struct scatterlist *piece = &hmb->sgt->sgl[i];

		nvme_write_memory(writer, nvme, "hmb", addr, piece->paddr, piece->len);
		addr += piece->len;
	}
	for (guint i = 0; hmb->blocks && i < hmb->blocks->len; i++) {
		const struct nvme_hmb_block *block = &g_array_index(hmb->blocks, struct nvme_hmb_block, i);

		nvme_write_memory(writer, nvme, "hmb", block->addr, block->paddr, nvme_frames(block->order));
	}
}

static void nvme_write_block(struct snapshot_writer *writer, const struct nvme *nvme,
			     const struct dma_pool *pool, const struct dma_pool_block *block,
			     const char *state)
{
	snapshot_fact(writer, "block");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_text(writer, "pool", pool == &nvme->small_pool ? "small" : "large");
	snapshot_range(writer, "range", block->addr, block->addr + pool->block_bytes - 1);
	nvme_write_domain(writer, nvme);
	snapshot_hex(writer, "pa", block->paddr, 16);
	snapshot_text(writer, "state", state);
}

static void nvme_write_pool(struct snapshot_writer *writer, const struct nvme *nvme, const char *name,
			    const struct dma_pool *pool)
{
	snapshot_fact(writer, "pool");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_text(writer, "name", name);
	snapshot_u64(writer, "block_bytes", pool->block_bytes);
	snapshot_u64(writer, "pages", pool->page_count);
	snapshot_u64(writer, "in_use", pool->in_use);
	for (uint32_t i = 0; i < pool->free_count; i++)
		nvme_write_block(writer, nvme, pool, &pool->free[i], "free");
	for (uint32_t i = 0; i < pool->page_count; i++)
		nvme_write_memory(writer, nvme, name, pool->pages[i].addr, pool->pages[i].paddr, FRAME_SIZE);
}

static void nvme_write_queue(struct snapshot_writer *writer, const struct nvme *nvme,
			     const struct nvme_queue *queue)
{
	g_autofree char *sq = g_strdup_printf("sq%u", queue->qid), *cq = g_strdup_printf("cq%u", queue->qid);

	snapshot_fact(writer, "queue");
	snapshot_text(writer, "device", nvme->dev->config.name);
	snapshot_hex(writer, "qid", queue->qid, 4);
	snapshot_u64(writer, "depth", queue->depth);
	snapshot_u64(writer, "sq_tail", queue->sq_tail);
	snapshot_u64(writer, "cq_head", queue->cq_head);
	snapshot_u64(writer, "in_flight", nvme_queue_tags(queue) - queue->free_tag_count);
	snapshot_u64(writer, "cq_phase", queue->cq_phase);
	snapshot_u64(writer, "sq_doorbell", queue->sq_doorbell);
	snapshot_u64(writer, "cq_doorbell", queue->cq_doorbell);
	snapshot_u64(writer, "sq_head", queue->sq_head);
	snapshot_u64(writer, "cq_tail", queue->cq_tail);
	snapshot_u64(writer, "in_controller", queue->in_controller);
	nvme_write_memory(writer, nvme, sq, queue->sq_addr, queue->sq_paddr, nvme_frames(queue->sq_order));
	nvme_write_memory(writer, nvme, cq, queue->cq_addr, queue->cq_paddr, nvme_frames(queue->cq_order));
}

/* ---- commands ---- */

struct nvme_command_writer {
	struct snapshot_writer *writer;
	const struct nvme *nvme;
	const struct nvme_queue *queue;
	const struct nvme_iod *iod;
	const char *part; /* "data", "metadata" */
};

static void nvme_command_keys(const struct nvme_command_writer *w)
{
	snapshot_text(w->writer, "device", w->nvme->dev->config.name);
	snapshot_hex(w->writer, "qid", w->queue->qid, 4);
	snapshot_hex(w->writer, "tag", w->iod->tag, 4);
}

/** What is mapped for a command, as the device is told it. */
static void nvme_write_mapped(const struct nvme_command_writer *w, uint64_t addr, uint64_t bytes)
{
	g_autofree char *owner = g_strdup_printf("req:%" G_GUINT64_FORMAT, w->iod->req->number);

	snapshot_fact(w->writer, w->part);
	nvme_command_keys(w);
	snapshot_range(w->writer, "range", addr, addr + bytes - 1);
	snapshot_u64(w->writer, "domain", w->nvme->dev->domain->id);
	snapshot_text(w->writer, "owner", owner);
}

static void nvme_write_sgl(const struct nvme_command_writer *w, const struct nvme_sgl_desc *list,
			   unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		nvme_write_mapped(w, list[i].addr, list[i].length);
}

/** The same cases as nvme_unmap_data(). */
static void nvme_write_data(const struct nvme_command_writer *w)
{
	const struct nvme_iod *iod = w->iod;
	const struct nvme_sgl_desc *desc = (const void *)iod->sqe.dptr;

	if (iod->single) {
		nvme_write_mapped(w, iod->sqe.dptr[0], iod->total_len);
	} else if (iod->sgt.sgl) {
		for (unsigned i = 0; i < iod->sgt.nents; i++)
			if (!iod->sgt.sgl[i].dma_bus)
				nvme_write_mapped(w, iod->sgt.sgl[i].dma_addr, iod->sgt.sgl[i].dma_len);
	} else if (iod->state.size) {
		nvme_write_mapped(w, iod->state.addr, iod->state.size);
	} else if (!iod->sgl) {
		for (unsigned i = 0; i < iod->vec_count; i++)
			nvme_write_mapped(w, iod->vecs[i].addr, iod->vecs[i].len);
	} else if (desc->type == NVME_SGL_LAST_SEGMENT) {
		nvme_write_sgl(w, physmem_bytes(&w->nvme->sim->mem, iod->descriptors[0].paddr),
			       desc->length / (unsigned)sizeof(*desc));
	} else {
		nvme_write_sgl(w, desc, 1);
	}
}

/** The same cases as nvme_unmap_metadata(). */
static void nvme_write_metadata(const struct nvme_command_writer *w)
{
	const struct nvme_iod *iod = w->iod;
	const struct nvme_sgl_desc *list;

	if (iod->single_meta) {
		nvme_write_mapped(w, iod->sqe.metadata, iod->req->meta_vecs[0].len);
	} else if (iod->meta_state.size) {
		nvme_write_mapped(w, iod->meta_state.addr, iod->meta_state.size);
	} else if (!iod->has_meta_descriptor) {
		nvme_write_mapped(w, iod->sqe.metadata, iod->meta_total_len);
	} else {
		list = physmem_bytes(&w->nvme->sim->mem, iod->meta_descriptor.paddr);
		if (list[0].type == NVME_SGL_DATA)
			nvme_write_sgl(w, list, 1);
		else
			nvme_write_sgl(w, list + 1, list[0].length / (unsigned)sizeof(*list));
	}
}

static void nvme_write_command(struct nvme_command_writer *w)
{
	const struct nvme *nvme = w->nvme;
	const struct nvme_iod *iod = w->iod;
	const struct dma_pool *pool = iod->small_descriptor ? &nvme->small_pool : &nvme->large_pool;

	snapshot_fact(w->writer, "command");
	nvme_command_keys(w);
	if (nvme_is_abort(nvme, iod))
		snapshot_text(w->writer, "request", "abort");
	else
		snapshot_hex(w->writer, "request", iod->req->number, 12);
	snapshot_hex(w->writer, "opcode", iod->sqe.opcode, 2);
	snapshot_u64(w->writer, "bytes", iod->total_len);
	snapshot_text(w->writer, "aborted", iod->aborted ? "yes" : "no");
	for (unsigned i = 0; i < iod->descriptor_count; i++)
		nvme_write_block(w->writer, nvme, pool, &iod->descriptors[i], "used");
	if (iod->has_meta_descriptor)
		nvme_write_block(w->writer, nvme, &nvme->small_pool, &iod->meta_descriptor, "used");
	if (!dma_use_iommu(nvme->dev))
		return;
	w->part = "data";
	if (iod->req->vec_count && iod->p2p != DMA_P2P_BUS_ADDR)
		nvme_write_data(w);
	w->part = "metadata";
	if (iod->req->meta_vec_count && iod->meta_p2p != DMA_P2P_BUS_ADDR)
		nvme_write_metadata(w);
}

static void nvme_write_commands(struct snapshot_writer *writer, const struct nvme *nvme,
				const struct nvme_queue *queue)
{
	g_autofree bool *free = g_new0(bool, nvme_queue_tags(queue));

	for (unsigned i = 0; i < queue->free_tag_count; i++)
		free[queue->free_tags[i]] = true;
	for (unsigned tag = 0; tag < nvme_queue_tags(queue); tag++) {
		struct nvme_command_writer w = {
			.writer = writer, .nvme = nvme, .queue = queue, .iod = &queue->iods[tag]};

		if (!free[tag])
			nvme_write_command(&w);
	}
}

static void nvme_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct nvme *nvme = data;

	if (!nvme)
		return;
	nvme_write_controller(writer, nvme);
	nvme_write_shared(writer, nvme);
	nvme_write_pool(writer, nvme, "small", &nvme->small_pool);
	nvme_write_pool(writer, nvme, "large", &nvme->large_pool);
	for (unsigned qid = 0; qid < nvme->queue_count; qid++) {
		nvme_write_queue(writer, nvme, &nvme->queues[qid]);
		nvme_write_commands(writer, nvme, &nvme->queues[qid]);
	}
}

/* ---- what diff says ---- */

/* Where shared memory and descriptors lie is chance, and so is where rings stand; of commands tells [request], of what is
 * mapped for them [mapping]. */
static const char *const nvme_block_unseen[] = {"domain", "pa", "state", NULL};
static const char *const nvme_command_unseen[] = {"request", "opcode", "bytes", NULL};
static const char *const nvme_data_unseen[] = {"domain", "owner", NULL};
static const char *const nvme_queue_unseen[] = {"sq_tail",     "cq_head",	"cq_phase",
						"sq_doorbell", "cq_doorbell",	"sq_head",
						"cq_tail",     "in_controller", NULL};
static const char *const nvme_memory_unseen[] = {"domain", "pa", NULL};

static const struct snapshot_noun nvme_nouns[] = {
	{.name = "block",
	 .keys = {"device", "pool", "range"},
	 .range = "range",
	 .advance = "pa",
	 .unseen = nvme_block_unseen},
	{.name = "command",
	 .keys = {"device", "qid", "tag"},
	 .unseen = nvme_command_unseen,
	 .changed = "command changed",
	 .field_changed = (const char *const[]){"aborted=yes", "command aborted", NULL}},
	{.name = "controller",
	 .keys = {"device"},
	 .added = "controller added",
	 .removed = "controller removed",
	 .changed = "controller changed"},
	{.name = "data",
	 .keys = {"device", "qid", "tag", "range"},
	 .range = "range",
	 .unseen = nvme_data_unseen},
	{.name = "memory",
	 .keys = {"device", "use", "range"},
	 .range = "range",
	 .advance = "pa",
	 .unseen = nvme_memory_unseen},
	{.name = "metadata",
	 .keys = {"device", "qid", "tag", "range"},
	 .range = "range",
	 .unseen = nvme_data_unseen},
	{.name = "pool",
	 .keys = {"device", "name"},
	 .added = "descriptor pool added",
	 .removed = "descriptor pool removed",
	 .changed = "descriptor pool changed"},
	{.name = "queue",
	 .keys = {"device", "qid"},
	 .unseen = nvme_queue_unseen,
	 .added = "queue added",
	 .removed = "queue removed",
	 .changed = "queue changed"},
	{0},
};

/* ---- what check asks ---- */

#define WITHIN(of, inside, fields, what)                                                   \
	{                                                                                  \
		.kind = SNAPSHOT_COVERED_BY, .noun = of, .field = fields, .other = inside, \
		.other_field = fields, .unless = "domain=none", .says = what               \
	}
#define EXISTS(of, fields, in, in_fields, what)                                          \
	{                                                                                \
		.kind = SNAPSHOT_VALUE_EXISTS, .noun = of, .field = fields, .other = in, \
		.other_field = in_fields, .says = what                                   \
	}
#define RING_INDEX(name, what)                                                                  \
	{                                                                                       \
		.kind = SNAPSHOT_BELOW, .noun = "queue", .field = name, .other_field = "depth", \
		.says = what " behind the ring"                                                 \
	}

static const struct snapshot_rule nvme_rules[] = {
	EXISTS("block", "device,pool", "pool", "device,name", "block of no pool"),
	EXISTS("command", "device,qid", "queue", "device,qid", "command on no queue"),
	EXISTS("data", "device,qid,tag", "command", "device,qid,tag", "data of no command"),
	EXISTS("memory", "device", "controller", "device", "memory of no controller"),
	EXISTS("metadata", "device,qid,tag", "command", "device,qid,tag", "metadata of no command"),
	EXISTS("pool", "device", "controller", "device", "descriptor pool of no controller"),
	EXISTS("queue", "device", "controller", "device", "queue of no controller"),
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "controller",
	 .field = "domain",
	 .other = "domain",
	 .other_field = "id",
	 .unless = "domain=none",
	 .says = "controller in a domain that does not exist"},
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "command",
	 .field = "device,request",
	 .other = "request",
	 .other_field = "device,number",
	 .unless = "request=abort",
	 .says = "command of a request that is not in flight"},
	{.kind = SNAPSHOT_DISJOINT, .noun = "block", .says = "blocks of a pool overlap"},
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "block",
	 .field = "device,pool",
	 .other = "memory",
	 .other_field = "device,use",
	 .says = "block outside the pages of its pool",
	 .alike = "pa"},
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "memory",
	 .field = "domain",
	 .other = "map",
	 .other_field = "domain",
	 .unless = "domain=none",
	 .says = "shared memory that is not mapped",
	 .alike = "pa"},
	WITHIN("data", "map", "domain", "data of a command in flight that are not mapped"),
	WITHIN("data", "live", "domain,owner",
	       "data of a command in flight in an IOVA that its request does not hold"),
	WITHIN("metadata", "map", "domain", "metadata of a command in flight that are not mapped"),
	WITHIN("metadata", "live", "domain,owner",
	       "metadata of a command in flight in an IOVA that its request does not hold"),
	RING_INDEX("sq_tail", "submission tail"),
	RING_INDEX("cq_head", "completion head"),
	RING_INDEX("sq_head", "submission head"),
	RING_INDEX("cq_tail", "completion tail"),
	RING_INDEX("sq_doorbell", "submission doorbell"),
	RING_INDEX("cq_doorbell", "completion doorbell"),
	{.kind = SNAPSHOT_BELOW,
	 .noun = "queue",
	 .field = "in_flight",
	 .other_field = "depth",
	 .says = "more commands in flight than a queue takes"},
	{.kind = SNAPSHOT_AT_MOST,
	 .noun = "queue",
	 .field = "in_controller",
	 .other_field = "in_flight",
	 .says = "more commands in the controller than in flight"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "block",
	 .field = "state",
	 .other_field = "free,used",
	 .says = "block neither free nor used"},
	{0},
};

/** How many there are of each: what a pool and a queue say must be that. */
struct nvme_judge {
	GHashTable *counts; /* "NOUN DEVICE …" -> how many, as a pointer */
};

static void nvme_count(struct nvme_judge *judge, char *key)
{
	gsize count;

	if (!judge->counts)
		judge->counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	count = GPOINTER_TO_SIZE(g_hash_table_lookup(judge->counts, key));
	g_hash_table_insert(judge->counts, key, GSIZE_TO_POINTER(count + 1));
}

static uint64_t nvme_counted(const struct nvme_judge *judge, char *key)
{
	uint64_t count = judge->counts ? GPOINTER_TO_SIZE(g_hash_table_lookup(judge->counts, key)) : 0;

	g_free(key);
	return count;
}

static bool nvme_number(const struct snapshot_line *line, const char *field, uint64_t *ret_value)
{
	const char *text = snapshot_line_get(line, field);

	return text && text_parse_u64(text, ret_value);
}

static void nvme_judge_pool(const struct nvme_judge *judge, struct snapshot_checker *checker,
			    const struct snapshot_line *line)
{
	const char *device = snapshot_line_get(line, "device"), *name = snapshot_line_get(line, "name");
	uint64_t block_bytes, pages, in_use, used, free, there;

	if (!nvme_number(line, "block_bytes", &block_bytes) || !nvme_number(line, "pages", &pages) ||
	    !nvme_number(line, "in_use", &in_use))
		return;
	used = nvme_counted(judge, g_strdup_printf("block %s %s used", device, name));
	free = nvme_counted(judge, g_strdup_printf("block %s %s free", device, name));
	there = nvme_counted(judge, g_strdup_printf("memory %s %s", device, name));
	if (there != pages)
		snapshot_misfit(checker, line->number,
				"pool of %" G_GUINT64_FORMAT " pages, of which %" G_GUINT64_FORMAT
				" are there",
				pages, there);
	if (in_use < used)
		snapshot_misfit(checker, line->number,
				"%" G_GUINT64_FORMAT " blocks used of a pool that says %" G_GUINT64_FORMAT,
				used, in_use);
	if (!block_bytes || block_bytes > FRAME_SIZE || pages > UINT32_MAX ||
	    in_use + free != pages * (FRAME_SIZE / block_bytes))
		snapshot_misfit(checker, line->number,
				"%" G_GUINT64_FORMAT " blocks in use and %" G_GUINT64_FORMAT
				" free are not what the pages hold",
				in_use, free);
}

static void nvme_judge_queue(const struct nvme_judge *judge, struct snapshot_checker *checker,
			     const struct snapshot_line *line)
{
	const char *device = snapshot_line_get(line, "device"), *qid = snapshot_line_get(line, "qid");
	uint64_t in_flight, there;

	if (!nvme_number(line, "in_flight", &in_flight))
		return;
	there = nvme_counted(judge, g_strdup_printf("command %s %s", device, qid));
	if (there != in_flight)
		snapshot_misfit(checker, line->number,
				"queue with %" G_GUINT64_FORMAT
				" commands in flight, of which %" G_GUINT64_FORMAT " are there",
				in_flight, there);
}

/** Facts come sorted by noun: blocks, commands and memory before pools and queues. */
static void nvme_judge_fact(void *state, struct snapshot_checker *checker, const struct snapshot_line *line)
{
	struct nvme_judge *judge = state;
	const char *device = snapshot_line_get(line, "device");

	if (strcmp(line->section, "nvme") != 0 || !device)
		return;
	if (strcmp(line->noun, "block") == 0)
		nvme_count(judge, g_strdup_printf("block %s %s %s", device, snapshot_line_get(line, "pool"),
						  snapshot_line_get(line, "state")));
	if (strcmp(line->noun, "command") == 0)
		nvme_count(judge, g_strdup_printf("command %s %s", device, snapshot_line_get(line, "qid")));
	if (strcmp(line->noun, "memory") == 0)
		nvme_count(judge, g_strdup_printf("memory %s %s", device, snapshot_line_get(line, "use")));
	if (strcmp(line->noun, "pool") == 0)
		nvme_judge_pool(judge, checker, line);
	if (strcmp(line->noun, "queue") == 0)
		nvme_judge_queue(judge, checker, line);
}

static void nvme_judge_finish(void *state)
{
	g_clear_pointer(&((struct nvme_judge *)state)->counts, g_hash_table_unref);
}

static const struct snapshot_judge nvme_judge = {sizeof(struct nvme_judge), nvme_judge_fact, NULL,
						 nvme_judge_finish};

const struct snapshot_section nvme_section = {"nvme", nvme_nouns, nvme_write, nvme_rules, &nvme_judge};
