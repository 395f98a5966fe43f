/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_SERVICE_H
#define SIM_MACHINE_SERVICE_H

/*
 * How long a channel of the controller works on a command.
 *
 *	fixed		read-latency or write-latency
 *	exponential	with these means
 *	lognormal	with these means; the standard deviation is service-spread percent of the mean
 *	recorded	as long as the request took in the recording, from issue to completion, less what the way to the
 *			channel and back takes here, when nobody else is on it: that is in the recorded time already
 *
 * Random times are computed with integers alone, so that every machine and compiler draws the same.
 *
 * Of a recording that has no completion of a request, it takes as long as one drawn from those of the same direction and
 * nearly the same size (the same power of two) that ended so far; before any has, the fixed time.
 */
#include "sim/core/prng.h"
#include "sim/machine/config.h"
#include "sim/trace/transform.h"

#define SERVICE_CLASSES 33     /* sizes, by power of two: a request is below 4 GiB */
#define SERVICE_SAMPLES 1024   /* recorded latencies of a class that are kept, a fair sample */
#define SERVICE_AHEAD	65536u /* requests that the second reading of the trace is ahead at most */

struct service_recorded;

struct service {
	enum service_model model;
	uint64_t mean_ns[2]; /* read, write */
	uint32_t sigma;	     /* lognormal: of the logarithm, in 2^-16 */
	struct prng prng;
	struct service_recorded *recorded; /* NULL: another model, or nothing is recorded */
	uint64_t shorter; /* recorded times that are shorter than the way alone */
};

/** @seed: of the run; @number: of the controller, each has numbers of its own. @recording: the trace once more, for recorded
 *  times, borrowed; may be NULL. */
void service_init(struct service *service, const struct machine_config *config, uint64_t seed,
		  unsigned number, struct io_transform *recording);
void service_finish(struct service *service);

/** Returns how long a channel works on request @number (counted from 1, in order) of @bytes, whose way takes @way_ns: what it took
 *  in the recording, or what is drawn for it, less that; not below 0. What of the recording is broken, the first reading
 *  reports. */
uint64_t service_recorded_ns(struct service *service, uint64_t number, bool write, uint64_t bytes,
			     uint64_t way_ns);

/** Returns the class, below SERVICE_CLASSES, of requests of nearly the same size as @bytes. */
unsigned service_class(uint64_t bytes);

/** Draws a time, of another model. */
uint64_t service_draw_ns(struct service *service, bool write);

/** Returns log2 of @x, more than 0, in 2^-32. */
uint64_t service_log2(uint64_t x);

#endif
