/* SPDX-License-Identifier: MIT */
/*
 * MediaTek's first M4U. It has no of_xlate: its probe_device reads `iommus` and makes the fwspec itself. Linux 7.0 calls
 * probe_device only for a master that has a fwspec, so that this code looks unreachable there; the model calls it as
 * older cores did. Source: drivers/iommu/mtk_iommu_v1.c.
 */
#include <string.h>

#include "devtree/fdt/parts.h"
#include "devtree/platform/platform.h"

#define MTK_V1_MASTER_LARBS 3 /* larbs that a master may be behind */

struct mtk_iommu_v1 {
	struct iommu_device iommu;
	struct device *larbs[DT_LARBS_MAX]; /* by place in the list */
	char *holder;
};

static const char mtk_v1_create[] = "mtk_iommu_v1_create_mapping";

/* ---- masters ---- */

/** Ports are numbered through; these are the first of each larb. */
static unsigned mtk_v1_larb_of(uint32_t port)
{
	static const uint32_t first_ports[] = {0, 11, 21, 44};
	unsigned larb = G_N_ELEMENTS(first_ports) - 1;

	while (port < first_ports[larb])
		larb--;
	return larb;
}

static int mtk_v1_create_mapping(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	int err = platform_check(dev, FAULT_DEVTREE_S1, args->arg_count == 1, -EINVAL);

	if (!err && !dev->iommu->fwspec)
		err = iommu_fwspec_init(dev, args->node);
	if (err)
		return err;
	if (!dev->iommu->instance) {
		platform_lookup(dev, args->node, &platform_mtk_v1, mtk_v1_create, &lookup);
		if (!lookup.device)
			return -EINVAL;
		dev->iommu->instance = lookup.iommu;
		platform_lookup_keep(&lookup);
	}
	err = iommu_fwspec_add_ids(dev, args->args, 1);
	if (err)
		return err;
	return dev->iommu->instance ? 0 : platform_null(dev, mtk_v1_create);
}

/** The larb of all the master's ports; NULL: they are not of one, or the IOMMU has none such. */
static struct device *mtk_v1_master_larb(const struct device *dev, const struct mtk_iommu_v1 *mtk)
{
	unsigned larb;

	if (platform_id_count(dev) == 0)
		return NULL;
	larb = mtk_v1_larb_of(platform_id(dev, 0));
	for (unsigned i = 1; i < platform_id_count(dev); i++)
		if (mtk_v1_larb_of(platform_id(dev, i)) != larb)
			return NULL;
	return larb < MTK_V1_MASTER_LARBS ? mtk->larbs[larb] : NULL;
}

static int mtk_v1_connect(struct device *dev, const struct mtk_iommu_v1 *mtk)
{
	struct device *larb;
	int err = platform_stage(dev, FAULT_DEVTREE_S6);

	if (err)
		return err;
	larb = mtk_v1_master_larb(dev, mtk);
	err = platform_check(dev, FAULT_DEVTREE_S2, larb != NULL, -EINVAL);
	if (!err)
		device_link_add(dev, larb, LINK_STATELESS);
	return err;
}

static int mtk_v1_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	struct dt_refs refs;
	struct dt_ref ref;

	iommu_fwspec_free(dev);
	dt_refs_init(&refs, dev->core->tree, dev->node, "iommus", "#iommu-cells");
	while (dt_refs_next(&refs, &ref) && !ref.error && ref.node) {
		int err;

		node_get(dev->core, ref.node, dev->path, "of_parse_phandle_with_args");
		err = mtk_v1_create_mapping(dev, &ref);
		node_put(dev->core, ref.node, dev->path, "mtk_iommu_v1_probe_device");
		if (err)
			return err;
	}
	*ret_iommu = dev->iommu->instance;
	return *ret_iommu ? mtk_v1_connect(dev, (struct mtk_iommu_v1 *)*ret_iommu) : -ENODEV;
}

static int mtk_v1_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	dev->iommu->instance = iommu;
	return mtk_v1_connect(dev, (struct mtk_iommu_v1 *)iommu);
}

static void mtk_v1_release_device(struct device *dev)
{
	const struct mtk_iommu_v1 *mtk = (struct mtk_iommu_v1 *)dev->iommu->instance;
	unsigned larb = platform_id_count(dev) ? mtk_v1_larb_of(platform_id(dev, 0)) : MTK_V1_MASTER_LARBS;

	if (larb < MTK_V1_MASTER_LARBS && mtk->larbs[larb])
		device_link_del(device_link_find(dev, mtk->larbs[larb]));
}

static const struct iommu_ops mtk_iommu_v1_ops = {
	.name = "mtk-iommu-v1",
	.probe_device = mtk_v1_probe_device,
	.of_xlate_ids = platform_xlate_ids,
	.probe_device_fwspec = mtk_v1_probe_device_fwspec,
	.release_device = mtk_v1_release_device,
	.device_group = iommu_group_generic,
	.self_parsed = true,
};

/* ---- larbs ---- */

static void mtk_v1_put_larbs(struct device *dev, struct mtk_iommu_v1 *mtk, const char *site)
{
	if (behaves(dev->core->sim, MTK_LARB_REFS) == LARB_REFS_OLD)
		return;
	for (unsigned i = 0; i < DT_LARBS_MAX; i++)
		if (mtk->larbs[i])
			device_put(mtk->larbs[i], mtk->holder, site);
	memset(mtk->larbs, 0, sizeof(mtk->larbs));
}

static int mtk_v1_parse_larb(struct device *dev, struct mtk_iommu_v1 *mtk, unsigned index)
{
	struct dt_larb larb = dt_larb(dev->core->tree, dev->node, index);
	int err;

	if (!larb.node)
		return -EINVAL;
	if (!larb.node->status_okay)
		return 0;
	err = iommu_driver_fault(&mtk->iommu, FAULT_DEVTREE_LARB);
	if (err)
		return err;
	mtk->larbs[index] = device_find_by_node(dev->core, larb.node, mtk->holder, "mtk_iommu_v1_probe");
	if (!mtk->larbs[index])
		return -ENODEV;
	return mtk->larbs[index]->bound ? 0 : -EPROBE_DEFER;
}

static int mtk_v1_parse_larbs(struct device *dev, struct mtk_iommu_v1 *mtk)
{
	uint32_t count = dt_larb_count(dev->node);

	if (count > DT_LARBS_MAX && behaves(dev->core->sim, MTK_V1_LARB_COUNT_CHECK) == LARB_COUNT_CHECK_ON)
		return -EINVAL;
	if (count > DT_LARBS_MAX)
		sim_find(dev->core->sim, FINDING_CORRUPTION, "mtk_iommu_v1_probe",
			 "%s: %u larbs are written into an array of %u", dev->path, count, DT_LARBS_MAX);
	for (unsigned i = 0; i < MIN(count, DT_LARBS_MAX); i++) {
		int err = mtk_v1_parse_larb(dev, mtk, i);

		if (err)
			return err;
	}
	return 0;
}

/* ---- the IOMMU ---- */

static int mtk_v1_probe(struct device *dev)
{
	struct mtk_iommu_v1 *mtk = iommu_device_new(dev, &mtk_iommu_v1_ops, sizeof(*mtk));
	g_autofree char *holder = g_strconcat("mtk-iommu-v1 ", dev->path, NULL);
	int err;

	mtk->holder = device_core_alloc(dev->core, strlen(holder) + 1);
	strcpy(mtk->holder, holder);
	err = mtk_v1_parse_larbs(dev, mtk);
	if (!err)
		err = platform_iommu_register(&mtk->iommu);
	if (!err) {
		err = iommu_driver_fault(&mtk->iommu, FAULT_DEVTREE_COMPONENT);
		if (err)
			platform_iommu_remove(dev);
	}
	if (err)
		mtk_v1_put_larbs(dev, mtk, "mtk_iommu_v1_probe");
	return err;
}

static void mtk_v1_remove(struct device *dev)
{
	platform_iommu_remove(dev);
	mtk_v1_put_larbs(dev, (struct mtk_iommu_v1 *)dev->drvdata, "mtk_iommu_v1_remove");
}

const struct platform_iommu platform_mtk_v1 = {
	.driver = {.name = "mtk-iommu-v1",
		   .match = platform_match,
		   .probe = mtk_v1_probe,
		   .remove = mtk_v1_remove},
	.ops = &mtk_iommu_v1_ops,
	.hw = &mtk_v1_iommu_ops,
	.put = OF_XLATE_PUT_MTK_V1,
};
