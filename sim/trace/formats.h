/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_FORMATS_H
#define SIM_TRACE_FORMATS_H

/*
 * The readers, for the table in readers.c.
 */
#include "sim/trace/trace.h"

extern const struct trace_reader_ops trace_ftrace;
extern const struct trace_reader_ops trace_iot;
extern const struct trace_reader_ops trace_blktrace;
extern const struct trace_reader_ops trace_blkparse;
extern const struct trace_reader_ops trace_blktext;
extern const struct trace_reader_ops trace_iolog;
extern const struct trace_reader_ops trace_perf;
extern const struct trace_reader_ops trace_tracedat;

/* What a list of requests made by this program begins with, before its columns as --csv has them. */
#define CSV_SAYS "# iommusim --csv="

/* Families of lists of requests, all in csv.c. */
extern const struct trace_reader_ops trace_alibaba;
extern const struct trace_reader_ops trace_csv;
extern const struct trace_reader_ops trace_mqsim;
extern const struct trace_reader_ops trace_msr;
extern const struct trace_reader_ops trace_spc;
extern const struct trace_reader_ops trace_systor;
extern const struct trace_reader_ops trace_tencent;

#endif
