/* SPDX-License-Identifier: MIT */
#include "devtree/device/ledger.h"

#include <string.h>

struct ledger {
	GPtrArray *entries; /* of struct ledger_entry, sorted by object and holder */
};

static void ledger_entry_free(void *data)
{
	struct ledger_entry *entry = data;

	g_free(entry->object);
	g_free(entry->holder);
	g_free(entry->site);
	g_free(entry);
}

void ledger_new(struct sim *sim)
{
	sim->ledger = g_new(struct ledger, 1);
	sim->ledger->entries = g_ptr_array_new_with_free_func(ledger_entry_free);
}

void ledger_free(struct sim *sim)
{
	if (!sim->ledger)
		return;
	g_ptr_array_unref(sim->ledger->entries);
	g_clear_pointer(&sim->ledger, g_free);
}

/** Returns where (@object, @holder) is, or would be put; *@ret_found tells which. */
static guint ledger_place(const struct ledger *ledger, const char *object, const char *holder,
			  bool *ret_found)
{
	guint low = 0, high = ledger->entries->len;

	while (low < high) {
		guint middle = (low + high) / 2;
		const struct ledger_entry *entry = g_ptr_array_index(ledger->entries, middle);
		int order = strcmp(object, entry->object);

		if (order == 0)
			order = strcmp(holder, entry->holder);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_found = false;
	return low;
}

void ledger_get(struct sim *sim, const char *object, const char *holder, const char *site)
{
	bool found;
	guint place = ledger_place(sim->ledger, object, holder, &found);

	SIM_ANNOUNCE(sim, ref_get, object, holder);
	if (!found) {
		struct ledger_entry *entry = g_new0(struct ledger_entry, 1);

		entry->object = g_strdup(object);
		entry->holder = g_strdup(holder);
		entry->site = g_strdup(site);
		entry->time_ns = sim->now_ns;
		entry->cpu = sim->cpu;
		g_ptr_array_insert(sim->ledger->entries, (gint)place, entry);
	}
	((struct ledger_entry *)g_ptr_array_index(sim->ledger->entries, place))->count++;
}

void ledger_put(struct sim *sim, const char *object, const char *holder, const char *site)
{
	bool found;
	guint place = ledger_place(sim->ledger, object, holder, &found);

	SIM_ANNOUNCE(sim, ref_put, object, holder);
	if (!found) {
		sim_find(sim, FINDING_REF_DOUBLE_PUT, NULL,
			 "%s drops a reference on %s in %s that it does not hold", holder, object, site);
		return;
	}
	if (--((struct ledger_entry *)g_ptr_array_index(sim->ledger->entries, place))->count == 0)
		g_ptr_array_remove_index(sim->ledger->entries, place);
}

void ledger_each(const struct sim *sim, void (*fn)(void *data, const struct ledger_entry *entry), void *data)
{
	for (guint i = 0; i < sim->ledger->entries->len; i++)
		fn(data, g_ptr_array_index(sim->ledger->entries, i));
}

static void ledger_report_one(void *data, const struct ledger_entry *entry)
{
	sim_find(data, FINDING_REF_LEAK, entry->site, "%s still holds %u reference%s on %s", entry->holder,
		 entry->count, entry->count == 1 ? "" : "s", entry->object);
}

void ledger_report_leaks(struct sim *sim)
{
	ledger_each(sim, ledger_report_one, sim);
}

/* ---- snapshot ---- */

static void ledger_write_one(void *data, const struct ledger_entry *entry)
{
	struct snapshot_writer *writer = data;

	snapshot_fact(writer, "ref");
	snapshot_text(writer, "object", entry->object);
	snapshot_text(writer, "holder", entry->holder);
	snapshot_u64(writer, "count", entry->count);
	snapshot_text(writer, "site", entry->site);
}

static void ledger_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	ledger_each(sim, ledger_write_one, writer);
}

static const struct snapshot_noun ledger_nouns[] = {
	{.name = "ref",
	 .keys = {"object", "holder"},
	 .added = "reference gained by {holder}",
	 .removed = "reference dropped by {holder}",
	 .changed = "references of {holder} changed"},
	{0},
};

const struct snapshot_section ledger_section = {"reference", ledger_nouns, ledger_write, NULL};
