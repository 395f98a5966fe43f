/* SPDX-License-Identifier: MIT */
/*
 * The domain and its ranges: allocation straight from the tree, removal, reservation. Source: drivers/iommu/iova.c of
 * Linux 7.0; the order of steps is iova-facts section 3.
 */
#include "iommu/iova/domain.h"

#include <errno.h>
#include <stdarg.h>

#define NODE_BYTES 40 /* struct iova: a tree link and two pfns */

static const struct fault_point iova_fault_points[] = {
	[FAULT_IOVA_NODE - FAULT_ROOM_IOVA] = {"iova.node", -ENOMEM, "no memory for the node of a range",
					       "alloc_iova_mem() in drivers/iommu/iova.c"},
	[FAULT_IOVA_MAGAZINE - FAULT_ROOM_IOVA] = {"iova.magazine", -ENOMEM, "no memory for a magazine",
						   "iova_magazine_alloc() in drivers/iommu/iova.c"},
	[FAULT_IOVA_RCACHE_ARRAY - FAULT_ROOM_IOVA] = {"iova.rcache_array", -ENOMEM,
						       "no memory for the array of size classes",
						       "iova_domain_init_rcaches() in drivers/iommu/iova.c"},
	[FAULT_IOVA_RCACHE_PERCPU - FAULT_ROOM_IOVA] = {"iova.rcache_percpu", -ENOMEM,
							"no per-CPU memory for a size class",
							"iova_domain_init_rcaches() in drivers/iommu/iova.c"},
	[FAULT_IOVA_CPUHP - FAULT_ROOM_IOVA] = {"iova.cpuhp", -ENOMEM, "registration with CPU hotplug fails",
						"iova_domain_init_rcaches() in drivers/iommu/iova.c"},
	[FAULT_IOVA_FQ - FAULT_ROOM_IOVA] = {"iova.fq", -ENOMEM,
					     "no memory for the flush queues: the domain is strict",
					     "iommu_dma_init_fq() in drivers/iommu/dma-iommu.c"},
};

const struct fault_table iova_fault_table = {
	.first = FAULT_ROOM_IOVA,
	.count = G_N_ELEMENTS(iova_fault_points),
	.points = iova_fault_points,
};

int iova_memory_take(struct iova_domain *iovad, enum iova_memory_kind kind, uint64_t bytes)
{
	int err = sim_fault_size(iovad->sim, FAULT_ROOM_IOVA + kind, bytes);

	if (!err && G_UNLIKELY(iovad->allocation_hook))
		err = iovad->allocation_hook(iovad->allocation_hook_data, kind);
	if (!err)
		iovad->memory.allocs[kind]++;
	return err;
}

void iova_set_allocation_hook(struct iova_domain *iovad, int (*hook)(void *data, enum iova_memory_kind kind),
			      void *data)
{
	iovad->allocation_hook = hook;
	iovad->allocation_hook_data = data;
}

void iova_warn(struct iova_domain *iovad, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	iovad->stats.warnings++;
	sim_find(iovad->sim, FINDING_KERNEL_WARNING, NULL, "iova domain %u: %s", iovad->id, text);
}

static struct iova_cached_node anchor_node(const struct iova_domain *iovad)
{
	return (struct iova_cached_node){.lo = IOVA_ANCHOR, .hi = IOVA_ANCHOR, .rank = iovad->tree.count - 1};
}

struct iova_domain *iova_domain_new(struct sim *sim, uint64_t granule_bytes, uint64_t start_pfn, unsigned id,
				    unsigned event_kind)
{
	struct iova_domain *iovad = g_new0(struct iova_domain, 1);

	g_assert(granule_bytes > 1);
	g_assert((granule_bytes & (granule_bytes - 1)) == 0);
	g_assert(event_kind <= EVENT_KINDS);
	iovad->sim = sim;
	iovad->granule_bytes = granule_bytes;
	iovad->start_pfn = start_pfn;
	iovad->dma_32bit_pfn = (UINT64_C(1) << 32) / granule_bytes;
	iovad->max32_alloc_size = iovad->dma_32bit_pfn;
	iovad->id = id;
	iovad->event_kind = event_kind;
	iovad->tree_lock.name = "iova tree";
	tree_init(&iovad->tree);
	iovad->cached_node = iovad->cached32_node = anchor_node(iovad);
	return iovad;
}

struct iova_domain *iova_domain_copy(const struct iova_domain *iovad, struct sim *sim)
{
	struct iova_domain *copy = g_memdup2(iovad, sizeof(*iovad));

	g_assert(sim->cpu_count == iovad->sim->cpu_count);
	copy->sim = sim;
	tree_copy(&iovad->tree, &copy->tree);
	iova_rcaches_copy(copy);
	return copy;
}

void iova_domain_finish(struct iova_domain *iovad, struct iova_memory *ret_memory)
{
	if (!iovad)
		return;
	iova_rcaches_free(iovad);
	iovad->memory.frees[IOVA_MEMORY_NODE] += iova_node_count(iovad);
	tree_finish(&iovad->tree);
	if (ret_memory)
		*ret_memory = iovad->memory;
	g_free(iovad);
}

void iova_domain_free(struct iova_domain *iovad)
{
	iova_domain_finish(iovad, NULL);
}

/* One pass of the kernel's walk: what to look for, and the node where it starts. */
struct walk {
	struct tree_request request;
	uint64_t lo, hi; /* of the start node */
	uint32_t rank;
};

static void count_steps(struct iova_domain *iovad, uint64_t steps)
{
	iovad->stats.tree_steps += steps;
	sim_charge(iovad->sim, WORK_IOVA_TREE_STEP, steps);
}

/* Ranges whose lo is below @pfn. */
static uint32_t rank_of_pfn(const struct iova_domain *iovad, uint64_t pfn)
{
	struct tree_cursor at;

	tree_seek(&iovad->tree, pfn, &at);
	return tree_rank(&iovad->tree, &at) + (tree_lo(&iovad->tree, &at) < pfn);
}

/*
 * How many nodes a walk visits in which the request does not even fit below the start node's top: the candidate has
 * wrapped around, and the kernel goes on as long as that lies at or below the end of the next node.
 */
static uint64_t wrapped_steps(const struct iova_domain *iovad, const struct walk *walk, uint64_t wrapped)
{
	struct tree_cursor at;

	tree_seek(&iovad->tree, wrapped, &at);
	return walk->rank - MIN(walk->rank, tree_rank(&iovad->tree, &at)) + 1;
}

/* Walks down from the start node. The steps of a walk that succeeds are known only when the new node has its rank. */
static bool walk_down(struct iova_domain *iovad, const struct walk *walk, uint64_t *ret_pfn)
{
	uint64_t top = MIN(walk->request.limit, walk->lo);
	uint64_t first = (top - walk->request.size) & walk->request.mask;

	if (first < walk->request.low) {
		count_steps(iovad, 1);
		return false;
	}
	if (top < walk->request.size) {
		count_steps(iovad, wrapped_steps(iovad, walk, first));
		return false;
	}
	if (tree_search(&iovad->tree, &walk->request, walk->hi, ret_pfn))
		return true;
	/* It ended at the highest node whose top is below the floor. */
	count_steps(iovad, walk->rank - (rank_of_pfn(iovad, tree_request_floor(&walk->request)) - 1) + 1);
	return false;
}

/* Where the second pass starts: iova_find_limit(). Above 32 bits the kernel takes the anchor rather than search. */
static void walk_from_limit(const struct iova_domain *iovad, struct walk *walk)
{
	struct tree_cursor at;

	if (walk->request.limit > iovad->dma_32bit_pfn) {
		walk->lo = walk->hi = IOVA_ANCHOR;
		walk->rank = iovad->tree.count - 1;
		return;
	}
	tree_seek(&iovad->tree, walk->request.limit, &at);
	walk->lo = tree_lo(&iovad->tree, &at);
	walk->hi = tree_hi(&iovad->tree, &at);
	walk->rank = tree_rank(&iovad->tree, &at);
}

/* Returns the order of a size: the smallest k with 2^k >= @size. */
static unsigned size_order(uint64_t size)
{
	return size <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(size - 1);
}

/* Both passes. On success *@ret_walk is the pass that found *@ret_pfn. */
static bool find_space(struct iova_domain *iovad, uint64_t size, uint64_t limit, bool aligned,
		       struct walk *ret_walk, uint64_t *ret_pfn)
{
	bool is_32bit = limit <= iovad->dma_32bit_pfn;
	const struct iova_cached_node *start = is_32bit ? &iovad->cached32_node : &iovad->cached_node;
	uint64_t retry_pfn = start->hi;

	if (is_32bit && size >= iovad->max32_alloc_size)
		return false;
	*ret_walk = (struct walk){
		.request = {.size = size,
			    .mask = aligned ? UINT64_MAX << size_order(size) : UINT64_MAX,
			    .limit = limit,
			    .low = iovad->start_pfn},
		.lo = start->lo,
		.hi = start->hi,
		.rank = start->rank,
	};
	if (walk_down(iovad, ret_walk, ret_pfn))
		return true;
	if (retry_pfn < limit) {
		ret_walk->request.low = retry_pfn + 1;
		walk_from_limit(iovad, ret_walk);
		if (walk_down(iovad, ret_walk, ret_pfn))
			return true;
	}
	/* Whatever the limit was: this is how a tiny mask makes 32-bit requests fail in an empty space. */
	iovad->max32_alloc_size = size;
	return false;
}

/* Inserts a node and moves the ranks of the cached nodes along. Returns its rank. */
static uint32_t insert_node(struct iova_domain *iovad, uint64_t lo, uint64_t hi)
{
	uint32_t rank = tree_insert(&iovad->tree, lo, hi);

	iovad->cached_node.rank += iovad->cached_node.rank >= rank;
	iovad->cached32_node.rank += iovad->cached32_node.rank >= rank;
	return rank;
}

bool iova_alloc_tree(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool aligned,
		     uint64_t *ret_pfn)
{
	struct walk walk;
	uint64_t pfn, hi;
	bool found;

	g_assert(size >= 1);
	g_assert(size <= UINT64_C(1) << 63);
	if (iova_memory_take(iovad, IOVA_MEMORY_NODE, NODE_BYTES))
		return false;
	sim_lock(iovad->sim, &iovad->tree_lock);
	sim_charge(iovad->sim, WORK_IOVA_TREE, 1);
	found = find_space(iovad, size, limit_pfn + 1, aligned, &walk, &pfn);
	if (found) {
		struct iova_cached_node node;

		hi = pfn + size - 1;
		node = (struct iova_cached_node){.lo = pfn, .hi = hi, .rank = insert_node(iovad, pfn, hi)};
		/* The node came to lie right below the last one visited. */
		count_steps(iovad, walk.rank - node.rank + 1);
		*(hi < iovad->dma_32bit_pfn ? &iovad->cached32_node : &iovad->cached_node) = node;
		iovad->stats.tree_allocs++;
		*ret_pfn = pfn;
	}
	sim_unlock(iovad->sim, &iovad->tree_lock);
	if (!found)
		iova_memory_give(iovad, IOVA_MEMORY_NODE);
	return found;
}

/* Makes @cached the node above the one at @at, which is about to be removed and whose rank the other will have then. */
static void cached_node_up(struct iova_domain *iovad, struct iova_cached_node *cached,
			   const struct tree_cursor *at)
{
	struct tree_cursor next = *at;

	tree_next(&iovad->tree, &next);
	cached->lo = tree_lo(&iovad->tree, &next);
	cached->hi = tree_hi(&iovad->tree, &next);
	cached->rank = tree_rank(&iovad->tree, at);
}

/* Removes the node at @at: remove_iova() with __cached_rbnode_delete_update(). */
static void remove_node(struct iova_domain *iovad, struct tree_cursor *at)
{
	struct iova_cached_node *cached = &iovad->cached_node, *cached32 = &iovad->cached32_node;
	uint64_t lo = tree_lo(&iovad->tree, at), hi = tree_hi(&iovad->tree, at);

	if (hi == cached32->hi || (hi < iovad->dma_32bit_pfn && lo >= cached32->lo))
		cached_node_up(iovad, cached32, at);
	else
		cached32->rank -= lo < cached32->lo;
	if (lo < iovad->dma_32bit_pfn)
		iovad->max32_alloc_size = iovad->dma_32bit_pfn;
	if (lo >= cached->lo)
		cached_node_up(iovad, cached, at);
	else
		cached->rank--;
	tree_remove(&iovad->tree, at);
	iovad->stats.tree_frees++;
	sim_charge(iovad->sim, WORK_IOVA_TREE, 1);
	iova_memory_give(iovad, IOVA_MEMORY_NODE);
}

/* Points @ret_at at the range that contains @pfn. The anchor is nobody's range. */
static bool find_node(const struct iova_domain *iovad, uint64_t pfn, struct tree_cursor *ret_at)
{
	uint64_t lo;

	tree_seek(&iovad->tree, pfn, ret_at);
	lo = tree_lo(&iovad->tree, ret_at);
	return lo <= pfn && lo != IOVA_ANCHOR;
}

/* private_find_iova() goes down from the root. A red-black tree is as deep as a balanced one, or a little more. */
static void charge_lookup(struct iova_domain *iovad)
{
	sim_charge(iovad->sim, WORK_IOVA_TREE_STEP, 64 - (unsigned)__builtin_clzll(iovad->tree.count));
}

bool iova_remove_locked(struct iova_domain *iovad, uint64_t pfn)
{
	struct tree_cursor at;

	charge_lookup(iovad);
	if (!find_node(iovad, pfn, &at))
		return false;
	remove_node(iovad, &at);
	return true;
}

void iova_free_tree(struct iova_domain *iovad, uint64_t pfn)
{
	sim_lock(iovad->sim, &iovad->tree_lock);
	iova_remove_locked(iovad, pfn);
	sim_unlock(iovad->sim, &iovad->tree_lock);
}

bool iova_find(const struct iova_domain *iovad, uint64_t pfn, uint64_t *ret_lo, uint64_t *ret_hi)
{
	struct tree_cursor at;

	if (!find_node(iovad, pfn, &at))
		return false;
	*ret_lo = tree_lo(&iovad->tree, &at);
	*ret_hi = tree_hi(&iovad->tree, &at);
	return true;
}

/* Lowers the node at @at to @lo; copies of it follow. */
static void stretch_node(struct iova_domain *iovad, struct tree_cursor *at, uint64_t lo)
{
	uint64_t hi = tree_hi(&iovad->tree, at);

	tree_stretch(&iovad->tree, at, lo);
	if (iovad->cached_node.hi == hi)
		iovad->cached_node.lo = lo;
	if (iovad->cached32_node.hi == hi)
		iovad->cached32_node.lo = lo;
}

static bool reserve_locked(struct iova_domain *iovad, uint64_t lo, uint64_t hi, uint64_t *ret_lo,
			   uint64_t *ret_hi)
{
	struct tree_cursor at;

	for (tree_seek(&iovad->tree, lo, &at); tree_lo(&iovad->tree, &at) <= hi;
	     tree_next(&iovad->tree, &at)) {
		uint64_t node_hi = tree_hi(&iovad->tree, &at);

		if (lo < tree_lo(&iovad->tree, &at))
			stretch_node(iovad, &at, lo);
		if (hi <= node_hi) {
			*ret_lo = tree_lo(&iovad->tree, &at);
			*ret_hi = node_hi;
			return true;
		}
		lo = node_hi + 1;
	}
	if (iova_memory_take(iovad, IOVA_MEMORY_NODE, NODE_BYTES))
		return false; /* what was stretched stays so */
	insert_node(iovad, lo, hi);
	*ret_lo = lo;
	*ret_hi = hi;
	return true;
}

bool iova_reserve(struct iova_domain *iovad, uint64_t lo, uint64_t hi, uint64_t *ret_lo, uint64_t *ret_hi)
{
	uint64_t last = UINT64_MAX / iovad->granule_bytes;
	bool reserved;

	g_assert(lo <= hi);
	if (hi > last) {
		iova_warn(iovad,
			  "reservation of pfns 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER
			  "x is beyond what 64 bits address",
			  lo, hi);
		return false;
	}
	sim_lock(iovad->sim, &iovad->tree_lock);
	reserved = reserve_locked(iovad, lo, hi, ret_lo, ret_hi);
	sim_unlock(iovad->sim, &iovad->tree_lock);
	return reserved;
}

const struct iova_stats *iova_stats(const struct iova_domain *iovad)
{
	return &iovad->stats;
}

const struct iova_memory *iova_memory(const struct iova_domain *iovad)
{
	return &iovad->memory;
}

struct iova_state iova_state(const struct iova_domain *iovad)
{
	return (struct iova_state){
		.dma_32bit_pfn = iovad->dma_32bit_pfn,
		.cached_lo = iovad->cached_node.lo,
		.cached_hi = iovad->cached_node.hi,
		.cached32_lo = iovad->cached32_node.lo,
		.cached32_hi = iovad->cached32_node.hi,
		.max32_alloc_size = iovad->max32_alloc_size,
		.has_rcaches = iovad->rcaches != NULL,
	};
}

const struct sim_lock *iova_tree_lock(const struct iova_domain *iovad)
{
	return &iovad->tree_lock;
}

void iova_each_range(const struct iova_domain *iovad, void (*fn)(void *data, uint64_t lo, uint64_t hi),
		     void *data)
{
	tree_each(&iovad->tree, fn, data);
}

uint64_t iova_node_count(const struct iova_domain *iovad)
{
	return iovad->tree.count - 1;
}
