/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_CONFIG_H
#define SIM_MACHINE_CONFIG_H

/*
 * The machine file: everything about the simulated machine that a user can choose.
 *
 * A key file with the groups [kernel] [machine] [iommu] [iotlb] [nvme] [pcie] [segments] [cost] [behaviour]. Unknown groups
 * and keys are refused. Defaults are Linux 7.0 on one Intel VT-d IOMMU and one NVMe controller. A new key is one row of
 * the table in config.c.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "iommu/dma/dma.h"
#include "iommu/iommu.h"
#include "sim/behaviour/behaviour.h"
#include "sim/core/work.h"

enum iommu_mode {
	IOMMU_STRICT,
	IOMMU_LAZY,
	IOMMU_PASSTHROUGH,
};

enum iova_allocator {
	ALLOCATOR_RCACHE,
	ALLOCATOR_TREE,
};

enum flush_queue_kind {
	FLUSH_QUEUE_PER_CPU,
	FLUSH_QUEUE_SINGLE,
};

enum segment_layout {
	LAYOUT_RECORDED,
	LAYOUT_SCATTERED,
	LAYOUT_CONTIGUOUS,
	LAYOUT_THP,
	LAYOUT_RECORDED_MIX,
};

/** nvme.recorded-iommu */
enum recorded_iommu {
	RECORDED_IOMMU_SAME,
	RECORDED_IOMMU_NONE,
};

enum service_model {
	SERVICE_FIXED,
	SERVICE_EXPONENTIAL,
	SERVICE_LOGNORMAL,
	SERVICE_RECORDED,
};

#define CONFIG_RESERVED_MAX 64
#define CONFIG_WALK_LEVELS  (PGTABLE_LEVELS_MAX - 1) /* all but the root's */
#define CONFIG_WALKERS_MAX  64
#define CONFIG_KEYS_MAX	    128

/* How the controller reaches the memory of another device. */
enum p2p_path {
	P2P_PATH_BUS,
	P2P_PATH_HOST_BRIDGE,
	P2P_PATH_UNSUPPORTED,
};

struct config_range {
	uint64_t first, last; /* bytes, last inclusive */
};

struct machine_board;

struct machine_config {
	uint64_t version; /* enum kernel_version */
	uint64_t hz;	  /* scheduler ticks a second */
	uint64_t cpus;	  /* 0: as many as the trace names */
	uint64_t seed;
	uint64_t timeline_ns; /* length of a row of timeline.csv */
	uint64_t swiotlb_bytes; /* bounce buffers */
	struct config_range p2p; /* another device's memory, whole pages; zeroes: none */
	uint64_t p2p_path;	 /* enum p2p_path */
	uint64_t p2p_bus;	 /* where it begins on the bus; 0: where it does in memory */

	uint64_t hardware;   /* number of the IOMMU among those of the key; see machine_config_hardware() */
	uint64_t iommu_mode; /* enum iommu_mode */
	uint64_t levels;
	uint64_t caching_mode, forcedac, untrusted;
	uint64_t allocator;   /* enum iova_allocator */
	uint64_t flush_queue; /* enum flush_queue_kind */
	struct config_range reserved[CONFIG_RESERVED_MAX];
	unsigned reserved_count;

	/* As in struct iotlb_config; where no key says else, as the hardware has it. */
	uint64_t iotlb_entries, iotlb_ways, iotlb_replacement, page_sizes;
	uint64_t walk_entries, walk_level_entries[CONFIG_WALK_LEVELS];
	uint64_t memory_ns, walkers;
	uint64_t ats, ats_entries, ats_ways, ats_ns;

	uint64_t queues; /* 0: one a CPU */
	uint64_t coherent, dma_bits;
	uint64_t depth, sgl, sgl_threshold, logical_block_bytes;
	uint64_t poll_queues, threaded_interrupts;
	uint64_t mdts, shadow_doorbells, meta_bytes, meta_sgl;
	uint64_t acl, crdt, io_timeout_ns, admin_timeout_ns, reset_ns;
	uint64_t hmb_preferred, hmb_min, hmb_desc_min, hmb_descs_max, hmb_limit;
	uint64_t fault_status, fault_dnr, lost_completion; /* struct controller_faults */
	uint64_t channels, read_ns, write_ns, link_mb_s, fetch_ns;
	uint64_t service, service_spread; /* enum service_model; percent */
	uint64_t recorded_iommu; /* enum recorded_iommu */

	uint64_t pcie_generation, pcie_lanes, pcie_payload, pcie_read_request, pcie_read_completion, pcie_tags;
	uint64_t pcie_latency_ns, pcie_dllp_percent;

	uint64_t layout; /* enum segment_layout */
	uint64_t segment_seed;
	uint64_t segment_alignment, segment_offset; /* of the first byte */

	uint64_t cost_ns[WORK_KINDS];
	int behaviour[BEHAVIOURS]; /* -1: as the version has it */

	const struct machine_board *board; /* borrowed; NULL: the IOMMU is @hardware. See machine_config_set_board() */
	bool chosen[CONFIG_KEYS_MAX]; /* by key: somebody set it, so the hardware does not */
};

void machine_config_init(struct machine_config *config);

/** Reads the machine file @path over *@config. On error *@error names FILE:LINE. */
bool machine_config_load(struct machine_config *config, const char *path, GError **error);

/** Applies one --set: "GROUP.KEY=VALUE". */
bool machine_config_set(struct machine_config *config, const char *assignment, GError **error);

/** Returns what no single key can tell: impossible combinations. */
bool machine_config_check(const struct machine_config *config, GError **error);

/** Returns the IOMMU that the machine has. */
const struct iommu_hw_ops *machine_config_hardware(const struct machine_config *config);

/** Makes it the machine of @board, which is borrowed: its IOMMU is the one, and says what nobody chose of [iotlb]. Returns
 *  false, with *@error, where the file asks for another IOMMU. */
bool machine_config_set_board(struct machine_config *config, const struct machine_board *board, GError **error);

/** Returns whether the machine has memory of another device, and fills *@ret_window with how the controller reaches it. */
bool machine_config_p2p(const struct machine_config *config, struct dma_p2p_window *ret_window);

/** Whether something translates the controller's accesses. */
bool machine_config_translates(const struct machine_config *config);

/** Fills *@ret_tlb for iommu_new(). */
void machine_config_tlb(const struct machine_config *config, struct iotlb_config *ret_tlb);

/** Returns the whole configuration as a machine file; free with g_free(). */
char *machine_config_text(const struct machine_config *config);

/** Returns what differs from the defaults: pairs of "GROUP.KEY" and value, NULL-ended; free with g_strfreev(). */
char **machine_config_changes(const struct machine_config *config);

/** One key of the machine file, for people; the strings are borrowed. */
struct machine_config_key {
	const char *name;    /* "iommu.mode" */
	const char *value;   /* as the file has it; "-": the version has no such code */
	const char *initial; /* the same of a machine of which nothing was chosen but its IOMMU and version */
	const char *takes;   /* "one of strict, lazy, passthrough" */
	const char *what;    /* may be NULL */
};

/** Calls @show with each key of the machine file in order, and its value in @config. */
void machine_config_keys(const struct machine_config *config,
			 void (*show)(void *data, const struct machine_config_key *key), void *data);

/** Returns the value that behaviour @row has, BEHAVIOUR_NONE where the version lacks the code and nobody chose one. */
unsigned machine_config_behaviour(const struct machine_config *config, enum behaviour row);

/** Returns the rule for requests whose recording has no segments; of recorded-mix, what it falls back to. */
enum segment_layout machine_config_made_layout(const struct machine_config *config);

extern const char *const segment_layout_names[];
extern const char *const iommu_mode_names[];

#endif
