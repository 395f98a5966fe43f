/* SPDX-License-Identifier: MIT */
/*
 * The capabilities that there are, and their fields. Offsets and bits are those of the PCI Express Base Specification 5.0, 7.5 to
 * 7.9, and of the PCI Local Bus Specification 3.0, 6.8 (MSI, MSI-X).
 */
#include "sim/host/pci-config.h"

/* clang-format off */
#define NUMBER(key, label, offset, low, bits) {key, label, offset, low, bits, PCI_NUMBER, 0, 0, 0, NULL}
#define COUNT(key, label, offset, low, bits) {key, label, offset, low, bits, PCI_NUMBER, 0, 1, 0, NULL}
#define POWER(key, label, offset, low, bits, unit) {key, label, offset, low, bits, PCI_POWER, 0, unit, 0, NULL}
#define HEX(key, label, offset, low, bits) {key, label, offset, low, bits, PCI_HEX, 0, 0, 0, NULL}
#define PLACE(key, label, offset, low, bits) {key, label, offset, low, bits, PCI_HEX, low, 0, 0, NULL}
#define FLAG(key, label, offset, low) {key, label, offset, low, 1, PCI_FLAG, 0, 0, 0, NULL}
#define NAME(key, label, offset, low, bits, names) {key, label, offset, low, bits, PCI_NAME, 0, 0, 0, names}
#define END {NULL, NULL, 0, 0, 0, 0, 0, 0, 0, NULL}

static const struct pci_field power_fields[] = {
	NUMBER("power_version", "version", 2, 0, 3),
	NUMBER("power_state", "state D", 4, 0, 2),
	END,
};

static const struct pci_field msi_fields[] = {
	FLAG("enabled", "enabled", 2, 0),
	POWER("vectors", "vectors", 2, 1, 3, 1),
	POWER("vectors_enabled", "of these enabled", 2, 4, 3, 1),
	FLAG("address_64", "64-bit address", 2, 7),
	FLAG("masking", "masking", 2, 8),
	END,
};

static const struct pci_field msix_fields[] = {
	FLAG("enabled", "enabled", 2, 15),
	FLAG("masked", "masked", 2, 14),
	COUNT("vectors", "vectors", 2, 0, 11),
	NUMBER("table_bar", "table in BAR", 4, 0, 3),
	PLACE("table_offset", "at", 4, 3, 29),
	NUMBER("pending_bar", "pending bits in BAR", 8, 0, 3),
	PLACE("pending_offset", "at", 8, 3, 29),
	END,
};

static const char *const port_types[] = {
	"endpoint",
	"legacy endpoint",
	"type 2",
	"type 3",
	"root port",
	"switch upstream port",
	"switch downstream port",
	"bridge to PCI",
	"bridge from PCI",
	"root complex endpoint",
	"event collector",
	"type 11",
	"type 12",
	"type 13",
	"type 14",
	"type 15",
	NULL,
};

static const struct pci_field pcie_fields[] = {
	NUMBER("pcie_version", "version", 2, 0, 4),
	NAME("port_type", "", 2, 4, 4, port_types),
	POWER("payload_max_bytes", "payload up to", 4, 0, 3, 128),
	POWER("payload_bytes", "payload", 8, 5, 3, 128),
	POWER("read_request_bytes", "read request", 8, 12, 3, 128),
	FLAG("function_level_reset", "function-level reset", 4, 28),
	FLAG("extended_tags", "8-bit tags", 8, 8),
	NUMBER("link_generation_max", "link up to generation", 12, 0, 4),
	NUMBER("link_lanes_max", "lanes up to", 12, 4, 6),
	NUMBER("link_generation", "link generation", 18, 0, 4),
	NUMBER("link_lanes", "lanes", 18, 4, 6),
	END,
};

static const struct pci_field serial_fields[] = {
	HEX("serial_number", "", 4, 0, 64),
	END,
};

static const struct pci_field acs_fields[] = {
	FLAG("source_validation", "source validation", 4, 0),
	FLAG("translation_blocking", "translation blocking", 4, 1),
	FLAG("request_redirect", "request redirect", 4, 2),
	FLAG("completion_redirect", "completion redirect", 4, 3),
	FLAG("upstream_forwarding", "upstream forwarding", 4, 4),
	FLAG("egress_control", "egress control", 4, 5),
	FLAG("direct_translated", "direct translated", 4, 6),
	HEX("acs_control", "control", 6, 0, 7),
	FLAG("source_validation_enabled", "source validation enabled", 6, 0),
	FLAG("translation_blocking_enabled", "translation blocking enabled", 6, 1),
	FLAG("request_redirect_enabled", "request redirect enabled", 6, 2),
	FLAG("completion_redirect_enabled", "completion redirect enabled", 6, 3),
	FLAG("upstream_forwarding_enabled", "upstream forwarding enabled", 6, 4),
	FLAG("egress_control_enabled", "egress control enabled", 6, 5),
	FLAG("direct_translated_enabled", "direct translated enabled", 6, 6),
	END,
};

static const struct pci_field ari_fields[] = {
	NUMBER("next_function", "next function", 4, 8, 8),
	END,
};

static const struct pci_field ats_fields[] = {
	FLAG("enabled", "enabled", 6, 15),
	{"invalidate_queue_depth", "invalidate queue depth", 4, 0, 5, PCI_NUMBER, 0, 0, 32, NULL},
	FLAG("page_aligned", "page aligned", 4, 5),
	FLAG("global_invalidate", "global invalidate", 4, 6),
	POWER("smallest_translation_bytes", "smallest translation", 6, 0, 5, 4096),
	END,
};

static const struct pci_field sr_iov_fields[] = {
	FLAG("enabled", "enabled", 8, 0),
	NUMBER("vfs_initial", "initial functions", 12, 0, 16),
	NUMBER("vfs_total", "total functions", 14, 0, 16),
	NUMBER("vfs", "functions", 16, 0, 16),
	NUMBER("vf_offset", "first at", 20, 0, 16),
	NUMBER("vf_stride", "stride", 22, 0, 16),
	HEX("vf_device", "device", 26, 0, 16),
	HEX("page_sizes", "page sizes", 28, 0, 32),
	HEX("system_page_size", "system page size", 32, 0, 32),
	END,
};

static const struct pci_field pri_fields[] = {
	FLAG("enabled", "enabled", 4, 0),
	FLAG("response_failure", "response failure", 6, 0),
	FLAG("unexpected_group", "unexpected group", 6, 1),
	FLAG("stopped", "stopped", 6, 8),
	FLAG("response_has_pasid", "response has PASID", 6, 15),
	NUMBER("requests_capacity", "requests up to", 8, 0, 32),
	NUMBER("requests_allocated", "requests", 12, 0, 32),
	END,
};

static const struct pci_field pasid_fields[] = {
	FLAG("enabled", "enabled", 6, 0),
	NUMBER("pasid_bits", "bits", 4, 8, 5),
	FLAG("execute", "execute", 4, 1),
	FLAG("privileged", "privileged", 4, 2),
	FLAG("execute_enabled", "execute enabled", 6, 1),
	FLAG("privileged_enabled", "privileged enabled", 6, 2),
	END,
};

static const struct pci_field vendor_fields[] = {
	HEX("vendor_id", "id", 4, 0, 16),
	END,
};

static const struct pci_field designated_fields[] = {
	HEX("vendor", "vendor", 4, 0, 16),
	HEX("designated_id", "id", 8, 0, 16),
	END,
};

#define X PCI_EXTENDED

static const struct pci_cap_kind kinds[] = {
	{0x01, "power_management", "power management", 8, power_fields},
	{0x02, "agp", "AGP", 12, NULL},
	{0x03, "vpd", "vital product data", 8, NULL},
	{0x04, "slot", "slot identification", 4, NULL},
	{PCI_CAP_MSI, "msi", "MSI", 10, msi_fields},
	{0x07, "pci_x", "PCI-X", 8, NULL},
	{0x08, "hypertransport", "HyperTransport", 4, NULL},
	{0x09, "vendor_specific", "vendor specific", 3, NULL},
	{0x0a, "debug_port", "debug port", 4, NULL},
	{0x0c, "hot_plug", "hot plug", 4, NULL},
	{0x0d, "bridge_subsystem", "bridge subsystem", 8, NULL},
	{PCI_CAP_PCIE, "pcie", "PCI Express", 20, pcie_fields},
	{PCI_CAP_MSIX, "msix", "MSI-X", 12, msix_fields},
	{0x12, "sata", "SATA", 8, NULL},
	{0x13, "advanced_features", "advanced features", 6, NULL},
	{0x14, "enhanced_allocation", "enhanced allocation", 4, NULL},
	{X | 0x01, "aer", "advanced error reporting", 44, NULL},
	{X | 0x02, "virtual_channel", "virtual channel", 16, NULL},
	{X | 0x03, "serial_number", "serial number", 12, serial_fields},
	{X | 0x04, "power_budgeting", "power budgeting", 16, NULL},
	{X | 0x09, "virtual_channel_mfvc", "virtual channel (multi-function)", 16, NULL},
	{X | 0x0b, "vendor_specific_extended", "vendor specific", 8, vendor_fields},
	{PCI_CAP_ACS, "acs", "access control services", 8, acs_fields},
	{X | 0x0e, "ari", "alternative routing-id", 8, ari_fields},
	{PCI_CAP_ATS, "ats", "address translation services", 8, ats_fields},
	{PCI_CAP_SR_IOV, "sr_iov", "SR-IOV", 64, sr_iov_fields},
	{X | 0x12, "multicast", "multicast", 48, NULL},
	{PCI_CAP_PRI, "pri", "page request interface", 16, pri_fields},
	{X | 0x15, "resizable_bar", "resizable BAR", 12, NULL},
	{X | 0x17, "tph", "TLP processing hints", 12, NULL},
	{X | 0x18, "ltr", "latency tolerance reporting", 8, NULL},
	{X | 0x19, "secondary_pcie", "secondary PCI Express", 12, NULL},
	{PCI_CAP_PASID, "pasid", "PASID", 8, pasid_fields},
	{X | 0x1d, "dpc", "downstream port containment", 16, NULL},
	{X | 0x1e, "l1_substates", "L1 substates", 16, NULL},
	{X | 0x1f, "ptm", "precision time measurement", 12, NULL},
	{X | 0x21, "frs_queueing", "FRS queueing", 16, NULL},
	{X | 0x22, "readiness_time", "readiness time reporting", 12, NULL},
	{X | 0x23, "dvsec", "designated vendor specific", 10, designated_fields},
	{X | 0x24, "vf_resizable_bar", "VF resizable BAR", 12, NULL},
	{X | 0x25, "data_link_feature", "data link feature", 12, NULL},
	{X | 0x26, "physical_layer_16", "physical layer 16 GT/s", 32, NULL},
	{X | 0x27, "lane_margining", "lane margining", 8, NULL},
	{X | 0x2a, "physical_layer_32", "physical layer 32 GT/s", 32, NULL},
	{X | 0x2e, "doe", "data object exchange", 24, NULL},
	{0, NULL, NULL, 0, NULL},
};
/* clang-format on */

const struct pci_cap_kind *pci_cap_kind_find(unsigned id)
{
	for (const struct pci_cap_kind *kind = kinds; kind->name; kind++)
		if (kind->id == id)
			return kind;
	return NULL;
}

/** Class, subclass and interface; ~0: any of the last one, or two. */
static const struct {
	int class, subclass, interface;
	const char *name;
} classes[] = {
	{0x00, 0xff, -1, "unclassified device (virtio)"},
	{0x01, 0x00, -1, "SCSI controller"},
	{0x01, 0x01, -1, "IDE controller"},
	{0x01, 0x04, -1, "RAID controller"},
	{0x01, 0x06, -1, "SATA controller"},
	{0x01, 0x07, -1, "SAS controller"},
	{0x01, 0x08, 0x02, "NVM Express controller"},
	{0x01, 0x08, 0x03, "NVM Express administrative controller"},
	{0x01, 0x08, -1, "non-volatile memory controller"},
	{0x01, -1, -1, "mass storage controller"},
	{0x02, 0x00, -1, "Ethernet controller"},
	{0x02, 0x07, -1, "InfiniBand controller"},
	{0x02, -1, -1, "network controller"},
	{0x03, 0x00, -1, "VGA controller"},
	{0x03, 0x02, -1, "3D controller"},
	{0x03, -1, -1, "display controller"},
	{0x04, -1, -1, "multimedia controller"},
	{0x05, 0x02, -1, "CXL memory"},
	{0x05, -1, -1, "memory controller"},
	{0x06, 0x00, -1, "host bridge"},
	{0x06, 0x01, -1, "ISA bridge"},
	{0x06, 0x04, -1, "PCI bridge"},
	{0x06, -1, -1, "bridge"},
	{0x07, -1, -1, "communication controller"},
	{0x08, 0x06, -1, "IOMMU"},
	{0x08, -1, -1, "system peripheral"},
	{0x09, -1, -1, "input device"},
	{0x0c, 0x03, 0x30, "USB controller (xHCI)"},
	{0x0c, 0x03, -1, "USB controller"},
	{0x0c, 0x05, -1, "SMBus controller"},
	{0x0c, 0x07, -1, "IPMI interface"},
	{0x0c, -1, -1, "serial bus controller"},
	{0x0d, -1, -1, "wireless controller"},
	{0x10, -1, -1, "encryption controller"},
	{0x11, -1, -1, "signal processing controller"},
	{0x12, -1, -1, "processing accelerator"},
	{0xff, -1, -1, "unassigned class"},
};

const char *pci_class_name(uint32_t class_code)
{
	int class = class_code >> 16 & 0xff, subclass = class_code >> 8 & 0xff, interface = class_code & 0xff;

	for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++)
		if (classes[i].class == class &&
		    (classes[i].subclass < 0 || classes[i].subclass == subclass) &&
		    (classes[i].interface < 0 || classes[i].interface == interface))
			return classes[i].name;
	return "device of an unknown class";
}
