/* SPDX-License-Identifier: MIT */
#include "sim/verify/dumps.h"

#include <string.h>

#include "sim/core/error.h"
#include "sim/core/umap.h"
#include "sim/io/input.h"
#include "sim/trace/scan.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

#define LEVEL_LG2    9 /* entries of a table */
#define COLUMNS	     5 /* PML5E to PTE */
#define ROWS_MAX     (1u << 26)
#define MAP_MAX	     (UINT64_C(1) << 30) /* bytes that one call maps: more is an error in the recording */
#define ENTRY_PADDR  UINT64_C(0x000ffffffffff000)
#define ENTRY_RIGHTS 3u /* read, write: as in enum iommu_prot */

struct row {
	uint64_t pfn;
	uint64_t raw;		  /* the entry that maps it */
	unsigned level;		  /* 0 the last */
	uint64_t tables[COLUMNS]; /* the entries on the way to it, by level */
	uint64_t line;
};

struct dump {
	char *path;
	uint32_t begin, end; /* events */
	GArray *rows;	     /* of struct row, as they stand there */
};

struct verify_dumps {
	const struct verify_recording *recording;
	GPtrArray *dumps;
};

static void dump_free(void *data)
{
	struct dump *dump = data;

	g_free(dump->path);
	g_array_unref(dump->rows);
	g_free(dump);
}

/* ---- reading ---- */

/* "0x00000000fff80 |	0x…	0x…	0x…	0x…	0x…": a column a level, 0 below the entry that maps */
static bool take_row(struct scan scan, struct row *ret_row)
{
	uint64_t entry;

	*ret_row = (struct row){.line = ret_row->line};
	if (!scan_number(&scan, &ret_row->pfn))
		return false;
	scan_blanks(&scan);
	if (!scan_char(&scan, '|'))
		return false;
	for (unsigned level = COLUMNS; level-- > 0;) {
		scan_blanks(&scan);
		if (!scan_number(&scan, &entry))
			return false;
		if (!entry)
			continue;
		if (ret_row->raw)
			ret_row->tables[ret_row->level] = ret_row->raw;
		ret_row->raw = entry;
		ret_row->level = level;
	}
	return ret_row->raw != 0;
}

static bool is_heading(struct scan scan)
{
	return scan.at == scan.end || SCAN(&scan, "Device ") || SCAN(&scan, "IOVA_PFN");
}

static bool dump_read(struct dump *dump, GError **error)
{
	struct input *input = input_open(dump->path, error);
	const char *text;
	size_t len;
	int result = -1;

	while (input && (result = input_line(input, &text, &len, error)) > 0) {
		struct row row = {.line = input_line_number(input)};
		struct scan scan = {.at = text, .end = text + len};

		if (is_heading(scan))
			continue;
		if (!take_row(scan, &row) || dump->rows->len == ROWS_MAX) {
			result = sim_error_line(error, dump->path, row.line,
						"not a line of a page-table dump");
			break;
		}
		g_array_append_val(dump->rows, row);
	}
	if (input)
		input_close(input);
	return result == 0;
}

/** Returns the file of the dump called @name in @dir, NULL if there is none. */
static char *dump_path(const char *dir, const char *name)
{
	static const char *const suffixes[] = {"", ".zst", ".gz"};

	for (unsigned i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *file = g_strdup_printf("%s.pagetable.txt%s", name, suffixes[i]);
		char *path = g_build_filename(dir, file, NULL);

		if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
			return path;
		g_free(path);
	}
	return NULL;
}

/** Returns NAME of "snap-NAME begin", NULL of any other mark. */
static char *dump_name(const char *mark)
{
	if (!g_str_has_prefix(mark, "snap-") || !g_str_has_suffix(mark, " begin") || strchr(mark, '/'))
		return NULL;
	return g_strndup(mark + 5, strlen(mark) - 11);
}

static uint32_t dump_end(const struct verify_recording *recording, unsigned mark, const char *name)
{
	g_autofree char *text = g_strdup_printf("snap-%s end", name);

	for (; mark < recording->marks->len; mark++) {
		const struct verify_mark *end = g_ptr_array_index(recording->marks, mark);

		if (strcmp(end->text, text) == 0)
			return end->event;
	}
	return recording->event_count - 1;
}

struct verify_dumps *verify_dumps_read(const struct verify_recording *recording, const char *dir,
				       GError **error)
{
	struct verify_dumps *dumps;

	if (!g_file_test(dir, G_FILE_TEST_IS_DIR)) {
		sim_error_plain(error, "%s: not a directory", dir);
		return NULL;
	}
	dumps = g_new0(struct verify_dumps, 1);
	dumps->recording = recording;
	dumps->dumps = g_ptr_array_new_with_free_func(dump_free);
	for (unsigned i = 0; i < recording->marks->len; i++) {
		const struct verify_mark *mark = g_ptr_array_index(recording->marks, i);
		g_autofree char *name = dump_name(mark->text);
		char *path = name ? dump_path(dir, name) : NULL;
		struct dump *dump;

		if (!path)
			continue;
		dump = g_new0(struct dump, 1);
		dump->path = path;
		dump->begin = mark->event;
		dump->end = dump_end(recording, i, name);
		dump->rows = g_array_new(FALSE, FALSE, sizeof(struct row));
		g_ptr_array_add(dumps->dumps, dump);
		if (!dump_read(dump, error)) {
			verify_dumps_free(dumps);
			return NULL;
		}
	}
	return dumps;
}

void verify_dumps_free(struct verify_dumps *dumps)
{
	if (!dumps)
		return;
	g_ptr_array_unref(dumps->dumps);
	g_free(dumps);
}

unsigned verify_dumps_count(const struct verify_dumps *dumps)
{
	return dumps->dumps->len;
}

uint32_t verify_dump_event(const struct verify_dumps *dumps, unsigned index)
{
	return ((const struct dump *)g_ptr_array_index(dumps->dumps, index))->begin;
}

/* ---- taken at rest ---- */

struct comparison {
	const struct dump *dump;
	struct verify_result *result;
	struct verify_count *count;
	GHashTable *rows; /* pfn -> struct row; those of the model are taken out */
};

static void differs(const struct comparison *comparison, uint64_t line, char *text)
{
	verify_differs(comparison->result, comparison->dump->begin,
		       g_strdup_printf("%s:%" G_GUINT64_FORMAT ": %s", comparison->dump->path, line, text));
	g_free(text);
}

static void compare_leaf(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			 uint64_t raw)
{
	const struct comparison *comparison = data;
	unsigned level = ((unsigned)__builtin_ctzll(size) - FRAME_LG2) / LEVEL_LG2;
	uint64_t pfn = iova / FRAME_SIZE;
	const struct row *row = g_hash_table_lookup(comparison->rows, &pfn);

	if (!row) {
		comparison->count->recorded++;
		differs(comparison, 1,
			g_strdup_printf("IOVA page " HEX ", entry " HEX ", to be in it", pfn, raw));
	} else if (paddr >= VERIFY_SOMEWHERE && ((row->raw ^ raw) & ~ENTRY_PADDR) == 0) {
		comparison->count->undecided++;
	} else if (row->raw != raw || row->level != level) {
		differs(comparison, row->line, g_strdup_printf("entry " HEX " of level %u", raw, level));
	} else {
		comparison->count->predicted++;
	}
	g_hash_table_remove(comparison->rows, &pfn);
}

/** Where tables lie is the kernel's own affair, but each lies in one place: pages below one table have one entry for it. */
static void compare_tables(const struct comparison *comparison, unsigned level)
{
	const GArray *rows = comparison->dump->rows;
	unsigned lg2 = level * LEVEL_LG2;

	for (unsigned i = 1; i < rows->len; i++) {
		const struct row *before = &g_array_index(rows, struct row, i - 1),
				 *row = &g_array_index(rows, struct row, i);

		if (before->pfn >> lg2 != row->pfn >> lg2 || before->tables[level] == row->tables[level])
			continue;
		comparison->count->recorded++;
		differs(comparison, row->line,
			g_strdup_printf("the entry of level %u as in line %" G_GUINT64_FORMAT, level,
					before->line));
	}
}

static void compare_at_rest(struct comparison *comparison, const struct iommu_domain *domain)
{
	GHashTableIter iter;
	const struct row *row;

	comparison->rows = g_hash_table_new(g_int64_hash, g_int64_equal);
	for (unsigned i = 0; i < comparison->dump->rows->len; i++) {
		struct row *each = &g_array_index(comparison->dump->rows, struct row, i);

		if (g_hash_table_insert(comparison->rows, &each->pfn, each))
			continue;
		comparison->count->recorded++;
		differs(comparison, each->line, g_strdup("each page once"));
	}
	comparison->count->recorded += g_hash_table_size(comparison->rows);
	for (unsigned level = 1; level < COLUMNS; level++)
		compare_tables(comparison, level);
	pgtable_dump(domain->pt, compare_leaf, comparison);
	g_hash_table_iter_init(&iter, comparison->rows);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&row))
		differs(comparison, row->line,
			g_strdup_printf("IOVA page " HEX " not to be mapped", row->pfn));
	g_hash_table_unref(comparison->rows);
}

/* ---- taken under load ---- */

/** When a page was mapped to what. */
struct span {
	uint64_t entry; /* physical address and rights */
	uint32_t from,
		until; /* events between which it was mapped for sure; before and after it may have been */
	uint32_t maybe_from, maybe_until;
};

static void spans_map(GHashTable *spans, const struct verify_recording *recording, uint32_t at)
{
	const struct verify_event *event = &recording->events[at];
	uint32_t done = verify_find(recording, event->next, KEVENT_MAP_NOSYNC_RET);

	for (uint64_t offset = 0; offset < MIN(event->field[KEVENT_SIZE], MAP_MAX); offset += FRAME_SIZE) {
		uint64_t pfn = (event->field[KEVENT_ADDR] + offset) / FRAME_SIZE;
		struct span span = {.entry = (event->field[KEVENT_PADDR] + offset) |
					     (event->field[KEVENT_PROT] & ENTRY_RIGHTS),
				    .from = event->kind == KEVENT_MAP ? at : MIN(done, event->follows),
				    .until = VERIFY_NONE,
				    .maybe_from = at,
				    .maybe_until = VERIFY_NONE};
		GArray *of = g_hash_table_lookup(spans, &pfn);

		if (!of) {
			of = g_array_new(FALSE, FALSE, sizeof(struct span));
			g_hash_table_insert(spans, g_memdup2(&pfn, sizeof(pfn)), of);
		}
		g_array_append_val(of, span);
	}
}

static void spans_unmap(GHashTable *spans, const struct verify_recording *recording, uint32_t at)
{
	const struct verify_event *event = &recording->events[at];
	uint32_t begun = event->op == VERIFY_NONE ? at : verify_op(recording, event->op)->first;

	for (uint64_t offset = 0; offset < MIN(event->field[KEVENT_SIZE], MAP_MAX); offset += FRAME_SIZE) {
		uint64_t pfn = (event->field[KEVENT_ADDR] + offset) / FRAME_SIZE;
		GArray *of = g_hash_table_lookup(spans, &pfn);
		struct span *span = of ? &g_array_index(of, struct span, of->len - 1) : NULL;

		if (!span || span->until != VERIFY_NONE)
			continue;
		/* The entry goes before the event, by no more than the call that it ends. */
		span->until = MIN(begun, at);
		span->maybe_until = at;
	}
}

static GHashTable *spans_of(const struct verify_recording *recording, uint32_t end)
{
	GHashTable *spans =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_array_unref);

	for (uint32_t i = 0; i < recording->event_count; i++) {
		const struct verify_event *event = &recording->events[i];

		if (event->op == VERIFY_NONE)
			continue;
		if ((event->kind == KEVENT_MAP_NOSYNC || event->kind == KEVENT_MAP) && i < end)
			spans_map(spans, recording, i);
		else if (event->kind == KEVENT_UNMAP)
			spans_unmap(spans, recording, i);
	}
	return spans;
}

/** Whether @row may be what a reader between begin and end saw. */
static bool row_may_be(const struct dump *dump, const GArray *spans, const struct row *row)
{
	for (unsigned i = 0; spans && i < spans->len; i++) {
		const struct span *span = &g_array_index(spans, struct span, i);

		if (span->maybe_from < dump->end && span->maybe_until > dump->begin &&
		    (row->raw & (ENTRY_PADDR | ENTRY_RIGHTS)) == span->entry)
			return true;
	}
	return false;
}

static void compare_under_load(const struct verify_dumps *dumps, struct comparison *comparison)
{
	const struct dump *dump = comparison->dump;
	g_autoptr(GHashTable) spans = spans_of(dumps->recording, dump->end);
	g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
	GHashTableIter iter;
	uint64_t *pfn;
	GArray *of;

	for (unsigned i = 0; i < dump->rows->len; i++) {
		struct row *row = &g_array_index(dump->rows, struct row, i);

		g_hash_table_add(seen, &row->pfn);
		comparison->count->recorded++;
		if (row_may_be(dump, g_hash_table_lookup(spans, &row->pfn), row))
			comparison->count->predicted++;
		else
			differs(comparison, row->line,
				g_strdup_printf("IOVA page " HEX " not to be mapped so between begin and end",
						row->pfn));
	}
	g_hash_table_iter_init(&iter, spans);
	while (g_hash_table_iter_next(&iter, (void **)&pfn, (void **)&of))
		for (unsigned i = 0; i < of->len; i++) {
			const struct span *span = &g_array_index(of, struct span, i);

			if (span->from > dump->begin || span->until < dump->end ||
			    g_hash_table_contains(seen, pfn))
				continue;
			comparison->count->recorded++;
			differs(comparison, 1,
				g_strdup_printf("IOVA page " HEX
						" to be in it: it is mapped from begin to end",
						*pfn));
		}
}

static bool at_rest(const struct verify_recording *recording, const struct dump *dump)
{
	for (unsigned i = 0; i < recording->ops->len; i++) {
		const struct verify_op *op = verify_op(recording, i);

		if (op->first < dump->end && op->last > dump->begin)
			return false;
	}
	return true;
}

void verify_dump_compare(const struct verify_dumps *dumps, unsigned index, const struct iommu_domain *domain,
			 struct verify_result *result)
{
	struct comparison comparison = {.dump = g_ptr_array_index(dumps->dumps, index), .result = result};
	bool rest = at_rest(dumps->recording, comparison.dump);

	comparison.count = &result->count[rest ? VERIFY_TABLES : VERIFY_TABLES_LOADED];
	if (rest)
		compare_at_rest(&comparison, domain);
	else
		compare_under_load(dumps, &comparison);
}
