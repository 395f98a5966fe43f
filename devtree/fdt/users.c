/* SPDX-License-Identifier: MIT */
#include "devtree/fdt/users.h"

#include <string.h>

static void user_free(void *data)
{
	struct dt_user *user = data;

	g_array_unref(user->ids);
	g_free(user);
}

/** Returns the entry of @node behind @iommu, the last one there or a new one: nodes come in order. */
static struct dt_user *user_of(struct dt_users *users, const struct dt_node *iommu,
			       const struct dt_node *node)
{
	GPtrArray **list = &users->of[iommu->index];
	struct dt_user *user;

	if (!*list)
		*list = g_ptr_array_new_with_free_func(user_free);
	user = (*list)->len ? (*list)->pdata[(*list)->len - 1] : NULL;
	if (user && user->node == node)
		return user;
	user = g_new0(struct dt_user, 1);
	user->node = node;
	user->ids = g_array_new(FALSE, FALSE, sizeof(struct dt_ids));
	g_ptr_array_add(*list, user);
	return user;
}

static void add_references(struct dt_users *users, const struct devtree *tree, const struct dt_node *node)
{
	struct dt_refs refs;
	struct dt_ref ref;

	dt_refs_init(&refs, tree, node, "iommus", "#iommu-cells");
	while (dt_refs_next(&refs, &ref)) {
		struct dt_ids ids = {.arg_count = ref.arg_count};

		if (ref.error || !ref.node)
			continue;
		memcpy(ids.args, ref.args, sizeof(ids.args));
		g_array_append_val(user_of(users, ref.node, node)->ids, ids);
	}
}

/** Whether @entry goes on where @ids end. */
static bool is_next(const struct dt_ids *ids, const struct dt_map_entry *entry)
{
	return ids->mapped && (uint64_t)ids->rid + ids->length == entry->rid &&
	       (uint64_t)ids->id + ids->length == entry->id &&
	       (uint64_t)ids->length + entry->length <= UINT32_MAX;
}

static void add_map(struct dt_users *users, const struct devtree *tree, const struct dt_node *node)
{
	struct dt_map map;

	if (!dt_map_init(&map, tree, node))
		return;
	for (uint32_t i = 0; i < map.count; i++) {
		struct dt_map_entry entry = dt_map_entry(&map, i);
		struct dt_ids ids = {true, entry.rid, entry.length, entry.id, 0, {0}};
		struct dt_user *user;

		if (!entry.target)
			continue;
		user = user_of(users, entry.target, node);
		if (user->ids->len &&
		    is_next(&g_array_index(user->ids, struct dt_ids, user->ids->len - 1), &entry))
			g_array_index(user->ids, struct dt_ids, user->ids->len - 1).length += entry.length;
		else
			g_array_append_val(user->ids, ids);
	}
}

struct dt_users *dt_users_new(const struct devtree *tree)
{
	struct dt_users *users = g_new0(struct dt_users, 1);

	users->node_count = tree->node_count;
	users->of = g_new0(GPtrArray *, tree->node_count);
	for (uint32_t i = 0; i < tree->node_count; i++) {
		add_references(users, tree, &tree->nodes[i]);
		add_map(users, tree, &tree->nodes[i]);
	}
	return users;
}

void dt_users_free(struct dt_users *users)
{
	for (uint32_t i = 0; i < users->node_count; i++)
		g_clear_pointer(&users->of[i], g_ptr_array_unref);
	g_free(users->of);
	g_free(users);
}
