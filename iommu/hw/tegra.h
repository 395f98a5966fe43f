/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_HW_TEGRA_H
#define IOMMU_HW_TEGRA_H

#include "iommu/iommu.h"

enum tegra_generation {
	TEGRA30 = 1 << 0,
	TEGRA114 = 1 << 1,
	TEGRA124 = 1 << 2, /* and 132 */
	TEGRA210 = 1 << 3,
};

/** What tells one generation from another. */
struct tegra_soc {
	const char *name; /* "tegra124" */
	enum tegra_generation generation;
	unsigned asids;	       /* address spaces */
	unsigned atom_bytes;   /* of a line of the page-table cache */
	unsigned address_bits; /* of a physical address */
	uint32_t client_mask;  /* bits of a client's number */
	int address_digits;    /* that its usual kernel prints of an address */
};

/** Returns the name of memory client @id, "unknown" if there is none of that number. */
const char *tegra_client_name(const struct tegra_soc *soc, uint64_t id);

/** Returns the generation of @iommu, a Tegra SMMU. */
const struct tegra_soc *tegra_soc(const struct iommu *iommu);

#endif
