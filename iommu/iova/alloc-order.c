/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iommu/iova/domain.h"
#include "iommu/iova/golden.h"
#include "sim/core/error.h"
#include "sim/core/text.h"

#define HEX "0x%" G_GINT64_MODIFIER "x"

#define COLUMNS	  8
#define CALLS_MAX (1u << 26) /* identifiers an input may name */

enum column { COL_OP, COL_ID, COL_CPU, COL_PAGES, COL_LIMIT, COL_FLUSH, COL_FAILS, COL_RESULT };

struct order {
	const char *name;
	uint64_t line;
	GError **error;
	GString *out;
	struct sim *sim;
	struct iova_domain *iovad;
	GHashTable *held; /* id -> pfn, of allocations that succeeded */
	uint64_t fails;	  /* allocations of memory that fail from now on */
	char *columns[COLUMNS];
};

static bool order_bad(struct order *order, const char *why)
{
	return sim_error_line(order->error, order->name, order->line, "%s", why) == 0;
}

static int order_fail_memory(void *data, enum iova_memory_kind kind)
{
	struct order *order = data;

	if (order->fails == 0)
		return 0;
	order->fails--;
	return -ENOMEM;
}

/** Reads the number in @column, at most @max. */
static bool order_number(struct order *order, enum column column, uint64_t max, uint64_t *ret_value)
{
	if (text_parse_u64(order->columns[column], ret_value) && *ret_value <= max)
		return true;
	return sim_error_line(order->error, order->name, order->line,
			      "column %d: \"%s\" is no number up to %" G_GUINT64_FORMAT, (int)column + 1,
			      order->columns[column], max) == 0;
}

static bool order_on_cpu(struct order *order)
{
	uint64_t cpu;

	if (!order_number(order, COL_CPU, order->sim->cpu_count - 1, &cpu))
		return false;
	order->sim->cpu = (unsigned)cpu;
	return true;
}

static bool order_init(struct order *order, uint64_t *ret_result)
{
	uint64_t start;

	if (!order_number(order, COL_PAGES, UINT64_MAX, &start))
		return false;
	if (order->iovad)
		return order_bad(order, "the domain exists already");
	order->iovad = iova_domain_new(order->sim, FRAME_SIZE, start, 0, EVENT_KINDS);
	if (iova_rcaches_init(order->iovad) != 0)
		g_assert_not_reached();
	iova_set_allocation_hook(order->iovad, order_fail_memory, order);
	return true;
}

static bool order_reserve(struct order *order, uint64_t *ret_result)
{
	uint64_t lo, hi;

	if (!order_number(order, COL_PAGES, UINT64_MAX, &lo) ||
	    !order_number(order, COL_LIMIT, UINT64_MAX, &hi))
		return false;
	if (lo > hi)
		return order_bad(order, "a reservation that ends before it begins");
	iova_reserve(order->iovad, lo, hi, &lo, &hi);
	return true;
}

static bool order_alloc(struct order *order, uint64_t *ret_result)
{
	uint64_t id, pages, limit, flush, pfn;

	if (!order_number(order, COL_ID, CALLS_MAX, &id) || !order_on_cpu(order) ||
	    !order_number(order, COL_PAGES, UINT64_C(1) << 52, &pages) ||
	    !order_number(order, COL_LIMIT, UINT64_MAX, &limit) ||
	    !order_number(order, COL_FLUSH, 1, &flush) ||
	    !order_number(order, COL_FAILS, UINT64_MAX, &order->fails))
		return false;
	if (pages == 0)
		return order_bad(order, "an allocation of no pages");
	pfn = iova_alloc_fast(order->iovad, pages, limit, flush);
	order->fails = 0;
	if (pfn)
		g_hash_table_insert(order->held, GSIZE_TO_POINTER(id), GSIZE_TO_POINTER(pfn));
	*ret_result = pfn;
	return true;
}

static bool order_free(struct order *order, uint64_t *ret_result)
{
	uint64_t id, pages, pfn;

	if (!order_number(order, COL_ID, CALLS_MAX, &id) || !order_on_cpu(order) ||
	    !order_number(order, COL_PAGES, UINT64_C(1) << 52, &pages) ||
	    !order_number(order, COL_FAILS, UINT64_MAX, &order->fails))
		return false;
	pfn = GPOINTER_TO_SIZE(g_hash_table_lookup(order->held, GSIZE_TO_POINTER(id)));
	if (!pfn || pages == 0)
		return order_bad(order, "frees what was not allocated");
	g_hash_table_remove(order->held, GSIZE_TO_POINTER(id));
	iova_free_fast(order->iovad, pfn, pages);
	order->fails = 0;
	*ret_result = pfn;
	return true;
}

static bool order_work(struct order *order, uint64_t *ret_result)
{
	uint64_t size_order;

	if (!order_on_cpu(order) || !order_number(order, COL_PAGES, IOVA_ORDERS - 1, &size_order))
		return false;
	iova_depot_work(order->iovad, (unsigned)size_order);
	return true;
}

static const struct {
	char op;
	bool has_result;
	bool (*run)(struct order *order, uint64_t *ret_result);
} order_ops[] = {
	{'I', false, order_init}, {'R', false, order_reserve}, {'A', true, order_alloc},
	{'F', true, order_free},  {'W', false, order_work},
};

/** Takes the line in @text apart; its last column may be missing. */
static bool order_split(struct order *order, char *text)
{
	unsigned count = 0;

	for (char *word = text; word; count++) {
		char *blank = strchr(word, ' ');

		if (count == COLUMNS)
			return order_bad(order, "too many columns");
		if (blank)
			*blank++ = '\0';
		order->columns[count] = word;
		word = blank;
	}
	return count >= COL_RESULT ? true : order_bad(order, "too few columns");
}

static bool order_run(struct order *order, char *text)
{
	uint64_t result = 0;

	if (!order_split(order, text))
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(order_ops); i++) {
		if (order->columns[COL_OP][0] != order_ops[i].op || order->columns[COL_OP][1])
			continue;
		if (!order->iovad && order_ops[i].op != 'I')
			return order_bad(order, "there is no domain yet");
		if (!order_ops[i].run(order, &result))
			return false;
		for (unsigned column = 0; column < COL_RESULT; column++)
			g_string_append_printf(order->out, "%s ", order->columns[column]);
		if (order_ops[i].has_result)
			g_string_append_printf(order->out, HEX "\n", result);
		else
			g_string_append(order->out, "-\n");
		return true;
	}
	return order_bad(order, "unknown operation");
}

/** Reads "# alloc-order 1 cpus=N granule=4096 kernel=V": the machine. */
static bool order_header(struct order *order, const char *text)
{
	unsigned cpus, granule, major, minor;
	char version_name[24];
	int version;

	if (sscanf(text, "# alloc-order 1 cpus=%u granule=%u kernel=%u.%u", &cpus, &granule, &major,
		   &minor) != 4)
		return order_bad(order, "must begin with \"# alloc-order 1 cpus=N granule=4096 kernel=V\"");
	if (cpus < 1 || cpus > SIM_CPUS_MAX || granule != FRAME_SIZE)
		return order_bad(order, "a number of CPUs or a granule that cannot be");
	order->sim = sim_new(cpus, 1);
	g_snprintf(version_name, sizeof(version_name), "%u.%u", major, minor);
	version = kernel_version_find(version_name);
	if (version < 0)
		return order_bad(order, "a kernel that is not modelled");
	behaviour_set_version(order->sim, (enum kernel_version)version);
	return true;
}

static bool order_line(void *data, uint64_t number, char *text, GError **error)
{
	struct order *order = data;

	order->line = number;
	if (order->line == 1 && !order_header(order, text))
		return false;
	if (*text && *text != '#')
		return order_run(order, text);
	g_string_append_printf(order->out, "%s\n", text);
	return true;
}

static bool alloc_order_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct order order = {.name = name, .error = error, .out = out, .held = g_hash_table_new(NULL, NULL)};
	bool ok = golden_lines(name, text, len, order_line, &order, error);

	iova_domain_free(order.iovad);
	sim_free(order.sim);
	g_hash_table_unref(order.held);
	return ok;
}

static bool alloc_order_probe(const char *text, size_t len)
{
	return len >= strlen("# alloc-order ") &&
	       memcmp(text, "# alloc-order ", strlen("# alloc-order ")) == 0;
}

const struct golden_runner alloc_order_golden_runner = {"alloc-order", alloc_order_probe, alloc_order_emit};
