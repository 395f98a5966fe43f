/* SPDX-License-Identifier: MIT */
/*
 * The AMD IOMMU's invalidation command: against what Linux 7.0 wrote, byte by byte, and against what a device
 * would read out of it again.
 */
#include <glib.h>

#include "iommu/iotlb/amd-inv.h"
#include "iommu/tests/golden-files.h"
#include "sim/core/prng.h"

/** Returns the range that hardware takes from a command, by searching upwards for the clear bit; the size 0:
 * all. */
static uint64_t command_range(const uint32_t words[AMD_INV_WORDS], uint64_t *ret_size)
{
	uint64_t address = (uint64_t)words[3] << 32 | (words[2] & 0xfffff000);
	unsigned bit = 12;

	*ret_size = 4096;
	if (!(words[2] & 1))
		return address;
	while (bit < 52 && address >> bit & 1)
		bit++;
	*ret_size = bit == 52 ? 0 : UINT64_C(2) << bit;
	return bit == 52 ? 0 : address & ~(*ret_size - 1);
}

static void draw_range(struct prng *prng, uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = (prng_next(prng) >> (12 + prng_below(prng, 40))) & ~UINT64_C(0xfff);
	*ret_end = (*ret_start + (prng_next(prng) >> (16 + prng_below(prng, 36)))) | 0xfff;
}

static void test_one_command_is_the_smallest_aligned_range(void)
{
	struct prng prng;

	prng_init(&prng, 5, "amd-inv");
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t start, end, size, expected = 4096;
		uint32_t words[AMD_INV_WORDS];

		draw_range(&prng, &start, &end);
		while (start / expected != end / expected)
			expected *= 2;
		amd_inv_pages(0xffff, start, end - start + 1, words);
		g_assert_cmphex(words[0], ==, 0);
		g_assert_cmphex(words[1], ==, 0x3000ffff);
		g_assert_cmphex(command_range(words, &size), ==,
				expected >> 52 > 1 ? 0 : start / expected * expected);
		g_assert_cmphex(size, ==, expected >> 52 > 1 ? 0 : expected);
	}
}

static void test_everything_where_a_range_is_of_more_than_52_bits(void)
{
	static const struct {
		uint64_t iova, size;
	} cases[] = {
		{0, 0},
		{0, UINT64_C(0x7fffffffffffffff)},
		{(UINT64_C(1) << 52) - 4096, 8192},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		uint32_t words[AMD_INV_WORDS];

		amd_inv_pages(1, cases[i].iova, cases[i].size, words);
		g_assert_cmphex(words[2], ==, 0xfffff003);
		g_assert_cmphex(words[3], ==, 0x7fffffff);
	}
}

static void test_pieces_are_aligned_and_cover_the_range_exactly(void)
{
	struct prng prng;

	prng_init(&prng, 6, "amd-inv");
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t start, end, size, piece;

		draw_range(&prng, &start, &end);
		for (size = end - start + 1; size; start += piece, size -= piece) {
			piece = amd_inv_piece(start, size);
			g_assert_cmpuint(__builtin_popcountll(piece), ==, 1);
			g_assert_cmphex(start % piece, ==, 0);
			g_assert_cmphex(piece, <=, size);
			g_assert_true(size / 2 < piece || start / piece % 2 == 1);
		}
		g_assert_cmphex(start, ==, end + 1);
	}
}

static void test_recordings(void)
{
	golden_check_all("inv-amd", amd_inv_golden_emit);
}

static void test_unusable_recording_is_refused_by_line(void)
{
	static const char *const texts[] = {
		"# a\nflush start=0x0 end=0xfff\n",
		"\nflush start=0x2000 end=0x1000 np_cache=0\n",
		"\nflush start=0x0 end=0xfff np_cache=2\n",
		"\nflush start=0x0 end=0xfff np_cache=1 x\n",
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_assert_false(amd_inv_golden_emit("f", texts[i], strlen(texts[i]), out, &error));
		g_assert_true(g_str_has_prefix(error->message, "f:2: "));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/iommu/amd-inv/one-command-is-the-smallest-aligned-range",
			test_one_command_is_the_smallest_aligned_range);
	g_test_add_func("/iommu/amd-inv/everything-where-a-range-is-of-more-than-52-bits",
			test_everything_where_a_range_is_of_more_than_52_bits);
	g_test_add_func("/iommu/amd-inv/pieces-are-aligned-and-cover-the-range-exactly",
			test_pieces_are_aligned_and_cover_the_range_exactly);
	g_test_add_func("/iommu/amd-inv/recordings-byte-for-byte", test_recordings);
	g_test_add_func("/iommu/amd-inv/unusable-recording-is-refused-by-line",
			test_unusable_recording_is_refused_by_line);
	return g_test_run();
}
