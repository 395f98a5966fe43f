/* SPDX-License-Identifier: MIT */
/*
 * The semantic diff: both files stream by, sorted the same way, so one merge finds what only one of them has.
 *
 * Each side is a sequence of pieces. A piece is a fact, or several facts that say one thing: ranges of the same keys
 * that touch, with equal fields and an advance field that goes on where it was. The merge takes the heads of both
 * sides; where two ranges overlap in part, the overlap is compared, and what sticks out in front is reported or kept
 * as the new head.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/snapshot/form.h"

struct piece {
	bool valid;
	const struct snapshot_noun *noun; /* NULL: not known, the group is the whole line */
	GString *group;			  /* noun and keys as they stand in the line, without the range */
	GString *words;			  /* keeps the strings below, NUL-ended */
	struct snapshot_field keys[SNAPSHOT_KEYS_MAX];
	unsigned key_count;				   /* without the range */
	struct snapshot_field fields[SNAPSHOT_FIELDS_MAX]; /* compared: neither keys, advance nor ignored */
	unsigned field_count;
	uint64_t first, last; /* the range */
	bool has_advance;
	uint64_t advance; /* at first */
	unsigned advance_digits;
};

struct side {
	struct snapshot_reader *reader;
	int item; /* what the reader stands at: a section, a fact that no piece has taken yet, or the end */
	char *section; /* the one that head is of; the reader may be further */
	struct piece head, next;
};

struct diff {
	struct side a, b;
	const struct snapshot_section *const *sections;
	const char *const *ignore;
	const char *const *only;
	snapshot_report report;
	void *data;
	bool different;
};

static bool list_has(const char *const *list, const char *text)
{
	for (; list && *list; list++)
		if (strcmp(*list, text) == 0)
			return true;
	return false;
}

/* --- Pieces ----------------------------------------------------------------------------------------------------- */

static void piece_init(struct piece *piece)
{
	*piece = (struct piece){.group = g_string_new(NULL), .words = g_string_new(NULL)};
}

static void piece_finish(struct piece *piece)
{
	g_string_free(piece->group, TRUE);
	g_string_free(piece->words, TRUE);
}

static bool is_range(const struct piece *piece)
{
	return piece->noun && piece->noun->range;
}

/* Copies @text behind the other words, where room has been reserved. */
static const char *keep(struct piece *piece, const char *text)
{
	size_t at = piece->words->len;

	g_string_append_len(piece->words, text, (gssize)strlen(text) + 1);
	return piece->words->str + at;
}

static int set_advance(struct piece *piece, const struct snapshot_reader *reader, const char *value,
		       GError **error)
{
	if (!text_parse_u64(value, &piece->advance))
		return sim_error_line(error, snapshot_reader_path(reader), reader->line.number,
				      "%s=%s is not a number", piece->noun->advance, value);
	piece->has_advance = true;
	piece->advance_digits = g_str_has_prefix(value, "0x") ? MIN(strlen(value) - 2, 16) : 0;
	return 0;
}

/* Takes what is compared of the fact the reader stands at. */
static int piece_set(struct piece *piece, const struct snapshot_reader *reader, const struct diff *diff,
		     GError **error)
{
	const struct snapshot_line *line = &reader->line;
	const struct snapshot_noun *noun = reader->noun;
	unsigned keys = 0;

	piece->valid = true;
	piece->noun = noun;
	piece->key_count = piece->field_count = 0;
	piece->has_advance = false;
	g_string_truncate(piece->words, 0);
	g_string_assign(piece->group, noun ? noun->name : line->text);
	if (!noun)
		return 0;

	/* Words are lent out, so the buffer must not move: no word is longer than its part of the line. */
	g_string_set_size(piece->words, strlen(line->text) + SNAPSHOT_FIELDS_MAX);
	g_string_truncate(piece->words, 0);
	while (noun->keys[keys])
		keys++;
	for (unsigned i = 0; i < line->field_count; i++) {
		const char *name = line->fields[i].name, *value = line->fields[i].value;
		bool key = i < keys;

		if (key && noun->range && strcmp(name, noun->range) == 0) {
			bool parsed = snapshot_parse_range(value, &piece->first, &piece->last);

			g_assert(parsed);
		} else if (key) {
			snapshot_append_field(piece->group, name, value);
			piece->keys[piece->key_count++] =
				(struct snapshot_field){keep(piece, name), keep(piece, value)};
		} else if (list_has(diff->ignore, name) || list_has(noun->unseen, name)) {
			continue;
		} else if (noun->advance && strcmp(name, noun->advance) == 0) {
			if (set_advance(piece, reader, value, error) < 0)
				return -1;
		} else {
			piece->fields[piece->field_count++] =
				(struct snapshot_field){keep(piece, name), keep(piece, value)};
		}
	}
	return 0;
}

static const char *piece_get(const struct piece *piece, const char *field)
{
	for (unsigned i = 0; i < piece->field_count; i++)
		if (strcmp(piece->fields[i].name, field) == 0)
			return piece->fields[i].value;
	return NULL;
}

static bool fields_equal(const struct piece *a, const struct piece *b)
{
	if (a->field_count != b->field_count)
		return false;
	for (unsigned i = 0; i < a->field_count; i++)
		if (g_strcmp0(a->fields[i].value, piece_get(b, a->fields[i].name)) != 0)
			return false;
	return true;
}

/* Returns whether @next says the same thing as @piece about the addresses that follow. */
static bool continues(const struct piece *piece, const struct piece *next)
{
	if (!is_range(piece) || piece->noun != next->noun)
		return false;
	if (piece->last == UINT64_MAX || next->first != piece->last + 1)
		return false;
	if (piece->has_advance != next->has_advance)
		return false;
	if (piece->has_advance && next->advance != piece->advance + (next->first - piece->first))
		return false;
	return g_string_equal(piece->group, next->group) && fields_equal(piece, next);
}

/* Cuts off what lies before @first. */
static void piece_trim(struct piece *piece, uint64_t first)
{
	piece->advance += first - piece->first;
	piece->first = first;
}

/* --- Sides ------------------------------------------------------------------------------------------------------ */

/* Moves the reader to the next section, fact of interest, or the end. */
static int side_step(struct side *side, const struct diff *diff, GError **error)
{
	do {
		side->item = snapshot_reader_next(side->reader, error);
	} while (side->item == SNAPSHOT_HEADER || (side->item == SNAPSHOT_FACT && diff->only &&
						   !list_has(diff->only, side->reader->line.noun)));
	return side->item < 0 ? -1 : 0;
}

static int side_next(struct side *side, const struct diff *diff, GError **error)
{
	side->next.valid = false;
	if (side->item != SNAPSHOT_FACT)
		return 0;
	if (piece_set(&side->next, side->reader, diff, error) < 0)
		return -1;
	return side_step(side, diff, error);
}

/* Puts the next piece of the section at the head, whole; at the section's end it is not valid. */
static int side_fill(struct side *side, const struct diff *diff, GError **error)
{
	struct piece spare = side->head;

	side->head = side->next;
	side->next = spare;
	if (side_next(side, diff, error) < 0)
		return -1;
	while (side->head.valid && side->next.valid && continues(&side->head, &side->next)) {
		side->head.last = side->next.last;
		if (side_next(side, diff, error) < 0)
			return -1;
	}
	return 0;
}

/* Enters the section the reader stands at: its first piece becomes the head. */
static int side_enter(struct side *side, const struct diff *diff, GError **error)
{
	g_free(side->section);
	side->section = g_strdup(side->reader->section);
	if (side_step(side, diff, error) < 0 || side_next(side, diff, error) < 0)
		return -1;
	return side_fill(side, diff, error);
}

static int side_open(struct side *side, const char *path, const struct diff *diff, GError **error)
{
	piece_init(&side->head);
	piece_init(&side->next);
	side->reader = snapshot_reader_new(path, diff->sections, error);
	return side->reader ? side_step(side, diff, error) : -1;
}

static void side_finish(struct side *side)
{
	snapshot_reader_free(side->reader);
	g_free(side->section);
	piece_finish(&side->head);
	piece_finish(&side->next);
}

/* --- Findings --------------------------------------------------------------------------------------------------- */

/* A finding under construction: its text, and the fields for JSON as pairs in one array of owned strings. */
struct finding_text {
	GString *text;
	GPtrArray *fields;
};

static void finding_init(struct finding_text *finding)
{
	finding->text = g_string_new(NULL);
	finding->fields = g_ptr_array_new_with_free_func(g_free);
}

static void finding_field(struct finding_text *finding, const char *name, const char *value)
{
	g_ptr_array_add(finding->fields, g_strdup(name));
	g_ptr_array_add(finding->fields, g_strdup(value));
}

static void finding_key(struct finding_text *finding, const char *name, const char *value)
{
	snapshot_append_field(finding->text, name, value);
	finding_field(finding, name, value);
}

static void finding_send(struct finding_text *finding, struct diff *diff)
{
	g_ptr_array_add(finding->fields, NULL);
	diff->different = true;
	if (diff->report)
		diff->report(diff->data, finding->text->str, (const char *const *)finding->fields->pdata);
	g_ptr_array_unref(finding->fields);
	g_string_free(finding->text, TRUE);
}

/* Returns @phrase with each {FIELD} replaced by the piece's value. */
static char *expand_phrase(const char *phrase, const struct piece *piece)
{
	GString *text = g_string_new(NULL);

	while (*phrase) {
		const char *end = *phrase == '{' ? strchr(phrase, '}') : NULL;
		g_autofree char *field = end ? g_strndup(phrase + 1, (size_t)(end - phrase - 1)) : NULL;
		const char *value = field ? piece_get(piece, field) : NULL;

		for (unsigned i = 0; field && i < piece->key_count; i++)
			if (strcmp(piece->keys[i].name, field) == 0)
				value = piece->keys[i].value;
		g_string_append_len(text, value ? value : phrase, value ? -1 : 1);
		phrase = value ? end + 1 : phrase + 1;
	}
	return g_string_free(text, FALSE);
}

static char *advance_text(const struct piece *piece, uint64_t first)
{
	uint64_t value = piece->advance + (first - piece->first);
	GString *text;

	if (!piece->has_advance)
		return NULL;
	if (!piece->advance_digits)
		return g_strdup_printf("%" G_GUINT64_FORMAT, value);
	text = g_string_new(NULL);
	if (piece->advance_digits < 16 && value >> 4 * piece->advance_digits)
		text_append_hex(text, value, 16);
	else
		text_append_hex(text, value, piece->advance_digits);
	return g_string_free(text, FALSE);
}

/* Begins a finding about [@first, @last] of @piece: the phrase, the noun and the keys. */
static void finding_begin(struct finding_text *finding, const struct piece *piece, const char *phrase,
			  uint64_t first, uint64_t last)
{
	g_autofree char *change = expand_phrase(phrase, piece);

	finding_init(finding);
	g_string_append_printf(finding->text, "%s:", change);
	finding_field(finding, "change", change);
	finding_field(finding, "noun", piece->noun->name);
	for (unsigned i = 0; i < piece->key_count; i++)
		finding_key(finding, piece->keys[i].name, piece->keys[i].value);
	if (is_range(piece)) {
		g_autoptr(GString) range = g_string_new(NULL);

		snapshot_append_range(range, first, last);
		finding_key(finding, piece->noun->range, range->str);
	}
}

static void report_line(struct diff *diff, const struct side *side, const struct piece *piece,
			const char *change)
{
	struct finding_text finding;

	finding_init(&finding);
	g_string_append_printf(finding.text, "%s: %s", change, piece->group->str);
	finding_field(&finding, "change", change);
	finding_field(&finding, "section", side->section);
	finding_field(&finding, "line", piece->group->str);
	finding_send(&finding, diff);
}

/* Reports that only @side has [head.first, @last]. */
static void report_only(struct diff *diff, const struct side *side, uint64_t last)
{
	const struct piece *piece = &side->head;
	const struct snapshot_noun *noun = piece->noun;
	bool added = side == &diff->b;
	struct finding_text finding;
	g_autofree char *advance = NULL;

	if (!noun) {
		report_line(diff, side, piece, added ? "added" : "removed");
		return;
	}
	if (!(added ? noun->added : noun->removed))
		return;
	finding_begin(&finding, piece, added ? noun->added : noun->removed, piece->first, last);
	advance = advance_text(piece, piece->first);
	if (advance)
		finding_key(&finding, noun->advance, advance);
	for (unsigned i = 0; i < piece->field_count; i++)
		finding_key(&finding, piece->fields[i].name, piece->fields[i].value);
	finding_send(&finding, diff);
}

/* Returns what the change of @field to @value is called. */
static const char *change_phrase(const struct snapshot_noun *noun, const char *field, const char *value)
{
	size_t len = strlen(field);

	if (noun->moved && noun->advance && strcmp(field, noun->advance) == 0)
		return noun->moved;
	for (const char *const *pair = noun->field_changed; pair && *pair; pair += 2) {
		if (strncmp(pair[0], field, len) != 0)
			continue;
		if (pair[0][len] == '\0' || (pair[0][len] == '=' && g_strcmp0(pair[0] + len + 1, value) == 0))
			return pair[1];
	}
	return noun->changed;
}

/* Reports that @field differs in [@first, @last]; a value is NULL where the field is absent. */
static void report_field(struct diff *diff, const char *field, const char *value_a, const char *value_b,
			 uint64_t first, uint64_t last)
{
	const struct piece *piece = &diff->b.head;
	struct finding_text finding;

	if (g_strcmp0(value_a, value_b) == 0)
		return;
	finding_begin(&finding, piece, change_phrase(piece->noun, field, value_b), first, last);
	g_string_append_printf(finding.text, " %s %s -> %s", field, value_a ? value_a : "(none)",
			       value_b ? value_b : "(none)");
	finding_field(&finding, "field", field);
	if (value_a)
		finding_field(&finding, "a", value_a);
	if (value_b)
		finding_field(&finding, "b", value_b);
	finding_send(&finding, diff);
}

/* Compares what both sides say about [@first, @last], which both heads cover. */
static void compare_fields(struct diff *diff, uint64_t first, uint64_t last)
{
	const struct piece *a = &diff->a.head, *b = &diff->b.head;

	/* Numbers, not text: the same address with other leading zeros has not moved. */
	if (a->has_advance != b->has_advance ||
	    (a->has_advance && a->advance + (first - a->first) != b->advance + (first - b->first))) {
		g_autofree char *from = advance_text(a, first);
		g_autofree char *to = advance_text(b, first);

		report_field(diff, a->noun->advance, from, to, first, last);
	}
	for (unsigned i = 0; i < a->field_count; i++)
		report_field(diff, a->fields[i].name, a->fields[i].value, piece_get(b, a->fields[i].name),
			     first, last);
	for (unsigned i = 0; i < b->field_count; i++)
		if (!piece_get(a, b->fields[i].name))
			report_field(diff, b->fields[i].name, NULL, b->fields[i].value, first, last);
}

/* --- The merge -------------------------------------------------------------------------------------------------- */

/* Drops what the head of @side says up to @last. */
static int take(struct diff *diff, struct side *side, uint64_t last, GError **error)
{
	if (is_range(&side->head) && last < side->head.last) {
		piece_trim(&side->head, last + 1);
		return 0;
	}
	return side_fill(side, diff, error);
}

/* The same, reporting it as being in one file only. */
static int take_only(struct diff *diff, struct side *side, uint64_t last, GError **error)
{
	report_only(diff, side, last);
	return take(diff, side, last, error);
}

/* Both heads are about the same keys: takes the part that comes first. */
static int merge_ranges(struct diff *diff, GError **error)
{
	struct piece *a = &diff->a.head, *b = &diff->b.head;
	uint64_t first, last;

	if (a->first < b->first)
		return take_only(diff, &diff->a, MIN(a->last, b->first - 1), error);
	if (b->first < a->first)
		return take_only(diff, &diff->b, MIN(b->last, a->first - 1), error);
	first = a->first;
	last = MIN(a->last, b->last);
	compare_fields(diff, first, last);
	if (take(diff, &diff->a, last, error) < 0)
		return -1;
	return take(diff, &diff->b, last, error);
}

static int merge_heads(struct diff *diff, GError **error)
{
	struct piece *a = &diff->a.head, *b = &diff->b.head;
	int order = !a->valid ? 1 : !b->valid ? -1 : strcmp(a->group->str, b->group->str);

	if (order < 0)
		return take_only(diff, &diff->a, a->last, error);
	if (order > 0)
		return take_only(diff, &diff->b, b->last, error);
	if (is_range(a))
		return merge_ranges(diff, error);
	if (a->noun)
		compare_fields(diff, 0, 0);
	if (side_fill(&diff->a, diff, error) < 0)
		return -1;
	return side_fill(&diff->b, diff, error);
}

/* Returns which side's section comes first: < 0 a, > 0 b, 0 both are the same. A section that the table does not know
 * belongs behind the known one before it (which both sides have left when it is met); among themselves such sections go
 * by name. */
static int compare_sections(const struct diff *diff)
{
	const struct snapshot_reader *a = diff->a.reader, *b = diff->b.reader;

	if (diff->a.item == SNAPSHOT_END || diff->b.item == SNAPSHOT_END)
		return (diff->a.item == SNAPSHOT_END) - (diff->b.item == SNAPSHOT_END);
	if (strcmp(a->section, b->section) == 0)
		return 0;
	if (a->section_anchor != b->section_anchor)
		return a->section_anchor < b->section_anchor ? -1 : 1;
	return strcmp(a->section, b->section);
}

static int merge_files(struct diff *diff, GError **error)
{
	while (diff->a.item != SNAPSHOT_END || diff->b.item != SNAPSHOT_END) {
		int order = compare_sections(diff);

		if (order <= 0 && side_enter(&diff->a, diff, error) < 0)
			return -1;
		if (order >= 0 && side_enter(&diff->b, diff, error) < 0)
			return -1;
		while (diff->a.head.valid || diff->b.head.valid)
			if (merge_heads(diff, error) < 0)
				return -1;
	}
	return diff->different;
}

int snapshot_diff(const char *path_a, const char *path_b, const struct snapshot_section *const *sections,
		  const struct snapshot_diff_options *options, snapshot_report report, void *data,
		  GError **error)
{
	struct diff diff = {
		.sections = sections,
		.ignore = options ? options->ignore : NULL,
		.only = options ? options->only : NULL,
		.report = report,
		.data = data,
	};
	int result = -1;

	if (side_open(&diff.a, path_a, &diff, error) < 0)
		goto out_a;
	if (side_open(&diff.b, path_b, &diff, error) < 0)
		goto out_b;
	result = merge_files(&diff, error);
out_b:
	side_finish(&diff.b);
out_a:
	side_finish(&diff.a);
	return result;
}
