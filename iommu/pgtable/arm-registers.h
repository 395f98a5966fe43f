/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_ARM_REGISTERS_H
#define IOMMU_PGTABLE_ARM_REGISTERS_H

/*
 * What drivers write into the registers of hardware that walks Arm's formats: the members of struct io_pgtable_cfg that
 * io-pgtable-arm.c and io-pgtable-arm-v7s.c fill in. Root and memory attributes: pgtable_root(), LPAE_MAIR.
 */
#include "iommu/pgtable/formats.h"

/** Fields of TCR (stage 1) and VTCR (stage 2). */
struct lpae_control {
	unsigned width;	       /* of a physical address, as a code: IPS, PS */
	unsigned granule;      /* TG, as a code, which for TTBR1 is another */
	unsigned shareability; /* SH */
	unsigned outer, inner; /* cacheability of walks: ORGN, IRGN */
	unsigned size;	       /* T0SZ: 64 less the width of an IOVA */
	unsigned start;	       /* stage 2: SL0, where the walk begins */
};

/** Reads them off @pt, a table of an LPAE format. */
void lpae_control(const struct pgtable *pt, struct lpae_control *ret_control);

/* The memory types by index of every v7s table. */
#define V7S_PRRR 0x800b8204u
#define V7S_NMRR 0x40004000u

/** Returns TTBR of @pt, a v7s table without MediaTek's extension: the root with how it is to be read. */
uint32_t v7s_ttbr(const struct pgtable *pt);

#endif
