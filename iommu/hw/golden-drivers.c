/* SPDX-License-Identifier: MIT */

/*
 * The drivers, as recordings name them and their cfg lines.
 */
#include "iommu/hw/exynos.h"
#include "iommu/hw/golden-driver.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/pgtable/formats.h"

/** LPAE and the two-level formats: the kernel counts from the top. */
static unsigned level_from_top_2(const struct pgtable *pt, unsigned level)
{
	return 2 - level;
}

static unsigned level_from_top_3(const struct pgtable *pt, unsigned level)
{
	return 3 - level;
}

static bool exynos_configure(const struct golden *golden, const struct golden_words *words,
			     struct iommu_hw_config *hw, GError **error)
{
	uint64_t version, vm;

	if (!golden_key(golden, words, "ver", 0, &version, error) ||
	    !golden_key(golden, words, "level", 0, &vm, error))
		return false;
	if (version > UINT16_MAX || vm > 1)
		return golden_bad_line(golden, error, "cfg of a SysMMU that there is none of");
	hw->version = (unsigned)version;
	hw->features = vm ? EXYNOS_VM : 0;
	return true;
}

/** What an unused entry holds shows the first one: nothing is mapped yet. */
static void exynos_registers(const struct iommu_domain *domain, GString *out)
{
	unsigned version = exynos_version(domain->iommu);
	const struct pgtable *pt = domain->pt;
	uint32_t link = *(const uint32_t *)pgtable_bytes(pt, pt->root_paddr);

	g_string_append_printf(out, "version=%u.%u", version / 100, version % 100);
	golden_hex(out, " pgtable=", pgtable_root(pt));
	golden_hex(out, " zero_lv2_table=", exynos_zero_table(pt) + pt->config.table_offset);
	golden_hex(out, " zero_lv2_link=", link);
}

static const struct golden_driver exynos = {
	.hw = &exynos_ops,
	.configure = exynos_configure,
	.registers = exynos_registers,
	.bracket = "enable",
};

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
	ROW("exynos_sysmmu", level_from_top_2, &exynos),
	ROW("ipmmu_vmsa", level_from_top_3, &ipmmu),
	{NULL},
};
