/* SPDX-License-Identifier: MIT */
/*
 * Our own format: what all others say of requests, and what they cannot, in frames that can be trusted.
 *
 * It is read from front to end, as any other, so a pipe will do; what the index says is checked against what was read.
 */
#include "sim/trace/iot.h"

#include "sim/core/error.h"
#include "sim/core/sim.h"
#include "sim/trace/formats.h"
#include "sim/trace/names.h"

/* Below 2^32 bytes, packed: an odd number of them is the largest. */
#define IOT_PACKED_MAX ((uint64_t)UINT32_MAX << 1 | 1)

struct device {
	char *name;
	size_t len;
};

struct iot {
	struct input *input;
	GArray *devices; /* of struct device, by the file's number */
	uint32_t cpus;	 /* as far as it was read */
	struct iot_index index;
	uint64_t requests, ends;
	uint64_t now_ns;

	/* The frame at hand. */
	struct iot_frame frame;
	uint64_t frame_offset;
	const uint8_t *payload; /* borrowed from the input */
	const uint8_t *at, *end;
	uint32_t records_left;
	GArray *locals; /* of uint32_t: the file's numbers of the devices of this frame */
	uint64_t device, lba_next, paddr_next;
	bool has_device;
	const char *wrong; /* what a record has that cannot be */
	bool ended;

	struct io_segment segments[IO_SEGMENTS_MAX];
};

/* ---- what both directions need ---- */

static const uint8_t op_codes[IO_OPS] = {
	[IO_READ] = 0,	  [IO_WRITE] = 1,	 [IO_FLUSH] = 2,
	[IO_DISCARD] = 3, [IO_WRITE_ZEROES] = 4, [IO_PASSTHROUGH] = 5,
};

unsigned iot_op_code(unsigned op)
{
	return op_codes[op];
}

bool iot_op_of(unsigned code, unsigned *ret_op)
{
	for (unsigned op = 0; op < IO_OPS; op++)
		if (op_codes[op] == code) {
			*ret_op = op;
			return true;
		}
	return false;
}

/* The checksum stands last in the header, and is of what stands before it and of the payload. */
static uint32_t checksum(const uint8_t *header, const uint8_t *payload, uint32_t payload_bytes)
{
	uLong crc = crc32(0, header, IOT_HEADER_BYTES - 4);

	return (uint32_t)crc32(crc, payload, payload_bytes);
}

void iot_frame_put(const struct iot_frame *frame, const uint8_t *payload, uint8_t header[IOT_HEADER_BYTES])
{
	iot_put32(header, IOT_FRAME_MAGIC);
	iot_put32(header + 4, frame->kind);
	iot_put32(header + 8, frame->payload_bytes);
	iot_put32(header + 12, frame->records);
	iot_put64(header + 16, frame->first);
	iot_put64(header + 24, frame->time_ns);
	iot_put32(header + 32, 0);
	iot_put32(header + 36, checksum(header, payload, frame->payload_bytes));
}

bool iot_frame_get(const uint8_t header[IOT_HEADER_BYTES], struct iot_frame *ret_frame)
{
	*ret_frame = (struct iot_frame){
		.kind = iot_get32(header + 4),
		.payload_bytes = iot_get32(header + 8),
		.records = iot_get32(header + 12),
		.first = iot_get64(header + 16),
		.time_ns = iot_get64(header + 24),
	};
	return iot_get32(header) == IOT_FRAME_MAGIC && iot_get32(header + 32) == 0 &&
	       ret_frame->payload_bytes <= IOT_PAYLOAD_MAX;
}

bool iot_frame_intact(const uint8_t header[IOT_HEADER_BYTES], const uint8_t *payload, uint32_t payload_bytes)
{
	return iot_get32(header + 36) == checksum(header, payload, payload_bytes);
}

void iot_reseal(uint8_t *bytes, size_t len)
{
	struct iot_frame frame;

	for (size_t at = IOT_MAGIC_BYTES; at + IOT_HEADER_BYTES <= len;
	     at += IOT_HEADER_BYTES + frame.payload_bytes) {
		uint8_t *payload = bytes + at + IOT_HEADER_BYTES;

		if (!iot_frame_get(bytes + at, &frame) || frame.payload_bytes > len - at - IOT_HEADER_BYTES)
			return;
		iot_put32(bytes + at + 36, checksum(bytes + at, payload, frame.payload_bytes));
	}
}

void iot_index_add(struct iot_index *index, uint64_t offset, const struct iot_frame *frame)
{
	index->stride = MAX(index->stride, 1);
	if (index->frames++ % index->stride)
		return;
	if (index->count == IOT_INDEX_MAX) {
		for (uint32_t i = 0; i < IOT_INDEX_MAX / 2; i++)
			index->entries[i] = index->entries[2 * i];
		index->count = IOT_INDEX_MAX / 2;
		index->stride *= 2;
		/* This frame is the 2048th stride-th one, and so the first that the new stride wants. */
	}
	index->entries[index->count++] = (struct iot_index_entry){offset, frame->first, frame->time_ns};
}

uint32_t iot_index_put(const struct iot_index *index, uint8_t *payload)
{
	iot_put32(payload, MAX(index->stride, 1));
	iot_put32(payload + 4, index->count);
	for (uint32_t i = 0; i < index->count; i++) {
		const struct iot_index_entry *entry = &index->entries[i];
		uint8_t *at = payload + 8 + i * IOT_INDEX_ENTRY;

		iot_put64(at, entry->offset);
		iot_put64(at + 8, entry->first);
		iot_put64(at + 16, entry->time_ns);
	}
	return 8 + index->count * IOT_INDEX_ENTRY;
}

/* ---- numbers ---- */

/* Takes a number: seven bits a byte, the lowest first, all bytes but the last with their highest bit set. */
static inline bool take(struct iot *iot, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (iot->at < iot->end && *iot->at < 0x80) {
		*ret_value = *iot->at++;
		return true;
	}
	for (unsigned shift = 0; iot->at < iot->end && shift < 64; shift += 7) {
		uint8_t byte = *iot->at++;

		if (shift == 63 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static bool take_below(struct iot *iot, uint64_t limit, uint64_t *ret_value)
{
	return take(iot, ret_value) && *ret_value < limit;
}

/* ---- records ---- */

static int damage(const struct iot *iot, GError **error, const char *what)
{
	return sim_error_offset(error, input_path(iot->input), iot->frame_offset, "%s", what);
}

/* A record that its frame's checksum vouches for, and that cannot be nevertheless. */
static int record_trouble(const struct iot *iot, uint64_t offset, GError **error, const char *what)
{
	return sim_error_offset(error, input_path(iot->input), offset, "%s%s", what,
				iot->wrong ? iot->wrong : "");
}

static uint64_t offset_of(const struct iot *iot)
{
	return iot->frame_offset + IOT_HEADER_BYTES + (uint64_t)(iot->at - iot->payload);
}

static bool wrong(struct iot *iot, const char *what)
{
	iot->wrong = what;
	return false;
}

static bool take_time(struct iot *iot, uint64_t *ret_now_ns)
{
	uint64_t delta;

	if (!take(iot, &delta) || delta > UINT64_MAX - iot->now_ns)
		return wrong(iot, "time");
	*ret_now_ns = iot->now_ns += delta;
	return true;
}

static bool take_cpu(struct iot *iot, uint32_t *ret_cpu)
{
	uint64_t cpu;

	if (!take_below(iot, SIM_CPUS_MAX, &cpu))
		return wrong(iot, "CPU");
	*ret_cpu = (uint32_t)cpu;
	return true;
}

static bool take_device(struct iot *iot, bool same, uint32_t *ret_device)
{
	if (same ? !iot->has_device : !take_below(iot, iot->locals->len, &iot->device))
		return wrong(iot, "device");
	iot->has_device = true;
	*ret_device = g_array_index(iot->locals, uint32_t, iot->device);
	return true;
}

static bool take_range(struct iot *iot, struct trace_event *event)
{
	uint64_t difference, packed;

	if (!take(iot, &difference) || !take(iot, &packed) || packed > IOT_PACKED_MAX)
		return wrong(iot, "range");
	event->lba = iot->lba_next + iot_unzigzag(difference);
	event->bytes = iot_unpack_bytes(packed);
	iot->lba_next = event->lba + (event->bytes >> 9);
	return (event->lba <= TRACE_LBA_MAX && event->bytes <= UINT32_MAX) || wrong(iot, "range");
}

static bool take_command(struct iot *iot, struct trace_event *event)
{
	uint64_t queue, tag;

	if (!take_below(iot, TRACE_NO_QUEUE, &queue) || !take_below(iot, UINT16_MAX + 1u, &tag))
		return wrong(iot, "queue or command id");
	event->queue = (uint16_t)queue;
	event->tag = (uint16_t)tag;
	return true;
}

static bool take_segment(struct iot *iot, struct io_segment *segment)
{
	uint64_t packed, difference, bytes;

	if (!take(iot, &packed) || !take(iot, &difference) || packed >> 2 > IOT_PACKED_MAX)
		return false;
	bytes = iot_unpack_bytes(packed >> 2);
	segment->flags = packed & IO_SEGMENT_FLAGS;
	segment->paddr = iot->paddr_next + iot_unzigzag(difference);
	segment->len_bytes = (uint32_t)bytes;
	iot->paddr_next = segment->paddr + bytes;
	return bytes && bytes <= UINT32_MAX && segment->paddr <= UINT64_MAX - bytes;
}

static bool take_segments(struct iot *iot, struct trace_event *event)
{
	bool adds_up = event->op == IO_READ || event->op == IO_WRITE || event->op == IO_PASSTHROUGH;
	uint64_t count, data_bytes = 0;

	if (!take(iot, &count) || count == 0 || count > IO_SEGMENTS_MAX)
		return wrong(iot, "number of segments");
	for (uint64_t i = 0; i < count; i++) {
		struct io_segment *segment = &iot->segments[i];

		if (!take_segment(iot, segment))
			return wrong(iot, "segment");
		data_bytes += segment->flags & IO_SEGMENT_METADATA ? 0 : segment->len_bytes;
	}
	event->segments = iot->segments;
	event->segment_count = (uint16_t)count;
	return !adds_up || data_bytes == 0 || data_bytes == event->bytes || wrong(iot, "sum of segments");
}

static bool take_more(struct iot *iot, struct trace_event *event)
{
	uint8_t more;

	if (iot->at == iot->end)
		return wrong(iot, "byte of flags");
	more = *iot->at++;
	event->to_device |= (more & IOT_MORE_TO_DEVICE) != 0;
	event->never_completes = (more & IOT_MORE_NO_END) != 0;
	return (more && !(more & ~IOT_MORE_BITS) &&
		(!(more & IOT_MORE_TO_DEVICE) || event->op == IO_PASSTHROUGH)) ||
	       wrong(iot, "byte of flags");
}

static bool take_issue(struct iot *iot, uint8_t first, struct trace_event *event)
{
	unsigned op;

	if (!iot_op_of(first >> IOT_OP_SHIFT & 7, &op) || iot->requests == IOT_NUMBER_MAX)
		return wrong(iot, "operation");
	event->kind = TRACE_ISSUE;
	event->op = (enum io_op)op;
	event->request = ++iot->requests;
	event->to_device = op == IO_WRITE || op == IO_DISCARD;
	return (!(first & IOT_MORE) || take_more(iot, event)) && take_time(iot, &event->time_ns) &&
	       take_cpu(iot, &event->cpu) && take_device(iot, first & IOT_SAME_DEVICE, &event->device) &&
	       take_range(iot, event) && (!(first & IOT_COMMAND) || take_command(iot, event)) &&
	       (!(first & IOT_SEGMENTS) || take_segments(iot, event));
}

static bool take_end(struct iot *iot, uint8_t first, struct trace_event *event)
{
	unsigned how = first >> IOT_HOW_SHIFT & 3;
	uint64_t ago, error = 0;

	if (first & ~IOT_END_BITS || how >= IOT_HOWS)
		return wrong(iot, "kind");
	event->kind = how == IOT_REQUEUED ? TRACE_REQUEUE : TRACE_COMPLETE;
	event->given_up = how == IOT_GIVEN_UP;
	if (!take_time(iot, &event->time_ns))
		return false;
	if (!take_below(iot, iot->requests, &ago))
		return wrong(iot, "request to end");
	if (!take_cpu(iot, &event->cpu))
		return false;
	if (first & IOT_ERROR && (!take(iot, &error) || error > UINT32_MAX || !error))
		return wrong(iot, "error");
	iot->ends++;
	event->request = iot->requests - ago;
	event->error = (int32_t)iot_unzigzag(error);
	return true;
}

static int record_next(struct iot *iot, struct trace_event *event, GError **error)
{
	uint8_t first;

	*event = (struct trace_event){
		.queue = TRACE_NO_QUEUE,
		.position = offset_of(iot),
	};
	if (iot->at == iot->end)
		return record_trouble(iot, offset_of(iot), error, "frame has fewer records than it says");
	first = *iot->at++;
	if (first & IOT_IS_END ? !take_end(iot, first, event) : !take_issue(iot, first, event))
		return record_trouble(iot, event->position, error, "record with an impossible ");
	iot->records_left--;
	return 1;
}

/* ---- frames ---- */

/* A frame's devices: how many, and of each its number in the file and its name. A number is given once. */
static bool locals_take(struct iot *iot)
{
	uint64_t count, number, len;

	g_array_set_size(iot->locals, 0);
	if (!take_below(iot, TRACE_DEVICES_MAX + 1, &count))
		return false;
	for (uint64_t i = 0; i < count; i++) {
		struct device *known, device;
		uint32_t local;

		if (!take_below(iot, iot->devices->len + 1u, &number) || number >= TRACE_DEVICES_MAX ||
		    !take_below(iot, IOT_NAME_MAX + 1, &len) || len > (size_t)(iot->end - iot->at) ||
		    memchr(iot->at, '\0', len))
			return false;
		local = (uint32_t)number;
		if (number == iot->devices->len) {
			device = (struct device){g_strndup((const char *)iot->at, len), len};
			g_array_append_val(iot->devices, device);
		}
		known = &g_array_index(iot->devices, struct device, number);
		if (known->len != len || memcmp(known->name, iot->at, len) != 0)
			return false;
		iot->at += len;
		g_array_append_val(iot->locals, local);
	}
	return true;
}

static int records_begin(struct iot *iot, GError **error)
{
	const struct iot_frame *frame = &iot->frame;

	if (frame->first != iot->requests || frame->time_ns != iot->now_ns)
		return damage(iot, error, "frame does not go on where the one before ends");
	if (!frame->records)
		return damage(iot, error, "frame of no records");
	iot_index_add(&iot->index, iot->frame_offset, frame);
	iot->records_left = frame->records;
	iot->has_device = false;
	iot->lba_next = iot->paddr_next = 0;
	if (!locals_take(iot))
		return record_trouble(iot, offset_of(iot), error, "impossible table of devices");
	return 1;
}

static int index_check(const struct iot *iot, GError **error)
{
	g_autofree uint8_t *expected = g_malloc(IOT_PAYLOAD_MAX);
	uint32_t len = iot_index_put(&iot->index, expected);

	if (iot->frame.payload_bytes != len || memcmp(iot->payload, expected, len) != 0)
		return damage(iot, error, "index is not of these frames");
	return 1;
}

/* The last of all: what was counted, and where the index is. */
static int end_check(struct iot *iot, uint64_t index_offset, GError **error)
{
	const uint8_t *at = iot->payload, *more;
	ssize_t len;

	if (iot->frame.payload_bytes != IOT_END_BYTES || iot_get64(at) != index_offset ||
	    iot_get64(at + 8) != iot->requests || iot_get64(at + 16) != iot->ends ||
	    iot_get32(at + 28) != 0 || iot_get32(at + 24) > SIM_CPUS_MAX)
		return damage(iot, error, "end does not fit what stands before it");
	iot->cpus = iot_get32(at + 24);
	iot->ended = true;
	input_skip(iot->input, iot->frame.payload_bytes);
	len = input_peek(iot->input, 1, &more, error);
	if (len < 0)
		return -1;
	return len ? sim_error_offset(error, input_path(iot->input), input_offset(iot->input),
				      "something stands behind the end")
		   : 0;
}

/* Makes the next frame the one at hand, its header consumed, its payload visible. Returns -1 at the end of the input, too. */
static int frame_read(struct iot *iot, GError **error)
{
	uint8_t header[IOT_HEADER_BYTES];
	const uint8_t *bytes;
	ssize_t len = input_peek(iot->input, IOT_HEADER_BYTES, &bytes, error);

	iot->frame_offset = input_offset(iot->input);
	if (len < 0)
		return -1;
	if (len < (ssize_t)IOT_HEADER_BYTES)
		return damage(iot, error, len ? "frame cut off" : "cut off: there is no end");
	memcpy(header, bytes, sizeof(header));
	if (!iot_frame_get(header, &iot->frame))
		return damage(iot, error, "not a frame");
	input_skip(iot->input, IOT_HEADER_BYTES);
	len = input_peek(iot->input, iot->frame.payload_bytes, &iot->payload, error);
	if (len < 0)
		return -1;
	if ((uint32_t)MIN(len, UINT32_MAX) < iot->frame.payload_bytes)
		return damage(iot, error, "frame cut off");
	if (!iot_frame_intact(header, iot->payload, iot->frame.payload_bytes))
		return damage(iot, error, "damaged frame: its checksum is another");
	iot->at = iot->payload;
	iot->end = iot->payload + iot->frame.payload_bytes;
	return 1;
}

static int frame_leave(struct iot *iot, GError **error)
{
	if (iot->at != iot->end)
		return record_trouble(iot, offset_of(iot), error, "frame has more than its records");
	input_skip(iot->input, iot->frame.payload_bytes);
	return 0;
}

/* The index and the end follow each other. */
static int tail_read(struct iot *iot, GError **error)
{
	uint64_t index_offset = iot->frame_offset;

	if (index_check(iot, error) < 0)
		return -1;
	input_skip(iot->input, iot->frame.payload_bytes);
	if (frame_read(iot, error) < 0)
		return -1;
	if (iot->frame.kind != IOT_END)
		return damage(iot, error, "no end behind the index");
	return end_check(iot, index_offset, error);
}

static int iot_next(void *state, struct trace_event *ret_event, GError **error)
{
	struct iot *iot = state;

	if (iot->records_left)
		return record_next(iot, ret_event, error);
	if (iot->ended)
		return 0;
	if (iot->payload && frame_leave(iot, error) < 0)
		return -1;
	if (frame_read(iot, error) < 0)
		return -1;
	switch (iot->frame.kind) {
	case IOT_RECORDS:
		return records_begin(iot, error) < 0 ? -1 : record_next(iot, ret_event, error);
	case IOT_INDEX:
		return tail_read(iot, error);
	default:
		return damage(iot, error, "frame of unknown kind, or in the wrong place");
	}
}

/* ---- opening ---- */

static int start_read(struct iot *iot, GError **error)
{
	if (frame_read(iot, error) < 0)
		return -1;
	if (iot->frame.kind != IOT_START || iot->frame.payload_bytes != IOT_START_BYTES)
		return damage(iot, error, "no start");
	if (iot_get32(iot->payload) != IOT_VERSION)
		return sim_error_offset(error, input_path(iot->input), iot->frame_offset,
					"iot of version %u: only %u is known", iot_get32(iot->payload),
					IOT_VERSION);
	iot->cpus = iot_get32(iot->payload + 4);
	if (iot->cpus > SIM_CPUS_MAX)
		return damage(iot, error, "impossible start");
	input_skip(iot->input, iot->frame.payload_bytes);
	iot->payload = NULL;
	return 0;
}

static bool iot_open(void *state, struct input *input, const char *path, const struct trace_options *options,
		     GError **error)
{
	struct iot *iot = state;
	const uint8_t *bytes;
	ssize_t len = input_peek(input, IOT_MAGIC_BYTES, &bytes, error);

	iot->input = input;
	iot->devices = g_array_new(FALSE, FALSE, sizeof(struct device));
	iot->locals = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	if (len < 0)
		return false;
	if (len < (ssize_t)IOT_MAGIC_BYTES || memcmp(bytes, IOT_MAGIC, IOT_MAGIC_BYTES) != 0)
		return damage(iot, error, "not an iot file") == 0;
	input_skip(input, IOT_MAGIC_BYTES);
	return start_read(iot, error) == 0;
}

static int iot_probe(const uint8_t *bytes, size_t len)
{
	return len >= IOT_MAGIC_BYTES && memcmp(bytes, IOT_MAGIC, IOT_MAGIC_BYTES) == 0 ? 100 : 0;
}

static uint32_t iot_cpus(const void *state)
{
	return ((const struct iot *)state)->cpus;
}

static void iot_facts(void *state, GHashTable *facts)
{
	const struct iot *iot = state;

	g_hash_table_replace(facts, g_strdup("frames of records"),
			     g_strdup_printf("%" G_GUINT64_FORMAT, iot->index.frames));
}

static char *iot_device_name(const void *state, uint32_t number)
{
	return g_strdup(g_array_index(((const struct iot *)state)->devices, struct device, number).name);
}

static void iot_close(void *state)
{
	struct iot *iot = state;

	for (guint i = 0; i < iot->devices->len; i++)
		g_free(g_array_index(iot->devices, struct device, i).name);
	g_array_unref(iot->devices);
	g_array_unref(iot->locals);
}

const struct trace_reader_ops trace_iot = {
	.name = "iot",
	.description = "this program's own format",
	.probe = iot_probe,
	.state_size = sizeof(struct iot),
	.from_zero = true,
	.open = iot_open,
	.next = iot_next,
	.cpus = iot_cpus,
	.facts = iot_facts,
	.device_name = iot_device_name,
	.close = iot_close,
};
