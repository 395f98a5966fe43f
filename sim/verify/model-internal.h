/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_MODEL_INTERNAL_H
#define SIM_VERIFY_MODEL_INTERNAL_H

/*
 * What the files of the model share: model.c runs one op after another; plan.c says when each takes effect; requests.c does
 * what it is for; flushes.c lets the flush queues' timer take its time; effects.c listens, and compares.
 */
#include "blockdma/nvme.h"
#include "sim/verify/calls.h"
#include "sim/verify/model.h"
#include "sim/verify/pools.h"

/** Something that the model did, as the event that it would be. */
struct verify_effect {
	enum kevent_kind kind;
	uint32_t has;
	uint64_t field[KEVENT_FIELDS];
};

struct verify_model {
	const struct verify_recording *recording;
	struct verify_result *result;
	struct sim *sim;
	struct iommu *iommu;
	struct iommu_domain *domain;
	struct iova_domain *iovad;
	struct dma_device dev;
	struct dma_memory_ops memory;
	struct nvme *nvme;
	struct verify_pools *pools;
	struct sim_observer observer;
	GHashTable *flights; /* number of the op + 1 -> struct flight */
	GHashTable *shared;  /* IOVA -> struct shared */
	uint32_t *due;	     /* per event: first op that runs there, VERIFY_NONE */
	uint32_t *due_next;  /* per op */
	uint32_t at;	     /* next event */
	uint32_t gave_up;    /* event: no address below 4 GiB */

	/* Of the op that runs. */
	uint32_t op;
	uint32_t answer; /* its next event that has an address the allocator gave */
	uint32_t undo;	 /* the same in the op that undoes it; VERIFY_NONE: not needed yet */
	uint32_t map;	 /* its next call that maps */
	uint32_t block;	 /* its next event of a pool */
	GArray *effects, *flush_effects;
	GArray *small_blocks,
		*large_blocks;	    /* addresses of free ones, where the pools' calls were not recorded */
	struct verify_calls *calls; /* NULL: nobody wants to know */
	unsigned call_count;
	bool flushing; /* it is the timer's flush that runs */
	bool sharing;  /* what is being mapped is shared memory */
	struct fault_rules *failure;

	/* A flush by the timer, which takes its time. */
	uint32_t flush;	   /* op, VERIFY_NONE */
	uint32_t *queuing; /* per CPU: op that flushed itself and goes on, VERIFY_NONE */
	uint32_t notice;   /* event by which the last flush has finished, VERIFY_NONE: it has */
	unsigned flush_ring;
};

static inline const struct verify_event *verify_event_at(const struct verify_model *model, uint32_t number)
{
	return &model->recording->events[number];
}

/** Whether @op unmaps for good, so that what it unmaps is queued in lazy mode. */
static inline bool verify_op_queues(const struct verify_op *op)
{
	return op->kind == VERIFY_OP_COMPLETE || op->kind == VERIFY_OP_RELEASE;
}

/** Returns the event at which @op invalidates for the first time, VERIFY_NONE if it does not. */
uint32_t verify_op_flush(const struct verify_recording *recording, const struct verify_op *op);

/* effects.c */

/** Notes something that the op did, if the recording has such events at all. */
void verify_effect_add(struct verify_model *model, enum kevent_kind kind, const struct verify_effect *fields);

#define VERIFY_HAS(field) (1u << (field))
#define VERIFY_EFFECT(model, kind, has_bits, ...) \
	verify_effect_add(model, kind,            \
			  &(const struct verify_effect){.has = (has_bits), .field = {__VA_ARGS__}})

/** Starts to listen to the machine. */
void verify_listen(struct verify_model *model);
/** Counts the events of op @number as such that nobody can say what for. */
void verify_count_undecided(struct verify_model *model, uint32_t number);
/** Compares the effects since the last time with the events of op @number. */
void verify_compare(struct verify_model *model, uint32_t number);

/* requests.c */

/** Memory for the driver's own queues, which nobody compares, and the blocks of the recorded pools. */
void verify_memory_init(struct verify_model *model);
void verify_submit(struct verify_model *model, uint32_t number);
void verify_complete(struct verify_model *model, uint32_t number);
void verify_release(struct verify_model *model, uint32_t number);
/** Does what an op of no known purpose may be: shared memory whose calls were not recorded comes and goes. Returns whether it
 *  was. */
bool verify_other(struct verify_model *model, uint32_t number);
/** Allocates what a call of @size bytes gets, in memory that lies where the maps from event @from on say. Returns its address, or
 *  DMA_MAPPING_ERROR. */
uint64_t verify_shared_alloc(struct verify_model *model, uint32_t from, uint64_t size);
void verify_flight_free(void *data);
void verify_shared_free(void *data);

/* flushes.c */

/** The timer's flush begins with its invalidation, and gives back one thing after another; meanwhile others unmap. */
void verify_flush_begin(struct verify_model *model, uint32_t number);
/** All that happened before event @at has: the flush is over when its stream does something else. Until then rings that it has
 *  not come to may be emptied by their CPUs. */
void verify_flush_go(struct verify_model *model, uint32_t at);
void verify_flush_end(struct verify_model *model);
/** A flush starts in op @number: it is over when that gives something back, or ends. */
void verify_flush_hold(struct verify_model *model, uint32_t number);
/** Whoever queues from now on knows of the flush. */
void verify_flush_notice(struct verify_model *model);
/** An op that flushed and gave back what was in its ring comes to an end with event @at: only now it queues. */
void verify_queue_last(struct verify_model *model, uint32_t at);

/* plan.c */

/** Fills in when each op takes effect. */
void verify_plan(struct verify_model *model);

#endif
