/* SPDX-License-Identifier: MIT */
/*
 * The whole path from a request to its NVMe command and back, against recordings of the kernel's own code, run by run:
 * each file's runs are replayed, and as many as are modelled must come out line by line.
 */
#include <string.h>

#include "blockdma/golden.h"
#include "sim/io/input.h"

/** A recording, and how many of its runs the model reproduces. */
struct expectation {
	const char *name;
	unsigned runs, same;
};

static const struct expectation expectations[] = {
	{"basic.fixed", 235, 235},
	{"basic.buggy", 138, 138},
	{"modes.fixed", 155, 155},
	{"modes.buggy", 68, 68},
	{"modes.later", 19, 19},
	{"p2p.fixed", 27, 27},
	{"p2p.buggy", 11, 11},
	{"swiotlb.fixed", 138, 138},
	{"swiotlb.buggy", 99, 99},
	{"swiotlb.later", 35, 35},
	{"meta.fixed", 34, 34},
	{"meta.buggy", 20, 20},
	{"split.fixed", 17, 17},
	{"split.buggy", 8, 8},
	{"zero.fixed", 26, 26},
	{"zero.buggy", 6, 6},
	{"nvme.fixed", 309, 309},
	{"nvme.buggy", 126, 126},
	{"nvme.later", 17, 17},
	{"seq.fixed", 12, 12},
	{"seq.buggy", 3, 3},
	{"rand_blk.fixed", 106, 106},
	{"rand_blk.buggy", 66, 66},
	{"rand_blk.later", 20, 20},
	{"rand_nvme.fixed", 130, 130},
	{"rand_nvme.buggy", 54, 54},
	{"rand_nvme.later", 24, 24},
};

static GString *read_whole(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct input *input = input_open(path, &error);
	GString *text = g_string_new(NULL);
	const uint8_t *bytes;
	ssize_t len;

	g_assert_no_error(error);
	while ((len = input_peek(input, 65536, &bytes, &error)) > 0) {
		g_string_append_len(text, (const char *)bytes, len);
		input_skip(input, (size_t)len);
	}
	g_assert_no_error(error);
	input_close(input);
	return text;
}

/** The runs of a recording, in order: what stands between "run" and "end". */
static GPtrArray *split_runs(const char *text)
{
	GPtrArray *runs = g_ptr_array_new_with_free_func(g_free);
	const char *at = text;

	while ((at = strstr(at, "\nrun ")) != NULL) {
		const char *end = strstr(at, "\nend\n");

		g_assert_nonnull(end);
		g_ptr_array_add(runs, g_strndup(at + 1, (gsize)(end - at)));
		at = end;
	}
	return runs;
}

static void test_recording(const void *data)
{
	const struct expectation *expected = data;
	g_autofree char *file = g_strdup_printf("golden/blockdma/%s.txt.zst", expected->name);
	g_autofree char *path = g_build_filename(g_getenv("FIXTURES"), file, NULL);
	g_autoptr(GString) recorded = read_whole(path), emitted = g_string_new(NULL);
	g_autoptr(GPtrArray) theirs = split_runs(recorded->str), ours = NULL;
	g_autoptr(GError) error = NULL;
	unsigned same = 0;

	blockdma_golden_runner.emit(file, recorded->str, recorded->len, emitted, &error);
	g_assert_no_error(error);
	ours = split_runs(emitted->str);
	g_assert_cmpuint(ours->len, ==, theirs->len);
	for (guint i = 0; i < theirs->len; i++)
		same += g_str_equal(g_ptr_array_index(theirs, i), g_ptr_array_index(ours, i));
	g_test_message("%u of %u runs are the same", same, theirs->len);
	g_assert_cmpuint(theirs->len, ==, expected->runs);
	g_assert_cmpuint(same, >=, expected->same);
}

static void test_unusable_recording_is_refused_by_line(void)
{
#define HEAD "blockdma-golden 1 variant=fixed kernel=7.0\n"
	static const struct {
		const char *text;
		unsigned line;
	} texts[] = {
		{"blockdma-golden 1 variant=other kernel=7.0\n", 1},
		{HEAD "req A read\n", 2},
		{HEAD "case a\ncase b\n", 3},
		{HEAD "case a\nenv mode=hasty\n", 3},
		{HEAD "case a\nenv speed=1\n", 3},
		{HEAD "case a\nenv coherent=2\n", 3},
		{HEAD "case a\nenv lazy\n", 3},
		{HEAD "case a\nbvec 0 4096\n", 3},
		{HEAD "case a\nreq A append\n", 3},
		{HEAD "case a\nreq A read\nbvec 0x1000 4096 99999999 0\n", 4},
		{HEAD "case a\nreq A read\nbvec 0x1000\n", 4},
		{HEAD "case a\nreq A read\nbvec 0x1000 4096\nrun fail well:1\n", 5},
		{HEAD "case a\nreq A read\nbvec 0x1000 4096\nrun fail map:x\n", 5},
		{HEAD "case a\nreq A read\nop map B\nrun ok\n", 5},
		{HEAD "case a\nreq A read\nop cpu 4\nrun ok\n", 5},
		{HEAD "case a\nreq A read\nop loop A 99999999\nrun ok\n", 5},
		{HEAD "case a\nreq A read\nop inject well 1\nrun ok\n", 5},
		{HEAD "case a\nreq A read\nop jump\nrun ok\n", 5},
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autofree char *prefix = g_strdup_printf("f:%u: ", texts[i].line);
		g_autoptr(GString) out = g_string_new(NULL);
		g_autoptr(GError) error = NULL;

		g_test_message("%s", texts[i].text);
		g_assert_false(blockdma_golden_runner.emit("f", texts[i].text, strlen(texts[i].text), out, &error));
		g_assert_true(g_str_has_prefix(error->message, prefix));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(expectations); i++) {
		g_autofree char *path = g_strdup_printf("/blockdma/golden/%s", expectations[i].name);

		g_test_add_data_func(path, &expectations[i], test_recording);
	}
	g_test_add_func("/blockdma/golden/unusable-recording-is-refused-by-line",
			test_unusable_recording_is_refused_by_line);
	return g_test_run();
}
