/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_GENERIC_PT_LEVELS_H
#define IOMMU_PGTABLE_GENERIC_PT_LEVELS_H

/*
 * The geometry that the formats of generic-pt.h share: 4 KiB tables of 512 entries, level 0 the last.
 */
#include <stdint.h>

#define ENTRIES_LG2 9
#define ENTRIES	    (1u << ENTRIES_LG2)
#define PAGE_LG2    12
#define TABLE_LG2   (PAGE_LG2 + ENTRIES_LG2) /* span of a table of level 0 */

/** Returns log2 of what an entry of @level spans. */
static inline unsigned level_lg2(unsigned level)
{
	return PAGE_LG2 + ENTRIES_LG2 * level;
}

/** Returns which entry of its table of @level is that of @iova. */
static inline uint32_t entry_index(unsigned level, uint64_t iova)
{
	return (uint32_t)(iova >> level_lg2(level)) & (ENTRIES - 1);
}

#endif
