/* SPDX-License-Identifier: MIT */
#include "iommu/dma/swiotlb.h"

struct swiotlb *swiotlb_new(const struct swiotlb_config *config)
{
	struct swiotlb *pool = g_new0(struct swiotlb, 1);

	g_assert(config->base != 0);
	g_assert(config->slot_bytes != 0);
	g_assert((config->slot_bytes & (config->slot_bytes - 1)) == 0);
	pool->config = *config;
	if (!config->run_max)
		pool->config.run_max = config->slots;
	pool->slots = g_new0(struct swiotlb_slot, config->slots);
	return pool;
}

void swiotlb_free(struct swiotlb *pool)
{
	if (!pool)
		return;
	g_free(pool->slots);
	g_free(pool);
}

/** Returns the first slot of the first run of @count free ones whose address has @bits in @mask, or the number of slots. */
static uint32_t swiotlb_find_run(const struct swiotlb *pool, uint32_t count, uint64_t mask, uint64_t bits)
{
	uint32_t free = 0;

	for (uint32_t slot = 0; slot < pool->config.slots; slot++) {
		uint64_t addr = pool->config.base + (uint64_t)slot * pool->config.slot_bytes;

		if (pool->slots[slot].used || (!free && (addr & mask) != bits))
			free = 0;
		else if (++free == count)
			return slot + 1 - count;
	}
	return pool->config.slots;
}

/** The slot in which @addr lies. */
static struct swiotlb_slot *swiotlb_slot(const struct swiotlb *pool, uint64_t addr)
{
	return &pool->slots[(addr - pool->config.base) / pool->config.slot_bytes];
}

uint64_t swiotlb_map(struct swiotlb *pool, uint64_t paddr, uint64_t len, uint64_t align_mask,
		     uint64_t keep_mask, uint32_t *ret_slots)
{
	const struct swiotlb_config *config = &pool->config;
	uint64_t mask = align_mask | (config->slot_bytes - 1), offset = paddr & mask;
	uint64_t begin_mask = (mask | keep_mask) & ~(uint64_t)(config->slot_bytes - 1);
	uint64_t count = ((offset + len + mask) & ~mask) / config->slot_bytes, addr;
	uint32_t first = config->slots;

	if (len <= (uint64_t)config->run_max * config->slot_bytes && count <= config->run_max)
		first = swiotlb_find_run(pool, (uint32_t)count, begin_mask, paddr & begin_mask & ~mask);
	if (first == config->slots) {
		pool->stats.full++;
		return 0;
	}
	for (uint32_t slot = first; slot < first + count; slot++)
		pool->slots[slot].used = true;
	addr = config->base + (uint64_t)first * config->slot_bytes + offset;
	swiotlb_slot(pool, addr)->addr = addr;
	swiotlb_slot(pool, addr)->first = first;
	swiotlb_slot(pool, addr)->run = (uint32_t)count;
	pool->stats.maps++;
	pool->stats.in_use += (uint32_t)count;
	pool->stats.in_use_max = MAX(pool->stats.in_use_max, pool->stats.in_use);
	*ret_slots = (uint32_t)count;
	return addr;
}

bool swiotlb_holds(const struct swiotlb *pool, uint64_t addr)
{
	return pool && addr >= pool->config.base &&
	       (addr - pool->config.base) / pool->config.slot_bytes < pool->config.slots &&
	       swiotlb_slot(pool, addr)->addr == addr;
}

void swiotlb_unmap(struct swiotlb *pool, uint64_t addr)
{
	struct swiotlb_slot *begin = swiotlb_slot(pool, addr);

	g_assert(begin->addr == addr);
	begin->addr = 0;
	for (uint32_t slot = begin->first; slot < begin->first + begin->run; slot++)
		pool->slots[slot].used = false;
	pool->stats.unmaps++;
	pool->stats.in_use -= begin->run;
}
