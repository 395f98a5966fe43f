/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_KEVENT_ROWS_H
#define SIM_TRACE_KEVENT_ROWS_H

/*
 * The table of kernel events: by which name each goes, and which of its keys or fields is which field of struct kevent.
 *
 * ftrace text has them as " KEY=NUMBER", trace.dat as the field KEY of the event's format: one row serves both.
 */
#include "sim/trace/kevent.h"
#include "sim/trace/scan.h"

#define KEVENT_KEYS_MAX 6

/** How text has a number. */
enum kevent_number {
	NUMBER_C,	/* hexadecimal after 0x, or decimal; with a sign */
	NUMBER_DECIMAL, /* the same: mostly decimal */
	NUMBER_HEX,	/* hexadecimal without 0x */
	NUMBER_DIR,	/* TO_DEVICE … or a number */
};

struct kevent_key {
	const char *text; /* with the blank before it and the equals sign */
	enum kevent_field field;
	enum kevent_number number;
	const char *format; /* the name in the event's format, where that is another; may be NULL */
};

struct kevent_row {
	const char *name;
	enum kevent_kind kind;
	bool probe; /* a probe of this name: its body begins with its place */
	struct kevent_key keys[KEVENT_KEYS_MAX];
	/* Reads a body that has no such keys; they name the fields all the same, of which none may be missing. */
	bool (*take)(struct scan body, struct kevent *event);
};

/** Returns the row of the event @name, of @len bytes, @probe: set by somebody. NULL: it is none of them. */
const struct kevent_row *kevent_row_of(const char *name, size_t len, bool probe);

#endif
