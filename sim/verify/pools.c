/* SPDX-License-Identifier: MIT */
#include "sim/verify/pools.h"

#include "blockdma/nvme.h"

struct pool {
	uint64_t object; /* the kernel's address of it: key */
	bool known, small;
	GArray *free; /* addresses, the next one last */
};

struct verify_pools {
	const struct verify_recording *recording;
	struct verify_result *result;
	GHashTable *pools;  /* object -> struct pool */
	GHashTable *blocks; /* event + 1 -> struct verify_block */
	uint32_t at;	    /* next event to look at */
};

static void pool_free(void *data)
{
	struct pool *pool = data;

	g_array_unref(pool->free);
	g_free(pool);
}

static struct pool *pool_of(struct verify_pools *pools, const struct verify_event *event)
{
	uint64_t object = event->field[KEVENT_OBJECT];
	struct pool *pool = g_hash_table_lookup(pools->pools, &object);

	if (pool)
		return pool;
	pool = g_new0(struct pool, 1);
	pool->object = object;
	pool->free = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_hash_table_insert(pools->pools, &pool->object, pool);
	return pool;
}

/** A block that lies inside a page is a small one. */
static void learn_sizes(struct verify_pools *pools)
{
	for (uint32_t i = 0; i < pools->recording->event_count; i++) {
		const struct verify_event *event = &pools->recording->events[i];

		if (event->kind == KEVENT_POOL_FREE && event->field[KEVENT_ADDR] % FRAME_SIZE)
			pool_of(pools, event)->known = pool_of(pools, event)->small = true;
	}
}

struct verify_pools *verify_pools_new(const struct verify_recording *recording, struct verify_result *result)
{
	struct verify_pools *pools = g_new0(struct verify_pools, 1);

	pools->recording = recording;
	pools->result = result;
	pools->pools = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, pool_free);
	pools->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	learn_sizes(pools);
	return pools;
}

void verify_pools_free(struct verify_pools *pools)
{
	if (!pools)
		return;
	g_hash_table_unref(pools->pools);
	g_hash_table_unref(pools->blocks);
	g_free(pools);
}

/** Returns the address of the page that the kernel allocated in the call at @number, 0 if it did not. */
static uint64_t recorded_page(const struct verify_recording *recording, uint32_t number)
{
	bool asked = false;

	for (uint32_t at = recording->events[number].next; at != VERIFY_NONE;
	     at = recording->events[at].next) {
		const struct verify_event *event = &recording->events[at];

		if (event->kind == KEVENT_IOVA_ALLOC_RET && event->field[KEVENT_PFN])
			return event->field[KEVENT_PFN] * FRAME_SIZE;
		if (event->kind == KEVENT_DMA_ALLOC)
			return event->field[KEVENT_ADDR];
		asked |= event->kind == KEVENT_IOVA_ALLOC || event->kind == KEVENT_DMA_ALLOC_CALL;
		if (!asked || event->kind == KEVENT_POOL_ALLOC)
			break;
	}
	return 0;
}

static void pool_push(struct pool *pool, uint64_t addr)
{
	g_array_append_val(pool->free, addr);
}

static void serve(struct verify_pools *pools, uint32_t number)
{
	const struct verify_event *event = &pools->recording->events[number];
	struct pool *pool = pool_of(pools, event);
	struct verify_block *block = g_new0(struct verify_block, 1);
	uint32_t bytes = pool->small ? NVME_SMALL_POOL_BYTES : NVME_PAGE;

	if (!pool->free->len) {
		uint64_t page = recorded_page(pools->recording, number);

		block->grows = true;
		for (uint32_t offset = FRAME_SIZE; offset > 0; offset -= bytes)
			pool_push(pool, page + offset - bytes);
	}
	block->addr = g_array_index(pool->free, uint64_t, pool->free->len - 1);
	g_array_set_size(pool->free, pool->free->len - 1);
	g_hash_table_insert(pools->blocks, GUINT_TO_POINTER(number + 1), block);
}

static void go_to(struct verify_pools *pools, uint32_t end)
{
	for (; pools->at <= end; pools->at++) {
		const struct verify_event *event = &pools->recording->events[pools->at];

		if (event->kind == KEVENT_POOL_ALLOC)
			serve(pools, pools->at);
		else if (event->kind == KEVENT_POOL_FREE)
			pool_push(pool_of(pools, event), event->field[KEVENT_ADDR]);
	}
}

bool verify_pools_alloc(struct verify_pools *pools, uint32_t event, bool small,
			struct verify_block *ret_block)
{
	struct pool *pool = pool_of(pools, &pools->recording->events[event]);
	const struct verify_block *block;

	if (!pool->known) {
		pool->known = true;
		pool->small = small;
	}
	go_to(pools, event);
	block = g_hash_table_lookup(pools->blocks, GUINT_TO_POINTER(event + 1));
	*ret_block = *block;
	return pool->small == small;
}
