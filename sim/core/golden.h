/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_GOLDEN_H
#define SIM_CORE_GOLDEN_H

/*
 * Recordings of kernel code, and the model's answer to their inputs.
 *
 * A room has one runner a kind of recording. It reads the inputs only and prints the whole file as the model has it, so
 * that conforming is emitting and comparing: one code path, and a runner never sees the recorded answers.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

struct golden_runner {
	const char *kind; /* "iova" */
	/** Returns whether @text, @len bytes, is a recording of this kind: its first line says so. */
	bool (*probe)(const char *text, size_t len);
	/** Appends to @out what the model makes of the inputs in @text, the file called @name. Returns false with
	 *  "NAME:LINE: …" in *@error when they cannot be read; @out then holds the answers up to there. */
	bool (*emit)(const char *name, const char *text, size_t len, GString *out, GError **error);
	/** In place of emit(), of a kind that is about a board: the inputs name a blob in the directory @boards. */
	bool (*emit_board)(const char *name, const char *text, size_t len, const char *boards, GString *out,
			   GError **error);
};

/** Is handed a line, its number from 1 on, without the newline; may write into it. Returns false, with *@error, to end. */
typedef bool (*golden_line_fn)(void *data, uint64_t number, char *line, GError **error);

/** For runners: hands the lines of @text to @fn in turn. Returns false if @fn did or a line holds a zero byte. */
bool golden_lines(const char *name, const char *text, size_t len, golden_line_fn fn, void *data,
		  GError **error);

#endif
