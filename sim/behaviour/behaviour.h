/* SPDX-License-Identifier: MIT */
#ifndef SIM_BEHAVIOUR_BEHAVIOUR_H
#define SIM_BEHAVIOUR_BEHAVIOUR_H

/*
 * What differs between kernel versions, one row a difference.
 *
 * Models ask behaves(sim, BLKDMA_ROLLBACK) == BLKDMA_ROLLBACK_FIXED and never compare versions. `[kernel] version`
 * picks a column, `[behaviour] NAME = VALUE` overrides one row. The bugs of the past are rows like any other: the run
 * reports what that kernel would have suffered. A new behaviour is one enum, one row of the table, and the model that
 * asks for it.
 */
#include "sim/core/sim.h"

enum behaviour {
	IOVA_MAGAZINE_NULL_CHECK,
	IOVA_DEPOT,
	IOVA_32BIT_RETRY,
	BLKDMA_MAPPER,
	NVME_TRANSFER_LIMIT,
	NVME_SGL_CHOICE,
	NVME_HMB,
	VTD_INVALIDATION_HINT,
	BLKDMA_ROLLBACK,
	NOSYNC_MAP_ERROR,
	BOUNCE_LINK,
	ROLLBACK_IOVA_FREE,
	METADATA_GAP,
	DESCRIPTOR_POOL_UNMAP,
	PRP_POOL_UNMAP,
	P2P_VEC_FREE,
	QCOM_FAULT_REPORT,
	OF_XLATE_PUT_APPLE_DART, /* one row a driver, in the order of platform_drivers[] */
	OF_XLATE_PUT_QCOM,
	OF_XLATE_PUT_EXYNOS,
	OF_XLATE_PUT_IPMMU,
	OF_XLATE_PUT_MTK,
	OF_XLATE_PUT_MTK_V1,
	OF_XLATE_PUT_OMAP,
	OF_XLATE_PUT_SUN50I,
	OF_XLATE_PUT_TEGRA,
	MTK_LARB_REFS,
	MTK_V1_LARB_COUNT_CHECK,
	PROBE_DEVICE_FWSPEC,
	BEHAVIOURS,
};

/* The values of each row, in the order of its names in the table. */
enum { IOVA_MAGAZINE_KFREE, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_CHECKED };
enum { IOVA_DEPOT_ARRAY_32, IOVA_DEPOT_TRIMMED };
enum { IOVA_32BIT_EACH_REQUEST, IOVA_32BIT_STICKY };
enum { BLKDMA_MAPPER_SG, BLKDMA_MAPPER_IOVA };
enum { NVME_TRANSFER_4M, NVME_TRANSFER_4M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL };
enum { NVME_SGL_COUNTED, NVME_SGL_MAPPED, NVME_SGL_USER };
enum { NVME_HMB_CHUNKS, NVME_HMB_ONE_IOVA };
enum { VTD_HINT_NEVER, VTD_HINT_LEAVES };
enum { BLKDMA_ROLLBACK_OLD, BLKDMA_ROLLBACK_FIXED };
enum { NOSYNC_MAP_FIXED, NOSYNC_MAP_INVERTED }; /* fixed where nobody chose a version: drivers' own tests */
enum { BOUNCE_LINK_OLD, BOUNCE_LINK_FIXED };
enum { ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_WHOLE };
enum { METADATA_GAP_DATA, METADATA_GAP_OWN };
enum { DESCRIPTOR_POOL_LEAK, DESCRIPTOR_POOL_FIXED };
enum { PRP_POOL_PARTIAL, PRP_POOL_WHOLE };
enum { P2P_VEC_LEAK, P2P_VEC_FIXED };
enum { QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_UNHANDLED };
enum { XLATE_PUT_OLD, XLATE_PUT_V1, XLATE_PUT_FIXED }; /* of every of-xlate-put row */
enum { LARB_REFS_OLD, LARB_REFS_V1, LARB_REFS_FIXED };
enum { LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_ON };
enum { PROBE_FWSPEC_OFF, PROBE_FWSPEC_ON, PROBE_FWSPEC_AS_POSTED, PROBE_FWSPEC_HELPER };

enum kernel_version {
	KERNEL_6_1,
	KERNEL_6_6,
	KERNEL_6_12,
	KERNEL_6_17,
	KERNEL_6_18,
	KERNEL_6_19,
	KERNEL_7_0,
	KERNEL_7_0_LATER,
	KERNEL_FIXED,
	KERNEL_VERSIONS,
};

#define BEHAVIOUR_VALUES_MAX 4
#define BEHAVIOUR_NONE	     UINT8_MAX /* the version lacks the code that the row is about */

struct behaviour_row {
	const char *name;
	const char *values[BEHAVIOUR_VALUES_MAX + 1]; /* ends with NULL */
	const char *upstream;			      /* commit, or what is known of it */
	const char *what;			      /* one sentence for people */
	uint8_t value_in[KERNEL_VERSIONS];	      /* or BEHAVIOUR_NONE */
};

extern const struct behaviour_row behaviour_rows[BEHAVIOURS];
extern const char *const kernel_version_names[KERNEL_VERSIONS];

static inline unsigned behaves(const struct sim *sim, enum behaviour behaviour)
{
	return sim->behaviour[behaviour];
}

/** Returns what @row's value in @version is called, "-" where the version lacks the code. */
const char *behaviour_value_name(enum behaviour row, enum kernel_version version);

/** Gives every row its value in @version. */
void behaviour_set_version(struct sim *sim, enum kernel_version version);

/** Returns the version called @name, or -1. */
int kernel_version_find(const char *name);

/** Returns the row called @name, or -1. */
int behaviour_find(const char *name);

/** Returns which value of @behaviour is called @value, or -1. */
int behaviour_find_value(enum behaviour behaviour, const char *value);

#endif
