/* SPDX-License-Identifier: MIT */
#ifndef IOMMU_PGTABLE_GOLDEN_FORMAT_H
#define IOMMU_PGTABLE_GOLDEN_FORMAT_H

/*
 * What a family of formats adds to the replay of recordings: one row a format in a table of the family's own file. Those
 * of the formats by themselves are listed in golden.c; those of whole drivers, with their registers, in iommu/hw/golden.c.
 */
#include "iommu/pgtable/golden.h"
#include "iommu/pgtable/pgtable.h"

/** A replay. */
struct golden {
	const char *name;
	uint64_t line;
	GString *out;
	const struct golden_format *const *families; /* NULL-ended */
	const struct golden_format *format; /* of the case's cfg line */
	void *driver; /* what open() of the format made */
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	struct pgtable_watch watch;
	uint64_t base;	      /* "physical" address of the first table page */
	uint64_t deny;	      /* pages until one is denied, counting it; 0: none is */
	uint64_t warnings;    /* already written */
	unsigned live_allocs; /* tables allocated and not freed */
	uint32_t asked_pages; /* by all ops up to now, of all cases */
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
	/** Reads the keys of the cfg line that are the format's own. NULL: there are none. */
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
	const struct golden_driver_ops *driver; /* of a recording with registers; NULL: of the format alone */
	const void *data;			/* of the driver's row */
};

/** How a recording of a whole driver differs from one of its format. */
struct golden_driver_ops {
	/** Makes the driver and golden->pt, as the cfg line @words says, and writes what is recorded of that, up to the
	 * line "ret cfg". Returns false with *@error for a line that makes no sense; else *@ret_err is the answer, and
	 * *@ret_page_sizes what is granted. Without a table (golden->pt NULL) nothing is to be closed. */
	bool (*open)(struct golden *golden, const struct golden_words *words,
		     const struct pgtable_config *config, int *ret_err, uint64_t *ret_page_sizes,
		     GError **error);
	/** Frees both, with golden->pt. */
	void (*close)(struct golden *golden);
	/** The core's iotlb_sync_map and iotlb_sync. */
	int (*sync_map)(struct golden *golden, uint64_t iova, uint64_t len);
	void (*iotlb_sync)(struct golden *golden, const struct pgtable_gather *gather);
	uint64_t (*iova_to_phys)(struct golden *golden, uint64_t iova);
	/** Around each call of the driver: to count its register accesses, and to write how many there were. */
	void (*op_begin)(struct golden *golden);
	void (*op_end)(struct golden *golden);
	/** An op line of the driver's own. Returns false with *@error; NULL: there are none. */
	bool (*op)(struct golden *golden, const struct golden_words *words, GError **error);
};

extern const struct golden_format golden_generic_formats[];
extern const struct golden_format golden_io_formats[];

/** Writes what came before an event that is written next. */
void golden_event_begin(struct golden *golden);

/** Returns what the recording calls the address of a table. */
uint64_t golden_pa(const struct golden *golden, uint64_t paddr);

/** pgtable_golden_emit() for the formats of @families, NULL-ended. */
bool golden_emit(const struct golden_format *const *families, const char *name, const char *text, size_t len,
		 GString *out, GError **error);

/** Returns whether @text is a recording of a format of @families. */
bool golden_probe(const struct golden_format *const *families, const char *text, size_t len);

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
