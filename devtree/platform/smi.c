/* SPDX-License-Identifier: MIT */
/*
 * MediaTek's SMI: larbs, and the commons they end in. A larb waits for its common and is linked to it. Source:
 * drivers/memory/mtk-smi.c.
 */
#include "devtree/platform/platform.h"

/** Whether a string of "compatible" is "mediatek,…@suffix". */
static bool smi_match_suffix(const struct device *dev, const char *suffix)
{
	const struct dt_property *compatible = dev->node ? dt_find_property(dev->node, "compatible") : NULL;
	const char *text;
	uint32_t at = 0;

	while (compatible && (text = dt_next_string(compatible, &at)))
		if (g_str_has_prefix(text, "mediatek,") && g_str_has_suffix(text, suffix))
			return true;
	return false;
}

static bool smi_common_match(const struct device_driver *driver, const struct device *dev)
{
	return smi_match_suffix(dev, "-smi-common") || smi_match_suffix(dev, "-smi-common-vdo") ||
	       smi_match_suffix(dev, "-smi-common-vpp") || smi_match_suffix(dev, "-smi-sub-common");
}

static bool smi_larb_match(const struct device_driver *driver, const struct device *dev)
{
	return smi_match_suffix(dev, "-smi-larb");
}

/** mtk_smi_device_link_common() */
static int smi_larb_probe(struct device *dev)
{
	const struct dt_node *node = dt_parse_phandle(dev->core->tree, dev->node, "mediatek,smi", 0);
	struct device *smi;
	int err = 0;

	if (!node)
		return -EINVAL;
	smi = device_find_by_node(dev->core, node, dev->path, "mtk_smi_device_link_common");
	if (!smi)
		return -EINVAL;
	if (!smi->bound)
		err = -EPROBE_DEFER;
	else if (!device_link_add(dev, smi, LINK_STATELESS))
		err = -ENODEV;
	device_put(smi, dev->path, "mtk_smi_device_link_common");
	return err;
}

static void smi_larb_remove(struct device *dev)
{
	const struct dt_node *node = dt_parse_phandle(dev->core->tree, dev->node, "mediatek,smi", 0);
	struct device *smi = node ? device_of_node(dev->core, node) : NULL;

	if (smi)
		device_link_del(device_link_find(dev, smi));
}

const struct device_driver platform_smi_common_driver = {
	.name = "mtk-smi-common",
	.match = smi_common_match,
};

const struct device_driver platform_smi_larb_driver = {
	.name = "mtk-smi-larb",
	.match = smi_larb_match,
	.probe = smi_larb_probe,
	.remove = smi_larb_remove,
};
