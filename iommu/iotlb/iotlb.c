/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/iotlb.h"

#include <stdlib.h>

#include "iommu/iotlb/unmap-log.h"
#include "sim/core/umap.h"

const char *const iotlb_replacement_names[IOTLB_REPLACEMENTS + 1] = {
	[IOTLB_LRU] = "lru",
	[IOTLB_PLRU] = "plru",
	[IOTLB_RANDOM] = "random",
};

/*
 * Is what was remembered still so? A table page that was linked stays linked as long as the table's
 * generation does, so with the same generation a walk would end at the same entry, and one look at that entry
 * tells. Otherwise the table is walked behind the device's back. NEVER: what is remembered was not found in
 * the table as it was.
 */
#define GENERATION_NEVER 0

/** Key of a page: its IOVA, with log2 of its size in the low bits, which a page of 4 KiB or more leaves free.
 */
#define KEY_NONE     0
#define KEY_SIZE     0xfffu
#define SIZE_LG2_MIN 12

struct leaf {
	uint64_t paddr;	     /* of the page */
	const void *entry;   /* that it was found in */
	uint64_t raw;	     /* what that held */
	uint64_t generation; /* of the table, when it was found or last compared */
	uint64_t used;	     /* clock at the last use */
	uint32_t domain;
	uint32_t prot;
};

#define WALK_NONE UINT32_MAX

/** One paging-structure entry: where the table of @level that covers an IOVA lies. */
struct walk_slot {
	uint64_t key; /* IOVA that the table starts at | level | domain; see walk_key() */
	uint64_t table;
	uint64_t generation;   /* of the table, as above */
	uint32_t newer, older; /* list in order of use */
};

/** Paging-structure entries that replace one another. */
struct walk_pool {
	struct walk_slot *slots;
	uint32_t capacity;
	uint32_t used; /* slots handed out once */
	uint32_t newest, oldest;
	uint32_t free; /* list of slots given back, linked by @older */
};

#define WALK_POOLS (PGTABLE_LEVELS_MAX + 1) /* of a level each, and the one that the others share */

struct iotlb {
	struct iotlb_config config;
	uint32_t set_mask;
	uint32_t ways_lg2;
	uint64_t *keys; /* of all ways of set 0, then of set 1 ...; apart from the rest, for the search */
	struct leaf *leaves;
	uint64_t *filled;	 /* clock when each was filled; apart, because only stale ones are asked */
	uint64_t sizes;		 /* bitmap of the page sizes present */
	uint32_t size_count[64]; /* entries of each */
	uint64_t clock;		 /* grows with each translation */
	uint64_t *plru;		 /* NULL: another replacement; else of each set the tree: see plru_use() */

	struct walk_pool walk_pools[WALK_POOLS];
	struct walk_pool *walk_pool[PGTABLE_LEVELS_MAX]; /* of that level, in walk_pools */
	bool walks;					 /* any of them has room */
	struct umap walk_index;				 /* key -> slot of the level's pool */
	uint32_t walk_level_count[PGTABLE_LEVELS_MAX];
	uint8_t walk_span_lg2[PGTABLE_LEVELS_MAX]; /* of a table of that level; the same for all domains */

	struct unmap_log unmaps;
	struct iotlb_stats stats;
};

static void walk_pool_init(struct walk_pool *pool, uint32_t capacity)
{
	*pool = (struct walk_pool){.slots = g_new0(struct walk_slot, capacity),
				   .capacity = capacity,
				   .newest = WALK_NONE,
				   .oldest = WALK_NONE,
				   .free = WALK_NONE};
}

static void walk_pools_init(struct iotlb *tlb)
{
	const struct iotlb_config *config = &tlb->config;
	struct walk_pool *shared = &tlb->walk_pools[PGTABLE_LEVELS_MAX];

	walk_pool_init(shared, config->walk_entries);
	tlb->walks = config->walk_entries != 0;
	for (unsigned level = 0; level < PGTABLE_LEVELS_MAX; level++) {
		uint32_t own = config->walk_level_entries[level];

		walk_pool_init(&tlb->walk_pools[level], own);
		tlb->walk_pool[level] = own ? &tlb->walk_pools[level] : shared;
		tlb->walks |= own != 0;
	}
	umap_init(&tlb->walk_index);
}

struct iotlb *iotlb_new(const struct iotlb_config *config)
{
	struct iotlb *tlb = g_new0(struct iotlb, 1);

	tlb->config = *config;
	if (config->entries) {
		g_assert((config->entries & (config->entries - 1)) == 0);
		g_assert((config->ways & (config->ways - 1)) == 0);
		g_assert(config->ways >= 1);
		g_assert(config->ways <= config->entries);
		tlb->set_mask = config->entries / config->ways - 1;
		tlb->ways_lg2 = (uint32_t)__builtin_ctz(config->ways);
		tlb->keys = g_new0(uint64_t, config->entries);
		tlb->leaves = g_new0(struct leaf, config->entries);
		tlb->filled = g_new0(uint64_t, config->entries);
		if (config->replacement == IOTLB_PLRU) {
			g_assert(config->ways <= IOTLB_PLRU_WAYS_MAX);
			tlb->plru = g_new0(uint64_t, tlb->set_mask + 1);
		}
	}
	walk_pools_init(tlb);
	return tlb;
}

void iotlb_free(struct iotlb *tlb)
{
	if (!tlb)
		return;
	unmap_log_finish(&tlb->unmaps);
	umap_finish(&tlb->walk_index);
	for (unsigned i = 0; i < WALK_POOLS; i++)
		g_free(tlb->walk_pools[i].slots);
	g_free(tlb->plru);
	g_free(tlb->filled);
	g_free(tlb->leaves);
	g_free(tlb->keys);
	g_free(tlb);
}

/* Walk cache. */

static uint64_t walk_key(unsigned domain, unsigned level, unsigned span_lg2, uint64_t iova)
{
	return (iova >> span_lg2 << span_lg2) | (uint64_t)level << 16 | domain;
}

static uint64_t walk_first(uint64_t key)
{
	return key & ~UINT64_C(0x7ffff);
}

static unsigned walk_level(uint64_t key)
{
	return (key >> 16) & 7;
}

static void walk_unlink(struct walk_pool *pool, struct walk_slot *slot)
{
	*(slot->newer == WALK_NONE ? &pool->newest : &pool->slots[slot->newer].older) = slot->older;
	*(slot->older == WALK_NONE ? &pool->oldest : &pool->slots[slot->older].newer) = slot->newer;
}

static void walk_link_newest(struct walk_pool *pool, uint32_t number)
{
	struct walk_slot *slot = &pool->slots[number];

	slot->newer = WALK_NONE;
	slot->older = pool->newest;
	*(slot->older == WALK_NONE ? &pool->oldest : &pool->slots[slot->older].newer) = number;
	pool->newest = number;
}

static void walk_drop(struct iotlb *tlb, struct walk_pool *pool, uint32_t number)
{
	struct walk_slot *slot = &pool->slots[number];

	umap_remove(&tlb->walk_index, umap_find(&tlb->walk_index, slot->key));
	tlb->walk_level_count[walk_level(slot->key)]--;
	walk_unlink(pool, slot);
	slot->older = pool->free;
	pool->free = number;
}

/** Returns the slot of the table of @level that covers @iova, made the newest, or NULL. */
static struct walk_slot *walk_find(struct iotlb *tlb, unsigned domain, unsigned level, uint64_t iova)
{
	uint64_t key = walk_key(domain, level, tlb->walk_span_lg2[level], iova);
	struct umap_entry *entry = umap_find(&tlb->walk_index, key);
	struct walk_pool *pool = tlb->walk_pool[level];
	uint32_t number;

	if (!entry)
		return NULL;
	number = (uint32_t)entry->value;
	if (pool->newest != number) {
		walk_unlink(pool, &pool->slots[number]);
		walk_link_newest(pool, number);
	}
	return &pool->slots[number];
}

static uint32_t walk_take_slot(struct iotlb *tlb, struct walk_pool *pool)
{
	uint32_t number;

	if (pool->free == WALK_NONE && pool->used < pool->capacity)
		return pool->used++;
	if (pool->free == WALK_NONE)
		walk_drop(tlb, pool, pool->oldest);
	number = pool->free;
	pool->free = pool->slots[number].older;
	return number;
}

static void walk_fill(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, unsigned level,
		      uint64_t iova, uint64_t table, uint64_t generation)
{
	unsigned span_lg2 = pt->levels[level].span_lg2 + pt->levels[level].index_lg2;
	struct walk_pool *pool = tlb->walk_pool[level];
	struct walk_slot *slot;
	uint32_t number;

	if (!pool->capacity)
		return;
	g_assert(tlb->walk_level_count[level] == 0 || tlb->walk_span_lg2[level] == span_lg2);
	g_assert(span_lg2 >= 19);
	tlb->walk_span_lg2[level] = (uint8_t)span_lg2;
	slot = walk_find(tlb, domain, level, iova);
	if (!slot) {
		number = walk_take_slot(tlb, pool);
		slot = &pool->slots[number];
		slot->key = walk_key(domain, level, span_lg2, iova);
		umap_insert(&tlb->walk_index, slot->key)->value = number;
		tlb->walk_level_count[level]++;
		walk_link_newest(pool, number);
	}
	slot->table = table;
	slot->generation = generation;
}

/* Pseudo-LRU: a binary tree over the ways of a set, root at bit 1, the children of bit n at 2n and 2n + 1, a set bit
 * for the upper half. Each bit points at the half to replace next. */

static void plru_use(struct iotlb *tlb, uint32_t number)
{
	uint64_t *tree = &tlb->plru[number >> tlb->ways_lg2];
	unsigned node = 1;

	for (unsigned lg2 = tlb->ways_lg2; lg2-- > 0;) {
		unsigned half = number >> lg2 & 1;

		if (half)
			*tree &= ~(UINT64_C(1) << node);
		else
			*tree |= UINT64_C(1) << node;
		node = 2 * node + half;
	}
}

static uint32_t plru_victim(const struct iotlb *tlb, uint32_t first)
{
	uint64_t tree = tlb->plru[first >> tlb->ways_lg2];
	unsigned node = 1;

	while (node < tlb->config.ways)
		node = 2 * node + (unsigned)(tree >> node & 1);
	return first + node - tlb->config.ways;
}

/* Leaf translations. */

static uint32_t leaf_set(const struct iotlb *tlb, unsigned domain, uint64_t page_number)
{
	return ((uint32_t)page_number + domain) & tlb->set_mask;
}

/** Returns the entry of @domain with @key in @set, or UINT32_MAX. */
static inline uint32_t leaf_find(const struct iotlb *tlb, uint32_t set, unsigned domain, uint64_t key)
{
	uint32_t first = set << tlb->ways_lg2;

	for (uint32_t i = first; i < first + tlb->config.ways; i++)
		if (tlb->keys[i] == key && tlb->leaves[i].domain == domain)
			return i;
	return UINT32_MAX;
}

static void leaf_drop(struct iotlb *tlb, uint32_t number)
{
	unsigned size_lg2 = tlb->keys[number] & KEY_SIZE;

	tlb->keys[number] = KEY_NONE;
	if (--tlb->size_count[size_lg2] == 0)
		tlb->sizes &= ~(UINT64_C(1) << size_lg2);
}

static uint32_t lru_victim(const struct iotlb *tlb, uint32_t first)
{
	uint32_t victim = first;

	for (uint32_t i = first + 1; i < first + tlb->config.ways; i++)
		if (tlb->leaves[i].used < tlb->leaves[victim].used)
			victim = i;
	return victim;
}

/** Returns the entry of the set from @first on that the next leaf is put into: the first free one, or the one
 * to replace. */
static uint32_t leaf_victim(struct iotlb *tlb, uint32_t first)
{
	for (uint32_t i = first; i < first + tlb->config.ways; i++)
		if (tlb->keys[i] == KEY_NONE)
			return i;
	switch (tlb->config.replacement) {
	case IOTLB_PLRU:
		return plru_victim(tlb, first);
	case IOTLB_RANDOM:
		return first + prng_below(&tlb->config.prng, tlb->config.ways);
	default:
		return lru_victim(tlb, first);
	}
}

/** Returns log2 of the size that a page of 2^@size_lg2 bytes is held as, 0: not at all. */
static unsigned leaf_held_size_lg2(const struct iotlb *tlb, unsigned size_lg2)
{
	uint64_t sizes = tlb->config.page_sizes & (UINT64_MAX >> (63 - size_lg2));

	if (!tlb->config.page_sizes)
		return size_lg2;
	return sizes ? 63 - (unsigned)__builtin_clzll(sizes) : 0;
}

/** Puts @leaf in, which translates the page of 2^@size_lg2 bytes around @iova. */
static void leaf_fill(struct iotlb *tlb, unsigned size_lg2, uint64_t iova, const struct leaf *leaf)
{
	uint32_t number = leaf_victim(tlb, leaf_set(tlb, leaf->domain, iova >> size_lg2) << tlb->ways_lg2);

	g_assert(size_lg2 >= SIZE_LG2_MIN);
	if (tlb->keys[number] != KEY_NONE)
		leaf_drop(tlb, number);
	tlb->keys[number] = (iova >> size_lg2 << size_lg2) | size_lg2;
	tlb->leaves[number] = *leaf;
	tlb->leaves[number].used = tlb->filled[number] = tlb->clock;
	tlb->size_count[size_lg2]++;
	tlb->sizes |= UINT64_C(1) << size_lg2;
	if (tlb->plru)
		plru_use(tlb, number);
}

static void leaf_fill_from_walk(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
				const struct pgtable_walk *walk, bool trusted)
{
	unsigned size_lg2 = leaf_held_size_lg2(tlb, (unsigned)__builtin_ctzll(walk->leaf_size));
	bool one_entry = size_lg2 <= pt->levels[walk->stop_level].span_lg2;
	struct leaf leaf = {
		.paddr = walk->paddr >> size_lg2 << size_lg2,
		.entry = walk->entry,
		.raw = walk->raw,
		.generation = trusted && one_entry ? pt->table_generation : GENERATION_NEVER,
		.domain = domain,
		.prot = walk->prot,
	};

	if (size_lg2)
		leaf_fill(tlb, size_lg2, iova, &leaf);
}

/* Translation. */

/** Compares with the table as it is now, by a walk that is not the device's; remembers the entry if they
 * agree. */
G_GNUC_NO_INLINE
static bool leaf_compare(struct leaf *leaf, unsigned size_lg2, const struct pgtable *pt, uint64_t iova,
			 uint64_t paddr)
{
	struct pgtable_walk now;

	if (!pt->ops->walk(pt, iova, &now) || now.paddr != paddr || now.prot != leaf->prot)
		return false;
	/* A page of several entries, or one that smaller pages replaced, may agree in part: compare each
	 * address anew. */
	if (size_lg2 <= pt->levels[now.stop_level].span_lg2) {
		leaf->entry = now.entry;
		leaf->raw = now.raw;
		leaf->generation = pt->table_generation;
	}
	return true;
}

/** Whether the table translates @iova to @paddr now, as @leaf says. */
static inline bool leaf_agrees(struct leaf *leaf, unsigned size_lg2, const struct pgtable *pt, uint64_t iova,
			       uint64_t paddr)
{
	if (G_LIKELY(leaf->generation == pt->table_generation &&
		     pgtable_entry_raw(pt, leaf->entry) == leaf->raw))
		return true;
	return leaf_compare(leaf, size_lg2, pt, iova, paddr);
}

/** Whether the table now answers otherwise than a walk of remembered tables did. */
static bool walk_disagrees(const struct pgtable *pt, uint64_t iova, bool found,
			   const struct pgtable_walk *walk)
{
	struct pgtable_walk now;

	if (pt->ops->walk(pt, iova, &now) != found)
		return true;
	return found && (now.paddr != walk->paddr || now.prot != walk->prot);
}

/** Walks from the table closest to the leaf that is remembered. Returns whether there is a translation, and in
 * *@ret_trusted whether every table on the way is linked now. */
static bool walk_cached(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
			struct pgtable_walk *ret_walk, bool *ret_trusted)
{
	*ret_trusted = true;
	for (unsigned level = 0; tlb->walks && level < pt->config.top_level; level++) {
		struct walk_slot *slot =
			tlb->walk_level_count[level] ? walk_find(tlb, domain, level, iova) : NULL;

		if (!slot)
			continue;
		tlb->stats.walk_hits++;
		if (slot->generation != pt->table_generation) {
			struct pgtable_walk now;

			pt->ops->walk(pt, iova, &now);
			*ret_trusted = now.table[level] == slot->table;
			slot->generation = *ret_trusted ? pt->table_generation : GENERATION_NEVER;
		}
		return pt->ops->walk_from(pt, iova, level, slot->table, ret_walk);
	}
	return pt->ops->walk(pt, iova, ret_walk);
}

G_GNUC_NO_INLINE
static bool translate_by_walk(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
			      struct iotlb_result *ret_result)
{
	struct pgtable_walk walk;
	bool trusted, found = walk_cached(tlb, domain, pt, iova, &walk, &trusted);

	tlb->stats.misses++;
	tlb->stats.table_reads += walk.levels_touched;
	*ret_result = (struct iotlb_result){
		.paddr = found ? walk.paddr : 0,
		.prot = found ? walk.prot : 0,
		.stale = !trusted && walk_disagrees(pt, iova, found, &walk),
		.size_lg2 = found ? (uint8_t)__builtin_ctzll(walk.leaf_size) : 0,
		.table_reads = walk.levels_touched,
	};
	if (!found && !tlb->config.walk_caches_faults)
		return false;
	if (found && tlb->config.entries)
		leaf_fill_from_walk(tlb, domain, pt, iova, &walk, trusted);
	/* From the top down, so that the table next to the leaf is the one used last. */
	for (unsigned level = pt->config.top_level; tlb->walks && level-- > walk.stop_level;)
		if (walk.table[level])
			walk_fill(tlb, domain, pt, level, iova, walk.table[level],
				  trusted ? pt->table_generation : GENERATION_NEVER);
	return found;
}

/** Looks for a leaf that covers @iova. Returns whether there is one; else *@ret_result is not touched. What is rarer
 * than a hit is out of line, so that this is short where it is inlined. */
G_ALWAYS_INLINE
static inline bool translate_by_leaf(struct iotlb *tlb, unsigned domain, const struct pgtable *pt,
				     uint64_t iova, struct iotlb_result *ret_result)
{
	g_assert(domain < IOTLB_DOMAINS);
	tlb->stats.lookups++;
	tlb->clock++;
	for (uint64_t sizes = tlb->sizes; sizes; sizes &= sizes - 1) {
		unsigned size_lg2 = (unsigned)__builtin_ctzll(sizes);
		uint64_t page_number = iova >> size_lg2, page = page_number << size_lg2;
		uint32_t number = leaf_find(tlb, leaf_set(tlb, domain, page_number), domain, page | size_lg2);
		struct leaf *leaf;

		if (number == UINT32_MAX)
			continue;
		leaf = &tlb->leaves[number];
		leaf->used = tlb->clock;
		if (tlb->plru)
			plru_use(tlb, number);
		tlb->stats.hits++;
		*ret_result = (struct iotlb_result){.paddr = leaf->paddr + (iova - page),
						    .prot = leaf->prot,
						    .hit = true,
						    .size_lg2 = (uint8_t)size_lg2};
		ret_result->stale = !leaf_agrees(leaf, size_lg2, pt, iova, ret_result->paddr);
		return true;
	}
	return false;
}

bool iotlb_translate(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
		     struct iotlb_result *ret_result)
{
	return translate_by_leaf(tlb, domain, pt, iova, ret_result) ||
	       translate_by_walk(tlb, domain, pt, iova, ret_result);
}

bool iotlb_translate_ats(struct iotlb *device, struct iotlb *tlb, unsigned domain, const struct pgtable *pt,
			 uint64_t iova, struct iotlb_result *ret_result)
{
	unsigned size_lg2;
	struct leaf leaf;
	bool found;

	if (translate_by_leaf(device, domain, pt, iova, ret_result))
		return true;
	device->stats.misses++;
	found = iotlb_translate(tlb, domain, pt, iova, ret_result);
	ret_result->requested = true;
	if (!found)
		return false;
	size_lg2 = leaf_held_size_lg2(device, ret_result->size_lg2);
	if (!device->config.entries || !size_lg2)
		return true;
	/* The answer says nothing of the table: that is compared at the first hit. */
	leaf = (struct leaf){.paddr = ret_result->paddr >> size_lg2 << size_lg2,
			     .generation = GENERATION_NEVER,
			     .domain = domain,
			     .prot = ret_result->prot};
	leaf_fill(device, size_lg2, iova, &leaf);
	return true;
}

/* Since when. */

void iotlb_unmapped(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool tables,
		    uint64_t time_ns)
{
	const struct unmap_record record = {.first = first,
					    .last = last,
					    .time_ns = time_ns,
					    .clock = tlb->clock,
					    .domain = domain,
					    .tables = tables};

	unmap_log_add(&tlb->unmaps, &record);
}

bool iotlb_gone_since(const struct iotlb *tlb, unsigned domain, uint64_t iova, uint64_t *ret_time_ns)
{
	uint64_t filled = tlb->clock;
	const struct unmap_record *record;

	for (uint64_t sizes = tlb->sizes; sizes; sizes &= sizes - 1) {
		unsigned size_lg2 = (unsigned)__builtin_ctzll(sizes);
		uint32_t number = leaf_find(tlb, leaf_set(tlb, domain, iova >> size_lg2), domain,
					    (iova >> size_lg2 << size_lg2) | size_lg2);

		if (number == UINT32_MAX)
			continue;
		filled = tlb->filled[number];
		break;
	}
	record = unmap_log_find(&tlb->unmaps, domain, iova, filled);
	if (record)
		*ret_time_ns = record->time_ns;
	return record != NULL;
}

/* Invalidation. */

static bool leaf_overlaps(const struct iotlb *tlb, uint32_t number, unsigned domain, uint64_t first,
			  uint64_t last)
{
	uint64_t key = tlb->keys[number], page = key & ~(uint64_t)KEY_SIZE;

	return key != KEY_NONE && tlb->leaves[number].domain == domain && page <= last &&
	       page + ((UINT64_C(1) << (key & KEY_SIZE)) - 1) >= first;
}

static void leaves_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last)
{
	uint64_t probes = 0, before;

	for (uint64_t sizes = tlb->sizes; sizes; sizes &= sizes - 1) {
		unsigned size_lg2 = (unsigned)__builtin_ctzll(sizes);

		before = probes;
		probes += (last >> size_lg2) - (first >> size_lg2) + 1;
		if (probes < before || probes > tlb->set_mask)
			break;
	}
	/* As many sets to look into as there are: look into each entry once instead. */
	if (probes > tlb->set_mask) {
		for (uint32_t i = 0; i < tlb->config.entries; i++)
			if (leaf_overlaps(tlb, i, domain, first, last)) {
				leaf_drop(tlb, i);
				tlb->stats.invalidated++;
			}
		return;
	}
	for (uint64_t sizes = tlb->sizes; sizes; sizes &= sizes - 1) {
		unsigned size_lg2 = (unsigned)__builtin_ctzll(sizes);

		for (uint64_t page = first >> size_lg2; page <= last >> size_lg2; page++) {
			uint32_t number = leaf_find(tlb, leaf_set(tlb, domain, page), domain,
						    page << size_lg2 | size_lg2);

			if (number != UINT32_MAX) {
				leaf_drop(tlb, number);
				tlb->stats.invalidated++;
			}
		}
	}
}

static void walks_invalidate(struct iotlb *tlb, struct walk_pool *pool, unsigned domain, uint64_t first,
			     uint64_t last)
{
	for (uint32_t number = pool->newest; number != WALK_NONE;) {
		struct walk_slot *slot = &pool->slots[number];
		uint64_t start = walk_first(slot->key);
		uint64_t end = start + ((UINT64_C(1) << tlb->walk_span_lg2[walk_level(slot->key)]) - 1);
		uint32_t next = slot->older;

		if ((slot->key & 0xffff) == domain && start <= last && end >= first) {
			walk_drop(tlb, pool, number);
			tlb->stats.invalidated++;
		}
		number = next;
	}
}

void iotlb_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool leaf_only)
{
	tlb->stats.invalidations++;
	leaves_invalidate(tlb, domain, first, last);
	for (unsigned i = 0; i < WALK_POOLS && !leaf_only; i++)
		walks_invalidate(tlb, &tlb->walk_pools[i], domain, first, last);
	unmap_log_invalidated(&tlb->unmaps, domain, first, last, leaf_only);
}

void iotlb_invalidate_walks(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last)
{
	tlb->stats.invalidations++;
	for (unsigned i = 0; i < WALK_POOLS; i++)
		walks_invalidate(tlb, &tlb->walk_pools[i], domain, first, last);
}

void iotlb_invalidate_domain(struct iotlb *tlb, unsigned domain)
{
	iotlb_invalidate(tlb, domain, 0, UINT64_MAX, false);
}

bool iotlb_entry(const struct iotlb *tlb, uint32_t number, struct iotlb_entry *ret_entry)
{
	uint64_t key = number < tlb->config.entries ? tlb->keys[number] : KEY_NONE;

	if (key == KEY_NONE)
		return false;
	*ret_entry = (struct iotlb_entry){
		.domain = tlb->leaves[number].domain,
		.iova = key & ~(uint64_t)KEY_SIZE,
		.paddr = tlb->leaves[number].paddr,
		.size = UINT64_C(1) << (key & KEY_SIZE),
	};
	return true;
}

void iotlb_invalidate_entry(struct iotlb *tlb, uint32_t number)
{
	g_assert(tlb->keys[number] != KEY_NONE);
	leaf_drop(tlb, number);
	tlb->stats.invalidations++;
	tlb->stats.invalidated++;
}

/* Dump. */

static int compare_entries(const void *a, const void *b, void *data)
{
	const struct iotlb *tlb = data;
	uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;

	if (tlb->leaves[one].domain != tlb->leaves[two].domain)
		return tlb->leaves[one].domain < tlb->leaves[two].domain ? -1 : 1;
	return tlb->keys[one] < tlb->keys[two] ? -1 : tlb->keys[one] > tlb->keys[two];
}

void iotlb_dump(const struct iotlb *tlb,
		void (*fn)(void *data, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t size,
			   unsigned prot),
		void *data)
{
	g_autofree uint32_t *order = g_new(uint32_t, tlb->config.entries + 1);
	uint32_t count = 0;

	for (uint32_t i = 0; i < tlb->config.entries; i++)
		if (tlb->keys[i] != KEY_NONE)
			order[count++] = i;
	qsort_r(order, count, sizeof(*order), compare_entries, (void *)tlb);
	for (uint32_t i = 0; i < count; i++) {
		const struct leaf *leaf = &tlb->leaves[order[i]];
		uint64_t key = tlb->keys[order[i]];

		fn(data, leaf->domain, key & ~(uint64_t)KEY_SIZE, leaf->paddr,
		   UINT64_C(1) << (key & KEY_SIZE), leaf->prot);
	}
}

static void dump_walk_pool(const struct iotlb *tlb, const struct walk_pool *pool,
			   void (*fn)(void *data, const struct iotlb_walk *walk), void *data)
{
	for (uint32_t number = pool->newest; number != WALK_NONE; number = pool->slots[number].older) {
		const struct walk_slot *slot = &pool->slots[number];
		unsigned level = walk_level(slot->key);
		uint64_t first = walk_first(slot->key);
		const struct iotlb_walk walk = {
			.domain = slot->key & 0xffff,
			.level = level,
			.first = first,
			.last = first + ((UINT64_C(1) << tlb->walk_span_lg2[level]) - 1),
			.table = slot->table,
		};

		fn(data, &walk);
	}
}

void iotlb_dump_walks(const struct iotlb *tlb, void (*fn)(void *data, const struct iotlb_walk *walk), void *data)
{
	for (unsigned i = 0; i < WALK_POOLS; i++)
		dump_walk_pool(tlb, &tlb->walk_pools[i], fn, data);
}

const struct iotlb_stats *iotlb_stats(const struct iotlb *tlb)
{
	return &tlb->stats;
}
