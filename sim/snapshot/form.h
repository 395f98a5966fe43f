/* SPDX-License-Identifier: MIT */
#ifndef SIM_SNAPSHOT_FORM_H
#define SIM_SNAPSHOT_FORM_H

/*
 * The form of a snapshot, as writer and reader agree on it; and the reader itself, one item at a time, for check and
 * diff. Only this room includes it.
 */
#include "sim/core/sha256.h"
#include "sim/io/input.h"
#include "sim/snapshot/snapshot.h"

#define SNAPSHOT_MAGIC	    "iommusim-snapshot "
#define SNAPSHOT_FIRST_LINE SNAPSHOT_MAGIC "1"
#define SNAPSHOT_DIGEST	    "digest sha256:"

#define SNAPSHOT_SECTIONS_MAX 256 /* in one file */

/** Returns whether @text may be the name of a section, noun, field or header: lower case, digits, '-', '_', '.'. */
bool snapshot_is_name(const char *text);

/** Appends @value with '%', control and non-ASCII bytes, and those of @also, as %XX. */
void snapshot_append_escaped(GString *string, const char *value, const char *also);

/** Appends the range as "0x…-0x…", 16 digits each. */
void snapshot_append_range(GString *string, uint64_t first, uint64_t last);

/** Appends " NAME=VALUE". */
void snapshot_append_field(GString *string, const char *name, const char *value);

/** Returns the noun called @name in @section, or NULL. */
const struct snapshot_noun *snapshot_section_noun(const struct snapshot_section *section, const char *name);

/** Returns where the section called @name stands in @sections (ended by NULL, or NULL), or -1. */
int snapshot_section_index(const struct snapshot_section *const *sections, const char *name);

enum snapshot_item {
	SNAPSHOT_END,
	SNAPSHOT_HEADER,
	SNAPSHOT_SECTION,
	SNAPSHOT_FACT,
};

struct snapshot_reader {
	/* What snapshot_reader_next() found, valid until it is called again. */
	const char *key, *value;	  /* of a header line */
	struct snapshot_line line;	  /* of a fact */
	char *section;			  /* name of the section, NULL before the first */
	int section_index;		  /* in @sections, -1 where it is not known */
	int section_anchor;		  /* of the last one that is known, -1 before the first */
	const struct snapshot_noun *noun; /* of the fact; NULL where it is not known */
	uint64_t first, last;		  /* its range, where the noun has one */
	bool has_digest;		  /* at the end: there was a digest, and it was right */

	/* The rest is the reader's own. */
	struct input *input;
	const struct snapshot_section *const *sections;
	struct sha256 digest;
	uint64_t len_bytes; /* of the lines read, a newline for each */
	GHashTable *seen;   /* names of sections */
	GString *text;	   /* the line */
	GString *previous; /* the fact before, empty at the start of a section */
	GString *split;	   /* the line cut into NUL-ended words */
	struct snapshot_field fields[SNAPSHOT_FIELDS_MAX];
};

/** Opens @path and reads its first line. Returns NULL with *@error. @sections as for snapshot_read(), borrowed. */
struct snapshot_reader *snapshot_reader_new(const char *path, const struct snapshot_section *const *sections,
					    GError **error);
void snapshot_reader_free(struct snapshot_reader *reader);

/** Returns the next item, or -1 with *@error. A fact whose noun is known has its keys, in order and first, and a range
 *  that can be parsed. Not to be called again after the end. */
int snapshot_reader_next(struct snapshot_reader *reader, GError **error);

/** Returns whether the last line read ends with a newline, as all that are written do. */
bool snapshot_reader_ended(const struct snapshot_reader *reader);

const char *snapshot_reader_path(const struct snapshot_reader *reader);

#endif
