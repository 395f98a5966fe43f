/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_MODEL_H
#define SIM_VERIFY_MODEL_H

/*
 * Runs what a recorded kernel did through the model, op by op, and compares what the model does with the events.
 *
 * An op goes through the NVMe driver's data path, the block mapper, the DMA layer, page table and invalidation as in any
 * simulation; only the addresses that the allocator and the pools of blocks hand out come from elsewhere: order.h and pools.c
 * show that our allocator and pools hand out just these. What an op does in the model are its *effects*; of each kind
 * that the recording has at all, they must be the events of the op, in number, order and every field.
 */
#include "sim/machine/config.h"
#include "sim/verify/recording.h"

/** What is compared, as people are told of it. */
enum verify_class {
	VERIFY_IOVA,	 /* addresses: of order.h */
	VERIFY_REQUESTS, /* what the allocator is asked for: size, limit, whether to flush */
	VERIFY_FREES,	 /* what goes back to it, and when */
	VERIFY_CALLS,	 /* of the DMA layer, by the driver */
	VERIFY_MAPS,
	VERIFY_MAP_RESULTS,
	VERIFY_UNMAPS,
	VERIFY_INVALIDATIONS,
	VERIFY_POOLS, /* blocks for PRP lists and SGLs */
	VERIFY_COHERENT,
	VERIFY_ORDER,	      /* ops whose effects have the order of their events */
	VERIFY_TABLES,	      /* entries in dumps of the page table: dumps.h */
	VERIFY_TABLES_LOADED, /* the same of dumps that were taken while it changed */
	VERIFY_CLASSES,
};

extern const char *const verify_class_names[VERIFY_CLASSES];

/** Physical addresses from here on stand for those that the recording does not have. */
#define VERIFY_SOMEWHERE (UINT64_C(1) << 50)

struct verify_count {
	uint64_t recorded, predicted, undecided;
};

struct verify_difference {
	bool found;
	uint32_t
		event; /* where: the first event that is not as expected, or the last of an op that lacks one */
	char *text;    /* what the model expected */
};

struct verify_result {
	struct verify_count count[VERIFY_CLASSES];
	struct verify_difference first;
	uint64_t choices; /* orders of ops that the recorded answers chose among */
	uint64_t split;	  /* calls of the allocator in whose middle another one came */
	uint64_t calls,
		explained;     /* of the allocator; and how many, from the first on, some order explains */
	uint64_t missed_calls; /* of the DMA layer, that a probe missed although what they did was recorded */
	uint64_t invented_requests; /* whose data the recording does not locate */
	uint64_t guessed_vectors;   /* requests whose number of vectors follows from the calls alone */
};

struct verify_calls;
struct verify_model;

/** Makes the machine that @recording tells of, under @config. Returns NULL with *@error. */
struct verify_model *verify_model_new(const struct verify_recording *recording,
				      const struct machine_config *config, struct verify_result *result,
				      GError **error);
void verify_model_free(struct verify_model *model);

/** Adds to @calls (borrowed) each call of the allocator that the model makes, with the address it was given. For recordings without
 * the allocator's own events. */
void verify_model_collect(struct verify_model *model, struct verify_calls *calls);

/** Goes on to event @end, not included; counts and differences go to the result. */
void verify_model_run(struct verify_model *model, uint32_t end);

/** Notes that event @event is not as expected, if it is the first: @text (taken) says what was. */
void verify_differs(struct verify_result *result, uint32_t event, char *text);

/** Returns the domain, to look at its page table. */
struct iommu_domain *verify_model_domain(const struct verify_model *model);

#endif
