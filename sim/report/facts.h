/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_FACTS_H
#define SIM_REPORT_FACTS_H

/*
 * Results, said once and shown twice: a table for people and JSON for programs, from the same calls.
 *
 * Keys are snake_case with the unit in the name. A label of NULL keeps a fact out of the table, a key of NULL out of the
 * JSON. A list sits under a plural key; its items are groups without a key.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct facts;

struct facts *facts_new(void);
void facts_free(struct facts *facts);

void facts_u64(struct facts *facts, const char *key, const char *label, uint64_t value);
/** The same of a number that may be negative. */
void facts_i64(struct facts *facts, const char *key, const char *label, int64_t value);
void facts_text(struct facts *facts, const char *key, const char *label, const char *value);
void facts_bool(struct facts *facts, const char *key, const char *label, bool value);
/** One value of a list, which then holds no groups; only the JSON has it. */
void facts_item(struct facts *facts, const char *value);
/** @key ends in _ns; people see a unit that fits. */
void facts_time(struct facts *facts, const char *key, const char *label, uint64_t ns);
/** @key ends in _bytes. */
void facts_size(struct facts *facts, const char *key, const char *label, uint64_t bytes);
/** A line of the table that has no counterpart in the JSON. */
void facts_line(struct facts *facts, const char *format, ...) G_GNUC_PRINTF(2, 3);

/** Opens a group: an object in the JSON, a heading with indented lines in the table (no heading with a NULL @label). */
void facts_begin(struct facts *facts, const char *key, const char *label);
void facts_end(struct facts *facts);
void facts_list_begin(struct facts *facts, const char *key, const char *label);
void facts_list_end(struct facts *facts);

/** Returns the whole as text, or as JSON with a newline at its end; free with g_free(). Everything opened is closed. */
char *facts_to_text(struct facts *facts);
char *facts_to_json(struct facts *facts);

#endif
