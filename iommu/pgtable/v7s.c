/* SPDX-License-Identifier: MIT */

/*
 * The short-descriptor format of Arm, with MediaTek's extension of physical addresses. Sources:
 * drivers/iommu/io-pgtable-arm-v7s.c; Arm Architecture Reference Manual DDI 0406, section B3.5.
 *
 * The kernel's level 1 is our 1, its level 2 our 0. It neither checks a page size nor aligns what it is given: as many
 * entries are written as the size spans at the first level where that is at least one.
 */
#include "iommu/pgtable/arm-registers.h"

#define V7S_TYPE_MASK  3u
#define V7S_TYPE_TABLE 1u /* level 1 */
#define V7S_TYPE_CONT  1u /* level 0: one of 16 entries of a 64 KiB page */
#define V7S_TYPE_PAGE  2u

#define V7S_B	     (1u << 2)
#define V7S_C	     (1u << 3)
#define V7S_NS_TABLE (1u << 3)
#define V7S_CONT_1   (1u << 18) /* level 1: one of 16 entries of a 16 MiB page */
#define V7S_NS_1     (1u << 19)
#define V7S_CONT_XN  (1u << 15) /* 64 KiB pages have XN and TEX elsewhere */
#define V7S_CONT_TEX (1u << 12)
#define V7S_CONT_LG2 4

/* Attributes that lie side by side, at a place that depends on the level. */
#define V7S_AF	   (1u << 0)
#define V7S_UNPRIV (1u << 1)
#define V7S_TEX	   (1u << 2)
#define V7S_RDONLY (1u << 5)
#define V7S_S	   (1u << 6)
#define V7S_NG	   (1u << 7)

#define V7S_ATTR_SHIFT(level) ((level) ? 10 : 4)
#define V7S_XN(level)	      ((level) ? 1u << 4 : 1u << 0)

#define V7S_TABLE_ADDRESS 0xfffffc00u

/* Where MediaTek's walker looks for bits 34:32 of an address. */
#define MTK_PA_32   (1u << 9)
#define MTK_PA_33   (1u << 4)
#define MTK_PA_34   (1u << 5)
#define MTK_PA_BITS (MTK_PA_32 | MTK_PA_33 | MTK_PA_34)

static inline uint32_t mtk_bits(uint64_t paddr)
{
	return (paddr >> 32 & 1 ? MTK_PA_32 : 0) | (paddr >> 33 & 1 ? MTK_PA_33 : 0) |
	       (paddr >> 34 & 1 ? MTK_PA_34 : 0);
}

static inline uint64_t mtk_paddr(uint32_t raw)
{
	return (uint64_t) !!(raw & MTK_PA_32) << 32 | (uint64_t) !!(raw & MTK_PA_33) << 33 |
	       (uint64_t) !!(raw & MTK_PA_34) << 34;
}

static inline bool entry_is_table(unsigned level, uint32_t raw)
{
	return level == 1 && (raw & V7S_TYPE_MASK) == V7S_TYPE_TABLE;
}

static inline bool entry_is_valid(uint32_t raw)
{
	return raw & V7S_TYPE_MASK;
}

/** Whether @raw, a leaf, is one of 16 that are the same. */
static inline bool entry_is_contiguous(unsigned level, uint32_t raw)
{
	return level ? raw & V7S_CONT_1 : !(raw & V7S_TYPE_PAGE);
}

/** Returns the address of the table that @raw points to. */
static inline uint64_t entry_table(const struct pgtable *pt, uint32_t raw)
{
	uint64_t addr = raw & V7S_TABLE_ADDRESS;

	if (pt->config.quirks & QUIRK_ARM_MTK_TTBR_EXT)
		addr = (raw & V7S_TABLE_ADDRESS & ~MTK_PA_32) | mtk_paddr(raw);
	return addr - pt->config.table_offset;
}

static inline unsigned entry_prot(const struct pgtable *pt, unsigned level, uint32_t raw)
{
	bool read_only = !(pt->config.quirks & QUIRK_NO_PERMS) && raw >> V7S_ATTR_SHIFT(level) & V7S_RDONLY;

	return read_only ? PROT_READ : PROT_READ | PROT_WRITE;
}

typedef uint32_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint32_t raw,
				struct pgtable_entry *ret_entry)
{
	unsigned contig_lg2;

	*ret_entry = (struct pgtable_entry){.raw = raw};
	if (!entry_is_valid(raw))
		return;
	if (entry_is_table(level, raw)) {
		uint32_t address = V7S_TABLE_ADDRESS;

		if (pt->config.quirks & QUIRK_ARM_MTK_TTBR_EXT)
			address |= MTK_PA_BITS;
		ret_entry->kind = ENTRY_TABLE;
		ret_entry->attr = raw & ~address;
		ret_entry->paddr = entry_table(pt, raw);
		return;
	}
	contig_lg2 = entry_is_contiguous(level, raw) ? V7S_CONT_LG2 : 0;
	ret_entry->kind = ENTRY_LEAF;
	ret_entry->contig_lg2 = (uint8_t)contig_lg2;
	ret_entry->paddr = raw & ~0u << (pt->levels[level].span_lg2 + contig_lg2);
	ret_entry->attr = raw & ~ret_entry->paddr;
	if (pt->config.quirks & QUIRK_ARM_MTK_EXT) {
		ret_entry->paddr |= mtk_paddr(raw);
		ret_entry->attr &= ~(uint64_t)MTK_PA_BITS;
	}
	ret_entry->prot = entry_prot(pt, level, raw);
}

#include "iommu/pgtable/io-pgtable.h"

#define V7S_SIZES (UINT64_C(1) << 12 | UINT64_C(1) << 16 | UINT64_C(1) << 20 | UINT64_C(1) << 24)
#define V7S_QUIRKS \
	(QUIRK_ARM_NS | QUIRK_NO_PERMS | QUIRK_ARM_MTK_EXT | QUIRK_ARM_MTK_TTBR_EXT | QUIRK_NO_WARN)

static uint64_t v7s_page_sizes(const struct pgtable_config *config)
{
	return config->page_sizes ? config->page_sizes & V7S_SIZES : V7S_SIZES;
}

static int v7s_init(struct pgtable *pt)
{
	struct pgtable_config *config = &pt->config;
	bool mtk = config->quirks & QUIRK_ARM_MTK_EXT, mtk_tables = config->quirks & QUIRK_ARM_MTK_TTBR_EXT;
	int err;

	if (!pt->page_sizes || config->quirks & ~(unsigned)V7S_QUIRKS || config->ias_bits > (mtk ? 34 : 32) ||
	    config->ias_bits <= 20 || config->oas_bits > (mtk ? 35 : 32) || config->oas_bits <= 12)
		return -EINVAL;
	if ((mtk && !(config->quirks & QUIRK_NO_PERMS)) || (mtk_tables && !mtk))
		return -EINVAL;
	config->top_level = 1;
	pt->levels[0] = (struct pgtable_level){.span_lg2 = 12, .index_lg2 = 8};
	pt->levels[1] = (struct pgtable_level){.span_lg2 = 20, .index_lg2 = (uint8_t)(config->ias_bits - 20)};
	pt->entry_bytes = sizeof(entry_t);
	pt->table_mask = V7S_TABLE_ADDRESS | (mtk_tables ? UINT64_C(7) << 32 : 0);
	err = pgtable_table_alloc(pt, 1, &pt->root_paddr);
	if (err)
		return err;
	if ((pt->root_paddr + config->table_offset) >> (mtk_tables ? 35 : 32)) {
		pgtable_free_tables(pt, 1, pt->root_paddr); /* entries have no room for such an address */
		return -EINVAL;
	}
	return 0;
}

static uint32_t leaf_entry(const struct pgtable *pt, unsigned level, uint64_t paddr, unsigned prot,
			   bool contiguous)
{
	unsigned quirks = pt->config.quirks;
	uint32_t raw = V7S_NG | V7S_S;

	if (!(prot & PROT_MMIO))
		raw |= V7S_TEX;
	if (!(quirks & QUIRK_NO_PERMS))
		raw |= V7S_AF | (prot & PROT_PRIV ? 0 : V7S_UNPRIV) | (prot & PROT_WRITE ? 0 : V7S_RDONLY);
	raw <<= V7S_ATTR_SHIFT(level);
	if (prot & PROT_NOEXEC && !(quirks & QUIRK_NO_PERMS))
		raw |= V7S_XN(level);
	if (prot & PROT_MMIO)
		raw |= V7S_B;
	else if (prot & PROT_CACHE)
		raw |= V7S_B | V7S_C;
	if (level == 1 && quirks & QUIRK_ARM_NS)
		raw |= V7S_NS_1;
	if (contiguous && level == 0) {
		uint32_t moved = raw & (V7S_XN(0) | V7S_TEX << V7S_ATTR_SHIFT(0));

		raw ^= moved;
		raw |= V7S_TYPE_CONT | (moved & V7S_XN(0) ? V7S_CONT_XN : 0) |
		       (moved & ~V7S_XN(0) ? V7S_CONT_TEX : 0);
	} else {
		raw |= V7S_TYPE_PAGE | (contiguous ? V7S_CONT_1 : 0);
	}
	raw |= (uint32_t)paddr & ~0u << pt->levels[level].span_lg2;
	return quirks & QUIRK_ARM_MTK_EXT ? raw | mtk_bits(paddr) : raw;
}

/** Finds the level where a page of @size is at least one entry, and in *@ret_count how many. */
static unsigned size_level(const struct pgtable *pt, uint64_t size, uint64_t *ret_count)
{
	unsigned level = size >> pt->levels[1].span_lg2 ? 1 : 0;

	*ret_count = size >> pt->levels[level].span_lg2;
	return level;
}

/** Whether @count entries from that of @iova on lie in one table, as with every size that exists. */
static bool entries_fit(const struct pgtable *pt, unsigned level, uint64_t iova, uint64_t count)
{
	return count && level_index(pt, level, iova) + count <= UINT64_C(1) << pt->levels[level].index_lg2;
}

static void entries_write(struct pgtable *pt, uint32_t *entries, uint64_t at, uint32_t raw, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		entries[i] = raw;
	pgtable_wrote(pt, count);
	pgtable_cache_flush(pt, at, count * sizeof(*entries));
}

/** Takes out and frees the table that the root's entry at @iova points to. */
static void table_unlink(struct pgtable *pt, uint64_t iova, uint64_t table)
{
	io_pgtable_flush_walk(pt, iova, UINT64_C(1) << pt->levels[1].span_lg2);
	pgtable_free_tables(pt, 0, table);
}

static int entries_prepare(struct pgtable *pt, unsigned level, uint64_t iova, uint32_t *entries, uint64_t at,
			   uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint32_t raw = entries[i];

		if (entry_is_table(level, raw)) {
			entries_write(pt, entries + i, at + i * sizeof(*entries), 0, 1);
			table_unlink(pt, iova + (i << pt->levels[level].span_lg2), entry_table(pt, raw));
		} else if (raw) {
			io_pgtable_warn_unless_off(pt, "map over a mapped page");
			return -EEXIST;
		}
	}
	return 0;
}

/** Finds the table of level 0 for @iova, making it if there is none. */
static int table_reach(struct pgtable *pt, uint64_t iova, uint64_t *ret_table)
{
	uint32_t index = level_index(pt, 1, iova);
	uint32_t *entry = table_entries(pt, pt->root_paddr) + index;
	uint64_t at = pt->root_paddr + index * sizeof(*entry);

	if (!*entry) {
		uint64_t table, addr;
		uint32_t raw;
		int err = pgtable_table_alloc(pt, 0, &table);

		if (err)
			return err;
		addr = table + pt->config.table_offset;
		raw = (uint32_t)addr | V7S_TYPE_TABLE;
		if (pt->config.quirks & QUIRK_ARM_MTK_TTBR_EXT)
			raw |= mtk_bits(addr);
		if (pt->config.quirks & QUIRK_ARM_NS)
			raw |= V7S_NS_TABLE;
		entries_write(pt, entry, at, raw, 1);
	} else {
		/* Another CPU may have linked it and not come to flush it. */
		pgtable_cache_flush(pt, at, sizeof(*entry));
	}
	if (!entry_is_table(1, *entry)) {
		io_pgtable_warn_unless_off(pt, "map over a larger page");
		return -EEXIST;
	}
	*ret_table = entry_table(pt, *entry);
	return 0;
}

static int map_one(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot)
{
	uint64_t table = pt->root_paddr, count, at;
	unsigned level = size_level(pt, size, &count);
	uint32_t *entries;
	int err = 0;

	if (G_UNLIKELY(!entries_fit(pt, level, iova, count))) {
		io_pgtable_warn(pt, "map with a page size that does not exist");
		return -EINVAL;
	}
	if (level == 0)
		err = table_reach(pt, iova, &table);
	if (err)
		return err;
	at = table + level_index(pt, level, iova) * sizeof(*entries);
	entries = pgtable_bytes(pt, at);
	err = entries_prepare(pt, level, iova, entries, at, count);
	if (!err)
		entries_write(pt, entries, at, leaf_entry(pt, level, paddr, prot, count > 1), count);
	return err;
}

static int v7s_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			 unsigned prot, uint64_t *mapped)
{
	*mapped = 0;
	if (io_pgtable_iova_beyond(pt, iova) || paddr >> pt->config.oas_bits) {
		io_pgtable_warn(pt, "map beyond the width of an address");
		return -ERANGE;
	}
	if (!(prot & (PROT_READ | PROT_WRITE)))
		return -EINVAL;
	for (; count; count--, *mapped += pgsize) {
		int err = map_one(pt, iova + *mapped, paddr + *mapped, pgsize, prot);

		if (err)
			return err;
	}
	return 0;
}

/** Unmaps @count entries of @level. Returns whether they were mapped, by themselves or with others that go too. */
static bool entries_unmap(struct pgtable *pt, unsigned level, uint64_t iova, uint64_t table, uint64_t count,
			  struct pgtable_gather *gather)
{
	uint64_t span = UINT64_C(1) << pt->levels[level].span_lg2, tables[1u << V7S_CONT_LG2] = {0};
	uint64_t at = table + level_index(pt, level, iova) * sizeof(uint32_t);
	uint32_t *entries = pgtable_bytes(pt, at);

	for (uint64_t i = 0; i < count; i++) {
		if (!entry_is_valid(entries[i])) {
			io_pgtable_warn_unless_off(pt, "unmap of what is not mapped");
			return false;
		}
		if (i < G_N_ELEMENTS(tables) && entry_is_table(level, entries[i]))
			tables[i] = entry_table(pt, entries[i]);
	}
	if (count == 1 && !tables[0] && entry_is_contiguous(level, entries[0])) {
		io_pgtable_warn(pt, "unmap of a part of a larger page");
		return false;
	}
	entries_write(pt, entries, at, 0, count);
	for (uint64_t i = 0; i < count; i++)
		if (i < G_N_ELEMENTS(tables) && tables[i])
			table_unlink(pt, iova + i * span, tables[i]);
		else
			io_pgtable_add_pages(pt, gather, iova + i * span, span, 1);
	return true;
}

static bool unmap_one(struct pgtable *pt, uint64_t iova, uint64_t size, struct pgtable_gather *gather)
{
	uint64_t count;
	unsigned level = size_level(pt, size, &count);
	uint32_t raw;

	if (G_UNLIKELY(!entries_fit(pt, level, iova, count) || count > 1u << V7S_CONT_LG2)) {
		io_pgtable_warn(pt, "unmap with a page size that does not exist");
		return false;
	}
	if (level == 1)
		return entries_unmap(pt, 1, iova, pt->root_paddr, count, gather);
	raw = table_entries(pt, pt->root_paddr)[level_index(pt, 1, iova)];
	if (entry_is_table(1, raw))
		return entries_unmap(pt, 0, iova, entry_table(pt, raw), count, gather);
	if (entry_is_valid(raw))
		io_pgtable_warn(pt, "unmap of a part of a larger page");
	else
		io_pgtable_warn_unless_off(pt, "unmap of what is not mapped");
	return false;
}

static uint64_t v7s_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				struct pgtable_gather *gather)
{
	uint64_t unmapped = 0;

	if (io_pgtable_iova_beyond(pt, iova)) {
		io_pgtable_warn(pt, "unmap beyond the width of an address");
		return 0;
	}
	for (; count && unmap_one(pt, iova + unmapped, pgsize, gather); count--)
		unmapped += pgsize;
	return unmapped;
}

uint32_t v7s_ttbr(const struct pgtable *pt)
{
	return (uint32_t)pgtable_root(pt) | (pt->config.incoherent ? 0x2 : 0x6a);
}

/** The root with how the walker reads it, or with its upper bits for MediaTek; the memory types by index. */
static void v7s_root_registers(const struct pgtable *pt, GString *out)
{
	uint64_t root = pgtable_root(pt);

	if (pt->config.quirks & QUIRK_ARM_MTK_EXT)
		root = (uint32_t)root | root >> 32;
	else
		root = v7s_ttbr(pt);
	g_string_append_printf(out, "ttbr=0x%" G_GINT64_MODIFIER "x tcr=0x0 nmrr=0x%x prrr=0x%x", root,
			       V7S_NMRR, V7S_PRRR);
}

/** Of the attributes, those that stand together; TEX of a 64 KiB page is elsewhere. */
#define V7S_FIELDS(level)                                                                               \
	{"AF", V7S_AF << V7S_ATTR_SHIFT(level)}, {"UNPRIV", V7S_UNPRIV << V7S_ATTR_SHIFT(level)},       \
		{"RDONLY", V7S_RDONLY << V7S_ATTR_SHIFT(level)}, {"S", V7S_S << V7S_ATTR_SHIFT(level)}, \
		{"nG", V7S_NG << V7S_ATTR_SHIFT(level)}, {"B", V7S_B},                                  \
	{                                                                                               \
		"C", V7S_C                                                                              \
	}

static const struct pgtable_field v7s_table_fields[] = {
	{"", V7S_TYPE_MASK},
	{"NS", V7S_NS_TABLE},
	{"", V7S_TABLE_ADDRESS},
	{NULL, 0},
};

static const struct pgtable_field v7s_section_fields[] = {
	{"", V7S_TYPE_MASK},
	V7S_FIELDS(1),
	{"TEX", V7S_TEX << V7S_ATTR_SHIFT(1)},
	{"XN", V7S_XN(1)},
	{"CONT", V7S_CONT_1},
	{"NS", V7S_NS_1},
	{"", ~0u << 20},
	{NULL, 0},
};

static const struct pgtable_field v7s_page_fields[] = {
	{"XN", V7S_XN(0)}, /* before the type, which it is the lowest bit of */
	{"", V7S_TYPE_MASK}, V7S_FIELDS(0), {"TEX", V7S_TEX << V7S_ATTR_SHIFT(0)}, {"", ~0u << 12}, {NULL, 0},
};

static const struct pgtable_field v7s_cont_fields[] = {
	{"", V7S_TYPE_MASK}, V7S_FIELDS(0),   {"TEX", V7S_CONT_TEX},
	{"XN", V7S_CONT_XN}, {"", ~0u << 16}, {NULL, 0},
};

static void v7s_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	bool table = entry_is_table(level, (uint32_t)raw);
	unsigned extends = table ? QUIRK_ARM_MTK_TTBR_EXT : QUIRK_ARM_MTK_EXT;
	const struct pgtable_field *fields = v7s_page_fields;

	if (table)
		fields = v7s_table_fields;
	else if (level)
		fields = v7s_section_fields;
	else if (entry_is_contiguous(0, (uint32_t)raw))
		fields = v7s_cont_fields;
	if (pt->config.quirks & extends)
		raw &= ~(uint64_t)MTK_PA_BITS;
	pgtable_describe_fields(fields, raw, out);
}

static const struct pgtable_config v7s_geometries[] = {
	{.ias_bits = 32, .oas_bits = 32},
	{.ias_bits = 34,
	 .oas_bits = 35,
	 .quirks = QUIRK_NO_PERMS | QUIRK_ARM_MTK_EXT | QUIRK_ARM_MTK_TTBR_EXT},
	{0},
};

const struct pgtable_ops arm_v7s_ops = {
	.name = "arm_v7s",
	.description = "Arm short descriptors, and MediaTek's",
	.geometries = v7s_geometries,
	.page_sizes = V7S_SIZES,
	.config_page_sizes = v7s_page_sizes,
	.state_size = sizeof(struct pgtable),
	.init = v7s_init,
	.map_pages = v7s_map_pages,
	.unmap_pages = v7s_unmap_pages,
	.walk = io_pgtable_walk,
	.walk_from = io_pgtable_walk_from,
	.lookup = io_pgtable_lookup,
	.decode = io_pgtable_decode,
	.root_registers = v7s_root_registers,
	.describe = v7s_describe,
};
