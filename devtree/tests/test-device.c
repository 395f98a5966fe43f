/* SPDX-License-Identifier: MIT */
/*
 * The driver core: who holds a device and when its release callback runs, links, deferral, and IOMMUs without a node.
 */
#include "devtree/tests/board-harness.h"

static bool no_match(const struct device_driver *driver, const struct device *dev)
{
	return false;
}

static const struct device_driver no_driver = {.name = "none", .match = no_match};
static const struct device_driver *const no_drivers[] = {&no_driver, NULL};

struct core_fixture {
	struct sim *sim;
	struct device_core *core;
};

static struct core_fixture core_new(const struct device_driver *const *drivers)
{
	struct core_fixture fixture = {.sim = sim_new(1, 1)};

	board_set_profile(fixture.sim, BOARD_FIXED);
	fixture.core = device_core_new(fixture.sim, NULL, drivers);
	return fixture;
}

static void core_free(struct core_fixture *fixture)
{
	device_core_free(fixture->core);
	sim_free(fixture->sim);
}

static struct device *bare_device(struct device_core *core, const char *name, struct device *parent)
{
	return device_new(core, &(struct device_identity){.path = name, .name = name, .parent = parent});
}

static void count_entry(void *data, const struct ledger_entry *entry)
{
	*(unsigned *)data += entry->count;
}

static unsigned ledger_sum(const struct sim *sim)
{
	unsigned sum = 0;

	ledger_each(sim, count_entry, &sum);
	return sum;
}

static void test_counts_of_a_family(void)
{
	struct core_fixture fixture = core_new(no_drivers);
	struct device *parent = bare_device(fixture.core, "parent", NULL);
	struct device *child = bare_device(fixture.core, "child", parent);

	g_assert_cmpint(parent->refs, ==, 1);
	device_add(parent);
	g_assert_cmpint(parent->refs, ==, 2);
	device_add(child);
	g_assert_cmpint(parent->refs, ==, 3);
	g_assert_cmpint(child->refs, ==, 3); /* creator, bus, parent's list */
	device_unregister(child);
	g_assert_true(child->released);
	device_unregister(parent);
	g_assert_true(parent->released);
	g_assert_cmpuint(ledger_sum(fixture.sim), ==, 0);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	core_free(&fixture);
}

static void test_a_lookup_keeps_it_until_put(void)
{
	struct core_fixture fixture = core_new(no_drivers);
	struct device *dev = bare_device(fixture.core, "dev", NULL);

	device_add(dev);
	device_get(dev, "somebody", "find");
	device_unregister(dev);
	g_assert_false(dev->released);
	g_assert_cmpint(dev->lookups, ==, 1);
	device_put(dev, "somebody", "drop");
	g_assert_true(dev->released);
	g_assert_cmpuint(findings_violations(&fixture.sim->findings), ==, 0);
	device_put(dev, "somebody", "drop");
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_REF_DOUBLE_PUT], ==, 1);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_USE_AFTER_RELEASE], ==, 1);
	core_free(&fixture);
}

static void test_too_many_puts_release_it_while_in_use(void)
{
	struct core_fixture fixture = core_new(no_drivers);
	struct device *dev = bare_device(fixture.core, "dev", NULL);

	device_add(dev);
	device_put(dev, "somebody", "drop");
	g_assert_false(dev->released);
	device_put(dev, "somebody", "drop");
	g_assert_true(dev->released);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_REF_DOUBLE_PUT], ==, 2);
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_USE_AFTER_RELEASE], ==, 1);
	device_get(dev, "somebody", "find");
	g_assert_cmpuint(fixture.sim->findings.count[FINDING_USE_AFTER_RELEASE], ==, 2);
	core_free(&fixture);
}

static void test_a_link_holds_both_until_its_release_runs(void)
{
	struct core_fixture fixture = core_new(no_drivers);
	struct device *consumer = bare_device(fixture.core, "consumer", NULL);
	struct device *supplier = bare_device(fixture.core, "supplier", NULL);
	struct device_link *link;

	device_add(consumer);
	device_add(supplier);
	link = device_link_add(consumer, supplier, LINK_STATELESS);
	g_assert_true(device_link_add(consumer, supplier, LINK_STATELESS) == link);
	g_assert_cmpint(consumer->refs, ==, 3);
	g_assert_cmpint(supplier->refs, ==, 3);
	device_link_del(link);
	g_assert_true(device_link_find(consumer, supplier) == link);
	device_link_del(link);
	g_assert_null(device_link_find(consumer, supplier));
	device_unregister(supplier);
	g_assert_false(supplier->released);
	device_links_flush(fixture.core);
	g_assert_true(supplier->released);
	g_assert_cmpint(consumer->refs, ==, 2);
	g_assert_cmpint(consumer->lookups, ==, 0);
	core_free(&fixture);
}

/* ---- managed links and deferral ---- */

static bool any_match(const struct device_driver *driver, const struct device *dev)
{
	return true;
}

/** "late…" is deferred once, "chained2" until "chained1" is bound, that until "chained0" is. */
static int deferring_probe(struct device *dev)
{
	if (g_str_has_prefix(dev->name, "chained") && dev->name[7] > '0') {
		g_autofree char *before = g_strdup_printf("chained%c", dev->name[7] - 1);

		return device_by_path(dev->core, before)->bound ? 0 : -EPROBE_DEFER;
	}
	return dev->attempts == 1 && g_str_has_prefix(dev->name, "late") ? -EPROBE_DEFER : 0;
}

static const struct device_driver any_driver = {.name = "any", .match = any_match, .probe = deferring_probe};
static const struct device_driver *const any_drivers[] = {&any_driver, NULL};

static void test_a_managed_link_orders_probe_and_unbind(void)
{
	struct core_fixture fixture = core_new(any_drivers);
	struct device *consumer = bare_device(fixture.core, "consumer", NULL);
	struct device *supplier = bare_device(fixture.core, "supplier", NULL);

	device_add(consumer);
	device_add(supplier);
	device_link_add(consumer, supplier, LINK_AUTOREMOVE_SUPPLIER);
	g_assert_cmpint(device_attach(consumer), ==, -EPROBE_DEFER);
	g_assert_cmpint(device_attach(supplier), ==, 0);
	device_settle(fixture.core);
	g_assert_true(consumer->bound);
	g_assert_cmpuint(consumer->attempts, ==, 2);
	device_release_driver(supplier);
	g_assert_false(consumer->bound);
	g_assert_null(device_link_find(consumer, supplier));
	core_free(&fixture);
}

static void test_who_is_deferred_tries_when_another_binds(void)
{
	struct core_fixture fixture = core_new(any_drivers);
	struct device *late = bare_device(fixture.core, "late", NULL);
	struct device *other = bare_device(fixture.core, "other", NULL);

	device_add(late);
	device_add(other);
	g_assert_cmpint(device_attach(late), ==, -EPROBE_DEFER);
	device_settle(fixture.core);
	g_assert_true(late->deferred); /* nobody bound */
	device_attach(other);
	device_settle(fixture.core);
	g_assert_true(late->bound);
	g_assert_false(late->deferred);
	core_free(&fixture);
}

static void test_the_deferred_try_until_nobody_binds(void)
{
	struct core_fixture fixture = core_new(any_drivers);
	struct device *devices[3]; /* on the bus the other way round: each pass binds one */

	for (int i = 2; i >= 0; i--) {
		g_autofree char *name = g_strdup_printf("chained%d", i);

		devices[i] = bare_device(fixture.core, name, NULL);
		device_add(devices[i]);
	}
	for (int i = 2; i >= 0; i--)
		device_attach(devices[i]);
	g_assert_false(devices[2]->bound);
	device_settle(fixture.core);
	g_assert_true(devices[1]->bound);
	g_assert_true(devices[2]->bound);
	core_free(&fixture);
}

/* ---- without nodes: Intel and AMD ---- */

static struct device *x86_iommu(struct device_core *core, const char *name, uint32_t last)
{
	struct device *dev =
		device_new(core, &(struct device_identity){.path = name, .name = name, .rid = last});

	device_add(dev);
	g_assert_cmpint(device_attach(dev), ==, 0);
	return dev;
}

static struct device *function(struct device_core *core, const char *name, uint32_t rid)
{
	struct device *dev = device_new(
		core,
		&(struct device_identity){.path = name, .name = name, .bus = DEVICE_BUS_PCI, .rid = rid});

	device_add(dev);
	return dev;
}

static void x86_run(const char *kind, enum board_profile profile)
{
	struct core_fixture fixture = core_new(platform_drivers);
	g_autofree char *first_name = g_strconcat(kind, "0", NULL),
			*second_name = g_strconcat(kind, "1", NULL);
	struct device *early, *low, *high, *first, *second;
	bool posted = profile == BOARD_AS_POSTED;

	board_set_profile(fixture.sim, profile);
	early = function(fixture.core, "0000:00:01.0", 0x8);
	g_assert_null(early->group);
	first = x86_iommu(fixture.core, first_name, 0xff);
	g_assert_nonnull(early->group); /* the sweep found it */
	second = x86_iommu(fixture.core, second_name, 0xffff);
	low = function(fixture.core, "0000:00:1f.0", 0xf8);
	g_assert_true(low->iommu->iommu == first->drvdata);
	high = function(fixture.core, "0000:80:00.0", 0x8000);
	g_assert_true(high->iommu->iommu == second->drvdata);
	g_assert_cmpint(fixture.sim->findings.count[FINDING_UNINITIALISED], ==, posted ? 3 : 0);
	device_unregister(early);
	device_unregister(low);
	device_unregister(high);
	device_unregister(first);
	device_unregister(second);
	g_assert_cmpuint(ledger_sum(fixture.sim), ==, 0);
	core_free(&fixture);
}

static void test_iommus_without_a_node(void)
{
	static const char *const kinds[] = {"intel-iommu", "amd-iommu"};

	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		for (unsigned profile = 0; profile < BOARD_PROFILES; profile++)
			x86_run(kinds[i], (enum board_profile)profile);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/devtree/device/counts-of-a-family", test_counts_of_a_family);
	g_test_add_func("/devtree/device/lookup-keeps-it-until-put", test_a_lookup_keeps_it_until_put);
	g_test_add_func("/devtree/device/too-many-puts-release-it-in-use",
			test_too_many_puts_release_it_while_in_use);
	g_test_add_func("/devtree/device/link-holds-both-until-released",
			test_a_link_holds_both_until_its_release_runs);
	g_test_add_func("/devtree/device/managed-link-orders-probe-and-unbind",
			test_a_managed_link_orders_probe_and_unbind);
	g_test_add_func("/devtree/device/deferred-tries-when-another-binds",
			test_who_is_deferred_tries_when_another_binds);
	g_test_add_func("/devtree/device/deferred-try-until-nobody-binds",
			test_the_deferred_try_until_nobody_binds);
	g_test_add_func("/devtree/device/iommus-without-a-node", test_iommus_without_a_node);
	return g_test_run();
}
