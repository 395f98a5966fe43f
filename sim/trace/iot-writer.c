/* SPDX-License-Identifier: MIT */
/*
 * Writing our own format: records gather in a frame until the next one might not fit. Memory is two frames and the names of
 * the devices.
 */
#include "sim/core/sim.h"
#include "sim/trace/iot.h"
#include "sim/trace/writer.h"

/* A number in its most bytes, for each that a record may have: its own dozen, and two a segment. */
#define RECORD_MAX (2 + IOT_VARINT_MAX * (12 + 2 * IO_SEGMENTS_MAX))

/* What a device at most takes in the table of a frame. */
#define DEVICE_MAX (2 * IOT_VARINT_MAX + IOT_NAME_MAX)

/* A device of the stream. */
struct device {
	uint32_t number; /* in the file, by first appearance */
	uint32_t local;	 /* its place in the table of the frame that has it */
	uint64_t frame;	 /* number of the last frame that has it, from 1; 0: none yet */
};

struct iot_writer {
	uint64_t offset;   /* of what was written so far */
	uint64_t requests; /* put into frames */
	uint64_t ends;
	uint64_t now_ns;
	struct iot_index index;

	struct iot_frame frame;
	GByteArray *table;   /* of the frame: the devices without their count */
	GByteArray *records; /* of the frame */
	GArray *devices;     /* of struct device, by index in the stream */
	uint32_t device_count;
	uint32_t local_count;
	uint64_t frame_number;
	uint32_t device; /* of the stream, of the issue before; UINT32_MAX */
	uint64_t lba_next, paddr_next;

	uint8_t record[RECORD_MAX];
	uint8_t *at; /* in the record */
};

/* ---- numbers ---- */

static uint8_t *put(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

/* ---- frames ---- */

static void write_frame(struct trace_writer *writer, struct iot_frame *frame, const uint8_t *payload,
			uint32_t len)
{
	struct iot_writer *iot = writer->state;
	uint8_t header[IOT_HEADER_BYTES];

	g_assert(len <= IOT_PAYLOAD_MAX);
	frame->payload_bytes = len;
	iot_frame_put(frame, payload, header);
	output_write(writer->output, header, sizeof(header));
	output_write(writer->output, payload, len);
	iot->offset += sizeof(header) + len;
}

/* The next frame goes on here. */
static void frame_begin(struct iot_writer *iot)
{
	iot->frame = (struct iot_frame){.kind = IOT_RECORDS, .first = iot->requests, .time_ns = iot->now_ns};
	iot->frame_number++;
	iot->local_count = 0;
	iot->device = UINT32_MAX;
	iot->lba_next = iot->paddr_next = 0;
	g_byte_array_set_size(iot->table, 0);
	g_byte_array_set_size(iot->records, 0);
}

static void frame_end(struct trace_writer *writer)
{
	struct iot_writer *iot = writer->state;
	uint8_t count[IOT_VARINT_MAX];
	g_autoptr(GByteArray) payload = g_byte_array_sized_new(IOT_PAYLOAD_MAX);

	if (!iot->frame.records)
		return;
	g_byte_array_append(payload, count, (guint)(put(count, iot->local_count) - count));
	g_byte_array_append(payload, iot->table->data, iot->table->len);
	g_byte_array_append(payload, iot->records->data, iot->records->len);
	iot_index_add(&iot->index, iot->offset, &iot->frame);
	write_frame(writer, &iot->frame, payload->data, payload->len);
	frame_begin(iot);
}

/* Begins another frame, unless a record of any size, and its device, fit into this one. */
static void frame_make_room(struct trace_writer *writer)
{
	struct iot_writer *iot = writer->state;

	if (IOT_VARINT_MAX + iot->table->len + iot->records->len + DEVICE_MAX + RECORD_MAX > IOT_PAYLOAD_MAX)
		frame_end(writer);
}

static void record_begin(struct trace_writer *writer, uint64_t time_ns)
{
	struct iot_writer *iot = writer->state;

	frame_make_room(writer);
	iot->at = iot->record + 2;
	iot->at = put(iot->at, time_ns - iot->now_ns);
	iot->now_ns = time_ns;
}

/* The first byte, and behind it @more, where that is not 0, stand before what was put so far. */
static void record_end(struct iot_writer *iot, unsigned first, unsigned more)
{
	uint8_t *from = iot->record + 2;

	if (more)
		*--from = (uint8_t)more;
	*--from = (uint8_t)first;
	g_byte_array_append(iot->records, from, (guint)(iot->at - from));
	iot->frame.records++;
}

/* ---- records ---- */

/* Returns the place of @device in the table of this frame, which it is put into if it is not there. */
static uint32_t local_of(struct trace_writer *writer, uint32_t device)
{
	struct iot_writer *iot = writer->state;
	const char *name = io_stream_device_name(writer->stream, device);
	size_t len = MIN(strlen(name), IOT_NAME_MAX);
	uint8_t head[2 * IOT_VARINT_MAX];
	struct device *known;

	if (device >= iot->devices->len)
		g_array_set_size(iot->devices, device + 1);
	known = &g_array_index(iot->devices, struct device, device);
	if (known->frame == iot->frame_number)
		return known->local;
	if (!known->frame) {
		known->number = iot->device_count++;
		if (len < strlen(name))
			trace_writer_drop(writer, TRACE_FACT_DEVICE);
	}
	known->frame = iot->frame_number;
	known->local = iot->local_count++;
	g_byte_array_append(iot->table, head, (guint)(put(put(head, known->number), len) - head));
	g_byte_array_append(iot->table, (const uint8_t *)name, (guint)len);
	return known->local;
}

static void put_segments(struct iot_writer *iot, const struct io_record *record)
{
	iot->at = put(iot->at, record->segment_count);
	for (uint32_t i = 0; i < record->segment_count; i++) {
		const struct io_segment *segment = &record->segments[i];

		iot->at = put(iot->at, iot_pack_bytes(segment->len_bytes) << 2 | segment->flags);
		iot->at = put(iot->at, iot_zigzag(segment->paddr - iot->paddr_next));
		iot->paddr_next = segment->paddr + segment->len_bytes;
	}
}

static void iot_issue(struct trace_writer *writer, const struct io_record *record)
{
	struct iot_writer *iot = writer->state;
	unsigned first = iot_op_code(record->op) << IOT_OP_SHIFT, more = 0;

	record_begin(writer, record->time_ns);
	iot->requests++;
	g_assert(record->number == iot->requests);
	iot->at = put(iot->at, record->cpu);
	if (record->device == iot->device) {
		first |= IOT_SAME_DEVICE;
	} else {
		iot->at = put(iot->at, local_of(writer, record->device));
		iot->device = record->device;
	}
	iot->at = put(iot->at, iot_zigzag(record->lba - iot->lba_next));
	iot->at = put(iot->at, iot_pack_bytes(record->bytes));
	iot->lba_next = record->lba + (record->bytes >> 9);
	if (record->queue != TRACE_NO_QUEUE) {
		first |= IOT_COMMAND;
		iot->at = put(put(iot->at, record->queue), record->tag);
	}
	if (record->segment_count) {
		first |= IOT_SEGMENTS;
		put_segments(iot, record);
	}
	if (record->op == IO_PASSTHROUGH && record->to_device)
		more |= IOT_MORE_TO_DEVICE;
	if (record->never_completes)
		more |= IOT_MORE_NO_END;
	record_end(iot, first | (more ? IOT_MORE : 0), more);
}

static void iot_end(struct trace_writer *writer, const struct io_record *record,
		    const struct io_complete *complete)
{
	struct iot_writer *iot = writer->state;
	unsigned how = !record->completes ? IOT_GIVEN_UP : complete->requeued ? IOT_REQUEUED : IOT_COMPLETED;

	record_begin(writer, complete->time_ns);
	iot->ends++;
	iot->at = put(iot->at, iot->requests - record->number);
	iot->at = put(iot->at, complete->cpu);
	if (complete->error)
		iot->at = put(iot->at, iot_zigzag((uint64_t)(int64_t)complete->error));
	record_end(iot, IOT_IS_END | how << IOT_HOW_SHIFT | (complete->error ? IOT_ERROR : 0), 0);
}

/* ---- the whole ---- */

static void iot_open(struct trace_writer *writer)
{
	struct iot_writer *iot = writer->state;
	struct iot_frame frame = {.kind = IOT_START};
	uint8_t payload[IOT_START_BYTES];

	iot->table = g_byte_array_new();
	iot->records = g_byte_array_new();
	iot->devices = g_array_new(FALSE, TRUE, sizeof(struct device));
	output_write(writer->output, IOT_MAGIC, IOT_MAGIC_BYTES);
	iot->offset = IOT_MAGIC_BYTES;
	iot_put32(payload, IOT_VERSION);
	iot_put32(payload + 4, MIN(io_stream_cpus(writer->stream), SIM_CPUS_MAX));
	write_frame(writer, &frame, payload, sizeof(payload));
	frame_begin(iot);
}

static void iot_finish(struct trace_writer *writer)
{
	struct iot_writer *iot = writer->state;
	struct iot_frame index = {.kind = IOT_INDEX}, end = {.kind = IOT_END};
	g_autofree uint8_t *payload = g_malloc(IOT_PAYLOAD_MAX);
	uint8_t tail[IOT_END_BYTES];

	frame_end(writer);
	iot_put64(tail, iot->offset);
	write_frame(writer, &index, payload, iot_index_put(&iot->index, payload));
	iot_put64(tail + 8, iot->requests);
	iot_put64(tail + 16, iot->ends);
	iot_put32(tail + 24, writer->cpus);
	iot_put32(tail + 28, 0);
	write_frame(writer, &end, tail, sizeof(tail));
}

static void iot_close(struct trace_writer *writer)
{
	struct iot_writer *iot = writer->state;

	g_byte_array_unref(iot->table);
	g_byte_array_unref(iot->records);
	g_array_unref(iot->devices);
}

const struct trace_writer_ops trace_iot_writer = {
	.name = "iot",
	.description = "this program's own format",
	.holds = (1u << TRACE_FACTS) - 1,
	.state_size = sizeof(struct iot_writer),
	.open = iot_open,
	.issue = iot_issue,
	.end = iot_end,
	.finish = iot_finish,
	.close = iot_close,
};
