/* SPDX-License-Identifier: MIT */
#include "sim/core/work.h"

/*
 * Defaults. "assumed" says what it says: a round number of the right order for a server CPU near 3 GHz, to be replaced
 * by the user's own. The invalidation wait dominates strict mode, as published comparisons of strict with lazy show.
 */
const struct work_kind work_kinds[WORK_KINDS] = {
	[WORK_BLOCK_SUBMIT] = {"block_submit", "one request through block layer and driver", 600, "assumed"},
	[WORK_BLOCK_COMPLETE] = {"block_complete", "one completion through driver and block layer", 400,
				 "assumed"},
	[WORK_IOVA_CACHE] = {"iova_cache", "one allocation from or free into a per-CPU magazine", 15,
			     "assumed"},
	[WORK_IOVA_TREE] = {"iova_tree", "one allocation from or free into the tree, without steps", 60,
			    "assumed"},
	[WORK_IOVA_TREE_STEP] = {"iova_tree_step", "one node visited by the kernel's walk", 5, "assumed"},
	[WORK_PTE_WRITE] = {"pte_write", "one page-table entry written or cleared", 4, "assumed"},
	[WORK_PT_PAGE] = {"pt_page", "one page-table page allocated or freed", 150, "assumed"},
	[WORK_CACHE_LINE] = {"cache_line", "one cache line fetched from another CPU", 70, "assumed"},
	[WORK_CACHE_SYNC] = {"cache_sync", "one cache line written back or dropped for a device", 10, "assumed"},
	[WORK_COPY] = {"copy", "one cache line copied to or from a bounce buffer, or zeroed there", 6, "assumed"},
	[WORK_INVALIDATE_SUBMIT] = {"invalidate_submit", "one invalidation command queued", 50, "assumed"},
	[WORK_INVALIDATE_WAIT] = {"invalidate_wait", "one wait for an invalidation", 600, "assumed"},
	[WORK_MMIO_READ] = {"mmio_read", "one read of a register of an IOMMU", 800, "assumed"},
	[WORK_MMIO_WRITE] = {"mmio_write", "one write to a register of an IOMMU", 120, "assumed"},
	[WORK_DOORBELL] = {"doorbell", "one MMIO write", 120, "assumed"},
	[WORK_INTERRUPT] = {"interrupt", "one interrupt taken", 900, "assumed"},
	[WORK_THREAD_WAKE] = {"thread_wake", "one interrupt thread woken and switched to", 1500, "assumed"},
};
