/* SPDX-License-Identifier: MIT */
/*
 * Do the facts of a snapshot fit together? One pass. What rules refer to is collected as it streams by (ranges that
 * touch become one, so a full address space costs little); a fact that refers to what comes later waits for the end.
 * So do the findings: what is damaged is no state to judge.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/snapshot/form.h"

struct range {
	uint64_t first, last;
};

/* A union of ranges. */
struct cover {
	GArray *ranges; /* of struct range */
	bool sorted;	/* by first, none touching another */
};

/* A rule at work. */
struct watch {
	const struct snapshot_rule *rule;
	const struct snapshot_noun *noun, *other;
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

struct check {
	struct snapshot_reader *reader;
	GArray *misfits; /* of struct misfit, at most SNAPSHOT_FINDINGS_MAX */
	uint64_t misfit_count;
	GArray *watches; /* of struct watch */
	GArray *pending; /* of struct pending */
	GString *keys;	 /* of the fact before, with its noun */
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
	if (back && range.first >= back->first &&
	    (range.first <= back->last || range.first - 1 == back->last))
		back->last = MAX(back->last, range.last);
	else
		g_array_append_val(cover->ranges, range);
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
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

/* Returns whether all of @range lies in @cover. */
static bool cover_has(struct cover *cover, struct range range)
{
	guint low = 0, high;

	if (!cover->sorted)
		cover_sort(cover);
	high = cover->ranges->len;
	while (low < high) {
		guint middle = low + (high - low) / 2;
		const struct range *at = &g_array_index(cover->ranges, struct range, middle);

		if (at->last < range.first)
			low = middle + 1;
		else if (at->first > range.first)
			high = middle;
		else
			return range.last <= at->last;
	}
	return false;
}

static void misfit_clear(void *data)
{
	g_free(((struct misfit *)data)->what);
}

static void report(struct check *check, uint64_t number, const char *what)
{
	struct misfit misfit = {.number = number};

	if (check->misfit_count++ >= SNAPSHOT_FINDINGS_MAX)
		return;
	misfit.what = g_strdup(what);
	g_array_append_val(check->misfits, misfit);
}

static void report_one(const struct check *check, const struct misfit *misfit, snapshot_report report_fn,
		       void *data)
{
	const char *file = snapshot_reader_path(check->reader);
	g_autofree char *line = g_strdup_printf("%" G_GUINT64_FORMAT, misfit->number);
	g_autofree char *text = g_strdup_printf("%s:%s: %s", file, line, misfit->what);
	const char *const fields[] = {"file", file, "line", line, "finding", misfit->what, NULL};

	report_fn(data, text, fields);
}

/* Reports what was found. What there was no room for is counted in one more. */
static void report_all(struct check *check, snapshot_report report_fn, void *data)
{
	if (check->misfit_count > SNAPSHOT_FINDINGS_MAX) {
		struct misfit rest = {.number = input_line_number(check->reader->input)};

		rest.what = g_strdup_printf("%" G_GUINT64_FORMAT " more findings in the lines before",
					    check->misfit_count - SNAPSHOT_FINDINGS_MAX);
		g_array_append_val(check->misfits, rest);
	}
	for (guint i = 0; i < check->misfits->len; i++)
		report_one(check, &g_array_index(check->misfits, struct misfit, i), report_fn, data);
}

/* Returns whether the fact has the field and value of @condition, "FIELD=VALUE". */
static bool holds(const struct snapshot_line *line, const char *condition)
{
	for (unsigned i = 0; i < line->field_count; i++) {
		size_t len = strlen(line->fields[i].name);

		if (strncmp(condition, line->fields[i].name, len) == 0 && condition[len] == '=')
			return strcmp(condition + len + 1, line->fields[i].value) == 0;
	}
	return false;
}

static struct range line_range(const struct snapshot_line *line, const struct snapshot_noun *noun)
{
	struct range range = {0};
	bool parsed;

	if (!noun->range)
		return range;
	parsed = snapshot_parse_range(snapshot_line_get(line, noun->range), &range.first, &range.last);
	g_assert(parsed);
	return range;
}

/* Makes a fact of the noun that @watch refers to count. */
static void collect(struct watch *watch, const struct snapshot_line *line)
{
	const char *value = snapshot_line_get(line, watch->rule->other_field);
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
	cover_add(cover, line_range(line, watch->other));
}

static void judge(struct check *check, const struct watch *watch, uint64_t number, const char *value,
		  struct range range)
{
	g_autoptr(GString) text = NULL;
	void *cover;

	if (g_hash_table_lookup_extended(watch->known, value, NULL, &cover) &&
	    (watch->rule->kind == SNAPSHOT_VALUE_EXISTS || cover_has(cover, range)))
		return;
	text = g_string_new(NULL);
	g_string_printf(text, "%s: %s=%s", watch->rule->says, watch->rule->field, value);
	if (watch->rule->kind == SNAPSHOT_COVERED_BY) {
		g_string_append_printf(text, " %s=", watch->noun->range);
		snapshot_append_range(text, range.first, range.last);
	}
	report(check, number, text->str);
}

static void ask(struct check *check, struct watch *watch, const struct snapshot_line *line)
{
	const char *value = snapshot_line_get(line, watch->rule->field);
	struct pending pending;

	if (!value || (watch->rule->unless && holds(line, watch->rule->unless)))
		return;
	if (watch->settled) {
		judge(check, watch, line->number, value, line_range(line, watch->noun));
		return;
	}
	pending = (struct pending){.watch = watch,
				   .number = line->number,
				   .range = line_range(line, watch->noun),
				   .value = g_strdup(value)};
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

static void check_disjoint(struct check *check, struct watch *watch, const struct snapshot_line *line)
{
	struct range range = line_range(line, watch->noun);
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

static void check_fact(struct check *check)
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
		if (strcmp(watch->rule->other, noun->name) == 0)
			collect(watch, line);
		if (watch->noun == noun)
			ask(check, watch, line);
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
}

static void watch_all(struct check *check, const struct snapshot_section *const *sections)
{
	for (unsigned i = 0; sections && sections[i]; i++)
		for (const struct snapshot_rule *rule = sections[i]->rules; rule && rule->noun; rule++) {
			struct watch watch = {.rule = rule};

			watch.noun = snapshot_section_noun(sections[i], rule->noun);
			g_assert(watch.noun);
			g_assert(rule->kind != SNAPSHOT_DISJOINT || watch.noun->range);
			if (rule->kind != SNAPSHOT_DISJOINT)
				watch_resolve(&watch, sections, i);
			watch.known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, cover_free);
			watch.group = g_string_new(NULL);
			g_array_append_val(check->watches, watch);
		}
}

/* Reads all of it. Returns 0, or -1 with *@error if it is not what a writer wrote. */
static int read_all(struct check *check, GError **error)
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
	struct check check = {0};
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
	watch_all(&check, sections);

	result = read_all(&check, error);
	for (guint i = 0; result == 0 && i < check.pending->len; i++) {
		const struct pending *pending = &g_array_index(check.pending, struct pending, i);

		judge(&check, pending->watch, pending->number, pending->value, pending->range);
	}
	if (result == 0 && check.misfit_count) {
		if (report_fn)
			report_all(&check, report_fn, data);
		result = 1;
	}

	g_string_free(check.keys, TRUE);
	g_array_unref(check.misfits);
	g_array_unref(check.pending);
	g_array_unref(check.watches);
	snapshot_reader_free(check.reader);
	return result;
}
