/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_PREP_H
#define BLOCKDMA_PREP_H

/*
 * What the two ways of preparing a command share: prep.c with the block mapper, prep-sg.c with scatter lists. Nobody else
 * includes it but the probe, for the limits.
 */
#include "blockdma/nvme.h"
#include "sim/behaviour/behaviour.h"

#define PRP_PER_PAGE (NVME_PAGE / sizeof(uint64_t))

/** Whether the driver maps through scatter lists. */
static inline bool nvme_maps_sg(const struct nvme *nvme)
{
	return behaves(nvme->sim, BLKDMA_MAPPER) == BLKDMA_MAPPER_SG;
}

static inline struct nvme_sgl_desc nvme_sgl_data(uint64_t addr, uint64_t len)
{
	return (struct nvme_sgl_desc){.addr = addr, .length = (uint32_t)len, .type = NVME_SGL_DATA};
}

/** Takes one more descriptor block for @iod, of the pool that iod->small_descriptor says, through fault point @fault. Returns
 *  its bytes, or NULL. */
void *nvme_descriptor(struct nvme *nvme, struct nvme_iod *iod, unsigned fault,
		      struct dma_pool_block *ret_block);
void nvme_free_descriptors(struct nvme *nvme, struct nvme_iod *iod);

/** The short way of a request with one physical segment: mapped alone, PRPs where they can say it and @force_sgl is not set,
 *  else an SGL. Returns false when it must go the long way. */
bool nvme_setup_single(struct nvme *nvme, struct nvme_iod *iod, bool may_sgl, bool force_sgl,
		       enum blk_status *ret_status);

/** Maps the data of iod->req through a scatter list, or alone, and describes them; @admin: for the admin queue. */
enum blk_status nvme_map_data_sg(struct nvme *nvme, struct nvme_iod *iod, bool admin);
/** Gives back the table of @iod, if it has one: unmapped, its lists freed. */
void nvme_put_table(struct nvme *nvme, struct nvme_iod *iod);

#endif
