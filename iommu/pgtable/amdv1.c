/* SPDX-License-Identifier: MIT */

/*
 * AMD I/O virtualization, host (v1) page tables. Sources: drivers/iommu/generic_pt/fmt/amdv1.h; AMD I/O
 * Virtualization Technology (IOMMU) Specification, revision 3.10, section 2.2.3.
 */
#include "iommu/pgtable/formats.h"
#include "iommu/pgtable/generic-pt-levels.h"

#define AMD_PRESENT	   (UINT64_C(1) << 0)
#define AMD_NEXT_LEVEL_LG2 9
#define AMD_NEXT_LEVEL	   (UINT64_C(7) << AMD_NEXT_LEVEL_LG2) /* 0: a leaf of this level's size */
#define AMD_NEXT_SIZED	   AMD_NEXT_LEVEL /* a leaf, of the size that the lowest bits of its address tell */
#define AMD_COHERENT	   (UINT64_C(1) << 60)
#define AMD_PROT_LG2	   61 /* read, then write */
#define AMD_READ	   (UINT64_C(1) << 61)
#define AMD_WRITE	   (UINT64_C(1) << 62)

#define ENTRY_ADDRESS	  UINT64_C(0x000ffffffffff000)
#define TABLE_FLUSHED	  0
#define LEAVES_CONTIGUOUS 1

static inline enum pgtable_entry_kind entry_kind(unsigned level, uint64_t raw)
{
	uint64_t next = raw & AMD_NEXT_LEVEL;

	if (!(raw & AMD_PRESENT))
		return ENTRY_EMPTY;
	return level == 0 || next == 0 || next == AMD_NEXT_SIZED ? ENTRY_LEAF : ENTRY_TABLE;
}

static inline uint64_t address_field(uint64_t addr)
{
	return addr;
}

static inline uint64_t entry_paddr(uint64_t raw)
{
	return raw & ENTRY_ADDRESS;
}

static inline unsigned entry_prot(uint64_t raw)
{
	_Static_assert(PROT_READ == AMD_READ >> AMD_PROT_LG2, "bit 0");
	_Static_assert(PROT_WRITE == AMD_WRITE >> AMD_PROT_LG2, "bit 1");
	return (unsigned)(raw >> AMD_PROT_LG2) & (PROT_READ | PROT_WRITE);
}

/* A sized leaf of 2^n bytes has the bits from 12 to n - 2 set and bit n - 1 clear. */

static inline unsigned leaf_contig_lg2(unsigned level, uint64_t raw)
{
	if ((raw & AMD_NEXT_LEVEL) != AMD_NEXT_SIZED)
		return 0;
	return PAGE_LG2 + 1 + (unsigned)__builtin_ctzll(~(raw >> PAGE_LG2)) - level_lg2(level);
}

static inline uint64_t leaf_entry(unsigned level, unsigned size_lg2, uint64_t paddr, uint64_t attrs)
{
	uint64_t raw = paddr | attrs;

	if (size_lg2 != level_lg2(level))
		raw |= AMD_NEXT_SIZED | (((UINT64_C(1) << (size_lg2 - 1)) - 1) & ENTRY_ADDRESS);
	return raw;
}

static inline uint64_t table_entry(unsigned level, uint64_t addr)
{
	return addr | AMD_PRESENT | (uint64_t)level << AMD_NEXT_LEVEL_LG2 | AMD_READ | AMD_WRITE;
}

#include "iommu/pgtable/generic-pt.h"

/* Every power of two from 4 KiB on that has an address bit above it, but 512 GiB. */
#define AMD_PAGE_SIZES (((UINT64_C(1) << 52) - 1) & ~((UINT64_C(1) << PAGE_LG2) - 1) & ~(UINT64_C(1) << 39))

static uint64_t amdv1_config_page_sizes(const struct pgtable_config *config)
{
	unsigned bits = MIN(config->ias_bits, config->oas_bits);

	return bits < 64 ? AMD_PAGE_SIZES & ((UINT64_C(1) << bits) - 1) : AMD_PAGE_SIZES;
}

static int amdv1_init(struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;

	if (config->top_level >= PGTABLE_LEVELS_MAX || config->ias_bits > 64 ||
	    config->ias_bits <= PAGE_LG2 || config->oas_bits > 52 || config->oas_bits <= PAGE_LG2 ||
	    config->incoherent || config->sign_extend)
		return -EINVAL;
	return generic_pt_init(pt);
}

static int amdv1_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			   uint64_t *mapped)
{
	uint64_t attrs = (uint64_t)(prot & (PROT_READ | PROT_WRITE)) << AMD_PROT_LG2;

	*mapped = 0;
	if (!attrs) {
		sim_find(pt->sim, FINDING_KERNEL_WARNING, NULL, "map without read or write permission");
		return -EINVAL;
	}
	if (paddr >> pt->config.oas_bits)
		return -ERANGE;
	if (pt->config.force_coherence)
		attrs |= AMD_COHERENT;
	return generic_pt_map(pt, iova, paddr, len, attrs | AMD_PRESENT, mapped);
}

/** What goes into a device table entry: the root, and how many levels there are. */
static void amdv1_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "host_pt_root=0x%" G_GINT64_MODIFIER "x mode=%u",
			       pt->root_paddr + pt->config.table_offset, pt->config.top_level + 1);
}

static void amdv1_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"PR", AMD_PRESENT},
		{"D", UINT64_C(1) << 6},
		{"NextLevel", AMD_NEXT_LEVEL},
		{"", ENTRY_ADDRESS},
		{"FC", AMD_COHERENT},
		{"IR", AMD_READ},
		{"IW", AMD_WRITE},
		{NULL, 0},
	};

	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config amdv1_geometries[] = {
	{.ias_bits = 64, .oas_bits = 52, .top_level = 5, .dynamic_top = true},
	{0},
};

const struct pgtable_ops amdv1_ops = {
	.name = "amdv1",
	.description = "AMD host (v1) tables",
	.geometries = amdv1_geometries,
	.page_sizes = AMD_PAGE_SIZES,
	.config_page_sizes = amdv1_config_page_sizes,
	.state_size = sizeof(struct generic_pt),
	.init = amdv1_init,
	.map_range = amdv1_map_range,
	.unmap_range = generic_pt_unmap_range,
	.walk = generic_pt_walk,
	.walk_from = generic_pt_walk_from,
	.lookup = generic_pt_lookup,
	.decode = generic_pt_decode,
	.root_registers = amdv1_root_registers,
	.describe = amdv1_describe,
};
