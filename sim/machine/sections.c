/* SPDX-License-Identifier: MIT */
/*
 * The sections of a snapshot, and those of the machine itself: how it behaves, what was made to fail, what was found.
 */
#include <string.h>

#include "blockdma/snapshot.h"
#include "devtree/device/snapshot.h"
#include "iommu/dma/snapshot.h"
#include "sim/machine/replay.h"

/* ---- behaviour ---- */

static void machine_write_behaviours(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	for (unsigned row = 0; row < BEHAVIOURS; row++) {
		unsigned value = behaves(sim, (enum behaviour)row);

		if (value == BEHAVIOUR_NONE)
			continue;
		snapshot_fact(writer, "behaviour");
		snapshot_text(writer, "name", behaviour_rows[row].name);
		snapshot_text(writer, "value", behaviour_rows[row].values[value]);
	}
}

/* Neither is state: what comes of it is. So diff does not compare them, and names them as causes. */
static const struct snapshot_noun machine_behaviour_nouns[] = {
	{.name = "behaviour", .keys = {"name"}, .unseen = (const char *const[]){"value", NULL}},
	{0},
};

static void machine_judge_behaviour(void *state, struct snapshot_checker *checker,
				    const struct snapshot_line *line)
{
	const char *value = snapshot_line_get(line, "value"), *name;
	int row;

	if (strcmp(line->section, "behaviour") != 0)
		return;
	name = snapshot_line_get(line, "name");
	row = behaviour_find(name);
	if (row < 0)
		snapshot_misfit(checker, line->number, "behaviour that is not known: %s", name);
	else if (!value || !g_strv_contains(behaviour_rows[row].values, value))
		snapshot_misfit(checker, line->number, "value that %s does not have: %s", name,
				value ? value : "none");
}

static const struct snapshot_judge machine_behaviour_judge = {.fact = machine_judge_behaviour};

const struct snapshot_section machine_behaviour_section = {
	"behaviour", machine_behaviour_nouns, machine_write_behaviours, NULL, &machine_behaviour_judge};

/* ---- fault ---- */

static void machine_write_rule(struct snapshot_writer *writer, const struct fault_rules *rules, unsigned i,
			       const char *name, uint64_t passes, uint64_t fired)
{
	struct fault_left left = fault_rule_left(rules, i);

	/* Rules of --fail may have one name. */
	snapshot_fact(writer, "rule");
	snapshot_text(writer, "name", name);
	snapshot_hex(writer, "number", i + 1, 4);
	snapshot_u64(writer, "passes", passes);
	snapshot_u64(writer, "fired", fired);
	if (left.times >= 0)
		snapshot_u64(writer, "times_left", (uint64_t)left.times);
	snapshot_u64(writer, "space_left", left.space);
	snapshot_u64(writer, "interval", left.interval);
}

static void machine_write_faults(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const char *name;
	uint64_t passes, fired;

	for (unsigned i = 0; sim->fault_rules && fault_rule_stat(sim->fault_rules, i, &name, &passes, &fired);
	     i++)
		machine_write_rule(writer, sim->fault_rules, i, name, passes, fired);
}

static const struct snapshot_noun machine_fault_nouns[] = {
	{.name = "rule",
	 .keys = {"name", "number"},
	 .unseen = (const char *const[]){"passes", "fired", "times_left", "space_left", "interval", NULL}},
	{0},
};

static const struct snapshot_rule machine_fault_rules[] = {
	{.kind = SNAPSHOT_AT_MOST,
	 .noun = "rule",
	 .field = "fired",
	 .other_field = "passes",
	 .says = "rule that fired more often than it was passed"},
	{0},
};

/* A mapping in no IOVA is what a failure leaves that is not undone: where nothing has failed there is none. */

#define MACHINE_ORPHANS_MAX 1000

struct machine_fault_judge {
	uint64_t orphans[MACHINE_ORPHANS_MAX]; /* lines */
	unsigned orphan_count;
	bool failed; /* a rule fired, or there is a violation */
};

static void machine_judge_fact(void *state, struct snapshot_checker *checker,
			       const struct snapshot_line *line)
{
	struct machine_fault_judge *judge = state;

	if (strcmp(line->noun, "map") == 0 && g_strcmp0(snapshot_line_get(line, "owner"), "none") == 0) {
		if (judge->orphan_count < MACHINE_ORPHANS_MAX)
			judge->orphans[judge->orphan_count++] = line->number;
	} else if (strcmp(line->section, "fault") == 0) {
		judge->failed |= g_strcmp0(snapshot_line_get(line, "fired"), "0") != 0;
	} else if (strcmp(line->section, "violation") == 0) {
		judge->failed = true;
	}
}

static void machine_judge_end(void *state, struct snapshot_checker *checker)
{
	const struct machine_fault_judge *judge = state;

	for (unsigned i = 0; i < judge->orphan_count && !judge->failed; i++)
		snapshot_misfit(checker, judge->orphans[i], "mapping in no IOVA, though nothing has failed");
}

static const struct snapshot_judge machine_fault_judge = {sizeof(struct machine_fault_judge),
							  machine_judge_fact, machine_judge_end, NULL};

const struct snapshot_section machine_fault_section = {"fault", machine_fault_nouns, machine_write_faults,
						       machine_fault_rules, &machine_fault_judge};

/* ---- violation ---- */

static void machine_write_violations(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	uint64_t numbers[FINDING_KINDS] = {0};

	for (guint i = 0; i < sim->findings.kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(sim->findings.kept, i);

		if (!finding_kinds[finding->kind].violation)
			continue;
		snapshot_fact(writer, "violation");
		snapshot_text(writer, "kind", finding_kinds[finding->kind].name);
		snapshot_hex(writer, "number", ++numbers[finding->kind], 4);
		snapshot_text(writer, "device", finding->device ? finding->device : "none");
		snapshot_u64(writer, "cpu", finding->cpu);
		snapshot_u64(writer, "time_ns", finding->time_ns);
		snapshot_text(writer, "text", finding->text);
	}
}

static const struct snapshot_noun machine_violation_nouns[] = {
	{.name = "violation",
	 .keys = {"kind", "number"},
	 .unseen = (const char *const[]){"time_ns", NULL},
	 .added = "violation found",
	 .removed = "violation no longer found",
	 .changed = "violation changed"},
	{0},
};

const struct snapshot_section machine_violation_section = {"violation", machine_violation_nouns,
							   machine_write_violations, NULL, NULL};

/* ---- all ---- */

const struct snapshot_section *const machine_sections[] = {
	&dma_domain_section,
	&dma_iova_section,
	&dma_held_section,
	&dma_mapping_section,
	&dma_pgtable_section,
	&dma_iotlb_section,
	&nvme_section,
	&replay_request_section,
	&device_section,
	&ledger_section,
	&machine_behaviour_section,
	&machine_fault_section,
	&machine_violation_section,
	NULL,
};
