/* SPDX-License-Identifier: MIT */
#include "sim/core/prng.h"

void prng_init(struct prng *prng, uint64_t seed, const char *name)
{
	/* The name enters one character at a time through the generator itself: any two names part at once. */
	prng->state = seed;
	for (; *name; name++)
		prng->state = prng_next(prng) ^ (unsigned char)*name;
}

void prng_init_own(struct prng *prng, uint64_t seed, uint64_t own_seed, const char *name)
{
	prng_init(prng, seed, name);
	prng->state = prng_next(prng) ^ own_seed;
}
