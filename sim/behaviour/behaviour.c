/* SPDX-License-Identifier: MIT */
#include "sim/behaviour/behaviour.h"

#include <string.h>

const char *const kernel_version_names[KERNEL_VERSIONS] = {
	[KERNEL_6_1] = "6.1",	[KERNEL_6_6] = "6.6",	[KERNEL_6_12] = "6.12",
	[KERNEL_6_17] = "6.17", [KERNEL_6_18] = "6.18", [KERNEL_6_19] = "6.19",
	[KERNEL_7_0] = "7.0",	[KERNEL_7_0_LATER] = "7.0-later", [KERNEL_FIXED] = "fixed",
};

/* Columns: 6.1, 6.6, 6.12, 6.17, 6.18, 6.19, 7.0, 7.0-later, fixed. */
const struct behaviour_row behaviour_rows[BEHAVIOURS] = {
	[IOVA_MAGAZINE_NULL_CHECK] =
		{"iova-magazine-null-check",
		 {"kfree", "unchecked", "checked"},
		 "84e6f56be9c6 (6.9) makes unchecked, fa8fb60d3637 checked",
		 "Whether freeing a magazine that was never allocated is safe: a failed cache creation frees those.",
		 {IOVA_MAGAZINE_KFREE, IOVA_MAGAZINE_KFREE, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_UNCHECKED, IOVA_MAGAZINE_CHECKED}},
	[IOVA_DEPOT] = {"iova-depot",
			{"array-32", "trimmed"},
			"911aa1245da8 (6.7)",
			"How full magazines are kept: at most 32 a size, or any number with a timer that trims them.",
			{IOVA_DEPOT_ARRAY_32, IOVA_DEPOT_ARRAY_32, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED, IOVA_DEPOT_TRIMMED}},
	[IOVA_32BIT_RETRY] = {"iova-32bit-retry",
			      {"each-request", "sticky"},
			      "sticky since 6.6",
			      "Whether a device that once failed to get an address below 4 GiB tries there again.",
			      {IOVA_32BIT_EACH_REQUEST, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY, IOVA_32BIT_STICKY}},
	[BLKDMA_MAPPER] = {"blkdma-mapper",
			{"sg", "iova"},
			"858299dc6160 (6.17)",
			"How the NVMe driver maps data: as a scatter list, or by the block mapper, with one IOVA where joints allow it.",
			{BLKDMA_MAPPER_SG, BLKDMA_MAPPER_SG, BLKDMA_MAPPER_SG, BLKDMA_MAPPER_IOVA, BLKDMA_MAPPER_IOVA, BLKDMA_MAPPER_IOVA, BLKDMA_MAPPER_IOVA, BLKDMA_MAPPER_IOVA, BLKDMA_MAPPER_IOVA}},
	[NVME_TRANSFER_LIMIT] = {"nvme-transfer-limit",
			{"4m", "4m-optimal", "8m-optimal"},
			"optimal since 6.4; 8m seen in 6.12, no commit known",
			"The largest request of the NVMe driver, and whether it stays below what the IOVA caches serve.",
			{NVME_TRANSFER_4M, NVME_TRANSFER_4M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL, NVME_TRANSFER_8M_OPTIMAL}},
	[NVME_SGL_CHOICE] = {"nvme-sgl-choice",
			{"counted", "mapped", "user"},
			"mapped since 6.3; user seen in 6.12, no commit known",
			"Of scatter lists: SGLs chosen by the mean segment as counted, or as mapped, and always for user commands.",
			{NVME_SGL_COUNTED, NVME_SGL_MAPPED, NVME_SGL_USER, NVME_SGL_USER, NVME_SGL_USER, NVME_SGL_USER, NVME_SGL_USER, NVME_SGL_USER, NVME_SGL_USER}},
	[NVME_HMB] = {"nvme-hmb",
			{"chunks", "one-iova"},
			"one-iova since 6.13",
			"Whether a host memory buffer behind an IOMMU is one piece of IOVA space if it can be.",
			{NVME_HMB_CHUNKS, NVME_HMB_CHUNKS, NVME_HMB_CHUNKS, NVME_HMB_ONE_IOVA, NVME_HMB_ONE_IOVA, NVME_HMB_ONE_IOVA, NVME_HMB_ONE_IOVA, NVME_HMB_ONE_IOVA, NVME_HMB_ONE_IOVA}},
	[VTD_INVALIDATION_HINT] = {"vtd-invalidation-hint",
			{"never", "leaves"},
			"never recorded in 6.1, leaves in 7.0; with the descriptors' move in 6.11, as far as is known",
			"Whether VT-d is told when only leaves changed, so that it keeps its paging-structure caches.",
			{VTD_HINT_NEVER, VTD_HINT_NEVER, VTD_HINT_LEAVES, VTD_HINT_LEAVES, VTD_HINT_LEAVES, VTD_HINT_LEAVES, VTD_HINT_LEAVES, VTD_HINT_LEAVES, VTD_HINT_LEAVES}},
	[BLKDMA_ROLLBACK] = {"blkdma-rollback",
			     {"old", "fixed"},
			     "81e7223b1a2d",
			     "Whether the block mapper destroys what it linked when a link or the sync fails.",
			     {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, BLKDMA_ROLLBACK_OLD, BLKDMA_ROLLBACK_OLD, BLKDMA_ROLLBACK_OLD, BLKDMA_ROLLBACK_FIXED, BLKDMA_ROLLBACK_FIXED, BLKDMA_ROLLBACK_FIXED}},
	[NOSYNC_MAP_ERROR] = {"nosync-map-error",
			      {"fixed", "inverted"},
			      "D2; d6c65b0fd621 (7.0) inverts the test, b948a8722848 brings the event back",
			      "Whether a page-table driver's failed map is an error, and a successful one a trace event.",
			      {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, NOSYNC_MAP_FIXED, NOSYNC_MAP_FIXED, NOSYNC_MAP_FIXED, NOSYNC_MAP_INVERTED, NOSYNC_MAP_FIXED, NOSYNC_MAP_FIXED}},
	[BOUNCE_LINK] = {"bounce-link",
			 {"old", "fixed"},
			 "6ec91df8aff7 (D3, D4)",
			 "Whether a bounced link without whole granules works, and a failed one undoes its own mappings.",
			 {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, BOUNCE_LINK_OLD, BOUNCE_LINK_OLD, BOUNCE_LINK_OLD, BOUNCE_LINK_OLD, BOUNCE_LINK_FIXED, BOUNCE_LINK_FIXED}},
	[ROLLBACK_IOVA_FREE] = {"rollback-iova-free",
				{"mapped", "whole"},
				"D5; whole: no upstream commit",
				"Whether destroying a partly linked IOVA frees the mapped length or the allocated one.",
				{BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_MAPPED, ROLLBACK_IOVA_WHOLE}},
	[METADATA_GAP] = {"metadata-gap",
			  {"data", "own"},
			  "D6; own: no upstream commit",
			  "Whose joints decide whether integrity data get one IOVA: those of the data, or their own.",
			  {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, METADATA_GAP_DATA, METADATA_GAP_DATA, METADATA_GAP_DATA, METADATA_GAP_DATA, METADATA_GAP_DATA, METADATA_GAP_OWN}},
	[DESCRIPTOR_POOL_UNMAP] = {"descriptor-pool-unmap",
				   {"leak", "fixed"},
				   "1bf86336e4b6 (D7)",
				   "Whether the first mapping is undone when a descriptor or vector allocation fails.",
				   {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, DESCRIPTOR_POOL_LEAK, DESCRIPTOR_POOL_LEAK, DESCRIPTOR_POOL_LEAK, DESCRIPTOR_POOL_LEAK, DESCRIPTOR_POOL_FIXED, DESCRIPTOR_POOL_FIXED}},
	[PRP_POOL_UNMAP] = {"prp-pool-unmap",
			    {"partial", "whole"},
			    "D8; whole: no upstream commit",
			    "Whether a failed PRP list undoes the whole coalesced mapping or what was put into PRPs.",
			    {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, PRP_POOL_PARTIAL, PRP_POOL_PARTIAL, PRP_POOL_PARTIAL, PRP_POOL_PARTIAL, PRP_POOL_PARTIAL, PRP_POOL_WHOLE}},
	[P2P_VEC_FREE] = {"p2p-vec-free",
			  {"leak", "fixed"},
			  "85686c72966c (D9)",
			  "Whether the record of a peer-to-peer request's segments is freed on success.",
			  {BEHAVIOUR_NONE, BEHAVIOUR_NONE, BEHAVIOUR_NONE, P2P_VEC_LEAK, P2P_VEC_LEAK, P2P_VEC_LEAK, P2P_VEC_LEAK, P2P_VEC_FIXED, P2P_VEC_FIXED}},
	[QCOM_FAULT_REPORT] = {"qcom-fault-report",
			       {"handled", "unhandled"},
			       "049541e178d5 makes handled; unhandled: posted in June 2026, no commit known",
			       "Whether the Qualcomm IOMMU driver prints faults that a device driver handled, or the others.",
			       {QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_HANDLED, QCOM_FAULT_REPORT_UNHANDLED}},
	[OF_XLATE_PUT_APPLE_DART] = {"of-xlate-put.apple-dart",
		{"old", "v1", "fixed"},
		"a6eaa872c52a (6.19)",
		"Whether of_xlate of apple-dart drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_QCOM] = {"of-xlate-put.qcom-iommu",
		{"old", "v1", "fixed"},
		"6a3908ce56e6 (6.19)",
		"Whether of_xlate of qcom-iommu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_EXYNOS] = {"of-xlate-put.exynos-sysmmu",
		{"old", "v1", "fixed"},
		"05913cc43cb1 (6.19)",
		"Whether of_xlate of exynos-sysmmu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_IPMMU] = {"of-xlate-put.ipmmu-vmsa",
		{"old", "v1", "fixed"},
		"80aa518452c4 (6.19)",
		"Whether of_xlate of ipmmu-vmsa drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_MTK] = {"of-xlate-put.mtk-iommu",
		{"old", "v1", "fixed"},
		"b3f1ee182803 (6.19)",
		"Whether of_xlate of mtk-iommu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_MTK_V1] = {"of-xlate-put.mtk-iommu-v1",
		{"old", "v1", "fixed"},
		"c77ad28bfee0 (6.19)",
		"Whether probe_device of mtk-iommu-v1 drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_OMAP] = {"of-xlate-put.omap-iommu",
		{"old", "v1", "fixed"},
		"b5870691065e (6.19)",
		"Whether probe_device of omap-iommu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_SUN50I] = {"of-xlate-put.sun50i-iommu",
		{"old", "v1", "fixed"},
		"f916109bf538 (6.19)",
		"Whether of_xlate of sun50i-iommu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[OF_XLATE_PUT_TEGRA] = {"of-xlate-put.tegra-smmu",
		{"old", "v1", "fixed"},
		"c08934a61201 (6.19)",
		"Whether probe_device of tegra-smmu drops the reference on the IOMMU's device that its lookup took.",
		{XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_OLD, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED, XLATE_PUT_FIXED}},
	[MTK_LARB_REFS] = {"mtk-larb-refs",
		{"old", "v1", "fixed"},
		"de83d4617f9f, 46207625c9f3 (6.19); v1: patches 6 and 9 of the series as posted",
		"When the MediaTek IOMMUs drop their references on larbs: twice when a probe fails, or never, or once.",
		{LARB_REFS_OLD, LARB_REFS_OLD, LARB_REFS_OLD, LARB_REFS_OLD, LARB_REFS_OLD, LARB_REFS_FIXED, LARB_REFS_FIXED, LARB_REFS_FIXED, LARB_REFS_FIXED}},
	[MTK_V1_LARB_COUNT_CHECK] = {"mtk-v1-larb-count-check",
		{"off", "on"},
		"ab31cf041e49 (6.19)",
		"Whether MediaTek's first IOMMU refuses more larbs than its array has room for.",
		{LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_OFF, LARB_COUNT_CHECK_ON, LARB_COUNT_CHECK_ON, LARB_COUNT_CHECK_ON, LARB_COUNT_CHECK_ON}},
	[PROBE_DEVICE_FWSPEC] = {"probe-device-fwspec",
		{"off", "on", "as-posted", "helper"},
		"drafts of the review, September 2025: no upstream commit",
		"Who finds the IOMMU of a master: its driver, or the core, which hands it to a new op; or one helper.",
		{PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF, PROBE_FWSPEC_OFF}},
};

const char *behaviour_value_name(enum behaviour row, enum kernel_version version)
{
	uint8_t value = behaviour_rows[row].value_in[version];

	return value == BEHAVIOUR_NONE ? "-" : behaviour_rows[row].values[value];
}

void behaviour_set_version(struct sim *sim, enum kernel_version version)
{
	G_STATIC_ASSERT(BEHAVIOURS <= SIM_BEHAVIOURS_MAX);
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		sim->behaviour[row] = behaviour_rows[row].value_in[version];
}

int kernel_version_find(const char *name)
{
	for (unsigned version = 0; version < KERNEL_VERSIONS; version++)
		if (strcmp(kernel_version_names[version], name) == 0)
			return (int)version;
	return -1;
}

int behaviour_find(const char *name)
{
	for (unsigned row = 0; row < BEHAVIOURS; row++)
		if (strcmp(behaviour_rows[row].name, name) == 0)
			return (int)row;
	return -1;
}

int behaviour_find_value(enum behaviour behaviour, const char *value)
{
	const char *const *values = behaviour_rows[behaviour].values;

	for (int i = 0; values[i]; i++)
		if (strcmp(values[i], value) == 0)
			return i;
	return -1;
}
