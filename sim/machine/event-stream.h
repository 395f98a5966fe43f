/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_EVENT_STREAM_H
#define SIM_MACHINE_EVENT_STREAM_H

/*
 * What a run did, event by event, as numbers that two runs can be compared by: an observer that makes a hash of each
 * announcement with its time, CPU, device and request. One run writes them to a temporary file, the other is compared while it
 * runs; memory is constant.
 */
#include <stdio.h>

#include "sim/core/sim.h"

enum event_stream_kind {
	EVENT_STREAM_WRITE,
	EVENT_STREAM_COMPARE,
	EVENT_STREAM_TELL, /* neither: only what event @wanted was */
};

struct event_stream {
	struct sim_observer observer;
	enum event_stream_kind kind;
	FILE *file;	/* of hashes, borrowed; NULL with EVENT_STREAM_TELL */
	uint64_t count; /* events so far */
	uint64_t
		wanted; /* number of the first that differs, or of the one to tell, from 0; UINT64_MAX: none yet */
	char *told; /* that event in words; NULL: the run ended before it */
	uint64_t time_ns;
};

/** Starts hearing @sim, for as long as it lives. With EVENT_STREAM_COMPARE @file holds what another stream wrote, from its start
 *  on. @wanted is for EVENT_STREAM_TELL. */
void event_stream_init(struct event_stream *stream, struct sim *sim, enum event_stream_kind kind, FILE *file,
		       uint64_t wanted);

/** The run is over. Comparing, what the other run did after this one ended is a difference, too. Returns false if the file
 *  cannot be written or read. */
bool event_stream_end(struct event_stream *stream);
void event_stream_finish(struct event_stream *stream);

#endif
