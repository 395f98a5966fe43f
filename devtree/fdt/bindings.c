/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/bindings.h"

#include <string.h>

/* The match tables of drivers/iommu in Linux 7.0. */
const struct dt_driver dt_drivers[] = {
	{.name = "apple-dart",
	 .compatibles = (const char *const[]){"apple,t8103-dart", "apple,t8103-usb4-dart", "apple,t8110-dart",
					      "apple,t6000-dart", NULL},
	 .cells_min = 1,
	 .cells_max = 1,
	 .multi_instance = true},
	{.name = "qcom-iommu",
	 .compatibles = (const char *const[]){"qcom,msm-iommu-v1", "qcom,msm-iommu-v2", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "exynos-sysmmu",
	 .compatibles = (const char *const[]){"samsung,exynos-sysmmu", NULL},
	 .multi_instance = true},
	{.name = "ipmmu-vmsa",
	 .compatibles = (const char *const[]){"renesas,ipmmu-vmsa", "renesas,ipmmu-r8a774a1",
					      "renesas,ipmmu-r8a774b1", "renesas,ipmmu-r8a774c0",
					      "renesas,ipmmu-r8a774e1", "renesas,ipmmu-r8a7795",
					      "renesas,ipmmu-r8a7796", "renesas,ipmmu-r8a77961",
					      "renesas,ipmmu-r8a77965", "renesas,ipmmu-r8a77970",
					      "renesas,ipmmu-r8a77980", "renesas,ipmmu-r8a77990",
					      "renesas,ipmmu-r8a77995", "renesas,ipmmu-r8a779a0",
					      "renesas,rcar-gen4-ipmmu-vmsa", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "mtk-iommu",
	 .compatibles = (const char *const[]){"mediatek,mt2712-m4u",	     "mediatek,mt6779-m4u",
					      "mediatek,mt6795-m4u",	     "mediatek,mt6893-iommu-mm",
					      "mediatek,mt8167-m4u",	     "mediatek,mt8173-m4u",
					      "mediatek,mt8183-m4u",	     "mediatek,mt8186-iommu-mm",
					      "mediatek,mt8188-iommu-infra", "mediatek,mt8188-iommu-vdo",
					      "mediatek,mt8188-iommu-vpp",   "mediatek,mt8189-iommu-apu",
					      "mediatek,mt8189-iommu-infra", "mediatek,mt8189-iommu-mm",
					      "mediatek,mt8192-m4u",	     "mediatek,mt8195-iommu-infra",
					      "mediatek,mt8195-iommu-vdo",   "mediatek,mt8195-iommu-vpp",
					      "mediatek,mt8365-m4u",	     NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "mtk-iommu-v1",
	 .compatibles = (const char *const[]){"mediatek,mt2701-m4u", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "omap-iommu",
	 .compatibles = (const char *const[]){"ti,omap2-iommu", "ti,omap4-iommu", "ti,dra7-iommu",
					      "ti,dra7-dsp-iommu", NULL},
	 .multi_instance = true},
	{.name = "sun50i-iommu",
	 .compatibles =
		 (const char *const[]){"allwinner,sun50i-h6-iommu", "allwinner,sun50i-h616-iommu", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "tegra-smmu", /* the memory controller is the IOMMU */
	 .compatibles = (const char *const[]){"nvidia,tegra30-mc", "nvidia,tegra114-mc", "nvidia,tegra124-mc",
					      "nvidia,tegra132-mc", "nvidia,tegra210-mc", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "arm-smmu",
	 .compatibles = (const char *const[]){"arm,smmu-v1", "arm,smmu-v2", "arm,mmu-400", "arm,mmu-401",
					      "arm,mmu-500", "cavium,smmu-v2", "nvidia,smmu-500",
					      "qcom,smmu-v2", NULL},
	 .cells_min = 1,
	 .cells_max = 2},
	{.name = "arm-smmu-v3",
	 .compatibles = (const char *const[]){"arm,smmu-v3", NULL},
	 .cells_min = 1,
	 .cells_max = 1},
	{.name = "msm",
	 .compatibles = (const char *const[]){"qcom,apq8064-iommu", NULL},
	 .cells_min = 1,
	 .cells_max = 1,
	 .multi_instance = true},
	{.name = NULL},
};

const struct dt_driver *dt_driver_of(const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "compatible");
	const char *text;
	uint32_t at = 0;

	while (property && (text = dt_next_string(property, &at)))
		for (const struct dt_driver *driver = dt_drivers; driver->name; driver++)
			if (g_strv_contains(driver->compatibles, text))
				return driver;
	return NULL;
}

const struct dt_driver *dt_driver_by_name(const char *name)
{
	for (const struct dt_driver *driver = dt_drivers; driver->name; driver++)
		if (strcmp(driver->name, name) == 0)
			return driver;
	return NULL;
}
