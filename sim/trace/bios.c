/* SPDX-License-Identifier: MIT */
#include "sim/trace/bios.h"

struct bio {
	uint64_t lba, end; /* sectors */
	uint64_t number;
	uint64_t left; /* sectors not ended */
	uint32_t group;
	uint32_t slot;
};

/* By group, place and age. */
static gint bio_compare(gconstpointer a, gconstpointer b, gpointer data)
{
	const struct bio *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->lba != y->lba)
		return x->lba < y->lba ? -1 : 1;
	return x->number == y->number ? 0 : x->number < y->number ? -1 : 1;
}

void bios_init(struct bios *bios)
{
	*bios = (struct bios){.by_place = g_tree_new_full(bio_compare, NULL, g_free, NULL)};
}

void bios_finish(struct bios *bios)
{
	g_tree_unref(bios->by_place);
}

void bios_add(struct bios *bios, uint32_t group, uint64_t lba, uint64_t bytes, uint64_t number, uint32_t slot)
{
	struct bio *bio = g_new(struct bio, 1);
	uint64_t sectors = (bytes + 511) >> 9;

	*bio = (struct bio){.lba = lba,
			    .end = lba + sectors,
			    .number = number,
			    .left = sectors,
			    .group = group,
			    .slot = slot};
	bios->sectors_max = MAX(bios->sectors_max, sectors);
	g_tree_insert(bios->by_place, bio, bio);
}

void bios_remove(struct bios *bios, uint32_t group, uint64_t lba, uint64_t number)
{
	g_tree_remove(bios->by_place, &(struct bio){.group = group, .lba = lba, .number = number});
}

static void bio_end(struct bios *bios, struct bio *bio, GArray *ended)
{
	g_array_append_val(ended, bio->slot);
	g_tree_remove(bios->by_place, bio);
}

/* Returns the untouched bio from @lba that ends at @end, or the oldest that ends before it. */
static struct bio *bio_from(const struct bios *bios, uint32_t group, uint64_t lba, uint64_t end)
{
	GTreeNode *node = g_tree_lower_bound(bios->by_place, &(struct bio){.group = group, .lba = lba});
	struct bio *best = NULL;

	for (; node; node = g_tree_node_next(node)) {
		struct bio *bio = g_tree_node_value(node);

		if (bio->group != group || bio->lba != lba)
			break;
		if (bio->end > end || bio->left != bio->end - bio->lba)
			continue;
		if (bio->end == end)
			return bio;
		if (!best)
			best = bio;
	}
	return best;
}

/* Requests are mostly whole bios, one after another. Returns false, with nothing done, where this one is not. */
static bool end_whole(struct bios *bios, uint32_t group, uint64_t lba, uint64_t end, GArray *ended)
{
	g_autoptr(GPtrArray) chain = g_ptr_array_new();

	while (lba < end) {
		struct bio *bio = bio_from(bios, group, lba, end);

		if (!bio)
			return false;
		g_ptr_array_add(chain, bio);
		lba = bio->end;
	}
	for (guint i = 0; i < chain->len; i++)
		bio_end(bios, g_ptr_array_index(chain, i), ended);
	return true;
}

/* How well [@lba, @end) fits as a part of @bio: its first or last part, or one after others; 0: it does not lie in it. */
static int part_score(const struct bio *bio, uint64_t lba, uint64_t end)
{
	if (bio->lba > lba || bio->end < end || bio->left < end - lba)
		return 0;
	if (bio->lba == lba || bio->end == end)
		return 3;
	return bio->left < bio->end - bio->lba ? 2 : 1;
}

static GTreeNode *first_around(const struct bios *bios, uint32_t group, uint64_t lba)
{
	const struct bio first = {.group = group,
				  .lba = lba > bios->sectors_max ? lba - bios->sectors_max : 0};

	return g_tree_lower_bound(bios->by_place, &first);
}

/* A part of a bio that was split. */
static bool end_part(struct bios *bios, uint32_t group, uint64_t lba, uint64_t end, GArray *ended)
{
	struct bio *best = NULL;
	int best_score = 0;

	for (GTreeNode *node = first_around(bios, group, lba); node; node = g_tree_node_next(node)) {
		struct bio *bio = g_tree_node_value(node);
		int score = part_score(bio, lba, end);

		if (bio->group != group || bio->lba > lba)
			break;
		if (score > best_score || (score && score == best_score && bio->number < best->number)) {
			best = bio;
			best_score = score;
		}
	}
	if (!best)
		return false;
	best->left -= end - lba;
	if (!best->left)
		bio_end(bios, best, ended);
	return true;
}

/* Whatever lies there: bios that were split and merged with others. */
static bool end_overlapping(struct bios *bios, uint32_t group, uint64_t lba, uint64_t end, GArray *ended)
{
	GTreeNode *node = first_around(bios, group, lba), *next;
	uint64_t at = lba;
	bool found = false;

	for (; node && at < end; node = next) {
		struct bio *bio = g_tree_node_value(node);
		uint64_t from = MAX(at, bio->lba), to = MIN(end, bio->end);

		next = g_tree_node_next(node);
		if (bio->group != group || bio->lba >= end)
			break;
		/* What an older bio of the same place has taken is not this one's. */
		if (from >= to || (found && bio->lba < at))
			continue;
		found = true;
		at = to;
		bio->left -= MIN(bio->left, to - from);
		if (!bio->left)
			bio_end(bios, bio, ended);
	}
	return found;
}

bool bios_end(struct bios *bios, uint32_t group, uint64_t lba, uint64_t bytes, GArray *ended)
{
	uint64_t end = lba + ((bytes + 511) >> 9);

	return end_whole(bios, group, lba, end, ended) || end_part(bios, group, lba, end, ended) ||
	       end_overlapping(bios, group, lba, end, ended);
}
