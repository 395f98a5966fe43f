/* SPDX-License-Identifier: MIT */
/*
 * What a machine file can say of a host: each key with where it was read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sim/core/text.h"
#include "sim/host/topology.h"

/* VT-d specification, 11.4.2, Capability Register. */
#define VTD_CAP_CACHING_MODE 7
#define VTD_CAP_WIDTHS	     8 /* bit 1: 3 levels, 2: 4, 3: 5 */

static void key_free(gpointer data)
{
	struct topology_key *key = data;

	g_free(key->group);
	g_free(key->key);
	g_free(key->value);
	g_free(key->source);
	g_free(key);
}

/** Adds a key; takes @value and @source. */
static void add(GPtrArray *keys, const char *group, const char *key, char *value, char *source)
{
	struct topology_key *added = g_new(struct topology_key, 1);

	*added = (struct topology_key){g_strdup(group), g_strdup(key), value, source};
	g_ptr_array_add(keys, added);
}

static char *number(uint64_t value)
{
	return g_strdup_printf("%" G_GUINT64_FORMAT, value);
}

/** Returns what the file @path, below @root, says, without white space around it; NULL if it cannot be read. */
static char *read_text(const char *root, const char *path)
{
	g_autofree char *full = g_build_filename(root, path, NULL);
	char *text;

	return g_file_get_contents(full, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

static bool read_number(const char *root, const char *path, uint64_t *ret_value)
{
	g_autofree char *text = read_text(root, path);

	return text && text_parse_u64(text, ret_value);
}

/** Returns the first name, in order, in the directory @path below @root that begins with @prefix. */
static char *first_entry(const char *root, const char *path, const char *prefix)
{
	g_autofree char *full = g_build_filename(root, path, NULL);
	GDir *dir = g_dir_open(full, 0, NULL);
	char *first = NULL;
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		if (!g_str_has_prefix(name, prefix) || (first && strcmp(name, first) >= 0))
			continue;
		g_free(first);
		first = g_strdup(name);
	}
	if (dir)
		g_dir_close(dir);
	return first;
}

/* ---- the host ---- */

static void add_host(GPtrArray *keys)
{
	struct utsname names;
	unsigned major, minor;

	if (uname(&names) == 0 && sscanf(names.release, "%u.%u", &major, &minor) == 2)
		add(keys, "kernel", "version", g_strdup_printf("%u.%u", major, minor),
		    g_strdup_printf("Linux %s", names.release));
	add(keys, "machine", "cpus", number((uint64_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1)),
	    g_strdup("online"));
}

/* ---- IOMMU ---- */

/** What the kernel calls an IOMMU in /sys/class/iommu, and what a machine file calls it. */
static const struct {
	const char *prefix, *hardware;
} iommus[] = {
	{"dmar", "intel"},
	{"ivhd", "amd"},
	{"smmu3.", "arm-smmu-v3"},
	{"smmu.", "arm-smmu"},
};

static void add_intel(GPtrArray *keys, const char *iommu, const char *root)
{
	g_autofree char *path = g_strdup_printf("class/iommu/%s/intel-iommu/cap", iommu);
	g_autofree char *text = read_text(root, path);
	g_autofree char *hex =
		text ? g_strconcat(g_str_has_prefix(text, "0x") ? "" : "0x", text, NULL) : NULL;
	uint64_t cap, widths;

	if (!hex || !text_parse_u64(hex, &cap))
		return;
	widths = cap >> VTD_CAP_WIDTHS & 0xe;
	if (widths)
		add(keys, "iommu", "levels",
		    number(widths & 8	? 5
			   : widths & 4 ? 4
					: 3),
		    g_strdup_printf("capability register of %s, %s", iommu, hex));
	add(keys, "iommu", "caching-mode", g_strdup(cap >> VTD_CAP_CACHING_MODE & 1 ? "yes" : "no"),
	    g_strdup("the same"));
}

/** The lines "FIRST LAST KIND" of a group's reserved regions. */
static void add_reserved(GPtrArray *keys, int group, const char *root)
{
	g_autofree char *path = g_strdup_printf("kernel/iommu_groups/%d/reserved_regions", group);
	g_autofree char *text = read_text(root, path);
	g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
	g_autoptr(GString) ranges = g_string_new(NULL);

	for (char **line = lines; *line; line++) {
		g_auto(GStrv) words = g_strsplit(*line, " ", -1);
		uint64_t first, last;

		if (g_strv_length(words) >= 2 && text_parse_u64(words[0], &first) &&
		    text_parse_u64(words[1], &last))
			g_string_append_printf(ranges, "%s0x%" PRIx64 "-0x%" PRIx64, ranges->len ? " " : "",
					       first, last);
	}
	if (text)
		add(keys, "iommu", "reserved", g_string_free(g_steal_pointer(&ranges), FALSE),
		    g_strdup_printf("reserved regions of group %d", group));
}

static void add_mode(GPtrArray *keys, const struct pci_function *function)
{
	const char *type = function && function->group_type ? function->group_type : "";
	const char *mode = strcmp(type, "DMA") == 0	   ? "strict"
			   : strcmp(type, "DMA-FQ") == 0   ? "lazy"
			   : strcmp(type, "identity") == 0 ? "passthrough"
							   : NULL;

	if (mode)
		add(keys, "iommu", "mode", g_strdup(mode),
		    g_strdup_printf("domain of group %d is %s", function->group, type));
	else if (!function)
		add(keys, "iommu", "mode", g_strdup("passthrough"),
		    g_strdup("no controller, so no IOMMU group"));
	else if (function->group < 0)
		add(keys, "iommu", "mode", g_strdup("passthrough"),
		    g_strdup("the controller is in no IOMMU group"));
}

static void add_iommu(GPtrArray *keys, const struct pci_function *function, const char *root)
{
	g_autofree char *first = first_entry(root, "class/iommu", "");
	const char *iommu = function && function->iommu ? function->iommu : first;

	add_mode(keys, function);
	for (unsigned i = 0; iommu && i < G_N_ELEMENTS(iommus); i++)
		if (g_str_has_prefix(iommu, iommus[i].prefix)) {
			add(keys, "iommu", "hardware", g_strdup(iommus[i].hardware), g_strdup(iommu));
			break;
		}
	if (iommu && g_str_has_prefix(iommu, "dmar"))
		add_intel(keys, iommu, root);
	if (function && function->group >= 0)
		add_reserved(keys, function->group, root);
}

/* ---- controller ---- */

/** Largest transfer, as the block layer has it, where it is 2^n pages. */
static void add_limits(GPtrArray *keys, const char *disk, const char *root)
{
	g_autofree char *largest = g_build_filename(disk, "queue/max_hw_sectors_kb", NULL);
	g_autofree char *block = g_build_filename(disk, "queue/logical_block_size", NULL);
	uint64_t kib, bytes;

	if (read_number(root, block, &bytes))
		add(keys, "nvme", "logical-block", number(bytes), g_strdup("queue/logical_block_size"));
	if (read_number(root, largest, &kib) && kib >= 4 && (kib & (kib - 1)) == 0)
		add(keys, "nvme", "mdts", number((uint64_t)__builtin_ctzll(kib) - 2),
		    g_strdup("queue/max_hw_sectors_kb"));
}

static void add_nvme(GPtrArray *keys, const struct pci_function *function, const char *root)
{
	g_autofree char *device = g_build_filename("bus/pci/devices", function->address, NULL);
	g_autofree char *mask = g_build_filename(device, "dma_mask_bits", NULL);
	g_autofree char *class = g_build_filename(device, "nvme", NULL);
	g_autofree char *name = first_entry(root, class, "nvme");
	g_autofree char *controller = g_build_filename(class, name ? name : "-", NULL);
	g_autofree char *queues = g_build_filename(controller, "queue_count", NULL);
	g_autofree char *entries = g_build_filename(controller, "sqsize", NULL);
	g_autofree char *disk_name = first_entry(root, controller, name ? name : "-");
	uint64_t value;

	/* The admin queue is one of them. */
	if (read_number(root, queues, &value) && value > 1)
		add(keys, "nvme", "queues", number(value - 1), g_strdup("queue_count"));
	if (read_number(root, entries, &value))
		add(keys, "nvme", "depth", number(value + 1), g_strdup("sqsize, which counts from 0"));
	if (read_number(root, mask, &value))
		add(keys, "nvme", "dma-bits", number(value), g_strdup("dma_mask_bits"));
	if (disk_name) {
		g_autofree char *disk = g_build_filename(controller, disk_name, NULL);

		add_limits(keys, disk, root);
	}
}

static void add_config(GPtrArray *keys, const struct pci_function *function)
{
	const struct pci_config *config = &function->config;
	const struct {
		const char *key, *field, *source;
	} links[] = {
		{"generation", "link_generation", "speed of the link as it is"},
		{"lanes", "link_lanes", "width of the link as it is"},
		{"payload", "payload_bytes", "Max_Payload_Size as it is set"},
		{"read-request", "read_request_bytes", "Max_Read_Request_Size as it is set"},
	};

	if (!config->lacks_extended)
		add(keys, "iotlb", "ats",
		    g_strdup(pci_config_value(config, PCI_CAP_ATS, "enabled") ? "yes" : "no"),
		    g_strdup(!pci_config_find(config, PCI_CAP_ATS)		? "no ATS capability"
			     : pci_config_value(config, PCI_CAP_ATS, "enabled") ? "ATS is enabled"
										: "ATS is not enabled"));
	for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
		uint64_t value = pci_config_value(config, PCI_CAP_PCIE, links[i].field);

		if (value)
			add(keys, "pcie", links[i].key, number(value), g_strdup(links[i].source));
	}
}

GPtrArray *topology_machine(const struct pci_function *function, const char *root)
{
	GPtrArray *keys = g_ptr_array_new_with_free_func(key_free);

	if (root) {
		add_host(keys);
		add_iommu(keys, function, root);
	}
	if (function && root && function->config.class_code == PCI_CLASS_NVME)
		add_nvme(keys, function, root);
	if (function)
		add_config(keys, function);
	return keys;
}
