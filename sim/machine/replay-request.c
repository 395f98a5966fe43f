/* SPDX-License-Identifier: MIT */
/*
 * A record of the trace becomes requests to the driver: where its data lie, which queue, cut as the device's limits say.
 */
#include "sim/machine/replay-internal.h"

void replay_request_free(void *data)
{
	struct replay_request *rr = data;

	bio_vec_list_finish(&rr->vecs);
	bio_vec_list_finish(&rr->meta_vecs);
	g_free(rr);
}

static struct replay_request *replay_new_request(struct replay *replay)
{
	GPtrArray *requests = replay->shared->requests;
	struct replay_request *rr;

	if (replay->shared->free_slot != NO_SLOT) {
		rr = replay_at(replay, replay->shared->free_slot);
		replay->shared->free_slot = rr->next;
		return rr;
	}
	rr = g_new0(struct replay_request, 1);
	rr->slot = requests->len;
	g_assert(rr->slot < EVENT_PAYLOAD_MAX);
	g_ptr_array_add(requests, rr);
	return rr;
}

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

/** Puts the recorded segments of @record, data and integrity data, where they are taken from. */
static void replay_take_recorded(struct replay *replay, const struct io_record *record)
{
	for (uint32_t i = 0; i < record->segment_count; i++) {
		const struct io_segment *segment = &record->segments[i];
		bool meta = segment->flags & IO_SEGMENT_METADATA;

		bio_vec_list_add(meta ? &replay->meta_scratch : &replay->scratch, segment->paddr,
				 segment->len_bytes);
	}
}

/** Makes segments of @bytes, in the form of recorded ones if that is asked for and there are any. */
static void replay_make_segments(struct replay *replay, bool by_form, uint64_t bytes)
{
	replay->stats->made_segments++;
	if (by_form && segments_make_form(&replay->forms, &replay->form_prng, bytes, &replay->scratch))
		replay->stats->form_segments++;
	else
		segments_make(&replay->prng, &replay->rule, bytes, &replay->scratch);
}

/** Puts where the data of @record lie into replay->scratch; none for a flush and a write of zeroes. */
static void replay_gather_segments(struct replay *replay, const struct io_record *record)
{
	enum segment_layout layout = (enum segment_layout)replay->machine->config.layout;
	bool recorded = layout == LAYOUT_RECORDED || layout == LAYOUT_RECORDED_MIX;
	/* The list of a discard is the driver's own data: no example for others. */
	bool by_form = layout == LAYOUT_RECORDED_MIX && record->op != IO_DISCARD;
	uint64_t bytes = record->op == IO_DISCARD ? NVME_DSM_BYTES : record->bytes;

	replay->scratch.count = replay->meta_scratch.count = 0;
	replay->meta_at = 0;
	replay->meta_skip = 0;
	if (record->op == IO_FLUSH || record->op == IO_WRITE_ZEROES || bytes == 0)
		return;
	if (recorded)
		replay_take_recorded(replay, record);
	if (!replay->scratch.count) {
		replay_make_segments(replay, by_form, bytes);
		return;
	}
	replay->stats->recorded_segments++;
	if (by_form)
		segments_learn(&replay->forms, &replay->form_prng, bytes, &replay->scratch);
}

/** Moves @list, which belong to one request and are no longer than one may be, into the memory of the board, but for what is
 *  another device's. */
static void replay_place(const struct replay *replay, struct bio_vec_list *list)
{
	const struct machine_board *board = replay->machine->config.board;

	for (uint32_t i = 0; board && i < list->count; i++)
		if (dma_p2p(&replay->machine->dev, list->vecs[i].paddr) == DMA_P2P_NONE)
			machine_board_place(board, &list->vecs[i]);
}

unsigned replay_queue_of(const struct replay *replay, const struct io_record *record)
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

	rr->replay = replay;
	rr->req.number = replay->stats->issued + 1; /* of the run: of one trace, its own */
	rr->req.op = replay_op(record->op);
	rr->req.sector = record->lba;
	rr->req.to_device = record->to_device || record->op == IO_DISCARD;
	rr->req.special = record->op == IO_DISCARD;
	rr->work.number = replay->part->issued + 1;
	rr->work.bytes = record->bytes;
	rr->work.submit_ps = 0;
	rr->start_ns = replay->sim->now_ns;
	rr->stamp_ns = NEVER;
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

/** Makes the integrity data of @rr, if the device has any: hardly a recording has it. */
static void replay_make_metadata(struct replay *replay, struct replay_request *rr)
{
	const struct nvme_config *config = &replay->nvme->config;
	struct segment_rule rule = {.layout = replay->rule.layout};
	uint64_t bytes = 0;

	rr->meta_vecs.count = 0;
	if (config->meta_bytes && (rr->req.op == REQ_OP_READ || rr->req.op == REQ_OP_WRITE))
		bytes = rr->req.bytes / config->logical_block_bytes * config->meta_bytes;
	if (bytes > (uint64_t)replay->nvme->limits.max_integrity_segments * FRAME_SIZE)
		rule.layout = LAYOUT_CONTIGUOUS;
	if (bytes && replay->meta_scratch.count)
		bio_vecs_take(&replay->meta_scratch, &replay->meta_at, &replay->meta_skip, bytes,
			      &rr->meta_vecs);
	else if (bytes)
		segments_make(&replay->prng, &rule, bytes, &rr->meta_vecs);
	rr->req.meta_bytes = bytes;
	rr->req.meta_vecs = rr->meta_vecs.vecs;
	rr->req.meta_vec_count = rr->meta_vecs.count;
	replay_place(replay, &rr->meta_vecs);
}

static void replay_fill_piece(struct replay *replay, struct replay_request *rr, uint64_t bytes)
{
	replay_place(replay, &rr->vecs);
	rr->req.bytes = bytes;
	rr->req.vecs = rr->vecs.vecs;
	rr->req.vec_count = rr->vecs.count;
	rr->req.limits = &replay->nvme->limits;
	replay_make_metadata(replay, rr);
	request_prepare(&rr->req);
}

/** Cuts the segments in scratch into requests that the device takes. Returns the head. */
static struct replay_request *replay_make_requests(struct replay *replay, const struct io_record *record)
{
	unsigned qid = replay_queue_of(replay, record);
	struct replay_request *head = replay_make_piece(replay, record, qid), *last = head;
	uint32_t at = 0;
	uint64_t skip = 0;

	head->vecs.count = 0;
	head->pieces_left = 1;
	if (replay->scratch.count == 0)
		replay_fill_piece(replay, head, 0);
	while (at < replay->scratch.count) {
		const struct bio_vec *vecs = &replay->scratch.vecs[at];
		uint64_t bytes =
			request_split_bytes(vecs, replay->scratch.count - at, skip, &replay->nvme->limits);
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
		bio_vecs_take(&replay->scratch, &at, &skip, bytes, &rr->vecs);
		replay_fill_piece(replay, rr, bytes);
	}
	return head;
}

bool replay_whole_blocks(const struct replay *replay, const struct io_record *record)
{
	/* A power of two. */
	uint64_t mask = replay->nvme->config.logical_block_bytes - 1;

	if (record->op == IO_FLUSH || record->op == IO_PASSTHROUGH)
		return true;
	return !(record->bytes & mask) && !(record->lba & mask >> 9);
}

void replay_issue(struct replay *replay, const struct io_record *record)
{
	struct replay_stats *stats = replay->stats;
	struct replay_request *head;

	replay_act_for(replay);
	replay_gather_segments(replay, record);
	head = replay_make_requests(replay, record);
	head->trace_slot = record->slot;
	if (replay->options->mode == REPLAY_OPEN)
		head->stamp_ns = record->time_ns;
	if (record->slot >= replay->by_trace_slot->len) {
		uint32_t from = replay->by_trace_slot->len;

		g_array_set_size(replay->by_trace_slot, record->slot + 1);
		for (; from <= record->slot; from++)
			g_array_index(replay->by_trace_slot, uint32_t, from) = NO_SLOT;
	}
	g_array_index(replay->by_trace_slot, uint32_t, record->slot) = head->slot;
	stats->issued++;
	stats->unaligned += !replay_whole_blocks(replay, record);
	stats->op_count[head->req.op]++;
	replay->in_flight++;
	replay->part->max_in_flight = MAX(replay->part->max_in_flight, replay->in_flight);
	replay_count_in_flight(replay->shared, 1);
	stats->max_in_flight = MAX(stats->max_in_flight, replay->shared->in_flight);
	replay->shared->timeline_in_flight_max =
		MAX(replay->shared->timeline_in_flight_max, replay->shared->in_flight);
	replay_submit_pieces(replay, head);
}
