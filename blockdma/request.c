/* SPDX-License-Identifier: MIT */
#include "blockdma/request.h"

#include <glib.h>

const char *const req_op_names[REQ_OPS] = {"read",    "write",	      "flush",
					   "discard", "write-zeroes", "passthrough"};

bool request_next_segment(struct req_iterator *iter, struct bio_vec *ret_segment)
{
	const struct request *req = iter->req;

	if (iter->vec == req->vec_count)
		return false;
	*ret_segment = req->vecs[iter->vec++];
	while (iter->vec < req->vec_count) {
		const struct bio_vec *next = &req->vecs[iter->vec];

		if (ret_segment->paddr + ret_segment->len != next->paddr ||
		    ret_segment->len + next->len > UINT32_MAX)
			break;
		ret_segment->len += next->len;
		iter->vec++;
	}
	return true;
}

void request_prepare(struct request *req)
{
	uint64_t gaps = 0;

	/* Also where two vectors touch and will merge (D10): the check runs before merging. */
	for (uint32_t i = 1; i < req->vec_count; i++)
		gaps |= (req->vecs[i].paddr & 4095) |
			((req->vecs[i - 1].paddr & 4095) + req->vecs[i - 1].len);
	req->gap_bit = gaps ? (unsigned)__builtin_ctzll(gaps) + 1 : 0;
	/* Counted before merging as well: touching vectors are two segments for the driver's choices. */
	req->nr_phys_segments = req->vec_count;
}

uint64_t request_split_bytes(const struct bio_vec *vecs, uint32_t count, uint64_t skip,
			     const struct queue_limits *limits)
{
	uint64_t total = 0, end = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t paddr = vecs[i].paddr + (i ? 0 : skip), len = vecs[i].len - (i ? 0 : skip);

		if (i && ((paddr | end) & limits->virt_boundary_mask))
			goto split;
		if (i == limits->max_segments)
			goto split;
		if (total + len > limits->max_bytes) {
			total = limits->max_bytes;
			goto split;
		}
		total += len;
		end = paddr + len;
	}
	return total;
split:
	return total - total % limits->logical_block_bytes;
}
