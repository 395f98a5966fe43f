/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_TRACEDAT_H
#define SIM_TRACE_TRACEDAT_H

/*
 * trace.dat as a stream of kernel events, for kevent.c. As a trace it is read through the table of readers.c.
 */
#include "sim/trace/kevent.h"

struct tracedat;

/** Returns how sure it is that @bytes, the first @len of the input, are a trace.dat: 0 no, 100 certain. */
int tracedat_probe(const uint8_t *bytes, size_t len);

/** Opens @path, of which @input is at its start; borrowed until tracedat_close(). @kevents: for tracedat_next_kevent().
 *  Returns NULL with *@error. */
struct tracedat *tracedat_open(struct input *input, const char *path, bool kevents, GError **error);
void tracedat_close(struct tracedat *tracedat);

/** Fills *@ret_event. Returns 1, 0 at the end, -1 with *@error. */
int tracedat_next_kevent(struct tracedat *tracedat, struct kevent *ret_event, GError **error);

/** As kevent_cpus() and kevent_lost(). */
uint32_t tracedat_cpus(const struct tracedat *tracedat);
uint64_t tracedat_lost(const struct tracedat *tracedat);

#endif
