/* SPDX-License-Identifier: MIT */

/*
 * Allwinner's IOMMU, of the H6 and later: six masters with a micro-TLB each, a macro TLB and a page-walk cache behind
 * them. After a map the entries around both ends of the range are zapped one by one, because the TLBs prefetch; after
 * an unmap everything goes. Source: drivers/iommu/sun50i-iommu.c of Linux 7.0; pagetable-facts sections 5 to 8.
 */
#include <errno.h>

#include "iommu/hw/hw.h"
#include "iommu/pgtable/formats.h"

#define RESET	       0x010
#define ENABLE	       0x020
#define BYPASS	       0x030
#define AUTO_GATING    0x040
#define TTB	       0x050
#define TLB_PREFETCH   0x070
#define TLB_FLUSH      0x080
#define TLB_IVLD_ADDR  0x090
#define TLB_IVLD_MASK  0x094
#define TLB_IVLD       0x098
#define PC_IVLD_ADDR   0x0a0
#define PC_IVLD	       0x0a8
#define DM_AUT_CTRL(d) (0x0b0 + (d) / 2 * 4) /* of authority domain @d, two in a register */
#define INT_ENABLE     0x100
#define INT_CLR	       0x104
#define INT_STA	       0x108
#define ERR_ADDR(m)    (0x110 + (m)*4)
#define ERR_ADDR_L1    0x130
#define ERR_ADDR_L2    0x134
#define ERR_DATA(m)    (0x150 + (m)*4)
#define L1PG_INT       0x180
#define L2PG_INT       0x184

#define MASTERS	    6
#define MASTERS_ALL ((1u << MASTERS) - 1)

#define TLB_FLUSH_PTW_CACHE (1u << 17)
#define TLB_FLUSH_MACRO	    (1u << 16)
#define TLB_FLUSH_ALL	    (TLB_FLUSH_PTW_CACHE | TLB_FLUSH_MACRO | MASTERS_ALL)

#define INT_INVALID_L2PG (1u << 17)
#define INT_INVALID_L1PG (1u << 16)
#define INT_ALL		 (INT_INVALID_L2PG | INT_INVALID_L1PG | MASTERS_ALL)

/* Authority domains: what an entry's bits 7:4 choose. Each master has two bits in the register, one to forbid it
 * reading and one writing. */
#define ACI_NONE  1
#define ACI_READ  2
#define ACI_WRITE 3
#define NO_READ	  0x555u
#define NO_WRITE  0xaaau

#define ENTRY_ACI(entry) ((entry) >> 4 & 0xf)

#define PAGE_SIZE_4K UINT64_C(0x1000)
#define SIZE_1M	     UINT64_C(0x100000)

/* A look every microsecond, two milliseconds long. */
#define POLL_TRIES	2000
#define POLL_TIMEOUT_NS 2000000

struct sun50i {
	struct iommu_domain *domain; /* attached; NULL: none */
};

static struct sun50i *sun50i_state(const struct iommu *iommu)
{
	return iommu->state;
}

static void sun50i_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = 32;
}

/** Waits. Returns false after a time-out: the driver warns, and goes on as if nothing were wrong. */
static bool sun50i_wait(struct iommu *iommu, const char *timed_out)
{
	iommu->stats.invalidate_commands++;
	if (iommu_poll(iommu, POLL_TRIES, POLL_TIMEOUT_NS) == 0)
		return true;
	sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL, "%s", timed_out);
	return false;
}

static bool sun50i_flush_all_tlb(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu_writel(iommu, TLB_FLUSH, TLB_FLUSH_ALL);
	if (!sun50i_wait(iommu, "TLB Flush timed out!"))
		return false;
	iotlb_invalidate_domain(iommu->tlb, domain->id);
	return true;
}

static void sun50i_flush_iotlb_all(struct iommu_domain *domain)
{
	sun50i_flush_all_tlb(domain);
}

/* Both zaps know 32 bits of an address. */

static void sun50i_zap_iova(struct iommu_domain *domain, uint32_t iova)
{
	struct iommu *iommu = domain->iommu;
	uint32_t page = iova & ~(uint32_t)(PAGE_SIZE_4K - 1);

	iommu_writel(iommu, TLB_IVLD_ADDR, iova);
	iommu_writel(iommu, TLB_IVLD_MASK, ~(uint32_t)(PAGE_SIZE_4K - 1));
	iommu_writel(iommu, TLB_IVLD, 1);
	if (sun50i_wait(iommu, "TLB invalidation timed out!"))
		iotlb_invalidate(iommu->tlb, domain->id, page, page + PAGE_SIZE_4K - 1, true);
}

static void sun50i_zap_ptw_cache(struct iommu_domain *domain, uint32_t iova)
{
	struct iommu *iommu = domain->iommu;

	iommu_writel(iommu, PC_IVLD_ADDR, iova);
	iommu_writel(iommu, PC_IVLD, 1);
	if (sun50i_wait(iommu, "PTW cache invalidation timed out!"))
		iotlb_invalidate_walks(iommu->tlb, domain->id, iova, iova);
}

static void sun50i_zap_range(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	struct iommu *iommu = domain->iommu;

	iommu_writel(iommu, AUTO_GATING, 0);
	sun50i_zap_iova(domain, (uint32_t)iova);
	sun50i_zap_iova(domain, (uint32_t)(iova + PAGE_SIZE_4K));
	if (size > PAGE_SIZE_4K) {
		sun50i_zap_iova(domain, (uint32_t)(iova + size));
		sun50i_zap_iova(domain, (uint32_t)(iova + size + PAGE_SIZE_4K));
	}
	sun50i_zap_ptw_cache(domain, (uint32_t)iova);
	sun50i_zap_ptw_cache(domain, (uint32_t)(iova + SIZE_1M));
	if (size > SIZE_1M) {
		sun50i_zap_ptw_cache(domain, (uint32_t)(iova + size));
		sun50i_zap_ptw_cache(domain, (uint32_t)(iova + size + SIZE_1M));
	}
	iommu_writel(iommu, AUTO_GATING, 1);
}

static int sun50i_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	sun50i_zap_range(domain, iova, len);
	return 0;
}

static void sun50i_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	sun50i_flush_all_tlb(domain);
}

/** sun50i_iommu_enable(). The rights of ACI_WRITE go over those of ACI_READ, which share their register; and nobody asks
 * whether it came as far as to enable the IOMMU. */
static int sun50i_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	struct pgtable *pt = domain->pt;

	sun50i_state(iommu)->domain = domain;
	pgtable_cache_flush(pt, pt->root_paddr, pgtable_table_bytes(pt, pt->config.top_level));
	iommu_writel(iommu, TTB, (uint32_t)pgtable_root(pt));
	iommu_writel(iommu, TLB_PREFETCH, MASTERS_ALL);
	iommu_writel(iommu, BYPASS, 0);
	iommu_writel(iommu, INT_ENABLE, INT_ALL);
	iommu_writel(iommu, DM_AUT_CTRL(ACI_NONE), (NO_READ | NO_WRITE) << 16);
	iommu_writel(iommu, DM_AUT_CTRL(ACI_READ), NO_WRITE);
	iommu_writel(iommu, DM_AUT_CTRL(ACI_WRITE), NO_READ << 16);
	if (!sun50i_flush_all_tlb(domain))
		return 0;
	iommu_writel(iommu, AUTO_GATING, 1);
	iommu_writel(iommu, ENABLE, 1);
	return 0;
}

static void sun50i_detach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	sun50i_free_second_level(domain->pt);
	iommu_writel(iommu, ENABLE, 0);
	iommu_writel(iommu, TTB, 0);
	sun50i_state(iommu)->domain = NULL;
}

/** There are bits for six masters, but nobody checks the number that the device tree gives one. */
static unsigned master_of(const struct iommu_fault *fault)
{
	return fault->stream % MASTERS;
}

static void sun50i_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			       struct iommu_registers *ret_registers)
{
	unsigned master = master_of(fault);

	if (fault->reason == IOMMU_FAULT_PERMISSION) {
		iommu_registers_add(ret_registers, INT_STA, 1u << master);
		iommu_registers_add(ret_registers, ERR_ADDR(master), (uint32_t)fault->iova);
		iommu_registers_add(ret_registers, ERR_DATA(master), fault->entry);
	} else {
		bool l1 = fault->level == 1;

		iommu_registers_add(ret_registers, INT_STA, l1 ? INT_INVALID_L1PG : INT_INVALID_L2PG);
		iommu_registers_add(ret_registers, l1 ? ERR_ADDR_L1 : ERR_ADDR_L2, (uint32_t)fault->iova);
		iommu_registers_add(ret_registers, l1 ? L1PG_INT : L2PG_INT, 1u << master);
	}
}

static uint32_t sun50i_read(struct iommu *iommu, const struct iommu_registers *registers, uint32_t offset)
{
	iommu_readl(iommu);
	return (uint32_t)iommu_registers_get(registers, offset);
}

/** The highest of the masters in @blame, as the kernel's ilog2(). */
static unsigned blamed_master(uint32_t blame)
{
	return g_bit_storage(blame & MASTERS_ALL) - 1;
}

static void sun50i_report_fault(struct iommu *iommu, GString *out, unsigned master, uint32_t iova, bool write)
{
	struct iommu_domain *domain = sun50i_state(iommu)->domain;

	g_string_append_printf(out, "Page fault for 0x%016x (master %u, dir %s)\n", iova, master,
			       write ? "wr" : "rd");
	if (domain)
		sun50i_zap_range(domain, iova, PAGE_SIZE_4K);
}

/** An entry that is not there does not tell what the access was: taken for a read. */
static void sun50i_handle_pt_irq(struct iommu *iommu, const struct iommu_registers *registers, GString *out,
				 uint32_t addr_reg, uint32_t blame_reg)
{
	uint32_t iova = sun50i_read(iommu, registers, addr_reg);
	uint32_t blame = sun50i_read(iommu, registers, blame_reg);

	sun50i_report_fault(iommu, out, blamed_master(blame), iova, false);
}

/** What the entry allows tells what the access was. */
static void sun50i_handle_perm_irq(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	unsigned master = blamed_master(sun50i_read(iommu, registers, INT_STA));
	uint32_t iova = sun50i_read(iommu, registers, ERR_ADDR(master));
	uint32_t entry = sun50i_read(iommu, registers, ERR_DATA(master));

	sun50i_report_fault(iommu, out, master, iova, ENTRY_ACI(entry) == ACI_READ);
}

/** sun50i_iommu_irq(). A reset releases the masters that are blamed from where the fault stopped them. */
static void sun50i_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	uint32_t status = sun50i_read(iommu, registers, INT_STA), l1, l2;

	if (!(status & INT_ALL))
		return;
	l1 = sun50i_read(iommu, registers, L1PG_INT);
	l2 = sun50i_read(iommu, registers, L2PG_INT);
	if (status & INT_INVALID_L2PG)
		sun50i_handle_pt_irq(iommu, registers, out, ERR_ADDR_L2, L2PG_INT);
	else if (status & INT_INVALID_L1PG)
		sun50i_handle_pt_irq(iommu, registers, out, ERR_ADDR_L1, L1PG_INT);
	else
		sun50i_handle_perm_irq(iommu, registers, out);
	iommu_writel(iommu, INT_CLR, status);
	iommu_writel(iommu, RESET, ~((status | l1 | l2) & MASTERS_ALL));
	iommu_writel(iommu, RESET, UINT32_MAX);
}

const struct iommu_hw_ops sun50i_iommu_ops = {
	.name = "sun50i",
	.description = "Allwinner H6 and later",
	.format = &sun50i_ops,
	.state_size = sizeof(struct sun50i),
	.domain_config = sun50i_domain_config,
	.attach = sun50i_attach,
	.detach = sun50i_detach,
	.tlb = {.entries = 256, .ways = 4, .walk_entries = 16},
	.tlb_source =
		"assumed; the driver states that there are micro-TLBs, a macro TLB and a page-walk cache",
	.iotlb_sync = sun50i_iotlb_sync,
	.iotlb_sync_map = sun50i_iotlb_sync_map,
	.flush_iotlb_all = sun50i_flush_iotlb_all,
	.fault_latch = sun50i_fault_latch,
	.fault_handle = sun50i_fault_handle,
};
