/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_REQUEST_H
#define BLOCKDMA_REQUEST_H

/*
 * A block request and its data, as the NVMe driver gets it.
 *
 * The data are vectors of physically contiguous bytes in the order of the payload. Neighbouring vectors may touch; the
 * segment iterator merges those, as blk_rq_map_iter does. Lengths in bytes, sectors of 512 bytes. Source: block/ of
 * Linux 7.0, blockdma-facts section 1.
 */
#include <stdbool.h>
#include <stdint.h>

enum req_op {
	REQ_OP_READ,
	REQ_OP_WRITE,
	REQ_OP_FLUSH,
	REQ_OP_DISCARD,
	REQ_OP_WRITE_ZEROES,
	REQ_OP_DRV, /* a passthrough command */
	REQ_OPS,
};

extern const char *const req_op_names[REQ_OPS];

struct bio_vec {
	uint64_t paddr;
	uint64_t len;
};

struct request {
	uint64_t number; /* from 1; what owners are called */
	uint64_t sector;
	uint64_t bytes; /* payload; 0 for a flush or a write of zeroes */
	struct bio_vec *vecs;
	uint32_t vec_count;
	uint32_t nr_phys_segments;
	unsigned gap_bit; /* 1-based index of the lowest bit in which joints are not aligned; 0: none */
	enum req_op op;
	bool to_device;
};

struct queue_limits {
	uint64_t max_bytes;
	uint32_t max_segments;
	uint32_t logical_block_bytes;
	uint64_t virt_boundary_mask; /* 0: none */
};

/** Computes nr_phys_segments and gap_bit from the vectors (sections 1.3 and 1.1). */
void request_prepare(struct request *req);

/** Returns gap_mask: all bits from gap_bit - 1 upwards, 0 without a gap. */
static inline uint64_t request_gap_mask(const struct request *req)
{
	return req->gap_bit ? ~UINT64_C(0) << (req->gap_bit - 1) : 0;
}

/** Returns how many bytes of @vecs[0..@count), starting @skip bytes into the first, one request may take under @limits
 *  (section 1.6): everything, or the part before a forced split, rounded down to whole logical blocks. 0 when not even
 *  one block fits. */
uint64_t request_split_bytes(const struct bio_vec *vecs, uint32_t count, uint64_t skip,
			     const struct queue_limits *limits);

/* ---- segments ---- */

struct req_iterator {
	const struct request *req;
	uint32_t vec;
};

/** Returns the next segment: touching vectors merged, at most UINT32_MAX bytes. False at the end. */
bool request_next_segment(struct req_iterator *iter, struct bio_vec *ret_segment);

#endif
