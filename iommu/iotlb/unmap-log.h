/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOTLB_UNMAP_LOG_H
#define IOMMU_IOTLB_UNMAP_LOG_H

/*
 * What was unmapped and may still be cached: so that who finds a stale entry can tell how long its mapping had been
 * gone.
 *
 * A list in order of time. An invalidation takes from its end what it covers: strict, that is each unmap at once;
 * lazy, all of them with each flush. So it stays short, and what an invalidation misses stays in it. Where it grows to
 * UNMAP_LOG_MAX all the same, the older half is forgotten.
 */
#include <stdbool.h>
#include <stdint.h>

#define UNMAP_LOG_MAX 65536u

struct unmap_record {
	uint64_t first, last; /* IOVAs, inclusive */
	uint64_t time_ns;
	uint64_t clock; /* of the cache, which grows with each fill: who was filled before, who after */
	uint32_t domain;
	bool tables; /* table pages went as well: a walk may still go through them */
};

struct unmap_log {
	struct unmap_record *records;
	uint32_t count, capacity;
};

void unmap_log_finish(struct unmap_log *log);

void unmap_log_add(struct unmap_log *log, const struct unmap_record *record);

/** Nothing of @domain in [@first, @last] is cached any longer, or, @leaf_only, no leaf. */
void unmap_log_invalidated(struct unmap_log *log, unsigned domain, uint64_t first, uint64_t last,
			   bool leaf_only);

/** Returns the unmap that made an entry stale that was filled at @filled and translates @iova: the first one after
 * that, or, where it was stale from the start, the latest before; NULL: not known. Borrowed until the next call. */
const struct unmap_record *unmap_log_find(const struct unmap_log *log, unsigned domain, uint64_t iova,
					  uint64_t filled);

#endif
