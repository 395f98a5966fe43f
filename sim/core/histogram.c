/* SPDX-License-Identifier: MIT */
#include "sim/core/histogram.h"

/** Returns the largest time that falls into @bucket. */
static uint64_t histogram_upto(unsigned bucket)
{
	unsigned shift = bucket >> HISTOGRAM_STEPS_LG2 ? (bucket >> HISTOGRAM_STEPS_LG2) - 1 : 0;

	return (((uint64_t)(bucket - (shift << HISTOGRAM_STEPS_LG2)) + 1) << shift) - 1;
}

uint64_t histogram_percentile(const struct histogram *histogram, unsigned per_mille)
{
	uint64_t wanted = (histogram->count * per_mille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count; i++) {
		uint64_t upto_ns = histogram_upto(i);

		seen += histogram->buckets[i];
		if (seen >= wanted && seen)
			return upto_ns < histogram->max_ns ? upto_ns : histogram->max_ns;
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

uint64_t histogram_group(const struct histogram *histogram, unsigned group, uint64_t *ret_upto_ns)
{
	unsigned first = group << HISTOGRAM_GROUP_LG2, end = (group + 1) << HISTOGRAM_GROUP_LG2;
	uint64_t count = 0;

	for (unsigned i = first; i < end; i++)
		count += histogram->buckets[i];
	*ret_upto_ns = histogram_upto(end - 1);
	return count;
}
