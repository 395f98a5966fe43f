/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/unmap-log.h"

#include <string.h>

#include <glib.h>

#define UNMAP_LOG_MIN 64u

void unmap_log_finish(struct unmap_log *log)
{
	g_clear_pointer(&log->records, g_free);
	log->count = log->capacity = 0;
}

static void unmap_log_make_room(struct unmap_log *log)
{
	if (log->capacity < UNMAP_LOG_MAX) {
		log->capacity = MAX(2 * log->capacity, UNMAP_LOG_MIN);
		log->records = g_renew(struct unmap_record, log->records, log->capacity);
		return;
	}
	log->count /= 2;
	memmove(log->records, log->records + log->count, log->count * sizeof(*log->records));
}

void unmap_log_add(struct unmap_log *log, const struct unmap_record *record)
{
	if (G_UNLIKELY(log->count == log->capacity))
		unmap_log_make_room(log);
	log->records[log->count++] = *record;
}

void unmap_log_invalidated(struct unmap_log *log, unsigned domain, uint64_t first, uint64_t last,
			   bool leaf_only)
{
	while (log->count) {
		const struct unmap_record *newest = &log->records[log->count - 1];

		if (newest->domain != domain || newest->first < first || newest->last > last ||
		    (leaf_only && newest->tables))
			break;
		log->count--;
	}
}

const struct unmap_record *unmap_log_find(const struct unmap_log *log, unsigned domain, uint64_t iova,
					  uint64_t filled)
{
	const struct unmap_record *found = NULL;

	for (uint32_t i = 0; i < log->count; i++) {
		const struct unmap_record *record = &log->records[i];

		if (record->domain != domain || iova < record->first || iova > record->last)
			continue;
		found = record;
		if (record->clock >= filled)
			break;
	}
	return found;
}
