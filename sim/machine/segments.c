/* SPDX-License-Identifier: MIT */
#include "sim/machine/segments.h"

#define HUGE_PAGES (1u << 9) /* small pages in a huge one */

static uint64_t segments_page(uint32_t page)
{
	return SEGMENTS_BASE + ((uint64_t)page << FRAME_LG2);
}

/* Pages that @bytes from @offset in a page on touch. */
static uint64_t segments_pages(uint64_t offset, uint64_t bytes)
{
	return (offset + bytes + FRAME_SIZE - 1) >> FRAME_LG2;
}

/** Returns where in its page the first byte lies. */
static uint64_t segments_first_offset(struct prng *prng, const struct segment_rule *rule)
{
	if (rule->alignment == 0 || rule->alignment >= FRAME_SIZE)
		return rule->offset;
	return rule->offset + rule->alignment * prng_below(prng, (uint32_t)(FRAME_SIZE / rule->alignment));
}

/** Returns a page from 0 to @pages, inclusive, that is a multiple of @step. */
static uint32_t segments_draw(struct prng *prng, uint64_t pages, uint32_t step)
{
	return step * prng_below(prng, (uint32_t)(pages / step) + 1);
}

/** Returns the first page of a run of @pages pages that wraps nowhere and begins at a multiple of @step pages. */
static uint64_t segments_run(struct prng *prng, uint64_t pages, uint32_t step)
{
	uint64_t most = MIN(pages, SEGMENTS_PAGES - 1);

	return segments_page(segments_draw(prng, SEGMENTS_PAGES - most - 1, step));
}

static void segments_make_thp(struct prng *prng, uint64_t offset, uint32_t step, uint64_t bytes, struct bio_vec_list *vecs)
{
	while (bytes) {
		uint64_t part = MIN(bytes, ((uint64_t)HUGE_PAGES << FRAME_LG2) - offset);
		uint64_t pages = segments_pages(offset, part);
		uint32_t huge = prng_below(prng, SEGMENTS_PAGES / HUGE_PAGES);

		bio_vec_list_add(
			vecs,
			segments_page(huge * HUGE_PAGES + segments_draw(prng, HUGE_PAGES - pages, step)) +
				offset,
			part);
		bytes -= part;
		offset = 0;
		step = 1;
	}
}

static void segments_make_scattered(struct prng *prng, uint64_t offset, uint32_t step, uint64_t bytes,
				    struct bio_vec_list *vecs)
{
	while (bytes) {
		uint64_t part = MIN(bytes, FRAME_SIZE - offset);

		bio_vec_list_add(vecs, segments_page(segments_draw(prng, SEGMENTS_PAGES - 1, step)) + offset,
				part);
		bytes -= part;
		offset = 0;
		step = 1;
	}
}

void segments_make(struct prng *prng, const struct segment_rule *rule, uint64_t bytes, struct bio_vec_list *vecs)
{
	uint64_t offset = segments_first_offset(prng, rule);
	uint32_t step = (uint32_t)MAX(rule->alignment >> FRAME_LG2, 1);

	switch (rule->layout) {
	case LAYOUT_CONTIGUOUS:
		bio_vec_list_add(vecs, segments_run(prng, segments_pages(offset, bytes), step) + offset,
				bytes);
		break;
	case LAYOUT_THP:
		segments_make_thp(prng, offset, step, bytes, vecs);
		break;
	default:
		segments_make_scattered(prng, offset, step, bytes, vecs);
		break;
	}
}

/* ---- forms ---- */

static unsigned segments_class(uint64_t bytes)
{
	return MIN(63u - (unsigned)__builtin_clzll(bytes), SEGMENTS_CLASSES - 1);
}

/** Returns which of a class's forms the next one seen replaces, SEGMENTS_FORMS and above for none: each of all seen is kept
 *  with the same probability. */
static uint32_t segments_place(struct prng *prng, uint64_t seen)
{
	if (seen < SEGMENTS_FORMS)
		return (uint32_t)seen;
	return prng_below(prng, (uint32_t)MIN(seen + 1, UINT32_MAX));
}

void segments_learn(struct segment_forms *forms, struct prng *prng, uint64_t bytes, const struct bio_vec_list *vecs)
{
	unsigned class = segments_class(bytes);
	uint32_t place = segments_place(prng, forms->seen[class]++);
	struct bio_vec_list *form;

	if (place >= SEGMENTS_FORMS)
		return;
	form = &forms->forms[class][place];
	form->count = 0;
	for (uint32_t i = 0; i < vecs->count; i++)
		bio_vec_list_add(form, vecs->vecs[i].paddr % FRAME_SIZE, vecs->vecs[i].len);
}

bool segments_make_form(const struct segment_forms *forms, struct prng *prng, uint64_t bytes, struct bio_vec_list *vecs)
{
	unsigned class = segments_class(bytes);
	uint32_t kept = (uint32_t)MIN(forms->seen[class], SEGMENTS_FORMS);
	const struct bio_vec_list *form;

	if (!kept)
		return false;
	form = &forms->forms[class][prng_below(prng, kept)];
	for (uint32_t i = 0; i < form->count && bytes; i++) {
		const struct bio_vec *vec = &form->vecs[i];
		uint64_t part = i + 1 == form->count ? bytes : MIN(bytes, vec->len);

		bio_vec_list_add(vecs, segments_run(prng, segments_pages(vec->paddr, part), 1) + vec->paddr,
				part);
		bytes -= part;
	}
	return true;
}

void segments_forget(struct segment_forms *forms)
{
	for (unsigned class = 0; class < SEGMENTS_CLASSES; class ++)
		for (unsigned i = 0; i < SEGMENTS_FORMS; i++)
			bio_vec_list_finish(&forms->forms[class][i]);
}
