/* SPDX-License-Identifier: MIT */
#ifndef SIM_FAULT_FAULT_H
#define SIM_FAULT_FAULT_H

/*
 * Fault points: the places where the modelled kernel can fail, and the faults file that makes it.
 *
 * A point is declared once, in its room's table, with the name users write and what the kernel sees when it fails. The
 * code at the place asks:
 *
 *	int err = sim_fault(sim, FAULT_DMA_LINK);
 *	if (err)
 *		return err;
 *
 * Each question is a *pass* and is counted whether or not a rule exists. A rule of the faults file covers one point or
 * several (a glob); all its passes are numbered together from 1. Several rules compose: the first, in file order, that
 * says fail wins. The later ones count the pass, so that a rule's numbers do not depend on what others let fail, and decide
 * nothing.
 *
 * The words and the order of the decision are Linux's (lib/fault-inject.c, as blockdma-facts section 9.2 tells it):
 * nth counts down and decides alone; else probability 0 never fails; times exhausted; space; interval; the draw.
 */
#include "sim/core/error.h"
#include "sim/core/sim.h"

/* Where each room's points start in the shared numbering. A new room takes the next free range. */
enum {
	FAULT_ROOM_IOVA = 0,
	FAULT_ROOM_IOMMU = 16,
	FAULT_ROOM_DMA = 32,
	FAULT_ROOM_NVME = 48,
	FAULT_ROOM_CONTROLLER = 64,
	FAULT_ROOM_DEVTREE = 80,
	FAULT_ROOM_TEST = SIM_FAULTS_MAX - 16,
};

#define FAULT_NO_ACTION UINT32_MAX

struct fault_point {
	const char *name;   /* "dma.link" */
	int error;	    /* negative errno that the kernel sees by default */
	const char *sees;   /* what the kernel sees, in words */
	const char *source; /* kernel function that can fail there */
	/** Takes a rule's action=: what exactly the hardware does, as a number that the place of the point understands. Returns
	 * whether @text is one. NULL: the point has but one way to fail. */
	bool (*action)(const char *text, uint32_t *ret_action);
	const char *actions; /* what @action takes, in words */
	unsigned expected;  /* findings, a mask of 1 << enum finding_kind, that the failure itself brings about whatever the kernel
			     * does: of hardware */
};

/** Returns the name of a negative errno, "ENOMEM". */
const char *fault_errno_name(int error);

/** A room's points: numbers @first .. @first + @count - 1. */
struct fault_table {
	unsigned first;
	unsigned count;
	const struct fault_point *points;
};

/** Rules of a faults file, and the points they may name. */
struct fault_rules *fault_rules_new(const struct fault_table *const *tables /* ends with NULL, borrowed */);
void fault_rules_free(struct fault_rules *rules);

/** Makes @rules (borrowed until sim_free() or the next call) decide in @sim, their passes counted from here. NULL: nothing
 * fails. */
void fault_rules_arm(struct fault_rules *rules, struct sim *sim);

/** Reads the faults file @path into @rules. On error *@error names FILE:LINE, and @rules holds only what it held. */
bool fault_rules_load(struct fault_rules *rules, const char *path, GError **error);

/** Adds the rule that the @nth pass, from 1, of the points that match @glob fails with @error, a negative errno (0: the
 * point's own). It is called "GLOB:NTH", and its firing is one for the summary (verbose = 2). Returns whether
 * there are such points. Arm @rules afterwards. */
bool fault_rules_add_nth(struct fault_rules *rules, const char *glob, uint64_t nth, int error);

/** The same, as "DEVICE:GLOB:NTH", for passes on behalf of @device alone (sim->device; NULL: any); @persist: all from the @nth on fail. */
bool fault_rules_add_nth_of(struct fault_rules *rules, const char *glob, const char *device, uint64_t nth,
			    int error, bool persist);

/** Whoever is asked at a pass before the rules are, with sim->fault_passes[@point] its number. Returns whether it is to fail, with
 *  the point's own error; the rules count that pass then, and decide nothing. */
typedef bool (*fault_watch)(void *data, struct sim *sim, unsigned point);

/** Lets @watch see every pass of the points of which @points is true, SIM_FAULTS_MAX of them and copied; NULL: nobody does. Arm
 *  @rules afterwards. */
void fault_rules_watch(struct fault_rules *rules, const bool *points, fault_watch watch, void *data);

/** Returns the point numbered @id, or NULL. */
const struct fault_point *fault_point_get(const struct fault_rules *rules, unsigned id);

/** How often a rule was passed and fired; @index in file order. Returns false past the last rule. */
bool fault_rule_stat(const struct fault_rules *rules, unsigned index, const char **ret_name,
		     uint64_t *ret_passes, uint64_t *ret_fired);

/** What a rule's next decision depends on besides the pass. */
struct fault_left {
	int64_t times;	   /* firings; -1: no end */
	uint64_t space;	   /* not yet spent */
	uint64_t interval; /* passes of the present one */
};

/** Returns that of rule @index, which there is. */
struct fault_left fault_rule_left(const struct fault_rules *rules, unsigned index);

/** Returns how many passes of its points the filters of rule @index, which there is, left out. */
uint64_t fault_rule_left_out(const struct fault_rules *rules, unsigned index);

/** What a request is, so that it is found in a trace. */
struct fault_request {
	const char *op;		/* "write"; borrowed */
	uint64_t sector, bytes; /* 0 bytes: it moves no data of its own */
};

/** Tells what the request is that sim->actor numbers. Returns whether it is known. */
typedef bool (*fault_teller)(void *data, const struct sim *sim, struct fault_request *ret_request);

/** Lets @tell be asked at each firing on behalf of a request; NULL: nobody is. */
void fault_rules_tell(struct fault_rules *rules, fault_teller tell, void *data);

/** One firing: kept for the run's log, the first FAULT_LOG_KEPT of them. */
struct fault_firing {
	uint64_t time_ns;
	unsigned cpu;
	char device[32];
	unsigned point;
	uint64_t pass; /* number of the point's pass that failed, from 1 */
	unsigned rule; /* index in file order */
	int error;
	bool shown;	/* the summary has it too: verbose = 2 */
	uint64_t actor; /* number of the request, 0: set-up and timers */
	struct fault_request request; /* .op NULL: not known */
};

#define FAULT_LOG_KEPT 1000

/** Returns the firings kept, oldest first, *@ret_count of them; borrowed until the next pass. */
const struct fault_firing *fault_firings(const struct fault_rules *rules, unsigned *ret_count);

/** Returns how many more firings would have been kept, had there been room. */
uint64_t fault_firings_missed(const struct fault_rules *rules);

/** Asks the rules; called by sim_fault() for a point that some rule covers. Returns 0 or the negative errno. */
int fault_decide(struct sim *sim, unsigned point, uint64_t size);

/** Passes @point with @size (Linux's "space" attribute is spent in this unit: bytes for memory, else 1). Returns 0, or
 *  the negative errno with which this pass fails. */
static inline int sim_fault_size(struct sim *sim, unsigned point, uint64_t size)
{
	sim->fault_passes[point]++;
	return G_UNLIKELY(sim->fault_armed[point]) ? fault_decide(sim, point, size) : 0;
}

static inline int sim_fault(struct sim *sim, unsigned point)
{
	return sim_fault_size(sim, point, 1);
}

#endif
