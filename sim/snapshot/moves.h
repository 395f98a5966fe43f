/* SPDX-License-Identifier: MIT */
#ifndef SIM_SNAPSHOT_MOVES_H
#define SIM_SNAPSHOT_MOVES_H

/*
 * Ranges that only one of two files has, until the section ends: what is missing here may have moved there. Two are the
 * same thing if they lead to the same place (the advance field), are as long, and are of the same owner (the field
 * that the noun follows).
 *
 * Memory is bounded: MOVES_MAX of them, of at most MOVES_SHAPES_MAX kinds. What finds no room is not looked for.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define MOVES_MAX	 1000000
#define MOVES_SHAPES_MAX 4096
#define MOVES_SHAPE_LEN	 256

/** One range. */
struct move {
	uint64_t first, last;
	uint64_t advance;
	uint64_t owner; /* its number; what stands before that is of the shape */
	uint32_t shape; /* number of what is alike in many: moves_shape() */
	uint32_t next;	/* private */
};

struct moves;

/** @max: so many ranges at once, at most MOVES_MAX. Free with moves_free(). */
struct moves *moves_new(uint64_t max);
void moves_free(struct moves *moves);

/** Returns the number of @shape, @len bytes copied; UINT32_MAX if there are too many, or it is longer
 *  than MOVES_SHAPE_LEN. */
uint32_t moves_shape(struct moves *moves, const char *shape, size_t len);
const char *moves_shape_text(const struct moves *moves, uint32_t shape);

/** Keeps @move. Returns false if there is no room. */
bool moves_put(struct moves *moves, const struct move *move);

/** Takes out the latest one that leads to where @wanted does, for which @same says so, into *@ret_move. */
bool moves_take(struct moves *moves, const struct move *wanted,
		bool (*same)(const struct moves *moves, const struct move *a, const struct move *b),
		struct move *ret_move);

/** Calls @each for what is left and forgets it, shapes included. */
void moves_drain(struct moves *moves,
		 void (*each)(void *data, const struct moves *moves, const struct move *move), void *data);

#endif
