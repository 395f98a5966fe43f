/* SPDX-License-Identifier: MIT */
/*
 * Writing what blkparse prints by default: D, C and R of each request. Behind its names no command is known: "[-]".
 */
#include <errno.h>

#include "sim/trace/ktext-writer.h"

struct blkparse_writer {
	struct ktext_devices devices;
	uint64_t sequence;
	uint32_t cpus; /* highest CPU written + 1 */
};

/* A read or write without bytes reads as another kind of request. */
static bool blkparse_fits(const struct io_record *record)
{
	return record->bytes || (record->op != IO_READ && record->op != IO_WRITE &&
				 record->op != IO_DISCARD && record->op != IO_WRITE_ZEROES);
}

static void write_head(struct trace_writer *writer, const struct ktext_device *device, uint32_t cpu,
		       uint64_t time_ns, char action, const char *rwbs)
{
	struct blkparse_writer *blkparse = writer->state;

	blkparse->cpus = MAX(blkparse->cpus, cpu + 1);
	output_printf(writer->output,
		      "%3u,%-3u %2u %8" G_GUINT64_FORMAT " %5" G_GUINT64_FORMAT ".%09u %5u %2c %3s ",
		      device->major, device->minor, cpu, ++blkparse->sequence, time_ns / 1000000000,
		      (unsigned)(time_ns % 1000000000), 0u, action, rwbs);
}

static const char *const letters[IO_OPS] = {
	[IO_READ] = "R",    [IO_WRITE] = "W",	      [IO_FLUSH] = "FN",
	[IO_DISCARD] = "D", [IO_WRITE_ZEROES] = "WZ", [IO_PASSTHROUGH] = "N",
};

static const struct ktext_device *device_of(struct trace_writer *writer, const struct io_record *record)
{
	return ktext_device_of(&((struct blkparse_writer *)writer->state)->devices, writer, record->device,
			       false);
}

static bool has_range(const struct io_record *record)
{
	return record->op != IO_FLUSH && record->op != IO_PASSTHROUGH;
}

static void blkparse_issue(struct trace_writer *writer, const struct io_record *record)
{
	struct output *output = writer->output;

	write_head(writer, device_of(writer, record), record->cpu, record->time_ns, 'D', letters[record->op]);
	if (has_range(record))
		output_printf(output, "%" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT " ", record->lba,
			      record->bytes >> 9);
	else if (record->op == IO_PASSTHROUGH)
		output_printf(output, "%" G_GUINT64_FORMAT " ", record->bytes);
	output_puts(output, "[-]\n");
	if (has_range(record) ? record->bytes % 512 != 0
			      : record->lba || (record->op == IO_FLUSH && record->bytes))
		trace_writer_drop(writer, TRACE_FACT_RANGE);
}

static void blkparse_end(struct trace_writer *writer, const struct io_record *record,
			 const struct io_complete *complete)
{
	struct output *output = writer->output;
	int error = complete->requeued ? 0 : ktext_error_of(writer, complete->error);

	if (complete->requeued && complete->error != -EAGAIN)
		trace_writer_drop(writer, TRACE_FACT_ERROR);
	write_head(writer, device_of(writer, record), complete->cpu, complete->time_ns,
		   complete->requeued ? 'R' : 'C', letters[record->op]);
	if (has_range(record))
		output_printf(output, "%" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT " ", record->lba,
			      record->bytes >> 9);
	else if (record->op == IO_FLUSH)
		output_puts(output, "0 ");
	output_printf(output, "[%d]\n", error);
}

/* A message, which is no request: times count from it, or it names a CPU that has none. */
static void write_mark(struct trace_writer *writer, uint32_t cpu, const char *text)
{
	static const struct ktext_device none = {.known = true};

	write_head(writer, &none, cpu, writer->time_ns, 'm', "N");
	output_printf(writer->output, "%s\n", text);
}

static void blkparse_open(struct trace_writer *writer)
{
	ktext_devices_init(&((struct blkparse_writer *)writer->state)->devices);
	write_mark(writer, 0, "recording begins");
}

static void blkparse_finish(struct trace_writer *writer)
{
	uint32_t cpus = writer->cpus;

	if (cpus > ((struct blkparse_writer *)writer->state)->cpus)
		write_mark(writer, cpus - 1, "recording ends");
}

static void blkparse_close(struct trace_writer *writer)
{
	ktext_devices_finish(&((struct blkparse_writer *)writer->state)->devices);
}

const struct trace_writer_ops trace_blkparse_writer = {
	.name = "blkparse",
	.description = "what blkparse prints",
	.holds = TRACE_HOLDS(REQUEST) | TRACE_HOLDS(TIME) | TRACE_HOLDS(CPU) | TRACE_HOLDS(RANGE) |
		 TRACE_HOLDS(END) | TRACE_HOLDS(END_CPU) | TRACE_HOLDS(ERROR) | TRACE_HOLDS(REQUEUE) |
		 TRACE_HOLDS(ORDER),
	.state_size = sizeof(struct blkparse_writer),
	.fits = blkparse_fits,
	.open = blkparse_open,
	.issue = blkparse_issue,
	.end = blkparse_end,
	.finish = blkparse_finish,
	.close = blkparse_close,
};
