/* SPDX-License-Identifier: MIT */
#include "blockdma/request.h"

#include <errno.h>

#include "sim/core/physmem.h"

const char *const req_op_names[REQ_OPS] = {"read",    "write",	      "flush",
					   "discard", "write-zeroes", "passthrough"};

/** Returns the offset of @paddr in its page. */
static uint64_t page_offset(const struct queue_limits *limits, uint64_t paddr)
{
	return paddr & ((UINT64_C(1) << (limits && limits->page_lg2 ? limits->page_lg2 : 12)) - 1);
}

uint64_t bio_vec_limit(const struct queue_limits *limits, uint64_t paddr)
{
	uint64_t limit = UINT32_MAX, mask;

	if (!limits)
		return limit;
	if (limits->max_segment_size)
		limit = MIN(limit, limits->max_segment_size);
	mask = limits->seg_boundary_mask;
	/* Of a mask of all ones the distance to the end wraps around at address 0 alone, where it is endless. */
	if (mask && mask - (paddr & mask) < limit)
		limit = mask - (paddr & mask) + 1;
	return limit;
}

bool bio_vec_touches(const struct queue_limits *limits, const struct bio_vec *vec, const struct bio_vec *next)
{
	uint64_t mask = limits && limits->seg_boundary_mask ? limits->seg_boundary_mask : UINT64_MAX;

	return vec->paddr + vec->len == next->paddr && (vec->paddr | mask) == ((next->paddr + next->len - 1) | mask);
}

void bio_vec_list_grow(struct bio_vec_list *list)
{
	list->capacity = MAX(4, 2 * list->capacity);
	list->vecs = g_renew(struct bio_vec, list->vecs, list->capacity);
}

void bio_vec_list_finish(struct bio_vec_list *list)
{
	g_free(list->vecs);
	*list = (struct bio_vec_list){0};
}

void bio_vecs_take(const struct bio_vec_list *list, uint32_t *at, uint64_t *skip, uint64_t bytes,
		   struct bio_vec_list *ret_list)
{
	ret_list->count = 0;
	while (bytes) {
		struct bio_vec vec = list->vecs[*at];

		vec.paddr += *skip;
		vec.len -= *skip;
		if (vec.len > bytes) {
			vec.len = bytes;
			*skip += bytes;
		} else {
			*skip = 0;
			++*at;
		}
		bytes -= vec.len;
		bio_vec_list_add(ret_list, vec.paddr, vec.len);
	}
}

/** A vector that is cut leaves the rest for the next segment, and nothing is merged to its front part. */
bool request_next_segment(struct req_iterator *iter, struct bio_vec *ret_segment)
{
	struct bio_vec vec;
	uint64_t limit;

	if (iter->vec == iter->count)
		return false;
	vec = (struct bio_vec){iter->vecs[iter->vec].paddr + iter->done, iter->vecs[iter->vec].len - iter->done};
	limit = bio_vec_limit(iter->limits, vec.paddr);
	if (vec.len > limit) {
		iter->done += limit;
		*ret_segment = (struct bio_vec){vec.paddr, limit};
		return true;
	}
	iter->done = 0;
	while (++iter->vec < iter->count) {
		const struct bio_vec *next = &iter->vecs[iter->vec];

		if (vec.len + next->len > limit || !bio_vec_touches(iter->limits, &vec, next))
			break;
		vec.len += next->len;
	}
	*ret_segment = vec;
	return true;
}

uint64_t bio_joint_bits(const struct queue_limits *limits, const struct bio_vec *vec,
			   const struct bio_vec *next)
{
	return page_offset(limits, next->paddr) | (page_offset(limits, vec->paddr) + vec->len);
}

static unsigned lowest_bit(uint64_t bits)
{
	return bits ? (unsigned)__builtin_ctzll(bits) + 1 : 0;
}

/** Adds what [@paddr, @paddr + @len) makes of segments to @split, as far as the limits allow. Returns whether all of it
 * found room. */
static bool split_vector(struct bio_split *split, uint64_t paddr, uint64_t len,
			 const struct queue_limits *limits)
{
	uint64_t room = MIN(len, limits->max_bytes - split->bytes), total = 0;

	while (total < room && split->segments < limits->max_segments) {
		total += MIN(bio_vec_limit(limits, paddr + total), room - total);
		split->segments++;
		if ((paddr + total) & limits->virt_boundary_mask)
			break;
	}
	split->bytes += total;
	return total == len;
}

/** Whether one of @vecs lies in the frame at @paddr. */
static bool vecs_hold(const struct bio_vec *vecs, uint32_t count, uint64_t paddr)
{
	for (uint32_t i = 0; i < count; i++)
		if (vecs[i].paddr < paddr + FRAME_SIZE && vecs[i].paddr + vecs[i].len > paddr)
			return true;
	return false;
}

bool request_holds(const struct request *req, uint64_t paddr)
{
	return vecs_hold(req->vecs, req->vec_count, paddr) ||
	       vecs_hold(req->meta_vecs, req->meta_vec_count, paddr);
}

struct bio_split bio_split(const struct bio_vec *vecs, uint32_t count, uint64_t skip,
			   const struct queue_limits *limits)
{
	struct bio_split split = {0};
	struct bio_vec previous = {0};
	uint64_t gaps = 0;

	for (uint32_t i = 0; i < count && !split.split; i++) {
		struct bio_vec vec = {vecs[i].paddr + (i ? 0 : skip), vecs[i].len - (i ? 0 : skip)};

		if ((vec.paddr | vec.len) & limits->dma_alignment)
			return (struct bio_split){.err = -EINVAL};
		if (i && (vec.paddr | (previous.paddr + previous.len)) & limits->virt_boundary_mask) {
			split.split = true;
			break;
		}
		if (i)
			gaps |= bio_joint_bits(limits, &previous, &vec);
		split.split = !split_vector(&split, vec.paddr, vec.len, limits);
		previous = vec;
	}
	split.gap_bit = lowest_bit(gaps);
	if (!split.split)
		return split;
	split.bytes -= split.bytes % limits->logical_block_bytes;
	if (!split.bytes)
		split.err = -EINVAL;
	return split;
}

uint64_t request_integrity_gap_mask(const struct request *req)
{
	uint64_t gaps = 0;

	for (uint32_t i = 1; i < req->meta_vec_count; i++)
		if (!bio_vec_touches(req->limits, &req->meta_vecs[i - 1], &req->meta_vecs[i]))
			gaps |= bio_joint_bits(req->limits, &req->meta_vecs[i - 1], &req->meta_vecs[i]);
	return gaps ? ~UINT64_C(0) << (lowest_bit(gaps) - 1) : 0;
}

/** Counts the segments that the limits make of one vector. */
static uint32_t vector_segments(const struct queue_limits *limits, const struct bio_vec *vec)
{
	uint32_t count = 0;

	for (uint64_t at = 0; at < vec->len; count++)
		at += bio_vec_limit(limits, vec->paddr + at);
	return count;
}

/** Whether a bio starts at vector @vec, @firsts being where @count bios do; *@bio is the next that may. */
static bool starts_bio(const uint32_t *firsts, uint32_t count, uint32_t vec, uint32_t *bio)
{
	while (firsts && *bio < count && firsts[*bio] < vec)
		++*bio;
	return firsts && *bio < count && firsts[*bio] == vec;
}

/** Counts the segments of the integrity data: merged within a bio, and added up. */
static uint32_t integrity_segments(const struct request *req)
{
	uint32_t count = 0, bio = 0;
	uint64_t len = 0;

	for (uint32_t i = 0; i < req->meta_vec_count; i++) {
		const struct bio_vec *vec = &req->meta_vecs[i];

		if (i && !starts_bio(req->meta_first, req->bio_count, i, &bio) &&
		    bio_vec_touches(req->limits, vec - 1, vec) &&
		    len + vec->len <= (req->limits && req->limits->max_segment_size
					       ? req->limits->max_segment_size
					       : UINT32_MAX)) {
			len += vec->len;
			continue;
		}
		len = vec->len;
		count++;
	}
	return count;
}

void request_prepare(struct request *req)
{
	uint32_t bio = 0;
	uint64_t gaps = 0;

	req->nr_phys_segments = 0;
	for (uint32_t i = 0; i < req->vec_count; i++) {
		/* Counted before merging: touching vectors are two segments for the driver's choices. */
		req->nr_phys_segments += vector_segments(req->limits, &req->vecs[i]);
		if (i == 0)
			continue;
		/* Also where two vectors of a bio touch and will merge (D10); at the joint of two bios not. */
		if (!starts_bio(req->bio_first, req->bio_count, i, &bio) || !bio_vec_touches(req->limits, &req->vecs[i - 1], &req->vecs[i]))
			gaps |= bio_joint_bits(req->limits, &req->vecs[i - 1], &req->vecs[i]);
	}
	if (req->special)
		req->nr_phys_segments = 1;
	req->gap_bit = lowest_bit(gaps);
	req->nr_integrity_segments = integrity_segments(req);
}
