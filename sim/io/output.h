/* SPDX-License-Identifier: MIT */
#ifndef SIM_IO_OUTPUT_H
#define SIM_IO_OUTPUT_H

/*
 * Bytes out: a file appears whole or not at all. It is written without a name (or, where the file system cannot, under a
 * hidden temporary one) in the same directory, fsync-ed, then renamed; a failure at any point leaves what was there
 * before. Access is what the umask leaves of 0666.
 *
 * "-" is stdout. That, and a path that is a device or a pipe (/dev/null), is written in place.
 */
#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

struct output;

/** Starts writing @path; ".zst" at its end compresses. Returns NULL with "PATH: why" in *@error (SIM_ERROR_OUTPUT). */
struct output *output_new(const char *path, GError **error);

/** Appends bytes. An error is remembered and reported by output_commit(). */
void output_write(struct output *output, const void *bytes, size_t len);
void output_puts(struct output *output, const char *text);
void output_printf(struct output *output, const char *format, ...) G_GNUC_PRINTF(2, 3);

/** Makes the file visible under its name and frees @output, also on failure, which leaves no file behind. */
bool output_commit(struct output *output, GError **error);

/** Writes @text as the whole of the file @name in @directory. Returns false with *@error, and no file. */
bool output_write_text(const char *directory, const char *name, const char *text, GError **error);

/** Gives up: no file, frees @output. NULL is allowed. */
void output_abandon(struct output *output);

#endif
