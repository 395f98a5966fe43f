/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_REQUEST_H
#define BLOCKDMA_REQUEST_H

/*
 * A block request and its data, as the NVMe driver gets it.
 *
 * The data are vectors of physically contiguous bytes in the order of the payload, of one bio or several that were merged.
 * Neighbouring vectors may touch; the segment iterator merges those, as blk_rq_map_iter does. Beside the data there may be
 * integrity vectors. Lengths in bytes, sectors of 512 bytes. Source: block/ of Linux 7.0, blockdma-facts section 1.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

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

/** Vectors that grow, for who makes them anew with each request; all zero: none. */
struct bio_vec_list {
	struct bio_vec *vecs; /* NULL before the first */
	uint32_t count;
	uint32_t capacity;
};

/** Makes room in @list for at least one more. bio_vec_list_add() calls it. */
void bio_vec_list_grow(struct bio_vec_list *list);
void bio_vec_list_finish(struct bio_vec_list *list);

static inline void bio_vec_list_add(struct bio_vec_list *list, uint64_t paddr, uint64_t len)
{
	if (list->count == list->capacity)
		bio_vec_list_grow(list);
	list->vecs[list->count++] = (struct bio_vec){paddr, len};
}

/** What the driver tells the block layer of its queue. */
struct queue_limits {
	uint64_t max_bytes;
	uint32_t max_segments;
	uint32_t logical_block_bytes;
	uint64_t virt_boundary_mask; /* 0: none */
	uint64_t seg_boundary_mask;  /* a segment lies in one window of this and one more bytes; 0: anywhere */
	uint32_t max_segment_size;   /* 0: UINT32_MAX */
	uint32_t max_integrity_segments;
	uint8_t page_lg2; /* of the CPU's pages, in which vectors have their offsets; 0: 12 */
	uint32_t dma_alignment;	     /* bits that addresses and lengths of vectors must not have */
};

struct request {
	uint64_t number; /* from 1; what owners are called */
	uint64_t sector;
	uint64_t bytes; /* payload; 0 for a flush or a write of zeroes */
	struct bio_vec *vecs;
	uint32_t vec_count;
	const uint32_t *bio_first; /* number of the first vector of each bio; NULL: there is one bio */
	uint32_t bio_count;	   /* of these */
	struct bio_vec *meta_vecs; /* integrity data */
	uint32_t meta_vec_count;
	const uint32_t *meta_first;	   /* as @bio_first, with as many, of the integrity vectors */
	uint64_t meta_bytes;		   /* as the sectors need, whatever the vectors hold */
	const struct queue_limits *limits; /* of segments; NULL: none */
	bool special;			   /* the vector is the driver's own payload: a discard's ranges */
	uint32_t nr_phys_segments;
	uint32_t nr_integrity_segments;
	unsigned gap_bit; /* 1-based index of the lowest bit in which joints are not aligned; 0: none */
	enum req_op op;
	bool to_device;
};

/** Computes both numbers of segments and gap_bit from the vectors (sections 1.1, 1.3 and 1.4). */
void request_prepare(struct request *req);

/** Returns gap_mask: all bits from gap_bit - 1 upwards, 0 without a gap. */
static inline uint64_t request_gap_mask(const struct request *req)
{
	return req->gap_bit ? ~UINT64_C(0) << (req->gap_bit - 1) : 0;
}

/** The same of the joints of the integrity vectors. */
uint64_t request_integrity_gap_mask(const struct request *req);

/** Whether data or integrity data of @req lie in the data frame at @paddr. */
bool request_holds(const struct request *req, uint64_t paddr);

/** Where a bio has to be split. */
struct bio_split {
	int err;	   /* -EINVAL: not even one block fits, or a vector is misaligned */
	bool split;	   /* else all of it fits */
	uint64_t bytes;	   /* of the part before, in whole logical blocks; of all of it if it need not be split */
	uint32_t segments; /* of the bio up to there */
	unsigned gap_bit;  /* likewise */
};

/** Looks where the bio of @vecs[0..@count), starting @skip bytes into the first, exceeds @limits (section 1.6). */
struct bio_split bio_split(const struct bio_vec *vecs, uint32_t count, uint64_t skip,
			   const struct queue_limits *limits);

/** Returns how many bytes one request may take: all, or the part before a split; 0 when not even one block fits. */
static inline uint64_t request_split_bytes(const struct bio_vec *vecs, uint32_t count, uint64_t skip,
					   const struct queue_limits *limits)
{
	struct bio_split split = bio_split(vecs, count, skip, limits);

	return split.err ? 0 : split.bytes;
}

/* ---- segments ---- */

/** Returns how long a segment from @paddr on may be under @limits (NULL: none). */
uint64_t bio_vec_limit(const struct queue_limits *limits, uint64_t paddr);
/** Whether @next goes on where @vec ends, in the same window of @limits (NULL: none). */
bool bio_vec_touches(const struct queue_limits *limits, const struct bio_vec *vec, const struct bio_vec *next);

/** Returns the bits in which the joint between @vec and @next is not aligned to the pages of @limits (NULL: of 4 KiB). */
uint64_t bio_joint_bits(const struct queue_limits *limits, const struct bio_vec *vec,
			const struct bio_vec *next);

/** Takes the next @bytes off @list (it has as many), from *@at on with *@skip bytes of that one gone, into @ret_list, replacing
 *  what that holds. */
void bio_vecs_take(const struct bio_vec_list *list, uint32_t *at, uint64_t *skip, uint64_t bytes,
		   struct bio_vec_list *ret_list);

struct req_iterator {
	const struct bio_vec *vecs;
	uint32_t count;
	const struct queue_limits *limits; /* NULL: none */
	uint32_t vec;
	uint64_t done; /* bytes of that vector */
};

/** Starts with the data of @req. */
static inline struct req_iterator request_data(const struct request *req)
{
	return (struct req_iterator){.vecs = req->vecs, .count = req->vec_count, .limits = req->limits};
}

/** Starts with its integrity data. */
static inline struct req_iterator request_integrity(const struct request *req)
{
	return (struct req_iterator){
		.vecs = req->meta_vecs, .count = req->meta_vec_count, .limits = req->limits};
}

/** Returns the next segment: touching vectors merged as far as the limits allow, at most UINT32_MAX bytes. False at the
 * end. */
bool request_next_segment(struct req_iterator *iter, struct bio_vec *ret_segment);

#endif
