/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_TREE_H
#define IOMMU_IOVA_TREE_H

/*
 * An ordered set of disjoint ranges of pfns, in which "the first gap going down from here that takes this request" is
 * found without walking.
 *
 * Linux keeps its ranges in a red-black tree and walks them one by one; the shape of that tree is not observable, so
 * ours is a B+-tree: the ranges lie in leaves of up to 32, and a branch knows of each child the lowest and the highest
 * pfn, how many ranges there are, the largest gap between two of them and the largest aligned power of two that fits
 * into such a gap. A search skips a child that has no gap for the request; counting the ranges that were passed tells how
 * long Linux's walk is. Both cost a few descents.
 *
 * Bounds are inclusive. The set always holds the anchor [UINT64_MAX, UINT64_MAX], above everything. A range is
 * identified by its hi, which never changes; its lo may be lowered (tree_stretch). Blocks lie in one array and name each
 * other by index.
 */
#include <stdbool.h>
#include <stdint.h>

#ifndef TREE_LEAF      /* a test makes blocks small */
#define TREE_LEAF   32 /* ranges in a leaf: 512 bytes */
#define TREE_BRANCH 16 /* children of a branch */
#endif
#define TREE_DEPTH 24 /* levels; far above what 2^32 ranges can need */

struct tree_block {
	union {
		struct {
			uint64_t hi[TREE_LEAF];
			uint64_t lo[TREE_LEAF];
		} leaf;
		struct {
			uint64_t hi[TREE_BRANCH];  /* of the child's last range */
			uint64_t lo[TREE_BRANCH];  /* of the child's first range */
			uint64_t gap[TREE_BRANCH]; /* largest gap between two ranges of the child, in pfns */
			uint32_t count[TREE_BRANCH]; /* ranges in the child */
			uint32_t child[TREE_BRANCH];
			uint8_t order[TREE_BRANCH]; /* see tree_gap_order(), largest of the child's gaps */
		} branch;
	};
	uint32_t used;
	uint32_t next_free;
};

struct iova_tree {
	struct tree_block *blocks;
	uint32_t block_count; /* ever used; those on the free list included */
	uint32_t block_capacity;
	uint32_t free_list; /* UINT32_MAX: empty */
	uint32_t root;
	unsigned height; /* levels of branches; 0: the root is a leaf */
	uint32_t count;	 /* ranges, the anchor among them */
};

/**
 * A place in the tree: a path from the root to a range. Any insertion or removal makes it invalid.
 *
 * One array of pairs. With two arrays of unlike elements gcc 12 takes a loop that writes along the path for one that does
 * nothing, and drops the call (-O1 and -O2: induction variables with a null base, then "function is const").
 */
struct tree_cursor {
	struct {
		uint32_t block;
		uint32_t slot; /* in that block */
	} path[TREE_DEPTH];
};

/** What a search looks for: the highest @new = (top - size) & mask above the range below, where top is the lower end of a
 *  range or @limit, whichever is lower; it ends without a result where such a @new would come to lie below @low. */
struct tree_request {
	uint64_t size;
	uint64_t mask;	/* clears the bits that alignment wants clear */
	uint64_t limit; /* exclusive */
	uint64_t low;
};

/** Makes an empty set: only the anchor. */
void tree_init(struct iova_tree *tree);
void tree_finish(struct iova_tree *tree);
/** Makes *@ret_tree a set of its own with the ranges of @tree. */
void tree_copy(const struct iova_tree *tree, struct iova_tree *ret_tree);

/** Points @ret_at at the lowest range whose hi is @pfn or more; the anchor is one for every @pfn. */
void tree_seek(const struct iova_tree *tree, uint64_t pfn, struct tree_cursor *ret_at);

/** Moves @at to the next higher range; it must not stand on the anchor. */
void tree_next(const struct iova_tree *tree, struct tree_cursor *at);

static inline uint64_t tree_lo(const struct iova_tree *tree, const struct tree_cursor *at)
{
	return tree->blocks[at->path[tree->height].block].leaf.lo[at->path[tree->height].slot];
}

static inline uint64_t tree_hi(const struct iova_tree *tree, const struct tree_cursor *at)
{
	return tree->blocks[at->path[tree->height].block].leaf.hi[at->path[tree->height].slot];
}

/** Returns how many ranges lie below the one at @at. */
uint32_t tree_rank(const struct iova_tree *tree, const struct tree_cursor *at);

/** Inserts [@lo, @hi], which overlaps nothing. Returns its rank. */
uint32_t tree_insert(struct iova_tree *tree, uint64_t lo, uint64_t hi);

/** Removes the range at @at, which is not the anchor. */
void tree_remove(struct iova_tree *tree, struct tree_cursor *at);

/** Lowers the lower end of the range at @at to @lo, which is above the range below. @at stays valid. */
void tree_stretch(struct iova_tree *tree, struct tree_cursor *at, uint64_t lo);

/**
 * Searches down from the range whose hi is @start_hi (or, if it ends at @request->limit or above, from the lowest range that
 * does: those between cannot end the search). The start's own top, MIN(@request->limit, its lo), must be at least
 * @request->size and give a @new that is not below @request->low.
 * Returns true and sets *@ret_new, or false: then every top at or above low was tried.
 */
bool tree_search(const struct iova_tree *tree, const struct tree_request *request, uint64_t start_hi,
		 uint64_t *ret_new);

/** Returns the lowest top, in the sense of struct tree_request, whose @new is not below low; there is one. */
uint64_t tree_request_floor(const struct tree_request *request);

/** Returns 0 when [@bottom, @top) is empty, else 1 + the largest k for which it holds a 2^k-aligned block of 2^k. */
uint8_t tree_gap_order(uint64_t bottom, uint64_t top);

/** Calls @fn for every range in ascending order, without the anchor. */
void tree_each(const struct iova_tree *tree, void (*fn)(void *data, uint64_t lo, uint64_t hi), void *data);

/** Asserts that every count, bound and gap is what the ranges below say. For tests: it looks at everything. */
void tree_check(const struct iova_tree *tree);

#endif
