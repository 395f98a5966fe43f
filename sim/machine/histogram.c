/* SPDX-License-Identifier: MIT */
#include "sim/machine/histogram.h"

uint64_t histogram_percentile(const struct histogram *histogram, unsigned per_mille)
{
	uint64_t wanted = (histogram->count * per_mille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count; i++) {
		unsigned shift = i >> HISTOGRAM_STEPS_LG2 ? (i >> HISTOGRAM_STEPS_LG2) - 1 : 0;
		uint64_t upper = ((uint64_t)(i - (shift << HISTOGRAM_STEPS_LG2)) + 1) << shift;

		seen += histogram->buckets[i];
		if (seen >= wanted && seen)
			return upper - 1 < histogram->max_ns ? upper - 1 : histogram->max_ns;
	}
	return 0;
}
