/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_KEVENT_H
#define SIM_TRACE_KEVENT_H

/*
 * What a recording holds besides the requests: the kernel's own DMA and IOMMU layers at work.
 *
 * A stream of these events is what verify compares with the model and whois tells lives from. Trace events: iommu, dma,
 * intel_iommu, nvme, block of Linux 6.1 to 7.0. Probe events (kprobes or fprobes on kernel functions) go by the names
 * and arguments that docs/examples/record.sh gives them, docs/formats/traces.md; "_ret" is the return of what goes before.
 */
#include "sim/trace/trace.h"

enum kevent_kind {
	KEVENT_IO,	       /* one of the I/O events: kevent.io says which */
	KEVENT_MARK,	       /* free text from user space: body */
	KEVENT_IOVA_INIT,      /* OBJECT the domain, GRANULE bytes, START the lowest page */
	KEVENT_IOVA_RESERVE,   /* OBJECT, LO and HI: pages */
	KEVENT_IOVA_ALLOC,     /* OBJECT, SIZE in pages, LIMIT: highest page, FLUSH */
	KEVENT_IOVA_ALLOC_RET, /* PFN, 0: there was none */
	KEVENT_IOVA_FREE,      /* OBJECT, PFN, SIZE in pages */
	KEVENT_IOVA_FREE_RET,
	KEVENT_TRY_ALLOC,      /* OBJECT the state, PADDR, SIZE in bytes, as all below */
	KEVENT_LINK,	       /* OBJECT, PADDR, OFFSET, SIZE, DIR */
	KEVENT_DESTROY,	       /* OBJECT, ADDR, SIZE as allocated, LEN as mapped, DIR */
	KEVENT_FREE_STATE,     /* OBJECT, ADDR: given back without having been mapped */
	KEVENT_MAP_NOSYNC,     /* ADDR, PADDR, SIZE, PROT */
	KEVENT_MAP_NOSYNC_RET, /* RET */
	KEVENT_MAP,	       /* ADDR, PADDR, SIZE: iommu:map */
	KEVENT_UNMAP,	       /* ADDR, SIZE, LEN: unmapped size: iommu:unmap */
	KEVENT_DMA_MAP,	       /* ADDR, SIZE, PADDR, DIR: on return */
	KEVENT_DMA_MAP_CALL,   /* OFFSET, SIZE, DIR: a probe at its entry */
	KEVENT_DMA_UNMAP,      /* ADDR, SIZE, DIR: on return, or a probe at its entry */
	KEVENT_DMA_MAP_SG,     /* DIR: a probe at its entry */
	KEVENT_DMA_UNMAP_SG,
	KEVENT_DMA_ALLOC,      /* ADDR, SIZE: on return */
	KEVENT_DMA_ALLOC_CALL, /* SIZE: a probe at its entry */
	KEVENT_DMA_FREE,       /* ADDR, SIZE: at its entry */
	KEVENT_POOL_ALLOC,     /* OBJECT the pool */
	KEVENT_POOL_FREE,      /* OBJECT, ADDR */
	KEVENT_FQ_TIMEOUT,     /* the flush queues' timer */
	KEVENT_DEPOT_WORK,     /* OBJECT the work item */
	KEVENT_DEPOT_WORK_RET,
	KEVENT_INVALIDATE,     /* what the driver was asked: ADDR first, LEN last byte, DOMAIN */
	KEVENT_INVALIDATE_MAP, /* the same of a new mapping, in caching mode */
	KEVENT_QI_SUBMIT,      /* QW0, QW1: a descriptor for VT-d's invalidation queue */
	KEVENT_FAIL_SLAB,      /* an injected failure */
	KEVENT_FAIL_PAGE,
	KEVENT_OTHER, /* none of these */
	KEVENT_KINDS,
};

extern const char *const kevent_names[KEVENT_KINDS]; /* "iova_alloc", … */

enum kevent_field {
	KEVENT_OBJECT,
	KEVENT_ADDR,
	KEVENT_PFN = KEVENT_ADDR,
	KEVENT_LO = KEVENT_ADDR,
	KEVENT_QW0 = KEVENT_ADDR,
	KEVENT_START = KEVENT_ADDR,
	KEVENT_SIZE,
	KEVENT_HI = KEVENT_SIZE,
	KEVENT_QW1 = KEVENT_SIZE,
	KEVENT_GRANULE = KEVENT_SIZE,
	KEVENT_PADDR,
	KEVENT_LIMIT = KEVENT_PADDR,
	KEVENT_OFFSET,
	KEVENT_FLUSH = KEVENT_OFFSET,
	KEVENT_LEN = KEVENT_OFFSET,
	KEVENT_DIR, /* of enum dma_data_direction: 0 both, 1 to the device, 2 from it */
	KEVENT_PROT = KEVENT_DIR,
	KEVENT_RET = KEVENT_DIR, /* as a 64-bit number, so that a negative errno is one */
	KEVENT_DOMAIN = KEVENT_DIR,
	KEVENT_FIELDS,
};

struct kevent {
	enum kevent_kind kind;
	/* Time, CPU, context and position of every event; of KEVENT_IO all of it. */
	struct trace_event io;
	uint32_t pid;
	uint32_t has; /* bit of each field that the recording has of it */
	bool probe;   /* one of these kinds that a probe reports, not a trace event */
	uint64_t field[KEVENT_FIELDS];
	const char *name; /* of the event as it stands there, not terminated; borrowed until the next one */
	size_t name_len;
	const char *body; /* likewise; trace.dat: of KEVENT_MARK only, of others it is empty */
	size_t body_len;
};

static inline bool kevent_has(const struct kevent *event, enum kevent_field field)
{
	return event->has >> field & 1;
}

/** Appends to @text what an event of @kind with the fields @has says, under the names they have in a recording: "link
 *  phys=0x10ce5d000 off=0 size=4096 dir=TO_DEVICE". Objects, which are addresses in the kernel, are left out. */
void kevent_append(GString *text, enum kevent_kind kind, uint32_t has, const uint64_t field[KEVENT_FIELDS]);

struct kevent_stream;

/** Opens @path, ftrace text or trace.dat, compressed or not: its content tells. Returns NULL with *@error. Free with
 *  kevent_close(). */
struct kevent_stream *kevent_open(const char *path, GError **error);
void kevent_close(struct kevent_stream *stream);

/** Reads the next event into *@ret_event. Returns 1, 0 at the end, -1 with *@error. */
int kevent_next(struct kevent_stream *stream, struct kevent *ret_event, GError **error);

/** Returns whether an event's io.position is a line number; else it is the offset of its record. */
bool kevent_counts_lines(const struct kevent_stream *stream);

/** Returns how many CPUs the recording machine has, 0 where it does not say; how many events it says were lost, which is
 *  known at the end. */
uint32_t kevent_cpus(const struct kevent_stream *stream);
uint64_t kevent_lost(const struct kevent_stream *stream);
const struct input *kevent_input(const struct kevent_stream *stream);

#endif
