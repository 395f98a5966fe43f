/* SPDX-License-Identifier: MIT */
/*
 * What a replay writes while it runs: snapshots when they are due, and the rows of the time line.
 */
#include "sim/core/error.h"
#include "sim/machine/replay-internal.h"

static const char *const replay_state_names[] = {"free", "waiting", "requeued", "in-flight"};

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

bool replay_snapshot(struct replay *replay, const char *name, GError **error)
{
	struct snapshot_source requests = {&replay_request_section, replay};
	g_autofree char *path = g_build_filename(replay->options->dir, name, NULL);

	return machine_snapshot(replay->machine, path, &requests, error);
}

static uint64_t replay_min_next(uint64_t listed, uint64_t every, uint64_t past)
{
	return every ? MIN(listed, (past / every + 1) * every) : listed;
}

void replay_plan_snapshots(struct replay *replay, uint64_t past_ns, uint64_t past_count)
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

bool replay_snapshot_of_time(struct replay *replay, GError **error)
{
	const struct replay_options *options = replay->options;
	uint64_t at_ns = replay->snap_next_ns;
	g_autofree char *name = g_strdup_printf("at-%" G_GUINT64_FORMAT "ns.snap", at_ns);

	while (options->snap_ns && options->snap_ns[replay->snap_ns_at] <= at_ns)
		replay->snap_ns_at++;
	replay_plan_snapshots(replay, at_ns, replay->stats->issued);
	return replay_count_snapshot(replay, error) && replay_snapshot(replay, name, error);
}

bool replay_snapshot_of_count(struct replay *replay, GError **error)
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

void replay_timeline_row(struct replay *replay)
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

void replay_close_row(struct replay *replay, uint64_t until_ns)
{
	uint64_t row_ns = replay->machine->config.timeline_ns;
	uint64_t next_ns = MIN(event_queue_next_ns(&replay->sim->events), until_ns);

	if (replay->timeline_ios || replay->in_flight)
		replay_timeline_row(replay);
	next_ns = MAX(next_ns, replay->timeline_next_ns + 1);
	replay->timeline_next_ns = (next_ns + row_ns - 1) / row_ns * row_ns;
}
