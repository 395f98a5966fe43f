/* SPDX-License-Identifier: MIT */

/*
 * Samsung's SysMMU, versions 1 to 7. Every unmap invalidates its page at once, between a request that the unit stop
 * translating and its going on; the core's sync has nothing left to do. Source: drivers/iommu/exynos-iommu.c of Linux
 * 7.0; pagetable-facts sections 1 and 5 to 9.
 *
 * From version 3.2 on the unit remembers entries of the first level (its FLPD cache; here the IOTLB's walk cache), also
 * those that lead to the table without a page which all unused entries share: iotlb_config.walk_caches_faults. From 3.3
 * on the driver flushes it where a new table takes the place of the shared one. It means to do so for a page of 1 MiB as
 * well, but looks at the entry when that is already the new one, and so never does; nor does it where such a page takes
 * the place of a table that has become empty, which is freed. Version 5 flushes it only together with everything else.
 */
#include <errno.h>

#include "iommu/hw/exynos.h"
#include "iommu/hw/hw.h"
#include "iommu/pgtable/formats.h"

#define REG_CTRL 0x00
#define REG_CFG	 0x04

#define CTRL_ENABLE 0x5u
#define CTRL_BLOCK  0x7u

#define CTRL_VM_ENABLE	    0x1u
#define CTRL_VM_FAULT_STALL 0x8u

#define CFG_LRU	       0x1u
#define CFG_EAP	       0x4u /* protection bits are heeded */
#define CFG_QOS_HIGH   0x780u
#define CFG_FLPD_CACHE (1u << 20)
#define CFG_SYSSEL     (1u << 22)
#define CFG_ACGEN      (1u << 24)

#define FLUSH_ENTRY_VALID 0x1u

#define FAULT_INFO_WRITE (1u << 20)

/* sysmmu_block(): as many looks at the status, without a pause, and then one more. */
#define BLOCK_TRIES 120

/* The TLB of version 2 has 64 sets. A page of 64 KiB is in one of 16 that follow each other, one of 1 MiB in any. */
#define V2_SETS 64

/** A bit of the interrupt status, by which the driver tells why. */
struct fault_bit {
	const char *name; /* as printed; NULL: the driver does not know the bit */
	bool write;
	uint32_t address; /* register that holds it */
};

struct layout {
	uint32_t pt_base, flush_all, flush_entry, int_status, int_clear;
	uint32_t ctrl_vm;    /* 0: there is none */
	uint32_t fault_info; /* tells reads from writes; 0: the bit does */
	unsigned pt_base_shift;
	uint8_t translation[2], permission[2]; /* bit of each reason; of a read and of a write */
	unsigned fault_bits; /* after so many they begin anew, for the next virtual machine */
	struct fault_bit faults[21];
};

static const struct layout layout_v1 = {
	.pt_base = 0x14,
	.flush_all = 0x0c,
	.flush_entry = 0x10,
	.int_status = 0x18,
	.int_clear = 0x1c,
	.translation = {0, 0},
	.permission = {5, 7},
	.fault_bits = 32,
	.faults = {{"PAGE", false, 0x24},
		   {"AR MULTI-HIT", false, 0x2c},
		   {"AW MULTI-HIT", true, 0x28},
		   {"BUS ERROR", false, 0x30},
		   {"AR SECURITY PROTECTION", false, 0x2c},
		   {"AR ACCESS PROTECTION", false, 0x2c},
		   {"AW SECURITY PROTECTION", true, 0x28},
		   {"AW ACCESS PROTECTION", true, 0x28}},
};

#define V5_FAULTS(first, write, address)                                               \
	[(first)] = {"PTW", write, address}, [(first) + 1] = {"PAGE", write, address}, \
	[(first) + 2] = {"MULTI-HIT", write, address},                                 \
	[(first) + 3] = {"ACCESS PROTECTION", write, address},                         \
	[(first) + 4] = {"SECURITY PROTECTION", write, address}

static const struct layout layout_v5 = {
	.pt_base = 0x0c,
	.pt_base_shift = 12,
	.flush_all = 0x10,
	.flush_entry = 0x14,
	.int_status = 0x60,
	.int_clear = 0x64,
	.translation = {1, 17},
	.permission = {3, 19},
	.fault_bits = 32,
	.faults = {V5_FAULTS(0, false, 0x70), V5_FAULTS(16, true, 0x80)},
};

#define V7_FAULTS(address)                                                                        \
	{"PTW", false, address}, {"PAGE", false, address}, {"ACCESS PROTECTION", false, address}, \
	{                                                                                         \
		"RESERVED", false, address                                                        \
	}

static const struct layout layout_v7 = {
	.pt_base = 0x0c,
	.pt_base_shift = 12,
	.flush_all = 0x10,
	.flush_entry = 0x14,
	.int_status = 0x60,
	.int_clear = 0x64,
	.fault_info = 0x78,
	.translation = {1, 1},
	.permission = {2, 2},
	.fault_bits = 4,
	.faults = {V7_FAULTS(0x70)},
};

static const struct layout layout_v7_vm = {
	.pt_base = 0x800c,
	.pt_base_shift = 12,
	.flush_all = 0x8010,
	.flush_entry = 0x8014,
	.int_status = 0x60,
	.int_clear = 0x64,
	.ctrl_vm = 0x8000,
	.fault_info = 0x1004,
	.translation = {1, 1},
	.permission = {2, 2},
	.fault_bits = 4,
	.faults = {V7_FAULTS(0x1000)},
};

#define VERSION_USUAL 500 /* Exynos 5433 and 7 */

struct sysmmu {
	const struct layout *layout;
	unsigned version;
	bool fault_handler;
};

static const struct sysmmu *sysmmu(const struct iommu *iommu)
{
	return iommu->state;
}

unsigned exynos_version(const struct iommu *iommu)
{
	return sysmmu(iommu)->version;
}

static int exynos_init(struct iommu *iommu, const struct iommu_hw_config *config)
{
	unsigned version = config->version ? config->version : VERSION_USUAL;
	struct sysmmu *mmu = iommu->state;
	bool vm = config->features & EXYNOS_VM;

	if (version < 100 || version >= 800 || (vm && version < 700) ||
	    config->features & ~(unsigned)(EXYNOS_VM | EXYNOS_FAULT_HANDLER))
		return -EINVAL;
	mmu->version = version;
	mmu->layout = version < 500   ? &layout_v1
		      : version < 700 ? &layout_v5
		      : vm	      ? &layout_v7_vm
				      : &layout_v7;
	mmu->fault_handler = config->features & EXYNOS_FAULT_HANDLER;
	return 0;
}

static void exynos_domain_config(const struct iommu *iommu, struct pgtable_config *config)
{
	config->ias_bits = 32;
	config->oas_bits = exynos_version(iommu) < 500 ? 32 : 36;
	config->page_sizes = 0;
	config->quirks = 0;
	config->incoherent = true;
}

/* Invalidation. */

static void sysmmu_unblock(struct iommu *iommu)
{
	iommu_writel(iommu, REG_CTRL, CTRL_ENABLE);
}

/** Makes the unit stop. Where it does not, whatever was to be done is left undone, without a word. */
static bool sysmmu_block(struct iommu *iommu)
{
	int err;

	iommu_writel(iommu, REG_CTRL, CTRL_BLOCK);
	err = iommu_poll(iommu, BLOCK_TRIES, 0);
	iommu_readl(iommu); /* the status once more */
	if (err)
		sysmmu_unblock(iommu);
	return !err;
}

static void flush_everything(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, sysmmu(iommu)->layout->flush_all, 1);
	iotlb_invalidate_domain(iommu->tlb, domain->id);
}

/** Invalidates what covers the page at @iova; of the FLPD cache, too, before version 5. */
static void flush_entry(struct iommu_domain *domain, uint64_t iova)
{
	struct iommu *iommu = domain->iommu;
	uint64_t page = iova & ~(uint64_t)(FRAME_SIZE - 1);

	iommu->stats.invalidate_commands++;
	iommu_writel(iommu, sysmmu(iommu)->layout->flush_entry, (uint32_t)page | FLUSH_ENTRY_VALID);
	iotlb_invalidate(iommu->tlb, domain->id, page, page + FRAME_SIZE - 1, exynos_version(iommu) >= 500);
}

/** sysmmu_tlb_invalidate_entry(): once, whatever the page's size, but for the sets of version 2. */
static void flush_page(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	struct iommu *iommu = domain->iommu;
	uint64_t count = exynos_version(iommu) / 100 == 2 ? MIN(size / FRAME_SIZE, V2_SETS) : 1;

	if (!sysmmu_block(iommu))
		return;
	for (uint64_t i = 0; i < count; i++)
		flush_entry(domain, iova + i * FRAME_SIZE);
	sysmmu_unblock(iommu);
}

/** sysmmu_tlb_invalidate_flpdcache() */
static void flush_flpd_cache(struct iommu_domain *domain, uint64_t iova)
{
	struct iommu *iommu = domain->iommu;

	if (exynos_version(iommu) < 303 || !sysmmu_block(iommu))
		return;
	if (exynos_version(iommu) < 500)
		flush_entry(domain, iova);
	else
		flush_everything(domain);
	sysmmu_unblock(iommu);
}

/** Of a table that is no longer there nothing is flushed. */
static void exynos_table_changed(uint64_t iova, uint64_t entry, bool linked, void *cookie)
{
	if (linked)
		flush_flpd_cache(cookie, iova);
}

/** A page that was mapped, of whatever size, flushes nothing. */
static void exynos_page_changed(uint64_t iova, uint64_t size, uint64_t entry, bool mapped, void *cookie)
{
	if (!mapped)
		flush_page(cookie, iova, size);
}

static const struct pgtable_tlb_ops exynos_tlb_ops = {
	.table_changed = exynos_table_changed,
	.page_changed = exynos_page_changed,
};

static void exynos_domain_init(struct iommu_domain *domain)
{
	domain->pt->tlb = &exynos_tlb_ops;
	domain->pt->tlb_cookie = domain;
}

/** The driver has none: what was unmapped has been invalidated. */
static void exynos_flush_iotlb_all(struct iommu_domain *domain)
{
}

/* Attachment. */

static uint32_t configuration(unsigned version)
{
	if (version <= 301)
		return CFG_EAP | CFG_QOS_HIGH | CFG_LRU;
	if (version <= 302)
		return CFG_EAP | CFG_QOS_HIGH | CFG_LRU | CFG_FLPD_CACHE | CFG_SYSSEL;
	return CFG_EAP | CFG_QOS_HIGH | CFG_FLPD_CACHE | CFG_ACGEN;
}

/** __sysmmu_enable() */
static int exynos_attach(struct iommu_domain *domain)
{
	struct iommu *iommu = domain->iommu;
	const struct layout *layout = sysmmu(iommu)->layout;

	iommu_writel(iommu, REG_CTRL, CTRL_BLOCK);
	iommu_writel(iommu, REG_CFG, configuration(exynos_version(iommu)));
	iommu_writel(iommu, layout->pt_base, (uint32_t)(pgtable_root(domain->pt) >> layout->pt_base_shift));
	flush_everything(domain);
	if (layout->ctrl_vm)
		iommu_writel(iommu, layout->ctrl_vm, CTRL_VM_ENABLE | CTRL_VM_FAULT_STALL);
	sysmmu_unblock(iommu);
	return 0;
}

/* Faults. */

static void exynos_fault_latch(const struct iommu *iommu, const struct iommu_fault *fault,
			       struct iommu_registers *ret_registers)
{
	const struct layout *layout = sysmmu(iommu)->layout;
	const uint8_t *bits =
		fault->reason == IOMMU_FAULT_PERMISSION ? layout->permission : layout->translation;
	unsigned bit = bits[fault->write];

	iommu_registers_add(ret_registers, layout->int_status, 1u << bit);
	iommu_registers_add(ret_registers, layout->faults[bit].address, (uint32_t)fault->iova);
	if (layout->fault_info)
		iommu_registers_add(ret_registers, layout->fault_info, fault->write ? FAULT_INFO_WRITE : 0);
}

/** Returns what @bit of the status says. */
static const struct fault_bit *fault_of(const struct layout *layout, unsigned bit)
{
	static const struct fault_bit unknown = {0};

	bit %= layout->fault_bits;
	return bit < G_N_ELEMENTS(layout->faults) ? &layout->faults[bit] : &unknown;
}

/** Appends what is known of @fault. Returns whether somebody takes care of it. */
static bool report(struct iommu *iommu, const struct fault_bit *fault,
		   const struct iommu_registers *registers, GString *out)
{
	const struct layout *layout = sysmmu(iommu)->layout;
	bool write = fault->write;

	iommu_readl(iommu); /* the address */
	if (layout->fault_info) {
		iommu_readl(iommu);
		write = iommu_registers_get(registers, layout->fault_info) & FAULT_INFO_WRITE;
	}
	g_string_append_printf(out, "[%s] %s FAULT occurred at 0x%" G_GINT64_MODIFIER "x\n",
			       write ? "WRITE" : "READ", fault->name,
			       iommu_registers_get(registers, fault->address));
	if (!sysmmu(iommu)->fault_handler)
		g_string_append(out, "Kernel panic - not syncing: Unrecoverable System MMU Fault!\n");
	return sysmmu(iommu)->fault_handler;
}

/** exynos_sysmmu_irq(). The unit has stopped; after a panic nobody lets it go on. */
static void exynos_fault_handle(struct iommu *iommu, const struct iommu_registers *registers, GString *out)
{
	const struct layout *layout = sysmmu(iommu)->layout;
	uint32_t status = (uint32_t)iommu_registers_get(registers, layout->int_status);
	unsigned bit;

	iommu_readl(iommu); /* the status */
	if (!status)
		return;
	bit = (unsigned)__builtin_ctz(status);
	if (!fault_of(layout, bit)->name)
		g_string_append_printf(out, "Unhandled interrupt bit %u\n", bit);
	else if (!report(iommu, fault_of(layout, bit), registers, out))
		return;
	iommu_writel(iommu, layout->int_clear, 1u << bit);
	sysmmu_unblock(iommu);
}

const struct iommu_hw_ops exynos_ops = {
	.name = "exynos-sysmmu",
	.description = "Samsung Exynos SysMMU, versions 1 to 7",
	.format = &exynos_sysmmu_ops,
	.state_size = sizeof(struct sysmmu),
	.init = exynos_init,
	.domain_config = exynos_domain_config,
	.domain_init = exynos_domain_init,
	.attach = exynos_attach,
	.tlb = {.entries = 512, .ways = 8, .walk_entries = 16, .walk_caches_faults = true},
	.tlb_source = "stated for version 2, assumed for the others; size of the FLPD cache assumed",
	.flush_iotlb_all = exynos_flush_iotlb_all,
	.fault_latch = exynos_fault_latch,
	.fault_handle = exynos_fault_handle,
};
