/* SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_PCI_CONFIG_H
#define SIM_HOST_PCI_CONFIG_H

/*
 * A PCI function's configuration space, decoded.
 *
 * 64 bytes of header, which everybody may read; up to 256 with the list of capabilities; up to 4096 with that of PCI Express
 * extended capabilities. What there is of each capability to tell is a table of fields in pci-capability.c: a new one is a
 * row. The decoder trusts nothing: lists may lead in circles or outside.
 *
 * Source: PCI Local Bus Specification 3.0 (header, MSI, MSI-X), PCI Express Base Specification 5.0, chapter 7 (all others).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define PCI_HEADER_BYTES   64u
#define PCI_STANDARD_BYTES 256u
#define PCI_CONFIG_BYTES   4096u
#define PCI_BARS	   6u

#define PCI_CLASS_NVME	 0x010802 /* NVM Express I/O controller */
#define PCI_CLASS_BRIDGE 0x060400

/** Ids of capabilities that somebody asks for; of the extended list with PCI_EXTENDED. */
#define PCI_EXTENDED   0x10000u
#define PCI_CAP_MSI    0x05u
#define PCI_CAP_PCIE   0x10u
#define PCI_CAP_MSIX   0x11u
#define PCI_CAP_ACS    (PCI_EXTENDED | 0x0d)
#define PCI_CAP_ATS    (PCI_EXTENDED | 0x0f)
#define PCI_CAP_SR_IOV (PCI_EXTENDED | 0x10)
#define PCI_CAP_PRI    (PCI_EXTENDED | 0x13)
#define PCI_CAP_PASID  (PCI_EXTENDED | 0x1b)

struct pci_bar {
	unsigned number;
	uint64_t address;
	uint64_t size_bytes; /* 0: not known; the registers do not tell */
	bool io, wide, prefetchable;
};

enum pci_field_kind {
	PCI_NUMBER, /* plus @add */
	PCI_POWER,  /* @add times two to its power */
	PCI_HEX,
	PCI_FLAG,
	PCI_NAME, /* one of @names */
};

/** A field of a capability. */
struct pci_field {
	const char *key;   /* for programs: snake_case, with the unit */
	const char *label; /* for people */
	uint8_t offset;	   /* bytes from the capability's begin */
	uint8_t low, bits; /* of the little-endian number there */
	uint8_t kind;	   /* enum pci_field_kind */
	uint8_t shift;	   /* the number is in units of so many bits: places of tables */
	uint16_t add;
	uint16_t zero;		  /* what 0 stands for, where that is not 0 */
	const char *const *names; /* NULL-ended */
};

/** What is known of a kind of capability. */
struct pci_cap_kind {
	unsigned id;
	const char *name;  /* for programs */
	const char *label; /* for people */
	uint16_t min_bytes;
	const struct pci_field *fields; /* ended by one without a key; may be NULL */
};

struct pci_cap {
	unsigned id; /* with PCI_EXTENDED */
	uint16_t offset;
	uint8_t version;		 /* of an extended one */
	const struct pci_cap_kind *kind; /* NULL: not in the table */
};

struct pci_config {
	uint8_t bytes[PCI_CONFIG_BYTES];
	size_t len; /* of these, known: at least PCI_HEADER_BYTES */
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code; /* class, subclass, interface */
	uint8_t revision;
	bool is_bridge;				 /* header type 1 */
	uint8_t primary, secondary, subordinate; /* buses, of a bridge */
	struct pci_bar bars[PCI_BARS];
	unsigned bar_count;
	GArray *caps;			     /* of struct pci_cap, in the order of the lists */
	bool lacks_standard, lacks_extended; /* there are such lists, behind the bytes that are known */
};

/** What makes a configuration space unusable. */
struct pci_damage {
	unsigned offset; /* in it */
	char *what;	 /* free with g_free() */
};

/** Decodes @len bytes (PCI_HEADER_BYTES to PCI_CONFIG_BYTES) into *@ret_config; free with pci_config_finish(), also on failure.
 *  Returns false, with *@ret_damage and what was decoded before it, for one that no device can have. */
bool pci_config_decode(const uint8_t *bytes, size_t len, struct pci_config *ret_config,
		       struct pci_damage *ret_damage);
void pci_config_finish(struct pci_config *config);

/** Returns the first capability of @id, or NULL. */
const struct pci_cap *pci_config_find(const struct pci_config *config, unsigned id);

/** Returns the row of @id, or NULL. */
const struct pci_cap_kind *pci_cap_kind_find(unsigned id);

/** Returns what @field of @cap holds: of PCI_NAME, the place in its names. */
uint64_t pci_cap_value(const struct pci_config *config, const struct pci_cap *cap,
		       const struct pci_field *field);

/** Returns the field called @key of the first capability of @id; 0 where there is none. */
uint64_t pci_config_value(const struct pci_config *config, unsigned id, const char *key);

/** Returns the name of a class code for people: "NVM Express controller". */
const char *pci_class_name(uint32_t class_code);

#endif
