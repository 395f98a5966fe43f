/* SPDX-License-Identifier: MIT */

/*
 * The drivers, as recordings name them and their cfg lines.
 */
#include "iommu/hw/golden-driver.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/pgtable/formats.h"

/** LPAE and the two-level formats: the kernel counts from the top. */
static unsigned level_from_top_3(const struct pgtable *pt, unsigned level)
{
	return 3 - level;
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

#define ROW(name, numbering, row) \
	{.fmt = name, .level_number = numbering, .driver = &golden_driver_ops, .data = row}

const struct golden_format golden_driver_formats[] = {
	ROW("ipmmu_vmsa", level_from_top_3, &ipmmu),
	{NULL},
};
