/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/golden-format.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"

/** The families of formats. */
static const struct golden_format *const families[] = {
	golden_generic_formats,
	golden_io_formats,
	NULL,
};

void golden_hex(GString *out, const char *before, uint64_t value)
{
	g_string_append_printf(out, "%s0x%" G_GINT64_MODIFIER "x", before, value);
}

/* Events. */

uint64_t golden_pa(const struct golden *golden, uint64_t paddr)
{
	return paddr - PHYSMEM_BASE + golden->base;
}

static void event_pages_end(struct golden *golden)
{
	if (!golden->pages.count)
		return;
	golden_hex(golden->out, " page iova=", golden->pages.iova);
	golden_hex(golden->out, " granule=", golden->pages.granule);
	g_string_append_printf(golden->out, " n=%u\n", golden->pages.count);
	golden->pages.count = 0;
}

/** Writes what came before the event that is next: pages that were added, then warnings. */
void golden_event_begin(struct golden *golden)
{
	event_pages_end(golden);
	for (; golden->warnings < golden->sim->findings.count[FINDING_KERNEL_WARNING]; golden->warnings++)
		g_string_append(golden->out, " warn\n");
}

static void event(struct golden *golden, const char *what, uint64_t paddr, const char *key, uint64_t size)
{
	golden_event_begin(golden);
	golden_hex(golden->out, what, golden_pa(golden, paddr));
	golden_hex(golden->out, key, size);
	g_string_append_c(golden->out, '\n');
}

static bool event_deny(void *data, uint64_t size)
{
	struct golden *golden = data;

	if (golden->deny == 0 || --golden->deny != 0)
		return false;
	golden_event_begin(golden);
	golden_hex(golden->out, " alloc-fail size=", size);
	g_string_append_c(golden->out, '\n');
	return true;
}

static void event_alloc(void *data, uint64_t paddr, uint64_t size)
{
	struct golden *golden = data;

	golden->live_allocs++;
	event(golden, " alloc pa=", paddr, " size=", size);
}

static void event_free(void *data, uint64_t paddr, uint64_t size)
{
	struct golden *golden = data;

	golden->live_allocs--;
	event(golden, " free pa=", paddr, " size=", size);
}

static void event_flush(void *data, uint64_t paddr, uint64_t len_bytes)
{
	event(data, " sync pa=", paddr, " len=", len_bytes);
}

static void event_gathered_frees(struct golden *golden, const struct pgtable_gather *gather)
{
	for (uint32_t i = 0; i < gather->free_count; i++)
		event_free(golden, gather->freelist[i], FRAME_SIZE);
}

static void event_gather(struct golden *golden, const char *what, const struct pgtable_gather *gather)
{
	golden_event_begin(golden);
	golden_hex(golden->out, what, gather->start);
	golden_hex(golden->out, " end=", gather->end);
	g_string_append_c(golden->out, '\n');
}

static void event_sync(struct pgtable *pt, const struct pgtable_gather *gather, void *data)
{
	if (!pgtable_gather_empty(gather))
		event_gather(data, " iotlb_sync start=", gather);
	event_gathered_frees(data, gather);
}

static void event_map_pages(void *data, uint64_t iova, uint64_t paddr, uint64_t pgsize, uint64_t count)
{
	struct golden *golden = data;

	golden_event_begin(golden);
	golden_hex(golden->out, " map_pages iova=", iova);
	golden_hex(golden->out, " pa=", paddr);
	golden_hex(golden->out, " pgsize=", pgsize);
	g_string_append_printf(golden->out, " count=%" G_GUINT64_FORMAT "\n", count);
}

static void event_map_pages_done(void *data, int err, uint64_t mapped)
{
	struct golden *golden = data;

	golden_event_begin(golden);
	g_string_append_printf(golden->out, " -> %d", err);
	golden_hex(golden->out, " mapped=", mapped);
	g_string_append_c(golden->out, '\n');
}

static void event_unmap_pages(void *data, uint64_t iova, uint64_t pgsize, uint64_t count)
{
	struct golden *golden = data;

	golden_event_begin(golden);
	golden_hex(golden->out, " unmap_pages iova=", iova);
	golden_hex(golden->out, " pgsize=", pgsize);
	g_string_append_printf(golden->out, " count=%" G_GUINT64_FORMAT "\n", count);
}

static void event_unmap_pages_done(void *data, uint64_t unmapped)
{
	struct golden *golden = data;

	golden_event_begin(golden);
	golden_hex(golden->out, " -> ", unmapped);
	g_string_append_c(golden->out, '\n');
}

static void event_flush_all(void *cookie)
{
	struct golden *golden = cookie;

	golden_event_begin(golden);
	g_string_append(golden->out, " flush_all\n");
}

static void event_flush_walk(uint64_t iova, uint64_t size, uint64_t granule, void *cookie)
{
	struct golden *golden = cookie;

	golden_event_begin(golden);
	golden_hex(golden->out, " walk iova=", iova);
	golden_hex(golden->out, " size=", size);
	golden_hex(golden->out, " granule=", granule);
	g_string_append_c(golden->out, '\n');
}

/** Consecutive pages make one line. */
static void event_add_page(struct pgtable_gather *gather, uint64_t iova, uint64_t granule, void *cookie)
{
	struct golden *golden = cookie;

	if (!golden->pages.count || granule != golden->pages.granule ||
	    iova != golden->pages.iova + golden->pages.count * granule ||
	    golden->warnings < golden->sim->findings.count[FINDING_KERNEL_WARNING]) {
		golden_event_begin(golden);
		golden->pages.iova = iova;
		golden->pages.granule = granule;
	}
	golden->pages.count++;
	pgtable_gather_add_range(gather, iova, granule);
}

static const struct pgtable_tlb_ops event_tlb = {
	.flush_all = event_flush_all,
	.flush_walk = event_flush_walk,
	.add_page = event_add_page,
};

/* Input. */

bool golden_bad_line(const struct golden *golden, GError **error, const char *why)
{
	sim_error_line(error, golden->name, golden->line, "%s", why);
	return false;
}

const char *golden_word(const struct golden_words *words, const char *key)
{
	size_t len = strlen(key);

	for (unsigned i = 1; i < words->count; i++)
		if (strncmp(words->words[i], key, len) == 0 && words->words[i][len] == '=')
			return words->words[i] + len + 1;
	return NULL;
}

bool golden_key(const struct golden *golden, const struct golden_words *words, const char *key,
		uint64_t missing, uint64_t *ret_value, GError **error)
{
	const char *text = golden_word(words, key);

	if (!text) {
		*ret_value = missing;
		return true;
	}
	if (text_parse_u64(text, ret_value))
		return true;
	sim_error_line(error, golden->name, golden->line, "%s is not a number: %s", key, text);
	return false;
}

/** Reads words @first .. @first + @count - 1 as numbers. */
static bool positional(const struct golden *golden, const struct golden_words *words, unsigned first,
		       unsigned count, uint64_t *ret_values, GError **error)
{
	for (unsigned i = 0; i < count; i++)
		if (first + i >= words->count || !text_parse_u64(words->words[first + i], &ret_values[i]))
			return golden_bad_line(golden, error, "missing or unreadable number");
	return true;
}

static bool prot_word(const struct golden *golden, const struct golden_words *words, unsigned at,
		      unsigned *ret_prot, GError **error)
{
	static const char letters[] = "rwcxmp";
	unsigned prot = 0;

	if (at >= words->count)
		return golden_bad_line(golden, error, "missing protection");
	for (const char *letter = words->words[at]; *letter; letter++) {
		const char *found = strchr(letters, *letter);

		if (*letter == '-')
			continue;
		if (!found)
			return golden_bad_line(golden, error, "protection is not of the letters rwcxmp");
		prot |= 1u << (found - letters);
	}
	*ret_prot = prot;
	return true;
}

/* Ops. */

/** Frees the table, and the driver with it. */
static void table_close(struct golden *golden)
{
	if (golden->format->driver)
		golden->format->driver->close(golden);
	else
		pgtable_free(golden->pt);
	golden->pt = NULL;
}

/** Ends a case of which nothing is written any more. */
static void case_end(struct golden *golden)
{
	gsize written = golden->out->len;

	if (golden->pt)
		table_close(golden);
	g_string_truncate(golden->out, written);
	golden->pages.count = 0;
	g_clear_pointer(&golden->sim, sim_free);
}

static const struct golden_format *format_find(const struct golden_format *const *in, const char *fmt)
{
	for (; *in; in++)
		for (const struct golden_format *format = *in; format->fmt; format++)
			if (strcmp(format->fmt, fmt) == 0)
				return format;
	return NULL;
}

/** Makes a table of the format alone. */
static int table_open(struct golden *golden, const struct golden_words *words,
		      const struct pgtable_config *config, uint64_t *ret_page_sizes)
{
	const struct pgtable_ops *ops = pgtable_format(golden->format->fmt);
	int err = pgtable_new_watched(golden->sim, ops, config, &golden->watch, &golden->pt);

	*ret_page_sizes = pgtable_page_sizes(ops, config);
	if (err)
		return golden->format->init_returns_null ? -1 : err;
	golden->pt->sync = event_sync;
	golden->pt->change_top = golden->format->change_top;
	golden->pt->sync_data = golden;
	golden->pt->tlb = &event_tlb;
	golden->pt->tlb_cookie = golden;
	if (golden->format->geometry)
		golden->format->geometry(golden, words);
	g_string_append(golden->out, "reg ");
	golden->pt->ops->root_registers(golden->pt, golden->out);
	g_string_append_c(golden->out, '\n');
	return 0;
}

static bool op_cfg(struct golden *golden, const struct golden_words *words, GError **error)
{
	const char *fmt = golden_word(words, "fmt");
	uint64_t ias, oas, level, page_sizes;
	struct pgtable_config config = {0};
	int err = 0;

	case_end(golden);
	golden->format = fmt ? format_find(golden->families, fmt) : NULL;
	if (!golden->format)
		return golden_bad_line(golden, error, "cfg of a format that is not modelled");
	if (!golden_key(golden, words, "ias", 0, &ias, error) ||
	    !golden_key(golden, words, "oas", 0, &oas, error) ||
	    !golden_key(golden, words, "level", 0, &level, error) ||
	    !golden_key(golden, words, "base", 0, &golden->base, error) ||
	    !golden_key(golden, words, "oom", 0, &golden->deny, error))
		return false;
	if (golden->format->driver)
		level = 0; /* there it means something else */
	if (ias < 1 || ias > 64 || oas > 64 || level >= PGTABLE_LEVELS_MAX || golden->base % FRAME_SIZE)
		return golden_bad_line(golden, error, "impossible geometry");
	config.ias_bits = (unsigned)ias;
	config.oas_bits = (unsigned)oas;
	config.top_level = (unsigned)level;
	config.table_offset = golden->base - PHYSMEM_BASE;
	if (golden->format->configure && !golden->format->configure(golden, words, &config, error))
		return false;
	golden->sim = sim_new(1, 0);
	golden->warnings = 0;
	golden->live_allocs = 0;
	if (!golden->format->driver)
		err = table_open(golden, words, &config, &page_sizes);
	else if (!golden->format->driver->open(golden, words, &config, &err, &page_sizes, error))
		return false;
	golden_event_begin(golden);
	g_string_append_printf(golden->out, "ret cfg %d", err);
	golden_hex(golden->out, " pgsizes=", page_sizes);
	g_string_append_c(golden->out, '\n');
	return true;
}

/* Around each call of a driver's. */

static void driver_begin(struct golden *golden)
{
	if (golden->format->driver)
		golden->format->driver->op_begin(golden);
}

static void driver_end(struct golden *golden)
{
	golden_event_begin(golden);
	if (golden->format->driver)
		golden->format->driver->op_end(golden);
}

static void gather_begin(struct golden *golden)
{
	pgtable_gather_init(&golden->gather);
}

static void gather_end(struct golden *golden)
{
	event_sync(golden->pt, &golden->gather, golden);
	if (golden->format->driver && !pgtable_gather_empty(&golden->gather))
		golden->format->driver->iotlb_sync(golden, &golden->gather);
	pgtable_gather_free(golden->sim, &golden->gather);
}

/** The core's iommu_unmap(): unmap, synchronise, free. */
static uint64_t core_unmap(struct golden *golden, uint64_t iova, uint64_t len)
{
	uint64_t unmapped;

	gather_begin(golden);
	unmapped = pgtable_unmap(golden->pt, iova, len, &golden->gather);
	gather_end(golden);
	return unmapped;
}

/* What all ops of a recording may ask for together: dozens of times what recordings do, and few enough to be done, and
 * written, in seconds. */
#define PAGES_MAX (1u << 21)

/** Charges @pages to the recording. */
static bool pages_charge(struct golden *golden, uint64_t pages, GError **error)
{
	if (pages > PAGES_MAX - golden->asked_pages)
		return golden_bad_line(golden, error, "more pages than a recording may ask for");
	golden->asked_pages += (uint32_t)pages;
	return true;
}

/** Returns how many pages at most the core's loop makes of @len bytes: as many as there are of the largest size to which both
 * addresses can be aligned, and those of smaller sizes before and behind. */
static uint64_t pages_in(const struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len)
{
	uint64_t differing = iova ^ paddr, sizes = pt->page_sizes, size = sizes & -sizes, pages = 0;

	if (differing)
		sizes &= differing ^ (differing - 1);
	for (sizes &= ~size; sizes && (sizes & -sizes) <= len; sizes &= sizes - 1) {
		pages += 2 * ((sizes & -sizes) / size);
		size = sizes & -sizes;
	}
	return pages + len / size;
}

/** Returns in *@ret_len what @count pages of @size are together. */
static bool call_len(const struct golden *golden, uint64_t size, uint64_t count, uint64_t *ret_len,
		     GError **error)
{
	return !__builtin_mul_overflow(size, count, ret_len) ||
	       golden_bad_line(golden, error, "more bytes than there are addresses");
}

/** Charges an unmap of [@iova, @iova + @len) page by page. Wider formats stop where nothing is mapped, so what they unmap was
 * charged when it was mapped; Exynos goes on. */
static bool unmap_charge(struct golden *golden, uint64_t iova, uint64_t len, GError **error)
{
	const struct pgtable *pt = golden->pt;

	return !pt->ops->unmap_pages || pt->config.ias_bits > 32 ||
	       pages_charge(golden, pages_in(pt, iova, iova, len), error);
}

static bool op_map(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, PADDR, SIZE, COUNT, NUMBERS };
	const struct pgtable_ops *ops = golden->pt->ops;
	uint64_t number[NUMBERS], len, mapped;
	unsigned prot = 0;
	int err;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !prot_word(golden, words, NUMBERS + 1, &prot, error) ||
	    !golden_key(golden, words, "oom", 0, &golden->deny, error) ||
	    !call_len(golden, number[SIZE], number[COUNT], &len, error) ||
	    !pages_charge(golden,
			  ops->map_pages ? number[COUNT]
					 : pages_in(golden->pt, number[IOVA], number[PADDR], len),
			  error))
		return false;
	driver_begin(golden);
	if (ops->map_pages)
		err = pgtable_map_pages(golden->pt, number[IOVA], number[PADDR], number[SIZE], number[COUNT],
					prot, &mapped);
	else
		err = ops->map_range(golden->pt, number[IOVA], number[PADDR], len, prot, &mapped);
	driver_end(golden);
	g_string_append_printf(golden->out, "ret map %d", err);
	golden_hex(golden->out, " mapped=", mapped);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_cmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, PADDR, LEN, NUMBERS };
	uint64_t number[NUMBERS], mapped;
	unsigned prot = 0;
	int err;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !prot_word(golden, words, NUMBERS + 1, &prot, error) ||
	    !golden_key(golden, words, "oom", 0, &golden->deny, error) ||
	    !pages_charge(golden, pages_in(golden->pt, number[IOVA], number[PADDR], number[LEN]), error))
		return false;
	driver_begin(golden);
	err = pgtable_map(golden->pt, number[IOVA], number[PADDR], number[LEN], prot, &mapped);
	golden_event_begin(golden);
	if (golden->pt->ops->map_range) {
		g_string_append_printf(golden->out, " map_range -> %d", err);
		golden_hex(golden->out, " mapped=", mapped);
		g_string_append_c(golden->out, '\n');
	}
	if (err && mapped)
		core_unmap(golden, number[IOVA], mapped);
	if (!err && golden->format->driver)
		err = golden->format->driver->sync_map(golden, number[IOVA], number[LEN]);
	driver_end(golden);
	g_string_append_printf(golden->out, "ret cmap %d\n", err);
	return true;
}

static bool op_unmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, SIZE, COUNT, NUMBERS };
	const struct pgtable_ops *ops = golden->pt->ops;
	struct pgtable_gather *gather = &golden->gather;
	uint64_t number[NUMBERS], len, queued, unmapped;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !golden_key(golden, words, "queued", 0, &queued, error) ||
	    !call_len(golden, number[SIZE], number[COUNT], &len, error) ||
	    (ops->unmap_pages && !pages_charge(golden, number[COUNT], error)))
		return false;
	gather_begin(golden);
	gather->queued = queued;
	driver_begin(golden);
	if (ops->unmap_pages) {
		unmapped = pgtable_unmap_pages(golden->pt, number[IOVA], number[SIZE], number[COUNT], gather);
		driver_end(golden);
	} else {
		unmapped = ops->unmap_range(golden->pt, number[IOVA], len, gather);
		event_gather(golden, " gather start=", gather);
		event_gathered_frees(golden, gather);
	}
	pgtable_gather_free(golden->sim, gather);
	golden_hex(golden->out, "ret unmap ", unmapped);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_cunmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, LEN, NUMBERS };
	uint64_t number[NUMBERS], unmapped;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !unmap_charge(golden, number[IOVA], number[LEN], error))
		return false;
	driver_begin(golden);
	unmapped = core_unmap(golden, number[IOVA], number[LEN]);
	driver_end(golden);
	golden_hex(golden->out, "ret cunmap ", unmapped);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_walk(struct golden *golden, const struct golden_words *words, GError **error)
{
	const struct pgtable *pt = golden->pt;
	uint64_t iova, paddr = 0, looked_up = 0;
	struct pgtable_walk walk;
	unsigned prot;

	if (!positional(golden, words, 1, 1, &iova, error))
		return false;
	if (pt->ops->walk(pt, iova, &walk))
		paddr = walk.paddr;
	if (pt->ops->lookup(pt, iova, &looked_up, &prot))
		g_assert_cmpuint(prot, ==, walk.prot);
	g_assert_cmphex(looked_up, ==, paddr);
	if (golden->format->iova_to_phys)
		paddr = golden->format->iova_to_phys(golden, iova, paddr);
	if (golden->format->driver)
		paddr = golden->format->driver->iova_to_phys(golden, iova);
	golden_hex(golden->out, "ret walk ", paddr);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_fini(struct golden *golden, const struct golden_words *words, GError **error)
{
	table_close(golden);
	g_string_append_printf(golden->out, "ret fini live_allocs=%u\n", golden->live_allocs);
	return true;
}

/* Dump. */

/** A run of leaves, or of entries that point to the shared zero table, that is not written yet. */
struct dump {
	struct golden *golden;
	GString *text;
	unsigned tables, entries;
	enum pgtable_entry_kind kind; /* of the run */
	uint32_t first, count;
	uint64_t raw, step;
};

static unsigned raw_digits(const struct golden *golden)
{
	return golden->pt->entry_bytes * 2u;
}

static void dump_run_end(struct dump *dump)
{
	if (!dump->count)
		return;
	g_string_append_printf(dump->text, " %c %u raw=", dump->kind == ENTRY_ZERO ? 'z' : 'l', dump->first);
	text_append_hex(dump->text, dump->raw, raw_digits(dump->golden));
	g_string_append_printf(dump->text, " n=%u", dump->count);
	golden_hex(dump->text, " step=", dump->step);
	g_string_append_c(dump->text, '\n');
	dump->count = 0;
}

static void dump_table(void *data, const char *path, unsigned level, uint64_t paddr, uint32_t entries)
{
	struct dump *dump = data;

	const struct golden *golden = dump->golden;

	dump_run_end(dump);
	dump->tables++;
	if (golden->format->level_number)
		level = golden->format->level_number(golden->pt, level);
	g_string_append_printf(dump->text, "tab %s level=%u", path, level);
	golden_hex(dump->text, " pa=", golden_pa(dump->golden, paddr));
	g_string_append_printf(dump->text, " n=%u\n", entries);
}

static void dump_run(struct dump *dump, uint32_t index, const struct pgtable_entry *entry)
{
	uint64_t width_mask = UINT64_MAX >> (64 - 8 * dump->golden->pt->entry_bytes);
	uint64_t step =
		(entry->raw - dump->raw - dump->step * (dump->count ? dump->count - 1 : 0)) & width_mask;

	if (dump->count && entry->kind == dump->kind && index == dump->first + dump->count &&
	    (dump->count == 1 || step == dump->step)) {
		dump->step = step;
		dump->count++;
		return;
	}
	dump_run_end(dump);
	dump->kind = entry->kind;
	dump->first = index;
	dump->count = 1;
	dump->raw = entry->raw;
	dump->step = 0;
}

static void dump_entry(void *data, const char *path, unsigned level, uint32_t index,
		       const struct pgtable_entry *entry)
{
	struct dump *dump = data;

	dump->entries++;
	if (entry->kind != ENTRY_TABLE) {
		dump_run(dump, index, entry);
		return;
	}
	dump_run_end(dump);
	g_string_append_printf(dump->text, " t %u raw=", index);
	text_append_hex(dump->text, entry->raw, raw_digits(dump->golden));
	golden_hex(dump->text, " attr=", entry->attr);
	g_string_append_printf(dump->text, " to=%s.%u\n", path, index);
}

static bool op_dump(struct golden *golden, const struct golden_words *words, GError **error)
{
	g_autoptr(GString) text = g_string_new(NULL);
	struct dump dump = {.golden = golden, .text = text};
	struct pgtable_visitor visitor = {.table = dump_table, .entry = dump_entry, .data = &dump};

	pgtable_visit(golden->pt, &visitor);
	dump_run_end(&dump);
	g_string_append_printf(golden->out, "dump tables=%u entries=%u live_allocs=%u\n%senddump\n",
			       dump.tables, dump.entries, golden->live_allocs, text->str);
	return true;
}

/* The file. */

static const struct {
	const char *name;
	bool (*run)(struct golden *golden, const struct golden_words *words, GError **error);
	bool echoed;	/* the input line is part of the answer */
	bool any_state; /* needs no table */
} ops[] = {
	{"cfg", op_cfg, true, true},	  {"map", op_map, true, false},	      {"cmap", op_cmap, true, false},
	{"unmap", op_unmap, true, false}, {"cunmap", op_cunmap, true, false}, {"walk", op_walk, true, false},
	{"fini", op_fini, true, false},	  {"dump", op_dump, false, false},
};

/** Whether @line is an answer of the recording, which the model gives itself. */
static bool is_answer(const char *line)
{
	return line[0] == ' ' || g_str_has_prefix(line, "ret ") || g_str_has_prefix(line, "reg ") ||
	       g_str_has_prefix(line, "tab ") || strcmp(line, "enddump") == 0;
}

static bool emit_line(void *data, uint64_t number, char *line, GError **error)
{
	struct golden *golden = data;
	g_auto(GStrv) split = NULL;
	struct golden_words words;

	golden->line = number;
	if (is_answer(line))
		return true;
	if (line[0] == '#' || line[0] == '\0' || g_str_has_prefix(line, "case ")) {
		g_string_append_printf(golden->out, "%s\n", line);
		return true;
	}
	split = g_strsplit(line, " ", -1);
	words = (struct golden_words){.words = split, .count = g_strv_length(split)};
	for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++)
		if (strcmp(ops[i].name, split[0]) == 0) {
			if (!ops[i].any_state && !golden->pt)
				return golden_bad_line(golden, error, "no table has been set up");
			if (ops[i].echoed)
				g_string_append_printf(golden->out, "%s\n", line);
			return ops[i].run(golden, &words, error);
		}
	if (golden->pt && golden->format->driver && golden->format->driver->op) {
		g_string_append_printf(golden->out, "%s\n", line);
		return golden->format->driver->op(golden, &words, error);
	}
	return golden_bad_line(golden, error, "unknown op");
}

bool golden_emit(const struct golden_format *const *in, const char *name, const char *text, size_t len,
		 GString *out, GError **error)
{
	struct golden golden = {
		.name = name,
		.out = out,
		.families = in,
		.watch = {.deny_page = event_deny,
			  .page_alloc = event_alloc,
			  .page_free = event_free,
			  .cache_flush = event_flush,
			  .map_pages = event_map_pages,
			  .map_pages_done = event_map_pages_done,
			  .unmap_pages = event_unmap_pages,
			  .unmap_pages_done = event_unmap_pages_done},
	};
	bool ok;

	golden.watch.data = &golden;
	ok = golden_lines(name, text, len, emit_line, &golden, error);
	case_end(&golden);
	pgtable_gather_finish(&golden.gather);
	return ok;
}

bool pgtable_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	return golden_emit(families, name, text, len, out, error);
}

/* A recording says with each case which format it is of; all its cases are of one. */
bool golden_probe(const struct golden_format *const *in, const char *text, size_t len)
{
	const char *key = g_strstr_len(text, (gssize)len, "\ncfg fmt=");
	g_autofree char *fmt = NULL;

	if (len < 18 || memcmp(text, "# pagetable-golden", 18) != 0 || !key)
		return false;
	key += strlen("\ncfg fmt=");
	fmt = g_strndup(key, strcspn(key, " \n"));
	return format_find(in, fmt) != NULL;
}

static bool pgtable_golden_probe(const char *text, size_t len)
{
	return golden_probe(families, text, len);
}

const struct golden_runner pgtable_golden_runner = {"pagetable", pgtable_golden_probe, pgtable_golden_emit};
