/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_IOVA_GOLDEN_H
#define IOMMU_IOVA_GOLDEN_H

/*
 * Replays a recording of the kernel's allocator: text of operations, one a line, "OP ARGUMENTS = RESULT".
 *
 * Only what stands before " = " is read; the answer is the whole file with the model's results, to be compared byte by
 * byte. The first line is "iova-golden 1"; empty lines and lines that start with '#' are copied. The format is described
 * in docs/model/iova.md.
 */
#include "sim/core/golden.h"

/** Appends to @out what the model answers to the inputs in @text, @len bytes of the file called @name. On error *@error
 *  names @name and the line, and @out holds the answers up to it. */
bool iova_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error);

/** "iova": the above. */
extern const struct golden_runner iova_golden_runner;

/**
 * "alloc-order": the allocator calls of a recorded trace in one valid order, a line each: "OP ID CPU PAGES LIMIT FLUSH
 * FAILS RESULT". A allocates, F frees what A with the same ID got, W fires the depot timer of order PAGES, I makes the
 * domain, R reserves PAGES to LIMIT; the first FAILS allocations of memory in a call fail. The last column is the answer
 * and may be missing.
 */
extern const struct golden_runner alloc_order_golden_runner;

#endif
