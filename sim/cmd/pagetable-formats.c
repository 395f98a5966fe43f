/* SPDX-License-Identifier: MIT */
/*
 * iommusim pagetable formats: what each row of the table of formats says of itself, and what a page table of each of its
 * geometries turns out to be.
 */
#include "iommu/pgtable/pgtable.h"
#include "sim/cmd/cmd.h"
#include "sim/report/facts.h"

#define UNITS "KMGTPE"

/** Appends @bytes, a power of two from 1 KiB on: "4K". */
static void append_size(GString *text, uint64_t bytes)
{
	unsigned lg2 = (unsigned)__builtin_ctzll(bytes);

	g_string_append_printf(text, "%u%c", 1u << lg2 % 10, UNITS[lg2 / 10 - 1]);
}

/** Appends the sizes of the bitmap; three and more powers of two in a row as "4K-256G". */
static void append_sizes(GString *text, uint64_t sizes)
{
	while (sizes) {
		uint64_t first = sizes & -sizes, last = first;

		while (sizes & last << 1)
			last <<= 1;
		if (last <= first << 1)
			last = first;
		if (text->len)
			g_string_append_c(text, ' ');
		append_size(text, first);
		if (last != first) {
			g_string_append_c(text, '-');
			append_size(text, last);
		}
		sizes &= ~(last | (last - 1));
	}
}

static void formats_sizes(struct facts *facts, uint64_t sizes)
{
	facts_list_begin(facts, "page_sizes", NULL);
	for (; sizes; sizes &= sizes - 1) {
		facts_begin(facts, NULL, NULL);
		facts_size(facts, "page_bytes", NULL, sizes & -sizes);
		facts_end(facts);
	}
	facts_list_end(facts);
}

/** Index bits from the root down; with @text, the same for people: "9 9 9 9". */
static void formats_levels(struct facts *facts, const struct pgtable *pt, GString *text)
{
	facts_list_begin(facts, "levels", NULL);
	for (unsigned level = pt->config.top_level + 1; level-- > 0;) {
		facts_begin(facts, NULL, NULL);
		facts_u64(facts, "level", NULL, level);
		facts_u64(facts, "index_bits", NULL, pt->levels[level].index_lg2);
		facts_size(facts, "entry_spans_bytes", NULL, UINT64_C(1) << pt->levels[level].span_lg2);
		facts_end(facts);
		g_string_append_printf(text, "%s%u", text->len ? " " : "", pt->levels[level].index_lg2);
	}
	facts_list_end(facts);
}

/** Makes a table of @format and @config and tells what it is. */
static void formats_geometry(struct facts *facts, const struct pgtable_ops *format,
			     struct pgtable_config config)
{
	struct sim *sim = sim_new(1, 1);
	g_autoptr(GString) levels = g_string_new(NULL);
	g_autoptr(GString) sizes = g_string_new(NULL);
	struct pgtable *pt;

	/* Tables appear from 0 on: narrow entries have room for no higher ones. */
	config.table_offset = -PHYSMEM_BASE;
	if (pgtable_new(sim, format, &config, &pt))
		g_assert_not_reached();
	facts_begin(facts, NULL, NULL);
	facts_u64(facts, "iova_bits", NULL, config.ias_bits);
	facts_u64(facts, "address_bits", NULL, config.oas_bits);
	facts_u64(facts, "entry_bytes", NULL, pt->entry_bytes);
	facts_u64(facts, "roots", NULL, MAX(pt->root_count, 1));
	facts_bool(facts, "root_grows", NULL, config.dynamic_top);
	formats_levels(facts, pt, levels);
	formats_sizes(facts, pt->page_sizes);
	facts_end(facts);
	append_sizes(sizes, pt->page_sizes);
	facts_line(facts, "%4u %7u %5u %5u  %-14s %s%s", config.ias_bits, config.oas_bits, pt->entry_bytes,
		   MAX(pt->root_count, 1), levels->str, sizes->str,
		   config.dynamic_top ? "; begins lower, grows to this" : "");
	pgtable_free(pt);
	sim_free(sim);
}

static void formats_row(struct facts *facts, const struct pgtable_ops *format)
{
	g_autofree char *heading = g_strdup_printf("%-16s%s", format->name, format->description);
	g_autoptr(GString) sizes = g_string_new(NULL);

	facts_begin(facts, NULL, heading);
	facts_text(facts, "name", NULL, format->name);
	facts_text(facts, "description", NULL, format->description);
	facts_list_begin(facts, "geometries", NULL);
	for (const struct pgtable_config *config = format->geometries; config && config->ias_bits; config++)
		formats_geometry(facts, format, *config);
	facts_list_end(facts);
	append_sizes(sizes, format->page_sizes);
	if (!format->geometries)
		facts_line(facts, "%4s %7s %5s %5s  %-14s %s", "-", "-", "-", "-", "-", sizes->str);
	facts_end(facts);
}

int cmd_pagetable_formats(const struct command *command, int argc, char **argv)
{
	g_autofree char *text = NULL;
	struct cmd_common common;
	struct facts *facts;

	if (!cmd_parse(command, argc, argv, NULL, 0, 0, &common))
		return common.exit_code;
	facts = facts_new();
	facts_line(facts,
		   "The widest page table of each geometry; index bits from the root to the last level.");
	facts_line(facts, "%s", "");
	facts_line(facts, "%-16sDESCRIPTION", "FORMAT");
	facts_line(facts, "  IOVA ADDRESS ENTRY ROOTS  %-14s PAGES", "INDEX");
	facts_line(facts, "  bits    bits bytes        bits");
	facts_list_begin(facts, "formats", NULL);
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++)
		formats_row(facts, *format);
	facts_list_end(facts);
	text = common.json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	cmd_common_clear(&common);
	return cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
}
