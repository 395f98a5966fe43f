/* SPDX-License-Identifier: MIT */

/*
 * The page tables of x86-64 processors, as the first stage of Intel VT-d and AMD's v2 tables use them.
 * Sources: drivers/iommu/generic_pt/fmt/x86_64.h; Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 3A, section 4.5.
 */
#include "iommu/pgtable/formats.h"
#include "iommu/pgtable/generic-pt-levels.h"

#define X86_PRESENT  (UINT64_C(1) << 0)
#define X86_WRITE    (UINT64_C(1) << 1)
#define X86_USER     (UINT64_C(1) << 2)
#define X86_ACCESSED (UINT64_C(1) << 5)
#define X86_DIRTY    (UINT64_C(1) << 6)
#define X86_SIZE     (UINT64_C(1) << 7) /* a leaf above level 0 */

#define ENTRY_ADDRESS	  UINT64_C(0x000ffffffffff000)
#define TABLE_FLUSHED	  (UINT64_C(1) << 9)
#define LEAVES_CONTIGUOUS 0

static inline enum pgtable_entry_kind entry_kind(unsigned level, uint64_t raw)
{
	if (!(raw & X86_PRESENT))
		return ENTRY_EMPTY;
	return level == 0 || raw & X86_SIZE ? ENTRY_LEAF : ENTRY_TABLE;
}

static inline uint64_t address_field(uint64_t addr)
{
	return addr;
}

static inline uint64_t entry_paddr(uint64_t raw)
{
	return raw & ENTRY_ADDRESS;
}

/** What is present can be read. */
static inline unsigned entry_prot(uint64_t raw)
{
	return raw & X86_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
}

static inline unsigned leaf_contig_lg2(unsigned level, uint64_t raw)
{
	return 0;
}

static inline uint64_t leaf_entry(unsigned level, unsigned size_lg2, uint64_t paddr, uint64_t attrs)
{
	return paddr | attrs | (level ? X86_SIZE : 0);
}

static inline uint64_t table_entry(unsigned level, uint64_t addr)
{
	return addr | X86_PRESENT | X86_WRITE | X86_USER | X86_ACCESSED;
}

#include "iommu/pgtable/generic-pt.h"

static int x86_64_init(struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;

	if (config->top_level < 3 || config->top_level > 4 ||
	    config->ias_bits > level_lg2(config->top_level + 1) || config->ias_bits <= PAGE_LG2 ||
	    config->oas_bits > 52 || config->oas_bits <= PAGE_LG2 || config->dynamic_top)
		return -EINVAL;
	return generic_pt_init(pt);
}

static int x86_64_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			    uint64_t *mapped)
{
	uint64_t attrs = X86_PRESENT | X86_USER | X86_ACCESSED;

	*mapped = 0;
	if (!(prot & (PROT_READ | PROT_WRITE))) {
		sim_find(pt->sim, FINDING_KERNEL_WARNING, NULL, "map without read or write permission");
		return -EINVAL;
	}
	if (paddr >> pt->config.oas_bits)
		return -ERANGE;
	if (prot & PROT_WRITE)
		attrs |= X86_WRITE | X86_DIRTY;
	return generic_pt_map(pt, iova, paddr, len, attrs, mapped);
}

/** What goes into a PASID or GCR3 table entry: the root, and how many levels there are. */
static void x86_64_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "gcr3_pt=0x%" G_GINT64_MODIFIER "x levels=%u",
			       pt->root_paddr + pt->config.table_offset, pt->config.top_level + 1);
}

static void x86_64_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"P", X86_PRESENT},	    {"RW", X86_WRITE},	 {"US", X86_USER},
		{"A", X86_ACCESSED},	    {"D", X86_DIRTY},	 {"PS", X86_SIZE},
		{"flushed", TABLE_FLUSHED}, {"", ENTRY_ADDRESS}, {NULL, 0},
	};

	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config x86_64_geometries[] = {
	{.ias_bits = 48, .oas_bits = 52, .top_level = 3},
	{.ias_bits = 57, .oas_bits = 52, .top_level = 4},
	{0},
};

const struct pgtable_ops x86_64_ops = {
	.name = "x86_64",
	.description = "x86-64: Intel VT-d first stage, AMD v2 tables",
	.geometries = x86_64_geometries,
	.page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30,
	.state_size = sizeof(struct generic_pt),
	.init = x86_64_init,
	.map_range = x86_64_map_range,
	.unmap_range = generic_pt_unmap_range,
	.walk = generic_pt_walk,
	.walk_from = generic_pt_walk_from,
	.lookup = generic_pt_lookup,
	.decode = generic_pt_decode,
	.root_registers = x86_64_root_registers,
	.describe = x86_64_describe,
};
