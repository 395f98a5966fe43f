/* SPDX-License-Identifier: MIT */
#include "sim/machine/config.h"

#include <stddef.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/keyfile.h"
#include "sim/machine/board.h"
#include "sim/machine/machine.h"
#include "sim/machine/segments.h"

const char *const segment_layout_names[] = {"recorded", "scattered", "contiguous", "thp", "recorded-mix", NULL};
const char *const iommu_mode_names[] = {"strict", "lazy", "passthrough", NULL};

/* The IOMMUs that an NVMe controller on PCI is behind without a device tree. */
static const struct iommu_hw_ops *const config_hardware[] = {&intel_ops, &amd_ops, &smmuv3_ops,
							       &virtio_iommu_ops};
static const char *const config_hardware_names[] = {"intel", "amd", "arm-smmu-v3", "virtio-iommu", NULL};

/* enum iova_allocator. */
static const char *const config_allocators[] = {"rcache", "tree", NULL};

static const char *const config_flush_queues[] = {"per-cpu", "single", NULL};

/* enum controller_loss. */
static const char *const config_losses[] = {"command", "interrupt", "all", NULL};
/* enum service_model. */
static const char *const config_services[] = {"fixed", "exponential", "lognormal", "recorded", NULL};

/* enum recorded_iommu. */
static const char *const config_recorded_iommus[] = {"same", "none", NULL};
/* enum p2p_path. */
static const char *const config_p2p_paths[] = {"bus", "host-bridge", "unsupported", NULL};
static const char *const config_yes_no[] = {"no", "yes", NULL};
static const char *const config_versions[] = {"6.1", "6.6", "6.12", "6.17", "6.18", "6.19", "7.0", "7.0-later", "fixed", NULL};

enum config_kind {
	CONFIG_NUMBER,
	CONFIG_TIME,
	CONFIG_SIZE,
	CONFIG_CHOICE,
	CONFIG_RANGES,
	CONFIG_RANGE, /* of whole pages, at @offset; zeroes: none */
	CONFIG_SIZES, /* bitmap of powers of two; 0: any */
};

struct config_key {
	const char *group;
	const char *name;
	enum config_kind kind;
	size_t offset; /* of a uint64_t in struct machine_config */
	uint64_t low, high;
	const char *const *choices;
	uint64_t initial;
	const char *what; /* comment in the file that is written */
	bool power_of_two; /* or 0, where @low allows that */
	uint64_t multiple; /* of which it is one; 0: any */
	bool of_hardware;  /* the hardware knows the default: config_add_hardware() */
};

#define AT(member) offsetof(struct machine_config, member)

#define CONFIG_COST_TAKES "a number of ns from 0 to 4000000"

#define WALK_LEVEL(key, level, text)                                                                                   \
	{"iotlb", key, CONFIG_NUMBER, AT(walk_level_entries[level]), 0, 4096, .what = text, .of_hardware = true}

static const struct config_key config_keys[] = {
	{"kernel", "version", CONFIG_CHOICE, AT(version), .choices = config_versions, .initial = KERNEL_7_0,
	 .what = "which column of the behaviour table"},
	{"kernel", "hz", CONFIG_NUMBER, AT(hz), 100, 1000, .initial = 1000,
	 .what = "scheduler ticks a second: the flush queue's timer waits whole ticks"},
	{"machine", "cpus", CONFIG_NUMBER, AT(cpus), 0, SIM_CPUS_MAX, .what = "0: as many as the trace names"},
	{"machine", "seed", CONFIG_NUMBER, AT(seed), 0, UINT64_MAX, .initial = 1,
	 .what = "of all that is drawn in the run"},
	{"machine", "timeline", CONFIG_TIME, AT(timeline_ns), 1000, UINT64_MAX / 2, .initial = 10000000,
	 .what = "length of a row of timeline.csv"},
	{"machine", "swiotlb", CONFIG_SIZE, AT(swiotlb_bytes), 0, UINT64_C(1) << 30, .initial = 64 << 20,
	 .what = "bounce buffers, below 4 GiB; 0: none"},
	{"machine", "p2p", CONFIG_RANGE, AT(p2p),
	 .what = "memory of another device (peer to peer), FIRST-LAST in bytes"},
	{"machine", "p2p-path", CONFIG_CHOICE, AT(p2p_path), .choices = config_p2p_paths,
	 .what = "to that memory. bus: by its address on the bus, without the IOMMU; host-bridge: mapped as all memory is; unsupported: none"},
	{"machine", "p2p-bus", CONFIG_NUMBER, AT(p2p_bus), 0, UINT64_MAX,
	 .what = "where that memory begins on the bus; 0: at the address that the CPUs have for it", .multiple = FRAME_SIZE},
	{"iommu", "hardware", CONFIG_CHOICE, AT(hardware), .choices = config_hardware_names,
	 .what = "whose registers, commands and page tables"},
	{"iommu", "mode", CONFIG_CHOICE, AT(iommu_mode), .choices = iommu_mode_names, .initial = IOMMU_STRICT,
	 .what = "strict: each unmap is invalidated at once; lazy: unmaps wait in flush queues; passthrough: none"},
	{"iommu", "allocator", CONFIG_CHOICE, AT(allocator), .choices = config_allocators,
	 .what = "rcache: magazines in front of the tree; tree: none, as before Linux 4.7"},
	{"iommu", "flush-queue", CONFIG_CHOICE, AT(flush_queue), .choices = config_flush_queues,
	 .what = "lazy: a ring of 256 a CPU and 10 ms, or one of 32768 and 1 s"},
	{"iommu", "levels", CONFIG_NUMBER, AT(levels), 3, 5, .initial = 4,
	 .what = "intel: 3: 39 bits, 4: 48, 5: 57; the others have one width"},
	{"iommu", "caching-mode", CONFIG_CHOICE, AT(caching_mode), .choices = config_yes_no,
	 .what = "an emulated IOMMU: new mappings are invalidated as well"},
	{"iommu", "forcedac", CONFIG_CHOICE, AT(forcedac), .choices = config_yes_no,
	 .what = "do not try below 4 GiB first"},
	{"iommu", "untrusted", CONFIG_CHOICE, AT(untrusted), .choices = config_yes_no,
	 .what = "the controller is on an external port: the ends of its buffers are bounced"},
	{"iommu", "reserved", CONFIG_RANGES, 0, .what = "FIRST-LAST in bytes, several with blanks between"},
	{"iotlb", "entries", CONFIG_NUMBER, AT(iotlb_entries), 0, 1 << 20, .what = "power of two; 0: no IOTLB",
	 .power_of_two = true, .of_hardware = true},
	{"iotlb", "ways", CONFIG_NUMBER, AT(iotlb_ways), 1, 64, .what = "entries of a set, power of two",
	 .power_of_two = true, .of_hardware = true},
	{"iotlb", "replacement", CONFIG_CHOICE, AT(iotlb_replacement), .choices = iotlb_replacement_names,
	 .what = "which entry of a full set goes; plru: tree pseudo-LRU, random: by the seed", .of_hardware = true},
	{"iotlb", "page-sizes", CONFIG_SIZES, AT(page_sizes),
	 .what = "that entries can have; a larger page is held in pieces. any: those of the table",
	 .of_hardware = true},
	{"iotlb", "walk-entries", CONFIG_NUMBER, AT(walk_entries), 0, 4096,
	 .what = "paging-structure entries that levels without their own share; 0: none", .of_hardware = true},
	WALK_LEVEL("walk-entries-0", 0, "of their own for last-level tables; 0: they share"),
	WALK_LEVEL("walk-entries-1", 1, "the same for tables of the level above"),
	WALK_LEVEL("walk-entries-2", 2, "the same for the third level; the root is always known"),
	WALK_LEVEL("walk-entries-3", 3, "the same for the fourth level; the root is always known"),
	WALK_LEVEL("walk-entries-4", 4, "the same for the fifth level; the root is always known"),
	{"iotlb", "memory-ns", CONFIG_NUMBER, AT(memory_ns), 0, 1000000, .initial = 100,
	 .what = "one page-table entry read by a walk (assumed)"},
	{"iotlb", "walkers", CONFIG_NUMBER, AT(walkers), 1, CONFIG_WALKERS_MAX, .initial = 8,
	 .what = "walks at once, of all devices behind the IOMMU (assumed)"},
	{"iotlb", "ats", CONFIG_CHOICE, AT(ats), .choices = config_yes_no,
	 .what = "the device keeps translations itself and asks for what it lacks"},
	{"iotlb", "ats-entries", CONFIG_NUMBER, AT(ats_entries), 1, 1 << 20, .initial = 64,
	 .what = "of the device, power of two, replaced LRU (assumed)", .power_of_two = true},
	{"iotlb", "ats-ways", CONFIG_NUMBER, AT(ats_ways), 1, 64, .initial = 8,
	 .what = "entries of a set, power of two (assumed)", .power_of_two = true},
	{"iotlb", "ats-ns", CONFIG_NUMBER, AT(ats_ns), 0, 1000000, .initial = 500,
	 .what = "one request of the device over the link and back (assumed)"},
	{"nvme", "queues", CONFIG_NUMBER, AT(queues), 0, SIM_CPUS_MAX, .what = "0: one a CPU"},
	{"nvme", "poll-queues", CONFIG_NUMBER, AT(poll_queues), 0, SIM_CPUS_MAX - 1,
	 .what = "nvme.poll_queues: as many more, without interrupts, for all reads and writes"},
	{"nvme", "threaded-interrupts", CONFIG_CHOICE, AT(threaded_interrupts), .choices = config_yes_no,
	 .what = "nvme.use_threaded_interrupts: the interrupt only looks, a thread takes the completions"},
	{"nvme", "depth", CONFIG_NUMBER, AT(depth), 2, 4095, .initial = 1024, .what = "entries of a queue"},
	{"nvme", "sgl", CONFIG_CHOICE, AT(sgl), .choices = config_yes_no, .initial = 1,
	 .what = "the controller takes SGLs for data"},
	{"nvme", "sgl-threshold", CONFIG_SIZE, AT(sgl_threshold), 0, UINT32_MAX, .initial = 32768,
	 .what = "mean segment from which SGLs are used; 0: never"},
	{"nvme", "logical-block", CONFIG_SIZE, AT(logical_block_bytes), 512, 4096, .initial = 512,
	 .what = "bytes that a request is a multiple of", .power_of_two = true},
	{"nvme", "metadata", CONFIG_NUMBER, AT(meta_bytes), 0, 128,
	 .what = "bytes of integrity data a logical block, apart from it; 0: none"},
	{"nvme", "metadata-sgl", CONFIG_CHOICE, AT(meta_sgl), .choices = config_yes_no,
	 .what = "the controller takes SGLs for these as well"},
	{"nvme", "mdts", CONFIG_NUMBER, AT(mdts), 0, 16, .what = "most data of a command: 2^mdts pages; 0: no limit"},
	{"nvme", "shadow-doorbells", CONFIG_CHOICE, AT(shadow_doorbells), .choices = config_yes_no,
	 .what = "doorbells in memory, registers only when the controller asks for them"},
	{"nvme", "io-timeout", CONFIG_TIME, AT(io_timeout_ns), 1000000, UINT64_C(3600000000000), .initial = UINT64_C(30000000000),
	 .what = "nvme_core.io_timeout: how long a command may take"},
	{"nvme", "admin-timeout", CONFIG_TIME, AT(admin_timeout_ns), 1000000, UINT64_C(3600000000000),
	 .initial = UINT64_C(60000000000), .what = "nvme_core.admin_timeout: the same of the admin queue"},
	{"nvme", "abort-limit", CONFIG_NUMBER, AT(acl), 0, 255, .initial = 3,
	 .what = "ACL of the controller: one more is how many aborts are sent at once (assumed)"},
	{"nvme", "retry-delay", CONFIG_NUMBER, AT(crdt), 0, 65535,
	 .what = "CRDT of the controller, in 100 ms: before a failed command is tried again"},
	{"nvme", "reset-time", CONFIG_TIME, AT(reset_ns), 0, UINT64_C(600000000000), .initial = 500000000,
	 .what = "from disabling the controller to its next command (assumed)"},
	{"nvme", "fault-status", CONFIG_NUMBER, AT(fault_status), 1, 0x7ff, .initial = 1,
	 .what = "type and code that controller.status completes with"},
	{"nvme", "fault-dnr", CONFIG_CHOICE, AT(fault_dnr), .choices = config_yes_no, .initial = 1,
	 .what = "and whether it says: do not retry"},
	{"nvme", "lost-completion", CONFIG_CHOICE, AT(lost_completion), .choices = config_losses,
	 .what = "what controller.lost_completion loses: command (an abort gets it back), interrupt, or all (only a reset helps)"},
	{"nvme", "hmb-preferred", CONFIG_SIZE, AT(hmb_preferred), 0, 1 << 30,
	 .what = "HMPRE: host memory that the controller wants; 0: none"},
	{"nvme", "hmb-minimum", CONFIG_SIZE, AT(hmb_min), 0, 1 << 30, .what = "HMMIN: that it needs, or it takes none"},
	{"nvme", "hmb-chunk", CONFIG_SIZE, AT(hmb_desc_min), 0, 1 << 30, .what = "HMMINDS: smallest piece that it takes"},
	{"nvme", "hmb-chunks", CONFIG_NUMBER, AT(hmb_descs_max), 0, 65535, .what = "HMMAXD: most pieces; 0: any number"},
	{"nvme", "hmb-limit", CONFIG_SIZE, AT(hmb_limit), 0, 1 << 30, .initial = 128 << 20,
	 .what = "nvme.max_host_mem_size_mb, in bytes: what the driver gives at most"},
	{"nvme", "coherent", CONFIG_CHOICE, AT(coherent), .choices = config_yes_no, .initial = 1,
	 .what = "no: the CPU's caches are written back and dropped around each mapping"},
	{"nvme", "dma-bits", CONFIG_NUMBER, AT(dma_bits), 32, 64, .initial = 64, .what = "of an address that it drives"},
	{"nvme", "channels", CONFIG_NUMBER, AT(channels), 1, 65536, .initial = 64,
	 .what = "commands served at once (assumed)"},
	{"nvme", "read-latency", CONFIG_TIME, AT(read_ns), 0, 10000000000, .initial = 60000, .what = "(assumed)"},
	{"nvme", "write-latency", CONFIG_TIME, AT(write_ns), 0, 10000000000, .initial = 15000, .what = "(assumed)"},
	{"nvme", "service", CONFIG_CHOICE, AT(service), .choices = config_services,
	 .what = "a channel's time: fixed, exponential, lognormal (with these means), or recorded: what the trace says, less the way to the channel and back, without channels"},
	{"nvme", "service-spread", CONFIG_NUMBER, AT(service_spread), 0, 1000, .initial = 50,
	 .what = "lognormal: standard deviation in percent of the mean (assumed)"},
	{"nvme", "recorded-iommu", CONFIG_CHOICE, AT(recorded_iommu), .choices = config_recorded_iommus,
	 .what = "service = recorded: same: what this IOMMU costs is in the recorded times; none: it comes on top of them"},
	{"nvme", "fetch-latency", CONFIG_TIME, AT(fetch_ns), 0, 10000000, .initial = 250,
	 .what = "from the CPU's write to a doorbell until the controller asks for the command (assumed)"},
	{"nvme", "link-mb-s", CONFIG_NUMBER, AT(link_mb_s), 0, 1000000,
	 .what = "a plain link of 10^6 bytes of data a second instead of [pcie]: no packets, no way to memory; 0: [pcie]"},
	{"pcie", "generation", CONFIG_NUMBER, AT(pcie_generation), 1, 5, .initial = 4,
	 .what = "2.5, 5, 8, 16 or 32 GT/s a lane (an NVMe drive of today)"},
	{"pcie", "lanes", CONFIG_NUMBER, AT(pcie_lanes), 1, 16, .initial = 4,
	 .what = "of the link, power of two (an M.2 or U.2 drive has 4)", .power_of_two = true},
	{"pcie", "payload", CONFIG_SIZE, AT(pcie_payload), 128, 4096, .initial = 256,
	 .what = "Max_Payload_Size: most data of a packet (what root ports of servers usually take)", .power_of_two = true},
	{"pcie", "read-request", CONFIG_SIZE, AT(pcie_read_request), 128, 4096, .initial = 512,
	 .what = "Max_Read_Request_Size: most data asked for at once (512 is its reset value in the PCIe specification)",
	 .power_of_two = true},
	{"pcie", "read-completion", CONFIG_SIZE, AT(pcie_read_completion), 64, 4096, .initial = 64,
	 .what = "most data of one completion of a read, at most payload (64: the smallest Read Completion Boundary)",
	 .power_of_two = true},
	{"pcie", "tags", CONFIG_NUMBER, AT(pcie_tags), 1, 1024, .initial = 256,
	 .what = "reads on their way at once (8-bit tags; 10-bit ones allow 768)"},
	{"pcie", "latency", CONFIG_TIME, AT(pcie_latency_ns), 0, 1000000, .initial = 500,
	 .what = "of the device's read of memory, beyond the time on the wire; half of it for a write (assumed)"},
	{"pcie", "dllp-percent", CONFIG_NUMBER, AT(pcie_dllp_percent), 0, 50, .initial = 8,
	 .what = "of the raw rate for acknowledgements and flow control (8 to 10: Neugebauer et al., SIGCOMM 2018)"},
	{"segments", "layout", CONFIG_CHOICE, AT(layout), .choices = segment_layout_names, .initial = LAYOUT_RECORDED,
	 .what = "for requests whose recording has no segments: recorded means scattered, recorded-mix as recorded ones so far"},
	{"segments", "seed", CONFIG_NUMBER, AT(segment_seed), 0, UINT64_MAX, .initial = 1,
	 .what = "of the rule by which segments are made"},
	{"segments", "alignment", CONFIG_SIZE, AT(segment_alignment), 4, 2 << 20, .initial = FRAME_SIZE,
	 .what = "of the first byte where segments are made; below 4096, drawn within the page", .power_of_two = true},
	{"segments", "offset", CONFIG_SIZE, AT(segment_offset), 0, FRAME_SIZE - 4,
	 .what = "and how far behind such a place it lies", .multiple = 4},
};

static uint64_t *config_slot(struct machine_config *config, const struct config_key *key)
{
	return (uint64_t *)((char *)config + key->offset);
}

G_STATIC_ASSERT(G_N_ELEMENTS(config_keys) <= CONFIG_KEYS_MAX);
G_STATIC_ASSERT(CONFIG_WALK_LEVELS == 5); /* a row each */

const struct iommu_hw_ops *machine_config_hardware(const struct machine_config *config)
{
	if (config->board && config->board->hw)
		return config->board->hw;
	return config_hardware[config->hardware];
}

bool machine_config_p2p(const struct machine_config *config, struct dma_p2p_window *ret_window)
{
	static const enum dma_p2p kinds[] = {[P2P_PATH_BUS] = DMA_P2P_BUS_ADDR,
					     [P2P_PATH_HOST_BRIDGE] = DMA_P2P_HOST_BRIDGE,
					     [P2P_PATH_UNSUPPORTED] = DMA_P2P_UNSUPPORTED};

	*ret_window = (struct dma_p2p_window){.kind = DMA_P2P_NONE};
	if (!config->p2p.last)
		return false;
	*ret_window = (struct dma_p2p_window){
		.kind = kinds[config->p2p_path],
		.first = config->p2p.first,
		.last = config->p2p.last,
		.bus_offset = config->p2p_bus ? config->p2p_bus - config->p2p.first : 0};
	return true;
}

bool machine_config_translates(const struct machine_config *config)
{
	return config->iommu_mode != IOMMU_PASSTHROUGH && (!config->board || config->board->hw);
}

/** Gives the keys that nobody chose the values of the hardware. */
static void config_add_hardware(struct machine_config *config)
{
	const struct iotlb_config *tlb = &machine_config_hardware(config)->tlb;
	struct machine_config hardware = {.iotlb_entries = tlb->entries,
					  .iotlb_ways = tlb->ways,
					  .iotlb_replacement = tlb->replacement,
					  .page_sizes = tlb->page_sizes,
					  .walk_entries = tlb->walk_entries};

	for (unsigned level = 0; level < CONFIG_WALK_LEVELS; level++)
		hardware.walk_level_entries[level] = tlb->walk_level_entries[level];
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++)
		if (config_keys[i].of_hardware && !config->chosen[i])
			*config_slot(config, &config_keys[i]) = *config_slot(&hardware, &config_keys[i]);
}

bool machine_config_set_board(struct machine_config *config, const struct machine_board *board, GError **error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++)
		if (config_keys[i].offset == AT(hardware) && config->chosen[i])
			return sim_error_plain(error, "iommu.hardware: %s says which IOMMU there is",
					       board->tree->name) == 0;
	config->board = board;
	config_add_hardware(config);
	return true;
}

enum segment_layout machine_config_made_layout(const struct machine_config *config)
{
	if (config->layout == LAYOUT_RECORDED || config->layout == LAYOUT_RECORDED_MIX)
		return LAYOUT_SCATTERED;
	return (enum segment_layout)config->layout;
}

void machine_config_tlb(const struct machine_config *config, struct iotlb_config *ret_tlb)
{
	*ret_tlb = (struct iotlb_config){.entries = (uint32_t)config->iotlb_entries,
					 .ways = (uint32_t)config->iotlb_ways,
					 .replacement = (enum iotlb_replacement)config->iotlb_replacement,
					 .page_sizes = config->page_sizes,
					 .walk_entries = (uint32_t)config->walk_entries};
	for (unsigned level = 0; level < CONFIG_WALK_LEVELS; level++)
		ret_tlb->walk_level_entries[level] = (uint32_t)config->walk_level_entries[level];
}

void machine_config_init(struct machine_config *config)
{
	memset(config, 0, sizeof(*config));
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++)
		if (config_keys[i].kind != CONFIG_RANGES)
			*config_slot(config, &config_keys[i]) = config_keys[i].initial;
	/* The window of message-signalled interrupts, which no mapping may cover on x86. */
	config->reserved[config->reserved_count++] = (struct config_range){0xfee00000, 0xfeefffff};
	for (unsigned kind = 0; kind < WORK_KINDS; kind++)
		config->cost_ns[kind] = work_kinds[kind].default_ns;
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		config->behaviour[row] = -1;
	config_add_hardware(config);
}

unsigned machine_config_behaviour(const struct machine_config *config, enum behaviour row)
{
	return config->behaviour[row] >= 0 ? (unsigned)config->behaviour[row]
					   : behaviour_rows[row].value_in[config->version];
}

/* ---- setting ---- */

/** Parses "FIRST-LAST", which is changed. */
static bool config_parse_range(char *word, struct config_range *ret_range)
{
	char *dash = strchr(word, '-');

	if (!dash)
		return false;
	*dash = '\0';
	return text_parse_u64(word, &ret_range->first) && text_parse_u64(dash + 1, &ret_range->last) &&
	       ret_range->first <= ret_range->last;
}

/** Parses "none" or "FIRST-LAST", whole pages below the frames of the simulation. */
static bool config_set_range(const char *value, struct config_range *ret_range)
{
	g_autofree char *word = g_strdup(value);
	struct config_range range;

	if (strcmp(value, "none") == 0) {
		*ret_range = (struct config_range){0};
		return true;
	}
	if (!config_parse_range(word, &range) || !range.first || range.last >= PHYSMEM_BASE ||
	    range.first % FRAME_SIZE || (range.last + 1) % FRAME_SIZE)
		return false;
	*ret_range = range;
	return true;
}

/** Parses "FIRST-LAST FIRST-LAST …"; an empty value reserves nothing. */
static bool config_set_ranges(struct machine_config *config, const char *value)
{
	g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
	struct config_range ranges[CONFIG_RESERVED_MAX];
	unsigned count = 0;

	for (char **word = words; *word; word++) {
		if (!**word)
			continue;
		if (count == CONFIG_RESERVED_MAX || !config_parse_range(*word, &ranges[count]))
			return false;
		count++;
	}
	memcpy(config->reserved, ranges, sizeof(ranges[0]) * count);
	config->reserved_count = count;
	return true;
}

/** Parses "any" or "SIZE SIZE …", powers of two from a page on. */
static bool config_set_sizes(const char *value, uint64_t *slot)
{
	g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
	uint64_t sizes = 0, size;

	if (strcmp(value, "any") == 0) {
		*slot = 0;
		return true;
	}
	for (char **word = words; *word; word++) {
		if (!**word)
			continue;
		if (!text_parse_size(*word, &size) || size < FRAME_SIZE || (size & (size - 1)) != 0)
			return false;
		sizes |= size;
	}
	if (sizes)
		*slot = sizes;
	return sizes != 0;
}

static bool config_set_choice(const char *const *choices, const char *value, uint64_t *slot)
{
	for (unsigned i = 0; choices[i]; i++)
		if (strcmp(choices[i], value) == 0) {
			*slot = i;
			return true;
		}
	return false;
}

/** Sets @key. Returns false when @value will not do. */
static bool config_set_key(struct machine_config *config, const struct config_key *key, const char *value)
{
	uint64_t number;
	bool ok;

	switch (key->kind) {
	case CONFIG_CHOICE:
		return config_set_choice(key->choices, value, config_slot(config, key));
	case CONFIG_RANGES:
		return config_set_ranges(config, value);
	case CONFIG_RANGE:
		return config_set_range(value, (struct config_range *)config_slot(config, key));
	case CONFIG_SIZES:
		return config_set_sizes(value, config_slot(config, key));
	case CONFIG_TIME:
		ok = text_parse_time(value, &number);
		break;
	case CONFIG_SIZE:
		ok = text_parse_size(value, &number);
		break;
	default:
		ok = text_parse_u64(value, &number);
		break;
	}
	if (!ok || number < key->low || number > key->high)
		return false;
	if (key->power_of_two && (number & (number - 1)) != 0)
		return false;
	if (key->multiple && number % key->multiple)
		return false;
	*config_slot(config, key) = number;
	return true;
}

/** Returns what a value of @key must be, in words; free with g_free(). */
static char *config_wanted(const struct config_key *key)
{
	static const char *const nouns[] = {[CONFIG_NUMBER] = "a number",
					    [CONFIG_TIME] = "a time in ns, or with a unit such as 5us,",
					    [CONFIG_SIZE] = "a size in bytes, or with a unit such as 4k,"};
	g_autofree char *choices = NULL, *multiple = NULL;

	switch (key->kind) {
	case CONFIG_CHOICE:
		choices = g_strjoinv(", ", (char **)key->choices);
		return g_strdup_printf("one of %s", choices);
	case CONFIG_RANGES:
		return g_strdup_printf("at most %d ranges FIRST-LAST with blanks between", CONFIG_RESERVED_MAX);
	case CONFIG_RANGE:
		return g_strdup_printf("none, or FIRST-LAST, whole pages of %u from 0x%x to 0x%" G_GINT64_MODIFIER "x",
				       FRAME_SIZE, FRAME_SIZE, PHYSMEM_BASE - 1);
	case CONFIG_SIZES:
		return g_strdup_printf("any, or sizes with blanks between, powers of two from %u", FRAME_SIZE);
	default:
		if (key->multiple)
			multiple = g_strdup_printf(", a multiple of %" G_GUINT64_FORMAT, key->multiple);
		return g_strdup_printf("%s from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "%s%s", nouns[key->kind],
				       key->low, key->high, key->power_of_two ? ", a power of two" : "",
				       multiple ? multiple : "");
	}
}

/** The key of [cost] for @kind: free with g_free(). */
static char *config_cost_key(unsigned kind)
{
	char *name = g_strdup_printf("%s-ns", work_kinds[kind].name);

	return g_strdelimit(name, "_", '-');
}

/** Sets a key of [cost]. Returns 1, 0 when there is no such key, -1 with *@ret_wanted when the value will not do. */
static int config_set_cost(struct machine_config *config, const char *key, const char *value, char **ret_wanted)
{
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		g_autofree char *name = config_cost_key(kind);
		uint64_t number;

		if (strcmp(name, key) != 0)
			continue;
		if (text_parse_u64(value, &number) && number <= 4000000) {
			config->cost_ns[kind] = number;
			return 1;
		}
		*ret_wanted = g_strdup(CONFIG_COST_TAKES);
		return -1;
	}
	return 0;
}

static int config_set_behaviour(struct machine_config *config, const char *key, const char *value, char **ret_wanted)
{
	int row = behaviour_find(key), number;

	if (row < 0)
		return 0;
	number = behaviour_find_value((enum behaviour)row, value);
	if (number >= 0) {
		config->behaviour[row] = number;
		return 1;
	}
	g_autofree char *choices = g_strjoinv(", ", (char **)behaviour_rows[row].values);

	*ret_wanted = g_strdup_printf("one of %s", choices);
	return -1;
}

static bool config_group_known(const char *group)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++)
		if (strcmp(config_keys[i].group, group) == 0)
			return true;
	return strcmp(group, "cost") == 0 || strcmp(group, "behaviour") == 0;
}

/** Returns what to say of a group that there is not; free with g_free(). */
static char *config_unknown_group(const char *group)
{
	if (g_str_has_prefix(group, "fault"))
		return g_strdup_printf("unknown group [%s]: a faults file goes with -f", group);
	return g_strdup_printf("unknown group [%s]; see \"iommusim machine show\"", group);
}

static void config_add_key(void *data, const struct machine_config_key *key)
{
	g_ptr_array_add((GPtrArray *)data, g_strdup(key->name));
}

/** The same of a key. */
static char *config_unknown_key(const char *group, const char *key)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *asked = g_strdup_printf("%s.%s", group, key);
	struct machine_config plain;
	const char *meant;

	machine_config_init(&plain);
	machine_config_keys(&plain, config_add_key, names);
	g_ptr_array_add(names, NULL);
	meant = text_nearest(asked, (const char *const *)names->pdata);
	return meant ? g_strdup_printf("unknown key \"%s\" in [%s]: did you mean %s?", key, group, meant)
		     : g_strdup_printf("unknown key \"%s\" in [%s]; see \"iommusim machine show\"", key, group);
}

/** Sets GROUP.KEY. Returns NULL, or what is wrong; free with g_free(). */
static char *config_assign(struct machine_config *config, const char *group, const char *key, const char *value)
{
	g_autofree char *wanted = NULL;
	int done = 0;

	if (!config_group_known(group))
		return config_unknown_group(group);
	if (strcmp(group, "cost") == 0)
		done = config_set_cost(config, key, value, &wanted);
	else if (strcmp(group, "behaviour") == 0)
		done = config_set_behaviour(config, key, value, &wanted);
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys) && !done; i++) {
		if (strcmp(config_keys[i].group, group) != 0 || strcmp(config_keys[i].name, key) != 0)
			continue;
		done = config_set_key(config, &config_keys[i], value) ? 1 : -1;
		if (done < 0)
			wanted = config_wanted(&config_keys[i]);
		else
			config->chosen[i] = true;
	}
	config_add_hardware(config);
	if (done == 0)
		return config_unknown_key(group, key);
	return done > 0 ? NULL : g_strdup_printf("%s = %s: must be %s", key, value, wanted);
}

bool machine_config_load(struct machine_config *config, const char *path, GError **error)
{
	struct keyfile *file = keyfile_load(path, error);
	bool ok = false;
	g_auto(GStrv) groups = NULL;

	if (!file)
		return false;
	groups = keyfile_groups(file);
	for (char **group = groups; *group; group++) {
		g_auto(GStrv) keys = keyfile_keys(file, *group);

		if (!config_group_known(*group)) {
			g_autofree char *wrong = config_unknown_group(*group);

			sim_error_line(error, keyfile_name(file), keyfile_line(file, *group, NULL), "%s", wrong);
			goto out;
		}
		for (char **key = keys; *key; key++) {
			g_autofree char *wrong = config_assign(config, *group, *key, keyfile_get(file, *group, *key));

			if (wrong) {
				sim_error_line(error, keyfile_name(file), keyfile_line(file, *group, *key), "%s",
					       wrong);
				goto out;
			}
		}
	}
	ok = true;
out:
	keyfile_free(file);
	return ok;
}

bool machine_config_set(struct machine_config *config, const char *assignment, GError **error)
{
	const char *dot = strchr(assignment, '.'), *equals = dot ? strchr(dot, '=') : NULL;
	g_autofree char *group = NULL, *key = NULL, *value = NULL, *wrong = NULL;

	if (!equals) {
		sim_error_plain(error, "--set %s: must be GROUP.KEY=VALUE, such as iommu.mode=lazy", assignment);
		return false;
	}
	group = g_strndup(assignment, (gsize)(dot - assignment));
	key = g_strstrip(g_strndup(dot + 1, (gsize)(equals - dot - 1)));
	value = g_strstrip(g_strdup(equals + 1));
	wrong = config_assign(config, group, key, value);
	if (wrong)
		sim_error_plain(error, "--set %s: %s", assignment, wrong);
	return wrong == NULL;
}

/** Whether the machine maps one IOVA a request, and lacks a behaviour of that: the version has none and nobody chose one. */
static bool config_mapper_lacks(const struct machine_config *config, enum behaviour *ret_row)
{
	static const enum behaviour rows[] = {BLKDMA_ROLLBACK,	     BOUNCE_LINK,    ROLLBACK_IOVA_FREE, METADATA_GAP,
					      DESCRIPTOR_POOL_UNMAP, PRP_POOL_UNMAP, P2P_VEC_FREE};

	if (machine_config_behaviour(config, BLKDMA_MAPPER) != BLKDMA_MAPPER_IOVA)
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
		if (machine_config_behaviour(config, rows[i]) == BEHAVIOUR_NONE) {
			*ret_row = rows[i];
			return true;
		}
	return false;
}

/** Whether the memory of another device lies apart from what else is in the machine, and on the bus. */
static bool config_check_p2p(const struct machine_config *config, GError **error)
{
	const struct config_range *p2p = &config->p2p;
	const struct machine_board *board = config->board;
	const struct {
		uint64_t first, bytes;
		const char *what;
	} others[] = {{SEGMENTS_BASE, (uint64_t)SEGMENTS_PAGES << FRAME_LG2, "made segments"},
		      {MACHINE_SWIOTLB_BASE, config->swiotlb_bytes, "bounce buffers"},
		      {board ? board->memory_base : 0, board ? board->memory_bytes : 0, "the board's memory"}};

	if (!p2p->last)
		return true;
	for (unsigned i = 0; i < G_N_ELEMENTS(others); i++)
		if (p2p->first < others[i].first + others[i].bytes && p2p->last >= others[i].first &&
		    others[i].bytes)
			return sim_error_plain(error,
					       "machine.p2p = 0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER
					       "x: 0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x is for %s",
					       p2p->first, p2p->last, others[i].first,
					       others[i].first + others[i].bytes - 1, others[i].what) == 0;
	if (config->p2p_bus > UINT64_MAX - (p2p->last - p2p->first))
		return sim_error_plain(error,
				       "machine.p2p-bus = %" G_GUINT64_FORMAT
				       ": machine.p2p would end beyond 64 bits",
				       config->p2p_bus) == 0;
	return true;
}

bool machine_config_check(const struct machine_config *config, GError **error)
{
	enum behaviour lacking;

	if (config_mapper_lacks(config, &lacking))
		return sim_error_plain(error,
				       "behaviour.blkdma-mapper = iova: kernel.version = %s has no %s, so behaviour.%s must be "
				       "chosen, too",
				       kernel_version_names[config->version], behaviour_rows[lacking].name,
				       behaviour_rows[lacking].name) == 0;
	if (config->untrusted && config->iommu_mode != IOMMU_STRICT)
		return sim_error_plain(error,
				       "iommu.untrusted = yes: must be with iommu.mode = strict, which is what the kernel "
				       "gives such a device") == 0;
	if (config->iotlb_entries && config->iotlb_ways > config->iotlb_entries)
		return sim_error_plain(error,
				       "iotlb.ways = %" G_GUINT64_FORMAT ": must be at most iotlb.entries, %" G_GUINT64_FORMAT,
				       config->iotlb_ways, config->iotlb_entries) == 0;
	if (config->pcie_read_completion > config->pcie_payload)
		return sim_error_plain(error,
				       "pcie.read-completion = %" G_GUINT64_FORMAT
				       ": must be at most pcie.payload, %" G_GUINT64_FORMAT,
				       config->pcie_read_completion, config->pcie_payload) == 0;
	if (config->segment_offset >= config->segment_alignment)
		return sim_error_plain(error,
				       "segments.offset = %" G_GUINT64_FORMAT
				       ": must be below segments.alignment, %" G_GUINT64_FORMAT,
				       config->segment_offset, config->segment_alignment) == 0;
	if (config->ats && !machine_config_hardware(config)->device_tlb)
		return sim_error_plain(error,
				       "iotlb.ats = yes: with iommu.hardware = %s nobody would invalidate the device's "
				       "cache, which is not modelled",
				       machine_config_hardware(config)->name) == 0;
	if (config->ats && config->ats_ways > config->ats_entries)
		return sim_error_plain(error,
				       "iotlb.ats-ways = %" G_GUINT64_FORMAT
				       ": must be at most iotlb.ats-entries, %" G_GUINT64_FORMAT,
				       config->ats_ways, config->ats_entries) == 0;
	return config_check_p2p(config, error);
}

/* ---- writing ---- */

static void config_append_sizes(GString *text, uint64_t sizes)
{
	if (!sizes)
		g_string_append(text, "any");
	for (const char *blank = ""; sizes; sizes &= sizes - 1, blank = " ")
		g_string_append_printf(text, "%s%" G_GUINT64_FORMAT, blank, sizes & -sizes);
}

static void config_append_range(GString *text, const struct config_range *range)
{
	g_string_append_printf(text, "0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x", range->first, range->last);
}

static void config_append_value(GString *text, const struct machine_config *config, const struct config_key *key)
{
	uint64_t value = *config_slot((struct machine_config *)config, key);
	const struct config_range *range;

	switch (key->kind) {
	case CONFIG_CHOICE:
		g_string_append(text, key->choices[value]);
		break;
	case CONFIG_RANGES:
		for (unsigned i = 0; i < config->reserved_count; i++) {
			g_string_append(text, i ? " " : "");
			config_append_range(text, &config->reserved[i]);
		}
		break;
	case CONFIG_RANGE:
		range = (const struct config_range *)config_slot((struct machine_config *)config, key);
		if (range->last)
			config_append_range(text, range);
		else
			g_string_append(text, "none");
		break;
	case CONFIG_SIZES:
		config_append_sizes(text, value);
		break;
	case CONFIG_TIME:
		g_string_append_printf(text, "%" G_GUINT64_FORMAT "ns", value);
		break;
	default:
		g_string_append_printf(text, "%" G_GUINT64_FORMAT, value);
		break;
	}
}

static void config_add_change(GPtrArray *changes, const char *group, const char *key, const char *value)
{
	g_ptr_array_add(changes, g_strdup_printf("%s.%s", group, key));
	g_ptr_array_add(changes, g_strdup(value));
}

char **machine_config_changes(const struct machine_config *config)
{
	GPtrArray *changes = g_ptr_array_new();
	struct machine_config plain;

	machine_config_init(&plain);
	plain.hardware = config->hardware; /* whose values are no change of somebody's */
	plain.board = config->board;
	config_add_hardware(&plain);
	plain.hardware = 0;
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++) {
		g_autoptr(GString) value = g_string_new(NULL), initial = g_string_new(NULL);

		config_append_value(value, config, &config_keys[i]);
		config_append_value(initial, &plain, &config_keys[i]);
		if (strcmp(value->str, initial->str) != 0)
			config_add_change(changes, config_keys[i].group, config_keys[i].name, value->str);
	}
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		g_autofree char *key = config_cost_key(kind);
		g_autofree char *value = g_strdup_printf("%" G_GUINT64_FORMAT, config->cost_ns[kind]);

		if (config->cost_ns[kind] != plain.cost_ns[kind])
			config_add_change(changes, "cost", key, value);
	}
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		if (machine_config_behaviour(config, (enum behaviour)row) !=
		    behaviour_rows[row].value_in[config->version])
			config_add_change(changes, "behaviour", behaviour_rows[row].name,
					  behaviour_rows[row].values[config->behaviour[row]]);
	g_ptr_array_add(changes, NULL);
	return (char **)g_ptr_array_free(changes, FALSE);
}

/* ---- telling ---- */

static void config_show(void (*show)(void *data, const struct machine_config_key *key), void *data, const char *group,
			const char *name, struct machine_config_key key)
{
	g_autofree char *full = g_strdup_printf("%s.%s", group, name);

	key.name = full;
	show(data, &key);
}

static const char *config_behaviour_value(const struct machine_config *config, enum behaviour row)
{
	unsigned value = machine_config_behaviour(config, row);

	return value == BEHAVIOUR_NONE ? "-" : behaviour_rows[row].values[value];
}

void machine_config_keys(const struct machine_config *config,
			 void (*show)(void *data, const struct machine_config_key *key), void *data)
{
	struct machine_config plain;

	machine_config_init(&plain);
	plain.hardware = config->hardware; /* whose values are nobody's choice */
	plain.board = config->board;
	config_add_hardware(&plain);
	plain.hardware = 0;
	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++) {
		const struct config_key *key = &config_keys[i];
		g_autoptr(GString) value = g_string_new(NULL), initial = g_string_new(NULL);
		g_autofree char *takes = config_wanted(key);

		config_append_value(value, config, key);
		config_append_value(initial, &plain, key);
		config_show(show, data, key->group, key->name,
			    (struct machine_config_key){.value = value->str, .initial = initial->str, .takes = takes, .what = key->what});
	}
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		g_autofree char *name = config_cost_key(kind);
		g_autofree char *value = g_strdup_printf("%" G_GUINT64_FORMAT, config->cost_ns[kind]);
		g_autofree char *initial = g_strdup_printf("%" G_GUINT64_FORMAT, plain.cost_ns[kind]);

		config_show(show, data, "cost", name,
			    (struct machine_config_key){.value = value, .initial = initial, .takes = CONFIG_COST_TAKES, .what = work_kinds[kind].what});
	}
	plain.version = config->version; /* the same of the behaviours */
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		g_autofree char *choices = g_strjoinv(", ", (char **)behaviour_rows[row].values);
		g_autofree char *takes = g_strdup_printf("one of %s", choices);

		config_show(show, data, "behaviour", behaviour_rows[row].name,
			    (struct machine_config_key){.value = config_behaviour_value(config, (enum behaviour)row),
							.initial = config_behaviour_value(&plain, (enum behaviour)row),
							.takes = takes,
							.what = behaviour_rows[row].what});
	}
}

/* ---- writing a file ---- */

char *machine_config_text(const struct machine_config *config)
{
	GString *text = g_string_new(NULL);
	const char *group = "";

	for (unsigned i = 0; i < G_N_ELEMENTS(config_keys); i++) {
		const struct config_key *key = &config_keys[i];

		if (strcmp(key->group, group) != 0)
			g_string_append_printf(text, "%s[%s]\n", i ? "\n" : "", key->group);
		group = key->group;
		/* Which one there is the board says, where the file is read again. */
		if (config->board && key->offset == AT(hardware)) {
			g_string_append_printf(text, "# %s: of the board, --dtb\n", key->name);
			continue;
		}
		if (key->what && key->of_hardware)
			g_string_append_printf(text, "# %s (default: %s)\n", key->what,
					       machine_config_hardware(config)->tlb_source);
		else if (key->what)
			g_string_append_printf(text, "# %s\n", key->what);
		g_string_append_printf(text, "%s = ", key->name);
		config_append_value(text, config, key);
		g_string_append_c(text, '\n');
	}
	g_string_append(text, "\n[cost]\n");
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		g_autofree char *name = config_cost_key(kind);

		g_string_append_printf(text, "# %s (default: %s)\n%s = %" G_GUINT64_FORMAT "\n", work_kinds[kind].what,
				       work_kinds[kind].source, name, config->cost_ns[kind]);
	}
	g_string_append(text, "\n[behaviour]\n");
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		unsigned value = machine_config_behaviour(config, (enum behaviour)row);

		if (value != BEHAVIOUR_NONE)
			g_string_append_printf(text, "# %s\n%s = %s\n", behaviour_rows[row].what,
					       behaviour_rows[row].name, behaviour_rows[row].values[value]);
	}
	return g_string_free(text, FALSE);
}
