/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_OBSERVER_H
#define SIM_CORE_OBSERVER_H

/*
 * Observers: functional code announces what it does; who wants to know, registers. Models never name an observer.
 *
 * Each announcement is one member, called with the simulation's time, CPU and device as they are. A member may be
 * NULL. With nobody registered an announcement costs one test of a pointer. All addresses and lengths in bytes, last
 * addresses inclusive; @domain is the number of the IOMMU domain.
 */
#include <stdbool.h>
#include <stdint.h>

struct sim;
struct dma_call; /* iommu/dma/dma.h */
struct request;	 /* blockdma/request.h */

/** What takes simulated time. */
enum sim_span {
	/* Whole steps of a CPU. */
	SPAN_SUBMIT,	  /* requests go to the driver */
	SPAN_COMPLETE,	  /* completions are taken */
	SPAN_INTERRUPT,	  /* an interrupt is taken */
	SPAN_THREAD_WAKE, /* its thread begins to run */
	SPAN_TIMEOUT,	  /* a command is looked at whose time is over */
	SPAN_RESET,	  /* all that the controller has is cancelled */
	SPAN_TIMER,	  /* @name */
	SPAN_STEPS,
	/* Parts of these. */
	SPAN_PREPARE = SPAN_STEPS, /* @req gets its command; with @err it goes no further */
	SPAN_FINISH,		   /* @req has ended: what it had is given back */
	SPAN_ALLOC,		   /* an IOVA */
	SPAN_FREE,
	SPAN_MAP,
	SPAN_SYNC_MAP,
	SPAN_UNMAP,
	SPAN_INVALIDATE,
	SPAN_INVALIDATE_WAIT, /* for the hardware to have done it */
	SPAN_DEFER,	      /* an IOVA goes to the flush queue */
	SPAN_FLUSH,	      /* everything of the domain is invalidated */
	SPAN_WAIT,	      /* for @name, a lock, or hardware that serves one at a time */
	SPAN_CPU_END,
	/* Of hardware, for @req, and of requests. */
	SPAN_TAG_WAIT = SPAN_CPU_END,
	SPAN_FETCH,	   /* the command, its lists, the data of a write */
	SPAN_CHANNEL_WAIT, /* for channel @unit */
	SPAN_SERVICE,	   /* in channel @unit */
	SPAN_TRANSFER,	   /* data of a read, completion and interrupt */
	SPAN_WALK,	   /* on walker @unit, of @count entries */
	SPANS,
};

/** Something that took time. What does not concern the kind is 0. */
struct sim_took {
	enum sim_span what;
	int err;	  /* negative */
	uint64_t from_ps; /* until now, if a CPU did it: the cursor */
	uint64_t to_ps;	  /* of hardware: in part ahead */
	const char *name;
	const struct request *req;
	uint64_t addr, bytes;
	uint32_t unit, count;
};

struct sim_observer {
	/** The allocator was asked once: the first attempt of a request may be for the low 4 GiB alone. @pfn: the
	 * granule, 0 if there was none. */
	void (*iova_attempt)(void *data, struct sim *sim, uint64_t granules, uint64_t limit_pfn, bool flush,
			     uint64_t pfn);
	/** @granules from @pfn on are about to go back to the allocator. */
	void (*iova_return)(void *data, struct sim *sim, uint64_t pfn, uint64_t granules);
	/** @count ranges that the allocator keeps, by their first pages, are in another place now: "depot", "tree", or "loaded",
	 * the magazine of the current CPU. They move by the magazine; single ones, as they are taken and given back, and the
	 * exchange of a CPU's two magazines are not announced. */
	void (*iova_cache)(void *data, struct sim *sim, const uint64_t *pfns, uint64_t count, const char *place);
	/** The driver begins to prepare a command for @req: the trace event nvme_setup_cmd. */
	void (*nvme_setup)(void *data, struct sim *sim, const struct request *req, unsigned qid, unsigned tag);
	/** The timer of the flush queues was set. */
	void (*flush_timer)(void *data, struct sim *sim, uint64_t delay_ns);
	/** A call of the DMA interface, or one that it makes below, returned. */
	void (*dma_call)(void *data, struct sim *sim, const struct dma_call *call);
	/** Something was found, at the place where the kernel would warn. */
	void (*found)(void *data, struct sim *sim, unsigned kind /* enum finding_kind */, const char *text);
	/** Somebody holds [@iova, @iova + @len_bytes) now, and no longer. */
	void (*iova_alloc)(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len_bytes);
	void (*iova_free)(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len_bytes);
	/** A call that maps was entered: how it ends is not known yet. */
	void (*map_call)(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len_bytes, unsigned prot);
	/** It returned. @err: 0 or negative errno. */
	void (*map_return)(void *data, struct sim *sim, int err);
	void (*map)(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
		    uint64_t len_bytes, unsigned prot);
	/** The kernel's trace event iommu:map. Not the same as map: which kernel has it when is behaviour nosync-map-error. */
	void (*map_event)(void *data, struct sim *sim, uint64_t iova, uint64_t paddr, uint64_t len_bytes);
	/** @unmapped_bytes: what was really mapped there; differs from @len_bytes in a wrong-size unmap. */
	void (*unmap)(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t len_bytes,
		      uint64_t unmapped_bytes);
	/** The driver has invalidated @first to @last, bytes. */
	void (*invalidate)(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last);
	/** The driver is about to be told that @first to @last are mapped now. */
	void (*sync_map)(void *data, struct sim *sim, unsigned domain, uint64_t first, uint64_t last);
	/** A device translated @iova; @hit: without a page walk. */
	void (*translate)(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr,
			  bool hit);
	/** A device access failed to translate. */
	void (*io_page_fault)(void *data, struct sim *sim, unsigned domain, uint64_t iova, bool write);
	/** The CPU was busy with something, up to its cursor. What is a part of something else comes before it. */
	void (*took)(void *data, struct sim *sim, const struct sim_took *took);
	/** Hardware is or will be, or a request was. Those of one walker come in the order of time. */
	void (*hardware)(void *data, struct sim *sim, const struct sim_took *took);
	void (*ref_get)(void *data, struct sim *sim, const char *object, const char *holder);
	void (*ref_put)(void *data, struct sim *sim, const char *object, const char *holder);
	void *data;
	struct sim_observer *next; /* set by sim_observe() */
};

/**
 * Announces: SIM_ANNOUNCE(sim, map, domain, iova, paddr, len_bytes, prot). A macro, because members differ in their
 * arguments; these are evaluated once an observer.
 */
#define SIM_ANNOUNCE(sim, member, ...)                                                     \
	do {                                                                               \
		for (struct sim_observer *observer_ = (sim)->observers; observer_ != NULL; \
		     observer_ = observer_->next)                                          \
			if (observer_->member)                                             \
				observer_->member(observer_->data, (sim), __VA_ARGS__);    \
	} while (0)

/** SIM_TOOK(sim, .what = SPAN_MAP, .from_ps = from_ps, …): the CPU of this step was busy with it. */
#define SIM_TOOK(sim, ...) SIM_ANNOUNCE(sim, took, &(const struct sim_took){__VA_ARGS__})
/** The same of hardware. */
#define SIM_HARDWARE(sim, ...) SIM_ANNOUNCE(sim, hardware, &(const struct sim_took){__VA_ARGS__})

#endif
