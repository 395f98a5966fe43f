/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_TRACEDAT_INTERNAL_H
#define SIM_TRACE_TRACEDAT_INTERNAL_H

/*
 * What the child process of tracedat-child.c sends to tracedat.c through a pipe.
 */
#include "sim/trace/kevent.h"

#define TRACEDAT_TEXT_BYTES 88
#define TRACEDAT_BATCH	    512 /* messages written at once */
#define TRACEDAT_DAMAGED    "damaged trace.dat: libtracecmd cannot read it"
#define TRACEDAT_NO_OFFSET  UINT64_MAX
#define TRACEDAT_LOST	    "lost events" /* the fact */

enum message_kind {
	MESSAGE_EVENT,
	MESSAGE_FIELDS, /* of the event that comes next: what struct kevent has besides */
	MESSAGE_BODY,	/* text: more of that event's body; value: bytes of it */
	MESSAGE_CPUS,	/* value: how many the recording machine has; first */
	MESSAGE_NAME,  /* text: an event's, value: how many more there were; first with 0, before the event */
	MESSAGE_FACT,  /* text and value */
	MESSAGE_ERROR, /* text, value: offset or TRACEDAT_NO_OFFSET */
	MESSAGE_END,
};

struct message_fields {
	enum kevent_kind kind;
	uint32_t pid;
	uint32_t has;
	uint32_t name; /* its number, in order of the MESSAGE_NAMEs */
	bool probe;
	uint64_t field[KEVENT_FIELDS];
};

struct message {
	enum message_kind kind;
	uint64_t value;
	union {
		struct trace_event event;
		struct message_fields fields;
		char text[TRACEDAT_TEXT_BYTES];
	};
};

/** Is the child: reads the trace.dat @file and sends what is in it to @pipe; @kevents: with its fields. */
G_NORETURN void tracedat_child(int file, int pipe, bool kevents);

#endif
