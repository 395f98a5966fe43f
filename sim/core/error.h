/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_ERROR_H
#define SIM_CORE_ERROR_H

/*
 * What the user gave us is unusable: one GError, made where the line or the offset is known, printed once by sim/cmd.
 *
 * The message is the whole text after "iommusim: ", that is "FILE:LINE: what is wrong" or "FILE@OFFSET: what is wrong".
 * What the modelled kernel would return is not an error of this kind but an ordinary negative errno.
 */
#include <glib.h>
#include <stdint.h>

#define SIM_ERROR (sim_error_quark())
GQuark sim_error_quark(void);

enum sim_error {
	SIM_ERROR_INPUT,  /* a file or option is unusable: exit 2 */
	SIM_ERROR_OUTPUT, /* a result could not be written: exit 2 */
};

/** Sets *@error to "FILE:LINE: message"; @line counts from 1. Returns -1, so that a caller can return it. */
int sim_error_line(GError **error, const char *file, uint64_t line, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

/** Sets *@error to "FILE@OFFSET: message"; @offset in bytes of the uncompressed input. Returns -1. */
int sim_error_offset(GError **error, const char *file, uint64_t offset, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

/** Sets *@error to "message" (for options and the like, which have no line). Returns -1. */
int sim_error_plain(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
