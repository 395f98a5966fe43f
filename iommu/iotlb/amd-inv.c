/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/amd-inv.h"

#include <stdio.h>
#include <string.h>

#include "sim/core/error.h"
#include "sim/core/physmem.h"

#define AMD_PAGE_MASK (~UINT64_C(0xfff))
/* Opcodes, in word 1. */
#define COMPLETION_WAIT (UINT32_C(1) << 28)
#define INV_DEVTAB	(UINT32_C(2) << 28)
#define INV_PAGES	(UINT32_C(3) << 28)

#define WAIT_STORE UINT32_C(1)

#define INV_SIZE     UINT64_C(1) /* the address tells the size too: its lowest clear bit */
#define INV_PDE	     UINT64_C(2) /* walk caches too */
#define ADDRESS_BITS 52		 /* above them, an address repeats bit 51 */

void amd_inv_pages(unsigned domain_id, uint64_t iova, uint64_t size, uint32_t ret_words[AMD_INV_WORDS])
{
	uint64_t differing = (iova + size - 1) ^ iova, address = iova & AMD_PAGE_MASK;

	if (differing >> ADDRESS_BITS)
		address = (AMD_INV_ALL & AMD_PAGE_MASK) | INV_SIZE;
	else if (differing & AMD_PAGE_MASK)
		/* In the first address, the highest bit that differs is the clear one above those set here.
		 */
		address =
			((iova | ((UINT64_C(1) << (63 - __builtin_clzll(differing))) - 1)) & AMD_PAGE_MASK) |
			INV_SIZE;
	address |= INV_PDE;
	ret_words[0] = 0;
	ret_words[1] = INV_PAGES | domain_id;
	ret_words[2] = (uint32_t)address;
	ret_words[3] = (uint32_t)(address >> 32);
}

void amd_inv_covers(const uint32_t words[AMD_INV_WORDS], uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t address = (uint64_t)words[3] << 32 | words[2], size = FRAME_SIZE;

	if (address & INV_SIZE)
		size = UINT64_C(2) << __builtin_ctzll(~(address | ~AMD_PAGE_MASK));
	*ret_first = size >> ADDRESS_BITS ? 0 : address & -size;
	*ret_last = size >> ADDRESS_BITS ? UINT64_MAX : *ret_first + size - 1;
}

void amd_inv_devtab_entry(unsigned device, uint32_t ret_words[AMD_INV_WORDS])
{
	memset(ret_words, 0, AMD_INV_WORDS * sizeof(*ret_words));
	ret_words[0] = device;
	ret_words[1] = INV_DEVTAB;
}

void amd_completion_wait(uint64_t address, uint64_t value, uint32_t ret_words[AMD_INV_WORDS])
{
	ret_words[0] = (uint32_t)address | WAIT_STORE;
	ret_words[1] = (uint32_t)(address >> 32) | COMPLETION_WAIT;
	ret_words[2] = (uint32_t)value;
	ret_words[3] = (uint32_t)(value >> 32);
}

uint64_t amd_inv_piece(uint64_t iova, uint64_t size)
{
	uint64_t fitting = UINT64_C(1) << (63 - __builtin_clzll(size)), alignment = iova & -iova;

	return alignment && alignment < fitting ? alignment : fitting;
}

#define GOLDEN_DOMAIN 7

static void golden_command(uint64_t iova, uint64_t size, GString *out)
{
	uint32_t words[AMD_INV_WORDS];

	amd_inv_pages(GOLDEN_DOMAIN, iova, size, words);
	g_string_append_printf(out,
			       " cmd addr=0x%" G_GINT64_MODIFIER "x size=0x%" G_GINT64_MODIFIER
			       "x data=%08x,%08x,%08x,%08x\n",
			       iova, size, words[0], words[1], words[2], words[3]);
}

static void golden_flush(uint64_t iova, uint64_t size, bool np_cache, GString *out)
{
	uint64_t piece;

	if (!np_cache) {
		golden_command(iova, size, out);
		return;
	}
	for (; size; iova += piece, size -= piece) {
		piece = amd_inv_piece(iova, size);
		golden_command(iova, piece, out);
	}
}

struct golden {
	const char *name;
	GString *out;
};

static bool golden_line(void *data, uint64_t number, char *line, GError **error)
{
	const struct golden *golden = data;
	uint64_t first, last;
	unsigned np_cache;
	int used = 0;

	if (line[0] == ' ')
		return true;
	g_string_append_printf(golden->out, "%s\n", line);
	if (line[0] == '#' || line[0] == '\0')
		return true;
	if (sscanf(line, "flush start=%" G_GINT64_MODIFIER "x end=%" G_GINT64_MODIFIER "x np_cache=%u%n",
		   &first, &last, &np_cache, &used) != 3 ||
	    line[used] != '\0' || first > last || np_cache > 1) {
		sim_error_line(error, golden->name, number,
			       "not 'flush start=ADDRESS end=ADDRESS np_cache=0|1': %s", line);
		return false;
	}
	golden_flush(first, last - first + 1, np_cache, golden->out);
	return true;
}

bool amd_inv_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct golden golden = {name, out};

	return golden_lines(name, text, len, golden_line, &golden, error);
}

static bool amd_inv_golden_probe(const char *text, size_t len)
{
	return len > 21 && memcmp(text, "# invalidation-golden", 21) == 0 &&
	       g_strstr_len(text, (gssize)len, "\n# id=inv-amd\n") != NULL;
}

const struct golden_runner amd_inv_golden_runner = {"invalidation", amd_inv_golden_probe,
						    amd_inv_golden_emit};
