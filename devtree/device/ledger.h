/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_DEVICE_LEDGER_H
#define DEVTREE_DEVICE_LEDGER_H

/*
 * The reference ledger: who holds what, since when, and where it was taken.
 *
 * Every reference on a device, group or domain is entered with its holder and the function that took it, and leaves when
 * the same holder drops it. What is left at teardown is a leak with a name; what is dropped without having been taken is
 * a double put. Both become findings.
 */
#include "sim/core/sim.h"
#include "sim/snapshot/snapshot.h"

struct ledger_entry {
	char *object; /* "nvme0" */
	char *holder; /* "driver nvme" */
	char *site;   /* function that took it: "really_probe" */
	uint32_t count;
	uint64_t time_ns;
	unsigned cpu;
};

/** Makes sim->ledger. Free with ledger_free() before sim_free(). */
void ledger_new(struct sim *sim);
void ledger_free(struct sim *sim);

/** @holder takes a reference on @object in @site. */
void ledger_get(struct sim *sim, const char *object, const char *holder, const char *site);

/** @holder drops one. Without one to drop: a finding, and nothing else. */
void ledger_put(struct sim *sim, const char *object, const char *holder, const char *site);

/** Calls @fn for each holding, sorted by object and holder. */
void ledger_each(const struct sim *sim, void (*fn)(void *data, const struct ledger_entry *entry), void *data);

/** Reports every holding that is left as a reference never dropped. */
void ledger_report_leaks(struct sim *sim);

/** "reference": one fact a holding. Its data is not used. */
extern const struct snapshot_section ledger_section;

#endif
