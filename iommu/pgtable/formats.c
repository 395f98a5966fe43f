/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/formats.h"

const struct pgtable_ops *const pgtable_formats[] = {
	&vtdss_ops,
	NULL,
};
