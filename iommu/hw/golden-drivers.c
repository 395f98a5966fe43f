/* SPDX-License-Identifier: MIT */

/*
 * The drivers, as recordings name them and their cfg lines.
 */
#include <limits.h>
#include <string.h>

#include "iommu/hw/golden-driver.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/hw/omap.h"
#include "iommu/hw/tegra.h"
#include "iommu/pgtable/formats.h"
#include "sim/core/text.h"

/** LPAE and the two-level formats: the kernel counts from the top. */
static unsigned level_from_top_3(const struct pgtable *pt, unsigned level)
{
	return 3 - level;
}

static unsigned level_from_top_2(const struct pgtable *pt, unsigned level)
{
	return 2 - level;
}

/** Reads a small number of the cfg line. */
static bool small_key(const struct golden *golden, const struct golden_words *words, const char *key,
		      unsigned *ret_value, GError **error)
{
	uint64_t value;

	if (!golden_key(golden, words, key, 0, &value, error))
		return false;
	if (value > INT_MAX)
		return golden_bad_line(golden, error, "number too large");
	*ret_value = (unsigned)value;
	return true;
}

static bool ipmmu_configure(const struct golden *golden, const struct golden_words *words,
			    struct iommu_hw_config *hw, GError **error)
{
	hw->soc = golden_word(words, "soc");
	return true;
}

static void ipmmu_registers(const struct iommu_domain *domain, GString *out)
{
	const struct ipmmu_soc *soc = ipmmu_soc(domain->iommu);

	g_string_append_printf(out, "soc=%s", soc->name);
	golden_hex(out, " ttbr=", pgtable_root(domain->pt));
	golden_hex(out, " mair=", LPAE_MAIR);
	golden_hex(out, " ctx_base=", soc->context_base);
	golden_hex(out, " ctx_stride=", soc->context_stride);
	g_string_append_printf(out, " contexts=%u utlbs=%u", soc->contexts, soc->micro_tlbs);
}

static const struct golden_driver ipmmu = {
	.hw = &ipmmu_ops,
	.configure = ipmmu_configure,
	.registers = ipmmu_registers,
	.registers_last = true,
	.open_error = -22, /* whatever the library's reason, the driver knows only that it got no table */
};

static bool omap_configure(const struct golden *golden, const struct golden_words *words,
			   struct iommu_hw_config *hw, GError **error)
{
	return small_key(golden, words, "asids", &hw->tlb_lines, error);
}

static void omap_registers(const struct iommu_domain *domain, GString *out)
{
	golden_hex(out, "ttb=", pgtable_root(domain->pt));
	g_string_append_printf(out, " nr_tlb_entries=%u", omap_tlb_lines(domain->iommu));
}

/** "tlbset N CAM RAM" */
static bool omap_op(const struct golden *golden, const struct golden_words *words, struct iommu *iommu,
		    GError **error)
{
	enum { LINE, CAM, RAM, NUMBERS };
	uint64_t number[NUMBERS];

	if (strcmp(words->words[0], "tlbset") != 0)
		return golden_bad_line(golden, error, "unknown op");
	if (words->count != 1 + NUMBERS)
		return golden_bad_line(golden, error, "tlbset takes the number of an entry, CAM and RAM");
	for (unsigned i = 0; i < NUMBERS; i++)
		if (!text_parse_u64(words->words[1 + i], &number[i]) || number[i] > UINT32_MAX)
			return golden_bad_line(golden, error, "missing or unreadable number");
	if (number[LINE] >= omap_tlb_lines(iommu))
		return golden_bad_line(golden, error, "the TLB has no such entry");
	omap_tlb_load(iommu, (unsigned)number[LINE], (uint32_t)number[CAM], (uint32_t)number[RAM]);
	return true;
}

static const struct golden_driver omap = {
	.hw = &omap_ops,
	.configure = omap_configure,
	.registers = omap_registers,
	.op = omap_op,
	.bracket = "attach",
	.registers_last = true,
};

static bool tegra_configure(const struct golden *golden, const struct golden_words *words,
			    struct iommu_hw_config *hw, GError **error)
{
	return small_key(golden, words, "asids", &hw->asids, error) &&
	       small_key(golden, words, "atom", &hw->atom_bytes, error) &&
	       small_key(golden, words, "addrbits", &hw->address_bits, error);
}

static void tegra_registers(const struct iommu_domain *domain, GString *out)
{
	const struct tegra_soc *soc = tegra_soc(domain->iommu);

	golden_hex(out, "pd=", pgtable_root(domain->pt));
	g_string_append_printf(out, " asid=%u", domain->asid);
	golden_hex(out, " pfn_mask=", (UINT64_C(1) << (soc->address_bits - FRAME_LG2)) - 1);
	g_string_append_printf(out, " atom_size=%u num_asids=%u", soc->atom_bytes, soc->asids);
}

static const struct golden_driver tegra = {
	.hw = &tegra_ops,
	.configure = tegra_configure,
	.registers = tegra_registers,
	.bracket = "prepare",
	.registers_last = true,
};

#define ROW(name, numbering, row) \
	{.fmt = name, .level_number = numbering, .driver = &golden_driver_ops, .data = row}

const struct golden_format golden_driver_formats[] = {
	ROW("ipmmu_vmsa", level_from_top_3, &ipmmu),
	ROW("omap_iommu", level_from_top_2, &omap),
	ROW("tegra_smmu", level_from_top_2, &tegra),
	{NULL},
};
