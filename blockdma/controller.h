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

enum {
	FAULT_CONTROLLER_STATUS = FAULT_ROOM_CONTROLLER,
	FAULT_CONTROLLER_LOST_COMPLETION,
	FAULT_CONTROLLER_TRANSFER_ERROR,
	FAULT_CONTROLLER_FATAL,
	FAULT_CONTROLLER_TRANSLATION,
	FAULT_CONTROLLER_DOORBELL, /* asked where the driver writes it: nvme.c */
};

extern const struct fault_table controller_fault_table;

/** What is lost when a completion is lost. */
enum controller_loss {
	CONTROLLER_LOSES_COMMAND,   /* it hangs; an Abort gets it back */
	CONTROLLER_LOSES_INTERRUPT, /* the completion is in its queue, and nobody is told */
	CONTROLLER_LOSES_ALL,	    /* not even an Abort finds it */
	CONTROLLER_LOSES_NOTHING,
};

/** How the controller fails when a fault point says that it does. */
struct controller_faults {
	uint16_t status; /* type and code */
	bool dnr;	 /* do not retry */
	enum controller_loss loss;
};

/** Why the controller accesses memory. */
enum controller_phase {
	CONTROLLER_FETCH, /* the command */
	CONTROLLER_LISTS, /* where its data lie: PRP lists, SGL segments */
	CONTROLLER_DATA,  /* data and metadata */
	CONTROLLER_COMPLETION,
	CONTROLLER_PHASES,
};

/** What the translations of a phase took. */
struct controller_walks {
	uint32_t misses;       /* of the IOTLB: walks */
	uint32_t table_reads;  /* page-table entries read for them */
	uint32_t ats_requests; /* translations that the device's own cache did not have */
};

struct controller_command {
	uint16_t command_id;
	uint16_t status; /* what it will complete with */
	uint32_t result;
	enum controller_loss loss;
	bool abort; /* of the command @abort_id on queue @abort_qid */
	uint16_t abort_qid, abort_id;
	bool write;	 /* moves data to the device */
	uint64_t bytes;	 /* data moved before a fault, if there was one */
	uint64_t slba;
	uint64_t meta_bytes; /* and metadata */
	unsigned accesses; /* memory accesses: command, lists, pages of data */
	uint32_t lists, list_bytes; /* how many lists, one after the other, and their bytes */
	enum controller_phase phase; /* in which it is */
	bool completion_asked;	     /* controller_ask_completion() was called */
	struct controller_walks walks[CONTROLLER_PHASES];
};

struct controller_stats {
	uint64_t commands, bytes_read, bytes_written;
	uint64_t accesses, faults;
};

struct controller {
	struct nvme *nvme;
	bool iotlb; /* translate through the IOTLB; else walk every time (functional runs) */
	struct controller_faults faults;
	unsigned stream; /* what the IOMMU knows it by */
	bool fatal; /* CSTS.CFS: it does nothing more before a reset */
	struct controller_stats stats;
};

/** Fetches the next command of queue @qid into *@ret_command and moves its data. Returns false, with *@ret_command undefined,
 *  when the queue has no new command, as far as its doorbell tells, or the controller has failed: before, or because it cannot
 *  reach the queue. */
bool controller_execute(struct controller *ctrl, unsigned qid, struct controller_command *ret_command);

/** Translates the place of the next completion of queue @qid through the IOTLB, for @command, which will be completed later: what
 *  that takes is added to it, and controller_complete() asks no more. */
void controller_ask_completion(struct controller *ctrl, unsigned qid, struct controller_command *command);

/** Writes the completion of @command into the completion queue of @qid. Returns false, with nothing written, when the
 *  controller has failed: before, or because it cannot reach the queue. */
bool controller_complete(struct controller *ctrl, unsigned qid, struct controller_command *command);

/** Returns what the translations of all phases of @command took. */
struct controller_walks controller_walks_sum(const struct controller_command *command);

#endif
