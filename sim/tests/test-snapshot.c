/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: one state has one text; damage is found; the diff says what changed whatever the cuts.
 *
 * The sections are the test's own, shaped like those of the rooms. The diff is compared with a reference that expands
 * every range to pages and compares page by page.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include "sim/core/error.h"
#include "sim/core/prng.h"
#include "sim/io/input.h"
#include "sim/snapshot/snapshot.h"

/* --- The sections of the test ----------------------------------------------------------------------------------- */

struct state;
static void write_state(struct snapshot_writer *writer, struct sim *sim, void *data);

static const struct snapshot_noun domain_nouns[] = {
	{.name = "domain",
	 .keys = {"id"},
	 .added = "domain added",
	 .removed = "domain removed",
	 .changed = "domain changed"},
	{NULL},
};

static const struct snapshot_noun iova_nouns[] = {
	{.name = "iova",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .added = "IOVA allocated",
	 .removed = "IOVA freed",
	 .changed = "IOVA changed",
	 .field_changed = (const char *const[]){"state=pending", "flush pending", "class",
						"cached in another size class", NULL}},
	{NULL},
};

static const struct snapshot_noun mapping_nouns[] = {
	{.name = "map",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .added = "mapping added",
	 .removed = "mapping removed",
	 .changed = "mapping changed",
	 .moved = "mapping moved",
	 .field_changed = (const char *const[]){"prot", "permission changed", NULL}},
	{.name = "ref",
	 .keys = {"object", "holder"},
	 .added = "reference gained by {holder}",
	 .removed = "reference dropped by {holder}",
	 .changed = "reference changed"},
	{.name = "segment",
	 .keys = {"domain", "iova"},
	 .range = "iova",
	 .advance = "pa",
	 .follows = "owner",
	 .added = "segment added",
	 .removed = "segment removed",
	 .changed = "segment changed",
	 .moved = "segment moved"},
	{NULL},
};

static const struct snapshot_rule iova_rules[] = {
	{.kind = SNAPSHOT_DISJOINT, .noun = "iova", .says = "IOVA ranges overlap"},
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "iova",
	 .field = "domain",
	 .other = "domain",
	 .other_field = "id",
	 .says = "IOVA range of an unknown domain"},
	{.kind = SNAPSHOT_VALUE_EXISTS,
	 .noun = "iova",
	 .field = "owner",
	 .other = "ref",
	 .other_field = "holder",
	 .unless = "owner=none",
	 .says = "owner that holds nothing"},
	{.noun = NULL},
};

static const struct snapshot_rule mapping_rules[] = {
	{.kind = SNAPSHOT_COVERED_BY,
	 .noun = "map",
	 .field = "domain",
	 .other = "iova",
	 .other_field = "domain",
	 .where = "state=live",
	 .says = "mapping outside every live IOVA range"},
	{.noun = NULL},
};

static const struct snapshot_section domain_section = {"domain", domain_nouns, write_state, NULL};
static const struct snapshot_section iova_section = {"iova", iova_nouns, write_state, iova_rules};
static const struct snapshot_section mapping_section = {"mapping", mapping_nouns, write_state, mapping_rules};
static const struct snapshot_section *const sections[] = {&domain_section, &iova_section, &mapping_section, NULL};

/* --- Files ------------------------------------------------------------------------------------------------------ */

struct fixture {
	char *directory;
	char *a, *b;
};

static void set_up(struct fixture *fixture, const void *data)
{
	g_autoptr(GError) error = NULL;

	fixture->directory = g_dir_make_tmp("test-snapshot-XXXXXX", &error);
	g_assert_no_error(error);
	fixture->a = g_build_filename(fixture->directory, "a.snap", NULL);
	fixture->b = g_build_filename(fixture->directory, "b.snap.zst", NULL);
}

static void tear_down(struct fixture *fixture, const void *data)
{
	g_remove(fixture->a);
	g_remove(fixture->b);
	g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
	g_free(fixture->a);
	g_free(fixture->b);
	g_free(fixture->directory);
}

/* Without the fsync of g_file_set_contents(): there are thousands of these. */
static void put_bytes(const char *path, const char *bytes, size_t len)
{
	FILE *file = fopen(path, "w");

	g_assert_nonnull(file);
	g_assert_cmpuint(fwrite(bytes, 1, len, file), ==, len);
	g_assert_cmpint(fclose(file), ==, 0);
}

static void put_text(const char *path, const char *body)
{
	g_autofree char *text = g_strconcat("iommusim-snapshot 1\n", body, NULL);

	put_bytes(path, text, strlen(text));
}

/* Returns @path's bytes, decompressed. */
static GString *get_text(const char *path)
{
	struct input *input = input_open(path, NULL);
	GString *text = g_string_new(NULL);
	const uint8_t *bytes;
	ssize_t got;

	g_assert_nonnull(input);
	while ((got = input_peek(input, 4096, &bytes, NULL)) > 0) {
		g_string_append_len(text, (const char *)bytes, got);
		input_skip(input, (size_t)got);
	}
	g_assert_cmpint(got, ==, 0);
	input_close(input);
	return text;
}

/* Writes what is reported into a GString, a line each, the JSON fields behind a bar. */
static void collect(void *data, const char *text, const char *const *fields)
{
	GString *string = data;

	g_string_append_printf(string, "%s |", text);
	for (; *fields; fields += 2)
		g_string_append_printf(string, " %s:%s", fields[0], fields[1]);
	g_string_append_c(string, '\n');
}

static void collect_text(void *data, const char *text, const char *const *fields)
{
	g_string_append_printf(data, "%s\n", text);
}

/* --- A state, as pages ------------------------------------------------------------------------------------------ */

#define DOMAINS 3
#define PAGES	40
#define PAGE	4096u

struct page {
	bool mapped;
	uint64_t pa;
	unsigned prot, owner; /* owner 0: the field is absent */
};

struct state {
	struct page pages[DOMAINS][PAGES];
	struct prng *cut;  /* where to cut what could be one range; NULL: nowhere */
	bool backwards;	   /* order in which the facts are written */
	bool other_fields; /* order of the fields behind the keys */
};

/* Domain 1 ends at the last address there is, the others begin at the first. */
static uint64_t page_iova(unsigned domain, unsigned page)
{
	return domain == 1 ? UINT64_MAX - (uint64_t)(PAGES - page) * PAGE + 1 : (uint64_t)page * PAGE;
}

static bool page_continues(const struct page *page, const struct page *next)
{
	return page->mapped && next->mapped && next->pa == page->pa + PAGE && next->prot == page->prot &&
	       next->owner == page->owner;
}

static void write_range(struct snapshot_writer *writer, const struct state *state, unsigned domain, unsigned first,
			unsigned last)
{
	const struct page *page = &state->pages[domain][first];
	static const char *const prots[] = {"r", "w", "rw"};

	snapshot_fact(writer, "map");
	snapshot_u64(writer, "domain", domain);
	snapshot_range(writer, "iova", page_iova(domain, first), page_iova(domain, last) + PAGE - 1);
	if (state->other_fields && page->owner)
		snapshot_u64(writer, "owner", page->owner);
	snapshot_hex(writer, "pa", page->pa, 16);
	snapshot_text(writer, "prot", prots[page->prot]);
	if (!state->other_fields && page->owner)
		snapshot_u64(writer, "owner", page->owner);
}

static void write_state(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct state *state = data;

	for (unsigned i = 0; i < DOMAINS; i++) {
		unsigned domain = state->backwards ? DOMAINS - 1 - i : i;

		for (unsigned first = 0, last; first < PAGES; first = last + 1) {
			const struct page *pages = state->pages[domain];

			last = first;
			if (!pages[first].mapped)
				continue;
			while (last + 1 < PAGES && page_continues(&pages[last], &pages[last + 1]) &&
			       !(state->cut && prng_below(state->cut, 3) == 0))
				last++;
			write_range(writer, state, domain, first, last);
		}
	}
}

static void write_snapshot(const char *path, const struct state *state)
{
	const struct snapshot_source sources[] = {{&mapping_section, (void *)state}, {NULL}};
	const char *const header[] = {"kernel", "7.0", NULL};
	g_autoptr(GError) error = NULL;

	snapshot_write(path, NULL, header, sources, &error);
	g_assert_no_error(error);
}

static void random_state(struct state *state, struct prng *prng)
{
	*state = (struct state){0};
	for (unsigned domain = 0; domain < DOMAINS; domain++)
		for (unsigned page = 0; page < PAGES; page++) {
			struct page *here = &state->pages[domain][page];

			if (page > 0 && prng_below(prng, 8) > 0) {
				*here = here[-1];
				here->pa += PAGE;
				continue;
			}
			here->mapped = prng_below(prng, 3) > 0;
			here->pa = (uint64_t)(1 + prng_below(prng, 50)) * PAGE;
			here->prot = prng_below(prng, 3);
			here->owner = prng_below(prng, 3);
		}
}

static void mutate_state(struct state *state, struct prng *prng)
{
	for (uint32_t left = prng_below(prng, 4); left > 0; left--) {
		unsigned domain = prng_below(prng, DOMAINS), page = prng_below(prng, PAGES), what;

		what = prng_below(prng, 4);
		for (uint32_t run = 1 + prng_below(prng, 10); run > 0 && page < PAGES; run--, page++) {
			struct page *here = &state->pages[domain][page];

			if (what == 0)
				here->mapped = !here->mapped;
			if (what == 1)
				here->pa += 7 * PAGE;
			if (what == 2)
				here->prot = (here->prot + 1) % 3;
			if (what == 3)
				here->owner = (here->owner + 1) % 3;
		}
	}
}

/* --- The writer ------------------------------------------------------------------------------------------------- */

static void test_one_state_has_one_text(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) forwards = NULL, backwards = NULL;
	struct state state;
	struct prng prng;

	prng_init(&prng, 1, "canonical");
	random_state(&state, &prng);
	write_snapshot(fixture->a, &state);
	state.backwards = true;
	write_snapshot(fixture->b, &state);
	forwards = get_text(fixture->a);
	backwards = get_text(fixture->b);
	g_assert_cmpuint(forwards->len, >, 1000);
	g_assert_cmpstr(forwards->str, ==, backwards->str);
}

static void write_special(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	snapshot_fact(writer, "map");
	snapshot_u64(writer, "domain", UINT64_MAX);
	snapshot_range(writer, "iova", 0, UINT64_MAX);
	snapshot_fact(writer, "ref");
	snapshot_text(writer, "object", "a b=c%d\n\x7f\xc3\xa9");
	snapshot_text(writer, "holder", "");
	snapshot_hex(writer, "short", 0xabc, 3);
	snapshot_u64(writer, "count", 0);
	snapshot_fact(writer, "map");
	snapshot_u64(writer, "domain", 7);
	snapshot_range(writer, "iova", 4096, 8191);
}

static const struct snapshot_section special_section = {"mapping", mapping_nouns, write_special, NULL};

static void test_text_of_every_kind_of_field(struct fixture *fixture, const void *data)
{
	const struct snapshot_source sources[] = {{&special_section, NULL}, {NULL}};
	const char *const header[] = {"command", "replay -o x=y\n100%", NULL};
	const char *body = "iommusim-snapshot 1\n"
			   "# command replay -o x=y%0A100%25\n"
			   "[mapping]\n"
			   "map domain=18446744073709551615 iova=0x0000000000000000-0xffffffffffffffff\n"
			   "map domain=7 iova=0x0000000000001000-0x0000000000001fff\n"
			   "ref object=a%20b%3Dc%25d%0A%7F%C3%A9 holder= short=0xabc count=0\n";
	g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body, -1);
	g_autofree char *expected = g_strdup_printf("%sdigest sha256:%s\n", body, digest);
	g_autoptr(GString) text = NULL;

	g_assert_true(snapshot_write(fixture->a, NULL, header, sources, NULL));
	text = get_text(fixture->a);
	g_assert_cmpstr(text->str, ==, expected);
	g_assert_cmpint(snapshot_check(fixture->a, NULL, NULL, NULL, NULL), ==, 0);
}

static void test_unwritable_name_is_an_error(struct fixture *fixture, const void *data)
{
	const struct snapshot_source sources[] = {{NULL}};
	const char *const header[] = {NULL};
	g_autofree char *path = g_build_filename(fixture->directory, "missing", "a.snap", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_false(snapshot_write(path, NULL, header, sources, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_OUTPUT);
}

static void write_without_its_key(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	snapshot_fact(writer, "map");
	snapshot_u64(writer, "domain", 1);
}

static void write_keys_misplaced(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	snapshot_fact(writer, "map");
	snapshot_range(writer, "iova", 0, 1);
	snapshot_u64(writer, "domain", 1);
}

static void write_field_twice(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	snapshot_fact(writer, "map");
	snapshot_u64(writer, "domain", 1);
	snapshot_range(writer, "iova", 0, 1);
	snapshot_u64(writer, "pa", 1);
	snapshot_u64(writer, "pa", 1);
}

static void write_unknown_noun(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	snapshot_fact(writer, "domain");
}

/* To stdout, because a process that ends so cleans nothing up. */
static void test_wrong_writer_asserts(const void *data)
{
	static const struct snapshot_section wrong[] = {
		{"mapping", mapping_nouns, write_without_its_key, NULL},
		{"mapping", mapping_nouns, write_keys_misplaced, NULL},
		{"mapping", mapping_nouns, write_field_twice, NULL},
		{"mapping", mapping_nouns, write_unknown_noun, NULL},
	};
	const struct snapshot_source sources[] = {{&wrong[GPOINTER_TO_UINT(data)], NULL}, {NULL}};
	const char *const header[] = {NULL};

	if (g_test_subprocess()) {
		snapshot_write("-", NULL, header, sources, NULL);
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_failed();
	g_test_trap_assert_stderr("*writer.c*assertion failed*");
}

/* --- The reader ------------------------------------------------------------------------------------------------- */

static int see_header(void *data, const char *key, const char *value, GError **error)
{
	g_string_append_printf(data, "# %s %s\n", key, value);
	return 0;
}

static int see_section(void *data, const char *name, GError **error)
{
	g_string_append_printf(data, "[%s]\n", name);
	return 0;
}

static int see_fact(void *data, const struct snapshot_line *line, GError **error)
{
	g_autoptr(GString) text = g_string_new(line->noun);

	for (unsigned i = 0; i < line->field_count; i++)
		g_string_append_printf(text, " %s=%s", line->fields[i].name, line->fields[i].value);
	g_assert_cmpstr(text->str, ==, line->text);
	g_assert_cmpstr(line->section, ==, "mapping");
	g_assert_cmpstr(snapshot_line_get(line, "domain"), ==, line->fields[0].value);
	g_assert_null(snapshot_line_get(line, "absent"));
	g_string_append_printf(data, "%s\n", line->text);
	return 0;
}

static const struct snapshot_visitor see_all = {see_header, see_section, see_fact};

static void test_reads_what_was_written(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) seen = g_string_new("iommusim-snapshot 1\n"), text = NULL;
	g_autoptr(GError) error = NULL;
	struct state state;
	struct prng prng;

	prng_init(&prng, 2, "read");
	random_state(&state, &prng);
	write_snapshot(fixture->b, &state);
	snapshot_read(fixture->b, sections, &see_all, seen, &error);
	g_assert_no_error(error);
	text = get_text(fixture->b);
	*strstr(text->str, "digest") = '\0';
	g_assert_cmpstr(seen->str, ==, text->str);
}

static int stop_at_second(void *data, const struct snapshot_line *line, GError **error)
{
	return ++*(unsigned *)data == 2 ? 5 : 0;
}

static void test_visitor_can_stop(struct fixture *fixture, const void *data)
{
	const struct snapshot_visitor visitor = {.fact = stop_at_second};
	unsigned facts = 0;

	put_text(fixture->a, "[x]\na\nb\nc\n");
	g_assert_cmpint(snapshot_read(fixture->a, NULL, &visitor, &facts, NULL), ==, 5);
	g_assert_cmpuint(facts, ==, 2);
}

static const struct {
	const char *file; /* without .snap */
	const char *message; /* from the colon on */
} hostile[] = {
	{"carriage-return", ":2: byte 0x0d cannot stand in a snapshot"},
	{"digest-other-algorithm", ":3: field \"md5:00\" without '='"},
	{"digest-wrong", ":4: digest does not match"},
	{"empty", ":1: not a snapshot: the first line is not \"iommusim-snapshot 1\""},
	{"empty-line", ":3: empty line"},
	{"fact-before-section", ":2: fact before the first section"},
	{"field-twice", ":3: field \"a\" a second time"},
	{"field-with-two-equals", ":3: field \"a\" with a second '='"},
	{"field-without-equals", ":3: field \"live\" without '='"},
	{"field-without-name", ":3: \"\" cannot name a field"},
	{"fields-too-many", ":3: more than 32 fields"},
	{"first-line-longer", ":1: a snapshot of another version than 1"},
	{"first-line-wrong", ":1: not a snapshot: the first line is not \"iommusim-snapshot 1\""},
	{"header-after-section", ":3: header line after the first section"},
	{"header-without-key", ":2: header line that is not \"# KEY VALUE\""},
	{"key-misplaced", ":3: field \"domain\" of map is not number 1"},
	{"key-missing", ":3: map without its field \"iova\""},
	{"leading-blank", ":3: \"\" cannot name a fact"},
	{"line-too-long", ":3: line longer than 16384 bytes"},
	{"not-ascii", ":3: byte 0xc3 cannot stand in a snapshot"},
	{"not-text", ":1: not a snapshot: the first line is not \"iommusim-snapshot 1\""},
	{"noun-uppercase", ":3: \"Domain\" cannot name a fact"},
	{"nul-byte", ":3: byte 0x00 cannot stand in a snapshot"},
	{"out-of-order", ":4: out of order: sorts before the line above it"},
	{"range-backwards", ":3: \"0x0000000000002000-0x0000000000001fff\" is not a range 0xFIRST-0xLAST of 16 digits each"},
	{"range-short", ":3: \"0x1000-0x1fff\" is not a range 0xFIRST-0xLAST of 16 digits each"},
	{"range-uppercase", ":3: \"0x000000000000A000-0x000000000000AFFF\" is not a range 0xFIRST-0xLAST of 16 digits each"},
	{"section-order", ":3: section [domain] after section [mapping], which it precedes"},
	{"section-twice", ":4: section [domain] a second time"},
	{"section-unclosed", ":2: section line that is not \"[NAME]\""},
	{"section-without-name", ":2: section line that is not \"[NAME]\""},
	{"sections-too-many", ":258: more than 256 sections"},
	{"tab", ":3: byte 0x09 cannot stand in a snapshot"},
	{"text-after-digest", ":5: text after the digest"},
	{"trailing-blank", ":3: more than one blank between fields, or one at the end"},
	{"two-blanks", ":3: more than one blank between fields, or one at the end"},
	{"version-unknown", ":1: a snapshot of another version than 1"},
};

/* Each defect has one message, the same from read, diff and check. */
static void test_hostile_files_are_refused_by_line(void)
{
	g_autofree char *directory = g_build_filename(g_getenv("FIXTURES"), "hostile", "snapshots", NULL);
	GDir *dir = g_dir_open(directory, 0, NULL);
	unsigned files = 0;

	g_assert_nonnull(dir);
	while (g_dir_read_name(dir))
		files++;
	g_dir_close(dir);
	g_assert_cmpuint(files, ==, G_N_ELEMENTS(hostile)); /* a new file needs its row */

	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree char *path = g_strdup_printf("%s/%s.snap", directory, hostile[i].file);
		g_autofree char *expected = g_strconcat(path, hostile[i].message, NULL);
		g_autoptr(GError) from_read = NULL, from_diff = NULL, from_check = NULL;
		const struct snapshot_visitor visitor = {0};

		g_assert_cmpint(snapshot_read(path, sections, &visitor, NULL, &from_read), ==, -1);
		g_assert_error(from_read, SIM_ERROR, SIM_ERROR_INPUT);
		g_assert_cmpstr(from_read->message, ==, expected);
		g_assert_cmpint(snapshot_diff(path, path, sections, NULL, NULL, NULL, &from_diff), ==, -1);
		g_assert_cmpstr(from_diff->message, ==, expected);
		g_assert_cmpint(snapshot_check(path, sections, NULL, NULL, &from_check), ==, -1);
		g_assert_cmpstr(from_check->message, ==, expected);
	}
}

/* What a result with @error must look like: an error if and only if it says so. */
static void assert_sane(int result, GError *error)
{
	g_assert_cmpint(result, >=, -1);
	g_assert_cmpint(result, <=, 1);
	g_assert_true((result == -1) == (error != NULL));
	g_clear_error(&error);
}

static void try_all(const char *path, const char *whole)
{
	const struct snapshot_visitor visitor = {0};
	GError *error = NULL;
	int result;

	result = snapshot_read(path, sections, &visitor, NULL, &error);
	assert_sane(result, error);
	error = NULL;
	result = snapshot_check(path, sections, NULL, NULL, &error);
	assert_sane(result, error);
	error = NULL;
	result = snapshot_diff(path, whole, sections, NULL, NULL, NULL, &error);
	assert_sane(result, error);
	error = NULL;
	result = snapshot_diff(whole, path, sections, NULL, NULL, NULL, &error);
	assert_sane(result, error);
}

static const char *const small = "# kernel 7.0\n"
				 "[domain]\n"
				 "domain id=1 format=vtdss\n"
				 "[iova]\n"
				 "iova domain=1 iova=0x0000000000001000-0x0000000000002fff owner=dev state=live\n"
				 "[mapping]\n"
				 "map domain=1 iova=0x0000000000001000-0x0000000000001fff pa=0x0000000000005000\n"
				 "map domain=1 iova=0x0000000000002000-0x0000000000002fff pa=0x0000000000006000\n"
				 "ref object=node holder=dev count=1\n";

/* Writes @text with first line and digest, the way the writer would. */
static void put_whole(const char *path, const char *facts)
{
	g_autofree char *body = g_strconcat("iommusim-snapshot 1\n", facts, NULL);
	g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, body, -1);
	g_autofree char *text = g_strdup_printf("%sdigest sha256:%s\n", body, digest);

	put_bytes(path, text, strlen(text));
}

static void put_small(const char *path)
{
	put_whole(path, small);
}

/* @path is damaged: check says one thing, and nothing about what is left. */
static void assert_refused(const char *path)
{
	g_autoptr(GString) findings = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(snapshot_check(path, sections, collect_text, findings, &error), ==, -1);
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_null(strchr(error->message, '\n'));
	g_assert_cmpstr(findings->str, ==, "");
}

static void test_every_prefix_is_read_or_refused(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) text = NULL;

	put_small(fixture->a);
	text = get_text(fixture->a);
	for (size_t len = 0; len <= text->len; len++) {
		put_bytes(fixture->b, text->str, len);
		try_all(fixture->b, fixture->a);
		if (len < text->len)
			assert_refused(fixture->b);
	}
}

static void test_every_flipped_bit_is_found(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) text = NULL;

	put_small(fixture->a);
	g_assert_cmpint(snapshot_check(fixture->a, sections, NULL, NULL, NULL), ==, 0);
	text = get_text(fixture->a);
	for (size_t bit = 0; bit < 8 * text->len; bit++) {
		text->str[bit / 8] ^= (char)(1u << bit % 8);
		put_bytes(fixture->b, text->str, text->len);
		assert_refused(fixture->b);
		try_all(fixture->b, fixture->a);
		text->str[bit / 8] ^= (char)(1u << bit % 8);
	}
}

/* --- The diff --------------------------------------------------------------------------------------------------- */

#define R1V "0x0000000000001000-0x0000000000001fff"
#define R2V "0x0000000000002000-0x0000000000002fff"
#define R3V "0x0000000000003000-0x0000000000003fff"
#define R1  "iova=0x0000000000001000-0x0000000000001fff"
#define R2  "iova=0x0000000000002000-0x0000000000002fff"
#define R3  "iova=0x0000000000003000-0x0000000000003fff"
#define R12 "iova=0x0000000000001000-0x0000000000002fff"
#define R13 "iova=0x0000000000001000-0x0000000000003fff"

static const struct {
	const char *name;
	const char *a, *b;
	const char *expected;
	const char *ignore; /* one field, or NULL */
	const char *only;   /* one noun, or NULL */
} diffs[] = {
	{"same-is-no-difference", "[mapping]\nmap domain=1 " R1 " pa=0x5000\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x5000\n", ""},
	{"header-is-ignored", "# time_ns 1\n[domain]\n", "# time_ns 2\n# more yes\n[domain]\n", ""},
	{"empty-section-is-no-difference", "", "[domain]\n[mapping]\n", ""},
	{"leading-zeros-are-no-move", "[mapping]\nmap domain=1 " R1 " pa=0x5000\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x0000000000005000\n", ""},
	{"field-order-is-no-difference", "[mapping]\nmap domain=1 " R1 " pa=0x5000 prot=r owner=1\n",
	 "[mapping]\nmap domain=1 " R1 " owner=1 prot=r pa=0x5000\n", ""},
	{"split-range-is-no-difference", "[mapping]\nmap domain=1 " R12 " pa=0x5000 prot=rw\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x5000 prot=rw\nmap domain=1 " R2 " pa=0x6000 prot=rw\n", ""},
	{"split-range-without-advance-is-no-difference", "[iova]\niova domain=1 " R12 " state=live\n",
	 "[iova]\niova domain=1 " R1 " state=live\niova domain=1 " R2 " state=live\n", ""},
	{"split-range-that-moves-in-its-second-part", "[mapping]\nmap domain=1 " R12 " pa=0x5000 prot=rw\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x5000 prot=rw\nmap domain=1 " R2 " pa=0x9000 prot=rw\n",
	 "mapping moved: domain=1 " R2 " pa 0x6000 -> 0x9000 | change:mapping moved noun:map domain:1 "
	 "iova:0x0000000000002000-0x0000000000002fff field:pa a:0x6000 b:0x9000\n"},
	{"mapping-added", "[mapping]\n", "[mapping]\nmap domain=1 " R1 " pa=0x5000 prot=rw owner=req:12\n",
	 "mapping added: domain=1 " R1 " pa=0x5000 prot=rw owner=req:12 | change:mapping added noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff pa:0x5000 prot:rw owner:req:12\n"},
	{"mapping-removed-with-its-section", "[mapping]\nmap domain=1 " R1 " pa=0x5000\n", "[domain]\n",
	 "mapping removed: domain=1 " R1 " pa=0x5000 | change:mapping removed noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff pa:0x5000\n"},
	{"removed-in-the-middle", "[mapping]\nmap domain=1 " R13 " pa=0x5000\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x5000\nmap domain=1 " R3 " pa=0x7000\n",
	 "mapping removed: domain=1 " R2 " pa=0x6000 | change:mapping removed noun:map domain:1 "
	 "iova:0x0000000000002000-0x0000000000002fff pa:0x6000\n"},
	{"added-at-both-ends", "[mapping]\nmap domain=1 " R2 " pa=0x6000\n",
	 "[mapping]\nmap domain=1 " R13 " pa=0x5000\n",
	 "mapping added: domain=1 " R1 " pa=0x5000 | change:mapping added noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff pa:0x5000\n"
	 "mapping added: domain=1 " R3 " pa=0x7000 | change:mapping added noun:map domain:1 "
	 "iova:0x0000000000003000-0x0000000000003fff pa:0x7000\n"},
	{"permission-of-the-overlap", "[mapping]\nmap domain=1 " R12 " pa=0x5000 prot=r\n",
	 "[mapping]\nmap domain=1 " R1 " pa=0x5000 prot=r\nmap domain=1 " R2 " pa=0x6000 prot=rw\n",
	 "permission changed: domain=1 " R2 " prot r -> rw | change:permission changed noun:map domain:1 "
	 "iova:0x0000000000002000-0x0000000000002fff field:prot a:r b:rw\n"},
	{"unnamed-field-and-absent-field", "[mapping]\nmap domain=1 " R1 " owner=1 pa=0x5000\n",
	 "[mapping]\nmap domain=1 " R1 " flag=x pa=0x5000\n",
	 "mapping changed: domain=1 " R1 " owner 1 -> (none) | change:mapping changed noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff field:owner a:1\n"
	 "mapping changed: domain=1 " R1 " flag (none) -> x | change:mapping changed noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff field:flag b:x\n"},
	{"advance-absent-on-one-side", "[mapping]\nmap domain=1 " R1 " pa=0x5000\n", "[mapping]\nmap domain=1 " R1 "\n",
	 "mapping moved: domain=1 " R1 " pa 0x5000 -> (none) | change:mapping moved noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff field:pa a:0x5000\n"},
	{"change-named-by-its-value", "[iova]\niova domain=1 " R1 " class=1 state=live\n",
	 "[iova]\niova domain=1 " R1 " class=2 state=pending\n",
	 "cached in another size class: domain=1 " R1 " class 1 -> 2 | change:cached in another size class noun:iova "
	 "domain:1 iova:0x0000000000001000-0x0000000000001fff field:class a:1 b:2\n"
	 "flush pending: domain=1 " R1 " state live -> pending | change:flush pending noun:iova domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff field:state a:live b:pending\n"},
	{"change-to-an-unnamed-value", "[iova]\niova domain=1 " R1 " state=pending\n",
	 "[iova]\niova domain=1 " R1 " state=live\n",
	 "IOVA changed: domain=1 " R1 " state pending -> live | change:IOVA changed noun:iova domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff field:state a:pending b:live\n"},
	{"phrase-names-the-holder", "[mapping]\nref object=n holder=a count=1\n",
	 "[mapping]\nref object=n holder=a count=2\nref object=n holder=b count=1\n",
	 "reference changed: object=n holder=a count 1 -> 2 | change:reference changed noun:ref object:n holder:a "
	 "field:count a:1 b:2\n"
	 "reference gained by b: object=n holder=b count=1 | change:reference gained by b noun:ref object:n holder:b "
	 "count:1\n"},
	{"keys-that-begin-alike-are-two", "[domain]\ndomain id=1\ndomain id=10\n", "[domain]\ndomain id=1\ndomain id=11\n",
	 "domain removed: id=10 | change:domain removed noun:domain id:10\n"
	 "domain added: id=11 | change:domain added noun:domain id:11\n"},
	{"unknown-noun-by-line", "[domain]\ndomain id=1\nzone n=1\n", "[domain]\ndomain id=1\nzone n=2\n",
	 "removed: zone n=1 | change:removed section:domain line:zone n=1\n"
	 "added: zone n=2 | change:added section:domain line:zone n=2\n"},
	{"unknown-section-by-line", "[domain]\n[zeta]\nmap x=1\n[mapping]\nmap domain=1 " R1 "\n",
	 "[mapping]\nmap domain=1 " R1 "\n", "removed: map x=1 | change:removed section:zeta line:map x=1\n"},
	{"unknown-section-of-both", "[zeta]\nq x=1\n[alpha]\nq x=1\n[domain]\n", "[zeta]\nq x=1\n[alpha]\nq x=2\n[domain]\n",
	 "removed: q x=1 | change:removed section:alpha line:q x=1\n"
	 "added: q x=2 | change:added section:alpha line:q x=2\n"},
	{"other-domain-is-another-range", "[mapping]\nmap domain=1 " R1 " pa=0x5000\n",
	 "[mapping]\nmap domain=2 " R1 " pa=0x5000\n",
	 "mapping removed: domain=1 " R1 " pa=0x5000 | change:mapping removed noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff pa:0x5000\n"
	 "mapping added: domain=2 " R1 " pa=0x5000 | change:mapping added noun:map domain:2 "
	 "iova:0x0000000000001000-0x0000000000001fff pa:0x5000\n"},
	{"touching-ranges-of-two-domains-are-two", "[mapping]\nmap domain=1 " R1 " pa=0x5000\nmap domain=2 " R2 " pa=0x6000\n",
	 "[mapping]\nmap domain=1 " R12 " pa=0x5000\n",
	 "mapping added: domain=1 " R2 " pa=0x6000 | change:mapping added noun:map domain:1 "
	 "iova:0x0000000000002000-0x0000000000002fff pa:0x6000\n"
	 "mapping removed: domain=2 " R2 " pa=0x6000 | change:mapping removed noun:map domain:2 "
	 "iova:0x0000000000002000-0x0000000000002fff pa:0x6000\n"},
	{"advance-absent-in-a-second-part", "[mapping]\nmap domain=1 " R1 "\nmap domain=1 " R2 " pa=0x6000\n",
	 "[mapping]\nmap domain=1 " R12 "\n",
	 "mapping moved: domain=1 " R2 " pa 0x6000 -> (none) | change:mapping moved noun:map domain:1 "
	 "iova:0x0000000000002000-0x0000000000002fff field:pa a:0x6000\n"},
	{"keys-that-join-alike-are-two", "[mapping]\nref object=ab holder=c\n", "[mapping]\nref object=a holder=bc\n",
	 "reference gained by bc: object=a holder=bc | change:reference gained by bc noun:ref object:a holder:bc\n"
	 "reference dropped by c: object=ab holder=c | change:reference dropped by c noun:ref object:ab holder:c\n"},
	{"ignored-field-does-not-cut", "[mapping]\nmap domain=1 " R1 " owner=1 pa=0x5000\nmap domain=1 " R2
	 " owner=2 pa=0x6000\n",
	 "[mapping]\nmap domain=1 " R12 " owner=3 pa=0x9000\n",
	 "mapping moved: domain=1 " R12 " pa 0x5000 -> 0x9000 | change:mapping moved noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000002fff field:pa a:0x5000 b:0x9000\n",
	 "owner"},
	{"ignored-advance-does-not-cut", "[mapping]\nmap domain=1 " R1 " pa=0x5000\nmap domain=1 " R2 " pa=0x9000\n",
	 "[mapping]\nmap domain=1 " R12 " pa=0x1000\n", "", "pa"},
	{"ignored-key-is-still-a-key", "[domain]\ndomain id=1\n", "[domain]\ndomain id=2\n",
	 "domain removed: id=1 | change:domain removed noun:domain id:1\n"
	 "domain added: id=2 | change:domain added noun:domain id:2\n",
	 "id"},
	{"range-that-moved", "[mapping]\nsegment domain=1 " R1 " pa=0x5000 prot=rw owner=req:7\n",
	 "[mapping]\nsegment domain=1 " R3 " pa=0x5000 prot=rw owner=req:7\n",
	 "segment moved: domain=1 " R3 " iova " R1V " -> " R3V " | change:segment moved noun:segment domain:1 iova:" R3V
	 " field:iova a:" R1V " b:" R3V "\n"},
	{"range-that-moved-back-in-cuts-and-changed",
	 "[mapping]\nsegment domain=1 " R2 " pa=0x5000 prot=rw owner=req:7 x=1\n"
	 "segment domain=1 " R3 " pa=0x6000 prot=rw owner=req:7 x=1\n",
	 "[mapping]\nsegment domain=1 iova=0x0000000000000000-0x0000000000001fff pa=0x0000000000005000 prot=r owner=req:7 x=1\n",
	 "segment moved: domain=1 iova=0x0000000000000000-0x0000000000001fff "
	 "iova 0x0000000000002000-0x0000000000003fff -> 0x0000000000000000-0x0000000000001fff"
	 " | change:segment moved noun:segment domain:1 iova:0x0000000000000000-0x0000000000001fff field:iova "
	 "a:0x0000000000002000-0x0000000000003fff b:0x0000000000000000-0x0000000000001fff\n"
	 "segment changed: domain=1 iova=0x0000000000000000-0x0000000000001fff prot rw -> r"
	 " | change:segment changed noun:segment domain:1 iova:0x0000000000000000-0x0000000000001fff field:prot a:rw b:r\n"},
	{"range-of-another-owner-or-domain-or-length-did-not-move",
	 "[mapping]\nsegment domain=1 " R1 " pa=0x5000 owner=req:7\nsegment domain=2 " R1 " pa=0x5000 owner=x7\n"
	 "segment domain=3 " R12 " pa=0x5000 prot=rw owner=req:9\n",
	 "[mapping]\nsegment domain=1 " R2 " pa=0x5000 owner=req:07\nsegment domain=3 " R3
	 " pa=0x5000 owner=req:9\nsegment domain=4 " R3 " pa=0x5000 owner=x7\n",
	 "segment removed: domain=1 " R1 " pa=0x5000 owner=req:7 | change:segment removed noun:segment domain:1 iova:" R1V
	 " pa:0x5000 owner:req:7\n"
	 "segment added: domain=1 " R2 " pa=0x5000 owner=req:07 | change:segment added noun:segment domain:1 iova:" R2V
	 " pa:0x5000 owner:req:07\n"
	 "segment removed: domain=2 " R1 " pa=0x5000 owner=x7 | change:segment removed noun:segment domain:2 iova:" R1V
	 " pa:0x5000 owner:x7\n"
	 "segment removed: domain=3 " R12 " pa=0x5000 prot=rw owner=req:9 | change:segment removed noun:segment domain:3 "
	 "iova:0x0000000000001000-0x0000000000002fff pa:0x5000 prot:rw owner:req:9\n"
	 "segment added: domain=3 " R3 " pa=0x5000 owner=req:9 | change:segment added noun:segment domain:3 iova:" R3V
	 " pa:0x5000 owner:req:9\n"
	 "segment added: domain=4 " R3 " pa=0x5000 owner=x7 | change:segment added noun:segment domain:4 iova:" R3V
	 " pa:0x5000 owner:x7\n"},
	{"address-used-again-by-another", "[mapping]\nsegment domain=1 " R1 " pa=0x5000 owner=req:1\n",
	 "[mapping]\nsegment domain=1 " R1 " pa=0x9000 owner=req:2\nsegment domain=1 " R2 " pa=0x5000 owner=req:1\n",
	 "segment moved: domain=1 " R2 " iova " R1V " -> " R2V " | change:segment moved noun:segment domain:1 iova:" R2V
	 " field:iova a:" R1V " b:" R2V "\n"
	 "segment added: domain=1 " R1 " pa=0x9000 owner=req:2 | change:segment added noun:segment domain:1 iova:" R1V
	 " pa:0x9000 owner:req:2\n"},
	/* docs/formats/snapshot.md shows this one. */
	{"example-of-the-manual",
	 "[mapping]\n"
	 "map domain=1 iova=0x00000000fff7e000-0x00000000fff7efff pa=0x0000000114135000 prot=rw owner=req:12\n"
	 "map domain=1 iova=0x00000000fff7f000-0x00000000fff7ffff pa=0x0000000114136000 prot=rw owner=req:12\n",
	 "[mapping]\n"
	 "map domain=1 iova=0x00000000fff7e000-0x00000000fff7efff pa=0x0000000114135000 prot=rw owner=req:12\n"
	 "map domain=1 iova=0x00000000fff7f000-0x00000000fff7ffff pa=0x0000000220000000 prot=r owner=req:12\n",
	 "mapping moved: domain=1 iova=0x00000000fff7f000-0x00000000fff7ffff pa 0x0000000114136000 -> "
	 "0x0000000220000000 | change:mapping moved noun:map domain:1 iova:0x00000000fff7f000-0x00000000fff7ffff "
	 "field:pa a:0x0000000114136000 b:0x0000000220000000\n"
	 "permission changed: domain=1 iova=0x00000000fff7f000-0x00000000fff7ffff prot rw -> r | "
	 "change:permission changed noun:map domain:1 iova:0x00000000fff7f000-0x00000000fff7ffff field:prot a:rw "
	 "b:r\n"},
	{"only-one-noun", "[domain]\ndomain id=1\n[mapping]\nref object=n holder=a\n",
	 "[mapping]\nmap domain=1 " R1 "\nref object=n holder=b\n",
	 "mapping added: domain=1 " R1 " | change:mapping added noun:map domain:1 "
	 "iova:0x0000000000001000-0x0000000000001fff\n",
	 NULL, "map"},
};

static void test_diff_case(struct fixture *fixture, const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	const char *const ignore[] = {diffs[i].ignore, NULL}, *const only[] = {diffs[i].only, NULL};
	struct snapshot_diff_options options = {0};
	g_autoptr(GString) findings = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	int result;

	if (diffs[i].ignore)
		options.ignore = ignore;
	if (diffs[i].only)
		options.only = only;
	put_text(fixture->a, diffs[i].a);
	put_text(fixture->b, diffs[i].b);
	result = snapshot_diff(fixture->a, fixture->b, sections, &options, collect, findings, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(findings->str, ==, diffs[i].expected);
	g_assert_cmpint(result, ==, *diffs[i].expected ? 1 : 0);
}

static void test_damaged_digest_of_either_file_is_an_error(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) text = NULL;
	const struct {
		const char *a, *b;
	} orders[] = {{fixture->a, fixture->b}, {fixture->b, fixture->a}};
	g_autofree char *expected = g_strconcat(fixture->b, ":11: digest does not match", NULL);

	put_small(fixture->a);
	text = get_text(fixture->a);
	text->str[text->len - 2] ^= 1;
	put_bytes(fixture->b, text->str, text->len);
	for (unsigned i = 0; i < G_N_ELEMENTS(orders); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_cmpint(snapshot_diff(orders[i].a, orders[i].b, sections, NULL, NULL, NULL, &error), ==, -1);
		g_assert_cmpstr(error->message, ==, expected);
	}
	put_text(fixture->b, small);
	g_assert_cmpint(snapshot_diff(fixture->a, fixture->b, sections, NULL, NULL, NULL, NULL), ==, 0);
}

static void test_number_that_is_none_is_an_error(struct fixture *fixture, const void *data)
{
	g_autofree char *expected = g_strconcat(fixture->a, ":3: pa=high is not a number", NULL);
	g_autoptr(GError) error = NULL;

	put_text(fixture->a, "[mapping]\nmap domain=1 " R1 " pa=high\n");
	g_assert_cmpint(snapshot_diff(fixture->a, fixture->a, sections, NULL, NULL, NULL, &error), ==, -1);
	g_assert_cmpstr(error->message, ==, expected);
}

/* What finds no room is said to be in one file only, and counted. */
static void test_bounded_number_of_ranges_is_followed(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) findings = g_string_new(NULL);
	uint64_t not_followed = 0;
	const struct snapshot_diff_options options = {.follow_max = 1, .ret_not_followed = &not_followed};

	put_text(fixture->a, "[mapping]\nsegment domain=1 " R1 " pa=0x5000 owner=req:1\nsegment domain=1 " R2
			     " pa=0x8000 owner=req:2\n");
	put_text(fixture->b,
		 "[mapping]\nsegment domain=1 iova=0x0000000000008000-0x0000000000008fff pa=0x5000 owner=req:1\n"
		 "segment domain=1 iova=0x0000000000009000-0x0000000000009fff pa=0x8000 owner=req:2\n");
	g_assert_cmpint(snapshot_diff(fixture->a, fixture->b, sections, &options, collect_text, findings, NULL), ==, 1);
	g_assert_cmpuint(not_followed, ==, 1);
	g_assert_cmpstr(findings->str, ==,
			"segment removed: domain=1 " R2 " pa=0x8000 owner=req:2\n"
			"segment moved: domain=1 iova=0x0000000000008000-0x0000000000008fff iova " R1V
			" -> 0x0000000000008000-0x0000000000008fff\n"
			"segment added: domain=1 iova=0x0000000000009000-0x0000000000009fff pa=0x8000 owner=req:2\n");
}

/* Ranges that overlap in one file are a fault for check; diff need only be sane, and a file equal to itself. */
static void test_overlapping_ranges_equal_themselves(struct fixture *fixture, const void *data)
{
	put_text(fixture->a, "[mapping]\nmap domain=1 " R1 " pa=0x1000\nmap domain=1 " R13 " pa=0x8000\nmap domain=1 " R2
			     " pa=0x1000\n");
	put_text(fixture->b, "[mapping]\nmap domain=1 " R12 " pa=0x1000\nmap domain=1 " R13 " pa=0x8000\n");
	g_assert_cmpint(snapshot_diff(fixture->a, fixture->a, sections, NULL, NULL, NULL, NULL), ==, 0);
	g_assert_cmpint(snapshot_diff(fixture->a, fixture->b, sections, NULL, NULL, NULL, NULL), ==, 1);
	g_assert_cmpint(snapshot_diff(fixture->b, fixture->a, sections, NULL, NULL, NULL, NULL), ==, 1);
}

/* --- The diff against its reference ----------------------------------------------------------------------------- */

/* What differs, one entry a page and field: "domain page field a b", a or b "-" where that file has no such page or
 * field. A page that only one file has is the field "page". */
struct pagewise {
	GPtrArray *entries;
	unsigned findings;
};

static void pagewise_init(struct pagewise *pagewise)
{
	pagewise->entries = g_ptr_array_new_with_free_func(g_free);
	pagewise->findings = 0;
}

static const char *field_of(const char *const *fields, const char *name)
{
	for (; *fields; fields += 2)
		if (strcmp(fields[0], name) == 0)
			return fields[1];
	return NULL;
}

/* Returns a field's value at an address @offset behind where it was reported. */
static char *value_at(const char *field, const char *value, uint64_t offset)
{
	if (!value)
		return g_strdup("-");
	if (strcmp(field, "pa") != 0)
		return g_strdup(value);
	return g_strdup_printf("%" G_GINT64_MODIFIER "x", g_ascii_strtoull(value, NULL, 16) + offset);
}

static void expand_finding(void *data, const char *text, const char *const *fields)
{
	struct pagewise *pagewise = data;
	const char *field = field_of(fields, "field"), *change = field_of(fields, "change");
	uint64_t first, last;

	g_assert_true(snapshot_parse_range(field_of(fields, "iova"), &first, &last));
	g_assert_cmpuint(first % PAGE, ==, 0);
	g_assert_cmpuint(last % PAGE, ==, PAGE - 1);
	for (uint64_t count = (last - first) / PAGE + 1, i = 0; i < count; i++) {
		g_autofree char *a = NULL, *b = NULL;

		if (field) {
			a = value_at(field, field_of(fields, "a"), i * PAGE);
			b = value_at(field, field_of(fields, "b"), i * PAGE);
		} else {
			bool added = strcmp(change, "mapping added") == 0;
			const char *owner = field_of(fields, "owner");
			g_autofree char *pa = value_at("pa", field_of(fields, "pa"), i * PAGE);
			char *what = g_strdup_printf("%s,%s,%s", pa, field_of(fields, "prot"), owner ? owner : "-");

			a = added ? g_strdup("-") : what;
			b = added ? what : g_strdup("-");
		}
		g_ptr_array_add(pagewise->entries,
				g_strdup_printf("%s %" G_GINT64_MODIFIER "x %s %s %s", field_of(fields, "domain"),
						first + i * PAGE, field ? field : "page", a, b));
	}
	pagewise->findings++;
}

static char *page_text(const struct page *page)
{
	static const char *const prots[] = {"r", "w", "rw"}, *const owners[] = {"-", "1", "2"};

	return page->mapped ? g_strdup_printf("%" G_GINT64_MODIFIER "x,%s,%s", page->pa, prots[page->prot],
					      owners[page->owner])
			    : g_strdup("-");
}

static void reference_page(struct pagewise *pagewise, unsigned domain, uint64_t iova, const struct page *a,
			   const struct page *b)
{
	static const char *const names[] = {"pa", "prot", "owner"};
	g_autofree char *text_a = page_text(a), *text_b = page_text(b);
	g_auto(GStrv) fields_a = g_strsplit(text_a, ",", 0), fields_b = g_strsplit(text_b, ",", 0);

	for (unsigned i = 0; a->mapped && b->mapped && i < G_N_ELEMENTS(names); i++)
		if (strcmp(fields_a[i], fields_b[i]) != 0)
			g_ptr_array_add(pagewise->entries,
					g_strdup_printf("%u %" G_GINT64_MODIFIER "x %s %s %s", domain, iova, names[i],
							fields_a[i], fields_b[i]));
	if (a->mapped != b->mapped)
		g_ptr_array_add(pagewise->entries, g_strdup_printf("%u %" G_GINT64_MODIFIER "x page %s %s", domain, iova,
								   text_a, text_b));
}

/* Compares page by page. A finding may not end where both files go on as before. */
static void reference_diff(struct pagewise *pagewise, const struct state *a, const struct state *b)
{
	for (unsigned domain = 0; domain < DOMAINS; domain++)
		for (unsigned i = 0; i < PAGES; i++) {
			const struct page *pa = &a->pages[domain][i], *pb = &b->pages[domain][i];
			guint before = pagewise->entries->len;
			bool goes_on = i > 0 && pa[-1].mapped == pa->mapped && pb[-1].mapped == pb->mapped &&
				       (!pa->mapped || page_continues(pa - 1, pa)) &&
				       (!pb->mapped || page_continues(pb - 1, pb));

			reference_page(pagewise, domain, page_iova(domain, i), pa, pb);
			if (!goes_on)
				pagewise->findings += pagewise->entries->len - before;
		}
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_same_findings(struct pagewise *clever, struct pagewise *reference)
{
	g_ptr_array_sort(clever->entries, compare_entries);
	g_ptr_array_sort(reference->entries, compare_entries);
	for (guint i = 0; i < MIN(clever->entries->len, reference->entries->len); i++)
		g_assert_cmpstr(clever->entries->pdata[i], ==, reference->entries->pdata[i]);
	g_assert_cmpuint(clever->entries->len, ==, reference->entries->len);
	g_assert_cmpuint(clever->findings, ==, reference->findings);
	g_ptr_array_unref(clever->entries);
	g_ptr_array_unref(reference->entries);
}

static void test_random_as_page_by_page(struct fixture *fixture, const void *data)
{
	const unsigned rounds = g_test_slow() ? 2000 : 150;
	unsigned same = 0;
	struct prng prng;

	prng_init(&prng, 3, "diff");
	for (unsigned round = 0; round < rounds; round++) {
		struct pagewise clever, reference;
		struct state a, b;
		int result;

		random_state(&a, &prng);
		b = a;
		if (prng_below(&prng, 4) == 0)
			random_state(&b, &prng);
		else
			mutate_state(&b, &prng);
		a.cut = b.cut = &prng;
		b.other_fields = prng_below(&prng, 2);
		write_snapshot(fixture->a, &a);
		write_snapshot(fixture->b, &b);

		pagewise_init(&clever);
		pagewise_init(&reference);
		result = snapshot_diff(fixture->a, fixture->b, sections, NULL, expand_finding, &clever, NULL);
		reference_diff(&reference, &a, &b);
		g_assert_cmpint(result, ==, reference.findings > 0 ? 1 : 0);
		same += result == 0;
		assert_same_findings(&clever, &reference);
	}
	/* The rounds must have tried both. */
	g_assert_cmpuint(same, >, rounds / 40);
	g_assert_cmpuint(same, <, rounds - rounds / 40);
}

/* --- The check -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	const char *body;
	const char *findings; /* without the path */
} checks[] = {
	{"sound-has-no-finding",
	 "[domain]\ndomain id=1\n[iova]\niova domain=1 " R1 " state=live\niova domain=1 " R2 " state=live\n"
	 "[mapping]\nmap domain=1 " R12 " pa=0x1000\n",
	 ""},
	{"overlap-in-one-domain",
	 "[domain]\ndomain id=1\ndomain id=2\n[iova]\niova domain=1 " R12 "\niova domain=1 " R2 "\niova domain=2 " R2 "\n",
	 ":7: IOVA ranges overlap: overlaps line 6\n"},
	{"overlap-with-an-earlier-larger-one", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R1 "\niova domain=1 " R13
	 "\niova domain=1 " R2 "\niova domain=1 " R3 "\n",
	 ":6: IOVA ranges overlap: overlaps line 5\n:7: IOVA ranges overlap: overlaps line 6\n"
	 ":8: IOVA ranges overlap: overlaps line 6\n"},
	{"value-that-no-other-has", "[domain]\ndomain id=2\n[iova]\niova domain=1 " R1 "\n",
	 ":5: IOVA range of an unknown domain: domain=1\n"},
	{"value-that-comes-later", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R1 " owner=x\niova domain=1 " R2
	 " owner=y\niova domain=1 " R3 " owner=none\n[mapping]\nref object=n holder=y\n",
	 ":5: owner that holds nothing: owner=x\n"},
	{"mapping-beyond-its-range", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R12 " state=live\n[mapping]\n"
	 "map domain=1 " R13 "\n",
	 ":7: mapping outside every live IOVA range: domain=1 " R13 "\n"},
	{"mapping-in-a-range-that-is-not-live", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R1 " state=cached\n"
	 "[mapping]\nmap domain=1 " R1 "\n",
	 ":7: mapping outside every live IOVA range: domain=1 " R1 "\n"},
	{"mapping-in-the-range-of-another-domain", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R1 " state=live\n"
	 "[mapping]\nmap domain=2 " R1 "\n",
	 ":7: mapping outside every live IOVA range: domain=2 " R1 "\n"},
	{"cover-with-a-range-inside-another", "[domain]\ndomain id=1\n[iova]\niova domain=1 " R13 " state=live\n"
	 "iova domain=1 " R2 " state=live\n[mapping]\nmap domain=1 " R13 "\n",
	 ":6: IOVA ranges overlap: overlaps line 5\n"},
	{"lower-addresses-of-the-next-domain", "[domain]\ndomain id=1\ndomain id=2\n[iova]\niova domain=1 " R3
	 "\niova domain=2 " R1 "\niova domain=2 " R2 "\n",
	 ""},
	{"same-line-in-two-sections", "[one]\nthing\n[two]\nthing\n", ""},
	{"keys-twice", "[domain]\ndomain id=1 a=1\ndomain id=1 a=2\n",
	 ":4: the same fact as the line above it: their keys are equal\n"},
	{"unknown-line-twice", "[extra]\nthing\nthing\n", ":4: the same fact as the line above it: their keys are equal\n"},
};

static void test_check_case(struct fixture *fixture, const void *data)
{
	unsigned i = GPOINTER_TO_UINT(data);
	g_autoptr(GString) findings = g_string_new(NULL), expected = g_string_new(NULL);
	g_auto(GStrv) lines = g_strsplit(checks[i].findings, "\n", 0);
	g_autoptr(GError) error = NULL;
	for (unsigned l = 0; lines[l] && *lines[l]; l++)
		g_string_append_printf(expected, "%s%s\n", fixture->a, lines[l]);
	put_whole(fixture->a, checks[i].body);
	g_assert_cmpint(snapshot_check(fixture->a, sections, collect_text, findings, &error), ==,
			*checks[i].findings != '\0');
	g_assert_no_error(error);
	g_assert_cmpstr(findings->str, ==, expected->str);
}

/* Facts of the covering noun in an order other than by address: keys before the range sort first. */
static void test_cover_of_ranges_in_any_order(struct fixture *fixture, const void *data)
{
	static const struct snapshot_noun nouns[] = {
		{.name = "free", .keys = {"class", "iova"}, .range = "iova"},
		{.name = "map", .keys = {"domain", "iova"}, .range = "iova"},
		{NULL},
	};
	static const struct snapshot_rule rules[] = {
		{.kind = SNAPSHOT_COVERED_BY,
		 .noun = "map",
		 .field = "domain",
		 .other = "free",
		 .other_field = "domain",
		 .says = "mapping outside"},
		{.noun = NULL},
	};
	static const struct snapshot_section section = {"mapping", nouns, NULL, rules};
	static const struct snapshot_section *const table[] = {&section, NULL};
	g_autoptr(GString) findings = g_string_new(NULL);

	put_whole(fixture->a, "[mapping]\nfree class=1 " R3 " domain=1\nfree class=2 " R1 " domain=1\nfree class=3 " R2
			     " domain=1\nmap domain=1 " R13 "\n");
	g_assert_cmpint(snapshot_check(fixture->a, table, collect_text, findings, NULL), ==, 0);
	g_assert_cmpstr(findings->str, ==, "");
}

static void test_check_names_file_line_and_finding(struct fixture *fixture, const void *data)
{
	g_autoptr(GString) findings = g_string_new(NULL);
	g_autofree char *expected = NULL;

	put_whole(fixture->a, "[domain]\ndomain id=1 a=1\ndomain id=1 a=2\n");
	expected = g_strdup_printf("%s:4: the same fact as the line above it: their keys are equal | file:%s line:4 "
				   "finding:the same fact as the line above it: their keys are equal\n",
				   fixture->a, fixture->a);
	g_assert_cmpint(snapshot_check(fixture->a, sections, collect, findings, NULL), ==, 1);
	g_assert_cmpstr(findings->str, ==, expected);
}

#define ADD(path, data, function) g_test_add(path, struct fixture, data, set_up, function, tear_down)

static void add_cases(void)
{
	static const char *const wrong[] = {"key-missing", "keys-misplaced", "field-twice", "unknown-noun"};

	for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autofree char *name = g_strconcat("/snapshot/writer/asserts-", wrong[i], NULL);

		g_test_add_data_func(name, GUINT_TO_POINTER(i), test_wrong_writer_asserts);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(diffs); i++) {
		g_autofree char *name = g_strconcat("/snapshot/diff/", diffs[i].name, NULL);

		ADD(name, GUINT_TO_POINTER(i), test_diff_case);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(checks); i++) {
		g_autofree char *name = g_strconcat("/snapshot/check/", checks[i].name, NULL);

		ADD(name, GUINT_TO_POINTER(i), test_check_case);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("/snapshot/writer/one-state-has-one-text", NULL, test_one_state_has_one_text);
	ADD("/snapshot/writer/text-of-every-kind-of-field", NULL, test_text_of_every_kind_of_field);
	ADD("/snapshot/writer/unwritable-name-is-an-error", NULL, test_unwritable_name_is_an_error);
	ADD("/snapshot/reader/reads-what-was-written", NULL, test_reads_what_was_written);
	ADD("/snapshot/reader/visitor-can-stop", NULL, test_visitor_can_stop);
	g_test_add_func("/snapshot/reader/hostile-files-are-refused-by-line", test_hostile_files_are_refused_by_line);
	ADD("/snapshot/reader/every-prefix-is-read-or-refused", NULL, test_every_prefix_is_read_or_refused);
	ADD("/snapshot/check/every-flipped-bit-is-found", NULL, test_every_flipped_bit_is_found);
	ADD("/snapshot/check/cover-of-ranges-in-any-order", NULL, test_cover_of_ranges_in_any_order);
	ADD("/snapshot/check/names-file-line-and-finding", NULL, test_check_names_file_line_and_finding);
	ADD("/snapshot/diff/damaged-digest-of-either-file-is-an-error", NULL,
	    test_damaged_digest_of_either_file_is_an_error);
	ADD("/snapshot/diff/number-that-is-none-is-an-error", NULL, test_number_that_is_none_is_an_error);
	ADD("/snapshot/diff/overlapping-ranges-equal-themselves", NULL, test_overlapping_ranges_equal_themselves);
	ADD("/snapshot/diff/bounded-number-of-ranges-is-followed", NULL, test_bounded_number_of_ranges_is_followed);
	ADD("/snapshot/diff/random-as-page-by-page", NULL, test_random_as_page_by_page);
	add_cases();
	return g_test_run();
}
