/* SPDX-License-Identifier: MIT */
/*
 * The sections of a snapshot, and those of the machine itself: how it behaves, what was made to fail, what was found.
 */
#include "blockdma/snapshot.h"
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

const struct snapshot_section machine_behaviour_section = {"behaviour", machine_behaviour_nouns,
							   machine_write_behaviours, NULL};

/* ---- fault ---- */

static void machine_write_faults(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const char *name;
	uint64_t passes, fired;

	for (unsigned i = 0; sim->fault_rules && fault_rule_stat(sim->fault_rules, i, &name, &passes, &fired);
	     i++) {
		snapshot_fact(writer, "rule");
		snapshot_text(writer, "name", name);
		snapshot_u64(writer, "passes", passes);
		snapshot_u64(writer, "fired", fired);
	}
}

static const struct snapshot_noun machine_fault_nouns[] = {
	{.name = "rule", .keys = {"name"}, .unseen = (const char *const[]){"passes", "fired", NULL}},
	{0},
};

const struct snapshot_section machine_fault_section = {"fault", machine_fault_nouns, machine_write_faults,
						       NULL};

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
							   machine_write_violations, NULL};

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
	&ledger_section,
	&machine_behaviour_section,
	&machine_fault_section,
	&machine_violation_section,
	NULL,
};
