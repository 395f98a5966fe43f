/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_REPLAY_INTERNAL_H
#define SIM_MACHINE_REPLAY_INTERNAL_H

/*
 * What the files of the replay share: its requests and where they wait.
 *
 *	replay.c		the loop over the traces, and time
 *	replay-request.c	a record becomes requests to the driver
 *	replay-io.c		submission and completion, as blk-mq and the driver have them
 *	replay-timeout.c	commands whose time is over: aborts and resets
 *	replay-order.c		the order of calls, kept and followed
 *	replay-output.c		snapshots and the time line
 *	replay-recorded.c	what of a recorded latency its CPU takes
 *	replay-stats.c		what is counted, and what the warm-up is not
 *
 * Nobody else includes it.
 */
#include <stddef.h>

#include "sim/io/output.h"
#include "sim/machine/replay.h"
#include "sim/machine/segments.h"

enum replay_state {
	STATE_FREE,
	STATE_WAITING, /* for a tag */
	STATE_REQUEUED,
	STATE_IN_FLIGHT,
};

/** One request to the driver: a request of the trace, or a piece of one. */
struct replay_request {
	struct request req;
	struct replay *replay; /* whose it is */
	struct bio_vec_list vecs, meta_vecs;
	struct nvme_iod *iod;
	struct controller_command command;
	struct device_work work; /* where the device is with it */
	uint64_t start_ns;
	uint64_t stamp_ns;    /* when the trace has it: of a head that was not submitted yet, open; else NEVER */
	uint64_t step_ns;     /* when the device goes on with the command; NEVER: not, or nobody knows */
	uint64_t deadline_ns; /* when its time is over */
	uint64_t refused_ns;  /* since when it finds no resource; NEVER: it did not */
	uint32_t slot;
	uint32_t trace_slot; /* of the record, for a completion that the trace tells */
	uint32_t head;	     /* slot of the first piece; this one, if there is one piece */
	uint32_t next;	     /* slot of the next piece, or free one; NO_SLOT at the end */
	uint32_t wait_next; /* in a waiting list, or of those that an interrupt takes together */
	uint32_t pieces_left; /* of the head */
	uint16_t qid;
	uint16_t cpu;
	uint8_t state;
	uint8_t retries;
	bool due;	/* asap: the trace has completed it already */
	bool fetched;	/* the controller has its command */
	bool posted;	/* its completion is in the queue */
	uint8_t status; /* enum blk_status: of the head, the first that was not OK */
};

#define NO_SLOT UINT32_MAX
#define NEVER	UINT64_MAX

struct replay_wait {
	uint32_t first, last;
};

/** What a queue refused for want of a resource. Source: hctx->dispatch and BLK_MQ_S_SCHED_RESTART in block/. */
struct replay_dispatch {
	struct replay_wait list;
	uint64_t run_ns; /* when it is tried again; NEVER */
	bool running;	 /* it is being tried */
	bool restart;	 /* try again when a request ends */
};

struct replay_interrupt {
	bool raised; /* and not taken yet */
	bool thread; /* its thread is about to run */
	unsigned cpu;
};

/** An Abort on its way, by its tag. */
struct replay_abort {
	struct controller_command command;
	uint64_t done_ns;
};

/** Columns of the time line that only grow. */
struct replay_row {
	uint64_t issued, busy_ns, misses, table_reads, invalidations, up_bytes, down_bytes;
};

/* What the controllers of a run share. */
struct replay_shared {
	struct sim *sim;
	struct machine *machine; /* the first */
	const struct replay_options *options;
	struct replay_stats *stats;
	struct replay *replays; /* one a controller */
	unsigned count;
	GPtrArray *requests; /* by slot */
	uint32_t free_slot; /* the first of those not in use, which are a list by @next; NO_SLOT */
	uint64_t in_flight; /* heads not ended */

	uint64_t in_flight_since_ns; /* when that changed */

	struct walkers walkers;
	uint64_t warm_next_ns; /* when the warm-up is over; NEVER: not at a time */
	struct replay_stats *warm; /* what was counted in the warm-up; NULL: there is none, or it is not over */
	struct replay_part *warm_parts;

	struct output *order; /* NULL: nobody asked for it */
	event_handler order_handlers[EVENT_KINDS]; /* what is called once it is written down */
	struct replay_following *following;	   /* NULL: no order of another run */
	struct output *timeline;
	uint64_t timeline_next_ns;
	uint64_t timeline_ios, timeline_bytes, timeline_errors, timeline_in_flight_max;
	uint64_t timeline_latency_count, timeline_latency_ns_sum, timeline_latency_ns_max;
	struct replay_row timeline_before; /* what the columns that grow had in the row before */
	uint64_t snap_next_ns, snap_next_count;
	unsigned snap_ns_at, snap_count_at;
};

/* A controller and its trace. */
struct replay {
	struct replay_shared *shared;
	unsigned number;
	struct machine *machine;
	struct sim *sim;
	struct nvme *nvme;
	const struct replay_options *options;
	struct replay_stats *stats; /* of the run */
	struct replay_part *part;   /* what of them is this trace's */

	struct io_transform *trace, *recording; /* the trace once more, for recorded times; may be NULL */
	enum io_step step; /* the next of the trace, which waits for its time */
	const struct io_record *record;
	struct io_complete complete;
	uint64_t ready_ns;   /* when that is, unless something else is to be waited for */
	bool held_back;	     /* open: too many waited at its time */

	GArray *by_trace_slot;	     /* trace slot -> head, NO_SLOT */
	struct replay_wait *waiting; /* by queue */
	uint32_t waiting_count;	     /* in all queues of this controller */
	struct replay_dispatch *dispatch;    /* by queue */
	struct replay_interrupt *interrupts; /* by queue */
	struct replay_abort aborts[NVME_ADMIN_DEPTH];
	bool resetting; /* the queues are stopped */
	struct bio_vec_list scratch; /* segments of the record at hand */
	struct bio_vec_list meta_scratch; /* the same of its integrity data, where it was recorded */
	uint32_t meta_at;	     /* how much of these its pieces have taken */
	uint64_t meta_skip;
	struct prng prng, form_prng; /* of segments that are made; of forms, recorded-mix */
	struct segment_rule rule;    /* for requests without segments */
	struct segment_forms forms;  /* recorded-mix */
	uint64_t in_flight; /* heads not ended */
	struct device_time device;
	struct replay_recorded *recorded; /* NULL: service times are not recorded */
};

static inline struct replay_request *replay_at(const struct replay *replay, uint32_t slot)
{
	return g_ptr_array_index(replay->shared->requests, slot);
}

/** Whether @rr is the head of a request that has not ended. */
static inline bool replay_is_open(const struct replay_request *rr)
{
	return rr->pieces_left && rr->head == rr->slot;
}

/* Payloads of events: the slot of a request, or a controller with a queue or tag of it. */
#define REPLAY_QUEUE_LG2 13
G_STATIC_ASSERT(2 * SIM_CPUS_MAX <= 1 << REPLAY_QUEUE_LG2);
G_STATIC_ASSERT(MACHINE_CONTROLLERS_MAX << REPLAY_QUEUE_LG2 <= EVENT_PAYLOAD_MAX);

static inline uint32_t replay_payload(const struct replay *replay, unsigned queue)
{
	return (uint32_t)replay->number << REPLAY_QUEUE_LG2 | queue;
}

/** What follows is done for the controller of @replay. */
static inline void replay_act_for(const struct replay *replay)
{
	replay->sim->device = replay->machine->name;
}

/** Returns whose event it is, and the queue or tag in *@ret_queue. */
static inline struct replay *replay_of_event(struct sim *sim, unsigned kind, uint32_t payload, uint32_t *ret_queue)
{
	struct replay_shared *shared = sim->handler_data[kind];

	struct replay *replay = &shared->replays[payload >> REPLAY_QUEUE_LG2];

	*ret_queue = payload & ((1u << REPLAY_QUEUE_LG2) - 1);
	replay_act_for(replay);
	return replay;
}

/** Returns the request in slot @payload. */
static inline struct replay_request *replay_request_of_event(struct sim *sim, unsigned kind, uint32_t payload)
{
	const struct replay_shared *shared = sim->handler_data[kind];

	struct replay_request *rr = g_ptr_array_index(shared->requests, payload);

	replay_act_for(rr->replay);
	return rr;
}

/** sim_step_end(), of a step that was @what. */
static inline uint64_t replay_step_end(const struct replay *replay, enum sim_span what, uint64_t begun_ns)
{
	uint64_t end_ns = sim_step_end(replay->sim, begun_ns);

	SIM_TOOK(replay->sim, .what = what, .from_ps = begun_ns * 1000);
	return end_ns;
}

static inline bool replay_timed(const struct replay *replay)
{
	return replay->options->mode != REPLAY_ASAP && !replay->options->order;
}

/** Returns the request of which @iod is the driver's part. */
static inline struct replay_request *replay_of(const struct nvme_iod *iod)
{
	return (struct replay_request *)((char *)iod->req - offsetof(struct replay_request, req));
}

/* ---- from record to requests ---- */

/** For the array of requests. */
void replay_request_free(void *data);
/** Returns the queue that a request of @record goes to. */
unsigned replay_queue_of(const struct replay *replay, const struct io_record *record);
/** Whether the range of @record, if it has one, is of whole logical blocks of the controller. */
bool replay_whole_blocks(const struct replay *replay, const struct io_record *record);
/** Makes requests of @record and submits them. */
void replay_issue(struct replay *replay, const struct io_record *record);

/* ---- submission and completion ---- */

/** Registers what happens at the events of both. */
void replay_handle_io(struct replay_shared *shared);
/** Submits the request whose first piece is @head: its pieces are a batch, as far as a plug holds them. */
void replay_submit_pieces(struct replay *replay, struct replay_request *head);
/** Gives freed tags of @qid to who waits for them. */
void replay_wake(struct replay *replay, unsigned qid);
/** The time of @rr will be over at its deadline, or is already. */
void replay_arm(struct replay *replay, struct replay_request *rr);
/** The doorbell of @qid was rung at @rung_ns: the controller fetches every command of which it knows, in order, and so also
 *  those of which an earlier doorbell, that was lost, did not tell. */
void replay_rung(struct replay *replay, unsigned qid, uint64_t rung_ns);
/** Unmaps what the driver holds for @rr. */
void replay_unmap(struct replay *replay, struct replay_request *rr);
/** nvme_complete_rq: the command ended with @status at @end_ns, and nothing is mapped for it any more. */
void replay_decide(struct replay *replay, struct replay_request *rr, uint16_t status, uint64_t end_ns);
/** Takes all completions off queue @qid on @cpu, which got there somehow. What went well is put aside, to be unmapped and
 *  ended together behind the doorbell; a failure and a passthrough command are dealt with at once. */
void replay_take_completions(struct replay *replay, unsigned qid, unsigned cpu);
/** Interrupts @cpu for queue @qid as soon as it is free, or, without interrupts, lets it look. What completes until then
 *  needs no interrupt of its own. */
void replay_interrupt(struct replay *replay, unsigned qid, unsigned cpu);
/** Lets the controller complete @rr, unless it has failed, has lost it or never heard of it. Returns whether anybody is told. */
bool replay_post(struct replay *replay, struct replay_request *rr);
/** asap: the trace says that the request at @head completes on @cpu. */
void replay_trace_complete(struct replay *replay, struct replay_request *head, unsigned cpu);

/** Takes the step that the trace has next, and reads the one after it. */
bool replay_step(struct replay *replay, GError **error);

/* ---- recorded latencies ---- */

/** Returns what there is to keep for @replay, free with g_free(); NULL if its service times are not recorded. */
struct replay_recorded *replay_recorded_new(const struct replay *replay);
/** The CPU has submitted the @count @requests in a step of @step_ps without waits: tells the device how long it takes for each,
 *  before the device and after. */
void replay_recorded_expect(const struct replay *replay, struct replay_request *const *requests, unsigned count,
			    uint64_t step_ps);
/** The CPU was done with @rr at @end_ns, and all went well. */
void replay_recorded_learn(struct replay *replay, const struct replay_request *rr, uint64_t end_ns);

/* ---- the order of calls ---- */

/** Begins to write it down, if that is asked for. */
bool replay_save_begin(struct replay_shared *shared, GError **error);
/** Makes the file visible: what follows is in no order that counts. */
bool replay_save_end(struct replay_shared *shared, GError **error);
/** Leaves no file, if there is none yet. */
void replay_save_abandon(struct replay_shared *shared);
/** Writes a line. shared->order is not NULL. */
void replay_save(struct replay_shared *shared, const char *what, uint64_t a, uint64_t b, uint64_t c);
/* A request's controller asks where its completion goes to: by itself, or while the call of the line before fetches it. */
#define REPLAY_ASK	   "ask"
#define REPLAY_ASK_AT_ONCE "ask-at-once"
/** Whether the order has it that the controller asks so for @rr, which it has just fetched; goes on to the next line if so. */
bool replay_follows_ask(struct replay_shared *shared, const struct replay_request *rr);
/** Does what options->order says, line by line. */
bool replay_follow(struct replay_shared *shared, GError **error);

/* ---- time-outs ---- */

/** The controller has fetched an Abort. */
void replay_abort_fetched(struct replay *replay, const struct controller_command *command);
/** Registers what happens when time is over, and at what follows. */
void replay_handle_timeouts(struct replay_shared *shared);

/* ---- what is counted ---- */

/** So many more (or fewer) are in flight from now on. */
static inline void replay_count_in_flight(struct replay_shared *shared, int more)
{
	shared->stats->in_flight_ns += shared->in_flight * (shared->sim->now_ns - shared->in_flight_since_ns);
	shared->in_flight_since_ns = shared->sim->now_ns;
	shared->in_flight += (uint64_t)(int64_t)more;
}

/** A request of @op ended well after @latency_ns. */
void replay_count_latency(struct replay *replay, enum req_op op, uint64_t latency_ns);
/** The warm-up is over. */
void replay_warm(struct replay_shared *shared);
/** Ends the warm-up that is so many requests long, if it is. */
void replay_warm_by_count(struct replay_shared *shared);
/** Adds up who waited for which lock, while they exist. */
void replay_collect_locks(struct replay_shared *shared);
/** Adds up what machine and devices counted, while they exist, and takes the warm-up off. */
void replay_collect(struct replay_shared *shared);
/** Fills *@ret_cpu with what the CPUs have done so far. */
void replay_take_cpu(const struct sim *sim, struct replay_cpu *ret_cpu);
/** Fills *@ret_row with what the columns that grow are now. */
void replay_row_take(const struct replay_shared *shared, struct replay_row *ret_row);

/* ---- snapshots and the time line ---- */

/** Writes a snapshot of now, @name in the directory of results. */
bool replay_snapshot(struct replay_shared *shared, const char *name, GError **error);
/** Sets when the next snapshots are due, past @past_ns and @past_count requests. */
void replay_plan_snapshots(struct replay_shared *shared, uint64_t past_ns, uint64_t past_count);
/** Writes the snapshot that is due at this time. */
bool replay_snapshot_of_time(struct replay_shared *shared, GError **error);
/** Writes the snapshot that is due after so many requests, if one is. */
bool replay_snapshot_of_count(struct replay_shared *shared, GError **error);
/** Adds a row to the time line. */
void replay_timeline_row(struct replay_shared *shared);
/** Closes the row of the time line that ends now, if anything happened in it; the next one ends behind what happens next,
 *  which is not after @until_ns. */
void replay_close_row(struct replay_shared *shared, uint64_t until_ns);

#endif
