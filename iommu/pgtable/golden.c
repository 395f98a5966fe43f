/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/golden.h"

#include <errno.h>
#include <string.h>

#include "iommu/pgtable/pgtable.h"
#include "sim/core/error.h"
#include "sim/core/text.h"

struct golden {
	const char *name;
	uint64_t line;
	GString *out;
	const struct golden_format *format; /* of the case's cfg line */
	struct sim *sim;
	struct pgtable *pt;
	struct pgtable_gather gather;
	struct pgtable_watch watch;
	uint64_t base;	   /* "physical" address of the first table page */
	uint64_t deny;	   /* pages until one is denied, counting it; 0: none is */
	uint64_t warnings; /* already written */
};

/** An input line, split at spaces; words[0] is the op. */
struct golden_words {
	char **words;
	unsigned count;
};

/** How a recording speaks of a format: one row each. */
struct golden_format {
	const char *fmt; /* value of cfg fmt=, and our name of the format */
	/** Reads the format's own keys. */
	void (*configure)(uint64_t feats, struct pgtable_config *config);
	/** Appends the lines on geometry that come before the root's registers. */
	void (*geometry)(const struct golden *golden, uint64_t feats);
	bool error_as_address; /* iova_to_phys answers out of range with the errno, taken for an address */
};

static void out_hex(GString *out, const char *before, uint64_t value)
{
	g_string_append_printf(out, "%s0x%" G_GINT64_MODIFIER "x", before, value);
}

/* Events. */

static uint64_t golden_pa(const struct golden *golden, uint64_t paddr)
{
	return paddr - PHYSMEM_BASE + golden->base;
}

static void event(struct golden *golden, const char *what, uint64_t paddr, const char *key, uint64_t size)
{
	out_hex(golden->out, what, golden_pa(golden, paddr));
	out_hex(golden->out, key, size);
	g_string_append_c(golden->out, '\n');
}

static bool event_deny(void *data, uint64_t size)
{
	struct golden *golden = data;

	if (golden->deny == 0 || --golden->deny != 0)
		return false;
	out_hex(golden->out, " alloc-fail size=", size);
	g_string_append_c(golden->out, '\n');
	return true;
}

static void event_alloc(void *data, uint64_t paddr, uint64_t size)
{
	event(data, " alloc pa=", paddr, " size=", size);
}

static void event_free(void *data, uint64_t paddr, uint64_t size)
{
	event(data, " free pa=", paddr, " size=", size);
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
	out_hex(golden->out, what, gather->start);
	out_hex(golden->out, " end=", gather->end);
	g_string_append_c(golden->out, '\n');
}

static void event_sync(struct pgtable *pt, const struct pgtable_gather *gather, void *data)
{
	if (!pgtable_gather_empty(gather))
		event_gather(data, " iotlb_sync start=", gather);
	event_gathered_frees(data, gather);
}

static void event_warnings(struct golden *golden)
{
	for (; golden->warnings < golden->sim->findings.count[FINDING_KERNEL_WARNING]; golden->warnings++)
		g_string_append(golden->out, " warn\n");
}

/* Formats. */

#define FEAT_INCOHERENT	     (UINT64_C(1) << 0)
#define FEAT_FORCE_COHERENCE (UINT64_C(1) << 6)
#define FEAT_FORCE_WRITEABLE (UINT64_C(1) << 7)

static void vtdss_configure(uint64_t feats, struct pgtable_config *config)
{
	config->incoherent = feats & FEAT_INCOHERENT;
	config->force_coherence = feats & FEAT_FORCE_COHERENCE;
	config->force_writeable = feats & FEAT_FORCE_WRITEABLE;
}

static void generic_pt_geometry(const struct golden *golden, uint64_t feats)
{
	const struct pgtable_config *config = &golden->pt->config;

	g_string_append_printf(golden->out, "reg top_level=%u max_vasz=%u max_oasz=%u", config->top_level,
			       config->ias_bits, config->oas_bits);
	out_hex(golden->out, " features=", feats);
	out_hex(golden->out, " aperture=0x0-", UINT64_MAX >> (64 - config->ias_bits));
	g_string_append_c(golden->out, '\n');
}

static const struct golden_format golden_formats[] = {
	{"vtdss", vtdss_configure, generic_pt_geometry, true},
};

/* Input. */

static bool bad_line(const struct golden *golden, GError **error, const char *why)
{
	sim_error_line(error, golden->name, golden->line, "%s", why);
	return false;
}

/** Returns the text after "@key=" among the words, or NULL. */
static const char *word_value(const struct golden_words *words, const char *key)
{
	size_t len = strlen(key);

	for (unsigned i = 1; i < words->count; i++)
		if (strncmp(words->words[i], key, len) == 0 && words->words[i][len] == '=')
			return words->words[i] + len + 1;
	return NULL;
}

static bool key_u64(const struct golden *golden, const struct golden_words *words, const char *key,
		    uint64_t missing, uint64_t *ret_value, GError **error)
{
	const char *text = word_value(words, key);

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
			return bad_line(golden, error, "missing or unreadable number");
	return true;
}

static bool prot_word(const struct golden *golden, const struct golden_words *words, unsigned at,
		      unsigned *ret_prot, GError **error)
{
	static const char letters[] = "rwcxmp";
	unsigned prot = 0;

	if (at >= words->count)
		return bad_line(golden, error, "missing protection");
	for (const char *letter = words->words[at]; *letter; letter++) {
		const char *found = strchr(letters, *letter);

		if (*letter == '-')
			continue;
		if (!found)
			return bad_line(golden, error, "protection is not of the letters rwcxmp");
		prot |= 1u << (found - letters);
	}
	*ret_prot = prot;
	return true;
}

/* Ops. */

static void case_end(struct golden *golden)
{
	if (golden->pt) {
		golden->pt->watch = NULL;
		pgtable_free(golden->pt);
	}
	golden->pt = NULL;
	g_clear_pointer(&golden->sim, sim_free);
}

static bool op_cfg(struct golden *golden, const struct golden_words *words, GError **error)
{
	const char *fmt = word_value(words, "fmt");
	uint64_t ias, oas, level, feats;
	struct pgtable_config config = {0};
	int err;

	case_end(golden);
	golden->format = NULL;
	for (unsigned i = 0; fmt && i < G_N_ELEMENTS(golden_formats); i++)
		if (strcmp(golden_formats[i].fmt, fmt) == 0)
			golden->format = &golden_formats[i];
	if (!golden->format)
		return bad_line(golden, error, "cfg of a format that is not modelled");
	if (!key_u64(golden, words, "ias", 0, &ias, error) ||
	    !key_u64(golden, words, "oas", 0, &oas, error) ||
	    !key_u64(golden, words, "level", 0, &level, error) ||
	    !key_u64(golden, words, "feats", 0, &feats, error) ||
	    !key_u64(golden, words, "base", 0, &golden->base, error) ||
	    !key_u64(golden, words, "oom", 0, &golden->deny, error))
		return false;
	if (ias < 1 || ias > 64 || oas > 64 || level >= PGTABLE_LEVELS_MAX)
		return bad_line(golden, error, "impossible geometry");
	config.ias_bits = (unsigned)ias;
	config.oas_bits = (unsigned)oas;
	config.top_level = (unsigned)level;
	config.table_offset = golden->base - PHYSMEM_BASE;
	golden->format->configure(feats, &config);
	golden->sim = sim_new(1, 0);
	golden->warnings = 0;
	err = pgtable_new_watched(golden->sim, pgtable_format(fmt), &config, &golden->watch, &golden->pt);
	if (!err) {
		golden->pt->sync = event_sync;
		golden->pt->sync_data = golden;
		golden->format->geometry(golden, feats);
		g_string_append(golden->out, "reg ");
		golden->pt->ops->root_registers(golden->pt, golden->out);
		g_string_append_c(golden->out, '\n');
	}
	g_string_append_printf(golden->out, "ret cfg %d", err);
	out_hex(golden->out, " pgsizes=", pgtable_format(fmt)->page_sizes);
	g_string_append_c(golden->out, '\n');
	return true;
}

static void unmap(struct golden *golden, uint64_t iova, uint64_t len, bool queued, uint64_t *ret_unmapped)
{
	pgtable_gather_init(&golden->gather);
	golden->gather.queued = queued;
	*ret_unmapped = golden->pt->ops->unmap_range(golden->pt, iova, len, &golden->gather);
}

/** The core's iommu_unmap(): unmap, synchronise, free. */
static uint64_t core_unmap(struct golden *golden, uint64_t iova, uint64_t len)
{
	uint64_t unmapped;

	unmap(golden, iova, len, false, &unmapped);
	event_sync(golden->pt, &golden->gather, golden);
	pgtable_gather_free(golden->sim, &golden->gather);
	return unmapped;
}

static bool op_map(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, PADDR, SIZE, COUNT, NUMBERS };
	uint64_t number[NUMBERS], mapped;
	unsigned prot;
	int err;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !prot_word(golden, words, NUMBERS + 1, &prot, error) ||
	    !key_u64(golden, words, "oom", 0, &golden->deny, error))
		return false;
	err = golden->pt->ops->map_range(golden->pt, number[IOVA], number[PADDR],
					 number[SIZE] * number[COUNT], prot, &mapped);
	event_warnings(golden);
	g_string_append_printf(golden->out, "ret map %d", err);
	out_hex(golden->out, " mapped=", mapped);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_cmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, PADDR, LEN, NUMBERS };
	uint64_t number[NUMBERS], mapped;
	unsigned prot;
	int err;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !prot_word(golden, words, NUMBERS + 1, &prot, error) ||
	    !key_u64(golden, words, "oom", 0, &golden->deny, error))
		return false;
	err = golden->pt->ops->map_range(golden->pt, number[IOVA], number[PADDR], number[LEN], prot, &mapped);
	event_warnings(golden);
	g_string_append_printf(golden->out, " map_range -> %d", err);
	out_hex(golden->out, " mapped=", mapped);
	g_string_append_c(golden->out, '\n');
	if (err && mapped)
		core_unmap(golden, number[IOVA], mapped);
	g_string_append_printf(golden->out, "ret cmap %d\n", err);
	return true;
}

static bool op_unmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, SIZE, COUNT, NUMBERS };
	uint64_t number[NUMBERS], queued, unmapped;

	if (!positional(golden, words, 1, NUMBERS, number, error) ||
	    !key_u64(golden, words, "queued", 0, &queued, error))
		return false;
	unmap(golden, number[IOVA], number[SIZE] * number[COUNT], queued, &unmapped);
	event_gather(golden, " gather start=", &golden->gather);
	event_gathered_frees(golden, &golden->gather);
	pgtable_gather_free(golden->sim, &golden->gather);
	out_hex(golden->out, "ret unmap ", unmapped);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_cunmap(struct golden *golden, const struct golden_words *words, GError **error)
{
	enum { IOVA, LEN, NUMBERS };
	uint64_t number[NUMBERS], unmapped;

	if (!positional(golden, words, 1, NUMBERS, number, error))
		return false;
	unmapped = core_unmap(golden, number[IOVA], number[LEN]);
	out_hex(golden->out, "ret cunmap ", unmapped);
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
	if (golden->format->error_as_address && pt->config.ias_bits < 64 && iova >> pt->config.ias_bits)
		paddr = (uint64_t)-ERANGE;
	out_hex(golden->out, "ret walk ", paddr);
	g_string_append_c(golden->out, '\n');
	return true;
}

static bool op_fini(struct golden *golden, const struct golden_words *words, GError **error)
{
	pgtable_free(golden->pt);
	golden->pt = NULL;
	g_string_append_printf(golden->out, "ret fini live_allocs=%u\n",
			       golden->sim->mem.in_use[FRAME_PGTABLE]);
	return true;
}

/* Dump. */

/** A run of leaves that is not written yet. */
struct dump {
	struct golden *golden;
	GString *text;
	unsigned tables, entries;
	uint32_t first, count; /* of the run */
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
	g_string_append_printf(dump->text, " l %u raw=", dump->first);
	text_append_hex(dump->text, dump->raw, raw_digits(dump->golden));
	g_string_append_printf(dump->text, " n=%u", dump->count);
	out_hex(dump->text, " step=", dump->step);
	g_string_append_c(dump->text, '\n');
	dump->count = 0;
}

static void dump_table(void *data, const char *path, unsigned level, uint64_t paddr, uint32_t entries)
{
	struct dump *dump = data;

	dump_run_end(dump);
	dump->tables++;
	g_string_append_printf(dump->text, "tab %s level=%u", path, level);
	out_hex(dump->text, " pa=", golden_pa(dump->golden, paddr));
	g_string_append_printf(dump->text, " n=%u\n", entries);
}

static void dump_leaf(struct dump *dump, uint32_t index, uint64_t raw)
{
	uint64_t width_mask = UINT64_MAX >> (64 - 8 * dump->golden->pt->entry_bytes);
	uint64_t step = (raw - dump->raw - dump->step * (dump->count ? dump->count - 1 : 0)) & width_mask;

	if (dump->count && index == dump->first + dump->count && (dump->count == 1 || step == dump->step)) {
		dump->step = step;
		dump->count++;
		return;
	}
	dump_run_end(dump);
	dump->first = index;
	dump->count = 1;
	dump->raw = raw;
	dump->step = 0;
}

static void dump_entry(void *data, const char *path, unsigned level, uint32_t index,
		       const struct pgtable_entry *entry)
{
	struct dump *dump = data;

	dump->entries++;
	if (entry->kind == ENTRY_LEAF) {
		dump_leaf(dump, index, entry->raw);
		return;
	}
	dump_run_end(dump);
	g_string_append_printf(dump->text, " t %u raw=", index);
	text_append_hex(dump->text, entry->raw, raw_digits(dump->golden));
	out_hex(dump->text, " attr=", entry->attr);
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
			       dump.tables, dump.entries, golden->sim->mem.in_use[FRAME_PGTABLE], text->str);
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

static bool emit_line(struct golden *golden, const char *line, GError **error)
{
	g_auto(GStrv) split = NULL;
	struct golden_words words;

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
				return bad_line(golden, error, "no table has been set up");
			if (ops[i].echoed)
				g_string_append_printf(golden->out, "%s\n", line);
			return ops[i].run(golden, &words, error);
		}
	return bad_line(golden, error, "unknown op");
}

bool pgtable_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct golden golden = {
		.name = name,
		.out = out,
		.watch = {event_deny, event_alloc, event_free, event_flush, NULL},
	};
	const char *end = text + len;
	bool ok = true;

	golden.watch.data = &golden;
	while (ok && text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		g_autofree char *line = g_strndup(text, (size_t)((stop ? stop : end) - text));

		golden.line++;
		text = stop ? stop + 1 : end;
		ok = emit_line(&golden, line, error);
	}
	case_end(&golden);
	pgtable_gather_finish(&golden.gather);
	return ok;
}
