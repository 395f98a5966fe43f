/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_DMA_PGTABLE_IMAGE_H
#define IOMMU_DMA_PGTABLE_IMAGE_H

/*
 * The page tables of a snapshot, read back: what pgtable-section.h writes.
 *
 * A file may say anything, so every fact is measured against the geometry that the format makes of its configuration,
 * and at the end the tables must hang together. What a device would find is for the format's own walk to say: its tables
 * are put where they were into the memory of a simulation of their own.
 */
#include "iommu/dma/pgtable-section.h"

/** Entries that one fact tells of. */
struct pgtable_image_run {
	uint64_t first; /* IOVA, counted from that of the table's index 0, without sign */
	uint64_t raw;	/* of the first @unit entries */
	uint64_t step;	/* added to it for each @unit that follows */
	uint64_t line;	/* of the file */
	uint32_t entries;
	uint32_t unit;
	uint8_t level;
	bool points; /* one entry, to a table */
};

struct pgtable_image_table {
	uint64_t first; /* as above */
	uint64_t paddr;
	uint64_t line;
	uint8_t level;
	bool linked; /* an entry points to it */
};

/** The page table of one domain. */
struct pgtable_image {
	uint64_t domain;
	uint64_t line; /* of its format */
	/** Empty, of the same configuration: for decode() and describe(). Withdrawn, not freed: its zero_table is the file's,
	 * 0 before that is known. */
	struct pgtable *pt;
	uint64_t memory; /* where that of the tables begins */
	bool shares_zero_table; /* entries may be of kind ENTRY_ZERO */
	GArray *tables;		/* struct pgtable_image_table, by level, then IOVA */
	GArray *runs; /* struct pgtable_image_run, the same; entries that point to tables are among them */
};

/** Those of one file. */
struct pgtable_images {
	char *path;
	GPtrArray *all; /* struct pgtable_image *, in the order of the file */
	unsigned runs;	/* of all */
};

/** @path is for messages. Free with pgtable_images_free(), which takes NULL. */
struct pgtable_images *pgtable_images_new(const char *path);
void pgtable_images_free(struct pgtable_images *images);

/** Takes a fact, of any section: for the visitor of snapshot_read(). Returns 0, or -1 with "FILE:LINE: …" in *@error. */
int pgtable_images_fact(struct pgtable_images *images, const struct snapshot_line *line, GError **error);

/** After the last fact: whether the tables hang together. Returns 0 or -1 with *@error; nothing below may be called
 *  after that. */
int pgtable_images_finish(struct pgtable_images *images, GError **error);

/** Returns the page table of @domain, or NULL. */
const struct pgtable_image *pgtable_images_find(const struct pgtable_images *images, uint64_t domain);

/** Returns the IOVA, as a device gives it, of what an image calls @first. */
uint64_t pgtable_image_iova(const struct pgtable_image *image, uint64_t first);

/** Whether @iova, as a device gives it, is one that this table's configuration has. */
bool pgtable_image_has_iova(const struct pgtable_image *image, uint64_t iova);

/** Returns the table of @level that holds the entry of @first, or NULL. */
const struct pgtable_image_table *pgtable_image_table(const struct pgtable_image *image, unsigned level,
						      uint64_t first);

/** Returns the index in @image->runs of the first run of @level that ends behind @first. */
guint pgtable_image_run_from(const struct pgtable_image *image, unsigned level, uint64_t first);

/** Takes entry number @index of @run apart. */
void pgtable_image_decode(const struct pgtable_image *image, const struct pgtable_image_run *run,
			  uint32_t index, struct pgtable_entry *ret_entry);

/** Puts the tables that translate @iova, which must be one it has, into memory as they were. Returns a page table that
 *  can be walked for @iova and nothing else, or NULL with *@error. Free with pgtable_image_withdraw(), which takes NULL. */
struct pgtable *pgtable_image_place(const struct pgtable_images *images, const struct pgtable_image *image,
				    uint64_t iova, GError **error);
void pgtable_image_withdraw(struct pgtable *pt);

#endif
