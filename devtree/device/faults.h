/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_DEVICE_FAULTS_H
#define DEVTREE_DEVICE_FAULTS_H

/*
 * The fault points of probing. While a driver's function runs for a master, sim->device is the driver's name, so that a
 * rule can be for one driver: device = apple-dart.
 *
 * devtree.probe.S0 to S7 are the stages of devtree-facts (d): the places at which a master's way to its IOMMU can end. A
 * driver that lacks the check of a stage never passes its point.
 */
#include "sim/fault/fault.h"

enum {
	FAULT_DEVTREE_FWSPEC = FAULT_ROOM_DEVTREE,
	FAULT_DEVTREE_PRIVATE,
	FAULT_DEVTREE_S0, /* the node is disabled, or has no registered IOMMU yet */
	FAULT_DEVTREE_S1, /* the number of cells is not what the driver takes */
	FAULT_DEVTREE_S2, /* the device may not use this IOMMU, or the id is none of it */
	FAULT_DEVTREE_S3, /* the IOMMU's device has no driver data */
	FAULT_DEVTREE_S4, /* it does not fit the IOMMU that an earlier entry named */
	FAULT_DEVTREE_S5, /* no memory for the id */
	FAULT_DEVTREE_S6, /* probe_device fails after the lookup */
	FAULT_DEVTREE_S7, /* the group, attaching, or the default domain fails */
	FAULT_DEVTREE_GROUP,
	FAULT_DEVTREE_LINK,
	FAULT_DEVTREE_REGISTER,
	FAULT_DEVTREE_DEV_IOMMU,
	FAULT_DEVTREE_MODULE,
	FAULT_DEVTREE_LARB,
	FAULT_DEVTREE_SYSFS,
	FAULT_DEVTREE_COMPONENT,
	FAULT_DEVTREE_END,
};

extern const struct fault_table devtree_fault_table;

#endif
