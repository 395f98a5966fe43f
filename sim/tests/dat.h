/* SPDX-License-Identifier: MIT */
#ifndef SIM_TESTS_DAT_H
#define SIM_TESTS_DAT_H

/*
 * A trace.dat made in memory: version 6, one CPU, one page with one record of each event. All are of DAT_PID in DAT_FLAGS
 * (a softirq), DAT_DELTA_NS after the one before.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define DAT_FIELDS_MAX 8
#define DAT_PID	       118
#define DAT_FLAGS      0x10
#define DAT_DELTA_NS   1500

struct dat_field {
	const char *declaration; /* "u64 size" */
	unsigned size;		 /* bytes; 0: what text there is */
	bool is_signed;
	uint64_t value;
};

struct dat_event {
	const char *system, *name;
	struct dat_field fields[DAT_FIELDS_MAX];
	const char *text; /* of the field of size 0; may be NULL */
	unsigned cut;	  /* bytes that the record lacks at its end */
};

/** Returns the file. *@ret_first is the offset of its first record. */
GByteArray *dat_make(const struct dat_event *const *events, unsigned count, size_t *ret_first);

#endif
