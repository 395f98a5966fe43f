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
 * The whole grammar: docs/formats/snapshot.md.
 *
 * A room registers its nouns; writer, reader, check and diff know no room.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct sim;
struct output;
struct snapshot_writer;
struct snapshot_line;

#define SNAPSHOT_KEYS_MAX   4
#define SNAPSHOT_FIELDS_MAX 32
#define SNAPSHOT_LINE_MAX   16384 /* bytes, without the newline */

/**
 * What a kind of fact is called and how two of its kind are told apart.
 *
 * The phrases are what diff says, in the field's words. {FIELD} in one is replaced by the fact's value of that field:
 * "reference gained by {holder}".
 */
struct snapshot_noun {
	const char *name; /* "map" */
	/** Fields that say which one it is, in line order; NULL-ended. */
	const char *keys[SNAPSHOT_KEYS_MAX + 1];
	const char *range; /* field (the last of keys) that is a range FIRST-LAST, last inclusive; or NULL */
	const char *advance; /* field that advances along with the range ("pa"), or NULL */
	/** Fields that diff does not compare: chance, or told by another noun; NULL-ended; or NULL. */
	const char *const *unseen;
	const char *
		added; /* what diff calls one that only the second file has: "mapping added"; NULL: nothing, as
			      another noun tells it */
	const char *removed; /* … only the first: "mapping removed" */
	const char *changed; /* … both, with other fields: "mapping changed"; NULL: "changed" */
	const char *moved;   /* advance field differs: "mapping moved"; NULL: as changed */
	/** Field of its owner, "owner": what has the same owner and the same advance field somewhere else has moved, and
	 *  what has neither is another one; NULL: what is elsewhere is another one. */
	const char *follows;
	/** Other changes a field can name: pairs of field and phrase ("prot", "permission changed"), NULL-ended; or NULL.
	 *  "FIELD=VALUE" instead of a field is the change to that value: ("state=pending", "flush pending"). The first
	 *  pair that fits is taken. */
	const char *const *field_changed;
};

enum snapshot_rule_kind {
	/** Ranges of @noun with the same other keys do not overlap. */
	SNAPSHOT_DISJOINT,
	/** Every range of @noun lies within the union of the ranges of those @other that have the same value in
	 *  @other_field as it has in @field. */
	SNAPSHOT_COVERED_BY,
	/** No range of @noun overlaps a range of those @other, of which the same is true. */
	SNAPSHOT_APART,
	/** The value of @field occurs as @other_field of some @other. */
	SNAPSHOT_VALUE_EXISTS,
	/** The number in @field is at most the number in @other_field of the same fact. @other is NULL. */
	SNAPSHOT_AT_MOST,
	/** The same, below it. */
	SNAPSHOT_BELOW,
	/** The value of @field is one of those that @other_field lists, with commas. @other is NULL. */
	SNAPSHOT_ONE_OF,
};

/** How facts must fit together: what snapshot_check() looks for. */
struct snapshot_rule {
	enum snapshot_rule_kind kind;
	const char *noun;  /* of the section that holds the rule; NULL ends the rules */
	const char *field; /* or several, with commas; a fact without one of them is not asked */
	const char *other; /* noun of any section */
	const char *other_field; /* as many as in @field */
	const char *where; /* only those @other that have this "FIELD=VALUE" count; NULL: all */
	/** A fact of @noun with this "FIELD=VALUE" is not asked ("owner=none"); "FIELD!=VALUE": without; NULL: all are. */
	const char *unless;
	const char *says; /* the finding: "mapping outside every live IOVA range" */
	/** SNAPSHOT_COVERED_BY: fields of both, with commas, in which what covers agrees with what is covered; one that
	 *  advances along with the range, at each address. NULL: none. */
	const char *alike;
	bool opposite; /* of rules with @other: it must not be so */
};

/** A check that is going on. */
struct snapshot_checker;

/** What no rule can say: a room's own look at the facts, in the order of the file. */
struct snapshot_judge {
	size_t state_size; /* zeroed at first */
	/** Sees each fact of a noun that is known, of all sections. */
	void (*fact)(void *state, struct snapshot_checker *checker, const struct snapshot_line *line);
	void (*end)(void *state, struct snapshot_checker *checker); /* after the last one; may be NULL */
	void (*finish)(void *state); /* frees what the state holds; may be NULL */
};

/** Reports that the fact in @line does not fit; from a judge. */
void snapshot_misfit(struct snapshot_checker *checker, uint64_t line, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/** Returns the name of the file that is checked. Borrowed. */
const char *snapshot_checker_path(const struct snapshot_checker *checker);

struct snapshot_section {
	const char *name;		   /* "mapping" */
	const struct snapshot_noun *nouns; /* ended by a NULL name; sorted by name */
	/** Writes the section's facts in any order; @data is the room's. */
	void (*write)(struct snapshot_writer *writer, struct sim *sim, void *data);
	const struct snapshot_rule *rules; /* ended by a NULL noun; or NULL */
	const struct snapshot_judge *judge; /* NULL: the rules say all */
};

/** Starts a fact of @noun; then come its fields, keys first and in order; the fact ends with the next call of this, or
 *  with the section. Strings are borrowed until then, except values, which are copied. */
void snapshot_fact(struct snapshot_writer *writer, const char *noun);

/** Adds a field. In @value, what a line cannot hold (blank, '=', '%', control and non-ASCII bytes) becomes %XX. */
void snapshot_text(struct snapshot_writer *writer, const char *field, const char *value);
void snapshot_u64(struct snapshot_writer *writer, const char *field, uint64_t value); /* decimal */
void snapshot_hex(struct snapshot_writer *writer, const char *field, uint64_t value, unsigned digits);
/** Adds the noun's range field; @last is inclusive and not below @first. */
void snapshot_range(struct snapshot_writer *writer, const char *field, uint64_t first, uint64_t last);

struct snapshot_source {
	const struct snapshot_section *section;
	void *data;
};

/** Writes a snapshot of @sim to @path, whole or not: @header is pairs of key and value, NULL-ended; @sources ends with a
 *  NULL section; those of one section stand together, and are one section of the file. Memory is proportional to the largest section. */
bool snapshot_write(const char *path, struct sim *sim, const char *const *header,
		    const struct snapshot_source *sources, GError **error);

struct snapshot_field {
	const char *name;
	const char *value;
};

/** A fact as it is read. All is borrowed until the callback returns. */
struct snapshot_line {
	const char *section;
	const char *text; /* the whole line, as it stands in the file */
	const char *noun;
	const struct snapshot_field *fields; /* in the order of the line */
	unsigned field_count;
	uint64_t number; /* of the line in the file, from 1 */
};

/** Returns the value of @field, or NULL. */
const char *snapshot_line_get(const struct snapshot_line *line, const char *field);

/** Parses a range "0x…-0x…" as snapshot_range() writes it, 16 digits each. Returns false, touching neither result, if
 *  @text is none or ends before it begins. */
bool snapshot_parse_range(const char *text, uint64_t *ret_first, uint64_t *ret_last);

/** What snapshot_read() calls, in file order. A member may be NULL. What is not 0 ends the reading and is returned; a
 *  negative result comes with *@error set. */
struct snapshot_visitor {
	int (*header)(void *data, const char *key, const char *value, GError **error);
	int (*section)(void *data, const char *name, GError **error);
	int (*fact)(void *data, const struct snapshot_line *line, GError **error);
};

/** Reads @path ("-" is stdin; compressed or not), a line at a time, and verifies the digest when it has one.
 *  @sections (ended by NULL) say in which order the ones they name must come; NULL: in any. Returns 0 at the end, -1
 *  with "FILE:LINE: …" in *@error for what is no snapshot, or what a callback returned. */
int snapshot_read(const char *path, const struct snapshot_section *const *sections,
		  const struct snapshot_visitor *visitor, void *data, GError **error);

/** What a check or a diff has to say, one call a finding; @text is one line for people; @fields (for JSON) are pairs of
 *  name and value, NULL-ended. Both are borrowed until it returns. */
typedef void (*snapshot_report)(void *data, const char *text, const char *const *fields);

struct snapshot_diff_options {
	const char *const *ignore; /* fields left out, but for keys; NULL-ended; or NULL */
	const char *const *only;   /* nouns to compare, NULL-ended; or NULL for all */
	uint64_t follow_max; /* so many ranges that one file has not are looked for elsewhere in it; 0: a million */
	uint64_t *ret_not_followed; /* how many found no room for that; or NULL */
};

/** Compares two snapshots by meaning, streaming both. @sections (ended by NULL) tell the nouns; a noun that none of them
 *  knows is compared as a whole line. @options may be NULL. Ranges are compared address by address: how a range is cut
 *  into facts makes no difference, and a finding names exactly the part that differs. A range of a noun that follows an
 *  owner is looked for in the whole section: it has moved if the other file has one as long of that owner, with the same
 *  advance field, elsewhere.
 *
 *  Fields reported: change (the phrase), noun, the keys; then the other fields of what was added or removed, or field,
 *  a and b of what changed (a or b is missing where that file's fact lacks the field). For an unknown noun: change
 *  ("added", "removed"), section and line.
 *
 *  Returns 0 same, 1 different, -1 with *@error; findings made before the error was met have been reported. */
int snapshot_diff(const char *path_a, const char *path_b, const struct snapshot_section *const *sections,
		  const struct snapshot_diff_options *options, snapshot_report report, void *data,
		  GError **error);

#define SNAPSHOT_FINDINGS_MAX 10000 /* of one check; further ones are counted in one more */

/** Checks digest, order and form, that no two facts have the same keys, and what the rules and judges of @sections (ended
 *  by NULL) ask. Findings come in the order of their lines.
 *  Fields reported: file, line, finding. Returns 0 sound, 1 with findings, -1 with *@error and nothing reported for what
 *  is damaged: another form or order, a digest that is wrong or missing, an end that is. */
int snapshot_check(const char *path, const struct snapshot_section *const *sections, snapshot_report report,
		   void *data, GError **error);

#endif
