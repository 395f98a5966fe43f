/* SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_TOPOLOGY_H
#define SIM_HOST_TOPOLOGY_H

/*
 * PCI functions: those of this host, or saved ones; and what a machine file can say of the host they are in.
 *
 * The host's come from libpciaccess, drivers and IOMMU groups from sysfs. Who may not read all of a configuration space gets 64
 * bytes of it from the kernel: the function is listed all the same, and says what it lacks.
 */
#include "sim/host/pci-config.h"

#define TOPOLOGY_FUNCTIONS_MAX 4096 /* in one saved file */

struct pci_function {
	char *address; /* "0000:01:00.0"; NULL: a saved one that does not tell */
	struct pci_config config;
	char *damage; /* what is wrong with it; NULL: nothing. Then config has what stands before it */
	char *vendor_name, *device_name; /* NULL: not known, or no pci.ids here */
	char *driver;			 /* NULL: none */
	char *iommu;			 /* "dmar0"; NULL: none */
	int group;			 /* of the IOMMU; -1: none */
	char *group_type;		 /* "DMA-FQ"; NULL: not known */
};

/** Returns the functions of this host, of struct pci_function, by address; unref when done. NULL with *@error where it shows
 *  none at all. */
GPtrArray *topology_read_host(GError **error);

/** Returns those saved in @path: the bytes of one configuration space, 256 or 4096, or what "lspci -xxx" or "-xxxx" prints, of any
 *  number. NULL with *@error naming offset or line, for damaged ones too. */
GPtrArray *topology_read_file(const char *path, GError **error);

/** Fills what sysfs, mounted at @root, says of @function. */
void topology_fill(struct pci_function *function, const char *root);

/** Returns the first NVMe controller, or NULL. */
const struct pci_function *topology_find_nvme(const GPtrArray *functions);

/** A key of the machine file, and how it is known. */
struct topology_key {
	char *group, *key, *value;
	char *source; /* one line */
};

/** Returns what the machine file can say of the host behind @root (NULL: none, the function is a saved one), with @function
 *  (may be NULL) as its controller: of struct topology_key, groups together; unref when done. A key may be one that the
 *  machine file does not have, or lie beyond its bounds. */
GPtrArray *topology_machine(const struct pci_function *function, const char *root);

/* ---- for the files of this part ---- */

/** Returns a function with nothing in it. */
struct pci_function *pci_function_new(const char *address);
void pci_function_free(gpointer function);

/** Decodes @bytes into @function, and names it. Returns false with *@ret_damage. */
bool pci_function_decode(struct pci_function *function, const uint8_t *bytes, size_t len,
			 struct pci_damage *ret_damage);

#endif
