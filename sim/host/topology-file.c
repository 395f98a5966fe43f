/* SPDX-License-Identifier: MIT */
/*
 * Saved configuration spaces: the bytes of one, or lspci's dump of any number.
 */
#include <string.h>

#include "sim/core/error.h"
#include "sim/host/topology.h"
#include "sim/io/input.h"

#define LINE_BYTES 16u /* of a dump */

struct dump {
	struct input *input;
	GPtrArray *functions;
	struct pci_function *function; /* the one being read; NULL: none yet */
	uint64_t first_line;	       /* of its bytes */
	uint8_t bytes[PCI_CONFIG_BYTES];
	size_t len;
};

static bool is_whole(size_t len)
{
	return len == PCI_STANDARD_BYTES || len == PCI_CONFIG_BYTES;
}

/* ---- bytes ---- */

static bool read_bytes(struct dump *dump, GError **error)
{
	const char *path = input_path(dump->input);
	struct pci_damage damage;
	const uint8_t *bytes;
	ssize_t len = input_peek(dump->input, PCI_CONFIG_BYTES + 1, &bytes, error);

	if (len < 0)
		return false;
	if ((size_t)len > PCI_CONFIG_BYTES)
		return sim_error_offset(error, path, PCI_CONFIG_BYTES,
					"more than the %u bytes of a configuration space",
					PCI_CONFIG_BYTES) == 0;
	if (!is_whole((size_t)len))
		return sim_error_offset(error, path, (uint64_t)len,
					"cut off: a configuration space has %u or %u bytes (the kernel gives "
					"64 to those "
					"who are not root)",
					PCI_STANDARD_BYTES, PCI_CONFIG_BYTES) == 0;
	dump->function = pci_function_new(NULL);
	g_ptr_array_add(dump->functions, dump->function);
	if (pci_function_decode(dump->function, bytes, (size_t)len, &damage))
		return true;
	sim_error_offset(error, path, damage.offset, "%s", damage.what);
	g_free(damage.what);
	return false;
}

/* ---- text ---- */

static bool dump_end(struct dump *dump, GError **error)
{
	const char *path = input_path(dump->input);
	struct pci_function *function = dump->function;
	struct pci_damage damage;

	if (!function)
		return true;
	dump->function = NULL;
	if (!is_whole(dump->len))
		return sim_error_line(error, path, MAX(input_line_number(dump->input), 1),
				      "cut off: %zu bytes before here, and a configuration space has %u or "
				      "%u (lspci -xxx or "
				      "-xxxx, as root)",
				      dump->len, PCI_STANDARD_BYTES, PCI_CONFIG_BYTES) == 0;
	if (pci_function_decode(function, dump->bytes, dump->len, &damage))
		return true;
	sim_error_line(error, path, dump->first_line + damage.offset / LINE_BYTES, "at 0x%x: %s",
		       damage.offset, damage.what);
	g_free(damage.what);
	return false;
}

static bool dump_begin(struct dump *dump, const char *address, GError **error)
{
	if (!dump_end(dump, error))
		return false;
	if (dump->functions->len == TOPOLOGY_FUNCTIONS_MAX)
		return sim_error_line(error, input_path(dump->input), input_line_number(dump->input),
				      "more than %u functions", TOPOLOGY_FUNCTIONS_MAX) == 0;
	dump->function = pci_function_new(address);
	dump->len = 0;
	g_ptr_array_add(dump->functions, dump->function);
	return true;
}

/** Returns the number that @line begins with where it is one of a dump, "10: 86 80 …"; -1 where it is not. */
static int dump_offset(const char *line)
{
	unsigned digits = 0;
	int offset = 0;

	for (; digits < 4 && g_ascii_isxdigit(line[digits]); digits++)
		offset = offset << 4 | g_ascii_xdigit_value(line[digits]);
	return (digits == 2 || digits == 3) && line[digits] == ':' && line[digits + 1] == ' ' ? offset : -1;
}

/** Takes the bytes of a line of a dump. */
static bool dump_take(struct dump *dump, const char *line, GError **error)
{
	const char *at = strchr(line, ':') + 1;

	for (unsigned i = 0; i < LINE_BYTES; i++, at += 3) {
		if (at[0] != ' ' || !g_ascii_isxdigit(at[1]) || !g_ascii_isxdigit(at[2]))
			return sim_error_line(error, input_path(dump->input), input_line_number(dump->input),
					      "must have %u bytes of two digits", LINE_BYTES) == 0;
		dump->bytes[dump->len++] =
			(uint8_t)(g_ascii_xdigit_value(at[1]) << 4 | g_ascii_xdigit_value(at[2]));
	}
	return true;
}

/** Takes a line: bytes, or the beginning of the next function; what is indented tells more of one. */
static bool dump_line(struct dump *dump, const char *line, GError **error)
{
	int offset = dump_offset(line);
	g_autofree char *address = NULL;

	if (offset < 0 && (*line == '\0' || g_ascii_isspace(*line)))
		return true;
	if (offset < 0) {
		address = g_strndup(line, strcspn(line, " \t"));
		if (!g_ascii_isxdigit(*address) || !strchr(address, '.'))
			return sim_error_line(error, input_path(dump->input), input_line_number(dump->input),
					      "neither a function (\"01:00.0 …\") nor its bytes (\"00: 86 80 "
					      "…\")") == 0;
		return dump_begin(dump, address, error);
	}
	if ((!dump->function || (offset == 0 && dump->len)) && !dump_begin(dump, NULL, error))
		return false;
	if ((size_t)offset != dump->len || dump->len + LINE_BYTES > PCI_CONFIG_BYTES)
		return sim_error_line(error, input_path(dump->input), input_line_number(dump->input),
				      "bytes at 0x%x, but 0x%zx would be next", offset, dump->len) == 0;
	if (!dump->len)
		dump->first_line = input_line_number(dump->input);
	return dump_take(dump, line, error);
}

static bool read_text(struct dump *dump, GError **error)
{
	const char *line;
	size_t len;
	int got;

	while ((got = input_line(dump->input, &line, &len, error)) > 0) {
		g_autofree char *text = g_strndup(line, len);

		if (!dump_line(dump, g_strchomp(text), error))
			return false;
	}
	if (got < 0 || !dump_end(dump, error))
		return false;
	return dump->functions->len ||
	       sim_error_line(error, input_path(dump->input), 1, "no function in it") == 0;
}

/* ---- both ---- */

/** Whether it begins as a dump does: with an address or an offset, "0000:01:00.0" or "00:". */
static bool is_text(const uint8_t *bytes, size_t len)
{
	size_t at = 0, digits = 0;

	if (memchr(bytes, '\0', len))
		return false;
	while (at < len && g_ascii_isspace(bytes[at]))
		at++;
	while (at + digits < len && g_ascii_isxdigit(bytes[at + digits]))
		digits++;
	return at == len ? len > 0 : digits >= 2 && at + digits < len && bytes[at + digits] == ':';
}

GPtrArray *topology_read_file(const char *path, GError **error)
{
	g_autofree struct dump *dump = g_new0(struct dump, 1);
	const uint8_t *bytes;
	ssize_t len;
	bool ok;

	dump->input = input_open(path, error);
	if (!dump->input)
		return NULL;
	dump->functions = g_ptr_array_new_with_free_func(pci_function_free);
	len = input_peek(dump->input, PCI_HEADER_BYTES, &bytes, error);
	ok = len >= 0 && (is_text(bytes, (size_t)len) ? read_text(dump, error) : read_bytes(dump, error));
	input_close(dump->input);
	if (ok)
		return dump->functions;
	g_ptr_array_unref(dump->functions);
	return NULL;
}
