/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_IOVA_H
#define IOMMU_IOVA_IOVA_H

/*
 * The IOVA allocator of Linux: per-CPU magazines and a depot in front of an ordered set of ranges.
 *
 * "pfn" is an IOVA page number in units of the domain's granule. All quantities are unsigned 64-bit and wrap, as the
 * kernel's do. A range that is parked in a cache is still a node of the tree. Functions act on sim->cpu where the kernel
 * uses the current CPU. Source: drivers/iommu/iova.c of Linux 7.0, as the recordings and iova-facts tell it.
 *
 * Order of calls: iova_domain_new(), iova_rcaches_init(), iova_reserve() as often as needed, then iova_alloc_fast() and
 * iova_free_fast(); at the end iova_domain_free(). Of what is allocated and freed the DMA layer tells observers, which knows
 * the lengths that were asked for; from here they hear of magazines that move.
 *
 * Work is charged where the kernel does it: WORK_IOVA_CACHE for a hit in and a free into a magazine, WORK_IOVA_TREE for
 * each node allocated from or removed from the tree, WORK_IOVA_TREE_STEP for each node that the kernel's walk visits, and for
 * each level that it goes down to find what is freed.
 */
#include <stdbool.h>
#include <stdint.h>

#include "sim/core/sim.h"
#include "sim/fault/fault.h"

enum {
	FAULT_IOVA_NODE = FAULT_ROOM_IOVA,
	FAULT_IOVA_MAGAZINE,
	FAULT_IOVA_RCACHE_ARRAY,
	FAULT_IOVA_RCACHE_PERCPU,
	FAULT_IOVA_CPUHP,
	FAULT_IOVA_FQ, /* passed by the DMA layer, which owns the flush queues */
};

extern const struct fault_table iova_fault_table;

#define IOVA_ORDERS	    6 /* cached sizes: 1, 2, 4 … 32 granules */
#define IOVA_MAGAZINE_PFNS  127
#define IOVA_ANCHOR	    UINT64_MAX
#define IOVA_DEPOT_TIMER_NS UINT64_C(100000000)

/** iova-depot = array-32: magazines a size class keeps (MAX_GLOBAL_MAGS of Linux 6.1). */
#define IOVA_DEPOT_ARRAY 32

struct iova_domain;

struct iova_stats {
	uint64_t allocs, frees, failures;
	uint64_t cache_hits[IOVA_ORDERS], cache_misses[IOVA_ORDERS];
	uint64_t tree_allocs, tree_frees;
	uint64_t tree_steps; /* nodes the kernel's walks visited */
	uint64_t depot_pushes, depot_pops, depot_trims;
	uint64_t rcache_flushes;
	uint64_t warnings; /* WARNs of the kernel */
};

/** Modelled memory, by what it is for; each kind has its fault point, in the same order. */
enum iova_memory_kind {
	IOVA_MEMORY_NODE, /* a range's node */
	IOVA_MEMORY_MAGAZINE,
	IOVA_MEMORY_ARRAY,  /* the array of size classes */
	IOVA_MEMORY_PERCPU, /* the per-CPU heads of a size class */
	IOVA_MEMORY_CPUHP,  /* registration with CPU hotplug: no memory, but taken and given back alike */
	IOVA_MEMORY_KINDS,
};

/** What was taken and given back since the domain was made. A failed attempt is not counted. */
struct iova_memory {
	uint64_t allocs[IOVA_MEMORY_KINDS];
	uint64_t frees[IOVA_MEMORY_KINDS];
};

/** What a domain's searches depend on besides its ranges; see iova-facts section 2. */
struct iova_state {
	uint64_t dma_32bit_pfn;
	uint64_t cached_lo, cached_hi;	   /* cached_node; IOVA_ANCHOR both if it is the anchor */
	uint64_t cached32_lo, cached32_hi; /* cached32_node */
	uint64_t max32_alloc_size;
	bool has_rcaches;
};

/** Returns a new domain without caches: @granule_bytes a power of two; @start_pfn lowest pfn ever handed out.
 *  @event_kind: the kind under which depot timers are put into sim->events with the payload @id << 3 | order (the owner
 *  of the event kind calls iova_depot_work()); EVENT_KINDS for none (whoever drives the domain fires them itself). A
 *  domain that is freed leaves its armed timers in the queue: their owner has to know that it is gone. */
struct iova_domain *iova_domain_new(struct sim *sim, uint64_t granule_bytes, uint64_t start_pfn, unsigned id,
				    unsigned event_kind);
/** Returns a domain in the state of @iovad, counts and allocation hook among it, that acts on @sim, which has as many CPUs.
 *  Armed depot timers are pending in it, yet not put into the events of @sim. Free with iova_domain_free(). */
struct iova_domain *iova_domain_copy(const struct iova_domain *iovad, struct sim *sim);
/** Frees magazines and nodes without returning pfns, as put_iova_domain() does. NULL is allowed. If @ret_memory is
 *  not NULL it gets the final counts, in which all that was taken has been given back. */
void iova_domain_finish(struct iova_domain *iovad, struct iova_memory *ret_memory);
void iova_domain_free(struct iova_domain *iovad);

/** Creates the per-CPU caches for all possible CPUs; there are none yet. Returns 0, or the error of the step that failed,
 *  with everything made so far released and the domain as before; it may be tried again. Under iova-magazine-null-check =
 *  unchecked the clean-up that frees a magazine that was never had is reported as a null dereference. */
int iova_rcaches_init(struct iova_domain *iovad);

/** Allocates @size granules (1 to 2^63) at or below @limit_pfn for the current CPU. @flush: empty all caches and retry
 *  once. Returns the lowest pfn, 0 on failure. Without caches Linux would dereference null, which is reported once a
 *  domain; then the tree serves. */
uint64_t iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush);

/** Gives back @size granules at @pfn. Nothing checks that they were taken, nor with what size: as in the kernel. */
void iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size);

/** Has a domain without caches served by the tree alone, as Linux before 4.7 had it. */
void iova_set_tree_only(struct iova_domain *iovad);

/** Somebody who knows the addresses already, such as a recording: asked in place of the allocator. The domain's own state is
 * not used then. */
struct iova_recorded_ops {
	uint64_t (*alloc)(void *data, uint64_t size, uint64_t limit_pfn, bool flush);
	void (*free)(void *data, uint64_t pfn, uint64_t size);
};

/** Makes @ops (borrowed, as @data is) serve iova_alloc_fast() and iova_free_fast() of a domain without caches. */
void iova_set_recorded(struct iova_domain *iovad, const struct iova_recorded_ops *ops, void *data);

/** Straight from the tree: returns whether it found @size granules (1 to 2^63), not rounded; @aligned to the next power
 *  of two of @size. */
bool iova_alloc_tree(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool aligned,
		     uint64_t *ret_pfn);
/** Removes the range that contains @pfn from the tree, if there is one. */
void iova_free_tree(struct iova_domain *iovad, uint64_t pfn);
/** Finds the range that contains @pfn. */
bool iova_find(const struct iova_domain *iovad, uint64_t pfn, uint64_t *ret_lo, uint64_t *ret_hi);
/** Reserves [@lo, @hi], @lo not above @hi; see iova-facts section 3. Returns false where the kernel returns no node, else
 *  the bounds of the node it returns, which may be part of a live range. */
bool iova_reserve(struct iova_domain *iovad, uint64_t lo, uint64_t hi, uint64_t *ret_lo, uint64_t *ret_hi);

/** The depot timer of @order fires now. Returns whether it was pending. */
bool iova_depot_work(struct iova_domain *iovad, unsigned order);
/** Takes @cpu out of sim's online set, if another domain's call did not do so before, and returns what it has cached to
 *  the tree. */
void iova_cpu_offline(struct iova_domain *iovad, unsigned cpu);
/** Puts @cpu back into sim's online set, if it is not in it. */
void iova_cpu_online(struct iova_domain *iovad, unsigned cpu);

const struct iova_stats *iova_stats(const struct iova_domain *iovad);
const struct iova_memory *iova_memory(const struct iova_domain *iovad);
struct iova_state iova_state(const struct iova_domain *iovad);

/** The modelled locks, borrowed until the domain is freed: the tree's, and the depot's of @order (NULL without caches). */
const struct sim_lock *iova_tree_lock(const struct iova_domain *iovad);
const struct sim_lock *iova_depot_lock(const struct iova_domain *iovad, unsigned order);

/** Returns how many magazines the depot of @order holds, and whether its timer is pending; 0 and false without caches. */
uint64_t iova_depot_size(const struct iova_domain *iovad, unsigned order);
bool iova_depot_pending(const struct iova_domain *iovad, unsigned order);

/** Calls @fn for every range in ascending order, without the anchor. */
void iova_each_range(const struct iova_domain *iovad, void (*fn)(void *data, uint64_t lo, uint64_t hi),
		     void *data);
/** Calls @fn for every cached pfn: @place is "loaded", "prev" (of @cpu) or "depot" (@cpu 0). By order; in an order the
 *  depot, newest magazine first, then each CPU's loaded, then its prev; in a magazine from the bottom up. */
void iova_each_cached(const struct iova_domain *iovad,
		      void (*fn)(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu),
		      void *data);
uint64_t iova_node_count(const struct iova_domain *iovad);

#endif
