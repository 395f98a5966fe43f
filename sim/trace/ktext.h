/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_KTEXT_H
#define SIM_TRACE_KTEXT_H

/*
 * What Linux prints about requests: the start of a line, the bodies of events, the actions of blktrace. Shared by all
 * readers of text, since the same body stands behind ftrace's prefix, perf's and none.
 *
 * Bodies are those of Linux 6.1 to 7.0, include/trace/events/{block,dma}.h and drivers/nvme/host/trace.h; actions those of
 * kernel/trace/blktrace.c, which blkparse prints likewise.
 */
#include "sim/trace/scan.h"
#include "sim/trace/trace.h"

/** A line of ftrace text: TASK-PID (TGID) [CPU] FLAGS SECONDS.FRACTION: NAME: BODY. */
struct ktext_line {
	uint64_t time_ns;
	uint32_t cpu;
	uint8_t context;
	const char *task_end; /* end of TASK-PID (TGID) and the blanks behind it */
	const char *name;     /* of the event; not terminated */
	size_t name_len;      /* 0: none, as in the text of some tracers */
	struct scan body;
};

/** Takes @text apart. TASK is whatever a process calls itself, so the line is known by its first [CPU] that has -PID before
 *  it and a time behind. Returns false if it is no such line. */
bool ktext_split(const char *text, size_t len, struct ktext_line *ret_line);

/** Returns the PID of @line, which ktext_split() took from @text; 0 for an idle CPU and for a number that is none. */
uint32_t ktext_pid(const char *text, const struct ktext_line *line);

/** Understands what stands behind an event's name. Fills the event's kind and what that needs; returns false when the
 *  body is not what the name promises. */
typedef bool (*ktext_body)(struct scan *scan, struct trace_event *event);

/** Returns how the body of @line reads, NULL where it is not used. */
ktext_body ktext_body_of(const struct ktext_line *line);

/** Whether trace-cmd report or perf script could not print the event of @line as the kernel does: then its fields stand there as they
 *  are. Of NVMe commands, which have them all, these are read as well. */
bool ktext_is_raw(const struct ktext_line *line);

#define KTEXT_CDW10_BYTES 24 /* of a command, from its dword 10 on */

/** Makes @event, whose queue is known, the set-up of the NVMe command with @opcode: its operation and place. */
void ktext_set_command(struct trace_event *event, uint64_t opcode, const uint8_t cdw10[KTEXT_CDW10_BYTES]);

/** Takes "MAJOR,MINOR" as a device number. */
bool ktext_device(struct scan *scan, uint32_t *ret_device);

/** The letters that tell an operation. */
struct ktext_rwbs {
	enum io_op op;
	bool none; /* N: no operation the block layer knows */
	bool preflush;
};

/** Takes the letters, as blk_fill_rwbs() writes them: [F] operation [F] [A] [S] [M] [U]. */
bool ktext_rwbs(struct scan *scan, struct ktext_rwbs *ret_rwbs);

/** Takes the letters of a blktrace action: "D", "UT". */
bool ktext_action(struct scan *scan, enum trace_event_kind *ret_kind);

/** Takes the rest of a blktrace line, behind action and operation: "SECTOR + COUNT [COMM]" and its kin. @event->kind is the
 *  action's; a line that is about no request needs no call. */
bool ktext_request(struct scan *scan, const struct ktext_rwbs *rwbs, struct trace_event *event);

/** Makes @event's operation and place of what its line says; @count in sectors. */
void ktext_set_op(struct trace_event *event, const struct ktext_rwbs *rwbs, uint64_t sector, uint64_t count);

/** Makes @event, an issue whose operation is known, as long as its @bytes say or, where they say nothing, its @count of sectors. */
void ktext_set_bytes(struct trace_event *event, uint64_t bytes, uint64_t count);

/** Whether @kind at @event's end is the flush machinery's second report of a write that carried a flush. */
bool ktext_is_flush_echo(const struct ktext_rwbs *rwbs, uint64_t count);

/** What the lines between the events say. */
struct ktext_aside {
	bool has_entries;
	uint64_t entries_in_buffer, entries_written;
	uint64_t lost_events, lost_reports;
};

/** Takes a line of ftrace text that is no event: headers, of trace-cmd too, lines of a stack trace, and lost events:
 *  "CPU:2 [LOST 17 EVENTS]", from trace-cmd "CPU:2 [17 EVENTS DROPPED]". Returns false if it is none of these. */
bool ktext_aside(struct ktext_aside *aside, struct scan scan);

/** Adds to @facts what the lines said. */
void ktext_aside_facts(const struct ktext_aside *aside, GHashTable *facts);

/** Finds the first event in the first @len bytes of a file; only asides may stand before it. Returns whether there is one. */
bool ktext_first(const uint8_t *bytes, size_t len, struct ktext_line *ret_line);

/** Returns what "#P:4" at the end of a header line among the first @len bytes says: how many CPUs the recording machine
 *  had; 0 where it does not. */
uint32_t ktext_header_cpus(const uint8_t *bytes, size_t len);

#endif
