/* SPDX-License-Identifier: MIT */
#include "sim/trace/names.h"

#include <string.h>

static void name_clear(void *data)
{
	g_free(((struct name_entry *)data)->text);
}

void names_init(struct names *names)
{
	umap_init(&names->by_hash);
	names->names = g_array_new(FALSE, FALSE, sizeof(struct name_entry));
	g_array_set_clear_func(names->names, name_clear);
}

void names_finish(struct names *names)
{
	if (!names->names)
		return;
	umap_finish(&names->by_hash);
	g_array_unref(names->names);
	names->names = NULL;
}

/* FNV-1a, which is good enough for names, and as quick as they are short. */
static uint64_t name_hash(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash >> 1; /* never UMAP_EMPTY */
}

static bool name_is(const struct name_entry *name, const char *text, size_t len)
{
	return strncmp(name->text, text, len) == 0 && name->text[len] == '\0';
}

uint32_t names_count(struct names *names, const char *text, size_t len, uint32_t max)
{
	return names_add(names, text, len, 1, max);
}

uint32_t names_add(struct names *names, const char *text, size_t len, uint64_t count, uint32_t max)
{
	uint64_t hash = name_hash(text, len);
	struct umap_entry *entry;
	struct name_entry name = {.count = count};

	for (; (entry = umap_find(&names->by_hash, hash)); hash++) {
		struct name_entry *known = &g_array_index(names->names, struct name_entry, entry->value);

		if (name_is(known, text, len)) {
			known->count += count;
			return (uint32_t)entry->value;
		}
	}
	if (names->names->len == max)
		return NAMES_NONE;
	umap_insert(&names->by_hash, hash)->value = names->names->len;
	name.text = g_strndup(text, len);
	g_array_append_val(names->names, name);
	return names->names->len - 1;
}

const struct name_entry *names_at(const struct names *names, uint32_t number)
{
	return number < names->names->len ? &g_array_index(names->names, struct name_entry, number) : NULL;
}
