/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_EXPLAIN_CALLS_H
#define SIM_CMD_EXPLAIN_CALLS_H

/*
 * The calls that a machine makes of its DMA layer, and what each did below: heard, kept, told.
 *
 * Announcements come when a call returns, after those of what it did; what is heard in between is put under it.
 */
#include "sim/machine/machine.h"
#include "sim/report/facts.h"

struct explain_hearing {
	struct sim_observer observer;
	struct machine *machine;
	struct fault_rules *rules;	/* NULL: none */
	GArray *calls;			/* of struct explain_call, since they were last told */
	GArray *below;			/* of struct explain_below */
	guint below_first;		/* of the call that has not returned */
	uint64_t commands, tree_allocs; /* of IOMMU and allocator, when last looked at */
	unsigned firings;
	bool coherent; /* the call that has not returned is one for the memory of lists, at … */
	uint64_t coherent_iova;
};

/** Starts hearing @machine, which is probed, for as long as it lives. */
void explain_hearing_init(struct explain_hearing *hearing, struct machine *machine,
			  struct fault_rules *rules);
/** After machine_free(). */
void explain_hearing_finish(struct explain_hearing *hearing);

/** Whether there is something to tell. */
bool explain_has_calls(struct explain_hearing *hearing);

/** Tells what was heard under list @key and heading @label, and forgets it. What no call did stands under @others. In the
 *  table of many calls alike only the first and the last stand, unless @all. */
void explain_tell_calls(struct explain_hearing *hearing, struct facts *facts, const char *key,
			const char *label, const char *others, bool all);

/** Returns the first call of @kind among those heard since they were last told, until they are; NULL if there was none. */
const struct dma_call *explain_heard_call(const struct explain_hearing *hearing, enum dma_call_kind kind);

/** Adds an address in hexadecimal. */
void explain_facts_hex(struct facts *facts, const char *key, uint64_t value);

#endif
