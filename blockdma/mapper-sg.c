/* SPDX-License-Identifier: MIT */
#include "blockdma/mapper-sg.h"

#include <glib.h>

struct sg_fill {
	struct scatterlist *sgl;
	unsigned count;
};

static void fill_append(struct sg_fill *fill, const struct request *req, uint64_t paddr, uint64_t len)
{
	/* What was counted bounds the table that the driver took. */
	g_assert(fill->count < req->nr_phys_segments);
	fill->sgl[fill->count++] = (struct scatterlist){.paddr = paddr, .len = len};
}

/** Cuts a vector where the limits do. */
static void fill_vector(struct sg_fill *fill, const struct request *req, const struct bio_vec *vec)
{
	for (uint64_t done = 0, part; done < vec->len; done += part) {
		part = MIN(vec->len - done, bio_vec_limit(req->limits, vec->paddr + done));
		fill_append(fill, req, vec->paddr + done, part);
	}
}

/** Lets the last entry grow by @vec, the first vector of a bio that is not the first. Returns false if it cannot. */
static bool fill_join(struct sg_fill *fill, const struct request *req, const struct bio_vec *vec)
{
	struct scatterlist *last = &fill->sgl[fill->count - 1];
	uint64_t max =
		req->limits && req->limits->max_segment_size ? req->limits->max_segment_size : UINT32_MAX;

	if (last->len + vec->len > max || !bio_vec_touches(req->limits, vec - 1, vec))
		return false;
	last->len += vec->len;
	return true;
}

unsigned blk_rq_map_sg(const struct request *req, struct scatterlist *sgl)
{
	struct sg_fill fill = {.sgl = sgl};
	uint32_t bio = 1;

	if (req->special) {
		fill_append(&fill, req, req->vecs[0].paddr, req->vecs[0].len);
		return fill.count;
	}
	for (uint32_t i = 0; i < req->vec_count; i++) {
		bool starts = req->bio_first && bio < req->bio_count && req->bio_first[bio] == i;

		bio += starts;
		if (!starts || !fill_join(&fill, req, &req->vecs[i]))
			fill_vector(&fill, req, &req->vecs[i]);
	}
	return fill.count;
}
