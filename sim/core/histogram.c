/* SPDX-License-Identifier: MIT */
#include "sim/core/histogram.h"

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

void histogram_merge(struct histogram *histogram, const struct histogram *more)
{
	histogram->count += more->count;
	histogram->sum_ns += more->sum_ns;
	histogram->max_ns = more->max_ns > histogram->max_ns ? more->max_ns : histogram->max_ns;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		histogram->buckets[i] += more->buckets[i];
}
