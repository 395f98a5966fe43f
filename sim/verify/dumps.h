/* SPDX-License-Identifier: MIT */
#ifndef SIM_VERIFY_DUMPS_H
#define SIM_VERIFY_DUMPS_H

/*
 * Dumps of the page table (debugfs, iommu/intel/domain_translation_struct), taken between the marks "phase snap-NAME begin" and
 * "phase snap-NAME end" of a recording and kept as NAME.pagetable.txt.
 *
 * Taken while nothing is mapped or unmapped, a dump must be the model's table, entry for entry and bit for bit. Taken under
 * load it must have what was mapped from begin to end, and nothing that was not mapped at some time in between.
 */
#include "sim/verify/model.h"

struct verify_dumps;

/** Finds the dumps of @recording in the directory @dir. Returns NULL with *@error; nothing found is no error. Free with
 *  verify_dumps_free(). */
struct verify_dumps *verify_dumps_read(const struct verify_recording *recording, const char *dir,
				       GError **error);
void verify_dumps_free(struct verify_dumps *dumps);

/** Returns how many there are. */
unsigned verify_dumps_count(const struct verify_dumps *dumps);
/** Returns the event at which dump @index begins: they ascend. */
uint32_t verify_dump_event(const struct verify_dumps *dumps, unsigned index);

/** Compares dump @index with @domain, which is as it was when the dump began. */
void verify_dump_compare(const struct verify_dumps *dumps, unsigned index, const struct iommu_domain *domain,
			 struct verify_result *result);

#endif
