/* SPDX-License-Identifier: MIT */
#include "sim/machine/segments.h"

#define HUGE_PAGES (1u << 9) /* small pages in a huge one */

static uint64_t segments_page(uint32_t page)
{
	return SEGMENTS_BASE + ((uint64_t)page << FRAME_LG2);
}

static void segments_append(GArray *vecs, uint64_t paddr, uint64_t len)
{
	struct bio_vec vec = {paddr, len};

	g_array_append_val(vecs, vec);
}

/** A run of @pages pages that wraps nowhere. */
static uint64_t segments_run(struct prng *prng, uint64_t pages)
{
	return segments_page(prng_below(prng, SEGMENTS_PAGES - (uint32_t)MIN(pages, SEGMENTS_PAGES - 1)));
}

void segments_make(struct prng *prng, enum segment_layout layout, uint64_t bytes, GArray *vecs)
{
	uint64_t left = bytes;

	switch (layout) {
	case LAYOUT_CONTIGUOUS:
		segments_append(vecs, segments_run(prng, (bytes + FRAME_SIZE - 1) >> FRAME_LG2), bytes);
		break;
	case LAYOUT_THP:
		while (left) {
			uint64_t part = MIN(left, (uint64_t)HUGE_PAGES << FRAME_LG2);
			uint32_t pages = (uint32_t)((part + FRAME_SIZE - 1) >> FRAME_LG2);
			uint32_t huge = prng_below(prng, SEGMENTS_PAGES / HUGE_PAGES);

			segments_append(
				vecs,
				segments_page(huge * HUGE_PAGES + prng_below(prng, HUGE_PAGES - pages + 1)),
				part);
			left -= part;
		}
		break;
	default:
		while (left) {
			uint64_t part = MIN(left, FRAME_SIZE);

			segments_append(vecs, segments_page(prng_below(prng, SEGMENTS_PAGES)), part);
			left -= part;
		}
		break;
	}
}
