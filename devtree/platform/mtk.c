/* SPDX-License-Identifier: MIT */
/*
 * MediaTek's M4U. The larbs (local arbiters) between masters and IOMMU are devices that it looks up when it probes; when it
 * drops them is behaviour mtk-larb-refs. A master is behind one IOMMU, named by its first entry; an id is larb << 5 | port.
 * Source: drivers/iommu/mtk_iommu.c.
 */
#include <string.h>

#include "devtree/fdt/parts.h"
#include "devtree/platform/platform.h"

struct mtk_iommu {
	struct iommu_device iommu;
	bool multimedia;		    /* has larbs: not of the kinds infra and apu */
	struct device *larbs[DT_LARBS_MAX]; /* by id */
	const struct dt_node *smi_common;   /* where the larbs end, with a reference while probing */
	struct device_link *smi_link;
	char *holder; /* in the ledger */
};

static const char mtk_parse[] = "mtk_iommu_mm_dts_parse";

static unsigned mtk_larb_refs(const struct device *dev)
{
	return behaves(dev->core->sim, MTK_LARB_REFS);
}

/* ---- masters ---- */

static uint32_t mtk_larb_of(uint32_t id)
{
	return id >> 5 & 0x1f;
}

static int mtk_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	int err = platform_check(dev, FAULT_DEVTREE_S1, args->arg_count == 1, -EINVAL);

	if (err)
		return err;
	if (!dev->iommu->instance) {
		platform_lookup(dev, args->node, &platform_mtk, "mtk_iommu_of_xlate", &lookup);
		if (!lookup.device)
			return -EINVAL;
		dev->iommu->instance = lookup.iommu;
		platform_lookup_keep(&lookup);
	}
	return iommu_fwspec_add_ids(dev, args->args, 1);
}

/** The larb of all the master's ports; NULL: they are not of one, or the IOMMU has none such. */
static struct device *mtk_master_larb(const struct device *dev, const struct mtk_iommu *mtk)
{
	uint32_t larb;

	if (platform_id_count(dev) == 0)
		return NULL;
	larb = mtk_larb_of(platform_id(dev, 0));
	for (unsigned i = 1; i < platform_id_count(dev); i++)
		if (mtk_larb_of(platform_id(dev, i)) != larb)
			return NULL;
	return mtk->larbs[larb];
}

static int mtk_connect(struct device *dev, const struct mtk_iommu *mtk)
{
	struct device *larb;
	int err = platform_stage(dev, FAULT_DEVTREE_S6);

	if (err || !mtk->multimedia)
		return err;
	larb = mtk_master_larb(dev, mtk);
	err = platform_check(dev, FAULT_DEVTREE_S2, larb != NULL, -EINVAL);
	if (err)
		return err;
	device_link_add(dev, larb, LINK_STATELESS);
	return 0;
}

static int mtk_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	*ret_iommu = dev->iommu->instance;
	if (!*ret_iommu)
		return platform_null(dev, "mtk_iommu_probe_device");
	return mtk_connect(dev, (struct mtk_iommu *)*ret_iommu);
}

static int mtk_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	dev->iommu->instance = iommu;
	return mtk_connect(dev, (struct mtk_iommu *)iommu);
}

static void mtk_release_device(struct device *dev)
{
	const struct mtk_iommu *mtk = (struct mtk_iommu *)dev->iommu->instance;

	for (unsigned i = 0; mtk->multimedia && i < DT_LARBS_MAX; i++)
		if (mtk->larbs[i] && platform_id_count(dev) && mtk_larb_of(platform_id(dev, 0)) == i)
			device_link_del(device_link_find(dev, mtk->larbs[i]));
}

static const struct iommu_ops mtk_iommu_ops = {
	.name = "mtk-iommu",
	.of_xlate = mtk_of_xlate,
	.probe_device = mtk_probe_device,
	.of_xlate_ids = platform_xlate_ids,
	.probe_device_fwspec = mtk_probe_device_fwspec,
	.release_device = mtk_release_device,
	/* The driver has one for each bank or IOVA region. */
	.device_group = iommu_group_single,
};

/* ---- larbs ---- */

/** Puts every larb it remembers, whether it still holds them or not. */
static void mtk_put_larbs(struct device *dev, struct mtk_iommu *mtk, const char *site)
{
	for (unsigned i = 0; i < DT_LARBS_MAX; i++)
		if (mtk->larbs[i])
			device_put(mtk->larbs[i], mtk->holder, site);
	memset(mtk->larbs, 0, sizeof(mtk->larbs));
}

/** Keeps the node of the first smi-common with its reference. Returns -EINVAL for another. */
static int mtk_check_smi(struct device *dev, struct mtk_iommu *mtk, const struct dt_larb *larb)
{
	if (!larb->smi_common)
		return -EINVAL;
	if (!mtk->smi_common) {
		mtk->smi_common = larb->smi_common;
		node_get(dev->core, mtk->smi_common, mtk->holder, mtk_parse);
		return 0;
	}
	return larb->smi_common == mtk->smi_common ? 0 : -EINVAL;
}

/** One iteration over "mediatek,larbs". On failure the larb itself is where the loop remembers it, or put. */
static int mtk_parse_larb(struct device *dev, struct mtk_iommu *mtk, unsigned index)
{
	struct dt_larb larb = dt_larb(dev->core->tree, dev->node, index);
	struct device *larb_dev;
	int err;

	if (!larb.node)
		return -EINVAL;
	if (!larb.node->status_okay)
		return 0;
	if (larb.id >= DT_LARBS_MAX)
		return -EINVAL;
	err = iommu_driver_fault(&mtk->iommu, FAULT_DEVTREE_LARB);
	if (err)
		return err;
	larb_dev = device_find_by_node(dev->core, larb.node, mtk->holder, mtk_parse);
	if (!larb_dev)
		return -ENODEV;
	if (mtk->larbs[larb.id]) {
		device_put(larb_dev, mtk->holder, mtk_parse);
		return -EEXIST;
	}
	mtk->larbs[larb.id] = larb_dev;
	if (!larb_dev->bound)
		return -EPROBE_DEFER;
	err = mtk_check_smi(dev, mtk, &larb);
	if (!err && mtk_larb_refs(dev) != LARB_REFS_FIXED)
		device_put(larb_dev, mtk->holder, mtk_parse);
	return err;
}

/** What follows the loop: the smi-common is made the consumer of the IOMMU. */
static int mtk_link_smi(struct device *dev, struct mtk_iommu *mtk)
{
	struct device *smi;

	if (!mtk->smi_common)
		return -EINVAL;
	smi = device_find_by_node(dev->core, mtk->smi_common, mtk->holder, mtk_parse);
	node_put(dev->core, mtk->smi_common, mtk->holder, mtk_parse);
	if (!smi)
		return -ENODEV;
	mtk->smi_link = device_link_add(smi, dev, LINK_STATELESS);
	device_put(smi, mtk->holder, mtk_parse);
	return mtk->smi_link ? 0 : -EINVAL;
}

static int mtk_parse_larbs(struct device *dev, struct mtk_iommu *mtk)
{
	uint32_t count = dt_larb_count(dev->node);
	int err;

	if (count == 0 || count > DT_LARBS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++) {
		err = mtk_parse_larb(dev, mtk, i);
		if (err) {
			mtk_put_larbs(dev, mtk, mtk_parse);
			return err;
		}
	}
	err = mtk_link_smi(dev, mtk);
	if (err && mtk_larb_refs(dev) != LARB_REFS_OLD)
		mtk_put_larbs(dev, mtk, mtk_parse);
	return err;
}

/* ---- the IOMMU ---- */

static bool mtk_is_multimedia(const struct device *dev)
{
	static const char *const without_larbs[] = {
		"mediatek,mt8188-iommu-infra", "mediatek,mt8189-iommu-apu", "mediatek,mt8189-iommu-infra",
		"mediatek,mt8195-iommu-infra"};

	for (unsigned i = 0; i < G_N_ELEMENTS(without_larbs); i++)
		if (dt_is_compatible(dev->node, without_larbs[i]))
			return false;
	return true;
}

static int mtk_probe(struct device *dev)
{
	struct mtk_iommu *mtk = iommu_device_new(dev, &mtk_iommu_ops, sizeof(*mtk));
	g_autofree char *holder = g_strconcat("mtk-iommu ", dev->path, NULL);
	int err;

	mtk->holder = device_core_alloc(dev->core, strlen(holder) + 1);
	strcpy(mtk->holder, holder);
	mtk->multimedia = mtk_is_multimedia(dev);
	if (mtk->multimedia) {
		err = mtk_parse_larbs(dev, mtk);
		if (err)
			return err;
	}
	err = platform_iommu_register(&mtk->iommu);
	if (!err && mtk->multimedia) {
		err = iommu_driver_fault(&mtk->iommu, FAULT_DEVTREE_COMPONENT);
		if (err)
			platform_iommu_remove(dev);
	}
	if (!err)
		return 0;
	device_link_del(mtk->smi_link);
	if (mtk_larb_refs(dev) != LARB_REFS_OLD)
		mtk_put_larbs(dev, mtk, "mtk_iommu_probe");
	return err;
}

static void mtk_remove(struct device *dev)
{
	struct mtk_iommu *mtk = (struct mtk_iommu *)dev->drvdata;

	platform_iommu_remove(dev);
	device_link_del(mtk->smi_link);
	if (mtk_larb_refs(dev) != LARB_REFS_OLD)
		mtk_put_larbs(dev, mtk, "mtk_iommu_remove");
}

static const struct platform_soc mtk_socs[] = {
	{"mediatek,mt2712-m4u", {.soc = "mt2712"}},
	{"mediatek,mt6779-m4u", {.soc = "mt6779"}},
	{"mediatek,mt6795-m4u", {.soc = "mt6795"}},
	{"mediatek,mt6893-iommu-mm", {.soc = "mt6893"}},
	{"mediatek,mt8167-m4u", {.soc = "mt8167"}},
	{"mediatek,mt8173-m4u", {.soc = "mt8173"}},
	{"mediatek,mt8183-m4u", {.soc = "mt8183"}},
	{"mediatek,mt8186-iommu-mm", {.soc = "mt8186"}},
	{"mediatek,mt8188-iommu-infra", {.soc = "mt8188-infra"}},
	{"mediatek,mt8188-iommu-vdo", {.soc = "mt8188-vdo"}},
	{"mediatek,mt8188-iommu-vpp", {.soc = "mt8188-vpp"}},
	{"mediatek,mt8189-iommu-apu", {.soc = "mt8189-apu"}},
	{"mediatek,mt8189-iommu-infra", {.soc = "mt8189-infra"}},
	{"mediatek,mt8189-iommu-mm", {.soc = "mt8189-mm"}},
	{"mediatek,mt8192-m4u", {.soc = "mt8192"}},
	{"mediatek,mt8195-iommu-infra", {.soc = "mt8195-infra"}},
	{"mediatek,mt8195-iommu-vdo", {.soc = "mt8195-vdo"}},
	{"mediatek,mt8195-iommu-vpp", {.soc = "mt8195-vpp"}},
	{"mediatek,mt8365-m4u", {.soc = "mt8365"}},
	{NULL},
};

const struct platform_iommu platform_mtk = {
	.driver = {.name = "mtk-iommu", .match = platform_match, .probe = mtk_probe, .remove = mtk_remove},
	.ops = &mtk_iommu_ops,
	.hw = &mtk_ops,
	.socs = mtk_socs,
	.put = OF_XLATE_PUT_MTK,
};
