/* SPDX-License-Identifier: MIT */
/*
 * Qualcomm's secure IOMMU: its contexts are child nodes with an ASID each, which are devices of their own. A master is
 * behind one, in several contexts. Source: drivers/iommu/arm/arm-smmu/qcom_iommu.c.
 */
#include "devtree/fdt/parts.h"
#include "devtree/platform/platform.h"

#define QCOM_ASIDS 256 /* an ASID has eight bits */

struct qcom_iommu {
	struct iommu_device iommu;
	unsigned asid_end;	   /* above the highest of the children's */
	bool contexts[QCOM_ASIDS]; /* by ASID: the child is bound */
};

/* ---- masters ---- */

static int qcom_check_asid(const struct device *dev, const struct qcom_iommu *qcom, uint32_t asid)
{
	return platform_check(dev, FAULT_DEVTREE_S2, asid < qcom->asid_end && qcom->contexts[asid], -EINVAL);
}

static int qcom_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	int err = platform_check(dev, FAULT_DEVTREE_S1, args->arg_count == 1, -EINVAL);

	if (err)
		return err;
	platform_lookup(dev, args->node, &platform_qcom, "qcom_iommu_of_xlate", &lookup);
	if (!lookup.device)
		return -EINVAL;
	if (!lookup.iommu) {
		err = platform_null(dev, "qcom_iommu_of_xlate");
		goto out_keep;
	}
	err = qcom_check_asid(dev, (struct qcom_iommu *)lookup.iommu, args->args[0]);
	if (err)
		goto out_put;
	if (!dev->iommu->instance)
		dev->iommu->instance = lookup.iommu;
	err = platform_check(dev, FAULT_DEVTREE_S4, dev->iommu->instance == lookup.iommu, -EINVAL);
	if (err)
		goto out_put;
	err = iommu_fwspec_add_ids(dev, args->args, 1);
out_keep:
	platform_lookup_keep(&lookup);
	return err;
out_put:
	platform_lookup_put(&lookup);
	return err;
}

static int qcom_attach_link(struct device *dev, struct iommu_device *iommu)
{
	int err = platform_stage(dev, FAULT_DEVTREE_S6);

	if (err)
		return err;
	return device_link_add(dev, iommu->dev, 0) ? 0 : -ENODEV;
}

static int qcom_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	*ret_iommu = dev->iommu->instance;
	return *ret_iommu ? qcom_attach_link(dev, *ret_iommu) : -ENODEV;
}

/** The check of the ASIDs moves here: of_xlate no longer knows the instance. */
static int qcom_probe_device_fwspec(struct iommu_device *iommu, struct device *dev)
{
	for (unsigned i = 0; i < platform_id_count(dev); i++)
		if (qcom_check_asid(dev, (struct qcom_iommu *)iommu, platform_id(dev, i)))
			return -ENODEV;
	dev->iommu->instance = iommu;
	return qcom_attach_link(dev, iommu);
}

static const struct iommu_ops qcom_iommu_ops = {
	.name = "qcom-iommu",
	.of_xlate = qcom_of_xlate,
	.probe_device = qcom_probe_device,
	.of_xlate_ids = platform_xlate_ids,
	.probe_device_fwspec = qcom_probe_device_fwspec,
	.device_group = iommu_group_generic,
};

/* ---- contexts ---- */

static bool qcom_is_context(const struct dt_node *node)
{
	static const char *const compatibles[] = {"qcom,msm-iommu-v1-ns", "qcom,msm-iommu-v1-sec",
						  "qcom,msm-iommu-v2-ns", "qcom,msm-iommu-v2-sec"};

	for (unsigned i = 0; i < G_N_ELEMENTS(compatibles); i++)
		if (dt_is_compatible(node, compatibles[i]))
			return true;
	return false;
}

static bool qcom_context_match(const struct device_driver *driver, const struct device *dev)
{
	return dev->node && qcom_is_context(dev->node) && dev->parent && dev->parent->drvdata &&
	       dev->parent->drvdata->ops == &qcom_iommu_ops;
}

static int qcom_context_probe(struct device *dev)
{
	struct qcom_iommu *qcom = (struct qcom_iommu *)dev->parent->drvdata;
	struct dt_context context = dt_context(dev->node);

	if (!context.has_asid || context.asid >= QCOM_ASIDS)
		return -ENODEV;
	qcom->contexts[context.asid] = true;
	return 0;
}

static void qcom_context_remove(struct device *dev)
{
	struct qcom_iommu *qcom = (struct qcom_iommu *)dev->parent->drvdata;

	qcom->contexts[dt_context(dev->node).asid] = false;
}

const struct device_driver platform_qcom_context_driver = {
	.name = "qcom-iommu-ctx",
	.match = qcom_context_match,
	.probe = qcom_context_probe,
	.remove = qcom_context_remove,
};

/* ---- the IOMMU ---- */

/** devm_of_platform_populate(): a device for each child, before the IOMMU is registered. */
static void qcom_populate(struct device *dev, struct qcom_iommu *qcom)
{
	for (const struct dt_node *child = dev->node->child; child; child = child->sibling) {
		struct dt_context context = dt_context(child);
		struct device *context_dev;

		if (!qcom_is_context(child))
			continue;
		if (context.has_asid && context.asid < QCOM_ASIDS)
			qcom->asid_end = MAX(qcom->asid_end, context.asid + 1);
		if (!child->status_okay)
			continue;
		context_dev = device_new(dev->core, &(struct device_identity){.node = child, .parent = dev});
		device_add(context_dev);
		device_attach(context_dev);
	}
}

static void qcom_depopulate(struct device *dev)
{
	for (const struct dt_node *child = dev->node->child; child; child = child->sibling) {
		struct device *context = device_of_node(dev->core, child);

		if (context)
			device_unregister(context);
	}
}

static int qcom_probe(struct device *dev)
{
	struct qcom_iommu *qcom = iommu_device_new(dev, &qcom_iommu_ops, sizeof(*qcom));
	int err;

	qcom_populate(dev, qcom);
	err = iommu_device_sysfs_add(&qcom->iommu);
	if (err) {
		qcom_depopulate(dev);
		return err;
	}
	err = iommu_device_register(&qcom->iommu);
	if (err) {
		sim_find(dev->core->sim, FINDING_DRIVER_ODDITY, "qcom_iommu_device_probe",
			 "%s: its class device stays although its probe failed", dev->path);
		/* Taken away here all the same: it would be a reference that no lookup took. */
		iommu_device_sysfs_remove(&qcom->iommu);
		qcom_depopulate(dev);
	}
	return err;
}

static void qcom_remove(struct device *dev)
{
	iommu_device_sysfs_remove(dev->drvdata);
	iommu_device_unregister(dev->drvdata);
	qcom_depopulate(dev);
}

const struct platform_iommu platform_qcom = {
	.driver = {.name = "qcom-iommu", .match = platform_match, .probe = qcom_probe, .remove = qcom_remove},
	.ops = &qcom_iommu_ops,
	.hw = &qcom_ops,
	.put = OF_XLATE_PUT_QCOM,
};
