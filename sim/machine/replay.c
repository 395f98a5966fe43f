/* SPDX-License-Identifier: MIT */
#include "sim/machine/replay.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/machine/replay-internal.h"

const char *const replay_mode_names[] = {"open", "closed", "asap", NULL};

/* Requests that wait for a tag before the trace itself has to wait: memory stays constant when the device is slower. */
#define REPLAY_WAITING_MAX 16384
/* Simulated time at most: costs are added up in picoseconds, in 64 bits. */
#define REPLAY_TIME_MAX_NS (UINT64_C(200) * 86400 * 1000000000)

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

/** Recorded integrity data must be what this controller's format asks for, and all memory the host's own. */
static bool replay_check_segments(const struct replay *replay, const struct io_stream *stream,
				  const struct io_record *record, GError **error)
{
	const struct nvme_config *config = &replay->nvme->config;
	uint64_t wanted = record->bytes / config->logical_block_bytes * config->meta_bytes, bytes = 0;
	uint32_t count = 0;

	for (uint32_t i = 0; i < record->segment_count; i++) {
		if (record->segments[i].flags & IO_SEGMENT_P2P)
			return sim_error_plain(
				       error,
				       "%s: request %" G_GUINT64_FORMAT
				       " has peer-to-peer memory, which no machine here has: give another "
				       "segments.layout",
				       input_path(io_stream_input(stream)), record->number) == 0;
		if (record->segments[i].flags & IO_SEGMENT_METADATA) {
			bytes += record->segments[i].len_bytes;
			count++;
		}
	}
	if (!count || (bytes == wanted && count <= replay->nvme->limits.max_integrity_segments &&
		       (record->op == IO_READ || record->op == IO_WRITE)))
		return true;
	return sim_error_plain(
		       error,
		       "%s: request %" G_GUINT64_FORMAT " has %" G_GUINT64_FORMAT
		       " bytes of metadata in %u segments, and this controller takes %" G_GUINT64_FORMAT
		       " in %u: see nvme.metadata, nvme.metadata-sgl",
		       input_path(io_stream_input(stream)), record->number, bytes, count, wanted,
		       replay->nvme->limits.max_integrity_segments) == 0;
}

/** Whether this machine can replay @record. */
static bool replay_check_record(const struct replay *replay, const struct io_stream *stream,
				const struct io_record *record, GError **error)
{
	return replay_check_time(stream, record, error) && replay_check_cpu(replay, stream, record, error) &&
	       replay_check_blocks(replay, stream, record, error) &&
	       (replay->machine->config.layout != LAYOUT_RECORDED ||
		replay_check_segments(replay, stream, record, error));
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
	replay->meta_scratch = g_array_new(FALSE, FALSE, sizeof(struct bio_vec));
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
	replay_handle_io(replay);
	replay_handle_timeouts(replay);
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
	g_array_unref(replay->meta_scratch);
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
