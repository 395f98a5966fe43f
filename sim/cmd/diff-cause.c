/* SPDX-License-Identifier: MIT */
#include "sim/cmd/diff-cause.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "sim/behaviour/behaviour.h"
#include "sim/core/text.h"
#include "sim/machine/machine.h"
#include "sim/snapshot/snapshot.h"

/** A fault that fired. */
struct cause_fault {
	char *point;
	uint64_t time_ns, cpu, pass;
	char *device;
	char *owner; /* "req:1841": for whom; NULL: set-up, a timer */
	struct diff_cause cause;
};

/** One of the two. */
struct cause_side {
	GHashTable *settings; /* of the header: key -> value */
	GPtrArray *faults;    /* of struct cause_fault, as they fired */
	bool after_removal;
};

struct diff_causes {
	struct cause_side a, b;
	GPtrArray *settings;	    /* what differs, as text */
	GKeyFile *defaults;	    /* of settings */
	GPtrArray *texts;	    /* owned */
	struct diff_cause setting;  /* if that is one thing */
	struct diff_cause failures; /* what fired in one run alone, if anything did and all else is equal */
};

static void cause_clear(struct diff_cause *cause)
{
	g_free(cause->summary);
	g_free(cause->whole);
}

static void fault_free(void *data)
{
	struct cause_fault *fault = data;

	g_free(fault->point);
	g_free(fault->device);
	g_free(fault->owner);
	cause_clear(&fault->cause);
	g_free(fault);
}

/* ---- run.json ---- */

static const char *text_of(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);
	const char *text = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

	return text ? text : "";
}

static uint64_t number_of(JsonObject *object, const char *name)
{
	JsonNode *node = json_object_get_member(object, name);

	return node && JSON_NODE_HOLDS_VALUE(node) ? (uint64_t)json_node_get_int(node) : 0;
}

static void read_faults(struct cause_side *side, const char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);
	g_autofree char *name = g_build_filename(dir, "run.json", NULL);
	g_autoptr(JsonParser) parser = json_parser_new_immutable();
	JsonNode *root, *list;

	if (!json_parser_load_from_file(parser, name, NULL))
		return;
	root = json_parser_get_root(parser);
	list = root && JSON_NODE_HOLDS_OBJECT(root)
		       ? json_object_get_member(json_node_get_object(root), "firings")
		       : NULL;
	if (!list || !JSON_NODE_HOLDS_ARRAY(list))
		return;
	for (guint i = 0; i < json_array_get_length(json_node_get_array(list)); i++) {
		JsonNode *node = json_array_get_element(json_node_get_array(list), i);
		JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
		struct cause_fault *fault;

		if (!object)
			continue;
		fault = g_new0(struct cause_fault, 1);
		fault->point = g_strdup(text_of(object, "point"));
		fault->device = g_strdup(text_of(object, "device"));
		fault->time_ns = number_of(object, "time_ns");
		fault->cpu = number_of(object, "cpu");
		fault->pass = number_of(object, "pass");
		if (number_of(object, "request"))
			fault->owner =
				g_strdup_printf("req:%" G_GUINT64_FORMAT, number_of(object, "request"));
		g_ptr_array_add(side->faults, fault);
	}
}

/* ---- the snapshots ---- */

static int see_header(void *data, const char *key, const char *value, GError **error)
{
	struct cause_side *side = data;

	if (strcmp(key, "time_ns") != 0)
		g_hash_table_replace(side->settings, g_strdup(key), g_strdup(value));
	return 0;
}

/* Which sections there are says of when the snapshot is; those before the mappings, which may be many. */
static int see_section(void *data, const char *name, GError **error)
{
	struct cause_side *side = data;

	side->after_removal |= strcmp(name, "held") == 0;
	return strcmp(name, "mapping") == 0;
}

static void name_fault(struct cause_fault *fault)
{
	g_autofree char *time = text_time(fault->time_ns);

	if (fault->owner)
		fault->cause.summary = g_strdup_printf("%s failure in request %s", fault->point,
						       fault->owner + strlen("req:"));
	else
		fault->cause.summary = g_strdup_printf("%s failure at %s", fault->point, time);
	fault->cause.whole = g_strdup_printf(
		"%s%s%s, pass %" G_GUINT64_FORMAT ", cpu %" G_GUINT64_FORMAT ", %s", fault->cause.summary,
		fault->owner ? " at " : "", fault->owner ? time : "", fault->pass, fault->cpu, fault->device);
}

static void side_read(struct cause_side *side, const char *path)
{
	static const struct snapshot_visitor visitor = {see_header, see_section, NULL};

	side->settings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	side->faults = g_ptr_array_new_with_free_func(fault_free);
	/* What can be read once only is left to who compares. */
	if (!g_file_test(path, G_FILE_TEST_IS_REGULAR))
		return;
	read_faults(side, path);
	snapshot_read(path, machine_sections, &visitor, side, NULL);
	for (guint i = 0; i < side->faults->len; i++)
		name_fault(g_ptr_array_index(side->faults, i));
}

static void side_finish(struct cause_side *side)
{
	g_hash_table_unref(side->settings);
	g_ptr_array_unref(side->faults);
}

/* ---- what differs ---- */

/** Returns the machine file of a machine of which nothing is set. */
static GKeyFile *default_settings(void)
{
	struct machine_config config;
	g_autofree char *text = NULL;
	GKeyFile *file = g_key_file_new();

	machine_config_init(&config);
	text = machine_config_text(&config);
	g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, NULL);
	return file;
}

/** Returns the default of "GROUP.KEY", NULL if it is no setting of a machine. Kept by @causes. */
static const char *default_of(struct diff_causes *causes, const char *key)
{
	g_auto(GStrv) parts = g_strsplit(key, ".", 2);
	char *value = parts[0] && parts[1] ? g_key_file_get_value(causes->defaults, parts[0], parts[1], NULL)
					   : NULL;

	if (value)
		g_ptr_array_add(causes->texts, value);
	return value;
}

/** Returns what setting @key is on @side: headers have what is not the default. */
static const char *setting_of(struct diff_causes *causes, const struct cause_side *side, const char *key)
{
	const char *value = g_hash_table_lookup(side->settings, key);
	const char *version = g_hash_table_lookup(side->settings, "kernel.version");
	int row = g_str_has_prefix(key, "behaviour.") ? behaviour_find(key + strlen("behaviour.")) : -1;
	int column = version ? kernel_version_find(version) : -1;

	if (value)
		return value;
	if (row >= 0 && column >= 0)
		return behaviour_value_name((enum behaviour)row, (enum kernel_version)column);
	value = default_of(causes, key);
	return value ? value : "(default)";
}

static void compare_settings(struct diff_causes *causes)
{
	g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
	GHashTableIter iter;
	void *key;
	GList *keys;

	g_hash_table_iter_init(&iter, causes->a.settings);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_hash_table_add(all, key);
	g_hash_table_iter_init(&iter, causes->b.settings);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		g_hash_table_add(all, key);
	keys = g_list_sort(g_hash_table_get_keys(all), (GCompareFunc)strcmp);
	for (GList *at = keys; at; at = at->next) {
		const char *a = setting_of(causes, &causes->a, at->data);
		const char *b = setting_of(causes, &causes->b, at->data);

		if (strcmp(a, b) != 0)
			g_ptr_array_add(causes->settings,
					g_strdup_printf("%s: %s -> %s", (char *)at->data, a, b));
	}
	g_list_free(keys);
}

static bool side_has_fault(const struct cause_side *side, const struct cause_fault *wanted)
{
	for (guint i = 0; i < side->faults->len; i++) {
		const struct cause_fault *fault = g_ptr_array_index(side->faults, i);

		if (fault->time_ns == wanted->time_ns && fault->cpu == wanted->cpu &&
		    strcmp(fault->point, wanted->point) == 0)
			return true;
	}
	return false;
}

/** Counts in *@count the faults of @side that @other has not. Returns the first of them, if it is before @best. */
static const struct cause_fault *count_faults(const struct cause_side *side, const struct cause_side *other,
					      const struct cause_fault *best, uint64_t *count)
{
	for (guint i = 0; i < side->faults->len; i++) {
		const struct cause_fault *fault = g_ptr_array_index(side->faults, i);

		if (side_has_fault(other, fault))
			continue;
		(*count)++;
		if (!best || fault->time_ns < best->time_ns)
			best = fault;
	}
	return best;
}

/** What has no request that a fault struck is due to the one fault that one run alone has; of several, nobody knows which.
 *  Returns whether there is any. */
static bool name_failures(struct diff_causes *causes)
{
	uint64_t count = 0;
	const struct cause_fault *first = count_faults(&causes->a, &causes->b, NULL, &count);

	first = count_faults(&causes->b, &causes->a, first, &count);
	if (!first || causes->settings->len)
		return first != NULL;
	causes->failures.summary = g_strdup_printf(
		"%s%s", count > 1 ? "one of several failures, the first " : "", first->cause.summary);
	causes->failures.whole = g_strdup_printf(
		"%s%s", count > 1 ? "one of several failures, the first " : "", first->cause.whole);
	return true;
}

struct diff_causes *diff_causes_new(const char *path_a, const char *path_b)
{
	struct diff_causes *causes = g_new0(struct diff_causes, 1);

	causes->settings = g_ptr_array_new_with_free_func(g_free);
	causes->texts = g_ptr_array_new_with_free_func(g_free);
	causes->defaults = default_settings();
	side_read(&causes->a, path_a);
	side_read(&causes->b, path_b);
	compare_settings(causes);
	if (!name_failures(causes) && causes->settings->len == 1) {
		causes->setting.summary = g_strdup(g_ptr_array_index(causes->settings, 0));
		causes->setting.whole = g_strdup(causes->setting.summary);
	}
	return causes;
}

void diff_causes_free(struct diff_causes *causes)
{
	side_finish(&causes->a);
	side_finish(&causes->b);
	g_ptr_array_unref(causes->settings);
	g_ptr_array_unref(causes->texts);
	g_key_file_unref(causes->defaults);
	cause_clear(&causes->setting);
	cause_clear(&causes->failures);
	g_free(causes);
}

static const struct cause_fault *fault_of(const struct cause_side *side, const char *owner)
{
	for (guint i = 0; i < side->faults->len; i++) {
		const struct cause_fault *fault = g_ptr_array_index(side->faults, i);

		if (fault->owner && strcmp(fault->owner, owner) == 0)
			return fault;
	}
	return NULL;
}

const struct diff_cause *diff_causes_of(const struct diff_causes *causes, const char *const *fields)
{
	const struct cause_fault *fault = NULL;

	for (unsigned i = 0; fields[i] && !fault; i += 2) {
		if (strcmp(fields[i], "owner") != 0)
			continue;
		fault = fault_of(&causes->b, fields[i + 1]);
		fault = fault ? fault : fault_of(&causes->a, fields[i + 1]);
	}
	if (fault)
		return &fault->cause;
	if (causes->failures.whole)
		return &causes->failures;
	return causes->setting.whole ? &causes->setting : NULL;
}

bool diff_causes_after_removal(const struct diff_causes *causes)
{
	return causes->a.after_removal && causes->b.after_removal;
}

void diff_causes_settings(const struct diff_causes *causes, void (*each)(void *data, const char *text),
			  void *data)
{
	for (guint i = 0; i < causes->settings->len; i++)
		each(data, g_ptr_array_index(causes->settings, i));
}
