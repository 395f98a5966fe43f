/* SPDX-License-Identifier: MIT */
#include "sim/machine/replay.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/io/output.h"
#include "sim/machine/segments.h"

const char *const replay_mode_names[] = {"open", "closed", "asap", NULL};

/* What blk-mq waits before it runs a queue again that had no resource. */
#define REPLAY_REQUEUE_NS UINT64_C(3000000)
/* A request that finds no resource so often never will: the run goes on without it. */
#define REPLAY_REQUEUES_MAX 100
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
	GArray *vecs;
	struct nvme_iod *iod;
	struct controller_command command;
	uint64_t start_ns;
	uint32_t slot;
	uint32_t trace_slot; /* of the record, for a completion that the trace tells */
	uint32_t head;	     /* slot of the first piece; this one, if there is one piece */
	uint32_t next;	     /* slot of the next piece or in a waiting list, NO_SLOT at the end */
	uint32_t wait_next;
	uint32_t pieces_left; /* of the head */
	uint16_t qid;
	uint16_t cpu;
	uint16_t requeues;
	uint8_t state;
	uint8_t retries;
	bool due;	/* asap: the trace has completed it already */
	uint8_t status; /* enum blk_status: of the head, the first that was not OK */
};

#define NO_SLOT UINT32_MAX

struct replay_wait {
	uint32_t first, last;
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

/** The driver did not take the request: try later, or end it. */
static void replay_refused(struct replay *replay, struct replay_request *rr, enum blk_status status)
{
	struct sim *sim = replay->sim;

	nvme_put_tag(replay->nvme, rr->qid, rr->iod);
	if (status != BLK_STS_RESOURCE && status != BLK_STS_DEV_RESOURCE) {
		replay_end_piece(replay, rr, status, sim->now_ns);
		return;
	}
	if (++rr->requeues <= REPLAY_REQUEUES_MAX) {
		replay->stats->requeues++;
		replay_requeue(replay, rr, sim->now_ns + REPLAY_REQUEUE_NS);
		return;
	}
	sim_find(sim, FINDING_STUCK, NULL,
		 "request %" G_GUINT64_FORMAT " found no resource %u times: given up", rr->req.number,
		 REPLAY_REQUEUES_MAX);
	replay_end_piece(replay, rr, status, sim->now_ns);
}

/** Submits on the request's CPU at the current time. Returns false when the queue has no tag. */
static bool replay_try_submit(struct replay *replay, struct replay_request *rr)
{
	struct sim *sim = replay->sim;
	enum blk_status status;
	uint64_t begun_ns, end_ns;

	rr->iod = nvme_get_tag(replay->nvme, rr->qid);
	if (!rr->iod)
		return false;
	sim->actor = rr->req.number;
	sim_step_begin(sim, rr->cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	sim_charge(sim, WORK_BLOCK_SUBMIT, 1);
	status = nvme_prep_rq(replay->nvme, rr->iod, &rr->req, rr->qid ? 1 : 0);
	if (status == BLK_STS_OK)
		nvme_submit(replay->nvme, rr->qid, rr->iod);
	end_ns = sim_step_end(sim, begun_ns);
	if (status != BLK_STS_OK) {
		replay_refused(replay, rr, status);
		return true;
	}
	rr->state = STATE_IN_FLIGHT;
	if (!controller_execute(&replay->machine->ctrl, rr->qid, &rr->command))
		g_assert_not_reached();
	if (replay_timed(replay))
		event_queue_push(&sim->events, replay_device_ns(replay, &rr->command, end_ns),
				 EVENT_COMPLETION, rr->slot);
	else if (rr->due)
		event_queue_push(&sim->events, sim->now_ns, EVENT_COMPLETION, rr->slot);
	return true;
}

static void replay_submit(struct replay *replay, struct replay_request *rr)
{
	struct replay_wait *wait = &replay->waiting[rr->qid];

	/* Who comes later must not overtake. */
	if (wait->first == NO_SLOT && replay_try_submit(replay, rr))
		return;
	replay->stats->tag_waits++;
	replay->waiting_count++;
	rr->state = STATE_WAITING;
	rr->wait_next = NO_SLOT;
	if (wait->first == NO_SLOT)
		wait->first = rr->slot;
	else
		replay_at(replay, wait->last)->wait_next = rr->slot;
	wait->last = rr->slot;
}

/** Gives freed tags of @qid to who waits for them. */
static void replay_wake(struct replay *replay, unsigned qid)
{
	struct replay_wait *wait = &replay->waiting[qid];

	while (wait->first != NO_SLOT && replay->nvme->queues[qid].free_tag_count) {
		struct replay_request *rr = replay_at(replay, wait->first);

		wait->first = rr->wait_next;
		replay->waiting_count--;
		if (!replay_try_submit(replay, rr))
			g_assert_not_reached();
	}
}

/* ---- completion ---- */

static void replay_complete(struct replay *replay, struct replay_request *rr, unsigned cpu)
{
	struct sim *sim = replay->sim;
	struct nvme_iod *iod;
	uint64_t begun_ns, end_ns;
	uint16_t status;
	bool retry;

	sim->actor = rr->req.number;
	sim_step_begin(sim, cpu, sim->now_ns);
	begun_ns = sim_cursor_ns(sim);
	sim_charge(sim, WORK_INTERRUPT, 1);
	sim_charge(sim, WORK_BLOCK_COMPLETE, 1);
	controller_complete(&replay->machine->ctrl, rr->qid, &rr->command);
	iod = nvme_poll_cq(replay->nvme, rr->qid, &status);
	g_assert(iod == rr->iod);
	nvme_unmap_rq(replay->nvme, iod);
	end_ns = sim_step_end(sim, begun_ns);
	nvme_put_tag(replay->nvme, rr->qid, iod);
	retry = status != NVME_SC_SUCCESS && rr->retries < NVME_MAX_RETRIES;
	if (retry) {
		rr->retries++;
		replay->stats->retries++;
		rr->due = !replay_timed(replay);
		replay_requeue(replay, rr, sim->now_ns);
	} else {
		replay_end_piece(replay, rr, nvme_error_status(status), end_ns);
	}
	replay_wake(replay, rr->qid);
}

static void replay_completion_event(struct sim *sim, uint32_t slot)
{
	struct replay *replay = sim->handler_data[EVENT_COMPLETION];
	struct replay_request *rr = replay_at(replay, slot);

	replay_complete(replay, rr, rr->cpu);
}

static void replay_requeue_event(struct sim *sim, uint32_t slot)
{
	struct replay *replay = sim->handler_data[EVENT_REQUEUE];

	replay_submit(replay, replay_at(replay, slot));
}

/** asap: the trace says that the request at @head completes on @cpu. */
static void replay_trace_complete(struct replay *replay, struct replay_request *head, unsigned cpu)
{
	uint32_t slot = head->slot, next;

	replay_detach(replay, head);
	for (; slot != NO_SLOT; slot = next) {
		struct replay_request *rr = replay_at(replay, slot);

		next = rr->next;
		if (rr->state == STATE_IN_FLIGHT)
			replay_complete(replay, rr, cpu);
		else
			rr->due = true; /* has not got through yet: completes as soon as it does */
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

/** Takes the first @bytes off the segments in scratch, from *@at on with *@skip bytes of that one gone, into @vecs. */
static void replay_take_segments(GArray *scratch, uint32_t *at, uint64_t *skip, uint64_t bytes, GArray *vecs)
{
	g_array_set_size(vecs, 0);
	while (bytes) {
		struct bio_vec vec = g_array_index(scratch, struct bio_vec, *at);

		vec.paddr += *skip;
		vec.len -= *skip;
		if (vec.len > bytes) {
			vec.len = bytes;
			*skip += bytes;
		} else {
			*skip = 0;
			(*at)++;
		}
		bytes -= vec.len;
		g_array_append_val(vecs, vec);
	}
}

static unsigned replay_queue_of(const struct replay *replay, const struct io_record *record)
{
	unsigned io_queues = replay->nvme->queue_count - 1;

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
	rr->command = (struct controller_command){0};
	rr->start_ns = replay->sim->now_ns;
	rr->trace_slot = NO_SLOT;
	rr->head = rr->slot;
	rr->next = NO_SLOT;
	rr->pieces_left = 0;
	rr->qid = (uint16_t)qid;
	rr->cpu = (uint16_t)(record->cpu % replay->sim->cpu_count);
	rr->requeues = 0;
	rr->retries = 0;
	rr->state = STATE_WAITING;
	rr->due = false;
	rr->status = BLK_STS_OK;
	return rr;
}

static void replay_fill_piece(struct replay *replay, struct replay_request *rr, uint64_t bytes)
{
	rr->req.bytes = bytes;
	rr->req.vecs = (struct bio_vec *)(void *)rr->vecs->data;
	rr->req.vec_count = rr->vecs->len;
	rr->req.limits = &replay->nvme->limits;
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
		replay_take_segments(replay->scratch, &at, &skip, bytes, rr->vecs);
		replay_fill_piece(replay, rr, bytes);
	}
	return head;
}

static void replay_issue(struct replay *replay, const struct io_record *record)
{
	struct replay_stats *stats = replay->stats;
	struct replay_request *head;
	uint32_t slot, next;

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
	/* The head may end, and its pieces be freed, with the last of these: read the link before. */
	for (slot = head->slot; slot != NO_SLOT; slot = next) {
		next = replay_at(replay, slot)->next;
		replay_submit(replay, replay_at(replay, slot));
	}
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
	for (unsigned qid = 0; qid < replay->nvme->queue_count; qid++)
		replay->waiting[qid] = (struct replay_wait){NO_SLOT, NO_SLOT};
	replay->channel_free_ns = g_new0(uint64_t, config->channels);
	replay->timeline_next_ns = config->timeline_ns;
	prng_init_own(&replay->prng, sim->seed, config->segment_seed, "segments");
	sim_handle(sim, EVENT_COMPLETION, replay_completion_event, replay);
	sim_handle(sim, EVENT_REQUEUE, replay_requeue_event, replay);
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
	sim_handle(replay->sim, EVENT_COMPLETION, NULL, NULL);
	sim_handle(replay->sim, EVENT_REQUEUE, NULL, NULL);
	g_free(replay->channel_free_ns);
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
