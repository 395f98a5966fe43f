/* SPDX-License-Identifier: MIT */
/*
 * Samsung Exynos System MMU. A master is behind any number, all chained to its private data, the owner, which is never
 * freed. Source: drivers/iommu/exynos-iommu.c.
 */
#include "devtree/platform/platform.h"

struct exynos_sysmmu {
	struct iommu_device iommu;
	struct device *master;		    /* the last that named it */
	const struct exynos_owner *chained; /* whose list it is on */
	struct device_link *link;
};

struct exynos_owner {
	struct dev_private priv; /* its iommus are the controllers */
};

/** list_add() of a controller: nobody looks whether it is on a list already. */
static void exynos_chain(struct device *dev, struct exynos_owner *owner, struct exynos_sysmmu *sysmmu)
{
	if (sysmmu->chained)
		sim_find(dev->core->sim, FINDING_DRIVER_ODDITY, "exynos_iommu_of_xlate",
			 "%s: %s is chained to it although it is on the list of %s already", dev->path,
			 sysmmu->iommu.dev->path,
			 sysmmu->master == dev ? "an earlier probe" : sysmmu->master->path);
	g_ptr_array_add(owner->priv.iommus, sysmmu);
	sysmmu->chained = owner;
	sysmmu->master = dev;
}

static int exynos_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	struct exynos_owner *owner;

	platform_lookup(dev, args->node, &platform_exynos, "exynos_iommu_of_xlate", &lookup);
	if (!lookup.device)
		return -ENODEV;
	if (!lookup.iommu) {
		platform_lookup_put(&lookup);
		return -ENODEV;
	}
	if (!dev->iommu->priv)
		dev->iommu->priv = dev_private_new(dev, sizeof(struct exynos_owner), "exynos_iommu_of_xlate");
	owner = (struct exynos_owner *)dev->iommu->priv;
	if (!owner) {
		platform_lookup_put(&lookup);
		return -ENOMEM;
	}
	if (!g_ptr_array_find(owner->priv.iommus, lookup.iommu, NULL))
		exynos_chain(dev, owner, (struct exynos_sysmmu *)lookup.iommu);
	platform_lookup_keep(&lookup);
	return 0;
}

static int exynos_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	const struct exynos_owner *owner = (struct exynos_owner *)dev->iommu->priv;
	int err = platform_check(dev, FAULT_DEVTREE_S6, owner != NULL, -ENODEV);

	if (err)
		return err;
	for (guint i = 0; i < owner->priv.iommus->len; i++) {
		struct exynos_sysmmu *sysmmu = g_ptr_array_index(owner->priv.iommus, i);

		sysmmu->link = device_link_add(dev, sysmmu->iommu.dev, LINK_STATELESS);
	}
	*ret_iommu = g_ptr_array_index(owner->priv.iommus, 0);
	return 0;
}

static void exynos_release_device(struct device *dev)
{
	const struct exynos_owner *owner = (struct exynos_owner *)dev->iommu->priv;

	for (guint i = 0; i < owner->priv.iommus->len; i++) {
		struct exynos_sysmmu *sysmmu = g_ptr_array_index(owner->priv.iommus, i);

		device_link_del(sysmmu->link);
		sysmmu->link = NULL;
	}
}

static const struct iommu_ops exynos_iommu_ops = {
	.name = "exynos-sysmmu",
	.of_xlate = exynos_of_xlate,
	.probe_device = exynos_probe_device,
	.release_device = exynos_release_device,
	.device_group = iommu_group_generic,
};

static int exynos_probe(struct device *dev)
{
	struct exynos_sysmmu *sysmmu = iommu_device_new(dev, &exynos_iommu_ops, sizeof(*sysmmu));

	return platform_iommu_register(&sysmmu->iommu);
}

/* The driver reads the version from a register; these are assumed. */
static const struct platform_soc exynos_socs[] = {
	{"samsung,exynos4210", {.version = 100}},
	{"samsung,exynos4", {.version = 303}},
	{"samsung,exynos5433", {.version = 500}},
	{"samsung,exynos5", {.version = 303}},
	{"samsung,exynos7870", {.version = 700}},
	{"samsung,exynos7885", {.version = 700}},
	{"samsung,exynos850", {.version = 700}},
	{"samsung,exynos7", {.version = 500}},
	{NULL},
};

const struct platform_iommu platform_exynos = {
	.driver = {.name = "exynos-sysmmu",
		   .match = platform_match,
		   .probe = exynos_probe,
		   .remove = platform_iommu_remove},
	.ops = &exynos_iommu_ops,
	.hw = &exynos_ops,
	.socs = exynos_socs,
	.put = OF_XLATE_PUT_EXYNOS,
};
