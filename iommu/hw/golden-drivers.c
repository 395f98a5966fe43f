/* SPDX-License-Identifier: MIT */

/*
 * The drivers, as recordings name them and their cfg lines.
 */
#include <limits.h>
#include <string.h>

#include "iommu/hw/dart.h"
#include "iommu/hw/exynos.h"
#include "iommu/hw/golden-driver.h"
#include "iommu/hw/ipmmu.h"
#include "iommu/hw/mtk.h"
#include "iommu/hw/omap.h"
#include "iommu/hw/qcom.h"
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

/** DART: the choice of a root is level 0 of the kernel's, and the last table level 1 of the recordings'; so is the only
 * table of a flat format. */
static unsigned level_from_last_1(const struct pgtable *pt, unsigned level)
{
	return level + 1;
}

static bool dart_configure(const struct golden *golden, const struct golden_words *words,
			   struct iommu_hw_config *hw, GError **error)
{
	uint64_t streams;

	hw->soc = golden_word(words, "soc");
	if (!golden_key(golden, words, "level", 0, &hw->streams, error) ||
	    !golden_key(golden, words, "asids", 0, &streams, error))
		return false;
	if (streams > UINT16_MAX)
		return golden_bad_line(golden, error, "more streams than any DART has");
	hw->asids = (unsigned)streams;
	return true;
}

static void dart_registers(const struct iommu_domain *domain, GString *out)
{
	const struct dart_facts *facts = dart_facts(domain->iommu);
	const struct pgtable *pt = domain->pt;

	g_string_append_printf(out, "soc=%s ias=%u oas=%u", facts->soc, pt->config.ias_bits, pt->config.oas_bits);
	golden_hex(out, " pgsize=", pt->page_sizes);
	g_string_append_printf(out, " streams=%u", facts->streams);
	golden_hex(out, " sidmap=", facts->attached);
	g_string_append_printf(out, " n_ttbrs=%u n_levels=%u", pt->root_count, pt->config.top_level + 2);
}

static const struct golden_driver dart = {
	.hw = &dart_ops,
	.configure = dart_configure,
	.registers = dart_registers,
	.bracket = "setup",
	.open_error = -12, /* whatever the library's reason */
};

/** What the format knows is all there is to say. */
static void format_registers(const struct iommu_domain *domain, GString *out)
{
	domain->pt->ops->root_registers(domain->pt, out);
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
	golden_hex(out, " zero_lv2_table=", pt->zero_table + pt->config.table_offset);
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

static void qcom_registers(const struct iommu_domain *domain, GString *out)
{
	golden_hex(out, "ttbr=", pgtable_root(domain->pt));
	golden_hex(out, " mair=", LPAE_MAIR);
	g_string_append_printf(out, " asid=%u", QCOM_ASID);
}

static const struct golden_driver qcom = {
	.hw = &qcom_ops,
	.registers = qcom_registers,
	.registers_last = true,
	.open_error = -12, /* whatever the library's reason */
};

static bool mtk_configure(const struct golden *golden, const struct golden_words *words,
			  struct iommu_hw_config *hw, GError **error)
{
	uint64_t features, inv_sel, version;

	if (!golden_key(golden, words, "feats", 0, &features, error) ||
	    !golden_key(golden, words, "level", 0, &inv_sel, error) ||
	    !golden_key(golden, words, "ver", 0, &version, error))
		return false;
	if (features > UINT32_MAX || inv_sel > UINT32_MAX)
		return golden_bad_line(golden, error, "cfg of hardware that the driver does not know");
	hw->features = (unsigned)features;
	hw->inv_sel = (uint32_t)inv_sel;
	hw->above_4g = version == 1;
	return true;
}

/** Returns @quirks as the kernel numbers those that the driver asks for. */
static unsigned mtk_kernel_quirks(unsigned quirks)
{
	return (quirks & QUIRK_ARM_NS ? 1 << 0 : 0) | (quirks & QUIRK_NO_PERMS ? 1 << 1 : 0) |
	       (quirks & QUIRK_ARM_MTK_EXT ? 1 << 3 : 0) | (quirks & QUIRK_ARM_MTK_TTBR_EXT ? 1 << 4 : 0);
}

static void mtk_registers(const struct iommu_domain *domain, GString *out)
{
	const struct pgtable_config *config = &domain->pt->config;
	const struct mtk_m4u *m4u = mtk_m4u(domain->iommu);
	uint64_t root = pgtable_root(domain->pt);

	golden_hex(out, "ttbr=", (uint32_t)root | root >> 32);
	g_string_append_printf(out, " ias=%u oas=%u", config->ias_bits, config->oas_bits);
	golden_hex(out, " quirks=", mtk_kernel_quirks(config->quirks));
	g_string_append_printf(out, " enable_4GB=%d", m4u->enable_4gb);
	golden_hex(out, " inv_sel_reg=", m4u->inv_sel);
}

static const struct golden_driver mtk = {
	.hw = &mtk_ops,
	.configure = mtk_configure,
	.registers = mtk_registers,
	.open_error = -12, /* whatever the library's reason */
};

static const struct golden_driver mtk_v1 = {
	.hw = &mtk_v1_iommu_ops,
	.registers = format_registers,
	.bracket = "finalise",
	.bracket_has_table = true,
	.registers_last = true,
};

static const struct golden_driver sun50i = {
	.hw = &sun50i_iommu_ops,
	.registers = format_registers,
	.bracket = "attach",
	.registers_last = true,
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
	ROW("dart_driver", level_from_last_1, &dart),
	ROW("exynos_sysmmu", level_from_top_2, &exynos),
	ROW("ipmmu_vmsa", level_from_top_3, &ipmmu),
	ROW("mtk_iommu_v1", level_from_last_1, &mtk_v1),
	ROW("mtk_m4u", level_from_top_2, &mtk),
	ROW("omap_iommu", level_from_top_2, &omap),
	ROW("qcom_iommu", level_from_top_3, &qcom),
	ROW("sun50i_iommu", level_from_top_2, &sun50i),
	ROW("tegra_smmu", level_from_top_2, &tegra),
	{NULL},
};
