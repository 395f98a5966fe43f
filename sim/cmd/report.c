/* SPDX-License-Identifier: MIT */
#include "sim/cmd/report.h"

#include <string.h>

#include "sim/core/text.h"

void report_part(struct facts *facts, const char *part, uint64_t shift_bytes)
{
	if (!part[0])
		return;
	facts_text(facts, "part", "part, and how", part);
	if (shift_bytes)
		facts_size(facts, "shift_bytes", "rounds lie apart on the disk", shift_bytes);
}

void report_recording(struct facts *facts, struct io_stream *stream)
{
	GHashTable *said = io_stream_facts(stream);
	GList *keys = g_list_sort(g_hash_table_get_keys(said), (GCompareFunc)strcmp);

	facts_begin(facts, "recording", keys ? "the recording says" : NULL);
	for (GList *key = keys; key; key = key->next)
		facts_text(facts, key->data, key->data, g_hash_table_lookup(said, key->data));
	facts_end(facts);
	g_list_free(keys);
}

static void report_trace_facts(struct facts *facts, const struct run_report *run, unsigned i)
{
	const struct io_stream_stats *stats = io_transform_stats(run->traces[i]);
	struct io_stream *stream = io_transform_stream(run->traces[i]);

	facts_text(facts, "name", "name", run->names[i]);
	facts_text(facts, "format", "format", io_stream_format(stream)->name);
	report_part(facts, run->reading, io_transform_shift_bytes(run->traces[i]));
	facts_u64(facts, "events", "events", stats->events);
	facts_u64(facts, "events_skipped", "of these, not for replay", stats->other);
	if (stats->setups_dropped)
		facts_u64(facts, "setups_dropped", "set-ups that did not lead to an issue",
			  stats->setups_dropped);
	if (stats->unmatched_completions)
		facts_u64(facts, "unmatched_completions", "completions without an issue",
			  stats->unmatched_completions);
	if (stats->unfinished)
		facts_u64(facts, "unfinished", "never completed in the recording", stats->unfinished);
	if (stats->time_backwards)
		facts_u64(facts, "time_backwards", "events back in time", stats->time_backwards);
	report_recording(facts, stream);
}

/** What of the run is the trace's and its controller's, where there are several. */
static void report_trace_part(struct facts *facts, const struct run_report *run, unsigned i)
{
	const struct replay_part *part = &run->parts[i];
	g_autofree char *device = g_strdup_printf("nvme%u", i);
	uint64_t well = part->ios - part->errors;

	facts_text(facts, "device", "replayed on", device);
	facts_u64(facts, "ios", "I/Os replayed", part->ios);
	facts_size(facts, "data_bytes", "data moved", part->bytes);
	facts_u64(facts, "errors", "ended with an error", part->errors);
	facts_u64(facts, "max_in_flight", "most in flight", part->max_in_flight);
	if (run->options->mode == REPLAY_ASAP)
		return;
	facts_time(facts, "latency_mean_ns", "latency, mean", well ? part->latency_ns_sum / well : 0);
	facts_time(facts, "latency_max_ns", "latency, max", part->latency_ns_max);
	if (run->options->mode != REPLAY_OPEN)
		return;
	facts_time(facts, "lateness_mean_ns", "late by, mean of all",
		   part->issued ? part->lateness_ns_sum / part->issued : 0);
	facts_time(facts, "lateness_max_ns", "late by, max", part->lateness_ns_max);
}

/** One trace is "trace"; several are a list. */
static void report_traces(struct facts *facts, const struct run_report *run)
{
	if (run->count == 1) {
		facts_begin(facts, "trace", "trace");
		report_trace_facts(facts, run, 0);
		facts_end(facts);
		return;
	}
	facts_list_begin(facts, "traces", NULL);
	for (unsigned i = 0; i < run->count; i++) {
		facts_begin(facts, NULL, "trace");
		report_trace_facts(facts, run, i);
		report_trace_part(facts, run, i);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static void report_machine(struct facts *facts, const struct run_report *run)
{
	const struct machine *machine = run->machine;
	const struct machine_config *config = &machine->config;

	facts_begin(facts, "machine", "machine");
	facts_text(facts, "kernel_version", "kernel", kernel_version_names[config->version]);
	if (config->board) {
		facts_text(facts, "board", "board", config->board->tree->name);
		facts_text(facts, "nvme", "NVMe controller", config->board->nvme);
	}
	facts_text(facts, "iommu", "IOMMU",
		   config->board && !config->board->hw ? "none" : machine_config_hardware(config)->name);
	if (config->board && config->board->hw) {
		g_autofree char *memory =
			g_strdup_printf("0x%" G_GINT64_MODIFIER "x-0x%" G_GINT64_MODIFIER "x",
					config->board->memory_base,
					config->board->memory_base + config->board->memory_bytes - 1);

		facts_text(facts, "iommu_node", "its node", config->board->iommu);
		facts_u64(facts, "stream", "stream", config->board->stream);
		facts_text(facts, "memory", "memory (segments are moved into its upper half)", memory);
	}
	facts_text(facts, "iommu_mode", "IOMMU mode", iommu_mode_names[config->iommu_mode]);
	facts_u64(facts, "cpus", "CPUs", machine->sim->cpu_count);
	if (run->count > 1)
		facts_u64(facts, "controllers", "NVMe controllers", run->count);
	facts_u64(facts, "queues", run->count > 1 ? "NVMe queues of each" : "NVMe queues", machine->queues);
	facts_u64(facts, "seed", NULL, config->seed);
	facts_list_begin(facts, "behaviours", NULL);
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		const struct behaviour_row *behaviour = &behaviour_rows[row];
		unsigned value = machine_config_behaviour(config, (enum behaviour)row);

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, behaviour->name);
		facts_text(facts, "value", config->behaviour[row] >= 0 ? behaviour->name : NULL,
			   value == BEHAVIOUR_NONE ? "-" : behaviour->values[value]);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_end(facts);
}

static void report_latency(struct facts *facts, const struct replay_stats *stats)
{
	facts_list_begin(facts, "latencies", "latency");
	for (unsigned op = 0; op < REQ_OPS; op++) {
		const struct histogram *h = &stats->latency[op];
		g_autofree char *mean = NULL, *p50 = NULL, *p99 = NULL, *max = NULL, *text = NULL;

		if (!h->count)
			continue;
		mean = text_time(h->sum_ns / h->count);
		p50 = text_time(histogram_percentile(h, 500));
		p99 = text_time(histogram_percentile(h, 990));
		max = text_time(h->max_ns);
		text = g_strdup_printf("%" G_GUINT64_FORMAT " samples, mean %s, p50 %s, p99 %s, max %s",
				       h->count, mean, p50, p99, max);
		facts_text(facts, NULL, req_op_names[op], text);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "op", NULL, req_op_names[op]);
		facts_u64(facts, "count", NULL, h->count);
		facts_u64(facts, "latency_mean_ns", NULL, h->sum_ns / h->count);
		facts_u64(facts, "latency_p50_ns", NULL, histogram_percentile(h, 500));
		facts_u64(facts, "latency_p90_ns", NULL, histogram_percentile(h, 900));
		facts_u64(facts, "latency_p99_ns", NULL, histogram_percentile(h, 990));
		facts_u64(facts, "latency_max_ns", NULL, h->max_ns);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** How far the replay fell behind the trace. */
static void report_lateness(struct facts *facts, const struct histogram *h)
{
	facts_u64(facts, "late_ios", "submitted late", h->count - h->buckets[0]);
	facts_time(facts, "lateness_mean_ns", "late by, mean of all", h->count ? h->sum_ns / h->count : 0);
	facts_time(facts, "lateness_p99_ns", "late by, p99", histogram_percentile(h, 990));
	facts_time(facts, "lateness_max_ns", "late by, max", h->max_ns);
}

/** By which rule segments were made: nobody shall take them for recorded. */
static void report_made_segments(struct facts *facts, const struct replay_stats *stats,
				 const struct machine_config *config)
{
	facts_u64(facts, "made_segments", "segments made", stats->made_segments);
	if (config->layout == LAYOUT_RECORDED_MIX)
		facts_u64(facts, "form_segments", "of these, as recorded ones", stats->form_segments);
	facts_text(facts, "segment_layout", "made by rule",
		   segment_layout_names[config->layout == LAYOUT_RECORDED ? LAYOUT_SCATTERED : config->layout]);
	facts_u64(facts, "segment_seed", "seed of the rule", config->segment_seed);
	facts_size(facts, "segment_alignment_bytes", "first byte at multiples of", config->segment_alignment);
	if (config->segment_offset)
		facts_size(facts, "segment_offset_bytes", "and so far behind", config->segment_offset);
}

static void report_replay(struct facts *facts, const struct run_report *run)
{
	const struct replay_stats *stats = run->stats;

	facts_begin(facts, "replay", "replay");
	facts_text(facts, "mode", "mode", replay_mode_names[run->options->mode]);
	if (run->options->depth)
		facts_u64(facts, "depth", "in flight at most", run->options->depth);
	facts_u64(facts, "ios", "I/Os replayed", stats->ios);
	facts_list_begin(facts, "ops", NULL);
	for (unsigned op = 0; op < REQ_OPS; op++) {
		if (!stats->op_count[op])
			continue;
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "op", NULL, req_op_names[op]);
		facts_u64(facts, "count", req_op_names[op], stats->op_count[op]);
		facts_u64(facts, "data_bytes", NULL, stats->op_bytes[op]);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_size(facts, "data_bytes", "data moved", stats->bytes);
	facts_u64(facts, "unaligned_ios", stats->unaligned ? "not of whole logical blocks" : NULL, stats->unaligned);
	facts_u64(facts, "recorded_segments", "segments as recorded", stats->recorded_segments);
	report_made_segments(facts, stats, &run->machine->config);
	facts_u64(facts, "errors", "ended with an error", stats->errors);
	facts_list_begin(facts, "statuses", NULL);
	for (unsigned status = BLK_STS_OK; status < BLK_STATUSES; status++) {
		if (!stats->status_count[status])
			continue;
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "status", NULL, blk_status_names[status]);
		facts_u64(facts, "count", status == BLK_STS_OK ? NULL : blk_status_names[status],
			  stats->status_count[status]);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_u64(facts, "requeues", "requeued: no resource", stats->requeues);
	facts_u64(facts, "retries", "tried again after an error", stats->retries);
	facts_u64(facts, "splits", "split: further pieces", stats->splits);
	facts_u64(facts, "tag_waits", "waited for a tag", stats->tag_waits);
	if (run->machine->config.hmb_preferred)
		facts_size(facts, "hmb_bytes", "host memory buffer", stats->nvme.hmb_bytes);
	facts_u64(facts, "interrupts", "interrupts", stats->interrupts);
	facts_u64(facts, "doorbells", "doorbells rung", stats->nvme.doorbells);
	if (run->machine->config.shadow_doorbells)
		facts_u64(facts, "doorbells_saved", "doorbells in memory alone", stats->nvme.doorbells_saved);
	facts_u64(facts, "batches", "batches with one doorbell", stats->nvme.batches);
	if (stats->timeouts) {
		facts_u64(facts, "timeouts", "commands timed out", stats->timeouts);
		facts_u64(facts, "polled", "of these, completion polled", stats->polled);
		facts_u64(facts, "aborts", "aborts sent", stats->nvme.aborts);
		facts_u64(facts, "resets", "controller resets", stats->nvme.resets);
		facts_u64(facts, "cancelled", "commands cancelled", stats->nvme.cancelled);
	}
	if (stats->held_back)
		facts_u64(facts, "held_back", "issued late: too many waited", stats->held_back);
	facts_u64(facts, "max_in_flight", "most in flight", stats->max_in_flight);
	if (run->options->mode == REPLAY_OPEN)
		report_lateness(facts, &stats->lateness);
	facts_time(facts, "end_ns", "simulated time", run->machine->sim->now_ns);
	if (run->options->mode != REPLAY_ASAP)
		report_latency(facts, stats);
	facts_end(facts);
}

/** Of all domains together. */
static void report_iova(struct facts *facts, const struct machine *machine)
{
	struct iova_stats sum = {0};
	uint64_t hits = 0, misses = 0;

	for (; machine; machine = machine->next) {
		const struct iova_stats *stats;

		if (!machine->iovad)
			continue;
		stats = iova_stats(machine->iovad);
		for (unsigned order = 0; order < IOVA_ORDERS; order++) {
			hits += stats->cache_hits[order];
			misses += stats->cache_misses[order];
		}
		sum.allocs += stats->allocs;
		sum.frees += stats->frees;
		sum.tree_allocs += stats->tree_allocs;
		sum.tree_steps += stats->tree_steps;
		sum.depot_pushes += stats->depot_pushes;
		sum.depot_trims += stats->depot_trims;
		sum.failures += stats->failures;
	}
	facts_begin(facts, "iova", "IOVA allocator");
	facts_u64(facts, "allocs", "allocations", sum.allocs);
	facts_u64(facts, "frees", "frees", sum.frees);
	facts_u64(facts, "cache_hits", "from a magazine", hits);
	facts_u64(facts, "cache_misses", "magazine misses", misses);
	facts_u64(facts, "tree_allocs", "from the tree", sum.tree_allocs);
	facts_u64(facts, "tree_steps", "nodes walked", sum.tree_steps);
	facts_u64(facts, "depot_pushes", "magazines to the depot", sum.depot_pushes);
	facts_u64(facts, "depot_trims", "magazines trimmed", sum.depot_trims);
	facts_u64(facts, "failures", "failed", sum.failures);
	facts_end(facts);
}

static void report_bounces(struct facts *facts, const struct swiotlb *pool)
{
	const struct swiotlb_stats *stats = &pool->stats;

	facts_begin(facts, "bounce_buffers", "bounce buffers");
	facts_u64(facts, "maps", "mappings bounced", stats->maps);
	facts_u64(facts, "full", "found the pool full", stats->full);
	facts_size(facts, "copied_in_bytes", "copied in", stats->copied_in_bytes);
	facts_size(facts, "copied_out_bytes", "copied back", stats->copied_out_bytes);
	facts_size(facts, "zeroed_bytes", "zeroed around them", stats->zeroed_bytes);
	facts_u64(facts, "slots", "slots of the pool", pool->config.slots);
	facts_u64(facts, "slots_max", "slots used at most", stats->in_use_max);
	facts_end(facts);
}

/** Of all domains together; nothing where none has one. */
static void report_flush_queue(struct facts *facts, const struct machine *machine)
{
	struct fq_stats sum = {0};
	bool any = false;

	for (; machine; machine = machine->next) {
		const struct fq_stats *stats = machine->dev.fq ? fq_stats(machine->dev.fq) : NULL;

		if (!stats)
			continue;
		any = true;
		sum.queued += stats->queued;
		sum.flushes_timer += stats->flushes_timer;
		sum.flushes_full += stats->flushes_full;
		sum.windows += stats->windows;
		sum.window_ns_sum += stats->window_ns_sum;
		sum.window_ns_max = MAX(sum.window_ns_max, stats->window_ns_max);
	}
	if (!any)
		return;
	facts_begin(facts, "flush_queue", "flush queue");
	facts_u64(facts, "queued", "ranges queued", sum.queued);
	facts_u64(facts, "flushes_timer", "flushes by timer", sum.flushes_timer);
	facts_u64(facts, "flushes_full", "flushes of a full ring", sum.flushes_full);
	facts_u64(facts, "windows", "ranges flushed", sum.windows);
	facts_time(facts, "window_mean_ns", "reachable after unmap, mean",
		   sum.windows ? sum.window_ns_sum / sum.windows : 0);
	facts_time(facts, "window_max_ns", "reachable after unmap, max", sum.window_ns_max);
	facts_end(facts);
}

static void report_device_tlb(struct facts *facts, const struct machine *first)
{
	uint64_t lookups = 0, misses = 0;

	for (const struct machine *machine = first; machine && machine->device_tlb; machine = machine->next) {
		lookups += iotlb_stats(machine->device_tlb)->lookups;
		misses += iotlb_stats(machine->device_tlb)->misses;
	}
	facts_u64(facts, "device_tlb_lookups", "lookups in the device", lookups);
	facts_u64(facts, "device_tlb_misses", "asked for by the device", misses);
	facts_u64(facts, "device_invalidations", "invalidations of the device",
		  first->iommu->stats.device_invalidations);
}

static void report_iommu(struct facts *facts, const struct run_report *run)
{
	const struct machine *machine = run->machine;
	uint64_t tables = 0, writes = 0, faults = 0;
	const struct iotlb_stats *tlb;

	for (const struct machine *at = machine; at; at = at->next) {
		if (!at->domain)
			return;
		tables += at->domain->pt->table_pages;
		writes += at->domain->pt->pte_writes;
		faults += at->ctrl.stats.faults;
	}
	tlb = iotlb_stats(machine->iommu->tlb);
	facts_begin(facts, "iommu", "IOMMU");
	facts_u64(facts, "maps", "map calls", machine->iommu->stats.maps);
	facts_size(facts, "mapped_bytes", "mapped in all", machine->iommu->stats.mapped_bytes);
	facts_size(facts, "mapped_max_bytes", "mapped at most (time line)", run->stats->mapped_bytes_max);
	facts_u64(facts, "iova_live_max", "IOVAs held at most (time line)", run->stats->iova_live_max);
	facts_u64(facts, "unmaps", "unmap calls", machine->iommu->stats.unmaps);
	facts_u64(facts, "invalidations", "invalidation commands", machine->iommu->stats.invalidate_commands);
	facts_u64(facts, "page_table_pages", "page-table pages", tables);
	facts_u64(facts, "pte_writes", "entries written", writes);
	if (run->options->mode != REPLAY_ASAP) {
		facts_u64(facts, "iotlb_lookups", "IOTLB lookups", tlb->lookups);
		facts_u64(facts, "iotlb_misses", "IOTLB misses", tlb->misses);
		facts_u64(facts, "table_reads", "entries read by walks", tlb->table_reads);
	}
	if (machine->device_tlb)
		report_device_tlb(facts, machine);
	facts_u64(facts, "page_faults", "device accesses that faulted", faults);
	facts_end(facts);
	report_flush_queue(facts, machine);
	report_iova(facts, machine);
}

static void report_work(struct facts *facts, const struct run_report *run)
{
	const struct sim *sim = run->machine->sim;
	bool asap = run->options->mode == REPLAY_ASAP;
	uint64_t busy = 0;

	for (unsigned cpu = 0; cpu < sim->cpu_count; cpu++)
		busy += sim->cpus[cpu].busy_ns;
	facts_begin(facts, "cpu", asap ? NULL : "CPU time");
	facts_time(facts, "busy_ns", asap ? NULL : "all CPUs", busy);
	facts_list_begin(facts, "work_kinds", NULL);
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		uint64_t ns = sim->work[kind] * sim->cost_ps[kind] / 1000;

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, work_kinds[kind].name);
		facts_u64(facts, "count", NULL, sim->work[kind]);
		facts_time(facts, "cost_ns", !asap && ns ? work_kinds[kind].name : NULL, ns);
		facts_end(facts);
	}
	facts_list_end(facts);
	facts_end(facts);
}

static void report_locks(struct facts *facts, const struct run_report *run)
{
	facts_list_begin(facts, "locks", run->options->mode == REPLAY_ASAP ? NULL : "lock waits");
	for (unsigned i = 0; i < REPLAY_LOCKS; i++) {
		const struct sim_lock *lock = &run->stats->locks[i];
		g_autofree char *sum = text_time(lock->wait_ns_sum), *max = text_time(lock->wait_ns_max),
			       *held = text_time(lock->hold_ps_sum / 1000);
		g_autofree char *text =
			g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT ", %s, max %s; held %s",
					lock->waits, lock->taken, sum, max, held);

		if (!lock->taken)
			continue;
		facts_text(facts, NULL, run->options->mode == REPLAY_ASAP ? NULL : lock->name, text);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, lock->name);
		facts_u64(facts, "taken", NULL, lock->taken);
		facts_u64(facts, "waits", NULL, lock->waits);
		facts_u64(facts, "wait_sum_ns", NULL, lock->wait_ns_sum);
		facts_u64(facts, "wait_max_ns", NULL, lock->wait_ns_max);
		facts_u64(facts, "hold_sum_ns", NULL, lock->hold_ps_sum / 1000);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** The line of the summary that a rule with verbose = 2 asks for. */
static void report_firing(struct facts *facts, const struct fault_rules *rules, const struct fault_firing *firing)
{
	g_autofree char *time = text_time(firing->time_ns);
	g_autofree char *who = firing->actor ? g_strdup_printf("request %" G_GUINT64_FORMAT, firing->actor)
					     : g_strdup("set-up or a timer");

	facts_line(facts, "  %s at %s, cpu %u, %s: pass %" G_GUINT64_FORMAT ", %s, for %s",
		   fault_point_get(rules, firing->point)->name, time, firing->cpu, firing->device, firing->pass,
		   fault_errno_name(firing->error), who);
}

static void report_faults(struct facts *facts, const struct run_report *run)
{
	const struct fault_firing *firings;
	const char *name;
	uint64_t passes, fired;
	unsigned count;

	if (!run->rules)
		return;
	facts_list_begin(facts, "fault_rules", "fault rules");
	for (unsigned i = 0; fault_rule_stat(run->rules, i, &name, &passes, &fired); i++) {
		facts_line(facts, "[fault %s]: %" G_GUINT64_FORMAT " passes, fired %" G_GUINT64_FORMAT, name,
			   passes, fired);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, name);
		facts_u64(facts, "passes", NULL, passes);
		facts_u64(facts, "fired", NULL, fired);
		facts_end(facts);
	}
	facts_list_end(facts);
	firings = fault_firings(run->rules, &count);
	facts_list_begin(facts, "firings", NULL);
	for (unsigned i = 0; i < count; i++) {
		if (firings[i].shown)
			report_firing(facts, run->rules, &firings[i]);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "point", NULL, fault_point_get(run->rules, firings[i].point)->name);
		facts_u64(facts, "pass", NULL, firings[i].pass);
		facts_u64(facts, "time_ns", NULL, firings[i].time_ns);
		facts_u64(facts, "cpu", NULL, firings[i].cpu);
		facts_text(facts, "device", NULL, firings[i].device);
		facts_u64(facts, "errno", NULL, (uint64_t)-firings[i].error);
		facts_end(facts);
	}
	facts_list_end(facts);
}

void report_findings(struct facts *facts, const struct findings *findings, gboolean violations, const char *key,
		     const char *label)
{
	uint64_t shown = 0,
		 all = violations ? findings_violations(findings) : findings_observations(findings);

	facts_u64(facts, violations ? "violation_count" : "observation_count", label, all);
	facts_list_begin(facts, key, NULL);
	for (guint i = 0; i < findings->kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(findings->kept, i);
		g_autofree char *time = text_time(finding->time_ns);

		if (finding_kinds[finding->kind].violation != violations)
			continue;
		shown++;
		facts_line(facts, "  %s at %s, cpu %u, %s: %s%s%s", finding_kinds[finding->kind].name, time,
			   finding->cpu, finding->device, finding->text,
			   finding->acquired ? "; taken by " : "",
			   finding->acquired ? finding->acquired : "");
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "kind", NULL, finding_kinds[finding->kind].name);
		facts_u64(facts, "time_ns", NULL, finding->time_ns);
		facts_u64(facts, "cpu", NULL, finding->cpu);
		facts_text(facts, "device", NULL, finding->device);
		facts_text(facts, "text", NULL, finding->text);
		if (finding->acquired)
			facts_text(facts, "acquired", NULL, finding->acquired);
		facts_end(facts);
	}
	facts_list_end(facts);
	if (shown < all)
		facts_line(facts, "  and %" G_GUINT64_FORMAT " more", all - shown);
}

void report_run(struct facts *facts, const struct run_report *run)
{
	report_traces(facts, run);
	report_machine(facts, run);
	if (run->probe_error) {
		g_autofree char *text =
			g_strdup_printf("%s: %s", run->probe_step, fault_errno_name(run->probe_error));

		facts_text(facts, "probe_error", "probe failed", text);
	}
	report_replay(facts, run);
	report_iommu(facts, run);
	if (run->machine->swiotlb)
		report_bounces(facts, run->machine->swiotlb);
	report_work(facts, run);
	report_locks(facts, run);
	report_faults(facts, run);
	report_findings(facts, &run->machine->sim->findings, TRUE, "violations", "violations");
	report_findings(facts, &run->machine->sim->findings, FALSE, "observations", "observations");
}
