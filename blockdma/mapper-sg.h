/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_MAPPER_SG_H
#define BLOCKDMA_MAPPER_SG_H

/*
 * From a request to a scatter list (blk_rq_map_sg() in block/blk-merge.c of Linux 6.1): what drivers mapped before the
 * block mapper of mapper.h was there. Source: blockdma-sg-facts section 1.4.
 */
#include "blockdma/request.h"
#include "iommu/dma/sg.h"

/** Fills @sgl with the data of @req: an entry a vector, which the limits of the queue may cut; where bios touch, the vector
 *  before grows. Returns how many entries there are, at most @req->nr_phys_segments. */
unsigned blk_rq_map_sg(const struct request *req, struct scatterlist *sgl);

#endif
