/* SPDX-License-Identifier: MIT */
/*
 * Writing ftrace text: what the block layer and the NVMe driver print of a request, and one probe, link, for each of its
 * segments, all in the words of Linux 7.0.
 */
#include <errno.h>

#include "sim/trace/ktext-writer.h"

#define BLOCKS_MAX    65536u /* of a command */
#define BLOCK_LG2_MAX 7	     /* of 512 bytes: readers know blocks up to 64 KiB */
#define NO_SECTOR     UINT64_MAX
#define STATUS_FAILED 0x6 /* internal error: of a command of which only the request's errno is known */

struct ftrace_writer {
	struct ktext_devices devices;
	uint32_t cpus; /* highest CPU written + 1, or what the header says */
	bool setups;   /* were written: from then on segments without one are not a request's */
};

/* A read or write of no bytes: its completion would read as the flush machinery's. */
static bool ftrace_fits(const struct io_record *record)
{
	return record->bytes || (record->op != IO_READ && record->op != IO_WRITE);
}

static void write_head(struct trace_writer *writer, uint32_t cpu, bool interrupt, uint64_t time_ns,
		       const char *event)
{
	struct ftrace_writer *ftrace = writer->state;

	ftrace->cpus = MAX(ftrace->cpus, cpu + 1);
	output_printf(
		writer->output, "           trace-1       [%03u] %s %5" G_GUINT64_FORMAT ".%09u: %s: ", cpu,
		interrupt ? "d.h1." : ".....", time_ns / 1000000000, (unsigned)(time_ns % 1000000000), event);
}

static const struct ktext_device *device_of(struct trace_writer *writer, const struct io_record *record)
{
	return ktext_device_of(&((struct ftrace_writer *)writer->state)->devices, writer, record->device,
			       true);
}

/* ---- the command ---- */

/* Finds logical blocks in which the range of @record is one that a command can name. */
static bool blocks_of(const struct io_record *record, uint64_t *ret_slba, uint64_t *ret_count)
{
	for (unsigned lg2 = 0; lg2 <= BLOCK_LG2_MAX; lg2++) {
		uint64_t sectors = record->bytes >> 9, mask = (UINT64_C(1) << lg2) - 1;

		if (record->bytes % 512 || !sectors || (record->lba | sectors) & mask)
			return false;
		*ret_slba = record->lba >> lg2;
		*ret_count = sectors >> lg2;
		if (*ret_count <= BLOCKS_MAX)
			return true;
	}
	return false;
}

static bool has_blocks(const struct io_record *record)
{
	return record->op == IO_READ || record->op == IO_WRITE || record->op == IO_WRITE_ZEROES;
}

static bool has_setup(const struct io_record *record)
{
	uint64_t slba, count;

	if (record->queue == TRACE_NO_QUEUE || (record->queue == 0 && record->op != IO_PASSTHROUGH))
		return false;
	return !has_blocks(record) || blocks_of(record, &slba, &count);
}

static void write_setup(struct trace_writer *writer, const struct io_record *record,
			const struct ktext_device *device)
{
	static const char *const names[IO_OPS] = {
		[IO_READ] = "nvme_cmd_read",
		[IO_WRITE] = "nvme_cmd_write",
		[IO_FLUSH] = "nvme_cmd_flush",
		[IO_DISCARD] = "nvme_cmd_dsm",
		[IO_WRITE_ZEROES] = "nvme_cmd_write_zeroes",
		[IO_PASSTHROUGH] = "unknown",
	};
	uint64_t slba, count;

	write_head(writer, record->cpu, false, record->time_ns, "nvme_setup_cmd");
	output_printf(writer->output, "nvme%u: %sqid=%u, cmdid=%u, nsid=1, flags=0x0, meta=0x0, cmd=(%s ",
		      device->instance, device->is_controller ? "" : "disk=-, ", record->queue, record->tag,
		      names[record->op]);
	if (has_blocks(record) && blocks_of(record, &slba, &count))
		output_printf(writer->output,
			      "slba=%" G_GUINT64_FORMAT ", len=%" G_GUINT64_FORMAT
			      ", ctrl=0x0, dsmgmt=0, reftag=0",
			      slba, count - 1);
	output_puts(writer->output, ")\n");
}

/* ---- segments ---- */

/* Whether readers take the segments for @record's: those of a request that carries data add up to it; other lists, of ranges,
 * are known by their command. */
static bool segments_fit(const struct ftrace_writer *ftrace, const struct io_record *record, bool setup)
{
	if (record->op == IO_READ || record->op == IO_WRITE || record->op == IO_PASSTHROUGH)
		return trace_record_data_bytes(record) == record->bytes && record->bytes &&
		       (setup || !ftrace->setups);
	return setup;
}

static void write_segments(struct trace_writer *writer, const struct io_record *record)
{
	uint64_t offset = 0;
	bool flags = false;

	for (uint32_t i = 0; i < record->segment_count; i++) {
		const struct io_segment *segment = &record->segments[i];

		flags |= segment->flags != 0;
		if (segment->flags & IO_SEGMENT_METADATA)
			continue;
		write_head(writer, record->cpu, false, record->time_ns, "link");
		output_printf(writer->output,
			      "(dma_iova_link) phys=0x%" G_GINT64_MODIFIER "x off=%" G_GUINT64_FORMAT
			      " size=%u dir=%u\n",
			      segment->paddr, offset, segment->len_bytes, record->to_device ? 1 : 2);
		offset += segment->len_bytes;
	}
	if (flags)
		trace_writer_drop(writer, TRACE_FACT_SEGMENT_FLAGS);
}

/* ---- the request ---- */

static const char *const letters[IO_OPS] = {
	[IO_READ] = "R",    [IO_WRITE] = "W",	      [IO_FLUSH] = "FF",
	[IO_DISCARD] = "D", [IO_WRITE_ZEROES] = "WZ", [IO_PASSTHROUGH] = "N",
};

/* "259,0 R [4096 ](): SECTOR + COUNT be,0,4 ". A passthrough command with a number of sectors would read as write zeroes. */
static void write_request(struct trace_writer *writer, const struct io_record *record,
			  const struct ktext_device *device, bool with_bytes)
{
	struct output *output = writer->output;
	bool placed = record->lba || (record->op != IO_PASSTHROUGH && record->op != IO_FLUSH);

	output_printf(output, "%u,%u %s ", device->major, device->minor, letters[record->op]);
	if (with_bytes)
		output_printf(output, "%" G_GUINT64_FORMAT " ", record->bytes);
	output_printf(output, "() %" G_GUINT64_FORMAT " + %" G_GUINT64_FORMAT " be,0,4 ",
		      placed ? record->lba : NO_SECTOR,
		      record->op == IO_PASSTHROUGH ? 0 : record->bytes >> 9);
}

static void ftrace_issue(struct trace_writer *writer, const struct io_record *record)
{
	struct ftrace_writer *ftrace = writer->state;
	const struct ktext_device *device = device_of(writer, record);
	bool setup = has_setup(record);

	if (setup)
		write_setup(writer, record, device);
	else if (record->queue != TRACE_NO_QUEUE)
		trace_writer_drop(writer, TRACE_FACT_COMMAND);
	if (record->segment_count && segments_fit(ftrace, record, setup))
		write_segments(writer, record);
	else if (record->segment_count)
		trace_writer_drop(writer, TRACE_FACT_SEGMENTS);
	ftrace->setups |= setup;
	write_head(writer, record->cpu, false, record->time_ns, "block_rq_issue");
	write_request(writer, record, device, true);
	output_puts(writer->output, "[trace]\n");
}

static void ftrace_end(struct trace_writer *writer, const struct io_record *record,
		       const struct io_complete *complete)
{
	const struct ktext_device *device = device_of(writer, record);
	unsigned status = complete->error < 0 ? STATUS_FAILED : (unsigned)complete->error;

	if (complete->requeued && complete->error != -EAGAIN)
		trace_writer_drop(writer, TRACE_FACT_ERROR);
	if (has_setup(record) && !complete->requeued && status <= UINT16_MAX) {
		write_head(writer, complete->cpu, true, complete->time_ns, "nvme_complete_rq");
		output_printf(writer->output,
			      "nvme%u: %sqid=%u, cmdid=%u, res=0x0, retries=0, flags=0x0, status=0x%x\n",
			      device->instance, device->is_controller ? "" : "disk=-, ", record->queue,
			      record->tag, status);
	}
	write_head(writer, complete->cpu, true, complete->time_ns,
		   complete->requeued ? "block_rq_requeue" : "block_rq_complete");
	write_request(writer, record, device, false);
	output_printf(writer->output, "[%d]\n",
		      complete->requeued ? 0 : ktext_error_of(writer, complete->error));
}

static void ftrace_open(struct trace_writer *writer)
{
	uint32_t cpus = io_stream_cpus(writer->stream);

	ktext_devices_init(&((struct ftrace_writer *)writer->state)->devices);
	output_puts(writer->output, "# tracer: nop\n#\n");
	if (cpus)
		output_printf(writer->output, "# made of %s   #P:%u\n#\n",
			      io_stream_format(writer->stream)->name, cpus);
	((struct ftrace_writer *)writer->state)->cpus = cpus;
	/* Times count from the first event. */
	write_head(writer, 0, false, 0, "recording_begins");
	output_puts(writer->output, "\n");
}

static void ftrace_finish(struct trace_writer *writer)
{
	uint32_t cpus = writer->cpus;

	if (cpus <= ((struct ftrace_writer *)writer->state)->cpus)
		return;
	/* The recording has a CPU that has no requests. */
	write_head(writer, cpus - 1, false, writer->time_ns, "recording_ends");
	output_puts(writer->output, "\n");
}

static void ftrace_close(struct trace_writer *writer)
{
	ktext_devices_finish(&((struct ftrace_writer *)writer->state)->devices);
}

const struct trace_writer_ops trace_ftrace_writer = {
	.name = "ftrace",
	.description = "ftrace text",
	.holds = TRACE_HOLDS(REQUEST) | TRACE_HOLDS(TIME) | TRACE_HOLDS(CPU) | TRACE_HOLDS(DEVICE) |
		 TRACE_HOLDS(RANGE) | TRACE_HOLDS(COMMAND) | TRACE_HOLDS(SEGMENTS) |
		 TRACE_HOLDS(SEGMENT_FLAGS) | TRACE_HOLDS(END) | TRACE_HOLDS(END_CPU) | TRACE_HOLDS(ERROR) |
		 TRACE_HOLDS(REQUEUE) | TRACE_HOLDS(ORDER),
	.state_size = sizeof(struct ftrace_writer),
	.fits = ftrace_fits,
	.open = ftrace_open,
	.issue = ftrace_issue,
	.end = ftrace_end,
	.finish = ftrace_finish,
	.close = ftrace_close,
};
