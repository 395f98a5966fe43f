/* SPDX-License-Identifier: MIT */
/*
 * Input: the same bytes and offsets whichever way they are fetched and however they are compressed; lines; damage.
 */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "sim/core/error.h"
#include "sim/core/prng.h"
#include "sim/io/input.h"

/* A file of its own for each test, removed at its end. */
struct scratch {
	char *directory;
	char *path;
};

static void scratch_init(struct scratch *scratch, gconstpointer data)
{
	scratch->directory = g_dir_make_tmp("input-XXXXXX", NULL);
	g_assert_nonnull(scratch->directory);
	scratch->path = g_build_filename(scratch->directory, "input", NULL);
}

static void scratch_finish(struct scratch *scratch, gconstpointer data)
{
	g_unlink(scratch->path);
	g_rmdir(scratch->directory);
	g_free(scratch->path);
	g_free(scratch->directory);
}

/* g_file_set_contents() would sync the disk each time. */
static void scratch_write(struct scratch *scratch, const void *bytes, size_t len)
{
	FILE *file = g_fopen(scratch->path, "wb");

	g_assert_nonnull(file);
	g_assert_cmpuint(fwrite(bytes, 1, len, file), ==, len);
	g_assert_cmpint(fclose(file), ==, 0);
}

/* Lines of 0 to 300 bytes. */
static GString *random_lines(size_t len)
{
	GString *text = g_string_new(NULL);
	struct prng prng;

	prng_init(&prng, 1, "lines");
	while (text->len < len) {
		for (uint64_t n = prng_below(&prng, 300); n; n--)
			g_string_append_c(text, (char)('a' + prng_below(&prng, 26)));
		g_string_append_c(text, '\n');
	}
	return text;
}

/* Reads everything by lines; returns what came, and the error, if any. */
static GString *read_lines(const char *path, enum input_fetch fetch, GError **error)
{
	struct input *input = input_open_fetch(path, fetch, error);
	GString *text = g_string_new(NULL);
	const char *line;
	uint64_t count = 0;
	size_t len;

	if (!input)
		return text;
	while (input_line(input, &line, &len, error) > 0) {
		g_assert_cmpuint(input_line_number(input), ==, ++count);
		g_string_append_len(text, line, (gssize)len);
		g_string_append_c(text, '\n');
		g_assert_cmpuint(text->len - input_offset(input), <=, 1); /* the last line may lack its newline */
	}
	input_close(input);
	return text;
}

static void assert_reads(const char *path, enum input_fetch fetch, const GString *expected)
{
	g_autoptr(GError) error = NULL;
	GString *text = read_lines(path, fetch, &error);

	g_assert_no_error(error);
	g_assert_true(g_string_equal(text, expected));
	g_string_free(text, TRUE);
}

static bool ring_works(struct scratch *scratch)
{
	g_autoptr(GError) error = NULL;
	struct input *input = input_open_fetch(scratch->path, INPUT_FETCH_RING, &error);

	input_close(input);
	if (!input)
		g_test_skip(error->message);
	return input != NULL;
}

static void test_ring_and_read_agree(struct scratch *scratch, gconstpointer data)
{
	/* Ends at a piece, one before, one after, and in the middle of the next round. */
	static const size_t sizes[] = {1, 4095, 131071, 131072, 131073, 524288, 524289, 3000000};
	GString *text = random_lines(sizes[G_N_ELEMENTS(sizes) - 1]);

	for (size_t i = G_N_ELEMENTS(sizes); i-- > 0;) {
		g_string_truncate(text, sizes[i] - 1);
		g_string_append_c(text, '\n');
		scratch_write(scratch, text->str, text->len);
		assert_reads(scratch->path, INPUT_FETCH_READ, text);
		assert_reads(scratch->path, INPUT_FETCH_AUTO, text);
		if (ring_works(scratch))
			assert_reads(scratch->path, INPUT_FETCH_RING, text);
	}
	g_string_free(text, TRUE);
}

/* Reads in flight write into memory that closing frees. */
static void test_closed_early_waits_for_reads(struct scratch *scratch, gconstpointer data)
{
	GString *text = random_lines(2000000);

	scratch_write(scratch, text->str, text->len);
	for (unsigned i = 0; i < 50; i++) {
		struct input *input = input_open(scratch->path, NULL);
		const uint8_t *bytes;

		g_assert_cmpint(input_peek(input, 1, &bytes, NULL), >=, 1);
		input_close(input);
	}
	g_string_free(text, TRUE);
}

static GByteArray *gzipped(const char *text, size_t len)
{
	z_stream zlib = {0};
	GByteArray *bytes = g_byte_array_new();

	g_assert_cmpint(deflateInit2(&zlib, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
	g_byte_array_set_size(bytes, (guint)deflateBound(&zlib, len));
	zlib.next_in = (Bytef *)text;
	zlib.avail_in = (uInt)len;
	zlib.next_out = bytes->data;
	zlib.avail_out = bytes->len;
	g_assert_cmpint(deflate(&zlib, Z_FINISH), ==, Z_STREAM_END);
	g_byte_array_set_size(bytes, (guint)zlib.total_out);
	deflateEnd(&zlib);
	return bytes;
}

static GByteArray *zstded(const char *text, size_t len)
{
	GByteArray *bytes = g_byte_array_new();

	g_byte_array_set_size(bytes, (guint)ZSTD_compressBound(len));
	g_byte_array_set_size(bytes, (guint)ZSTD_compress(bytes->data, bytes->len, text, len, 3));
	return bytes;
}

static void test_several_frames_are_one_stream(struct scratch *scratch, gconstpointer data)
{
	GByteArray *(*compress)(const char *text, size_t len) = data ? zstded : gzipped;
	GString *text = random_lines(900000);
	GByteArray *first = compress(text->str, 400001), *second = compress(text->str + 400001, text->len - 400001);
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3};

	if (data)
		g_byte_array_prepend(first, skippable, sizeof(skippable));
	g_byte_array_append(first, second->data, second->len);
	scratch_write(scratch, first->data, first->len);
	assert_reads(scratch->path, INPUT_FETCH_READ, text);
	assert_reads(scratch->path, INPUT_FETCH_AUTO, text);
	g_byte_array_unref(first);
	g_byte_array_unref(second);
	g_string_free(text, TRUE);
}

/* Whatever is left of a compressed file: a prefix of the text and an error, except where nothing is missing. */
static void test_every_truncation_is_an_error(struct scratch *scratch, gconstpointer data)
{
	GString *text = random_lines(3000);
	GByteArray *bytes = data ? zstded(text->str, text->len) : gzipped(text->str, text->len);
	guint magic = data ? 4 : 2; /* shorter ones are plain files */

	for (guint len = magic; len <= bytes->len; len++) {
		g_autoptr(GError) error = NULL;
		GString *got;

		scratch_write(scratch, bytes->data, len);
		got = read_lines(scratch->path, INPUT_FETCH_AUTO, &error);
		if (len == bytes->len) {
			g_assert_no_error(error);
		} else {
			g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
			g_assert_nonnull(strstr(error->message, "compressed data end too early"));
		}
		g_assert_cmpuint(got->len, <=, text->len);
		g_assert_cmpmem(got->str, got->len, text->str, got->len);
		g_string_free(got, TRUE);
	}
	g_byte_array_unref(bytes);
	g_string_free(text, TRUE);
}

static void test_every_flipped_byte_ends(struct scratch *scratch, gconstpointer data)
{
	GString *text = random_lines(3000);
	GByteArray *bytes = data ? zstded(text->str, text->len) : gzipped(text->str, text->len);

	for (guint i = 0; i < bytes->len; i++) {
		g_autoptr(GError) error = NULL;

		bytes->data[i] ^= 0x41;
		scratch_write(scratch, bytes->data, bytes->len);
		bytes->data[i] ^= 0x41;
		g_string_free(read_lines(scratch->path, INPUT_FETCH_AUTO, &error), TRUE);
		if (error)
			g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	}
	g_byte_array_unref(bytes);
	g_string_free(text, TRUE);
}

static gpointer write_slowly(gpointer data)
{
	int fd = GPOINTER_TO_INT(data);

	for (const char *at = "one\ntwo\n\nfour"; *at; at++)
		g_assert_cmpint(write(fd, at, 1), ==, 1);
	close(fd);
	return NULL;
}

static void test_stdin_from_a_pipe(void)
{
	g_autoptr(GError) error = NULL;
	GThread *writer;
	GString *text;
	int fds[2], saved = dup(STDIN_FILENO);

	g_assert_cmpint(pipe(fds), ==, 0);
	g_assert_cmpint(dup2(fds[0], STDIN_FILENO), ==, STDIN_FILENO);
	close(fds[0]);
	writer = g_thread_new("writer", write_slowly, GINT_TO_POINTER(fds[1]));
	{
		struct input *input = input_open("-", &error);
		const char *line;
		size_t len;

		g_assert_no_error(error);
		text = g_string_new(NULL);
		while (input_line(input, &line, &len, &error) > 0)
			g_string_append_printf(text, "[%.*s]", (int)len, line);
		g_assert_no_error(error);
		g_assert_cmpstr(input_path(input), ==, "-");
		input_close(input);
	}
	g_thread_join(writer);
	g_assert_cmpstr(text->str, ==, "[one][two][][four]");
	g_string_free(text, TRUE);
	g_assert_cmpint(dup2(saved, STDIN_FILENO), ==, STDIN_FILENO);
	close(saved);
}

static void test_line_of_the_longest_length_passes(struct scratch *scratch, gconstpointer data)
{
	GString *text = g_string_new("short\n");

	for (unsigned i = 0; i < INPUT_LINE_MAX; i++)
		g_string_append_c(text, 'x');
	g_string_append_c(text, '\n');
	scratch_write(scratch, text->str, text->len);
	assert_reads(scratch->path, INPUT_FETCH_AUTO, text);
	g_string_free(text, TRUE);
}

static void test_line_too_long_names_its_number(struct scratch *scratch, gconstpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *message = g_strdup_printf("%s:2: line longer than 65536 bytes", scratch->path);
	GString *text = g_string_new("short\n");

	for (unsigned i = 0; i <= INPUT_LINE_MAX; i++)
		g_string_append_c(text, 'x');
	g_string_append(text, "\nmore\n");
	scratch_write(scratch, text->str, text->len);
	g_string_free(read_lines(scratch->path, INPUT_FETCH_AUTO, &error), TRUE);
	g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_cmpstr(error->message, ==, message);
	g_string_free(text, TRUE);
}

static void test_peek_and_skip_across_buffers(struct scratch *scratch, gconstpointer data)
{
	GString *text = random_lines(1000000);
	struct input *input;
	struct prng prng;
	size_t at = 0;

	scratch_write(scratch, text->str, text->len);
	input = input_open(scratch->path, NULL);
	prng_init(&prng, 2, "peek");
	while (at < text->len) {
		size_t want = prng_below(&prng, 65537), count;
		const uint8_t *bytes;
		ssize_t len = input_peek(input, want, &bytes, NULL);

		g_assert_cmpint(len, >=, (ssize_t)MIN(want, text->len - at));
		g_assert_cmpint(memcmp(bytes, text->str + at, (size_t)len), ==, 0);
		count = prng_below(&prng, (uint32_t)MIN((size_t)len, want) + 1);
		input_skip(input, count);
		at += count;
		g_assert_cmpuint(input_offset(input), ==, at);
	}
	input_close(input);
	g_string_free(text, TRUE);
}

static void test_position_reaches_the_size(struct scratch *scratch, gconstpointer data)
{
	GString *text = random_lines(500000);
	GByteArray *bytes = zstded(text->str, text->len);
	struct input *input;
	const char *line;
	size_t len;
	uint64_t size = 1;

	scratch_write(scratch, bytes->data, bytes->len);
	input = input_open(scratch->path, NULL);
	g_assert_cmpuint(input_position(input, &size), ==, 0);
	g_assert_cmpuint(size, ==, bytes->len);
	while (input_line(input, &line, &len, NULL) > 0)
		g_assert_cmpuint(input_position(input, &size), <=, size);
	g_assert_cmpuint(input_position(input, &size), ==, bytes->len);
	input_close(input);
	g_byte_array_unref(bytes);
	g_string_free(text, TRUE);
}

static void test_what_cannot_be_opened_says_why(struct scratch *scratch, gconstpointer data)
{
	g_autoptr(GError) missing = NULL;
	g_autoptr(GError) directory = NULL;

	g_assert_null(input_open("/nowhere/at all", &missing));
	g_assert_error(missing, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_cmpstr(missing->message, ==, "/nowhere/at all: No such file or directory");
	g_assert_null(input_open(scratch->directory, &directory));
	g_assert_error(directory, SIM_ERROR, SIM_ERROR_INPUT);
	g_assert_true(g_str_has_suffix(directory->message, ": Is a directory"));
	scratch_write(scratch, "", 0);
	{
		GString *text = read_lines(scratch->path, INPUT_FETCH_AUTO, NULL);

		g_assert_cmpuint(text->len, ==, 0);
		g_string_free(text, TRUE);
	}
}

#define ZSTD ((gconstpointer)1)
#define ADD(path, data, test) g_test_add(path, struct scratch, data, scratch_init, test, scratch_finish)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("/io/input/ring-and-read-agree", NULL, test_ring_and_read_agree);
	ADD("/io/input/closed-early-waits-for-reads", NULL, test_closed_early_waits_for_reads);
	ADD("/io/input/gzip-members-are-one-stream", NULL, test_several_frames_are_one_stream);
	ADD("/io/input/zstd-frames-are-one-stream", ZSTD, test_several_frames_are_one_stream);
	ADD("/io/input/gzip-every-truncation-is-an-error", NULL, test_every_truncation_is_an_error);
	ADD("/io/input/zstd-every-truncation-is-an-error", ZSTD, test_every_truncation_is_an_error);
	ADD("/io/input/gzip-every-flipped-byte-ends", NULL, test_every_flipped_byte_ends);
	ADD("/io/input/zstd-every-flipped-byte-ends", ZSTD, test_every_flipped_byte_ends);
	g_test_add_func("/io/input/stdin-from-a-pipe", test_stdin_from_a_pipe);
	ADD("/io/input/longest-line-passes", NULL, test_line_of_the_longest_length_passes);
	ADD("/io/input/line-too-long-names-its-number", NULL, test_line_too_long_names_its_number);
	ADD("/io/input/peek-and-skip-across-buffers", NULL, test_peek_and_skip_across_buffers);
	ADD("/io/input/position-reaches-the-size", NULL, test_position_reaches_the_size);
	ADD("/io/input/unopenable-says-why", NULL, test_what_cannot_be_opened_says_why);
	return g_test_run();
}
