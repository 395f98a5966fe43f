/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_CALLS_H
#define SIM_VERIFY_CALLS_H

/*
 * The calls of the recorded allocator, for order.h: who asked when for what, and got which address.
 */
#include "sim/verify/order.h"
#include "sim/verify/recording.h"

struct verify_calls {
	GArray *calls;	/* of struct verify_call, in the order of their entry */
	GArray *events; /* of uint32_t: of each call, the event that tells its answer */
	GArray *fails;	/* of uint64_t: what the calls' fails point into */
};

/** Collects the calls of @recording to the domain's allocator. Free with verify_calls_finish(). */
void verify_calls_init(struct verify_calls *calls, const struct verify_recording *recording);
/** The same where the allocator's calls were not recorded: there are none yet. */
void verify_calls_init_empty(struct verify_calls *calls);
/** Adds a call that op number @op of @recording must have made, its @nth one; it takes effect from event @from of the op on. */
void verify_calls_add(struct verify_calls *calls, const struct verify_recording *recording, uint32_t op,
		      unsigned nth, uint32_t from, const struct verify_call *call);
/** Brings what was added into the order of entry. */
void verify_calls_sort(struct verify_calls *calls);
void verify_calls_finish(struct verify_calls *calls);

#endif
