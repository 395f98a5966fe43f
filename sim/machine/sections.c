/* SPDX-License-Identifier: MIT */
#include "blockdma/snapshot.h"
#include "iommu/dma/snapshot.h"
#include "sim/machine/replay.h"

const struct snapshot_section *const machine_sections[] = {
	&dma_domain_section,  &dma_iova_section,
	&dma_held_section,    &dma_mapping_section,
	&dma_pgtable_section, &dma_iotlb_section,
	&nvme_section,	      &replay_request_section,
	&ledger_section,      NULL,
};
