/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_FINDING_H
#define SIM_CORE_FINDING_H

/*
 * Findings: what the run has to say about the modelled kernel.
 *
 * A violation is what DMA debugging or the reference ledger would call wrong, and makes the exit code 1. An observation
 * is an oddity of the modelled kernel without a known fix; it is printed and counted and changes nothing. Kinds are
 * named as DMA debugging names them (blockdma-facts section 7.4), for the coalesced path too.
 *
 * Every finding is counted; the first FINDINGS_KEPT of each kind are kept whole, so memory stays constant.
 */
#include <stdint.h>

#include <glib.h>

struct sim;

enum finding_kind {
	FINDING_LEAK,		/* something taken and never given back */
	FINDING_DOUBLE_UNMAP,	/* unmap of what is not mapped at all */
	FINDING_WRONG_SIZE,	/* unmap of another size than is mapped */
	FINDING_WRONG_FUNCTION, /* unmap by another function than goes with the one that mapped */
	FINDING_WRONG_DIRECTION, /* unmap in the other direction */
	FINDING_INVALID_UNMAP,	/* unmap of what a failed map returned */
	FINDING_HOLE,		/* device access to an address without a mapping */
	FINDING_PERMISSION,	/* device access that the mapping forbids */
	FINDING_STALE,		/* device access through a translation that is no longer valid */
	FINDING_REF_LEAK,	/* reference never dropped */
	FINDING_REF_DOUBLE_PUT, /* reference dropped twice */
	FINDING_NULL_DEREF,	/* null dereference that the modelled kernel would have hit */
	FINDING_KERNEL_WARNING, /* a WARN of the modelled kernel */
	FINDING_CORRUPTION,	/* the modelled kernel writes to memory that is somebody else's */
	FINDING_USE_AFTER_RELEASE, /* the modelled kernel uses what it has released */
	FINDING_UNINITIALISED,	   /* the modelled kernel decides by a variable that was never set */
	FINDING_STUCK, /* observation: request for which no resource was found so often that the run goes on
				  * without it; the kernel would try for ever */
	FINDING_IOVA_SMALLER_CLASS, /* observation: IOVA given back with less than its size (D5, D8) */
	FINDING_STALE_REACHABLE,    /* observation: entries left behind that the device can still use (D8) */
	FINDING_LINK_IN_GRANULE,    /* observation: a segment of a request's IOVA that starts inside a granule (D6) */
	FINDING_UNTRANSLATED,	    /* observation: a device that has an IOMMU came to run without */
	FINDING_DRIVER_ODDITY,	    /* observation: what a driver does wrong and no known fix repairs */
	FINDING_KINDS,
};

struct finding_kind_info {
	const char *name; /* "wrong-size unmap" */
	gboolean violation;
};

extern const struct finding_kind_info finding_kinds[FINDING_KINDS];

#define FINDINGS_KEPT 100 /* of each kind */

struct finding {
	enum finding_kind kind;
	uint64_t time_ns;
	unsigned cpu;
	char *device;
	char *text;	/* what happened */
	char *acquired; /* where the thing was acquired; NULL where there is no such place */
};

struct findings {
	GPtrArray *kept; /* of struct finding, in order of occurrence */
	uint64_t count[FINDING_KINDS];
};

void findings_init(struct findings *findings);
void findings_finish(struct findings *findings);

/** Reports a finding at the simulation's current time, CPU and device. @acquired says where the thing was taken, in a
 *  few words, or is NULL. Both strings are copied. */
void sim_find(struct sim *sim, enum finding_kind kind, const char *acquired, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

/** Returns how many violations (not observations) were found so far. */
uint64_t findings_violations(const struct findings *findings);
uint64_t findings_observations(const struct findings *findings);

#endif
