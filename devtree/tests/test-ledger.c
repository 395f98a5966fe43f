/* SPDX-License-Identifier: MIT */
/*
 * The reference ledger: what is taken and dropped leaves nothing; what is not, is named.
 */
#include <string.h>

#include "devtree/device/ledger.h"

static struct sim *ledger_sim(void)
{
	struct sim *sim = sim_new(1, 1);

	ledger_new(sim);
	return sim;
}

static void ledger_sim_free(struct sim *sim)
{
	ledger_free(sim);
	sim_free(sim);
}

static const struct finding *ledger_finding(const struct sim *sim, guint index)
{
	return g_ptr_array_index(sim->findings.kept, index);
}

static void test_balanced_references_leave_nothing(void)
{
	struct sim *sim = ledger_sim();

	ledger_get(sim, "nvme0", "group 1", "iommu_group_add_device");
	ledger_get(sim, "nvme0", "driver nvme", "really_probe");
	ledger_get(sim, "nvme0", "driver nvme", "nvme_probe");
	ledger_put(sim, "nvme0", "driver nvme", "nvme_remove");
	ledger_put(sim, "nvme0", "group 1", "iommu_group_remove_device");
	ledger_put(sim, "nvme0", "driver nvme", "device_release_driver");
	ledger_report_leaks(sim);
	g_assert_cmpuint(findings_violations(&sim->findings), ==, 0);
	ledger_sim_free(sim);
}

static void test_a_leak_is_named_with_holder_and_site(void)
{
	struct sim *sim = ledger_sim();

	ledger_get(sim, "iommu@1000", "of_xlate", "of_find_device_by_node");
	ledger_get(sim, "iommu@1000", "of_xlate", "of_find_device_by_node");
	ledger_report_leaks(sim);
	g_assert_cmpuint(sim->findings.count[FINDING_REF_LEAK], ==, 1);
	g_assert_cmpstr(ledger_finding(sim, 0)->text, ==, "of_xlate still holds 2 references on iommu@1000");
	g_assert_cmpstr(ledger_finding(sim, 0)->acquired, ==, "of_find_device_by_node");
	ledger_sim_free(sim);
}

static void test_a_put_without_a_get_is_a_double_put(void)
{
	struct sim *sim = ledger_sim();

	ledger_get(sim, "a", "holder", "get");
	ledger_put(sim, "a", "other", "put");
	g_assert_cmpuint(sim->findings.count[FINDING_REF_DOUBLE_PUT], ==, 1);
	ledger_put(sim, "a", "holder", "put");
	ledger_put(sim, "a", "holder", "put");
	g_assert_cmpuint(sim->findings.count[FINDING_REF_DOUBLE_PUT], ==, 2);
	ledger_sim_free(sim);
}

static void check_order(void *data, const struct ledger_entry *entry)
{
	GString *seen = data;

	g_string_append_printf(seen, "%s/%s ", entry->object, entry->holder);
}

static void test_holdings_come_sorted(void)
{
	struct sim *sim = ledger_sim();
	g_autoptr(GString) seen = g_string_new(NULL);

	ledger_get(sim, "b", "x", "s");
	ledger_get(sim, "a", "y", "s");
	ledger_get(sim, "b", "a", "s");
	ledger_get(sim, "a", "b", "s");
	ledger_each(sim, check_order, seen);
	g_assert_cmpstr(seen->str, ==, "a/b a/y b/a b/x ");
	ledger_sim_free(sim);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/devtree/ledger/balanced-leaves-nothing", test_balanced_references_leave_nothing);
	g_test_add_func("/devtree/ledger/leak-is-named", test_a_leak_is_named_with_holder_and_site);
	g_test_add_func("/devtree/ledger/put-without-get", test_a_put_without_a_get_is_a_double_put);
	g_test_add_func("/devtree/ledger/sorted", test_holdings_come_sorted);
	return g_test_run();
}
