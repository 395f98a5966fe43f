/* SPDX-License-Identifier: MIT */
#include "sim/report/html.h"

#include <math.h>
#include <string.h>

#include "sim/core/text.h"

const char *const unit_names[UNITS] = {"count", "ns",	       "bytes",	     "percent",
				       "per_s", "bytes_per_s", "thousandths"};

void html_text(GString *html, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1); /* a file name may be anything */
	unsigned count = 0;

	for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		if (++count > HTML_TEXT_MAX) {
			g_string_append(html, "\u2026");
			return;
		}
		if (c == '&')
			g_string_append(html, "&amp;");
		else if (c == '<')
			g_string_append(html, "&lt;");
		else if (c == '>')
			g_string_append(html, "&gt;");
		else if (c == '"')
			g_string_append(html, "&quot;");
		else if (c == '\'')
			g_string_append(html, "&#39;");
		else if (!g_unichar_isprint(c) &&
			 c != '\n') /* nothing turns the direction of text, or is unseen */
			g_string_append(html, "\uFFFD");
		else
			g_string_append_unichar(html, c);
	}
}

void html_json(GString *html, const char *json)
{
	/* These stand in texts only, where they may be written so. */
	for (const char *at = json; *at; at++) {
		if (strchr("<>&", *at))
			g_string_append_printf(html, "\\u%04x", *at);
		else
			g_string_append_c(html, *at);
	}
}

void html_printf(GString *html, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_string_append_vprintf(html, format, args);
	va_end(args);
}

static const char *html_part(const char *const *parts, const char *name, size_t len)
{
	for (; *parts; parts += 2)
		if (strlen(*parts) == len && memcmp(*parts, name, len) == 0)
			return parts[1];
	g_assert_not_reached(); /* a template is ours */
}

void html_template(GString *html, const char *template, const char *const *parts)
{
	const char *open;

	while ((open = strstr(template, "{{"))) {
		const char *close = strstr(open, "}}");

		g_assert(close);
		g_string_append_len(html, template, open - template);
		g_string_append(html, html_part(parts, open + 2, (size_t)(close - open - 2)));
		template = close + 2;
	}
	g_string_append(html, template);
}

/** Returns @value in three digits, "0.123", "12.3", "123"; free with g_free(). */
static char *html_digits(double value)
{
	double size = fabs(value);
	char buffer[G_ASCII_DTOSTR_BUF_SIZE];

	if (value == floor(value) && size < 1000)
		return g_strdup(g_ascii_formatd(buffer, sizeof(buffer), "%.0f", value));
	return g_strdup(g_ascii_formatd(buffer, sizeof(buffer),
					size < 9.995   ? "%.2f"
					: size < 99.95 ? "%.1f"
						       : "%.0f",
					value));
}

struct html_step {
	double factor;
	const char *name;
};

/** @steps from the largest to one of factor 1. */
static char *html_scaled(const struct html_step *steps, double value)
{
	g_autofree char *digits = NULL;

	/* 999.5 and more would have four digits */
	while (steps->factor > 1 && fabs(value) < steps->factor * 0.9995)
		steps++;
	digits = html_digits(value / steps->factor);
	return g_strconcat(digits, steps->name, NULL);
}

char *html_number(enum unit unit, double value)
{
	static const struct html_step steps[UNITS][6] = {
		[UNIT_COUNT] = {{1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, ""}},
		[UNIT_NS] = {{1e9, " s"}, {1e6, " ms"}, {1e3, " us"}, {1, " ns"}},
		[UNIT_BYTES] =
			{{0x1p40, " TiB"}, {0x1p30, " GiB"}, {0x1p20, " MiB"}, {0x1p10, " KiB"}, {1, " B"}},
		[UNIT_PERCENT] = {{1, " %"}},
		[UNIT_PER_S] = {{1e9, " G/s"}, {1e6, " M/s"}, {1e3, " k/s"}, {1, " /s"}},
		[UNIT_BYTES_PER_S] = {{1e9, " GB/s"}, {1e6, " MB/s"}, {1e3, " kB/s"}, {1, " B/s"}},
	};

	return html_scaled(steps[unit], value);
}

char *html_count(enum unit unit, uint64_t value)
{
	if (unit == UNIT_THOUSANDTHS)
		return html_number(UNIT_COUNT, (double)value / 1000);
	return unit == UNIT_COUNT ? text_count(value) : html_number(unit, (double)value);
}

void html_cell_count(GString *html, enum unit unit, uint64_t value)
{
	g_autofree char *text = html_count(unit, value);

	html_printf(html, "<td class=\"n\"><data value=\"%" G_GUINT64_FORMAT "\">%s</data></td>", value,
		    text);
}

void html_cell_number(GString *html, enum unit unit, double value)
{
	g_autofree char *text = html_number(unit, value);
	char exact[G_ASCII_DTOSTR_BUF_SIZE];

	g_ascii_formatd(exact, sizeof(exact), "%.9g", value);
	html_printf(html, "<td class=\"n\"><data value=\"%s\">%s</data></td>", exact, text);
}

enum unit html_key_unit(const char *key)
{
	if (g_str_has_suffix(key, "_ns"))
		return UNIT_NS;
	if (g_str_has_suffix(key, "_thousandths"))
		return UNIT_THOUSANDTHS;
	return g_str_has_suffix(key, "_bytes") ? UNIT_BYTES : UNIT_COUNT;
}

char *html_key_label(const char *key)
{
	static const struct {
		const char *word, *meaning;
	} words[] = {
		{"iova", "IOVA"}, {"iovas", "IOVAs"}, {"iotlb", "IOTLB"},   {"tlb", "TLB"},
		{"cpu", "CPU"},	  {"cpus", "CPUs"},   {"ios", "I/Os"},	    {"iommu", "IOMMU"},
		{"nvme", "NVMe"}, {"pte", "PTE"},     {"pcie", "PCIe"},	    {"hmb", "HMB"},
		{"dma", "DMA"},	  {"op", "kind"},     {"ns", ""},	    {"thousandths", ""},
		{"bytes", ""},	  {"nr", "number"},   {"pt", "page-table"}, {"mmio", "MMIO"},
	};
	g_auto(GStrv) parts = g_strsplit(key, "_", -1);
	GString *label = g_string_new(NULL);

	for (char **part = parts; *part; part++) {
		const char *meaning = *part;

		for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
			if (strcmp(*part, words[i].word) == 0 && (*words[i].meaning || part != parts))
				meaning = words[i].meaning;
		g_string_append_printf(label, "%s%s", label->len && *meaning ? " " : "", meaning);
	}
	return g_string_free(label, FALSE);
}

char *html_key_caption(const char *key)
{
	char *label = html_key_label(key);

	label[0] = g_ascii_toupper(label[0]);
	return label;
}
