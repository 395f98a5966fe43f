/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_FORMATS_H
#define SIM_TRACE_FORMATS_H

/*
 * The readers, for the table in readers.c.
 */
#include "sim/trace/trace.h"

extern const struct trace_reader_ops trace_ftrace;
extern const struct trace_reader_ops trace_blktrace;
extern const struct trace_reader_ops trace_blkparse;

#endif
