/* SPDX-License-Identifier: MIT */
/*
 * Requests on their way to the driver and back: tags and who waits for one, plugs, refusals, interrupts, retries.
 */
#include "sim/machine/replay-internal.h"

/* What blk-mq waits at most before it runs a queue again that had no resource. */
#define REPLAY_REQUEUE_NS UINT64_C(3000000)
/* A request that finds no resource for so long never will: the run goes on without it. */
#define REPLAY_REFUSED_MAX_NS (100 * REPLAY_REQUEUE_NS)
/* A doorbell so little ahead of the time of all takes its place in line at the device at once. */
#define REPLAY_NEAR_NS 5000
/* What blk-mq gathers before the driver sees it: so many requests at most, and nothing behind a large one. Source:
 * blk_add_rq_to_plug() in block/blk-mq.c. */
#define REPLAY_PLUG_MAX	  32
#define REPLAY_PLUG_BYTES (128u << 10)

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
	replay->part->ios++;
	stats->status_count[head->status]++;
	if (head->status != BLK_STS_OK) {
		stats->errors++;
		replay->part->errors++;
		replay->shared->timeline_errors++;
	} else if (replay_timed(replay)) {
		replay_count_latency(replay, head->req.op, end_ns - head->start_ns);
	}
	replay->shared->timeline_ios++;
	replay_count_in_flight(replay->shared, -1);
	/* Nobody knows of it any more, but its CPU is not done with it before @end_ns. */
	stats->in_flight_ns += end_ns - replay->sim->now_ns;
	replay->in_flight--;
	replay_detach(replay, head);
	while (slot != NO_SLOT) {
		struct replay_request *piece = replay_at(replay, slot);

		slot = piece->next;
		piece->state = STATE_FREE;
		piece->next = replay->shared->free_slot;
		replay->shared->free_slot = piece->slot;
	}
}

static void replay_end_piece(struct replay *replay, struct replay_request *rr, enum blk_status status,
			     uint64_t end_ns)
{
	struct replay_request *head = replay_at(replay, rr->head);

	if (status == BLK_STS_OK) {
		replay->stats->bytes += rr->command.bytes;
		replay->part->bytes += rr->command.bytes;
		replay->stats->op_bytes[rr->req.op] += rr->command.bytes;
		replay->shared->timeline_bytes += rr->command.bytes;
	} else if (head->status == BLK_STS_OK) {
		head->status = (uint8_t)status;
	}
	rr->state = STATE_FREE;
	if (--head->pieces_left == 0)
		replay_end_head(replay, head, end_ns);
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
	event_queue_push(&replay->sim->events, at_ns, EVENT_RUN_QUEUE, replay_payload(replay, qid));
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
		replay_run_queue_at(replay, rr->qid,
				    sim->now_ns + (dispatch->running ? REPLAY_REQUEUE_NS : 0));
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

/** Counts how much later than in the trace @rr, a head, is submitted: the CPU was busy, the queue full, or so many requests in
 *  flight that the trace had to wait. */
static void replay_count_lateness(struct replay *replay, struct replay_request *rr)
{
	uint64_t late_ns = sim_cursor_ns(replay->sim) - rr->stamp_ns;

	histogram_add(&replay->stats->lateness, late_ns);
	replay->part->lateness_ns_sum += late_ns;
	replay->part->lateness_ns_max = MAX(replay->part->lateness_ns_max, late_ns);
	rr->stamp_ns = NEVER;
}

static enum blk_status replay_prepare(struct replay *replay, struct replay_request *rr)
{
	uint64_t from_ps = replay->sim->cursor_ps;
	enum blk_status status;

	if (rr->stamp_ns != NEVER)
		replay_count_lateness(replay, rr);
	sim_charge(replay->sim, WORK_BLOCK_SUBMIT, 1);
	SIM_ANNOUNCE(replay->sim, nvme_setup, &rr->req, rr->qid, rr->iod->generation << 12 | rr->iod->tag);
	status = nvme_prep_rq(replay->nvme, rr->iod, &rr->req, rr->qid ? 1 : 0);
	SIM_TOOK(replay->sim, .what = SPAN_PREPARE, .from_ps = from_ps, .req = &rr->req, .err = -(int)status);
	return status;
}

void replay_arm(struct replay *replay, struct replay_request *rr)
{
	rr->deadline_ns = MAX(rr->deadline_ns, replay->sim->now_ns);
	event_queue_push(&replay->sim->events, rr->deadline_ns, EVENT_TIMEOUT, rr->slot);
}

/* ---- the device ---- */

/** The device goes on with @rr at @at_ns. */
static void replay_device_until(struct replay *replay, struct replay_request *rr, uint64_t at_ns)
{
	rr->step_ns = at_ns;
	event_queue_push(&replay->sim->events, at_ns, EVENT_COMPLETION, rr->slot);
	if (at_ns > rr->deadline_ns && replay->sim->now_ns <= rr->deadline_ns)
		replay_arm(replay, rr);
}

/** The controller asks where the completion of @rr goes to; @call: how an order of calls has that. */
static void replay_ask_completion(struct replay *replay, struct replay_request *rr, const char *call)
{
	if (G_UNLIKELY(replay->shared->order))
		replay_save(replay->shared, call, rr->slot, 0, 0);
	controller_ask_completion(&replay->machine->ctrl, rr->qid, &rr->command);
}

/** The device takes its next step with @rr, as it has what it needs from @at_ns on. @ask: as replay_ask_completion() has it. */
static void replay_device_step(struct replay *replay, struct replay_request *rr, uint64_t at_ns,
			       const char *ask)
{
	/* The step that leads to the completion. */
	if (rr->work.step != DEVICE_FETCH || !(rr->command.bytes + rr->command.meta_bytes))
		replay_ask_completion(replay, rr, ask);
	replay_device_until(replay, rr,
			    device_take_step(&replay->device, &rr->work, replay->sim->now_ns, at_ns));
}

/** The controller is about to ask for the command of @rr at @at_ns. CPUs run ahead of one another: what is near has its place
 *  in line now, what is far waits for its time, and who comes earlier overtakes it. */
static void replay_device_rung(struct replay *replay, struct replay_request *rr, uint64_t at_ns)
{
	rr->work.command = &rr->command;
	rr->work.req = &rr->req;
	rr->work.qid = rr->qid;
	rr->work.interrupts = !replay->nvme->queues[rr->qid].polled;
	if (at_ns - replay->sim->now_ns <= REPLAY_NEAR_NS)
		replay_device_step(replay, rr, at_ns, REPLAY_ASK_AT_ONCE);
	else
		replay_device_until(replay, rr, at_ns);
}

/** The command of @rr is in its queue. */
static void replay_queued(struct replay *replay, struct replay_request *rr)
{
	const struct machine_config *config = &replay->machine->config;

	rr->state = STATE_IN_FLIGHT;
	rr->refused_ns = NEVER;
	rr->fetched = rr->posted = false;
	rr->step_ns = NEVER;
	rr->deadline_ns = replay->sim->now_ns + (rr->qid ? config->io_timeout_ns : config->admin_timeout_ns);
	rr->work.step = DEVICE_FETCH;
}

/** The controller has fetched the command of @rr, of which it was told at @rung_ns. */
static void replay_fetched(struct replay *replay, struct replay_request *rr, uint64_t rung_ns)
{
	rr->fetched = true;
	if (replay_timed(replay))
		replay_device_rung(replay, rr, rung_ns + replay->machine->config.fetch_ns);
	else if (replay->shared->following && replay_follows_ask(replay->shared, rr))
		controller_ask_completion(&replay->machine->ctrl, rr->qid, &rr->command);
	else if (rr->due)
		replay_device_until(replay, rr, replay->sim->now_ns);
	/* Only what will not be done in time needs a timer. */
	if (rr->command.loss != CONTROLLER_LOSES_NOTHING)
		replay_arm(replay, rr);
}

/** Returns whose the next command in @queue is that the controller has not fetched; there is one. NULL: the driver's own, an
 *  Abort. */
static struct replay_request *replay_next_fetched(const struct replay *replay, const struct nvme_queue *queue)
{
	const struct nvme_sqe *sqe =
		physmem_bytes(&replay->sim->mem, queue->sq_paddr + (uint64_t)queue->sq_head * NVME_SQE_BYTES);
	const struct nvme_iod *iod = &queue->iods[sqe->command_id & 0xfff];

	return nvme_is_abort(replay->nvme, iod) ? NULL : replay_of(iod);
}

void replay_rung(struct replay *replay, unsigned qid, uint64_t rung_ns)
{
	struct nvme_queue *queue = &replay->nvme->queues[qid];

	while (queue->sq_head != queue->sq_tail) {
		struct replay_request *rr = replay_next_fetched(replay, queue);
		struct controller_command abort;

		if (rr)
			replay->sim->actor = rr->req.number;
		if (!controller_execute(&replay->machine->ctrl, qid, rr ? &rr->command : &abort))
			return;
		if (rr)
			replay_fetched(replay, rr, rung_ns);
		else
			replay_abort_fetched(replay, &abort);
	}
}

/** The commands of the @count @requests, all of one queue, are in it, and the doorbell was rung at @rung_ns, at the end of a step
 *  of @step_ps without waits. */
static void replay_started(struct replay *replay, struct replay_request *const *requests, unsigned count,
			   uint64_t rung_ns, uint64_t step_ps)
{
	if (G_UNLIKELY(replay->recorded))
		replay_recorded_expect(replay, requests, count, step_ps);
	for (unsigned i = 0; i < count; i++)
		replay_queued(replay, requests[i]);
	replay_rung(replay, requests[0]->qid, rung_ns);
	/* The controller has failed, or was not told. */
	for (unsigned i = 0; i < count; i++)
		if (!requests[i]->fetched)
			replay_arm(replay, requests[i]);
}

/** Submits @rr, which has a tag, on its CPU at the current time. */
static void replay_dispatch(struct replay *replay, struct replay_request *rr)
{
	struct sim *sim = replay->sim;
	enum blk_status status;
	uint64_t begun_ns, end_ns, unwaited_ps;

	sim->actor = rr->req.number;
	sim_step_begin(sim, rr->cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	unwaited_ps = sim->cursor_ps - sim->wait_ps;
	status = replay_prepare(replay, rr);
	if (status == BLK_STS_OK)
		nvme_submit(replay->nvme, rr->qid, rr->iod, true);
	end_ns = replay_step_end(replay, SPAN_SUBMIT, begun_ns);
	if (status != BLK_STS_OK)
		replay_refused(replay, rr, status);
	else
		replay_started(replay, &rr, 1, end_ns, sim->cursor_ps - sim->wait_ps - unwaited_ps);
}

/** Requests of one CPU and queue, all with a tag, that go to the driver as a list. Begun by setting @count alone: this is done for
 *  every request, and most need hardly any of the array. */
struct replay_plug {
	struct replay_request *requests[REPLAY_PLUG_MAX];
	unsigned count;
};

/** Moves what can be prepared to @ready, in order, and tells the driver of it with one doorbell. */
static void replay_submit_ready(struct replay *replay, struct replay_plug *plug, struct replay_plug *ready)
{
	struct nvme_iod *iods[REPLAY_PLUG_MAX];
	struct replay_plug back;

	back.count = 0;
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
	struct replay_plug back;

	back.count = 0;
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
	struct replay_plug ready;
	uint64_t begun_ns, end_ns, unwaited_ps;

	ready.count = 0;
	if (plug->count == 1)
		replay_dispatch(replay, plug->requests[0]);
	if (plug->count > 1) {
		sim->actor = plug->requests[0]->req.number;
		sim_step_begin(sim, plug->requests[0]->cpu, sim->now_ns);
		begun_ns = sim_cursor_ns(sim);
		unwaited_ps = sim->cursor_ps - sim->wait_ps;
		replay_submit_ready(replay, plug, &ready);
		replay_submit_back(replay, plug, &ready, status);
		end_ns = replay_step_end(replay, SPAN_SUBMIT, begun_ns);
		if (ready.count)
			replay_started(replay, ready.requests, ready.count, end_ns,
				       sim->cursor_ps - sim->wait_ps - unwaited_ps);
		for (unsigned i = 0; i < plug->count; i++)
			replay_refused(replay, plug->requests[i], status[i]);
	}
	plug->count = 0;
}

static void replay_submit(struct replay *replay, struct replay_request *rr)
{
	if (replay_take_tag(replay, rr))
		replay_dispatch(replay, rr);
	else
		replay_wait(replay, rr);
}

void replay_submit_pieces(struct replay *replay, struct replay_request *head)
{
	struct replay_plug plug;
	uint32_t slot = head->slot;

	/* As nearly all are: nothing to gather. */
	if (head->next == NO_SLOT) {
		replay_submit(replay, head);
		return;
	}
	plug.count = 0;
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

void replay_wake(struct replay *replay, unsigned qid)
{
	struct replay_wait *wait = &replay->waiting[qid];

	while (!replay->resetting && wait->first != NO_SLOT && replay->nvme->queues[qid].free_tag_count) {
		struct replay_request *rr = replay_take_first(replay, wait);

		replay->waiting_count--;
		rr->iod = nvme_get_tag(replay->nvme, qid);
		if (!rr->retries)
			SIM_HARDWARE(replay->sim, .what = SPAN_TAG_WAIT, .req = &rr->req,
				     .from_ps = rr->start_ns * 1000, .to_ps = replay->sim->now_ns * 1000);
		replay_dispatch(replay, rr);
	}
}

/* ---- completion ---- */

void replay_unmap(struct replay *replay, struct replay_request *rr)
{
	uint64_t from_ps = replay->sim->cursor_ps;

	replay->sim->actor = rr->req.number;
	sim_charge(replay->sim, WORK_BLOCK_COMPLETE, 1);
	nvme_unmap_rq(replay->nvme, rr->iod);
	SIM_TOOK(replay->sim, .what = SPAN_FINISH, .from_ps = from_ps, .req = &rr->req);
}

/** blk_mq_sched_restart: a request of queue @qid ended, so there may be resources for those that found none. */
static void replay_restart(struct replay *replay, unsigned qid)
{
	struct replay_dispatch *dispatch = &replay->dispatch[qid];

	if (dispatch->restart && dispatch->list.first != NO_SLOT)
		replay_run_queue_at(replay, qid, replay->sim->now_ns);
	dispatch->restart = false;
}

void replay_decide(struct replay *replay, struct replay_request *rr, uint16_t status, uint64_t end_ns)
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

/** @cpu does one @work, which is @what, and nothing else. Returns when it is free again. */
static uint64_t replay_work(struct replay *replay, unsigned cpu, enum work work, enum sim_span what)
{
	uint64_t begun_ns;

	sim_step_begin(replay->sim, cpu, replay->sim->now_ns);
	begun_ns = sim_cursor_ns(replay->sim);
	sim_charge(replay->sim, work, 1);
	return replay_step_end(replay, what, begun_ns);
}

void replay_take_completions(struct replay *replay, unsigned qid, unsigned cpu)
{
	struct replay_wait batch = {NO_SLOT, NO_SLOT};
	struct sim *sim = replay->sim;
	struct nvme_iod *iod;
	uint64_t begun_ns, end_ns;
	uint16_t status;
	bool any = false;

	if (G_UNLIKELY(replay->shared->order))
		replay_save(replay->shared, "take", replay->number, qid, cpu);
	sim_step_begin(sim, cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	for (; (iod = nvme_poll_cq(replay->nvme, qid, &status)); any = true) {
		struct replay_request *rr = replay_of(iod);

		if (nvme_is_abort(replay->nvme, iod)) {
			nvme_abort_done(replay->nvme, iod);
			continue;
		}
		if (status == NVME_SC_SUCCESS && rr->req.op != REQ_OP_DRV) {
			replay_append(replay, &batch, rr);
			continue;
		}
		replay_unmap(replay, rr);
		replay_decide(replay, rr, status, sim_cursor_ns(sim));
	}
	if (any)
		nvme_ring_cq(replay->nvme, qid);
	for (uint32_t slot = batch.first; slot != NO_SLOT; slot = replay_at(replay, slot)->wait_next)
		replay_unmap(replay, replay_at(replay, slot));
	end_ns = replay_step_end(replay, SPAN_COMPLETE, begun_ns);
	while (batch.first != NO_SLOT) {
		struct replay_request *rr = replay_take_first(replay, &batch);

		if (G_UNLIKELY(replay->recorded))
			replay_recorded_learn(replay, rr, end_ns);
		replay_decide(replay, rr, NVME_SC_SUCCESS, end_ns);
	}
	replay_wake(replay, qid);
}

/** The CPU is free for an interrupt, for the thread of one (use_threaded_interrupts), or to look at a polled queue. */
static void replay_interrupt_event(struct sim *sim, uint32_t payload)
{
	uint32_t qid;
	struct replay *replay = replay_of_event(sim, EVENT_INTERRUPT, payload, &qid);
	struct replay_interrupt *interrupt = &replay->interrupts[qid];
	bool polled = replay->nvme->queues[qid].polled;
	uint64_t end_ns;

	if (!polled) {
		end_ns = interrupt->thread
				 ? replay_work(replay, interrupt->cpu, WORK_THREAD_WAKE, SPAN_THREAD_WAKE)
				 : replay_work(replay, interrupt->cpu, WORK_INTERRUPT, SPAN_INTERRUPT);
		if (replay->machine->config.threaded_interrupts && !interrupt->thread) {
			interrupt->thread = true;
			event_queue_push(&sim->events, end_ns, EVENT_INTERRUPT, payload);
			return;
		}
	}
	interrupt->raised = interrupt->thread = false;
	replay_take_completions(replay, qid, interrupt->cpu);
}

static void replay_raise(struct replay *replay, unsigned qid, unsigned cpu)
{
	replay->interrupts[qid] = (struct replay_interrupt){.raised = true, .cpu = cpu};
	replay->stats->interrupts += !replay->nvme->queues[qid].polled;
}

void replay_interrupt(struct replay *replay, unsigned qid, unsigned cpu)
{
	struct sim *sim = replay->sim;

	if (replay->interrupts[qid].raised)
		return;
	replay_raise(replay, qid, cpu);
	event_queue_push(&sim->events, MAX(sim->now_ns, sim->cpus[cpu].free_at_ns), EVENT_INTERRUPT,
			 replay_payload(replay, qid));
}

bool replay_post(struct replay *replay, struct replay_request *rr)
{
	struct controller *ctrl = &replay->machine->ctrl;

	replay->sim->actor = rr->req.number;
	if (!rr->fetched)
		return false;
	if (!ctrl->fatal &&
	    (rr->command.loss == CONTROLLER_LOSES_COMMAND || rr->command.loss == CONTROLLER_LOSES_ALL))
		return false;
	if (!controller_complete(ctrl, rr->qid, &rr->command)) {
		replay_arm(replay, rr);
		return false;
	}
	rr->posted = true;
	if (G_UNLIKELY(replay->shared->order))
		replay_save(replay->shared, "post", rr->slot, 0, 0);
	return rr->command.loss == CONTROLLER_LOSES_NOTHING || replay->nvme->queues[rr->qid].polled;
}

static void replay_completion_event(struct sim *sim, uint32_t slot)
{
	struct replay_request *rr = replay_request_of_event(sim, EVENT_COMPLETION, slot);
	struct replay *replay = rr->replay;

	/* An event of a command that an abort or a reset has ended meanwhile. */
	if (rr->state != STATE_IN_FLIGHT || rr->posted || rr->step_ns != sim->now_ns)
		return;
	if (replay_timed(replay) && rr->work.step != DEVICE_DONE) {
		replay_device_step(replay, rr, sim->now_ns, REPLAY_ASK);
		return;
	}
	if (!replay_post(replay, rr))
		return;
	/* At once, if it would be the next event anyway. */
	if (sim->cpus[rr->cpu].free_at_ns <= sim->now_ns && event_queue_next_ns(&sim->events) > sim->now_ns &&
	    !replay->interrupts[rr->qid].raised) {
		replay_raise(replay, rr->qid, rr->cpu);
		replay_interrupt_event(sim, replay_payload(replay, rr->qid));
	} else {
		replay_interrupt(replay, rr->qid, rr->cpu);
	}
}

/** asap: the controller completes @rr, and @cpu hears of it, at once. */
static void replay_complete_now(struct replay *replay, struct replay_request *rr, unsigned cpu)
{
	if (rr->posted || !replay_post(replay, rr))
		return;
	if (!replay->nvme->queues[rr->qid].polled) {
		replay->stats->interrupts++;
		replay_work(replay, cpu, WORK_INTERRUPT, SPAN_INTERRUPT);
		if (replay->machine->config.threaded_interrupts)
			replay_work(replay, cpu, WORK_THREAD_WAKE, SPAN_THREAD_WAKE);
	}
	replay_take_completions(replay, rr->qid, cpu);
}

static void replay_requeue_event(struct sim *sim, uint32_t slot)
{
	struct replay_request *rr = replay_request_of_event(sim, EVENT_REQUEUE, slot);

	replay_submit(rr->replay, rr);
}

/** blk_mq_dispatch_rq_list: tries again what was refused, in order, until one is refused again; those behind it stay. */
static void replay_run_queue_event(struct sim *sim, uint32_t payload)
{
	uint32_t qid;
	struct replay *replay = replay_of_event(sim, EVENT_RUN_QUEUE, payload, &qid);
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

void replay_trace_complete(struct replay *replay, struct replay_request *head, unsigned cpu)
{
	uint32_t slot = head->slot, next;

	replay_act_for(replay);
	replay_detach(replay, head);
	for (; slot != NO_SLOT; slot = next) {
		struct replay_request *rr = replay_at(replay, slot);

		next = rr->next;
		rr->due = true; /* if it has not got through yet, it completes as soon as it does */
		if (rr->state == STATE_IN_FLIGHT)
			replay_complete_now(replay, rr, cpu);
	}
}

void replay_handle_io(struct replay_shared *shared)
{
	sim_handle(shared->sim, EVENT_COMPLETION, replay_completion_event, shared);
	sim_handle(shared->sim, EVENT_REQUEUE, replay_requeue_event, shared);
	sim_handle(shared->sim, EVENT_INTERRUPT, replay_interrupt_event, shared);
	sim_handle(shared->sim, EVENT_RUN_QUEUE, replay_run_queue_event, shared);
}
