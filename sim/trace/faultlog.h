/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_FAULTLOG_H
#define SIM_TRACE_FAULTLOG_H

/*
 * Faults in a kernel log: the lines in which an IOMMU's driver says that it refused an access, and where.
 *
 * Known are the drivers that iommu/hw models, in the wording of Linux 6.1 to 7.0. A line may begin with a level, a time
 * stamp ("[   10.936127]"; others are no time of a recording) and whatever stands before the driver's text.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define FAULTLOG_MAX 4096 /* faults taken of one log */

struct faultlog_entry {
	uint64_t line;	  /* number, from 1 */
	uint64_t time_ns; /* UINT64_MAX: the line has no time stamp */
	uint64_t iova;
	unsigned access; /* of enum life_access; 0: the driver does not say */
	char *text;	 /* the line */
};

/** Reads @path, plain or packed. Returns its faults in order, of struct faultlog_entry, and in *@ret_more how many there
 *  were above FAULTLOG_MAX; NULL with *@error. Free with g_array_unref(). */
GArray *faultlog_read(const char *path, uint64_t *ret_more, GError **error);

#endif
