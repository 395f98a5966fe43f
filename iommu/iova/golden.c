/* SPDX-License-Identifier: MIT */
#include "iommu/iova/golden.h"

#include <errno.h>
#include <string.h>

#include "iommu/iova/domain.h"
#include "sim/core/error.h"

#define HEX "%" G_GINT64_MODIFIER "x"
#define DEC "%" G_GUINT64_FORMAT

#define WORDS_MAX	  8
#define STRESS_OPS_MAX	  1000000000 /* an input may not keep us for hours */
#define STRESS_SIZES_MAX  64
#define SIZE_MAX_GRANULES (UINT64_C(1) << 63)

/* Failure injection: attempts that a counter still lets pass, with the one that fails; 0 is off. */
enum { FAIL_ANY, FAIL_NODE, FAIL_MAGAZINE, FAIL_CPUHP, FAIL_COUNTERS };

struct golden {
	const char *name;
	uint64_t line;
	GError **error;
	struct sim *sim;
	struct iova_domain *iovad; /* NULL before the first and after it was destroyed */
	uint64_t fail[FAIL_COUNTERS];
	char *words[WORDS_MAX]; /* the operation's arguments */
	unsigned word_count;
	GString *out;
};

static bool bad_line(struct golden *golden, const char *why)
{
	sim_error_line(golden->error, golden->name, golden->line, "%s", why);
	return false;
}

/* Reads argument @index, which fills its word, in @base 10 or 16 without a prefix, at most @max. */
static bool number(struct golden *golden, unsigned index, unsigned base, uint64_t max, uint64_t *ret_value)
{
	const char *word = golden->words[index];
	uint64_t value = 0;

	for (const char *c = word; *c; c++) {
		int digit = base == 16 ? g_ascii_xdigit_value(*c) : g_ascii_digit_value(*c);

		if (digit < 0 || value > (UINT64_MAX - (uint64_t)digit) / base) {
			sim_error_line(golden->error, golden->name, golden->line, "'%s' is not a number",
				       word);
			return false;
		}
		value = value * base + (uint64_t)digit;
	}
	if (!*word || value > max) {
		sim_error_line(golden->error, golden->name, golden->line,
			       "'%s' is out of range, at most " DEC, word, max);
		return false;
	}
	*ret_value = value;
	return true;
}

static bool decimal(struct golden *golden, unsigned index, uint64_t max, uint64_t *ret_value)
{
	return number(golden, index, 10, max, ret_value);
}

static bool hex(struct golden *golden, unsigned index, uint64_t *ret_value)
{
	return number(golden, index, 16, UINT64_MAX, ret_value);
}

static bool size_argument(struct golden *golden, unsigned index, uint64_t *ret_size)
{
	if (!decimal(golden, index, SIZE_MAX_GRANULES, ret_size))
		return false;
	return *ret_size ? true : bad_line(golden, "size of no granules");
}

/* Reads the CPU in argument @index and runs on it. */
static bool run_on(struct golden *golden, unsigned index, uint64_t *ret_cpu)
{
	if (!decimal(golden, index, golden->sim->cpu_count - 1, ret_cpu))
		return false;
	golden->sim->cpu = (unsigned)*ret_cpu;
	return true;
}

static bool need_rcaches(struct golden *golden)
{
	return golden->iovad->rcaches ? true : bad_line(golden, "the domain has no caches");
}

/* Counts an attempt against @counter; returns whether it is the one that fails. */
static bool fail_now(struct golden *golden, unsigned counter)
{
	return golden->fail[counter] && --golden->fail[counter] == 0;
}

/* The counters are independent: one attempt may use up two of them. */
static int inject(void *data, enum iova_memory_kind kind)
{
	struct golden *golden = data;
	bool fail = false;

	if (kind == IOVA_MEMORY_CPUHP)
		return fail_now(golden, FAIL_CPUHP) ? -ENOMEM : 0;
	fail |= fail_now(golden, FAIL_ANY);
	if (kind == IOVA_MEMORY_NODE)
		fail |= fail_now(golden, FAIL_NODE);
	if (kind == IOVA_MEMORY_MAGAZINE)
		fail |= fail_now(golden, FAIL_MAGAZINE);
	return fail ? -ENOMEM : 0;
}

static void append_memory(struct golden *golden, const struct iova_memory *memory)
{
	static const char *const names[IOVA_MEMORY_KINDS] = {"node", "mag", "array", "percpu", "cpuhp"};

	for (unsigned kind = 0; kind < IOVA_MEMORY_KINDS; kind++)
		g_string_append_printf(golden->out, "%s%s=" DEC "/" DEC, kind ? " " : " = ", names[kind],
				       memory->allocs[kind], memory->frees[kind]);
}

static void drop_domain(struct golden *golden, struct iova_memory *ret_memory)
{
	iova_domain_finish(g_steal_pointer(&golden->iovad), ret_memory);
	sim_free(g_steal_pointer(&golden->sim));
}

static bool op_domain(struct golden *golden)
{
	uint64_t granule, start_pfn, cpus, page;

	if (!decimal(golden, 0, UINT64_C(1) << 32, &granule) || !hex(golden, 1, &start_pfn) ||
	    !decimal(golden, 2, SIM_CPUS_MAX, &cpus) || !decimal(golden, 3, UINT64_C(1) << 32, &page))
		return false;
	if (granule < 2 || (granule & (granule - 1)) || granule > page)
		return bad_line(golden, "the granule is no power of two, or above the page size");
	if (!cpus)
		return bad_line(golden, "no CPUs");
	drop_domain(golden, NULL);
	memset(golden->fail, 0, sizeof(golden->fail));
	golden->sim = sim_new((unsigned)cpus, 0);
	/* The kernel that was recorded frees null magazines safely. */
	behaviour_set_version(golden->sim, KERNEL_FIXED);
	golden->iovad = iova_domain_new(golden->sim, granule, start_pfn, 0, EVENT_KINDS);
	iova_set_allocation_hook(golden->iovad, inject, golden);
	g_string_append_printf(golden->out, " = " HEX, golden->iovad->dma_32bit_pfn);
	return true;
}

static bool op_rcaches(struct golden *golden)
{
	if (golden->iovad->rcaches)
		return bad_line(golden, "the domain has its caches already");
	g_string_append_printf(golden->out, " = %d", iova_rcaches_init(golden->iovad));
	return true;
}

static bool op_destroy(struct golden *golden)
{
	struct iova_memory memory;

	drop_domain(golden, &memory);
	append_memory(golden, &memory);
	return true;
}

static bool op_alloc(struct golden *golden)
{
	uint64_t cpu, size, limit, flush;

	if (!need_rcaches(golden) || !run_on(golden, 0, &cpu) || !size_argument(golden, 1, &size) ||
	    !hex(golden, 2, &limit) || !decimal(golden, 3, 1, &flush))
		return false;
	g_string_append_printf(golden->out, " = " HEX, iova_alloc_fast(golden->iovad, size, limit, flush));
	return true;
}

static bool op_free(struct golden *golden)
{
	uint64_t cpu, pfn, size;

	if (!need_rcaches(golden) || !run_on(golden, 0, &cpu) || !hex(golden, 1, &pfn) ||
	    !size_argument(golden, 2, &size))
		return false;
	iova_free_fast(golden->iovad, pfn, size);
	return true;
}

static bool op_ralloc(struct golden *golden)
{
	uint64_t size, limit, aligned, pfn;

	if (!size_argument(golden, 0, &size) || !hex(golden, 1, &limit) || !decimal(golden, 2, 1, &aligned))
		return false;
	if (iova_alloc_tree(golden->iovad, size, limit, aligned, &pfn))
		g_string_append_printf(golden->out, " = " HEX, pfn);
	else
		g_string_append(golden->out, " = -");
	return true;
}

static bool op_rfree(struct golden *golden)
{
	uint64_t pfn;

	if (!hex(golden, 0, &pfn))
		return false;
	iova_free_tree(golden->iovad, pfn);
	return true;
}

static void append_range(struct golden *golden, bool have, uint64_t lo, uint64_t hi)
{
	if (have)
		g_string_append_printf(golden->out, " = " HEX " " HEX, lo, hi);
	else
		g_string_append(golden->out, " = -");
}

static bool op_find(struct golden *golden)
{
	uint64_t pfn, lo = 0, hi = 0;
	bool found;

	if (!hex(golden, 0, &pfn))
		return false;
	found = iova_find(golden->iovad, pfn, &lo, &hi);
	append_range(golden, found, lo, hi);
	return true;
}

static bool op_resv(struct golden *golden)
{
	uint64_t lo, hi;
	bool reserved;

	if (!hex(golden, 0, &lo) || !hex(golden, 1, &hi))
		return false;
	if (lo > hi)
		return bad_line(golden, "the range ends before it starts");
	reserved = iova_reserve(golden->iovad, lo, hi, &lo, &hi);
	append_range(golden, reserved, lo, hi);
	return true;
}

static bool op_work(struct golden *golden)
{
	uint64_t order;
	bool ran;

	if (!need_rcaches(golden) || !decimal(golden, 0, IOVA_ORDERS - 1, &order))
		return false;
	ran = iova_depot_work(golden->iovad, (unsigned)order);
	g_string_append_printf(golden->out, " = %s " DEC " %d", ran ? "ran" : "idle",
			       iova_depot_size(golden->iovad, (unsigned)order),
			       iova_depot_pending(golden->iovad, (unsigned)order));
	return true;
}

static bool op_offline(struct golden *golden)
{
	uint64_t cpu;

	if (!run_on(golden, 0, &cpu))
		return false;
	iova_cpu_offline(golden->iovad, (unsigned)cpu);
	return true;
}

static bool op_online(struct golden *golden)
{
	uint64_t cpu;

	if (!run_on(golden, 0, &cpu))
		return false;
	iova_cpu_online(golden->iovad, (unsigned)cpu);
	return true;
}

static bool op_fail(struct golden *golden)
{
	static const char *const kinds[FAIL_COUNTERS] = {"any", "node", "mag", "cpuhp"};

	for (unsigned counter = 0; counter < FAIL_COUNTERS; counter++)
		if (strcmp(golden->words[0], kinds[counter]) == 0)
			return decimal(golden, 1, UINT64_MAX, &golden->fail[counter]);
	return bad_line(golden, "unknown kind of failure");
}

static bool op_mem(struct golden *golden)
{
	append_memory(golden, iova_memory(golden->iovad));
	return true;
}

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)

/* FNV-1a over the eight bytes of @word, least significant first. */
static uint64_t fnv(uint64_t hash, uint64_t word)
{
	for (unsigned i = 0; i < 8; i++) {
		hash = (hash ^ (word & 0xff)) * UINT64_C(0x100000001b3);
		word >>= 8;
	}
	return hash;
}

static void fnv_range(void *data, uint64_t lo, uint64_t hi)
{
	uint64_t *hash = data;

	*hash = fnv(fnv(*hash, lo), hi);
}

static uint64_t fnv_magazine(uint64_t hash, const struct iova_magazine *magazine, uint64_t size)
{
	hash = fnv(hash, size);
	for (uint64_t i = 0; i < size; i++)
		hash = fnv(hash, magazine->pfns[i]);
	return hash;
}

static uint64_t fnv_rcaches(uint64_t hash, const struct iova_domain *iovad)
{
	if (!iovad->rcaches)
		return fnv(hash, UINT64_MAX);
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		const struct iova_rcache *rcache = &iovad->rcaches[order];

		hash = fnv(hash, rcache->depot_size);
		for (const struct iova_magazine *full = rcache->depot; full; full = full->next)
			hash = fnv_magazine(hash, full, IOVA_MAGAZINE_PFNS);
		for (unsigned cpu = 0; cpu < iovad->sim->cpu_count; cpu++) {
			const struct iova_cpu_rcache *cpu_rcache = &rcache->cpu_rcaches[cpu];

			hash = fnv_magazine(hash, cpu_rcache->loaded, cpu_rcache->loaded->size);
			hash = fnv_magazine(hash, cpu_rcache->prev, cpu_rcache->prev->size);
		}
	}
	return hash;
}

static uint64_t state_hash(const struct iova_domain *iovad)
{
	struct iova_state state = iova_state(iovad);
	uint64_t hash = fnv(FNV_BASIS, iova_node_count(iovad));

	iova_each_range(iovad, fnv_range, &hash);
	hash = fnv(hash, state.cached_lo);
	hash = fnv(hash, state.cached32_lo);
	hash = fnv(hash, state.max32_alloc_size);
	return fnv_rcaches(hash, iovad);
}

static void count_cached(void *data, uint64_t pfn, unsigned order, const char *place, unsigned cpu)
{
	*(uint64_t *)data += 1;
}

static void append_rcaches(struct golden *golden)
{
	const struct iova_domain *iovad = golden->iovad;
	uint64_t cached = 0;

	if (!iovad->rcaches) {
		g_string_append(golden->out, " rcaches=none");
		return;
	}
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		g_string_append_printf(golden->out, "%s" DEC,
				       order ? "," : " depot=", iova_depot_size(iovad, order));
	g_string_append(golden->out, " pend=");
	for (unsigned order = 0; order < IOVA_ORDERS; order++)
		g_string_append_c(golden->out, iova_depot_pending(iovad, order) ? '1' : '0');
	iova_each_cached(iovad, count_cached, &cached);
	g_string_append_printf(golden->out, " cached=" DEC, cached);
}

static bool op_check(struct golden *golden)
{
	const struct iova_domain *iovad = golden->iovad;
	struct iova_state state = iova_state(iovad);

	g_string_append_printf(golden->out, " = nodes=" DEC " c=" HEX " c32=" HEX " m32=" HEX,
			       iova_node_count(iovad), state.cached_lo, state.cached32_lo,
			       state.max32_alloc_size);
	append_rcaches(golden);
	g_string_append_printf(golden->out, " warn=" DEC " hash=%016" G_GINT64_MODIFIER "x",
			       iova_stats(iovad)->warnings, state_hash(iovad));
	return true;
}

static bool op_mags(struct golden *golden)
{
	uint64_t cpu;

	if (!need_rcaches(golden) || !run_on(golden, 0, &cpu))
		return false;
	for (unsigned order = 0; order < IOVA_ORDERS; order++) {
		const struct iova_cpu_rcache *cpu_rcache = &golden->iovad->rcaches[order].cpu_rcaches[cpu];

		g_string_append_printf(golden->out, "%s" DEC "/" DEC, order ? " " : " = ",
				       cpu_rcache->loaded->size, cpu_rcache->prev->size);
	}
	return true;
}

static void append_dumped(void *data, uint64_t lo, uint64_t hi)
{
	g_string_append_printf(data, " " HEX "-" HEX, lo, hi);
}

static bool op_dump(struct golden *golden)
{
	g_string_append(golden->out, " =");
	if (iova_node_count(golden->iovad))
		iova_each_range(golden->iovad, append_dumped, golden->out);
	else
		g_string_append(golden->out, " empty");
	return true;
}

/* A run of generated operations. */
struct stress {
	struct prng prng;
	uint64_t ops, live_max, limit, flush;
	uint64_t sizes[STRESS_SIZES_MAX];
	unsigned size_count;
	GArray *live; /* of struct live */
	uint64_t fails, hash;
};

struct live {
	uint64_t pfn, size;
};

static bool stress_sizes(struct golden *golden, unsigned index, struct stress *stress)
{
	g_auto(GStrv) words = g_strsplit(golden->words[index], ",", -1);

	for (; words[stress->size_count]; stress->size_count++) {
		if (stress->size_count == STRESS_SIZES_MAX)
			return bad_line(golden, "too many sizes");
		golden->words[index] = words[stress->size_count];
		if (!size_argument(golden, index, &stress->sizes[stress->size_count]))
			return false;
	}
	return stress->size_count ? true : bad_line(golden, "no sizes");
}

static void stress_step(struct golden *golden, struct stress *stress)
{
	uint64_t draw = prng_next(&stress->prng), x = draw >> 24;
	GArray *live = stress->live;
	struct live one;

	golden->sim->cpu = (unsigned)(draw & 0xffff) % golden->sim->cpu_count;
	if (live->len == 0 || (live->len < stress->live_max && (draw >> 16 & 0xff) < 134)) {
		one.size = stress->sizes[x % stress->size_count];
		one.pfn = iova_alloc_fast(golden->iovad, one.size, stress->limit, stress->flush);
		stress->hash = fnv(stress->hash, one.pfn);
		if (one.pfn)
			g_array_append_val(live, one);
		else
			stress->fails++;
		return;
	}
	x %= live->len;
	one = g_array_index(live, struct live, x);
	iova_free_fast(golden->iovad, one.pfn, one.size);
	g_array_remove_index_fast(live, (unsigned)x);
}

static bool op_stress(struct golden *golden)
{
	struct stress stress = {.hash = FNV_BASIS};

	if (!need_rcaches(golden) || !hex(golden, 0, &stress.prng.state) ||
	    !decimal(golden, 1, STRESS_OPS_MAX, &stress.ops) ||
	    !decimal(golden, 2, UINT32_MAX, &stress.live_max) || !hex(golden, 3, &stress.limit) ||
	    !decimal(golden, 4, 1, &stress.flush) || !stress_sizes(golden, 5, &stress))
		return false;
	stress.live = g_array_new(FALSE, FALSE, sizeof(struct live));
	for (uint64_t i = 0; i < stress.ops; i++) {
		stress_step(golden, &stress);
		for (unsigned order = 0; i % 4096 == 4095 && order < IOVA_ORDERS; order++)
			iova_depot_work(golden->iovad, order);
	}
	g_string_append_printf(golden->out, " = live=%u fails=" DEC " hash=%016" G_GINT64_MODIFIER "x",
			       stress.live->len, stress.fails, stress.hash);
	golden->sim->cpu = 0;
	for (unsigned i = stress.live->len; i-- > 0;) {
		struct live *one = &g_array_index(stress.live, struct live, i);

		iova_free_fast(golden->iovad, one->pfn, one->size);
	}
	g_array_free(stress.live, TRUE);
	return true;
}

static const struct op {
	const char *name;
	unsigned arguments;
	bool (*run)(struct golden *golden);
} ops[] = {
	{"domain", 4, op_domain}, {"rcaches", 0, op_rcaches}, {"destroy", 0, op_destroy},
	{"alloc", 4, op_alloc},	  {"free", 3, op_free},	      {"ralloc", 3, op_ralloc},
	{"rfree", 1, op_rfree},	  {"find", 1, op_find},	      {"resv", 2, op_resv},
	{"work", 1, op_work},	  {"offline", 1, op_offline}, {"online", 1, op_online},
	{"fail", 2, op_fail},	  {"mem", 0, op_mem},	      {"check", 0, op_check},
	{"mags", 1, op_mags},	  {"dump", 0, op_dump},	      {"stress", 6, op_stress},
};

/* Splits @input at its blanks into the operation's name and golden->words. NULL, with the error set, if too many. */
static const char *split(struct golden *golden, char *input)
{
	char *save = NULL, *name = strtok_r(input, " ", &save), *word;

	golden->word_count = 0;
	while (name && (word = strtok_r(NULL, " ", &save))) {
		if (golden->word_count == WORDS_MAX) {
			bad_line(golden, "too many arguments");
			return NULL;
		}
		golden->words[golden->word_count++] = word;
	}
	if (!name)
		bad_line(golden, "no operation");
	return name;
}

static bool run_op(struct golden *golden, char *input)
{
	const char *name = split(golden, input);

	if (!name)
		return false;
	for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
		if (strcmp(name, ops[i].name) != 0)
			continue;
		if (golden->word_count != ops[i].arguments)
			return bad_line(golden, "wrong number of arguments");
		if (!golden->iovad && ops[i].run != op_domain)
			return bad_line(golden, "there is no domain");
		return ops[i].run(golden);
	}
	sim_error_line(golden->error, golden->name, golden->line, "unknown operation '%s'", name);
	return false;
}

/* Answers one line, of which @line holds a copy. */
static bool run_line(void *data, uint64_t number, char *line, GError **error)
{
	struct golden *golden = data;
	char *result = strstr(line, " = ");

	golden->line = number;
	if (golden->line == 1 && strcmp(line, "iova-golden 1") != 0)
		return bad_line(golden, "not an 'iova-golden 1' file");
	if (golden->line > 1 && *line && *line != '#') {
		if (result)
			*result = '\0';
		g_string_append(golden->out, line);
		if (!run_op(golden, line))
			return false;
	} else {
		g_string_append(golden->out, line);
	}
	g_string_append_c(golden->out, '\n');
	return true;
}

bool iova_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct golden golden = {.name = name, .error = error, .out = out};
	bool ok;

	if (!len) {
		golden.line = 1;
		return bad_line(&golden, "not an 'iova-golden 1' file");
	}
	ok = golden_lines(name, text, len, run_line, &golden, error);
	drop_domain(&golden, NULL);
	return ok;
}

static bool iova_golden_probe(const char *text, size_t len)
{
	return len >= strlen("iova-golden ") && memcmp(text, "iova-golden ", strlen("iova-golden ")) == 0;
}

const struct golden_runner iova_golden_runner = {"iova", iova_golden_probe, iova_golden_emit};
