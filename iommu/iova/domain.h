/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_DOMAIN_H
#define IOMMU_IOVA_DOMAIN_H

/*
 * What the files of the allocator share, and nobody else needs: the domain, and the modelled memory it is made of.
 */
#include "iommu/iova/iova.h"
#include "iommu/iova/tree.h"
#include "sim/behaviour/behaviour.h"

/** One of the two places where searches start. The range itself is in the tree; these are copies, kept up to date. */
struct iova_cached_node {
	uint64_t lo, hi;
	uint32_t rank; /* ranges below it */
};

/** A stack of pfns: 1 KiB, as in the kernel. Only full ones are in a depot, where the word of the size is the link. */
struct iova_magazine {
	union {
		uint64_t size;
		struct iova_magazine *next;
	};
	uint64_t pfns[IOVA_MAGAZINE_PFNS];
};

struct iova_cpu_rcache {
	struct iova_magazine *loaded;
	struct iova_magazine *prev;
};

/** One size class. */
struct iova_rcache {
	struct iova_cpu_rcache *cpu_rcaches; /* of each possible CPU */
	struct iova_magazine *depot;	     /* newest first */
	uint64_t depot_size;		     /* magazines */
	bool work_pending;		     /* the depot timer is armed */
	struct sim_lock lock;
};

struct iova_domain {
	struct sim *sim;
	uint64_t granule_bytes;
	uint64_t start_pfn;
	uint64_t dma_32bit_pfn;
	uint64_t max32_alloc_size;
	struct iova_cached_node cached_node;
	struct iova_cached_node cached32_node;
	struct iova_tree tree;
	struct sim_lock tree_lock;   /* iova_rbtree_lock */
	struct iova_rcache *rcaches; /* IOVA_ORDERS of them, or NULL */
	/* Host memory of magazines that the model has freed: a hand-off between CPUs frees and allocates them in turn. */
	struct iova_magazine *spare_magazines;
	struct iova_stats stats;
	struct iova_memory memory;
	int (*allocation_hook)(void *data, enum iova_memory_kind kind);
	void *allocation_hook_data;
	const struct iova_recorded_ops *recorded;
	void *recorded_data;
	unsigned id;
	unsigned event_kind;
	bool missing_rcaches_found; /* reported once, or wanted */
};

/** Passes the fault point of @kind for @bytes, then the hook. Returns 0, and counts it as taken, or a negative errno. */
int iova_memory_take(struct iova_domain *iovad, enum iova_memory_kind kind, uint64_t bytes);

/** Counts one of @kind as given back. */
static inline void iova_memory_give(struct iova_domain *iovad, enum iova_memory_kind kind)
{
	iovad->memory.frees[kind]++;
}

/** Makes @hook decide on each modelled allocation that its fault point lets pass; 0 lets it pass too. NULL: none. */
void iova_set_allocation_hook(struct iova_domain *iovad, int (*hook)(void *data, enum iova_memory_kind kind),
			      void *data);

/** Removes the range that contains @pfn, which the caller has the tree lock for. Returns whether there is one. */
bool iova_remove_locked(struct iova_domain *iovad, uint64_t pfn);

/** Counts a warning of the kernel and reports it. */
void iova_warn(struct iova_domain *iovad, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The parts that calls are made of, each whole under its lock. The domain has caches. */

/** Takes a pfn of @order at or below @highest_pfn for the current CPU. Returns 0 if there is none that Linux would find. */
uint64_t iova_rcache_get(struct iova_domain *iovad, unsigned order, uint64_t highest_pfn);
/** Puts @pfn into a magazine of the current CPU. Returns false if there was no memory for one. *@ret_surplus is a full
 *  magazine that the depot had no room for, or NULL: the caller's to flush and free. */
bool iova_rcache_insert(struct iova_domain *iovad, unsigned order, uint64_t pfn,
			struct iova_magazine **ret_surplus);
/** The first half of the depot's worker: returns the magazine that is one too many, or NULL. */
struct iova_magazine *iova_depot_surplus(struct iova_domain *iovad, unsigned order);
/** The second half, for such a magazine. */
void iova_depot_trim(struct iova_domain *iovad, unsigned order, struct iova_magazine *surplus);
/** Returns to the tree what the newest magazines of the depot of @order hold, at most @count of them. */
void iova_depot_flush(struct iova_domain *iovad, unsigned order, uint64_t count);
/** Returns the pfns of a magazine to the tree and leaves it empty: iova_magazine_free_pfns(). */
void iova_magazine_flush(struct iova_domain *iovad, struct iova_magazine *magazine);
/** NULL is allowed. */
void iova_magazine_free(struct iova_domain *iovad, struct iova_magazine *magazine);
/** Returns a copy of the @size pfns in @magazine. */
struct iova_magazine *iova_magazine_copy(const struct iova_magazine *magazine, uint64_t size);

/** Gives @iovad, which shares those of the domain it is a copy of, caches of its own with the same pfns. */
void iova_rcaches_copy(struct iova_domain *iovad);

/** Frees the caches of a domain, if it has any, without returning their pfns. */
void iova_rcaches_free(struct iova_domain *iovad);

#endif
