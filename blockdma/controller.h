/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_CONTROLLER_H
#define BLOCKDMA_CONTROLLER_H

/*
 * The NVMe controller: the other side of the queues. It sees nothing but memory: it reads commands, lists and data
 * addresses, each access through the IOMMU, and writes completions.
 *
 * This is the functional half. It says what every command touched; sim/machine turns that into time.
 */
#include "blockdma/nvme.h"

struct controller_command {
	uint16_t command_id;
	uint16_t status; /* what it will complete with */
	bool write;	 /* moves data to the device */
	uint64_t bytes;	 /* data moved before a fault, if there was one */
	uint64_t slba;
	unsigned accesses; /* memory accesses: command, lists, pages of data */
	unsigned iotlb_misses;
	unsigned ats_requests; /* translations that the device's own cache did not have */
	unsigned table_reads; /* page-table entries read for them */
};

struct controller_stats {
	uint64_t commands, bytes_read, bytes_written;
	uint64_t accesses, faults;
};

struct controller {
	struct nvme *nvme;
	bool iotlb; /* translate through the IOTLB; else walk every time (functional runs) */
	struct controller_stats stats;
};

/** Fetches the next command of queue @qid and moves its data. Returns false when the queue has no new command. */
bool controller_execute(struct controller *ctrl, unsigned qid, struct controller_command *ret_command);

/** Writes the completion of @command into the completion queue of @qid. */
void controller_complete(struct controller *ctrl, unsigned qid, const struct controller_command *command);

#endif
