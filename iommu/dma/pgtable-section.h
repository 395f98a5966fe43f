/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_PGTABLE_SECTION_H
#define IOMMU_DMA_PGTABLE_SECTION_H

/*
 * Page tables in a snapshot: every table, and every entry that is not zero, as the bits that a device reads.
 *
 *	format   one a domain: what is needed to read its entries
 *	table    where a table lies, which IOVAs it is for, and the entry that points to it
 *	leaf     entries that map; a run where they are alike and their pages follow each other
 *	invalid  entries that hold bits and mean nothing
 *	zero     entries that point to the table without a page which all of them share
 *
 * What diff compares of them is what [mapping] does not tell: which tables there are, the sizes of pages, the
 * attributes. Written here, read by pgtable-image.c.
 */
#include "iommu/pgtable/pgtable.h"
#include "sim/snapshot/snapshot.h"

#define PGTABLE_SECTION "pagetable"

/** One of the choices of a configuration, by name. */
struct pgtable_option {
	const char *name;
	unsigned quirk; /* of enum pgtable_quirk; or 0 … */
	size_t member;	/* … and the offset of the bool in struct pgtable_config */
};

/** All of them, ended by a NULL name. */
extern const struct pgtable_option pgtable_options[];

/** Writes the facts of @pt, which is that of @domain. */
void pgtable_section_write(struct snapshot_writer *writer, uint64_t domain, const struct pgtable *pt);

extern const struct snapshot_noun pgtable_section_nouns[];
extern const struct snapshot_rule pgtable_section_rules[];

#endif
