/* SPDX-License-Identifier: MIT */
#ifndef SIM_SNAPSHOT_SNAPSHOT_H
#define SIM_SNAPSHOT_SNAPSHOT_H

/*
 * Mapping-state snapshots: canonical text, one fact a line.
 *
 *	iommusim-snapshot 1
 *	# kernel 7.0
 *	# time_ns 123456
 *	[domain]
 *	domain id=1 format=vtdss …
 *	[mapping]
 *	map domain=1 iova=0x00000000fff7f000-0x00000000fff7ffff pa=0x0000000114135000 prot=rw owner=req:12 …
 *	digest sha256:…
 *
 * First line, header lines ("# KEY VALUE", ignored by the semantic diff), sections in the order of registration, each
 * with its lines sorted bytewise, the digest of all that stands before it last. A fact line is a noun and fields
 * NAME=VALUE separated by one blank; values hold no blank, no '=' and no control character. Numbers that order lines
 * are hexadecimal of fixed width, so that bytewise order is numeric order. Hence plain diff, grep and git work on it.
 *
 * A room registers its nouns; writer, reader, check and diff know no room.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct sim;
struct output;
struct snapshot_writer;

#define SNAPSHOT_KEYS_MAX 4

struct snapshot_noun {
	const char *name;		      /* "map" */
	const char *keys[SNAPSHOT_KEYS_MAX + 1]; /* fields that say which one it is, in line order; NULL-ended */
	const char *range;   /* field (the last of keys) that is a range FIRST-LAST, last inclusive; or NULL */
	const char *advance; /* field that advances along with the range ("pa"), or NULL */
	const char *added;   /* what diff calls one that only the second file has: "mapping added" */
	const char *removed; /* … only the first: "mapping removed" */
	const char *changed; /* … both, with other fields: "mapping changed" */
	const char *moved;   /* advance field differs: "mapping moved"; NULL: as changed */
	/** Other changes a field can name: pairs of field and phrase ("prot", "permission changed"), NULL-ended; or NULL. */
	const char *const *field_changed;
};

struct snapshot_section {
	const char *name; /* "mapping" */
	const struct snapshot_noun *nouns; /* ended by a NULL name; sorted by name */
	/** Writes the section's facts in any order; @data is the room's. */
	void (*write)(struct snapshot_writer *writer, struct sim *sim, void *data);
};

/** Starts a fact of @noun; then come its fields, keys first and in order; the fact ends with the next call of this, or
 *  with the section. */
void snapshot_fact(struct snapshot_writer *writer, const char *noun);
void snapshot_text(struct snapshot_writer *writer, const char *field, const char *value);
void snapshot_u64(struct snapshot_writer *writer, const char *field, uint64_t value); /* decimal */
void snapshot_hex(struct snapshot_writer *writer, const char *field, uint64_t value, unsigned digits);
void snapshot_range(struct snapshot_writer *writer, const char *field, uint64_t first, uint64_t last);

struct snapshot_source {
	const struct snapshot_section *section;
	void *data;
};

/** Writes a snapshot of @sim to @path, whole or not: @header is pairs of key and value, NULL-ended; @sources ends with a
 *  NULL section. */
bool snapshot_write(const char *path, struct sim *sim, const char *const *header,
		    const struct snapshot_source *sources, GError **error);

/** What a check or a diff has to say, one call a finding; @text is one line for people; @fields (for JSON) are pairs of
 *  name and value, NULL-ended. */
typedef void (*snapshot_report)(void *data, const char *text, const char *const *fields);

struct snapshot_diff_options {
	const char *const *ignore; /* fields left out of the comparison, NULL-ended; or NULL */
	const char *const *only;   /* nouns to compare, NULL-ended; or NULL for all */
};

/** Compares two snapshots by meaning, streaming both. @sections (ended by NULL) tell the nouns; a noun that none of them
 *  knows is compared as a whole line. Returns 0 same, 1 different, -1 with *@error. */
int snapshot_diff(const char *path_a, const char *path_b, const struct snapshot_section *const *sections,
		  const struct snapshot_diff_options *options, snapshot_report report, void *data, GError **error);

/** Checks digest, order and form, and, for every section that has one, that facts fit together. Returns 0 sound, 1 with
 *  findings, -1 with *@error (not a snapshot at all). */
int snapshot_check(const char *path, const struct snapshot_section *const *sections, snapshot_report report,
		   void *data, GError **error);

#endif
