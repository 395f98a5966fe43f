/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_HTML_H
#define SIM_REPORT_HTML_H

/*
 * Text into HTML, and numbers into words. Whatever comes from a file goes through html_text() or html_json().
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define HTML_TEXT_MAX 2000 /* characters of one text; the page has a size to keep */

enum unit {
	UNIT_COUNT,
	UNIT_NS,
	UNIT_BYTES,
	UNIT_PERCENT,
	UNIT_PER_S, /* I/Os … */
	UNIT_BYTES_PER_S,
	UNIT_THOUSANDTHS, /* not of a chart */
	UNITS,
};

/** Names that the page's script knows them by. */
extern const char *const unit_names[UNITS];

/** Appends @text as text or as the value of an attribute in double quotes. What is too long is cut, and marked. */
void html_text(GString *html, const char *text);

/** Appends a JSON text so that it can stand in a script element. */
void html_json(GString *html, const char *json);

/** Appends a printf() whose arguments are no texts from outside. */
void html_printf(GString *html, const char *format, ...) G_GNUC_PRINTF(2, 3);

/** Appends @template with each {{NAME}} replaced by what @parts (NAME, value, …, NULL) has for it, as it is. */
void html_template(GString *html, const char *template, const char *const *parts);

/** Returns @value for a person, to three digits: "69.7 us", "19.9 MiB", "1,392", "4.56 k/s". Free with g_free(). */
char *html_number(enum unit unit, double value);
/** The same of a whole number; counts have all their digits. */
char *html_count(enum unit unit, uint64_t value);

/** Appends a table cell with @value, exact for programs and rounded for people. */
void html_cell_count(GString *html, enum unit unit, uint64_t value);
void html_cell_number(GString *html, enum unit unit, double value);

/** Returns the unit that a key of run.json says: by its last word. */
enum unit html_key_unit(const char *key);
/** Returns what a key of run.json means in words: "cache_hits" is "cache hits", "iotlb_misses" "IOTLB misses". Free with g_free(). */
char *html_key_label(const char *key);
/** The same as a heading: "Work kinds". */
char *html_key_caption(const char *key);

#endif
