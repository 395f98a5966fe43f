/* SPDX-License-Identifier: MIT */

/*
 * The long-descriptor formats of Arm: VMSAv8-64 and VMSAv7 LPAE at both stages, and Mali's variant. Sources:
 * drivers/iommu/io-pgtable-arm.c; Arm Architecture Reference Manual DDI 0487, chapter D8.
 *
 * The kernel counts levels from the top of a full table: its level is 3 less ours.
 */
#include "iommu/pgtable/arm-registers.h"

#define LPAE_TYPE_MASK	3u
#define LPAE_TYPE_BLOCK 1u /* Mali: any leaf */
#define LPAE_TYPE_PAGE	3u
#define LPAE_TYPE_TABLE 3u

#define LPAE_ADDRESS UINT64_C(0x0000fffffffff000)

#define LPAE_ATTR_SHIFT	 2 /* stage 1 and Mali: index into MAIR, stage 2: MemAttr */
#define LPAE_ATTR_CACHE	 1u
#define LPAE_ATTR_DEVICE 2u
#define LPAE_S2_NC	 5u
#define LPAE_S2_DEVICE	 1u
#define LPAE_S2_WB	 15u
#define LPAE_S2_FWB_WB	 6u
#define LPAE_NS		 (UINT64_C(1) << 5)
#define LPAE_S1_UNPRIV	 (UINT64_C(1) << 6)
#define LPAE_S1_RDONLY	 (UINT64_C(1) << 7)
#define LPAE_S2_READ	 (UINT64_C(1) << 6)
#define LPAE_S2_WRITE	 (UINT64_C(1) << 7)
#define LPAE_SH_OUTER	 (UINT64_C(2) << 8)
#define LPAE_SH_INNER	 (UINT64_C(3) << 8)
#define LPAE_AF		 (UINT64_C(1) << 10)
#define LPAE_NG		 (UINT64_C(1) << 11)
#define LPAE_DBM	 (UINT64_C(1) << 51)
#define LPAE_XN		 (UINT64_C(3) << 53)
#define LPAE_SYNCED	 (UINT64_C(1) << 55) /* software bit of a table entry that an incoherent walker sees */
#define LPAE_NS_TABLE	 (UINT64_C(1) << 63)

enum lpae_stage {
	LPAE_STAGE1,
	LPAE_STAGE2,
	LPAE_MALI,
};

struct lpae {
	struct pgtable pt;
	enum lpae_stage stage;
	unsigned page_lg2;    /* the granule */
	unsigned index_lg2;   /* of a table that is not the root */
	uint64_t page_type;   /* of a leaf of the last level */
	uint64_t table_attrs; /* of an entry that points to a table */
};

static inline struct lpae *lpae(const struct pgtable *pt)
{
	return (struct lpae *)pt;
}

/** Returns the address field that holds @paddr. With 64 KiB pages bits 51:48 lie where such a page has none. */
static inline uint64_t address_field(uint64_t paddr)
{
	return (paddr | paddr >> 36) & LPAE_ADDRESS;
}

static inline uint64_t field_address(const struct lpae *lpae, uint64_t raw)
{
	uint64_t field = raw & LPAE_ADDRESS;

	return lpae->page_lg2 < 16 ? field : (field | field << 36) & LPAE_ADDRESS << 4;
}

static inline enum pgtable_entry_kind entry_kind(const struct lpae *lpae, unsigned level, uint64_t raw)
{
	uint64_t type = raw & LPAE_TYPE_MASK;

	if (!raw)
		return ENTRY_EMPTY;
	if (type == (level ? LPAE_TYPE_BLOCK : lpae->page_type))
		return ENTRY_LEAF;
	return type == LPAE_TYPE_TABLE ? ENTRY_TABLE : ENTRY_EMPTY;
}

static inline uint64_t entry_table(const struct pgtable *pt, uint64_t raw)
{
	return field_address(lpae(pt), raw) - pt->config.table_offset;
}

/** Stage 1 has no entry that may be written but not read. */
static inline unsigned entry_prot(const struct lpae *lpae, uint64_t raw)
{
	if (lpae->stage == LPAE_STAGE1)
		return raw & LPAE_S1_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
	return (raw & LPAE_S2_READ ? PROT_READ : 0) | (raw & LPAE_S2_WRITE ? PROT_WRITE : 0);
}

typedef uint64_t entry_t;

static inline void entry_decode(const struct pgtable *pt, unsigned level, uint64_t raw,
				struct pgtable_entry *ret_entry)
{
	*ret_entry = (struct pgtable_entry){.kind = entry_kind(lpae(pt), level, raw), .raw = raw};
	if (ret_entry->kind != ENTRY_EMPTY)
		ret_entry->attr = raw & ~LPAE_ADDRESS;
	if (ret_entry->kind == ENTRY_LEAF) {
		ret_entry->paddr = field_address(lpae(pt), raw);
		ret_entry->prot = entry_prot(lpae(pt), raw);
	} else if (ret_entry->kind == ENTRY_TABLE) {
		ret_entry->paddr = entry_table(pt, raw);
	}
}

#include "iommu/pgtable/io-pgtable.h"

/* Geometry. */

#define KIB_4	 (UINT64_C(1) << 12)
#define KIB_16	 (UINT64_C(1) << 14)
#define KIB_64	 (UINT64_C(1) << 16)
#define SIZES_4	 (KIB_4 | UINT64_C(1) << 21 | UINT64_C(1) << 30)
#define SIZES_16 (KIB_16 | UINT64_C(1) << 25)
#define SIZES_64 (KIB_64 | UINT64_C(1) << 29)
#define SIZE_4T	 (UINT64_C(1) << 42)

#define LPAE_S2_CONCAT_MAX_LG2 4 /* tables side by side */

/** The granule is the smallest size asked for, if that is at least the host's page, which is 4 KiB. */
static uint64_t lpae_page_sizes(const struct pgtable_config *config)
{
	uint64_t asked = config->page_sizes ? config->page_sizes : SIZES_4;

	switch (asked & -asked) {
	case KIB_4:
		return asked & SIZES_4;
	case KIB_16:
		return asked & SIZES_16;
	case KIB_64:
		return asked & (SIZES_64 | (config->oas_bits > 48 ? SIZE_4T : 0));
	default:
		return 0;
	}
}

/** VMSAv7 and Mali have 4 KiB pages only. */
static uint64_t lpae_page_sizes_4k(const struct pgtable_config *config)
{
	return config->page_sizes ? config->page_sizes & SIZES_4 : SIZES_4;
}

/** Whether stage 2 must begin one level lower with several tables side by side: where the top table would be
 * smaller than the architecture allows for the width. */
static bool lpae_must_concatenate(const struct pgtable_config *config, unsigned page_lg2)
{
	if (page_lg2 == 12)
		return config->top_level == 3 && (config->oas_bits == 40 || config->oas_bits == 42);
	if (page_lg2 != 14)
		return false;
	if (config->top_level == 3)
		return config->oas_bits == 48 || config->ias_bits == 48;
	return config->top_level == 2 && config->oas_bits == 40;
}

static void lpae_levels(struct pgtable *pt, unsigned root_index_lg2)
{
	for (unsigned level = 0; level <= pt->config.top_level; level++)
		pt->levels[level] = (struct pgtable_level){
			.span_lg2 = (uint8_t)(lpae(pt)->page_lg2 + lpae(pt)->index_lg2 * level),
			.index_lg2 = (uint8_t)lpae(pt)->index_lg2};
	pt->levels[pt->config.top_level].index_lg2 = (uint8_t)root_index_lg2;
	pt->entry_bytes = sizeof(entry_t);
	pt->table_mask = UINT64_MAX << lpae(pt)->page_lg2 & UINT64_MAX >> (lpae(pt)->page_lg2 == 16 ? 12 : 16);
}

static int lpae_init(struct pgtable *pt, enum lpae_stage stage, unsigned quirks)
{
	struct pgtable_config *config = &pt->config;
	struct lpae *state = lpae(pt);
	unsigned width_lg2, levels, root_index_lg2;

	if (!pt->page_sizes || config->ias_bits > 52 || config->oas_bits > 52 || config->quirks & ~quirks)
		return -EINVAL;
	state->stage = stage;
	state->page_lg2 = (unsigned)__builtin_ctzll(pt->page_sizes);
	state->index_lg2 = state->page_lg2 - 3;
	if (state->page_lg2 < 16 && (config->ias_bits > 48 || config->oas_bits > 48))
		return -EINVAL;
	if (config->ias_bits <= state->page_lg2 || config->oas_bits <= state->page_lg2)
		return -EINVAL;
	state->page_type = stage == LPAE_MALI ? LPAE_TYPE_BLOCK : LPAE_TYPE_PAGE;
	state->table_attrs = LPAE_TYPE_TABLE | (config->quirks & QUIRK_ARM_NS ? LPAE_NS_TABLE : 0);
	width_lg2 = config->ias_bits - state->page_lg2;
	levels = stage == LPAE_MALI ? 4 : (width_lg2 + state->index_lg2 - 1) / state->index_lg2;
	config->top_level = levels - 1;
	root_index_lg2 = stage == LPAE_MALI ? state->index_lg2 : width_lg2 - state->index_lg2 * (levels - 1);
	if (stage == LPAE_STAGE2 && lpae_must_concatenate(config, state->page_lg2)) {
		if (root_index_lg2 > LPAE_S2_CONCAT_MAX_LG2)
			return -EINVAL;
		config->top_level--;
		root_index_lg2 += state->index_lg2;
	}
	if (config->quirks & QUIRK_ARM_TTBR1)
		pt->first_iova = UINT64_MAX << config->ias_bits;
	lpae_levels(pt, root_index_lg2);
	return pgtable_table_alloc(pt, config->top_level, &pt->root_paddr);
}

#define STAGE1_QUIRKS (QUIRK_ARM_NS | QUIRK_ARM_TTBR1 | QUIRK_ARM_OUTER_WBWA | QUIRK_ARM_HD | QUIRK_NO_WARN)
#define STAGE2_QUIRKS (QUIRK_ARM_S2FWB | QUIRK_NO_WARN)

static int lpae_64_s1_init(struct pgtable *pt)
{
	if (pt->config.quirks & QUIRK_ARM_OUTER_WBWA && !pt->config.incoherent)
		return -EINVAL;
	return lpae_init(pt, LPAE_STAGE1, STAGE1_QUIRKS);
}

static int lpae_64_s2_init(struct pgtable *pt)
{
	return lpae_init(pt, LPAE_STAGE2, STAGE2_QUIRKS);
}

static int lpae_32_s1_init(struct pgtable *pt)
{
	if (pt->config.ias_bits > 32 || pt->config.oas_bits > 40)
		return -EINVAL;
	return lpae_64_s1_init(pt);
}

static int lpae_32_s2_init(struct pgtable *pt)
{
	if (pt->config.ias_bits > 40 || pt->config.oas_bits > 40)
		return -EINVAL;
	return lpae_64_s2_init(pt);
}

static int lpae_mali_init(struct pgtable *pt)
{
	if (pt->config.ias_bits > 48 || pt->config.oas_bits > 40)
		return -EINVAL;
	return lpae_init(pt, LPAE_MALI, QUIRK_NO_WARN);
}

/* Entries. */

static uint64_t stage1_attrs(const struct pgtable_config *config, unsigned prot)
{
	uint64_t attrs = LPAE_NG;

	if (!(prot & PROT_WRITE))
		attrs |= LPAE_S1_RDONLY;
	else if (config->quirks & QUIRK_ARM_HD)
		attrs |= LPAE_DBM;
	if (!(prot & PROT_PRIV))
		attrs |= LPAE_S1_UNPRIV;
	return attrs;
}

static uint64_t stage2_attrs(unsigned prot)
{
	return (prot & PROT_READ ? LPAE_S2_READ : 0) | (prot & PROT_WRITE ? LPAE_S2_WRITE : 0);
}

static uint64_t stage2_memory(const struct pgtable_config *config, unsigned prot)
{
	if (prot & PROT_MMIO)
		return LPAE_S2_DEVICE;
	if (!(prot & PROT_CACHE))
		return LPAE_S2_NC;
	return config->quirks & QUIRK_ARM_S2FWB ? LPAE_S2_FWB_WB : LPAE_S2_WB;
}

static uint64_t stage1_memory(unsigned prot)
{
	if (prot & PROT_MMIO)
		return LPAE_ATTR_DEVICE;
	return prot & PROT_CACHE ? LPAE_ATTR_CACHE : 0;
}

/** Returns the bits of every leaf with @prot, but for its type. */
static uint64_t leaf_attrs(const struct pgtable *pt, unsigned prot)
{
	const struct pgtable_config *config = &pt->config;
	enum lpae_stage stage = lpae(pt)->stage;
	uint64_t attrs = stage == LPAE_STAGE1 ? stage1_attrs(config, prot) : stage2_attrs(prot);

	attrs |= (stage == LPAE_STAGE2 ? stage2_memory(config, prot) : stage1_memory(prot))
		 << LPAE_ATTR_SHIFT;
	attrs |= prot & PROT_CACHE && stage != LPAE_MALI ? LPAE_SH_INNER : LPAE_SH_OUTER;
	if (prot & PROT_NOEXEC)
		attrs |= LPAE_XN;
	if (config->quirks & QUIRK_ARM_NS)
		attrs |= LPAE_NS;
	return stage == LPAE_MALI ? attrs : attrs | LPAE_AF;
}

/** Returns how many of @count pages have their entries in the same table from @index on. The root may be several
 * tables side by side. */
static inline uint32_t run_length(const struct pgtable *pt, unsigned level, uint32_t index, uint64_t count)
{
	unsigned index_lg2 = MIN(lpae(pt)->index_lg2, pt->levels[level].index_lg2);
	uint32_t room = (1u << index_lg2) - (index & ((1u << index_lg2) - 1));

	return (uint32_t)MIN(count, room);
}

static inline unsigned size_level(const struct pgtable *pt, uint64_t size)
{
	return ((unsigned)__builtin_ctzll(size) - lpae(pt)->page_lg2) / lpae(pt)->index_lg2;
}

/** Links a new table at @at, where @entry is. */
static int table_link(struct pgtable *pt, unsigned level, uint64_t *entry, uint64_t at)
{
	uint64_t table;
	int err = pgtable_table_alloc(pt, level - 1, &table);

	if (err)
		return err;
	*entry = address_field(table + pt->config.table_offset) | lpae(pt)->table_attrs;
	pgtable_wrote(pt, 1);
	if (pt->config.incoherent) {
		pgtable_cache_flush(pt, at, sizeof(*entry));
		*entry |= LPAE_SYNCED;
	}
	return 0;
}

/** A page may be larger than what an entry of a narrow table's root spans: its @level is above the root's then, and is
 * looked for down to the last level, tables being linked on the way. */
static G_NO_INLINE int table_descend(struct pgtable *pt, uint64_t iova, unsigned level, uint64_t *ret_table)
{
	uint64_t table = pt->root_paddr;

	for (unsigned above = pt->config.top_level; above != level; above--) {
		uint32_t index = level_index(pt, above, iova);
		uint64_t *entry = table_entries(pt, table) + index;
		enum pgtable_entry_kind kind = entry_kind(lpae(pt), above, *entry);

		if (above == 0) {
			io_pgtable_warn(pt, "map of a page larger than the root's");
			return -EINVAL;
		}
		if (kind == ENTRY_LEAF) {
			/* Nothing says of a leaf that it was flushed, so it is again. */
			pgtable_cache_flush(pt, table + index * sizeof(*entry), sizeof(*entry));
			io_pgtable_warn_unless_off(pt, "map over a larger page");
			return -EEXIST;
		}
		if (kind == ENTRY_EMPTY) {
			int err = table_link(pt, above, entry, table + index * sizeof(*entry));

			if (err)
				return err;
		}
		table = entry_table(pt, *entry);
	}
	if (level == 0)
		io_pgtable_leaf_table_add(pt, iova, table);
	*ret_table = table;
	return 0;
}

/** Finds the table of @level that holds the entry of @iova, making those that are missing on the way. */
static inline int table_reach(struct pgtable *pt, uint64_t iova, unsigned level, uint64_t *ret_table)
{
	*ret_table = level == 0 ? io_pgtable_leaf_table(pt, iova) : 0;
	return G_LIKELY(*ret_table) ? 0 : table_descend(pt, iova, level, ret_table);
}

/** Takes out and frees the table that @entry, at @at, points to. */
static void table_unlink(struct pgtable *pt, unsigned level, uint64_t iova, uint64_t *entry, uint64_t at)
{
	uint64_t table = entry_table(pt, *entry);

	*entry = 0;
	pgtable_wrote(pt, 1);
	pgtable_cache_flush(pt, at, sizeof(*entry));
	io_pgtable_flush_walk(pt, iova, UINT64_C(1) << pt->levels[level].span_lg2);
	pgtable_free_tables(pt, level - 1, table);
}

/** Makes sure that @count entries can be written. Tables found there are dropped with all that they map. */
static int run_prepare(struct pgtable *pt, unsigned level, uint64_t iova, uint64_t *entries, uint64_t at,
		       uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry_at = at + i * sizeof(*entries);

		if (G_LIKELY(!entries[i]))
			continue;
		if (entry_kind(lpae(pt), level, entries[i]) == ENTRY_LEAF) {
			io_pgtable_warn_unless_off(pt, "map over a mapped page");
			return -EEXIST;
		}
		table_unlink(pt, level, iova + ((uint64_t)i << pt->levels[level].span_lg2), entries + i,
			     entry_at);
		/* The kernel goes through its unmap, which clears what the table's removal has cleared already. */
		pgtable_cache_flush(pt, entry_at, sizeof(*entries));
	}
	return 0;
}

/** Returns 0 if the arguments are such that a driver may give. */
static int lpae_map_check(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, unsigned prot)
{
	if (G_UNLIKELY(!io_pgtable_size_ok(pt, pgsize))) {
		io_pgtable_warn(pt, "map with a page size that the table lacks");
		return -EINVAL;
	}
	if (G_UNLIKELY(io_pgtable_iova_beyond(pt, iova) || paddr >> pt->config.oas_bits)) {
		io_pgtable_warn(pt, "map beyond the width of an address");
		return -ERANGE;
	}
	return prot & (PROT_READ | PROT_WRITE) ? 0 : -EINVAL;
}

static int lpae_map_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count,
			  unsigned prot, uint64_t *mapped)
{
	uint64_t table, at, attrs, *entries;
	unsigned level;
	uint32_t index, run;
	int err = lpae_map_check(pt, iova, paddr, pgsize, prot);

	*mapped = 0;
	if (err)
		return err;
	level = size_level(pt, pgsize);
	err = table_reach(pt, iova, level, &table);
	if (err)
		return err;
	index = level_index(pt, level, iova);
	run = run_length(pt, level, index, count);
	at = table + index * sizeof(*entries);
	entries = table_entries(pt, table) + index;
	err = run_prepare(pt, level, iova, entries, at, run);
	if (err)
		return err;
	attrs = leaf_attrs(pt, prot) | (level ? LPAE_TYPE_BLOCK : lpae(pt)->page_type);
	for (uint32_t i = 0; i < run; i++, paddr += pgsize)
		entries[i] = address_field(paddr) | attrs;
	pgtable_wrote(pt, run);
	pgtable_cache_flush(pt, at, run * sizeof(*entries));
	*mapped = run * pgsize;
	return 0;
}

/** Of a @level above the root's the way ends at an entry of the last level, which points to no table. */
static G_NO_INLINE uint64_t table_find_from_root(struct pgtable *pt, uint64_t iova, unsigned level)
{
	uint64_t table = pt->root_paddr;

	for (unsigned above = pt->config.top_level; above != level; above--) {
		uint64_t raw = table_entries(pt, table)[level_index(pt, above, iova)];
		enum pgtable_entry_kind kind = entry_kind(lpae(pt), above, raw);

		if (G_LIKELY(kind == ENTRY_TABLE)) {
			table = entry_table(pt, raw);
			continue;
		}
		if (kind == ENTRY_LEAF)
			io_pgtable_warn(pt, "unmap of a part of a larger page");
		else
			io_pgtable_warn_unless_off(pt, "unmap of what is not mapped");
		return 0;
	}
	if (level == 0)
		io_pgtable_leaf_table_add(pt, iova, table);
	return table;
}

/** Returns the table of @level that holds the entry of @iova, or 0 after a warning. */
static inline uint64_t table_find(struct pgtable *pt, uint64_t iova, unsigned level)
{
	uint64_t table = level == 0 ? io_pgtable_leaf_table(pt, iova) : 0;

	return G_LIKELY(table) ? table : table_find_from_root(pt, iova, level);
}

static uint64_t lpae_unmap_pages(struct pgtable *pt, uint64_t iova, uint64_t pgsize, uint64_t count,
				 struct pgtable_gather *gather)
{
	uint64_t table, at, *entries;
	unsigned level;
	uint32_t index, run, i;

	if (G_UNLIKELY(!io_pgtable_size_ok(pt, pgsize) || !count || io_pgtable_iova_beyond(pt, iova))) {
		io_pgtable_warn(pt, "unmap with arguments that the table cannot have");
		return 0;
	}
	level = size_level(pt, pgsize);
	table = table_find(pt, iova, level);
	if (!table)
		return 0;
	index = level_index(pt, level, iova);
	run = run_length(pt, level, index, count);
	at = table + index * sizeof(*entries);
	entries = table_entries(pt, table) + index;
	for (i = 0; i < run && entries[i]; i++)
		if (entry_kind(lpae(pt), level, entries[i]) == ENTRY_TABLE)
			table_unlink(pt, level, iova + i * pgsize, entries + i, at + i * sizeof(*entries));
		else
			entries[i] = 0;
	if (i < run)
		io_pgtable_warn_unless_off(pt, "unmap of what is not mapped");
	if (!i)
		return 0;
	pgtable_wrote(pt, i);
	pgtable_cache_flush(pt, at, i * sizeof(*entries));
	io_pgtable_add_pages(pt, gather, iova, pgsize, i);
	return i * pgsize;
}

/* Registers. */

/** Returns the code of an output width in TCR and VTCR. */
static unsigned width_code(unsigned oas_bits)
{
	static const uint8_t widths[] = {32, 36, 40, 42, 44, 48, 52};
	unsigned code = 0;

	while (code < G_N_ELEMENTS(widths) - 1 && widths[code] < oas_bits)
		code++;
	return code;
}

/** Returns the code of the granule; that of TTBR1 is another. */
static unsigned granule_code(const struct lpae *lpae)
{
	bool upper = lpae->pt.config.quirks & QUIRK_ARM_TTBR1;

	switch (lpae->page_lg2) {
	case 14:
		return upper ? 1 : 2;
	case 16:
		return upper ? 3 : 1;
	default:
		return upper ? 2 : 0;
	}
}

void lpae_control(const struct pgtable *pt, struct lpae_control *ret_control)
{
	const struct pgtable_config *config = &pt->config;
	bool coherent = !config->incoherent;
	unsigned start_level = 3 - config->top_level;

	*ret_control = (struct lpae_control){
		.width = width_code(config->oas_bits),
		.granule = granule_code(lpae(pt)),
		.shareability = coherent ? 3 : 2,
		.outer = coherent || config->quirks & QUIRK_ARM_OUTER_WBWA,
		.inner = coherent,
		.size = 64 - config->ias_bits,
		.start = ~(start_level + (lpae(pt)->page_lg2 == 12)) & 3,
	};
}

static void control_register(const struct lpae_control *control, const char *name, const char *width_name,
			     GString *out)
{
	g_string_append_printf(out, "%s.%s=%u %s.tg=%u %s.sh=%u %s.orgn=%u %s.irgn=%u", name, width_name,
			       control->width, name, control->granule, name, control->shareability, name,
			       control->outer, name, control->inner);
}

static void lpae_s1_root_registers(const struct pgtable *pt, GString *out)
{
	struct lpae_control control;

	lpae_control(pt, &control);
	g_string_append_printf(out, "ttbr=0x%" G_GINT64_MODIFIER "x ",
			       pt->root_paddr + pt->config.table_offset);
	control_register(&control, "tcr", "ips", out);
	/* The attributes by index: non-cacheable, write-back, device, inner non-cacheable with outer write-back. The
	 * kernel computes them as int, hence the upper half. */
	g_string_append_printf(out, " tcr.tsz=%u mair=0x%" G_GINT64_MODIFIER "x", control.size, LPAE_MAIR);
}

static void lpae_s2_root_registers(const struct pgtable *pt, GString *out)
{
	struct lpae_control control;

	lpae_control(pt, &control);
	g_string_append_printf(out, "vttbr=0x%" G_GINT64_MODIFIER "x ",
			       pt->root_paddr + pt->config.table_offset);
	control_register(&control, "vtcr", "ps", out);
	g_string_append_printf(out, " vtcr.sl=%u vtcr.tsz=%u", control.start, control.size);
}

/** Mali: table mode and inner reads in the low bits, outer shareable where coherent; attributes by index. */
static void lpae_mali_root_registers(const struct pgtable *pt, GString *out)
{
	g_string_append_printf(out, "transtab=0x%" G_GINT64_MODIFIER "x memattr=0x888d88",
			       (pt->root_paddr + pt->config.table_offset) | 7u |
				       (pt->config.incoherent ? 0 : 1u << 4));
}

/* For people. */

static const struct pgtable_field lpae_s1_fields[] = {
	{"", LPAE_TYPE_MASK},
	{"AttrIndx", UINT64_C(7) << LPAE_ATTR_SHIFT},
	{"NS", LPAE_NS},
	{"AP", LPAE_S1_UNPRIV | LPAE_S1_RDONLY},
	{"SH", LPAE_SH_INNER},
	{"AF", LPAE_AF},
	{"nG", LPAE_NG},
	{"", LPAE_ADDRESS},
	{"DBM", LPAE_DBM},
	{"PXN", UINT64_C(1) << 53},
	{"UXN", UINT64_C(1) << 54},
	{NULL, 0},
};

static const struct pgtable_field lpae_s2_fields[] = {
	{"", LPAE_TYPE_MASK},
	{"MemAttr", UINT64_C(15) << LPAE_ATTR_SHIFT},
	{"HAP", LPAE_S2_READ | LPAE_S2_WRITE},
	{"SH", LPAE_SH_INNER},
	{"AF", LPAE_AF},
	{"", LPAE_ADDRESS},
	{"XN[0]", UINT64_C(1) << 53},
	{"XN[1]", UINT64_C(1) << 54},
	{NULL, 0},
};

static const struct pgtable_field lpae_mali_fields[] = {
	{"", LPAE_TYPE_MASK},
	{"AttrIndx", UINT64_C(7) << LPAE_ATTR_SHIFT},
	{"HAP", LPAE_S2_READ | LPAE_S2_WRITE},
	{"SH", LPAE_SH_INNER},
	{"", LPAE_ADDRESS},
	{"XN[0]", UINT64_C(1) << 53},
	{"XN[1]", UINT64_C(1) << 54},
	{NULL, 0},
};

static const struct pgtable_field lpae_table_fields[] = {
	{"", LPAE_TYPE_MASK},	    {"", LPAE_ADDRESS}, {"SW_SYNC", LPAE_SYNCED},
	{"NSTable", LPAE_NS_TABLE}, {NULL, 0},
};

static void lpae_describe(const struct pgtable *pt, unsigned level, uint64_t raw, GString *out)
{
	static const struct pgtable_field *const leaf_fields[] = {
		[LPAE_STAGE1] = lpae_s1_fields,
		[LPAE_STAGE2] = lpae_s2_fields,
		[LPAE_MALI] = lpae_mali_fields,
	};
	bool table = entry_kind(lpae(pt), level, raw) == ENTRY_TABLE;

	pgtable_describe_fields(table ? lpae_table_fields : leaf_fields[lpae(pt)->stage], raw, out);
}

/* One for each granule. */
static const struct pgtable_config lpae_64_geometries[] = {
	{.ias_bits = 48, .oas_bits = 48, .page_sizes = SIZES_4},
	{.ias_bits = 48, .oas_bits = 48, .page_sizes = SIZES_16},
	{.ias_bits = 52, .oas_bits = 52, .page_sizes = SIZES_64 | SIZE_4T},
	{0},
};

static const struct pgtable_config lpae_32_s1_geometries[] = {{.ias_bits = 32, .oas_bits = 40}, {0}};
static const struct pgtable_config lpae_32_s2_geometries[] = {{.ias_bits = 40, .oas_bits = 40}, {0}};
static const struct pgtable_config lpae_mali_geometries[] = {{.ias_bits = 48, .oas_bits = 40}, {0}};

#define LPAE_SHARED                                                                                      \
	.state_size = sizeof(struct lpae), .map_pages = lpae_map_pages, .unmap_pages = lpae_unmap_pages, \
	.walk = io_pgtable_walk, .walk_from = io_pgtable_walk_from, .lookup = io_pgtable_lookup,         \
	.decode = io_pgtable_decode, .describe = lpae_describe

const struct pgtable_ops arm_64_lpae_s1_ops = {
	.name = "arm_64_lpae_s1",
	.description = "Arm VMSAv8-64, stage 1",
	.page_sizes = SIZES_4 | SIZES_16 | SIZES_64 | SIZE_4T,
	.config_page_sizes = lpae_page_sizes,
	.geometries = lpae_64_geometries,
	.init = lpae_64_s1_init,
	.root_registers = lpae_s1_root_registers,
	LPAE_SHARED,
};

const struct pgtable_ops arm_64_lpae_s2_ops = {
	.name = "arm_64_lpae_s2",
	.description = "Arm VMSAv8-64, stage 2",
	.page_sizes = SIZES_4 | SIZES_16 | SIZES_64 | SIZE_4T,
	.config_page_sizes = lpae_page_sizes,
	.geometries = lpae_64_geometries,
	.init = lpae_64_s2_init,
	.root_registers = lpae_s2_root_registers,
	LPAE_SHARED,
};

const struct pgtable_ops arm_32_lpae_s1_ops = {
	.name = "arm_32_lpae_s1",
	.description = "Arm VMSAv7 long descriptors, stage 1",
	.page_sizes = SIZES_4,
	.config_page_sizes = lpae_page_sizes_4k,
	.geometries = lpae_32_s1_geometries,
	.init = lpae_32_s1_init,
	.root_registers = lpae_s1_root_registers,
	LPAE_SHARED,
};

const struct pgtable_ops arm_32_lpae_s2_ops = {
	.name = "arm_32_lpae_s2",
	.description = "Arm VMSAv7 long descriptors, stage 2",
	.page_sizes = SIZES_4,
	.config_page_sizes = lpae_page_sizes_4k,
	.geometries = lpae_32_s2_geometries,
	.init = lpae_32_s2_init,
	.root_registers = lpae_s2_root_registers,
	LPAE_SHARED,
};

const struct pgtable_ops arm_mali_lpae_ops = {
	.name = "arm_mali_lpae",
	.description = "Arm Mali, long descriptors",
	.page_sizes = SIZES_4,
	.config_page_sizes = lpae_page_sizes_4k,
	.geometries = lpae_mali_geometries,
	.init = lpae_mali_init,
	.root_registers = lpae_mali_root_registers,
	LPAE_SHARED,
};
