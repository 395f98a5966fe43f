/* SPDX-License-Identifier: MIT */
/*
 * Commands whose time is over: the driver polls, aborts, and at last resets the controller. Source: nvme_timeout() and
 * nvme_dev_disable() in drivers/nvme/host/pci.c, blockdma-facts sections 6.11 and 6.14.
 */
#include "sim/machine/replay-internal.h"

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
	end_ns = replay_step_end(replay, SPAN_RESET, begun_ns);
	for (unsigned tag = 0; tag < NVME_ADMIN_DEPTH; tag++)
		replay->aborts[tag].done_ns = NEVER;
	event_queue_push(&sim->events, end_ns + replay->machine->config.reset_ns, EVENT_RESET,
			 replay_payload(replay, 0));
}

static void replay_reset_event(struct sim *sim, uint32_t payload)
{
	uint32_t unused;
	struct replay *replay = replay_of_event(sim, EVENT_RESET, payload, &unused);

	replay->machine->ctrl.fatal = false;
	replay->resetting = false;
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay_wake(replay, qid);
}

/* A controller that fails meanwhile, or does not hear of the Abort, is reset at the next time-out. */
void replay_abort_fetched(struct replay *replay, const struct controller_command *command)
{
	unsigned tag = command->command_id & 0xfff;
	uint64_t done_ns = replay->sim->now_ns + replay->machine->config.fetch_ns;

	replay->aborts[tag] = (struct replay_abort){*command, done_ns};
	event_queue_push(&replay->sim->events, done_ns, EVENT_ABORT, replay_payload(replay, tag));
}

/** Returns the request that the Abort @command is about, if the controller has it. */
static struct replay_request *replay_abort_target(struct replay *replay, const struct controller_command *command)
{
	struct nvme_iod *iod = &replay->nvme->queues[command->abort_qid].iods[command->abort_id & 0xfff];
	struct replay_request *rr = iod->req ? replay_of(iod) : NULL;

	if (!rr || iod->sqe.command_id != command->abort_id || !rr->fetched || rr->posted ||
	    rr->command.loss == CONTROLLER_LOSES_ALL)
		return NULL;
	return rr;
}

/** The controller is done with an Abort, and so with the command that was aborted, if there was one. */
static void replay_abort_event(struct sim *sim, uint32_t payload)
{
	uint32_t tag;
	struct replay *replay = replay_of_event(sim, EVENT_ABORT, payload, &tag);
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
	if (controller_complete(&replay->machine->ctrl, 0, &abort->command))
		replay_interrupt(replay, 0, sim->cpu);
}

/** nvme_timeout: a controller that failed is reset; else the queue is polled, and then the driver decides. */
static void replay_timeout_event(struct sim *sim, uint32_t slot)
{
	struct replay_request *rr = replay_request_of_event(sim, EVENT_TIMEOUT, slot);
	struct replay *replay = rr->replay;
	const struct machine_config *config = &replay->machine->config;
	enum nvme_timeout decision;
	uint64_t begun_ns;

	if (rr->state != STATE_IN_FLIGHT || rr->deadline_ns != sim->now_ns)
		return;
	sim->actor = rr->req.number;
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
	replay_step_end(replay, SPAN_TIMEOUT, begun_ns);
	if (decision == NVME_TIMEOUT_RESET) {
		replay_reset(replay, rr->cpu);
		return;
	}
	if (decision == NVME_TIMEOUT_ABORT)
		replay_rung(replay, 0, sim->now_ns);
	rr->deadline_ns = sim->now_ns + (rr->qid ? config->io_timeout_ns : config->admin_timeout_ns);
	replay_arm(replay, rr);
}

void replay_handle_timeouts(struct replay_shared *shared)
{
	sim_handle(shared->sim, EVENT_TIMEOUT, replay_timeout_event, shared);
	sim_handle(shared->sim, EVENT_ABORT, replay_abort_event, shared);
	sim_handle(shared->sim, EVENT_RESET, replay_reset_event, shared);
}
