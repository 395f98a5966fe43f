/* SPDX-License-Identifier: MIT */
#ifndef SIM_REPORT_DOCUMENT_H
#define SIM_REPORT_DOCUMENT_H

/*
 * A JSON file from somebody, read with suspicion: every complaint has a line, nesting and size are bounded, and a value of an
 * unexpected type is a complaint, not a default.
 *
 * Who reads values need not look at each for trouble: the first one is kept, and document_error() has it at the end.
 */
#include <stdbool.h>
#include <stdint.h>

#include <json-glib/json-glib.h>

#define DOCUMENT_BYTES_MAX   (64u << 20)
#define DOCUMENT_NESTING_MAX 32

struct document;

/** Reads @path (.gz and .zst as any input), which must hold one object. Returns NULL with "FILE:LINE: …" in *@error. */
struct document *document_load(const char *path, GError **error);
/** NULL is allowed. */
void document_free(struct document *document);

/** Returns the outermost object; borrowed, as everything below. */
JsonNode *document_root(const struct document *document);

/** Returns member @name of @object, NULL if there is none or @object is none. */
JsonNode *document_member(JsonNode *object, const char *name);

/** Returns what names separated by dots lead to from the root, "replay.ios"; a number picks from a list. NULL if there is
 *  nothing. */
JsonNode *document_find(const struct document *document, const char *path);

/** Returns how many elements the list has; 0 where @list is NULL. Another type is a complaint. */
unsigned document_length(struct document *document, JsonNode *list);
/** Returns element @index of a list that has so many. */
JsonNode *document_element(JsonNode *list, unsigned index);

/** Takes a count: what is written as a number or, above 2^63, as digits. Returns false, leaving *@ret_value alone, where @node
 *  is NULL; or is of another type, which is a complaint. */
bool document_u64(struct document *document, JsonNode *node, uint64_t *ret_value);
/** Returns a text; NULL where @node is NULL or, a complaint, of another type. */
const char *document_text(struct document *document, JsonNode *node);

/** Returns whether @node is a value that fills 64 bits, without complaint. */
bool document_is_u64(JsonNode *node, uint64_t *ret_value);

/** Moves the first complaint, if any, to *@error. Returns whether there was none. */
bool document_error(struct document *document, GError **error);

#endif
