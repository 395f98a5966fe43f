/* SPDX-License-Identifier: MIT */
#include "sim/core/umap.h"

#include <glib.h>
#include <stdlib.h>

static struct umap_entry *umap_new_slots(uint32_t count)
{
	struct umap_entry *slots = g_new(struct umap_entry, count);

	for (uint32_t i = 0; i < count; i++)
		slots[i].key = UMAP_EMPTY;
	return slots;
}

void umap_init(struct umap *map)
{
	*map = (struct umap){.slots = umap_new_slots(64), .mask = 63};
}

void umap_finish(struct umap *map)
{
	g_clear_pointer(&map->slots, g_free);
	map->count = 0;
}

void umap_grow(struct umap *map)
{
	struct umap_entry *old = map->slots;
	uint32_t old_slots = map->mask + 1;

	g_assert(old_slots < 1u << 31);
	map->slots = umap_new_slots(old_slots * 2);
	map->mask = old_slots * 2 - 1;
	for (uint32_t i = 0; i < old_slots; i++) {
		uint32_t to;

		if (old[i].key == UMAP_EMPTY)
			continue;
		for (to = umap_home(map, old[i].key); map->slots[to].key != UMAP_EMPTY;
		     to = (to + 1) & map->mask)
			;
		map->slots[to] = old[i];
	}
	g_free(old);
}

static int umap_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct umap_entry *)a)->key, y = ((const struct umap_entry *)b)->key;

	return x < y ? -1 : x > y;
}

struct umap_entry *umap_sorted(const struct umap *map)
{
	struct umap_entry *sorted = g_new(struct umap_entry, map->count ? map->count : 1);
	uint32_t n = 0;

	for (uint32_t i = 0; i <= map->mask; i++)
		if (map->slots[i].key != UMAP_EMPTY)
			sorted[n++] = map->slots[i];
	g_assert(n == map->count);
	qsort(sorted, n, sizeof(*sorted), umap_compare);
	return sorted;
}
