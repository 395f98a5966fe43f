/* SPDX-License-Identifier: MIT */
#include "sim/machine/replay.h"

#include <stddef.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/output.h"
#include "sim/machine/segments.h"

const char *const replay_mode_names[] = {"open", "closed", "asap", NULL};

/* What blk-mq waits at most before it runs a queue again that had no resource. */
#define REPLAY_REQUEUE_NS UINT64_C(3000000)
/* A request that finds no resource for so long never will: the run goes on without it. */
#define REPLAY_REFUSED_MAX_NS (100 * REPLAY_REQUEUE_NS)
/* Requests that wait for a tag before the trace itself has to wait: memory stays constant when the device is slower. */
#define REPLAY_WAITING_MAX 16384
/* Simulated time at most: costs are added up in picoseconds, in 64 bits. */
#define REPLAY_TIME_MAX_NS (UINT64_C(200) * 86400 * 1000000000)

enum replay_state {
	STATE_FREE,
	STATE_WAITING, /* for a tag */
	STATE_REQUEUED,
	STATE_IN_FLIGHT,
};

static const char *const replay_state_names[] = {"free", "waiting", "requeued", "in-flight"};

/** One request to the driver: a request of the trace, or a piece of one. */
struct replay_request {
	struct request req;
	GArray *vecs, *meta_vecs;
	struct nvme_iod *iod;
	struct controller_command command;
	uint64_t start_ns;
	uint64_t done_ns;     /* when the controller completes the command; NEVER: not, or nobody knows */
	uint64_t deadline_ns; /* when its time is over */
	uint64_t refused_ns;  /* since when it finds no resource; NEVER: it did not */
	uint32_t slot;
	uint32_t trace_slot; /* of the record, for a completion that the trace tells */
	uint32_t head;	     /* slot of the first piece; this one, if there is one piece */
	uint32_t next;	     /* slot of the next piece or in a waiting list, NO_SLOT at the end */
	uint32_t wait_next;
	uint32_t pieces_left; /* of the head */
	uint16_t qid;
	uint16_t cpu;
	uint8_t state;
	uint8_t retries;
	bool due;	/* asap: the trace has completed it already */
	bool posted;	/* its completion is in the queue */
	uint8_t status; /* enum blk_status: of the head, the first that was not OK */
};

#define NO_SLOT UINT32_MAX
#define NEVER	UINT64_MAX

/* What blk-mq gathers before the driver sees it: so many requests at most, and nothing behind a large one. Source:
 * blk_add_rq_to_plug() in block/blk-mq.c. */
#define REPLAY_PLUG_MAX	  32
#define REPLAY_PLUG_BYTES (128u << 10)

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

struct replay {
	struct machine *machine;
	struct sim *sim;
	struct nvme *nvme;
	const struct replay_options *options;
	struct replay_stats *stats;
	GPtrArray *requests; /* by slot */
	GArray *free_slots;
	GArray *by_trace_slot;	     /* trace slot -> head, NO_SLOT */
	struct replay_wait *waiting; /* by queue */
	uint32_t waiting_count;	     /* in all queues */
	struct replay_dispatch *dispatch;    /* by queue */
	struct replay_interrupt *interrupts; /* by queue */
	struct replay_abort aborts[NVME_ADMIN_DEPTH];
	bool resetting; /* the queues are stopped */
	GArray *scratch;	     /* segments of the record at hand */
	struct prng prng;
	uint64_t in_flight; /* heads not ended */
	uint64_t *channel_free_ns;
	uint64_t link_free_ps;

	struct output *timeline;
	uint64_t timeline_next_ns;
	uint64_t timeline_ios, timeline_bytes, timeline_errors;
	uint64_t snap_next_ns, snap_next_count;
	unsigned snap_ns_at, snap_count_at;
};

static struct replay_request *replay_at(const struct replay *replay, uint32_t slot)
{
	return g_ptr_array_index(replay->requests, slot);
}

static void replay_request_free(void *data)
{
	struct replay_request *rr = data;

	g_array_unref(rr->vecs);
	g_array_unref(rr->meta_vecs);
	g_free(rr);
}

static struct replay_request *replay_new_request(struct replay *replay)
{
	struct replay_request *rr;

	if (replay->free_slots->len) {
		uint32_t slot = g_array_index(replay->free_slots, uint32_t, replay->free_slots->len - 1);

		g_array_set_size(replay->free_slots, replay->free_slots->len - 1);
		return replay_at(replay, slot);
	}
	rr = g_new0(struct replay_request, 1);
	rr->slot = replay->requests->len;
	rr->vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	rr->meta_vecs = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	g_assert(rr->slot < EVENT_PAYLOAD_MAX);
	g_ptr_array_add(replay->requests, rr);
	return rr;
}

static bool replay_timed(const struct replay *replay)
{
	return replay->options->mode != REPLAY_ASAP;
}

/* ---- ending ---- */

/** The trace knows no more of @head: its slot there is free for another request. */
static void replay_detach(struct replay *replay, struct replay_request *head)
{
	if (head->trace_slot != NO_SLOT)
		g_array_index(replay->by_trace_slot, uint32_t, head->trace_slot) = NO_SLOT;
	head->trace_slot = NO_SLOT;
}

static void replay_end_head(struct replay *replay, struct replay_request *head, uint64_t end_ns)
{
	struct replay_stats *stats = replay->stats;
	uint32_t slot = head->slot;

	stats->ios++;
	stats->status_count[head->status]++;
	if (head->status != BLK_STS_OK) {
		stats->errors++;
		replay->timeline_errors++;
	} else if (replay_timed(replay)) {
		histogram_add(&stats->latency[head->req.op], end_ns - head->start_ns);
	}
	replay->timeline_ios++;
	replay->in_flight--;
	replay_detach(replay, head);
	while (slot != NO_SLOT) {
		struct replay_request *piece = replay_at(replay, slot);

		slot = piece->next;
		piece->state = STATE_FREE;
		g_array_append_val(replay->free_slots, piece->slot);
	}
}

static void replay_end_piece(struct replay *replay, struct replay_request *rr, enum blk_status status,
			     uint64_t end_ns)
{
	struct replay_request *head = replay_at(replay, rr->head);

	for (uint32_t i = 0; i < rr->req.vec_count; i++)
		physmem_release(&replay->sim->mem, rr->req.vecs[i].paddr, rr->req.vecs[i].len);
	for (uint32_t i = 0; i < rr->req.meta_vec_count; i++)
		physmem_release(&replay->sim->mem, rr->req.meta_vecs[i].paddr, rr->req.meta_vecs[i].len);
	if (status == BLK_STS_OK) {
		replay->stats->bytes += rr->command.bytes;
		replay->stats->op_bytes[rr->req.op] += rr->command.bytes;
		replay->timeline_bytes += rr->command.bytes;
	} else if (head->status == BLK_STS_OK) {
		head->status = (uint8_t)status;
	}
	rr->state = STATE_FREE;
	if (--head->pieces_left == 0)
		replay_end_head(replay, head, end_ns);
}

/* ---- time on the device ---- */

/** Returns when the command, rung at @rung_ns, is done: fetched, its translations walked, served by its channel, its data
 *  over the link. Everything is "free at"; nothing here is an event. */
static uint64_t replay_device_ns(struct replay *replay, const struct controller_command *command,
				 uint64_t rung_ns)
{
	const struct machine_config *config = &replay->machine->config;
	uint64_t *channel = &replay->channel_free_ns[(command->slba >> 3) % config->channels];
	uint64_t at_ns = rung_ns + config->fetch_ns + command->table_reads * config->memory_ns +
			 command->ats_requests * config->ats_ns;

	at_ns = MAX(at_ns, *channel) + (command->write ? config->write_ns : config->read_ns);
	*channel = at_ns;
	if (command->bytes) {
		replay->link_free_ps = MAX(replay->link_free_ps, at_ns * 1000) +
				       command->bytes * 1000000 / config->link_mb_s;
		at_ns = (replay->link_free_ps + 999) / 1000;
	}
	return at_ns;
}

/* ---- submission ---- */

static void replay_requeue(struct replay *replay, struct replay_request *rr, uint64_t at_ns)
{
	rr->state = STATE_REQUEUED;
	event_queue_push(&replay->sim->events, at_ns, EVENT_REQUEUE, rr->slot);
}

static void replay_append(struct replay *replay, struct replay_wait *list, struct replay_request *rr)
{
	rr->wait_next = NO_SLOT;
	if (list->first == NO_SLOT)
		list->first = rr->slot;
	else
		replay_at(replay, list->last)->wait_next = rr->slot;
	list->last = rr->slot;
}

/** Takes the first of @list, which is not empty. */
static struct replay_request *replay_take_first(struct replay *replay, struct replay_wait *list)
{
	struct replay_request *rr = replay_at(replay, list->first);

	list->first = rr->wait_next;
	return rr;
}

/** blk_mq_delay_run_hw_queue: tries what @dispatch holds again at @at_ns, and not when it was to be tried before. */
static void replay_run_queue_at(struct replay *replay, unsigned qid, uint64_t at_ns)
{
	replay->dispatch[qid].run_ns = at_ns;
	event_queue_push(&replay->sim->events, at_ns, EVENT_RUN_QUEUE, qid);
}

/** The driver did not take the request: it ends, or is tried again. At once, the first time, and whenever a request of the
 *  queue ends; if that does not help, or nothing is in flight that could end, after some time. Source:
 *  blk_mq_try_issue_directly(), blk_mq_dispatch_rq_list(), blk_mq_sched_restart() in block/. */
static void replay_refused(struct replay *replay, struct replay_request *rr, enum blk_status status)
{
	struct replay_dispatch *dispatch = &replay->dispatch[rr->qid];
	struct sim *sim = replay->sim;

	nvme_put_tag(replay->nvme, rr->qid, rr->iod);
	if (status != BLK_STS_RESOURCE && status != BLK_STS_DEV_RESOURCE) {
		replay_end_piece(replay, rr, status, sim->now_ns);
		return;
	}
	if (rr->refused_ns == NEVER)
		rr->refused_ns = sim->now_ns;
	if (sim->now_ns - rr->refused_ns < REPLAY_REFUSED_MAX_NS) {
		replay->stats->requeues++;
		rr->state = STATE_REQUEUED;
		replay_append(replay, &dispatch->list, rr);
		replay_run_queue_at(replay, rr->qid, sim->now_ns + (dispatch->running ? REPLAY_REQUEUE_NS : 0));
		return;
	}
	sim_find(sim, FINDING_STUCK, NULL,
		 "request %" G_GUINT64_FORMAT " found no resource for %u ms: given up", rr->req.number,
		 (unsigned)(REPLAY_REFUSED_MAX_NS / 1000000));
	replay_end_piece(replay, rr, status, sim->now_ns);
}

/** Takes a tag, unless none is free or others have been waiting for one: who comes later must not overtake. */
static bool replay_take_tag(struct replay *replay, struct replay_request *rr)
{
	if (replay->resetting || replay->waiting[rr->qid].first != NO_SLOT)
		return false;
	rr->iod = nvme_get_tag(replay->nvme, rr->qid);
	return rr->iod != NULL;
}

static void replay_wait(struct replay *replay, struct replay_request *rr)
{
	struct replay_wait *wait = &replay->waiting[rr->qid];

	replay->stats->tag_waits++;
	replay->waiting_count++;
	rr->state = STATE_WAITING;
	rr->refused_ns = NEVER;
	replay_append(replay, wait, rr);
}

static enum blk_status replay_prepare(struct replay *replay, struct replay_request *rr)
{
	sim_charge(replay->sim, WORK_BLOCK_SUBMIT, 1);
	return nvme_prep_rq(replay->nvme, rr->iod, &rr->req, rr->qid ? 1 : 0);
}

/** The time of @rr will be over at its deadline, or is already. */
static void replay_arm(struct replay *replay, struct replay_request *rr)
{
	rr->deadline_ns = MAX(rr->deadline_ns, replay->sim->now_ns);
	event_queue_push(&replay->sim->events, rr->deadline_ns, EVENT_TIMEOUT, rr->slot);
}

/** The command of @rr is in its queue, and the controller was told at @rung_ns. */
static void replay_started(struct replay *replay, struct replay_request *rr, uint64_t rung_ns)
{
	struct sim *sim = replay->sim;
	const struct machine_config *config = &replay->machine->config;
	bool works = controller_execute(&replay->machine->ctrl, rr->qid, &rr->command);

	g_assert(works || replay->machine->ctrl.fatal);
	rr->state = STATE_IN_FLIGHT;
	rr->refused_ns = NEVER;
	rr->posted = false;
	rr->done_ns = NEVER;
	rr->deadline_ns = sim->now_ns + (rr->qid ? config->io_timeout_ns : config->admin_timeout_ns);
	if (works && replay_timed(replay))
		rr->done_ns = replay_device_ns(replay, &rr->command, rung_ns);
	else if (works && rr->due)
		rr->done_ns = sim->now_ns;
	if (rr->done_ns != NEVER)
		event_queue_push(&sim->events, rr->done_ns, EVENT_COMPLETION, rr->slot);
	/* Only what will not be done in time needs a timer. */
	if (!works || rr->command.loss != CONTROLLER_LOSES_NOTHING ||
	    (rr->done_ns != NEVER && rr->done_ns > rr->deadline_ns))
		replay_arm(replay, rr);
}

/** Submits @rr, which has a tag, on its CPU at the current time. */
static void replay_dispatch(struct replay *replay, struct replay_request *rr)
{
	struct sim *sim = replay->sim;
	enum blk_status status;
	uint64_t begun_ns, end_ns;

	sim->actor = rr->req.number;
	sim_step_begin(sim, rr->cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	status = replay_prepare(replay, rr);
	if (status == BLK_STS_OK)
		nvme_submit(replay->nvme, rr->qid, rr->iod, true);
	end_ns = sim_step_end(sim, begun_ns);
	if (status != BLK_STS_OK)
		replay_refused(replay, rr, status);
	else
		replay_started(replay, rr, end_ns);
}

/** Requests of one CPU and queue, all with a tag, that go to the driver as a list. */
struct replay_plug {
	struct replay_request *requests[REPLAY_PLUG_MAX];
	unsigned count;
};

/** Moves what can be prepared to @ready, in order, and tells the driver of it with one doorbell. */
static void replay_submit_ready(struct replay *replay, struct replay_plug *plug, struct replay_plug *ready)
{
	struct nvme_iod *iods[REPLAY_PLUG_MAX];
	struct replay_plug back = {.count = 0};

	for (unsigned i = 0; i < plug->count; i++) {
		struct replay_request *rr = plug->requests[i];

		if (replay_prepare(replay, rr) == BLK_STS_OK) {
			iods[ready->count] = rr->iod;
			ready->requests[ready->count++] = rr;
		} else {
			back.requests[back.count++] = rr;
		}
	}
	if (ready->count)
		nvme_submit_list(replay->nvme, ready->requests[0]->qid, iods, ready->count);
	*plug = back;
}

/** Submits one by one what the list handed back; the doorbell waits for the last of them. What fails again stays. */
static void replay_submit_back(struct replay *replay, struct replay_plug *plug, struct replay_plug *ready,
			       enum blk_status *ret_status)
{
	struct replay_plug back = {.count = 0};

	for (unsigned i = 0; i < plug->count; i++) {
		struct replay_request *rr = plug->requests[i];
		enum blk_status status = replay_prepare(replay, rr);

		if (status == BLK_STS_OK) {
			nvme_submit(replay->nvme, rr->qid, rr->iod, i + 1 == plug->count);
			ready->requests[ready->count++] = rr;
		} else {
			ret_status[back.count] = status;
			back.requests[back.count++] = rr;
		}
	}
	if (plug->count)
		nvme_commit(replay->nvme, plug->requests[0]->qid);
	*plug = back;
}

/** Submits what is in @plug and empties it. */
static void replay_unplug(struct replay *replay, struct replay_plug *plug)
{
	struct sim *sim = replay->sim;
	enum blk_status status[REPLAY_PLUG_MAX];
	struct replay_plug ready = {.count = 0};
	uint64_t begun_ns, end_ns;

	if (plug->count == 1)
		replay_dispatch(replay, plug->requests[0]);
	if (plug->count > 1) {
		sim->actor = plug->requests[0]->req.number;
		sim_step_begin(sim, plug->requests[0]->cpu, sim->now_ns);
		begun_ns = sim_cursor_ns(sim);
		replay_submit_ready(replay, plug, &ready);
		replay_submit_back(replay, plug, &ready, status);
		end_ns = sim_step_end(sim, begun_ns);
		for (unsigned i = 0; i < ready.count; i++)
			replay_started(replay, ready.requests[i], end_ns);
		for (unsigned i = 0; i < plug->count; i++)
			replay_refused(replay, plug->requests[i], status[i]);
	}
	plug->count = 0;
}

/** Submits the request whose first piece is @head: its pieces are a batch, as far as a plug holds them. */
static void replay_submit_pieces(struct replay *replay, struct replay_request *head)
{
	struct replay_plug plug = {.count = 0};
	uint32_t slot = head->slot;

	while (slot != NO_SLOT) {
		struct replay_request *rr = replay_at(replay, slot);

		slot = rr->next;
		if (plug.count == REPLAY_PLUG_MAX ||
		    (plug.count && plug.requests[plug.count - 1]->req.bytes >= REPLAY_PLUG_BYTES))
			replay_unplug(replay, &plug);
		if (replay_take_tag(replay, rr)) {
			plug.requests[plug.count++] = rr;
		} else {
			replay_unplug(replay, &plug);
			replay_wait(replay, rr);
		}
	}
	replay_unplug(replay, &plug);
}

static void replay_submit(struct replay *replay, struct replay_request *rr)
{
	if (replay_take_tag(replay, rr))
		replay_dispatch(replay, rr);
	else
		replay_wait(replay, rr);
}

/** Gives freed tags of @qid to who waits for them. */
static void replay_wake(struct replay *replay, unsigned qid)
{
	struct replay_wait *wait = &replay->waiting[qid];

	while (!replay->resetting && wait->first != NO_SLOT && replay->nvme->queues[qid].free_tag_count) {
		struct replay_request *rr = replay_take_first(replay, wait);

		replay->waiting_count--;
		rr->iod = nvme_get_tag(replay->nvme, qid);
		replay_dispatch(replay, rr);
	}
}

/* ---- completion ---- */

/** Returns the request of which @iod is the driver's part. */
static struct replay_request *replay_of(const struct nvme_iod *iod)
{
	return (struct replay_request *)((char *)iod->req - offsetof(struct replay_request, req));
}

static void replay_unmap(struct replay *replay, struct replay_request *rr)
{
	replay->sim->actor = rr->req.number;
	sim_charge(replay->sim, WORK_BLOCK_COMPLETE, 1);
	nvme_unmap_rq(replay->nvme, rr->iod);
}

/** blk_mq_sched_restart: a request of queue @qid ended, so there may be resources for those that found none. */
static void replay_restart(struct replay *replay, unsigned qid)
{
	struct replay_dispatch *dispatch = &replay->dispatch[qid];

	if (dispatch->restart && dispatch->list.first != NO_SLOT)
		replay_run_queue_at(replay, qid, replay->sim->now_ns);
	dispatch->restart = false;
}

/** nvme_complete_rq: the command ended with @status at @end_ns, and nothing is mapped for it any more. */
static void replay_decide(struct replay *replay, struct replay_request *rr, uint16_t status, uint64_t end_ns)
{
	nvme_put_tag(replay->nvme, rr->qid, rr->iod);
	if (nvme_retries(status, rr->retries)) {
		rr->retries++;
		replay->stats->retries++;
		replay_requeue(replay, rr, replay->sim->now_ns + nvme_retry_delay_ns(replay->nvme, status));
	} else {
		replay_restart(replay, rr->qid);
		replay_end_piece(replay, rr, nvme_error_status(status), end_ns);
	}
}

/** @cpu does one @work, and nothing else. Returns when it is free again. */
static uint64_t replay_work(struct replay *replay, unsigned cpu, enum work work)
{
	uint64_t begun_ns;

	sim_step_begin(replay->sim, cpu, replay->sim->now_ns);
	begun_ns = sim_cursor_ns(replay->sim);
	sim_charge(replay->sim, work, 1);
	return sim_step_end(replay->sim, begun_ns);
}

/** Takes all completions off queue @qid on @cpu, which got there somehow. What went well is put aside, to be unmapped and
 *  ended together behind the doorbell; a failure and a passthrough command are dealt with at once. */
static void replay_take_completions(struct replay *replay, unsigned qid, unsigned cpu)
{
	struct sim *sim = replay->sim;
	g_autoptr(GPtrArray) batch = g_ptr_array_new();
	struct nvme_iod *iod;
	uint64_t begun_ns, end_ns;
	uint16_t status;
	bool any = false;

	sim_step_begin(sim, cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	for (; (iod = nvme_poll_cq(replay->nvme, qid, &status)); any = true) {
		struct replay_request *rr = replay_of(iod);

		if (nvme_is_abort(replay->nvme, iod)) {
			nvme_abort_done(replay->nvme, iod);
			continue;
		}
		if (status == NVME_SC_SUCCESS && rr->req.op != REQ_OP_DRV) {
			g_ptr_array_add(batch, rr);
			continue;
		}
		replay_unmap(replay, rr);
		replay_decide(replay, rr, status, sim_cursor_ns(sim));
	}
	if (any)
		nvme_ring_cq(replay->nvme, qid);
	for (guint i = 0; i < batch->len; i++)
		replay_unmap(replay, g_ptr_array_index(batch, i));
	end_ns = sim_step_end(sim, begun_ns);
	for (guint i = 0; i < batch->len; i++)
		replay_decide(replay, g_ptr_array_index(batch, i), NVME_SC_SUCCESS, end_ns);
	replay_wake(replay, qid);
}

/** The CPU is free for an interrupt, for the thread of one (use_threaded_interrupts), or to look at a polled queue. */
static void replay_interrupt_event(struct sim *sim, uint32_t qid)
{
	struct replay *replay = sim->handler_data[EVENT_INTERRUPT];
	struct replay_interrupt *interrupt = &replay->interrupts[qid];
	bool polled = replay->nvme->queues[qid].polled;
	uint64_t end_ns;

	if (!polled) {
		end_ns = replay_work(replay, interrupt->cpu,
				     interrupt->thread ? WORK_THREAD_WAKE : WORK_INTERRUPT);
		if (replay->machine->config.threaded_interrupts && !interrupt->thread) {
			interrupt->thread = true;
			event_queue_push(&sim->events, end_ns, EVENT_INTERRUPT, qid);
			return;
		}
	}
	interrupt->raised = interrupt->thread = false;
	replay_take_completions(replay, qid, interrupt->cpu);
}

/** Interrupts @cpu for queue @qid as soon as it is free, or, without interrupts, lets it look. What completes until then
 *  needs no interrupt of its own. */
static void replay_interrupt(struct replay *replay, unsigned qid, unsigned cpu)
{
	struct replay_interrupt *interrupt = &replay->interrupts[qid];
	struct sim *sim = replay->sim;

	if (interrupt->raised)
		return;
	*interrupt = (struct replay_interrupt){.raised = true, .cpu = cpu};
	replay->stats->interrupts += !replay->nvme->queues[qid].polled;
	event_queue_push(&sim->events, MAX(sim->now_ns, sim->cpus[cpu].free_at_ns), EVENT_INTERRUPT, qid);
}

/** Lets the controller complete @rr, unless it has failed or has lost it. Returns whether anybody is told. */
static bool replay_post(struct replay *replay, struct replay_request *rr)
{
	struct controller *ctrl = &replay->machine->ctrl;

	if (ctrl->fatal) {
		replay_arm(replay, rr);
		return false;
	}
	if (rr->command.loss == CONTROLLER_LOSES_COMMAND || rr->command.loss == CONTROLLER_LOSES_ALL)
		return false;
	controller_complete(ctrl, rr->qid, &rr->command);
	rr->posted = true;
	return rr->command.loss == CONTROLLER_LOSES_NOTHING || replay->nvme->queues[rr->qid].polled;
}

static void replay_completion_event(struct sim *sim, uint32_t slot)
{
	struct replay *replay = sim->handler_data[EVENT_COMPLETION];
	struct replay_request *rr = replay_at(replay, slot);

	/* An event of a command that an abort or a reset has ended meanwhile. */
	if (rr->state != STATE_IN_FLIGHT || rr->posted || rr->done_ns != sim->now_ns)
		return;
	if (replay_post(replay, rr))
		replay_interrupt(replay, rr->qid, rr->cpu);
}

/** asap: the controller completes @rr, and @cpu hears of it, at once. */
static void replay_complete_now(struct replay *replay, struct replay_request *rr, unsigned cpu)
{
	if (rr->posted || !replay_post(replay, rr))
		return;
	if (!replay->nvme->queues[rr->qid].polled) {
		replay->stats->interrupts++;
		replay_work(replay, cpu, WORK_INTERRUPT);
		if (replay->machine->config.threaded_interrupts)
			replay_work(replay, cpu, WORK_THREAD_WAKE);
	}
	replay_take_completions(replay, rr->qid, cpu);
}

static void replay_requeue_event(struct sim *sim, uint32_t slot)
{
	struct replay *replay = sim->handler_data[EVENT_REQUEUE];

	replay_submit(replay, replay_at(replay, slot));
}

/** blk_mq_dispatch_rq_list: tries again what was refused, in order, until one is refused again; those behind it stay. */
static void replay_run_queue_event(struct sim *sim, uint32_t qid)
{
	struct replay *replay = sim->handler_data[EVENT_RUN_QUEUE];
	struct replay_dispatch *dispatch = &replay->dispatch[qid];
	struct replay_wait list = dispatch->list;

	if (dispatch->run_ns != sim->now_ns)
		return;
	dispatch->run_ns = NEVER;
	dispatch->list.first = NO_SLOT;
	dispatch->restart = dispatch->running = list.first != NO_SLOT;
	while (list.first != NO_SLOT && dispatch->list.first == NO_SLOT)
		replay_submit(replay, replay_take_first(replay, &list));
	while (list.first != NO_SLOT)
		replay_append(replay, &dispatch->list, replay_take_first(replay, &list));
	dispatch->running = false;
}

/* ---- time-outs ---- */

static void replay_cancel(void *data, struct nvme_iod *iod)
{
	struct replay *replay = data;
	struct replay_request *rr = replay_of(iod);

	replay_unmap(replay, rr);
	replay_decide(replay, rr, NVME_SC_HOST_ABORTED_CMD, sim_cursor_ns(replay->sim));
}

/** Stops the controller and then the queues, takes what has been completed, and cancels the rest, which is tried again when
 *  the controller works. Nobody's access can meet an unmap: the controller has stopped before. */
static void replay_reset(struct replay *replay, unsigned cpu)
{
	struct sim *sim = replay->sim;
	uint64_t begun_ns, end_ns;

	replay->resetting = true;
	replay->machine->ctrl.fatal = true;
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay_take_completions(replay, qid, cpu);
	sim_step_begin(sim, cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	nvme_cancel_all(replay->nvme, replay_cancel, replay);
	end_ns = sim_step_end(sim, begun_ns);
	for (unsigned tag = 0; tag < NVME_ADMIN_DEPTH; tag++)
		replay->aborts[tag].done_ns = NEVER;
	event_queue_push(&sim->events, end_ns + replay->machine->config.reset_ns, EVENT_RESET, 0);
}

static void replay_reset_event(struct sim *sim, uint32_t payload)
{
	struct replay *replay = sim->handler_data[EVENT_RESET];

	replay->machine->ctrl.fatal = false;
	replay->resetting = false;
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay_wake(replay, qid);
}

/** The controller gets an Abort, which the driver has just submitted. */
static void replay_abort(struct replay *replay)
{
	struct replay_abort abort;

	if (!controller_execute(&replay->machine->ctrl, 0, &abort.command))
		g_assert_not_reached();
	abort.done_ns = replay->sim->now_ns + replay->machine->config.fetch_ns;
	replay->aborts[abort.command.command_id & 0xfff] = abort;
	event_queue_push(&replay->sim->events, abort.done_ns, EVENT_ABORT, abort.command.command_id & 0xfff);
}

/** Returns the request that the Abort @command is about, if the controller still has it. */
static struct replay_request *replay_abort_target(struct replay *replay, const struct controller_command *command)
{
	struct nvme_iod *iod = &replay->nvme->queues[command->abort_qid].iods[command->abort_id & 0xfff];
	struct replay_request *rr = iod->req ? replay_of(iod) : NULL;

	if (!rr || iod->sqe.command_id != command->abort_id || rr->posted ||
	    rr->command.loss == CONTROLLER_LOSES_ALL)
		return NULL;
	return rr;
}

/** The controller is done with an Abort, and so with the command that was aborted, if there was one. */
static void replay_abort_event(struct sim *sim, uint32_t tag)
{
	struct replay *replay = sim->handler_data[EVENT_ABORT];
	struct replay_abort *abort = &replay->aborts[tag];
	struct replay_request *rr;

	/* A reset has ended it, or the controller has failed and one will. */
	if (abort->done_ns != sim->now_ns || replay->machine->ctrl.fatal)
		return;
	abort->done_ns = NEVER;
	rr = replay_abort_target(replay, &abort->command);
	abort->command.result = rr == NULL; /* bit 0: not aborted */
	if (rr) {
		rr->command.status = NVME_SC_ABORT_REQ;
		rr->command.loss = CONTROLLER_LOSES_NOTHING;
		if (replay_post(replay, rr))
			replay_interrupt(replay, rr->qid, rr->cpu);
	}
	controller_complete(&replay->machine->ctrl, 0, &abort->command);
	replay_interrupt(replay, 0, sim->cpu);
}

/** nvme_timeout: a controller that failed is reset; else the queue is polled, and then the driver decides. */
static void replay_timeout_event(struct sim *sim, uint32_t slot)
{
	struct replay *replay = sim->handler_data[EVENT_TIMEOUT];
	const struct machine_config *config = &replay->machine->config;
	struct replay_request *rr = replay_at(replay, slot);
	enum nvme_timeout decision;
	uint64_t begun_ns;

	if (rr->state != STATE_IN_FLIGHT || rr->deadline_ns != sim->now_ns)
		return;
	replay->stats->timeouts++;
	if (replay->machine->ctrl.fatal) {
		replay_reset(replay, rr->cpu);
		return;
	}
	replay_take_completions(replay, rr->qid, rr->cpu);
	if (rr->state != STATE_IN_FLIGHT || rr->deadline_ns != sim->now_ns) {
		replay->stats->polled++;
		return;
	}
	sim_step_begin(sim, rr->cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	decision = nvme_timeout(replay->nvme, rr->qid, rr->iod);
	sim_step_end(sim, begun_ns);
	if (decision == NVME_TIMEOUT_RESET) {
		replay_reset(replay, rr->cpu);
		return;
	}
	if (decision == NVME_TIMEOUT_ABORT)
		replay_abort(replay);
	rr->deadline_ns = sim->now_ns + (rr->qid ? config->io_timeout_ns : config->admin_timeout_ns);
	replay_arm(replay, rr);
}

/** asap: the trace says that the request at @head completes on @cpu. */
static void replay_trace_complete(struct replay *replay, struct replay_request *head, unsigned cpu)
{
	uint32_t slot = head->slot, next;

	replay_detach(replay, head);
	for (; slot != NO_SLOT; slot = next) {
		struct replay_request *rr = replay_at(replay, slot);

		next = rr->next;
		rr->due = true; /* if it has not got through yet, it completes as soon as it does */
		if (rr->state == STATE_IN_FLIGHT)
			replay_complete_now(replay, rr, cpu);
	}
}

/* ---- from record to requests ---- */

static enum req_op replay_op(enum io_op op)
{
	static const enum req_op ops[IO_OPS] = {[IO_READ] = REQ_OP_READ,
						[IO_WRITE] = REQ_OP_WRITE,
						[IO_FLUSH] = REQ_OP_FLUSH,
						[IO_DISCARD] = REQ_OP_DISCARD,
						[IO_WRITE_ZEROES] = REQ_OP_WRITE_ZEROES,
						[IO_PASSTHROUGH] = REQ_OP_DRV};

	return ops[op];
}

/** Puts where the data of @record lie into replay->scratch; none for a flush and a write of zeroes. */
static void replay_gather_segments(struct replay *replay, const struct io_record *record)
{
	enum segment_layout layout = (enum segment_layout)replay->machine->config.layout;
	uint64_t bytes = record->op == IO_DISCARD ? NVME_DSM_BYTES : record->bytes;

	g_array_set_size(replay->scratch, 0);
	if (record->op == IO_FLUSH || record->op == IO_WRITE_ZEROES || bytes == 0)
		return;
	if (layout != LAYOUT_RECORDED || record->segment_count == 0) {
		segments_make(&replay->prng, layout == LAYOUT_RECORDED ? LAYOUT_SCATTERED : layout, bytes,
			      replay->scratch);
		replay->stats->made_segments++;
		return;
	}
	G_STATIC_ASSERT(sizeof(struct bio_vec) == sizeof(struct io_segment));
	for (uint32_t i = 0; i < record->segment_count; i++) {
		struct bio_vec vec = {record->segments[i].paddr, record->segments[i].len_bytes};

		g_array_append_val(replay->scratch, vec);
	}
	replay->stats->recorded_segments++;
}

/** Moves @vecs, which belong to one request and are no longer than one may be, into the memory of the board. */
static void replay_place(const struct replay *replay, GArray *vecs)
{
	const struct machine_board *board = replay->machine->config.board;

	for (guint i = 0; board && i < vecs->len; i++)
		machine_board_place(board, &g_array_index(vecs, struct bio_vec, i));
}

static unsigned replay_queue_of(const struct replay *replay, const struct io_record *record)
{
	unsigned there = replay->nvme->queue_count - 1;
	unsigned io_queues = MIN(there, replay->nvme->config.io_queues - replay->nvme->config.poll_queues);

	/* The polled ones are the last, and may not be there. */
	if (there > io_queues && (record->op == IO_READ || record->op == IO_WRITE))
		return 1 + io_queues + record->cpu % (there - io_queues);
	if (record->op == IO_PASSTHROUGH && record->queue == 0)
		return 0;
	if (record->queue != TRACE_NO_QUEUE && record->queue > 0)
		return 1 + (record->queue - 1u) % io_queues;
	return 1 + record->cpu % io_queues;
}

static struct replay_request *replay_make_piece(struct replay *replay, const struct io_record *record,
						unsigned qid)
{
	struct replay_request *rr = replay_new_request(replay);

	rr->req.number = record->number;
	rr->req.op = replay_op(record->op);
	rr->req.sector = record->lba;
	rr->req.to_device = record->to_device || record->op == IO_DISCARD;
	rr->req.special = record->op == IO_DISCARD;
	rr->command = (struct controller_command){0};
	rr->start_ns = replay->sim->now_ns;
	rr->trace_slot = NO_SLOT;
	rr->head = rr->slot;
	rr->next = NO_SLOT;
	rr->pieces_left = 0;
	rr->qid = (uint16_t)qid;
	rr->cpu = (uint16_t)(record->cpu % replay->sim->cpu_count);
	rr->refused_ns = NEVER;
	rr->retries = 0;
	rr->state = STATE_WAITING;
	rr->due = false;
	rr->status = BLK_STS_OK;
	return rr;
}

/** Makes the integrity data of @rr, which no recording has, if the device has any. */
static void replay_make_metadata(struct replay *replay, struct replay_request *rr)
{
	const struct nvme_config *config = &replay->nvme->config;
	enum segment_layout layout = (enum segment_layout)replay->machine->config.layout;
	uint64_t bytes = rr->req.bytes / config->logical_block_bytes * config->meta_bytes;

	g_array_set_size(rr->meta_vecs, 0);
	if (rr->req.op != REQ_OP_READ && rr->req.op != REQ_OP_WRITE)
		bytes = 0;
	if (layout == LAYOUT_RECORDED)
		layout = LAYOUT_SCATTERED;
	if (bytes > (uint64_t)replay->nvme->limits.max_integrity_segments * FRAME_SIZE)
		layout = LAYOUT_CONTIGUOUS;
	if (bytes)
		segments_make(&replay->prng, layout, bytes, rr->meta_vecs);
	rr->req.meta_bytes = bytes;
	rr->req.meta_vecs = (struct bio_vec *)(void *)rr->meta_vecs->data;
	rr->req.meta_vec_count = rr->meta_vecs->len;
	replay_place(replay, rr->meta_vecs);
	for (uint32_t i = 0; i < rr->req.meta_vec_count; i++)
		physmem_claim(&replay->sim->mem, rr->req.meta_vecs[i].paddr, rr->req.meta_vecs[i].len,
			      rr->req.number);
}

static void replay_fill_piece(struct replay *replay, struct replay_request *rr, uint64_t bytes)
{
	replay_place(replay, rr->vecs);
	rr->req.bytes = bytes;
	rr->req.vecs = (struct bio_vec *)(void *)rr->vecs->data;
	rr->req.vec_count = rr->vecs->len;
	rr->req.limits = &replay->nvme->limits;
	replay_make_metadata(replay, rr);
	request_prepare(&rr->req);
	for (uint32_t i = 0; i < rr->req.vec_count; i++)
		physmem_claim(&replay->sim->mem, rr->req.vecs[i].paddr, rr->req.vecs[i].len, rr->req.number);
}

/** Cuts the segments in scratch into requests that the device takes. Returns the head. */
static struct replay_request *replay_make_requests(struct replay *replay, const struct io_record *record)
{
	unsigned qid = replay_queue_of(replay, record);
	struct replay_request *head = replay_make_piece(replay, record, qid), *last = head;
	uint32_t at = 0;
	uint64_t skip = 0;

	g_array_set_size(head->vecs, 0);
	head->pieces_left = 1;
	if (replay->scratch->len == 0)
		replay_fill_piece(replay, head, 0);
	while (at < replay->scratch->len) {
		const struct bio_vec *vecs = &g_array_index(replay->scratch, struct bio_vec, at);
		uint64_t bytes =
			request_split_bytes(vecs, replay->scratch->len - at, skip, &replay->nvme->limits);
		struct replay_request *rr = last;

		/* Not even one logical block fits: the recording's own unit was smaller. Take the first segment. */
		if (bytes == 0)
			bytes = vecs->len - skip;
		if (at || skip) {
			rr = replay_make_piece(replay, record, qid);
			rr->head = head->slot;
			head->pieces_left++;
			last->next = rr->slot;
			rr->req.sector = last->req.sector + last->req.bytes / 512;
			replay->stats->splits++;
			last = rr;
		}
		bio_vecs_take(replay->scratch, &at, &skip, bytes, rr->vecs);
		replay_fill_piece(replay, rr, bytes);
	}
	return head;
}

static void replay_issue(struct replay *replay, const struct io_record *record)
{
	struct replay_stats *stats = replay->stats;
	struct replay_request *head;

	replay_gather_segments(replay, record);
	head = replay_make_requests(replay, record);
	head->trace_slot = record->slot;
	if (record->slot >= replay->by_trace_slot->len) {
		uint32_t from = replay->by_trace_slot->len;

		g_array_set_size(replay->by_trace_slot, record->slot + 1);
		for (; from <= record->slot; from++)
			g_array_index(replay->by_trace_slot, uint32_t, from) = NO_SLOT;
	}
	g_array_index(replay->by_trace_slot, uint32_t, record->slot) = head->slot;
	stats->issued++;
	stats->op_count[head->req.op]++;
	replay->in_flight++;
	stats->max_in_flight = MAX(stats->max_in_flight, replay->in_flight);
	replay_submit_pieces(replay, head);
}

/* ---- snapshots and the time line ---- */

static void replay_write_requests(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct replay *replay = data;

	for (guint i = 0; i < replay->requests->len; i++) {
		const struct replay_request *rr = replay_at(replay, i);

		if (rr->state == STATE_FREE)
			continue;
		snapshot_fact(writer, "request");
		snapshot_hex(writer, "number", rr->req.number, 12);
		snapshot_hex(writer, "sector", rr->req.sector, 12);
		snapshot_u64(writer, "bytes", rr->req.bytes);
		snapshot_text(writer, "op", req_op_names[rr->req.op]);
		snapshot_u64(writer, "cpu", rr->cpu);
		snapshot_u64(writer, "queue", rr->qid);
		snapshot_text(writer, "state", replay_state_names[rr->state]);
	}
}

static const struct snapshot_noun replay_nouns[] = {
	{.name = "request",
	 .keys = {"number", "sector"},
	 .added = "request in flight",
	 .removed = "request no longer in flight",
	 .changed = "request changed"},
	{0},
};

const struct snapshot_section replay_request_section = {"request", replay_nouns, replay_write_requests, NULL};

static bool replay_snapshot(struct replay *replay, const char *name, GError **error)
{
	struct snapshot_source requests = {&replay_request_section, replay};
	g_autofree char *path = g_build_filename(replay->options->dir, name, NULL);

	return machine_snapshot(replay->machine, path, &requests, error);
}

static uint64_t replay_min_next(uint64_t listed, uint64_t every, uint64_t past)
{
	return every ? MIN(listed, (past / every + 1) * every) : listed;
}

static void replay_plan_snapshots(struct replay *replay, uint64_t past_ns, uint64_t past_count)
{
	const struct replay_options *options = replay->options;

	replay->snap_next_ns =
		replay_min_next(options->snap_ns ? options->snap_ns[replay->snap_ns_at] : UINT64_MAX,
				options->snap_every_ns, past_ns);
	replay->snap_next_count =
		replay_min_next(options->snap_count ? options->snap_count[replay->snap_count_at] : UINT64_MAX,
				options->snap_every_count, past_count);
}

static bool replay_count_snapshot(struct replay *replay, GError **error)
{
	if (++replay->stats->snapshots <= REPLAY_SNAPSHOTS_MAX)
		return true;
	return sim_error_plain(error, "more than %d snapshots", REPLAY_SNAPSHOTS_MAX) == 0;
}

/** Writes the snapshot that is due at this time. */
static bool replay_snapshot_of_time(struct replay *replay, GError **error)
{
	const struct replay_options *options = replay->options;
	uint64_t at_ns = replay->snap_next_ns;
	g_autofree char *name = g_strdup_printf("at-%" G_GUINT64_FORMAT "ns.snap", at_ns);

	while (options->snap_ns && options->snap_ns[replay->snap_ns_at] <= at_ns)
		replay->snap_ns_at++;
	replay_plan_snapshots(replay, at_ns, replay->stats->issued);
	return replay_count_snapshot(replay, error) && replay_snapshot(replay, name, error);
}

/** Writes the snapshot that is due after so many requests, if one is. */
static bool replay_snapshot_of_count(struct replay *replay, GError **error)
{
	const struct replay_options *options = replay->options;
	g_autofree char *name = NULL;

	if (replay->stats->issued < replay->snap_next_count)
		return true;
	name = g_strdup_printf("at-request-%" G_GUINT64_FORMAT ".snap", replay->stats->issued);
	while (options->snap_count && options->snap_count[replay->snap_count_at] <= replay->stats->issued)
		replay->snap_count_at++;
	replay_plan_snapshots(replay, replay->sim->now_ns, replay->stats->issued);
	return replay_count_snapshot(replay, error) && replay_snapshot(replay, name, error);
}

static void replay_timeline_row(struct replay *replay)
{
	const struct machine *machine = replay->machine;
	uint64_t mapped = 0, tables = 0;

	if (machine->domain) {
		mapped = machine->iommu->stats.mapped_bytes - machine->iommu->stats.unmapped_bytes;
		tables = machine->domain->pt->table_pages;
	}
	replay->stats->mapped_bytes_max = MAX(replay->stats->mapped_bytes_max, mapped);
	replay->stats->iova_live_max = MAX(replay->stats->iova_live_max, machine->dev.live.count);
	if (replay->timeline)
		output_printf(
			replay->timeline,
			"%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT
			",%" G_GUINT64_FORMAT ",%u,%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "\n",
			replay->timeline_next_ns, replay->timeline_ios, replay->timeline_bytes,
			replay->timeline_errors, replay->in_flight, machine->dev.live.count, mapped, tables);
	replay->timeline_ios = replay->timeline_bytes = replay->timeline_errors = 0;
}

/** Closes the row of the time line that ends now, if anything happened in it; the next one ends behind what happens next,
 *  which is not after @until_ns. */
static void replay_close_row(struct replay *replay, uint64_t until_ns)
{
	uint64_t row_ns = replay->machine->config.timeline_ns;
	uint64_t next_ns = MIN(event_queue_next_ns(&replay->sim->events), until_ns);

	if (replay->timeline_ios || replay->in_flight)
		replay_timeline_row(replay);
	next_ns = MAX(next_ns, replay->timeline_next_ns + 1);
	replay->timeline_next_ns = (next_ns + row_ns - 1) / row_ns * row_ns;
}

/* ---- the loop ---- */

/** Moves simulated time to @until_ns, if that lies ahead: events, rows of the time line and snapshots, each at its time. */
static bool replay_advance(struct replay *replay, uint64_t until_ns, GError **error)
{
	struct sim *sim = replay->sim;

	if (until_ns > REPLAY_TIME_MAX_NS)
		return sim_error_plain(error, "more than 200 days of simulated time") == 0;
	while (MIN(replay->timeline_next_ns, replay->snap_next_ns) <= until_ns) {
		uint64_t stop_ns = MIN(replay->timeline_next_ns, replay->snap_next_ns);

		sim_run_until(sim, MAX(stop_ns, sim->now_ns));
		if (replay->timeline_next_ns == stop_ns)
			replay_close_row(replay, until_ns);
		if (replay->snap_next_ns == stop_ns && !replay_snapshot_of_time(replay, error))
			return false;
	}
	sim_run_until(sim, MAX(until_ns, sim->now_ns));
	return true;
}

/** Moves simulated time to the next event. There is one. */
static bool replay_advance_to_event(struct replay *replay, GError **error)
{
	return replay_advance(replay, event_queue_next_ns(&replay->sim->events), error);
}

static void replay_tick(struct replay *replay)
{
	const struct replay_options *options = replay->options;

	if (options->progress && replay->stats->issued % 4096 == 0)
		options->progress(options->progress_data, replay->stats->issued);
}

/** Closed: waits until the CPU is free and the queue has room. */
static bool replay_wait_for_room(struct replay *replay, const struct io_record *record, GError **error)
{
	struct sim *sim = replay->sim;
	unsigned qid = replay_queue_of(replay, record);

	if (!replay_advance(replay, sim->cpus[record->cpu % sim->cpu_count].free_at_ns, error))
		return false;
	while (replay->waiting[qid].first != NO_SLOT || !replay->nvme->queues[qid].free_tag_count)
		if (!replay_advance_to_event(replay, error))
			return false;
	return true;
}

/** Moves simulated time to where the next request may be issued: its time stamp, or, closed, room in its queue. Open, a
 *  trace that is too far ahead of the device has to wait. */
static bool replay_wait_for(struct replay *replay, const struct io_record *record, GError **error)
{
	if (replay->options->mode == REPLAY_CLOSED)
		return replay_wait_for_room(replay, record, error);
	if (!replay_advance(replay, record->time_ns, error))
		return false;
	if (replay->options->mode == REPLAY_OPEN && replay->waiting_count >= REPLAY_WAITING_MAX) {
		replay->stats->held_back++;
		while (replay->waiting_count >= REPLAY_WAITING_MAX)
			if (!replay_advance_to_event(replay, error))
				return false;
	}
	return true;
}

/** A machine whose CPUs were chosen folds those of the trace; one that was made for the trace must have them all. */
static bool replay_check_cpu(const struct replay *replay, const struct io_stream *stream,
			     const struct io_record *record, GError **error)
{
	if (record->cpu < replay->sim->cpu_count || replay->machine->config.cpus)
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT
			       " is on CPU %u, but the recording says that it has %u "
			       "CPUs: give --set machine.cpus=N",
			       input_path(io_stream_input(stream)), record->number, record->cpu,
			       replay->sim->cpu_count) == 0;
}

static bool replay_check_time(const struct io_stream *stream, const struct io_record *record, GError **error)
{
	if (record->time_ns <= REPLAY_TIME_MAX_NS)
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT " comes %" G_GUINT64_FORMAT
			       " s after the first event: at most 200 days",
			       input_path(io_stream_input(stream)), record->number,
			       record->time_ns / 1000000000) == 0;
}

/** A controller moves whole logical blocks. */
static bool replay_check_blocks(const struct replay *replay, const struct io_stream *stream,
				const struct io_record *record, GError **error)
{
	uint32_t block = replay->nvme->config.logical_block_bytes;

	if ((record->op != IO_READ && record->op != IO_WRITE) ||
	    (record->bytes % block == 0 && record->lba % (block / 512) == 0))
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
			       " bytes at sector %" G_GUINT64_FORMAT
			       ", is not of whole blocks of %u bytes: give another nvme.logical-block",
			       input_path(io_stream_input(stream)), record->number, record->bytes,
			       record->lba, block) == 0;
}

/** Whether this machine can replay @record. */
static bool replay_check_record(const struct replay *replay, const struct io_stream *stream,
				const struct io_record *record, GError **error)
{
	return replay_check_time(stream, record, error) && replay_check_cpu(replay, stream, record, error) &&
	       replay_check_blocks(replay, stream, record, error);
}

static bool replay_step(struct replay *replay, enum io_step step, const struct io_record *record,
			const struct io_complete *complete, GError **error)
{
	struct sim *sim = replay->sim;

	uint32_t slot;

	if (step == IO_ISSUE) {
		if (!replay_snapshot_of_count(replay, error) || !replay_wait_for(replay, record, error))
			return false;
		replay_issue(replay, record);
		replay_tick(replay);
		return true;
	}
	if (replay_timed(replay))
		return true;
	slot = g_array_index(replay->by_trace_slot, uint32_t, record->slot);
	if (slot == NO_SLOT)
		return true;
	if (!replay_advance(replay, complete->time_ns, error))
		return false;
	/* Time may have passed the request by: it failed, or an event completed it. */
	slot = g_array_index(replay->by_trace_slot, uint32_t, record->slot);
	if (slot != NO_SLOT)
		replay_trace_complete(replay, replay_at(replay, slot), complete->cpu % sim->cpu_count);
	return true;
}

/** Waits until nothing is in flight, or, asap, until only what the trace never completed is. */
static bool replay_drain(struct replay *replay, GError **error)
{
	while (replay->in_flight && event_queue_next_ns(&replay->sim->events) != UINT64_MAX)
		if (!replay_advance_to_event(replay, error))
			return false;
	return true;
}

static int replay_older(const void *a, const void *b)
{
	const struct replay_request *x = *(struct replay_request *const *)a,
				    *y = *(struct replay_request *const *)b;

	return x->req.number < y->req.number ? -1 : x->req.number > y->req.number;
}

/** Completes what the trace left open, oldest first, so that everything can be torn down. */
static bool replay_finish_open(struct replay *replay, GError **error)
{
	g_autoptr(GPtrArray) open = g_ptr_array_new();

	for (guint i = 0; i < replay->requests->len; i++) {
		struct replay_request *rr = replay_at(replay, i);

		if (rr->pieces_left && rr->head == rr->slot)
			g_ptr_array_add(open, rr);
	}
	g_ptr_array_sort(open, replay_older);
	for (guint i = 0; i < open->len; i++) {
		struct replay_request *head = g_ptr_array_index(open, i);

		/* Waking a waiting request may have ended it meanwhile. */
		if (head->pieces_left)
			replay_trace_complete(replay, head, head->cpu);
	}
	if (!replay_drain(replay, error))
		return false;
	g_assert(replay->in_flight == 0);
	return true;
}

/** Counts the snapshots that were asked for later than the run came. */
static void replay_count_missed(struct replay *replay)
{
	const struct replay_options *options = replay->options;

	for (unsigned i = replay->snap_ns_at; options->snap_ns && options->snap_ns[i] != UINT64_MAX; i++)
		replay->stats->snapshots_missed++;
	for (unsigned i = replay->snap_count_at; options->snap_count && options->snap_count[i] != UINT64_MAX;
	     i++)
		replay->stats->snapshots_missed++;
}

static bool replay_loop(struct replay *replay, struct io_stream *stream, GError **error)
{
	const struct replay_options *options = replay->options;
	const struct io_record *record;
	struct io_complete complete;
	enum io_step step;

	while ((step = io_stream_next(stream, &record, &complete, error)) > 0) {
		if (step == IO_ISSUE && options->limit && replay->stats->issued == options->limit)
			break;
		if (step == IO_ISSUE && !replay_check_record(replay, stream, record, error))
			return false;
		if (!replay_step(replay, step, record, &complete, error))
			return false;
	}
	if (step == IO_TROUBLE || !replay_snapshot_of_count(replay, error))
		return false;
	/* asap: what the trace has completed already, and only that, is done before the last snapshot. */
	if (replay_timed(replay) ? !replay_drain(replay, error)
				 : !replay_advance(replay, replay->sim->now_ns, error))
		return false;
	if (options->dir && !replay_snapshot(replay, "end.snap", error))
		return false;
	if (!replay_drain(replay, error) || (!replay_timed(replay) && !replay_finish_open(replay, error)))
		return false;
	replay_timeline_row(replay);
	replay_count_missed(replay);
	return true;
}

static void replay_init(struct replay *replay)
{
	const struct machine_config *config = &replay->machine->config;
	struct sim *sim = replay->sim;

	replay->requests = g_ptr_array_new_with_free_func(replay_request_free);
	replay->free_slots = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	replay->by_trace_slot = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	replay->scratch = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
	replay->waiting = g_new(struct replay_wait, replay->nvme->queue_count);
	replay->dispatch = g_new(struct replay_dispatch, replay->nvme->queue_count);
	replay->interrupts = g_new0(struct replay_interrupt, replay->nvme->queue_count);
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++) {
		replay->waiting[qid] = (struct replay_wait){NO_SLOT, NO_SLOT};
		replay->dispatch[qid] = (struct replay_dispatch){.list = {NO_SLOT, NO_SLOT}, .run_ns = NEVER};
	}
	replay->channel_free_ns = g_new0(uint64_t, config->channels);
	replay->timeline_next_ns = config->timeline_ns;
	prng_init_own(&replay->prng, sim->seed, config->segment_seed, "segments");
	sim_handle(sim, EVENT_COMPLETION, replay_completion_event, replay);
	sim_handle(sim, EVENT_REQUEUE, replay_requeue_event, replay);
	sim_handle(sim, EVENT_INTERRUPT, replay_interrupt_event, replay);
	sim_handle(sim, EVENT_TIMEOUT, replay_timeout_event, replay);
	sim_handle(sim, EVENT_ABORT, replay_abort_event, replay);
	sim_handle(sim, EVENT_RESET, replay_reset_event, replay);
	sim_handle(sim, EVENT_RUN_QUEUE, replay_run_queue_event, replay);
	replay_plan_snapshots(replay, 0, 0);
}

static void replay_add_lock(struct sim_lock *sum, const struct sim_lock *lock)
{
	sum->taken += lock->taken;
	sum->waits += lock->waits;
	sum->wait_ns_sum += lock->wait_ns_sum;
	sum->wait_ns_max = MAX(sum->wait_ns_max, lock->wait_ns_max);
}

/** Adds up who waited for which lock, while they exist. */
static void replay_collect_locks(struct replay *replay)
{
	static const char *const names[REPLAY_LOCKS] = {"IOVA tree", "IOVA depot", "invalidation queue",
							"submission queue", "flush queue"};
	const struct machine *machine = replay->machine;
	struct sim_lock *locks = replay->stats->locks;

	for (unsigned i = 0; i < REPLAY_LOCKS; i++)
		locks[i].name = names[i];
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay_add_lock(&locks[LOCK_SUBMISSION], &replay->nvme->queues[qid].lock);
	if (machine->dev.fq)
		fq_add_locks(machine->dev.fq, &locks[LOCK_FLUSH_QUEUE], replay_add_lock);
	if (!machine->domain)
		return;
	replay_add_lock(&locks[LOCK_IOVA_TREE], iova_tree_lock(machine->iovad));
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		replay_add_lock(&locks[LOCK_IOVA_DEPOT], iova_depot_lock(machine->iovad, order));
	replay_add_lock(&locks[LOCK_INVALIDATION], &machine->iommu->queue_lock);
}

static void replay_finish(struct replay *replay)
{
	replay_collect_locks(replay);
	replay->stats->nvme = replay->nvme->stats;
	sim_handle(replay->sim, EVENT_COMPLETION, NULL, NULL);
	sim_handle(replay->sim, EVENT_REQUEUE, NULL, NULL);
	for (unsigned kind = EVENT_INTERRUPT; kind <= EVENT_RUN_QUEUE; kind++)
		sim_handle(replay->sim, kind, NULL, NULL);
	g_free(replay->channel_free_ns);
	g_free(replay->interrupts);
	g_free(replay->dispatch);
	g_free(replay->waiting);
	g_array_unref(replay->scratch);
	g_array_unref(replay->by_trace_slot);
	g_array_unref(replay->free_slots);
	g_ptr_array_unref(replay->requests);
}

bool replay_run(struct machine *machine, struct io_stream *stream, const struct replay_options *options,
		struct replay_stats *ret_stats, GError **error)
{
	struct replay replay = {.machine = machine,
				.sim = machine->sim,
				.nvme = machine->nvme,
				.options = options,
				.stats = ret_stats};
	bool ok;

	memset(ret_stats, 0, sizeof(*ret_stats));
	replay_init(&replay);
	if (options->dir) {
		g_autofree char *path = g_build_filename(options->dir, "timeline.csv", NULL);

		replay.timeline = output_new(path, error);
		if (!replay.timeline) {
			replay_finish(&replay);
			return false;
		}
		output_puts(replay.timeline, REPLAY_TIMELINE_HEADER);
	}
	ok = replay_loop(&replay, stream, error);
	if (replay.timeline) {
		if (ok)
			ok = output_commit(replay.timeline, error);
		else
			output_abandon(replay.timeline);
	}
	replay_finish(&replay);
	return ok;
}
