/* SPDX-License-Identifier: MIT */

/*
 * Apple DART, both generations. Source: drivers/iommu/io-pgtable-dart.c.
 *
 * One page size, leaves in the last level only. The uppermost bits of an IOVA may choose one of up to four roots. The
 * kernel counts levels with those roots as one.
 */
#include "iommu/pgtable/formats.h"

#define DART_VALID	    (UINT64_C(1) << 0)
#define DART_SUBPAGES_WHOLE (UINT64_C(0xfff) << 40) /* the page is mapped from its subpage 0 to its last */

#define DART1_SUBPAGE_OFF (UINT64_C(1) << 1)
#define DART1_NO_WRITE	  (UINT64_C(1) << 7)
#define DART1_NO_READ	  (UINT64_C(1) << 8)
#define DART1_ADDRESS	  UINT64_C(0x0000000ffffff000)

#define DART2_NO_CACHE (UINT64_C(1) << 1)
#define DART2_NO_WRITE (UINT64_C(1) << 2)
#define DART2_NO_READ  (UINT64_C(1) << 3)
#define DART2_ADDRESS  UINT64_C(0x0000003ffffffc00) /* holds the address divided by 16 */

struct dart {
	struct pgtable pt;
	bool second;
};

static inline bool dart_second(const struct pgtable *pt)
{
	return ((const struct dart *)pt)->second;
}

static inline uint64_t address_mask(const struct pgtable *pt)
{
	return dart_second(pt) ? DART2_ADDRESS : DART1_ADDRESS;
}

static inline uint64_t address_field(const struct pgtable *pt, uint64_t paddr)
{
	return (dart_second(pt) ? paddr >> 4 : paddr) & address_mask(pt);
}

static inline uint64_t field_address(const struct pgtable *pt, uint64_t raw)
{
	uint64_t field = raw & address_mask(pt);

	return dart_second(pt) ? field << 4 : field;
}

static inline uint64_t entry_table(const struct pgtable *pt, uint64_t raw)
{
	return field_address(pt, raw) - pt->config.table_offset;
}

static inline unsigned entry_prot(const struct pgtable *pt, uint64_t raw)
{
	uint64_t no_write = dart_second(pt) ? DART2_NO_WRITE : DART1_NO_WRITE;
	uint64_t no_read = dart_second(pt) ? DART2_NO_READ : DART1_NO_READ;

	return (raw & no_read ? 0 : PROT_READ) | (raw & no_write ? 0 : PROT_WRITE);
}

typedef uint64_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint64_t raw,
				struct pgtable_entry *ret_entry)
{
	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (!(raw & DART_VALID))
		return;
	ret_entry->attr = raw & ~address_mask(pt);
	if (level) {
		ret_entry->kind = ENTRY_TABLE;
		ret_entry->paddr = entry_table(pt, raw);
	} else {
		ret_entry->kind = ENTRY_LEAF;
		ret_entry->paddr = field_address(pt, raw);
		ret_entry->prot = entry_prot(pt, raw);
	}
}

#include "iommu/pgtable/io-pgtable.h"

#define DART_SIZES (UINT64_C(1) << 12 | UINT64_C(1) << 14)

/** The one size asked for; 16 KiB unless asked. */
static uint64_t dart_page_sizes(const struct pgtable_config *config)
{
	return config->page_sizes ? config->page_sizes & DART_SIZES : UINT64_C(1) << 14;
}

static int dart_roots_alloc(struct pgtable *pt, unsigned roots_lg2)
{
	pt->root_count = 0;
	for (unsigned i = 0; i < 1u << roots_lg2; i++) {
		int err = pgtable_table_alloc(pt, pt->config.top_level, &pt->roots[i]);

		if (err) {
			while (i-- > 0)
				pgtable_free_tables(pt, pt->config.top_level, pt->roots[i]);
			return err;
		}
	}
	pt->root_count = (uint8_t)(1u << roots_lg2);
	pt->root_paddr = pt->roots[0];
	if (entry_table(pt, address_field(pt, pt->root_paddr + pt->config.table_offset)) == pt->root_paddr)
		return 0;
	for (unsigned i = 0; i < pt->root_count; i++)
		pgtable_free_tables(pt, pt->config.top_level,
				    pt->roots[i]); /* entries have no room for such an address */
	return -EINVAL;
}

static int dart_init(struct pgtable *pt, bool second)
{
	struct pgtable_config *config = &pt->config;
	unsigned page_lg2, index_lg2, levels, width_lg2;

	if (!pt->page_sizes || pt->page_sizes & (pt->page_sizes - 1) || config->incoherent ||
	    config->quirks || (config->oas_bits != 36 && config->oas_bits != 42) ||
	    config->ias_bits > config->oas_bits)
		return -EINVAL;
	((struct dart *)pt)->second = second;
	page_lg2 = (unsigned)__builtin_ctzll(pt->page_sizes);
	index_lg2 = page_lg2 - 3;
	levels = config->ias_bits > 36 ? 3 : 2;
	width_lg2 = page_lg2 + index_lg2 * levels;
	if (config->ias_bits <= page_lg2 || config->ias_bits > width_lg2 + 2)
		return -EINVAL;
	config->top_level = levels - 1;
	for (unsigned level = 0; level < levels; level++)
		pt->levels[level] = (struct pgtable_level){
			.span_lg2 = (uint8_t)(page_lg2 + index_lg2 * level), .index_lg2 = (uint8_t)index_lg2};
	pt->entry_bytes = sizeof(entry_t);
	pt->table_mask = field_address(pt, UINT64_MAX);
	return dart_roots_alloc(pt, config->ias_bits > width_lg2 ? config->ias_bits - width_lg2 : 0);
}

static int dart1_init(struct pgtable *pt)
{
	return dart_init(pt, false);
}

static int dart2_init(struct pgtable *pt)
{
	return dart_init(pt, true);
}

static uint64_t leaf_attrs(const struct pgtable *pt, unsigned prot)
{
	uint64_t attrs = DART_VALID | DART_SUBPAGES_WHOLE;

	if (dart_second(pt))
		return attrs | (prot & PROT_WRITE ? 0 : DART2_NO_WRITE) |
		       (prot & PROT_READ ? 0 : DART2_NO_READ) | (prot & PROT_CACHE ? 0 : DART2_NO_CACHE);
	return attrs | DART1_SUBPAGE_OFF | (prot & PROT_WRITE ? 0 : DART1_NO_WRITE) |
	       (prot & PROT_READ ? 0 : DART1_NO_READ);
}

/** Finds the last table for @iova, making those that are missing on the way. */
static int table_reach(struct pgtable *pt, uint64_t iova, uint64_t *ret_table)
{
	uint64_t table = io_pgtable_leaf_table(pt, iova);

	if (G_LIKELY(table)) {
		*ret_table = table;
		return 0;
	}
	table = io_pgtable_root(pt, iova);
	for (unsigned above = pt->config.top_level; above > 0; above--) {
		uint64_t *entry = table_entries(pt, table) + level_index(pt, above, iova);

		if (!*entry) {
			uint64_t below;
			int err = pgtable_table_alloc(pt, above - 1, &below);

			if (err)
				return err;
			*entry = address_field(pt, below + pt->config.table_offset) | DART_VALID;
			pgtable_wrote(pt, 1);
		}
		table = entry_table(pt, *entry);
	}
	io_pgtable_leaf_table_add(pt, iova, table);
	*ret_table = table;
	return 0;
}

/** Returns the last table for @iova, or 0. */
static uint64_t table_find(const struct pgtable *pt, uint64_t iova)
{
	uint64_t table = io_pgtable_leaf_table(pt, iova);

	if (G_LIKELY(table))
		return table;
	table = io_pgtable_root(pt, iova);
	for (unsigned above = pt->config.top_level; above > 0; above--) {
		uint64_t raw = table_entries(pt, table)[level_index(pt, above, iova)];

		if (!(raw & DART_VALID))
			return 0;
		table = entry_table(pt, raw);
	}
	io_pgtable_leaf_table_add(pt, iova, table);
	return table;
}

static uint32_t run_length(const struct pgtable *pt, uint32_t index, uint64_t count)
{
	return (uint32_t)MIN(count, (1u << pt->levels[0].index_lg2) - index);
}

static int dart_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			  unsigned prot, uint64_t *mapped)
{
	uint64_t table, attrs, *entries;
	uint32_t index, run;
	int err;

	*mapped = 0;
	if (pgsize != pt->page_sizes) {
		io_pgtable_warn(pt, "map with a page size that the table lacks");
		return -EINVAL;
	}
	if (paddr >> pt->config.oas_bits) {
		io_pgtable_warn(pt, "map beyond the width of an address");
		return -ERANGE;
	}
	if (!(prot & (PROT_READ | PROT_WRITE)))
		return -EINVAL;
	err = table_reach(pt, iova, &table);
	if (err)
		return err;
	index = level_index(pt, 0, iova);
	run = run_length(pt, index, count);
	entries = table_entries(pt, table) + index;
	for (uint32_t i = 0; i < run; i++)
		if (entries[i]) {
			io_pgtable_warn(pt, "map over a mapped page");
			return -EEXIST;
		}
	attrs = leaf_attrs(pt, prot);
	for (uint32_t i = 0; i < run; i++)
		entries[i] = address_field(pt, paddr + i * pgsize) | attrs;
	pgtable_wrote(pt, run);
	*mapped = run * pgsize;
	return 0;
}

static uint64_t dart_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				 struct pgtable_gather *gather)
{
	uint64_t table, *entries;
	uint32_t index, run, i;

	if (pgsize != pt->page_sizes || !count) {
		io_pgtable_warn(pt, "unmap with arguments that the table cannot have");
		return 0;
	}
	table = table_find(pt, iova);
	if (!table) {
		io_pgtable_warn(pt, "unmap of what is not mapped");
		return 0;
	}
	index = level_index(pt, 0, iova);
	run = run_length(pt, index, count);
	entries = table_entries(pt, table) + index;
	for (i = 0; i < run && entries[i]; i++)
		entries[i] = 0;
	pgtable_wrote(pt, i);
	if (i)
		io_pgtable_add_pages(pt, gather, iova, pgsize, i);
	if (i < run)
		io_pgtable_warn(pt, "unmap of what is not mapped");
	return i * pgsize;
}

static void dart_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "n_ttbrs=%u n_levels=%u", pt->root_count, pt->config.top_level + 2);
	for (unsigned i = 0; i < PGTABLE_ROOTS_MAX; i++)
		g_string_append_printf(out, " ttbr%u=0x%" G_GINT64_MODIFIER "x", i,
				       i < pt->root_count ? pt->roots[i] + pt->config.table_offset : 0);
}

#define DART_SUBPAGE_START (UINT64_C(0xfff) << 52)

static void dart1_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"VALID", DART_VALID},
		{"SP_OFF", DART1_SUBPAGE_OFF},
		{"NO_WRITE", DART1_NO_WRITE},
		{"NO_READ", DART1_NO_READ},
		{"", DART1_ADDRESS},
		{"SP_START", DART_SUBPAGE_START},
		{"SP_END", DART_SUBPAGES_WHOLE},
		{NULL, 0},
	};
	static const struct pgtable_field table_fields[] = {
		{"VALID", DART_VALID}, {"", DART1_ADDRESS}, {NULL, 0}};

	pgtable_describe_fields(level ? table_fields : fields, raw, out);
}

static void dart2_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field fields[] = {
		{"VALID", DART_VALID},
		{"NO_CACHE", DART2_NO_CACHE},
		{"NO_WRITE", DART2_NO_WRITE},
		{"NO_READ", DART2_NO_READ},
		{"", DART2_ADDRESS},
		{"SP_START", DART_SUBPAGE_START},
		{"SP_END", DART_SUBPAGES_WHOLE},
		{NULL, 0},
	};
	static const struct pgtable_field table_fields[] = {
		{"VALID", DART_VALID}, {"", DART2_ADDRESS}, {NULL, 0}};

	pgtable_describe_fields(level ? table_fields : fields, raw, out);
}

/* Above 36 bits of IOVA there is a level more; up to two bits choose the root. */
static const struct pgtable_config dart1_geometries[] = {
	{.ias_bits = 32, .oas_bits = 36, .page_sizes = UINT64_C(1) << 12},
	{.ias_bits = 41, .oas_bits = 42, .page_sizes = UINT64_C(1) << 12},
	{.ias_bits = 36, .oas_bits = 36, .page_sizes = UINT64_C(1) << 14},
	{.ias_bits = 42, .oas_bits = 42, .page_sizes = UINT64_C(1) << 14},
	{0},
};

#define DART_SHARED                                                                                        \
	.page_sizes = DART_SIZES, .config_page_sizes = dart_page_sizes, .state_size = sizeof(struct dart), \
	.map_pages = dart_map_pages, .unmap_pages = dart_unmap_pages, .walk = io_pgtable_walk,             \
	.walk_from = io_pgtable_walk_from, .lookup = io_pgtable_lookup, .decode = io_pgtable_decode,       \
	.root_registers = dart_root_registers

const struct pgtable_ops apple_dart_ops = {
	.name = "apple_dart",
	.description = "Apple DART of M1",
	.geometries = dart1_geometries,
	.describe = dart1_describe,
	.init = dart1_init,
	DART_SHARED,
};

const struct pgtable_ops apple_dart2_ops = {
	.name = "apple_dart2",
	.description = "Apple DART of M1 Pro and later",
	.geometries = dart1_geometries + 2, /* entries have no room for the address of a 4 KiB page */
	.describe = dart2_describe,
	.init = dart2_init,
	DART_SHARED,
};
