/* SPDX-License-Identifier: MIT */
/*
 * Reading device trees: references against what Linux returns for them, iommu-map against a translation one id at a time,
 * and damaged blobs, which are refused or read but never overrun. Trees are written with libfdt's own writer, or are
 * those of $BOARDS.
 */
#include <errno.h>
#include <libfdt.h>
#include <string.h>

#include "devtree/fdt/check.h"
#include "devtree/fdt/cycle.h"
#include "devtree/fdt/facts.h"
#include "devtree/fdt/populate.h"
#include "devtree/fdt/users.h"

/* ---- trees to order ---- */

#define BLOB_BYTES (4u << 20)

/** Begins a blob with an open root. */
static void *blob_new(void)
{
	void *blob = g_malloc0(BLOB_BYTES);

	g_assert_cmpint(fdt_create(blob, BLOB_BYTES), ==, 0);
	g_assert_cmpint(fdt_finish_reservemap(blob), ==, 0);
	g_assert_cmpint(fdt_begin_node(blob, ""), ==, 0);
	return blob;
}

static void put_cells(void *blob, const char *name, const uint32_t *cells, size_t count)
{
	g_autofree fdt32_t *raw = g_new(fdt32_t, count);

	for (size_t i = 0; i < count; i++)
		raw[i] = cpu_to_fdt32(cells[i]);
	g_assert_cmpint(fdt_property(blob, name, raw, (int)(count * 4)), ==, 0);
}

#define PUT_CELLS(blob, name, ...) \
	put_cells(blob, name, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static void begin(void *blob, const char *name)
{
	g_assert_cmpint(fdt_begin_node(blob, name), ==, 0);
}

static void end(void *blob)
{
	g_assert_cmpint(fdt_end_node(blob), ==, 0);
}

/** Adds an IOMMU below the root. */
static void put_iommu(void *blob, const char *name, uint32_t phandle, uint32_t cells)
{
	begin(blob, name);
	PUT_CELLS(blob, "phandle", phandle);
	PUT_CELLS(blob, "#iommu-cells", cells);
	end(blob);
}

/** Closes the root and reads the blob, which it frees. */
static struct devtree *finish(void *blob)
{
	g_autoptr(GError) error = NULL;
	struct devtree *tree;

	end(blob);
	g_assert_cmpint(fdt_finish(blob), ==, 0);
	tree = devtree_parse("test", blob, fdt_totalsize(blob), NULL, &error);
	g_assert_no_error(error);
	g_free(blob);
	return tree;
}

/* ---- references ---- */

/** What of_parse_phandle_with_args() returns for the entries of a list, up to index 3. */
static const struct {
	const char *name;
	uint32_t cells[6];
	size_t count;
	int results[4];
} lists[] = {
	{"two-good", {1, 10, 2}, 3, {0, 0, -ENOENT, -ENOENT}},
	{"same-twice", {1, 10, 1, 11}, 4, {0, 0, -ENOENT, -ENOENT}},
	{"dangling-second", {1, 10, 9, 2}, 4, {0, -EINVAL, -EINVAL, -EINVAL}},
	{"dangling-first", {9, 1, 10}, 3, {-EINVAL, -EINVAL, -EINVAL, -EINVAL}},
	{"empty-between", {1, 10, 0, 2}, 4, {0, -ENOENT, 0, -ENOENT}},
	{"no-cells", {3, 1, 10}, 3, {-EINVAL, -EINVAL, -EINVAL, -EINVAL}},
	{"arguments-past-the-end", {2, 1}, 2, {0, -EINVAL, -EINVAL, -EINVAL}},
	{"seventeen-cells", {4, 1, 2}, 3, {-EINVAL, -EINVAL, -EINVAL, -EINVAL}},
	{"cells-that-wrap", {5, 1, 2}, 3, {-EINVAL, -EINVAL, -EINVAL, -EINVAL}},
	{"nothing", {0}, 0, {-ENOENT, -ENOENT, -ENOENT, -ENOENT}},
};

static struct devtree *list_tree(const uint32_t *cells, size_t count)
{
	void *blob = blob_new();

	put_iommu(blob, "one-cell", 1, 1);
	put_iommu(blob, "none", 2, 0);
	begin(blob, "no-cells");
	PUT_CELLS(blob, "phandle", 3);
	end(blob);
	put_iommu(blob, "seventeen", 4, 17);
	put_iommu(blob, "wraps", 5, UINT32_MAX);
	begin(blob, "master");
	put_cells(blob, "iommus", cells, count);
	end(blob);
	return finish(blob);
}

static void test_lists_end_as_in_linux(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
		struct devtree *tree = list_tree(lists[i].cells, lists[i].count);
		const struct dt_node *master = dt_find_path(tree, "/master");
		struct dt_ref ref;

		for (uint32_t at = 0; at < G_N_ELEMENTS(lists[i].results); at++) {
			int result =
				dt_parse_phandle_with_args(tree, master, "iommus", "#iommu-cells", at, &ref);

			g_test_message("%s, index %u", lists[i].name, at);
			g_assert_cmpint(result, ==, lists[i].results[at]);
		}
		devtree_free(tree);
	}
}

static void test_reference_carries_its_arguments(void)
{
	void *blob = blob_new();
	struct devtree *tree;
	struct dt_ref ref;

	put_iommu(blob, "sixteen", 1, 16);
	begin(blob, "master");
	PUT_CELLS(blob, "iommus", 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	end(blob);
	tree = finish(blob);
	g_assert_cmpint(dt_parse_phandle_with_args(tree, dt_find_path(tree, "/master"), "iommus",
						   "#iommu-cells", 0, &ref),
			==, 0);
	g_assert_cmpuint(ref.arg_count, ==, 16);
	for (uint32_t i = 0; i < 16; i++)
		g_assert_cmpuint(ref.args[i], ==, i);
	g_assert_true(ref.node == dt_find_path(tree, "/sixteen"));
	devtree_free(tree);
}

/* ---- iommu-map ---- */

static void append_translation(GString *text, const struct dt_map *map, uint32_t rid)
{
	const struct dt_node *target;
	uint32_t id;
	enum dt_kind kind = dt_map_translate(map, rid, &target, &id);

	g_string_append_printf(text, "  xlat rid=0x%x -> ", rid);
	if (kind != DT_FINE)
		g_string_append_printf(text, "error %s\n", dt_kinds[kind].facts);
	else if (!target)
		g_string_append(text, "none\n");
	else
		g_string_append_printf(text, "/%s id=0x%x\n", target->name, id);
}

/** Random maps of few ids, so that entries overlap, leave the mask, wrap and dangle. */
static struct devtree *random_map_tree(GRand *rand)
{
	static const uint32_t masks[] = {UINT32_MAX, 0xffff, 0xff00, 0xff, 0, 0x8001};
	void *blob = blob_new();
	size_t entries = (size_t)g_rand_int_range(rand, 1, 8);
	uint32_t mask = masks[g_rand_int_range(rand, 0, G_N_ELEMENTS(masks))];
	uint32_t cells[8 * 4];

	put_iommu(blob, "a", 1, 1);
	put_iommu(blob, "b", 2, 1);
	begin(blob, "host");
	for (size_t i = 0; i < entries; i++) {
		uint32_t rid = (uint32_t)g_rand_int_range(rand, 0, 0x10) << g_rand_int_range(rand, 0, 13);

		cells[i * 4] = g_rand_boolean(rand) ? rid & mask : rid;
		cells[i * 4 + 1] = (uint32_t)g_rand_int_range(rand, 1, 10) > 8 ? 7 : 1 + (i & 1);
		cells[i * 4 + 2] = g_rand_int(rand);
		cells[i * 4 + 3] =
			g_rand_boolean(rand) ? (uint32_t)g_rand_int_range(rand, 0, 0x20000) : 0 - rid;
	}
	put_cells(blob, "iommu-map", cells, entries * 4);
	if (mask != UINT32_MAX)
		PUT_CELLS(blob, "iommu-map-mask", mask);
	end(blob);
	return finish(blob);
}

static void test_facts_translate_each_id_as_the_map_does(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(6);
	unsigned lines = 0;

	for (unsigned round = 0; round < 500; round++) {
		struct devtree *tree = random_map_tree(rand);
		g_autoptr(GString) facts = g_string_new(NULL);
		struct dt_map map;

		g_assert_true(dt_map_init(&map, tree, dt_find_path(tree, "/host")));
		g_assert_true(dt_facts(tree, "test", facts));
		for (const char *at = facts->str; (at = strstr(at, "  xlat rid=")); at += 11) {
			g_autofree char *line = g_strndup(at, strcspn(at, "\n") + 1);
			g_autoptr(GString) expected = g_string_new(NULL);

			append_translation(expected, &map,
					   (uint32_t)g_ascii_strtoull(at + strlen("  xlat rid="), NULL, 16));
			g_assert_cmpstr(line, ==, expected->str);
			lines++;
		}
		devtree_free(tree);
	}
	g_assert_cmpuint(lines, >, 2000);
}

/* ---- depth ---- */

/** A chain of @depth buses below the root, each a device but for its depth. */
static struct devtree *deep_tree(unsigned depth)
{
	void *blob = blob_new();

	for (unsigned i = 0; i < depth; i++) {
		begin(blob, "b");
		g_assert_cmpint(fdt_property_string(blob, "compatible", "simple-bus"), ==, 0);
	}
	for (unsigned i = 0; i < depth; i++)
		end(blob);
	return finish(blob);
}

struct found {
	unsigned count[DT_KINDS];
	char *sentence; /* the last one */
};

static bool note_problem(void *data, enum dt_kind kind, const struct dt_node *node, const char *sentence)
{
	struct found *found = data;

	found->count[kind]++;
	g_free(found->sentence);
	found->sentence = g_strdup(sentence);
	return true;
}

static void test_deep_nodes_are_kept_and_become_no_devices(void)
{
	struct devtree *tree = deep_tree(70);
	struct found found = {0};
	unsigned devices = 0;

	g_assert_cmpuint(tree->node_count, ==, 71);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		devices += tree->nodes[i].device == DT_DEVICE_PLATFORM;
		g_assert_cmpint(dt_node_dropped(&tree->nodes[i]), ==, i >= 63);
	}
	g_assert_cmpuint(devices, ==, 62);
	dt_check(tree, note_problem, &found);
	g_assert_cmpuint(found.count[DT_TOO_DEEP], ==, 1);
	g_assert_cmpstr(found.sentence, ==, "at depth 63: Linux drops the node and the 7 below it");
	g_free(found.sentence);
	devtree_free(tree);
}

static void test_hundred_thousand_levels_are_read(void)
{
	struct devtree *tree = deep_tree(100 * 1000);
	g_autoptr(GString) facts = g_string_new(NULL);
	struct found found = {0};

	g_assert_true(dt_facts(tree, "test", facts));
	g_assert_nonnull(strstr(facts->str, "nodes 100001\n"));
	dt_check(tree, note_problem, &found);
	g_assert_cmpuint(found.count[DT_TOO_DEEP], ==, 1);
	g_free(found.sentence);
	devtree_free(tree);
}

/* ---- cycles ---- */

static void test_long_chain_of_suppliers_is_no_cycle_until_it_closes(void)
{
	for (unsigned closed = 0; closed < 2; closed++) {
		const uint32_t length = 20000;
		void *blob = blob_new();
		struct devtree *tree;
		struct found found = {0};

		for (uint32_t i = 1; i <= length; i++) {
			begin(blob, "i");
			PUT_CELLS(blob, "phandle", i);
			PUT_CELLS(blob, "#iommu-cells", 0);
			if (i < length || closed)
				PUT_CELLS(blob, "iommus", i % length + 1);
			end(blob);
		}
		tree = finish(blob);
		dt_check(tree, note_problem, &found);
		g_assert_cmpuint(found.count[DT_PHANDLE_CYCLE], ==, closed ? length : 0);
		g_free(found.sentence);
		devtree_free(tree);
	}
}

/* ---- trees that ask for too much ---- */

/** Many masters of one IOMMU whose name is as long as the rest of the blob: its facts would fill a disk. */
static void test_facts_are_bounded(void)
{
	void *blob = blob_new();
	g_autofree char *name = g_strnfill(1 << 20, 'n');
	g_autoptr(GString) facts = g_string_new(NULL);
	g_autofree uint32_t *entries = g_new(uint32_t, 1 << 18);
	struct devtree *tree;

	put_iommu(blob, name, 1, 0);
	for (uint32_t i = 0; i < 1 << 18; i++)
		entries[i] = 1;
	begin(blob, "master");
	put_cells(blob, "iommus", entries, 1 << 18);
	end(blob);
	tree = finish(blob);
	g_assert_false(dt_facts(tree, "test", facts));
	g_assert_cmpuint(facts->len, <, 3ull * DT_FACTS_BYTES_MAX);
	devtree_free(tree);
}

static void test_node_with_many_properties_is_searched_once(void)
{
	void *blob = blob_new();
	g_autofree uint32_t *entries = g_new(uint32_t, 1 << 17);
	g_autoptr(GString) facts = g_string_new(NULL);
	struct devtree *tree;

	begin(blob, "iommu");
	for (uint32_t i = 0; i < 1 << 17; i++) {
		g_assert_cmpint(fdt_property(blob, "p", NULL, 0), ==, 0);
		entries[i] = 1;
	}
	PUT_CELLS(blob, "phandle", 1);
	PUT_CELLS(blob, "#iommu-cells", 0);
	PUT_CELLS(blob, "#iommu-cells", 1); /* the first of a name counts */
	end(blob);
	begin(blob, "master");
	put_cells(blob, "iommus", entries, 1 << 17);
	end(blob);
	tree = finish(blob);
	g_assert_true(dt_facts(tree, "test", facts));
	g_assert_nonnull(strstr(facts->str, "entries=131072 instances=1\n"));
	devtree_free(tree);
}

/* ---- damage ---- */

/** Reads @blob and all that can be said of it. Returns the kind of refusal, DT_FINE for none. */
static enum dt_kind read_all(const uint8_t *blob, size_t size)
{
	g_autoptr(GString) facts = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	enum dt_kind kind = DT_FINE;
	struct devtree *tree = devtree_parse("damaged", blob, size, &kind, &error);
	struct found found = {0};

	g_assert_true((tree == NULL) == (error != NULL));
	g_assert_true((tree == NULL) == (dt_kinds[kind].layer == DT_LAYER_BLOB));
	if (!tree)
		return kind;
	dt_facts(tree, "damaged", facts);
	dt_check(tree, note_problem, &found);
	dt_users_free(dt_users_new(tree));
	g_free(found.sentence);
	devtree_free(tree);
	return DT_FINE;
}

/** Calls @fn with each of $BOARDS. */
static void each_board(void (*fn)(const uint8_t *blob, size_t size))
{
	const char *folder = g_getenv("BOARDS");
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	unsigned boards = 0;
	const char *name;

	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_autofree char *bytes = NULL;
		gsize size;

		if (!g_str_has_suffix(name, ".dtb"))
			continue;
		g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
		g_assert_cmpint(read_all((const uint8_t *)bytes, size), ==, DT_FINE);
		fn((const uint8_t *)bytes, size);
		boards++;
	}
	g_assert_cmpuint(boards, >=, 13);
}

static void check_prefixes(const uint8_t *blob, size_t size)
{
	for (size_t len = 0; len < size; len++) {
		g_autofree uint8_t *part =
			g_memdup2(blob, len); /* its own size, so that a reader beyond it is seen */

		g_assert_cmpint(read_all(part, len), ==, DT_TRUNCATED);
	}
}

static void test_every_prefix_is_truncated(void)
{
	each_board(check_prefixes);
}

/** Sets each byte of the header to its complement, 0, 0xff, and its neighbours. */
static void check_header_bytes(const uint8_t *blob, size_t size)
{
	for (size_t i = 0; i < 40; i++) {
		const uint8_t values[] = {
			(uint8_t)~blob[i], 0, 0xff, (uint8_t)(blob[i] + 1), (uint8_t)(blob[i] - 1),
			blob[i] ^ 0x80};

		for (size_t j = 0; j < G_N_ELEMENTS(values); j++) {
			g_autofree uint8_t *damaged = g_memdup2(blob, size);
			enum dt_kind kind;

			damaged[i] = values[j];
			kind = read_all(damaged, size);
			if (i < 4 && values[j] != blob[i])
				g_assert_cmpint(kind, ==, DT_BAD_MAGIC);
		}
	}
}

static void test_every_byte_of_the_header_is_checked(void)
{
	each_board(check_header_bytes);
}

/** Turns each byte behind the header into two others. */
static void check_body_bytes(const uint8_t *blob, size_t size)
{
	g_autofree uint8_t *damaged = g_memdup2(blob, size);

	for (size_t i = 40; i < size; i++) {
		damaged[i] = (uint8_t)~blob[i];
		read_all(damaged, size);
		damaged[i] = blob[i] ^ (uint8_t)(1 << (i % 8));
		read_all(damaged, size);
		damaged[i] = blob[i];
	}
}

static void test_every_byte_of_the_body_may_be_wrong(void)
{
	each_board(check_body_bytes);
}

/** Before version 16 a node's name was its path: libfdt reads such blobs, and what only says that it is one is damaged. */
static void check_old_versions(const uint8_t *blob, size_t size)
{
	static const uint32_t versions[] = {2, 3, 15};

	for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
		g_autofree uint8_t *damaged = g_memdup2(blob, size);

		fdt_set_version(damaged, versions[i]);
		fdt_set_last_comp_version(damaged, versions[i]);
		g_assert_cmpint(read_all(damaged, size), ==, DT_BAD_STRUCTURE);
	}
}

static void test_names_of_an_old_blob_are_paths(void)
{
	each_board(check_old_versions);
}

/** Blobs of which one thing is wrong, and what that is called. */
static void test_damage_has_its_kind(void)
{
	static const struct {
		const char *name;
		size_t offset; /* of a word of the header */
		uint32_t value;
		enum dt_kind kind;
	} cases[] = {
		{"magic", 0, 0xd00dfeee, DT_BAD_MAGIC},
		{"total-larger", 4, 0x7fffffff, DT_TRUNCATED},
		{"total-smaller-than-header", 4, 39, DT_TRUNCATED},
		{"structure-outside", 8, 0x7ffffff0, DT_BAD_OFFSET},
		{"structure-in-header", 8, 8, DT_BAD_OFFSET},
		{"strings-outside", 12, 0xfffffff0, DT_BAD_OFFSET},
		{"reservations-outside", 16, 0xfffffff0, DT_BAD_OFFSET},
		{"version-1", 20, 1, DT_BAD_VERSION},
		{"compatible-with-18", 24, 18, DT_BAD_VERSION},
		{"strings-too-long", 32, 0x7fffffff, DT_BAD_OFFSET},
		{"structure-too-long", 36, 0x7ffffff0, DT_BAD_OFFSET},
		{"strings-empty", 32, 0, DT_BAD_STRUCTURE},
		{"structure-empty", 36, 0, DT_BAD_STRUCTURE},
		{"structure-cut", 36, 40, DT_BAD_STRUCTURE},
	};
	void *blob = blob_new();
	size_t size;

	put_iommu(blob, "iommu", 1, 1);
	end(blob);
	g_assert_cmpint(fdt_finish(blob), ==, 0);
	size = fdt_totalsize(blob);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree uint8_t *damaged = g_memdup2(blob, size);
		fdt32_t word = cpu_to_fdt32(cases[i].value);

		memcpy(damaged + cases[i].offset, &word, 4);
		g_test_message("%s", cases[i].name);
		g_assert_cmpint(read_all(damaged, size), ==, cases[i].kind);
	}
	g_free(blob);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/devtree/fdt/lists-end-as-in-linux", test_lists_end_as_in_linux);
	g_test_add_func("/devtree/fdt/reference-carries-its-arguments", test_reference_carries_its_arguments);
	g_test_add_func("/devtree/fdt/facts-translate-each-id-as-the-map-does",
			test_facts_translate_each_id_as_the_map_does);
	g_test_add_func("/devtree/fdt/deep-nodes-are-kept-and-become-no-devices",
			test_deep_nodes_are_kept_and_become_no_devices);
	g_test_add_func("/devtree/fdt/hundred-thousand-levels-are-read",
			test_hundred_thousand_levels_are_read);
	g_test_add_func("/devtree/fdt/long-chain-of-suppliers-is-no-cycle-until-it-closes",
			test_long_chain_of_suppliers_is_no_cycle_until_it_closes);
	g_test_add_func("/devtree/fdt/facts-are-bounded", test_facts_are_bounded);
	g_test_add_func("/devtree/fdt/node-with-many-properties-is-searched-once",
			test_node_with_many_properties_is_searched_once);
	g_test_add_func("/devtree/fdt/every-prefix-is-truncated", test_every_prefix_is_truncated);
	g_test_add_func("/devtree/fdt/every-byte-of-the-header-is-checked",
			test_every_byte_of_the_header_is_checked);
	g_test_add_func("/devtree/fdt/every-byte-of-the-body-may-be-wrong",
			test_every_byte_of_the_body_may_be_wrong);
	g_test_add_func("/devtree/fdt/names-of-an-old-blob-are-paths", test_names_of_an_old_blob_are_paths);
	g_test_add_func("/devtree/fdt/damage-has-its-kind", test_damage_has_its_kind);
	return g_test_run();
}
