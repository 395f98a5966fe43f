/* SPDX-License-Identifier: MIT */
/*
 * Do the facts of a snapshot fit together? One pass. What rules refer to is collected as it streams by (ranges that
 * touch become one, so a full address space costs little); a fact that refers to what comes later waits for the end.
 * So do the findings: what is damaged is no state to judge.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/snapshot/form.h"

struct range {
	uint64_t first, last;
	uint64_t tag; /* of what the rule wants alike: 0: nothing */
};

/* A union of ranges. */
struct cover {
	GArray *ranges; /* of struct range; those that touch and have one tag are joined */
	bool sorted;	/* by first, none touching another */
};

/* A rule at work. */
struct watch {
	const struct snapshot_rule *rule;
	const struct snapshot_noun *noun, *other;
	char **fields, **other_fields;
	char **values;	   /* SNAPSHOT_ONE_OF: to choose from */
	char **alike;	   /* NULL: nothing is */
	bool settled;	   /* all of @other stands before the first @noun */
	GHashTable *known; /* value of other_field -> struct cover, or NULL for SNAPSHOT_VALUE_EXISTS */

	/* SNAPSHOT_DISJOINT: what came before. */
	GString *group;
	uint64_t last, last_number;
};

/* A fact that could not be judged when it was read. */
struct pending {
	struct watch *watch;
	uint64_t number;
	struct range range;
	char *value;
};

/* Something that does not fit. */
struct misfit {
	uint64_t number; /* of the line */
	char *what;
};

/* A judge at work. */
struct court {
	const struct snapshot_judge *judge;
	void *state;
};

struct snapshot_checker {
	struct snapshot_reader *reader;
	GArray *misfits; /* of struct misfit, at most SNAPSHOT_FINDINGS_MAX */
	uint64_t misfit_count;
	GArray *watches; /* of struct watch */
	GArray *courts;	 /* of struct court */
	GArray *pending; /* of struct pending */
	GString *keys;	 /* of the fact before, with its noun */
	GString *value;	 /* scratch */
};

static void cover_free(void *data)
{
	struct cover *cover = data;

	if (!cover)
		return;
	g_array_unref(cover->ranges);
	g_free(cover);
}

static void watch_clear(void *data)
{
	struct watch *watch = data;

	g_strfreev(watch->fields);
	g_strfreev(watch->other_fields);
	g_strfreev(watch->values);
	g_strfreev(watch->alike);
	g_hash_table_unref(watch->known);
	g_string_free(watch->group, TRUE);
}

static void pending_clear(void *data)
{
	g_free(((struct pending *)data)->value);
}

/* Appends @range, joining it to the last one where they touch, as they mostly do. */
static void cover_add(struct cover *cover, struct range range)
{
	struct range *back = NULL;

	if (cover->ranges->len)
		back = &g_array_index(cover->ranges, struct range, cover->ranges->len - 1);
	if (back && range.first < back->first)
		cover->sorted = false;
	if (back && range.first >= back->first && range.tag == back->tag &&
	    (range.first <= back->last || range.first - 1 == back->last))
		back->last = MAX(back->last, range.last);
	else
		g_array_append_val(cover->ranges, range);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

static void cover_sort(struct cover *cover)
{
	GArray *unsorted = cover->ranges;

	g_array_sort(unsorted, compare_ranges);
	cover->ranges = g_array_new(FALSE, FALSE, sizeof(struct range));
	cover->sorted = true;
	for (guint i = 0; i < unsorted->len; i++)
		cover_add(cover, g_array_index(unsorted, struct range, i));
	g_array_unref(unsorted);
}

/* Returns the index of the first range of @cover that does not end before @first. */
static guint cover_find(struct cover *cover, uint64_t first)
{
	guint low = 0, high;

	if (!cover->sorted)
		cover_sort(cover);
	high = cover->ranges->len;
	while (low < high) {
		guint middle = low + (high - low) / 2;

		if (g_array_index(cover->ranges, struct range, middle).last < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Returns whether all of @range lies in @cover, under its tag. */
static bool cover_has(struct cover *cover, struct range range)
{
	for (guint i = cover_find(cover, range.first); i < cover->ranges->len; i++) {
		const struct range *at = &g_array_index(cover->ranges, struct range, i);

		if (at->first > range.first || at->tag != range.tag)
			return false;
		if (range.last <= at->last)
			return true;
		range.first = at->last + 1;
	}
	return false;
}

/* Returns whether some of @range lies in @cover. */
static bool cover_meets(struct cover *cover, struct range range)
{
	guint i = cover_find(cover, range.first);

	return i < cover->ranges->len && g_array_index(cover->ranges, struct range, i).first <= range.last;
}

static void misfit_clear(void *data)
{
	g_free(((struct misfit *)data)->what);
}

static void report(struct snapshot_checker *check, uint64_t number, const char *what)
{
	struct misfit misfit = {.number = number};

	if (check->misfit_count++ >= SNAPSHOT_FINDINGS_MAX)
		return;
	misfit.what = g_strdup(what);
	g_array_append_val(check->misfits, misfit);
}

static void report_one(const struct snapshot_checker *check, const struct misfit *misfit,
		       snapshot_report report_fn, void *data)
{
	const char *file = snapshot_reader_path(check->reader);
	g_autofree char *line = g_strdup_printf("%" G_GUINT64_FORMAT, misfit->number);
	g_autofree char *text = g_strdup_printf("%s:%s: %s", file, line, misfit->what);
	const char *const fields[] = {"file", file, "line", line, "finding", misfit->what, NULL};

	report_fn(data, text, fields);
}

static int compare_misfits(const void *a, const void *b)
{
	const struct misfit *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return strcmp(x->what, y->what);
}

void snapshot_misfit(struct snapshot_checker *check, uint64_t line, const char *format, ...)
{
	g_autofree char *what = NULL;
	va_list args;

	va_start(args, format);
	what = g_strdup_vprintf(format, args);
	va_end(args);
	report(check, line, what);
}

const char *snapshot_checker_path(const struct snapshot_checker *check)
{
	return snapshot_reader_path(check->reader);
}

/* Reports what was found. What there was no room for is counted in one more. */
static void report_all(struct snapshot_checker *check, snapshot_report report_fn, void *data)
{
	g_array_sort(check->misfits, compare_misfits);
	if (check->misfit_count > SNAPSHOT_FINDINGS_MAX) {
		struct misfit rest = {.number = input_line_number(check->reader->input)};

		rest.what = g_strdup_printf("%" G_GUINT64_FORMAT " more findings in the lines before",
					    check->misfit_count - SNAPSHOT_FINDINGS_MAX);
		g_array_append_val(check->misfits, rest);
	}
	for (guint i = 0; i < check->misfits->len; i++)
		report_one(check, &g_array_index(check->misfits, struct misfit, i), report_fn, data);
}

/* Returns whether the fact has the field and value of @condition, "FIELD=VALUE"; "FIELD!=VALUE": has not. */
static bool holds(const struct snapshot_line *line, const char *condition)
{
	size_t len = strcspn(condition, "!=");
	bool wanted = condition[len] == '=';
	const char *value = condition + len + (wanted ? 1 : 2);

	for (unsigned i = 0; i < line->field_count; i++)
		if (strncmp(condition, line->fields[i].name, len) == 0 && !line->fields[i].name[len])
			return (strcmp(value, line->fields[i].value) == 0) == wanted;
	return !wanted;
}

/* Adds to @tag what the fact says in @field: of one that advances its distance to the address, so that it is the same all
 * along the range. */
static uint64_t tag_add(uint64_t tag, const struct snapshot_line *line, const struct snapshot_noun *noun,
			const char *field, uint64_t first)
{
	const char *value = snapshot_line_get(line, field);
	uint64_t number;

	if (value && g_strcmp0(noun->advance, field) == 0 && text_parse_u64(value, &number))
		return (tag ^ (number - first)) * UINT64_C(0x9e3779b97f4a7c15);
	for (; value && *value; value++)
		tag = (tag ^ (unsigned char)*value) * UINT64_C(0x100000001b3);
	return tag;
}

/* Returns the fact's range, with the tag that @watch asks for. */
static struct range line_range(const struct watch *watch, const struct snapshot_line *line,
			       const struct snapshot_noun *noun)
{
	struct range range = {0};
	bool parsed;

	if (!noun || !noun->range)
		return range;
	parsed = snapshot_parse_range(snapshot_line_get(line, noun->range), &range.first, &range.last);
	g_assert(parsed);
	for (char **field = watch->alike; field && *field; field++)
		range.tag = tag_add(range.tag + 1, line, noun, *field, range.first);
	return range;
}

/* Returns the values of @fields, NULL where the fact lacks one; until the next call. */
static const char *line_values(struct snapshot_checker *check, const struct snapshot_line *line,
			       char **fields)
{
	if (!fields[1])
		return snapshot_line_get(line, fields[0]);
	g_string_truncate(check->value, 0);
	for (char **field = fields; *field; field++) {
		const char *value = snapshot_line_get(line, *field);

		if (!value)
			return NULL;
		g_string_append(check->value, field == fields ? "" : " ");
		g_string_append(check->value, value);
	}
	return check->value->str;
}

/* Makes a fact of the noun that @watch refers to count. */
static void collect(struct snapshot_checker *check, struct watch *watch, const struct snapshot_line *line,
		    const struct snapshot_noun *noun)
{
	const char *value = line_values(check, line, watch->other_fields);
	struct cover *cover;

	if (!value || (watch->rule->where && !holds(line, watch->rule->where)))
		return;
	if (watch->rule->kind == SNAPSHOT_VALUE_EXISTS) {
		if (!g_hash_table_contains(watch->known, value))
			g_hash_table_insert(watch->known, g_strdup(value), NULL);
		return;
	}
	cover = g_hash_table_lookup(watch->known, value);
	if (!cover) {
		cover = g_new0(struct cover, 1);
		cover->ranges = g_array_new(FALSE, FALSE, sizeof(struct range));
		cover->sorted = true;
		g_hash_table_insert(watch->known, g_strdup(value), cover);
	}
	cover_add(cover, line_range(watch, line, noun));
}

/* Whether what is known of the others lets a fact with @value and @range be. */
static bool fits(const struct watch *watch, const char *value, struct range range)
{
	void *cover = NULL;
	bool known = g_hash_table_lookup_extended(watch->known, value, NULL, &cover);

	bool so;

	if (watch->rule->kind == SNAPSHOT_APART)
		so = !known || !cover_meets(cover, range);
	else
		so = known && (watch->rule->kind == SNAPSHOT_VALUE_EXISTS || cover_has(cover, range));
	return so != watch->rule->opposite;
}

/* Reports what @watch says of a fact; @value as line_values() has it. */
static void accuse(struct snapshot_checker *check, const struct watch *watch, uint64_t number,
		   const char *value, struct range range)
{
	g_autoptr(GString) text = g_string_new(watch->rule->says);
	g_auto(GStrv) values = g_strsplit(value, " ", -1);

	g_string_append_c(text, ':');
	for (unsigned i = 0; values[i]; i++)
		snapshot_append_field(text, watch->fields[i], values[i]);
	if (watch->rule->kind == SNAPSHOT_COVERED_BY || watch->rule->kind == SNAPSHOT_APART) {
		g_string_append_printf(text, " %s=", watch->noun->range);
		snapshot_append_range(text, range.first, range.last);
	}
	report(check, number, text->str);
}

/* Of the rules that look at one fact alone. */
static bool fits_alone(const struct watch *watch, const struct snapshot_line *line, const char *value)
{
	const char *limit;
	uint64_t number, limit_number;

	if (watch->rule->kind == SNAPSHOT_ONE_OF)
		return g_strv_contains((const char *const *)watch->values, value);
	limit = snapshot_line_get(line, watch->rule->other_field);
	if (!limit)
		return true;
	if (!text_parse_u64(value, &number) || !text_parse_u64(limit, &limit_number))
		return false;
	return number < limit_number || (watch->rule->kind == SNAPSHOT_AT_MOST && number == limit_number);
}

static void ask(struct snapshot_checker *check, struct watch *watch, const struct snapshot_line *line)
{
	const char *value = line_values(check, line, watch->fields);
	struct range range = line_range(watch, line, watch->noun);
	struct pending pending;

	if (!value || (watch->rule->unless && holds(line, watch->rule->unless)))
		return;
	if (!watch->rule->other) {
		if (!fits_alone(watch, line, value))
			accuse(check, watch, line->number, value, range);
		return;
	}
	if (watch->settled) {
		if (!fits(watch, value, range))
			accuse(check, watch, line->number, value, range);
		return;
	}
	pending = (struct pending){
		.watch = watch, .number = line->number, .range = range, .value = g_strdup(value)};
	g_array_append_val(check->pending, pending);
}

/* Sets @group to noun and keys as they stand in the line, with or without the range. */
static void set_keys(GString *group, const struct snapshot_line *line, const struct snapshot_noun *noun,
		     bool with_range)
{
	g_string_assign(group, noun ? noun->name : line->text);
	for (unsigned i = 0; noun && noun->keys[i]; i++)
		if (with_range || !noun->range || strcmp(noun->keys[i], noun->range) != 0)
			snapshot_append_field(group, noun->keys[i], line->fields[i].value);
}

static void check_disjoint(struct snapshot_checker *check, struct watch *watch,
			   const struct snapshot_line *line)
{
	struct range range = line_range(watch, line, watch->noun);
	g_autoptr(GString) group = g_string_new(NULL);
	bool same;

	if (watch->rule->unless && holds(line, watch->rule->unless))
		return;
	set_keys(group, line, watch->noun, false);
	same = g_string_equal(group, watch->group);
	if (same && range.first <= watch->last) {
		g_autofree char *what = g_strdup_printf("%s: overlaps line %" G_GUINT64_FORMAT,
							watch->rule->says, watch->last_number);

		report(check, line->number, what);
	}
	if (!same || range.last > watch->last) {
		watch->last = range.last;
		watch->last_number = line->number;
	}
	g_string_assign(watch->group, group->str);
}

static void check_fact(struct snapshot_checker *check)
{
	const struct snapshot_line *line = &check->reader->line;
	const struct snapshot_noun *noun = check->reader->noun;
	g_autoptr(GString) keys = g_string_new(NULL);

	set_keys(keys, line, noun, true);
	if (g_string_equal(keys, check->keys))
		report(check, line->number, "the same fact as the line above it: their keys are equal");
	g_string_assign(check->keys, keys->str);
	for (guint i = 0; noun && i < check->watches->len; i++) {
		struct watch *watch = &g_array_index(check->watches, struct watch, i);

		if (watch->rule->kind == SNAPSHOT_DISJOINT) {
			if (watch->noun == noun)
				check_disjoint(check, watch, line);
			continue;
		}
		if (watch->rule->other && strcmp(watch->rule->other, noun->name) == 0)
			collect(check, watch, line, noun);
		if (watch->noun == noun)
			ask(check, watch, line);
	}
	for (guint i = 0; noun && i < check->courts->len; i++) {
		const struct court *court = &g_array_index(check->courts, struct court, i);

		court->judge->fact(court->state, check, line);
	}
}

/* Finds the noun @other, which several sections may have, and whether it always stands before @watch's own. */
static void watch_resolve(struct watch *watch, const struct snapshot_section *const *sections, unsigned own)
{
	const char *name = watch->rule->other;

	watch->settled = true;
	for (unsigned i = 0; sections[i]; i++) {
		const struct snapshot_noun *other = snapshot_section_noun(sections[i], name);

		if (!other)
			continue;
		watch->other = other;
		watch->settled &= i < own || (i == own && strcmp(name, watch->noun->name) < 0);
	}
	g_assert(watch->other);
	g_assert(watch->rule->kind == SNAPSHOT_VALUE_EXISTS || (watch->noun->range && watch->other->range));
	watch->other_fields = g_strsplit(watch->rule->other_field, ",", -1);
	g_assert_cmpuint(g_strv_length(watch->fields), ==, g_strv_length(watch->other_fields));
}

static void court_add(struct snapshot_checker *check, const struct snapshot_judge *judge)
{
	struct court court = {judge, g_malloc0(judge->state_size)};

	g_array_append_val(check->courts, court);
}

static void court_clear(void *data)
{
	struct court *court = data;

	if (court->judge->finish)
		court->judge->finish(court->state);
	g_free(court->state);
}

static void watch_all(struct snapshot_checker *check, const struct snapshot_section *const *sections)
{
	for (unsigned i = 0; sections && sections[i]; i++) {
		if (sections[i]->judge)
			court_add(check, sections[i]->judge);
		for (const struct snapshot_rule *rule = sections[i]->rules; rule && rule->noun; rule++) {
			struct watch watch = {.rule = rule};

			watch.noun = snapshot_section_noun(sections[i], rule->noun);
			g_assert(watch.noun);
			g_assert(rule->kind != SNAPSHOT_DISJOINT || watch.noun->range);
			watch.fields = g_strsplit(rule->field ? rule->field : "", ",", -1);
			if (rule->kind == SNAPSHOT_ONE_OF)
				watch.values = g_strsplit(rule->other_field, ",", -1);
			if (rule->alike)
				watch.alike = g_strsplit(rule->alike, ",", -1);
			if (rule->other)
				watch_resolve(&watch, sections, i);
			watch.known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, cover_free);
			watch.group = g_string_new(NULL);
			g_array_append_val(check->watches, watch);
		}
	}
}

/* What could not be said before all was read. */
static void conclude(struct snapshot_checker *check)
{
	for (guint i = 0; i < check->pending->len; i++) {
		const struct pending *pending = &g_array_index(check->pending, struct pending, i);

		if (!fits(pending->watch, pending->value, pending->range))
			accuse(check, pending->watch, pending->number, pending->value, pending->range);
	}
	for (guint i = 0; i < check->courts->len; i++) {
		const struct court *court = &g_array_index(check->courts, struct court, i);

		if (court->judge->end)
			court->judge->end(court->state, check);
	}
}

/* Reads all of it. Returns 0, or -1 with *@error if it is not what a writer wrote. */
static int read_all(struct snapshot_checker *check, GError **error)
{
	const struct snapshot_reader *reader = check->reader;
	int item;

	while ((item = snapshot_reader_next(check->reader, error)) > SNAPSHOT_END) {
		if (item == SNAPSHOT_SECTION)
			g_string_truncate(check->keys, 0);
		if (item == SNAPSHOT_FACT)
			check_fact(check);
	}
	if (item < 0)
		return -1;
	if (!reader->has_digest)
		return sim_error_line(error, snapshot_reader_path(reader), input_line_number(reader->input),
				      "no digest line: edited by hand, or cut short");
	if (!snapshot_reader_ended(reader))
		return sim_error_line(error, snapshot_reader_path(reader), input_line_number(reader->input),
				      "the last line does not end: cut short");
	return 0;
}

int snapshot_check(const char *path, const struct snapshot_section *const *sections,
		   snapshot_report report_fn, void *data, GError **error)
{
	struct snapshot_checker check = {0};
	int result;

	check.reader = snapshot_reader_new(path, sections, error);
	if (!check.reader)
		return -1;
	check.watches = g_array_new(FALSE, FALSE, sizeof(struct watch));
	g_array_set_clear_func(check.watches, watch_clear);
	check.pending = g_array_new(FALSE, FALSE, sizeof(struct pending));
	g_array_set_clear_func(check.pending, pending_clear);
	check.misfits = g_array_new(FALSE, FALSE, sizeof(struct misfit));
	g_array_set_clear_func(check.misfits, misfit_clear);
	check.keys = g_string_new(NULL);
	check.value = g_string_new(NULL);
	check.courts = g_array_new(FALSE, FALSE, sizeof(struct court));
	g_array_set_clear_func(check.courts, court_clear);
	watch_all(&check, sections);

	result = read_all(&check, error);
	if (result == 0)
		conclude(&check);
	if (result == 0 && check.misfit_count) {
		if (report_fn)
			report_all(&check, report_fn, data);
		result = 1;
	}

	g_string_free(check.keys, TRUE);
	g_string_free(check.value, TRUE);
	g_array_unref(check.courts);
	g_array_unref(check.misfits);
	g_array_unref(check.pending);
	g_array_unref(check.watches);
	snapshot_reader_free(check.reader);
	return result;
}
