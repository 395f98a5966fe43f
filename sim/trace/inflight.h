/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_INFLIGHT_H
#define SIM_TRACE_INFLIGHT_H

/*
 * The requests in flight of an I/O stream.
 *
 * Each has a slot, whose number is reused once its completion was returned. A request is found by two keys: what a
 * block completion names (device, operation, sector; several may share it and stay in order of issue), and what an
 * NVMe completion names (controller, queue, command id). Tables and slots grow to what is in flight at once and stay.
 */
#include "sim/core/umap.h"
#include "sim/trace/trace.h"

#define INFLIGHT_NONE	UINT32_MAX /* no slot */
#define INFLIGHT_NO_KEY UMAP_EMPTY
#define INFLIGHT_SEGMENTS_HELD \
	(4u << 20) /* 64 MiB: above half of it, lists of ended requests are given back */

struct prep;

struct segment_list {
	struct io_segment *segments;
	uint32_t count;
	uint32_t capacity;
};

struct slot {
	struct io_record record;
	struct segment_list list;
	uint64_t block_key;		   /* INFLIGHT_NO_KEY: ended, or given up */
	uint64_t command_key;		   /* INFLIGHT_NO_KEY: has no command, or that is not known */
	uint32_t key_next, key_previous;   /* requests of the same block key, oldest first */
	uint32_t open_next, open_previous; /* requests in flight, oldest first */
	uint64_t done_sequence;		   /* 0: no completion of its command was seen */
	struct io_complete done;
	struct prep *held;    /* who waits for its preparation */
	struct prep *pending; /* set up, and not issued yet: --at=setup */
	uint64_t bio_number;  /* --at=queue: what its bio is found by, with its place */
	uint32_t bio_group;
};

struct inflight {
	GPtrArray *slots;     /* of struct slot */
	uint32_t *free_slots; /* numbers; there is room for all */
	uint32_t free_count, free_size;
	uint32_t oldest, newest;
	uint32_t count, count_max;
	uint64_t segments_held;	  /* capacity of all lists, ended ones and those being prepared, too */
	struct umap block_keys;	  /* key -> first slot, last slot */
	struct umap command_keys; /* key -> slot */
};

void inflight_init(struct inflight *inflight);

/** Frees everything; segment lists outside of slots must have been freed before. */
void inflight_finish(struct inflight *inflight);

static inline struct slot *inflight_slot(const struct inflight *inflight, uint32_t number)
{
	return g_ptr_array_index(inflight->slots, number);
}

/** Returns the key of a block request: @device_id below TRACE_DEVICES_MAX, @lba at most TRACE_LBA_MAX. */
static inline uint64_t inflight_block_key(uint32_t device_id, enum io_op op, uint64_t lba)
{
	return (uint64_t)device_id << 48 | (uint64_t)op << 45 | lba;
}

/** Returns the key of a command, from its set-up or its completion: TRACE_NVME is its highest bit. */
static inline uint64_t inflight_command_key(const struct trace_event *event)
{
	return (uint64_t)event->device << 32 | (uint64_t)event->queue << 16 | event->tag;
}

/** Returns an empty slot, which is nobody else's until inflight_give_back(). */
struct slot *inflight_take(struct inflight *inflight);
void inflight_give_back(struct inflight *inflight, uint32_t number);

/** Makes @slot the newest in flight; it is found by its block key, if that is set. */
void inflight_link(struct inflight *inflight, struct slot *slot);

/** Takes @slot out of what is in flight; the slot stays taken. */
void inflight_unlink(struct inflight *inflight, struct slot *slot);

/** Returns the key of a request that the recording numbers, from 1. A command's key has the bit that this one lacks. */
static inline uint64_t inflight_number_key(uint64_t number)
{
	return number & INT64_MAX;
}

/** Makes @slot the one whose command has @key. Whoever had that has no command any more. */
void inflight_set_command(struct inflight *inflight, struct slot *slot, uint64_t key);

/** Returns the oldest or the latest request of block key @key, NULL if there is none. */
struct slot *inflight_first(const struct inflight *inflight, uint64_t key);
struct slot *inflight_last(const struct inflight *inflight, uint64_t key);

/** Returns the request that a block completion of @key ends: the one whose command was reported complete first, else
 *  the oldest. NULL if there is none. */
struct slot *inflight_pick(const struct inflight *inflight, uint64_t key);

/** Returns the request whose command has @key, NULL if there is none. */
struct slot *inflight_by_command(const struct inflight *inflight, uint64_t key);

/** Appends a segment to @list, which belongs to a slot or will be swapped into one. */
void inflight_segments_append(struct inflight *inflight, struct segment_list *list, uint64_t paddr,
			      uint32_t bytes, uint32_t flags);
void inflight_segments_free(struct inflight *inflight, struct segment_list *list);

#endif
