/* SPDX-License-Identifier: MIT */

/*
 * Recordings of the formats of the io-pgtable library.
 */
#include <string.h>

#include "iommu/pgtable/golden-format.h"

/** Reads "quirks=a,b". */
static bool quirks_configure(const struct golden *golden, const struct golden_words *words,
			     unsigned *ret_quirks, GError **error)
{
	static const struct {
		const char *name;
		unsigned quirk;
	} names[] = {
		{"ns", QUIRK_ARM_NS},	       {"noperms", QUIRK_NO_PERMS},
		{"mtkext", QUIRK_ARM_MTK_EXT}, {"mtkttbr", QUIRK_ARM_MTK_TTBR_EXT},
		{"ttbr1", QUIRK_ARM_TTBR1},    {"outerwbwa", QUIRK_ARM_OUTER_WBWA},
		{"hd", QUIRK_ARM_HD},	       {"s2fwb", QUIRK_ARM_S2FWB},
		{"nowarn", QUIRK_NO_WARN},
	};
	const char *text = golden_word(words, "quirks");
	g_auto(GStrv) split = g_strsplit(text ? text : "", ",", -1);

	*ret_quirks = 0;
	for (char **word = split; *word; word++) {
		unsigned i = 0;

		while (i < G_N_ELEMENTS(names) && strcmp(names[i].name, *word) != 0)
			i++;
		if (i == G_N_ELEMENTS(names))
			return golden_bad_line(golden, error, "unknown quirk");
		*ret_quirks |= names[i].quirk;
	}
	return true;
}

static bool io_pgtable_configure(const struct golden *golden, const struct golden_words *words,
				 struct pgtable_config *config, GError **error)
{
	uint64_t coherent;

	if (!golden_key(golden, words, "pgsizes", 0, &config->page_sizes, error) ||
	    !golden_key(golden, words, "coherent", 0, &coherent, error))
		return false;
	config->incoherent = !coherent;
	return quirks_configure(golden, words, &config->quirks, error);
}

static unsigned lpae_level_number(const struct pgtable *pt, unsigned level)
{
	return 3 - level;
}

static void lpae_geometry(const struct golden *golden, const struct golden_words *words)
{
	const struct pgtable *pt = golden->pt;
	unsigned top_level = pt->config.top_level;

	g_string_append_printf(golden->out,
			       "reg start_level=%u bits_per_level=%u pgd_bits=%u ias=%u oas=%u\n",
			       lpae_level_number(pt, top_level), pt->levels[0].index_lg2,
			       pt->levels[top_level].index_lg2, pt->config.ias_bits, pt->config.oas_bits);
}

/** The last byte of all ends where an address wraps to 0, so the kernel's walk looks at nothing and answers with
 * an entry that it never read: 0, of its level 0. */
static uint64_t lpae_iova_to_phys(const struct golden *golden, uint64_t iova, uint64_t paddr)
{
	const struct pgtable_level *last = &golden->pt->levels[0];

	return iova == UINT64_MAX ? iova & ((UINT64_C(1) << (last->span_lg2 + 3 * last->index_lg2)) - 1)
				  : paddr;
}

static unsigned v7s_level_number(const struct pgtable *pt, unsigned level)
{
	return 2 - level;
}

/** With the choice of a root as level 0 of the kernel's, and the last table as level 1 of the recording's. */
static unsigned dart_level_number(const struct pgtable *pt, unsigned level)
{
	return level + 1;
}

#define DART_ROW(name)                                                                             \
	{                                                                                          \
		.fmt = name, .configure = io_pgtable_configure, .level_number = dart_level_number, \
		.init_returns_null = true,                                                         \
	}

#define LPAE_ROW(name)                                                                     \
	{                                                                                  \
		.fmt = name, .configure = io_pgtable_configure, .geometry = lpae_geometry, \
		.iova_to_phys = lpae_iova_to_phys, .level_number = lpae_level_number,      \
		.init_returns_null = true,                                                 \
	}

const struct golden_format golden_io_formats[] = {
	LPAE_ROW("arm_64_lpae_s1"),
	LPAE_ROW("arm_64_lpae_s2"),
	LPAE_ROW("arm_32_lpae_s1"),
	LPAE_ROW("arm_32_lpae_s2"),
	LPAE_ROW("arm_mali_lpae"),
	DART_ROW("apple_dart"),
	DART_ROW("apple_dart2"),
	{
		.fmt = "arm_v7s",
		.configure = io_pgtable_configure,
		.level_number = v7s_level_number,
		.init_returns_null = true,
	},
	{NULL},
};
