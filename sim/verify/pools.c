/* SPDX-License-Identifier: MIT */
#include "sim/verify/pools.h"

#include "blockdma/nvme.h"

struct pool {
	uint64_t object; /* the kernel's address of it: key */
	bool known, small;
	GArray *free; /* of struct element, the next one last */
};

/** A free block, and the event that freed it, or at which the pool got its page. */
struct element {
	uint64_t addr;
	uint32_t event;
};

struct verify_pools {
	const struct verify_recording *recording;
	struct verify_result *result;
	GHashTable *pools;   /* object -> struct pool */
	GHashTable *blocks;  /* event + 1 -> struct verify_block */
	GHashTable *served;  /* event + 1: its turn has come */
	GHashTable *growing; /* event + 1 -> that of the allocation which is back then, + 1 */
	uint32_t at;	     /* next event to look at */
};

static void pool_free(void *data)
{
	struct pool *pool = data;

	g_array_unref(pool->free);
	g_free(pool);
}

static bool is_call(const struct verify_event *event)
{
	return event->kind == KEVENT_POOL_ALLOC || event->kind == KEVENT_POOL_FREE;
}

static struct pool *pool_of(struct verify_pools *pools, const struct verify_event *event)
{
	uint64_t object = event->field[KEVENT_OBJECT];
	struct pool *pool = g_hash_table_lookup(pools->pools, &object);

	if (pool)
		return pool;
	pool = g_new0(struct pool, 1);
	pool->object = object;
	pool->free = g_array_new(FALSE, FALSE, sizeof(struct element));
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
	pools->served = g_hash_table_new(NULL, NULL);
	pools->growing = g_hash_table_new(NULL, NULL);
	learn_sizes(pools);
	return pools;
}

void verify_pools_free(struct verify_pools *pools)
{
	if (!pools)
		return;
	g_hash_table_unref(pools->pools);
	g_hash_table_unref(pools->blocks);
	g_hash_table_unref(pools->served);
	g_hash_table_unref(pools->growing);
	g_free(pools);
}

/** What the kernel did when a pool had no block left: it let others go on, allocated a page, and came back. */
struct growth {
	uint64_t page;	/* IOVA; 0: it did not grow */
	uint32_t until; /* event at which it was back */
};

static struct growth recorded_growth(const struct verify_recording *recording, uint32_t number)
{
	bool tells = recording->machine.kinds[KEVENT_DMA_ALLOC],
	     entry = recording->machine.kinds[KEVENT_DMA_ALLOC_CALL];
	struct growth growth = {.until = number};
	bool asked = !entry;
	unsigned calls = 0;

	for (uint32_t at = recording->events[number].next; at != VERIFY_NONE;
	     at = recording->events[at].next) {
		const struct verify_event *event = &recording->events[at];

		growth.until = at;
		switch (event->kind) {
		case KEVENT_DMA_ALLOC_CALL:
			asked = true;
			break;
		case KEVENT_DMA_ALLOC:
			growth.page = event->field[KEVENT_ADDR];
			return growth;
		case KEVENT_IOVA_ALLOC:
			if (!asked || calls++ > 0)
				return (struct growth){.until = number};
			break;
		case KEVENT_IOVA_ALLOC_RET:
			if (!tells && event->field[KEVENT_PFN])
				growth.page = event->field[KEVENT_PFN] * FRAME_SIZE;
			break;
		case KEVENT_MAP:
		case KEVENT_MAP_NOSYNC_RET:
			if (!tells)
				return growth;
			break;
		case KEVENT_MAP_NOSYNC:
		case KEVENT_INVALIDATE_MAP:
		case KEVENT_QI_SUBMIT:
			break;
		default:
			return (struct growth){.until = number};
		}
	}
	return (struct growth){.until = number};
}

/** Returns the block that the allocation at @number got, as its free tells; 0 where that is not known. */
static uint64_t recorded_block(const struct verify_recording *recording, uint32_t number)
{
	const struct verify_event *alloc = &recording->events[number];
	const struct verify_op *op = verify_op(recording, alloc->op);
	unsigned nth = 0;

	for (uint32_t at = op->first; at != number && at != VERIFY_NONE; at = recording->events[at].next)
		nth += recording->events[at].kind == KEVENT_POOL_ALLOC &&
		       recording->events[at].field[KEVENT_OBJECT] == alloc->field[KEVENT_OBJECT];
	if (op->partner == VERIFY_NONE)
		return 0;
	for (uint32_t at = verify_op(recording, op->partner)->first; at != VERIFY_NONE;
	     at = recording->events[at].next) {
		const struct verify_event *event = &recording->events[at];

		if (event->kind == KEVENT_POOL_FREE &&
		    event->field[KEVENT_OBJECT] == alloc->field[KEVENT_OBJECT] && nth-- == 0)
			return event->field[KEVENT_ADDR];
	}
	return 0;
}

static void push(struct pool *pool, uint64_t addr, uint32_t event)
{
	struct element element = {addr, event};

	g_array_append_val(pool->free, element);
}

static struct element pop(struct pool *pool)
{
	struct element element = g_array_index(pool->free, struct element, pool->free->len - 1);

	g_array_set_size(pool->free, pool->free->len - 1);
	return element;
}

static struct verify_block *block_at(struct verify_pools *pools, uint32_t number)
{
	struct verify_block *block = g_hash_table_lookup(pools->blocks, GUINT_TO_POINTER(number + 1));

	if (!block) {
		block = g_new0(struct verify_block, 1);
		g_hash_table_insert(pools->blocks, GUINT_TO_POINTER(number + 1), block);
	}
	return block;
}

/** Returns the next call after @at to the same pool that came while the one at @number may still have waited for its turn, and that
 *  has not been served: VERIFY_NONE if there is none. */
static uint32_t later_call(const struct verify_pools *pools, uint32_t number, uint32_t at)
{
	const struct verify_recording *recording = pools->recording;
	const struct verify_event *call = &recording->events[number];
	uint32_t end = MIN(call->follows, recording->event_count);

	for (at++; at < end; at++)
		if (is_call(&recording->events[at]) &&
		    recording->events[at].field[KEVENT_OBJECT] == call->field[KEVENT_OBJECT] &&
		    !g_hash_table_contains(pools->served, GUINT_TO_POINTER(at + 1)))
			return at;
	return VERIFY_NONE;
}

/** Returns whether the free that pushed @addr last may have come after event @number. */
static bool pushed_later(const struct verify_pools *pools, const struct pool *pool, uint32_t number)
{
	const struct element *last = &g_array_index(pool->free, struct element, pool->free->len - 1);

	return pools->recording->events[last->event].follows > number;
}

static void serve(struct verify_pools *pools, uint32_t number);

/** Returns how far from the end of @free the block @addr may be taken as the next one: whoever freed it may have come after all
 *  that were freed later. Returns free->len if it may not. */
static unsigned reach(const struct verify_pools *pools, const GArray *free, uint64_t addr)
{
	for (unsigned depth = 0; depth < free->len; depth++) {
		const struct element *element = &g_array_index(free, struct element, free->len - 1 - depth);

		if (element->addr != addr)
			continue;
		for (unsigned above = 0; above < depth; above++) {
			const struct element *later =
				&g_array_index(free, struct element, free->len - 1 - above);

			if (pools->recording->events[element->event].follows <= later->event)
				return free->len;
		}
		return depth;
	}
	return free->len;
}

/** Whether the allocation at @number is as recorded when it finds @free. */
static bool suits(const struct verify_pools *pools, const GArray *free, const struct growth *growth,
		  uint64_t expected)
{
	if (growth->page || !free->len)
		return (growth->page != 0) == !free->len;
	return !expected || reach(pools, free, expected) < free->len;
}

/** Returns how many calls that overlap with the allocation at @number have to come first so that it is as recorded; 0 also if
 *  that does not help. */
static unsigned calls_first(const struct verify_pools *pools, const struct pool *pool, uint32_t number,
			    const struct growth *growth, uint64_t expected)
{
	g_autoptr(GArray) free = g_array_copy(pool->free);
	uint32_t at = number;

	for (unsigned count = 0;; count++) {
		const struct verify_event *event;

		if (suits(pools, free, growth, expected))
			return count;
		at = later_call(pools, number, at);
		if (at == VERIFY_NONE)
			return 0;
		event = &pools->recording->events[at];
		if (event->kind == KEVENT_POOL_FREE)
			g_array_append_val(free, ((struct element){event->field[KEVENT_ADDR], at}));
		else if (free->len)
			g_array_set_size(free, free->len - 1);
	}
}

/** Whether the last free may have come after the allocation at @number, and it is as recorded then. */
static bool suits_before_free(const struct verify_pools *pools, const struct pool *pool, uint32_t number,
			      const struct growth *growth, uint64_t expected)
{
	g_autoptr(GArray) free = NULL;

	if (!pool->free->len || !pushed_later(pools, pool, number))
		return false;
	free = g_array_copy(pool->free);
	g_array_set_size(free, free->len - 1);
	return suits(pools, free, growth, expected);
}

static void take(struct verify_pools *pools, struct pool *pool, uint32_t number, const struct growth *growth,
		 uint64_t expected)
{
	struct verify_block *block = block_at(pools, number);
	unsigned depth;

	if (!pool->free->len) {
		block->grows = true;
		g_hash_table_insert(pools->growing, GUINT_TO_POINTER(MAX(growth->until, number) + 1),
				    GUINT_TO_POINTER(number + 1));
		return;
	}
	depth = reach(pools, pool->free, expected);
	if (depth == pool->free->len)
		depth = 0;
	pools->result->choices += depth != 0;
	block->addr = g_array_index(pool->free, struct element, pool->free->len - 1 - depth).addr;
	g_array_remove_index(pool->free, pool->free->len - 1 - depth);
}

/** Takes the allocation at @number's turn: what is free when it comes. */
static void serve_alloc(struct verify_pools *pools, struct pool *pool, uint32_t number)
{
	struct growth growth = recorded_growth(pools->recording, number);
	uint64_t expected = recorded_block(pools->recording, number);
	unsigned first = calls_first(pools, pool, number, &growth, expected);

	for (unsigned i = 0; i < first; i++)
		serve(pools, later_call(pools, number, number));
	pools->result->choices += first != 0;
	if (!suits(pools, pool->free, &growth, expected) &&
	    suits_before_free(pools, pool, number, &growth, expected)) {
		struct element pushed = pop(pool);

		pools->result->choices++;
		take(pools, pool, number, &growth, expected);
		push(pool, pushed.addr, pushed.event);
		return;
	}
	take(pools, pool, number, &growth, expected);
}

static void serve(struct verify_pools *pools, uint32_t number)
{
	const struct verify_event *event = &pools->recording->events[number];
	struct pool *pool = pool_of(pools, event);

	g_hash_table_add(pools->served, GUINT_TO_POINTER(number + 1));
	if (event->kind == KEVENT_POOL_ALLOC) {
		serve_alloc(pools, pool, number);
		return;
	}
	push(pool, event->field[KEVENT_ADDR], number);
}

/** The allocation at @number is back with a page: its blocks go before all others, and the first is taken. */
static void grow(struct verify_pools *pools, uint32_t number)
{
	struct pool *pool = pool_of(pools, &pools->recording->events[number]);
	struct growth growth = recorded_growth(pools->recording, number);
	uint32_t bytes = pool->small ? NVME_SMALL_POOL_BYTES : NVME_PAGE;

	for (uint32_t offset = FRAME_SIZE; offset > 0; offset -= bytes)
		push(pool, growth.page + offset - bytes, growth.until);
	block_at(pools, number)->addr = pop(pool).addr;
}

static void go_to(struct verify_pools *pools, uint32_t end)
{
	for (; pools->at <= end; pools->at++) {
		const struct verify_event *event = &pools->recording->events[pools->at];
		gpointer key = GUINT_TO_POINTER(pools->at + 1), grown;

		if (is_call(event) && !g_hash_table_contains(pools->served, key))
			serve(pools, pools->at);
		grown = g_hash_table_lookup(pools->growing, key);
		if (grown)
			grow(pools, GPOINTER_TO_UINT(grown) - 1);
	}
}

bool verify_pools_alloc(struct verify_pools *pools, uint32_t event, uint32_t now, bool small,
			struct verify_block *ret_block)
{
	struct pool *pool = pool_of(pools, &pools->recording->events[event]);

	go_to(pools, MAX(event, now));
	*ret_block = *block_at(pools, event);
	return !pool->known || pool->small == small;
}
