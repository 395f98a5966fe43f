/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_PERFETTO_H
#define SIM_REPORT_PERFETTO_H

/*
 * A run to look at in time: an observer that writes what CPUs, walkers, channels and queues did as trace events.
 *
 *	CPUs		a track each: steps, and in them what the kernel's layers do and wait for
 *	IOMMU		a track for each page-table walker
 *	nvme0, …	a pool of tracks for each queue, with its requests from where they wait to where they have ended, and
 *			for each channel; a track for what was found, and for faults
 *
 * An arrow leads from the CPU that submits a request to its queue and to the CPU that completes it. Requests in flight and
 * mapped bytes are counters, with at most one value in PERFETTO_COUNTER_NS.
 *
 * Of a long run the file has the first part: when the limit is reached, nothing new begins, and the requests that are in it come
 * to their end. So whatever is in the file is whole.
 */
#include "sim/core/sim.h"

#define PERFETTO_LIMIT	    UINT64_C(1000000) /* events, some 110 MB */
#define PERFETTO_COUNTER_NS 10000

struct perfetto;

/** What is not in the file. */
struct perfetto_left {
	uint64_t events;	/* in the file, of at most @limit */
	uint64_t requests;	/* in the file: submissions, each attempt one */
	uint64_t left_requests; /* not in it */
	uint64_t left_slices;	/* of CPUs and walkers, and findings, not in it */
	uint64_t until_ns;	/* the file is complete until then; UINT64_MAX: whole */
};

/** Starts the file @path, of at most @limit events, more than 0. Returns NULL with *@error. */
struct perfetto *perfetto_new(const char *path, uint64_t limit, GError **error);
/** Hears @sim, for as long as that lives; @perfetto is freed after it. Call it before anything is mapped. */
void perfetto_observe(struct perfetto *perfetto, struct sim *sim);
/** Ends the file and makes it visible; the simulation that is heard still lives. */
bool perfetto_commit(struct perfetto *perfetto, struct perfetto_left *ret_left, GError **error);
/** Without perfetto_commit() before, there is no file. NULL is allowed. */
void perfetto_free(struct perfetto *perfetto);

#endif
