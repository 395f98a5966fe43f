/* SPDX-License-Identifier: MIT */
/*
 * What sysfs says of a function and of its machine, read from a sysfs made here, which needs no privileges; and that the
 * decoder bears any bytes. What it makes of right ones: sim/tests/cli/test-topology.py.
 */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "sim/core/prng.h"
#include "sim/host/topology.h"

#define ADDRESS "0000:03:00.0"
#define DEVICE	"bus/pci/devices/" ADDRESS
#define ROUNDS	200000

struct fixture {
	char *root;
	struct pci_function *function;
};

static char *below(const struct fixture *fixture, const char *path)
{
	g_autofree char *full = g_build_filename(fixture->root, path, NULL);
	g_autofree char *directory = g_path_get_dirname(full);

	g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
	return g_steal_pointer(&full);
}

static void put(const struct fixture *fixture, const char *path, const char *text)
{
	g_autofree char *full = below(fixture, path);
	g_autoptr(GError) error = NULL;

	g_file_set_contents(full, text, -1, &error);
	g_assert_no_error(error);
}

static void put_link(const struct fixture *fixture, const char *path, const char *target)
{
	g_autofree char *full = below(fixture, path);

	g_assert_cmpint(symlink(target, full), ==, 0);
}

/** An NVMe controller without capabilities. */
static void set_up(struct fixture *fixture, const void *data)
{
	uint8_t bytes[PCI_STANDARD_BYTES] = {0x4d, 0x14, 0x0a, 0xa8, [0x09] = 0x02, 0x08, 0x01};
	struct pci_damage damage;
	g_autoptr(GError) error = NULL;

	fixture->root = g_dir_make_tmp("test-topology-XXXXXX", &error);
	g_assert_no_error(error);
	fixture->function = pci_function_new(ADDRESS);
	g_assert_true(pci_function_decode(fixture->function, bytes, sizeof(bytes), &damage));
}

static void remove_all(const char *path)
{
	GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *full = g_build_filename(path, name, NULL);

		remove_all(full);
	}
	if (dir)
		g_dir_close(dir);
	g_remove(path);
}

static void tear_down(struct fixture *fixture, const void *data)
{
	remove_all(fixture->root);
	g_free(fixture->root);
	pci_function_free(fixture->function);
}

/** Checks that the machine of the fixture has @value for @key, NULL: nothing. */
static void check_key(const struct fixture *fixture, const char *group, const char *key, const char *value)
{
	GPtrArray *keys = topology_machine(fixture->function, fixture->root);
	const char *found = NULL;

	for (guint i = 0; i < keys->len; i++) {
		const struct topology_key *row = g_ptr_array_index(keys, i);

		g_assert_cmpuint(strlen(row->source), >, 0);
		if (strcmp(row->group, group) == 0 && strcmp(row->key, key) == 0)
			found = row->value;
	}
	g_assert_cmpstr(found, ==, value);
	g_ptr_array_unref(keys);
}

static void test_nothing(struct fixture *fixture, const void *data)
{
	topology_fill(fixture->function, fixture->root);
	g_assert_null(fixture->function->driver);
	g_assert_null(fixture->function->iommu);
	g_assert_cmpint(fixture->function->group, ==, -1);
	check_key(fixture, "iommu", "mode", "passthrough");
	check_key(fixture, "iommu", "hardware", NULL);
	check_key(fixture, "nvme", "queues", NULL);
	check_key(fixture, "iotlb", "ats", "no");
}

static void test_modes(struct fixture *fixture, const void *data)
{
	const struct {
		const char *type, *mode;
	} cases[] = {{"DMA\n", "strict"},
		     {"DMA-FQ\n", "lazy"},
		     {"identity\n", "passthrough"},
		     {"blocked\n", NULL}};

	put_link(fixture, DEVICE "/iommu_group", "../../../../kernel/iommu_groups/3");
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		put(fixture, "kernel/iommu_groups/3/type", cases[i].type);
		topology_fill(fixture->function, fixture->root);
		g_assert_cmpint(fixture->function->group, ==, 3);
		check_key(fixture, "iommu", "mode", cases[i].mode);
		g_clear_pointer(&fixture->function->group_type, g_free);
	}
}

static void test_hardware(struct fixture *fixture, const void *data)
{
	const struct {
		const char *iommu, *hardware;
	} cases[] = {{"dmar0", "intel"},
		     {"ivhd1", "amd"},
		     {"smmu3.0x000000002b400000", "arm-smmu-v3"},
		     {"smmu.0x0000000012000000", "arm-smmu"},
		     {"another", NULL}};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		fixture->function->iommu = g_strdup(cases[i].iommu);
		check_key(fixture, "iommu", "hardware", cases[i].hardware);
		g_clear_pointer(&fixture->function->iommu, g_free);
	}
}

static void test_intel_widths(struct fixture *fixture, const void *data)
{
	const struct {
		const char *cap, *levels, *caching;
	} cases[] = {{"d2008c40660462", "4", "no"},
		     {"2f0", "3", "yes"},
		     {"0xe00", "5", "no"},
		     {"80", NULL, "yes"}};

	fixture->function->iommu = g_strdup("dmar0");
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		put(fixture, "class/iommu/dmar0/intel-iommu/cap", cases[i].cap);
		check_key(fixture, "iommu", "levels", cases[i].levels);
		check_key(fixture, "iommu", "caching-mode", cases[i].caching);
	}
	put(fixture, "class/iommu/dmar0/intel-iommu/cap", "what is this");
	check_key(fixture, "iommu", "levels", NULL);
}

static void test_reserved(struct fixture *fixture, const void *data)
{
	put_link(fixture, DEVICE "/iommu_group", "../../../../kernel/iommu_groups/3");
	put(fixture, "kernel/iommu_groups/3/reserved_regions",
	    "0x00000000fee00000 0x00000000feefffff msi\nnonsense\n0x1000 0x1fff direct\n");
	topology_fill(fixture->function, fixture->root);
	check_key(fixture, "iommu", "reserved", "0xfee00000-0xfeefffff 0x1000-0x1fff");
	put(fixture, "kernel/iommu_groups/3/reserved_regions", "");
	check_key(fixture, "iommu", "reserved", "");
}

static void test_controller(struct fixture *fixture, const void *data)
{
	put(fixture, DEVICE "/nvme/nvme4/queue_count", "33\n");
	put(fixture, DEVICE "/nvme/nvme4/sqsize", "127\n");
	put(fixture, DEVICE "/nvme/nvme4/nvme4n1/queue/logical_block_size", "512\n");
	put(fixture, DEVICE "/nvme/nvme4/nvme4n1/queue/max_hw_sectors_kb", "128\n");
	put(fixture, DEVICE "/dma_mask_bits", "64\n");
	check_key(fixture, "nvme", "queues", "32");
	check_key(fixture, "nvme", "depth", "128");
	check_key(fixture, "nvme", "logical-block", "512");
	check_key(fixture, "nvme", "mdts", "5");
	check_key(fixture, "nvme", "dma-bits", "64");
	put(fixture, DEVICE "/nvme/nvme4/nvme4n1/queue/max_hw_sectors_kb", "1020\n");
	check_key(fixture, "nvme", "mdts", NULL);
}

/** Lists and lengths at random: whatever comes of them, nothing outside is read and it ends. */
static void test_random(void)
{
	g_autofree uint8_t *bytes = g_malloc0(PCI_CONFIG_BYTES);
	const size_t lengths[] = {PCI_HEADER_BYTES, PCI_HEADER_BYTES + 4, PCI_STANDARD_BYTES,
				  PCI_CONFIG_BYTES};
	unsigned decoded = 0;
	struct prng prng;

	prng_init(&prng, 1, "topology");
	for (unsigned round = 0; round < ROUNDS; round++) {
		g_autoptr(GArray) caps = NULL;
		struct pci_damage damage = {0};
		struct pci_config config;
		size_t len = lengths[prng_below(&prng, G_N_ELEMENTS(lengths))];

		for (unsigned i = 0; i < 8; i++)
			bytes[prng_below(&prng,
					 prng_below(&prng, 2) ? PCI_CONFIG_BYTES : PCI_STANDARD_BYTES)] =
				(uint8_t)prng_next(&prng);
		bytes[0x06] |= 0x10;
		bytes[0x0e] &= 0x01;
		bytes[0] = 0x4d;
		bytes[0x34] = (uint8_t)(0x40 + prng_below(&prng, 48) * 4);
		bytes[bytes[0x34]] = round % 2 ? PCI_CAP_PCIE : bytes[bytes[0x34]];
		if (pci_config_decode(bytes, len, &config, &damage))
			decoded++;
		else
			g_assert_cmpuint(damage.offset, <, len);
		g_assert_cmpuint(config.caps->len, <=, PCI_CONFIG_BYTES / 4);
		for (guint i = 0; i < config.caps->len; i++) {
			const struct pci_cap *cap = &g_array_index(config.caps, struct pci_cap, i);

			for (const struct pci_field *field = cap->kind ? cap->kind->fields : NULL;
			     field && field->key; field++) {
				uint64_t value = pci_cap_value(&config, cap, field);

				g_assert_cmpuint(cap->offset + field->offset +
							 (field->low + field->bits + 7u) / 8,
						 <=, MAX(len, cap->offset + cap->kind->min_bytes));
				g_assert_true(field->kind != PCI_NAME || field->names[value]);
			}
		}
		g_free(damage.what);
		pci_config_finish(&config);
	}
	g_assert_cmpuint(decoded, >, ROUNDS / 100);
	g_assert_cmpuint(decoded, <, ROUNDS);
}

/** Every field of every row lies within the bytes that the row says there are. */
static void test_table(void)
{
	for (unsigned id = 0; id < 2 * PCI_EXTENDED; id++) {
		const struct pci_cap_kind *kind = pci_cap_kind_find(id);

		for (const struct pci_field *field = kind ? kind->fields : NULL; field && field->key; field++)
			g_assert_cmpuint(field->offset + (field->low + field->bits + 7u) / 8, <=,
					 kind->min_bytes);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
#define CASE(name, function) \
	g_test_add("/host/topology/" name, struct fixture, NULL, set_up, function, tear_down)
	CASE("empty-sysfs-is-passthrough", test_nothing);
	CASE("group-type-is-the-mode", test_modes);
	CASE("name-of-the-iommu-is-the-hardware", test_hardware);
	CASE("intel-capability-is-levels-and-caching-mode", test_intel_widths);
	CASE("reserved-regions-are-ranges", test_reserved);
	CASE("controller-has-queues-and-limits", test_controller);
#undef CASE
	g_test_add_func("/host/pci-config/random-bytes-are-borne", test_random);
	g_test_add_func("/host/pci-config/fields-lie-within-their-capability", test_table);
	return g_test_run();
}
