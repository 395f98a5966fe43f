/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/iotlb.h"

#include <stdlib.h>

#include "sim/core/umap.h"

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

struct iotlb {
	struct iotlb_config config;
	uint32_t set_mask;
	uint32_t ways_lg2;
	uint64_t *keys; /* of all ways of set 0, then of set 1 ...; apart from the rest, for the search */
	struct leaf *leaves;
	uint64_t sizes;		 /* bitmap of the page sizes present */
	uint32_t size_count[64]; /* entries of each */
	uint64_t clock;

	struct walk_slot *walk_slots;
	struct umap walk_index; /* key -> slot */
	uint32_t walk_used;	/* slots handed out once */
	uint32_t walk_newest, walk_oldest;
	uint32_t walk_free; /* list of slots given back, linked by @older */
	uint32_t walk_level_count[PGTABLE_LEVELS_MAX];
	uint8_t walk_span_lg2[PGTABLE_LEVELS_MAX]; /* of a table of that level; the same for all domains */

	struct iotlb_stats stats;
};

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
	}
	tlb->walk_slots = g_new0(struct walk_slot, config->walk_entries);
	umap_init(&tlb->walk_index);
	tlb->walk_newest = tlb->walk_oldest = tlb->walk_free = WALK_NONE;
	return tlb;
}

void iotlb_free(struct iotlb *tlb)
{
	if (!tlb)
		return;
	umap_finish(&tlb->walk_index);
	g_free(tlb->walk_slots);
	g_free(tlb->leaves);
	g_free(tlb->keys);
	g_free(tlb);
}

/* Walk cache. */

static uint64_t walk_key(unsigned domain, unsigned level, unsigned span_lg2, uint64_t iova)
{
	return (iova >> span_lg2 << span_lg2) | (uint64_t)level << 16 | domain;
}

static unsigned walk_level(uint64_t key)
{
	return (key >> 16) & 7;
}

static void walk_unlink(struct iotlb *tlb, struct walk_slot *slot)
{
	*(slot->newer == WALK_NONE ? &tlb->walk_newest : &tlb->walk_slots[slot->newer].older) = slot->older;
	*(slot->older == WALK_NONE ? &tlb->walk_oldest : &tlb->walk_slots[slot->older].newer) = slot->newer;
}

static void walk_link_newest(struct iotlb *tlb, uint32_t number)
{
	struct walk_slot *slot = &tlb->walk_slots[number];

	slot->newer = WALK_NONE;
	slot->older = tlb->walk_newest;
	*(slot->older == WALK_NONE ? &tlb->walk_oldest : &tlb->walk_slots[slot->older].newer) = number;
	tlb->walk_newest = number;
}

static void walk_drop(struct iotlb *tlb, uint32_t number)
{
	struct walk_slot *slot = &tlb->walk_slots[number];

	umap_remove(&tlb->walk_index, umap_find(&tlb->walk_index, slot->key));
	tlb->walk_level_count[walk_level(slot->key)]--;
	walk_unlink(tlb, slot);
	slot->older = tlb->walk_free;
	tlb->walk_free = number;
}

/** Returns the slot of the table of @level that covers @iova, made the newest, or NULL. */
static struct walk_slot *walk_find(struct iotlb *tlb, unsigned domain, unsigned level, uint64_t iova)
{
	uint64_t key = walk_key(domain, level, tlb->walk_span_lg2[level], iova);
	struct umap_entry *entry = umap_find(&tlb->walk_index, key);
	uint32_t number;

	if (!entry)
		return NULL;
	number = (uint32_t)entry->value;
	if (tlb->walk_newest != number) {
		walk_unlink(tlb, &tlb->walk_slots[number]);
		walk_link_newest(tlb, number);
	}
	return &tlb->walk_slots[number];
}

static uint32_t walk_take_slot(struct iotlb *tlb)
{
	uint32_t number;

	if (tlb->walk_free == WALK_NONE && tlb->walk_used < tlb->config.walk_entries)
		return tlb->walk_used++;
	if (tlb->walk_free == WALK_NONE)
		walk_drop(tlb, tlb->walk_oldest);
	number = tlb->walk_free;
	tlb->walk_free = tlb->walk_slots[number].older;
	return number;
}

static void walk_fill(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, unsigned level,
		      uint64_t iova, uint64_t table, uint64_t generation)
{
	unsigned span_lg2 = pt->levels[level].span_lg2 + pt->levels[level].index_lg2;
	struct walk_slot *slot;
	uint32_t number;

	g_assert(tlb->walk_level_count[level] == 0 || tlb->walk_span_lg2[level] == span_lg2);
	g_assert(span_lg2 >= 19);
	tlb->walk_span_lg2[level] = (uint8_t)span_lg2;
	slot = walk_find(tlb, domain, level, iova);
	if (!slot) {
		number = walk_take_slot(tlb);
		slot = &tlb->walk_slots[number];
		slot->key = walk_key(domain, level, span_lg2, iova);
		umap_insert(&tlb->walk_index, slot->key)->value = number;
		tlb->walk_level_count[level]++;
		walk_link_newest(tlb, number);
	}
	slot->table = table;
	slot->generation = generation;
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

static void leaf_fill(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
		      const struct pgtable_walk *walk, bool trusted)
{
	unsigned size_lg2 = (unsigned)__builtin_ctzll(walk->leaf_size);
	bool one_entry = size_lg2 == pt->levels[walk->stop_level].span_lg2;
	uint32_t first = leaf_set(tlb, domain, iova >> size_lg2) << tlb->ways_lg2, victim = first;

	g_assert(size_lg2 >= SIZE_LG2_MIN);
	for (uint32_t i = first; i < first + tlb->config.ways && tlb->keys[victim] != KEY_NONE; i++)
		if (tlb->keys[i] == KEY_NONE || tlb->leaves[i].used < tlb->leaves[victim].used)
			victim = i;
	if (tlb->keys[victim] != KEY_NONE)
		leaf_drop(tlb, victim);
	tlb->keys[victim] = (iova >> size_lg2 << size_lg2) | size_lg2;
	tlb->leaves[victim] = (struct leaf){
		.paddr = walk->paddr & ~(walk->leaf_size - 1),
		.entry = walk->entry,
		.raw = walk->raw,
		.generation = trusted && one_entry ? pt->table_generation : GENERATION_NEVER,
		.used = tlb->clock,
		.domain = domain,
		.prot = walk->prot,
	};
	tlb->size_count[size_lg2]++;
	tlb->sizes |= UINT64_C(1) << size_lg2;
}

/* Translation. */

/** Compares with the table as it is now, by a walk that is not the device's; remembers the entry if they
 * agree. */
static bool leaf_compare(struct leaf *leaf, unsigned size_lg2, const struct pgtable *pt, uint64_t iova,
			 uint64_t paddr)
{
	struct pgtable_walk now;

	if (!pt->ops->walk(pt, iova, &now) || now.paddr != paddr || now.prot != leaf->prot)
		return false;
	/* A page of several entries, or one that smaller pages replaced, may agree in part: compare each
	 * address anew. */
	if (size_lg2 == pt->levels[now.stop_level].span_lg2) {
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

/** Walks from the table closest to the leaf that is remembered. Returns whether there is a translation, and
 * in
 *  *@ret_trusted whether every table on the way is linked now. */
static bool walk_cached(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
			struct pgtable_walk *ret_walk, bool *ret_trusted)
{
	*ret_trusted = true;
	for (unsigned level = 0; level < pt->config.top_level; level++) {
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
		.table_reads = walk.levels_touched,
	};
	if (!found && !tlb->config.walk_caches_faults)
		return false;
	if (found && tlb->config.entries)
		leaf_fill(tlb, domain, pt, iova, &walk, trusted);
	/* From the top down, so that the table next to the leaf is the one used last. */
	for (unsigned level = pt->config.top_level; tlb->config.walk_entries && level-- > walk.stop_level;)
		if (walk.table[level])
			walk_fill(tlb, domain, pt, level, iova, walk.table[level],
				  trusted ? pt->table_generation : GENERATION_NEVER);
	return found;
}

bool iotlb_translate(struct iotlb *tlb, unsigned domain, const struct pgtable *pt, uint64_t iova,
		     struct iotlb_result *ret_result)
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
		tlb->stats.hits++;
		*ret_result = (struct iotlb_result){
			.paddr = leaf->paddr + (iova - page), .prot = leaf->prot, .hit = true};
		ret_result->stale = !leaf_agrees(leaf, size_lg2, pt, iova, ret_result->paddr);
		return true;
	}
	return translate_by_walk(tlb, domain, pt, iova, ret_result);
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

static void walks_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last)
{
	for (uint32_t number = tlb->walk_newest; number != WALK_NONE;) {
		struct walk_slot *slot = &tlb->walk_slots[number];
		uint64_t start = slot->key & ~UINT64_C(0x7ffff);
		uint64_t end = start + ((UINT64_C(1) << tlb->walk_span_lg2[walk_level(slot->key)]) - 1);
		uint32_t next = slot->older;

		if ((slot->key & 0xffff) == domain && start <= last && end >= first) {
			walk_drop(tlb, number);
			tlb->stats.invalidated++;
		}
		number = next;
	}
}

void iotlb_invalidate(struct iotlb *tlb, unsigned domain, uint64_t first, uint64_t last, bool leaf_only)
{
	tlb->stats.invalidations++;
	leaves_invalidate(tlb, domain, first, last);
	if (!leaf_only)
		walks_invalidate(tlb, domain, first, last);
}

void iotlb_invalidate_domain(struct iotlb *tlb, unsigned domain)
{
	iotlb_invalidate(tlb, domain, 0, UINT64_MAX, false);
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

const struct iotlb_stats *iotlb_stats(const struct iotlb *tlb)
{
	return &tlb->stats;
}
