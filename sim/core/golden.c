/* SPDX-License-Identifier: MIT */
#include "sim/core/golden.h"

#include <string.h>

#include "sim/core/error.h"

bool golden_lines(const char *name, const char *text, size_t len, golden_line_fn fn, void *data, GError **error)
{
	const char *end = text + len;

	for (uint64_t number = 1; text < end; number++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t line_len = (size_t)((newline ? newline : end) - text);
		g_autofree char *line = g_strndup(text, line_len);

		if (strlen(line) != line_len) {
			sim_error_line(error, name, number, "the line holds a zero byte");
			return false;
		}
		if (!fn(data, number, line, error))
			return false;
		text += line_len + 1;
	}
	return true;
}
