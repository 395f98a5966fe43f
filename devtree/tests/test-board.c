/* SPDX-License-Identifier: MIT */
/*
 * Whole boards: what they leak against the recordings and against a count of their entries; in any order; unbound and bound
 * again; with the drafts of the new design.
 */
#include <libfdt.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/facts.h"
#include "devtree/tests/board-harness.h"

static const char *const own_boards[] = {"apple-dart", "arm-smmu",   "arm-smmu-v3", "exynos-sysmmu",
					 "ipmmu-vmsa", "msm",	     "mtk-iommu",   "mtk-iommu-v1",
					 "omap-iommu", "qcom-iommu", "stages",	    "sun50i-iommu",
					 "tegra-smmu"};

/* ---- leaks against a count of entries ---- */

/** Whether the walk of the core takes the entry: its IOMMU is there, registered, and takes this master and id. */
static bool entry_is_taken(const struct device *iommu, const struct device *master, const struct dt_ref *ref)
{
	static const char *const mmcs[] = {"ee100000.mmc", "ee120000.mmc", "ee140000.mmc", "ee160000.mmc",
					   NULL};
	const struct dt_driver *driver = iommu ? dt_driver_of(iommu->node) : NULL;

	if (!driver || !iommu->drvdata || !iommu->drvdata->listed)
		return false;
	if (strcmp(driver->name, "ipmmu-vmsa") == 0)
		return dt_is_compatible(iommu->node, "renesas,ipmmu-vmsa") ||
		       g_strv_contains(mmcs, master->name);
	if (strcmp(driver->name, "qcom-iommu") != 0)
		return true;
	for (const struct dt_node *child = iommu->node->child; child; child = child->sibling) {
		const struct device *context = device_of_node(iommu->core, child);
		uint32_t asid = 0;

		if (!dt_read_u32(child, "qcom,ctx-asid", &asid) && dt_has(child, "reg"))
			asid = dt_cell(dt_find_property(child, "reg"), 0) / 0x1000;
		if (context && context->bound && asid == ref->args[0])
			return true;
	}
	return false;
}

/** The old kernel's leaks on @iommu by the formula of devtree-facts (d): entries, or masters by their first entry. */
static int counted_leak(const struct board *board, const struct device *iommu)
{
	const struct dt_driver *driver = dt_driver_of(iommu->node);
	const struct platform_iommu *platform = driver ? platform_iommu_find(driver->name) : NULL;
	int sum = 0;

	if (!platform || platform->put == PLATFORM_NEVER_LEAKS)
		return 0;
	for (uint32_t i = 0; i < board->tree->node_count; i++) {
		const struct device *master = device_of_node(board->core, &board->tree->nodes[i]);
		struct dt_refs refs;
		struct dt_ref ref;
		bool first = true;

		if (!master || board_role(master) != BOARD_MASTER)
			continue;
		dt_refs_init(&refs, board->tree, master->node, "iommus", "#iommu-cells");
		while (dt_refs_next(&refs, &ref) && !ref.error && ref.node) {
			if (!entry_is_taken(device_of_node(board->core, ref.node), master, &ref))
				break;
			if (ref.node == iommu->node &&
			    (first || (platform != &platform_ipmmu && platform != &platform_mtk &&
				       platform != &platform_mtk_v1)))
				sum++;
			first = false;
		}
	}
	return sum;
}

static void check_counted_leaks(const struct devtree *tree)
{
	struct board *board = board_new(tree, BOARD_OLD, 1);
	struct board_leaks leaks;
	GError *error = NULL;

	board_iommus_up(board);
	for (uint32_t i = 0; i < tree->node_count; i++)
		if (board_has_device(&tree->nodes[i]) && board_node_role(&tree->nodes[i]) == BOARD_MASTER)
			board_make(board, &tree->nodes[i]);
	g_assert_true(board_leaks(tree, &leaks, &error));
	g_assert_no_error(error);
	for (guint i = 0; i < leaks.iommus->len; i++) {
		const struct board_leak_iommu *leak =
			&g_array_index(leaks.iommus, struct board_leak_iommu, i);
		const struct device *iommu = device_of_node(board->core, leak->node);

		g_assert_cmpint(leak->old, ==, iommu ? counted_leak(board, iommu) : 0);
		g_assert_cmpint(leak->fixed, ==, 0);
		g_assert_cmpint(leak->fwspec, ==, 0);
	}
	board_leaks_clear(&leaks);
	board_free(board);
}

static void test_leaks_are_those_of_a_count(gconstpointer data)
{
	struct devtree *tree = harness_tree(data);

	check_counted_leaks(tree);
	devtree_free(tree);
}

/* ---- leaks against recordings ---- */

static void check_recorded_leaks(const char *golden, const char *dtb)
{
	g_autofree char *recorded = NULL, *name = g_path_get_basename(dtb);
	g_autoptr(GString) text = g_string_new(NULL);
	struct board_leaks leaks;
	struct devtree *tree;
	GError *error = NULL;

	g_assert_true(g_file_get_contents(golden, &recorded, NULL, &error));
	tree = devtree_load(dtb, NULL, &error);
	g_assert_no_error(error);
	g_assert_true(board_leaks(tree, &leaks, &error));
	board_leaks_print(text, &leaks, name);
	g_assert_cmpstr(text->str, ==, recorded);
	board_leaks_clear(&leaks);
	devtree_free(tree);
}

/** Calls @fn for each recorded board; skips the test where there are none. */
static void each_recorded_board(void (*fn)(const char *golden, const char *dtb))
{
	g_autofree char *folder = g_build_filename(g_getenv("SHARED"), "golden", "devtree", NULL);
	g_autofree char *boards = g_build_filename(g_getenv("SHARED"), "devtree", "boards", NULL);
	GDir *dir = g_dir_open(folder, 0, NULL);
	const char *base;

	if (!dir) {
		g_test_skip("no recordings of boards here");
		return;
	}
	while ((base = g_dir_read_name(dir))) {
		g_autofree char *golden = g_build_filename(folder, base, NULL);
		g_autofree char *stem =
			g_strndup(base, strlen(base) - MIN(strlen(base), strlen(".leak.txt")));
		g_autofree char *file = g_strconcat(stem, ".dtb", NULL);
		g_autofree char *dtb = g_build_filename(boards, file, NULL);

		if (g_str_has_suffix(base, ".leak.txt"))
			fn(golden, dtb);
	}
	g_dir_close(dir);
}

static void test_leaks_are_those_recorded(void)
{
	each_recorded_board(check_recorded_leaks);
}

/* ---- any order ---- */

static void shuffle(GPtrArray *order, struct prng *prng)
{
	for (guint i = order->len; i > 1; i--) {
		guint other = prng_below(prng, i);
		void *swapped = order->pdata[i - 1];

		order->pdata[i - 1] = order->pdata[other];
		order->pdata[other] = swapped;
	}
}

static void unexpected_entry(void *data, const struct ledger_entry *entry)
{
	g_test_message("%s: %s has %u from %s", (const char *)data, entry->holder, entry->count, entry->site);
	if (strstr(entry->holder, "fwspec") || !strstr(entry->object, "/smi@"))
		g_test_fail();
}

/** One order: nothing leaks and nothing is used after its release. @links: masters wait for their IOMMUs' drivers. */
static void check_order(const struct devtree *tree, enum board_profile profile, struct prng *prng, bool links,
			bool rebind)
{
	struct board *board = board_new(tree, profile, 1);
	g_autoptr(GPtrArray) order = NULL;

	board->core->firmware_links = links;
	board_populate(board);
	order = board_order(board);
	shuffle(order, prng);
	board_attach(board, order);
	if (rebind)
		board_rebind(board);
	board_down(board);
	g_assert_cmpuint(findings_violations(&board->sim->findings), ==, 0);
	for (guint i = 0; i < board->core->devices->len; i++) {
		const struct device *dev = g_ptr_array_index(board->core->devices, i);

		g_assert_cmpint(dev->lookups, ==, 0);
		g_assert_true(dev->released);
	}
	/* All that may be left is the node of a smi-common, which deferred probes leave. */
	ledger_each(board->sim, unexpected_entry, (void *)tree->name);
	board_free(board);
}

static void check_orders(const struct devtree *tree, unsigned count)
{
	static const enum board_profile profiles[] = {BOARD_FIXED, BOARD_FWSPEC, BOARD_HELPER};
	struct prng prng;

	prng_init(&prng, 1, "orders");
	for (unsigned profile = 0; profile < G_N_ELEMENTS(profiles); profile++)
		for (unsigned i = 0; i < count; i++)
			check_order(tree, profiles[profile], &prng, i % 2 == 0, i % 3 == 0);
}

static void test_no_order_leaks(gconstpointer data)
{
	struct devtree *tree = harness_tree(data);

	check_orders(tree, 50);
	devtree_free(tree);
}

static void check_recorded_orders(const char *golden, const char *dtb)
{
	struct devtree *tree = devtree_load(dtb, NULL, NULL);

	g_assert_nonnull(tree);
	check_orders(tree, 10);
	devtree_free(tree);
}

static void test_no_order_of_a_recorded_board_leaks(void)
{
	each_recorded_board(check_recorded_orders);
}

/* The old DART and Exynos leak once for each sweep that reaches an entry: more where the first IOMMU registers first. */
static void order_matters(const char *driver, const char *second_name)
{
	for (unsigned reversed = 0; reversed < 2; reversed++) {
		g_autofree char *first_name = g_strconcat(driver, "@", NULL);
		g_autofree char *master_name = g_strconcat(driver, "-two@", NULL);
		struct devtree *tree = harness_tree("stages");
		uint32_t cells = dt_driver_by_name(driver)->cells_min;
		struct board *board = board_new(tree, BOARD_OLD, 1);
		struct device *first, *second;

		harness_set_cell(harness_node(tree, master_name), "iommus", 1 + cells,
				 harness_node(tree, second_name)->phandle);
		board_make(board, harness_node(tree, master_name));
		first = board_make(board, harness_node(tree, first_name));
		second = board_make(board, harness_node(tree, second_name));
		device_attach(reversed ? second : first);
		device_attach(reversed ? first : second);
		g_assert_cmpint(first->lookups, ==, reversed ? 1 : 2);
		g_assert_cmpint(second->lookups, ==, 1);
		board_free(board);
		devtree_free(tree);
	}
}

static void test_order_matters_to_the_old_dart_and_exynos(void)
{
	order_matters("apple-dart", "second-dart@");
	order_matters("exynos-sysmmu", "second-exynos@");
}

/* ---- deferral ---- */

/** A master of two Exynos controllers, of which the second never probes, tried @tries times. Returns what the first lost. */
static int deferred_tries(enum board_profile profile, bool links, unsigned tries)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, profile, 1);
	const struct dt_node *node = harness_node(tree, "exynos-sysmmu-two@");
	struct device *first, *master;
	int lookups;

	board->core->firmware_links = links;
	harness_set_cell(node, "iommus", 1, harness_node(tree, "second-exynos@")->phandle);
	first = board_make(board, harness_node(tree, "exynos-sysmmu@"));
	board_make(board, harness_node(tree, "second-exynos@"));
	device_attach(first);
	master = board_make(board, node);
	g_assert_cmpint(first->lookups, ==, profile == BOARD_OLD ? 1 : 0);
	for (unsigned i = 0; i < tries; i++)
		g_assert_cmpint(device_attach(master), ==, -EPROBE_DEFER);
	lookups = first->lookups;
	device_deferral_timeout(board->core);
	g_assert_true(master->bound);
	g_assert_null(master->group);
	g_assert_cmpint(master->iommu_error, ==, -ETIMEDOUT);
	board_free(board);
	devtree_free(tree);
	return lookups;
}

static void test_deferred_probes_repeat_the_leak(void)
{
	g_assert_cmpint(deferred_tries(BOARD_OLD, false, 3), ==, 4);
	g_assert_cmpint(deferred_tries(BOARD_OLD, true, 3), ==, 1); /* the firmware's links hold it back */
	g_assert_cmpint(deferred_tries(BOARD_FIXED, false, 3), ==, 0);
	g_assert_cmpint(deferred_tries(BOARD_HELPER, false, 3), ==, 0);
}

/* ---- unbind, rebind, unregister in use ---- */

struct rebind_case {
	const char *driver;
	int leak; /* of the old kernel, both masters */
};

static const struct rebind_case rebind_cases[] = {
	{"qcom-iommu", 3},   {"exynos-sysmmu", 3}, {"ipmmu-vmsa", 2},	{"mtk-iommu", 2},
	{"mtk-iommu-v1", 2}, {"omap-iommu", 3},	   {"sun50i-iommu", 3}, {"tegra-smmu", 3},
	{"arm-smmu", 0},     {"arm-smmu-v3", 0},   {"msm", 0},
};

static void rebind_run(const struct rebind_case *test, enum board_profile profile)
{
	g_autofree char *iommu_name = g_strconcat(test->driver, "@", NULL);
	g_autofree char *master_name = g_strconcat(test->driver, "-two@", NULL);
	int leak = profile == BOARD_OLD ? test->leak : 0;
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, profile, 1);
	struct device *iommu, *master;

	board_iommus_up(board);
	for (uint32_t i = 0; i < tree->node_count; i++)
		if (board_node_role(&tree->nodes[i]) == BOARD_MASTER)
			device_attach(board_make(board, &tree->nodes[i]));
	iommu = harness_device(board, iommu_name);
	master = harness_device(board, master_name);
	g_assert_cmpint(iommu->lookups, ==,
			profile == BOARD_V1 && strcmp(test->driver, "omap-iommu") == 0 ? 3 : leak);
	device_release_driver(iommu);
	g_assert_false(master->bound);
	g_assert_null(master->group);
	g_assert_cmpint(iommu->lookups, ==, leak);
	g_assert_cmpint(device_attach(iommu), ==, 0);
	device_settle(board->core);
	g_assert_true(master->bound);
	g_assert_nonnull(master->group);
	device_unregister(iommu); /* in use */
	device_links_flush(board->core);
	g_assert_false(master->bound);
	g_assert_null(master->group);
	g_assert_cmpint(iommu->lookups, ==, 2 * leak);
	g_assert_cmpint(iommu->released, ==, leak == 0);
	board_free(board);
	devtree_free(tree);
}

static void test_rebind(gconstpointer data)
{
	static const enum board_profile profiles[] = {BOARD_OLD, BOARD_V1, BOARD_FIXED, BOARD_FWSPEC,
						      BOARD_HELPER};

	for (unsigned i = 0; i < G_N_ELEMENTS(profiles); i++)
		rebind_run(data, profiles[i]);
}

/* Unbinding the second of two IOMMUs leaves the master a pointer to driver data that are gone: no reference, and the helper
 * no more than the fix, protects against it. */
static void dangling(enum board_profile profile)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, profile, 1);
	const struct dt_node *node = harness_node(tree, "exynos-sysmmu-two@");
	struct device *master;

	board->core->firmware_links = false;
	harness_set_cell(node, "iommus", 1, harness_node(tree, "second-exynos@")->phandle);
	board_iommus_up(board);
	master = board_make(board, node);
	g_assert_nonnull(master->group);
	g_assert_cmpuint(board->sim->findings.count[FINDING_DRIVER_ODDITY], ==, 0);
	device_release_driver(harness_device(board, "second-exynos@"));
	g_assert_nonnull(master->group);
	g_assert_cmpuint(board->sim->findings.count[FINDING_DRIVER_ODDITY], ==, 1);
	board_free(board);
	devtree_free(tree);
}

static void test_a_pointer_outlives_the_driver(void)
{
	dangling(BOARD_OLD);
	dangling(BOARD_FIXED);
	dangling(BOARD_HELPER);
}

/* ---- the drafts ---- */

static unsigned masters_with_iommu(const struct board *board)
{
	unsigned count = 0;

	for (guint i = 0; i < board->core->on_bus->len; i++)
		count += ((const struct device *)g_ptr_array_index(board->core->on_bus, i))->group != NULL;
	return count;
}

static void test_as_posted_every_probe_releases(gconstpointer data)
{
	struct devtree *tree = harness_tree(data);
	struct board *board = board_new(tree, BOARD_AS_POSTED, 1);
	unsigned masters;

	board_boot(board, NULL);
	masters = masters_with_iommu(board);
	g_assert_cmpuint(masters, >, 0);
	g_assert_cmpuint(board->core->probe_calls, >=, masters);
	g_assert_cmpuint(board->core->release_calls, ==, board->core->probe_calls);
	g_assert_cmpuint(board->sim->findings.count[FINDING_USE_AFTER_RELEASE], >=, masters);
	board_free(board);
	board = board_new(tree, BOARD_FWSPEC, 1);
	board_boot(board, NULL);
	g_assert_cmpuint(masters_with_iommu(board), ==, masters);
	g_assert_cmpuint(board->core->release_calls, ==, 0);
	g_assert_cmpuint(findings_violations(&board->sim->findings), ==, 0);
	board_free(board);
	devtree_free(tree);
}

static void test_fwspec_a_second_instance_is_not_supported(void)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, BOARD_FWSPEC, 1);
	const struct dt_node *node = harness_node(tree, "sun50i-iommu-two@");
	const struct finding *finding;
	struct device *master;

	harness_set_cell(node, "iommus", 2, harness_node(tree, "second-sun50i@")->phandle);
	board_iommus_up(board);
	master = board_make(board, node);
	g_assert_nonnull(master->group);
	g_assert_cmpuint(platform_id_count(master), ==, 2);
	g_assert_cmpuint(board->sim->findings.count[FINDING_DRIVER_ODDITY], ==, 1);
	finding = g_ptr_array_index(board->sim->findings.kept, 0);
	g_assert_true(g_str_has_prefix(finding->text, "multi-instance-not-supported: "));
	board_free(board);
	devtree_free(tree);
}

static void test_an_iommu_of_another_driver_is_refused(void)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, BOARD_FIXED, 1);
	const struct dt_node *node = harness_node(tree, "sun50i-iommu-two@");
	struct device *master;

	harness_set_cell(node, "iommus", 2, harness_node(tree, "tegra-smmu@")->phandle);
	board_iommus_up(board);
	master = board_make(board, node);
	g_assert_cmpint(device_attach(master), ==, 0); /* bound, without translation */
	g_assert_null(master->group);
	g_assert_cmpint(master->iommu_error, ==, -EINVAL);
	board_free(board);
	devtree_free(tree);
}

/** A master's second entry names another IOMMU of its driver, which does not fit. */
static void second_does_not_fit(struct devtree *tree, const char *master_name, const char *first_name,
				const char *second_name, enum board_profile profile, int first_lost,
				int second_lost)
{
	struct board *board = board_new(tree, profile, 1);
	struct device *master;

	board_iommus_up(board);
	master = board_make(board, harness_node(tree, master_name));
	g_assert_null(master->group);
	g_assert_cmpint(master->iommu_error, ==, -EINVAL);
	g_assert_cmpint(harness_device(board, first_name)->lookups, ==, first_lost);
	g_assert_cmpint(harness_device(board, second_name)->lookups, ==, second_lost);
	board_free(board);
}

static void test_darts_must_agree(void)
{
	struct devtree *tree = harness_tree("stages");
	const struct dt_property *compatible =
		dt_find_property(harness_node(tree, "second-dart@"), "compatible");

	memcpy((uint8_t *)compatible->value, "apple,t8110-dart", sizeof("apple,t8110-dart"));
	harness_set_cell(harness_node(tree, "apple-dart-two@"), "iommus", 2,
			 harness_node(tree, "second-dart@")->phandle);
	second_does_not_fit(tree, "apple-dart-two@", "apple-dart@", "second-dart@", BOARD_OLD, 1, 1);
	second_does_not_fit(tree, "apple-dart-two@", "apple-dart@", "second-dart@", BOARD_FIXED, 0, 0);
	devtree_free(tree);
}

static void test_qcom_takes_one_iommu(void)
{
	struct devtree *tree = harness_tree("stages");

	harness_set_cell(harness_node(tree, "qcom-iommu-two@"), "iommus", 2,
			 harness_node(tree, "second-qcom@")->phandle);
	second_does_not_fit(tree, "qcom-iommu-two@", "qcom-iommu@", "second-qcom@", BOARD_OLD, 1, 0);
	second_does_not_fit(tree, "qcom-iommu-two@", "qcom-iommu@", "second-qcom@", BOARD_FIXED, 0, 0);
	devtree_free(tree);
}

static void test_an_ipmmu_leaf_waits_for_its_root(void)
{
	struct devtree *tree = harness_tree("ipmmu-vmsa");
	struct board *board = board_new(tree, BOARD_FIXED, 1);
	struct device *root = NULL, *leaf = NULL;

	for (uint32_t i = 0; i < tree->node_count; i++) {
		const struct dt_node *node = &tree->nodes[i];

		if (!dt_is_iommu(node) || !node->available || dt_is_compatible(node, "renesas,ipmmu-vmsa"))
			continue;
		*(dt_has(node, "renesas,ipmmu-main") ? &leaf : &root) = board_make(board, node);
	}
	g_assert_cmpint(device_attach(leaf), ==, -EPROBE_DEFER);
	g_assert_cmpint(device_attach(root), ==, 0);
	device_settle(board->core);
	g_assert_true(leaf->bound);
	g_assert_true(iommu_from_fwnode(board->core, leaf->node) == leaf->drvdata);
	g_assert_null(iommu_from_fwnode(board->core, root->node)); /* it has no masters */
	board_free(board);
	devtree_free(tree);
}

static void test_a_bad_second_entry_is_not_seen(void)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, BOARD_OLD, 1);
	const struct dt_node *node = harness_node(tree, "sun50i-iommu-two@");
	struct device *master;

	harness_set_cell(node, "iommus", 2, 0x7777);
	board_iommus_up(board);
	master = board_make(board, node);
	g_assert_nonnull(master->group);
	g_assert_cmpuint(platform_id_count(master), ==, 1);
	g_assert_cmpint(harness_device(board, "sun50i-iommu@")->lookups, ==, 1);
	board_free(board);
	devtree_free(tree);
}

/** A tree of @count IOMMUs. */
static struct devtree *tree_of_iommus(unsigned count)
{
	g_autofree char *blob = g_malloc0(1 << 20);
	struct devtree *tree;
	GError *error = NULL;

	g_assert_cmpint(fdt_create(blob, 1 << 20), ==, 0);
	g_assert_cmpint(fdt_finish_reservemap(blob), ==, 0);
	g_assert_cmpint(fdt_begin_node(blob, ""), ==, 0);
	for (unsigned i = 0; i < count; i++) {
		g_autofree char *name = g_strdup_printf("iommu@%x", i);

		g_assert_cmpint(fdt_begin_node(blob, name), ==, 0);
		g_assert_cmpint(fdt_property_string(blob, "compatible", "qcom,apq8064-iommu"), ==, 0);
		g_assert_cmpint(fdt_property_u32(blob, "#iommu-cells", 1), ==, 0);
		g_assert_cmpint(fdt_end_node(blob), ==, 0);
	}
	g_assert_cmpint(fdt_end_node(blob), ==, 0);
	g_assert_cmpint(fdt_finish(blob), ==, 0);
	tree = devtree_parse("many", blob, fdt_totalsize(blob), NULL, &error);
	g_assert_no_error(error);
	return tree;
}

static void test_a_tree_too_large_is_refused(void)
{
	struct devtree *tree = tree_of_iommus(BOARD_IOMMUS_MAX);
	struct board_leaks leaks;
	GError *error = NULL;

	g_assert_true(board_leaks(tree, &leaks, &error));
	g_assert_cmpuint(leaks.iommus->len, ==, BOARD_IOMMUS_MAX);
	board_leaks_clear(&leaks);
	devtree_free(tree);
	tree = tree_of_iommus(BOARD_IOMMUS_MAX + 1);
	g_assert_false(board_leaks(tree, &leaks, &error));
	g_assert_nonnull(error);
	g_assert_true(g_str_has_prefix(error->message, "many: too large to be simulated"));
	g_error_free(error);
	devtree_free(tree);
}

static void test_a_stream_beyond_the_map_is_corruption(void)
{
	struct devtree *tree = harness_tree("stages");
	struct board *board = board_new(tree, BOARD_FIXED, 1);
	const struct dt_node *node = harness_node(tree, "apple-dart-one@");

	harness_set_cell(node, "iommus", 1, 256);
	board_iommus_up(board);
	g_assert_null(board_make(board, node)->group);
	g_assert_cmpuint(board->sim->findings.count[FINDING_CORRUPTION], ==, 1);
	board_free(board);
	devtree_free(tree);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(own_boards); i++) {
		g_autofree char *leak_name =
			g_strjoin("/", "/devtree/board", own_boards[i], "leaks-of-a-count", NULL);
		g_autofree char *order_name =
			g_strjoin("/", "/devtree/board", own_boards[i], "no-order-leaks", NULL);
		g_autofree char *posted_name =
			g_strjoin("/", "/devtree/board", own_boards[i], "as-posted", NULL);

		g_test_add_data_func(leak_name, own_boards[i], test_leaks_are_those_of_a_count);
		g_test_add_data_func(order_name, own_boards[i], test_no_order_leaks);
		g_test_add_data_func(posted_name, own_boards[i], test_as_posted_every_probe_releases);
	}
	for (unsigned i = 0; i < G_N_ELEMENTS(rebind_cases); i++) {
		g_autofree char *name = g_strconcat("/devtree/board/rebind/", rebind_cases[i].driver, NULL);

		g_test_add_data_func(name, &rebind_cases[i], test_rebind);
	}
	g_test_add_func("/devtree/board/leaks-are-those-recorded", test_leaks_are_those_recorded);
	g_test_add_func("/devtree/board/no-order-of-a-recorded-board-leaks",
			test_no_order_of_a_recorded_board_leaks);
	g_test_add_func("/devtree/board/order-matters-to-old-dart-and-exynos",
			test_order_matters_to_the_old_dart_and_exynos);
	g_test_add_func("/devtree/board/deferred-probes-repeat-the-leak",
			test_deferred_probes_repeat_the_leak);
	g_test_add_func("/devtree/board/pointer-outlives-the-driver", test_a_pointer_outlives_the_driver);
	g_test_add_func("/devtree/board/second-instance-is-not-supported",
			test_fwspec_a_second_instance_is_not_supported);
	g_test_add_func("/devtree/board/another-driver-is-refused",
			test_an_iommu_of_another_driver_is_refused);
	g_test_add_func("/devtree/board/bad-second-entry-is-not-seen", test_a_bad_second_entry_is_not_seen);
	g_test_add_func("/devtree/board/darts-must-agree", test_darts_must_agree);
	g_test_add_func("/devtree/board/qcom-takes-one-iommu", test_qcom_takes_one_iommu);
	g_test_add_func("/devtree/board/ipmmu-leaf-waits-for-its-root",
			test_an_ipmmu_leaf_waits_for_its_root);
	g_test_add_func("/devtree/board/too-large-is-refused", test_a_tree_too_large_is_refused);
	g_test_add_func("/devtree/board/stream-beyond-the-map", test_a_stream_beyond_the_map_is_corruption);
	return g_test_run();
}
