/* SPDX-License-Identifier: MIT */
/*
 * The parts of the device's time, each with numbers worked out by hand: packets and tags of the link, walkers, and the times
 * that are drawn, whose moments are those of their distribution.
 */
#include <math.h>
#include <string.h>

#include "sim/machine/device-time.h"

/* 2.5 GT/s on one lane, ten bits a byte: 4 ns a byte. */
#define BYTE_PS 4000

static void config_of(struct machine_config *config, const char *const *sets)
{
	static const char *const slow[] = {"pcie.generation=1", "pcie.lanes=1",	       "pcie.payload=128",
					   "pcie.latency=0",	"pcie.dllp-percent=0", NULL};

	machine_config_init(config);
	for (unsigned i = 0; slow[i]; i++)
		g_assert_true(machine_config_set(config, slow[i], NULL));
	for (unsigned i = 0; sets && sets[i]; i++)
		g_assert_true(machine_config_set(config, sets[i], NULL));
}

/* ---- link ---- */

static const struct {
	const char *name;
	const char *sets[3];
	uint64_t bytes, ps;
} posts[] = {
	{"two-packets", {NULL}, 256, (256 + 2 * 24) * BYTE_PS},
	{"part-of-a-packet", {NULL}, 129, (129 + 2 * 24) * BYTE_PS},
	{"larger-packets", {"pcie.payload=256", NULL}, 256, (256 + 24) * BYTE_PS},
	{"four-lanes", {"pcie.lanes=4", NULL}, 256, (256 + 2 * 24) * BYTE_PS / 4},
	{"second-generation", {"pcie.generation=2", NULL}, 256, (256 + 2 * 24) * BYTE_PS / 2},
	/* 128 of 130 bits: (256 + 48) * 8 * 130 / 128 / 8 GT/s. */
	{"third-generation", {"pcie.generation=3", NULL}, 256, 308750},
	{"half-for-flow-control", {"pcie.dllp-percent=50", NULL}, 256, (256 + 2 * 24) * BYTE_PS * 2},
	{"plain", {"nvme.link-mb-s=100", NULL}, 256, 2560000},
};

static void test_post(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data);
	struct machine_config config;
	struct pcie_link link;

	config_of(&config, posts[row].sets);
	pcie_init(&link, &config);
	g_assert_cmpuint(pcie_post(&link, 7, posts[row].bytes, 0, 0), ==, posts[row].ps + 7);
	/* The next one waits. */
	g_assert_cmpuint(pcie_post(&link, 7, posts[row].bytes, 0, 0), ==, 2 * posts[row].ps);
	g_assert_cmpuint(link.up.busy_ps, ==, 2 * posts[row].ps);
	g_assert_cmpuint(link.up.data_bytes, ==, 2 * posts[row].bytes);
	g_assert_cmpuint(link.down.busy_ps, ==, 0);
	pcie_finish(&link);
}

static void test_small_writes_are_packets(void)
{
	struct machine_config config;
	struct pcie_link link;

	config_of(&config, NULL);
	pcie_init(&link, &config);
	/* A completion of 16 bytes and an interrupt of 4, behind 128 of data. */
	g_assert_cmpuint(pcie_post(&link, 0, 128, 2, 20), ==, (128 + 20 + 3 * 24) * BYTE_PS);
	/* Between others, later: who comes next is late by as much. */
	g_assert_cmpuint(pcie_post_between(&link, 9000000, 1, 16), ==, 9000000 + 40 * BYTE_PS);
	g_assert_cmpuint(pcie_post(&link, 0, 128, 0, 0), ==, (128 + 20 + 3 * 24 + 40 + 128 + 24) * BYTE_PS);
	pcie_finish(&link);
}

static void test_reads_overlap(void)
{
	static const char *const sets[] = {"pcie.latency=10us", "pcie.read-request=128", NULL};
	struct machine_config config;
	struct pcie_link link;
	uint64_t at_ps = 0, answer_ps = (128 + 2 * 20) * BYTE_PS;

	config_of(&config, sets);
	pcie_init(&link, &config);
	/* Two requests, one behind the other; their answers follow each other on the link. */
	g_assert_cmpuint(pcie_read(&link, &at_ps, 256, 0), ==,
			 24 * BYTE_PS + 10000000 + 2 * answer_ps - 24 * BYTE_PS);
	g_assert_cmpuint(at_ps, ==, 2 * 24 * BYTE_PS);
	g_assert_cmpuint(link.tag_waits, ==, 0);
	pcie_finish(&link);
}

static void test_reads_wait_for_a_tag(void)
{
	static const char *const sets[] = {"pcie.latency=10us", "pcie.read-request=128", "pcie.tags=1", NULL};
	struct machine_config config;
	struct pcie_link link;
	uint64_t at_ps = 0, one_ps = 24 * BYTE_PS + (128 + 2 * 20) * BYTE_PS + 10000000;

	config_of(&config, sets);
	pcie_init(&link, &config);
	g_assert_cmpuint(pcie_read(&link, &at_ps, 3 * 128, 0), ==, 3 * one_ps);
	g_assert_cmpuint(link.reads, ==, 3);
	g_assert_cmpuint(link.tag_waits, ==, 2);
	/* Who waits for a walk keeps the tag. */
	at_ps = 0;
	pcie_read(&link, &at_ps, 128, 900000000);
	at_ps = 0;
	g_assert_cmpuint(pcie_read(&link, &at_ps, 128, 0), ==, 900000000 + one_ps);
	pcie_finish(&link);
}

/* ---- walkers ---- */

static void test_walkers_work_side_by_side(void)
{
	static const char *const sets[] = {"iotlb.walkers=2", "iotlb.memory-ns=100", NULL};
	struct machine_config config;
	struct sim *sim = sim_new(1, 1);
	struct walkers walkers;

	config_of(&config, sets);
	walkers_init(&walkers, sim, &config);
	g_assert_cmpuint(walkers_walk(&walkers, 0, 0, 4), ==, 400000);
	g_assert_cmpuint(walkers_walk(&walkers, 0, 0, 1), ==, 100000);
	g_assert_cmpuint(walkers_walk(&walkers, 0, 0, 1), ==, 200000);
	g_assert_cmpuint(walkers_walk(&walkers, 0, 0, 3), ==, 500000);
	g_assert_cmpuint(walkers.waits, ==, 2);
	g_assert_cmpuint(walkers.wait_ps, ==, 100000 + 200000);
	g_assert_cmpuint(walkers.busy_ps, ==, 900000);
	/* What is asked for later than its step does not keep others from a walker. */
	g_assert_cmpuint(walkers_walk(&walkers, 500000, 9000000, 1), ==, 9100000);
	g_assert_cmpuint(walkers_walk(&walkers, 500000, 500000, 1), ==, 600000);
	g_assert_cmpuint(walkers_walk(&walkers, 500000, 600000, 1), ==, 700000);
	sim_free(sim);
}

/* ---- times that are drawn ---- */

static void test_log2(void)
{
	for (unsigned bit = 0; bit < 64; bit++)
		g_assert_cmpuint(service_log2(UINT64_C(1) << bit), ==, (uint64_t)bit << 32);
	for (uint64_t x = 3; x < UINT64_C(1) << 60; x = x * 5 + 1)
		g_assert_cmpfloat_with_epsilon((double)service_log2(x) / 4294967296.0, log2((double)x), 1e-6);
}

static const struct {
	const char *name;
	const char *sets[4];
	double deviation; /* of the mean, as a part of it */
	double below;	  /* which part is below the mean */
} draws[] = {
	{"fixed", {NULL}, 0, 0},
	{"exponential", {"nvme.service=exponential", NULL}, 1, 0.63212},
	/* Below the mean lies what is below sigma / 2: sigma is 0.47238, 0.83255, 1.26864. */
	{"lognormal", {"nvme.service=lognormal", NULL}, 0.5, 0.59336},
	{"lognormal-wide", {"nvme.service=lognormal", "nvme.service-spread=100", NULL}, 1, 0.66139},
	{"lognormal-of-nothing", {"nvme.service=lognormal", "nvme.service-spread=0", NULL}, 0, -1},
};

static void test_draw(const void *data)
{
	unsigned row = GPOINTER_TO_UINT(data), count = 400000, below = 0;
	double sum = 0, squares = 0, mean, deviation;
	struct machine_config config;
	struct service service;

	config_of(&config, draws[row].sets);
	service_init(&service, &config, 1, 0, NULL);
	for (unsigned i = 0; i < count; i++) {
		double ns = (double)service_draw_ns(&service, false);

		sum += ns;
		squares += ns * ns;
		below += ns < (double)config.read_ns;
	}
	mean = sum / count;
	deviation = sqrt(MAX(squares / count - mean * mean, 0));
	/* Three standard errors at most are 0.5 %; of the deviation, whose tails are long, it is more. */
	g_assert_cmpfloat_with_epsilon(mean / (double)config.read_ns, 1, 0.005);
	g_assert_cmpfloat_with_epsilon(deviation / (double)config.read_ns, draws[row].deviation, 0.02);
	if (draws[row].below >= 0)
		g_assert_cmpfloat_with_epsilon((double)below / count, draws[row].below, 0.003);
	service_finish(&service);
}

static void test_draws_are_the_seeds(void)
{
	static const char *const sets[] = {"nvme.service=exponential", NULL};
	struct machine_config config;
	struct service one, two, other;
	unsigned same = 0;

	config_of(&config, sets);
	service_init(&one, &config, 1, 0, NULL);
	service_init(&two, &config, 1, 0, NULL);
	service_init(&other, &config, 1, 1, NULL);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t ns = service_draw_ns(&one, true);

		g_assert_cmpuint(service_draw_ns(&two, true), ==, ns);
		same += service_draw_ns(&other, true) == ns;
	}
	g_assert_cmpuint(same, <, 5);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(posts); i++) {
		g_autofree char *path = g_strdup_printf("/machine/link/post/%s", posts[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_post);
	}
	g_test_add_func("/machine/link/small-writes-are-packets", test_small_writes_are_packets);
	g_test_add_func("/machine/link/reads-overlap", test_reads_overlap);
	g_test_add_func("/machine/link/reads-wait-for-a-tag", test_reads_wait_for_a_tag);
	g_test_add_func("/machine/walkers/side-by-side", test_walkers_work_side_by_side);
	g_test_add_func("/machine/service/log2", test_log2);
	for (unsigned i = 0; i < G_N_ELEMENTS(draws); i++) {
		g_autofree char *path = g_strdup_printf("/machine/service/draw/%s", draws[i].name);

		g_test_add_data_func(path, GUINT_TO_POINTER(i), test_draw);
	}
	g_test_add_func("/machine/service/draws-are-the-seeds", test_draws_are_the_seeds);
	return g_test_run();
}
