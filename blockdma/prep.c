/* SPDX-License-Identifier: MIT */
/*
 * Preparing a command: mapping its data and describing them with PRPs or an SGL, and undoing both.
 *
 * The order of allocations, maps and frees is the driver's, and so is what its error paths leave behind (D7, D8).
 */
#include <string.h>

#include "blockdma/prep.h"
#include "sim/behaviour/behaviour.h"

static struct dma_pool *nvme_pool(struct nvme *nvme, const struct nvme_iod *iod)
{
	return iod->small_descriptor ? &nvme->small_pool : &nvme->large_pool;
}

void *nvme_descriptor(struct nvme *nvme, struct nvme_iod *iod, unsigned fault,
		      struct dma_pool_block *ret_block)
{
	if (sim_fault(nvme->sim, fault) || dma_pool_alloc(nvme_pool(nvme, iod), ret_block) != 0)
		return NULL;
	iod->descriptors[iod->descriptor_count++] = *ret_block;
	nvme->stats.lists++;
	return physmem_bytes(&nvme->sim->mem, ret_block->paddr);
}

void nvme_free_descriptors(struct nvme *nvme, struct nvme_iod *iod)
{
	for (unsigned i = 0; i < iod->descriptor_count; i++)
		dma_pool_free(nvme_pool(nvme, iod), iod->descriptors[i]);
	iod->descriptor_count = 0;
}

/* ---- what was mapped, for the unmap ---- */

static struct nvme_dma_vec *nvme_get_vecs(struct nvme *nvme)
{
	nvme->dma_vecs++;
	if (nvme->free_vecs->len)
		return g_ptr_array_steal_index_fast(nvme->free_vecs, nvme->free_vecs->len - 1);
	g_ptr_array_add(nvme->vecs, g_new(struct nvme_dma_vec, NVME_MAX_SEGMENTS));
	return g_ptr_array_index(nvme->vecs, nvme->vecs->len - 1);
}

static void nvme_put_vecs(struct nvme *nvme, struct nvme_iod *iod)
{
	if (!iod->vecs)
		return;
	g_ptr_array_add(nvme->free_vecs, iod->vecs);
	iod->vecs = NULL;
	iod->vec_count = 0;
	nvme->dma_vecs--;
}

/** nvme_pci_prp_save_mapping: remembers a DMA segment unless it can be undone as a whole. Returns whether it could. */
static bool nvme_save_mapping(struct nvme *nvme, struct nvme_iod *iod, const struct blk_dma_iter *iter)
{
	if (blk_dma_coalesced(&iod->state) || !dma_need_unmap(nvme->dev))
		return true;
	/* D9: bus addresses need no unmap, so nobody comes to free a record of them. */
	if (iter->p2p == DMA_P2P_BUS_ADDR && behaves(nvme->sim, P2P_VEC_FREE) == P2P_VEC_FIXED)
		return true;
	if (!iod->vecs) {
		int err = sim_fault(nvme->sim, FAULT_NVME_VEC_POOL);

		if (err) {
			SIM_ANNOUNCE(nvme->sim, dma_call,
				     &(struct dma_call){.kind = DMA_CALL_VEC_ALLOC, .err = err});
			return false;
		}
		iod->vecs = nvme_get_vecs(nvme);
	}
	g_assert(iod->vec_count < NVME_MAX_SEGMENTS);
	iod->vecs[iod->vec_count++] = (struct nvme_dma_vec){iter->addr, iter->len};
	return true;
}

/** Unmaps the data segment by segment, from where they are recorded: vectors, or the SGL itself. */
static void nvme_unmap_segments(struct nvme *nvme, struct nvme_iod *iod)
{
	const struct nvme_sgl_desc *inline_desc = (const void *)iod->sqe.dptr, *list = inline_desc;
	unsigned count = 1;

	if (!iod->sgl) {
		for (unsigned i = 0; i < iod->vec_count; i++)
			dma_unmap_phys(nvme->dev, iod->vecs[i].addr, iod->vecs[i].len, blk_dma_flags(iod->req, iod->p2p));
		nvme_put_vecs(nvme, iod);
		return;
	}
	if (inline_desc->type == NVME_SGL_LAST_SEGMENT) {
		list = physmem_bytes(&nvme->sim->mem, iod->descriptors[0].paddr);
		count = inline_desc->length / sizeof(*list);
	}
	for (unsigned i = 0; i < count; i++)
		dma_unmap_phys(nvme->dev, list[i].addr, list[i].length, blk_dma_flags(iod->req, iod->p2p));
}

static void nvme_unmap_data(struct nvme *nvme, struct nvme_iod *iod)
{
	if (iod->single)
		dma_unmap_phys(nvme->dev, iod->sqe.dptr[0], iod->total_len, blk_dma_flags(iod->req, iod->p2p));
	else if (iod->sgt.sgl)
		dma_unmap_sg(nvme->dev, &iod->sgt, blk_dma_flags(iod->req, iod->p2p));
	else if (!blk_rq_dma_unmap(iod->req, nvme->dev, &iod->state, iod->total_len, iod->p2p))
		nvme_unmap_segments(nvme, iod);
	nvme_free_descriptors(nvme, iod);
	nvme_put_table(nvme, iod);
}

/* ---- metadata (section 6.8) ---- */

/** Unmaps the piece of metadata that the pointer tells of, or those of an SGL: after a segment descriptor, or the only
 *  one. */
static void nvme_unmap_meta_segments(struct nvme *nvme, struct nvme_iod *iod)
{
	unsigned flags = blk_dma_flags(iod->req, iod->meta_p2p);
	const struct nvme_sgl_desc *list;

	if (!iod->has_meta_descriptor) {
		dma_unmap_phys(nvme->dev, iod->sqe.metadata, iod->meta_total_len, flags);
		return;
	}
	list = physmem_bytes(&nvme->sim->mem, iod->meta_descriptor.paddr);
	if (list[0].type == NVME_SGL_DATA) {
		dma_unmap_phys(nvme->dev, list[0].addr, list[0].length, flags);
		return;
	}
	for (unsigned i = 1; i <= list[0].length / sizeof(*list); i++)
		dma_unmap_phys(nvme->dev, list[i].addr, list[i].length, flags);
}

static void nvme_unmap_metadata(struct nvme *nvme, struct nvme_iod *iod)
{
	if (iod->single_meta)
		dma_unmap_phys(nvme->dev, iod->sqe.metadata, iod->req->meta_vecs[0].len,
			       blk_dma_flags(iod->req, iod->meta_p2p));
	else if (!blk_rq_dma_unmap(iod->req, nvme->dev, &iod->meta_state, iod->meta_total_len, iod->meta_p2p))
		nvme_unmap_meta_segments(nvme, iod);
	if (iod->has_meta_descriptor)
		dma_pool_free(&nvme->small_pool, iod->meta_descriptor);
	iod->has_meta_descriptor = false;
}

/** nvme_pci_setup_meta_iter. Describes the metadata by an SGL: one data descriptor, or a segment descriptor and those that
 *  follow it; but a single piece by the pointer, unless a user made the command and only an SGL has the length. */
static enum blk_status nvme_setup_meta_sgl(struct nvme *nvme, struct nvme_iod *iod)
{
	struct blk_dma_iter iter;
	struct nvme_sgl_desc *list;
	unsigned count = 0;
	bool single;

	if (!blk_rq_integrity_dma_map_iter_start(iod->req, nvme->dev, &iod->meta_state, &iter))
		return iter.status;
	iod->meta_p2p = iter.p2p;
	single = iod->req->nr_integrity_segments == 1 || blk_dma_coalesced(&iod->meta_state);
	if (!nvme->config.meta_sgl || (single && iod->req->op != REQ_OP_DRV)) {
		iod->sqe.metadata = iter.addr;
		iod->meta_total_len = iter.len;
		return BLK_STS_OK;
	}
	if (sim_fault(nvme->sim, FAULT_NVME_METADATA) ||
	    dma_pool_alloc(&nvme->small_pool, &iod->meta_descriptor) != 0) {
		/* D7: the mapping stays. */
		if (behaves(nvme->sim, DESCRIPTOR_POOL_UNMAP) == DESCRIPTOR_POOL_FIXED &&
		    !blk_rq_dma_unmap(iod->req, nvme->dev, &iod->meta_state, iter.len, iter.p2p))
			dma_unmap_phys(nvme->dev, iter.addr, iter.len, blk_dma_flags(iod->req, iter.p2p));
		return BLK_STS_RESOURCE;
	}
	iod->has_meta_descriptor = true;
	iod->sqe.flags = NVME_CMD_SGL_METASEG;
	iod->sqe.metadata = iod->meta_descriptor.addr;
	list = physmem_bytes(&nvme->sim->mem, iod->meta_descriptor.paddr);
	if (single) {
		iod->meta_total_len = iter.len;
		list[0] = nvme_sgl_data(iter.addr, iter.len);
		return BLK_STS_OK;
	}
	do {
		list[++count] = nvme_sgl_data(iter.addr, iter.len);
		iod->meta_total_len += iter.len;
	} while (blk_rq_dma_map_iter_next(iod->req, nvme->dev, &iter));
	list[0] = (struct nvme_sgl_desc){.addr = iod->meta_descriptor.addr + sizeof(*list),
					 .length = count * sizeof(*list),
					 .type = NVME_SGL_LAST_SEGMENT};
	if (iter.status != BLK_STS_OK)
		nvme_unmap_metadata(nvme, iod);
	return iter.status;
}

/** Maps the first vector for the metadata pointer. */
static enum blk_status nvme_setup_meta_mptr(struct nvme *nvme, struct nvme_iod *iod)
{
	const struct bio_vec *vec = &iod->req->meta_vecs[0];
	uint64_t addr = dma_map_phys(nvme->dev, vec->paddr, vec->len, blk_dma_flags(iod->req, DMA_P2P_NONE));

	if (addr == DMA_MAPPING_ERROR)
		return BLK_STS_IOERR;
	iod->sqe.metadata = addr;
	iod->single_meta = true;
	return BLK_STS_OK;
}

static enum blk_status nvme_map_metadata(struct nvme *nvme, struct nvme_iod *iod)
{
	const struct request *req = iod->req;
	bool sgl = iod->sgl && nvme->config.meta_sgl &&
		   (req->nr_integrity_segments > 1 || req->op == REQ_OP_DRV);

	if (nvme_maps_sg(nvme))
		return nvme_setup_meta_mptr(nvme, iod);
	if (sgl || dma_p2p(nvme->dev, req->meta_vecs[0].paddr) != DMA_P2P_NONE)
		return nvme_setup_meta_sgl(nvme, iod);
	return nvme_setup_meta_mptr(nvme, iod);
}

void nvme_unmap_rq(struct nvme *nvme, struct nvme_iod *iod)
{
	if (iod->req->meta_vec_count)
		nvme_unmap_metadata(nvme, iod);
	if (iod->req->vec_count)
		nvme_unmap_data(nvme, iod);
	nvme_cleanup_discard(nvme, iod);
}

/* ---- PRP ---- */

/** Undoes a PRP mapping that failed midway. D8: of a coalesced mapping only what was put into PRPs so far, unless
 *  prp-pool-unmap = whole. */
static void nvme_abort_prps(struct nvme *nvme, struct nvme_iod *iod)
{
	uint64_t mapped = iod->total_len;

	if (behaves(nvme->sim, PRP_POOL_UNMAP) == PRP_POOL_WHOLE)
		mapped = iod->req->bytes;
	if (!blk_rq_dma_unmap(iod->req, nvme->dev, &iod->state, mapped, iod->p2p))
		nvme_unmap_segments(nvme, iod);
	nvme_put_vecs(nvme, iod);
	nvme_free_descriptors(nvme, iod);
}

/** Undoes the first mapping when it could not be recorded: only where descriptor-pool-unmap = fixed (D7). */
static void nvme_abort_first(struct nvme *nvme, struct nvme_iod *iod, const struct blk_dma_iter *iter)
{
	if (behaves(nvme->sim, DESCRIPTOR_POOL_UNMAP) == DESCRIPTOR_POOL_LEAK)
		return;
	if (!blk_rq_dma_unmap(iod->req, nvme->dev, &iod->state, iod->req->bytes, iod->p2p))
		dma_unmap_phys(nvme->dev, iter->addr, iter->len, blk_dma_flags(iod->req, iod->p2p));
}

struct prp_cursor {
	uint64_t addr, len; /* what is left of the current DMA segment */
	struct blk_dma_iter iter;
};

/** Moves the cursor @bytes on, to the next DMA segment where this one is used up. Returns false when mapping that one
 *  failed. *@ret_end tells whether the data end here. */
static bool prp_advance(struct nvme *nvme, struct nvme_iod *iod, struct prp_cursor *cursor, uint64_t bytes,
			bool *ret_end)
{
	iod->total_len += bytes;
	cursor->addr += bytes;
	cursor->len -= bytes;
	*ret_end = false;
	if (cursor->len)
		return true;
	*ret_end = iod->total_len == iod->req->bytes;
	if (*ret_end)
		return true;
	if (!blk_rq_dma_map_iter_next(iod->req, nvme->dev, &cursor->iter))
		return false;
	if (!nvme_save_mapping(nvme, iod, &cursor->iter)) {
		nvme_abort_first(nvme, iod, &cursor->iter);
		cursor->iter.status = BLK_STS_RESOURCE;
		return false;
	}
	cursor->addr = cursor->iter.addr;
	cursor->len = cursor->iter.len;
	return true;
}

/** Fills PRP lists from the cursor to the end of the data. Section 6.6. */
static enum blk_status nvme_build_prp_lists(struct nvme *nvme, struct nvme_iod *iod,
					    struct prp_cursor *cursor)
{
	uint64_t rest = iod->req->bytes - iod->total_len;
	unsigned pages = (unsigned)((rest + NVME_PAGE - 1) / NVME_PAGE), at = 0, slots;
	struct dma_pool_block block;
	uint64_t *list;
	bool end = false;

	iod->small_descriptor = pages <= NVME_SMALL_POOL_BYTES / sizeof(uint64_t);
	slots = iod->small_descriptor ? NVME_SMALL_POOL_BYTES / sizeof(uint64_t) : PRP_PER_PAGE;
	list = nvme_descriptor(nvme, iod, FAULT_NVME_PRP_POOL, &block);
	if (!list)
		return BLK_STS_RESOURCE;
	iod->sqe.dptr[1] = block.addr;
	while (!end) {
		uint64_t left = iod->req->bytes - iod->total_len;

		if (at == slots) {
			uint64_t *previous = list;

			list = nvme_descriptor(nvme, iod, FAULT_NVME_PRP_POOL, &block);
			if (!list)
				return BLK_STS_RESOURCE;
			list[0] = previous[at - 1];
			previous[at - 1] = block.addr;
			at = 1;
		}
		if (cursor->len < MIN(NVME_PAGE, left) || cursor->addr % NVME_PAGE)
			return BLK_STS_IOERR; /* "incorrectly formed": no PRP can say this */
		list[at++] = cursor->addr;
		if (!prp_advance(nvme, iod, cursor, MIN(NVME_PAGE, left), &end))
			return cursor->iter.status;
	}
	return BLK_STS_OK;
}

static enum blk_status nvme_setup_prps(struct nvme *nvme, struct nvme_iod *iod,
				       const struct blk_dma_iter *first)
{
	struct prp_cursor cursor = {.addr = first->addr, .len = first->len, .iter = *first};
	enum blk_status status;
	uint64_t bytes;
	bool end;

	if (!nvme_save_mapping(nvme, iod, first)) {
		nvme_abort_first(nvme, iod, first);
		return BLK_STS_RESOURCE;
	}
	iod->sqe.dptr[0] = cursor.addr;
	bytes = MIN(cursor.len, NVME_PAGE - cursor.addr % NVME_PAGE);
	if (!prp_advance(nvme, iod, &cursor, bytes, &end)) {
		status = cursor.iter.status;
		goto abort;
	}
	if (end)
		return BLK_STS_OK;
	if (iod->req->bytes - iod->total_len <= NVME_PAGE) {
		iod->sqe.dptr[1] = cursor.addr;
		iod->total_len = iod->req->bytes;
		return BLK_STS_OK;
	}
	status = nvme_build_prp_lists(nvme, iod, &cursor);
	if (status == BLK_STS_OK)
		return status;
abort:
	nvme_abort_prps(nvme, iod);
	return status;
}

/* ---- SGL ---- */

static enum blk_status nvme_setup_sgls(struct nvme *nvme, struct nvme_iod *iod, struct blk_dma_iter *iter)
{
	struct nvme_sgl_desc *inline_desc = (void *)iod->sqe.dptr, *list;
	struct dma_pool_block block;
	unsigned count = 0;

	iod->sgl = true;
	iod->sqe.flags = NVME_CMD_SGL_METABUF;
	iod->total_len = iod->req->bytes;
	if (iod->req->nr_phys_segments == 1 || blk_dma_coalesced(&iod->state)) {
		*inline_desc = nvme_sgl_data(iter->addr, iter->len);
		return BLK_STS_OK;
	}
	iod->small_descriptor = iod->req->nr_phys_segments <= NVME_SMALL_POOL_BYTES / sizeof(*list);
	list = nvme_descriptor(nvme, iod, FAULT_NVME_SGL_POOL, &block);
	if (!list) {
		nvme_abort_first(nvme, iod, iter);
		return BLK_STS_RESOURCE;
	}
	do {
		g_assert(count < NVME_MAX_SEGMENTS);
		list[count++] = nvme_sgl_data(iter->addr, iter->len);
	} while (blk_rq_dma_map_iter_next(iod->req, nvme->dev, iter));
	*inline_desc = (struct nvme_sgl_desc){
		.addr = block.addr, .length = count * sizeof(*list), .type = NVME_SGL_LAST_SEGMENT};
	if (iter->status == BLK_STS_OK)
		return BLK_STS_OK;
	nvme_unmap_segments(nvme, iod);
	nvme_free_descriptors(nvme, iod);
	return iter->status;
}

/* ---- choosing (section 6.5) ---- */

bool nvme_setup_single(struct nvme *nvme, struct nvme_iod *iod, bool may_sgl, bool force_sgl,
		       enum blk_status *ret_status)
{
	const struct request *req = iod->req;
	struct req_iterator iter = request_data(req);
	struct bio_vec segment;
	bool prp_possible;
	uint64_t addr;

	request_next_segment(&iter, &segment);
	prp_possible = segment.paddr % NVME_PAGE + segment.len <= 2 * NVME_PAGE;
	if ((!prp_possible && !may_sgl) || dma_p2p(nvme->dev, segment.paddr) != DMA_P2P_NONE)
		return false;
	addr = dma_map_phys(nvme->dev, segment.paddr, segment.len, blk_dma_flags(req, DMA_P2P_NONE));
	if (addr == DMA_MAPPING_ERROR) {
		*ret_status = BLK_STS_RESOURCE;
		return true;
	}
	iod->single = true;
	iod->total_len = segment.len;
	nvme->stats.single++;
	if (!prp_possible || force_sgl) {
		iod->sgl = true;
		iod->sqe.flags = NVME_CMD_SGL_METABUF;
		*(struct nvme_sgl_desc *)iod->sqe.dptr = nvme_sgl_data(addr, segment.len);
	} else {
		uint64_t first = NVME_PAGE - addr % NVME_PAGE;

		iod->sqe.dptr[0] = addr;
		if (segment.len > first)
			iod->sqe.dptr[1] = addr + first;
	}
	*ret_status = BLK_STS_OK;
	return true;
}

static enum blk_status nvme_map_data(struct nvme *nvme, struct nvme_iod *iod, bool admin)
{
	struct request *req = iod->req;
	bool may_sgl = nvme->config.sgl && !admin;
	bool user_sgl = may_sgl && (req->op == REQ_OP_DRV || req->nr_integrity_segments > 1);
	bool force_sgl = user_sgl || (may_sgl && (request_gap_mask(req) & (NVME_PAGE - 1)));
	enum blk_status status;
	struct blk_dma_iter iter;
	unsigned entries;

	if (req->nr_phys_segments == 1 && nvme_setup_single(nvme, iod, may_sgl, user_sgl, &status))
		return status;
	if (!blk_rq_dma_map_iter_start(req, nvme->dev, &iod->state, &iter))
		return iter.status;
	iod->p2p = iter.p2p;
	if (blk_dma_coalesced(&iod->state))
		nvme->stats.coalesced++;
	else
		nvme->stats.per_segment++;
	entries = blk_dma_coalesced(&iod->state) ? 1 : req->nr_phys_segments;
	if (force_sgl || (may_sgl && nvme->config.sgl_threshold &&
			  (req->bytes + entries - 1) / entries >= nvme->config.sgl_threshold))
		return nvme_setup_sgls(nvme, iod, &iter);
	return nvme_setup_prps(nvme, iod, &iter);
}

static uint8_t nvme_opcode_of(const struct request *req)
{
	switch (req->op) {
	case REQ_OP_READ:
		return NVME_CMD_READ;
	case REQ_OP_WRITE:
		return NVME_CMD_WRITE;
	case REQ_OP_FLUSH:
		return NVME_CMD_FLUSH;
	case REQ_OP_DISCARD:
		return NVME_CMD_DSM;
	case REQ_OP_WRITE_ZEROES:
		return NVME_CMD_WRITE_ZEROES;
	default:
		if (req->bytes == 0)
			return NVME_CMD_VENDOR_NONE;
		return req->to_device ? NVME_CMD_VENDOR_OUT : NVME_CMD_VENDOR_IN;
	}
}

enum blk_status nvme_prep_rq(struct nvme *nvme, struct nvme_iod *iod, struct request *req, unsigned nsid)
{
	unsigned block_lg2 = (unsigned)__builtin_ctz(nvme->config.logical_block_bytes);
	uint64_t slba = req->sector >> (block_lg2 - 9);
	enum blk_status status = BLK_STS_OK;

	iod->req = req;
	iod->total_len = 0;
	iod->vecs = NULL; /* D9: the last request may have left its own */
	iod->vec_count = 0;
	iod->aborted = false;
	iod->small_descriptor = iod->single = iod->sgl = iod->single_meta = iod->has_meta_descriptor = false;
	iod->p2p = iod->meta_p2p = DMA_P2P_NONE;
	iod->sgt = (struct sg_table){0};
	iod->meta_total_len = 0;
	iod->sqe = (struct nvme_sqe){.opcode = nvme_opcode_of(req),
				     .command_id = (uint16_t)(iod->generation << 12 | iod->tag),
				     .nsid = nsid,
				     .cdw10 = (uint32_t)slba,
				     .cdw11 = (uint32_t)(slba >> 32)};
	if (req->op == REQ_OP_READ || req->op == REQ_OP_WRITE)
		iod->sqe.cdw12 = (uint32_t)(req->bytes >> block_lg2) - 1;
	else
		iod->sqe.cdw12 = (uint32_t)req->bytes; /* the length a controller of ours moves */
	if (req->special)
		status = nvme_setup_discard(nvme, iod);
	if (status == BLK_STS_OK && req->vec_count)
		status = nvme_maps_sg(nvme) ? nvme_map_data_sg(nvme, iod, nsid == 0) :
					      nvme_map_data(nvme, iod, nsid == 0);
	if (status == BLK_STS_OK && req->meta_vec_count) {
		status = nvme_map_metadata(nvme, iod);
		if (status != BLK_STS_OK && req->vec_count)
			nvme_unmap_data(nvme, iod);
	}
	if (status != BLK_STS_OK) {
		nvme_cleanup_discard(nvme, iod);
		return status;
	}
	if (req->vec_count) {
		if (iod->sgl)
			nvme->stats.sgl_commands++;
		else
			nvme->stats.prp_commands++;
	}
	return BLK_STS_OK;
}
