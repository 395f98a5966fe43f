/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_PLATFORM_PLATFORM_H
#define DEVTREE_PLATFORM_PLATFORM_H

/*
 * The drivers of IOMMUs that sit in a device tree, one file each, and what they share. Each is modelled as far as probing,
 * references and links go, as devtree-facts (b) tells them: Linux before the series of September 2025 (old), the series as
 * posted (v1), Linux 7.0 (fixed), and with the op probe_device_fwspec of its review.
 *
 * A new driver is one file, one row in drivers.c, one row in devtree/fdt/bindings.c and a board in fixtures/boards. What
 * drives its page tables and its hardware is named by its row and lies in iommu/hw.
 */
#include "devtree/device/faults.h"
#include "devtree/device/iommu-core.h"
#include "iommu/hw/hw.h"
#include "sim/behaviour/behaviour.h"

#define PLATFORM_NEVER_LEAKS -1

/** Which hardware a compatible of the IOMMU's node stands for or, where the driver asks a register, of the board's root. */
struct platform_soc {
	const char *compatible; /* NULL: the end */
	struct iommu_hw_config config;
};

struct platform_iommu {
	struct device_driver driver; /* its name is that in dt_drivers[] */
	const struct iommu_ops *ops;
	const struct iommu_hw_ops *hw; /* page table and invalidation of a domain behind it */
	const struct platform_soc *socs; /* NULL: there is one kind */
	int put; /* enum behaviour: the row that says what becomes of the lookup's reference; or PLATFORM_NEVER_LEAKS */
	/** Sets *@ret_streams to a bitmap of the streams of the probed master @dev on its IOMMU. Returns false where one of
	 *  them is above 63. NULL: the ids of its fwspec say it. */
	bool (*streams)(const struct device *dev, uint64_t *ret_streams);
};

extern const struct platform_iommu platform_dart;
extern const struct platform_iommu platform_qcom;
extern const struct platform_iommu platform_exynos;
extern const struct platform_iommu platform_ipmmu;
extern const struct platform_iommu platform_mtk;
extern const struct platform_iommu platform_mtk_v1;
extern const struct platform_iommu platform_omap;
extern const struct platform_iommu platform_sun50i;
extern const struct platform_iommu platform_tegra;
extern const struct platform_iommu platform_arm_smmu;
extern const struct platform_iommu platform_smmuv3;
extern const struct platform_iommu platform_msm;
extern const struct platform_iommu platform_intel; /* without a node */
extern const struct platform_iommu platform_amd;

/* Drivers of devices that are no IOMMUs but that IOMMUs need, and of masters. */
extern const struct device_driver platform_smi_common_driver;
extern const struct device_driver platform_smi_larb_driver;
extern const struct device_driver platform_qcom_context_driver;
extern const struct device_driver platform_master_driver;

/** The IOMMUs, NULL-ended. */
extern const struct platform_iommu *const platform_iommus[];

/** All of these as the driver core wants them, NULL-ended. */
extern const struct device_driver *const platform_drivers[];

/** Returns the row whose driver is called @name, or NULL. */
const struct platform_iommu *platform_iommu_find(const char *name);

/** What @platform's driver knows of the hardware at @node, an IOMMU of @tree: the row's, the usual one if none fits. */
struct iommu_hw_config platform_hw_config(const struct platform_iommu *platform, const struct devtree *tree,
					  const struct dt_node *node);

/* ---- for the drivers ---- */

/** Matches by the compatibles that dt_drivers[] has under the driver's name. */
bool platform_match(const struct device_driver *driver, const struct device *dev);

/** An IOMMU's device as a master's driver looks it up: of_find_device_by_node(), then platform_get_drvdata(). */
struct platform_lookup {
	struct device *device;	    /* NULL: there is none */
	struct iommu_device *iommu; /* its driver's data; NULL: none (fault point devtree.probe.S3) */
	bool held;		    /* the reference is still there */
	char *holder;		    /* "apple-dart for /soc/usb@1000" */
	const char *site;
};

/** Looks @node up for @master in function @site of @platform. The reference is dropped at once unless the behaviour
 *  @platform->put is old; with probe-device-fwspec=helper always, and the core's helper is the site. Finish with
 *  platform_lookup_put() or platform_lookup_keep(). */
void platform_lookup(struct device *master, const struct dt_node *node, const struct platform_iommu *platform,
		     const char *site, struct platform_lookup *ret_lookup);
/** Drops the reference, where it is still held: on paths on which the old driver did. */
void platform_lookup_put(struct platform_lookup *lookup);
/** Returns without dropping: what is held has leaked. */
void platform_lookup_keep(struct platform_lookup *lookup);

/** Reports that the modelled kernel uses a null pointer in @site. Returns -EFAULT, with which the model goes on. */
int platform_null(struct device *dev, const char *site);

/** Passes the point of a stage. Returns 0 or a negative errno. */
static inline int platform_stage(const struct device *dev, unsigned stage)
{
	return sim_fault(dev->core->sim, stage);
}

/** A check that the driver makes: returns @error unless @good, and the stage's own errno where a rule makes it fail. */
static inline int platform_check(const struct device *dev, unsigned stage, bool good, int error)
{
	int err = platform_stage(dev, stage);

	return good ? err : error;
}

/** of_xlate of the new design: the cells are the ids. */
int platform_xlate_ids(struct device *dev, const struct dt_ref *args);

/** The ids of a master's fwspec; 0 of them where it has none. */
unsigned platform_id_count(const struct device *dev);
uint32_t platform_id(const struct device *dev, unsigned i);

/** What most probe functions of IOMMUs end with: the class device, and registration. Returns 0 or the error, undone. */
int platform_iommu_register(struct iommu_device *iommu);
/** The opposite. */
void platform_iommu_remove(struct device *dev);

#endif
