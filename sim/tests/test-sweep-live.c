/* SPDX-License-Identifier: MIT */
/*
 * The comparison that a sweep ends with: whatever is different between what is mapped in two runs is said, and nothing else is.
 * One difference of each kind is planted, at every place, and sets drawn at random are compared as by hand.
 */
#include "iommu/pgtable/pgtable.h"
#include "sim/campaign/sweep-internal.h"

#define COUNT 5

static GArray *live_of(const struct sweep_mapping *mappings, unsigned count)
{
	GArray *live = g_array_new(FALSE, FALSE, sizeof(struct sweep_mapping));

	g_array_append_vals(live, mappings, count);
	sweep_live_sort(live);
	return live;
}

/** Returns what is said of @count mappings by comparison with @reference_count of @reference; free with g_free(). */
static char *said_of(const struct sweep_mapping *mappings, unsigned count,
		     const struct sweep_mapping *reference, unsigned reference_count, bool fewer)
{
	g_autoptr(GArray) live = live_of(mappings, count);
	g_autoptr(GArray) other = live_of(reference, reference_count);
	GString *said = g_string_new(NULL);

	sweep_say_live(said, live, other, fewer);
	return g_string_free(said, FALSE);
}

/* Out of order, one of them twice, two of one address on two devices. */
static const struct sweep_mapping usual[COUNT] = {{0, PROT_READ, 0x5000},
						  {0, PROT_READ | PROT_WRITE, 0x1000},
						  {1, PROT_WRITE, 0x1000},
						  {0, PROT_READ, 0x5000},
						  {0, PROT_WRITE, 0x2000}};

static void test_same_is_silent_in_any_order(void)
{
	struct sweep_mapping mappings[COUNT];
	g_autofree char *said = NULL;

	for (unsigned i = 0; i < COUNT; i++)
		mappings[i] = usual[COUNT - 1 - i];
	said = said_of(mappings, COUNT, usual, COUNT, true);
	g_assert_cmpstr(said, ==, "");
}

static void test_planted_change_is_said(void)
{
	static const struct {
		struct sweep_mapping by;
		const char *what;
	} changes[] = {
		{{2, 0, 0}, "device"},
		{{0, PROT_READ | PROT_WRITE | 8, 0}, "permission"},
		{{0, 0, 0x100000}, "address"},
	};

	for (unsigned change = 0; change < G_N_ELEMENTS(changes); change++)
		for (unsigned i = 0; i < COUNT; i++) {
			struct sweep_mapping mappings[COUNT];
			g_autofree char *said = NULL;

			memcpy(mappings, usual, sizeof(usual));
			mappings[i].device += changes[change].by.device;
			mappings[i].prot ^= changes[change].by.prot;
			mappings[i].paddr += changes[change].by.paddr;
			said = said_of(mappings, COUNT, usual, COUNT, true);
			g_test_message("%s of %u: %s", changes[change].what, i, said);
			g_assert_nonnull(strstr(said, "1 granules more mapped"));
			g_assert_nonnull(strstr(said, "1 granules fewer mapped"));
		}
}

static void test_planted_length_is_said(void)
{
	for (unsigned i = 0; i < COUNT; i++) {
		struct sweep_mapping mappings[COUNT];
		g_autofree char *fewer = NULL, *more = NULL, *failed = NULL;

		memcpy(mappings, usual, sizeof(usual));
		mappings[i] = mappings[COUNT - 1];
		fewer = said_of(mappings, COUNT - 1, usual, COUNT, true);
		g_assert_true(
			g_str_has_prefix(fewer, "1 granules fewer mapped where the trace ends, first 0x"));
		more = said_of(usual, COUNT, mappings, COUNT - 1, true);
		g_assert_true(
			g_str_has_prefix(more, "1 granules more mapped where the trace ends, first 0x"));
		/* Of a device that failed a request, fewer is no harm; more is. */
		failed = said_of(mappings, COUNT - 1, usual, COUNT, false);
		g_assert_cmpstr(failed, ==, "");
	}
}

static void test_first_is_named(void)
{
	g_autofree char *said = said_of(usual, COUNT, usual, 0, true);

	g_assert_cmpstr(said, ==, "5 granules more mapped where the trace ends, first 0x1000 (rw) of nvme0");
}

/** Returns how many of @a are not matched, each with another one, by @b. */
static unsigned unmatched(const struct sweep_mapping *a, unsigned a_count, const struct sweep_mapping *b,
			  unsigned b_count)
{
	bool taken[16] = {false};
	unsigned count = 0;

	for (unsigned i = 0; i < a_count; i++) {
		unsigned j;

		for (j = 0; j < b_count; j++)
			if (!taken[j] && a[i].device == b[j].device && a[i].paddr == b[j].paddr &&
			    a[i].prot == b[j].prot)
				break;
		if (j < b_count)
			taken[j] = true;
		else
			count++;
	}
	return count;
}

static unsigned draw(struct prng *prng, struct sweep_mapping *mappings)
{
	unsigned count = (unsigned)prng_below(prng, 16);

	for (unsigned i = 0; i < count; i++)
		mappings[i] =
			(struct sweep_mapping){(unsigned)prng_below(prng, 2),
					       (unsigned)prng_below(prng, 2) + 1, prng_below(prng, 4) << 12};
	return count;
}

static void test_random_sets_as_by_hand(void)
{
	struct prng prng;

	prng_init(&prng, 1, "test-sweep-live");
	for (unsigned round = 0; round < 2000; round++) {
		struct sweep_mapping a[16], b[16];
		unsigned a_count = draw(&prng, a), b_count = draw(&prng, b), more, fewer;
		g_autofree char *said = said_of(a, a_count, b, b_count, true);
		g_autofree char *more_said = NULL, *fewer_said = NULL;

		more = unmatched(a, a_count, b, b_count);
		fewer = unmatched(b, b_count, a, a_count);
		more_said = g_strdup_printf("%u granules more", more);
		fewer_said = g_strdup_printf("%u granules fewer", fewer);
		g_assert_cmpint(strstr(said, more ? more_said : " more ") != NULL, ==, more > 0);
		g_assert_cmpint(strstr(said, fewer ? fewer_said : " fewer ") != NULL, ==, fewer > 0);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/sweep/live/same-is-silent-in-any-order", test_same_is_silent_in_any_order);
	g_test_add_func("/sweep/live/planted-change-is-said", test_planted_change_is_said);
	g_test_add_func("/sweep/live/planted-length-is-said", test_planted_length_is_said);
	g_test_add_func("/sweep/live/first-is-named", test_first_is_named);
	g_test_add_func("/sweep/live/random-sets-as-by-hand", test_random_sets_as_by_hand);
	return g_test_run();
}
