/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_TRANSFORM_H
#define SIM_TRACE_TRANSFORM_H

/*
 * Which part of a trace, how fast, and how often: an I/O stream with the same steps, made of the steps of another.
 *
 *	from, to	the requests issued in that time of the trace
 *	skip		of these, without the first so many
 *	scale		time passes so many times as fast, for completions as for issues
 *	repeat		so many rounds of what is left: time goes on, places on the disk are shifted
 *
 * They apply in this order, to whole requests: a completion is taken if its issue is. Time counts from @from_ns, or,
 * with @skip, from the first request that is taken. A round begins at the time of the last step of the round before,
 * which also ends what the trace never completes, so that nothing piles up. With a @to_ns, what
 * lies behind the last completion of a request that was taken is not read. Memory: 16 bytes for each request in flight.
 */
#include "sim/trace/trace.h"

struct io_transform;

/** The rounds of a trace lie side by side on the disk, at a distance that is a multiple of this. */
#define TRANSFORM_SPAN_ALIGN_BYTES (UINT64_C(1) << 20)

/** Opens the trace @path as @options, with their part, say; strings are borrowed until io_transform_close(). Returns NULL with
 *  *@error: also where the trace shall be repeated and cannot be read twice. */
struct io_transform *io_transform_open(const char *path, const struct trace_options *options, GError **error);
void io_transform_close(struct io_transform *transform);

/** As io_stream_next(): records are numbered from 1 in order of issue, times are those after scaling. A part without any
 *  request is an error. */
enum io_step io_transform_next(struct io_transform *transform, const struct io_record **ret_record,
			       struct io_complete *ret_complete, GError **error);

/** Returns the counts so far: of events, what was read, in all rounds together; of requests, what was returned. Borrowed until
 *  the next call. */
const struct io_stream_stats *io_transform_stats(struct io_transform *transform);

/** Returns how far a round lies behind the one before, in bytes; 0 while that is not known. */
uint64_t io_transform_shift_bytes(const struct io_transform *transform);

/** Returns the stream that is read, for what is known of the recording: its format, device names, facts. Borrowed, until the
 *  next round begins. */
struct io_stream *io_transform_stream(struct io_transform *transform);

/** Returns whether the trace @path can be read more than once: what a pipe gives is gone then. */
bool trace_can_read_twice(const char *path);

/** Returns @part as options of the command line, such as "--from=1000ns --scale=2"; "" for the whole trace. Free with
 *  g_free(). */
char *trace_part_text(const struct trace_part *part);

#endif
