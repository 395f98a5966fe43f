/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_GOLDEN_H
#define IOMMU_PGTABLE_GOLDEN_H

/*
 * Replays a recording of page-table calls. The inputs in it (case, cfg, the op lines, dump) are read,
 * whatever stands between is not; the answer is the whole file as the model has it, to be compared byte by
 * byte.
 */
#include "sim/core/golden.h"

/** Appends to @out what the model answers to the inputs in @text, @len bytes of the file called @name. On
 * error *@error names @name and the line. */
bool pgtable_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error);

/** "pagetable": the above, for recordings of the formats that there are. */
extern const struct golden_runner pgtable_golden_runner;

#endif
