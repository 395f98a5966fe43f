/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_GOLDEN_DRIVER_H
#define IOMMU_HW_GOLDEN_DRIVER_H

/*
 * How a recording speaks of a driver: one row each, in golden-drivers.c.
 */
#include "iommu/hw/hw.h"
#include "iommu/pgtable/golden-format.h"

struct golden_driver {
	const struct iommu_hw_ops *hw;
	/** Reads the keys of the cfg line that are the driver's own; @config has ias=, oas= and pgsizes= already, of
	 * which a driver that fixes them has no need. NULL: there are none. */
	bool (*configure)(const struct golden *golden, const struct golden_words *words,
			  struct iommu_hw_config *hw, GError **error);
	/** Appends what stands on the line "reg", after the word. */
	void (*registers)(const struct iommu_domain *domain, GString *out);
	/** An op line of the driver's own; NULL: there are none. */
	bool (*op)(const struct golden *golden, const struct golden_words *words, struct iommu *iommu,
		   GError **error);
	const char *bracket;  /* the attachment stands between "NAME-begin" and "NAME-end"; NULL: by itself */
	bool bracket_has_table; /* the allocation of the table too */
	bool registers_last;  /* the line "reg" follows the attachment */
	int open_error;	      /* what a failed set-up is answered with; 0: the errno */
};

/** The rows, as formats of recordings. */
extern const struct golden_format golden_driver_formats[];

/** What they have in common; golden_format.driver of each. */
extern const struct golden_driver_ops golden_driver_ops;

#endif
