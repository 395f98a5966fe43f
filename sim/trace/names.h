/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_NAMES_H
#define SIM_TRACE_NAMES_H

/*
 * Names that a recording uses again and again (of events, files, disks), each with a number and a count.
 */
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "sim/core/umap.h"

#define NAMES_NONE UINT32_MAX

struct name_entry {
	char *text;
	uint64_t count;
};

struct names {
	struct umap by_hash;
	GArray *names; /* of struct name_entry, by number */
};

void names_init(struct names *names);
void names_finish(struct names *names);

/** Counts @text, of @len bytes. Returns its number, from 0 in order of appearance, or NAMES_NONE where there are @max others
 *  already. */
uint32_t names_count(struct names *names, const char *text, size_t len, uint32_t max);

/** The same, counting it @count times. */
uint32_t names_add(struct names *names, const char *text, size_t len, uint64_t count, uint32_t max);

/** Counts name @number, which there is, once more. */
static inline void names_count_again(struct names *names, uint32_t number)
{
	g_array_index(names->names, struct name_entry, number).count++;
}

/** Returns name @number, borrowed, or NULL past the last. */
const struct name_entry *names_at(const struct names *names, uint32_t number);

#endif
