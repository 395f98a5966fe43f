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

/** @numerator / @denominator, where that is not 0: in thousandths for programs. */
static void report_ratio(struct facts *facts, const char *key, const char *label, uint64_t numerator,
			 uint64_t denominator)
{
	uint64_t thousandths = denominator ? (uint64_t)((unsigned __int128)numerator * 1000 / denominator) : 0;
	g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT ".%03u", thousandths / 1000,
						(unsigned)(thousandths % 1000));

	facts_text(facts, NULL, label, text);
	facts_u64(facts, key, NULL, thousandths);
}

/** A mean of @count, which is shown beside it: there is none of nothing. */
static void report_mean(struct facts *facts, const char *key, const char *label, uint64_t sum_ps, uint64_t count)
{
	if (count)
		facts_time(facts, key, label, sum_ps / count / 1000);
}

static const struct {
	const char *key, *label;
	unsigned per_mille;
} report_percentiles[] = {
	{"latency_p50_ns", "p50", 500}, {"latency_p90_ns", NULL, 900},	 {"latency_p99_ns", "p99", 990},
	{"latency_p999_ns", NULL, 999},
};

/** For programs: a table of these says less than its percentiles. */
static void report_histogram(struct facts *facts, const struct histogram *h)
{
	facts_list_begin(facts, "histogram", NULL);
	for (unsigned group = 0; group < HISTOGRAM_GROUPS; group++) {
		uint64_t upto_ns, count = histogram_group(h, group, &upto_ns);

		if (!count)
			continue;
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "upto_ns", NULL, upto_ns);
		facts_u64(facts, "count", NULL, count);
		facts_end(facts);
	}
	facts_list_end(facts);
}

static void report_latency_of(struct facts *facts, const char *op, const struct histogram *h)
{
	g_autofree char *mean = text_time(h->sum_ns / h->count), *max = text_time(h->max_ns);
	g_autoptr(GString) text = g_string_new(NULL);

	g_string_printf(text, "%" G_GUINT64_FORMAT " samples, mean %s", h->count, mean);
	for (unsigned i = 0; i < G_N_ELEMENTS(report_percentiles); i++) {
		g_autofree char *time = text_time(histogram_percentile(h, report_percentiles[i].per_mille));

		if (report_percentiles[i].label)
			g_string_append_printf(text, ", %s %s", report_percentiles[i].label, time);
	}
	g_string_append_printf(text, ", max %s", max);
	facts_text(facts, NULL, op, text->str);
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "op", NULL, op);
	facts_u64(facts, "count", NULL, h->count);
	facts_u64(facts, "latency_mean_ns", NULL, h->sum_ns / h->count);
	for (unsigned i = 0; i < G_N_ELEMENTS(report_percentiles); i++)
		facts_u64(facts, report_percentiles[i].key, NULL,
			  histogram_percentile(h, report_percentiles[i].per_mille));
	facts_u64(facts, "latency_max_ns", NULL, h->max_ns);
	report_histogram(facts, h);
	facts_end(facts);
}

/** Of each operation that there was: @of returns its histogram, NULL or empty for none. */
static void report_latency(struct facts *facts, const struct histogram *(*of)(const void *data, unsigned op),
			   const void *data)
{
	facts_list_begin(facts, "latencies", "latency");
	for (unsigned op = 0; op < REQ_OPS; op++) {
		const struct histogram *h = of(data, op);

		if (h && h->count)
			report_latency_of(facts, req_op_names[op], h);
	}
	facts_list_end(facts);
}

static const struct histogram *report_latency_of_run(const void *data, unsigned op)
{
	return &((const struct replay_stats *)data)->latency[op];
}

static const struct histogram *report_latency_of_part(const void *data, unsigned op)
{
	return ((const struct replay_part *)data)->latency[op];
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
	report_latency(facts, report_latency_of_part, part);
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

/** Returns how long what is reported took. */
static uint64_t report_elapsed_ns(const struct run_report *run)
{
	return run->stats->over_ns - run->stats->begun_ns;
}

static void report_throughput(struct facts *facts, const struct run_report *run)
{
	const struct replay_stats *stats = run->stats;
	uint64_t elapsed_ns = report_elapsed_ns(run);

	if (stats->begun_ns) {
		facts_time(facts, "warmup_ns", "warm-up, which is not in here", stats->begun_ns);
		facts_u64(facts, "warmup_ios", "ended in it", stats->warmup_ios);
		facts_u64(facts, "warmup_in_flight", "in flight behind it", stats->warmup_in_flight);
		facts_time(facts, "warmup_carried_ns", "  for so long already, in all", stats->warmup_carried_ns);
	}
	facts_time(facts, "elapsed_ns", stats->begun_ns ? "time without it" : NULL, elapsed_ns);
	if (!elapsed_ns)
		return;
	facts_u64(facts, "ios_per_s", "I/Os a second",
		  (uint64_t)((unsigned __int128)stats->ios * 1000000000 / elapsed_ns));
	facts_size(facts, "data_per_s_bytes", "data a second",
		   (uint64_t)((unsigned __int128)stats->bytes * 1000000000 / elapsed_ns));
	report_ratio(facts, "in_flight_mean_thousandths", "in flight, mean over time", stats->in_flight_ns,
		     elapsed_ns);
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
		report_throughput(facts, run);
	if (run->options->mode != REPLAY_ASAP)
		report_latency(facts, report_latency_of_run, stats);
	facts_end(facts);
}

static void report_iova_orders(struct facts *facts, const struct iova_stats *stats)
{
	facts_list_begin(facts, "orders", NULL);
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		uint64_t asked = stats->cache_hits[order] + stats->cache_misses[order];
		g_autofree char *label = g_strdup_printf("from a magazine of 2^%u", order);
		g_autofree char *text =
			g_strdup_printf("%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, stats->cache_hits[order], asked);

		if (!asked)
			continue;
		facts_text(facts, NULL, label, text);
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "order", NULL, order);
		facts_u64(facts, "cache_hits", NULL, stats->cache_hits[order]);
		facts_u64(facts, "cache_misses", NULL, stats->cache_misses[order]);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** Of all domains together. */
static void report_iova(struct facts *facts, const struct iova_stats *stats)
{
	uint64_t hits = 0, misses = 0;

	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		hits += stats->cache_hits[order];
		misses += stats->cache_misses[order];
	}
	facts_begin(facts, "iova", "IOVA allocator");
	facts_u64(facts, "allocs", "allocations", stats->allocs);
	facts_u64(facts, "frees", "frees", stats->frees);
	facts_u64(facts, "cache_hits", "from a magazine", hits);
	facts_u64(facts, "cache_misses", "magazine misses", misses);
	report_iova_orders(facts, stats);
	facts_u64(facts, "tree_allocs", "from the tree", stats->tree_allocs);
	facts_u64(facts, "tree_steps", "nodes walked", stats->tree_steps);
	facts_u64(facts, "depot_pushes", "magazines to the depot", stats->depot_pushes);
	facts_u64(facts, "depot_trims", "magazines trimmed", stats->depot_trims);
	facts_u64(facts, "failures", "failed", stats->failures);
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
static void report_flush_queue(struct facts *facts, const struct machine *machine, const struct fq_stats *stats)
{
	g_autofree struct histogram *windows = g_new0(struct histogram, 1);
	bool any = false;

	for (; machine; machine = machine->next) {
		if (!machine->dev.fq)
			continue;
		any = true;
		histogram_merge(windows, fq_windows(machine->dev.fq));
	}
	if (!any)
		return;
	facts_begin(facts, "flush_queue", "flush queue");
	facts_u64(facts, "queued", "ranges queued", stats->queued);
	facts_u64(facts, "flushes_timer", "flushes by timer", stats->flushes_timer);
	facts_u64(facts, "flushes_full", "flushes of a full ring", stats->flushes_full);
	facts_u64(facts, "windows", "ranges flushed", windows->count);
	if (windows->count) {
		facts_time(facts, "window_mean_ns", "reachable after unmap, mean",
			   windows->sum_ns / windows->count);
		facts_time(facts, "window_p99_ns", "reachable after unmap, p99",
			   histogram_percentile(windows, 990));
		facts_time(facts, "window_max_ns", "reachable after unmap, max", windows->max_ns);
	}
	facts_end(facts);
}

static void report_translations(struct facts *facts, const struct run_report *run,
				const struct machine_counts *counts)
{
	uint64_t ios = run->stats->ios;

	facts_u64(facts, "iotlb_lookups", "IOTLB lookups", counts->tlb.lookups);
	facts_u64(facts, "iotlb_misses", "IOTLB misses", counts->tlb.misses);
	facts_u64(facts, "walk_cache_hits", "of these, shortened by a walk cache", counts->tlb.walk_hits);
	facts_u64(facts, "table_reads", "entries read by walks", counts->tlb.table_reads);
	if (!ios)
		return;
	report_ratio(facts, "iotlb_misses_per_io_thousandths", "IOTLB misses an I/O", counts->tlb.misses, ios);
	report_ratio(facts, "walk_cache_misses_per_io_thousandths", "walk cache misses an I/O",
		     counts->tlb.misses - counts->tlb.walk_hits, ios);
	report_ratio(facts, "table_reads_per_io_thousandths", "entries read an I/O", counts->tlb.table_reads, ios);
}

static void report_iommu(struct facts *facts, const struct run_report *run, const struct machine_counts *counts)
{
	const struct machine *machine = run->machine;
	uint64_t tables = 0;

	for (const struct machine *at = machine; at; at = at->next) {
		if (!at->domain)
			return;
		tables += at->domain->pt->table_pages;
	}
	facts_begin(facts, "iommu", "IOMMU");
	facts_u64(facts, "maps", "map calls", counts->iommu.maps);
	facts_size(facts, "mapped_bytes", "mapped in all", counts->iommu.mapped_bytes);
	facts_size(facts, "mapped_max_bytes", "mapped at most (time line)", run->stats->mapped_bytes_max);
	facts_u64(facts, "iova_live_max", "IOVAs held at most (time line)", run->stats->iova_live_max);
	facts_u64(facts, "unmaps", "unmap calls", counts->iommu.unmaps);
	facts_u64(facts, "invalidations", "invalidation commands", counts->iommu.invalidate_commands);
	facts_u64(facts, "page_table_pages", "page-table pages", tables);
	facts_u64(facts, "page_table_pages_max", "at most (time line)", MAX(tables, run->stats->page_table_pages_max));
	facts_u64(facts, "pte_writes", "entries written", counts->pte_writes);
	if (run->options->mode != REPLAY_ASAP)
		report_translations(facts, run, counts);
	if (machine->device_tlb) {
		facts_u64(facts, "device_tlb_lookups", "lookups in the device", counts->device_tlb.lookups);
		facts_u64(facts, "device_tlb_misses", "asked for by the device", counts->device_tlb.misses);
		facts_u64(facts, "device_invalidations", "invalidations of the device",
			  counts->iommu.device_invalidations);
	}
	facts_u64(facts, "page_faults", "device accesses that faulted", counts->page_faults);
	facts_end(facts);
	report_flush_queue(facts, machine, &counts->fq);
	report_iova(facts, &counts->iova);
}

static void report_link(struct facts *facts, const struct run_report *run, const char *key, const char *label,
			const struct replay_link *link)
{
	g_autofree char *moved = text_size(link->wire_bytes), *data = text_size(link->data_bytes);
	g_autofree char *text = g_strdup_printf("%s on the wire, %s of it data", moved, data);

	facts_text(facts, NULL, label, text);
	facts_begin(facts, key, NULL);
	facts_u64(facts, "wire_bytes", NULL, link->wire_bytes);
	facts_u64(facts, "data_bytes", NULL, link->data_bytes);
	facts_u64(facts, "busy_ns", NULL, link->busy_ps / 1000);
	report_ratio(facts, "utilisation_thousandths", "  of its time in use", link->busy_ps / 1000,
		     report_elapsed_ns(run) * run->count);
	facts_end(facts);
}

/** Where commands spent their time, and what of the device was busy. */
static void report_device(struct facts *facts, const struct run_report *run)
{
	const struct replay_device *device = &run->stats->device;
	const struct machine_config *config = &run->machine->config;
	uint64_t commands = device->stats.commands, elapsed_ns = report_elapsed_ns(run);

	facts_begin(facts, "device", "device");
	facts_u64(facts, "commands", "commands", commands);
	report_mean(facts, "fetch_mean_ns", "fetched, with the data of writes, mean", device->stats.fetch_ps, commands);
	report_mean(facts, "channel_wait_mean_ns", "waited for a channel, mean", device->stats.wait_ps, commands);
	report_mean(facts, "service_mean_ns", "served, mean", device->stats.service_ps, commands);
	report_mean(facts, "transfer_mean_ns", "data of reads and completion, mean", device->stats.transfer_ps,
		    commands);
	if (config->service != SERVICE_RECORDED)
		report_ratio(facts, "channel_utilisation_thousandths", "channels in use",
			     device->stats.service_ps / 1000, elapsed_ns * config->channels * run->count);
	if (config->service == SERVICE_RECORDED)
		facts_u64(facts, "recorded_shorter", device->shorter ? "recorded times below the way's" : NULL,
			  device->shorter);
	facts_u64(facts, "link_reads", "read requests on the link", device->reads);
	facts_u64(facts, "tag_waits_link", "of these, waited for a tag", device->tag_waits);
	report_mean(facts, "tag_wait_mean_ns", "mean of these", device->tag_wait_ps, device->tag_waits);
	facts_u64(facts, "walks", "walks", device->walks);
	facts_u64(facts, "walk_waits", "of these, waited for a walker", device->walk_waits);
	report_mean(facts, "walk_wait_mean_ns", "mean of these", device->walk_wait_ps, device->walk_waits);
	report_ratio(facts, "walker_utilisation_thousandths", "walkers in use", device->walk_busy_ps / 1000,
		     elapsed_ns * config->walkers);
	report_link(facts, run, "link_up", "link to memory", &device->up);
	report_link(facts, run, "link_down", "link from memory", &device->down);
	facts_end(facts);
}

static void report_work(struct facts *facts, const struct run_report *run)
{
	const struct sim *sim = run->machine->sim;
	bool asap = run->options->mode == REPLAY_ASAP;
	const struct replay_cpu *cpu = &run->stats->cpu;
	uint64_t ios = run->stats->ios;

	facts_begin(facts, "cpu", asap ? NULL : "CPU time");
	facts_time(facts, "busy_ns", asap ? NULL : "all CPUs", cpu->busy_ns);
	if (!asap && ios) {
		facts_time(facts, "busy_per_io_ns", "an I/O", cpu->busy_ns / ios);
		report_ratio(facts, "utilisation_thousandths", "CPUs in use", cpu->busy_ns,
			     report_elapsed_ns(run) * sim->cpu_count);
	}
	facts_list_begin(facts, "work_kinds", NULL);
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		uint64_t ns = cpu->work[kind] * sim->cost_ps[kind] / 1000;

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "name", NULL, work_kinds[kind].name);
		facts_u64(facts, "count", NULL, cpu->work[kind]);
		facts_time(facts, "cost_ns", !asap && ns ? work_kinds[kind].name : NULL, ns);
		if (!asap && ios)
			facts_u64(facts, "cost_per_io_ns", NULL, ns / ios);
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

/** Returns for whom a fault struck, in words; free with g_free(). */
static char *report_struck(const struct fault_firing *firing)
{
	const struct fault_request *request = &firing->request;
	g_autofree char *size = text_size(request->bytes);
	g_autofree char *bytes = request->bytes ? g_strconcat(", ", size, NULL) : g_strdup("");

	if (!firing->actor)
		return g_strdup("set-up or a timer");
	if (!request->op)
		return g_strdup_printf("request %" G_GUINT64_FORMAT, firing->actor);
	return g_strdup_printf("request %" G_GUINT64_FORMAT " (%s%s at sector %" G_GUINT64_FORMAT ")",
			       firing->actor, request->op, bytes, request->sector);
}

/** The line of the summary that a rule with verbose = 2 asks for. */
static void report_show_firing(struct facts *facts, const struct fault_rules *rules,
			       const struct fault_firing *firing)
{
	g_autofree char *time = text_time(firing->time_ns), *struck = report_struck(firing);

	facts_line(facts, "  %s at %s, cpu %u, %s: pass %" G_GUINT64_FORMAT ", %s, for %s",
		   fault_point_get(rules, firing->point)->name, time, firing->cpu, firing->device,
		   firing->pass, fault_errno_name(firing->error), struck);
}

static void report_firing(struct facts *facts, const struct fault_rules *rules,
			  const struct fault_firing *firing)
{
	const char *name;
	uint64_t passes, fired;

	fault_rule_stat(rules, firing->rule, &name, &passes, &fired);
	if (firing->shown)
		report_show_firing(facts, rules, firing);
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "rule", NULL, name);
	facts_text(facts, "point", NULL, fault_point_get(rules, firing->point)->name);
	facts_u64(facts, "pass", NULL, firing->pass);
	facts_u64(facts, "time_ns", NULL, firing->time_ns);
	facts_u64(facts, "cpu", NULL, firing->cpu);
	facts_text(facts, "device", NULL, firing->device);
	facts_u64(facts, "errno", NULL, (uint64_t)-firing->error);
	facts_text(facts, "error", NULL, fault_errno_name(firing->error));
	if (firing->actor)
		facts_u64(facts, "request", NULL, firing->actor);
	if (firing->request.op) {
		facts_text(facts, "op", NULL, firing->request.op);
		facts_u64(facts, "sector", NULL, firing->request.sector);
		if (firing->request.bytes)
			facts_u64(facts, "bytes", NULL, firing->request.bytes);
	}
	facts_end(facts);
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
	for (unsigned i = 0; i < count; i++)
		report_firing(facts, run->rules, &firings[i]);
	facts_list_end(facts);
	if (fault_firings_missed(run->rules))
		facts_u64(facts, "firings_not_listed", "firings not listed",
			  fault_firings_missed(run->rules));
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
	struct machine_counts counts;

	machine_counts_take(run->machine, &counts);
	machine_counts_subtract(&counts, &run->stats->before);
	report_traces(facts, run);
	report_machine(facts, run);
	if (run->probe_error) {
		g_autofree char *text =
			g_strdup_printf("%s: %s", run->probe_step, fault_errno_name(run->probe_error));

		facts_text(facts, "probe_error", "probe failed", text);
	}
	report_replay(facts, run);
	report_iommu(facts, run, &counts);
	if (run->machine->swiotlb)
		report_bounces(facts, run->machine->swiotlb);
	if (run->options->mode != REPLAY_ASAP)
		report_device(facts, run);
	report_work(facts, run);
	report_locks(facts, run);
	report_faults(facts, run);
	report_findings(facts, &run->machine->sim->findings, TRUE, "violations", "violations");
	report_findings(facts, &run->machine->sim->findings, FALSE, "observations", "observations");
}
