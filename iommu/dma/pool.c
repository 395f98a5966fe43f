/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "iommu/dma/dma.h"

void dma_pool_init(struct dma_pool *pool, struct dma_device *dev, const char *name, uint32_t block_bytes)
{
	*pool = (struct dma_pool){.dev = dev, .name = name, .block_bytes = block_bytes};
}

void dma_pool_finish(struct dma_pool *pool)
{
	for (uint32_t i = 0; i < pool->page_count; i++)
		dma_free_coherent(pool->dev, 0, pool->pages[i].paddr, pool->pages[i].addr);
	g_free(pool->pages);
	g_free(pool->free);
	*pool = (struct dma_pool){0};
}

static void dma_pool_push(struct dma_pool *pool, uint64_t paddr, uint64_t addr)
{
	if (pool->free_count == pool->free_capacity) {
		pool->free_capacity = pool->free_capacity ? pool->free_capacity * 2 : 64;
		pool->free = g_renew(struct dma_pool_block, pool->free, pool->free_capacity);
	}
	pool->free[pool->free_count++] = (struct dma_pool_block){paddr, addr};
}

static int dma_pool_grow(struct dma_pool *pool)
{
	uint64_t paddr, addr;
	int err = dma_alloc_coherent(pool->dev, 0, FRAME_NVME_POOL, &paddr, &addr);

	if (err)
		return err;
	if (pool->page_count == pool->page_capacity) {
		pool->page_capacity = pool->page_capacity ? pool->page_capacity * 2 : 16;
		pool->pages = g_renew(struct dma_pool_page, pool->pages, pool->page_capacity);
	}
	pool->pages[pool->page_count++] = (struct dma_pool_page){paddr, addr};
	/* The kernel hands out the blocks of a fresh page from its start on. */
	for (uint32_t at = FRAME_SIZE; at > 0; at -= pool->block_bytes)
		dma_pool_push(pool, paddr + at - pool->block_bytes, addr + at - pool->block_bytes);
	return 0;
}

int dma_pool_alloc(struct dma_pool *pool, struct dma_pool_block *ret_block)
{
	const struct dma_memory_ops *memory = pool->dev->memory;
	int err;

	if (memory)
		return memory->pool_alloc(pool, ret_block);
	err = pool->free_count ? 0 : dma_pool_grow(pool);
	if (err)
		return err;
	*ret_block = pool->free[--pool->free_count];
	pool->in_use++;
	return 0;
}

void dma_pool_free(struct dma_pool *pool, struct dma_pool_block block)
{
	if (pool->dev->memory) {
		pool->dev->memory->pool_free(pool, &block);
		return;
	}
	g_assert(pool->in_use > 0);
	pool->in_use--;
	dma_pool_push(pool, block.paddr, block.addr);
}
