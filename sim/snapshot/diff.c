/* SPDX-License-Identifier: MIT */
/*
 * The semantic diff: both files stream by, sorted the same way, so one merge finds what only one of them has.
 *
 * Each side is a sequence of pieces. A piece is a fact, or several facts that say one thing: ranges of the same keys
 * that touch, with equal fields and an advance field that goes on where it was. The merge takes the heads of both
 * sides; where two ranges overlap in part, the overlap is compared, and what sticks out in front is reported or kept
 * as the new head. What only one side has of a noun that follows an owner waits for the end of its section, or until the
 * other side has it elsewhere.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/snapshot/form.h"
#include "sim/snapshot/moves.h"

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
	const struct snapshot_section *section; /* that is compared; NULL if it is not known */
	const char *const *ignore;
	const char *const *only;
	struct moves *moves;
	GString *shape; /* scratch */
	uint64_t not_followed;
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

/* Returns field @i of the line, which @piece has copied. */
static struct snapshot_field kept_field(const struct piece *piece, const struct snapshot_reader *reader, unsigned i)
{
	const char *from = reader->split->str, *to = piece->words->str;

	return (struct snapshot_field){to + (reader->fields[i].name - from), to + (reader->fields[i].value - from)};
}

/* Returns how much of the line, from its start, is noun and @keys keys without the range. */
static gssize group_len(const struct snapshot_reader *reader, unsigned keys)
{
	const char *from = reader->split->str;

	if (reader->noun->range)
		return reader->fields[keys - 1].name - from - 1;
	return keys < reader->line.field_count ? reader->fields[keys].name - from - 1 :
						 (gssize)reader->split->len;
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
	g_string_truncate(piece->group, 0);
	if (!noun) {
		g_string_append(piece->group, line->text);
		return 0;
	}

	/* The words of the line, copied as they are cut: each stands where it stood there. */
	g_string_truncate(piece->words, 0);
	g_string_append_len(piece->words, reader->split->str, (gssize)reader->split->len);
	while (noun->keys[keys])
		keys++;
	g_string_append_len(piece->group, line->text, group_len(reader, keys));
	for (unsigned i = 0; i < line->field_count; i++) {
		const char *name = line->fields[i].name, *value = line->fields[i].value;
		bool key = i < keys;

		if (key && noun->range && strcmp(name, noun->range) == 0) {
			piece->first = reader->first;
			piece->last = reader->last;
		} else if (key) {
			piece->keys[piece->key_count++] = kept_field(piece, reader, i);
		} else if (list_has(diff->ignore, name) || list_has(noun->unseen, name)) {
			continue;
		} else if (noun->advance && strcmp(name, noun->advance) == 0) {
			if (set_advance(piece, reader, value, error) < 0)
				return -1;
		} else {
			piece->fields[piece->field_count++] = kept_field(piece, reader, i);
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
		if (strcmp(a->fields[i].name, b->fields[i].name) == 0 ?
			    strcmp(a->fields[i].value, b->fields[i].value) != 0 :
			    g_strcmp0(a->fields[i].value, piece_get(b, a->fields[i].name)) != 0)
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

/* Reports that only one side has [piece.first, @last]. */
static void report_only(struct diff *diff, const struct piece *piece, bool added, uint64_t last)
{
	const struct snapshot_noun *noun = piece->noun;
	struct finding_text finding;
	g_autofree char *advance = NULL;

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
	/* A noun without words for it has fields that no version of this program knows of. */
	return noun->changed ? noun->changed : "changed";
}

/* Reports that @field of @piece differs in [@first, @last]; a value is NULL where the field is absent. */
static void report_change(struct diff *diff, const struct piece *piece, const char *phrase, const char *field,
			  const char *value_a, const char *value_b, uint64_t first, uint64_t last)
{
	struct finding_text finding;

	finding_begin(&finding, piece, phrase, first, last);
	g_string_append_printf(finding.text, " %s %s -> %s", field, value_a ? value_a : "(none)",
			       value_b ? value_b : "(none)");
	finding_field(&finding, "field", field);
	if (value_a)
		finding_field(&finding, "a", value_a);
	if (value_b)
		finding_field(&finding, "b", value_b);
	finding_send(&finding, diff);
}

static void report_field(struct diff *diff, const struct piece *b, const char *field, const char *value_a,
			 const char *value_b, uint64_t first, uint64_t last)
{
	if (g_strcmp0(value_a, value_b) != 0)
		report_change(diff, b, change_phrase(b->noun, field, value_b), field, value_a, value_b, first,
			      last);
}

/* Compares the fields of @a and @b, which both cover [@first, @last] of @b. */
static void compare_others(struct diff *diff, const struct piece *a, const struct piece *b, uint64_t first,
			   uint64_t last)
{
	for (unsigned i = 0; i < a->field_count; i++)
		report_field(diff, b, a->fields[i].name, a->fields[i].value, piece_get(b, a->fields[i].name),
			     first, last);
	for (unsigned i = 0; i < b->field_count; i++)
		if (!piece_get(a, b->fields[i].name))
			report_field(diff, b, b->fields[i].name, NULL, b->fields[i].value, first, last);
}

/* Numbers, not text: the same address with other leading zeros has not moved. */
static bool advance_differs(const struct piece *a, const struct piece *b, uint64_t first)
{
	return a->has_advance != b->has_advance ||
	       (a->has_advance && a->advance + (first - a->first) != b->advance + (first - b->first));
}

/* Compares what both sides say about [@first, @last], which both heads cover. */
static void compare_fields(struct diff *diff, uint64_t first, uint64_t last)
{
	const struct piece *a = &diff->a.head, *b = &diff->b.head;

	if (advance_differs(a, b, first)) {
		g_autofree char *from = advance_text(a, first);
		g_autofree char *to = advance_text(b, first);

		report_field(diff, b, a->noun->advance, from, to, first, last);
	}
	compare_others(diff, a, b, first, last);
}

/* --- Moves ------------------------------------------------------------------------------------------------------ */

/*
 * The shape of a move: side, digits of the advance field, which of the other fields is the owner; noun and keys, the
 * owner without its number; behind SHAPE_REST what else there is. Two are of one thing if what stands between
 * SHAPE_GROUP and SHAPE_REST is the same.
 */
enum {
	SHAPE_SIDE,
	SHAPE_DIGITS,
	SHAPE_PLACE,
	SHAPE_GROUP,
};

#define SHAPE_NUMBER '\1' /* in place of the owner's number: no value has that */
#define SHAPE_REST   '\2'

/* Returns how long @value is without the number that it ends with, into *@ret_number; all of it where it ends with none
 * that could be put back. */
static size_t cut_number(const char *value, uint64_t *ret_number)
{
	size_t len = strlen(value), at = len;

	while (at && g_ascii_isdigit(value[at - 1]))
		at--;
	*ret_number = 0;
	if (at == len || len - at > 18 || (value[at] == '0' && len - at > 1))
		return len;
	*ret_number = g_ascii_strtoull(value + at, NULL, 10);
	return at;
}

/* Makes a move of [piece.first, @last]; false if it is not to be followed. */
static bool move_set(struct move *move, struct diff *diff, const struct piece *piece, bool added, uint64_t last)
{
	const char *owner = piece->noun->follows ? piece_get(piece, piece->noun->follows) : NULL;
	unsigned place;
	size_t len;

	if (!owner || !piece->has_advance)
		return false;
	*move = (struct move){.first = piece->first, .last = last, .advance = piece->advance};
	len = cut_number(owner, &move->owner);
	g_string_truncate(diff->shape, 0);
	g_string_append_c(diff->shape, added ? 'b' : 'a');
	g_string_append_c(diff->shape, (char)('A' + piece->advance_digits));
	for (place = 0; piece->fields[place].value != owner; place++)
		;
	g_string_append_c(diff->shape, (char)('A' + place));
	g_string_append_len(diff->shape, piece->group->str, (gssize)piece->group->len);
	snapshot_append_field(diff->shape, piece->noun->follows, "");
	g_string_append_len(diff->shape, owner, (gssize)len);
	if (owner[len])
		g_string_append_c(diff->shape, SHAPE_NUMBER);
	g_string_append_c(diff->shape, SHAPE_REST);
	for (unsigned i = 0; i < piece->field_count; i++)
		if (i != place)
			snapshot_append_field(diff->shape, piece->fields[i].name, piece->fields[i].value);
	move->shape = moves_shape(diff->moves, diff->shape->str, diff->shape->len);
	return move->shape != UINT32_MAX;
}

static bool move_same(const struct moves *moves, const struct move *a, const struct move *b)
{
	const char *x = moves_shape_text(moves, a->shape), *y = moves_shape_text(moves, b->shape);
	size_t len = (size_t)(strchr(x, SHAPE_REST) - x) + 1;

	return x[SHAPE_SIDE] != y[SHAPE_SIDE] && strncmp(x + SHAPE_GROUP, y + SHAPE_GROUP, len - SHAPE_GROUP) == 0;
}

/* Makes the piece that @move was made of. */
static void piece_restore(struct piece *piece, const struct snapshot_noun *noun, const struct moves *moves,
			  const struct move *move)
{
	const char *shape = moves_shape_text(moves, move->shape);
	g_autofree char *text = g_strdup(shape + SHAPE_GROUP);
	unsigned place = (unsigned)(shape[SHAPE_PLACE] - 'A');
	struct snapshot_field owner;
	char *next = text, *word;

	piece->valid = piece->has_advance = true;
	piece->noun = noun;
	piece->first = move->first;
	piece->last = move->last;
	piece->advance = move->advance;
	piece->advance_digits = (unsigned)(shape[SHAPE_DIGITS] - 'A');
	piece->key_count = piece->field_count = 0;
	g_string_set_size(piece->words, strlen(text) + SNAPSHOT_FIELDS_MAX + 20);
	g_string_truncate(piece->words, 0);
	strsep(&next, " "); /* the noun */
	while ((word = strsep(&next, (char[]){' ', SHAPE_REST, '\0'}))) {
		char *equals = strchr(word, '='), *cut = strchr(word, SHAPE_NUMBER);
		g_autofree char *value = NULL;
		struct snapshot_field field;

		if (!equals)
			continue; /* between SHAPE_REST and the blank */
		*equals = '\0';
		if (cut)
			*cut = '\0';
		value = cut ? g_strdup_printf("%s%" G_GUINT64_FORMAT, equals + 1, move->owner) : g_strdup(equals + 1);
		field = (struct snapshot_field){keep(piece, word), keep(piece, value)};
		if (noun->keys[piece->key_count + 1])
			piece->keys[piece->key_count++] = field;
		else
			piece->fields[piece->field_count++] = field;
	}
	owner = piece->fields[0];
	memmove(piece->fields, piece->fields + 1, place * sizeof(owner));
	piece->fields[place] = owner;
}

static void report_move(struct diff *diff, const struct piece *a, const struct piece *b)
{
	g_autoptr(GString) from = g_string_new(NULL);
	g_autoptr(GString) to = g_string_new(NULL);
	const struct snapshot_noun *noun = b->noun;

	snapshot_append_range(from, a->first, a->last);
	snapshot_append_range(to, b->first, b->last);
	report_change(diff, b, noun->moved ? noun->moved : change_phrase(noun, noun->range, NULL), noun->range, from->str, to->str, b->first,
		      b->last);
	compare_others(diff, a, b, b->first, b->last);
}

/* Returns whether [piece.first, @last] need not be reported now: it has moved, or may have. */
static bool follow(struct diff *diff, const struct piece *piece, bool added, uint64_t last)
{
	struct move move, match;
	struct piece here, there;

	if (!piece->noun->follows)
		return false;
	if (!move_set(&move, diff, piece, added, last)) {
		diff->not_followed++;
		return false;
	}
	if (!moves_take(diff->moves, &move, move_same, &match)) {
		if (moves_put(diff->moves, &move))
			return true;
		diff->not_followed++;
		return false;
	}
	piece_init(&here);
	piece_init(&there);
	piece_restore(&here, piece->noun, diff->moves, &move);
	piece_restore(&there, piece->noun, diff->moves, &match);
	report_move(diff, added ? &there : &here, added ? &here : &there);
	piece_finish(&here);
	piece_finish(&there);
	return true;
}

/* Reports what was found nowhere else. */
static void report_unmoved(void *data, const struct moves *moves, const struct move *move)
{
	struct diff *diff = data;
	const char *shape = moves_shape_text(moves, move->shape);
	g_autofree char *name = g_strndup(shape + SHAPE_GROUP, strcspn(shape + SHAPE_GROUP, " "));
	struct piece piece;

	piece_init(&piece);
	piece_restore(&piece, snapshot_section_noun(diff->section, name), moves, move);
	report_only(diff, &piece, shape[SHAPE_SIDE] == 'b', piece.last);
	piece_finish(&piece);
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

/* Only @side has [head.first, @last]. */
static void say_only(struct diff *diff, const struct side *side, uint64_t last)
{
	bool added = side == &diff->b;

	if (!side->head.noun)
		report_line(diff, side, &side->head, added ? "added" : "removed");
	else if (!follow(diff, &side->head, added, last))
		report_only(diff, &side->head, added, last);
}

/* The same, reporting it as being in one file only. */
static int take_only(struct diff *diff, struct side *side, uint64_t last, GError **error)
{
	say_only(diff, side, last);
	return take(diff, side, last, error);
}

/* Whether the heads, which both cover @first, have nothing to do with each other but the address: another owner, elsewhere. */
static bool is_another(const struct piece *a, const struct piece *b, uint64_t first)
{
	const char *follows = a->noun->follows;

	return follows && advance_differs(a, b, first) &&
	       g_strcmp0(piece_get(a, follows), piece_get(b, follows)) != 0;
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
	if (is_another(a, b, first)) {
		say_only(diff, &diff->a, last);
		say_only(diff, &diff->b, last);
	} else {
		compare_fields(diff, first, last);
	}
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

static const struct snapshot_section *section_known(const struct diff *diff, const char *name)
{
	int index = snapshot_section_index(diff->sections, name);

	return index >= 0 ? diff->sections[index] : NULL;
}

static int merge_files(struct diff *diff, GError **error)
{
	while (diff->a.item != SNAPSHOT_END || diff->b.item != SNAPSHOT_END) {
		int order = compare_sections(diff);

		if (order <= 0 && side_enter(&diff->a, diff, error) < 0)
			return -1;
		if (order >= 0 && side_enter(&diff->b, diff, error) < 0)
			return -1;
		diff->section = section_known(diff, order <= 0 ? diff->a.section : diff->b.section);
		while (diff->a.head.valid || diff->b.head.valid)
			if (merge_heads(diff, error) < 0)
				return -1;
		moves_drain(diff->moves, report_unmoved, diff);
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
		.moves = moves_new(options && options->follow_max ? options->follow_max : MOVES_MAX),
		.shape = g_string_new(NULL),
		.report = report,
		.data = data,
	};
	int result = -1;

	if (side_open(&diff.a, path_a, &diff, error) < 0)
		goto out_a;
	if (side_open(&diff.b, path_b, &diff, error) < 0)
		goto out_b;
	result = merge_files(&diff, error);
	if (options && options->ret_not_followed)
		*options->ret_not_followed = diff.not_followed;
out_b:
	side_finish(&diff.b);
out_a:
	side_finish(&diff.a);
	g_string_free(diff.shape, TRUE);
	moves_free(diff.moves);
	return result;
}
