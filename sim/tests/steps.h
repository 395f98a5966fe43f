/* SPDX-License-Identifier: MIT */
#ifndef SIM_TESTS_STEPS_H
#define SIM_TESTS_STEPS_H

/*
 * Reading traces in tests. What a stream returns is text, one step a line:
 *   issue NUMBER us=TIME cpu=N DEVICE OPERATION LBA+BYTES q=QUEUE/TAG > PADDR+LEN …
 *   done NUMBER us=TIME cpu=N [error=N] [given up]
 */
#include "sim/trace/trace.h"

/** Reads the whole trace, checking what holds for every one. Returns its steps if @keep, and ends with *@ret_stats. @options
 *  may be NULL. */
char *steps_run(const char *path, const struct trace_options *options, bool keep,
		struct io_stream_stats *ret_stats, GError **error);

/** Writes a file without syncing the disk, as g_file_set_contents() would. */
void steps_write_file(const char *path, const void *bytes, size_t len);

/** Returns the path of a new temporary file with these bytes. */
char *steps_scratch(const void *bytes, size_t len);

/** Returns the path of fixtures/traces/@name. */
char *steps_fixture(const char *name);

/** Returns @message with FORMATS replaced by the names of all formats. */
char *steps_replace_formats(const char *message);

/** Asserts that fixtures/hostile/traces/@name ends with its path and @message. A message that ends with a blank is the start
 *  of one. */
void steps_assert_hostile(const char *name, const struct trace_options *options, const char *message);

/** Asserts that every beginning of the first @len bytes of fixtures/traces/@name, and they with any one byte flipped, end,
 *  with success or an error of ours; of a sample, as many less. */
void steps_assert_damage_ends(const char *name, const struct trace_options *options, size_t len);

#endif
