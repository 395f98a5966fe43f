/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_VERIFY_H
#define SIM_VERIFY_VERIFY_H

/*
 * Is the model right about this kernel? All of it, for one recording.
 */
#include "sim/verify/model.h"

struct verify_options {
	const struct machine_config *config; /* what the recording does not say */
	const char *snapshots;		     /* directory with dumps of the page table; NULL: none */
	const char *order;		     /* an alloc-order file; NULL: an order is looked for */
};

/** Compares the model with @recording. Returns false with *@error when that is not possible. Free what *@ret_result holds with
 *  verify_result_clear(). */
bool verify(const struct verify_recording *recording, const struct verify_options *options,
	    struct verify_result *ret_result, GError **error);
void verify_result_clear(struct verify_result *result);

/** Sets in @config what @recording tells of the machine, but for what the user chose. */
void verify_configure(const struct verify_recording *recording, struct machine_config *config);

#endif
