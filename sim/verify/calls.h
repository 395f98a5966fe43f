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
	GArray *events; /* of uint32_t: of each call, the event that has its answer */
	GArray *fails;	/* of uint64_t: what the calls' fails point into */
};

/** Collects the calls of @recording to the domain's allocator. Free with verify_calls_finish(). */
void verify_calls_init(struct verify_calls *calls, const struct verify_recording *recording);
void verify_calls_finish(struct verify_calls *calls);

#endif
