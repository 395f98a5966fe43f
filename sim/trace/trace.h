/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_TRACE_H
#define SIM_TRACE_TRACE_H

/*
 * Traces, in two steps; a third, sim/trace/transform.h, takes a part of a trace, or plays it faster or several times.
 *
 * A *reader* (one file a format, one row in readers.c) turns a file into typed events in file order. It streams: no
 * sorting, no buffering beyond a bounded window. An *I/O stream* pairs the events of a request (set-up, segments,
 * issue, completion) into records; it is the same for all formats, and holds only what is in flight.
 *
 * An event has the time of the recording's clock; a record's times are nanoseconds from the first event of the trace,
 * and never go back. Sectors are 512 bytes. What each format gives, and how events are paired: docs/formats/traces.md.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "sim/io/input.h"

enum io_op {
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_DISCARD,
	IO_WRITE_ZEROES,
	IO_PASSTHROUGH, /* a command from user space or the driver itself (rwbs N): admin where the queue is 0 */
	IO_OPS,
};

extern const char *const io_op_names[IO_OPS]; /* "read", … */

enum trace_event_kind {
	TRACE_SETUP, /* driver starts preparing: device (controller), queue, tag, op; where the command tells them,
			 * first block in lba and number of blocks in bytes: logical blocks, whose size it does not tell */
	TRACE_SEGMENT, /* a physically contiguous piece of the request being prepared on this CPU: paddr, bytes, to_device */
	TRACE_ISSUE,	     /* request handed to the driver or the device: device, op, lba, bytes */
	TRACE_COMPLETE,	     /* of a block request: device, op, lba, bytes, error */
	TRACE_REQUEUE,	     /* the driver did not take the request after all: device, op, lba, bytes */
	TRACE_NVME_COMPLETE, /* of a command: controller, queue, tag, status */
	TRACE_QUEUE,	     /* bio queued: counted only */
	TRACE_OTHER, /* anything else the reader understands to be none of the above: counted, not replayed */
};

#define TRACE_NO_QUEUE UINT16_MAX

#define TRACE_NVME \
	0x80000000u /* with a controller's instance number: a device number that is no block device's */

#define TRACE_LBA_MAX ((UINT64_C(1) << 45) - 1) /* sectors: 16 PiB; a trace that names more is refused */

#define TRACE_DEVICES_MAX 65536u /* block devices and controllers that a trace may name */
#define TRACE_EVENTS_MAX  4096u	 /* names of events that are counted one by one */

/** What a CPU was doing: work in an interrupt is not part of what it interrupted. */
enum trace_context {
	TRACE_TASK, /* or not recorded */
	TRACE_SOFTIRQ,
	TRACE_HARDIRQ,
	TRACE_NMI,
	TRACE_CONTEXTS,
};

/** A physically contiguous piece of a request. */
enum io_segment_flags {
	IO_SEGMENT_METADATA = 1u << 0, /* of its integrity data, not of its data */
	IO_SEGMENT_P2P = 1u << 1,      /* another device's memory */
};

#define IO_SEGMENT_FLAGS (IO_SEGMENT_METADATA | IO_SEGMENT_P2P)

struct io_segment {
	uint64_t paddr;
	uint32_t len_bytes;
	uint32_t flags; /* of enum io_segment_flags */
};

/** One event. Readers fill one for each line: it is kept at 80 bytes, which compilers clear in place. */
struct trace_event {
	enum trace_event_kind kind;
	enum io_op op;
	uint64_t time_ns;  /* the recording's clock */
	uint64_t position; /* line number or byte offset, for messages */
	uint64_t lba;	   /* sectors */
	uint64_t bytes;
	union {
		uint64_t paddr; /* TRACE_SEGMENT */
		const struct io_segment
			*segments; /* TRACE_ISSUE with @request: borrowed until the next event */
	};
	/* A format that numbers its requests: which one an issue begins, and a completion or a requeue ends. Such an issue
	 * has all there is of it: queue and tag, to_device, and its segments. 0: what belongs to a request is found by what
	 * it says. */
	uint64_t request;
	uint32_t cpu; /* below SIM_CPUS_MAX */
	uint32_t
		device; /* block device: major << 20 | minor; for NVMe events TRACE_NVME | controller instance */
	int32_t error;	/* completion: 0 or negative errno / NVMe status */
	uint16_t queue; /* NVMe queue, TRACE_NO_QUEUE where the format has none */
	uint16_t tag;	/* NVMe command id */
	uint16_t segment_count;
	uint8_t context; /* enum trace_context */
	bool to_device;
	bool never_completes; /* issue: the recording has no completion of it */
	bool late; /* earlier in the file than one before it, and put into its place: counted as going back in time */
	bool given_up; /* completion: there is none, the request is no longer waited for */
};

/** Which of a request's events is the request: the others only tell more of it. */
enum trace_at {
	TRACE_AT_ISSUE, /* the request is handed to the driver or the device (D): one request, one record */
	TRACE_AT_QUEUE, /* a bio is queued (Q), before it is merged or split */
	TRACE_AT_SETUP, /* the driver starts preparing the request; its issue, where that is not recorded */
	TRACE_ATS,
};

extern const char *const trace_at_names[]; /* "issue", …; NULL-ended */

#define TRACE_SCALE_ONE	 UINT64_C(1000000) /* of scale_millionths: time as recorded */
#define TRACE_SCALE_MAX	 (1000000 * TRACE_SCALE_ONE)
#define TRACE_REPEAT_MAX 1000000000u

/** Which part of a trace, how fast, and how often; see sim/trace/transform.h. All 0: all of it, as recorded, once. */
struct trace_part {
	uint64_t from_ns, to_ns; /* requests issued in [from_ns, to_ns) from the first event on; to_ns 0: to the end */
	uint64_t skip;		 /* and of these, without so many, the first */
	uint64_t scale_millionths; /* time passes so many millionths times as fast; 0: as recorded */
	uint64_t repeat;	   /* rounds; 0: one */
	uint64_t shift_bytes; /* each round lies so far behind the one before; a multiple of 512 */
	bool has_shift;	      /* false: the rounds lie side by side */
};

/** How to read a trace. All 0: told by content, all of it. */
struct trace_options {
	const char *format; /* a name of trace_formats; NULL: told by content */
	const char *
		csv; /* columns of a request list, as docs/formats/traces.md has them; NULL: known by its look */
	const char *blkparse_format; /* what blkparse -f was given; NULL: nothing */
	enum trace_at at;
	struct trace_part part; /* for io_transform_open(): an I/O stream itself is always the whole trace */
};

struct names;

struct trace_reader_ops {
	const char *name;	 /* "ftrace": what --trace-format takes */
	const char *description; /* for people */
	bool counts_lines;	 /* an event's position is a line number; else a byte offset */
	/** Returns the file to open first for @path, which is a directory or does not exist, if it names a trace of
	 *  this format nevertheless; free with g_free(). NULL if not, with *@error only if it is one that cannot be read.
	 *  May be NULL. */
	char *(*resolve)(const char *path, GError **error);
	/** Returns how sure it is that @bytes, the first @len of the input, are of this format: 0 no, 100 certain. */
	int (*probe)(const uint8_t *bytes, size_t len);
	/** Returns whether an empty file called @path is of this format nevertheless: one of several files. May be NULL. */
	bool (*may_be_empty)(const char *path);
	size_t state_size; /* zeroed by the opener */
	/** Prepares to read @input (borrowed, at its start). @path is the file's, after resolve(): a format kept in
	 *  several files finds its siblings from it. Returns false with *@error; close() is called then, too. */
	bool (*open)(void *state, struct input *input, const char *path, const struct trace_options *options,
		     GError **error);
	/** Fills *@ret_event. Returns 1, 0 at the end, -1 with *@error naming the line or offset. */
	int (*next)(void *state, struct trace_event *ret_event, GError **error);
	/** Returns the file that the last event came from; NULL where the input is the only file. */
	const char *(*path)(const void *state);
	/** Returns how many CPUs the recording says it has, at its start or, read so far, at its end; 0 where it does not.
	 *  May be NULL. */
	uint32_t (*cpus)(const void *state);
	bool from_zero; /* times count from the begin of the recording, which is 0; else from its first event */
	/** Adds "key value" facts about the recording (lost events …) to @facts after the end; may be NULL. */
	void (*facts)(void *state, GHashTable *facts);
	/** Returns how often the recording has which event, by the format's own names. May be NULL. */
	const struct names *(*events)(const void *state);
	/** Returns the name of device @number, which events had; free with g_free(). May be NULL: MAJOR,MINOR. */
	char *(*device_name)(const void *state, uint32_t number);
	void (*close)(void *state);
};

/** The formats, NULL-ended. */
extern const struct trace_reader_ops *const trace_formats[];

/** One opened trace, event by event. */
struct trace_source {
	const struct trace_reader_ops *ops;
	struct input *input; /* the first file of the trace */
	void *state;
};

/** Opens @path, a file, "-" or what a format resolves. Returns false with *@error; else free with trace_source_close().
 *  The strings of @options are borrowed until then. */
bool trace_source_open(const char *path, const struct trace_options *options, struct trace_source *ret_source,
		       GError **error);
void trace_source_close(struct trace_source *source);

/** Sets *@error to @message at the line or offset @position of the trace. Returns -1. */
int trace_source_error(const struct trace_source *source, uint64_t position, const char *message,
		       GError **error);

/* ---- one I/O after another ---- */

#define IO_SEGMENTS_MAX \
	1024 /* a recorded request with more is an error in the trace: the kernel has at most 256 */

/** One request as it was issued. Borrowed from the stream; a record's slot is reused after its completion was returned. */
struct io_record {
	uint64_t number;  /* from 1, in order of issue */
	uint64_t time_ns; /* of issue */
	uint64_t position;
	uint64_t lba; /* sectors */
	uint64_t bytes;
	uint32_t cpu;
	uint32_t device; /* index into io_stream_device_name() */
	uint32_t slot;	 /* small number, unique among what is in flight */
	uint16_t queue;	 /* as recorded, TRACE_NO_QUEUE where the format has none */
	uint16_t tag;
	enum io_op op;
	bool to_device;		/* direction of the data, where there is any */
	bool completes;		/* false once the stream has given up waiting for its completion */
	bool never_completes;	/* it is of a list of requests: the recording has no completion of it */
	uint32_t segment_count; /* 0: the recording does not have them */
	struct io_segment *segments;
};

enum io_step {
	IO_END = 0,
	IO_ISSUE = 1,
	IO_COMPLETE = 2,
	IO_TROUBLE = -1,
};

struct io_complete {
	uint64_t time_ns;
	uint32_t cpu;
	int32_t error;
	bool requeued; /* the driver did not take the request: @error is -EAGAIN */
};

struct io_stream_stats {
	uint64_t events; /* read, of all kinds */
	uint64_t other;	 /* of these, none of ours */
	uint64_t queued; /* of these, TRACE_QUEUE */
	uint64_t issues,
		completions; /* paired into records: issues = completions + requeued + unfinished at the end */
	uint64_t requeued;   /* issued, but not taken by the driver: end with -EAGAIN */
	uint64_t unmatched_completions; /* no issue was seen */
	uint64_t unfinished;		/* issued, no completion until the end, or given up */
	uint64_t
		without_segments; /* carry data (read, write, passthrough) and the recording lacks where it lies */
	uint64_t segments_dropped;  /* of these, had segments that do not add up to the request */
	uint64_t setups_dropped;    /* prepared, but not issued: a failed attempt */
	uint64_t time_backwards;    /* events earlier than one before them; taken at that one's time */
	uint64_t ties;		    /* events of the time of the one before: their order is the file's */
	uint64_t at_missing;	    /* issues without the event that was asked for: taken at their issue */
	uint64_t max_in_flight;	    /* 0: the recording has no completions */
	uint64_t first_ns, last_ns; /* of issues and completions */
	uint32_t cpus;		    /* highest CPU of any event + 1 */
	uint64_t op_count[IO_OPS];
	uint64_t op_bytes[IO_OPS];
};

/** A stream waits for at most this many completions: then it gives up the oldest, which it returns as completed, with
 *  record->completes false and the current time. So a trace that lacks completions takes constant memory. */
#define IO_IN_FLIGHT_MAX 65536

struct io_stream;

/** A list of requests has no completions at all, and so no depth: its stream ends the oldest of this many in the same way. */
#define IO_LIST_DEPTH 32

/** Opens the trace @path: @format is a name of trace_formats or NULL to tell by content. Returns NULL with *@error. */
struct io_stream *io_stream_open(const char *path, const char *format, GError **error);

/** Opens it as @options say; their strings are borrowed until io_stream_close(). */
struct io_stream *io_stream_open_options(const char *path, const struct trace_options *options,
					 GError **error);
void io_stream_close(struct io_stream *stream);

/** Returns the next step, in order of time. IO_ISSUE: *@ret_record is a new record. IO_COMPLETE: *@ret_record is one
 *  returned before, which ends with *@ret_complete; it is gone with the next call. At IO_END what is still open was
 *  never completed in the recording. IO_TROUBLE: *@error; a trace without any I/O is one. Calling again returns the same. */
enum io_step io_stream_next(struct io_stream *stream, const struct io_record **ret_record,
			    struct io_complete *ret_complete, GError **error);

/** Returns how many CPUs the recording says it has, as far as it was read; 0 where it does not say. */
uint32_t io_stream_cpus(const struct io_stream *stream);

const struct trace_reader_ops *io_stream_format(const struct io_stream *stream);
const struct io_stream_stats *io_stream_stats(const struct io_stream *stream);
const struct input *io_stream_input(const struct io_stream *stream);

/** Returns the name of device @index ("259,0"; "nvme0" for what only NVMe events name), or NULL past the last. */
const char *io_stream_device_name(const struct io_stream *stream, uint32_t index);

/** Returns how often the recording has which event so far, or NULL where the format does not tell; borrowed. */
const struct names *io_stream_events(const struct io_stream *stream);

/** Returns what the reader says about the recording, key -> value strings; borrowed. */
GHashTable *io_stream_facts(struct io_stream *stream);

#endif
