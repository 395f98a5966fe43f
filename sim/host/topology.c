/* SPDX-License-Identifier: MIT */
/*
 * The functions of this host.
 */
#include "sim/host/topology.h"

#include <errno.h>
#include <pciaccess.h>
#include <stdlib.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"

#define SYSFS "/sys"

struct pci_function *pci_function_new(const char *address)
{
	struct pci_function *function = g_new0(struct pci_function, 1);

	function->address = g_strdup(address);
	function->group = -1;
	return function;
}

void pci_function_free(gpointer data)
{
	struct pci_function *function = data;

	pci_config_finish(&function->config);
	g_free(function->address);
	g_free(function->damage);
	g_free(function->vendor_name);
	g_free(function->device_name);
	g_free(function->driver);
	g_free(function->iommu);
	g_free(function->group_type);
	g_free(function);
}

bool pci_function_decode(struct pci_function *function, const uint8_t *bytes, size_t len,
			 struct pci_damage *ret_damage)
{
	struct pci_config *config = &function->config;
	const char *vendor = NULL, *device = NULL, *subvendor = NULL, *subdevice = NULL;
	bool ok = pci_config_decode(bytes, len, config, ret_damage);
	const struct pci_id_match match = {.vendor_id = config->vendor,
					   .device_id = config->device,
					   .subvendor_id = config->subvendor,
					   .subdevice_id = config->subdevice};

	pci_get_strings(&match, &device, &vendor, &subdevice, &subvendor);
	function->vendor_name = g_strdup(vendor);
	function->device_name = g_strdup(device);
	return ok;
}

const struct pci_function *topology_find_nvme(const GPtrArray *functions)
{
	for (guint i = 0; i < functions->len; i++) {
		const struct pci_function *function = g_ptr_array_index(functions, i);

		if (function->config.class_code == PCI_CLASS_NVME)
			return function;
	}
	return NULL;
}

/* ---- sysfs ---- */

/** Returns the last name of the link @name of the device, NULL if there is none. */
static char *link_name(const char *device, const char *name)
{
	g_autofree char *path = g_build_filename(device, name, NULL);
	g_autofree char *target = g_file_read_link(path, NULL);

	return target ? g_path_get_basename(target) : NULL;
}

void topology_fill(struct pci_function *function, const char *root)
{
	g_autofree char *device = g_build_filename(root, "bus/pci/devices", function->address, NULL);
	g_autofree char *group = link_name(device, "iommu_group");
	g_autofree char *type_path = NULL;
	uint64_t number;

	function->driver = link_name(device, "driver");
	function->iommu = link_name(device, "iommu");
	if (!group || !text_parse_u64(group, &number) || number > G_MAXINT)
		return;
	function->group = (int)number;
	type_path = g_build_filename(root, "kernel/iommu_groups", group, "type", NULL);
	if (g_file_get_contents(type_path, &function->group_type, NULL, NULL))
		g_strstrip(function->group_type);
}

/* ---- the host's ---- */

/** Sizes of BARs are not in the registers: the kernel has asked for them. */
static void take_regions(struct pci_config *config, const struct pci_device *device)
{
	for (unsigned i = 0; i < config->bar_count; i++) {
		struct pci_bar *bar = &config->bars[i];
		const struct pci_mem_region *region = &device->regions[bar->number];

		bar->size_bytes = region->size;
		if (region->size)
			bar->address = region->base_addr;
	}
}

/** A virtual function of SR-IOV has no ids of its own in its configuration space: the kernel knows them. */
static void put_ids(uint8_t *bytes, const struct pci_device *device)
{
	if (bytes[0] != 0xff || bytes[1] != 0xff || device->vendor_id == 0xffff)
		return;
	bytes[0] = (uint8_t)device->vendor_id;
	bytes[1] = (uint8_t)(device->vendor_id >> 8);
	bytes[2] = (uint8_t)device->device_id;
	bytes[3] = (uint8_t)(device->device_id >> 8);
}

static struct pci_function *read_function(struct pci_device *device)
{
	g_autofree char *address =
		g_strdup_printf("%04x:%02x:%02x.%u", device->domain, device->bus, device->dev, device->func);
	struct pci_function *function = pci_function_new(address);
	uint8_t bytes[PCI_CONFIG_BYTES];
	struct pci_damage damage;
	pciaddr_t len = 0;

	memset(bytes, 0xff, sizeof(bytes));
	/* What it returns is what the end of a shorter space makes of errno: the count is what tells. */
	pci_device_cfg_read(device, bytes, 0, sizeof(bytes), &len);
	put_ids(bytes, device);
	len = MAX(len < PCI_CONFIG_BYTES ? len & ~UINT64_C(3) : len, PCI_HEADER_BYTES);
	if (!pci_function_decode(function, bytes, (size_t)len, &damage)) {
		function->damage = g_strdup_printf("at 0x%x: %s", damage.offset, damage.what);
		g_free(damage.what);
	}
	if (pci_device_probe(device) == 0)
		take_regions(&function->config, device);
	topology_fill(function, SYSFS);
	return function;
}

static int compare_functions(gconstpointer a, gconstpointer b)
{
	const struct pci_function *const *x = a, *const *y = b;

	/* Domains may be of more than four digits. */
	if (strlen((*x)->address) != strlen((*y)->address))
		return strlen((*x)->address) < strlen((*y)->address) ? -1 : 1;
	return strcmp((*x)->address, (*y)->address);
}

GPtrArray *topology_read_host(GError **error)
{
	int err = pci_system_init();
	struct pci_device_iterator *iterator;
	struct pci_device *device;
	GPtrArray *functions;

	if (err) {
		sim_error_plain(error, "this host shows no PCI devices: %s", g_strerror(err));
		return NULL;
	}
	functions = g_ptr_array_new_with_free_func(pci_function_free);
	iterator = pci_slot_match_iterator_create(NULL);
	while ((device = pci_device_next(iterator)))
		g_ptr_array_add(functions, read_function(device));
	pci_iterator_destroy(iterator);
	pci_system_cleanup();
	g_ptr_array_sort(functions, compare_functions);
	return functions;
}
