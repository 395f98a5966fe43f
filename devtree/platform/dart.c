/* SPDX-License-Identifier: MIT */
/*
 * Apple DART. A master is behind up to three, which must agree in page size and width. Source:
 * drivers/iommu/apple-dart.c.
 */
#include "devtree/platform/platform.h"

#define DART_STREAM_MAPS 3   /* DARTs of one master */
#define DART_STREAMS	 256 /* bits of a stream map */

struct dart {
	struct iommu_device iommu;
	unsigned page_lg2;
	unsigned ias_bits;
};

struct dart_master {
	struct dev_private priv;
	struct {
		struct dart *dart; /* NULL: the slot is free */
		uint64_t streams[DART_STREAMS / 64];
	} maps[DART_STREAM_MAPS];
};

/** The T8110 asks its registers: 36 bits is what an M2 says. */
static unsigned dart_ias_bits(const struct device *dev)
{
	return dt_is_compatible(dev->node, "apple,t8110-dart") ? 36 : 32;
}

static int dart_add_stream(struct dart_master *master, struct dart *dart, uint32_t sid)
{
	for (unsigned i = 0; i < DART_STREAM_MAPS; i++) {
		if (master->maps[i].dart && master->maps[i].dart != dart)
			continue;
		if (!master->maps[i].dart)
			g_ptr_array_add(master->priv.iommus, dart);
		master->maps[i].dart = dart;
		master->maps[i].streams[sid / 64] |= UINT64_C(1) << sid % 64;
		return 0;
	}
	return -EINVAL;
}

static int dart_take_entry(struct device *dev, const struct dt_ref *args, struct dart *dart)
{
	struct dart_master *master;
	const struct dart *first;
	int err = platform_check(dev, FAULT_DEVTREE_S1, args->arg_count == 1, -EINVAL);

	if (err)
		return err;
	if (!dev->iommu->priv)
		dev->iommu->priv = dev_private_new(dev, sizeof(struct dart_master), "apple_dart_of_xlate");
	if (!dev->iommu->priv)
		return -ENOMEM;
	if (!dart)
		return platform_null(dev, "apple_dart_of_xlate");
	master = (struct dart_master *)dev->iommu->priv;
	first = master->maps[0].dart;
	err = platform_check(
		dev, FAULT_DEVTREE_S4,
		!first || (first->page_lg2 == dart->page_lg2 && first->ias_bits == dart->ias_bits), -EINVAL);
	if (err)
		return err;
	if (args->args[0] >= DART_STREAMS) {
		/* The driver sets the bit whatever its number is. */
		sim_find(dev->core->sim, FINDING_CORRUPTION, "apple_dart_of_xlate",
			 "%s: stream %u lies outside the map of %u streams", dev->path, args->args[0],
			 DART_STREAMS);
		return -EINVAL;
	}
	return dart_add_stream(master, dart, args->args[0]);
}

static int dart_of_xlate(struct device *dev, const struct dt_ref *args)
{
	struct platform_lookup lookup;
	int err;

	platform_lookup(dev, args->node, &platform_dart, "apple_dart_of_xlate", &lookup);
	if (!lookup.device)
		return -ENODEV;
	err = dart_take_entry(dev, args, (struct dart *)lookup.iommu);
	platform_lookup_keep(&lookup);
	return err;
}

static int dart_probe_device(struct device *dev, struct iommu_device **ret_iommu)
{
	const struct dart_master *master = (struct dart_master *)dev->iommu->priv;
	int err = platform_check(dev, FAULT_DEVTREE_S6, master != NULL, -ENODEV);

	if (err)
		return err;
	for (unsigned i = 0; i < DART_STREAM_MAPS && master->maps[i].dart; i++)
		device_link_add(dev, master->maps[i].dart->iommu.dev, LINK_AUTOREMOVE_SUPPLIER);
	*ret_iommu = &master->maps[0].dart->iommu;
	return 0;
}

static void dart_release_device(struct device *dev)
{
	dev_private_free(dev, dev->iommu->priv);
}

/** One for each stream: masters that share their first one share a group. PCI functions are apart. */
static struct iommu_group *dart_device_group(struct device *dev)
{
	const struct dart_master *master = (struct dart_master *)dev->iommu->priv;
	unsigned sid = 0;

	if (dev->bus == DEVICE_BUS_PCI || master->priv.freed)
		return iommu_group_generic(dev);
	while (!(master->maps[0].streams[sid / 64] >> sid % 64 & 1))
		sid++;
	return iommu_group_keyed(dev, sid);
}

/** Of its first DART, which is the one that the core knows: the fwspec has no ids. */
static bool dart_streams(const struct device *dev, uint64_t *ret_streams)
{
	const struct dart_master *master = (struct dart_master *)dev->iommu->priv;

	for (unsigned i = 1; i < G_N_ELEMENTS(master->maps[0].streams); i++)
		if (master->maps[0].streams[i])
			return false;
	*ret_streams = master->maps[0].streams[0];
	return true;
}

static const struct iommu_ops apple_dart_iommu_ops = {
	.name = "apple-dart",
	.of_xlate = dart_of_xlate,
	.probe_device = dart_probe_device,
	.release_device = dart_release_device,
	.device_group = dart_device_group,
};

static int dart_probe(struct device *dev)
{
	struct dart *dart = iommu_device_new(dev, &apple_dart_iommu_ops, sizeof(*dart));

	dart->page_lg2 = 14;
	dart->ias_bits = dart_ias_bits(dev);
	return platform_iommu_register(&dart->iommu);
}

static const struct platform_soc dart_socs[] = {
	{"apple,t8103-dart", {.soc = "t8103"}},
	{"apple,t8103-usb4-dart", {.soc = "t8103usb4"}},
	{"apple,t6000-dart", {.soc = "t6000"}},
	{"apple,t8110-dart", {.soc = "t8110", .asids = 256}},
	{NULL},
};

const struct platform_iommu platform_dart = {
	.driver = {.name = "apple-dart",
		   .match = platform_match,
		   .probe = dart_probe,
		   .remove = platform_iommu_remove,
		   .no_unbind = true},
	.ops = &apple_dart_iommu_ops,
	.hw = &dart_ops,
	.socs = dart_socs,
	.put = OF_XLATE_PUT_APPLE_DART,
	.streams = dart_streams,
};
