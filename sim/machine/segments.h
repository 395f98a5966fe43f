/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_SEGMENTS_H
#define SIM_MACHINE_SEGMENTS_H

/*
 * Physical segments for requests whose recording has none: declared, seeded rules, so that nobody takes them for
 * recorded.
 *
 *	scattered	4 KiB pages anywhere in 4 GiB from 4 GiB on
 *	contiguous	one run of pages
 *	thp		inside 2 MiB huge pages, which are contiguous
 *	recorded-mix	in the form of a recorded request of about this size, seen before; while there is none, scattered
 *
 * The first byte lies @offset bytes behind a multiple of @alignment, drawn where that leaves a choice; further pages are
 * used from their beginning.
 *
 * A *form* is what a recorded request looked like, without where: how many segments, how long each is, where in its
 * page each begins. Requests from 2^k to 2^(k+1) - 1 bytes share a class; of each class SEGMENTS_FORMS are kept, a fair
 * sample of all so far (reservoir sampling).
 */
#include "blockdma/request.h"
#include "sim/core/sim.h"
#include "sim/machine/config.h"

#define SEGMENTS_BASE  (UINT64_C(1) << 32)
#define SEGMENTS_PAGES (1u << 20)

#define SEGMENTS_FORMS	 32 /* of a class */
#define SEGMENTS_CLASSES 33 /* by power of two: a request is below 4 GiB */

struct segment_rule {
	enum segment_layout layout; /* not LAYOUT_RECORDED */
	uint64_t alignment;	    /* power of two; 0: a page */
	uint64_t offset;	    /* below @alignment and below a page */
};

/** Forms that were seen. All zero: none. */
struct segment_forms {
	struct bio_vec_list forms[SEGMENTS_CLASSES][SEGMENTS_FORMS]; /* paddr is the offset in the page */
	uint64_t seen[SEGMENTS_CLASSES];
};

/** Appends the segments of @bytes, not 0, to @vecs. */
void segments_make(struct prng *prng, const struct segment_rule *rule, uint64_t bytes, struct bio_vec_list *vecs);

/** Remembers the form of a request of @bytes that lies in @vecs, or leaves it, as @prng says. */
void segments_learn(struct segment_forms *forms, struct prng *prng, uint64_t bytes, const struct bio_vec_list *vecs);

/** Appends the segments of @bytes in a form that was seen, drawn by @prng: cut at @bytes, or its last segment made longer.
 *  Returns false, with nothing appended, when there is none of this class. */
bool segments_make_form(const struct segment_forms *forms, struct prng *prng, uint64_t bytes, struct bio_vec_list *vecs);

void segments_forget(struct segment_forms *forms);

#endif
