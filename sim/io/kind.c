/* SPDX-License-Identifier: MIT */
#include "sim/io/kind.h"

#include <stdbool.h>
#include <string.h>

#include <glib.h>

/* In order: the first that is there decides. */
static const struct kind {
	const char *bytes;
	size_t len;
	bool anywhere; /* at the begin of any line; else of the file */
	bool keyfile;
	const char *says;
} kinds[] = {
#define KIND(text, anywhere, keyfile, says)                     \
	{                                                       \
		text, sizeof(text) - 1, anywhere, keyfile, says \
	}
	KIND("iommusim-snapshot ", false, false,
	     "a snapshot: for iommusim diff, snapshot, pagetable and iova"),
	KIND("\xd0\x0d\xfe\xed", false, false, "a device tree blob: for iommusim devtree, or --dtb"),
	KIND("/dts-v1/", true, false, "a device tree's source: dtc -O dtb -o BOARD.dtb makes a blob of it"),
	KIND("# tracer:", false, false, "a trace: for iommusim replay, trace, verify and whois"),
	KIND("\x17\x08\x44tracing", false, false, "a trace: for iommusim replay, trace, verify and whois"),
	KIND("[fault ", true, true, "a faults file: it goes with -f"),
	KIND("[kernel]", true, true, "a machine file: it goes with -c"),
	KIND("[machine]", true, true, "a machine file: it goes with -c"),
	KIND("[iommu]", true, true, "a machine file: it goes with -c"),
	KIND("[iotlb]", true, true, "a machine file: it goes with -c"),
	KIND("[nvme]", true, true, "a machine file: it goes with -c"),
	KIND("[segments]", true, true, "a machine file: it goes with -c"),
	KIND("[behaviour]", true, true, "a machine file: it goes with -c"),
#undef KIND
};

static bool kind_fits(const struct kind *kind, const uint8_t *bytes, size_t len)
{
	const uint8_t *at = bytes, *end = bytes + len;

	while ((size_t)(end - at) >= kind->len) {
		const uint8_t *line = memchr(at, '\n', (size_t)(end - at));

		if (memcmp(at, kind->bytes, kind->len) == 0)
			return true;
		if (!kind->anywhere || !line)
			return false;
		at = line + 1;
	}
	return false;
}

const char *kind_of_file(const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (kind_fits(&kinds[i], bytes, MIN(len, KIND_BYTES)))
			return kinds[i].says;
	return NULL;
}

const char *kind_of_no_keyfile(const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
		if (!kinds[i].keyfile && kind_fits(&kinds[i], bytes, MIN(len, KIND_BYTES)))
			return kinds[i].says;
	return NULL;
}

const char *kind_of_directory(const char *path)
{
	g_autofree char *snapshot = g_build_filename(path, "end.snap", NULL);

	return g_file_test(snapshot, G_FILE_TEST_EXISTS)
		       ? "what replay -o wrote: its snapshots are end.snap and teardown.snap in it"
		       : NULL;
}
