/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/tree.h"

#include <libfdt.h>
#include <string.h>

#include "devtree/fdt/populate.h"
#include "sim/core/error.h"
#include "sim/io/input.h"
#include "sim/io/kind.h"

const struct dt_kind_info dt_kinds[DT_KINDS] = {
	[DT_FINE] = {"fine", NULL, DT_LAYER_NONE, false},
	[DT_TRUNCATED] = {"truncated", NULL, DT_LAYER_BLOB, false},
	[DT_BAD_MAGIC] = {"bad-magic", NULL, DT_LAYER_BLOB, false},
	[DT_BAD_OFFSET] = {"bad-offset", NULL, DT_LAYER_BLOB, false},
	[DT_BAD_VERSION] = {"bad-version", NULL, DT_LAYER_BLOB, false},
	[DT_BAD_STRUCTURE] = {"bad-structure", NULL, DT_LAYER_BLOB, false},
	[DT_DUPLICATE_PHANDLE] = {"duplicate-phandle", "dup", DT_LAYER_TREE, false},
	[DT_TOO_DEEP] = {"too-deep", NULL, DT_LAYER_TREE, false},
	[DT_DANGLING_PHANDLE] = {"dangling-phandle", "dangling-phandle", DT_LAYER_BINDING, false},
	[DT_MISSING_CELLS] = {"missing-iommu-cells", "no-cells", DT_LAYER_BINDING, false},
	[DT_BAD_CELL_COUNT] = {"bad-cell-count", "short-args", DT_LAYER_BINDING, false},
	[DT_BAD_LENGTH] = {"bad-length", "bad-length", DT_LAYER_BINDING, false},
	[DT_BASE_OUTSIDE_MASK] = {"base-outside-mask", "base-outside-mask", DT_LAYER_BINDING, false},
	[DT_PHANDLE_CYCLE] = {"phandle-cycle", NULL, DT_LAYER_BINDING, false},
	[DT_MAP_OVERLAP] = {"map-overlap", NULL, DT_LAYER_BINDING, true},
	[DT_WRONG_CELL_COUNT] = {"wrong-cell-count", NULL, DT_LAYER_DRIVER, false},
	[DT_LARB_COUNT] = {"larb-count", NULL, DT_LAYER_DRIVER, false},
	[DT_LARB_ID_RANGE] = {"larb-id-range", NULL, DT_LAYER_DRIVER, false},
	[DT_LARB_ID_DUPLICATE] = {"larb-id-duplicate", NULL, DT_LAYER_DRIVER, false},
	[DT_ASID_RANGE] = {"asid-range", NULL, DT_LAYER_DRIVER, false},
	[DT_MISSING_REG] = {"missing-reg", NULL, DT_LAYER_DRIVER, false},
};

/* ---- the blob ---- */

#define HEADER_V1_BYTES 28 /* what every version has: up to and with last_comp_version */
#define NAME_BYTES_MAX \
	1023 /* of a property; the specification has 31. Reading a name costs its length each time */

/** Where in the header a field stands. */
#define FIELD(name) offsetof(struct fdt_header, name)

struct blob_problem {
	enum dt_kind kind;
	uint64_t offset;
	const char *text;
};

/** Whether @bytes from @offset on lie between header and end. */
static bool blob_holds(const void *blob, uint32_t offset, uint32_t bytes)
{
	uint32_t total = fdt_totalsize(blob);

	return offset >= fdt_header_size(blob) && offset <= total && bytes <= total - offset;
}

/** Checks all that the header says of @size bytes at @blob. Returns false with the first thing that is wrong. */
static bool blob_check_header(const void *blob, size_t size, struct blob_problem *ret_problem)
{
	uint32_t strings_bytes, struct_bytes, version;

#define REFUSE(...) return *ret_problem = (struct blob_problem){__VA_ARGS__}, false
	if (size < FIELD(totalsize))
		REFUSE(DT_TRUNCATED, size, "the file ends before the first word of a device tree does");
	if (fdt_magic(blob) != FDT_MAGIC)
		REFUSE(DT_BAD_MAGIC, 0, "no device tree blob: it does not begin with d00dfeed");
	if (size < HEADER_V1_BYTES)
		REFUSE(DT_TRUNCATED, size, "the file ends inside the header");
	version = fdt_version(blob);
	if (version < FDT_FIRST_SUPPORTED_VERSION)
		REFUSE(DT_BAD_VERSION, FIELD(version), "the blob's version is older than libfdt reads");
	if (fdt_last_comp_version(blob) > FDT_LAST_SUPPORTED_VERSION)
		REFUSE(DT_BAD_VERSION, FIELD(last_comp_version),
		       "the blob's version is newer than libfdt reads");
	if (version < fdt_last_comp_version(blob))
		REFUSE(DT_BAD_VERSION, FIELD(version),
		       "the blob's version is older than what it is compatible with");
	if (size < fdt_header_size(blob))
		REFUSE(DT_TRUNCATED, size, "the file ends inside the header");
	if (fdt_totalsize(blob) > size)
		REFUSE(DT_TRUNCATED, size, "the file is shorter than the size that its header announces");
	if (fdt_totalsize(blob) < fdt_header_size(blob))
		REFUSE(DT_TRUNCATED, FIELD(totalsize), "the announced size is smaller than the header");
	strings_bytes = version >= 3 ? fdt_size_dt_strings(blob) : 0;
	struct_bytes = version >= 17 ? fdt_size_dt_struct(blob) : 0;
	if (!blob_holds(blob, fdt_off_mem_rsvmap(blob), 0))
		REFUSE(DT_BAD_OFFSET, FIELD(off_mem_rsvmap),
		       "the list of memory reservations lies outside the blob");
	if (!blob_holds(blob, fdt_off_dt_struct(blob), struct_bytes))
		REFUSE(DT_BAD_OFFSET, FIELD(off_dt_struct), "the structure block lies outside the blob");
	if (!blob_holds(blob, fdt_off_dt_strings(blob), strings_bytes))
		REFUSE(DT_BAD_OFFSET, FIELD(off_dt_strings), "the strings block lies outside the blob");
#undef REFUSE
	return true;
}

/** Whether no name in the strings block is longer than NAME_BYTES_MAX. */
static bool blob_names_are_short(const uint8_t *blob)
{
	uint32_t first = fdt_off_dt_strings(blob);
	uint32_t end = fdt_version(blob) >= 3 ? first + fdt_size_dt_strings(blob) : fdt_totalsize(blob);
	uint32_t run = 0;

	for (uint32_t i = first; i < end; i++) {
		run = blob[i] ? run + 1 : 0;
		if (run > NAME_BYTES_MAX)
			return false;
	}
	return true;
}

/** Returns the offset, from the start of the blob, of the first tag that cannot be read or stands in the wrong place. */
static uint64_t blob_bad_tag(const void *blob)
{
	int offset = 0, next, depth = 0;

	for (;; offset = next) {
		const char *name;
		int len;
		uint32_t tag = fdt_next_tag(blob, offset, &next);

		if (next < 0 || tag == FDT_END)
			break;
		if (tag == FDT_PROP && !fdt_getprop_by_offset(blob, offset, &name, &len))
			break;
		depth += tag == FDT_BEGIN_NODE ? 1 : tag == FDT_END_NODE ? -1 : 0;
		if (depth < 0)
			break;
	}
	return (uint64_t)fdt_off_dt_struct(blob) + (unsigned)offset;
}

/** Before version 16 a node's name was its path, and libfdt's full check takes for granted that each has a slash. Returns
 *  false, with the offset of the node, where one has none. */
static bool blob_names_are_paths(const void *blob, uint64_t *reterr_offset)
{
	int offset = 0, next;

	if (fdt_version(blob) >= 16)
		return true;
	for (;; offset = next) {
		uint32_t tag = fdt_next_tag(blob, offset, &next);

		if (next < 0 || tag == FDT_END)
			return true; /* damage of another kind is for the full check */
		if (tag == FDT_BEGIN_NODE && !fdt_get_name(blob, offset, NULL))
			break;
	}
	*reterr_offset = (uint64_t)fdt_off_dt_struct(blob) + (unsigned)offset;
	return false;
}

static bool blob_check(const void *blob, size_t size, struct blob_problem *ret_problem)
{
	uint64_t offset;

	if (!blob_check_header(blob, size, ret_problem))
		return false;
	if (!blob_names_are_short(blob)) {
		*ret_problem = (struct blob_problem){DT_BAD_STRUCTURE, fdt_off_dt_strings(blob),
						     "the name of a property is longer than 1023 bytes"};
		return false;
	}
	if (!blob_names_are_paths(blob, &offset)) {
		*ret_problem = (struct blob_problem){
			DT_BAD_STRUCTURE, offset,
			"a node's name has no slash, as names of the blob's version have"};
		return false;
	}
	if (fdt_check_full(blob, size) != 0) {
		*ret_problem = (struct blob_problem){DT_BAD_STRUCTURE, blob_bad_tag(blob),
						     "a token, length or name leaves its block here"};
		return false;
	}
	return true;
}

/* ---- from the blob to nodes ---- */

/** Counts nodes and properties. Returns false, with the offset of the tag, where there is not exactly one root. */
static bool tree_count(const void *blob, uint32_t *ret_nodes, uint32_t *ret_properties,
		       uint64_t *reterr_offset)
{
	uint32_t nodes = 0, properties = 0, depth = 0;
	int offset = 0, next;

	for (;; offset = next) {
		uint32_t tag = fdt_next_tag(blob, offset, &next);

		if (tag == FDT_END)
			break;
		if (depth == 0 && tag != FDT_NOP && (tag != FDT_BEGIN_NODE || nodes))
			goto not_one_root;
		nodes += tag == FDT_BEGIN_NODE;
		properties += tag == FDT_PROP;
		depth += tag == FDT_BEGIN_NODE;
		depth -= tag == FDT_END_NODE;
	}
	if (!nodes)
		goto not_one_root;
	*ret_nodes = nodes;
	*ret_properties = properties;
	return true;

not_one_root:
	*reterr_offset = (uint64_t)fdt_off_dt_struct(blob) + (unsigned)offset;
	return false;
}

/** Takes @property as the phandle of @node, if it is one. */
static void node_take_phandle(struct dt_node *node, const struct dt_property *property)
{
	if (property->len < 4)
		return;
	if (strcmp(property->name, "phandle") == 0 || strcmp(property->name, "linux,phandle") == 0) {
		if (!node->phandle)
			node->phandle = dt_cell(property, 0);
	} else if (strcmp(property->name, "ibm,phandle") == 0) {
		node->phandle = dt_cell(property, 0);
	}
}

/** Appends a node that begins at @offset as the last child of @parent, whose youngest child so far is @before. */
static struct dt_node *tree_add_node(struct devtree *tree, int offset, struct dt_node *parent,
				     struct dt_node *before)
{
	struct dt_node *node = &tree->nodes[tree->node_count];

	node->index = tree->node_count++;
	node->name = fdt_get_name(tree->blob, offset, NULL);
	g_assert(node->name);
	node->parent = parent;
	if (parent) {
		node->depth = parent->depth + 1;
		*(before ? &before->sibling : &parent->child) = node;
	}
	return node;
}

/** Fills nodes and properties. Properties that follow a child are no part of the node: so do libfdt and Linux have it. */
static void tree_fill(struct devtree *tree)
{
	struct dt_property *property = tree->properties;
	struct dt_node *node = NULL, *ended = NULL;
	int offset = 0, next;

	for (;; offset = next) {
		uint32_t tag = fdt_next_tag(tree->blob, offset, &next);
		int len;

		if (tag == FDT_END)
			return;
		if (tag == FDT_BEGIN_NODE) {
			node = tree_add_node(tree, offset, node, ended);
			node->properties = property;
			ended = NULL;
		} else if (tag == FDT_END_NODE) {
			ended = node;
			node = node->parent;
		} else if (tag == FDT_PROP && !node->child) {
			property->value = fdt_getprop_by_offset(tree->blob, offset, &property->name, &len);
			g_assert(property->value);
			property->len = (uint32_t)len;
			node_take_phandle(node, property);
			node->property_count++;
			property++;
		}
	}
}

static bool status_okay(const struct dt_node *node)
{
	const struct dt_property *status = dt_find_property(node, "status");
	uint32_t at = 0;
	const char *text;

	if (!status)
		return true;
	text = dt_next_string(status, &at);
	return text && (strcmp(text, "okay") == 0 || strcmp(text, "ok") == 0);
}

#define INDEXED_PROPERTIES 64 /* no board has more, a hostile one may have any number */

static void node_index_properties(struct dt_node *node)
{
	node->by_name = g_hash_table_new(g_str_hash, g_str_equal);
	for (uint32_t i = node->property_count; i > 0; i--) /* the first of a name stays */
		g_hash_table_insert(node->by_name, (char *)node->properties[i - 1].name,
				    (struct dt_property *)&node->properties[i - 1]);
}

/** Sets what a node has from others: phandles are unique, availability is that of all ancestors. */
static void tree_resolve(struct devtree *tree)
{
	tree->phandles = g_hash_table_new(NULL, NULL);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		struct dt_node *node = &tree->nodes[i];

		if (node->property_count > INDEXED_PROPERTIES)
			node_index_properties(node);
		node->status_okay = status_okay(node);
		node->available = node->status_okay && (!node->parent || node->parent->available);
		node->address_cells = node->parent ? node->parent->address_cells : 1;
		dt_read_u32(node, "#address-cells", &node->address_cells);
		node->size_cells = node->parent ? node->parent->size_cells : 1;
		dt_read_u32(node, "#size-cells", &node->size_cells);
		if (!node->phandle)
			continue;
		if (g_hash_table_contains(tree->phandles, GUINT_TO_POINTER(node->phandle)))
			node->phandle_reused = true;
		else
			g_hash_table_insert(tree->phandles, GUINT_TO_POINTER(node->phandle), node);
	}
	dt_populate(tree);
}

struct devtree *devtree_parse(const char *name, const void *blob, size_t size, enum dt_kind *reterr_kind,
			      GError **error)
{
	struct blob_problem problem = {DT_BAD_STRUCTURE, 0, "there is not exactly one root node"};
	uint32_t nodes, properties;
	struct devtree *tree;
	uint8_t *copy = g_memdup2(blob, size); /* libfdt wants it aligned */

	if (!blob_check(copy, size, &problem) || !tree_count(copy, &nodes, &properties, &problem.offset)) {
		const char *file = problem.kind == DT_BAD_MAGIC ? kind_of_file(copy, size) : NULL;

		if (reterr_kind)
			*reterr_kind = problem.kind;
		sim_error_offset(error, name, problem.offset, "%s: %s%s%s", dt_kinds[problem.kind].name, problem.text,
				 file ? "; it is " : "", file ? file : "");
		g_free(copy);
		return NULL;
	}
	tree = g_new0(struct devtree, 1);
	tree->name = g_strdup(name);
	tree->blob = copy;
	tree->nodes = g_new0(struct dt_node, nodes);
	tree->properties = g_new0(struct dt_property, properties);
	tree_fill(tree);
	g_assert(tree->node_count == nodes);
	tree_resolve(tree);
	return tree;
}

struct devtree *devtree_load(const char *path, enum dt_kind *reterr_kind, GError **error)
{
	g_autoptr(GByteArray) blob = g_byte_array_new();
	struct input *input = input_open(path, error);
	const uint8_t *bytes;
	ssize_t got = 0;

	if (reterr_kind)
		*reterr_kind = DT_FINE;
	if (!input)
		return NULL;
	while (blob->len < DT_BLOB_BYTES_MAX && (got = input_peek(input, 64 << 10, &bytes, error)) > 0) {
		g_byte_array_append(blob, bytes, (guint)got);
		input_skip(input, (size_t)got);
	}
	input_close(input);
	if (got < 0)
		return NULL;
	if (blob->len >= DT_BLOB_BYTES_MAX && fdt_magic(blob->data) == FDT_MAGIC &&
	    fdt_totalsize(blob->data) > DT_BLOB_BYTES_MAX) {
		sim_error_offset(error, path, FIELD(totalsize),
				 "a device tree of %u bytes: at most %u are read", fdt_totalsize(blob->data),
				 DT_BLOB_BYTES_MAX);
		return NULL;
	}
	return devtree_parse(path, blob->data, blob->len, reterr_kind, error);
}

void devtree_free(struct devtree *tree)
{
	if (!tree)
		return;
	for (uint32_t i = 0; i < tree->node_count; i++)
		g_clear_pointer(&tree->nodes[i].by_name, g_hash_table_unref);
	g_hash_table_unref(tree->phandles);
	g_free(tree->properties);
	g_free(tree->nodes);
	g_free(tree->blob);
	g_free(tree->name);
	g_free(tree);
}

/* ---- nodes ---- */

const struct dt_node *dt_find_child(const struct dt_node *node, const char *name)
{
	for (const struct dt_node *child = node->child; child; child = child->sibling)
		if (strcmp(child->name, name) == 0)
			return child;
	return NULL;
}

const struct dt_node *dt_find_path(const struct devtree *tree, const char *path)
{
	const struct dt_node *node = &tree->nodes[0];

	if (path[0] != '/')
		return NULL;
	while (node && *++path) {
		size_t len = strcspn(path, "/");
		g_autofree char *name = g_strndup(path, len);

		node = dt_find_child(node, name);
		path += len;
		if (!*path)
			break;
	}
	return node;
}

const struct dt_node *dt_find_phandle(const struct devtree *tree, uint32_t phandle)
{
	return phandle ? g_hash_table_lookup(tree->phandles, GUINT_TO_POINTER(phandle)) : NULL;
}

void dt_append_path(GString *string, const struct dt_node *node)
{
	g_autofree const struct dt_node **way = g_new(const struct dt_node *, node->depth + 1);
	uint32_t depth = node->depth;

	for (uint32_t i = depth; i > 0; i--, node = node->parent)
		way[i] = node;
	if (depth == 0)
		g_string_append_c(string, '/');
	for (uint32_t i = 1; i <= depth; i++) {
		g_string_append_c(string, '/');
		dt_append_text(string, way[i]->name, strlen(way[i]->name));
	}
}

char *dt_node_path(const struct dt_node *node)
{
	GString *path = g_string_new(NULL);

	dt_append_path(path, node);
	return g_string_free(path, FALSE);
}

/* ---- properties ---- */

const struct dt_property *dt_find_property(const struct dt_node *node, const char *name)
{
	if (node->by_name)
		return g_hash_table_lookup(node->by_name, name);
	for (uint32_t i = 0; i < node->property_count; i++)
		if (strcmp(node->properties[i].name, name) == 0)
			return &node->properties[i];
	return NULL;
}

uint32_t dt_cell(const struct dt_property *property, uint32_t i)
{
	g_assert(i < property->len / 4);
	return fdt32_ld((const fdt32_t *)(const void *)(property->value + (size_t)i * 4));
}

uint32_t dt_cell_count(const struct dt_property *property)
{
	return property ? property->len / 4 : 0;
}

bool dt_read_u32(const struct dt_node *node, const char *name, uint32_t *ret_value)
{
	const struct dt_property *property = dt_find_property(node, name);

	if (!property || property->len < 4)
		return false;
	*ret_value = dt_cell(property, 0);
	return true;
}

uint64_t dt_read_number(const struct dt_property *property, uint32_t first, uint32_t count)
{
	uint64_t number = 0;

	for (uint32_t i = 0; i < count; i++)
		number = number << 32 | dt_cell(property, first + i);
	return number;
}

const char *dt_next_string(const struct dt_property *property, uint32_t *at)
{
	const char *text = (const char *)property->value + *at;
	const char *end;

	if (*at >= property->len)
		return NULL;
	end = memchr(text, 0, property->len - *at);
	if (!end)
		return NULL;
	*at += (uint32_t)(end - text) + 1;
	return text;
}

bool dt_is_compatible(const struct dt_node *node, const char *compatible)
{
	const struct dt_property *property = dt_find_property(node, "compatible");
	const char *text;
	uint32_t at = 0;

	while (property && (text = dt_next_string(property, &at)))
		if (strcmp(text, compatible) == 0)
			return true;
	return false;
}

void dt_append_text(GString *string, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (g_ascii_isgraph(text[i]))
			g_string_append_c(string, text[i]);
		else
			g_string_append_printf(string, "\\x%02x", (unsigned char)text[i]);
	}
}
