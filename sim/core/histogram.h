/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_HISTOGRAM_H
#define SIM_CORE_HISTOGRAM_H

/*
 * A log-linear histogram of times: 128 equal steps in each power of two, so a percentile is off by less than 1 %.
 */
#include <stdint.h>

#define HISTOGRAM_STEPS_LG2 7
#define HISTOGRAM_BUCKETS   ((64 - HISTOGRAM_STEPS_LG2 + 1) << HISTOGRAM_STEPS_LG2)

struct histogram {
	uint64_t count, sum_ns, max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t ns)
{
	unsigned shift;

	if (ns < 1u << HISTOGRAM_STEPS_LG2)
		return (unsigned)ns;
	shift = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_STEPS_LG2;
	return (shift << HISTOGRAM_STEPS_LG2) + (unsigned)(ns >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->count++;
	histogram->sum_ns += ns;
	histogram->max_ns = ns > histogram->max_ns ? ns : histogram->max_ns;
	histogram->buckets[histogram_bucket(ns)]++;
}

/** Adds what @more holds to @histogram. */
void histogram_merge(struct histogram *histogram, const struct histogram *more);

/** Returns the time below or at which @per_mille thousandths of the samples lie (upper edge of its bucket, at most the
 *  maximum); 0 without samples. */
uint64_t histogram_percentile(const struct histogram *histogram, unsigned per_mille);

/** Four groups of buckets in each power of two: for people, and for charts. */
#define HISTOGRAM_GROUP_LG2 (HISTOGRAM_STEPS_LG2 - 2)
#define HISTOGRAM_GROUPS    (HISTOGRAM_BUCKETS >> HISTOGRAM_GROUP_LG2)

/** Returns how many samples lie in @group, and the most that they can be in *@ret_upto_ns. */
uint64_t histogram_group(const struct histogram *histogram, unsigned group, uint64_t *ret_upto_ns);

#endif
