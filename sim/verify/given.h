/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_GIVEN_H
#define SIM_VERIFY_GIVEN_H

/*
 * An order of the allocator's calls that somebody found: an alloc-order file (iommu/iova/golden.h) of the same recording.
 */
#include "sim/verify/calls.h"

/** Reads the file @path: which of @calls, in turn. Returns an array of uint32_t with each call once, or NULL with *@error, also
 *  when the file is of another recording. */
GArray *verify_given_read(const struct verify_calls *calls, const char *path, GError **error);

/** Runs whole calls through the model in @order. A call that comes where it cannot have taken effect, and an address that is not
 *  as recorded, is *@ret_order's failed. */
void verify_given_check(const struct verify_order_start *start, const struct verify_calls *calls,
			const GArray *order, struct verify_order *ret_order);

#endif
