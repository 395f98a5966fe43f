/* SPDX-License-Identifier: MIT */
/*
 * How far an IOTLB reaches: packets that a network card writes into buffers which stay mapped, as a page pool has them.
 *
 *	iotlb-reach MACHINE.ini PAGES small|huge PACKETS GBIT
 *
 * PACKETS of 1500 bytes come at GBIT 10^9 bits a second, each into one of PAGES buffers of 4 KiB, drawn at random; "huge": the
 * buffers lie in 2 MiB mappings. The IOMMU of MACHINE.ini translates; a miss is a walk on one of its walkers, and behind it
 * the packets wait, since posted writes stay in order. Prints misses and entries read for 1000 packets, and which part of the
 * packets' rate was reached, in thousandths.
 */
#include <stdio.h>
#include <string.h>

#include "sim/core/text.h"
#include "sim/machine/device-time.h"
#include "sim/machine/machine.h"

#define PACKET_BITS  (UINT64_C(1500) * 8)
#define HUGE_PAGE    (UINT64_C(2) << 20)
#define BUFFERS_IOVA (UINT64_C(1) << 32)
#define BUFFERS_ADDR (UINT64_C(1) << 40)

struct reach {
	struct machine *machine;
	uint64_t pages, packets, gbit;
	bool huge;
};

static bool reach_map(const struct reach *reach)
{
	uint64_t size = reach->huge ? HUGE_PAGE : FRAME_SIZE, bytes = reach->pages * FRAME_SIZE;

	/* Small ones lie apart, or the table would have large entries for them. */
	for (uint64_t at = 0; at < bytes; at += size)
		if (iommu_map_nosync(reach->machine->domain, BUFFERS_IOVA + at,
				     BUFFERS_ADDR + (reach->huge ? at : 2 * at), size,
				     PROT_READ | PROT_WRITE))
			return false;
	return true;
}

static void reach_run(const struct reach *reach)
{
	struct machine *machine = reach->machine;
	uint64_t packet_ps = PACKET_BITS * 1000 / reach->gbit, at_ps = 0, misses = 0, reads = 0, wanted_ps;
	struct walkers walkers;
	struct prng prng;

	walkers_init(&walkers, machine->sim, &machine->config);
	prng_init(&prng, machine->sim->seed, "iotlb-reach");
	for (uint64_t i = 0; i < 2 * reach->packets; i++) {
		uint64_t iova =
			BUFFERS_IOVA + prng_below(&prng, (uint32_t)reach->pages) * (uint64_t)FRAME_SIZE;
		struct iotlb_result result;

		iotlb_translate(machine->iommu->tlb, machine->domain->id, machine->domain->pt, iova, &result);
		/* The first half only warms the caches up. */
		if (i < reach->packets)
			continue;
		at_ps = MAX(at_ps, (i - reach->packets) * packet_ps);
		misses += !result.hit;
		reads += result.table_reads;
		if (!result.hit)
			at_ps = walkers_walk(&walkers, at_ps, at_ps, result.table_reads);
	}
	wanted_ps = reach->packets * packet_ps;
	printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
	       misses * 1000 / reach->packets, reads * 1000 / reach->packets,
	       wanted_ps * 1000 / MAX(at_ps, wanted_ps));
}

int main(int argc, char **argv)
{
	struct reach reach = {0};
	g_autofree struct machine_config *config = g_new(struct machine_config, 1);
	GError *error = NULL;
	const char *step;

	if (argc != 6 || !text_parse_u64(argv[2], &reach.pages) || !reach.pages || reach.pages > 1 << 20 ||
	    !text_parse_u64(argv[4], &reach.packets) || !reach.packets ||
	    !text_parse_u64(argv[5], &reach.gbit) || !reach.gbit) {
		fputs("usage: iotlb-reach MACHINE.ini PAGES small|huge PACKETS GBIT\n", stderr);
		return 2;
	}
	reach.huge = strcmp(argv[3], "huge") == 0;
	machine_config_init(config);
	if (!machine_config_load(config, argv[1], &error)) {
		fprintf(stderr, "iotlb-reach: %s\n", error->message);
		g_error_free(error);
		return 2;
	}
	reach.machine = machine_new(config, 1, NULL);
	if (machine_probe(reach.machine, true, &step) || !reach_map(&reach))
		g_error("%s: no machine can be made of it", argv[1]);
	reach_run(&reach);
	machine_remove(reach.machine);
	machine_free(reach.machine);
	return 0;
}
