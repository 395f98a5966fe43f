/* SPDX-License-Identifier: MIT */
#include "blockdma/mapper.h"

#include <errno.h>

#include "sim/behaviour/behaviour.h"

const char *const blk_status_names[BLK_STATUSES] = {
	[BLK_STS_OK] = "OK",	       [BLK_STS_RESOURCE] = "RESOURCE",
	[BLK_STS_IOERR] = "IOERR",     [BLK_STS_INVAL] = "INVAL",
	[BLK_STS_NOTSUPP] = "NOTSUPP", [BLK_STS_TIMEOUT] = "TIMEOUT",
	[BLK_STS_NOSPC] = "NOSPC",     [BLK_STS_TRANSPORT] = "TRANSPORT",
	[BLK_STS_TARGET] = "TARGET",   [BLK_STS_DEV_RESOURCE] = "DEV_RESOURCE",
	[BLK_STS_AGAIN] = "AGAIN",     [BLK_STS_OFFLINE] = "OFFLINE",
	[BLK_STS_MEDIUM] = "MEDIUM",   [BLK_STS_PROTECTION] = "PROTECTION",
	[BLK_STS_RESV_CONFLICT] = "RESV_CONFLICT",
	[BLK_STS_ZONE_OPEN_RESOURCE] = "ZONE_OPEN_RESOURCE",
	[BLK_STS_ZONE_ACTIVE_RESOURCE] = "ZONE_ACTIVE_RESOURCE",
	[BLK_STS_DURATION_LIMIT] = "DURATION_LIMIT",
};

enum blk_status errno_to_blk_status(int err)
{
	static const struct {
		int err;
		enum blk_status status;
	} table[] = {
		{0, BLK_STS_OK},
		{-EOPNOTSUPP, BLK_STS_NOTSUPP},
		{-ETIMEDOUT, BLK_STS_TIMEOUT},
		{-ENOSPC, BLK_STS_NOSPC},
		{-ENOLINK, BLK_STS_TRANSPORT},
		{-EREMOTEIO, BLK_STS_TARGET},
		{-ENOMEM, BLK_STS_RESOURCE},
		{-EBUSY, BLK_STS_DEV_RESOURCE},
		{-EAGAIN, BLK_STS_AGAIN},
		{-ENODEV, BLK_STS_OFFLINE},
		{-EINVAL, BLK_STS_INVAL},
		{-EBADE, BLK_STS_RESV_CONFLICT},
		{-ENODATA, BLK_STS_MEDIUM},
		{-EILSEQ, BLK_STS_PROTECTION},
		{-ETOOMANYREFS, BLK_STS_ZONE_OPEN_RESOURCE},
		{-EOVERFLOW, BLK_STS_ZONE_ACTIVE_RESOURCE},
		{-ETIME, BLK_STS_DURATION_LIMIT},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(table); i++)
		if (table[i].err == err)
			return table[i].status;
	return BLK_STS_IOERR;
}

/** Links every segment into *@state, the first being *@segment, then syncs. Under blkdma-rollback = old a failed link only
 *  leaves the loop, and a failed sync returns with everything still mapped (defect D1). */
static bool blk_rq_dma_map_iova(struct request *req, struct dma_device *dev, struct dma_iova_state *state,
				struct blk_dma_iter *iter, struct bio_vec segment)
{
	bool rollback = behaves(dev->sim, BLKDMA_ROLLBACK) == BLKDMA_ROLLBACK_FIXED;
	unsigned flags = blk_dma_flags(req, iter->p2p);
	uint64_t linked = 0;
	int err;

	iter->addr = state->addr;
	iter->len = state->size;
	do {
		err = dma_iova_link(dev, state, segment.paddr, linked, segment.len, flags);
		if (err && rollback)
			goto destroy;
		if (err)
			break;
		linked += segment.len;
	} while (request_next_segment(&iter->iter, &segment));

	err = dma_iova_sync(dev, state, 0, linked);
	if (!err)
		return true;
	if (rollback)
		goto destroy;
	iter->status = errno_to_blk_status(err);
	return false;

destroy:
	dma_iova_destroy(dev, state, linked, flags);
	iter->status = errno_to_blk_status(err);
	return false;
}

/** Maps one segment by itself. */
static bool blk_dma_map_segment(struct request *req, struct dma_device *dev, struct blk_dma_iter *iter,
				const struct bio_vec *segment)
{
	iter->len = segment->len;
	if (iter->p2p == DMA_P2P_BUS_ADDR)
		iter->addr = dma_p2p_bus_addr(dev, segment->paddr);
	else
		iter->addr = dma_map_phys(dev, segment->paddr, segment->len, blk_dma_flags(req, iter->p2p));
	if (iter->addr != DMA_MAPPING_ERROR)
		return true;
	iter->status = BLK_STS_RESOURCE;
	return false;
}

/** Whether joints with these gaps lie on granules, so that one IOVA can hold the segments without holes. */
static bool blk_can_dma_map_iova(const struct dma_device *dev, uint64_t gap_mask)
{
	uint64_t merge_boundary = dma_use_iommu(dev) ? (UINT64_C(1) << dev->granule_lg2) - 1 : 0;

	return !(gap_mask & merge_boundary);
}

/** Starts with the segments of @iter, of @bytes in all. */
static bool blk_dma_map_iter_start(struct request *req, struct dma_device *dev, struct dma_iova_state *state,
				   struct blk_dma_iter *iter, uint64_t bytes, uint64_t gap_mask)
{
	struct bio_vec segment;

	*state = (struct dma_iova_state){0};
	if (!request_next_segment(&iter->iter, &segment))
		return false;
	iter->p2p = dma_p2p(dev, segment.paddr);
	if (iter->p2p == DMA_P2P_UNSUPPORTED) {
		iter->status = BLK_STS_INVAL;
		return false;
	}
	if (iter->p2p != DMA_P2P_BUS_ADDR && blk_can_dma_map_iova(dev, gap_mask) &&
	    dma_iova_try_alloc(dev, state, segment.paddr, bytes))
		return blk_rq_dma_map_iova(req, dev, state, iter, segment);
	return blk_dma_map_segment(req, dev, iter, &segment);
}

bool blk_rq_dma_map_iter_start(struct request *req, struct dma_device *dev, struct dma_iova_state *state,
			       struct blk_dma_iter *iter)
{
	*iter = (struct blk_dma_iter){.iter = request_data(req)};
	return blk_dma_map_iter_start(req, dev, state, iter, req->bytes, request_gap_mask(req));
}

bool blk_rq_integrity_dma_map_iter_start(struct request *req, struct dma_device *dev,
					 struct dma_iova_state *state, struct blk_dma_iter *iter)
{
	bool own = behaves(dev->sim, METADATA_GAP) == METADATA_GAP_OWN;

	*iter = (struct blk_dma_iter){.iter = request_integrity(req)};
	return blk_dma_map_iter_start(req, dev, state, iter, req->meta_bytes,
				      own ? request_integrity_gap_mask(req) : request_gap_mask(req));
}

bool blk_rq_dma_map_iter_next(struct request *req, struct dma_device *dev, struct blk_dma_iter *iter)
{
	struct bio_vec segment;

	if (!request_next_segment(&iter->iter, &segment))
		return false;
	return blk_dma_map_segment(req, dev, iter, &segment);
}

bool blk_rq_dma_unmap(const struct request *req, struct dma_device *dev, struct dma_iova_state *state,
		      uint64_t mapped, enum dma_p2p p2p)
{
	if (p2p == DMA_P2P_BUS_ADDR)
		return true;
	if (blk_dma_coalesced(state)) {
		dma_iova_destroy(dev, state, mapped, blk_dma_flags(req, p2p));
		return true;
	}
	return !dma_need_unmap(dev);
}
