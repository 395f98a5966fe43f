/* SPDX-License-Identifier: MIT */
#ifndef DEVTREE_FDT_FACTS_H
#define DEVTREE_FDT_FACTS_H

/*
 * The facts of a board that matter to an IOMMU, as text: one fact a line, in the order of the blob.
 *
 * The format is that of the recordings ("golden devtree facts v1"), so that the two can be compared byte by byte. It
 * depends on nothing but the blob.
 */
#include "devtree/fdt/refs.h"

#define DT_FACTS_BYTES_MAX (256u << 20) /* a hostile tree's paths could ask for any size */

/** Appends the facts of @tree to @out, with @name as the name of its file. Returns false, with part of them written, when
 *  they exceed DT_FACTS_BYTES_MAX. */
bool dt_facts(const struct devtree *tree, const char *name, GString *out);

/** Whether @node takes part as an IOMMU, a master, a root PCI host, an NVMe controller. */
bool dt_is_iommu(const struct dt_node *node);
bool dt_is_master(const struct dt_node *node);
bool dt_is_pci_host(const struct dt_node *node);
bool dt_is_nvme(const struct dt_node *node);

#endif
