/* SPDX-License-Identifier: MIT */
/*
 * Whole machines: the machine file is read and written back; short traces, written here as ftrace text, are
 * replayed in every mode and must leave nothing behind; what a replay does with time, tags, and large
 * requests is counted by hand; and every fault point of a replay fails at every pass. Under version = fixed
 * that may never harm; under 7.0 it shows the bugs that release is known for, and no other.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "iommu/hw/hw.h"
#include "sim/core/error.h"
#include "sim/machine/replay.h"
#include "sim/machine/segments.h"
#include "sim/tests/sample.h"

#define SECTOR_BYTES  512u
#define SWEEP_NTH_MAX 150
#define SWEEP_NTH_ALL 3 /* in each mode one, also of a sample */
#define CPUS	      2

/* ---- machine files ---- */

static void config_of(struct machine_config *config, const char *const *sets)
{
	g_autoptr(GError) error = NULL;

	machine_config_init(config);
	for (; sets && *sets; sets++) {
		machine_config_set(config, *sets, &error);
		g_assert_no_error(error);
	}
	machine_config_check(config, &error);
	g_assert_no_error(error);
}

/** Writes @text into a new file; free the name with g_free(), and remove the file. */
static char *write_file(const char *text)
{
	char *path = NULL;
	int fd = g_file_open_tmp("machine-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
	close(fd);
	return path;
}

static void assert_read_back(const struct machine_config *config)
{
	g_autofree char *text = machine_config_text(config), *path = write_file(text), *again = NULL;
	g_autoptr(GError) error = NULL;
	struct machine_config read;

	machine_config_init(&read);
	machine_config_load(&read, path, &error);
	g_unlink(path);
	g_assert_no_error(error);
	again = machine_config_text(&read);
	g_assert_cmpstr(again, ==, text);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		g_assert_cmpuint(machine_config_behaviour(&read, (enum behaviour)row), ==,
				 machine_config_behaviour(config, (enum behaviour)row));
}

static void test_config_default_reads_back(void)
{
	struct machine_config config;

	config_of(&config, NULL);
	assert_read_back(&config);
}

static void test_config_changes_read_back(void)
{
	static const char *const sets[] = {"kernel.version=6.18",
					   "machine.cpus=3",
					   "machine.seed=0xffffffffffffffff",
					   "machine.timeline=1s",
					   "machine.p2p=0x380000000000-0x3800ffffffff",
					   "machine.p2p-path=host-bridge",
					   "machine.p2p-bus=0xffffffff00000000",
					   "iommu.levels=5",
					   "iommu.caching-mode=yes",
					   "iommu.reserved=0x1000-0x1fff 4096000-8191999",
					   "iotlb.entries=0",
					   "iotlb.ways=1",
					   "iotlb.replacement=plru",
					   "iotlb.page-sizes=4k 2M",
					   "iotlb.walk-entries=3",
					   "iotlb.walk-entries-0=5",
					   "iotlb.walk-entries-4=6",
					   "iotlb.ats=yes",
					   "iotlb.ats-ns=1",
					   "nvme.sgl=no",
					   "nvme.sgl-threshold=64k",
					   "nvme.read-latency=1.5us",
					   "nvme.lost-completion=all",
					   "nvme.io-timeout=1s",
					   "nvme.fault-status=0x281",
					   "segments.layout=thp",
					   "cost.doorbell-ns=4000000",
					   NULL};
	struct machine_config config;

	config_of(&config, sets);
	g_assert_cmpuint(config.read_ns, ==, 1500);
	g_assert_cmpuint(config.sgl_threshold, ==, 65536);
	g_assert_cmpuint(config.reserved_count, ==, 2);
	g_assert_cmpuint(config.reserved[1].last, ==, 8191999);
	g_assert_cmphex(config.p2p.first, ==, UINT64_C(0x380000000000));
	g_assert_cmphex(config.p2p.last, ==, UINT64_C(0x3800ffffffff));
	g_assert_cmpuint(config.p2p_path, ==, P2P_PATH_HOST_BRIDGE);
	g_assert_cmphex(config.page_sizes, ==, 0x201000);
	assert_read_back(&config);
}

static void test_config_empty_reserved_reads_back(void)
{
	static const char *const sets[] = {"iommu.reserved=", NULL};
	struct machine_config config;

	config_of(&config, sets);
	g_assert_cmpuint(config.reserved_count, ==, 0);
	assert_read_back(&config);
}

/* What the DMA layer is told of another device's memory, and none any more. */
static void test_config_p2p_window(void)
{
	struct machine_config config;
	struct dma_p2p_window window;

	machine_config_init(&config);
	g_assert_false(machine_config_p2p(&config, &window));
	g_assert_cmpint(window.kind, ==, DMA_P2P_NONE);
	g_assert_true(machine_config_set(&config, "machine.p2p=0x380000000000-0x380000000fff", NULL));
	g_assert_true(machine_config_p2p(&config, &window));
	g_assert_cmpint(window.kind, ==, DMA_P2P_BUS_ADDR);
	g_assert_cmphex(window.first, ==, UINT64_C(0x380000000000));
	g_assert_cmphex(window.last, ==, UINT64_C(0x380000000fff));
	g_assert_cmphex(window.bus_offset, ==, 0);
	g_assert_true(machine_config_set(&config, "machine.p2p-bus=0x1000", NULL));
	g_assert_true(machine_config_set(&config, "machine.p2p-path=unsupported", NULL));
	g_assert_true(machine_config_p2p(&config, &window));
	g_assert_cmpint(window.kind, ==, DMA_P2P_UNSUPPORTED);
	g_assert_cmphex(window.first + window.bus_offset, ==, 0x1000);
	g_assert_true(machine_config_set(&config, "machine.p2p=none", NULL));
	g_assert_false(machine_config_p2p(&config, &window));
	g_assert_cmphex(config.p2p.first, ==, 0);
}

#define P2P_TAKES "must be none, or FIRST-LAST, whole pages of 4096 from 0x1000 to 0x3fffffffffff"

static void test_config_every_behaviour_and_version_reads_back(void)
{
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		for (unsigned value = 0; behaviour_rows[row].values[value]; value++) {
			g_autofree char *set = g_strdup_printf("behaviour.%s=%s", behaviour_rows[row].name,
							       behaviour_rows[row].values[value]);
			struct machine_config config;

			config_of(&config, (const char *const[]){set, NULL});
			g_assert_cmpuint(machine_config_behaviour(&config, (enum behaviour)row), ==, value);
			assert_read_back(&config);
		}
	for (unsigned version = 0; version < KERNEL_VERSIONS; version++) {
		g_autofree char *set = g_strdup_printf("kernel.version=%s", kernel_version_names[version]);
		struct machine_config config;

		config_of(&config, (const char *const[]){set, NULL});
		g_assert_cmpuint(config.version, ==, version);
		assert_read_back(&config);
	}
}

/* A file that says what the version has anyway changes nothing: DIR/machine.ini must repeat its run to the
 * byte. */
static void test_config_changes_are_those_that_matter(void)
{
	struct machine_config config, read;
	g_autofree char *text = NULL, *path = NULL;
	char **changes;

	config_of(&config, (const char *const[]){"kernel.version=6.17", "nvme.depth=7", NULL});
	text = machine_config_text(&config);
	path = write_file(text);
	machine_config_init(&read);
	g_assert_true(machine_config_load(&read, path, NULL));
	g_unlink(path);
	for (unsigned i = 0; i < 2; i++) {
		g_autofree char *joined = NULL;

		changes = machine_config_changes(i ? &read : &config);
		joined = g_strjoinv(" ", changes);
		g_assert_cmpstr(joined, ==, "kernel.version 6.17 nvme.depth 7");
		g_strfreev(changes);
	}
}

/* What nobody chose is as the hardware has it, with its source; what somebody chose stays, whatever is set after. */
static void test_config_iotlb_is_the_hardwares(void)
{
	struct machine_config config;
	struct iotlb_config tlb;
	g_autofree char *text = NULL, *source = NULL;

	config_of(&config, NULL);
	machine_config_tlb(&config, &tlb);
	g_assert_cmpmem(&tlb, sizeof(tlb), &intel_ops.tlb, sizeof(tlb));
	text = machine_config_text(&config);
	source = g_strdup_printf("# power of two; 0: no IOTLB (default: %s)\nentries = %u\n",
				 intel_ops.tlb_source, intel_ops.tlb.entries);
	g_assert_nonnull(strstr(text, source));
	config_of(&config, (const char *const[]){"iotlb.entries=64", "iotlb.walk-entries-1=2",
						 "iotlb.page-sizes=4k", "iotlb.replacement=plru", NULL});
	machine_config_tlb(&config, &tlb);
	g_assert_cmpuint(tlb.entries, ==, 64);
	g_assert_cmpuint(tlb.walk_level_entries[1], ==, 2);
	g_assert_cmpuint(tlb.page_sizes, ==, 4096);
	g_assert_cmpint(tlb.replacement, ==, IOTLB_PLRU);
	g_assert_cmpuint(tlb.walk_level_entries[0], ==, intel_ops.tlb.walk_level_entries[0]);
	g_assert_cmpuint(tlb.ways, ==, intel_ops.tlb.ways);
}

/* Every key that a machine file is written with refuses a question mark, in the same words as a file has
 * them. */
static void test_config_every_key_refuses_nonsense(void)
{
	struct machine_config config;
	g_autofree char *text = NULL, *group = NULL;
	g_auto(GStrv) lines = NULL;
	unsigned keys = 0;

	config_of(&config, NULL);
	text = machine_config_text(&config);
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++) {
		g_autofree char *key = NULL, *set = NULL, *expected = NULL, *after = NULL;
		g_autoptr(GError) error = NULL;

		if (**line == '[') {
			g_free(group);
			group = g_strndup(*line + 1, strlen(*line) - 2);
		}
		if (**line == '#' || !strstr(*line, " = "))
			continue;
		key = g_strndup(*line, (gsize)(strstr(*line, " = ") - *line));
		set = g_strdup_printf("%s.%s=?", group, key);
		expected = g_strdup_printf("--set %s: %s = ?: must be ", set, key);
		g_assert_false(machine_config_set(&config, set, &error));
		g_assert_nonnull(error);
		g_assert_cmpint(strncmp(error->message, expected, strlen(expected)), ==, 0);
		g_assert_cmpuint(strlen(error->message), >, strlen(expected));
		after = machine_config_text(&config);
		g_assert_cmpstr(after, ==, text);
		keys++;
	}
	g_assert_cmpuint(keys, >, 30);
}

static const struct {
	const char *set, *message;
} config_wrong[] = {
	{"kernel", "must be GROUP.KEY=VALUE, such as iommu.mode=lazy"},
	{"kernel.version", "must be GROUP.KEY=VALUE, such as iommu.mode=lazy"},
	{"kernel=version.7", "must be GROUP.KEY=VALUE, such as iommu.mode=lazy"},
	{"", "must be GROUP.KEY=VALUE, such as iommu.mode=lazy"},
	{"moon.phase=1", "unknown group [moon]"},
	{".version=7.0", "unknown group []"},
	{"kernel.cpus=1", "unknown key \"cpus\" in [kernel]"},
	{"kernel.=1", "unknown key \"\" in [kernel]"},
	{"machine.cpus=4097", "cpus = 4097: must be a number from 0 to 4096"},
	{"machine.cpus=-1", "cpus = -1: must be a number from 0 to 4096"},
	{"machine.cpus=", "cpus = : must be a number from 0 to 4096"},
	{"machine.cpus=1.5", "cpus = 1.5: must be a number from 0 to 4096"},
	{"machine.p2p=", "p2p = : " P2P_TAKES},
	{"machine.p2p=0x1000", "p2p = 0x1000: " P2P_TAKES},
	{"machine.p2p=0-0xfff", "p2p = 0-0xfff: " P2P_TAKES},
	{"machine.p2p=0x1000-0x1000", "p2p = 0x1000-0x1000: " P2P_TAKES},
	{"machine.p2p=0x1001-0x1fff", "p2p = 0x1001-0x1fff: " P2P_TAKES},
	{"machine.p2p=0x2000-0x1fff", "p2p = 0x2000-0x1fff: " P2P_TAKES},
	{"machine.p2p=0x1000-0x400000000fff", "p2p = 0x1000-0x400000000fff: " P2P_TAKES},
	{"machine.p2p=0x1000-0x1fff 0x3000-0x3fff", "p2p = 0x1000-0x1fff 0x3000-0x3fff: " P2P_TAKES},
	{"machine.p2p-path=switch", "p2p-path = switch: must be one of bus, host-bridge, unsupported"},
	{"machine.p2p-bus=1",
	 "p2p-bus = 1: must be a number from 0 to 18446744073709551615, a multiple of 4096"},
	{"iommu.levels=6", "levels = 6: must be a number from 3 to 5"},
	{"iommu.levels=2", "levels = 2: must be a number from 3 to 5"},
	{"iommu.caching-mode=true", "caching-mode = true: must be one of no, yes"},
	{"iommu.reserved=5-4", "reserved = 5-4: must be at most 64 ranges FIRST-LAST with blanks between"},
	{"iommu.reserved=5", "reserved = 5: must be at most 64 ranges FIRST-LAST with blanks between"},
	{"iotlb.ways=3", "ways = 3: must be a number from 1 to 64, a power of two"},
	{"iotlb.entries=12", "entries = 12: must be a number from 0 to 1048576, a power of two"},
	{"iotlb.replacement=fifo", "replacement = fifo: must be one of lru, plru, random"},
	{"iotlb.page-sizes=",
	 "page-sizes = : must be any, or sizes with blanks between, powers of two from 4096"},
	{"iotlb.page-sizes=4k 3M",
	 "page-sizes = 4k 3M: must be any, or sizes with blanks between, powers of two from 4096"},
	{"iotlb.page-sizes=2k",
	 "page-sizes = 2k: must be any, or sizes with blanks between, powers of two from 4096"},
	{"iotlb.walk-entries-5=1", "unknown key \"walk-entries-5\" in [iotlb]"},
	{"iotlb.ats-entries=0", "ats-entries = 0: must be a number from 1 to 1048576, a power of two"},
	{"nvme.depth=1", "depth = 1: must be a number from 2 to 4095"},
	{"nvme.fault-status=0x800", "fault-status = 0x800: must be a number from 1 to 2047"},
	{"nvme.sgl-threshold=4X",
	 "sgl-threshold = 4X: must be a size in bytes, or with a unit such as 4k, from 0 to 4294967295"},
	{"nvme.read-latency=1min",
	 "read-latency = 1min: must be a time in ns, or with a unit such as 5us, from 0 to 10000000000"},
	{"segments.layout=random", "layout = random: must be one of recorded, scattered, contiguous, thp, recorded-mix"},
	{"cost.coffee-ns=1", "unknown key \"coffee-ns\" in [cost]"},
	{"cost.doorbell-ns=4000001", "doorbell-ns = 4000001: must be a number of ns from 0 to 4000000"},
	{"behaviour.tea=hot", "unknown key \"tea\" in [behaviour]"},
	{"behaviour.iova-depot=none", "iova-depot = none: must be one of array-32, trimmed"},
};

static void test_config_wrong(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(config_wrong); i++) {
		g_autofree char *expected =
			g_strdup_printf("--set %s: %s", config_wrong[i].set, config_wrong[i].message);
		g_autoptr(GError) error = NULL;
		struct machine_config config;

		machine_config_init(&config);
		g_assert_false(machine_config_set(&config, config_wrong[i].set, &error));
		g_assert_nonnull(error);
		/* Behind it may stand what to do about it. */
		if (!g_str_has_prefix(error->message, expected))
			g_assert_cmpstr(error->message, ==, expected);
	}
}

/* Another device's memory lies where nothing else does: just before and just behind is apart. */
static void test_config_p2p_apart(void)
{
	static const struct {
		const char *p2p, *message;
	} rows[] = {
		{"0xfffff000-0x100000fff", "0x100000000-0x1ffffffff is for made segments"},
		{"0x1fffff000-0x1ffffffff", "0x100000000-0x1ffffffff is for made segments"},
		{"0x1000-0x200000fff", "0x100000000-0x1ffffffff is for made segments"},
		{"0x6ffff000-0x70000fff", "0x70000000-0x70001fff is for bounce buffers"},
		{"0x70001000-0x70001fff", "0x70000000-0x70001fff is for bounce buffers"},
		{"0x70002000-0xffffffff", NULL},
		{"0x1000-0x6fffffff", NULL},
		{"0x200000000-0x3fffffffffff", NULL},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *set = g_strdup_printf("machine.p2p=%s", rows[i].p2p), *expected = NULL;
		g_autoptr(GError) error = NULL;
		struct machine_config config;

		machine_config_init(&config);
		g_assert_true(machine_config_set(&config, "machine.swiotlb=8k", NULL));
		g_assert_true(machine_config_set(&config, set, NULL));
		g_assert_cmpint(machine_config_check(&config, &error), ==, !rows[i].message);
		expected = rows[i].message ? g_strdup_printf("machine.p2p = %s: %s", rows[i].p2p, rows[i].message) :
					     NULL;
		g_assert_cmpstr(error ? error->message : NULL, ==, expected);
	}
}

static void test_config_p2p_on_the_bus(void)
{
	struct machine_config config;
	g_autoptr(GError) error = NULL;

	machine_config_init(&config);
	g_assert_true(machine_config_set(&config, "machine.p2p=0x1000-0x2fff", NULL));
	g_assert_true(machine_config_set(&config, "machine.p2p-bus=0xffffffffffffe000", NULL));
	g_assert_true(machine_config_check(&config, NULL));
	g_assert_true(machine_config_set(&config, "machine.p2p-bus=0xfffffffffffff000", NULL));
	g_assert_false(machine_config_check(&config, &error));
	g_assert_cmpstr(error->message, ==,
			"machine.p2p-bus = 18446744073709547520: machine.p2p would end beyond 64 bits");
}

static void test_config_impossible_together(void)
{
	struct machine_config config;
	g_autoptr(GError) error = NULL;

	machine_config_init(&config);
	g_assert_true(machine_config_set(&config, "iotlb.entries=4", NULL));
	g_assert_false(machine_config_check(&config, &error));
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, ==, "iotlb.ways = 8: must be at most iotlb.entries, 4");
	g_clear_error(&error);
	machine_config_init(&config);
	g_assert_true(machine_config_set(&config, "iotlb.ats-entries=4", NULL));
	g_assert_true(machine_config_check(&config, NULL));
	g_assert_true(machine_config_set(&config, "iotlb.ats=yes", NULL));
	g_assert_false(machine_config_check(&config, &error));
	g_assert_nonnull(error);
	g_assert_cmpstr(error->message, ==, "iotlb.ats-ways = 8: must be at most iotlb.ats-entries, 4");
	g_clear_error(&error);
	machine_config_init(&config);
	g_assert_true(machine_config_set(&config, "iotlb.ats=yes", NULL));
	g_assert_true(machine_config_set(&config, "iommu.hardware=amd", NULL));
	g_assert_false(machine_config_check(&config, &error));
	g_assert_true(g_str_has_prefix(error->message, "iotlb.ats = yes: with iommu.hardware = amd nobody"));
}

/* The block mapper's own behaviours have no value in a kernel that lacks it. */
static void test_config_mapper_wants_its_behaviours(void)
{
	static const char *const rows[] = {"blkdma-rollback=fixed",   "bounce-link=fixed",
					   "rollback-iova-free=whole",
					   "metadata-gap=own",	      "descriptor-pool-unmap=fixed",
					   "prp-pool-unmap=whole",    "p2p-vec-free=fixed"};
	struct machine_config config;

	machine_config_init(&config);
	g_assert_true(machine_config_set(&config, "kernel.version=6.12", NULL));
	g_assert_true(machine_config_check(&config, NULL));
	g_assert_true(machine_config_set(&config, "behaviour.blkdma-mapper=iova", NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *name = g_strndup(rows[i], strcspn(rows[i], "=")), *set = NULL, *expected = NULL;
		g_autoptr(GError) error = NULL;

		g_assert_false(machine_config_check(&config, &error));
		g_assert_nonnull(error);
		expected = g_strdup_printf("behaviour.blkdma-mapper = iova: kernel.version = 6.12 has no %s, "
					   "so behaviour.%s must be chosen, too",
					   name, name);
		g_assert_cmpstr(error->message, ==, expected);
		set = g_strdup_printf("behaviour.%s", rows[i]);
		g_assert_true(machine_config_set(&config, set, NULL));
	}
	g_assert_true(machine_config_check(&config, NULL));
	assert_read_back(&config);
}

/* ---- histogram and segments ---- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_histogram_percentiles_are_within_a_percent(void)
{
	static const unsigned per_milles[] = {1, 100, 500, 900, 990, 999, 1000};
	const unsigned count = 5000;
	g_autofree struct histogram *histogram = g_new0(struct histogram, 1);
	g_autofree uint64_t *samples = g_new(uint64_t, count);
	struct prng prng;

	g_assert_cmpuint(histogram_percentile(histogram, 500), ==, 0);
	prng_init(&prng, 1, "histogram");
	for (unsigned i = 0; i < count; i++) {
		samples[i] = prng_next(&prng) >> (20 + prng_below(&prng, 44));
		histogram_add(histogram, samples[i]);
	}
	qsort(samples, count, sizeof(*samples), compare_u64);
	g_assert_cmpuint(histogram->max_ns, ==, samples[count - 1]);
	g_assert_cmpuint(histogram->count, ==, count);
	for (unsigned i = 0; i < G_N_ELEMENTS(per_milles); i++) {
		uint64_t rank = ((uint64_t)count * per_milles[i] + 999) / 1000;
		uint64_t exact = samples[MAX(rank, 1) - 1],
			 got = histogram_percentile(histogram, per_milles[i]);

		g_assert_cmpuint(got, >=, exact);
		g_assert_cmpuint(got - exact, <=, exact / 100 + 1);
	}
}

static void test_histogram_groups_hold_every_sample_once(void)
{
	g_autofree struct histogram *histogram = g_new0(struct histogram, 1);
	uint64_t all = 0, before = 0, upto_ns;

	for (unsigned bit = 0; bit < 64; bit++) {
		histogram_add(histogram, (UINT64_C(1) << bit) - 1);
		histogram_add(histogram, UINT64_C(1) << bit);
		histogram_add(histogram, (UINT64_C(1) << bit) + (UINT64_C(1) << bit) / 4);
	}
	histogram_add(histogram, UINT64_MAX);
	for (unsigned group = 0; group < HISTOGRAM_GROUPS; group++) {
		uint64_t count = histogram_group(histogram, group, &upto_ns), brute = 0;

		g_assert_true(group == 0 || upto_ns > before);
		for (unsigned bit = 0; bit < 64; bit++)
			for (unsigned i = 0; i < 3; i++) {
				uint64_t ns = (UINT64_C(1) << bit) + (i == 1 ? (UINT64_C(1) << bit) / 4 : 0) - (i == 2);

				brute += ns <= upto_ns && (group == 0 || ns > before);
			}
		g_assert_cmpuint(count, ==, brute + (upto_ns == UINT64_MAX));
		before = upto_ns;
		all += count;
	}
	g_assert_cmpuint(upto_ns, ==, UINT64_MAX);
	g_assert_cmpuint(all, ==, histogram->count);
}

/** Every layout with the alignment and offset of @place, for every size, several times. */
static void assert_segments(const struct segment_rule *place, const uint64_t *sizes, unsigned count)
{
	uint64_t alignment = place->alignment ? place->alignment : FRAME_SIZE, places = 0;

	for (enum segment_layout layout = LAYOUT_SCATTERED; layout <= LAYOUT_THP; layout++)
		for (unsigned i = 0; i < count * 20; i++) {
			const struct segment_rule rule = {layout, place->alignment, place->offset};
			uint64_t bytes = sizes[i % count], sum = 0;
			struct bio_vec_list vecs = {0}, again = {0};
			struct prng prng = {.state = i}, same = {.state = i};

			segments_make(&prng, &rule, bytes, &vecs);
			segments_make(&same, &rule, bytes, &again);
			g_assert_cmpmem(vecs.vecs, vecs.count * sizeof(struct bio_vec), again.vecs,
					again.count * sizeof(struct bio_vec));
			for (uint32_t k = 0; k < vecs.count; k++) {
				const struct bio_vec *vec = &vecs.vecs[k];
				uint64_t last = vec->paddr + vec->len - 1;

				sum += vec->len;
				g_assert_cmpuint(vec->len, >, 0);
				if (k == 0)
					places |= UINT64_C(1) << vec->paddr % FRAME_SIZE / alignment;
				if (k)
					g_assert_cmpuint(vec->paddr % FRAME_SIZE, ==, 0);
				else
					g_assert_cmpuint(vec->paddr % alignment, ==, place->offset);
				if (k + 1 < vecs.count)
					g_assert_cmpuint((last + 1) % FRAME_SIZE, ==, 0);
				g_assert_cmpuint(vec->paddr, >=, SEGMENTS_BASE);
				g_assert_cmpuint(last, <, SEGMENTS_BASE + ((uint64_t)SEGMENTS_PAGES << FRAME_LG2));
				if (layout == LAYOUT_SCATTERED)
					g_assert_cmpuint(vec->paddr >> FRAME_LG2, ==, last >> FRAME_LG2);
				if (layout == LAYOUT_THP)
					g_assert_cmpuint(vec->paddr >> 21, ==, last >> 21);
			}
			g_assert_cmpuint(sum, ==, bytes);
			if (layout == LAYOUT_CONTIGUOUS)
				g_assert_cmpuint(vecs.count, ==, 1);
			bio_vec_list_finish(&vecs);
			bio_vec_list_finish(&again);
		}
	/* Every place in a page that is allowed was drawn. */
	g_assert_cmpuint(places, ==, (UINT64_C(1) << MAX(FRAME_SIZE / alignment, 1)) - 1);
}

static void test_segments_follow_their_rule(void)
{
	static const uint64_t sizes[] = {1, 512, 4096, 4097, 65536, 2 << 20, (5 << 20) + 512};
	static const struct segment_rule places[] = {{.alignment = 0},
						     {.alignment = 4096},
						     {.alignment = 512},
						     {.alignment = 512, .offset = 8},
						     {.alignment = 4096, .offset = 4092},
						     {.alignment = 65536, .offset = 512},
						     {.alignment = 2 << 20}};

	for (unsigned i = 0; i < G_N_ELEMENTS(places); i++)
		assert_segments(&places[i], sizes, G_N_ELEMENTS(sizes));
}

/* A form of five segments, for requests of its class that are longer and shorter; other classes have none. */
static void test_segments_in_recorded_forms(void)
{
	static const struct bio_vec five[] = {{0x5e00, 512}, {0x9000, 4096}, {0x1000, 8192}, {0x20000, 4096}, {0x7000, 512}};
	struct segment_forms forms = {0};
	struct prng prng = {.state = 1};
	struct bio_vec_list form = {0}, vecs = {0};
	static const uint64_t longer[] = {512, 4096, 8192, 4096, 15000};

	for (unsigned i = 0; i < G_N_ELEMENTS(five); i++)
		bio_vec_list_add(&form, five[i].paddr, five[i].len);
	g_assert_false(segments_make_form(&forms, &prng, 17408, &vecs));
	segments_learn(&forms, &prng, 17408, &form);
	/* Another class has none. */
	g_assert_false(segments_make_form(&forms, &prng, 16383, &vecs));
	g_assert_false(segments_make_form(&forms, &prng, 32768, &vecs));
	g_assert_cmpuint(vecs.count, ==, 0);
	/* As long, longer, shorter: the lengths, and where in their pages they begin, are the form's. */
	g_assert_true(segments_make_form(&forms, &prng, 16896 + 15000, &vecs));
	g_assert_cmpuint(vecs.count, ==, 5);
	for (uint32_t i = 0; i < vecs.count; i++) {
		g_assert_cmpuint(vecs.vecs[i].paddr % FRAME_SIZE, ==,
				 five[i].paddr % FRAME_SIZE);
		g_assert_cmpuint(vecs.vecs[i].len, ==, longer[i]);
		g_assert_cmpuint(vecs.vecs[i].paddr, >=, SEGMENTS_BASE);
	}
	vecs.count = 0;
	g_assert_true(segments_make_form(&forms, &prng, 16384, &vecs));
	g_assert_cmpuint(vecs.count, ==, 4);
	g_assert_cmpuint(vecs.vecs[3].len, ==, 16384 - 512 - 4096 - 8192);
	segments_forget(&forms);
	bio_vec_list_finish(&form);
	bio_vec_list_finish(&vecs);
}

/* Of a thousand forms that are told apart by where they begin, a fair sample stays: about as many early as late ones. */
static void test_forms_are_a_fair_sample(void)
{
	unsigned early = 0, all = 0;

	for (unsigned seed = 0; seed < 100; seed++) {
		struct segment_forms forms = {0};
		struct prng prng;

		prng_init(&prng, seed, "forms");
		for (unsigned i = 0; i < 1000; i++) {
			struct bio_vec vec = {i * 4, 4096};
			const struct bio_vec_list form = {&vec, 1, 1};

			segments_learn(&forms, &prng, 4096, &form);
		}
		for (unsigned i = 0; i < SEGMENTS_FORMS; i++, all++)
			early += forms.forms[12][i].vecs[0].paddr < 2000;
		segments_forget(&forms);
	}
	g_assert_cmpuint(all, ==, 3200);
	/* Half of 3200, give or take five standard deviations of 28. */
	g_assert_cmpuint(early, >, 1600 - 142);
	g_assert_cmpuint(early, <, 1600 + 142);
}

/* ---- traces ---- */

struct trace {
	GString *text;
	uint64_t time_us;
	char *path;
};

static void trace_init(struct trace *trace)
{
	*trace = (struct trace){.text = g_string_new("# tracer: nop\n"), .time_us = 1};
}

static void trace_event(struct trace *trace, unsigned cpu, const char *name)
{
	g_string_append_printf(trace->text, "  t-1  [%03u] .....  %u.%06u: %s: ", cpu,
			       (unsigned)(trace->time_us / 1000000), (unsigned)(trace->time_us % 1000000),
			       name);
}

static void trace_segment(struct trace *trace, unsigned cpu, bool to_device, uint64_t paddr, unsigned bytes)
{
	trace_event(trace, cpu, "dma_map_phys");
	g_string_append_printf(trace->text,
			       "0000:01:00.0 dir=%s_DEVICE dma_addr=0 size=%u phys_addr=%" G_GINT64_MODIFIER
			       "x attrs=\n",
			       to_device ? "TO" : "FROM", bytes, paddr);
}

static void trace_issue(struct trace *trace, unsigned cpu, const char *letters, uint64_t sector,
			unsigned bytes)
{
	trace_event(trace, cpu, "block_rq_issue");
	g_string_append_printf(trace->text, "259,0 %s %u () %" G_GUINT64_FORMAT " + %u none,0,0 [t]\n",
			       letters, bytes, sector, bytes / SECTOR_BYTES);
}

static void trace_complete(struct trace *trace, unsigned cpu, const char *letters, uint64_t sector,
			   unsigned bytes)
{
	trace_event(trace, cpu, "block_rq_complete");
	g_string_append_printf(trace->text, "259,0 %s () %" G_GUINT64_FORMAT " + %u none,0,0 [0]\n", letters,
			       sector, bytes / SECTOR_BYTES);
}

static void trace_finish(struct trace *trace)
{
	trace->path = write_file(trace->text->str);
}

static void trace_clear(struct trace *trace)
{
	if (trace->path)
		g_unlink(trace->path);
	g_free(trace->path);
	g_string_free(trace->text, TRUE);
}

/* Kinds of request that take different ways through mapper and driver: @count segments of @len bytes, each
 * @step after the last, the first @skew bytes into a page. No segments: the machine makes them. */
static const struct shape {
	const char *letters;
	unsigned bytes, count, len, step, skew;
} shapes[] = {
	{"R", 4096, 1, 4096, 0, 0},	     /* one page */
	{"W", 512, 1, 512, 0, 1536},	     /* part of one */
	{"R", 8192, 2, 4096, 16384, 0},	     /* two pages: two PRPs */
	{"W", 65536, 16, 4096, 16384, 0},    /* scattered pages in one IOVA: a PRP list */
	{"R", 131072, 2, 65536, 1 << 20, 0}, /* large segments: an SGL */
	{"W", 12288, 3, 4096, 16384, 512},   /* gaps: no common IOVA */
	{"R", 131072, 1, 131072, 0, 0},	     /* one run */
	{"W", 8192, 1, 8192, 0, 2048},	     /* over two page boundaries */
	{"R", 262144, 0, 0, 0, 0},	     /* made, and split */
	{"F", 0, 0, 0, 0, 0},
	{"D", 65536, 0, 0, 0, 0},
	{"WZ", 65536, 0, 0, 0, 0},
};

#define TRACE_IN_FLIGHT 6

/** A trace of @ios requests of all shapes that a disk with blocks of @block_bytes takes, the same for the
 * same @seed. */
static void trace_make(struct trace *trace, unsigned ios, uint64_t seed, uint64_t block_bytes)
{
	struct {
		unsigned cpu;
		const struct shape *shape;
		uint64_t sector;
	} open[TRACE_IN_FLIGHT];
	unsigned count = 0;
	struct prng prng;

	prng_init(&prng, seed, "trace");
	trace_init(trace);
	for (unsigned i = 0; i < ios || count; trace->time_us += 1 + prng_below(&prng, 20)) {
		const struct shape *shape =
			&shapes[i < G_N_ELEMENTS(shapes) ? i : prng_below(&prng, G_N_ELEMENTS(shapes))];
		unsigned cpu = prng_below(&prng, CPUS), chosen;
		uint64_t page = SEGMENTS_BASE + ((uint64_t)prng_below(&prng, 1 << 16) << 16);
		bool write = shape->letters[0] == 'W';

		if (shape->bytes % block_bytes)
			shape = &shapes[0];
		if (i == ios || count == TRACE_IN_FLIGHT || (count && prng_below(&prng, 3) == 0)) {
			chosen = prng_below(&prng, count);
			if (prng_below(&prng, 4))
				cpu = open[chosen].cpu;
			trace_complete(trace, cpu, open[chosen].shape->letters, open[chosen].sector,
				       open[chosen].shape->bytes);
			open[chosen] = open[--count];
			continue;
		}
		for (unsigned k = 0; k < shape->count; k++)
			trace_segment(trace, cpu, write, page + k * (uint64_t)shape->step + shape->skew,
				      shape->len);
		/* A flush has no place on the disk. */
		open[count].sector = shape->bytes ? 2048 * (uint64_t)(i + 1) : 0;
		open[count].cpu = cpu;
		open[count].shape = shape;
		trace_issue(trace, cpu, shape->letters, open[count++].sector, shape->bytes);
		i++;
	}
	trace_finish(trace);
}

/* ---- runs ---- */

struct run {
	struct machine_config config;
	struct machine *machine;
	struct replay_stats stats;
	struct io_stream_stats trace;
	int probe_error;
};

/** Replays @trace in @mode on a machine that config and @rules (may be NULL) describe, lets @at_end (may be NULL) look at it,
 * and removes the machine's driver. Free with run_free(). */
static struct run *run_new_seen(const struct machine_config *config, const struct trace *trace,
				enum replay_mode mode, struct fault_rules *rules,
				void (*at_end)(void *data, struct machine *machine))
{
	struct run *run = g_new0(struct run, 1);
	const struct replay_options options = {.mode = mode, .at_end = at_end};
	g_autoptr(GError) error = NULL;
	const struct trace_options reading = {0};
	struct io_transform *stream = io_transform_open(trace->path, &reading, &error);
	const char *step = NULL;

	g_assert_no_error(error);
	run->config = *config;
	run->machine = machine_new(config, CPUS, rules);
	run->probe_error = machine_probe(run->machine, mode != REPLAY_ASAP, &step);
	if (run->probe_error)
		g_assert_nonnull(step);
	if (!run->probe_error && run->machine->nvme->queue_count >= 2) {
		struct replay_part part;

		replay_run(run->machine, &stream, &options, &run->stats, &part, &error);
		g_assert_no_error(error);
		run->trace = *io_transform_stats(stream);
		g_assert_cmpuint(run->stats.issued, ==, run->trace.issues);
		g_assert_cmpuint(run->stats.ios, ==, run->stats.issued);
	}
	machine_remove(run->machine);
	io_transform_close(stream);
	return run;
}

static struct run *run_new(const struct machine_config *config, const struct trace *trace,
			   enum replay_mode mode, struct fault_rules *rules)
{
	return run_new_seen(config, trace, mode, rules, NULL);
}

static void run_free(struct run *run)
{
	machine_free(run->machine);
	g_free(run);
}

/** Returns the kinds of violations that were found and are not in @allowed, a mask of 1 << kind. */
static unsigned run_violations(const struct run *run, unsigned allowed)
{
	unsigned found = 0;

	for (unsigned kind = 0; kind < FINDING_KINDS; kind++)
		if (finding_kinds[kind].violation && run->machine->sim->findings.count[kind])
			found |= 1u << kind;
	return found & ~allowed;
}

/** Returns what is left behind, in words; NULL: nothing. Page tables stay until the domain goes. */
static char *run_left(const struct run *run)
{
	const struct machine *machine = run->machine;
	const struct physmem *mem = &machine->sim->mem;
	const struct iommu_stats *stats = machine->iommu ? &machine->iommu->stats : NULL;
	unsigned tables = machine->domain ? (unsigned)machine->domain->pt->table_pages : 0;

	if (machine->has_dev && machine->dev.live.count)
		return g_strdup_printf("%u IOVAs", machine->dev.live.count);
	if (stats && stats->mapped_bytes != stats->unmapped_bytes)
		return g_strdup_printf("%" G_GUINT64_FORMAT " bytes mapped, %" G_GUINT64_FORMAT " unmapped",
				       stats->mapped_bytes, stats->unmapped_bytes);
	/* Of some boards a root has several frames, or tables share one. */
	if (!machine->board && mem->in_use[FRAME_PGTABLE] != tables)
		return g_strdup_printf("%u frames for %u page-table pages", mem->in_use[FRAME_PGTABLE],
				       tables);
	for (unsigned use = FRAME_PGTABLE + 1; use < FRAME_USES; use++)
		if (mem->in_use[use])
			return g_strdup_printf("%u frames of use %u", mem->in_use[use], use);
	return NULL;
}

static void run_print_findings(const struct run *run)
{
	for (guint i = 0; i < run->machine->sim->findings.kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(run->machine->sim->findings.kept, i);

		g_test_message("%s: %s; %s", finding_kinds[finding->kind].name, finding->text,
			       finding->acquired ? finding->acquired : "-");
	}
}

/** Fails the test unless nothing but @allowed was found and, where leaks are not allowed, nothing is left. */
static void run_check(const struct run *run, unsigned allowed, const char *what)
{
	g_autofree char *left = allowed & 1u << FINDING_LEAK ? NULL : run_left(run);

	if (!run_violations(run, allowed) && !left)
		return;
	run_print_findings(run);
	g_test_message("%s: left: %s", what, left ? left : "nothing");
	g_test_fail();
}

/* ---- replays that nothing disturbs ---- */

static const struct {
	const char *name;
	const char *sets[6];
} machines[] = {
	{"default", {NULL}},
	{"prp-only", {"nvme.sgl=no", NULL}},
	{"sgl-always", {"nvme.sgl-threshold=1", NULL}},
	{"caching-mode", {"iommu.caching-mode=yes", NULL}},
	{"three-levels", {"iommu.levels=3", "iommu.forcedac=yes", NULL}},
	{"five-levels", {"iommu.levels=5", NULL}},
	{"lazy", {"iommu.mode=lazy", NULL}},
	{"passthrough", {"iommu.mode=passthrough", NULL}},
	{"one-tag", {"nvme.depth=2", "nvme.queues=1", NULL}},
	{"no-iotlb", {"iotlb.entries=0", "iotlb.walk-entries=0", NULL}},
	{"tiny-iotlb", {"iotlb.entries=1", "iotlb.ways=1", "iotlb.walk-entries=1", NULL}},
	{"random-iotlb", {"iotlb.replacement=random", "iotlb.entries=8", "iotlb.walk-entries-0=1", NULL}},
	{"iotlb-of-small-pages",
	 {"iotlb.replacement=plru", "iotlb.page-sizes=4k", "segments.layout=thp", NULL}},
	{"ats", {"iotlb.ats=yes", "iotlb.ats-entries=8", NULL}},
	{"ats-lazy", {"iotlb.ats=yes", "iommu.mode=lazy", NULL}},
	{"contiguous", {"segments.layout=contiguous", NULL}},
	{"shadow-doorbells", {"nvme.shadow-doorbells=yes", NULL}},
	{"polled", {"nvme.poll-queues=2", NULL}},
	{"one-polled", {"nvme.poll-queues=1", "nvme.depth=4", NULL}},
	{"threaded-interrupts", {"nvme.threaded-interrupts=yes", NULL}},
	{"metadata", {"nvme.metadata=8", NULL}},
	{"metadata-sgl", {"nvme.metadata=64", "nvme.metadata-sgl=yes", NULL}},
	{"metadata-sgl-passthrough",
	 {"nvme.metadata=64", "nvme.metadata-sgl=yes", "iommu.mode=passthrough", NULL}},
	{"metadata-sgl-fixed-contiguous",
	 {"nvme.metadata=64", "nvme.metadata-sgl=yes", "kernel.version=fixed", "segments.layout=contiguous",
	  NULL}},
	{"metadata-sgl-untrusted",
	 {"nvme.metadata=64", "nvme.metadata-sgl=yes", "iommu.untrusted=yes", "kernel.version=fixed", NULL}},
	{"metadata-incoherent", {"nvme.metadata=8", "nvme.coherent=no", NULL}},
	{"metadata-bounced",
	 {"nvme.metadata=64", "nvme.metadata-sgl=yes", "iommu.mode=passthrough", "nvme.dma-bits=32", NULL}},
	{"metadata-of-scatter-lists",
	 {"nvme.metadata=64", "nvme.metadata-sgl=yes", "kernel.version=6.12", NULL}},
	{"polled-of-scatter-lists", {"nvme.poll-queues=1", "kernel.version=6.1", NULL}},
	{"hmb-of-scatter-lists", {"nvme.hmb-preferred=5M", "kernel.version=6.6", NULL}},
	{"hmb-untrusted", {"nvme.hmb-preferred=5M", "iommu.untrusted=yes", NULL}},
	{"hmb-bounced", {"nvme.hmb-preferred=5M", "iommu.mode=passthrough", "nvme.dma-bits=32", NULL}},
	{"hmb", {"nvme.hmb-preferred=5M", NULL}},
	{"hmb-passthrough", {"nvme.hmb-preferred=5M", "iommu.mode=passthrough", NULL}},
	{"mdts", {"nvme.mdts=1", NULL}},
	{"thp", {"segments.layout=thp", NULL}},
	{"scattered-4k-blocks", {"segments.layout=scattered", "nvme.logical-block=4096", NULL}},
	{"slow-link", {"nvme.link-mb-s=1", NULL}},
	{"old-kernel", {"kernel.version=6.17", NULL}},
	{"6.1", {"kernel.version=6.1", NULL}},
	{"6.1-lazy", {"kernel.version=6.1", "iommu.mode=lazy", NULL}},
	{"6.1-passthrough", {"kernel.version=6.1", "iommu.mode=passthrough", NULL}},
	{"6.1-prp-only", {"kernel.version=6.1", "nvme.sgl=no", NULL}},
	{"6.6", {"kernel.version=6.6", NULL}},
	{"6.12-contiguous", {"kernel.version=6.12", "segments.layout=contiguous", NULL}},
	{"7.0-with-scatter-lists", {"behaviour.blkdma-mapper=sg", NULL}},
	{"fixed-kernel", {"kernel.version=fixed", NULL}},
};

static void test_replay_leaves_nothing(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	struct machine_config config;

	config_of(&config, machines[row].sets);
	for (uint64_t seed = 1; seed <= 5; seed++) {
		uint64_t ios = 0, bytes = 0;
		struct trace trace;

		trace_make(&trace, 200, seed, config.logical_block_bytes);
		for (enum replay_mode mode = REPLAY_OPEN; mode <= REPLAY_ASAP; mode++) {
			struct run *run = run_new(&config, &trace, mode, NULL);

			run_check(run, 0, replay_mode_names[mode]);
			g_assert_cmpuint(run->stats.errors, ==, 0);
			g_assert_cmpuint(findings_observations(&run->machine->sim->findings), ==, 0);
			g_assert_cmpuint(run->stats.requeues, ==, 0);
			/* What moves does not depend on when. */
			if (mode == REPLAY_OPEN) {
				ios = run->stats.ios;
				bytes = run->stats.bytes;
			}
			g_assert_cmpuint(run->stats.ios, ==, ios);
			g_assert_cmpuint(run->stats.bytes, ==, bytes);
			g_assert_cmpuint(bytes, >, 0);
			run_free(run);
		}
		trace_clear(&trace);
	}
}

/* asap: as many are in flight as in the recording, if the queues have room. */
static void test_replay_asap_has_the_recording_in_flight(void)
{
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, NULL);
	trace_make(&trace, 500, 3, SECTOR_BYTES);
	run = run_new(&config, &trace, REPLAY_ASAP, NULL);
	g_assert_cmpuint(run->stats.max_in_flight, ==, run->trace.max_in_flight);
	g_assert_cmpuint(run->stats.max_in_flight, ==, TRACE_IN_FLIGHT);
	run_free(run);
	trace_clear(&trace);
}

static void assert_owners(void *data, struct machine *machine)
{
	static const struct {
		uint64_t paddr, number; /* 0: nobody */
	} owners[] = {{0x0fff, 0}, {0x1000, 1}, {0x2000, 3}, {0x2fff, 3}, {0x3000, 3}, {0x4000, 0}, {0x8000, 0}};

	for (unsigned i = 0; i < G_N_ELEMENTS(owners); i++) {
		uint64_t number = 0;

		g_assert_cmpint(physmem_owner(&machine->sim->mem, owners[i].paddr, &number), ==,
				owners[i].number != 0);
		if (owners[i].number)
			g_assert_cmpuint(number, ==, owners[i].number);
	}
}

/* Requests 1 and 3 never complete, and share a frame; request 2 does. */
static void test_replay_tells_who_owns_a_frame(void)
{
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, NULL);
	trace_init(&trace);
	trace_segment(&trace, 0, false, 0x1000, 0x1800);
	trace_issue(&trace, 0, "R", 8, 0x1800);
	trace_segment(&trace, 0, false, 0x8000, 0x1000);
	trace_issue(&trace, 0, "R", 800, 0x1000);
	trace_segment(&trace, 1, false, 0x2800, 0x1000);
	trace_issue(&trace, 1, "R", 80, 0x1000);
	trace_complete(&trace, 0, "R", 800, 0x1000);
	trace_finish(&trace);
	run = run_new_seen(&config, &trace, REPLAY_ASAP, NULL, assert_owners);
	g_assert_false(physmem_owner(&run->machine->sim->mem, 0x1000, &(uint64_t){0}));
	run_free(run);
	trace_clear(&trace);
}

/* ---- counted by hand ---- */

/** @count reads of @bytes at the same time, the n-th at sector n * @step, and one more long after, all on CPU
 * 0. */
static void trace_reads(struct trace *trace, unsigned count, unsigned bytes, unsigned step)
{
	trace_init(trace);
	for (unsigned i = 0; i < count; i++)
		trace_issue(trace, 0, "R", (uint64_t)i * step, bytes);
	trace->time_us += 1000;
	for (unsigned i = 0; i < count; i++)
		trace_complete(trace, 0, "R", (uint64_t)i * step, bytes);
	trace->time_us += 1000;
	trace_issue(trace, 0, "R", 0, bytes);
	trace->time_us += 1000;
	trace_complete(trace, 0, "R", 0, bytes);
	trace_finish(trace);
}

static const struct {
	const char *name;
	const char *sets[4];
	unsigned bytes, pieces;
} splits[] = {
	{"contiguous-1m", {"segments.layout=contiguous", NULL}, 1 << 20, 8},
	{"scattered-1m", {"segments.layout=scattered", NULL}, 1 << 20, 8},
	{"thp-1m", {"segments.layout=thp", NULL}, 1 << 20, 8},
	{"just-fits", {NULL}, 128 << 10, 1},
	{"mdts-32k", {"nvme.mdts=3", NULL}, 128 << 10, 4},
	{"mdts-above-the-mapping", {"nvme.mdts=6", NULL}, 256 << 10, 2},
	{"no-iommu-mdts-1m",
	 {"segments.layout=contiguous", "iommu.mode=passthrough", "nvme.mdts=8", NULL},
	 4 << 20,
	 4},
	{"one-block-more", {NULL}, (128 << 10) + 512, 2},
	{"prp-only-1m", {"nvme.sgl=no", NULL}, 1 << 20, 8},
	{"no-iommu-1m-contiguous",
	 {"segments.layout=contiguous", "iommu.mode=passthrough", NULL},
	 1 << 20,
	 1},
	{"no-iommu-1m-scattered", {"segments.layout=scattered", "iommu.mode=passthrough", NULL}, 1 << 20, 1},
	{"no-iommu-4m-scattered", {"segments.layout=scattered", "iommu.mode=passthrough", NULL}, 4 << 20, 4},
};

static void test_replay_splits(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	struct machine_config config;
	struct trace trace;

	config_of(&config, splits[row].sets);
	trace_reads(&trace, 2, splits[row].bytes, splits[row].bytes / SECTOR_BYTES);
	for (enum replay_mode mode = REPLAY_OPEN; mode <= REPLAY_ASAP; mode++) {
		struct run *run = run_new(&config, &trace, mode, NULL);

		run_check(run, 0, splits[row].name);
		g_assert_cmpuint(run->stats.ios, ==, 3);
		g_assert_cmpuint(run->stats.splits, ==, 3 * (splits[row].pieces - 1));
		g_assert_cmpuint(run->stats.bytes, ==, UINT64_C(3) * splits[row].bytes);
		run_free(run);
	}
	trace_clear(&trace);
}

/* Pieces of one request are a batch: up to 32 of them behind one doorbell, and none behind one of 128 KiB. Completions
 * that wait for the same interrupt have one doorbell as well. */
static const struct {
	const char *name;
	const char *sets[4];
	unsigned bytes;
	uint64_t batches; /* of each of the three requests */
} batches[] = {
	{"32-pieces", {"nvme.mdts=1", "nvme.queues=1", NULL}, 256 << 10, 1},
	{"33-pieces", {"nvme.mdts=1", "nvme.queues=1", NULL}, 264 << 10, 1},
	{"34-pieces", {"nvme.mdts=1", "nvme.queues=1", NULL}, 272 << 10, 2},
	{"large-pieces", {"nvme.queues=1", NULL}, 512 << 10, 0},
	{"one-piece", {"nvme.queues=1", NULL}, 4 << 10, 0},
	{"tags-for-three", {"nvme.mdts=1", "nvme.queues=1", "nvme.depth=4", NULL}, 32 << 10, 1},
};

static void test_replay_batches(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, batches[row].sets);
	trace_reads(&trace, 1, batches[row].bytes, 8);
	run = run_new(&config, &trace, REPLAY_ASAP, NULL);
	g_assert_cmpuint(run->stats.ios, ==, 2);
	g_assert_cmpuint(run->stats.nvme.batches, ==, 2 * batches[row].batches);
	run_free(run);
	trace_clear(&trace);
}

static void test_replay_one_interrupt_for_many(void)
{
	static const char *const sets[] = {"nvme.link-mb-s=1000000", "nvme.queues=1", "nvme.sgl=no",
					   "segments.layout=contiguous", NULL};
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, sets);
	/* The CPU is busy with submitting when the first ones complete. */
	config.cost_ns[WORK_BLOCK_SUBMIT] = 1000000;
	trace_reads(&trace, 10, 4096, 8);
	run = run_new(&config, &trace, REPLAY_OPEN, NULL);
	run_check(run, 0, "one interrupt");
	g_assert_cmpuint(run->stats.ios, ==, 11);
	/* Nine that came while the tenth was prepared, the tenth, the one long after. */
	g_assert_cmpuint(run->stats.interrupts, ==, 3);
	g_assert_cmpuint(run->stats.nvme.doorbells, ==, 11 + 3);
	run_free(run);
	trace_clear(&trace);
}

static void test_replay_full_queue_waits(void)
{
	struct machine_config config;
	struct trace trace;

	config_of(&config, (const char *const[]){"nvme.depth=4", "nvme.queues=1", NULL});
	trace_reads(&trace, 10, 4096, 8);
	for (enum replay_mode mode = REPLAY_OPEN; mode <= REPLAY_ASAP; mode++) {
		struct run *run = run_new(&config, &trace, mode, NULL);

		run_check(run, 0, replay_mode_names[mode]);
		g_assert_cmpuint(run->stats.ios, ==, 11);
		g_assert_cmpuint(run->stats.errors, ==, 0);
		/* Three tags. Closed, who finds none is not issued yet; else seven wait. */
		g_assert_cmpuint(run->stats.tag_waits, ==, mode == REPLAY_CLOSED ? 0 : 7);
		g_assert_cmpuint(run->stats.max_in_flight, ==, mode == REPLAY_CLOSED ? 3 : 10);
		run_free(run);
	}
	trace_clear(&trace);
}

/** Sets every cost to nothing, so that only the device takes time. */
static void config_free_of_charge(struct machine_config *config)
{
	memset(config->cost_ns, 0, sizeof(config->cost_ns));
}

static const struct {
	const char *name;
	unsigned count, bytes, step; /* reads at once, sectors between them */
	const char *sets[6];
	uint64_t latency_ns[2]; /* of these reads; the one long after is as fast as the first */
} times[] = {
	/* 100 ns to fetch, 1000 in the channel, 4096 bytes at 1000 ps each. */
	{"one", 1, 4096, 8, {NULL}, {5196}},
	/* Two channels side by side, the link one after the other. */
	{"two-channels", 2, 4096, 8, {NULL}, {5196, 9292}},
	/* The same channel: the second is in it from 1100 to 2100, and waits for the link until 5196. */
	{"one-channel", 2, 4096, 8 * 64, {NULL}, {5196, 9292}},
	/* A fast link: 4096 bytes in 4096 ps. */
	{"one-channel-fast-link", 2, 4096, 8 * 64, {"nvme.link-mb-s=1000000", NULL}, {1105, 2105}},
	{"two-channels-fast-link", 2, 4096, 8, {"nvme.link-mb-s=1000000", NULL}, {1105, 1109}},
	/* One tag: the second is fetched when the first is done. */
	{"one-tag", 2, 4096, 8, {"nvme.depth=2", "nvme.queues=1", NULL}, {5196, 10392}},
	/* Two pieces of 131072 bytes, in two channels; done with the later one. */
	{"two-pieces",
	 1,
	 262144,
	 8,
	 {"nvme.link-mb-s=1000000", "iommu.mode=strict", "iotlb.memory-ns=0", "segments.layout=contiguous",
	  NULL},
	 {1363}},
};

static void test_replay_time_adds_up(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	static const char *const device[] = {"nvme.fetch-latency=100ns", "nvme.read-latency=1us",
					     "nvme.link-mb-s=1000", "iommu.mode=passthrough", NULL};
	uint64_t first_ns = times[row].latency_ns[0], second_ns = times[row].latency_ns[1];
	struct machine_config config;
	const struct histogram *latency;
	struct trace trace;
	struct run *run;

	config_of(&config, device);
	for (const char *const *set = times[row].sets; *set; set++)
		g_assert_true(machine_config_set(&config, *set, NULL));
	config_free_of_charge(&config);
	trace_reads(&trace, times[row].count, times[row].bytes, times[row].step);
	run = run_new(&config, &trace, REPLAY_OPEN, NULL);
	latency = &run->stats.latency[REQ_OP_READ];
	g_assert_cmpuint(latency->count, ==, times[row].count + 1);
	g_assert_cmpuint(latency->max_ns, ==, MAX(first_ns, second_ns));
	g_assert_cmpuint(latency->sum_ns, ==, 2 * first_ns + second_ns);
	run_free(run);
	trace_clear(&trace);
}

/* Costs of a read alone: polled, interrupted, and by a thread. */
static const struct {
	const char *name, *set;
	uint64_t latency_ns, interrupts;
} notices[] = {
	{"interrupt", "nvme.queues=1", 1105 + 10000, 1},
	{"thread", "nvme.threaded-interrupts=yes", 1105 + 10000 + 200000, 1},
	{"polled", "nvme.poll-queues=1", 1105, 0},
};

static void test_replay_notices(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	static const char *const sets[] = {"nvme.fetch-latency=100ns", "nvme.read-latency=1us",
					   "nvme.link-mb-s=1000000", "iommu.mode=passthrough", NULL};
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, sets);
	g_assert_true(machine_config_set(&config, notices[row].set, NULL));
	config_free_of_charge(&config);
	config.cost_ns[WORK_INTERRUPT] = 10000;
	config.cost_ns[WORK_THREAD_WAKE] = 200000;
	trace_reads(&trace, 1, 4096, 8);
	run = run_new(&config, &trace, REPLAY_OPEN, NULL);
	g_assert_cmpuint(run->stats.latency[REQ_OP_READ].max_ns, ==, notices[row].latency_ns);
	g_assert_cmpuint(run->stats.interrupts, ==, 2 * notices[row].interrupts);
	run_free(run);
	trace_clear(&trace);
}

/* Each entry that a walk reads costs memory-ns: four levels for each of three addresses, without any cache. The data
 * are on the link meanwhile. */
static void test_replay_walks_take_time(void)
{
	static const char *const sets[] = {"nvme.fetch-latency=0",   "nvme.read-latency=0",
					   "nvme.link-mb-s=1000000", "iotlb.entries=0",
					   "iotlb.walk-entries=0",   NULL};
	struct machine_config config;
	uint64_t latency_ns[2];
	struct trace trace;

	trace_reads(&trace, 1, 4096, 8);
	for (unsigned i = 0; i < 2; i++) {
		struct run *run;

		config_of(&config, sets);
		config_free_of_charge(&config);
		config.memory_ns = i ? 1000 : 0;
		run = run_new(&config, &trace, REPLAY_OPEN, NULL);
		latency_ns[i] = run->stats.latency[REQ_OP_READ].max_ns;
		run_free(run);
	}
	g_assert_cmpuint(latency_ns[0], ==, 5);
	/* The command before it is fetched, the data while they are sent, and the completion, which waits behind them. */
	g_assert_cmpuint(latency_ns[1], ==, 3 * 4 * 1000);
	trace_clear(&trace);
}

/* A device with a cache of its own asks for command, data and completion, and no more once it has them. */
static void test_replay_requests_of_the_device_take_time(void)
{
	static const char *const sets[] = {"nvme.fetch-latency=0",   "nvme.read-latency=0",
					   "nvme.link-mb-s=1000000", "iotlb.memory-ns=0",
					   "iotlb.ats=yes",	     NULL};
	struct machine_config config;
	struct trace trace;
	struct run *run;

	trace_reads(&trace, 1, 4096, 8);
	config_of(&config, sets);
	config_free_of_charge(&config);
	config.ats_ns = 1000;
	run = run_new(&config, &trace, REPLAY_OPEN, NULL);
	g_assert_cmpuint(run->stats.latency[REQ_OP_READ].max_ns, ==, 5 + 3 * 1000);
	/* The second request's command and completion are known; its data was invalidated. */
	g_assert_cmpuint(run->stats.latency[REQ_OP_READ].sum_ns, ==, 2 * 5 + 4 * 1000);
	run_free(run);
	trace_clear(&trace);
}

/* Of two reads of 1 ms the second finds no resource a few times: it is tried again at once, then when the first ends, else
 * after 3 ms. */
static const struct {
	const char *name, *sets[2];
	unsigned refusals, gap_us; /* between the reads */
	uint64_t latency_ns;
} refusals[] = {
	{"at-once", {NULL}, 1, 50000, 1000005},
	{"after-3-ms", {NULL}, 2, 50000, 4000005},
	{"after-6-ms", {NULL}, 3, 50000, 7000005},
	{"at-once-beside-another", {NULL}, 1, 100, 1000005},
	{"when-another-ends", {NULL}, 2, 100, 900005 + 1000005},
	{"after-another-ended", {NULL}, 3, 100, 900005 + 4000005},
	{"another-queue-does-not-help", {"nvme.queues=2", NULL}, 2, 100, 4000005},
};

static void test_replay_refusals(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	static const char *const sets[] = {"nvme.fetch-latency=0",    "nvme.read-latency=1ms",
					   "nvme.link-mb-s=1000000", "iotlb.memory-ns=0",
					   "nvme.queues=1",	      NULL};
	g_autofree char *text = g_strdup_printf(
		"[fault a]\npoint = iommu.map\nprobability = 100\ntimes = %u\nafter = 50us\n",
		refusals[row].refusals);
	g_autofree char *path = write_file(text);
	struct fault_rules *rules = fault_rules_new(machine_fault_tables);
	struct machine_config config;
	struct trace trace;
	struct run *run;

	g_assert_true(fault_rules_load(rules, path, NULL));
	g_unlink(path);
	config_of(&config, sets);
	for (const char *const *set = refusals[row].sets; *set; set++)
		g_assert_true(machine_config_set(&config, *set, NULL));
	config_free_of_charge(&config);
	trace_init(&trace);
	trace_issue(&trace, 0, "R", 0, 4096);
	trace.time_us += refusals[row].gap_us;
	trace_issue(&trace, 1, "R", 8, 4096);
	trace_finish(&trace);
	run = run_new(&config, &trace, REPLAY_OPEN, rules);
	run_check(run, 0, refusals[row].name);
	g_assert_cmpuint(run->stats.ios, ==, 2);
	g_assert_cmpuint(run->stats.requeues, ==, refusals[row].refusals);
	g_assert_cmpuint(run->stats.latency[REQ_OP_READ].max_ns, ==, refusals[row].latency_ns);
	run_free(run);
	trace_clear(&trace);
	fault_rules_free(rules);
}

/* Each of three reads is refused when it comes; each time the first one is tried again, and those behind it are not. */
static void test_replay_refused_wait_for_the_first(void)
{
	g_autofree char *path = write_file(
		"[fault a]\npoint = iommu.map\nprobability = 100\ntimes = -1\nafter = 50us\nbefore = 51ms\n");
	struct fault_rules *rules = fault_rules_new(machine_fault_tables);
	struct machine_config config;
	struct trace trace;
	struct run *run;

	g_assert_true(fault_rules_load(rules, path, NULL));
	g_unlink(path);
	config_of(&config, (const char *const[]){"nvme.queues=1", NULL});
	config_free_of_charge(&config);
	trace_init(&trace);
	trace_issue(&trace, 0, "R", 0, 4096);
	trace.time_us += 50000;
	for (unsigned i = 1; i <= 3; i++)
		trace_issue(&trace, 0, "R", 8 * i, 4096);
	trace_finish(&trace);
	run = run_new(&config, &trace, REPLAY_OPEN, rules);
	run_check(run, 0, "three refused");
	g_assert_cmpuint(run->stats.ios, ==, 4);
	g_assert_cmpuint(run->stats.requeues, ==, 3 + 3);
	run_free(run);
	trace_clear(&trace);
	fault_rules_free(rules);
}

/* A request is given up after 300 ms of its own; what it waited for others before does not count. */
static void test_replay_requeues_are_counted_for_each(void)
{
	g_autofree char *path =
		write_file("[fault a]\npoint = iommu.map\nprobability = 50\ntimes = -1\nafter = 1us\n");
	struct fault_rules *rules = fault_rules_new(machine_fault_tables);
	struct machine_config config;
	struct trace trace;
	struct run *run;

	g_assert_true(fault_rules_load(rules, path, NULL));
	g_unlink(path);
	config_of(&config,
		  (const char *const[]){"kernel.version=fixed", "nvme.queues=1", "nvme.depth=2", NULL});
	trace_init(&trace);
	for (unsigned i = 0; i < 1000; i++, trace.time_us += 50000) {
		trace_issue(&trace, 0, "R", 8 * i, 4096);
		trace_complete(&trace, 0, "R", 8 * i, 4096);
	}
	trace_finish(&trace);
	run = run_new(&config, &trace, REPLAY_OPEN, rules);
	run_check(run, 0, "half of the attempts fail");
	g_assert_cmpuint(run->stats.ios, ==, 1000);
	g_assert_cmpuint(run->stats.errors, ==, 0);
	g_assert_cmpuint(run->stats.requeues, >, 500);
	run_free(run);
	trace_clear(&trace);
	fault_rules_free(rules);
}

/* ---- late accesses ---- */

enum late_owner {
	LATE_NOBODY,
	LATE_REQUEST,
	LATE_FREE,
	LATE_TABLE,
};

/* A driver sends the command of a request again after it unmapped the data: what the device then reaches. */
static const struct late {
	const char *name;
	const char *sets[4];
	bool forgetful; /* the IOMMU's driver invalidates nothing */
	enum late_owner owner;
	uint64_t wait_ns;
	const char *stale; /* end of the finding; NULL: there is no translation any more */
} lates[] = {
	{"strict", {NULL}, false, LATE_REQUEST, 0, NULL},
	{"strict-ats", {"iotlb.ats=yes", NULL}, false, LATE_REQUEST, 0, NULL},
	{"strict-driver-that-misses-the-range",
	 {NULL},
	 true,
	 LATE_REQUEST,
	 5000,
	 ", which belongs to request 9 now, through a mapping that had been gone for 5.00 us"},
	{"strict-ats-driver-that-misses-the-range",
	 {"iotlb.ats=yes", NULL},
	 true,
	 LATE_NOBODY,
	 20000000,
	 ", which belongs to nobody now, through a mapping that had been gone for 20.0 ms"},
	{"lazy",
	 {"iommu.mode=lazy", NULL},
	 false,
	 LATE_REQUEST,
	 3000000,
	 ", which belongs to request 9 now, through a mapping that had been gone for 3.00 ms"},
	{"lazy-nobody",
	 {"iommu.mode=lazy", NULL},
	 false,
	 LATE_NOBODY,
	 0,
	 ", which belongs to nobody now, through a mapping that had been gone for 0 ns"},
	{"lazy-free",
	 {"iommu.mode=lazy", NULL},
	 false,
	 LATE_FREE,
	 1000,
	 ", which is free now, through a mapping that had been gone for 1.00 us"},
	{"lazy-page-table",
	 {"iommu.mode=lazy", NULL},
	 false,
	 LATE_TABLE,
	 9999999,
	 ", which belongs to set-up (a page table) now, through a mapping that had been gone for 9.99 ms"},
	{"lazy-ats",
	 {"iommu.mode=lazy", "iotlb.ats=yes", NULL},
	 false,
	 LATE_REQUEST,
	 3000000,
	 ", which belongs to request 9 now, through a mapping that had been gone for 3.00 ms"},
	{"lazy-after-the-flush", {"iommu.mode=lazy", NULL}, false, LATE_REQUEST, 10000000, NULL},
	{"lazy-ats-after-the-flush",
	 {"iommu.mode=lazy", "iotlb.ats=yes", NULL},
	 false,
	 LATE_REQUEST,
	 10000000,
	 NULL},
};

static void late_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
}

/** Lets the controller take the one command in queue 1 and complete it. */
static void late_serve(struct machine *machine, struct nvme_iod *iod)
{
	struct controller_command command;
	uint16_t status;

	nvme_submit(machine->nvme, 1, iod, true);
	g_assert_true(controller_execute(&machine->ctrl, 1, &command));
	g_assert_true(controller_complete(&machine->ctrl, 1, &command));
	g_assert_true(nvme_poll_cq(machine->nvme, 1, &status) == iod);
}

static bool late_owner(void *data, uint64_t paddr, uint64_t *ret_owner)
{
	*ret_owner = 9;
	return paddr == SEGMENTS_BASE;
}

static void late_give_to(struct physmem *mem, uint64_t paddr, enum late_owner owner)
{
	if (owner == LATE_REQUEST)
		mem->owner = late_owner;
	if (owner == LATE_FREE || owner == LATE_TABLE)
		physmem_free(mem, paddr, 0);
	if (owner == LATE_TABLE)
		g_assert_cmphex(physmem_alloc(mem, 0, FRAME_PGTABLE), ==, paddr);
}

static void late_take_back(struct physmem *mem, uint64_t paddr, enum late_owner owner)
{
	if (owner == LATE_REQUEST)
		mem->owner = NULL;
	if (owner == LATE_TABLE)
		physmem_free(mem, paddr, 0);
}

static void assert_late_finding(const struct machine *machine, const struct late *late)
{
	const struct findings *findings = &machine->sim->findings;
	const struct finding *finding = g_ptr_array_index(findings->kept, 0);

	g_assert_cmpuint(findings->count[FINDING_STALE], ==, late->stale != NULL);
	g_assert_cmpuint(findings->count[FINDING_HOLE], ==, late->stale == NULL);
	g_assert_cmpuint(findings_violations(findings), ==, 1);
	g_test_message("%s", finding->text);
	g_assert_true(g_str_has_prefix(finding->text, "write of IOVA 0x"));
	if (late->stale)
		g_assert_true(g_str_has_suffix(finding->text, late->stale));
}

static void test_late_access(const void *data)
{
	const struct late *late = &lates[GPOINTER_TO_UINT(data)];
	struct iommu_hw_ops forgetful = intel_ops;
	struct machine_config config;
	struct machine *machine;
	struct nvme_iod *iod;
	struct bio_vec vec = {.paddr = SEGMENTS_BASE, .len = 4096};
	struct request req = {.number = 1, .bytes = 4096, .vecs = &vec, .vec_count = 1};
	const char *step;

	config_of(&config, late->sets);
	machine = machine_new(&config, 1, NULL);
	g_assert_cmpint(machine_probe(machine, true, &step), ==, 0);
	if (late->owner == LATE_FREE || late->owner == LATE_TABLE)
		vec.paddr = physmem_alloc(&machine->sim->mem, 0, FRAME_NVME_POOL);
	if (late->forgetful) {
		forgetful.iotlb_sync = late_iotlb_sync;
		machine->iommu->ops = &forgetful;
	}
	request_prepare(&req);
	iod = nvme_get_tag(machine->nvme, 1);
	g_assert_cmpint(nvme_prep_rq(machine->nvme, iod, &req, 1), ==, BLK_STS_OK);
	late_serve(machine, iod);
	g_assert_cmpuint(findings_violations(&machine->sim->findings), ==, 0);
	sim_run_until(machine->sim, 1000000);
	nvme_unmap_rq(machine->nvme, iod);
	late_give_to(&machine->sim->mem, vec.paddr, late->owner);
	sim_run_until(machine->sim, machine->sim->now_ns + late->wait_ns);
	late_serve(machine, iod);
	assert_late_finding(machine, late);
	late_take_back(&machine->sim->mem, vec.paddr, late->owner);
	nvme_put_tag(machine->nvme, 1, iod);
	machine_remove(machine);
	machine_free(machine);
}

/* What the device keeps is in the snapshot, and that its mapping is gone while the flush is on its way. */
static void test_snapshot_has_the_devices_cache(void)
{
	g_autofree char *path = write_file(""), *text = NULL;
	struct machine_config config;
	struct machine *machine;
	struct nvme_iod *iod;
	struct bio_vec vec = {.paddr = SEGMENTS_BASE, .len = 4096};
	struct request req = {.number = 1, .bytes = 4096, .vecs = &vec, .vec_count = 1};
	const char *step;

	config_of(&config, (const char *const[]){"iommu.mode=lazy", "iotlb.ats=yes", NULL});
	machine = machine_new(&config, 1, NULL);
	g_assert_cmpint(machine_probe(machine, true, &step), ==, 0);
	request_prepare(&req);
	iod = nvme_get_tag(machine->nvme, 1);
	g_assert_cmpint(nvme_prep_rq(machine->nvme, iod, &req, 1), ==, BLK_STS_OK);
	late_serve(machine, iod);
	nvme_unmap_rq(machine->nvme, iod);
	nvme_put_tag(machine->nvme, 1, iod);
	g_assert_true(machine_snapshot(machine, path, NULL, NULL));
	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_true(g_regex_match_simple("^devtlb domain=1 iova=\\S+ pa=0x0000000100000000 prot=\\S+ state=pending$",
					   text, G_REGEX_MULTILINE, 0));
	g_assert_true(g_regex_match_simple("^devtlb domain=1 iova=\\S+ pa=\\S+ prot=\\S+ state=valid$", text,
					   G_REGEX_MULTILINE, 0));
	g_unlink(path);
	machine_remove(machine);
	machine_free(machine);
}

/* ---- every fault point, every pass ---- */

/* What 6.12 and 7.0 are known for: in 7.0, D7 leaks; in both a cache that could not be created is freed
 * through a null pointer. Scatter lists leave nothing. */
#define KNOWN_IN_6_12 (1u << FINDING_NULL_DEREF)
#define KNOWN_IN_7_0 (1u << FINDING_LEAK | 1u << FINDING_NULL_DEREF)

/* Requests and metadata without an IOVA of their own, and so mapped segment by segment. */
#define FEW_IOVAS "[fault others]\npoint = dma.iova\nprobability = 30\ntimes = -1\nseed = 5\n"

/* Drivers of boards go on after a time-out of an invalidation, with a warning, and what they unmapped stays in the caches,
 * with its rights; without the IOMMU's data they crash. */
#define KNOWN_ON_BOARDS                                                                        \
	(1u << FINDING_KERNEL_WARNING | 1u << FINDING_STALE | 1u << FINDING_PERMISSION | \
	 1u << FINDING_NULL_DEREF)

static const struct {
	const char *name;
	unsigned allowed;
	const char *other_rules; /* that fire meanwhile */
	const char *sets[6];
	const char *board, *nvme; /* NULL: of no device tree */
} sweeps[] = {
	{"fixed", 0, "", {"kernel.version=fixed", NULL}},
	{"fixed-prp-only", 0, "", {"kernel.version=fixed", "nvme.sgl=no", NULL}},
	{"fixed-lazy", 0, "", {"kernel.version=fixed", "iommu.mode=lazy", NULL}},
	{"fixed-lost-interrupts", 0, "",
	 {"kernel.version=fixed", "nvme.lost-completion=interrupt", "nvme.shadow-doorbells=yes", NULL}},
	{"fixed-lost-for-good", 0, "",
	 {"kernel.version=fixed", "nvme.lost-completion=all", "iommu.mode=lazy", NULL}},
	{"fixed-metadata", 0, "", {"kernel.version=fixed", "nvme.metadata=8", NULL}},
	{"fixed-metadata-sgl", 0, FEW_IOVAS,
	 {"kernel.version=fixed", "nvme.metadata=64", "nvme.metadata-sgl=yes", NULL}},
	{"7.0-metadata-sgl", KNOWN_IN_7_0, FEW_IOVAS,
	 {"kernel.version=7.0", "nvme.metadata=64", "nvme.metadata-sgl=yes", NULL}},
	{"fixed-polled", 0, "",
	 {"kernel.version=fixed", "nvme.poll-queues=1", "nvme.lost-completion=interrupt", NULL}},
	{"fixed-threaded", 0, "",
	 {"kernel.version=fixed", "nvme.threaded-interrupts=yes", "nvme.mdts=1", NULL}},
	{"fixed-hmb", 0, "", {"kernel.version=fixed", "nvme.hmb-preferred=9M", "nvme.hmb-minimum=5M", NULL}},
	{"fixed-untrusted", 0, "", {"kernel.version=fixed", "iommu.untrusted=yes", "machine.swiotlb=256k", NULL}},
	{"fixed-incoherent", 0, "", {"kernel.version=fixed", "nvme.coherent=no", NULL}},
	{"fixed-bounced", 0, "", {"kernel.version=fixed", "iommu.mode=passthrough", "nvme.dma-bits=32", "nvme.coherent=no", NULL}},
	{"fixed-few-iovas", 0, FEW_IOVAS, {"kernel.version=fixed", "nvme.sgl-threshold=0", NULL}},
	{"7.0", KNOWN_IN_7_0, "", {"kernel.version=7.0", NULL}},
	{"7.0-few-iovas", KNOWN_IN_7_0, FEW_IOVAS, {"kernel.version=7.0", "nvme.sgl-threshold=0", NULL}},
	{"6.1", 0, "", {"kernel.version=6.1", NULL}},
	{"6.1-lazy", 0, "", {"kernel.version=6.1", "iommu.mode=lazy", NULL}},
	{"6.1-passthrough", 0, "", {"kernel.version=6.1", "iommu.mode=passthrough", NULL}},
	{"6.6-prp-only", 0, "", {"kernel.version=6.6", "nvme.sgl=no", NULL}},
	{"6.12", KNOWN_IN_6_12, "", {"kernel.version=6.12", NULL}},
	{"fixed-mediatek", KNOWN_ON_BOARDS, "", {"kernel.version=fixed", NULL}, "mtk-iommu.dtb", "/soc/pcie@112f8000"},
	{"fixed-renesas", KNOWN_ON_BOARDS, "", {"kernel.version=fixed", NULL}, "ipmmu-vmsa.dtb", "/soc/pcie@fe000000"},
	{"fixed-apple", KNOWN_ON_BOARDS, "", {"kernel.version=fixed", "segments.layout=thp", NULL}, "apple-dart.dtb", "first"},
};

/** The machine of a row; free what is returned, the board or NULL, with machine_board_free(). */
static struct machine_board *sweep_config(unsigned row, struct machine_config *config)
{
	struct machine_board *board = NULL;
	g_autoptr(GError) error = NULL;

	config_of(config, sweeps[row].sets);
	if (sweeps[row].board) {
		g_autofree char *path = g_build_filename(g_getenv("BOARDS"), sweeps[row].board, NULL);

		board = machine_board_load(path, sweeps[row].nvme, &error);
		g_assert_no_error(error);
		g_assert_true(machine_config_set_board(config, board, &error));
	}
	return board;
}

struct sweep {
	unsigned row;
	const struct fault_point *point;
};

/** Returns rules of which the first makes the @nth pass of @point fail, and @others; free with
 * fault_rules_free(). */
static struct fault_rules *sweep_rules(const char *point, unsigned nth, bool persist, const char *others)
{
	g_autofree char *text = g_strdup_printf("[fault swept]\npoint = %s\nnth = %u\npersist = %s\n%s",
						point, nth, persist ? "yes" : "no", others);
	g_autofree char *path = write_file(text);
	struct fault_rules *rules = fault_rules_new(machine_fault_tables);
	g_autoptr(GError) error = NULL;

	fault_rules_load(rules, path, &error);
	g_unlink(path);
	g_assert_no_error(error);
	return rules;
}

/** Returns whether the rule fired. */
static bool sweep_one(const struct sweep *sweep, const struct machine_config *config,
		      const struct trace *trace, unsigned nth, bool persist)
{
	g_autofree char *what =
		g_strdup_printf("%s, pass %u%s", sweep->point->name, nth, persist ? " and on" : "");
	struct fault_rules *rules =
		sweep_rules(sweep->point->name, nth, persist, sweeps[sweep->row].other_rules);
	struct run *run;
	const char *name;
	uint64_t passes, fired;

	run = run_new(config, trace, (enum replay_mode)(nth % 3), rules);
	/* What never gets memory again is given up: that is said, and does no harm. */
	run_check(run, sweeps[sweep->row].allowed | (persist ? 1u << FINDING_STUCK : 0), what);
	g_assert_true(fault_rule_stat(rules, 0, &name, &passes, &fired));
	run_free(run);
	fault_rules_free(rules);
	return fired;
}

static void test_sweep(const void *data)
{
	const struct sweep *sweep = data;
	struct machine_config config;
	struct machine_board *board = sweep_config(sweep->row, &config);
	struct trace trace;
	unsigned runs = 0;

	trace_make(&trace, 40, 7, SECTOR_BYTES);
	for (unsigned persist = 0; persist < 2; persist++) {
		unsigned nth = 1;

		/* A mode more or less: another one may come a little further. Of a sample each row has other passes. */
		for (unsigned idle = 0; nth <= SWEEP_NTH_MAX && idle < 3; nth++) {
			if (nth > SWEEP_NTH_ALL && !sample_takes(nth + sweep->row))
				continue;
			idle = sweep_one(sweep, &config, &trace, nth, persist) ? 0 : idle + 1;
			runs++;
		}
	}
	g_test_message("%u runs", runs);
	trace_clear(&trace);
	machine_board_free(board);
}

/* A sweep over a point that no run passes would say nothing. */
static void test_sweep_passes_every_point(void)
{
	uint64_t passes[SIM_FAULTS_MAX] = {0};
	struct trace trace;

	trace_make(&trace, 40, 7, SECTOR_BYTES);
	for (unsigned row = 0; row < G_N_ELEMENTS(sweeps); row++) {
		struct machine_config config;
		struct machine_board *board = sweep_config(row, &config);
		struct fault_rules *rules = sweep_rules("*", UINT_MAX, false, sweeps[row].other_rules);
		struct run *run;

		run = run_new(&config, &trace, REPLAY_OPEN, rules);
		for (unsigned point = 0; point < SIM_FAULTS_MAX; point++)
			passes[point] += run->machine->sim->fault_passes[point];
		run_free(run);
		fault_rules_free(rules);
		machine_board_free(board);
	}
	for (const struct fault_table *const *table = machine_fault_tables; *table; table++)
		for (unsigned i = 0; i < (*table)->count; i++) {
			if (!passes[(*table)->first + i])
				g_test_message("%s is never passed", (*table)->points[i].name);
			g_assert_cmpuint(passes[(*table)->first + i], >, 0);
		}
	trace_clear(&trace);
}

/* ---- a controller that fails: two reads at once, and one 2 ms later ---- */

static const struct failure {
	const char *name, *point;
	unsigned nth;
	bool persist;
	const char *sets[5];
	uint64_t retries, timeouts, polled, aborts, resets, cancelled;
	unsigned failed;
	enum blk_status status; /* of those */
	uint64_t slowest_ms;	/* at least */
} failures[] = {
	{"status-is-final", "controller.status", 1, false, {NULL}, .failed = 1, .status = BLK_STS_NOTSUPP},
	{"status-of-a-medium", "controller.status", 2, false, {"nvme.fault-status=0x281", NULL}, .failed = 1,
	 .status = BLK_STS_MEDIUM},
	{"status-is-retried", "controller.status", 1, false, {"nvme.fault-dnr=no", NULL}, .retries = 1},
	{"status-is-retried-later", "controller.status", 1, false,
	 {"nvme.fault-dnr=no", "nvme.retry-delay=3", NULL}, .retries = 1, .slowest_ms = 300},
	{"status-stays", "controller.status", 1, true, {"nvme.fault-dnr=no", NULL}, .retries = 15, .failed = 3,
	 .status = BLK_STS_NOTSUPP},
	{"transfer-error-is-retried", "controller.transfer_error", 3, false, {NULL}, .retries = 1},
	{"transfer-error-stays", "controller.transfer_error", 1, true, {NULL}, .retries = 15, .failed = 3,
	 .status = BLK_STS_IOERR},
	{"interrupt-is-lost", "controller.lost_completion", 3, false, {"nvme.lost-completion=interrupt", NULL},
	 .timeouts = 1, .polled = 1, .slowest_ms = 30000},
	{"interrupt-of-another", "controller.lost_completion", 1, false,
	 {"nvme.lost-completion=interrupt", NULL}},
	{"command-is-aborted", "controller.lost_completion", 1, false, {NULL}, .retries = 1, .timeouts = 1,
	 .aborts = 1, .slowest_ms = 30000},
	{"command-is-lost-sooner", "controller.lost_completion", 1, false, {"nvme.io-timeout=1s", NULL},
	 .retries = 1, .timeouts = 1, .aborts = 1, .slowest_ms = 1000},
	{"one-abort-at-once", "controller.lost_completion", 1, true,
	 {"nvme.abort-limit=0", "nvme.io-timeout=1ms", "nvme.fetch-latency=700us", NULL}, .retries = 15,
	 .failed = 3, .status = BLK_STS_IOERR, .aborts = 18},
	{"nothing-left-to-abort", "controller.lost_completion", 3, false, {"nvme.lost-completion=all", NULL},
	 .retries = 1, .timeouts = 2, .aborts = 1, .resets = 1, .cancelled = 1, .slowest_ms = 60500},
	/* The third's abort is under way when the first's time is over for good. */
	{"reset-overtakes-an-abort", "controller.lost_completion", 1, true,
	 {"nvme.lost-completion=all", "nvme.io-timeout=2500us", "nvme.fetch-latency=1ms", "nvme.reset-time=0", NULL},
	 .retries = 15, .failed = 3, .status = BLK_STS_IOERR, .aborts = 18, .resets = 6, .cancelled = 18},
	{"dead", "controller.fatal", 1, false, {NULL}, .retries = 3, .timeouts = 1, .resets = 1, .cancelled = 3,
	 .slowest_ms = 30500},
	{"dead-for-the-last", "controller.fatal", 3, false, {NULL}, .retries = 1, .timeouts = 1, .resets = 1,
	 .cancelled = 1, .slowest_ms = 30500},
	{"doorbells-stay-lost", "controller.doorbell", 1, true, {NULL}, .retries = 15, .failed = 3,
	 .status = BLK_STS_IOERR, .aborts = 18, .resets = 6, .cancelled = 18},
	{"dead-again-and-again", "controller.fatal", 1, true, {NULL}, .retries = 15, .timeouts = 6, .resets = 6,
	 .cancelled = 18, .failed = 3, .status = BLK_STS_IOERR},
};

static void assert_failure(const struct failure *failure, const struct run *run)
{
	const struct replay_stats *stats = &run->stats;

	run_check(run, 0, failure->name);
	g_assert_cmpuint(findings_observations(&run->machine->sim->findings), ==, 0);
	g_assert_cmpuint(stats->ios, ==, 3);
	g_assert_cmpuint(stats->errors, ==, failure->failed);
	g_assert_cmpuint(stats->status_count[failure->status], ==, failure->failed ? failure->failed : 3);
	g_assert_cmpuint(stats->retries, ==, failure->retries);
	g_assert_cmpuint(stats->nvme.aborts, ==, failure->aborts);
	g_assert_cmpuint(stats->nvme.resets, ==, failure->resets);
	g_assert_cmpuint(stats->nvme.cancelled, ==, failure->cancelled);
	g_assert_cmpuint(stats->polled, ==, failure->polled);
	if (failure->timeouts)
		g_assert_cmpuint(stats->timeouts, ==, failure->timeouts);
	else
		g_assert_cmpuint(stats->timeouts, >=, failure->aborts);
	g_assert_cmpuint(stats->latency[REQ_OP_READ].max_ns / 1000000, >=, failure->slowest_ms);
	if (failure->slowest_ms)
		g_assert_cmpuint(stats->latency[REQ_OP_READ].max_ns / 1000000, <=, failure->slowest_ms + 1);
}

static void test_failure(const void *data)
{
	const struct failure *failure = &failures[GPOINTER_TO_UINT(data)];
	struct machine_config config;
	struct trace trace;

	config_of(&config, failure->sets);
	g_assert_true(machine_config_set(&config, "kernel.version=fixed", NULL));
	trace_reads(&trace, 2, 4096, 8);
	for (unsigned shadow = 0; shadow < 2; shadow++) {
		struct fault_rules *rules = sweep_rules(failure->point, failure->nth, failure->persist, "");
		struct run *run;

		config.shadow_doorbells = shadow;
		run = run_new(&config, &trace, REPLAY_OPEN, rules);
		assert_failure(failure, run);
		run_free(run);
		fault_rules_free(rules);
	}
	trace_clear(&trace);
}

/** Replays two reads at once, and one 2 ms later, without the @nth doorbell. */
static struct run *run_without_doorbell(bool shadow, unsigned nth)
{
	struct fault_rules *rules = sweep_rules("controller.doorbell", nth, false, "");
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, (const char *const[]){"kernel.version=fixed", NULL});
	config.shadow_doorbells = shadow;
	trace_reads(&trace, 2, 4096, 8);
	run = run_new(&config, &trace, REPLAY_OPEN, rules);
	run_check(run, 0, "lost doorbell");
	g_assert_cmpuint(run->stats.ios, ==, 3);
	g_assert_cmpuint(run->stats.errors, ==, 0);
	fault_rules_free(rules);
	trace_clear(&trace);
	return run;
}

/* The second doorbell writes a tail that includes the first command. */
static void test_failure_next_doorbell_tells_of_both(void)
{
	struct run *run = run_without_doorbell(false, 1);

	g_assert_cmpuint(run->stats.timeouts, ==, 0);
	g_assert_cmpuint(run->stats.retries, ==, 0);
	g_assert_cmpuint(run->stats.latency[REQ_OP_READ].max_ns, <, 1000000);
	run_free(run);
}

/* With shadow doorbells the driver writes no other, because the controller asked to be told of the first command alone. */
static void test_failure_no_doorbell_follows_a_lost_one(void)
{
	struct run *run = run_without_doorbell(true, 1);

	g_assert_cmpuint(run->stats.nvme.resets, ==, 1);
	g_assert_cmpuint(run->stats.nvme.cancelled, ==, 3);
	run_free(run);
}

/* Nobody tells of the last: its Abort finds no command, and a reset cancels it. With shadow doorbells the second needs none. */
static void test_failure_last_doorbell_is_lost(void)
{
	for (unsigned shadow = 0; shadow < 2; shadow++) {
		struct run *run = run_without_doorbell(shadow, shadow ? 2 : 3);

		g_assert_cmpuint(run->stats.timeouts, ==, 2);
		g_assert_cmpuint(run->stats.nvme.aborts, ==, 1);
		g_assert_cmpuint(run->stats.nvme.resets, ==, 1);
		g_assert_cmpuint(run->stats.nvme.cancelled, ==, 1);
		g_assert_cmpuint(run->stats.retries, ==, 1);
		g_assert_cmpuint(run->stats.latency[REQ_OP_READ].max_ns / 1000000, >=, 60500);
		run_free(run);
	}
}

/* A device that is merely slow meets the same handler. */
static void test_failure_slow_command_is_aborted(void)
{
	struct machine_config config;
	struct trace trace;
	struct run *run;

	config_of(&config, (const char *const[]){"nvme.io-timeout=1ms", "nvme.read-latency=2ms", NULL});
	trace_reads(&trace, 1, 4096, 8);
	run = run_new(&config, &trace, REPLAY_CLOSED, NULL);
	run_check(run, 0, "slow");
	g_assert_cmpuint(run->stats.errors, ==, 2);
	g_assert_cmpuint(run->stats.status_count[BLK_STS_IOERR], ==, 2);
	g_assert_cmpuint(run->stats.nvme.aborts, ==, 12);
	g_assert_cmpuint(run->stats.nvme.resets, ==, 0);
	run_free(run);
	trace_clear(&trace);
}

/* The bugs that versions are known for must be seen, or the sweep could see none. */
static const struct {
	const char *name, *point;
	enum finding_kind kind;
	const char *other_rules;
	const char *sets[4];
} bugs[] = {
	{"d1-link", "dma.link", FINDING_WRONG_SIZE, "", {"kernel.version=6.19", NULL}},
	{"d1-link-and-access", "dma.link", FINDING_HOLE, "", {"kernel.version=6.19", NULL}},
	{"d1-sync", "dma.sync", FINDING_LEAK, "", {"kernel.version=6.19", NULL}},
	{"d5-smaller-class", "dma.link", FINDING_IOVA_SMALLER_CLASS, "", {"kernel.version=7.0", NULL}},
	{"d7-sgl", "nvme.sgl_pool", FINDING_LEAK, "", {"kernel.version=7.0", NULL}},
	{"d7-vectors",
	 "nvme.vec_pool",
	 FINDING_LEAK,
	 FEW_IOVAS,
	 {"kernel.version=7.0", "nvme.sgl-threshold=0", NULL}},
	{"d8-smaller-class",
	 "nvme.prp_pool",
	 FINDING_IOVA_SMALLER_CLASS,
	 "",
	 {"kernel.version=7.0", "nvme.sgl=no", NULL}},
	{"d8-reachable",
	 "nvme.prp_pool",
	 FINDING_STALE_REACHABLE,
	 "",
	 {"kernel.version=7.0", "nvme.sgl=no", NULL}},
	{"d7-metadata",
	 "nvme.metadata",
	 FINDING_LEAK,
	 FEW_IOVAS,
	 {"kernel.version=7.0", "nvme.metadata=64", "nvme.metadata-sgl=yes", NULL}},
	{"caches-null", "iova.magazine", FINDING_NULL_DEREF, "", {"kernel.version=7.0", NULL}},
};

static void test_sweep_sees_the_bug(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data), seen = 0;
	struct machine_config config;
	struct trace trace;

	config_of(&config, bugs[row].sets);
	trace_make(&trace, 40, 7, SECTOR_BYTES);
	for (unsigned nth = 1; nth <= 20; nth++) {
		struct fault_rules *rules = sweep_rules(bugs[row].point, nth, false, bugs[row].other_rules);
		struct run *run = run_new(&config, &trace, REPLAY_OPEN, rules);

		seen += run->machine->sim->findings.count[bugs[row].kind] > 0;
		run_free(run);
		fault_rules_free(rules);
	}
	g_assert_cmpuint(seen, >, 0);
	trace_clear(&trace);
}

/* ---- all of them ---- */

#define ADD_ROWS(table, prefix, function)                                                           \
	for (unsigned row = 0; row < G_N_ELEMENTS(table); row++) {                                  \
		g_autofree char *path = g_strdup_printf("/machine/" prefix "/%s", table[row].name); \
                                                                                                    \
		g_test_add_data_func(path, GUINT_TO_POINTER(row), function);                        \
	}

static void add_sweeps(void)
{
	for (unsigned row = 0; row < G_N_ELEMENTS(sweeps); row++)
		for (const struct fault_table *const *table = machine_fault_tables; *table; table++)
			/* Without a device tree nothing is probed by one. */
			for (unsigned i = 0; i < (*table)->count && (sweeps[row].board || *table != &devtree_fault_table); i++) {
				const struct fault_point *point = &(*table)->points[i];
				g_autofree char *path = g_strdup_printf("/machine/sweep/%s/%s",
									sweeps[row].name, point->name);
				struct sweep *sweep = g_new(struct sweep, 1);

				*sweep = (struct sweep){row, point};
				g_test_add_data_func_full(path, sweep, test_sweep, g_free);
			}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/machine/config/default-reads-back", test_config_default_reads_back);
	g_test_add_func("/machine/config/changes-read-back", test_config_changes_read_back);
	g_test_add_func("/machine/config/empty-reserved-reads-back", test_config_empty_reserved_reads_back);
	g_test_add_func("/machine/config/every-behaviour-and-version-reads-back",
			test_config_every_behaviour_and_version_reads_back);
	g_test_add_func("/machine/config/changes-are-those-that-matter",
			test_config_changes_are_those_that_matter);
	g_test_add_func("/machine/config/iotlb-is-the-hardwares", test_config_iotlb_is_the_hardwares);
	g_test_add_func("/machine/config/p2p-window", test_config_p2p_window);
	g_test_add_func("/machine/config/p2p-lies-apart", test_config_p2p_apart);
	g_test_add_func("/machine/config/p2p-on-the-bus", test_config_p2p_on_the_bus);
	g_test_add_func("/machine/config/every-key-refuses-nonsense", test_config_every_key_refuses_nonsense);
	g_test_add_func("/machine/config/wrong", test_config_wrong);
	g_test_add_func("/machine/config/impossible-together", test_config_impossible_together);
	g_test_add_func("/machine/config/mapper-wants-its-behaviours", test_config_mapper_wants_its_behaviours);
	g_test_add_func("/machine/histogram/percentiles-within-a-percent",
			test_histogram_percentiles_are_within_a_percent);
	g_test_add_func("/machine/histogram/groups-hold-every-sample-once", test_histogram_groups_hold_every_sample_once);
	g_test_add_func("/machine/segments/follow-their-rule", test_segments_follow_their_rule);
	g_test_add_func("/machine/segments/in-recorded-forms", test_segments_in_recorded_forms);
	g_test_add_func("/machine/segments/forms-are-a-fair-sample", test_forms_are_a_fair_sample);
	ADD_ROWS(machines, "replay/leaves-nothing", test_replay_leaves_nothing);
	g_test_add_func("/machine/replay/asap-has-the-recording-in-flight",
			test_replay_asap_has_the_recording_in_flight);
	g_test_add_func("/machine/replay/tells-who-owns-a-frame", test_replay_tells_who_owns_a_frame);
	ADD_ROWS(splits, "replay/splits", test_replay_splits);
	ADD_ROWS(batches, "replay/batches", test_replay_batches);
	ADD_ROWS(refusals, "replay/refusals", test_replay_refusals);
	g_test_add_func("/machine/replay/refused-wait-for-the-first", test_replay_refused_wait_for_the_first);
	ADD_ROWS(notices, "replay/notices", test_replay_notices);
	g_test_add_func("/machine/replay/one-interrupt-for-many", test_replay_one_interrupt_for_many);
	g_test_add_func("/machine/replay/full-queue-waits", test_replay_full_queue_waits);
	ADD_ROWS(times, "replay/time-adds-up", test_replay_time_adds_up);
	g_test_add_func("/machine/replay/walks-take-time", test_replay_walks_take_time);
	g_test_add_func("/machine/replay/requests-of-the-device-take-time",
			test_replay_requests_of_the_device_take_time);
	ADD_ROWS(lates, "late-access", test_late_access);
	g_test_add_func("/machine/snapshot/has-the-devices-cache", test_snapshot_has_the_devices_cache);
	g_test_add_func("/machine/replay/requeues-are-counted-for-each",
			test_replay_requeues_are_counted_for_each);
	g_test_add_func("/machine/sweep/passes-every-point", test_sweep_passes_every_point);
	ADD_ROWS(failures, "failure", test_failure);
	g_test_add_func("/machine/failure/slow-command-is-aborted", test_failure_slow_command_is_aborted);
	g_test_add_func("/machine/failure/last-doorbell-is-lost", test_failure_last_doorbell_is_lost);
	g_test_add_func("/machine/failure/next-doorbell-tells-of-both", test_failure_next_doorbell_tells_of_both);
	g_test_add_func("/machine/failure/no-doorbell-follows-a-lost-one",
			test_failure_no_doorbell_follows_a_lost_one);
	ADD_ROWS(bugs, "sweep/sees", test_sweep_sees_the_bug);
	add_sweeps();
	return g_test_run();
}
