/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_PRNG_H
#define SIM_CORE_PRNG_H

/*
 * Our own random numbers, so that a seed gives the same run on every machine and with every libc.
 *
 * Algorithm: splitmix64. State is one 64-bit word; a draw adds 0x9e3779b97f4a7c15 to it and mixes the sum with two
 * multiply-xorshift rounds. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
 * Each consumer has a generator of its own, seeded from the run's seed and a name, so that a new consumer does not
 * change what the others draw.
 */
#include <stdint.h>

struct prng {
	uint64_t state;
};

/** Returns the next 64 random bits. */
static inline uint64_t prng_next(struct prng *prng)
{
	uint64_t z = (prng->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/** Returns a number in [0, @bound); @bound is at least 1. The high half of a product: no division, bias below 2^-32. */
static inline uint32_t prng_below(struct prng *prng, uint32_t bound)
{
	return (uint32_t)(((prng_next(prng) >> 32) * bound) >> 32);
}

/** Seeds a generator for the consumer called @name from the run's @seed. */
void prng_init(struct prng *prng, uint64_t seed, const char *name);

/** The same for a consumer that has a seed of its own besides: another one of either gives other numbers. */
void prng_init_own(struct prng *prng, uint64_t seed, uint64_t own_seed, const char *name);

#endif
