/* SPDX-License-Identifier: MIT */
/*
 * What a replay counts, of all its controllers, and how a warm-up is taken off: sums are noted when it ends and subtracted at
 * the end of the run, histograms and maxima begin anew.
 */
#include <string.h>

#include "sim/machine/replay-internal.h"

void replay_count_latency(struct replay *replay, enum req_op op, uint64_t latency_ns)
{
	struct replay_shared *shared = replay->shared;
	struct replay_part *part = replay->part;

	histogram_add(&replay->stats->latency[op], latency_ns);
	part->latency_ns_sum += latency_ns;
	part->latency_ns_max = MAX(part->latency_ns_max, latency_ns);
	shared->timeline_latency_ns_sum += latency_ns;
	shared->timeline_latency_count++;
	shared->timeline_latency_ns_max = MAX(shared->timeline_latency_ns_max, latency_ns);
	if (shared->count == 1)
		return;
	if (!part->latency[op])
		part->latency[op] = g_new0(struct histogram, 1);
	histogram_add(part->latency[op], latency_ns);
}

void replay_part_clear(struct replay_part *part)
{
	for (unsigned op = 0; op < REQ_OPS; op++)
		g_clear_pointer(&part->latency[op], g_free);
}

/* ---- sums ---- */

static void replay_add(void *sum, const void *more, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)sum)[i] += ((const uint64_t *)more)[i];
}

static void replay_subtract(void *from, const void *less, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)from)[i] -= ((const uint64_t *)less)[i];
}

static void replay_add_link(struct replay_link *sum, const struct pcie_direction *direction)
{
	sum->busy_ps += direction->busy_ps;
	sum->wire_bytes += direction->wire_bytes;
	sum->data_bytes += direction->data_bytes;
}

static void replay_add_device(struct replay_device *sum, const struct device_time *device)
{
	replay_add(&sum->stats, &device->stats, sizeof(sum->stats));
	replay_add_link(&sum->up, &device->link.up);
	replay_add_link(&sum->down, &device->link.down);
	sum->reads += device->link.reads;
	sum->tag_waits += device->link.tag_waits;
	sum->tag_wait_ps += device->link.tag_wait_ps;
	sum->shorter += device->service.shorter;
}

/** Counts what drivers, devices and locks have so far. */
static void replay_collect_now(struct replay_shared *shared)
{
	const struct walkers *walkers = &shared->walkers;
	struct replay_stats *stats = shared->stats;

	replay_count_in_flight(shared, 0);
	replay_collect_locks(shared);
	stats->device = (struct replay_device){.walks = walkers->walks,
					       .walk_waits = walkers->waits,
					       .walk_wait_ps = walkers->wait_ps,
					       .walk_busy_ps = walkers->busy_ps};
	stats->nvme = (struct nvme_stats){0};
	for (unsigned i = 0; i < shared->count; i++) {
		replay_add_device(&stats->device, &shared->replays[i].device);
		replay_add(&stats->nvme, &shared->replays[i].nvme->stats, sizeof(stats->nvme));
	}
}

void replay_take_cpu(const struct sim *sim, struct replay_cpu *ret_cpu)
{
	ret_cpu->busy_ns = 0;
	for (unsigned cpu = 0; cpu < sim->cpu_count; cpu++)
		ret_cpu->busy_ns += sim->cpus[cpu].busy_ns;
	memcpy(ret_cpu->work, sim->work, sizeof(ret_cpu->work));
}

/** Takes off what was done before the run, or before the end of its warm-up. */
static void replay_collect_cpu(struct replay_shared *shared)
{
	struct replay_cpu before = shared->stats->cpu;

	replay_take_cpu(shared->sim, &shared->stats->cpu);
	replay_subtract(&shared->stats->cpu, &before, sizeof(before));
}

void replay_row_take(const struct replay_shared *shared, struct replay_row *ret_row)
{
	const struct machine *machine = shared->machine;

	*ret_row = (struct replay_row){.issued = shared->stats->issued};
	for (unsigned cpu = 0; cpu < shared->sim->cpu_count; cpu++)
		ret_row->busy_ns += shared->sim->cpus[cpu].busy_ns;
	if (machine->domain) {
		ret_row->misses = iotlb_stats(machine->iommu->tlb)->misses;
		ret_row->table_reads = iotlb_stats(machine->iommu->tlb)->table_reads;
		ret_row->invalidations = machine->iommu->stats.invalidate_commands;
	}
	for (unsigned i = 0; i < shared->count; i++) {
		ret_row->up_bytes += shared->replays[i].device.link.up.wire_bytes;
		ret_row->down_bytes += shared->replays[i].device.link.down.wire_bytes;
	}
}

/* ---- the warm-up ---- */

/** Histograms and maxima begin anew. */
static void replay_begin_anew(struct replay_shared *shared)
{
	struct replay_stats *stats = shared->stats;

	memset(stats->latency, 0, sizeof(stats->latency));
	memset(&stats->lateness, 0, sizeof(stats->lateness));
	stats->max_in_flight = shared->in_flight;
	stats->mapped_bytes_max = stats->iova_live_max = stats->page_table_pages_max = 0;
	for (unsigned i = 0; i < shared->count; i++) {
		struct replay *replay = &shared->replays[i];

		replay->part->max_in_flight = replay->in_flight;
		replay->part->latency_ns_max = replay->part->lateness_ns_max = 0;
		replay_part_clear(replay->part);
		if (replay->machine->dev.fq)
			fq_forget_windows(replay->machine->dev.fq);
	}
}

/** Returns how long those in flight have been so, in all. */
static uint64_t replay_carried_ns(const struct replay_shared *shared)
{
	uint64_t sum_ns = 0;

	for (guint i = 0; i < shared->requests->len; i++) {
		const struct replay_request *rr = g_ptr_array_index(shared->requests, i);

		if (replay_is_open(rr))
			sum_ns += shared->sim->now_ns - rr->start_ns;
	}
	return sum_ns;
}

void replay_warm(struct replay_shared *shared)
{
	struct replay_stats *stats = shared->stats;

	shared->warm_next_ns = NEVER;
	replay_collect_now(shared);
	stats->warmed_up = true;
	stats->begun_ns = shared->sim->now_ns;
	stats->warmup_ios = stats->ios;
	stats->warmup_in_flight = shared->in_flight;
	stats->warmup_carried_ns = replay_carried_ns(shared);
	machine_counts_take(shared->machine, &stats->before);
	replay_take_cpu(shared->sim, &stats->cpu);
	shared->warm = g_memdup2(stats, sizeof(*stats));
	shared->warm_parts = g_new(struct replay_part, shared->count);
	for (unsigned i = 0; i < shared->count; i++)
		shared->warm_parts[i] = *shared->replays[i].part;
	replay_begin_anew(shared);
}

void replay_warm_by_count(struct replay_shared *shared)
{
	if (shared->options->warmup_count && shared->options->warmup_count == shared->stats->issued &&
	    !shared->warm)
		replay_warm(shared);
}

/* What is summed up and lies side by side. */
#define REPLAY_SUBTRACT(from, less, first, last)                                                     \
	replay_subtract(&(from)->first, &(less)->first,                                              \
			offsetof(struct replay_stats, last) - offsetof(struct replay_stats, first) + \
				sizeof((from)->last))

static void replay_subtract_locks(struct sim_lock *locks, const struct sim_lock *less)
{
	for (unsigned i = 0; i < REPLAY_LOCKS; i++) {
		locks[i].taken -= less[i].taken;
		locks[i].waits -= less[i].waits;
		locks[i].wait_ns_sum -= less[i].wait_ns_sum;
		locks[i].hold_ps_sum -= less[i].hold_ps_sum;
	}
}

static void replay_subtract_warmup(struct replay_shared *shared)
{
	struct replay_stats *stats = shared->stats;
	const struct replay_stats *warm = shared->warm;

	REPLAY_SUBTRACT(stats, warm, ios, status_count);
	REPLAY_SUBTRACT(stats, warm, op_count, form_segments);
	stats->in_flight_ns -= warm->in_flight_ns;
	replay_subtract(&stats->device, &warm->device, sizeof(stats->device));
	stats->nvme.hmb_bytes += warm->nvme.hmb_bytes; /* no sum */
	replay_subtract(&stats->nvme, &warm->nvme, sizeof(stats->nvme));
	replay_subtract_locks(stats->locks, warm->locks);
	for (unsigned i = 0; i < shared->count; i++) {
		struct replay_part *part = shared->replays[i].part;
		const struct replay_part *less = &shared->warm_parts[i];

		part->ios -= less->ios;
		part->issued -= less->issued;
		part->bytes -= less->bytes;
		part->errors -= less->errors;
		part->latency_ns_sum -= less->latency_ns_sum;
		part->lateness_ns_sum -= less->lateness_ns_sum;
	}
}

/** Returns when the run is over: the last step may reach beyond the last event. */
static uint64_t replay_over_ns(const struct sim *sim)
{
	uint64_t over_ns = sim->now_ns;

	for (unsigned cpu = 0; cpu < sim->cpu_count; cpu++)
		over_ns = MAX(over_ns, sim->cpus[cpu].free_at_ns);
	return over_ns;
}

void replay_collect(struct replay_shared *shared)
{
	shared->stats->over_ns = replay_over_ns(shared->sim);
	replay_collect_cpu(shared);
	replay_collect_now(shared);
	if (shared->warm)
		replay_subtract_warmup(shared);
	g_free(shared->warm);
	g_free(shared->warm_parts);
}
