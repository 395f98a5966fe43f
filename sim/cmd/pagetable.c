/* SPDX-License-Identifier: MIT */
/*
 * iommusim pagetable dump and walk: the page tables that a snapshot holds.
 */
#include <string.h>

#include "iommu/dma/pgtable-image.h"
#include "sim/cmd/cmd.h"
#include "sim/core/text.h"
#include "sim/machine/machine.h"
#include "sim/report/facts.h"

/** What is read of a snapshot. */
struct pagetable_snapshot {
	struct pgtable_images *images;
	GPtrArray *devices; /* char *: name of each … */
	GArray *domains;    /* uint64_t: … and its domain */
};

static void pagetable_snapshot_init(struct pagetable_snapshot *snapshot, const char *path)
{
	snapshot->images = pgtable_images_new(path);
	snapshot->devices = g_ptr_array_new_with_free_func(g_free);
	snapshot->domains = g_array_new(FALSE, FALSE, sizeof(uint64_t));
}

static void pagetable_snapshot_finish(struct pagetable_snapshot *snapshot)
{
	pgtable_images_free(snapshot->images);
	g_ptr_array_unref(snapshot->devices);
	g_array_unref(snapshot->domains);
}

static int pagetable_see_fact(void *data, const struct snapshot_line *line, GError **error)
{
	struct pagetable_snapshot *snapshot = data;
	const char *id, *device;
	uint64_t domain;

	if (strcmp(line->section, "domain") != 0)
		return pgtable_images_fact(snapshot->images, line, error);
	id = snapshot_line_get(line, "id");
	device = snapshot_line_get(line, "device");
	if (id && device && text_parse_u64(id, &domain)) {
		g_ptr_array_add(snapshot->devices, g_strdup(device));
		g_array_append_val(snapshot->domains, domain);
	}
	return 0;
}

/** Reads the file of @snapshot. Returns EXIT_DONE, or the exit code after a message. */
static int pagetable_read(struct pagetable_snapshot *snapshot)
{
	static const struct snapshot_visitor visitor = {.fact = pagetable_see_fact};
	const char *path = snapshot->images->path;
	GError *error = NULL;

	if (snapshot_read(path, machine_sections, &visitor, snapshot, &error) != 0 ||
	    pgtable_images_finish(snapshot->images, &error) != 0)
		return cmd_fail_error(error);
	if (!snapshot->images->all->len)
		return cmd_fail("%s: no page tables in it; without an IOMMU there are none", path);
	return EXIT_DONE;
}

/* ---- what both show ---- */

static const char *const prot_names[] = {"-", "r", "w", "rw"};

static const char *prot_name(unsigned prot)
{
	return prot_names[prot & (PROT_READ | PROT_WRITE)];
}

static char *hex(uint64_t value)
{
	return g_strdup_printf("0x%" G_GINT64_MODIFIER "x", value);
}

static void facts_hex(struct facts *facts, const char *key, uint64_t value)
{
	g_autofree char *text = hex(value);

	facts_text(facts, key, NULL, text);
}

static char *raw_text(const struct pgtable *pt, uint64_t raw)
{
	GString *text = g_string_new(NULL);

	text_append_hex(text, raw, pt->entry_bytes * 2);
	return g_string_free(text, FALSE);
}

static const char *kind_name(enum pgtable_entry_kind kind, uint64_t raw)
{
	switch (kind) {
	case ENTRY_LEAF:
		return "page";
	case ENTRY_TABLE:
		return "table";
	case ENTRY_ZERO:
		return "zero";
	default:
		return raw ? "invalid" : "empty";
	}
}

static char *fields_text(const struct pgtable *pt, unsigned level, const struct pgtable_entry *entry)
{
	GString *text = g_string_new(NULL);

	if (pt->ops->describe && entry->kind != ENTRY_EMPTY)
		pt->ops->describe(pt, level, entry->raw, text);
	return g_string_free(text, FALSE);
}

static uint64_t entry_page_bytes(const struct pgtable *pt, unsigned level, const struct pgtable_entry *entry)
{
	return UINT64_C(1) << (pt->levels[level].span_lg2 + entry->contig_lg2);
}

/** Adds what an entry says, but for its place, to the JSON. */
static void facts_entry(struct facts *facts, const struct pgtable *pt, unsigned level,
			const struct pgtable_entry *entry)
{
	g_autofree char *fields = fields_text(pt, level, entry);

	facts_hex(facts, "raw", entry->raw);
	facts_text(facts, "kind", NULL, kind_name(entry->kind, entry->raw));
	if (entry->kind != ENTRY_EMPTY)
		facts_hex(facts, "pa", entry->paddr);
	if (entry->kind == ENTRY_LEAF) {
		facts_u64(facts, "page_bytes", NULL, entry_page_bytes(pt, level, entry));
		facts_text(facts, "prot", NULL, prot_name(entry->prot));
	}
	facts_text(facts, "fields", NULL, fields);
}

/** A line for people; what is empty at its end is left out. */
static void G_GNUC_PRINTF(2, 3) facts_columns(struct facts *facts, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	facts_line(facts, "%s", g_strchomp(text));
}

static const char *device_of(const struct pagetable_snapshot *snapshot, uint64_t domain)
{
	for (guint i = 0; i < snapshot->domains->len; i++)
		if (g_array_index(snapshot->domains, uint64_t, i) == domain)
			return g_ptr_array_index(snapshot->devices, i);
	return "no device";
}

static void facts_domain(struct facts *facts, const struct pagetable_snapshot *snapshot,
			 const struct pgtable_image *image)
{
	const struct pgtable *pt = image->pt;

	facts_u64(facts, "domain", NULL, image->domain);
	facts_text(facts, "device", NULL, device_of(snapshot, image->domain));
	facts_text(facts, "format", NULL, pt->ops->name);
	facts_u64(facts, "iova_bits", NULL, pt->config.ias_bits);
	facts_u64(facts, "address_bits", NULL, pt->config.oas_bits);
}

/* ---- dump ---- */

#define DUMP_COLUMNS "%-10s %-14s %-*s  %-7s %-14s %-12s %-4s %s"

struct pagetable_dump {
	struct facts *facts;
	const struct pgtable_image *image;
	GString *path; /* of the table being shown: "T.0.511" */
};

/** Shows one run: of entries that point to tables it has one. */
static void dump_run(const struct pagetable_dump *dump, const struct pgtable_image_table *table,
		     const struct pgtable_image_run *run)
{
	const struct pgtable *pt = dump->image->pt;
	uint64_t index = (run->first - table->first) >> pt->levels[run->level].span_lg2;
	uint64_t iova = pgtable_image_iova(dump->image, run->first);
	struct pgtable_entry entry;
	g_autofree char *raw = NULL, *fields = NULL, *indices = NULL, *size = NULL, *pages = NULL,
			*points = NULL, *at = hex(iova);

	pgtable_image_decode(dump->image, run, 0, &entry);
	facts_begin(dump->facts, NULL, NULL);
	facts_u64(dump->facts, "index", NULL, index);
	facts_u64(dump->facts, "entries", NULL, run->entries);
	facts_hex(dump->facts, "iova", iova);
	facts_entry(dump->facts, pt, run->level, &entry);
	if (run->step)
		facts_hex(dump->facts, "raw_step", run->step);
	facts_end(dump->facts);

	raw = raw_text(pt, entry.raw);
	fields = fields_text(pt, run->level, &entry);
	indices = run->entries > 1 ? g_strdup_printf("%" G_GUINT64_FORMAT "..%" G_GUINT64_FORMAT, index,
						     index + run->entries - 1)
				   : g_strdup_printf("%" G_GUINT64_FORMAT, index);
	points = entry.kind == ENTRY_EMPTY ? g_strdup("-") : hex(entry.paddr);
	if (entry.kind == ENTRY_LEAF) {
		size = text_size(entry_page_bytes(pt, run->level, &entry));
		pages = g_strdup_printf("%u x %s", MAX(run->entries >> entry.contig_lg2, 1u), size);
	}
	facts_columns(dump->facts, DUMP_COLUMNS, indices, at, pt->entry_bytes * 2 + 2, raw,
		      kind_name(entry.kind, entry.raw), points, pages ? pages : "",
		      entry.kind == ENTRY_LEAF ? prot_name(entry.prot) : "", fields);
}

static void dump_heading(const struct pagetable_dump *dump, const struct pgtable_image_table *table)
{
	const struct pgtable *pt = dump->image->pt;
	const struct pgtable_level *level = &pt->levels[table->level];
	unsigned covers_lg2 = level->span_lg2 + level->index_lg2;
	uint64_t first = pgtable_image_iova(dump->image, table->first);
	uint64_t last = pgtable_image_iova(dump->image, table->first + (UINT64_MAX >> (64 - covers_lg2)));
	g_autofree char *heading =
		g_strdup_printf("%s: level %u at 0x%" G_GINT64_MODIFIER "x, for IOVA 0x%" G_GINT64_MODIFIER
				"x-0x%" G_GINT64_MODIFIER "x",
				dump->path->str, table->level, table->paddr, first, last);

	facts_begin(dump->facts, NULL, heading);
	facts_text(dump->facts, "path", NULL, dump->path->str);
	facts_u64(dump->facts, "level", NULL, table->level);
	facts_hex(dump->facts, "pa", table->paddr);
	facts_hex(dump->facts, "first_iova", first);
	facts_hex(dump->facts, "last_iova", last);
	facts_u64(dump->facts, "index_bits", NULL, level->index_lg2);
}

/** Returns the first run of @table, and in *@ret_count how many it has. */
static const struct pgtable_image_run *table_runs(const struct pgtable_image *image,
						  const struct pgtable_image_table *table, guint *ret_count)
{
	const struct pgtable_level *level = &image->pt->levels[table->level];
	uint64_t last = table->first + (UINT64_MAX >> (64 - (level->span_lg2 + level->index_lg2)));
	guint from = pgtable_image_run_from(image, table->level, table->first), to = from;

	for (; to < image->runs->len; to++) {
		const struct pgtable_image_run *run =
			&g_array_index(image->runs, struct pgtable_image_run, to);

		if (run->level != table->level || run->first > last)
			break;
	}
	*ret_count = to - from;
	return &g_array_index(image->runs, struct pgtable_image_run, from);
}

/** Shows @table, then those that it points to. */
static void dump_table(struct pagetable_dump *dump, const struct pgtable_image_table *table)
{
	guint count;
	const struct pgtable_image_run *runs = table_runs(dump->image, table, &count);
	gsize path_len = dump->path->len;

	dump_heading(dump, table);
	facts_list_begin(dump->facts, "entries", NULL);
	for (guint i = 0; i < count; i++)
		dump_run(dump, table, &runs[i]);
	if (!count)
		facts_line(dump->facts, "empty");
	facts_list_end(dump->facts);
	facts_end(dump->facts);
	for (guint i = 0; table->level > 0 && i < count; i++) {
		const struct pgtable_image_table *below =
			pgtable_image_table(dump->image, table->level - 1u, runs[i].first);

		if (!runs[i].points)
			continue;
		g_string_append_printf(dump->path, ".%" G_GUINT64_FORMAT,
				       (runs[i].first - table->first) >>
					       dump->image->pt->levels[table->level].span_lg2);
		dump_table(dump, below);
		g_string_truncate(dump->path, path_len);
	}
}

static void dump_image(struct facts *facts, const struct pagetable_snapshot *snapshot,
		       const struct pgtable_image *image)
{
	const struct pgtable *pt = image->pt;
	unsigned top = pt->config.top_level;
	struct pagetable_dump dump = {.facts = facts, .image = image, .path = g_string_new(NULL)};
	g_autofree char *heading =
		g_strdup_printf("domain %" G_GUINT64_FORMAT ": %s, %s (%s), %u-bit IOVAs, levels %u to 0",
				image->domain, device_of(snapshot, image->domain), pt->ops->name,
				pt->ops->description, pt->config.ias_bits, top);

	facts_begin(facts, NULL, heading);
	facts_domain(facts, snapshot, image);
	facts_line(facts, "  " DUMP_COLUMNS, "INDEX", "IOVA", pt->entry_bytes * 2 + 2, "RAW", "KIND",
		   "POINTS TO", "PAGES", "PROT", "FIELDS");
	facts_list_begin(facts, "tables", NULL);
	for (guint i = 0, root = 0; i < image->tables->len; i++) {
		const struct pgtable_image_table *table =
			&g_array_index(image->tables, struct pgtable_image_table, i);

		if (table->level != top)
			continue;
		if (pt->root_count > 1)
			g_string_printf(dump.path, "T%u", root++);
		else
			g_string_assign(dump.path, "T");
		dump_table(&dump, table);
	}
	facts_list_end(facts);
	facts_end(facts);
	g_string_free(dump.path, TRUE);
}

/** Prints the page tables, or with @format only those of that format. */
static int pagetable_dump(const struct cmd_common *common, const struct pagetable_snapshot *snapshot,
			  const char *format)
{
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;
	unsigned shown = 0;

	facts_list_begin(facts, "domains", NULL);
	for (guint i = 0; i < snapshot->images->all->len; i++) {
		const struct pgtable_image *image = g_ptr_array_index(snapshot->images->all, i);

		if (format && strcmp(image->pt->ops->name, format) != 0)
			continue;
		dump_image(facts, snapshot, image);
		shown++;
	}
	facts_list_end(facts);
	text = common->json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	if (!shown)
		return cmd_fail("%s: no page table of format %s in it", snapshot->images->path, format);
	return cmd_print(text) ? EXIT_DONE : EXIT_UNUSABLE;
}

int cmd_pagetable_dump(const struct command *command, int argc, char **argv)
{
	g_autofree char *format = NULL;
	const GOptionEntry entries[] = {
		{"format", 0, 0, G_OPTION_ARG_FILENAME, &format, "only page tables of this format", "NAME"},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct pagetable_snapshot snapshot;
	struct cmd_common common;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, 1, &common))
		return common.exit_code;
	pagetable_snapshot_init(&snapshot, common.args[0]);
	if (format && !pgtable_format(format))
		code = cmd_fail("--format=%s: no page-table format is called so; see \"iommusim pagetable formats\"", format);
	else
		code = pagetable_read(&snapshot);
	if (code == EXIT_DONE)
		code = pagetable_dump(&common, &snapshot, format);
	pagetable_snapshot_finish(&snapshot);
	cmd_common_clear(&common);
	return code;
}

/* ---- walk ---- */

/** Shows the entry that the walk read at @level. */
static void walk_step(struct facts *facts, const struct pgtable *pt, const struct pgtable_walk *walk,
		      unsigned level, uint64_t iova)
{
	uint64_t index =
		iova >> pt->levels[level].span_lg2 & ((UINT64_C(1) << pt->levels[level].index_lg2) - 1);
	uint64_t at = walk->table[level] + index * pt->entry_bytes;
	const void *bytes = pgtable_bytes(pt, at);
	struct pgtable_entry entry;
	g_autofree char *raw = NULL, *fields = NULL;

	pt->ops->decode(pt, level, bytes, 0, &entry);
	entry.raw = pgtable_entry_raw(pt, bytes);
	facts_begin(facts, NULL, NULL);
	facts_u64(facts, "level", NULL, level);
	facts_hex(facts, "table_pa", walk->table[level]);
	facts_u64(facts, "index", NULL, index);
	facts_hex(facts, "entry_pa", at);
	facts_entry(facts, pt, level, &entry);
	facts_end(facts);

	raw = raw_text(pt, entry.raw);
	fields = fields_text(pt, level, &entry);
	facts_columns(facts,
		      "%5u  0x%-14" G_GINT64_MODIFIER "x %5" G_GUINT64_FORMAT "  0x%-14" G_GINT64_MODIFIER
		      "x %s  %-7s %s",
		      level, walk->table[level], index, at, raw, kind_name(entry.kind, entry.raw), fields);
}

/** Why there is no page. */
static char *walk_stop(const struct pgtable *pt, const struct pgtable_walk *walk)
{
	if (!walk->levels_touched)
		return g_strdup_printf("out of reach of the root, which is of level %u",
				       pt->config.top_level);
	return g_strdup_printf("the entry of level %u maps nothing", walk->stop_level);
}

static void walk_result(struct facts *facts, const struct pgtable *pt, const struct pgtable_walk *walk,
			bool mapped)
{
	g_autofree char *size = NULL, *stop = NULL;

	facts_bool(facts, "mapped", NULL, mapped);
	if (mapped) {
		size = text_size(walk->leaf_size);
		facts_hex(facts, "pa", walk->paddr);
		facts_text(facts, "prot", NULL, prot_name(walk->prot));
		facts_u64(facts, "page_bytes", NULL, walk->leaf_size);
		facts_line(facts, "physical address 0x%" G_GINT64_MODIFIER "x, %s, in a page of %s",
			   walk->paddr, prot_name(walk->prot), size);
		return;
	}
	stop = walk_stop(pt, walk);
	facts_u64(facts, "stop_level", NULL, walk->stop_level);
	facts_text(facts, "stop", NULL, stop);
	facts_line(facts, "not mapped: %s", stop);
}

/** Walks and prints; @pt has the tables that @iova needs. */
static int walk_show(const struct cmd_common *common, const struct pagetable_snapshot *snapshot,
		     const struct pgtable_image *image, const struct pgtable *pt, uint64_t iova)
{
	struct facts *facts = facts_new();
	struct pgtable_walk walk;
	bool mapped = pt->ops->walk(pt, iova, &walk);
	g_autofree char *text = NULL;

	facts_line(facts, "IOVA 0x%" G_GINT64_MODIFIER "x of %s, domain %" G_GUINT64_FORMAT ", %s", iova,
		   device_of(snapshot, image->domain), image->domain, pt->ops->name);
	facts_domain(facts, snapshot, image);
	facts_hex(facts, "iova", iova);
	facts_line(facts, "LEVEL  %-16s INDEX  %-16s %-*s  KIND    FIELDS", "TABLE", "ENTRY AT",
		   pt->entry_bytes * 2 + 2, "RAW");
	facts_list_begin(facts, "levels", NULL);
	for (unsigned level = pt->config.top_level + 1; level-- > 0;)
		if (walk.table[level])
			walk_step(facts, pt, &walk, level, iova);
	facts_list_end(facts);
	walk_result(facts, pt, &walk, mapped);
	text = common->json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	if (!cmd_print(text))
		return EXIT_UNUSABLE;
	return mapped ? EXIT_DONE : EXIT_FOUND;
}

/** Returns the page table of @device, or NULL after a message. */
static const struct pgtable_image *walk_find(const struct pagetable_snapshot *snapshot, const char *device)
{
	const char *path = snapshot->images->path;

	for (guint i = 0; i < snapshot->devices->len; i++) {
		uint64_t domain = g_array_index(snapshot->domains, uint64_t, i);
		const struct pgtable_image *image = pgtable_images_find(snapshot->images, domain);

		if (strcmp(g_ptr_array_index(snapshot->devices, i), device) != 0)
			continue;
		if (!image)
			cmd_fail("%s: no page table of %s in it", path, device);
		return image;
	}
	if (snapshot->devices->len)
		cmd_fail("%s: no device \"%s\" in it; there is %s", path, device,
			 (const char *)g_ptr_array_index(snapshot->devices, 0));
	else
		cmd_fail("%s: no device \"%s\" in it", path, device);
	return NULL;
}

static int pagetable_walk(const struct cmd_common *common, const struct pagetable_snapshot *snapshot,
			  uint64_t iova)
{
	const struct pgtable_image *image = walk_find(snapshot, common->args[1]);
	struct pgtable *pt;
	GError *error = NULL;
	int code;

	if (!image)
		return EXIT_UNUSABLE;
	if (!pgtable_image_has_iova(image, iova))
		return cmd_fail("%s: not an IOVA of %s, which has %u bits", common->args[2], common->args[1],
				image->pt->config.ias_bits);
	pt = pgtable_image_place(snapshot->images, image, iova, &error);
	if (!pt)
		return cmd_fail_error(error);
	code = walk_show(common, snapshot, image, pt, iova);
	pgtable_image_withdraw(pt);
	return code;
}

int cmd_pagetable_walk(const struct command *command, int argc, char **argv)
{
	struct pagetable_snapshot snapshot;
	struct cmd_common common;
	uint64_t iova;
	int code;

	if (!cmd_parse(command, argc, argv, NULL, 3, 3, &common))
		return common.exit_code;
	pagetable_snapshot_init(&snapshot, common.args[0]);
	if (!text_parse_u64(common.args[2], &iova))
		code = cmd_fail("%s: not an IOVA: a number, decimal or 0x…", common.args[2]);
	else
		code = pagetable_read(&snapshot);
	if (code == EXIT_DONE)
		code = pagetable_walk(&common, &snapshot, iova);
	pagetable_snapshot_finish(&snapshot);
	cmd_common_clear(&common);
	return code;
}
