/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_POOLS_H
#define SIM_VERIFY_POOLS_H

/*
 * The pools of small blocks (mm/dmapool.c), call by call as recorded: which block each allocation gets, and when a pool needs
 * another page. Blocks are handed out last freed first, those of a fresh page from its start on.
 *
 * A call is recorded at its entry, so two CPUs that come at the same moment may have been served the other way round.
 */
#include "sim/verify/model.h"

struct verify_pools;

struct verify_block {
	uint64_t addr;
	bool grows; /* a page had to be allocated for it */
};

struct verify_pools *verify_pools_new(const struct verify_recording *recording, struct verify_result *result);
void verify_pools_free(struct verify_pools *pools);

/** Returns in *@ret_block what the allocation at @event got from the pool of 256-byte blocks (@small) or of pages; @now: an event
 *  by which it was back. Returns false when the recording took it from the other one. */
bool verify_pools_alloc(struct verify_pools *pools, uint32_t event, uint32_t now, bool small,
			struct verify_block *ret_block);

#endif
