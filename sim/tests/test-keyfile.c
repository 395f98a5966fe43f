/* SPDX-License-Identifier: MIT */
/*
 * Key files: what is read is what GKeyFile reads, and every defect of fixtures/hostile/keyfiles is named with its line.
 */
#include <string.h>

#include <glib/gstdio.h>

#include "sim/core/error.h"
#include "sim/io/keyfile.h"

static const char *const machine = "# A comment\n"
				   "\n"
				   "  [kernel]  \n"
				   "version =  7.0 \t\n"
				   "\tempty=\n"
				   "odd key = a = b # no comment\n"
				   "[dma.link 40]\r\n"
				   "point = dma.link\r\n"
				   "  # indented comment\n"
				   "list=1;2;3\n"
				   "[nothing]";

static struct keyfile *parse(const char *text)
{
	g_autoptr(GError) error = NULL;
	struct keyfile *keyfile = keyfile_parse("machine.ini", text, &error);

	g_assert_no_error(error);
	return keyfile;
}

static void assert_joined(char **list, const char *expected)
{
	g_autofree char *joined = g_strjoinv("|", list);

	g_assert_cmpstr(joined, ==, expected);
	g_strfreev(list);
}

static void test_values_and_their_lines(void)
{
	struct keyfile *keyfile = parse(machine);

	g_assert_cmpstr(keyfile_name(keyfile), ==, "machine.ini");
	assert_joined(keyfile_groups(keyfile), "kernel|dma.link 40|nothing");
	assert_joined(keyfile_keys(keyfile, "kernel"), "version|empty|odd key");
	assert_joined(keyfile_keys(keyfile, "nothing"), "");
	assert_joined(keyfile_keys(keyfile, "absent"), "");

	g_assert_cmpstr(keyfile_get(keyfile, "kernel", "version"), ==, "7.0");
	g_assert_cmpstr(keyfile_get(keyfile, "kernel", "empty"), ==, "");
	g_assert_cmpstr(keyfile_get(keyfile, "kernel", "odd key"), ==, "a = b # no comment");
	g_assert_cmpstr(keyfile_get(keyfile, "dma.link 40", "point"), ==, "dma.link");
	g_assert_cmpstr(keyfile_get(keyfile, "dma.link 40", "list"), ==, "1;2;3");
	g_assert_null(keyfile_get(keyfile, "kernel", "point"));
	g_assert_null(keyfile_get(keyfile, "absent", "point"));

	g_assert_cmpuint(keyfile_line(keyfile, "kernel", NULL), ==, 3);
	g_assert_cmpuint(keyfile_line(keyfile, "kernel", "version"), ==, 4);
	g_assert_cmpuint(keyfile_line(keyfile, "dma.link 40", "list"), ==, 10);
	g_assert_cmpuint(keyfile_line(keyfile, "nothing", NULL), ==, 11);
	g_assert_cmpuint(keyfile_line(keyfile, "nothing", "list"), ==, 0);
	g_assert_cmpuint(keyfile_line(keyfile, "absent", NULL), ==, 0);
	keyfile_free(keyfile);
	keyfile_free(NULL);
}

/* Same text, same order of keys: what the index accepts, GKeyFile must have read the same way. */
static void test_same_key_in_two_groups_is_two(void)
{
	struct keyfile *keyfile = parse("[a]\nx = 1\n[b]\nx = 2\n");

	g_assert_cmpstr(keyfile_get(keyfile, "a", "x"), ==, "1");
	g_assert_cmpstr(keyfile_get(keyfile, "b", "x"), ==, "2");
	keyfile_free(keyfile);
}

static void test_empty_text_has_no_groups(void)
{
	struct keyfile *keyfile = parse("");

	assert_joined(keyfile_groups(keyfile), "");
	keyfile_free(keyfile);
	keyfile = parse("# only a comment");
	assert_joined(keyfile_groups(keyfile), "");
	keyfile_free(keyfile);
}

static const struct {
	const char *file;
	const char *message; /* from the colon on */
} hostile[] = {
	{"group-twice.ini", ":5: duplicate group [kernel], first on line 1"},
	{"group-unclosed.ini", ":1: group without its closing bracket"},
	{"group-with-blank.ini", ":1: the group's name has white space around it"},
	{"group-with-bracket.ini", ":1: text after the group's closing bracket"},
	{"group-with-control.ini", ":1: the group's name holds a control character"},
	{"group-with-tail.ini", ":1: text after the group's closing bracket"},
	{"group-without-name.ini", ":1: the group's name is empty"},
	{"key-before-group.ini", ":2: key \"version\" stands before the first [GROUP]"},
	{"key-twice.ini", ":4: duplicate key \"version\" in [kernel], first on line 2"},
	{"key-with-locale.ini", ":2: the key's name holds a bracket"},
	{"key-without-name.ini", ":2: the key's name is empty"},
	{"line-without-equals.ini", ":2: expected [GROUP], KEY = VALUE or # COMMENT"},
	{"not-utf8.ini", ":2: not UTF-8"},
	{"nul-byte.ini", ":2: NUL byte in a key file"},
	{"utf16.ini", ":1: NUL byte in a key file"},
};

static void test_hostile_files_are_refused_by_line(void)
{
	g_autofree char *directory = g_build_filename(g_getenv("FIXTURES"), "hostile", "keyfiles", NULL);
	GDir *dir = g_dir_open(directory, 0, NULL);
	unsigned files = 0;

	g_assert_nonnull(dir);
	while (g_dir_read_name(dir))
		files++;
	g_dir_close(dir);
	g_assert_cmpuint(files, ==, G_N_ELEMENTS(hostile)); /* a new file needs its row */

	for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
		g_autofree char *path = g_build_filename(directory, hostile[i].file, NULL);
		g_autofree char *expected = g_strconcat(path, hostile[i].message, NULL);
		g_autoptr(GError) error = NULL;

		g_assert_null(keyfile_load(path, &error));
		g_assert_error(error, SIM_ERROR, SIM_ERROR_INPUT);
		g_assert_cmpstr(error->message, ==, expected);
	}
}

static void test_file_reads_as_its_text_does(void)
{
	g_autofree char *directory = g_dir_make_tmp("test-keyfile-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "machine.ini", NULL);
	g_autoptr(GError) error = NULL;
	struct keyfile *keyfile;

	g_assert_true(g_file_set_contents(path, machine, -1, NULL));
	keyfile = keyfile_load(path, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(keyfile_name(keyfile), ==, path);
	g_assert_cmpstr(keyfile_get(keyfile, "dma.link 40", "list"), ==, "1;2;3");
	g_assert_cmpuint(keyfile_line(keyfile, "nothing", NULL), ==, 11);
	keyfile_free(keyfile);
	g_remove(path);

	g_assert_null(keyfile_load(path, &error));
	g_assert_true(g_str_has_suffix(error->message, "machine.ini: No such file or directory"));
	g_rmdir(directory);
}

static void test_more_than_a_mebibyte_is_refused(void)
{
	g_autofree char *directory = g_dir_make_tmp("test-keyfile-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(directory, "large.ini", NULL);
	g_autofree char *expected = g_strconcat(path, ":1050: key file larger than 1 MiB", NULL);
	g_autoptr(GString) text = g_string_new("[kernel]\n");
	g_autoptr(GError) error = NULL;

	while (text->len < 3 << 20) {
		for (unsigned i = 0; i < 999; i++)
			g_string_append_c(text, '#');
		g_string_append_c(text, '\n');
	}
	g_assert_true(g_file_set_contents(path, text->str, -1, NULL));
	g_assert_null(keyfile_load(path, &error));
	g_assert_cmpstr(error->message, ==, expected);
	g_remove(path);
	g_rmdir(directory);
}

/* Whatever the cut, there is a file or one message, and never a third thing. */
static void test_every_prefix_is_a_file_or_an_error(void)
{
	for (size_t len = 0; len <= strlen(machine); len++) {
		g_autofree char *text = g_strndup(machine, len);
		g_autoptr(GError) error = NULL;
		struct keyfile *keyfile = keyfile_parse("cut.ini", text, &error);

		g_assert_true((keyfile == NULL) == (error != NULL));
		keyfile_free(keyfile);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/io/keyfile/values-and-their-lines", test_values_and_their_lines);
	g_test_add_func("/io/keyfile/same-key-in-two-groups-is-two", test_same_key_in_two_groups_is_two);
	g_test_add_func("/io/keyfile/empty-text-has-no-groups", test_empty_text_has_no_groups);
	g_test_add_func("/io/keyfile/hostile-files-are-refused-by-line", test_hostile_files_are_refused_by_line);
	g_test_add_func("/io/keyfile/file-reads-as-its-text-does", test_file_reads_as_its_text_does);
	g_test_add_func("/io/keyfile/more-than-a-mebibyte-is-refused", test_more_than_a_mebibyte_is_refused);
	g_test_add_func("/io/keyfile/every-prefix-is-a-file-or-an-error", test_every_prefix_is_a_file_or_an_error);
	return g_test_run();
}
