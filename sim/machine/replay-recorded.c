/* SPDX-License-Identifier: MIT */
/*
 * nvme.service = recorded: a recorded latency goes from the submission of a request to its end, and so holds what the CPU
 * takes for it. Before the device that is known; after it, it is expected: as little as any request of its direction and size
 * took so far, which is one that waited for nothing.
 */
#include "sim/machine/replay-internal.h"

struct replay_recorded {
	/* By direction (write) and size: from the device's end to the CPU's; 0: not known. */
	uint64_t least_ns[2][SERVICE_CLASSES];
};

struct replay_recorded *replay_recorded_new(const struct replay *replay)
{
	return replay->device.service.recorded ? g_new0(struct replay_recorded, 1) : NULL;
}

static uint64_t *replay_recorded_least(const struct replay *replay, const struct replay_request *rr)
{
	return &replay->recorded->least_ns[rr->req.to_device][service_class(rr->req.bytes)];
}

/** Returns what the CPU takes before the device without an IOMMU, for @count commands with one doorbell, in ps. */
static uint64_t replay_submit_ps(const struct sim *sim, unsigned count)
{
	return (uint64_t)count * sim->cost_ps[WORK_BLOCK_SUBMIT] + sim->cost_ps[WORK_DOORBELL];
}

/** Returns what it takes after the device without an IOMMU, for a request on queue @qid, in ps. */
static uint64_t replay_complete_ps(const struct replay *replay, unsigned qid)
{
	const struct sim *sim = replay->sim;
	uint64_t ps = (uint64_t)sim->cost_ps[WORK_DOORBELL] + sim->cost_ps[WORK_BLOCK_COMPLETE];

	if (replay->nvme->queues[qid].polled)
		return ps;
	ps += sim->cost_ps[WORK_INTERRUPT];
	return replay->machine->config.threaded_interrupts ? ps + sim->cost_ps[WORK_THREAD_WAKE] : ps;
}

void replay_recorded_expect(const struct replay *replay, struct replay_request *const *requests,
			    unsigned count, uint64_t step_ps)
{
	const struct machine_config *config = &replay->machine->config;
	struct replay_request *head = replay_at(replay, requests[0]->head);
	bool same = config->recorded_iommu == RECORDED_IOMMU_SAME;

	/* While the CPU submits the next pieces the device is busy with the first. */
	if (requests[0] == head)
		head->work.submit_ps = same ? step_ps : replay_submit_ps(replay->sim, count);
	for (unsigned i = 0; i < count; i++) {
		struct replay_request *rr = requests[i];
		uint64_t least_ns = same ? *replay_recorded_least(replay, rr) : 0;
		uint64_t complete_ns = least_ns ? least_ns : replay_complete_ps(replay, rr->qid) / 1000;

		rr->work.cpu_ns = head->work.submit_ps / 1000 + config->fetch_ns + complete_ns;
	}
}

void replay_recorded_learn(struct replay *replay, const struct replay_request *rr, uint64_t end_ns)
{
	uint64_t *least_ns = replay_recorded_least(replay, rr), took_ns = end_ns - rr->step_ns;

	/* Its interrupt was lost: it waited for its time-out. */
	if (rr->command.loss != CONTROLLER_LOSES_NOTHING)
		return;
	*least_ns = *least_ns ? MIN(*least_ns, took_ns) : took_ns;
}
