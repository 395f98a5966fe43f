/* SPDX-License-Identifier: MIT */
/*
 * The floor: event order, random numbers, physical memory, hash map, numbers as text, locks.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/sha256.h"
#include "sim/core/sim.h"
#include "sim/core/subset.h"
#include "sim/core/text.h"
#include "sim/core/umap.h"

static void test_events_of_one_time_keep_their_order(void)
{
	struct event_queue queue = {0};
	struct event event;

	for (uint32_t i = 0; i < 1000; i++)
		event_queue_push(&queue, i % 7, 1, i);
	for (uint64_t time = 0; time < 7; time++)
		for (uint32_t i = (uint32_t)time; i < 1000; i += 7) {
			g_assert_true(event_queue_pop(&queue, &event));
			g_assert_cmpuint(event.time_ns, ==, time);
			g_assert_cmpuint(event_payload(&event), ==, i);
		}
	g_assert_false(event_queue_pop(&queue, &event));
	event_queue_finish(&queue);
}

/* Reference: repeatedly take the earliest by scanning. */
static void test_events_as_a_sorted_list_would_give_them(void)
{
	struct event_queue queue = {0};
	struct event list[300], event;
	uint32_t live = 0;
	struct prng prng;

	prng_init(&prng, 1, "events");
	for (uint32_t step = 0; step < 20000; step++) {
		if (live < 300 && prng_below(&prng, 5) < 3) {
			list[live] = (struct event){.time_ns = prng_below(&prng, 50), .sequence = step};
			event_queue_push(&queue, list[live].time_ns, 0, step & EVENT_PAYLOAD_MAX);
			list[live++].what = step & EVENT_PAYLOAD_MAX;
		} else if (live) {
			uint32_t best = 0;

			for (uint32_t i = 1; i < live; i++)
				if (list[i].time_ns < list[best].time_ns ||
				    (list[i].time_ns == list[best].time_ns && list[i].sequence < list[best].sequence))
					best = i;
			g_assert_true(event_queue_pop(&queue, &event));
			g_assert_cmpuint(event.time_ns, ==, list[best].time_ns);
			g_assert_cmpuint(event.what, ==, list[best].what);
			list[best] = list[--live];
		}
	}
	event_queue_finish(&queue);
}

/* First draws of splitmix64 from state 0, from its authors' reference code: the algorithm is a promise. */
static void test_prng_is_splitmix64(void)
{
	struct prng prng = {.state = 0};

	g_assert_cmphex(prng_next(&prng), ==, 0xe220a8397b1dcdafu);
	g_assert_cmphex(prng_next(&prng), ==, 0x6e789e6aa1b965f4u);
	g_assert_cmphex(prng_next(&prng), ==, 0x06c45d188009454fu);
}

static void test_prng_consumers_do_not_share(void)
{
	struct prng a, b, again;

	prng_init(&a, 1, "segments");
	prng_init(&b, 1, "latency");
	prng_init(&again, 1, "segments");
	g_assert_cmphex(prng_next(&a), !=, prng_next(&b));
	prng_next(&again);
	g_assert_cmphex(prng_next(&a), ==, prng_next(&again));
}

static void test_frames_are_zeroed_and_reused_last_freed_first(void)
{
	struct physmem mem;
	uint64_t a, b;

	physmem_init(&mem);
	a = physmem_alloc(&mem, 0, FRAME_PGTABLE);
	b = physmem_alloc(&mem, 0, FRAME_PGTABLE);
	g_assert_cmphex(a, ==, PHYSMEM_BASE);
	g_assert_cmphex(b, ==, PHYSMEM_BASE + FRAME_SIZE);
	memset(physmem_bytes(&mem, a), 0xff, FRAME_SIZE);
	physmem_free(&mem, b, 0);
	physmem_free(&mem, a, 0);
	g_assert_false(physmem_has_bytes(&mem, a));
	g_assert_cmphex(physmem_alloc(&mem, 0, FRAME_PGTABLE), ==, a);
	g_assert_cmpuint(*(uint64_t *)physmem_bytes(&mem, a), ==, 0);
	g_assert_cmpuint(mem.in_use[FRAME_PGTABLE], ==, 1);
	/* A block of 16 is aligned to its size and contiguous in the host. */
	b = physmem_alloc(&mem, 4, FRAME_NVME_QUEUE);
	g_assert_cmpuint(b % (16 * FRAME_SIZE), ==, 0);
	memset(physmem_bytes(&mem, b), 1, 16 * FRAME_SIZE);
	/* The largest block lies in one piece of the host's memory too. */
	b = physmem_alloc(&mem, PHYSMEM_ORDER_MAX, FRAME_PGTABLE);
	g_assert_true((uint8_t *)physmem_bytes(&mem, b + (FRAME_SIZE << PHYSMEM_ORDER_MAX) - 1) ==
		      (uint8_t *)physmem_bytes(&mem, b) + (FRAME_SIZE << PHYSMEM_ORDER_MAX) - 1);
	g_assert_cmpuint(mem.in_use[FRAME_NVME_QUEUE], ==, 16);
	physmem_finish(&mem);
}

static void test_frames_are_placed_where_they_were(void)
{
	const uint64_t far = PHYSMEM_BASE + PHYSMEM_PLACE_MAX - FRAME_SIZE;
	struct physmem mem;
	uint64_t next;

	physmem_init(&mem);
	g_assert_true(physmem_place(&mem, PHYSMEM_BASE + 0x700c00, 0x400, FRAME_PGTABLE));
	g_assert_true(physmem_has_bytes(&mem, PHYSMEM_BASE + 0x700000));
	g_assert_false(physmem_has_bytes(&mem, PHYSMEM_BASE));
	g_assert_false(physmem_has_bytes(&mem, PHYSMEM_BASE + 0x701000));
	*(uint64_t *)physmem_bytes(&mem, PHYSMEM_BASE + 0x700c00) = 5;
	/* Two pieces of one frame, the second running into the next, of other host memory: what is there stays. */
	g_assert_true(physmem_place(&mem, PHYSMEM_BASE + 0x700800, 0x200000, FRAME_PGTABLE));
	g_assert_cmpuint(*(uint64_t *)physmem_bytes(&mem, PHYSMEM_BASE + 0x700c00), ==, 5);
	g_assert_cmpuint(*(uint64_t *)physmem_bytes(&mem, PHYSMEM_BASE + 0x900000), ==, 0);
	g_assert_cmpuint(mem.in_use[FRAME_PGTABLE], ==, 0x201);
	next = physmem_alloc(&mem, 0, FRAME_NVME_POOL);
	g_assert_cmphex(next, ==, PHYSMEM_BASE + 0x901000);
	physmem_finish(&mem);

	physmem_init(&mem);
	g_assert_false(physmem_place(&mem, 0x1000, FRAME_SIZE, FRAME_PGTABLE));
	g_assert_false(physmem_place(&mem, far + FRAME_SIZE, FRAME_SIZE, FRAME_PGTABLE));
	g_assert_false(physmem_place(&mem, far, 2 * FRAME_SIZE, FRAME_PGTABLE));
	g_assert_true(physmem_place(&mem, far, FRAME_SIZE, FRAME_PGTABLE));
	physmem_finish(&mem);
}

static bool owner_of_one_frame(void *data, uint64_t paddr, uint64_t *ret_owner)
{
	*ret_owner = 7;
	return paddr == *(const uint64_t *)data;
}

static void test_data_frames_belong_to_whom_the_owner_names(void)
{
	uint64_t owner = 0, frame = 0x2000;
	struct physmem mem;

	physmem_init(&mem);
	g_assert_false(physmem_owner(&mem, 0x2fff, &owner));
	mem.owner = owner_of_one_frame;
	mem.owner_data = &frame;
	g_assert_true(physmem_owner(&mem, 0x2fff, &owner));
	g_assert_cmpuint(owner, ==, 7);
	g_assert_false(physmem_owner(&mem, 0x3000, &owner));
	physmem_finish(&mem);
}

/* Reference: GLib's hash table. Keys from a small range, so that runs of colliding slots form and break up. */
static void test_umap_as_glib_does(void)
{
	struct umap map;
	g_autoptr(GHashTable) reference = g_hash_table_new(NULL, NULL);
	struct prng prng;

	umap_init(&map);
	prng_init(&prng, 3, "umap");
	for (unsigned step = 0; step < 200000; step++) {
		uint64_t key = prng_below(&prng, 400) + 1;
		struct umap_entry *entry;

		if (prng_below(&prng, 2)) {
			umap_insert(&map, key)->value = step;
			g_hash_table_insert(reference, GSIZE_TO_POINTER(key), GSIZE_TO_POINTER(step));
		} else if ((entry = umap_find(&map, key))) {
			g_assert_true(g_hash_table_remove(reference, GSIZE_TO_POINTER(key)));
			umap_remove(&map, entry);
		} else {
			g_assert_false(g_hash_table_contains(reference, GSIZE_TO_POINTER(key)));
		}
		g_assert_cmpuint(map.count, ==, g_hash_table_size(reference));
		entry = umap_find(&map, key);
		g_assert_true(!entry == !g_hash_table_contains(reference, GSIZE_TO_POINTER(key)));
		if (entry)
			g_assert_cmpuint(entry->value, ==,
					 GPOINTER_TO_SIZE(g_hash_table_lookup(reference, GSIZE_TO_POINTER(key))));
	}
	umap_finish(&map);
}

static void test_text_parses_one_way_only(void)
{
	uint64_t value = 42;

	g_assert_true(text_parse_u64("18446744073709551615", &value) && value == UINT64_MAX);
	g_assert_true(text_parse_u64("0x1F", &value) && value == 31);
	for (const char *const *bad = (const char *const[]){"", "-1", "+1", " 1", "1 ", "0x", "0x0x1", "1k",
							     "18446744073709551616", NULL};
	     *bad; bad++)
		g_assert_false(text_parse_u64(*bad, &value));
	g_assert_cmpuint(value, ==, 31);
	g_assert_true(text_parse_time("1.5us", &value) && value == 1500);
	g_assert_true(text_parse_time("10", &value) && value == 10);
	g_assert_false(text_parse_time("0.5ns", &value));
	g_assert_false(text_parse_time("20000000000s", &value));
	g_assert_false(text_parse_time("1 ms", &value));
	g_assert_true(text_parse_size("128k", &value) && value == 131072);
	g_assert_false(text_parse_size("128q", &value));
}

static void test_text_for_people(void)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {{0, "0 ns"},	   {999, "999 ns"},	   {1234, "1.23 us"},	  {12345, "12.3 us"},
		     {123456, "123 us"}, {1234567, "1.23 ms"}, {59000000000, "59.0 s"}};

	for (unsigned i = 0; i < G_N_ELEMENTS(times); i++) {
		g_autofree char *text = text_time(times[i].ns);

		g_assert_cmpstr(text, ==, times[i].text);
	}
	g_autofree char *size = text_size(4608), *count = text_count(1234567);

	g_assert_cmpstr(size, ==, "4608 B");
	g_assert_cmpstr(count, ==, "1,234,567");
}

static void test_a_held_lock_makes_the_next_one_wait(void)
{
	struct sim *sim = sim_new(2, 1);
	struct sim_lock lock = {.name = "tree"};

	sim->cost_ps[WORK_PTE_WRITE] = 100000;
	sim->cost_ps[WORK_CACHE_LINE] = sim->cost_ps[WORK_LOCK_HANDOVER] = 0;
	sim_step_begin(sim, 0, 1000);
	sim_lock(sim, &lock);
	sim_charge(sim, WORK_PTE_WRITE, 5);
	sim_unlock(sim, &lock);
	g_assert_cmpuint(sim_step_end(sim, 1000), ==, 1500);
	sim_step_begin(sim, 1, 1200);
	sim_lock(sim, &lock);
	g_assert_cmpuint(sim_cursor_ns(sim), ==, 1500);
	g_assert_cmpuint(lock.waits, ==, 1);
	g_assert_cmpuint(lock.wait_ns_max, ==, 300);
	sim_unlock(sim, &lock);
	sim_free(sim);
}

static void test_a_lock_from_another_cpu_costs_a_cache_line(void)
{
	struct sim *sim = sim_new(2, 1);
	struct sim_lock lock = {.name = "tree"};
	static const unsigned cpus[] = {0, 0, 1, 1, 0};

	for (unsigned i = 0; i < G_N_ELEMENTS(cpus); i++) {
		sim_step_begin(sim, cpus[i], 1000000 * i);
		sim_lock(sim, &lock);
		sim_unlock(sim, &lock);
	}
	g_assert_cmpuint(sim->work[WORK_CACHE_LINE], ==, 2);
	g_assert_cmpuint(lock.waits, ==, 0);
	sim_free(sim);
}

static void test_a_later_holding_does_not_stop_an_earlier_cpu(void)
{
	struct sim *sim = sim_new(2, 1);
	struct sim_lock lock = {.name = "queue"};

	sim->cost_ps[WORK_PTE_WRITE] = 100000;
	sim->cost_ps[WORK_CACHE_LINE] = sim->cost_ps[WORK_LOCK_HANDOVER] = 0;
	/* CPU 0 is far ahead; CPU 1 asks for the lock long before CPU 0 has it. */
	sim_step_begin(sim, 0, 50000);
	sim_lock(sim, &lock);
	sim_charge(sim, WORK_PTE_WRITE, 1);
	sim_unlock(sim, &lock);
	sim_step_begin(sim, 1, 1000);
	sim_lock(sim, &lock);
	g_assert_cmpuint(sim_cursor_ns(sim), ==, 1000);
	sim_unlock(sim, &lock);
	g_assert_cmpuint(lock.waits, ==, 0);
	/* The later holding is still known. */
	sim_step_begin(sim, 1, 50050);
	sim_lock(sim, &lock);
	g_assert_cmpuint(sim_cursor_ns(sim), ==, 50100);
	sim_unlock(sim, &lock);
	sim_free(sim);
}

/* A closed loop of @cpus that think for @think_ns and hold a lock for @hold_ns, each as often as may be. */
struct lock_loop {
	const char *name;
	unsigned cpus;
	uint64_t think_ns, hold_ns, line_ns, handover_ns;
	uint64_t cycle_ns; /* from one holding of a CPU to its next */
	uint64_t wait_ns;  /* of it, waiting */
};

/* One server, constant times: with n (h + o) above t + c + h + o, the lock is never free and a cycle is n (h + o), where o is the
 * handing over and c the cache line; else nobody waits, and the cycle is t + c + h. */
static const struct lock_loop lock_loops[] = {
	{"alone", 1, 300, 100, 70, 70, 400, 0},
	{"two, enough time", 2, 300, 100, 0, 0, 400, 0},
	{"two, their line moves", 2, 300, 100, 70, 0, 470, 0},
	{"four, just", 4, 300, 100, 0, 0, 400, 0},
	{"five", 5, 300, 100, 0, 0, 500, 100},
	{"sixteen", 16, 300, 100, 0, 0, 1600, 1200},
	{"sixteen, no thought", 16, 0, 100, 0, 0, 1600, 1500},
	{"sixteen, handed over", 16, 300, 100, 70, 60, 2560, 2560 - 300 - 70 - 160},
};

/** Runs all CPUs of @loop for @rounds steps each, always the one that is free first. */
static void run_lock_loop(struct sim *sim, struct sim_lock *lock, const struct lock_loop *loop, unsigned rounds)
{
	for (unsigned i = 0; i < rounds * loop->cpus; i++) {
		unsigned first = 0;

		for (unsigned cpu = 1; cpu < loop->cpus; cpu++)
			if (sim->cpus[cpu].free_at_ns < sim->cpus[first].free_at_ns)
				first = cpu;
		sim->now_ns = sim->cpus[first].free_at_ns;
		sim_step_begin(sim, first, sim->now_ns);
		sim_charge(sim, WORK_BLOCK_SUBMIT, 1);
		sim_lock(sim, lock);
		sim_charge(sim, WORK_IOVA_TREE, 1);
		sim_unlock(sim, lock);
		sim_step_end(sim, sim->now_ns);
	}
}

static void test_a_contended_lock_saturates_as_the_closed_form_says(void)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(lock_loops); i++) {
		const struct lock_loop *loop = &lock_loops[i];
		struct sim *sim = sim_new(loop->cpus, 1);
		struct sim_lock lock = {.name = "tree"};
		uint64_t waited_ns, from_ns;

		g_test_message("%s", loop->name);
		sim->cost_ps[WORK_BLOCK_SUBMIT] = (uint32_t)loop->think_ns * 1000;
		sim->cost_ps[WORK_IOVA_TREE] = (uint32_t)loop->hold_ns * 1000;
		sim->cost_ps[WORK_CACHE_LINE] = (uint32_t)loop->line_ns * 1000;
		sim->cost_ps[WORK_LOCK_HANDOVER] = (uint32_t)loop->handover_ns * 1000;
		run_lock_loop(sim, &lock, loop, 100);
		waited_ns = lock.wait_ns_sum;
		from_ns = sim->cpus[0].free_at_ns;
		run_lock_loop(sim, &lock, loop, 1000);
		g_assert_cmpuint(sim->cpus[0].free_at_ns - from_ns, ==, 1000 * loop->cycle_ns);
		g_assert_cmpuint(lock.wait_ns_sum - waited_ns, ==, 1000 * loop->cpus * loop->wait_ns);
		g_assert_cmpuint(lock.taken, ==, 1100 * loop->cpus);
		g_assert_cmpuint(lock.hold_ps_sum / 1000, ==,
				 lock.taken * loop->hold_ns + sim->work[WORK_LOCK_HANDOVER] * loop->handover_ns);
		sim_free(sim);
	}
}

/* Steps that take the lock up to 40 times each run one after the other on the host, so that their holdings come out of order. */
static void test_a_lock_is_never_held_twice_whatever_the_order_of_steps(void)
{
	struct sim *sim = sim_new(16, 1);
	struct sim_lock lock = {.name = "tree"};
	uint64_t free_ns, end_ns = 0, held_ns = 0;
	struct prng prng;

	prng_init(&prng, 1, "lock");
	sim->cost_ps[WORK_PTE_WRITE] = sim->cost_ps[WORK_IOVA_TREE] = 1000;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned cpu = step % 16, per_step = 1 + prng_below(&prng, 40);

		sim->now_ns = G_MAXUINT64;
		for (unsigned i = 0; i < 16; i++)
			sim->now_ns = MIN(sim->now_ns, sim->cpus[i].free_at_ns);
		while (sim->cpus[cpu].free_at_ns > sim->now_ns)
			cpu = (cpu + 1) % 16;
		sim_step_begin(sim, cpu, sim->now_ns);
		for (unsigned i = 0; i < per_step; i++) {
			sim_charge(sim, WORK_PTE_WRITE, prng_below(&prng, 200));
			sim_lock(sim, &lock);
			sim_charge(sim, WORK_IOVA_TREE, prng_below(&prng, 100));
			sim_unlock(sim, &lock);
		}
		free_ns = sim_step_end(sim, sim->now_ns);
		end_ns = MAX(end_ns, free_ns);
	}
	held_ns = lock.hold_ps_sum / 1000;
	/* Serving one at a time, it cannot have been held for longer than time has passed; nor, so contended, for much less. */
	g_assert_cmpuint(held_ns, <=, end_ns);
	g_assert_cmpuint(held_ns, >, end_ns / 100 * 99);
	sim_free(sim);
}

static void test_nobody_waits_without_time(void)
{
	struct sim *sim = sim_new(2, 1);
	struct sim_lock lock = {.name = "tree"};

	sim->timed = false;
	for (unsigned i = 0; i < 10; i++) {
		sim_step_begin(sim, i % 2, 0);
		sim_lock(sim, &lock);
		sim_charge(sim, WORK_IOVA_TREE, 100);
		sim_unlock(sim, &lock);
	}
	g_assert_cmpuint(lock.taken, ==, 10);
	g_assert_cmpuint(lock.waits, ==, 0);
	sim_free(sim);
}

static void count_findings(void *data, struct sim *sim, unsigned domain, uint64_t iova, uint64_t paddr, uint64_t len,
			   unsigned prot)
{
	*(unsigned *)data += 1;
}

static void test_findings_beyond_the_kept_are_counted(void)
{
	struct sim *sim = sim_new(1, 1);
	unsigned seen = 0;
	struct sim_observer observer = {.map = count_findings, .data = &seen};

	SIM_ANNOUNCE(sim, map, 0, 0, 0, 4096, 3);
	sim_observe(sim, &observer);
	SIM_ANNOUNCE(sim, map, 0, 0, 0, 4096, 3);
	g_assert_cmpuint(seen, ==, 1);
	for (unsigned i = 0; i < 2 * FINDINGS_KEPT; i++)
		sim_find(sim, FINDING_LEAK, "req:1", "mapping %u", i);
	sim_find(sim, FINDING_IOVA_SMALLER_CLASS, NULL, "one");
	g_assert_cmpuint(sim->findings.kept->len, ==, FINDINGS_KEPT + 1);
	g_assert_cmpuint(findings_violations(&sim->findings), ==, 2 * FINDINGS_KEPT);
	g_assert_cmpuint(findings_observations(&sim->findings), ==, 1);
	sim_free(sim);
}

/* --- sha256 ----------------------------------------------------------------------------------------------------- */

/* With the processor's instructions and without, all at once and in pieces, as GLib's, for every length to some blocks. */
static void test_sha256_of_every_length_is_glibs(void)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		g_autofree char *wanted = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes, len);
		char got[SHA256_HEX_LEN + 1];
		struct sha256 whole, pieces;

		sha256_init(&whole);
		sha256_update(&whole, bytes, len);
		sha256_finish(&whole, got);
		g_assert_cmpstr(got, ==, wanted);
		sha256_init_portable(&pieces);
		for (size_t at = 0; at < len; at += 13)
			sha256_update(&pieces, bytes + at, MIN(13, len - at));
		sha256_finish(&pieces, got);
		g_assert_cmpstr(got, ==, wanted);
	}
}

/* --- subset ----------------------------------------------------------------------------------------------------- */

#define CHANGES 12

struct effect {
	unsigned wanted; /* bits of the changes that together have the effect */
	unsigned alone;	 /* bits of those that have it alone */
	unsigned asked;
};

static unsigned bits_of(const bool *in)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < CHANGES; i++)
		bits |= (unsigned)in[i] << i;
	return bits;
}

static int has_effect(void *data, const bool *in, GError **error)
{
	struct effect *effect = data;

	effect->asked++;
	return (bits_of(in) & effect->wanted) == effect->wanted || (bits_of(in) & effect->alone) != 0;
}

/* Whichever changes have it: every pair, every single one, all, and one alone beside a pair without it. */
static void test_subset_is_what_has_the_effect(void)
{
	for (unsigned wanted = 1; wanted < 1u << CHANGES; wanted++) {
		struct effect effect = {.wanted = wanted};
		bool in[CHANGES];

		memset(in, true, sizeof(in));
		g_assert_true(subset_reduce(CHANGES, in, has_effect, &effect, NULL));
		g_assert_cmphex(bits_of(in), ==, wanted);
		g_assert_cmpuint(effect.asked, <, 300);
	}
}

static void test_subset_of_one_is_preferred(void)
{
	for (unsigned one = 0; one < CHANGES; one++) {
		struct effect effect = {.wanted = 3u << (one < 2 ? 4 : 0), .alone = 1u << one};
		bool in[CHANGES];

		memset(in, true, sizeof(in));
		g_assert_true(subset_reduce(CHANGES, in, has_effect, &effect, NULL));
		g_assert_cmphex(bits_of(in), ==, 1u << one);
	}
}

static int cannot_tell(void *data, const bool *in, GError **error)
{
	return sim_error_plain(error, "no run");
}

static void test_subset_ends_with_an_error(void)
{
	g_autoptr(GError) error = NULL;
	bool in[] = {true, true};

	g_assert_false(subset_reduce(2, in, cannot_tell, NULL, &error));
	g_assert_cmpstr(error->message, ==, "no run");
}

static void test_text_nearest_finds_what_was_meant(void)
{
	static const char *const names[] = {"replay", "trace info", "trace convert", "iommu.mode", "op", NULL};
	static const char *const long_names[] = {
		"a-name-that-is-longer-than-any-that-somebody-types-and-so-is-near-to-none-of-them", NULL};

	g_assert_cmpstr(text_nearest("replya", names), ==, "replay"); /* swapped */
	g_assert_cmpstr(text_nearest("rplay", names), ==, "replay");  /* missing */
	g_assert_cmpstr(text_nearest("trace infos", names), ==, "trace info");
	g_assert_cmpstr(text_nearest("iommu.mod", names), ==, "iommu.mode");
	g_assert_cmpstr(text_nearest("replay", names), ==, "replay");
	g_assert_null(text_nearest("xx", names)); /* of two letters none may be wrong */
	g_assert_null(text_nearest("", names));
	g_assert_null(text_nearest("something", names));
	g_assert_null(text_nearest(long_names[0], long_names));
	g_assert_null(text_nearest("a-name", long_names));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/core/event/one-time-keeps-order", test_events_of_one_time_keep_their_order);
	g_test_add_func("/core/event/random-as-sorted-list", test_events_as_a_sorted_list_would_give_them);
	g_test_add_func("/core/prng/is-splitmix64", test_prng_is_splitmix64);
	g_test_add_func("/core/prng/consumers-do-not-share", test_prng_consumers_do_not_share);
	g_test_add_func("/core/physmem/zeroed-and-lifo", test_frames_are_zeroed_and_reused_last_freed_first);
	g_test_add_func("/core/physmem/placed-where-they-were", test_frames_are_placed_where_they_were);
	g_test_add_func("/core/physmem/owners", test_data_frames_belong_to_whom_the_owner_names);
	g_test_add_func("/core/umap/random-as-glib", test_umap_as_glib_does);
	g_test_add_func("/core/text/parses-one-way-only", test_text_parses_one_way_only);
	g_test_add_func("/core/text/for-people", test_text_for_people);
	g_test_add_func("/core/lock/next-waits", test_a_held_lock_makes_the_next_one_wait);
	g_test_add_func("/core/lock/from-another-cpu-costs-a-cache-line",
			test_a_lock_from_another_cpu_costs_a_cache_line);
	g_test_add_func("/core/lock/later-holding-does-not-stop-earlier-cpu",
			test_a_later_holding_does_not_stop_an_earlier_cpu);
	g_test_add_func("/core/lock/contended-is-as-closed-form",
			test_a_contended_lock_saturates_as_the_closed_form_says);
	g_test_add_func("/core/lock/one-at-a-time-in-any-order",
			test_a_lock_is_never_held_twice_whatever_the_order_of_steps);
	g_test_add_func("/core/lock/no-waits-without-time", test_nobody_waits_without_time);
	g_test_add_func("/core/finding/counted-beyond-kept", test_findings_beyond_the_kept_are_counted);
	g_test_add_func("/core/sha256/of-every-length-is-glibs", test_sha256_of_every_length_is_glibs);
	g_test_add_func("/core/subset/is-what-has-the-effect", test_subset_is_what_has_the_effect);
	g_test_add_func("/core/subset/of-one-is-preferred", test_subset_of_one_is_preferred);
	g_test_add_func("/core/subset/ends-with-an-error", test_subset_ends_with_an_error);
	g_test_add_func("/core/text/nearest-finds-what-was-meant", test_text_nearest_finds_what_was_meant);
	return g_test_run();
}
