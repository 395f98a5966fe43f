/* SPDX-License-Identifier: MIT */
#include "sim/campaign/sweep-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Observations that mean harm where a fault brings them about: nobody gets what was lost, or a request is. */
static bool sweep_harms(enum finding_kind kind)
{
	return finding_kinds[kind].violation || kind == FINDING_STUCK || kind == FINDING_IOVA_SMALLER_CLASS ||
	       kind == FINDING_STALE_REACHABLE || kind == FINDING_LINK_IN_GRANULE;
}

/* ---- what is mapped ---- */

struct sweep_look {
	const struct machine *machine;
	GArray *live;
};

static void sweep_look_at(void *data, const struct dma_live *live)
{
	struct sweep_look *look = data;
	const struct pgtable *pt = look->machine->domain->pt;
	uint64_t granule = UINT64_C(1) << look->machine->dev.granule_lg2;

	if (live->taker == DMA_TAKER_COHERENT)
		return;
	for (uint64_t at = 0; at < live->len_bytes; at += granule) {
		struct sweep_mapping mapping = {.device = look->machine->number};
		struct pgtable_walk walk;

		if (!pt->ops->walk(pt, live->iova + at, &walk))
			continue;
		mapping.paddr = walk.paddr;
		mapping.prot = walk.prot;
		g_array_append_val(look->live, mapping);
	}
}

static int sweep_mapping_compare(const void *a, const void *b)
{
	const struct sweep_mapping *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->paddr != y->paddr)
		return x->paddr < y->paddr ? -1 : 1;
	return x->prot < y->prot ? -1 : x->prot > y->prot;
}

void sweep_live_sort(GArray *live)
{
	g_array_sort(live, sweep_mapping_compare);
}

static void sweep_at_end(void *data, struct machine *machine)
{
	struct sweep_outcome *outcome = data;

	for (; machine; machine = machine->next) {
		struct sweep_look look = {machine, outcome->live};

		if (machine->domain)
			dma_live_each(&machine->dev, sweep_look_at, &look);
	}
	sweep_live_sort(outcome->live);
}

/* ---- a run ---- */

/** Probes all. A controller without I/O queues is of no use. */
static bool sweep_probe(const struct sweep_options *options, struct sweep_outcome *outcome)
{
	struct machine *machine = outcome->machine;

	outcome->probe_error =
		machine_probe(machine, options->replay.mode != REPLAY_ASAP, &outcome->probe_step);
	if (!outcome->probe_error && machine->nvme->queue_count < 2) {
		outcome->probe_error = -ENOMEM;
		outcome->probe_step = "NVMe I/O queues";
	}
	return !outcome->probe_error;
}

/** Returns how many blocks and tables the drivers of all controllers have. */
static uint64_t sweep_count_unfreed(const struct machine *machine)
{
	uint64_t unfreed = 0;

	for (; machine; machine = machine->next)
		if (machine->nvme)
			unfreed += machine->nvme->dma_vecs + machine->nvme->small_pool.in_use +
				   machine->nvme->large_pool.in_use;
	return unfreed;
}

void sweep_replay(const struct sweep_options *options, struct sweep_outcome *ret_outcome)
{
	struct replay_options replay = options->replay;
	g_autoptr(GError) error = NULL;

	*ret_outcome =
		(struct sweep_outcome){.live = g_array_new(FALSE, FALSE, sizeof(struct sweep_mapping))};
	replay.at_end = sweep_at_end;
	replay.at_end_data = ret_outcome;
	io_transform_rewind(options->trace);
	ret_outcome->machine = machine_new(options->config, options->cpus, options->rules);
	if (sweep_probe(options, ret_outcome) && !replay_run(ret_outcome->machine, &options->trace, &replay,
							     &ret_outcome->stats, &ret_outcome->part, &error))
		ret_outcome->trouble = g_strdup(error->message);
	ret_outcome->unfreed = sweep_count_unfreed(ret_outcome->machine);
	machine_remove(ret_outcome->machine);
}

void sweep_outcome_clear(struct sweep_outcome *outcome)
{
	machine_free(outcome->machine);
	if (outcome->live)
		g_array_unref(outcome->live);
	g_free(outcome->trouble);
	*outcome = (struct sweep_outcome){0};
}

/* ---- what is required of it ---- */

static void sweep_say(GString *said, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void sweep_say(GString *said, const char *format, ...)
{
	va_list args;

	if (said->len)
		g_string_append(said, "; ");
	va_start(args, format);
	g_string_append_vprintf(said, format, args);
	va_end(args);
}

/** Returns the first finding of @kind that was kept. */
static const struct finding *sweep_first(const struct findings *findings, enum finding_kind kind)
{
	for (guint i = 0; i < findings->kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(findings->kept, i);

		if (finding->kind == kind)
			return finding;
	}
	g_assert_not_reached();
}

/** Says which kinds of harm but those @expected were found more often than in @reference, NULL for none there. */
static void sweep_judge_findings(GString *said, const struct sweep_outcome *outcome,
				 const struct sweep_outcome *reference, unsigned expected)
{
	const struct findings *findings = &outcome->machine->sim->findings;

	for (unsigned kind = 0; kind < FINDING_KINDS; kind++) {
		uint64_t before = reference ? reference->machine->sim->findings.count[kind] : 0;
		const struct finding *first;

		if (!sweep_harms((enum finding_kind)kind) || expected & 1u << kind ||
		    findings->count[kind] <= before)
			continue;
		first = sweep_first(findings, (enum finding_kind)kind);
		sweep_say(said, "%s (%" G_GUINT64_FORMAT "): %s", finding_kinds[kind].name,
			  findings->count[kind] - before, first->text);
	}
}

static void sweep_judge_frames(GString *said, const struct machine *machine)
{
	static const char *const names[FRAME_USES] = {NULL, "page-table pages", "frames of queues",
						      "frames of pools", "frames of the host memory buffer"};
	const struct physmem *mem = &machine->sim->mem;
	unsigned tables = 0;

	for (const struct machine *at = machine; at; at = at->next)
		tables += at->domain ? (unsigned)at->domain->pt->table_pages : 0;
	/* The domains stay. On some boards a root has several frames, or tables share one. */
	if (!machine->board && mem->in_use[FRAME_PGTABLE] != tables)
		sweep_say(said, "%u frames for %u page-table pages", mem->in_use[FRAME_PGTABLE], tables);
	for (unsigned use = FRAME_PGTABLE + 1; use < FRAME_USES; use++)
		if (mem->in_use[use])
			sweep_say(said, "%u %s left", mem->in_use[use], names[use]);
}

/** Says how much more is never freed than in @reference: one finding has all of a pool. */
static void sweep_judge_unfreed(GString *said, const struct sweep_outcome *outcome,
				const struct sweep_outcome *reference)
{
	if (reference->unfreed && outcome->unfreed > reference->unfreed)
		sweep_say(said,
			  "%" G_GUINT64_FORMAT " more descriptor blocks and vector tables were never freed, "
					       "in all %" G_GUINT64_FORMAT,
			  outcome->unfreed - reference->unfreed, outcome->unfreed);
}

/** Says what is left behind when the machine is removed. */
static void sweep_judge_left(GString *said, const struct machine *machine)
{
	const struct iommu_stats *stats = machine->iommu ? &machine->iommu->stats : NULL;

	for (const struct machine *at = machine; at; at = at->next)
		if (at->has_dev && at->dev.live.count)
			sweep_say(said, "%u addresses left", at->dev.live.count);
	if (stats && stats->mapped_bytes != stats->unmapped_bytes)
		sweep_say(said, "%" G_GUINT64_FORMAT " bytes mapped, %" G_GUINT64_FORMAT " unmapped",
			  stats->mapped_bytes, stats->unmapped_bytes);
	sweep_judge_frames(said, machine);
}

static void sweep_judge_ends(GString *said, const struct sweep_outcome *outcome,
			     const struct sweep_outcome *reference)
{
	const struct replay_stats *stats = &outcome->stats, *usual = &reference->stats;

	if (stats->ios != usual->ios || stats->issued != usual->issued)
		sweep_say(said, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " requests ended", stats->ios,
			  usual->issued);
}

static void sweep_judge_errors(GString *said, const struct sweep_outcome *outcome,
			       const struct sweep_outcome *reference, const struct fault_point *point)
{
	uint64_t errors = outcome->stats.errors, usual = reference->stats.errors;

	if (point->error == -ENOMEM && errors > usual)
		sweep_say(said, "%" G_GUINT64_FORMAT " requests failed, which the kernel tries again",
			  errors - usual);
}

/** Returns how many of @a are not in @b, both sorted, and the first of them in *@ret_first. */
static guint sweep_only_in(const GArray *a, const GArray *b, struct sweep_mapping *ret_first)
{
	guint only = 0;

	for (guint i = 0, j = 0; i < a->len; i++) {
		const struct sweep_mapping *mapping = &g_array_index(a, struct sweep_mapping, i);

		while (j < b->len &&
		       sweep_mapping_compare(&g_array_index(b, struct sweep_mapping, j), mapping) < 0)
			j++;
		if (j < b->len &&
		    sweep_mapping_compare(&g_array_index(b, struct sweep_mapping, j), mapping) == 0) {
			j++;
			continue;
		}
		if (!only++)
			*ret_first = *mapping;
	}
	return only;
}

static void sweep_say_mappings(GString *said, const char *what, const GArray *a, const GArray *b)
{
	struct sweep_mapping first = {0};
	guint count = sweep_only_in(a, b, &first);

	if (count)
		sweep_say(said,
			  "%u granules %s mapped where the trace ends, first 0x%" G_GINT64_MODIFIER
			  "x (%s%s) of nvme%u",
			  count, what, first.paddr, first.prot & PROT_READ ? "r" : "",
			  first.prot & PROT_WRITE ? "w" : "", first.device);
}

void sweep_say_live(GString *said, const GArray *live, const GArray *reference, bool fewer)
{
	sweep_say_mappings(said, "more", live, reference);
	if (fewer)
		sweep_say_mappings(said, "fewer", reference, live);
}

static void sweep_judge_live(GString *said, const struct sweep_outcome *outcome,
			     const struct sweep_outcome *reference)
{
	/* A request that the device failed has ended before its time. */
	sweep_say_live(said, outcome->live, reference->live,
		       outcome->stats.errors <= reference->stats.errors);
}

/** Returns the findings, a mask of 1 << kind, that other rules bring about. */
static unsigned sweep_expected(const struct sweep_options *options)
{
	return options->others_fail ? 1u << FINDING_STUCK : 0;
}

char *sweep_judge(const struct sweep_options *options, const struct sweep_outcome *outcome,
		  const struct sweep_outcome *reference, const struct fault_point *point)
{
	unsigned expected = point->expected | sweep_expected(options);
	GString *said = g_string_new(NULL);

	if (outcome->trouble)
		sweep_say(said, "%s", outcome->trouble);
	sweep_judge_findings(said, outcome, reference, expected);
	sweep_judge_unfreed(said, outcome, reference);
	sweep_judge_left(said, outcome->machine);
	if (!outcome->probe_error)
		sweep_judge_ends(said, outcome, reference);
	if (!outcome->probe_error && !options->others_fail) {
		sweep_judge_errors(said, outcome, reference, point);
		sweep_judge_live(said, outcome, reference);
	}
	return g_string_free(said, said->len == 0);
}

char *sweep_judge_unfaulted(const struct sweep_options *options, const struct sweep_outcome *reference)
{
	GString *said = g_string_new(NULL);

	sweep_judge_findings(said, reference, NULL, sweep_expected(options));
	sweep_judge_left(said, reference->machine);
	return g_string_free(said, said->len == 0);
}
