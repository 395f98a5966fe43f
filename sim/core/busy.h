/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_BUSY_H
#define SIM_CORE_BUSY_H

/*
 * When something that serves one at a time is taken: a lock, the hardware that invalidates.
 *
 * Steps run one after another on the host, each at once from its first moment to its last, so they reach such a place out
 * of the order of simulated time: CPU 0 has taken it ten times, up to 5 us ahead, before CPU 1 asks at 1 us. A single "free
 * at" would make CPU 1 wait for all ten; that of the latest holding alone would let it through nine of them. So the
 * holdings to come are kept, and whoever asks gets the first moment that is nobody's.
 *
 * How long one holds is known only when it is over. What it overlaps then moves back: those holdings are over as far as
 * their CPUs are concerned, but who asks from now on finds the time taken. Thus the sum of all holdings is conserved, and
 * nothing is served faster than its holdings take, in whatever order the steps run.
 */
#include <stdint.h>

/* Holdings that lie apart. Those that touch are one, so under contention few are needed. */
#define BUSY_SPANS 16

struct busy_span {
	uint64_t from_ps, to_ps; /* the end not included */
};

/** All zero: never taken. */
struct busy {
	uint32_t count;
	struct busy_span spans[BUSY_SPANS]; /* in order, none touches the next */
};

/** Returns the first moment from @at_ps on when nobody has it. */
uint64_t busy_free_ps(const struct busy *busy, uint64_t at_ps);

/** busy_take() where other holdings may be in the way. */
void busy_insert(struct busy *busy, uint64_t from_ps, uint64_t to_ps, uint64_t past_ps);

/** It is taken from @from_ps, at which it was free, to @to_ps. Nobody asks for a moment before @past_ps any more. With more
 *  than BUSY_SPANS apart, the smallest gap closes: what is behind it begins that much earlier, and the sum stays. */
static inline void busy_take(struct busy *busy, uint64_t from_ps, uint64_t to_ps, uint64_t past_ps)
{
	if (busy->count > 1 || (busy->count && busy->spans[0].to_ps > past_ps)) {
		busy_insert(busy, from_ps, to_ps, past_ps);
		return;
	}
	busy->spans[0] = (struct busy_span){from_ps, to_ps};
	busy->count = 1;
}

#endif
