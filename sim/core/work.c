/* SPDX-License-Identifier: MIT */
#include "sim/core/work.h"

/*
 * Defaults: round numbers of a server CPU near 3 GHz. A source in brackets is where a number was measured on hardware of
 * its own time; "assumed" says what it says. To be replaced by the user's own.
 */
#define RIOMMU	  "cycles of Malka et al., rIOMMU, ASPLOS '15, table 1, at 3.1 GHz"
#define SOSP13	  "between same and next socket in David et al., SOSP '13, table 2"
#define PCIEBENCH "of the order of Neugebauer et al., pcie-bench, SIGCOMM '18"

const struct work_kind work_kinds[WORK_KINDS] = {
	[WORK_BLOCK_SUBMIT] = {"block_submit", "one request through block layer and driver", 600, "assumed"},
	[WORK_BLOCK_COMPLETE] = {"block_complete", "one completion through driver and block layer", 400,
				 "assumed"},
	[WORK_IOVA_CACHE] = {"iova_cache", "one allocation from or free into a per-CPU magazine", 15,
			     "half of " RIOMMU ", strict+: 92 of an allocation"},
	[WORK_IOVA_TREE] = {"iova_tree", "one allocation from or free into the tree, without steps", 60,
			    RIOMMU ": 159 of a free"},
	[WORK_IOVA_TREE_STEP] = {"iova_tree_step", "one node visited by the kernel's walk, or look-up", 5,
				 "assumed: a node in the second-level cache"},
	[WORK_PTE_WRITE] = {"pte_write", "one page-table entry written or cleared", 4, "assumed"},
	[WORK_PT_PAGE] = {"pt_page", "one page-table page allocated or freed", 150, "assumed"},
	[WORK_CACHE_LINE] = {"cache_line", "one cache line fetched from another CPU", 70, SOSP13},
	[WORK_LOCK_HANDOVER] = {"lock_handover", "one lock handed to a CPU that waited for it", 70,
				"assumed: one cache line, as a queued spinlock does it"},
	[WORK_CACHE_SYNC] = {"cache_sync", "one cache line written back or dropped for a device", 10, "assumed"},
	[WORK_COPY] = {"copy", "one cache line copied to or from a bounce buffer, or zeroed there", 6,
		       "assumed: 10 GB/s"},
	[WORK_INVALIDATE_SUBMIT] = {"invalidate_submit", "one invalidation command queued", 20, "assumed"},
	[WORK_INVALIDATE_WORK] = {"invalidate_work", "one command carried out, one at a time", 230,
				  "what is left for command and wait of " RIOMMU ": 2127 of one invalidation"},
	[WORK_INVALIDATE_PAGE] = {"invalidate_page", "one page of a range that is invalidated by address", 0,
				  "assumed: nobody publishes it"},
	[WORK_INVALIDATE_WAIT] = {"invalidate_wait", "one look at the answer of the hardware, when it is there", 70,
				  "assumed: one cache line"},
	[WORK_MMIO_READ] = {"mmio_read", "one read of a register of an IOMMU", 800, PCIEBENCH},
	[WORK_MMIO_WRITE] = {"mmio_write", "one write to a register of an IOMMU", 120, "assumed: posted"},
	[WORK_DOORBELL] = {"doorbell", "one MMIO write", 120, "assumed: posted"},
	[WORK_INTERRUPT] = {"interrupt", "one interrupt taken", 900, "assumed"},
	[WORK_THREAD_WAKE] = {"thread_wake", "one interrupt thread woken and switched to", 1500, "assumed"},
	[WORK_HOST_EXIT] = {"host_exit", "one exit of a guest to its hypervisor, for a queue, and back", 5000,
			    "assumed: exit, wake-up of who serves the queue, and interrupt"},
	[WORK_HOST_MAP] = {"host_map", "one request to map or unmap, carried out by the host", 3000,
			   "assumed: a system call and the host's own IOMMU"},
	[WORK_HOST_PAGE] = {"host_page", "one page that the host pins, or lets go, for it", 250, "assumed"},
};
