/* SPDX-License-Identifier: MIT */

/*
 * Recordings of the generic_pt formats.
 */
#include <errno.h>

#include "iommu/pgtable/golden-format.h"

#define FEAT_INCOHERENT	     (UINT64_C(1) << 0)
#define FEAT_DYNAMIC_TOP     (UINT64_C(1) << 2)
#define FEAT_SIGN_EXTEND     (UINT64_C(1) << 3)
#define FEAT_SVNAPOT_64K     (UINT64_C(1) << 6) /* RISC-V */
#define FEAT_AMD_COHERENT    (UINT64_C(1) << 7)
#define FEAT_FORCE_COHERENCE (UINT64_C(1) << 6)
#define FEAT_FORCE_WRITEABLE (UINT64_C(1) << 7)

static bool vtdss_configure(const struct golden *golden, const struct golden_words *words,
			    struct pgtable_config *config, GError **error)
{
	uint64_t feats;

	if (!golden_key(golden, words, "feats", 0, &feats, error))
		return false;
	config->incoherent = feats & FEAT_INCOHERENT;
	config->force_coherence = feats & FEAT_FORCE_COHERENCE;
	config->force_writeable = feats & FEAT_FORCE_WRITEABLE;
	return true;
}

static bool amdv1_configure(const struct golden *golden, const struct golden_words *words,
			    struct pgtable_config *config, GError **error)
{
	uint64_t feats;

	if (!golden_key(golden, words, "feats", 0, &feats, error))
		return false;
	config->dynamic_top = feats & FEAT_DYNAMIC_TOP;
	config->force_coherence = feats & FEAT_AMD_COHERENT;
	return true;
}

static bool x86_64_configure(const struct golden *golden, const struct golden_words *words,
			     struct pgtable_config *config, GError **error)
{
	uint64_t feats;

	if (!golden_key(golden, words, "feats", 0, &feats, error))
		return false;
	config->incoherent = feats & FEAT_INCOHERENT;
	config->sign_extend = feats & FEAT_SIGN_EXTEND;
	return true;
}

/** The number of levels follows from the width: no key tells it. */
static bool riscv_64_configure(const struct golden *golden, const struct golden_words *words,
			       struct pgtable_config *config, GError **error)
{
	uint64_t feats;

	if (!golden_key(golden, words, "feats", 0, &feats, error))
		return false;
	if (config->ias_bits != 39 && config->ias_bits != 48 && config->ias_bits != 57)
		return golden_bad_line(golden, error, "impossible geometry");
	config->top_level = (config->ias_bits - 39) / 9 + 2;
	config->sign_extend = feats & FEAT_SIGN_EXTEND;
	config->contiguous_64k = feats & FEAT_SVNAPOT_64K;
	return true;
}

/** Returns the last IOVA of the lower half, or of the whole, at the present top level. */
static uint64_t generic_pt_last_iova(const struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;
	const struct pgtable_level *top = &pt->levels[config->top_level];
	unsigned bits = MIN(config->ias_bits - config->sign_extend, (unsigned)top->span_lg2 + top->index_lg2);

	return UINT64_MAX >> (64 - bits);
}

static void generic_pt_change_top(struct pgtable *pt, void *data)
{
	struct golden *golden = data;

	golden_hex(golden->out, " change_top pa=", pt->root_paddr - PHYSMEM_BASE + golden->base);
	g_string_append_printf(golden->out, " level=%u\n", pt->config.top_level);
}

static void generic_pt_geometry(const struct golden *golden, const struct golden_words *words)
{
	const struct pgtable_config *config = &golden->pt->config;
	uint64_t feats = 0;

	golden_key(golden, words, "feats", 0, &feats, NULL);
	g_string_append_printf(golden->out, "reg top_level=%u max_vasz=%u max_oasz=%u", config->top_level,
			       config->ias_bits, config->oas_bits);
	golden_hex(golden->out, " features=", feats);
	golden_hex(golden->out, " aperture=0x0-",
		   UINT64_MAX >> (64 - config->ias_bits + config->sign_extend));
	g_string_append_c(golden->out, '\n');
}

/** The errno of an address out of range comes back as an address. */
static uint64_t generic_pt_iova_to_phys(const struct golden *golden, uint64_t iova, uint64_t paddr)
{
	uint64_t last_iova = generic_pt_last_iova(golden->pt);
	bool upper = golden->pt->config.sign_extend && iova >= ~last_iova;

	return iova > last_iova && !upper ? (uint64_t)-ERANGE : paddr;
}

const struct golden_format golden_generic_formats[] = {
	{
		.fmt = "amdv1",
		.configure = amdv1_configure,
		.geometry = generic_pt_geometry,
		.iova_to_phys = generic_pt_iova_to_phys,
		.change_top = generic_pt_change_top,
	},
	{
		.fmt = "riscv_64",
		.configure = riscv_64_configure,
		.geometry = generic_pt_geometry,
		.iova_to_phys = generic_pt_iova_to_phys,
	},
	{
		.fmt = "x86_64",
		.configure = x86_64_configure,
		.geometry = generic_pt_geometry,
		.iova_to_phys = generic_pt_iova_to_phys,
	},
	{
		.fmt = "vtdss",
		.configure = vtdss_configure,
		.geometry = generic_pt_geometry,
		.iova_to_phys = generic_pt_iova_to_phys,
	},
	{NULL},
};
