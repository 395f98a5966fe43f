/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_UMAP_H
#define SIM_CORE_UMAP_H

/*
 * A map from a 64-bit key to three 64-bit values, for the hot path: open addressing, linear probing, removal by shifting
 * back, so there are no tombstones and the table never needs cleaning. Iteration order is the table's, which depends
 * on its history: whoever prints, sorts first.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UMAP_EMPTY UINT64_MAX /* not a valid key */

struct umap_entry {
	uint64_t key;
	uint64_t value;
	uint64_t extra;
	uint64_t more;
};

struct umap {
	struct umap_entry *slots;
	uint32_t mask;	/* slots - 1 */
	uint32_t count; /* never above half of the slots */
};

void umap_init(struct umap *map);
void umap_finish(struct umap *map);

/** Doubles the table. umap_insert() calls it. */
void umap_grow(struct umap *map);

static inline uint32_t umap_home(const struct umap *map, uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & map->mask;
}

/** Returns the entry of @key, borrowed until the next insert or remove, or NULL. */
static inline struct umap_entry *umap_find(const struct umap *map, uint64_t key)
{
	for (uint32_t i = umap_home(map, key);; i = (i + 1) & map->mask) {
		if (map->slots[i].key == key)
			return &map->slots[i];
		if (map->slots[i].key == UMAP_EMPTY)
			return NULL;
	}
}

/** Returns the entry of @key, made with its values 0 when it was not there; borrowed until the next insert or remove. */
static inline struct umap_entry *umap_insert(struct umap *map, uint64_t key)
{
	uint32_t i;

	if (map->count * 2 > map->mask)
		umap_grow(map);
	for (i = umap_home(map, key); map->slots[i].key != key; i = (i + 1) & map->mask) {
		if (map->slots[i].key == UMAP_EMPTY) {
			map->slots[i] = (struct umap_entry){.key = key};
			map->count++;
			break;
		}
	}
	return &map->slots[i];
}

/** Removes @entry, which umap_find() or umap_insert() returned and nothing has moved since. */
static inline void umap_remove(struct umap *map, struct umap_entry *entry)
{
	uint32_t hole = (uint32_t)(entry - map->slots);

	map->count--;
	for (uint32_t i = (hole + 1) & map->mask; map->slots[i].key != UMAP_EMPTY; i = (i + 1) & map->mask) {
		uint32_t home = umap_home(map, map->slots[i].key);

		/* May move back only if its home does not lie between the hole (exclusive) and where it is. */
		if (((i - home) & map->mask) >= ((i - hole) & map->mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].key = UMAP_EMPTY;
}

/** Returns all entries sorted by key in a new array of map->count elements; free with g_free(). */
struct umap_entry *umap_sorted(const struct umap *map);

#endif
