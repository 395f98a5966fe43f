/* SPDX-License-Identifier: MIT */
/*
 * Makes a blktrace of random 4 KiB reads and writes, or of 1 to @sizes times as much: NAME.blktrace.0, .1, … one file a CPU. The same options
 * give the same bytes. A request is issued every 1/rate seconds; when the queue is full, a random one in
 * flight completes just before, on the CPU that issued it or, for a part of them, on another.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/core/prng.h"
#include "sim/core/text.h"

#include <glib.h>

#define MAGIC		    0x65617407u /* with version 7 */
#define DEVICE		    (259u << 20)
#define ISSUE		    (7u | 1u << 6 << 16)
#define COMPLETE	    (8u | 1u << 7 << 16)
#define CATEGORY_READ	    (1u << 16)
#define CATEGORY_WRITE	    (2u << 16)
#define DISK_BLOCKS	    (1u << 24) /* of one request's size */
#define COMPLETE_EARLIER_NS 100

/** As struct blk_io_trace of linux/blktrace_api.h. */
struct record {
	uint32_t magic, sequence;
	uint64_t time_ns, sector;
	uint32_t bytes, action, pid, device, cpu;
	uint16_t error, pdu_len;
};

G_STATIC_ASSERT(sizeof(struct record) == 48);

struct options {
	uint64_t ios, cpus, depth, rate, bytes, seed, remote_percent, read_percent, sizes;
};

struct maker {
	struct options options;
	FILE **files;
	struct prng prng;
	struct record *in_flight;
	unsigned count;
	uint32_t sequence;
};

static void maker_put(struct maker *maker, const struct record *record)
{
	struct record out = *record;

	out.magic = MAGIC;
	out.sequence = maker->sequence++;
	out.device = DEVICE;
	if (fwrite(&out, sizeof(out), 1, maker->files[out.cpu]) != 1)
		g_error("cannot write");
}

static bool maker_busy(const struct maker *maker, uint64_t sector)
{
	for (unsigned i = 0; i < maker->count; i++)
		if (maker->in_flight[i].sector == sector)
			return true;
	return false;
}

static void maker_issue(struct maker *maker, uint64_t time_ns)
{
	const struct options *options = &maker->options;
	bool read = prng_below(&maker->prng, 100) < options->read_percent;
	uint32_t units = options->sizes > 1 ? 1 + prng_below(&maker->prng, (uint32_t)options->sizes) : 1;
	struct record record = {.time_ns = time_ns, .bytes = units * (uint32_t)options->bytes};

	record.cpu = prng_below(&maker->prng, (uint32_t)options->cpus);
	record.action = ISSUE | (read ? CATEGORY_READ : CATEGORY_WRITE);
	/* A completion is paired by its sector: never twice the same in flight. */
	do
		record.sector = prng_below(&maker->prng, DISK_BLOCKS) * (options->bytes / 512) * options->sizes;
	while (maker_busy(maker, record.sector));
	maker_put(maker, &record);
	maker->in_flight[maker->count++] = record;
}

static void maker_complete(struct maker *maker, uint64_t time_ns)
{
	const struct options *options = &maker->options;
	unsigned chosen = prng_below(&maker->prng, maker->count);
	struct record record = maker->in_flight[chosen];

	maker->in_flight[chosen] = maker->in_flight[--maker->count];
	record.time_ns = time_ns;
	record.action = COMPLETE | (record.action & (CATEGORY_READ | CATEGORY_WRITE));
	if (prng_below(&maker->prng, 100) < options->remote_percent)
		record.cpu = (record.cpu + 1) % (uint32_t)options->cpus;
	maker_put(maker, &record);
}

static void maker_run(struct maker *maker)
{
	const struct options *options = &maker->options;
	uint64_t step_ns = UINT64_C(1000000000) / options->rate, time_ns = step_ns;

	for (uint64_t i = 0; i < options->ios; i++, time_ns += step_ns) {
		if (maker->count == options->depth)
			maker_complete(maker, time_ns - MIN(COMPLETE_EARLIER_NS, step_ns / 2));
		maker_issue(maker, time_ns);
	}
	for (; maker->count; time_ns += step_ns)
		maker_complete(maker, time_ns);
}

static void maker_open(struct maker *maker, const char *name)
{
	maker->files = g_new0(FILE *, maker->options.cpus);
	for (uint64_t cpu = 0; cpu < maker->options.cpus; cpu++) {
		g_autofree char *path = g_strdup_printf("%s.blktrace.%" G_GUINT64_FORMAT, name, cpu);

		maker->files[cpu] = fopen(path, "wb");
		if (!maker->files[cpu])
			g_error("%s: cannot be written", path);
	}
	maker->in_flight = g_new0(struct record, maker->options.depth);
	prng_init(&maker->prng, maker->options.seed, "make-trace");
}

static void maker_close(struct maker *maker)
{
	for (uint64_t cpu = 0; cpu < maker->options.cpus; cpu++)
		if (fclose(maker->files[cpu]) != 0)
			g_error("cannot write");
	g_free(maker->files);
	g_free(maker->in_flight);
}

/** Sets NAME=VALUE; a value is a number from 1. */
static bool options_set(struct options *options, const char *assignment)
{
	const struct {
		const char *name;
		uint64_t *slot;
	} keys[] = {
		{"ios=", &options->ios},
		{"cpus=", &options->cpus},
		{"depth=", &options->depth},
		{"rate=", &options->rate},
		{"bytes=", &options->bytes},
		{"seed=", &options->seed},
		{"remote=", &options->remote_percent},
		{"reads=", &options->read_percent},
		{"sizes=", &options->sizes},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
		if (g_str_has_prefix(assignment, keys[i].name))
			return text_parse_u64(assignment + strlen(keys[i].name), keys[i].slot);
	return false;
}

int main(int argc, char **argv)
{
	struct maker maker = {.options = {.ios = 1000,
					  .cpus = 4,
					  .depth = 32,
					  .rate = 500000,
					  .bytes = 4096,
					  .sizes = 1,
					  .seed = 1,
					  .read_percent = 50}};
	bool ok = argc >= 2;

	for (int i = 2; i < argc && ok; i++)
		ok = options_set(&maker.options, argv[i]);
	if (!ok || !maker.options.cpus || !maker.options.depth || !maker.options.rate ||
	    !maker.options.bytes || !maker.options.sizes) {
		fputs("usage: make-trace NAME [ios=N] [cpus=N] [depth=N] [rate=PER-SECOND] [bytes=N] "
		      "[seed=N] "
		      "[remote=PERCENT] [reads=PERCENT] [sizes=N]\n",
		      stderr);
		return 2;
	}
	maker_open(&maker, argv[1]);
	maker_run(&maker);
	maker_close(&maker);
	return 0;
}
