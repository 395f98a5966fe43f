/* SPDX-License-Identifier: MIT */
#include "sim/fault/fault.h"

#include <errno.h>
#include <string.h>

#include "sim/core/text.h"
#include "sim/io/keyfile.h"

struct fault_rule {
	char *name;
	bool covers[SIM_FAULTS_MAX];
	int error; /* negative; 0: the point's own */

	/* Linux's attributes. */
	uint64_t nth;	      /* fails at this pass; 0: not used */
	uint32_t probability; /* percent */
	uint64_t interval;
	int64_t times; /* -1: no end */
	uint64_t space;
	bool persist;
	uint32_t action;  /* FAULT_NO_ACTION: none was given */
	unsigned verbose; /* 0: its firings are counted alone; 1: they are in the log; 2: and in the summary */

	/* Filters: a pass that does not match is not one of this rule's. */
	int cpu; /* -1: any */
	char *device;
	uint64_t after_ns;
	uint64_t before_ns;
	uint64_t size_min, size_max;

	uint64_t seed;
	struct prng prng; /* from the run's seed and this one */
	uint64_t interval_count;
	int64_t times_left;
	uint64_t space_left;
	uint64_t passes;
	uint64_t left_out; /* passes of its points that the filters left out */
	uint64_t fired;
};

struct fault_rules {
	const struct fault_table *const *tables;
	GPtrArray *rules; /* of struct fault_rule */
	struct fault_firing *log;
	unsigned logged;
	uint64_t missed; /* that the log has no room for */
	fault_teller tell;
	void *tell_data;
	bool watched[SIM_FAULTS_MAX];
	fault_watch watch;
	void *watch_data;
};

static void fault_rule_free(void *data)
{
	struct fault_rule *rule = data;

	g_free(rule->name);
	g_free(rule->device);
	g_free(rule);
}

static struct fault_rule *fault_rule_new(const char *name)
{
	struct fault_rule *rule = g_new0(struct fault_rule, 1);

	rule->name = g_strdup(name);
	rule->interval = 1;
	rule->times = 1;
	rule->cpu = -1;
	rule->before_ns = rule->size_max = UINT64_MAX;
	rule->action = FAULT_NO_ACTION;
	rule->verbose = 1;
	rule->seed = 1;
	return rule;
}

struct fault_rules *fault_rules_new(const struct fault_table *const *tables)
{
	struct fault_rules *rules = g_new0(struct fault_rules, 1);

	rules->tables = tables;
	rules->rules = g_ptr_array_new_with_free_func(fault_rule_free);
	rules->log = g_new(struct fault_firing, FAULT_LOG_KEPT);
	return rules;
}

void fault_rules_free(struct fault_rules *rules)
{
	if (!rules)
		return;
	g_ptr_array_unref(rules->rules);
	g_free(rules->log);
	g_free(rules);
}

static void fault_rule_begin(struct fault_rule *rule, const struct sim *sim)
{
	prng_init_own(&rule->prng, sim->seed, rule->seed, "fault");
	rule->interval_count = 0;
	rule->times_left = rule->times;
	rule->space_left = rule->space;
	rule->passes = rule->left_out = 0;
	rule->fired = 0;
}

void fault_rules_arm(struct fault_rules *rules, struct sim *sim)
{
	sim->fault_rules = rules;
	memset(sim->fault_armed, 0, sizeof(sim->fault_armed));
	if (rules) {
		rules->logged = 0;
		rules->missed = 0;
		memcpy(sim->fault_armed, rules->watched, sizeof(sim->fault_armed));
	}
	for (guint i = 0; rules && i < rules->rules->len; i++) {
		struct fault_rule *rule = g_ptr_array_index(rules->rules, i);

		fault_rule_begin(rule, sim);
		for (unsigned point = 0; point < SIM_FAULTS_MAX; point++)
			sim->fault_armed[point] |= rule->covers[point];
	}
}

void fault_rules_watch(struct fault_rules *rules, const bool *points, fault_watch watch, void *data)
{
	if (points)
		memcpy(rules->watched, points, sizeof(rules->watched));
	else
		memset(rules->watched, 0, sizeof(rules->watched));
	rules->watch = watch;
	rules->watch_data = data;
}

void fault_rules_tell(struct fault_rules *rules, fault_teller tell, void *data)
{
	rules->tell = tell;
	rules->tell_data = data;
}

const struct fault_point *fault_point_get(const struct fault_rules *rules, unsigned id)
{
	for (const struct fault_table *const *table = rules->tables; *table; table++)
		if (id >= (*table)->first && id < (*table)->first + (*table)->count)
			return &(*table)->points[id - (*table)->first];
	return NULL;
}

bool fault_rule_stat(const struct fault_rules *rules, unsigned index, const char **ret_name,
		     uint64_t *ret_passes, uint64_t *ret_fired)
{
	const struct fault_rule *rule;

	if (index >= rules->rules->len)
		return false;
	rule = g_ptr_array_index(rules->rules, index);
	*ret_name = rule->name;
	*ret_passes = rule->passes;
	*ret_fired = rule->fired;
	return true;
}

struct fault_left fault_rule_left(const struct fault_rules *rules, unsigned index)
{
	const struct fault_rule *rule = g_ptr_array_index(rules->rules, index);

	return (struct fault_left){rule->times_left, rule->space_left, rule->interval_count};
}

uint64_t fault_rule_left_out(const struct fault_rules *rules, unsigned index)
{
	const struct fault_rule *rule = g_ptr_array_index(rules->rules, index);

	return rule->left_out;
}

const struct fault_firing *fault_firings(const struct fault_rules *rules, unsigned *ret_count)
{
	*ret_count = rules->logged;
	return rules->log;
}

uint64_t fault_firings_missed(const struct fault_rules *rules)
{
	return rules->missed;
}

/* ---- deciding ---- */

static bool fault_rule_concerned(const struct fault_rule *rule, const struct sim *sim, unsigned point,
				 uint64_t size)
{
	return rule->covers[point] && size >= rule->size_min && size <= rule->size_max && (rule->cpu < 0 || (unsigned)rule->cpu == sim->cpu) &&
	       (!rule->device || (sim->device && strcmp(rule->device, sim->device) == 0)) &&
	       sim->now_ns >= rule->after_ns && sim->now_ns < rule->before_ns;
}

/** Linux's decision on a pass that is counted, in its order. Task and stack filters have their counterpart in
 *  fault_rule_concerned(). */
static bool fault_rule_decide(struct fault_rule *rule, uint64_t size)
{
	if (rule->persist && rule->fired)
		return true;
	if (rule->nth)
		return rule->passes == rule->nth;
	if (rule->probability == 0 || rule->times_left == 0)
		return false;
	if (rule->space_left > size) {
		rule->space_left -= size;
		return false;
	}
	if (rule->interval > 1 && ++rule->interval_count % rule->interval != 0)
		return false;
	if (rule->probability <= prng_below(&rule->prng, 100))
		return false;
	if (rule->times_left > 0)
		rule->times_left--;
	return true;
}

/** Notes that rule @index let this pass of @point fail. */
static void fault_log(struct fault_rules *rules, const struct sim *sim, unsigned index, unsigned point, int error)
{
	const struct fault_rule *rule = g_ptr_array_index(rules->rules, index);
	struct fault_firing *firing;

	if (rules->logged == FAULT_LOG_KEPT) {
		rules->missed++;
		return;
	}
	firing = &rules->log[rules->logged++];
	*firing = (struct fault_firing){.time_ns = sim->now_ns,
					.cpu = sim->cpu,
					.point = point,
					.pass = sim->fault_passes[point],
					.rule = index,
					.error = error,
					.shown = rule->verbose > 1,
					.actor = sim->actor};
	g_strlcpy(firing->device, sim->device ? sim->device : "-", sizeof(firing->device));
	if (!sim->actor || !rules->tell || !rules->tell(rules->tell_data, sim, &firing->request))
		firing->request = (struct fault_request){0};
}

int fault_decide(struct sim *sim, unsigned point, uint64_t size)
{
	struct fault_rules *rules = sim->fault_rules;
	int error = 0;

	sim->fault_action = FAULT_NO_ACTION;
	if (rules->watched[point] && rules->watch(rules->watch_data, sim, point))
		error = fault_point_get(rules, point)->error;
	for (guint i = 0; i < rules->rules->len; i++) {
		struct fault_rule *rule = g_ptr_array_index(rules->rules, i);

		if (!fault_rule_concerned(rule, sim, point, size)) {
			rule->left_out += rule->covers[point];
			continue;
		}
		rule->passes++;
		if (error || !fault_rule_decide(rule, size))
			continue;
		rule->fired++;
		error = rule->error ? rule->error : fault_point_get(rules, point)->error;
		sim->fault_action = rule->action;
		if (rule->verbose)
			fault_log(rules, sim, i, point, error);
	}
	return error;
}

/* ---- the faults file ---- */

static const struct {
	const char *name;
	int value;
} fault_errnos[] = {
	{"ENOMEM", ENOMEM},	    {"ENOSPC", ENOSPC},
	{"EINVAL", EINVAL},	    {"EIO", EIO},
	{"EBUSY", EBUSY},	    {"EAGAIN", EAGAIN},
	{"EPERM", EPERM},	    {"ENODEV", ENODEV},
	{"EEXIST", EEXIST},	    {"ERANGE", ERANGE},
	{"ETIMEDOUT", ETIMEDOUT},   {"EOPNOTSUPP", EOPNOTSUPP},
	{"EREMOTEIO", EREMOTEIO},   {"ENOLINK", ENOLINK},
	{"EADDRINUSE", EADDRINUSE}, {"EPROBE_DEFER", 517},
};

const char *fault_errno_name(int error)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(fault_errnos); i++)
		if (fault_errnos[i].value == -error)
			return fault_errnos[i].name;
	return strerrorname_np(-error) ? strerrorname_np(-error) : "unknown";
}

static bool fault_set_errno(struct fault_rule *rule, const char *value)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(fault_errnos); i++)
		if (strcmp(fault_errnos[i].name, value) == 0) {
			rule->error = -fault_errnos[i].value;
			return true;
		}
	return false;
}

static bool fault_set_bounded(const char *value, uint64_t low, uint64_t high, uint64_t *ret_number)
{
	uint64_t number;

	if (!text_parse_u64(value, &number) || number < low || number > high)
		return false;
	*ret_number = number;
	return true;
}

static bool fault_set_nth(struct fault_rule *rule, const char *value)
{
	return fault_set_bounded(value, 1, UINT64_MAX, &rule->nth);
}

static bool fault_set_probability(struct fault_rule *rule, const char *value)
{
	uint64_t number;

	if (!fault_set_bounded(value, 0, 100, &number))
		return false;
	rule->probability = (uint32_t)number;
	return true;
}

static bool fault_set_interval(struct fault_rule *rule, const char *value)
{
	return fault_set_bounded(value, 1, UINT64_MAX, &rule->interval);
}

static bool fault_set_times(struct fault_rule *rule, const char *value)
{
	uint64_t number;

	if (strcmp(value, "-1") == 0) {
		rule->times = -1;
		return true;
	}
	if (!fault_set_bounded(value, 0, INT64_MAX, &number))
		return false;
	rule->times = (int64_t)number;
	return true;
}

static bool fault_set_space(struct fault_rule *rule, const char *value)
{
	return fault_set_bounded(value, 0, UINT64_MAX, &rule->space);
}

static bool fault_set_persist(struct fault_rule *rule, const char *value)
{
	rule->persist = strcmp(value, "yes") == 0;
	return rule->persist || strcmp(value, "no") == 0;
}

static bool fault_set_cpu(struct fault_rule *rule, const char *value)
{
	uint64_t number;

	if (!fault_set_bounded(value, 0, SIM_CPUS_MAX - 1, &number))
		return false;
	rule->cpu = (int)number;
	return true;
}

static bool fault_set_device(struct fault_rule *rule, const char *value)
{
	rule->device = g_strdup(value);
	return *value != '\0';
}

/** "LOW-HIGH", both inclusive, or one size. */
static bool fault_set_size(struct fault_rule *rule, const char *value)
{
	g_auto(GStrv) ends = g_strsplit(value, "-", 2);
	uint64_t low, high;

	if (!ends[0] || !text_parse_size(ends[0], &low) || !text_parse_size(ends[1] ? ends[1] : ends[0], &high) ||
	    low > high)
		return false;
	rule->size_min = low;
	rule->size_max = high;
	return true;
}

static bool fault_set_verbose(struct fault_rule *rule, const char *value)
{
	uint64_t number;

	if (!fault_set_bounded(value, 0, 2, &number))
		return false;
	rule->verbose = (unsigned)number;
	return true;
}

static bool fault_set_after(struct fault_rule *rule, const char *value)
{
	return text_parse_time(value, &rule->after_ns);
}

static bool fault_set_before(struct fault_rule *rule, const char *value)
{
	return text_parse_time(value, &rule->before_ns);
}

static bool fault_set_seed(struct fault_rule *rule, const char *value)
{
	return text_parse_u64(value, &rule->seed);
}

static const struct fault_key {
	const char *name;
	bool (*set)(struct fault_rule *rule, const char *value);
	const char *wanted;
} fault_keys[] = {
	{"errno", fault_set_errno, "the name of an error, such as ENOMEM"},
	{"nth", fault_set_nth, "a count from 1"},
	{"probability", fault_set_probability, "a percentage, 0 to 100"},
	{"interval", fault_set_interval, "a count from 1"},
	{"times", fault_set_times, "a count, or -1 for no end"},
	{"space", fault_set_space, "a count"},
	{"persist", fault_set_persist, "yes or no"},
	{"cpu", fault_set_cpu, "the number of a CPU"},
	{"device", fault_set_device, "the name of a device, such as nvme0"},
	{"size", fault_set_size, "a size or a range of them, such as 4k-64k"},
	{"verbose", fault_set_verbose, "0, 1 or 2"},
	{"after", fault_set_after, "a time, such as 1ms"},
	{"before", fault_set_before, "a time, such as 5ms"},
	{"seed", fault_set_seed, "a number"},
};

/** Sets which points @glob covers. Returns how many. */
static unsigned fault_rule_cover(const struct fault_rules *rules, struct fault_rule *rule, const char *glob)
{
	unsigned count = 0;

	for (const struct fault_table *const *table = rules->tables; *table; table++)
		for (unsigned i = 0; i < (*table)->count; i++) {
			const struct fault_point *point = &(*table)->points[i];

			if (!g_pattern_match_simple(glob, point->name))
				continue;
			rule->covers[(*table)->first + i] = true;
			count++;
		}
	return count;
}

/** Whether a rule is called @name: snapshots tell rules by it. */
static bool fault_rules_have(const struct fault_rules *rules, const char *name)
{
	for (guint i = 0; i < rules->rules->len; i++) {
		const struct fault_rule *rule = g_ptr_array_index(rules->rules, i);

		if (strcmp(rule->name, name) == 0)
			return true;
	}
	return false;
}

bool fault_rules_add_nth_of(struct fault_rules *rules, const char *glob, const char *device, uint64_t nth,
			    int error, bool persist)
{
	g_autofree char *name = g_strdup_printf("%s%s%s:%" G_GUINT64_FORMAT, device ? device : "",
						device ? ":" : "", glob, nth);
	struct fault_rule *rule;

	/* Said twice is no more than said once. */
	if (fault_rules_have(rules, name))
		return true;
	rule = fault_rule_new(name);
	rule->nth = nth;
	rule->error = error;
	rule->device = g_strdup(device);
	rule->persist = persist;
	rule->verbose = 2;
	if (fault_rule_cover(rules, rule, glob) == 0) {
		fault_rule_free(rule);
		return false;
	}
	g_ptr_array_add(rules->rules, rule);
	return true;
}

bool fault_rules_add_nth(struct fault_rules *rules, const char *glob, uint64_t nth, int error)
{
	return fault_rules_add_nth_of(rules, glob, NULL, nth, error, false);
}

/** Returns the keys that a rule can have, with commas; free with g_free(). */
static char *fault_key_names(void)
{
	GString *names = g_string_new("point, action");

	for (unsigned i = 0; i < G_N_ELEMENTS(fault_keys); i++)
		g_string_append_printf(names, ", %s", fault_keys[i].name);
	return g_string_free(names, FALSE);
}

static int fault_rule_read_key(struct fault_rule *rule, const struct keyfile *file, const char *group,
			       const char *key, GError **error)
{
	g_autofree char *names = NULL;

	for (unsigned i = 0; i < G_N_ELEMENTS(fault_keys); i++) {
		const char *value = keyfile_get(file, group, key);

		if (strcmp(fault_keys[i].name, key) != 0)
			continue;
		if (fault_keys[i].set(rule, value))
			return 0;
		return sim_error_line(error, keyfile_name(file), keyfile_line(file, group, key),
				      "%s = %s: must be %s", key, value, fault_keys[i].wanted);
	}
	names = fault_key_names();
	return sim_error_line(error, keyfile_name(file), keyfile_line(file, group, key),
			      "unknown key \"%s\" in a fault rule (known: %s)", key, names);
}

/** Takes the action of the rule: every point that it covers must know it. */
static int fault_rule_read_action(const struct fault_rules *rules, struct fault_rule *rule,
				  const struct keyfile *file, const char *group, GError **error)
{
	const char *text = keyfile_get(file, group, "action");
	uint64_t line = keyfile_line(file, group, "action");

	for (unsigned id = 0; text && id < SIM_FAULTS_MAX; id++) {
		const struct fault_point *point = rule->covers[id] ? fault_point_get(rules, id) : NULL;

		if (!point)
			continue;
		if (!point->action)
			return sim_error_line(error, keyfile_name(file), line, "action = %s: %s has no actions", text,
					      point->name);
		if (!point->action(text, &rule->action))
			return sim_error_line(error, keyfile_name(file), line, "action = %s: of %s must be %s", text,
					      point->name, point->actions);
	}
	return 0;
}

static int fault_rule_check(const struct fault_rules *rules, struct fault_rule *rule,
			    const struct keyfile *file, const char *group, GError **error)
{
	const char *glob = keyfile_get(file, group, "point");
	uint64_t line = keyfile_line(file, group, NULL);

	if (!glob)
		return sim_error_line(error, keyfile_name(file), line, "rule \"%s\" names no point",
				      rule->name);
	if (fault_rule_cover(rules, rule, glob) == 0)
		return sim_error_line(error, keyfile_name(file), keyfile_line(file, group, "point"),
				      "no fault point is called \"%s\"; see \"iommusim faults points\"", glob);
	if (!keyfile_get(file, group, "nth") && !keyfile_get(file, group, "probability"))
		return sim_error_line(error, keyfile_name(file), line,
				      "rule \"%s\" can never fire: give it nth or probability", rule->name);
	if (keyfile_get(file, group, "nth") && keyfile_get(file, group, "probability"))
		return sim_error_line(error, keyfile_name(file), keyfile_line(file, group, "probability"),
				      "nth decides alone: probability has no effect beside it");
	if (rule->after_ns >= rule->before_ns)
		return sim_error_line(error, keyfile_name(file), line,
				      "rule \"%s\" can never fire: after is not before before", rule->name);
	return fault_rule_read_action(rules, rule, file, group, error);
}

static struct fault_rule *fault_rule_read(const struct fault_rules *rules, const struct keyfile *file,
					  const char *group, GError **error)
{
	struct fault_rule *rule;
	g_auto(GStrv) keys = keyfile_keys(file, group);

	if (!g_str_has_prefix(group, "fault ") || group[strlen("fault ")] == '\0') {
		sim_error_line(error, keyfile_name(file), keyfile_line(file, group, NULL),
			       "unknown group [%s]: a rule is a group [fault NAME]; a machine file goes with -c", group);
		return NULL;
	}
	if (fault_rules_have(rules, group + strlen("fault "))) {
		sim_error_line(error, keyfile_name(file), keyfile_line(file, group, NULL),
			       "there is a rule \"%s\" already", group + strlen("fault "));
		return NULL;
	}
	rule = fault_rule_new(group + strlen("fault "));
	for (char **key = keys; *key; key++) {
		if (strcmp(*key, "point") == 0 || strcmp(*key, "action") == 0)
			continue;
		if (fault_rule_read_key(rule, file, group, *key, error) < 0)
			goto fail;
	}
	if (fault_rule_check(rules, rule, file, group, error) == 0)
		return rule;
fail:
	fault_rule_free(rule);
	return NULL;
}

bool fault_rules_load(struct fault_rules *rules, const char *path, GError **error)
{
	struct keyfile *file = keyfile_load(path, error);
	g_autoptr(GPtrArray) fresh = g_ptr_array_new_with_free_func(fault_rule_free);
	g_auto(GStrv) groups = NULL;
	bool ok = false;

	if (!file)
		return false;
	groups = keyfile_groups(file);
	for (char **group = groups; *group; group++) {
		struct fault_rule *rule = fault_rule_read(rules, file, *group, error);

		if (!rule)
			goto out;
		g_ptr_array_add(fresh, rule);
	}
	g_ptr_array_extend_and_steal(rules->rules, g_steal_pointer(&fresh));
	ok = true;
out:
	keyfile_free(file);
	return ok;
}
