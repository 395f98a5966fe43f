/* SPDX-License-Identifier: MIT */
/*
 * devtree probe: a board brought up and taken down, once or in many orders, under one kernel's drivers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devtree/device/snapshot.h"
#include "devtree/platform/board.h"
#include "sim/cmd/devtree.h"
#include "sim/core/error.h"
#include "sim/core/text.h"
#include "sim/machine/machine.h"
#include "sim/report/facts.h"
#include "sim/snapshot/snapshot.h"

#define PERMUTATIONS_MAX 1000000

struct probe_options {
	char *profile_name;
	char **fails;
	char *order;
	char *permute;
	char *seed_text;
	char *faults_file;
	char *dir;
	gboolean unbind;
	/* what they come to */
	enum board_profile profile;
	uint64_t permutations, seed;
	unsigned file_rules; /* rules of the faults file, before those of --fail */
	GArray *tallies;     /* of struct probe_tally, one a rule */
};

/** What came of a rule in all runs. */
struct probe_tally {
	uint64_t passes, fired;
};

static const struct fault_table *const probe_fault_tables[] = {&devtree_fault_table, NULL};

/* ---- options ---- */

/** DRIVER:STAGE[:N], STAGE being S0 to S7, or the last word of another devtree point. */
static bool probe_add_fail(struct fault_rules *rules, const char *fail, GError **error)
{
	g_auto(GStrv) words = g_strsplit(fail, ":", 4);
	unsigned count = g_strv_length(words);
	g_autofree char *point = NULL;
	uint64_t nth = 1;

	if (count < 2 || count > 3 || (count == 3 && (!text_parse_u64(words[2], &nth) || nth == 0))) {
		sim_error_plain(error, "--fail=%s: must be DRIVER:STAGE or DRIVER:STAGE:N, N from 1", fail);
		return false;
	}
	if (!platform_iommu_find(words[0])) {
		sim_error_plain(error, "--fail=%s: no driver is called \"%s\"; \"iommusim devtree list\" names those of a board", fail, words[0]);
		return false;
	}
	point = g_strconcat(words[1][0] == 'S' ? "devtree.probe." : "devtree.", words[1], NULL);
	if (strpbrk(words[1], "*?") || !fault_rules_add_nth_of(rules, point, words[0], nth, 0, false)) {
		sim_error_plain(error,
				"--fail=%s: no stage is called \"%s\": S0 to S7, fwspec, private, group, "
				"link, register",
				fail, words[1]);
		return false;
	}
	return true;
}

static unsigned probe_rule_count(const struct fault_rules *rules)
{
	const char *name;
	uint64_t passes, fired;
	unsigned count = 0;

	while (fault_rule_stat(rules, count, &name, &passes, &fired))
		count++;
	return count;
}

static bool probe_read_options(struct probe_options *options, struct fault_rules *rules, GError **error)
{
	int profile = options->profile_name ? board_profile_find(options->profile_name) : BOARD_FIXED;
	g_autofree char *names = g_strjoin(", ", "old", "v1", "fixed", "fwspec", "as-posted", "helper", NULL);

	options->seed = 1;
	if (options->dir && options->permute) {
		sim_error_plain(error, "--permute makes many runs, and -o has room for one");
		return false;
	}
	if (profile < 0) {
		sim_error_plain(error, "--profile=%s: must be one of %s", options->profile_name, names);
		return false;
	}
	options->profile = (enum board_profile)profile;
	if (options->permute && (!text_parse_u64(options->permute, &options->permutations) ||
				 options->permutations == 0 || options->permutations > PERMUTATIONS_MAX)) {
		sim_error_plain(error, "--permute=%s: must be a number from 1 to %u", options->permute,
				PERMUTATIONS_MAX);
		return false;
	}
	if (options->seed_text && !text_parse_u64(options->seed_text, &options->seed)) {
		sim_error_plain(error, "--seed=%s: must be a number", options->seed_text);
		return false;
	}
	if (options->permute && options->order) {
		sim_error_plain(error, "--order and --permute both say in which order devices probe");
		return false;
	}
	if (options->faults_file && !fault_rules_load(rules, options->faults_file, error))
		return false;
	if (options->dir && g_mkdir_with_parents(options->dir, 0777) != 0) {
		sim_error_plain(error, "%s: %s", options->dir, g_strerror(errno));
		return false;
	}
	options->file_rules = probe_rule_count(rules);
	for (char **fail = options->fails; fail && *fail; fail++)
		if (!probe_add_fail(rules, *fail, error))
			return false;
	options->tallies = g_array_new(FALSE, TRUE, sizeof(struct probe_tally));
	g_array_set_size(options->tallies, probe_rule_count(rules));
	return true;
}

/** The devices of --order. Returns NULL with *@error for a path that has no device that probes. */
static GPtrArray *probe_named_order(const struct board *board, const char *paths, GError **error)
{
	g_autoptr(GPtrArray) order = g_ptr_array_new();
	g_auto(GStrv) words = g_strsplit(paths, ",", -1);

	if (!words[0])
		sim_error_plain(error, "--order: names nobody");
	for (char **path = words; *path; path++) {
		struct device *dev = device_by_path(board->core, *path);

		if (!dev || board_role(dev) == BOARD_OTHER) {
			sim_error_plain(error, "--order: \"%s\" is no IOMMU or master with a device on %s",
					*path, board->tree->name);
			return NULL;
		}
		g_ptr_array_add(order, dev);
	}
	return words[0] ? g_steal_pointer(&order) : NULL;
}

/* ---- what there is to say ---- */

static const char *probe_result(const struct device *dev)
{
	if (dev->bound)
		return "bound";
	if (dev->deferred)
		return "deferred";
	return dev->attempts && dev->error ? "failed" : "unbound";
}

/** "0x1 0x2": at most the first 64. */
static char *probe_ids(const struct device *dev)
{
	GString *text = g_string_new(NULL);
	unsigned count = platform_id_count(dev);

	for (unsigned i = 0; i < MIN(count, 64); i++)
		g_string_append_printf(text, "%s0x%x", i ? " " : "", platform_id(dev, i));
	if (count > 64)
		g_string_append_printf(text, " and %u more", count - 64);
	return g_string_free(text, FALSE);
}

static void probe_show_master(struct facts *facts, const struct device *dev, GString *line)
{
	g_autofree char *ids = probe_ids(dev);

	facts_bool(facts, "translated", NULL, dev->group != NULL);
	facts_u64(facts, "iommu_attempts", NULL, dev->iommu_attempts);
	if (!dev->group) {
		facts_text(facts, "iommu_error", NULL, device_errno_name(dev->iommu_error));
		g_string_append_printf(line, ", untranslated (%s)", device_errno_name(dev->iommu_error));
		return;
	}
	facts_text(facts, "iommu", NULL, dev->iommu->iommu->dev->path);
	facts_text(facts, "ids", NULL, ids);
	facts_u64(facts, "group", NULL, dev->group->id);
	g_string_append_printf(line, ", behind %s, %s%s%sgroup %u", dev->iommu->iommu->dev->path,
			       *ids ? "ids " : "", ids, *ids ? ", " : "", dev->group->id);
}

static void probe_show_device(struct facts *facts, const struct device *dev)
{
	static const char *const roles[] = {[BOARD_OTHER] = "other",
					    [BOARD_IOMMU] = "iommu",
					    [BOARD_MASTER] = "master",
					    [BOARD_SUPPLIER] = "supplier"};
	g_autoptr(GString) line = g_string_new(NULL);
	enum board_role role = board_role(dev);

	facts_begin(facts, NULL, NULL);
	facts_text(facts, "path", NULL, dev->path);
	facts_text(facts, "device", NULL, dev->name);
	facts_text(facts, "role", NULL, roles[role]);
	facts_text(facts, "driver", NULL, dev->driver ? dev->driver->name : "none");
	facts_text(facts, "result", NULL, probe_result(dev));
	facts_text(facts, "error", NULL, device_errno_name(dev->error));
	facts_u64(facts, "attempts", NULL, dev->attempts);
	facts_i64(facts, "references_by_lookup", NULL, dev->lookups);
	g_string_append_printf(line, "%-8s %s: ", roles[role], dev->path);
	if (role == BOARD_IOMMU)
		g_string_append_printf(line, "%s ", dev->driver ? dev->driver->name : "no driver,");
	g_string_append(line, probe_result(dev));
	if (!dev->bound && dev->error)
		g_string_append_printf(line, " (%s)", device_errno_name(dev->error));
	if (role == BOARD_MASTER)
		probe_show_master(facts, dev, line);
	if (dev->attempts > 1)
		g_string_append_printf(line, ", %u attempts", dev->attempts);
	facts_end(facts);
	facts_line(facts, "  %s", line->str);
}

static void probe_show_devices(struct facts *facts, const struct board *board)
{
	g_autoptr(GPtrArray) order = board_order(board);

	facts_line(facts, "DEVICES");
	facts_list_begin(facts, "devices", NULL);
	for (guint i = 0; i < order->len; i++)
		probe_show_device(facts, g_ptr_array_index(order, i));
	facts_list_end(facts);
}

/** References that every device has: said of none. */
static bool probe_holding_is_usual(const struct ledger_entry *entry)
{
	static const char *const sites[] = {"device_initialize", "bus_add_device", "device_add",
					    "of_device_alloc", NULL};

	return g_strv_contains(sites, entry->site);
}

static void probe_show_holding(void *data, const struct ledger_entry *entry)
{
	struct facts *facts = data;

	if (probe_holding_is_usual(entry))
		return;
	facts_begin(facts, NULL, NULL);
	facts_text(facts, "object", NULL, entry->object);
	facts_text(facts, "holder", NULL, entry->holder);
	facts_u64(facts, "count", NULL, entry->count);
	facts_text(facts, "site", NULL, entry->site);
	facts_end(facts);
	facts_line(facts, "  %s: %u by %s, taken in %s()", entry->object, entry->count, entry->holder,
		   entry->site);
}

static void probe_show_ledger(struct facts *facts, const struct board *board, const char *key,
			      const char *head)
{
	facts_line(facts, "%s", head);
	facts_list_begin(facts, key, NULL);
	ledger_each(board->sim, probe_show_holding, facts);
	facts_list_end(facts);
}

static void probe_show_findings(struct facts *facts, const struct board *board)
{
	const GPtrArray *kept = board->sim->findings.kept;
	uint64_t violations = findings_violations(&board->sim->findings);
	uint64_t observations = findings_observations(&board->sim->findings);

	facts_line(facts, "FINDINGS: %" G_GUINT64_FORMAT " violation%s, %" G_GUINT64_FORMAT " observation%s",
		   violations, violations == 1 ? "" : "s", observations, observations == 1 ? "" : "s");
	facts_u64(facts, "violations", NULL, violations);
	facts_u64(facts, "observations", NULL, observations);
	facts_list_begin(facts, "findings", NULL);
	for (guint i = 0; i < kept->len; i++) {
		const struct finding *finding = g_ptr_array_index(kept, i);

		facts_begin(facts, NULL, NULL);
		facts_text(facts, "kind", NULL, finding_kinds[finding->kind].name);
		facts_bool(facts, "violation", NULL, finding_kinds[finding->kind].violation);
		facts_text(facts, "text", NULL, finding->text);
		if (finding->acquired)
			facts_text(facts, "acquired", NULL, finding->acquired);
		facts_end(facts);
		facts_line(facts, "  %s: %s%s%s%s", finding_kinds[finding->kind].name, finding->text,
			   finding->acquired ? " (taken in " : "", finding->acquired ? finding->acquired : "",
			   finding->acquired ? "())" : "");
	}
	facts_list_end(facts);
}

/* ---- rules ---- */

/** Adds what came of the rules in one run. */
static void probe_tally_rules(const struct probe_options *options, const struct fault_rules *rules)
{
	const char *name;
	uint64_t passes, fired;

	for (unsigned i = 0; fault_rule_stat(rules, i, &name, &passes, &fired); i++) {
		struct probe_tally *tally = &g_array_index(options->tallies, struct probe_tally, i);

		tally->passes += passes;
		tally->fired += fired;
	}
}

/** A rule that never fired has tested nothing: most often the board or the driver has no such stage, or N is too large. */
static void probe_warn_idle_rules(const struct probe_options *options, const struct fault_rules *rules)
{
	const char *name;
	uint64_t passes, fired;

	for (unsigned i = 0; fault_rule_stat(rules, i, &name, &passes, &fired); i++) {
		const struct probe_tally *tally = &g_array_index(options->tallies, struct probe_tally, i);
		bool of_file = i < options->file_rules;

		if (!tally->fired)
			fprintf(stderr,
				"iommusim: warning: %s%s%s never fired in %" G_GUINT64_FORMAT " passes\n",
				of_file ? "[fault " : "--fail=",
				of_file ? name : options->fails[i - options->file_rules], of_file ? "]" : "",
				tally->passes);
	}
}

/* ---- one run ---- */

/** Writes devices and ledger now, as snapshot @name of the directory that was asked for, if one was. */
static bool probe_snapshot(const struct board *board, const struct probe_options *options, const char *name,
			   GError **error)
{
	const struct snapshot_source sources[] = {{&device_section, board->core},
						  {&ledger_section, NULL},
						  {&machine_behaviour_section, NULL},
						  {&machine_fault_section, NULL},
						  {&machine_violation_section, NULL},
						  {NULL, NULL}};
	const char *const header[] = {"profile", board_profile_names[options->profile], NULL};
	g_autofree char *path = options->dir ? g_build_filename(options->dir, name, NULL) : NULL;

	return !path || snapshot_write(path, board->sim, header, sources, error);
}

static struct board *probe_board(const struct devtree *tree, const struct probe_options *options,
				 struct fault_rules *rules)
{
	struct board *board = board_new(tree, options->profile, options->seed);

	fault_rules_arm(rules, board->sim);
	board_populate(board);
	return board;
}

static int probe_once(const struct devtree *tree, const struct probe_options *options,
		      struct fault_rules *rules, struct facts *facts, GError **error)
{
	struct board *board = probe_board(tree, options, rules);
	g_autoptr(GPtrArray) first = NULL;
	int code = -1;

	if (options->order)
		first = probe_named_order(board, options->order, error);
	if (options->order && !first)
		goto out;
	board_attach(board, first);
	if (options->unbind)
		facts_u64(facts, "rebound", "IOMMUs unbound and bound again", board_rebind(board));
	probe_show_devices(facts, board);
	probe_show_ledger(facts, board, "holdings", "LEDGER, while everything is there");
	if (!probe_snapshot(board, options, "end.snap", error))
		goto out;
	board_down(board);
	if (!probe_snapshot(board, options, "teardown.snap", error))
		goto out;
	probe_tally_rules(options, rules);
	probe_show_ledger(facts, board, "left", "LEDGER, after everybody has gone");
	probe_show_findings(facts, board);
	code = findings_violations(&board->sim->findings) ? EXIT_FOUND : EXIT_DONE;
out:
	board_free(board);
	return code;
}

/* ---- many orders ---- */

static void probe_shuffle(GPtrArray *order, struct prng *prng)
{
	for (guint i = order->len; i > 1; i--) {
		guint other = prng_below(prng, i);
		void *swapped = order->pdata[i - 1];

		order->pdata[i - 1] = order->pdata[other];
		order->pdata[other] = swapped;
	}
}

static uint64_t probe_leaked(const struct board *board)
{
	uint64_t sum = 0;

	for (guint i = 0; i < board->core->devices->len; i++) {
		const struct device *dev = g_ptr_array_index(board->core->devices, i);

		sum += (uint64_t)MAX(dev->lookups, 0);
	}
	return sum;
}

static char *probe_order_text(const GPtrArray *order)
{
	GString *text = g_string_new(NULL);

	for (guint i = 0; i < order->len; i++)
		g_string_append_printf(text, "%s%s", i ? "," : "",
				       ((const struct device *)g_ptr_array_index(order, i))->path);
	return g_string_free(text, FALSE);
}

static int probe_permuted(const struct devtree *tree, const struct probe_options *options,
			  struct fault_rules *rules, struct facts *facts)
{
	uint64_t bad = 0;
	struct prng prng;

	prng_init(&prng, options->seed, "devtree-order");
	facts_list_begin(facts, "orders", NULL);
	for (uint64_t i = 0; i < options->permutations; i++) {
		struct board *board = probe_board(tree, options, rules);
		g_autoptr(GPtrArray) order = board_order(board);
		g_autofree char *text = NULL;
		uint64_t violations, leaked;

		probe_shuffle(order, &prng);
		text = probe_order_text(order);
		board_attach(board, order);
		if (options->unbind)
			board_rebind(board);
		board_down(board);
		probe_tally_rules(options, rules);
		violations = findings_violations(&board->sim->findings);
		leaked = probe_leaked(board);
		facts_begin(facts, NULL, NULL);
		facts_text(facts, "order", NULL, text);
		facts_u64(facts, "leaked_references", NULL, leaked);
		facts_u64(facts, "violations", NULL, violations);
		facts_end(facts);
		facts_line(facts,
			   "order %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT
			   " references leaked, %" G_GUINT64_FORMAT " violations",
			   i + 1, leaked, violations);
		if (violations && bad++ == 0)
			facts_line(facts, "  repeat it with --order=%s", text);
		board_free(board);
	}
	facts_list_end(facts);
	facts_u64(facts, "orders_with_violations", "Orders with violations", bad);
	return bad ? EXIT_FOUND : EXIT_DONE;
}

/* ---- the command ---- */

static int probe_run(const struct devtree *tree, struct probe_options *options, struct fault_rules *rules,
		     bool json)
{
	g_autofree char *name = g_path_get_basename(tree->name);
	struct facts *facts = facts_new();
	g_autofree char *text = NULL;
	GError *error = NULL;
	int code = -1;

	facts_text(facts, "board", "Board", name);
	facts_text(facts, "profile", "Drivers", board_profile_names[options->profile]);
	if (board_check(tree, &error))
		code = options->permutations ? probe_permuted(tree, options, rules, facts)
					     : probe_once(tree, options, rules, facts, &error);
	if (code < 0) {
		facts_free(facts);
		return cmd_fail_error(error);
	}
	probe_warn_idle_rules(options, rules);
	text = json ? facts_to_json(facts) : facts_to_text(facts);
	facts_free(facts);
	return cmd_print(text) ? code : EXIT_UNUSABLE;
}

int cmd_devtree_probe(const struct command *command, int argc, char **argv)
{
	struct probe_options options = {0};
	const GOptionEntry entries[] = {
		{"profile", 0, 0, G_OPTION_ARG_STRING, &options.profile_name,
		 "whose drivers (default: fixed)", "old|v1|fixed|fwspec|as-posted|helper"},
		{"fail", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.fails,
		 "the N-th pass (default 1) of a driver's stage fails: S0 to S7, fwspec, private, group, "
		 "link, register",
		 "DRIVER:STAGE[:N]"},
		{"faults", 'f', 0, G_OPTION_ARG_FILENAME, &options.faults_file, "rules of a faults file",
		 "FILE"},
		{"order", 0, 0, G_OPTION_ARG_STRING, &options.order, "who probes first", "PATH,..."},
		{"permute", 0, 0, G_OPTION_ARG_STRING, &options.permute, "try N random orders", "N"},
		{"seed", 0, 0, G_OPTION_ARG_STRING, &options.seed_text, "of the random orders (default 1)",
		 "N"},
		{"output", 'o', 0, G_OPTION_ARG_FILENAME, &options.dir,
		 "write end.snap and teardown.snap, who holds what, into this directory", "DIR"},
		{"unbind", 0, 0, G_OPTION_ARG_NONE, &options.unbind, "unbind every IOMMU and bind it again",
		 NULL},
		{NULL, 0, 0, 0, NULL, NULL, NULL},
	};
	struct fault_rules *rules = fault_rules_new(probe_fault_tables);
	struct devtree *tree = NULL;
	struct cmd_common common;
	GError *error = NULL;
	int code;

	if (!cmd_parse(command, argc, argv, entries, 1, 1, &common)) {
		code = common.exit_code;
		goto out;
	}
	if (probe_read_options(&options, rules, &error))
		tree = devtree_load(common.args[0], NULL, &error);
	code = tree ? probe_run(tree, &options, rules, common.json) : cmd_fail_error(error);
	devtree_free(tree);
	cmd_common_clear(&common);
out:
	fault_rules_free(rules);
	if (options.tallies)
		g_array_unref(options.tallies);
	g_free(options.profile_name);
	g_strfreev(options.fails);
	g_free(options.order);
	g_free(options.permute);
	g_free(options.seed_text);
	g_free(options.faults_file);
	g_free(options.dir);
	return code;
}
