/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_IOT_H
#define SIM_TRACE_IOT_H

/*
 * What the reader and the writer of our own format have in common: frames, numbers, the index. docs/formats/iot.md has
 * it byte by byte.
 *
 * A file is the magic and frames: START, RECORDS as many as it takes, INDEX, END. All numbers of fixed width are
 * little-endian. Each frame has a checksum of all of it and understands itself: names of devices stand in every frame that
 * uses them, and differences start anew.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <glib.h>
#include <zlib.h>

#define IOT_MAGIC	 "\x89iot\r\n\x1a\n"
#define IOT_MAGIC_BYTES	 8u
#define IOT_VERSION	 1u
#define IOT_FRAME_MAGIC	 0x46746f69u /* "iotF" */
#define IOT_HEADER_BYTES 40u
#define IOT_PAYLOAD_MAX	 65536u /* what the input shows at once */
#define IOT_NAME_MAX	 255u
#define IOT_INDEX_MAX	 2048u /* entries: above it, every second one goes */
#define IOT_INDEX_ENTRY	 24u
#define IOT_START_BYTES	 8u
#define IOT_END_BYTES	 32u		     /* of payload */
#define IOT_NUMBER_MAX	 (UINT64_C(1) << 62) /* of requests */
#define IOT_VARINT_MAX	 10u

enum iot_frame_kind {
	IOT_START = 1,
	IOT_RECORDS = 2,
	IOT_INDEX = 3,
	IOT_END = 4,
};

struct iot_frame {
	uint32_t kind; /* enum iot_frame_kind */
	uint32_t payload_bytes;
	uint32_t records;
	uint64_t first;	  /* requests before the frame */
	uint64_t time_ns; /* of the last record before it; 0 */
};

/* First byte of a record. */
#define IOT_IS_END	(1u << 0)
#define IOT_OP_SHIFT	1 /* issue: three bits of enum io_op */
#define IOT_SAME_DEVICE (1u << 4)
#define IOT_COMMAND	(1u << 5)
#define IOT_SEGMENTS	(1u << 6)
#define IOT_MORE	(1u << 7)
#define IOT_HOW_SHIFT	1 /* end: two bits of enum iot_how */
#define IOT_ERROR	(1u << 3)
#define IOT_END_BITS	0x0fu

/* The byte behind it, with IOT_MORE: never 0. */
#define IOT_MORE_TO_DEVICE (1u << 0) /* of a passthrough command: its data */
#define IOT_MORE_NO_END	   (1u << 1) /* of a list: the recording has no completion of it */
#define IOT_MORE_BITS	   0x03u

enum iot_how {
	IOT_COMPLETED,
	IOT_REQUEUED,
	IOT_GIVEN_UP,
	IOT_HOWS,
};

/** Returns the number that stands for operation @op in files, which is not to change when enum io_op does. */
unsigned iot_op_code(unsigned op);
/** Sets *@ret_op. Returns false for a number that stands for none. */
bool iot_op_of(unsigned code, unsigned *ret_op);

static inline void iot_put32(uint8_t *at, uint32_t value)
{
	value = GUINT32_TO_LE(value);
	memcpy(at, &value, sizeof(value));
}

static inline void iot_put64(uint8_t *at, uint64_t value)
{
	value = GUINT64_TO_LE(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint32_t iot_get32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return GUINT32_FROM_LE(value);
}

static inline uint64_t iot_get64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return GUINT64_FROM_LE(value);
}

/* Differences that may be negative: 0, -1, 1, -2, … */
static inline uint64_t iot_zigzag(uint64_t difference)
{
	return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static inline uint64_t iot_unzigzag(uint64_t value)
{
	return value >> 1 ^ (0 - (value & 1));
}

/* Bytes, which are mostly whole sectors: those count as sectors, with a 0 bit below; others have a 1 there. */
static inline uint64_t iot_pack_bytes(uint64_t bytes)
{
	return bytes % 512 ? bytes << 1 | 1 : bytes >> 9 << 1;
}

static inline uint64_t iot_unpack_bytes(uint64_t value)
{
	return value & 1 ? value >> 1 : value >> 1 << 9;
}

/** Writes @frame as the header of @payload. */
void iot_frame_put(const struct iot_frame *frame, const uint8_t *payload, uint8_t header[IOT_HEADER_BYTES]);

/** Takes @header apart. Returns false where it is none. */
bool iot_frame_get(const uint8_t header[IOT_HEADER_BYTES], struct iot_frame *ret_frame);

/** Whether the checksum in @header is that of header and @payload. */
bool iot_frame_intact(const uint8_t header[IOT_HEADER_BYTES], const uint8_t *payload, uint32_t payload_bytes);

/** Makes the checksums of all frames fit that can be found in @bytes: for tests of what only they keep out. */
void iot_reseal(uint8_t *bytes, size_t len);

/** Where frames of records begin: every @stride-th, and never more than IOT_INDEX_MAX of them. A function of the frames, so that
 *  who reads them knows what the index must be. */
struct iot_index {
	uint32_t count, stride;
	uint64_t frames;
	struct iot_index_entry {
		uint64_t offset; /* in the file */
		uint64_t first, time_ns;
	} entries[IOT_INDEX_MAX];
};

void iot_index_add(struct iot_index *index, uint64_t offset, const struct iot_frame *frame);

/** Returns how many bytes it is as the payload of an INDEX frame, which it writes to @payload, of IOT_PAYLOAD_MAX. */
uint32_t iot_index_put(const struct iot_index *index, uint8_t *payload);

#endif
