/* SPDX-License-Identifier: MIT */
#include "sim/snapshot/moves.h"

#include <string.h>

#define CHUNK_LG2   13 /* moves in one allocation: nothing is ever copied to grow */
#define BUCKETS_LG2 20
#define WALK_MAX    64 /* looked at for one: chance gives a few; a page that is mapped everywhere, millions */
#define NONE	    UINT32_MAX

struct moves {
	uint64_t max;
	struct move *chunks[(MOVES_MAX >> CHUNK_LG2) + 1];
	uint32_t used;	    /* slots that were ever used */
	uint32_t free_slot; /* first of those that are free again, linked by next */
	uint32_t *buckets;  /* first slot of each chain; NULL until something is kept */
	GHashTable *shapes; /* text -> number + 1 */
	GPtrArray *texts;   /* of shapes, by number; owned by the table above */
};

struct moves *moves_new(uint64_t max)
{
	struct moves *moves = g_new0(struct moves, 1);

	g_assert(max <= MOVES_MAX);
	moves->max = max;
	moves->free_slot = NONE;
	moves->shapes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	moves->texts = g_ptr_array_new();
	return moves;
}

void moves_free(struct moves *moves)
{
	if (!moves)
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(moves->chunks); i++)
		g_free(moves->chunks[i]);
	g_free(moves->buckets);
	g_ptr_array_unref(moves->texts);
	g_hash_table_unref(moves->shapes);
	g_free(moves);
}

uint32_t moves_shape(struct moves *moves, const char *shape, size_t len)
{
	uint32_t number = GPOINTER_TO_UINT(g_hash_table_lookup(moves->shapes, shape));
	char *text;

	g_assert(strlen(shape) == len);
	if (number)
		return number - 1;
	if (moves->texts->len == MOVES_SHAPES_MAX || len > MOVES_SHAPE_LEN)
		return UINT32_MAX;
	text = g_strndup(shape, len);
	g_ptr_array_add(moves->texts, text);
	g_hash_table_insert(moves->shapes, text, GUINT_TO_POINTER(moves->texts->len));
	return moves->texts->len - 1;
}

const char *moves_shape_text(const struct moves *moves, uint32_t shape)
{
	return g_ptr_array_index(moves->texts, shape);
}

static struct move *slot_at(const struct moves *moves, uint32_t slot)
{
	return &moves->chunks[slot >> CHUNK_LG2][slot & ((1u << CHUNK_LG2) - 1)];
}

/* Of what two that match have in common; the owner's number, not its shape. */
static uint32_t *bucket_of(const struct moves *moves, const struct move *move)
{
	uint64_t hash = move->advance * UINT64_C(0x9e3779b97f4a7c15);

	hash = (hash ^ hash >> 29 ^ move->owner) * UINT64_C(0xbf58476d1ce4e5b9);
	hash = (hash ^ hash >> 32 ^ (move->last - move->first)) * UINT64_C(0x94d049bb133111eb);
	return &moves->buckets[hash >> (64 - BUCKETS_LG2)];
}

bool moves_put(struct moves *moves, const struct move *move)
{
	uint32_t slot = moves->free_slot, *bucket;

	if (slot == NONE && moves->used == moves->max)
		return false;
	if (!moves->buckets) {
		moves->buckets = g_new(uint32_t, 1u << BUCKETS_LG2);
		memset(moves->buckets, 0xff, sizeof(uint32_t) << BUCKETS_LG2);
	}
	if (slot != NONE) {
		moves->free_slot = slot_at(moves, slot)->next;
	} else {
		slot = moves->used++;
		if (!moves->chunks[slot >> CHUNK_LG2])
			moves->chunks[slot >> CHUNK_LG2] = g_new(struct move, 1u << CHUNK_LG2);
	}
	bucket = bucket_of(moves, move);
	*slot_at(moves, slot) = *move;
	slot_at(moves, slot)->next = *bucket;
	*bucket = slot;
	return true;
}

bool moves_take(struct moves *moves, const struct move *wanted,
		bool (*same)(const struct moves *moves, const struct move *a, const struct move *b),
		struct move *ret_move)
{
	uint32_t *link = moves->buckets ? bucket_of(moves, wanted) : NULL;

	for (unsigned walked = 0; link && *link != NONE && walked < WALK_MAX;
	     walked++, link = &slot_at(moves, *link)->next) {
		uint32_t slot = *link;
		struct move *move = slot_at(moves, slot);

		if (move->advance != wanted->advance || move->owner != wanted->owner ||
		    move->last - move->first != wanted->last - wanted->first || !same(moves, move, wanted))
			continue;
		*ret_move = *move;
		*link = move->next;
		move->shape = NONE;
		move->next = moves->free_slot;
		moves->free_slot = slot;
		return true;
	}
	return false;
}

void moves_drain(struct moves *moves,
		 void (*each)(void *data, const struct moves *moves, const struct move *move), void *data)
{
	for (uint32_t slot = 0; slot < moves->used; slot++)
		if (slot_at(moves, slot)->shape != NONE)
			each(data, moves, slot_at(moves, slot));
	moves->used = 0;
	moves->free_slot = NONE;
	g_clear_pointer(&moves->buckets, g_free);
	g_ptr_array_set_size(moves->texts, 0);
	g_hash_table_remove_all(moves->shapes);
}
