/* SPDX-License-Identifier: MIT */
#include "iommu/iova/tree.h"

#include <string.h>

#include <glib.h>

#define NO_BLOCK UINT32_MAX

/* Two neighbours are merged when what they hold together fits three quarters of one: not at once full again. */
#define LEAF_MERGE   (TREE_LEAF * 3 / 4)
#define BRANCH_MERGE (TREE_BRANCH * 3 / 4)

/* What a branch knows of a child. */
struct span {
	uint64_t lo, hi, gap;
	uint32_t count;
	uint8_t order;
};

uint8_t tree_gap_order(uint64_t bottom, uint64_t top)
{
	uint64_t gap = top - bottom;
	unsigned k;

	if (!gap)
		return 0;
	k = 63 - (unsigned)__builtin_clzll(gap);
	/* A gap of 2^k always holds an aligned block of half of that; whether also one of 2^k depends on where it lies. */
	uint64_t first = (bottom + ((UINT64_C(1) << k) - 1)) >> k << k;

	return (uint8_t)(first >= bottom && top - first >= UINT64_C(1) << k && first < top ? k + 1 : k);
}

/* Takes the gap [@bottom, @top) into the maxima of @span. */
static inline void span_widen(struct span *span, uint64_t bottom, uint64_t top)
{
	uint64_t gap = top - bottom;

	span->gap = MAX(span->gap, gap);
	if (span->order < 64 && gap >> span->order) {
		uint8_t order = tree_gap_order(bottom, top);

		span->order = MAX(span->order, order);
	}
}

/* Takes the gaps between @used neighbours into the maxima. First the sizes, without a branch: where they are all 0,
 * as between allocations in a row, that is all. */
static inline void span_widen_all(struct span *span, const uint64_t *lo, const uint64_t *hi, unsigned used)
{
	uint64_t gap = 0;

	for (unsigned i = 1; i < used; i++)
		gap = MAX(gap, lo[i] - hi[i - 1] - 1);
	if (!gap)
		return;
	for (unsigned i = 1; i < used; i++)
		span_widen(span, hi[i - 1] + 1, lo[i]);
}

static struct span leaf_span(const struct tree_block *leaf)
{
	const uint64_t *lo = leaf->leaf.lo, *hi = leaf->leaf.hi;
	struct span span = {.lo = lo[0], .hi = hi[leaf->used - 1], .count = leaf->used};

	span_widen_all(&span, lo, hi, leaf->used);
	return span;
}

static struct span branch_span(const struct tree_block *branch)
{
	const uint64_t *lo = branch->branch.lo, *hi = branch->branch.hi;
	unsigned used = branch->used;
	struct span span = {.lo = lo[0], .hi = hi[used - 1]};

	for (unsigned i = 0; i < used; i++) {
		span.count += branch->branch.count[i];
		span.gap = MAX(span.gap, branch->branch.gap[i]);
		span.order = MAX(span.order, branch->branch.order[i]);
	}
	span_widen_all(&span, lo, hi, used);
	return span;
}

static struct span block_span(const struct iova_tree *tree, uint32_t index, unsigned level)
{
	const struct tree_block *block = &tree->blocks[index];

	return level == tree->height ? leaf_span(block) : branch_span(block);
}

static struct span slot_span(const struct tree_block *branch, unsigned slot)
{
	return (struct span){.lo = branch->branch.lo[slot],
			     .hi = branch->branch.hi[slot],
			     .gap = branch->branch.gap[slot],
			     .count = branch->branch.count[slot],
			     .order = branch->branch.order[slot]};
}

static void slot_set_span(struct tree_block *branch, unsigned slot, const struct span *span)
{
	branch->branch.lo[slot] = span->lo;
	branch->branch.hi[slot] = span->hi;
	branch->branch.gap[slot] = span->gap;
	branch->branch.count[slot] = span->count;
	branch->branch.order[slot] = span->order;
}

static uint32_t block_new(struct iova_tree *tree)
{
	uint32_t index = tree->free_list;

	if (index != NO_BLOCK) {
		tree->free_list = tree->blocks[index].next_free;
	} else {
		if (tree->block_count == tree->block_capacity) {
			uint32_t capacity = MAX(4, tree->block_capacity * 2);
			struct tree_block *blocks = g_aligned_alloc(capacity, sizeof(*blocks), 64);

			if (tree->block_count)
				memcpy(blocks, tree->blocks, tree->block_count * sizeof(*blocks));
			g_aligned_free(tree->blocks);
			tree->blocks = blocks;
			tree->block_capacity = capacity;
		}
		index = tree->block_count++;
	}
	tree->blocks[index].used = 0;
	return index;
}

static void block_free(struct iova_tree *tree, uint32_t index)
{
	tree->blocks[index].next_free = tree->free_list;
	tree->free_list = index;
}

void tree_init(struct iova_tree *tree)
{
	struct tree_block *root;

	*tree = (struct iova_tree){.free_list = NO_BLOCK, .count = 1};
	tree->root = block_new(tree);
	root = &tree->blocks[tree->root];
	root->leaf.lo[0] = root->leaf.hi[0] = UINT64_MAX;
	root->used = 1;
}

void tree_finish(struct iova_tree *tree)
{
	g_aligned_free(tree->blocks);
	*tree = (struct iova_tree){.free_list = NO_BLOCK};
}

void tree_copy(const struct iova_tree *tree, struct iova_tree *ret_tree)
{
	size_t bytes = tree->block_count * sizeof(*tree->blocks);

	*ret_tree = *tree;
	ret_tree->block_capacity = tree->block_count;
	ret_tree->blocks =
		memcpy(g_aligned_alloc(tree->block_count, sizeof(*tree->blocks), 64), tree->blocks, bytes);
}

/* Returns the first of @used elements that is @key or more; there is one. No branch depends on the data: which way to
 * go is a coin toss, and this is most of the time that a descent takes. */
static inline unsigned first_at_least(const uint64_t *hi, unsigned used, uint64_t key)
{
	const uint64_t *base = hi;

	while (used > 1) {
		unsigned half = used / 2;

		base += half & -(unsigned)(base[half - 1] < key);
		used -= half;
	}
	return (unsigned)(base - hi);
}

void tree_seek(const struct iova_tree *tree, uint64_t pfn, struct tree_cursor *ret_at)
{
	uint32_t index = tree->root;
	const struct tree_block *block;
	unsigned slot;

	for (unsigned level = 0; level < tree->height; level++) {
		block = &tree->blocks[index];
		slot = first_at_least(block->branch.hi, block->used, pfn);
		ret_at->path[level].block = index;
		ret_at->path[level].slot = slot;
		index = block->branch.child[slot];
	}
	block = &tree->blocks[index];
	ret_at->path[tree->height].block = index;
	ret_at->path[tree->height].slot = first_at_least(block->leaf.hi, block->used, pfn);
}

void tree_next(const struct iova_tree *tree, struct tree_cursor *at)
{
	unsigned level = tree->height;

	while (at->path[level].slot + 1 == tree->blocks[at->path[level].block].used) {
		g_assert(level > 0);
		level--;
	}
	at->path[level].slot++;
	for (; level < tree->height; level++) {
		at->path[level + 1].block =
			tree->blocks[at->path[level].block].branch.child[at->path[level].slot];
		at->path[level + 1].slot = 0;
	}
}

uint32_t tree_rank(const struct iova_tree *tree, const struct tree_cursor *at)
{
	uint32_t rank = at->path[tree->height].slot;

	for (unsigned level = 0; level < tree->height; level++) {
		const uint32_t *count = tree->blocks[at->path[level].block].branch.count;
		unsigned slot = at->path[level].slot;

		/* All of them, so that the number of rounds is known; what lies beyond means nothing. */
		for (unsigned i = 0; i < TREE_BRANCH; i++)
			rank += i < slot ? count[i] : 0;
	}
	return rank;
}

/* Copies @count slots; the blocks may be the same one. */
static void slots_move(struct tree_block *to, unsigned to_slot, const struct tree_block *from,
		       unsigned from_slot, unsigned count, bool leaf)
{
#define MOVE(array) memmove(&to->array[to_slot], &from->array[from_slot], count * sizeof(to->array[0]))
	if (leaf) {
		MOVE(leaf.hi);
		MOVE(leaf.lo);
		return;
	}
	MOVE(branch.hi);
	MOVE(branch.lo);
	MOVE(branch.gap);
	MOVE(branch.count);
	MOVE(branch.child);
	MOVE(branch.order);
#undef MOVE
}

/* Puts a range (in a leaf) or a child (in a branch) into @slot of a block that has room. */
static void slot_insert(struct tree_block *block, unsigned slot, const struct span *span, uint32_t child,
			bool leaf)
{
	slots_move(block, slot + 1, block, slot, block->used - slot, leaf);
	block->used++;
	if (leaf) {
		block->leaf.lo[slot] = span->lo;
		block->leaf.hi[slot] = span->hi;
		return;
	}
	slot_set_span(block, slot, span);
	block->branch.child[slot] = child;
}

static void slot_erase(struct tree_block *block, unsigned slot, bool leaf)
{
	block->used--;
	slots_move(block, slot, block, slot + 1, block->used - slot, leaf);
}

/* Brings what the branches on the path know of the block at @level and of those above it up to date. */
static void refresh_all(struct iova_tree *tree, const struct tree_cursor *at, unsigned level)
{
	for (; level > 0; level--) {
		struct span span = block_span(tree, at->path[level].block, level);

		slot_set_span(&tree->blocks[at->path[level - 1].block], at->path[level - 1].slot, &span);
	}
}

/*
 * The same when the leaf's span has become @span: looks through a branch only if the child's old value may have been the
 * branch's maximum, or its bounds changed; most changes end one or two levels up, above which only counts change.
 */
static void refresh(struct iova_tree *tree, const struct tree_cursor *at, struct span span)
{
	for (unsigned level = tree->height; level > 0; level--) {
		struct tree_block *branch = &tree->blocks[at->path[level - 1].block];
		unsigned slot = at->path[level - 1].slot;
		struct span old = slot_span(branch, slot), known;

		slot_set_span(branch, slot, &span);
		if (level == 1)
			return;
		known = slot_span(&tree->blocks[at->path[level - 2].block], at->path[level - 2].slot);
		if (old.lo != span.lo || old.hi != span.hi || (old.gap == known.gap && span.gap < old.gap) ||
		    (old.order == known.order && span.order < old.order)) {
			span = branch_span(branch);
			continue;
		}
		known.gap = MAX(known.gap, span.gap);
		known.order = MAX(known.order, span.order);
		known.count += span.count - old.count;
		span = known;
	}
}

static void root_grow(struct iova_tree *tree, const struct span *left_span, uint32_t left,
		      const struct span *right_span, uint32_t right)
{
	uint32_t root = block_new(tree);
	struct tree_block *block = &tree->blocks[root];

	slot_insert(block, 0, left_span, left, false);
	slot_insert(block, 1, right_span, right, false);
	tree->root = root;
	tree->height++;
	g_assert(tree->height < TREE_DEPTH);
}

/*
 * Inserts before the slot of @at at @level, splitting blocks that are full. Then @at is no longer a path.
 *
 * A split moves the lower half into a new block to the left; but an insertion before everything leaves the block full
 * and starts a new one, since allocations run downwards and would otherwise leave every block half empty.
 */
static void insert_splitting(struct iova_tree *tree, struct tree_cursor *at, unsigned level,
			     const struct span *span, uint32_t child)
{
	bool leaf = level == tree->height;
	unsigned slot = at->path[level].slot, max = leaf ? TREE_LEAF : TREE_BRANCH,
		 moved = slot ? max / 2 : 0;
	uint32_t right = at->path[level].block, left;
	struct span left_span, right_span;
	struct tree_block *lower, *upper;

	if (tree->blocks[right].used < max) {
		slot_insert(&tree->blocks[right], slot, span, child, leaf);
		refresh_all(tree, at, level);
		return;
	}
	left = block_new(tree);
	lower = &tree->blocks[left];
	upper = &tree->blocks[right];
	slots_move(lower, 0, upper, 0, moved, leaf);
	slots_move(upper, 0, upper, moved, max - moved, leaf);
	lower->used = moved;
	upper->used = max - moved;
	if (slot <= moved)
		slot_insert(lower, slot, span, child, leaf);
	else
		slot_insert(upper, slot - moved, span, child, leaf);
	left_span = block_span(tree, left, level);
	right_span = block_span(tree, right, level);
	if (level == 0) {
		root_grow(tree, &left_span, left, &right_span, right);
		return;
	}
	slot_set_span(&tree->blocks[at->path[level - 1].block], at->path[level - 1].slot, &right_span);
	insert_splitting(tree, at, level - 1, &left_span, left);
}

/* The leaf's span after [@lo, @hi] came to lie in @slot: a gap that was not its largest can be cut without looking. */
static struct span leaf_span_inserted(const struct tree_block *leaf, unsigned slot, struct span known)
{
	uint64_t bottom, top;

	if (slot == 0)
		return leaf_span(leaf);
	bottom = leaf->leaf.hi[slot - 1] + 1;
	top = leaf->leaf.lo[slot + 1];
	if (top - bottom >= known.gap || tree_gap_order(bottom, top) >= known.order)
		return leaf_span(leaf);
	known.count++;
	return known;
}

uint32_t tree_insert(struct iova_tree *tree, uint64_t lo, uint64_t hi)
{
	struct tree_cursor at;
	struct tree_block *leaf;
	struct span span = {.lo = lo, .hi = hi};
	unsigned slot;
	uint32_t rank;

	/* The range above is there already: an insertion never comes last in a leaf. */
	tree_seek(tree, hi, &at);
	rank = tree_rank(tree, &at);
	tree->count++;
	leaf = &tree->blocks[at.path[tree->height].block];
	slot = at.path[tree->height].slot;
	if (leaf->used == TREE_LEAF) {
		insert_splitting(tree, &at, tree->height, &span, NO_BLOCK);
		return rank;
	}
	slot_insert(leaf, slot, &span, NO_BLOCK, true);
	if (tree->height) {
		unsigned above = tree->height - 1;

		span = slot_span(&tree->blocks[at.path[above].block], at.path[above].slot);
		refresh(tree, &at, leaf_span_inserted(leaf, slot, span));
	}
	return rank;
}

/* Merges the block at @level with a neighbour under the same branch if both are sparse. Returns whether it did: then
 * the branch has one child less. */
static bool merge_neighbour(struct iova_tree *tree, const struct tree_cursor *at, unsigned level)
{
	bool leaf = level == tree->height;
	struct tree_block *branch = &tree->blocks[at->path[level - 1].block], *lower, *upper;
	unsigned slot = at->path[level - 1].slot, merge = leaf ? LEAF_MERGE : BRANCH_MERGE;
	struct span span;

	for (unsigned right = slot ? slot : 1; right <= slot + 1 && right < branch->used; right++) {
		lower = &tree->blocks[branch->branch.child[right - 1]];
		upper = &tree->blocks[branch->branch.child[right]];
		if (lower->used + upper->used > merge)
			continue;
		slots_move(lower, lower->used, upper, 0, upper->used, leaf);
		lower->used += upper->used;
		block_free(tree, branch->branch.child[right]);
		slot_erase(branch, right, false);
		span = block_span(tree, branch->branch.child[right - 1], level);
		slot_set_span(branch, right - 1, &span);
		return true;
	}
	return false;
}

/* Restores the tree above the block at @level, which lost a slot, and whose branch may know old things of it. */
static void shrink(struct iova_tree *tree, const struct tree_cursor *at, unsigned level)
{
	for (; level > 0; level--) {
		struct tree_block *branch = &tree->blocks[at->path[level - 1].block];

		if (tree->blocks[at->path[level].block].used == 0) {
			block_free(tree, at->path[level].block);
			slot_erase(branch, at->path[level - 1].slot, false);
		} else if (!merge_neighbour(tree, at, level)) {
			refresh_all(tree, at, level);
			break;
		}
	}
	while (tree->height && tree->blocks[tree->root].used == 1) {
		uint32_t root = tree->root;

		tree->root = tree->blocks[root].branch.child[0];
		block_free(tree, root);
		tree->height--;
	}
}

void tree_remove(struct iova_tree *tree, struct tree_cursor *at)
{
	struct tree_block *leaf = &tree->blocks[at->path[tree->height].block];
	unsigned slot = at->path[tree->height].slot, last = leaf->used - 1, above = tree->height - 1;
	struct span span;

	slot_erase(leaf, slot, true);
	tree->count--;
	if (tree->height == 0)
		return;
	if (leaf->used <= TREE_LEAF / 4) {
		shrink(tree, at, tree->height);
		return;
	}
	if (slot == 0 || slot == last) {
		refresh(tree, at, leaf_span(leaf));
		return;
	}
	/* The gap that opened is larger than both it was made from. */
	span = slot_span(&tree->blocks[at->path[above].block], at->path[above].slot);
	span.count--;
	span_widen(&span, leaf->leaf.hi[slot - 1] + 1, leaf->leaf.lo[slot]);
	refresh(tree, at, span);
}

void tree_stretch(struct iova_tree *tree, struct tree_cursor *at, uint64_t lo)
{
	struct tree_block *leaf = &tree->blocks[at->path[tree->height].block];

	leaf->leaf.lo[at->path[tree->height].slot] = lo;
	refresh_all(tree, at, tree->height);
}

/* A search under way. */
struct search {
	const struct iova_tree *tree;
	const struct tree_request *request;
	uint64_t floor;	    /* tops below it end the search */
	uint64_t start_hi;  /* where it starts, inside blocks that are searched from their middle */
	unsigned order_min; /* a child without a gap of this order has none for the request */
	uint64_t new;
};

enum search_result { SEARCH_NONE, SEARCH_FOUND, SEARCH_FLOOR };

/* Tries the gap above the range that ends below @bottom. */
static inline bool search_try(struct search *search, uint64_t bottom, uint64_t top)
{
	uint64_t new = (top - search->request->size) & search->request->mask;

	search->new = new;
	return new >= bottom;
}

/* Returns where in a block to begin: at its end, or where the search starts. */
static inline unsigned search_begin(const struct search *search, const uint64_t *hi, unsigned used,
				    bool from_middle)
{
	return from_middle ? first_at_least(hi, used, search->start_hi) : used - 1;
}

/*
 * Both searches go down a block. The gap below its first range belongs to whoever knows what is below. Slots that have
 * nothing are passed without a look at the floor: the next one that has something, or the last, is below it too.
 */
static enum search_result search_leaf(struct search *search, const struct tree_block *leaf, bool from_middle)
{
	const uint64_t *lo = leaf->leaf.lo, *hi = leaf->leaf.hi;
	uint64_t size = search->request->size;

	for (unsigned slot = search_begin(search, hi, leaf->used, from_middle);; slot--) {
		uint64_t top;

		while (slot > 0 && lo[slot] - hi[slot - 1] <= size)
			slot--;
		top = MIN(lo[slot], search->request->limit);
		if (top < search->floor)
			return SEARCH_FLOOR;
		if (slot == 0)
			return SEARCH_NONE;
		if (search_try(search, hi[slot - 1] + 1, top))
			return SEARCH_FOUND;
	}
}

/* Whether the child in @slot may have room. If the search starts inside it, its gaps are at most those that are known. */
static inline bool search_worth(const struct search *search, const struct tree_block *branch, unsigned slot)
{
	return branch->branch.gap[slot] >= search->request->size &&
	       branch->branch.order[slot] >= search->order_min;
}

static enum search_result search_block(struct search *search, uint32_t index, unsigned level,
				       bool from_middle)
{
	const struct tree_block *block = &search->tree->blocks[index];
	const uint64_t *lo = block->branch.lo, *hi = block->branch.hi;
	enum search_result result;

	if (level == search->tree->height)
		return search_leaf(search, block, from_middle);
	for (unsigned slot = search_begin(search, hi, block->used, from_middle);;
	     slot--, from_middle = false) {
		uint64_t top;

		if (search_worth(search, block, slot)) {
			result = search_block(search, block->branch.child[slot], level + 1, from_middle);
			if (result != SEARCH_NONE)
				return result;
		}
		top = MIN(lo[slot], search->request->limit);
		if (top < search->floor)
			return SEARCH_FLOOR;
		if (slot == 0)
			return SEARCH_NONE;
		if (search_try(search, hi[slot - 1] + 1, top))
			return SEARCH_FOUND;
	}
}

uint64_t tree_request_floor(const struct tree_request *request)
{
	return ((request->low + ~request->mask) & request->mask) + request->size;
}

/*
 * Which order a gap must have. With alignment 2^k and a size of 2^k it must hold an aligned block of that size: exact.
 * With a smaller size it must hold at least the block's lower half. Without alignment nothing is known.
 */
static unsigned request_order_min(const struct tree_request *request)
{
	unsigned k;

	if (request->mask == UINT64_MAX)
		return 0;
	k = (unsigned)__builtin_ctzll(request->mask);
	return request->size == UINT64_C(1) << k ? k + 1 : k;
}

bool tree_search(const struct iova_tree *tree, const struct tree_request *request, uint64_t start_hi,
		 uint64_t *ret_new)
{
	struct search search = {
		.tree = tree,
		.request = request,
		.floor = tree_request_floor(request),
		.start_hi = MIN(start_hi, request->limit),
		.order_min = request_order_min(request),
	};

	switch (search_block(&search, tree->root, 0, true)) {
	case SEARCH_FLOOR:
		return false;
	case SEARCH_NONE: {
		/* Below the lowest range of all there is room down to the floor. */
		const struct tree_block *root = &tree->blocks[tree->root];
		uint64_t lowest = tree->height ? root->branch.lo[0] : root->leaf.lo[0];

		search.new = (MIN(lowest, request->limit) - request->size) & request->mask;
		break;
	}
	case SEARCH_FOUND:
		break;
	}
	*ret_new = search.new;
	return true;
}

void tree_each(const struct iova_tree *tree, void (*fn)(void *data, uint64_t lo, uint64_t hi), void *data)
{
	struct tree_cursor at;

	for (tree_seek(tree, 0, &at); tree_lo(tree, &at) != UINT64_MAX; tree_next(tree, &at))
		fn(data, tree_lo(tree, &at), tree_hi(tree, &at));
}

static struct span check_block(const struct iova_tree *tree, uint32_t index, unsigned level)
{
	const struct tree_block *block = &tree->blocks[index];

	g_assert(block->used > 0);
	if (level == tree->height) {
		for (unsigned i = 0; i < block->used; i++) {
			g_assert(block->leaf.lo[i] <= block->leaf.hi[i]);
			g_assert(i == 0 || block->leaf.hi[i - 1] < block->leaf.lo[i]);
		}
		return leaf_span(block);
	}
	for (unsigned i = 0; i < block->used; i++) {
		struct span real = check_block(tree, block->branch.child[i], level + 1);
		struct span known = slot_span(block, i);

		g_assert(real.lo == known.lo && real.hi == known.hi);
		g_assert(real.gap == known.gap);
		g_assert(real.order == known.order);
		g_assert(real.count == known.count);
		g_assert(i == 0 || block->branch.hi[i - 1] < block->branch.lo[i]);
	}
	return branch_span(block);
}

void tree_check(const struct iova_tree *tree)
{
	struct span span = check_block(tree, tree->root, 0);

	g_assert(span.count == tree->count);
	g_assert(span.hi == UINT64_MAX);
}
