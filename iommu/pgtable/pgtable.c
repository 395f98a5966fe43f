/* SPDX-License-Identifier: MIT */
#include "iommu/pgtable/pgtable.h"

#include <errno.h>
#include <string.h>

#include "iommu/pgtable/pgtable-fault.h"

const struct pgtable_ops *pgtable_format(const char *name)
{
	for (const struct pgtable_ops *const *format = pgtable_formats; *format; format++)
		if (strcmp((*format)->name, name) == 0)
			return *format;
	return NULL;
}

uint64_t pgtable_page_sizes(const struct pgtable_ops *format, const struct pgtable_config *config)
{
	return format->config_page_sizes ? format->config_page_sizes(config) : format->page_sizes;
}

int pgtable_new(struct sim *sim, const struct pgtable_ops *format, const struct pgtable_config *config,
		struct pgtable **ret_pt)
{
	return pgtable_new_watched(sim, format, config, NULL, ret_pt);
}

int pgtable_new_watched(struct sim *sim, const struct pgtable_ops *format,
			const struct pgtable_config *config, const struct pgtable_watch *watch,
			struct pgtable **ret_pt)
{
	struct pgtable *pt = g_malloc0(format->state_size);
	int err;

	pt->ops = format;
	pt->sim = sim;
	pt->config = *config;
	pt->page_sizes = pgtable_page_sizes(format, config);
	pt->watch = watch;
	err = format->init(pt);
	if (err) {
		g_free(pt);
		return err;
	}
	/* The root was charged just now, so this count differs from that of every table made before; each has
	 * room for 2^32 pages unlinked. */
	pt->table_generation = sim->work[WORK_PT_PAGE] << 32;
	*ret_pt = pt;
	return 0;
}

static uint32_t level_entries(const struct pgtable *pt, unsigned level)
{
	return 1u << pt->levels[level].index_lg2;
}

/** Returns the order of the pages that hold @len_bytes. */
static unsigned pages_order(uint64_t len_bytes)
{
	return len_bytes <= FRAME_SIZE ? 0 : 64 - FRAME_LG2 - (unsigned)__builtin_clzll(len_bytes - 1);
}

/** Returns zeroed memory for a table of @size, smaller than a page. */
static uint64_t slab_alloc(struct pgtable *pt, uint32_t size)
{
	struct pgtable_slab *slab = &pt->slab;
	uint64_t paddr;

	if (!slab->frames) {
		slab->frames = g_array_new(FALSE, FALSE, sizeof(uint64_t));
		slab->free = g_array_new(FALSE, FALSE, sizeof(uint64_t));
		slab->used_bytes = FRAME_SIZE;
	}
	if (slab->free->len) {
		paddr = g_array_index(slab->free, uint64_t, slab->free->len - 1);
		g_array_set_size(slab->free, slab->free->len - 1);
	} else {
		if (slab->used_bytes == FRAME_SIZE) {
			paddr = physmem_alloc(&pt->sim->mem, 0, FRAME_PGTABLE);
			g_array_append_val(slab->frames, paddr);
			slab->used_bytes = 0;
		}
		paddr = g_array_index(slab->frames, uint64_t, slab->frames->len - 1) + slab->used_bytes;
		slab->used_bytes += size;
	}
	memset(pgtable_bytes(pt, paddr), 0, size);
	return paddr;
}

static void slab_finish(struct pgtable *pt)
{
	if (!pt->slab.frames)
		return;
	for (guint i = 0; i < pt->slab.frames->len; i++)
		physmem_free(&pt->sim->mem, g_array_index(pt->slab.frames, uint64_t, i), 0);
	g_array_unref(pt->slab.frames);
	g_array_unref(pt->slab.free);
}

/** Whether a table of @level is only a part of a page. */
static bool level_in_slab(const struct pgtable *pt, unsigned level)
{
	return level != pt->config.top_level && pgtable_table_bytes(pt, level) < FRAME_SIZE;
}

/** Allocates @size: a part of a page of the slab with @slab, else whole pages, of which a smaller one is alone in its own. */
static int memory_alloc(struct pgtable *pt, uint64_t size, bool slab, uint64_t *ret_paddr)
{
	const struct pgtable_watch *watch = pt->watch;

	if (sim_fault_size(pt->sim, FAULT_PGTABLE_PAGE, size) ||
	    (watch && watch->deny_page && watch->deny_page(watch->data, size)))
		return -ENOMEM;
	*ret_paddr = slab ? slab_alloc(pt, (uint32_t)size)
			  : physmem_alloc(&pt->sim->mem, pages_order(size), FRAME_PGTABLE);
	sim_charge(pt->sim, WORK_PT_PAGE, 1);
	if (watch && watch->page_alloc)
		watch->page_alloc(watch->data, *ret_paddr, size);
	return 0;
}

static void memory_free(struct pgtable *pt, uint64_t paddr, uint64_t size, bool slab)
{
	if (pt->watch && pt->watch->page_free)
		pt->watch->page_free(pt->watch->data, paddr, size);
	if (slab)
		g_array_append_val(pt->slab.free, paddr);
	else
		physmem_free(&pt->sim->mem, paddr, pages_order(size));
	sim_charge(pt->sim, WORK_PT_PAGE, 1);
}

/** Returns what is allocated for a table of @level: whole pages, or with @slab a part of one. */
static uint64_t table_size(const struct pgtable *pt, unsigned level, bool slab)
{
	uint64_t len_bytes = pgtable_table_bytes(pt, level);

	return slab ? len_bytes : (uint64_t)FRAME_SIZE << pages_order(len_bytes);
}

uint64_t pgtable_table_bytes(const struct pgtable *pt, unsigned level)
{
	return (uint64_t)level_entries(pt, level) * pt->entry_bytes;
}

/** memory_alloc() for a table that an entry is to point to: one that the entry has no room for is given back, as v7s and
 * sun50i do in the kernel, where the other formats never get one. */
static int reachable_alloc(struct pgtable *pt, uint64_t size, bool slab, uint64_t *ret_paddr)
{
	int err = memory_alloc(pt, size, slab, ret_paddr);

	if (err || !pt->table_mask || !((*ret_paddr + pt->config.table_offset) & ~pt->table_mask))
		return err;
	memory_free(pt, *ret_paddr, size, slab);
	return -ENOMEM;
}

int pgtable_page_alloc(struct pgtable *pt, uint64_t *ret_paddr)
{
	int err = reachable_alloc(pt, FRAME_SIZE, false, ret_paddr);

	if (err)
		return err;
	pt->table_pages++;
	pgtable_cache_flush(pt, *ret_paddr, FRAME_SIZE);
	return 0;
}

int pgtable_table_alloc_unflushed(struct pgtable *pt, unsigned level, uint64_t *ret_paddr)
{
	bool slab = level_in_slab(pt, level), root = level == pt->config.top_level;
	int err = (root ? memory_alloc : reachable_alloc)(pt, table_size(pt, level, slab), slab, ret_paddr);

	if (!err)
		pt->table_pages++;
	return err;
}

int pgtable_table_alloc(struct pgtable *pt, unsigned level, uint64_t *ret_paddr)
{
	int err = pgtable_table_alloc_unflushed(pt, level, ret_paddr);

	if (!err)
		pgtable_cache_flush(pt, *ret_paddr, pgtable_table_bytes(pt, level));
	return err;
}

int pgtable_other_alloc(struct pgtable *pt, uint64_t len_bytes, uint64_t *ret_paddr)
{
	return memory_alloc(pt, len_bytes, false, ret_paddr);
}

void pgtable_other_free(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes)
{
	memory_free(pt, paddr, len_bytes, false);
}

void pgtable_page_free(struct pgtable *pt, uint64_t paddr)
{
	memory_free(pt, paddr, FRAME_SIZE, false);
	pt->table_pages--;
}

void pgtable_cache_flush_incoherent(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes)
{
	pt->cache_flushes++;
	if (pt->watch && pt->watch->cache_flush)
		pt->watch->cache_flush(pt->watch->data, paddr, len_bytes);
}

void pgtable_gather_add_page(struct pgtable *pt, struct pgtable_gather *gather, uint64_t paddr)
{
	if (gather->free_count == gather->free_capacity) {
		gather->free_capacity = gather->free_capacity ? gather->free_capacity * 2 : 8;
		gather->freelist = g_renew(uint64_t, gather->freelist, gather->free_capacity);
	}
	gather->freelist[gather->free_count++] = paddr;
	pt->table_pages--;
	pt->table_generation++;
}

void pgtable_gather_splice(struct pgtable_gather *gather, uint32_t from)
{
	uint32_t added = gather->free_count - from;

	if (added && from) {
		g_autofree uint64_t *pages = g_memdup2(gather->freelist + from, added * sizeof(*pages));

		memmove(gather->freelist + added, gather->freelist, from * sizeof(*pages));
		memcpy(gather->freelist, pages, added * sizeof(*pages));
	}
}

void pgtable_gather_free(struct sim *sim, struct pgtable_gather *gather)
{
	for (uint32_t i = 0; i < gather->free_count; i++)
		physmem_free(&sim->mem, gather->freelist[i], 0);
	sim_charge(sim, WORK_PT_PAGE, gather->free_count);
	pgtable_gather_init(gather);
}

void pgtable_gather_finish(struct pgtable_gather *gather)
{
	g_assert(gather->free_count == 0);
	g_clear_pointer(&gather->freelist, g_free);
	gather->free_capacity = 0;
}

void pgtable_sync_replaced(struct pgtable *pt, struct pgtable_gather *gather)
{
	if (gather->free_count) {
		if (pt->sync)
			pt->sync(pt, gather, pt->sync_data);
		pgtable_gather_free(pt->sim, gather);
	}
	pgtable_gather_finish(gather);
}

void pgtable_free_tables(struct pgtable *pt, unsigned level, uint64_t paddr)
{
	bool slab = level_in_slab(pt, level);
	struct pgtable_entry entry;

	for (uint32_t i = 0; level > 0 && i < level_entries(pt, level); i++) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind == ENTRY_TABLE)
			pgtable_free_tables(pt, level - 1, entry.paddr);
	}
	memory_free(pt, paddr, table_size(pt, level, slab), slab);
	pt->table_pages--;
	pt->table_generation++;
}

void pgtable_gather_tables_below(struct pgtable *pt, struct pgtable_gather *gather, unsigned level,
				 uint64_t paddr)
{
	struct pgtable_entry entry;

	for (uint32_t i = 0; level > 0 && i < level_entries(pt, level); i++) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind == ENTRY_TABLE) {
			pgtable_gather_add_page(pt, gather, entry.paddr);
			pgtable_gather_tables_below(pt, gather, level - 1, entry.paddr);
		}
	}
}

bool pgtable_is_empty(const struct pgtable *pt, unsigned level, uint64_t paddr)
{
	struct pgtable_entry entry;

	for (uint32_t i = 0; i < level_entries(pt, level); i++) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind == ENTRY_LEAF)
			return false;
		if (entry.kind == ENTRY_TABLE && !pgtable_is_empty(pt, level - 1, entry.paddr))
			return false;
	}
	return true;
}

static void visit_table(const struct pgtable *pt, const struct pgtable_visitor *visitor, GString *path,
			unsigned level, uint64_t paddr)
{
	struct pgtable_entry entry;
	gsize path_len = path->len;

	if (visitor->table)
		visitor->table(visitor->data, path->str, level, paddr, level_entries(pt, level));
	for (uint32_t i = 0; visitor->entry && i < level_entries(pt, level); i++) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind != ENTRY_EMPTY)
			visitor->entry(visitor->data, path->str, level, i, &entry);
	}
	for (uint32_t i = 0; level > 0 && i < level_entries(pt, level); i++) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind == ENTRY_TABLE) {
			g_string_append_printf(path, ".%u", i);
			visit_table(pt, visitor, path, level - 1, entry.paddr);
			g_string_truncate(path, path_len);
		}
	}
}

void pgtable_visit(const struct pgtable *pt, const struct pgtable_visitor *visitor)
{
	g_autoptr(GString) path = g_string_new("T");

	if (pt->root_count <= 1)
		visit_table(pt, visitor, path, pt->config.top_level, pt->root_paddr);
	for (unsigned i = 0; pt->root_count > 1 && i < pt->root_count; i++) {
		g_string_printf(path, "T%u", i);
		visit_table(pt, visitor, path, pt->config.top_level, pt->roots[i]);
	}
}

typedef void (*dump_fn)(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			uint64_t raw);

uint64_t pgtable_iova_extend(const struct pgtable_config *config, uint64_t iova)
{
	if (config->sign_extend && iova >> (config->ias_bits - 1))
		iova |= UINT64_MAX << (config->ias_bits - 1);
	return iova;
}

/** Makes @entry, a leaf found at @index, one of this entry alone where it is no longer the same as all others that make it
 * up: a device finds the larger page through each that is left. */
static void split_partial_leaf(const struct pgtable *pt, unsigned level, uint64_t table, uint32_t index,
			       struct pgtable_entry *entry)
{
	uint32_t count = 1u << entry->contig_lg2, part = index & (count - 1);
	uint64_t at = table + (uint64_t)(index - part) * pt->entry_bytes;
	uint64_t raw = pgtable_entry_raw(pt, pgtable_bytes(pt, at + (uint64_t)part * pt->entry_bytes));

	for (uint32_t i = 0; i < count; i++)
		if (pgtable_entry_raw(pt, pgtable_bytes(pt, at + (uint64_t)i * pt->entry_bytes)) != raw) {
			entry->contig_lg2 = 0;
			entry->paddr += (uint64_t)part << pt->levels[level].span_lg2;
			return;
		}
}

static void dump_table(const struct pgtable *pt, dump_fn fn, void *data, unsigned level, uint64_t paddr,
		       uint64_t iova)
{
	unsigned span_lg2 = pt->levels[level].span_lg2;
	struct pgtable_entry entry;

	for (uint32_t i = 0; i < level_entries(pt, level); i += 1u << entry.contig_lg2) {
		uint64_t at = iova + ((uint64_t)i << span_lg2);

		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.contig_lg2)
			split_partial_leaf(pt, level, paddr, i, &entry);
		if (entry.kind == ENTRY_LEAF)
			fn(data, pgtable_iova_extend(&pt->config, at), entry.paddr,
			   UINT64_C(1) << (span_lg2 + entry.contig_lg2), entry.prot, entry.raw);
		else if (entry.kind == ENTRY_TABLE)
			dump_table(pt, fn, data, level - 1, entry.paddr, at);
	}
}

void pgtable_dump(const struct pgtable *pt, dump_fn fn, void *data)
{
	const struct pgtable_level *top = &pt->levels[pt->config.top_level];

	dump_table(pt, fn, data, pt->config.top_level, pt->root_paddr, pt->first_iova);
	for (uint64_t i = 1; i < pt->root_count; i++)
		dump_table(pt, fn, data, pt->config.top_level, pt->roots[i],
			   i << (top->span_lg2 + top->index_lg2));
}

void pgtable_describe_fields(const struct pgtable_field *fields, uint64_t raw, GString *out)
{
	const char *between = "";

	for (; fields->name; fields++) {
		uint64_t value = raw & fields->mask, lowest = fields->mask & -fields->mask;

		raw &= ~fields->mask;
		if (!*fields->name || (fields->mask == lowest && !value))
			continue;
		g_string_append_printf(out, "%s%s", between, fields->name);
		if (fields->mask != lowest)
			g_string_append_printf(out, "=%" G_GUINT64_FORMAT, value / lowest);
		between = " ";
	}
	if (raw)
		g_string_append_printf(out, "%s0x%" G_GINT64_MODIFIER "x", between, raw);
}

/** Returns the largest page size that fits at @iova and @paddr in @len bytes, and in *@ret_count how many pages
 * of it come before a larger one can begin: iommu_pgsize(). */
static uint64_t best_size(const struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len,
			  uint64_t *ret_count)
{
	uint64_t both = iova | paddr, fitting = pt->page_sizes & (UINT64_MAX >> __builtin_clzll(len)), larger,
		 size;

	if (both)
		fitting &= both ^ (both - 1); /* not above the alignment */
	size = UINT64_C(1) << (63 - __builtin_clzll(fitting));
	larger = pt->page_sizes & ~(size | (size - 1));
	if (larger) {
		larger &= -larger;
		/* Both reach the larger alignment together, and then a page of that size is left. */
		if (((iova ^ paddr) & (larger - 1)) == 0) {
			uint64_t gap = larger - (iova & (larger - 1));

			if (gap + larger <= len)
				len = gap;
		}
	}
	*ret_count = len / size;
	return size;
}

static uint64_t smallest_size_mask(const struct pgtable *pt)
{
	return (pt->page_sizes & -pt->page_sizes) - 1;
}

int pgtable_map_by_pages(struct pgtable *pt, uint64_t iova, uint64_t paddr, uint64_t len, unsigned prot,
			 uint64_t *mapped)
{
	const struct pgtable_watch *watch = pt->watch;
	uint64_t done = 0;
	int err = 0;

	*mapped = 0;
	if ((iova | paddr | len) & smallest_size_mask(pt))
		return -EINVAL;
	while (done < len && !err) {
		uint64_t at = iova + done, to = paddr + done, count, now = 0;
		uint64_t size = best_size(pt, at, to, len - done, &count);

		if (watch && watch->map_pages)
			watch->map_pages(watch->data, at, to, size, count);
		err = pgtable_map_pages(pt, at, to, size, count, prot, &now);
		if (watch && watch->map_pages_done)
			watch->map_pages_done(watch->data, err, now);
		done += now;
	}
	*mapped = done;
	return err;
}

uint64_t pgtable_unmap_by_pages(struct pgtable *pt, uint64_t iova, uint64_t len,
				struct pgtable_gather *gather)
{
	const struct pgtable_watch *watch = pt->watch;
	uint64_t done = 0, now = 1;

	if ((iova | len) & smallest_size_mask(pt))
		return 0;
	while (done < len && now) {
		uint64_t at = iova + done, count, size = best_size(pt, at, at, len - done, &count);

		if (watch && watch->unmap_pages)
			watch->unmap_pages(watch->data, at, size, count);
		now = pgtable_unmap_pages(pt, at, size, count, gather);
		/* Where neither the format nor the driver gathers, all that was asked for is. */
		if (now && pgtable_gather_empty(gather))
			pgtable_gather_add_range(gather, at, len);
		if (watch && watch->unmap_pages_done)
			watch->unmap_pages_done(watch->data, now);
		done += now;
	}
	return done;
}

/** free_io_pgtable_ops(). */
static void free_io_pgtable(struct pgtable *pt)
{
	if (pt->tlb && pt->tlb->flush_all)
		pt->tlb->flush_all(pt->tlb_cookie);
	if (pt->ops->free_tables)
		pt->ops->free_tables(pt);
	else
		pgtable_free_tables(pt, pt->config.top_level, pt->root_paddr);
	for (unsigned i = 1; i < pt->root_count; i++)
		pgtable_free_tables(pt, pt->config.top_level, pt->roots[i]);
	g_assert(pt->table_pages == 0);
	slab_finish(pt);
	g_free(pt);
}

void pgtable_free(struct pgtable *pt)
{
	struct pgtable_gather gather = {0};

	if (!pt)
		return;
	if (pt->ops->map_pages) {
		free_io_pgtable(pt);
		return;
	}
	pgtable_gather_init(&gather);
	pgtable_gather_add_page(pt, &gather, pt->root_paddr);
	pgtable_gather_tables_below(pt, &gather, pt->config.top_level, pt->root_paddr);
	g_assert(pt->table_pages == 0);
	for (uint32_t i = 0; pt->watch && pt->watch->page_free && i < gather.free_count; i++)
		pt->watch->page_free(pt->watch->data, gather.freelist[i], FRAME_SIZE);
	pgtable_gather_free(pt->sim, &gather);
	pgtable_gather_finish(&gather);
	g_free(pt);
}
