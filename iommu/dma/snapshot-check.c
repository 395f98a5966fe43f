/* SPDX-License-Identifier: MIT */
#include "iommu/dma/snapshot-check.h"

#include <string.h>

#include "iommu/dma/pgtable-image.h"
#include "iommu/iova/iova.h"
#include "sim/core/text.h"

static bool get_u64(const struct snapshot_line *line, const char *field, uint64_t *ret_value)
{
	const char *text = snapshot_line_get(line, field);

	return text && text_parse_u64(text, ret_value);
}

static bool get_range(const struct snapshot_line *line, const char *field, uint64_t *ret_first,
		      uint64_t *ret_last)
{
	const char *text = snapshot_line_get(line, field);

	return text && snapshot_parse_range(text, ret_first, ret_last);
}

/* ---- iova ---- */

/** What is known of one domain. */
struct domain_state {
	uint64_t granule;
	uint64_t flushes; /* that have started */
	bool has_flushes;
};

/** A magazine: one bit a slot. */
struct magazine_state {
	uint64_t line; /* of its first fact */
	uint64_t slots[2];
	bool depot;
};

struct depot_state {
	uint64_t line, magazines;
};

struct iova_judge {
	GHashTable *domains;	 /* id -> struct domain_state */
	GHashTable *magazines;	 /* "DOMAIN ORDER PLACE MAGAZINE" -> struct magazine_state */
	GHashTable *depots;	 /* "DOMAIN ORDER" -> struct depot_state, as the depots say */
	GHashTable *in_depots;	 /* the same, of the magazines that are there */
	GHashTable *ring_counts; /* "DOMAIN CPU" -> how many are queued there, as a pointer */
};

static struct domain_state *judge_domain(struct iova_judge *judge, const char *id)
{
	struct domain_state *state;

	if (!judge->domains)
		judge->domains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	state = g_hash_table_lookup(judge->domains, id);
	if (!state) {
		state = g_new0(struct domain_state, 1);
		g_hash_table_insert(judge->domains, g_strdup(id), state);
	}
	return state;
}

static void judge_granules(struct iova_judge *judge, struct snapshot_checker *checker,
			   const struct snapshot_line *line)
{
	const struct domain_state *domain = judge_domain(judge, snapshot_line_get(line, "domain"));
	uint64_t first, last;

	if (domain->granule && get_range(line, "range", &first, &last) &&
	    (first % domain->granule || (last + 1) % domain->granule))
		snapshot_misfit(checker, line->number,
				"IOVA that is not whole granules of %" G_GUINT64_FORMAT " bytes",
				domain->granule);
}

static struct magazine_state *judge_magazine(struct iova_judge *judge, const struct snapshot_line *line,
					     const char *place)
{
	const char *number = snapshot_line_get(line, "magazine");
	g_autofree char *key = g_strdup_printf("%s %s %s %s", snapshot_line_get(line, "domain"),
					       snapshot_line_get(line, "order"), place, number ? number : "");
	struct magazine_state *magazine;

	if (!judge->magazines)
		judge->magazines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	magazine = g_hash_table_lookup(judge->magazines, key);
	if (!magazine) {
		magazine = g_new0(struct magazine_state, 1);
		magazine->line = line->number;
		magazine->depot = strcmp(place, "depot") == 0;
		g_hash_table_insert(judge->magazines, g_steal_pointer(&key), magazine);
	}
	return magazine;
}

static void judge_slot(struct iova_judge *judge, struct snapshot_checker *checker,
		       const struct snapshot_line *line)
{
	const char *place = snapshot_line_get(line, "place");
	struct magazine_state *magazine;
	uint64_t slot;

	if (!place || !get_u64(line, "slot", &slot))
		return;
	if (slot >= IOVA_MAGAZINE_PFNS) {
		snapshot_misfit(checker, line->number, "slot %" G_GUINT64_FORMAT " of a magazine of %d", slot,
				IOVA_MAGAZINE_PFNS);
		return;
	}
	magazine = judge_magazine(judge, line, place);
	if (magazine->slots[slot / 64] >> slot % 64 & 1)
		snapshot_misfit(checker, line->number,
				"second IOVA in slot %" G_GUINT64_FORMAT " of its magazine", slot);
	magazine->slots[slot / 64] |= UINT64_C(1) << slot % 64;
}

static void judge_cached(struct iova_judge *judge, struct snapshot_checker *checker,
			 const struct snapshot_line *line)
{
	const struct domain_state *domain = judge_domain(judge, snapshot_line_get(line, "domain"));
	uint64_t order, first, last;

	if (!get_u64(line, "order", &order) || order >= IOVA_ORDERS)
		snapshot_misfit(checker, line->number, "cached IOVA of no size class");
	else if (domain->granule && get_range(line, "range", &first, &last) &&
		 (last - first) / domain->granule + 1 < UINT64_C(1) << order)
		snapshot_misfit(checker, line->number,
				"cached IOVA smaller than its size class: order=%" G_GUINT64_FORMAT, order);
	judge_slot(judge, checker, line);
}

static void judge_depot(struct iova_judge *judge, const struct snapshot_line *line)
{
	struct depot_state *depot = g_new0(struct depot_state, 1);

	depot->line = line->number;
	get_u64(line, "magazines", &depot->magazines);
	if (!judge->depots)
		judge->depots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	g_hash_table_insert(
		judge->depots,
		g_strdup_printf("%s %s", snapshot_line_get(line, "domain"), snapshot_line_get(line, "order")),
		depot);
}

static char *ring_key(const struct snapshot_line *line)
{
	const char *cpu = snapshot_line_get(line, "cpu");

	return g_strdup_printf("%s %s", snapshot_line_get(line, "domain"), cpu ? cpu : "");
}

static void judge_queued(struct iova_judge *judge, struct snapshot_checker *checker,
			 const struct snapshot_line *line)
{
	const struct domain_state *domain = judge_domain(judge, snapshot_line_get(line, "domain"));
	g_autofree char *key = ring_key(line);
	gsize count;
	uint64_t flushes;

	if (domain->has_flushes && get_u64(line, "flushes", &flushes) && flushes > domain->flushes)
		snapshot_misfit(checker, line->number,
				"queued after %" G_GUINT64_FORMAT " flushes, of which %" G_GUINT64_FORMAT
				" have started",
				flushes, domain->flushes);
	if (!judge->ring_counts)
		judge->ring_counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	count = GPOINTER_TO_SIZE(g_hash_table_lookup(judge->ring_counts, key));
	g_hash_table_insert(judge->ring_counts, g_steal_pointer(&key), GSIZE_TO_POINTER(count + 1));
}

/** Rings stand behind what is queued. */
static void judge_ring(struct iova_judge *judge, struct snapshot_checker *checker,
		       const struct snapshot_line *line)
{
	g_autofree char *key = ring_key(line);
	uint64_t head, tail, entries, wanted;
	gsize count = judge->ring_counts ? GPOINTER_TO_SIZE(g_hash_table_lookup(judge->ring_counts, key)) : 0;

	if (!get_u64(line, "head", &head) || !get_u64(line, "tail", &tail) ||
	    !get_u64(line, "entries", &entries) || head >= entries || tail >= entries)
		return;
	wanted = (tail + entries - head) % entries;
	if (count != wanted)
		snapshot_misfit(checker, line->number,
				"%" G_GSIZE_FORMAT " queued IOVAs in a ring that holds %" G_GUINT64_FORMAT,
				count, wanted);
}

static void iova_judge_fact(void *state, struct snapshot_checker *checker, const struct snapshot_line *line)
{
	struct iova_judge *judge = state;
	struct domain_state *domain;

	if (strcmp(line->section, "domain") == 0 && strcmp(line->noun, "domain") == 0) {
		domain = judge_domain(judge, snapshot_line_get(line, "id"));
		get_u64(line, "granule", &domain->granule);
	}
	if (strcmp(line->section, "iova") != 0 && strcmp(line->section, "held") != 0)
		return;
	if (strcmp(line->noun, "flushqueue") == 0) {
		domain = judge_domain(judge, snapshot_line_get(line, "domain"));
		domain->has_flushes = get_u64(line, "started", &domain->flushes);
	}
	if (snapshot_line_get(line, "range"))
		judge_granules(judge, checker, line);
	if (strcmp(line->noun, "cached") == 0)
		judge_cached(judge, checker, line);
	if (strcmp(line->noun, "depot") == 0)
		judge_depot(judge, line);
	if (strcmp(line->noun, "queued") == 0)
		judge_queued(judge, checker, line);
	if (strcmp(line->noun, "ring") == 0)
		judge_ring(judge, checker, line);
}

static unsigned magazine_size(const struct magazine_state *magazine)
{
	return (unsigned)(__builtin_popcountll(magazine->slots[0]) +
			  __builtin_popcountll(magazine->slots[1]));
}

/** Stacks have no holes: the lowest @size bits are set. */
static bool magazine_is_stack(const struct magazine_state *magazine, unsigned size)
{
	uint64_t low = size >= 64 ? UINT64_MAX : (UINT64_C(1) << size) - 1;
	uint64_t high = size > 64 ? (UINT64_C(1) << (size - 64)) - 1 : 0;

	return magazine->slots[0] == low && magazine->slots[1] == high;
}

static void judge_magazines(struct iova_judge *judge, struct snapshot_checker *checker)
{
	GHashTableIter iter;
	void *key, *value;

	judge->in_depots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	if (!judge->magazines)
		return;
	g_hash_table_iter_init(&iter, judge->magazines);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		const struct magazine_state *magazine = value;
		unsigned size = magazine_size(magazine);
		g_auto(GStrv) words = g_strsplit(key, " ", 3);
		g_autofree char *depot = g_strdup_printf("%s %s", words[0], words[1]);
		gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(judge->in_depots, depot));

		if (magazine->depot)
			g_hash_table_insert(judge->in_depots, g_steal_pointer(&depot),
					    GSIZE_TO_POINTER(count + 1));
		if (magazine->depot && size != IOVA_MAGAZINE_PFNS)
			snapshot_misfit(checker, magazine->line,
					"%u IOVAs in a magazine of a depot, which holds %d", size,
					IOVA_MAGAZINE_PFNS);
		else if (!magazine_is_stack(magazine, size))
			snapshot_misfit(checker, magazine->line, "magazine with an empty slot below others");
	}
}

static void judge_depots(struct iova_judge *judge, struct snapshot_checker *checker)
{
	GHashTableIter iter;
	void *key, *value;

	if (!judge->depots)
		return;
	g_hash_table_iter_init(&iter, judge->depots);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		const struct depot_state *depot = value;
		gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(judge->in_depots, key));

		if (count != depot->magazines)
			snapshot_misfit(checker, depot->line,
					"depot of %" G_GUINT64_FORMAT " magazines, of which %" G_GSIZE_FORMAT
					" are there",
					depot->magazines, count);
	}
}

static void iova_judge_end(void *state, struct snapshot_checker *checker)
{
	judge_magazines(state, checker);
	judge_depots(state, checker);
}

static void iova_judge_finish(void *state)
{
	struct iova_judge *judge = state;

	g_clear_pointer(&judge->domains, g_hash_table_unref);
	g_clear_pointer(&judge->magazines, g_hash_table_unref);
	g_clear_pointer(&judge->depots, g_hash_table_unref);
	g_clear_pointer(&judge->in_depots, g_hash_table_unref);
	g_clear_pointer(&judge->ring_counts, g_hash_table_unref);
}

const struct snapshot_judge dma_iova_judge = {sizeof(struct iova_judge), iova_judge_fact, iova_judge_end,
					      iova_judge_finish};

/* ---- pagetable ---- */

/** A mapping as [mapping] has it. */
struct said_mapping {
	uint64_t first, last, paddr, line;
	unsigned prot;
	bool wrong; /* and reported */
};

struct said_domain {
	uint64_t id, line, tables; /* as the domain says */
	uint64_t tables_found;
	GArray *mappings; /* of struct said_mapping, by first */
};

struct pgtable_judge {
	struct pgtable_images *images;
	bool broken;	    /* the tables cannot be read back */
	GPtrArray *domains; /* of struct said_domain */
};

static void said_domain_free(void *data)
{
	struct said_domain *said = data;

	g_array_unref(said->mappings);
	g_free(said);
}

static struct said_domain *said_find(const struct pgtable_judge *judge, uint64_t id)
{
	for (guint i = 0; i < judge->domains->len; i++) {
		struct said_domain *said = g_ptr_array_index(judge->domains, i);

		if (said->id == id)
			return said;
	}
	return NULL;
}

static void said_add_domain(struct pgtable_judge *judge, const struct snapshot_line *line)
{
	struct said_domain *said = g_new0(struct said_domain, 1);

	said->line = line->number;
	said->mappings = g_array_new(FALSE, FALSE, sizeof(struct said_mapping));
	if (!get_u64(line, "id", &said->id) || !get_u64(line, "table_pages", &said->tables) ||
	    said_find(judge, said->id))
		said_domain_free(said);
	else
		g_ptr_array_add(judge->domains, said);
}

static void said_add_mapping(const struct pgtable_judge *judge, const struct snapshot_line *line)
{
	const char *prot = snapshot_line_get(line, "prot");
	struct said_mapping mapping = {.line = line->number};
	struct said_domain *said;
	uint64_t id;

	if (!get_u64(line, "domain", &id) || !(said = said_find(judge, id)) ||
	    !get_range(line, "iova", &mapping.first, &mapping.last) || !get_u64(line, "pa", &mapping.paddr))
		return;
	mapping.prot = prot && strcmp(prot, "none") != 0
			       ? (strchr(prot, 'r') ? PROT_READ : 0) | (strchr(prot, 'w') ? PROT_WRITE : 0)
			       : 0;
	g_array_append_val(said->mappings, mapping);
}

/** Says what the images' reader found, without the name of the file and the line it begins with. */
static void judge_image_error(struct pgtable_judge *judge, struct snapshot_checker *checker, GError *error)
{
	const char *text = error->message + strlen(snapshot_checker_path(checker)) + 1,
		   *what = strchr(text, ' ');
	uint64_t line = g_ascii_strtoull(text, NULL, 10);

	judge->broken = true;
	snapshot_misfit(checker, line, "%s", what ? what + 1 : text);
	g_error_free(error);
}

static void pgtable_judge_fact(void *state, struct snapshot_checker *checker,
			       const struct snapshot_line *line)
{
	struct pgtable_judge *judge = state;
	struct said_domain *said;
	GError *error = NULL;
	uint64_t id;

	if (!judge->images) {
		judge->images = pgtable_images_new(snapshot_checker_path(checker));
		judge->domains = g_ptr_array_new_with_free_func(said_domain_free);
	}
	if (strcmp(line->noun, "domain") == 0)
		said_add_domain(judge, line);
	if (strcmp(line->noun, "map") == 0)
		said_add_mapping(judge, line);
	if (strcmp(line->section, PGTABLE_SECTION) != 0)
		return;
	if (strcmp(line->noun, "table") == 0 && get_u64(line, "domain", &id) && (said = said_find(judge, id)))
		said->tables_found++;
	if (!judge->broken && pgtable_images_fact(judge->images, line, &error) < 0)
		judge_image_error(judge, checker, error);
}

/** Returns the mapping that @iova is in, or NULL. */
static struct said_mapping *said_mapping_at(const struct said_domain *said, uint64_t iova)
{
	guint low = 0, high = said->mappings->len;

	while (low < high) {
		guint middle = low + (high - low) / 2;
		struct said_mapping *at = &g_array_index(said->mappings, struct said_mapping, middle);

		if (iova >= at->first && iova <= at->last)
			return at;
		if (iova < at->first)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/** Compares a page of the tables with the mappings that say where its addresses lead. */
static void judge_page(const struct said_domain *said, struct snapshot_checker *checker, uint64_t first,
		       uint64_t last, const struct pgtable_entry *entry)
{
	for (uint64_t at = first; at <= last;) {
		struct said_mapping *mapping = said_mapping_at(said, at);

		if (!mapping)
			return; /* the rule that leaves are within mappings says so */
		if (!mapping->wrong &&
		    (mapping->paddr + (at - mapping->first) != entry->paddr + (at - first) ||
		     (entry->prot & (PROT_READ | PROT_WRITE)) != mapping->prot)) {
			mapping->wrong = true;
			snapshot_misfit(
				checker, mapping->line,
				"mapping that the page table has otherwise: there iova=0x%" G_GINT64_MODIFIER
				"x leads to 0x%" G_GINT64_MODIFIER "x, prot %s%s",
				at, entry->paddr + (at - first), entry->prot & PROT_READ ? "r" : "",
				entry->prot & PROT_WRITE ? "w" : "");
		}
		if (mapping->last >= last)
			return;
		at = mapping->last + 1;
	}
}

/** An entry of a page of several tells of all of the page. */
static void judge_run(const struct pgtable_image *image, const struct said_domain *said,
		      struct snapshot_checker *checker, const struct pgtable_image_run *run)
{
	unsigned span_lg2 = image->pt->levels[run->level].span_lg2;

	for (uint32_t i = 0; i < run->entries; i++) {
		uint64_t at = run->first + ((uint64_t)i << span_lg2), first = pgtable_image_iova(image, at);
		struct pgtable_entry entry;

		pgtable_image_decode(image, run, i, &entry);
		entry.paddr += at & ((UINT64_C(1) << (span_lg2 + entry.contig_lg2)) - 1);
		if (entry.kind == ENTRY_LEAF)
			judge_page(said, checker, first, first + ((UINT64_C(1) << span_lg2) - 1), &entry);
	}
}

static void judge_image(const struct pgtable_judge *judge, struct snapshot_checker *checker,
			const struct pgtable_image *image)
{
	const struct said_domain *said = said_find(judge, image->domain);

	for (guint i = 0; said && i < image->runs->len; i++)
		judge_run(image, said, checker, &g_array_index(image->runs, struct pgtable_image_run, i));
}

static void pgtable_judge_end(void *state, struct snapshot_checker *checker)
{
	struct pgtable_judge *judge = state;
	GError *error = NULL;

	if (!judge->images)
		return;
	if (!judge->broken && pgtable_images_finish(judge->images, &error) < 0)
		judge_image_error(judge, checker, error);
	for (guint i = 0; i < judge->images->all->len && !judge->broken; i++)
		judge_image(judge, checker, g_ptr_array_index(judge->images->all, i));
	for (guint i = 0; i < judge->domains->len; i++) {
		const struct said_domain *said = g_ptr_array_index(judge->domains, i);

		if (said->tables_found != said->tables && !judge->broken)
			snapshot_misfit(checker, said->line,
					"domain of %" G_GUINT64_FORMAT
					" page tables, of which %" G_GUINT64_FORMAT " are there",
					said->tables, said->tables_found);
	}
}

static void pgtable_judge_finish(void *state)
{
	struct pgtable_judge *judge = state;

	pgtable_images_free(judge->images);
	if (judge->domains)
		g_ptr_array_unref(judge->domains);
}

const struct snapshot_judge dma_pgtable_judge = {sizeof(struct pgtable_judge), pgtable_judge_fact,
						 pgtable_judge_end, pgtable_judge_finish};
