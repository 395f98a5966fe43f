/* SPDX-License-Identifier: MIT */

/*
 * RISC-V Sv39, Sv48 and Sv57, with or without the 64 KiB pages of Svnapot. Sources:
 * drivers/iommu/generic_pt/fmt/riscv.h; The RISC-V Instruction Set Manual, volume II, sections 12.3 to 12.7;
 * RISC-V IOMMU Architecture Specification, section 3.3 (first-stage context).
 */
#include "iommu/pgtable/formats.h"
#include "iommu/pgtable/generic-pt-levels.h"

#define RISCV_VALID    (UINT64_C(1) << 0)
#define RISCV_READ     (UINT64_C(1) << 1)
#define RISCV_WRITE    (UINT64_C(1) << 2)
#define RISCV_EXECUTE  (UINT64_C(1) << 3)
#define RISCV_USER     (UINT64_C(1) << 4)
#define RISCV_ACCESSED (UINT64_C(1) << 6)
#define RISCV_DIRTY    (UINT64_C(1) << 7)
#define RISCV_NAPOT    (UINT64_C(1) << 63) /* one of 16 entries of a 64 KiB leaf */
#define RISCV_PPN_LG2  10

#define NAPOT_LG2 16
#define NAPOT_PPN (UINT64_C(8) << RISCV_PPN_LG2) /* in the lowest bits of the page number: 16 entries */

#define ENTRY_ADDRESS	  UINT64_C(0x003ffffffffffc00)
#define TABLE_FLUSHED	  0
#define LEAVES_CONTIGUOUS 1

static inline enum pgtable_entry_kind entry_kind(unsigned level, uint64_t raw)
{
	if (!(raw & RISCV_VALID))
		return ENTRY_EMPTY;
	return level == 0 || raw & (RISCV_READ | RISCV_WRITE | RISCV_EXECUTE) ? ENTRY_LEAF : ENTRY_TABLE;
}

static inline uint64_t address_field(uint64_t addr)
{
	return addr >> (PAGE_LG2 - RISCV_PPN_LG2);
}

static inline uint64_t entry_paddr(uint64_t raw)
{
	return (raw & ENTRY_ADDRESS) << (PAGE_LG2 - RISCV_PPN_LG2);
}

static inline unsigned entry_prot(uint64_t raw)
{
	unsigned prot = 0;

	_Static_assert(RISCV_READ == PROT_READ << 1, "bit 1");
	_Static_assert(RISCV_WRITE == PROT_WRITE << 1, "bit 2");
	prot |= (unsigned)(raw & (RISCV_READ | RISCV_WRITE)) >> 1;
	return raw & RISCV_EXECUTE ? prot : prot | PROT_NOEXEC;
}

static inline unsigned leaf_contig_lg2(unsigned level, uint64_t raw)
{
	return raw & RISCV_NAPOT ? NAPOT_LG2 - PAGE_LG2 : 0;
}

static inline uint64_t leaf_entry(unsigned level, unsigned size_lg2, uint64_t paddr, uint64_t attrs)
{
	uint64_t raw = address_field(paddr) | attrs;

	return size_lg2 == NAPOT_LG2 ? raw | RISCV_NAPOT | NAPOT_PPN : raw;
}

static inline uint64_t table_entry(unsigned level, uint64_t addr)
{
	return address_field(addr) | RISCV_VALID;
}

#include "iommu/pgtable/generic-pt.h"

static uint64_t riscv64_config_page_sizes(const struct pgtable_config *config)
{
	uint64_t sizes = config->contiguous_64k ? UINT64_C(1) << NAPOT_LG2 : 0;

	for (unsigned level = 0; level <= config->top_level; level++)
		sizes |= UINT64_C(1) << level_lg2(level);
	return sizes;
}

static int riscv64_init(struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;

	if (config->top_level < 2 || config->top_level > 4 ||
	    config->ias_bits != level_lg2(config->top_level + 1) || config->oas_bits > 56 ||
	    config->oas_bits <= PAGE_LG2 || config->incoherent || config->dynamic_top)
		return -EINVAL;
	return generic_pt_init(pt);
}

static int riscv64_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			     uint64_t *mapped)
{
	uint64_t attrs = RISCV_VALID | RISCV_READ | RISCV_USER | RISCV_ACCESSED;

	*mapped = 0;
	if (!(prot & (PROT_READ | PROT_WRITE))) {
		sim_find(pt->sim, FINDING_KERNEL_WARNING, NULL, "map without read or write permission");
		return -EINVAL;
	}
	if (paddr >> pt->config.oas_bits)
		return -ERANGE;
	if (prot & PROT_WRITE)
		attrs |= RISCV_WRITE | RISCV_DIRTY;
	if (!(prot & PROT_NOEXEC))
		attrs |= RISCV_EXECUTE;
	return generic_pt_map(pt, iova, paddr, len, attrs, mapped);
}

/** What goes into a device's first-stage context: the root's page number, and the mode: 8, 9, 10 for three,
 * four, five levels. */
static void riscv64_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "ppn=0x%" G_GINT64_MODIFIER "x fsc_iosatp_mode=%u",
			       (pt->root_paddr + pt->config.table_offset) >> PAGE_LG2,
			       pt->config.top_level + 6);
}

static void riscv64_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"V", RISCV_VALID}, {"R", RISCV_READ},
		{"W", RISCV_WRITE}, {"X", RISCV_EXECUTE},
		{"U", RISCV_USER},  {"A", RISCV_ACCESSED},
		{"D", RISCV_DIRTY}, {"", ENTRY_ADDRESS},
		{"N", RISCV_NAPOT}, {NULL, 0},
	};

	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config riscv64_geometries[] = {
	{.ias_bits = 39, .oas_bits = 56, .top_level = 2, .contiguous_64k = true},
	{.ias_bits = 48, .oas_bits = 56, .top_level = 3, .contiguous_64k = true},
	{.ias_bits = 57, .oas_bits = 56, .top_level = 4, .contiguous_64k = true},
	{0},
};

const struct pgtable_ops riscv64_ops = {
	.name = "riscv_64",
	.description = "RISC-V Sv39, Sv48, Sv57",
	.geometries = riscv64_geometries,
	.page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 16 | UINT64_C(1) << 21 | UINT64_C(1) << 30 |
		      UINT64_C(1) << 39 | UINT64_C(1) << 48,
	.config_page_sizes = riscv64_config_page_sizes,
	.state_size = sizeof(struct generic_pt),
	.init = riscv64_init,
	.map_range = riscv64_map_range,
	.unmap_range = generic_pt_unmap_range,
	.walk = generic_pt_walk,
	.walk_from = generic_pt_walk_from,
	.lookup = generic_pt_lookup,
	.decode = generic_pt_decode,
	.root_registers = riscv64_root_registers,
	.describe = riscv64_describe,
};
