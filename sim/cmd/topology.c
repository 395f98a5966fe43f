/* SPDX-License-Identifier: MIT */
/*
 * iommusim topology: PCI functions as a table, as JSON, and as a machine file.
 */
#include <stdio.h>
#include <string.h>

#include "sim/cmd/cmd.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/host/topology.h"
#include "sim/io/output.h"
#include "sim/machine/config.h"
#include "sim/report/facts.h"

#define SYSFS "/sys"

struct topology {
	char *file, *output_path, *address;
	GPtrArray *functions;		       /* of struct pci_function */
	const struct pci_function *controller; /* of the machine; NULL: none */
};

/* ---- a capability ---- */

/** Adds @field to the JSON, and to @text what a person wants to see of it: of flags, those that are set. */
static void show_field(struct facts *facts, GString *text, const struct pci_field *field, uint64_t value)
{
	g_autofree char *hex = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", value);
	const char *comma = text->len ? ", " : "";
	const char *blank = *field->label ? " " : "";

	switch ((enum pci_field_kind)field->kind) {
	case PCI_FLAG:
		facts_bool(facts, field->key, NULL, value != 0);
		if (value)
			g_string_append_printf(text, "%s%s", comma, field->label);
		break;
	case PCI_NAME:
		facts_text(facts, field->key, NULL, field->names[value]);
		g_string_append_printf(text, "%s%s%s%s", comma, field->label, blank, field->names[value]);
		break;
	case PCI_HEX:
		facts_text(facts, field->key, NULL, hex);
		g_string_append_printf(text, "%s%s%s%s", comma, field->label, blank, hex);
		break;
	case PCI_NUMBER:
	case PCI_POWER:
		facts_u64(facts, field->key, NULL, value);
		g_string_append_printf(text, "%s%s%s%" G_GUINT64_FORMAT, comma, field->label, blank, value);
		break;
	}
}

static void show_cap(struct facts *facts, const struct pci_config *config, const struct pci_cap *cap)
{
	bool extended = cap->id & PCI_EXTENDED;
	g_autofree char *number = g_strdup_printf("0x%0*x", extended ? 4 : 2, cap->id & 0xffff);
	g_autofree char *unknown = g_strdup_printf("%scapability %s", extended ? "extended " : "", number);
	g_autofree char *place =
		g_strdup_printf("[%03x] %s", cap->offset, cap->kind ? cap->kind->label : unknown);
	g_autoptr(GString) text = g_string_new(NULL);

	facts_begin(facts, NULL, NULL);
	facts_text(facts, "name", NULL, cap->kind ? cap->kind->name : "unknown");
	facts_text(facts, "id", NULL, number);
	facts_bool(facts, "extended", NULL, extended);
	facts_u64(facts, "offset", NULL, cap->offset);
	if (extended)
		facts_u64(facts, "version", NULL, cap->version);
	for (const struct pci_field *field = cap->kind ? cap->kind->fields : NULL; field && field->key;
	     field++)
		show_field(facts, text, field, pci_cap_value(config, cap, field));
	facts_end(facts);
	facts_line(facts, text->len ? "    %s: %s" : "    %s%s", place, text->str);
}

/* ---- a function ---- */

static void show_bars(struct facts *facts, const struct pci_config *config)
{
	facts_list_begin(facts, "bars", NULL);
	for (unsigned i = 0; i < config->bar_count; i++) {
		const struct pci_bar *bar = &config->bars[i];
		g_autofree char *address = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", bar->address);
		g_autofree char *size =
			bar->size_bytes ? text_size(bar->size_bytes) : g_strdup("size not known");

		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "bar", NULL, bar->number);
		facts_text(facts, "kind", NULL, bar->io ? "io" : "memory");
		facts_text(facts, "address", NULL, address);
		if (bar->size_bytes)
			facts_size(facts, "size_bytes", NULL, bar->size_bytes);
		facts_bool(facts, "wide", NULL, bar->wide);
		facts_bool(facts, "prefetchable", NULL, bar->prefetchable);
		facts_end(facts);
		facts_line(facts, "    BAR %u: %s%s%s at %s, %s", bar->number, bar->io ? "ports" : "memory",
			   bar->wide ? ", 64 bits" : "", bar->prefetchable ? ", prefetchable" : "", address,
			   size);
	}
	facts_list_end(facts);
}

static void show_bridge(struct facts *facts, const struct pci_config *config)
{
	if (!config->is_bridge)
		return;
	facts_u64(facts, "bus_primary", NULL, config->primary);
	facts_u64(facts, "bus_secondary", NULL, config->secondary);
	facts_u64(facts, "bus_subordinate", NULL, config->subordinate);
	facts_line(facts, "    buses %02x to %02x, from %02x", config->secondary, config->subordinate,
		   config->primary);
}

/** What an IOMMU is asked about, by name, wherever it stands in the lists. */
static void show_summary(struct facts *facts, const struct pci_config *config)
{
	static const struct {
		const char *key;
		unsigned id;
	} caps[] = {{"msi", PCI_CAP_MSI},     {"msix", PCI_CAP_MSIX},	 {"pcie", PCI_CAP_PCIE},
		    {"acs", PCI_CAP_ACS},     {"ats", PCI_CAP_ATS},	 {"pri", PCI_CAP_PRI},
		    {"pasid", PCI_CAP_PASID}, {"sr_iov", PCI_CAP_SR_IOV}};

	facts_bool(facts, "nvme", NULL, config->class_code == PCI_CLASS_NVME);
	for (unsigned i = 0; i < G_N_ELEMENTS(caps); i++) {
		bool lacks = caps[i].id & PCI_EXTENDED ? config->lacks_extended : config->lacks_standard;

		/* Not there is not the same as not seen. */
		if (!lacks)
			facts_bool(facts, caps[i].key, NULL, pci_config_find(config, caps[i].id) != NULL);
	}
}

static void show_system(struct facts *facts, const struct pci_function *function)
{
	if (function->driver) {
		facts_text(facts, "driver", NULL, function->driver);
		facts_line(facts, "    driver %s", function->driver);
	}
	if (function->group < 0)
		return;
	facts_u64(facts, "iommu_group", NULL, (uint64_t)function->group);
	if (function->group_type)
		facts_text(facts, "iommu_group_type", NULL, function->group_type);
	if (function->iommu)
		facts_text(facts, "iommu", NULL, function->iommu);
	facts_line(facts, "    IOMMU group %d%s%s%s%s", function->group, function->iommu ? " of " : "",
		   function->iommu ? function->iommu : "", function->group_type ? ", " : "",
		   function->group_type ? function->group_type : "");
}

/** What could not be read, or made no sense. */
static void show_lacks(struct facts *facts, const struct pci_function *function)
{
	const struct pci_config *config = &function->config;

	facts_list_begin(facts, "not_read", NULL);
	if (config->lacks_standard)
		facts_item(facts, "capabilities");
	if (config->lacks_extended)
		facts_item(facts, "extended capabilities");
	facts_list_end(facts);
	if (config->lacks_standard || config->lacks_extended)
		facts_line(
			facts,
			"    %scapabilities could not be read: only %zu bytes of the configuration space%s",
			config->lacks_standard ? "" : "extended ", config->len,
			config->len < PCI_STANDARD_BYTES ? " (root may read all)" : "");
	if (function->damage) {
		facts_text(facts, "damage", NULL, function->damage);
		facts_line(facts, "    damaged %s", function->damage);
	}
}

static void show_ids(struct facts *facts, const struct pci_function *function)
{
	const struct pci_config *config = &function->config;
	const struct {
		const char *key;
		unsigned value, digits;
	} ids[] = {{"vendor", config->vendor, 4},
		   {"device", config->device, 4},
		   {"subsystem_vendor", config->subvendor, 4},
		   {"subsystem_device", config->subdevice, 4},
		   {"class", config->class_code, 6},
		   {"revision", config->revision, 2}};

	if (function->address)
		facts_text(facts, "address", NULL, function->address);
	for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
		g_autofree char *hex = g_strdup_printf("0x%0*x", ids[i].digits, ids[i].value);

		facts_text(facts, ids[i].key, NULL, hex);
	}
	facts_text(facts, "class_name", NULL, pci_class_name(config->class_code));
	if (function->vendor_name)
		facts_text(facts, "vendor_name", NULL, function->vendor_name);
	if (function->device_name)
		facts_text(facts, "device_name", NULL, function->device_name);
}

static char *function_heading(const struct pci_function *function)
{
	const struct pci_config *config = &function->config;

	return g_strdup_printf(
		"%s%s%s [%06x]: %s%s%s [%04x:%04x]", function->address ? function->address : "",
		function->address ? "  " : "", pci_class_name(config->class_code), config->class_code,
		function->vendor_name ? function->vendor_name : "",
		function->vendor_name && function->device_name ? " " : "",
		function->device_name ? function->device_name : "", config->vendor, config->device);
}

static void show_function(struct facts *facts, const struct pci_function *function)
{
	const struct pci_config *config = &function->config;
	g_autofree char *heading = function_heading(function);

	facts_begin(facts, NULL, NULL);
	facts_line(facts, "%s", heading);
	show_ids(facts, function);
	show_system(facts, function);
	show_bridge(facts, config);
	show_bars(facts, config);
	show_summary(facts, config);
	facts_u64(facts, "config_bytes", NULL, config->len);
	facts_list_begin(facts, "capabilities", NULL);
	for (guint i = 0; i < config->caps->len; i++)
		show_cap(facts, config, &g_array_index(config->caps, struct pci_cap, i));
	facts_list_end(facts);
	show_lacks(facts, function);
	facts_end(facts);
}

/* ---- the machine ---- */

/** Returns the newest version modelled that is not newer than @release, or NULL. */
static const char *modelled_version(const char *release)
{
	unsigned major, minor, known_major, known_minor;
	const char *found = NULL;

	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		return NULL;
	for (unsigned version = 0; version < KERNEL_VERSIONS; version++) {
		const char *name = kernel_version_names[version];

		if (sscanf(name, "%u.%u", &known_major, &known_minor) == 2 && !strpbrk(name, "-") &&
		    (known_major < major || (known_major == major && known_minor <= minor)))
			found = name;
	}
	return found;
}

/** Appends @key to @text, under its group if that is not @open yet; as a comment if no machine can have it. Returns the group
 *  that is open then. */
static const char *append_key(GString *text, struct machine_config *config, const struct topology_key *key,
			      const char *open)
{
	bool is_version = strcmp(key->group, "kernel") == 0 && strcmp(key->key, "version") == 0;
	const char *version = is_version ? modelled_version(key->value) : NULL;
	const char *value = version ? version : key->value;
	g_autofree char *assignment = g_strdup_printf("%s.%s=%s", key->group, key->key, value);
	struct machine_config tried = *config;

	if (!machine_config_set(&tried, assignment, NULL) || !machine_config_check(&tried, NULL)) {
		g_string_append_printf(text, "# %s; a machine file cannot say this: %s\n", key->source,
				       assignment);
		return open;
	}
	*config = tried;
	if (strcmp(key->group, open) != 0)
		g_string_append_printf(text, "\n[%s]\n", key->group);
	g_string_append_printf(text, "# %s\n%s = %s\n", key->source, key->key, value);
	return key->group;
}

static char *machine_text(const struct topology *topology)
{
	GPtrArray *keys = topology_machine(topology->controller, topology->file ? NULL : SYSFS);
	g_autofree char *heading = topology->controller ? function_heading(topology->controller) : NULL;
	GString *text = g_string_new("# A machine file of iommusim, by \"iommusim topology\".\n");
	struct machine_config config;
	const char *open = "";

	machine_config_init(&config);
	g_string_append_printf(text, "# Its controller: %s\n",
			       heading ? heading : "none was found; it is the default one");
	for (guint i = 0; i < keys->len; i++)
		open = append_key(text, &config, g_ptr_array_index(keys, i), open);
	g_ptr_array_unref(keys);
	return g_string_free(text, FALSE);
}

static bool write_machine(const struct topology *topology, GError **error)
{
	g_autofree char *text = machine_text(topology);
	struct output *output = output_new(topology->output_path, error);

	if (!output)
		return false;
	output_puts(output, text);
	return output_commit(output, error);
}

/* ---- the whole ---- */

/** Returns whether @address is how somebody may write that of @function: the domain 0000 may be left out. */
static bool is_address(const struct pci_function *function, const char *address)
{
	const char *own = function->address;

	if (!own)
		return false;
	return g_ascii_strcasecmp(own, address) == 0 ||
	       (g_str_has_prefix(own, "0000:") && g_ascii_strcasecmp(own + 5, address) == 0);
}

static bool choose_controller(struct topology *topology, GError **error)
{
	topology->controller = topology_find_nvme(topology->functions);
	if (!topology->address)
		return true;
	for (guint i = 0; i < topology->functions->len; i++) {
		topology->controller = g_ptr_array_index(topology->functions, i);
		if (is_address(topology->controller, topology->address))
			return true;
	}
	return sim_error_plain(error, "--function=%s: no such function", topology->address) == 0;
}

static bool topology_run(struct topology *topology, bool json, GError **error)
{
	if (topology->address && !topology->output_path)
		return sim_error_plain(
			       error,
			       "--function says which is the controller of the machine: give -o, too") == 0;
	if (json && topology->output_path && strcmp(topology->output_path, "-") == 0)
		return sim_error_plain(error, "--json and -o - both want standard output") == 0;
	topology->functions =
		topology->file ? topology_read_file(topology->file, error) : topology_read_host(error);
	if (!topology->functions)
		return false;
	return !topology->output_path ||
	       (choose_controller(topology, error) && write_machine(topology, error));
}

static bool topology_print(const struct topology *topology, bool json)
{
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;

	if (topology->output_path && strcmp(topology->output_path, "-") == 0) {
		facts_free(facts);
		return true;
	}
	facts_list_begin(facts, "functions", NULL);
	for (guint i = 0; i < topology->functions->len; i++)
		show_function(facts, g_ptr_array_index(topology->functions, i));
	facts_list_end(facts);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return cmd_print(text);
}

static const char topology_details[] =
	"A saved configuration space is a copy of /sys/bus/pci/devices/ADDRESS/config, made by root, "
	"or what\n\"lspci -xxxx\" prints.\n";

int cmd_topology(const struct command *command, int argc, char **argv)
{
	struct topology topology = {0};
	const GOptionEntry entries[] = {
		{"config-space", 0, 0, G_OPTION_ARG_FILENAME, &topology.file,
		 "decode a saved configuration space instead of this host's", "FILE"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &topology.output_path,
		 "machine file to write, of this host and its first NVMe controller; - is standard output",
		 "MACHINE.ini"},
		{"function", 0, 0, G_OPTION_ARG_FILENAME, &topology.address, "of this controller instead",
		 "ADDRESS"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct command described = *command;
	struct cmd_common common;
	GError *error = NULL;
	int code = EXIT_UNUSABLE;

	described.details = topology_details;
	if (!cmd_parse(&described, argc, argv, entries, 0, 0, &common)) {
		code = common.exit_code;
		goto out_free;
	}
	if (!topology_run(&topology, common.json, &error))
		cmd_fail_error(error);
	else if (topology_print(&topology, common.json))
		code = EXIT_DONE;
	cmd_common_clear(&common);
out_free:
	g_clear_pointer(&topology.functions, g_ptr_array_unref);
	g_free(topology.file);
	g_free(topology.output_path);
	g_free(topology.address);
	return code;
}
