/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_TESTS_FAULT_SWEEP_H
#define IOMMU_TESTS_FAULT_SWEEP_H

/*
 * For tests that let one fault point fail at its first pass, then its second, … until a run no longer comes
 *that far:
 *
 *	for (uint64_t nth = 1, fired = 1; fired; nth++) {
 *		struct fault_rules *rules = sweep_arm(sim, tables, "dma.link", nth);
 *		… scenario …
 *		fired = sweep_disarm(sim, rules);
 *	}
 */
#include <unistd.h>

#include "sim/fault/fault.h"

/** Makes the @nth pass of @point fail from now on; undo with sweep_disarm(). */
static inline struct fault_rules *sweep_arm(struct sim *sim, const struct fault_table *const *tables,
					    const char *point, uint64_t nth)
{
	g_autofree char *text =
		g_strdup_printf("[fault swept]\npoint = %s\nnth = %" G_GUINT64_FORMAT "\n", point, nth);
	struct fault_rules *rules = fault_rules_new(tables);
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;
	int fd = g_file_open_tmp("sweep-XXXXXX.ini", &path, &error);

	g_assert_no_error(error);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
	close(fd);
	fault_rules_load(rules, path, &error);
	unlink(path);
	g_assert_no_error(error);
	fault_rules_arm(rules, sim);
	return rules;
}

/** Ends it. Returns whether the point failed. */
static inline bool sweep_disarm(struct sim *sim, struct fault_rules *rules)
{
	unsigned count;

	fault_firings(rules, &count);
	fault_rules_arm(NULL, sim);
	fault_rules_free(rules);
	return count > 0;
}

#endif
