/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_MAPPER_H
#define BLOCKDMA_MAPPER_H

/*
 * The block-request DMA mapper (block/blk-mq-dma.c of Linux 7.0): one IOVA for a whole request where its joints allow
 * it, else segment by segment.
 *
 * blk_rq_dma_map_iter_start() gives the first DMA segment, blk_rq_dma_map_iter_next() the others; after a coalesced
 * start there is no other. After a false start nothing must be unmapped; after a false next with a status, the driver
 * unmaps what it has recorded. Source: blockdma-facts section 2.
 */
#include "blockdma/request.h"
#include "iommu/dma/dma.h"

enum blk_status {
	BLK_STS_OK,
	BLK_STS_RESOURCE, /* try again later */
	BLK_STS_IOERR,
	BLK_STS_INVAL,
	BLK_STS_NOTSUPP,
	BLK_STS_TIMEOUT,
	BLK_STS_NOSPC,
	BLK_STS_TRANSPORT,
	BLK_STS_TARGET,
	BLK_STS_DEV_RESOURCE,
	BLK_STS_AGAIN,
	BLK_STS_OFFLINE,
	BLK_STS_MEDIUM,
	BLK_STS_PROTECTION,
	BLK_STS_RESV_CONFLICT,
	BLK_STS_ZONE_OPEN_RESOURCE,
	BLK_STS_ZONE_ACTIVE_RESOURCE,
	BLK_STS_DURATION_LIMIT,
	BLK_STATUSES,
};

extern const char *const blk_status_names[BLK_STATUSES];

/** Translates a negative errno as the block layer's table does (section 2.7). */
enum blk_status errno_to_blk_status(int err);

/** Returns how data of @req in memory of kind @p2p are mapped. */
static inline unsigned blk_dma_flags(const struct request *req, enum dma_p2p p2p)
{
	return (req->to_device ? DMA_TO_DEVICE : DMA_FROM_DEVICE) |
	       (p2p == DMA_P2P_HOST_BRIDGE ? DMA_ATTR_MMIO : 0);
}

struct blk_dma_iter {
	struct req_iterator iter;
	enum dma_p2p p2p; /* of the first segment, which decides for all */
	uint64_t addr; /* of the DMA segment */
	uint64_t len;
	enum blk_status status;
};

/** Maps the first segment, or the whole request into *@state. Returns whether there is one; else iter->status says why
 *  (OK: a request without data). */
bool blk_rq_dma_map_iter_start(struct request *req, struct dma_device *dev, struct dma_iova_state *state,
			       struct blk_dma_iter *iter);
/** The same for the integrity data. Under metadata-gap = data, whether they may get one IOVA follows from the joints of the
 * data (defect D6). */
bool blk_rq_integrity_dma_map_iter_start(struct request *req, struct dma_device *dev,
					 struct dma_iova_state *state, struct blk_dma_iter *iter);
/** Maps the next segment. Returns false at the end (status OK) or when the mapping failed (RESOURCE). */
bool blk_rq_dma_map_iter_next(struct request *req, struct dma_device *dev, struct blk_dma_iter *iter);

static inline bool blk_dma_coalesced(const struct dma_iova_state *state)
{
	return state->size != 0;
}

/** Undoes the mapping of the first @mapped bytes, of memory of kind @p2p, where that is one step or none. Returns whether
 *  it was; else the driver unmaps each segment. */
bool blk_rq_dma_unmap(const struct request *req, struct dma_device *dev, struct dma_iova_state *state,
		      uint64_t mapped, enum dma_p2p p2p);

#endif
