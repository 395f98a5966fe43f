/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_IOVA_H
#define IOMMU_IOVA_IOVA_H

/*
 * The IOVA allocator of Linux: per-CPU magazines and a depot in front of an ordered set of ranges.
 *
 * "pfn" is an IOVA page number in units of the domain's granule. All quantities are unsigned 64-bit and wrap, as the
 * kernel's do. A range that is parked in a cache is still a node of the tree. Functions act on sim->cpu where the kernel
 * uses the current CPU. Source: drivers/iommu/iova.c of Linux 7.0, as the recordings and iova-facts tell it.
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
};

extern const struct fault_table iova_fault_table;

#define IOVA_ORDERS	  6   /* cached sizes: 1, 2, 4 … 32 granules */
#define IOVA_MAGAZINE_PFNS 127
#define IOVA_ANCHOR	  UINT64_MAX
#define IOVA_DEPOT_TIMER_NS UINT64_C(100000000)

struct iova_domain;

struct iova_stats {
	uint64_t allocs, frees, failures;
	uint64_t cache_hits[IOVA_ORDERS], cache_misses[IOVA_ORDERS];
	uint64_t tree_allocs, tree_frees;
	uint64_t tree_steps;	  /* nodes the kernel's walks visited */
	uint64_t depot_pushes, depot_pops, depot_trims;
	uint64_t rcache_flushes;
	uint64_t warnings;	  /* WARNs of the kernel */
};

/** Returns a new domain without caches: @granule_bytes a power of two; @start_pfn lowest pfn ever handed out.
 *  @event_kind: the kind under which depot timers are put into sim->events with the payload @id << 3 | order (the owner
 *  of the event kind calls iova_depot_work()); EVENT_KINDS for none (whoever drives the domain fires them itself). */
struct iova_domain *iova_domain_new(struct sim *sim, uint64_t granule_bytes, uint64_t start_pfn, unsigned id,
				    unsigned event_kind);
/** Frees magazines and nodes without returning pfns, as put_iova_domain() does. NULL is allowed. */
void iova_domain_free(struct iova_domain *iovad);

/** Creates the per-CPU caches for all possible CPUs. Returns 0, or the error of the step that failed, with everything made
 *  so far released and the domain as before; it may be tried again. Under iova-magazine-null-check = unchecked the
 *  clean-up that frees a magazine that was never had is reported as a null dereference. */
int iova_rcaches_init(struct iova_domain *iovad);

/** Allocates @size granules at or below @limit_pfn for the current CPU. @flush: empty all caches and retry once. Returns
 *  the lowest pfn, 0 on failure. */
uint64_t iova_alloc_fast(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool flush);

/** Gives back @size granules at @pfn. Nothing checks that they were taken, nor with what size: as in the kernel. */
void iova_free_fast(struct iova_domain *iovad, uint64_t pfn, uint64_t size);

/** Straight from the tree: returns whether it found @size granules; @aligned to the next power of two of @size. */
bool iova_alloc_tree(struct iova_domain *iovad, uint64_t size, uint64_t limit_pfn, bool aligned, uint64_t *ret_pfn);
/** Removes the range that contains @pfn from the tree, if there is one. */
void iova_free_tree(struct iova_domain *iovad, uint64_t pfn);
/** Finds the range that contains @pfn. */
bool iova_find(const struct iova_domain *iovad, uint64_t pfn, uint64_t *ret_lo, uint64_t *ret_hi);
/** Reserves [@lo, @hi]; see iova-facts section 3. Returns false where the kernel returns no node. */
bool iova_reserve(struct iova_domain *iovad, uint64_t lo, uint64_t hi, uint64_t *ret_lo, uint64_t *ret_hi);

/** The depot timer of @order fires now. Returns whether it was pending. */
bool iova_depot_work(struct iova_domain *iovad, unsigned order);
void iova_cpu_offline(struct iova_domain *iovad, unsigned cpu);
void iova_cpu_online(struct iova_domain *iovad, unsigned cpu);

const struct iova_stats *iova_stats(const struct iova_domain *iovad);

/** Calls @fn for every range in ascending order, without the anchor. */
void iova_each_range(const struct iova_domain *iovad, void (*fn)(void *data, uint64_t lo, uint64_t hi), void *data);
/** Calls @fn for every cached pfn: @place is "loaded", "prev" (of @cpu) or "depot" (@cpu 0). */
void iova_each_cached(const struct iova_domain *iovad,
		      void (*fn)(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu), void *data);
uint64_t iova_node_count(const struct iova_domain *iovad);

#endif
