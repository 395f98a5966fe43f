/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_REPLAY_H
#define SIM_MACHINE_REPLAY_H

/*
 * The replay loop: requests of a trace go through a machine; of several traces, each through a controller of its own.
 *
 *	open	requests arrive at the trace's time stamps; the machine decides when they complete
 *	closed	requests arrive as soon as their queue has room, in the order of the trace
 *	asap	the functional state only: requests arrive and complete where the trace has it; no device time
 */
#include "sim/machine/counts.h"
#include "sim/machine/device-time.h"
#include "sim/machine/machine.h"
#include "sim/trace/transform.h"

enum replay_mode {
	REPLAY_OPEN,
	REPLAY_CLOSED,
	REPLAY_ASAP,
};

extern const char *const replay_mode_names[]; /* NULL-ended */

/** First line of timeline.csv: what holds at end_ns, and what happened since the row before. Latencies are of what ended well, and
 *  empty where nothing did. */
#define REPLAY_TIMELINE_HEADER                                                                                 \
	"end_ns,ios,bytes,errors,in_flight,iova_live,mapped_bytes,page_table_pages,issued,latency_mean_ns,"    \
	"latency_max_ns,cpu_busy_ns,iotlb_misses,table_reads,invalidations,link_up_bytes,link_down_bytes,"    \
	"in_flight_max\n"

#define REPLAY_SNAPSHOTS_MAX 1024 /* on request, in one run */

struct replay_options {
	enum replay_mode mode;
	uint64_t limit;	 /* stop after so many requests; 0: no limit */
	uint64_t depth;	 /* open, closed: at most so many requests in flight; 0: as the queues allow */
	const char *order;	/* does what this file says, without time; NULL: as time has it */
	const char *save_order; /* writes such a file; NULL: none */
	const char *dir; /* results go here; NULL: nowhere */
	/** nvme.service = recorded: the traces once more, read ahead for how long requests took, one a trace; NULL: nobody knows. */
	struct io_transform *const *recordings;
	const uint64_t *snap_ns;    /* ascending, UINT64_MAX-ended: a snapshot when this time is reached */
	const uint64_t *snap_count; /* ascending, UINT64_MAX-ended: … when so many requests were issued */
	uint64_t snap_every_ns;	    /* 0: not */
	uint64_t snap_every_count;  /* 0: not */
	/** What happens before this time, and before so many requests were issued, is not in the results; 0: all is. */
	uint64_t warmup_ns, warmup_count;
	/** Called when all that can end has ended, time-outs and retries too, before what the trace left open is completed; may be
	 *  NULL. */
	void (*at_end)(void *data, struct machine *machine);
	void *at_end_data;
	/** Called now and then with the number of requests issued; may be NULL. */
	void (*progress)(void *data, uint64_t issued);
	void *progress_data;
};

/** Modelled locks of one kind, added up. */
enum replay_lock {
	LOCK_IOVA_TREE,
	LOCK_IOVA_DEPOT,
	LOCK_INVALIDATION,
	LOCK_INVALIDATION_HARDWARE, /* no lock: serves one at a time as well */
	LOCK_SUBMISSION,
	LOCK_FLUSH_QUEUE,
	REPLAY_LOCKS,
};

/** A direction of the links of all controllers together. */
struct replay_link {
	uint64_t busy_ps, wire_bytes, data_bytes; /* wire: with all that is not data */
};

/** The devices, in the timed modes. */
struct replay_device {
	struct device_stats stats;
	struct replay_link up, down;
	uint64_t reads, tag_waits, tag_wait_ps; /* read requests on the link */
	uint64_t shorter; /* recorded: struct service */
	uint64_t walks, walk_waits, walk_wait_ps, walk_busy_ps;
};

/** What the CPUs did, and how long it took: for requests and timers, not to set the machine up or take it down. */
struct replay_cpu {
	uint64_t busy_ns;
	uint64_t work[WORK_KINDS];
};

struct replay_stats {
	uint64_t ios;	    /* requests of the trace that were replayed to their end */
	uint64_t issued;    /* … begun */
	uint64_t splits;    /* of these, cut into several because of the device's limits: further pieces */
	uint64_t bytes;	    /* moved */
	uint64_t errors;    /* ended with an error */
	uint64_t requeues;  /* no resource: tried again */
	uint64_t retries;   /* completed with an error that the driver tries again */
	uint64_t tag_waits; /* found the queue full */
	uint64_t held_back; /* open: came later than its time stamp, because so many waited already */
	uint64_t interrupts;
	uint64_t timeouts;		     /* commands that were looked at because their time was over */
	uint64_t polled;		     /* of these, found completed */
	uint64_t status_count[BLK_STATUSES]; /* how requests ended */
	uint64_t max_in_flight;
	uint64_t op_count[REQ_OPS];
	uint64_t op_bytes[REQ_OPS];
	uint64_t unaligned;	    /* ranges not of whole logical blocks, of operations without data */
	uint64_t recorded_segments; /* requests whose segments come from the recording */
	uint64_t made_segments;	    /* … were synthesised */
	uint64_t form_segments;	    /* of these, in the form of recorded ones */
	uint64_t mapped_bytes_max;
	uint64_t iova_live_max;
	uint64_t snapshots;	   /* on request */
	uint64_t snapshots_missed; /* asked for later than the run came */
	uint64_t page_table_pages_max;
	bool warmed_up;		   /* there was a warm-up, and it is over: perhaps at the time 0 */
	uint64_t begun_ns;	   /* after the warm-up: from when on everything here counts */
	uint64_t over_ns;	   /* when nothing happened any more, and the last CPU was done */
	uint64_t warmup_ios;	   /* that ended before */
	uint64_t warmup_in_flight; /* then */
	uint64_t warmup_carried_ns; /* sum of how long these had been so */
	uint64_t in_flight_ns;	   /* sum over time of how many were in flight */
	struct machine_counts before; /* what the machine had counted then */
	struct replay_cpu cpu;
	struct replay_device device;
	struct nvme_stats nvme;	   /* of the driver */
	struct histogram latency[REQ_OPS];
	struct histogram lateness; /* open: from the time stamp of a request to its submission */
	struct sim_lock locks[REPLAY_LOCKS];
};

/** What of a run is one trace's, and so one controller's. */
struct replay_part {
	uint64_t ios, issued, bytes, errors, max_in_flight; /* as in struct replay_stats */
	uint64_t latency_ns_sum, latency_ns_max;	    /* of what ended without an error */
	uint64_t lateness_ns_sum, lateness_ns_max;	    /* open, of all */
	struct histogram *latency[REQ_OPS]; /* of several: its own; NULL: it had none. See replay_part_clear() */
};

void replay_part_clear(struct replay_part *part);

/** Replays @traces, one on each controller of @machine, in their order, all from time 0 on. The machine is probed and stays so.
 *  @ret_parts: as many as controllers. Returns false with *@error for a broken trace or output; then nothing more was
 *  written. */
bool replay_run(struct machine *machine, struct io_transform *const *traces,
		const struct replay_options *options, struct replay_stats *ret_stats,
		struct replay_part *ret_parts, GError **error);

/** "request": those in flight. Its data is private to the replay loop. */
extern const struct snapshot_section replay_request_section;

#endif
