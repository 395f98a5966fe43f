/* SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_RECORDER_H
#define SIM_HOST_RECORDER_H

/*
 * The requests of a trace, issued for real on a target, and how long each took.
 *
 * A request is issued when fewer are in flight than it may have beside it and, by time stamps, not before its time, counted
 * from the first one. Its latency is from just before the kernel is told to when its completion was seen. One thread does
 * all: a completion that arrives while another request is being submitted is seen after that, which is in its latency.
 *
 * Requests that reach beyond the end of the target come back into it (place modulo its size), or are left as they are: then
 * a read returns less than it should, which is -EIO, and anything that writes is not tried, which is -ENOSPC, as a file
 * would grow. Places and sizes that the target cannot do directly are rounded outwards. Memory: the ring's buffers.
 */
#include "sim/host/ring.h"
#include "sim/host/target.h"
#include "sim/trace/trace.h"

struct recorder_stats {
	uint64_t issued, ended;
	uint64_t errors;	  /* of these, ended with one */
	uint64_t skipped[IO_OPS]; /* left out */
	uint64_t wrapped;	  /* brought back into the target */
	uint64_t beyond;	  /* not brought back: reach beyond its end */
	uint64_t rounded;
	uint64_t late; /* by time stamps: issued more than RECORDER_LATE_NS after its time */
	uint64_t late_max_ns;
	unsigned max_in_flight;
};

#define RECORDER_LATE_NS 1000000

struct recorder_config {
	struct target *target; /* borrowed */
	unsigned slots;	       /* most in flight: 1 to RING_SLOTS_MAX */
	uint64_t bytes_max;    /* of a read or write, rounded as recorder_bytes() has it */
	bool by_time;
	bool wrap;
	bool writes; /* else whatever changes the target is left out */

	/** Called before each request and at least ten times a second. Returns whether to go on. */
	bool (*go_on)(void *data);
	/** Told of each request when it was issued, and when it ended: times count from the start, @record->number from 1.
	 *  What ends has no segments any more. */
	void (*issued)(void *data, const struct io_record *record);
	void (*ended)(void *data, const struct io_record *record, const struct io_complete *complete,
		      uint64_t latency_ns);
	void *data;
};

struct recorder;

/** Starts; nothing is issued. Returns NULL with *@error where io_uring cannot be used. Free with recorder_free(). */
struct recorder *recorder_new(const struct recorder_config *config, GError **error);
/** Waits for what is in flight and tells nobody. NULL is allowed. */
void recorder_free(struct recorder *recorder);

/** Whether requests of @op are issued at all: passthrough commands never are. */
bool recorder_takes(const struct recorder_config *config, enum io_op op);

/** Returns how many bytes a buffer needs for @record on @target. */
uint64_t recorder_bytes(const struct target *target, const struct io_record *record);

/** Issues @record as soon as fewer than @depth (at least 1) are in flight. Returns false with *@error; where it was told not
 *  to go on, true without having issued it. */
bool recorder_issue(struct recorder *recorder, const struct io_record *record, unsigned depth,
		    GError **error);

/** Waits for what is in flight. */
bool recorder_drain(struct recorder *recorder, GError **error);

const struct recorder_stats *recorder_stats(const struct recorder *recorder);
/** Returns how many buffers reads have. */
unsigned recorder_read_buffers(const struct recorder *recorder);

#endif
