/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_LIFE_H
#define SIM_TRACE_LIFE_H

/*
 * The lives of one address of a device: what it was, from when until when, and so why an access to it faulted.
 *
 * A life begins when the IOVA around the address is allocated (or, where nobody tells that, when it is mapped) and ends
 * when it is free again: allocated, mapped, unmapped, flushed from the IOTLB, freed. A *book* is told what happens, by a
 * recording (life-trace.h) or by a run (sim/machine/life-run.h), in order of time, and keeps only what touches its
 * address. Addresses and lengths in bytes, last addresses inclusive.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "sim/trace/trace.h"

#define LIFE_NEVER UINT64_MAX

/** Where something happens. */
struct life_when {
	uint64_t time_ns;
	uint32_t cpu;
	uint8_t context; /* enum trace_context; TRACE_CONTEXTS: nobody tells */
};

/** The request that an IOVA is for, as far as it is known. */
struct life_request {
	bool known;
	bool has_queue; /* queue and tag */
	bool has_place; /* op, lba, bytes */
	enum io_op op;
	uint16_t queue, tag;
	uint32_t device; /* as in struct trace_event */
	uint64_t lba;	 /* sectors */
	uint64_t bytes;
	uint64_t number; /* of a replay; 0: of none */
};

enum life_step_kind {
	LIFE_ALLOC,
	LIFE_MAP,
	LIFE_MAP_FAILED,
	LIFE_DMA_MAP,	/* the driver has its address */
	LIFE_ACCESS,	/* by the device */
	LIFE_FAULT,	/* likewise, refused */
	LIFE_DMA_UNMAP, /* the driver gives its address back */
	LIFE_UNMAP,
	LIFE_QUEUE, /* for a flush */
	LIFE_FLUSH,
	LIFE_FREE,
	LIFE_CACHE, /* is somewhere else in the allocator's caches now */
	LIFE_STEPS,
};

extern const char *const life_step_names[LIFE_STEPS]; /* "allocated", … */

struct life_step {
	enum life_step_kind kind;
	struct life_when when;
	uint64_t first, len; /* what it covers; 0 both: of no range */
	uint64_t paddr;	     /* LIFE_MAP, LIFE_DMA_MAP, LIFE_ACCESS: what the address is there */
	uint64_t count;	     /* LIFE_ACCESS: how many one after another, until last_ns */
	uint64_t last_ns;
	unsigned prot; /* LIFE_MAP, LIFE_DMA_MAP: of enum life_access; 0: not known */
	char *text;    /* more of it, for people; NULL: nothing */
};

/** Bits, so that what is allowed and what is done compare; not known is both. */
enum life_access {
	LIFE_READ = 1 << 0,
	LIFE_WRITE = 1 << 1,
};

struct life {
	uint64_t number;	       /* from 1 */
	uint64_t first, last;	       /* the IOVA, as the allocator rounds it */
	uint64_t asked;		       /* bytes that were asked for; 0: not known */
	uint64_t object;	       /* which domain's; 0: not known */
	uint64_t mapped_end;	       /* behind the last byte mapped in it; 0: none */
	uint64_t data_first, data_end; /* the data, by the byte; data_end 0: not known */
	bool allocated; /* that was seen, else it begins with its map, or with what was seen first */
	bool mapped;	/* the address itself is … */
	bool unmapped;	/* … and no longer */
	struct life_request request;
	const char *owner; /* what it is for, if that is no request; NULL: not known */
	GArray *steps;	   /* of struct life_step */
};

struct life_book {
	uint64_t iova;
	GPtrArray *lives; /* in the order in which they began */
	GPtrArray *open;  /* of these, what goes on: one, but where several domains use the address */
	GArray *strays;	  /* of struct life_step: accesses before the first of them */
	bool reserved;	  /* the allocator must not hand it out */
	uint64_t reserved_first, reserved_last;
};

struct life_book *life_book_new(uint64_t iova);
void life_book_free(struct life_book *book);

/** Returns the life that goes on, NULL if there is none. @object: of that domain, 0: of any. */
struct life *life_book_open(const struct life_book *book, uint64_t object);

/** Tells that [@first, @first + @len) was allocated, of which @asked were wanted. Returns the new life if it has the address,
 *  else NULL. All that follow do nothing for what does not. */
struct life *life_alloc(struct life_book *book, struct life_when when, uint64_t object, uint64_t first,
			uint64_t len, uint64_t asked);
/** A map. Returns the life, which may begin with it, if the address is mapped now. */
struct life *life_map(struct life_book *book, struct life_when when, uint64_t first, uint64_t len,
		      uint64_t paddr, unsigned prot);
/** The map of @life that was told last did not succeed: @error, a negative errno. */
void life_map_failed(struct life *life, struct life_when when, int64_t error);
/** @kind: LIFE_UNMAP, or LIFE_DMA_UNMAP, which stands for it until it comes. Returns the life that it ends, as far as the page
 *  table goes; one of which nothing is known begins with its end. */
struct life *life_unmap(struct life_book *book, struct life_when when, enum life_step_kind kind,
			uint64_t first, uint64_t len);
/** Translations of [@first, @last] are gone from the IOTLB. @queued: it was put off until now; @text: how; may be NULL. */
void life_flush(struct life_book *book, struct life_when when, uint64_t object, uint64_t first, uint64_t last,
		bool queued, const char *text);
/** The IOVA goes back to the allocator; @text: where; may be NULL. Returns the life, if it ends one. */
struct life *life_free(struct life_book *book, struct life_when when, uint64_t object, uint64_t first,
		       uint64_t len, const char *text);
/** [@first, @last] is never handed out. */
void life_reserve(struct life_book *book, uint64_t first, uint64_t last);
/** A device used the address, on its own account: @paddr is what it reached. */
void life_access(struct life_book *book, struct life_when when, uint64_t paddr, const char *how);
/** … and was refused. */
void life_fault(struct life_book *book, struct life_when when, unsigned access);
/** Adds a step that changes nothing. */
struct life_step *life_add(struct life *life, enum life_step_kind kind, struct life_when when, uint64_t first,
			   uint64_t len);
void life_step_say(struct life_step *step, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** The data of @life are at least [@first, @first + @len). */
void life_data(struct life *life, uint64_t first, uint64_t len);

/** Returns how many granules the allocator takes for @granules: a power of two up to the largest cached size. Source:
 *  alloc_iova_fast() in drivers/iommu/iova.c. */
uint64_t life_rounded(uint64_t granules);

/** Returns "nvme0 queue 4 tag 17286, write of 65536 bytes at sector 1421289"; free with g_free(). */
char *life_request_text(const struct life_request *request);
/** The same of what @life is for. */
char *life_owner_text(const struct life *life);

/* ---- what an address was ---- */

enum life_verdict {
	LIFE_NEVER_MAPPED,
	LIFE_UNMAPPED,	   /* and flushed */
	LIFE_FLUSH_WINDOW, /* unmapped, not flushed */
	LIFE_DIRECTION,	   /* mapped for the other direction only */
	LIFE_BEYOND,	   /* in the IOVA of a request, where the request is not */
	LIFE_MAPPED,	   /* no reason to fault */
	LIFE_NOT_DECIDABLE,
	LIFE_VERDICTS,
};

extern const char *const life_verdict_names[LIFE_VERDICTS]; /* "never mapped", … */

/** What the source of a book could have told. */
struct life_scope {
	const char *source;	    /* "recording" or "run" */
	uint64_t first_ns, last_ns; /* from when until when it tells */
	uint64_t lost;		    /* events */
	bool from_start;	    /* it saw the domain being made: nothing was mapped before */
	bool has_maps;		    /* it tells every map */
	bool has_unmaps;
	bool has_flushes;
};

struct life_question {
	uint64_t at_ns;	 /* LIFE_NEVER: at any time */
	unsigned access; /* of enum life_access; 0: not known */
};

struct life_answer {
	enum life_verdict verdict;
	const struct life *life; /* the one it is about; NULL: none */
	char *text;		 /* one sentence; g_free() */
};

/** Says what the book's address was. */
struct life_answer life_answer(const struct life_book *book, const struct life_question *question,
			       const struct life_scope *scope);

#endif
