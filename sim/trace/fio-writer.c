/* SPDX-License-Identifier: MIT */
/*
 * Writing fio's iolog, version 3: microseconds, a file a device, reads, writes, trims and syncs.
 */
#include "sim/trace/writer.h"

#define US_NS 1000

struct fio_writer {
	GArray *added; /* of uint8_t, by device: it has its lines */
	bool started;
};

static const char *const actions[IO_OPS] = {
	[IO_READ] = "read",
	[IO_WRITE] = "write",
	[IO_FLUSH] = "sync",
	[IO_DISCARD] = "trim",
};

static bool fio_fits(const struct io_record *record)
{
	uint64_t sectors = (record->bytes + 511) >> 9;

	if (record->op == IO_FLUSH)
		return true;
	return actions[record->op] && sectors && sectors <= UINT32_MAX >> 9 &&
	       record->lba + sectors < TRACE_LBA_MAX;
}

static void add_file(struct trace_writer *writer, uint32_t device, const char *name, uint64_t time_us)
{
	struct fio_writer *fio = writer->state;

	if (device >= fio->added->len)
		g_array_set_size(fio->added, device + 1);
	if (g_array_index(fio->added, uint8_t, device))
		return;
	/* Times count from the first line. */
	if (!fio->started)
		time_us = 0;
	fio->started = true;
	g_array_index(fio->added, uint8_t, device) = 1;
	output_printf(writer->output, "%" G_GUINT64_FORMAT " %s add\n%" G_GUINT64_FORMAT " %s open\n",
		      time_us, name, time_us, name);
}

static void fio_issue(struct trace_writer *writer, const struct io_record *record)
{
	const char *name = trace_writer_device(writer, record->device, " \t");
	uint64_t time_us = record->time_ns / US_NS;
	bool range = record->op != IO_FLUSH;

	add_file(writer, record->device, name, time_us);
	output_printf(writer->output,
		      "%" G_GUINT64_FORMAT " %s %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", time_us,
		      name, actions[record->op], range ? record->lba << 9 : 0, range ? record->bytes : 0);
	if (record->time_ns % US_NS)
		trace_writer_drop(writer, TRACE_FACT_TIME);
	if (range ? record->bytes % 512 != 0 : record->lba || record->bytes)
		trace_writer_drop(writer, TRACE_FACT_RANGE);
}

static void fio_open(struct trace_writer *writer)
{
	((struct fio_writer *)writer->state)->added = g_array_new(FALSE, TRUE, sizeof(uint8_t));
	output_puts(writer->output, "fio version 3 iolog\n");
}

static void fio_finish(struct trace_writer *writer)
{
	const GArray *added = ((struct fio_writer *)writer->state)->added;

	for (guint i = 0; i < added->len; i++)
		if (g_array_index(added, uint8_t, i))
			output_printf(writer->output, "%" G_GUINT64_FORMAT " %s close\n",
				      writer->time_ns / US_NS, trace_writer_device(writer, i, " \t"));
}

static void fio_close(struct trace_writer *writer)
{
	g_array_unref(((struct fio_writer *)writer->state)->added);
}

const struct trace_writer_ops trace_fio_writer = {
	.name = "fio",
	.description = "fio's iolog, version 3",
	.holds = TRACE_HOLDS(REQUEST) | TRACE_HOLDS(DEVICE) | TRACE_HOLDS(RANGE) | TRACE_HOLDS(LIST) |
		 TRACE_HOLDS(ORDER),
	.state_size = sizeof(struct fio_writer),
	.fits = fio_fits,
	.open = fio_open,
	.issue = fio_issue,
	.finish = fio_finish,
	.close = fio_close,
};
