/* SPDX-License-Identifier: MIT */
/*
 * The leak profile of every driver (devtree-facts section d): for each stage at which a master's way to its IOMMU can end, and
 * each kernel, how many references one attempt leaves on the IOMMU's device, and that two attempts leave twice as many.
 * The expected numbers are the table's, written down here, for a master with one entry and one with two.
 */
#include "devtree/tests/board-harness.h"

#define NEVER -1 /* the driver has no such check: the point is not passed */

enum ending { ENDS_WELL, ENDS_IN_ERROR, ENDS_IN_CRASH };

struct stage_case {
	const char *driver;
	const char *stage;
	int old_one, old_two; /* per attempt, by the master's entries */
	enum ending ending;
	uint64_t nth; /* the pass that fails first; 0: the first one */
	int v1_one, v1_two;
};

static const struct stage_case stage_cases[] = {
	{"apple-dart", "none", 1, 2, ENDS_WELL},
	{"apple-dart", "S0", 0, 0, ENDS_IN_ERROR},
	{"apple-dart", "S1", 1, 1, ENDS_IN_ERROR},
	{"apple-dart", "S2", NEVER, NEVER},
	{"apple-dart", "S3", 1, 1, ENDS_IN_CRASH},
	{"apple-dart", "S4", 1, 1, ENDS_IN_ERROR},
	{"apple-dart", "S5", NEVER, NEVER},
	{"apple-dart", "S6", 1, 2, ENDS_IN_ERROR},
	{"apple-dart", "S7", 1, 2, ENDS_IN_ERROR},
	{"qcom-iommu", "none", 1, 2, ENDS_WELL},
	{"qcom-iommu", "S0", 0, 0, ENDS_IN_ERROR},
	{"qcom-iommu", "S1", 0, 0, ENDS_IN_ERROR},
	{"qcom-iommu", "S2", 0, 0, ENDS_IN_ERROR},
	{"qcom-iommu", "S3", 1, 1, ENDS_IN_CRASH},
	{"qcom-iommu", "S4", 0, 0, ENDS_IN_ERROR},
	{"qcom-iommu", "S5", 1, 1, ENDS_IN_ERROR},
	{"qcom-iommu", "S6", 1, 2, ENDS_IN_ERROR},
	{"qcom-iommu", "S7", 1, 2, ENDS_IN_ERROR},
	{"exynos-sysmmu", "none", 1, 2, ENDS_WELL},
	{"exynos-sysmmu", "S0", 0, 0, ENDS_IN_ERROR},
	{"exynos-sysmmu", "S1", NEVER, NEVER},
	{"exynos-sysmmu", "S2", NEVER, NEVER},
	{"exynos-sysmmu", "S3", 0, 0, ENDS_IN_ERROR},
	{"exynos-sysmmu", "S4", NEVER, NEVER},
	{"exynos-sysmmu", "S5", NEVER, NEVER},
	{"exynos-sysmmu", "S6", 1, 2, ENDS_IN_ERROR},
	{"exynos-sysmmu", "S7", 1, 2, ENDS_IN_ERROR},
	{"ipmmu-vmsa", "none", 1, 1, ENDS_WELL},
	{"ipmmu-vmsa", "S0", 0, 0, ENDS_IN_ERROR},
	{"ipmmu-vmsa", "S1", NEVER, NEVER},
	{"ipmmu-vmsa", "S2", 0, 0, ENDS_IN_ERROR},
	{"ipmmu-vmsa", "S3", 1, 2, ENDS_IN_ERROR}, /* it looks up until it has something */
	{"ipmmu-vmsa", "S4", NEVER, NEVER},
	{"ipmmu-vmsa", "S5", 1, 1, ENDS_WELL}, /* ignored */
	{"ipmmu-vmsa", "S6", 1, 1, ENDS_IN_ERROR},
	{"ipmmu-vmsa", "S7", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu", "none", 1, 1, ENDS_WELL},
	{"mtk-iommu", "S0", 0, 0, ENDS_IN_ERROR},
	{"mtk-iommu", "S1", 0, 0, ENDS_IN_ERROR},
	{"mtk-iommu", "S2", 1, 1, ENDS_IN_ERROR}, /* in probe_device */
	{"mtk-iommu", "S3", 1, 2, ENDS_IN_CRASH},
	{"mtk-iommu", "S4", NEVER, NEVER},
	{"mtk-iommu", "S5", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu", "S6", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu", "S7", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu-v1", "none", 1, 1, ENDS_WELL},
	{"mtk-iommu-v1", "S1", 0, 0, ENDS_IN_ERROR},
	{"mtk-iommu-v1", "S2", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu-v1", "S3", 1, 1, ENDS_IN_CRASH},
	{"mtk-iommu-v1", "S4", NEVER, NEVER},
	{"mtk-iommu-v1", "S5", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu-v1", "S6", 1, 1, ENDS_IN_ERROR},
	{"mtk-iommu-v1", "S7", 1, 1, ENDS_IN_ERROR},
	{"omap-iommu", "none", 1, 2, ENDS_WELL},
	{"omap-iommu", "S0", 0, 0, ENDS_IN_ERROR},
	{"omap-iommu", "S1", NEVER, NEVER},
	{"omap-iommu", "S2", NEVER, NEVER},
	{"omap-iommu", "S3", 1, 1, ENDS_IN_ERROR, 1, 1, 1},
	{"omap-iommu", "S4", NEVER, NEVER},
	{"omap-iommu", "S5", NEVER, NEVER},
	{"omap-iommu", "S6", 1, 1, ENDS_IN_ERROR},
	{"omap-iommu", "S7", 1, 2, ENDS_IN_ERROR},
	{"sun50i-iommu", "none", 1, 2, ENDS_WELL},
	{"sun50i-iommu", "S0", 0, 0, ENDS_IN_ERROR},
	{"sun50i-iommu", "S1", NEVER, NEVER},
	{"sun50i-iommu", "S2", NEVER, NEVER},
	{"sun50i-iommu", "S3", 1, 2, ENDS_IN_ERROR}, /* noticed in probe_device */
	{"sun50i-iommu", "S4", NEVER, NEVER},
	{"sun50i-iommu", "S5", 1, 1, ENDS_IN_ERROR},
	{"sun50i-iommu", "S6", 1, 2, ENDS_IN_ERROR},
	{"sun50i-iommu", "S7", 1, 2, ENDS_IN_ERROR},
	{"tegra-smmu", "none", 1, 2, ENDS_WELL},
	{"tegra-smmu", "S0", 0, 0, ENDS_IN_ERROR},
	{"tegra-smmu", "S1", NEVER, NEVER},
	{"tegra-smmu", "S2", NEVER, NEVER},
	{"tegra-smmu", "S3", 0, 0, ENDS_IN_CRASH}, /* of_xlate of the core's walk, which always puts */
	{"tegra-smmu", "S4", NEVER, NEVER},
	{"tegra-smmu", "S5", 0, 0, ENDS_IN_ERROR}, /* the same */
	{"tegra-smmu", "S6", 1, 1, ENDS_IN_ERROR},
	{"tegra-smmu", "S7", 1, 2, ENDS_IN_ERROR},
	{"arm-smmu", "none", 0, 0, ENDS_WELL},
	{"arm-smmu", "S5", 0, 0, ENDS_IN_ERROR},
	{"arm-smmu", "S6", 0, 0, ENDS_IN_ERROR},
	{"arm-smmu", "S7", 0, 0, ENDS_IN_ERROR},
	{"arm-smmu-v3", "none", 0, 0, ENDS_WELL},
	{"arm-smmu-v3", "S6", 0, 0, ENDS_IN_ERROR},
	{"msm", "none", 0, 0, ENDS_WELL},
	{"msm", "S6", 0, 0, ENDS_IN_ERROR},
};

struct stage_run {
	const struct stage_case *test;
	enum board_profile profile;
	unsigned entries;
};

static int stage_expected(const struct stage_run *run)
{
	if (run->profile == BOARD_OLD)
		return run->entries == 1 ? run->test->old_one : run->test->old_two;
	if (run->profile == BOARD_V1)
		return run->entries == 1 ? run->test->v1_one : run->test->v1_two;
	return 0;
}

static struct fault_rules *stage_arm(struct board *board, const struct stage_case *test)
{
	g_autofree char *point = g_strconcat("devtree.probe.", test->stage, NULL);

	if (strcmp(test->stage, "none") == 0)
		return NULL;
	return harness_fail(board, test->driver, point, MAX(test->nth, 1), true);
}

/** Whether the reference design has the driver look up at all: a stage that exists only there is not passed. */
static bool stage_must_fire(const struct stage_run *run)
{
	return run->profile == BOARD_OLD || run->profile == BOARD_V1 || run->profile == BOARD_FIXED ||
	       run->profile == BOARD_HELPER;
}

static void stage_check_first(const struct stage_run *run, const struct board *board,
			      const struct device *master, const struct fault_rules *rules)
{
	const struct stage_case *test = run->test;
	uint64_t crashes = board->sim->findings.count[FINDING_NULL_DEREF];

	if (!stage_must_fire(run))
		return;
	if (rules)
		g_assert_cmpuint(harness_fired(rules), >, 0);
	g_assert_cmpint(master->group != NULL, ==, test->ending == ENDS_WELL);
	g_assert_cmpuint(crashes > 0, ==, test->ending == ENDS_IN_CRASH);
}

static void stage_run_one(const struct stage_run *run)
{
	const struct stage_case *test = run->test;
	g_autofree char *iommu_name = g_strconcat(test->driver, "@", NULL);
	g_autofree char *master_name = g_strconcat(test->driver, run->entries == 1 ? "-one@" : "-two@", NULL);
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, run->profile, 1);
	int expected = stage_expected(run);
	struct fault_rules *rules;
	struct device *iommu, *master;
	unsigned tries;

	board_iommus_up(board);
	iommu = harness_device(board, iommu_name);
	g_assert_true(iommu->bound);
	rules = stage_arm(board, test);
	master = board_make(board, harness_node(tree, master_name)); /* the add notice: one attempt */
	stage_check_first(run, board, master, rules);
	/* v1 of omap keeps its references as long as the master has its IOMMU. */
	if (run->profile == BOARD_V1 && strcmp(test->driver, "omap-iommu") == 0 && master->group)
		g_assert_cmpint(iommu->lookups, ==, (int)run->entries);
	else
		g_assert_cmpint(iommu->lookups, ==, expected);
	/* mtk_v1's way leads through add notices and sweeps alone: it has no of_xlate. */
	tries = master->group || strcmp(test->driver, "mtk-iommu-v1") == 0 ? 1 : 2;
	device_attach(master); /* another, if that one failed */
	g_assert_cmpint(master->bound, ==, true);
	device_unregister(master);
	device_links_flush(board->core);
	g_assert_cmpint(iommu->lookups, ==, expected * (int)tries);
	device_unregister(iommu);
	device_links_flush(board->core);
	g_assert_cmpint(iommu->released, ==, expected == 0);
	board_free(board);
	fault_rules_free(rules);
	devtree_free(tree);
}

/** A stage that the driver has no check for: the rule never fires, and the master gets its IOMMU. */
static void stage_run_never(const struct stage_case *test)
{
	g_autofree char *master_name = g_strconcat(test->driver, "-two@", NULL);
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, BOARD_OLD, 1);
	struct fault_rules *rules;
	struct device *master;

	board_iommus_up(board);
	rules = stage_arm(board, test);
	master = board_make(board, harness_node(tree, master_name));
	g_assert_cmpuint(harness_fired(rules), ==, 0);
	g_assert_nonnull(master->group);
	board_free(board);
	fault_rules_free(rules);
	devtree_free(tree);
}

static void test_stage(gconstpointer data)
{
	const struct stage_case *test = data;

	if (test->old_one == NEVER) {
		stage_run_never(test);
		return;
	}
	for (unsigned profile = 0; profile < BOARD_PROFILES; profile++)
		for (unsigned entries = 1; entries <= 2; entries++)
			if (profile != BOARD_AS_POSTED) /* test-board.c */
				stage_run_one(
					&(struct stage_run){test, (enum board_profile)profile, entries});
}

/* ---- single passes: the second entry, or the second lookup, fails ---- */

struct pass_case {
	const char *name, *driver, *point;
	uint64_t nth;
	int old; /* of the master with two entries */
};

static const struct pass_case pass_cases[] = {
	{"dart-second-entry-does-not-fit", "apple-dart", "devtree.probe.S4", 2, 2},
	{"dart-no-memory", "apple-dart", "devtree.private", 1, 1},
	{"qcom-second-entry-bad-asid", "qcom-iommu", "devtree.probe.S2", 2, 1},
	{"qcom-second-entry-another-iommu", "qcom-iommu", "devtree.probe.S4", 2, 1},
	{"qcom-second-id", "qcom-iommu", "devtree.probe.S5", 2, 2},
	{"qcom-no-link", "qcom-iommu", "devtree.link", 1, 2},
	{"exynos-no-memory", "exynos-sysmmu", "devtree.private", 1, 0},
	{"exynos-second-entry-no-data", "exynos-sysmmu", "devtree.probe.S3", 2, 1},
	{"exynos-group", "exynos-sysmmu", "devtree.group", 1, 2},
	{"ipmmu-second-entry-not-allowed", "ipmmu-vmsa", "devtree.probe.S2", 2, 1},
	{"mtk-second-entry-cells", "mtk-iommu", "devtree.probe.S1", 2, 1},
	{"mtk-fwspec", "mtk-iommu", "devtree.fwspec", 1, 0},
	{"mtk-v1-second-id", "mtk-iommu-v1", "devtree.probe.S5", 2, 1},
	{"omap-no-memory", "omap-iommu", "devtree.private", 1, 0},
	{"omap-second-entry", "omap-iommu", "devtree.probe.S6", 2, 2},
	{"sun50i-second-id", "sun50i-iommu", "devtree.probe.S5", 2, 2},
	{"tegra-find-no-data", "tegra-smmu", "devtree.probe.S3", 3, 1},
	{"tegra-id-in-probe-device", "tegra-smmu", "devtree.probe.S5", 3, 1},
	{"tegra-second-entry", "tegra-smmu", "devtree.probe.S6", 2, 2},
};

static void test_pass(gconstpointer data)
{
	const struct pass_case *test = data;
	static const enum board_profile profiles[] = {BOARD_OLD, BOARD_V1, BOARD_FIXED, BOARD_HELPER};

	for (unsigned i = 0; i < G_N_ELEMENTS(profiles); i++) {
		g_autofree char *iommu_name = g_strconcat(test->driver, "@", NULL);
		g_autofree char *master_name = g_strconcat(test->driver, "-two@", NULL);
		struct devtree *tree = harness_tree("stages");
		struct board *board = board_new(tree, profiles[i], 1);
		struct fault_rules *rules;

		board_iommus_up(board);
		rules = harness_fail(board, test->driver, test->point, test->nth, false);
		device_unregister(board_make(board, harness_node(tree, master_name)));
		g_assert_cmpuint(harness_fired(rules), ==, 1);
		g_assert_cmpint(harness_device(board, iommu_name)->lookups, ==,
				profiles[i] == BOARD_OLD ? test->old : 0);
		board_free(board);
		fault_rules_free(rules);
		devtree_free(tree);
	}
}

/* ---- a sweep that aborts ---- */

/** A master waits; the IOMMU registers, sweeps, and the master's probe fails: the IOMMU's fails with it. Returns what that left on the IOMMU. */
static int sweep_aborts(const char *driver, const char *point, enum board_profile profile)
{
	g_autofree char *iommu_name = g_strconcat(driver, "@", NULL);
	g_autofree char *master_name = g_strconcat(driver, "-two@", NULL);
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, profile, 1);
	struct fault_rules *rules = harness_fail(board, driver, point, 1, false);
	struct device *master, *iommu;
	int lookups;

	master = board_make(board, harness_node(tree, master_name));
	g_assert_null(master->group);
	board_iommus_up(board);
	iommu = harness_device(board, iommu_name);
	g_assert_cmpuint(harness_fired(rules), ==, 1);
	g_assert_false(iommu->bound);
	g_assert_cmpint(iommu->error, ==, -EINVAL);
	g_assert_null(iommu_from_fwnode(board->core, iommu->node));
	g_assert_null(master->group);
	g_assert_null(master->iommu);
	lookups = iommu->lookups;
	device_unregister(iommu);
	device_links_flush(board->core);
	g_assert_cmpint(iommu->released, ==, lookups == 0);
	board_free(board);
	fault_rules_free(rules);
	devtree_free(tree);
	return lookups;
}

static void test_sweep(gconstpointer data)
{
	const struct stage_case *test = data;
	g_autofree char *point = g_strconcat("devtree.probe.", test->stage, NULL);

	g_assert_cmpint(sweep_aborts(test->driver, point, BOARD_OLD), ==, test->old_two);
	g_assert_cmpint(sweep_aborts(test->driver, point, BOARD_V1), ==, 0);
	g_assert_cmpint(sweep_aborts(test->driver, point, BOARD_FIXED), ==, 0);
	g_assert_cmpint(sweep_aborts(test->driver, point, BOARD_FWSPEC), ==, 0);
	g_assert_cmpint(sweep_aborts(test->driver, point, BOARD_HELPER), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(stage_cases); i++) {
		const struct stage_case *test = &stage_cases[i];
		g_autofree char *name = g_strdup_printf("/devtree/stages/%s/%s", test->driver, test->stage);
		g_autofree char *sweep =
			g_strdup_printf("/devtree/stages/%s/%s-aborts-the-sweep", test->driver, test->stage);

		g_test_add_data_func(name, test, test_stage);
		if (strcmp(test->stage, "S6") == 0 || strcmp(test->stage, "S7") == 0)
			g_test_add_data_func(sweep, test, test_sweep);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(pass_cases); i++) {
		g_autofree char *name = g_strconcat("/devtree/stages/", pass_cases[i].name, NULL);

		g_test_add_data_func(name, &pass_cases[i], test_pass);
	}
	return g_test_run();
}
