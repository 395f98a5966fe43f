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

int pgtable_page_alloc(struct pgtable *pt, uint64_t *ret_paddr)
{
	const struct pgtable_watch *watch = pt->watch;

	if (sim_fault_size(pt->sim, FAULT_PGTABLE_PAGE, FRAME_SIZE) ||
	    (watch && watch->deny_page && watch->deny_page(watch->data, FRAME_SIZE)))
		return -ENOMEM;
	*ret_paddr = physmem_alloc(&pt->sim->mem, 0, FRAME_PGTABLE);
	pt->table_pages++;
	sim_charge(pt->sim, WORK_PT_PAGE, 1);
	if (watch && watch->page_alloc)
		watch->page_alloc(watch->data, *ret_paddr, FRAME_SIZE);
	pgtable_cache_flush(pt, *ret_paddr, FRAME_SIZE);
	return 0;
}

void pgtable_cache_flush(struct pgtable *pt, uint64_t paddr, uint64_t len_bytes)
{
	if (!pt->config.incoherent)
		return;
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

static uint32_t level_entries(const struct pgtable *pt, unsigned level)
{
	return 1u << pt->levels[level].index_lg2;
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

	visit_table(pt, visitor, path, pt->config.top_level, pt->root_paddr);
}

typedef void (*dump_fn)(void *data, uint64_t iova, uint64_t paddr, uint64_t size, unsigned prot,
			uint64_t raw);

static void dump_table(const struct pgtable *pt, dump_fn fn, void *data, unsigned level, uint64_t paddr,
		       uint64_t iova)
{
	uint64_t span = UINT64_C(1) << pt->levels[level].span_lg2;
	struct pgtable_entry entry;

	for (uint32_t i = 0; i < level_entries(pt, level); i++, iova += span) {
		pt->ops->decode(pt, level, pgtable_bytes(pt, paddr), i, &entry);
		if (entry.kind == ENTRY_LEAF)
			fn(data, iova, entry.paddr, span, entry.prot, entry.raw);
		else if (entry.kind == ENTRY_TABLE)
			dump_table(pt, fn, data, level - 1, entry.paddr, iova);
	}
}

void pgtable_dump(const struct pgtable *pt, dump_fn fn, void *data)
{
	dump_table(pt, fn, data, pt->config.top_level, pt->root_paddr, 0);
}

void pgtable_free(struct pgtable *pt)
{
	struct pgtable_gather gather = {0};

	if (!pt)
		return;
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
