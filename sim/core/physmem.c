/* SPDX-License-Identifier: MIT */
#include "sim/core/physmem.h"

#include <glib.h>
#include <string.h>

void physmem_init(struct physmem *mem)
{
	memset(mem, 0, sizeof(*mem));
	mem->base = PHYSMEM_BASE;
}

void physmem_move(struct physmem *mem, uint64_t base)
{
	g_assert(mem->next_frame == 0);
	g_assert(base % PHYSMEM_ALIGN == 0);
	mem->base = base;
}

void physmem_finish(struct physmem *mem)
{
	for (uint32_t i = 0; i < mem->chunk_count; i++)
		g_free(mem->chunks[i]);
	for (unsigned order = 0; order <= PHYSMEM_ORDER_MAX; order++)
		g_free(mem->free_list[order]);
	g_free(mem->chunks);
	g_free(mem->use);
	memset(mem, 0, sizeof(*mem));
}

/** Makes room for @count frames from @first on, which are to be the last ones. */
static void physmem_grow(struct physmem *mem, uint32_t first, uint32_t count)
{
	uint32_t chunk = first >> PHYSMEM_CHUNK_LG2, wanted = ((first + count - 1) >> PHYSMEM_CHUNK_LG2) + 1;

	if (wanted > mem->chunk_count) {
		mem->chunks = g_renew(uint8_t *, mem->chunks, wanted);
		mem->use = g_renew(uint8_t, mem->use, wanted << PHYSMEM_CHUNK_LG2);
		memset(mem->use + (mem->chunk_count << PHYSMEM_CHUNK_LG2), FRAME_FREE,
		       (wanted - mem->chunk_count) << PHYSMEM_CHUNK_LG2);
		for (; mem->chunk_count < wanted; mem->chunk_count++)
			mem->chunks[mem->chunk_count] = NULL;
	}
	for (; chunk < wanted; chunk++)
		if (!mem->chunks[chunk])
			mem->chunks[chunk] = g_malloc((gsize)PHYSMEM_CHUNK_FRAME << FRAME_LG2);
	mem->next_frame = MAX(mem->next_frame, first + count);
}

/** Returns the first of 2^@order fresh frames. Frames skipped for alignment stay unused: blocks are few and early. */
static uint32_t physmem_fresh(struct physmem *mem, unsigned order)
{
	uint32_t count = 1u << order, first = (mem->next_frame + count - 1) & ~(count - 1);

	physmem_grow(mem, first, count);
	return first;
}

uint64_t physmem_alloc(struct physmem *mem, unsigned order, enum frame_use use)
{
	uint32_t frame, count = 1u << order;
	uint64_t paddr;

	g_assert(order <= PHYSMEM_ORDER_MAX);
	g_assert(use != FRAME_FREE);
	if (mem->free_count[order])
		frame = mem->free_list[order][--mem->free_count[order]];
	else
		frame = physmem_fresh(mem, order);
	paddr = mem->base + ((uint64_t)frame << FRAME_LG2);
	memset(mem->use + frame, use, count);
	mem->in_use[use] += count;
	for (uint32_t i = 0; i < count; i++)
		memset(physmem_bytes(mem, paddr + ((uint64_t)i << FRAME_LG2)), 0, FRAME_SIZE);
	return paddr;
}

bool physmem_place(struct physmem *mem, uint64_t paddr, uint64_t len_bytes, enum frame_use use)
{
	uint64_t offset = paddr - mem->base;
	uint32_t first, last;

	g_assert(use != FRAME_FREE);
	g_assert(len_bytes > 0);
	if (paddr < mem->base || offset >= PHYSMEM_PLACE_MAX || len_bytes > PHYSMEM_PLACE_MAX - offset)
		return false;
	first = (uint32_t)(offset >> FRAME_LG2);
	last = (uint32_t)((offset + len_bytes - 1) >> FRAME_LG2);
	physmem_grow(mem, first, last - first + 1);
	for (uint32_t frame = first; frame <= last; frame++) {
		if (mem->use[frame] != FRAME_FREE)
			continue;
		mem->use[frame] = (uint8_t)use;
		mem->in_use[use]++;
		memset(physmem_bytes(mem, mem->base + ((uint64_t)frame << FRAME_LG2)), 0, FRAME_SIZE);
	}
	return true;
}

void physmem_free(struct physmem *mem, uint64_t paddr, unsigned order)
{
	uint32_t frame = (uint32_t)((paddr - mem->base) >> FRAME_LG2), count = 1u << order;

	g_assert(physmem_has_bytes(mem, paddr));
	g_assert((frame & (count - 1)) == 0);
	mem->in_use[mem->use[frame]] -= count;
	memset(mem->use + frame, FRAME_FREE, count);
	if (mem->free_count[order] == mem->free_capacity[order]) {
		mem->free_capacity[order] = mem->free_capacity[order] ? mem->free_capacity[order] * 2 : 64;
		mem->free_list[order] = g_renew(uint32_t, mem->free_list[order], mem->free_capacity[order]);
	}
	mem->free_list[order][mem->free_count[order]++] = frame;
}

bool physmem_owner(const struct physmem *mem, uint64_t paddr, uint64_t *ret_owner)
{
	return mem->owner && mem->owner(mem->owner_data, paddr & ~(uint64_t)(FRAME_SIZE - 1), ret_owner);
}
