/* SPDX-License-Identifier: MIT */
#include "iommu/dma/pgtable-section.h"

#include <stddef.h>

#define OPTION(name, member)                                     \
	{                                                        \
		name, 0, offsetof(struct pgtable_config, member) \
	}

const struct pgtable_option pgtable_options[] = {
	OPTION("force-coherence", force_coherence),
	OPTION("force-writeable", force_writeable),
	OPTION("incoherent", incoherent),
	OPTION("dynamic-top", dynamic_top),
	OPTION("sign-extend", sign_extend),
	OPTION("contiguous-64k", contiguous_64k),
	{"ns", QUIRK_ARM_NS, 0},
	{"no-perms", QUIRK_NO_PERMS, 0},
	{"mtk-ext", QUIRK_ARM_MTK_EXT, 0},
	{"mtk-ttbr-ext", QUIRK_ARM_MTK_TTBR_EXT, 0},
	{"ttbr1", QUIRK_ARM_TTBR1, 0},
	{"outer-wbwa", QUIRK_ARM_OUTER_WBWA, 0},
	{"hd", QUIRK_ARM_HD, 0},
	{"s2fwb", QUIRK_ARM_S2FWB, 0},
	{"no-warn", QUIRK_NO_WARN, 0},
	{NULL, 0, 0},
};

/** The entries being put together: of one table, alike, their pages one after the other, up or down. */
struct entry_run {
	uint64_t first, last; /* IOVAs */
	uint64_t step;	      /* from one leaf's raw value to the next one's */
	unsigned level;
	bool several;		       /* leaves, so @step is known */
	bool whole;		       /* made of whole leaves */
	struct pgtable_entry entry;    /* the first */
	struct pgtable_entry previous; /* the last */
};

struct section_writer {
	struct snapshot_writer *writer;
	const struct pgtable *pt;
	uint64_t domain;
	bool running;
	struct entry_run run;
};

static void write_raw(const struct section_writer *w, const char *field, uint64_t raw)
{
	if (w->pt->entry_bytes == sizeof(uint32_t))
		raw = (uint32_t)raw;
	snapshot_hex(w->writer, field, raw, w->pt->entry_bytes * 2);
}

static uint64_t leaf_bytes(const struct pgtable *pt, unsigned level, const struct pgtable_entry *entry)
{
	return UINT64_C(1) << (pt->levels[level].span_lg2 + entry->contig_lg2);
}

static const char *const run_nouns[] = {
	[ENTRY_EMPTY] = "invalid",
	[ENTRY_LEAF] = "leaf",
	[ENTRY_ZERO] = "zero",
};

static void run_end(struct section_writer *w)
{
	const struct entry_run *run = &w->run;
	bool leaf = run->entry.kind == ENTRY_LEAF;

	if (!w->running)
		return;
	w->running = false;
	snapshot_fact(w->writer, run_nouns[run->entry.kind]);
	snapshot_u64(w->writer, "domain", w->domain);
	if (!leaf)
		snapshot_u64(w->writer, "level", run->level);
	snapshot_range(w->writer, "iova", run->first, run->last);
	if (leaf) {
		snapshot_u64(w->writer, "level", run->level);
		snapshot_u64(w->writer, "size", leaf_bytes(w->pt, run->level, &run->entry));
	}
	write_raw(w, "raw", run->entry.raw);
	if (run->step)
		write_raw(w, "step", run->step);
	if (leaf)
		write_raw(w, "attr", run->entry.attr);
}

/** Whether @entry, at @iova, goes on where the run ends. */
static bool run_continues(const struct section_writer *w, uint64_t iova, unsigned level, bool whole,
			  const struct pgtable_entry *entry)
{
	const struct entry_run *run = &w->run;
	const struct pgtable_entry *previous = &run->previous;
	uint64_t step = entry->raw - previous->raw, size = leaf_bytes(w->pt, level, entry);

	if (!w->running || run->level != level || iova != run->last + 1 || entry->kind != previous->kind ||
	    entry->contig_lg2 != previous->contig_lg2 || entry->attr != previous->attr || whole != run->whole)
		return false;
	if (entry->kind != ENTRY_LEAF || !whole)
		return step == 0;
	if (run->several)
		return step == run->step;
	return step == 0 || entry->paddr - previous->paddr == size || previous->paddr - entry->paddr == size;
}

/** Adds the entries of [@iova, @last], which are all @entry: a @whole leaf, or a part of one. */
static void run_add(struct section_writer *w, uint64_t iova, uint64_t last, unsigned level, bool whole,
		    const struct pgtable_entry *entry)
{
	struct entry_run *run = &w->run;

	if (run_continues(w, iova, level, whole, entry)) {
		run->step = entry->raw - run->previous.raw;
		run->several = true;
	} else {
		run_end(w);
		*run = (struct entry_run){.first = iova, .level = level, .whole = whole, .entry = *entry};
		w->running = true;
	}
	run->last = last;
	run->previous = *entry;
}

static void decode_at(const struct section_writer *w, unsigned level, uint64_t table, uint32_t index,
		      struct pgtable_entry *ret_entry)
{
	/* From the entry itself on: a large table's bytes need not lie in one piece. */
	const void *at = pgtable_bytes(w->pt, table + (uint64_t)index * w->pt->entry_bytes);

	w->pt->ops->decode(w->pt, level, at, 0, ret_entry);
	ret_entry->raw = pgtable_entry_raw(w->pt, at);
}

/** Returns how many entries from @index on are the leaf that @entry is of; 1 where they are not all there. */
static uint32_t leaf_entries(const struct section_writer *w, unsigned level, uint64_t table, uint32_t index,
			     const struct pgtable_entry *entry)
{
	uint32_t count = 1u << entry->contig_lg2;

	if (index & (count - 1))
		return 1;
	for (uint32_t i = 1; i < count; i++) {
		struct pgtable_entry other;

		decode_at(w, level, table, index + i, &other);
		if (other.raw != entry->raw)
			return 1;
	}
	return count;
}

/** Returns the last IOVA of 2^@size_lg2 bytes from @first on, as a device gives it. */
static uint64_t range_last(const struct pgtable *pt, uint64_t first, unsigned size_lg2)
{
	return pgtable_iova_extend(&pt->config, first + (UINT64_MAX >> (64 - size_lg2)));
}

static void write_table_fact(const struct section_writer *w, unsigned level, uint64_t table, uint64_t iova,
			     const struct pgtable_entry *entry)
{
	const struct pgtable *pt = w->pt;

	snapshot_fact(w->writer, "table");
	snapshot_u64(w->writer, "domain", w->domain);
	snapshot_u64(w->writer, "level", level);
	snapshot_range(w->writer, "iova", pgtable_iova_extend(&pt->config, iova),
		       range_last(pt, iova, pt->levels[level].span_lg2 + pt->levels[level].index_lg2));
	snapshot_hex(w->writer, "pa", table, 16);
	if (entry) {
		write_raw(w, "entry", entry->raw);
		write_raw(w, "attr", entry->attr);
	}
}

/** Writes the table of @level at @table, for the IOVAs from @iova on, and those below it. @entry points to it; NULL: it
 *  is a root. */
static void write_table(struct section_writer *w, unsigned level, uint64_t table, uint64_t iova,
			const struct pgtable_entry *entry)
{
	const struct pgtable *pt = w->pt;
	unsigned span_lg2 = pt->levels[level].span_lg2;
	uint32_t entries = 1u << pt->levels[level].index_lg2, count;

	write_table_fact(w, level, table, iova, entry);
	for (uint32_t i = 0; i < entries; i += count) {
		uint64_t at = iova + ((uint64_t)i << span_lg2);
		struct pgtable_entry found;

		count = 1;
		decode_at(w, level, table, i, &found);
		if (!found.raw)
			continue;
		if (found.kind == ENTRY_TABLE) {
			run_end(w);
			write_table(w, level - 1, found.paddr, at, &found);
			continue;
		}
		if (found.kind == ENTRY_LEAF)
			count = leaf_entries(w, level, table, i, &found);
		run_add(w, pgtable_iova_extend(&pt->config, at),
			pgtable_iova_extend(&pt->config, at + ((uint64_t)count << span_lg2) - 1), level,
			count == 1u << found.contig_lg2, &found);
	}
	run_end(w);
}

static void write_format(const struct section_writer *w)
{
	const struct pgtable_config *config = &w->pt->config;
	g_autoptr(GString) options = g_string_new(NULL);

	for (const struct pgtable_option *option = pgtable_options; option->name; option++)
		if (option->quirk ? (config->quirks & option->quirk) != 0
				  : *((const bool *)config + option->member))
			g_string_append_printf(options, "%s%s", options->len ? "," : "", option->name);
	snapshot_fact(w->writer, "format");
	snapshot_u64(w->writer, "domain", w->domain);
	snapshot_text(w->writer, "name", w->pt->ops->name);
	snapshot_u64(w->writer, "ias", config->ias_bits);
	snapshot_u64(w->writer, "oas", config->oas_bits);
	snapshot_u64(w->writer, "top_level", config->top_level);
	snapshot_hex(w->writer, "page_sizes", config->page_sizes, 16);
	snapshot_text(w->writer, "options", options->len ? options->str : "none");
	snapshot_hex(w->writer, "table_offset", config->table_offset, 16);
	if (w->pt->sim->mem.base != PHYSMEM_BASE)
		snapshot_hex(w->writer, "memory", w->pt->sim->mem.base, 16);
}

void pgtable_section_write(struct snapshot_writer *writer, uint64_t domain, const struct pgtable *pt)
{
	struct section_writer w = {.writer = writer, .pt = pt, .domain = domain};
	unsigned top = pt->config.top_level;

	write_format(&w);
	write_table(&w, top, pt->root_paddr, pt->first_iova, NULL);
	for (uint64_t i = 1; i < pt->root_count; i++)
		write_table(&w, top, pt->roots[i],
			    i << (pt->levels[top].span_lg2 + pt->levels[top].index_lg2), NULL);
}

/* Where a table lies is chance, and where a page lies is what [mapping] compares; so is what is mapped at all. */

static const char *const format_unseen[] = {"table_offset", "memory", NULL};
static const char *const leaf_unseen[] = {"level", "raw", "step", NULL};
static const char *const table_unseen[] = {"entry", "pa", NULL};
static const char *const zero_unseen[] = {"raw", NULL};
static const char *const leaf_changes[] = {"size", "page size changed", NULL};

const struct snapshot_noun pgtable_section_nouns[] = {
	{.name = "format",
	 .keys = {"domain"},
	 .unseen = format_unseen,
	 .added = "page-table format added",
	 .removed = "page-table format removed",
	 .changed = "page-table format changed"},
	{.name = "invalid",
	 .keys = {"domain", "level", "iova"},
	 .range = "iova",
	 .unseen = leaf_unseen,
	 .added = "invalid page-table entry added",
	 .removed = "invalid page-table entry removed",
	 .changed = "invalid page-table entry changed"},
	{.name = "leaf",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .unseen = leaf_unseen,
	 .changed = "page-table entry changed",
	 .field_changed = leaf_changes},
	{.name = "table",
	 .keys = {"domain", "level", "iova"},
	 .range = "iova",
	 .unseen = table_unseen,
	 .added = "page table added",
	 .removed = "page table removed",
	 .changed = "page-table entry changed"},
	{.name = "zero", .keys = {"domain", "level", "iova"}, .range = "iova", .unseen = zero_unseen},
	{0},
};

const struct snapshot_rule pgtable_section_rules[] = {
	{SNAPSHOT_VALUE_EXISTS, "format", "domain", "domain", "id", NULL, NULL,
	 "page table of a domain that does not exist"},
	{SNAPSHOT_VALUE_EXISTS, "leaf", "domain", "format", "domain", NULL, NULL, "entry without a format"},
	{SNAPSHOT_VALUE_EXISTS, "table", "domain", "format", "domain", NULL, NULL,
	 "page table without a format"},
	{SNAPSHOT_DISJOINT, "leaf", NULL, NULL, NULL, NULL, NULL, "page-table entries overlap"},
	{SNAPSHOT_DISJOINT, "table", NULL, NULL, NULL, NULL, NULL, "page tables of a level overlap"},
	{SNAPSHOT_COVERED_BY, "leaf", "domain", "map", "domain", NULL, NULL,
	 "page-table entry outside every mapping"},
	{0},
};
