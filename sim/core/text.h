/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_TEXT_H
#define SIM_CORE_TEXT_H

/*
 * Canonical text: numbers written and read one way only, whatever the locale.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/** Parses an unsigned number, decimal or 0x…, that fills @text. Returns false, leaving *@ret_value alone, if it is none or
 *  does not fit 64 bits. */
bool text_parse_u64(const char *text, uint64_t *ret_value);

/** Parses a time with its unit (ns, us, ms, s; "5ms", "1.5us", a bare number is ns) into nanoseconds. */
bool text_parse_time(const char *text, uint64_t *ret_ns);

/** Parses a size with an optional binary unit (k, M, G, KiB, MiB, GiB; "128k") into bytes. */
bool text_parse_size(const char *text, uint64_t *ret_bytes);

/** Returns @bytes for a person: "128 KiB"; exact, hence never rounded: "4608 B". Free with g_free(). */
char *text_size(uint64_t bytes);

/** Returns @ns for a person, three significant digits: "1.23 ms". Free with g_free(). */
char *text_time(uint64_t ns);

/** Returns @count with thin separators for a person: "1,234,567". Free with g_free(). */
char *text_count(uint64_t count);

/** Returns the one of @names, NULL-ended, that @word may have been meant for: a letter or two wrong, missing, too much or
 *  swapped. NULL where none is near. Borrowed. */
const char *text_nearest(const char *word, const char *const *names);

/** Appends @value as 0x and exactly @digits hexadecimal digits, so that text sorts as numbers do. */
void text_append_hex(GString *string, uint64_t value, unsigned digits);

#endif
