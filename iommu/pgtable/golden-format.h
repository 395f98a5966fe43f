/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_GOLDEN_FORMAT_H
#define IOMMU_PGTABLE_GOLDEN_FORMAT_H

/*
 * What a family of formats adds to the replay of recordings: one row a format in a table of the family's own file,
 * which golden.c lists.
 */
#include "iommu/pgtable/golden.h"
#include "iommu/pgtable/pgtable.h"

/** A replay. */
struct golden {
	const char *name;
	uint64_t line;
	GString *out;
	const struct golden_format *format; /* of the case's cfg line */
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	struct pgtable_watch watch;
	uint64_t base;	      /* "physical" address of the first table page */
	uint64_t deny;	      /* pages until one is denied, counting it; 0: none is */
	uint64_t warnings;    /* already written */
	uint64_t unmap_iova;  /* of the unmap_pages() call under way */
	unsigned live_allocs; /* tables allocated and not freed */
	struct {
		uint64_t iova, granule;
		unsigned count;
	} pages; /* consecutive add_page calls that are not written yet */
};

/** An input line, split at spaces; words[0] is the op. */
struct golden_words {
	char **words;
	unsigned count;
};

/** How a recording speaks of a format: one row each. */
struct golden_format {
	const char *fmt; /* value of cfg fmt=, and our name of the format; NULL ends a family's table */
	/** Reads the keys of the cfg line that are the format's own. */
	bool (*configure)(const struct golden *golden, const struct golden_words *words,
			  struct pgtable_config *config, GError **error);
	/** Appends the lines on geometry that come before the root's registers. NULL: there are none. */
	void (*geometry)(const struct golden *golden, const struct golden_words *words);
	/** What iova_to_phys answers where that is not what a device finds; @paddr is that, or 0. NULL: the same. */
	uint64_t (*iova_to_phys)(const struct golden *golden, uint64_t iova, uint64_t paddr);
	/** Writes that a new root has been put above the old one, @data being the replay. NULL: that never happens. */
	void (*change_top)(struct pgtable *pt, void *data);
	/** The number that the kernel gives the level which is @level here, 0 being the last. NULL: the same. */
	unsigned (*level_number)(const struct pgtable *pt, unsigned level);
	bool init_returns_null; /* so that no errno can be recorded of a set-up that fails: -1 stands for all */
};

extern const struct golden_format golden_generic_formats[];
extern const struct golden_format golden_io_formats[];

/** Appends @before and @value. */
void golden_hex(GString *out, const char *before, uint64_t value);

/** Returns the text after "@key=" among the words, or NULL. */
const char *golden_word(const struct golden_words *words, const char *key);

/** Reads the number after "@key=", which is @missing where there is none. */
bool golden_key(const struct golden *golden, const struct golden_words *words, const char *key,
		uint64_t missing, uint64_t *ret_value, GError **error);

/** Sets @error to @why and the line; returns false. */
bool golden_bad_line(const struct golden *golden, GError **error, const char *why);

#endif
