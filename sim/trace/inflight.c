/* SPDX-License-Identifier: MIT */
#include "sim/trace/inflight.h"

#define CHAIN_SCAN_MAX 64 /* of the requests that share a key, how many are looked at */

void inflight_init(struct inflight *inflight)
{
	*inflight = (struct inflight){.oldest = INFLIGHT_NONE, .newest = INFLIGHT_NONE};
	inflight->slots = g_ptr_array_new();
	umap_init(&inflight->block_keys);
	umap_init(&inflight->command_keys);
}

void inflight_finish(struct inflight *inflight)
{
	for (uint32_t i = 0; i < inflight->slots->len; i++) {
		inflight_segments_free(inflight, &inflight_slot(inflight, i)->list);
		g_free(inflight_slot(inflight, i));
	}
	g_assert(inflight->segments_held == 0);
	g_ptr_array_unref(inflight->slots);
	g_free(inflight->free_slots);
	umap_finish(&inflight->block_keys);
	umap_finish(&inflight->command_keys);
}

void inflight_segments_append(struct inflight *inflight, struct segment_list *list, uint64_t paddr,
			      uint32_t bytes, uint32_t flags)
{
	if (list->count == list->capacity) {
		uint32_t capacity = MAX(4, list->capacity * 2);

		inflight->segments_held += capacity - list->capacity;
		list->segments = g_renew(struct io_segment, list->segments, capacity);
		list->capacity = capacity;
	}
	list->segments[list->count++] =
		(struct io_segment){.paddr = paddr, .len_bytes = bytes, .flags = flags};
}

void inflight_segments_free(struct inflight *inflight, struct segment_list *list)
{
	inflight->segments_held -= list->capacity;
	g_free(list->segments);
	*list = (struct segment_list){0};
}

struct slot *inflight_take(struct inflight *inflight)
{
	struct slot *slot;

	if (inflight->free_count) {
		uint32_t number = inflight->free_slots[--inflight->free_count];

		slot = inflight_slot(inflight, number);
		/* Key by key: it is done for every request, and links, done and bio are set before they are used. */
		slot->record = (struct io_record){.slot = number};
		slot->done_sequence = 0;
		slot->held = slot->pending = NULL;
	} else {
		slot = g_new0(struct slot, 1);
		slot->record.slot = inflight->slots->len;
		g_ptr_array_add(inflight->slots, slot);
		if (inflight->slots->len > inflight->free_size) {
			inflight->free_size = MAX(64, 2 * inflight->free_size);
			inflight->free_slots = g_renew(uint32_t, inflight->free_slots, inflight->free_size);
		}
	}
	slot->list.count = 0;
	slot->block_key = slot->command_key = INFLIGHT_NO_KEY;
	return slot;
}

void inflight_give_back(struct inflight *inflight, uint32_t number)
{
	struct slot *slot = inflight_slot(inflight, number);

	if (inflight->segments_held > INFLIGHT_SEGMENTS_HELD / 2)
		inflight_segments_free(inflight, &slot->list);
	inflight->free_slots[inflight->free_count++] = number;
}

static void link_chain(struct inflight *inflight, struct slot *slot)
{
	struct umap_entry *chain = umap_find(&inflight->block_keys, slot->block_key);
	uint32_t number = slot->record.slot;

	slot->key_next = INFLIGHT_NONE;
	slot->key_previous = chain ? (uint32_t)chain->extra : INFLIGHT_NONE;
	if (chain) {
		inflight_slot(inflight, (uint32_t)chain->extra)->key_next = number;
	} else {
		chain = umap_insert(&inflight->block_keys, slot->block_key);
		chain->value = number;
	}
	chain->extra = number;
}

void inflight_link(struct inflight *inflight, struct slot *slot)
{
	uint32_t number = slot->record.slot;

	if (slot->block_key != INFLIGHT_NO_KEY)
		link_chain(inflight, slot);
	slot->open_next = INFLIGHT_NONE;
	slot->open_previous = inflight->newest;
	if (inflight->newest == INFLIGHT_NONE)
		inflight->oldest = number;
	else
		inflight_slot(inflight, inflight->newest)->open_next = number;
	inflight->newest = number;
	inflight->count++;
	inflight->count_max = MAX(inflight->count_max, inflight->count);
}

static void unlink_chain(struct inflight *inflight, struct slot *slot)
{
	struct umap_entry *chain = umap_find(&inflight->block_keys, slot->block_key);

	g_assert(chain);
	if (slot->key_previous == INFLIGHT_NONE)
		chain->value = slot->key_next;
	else
		inflight_slot(inflight, slot->key_previous)->key_next = slot->key_next;
	if (slot->key_next == INFLIGHT_NONE)
		chain->extra = slot->key_previous;
	else
		inflight_slot(inflight, slot->key_next)->key_previous = slot->key_previous;
	if (chain->value == INFLIGHT_NONE)
		umap_remove(&inflight->block_keys, chain);
	slot->block_key = INFLIGHT_NO_KEY;
}

static void forget_command(struct inflight *inflight, struct slot *slot)
{
	if (slot->command_key == INFLIGHT_NO_KEY)
		return;
	umap_remove(&inflight->command_keys, umap_find(&inflight->command_keys, slot->command_key));
	slot->command_key = INFLIGHT_NO_KEY;
}

void inflight_unlink(struct inflight *inflight, struct slot *slot)
{
	if (slot->block_key != INFLIGHT_NO_KEY)
		unlink_chain(inflight, slot);
	forget_command(inflight, slot);
	if (slot->open_previous == INFLIGHT_NONE)
		inflight->oldest = slot->open_next;
	else
		inflight_slot(inflight, slot->open_previous)->open_next = slot->open_next;
	if (slot->open_next == INFLIGHT_NONE)
		inflight->newest = slot->open_previous;
	else
		inflight_slot(inflight, slot->open_next)->open_previous = slot->open_previous;
	inflight->count--;
}

void inflight_set_command(struct inflight *inflight, struct slot *slot, uint64_t key)
{
	struct umap_entry *entry = umap_insert(&inflight->command_keys, key);

	/* Its id is in use again, so the earlier request's command has ended, unseen. */
	if (entry->extra)
		inflight_slot(inflight, (uint32_t)entry->value)->command_key = INFLIGHT_NO_KEY;
	entry->value = slot->record.slot;
	entry->extra = 1;
	slot->command_key = key;
}

struct slot *inflight_pick(const struct inflight *inflight, uint64_t key)
{
	struct slot *slot = inflight_first(inflight, key), *best = slot;

	if (!slot)
		return NULL;
	for (unsigned i = 0; slot->key_next != INFLIGHT_NONE && i < CHAIN_SCAN_MAX; i++) {
		slot = inflight_slot(inflight, slot->key_next);
		if (slot->done_sequence &&
		    (!best->done_sequence || slot->done_sequence < best->done_sequence))
			best = slot;
	}
	return best;
}

struct slot *inflight_first(const struct inflight *inflight, uint64_t key)
{
	const struct umap_entry *chain = umap_find(&inflight->block_keys, key);

	return chain ? inflight_slot(inflight, (uint32_t)chain->value) : NULL;
}

struct slot *inflight_last(const struct inflight *inflight, uint64_t key)
{
	const struct umap_entry *chain = umap_find(&inflight->block_keys, key);

	return chain ? inflight_slot(inflight, (uint32_t)chain->extra) : NULL;
}

struct slot *inflight_by_command(const struct inflight *inflight, uint64_t key)
{
	const struct umap_entry *entry = umap_find(&inflight->command_keys, key);

	return entry ? inflight_slot(inflight, (uint32_t)entry->value) : NULL;
}
