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
 */
#include "blockdma/request.h"
#include "sim/core/sim.h"
#include "sim/machine/config.h"

#define SEGMENTS_BASE  (UINT64_C(1) << 32)
#define SEGMENTS_PAGES (1u << 20)

/** Appends the segments of @bytes to @vecs (of struct bio_vec). */
void segments_make(struct prng *prng, enum segment_layout layout, uint64_t bytes, GArray *vecs);

#endif
