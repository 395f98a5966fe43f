/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_MACHINE_H
#define SIM_MACHINE_MACHINE_H

/*
 * A machine: the rooms, wired as the machine file says. CPUs, one IOMMU, one NVMe controller "nvme0" with a domain of its
 * own. machine_add() adds further controllers, alike, each with its domain, behind the same IOMMU: a struct machine is a
 * controller, with what all share in the first.
 */
#include "blockdma/controller.h"
#include "devtree/device/ledger.h"
#include "sim/fault/fault.h"
#include "sim/machine/board.h"
#include "sim/machine/config.h"

/** Kinds of event, and what their payload is. */
enum machine_event {
	EVENT_COMPLETION, /* slot of the request */
	EVENT_REQUEUE,	  /* slot of the request */
	EVENT_DEPOT,	  /* domain << 3 | order */
	EVENT_FLUSH,	  /* domain */
	EVENT_INTERRUPT,  /* queue */
	EVENT_TIMEOUT,	  /* slot of the request */
	EVENT_ABORT,	  /* tag of the admin queue */
	EVENT_RESET,	  /* none: the controller works again */
	EVENT_RUN_QUEUE,  /* queue: what it refused is tried again */
};

#define MACHINE_DEVICE "nvme0"
#define MACHINE_DOMAIN 1 /* of the first controller; the others' follow */

#define MACHINE_CONTROLLERS_MAX 64

/** Where bounce buffers lie: below 4 GiB, where no other memory of a simulation is. */
#define MACHINE_SWIOTLB_BASE UINT64_C(0x70000000)

struct machine {
	struct machine *first; /* whose simulation, IOMMU and bounce buffers are this one's, too: perhaps this one */
	struct machine *next;  /* the controller after this one, NULL after the last */
	unsigned number;       /* of the controller, from 0 */
	char name[16];	       /* "nvme0" */
	struct sim *sim;
	struct machine_config config;
	unsigned queues; /* I/O queues: wanted, and once probed, there */
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iotlb *device_tlb; /* of nvme0, with ATS; else NULL */
	struct iova_domain *iovad;
	struct swiotlb *swiotlb; /* NULL: the device can have no use for it, or there is none */
	struct dma_device dev;
	struct nvme *nvme; /* NULL before probing and after removal */
	struct controller ctrl;
	struct board *board; /* NULL: the machine is of no device tree */
	bool has_dev;
};

/** All fault points of the rooms that a machine has, NULL-ended. */
extern const struct fault_table *const machine_fault_tables[];

/** Returns a machine with @cpus CPUs; nothing is probed yet. @rules may be NULL, else borrowed. Free with machine_free(). */
struct machine *machine_new(const struct machine_config *config, unsigned cpus, struct fault_rules *rules);

/** Adds a controller like the first, to @first, which is of no board and not probed yet. Returns it; it goes with @first. There
 *  are fewer than MACHINE_CONTROLLERS_MAX before. */
struct machine *machine_add(struct machine *first);

/** Attaches the domains and probes the controllers, in order. @timed: the controller translates through the IOTLB. Returns 0, or the
 *  error of the step that failed, named in *@reterr_step, with everything of this controller undone: machine_remove()
 *  removes those before it. */
int machine_probe(struct machine *machine, bool timed, const char **reterr_step);

/** Unbinds the driver from all: frees queues and pools. What it still holds then is a leak, and is reported. */
void machine_remove(struct machine *machine);

void machine_free(struct machine *machine);

/** Writes a snapshot of the state now, of all controllers. @requests is the section of requests in flight with its data, or NULL. */
bool machine_snapshot(struct machine *machine, const char *path, const struct snapshot_source *requests,
		      GError **error);

/** The same after machine_remove(): only what is left. */
bool machine_snapshot_left(struct machine *machine, const char *path, GError **error);

/** What was chosen, what was made to fail, and what was found: of the simulation, without data. */
extern const struct snapshot_section machine_behaviour_section, machine_fault_section, machine_violation_section;

/** Every section that a snapshot may have, NULL-ended: what diff, show and check need to know. */
extern const struct snapshot_section *const machine_sections[];

#endif
