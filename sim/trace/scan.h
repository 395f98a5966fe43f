/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_SCAN_H
#define SIM_TRACE_SCAN_H

/*
 * The part of a line that is not yet understood. Each function takes what it names from the front, or leaves the scan
 * alone and returns false.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct scan {
	const char *at, *end;
};

static inline void scan_blanks(struct scan *scan)
{
	while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t'))
		scan->at++;
}

static inline bool scan_char(struct scan *scan, char c)
{
	if (scan->at == scan->end || *scan->at != c)
		return false;
	scan->at++;
	return true;
}

static inline bool scan_text(struct scan *scan, const char *text, size_t len)
{
	if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, text, len) != 0)
		return false;
	scan->at += len;
	return true;
}

#define SCAN(scan, literal) scan_text(scan, literal, sizeof(literal) - 1)

static inline bool scan_decimal(struct scan *scan, uint64_t *ret_value)
{
	const char *at = scan->at;
	uint64_t value = 0;

	for (; at < scan->end && *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (at == scan->at)
		return false;
	scan->at = at;
	*ret_value = value;
	return true;
}

static inline int scan_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static inline bool scan_hex(struct scan *scan, uint64_t *ret_value)
{
	const char *at = scan->at;
	uint64_t value = 0;

	for (; at < scan->end && scan_hex_digit(*at) >= 0; at++) {
		if (value >> 60)
			return false;
		value = value << 4 | (uint64_t)scan_hex_digit(*at);
	}
	if (at == scan->at)
		return false;
	scan->at = at;
	*ret_value = value;
	return true;
}

/* Decimal, or hexadecimal after 0x. */
static inline bool scan_number(struct scan *scan, uint64_t *ret_value)
{
	struct scan hex = *scan;

	if (!SCAN(&hex, "0x"))
		return scan_decimal(scan, ret_value);
	if (!scan_hex(&hex, ret_value))
		return false;
	*scan = hex;
	return true;
}

/* Moves @scan behind the first @name, which is the field's name with the blank before it and its equals sign. */
static inline bool scan_find_text(struct scan *scan, const char *name, size_t len)
{
	const char *at = memmem(scan->at, (size_t)(scan->end - scan->at), name, len);

	if (!at)
		return false;
	scan->at = at + len;
	return true;
}

#define SCAN_FIND(scan, literal) scan_find_text(scan, literal, sizeof(literal) - 1)

/** Takes a number with up to nine digits behind its point, as @unit_ns each. Returns false, too, where it does not fit 64 bits of
 *  nanoseconds; what is finer than one is cut off. */
static inline bool scan_time(struct scan *scan, uint64_t unit_ns, uint64_t *ret_ns)
{
	struct scan in = *scan;
	uint64_t whole, fraction = 0, ns = 0, scale = 1;

	if (!scan_decimal(&in, &whole) || whole > (UINT64_MAX - unit_ns) / unit_ns)
		return false;
	if (scan_char(&in, '.')) {
		const char *digits = in.at;

		if (!scan_decimal(&in, &fraction) || in.at - digits > 9)
			return false;
		for (; digits < in.at; digits++)
			scale *= 10;
		ns = fraction * unit_ns / scale;
	}
	*ret_ns = whole * unit_ns + ns;
	*scan = in;
	return true;
}

#endif
