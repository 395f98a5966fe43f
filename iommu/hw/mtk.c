/* SPDX-License-Identifier: MIT */

/*
 * MediaTek's M4U of the second generation: short descriptors with addresses of up to 35 bits, and invalidation of exactly
 * the range that was mapped or unmapped. The driver tells the io-pgtable library of no callbacks; it gathers what it is
 * asked to unmap, whatever comes of it. Source: drivers/iommu/mtk_iommu.c of Linux 7.0; pagetable-facts sections 1, 5, 6,
 * 8 and 9.
 */
#include <errno.h>
#include <string.h>

#include "iommu/hw/hw.h"
#include "iommu/hw/mtk.h"
#include "iommu/pgtable/formats.h"

#define MMU_INVALIDATE	  0x020
#define MMU_INVLD_START_A 0x024
#define MMU_INVLD_END_A	  0x028
#define MMU_INV_SEL_GEN2  0x02c
#define MMU_INV_SEL_GEN1  0x038
#define MMU_INT_CONTROL0  0x120
#define MMU_CPE_DONE	  0x12c
#define MMU_FAULT_ST1	  0x134
#define MMU_FAULT_VA(mmu) (0x13c + (mmu)*8)
#define MMU_INVLD_PA(mmu) (0x140 + (mmu)*8)
#define MMU_INT_ID(mmu)	  (0x150 + (mmu)*4)
#define REGISTERS_END	  0x1000

#define INVALIDATE_RANGE 0x1u
#define INVALIDATE_ALL	 0x2u
#define INV_SEL_BOTH	 0x3u

#define INT_ENABLED 0x6fu /* all kinds of fault but one that is reserved */
#define INT_CLR	    0x1000u

#define FAULT_MMU0	  0x7fu /* of FAULT_ST1 */
#define FAULT_TRANSLATION 0x1u

/* FAULT_VA: the page, and below it what else there is to say. */
#define FAULT_VA_WRITE	  0x2u
#define FAULT_VA_LAYER	  0x1u
#define FAULT_VA_34_SHIFT 9 /* bits 34:32 of the address */
#define FAULT_PA_34_SHIFT 6 /* and of the physical one */

/* Features of the platform data that matter here. */
#define HAS_4GB_MODE	    (1u << 0)
#define HAS_SUB_COMM_2BITS  (1u << 5)
#define HAS_SUB_COMM_3BITS  (1u << 6)
#define IOVA_34_EN	    (1u << 9)
#define TYPE_INFRA	    (1u << 13)
#define TYPE_APU	    (2u << 13)
#define TYPE_MASK	    (3u << 13) /* neither: multimedia, whose masters sit behind larbs */
#define PGTABLE_PA_35_EN    (1u << 17)
#define INT_ID_PORT_WIDTH_6 (1u << 19)

#define PAGE_MASK_4K   UINT64_C(0xfff)
#define BIT_32	       (UINT64_C(1) << 32)
#define REMAP_BASE_4GB UINT64_C(0x140000000)
#define LARB_NONE      32

/* A look every 10 microseconds, one millisecond long. */
#define CPE_DONE_TRIES	    100
#define CPE_DONE_TIMEOUT_NS 1000000

/** One sort of M4U: the platform data. */
struct mtk_soc {
	const char *name; /* compatible, without "mediatek," and what it shares with all others */
	unsigned features;
	uint32_t inv_sel;
	uint8_t larbs[8][8];
};

#define N LARB_NONE
#define LINEAR                                     \
	{                                          \
		{0}, {1}, {2}, {3}, {4}, {5}, {6}, \
		{                                  \
			7                          \
		}                                  \
	}

static const struct mtk_soc socs[] = {
	{"mt8173", HAS_4GB_MODE, MMU_INV_SEL_GEN1, LINEAR},
	{"mt2712", HAS_4GB_MODE, MMU_INV_SEL_GEN1, LINEAR},
	{"mt6779",
	 HAS_SUB_COMM_2BITS | PGTABLE_PA_35_EN,
	 MMU_INV_SEL_GEN2,
	 {{0}, {1}, {2}, {3}, {5}, {7, 8}, {10}, {9}}},
	{"mt6795", HAS_4GB_MODE, MMU_INV_SEL_GEN1, LINEAR},
	{"mt6893",
	 HAS_SUB_COMM_2BITS | IOVA_34_EN,
	 MMU_INV_SEL_GEN2,
	 {{0}, {1}, {4, 5}, {7}, {2}, {9, 11, 19, 20}, {0, 14, 16}, {0, 13, 18, 17}}},
	{"mt8167", 0, MMU_INV_SEL_GEN1, LINEAR},
	{"mt8183", 0, MMU_INV_SEL_GEN1, {{0}, {4}, {5}, {6}, {7}, {2}, {3}, {1}}},
	{"mt8186",
	 HAS_SUB_COMM_2BITS | IOVA_34_EN,
	 MMU_INV_SEL_GEN2,
	 {{0}, {1, N, 8}, {4}, {7}, {2}, {9, 11, 19, 20}, {N, 14, 16}, {N, 13, N, 17}}},
	{"mt8188-infra", PGTABLE_PA_35_EN | TYPE_INFRA, MMU_INV_SEL_GEN2, {{0}}},
	{"mt8188-vdo",
	 HAS_SUB_COMM_3BITS | IOVA_34_EN | PGTABLE_PA_35_EN,
	 MMU_INV_SEL_GEN2,
	 {{2}, {0}, {21}, {0}, {19}, {9, 10, 11, 25}, {13, 0, 29, 30}, {5}}},
	{"mt8188-vpp",
	 HAS_SUB_COMM_3BITS | IOVA_34_EN | PGTABLE_PA_35_EN,
	 MMU_INV_SEL_GEN2,
	 {{1}, {3}, {23}, {7}, {N}, {12, 15, 24}, {14, N, 16, 17, N, 27, 28, N}, {4, 6}}},
	{"mt8189-apu", IOVA_34_EN | PGTABLE_PA_35_EN | TYPE_APU, MMU_INV_SEL_GEN2, LINEAR},
	{"mt8189-infra", PGTABLE_PA_35_EN | TYPE_INFRA, MMU_INV_SEL_GEN2, {{0}}},
	{"mt8189-mm",
	 HAS_SUB_COMM_3BITS | IOVA_34_EN | PGTABLE_PA_35_EN,
	 MMU_INV_SEL_GEN2,
	 {{0}, {1}, {21, 21, 2}, {19, 20, 9, 11}, {7}, {4}, {13, 17}, {14, 16}}},
	{"mt8192",
	 HAS_SUB_COMM_2BITS | IOVA_34_EN,
	 MMU_INV_SEL_GEN2,
	 {{0}, {1}, {4, 5}, {7}, {2}, {9, 11, 19, 20}, {0, 14, 16}, {0, 13, 18, 17}}},
	{"mt8195-infra", TYPE_INFRA, MMU_INV_SEL_GEN2, {{0}}},
	{"mt8195-vdo",
	 HAS_SUB_COMM_2BITS | IOVA_34_EN,
	 MMU_INV_SEL_GEN2,
	 {{2, 0}, {21}, {24}, {7}, {19}, {9, 10, 11}, {13, 17, 15, 25}, {5}}},
	{"mt8195-vpp",
	 HAS_SUB_COMM_3BITS | IOVA_34_EN,
	 MMU_INV_SEL_GEN2,
	 {{1}, {3}, {22, N, N, N, 23}, {8}, {20}, {12}, {14, 16, 29, 26, 30, 31, 18}, {4, N, N, N, 6}}},
	{"mt8365", INT_ID_PORT_WIDTH_6, MMU_INV_SEL_GEN1, LINEAR},
};

#undef N

const struct mtk_m4u *mtk_m4u(const struct iommu *iommu)
{
	return iommu->state;
}

static bool has(const struct mtk_m4u *m4u, unsigned feature)
{
	return m4u->features & feature;
}

static const struct mtk_soc *soc_find(const char *name)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(socs); i++)
		if (!name || strcmp(socs[i].name, name) == 0)
			return &socs[i];
	return NULL;
}

/** By name, else of what @config says, else the first one. */
static int mtk_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	struct mtk_m4u *m4u = iommu->state;
	const struct mtk_soc *soc = soc_find(config->soc);
	bool described = !config->soc && (config->features || config->inv_sel);

	if (!soc || config->inv_sel >= REGISTERS_END || config->inv_sel & 3)
		return -EINVAL;
	m4u->features = described ? config->features : soc->features;
	m4u->inv_sel = config->inv_sel ? config->inv_sel : soc->inv_sel;
	m4u->enable_4gb = config->above_4g && has(m4u, HAS_4GB_MODE);
	m4u->larbs = soc->larbs;
	return 0;
}

static void mtk_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	const struct mtk_m4u *m4u = mtk_m4u(iommu);

	config->ias_bits = has(m4u, IOVA_34_EN) ? 34 : 32;
	config->oas_bits = 35;
	if (has(m4u, HAS_4GB_MODE))
		config->oas_bits = m4u->enable_4gb ? 33 : 32;
	config->page_sizes = arm_v7s_ops.page_sizes;
	config->quirks = QUIRK_ARM_NS | QUIRK_NO_PERMS | QUIRK_ARM_MTK_EXT;
	if (has(m4u, PGTABLE_PA_35_EN))
		config->quirks |= QUIRK_ARM_MTK_TTBR_EXT;
	config->incoherent = true;
}

static void mtk_domain_init(struct iommu_domain *domain)
{
	domain->pt->gathers_attempts = true;
	domain->pt->paddr_or = mtk_m4u(domain->iommu)->enable_4gb ? BIT_32 : 0;
}

static int mtk_attach(struct iommu_domain *domain)
{
	((struct mtk_m4u *)domain->iommu->state)->domain = domain;
	return 0;
}

static void mtk_detach(struct iommu_domain *domain)
{
	((struct mtk_m4u *)domain->iommu->state)->domain = NULL;
}

/** In the 4 GB mode the bus sees memory from 0x140000000 on where the CPU has it 4 GiB below. */
static uint64_t mtk_iova_to_phys(const struct iommu_domain *domain, uint64_t iova, uint64_t paddr)
{
	if (mtk_m4u(domain->iommu)->enable_4gb && paddr >= REMAP_BASE_4GB)
		paddr &= ~BIT_32;
	return paddr;
}

static void mtk_tlb_flush_all(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, mtk_m4u(iommu)->inv_sel, INV_SEL_BOTH);
	iommu_writel(iommu, MMU_INVALIDATE, INVALIDATE_ALL);
	iotlb_invalidate_domain(iommu->tlb, domain->id);
}

/** Returns the page of @iova, with what is above 32 bits in the lowest. */
static uint32_t tlb_addr(uint64_t iova)
{
	return (uint32_t)(iova & ~PAGE_MASK_4K) | (uint32_t)(iova >> 32);
}

static void mtk_tlb_flush_range_sync(struct iommu_domain *domain, uint64_t first, uint64_t last)
{
	struct iommu *iommu = domain->iommu;
	int err;

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, mtk_m4u(iommu)->inv_sel, INV_SEL_BOTH);
	iommu_writel(iommu, MMU_INVLD_START_A, tlb_addr(first));
	iommu_writel(iommu, MMU_INVLD_END_A, tlb_addr(last));
	iommu_writel(iommu, MMU_INVALIDATE, INVALIDATE_RANGE);
	err = iommu_poll(iommu, CPE_DONE_TRIES, CPE_DONE_TIMEOUT_NS);
	iommu_writel(iommu, MMU_CPE_DONE, 0);
	if (err) {
		sim_find(iommu->sim, FINDING_KERNEL_WARNING, NULL,
			 "Partial TLB flush timed out, falling back to full flush");
		mtk_tlb_flush_all(domain);
	} else {
		iotlb_invalidate(iommu->tlb, domain->id, first & ~PAGE_MASK_4K, last | PAGE_MASK_4K, false);
	}
}

static void mtk_iotlb_sync(struct iommu_domain *domain, const struct pgtable_gather *gather)
{
	mtk_tlb_flush_range_sync(domain, gather->start, gather->end);
}

static int mtk_iotlb_sync_map(struct iommu_domain *domain, uint64_t iova, uint64_t len)
{
	mtk_tlb_flush_range_sync(domain, iova, iova + len - 1);
	return 0;
}

/* INT_ID names the master whose access it was: behind which common, which sub-common of that, and which port. */

/** Where the fields are. */
struct int_id {
	unsigned feature; /* of hardware that has them so */
	uint8_t common_shift;
	uint8_t sub_mask; /* sub-commons; 0: none, so that the common's number tells of the larb */
	uint8_t port_mask;
};

#define INT_ID_PORT_SHIFT  2
#define INT_ID_SUB_SHIFT   7
#define INT_ID_COMMON_MASK 7

static const struct int_id *int_id_layout(const struct mtk_m4u *m4u)
{
	static const struct int_id layouts[] = {
		{HAS_SUB_COMM_2BITS, 9, 0x3, 0x1f},
		{HAS_SUB_COMM_3BITS, 10, 0x7, 0x1f},
		{INT_ID_PORT_WIDTH_6, 8, 0, 0x3f},
		{0, 7, 0, 0x1f},
	};
	unsigned i = 0;

	while (layouts[i].feature && !has(m4u, layouts[i].feature))
		i++;
	return &layouts[i];
}

/** Returns what the hardware says of @stream, a larb's number shifted by 5 and a port's; a larb that it does not have is
 * taken for a common. Without larbs it is just a number. */
static uint32_t int_id_encode(const struct mtk_m4u *m4u, unsigned stream)
{
	const struct int_id *layout = int_id_layout(m4u);
	unsigned larb = stream >> 5, common = larb & INT_ID_COMMON_MASK, sub = 0;

	if (m4u->features & TYPE_MASK)
		return stream;
	for (unsigned i = 0; i < 8u * (layout->sub_mask + 1u); i++)
		if (m4u->larbs[i & 7][i >> 3] == larb) {
			common = i & 7;
			sub = i >> 3;
			break;
		}
	return common << layout->common_shift | sub << INT_ID_SUB_SHIFT |
	       (stream & 0x1f) << INT_ID_PORT_SHIFT;
}

/** Finds the larb and port that the driver makes of @id. */
static void int_id_decode(const struct mtk_m4u *m4u, uint32_t id, unsigned *ret_larb, unsigned *ret_port)
{
	const struct int_id *layout = int_id_layout(m4u);

	*ret_larb = LARB_NONE;
	*ret_port = 0;
	if (m4u->features & TYPE_MASK)
		return;
	*ret_larb = m4u->larbs[id >> layout->common_shift & INT_ID_COMMON_MASK]
			      [id >> INT_ID_SUB_SHIFT & layout->sub_mask];
	*ret_port = id >> INT_ID_PORT_SHIFT & layout->port_mask;
}

/** The hardware knows no permissions: an access is refused where nothing is mapped. */
static void mtk_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			    struct iommu_registers *ret_registers)
{
	uint32_t va = (uint32_t)(fault->iova & ~PAGE_MASK_4K);

	va |= (uint32_t)(fault->iova >> 32 & 7) << FAULT_VA_34_SHIFT;
	va |= (fault->write ? FAULT_VA_WRITE : 0) | (fault->level == 0 ? FAULT_VA_LAYER : 0);
	iommu_registers_add(ret_registers, MMU_FAULT_ST1, FAULT_TRANSLATION);
	iommu_registers_add(ret_registers, MMU_INT_ID(0), int_id_encode(mtk_m4u(iommu), fault->stream));
	iommu_registers_add(ret_registers, MMU_FAULT_VA(0), va);
	iommu_registers_add(ret_registers, MMU_INVLD_PA(0), 0);
}

static uint32_t mtk_read(struct iommu *iommu, const struct iommu_registers *registers, uint32_t offset)
{
	iommu_readl(iommu);
	return (uint32_t)iommu_registers_get(registers, offset);
}

/** mtk_iommu_isr(). An address of 32 bits is printed with what the register has below the page. Of one of 34 bits that is
 * removed, and only then the physical address's upper bits are looked for there: they are always 0. */
static void mtk_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	const struct mtk_m4u *m4u = mtk_m4u(iommu);
	uint32_t status = mtk_read(iommu, registers, MMU_FAULT_ST1);
	unsigned mmu = status & FAULT_MMU0 ? 0 : 1, larb, port;
	uint32_t id = mtk_read(iommu, registers, MMU_INT_ID(mmu));
	uint64_t iova = mtk_read(iommu, registers, MMU_FAULT_VA(mmu));
	uint64_t paddr = mtk_read(iommu, registers, MMU_INVLD_PA(mmu));
	bool layer = iova & FAULT_VA_LAYER, write = iova & FAULT_VA_WRITE;

	if (has(m4u, IOVA_34_EN))
		iova = (iova & ~PAGE_MASK_4K) | (iova >> FAULT_VA_34_SHIFT & 7) << 32;
	paddr |= (iova >> FAULT_PA_34_SHIFT & 7) << 32;
	int_id_decode(m4u, id, &larb, &port);
	g_string_append_printf(out,
			       "fault type=0x%x iova=0x%" G_GINT64_MODIFIER "x pa=0x%" G_GINT64_MODIFIER
			       "x master=0x%x(larb=%u port=%u) layer=%d %s\n",
			       status, iova, paddr, id, larb, port, layer, write ? "write" : "read");
	iommu_readl(iommu); /* MMU_INT_CONTROL0, of which the other bits stay */
	iommu_writel(iommu, MMU_INT_CONTROL0, INT_ENABLED | INT_CLR);
	if (m4u->domain)
		mtk_tlb_flush_all(m4u->domain);
}

const struct iommu_hw_ops mtk_ops = {
	.name = "mtk",
	.description = "MediaTek M4U of the second generation, MT2712 and later",
	.format = &arm_v7s_ops,
	.state_size = sizeof(struct mtk_m4u),
	.init = mtk_init,
	.domain_config = mtk_domain_config,
	.domain_init = mtk_domain_init,
	.attach = mtk_attach,
	.detach = mtk_detach,
	.iova_to_phys = mtk_iova_to_phys,
	.tlb = {.entries = 256, .ways = 4},
	.tlb_source = "assumed; the driver knows of one main TLB",
	.iotlb_sync = mtk_iotlb_sync,
	.iotlb_sync_map = mtk_iotlb_sync_map,
	.flush_iotlb_all = mtk_tlb_flush_all,
	.fault_latch = mtk_fault_latch,
	.fault_handle = mtk_fault_handle,
};
