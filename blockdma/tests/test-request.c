/* SPDX-License-Identifier: MIT */
/*
 * What the block layer derives from a request's vectors: gap bit, counted and merged segments, and where a
 * bio is split. Tables of single facts, then random vectors against the definitions, byte by byte.
 */
#include <glib.h>

#include "blockdma/request.h"
#include "sim/core/prng.h"

#define PAGE	 UINT64_C(4096)
#define VECS_MAX 8
#define A	 UINT64_C(0x100000000)
#define B	 UINT64_C(0x200000000)
#define C	 UINT64_C(0x300000000)

static uint32_t count_vecs(const struct bio_vec *vecs)
{
	uint32_t count = 0;

	while (count < VECS_MAX && vecs[count].len)
		count++;
	return count;
}

/* ---- segments and gaps ---- */

static const struct derive_case {
	const char *name;
	struct bio_vec vecs[VECS_MAX];
	unsigned gap_bit, counted, merged;
} derive_cases[] = {
	{"one-vector-has-no-gap", {{A + 512, 100}}, 0, 1, 1},
	{"no-vectors", {{0}}, 0, 0, 0},
	{"whole-pages-gap-is-the-page", {{A, PAGE}, {B, PAGE}}, 13, 2, 2},
	{"first-may-start-and-last-may-end-anywhere", {{A + 0xa00, 0x600}, {B, PAGE}, {C, 12}}, 13, 3, 3},
	{"short-one-between", {{A, PAGE}, {B, 512}, {C, PAGE}}, 10, 3, 3},
	{"later-one-starts-late", {{A, PAGE}, {B + 1024, 3072}}, 11, 2, 2},
	{"lowest-bit-of-all-joints-counts", {{A, 3 * PAGE}, {B, PAGE - 4}, {C + 2048, 8}}, 3, 3, 3},
	{"large-aligned-runs-have-a-high-gap-bit", {{A, 65536}, {B, 65536}}, 17, 2, 2},
	{"offset-in-page-counts-towards-the-end", {{A + 0x800, 0x800}, {B, PAGE}}, 13, 2, 2},
	{"touching-vectors-count-twice-and-merge", {{A, PAGE}, {A + PAGE, PAGE}}, 13, 2, 1},
	{"touching-inside-a-page-leaves-a-gap-bit", {{A, 2560}, {A + 2560, 1536}}, 10, 2, 1},
	{"merge-goes-on-and-stops", {{A, PAGE}, {A + PAGE, PAGE}, {A + 2 * PAGE, 512}, {B, PAGE}}, 10, 4, 2},
	{"backwards-does-not-merge", {{A + PAGE, PAGE}, {A, PAGE}}, 13, 2, 2},
	{"same-page-twice-does-not-merge", {{A, PAGE}, {A, PAGE}}, 13, 2, 2},
	{"segment-stays-below-4-gib", {{A, 0x80000000}, {A + 0x80000000, 0x80000000}}, 32, 2, 2},
	{"segment-of-all-but-4-gib", {{A, 0x80000000}, {A + 0x80000000, 0x7fffffff}}, 32, 2, 1},
};

static void test_derive(const void *data)
{
	const struct derive_case *row = data;
	struct request req = {.vecs = (struct bio_vec *)row->vecs, .vec_count = count_vecs(row->vecs)};
	struct req_iterator iter = request_data(&req);
	struct bio_vec segment;
	unsigned merged = 0;

	request_prepare(&req);
	while (request_next_segment(&iter, &segment))
		merged++;
	g_assert_cmpuint(req.gap_bit, ==, row->gap_bit);
	g_assert_cmpuint(req.nr_phys_segments, ==, row->counted);
	g_assert_cmpuint(merged, ==, row->merged);
	g_assert_cmphex(request_gap_mask(&req), ==,
			row->gap_bit ? ~((UINT64_C(1) << (row->gap_bit - 1)) - 1) : 0);
}

/* Two bios that touch leave no gap bit at their joint, two vectors of one do; a discard's ranges are one segment. */
static void test_derive_of_bios(void)
{
	static const uint32_t firsts[] = {0, 2};
	struct bio_vec vecs[] = {{A, PAGE}, {B, 512}, {B + 512, PAGE - 512}};
	struct request req = {.vecs = vecs, .vec_count = 3, .bio_first = firsts, .bio_count = 2};

	/* Twice: nothing of the first time counts. */
	for (unsigned i = 0; i < 2; i++) {
		request_prepare(&req);
		g_assert_cmpuint(req.gap_bit, ==, 13);
		g_assert_cmpuint(req.nr_phys_segments, ==, 3);
	}
	req.bio_count = 0;
	req.bio_first = NULL;
	request_prepare(&req);
	g_assert_cmpuint(req.gap_bit, ==, 10);
	req.special = true;
	request_prepare(&req);
	g_assert_cmpuint(req.nr_phys_segments, ==, 1);
}

/* ---- integrity data ---- */

static const struct integrity_case {
	const char *name;
	struct bio_vec vecs[VECS_MAX];
	uint32_t second_bio; /* where it begins; 0: there is one */
	uint32_t max_segment_size;
	unsigned segments, gap_bit;
} integrity_cases[] = {
	{"none", {{0}}, 0, 0, 0, 0},
	{"one", {{A + 512, 8}}, 0, 0, 1, 0},
	{"apart", {{A, PAGE}, {B, PAGE}}, 0, 0, 2, 13},
	{"apart-inside-a-page", {{A, PAGE}, {B, 8}, {C, PAGE}}, 0, 0, 3, 4},
	{"touching-ones-are-merged-and-leave-no-gap", {{A, 8}, {A + 8, 8}, {A + 16, 8}}, 0, 0, 1, 0},
	{"merge-stops-and-begins-again", {{A, PAGE}, {B, 512}, {B + 512, 512}, {C, 64}}, 0, 0, 3, 11},
	{"not-across-bios", {{A, 8}, {A + 8, 8}, {A + 16, 8}}, 1, 0, 2, 0},
	{"as-far-as-a-segment-may-be-long", {{A, 64}, {A + 64, 64}, {A + 128, 64}}, 0, 128, 2, 0},
	{"what-is-apart-begins-anew", {{A, 100}, {B, 64}, {B + 64, 64}}, 0, 128, 2, 3},
};

static void test_integrity(const void *data)
{
	const struct integrity_case *row = data;
	const uint32_t firsts[] = {0, row->second_bio};
	const struct queue_limits limits = {.max_segment_size = row->max_segment_size};
	struct request req = {.meta_vecs = (struct bio_vec *)row->vecs,
			      .meta_vec_count = count_vecs(row->vecs),
			      .meta_first = row->second_bio ? firsts : NULL,
			      .bio_count = row->second_bio ? 2 : 1,
			      .limits = &limits};

	request_prepare(&req);
	g_assert_cmpuint(req.nr_integrity_segments, ==, row->segments);
	g_assert_cmphex(request_integrity_gap_mask(&req), ==,
			row->gap_bit ? ~((UINT64_C(1) << (row->gap_bit - 1)) - 1) : 0);
}

/* ---- splitting ---- */

static const struct split_case {
	const char *name;
	struct bio_vec vecs[VECS_MAX];
	uint64_t skip;
	uint64_t max_bytes;
	uint32_t max_segments, block;
	uint64_t boundary;
	uint64_t fits;
} split_cases[] = {
	{"fits-whole", {{A, PAGE}, {B, PAGE}}, 0, 131072, 33, 512, 0, 2 * PAGE},
	{"exactly-the-most-bytes", {{A, PAGE}, {B, PAGE}}, 0, 2 * PAGE, 33, 512, 0, 2 * PAGE},
	{"bytes-cut-a-vector", {{A, PAGE}, {B, PAGE}}, 0, 6144, 33, 512, 0, 6144},
	{"bytes-cut-a-vector-at-a-block", {{A, PAGE}, {B, 2 * PAGE}}, 0, 10240, 33, 4096, 0, 2 * PAGE},
	{"one-long-vector", {{A, 1 << 20}}, 0, 131072, 33, 512, 0, 131072},
	{"exactly-the-most-segments", {{A, PAGE}, {B, PAGE}}, 0, 131072, 2, 512, 0, 2 * PAGE},
	{"segments-cut", {{A, PAGE}, {B, PAGE}, {C, PAGE}}, 0, 131072, 2, 512, 0, 2 * PAGE},
	{"segments-cut-back-to-a-block", {{A, PAGE}, {B, 512}, {C, 3584}}, 0, 131072, 2, 4096, 0, PAGE},
	{"touching-vectors-count-as-two-segments", {{A, PAGE}, {A + PAGE, PAGE}}, 0, 131072, 1, 512, 0, PAGE},
	{"boundary-lets-partial-ends-pass",
	 {{A + 0xa00, 0x600}, {B, PAGE}, {C, 512}},
	 0,
	 131072,
	 33,
	 512,
	 4095,
	 6144},
	{"boundary-splits-after-an-early-end",
	 {{A, PAGE}, {B, 512}, {C, PAGE}},
	 0,
	 131072,
	 33,
	 512,
	 4095,
	 4608},
	{"boundary-splits-before-a-late-start", {{A, PAGE}, {B + 512, 512}}, 0, 131072, 33, 512, 4095, PAGE},
	{"boundary-splits-touching-vectors-too",
	 {{A, 1536}, {A + 1536, 2560}},
	 0,
	 131072,
	 33,
	 512,
	 4095,
	 1536},
	{"boundary-leaves-less-than-a-block", {{A, 2048}, {B, 2048}}, 0, 131072, 33, 4096, 4095, 0},
	{"skipped-part-is-not-counted", {{A, 1 << 20}}, (1 << 20) - 512, 131072, 33, 512, 4095, 512},
	{"start-inside-a-vector-is-no-joint",
	 {{A, 2 * PAGE}, {B, PAGE}},
	 512,
	 131072,
	 33,
	 512,
	 4095,
	 3 * PAGE - 512},
};

static void test_split(const void *data)
{
	const struct split_case *row = data;
	struct queue_limits limits = {.max_bytes = row->max_bytes,
				      .max_segments = row->max_segments,
				      .logical_block_bytes = row->block,
				      .virt_boundary_mask = row->boundary};

	g_assert_cmpuint(request_split_bytes(row->vecs, count_vecs(row->vecs), row->skip, &limits), ==,
			 row->fits);
}

/* Where a segment must end for its length and not on the boundary, the request does. */
static void test_split_at_a_long_segment(void)
{
	static const struct bio_vec vecs[] = {{A, 4 * PAGE}};
	struct queue_limits limits = {.max_bytes = 131072,
				      .max_segments = 33,
				      .logical_block_bytes = 512,
				      .virt_boundary_mask = PAGE - 1,
				      .max_segment_size = PAGE + 512};

	g_assert_cmpuint(request_split_bytes(vecs, 1, 0, &limits), ==, PAGE + 512);
	limits.max_segment_size = PAGE;
	g_assert_cmpuint(request_split_bytes(vecs, 1, 0, &limits), ==, 4 * PAGE);
}

/* ---- at random ---- */

static uint32_t random_vecs(struct prng *prng, struct bio_vec *vecs)
{
	uint32_t count = 1 + prng_below(prng, VECS_MAX);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t offset = prng_below(prng, 3) ? 0 : prng_below(prng, 8) * 512;

		vecs[i].paddr = A + prng_below(prng, 1 << 16) * PAGE + offset;
		vecs[i].len = prng_below(prng, 3) ? PAGE - offset : (1 + prng_below(prng, 40)) * 512;
		if (i && prng_below(prng, 3) == 0)
			vecs[i].paddr = vecs[i - 1].paddr + vecs[i - 1].len;
	}
	return count;
}

/* The segments are the same bytes in the same order, and no two neighbours touch. */
static void test_segments_are_the_bytes_of_the_vectors(void)
{
	struct prng prng;

	prng_init(&prng, 1, "segments");
	for (unsigned round = 0; round < 20000; round++) {
		struct bio_vec vecs[VECS_MAX], segment, last = {0};
		struct request req = {.vecs = vecs, .vec_count = random_vecs(&prng, vecs)};
		struct req_iterator iter = request_data(&req);
		uint32_t vec = 0;
		uint64_t at = 0;

		while (request_next_segment(&iter, &segment)) {
			g_assert_cmphex(segment.paddr, !=, last.paddr + last.len);
			last = segment;
			for (; segment.len; segment.paddr += 4, segment.len -= 4) {
				g_assert_cmphex(segment.paddr, ==, vecs[vec].paddr + at);
				at += 4;
				if (at == vecs[vec].len) {
					vec++;
					at = 0;
				}
			}
		}
		g_assert_cmpuint(vec, ==, req.vec_count);
	}
}

static bool frame_in(const struct bio_vec *vecs, uint32_t count, uint64_t frame)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint64_t at = 0; at < vecs[i].len; at++)
			if ((vecs[i].paddr + at) / 4096 == frame)
				return true;
	return false;
}

static void test_holds_the_frames_of_all_vectors(void)
{
	struct bio_vec data[] = {{0x1ffc, 8}, {0x8000, 4096}}, meta[] = {{0x5ff8, 8}};
	struct request req = {.vecs = data, .vec_count = 2, .meta_vecs = meta, .meta_vec_count = 1};

	for (uint64_t frame = 0; frame < 12; frame++)
		g_assert_cmpint(request_holds(&req, frame * 4096), ==,
				frame_in(data, 2, frame) || frame_in(meta, 1, frame));
}

/* A request may be one mapping of pages if and only if each joint lies on a page on both sides. */
static void test_gap_bit_is_the_lowest_of_all_joints(void)
{
	struct prng prng;

	prng_init(&prng, 2, "gaps");
	for (unsigned round = 0; round < 20000; round++) {
		struct bio_vec vecs[VECS_MAX];
		struct request req = {.vecs = vecs, .vec_count = random_vecs(&prng, vecs)};
		unsigned lowest = 64;

		request_prepare(&req);
		for (unsigned bit = 0; bit < 12; bit++)
			for (uint32_t i = 1; i < req.vec_count; i++)
				if (((vecs[i].paddr >> bit) & 1) ||
				    (((vecs[i - 1].paddr + vecs[i - 1].len) >> bit) & 1))
					lowest = MIN(lowest, bit);
		if (lowest < 12)
			g_assert_cmpuint(req.gap_bit, ==, lowest + 1);
		else
			g_assert_true(req.gap_bit == 0 || req.gap_bit > 12);
	}
}

/* What a split gives fits the limits, and one block more would not. */
static void test_split_takes_as_much_as_fits(void)
{
	struct prng prng;

	prng_init(&prng, 3, "split");
	for (unsigned round = 0; round < 20000; round++) {
		struct bio_vec vecs[VECS_MAX];
		uint32_t count = random_vecs(&prng, vecs), used = 0;
		struct queue_limits limits = {.max_bytes = (1 + prng_below(&prng, 40)) * 512,
					      .max_segments = 1 + prng_below(&prng, VECS_MAX),
					      .logical_block_bytes = 512,
					      .virt_boundary_mask = prng_below(&prng, 2) ? PAGE - 1 : 0};
		uint64_t fits = request_split_bytes(vecs, count, 0, &limits), left = fits;

		g_assert_cmpuint(fits, <=, limits.max_bytes);
		for (; left >= vecs[used].len; used++) {
			left -= vecs[used].len;
			if (used + 1 == count)
				break;
		}
		if (used + 1 == count && left == 0)
			continue; /* everything */
		g_assert_cmpuint(used + (left != 0), <=, limits.max_segments);
		if (fits == limits.max_bytes || used == limits.max_segments)
			continue;
		/* Then a joint is not on the boundary, at the very place where it ends. */
		g_assert_cmpuint(left, ==, 0);
		g_assert_cmphex((vecs[used].paddr | (vecs[used - 1].paddr + vecs[used - 1].len)) &
					limits.virt_boundary_mask,
				!=, 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(derive_cases); i++) {
		g_autofree char *path = g_strconcat("/blockdma/request/derive/", derive_cases[i].name, NULL);

		g_test_add_data_func(path, &derive_cases[i], test_derive);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(split_cases); i++) {
		g_autofree char *path = g_strconcat("/blockdma/request/split/", split_cases[i].name, NULL);

		g_test_add_data_func(path, &split_cases[i], test_split);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(integrity_cases); i++) {
		g_autofree char *path =
			g_strconcat("/blockdma/request/integrity/", integrity_cases[i].name, NULL);

		g_test_add_data_func(path, &integrity_cases[i], test_integrity);
	}
	g_test_add_func("/blockdma/request/derive-of-bios", test_derive_of_bios);
	g_test_add_func("/blockdma/request/split-at-a-long-segment", test_split_at_a_long_segment);
	g_test_add_func("/blockdma/request/segments-are-the-bytes-of-the-vectors",
			test_segments_are_the_bytes_of_the_vectors);
	g_test_add_func("/blockdma/request/gap-bit-is-the-lowest-of-all-joints",
			test_gap_bit_is_the_lowest_of_all_joints);
	g_test_add_func("/blockdma/request/holds-the-frames-of-all-vectors",
			test_holds_the_frames_of_all_vectors);
	g_test_add_func("/blockdma/request/split-takes-as-much-as-fits", test_split_takes_as_much_as_fits);
	return g_test_run();
}
