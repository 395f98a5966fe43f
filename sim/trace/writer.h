/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_WRITER_H
#define SIM_TRACE_WRITER_H

/*
 * Writing a trace: the requests of an I/O stream, step by step, in another format.
 *
 * One file a format, one row in writers.c. What a format cannot hold is not written, and counted by what it is: a writer
 * says which facts its format holds, and counts itself what it leaves out beyond that. Memory is constant.
 */
#include "sim/io/output.h"
#include "sim/trace/trace.h"

/** What a trace may tell of a request. */
enum trace_fact {
	TRACE_FACT_REQUEST, /* that there is one: a format has no word for its operation or size */
	TRACE_FACT_TIME,    /* in nanoseconds */
	TRACE_FACT_CPU,	    /* that issues it */
	TRACE_FACT_DEVICE,  /* its name */
	TRACE_FACT_RANGE,   /* place and bytes, as they are */
	TRACE_FACT_COMMAND, /* queue and command id */
	TRACE_FACT_SEGMENTS,
	TRACE_FACT_SEGMENT_FLAGS,
	TRACE_FACT_END,	    /* when it completes, or that the driver does not take it */
	TRACE_FACT_END_CPU, /* if it is another than the one that issued it */
	TRACE_FACT_ERROR,   /* how it ends, where not well */
	TRACE_FACT_REQUEUE, /* that it is the driver who does not take it */
	TRACE_FACT_LIST,    /* that the recording has no completions */
	TRACE_FACT_ORDER,   /* of what happens at one time */
	TRACE_FACT_OTHER,   /* events that are part of no request */
	TRACE_FACTS,
};

#define TRACE_HOLDS(fact) (1u << TRACE_FACT_##fact)

struct trace_writer;

struct trace_writer_ops {
	const char *name;	 /* what --to takes: that of the reader */
	const char *description; /* for people */
	unsigned holds;		 /* TRACE_HOLDS() of each fact that the format has a place for */
	size_t state_size;	 /* zeroed by the opener */
	/** Whether the format has words for a request such as @record: else neither it nor its end is written, and it is
	 *  counted. May be NULL: for all. */
	bool (*fits)(const struct io_record *record);
	/** Writes what stands before all requests. */
	void (*open)(struct trace_writer *writer);
	void (*issue)(struct trace_writer *writer, const struct io_record *record);
	/** Writes how @record ends. One that was given up, record->completes false, has no end in the recording: formats that
	 *  do not hold TRACE_FACT_LIST are not told. May be NULL. */
	void (*end)(struct trace_writer *writer, const struct io_record *record,
		    const struct io_complete *complete);
	/** Writes what is left, now that all is known of the recording. */
	void (*finish)(struct trace_writer *writer);
	/** Frees what the state holds. May be NULL. */
	void (*close)(struct trace_writer *writer);
};

/** The formats that can be written, NULL-ended. */
extern const struct trace_writer_ops *const trace_writers[];

/** One trace on its way out. Borrows stream and output. */
struct trace_writer {
	const struct trace_writer_ops *ops;
	struct io_stream *stream;
	struct output *output;
	void *state;
	uint64_t time_ns; /* of the last step */
	uint32_t cpus;	  /* of the recording: known to finish() */
	uint64_t dropped[TRACE_FACTS];
	GPtrArray *names; /* of trace_writer_device() */
};

/** Returns the row called @name, or NULL with *@error naming those that there are. */
const struct trace_writer_ops *trace_writer_find(const char *name, GError **error);

/** Starts writing the requests of @stream, of which nothing was read, to @output. */
struct trace_writer *trace_writer_new(const struct trace_writer_ops *ops, struct io_stream *stream,
				      struct output *output);

/** Writes what io_stream_next() returned. */
void trace_writer_step(struct trace_writer *writer, enum io_step step, const struct io_record *record,
		       const struct io_complete *complete);

/** Writes the rest, after IO_END; @stats are those of what was read. The output is still to be committed. */
void trace_writer_finish(struct trace_writer *writer, const struct io_stream_stats *stats);

/** NULL is allowed. */
void trace_writer_free(struct trace_writer *writer);

/** Returns what was dropped of @fact, as "segments of 6599 requests", NULL if nothing; free with g_free(). */
char *trace_writer_dropped(const struct trace_writer *writer, enum trace_fact fact);

/** Returns a short name of @fact, for programs: "segments". */
const char *trace_fact_name(enum trace_fact fact);

/* ---- for writers ---- */

static inline void trace_writer_drop(struct trace_writer *writer, enum trace_fact fact)
{
	writer->dropped[fact]++;
}

/** Returns the name of device @index of the stream, with a '_' for each of @foreign that it has and for blanks at its ends, without
 *  what is above 255 bytes, and "_" for an empty one; it is counted once where that changes it. Borrowed. */
const char *trace_writer_device(struct trace_writer *writer, uint32_t index, const char *foreign);

/** Returns the bytes of @record's data segments together. */
uint64_t trace_record_data_bytes(const struct io_record *record);

extern const struct trace_writer_ops trace_blkparse_writer;
extern const struct trace_writer_ops trace_csv_writer;
extern const struct trace_writer_ops trace_fio_writer;
extern const struct trace_writer_ops trace_ftrace_writer;
extern const struct trace_writer_ops trace_iot_writer;

#endif
