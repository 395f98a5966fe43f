/* SPDX-License-Identifier: MIT */
#include "devtree/device/faults.h"

#include <errno.h>

#define POINT(point) [point - FAULT_ROOM_DEVTREE]

static const struct fault_point devtree_fault_points[] = {
	POINT(FAULT_DEVTREE_FWSPEC) = {"devtree.fwspec", -ENOMEM, "no memory for the fwspec of a master",
				       "iommu_fwspec_init() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_PRIVATE) = {"devtree.private", -ENOMEM,
					"no memory for a driver's data of a master",
					"of_xlate and probe_device of the drivers"},
	POINT(FAULT_DEVTREE_S0) = {"devtree.probe.S0", -ENODEV,
				   "the node is disabled, or has no registered IOMMU",
				   "of_iommu_xlate() in drivers/iommu/of_iommu.c"},
	POINT(FAULT_DEVTREE_S1) = {"devtree.probe.S1", -EINVAL, "the wrong number of cells",
				   "of_xlate of the drivers"},
	POINT(FAULT_DEVTREE_S2) = {"devtree.probe.S2", -EINVAL, "a device that is not allowed, or a bad id",
				   "of_xlate of the drivers"},
	POINT(FAULT_DEVTREE_S3) = {"devtree.probe.S3", -ENODEV, "the IOMMU's device has no driver data",
				   "platform_get_drvdata() in the drivers"},
	POINT(FAULT_DEVTREE_S4) = {"devtree.probe.S4", -EINVAL, "an IOMMU that does not fit the first one",
				   "of_xlate of the drivers"},
	POINT(FAULT_DEVTREE_S5) = {"devtree.probe.S5", -ENOMEM, "no memory for the id",
				   "iommu_fwspec_add_ids() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_S6) = {"devtree.probe.S6", -EINVAL, "probe_device fails after the lookup",
				   "probe_device of the drivers"},
	POINT(FAULT_DEVTREE_S7) = {"devtree.probe.S7", -EINVAL, "attaching, or the default domain fails",
				   "__iommu_probe_device() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_GROUP) = {"devtree.group", -ENOMEM, "no memory for a group",
				      "iommu_group_alloc() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_LINK) = {"devtree.link", -ENOMEM, "no device link",
				     "device_link_add() in drivers/base/core.c"},
	POINT(FAULT_DEVTREE_REGISTER) = {"devtree.register", -ENOMEM, "an IOMMU is not registered",
					 "iommu_device_register() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_DEV_IOMMU) = {"devtree.dev_iommu", -ENOMEM,
					  "no memory for what the core keeps of a master",
					  "dev_iommu_get() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_MODULE) = {"devtree.module", -EINVAL,
				       "the module of a driver is on its way out: a master does without",
				       "iommu_init_device() in drivers/iommu/iommu.c"},
	POINT(FAULT_DEVTREE_LARB) = {"devtree.larb", -ENODEV, "the device of a larb is not there",
				     "mtk_iommu_mm_dts_parse(), mtk_iommu_v1_probe() in drivers/iommu"},
	POINT(FAULT_DEVTREE_SYSFS) = {"devtree.sysfs", -ENOMEM,
				      "no class device for an IOMMU: its probe fails",
				      "iommu_device_sysfs_add() in drivers/iommu/iommu-sysfs.c"},
	POINT(FAULT_DEVTREE_COMPONENT) =
		{"devtree.component", -ENOMEM,
		 "an IOMMU, registered, cannot be tied to its larbs: its probe fails",
		 "component_master_add_with_match() in drivers/base/component.c"},
};

G_STATIC_ASSERT(G_N_ELEMENTS(devtree_fault_points) == FAULT_DEVTREE_END - FAULT_ROOM_DEVTREE);

const struct fault_table devtree_fault_table = {
	.first = FAULT_ROOM_DEVTREE,
	.count = G_N_ELEMENTS(devtree_fault_points),
	.points = devtree_fault_points,
};
