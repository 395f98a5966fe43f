/* SPDX-License-Identifier: MIT */
#include "sim/core/text.h"

#include <errno.h>
#include <string.h>

bool text_parse_u64(const char *text, uint64_t *ret_value)
{
	bool hex = text[0] == '0' && text[1] == 'x';
	const char *digit = hex ? text + 2 : text;
	unsigned base = hex ? 16 : 10;
	uint64_t value = 0;

	if (!*digit)
		return false;
	for (; *digit; digit++) {
		unsigned number = (unsigned)*digit - '0';

		if (number > 9) {
			number = ((unsigned)*digit | 0x20) - 'a';
			number = number < 6 ? number + 10 : 16;
		}
		if (number >= base || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, number, &value))
			return false;
	}
	*ret_value = value;
	return true;
}

struct text_unit {
	const char *name;
	uint64_t factor;
};

/** Parses "number[.fraction]unit" with a unit of @units (ends with a NULL name). Exact: the fraction must be whole units. */
static bool text_parse_unit(const char *text, const struct text_unit *units, uint64_t *ret_value)
{
	size_t whole_len = strspn(text, "0123456789"), fraction_len = 0;
	const char *unit = text + whole_len;
	uint64_t whole = 0, fraction = 0, scale = 1;

	if (whole_len == 0)
		return false;
	if (*unit == '.') {
		fraction_len = strspn(unit + 1, "0123456789");
		if (fraction_len == 0 || fraction_len > 9)
			return false;
		unit += 1 + fraction_len;
	}
	for (size_t i = 0; i < whole_len; i++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, text[i] - '0', &whole))
			return false;
	for (size_t i = 0; i < fraction_len; i++) {
		fraction = fraction * 10 + (uint64_t)(text[whole_len + 1 + i] - '0');
		scale *= 10;
	}
	for (; units->name; units++) {
		uint64_t value;

		if (strcmp(unit, units->name) != 0)
			continue;
		if (__builtin_mul_overflow(whole, units->factor, &value))
			return false;
		fraction *= units->factor;
		if (fraction % scale != 0 || __builtin_add_overflow(value, fraction / scale, &value))
			return false;
		*ret_value = value;
		return true;
	}
	return false;
}

bool text_parse_time(const char *text, uint64_t *ret_ns)
{
	static const struct text_unit units[] = {{"", 1},	  {"ns", 1},	     {"us", 1000},
						 {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};

	return text_parse_unit(text, units, ret_ns);
}

bool text_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct text_unit units[] = {{"", 1},	    {"k", 1024},	 {"K", 1024},
						 {"KiB", 1024},	    {"M", 1048576},	 {"MiB", 1048576},
						 {"G", 1073741824}, {"GiB", 1073741824}, {NULL, 0}};

	return text_parse_unit(text, units, ret_bytes);
}

char *text_size(uint64_t bytes)
{
	if (bytes && bytes % (1 << 30) == 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT " GiB", bytes >> 30);
	if (bytes && bytes % (1 << 20) == 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT " MiB", bytes >> 20);
	if (bytes && bytes % (1 << 10) == 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT " KiB", bytes >> 10);
	return g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes);
}

char *text_time(uint64_t ns)
{
	static const struct {
		uint64_t unit_ns;
		const char *name;
	} units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}};

	for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
		/* Integer arithmetic only: the same digits everywhere. */
		uint64_t milli = ns / (units[i].unit_ns / 1000);

		if (ns < units[i].unit_ns)
			continue;
		if (milli >= 100000)
			return g_strdup_printf("%" G_GUINT64_FORMAT " %s", milli / 1000, units[i].name);
		if (milli >= 10000)
			return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s", milli / 1000,
					       milli % 1000 / 100, units[i].name);
		return g_strdup_printf("%" G_GUINT64_FORMAT ".%02" G_GUINT64_FORMAT " %s", milli / 1000,
				       milli % 1000 / 10, units[i].name);
	}
	return g_strdup_printf("%" G_GUINT64_FORMAT " ns", ns);
}

char *text_count(uint64_t count)
{
	g_autofree char *digits = g_strdup_printf("%" G_GUINT64_FORMAT, count);
	size_t len = strlen(digits);
	GString *string = g_string_sized_new(len + len / 3);

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			g_string_append_c(string, ',');
		g_string_append_c(string, digits[i]);
	}
	return g_string_free(string, FALSE);
}

void text_append_hex(GString *string, uint64_t value, unsigned digits)
{
	static const char hex[] = "0123456789abcdef";
	char buffer[18] = "0x";

	g_assert(digits >= 1 && digits <= 16);
	for (unsigned i = 0; i < digits; i++)
		buffer[2 + i] = hex[value >> 4 * (digits - 1 - i) & 0xf];
	g_string_append_len(string, buffer, 2 + digits);
}

#define NEAREST_LEN_MAX 64

/** Returns how many letters of @a must be changed, added, dropped or swapped with the next to have @b (optimal string alignment);
 *  both are at most NEAREST_LEN_MAX long. */
static unsigned text_distance(const char *a, const char *b)
{
	unsigned rows[3][NEAREST_LEN_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t len = strlen(b);

	for (unsigned j = 0; j <= len; j++)
		last[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned *next = before;

		row[0] = i;
		for (unsigned j = 1; j <= len; j++) {
			row[j] = MIN(MIN(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = next;
	}
	return last[len];
}

const char *text_nearest(const char *word, const char *const *names)
{
	size_t len = strlen(word);
	unsigned least = len < 3 ? 1 : MIN(len / 3, 2) + 1;
	const char *nearest = NULL;

	if (len > NEAREST_LEN_MAX)
		return NULL;
	for (; *names; names++) {
		unsigned distance = strlen(*names) > NEAREST_LEN_MAX ? least : text_distance(word, *names);

		if (distance < least) {
			least = distance;
			nearest = *names;
		}
	}
	return nearest;
}
