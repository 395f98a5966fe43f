/* SPDX-License-Identifier: MIT */
/*
 * What a replay writes while it runs: snapshots when they are due, and the rows of the time line.
 */
#include "sim/core/error.h"
#include "sim/machine/replay-internal.h"

static const char *const replay_state_names[] = {"free", "waiting", "requeued", "in-flight"};

static void replay_write_requests(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct replay_shared *shared = data;

	for (guint i = 0; i < shared->requests->len; i++) {
		const struct replay_request *rr = g_ptr_array_index(shared->requests, i);

		if (rr->state == STATE_FREE)
			continue;
		snapshot_fact(writer, "request");
		snapshot_hex(writer, "number", rr->req.number, 12);
		snapshot_hex(writer, "sector", rr->req.sector, 12);
		snapshot_u64(writer, "bytes", rr->req.bytes);
		snapshot_text(writer, "op", req_op_names[rr->req.op]);
		snapshot_text(writer, "device", rr->replay->machine->name);
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

static const struct snapshot_rule replay_rules[] = {
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "request",
	 .field = "device",
	 .other = "controller",
	 .other_field = "device",
	 .says = "request to no controller"},
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "request",
	 .field = "device,number",
	 .other = "command",
	 .other_field = "device,request",
	 .unless = "state!=in-flight",
	 .says = "request in flight without a command"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "request",
	 .field = "state",
	 .other_field = "waiting,requeued,in-flight",
	 .says = "request in no state"},
	{0},
};

const struct snapshot_section replay_request_section = {"request", replay_nouns, replay_write_requests,
							replay_rules};

bool replay_snapshot(struct replay_shared *shared, const char *name, GError **error)
{
	struct snapshot_source requests = {&replay_request_section, shared};
	g_autofree char *path = g_build_filename(shared->options->dir, name, NULL);

	return machine_snapshot(shared->machine, path, &requests, error);
}

static uint64_t replay_min_next(uint64_t listed, uint64_t every, uint64_t past)
{
	return every ? MIN(listed, (past / every + 1) * every) : listed;
}

void replay_plan_snapshots(struct replay_shared *shared, uint64_t past_ns, uint64_t past_count)
{
	const struct replay_options *options = shared->options;

	shared->snap_next_ns =
		replay_min_next(options->snap_ns ? options->snap_ns[shared->snap_ns_at] : UINT64_MAX,
				options->snap_every_ns, past_ns);
	shared->snap_next_count =
		replay_min_next(options->snap_count ? options->snap_count[shared->snap_count_at] : UINT64_MAX,
				options->snap_every_count, past_count);
}

static bool replay_count_snapshot(struct replay_shared *shared, GError **error)
{
	if (++shared->stats->snapshots <= REPLAY_SNAPSHOTS_MAX)
		return true;
	return sim_error_plain(error, "more than %d snapshots", REPLAY_SNAPSHOTS_MAX) == 0;
}

bool replay_snapshot_of_time(struct replay_shared *shared, GError **error)
{
	const struct replay_options *options = shared->options;
	uint64_t at_ns = shared->snap_next_ns;
	g_autofree char *name = g_strdup_printf("at-%" G_GUINT64_FORMAT "ns.snap", at_ns);

	while (options->snap_ns && options->snap_ns[shared->snap_ns_at] <= at_ns)
		shared->snap_ns_at++;
	replay_plan_snapshots(shared, at_ns, shared->stats->issued);
	return replay_count_snapshot(shared, error) && replay_snapshot(shared, name, error);
}

bool replay_snapshot_of_count(struct replay_shared *shared, GError **error)
{
	const struct replay_options *options = shared->options;
	g_autofree char *name = NULL;

	if (shared->stats->issued < shared->snap_next_count)
		return true;
	name = g_strdup_printf("at-request-%" G_GUINT64_FORMAT ".snap", shared->stats->issued);
	while (options->snap_count && options->snap_count[shared->snap_count_at] <= shared->stats->issued)
		shared->snap_count_at++;
	replay_plan_snapshots(shared, shared->sim->now_ns, shared->stats->issued);
	return replay_count_snapshot(shared, error) && replay_snapshot(shared, name, error);
}

/** Writes the columns of latencies; without one they stay empty. */
static void replay_write_latencies(struct replay_shared *shared)
{
	uint64_t count = shared->timeline_latency_count;

	if (count)
		output_printf(shared->timeline, ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT,
			      shared->timeline_latency_ns_sum / count, shared->timeline_latency_ns_max);
	else
		output_puts(shared->timeline, ",,");
}

/** Writes the columns of what happened since the row before. */
static void replay_write_row(struct replay_shared *shared)
{
	struct replay_row row, *before = &shared->timeline_before;

	replay_row_take(shared, &row);
	output_printf(shared->timeline, ",%" G_GUINT64_FORMAT, row.issued - before->issued);
	replay_write_latencies(shared);
	output_printf(shared->timeline,
		      ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT
		      ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT "\n",
		      row.busy_ns - before->busy_ns, row.misses - before->misses,
		      row.table_reads - before->table_reads, row.invalidations - before->invalidations,
		      row.up_bytes - before->up_bytes, row.down_bytes - before->down_bytes,
		      shared->timeline_in_flight_max);
	*before = row;
}

void replay_timeline_row(struct replay_shared *shared)
{
	const struct machine *first = shared->machine;
	uint64_t mapped = 0, tables = 0, live = 0;

	if (first->domain)
		mapped = first->iommu->stats.mapped_bytes - first->iommu->stats.unmapped_bytes;
	for (const struct machine *machine = first; machine; machine = machine->next) {
		live += machine->dev.live.count;
		if (machine->domain)
			tables += machine->domain->pt->table_pages;
	}
	shared->stats->mapped_bytes_max = MAX(shared->stats->mapped_bytes_max, mapped);
	shared->stats->iova_live_max = MAX(shared->stats->iova_live_max, live);
	shared->stats->page_table_pages_max = MAX(shared->stats->page_table_pages_max, tables);
	if (shared->timeline) {
		output_printf(shared->timeline,
			      "%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT
			      ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT
			      ",%" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT,
			      shared->timeline_next_ns, shared->timeline_ios, shared->timeline_bytes,
			      shared->timeline_errors, shared->in_flight, live, mapped, tables);
		replay_write_row(shared);
	}
	shared->timeline_ios = shared->timeline_bytes = shared->timeline_errors = 0;
	shared->timeline_in_flight_max = shared->in_flight;
	shared->timeline_latency_count = shared->timeline_latency_ns_sum = shared->timeline_latency_ns_max = 0;
}

void replay_close_row(struct replay_shared *shared, uint64_t until_ns)
{
	uint64_t row_ns = shared->machine->config.timeline_ns;
	uint64_t next_ns = MIN(event_queue_next_ns(&shared->sim->events), until_ns);

	if (shared->timeline_ios || shared->in_flight)
		replay_timeline_row(shared);
	next_ns = MAX(next_ns, shared->timeline_next_ns + 1);
	shared->timeline_next_ns = (next_ns + row_ns - 1) / row_ns * row_ns;
}
