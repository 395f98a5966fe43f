/* SPDX-License-Identifier: MIT */
#ifndef SIM_TESTS_BENCH_UNIT_H
#define SIM_TESTS_BENCH_UNIT_H

/*
 * The unit in which benchmarks of the program give CPU time.
 */
#include <stdlib.h>
#include <time.h>

/** Returns the CPU time of this program so far, in seconds. The program that is measured is measured in CPU time, too: on a
 *  busy machine, a unit by the clock on the wall would make it look several times as fast. */
static inline double bench_cpu_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/** Returns m: the nanoseconds of a malloc and free pair of 64 bytes, mean of @ops pairs. */
static inline double bench_malloc_ns(unsigned ops)
{
	enum { DEPTH = 64, BYTES = 64 };
	void *volatile ring[DEPTH] = {0};
	double begin = bench_cpu_s(), end;

	for (unsigned i = 0; i < ops; i++) {
		free(ring[i % DEPTH]);
		ring[i % DEPTH] = malloc(BYTES);
		*(volatile char *)ring[i % DEPTH] = 1;
	}
	end = bench_cpu_s();
	for (unsigned i = 0; i < DEPTH; i++)
		free(ring[i]);
	return (end - begin) * 1e9 / ops;
}

#endif
