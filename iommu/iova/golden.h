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
#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

/** Appends to @out what the model answers to the inputs in @text, @len bytes of the file called @name. On error *@error
 *  names @name and the line, and @out holds the answers up to it. */
bool iova_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error);

#endif
