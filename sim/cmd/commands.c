/* SPDX-License-Identifier: MIT */
#include "sim/cmd/cmd.h"

const struct command commands[] = {
	{"replay", "replay a recorded I/O trace through the machine", "TRACE", cmd_replay},
	{"diff", "compare two snapshots by meaning", "A.snap B.snap", cmd_diff},
	{"snapshot show", "print what a snapshot holds", "SNAP", cmd_snapshot_show},
	{"snapshot check", "check a snapshot: digest, order, facts that must fit together", "SNAP",
	 cmd_snapshot_check},
	{"iova stat", "the IOVA space of a snapshot: held, cached, free, fragmentation", "SNAP",
	 cmd_iova_stat},
	{"pagetable formats", "every page-table format: levels, page sizes, limits", "",
	 cmd_pagetable_formats},
	{"pagetable dump", "the page tables of a snapshot, entry by entry", "SNAP", cmd_pagetable_dump},
	{"pagetable walk", "how the IOMMU translates one address in a snapshot", "SNAP DEVICE IOVA",
	 cmd_pagetable_walk},
	{"trace info", "what a trace holds", "TRACE", cmd_trace_info},
	{"behaviours", "every switchable kernel behaviour and its value in each version", "", cmd_behaviours},
	{"conform", "compare the model with recordings of kernel code", "FILE|DIR...", cmd_conform},
	{"devtree leaks", "the device references that IOMMU drivers of a board leak, by kernel", "BOARD.dtb",
	 cmd_devtree_leaks},
	{"faults list", "every fault point and how often a replay passes it", "TRACE", cmd_faults_list},
	{NULL, NULL, NULL, NULL},
};
