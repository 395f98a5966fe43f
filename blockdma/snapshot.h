/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_SNAPSHOT_H
#define BLOCKDMA_SNAPSHOT_H

/* "nvme": queues and descriptor pools of a struct nvme, which is the section's data. */
#include "blockdma/nvme.h"
#include "sim/snapshot/snapshot.h"

extern const struct snapshot_section nvme_section;

#endif
