/* SPDX-License-Identifier: MIT */
#include "iommu/iotlb/vtd-inv.h"

#include <stdio.h>
#include <string.h>

#include "iommu/iotlb/ats.h"
#include "sim/core/error.h"
#include "sim/core/text.h"

#define QI_IOTLB_TYPE	UINT64_C(0x2)
#define QI_GRAN_DOMAIN	(UINT64_C(2) << 4)
#define QI_GRAN_PAGE	(UINT64_C(3) << 4)
#define QI_DRAIN_WRITES (UINT64_C(1) << 6)
#define QI_DRAIN_READS	(UINT64_C(1) << 7)
#define QI_DOMAIN_SHIFT 16
#define QI_HINT		(UINT64_C(1) << 6)
#define VTD_PAGE_LG2	12

void vtd_psi(uint64_t start, uint64_t end, uint64_t *ret_addr, unsigned *ret_mask)
{
	uint64_t first = start >> VTD_PAGE_LG2, last = end >> VTD_PAGE_LG2;

	/* Pages whose numbers agree from some bit on upwards lie in one block of that order, and in no
	 * smaller one. */
	*ret_mask = first == last ? 0 : 64 - (unsigned)__builtin_clzll(first ^ last);
	*ret_addr = first >> *ret_mask << *ret_mask << VTD_PAGE_LG2;
}

void vtd_iotlb_desc(unsigned domain_id, uint64_t addr, unsigned mask, bool ih, bool dw_dr, uint64_t ret_qw[2])
{
	ret_qw[0] = QI_IOTLB_TYPE | (uint64_t)domain_id << QI_DOMAIN_SHIFT;
	if (dw_dr)
		ret_qw[0] |= QI_DRAIN_WRITES | QI_DRAIN_READS;
	if (mask > VTD_MAMV) {
		ret_qw[0] |= QI_GRAN_DOMAIN;
		ret_qw[1] = 0;
	} else {
		ret_qw[0] |= QI_GRAN_PAGE;
		ret_qw[1] = addr | (ih ? QI_HINT : 0) | mask;
	}
}

uint64_t vtd_dev_iotlb_addr(uint64_t addr, unsigned mask)
{
	uint64_t page_mask = ~((UINT64_C(1) << VTD_PAGE_LG2) - 1);

	if (mask == 0)
		return addr & page_mask;
	return ((addr | ((UINT64_C(1) << (VTD_PAGE_LG2 + mask - 1)) - 1)) & page_mask) | ATS_SIZE;
}

#define GOLDEN_DOMAIN 7

static void golden_flush(uint64_t start, uint64_t end, GString *out)
{
	uint64_t addr, qw[2];
	unsigned mask;

	vtd_psi(start, end, &addr, &mask);
	g_string_append_printf(out, " psi addr=0x%" G_GINT64_MODIFIER "x mask=%u\n", addr, mask);
	for (unsigned ih = 0; ih <= 1; ih++) {
		vtd_iotlb_desc(GOLDEN_DOMAIN, addr, mask, ih, true, qw);
		g_string_append_printf(out, " desc ih=%u qw0=", ih);
		text_append_hex(out, qw[0], 16);
		g_string_append(out, " qw1=");
		text_append_hex(out, qw[1], 16);
		g_string_append_c(out, '\n');
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
	int used = 0;

	if (line[0] == ' ')
		return true;
	g_string_append_printf(golden->out, "%s\n", line);
	if (line[0] == '#' || line[0] == '\0')
		return true;
	if (sscanf(line, "flush start=%" G_GINT64_MODIFIER "x end=%" G_GINT64_MODIFIER "x%n", &first, &last,
		   &used) != 2 ||
	    line[used] != '\0' || first > last) {
		sim_error_line(error, golden->name, number, "not 'flush start=ADDRESS end=ADDRESS': %s", line);
		return false;
	}
	golden_flush(first, last, golden->out);
	return true;
}

bool vtd_inv_golden_emit(const char *name, const char *text, size_t len, GString *out, GError **error)
{
	struct golden golden = {name, out};

	return golden_lines(name, text, len, golden_line, &golden, error);
}

static bool vtd_inv_golden_probe(const char *text, size_t len)
{
	return len > 21 && memcmp(text, "# invalidation-golden", 21) == 0 &&
	       g_strstr_len(text, (gssize)len, "\n# id=inv-vtd\n") != NULL;
}

const struct golden_runner vtd_inv_golden_runner = {"invalidation", vtd_inv_golden_probe,
						    vtd_inv_golden_emit};
