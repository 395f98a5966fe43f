/* SPDX-License-Identifier: MIT */
#include "devtree/device/snapshot.h"

#include <string.h>

#include "devtree/device/device.h"
#include "devtree/device/iommu-core.h"
#include "sim/core/text.h"

static const char *yes_no(bool value)
{
	return value ? "yes" : "no";
}

/** Returns which of the devices called so far as @dev this one is: a device that was removed and made again has the same path. */
static unsigned device_number(GHashTable *numbers, const char *key)
{
	unsigned number = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, key)) + 1;

	g_hash_table_insert(numbers, g_strdup(key), GUINT_TO_POINTER(number));
	return number;
}

static const char *device_state(const struct device *dev)
{
	if (dev->bound)
		return "bound";
	return dev->deferred ? "deferred" : "unbound";
}

static void write_ids(struct snapshot_writer *writer, const struct iommu_fwspec *fwspec)
{
	g_autoptr(GString) text = g_string_new(NULL);

	for (guint i = 0; i < fwspec->ids->len && text->len < 256; i++)
		g_string_append_printf(text, "%s0x%x", i ? "," : "", g_array_index(fwspec->ids, uint32_t, i));
	snapshot_text(writer, "ids", text->len ? text->str : "none");
}

static void write_device(struct snapshot_writer *writer, const struct device *dev, unsigned number)
{
	/* One that is off its bus is there because of who holds it, and for nothing else. */
	snapshot_fact(writer, dev->added ? "device" : "removed");
	snapshot_text(writer, "path", dev->path);
	snapshot_hex(writer, "number", number, 4);
	if (dev->added)
		snapshot_text(writer, "state", device_state(dev));
	if (dev->driver)
		snapshot_text(writer, "driver", dev->driver->name);
	if (dev->parent && dev->added)
		snapshot_text(writer, "parent", dev->parent->path);
	snapshot_u64(writer, "refs", (uint64_t)MAX(dev->refs, 0));
	if (dev->error) {
		g_autofree char *error = g_strdup_printf("%d", -dev->error);

		snapshot_text(writer, "error", error);
	}
	if (dev->iommu && dev->iommu->iommu && dev->iommu->iommu->dev)
		snapshot_text(writer, "iommu", dev->iommu->iommu->dev->path);
	if (dev->iommu && dev->iommu->fwspec)
		write_ids(writer, dev->iommu->fwspec);
	if (dev->group)
		snapshot_u64(writer, "group", dev->group->id);
}

static void write_link(struct snapshot_writer *writer, const struct device_link *link, unsigned number)
{
	snapshot_fact(writer, "link");
	snapshot_text(writer, "consumer", link->consumer->path);
	snapshot_text(writer, "supplier", link->supplier->path);
	snapshot_hex(writer, "number", number, 4);
	snapshot_u64(writer, "refs", link->refs);
	snapshot_text(writer, "state", link->gone ? "going" : "linked");
}

static void write_iommu(struct snapshot_writer *writer, const struct iommu_device *iommu)
{
	snapshot_fact(writer, "iommu");
	snapshot_text(writer, "path", iommu->dev->path);
	snapshot_text(writer, "driver", iommu->ops->name);
	snapshot_text(writer, "ready", yes_no(iommu->ready));
	snapshot_text(writer, "sysfs", yes_no(iommu->sysfs));
}

static void write_group(struct snapshot_writer *writer, const struct iommu_group *group)
{
	snapshot_fact(writer, "group");
	snapshot_hex(writer, "id", group->id, 4);
	snapshot_u64(writer, "members", group->members);
	snapshot_u64(writer, "refs", (uint64_t)group->refs);
	snapshot_text(writer, "default_domain", yes_no(group->has_default_domain));
}

/** Those that are linked, or, @gone, those that are not and still hold their devices. */
static void write_links(struct snapshot_writer *writer, const GPtrArray *links, bool gone,
			GHashTable *numbers)
{
	for (guint i = 0; i < links->len; i++) {
		const struct device_link *link = g_ptr_array_index(links, i);
		g_autofree char *key = NULL;

		if (link->gone != gone)
			continue;
		key = g_strdup_printf("%s\n%s", link->consumer->path, link->supplier->path);
		write_link(writer, link, device_number(numbers, key));
	}
}

static void device_write(struct snapshot_writer *writer, struct sim *sim, void *data)
{
	const struct device_core *core = data;
	g_autoptr(GHashTable) numbers = NULL;

	if (!core)
		return;
	numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	for (guint i = 0; i < core->devices->len; i++) {
		const struct device *dev = g_ptr_array_index(core->devices, i);
		unsigned number = device_number(numbers, dev->path);

		if (!dev->released || dev->refs)
			write_device(writer, dev, number);
	}
	write_links(writer, core->links, false, numbers);
	write_links(writer, core->link_work, true, numbers);
	for (guint i = 0; i < core->iommus->len; i++)
		write_iommu(writer, g_ptr_array_index(core->iommus, i));
	for (guint i = 0; i < core->groups->len; i++) {
		const struct iommu_group *group = g_ptr_array_index(core->groups, i);

		if (group->refs || group->members)
			write_group(writer, group);
	}
}

/* How many references there are is told by who holds them. */
static const char *const refs_unseen[] = {"refs", NULL};

static const struct snapshot_noun device_nouns[] = {
	{.name = "device",
	 .keys = {"path", "number"},
	 .unseen = refs_unseen,
	 .added = "device added",
	 .removed = "device removed",
	 .changed = "device changed",
	 .field_changed = (const char *const[]){"state=bound", "device bound", "state=deferred",
						"device deferred", "state", "device no longer bound", "iommu",
						"device behind another IOMMU", "group",
						"device in another group", NULL}},
	{.name = "group",
	 .keys = {"id"},
	 .unseen = refs_unseen,
	 .added = "group added",
	 .removed = "group removed",
	 .changed = "group changed"},
	{.name = "iommu",
	 .keys = {"path"},
	 .added = "IOMMU registered",
	 .removed = "IOMMU no longer registered",
	 .changed = "IOMMU changed"},
	{.name = "link",
	 .keys = {"consumer", "supplier", "number"},
	 .unseen = refs_unseen,
	 .added = "device link added",
	 .removed = "device link removed",
	 .changed = "device link changed"},
	{.name = "removed",
	 .keys = {"path", "number"},
	 .unseen = refs_unseen,
	 .added = "removed device still held",
	 .removed = "removed device no longer held",
	 .changed = "removed device changed"},
	{0},
};

#define EXISTS(of, field_name, in, in_field, what)                                           \
	{                                                                                    \
		.kind = SNAPSHOT_VALUE_EXISTS, .noun = of, .field = field_name, .other = in, \
		.other_field = in_field, .says = what                                        \
	}

static const struct snapshot_rule device_rules[] = {
	EXISTS("device", "parent", "device", "path", "device of a parent that does not exist"),
	EXISTS("device", "iommu", "device", "path", "device behind an IOMMU that does not exist"),
	EXISTS("iommu", "path", "device", "path", "IOMMU that is no device"),
	EXISTS("link", "consumer", "device", "path", "link of a consumer that does not exist"),
	EXISTS("link", "supplier", "device", "path", "link to a supplier that does not exist"),
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "device",
	 .field = "state",
	 .other_field = "bound,deferred,unbound",
	 .says = "device in no state"},
	{.kind = SNAPSHOT_ONE_OF,
	 .noun = "link",
	 .field = "state",
	 .other_field = "linked,going",
	 .says = "link in no state"},
	{0},
};

/** A count that holders must make up, or members. */
struct counted {
	uint64_t said, found;
	uint64_t line;
};

struct device_judge {
	GHashTable *refs;    /* object of the ledger -> struct counted: devices and groups */
	GHashTable *members; /* group -> struct counted */
};

static struct counted *counted_at(GHashTable **table, const char *key)
{
	struct counted *counted;

	if (!*table)
		*table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	counted = g_hash_table_lookup(*table, key);
	if (!counted) {
		counted = g_new0(struct counted, 1);
		g_hash_table_insert(*table, g_strdup(key), counted);
	}
	return counted;
}

static void counted_say(struct counted *counted, const struct snapshot_line *line, const char *field)
{
	const char *text = snapshot_line_get(line, field);
	uint64_t number;

	counted->line = line->number;
	if (text && text_parse_u64(text, &number))
		counted->said += number;
}

static void judge_device(struct device_judge *judge, const struct snapshot_line *line)
{
	const char *group = snapshot_line_get(line, "group");

	counted_say(counted_at(&judge->refs, snapshot_line_get(line, "path")), line, "refs");
	if (group)
		counted_at(&judge->members, group)->found++;
}

static void judge_group(struct device_judge *judge, const struct snapshot_line *line)
{
	uint64_t id;

	if (text_parse_u64(snapshot_line_get(line, "id"), &id)) {
		g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, id);
		g_autofree char *object = g_strdup_printf("group%%20%s", number);

		counted_say(counted_at(&judge->refs, object), line, "refs");
		counted_say(counted_at(&judge->members, number), line, "members");
	}
}

/** Of objects that [device] does not know (nodes, modules, controllers without a board) nobody counts. */
static void judge_reference(struct device_judge *judge, const struct snapshot_line *line)
{
	const char *count = snapshot_line_get(line, "count");
	struct counted *counted =
		judge->refs ? g_hash_table_lookup(judge->refs, snapshot_line_get(line, "object")) : NULL;
	uint64_t number;

	if (counted && count && text_parse_u64(count, &number))
		counted->found += number;
}

static void judge_fact(void *state, struct snapshot_checker *checker, const struct snapshot_line *line)
{
	bool device = strcmp(line->section, "device") == 0;

	if (device && (strcmp(line->noun, "device") == 0 || strcmp(line->noun, "removed") == 0))
		judge_device(state, line);
	else if (device && strcmp(line->noun, "group") == 0)
		judge_group(state, line);
	else if (strcmp(line->section, "reference") == 0 && strcmp(line->noun, "ref") == 0)
		judge_reference(state, line);
}

static void judge_counts(GHashTable *table, struct snapshot_checker *checker, const char *what,
			 const char *whose)
{
	GHashTableIter iter;
	void *key, *value;

	if (!table)
		return;
	g_hash_table_iter_init(&iter, table);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		const struct counted *counted = value;

		if (counted->line && counted->said != counted->found)
			snapshot_misfit(checker, counted->line,
					"%" G_GUINT64_FORMAT " %s, of which %" G_GUINT64_FORMAT " %s",
					counted->said, what, counted->found, whose);
	}
}

static void judge_end(void *state, struct snapshot_checker *checker)
{
	const struct device_judge *judge = state;

	judge_counts(judge->refs, checker, "references", "have a holder");
	judge_counts(judge->members, checker, "members", "are there");
}

static void judge_finish(void *state)
{
	struct device_judge *judge = state;

	g_clear_pointer(&judge->refs, g_hash_table_unref);
	g_clear_pointer(&judge->members, g_hash_table_unref);
}

static const struct snapshot_judge device_judge = {sizeof(struct device_judge), judge_fact, judge_end,
						   judge_finish};

const struct snapshot_section device_section = {"device", device_nouns, device_write, device_rules,
						&device_judge};
