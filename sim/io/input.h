/* SPDX-License-Identifier: MIT */
#ifndef SIM_IO_INPUT_H
#define SIM_IO_INPUT_H

/*
 * Bytes in: a file, a pipe or stdin ("-"), plain, .gz or .zst, as one forward stream with a known offset.
 *
 * What the input is, is told by its first bytes, not by its name. Plain files are read ahead through io_uring; where
 * that is refused (old kernel, seccomp) with plain read(2), with the same result. Several zstd frames or gzip members
 * one after another are one stream, as their tools have it. Memory is constant: the buffers, and the window that zstd
 * asks for, at most INPUT_ZSTD_WINDOW_LG2.
 *
 * Every error names the path and how many uncompressed bytes were understood before it: "PATH@OFFSET: …".
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#define INPUT_LINE_MAX	      (64u << 10) /* a longer line is an error: no trace has one, and memory stays bounded */
#define INPUT_ZSTD_WINDOW_LG2 27	  /* 128 MiB, what the zstd tool accepts without --long */

struct input;

/** How the bytes of the file itself are fetched. The result is the same; only a test asks for one. */
enum input_fetch {
	INPUT_FETCH_AUTO, /* read-ahead where it can help, else read(2) */
	INPUT_FETCH_READ, /* read(2) */
	INPUT_FETCH_RING, /* io_uring; opening fails where the kernel refuses it or @path is no regular file */
};

/** Opens @path ("-" is stdin). Returns NULL with "PATH: why" in *@error. Free with input_close(). */
struct input *input_open(const char *path, GError **error);
struct input *input_open_fetch(const char *path, enum input_fetch fetch, GError **error);
void input_close(struct input *input);

/** Returns the path as it was given; borrowed. */
const char *input_path(const struct input *input);

/** Returns how many uncompressed bytes were consumed. */
uint64_t input_offset(const struct input *input);

/** Returns consumed bytes of the file itself (compressed), and its size in *@ret_size, 0 where that is unknown. For
 *  progress. */
uint64_t input_position(const struct input *input, uint64_t *ret_size);

/** Makes at least @want bytes (at most 64 KiB) visible without consuming them, fewer at the end of the input.
 *  *@ret_bytes is borrowed until the next call. Returns how many are visible, or -1 with *@error. */
ssize_t input_peek(struct input *input, size_t want, const uint8_t **ret_bytes, GError **error);

/** Consumes @count bytes, no more than are visible since the last input_peek(). */
void input_skip(struct input *input, size_t count);

/** Reads a line without its newline into *@ret_line (not terminated, borrowed until the next call, may hold NUL bytes).
 *  Returns 1, 0 at the end, -1 with *@error (read error, damaged compression, a line above INPUT_LINE_MAX). */
int input_line(struct input *input, const char **ret_line, size_t *ret_len, GError **error);

/** Returns the number of the line that input_line() returned last, from 1. */
uint64_t input_line_number(const struct input *input);

#endif
