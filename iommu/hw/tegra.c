/* SPDX-License-Identifier: MIT */

/*
 * The SMMU of NVIDIA's Tegra30 to Tegra210, part of the memory controller. Sources: drivers/iommu/tegra-smmu.c and
 * drivers/memory/tegra/mc.c of Linux 7.0; pagetable-facts sections 3 and 5 to 8.
 *
 * Two caches: the TLB, of lines of four pages (16 KiB), and the page-table cache (PTC), of lines of memory that the walker
 * has read. After each entry that it writes the driver drops the PTC line of the entry, the TLB's line of the page or all
 * its lines of the directory entry's section (4 MiB), and reads a register back, which waits for both. Nothing is gathered
 * and nothing is left behind.
 *
 * The model's walk cache stands for the PTC: what a PTC line holds of the directory are the tables of as many sections as
 * it has entries. Lines of last-level tables, which would only save time, are not remembered.
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/tegra.h"
#include "iommu/pgtable/formats.h"

#define MC_INTSTATUS	  0x000
#define MC_ERR_STATUS	  0x008
#define MC_ERR_ADR	  0x00c
#define SMMU_PTB_ASID	  0x01c
#define SMMU_PTB_DATA	  0x020
#define SMMU_TLB_FLUSH	  0x030
#define SMMU_PTC_FLUSH	  0x034
#define SMMU_PTC_FLUSH_HI 0x9b8

#define SMMU_PTB_DATA_RWN 0xe0000000u /* readable, writable, non-secure */

#define SMMU_TLB_FLUSH_ASID    0x80000000u /* of the given address space only */
#define SMMU_TLB_FLUSH_ALL     0x0u
#define SMMU_TLB_FLUSH_SECTION 0x2u
#define SMMU_TLB_FLUSH_GROUP   0x3u

#define SMMU_PTC_FLUSH_ADDRESS 0x1u

#define SECTION_LG2 22
#define GROUP_LG2   14

#define MC_INT_DECERR_EMEM	 0x40u
#define MC_INT_INVALID_SMMU_PAGE 0x400u

#define MC_ERR_STATUS_TYPE_SMMU	  0x60000000u
#define MC_ERR_STATUS_READABLE	  0x08000000u
#define MC_ERR_STATUS_WRITABLE	  0x04000000u
#define MC_ERR_STATUS_NONSECURE	  0x02000000u
#define MC_ERR_STATUS_PERMISSIONS (MC_ERR_STATUS_READABLE | MC_ERR_STATUS_WRITABLE | MC_ERR_STATUS_NONSECURE)
#define MC_ERR_STATUS_RW	  0x00010000u

#define ASIDS_MAX      128
#define ATOM_BYTES_MIN 4 /* an entry */

struct tegra_smmu {
	struct tegra_soc soc;
	bool asid_used[ASIDS_MAX];
};

const struct tegra_soc *tegra_soc(const struct iommu *iommu)
{
	return &((const struct tegra_smmu *)iommu->state)->soc;
}

static const struct tegra_soc socs[] = {
	{"tegra124", TEGRA124, 128, 32, 34, 0x7f, 8},
	{"tegra30", TEGRA30, 4, 16, 32, 0x7f, 8},
	{"tegra114", TEGRA114, 4, 32, 32, 0x7f, 8},
	{"tegra210", TEGRA210, 128, 64, 34, 0xff, 16},
};

static int tegra_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct tegra_soc *soc = &((struct tegra_smmu *)iommu->state)->soc;
	unsigned i = 0;

	while (config->soc && i < G_N_ELEMENTS(socs) && strcmp(socs[i].name, config->soc) != 0)
		i++;
	if (i == G_N_ELEMENTS(socs))
		return -EINVAL;
	*soc = socs[i];
	if (config->asids)
		soc->asids = config->asids;
	if (config->atom_bytes)
		soc->atom_bytes = config->atom_bytes;
	if (config->address_bits)
		soc->address_bits = config->address_bits;
	if (soc->asids > ASIDS_MAX || soc->address_bits < 32 || soc->address_bits > 34)
		return -EINVAL;
	if (soc->atom_bytes < ATOM_BYTES_MIN || soc->atom_bytes > FRAME_SIZE ||
	    soc->atom_bytes & (soc->atom_bytes - 1))
		return -EINVAL;
	return 0;
}

static void tegra_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = tegra_soc(iommu)->address_bits;
	config->page_sizes = 0;
	config->quirks = 0;
}

/** smmu_flush_ptc(): drops the line of the entry at @entry. */
static void ptc_flush(const struct iommu_domain *domain, uint64_t entry)
{
	const struct tegra_soc *soc = tegra_soc(domain->iommu);
	uint64_t line = (entry + domain->pt->config.table_offset) & -(uint64_t)soc->atom_bytes;

	if (soc->address_bits > 32)
		iommu_writel(domain->iommu, SMMU_PTC_FLUSH_HI, line >> 32 & 3);
	iommu_writel(domain->iommu, SMMU_PTC_FLUSH, (uint32_t)line | SMMU_PTC_FLUSH_ADDRESS);
}

/** The same for the entry at @entry of the directory, that of @iova, and forgets the tables that the line tells of. */
static void ptc_flush_directory(const struct iommu_domain *domain, uint64_t iova, uint64_t entry)
{
	uint64_t entries = tegra_soc(domain->iommu)->atom_bytes / domain->pt->entry_bytes;
	uint64_t span = entries << SECTION_LG2, first = iova & -span;

	ptc_flush(domain, entry);
	iotlb_invalidate_walks(domain->iommu->tlb, domain->id, first, first + span - 1);
}

/** Drops the TLB's lines in the 2^@span_lg2 bytes around @iova: a group, a section or all, as @match says. */
static void tlb_flush(const struct iommu_domain *domain, uint64_t iova, unsigned span_lg2, uint32_t match)
{
	struct iommu *iommu = domain->iommu;
	uint64_t span = UINT64_C(1) << span_lg2, first = iova & -span;
	unsigned asid_shift = tegra_soc(iommu)->asids == 4 ? 29 : 24;

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, SMMU_TLB_FLUSH,
		     SMMU_TLB_FLUSH_ASID | domain->asid << asid_shift | (uint32_t)(first >> 12) | match);
	iotlb_invalidate(iommu->tlb, domain->id, first, first + span - 1, true);
}

static void tegra_table_changed(uint64_t iova, uint64_t entry, bool linked, void *cookie)
{
	struct iommu_domain *domain = cookie;

	ptc_flush_directory(domain, iova, entry);
	tlb_flush(domain, iova, SECTION_LG2, SMMU_TLB_FLUSH_SECTION);
	iommu_readl(domain->iommu);
}

static void tegra_page_changed(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie)
{
	struct iommu_domain *domain = cookie;

	ptc_flush(domain, entry);
	tlb_flush(domain, iova, GROUP_LG2, SMMU_TLB_FLUSH_GROUP);
	iommu_readl(domain->iommu);
}

static const struct pgtable_tlb_ops tegra_tlb_ops = {
	.table_changed = tegra_table_changed,
	.page_changed = tegra_page_changed,
};

static void tegra_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &tegra_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/** tegra_smmu_as_prepare(). */
static int tegra_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	struct tegra_smmu *smmu = iommu->state;
	struct pgtable *pt = domain->pt;
	unsigned asid = 0;

	while (asid < smmu->soc.asids && smmu->asid_used[asid])
		asid++;
	if (asid == smmu->soc.asids)
		return -ENOSPC;
	smmu->asid_used[asid] = true;
	domain->asid = asid;
	pgtable_cache_flush(pt, pt->root_paddr, pgtable_table_bytes(pt, pt->config.top_level));
	ptc_flush_directory(domain, 0, pt->root_paddr);
	tlb_flush(domain, 0, pt->config.ias_bits, SMMU_TLB_FLUSH_ALL);
	iommu_writel(iommu, SMMU_PTB_ASID, asid);
	iommu_writel(iommu, SMMU_PTB_DATA, (uint32_t)(pgtable_root(pt) >> 12) | SMMU_PTB_DATA_RWN);
	iommu_readl(iommu);
	return 0;
}

/** The hardware is told nothing: whoever gets the number next has everything of it flushed. */
static void tegra_detach(struct iommu_domain *domain)
{
	struct tegra_smmu *smmu = domain->iommu->state;

	smmu->asid_used[domain->asid] = false;
}

/** The driver has none: everything is invalidated where it is unmapped, also for the flush queue. */
static void tegra_flush_iotlb_all(struct iommu_domain *domain)
{
}

/** The memory controller latches what the entry allowed beside who asked for what, and raises two interrupts, as logs of
 * Tegra30 and Tegra124 show. */
static void tegra_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			      struct iommu_registers *ret_registers)
{
	uint64_t permissions = fault->entry >> 4 & MC_ERR_STATUS_PERMISSIONS; /* as they stand in the entry */

	iommu_registers_add(ret_registers, MC_INTSTATUS, MC_INT_DECERR_EMEM | MC_INT_INVALID_SMMU_PAGE);
	iommu_registers_add(ret_registers, MC_ERR_STATUS,
			    MC_ERR_STATUS_TYPE_SMMU | permissions | (fault->write ? MC_ERR_STATUS_RW : 0) |
				    (fault->stream & tegra_soc(iommu)->client_mask));
	iommu_registers_add(ret_registers, MC_ERR_ADR, (uint32_t)fault->iova);
}

/** What the handler has words for, lowest bit first. */
static const struct {
	uint32_t bit;
	const char *name;
} interrupts[] = {
	{MC_INT_DECERR_EMEM, "EMEM address decode error"},
	{MC_INT_INVALID_SMMU_PAGE, "Page fault"},
};

/** tegra30_mc_handle_irq(): a line for each bit of the interrupt status, all of the one error that is latched. */
static void tegra_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	const struct tegra_soc *soc = tegra_soc(iommu);
	uint64_t pending = iommu_registers_get(registers, MC_INTSTATUS);
	uint64_t status = iommu_registers_get(registers, MC_ERR_STATUS);
	uint64_t iova = iommu_registers_get(registers, MC_ERR_ADR);

	for (unsigned i = 0; i < G_N_ELEMENTS(interrupts); i++)
		if (pending & interrupts[i].bit)
			g_string_append_printf(
				out,
				"%s: %s @0x%0*" G_GINT64_MODIFIER "x: %s (SMMU translation error [%c%c%c])\n",
				tegra_client_name(soc, status & soc->client_mask),
				status & MC_ERR_STATUS_RW ? "write" : "read", soc->address_digits, iova,
				interrupts[i].name, status & MC_ERR_STATUS_READABLE ? 'R' : '-',
				status & MC_ERR_STATUS_WRITABLE ? 'W' : '-',
				status & MC_ERR_STATUS_NONSECURE ? '-' : 'S');
	iommu_writel(iommu, MC_INTSTATUS, (uint32_t)pending);
}

const struct iommu_hw_ops tegra_ops = {
	.name = "tegra-smmu",
	.description = "NVIDIA Tegra SMMU, of Tegra30 to Tegra210",
	.format = &tegra_smmu_ops,
	.state_size = sizeof(struct tegra_smmu),
	.init = tegra_init,
	.domain_config = tegra_domain_config,
	.domain_init = tegra_domain_init,
	.attach = tegra_attach,
	.detach = tegra_detach,
	.tlb = {.entries = 128, .ways = 128, .walk_entries = 16},
	.tlb_source =
		"32 lines of 4 pages, stated for Tegra114 and Tegra124; associativity and walk cache assumed",
	.flush_iotlb_all = tegra_flush_iotlb_all,
	.fault_latch = tegra_fault_latch,
	.fault_handle = tegra_fault_handle,
};
