/* SPDX-License-Identifier: MIT */
#include "iommu/dma/pgtable-image.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"

/* In one file: more than any machine here has. */
#define RUNS_MAX    (1u << 22)
#define DOMAINS_MAX 256u

/** A fact that is being read. */
struct image_reading {
	const char *path;
	const struct snapshot_line *line;
	struct pgtable_image *image; /* of the fact's domain; NULL for a format */
};

struct pgtable_images *pgtable_images_new(const char *path)
{
	struct pgtable_images *images = g_new0(struct pgtable_images, 1);

	images->path = g_strdup(path);
	images->all = g_ptr_array_new();
	return images;
}

static void image_free(struct pgtable_image *image)
{
	pgtable_image_withdraw(image->pt);
	g_array_unref(image->tables);
	g_array_unref(image->runs);
	g_free(image);
}

void pgtable_images_free(struct pgtable_images *images)
{
	if (!images)
		return;
	for (guint i = 0; i < images->all->len; i++)
		image_free(g_ptr_array_index(images->all, i));
	g_ptr_array_unref(images->all);
	g_free(images->path);
	g_free(images);
}

const struct pgtable_image *pgtable_images_find(const struct pgtable_images *images, uint64_t domain)
{
	for (guint i = 0; i < images->all->len; i++) {
		const struct pgtable_image *image = g_ptr_array_index(images->all, i);

		if (image->domain == domain)
			return image;
	}
	return NULL;
}

static int G_GNUC_PRINTF(3, 4)
	fault(const struct image_reading *reading, GError **error, const char *format, ...)
{
	g_autofree char *message = NULL;
	va_list args;

	va_start(args, format);
	message = g_strdup_vprintf(format, args);
	va_end(args);
	sim_error_line(error, reading->path, reading->line->number, "%s %s", reading->line->noun, message);
	return -1;
}

/* ---- fields ---- */

static bool has_field(const struct image_reading *reading, const char *field)
{
	return snapshot_line_get(reading->line, field) != NULL;
}

/** Reads the number in @field, which must not be above @max; 0 where it cannot be read. */
static int read_u64(const struct image_reading *reading, const char *field, uint64_t max, uint64_t *ret_value,
		    GError **error)
{
	const char *text = snapshot_line_get(reading->line, field);
	uint64_t value;

	*ret_value = 0;
	if (!text)
		return fault(reading, error, "without its field \"%s\"", field);
	if (!text_parse_u64(text, &value))
		return fault(reading, error, "with %s=%s, which is not a number", field, text);
	if (value > max)
		return fault(reading, error, "with %s=%s, which is too large", field, text);
	*ret_value = value;
	return 0;
}

/** The same of what has as many bits as an entry. */
static int read_raw(const struct image_reading *reading, const char *field, uint64_t *ret_raw, GError **error)
{
	uint64_t max = reading->image->pt->entry_bytes == sizeof(uint32_t) ? UINT32_MAX : UINT64_MAX;

	return read_u64(reading, field, max, ret_raw, error);
}

/* ---- the format ---- */

static int read_options(const struct image_reading *reading, struct pgtable_config *config, GError **error)
{
	const char *text = snapshot_line_get(reading->line, "options");
	g_auto(GStrv) names = NULL;

	if (!text)
		return fault(reading, error, "without its field \"options\"");
	if (strcmp(text, "none") == 0)
		return 0;
	names = g_strsplit(text, ",", -1);
	for (char **name = names; *name; name++) {
		const struct pgtable_option *option = pgtable_options;

		while (option->name && strcmp(option->name, *name) != 0)
			option++;
		if (!option->name)
			return fault(reading, error, "with an unknown option \"%s\"", *name);
		if (option->quirk)
			config->quirks |= option->quirk;
		else
			*((bool *)config + option->member) = true;
	}
	return 0;
}

static int read_config(const struct image_reading *reading, struct pgtable_config *config, GError **error)
{
	uint64_t ias, oas, top_level;

	if (read_u64(reading, "ias", 64, &ias, error) < 0 || read_u64(reading, "oas", 64, &oas, error) < 0 ||
	    read_u64(reading, "top_level", PGTABLE_LEVELS_MAX - 1, &top_level, error) < 0 ||
	    read_u64(reading, "page_sizes", UINT64_MAX, &config->page_sizes, error) < 0 ||
	    read_u64(reading, "table_offset", UINT64_MAX, &config->table_offset, error) < 0)
		return -1;
	config->ias_bits = (unsigned)ias;
	config->oas_bits = (unsigned)oas;
	config->top_level = (unsigned)top_level;
	return read_options(reading, config, error);
}

/** Machines that have their memory in another place say where. */
static int read_memory(const struct image_reading *reading, uint64_t *memory, GError **error)
{
	if (!has_field(reading, "memory"))
		return 0;
	if (read_u64(reading, "memory", PHYSMEM_BASE, memory, error) < 0)
		return -1;
	if (*memory % PHYSMEM_ALIGN)
		return fault(reading, error, "with memory=%s, which is no multiple of 4 MiB",
			     snapshot_line_get(reading->line, "memory"));
	return 0;
}

static int read_format(struct pgtable_images *images, const struct image_reading *reading, uint64_t domain,
		       GError **error)
{
	const char *name = snapshot_line_get(reading->line, "name");
	const struct pgtable_ops *format = name ? pgtable_format(name) : NULL;
	struct pgtable_config config = {0};
	struct pgtable_image *image;
	uint64_t memory = PHYSMEM_BASE;
	struct pgtable *pt = NULL;
	struct sim *sim;

	if (!name)
		return fault(reading, error, "without its field \"name\"");
	if (!format)
		return fault(reading, error, "with name=%s, which is no format of page tables", name);
	if (pgtable_images_find(images, domain))
		return fault(reading, error, "a second time for domain %" G_GUINT64_FORMAT, domain);
	if (images->all->len == DOMAINS_MAX)
		return fault(reading, error, "beyond the %u that a snapshot may have", DOMAINS_MAX);
	if (read_config(reading, &config, error) < 0 || read_memory(reading, &memory, error) < 0)
		return -1;
	sim = sim_new(1, 1);
	physmem_move(&sim->mem, memory);
	if (pgtable_new(sim, format, &config, &pt) == 0 && pt->config.top_level != config.top_level)
		g_clear_pointer(&pt, pgtable_free);
	if (!pt) {
		sim_free(sim);
		return fault(reading, error, "with a geometry that %s does not have", name);
	}
	image = g_new0(struct pgtable_image, 1);
	image->domain = domain;
	image->line = reading->line->number;
	image->memory = memory;
	image->pt = pt;
	image->shares_zero_table = pt->zero_table != 0;
	pt->zero_table = 0;
	image->tables = g_array_new(FALSE, FALSE, sizeof(struct pgtable_image_table));
	image->runs = g_array_new(FALSE, FALSE, sizeof(struct pgtable_image_run));
	g_ptr_array_add(images->all, image);
	return 0;
}

/* ---- IOVAs ---- */

static unsigned table_lg2(const struct pgtable *pt, unsigned level)
{
	return pt->levels[level].span_lg2 + pt->levels[level].index_lg2;
}

static unsigned root_count(const struct pgtable *pt)
{
	return MAX(pt->root_count, 1);
}

/** Returns the first IOVA of root @index. */
static uint64_t root_first(const struct pgtable *pt, unsigned index)
{
	return index ? (uint64_t)index << table_lg2(pt, pt->config.top_level) : 0;
}

static uint64_t low_bits(unsigned bits)
{
	return bits ? UINT64_MAX >> (64 - bits) : 0;
}

/** Returns the last IOVA that the roots have entries for, which may be more than are of use, and fewer. */
static uint64_t reach_last(const struct pgtable *pt)
{
	unsigned roots_lg2 = (unsigned)__builtin_ctz(root_count(pt));

	return low_bits(MIN(64, MAX(table_lg2(pt, pt->config.top_level) + roots_lg2, pt->config.ias_bits)));
}

uint64_t pgtable_image_iova(const struct pgtable_image *image, uint64_t first)
{
	return pgtable_iova_extend(&image->pt->config, first + image->pt->first_iova);
}

/** Returns whether an entry of the tables may be that of @iova; then *@ret_first is what the image calls it. */
static bool iova_first(const struct pgtable_image *image, uint64_t iova, uint64_t *ret_first)
{
	const struct pgtable_config *config = &image->pt->config;
	uint64_t first = iova - image->pt->first_iova;

	if (config->sign_extend)
		first &= low_bits(config->ias_bits);
	if (first > reach_last(image->pt) || pgtable_image_iova(image, first) != iova)
		return false;
	*ret_first = first;
	return true;
}

bool pgtable_image_has_iova(const struct pgtable_image *image, uint64_t iova)
{
	uint64_t first;

	return iova_first(image, iova, &first) && first <= low_bits(image->pt->config.ias_bits);
}

/** Reads the fact's IOVAs: [*@ret_first, *@ret_last], as the image counts them. */
static int read_range(const struct image_reading *reading, unsigned level, uint64_t *ret_first,
		      uint64_t *ret_last, GError **error)
{
	const char *text = snapshot_line_get(reading->line, "iova");
	uint64_t mask = low_bits(reading->image->pt->levels[level].span_lg2), first, last;

	if (!text || !snapshot_parse_range(text, &first, &last))
		return fault(reading, error, "without a range of IOVAs");
	if (!iova_first(reading->image, first, ret_first) || !iova_first(reading->image, last, ret_last) ||
	    *ret_first > *ret_last)
		return fault(reading, error, "with IOVAs that the page table does not have");
	if (*ret_first & mask || (*ret_last & mask) != mask)
		return fault(reading, error, "with IOVAs that are not whole entries of level %u", level);
	return 0;
}

/* ---- entries ---- */

static void decode_raw(const struct pgtable *pt, unsigned level, uint64_t raw,
		       struct pgtable_entry *ret_entry)
{
	union {
		uint64_t wide;
		uint32_t narrow;
	} entry = {.wide = raw};

	if (pt->entry_bytes == sizeof(entry.narrow))
		entry.narrow = (uint32_t)raw;
	pt->ops->decode(pt, level, &entry, 0, ret_entry);
}

static uint64_t run_raw(const struct pgtable_image_run *run, uint32_t index)
{
	return run->raw + run->step * (index / run->unit);
}

void pgtable_image_decode(const struct pgtable_image *image, const struct pgtable_image_run *run,
			  uint32_t index, struct pgtable_entry *ret_entry)
{
	uint64_t raw = run_raw(run, index);

	if (image->pt->entry_bytes == sizeof(uint32_t))
		raw = (uint32_t)raw;
	decode_raw(image->pt, run->level, raw, ret_entry);
	ret_entry->raw = raw;
}

static int add_run(struct pgtable_images *images, const struct image_reading *reading,
		   const struct pgtable_image_run *run, GError **error)
{
	if (images->runs == RUNS_MAX)
		return fault(reading, error, "beyond the %u entries that a snapshot may have", RUNS_MAX);
	images->runs++;
	g_array_append_vals(reading->image->runs, run, 1);
	return 0;
}

/** Whether the leaf @entry is one that can be: what the file says may come to anything. */
static int check_leaf(const struct image_reading *reading, unsigned level, const struct pgtable_entry *entry,
		      GError **error)
{
	const struct pgtable_level *geometry = &reading->image->pt->levels[level];
	uint64_t size, attr;

	if (read_u64(reading, "size", UINT64_MAX, &size, error) < 0 ||
	    read_raw(reading, "attr", &attr, error) < 0)
		return -1;
	if (entry->contig_lg2 > geometry->index_lg2 || geometry->span_lg2 + entry->contig_lg2 > 62)
		return fault(reading, error, "with raw=%s, of more entries than a table has",
			     snapshot_line_get(reading->line, "raw"));
	if (size != UINT64_C(1) << (geometry->span_lg2 + entry->contig_lg2))
		return fault(reading, error,
			     "with size=%" G_GUINT64_FORMAT ", where the entry says %" G_GUINT64_FORMAT, size,
			     UINT64_C(1) << (geometry->span_lg2 + entry->contig_lg2));
	if (attr != entry->attr)
		return fault(reading, error, "with attr=%s, where the entry says 0x%" G_GINT64_MODIFIER "x",
			     snapshot_line_get(reading->line, "attr"), entry->attr);
	return 0;
}

/** Whether a table of @len_bytes may lie at @paddr. */
static bool table_can_lie(const struct pgtable_image *image, uint64_t paddr, uint64_t len_bytes)
{
	return paddr >= image->memory && (paddr & (len_bytes - 1)) == 0 &&
	       paddr - image->memory <= PHYSMEM_PLACE_MAX - len_bytes;
}

/** Where the table that all unused entries share is not known yet, takes it from @raw, one of those. */
static void learn_zero_table(struct pgtable_image *image, unsigned level, uint64_t raw)
{
	struct pgtable *pt = image->pt;
	struct pgtable_entry entry;

	if (!image->shares_zero_table || pt->zero_table)
		return;
	decode_raw(pt, level, raw, &entry);
	if (entry.kind == ENTRY_TABLE && table_can_lie(image, entry.paddr, pgtable_table_bytes(pt, level - 1)))
		pt->zero_table = entry.paddr;
}

/** The facts of entries that do not point to a table of the tree. */
static const struct {
	const char *noun;
	enum pgtable_entry_kind kind;
	const char *otherwise; /* what one that is of another kind does */
} entry_nouns[] = {
	{"leaf", ENTRY_LEAF, "maps nothing"},
	{"invalid", ENTRY_EMPTY, "means something"},
	{"zero", ENTRY_ZERO, "does not point to the shared table"},
	{NULL, ENTRY_EMPTY, NULL},
};

/** Reads a fact of entry_nouns[@noun]. */
static int read_entries(struct pgtable_images *images, const struct image_reading *reading, unsigned noun,
			GError **error)
{
	const struct pgtable *pt = reading->image->pt;
	enum pgtable_entry_kind kind = entry_nouns[noun].kind;
	struct pgtable_image_run run = {.line = reading->line->number, .unit = 1};
	uint64_t level, last;
	struct pgtable_entry entry;

	if (read_u64(reading, "level", pt->config.top_level, &level, error) < 0 ||
	    read_range(reading, (unsigned)level, &run.first, &last, error) < 0 ||
	    read_raw(reading, "raw", &run.raw, error) < 0 ||
	    (has_field(reading, "step") && read_raw(reading, "step", &run.step, error) < 0))
		return -1;
	if ((last - run.first) >> pt->levels[level].span_lg2 >> pt->levels[level].index_lg2)
		return fault(reading, error, "of more entries than a table has");
	run.level = (uint8_t)level;
	run.entries = (uint32_t)((last - run.first) >> pt->levels[level].span_lg2) + 1;
	if (kind == ENTRY_ZERO)
		learn_zero_table(reading->image, run.level, run.raw);
	decode_raw(pt, run.level, run.raw, &entry);
	if (entry.kind != kind)
		return fault(reading, error, "with raw=%s, which %s", snapshot_line_get(reading->line, "raw"),
			     entry_nouns[noun].otherwise);
	if (kind == ENTRY_LEAF && check_leaf(reading, run.level, &entry, error) < 0)
		return -1;
	if (run.step) {
		run.unit = 1u << entry.contig_lg2;
		if (run.entries % run.unit)
			return fault(reading, error, "with a step, but not of whole pages");
	}
	return add_run(images, reading, &run, error);
}

/* ---- tables ---- */

/** Reads the entry that points to the table. */
static int read_pointer(struct pgtable_images *images, const struct image_reading *reading,
			const struct pgtable_image_table *table, GError **error)
{
	struct pgtable_image_run run = {.first = table->first,
					.line = table->line,
					.entries = 1,
					.unit = 1,
					.level = (uint8_t)(table->level + 1),
					.points = true};
	struct pgtable_entry entry;
	uint64_t attr;

	if (read_raw(reading, "entry", &run.raw, error) < 0 || read_raw(reading, "attr", &attr, error) < 0)
		return -1;
	decode_raw(reading->image->pt, run.level, run.raw, &entry);
	if (entry.kind != ENTRY_TABLE || entry.paddr != table->paddr)
		return fault(reading, error, "with entry=%s, which does not point to it",
			     snapshot_line_get(reading->line, "entry"));
	if (attr != entry.attr)
		return fault(reading, error, "with attr=%s, where the entry says 0x%" G_GINT64_MODIFIER "x",
			     snapshot_line_get(reading->line, "attr"), entry.attr);
	return add_run(images, reading, &run, error);
}

static int read_table(struct pgtable_images *images, const struct image_reading *reading, GError **error)
{
	const struct pgtable *pt = reading->image->pt;
	struct pgtable_image_table table = {.line = reading->line->number};
	uint64_t level, last, span;

	if (read_u64(reading, "level", pt->config.top_level, &level, error) < 0 ||
	    read_range(reading, (unsigned)level, &table.first, &last, error) < 0 ||
	    read_u64(reading, "pa", UINT64_MAX, &table.paddr, error) < 0)
		return -1;
	span = low_bits(table_lg2(pt, (unsigned)level));
	if (table.first & span || last - table.first != span)
		return fault(reading, error, "with other IOVAs than a table of level %u is for",
			     (unsigned)level);
	if (!table_can_lie(reading->image, table.paddr, pgtable_table_bytes(pt, (unsigned)level)))
		return fault(
			reading, error, "with pa=%s, where no table of %" G_GUINT64_FORMAT " bytes can lie",
			snapshot_line_get(reading->line, "pa"), pgtable_table_bytes(pt, (unsigned)level));
	table.level = (uint8_t)level;
	table.linked = has_field(reading, "entry");
	if (table.linked && level == pt->config.top_level)
		return fault(reading, error, "with an entry that points to it, though it is a root");
	if (level < pt->config.top_level && read_pointer(images, reading, &table, error) < 0)
		return -1;
	g_array_append_val(reading->image->tables, table);
	return 0;
}

int pgtable_images_fact(struct pgtable_images *images, const struct snapshot_line *line, GError **error)
{
	struct image_reading reading = {.path = images->path, .line = line};
	uint64_t domain;

	if (strcmp(line->section, PGTABLE_SECTION) != 0)
		return 0;
	if (read_u64(&reading, "domain", UINT64_MAX, &domain, error) < 0)
		return -1;
	if (strcmp(line->noun, "format") == 0)
		return read_format(images, &reading, domain, error);
	reading.image = (struct pgtable_image *)pgtable_images_find(images, domain);
	if (!reading.image)
		return fault(&reading, error, "of domain %" G_GUINT64_FORMAT ", which has no format", domain);
	if (strcmp(line->noun, "table") == 0)
		return read_table(images, &reading, error);
	for (unsigned i = 0; entry_nouns[i].noun; i++)
		if (strcmp(line->noun, entry_nouns[i].noun) == 0)
			return read_entries(images, &reading, i, error);
	return 0;
}

/* ---- the whole ---- */

static int compare_places(unsigned level_a, uint64_t first_a, unsigned level_b, uint64_t first_b)
{
	if (level_a != level_b)
		return level_a < level_b ? -1 : 1;
	return (first_a > first_b) - (first_a < first_b);
}

static int compare_tables(const void *a, const void *b)
{
	const struct pgtable_image_table *x = a, *y = b;

	return compare_places(x->level, x->first, y->level, y->first);
}

static int compare_runs(const void *a, const void *b)
{
	const struct pgtable_image_run *x = a, *y = b;

	return compare_places(x->level, x->first, y->level, y->first);
}

const struct pgtable_image_table *pgtable_image_table(const struct pgtable_image *image, unsigned level,
						      uint64_t first)
{
	guint low = 0, high = image->tables->len;
	uint64_t start = first & ~low_bits(table_lg2(image->pt, level));

	while (low < high) {
		guint middle = low + (high - low) / 2;
		const struct pgtable_image_table *at =
			&g_array_index(image->tables, struct pgtable_image_table, middle);
		int order = compare_places(at->level, at->first, level, start);

		if (order == 0)
			return at;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static uint64_t run_last(const struct pgtable_image *image, const struct pgtable_image_run *run)
{
	return run->first + ((uint64_t)run->entries << image->pt->levels[run->level].span_lg2) - 1;
}

guint pgtable_image_run_from(const struct pgtable_image *image, unsigned level, uint64_t first)
{
	guint low = 0, high = image->runs->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		const struct pgtable_image_run *at =
			&g_array_index(image->runs, struct pgtable_image_run, middle);

		if (compare_places(at->level, run_last(image, at), level, first) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int check_tables(const struct pgtable_images *images, const struct pgtable_image *image,
			GError **error)
{
	unsigned top = image->pt->config.top_level, wanted = root_count(image->pt), roots = 0;
	const struct pgtable_image_table *previous = NULL;

	for (guint i = 0; i < image->tables->len; i++) {
		const struct pgtable_image_table *at =
			&g_array_index(image->tables, struct pgtable_image_table, i);

		if (previous && compare_tables(previous, at) == 0)
			return sim_error_line(error, images->path, at->line,
					      "table for the same IOVAs as that of line %" G_GUINT64_FORMAT,
					      previous->line);
		roots += at->level == top;
		previous = at;
	}
	for (unsigned i = 0; i < wanted; i++)
		if (!pgtable_image_table(image, top, root_first(image->pt, i)))
			return sim_error_line(error, images->path, image->line,
					      "format of a page table without root %u", i);
	if (roots != wanted)
		return sim_error_line(error, images->path, image->line,
				      "format of a page table with %u roots, where %u must be", roots,
				      wanted);
	return 0;
}

static int check_runs(const struct pgtable_images *images, const struct pgtable_image *image, GError **error)
{
	const struct pgtable_image_run *previous = NULL;

	for (guint i = 0; i < image->runs->len; i++) {
		const struct pgtable_image_run *at = &g_array_index(image->runs, struct pgtable_image_run, i);
		uint64_t last = run_last(image, at);

		if (previous && previous->level == at->level && run_last(image, previous) >= at->first)
			return sim_error_line(error, images->path, at->line,
					      "entry where that of line %" G_GUINT64_FORMAT " is",
					      previous->line);
		if ((at->first ^ last) & ~low_bits(table_lg2(image->pt, at->level)))
			return sim_error_line(error, images->path, at->line,
					      "entries of more than one table");
		if (!pgtable_image_table(image, at->level, at->first))
			return sim_error_line(error, images->path, at->line,
					      "entry of a table that is not there");
		previous = at;
	}
	return 0;
}

int pgtable_images_finish(struct pgtable_images *images, GError **error)
{
	for (guint i = 0; i < images->all->len; i++) {
		struct pgtable_image *image = g_ptr_array_index(images->all, i);

		g_array_sort(image->tables, compare_tables);
		g_array_sort(image->runs, compare_runs);
		if (check_tables(images, image, error) < 0 || check_runs(images, image, error) < 0)
			return -1;
	}
	return 0;
}

/* ---- in memory ---- */

static void write_entry(const struct pgtable *pt, uint64_t at, uint64_t raw)
{
	void *bytes = pgtable_bytes(pt, at);

	if (pt->entry_bytes == sizeof(uint64_t))
		*(uint64_t *)bytes = raw;
	else
		*(uint32_t *)bytes = (uint32_t)raw;
}

/** Writes the entries of @table, which has been placed. */
static void write_entries(const struct pgtable_image *image, const struct pgtable *pt,
			  const struct pgtable_image_table *table)
{
	unsigned span_lg2 = pt->levels[table->level].span_lg2;
	uint64_t last = table->first + low_bits(table_lg2(pt, table->level));

	for (guint i = pgtable_image_run_from(image, table->level, table->first); i < image->runs->len; i++) {
		const struct pgtable_image_run *run =
			&g_array_index(image->runs, struct pgtable_image_run, i);
		uint64_t index = (run->first - table->first) >> span_lg2;

		if (run->level != table->level || run->first > last)
			break;
		for (uint32_t j = 0; j < run->entries; j++)
			write_entry(pt, table->paddr + (index + j) * pt->entry_bytes, run_raw(run, j));
	}
}

static bool tables_overlap(const struct pgtable *pt, const struct pgtable_image_table *a,
			   const struct pgtable_image_table *b)
{
	return a->paddr < b->paddr + pgtable_table_bytes(pt, b->level) &&
	       b->paddr < a->paddr + pgtable_table_bytes(pt, a->level);
}

/** Returns the run that holds the entry of @first in its table of @level, or NULL. */
static const struct pgtable_image_run *find_run(const struct pgtable_image *image, unsigned level,
						uint64_t first)
{
	guint at = pgtable_image_run_from(image, level, first);
	const struct pgtable_image_run *run = &g_array_index(image->runs, struct pgtable_image_run, at);

	return at == image->runs->len || run->level != level || run->first > first ? NULL : run;
}

/** Returns @ret_table, made the shared table of @level, if the entry above it of @first points there; else NULL. */
static const struct pgtable_image_table *find_zero_table(const struct pgtable_image *image, unsigned level,
							 uint64_t first,
							 struct pgtable_image_table *ret_table)
{
	const struct pgtable_image_run *run = find_run(image, level + 1, first);
	struct pgtable_entry entry;

	if (!run)
		return NULL;
	pgtable_image_decode(image, run, 0, &entry);
	if (entry.kind != ENTRY_ZERO)
		return NULL;
	*ret_table = (struct pgtable_image_table){.first = first & ~low_bits(table_lg2(image->pt, level)),
						  .paddr = entry.paddr,
						  .line = run->line,
						  .level = (uint8_t)level};
	return ret_table;
}

/** Finds the tables on the way to the entry of @first, from the root down, the shared one in *@zero. Returns how many, or 0
 *  with *@error. */
static unsigned find_path(const struct pgtable_images *images, const struct pgtable_image *image,
			  uint64_t first, struct pgtable_image_table *zero,
			  const struct pgtable_image_table *path[PGTABLE_LEVELS_MAX], GError **error)
{
	unsigned count = 0;

	for (unsigned level = image->pt->config.top_level + 1; level-- > 0;) {
		const struct pgtable_image_table *table = pgtable_image_table(image, level, first);

		if (!table)
			table = find_zero_table(image, level, first, zero);
		if (!table)
			break;
		for (unsigned i = 0; i < count; i++)
			if (tables_overlap(image->pt, table, path[i])) {
				sim_error_line(error, images->path, table->line,
					       "table where that of line %" G_GUINT64_FORMAT " lies",
					       path[i]->line);
				return 0;
			}
		path[count++] = table;
	}
	return count;
}

/** Whether the entry of @first in @table is what its fact says of the first of its run: so that a walk goes where the
 *  tables are, and nowhere else. */
static int check_entry(const struct pgtable_images *images, const struct pgtable_image *image, unsigned level,
		       uint64_t first, GError **error)
{
	const struct pgtable_image_run *run = find_run(image, level, first);
	struct pgtable_entry entry, wanted;
	uint32_t index;

	if (!run)
		return 0;
	index = (uint32_t)((first - run->first) >> image->pt->levels[level].span_lg2);
	pgtable_image_decode(image, run, 0, &wanted);
	pgtable_image_decode(image, run, index, &entry);
	if (entry.kind == wanted.kind && entry.contig_lg2 == wanted.contig_lg2)
		return 0;
	return sim_error_line(error, images->path, run->line,
			      "step=0x%" G_GINT64_MODIFIER "x makes something else of entry %u", run->step,
			      index);
}

/** Makes the page table's roots those of the image. */
static void set_roots(const struct pgtable_image *image, struct pgtable *pt)
{
	for (unsigned i = 0; i < root_count(pt); i++)
		pt->roots[i] = pgtable_image_table(image, pt->config.top_level, root_first(pt, i))->paddr;
	pt->root_paddr = pt->roots[0];
}

struct pgtable *pgtable_image_place(const struct pgtable_images *images, const struct pgtable_image *image,
				    uint64_t iova, GError **error)
{
	const struct pgtable_image_table *path[PGTABLE_LEVELS_MAX];
	struct pgtable_image_table zero;
	GError *trouble = NULL;
	unsigned count;
	uint64_t first;
	struct sim *sim;
	struct pgtable *pt;

	if (!iova_first(image, iova, &first))
		g_assert_not_reached();
	/* Beyond the roots there is nothing on the way, and nothing will be read. */
	count = find_path(images, image, first, &zero, path, &trouble);
	for (unsigned i = 0; i < count && !trouble; i++)
		check_entry(images, image, path[i]->level, first, &trouble);
	if (trouble) {
		g_propagate_error(error, trouble);
		return NULL;
	}
	sim = sim_new(1, 1);
	physmem_move(&sim->mem, image->memory);
	for (unsigned i = 0; i < count; i++)
		if (!physmem_place(&sim->mem, path[i]->paddr, pgtable_table_bytes(image->pt, path[i]->level),
				   FRAME_PGTABLE))
			g_assert_not_reached();
	/* Its own empty root lies behind all that, and is of no use. */
	if (pgtable_new(sim, image->pt->ops, &image->pt->config, &pt)) {
		sim_error_line(error, images->path, image->line, "format with no room for a root");
		sim_free(sim);
		return NULL;
	}
	for (unsigned i = 0; i < count; i++)
		write_entries(image, pt, path[i]);
	set_roots(image, pt);
	pt->zero_table = image->pt->zero_table;
	return pt;
}

void pgtable_image_withdraw(struct pgtable *pt)
{
	if (!pt)
		return;
	/* Not pgtable_free(), which follows entries: to tables that were not placed. */
	sim_free(pt->sim);
	g_free(pt);
}
