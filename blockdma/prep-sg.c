/* SPDX-License-Identifier: MIT */
/*
 * Preparing a command as before Linux 6.17: the data are one segment, mapped alone, or a scatter list, mapped as a whole; then
 * PRPs or an SGL are made of what came back.
 *
 * Whatever fails once the list is mapped unmaps all of it, so nothing is lost on the way but a PRP list of data that PRPs
 * cannot say. Source: nvme_map_data() and below in drivers/nvme/host/pci.c of Linux 6.1; blockdma-sg-facts section 1.
 */
#include <errno.h>

#include "blockdma/mapper-sg.h"
#include "blockdma/prep.h"

/* ---- tables ---- */

static struct scatterlist *nvme_take_table(struct nvme *nvme)
{
	GPtrArray *free = nvme->free_tables;

	if (free->len)
		return g_ptr_array_steal_index_fast(free, free->len - 1);
	g_ptr_array_add(nvme->tables, g_new(struct scatterlist, NVME_MAX_SEGMENTS));
	return g_ptr_array_index(nvme->tables, nvme->tables->len - 1);
}

static bool nvme_get_table(struct nvme *nvme, struct nvme_iod *iod)
{
	if (sim_fault(nvme->sim, FAULT_NVME_VEC_POOL))
		return false;
	iod->sgt = (struct sg_table){.seg_boundary_mask = UINT32_MAX, .max_seg_bytes = UINT32_MAX};
	iod->sgt.sgl = nvme_take_table(nvme);
	nvme->dma_vecs++;
	return true;
}

void nvme_put_table(struct nvme *nvme, struct nvme_iod *iod)
{
	if (!iod->sgt.sgl)
		return;
	g_ptr_array_add(nvme->free_tables, iod->sgt.sgl);
	iod->sgt.sgl = NULL;
	nvme->dma_vecs--;
}

/* ---- PRP ---- */

/* Where in the DMA segments the PRPs have come to. */
struct sg_cursor {
	const struct scatterlist *segment;
	uint64_t addr, len; /* what is left of it */
	uint64_t left;	    /* of the payload */
};

static void cursor_advance(struct sg_cursor *cursor, uint64_t bytes)
{
	cursor->addr += bytes;
	cursor->len -= bytes;
	cursor->left -= bytes;
	if (cursor->len || !cursor->left)
		return;
	cursor->segment++;
	cursor->addr = cursor->segment->dma_addr;
	cursor->len = cursor->segment->dma_len;
}

/** Fills lists from the cursor to the end of the data. A page that no PRP can say ends the request, and its lists are never
 *  freed. */
static enum blk_status nvme_build_lists(struct nvme *nvme, struct nvme_iod *iod, struct sg_cursor *cursor)
{
	uint64_t pages = (cursor->left + NVME_PAGE - 1) / NVME_PAGE;
	struct dma_pool_block block;
	uint64_t *list, *next;
	unsigned at = 0, slots;

	iod->small_descriptor = pages <= NVME_SMALL_POOL_BYTES / sizeof(uint64_t);
	slots = iod->small_descriptor ? NVME_SMALL_POOL_BYTES / sizeof(uint64_t) : PRP_PER_PAGE;
	list = nvme_descriptor(nvme, iod, FAULT_NVME_PRP_POOL, &block);
	if (!list)
		return BLK_STS_RESOURCE;
	iod->sqe.dptr[1] = block.addr;
	while (cursor->left) {
		uint64_t part = MIN(NVME_PAGE, cursor->left);

		if (at == slots) {
			next = nvme_descriptor(nvme, iod, FAULT_NVME_PRP_POOL, &block);
			if (!next) {
				nvme_free_descriptors(nvme, iod);
				return BLK_STS_RESOURCE;
			}
			next[0] = list[at - 1];
			list[at - 1] = block.addr;
			list = next;
			at = 1;
		}
		if (cursor->len < part || cursor->addr % NVME_PAGE)
			return BLK_STS_IOERR;
		list[at++] = cursor->addr;
		cursor_advance(cursor, part);
	}
	return BLK_STS_OK;
}

static enum blk_status nvme_setup_prps(struct nvme *nvme, struct nvme_iod *iod)
{
	const struct scatterlist *first = iod->sgt.sgl;
	struct sg_cursor cursor = {first, first->dma_addr, first->dma_len, iod->req->bytes};

	iod->sqe.dptr[0] = cursor.addr;
	cursor_advance(&cursor, MIN(cursor.len, NVME_PAGE - cursor.addr % NVME_PAGE));
	if (!cursor.left)
		return BLK_STS_OK;
	if (cursor.left <= NVME_PAGE) {
		iod->sqe.dptr[1] = cursor.addr;
		return BLK_STS_OK;
	}
	return nvme_build_lists(nvme, iod, &cursor);
}

/* ---- SGL ---- */

static enum blk_status nvme_setup_sgls(struct nvme *nvme, struct nvme_iod *iod)
{
	struct nvme_sgl_desc *inline_desc = (void *)iod->sqe.dptr, *list;
	const struct sg_table *sgt = &iod->sgt;
	struct dma_pool_block block;

	iod->sgl = true;
	iod->sqe.flags = NVME_CMD_SGL_METABUF;
	if (sgt->nents == 1) {
		*inline_desc = nvme_sgl_data(sgt->sgl[0].dma_addr, sgt->sgl[0].dma_len);
		return BLK_STS_OK;
	}
	iod->small_descriptor = sgt->nents <= NVME_SMALL_POOL_BYTES / sizeof(*list);
	list = nvme_descriptor(nvme, iod, FAULT_NVME_SGL_POOL, &block);
	if (!list)
		return BLK_STS_RESOURCE;
	for (unsigned i = 0; i < sgt->nents; i++)
		list[i] = nvme_sgl_data(sgt->sgl[i].dma_addr, sgt->sgl[i].dma_len);
	*inline_desc = (struct nvme_sgl_desc){.addr = block.addr,
					      .length = sgt->nents * (uint32_t)sizeof(*list),
					      .type = NVME_SGL_LAST_SEGMENT};
	return BLK_STS_OK;
}

/* ---- choosing (sections 1.2 and 1.5) ---- */

/** Whether a mapped table becomes an SGL, of a queue that may have one. */
static bool nvme_wants_sgl(const struct nvme *nvme, const struct nvme_iod *iod)
{
	unsigned choice = behaves(nvme->sim, NVME_SGL_CHOICE);
	const struct request *req = iod->req;
	uint32_t segments = choice == NVME_SGL_COUNTED ? req->nr_phys_segments : iod->sgt.nents;

	if (choice == NVME_SGL_USER && req->op == REQ_OP_DRV)
		return true;
	return nvme->config.sgl_threshold &&
	       (req->bytes + segments - 1) / segments >= nvme->config.sgl_threshold;
}

static enum blk_status nvme_map_table(struct nvme *nvme, struct nvme_iod *iod, bool may_sgl)
{
	unsigned flags = blk_dma_flags(iod->req, DMA_P2P_NONE);
	enum blk_status status;
	int err;

	if (!nvme_get_table(nvme, iod))
		return BLK_STS_RESOURCE;
	iod->sgt.orig_nents = blk_rq_map_sg(iod->req, iod->sgt.sgl);
	err = dma_map_sg(nvme->dev, &iod->sgt, flags);
	if (err) {
		nvme_put_table(nvme, iod);
		return err == -EREMOTEIO ? BLK_STS_TARGET : BLK_STS_RESOURCE;
	}
	nvme->stats.tables++;
	if (may_sgl && nvme_wants_sgl(nvme, iod))
		status = nvme_setup_sgls(nvme, iod);
	else
		status = nvme_setup_prps(nvme, iod);
	if (status == BLK_STS_OK)
		return status;
	dma_unmap_sg(nvme->dev, &iod->sgt, flags);
	nvme_put_table(nvme, iod);
	return status;
}

enum blk_status nvme_map_data_sg(struct nvme *nvme, struct nvme_iod *iod, bool admin)
{
	bool may_sgl = nvme->config.sgl && !admin;
	enum blk_status status;

	if (iod->req->nr_phys_segments == 1 &&
	    nvme_setup_single(nvme, iod, may_sgl && nvme->config.sgl_threshold, false, &status))
		return status;
	return nvme_map_table(nvme, iod, may_sgl);
}
