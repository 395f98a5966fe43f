/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_LIFE_TRACE_H
#define SIM_TRACE_LIFE_TRACE_H

/*
 * Lives as a recording tells them (kevent.h): from its allocator, map, unmap, invalidation and dma events, whichever of
 * them it has. Memory: the books, and for each CPU and task what it is doing.
 *
 * Which request an IOVA is for: what one CPU does in one context (and one task) between nvme_setup_cmd and block_rq_issue
 * belongs to that request, as in docs/formats/traces.md.
 */
#include "sim/trace/life.h"

/** Reads @path, ftrace text, into @books, of struct life_book. Returns false with *@error; else *@ret_scope says what it told. */
bool life_trace_read(const char *path, GPtrArray *books, struct life_scope *ret_scope, GError **error);

#endif
