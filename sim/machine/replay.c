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

/** Returns when something is to be done beside the events. */
static uint64_t replay_stop_ns(const struct replay_shared *shared)
{
	return MIN(MIN(shared->timeline_next_ns, shared->snap_next_ns), shared->warm_next_ns);
}

/** Moves simulated time to @until_ns, if that lies ahead: events, rows of the time line and snapshots, each at its time. */
static bool replay_advance(struct replay_shared *shared, uint64_t until_ns, GError **error)
{
	struct sim *sim = shared->sim;

	if (until_ns > REPLAY_TIME_MAX_NS)
		return sim_error_plain(error, "more than 200 days of simulated time") == 0;
	while (replay_stop_ns(shared) <= until_ns) {
		uint64_t stop_ns = replay_stop_ns(shared);

		sim_run_until(sim, MAX(stop_ns, sim->now_ns));
		if (shared->warm_next_ns == stop_ns)
			replay_warm(shared);
		if (shared->timeline_next_ns == stop_ns)
			replay_close_row(shared, until_ns);
		if (shared->snap_next_ns == stop_ns && !replay_snapshot_of_time(shared, error))
			return false;
	}
	sim_run_until(sim, MAX(until_ns, sim->now_ns));
	return true;
}

static void replay_tick(struct replay_shared *shared)
{
	const struct replay_options *options = shared->options;

	if (options->progress && shared->stats->issued % 4096 == 0)
		options->progress(options->progress_data, shared->stats->issued);
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

	if ((record->op != IO_READ && record->op != IO_WRITE) || replay_whole_blocks(replay, record))
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
			       " bytes at sector %" G_GUINT64_FORMAT
			       ", is not of whole blocks of %u bytes: give another nvme.logical-block",
			       input_path(io_stream_input(stream)), record->number, record->bytes,
			       record->lba, block) == 0;
}

/** What is recorded as another device's memory must be that here, too. Whose the rest is the address tells, as the recordings
 *  of most formats do not; but each segment is one's. */
static bool replay_check_p2p(const struct replay *replay, const struct io_stream *stream,
			     const struct io_record *record, const struct io_segment *segment, GError **error)
{
	const struct config_range *p2p = &replay->machine->config.p2p;
	uint64_t first = segment->paddr, last = first + segment->len_bytes - 1;
	bool there = p2p->last != 0, told = segment->flags & IO_SEGMENT_P2P;

	if (there && first >= p2p->first && last <= p2p->last)
		return true;
	if (!told && !(there && first <= p2p->last && last >= p2p->first))
		return true;
	return sim_error_plain(error,
			       "%s: request %" G_GUINT64_FORMAT " has %smemory at 0x%" G_GINT64_MODIFIER
			       "x-0x%" G_GINT64_MODIFIER "x, which is not within machine.p2p: give %s, or another "
			       "segments.layout",
			       input_path(io_stream_input(stream)), record->number, told ? "peer-to-peer " : "",
			       first, last, there ? "a larger one" : "that") == 0;
}

/** Recorded integrity data must be what this controller's format asks for, and all memory where the machine has it. */
static bool replay_check_segments(const struct replay *replay, const struct io_stream *stream,
				  const struct io_record *record, GError **error)
{
	const struct nvme_config *config = &replay->nvme->config;
	uint64_t wanted = record->bytes / config->logical_block_bytes * config->meta_bytes, bytes = 0;
	uint64_t layout = replay->machine->config.layout;
	uint32_t count = 0;

	if (layout != LAYOUT_RECORDED && layout != LAYOUT_RECORDED_MIX)
		return true;
	for (uint32_t i = 0; i < record->segment_count; i++) {
		if (!replay_check_p2p(replay, stream, record, &record->segments[i], error))
			return false;
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
	       replay_check_segments(replay, stream, record, error);
}

/* ---- the next step ---- */

/** Whether the trace has completed a request that is still known by its slot there. */
static bool replay_knows(const struct replay *replay)
{
	return g_array_index(replay->by_trace_slot, uint32_t, replay->record->slot) != NO_SLOT;
}

/** Returns when the step that the trace has next is to be taken, unless there is more to wait for. */
static uint64_t replay_step_ns(const struct replay *replay)
{
	const struct sim *sim = replay->sim;

	if (replay->step == IO_COMPLETE)
		return replay->complete.time_ns;
	/* Closed: as soon as the CPU is free. */
	if (replay->options->mode == REPLAY_CLOSED)
		return sim->cpus[replay->record->cpu % sim->cpu_count].free_at_ns;
	return replay->record->time_ns;
}

/** Reads what the trace has next: with asap issues and completions, else issues alone. */
static bool replay_fetch(struct replay *replay, GError **error)
{
	struct replay_shared *shared = replay->shared;
	uint64_t limit = replay->options->limit;

	do
		replay->step = io_transform_next(replay->trace, &replay->record, &replay->complete, error);
	while (replay->step == IO_COMPLETE &&
	       (replay_timed(replay) || replay->options->order || !replay_knows(replay)));
	if (replay->step == IO_TROUBLE)
		return false;
	if (replay->step == IO_END || (replay->step == IO_ISSUE && limit && shared->stats->issued == limit))
		return true;
	if (replay->step == IO_ISSUE &&
	    !replay_check_record(replay, io_transform_stream(replay->trace), replay->record, error))
		return false;
	replay->ready_ns = replay_step_ns(replay);
	replay->held_back = false;
	return true;
}

/** Whether nothing but time keeps the next request of the trace back: there is room in its queue, or, open, among those that
 *  wait. Memory stays constant that way when the device is slower than the trace. */
static bool replay_has_room(const struct replay *replay)
{
	const struct replay_options *options = replay->options;
	unsigned qid;

	if (replay->step == IO_COMPLETE || options->mode == REPLAY_ASAP)
		return true;
	if (options->depth && replay->in_flight >= options->depth)
		return false;
	if (options->mode == REPLAY_OPEN)
		return replay->waiting_count < REPLAY_WAITING_MAX;
	qid = replay_queue_of(replay, replay->record);
	return replay->waiting[qid].first == NO_SLOT && replay->nvme->queues[qid].free_tag_count;
}

/** Returns whose step is next among those that can be taken now, or, with @ever, at any time: the earliest, then who has issued
 *  the fewest requests, then the first. NULL: there is none. */
static struct replay *replay_next(const struct replay_shared *shared, bool ever)
{
	struct replay *next = NULL;

	for (unsigned i = 0; i < shared->count; i++) {
		struct replay *replay = &shared->replays[i];

		if (replay->step == IO_END)
			continue;
		if (!ever && (replay->ready_ns > shared->sim->now_ns || !replay_has_room(replay)))
			continue;
		if (!next || replay->ready_ns < next->ready_ns ||
		    (replay->ready_ns == next->ready_ns && replay->part->issued < next->part->issued))
			next = replay;
	}
	return next;
}

/** Returns until when simulated time has to pass while no step can be taken: the next that is ready, or the next event, which
 *  may make room. */
static uint64_t replay_until_ns(const struct replay_shared *shared)
{
	uint64_t until_ns = event_queue_next_ns(&shared->sim->events);

	for (unsigned i = 0; i < shared->count; i++) {
		const struct replay *replay = &shared->replays[i];

		if (replay->step != IO_END && replay->ready_ns > shared->sim->now_ns)
			until_ns = MIN(until_ns, replay->ready_ns);
	}
	return until_ns;
}

/** Counts the requests that come later than their time stamp, because so many wait already. */
static void replay_count_held_back(struct replay_shared *shared)
{
	for (unsigned i = 0; i < shared->count; i++) {
		struct replay *replay = &shared->replays[i];

		if (replay->step == IO_END || replay->held_back ||
		    replay->waiting_count < REPLAY_WAITING_MAX || replay->options->mode != REPLAY_OPEN ||
		    replay->ready_ns > shared->sim->now_ns)
			continue;
		replay->held_back = true;
		shared->stats->held_back++;
	}
}

/** Moves simulated time to where the next step can be taken, and tells whose it is. @earliest is the one that it would be with
 *  room for all. */
static bool replay_wait_for(struct replay_shared *shared, const struct replay *earliest,
			    struct replay **ret_replay, GError **error)
{
	uint64_t until_ns = earliest->ready_ns;

	do {
		if (!replay_advance(shared, until_ns, error))
			return false;
		*ret_replay = replay_next(shared, false);
		if (*ret_replay)
			return true;
		replay_count_held_back(shared);
		until_ns = replay_until_ns(shared);
	} while (true);
}

static void replay_take_step(struct replay *replay)
{
	uint32_t slot;

	if (replay->step == IO_ISSUE) {
		if (G_UNLIKELY(replay->shared->order))
			replay_save(replay->shared, "issue", replay->number, 0, 0);
		replay_issue(replay, replay->record);
		replay->part->issued++;
		replay_tick(replay->shared);
		return;
	}
	/* Time may have passed the request by: it failed, or an event completed it. */
	slot = g_array_index(replay->by_trace_slot, uint32_t, replay->record->slot);
	if (slot != NO_SLOT)
		replay_trace_complete(replay, replay_at(replay, slot),
				      replay->complete.cpu % replay->sim->cpu_count);
}

bool replay_step(struct replay *replay, GError **error)
{
	replay_take_step(replay);
	return replay_fetch(replay, error);
}

/** Takes all steps of all traces, up to the limit. */
static bool replay_steps(struct replay_shared *shared, GError **error)
{
	uint64_t limit = shared->options->limit;
	struct replay *next;

	for (unsigned i = 0; i < shared->count; i++)
		if (!replay_fetch(&shared->replays[i], error))
			return false;
	while ((next = replay_next(shared, true))) {
		if (next->step == IO_ISSUE && limit && shared->stats->issued == limit)
			return true;
		if (next->step == IO_ISSUE && !replay_snapshot_of_count(shared, error))
			return false;
		if (next->step == IO_ISSUE)
			replay_warm_by_count(shared);
		if (!replay_wait_for(shared, next, &next, error))
			return false;
		replay_take_step(next);
		if (!replay_fetch(next, error))
			return false;
	}
	return true;
}

/* ---- the end ---- */

/** Waits until nothing is in flight, or, asap, until only what the trace never completed is. */
static bool replay_drain(struct replay_shared *shared, GError **error)
{
	const struct event_queue *events = &shared->sim->events;

	while (shared->in_flight && event_queue_next_ns(events) != UINT64_MAX)
		if (!replay_advance(shared, event_queue_next_ns(events), error))
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
static bool replay_finish_open(struct replay_shared *shared, GError **error)
{
	g_autoptr(GPtrArray) open = g_ptr_array_new();

	for (guint i = 0; i < shared->requests->len; i++) {
		struct replay_request *rr = g_ptr_array_index(shared->requests, i);

		if (replay_is_open(rr))
			g_ptr_array_add(open, rr);
	}
	g_ptr_array_sort(open, replay_older);
	for (guint i = 0; i < open->len; i++) {
		struct replay_request *head = g_ptr_array_index(open, i);

		/* Waking a waiting request may have ended it meanwhile. */
		if (head->pieces_left)
			replay_trace_complete(head->replay, head, head->cpu);
	}
	if (!replay_drain(shared, error))
		return false;
	g_assert(shared->in_flight == 0);
	return true;
}

/** Counts the snapshots that were asked for later than the run came. */
static void replay_count_missed(struct replay_shared *shared)
{
	const struct replay_options *options = shared->options;

	for (unsigned i = shared->snap_ns_at; options->snap_ns && options->snap_ns[i] != UINT64_MAX; i++)
		shared->stats->snapshots_missed++;
	for (unsigned i = shared->snap_count_at; options->snap_count && options->snap_count[i] != UINT64_MAX;
	     i++)
		shared->stats->snapshots_missed++;
}

/** The steps of all traces in the order of another run. */
static bool replay_loop_ordered(struct replay_shared *shared, GError **error)
{
	const struct replay_options *options = shared->options;

	for (unsigned i = 0; i < shared->count; i++)
		if (!replay_fetch(&shared->replays[i], error))
			return false;
	if (!replay_follow(shared, error) || (options->dir && !replay_snapshot(shared, "end.snap", error)))
		return false;
	if (options->at_end)
		options->at_end(options->at_end_data, shared->machine);
	if (!replay_finish_open(shared, error))
		return false;
	replay_timeline_row(shared);
	return true;
}

static bool replay_loop(struct replay_shared *shared, GError **error)
{
	const struct replay_options *options = shared->options;
	bool timed = options->mode != REPLAY_ASAP;

	if (options->order)
		return replay_loop_ordered(shared, error);
	if (!replay_save_begin(shared, error) || !replay_steps(shared, error) || !replay_snapshot_of_count(shared, error))
		return false;
	/* asap: what the trace has completed already, and only that, is done before the last snapshot. */
	if (timed ? !replay_drain(shared, error) : !replay_advance(shared, shared->sim->now_ns, error))
		return false;
	if (!replay_save_end(shared, error))
		return false;
	if (options->dir && !replay_snapshot(shared, "end.snap", error))
		return false;
	if (!replay_drain(shared, error))
		return false;
	if (options->at_end)
		options->at_end(options->at_end_data, shared->machine);
	if (!timed && !replay_finish_open(shared, error))
		return false;
	replay_timeline_row(shared);
	replay_count_missed(shared);
	return true;
}

/* ---- a run ---- */

/** Seeds @prng for @name; each controller has numbers of its own. */
static void replay_seed(const struct replay *replay, struct prng *prng, const char *name)
{
	g_autofree char *own =
		replay->number ? g_strdup_printf("%s %u", name, replay->number) : g_strdup(name);

	prng_init_own(prng, replay->sim->seed, replay->machine->config.segment_seed, own);
}

static void replay_init(struct replay *replay)
{
	const struct machine_config *config = &replay->machine->config;

	replay->by_trace_slot = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	replay->waiting = g_new(struct replay_wait, replay->nvme->queue_count);
	replay->dispatch = g_new(struct replay_dispatch, replay->nvme->queue_count);
	replay->interrupts = g_new0(struct replay_interrupt, replay->nvme->queue_count);
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++) {
		replay->waiting[qid] = (struct replay_wait){NO_SLOT, NO_SLOT};
		replay->dispatch[qid] = (struct replay_dispatch){.list = {NO_SLOT, NO_SLOT}, .run_ns = NEVER};
	}
	device_time_init(&replay->device, config, replay->number, replay->sim->seed, replay->nvme->queue_count,
			 &replay->shared->walkers, replay->recording);
	replay->recorded = replay_recorded_new(replay);
	replay_seed(replay, &replay->prng, "segments");
	replay_seed(replay, &replay->form_prng, "recorded-mix");
	replay->rule = (struct segment_rule){.layout = machine_config_made_layout(config),
					     .alignment = config->segment_alignment,
					     .offset = config->segment_offset};
}

static void replay_add_lock(struct sim_lock *sum, const struct sim_lock *lock)
{
	sum->taken += lock->taken;
	sum->waits += lock->waits;
	sum->wait_ns_sum += lock->wait_ns_sum;
	sum->wait_ns_max = MAX(sum->wait_ns_max, lock->wait_ns_max);
	sum->hold_ps_sum += lock->hold_ps_sum;
}

/** Adds the locks of a controller and its domain. */
static void replay_collect_own_locks(struct replay *replay)
{
	const struct machine *machine = replay->machine;
	struct sim_lock *locks = replay->stats->locks;

	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay_add_lock(&locks[LOCK_SUBMISSION], &replay->nvme->queues[qid].lock);
	if (machine->dev.fq)
		fq_add_locks(machine->dev.fq, &locks[LOCK_FLUSH_QUEUE], replay_add_lock);
	if (!machine->domain)
		return;
	replay_add_lock(&locks[LOCK_IOVA_TREE], iova_tree_lock(machine->iovad));
	for (unsigned order = 0; order < IOVA_ORDERS && machine->config.allocator == ALLOCATOR_RCACHE; order++)
		replay_add_lock(&locks[LOCK_IOVA_DEPOT], iova_depot_lock(machine->iovad, order));
}

void replay_collect_locks(struct replay_shared *shared)
{
	static const char *const names[REPLAY_LOCKS] = {"IOVA tree", "IOVA depot", "invalidation queue",
							"invalidation hardware", "submission queue", "flush queue"};
	struct sim_lock *locks = shared->stats->locks;

	memset(locks, 0, sizeof(shared->stats->locks));
	for (unsigned i = 0; i < REPLAY_LOCKS; i++)
		locks[i].name = names[i];
	for (unsigned i = 0; i < shared->count; i++)
		replay_collect_own_locks(&shared->replays[i]);
	if (!shared->machine->domain)
		return;
	replay_add_lock(&locks[LOCK_INVALIDATION], &shared->machine->iommu->queue_lock);
	replay_add_lock(&locks[LOCK_INVALIDATION_HARDWARE], &shared->machine->iommu->hardware);
}

static void replay_finish(struct replay *replay)
{
	device_time_finish(&replay->device);
	g_free(replay->recorded);
	g_free(replay->interrupts);
	g_free(replay->dispatch);
	g_free(replay->waiting);
	segments_forget(&replay->forms);
	bio_vec_list_finish(&replay->scratch);
	bio_vec_list_finish(&replay->meta_scratch);
	g_array_unref(replay->by_trace_slot);
}

/** Says which request is being served: for the log of faults, hence seldom. */
static bool replay_tell_request(void *data, const struct sim *sim, struct fault_request *ret_request)
{
	const struct replay_shared *shared = data;

	for (guint i = 0; i < shared->requests->len; i++) {
		const struct replay_request *head = g_ptr_array_index(shared->requests, i), *piece = head;

		if (!replay_is_open(head) || head->req.number != sim->actor ||
		    head->replay->machine->name != sim->device)
			continue;
		*ret_request =
			(struct fault_request){req_op_names[head->req.op], head->req.sector, head->req.bytes};
		/* The list of a discard is the driver's own. */
		if (head->req.op == REQ_OP_DISCARD)
			ret_request->bytes = 0;
		while (piece->next != NO_SLOT) {
			piece = replay_at(head->replay, piece->next);
			ret_request->bytes += piece->req.bytes;
		}
		return true;
	}
	return false;
}

/** Says which request holds data at @paddr, the latest where several do: asked when an access went astray, hence seldom. */
static bool replay_tell_owner(void *data, uint64_t paddr, uint64_t *ret_number)
{
	const struct replay_shared *shared = data;
	uint64_t latest = 0;

	for (guint i = 0; i < shared->requests->len; i++) {
		const struct replay_request *rr = g_ptr_array_index(shared->requests, i);

		if (rr->state != STATE_FREE && rr->req.number > latest && request_holds(&rr->req, paddr))
			latest = rr->req.number;
	}
	*ret_number = latest;
	return latest != 0;
}

static void replay_shared_init(struct replay_shared *shared, struct io_transform *const *traces,
			       struct replay_part *parts)
{
	struct machine *machine = shared->machine;

	for (; machine; machine = machine->next)
		shared->count++;
	shared->replays = g_new0(struct replay, shared->count);
	shared->requests = g_ptr_array_new_with_free_func(replay_request_free);
	shared->free_slot = NO_SLOT;
	shared->timeline_next_ns = shared->machine->config.timeline_ns;
	walkers_init(&shared->walkers, shared->sim, &shared->machine->config);
	machine = shared->machine;
	for (unsigned i = 0; i < shared->count; i++, machine = machine->next) {
		parts[i] = (struct replay_part){0};
		shared->replays[i] = (struct replay){.shared = shared,
						     .number = i,
						     .machine = machine,
						     .sim = machine->sim,
						     .nvme = machine->nvme,
						     .options = shared->options,
						     .stats = shared->stats,
						     .part = &parts[i],
						     .trace = traces[i],
						     .recording = shared->options->recordings
									  ? shared->options->recordings[i]
									  : NULL};
		replay_init(&shared->replays[i]);
	}
	replay_handle_io(shared);
	replay_handle_timeouts(shared);
	replay_plan_snapshots(shared, 0, 0);
	if (shared->sim->fault_rules)
		fault_rules_tell(shared->sim->fault_rules, replay_tell_request, shared);
	shared->sim->mem.owner = replay_tell_owner;
	shared->sim->mem.owner_data = shared;
	replay_take_cpu(shared->sim, &shared->stats->cpu);
	shared->warm_next_ns = shared->options->warmup_ns ? shared->options->warmup_ns : UINT64_MAX;
}

static void replay_shared_finish(struct replay_shared *shared)
{
	if (shared->sim->fault_rules)
		fault_rules_tell(shared->sim->fault_rules, NULL, NULL);
	shared->sim->mem.owner = NULL;
	replay_save_abandon(shared);
	replay_collect(shared);
	for (unsigned i = 0; i < shared->count; i++)
		replay_finish(&shared->replays[i]);
	sim_handle(shared->sim, EVENT_COMPLETION, NULL, NULL);
	sim_handle(shared->sim, EVENT_REQUEUE, NULL, NULL);
	for (unsigned kind = EVENT_INTERRUPT; kind <= EVENT_RUN_QUEUE; kind++)
		sim_handle(shared->sim, kind, NULL, NULL);
	g_ptr_array_unref(shared->requests);
	g_free(shared->replays);
}

bool replay_run(struct machine *machine, struct io_transform *const *traces,
		const struct replay_options *options, struct replay_stats *ret_stats,
		struct replay_part *ret_parts, GError **error)
{
	struct replay_shared shared = {
		.sim = machine->sim, .machine = machine, .options = options, .stats = ret_stats};
	bool ok;

	memset(ret_stats, 0, sizeof(*ret_stats));
	replay_shared_init(&shared, traces, ret_parts);
	if (options->dir) {
		g_autofree char *path = g_build_filename(options->dir, "timeline.csv", NULL);

		shared.timeline = output_new(path, error);
		if (!shared.timeline) {
			replay_shared_finish(&shared);
			return false;
		}
		output_puts(shared.timeline, REPLAY_TIMELINE_HEADER);
	}
	ok = replay_loop(&shared, error);
	if (shared.timeline) {
		if (ok)
			ok = output_commit(shared.timeline, error);
		else
			output_abandon(shared.timeline);
	}
	replay_shared_finish(&shared);
	return ok;
}
