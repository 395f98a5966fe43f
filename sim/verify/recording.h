/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_RECORDING_H
#define SIM_VERIFY_RECORDING_H

/*
 * A recording of the kernel's DMA and IOMMU layers, whole and in memory, taken apart into what the kernel was doing.
 *
 * Events of one task, or of one kind of interrupt on one CPU, follow each other: a *stream*. What a stream does for one
 * purpose is an *op*: preparing a command, undoing it, allocating shared memory, emptying the flush queues. Interrupts nest
 * and CPUs overlap, so ops of different streams are interleaved; events of one op are linked in order.
 */
#include "sim/trace/kevent.h"
#include "sim/verify/order.h"

#define VERIFY_NONE	  UINT32_MAX
#define VERIFY_EVENTS_MAX (1u << 26)

struct verify_event {
	uint64_t time_ns;
	uint64_t position; /* verify_recording.counts_lines says of what */
	uint64_t field
		[KEVENT_FIELDS]; /* of a block or NVMe event: the place in KEVENT_ADDR, bytes in KEVENT_SIZE */
	uint32_t has;
	uint32_t cpu, stream;
	uint32_t op, next; /* the op it belongs to, and that op's next event; or VERIFY_NONE */
	uint32_t follows;  /* by this event the stream is done with it and goes on, or VERIFY_NONE */
	uint16_t queue, tag;
	uint8_t kind; /* enum kevent_kind */
	uint8_t io;   /* of KEVENT_IO: enum trace_event_kind */
	uint8_t io_op;
	uint8_t context;
	bool probe; /* one that somebody set: a kprobe misses what happens inside another */
};

enum verify_op_kind {
	VERIFY_OP_OTHER,    /* of no known purpose: a recording that begins or ends in the middle */
	VERIFY_OP_SUBMIT,   /* a command is prepared: from nvme_setup_cmd to block_rq_issue */
	VERIFY_OP_COMPLETE, /* a command is undone: from its first unmap to nvme_complete_rq */
	VERIFY_OP_COHERENT, /* memory shared with the device is allocated … */
	VERIFY_OP_RELEASE,  /* … and given back */
	VERIFY_OP_FLUSH,    /* the flush queues' timer */
	VERIFY_OP_DEPOT,    /* the depot's worker */
	VERIFY_OP_KINDS,
};

struct verify_op {
	enum verify_op_kind kind;
	uint32_t first, last; /* events */
	uint32_t cpu, stream;
	uint16_t queue, tag;
	bool issued;	  /* SUBMIT: it worked */
	uint8_t io_op;	  /* enum io_op */
	uint64_t bytes;	  /* SUBMIT: of the request; COHERENT, RELEASE: of the memory */
	uint32_t partner; /* SUBMIT: the op that undoes it; COMPLETE: the one that prepared it; VERIFY_NONE */
};

/** What is known of the machine from the recording. */
struct verify_machine {
	uint32_t cpus;
	uint32_t queues; /* highest I/O queue */
	uint64_t iovad; /* the domain's allocator: an address in the kernel; 0 where the recording has none */
	uint64_t granule, start_pfn;
	uint64_t limit_pfn; /* the highest that was asked for */
	unsigned domain_id; /* 1 where the recording does not say */
	bool lazy, caching_mode, forcedac;
	bool scatter_lists;	   /* a kernel before 6.17 */
	bool kinds[KEVENT_KINDS];  /* the recording has events of this kind */
	bool missed[KEVENT_KINDS]; /* by probes, which may have missed some */
};

struct verify_recording {
	char *path;
	bool counts_lines; /* an event's position is a line number; else a byte offset */
	struct verify_event *events;
	uint32_t event_count;
	GArray *ops;	  /* of struct verify_op, in order of their first event */
	GArray *reserved; /* of struct verify_range, pages */
	GPtrArray *marks; /* of struct verify_mark */
	struct verify_machine machine;
	uint64_t lost;
	uint32_t stream_count;
};

struct verify_mark {
	uint32_t event;
	char *text; /* "snap-probe begin" */
};

/** Reads the recording @path. Returns NULL with *@error: also when there is nothing in it to compare with. */
struct verify_recording *verify_recording_read(const char *path, GError **error);
void verify_recording_free(struct verify_recording *recording);

static inline struct verify_op *verify_op(const struct verify_recording *recording, uint32_t number)
{
	return &g_array_index(recording->ops, struct verify_op, number);
}

static inline bool verify_has(const struct verify_event *event, enum kevent_field field)
{
	return event->has >> field & 1;
}

/** Returns the first event of @kind in @op from @from on, VERIFY_NONE if there is none. */
uint32_t verify_find(const struct verify_recording *recording, uint32_t from, enum kevent_kind kind);

/** Returns whether @event is an invalidation, and of which domain. */
bool verify_event_domain(const struct verify_event *event, unsigned *ret_domain);

/** Returns where event @number stands, "PATH:LINE" or "PATH@OFFSET"; free with g_free(). */
char *verify_event_place(const struct verify_recording *recording, uint32_t number);

/** Returns event @number as a line of text, for people; free with g_free(). */
char *verify_event_text(const struct verify_recording *recording, uint32_t number);

#endif
