/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/facts.h"

#include <string.h>

#include "devtree/fdt/bindings.h"
#include "devtree/fdt/parts.h"
#include "devtree/fdt/populate.h"

/** How often `iommus` entries name an IOMMU. */
struct use {
	uint32_t entries, entries_available; /* of available masters */
	uint32_t masters, masters_available;
	uint32_t last_master; /* index of the node counted last; the root, index 0, stands for none */
};

struct writer {
	const struct devtree *tree;
	GString *out;
	uint64_t items;	     /* of this section */
	struct use *uses;    /* one a node */
	uint32_t *instances; /* one a node: IOMMUs that it names */
};

/* ---- who is what ---- */

bool dt_is_iommu(const struct dt_node *node)
{
	return dt_has(node, "#iommu-cells");
}

bool dt_is_master(const struct dt_node *node)
{
	return dt_has(node, "iommus");
}

static bool is_pci(const struct dt_node *node)
{
	const struct dt_property *type = dt_find_property(node, "device_type");
	uint32_t at = 0;
	const char *text = type ? dt_next_string(type, &at) : NULL;

	return text && strcmp(text, "pci") == 0;
}

bool dt_is_pci_host(const struct dt_node *node)
{
	return is_pci(node) && node->parent && !is_pci(node->parent);
}

bool dt_is_nvme(const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "compatible");
	const char *text;
	uint32_t at = 0;

	while (property && (text = dt_next_string(property, &at)))
		for (const char *found = text; (found = strstr(found, "nvme")); found++)
			if (found[4] != 'm') /* nvmem is another thing */
				return true;
	return false;
}

/* ---- fields ---- */

G_GNUC_PRINTF(2, 3) static void put(struct writer *writer, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_string_append_vprintf(writer->out, format, args);
	va_end(args);
}

/** Whether there is enough text. What may be long is left out from then on, and dt_facts() fails. */
static bool is_full(const struct writer *writer)
{
	return writer->out->len > DT_FACTS_BYTES_MAX;
}

/** Writes @prefix and the node's path. */
static void put_node(struct writer *writer, const char *prefix, const struct dt_node *node)
{
	if (is_full(writer))
		return;
	g_string_append(writer->out, prefix);
	if (node)
		dt_append_path(writer->out, node);
	else
		g_string_append_c(writer->out, '-');
}

/** Writes the strings of @property, with @separator between. */
static void put_strings(struct writer *writer, const struct dt_property *property, const char *separator)
{
	const char *text, *before = "";
	uint32_t at = 0;

	while (property && !is_full(writer) && (text = dt_next_string(property, &at))) {
		g_string_append(writer->out, before);
		dt_append_text(writer->out, text, strlen(text));
		before = separator;
	}
}

static void put_status(struct writer *writer, const struct dt_node *node)
{
	const struct dt_property *status = dt_find_property(node, "status");

	g_string_append(writer->out, " status=");
	if (status)
		put_strings(writer, status, ",");
	else
		g_string_append(writer->out, "okay(default)");
}

static void put_compatible(struct writer *writer, const struct dt_node *node)
{
	g_string_append(writer->out, " compatible=");
	put_strings(writer, dt_find_property(node, "compatible"), ",");
}

static void put_cells(struct writer *writer, const uint32_t *cells, uint32_t count)
{
	g_string_append(writer->out, " [");
	for (uint32_t i = 0; i < count; i++)
		put(writer, "%s0x%x", i ? " " : "", cells[i]);
	g_string_append(writer->out, "]\n");
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

static void put_boot(struct writer *writer, const struct dt_node *node)
{
	static const char *const kinds[] = {
		[DT_DEVICE_NONE] = "no", [DT_DEVICE_PLATFORM] = "platform", [DT_DEVICE_AMBA] = "amba"};
	g_autofree char *name = node->device ? dt_device_name(node) : g_strdup("-");

	put(writer, " avail=%s boot=%s name=%s", yes_no(node->available), kinds[node->device], name);
}

/* ---- sections ---- */

static void write_iommu(struct writer *writer, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_driver_of(node);
	uint32_t cells;

	if (!dt_is_iommu(node))
		return;
	writer->items++;
	put_node(writer, "iommu ", node);
	put(writer, " driver=%s phandle=", driver ? driver->name : "unknown");
	if (node->phandle)
		put(writer, "0x%x", node->phandle);
	else
		put(writer, "-");
	if (dt_read_u32(node, "#iommu-cells", &cells))
		put(writer, " cells=%u", cells);
	else
		put(writer, " cells=-");
	put_status(writer, node);
	put_boot(writer, node);
	put_compatible(writer, node);
	put(writer, "\n");
}

/** Writes one entry of a list. */
static void put_ref(struct writer *writer, const struct dt_ref *ref)
{
	if (ref->error) {
		put(writer, "  error %s", dt_kinds[ref->error].facts);
		if (ref->error == DT_DANGLING_PHANDLE)
			put(writer, " 0x%x", ref->phandle);
		else
			put_node(writer, " ", ref->node);
		put(writer, "\n");
	} else if (!ref->node) {
		put(writer, "  empty\n");
	} else {
		put_node(writer, "  ref ", ref->node);
		put_cells(writer, ref->args, ref->arg_count);
	}
}

/** Notes that @master names @ref's IOMMU. Returns whether that is the first time. */
static bool use_iommu(struct writer *writer, const struct dt_node *master, const struct dt_ref *ref)
{
	struct use *use = &writer->uses[ref->node->index];
	bool first = use->last_master != master->index;

	use->entries++;
	use->entries_available += master->available;
	use->masters += first;
	use->masters_available += first && master->available;
	use->last_master = master->index;
	return first;
}

/** Walks `iommus` of @master. Returns how many IOMMUs it names; writes the entries if there is a writer->out. */
static uint32_t walk_master(struct writer *writer, const struct dt_node *master, uint32_t *ret_entries)
{
	uint32_t instances = 0, entries = 0;
	struct dt_refs refs;
	struct dt_ref ref;

	if (dt_find_property(master, "iommus")->len % 4) {
		put(writer, "  error %s\n", dt_kinds[DT_BAD_LENGTH].facts);
		*ret_entries = 1;
		return 0;
	}
	dt_refs_init(&refs, writer->tree, master, "iommus", "#iommu-cells");
	for (; dt_refs_next(&refs, &ref); entries++) {
		put_ref(writer, &ref);
		if (ref.node && !ref.error)
			instances += use_iommu(writer, master, &ref);
	}
	*ret_entries = entries;
	return instances;
}

static void write_master(struct writer *writer, const struct dt_node *node)
{
	g_autoptr(GString) list = g_string_new(NULL);
	GString *out = writer->out;
	uint32_t entries;

	if (!dt_is_master(node))
		return;
	writer->items++;
	put_node(writer, "master ", node);
	put_status(writer, node);
	put_boot(writer, node);
	writer->out = list;
	writer->instances[node->index] = walk_master(writer, node, &entries);
	writer->out = out;
	put(writer, " entries=%u instances=%u\n", entries, writer->instances[node->index]);
	g_string_append_len(out, list->str, (gssize)list->len);
}

static void write_multi(struct writer *writer, const struct dt_node *node)
{
	if (writer->instances[node->index] < 2)
		return;
	writer->items++;
	put_node(writer, "multi ", node);
	put(writer, "\n");
}

/* ---- iommu-map ---- */

#define RIDS 0x10000 /* requester ids of PCI */

/** What every requester id is translated by: the first entry that holds it. */
struct rid_index {
	uint32_t entry[RIDS];	 /* number of the entry + 1; 0: none */
	uint32_t next[RIDS + 1]; /* from here on, the first id without an entry; a chain that finds shorten */
	bool outside_mask;	 /* a lookup that finds nothing ends at a base outside the mask */
};

static uint32_t rid_next_free(struct rid_index *index, uint32_t rid)
{
	while (index->next[rid] != rid) {
		index->next[rid] = index->next[index->next[rid]];
		rid = index->next[rid];
	}
	return rid;
}

/** The same as dt_map_translate() of each id, at the cost of one walk through the entries. */
static struct rid_index *rid_index_new(const struct dt_map *map)
{
	struct rid_index *index = g_new0(struct rid_index, 1);

	for (uint32_t rid = 0; rid <= RIDS; rid++)
		index->next[rid] = rid;
	for (uint32_t i = 0; i < map->count; i++) {
		struct dt_map_entry entry = dt_map_entry(map, i);
		uint32_t end = MIN((uint32_t)(entry.rid + entry.length), RIDS);

		if (entry.rid & ~map->mask) {
			index->outside_mask = true;
			break;
		}
		for (uint32_t rid = rid_next_free(index, MIN(entry.rid, RIDS)); rid < end;
		     rid = rid_next_free(index, rid)) {
			index->entry[rid] = i + 1;
			index->next[rid] = rid + 1;
		}
	}
	return index;
}

static void put_translation(struct writer *writer, const struct dt_map *map, const struct rid_index *index,
			    uint32_t rid)
{
	uint32_t masked = rid & map->mask;
	struct dt_map_entry entry;

	put(writer, "  xlat rid=0x%x -> ", rid);
	if (map->bad_length) {
		put(writer, "error %s\n", dt_kinds[DT_BAD_LENGTH].facts);
	} else if (!index->entry[masked]) {
		put(writer, index->outside_mask ? "error base-outside-mask\n" : "none\n");
	} else {
		entry = dt_map_entry(map, index->entry[masked] - 1);
		if (!entry.target) {
			put(writer, "error %s\n", dt_kinds[DT_DANGLING_PHANDLE].facts);
			return;
		}
		put_node(writer, "", entry.target);
		put(writer, " id=0x%x\n", masked - entry.rid + entry.id);
	}
}

/** Translates the ids at the edges of each entry, 0 and the highest. */
static void put_translations(struct writer *writer, const struct dt_map *map)
{
	g_autofree struct rid_index *index = rid_index_new(map);
	g_autofree bool *edge = g_new0(bool, RIDS);

	edge[0] = edge[RIDS - 1] = true;
	for (uint32_t i = 0; i < map->count; i++) {
		struct dt_map_entry entry = dt_map_entry(map, i);
		uint32_t end = entry.rid + entry.length;
		uint32_t edges[] = {entry.rid - 1, entry.rid, end - 1, end};

		for (unsigned j = 0; j < G_N_ELEMENTS(edges); j++)
			if (edges[j] < RIDS)
				edge[edges[j]] = true;
	}
	for (uint32_t rid = 0; rid < RIDS; rid++)
		if (edge[rid])
			put_translation(writer, map, index, rid);
}

static void write_host(struct writer *writer, const struct dt_node *node)
{
	struct dt_map map;

	if (!dt_map_init(&map, writer->tree, node))
		return;
	writer->items++;
	put_node(writer, "host ", node);
	put_status(writer, node);
	put(writer, " avail=%s pci=%s mask=", yes_no(node->available), yes_no(is_pci(node)));
	if (map.has_mask)
		put(writer, "0x%x\n", map.mask);
	else
		put(writer, "-\n");
	if (map.bad_length)
		put(writer, "  error %s %u\n", dt_kinds[DT_BAD_LENGTH].facts, map.property->len);
	for (uint32_t i = 0; i < map.count; i++) {
		struct dt_map_entry entry = dt_map_entry(&map, i);

		put(writer, "  map rid=0x%x phandle=0x%x iommu-base=0x%x length=0x%x -> ", entry.rid,
		    entry.phandle, entry.id, entry.length);
		if (entry.target)
			put_node(writer, "", entry.target);
		else
			put(writer, "error %s", dt_kinds[DT_DANGLING_PHANDLE].facts);
		put(writer, "\n");
	}
	put_translations(writer, &map);
}

/* ---- PCI, NVMe, memory ---- */

static void write_pci(struct writer *writer, const struct dt_node *node)
{
	if (!dt_is_pci_host(node))
		return;
	writer->items++;
	put_node(writer, "pci ", node);
	put_status(writer, node);
	put(writer, " avail=%s iommu-map=%s iommus=%s", yes_no(node->available),
	    yes_no(dt_has(node, "iommu-map")), yes_no(dt_is_master(node)));
	put_compatible(writer, node);
	put(writer, "\n");
}

static void write_nvme(struct writer *writer, const struct dt_node *node)
{
	if (!dt_is_nvme(node))
		return;
	writer->items++;
	put_node(writer, "nvme ", node);
	put_status(writer, node);
	put(writer, " iommus=%s", yes_no(dt_is_master(node)));
	put_compatible(writer, node);
	put(writer, "\n");
}

static void write_region(struct writer *writer, const struct dt_node *node)
{
	struct dt_region_walk walk;
	struct dt_region region;

	if (!dt_has(node, "iommu-addresses") || !node->parent ||
	    strcmp(node->parent->name, "reserved-memory") != 0)
		return;
	writer->items++;
	put_node(writer, "region ", node);
	put(writer, " reg=%s", yes_no(dt_has(node, "reg")));
	put_status(writer, node);
	put(writer, "\n");
	dt_region_walk_init(&walk, writer->tree, node);
	while (dt_region_next(&walk, &region)) {
		if (region.error) {
			put(writer, "  error %s\n", dt_kinds[region.error].facts);
			continue;
		}
		put_node(writer, "  resv device=", region.device);
		put(writer, " iova=0x%" G_GINT64_MODIFIER "x size=0x%" G_GINT64_MODIFIER "x\n", region.iova,
		    region.size);
	}
}

static void write_memory(struct writer *writer, const struct dt_node *node)
{
	struct dt_refs refs;
	struct dt_ref ref;

	if (!dt_is_master(node) || !dt_has(node, "memory-region"))
		return;
	writer->items++;
	put_node(writer, "memreg ", node);
	put(writer, " ->");
	dt_refs_init_fixed(&refs, writer->tree, node, "memory-region", 0);
	while (dt_refs_next(&refs, &ref))
		put_node(writer, " ", ref.node);
	put(writer, "\n");
}

/* ---- what some bindings add ---- */

static void write_larbs(struct writer *writer, const struct dt_node *node)
{
	uint32_t count = dt_larb_count(node);

	if (!dt_has(node, "mediatek,larbs"))
		return;
	writer->items++;
	put_node(writer, "m4u ", node);
	put(writer, " count=%u\n", count);
	for (uint32_t i = 0; i < count; i++) {
		struct dt_larb larb = dt_larb(writer->tree, node, i);

		put(writer, "  larb idx=%u", i);
		if (!larb.node) {
			put(writer, " error %s 0x%x\n", dt_kinds[DT_DANGLING_PHANDLE].facts, larb.phandle);
			continue;
		}
		put(writer, " id=%u%s", larb.id, larb.id_default ? "(default)" : "");
		put_node(writer, " ", larb.node);
		put_status(writer, larb.node);
		put_node(writer, " smi=", larb.smi);
		put_node(writer, " smi-common=", larb.smi_common);
		put(writer, "\n");
	}
}

static void put_context(struct writer *writer, const struct dt_node *child)
{
	struct dt_context context = dt_context(child);

	put_node(writer, "  ctx ", child);
	if (context.has_asid)
		put(writer, " asid=%u source=%s", context.asid, context.from_reg ? "reg" : "qcom,ctx-asid");
	else
		put(writer, " asid=- source=-");
	put_compatible(writer, child);
	put(writer, "\n");
}

static void write_contexts(struct writer *writer, const struct dt_node *node)
{
	const struct dt_driver *driver = dt_driver_of(node);
	uint32_t secure_id, count = 0;

	if (!dt_is_iommu(node) || !driver || strcmp(driver->name, "qcom-iommu") != 0)
		return;
	writer->items++;
	put_node(writer, "qcom ", node);
	if (dt_read_u32(node, "qcom,iommu-secure-id", &secure_id))
		put(writer, " secure-id=%u", secure_id);
	else
		put(writer, " secure-id=-");
	for (const struct dt_node *child = node->child; child; child = child->sibling)
		count++;
	put(writer, " contexts=%u\n", count);
	for (const struct dt_node *child = node->child; child; child = child->sibling)
		put_context(writer, child);
}

/** A leaf of Renesas names its root, and what follows is its number there, whatever #iommu-cells says. */
static void write_leaf(struct writer *writer, const struct dt_node *node)
{
	const struct dt_property *property = dt_find_property(node, "renesas,ipmmu-main");

	if (!property)
		return;
	writer->items++;
	put_node(writer, "leaf ", node);
	put_node(writer, " -> ", dt_parse_phandle(writer->tree, node, "renesas,ipmmu-main", 0));
	put(writer, " [");
	for (uint32_t i = 1; i < dt_cell_count(property); i++)
		put(writer, "%s0x%x", i > 1 ? " " : "", dt_cell(property, i));
	put(writer, "]\n");
}

/* ---- summaries ---- */

static void put_disabled(struct writer *writer, const struct dt_node *node)
{
	if (node->available)
		return;
	writer->items++;
	put_node(writer, "disabled ", node);
	put(writer, "\n");
}

static void write_disabled_iommu(struct writer *writer, const struct dt_node *node)
{
	if (dt_is_iommu(node))
		put_disabled(writer, node);
}

static void write_disabled_master(struct writer *writer, const struct dt_node *node)
{
	if (dt_is_master(node))
		put_disabled(writer, node);
}

static void write_use(struct writer *writer, const struct dt_node *node)
{
	const struct use *use = &writer->uses[node->index];

	if (!dt_is_iommu(node))
		return;
	writer->items++;
	put_node(writer, "count ", node);
	put(writer, " %u %u %u %u\n", use->entries, use->entries_available, use->masters,
	    use->masters_available);
}

static void write_duplicate(struct writer *writer, const struct dt_node *node)
{
	if (!node->phandle_reused)
		return;
	writer->items++;
	put(writer, "dup 0x%x", node->phandle);
	put_node(writer, " ", node);
	put(writer, "\n");
}

/* ---- devices ---- */

/** A device and its path, by which they are sorted. */
struct device {
	const struct dt_node *node;
	char *path;
};

static int compare_devices(const void *a, const void *b)
{
	return strcmp(((const struct device *)a)->path, ((const struct device *)b)->path);
}

static void write_devices(struct writer *writer)
{
	g_autoptr(GArray) devices = g_array_new(FALSE, FALSE, sizeof(struct device));
	size_t bytes = 0;

	for (uint32_t i = 0; i < writer->tree->node_count && bytes <= DT_FACTS_BYTES_MAX; i++) {
		struct device device = {&writer->tree->nodes[i], NULL};

		if (device.node->device == DT_DEVICE_NONE)
			continue;
		device.path = dt_node_path(device.node);
		bytes += strlen(device.path);
		g_array_append_val(devices, device);
	}
	g_array_sort(devices, compare_devices);
	for (guint i = 0; i < devices->len; i++) {
		struct device *device = &g_array_index(devices, struct device, i);
		g_autofree char *name = NULL;

		if (!is_full(writer)) {
			name = dt_device_name(device->node);
			put(writer, "dev %s %s %s\n",
			    device->node->device == DT_DEVICE_AMBA ? "amba" : "platform", name, device->path);
		}
		g_free(device->path);
		writer->items++;
	}
}

/* ---- the whole ---- */

typedef void (*write_fn)(struct writer *writer, const struct dt_node *node);

/** In the order of the file. Each function is handed every node in turn; no function: the devices. */
static const struct {
	const char *title;
	write_fn first, second;
} sections[] = {
	{"iommus", write_iommu, NULL},
	{"masters", write_master, NULL},
	{"multi-instance-masters", write_multi, NULL},
	{"iommu-map", write_host, NULL},
	{"pci-hosts", write_pci, NULL},
	{"nvme", write_nvme, NULL},
	{"iommu-addresses", write_region, NULL},
	{"masters-with-memory-region", write_memory, NULL},
	{"mediatek-larbs", write_larbs, NULL},
	{"qcom-contexts", write_contexts, NULL},
	{"ipmmu-main", write_leaf, NULL},
	{"disabled-iommus-and-masters", write_disabled_iommu, write_disabled_master},
	{"iommu-use", write_use, NULL},
	{"boot-devices", NULL, NULL},
	{"duplicate-phandles", write_duplicate, NULL},
};

/** Hands every node to @write, as long as the text stays in bounds. */
static void write_nodes(struct writer *writer, write_fn write)
{
	for (uint32_t i = 0; i < writer->tree->node_count && !is_full(writer); i++)
		write(writer, &writer->tree->nodes[i]);
}

bool dt_facts(const struct devtree *tree, const char *name, GString *out)
{
	g_autofree struct use *uses = g_new0(struct use, tree->node_count);
	g_autofree uint32_t *instances = g_new0(uint32_t, tree->node_count);
	struct writer writer = {.tree = tree, .out = out, .uses = uses, .instances = instances};

	put(&writer, "golden devtree facts v1\ndtb %s\nboard ", name);
	put_strings(&writer, dt_find_property(&tree->nodes[0], "compatible"), " ");
	put(&writer, "\nnodes %u\n", tree->node_count);
	for (unsigned i = 0; i < G_N_ELEMENTS(sections) && out->len <= DT_FACTS_BYTES_MAX; i++) {
		g_autoptr(GString) body = g_string_new(NULL);

		writer.out = body;
		writer.items = 0;
		if (sections[i].first)
			write_nodes(&writer, sections[i].first);
		else
			write_devices(&writer);
		if (sections[i].second)
			write_nodes(&writer, sections[i].second);
		writer.out = out;
		put(&writer, "\n[%s] %" G_GUINT64_FORMAT "\n", sections[i].title, writer.items);
		g_string_append_len(out, body->str, (gssize)body->len);
	}
	return out->len <= DT_FACTS_BYTES_MAX;
}
