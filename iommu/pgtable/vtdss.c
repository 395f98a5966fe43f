/* SPDX-License-Identifier: MIT */

/*
 * Intel VT-d second stage. Sources: drivers/iommu/generic_pt/fmt/vtdss.h; Intel Virtualization Technology for
 * Directed I/O, revision 4.1, sections 3.7 and 9.8.
 */
#include "iommu/pgtable/formats.h"
#include "iommu/pgtable/generic-pt-levels.h"

#define VTD_READ  (UINT64_C(1) << 0)
#define VTD_WRITE (UINT64_C(1) << 1)
#define VTD_SIZE  (UINT64_C(1) << 7)  /* a leaf above level 0 */
#define VTD_SNOOP (UINT64_C(1) << 11) /* of a leaf */

#define ENTRY_ADDRESS	  UINT64_C(0x000ffffffffff000)
#define TABLE_FLUSHED	  (UINT64_C(1) << 10)
#define LEAVES_CONTIGUOUS 0

static inline enum pgtable_entry_kind entry_kind(unsigned level, uint64_t raw)
{
	if (!(raw & (VTD_READ | VTD_WRITE)))
		return ENTRY_EMPTY;
	return level == 0 || raw & VTD_SIZE ? ENTRY_LEAF : ENTRY_TABLE;
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
	_Static_assert(PROT_READ == VTD_READ, "bit 0");
	_Static_assert(PROT_WRITE == VTD_WRITE, "bit 1");
	return (unsigned)(raw & (VTD_READ | VTD_WRITE));
}

static inline unsigned leaf_contig_lg2(unsigned level, uint64_t raw)
{
	return 0;
}

static inline uint64_t leaf_entry(unsigned level, unsigned size_lg2, uint64_t paddr, uint64_t attrs)
{
	return paddr | attrs | (level ? VTD_SIZE : 0);
}

static inline uint64_t table_entry(unsigned level, uint64_t addr)
{
	return addr | VTD_READ | VTD_WRITE;
}

#include "iommu/pgtable/generic-pt.h"

static int vtdss_init(struct pgtable *pt)
{
	const struct pgtable_config *config = &pt->config;

	if (config->top_level < 2 || config->top_level > 4 ||
	    config->ias_bits > level_lg2(config->top_level + 1) || config->ias_bits <= PAGE_LG2 ||
	    config->oas_bits > 52 || config->oas_bits <= PAGE_LG2 || config->dynamic_top ||
	    config->sign_extend)
		return -EINVAL;
	return generic_pt_init(pt);
}

static int vtdss_map_range(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			   uint64_t *mapped)
{
	uint64_t attrs = prot & (PROT_READ | PROT_WRITE);

	*mapped = 0;
	if (!attrs) {
		sim_find(pt->sim, FINDING_KERNEL_WARNING, NULL, "map without read or write permission");
		return -EINVAL;
	}
	if (paddr >> pt->config.oas_bits)
		return -ERANGE;
	if (pt->config.force_writeable && !(attrs & PROT_WRITE))
		return -EINVAL;
	if (pt->config.force_coherence)
		attrs |= VTD_SNOOP;
	return generic_pt_map(pt, iova, paddr, len, attrs, mapped);
}

/** What intel_iommu writes into a context or PASID entry: the root, and the address width code. */
static void vtdss_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "ssptptr=0x%" G_GINT64_MODIFIER "x aw=%u",
			       pt->root_paddr + pt->config.table_offset, pt->config.top_level - 1);
}

static void vtdss_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"R", VTD_READ},    {"W", VTD_WRITE},	 {"PS", VTD_SIZE}, {"flushed", TABLE_FLUSHED},
		{"SNP", VTD_SNOOP}, {"", ENTRY_ADDRESS}, {NULL, 0},
	};

	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config vtdss_geometries[] = {
	{.ias_bits = 39, .oas_bits = 52, .top_level = 2},
	{.ias_bits = 48, .oas_bits = 52, .top_level = 3},
	{.ias_bits = 57, .oas_bits = 52, .top_level = 4},
	{0},
};

const struct pgtable_ops vtdss_ops = {
	.name = "vtdss",
	.description = "Intel VT-d second stage",
	.geometries = vtdss_geometries,
	.page_sizes = UINT64_C(1) << 12 | UINT64_C(1) << 21 | UINT64_C(1) << 30,
	.state_size = sizeof(struct generic_pt),
	.init = vtdss_init,
	.map_range = vtdss_map_range,
	.unmap_range = generic_pt_unmap_range,
	.walk = generic_pt_walk,
	.walk_from = generic_pt_walk_from,
	.lookup = generic_pt_lookup,
	.decode = generic_pt_decode,
	.root_registers = vtdss_root_registers,
	.describe = vtdss_describe,
};
