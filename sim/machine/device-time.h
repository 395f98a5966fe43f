/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_DEVICE_TIME_H
#define SIM_MACHINE_DEVICE_TIME_H

/*
 * Time on the device: what a command does after its doorbell, step by step, until its interrupt is at the CPU.
 *
 *	fetch		the doorbell arrives; the controller reads the command, then its lists, one after the other, then, of a
 *			write, the data
 *	serve		a channel is free and works: service.h
 *	transfer	the data of a read go to memory
 *	complete	the completion and the MSI-X message go to memory, behind the data
 *
 * The controller has done all that already, when the doorbell was rung (blockdma/controller.h): here it takes time. Each
 * access is translated: a miss in the IOTLB is a walk, as long as the entries that it reads take, on one of the walkers that all
 * devices share; with none free it waits. What is sent meanwhile waits with it, and no longer. With ATS the device asks first, and
 * then sends.
 *
 * Everything is "free at": a step returns when the next one begins, and callers take the steps in the order of time, so that
 * who comes first is served first. A command has three steps with data, two without. What a step needs later than at its own
 * time (the data behind the list behind the command) has its place in line from the time of the step on, and is not served
 * before it is asked for: nobody else waits for what has not come yet.
 */
#include "blockdma/controller.h"
#include "sim/machine/pcie.h"
#include "sim/machine/service.h"

/** The IOMMU's, for all devices. */
struct walkers {
	struct sim *sim;
	const struct request *req; /* whose step it is */
	uint64_t free_ps[CONFIG_WALKERS_MAX];
	unsigned count;
	uint64_t memory_ps; /* one entry */
	uint64_t walks, waits;
	uint64_t busy_ps, wait_ps; /* sums */
};

void walkers_init(struct walkers *walkers, struct sim *sim, const struct machine_config *config);

/** One walk that reads @table_reads entries: asked for at @at_ps, not before, by a command whose step is at @now_ps, and in
 *  line from then on. Returns when it ends. */
uint64_t walkers_walk(struct walkers *walkers, uint64_t now_ps, uint64_t at_ps, uint32_t table_reads);

/** Which step of a command is next. */
enum device_step {
	DEVICE_FETCH,
	DEVICE_SERVE,	 /* of a write: its data are here */
	DEVICE_TRANSFER, /* of a read: the channel has its data */
	DEVICE_DONE,	 /* the completion is in memory, and the interrupt at its CPU */
};

/** Where the time of commands went, in ps, of so many commands. */
struct device_stats {
	uint64_t commands;
	uint64_t fetch_ps;    /* reading commands, lists and the data of writes */
	uint64_t wait_ps;     /* for a channel */
	uint64_t service_ps;  /* in one */
	uint64_t transfer_ps; /* data of reads, completions and interrupts */
};

/** What one controller has. */
struct device_time {
	struct pcie_link link;
	struct service service;
	struct walkers *walkers; /* borrowed */
	uint64_t *channel_free_ps;
	uint32_t channels;
	bool channels_power; /* of two */
	uint64_t ats_ps;
	bool *vectors; /* by queue: the IOMMU knows where its interrupt goes */
	struct device_alone *alone; /* the same once more, for one command at a time; NULL: service times are not recorded */
	struct device_stats stats;
};

/** @queues: admin and I/O queues together. @recording: as service_init() has it. @walkers is borrowed. */
void device_time_init(struct device_time *device, const struct machine_config *config, unsigned number,
		      uint64_t seed, unsigned queues, struct walkers *walkers,
		      struct io_transform *recording);
void device_time_finish(struct device_time *device);

/** One command and where it is. */
struct device_work {
	const struct controller_command *command;
	const struct request *req; /* which it is, to be announced */
	uint64_t number; /* of the request in its trace */
	uint64_t ahead_ns; /* how far its doorbell was when it took its place in line */
	/* Of the request that was recorded, of which the command may be a piece. */
	uint64_t bytes;
	uint64_t submit_ps; /* of its first piece: what the CPU took for that, and what was submitted with it */
	uint64_t cpu_ns;    /* what it takes for it, before the device and after */
	unsigned qid;
	bool interrupts; /* its queue has an interrupt */
	enum device_step step;
};

/** Takes the step that @work has next, at @now_ns, which never goes back. @at_ns: from when on it has what it needs; later
 *  than @now_ns for a doorbell that is about to arrive. Sets the next step and returns when it is. Not after DEVICE_DONE. */
uint64_t device_take_step(struct device_time *device, struct device_work *work, uint64_t now_ns,
			  uint64_t at_ns);

#endif
