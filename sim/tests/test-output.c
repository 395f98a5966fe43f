/* SPDX-License-Identifier: MIT */
/*
 * Output appears whole or not at all: every case looks at the directory afterwards, after success and after each way
 * of failing that a test can bring about.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sim/core/error.h"
#include "sim/core/prng.h"
#include "sim/io/input.h"
#include "sim/io/output.h"

struct fixture {
	char *directory;
	char *path; /* directory/result.txt */
};

static void set_up(struct fixture *fixture, const void *data)
{
	g_autoptr(GError) error = NULL;

	fixture->directory = g_dir_make_tmp("test-output-XXXXXX", &error);
	g_assert_no_error(error);
	fixture->path = g_build_filename(fixture->directory, "result.txt", NULL);
}

/* Returns the names in @directory, hidden ones too, sorted, with a blank behind each. */
static char *list(const char *directory)
{
	GDir *dir = g_dir_open(directory, 0, NULL);
	GString *text = g_string_new(NULL);
	GList *names = NULL;
	const char *name;

	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir)))
		names = g_list_insert_sorted(names, g_strdup(name), (GCompareFunc)strcmp);
	g_dir_close(dir);
	for (GList *link = names; link; link = link->next)
		g_string_append_printf(text, "%s ", (const char *)link->data);
	g_list_free_full(names, g_free);
	return g_string_free(text, FALSE);
}

static void tear_down(struct fixture *fixture, const void *data)
{
	GDir *dir = g_dir_open(fixture->directory, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(fixture->directory, name, NULL);

		g_remove(path);
	}
	if (dir)
		g_dir_close(dir);
	g_rmdir(fixture->directory);
	g_free(fixture->path);
	g_free(fixture->directory);
}

static void assert_list(const struct fixture *fixture, const char *expected)
{
	g_autofree char *names = list(fixture->directory);

	g_assert_cmpstr(names, ==, expected);
}

static void assert_holds(const char *path, const char *expected)
{
	g_autofree char *text = NULL;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, expected);
}

static struct output *start(const char *path)
{
	g_autoptr(GError) error = NULL;
	struct output *output = output_new(path, &error);

	g_assert_no_error(error);
	return output;
}

static void commit(struct output *output)
{
	g_autoptr(GError) error = NULL;

	output_commit(output, &error);
	g_assert_no_error(error);
}

static void test_visible_only_when_committed(struct fixture *fixture, const void *data)
{
	struct output *output = start(fixture->path);

	output_puts(output, "one ");
	output_printf(output, "%d ", 2);
	output_write(output, "three", 5);
	g_assert_false(g_file_test(fixture->path, G_FILE_TEST_EXISTS));
	commit(output);
	assert_holds(fixture->path, "one 2 three");
	assert_list(fixture, "result.txt ");
}

static void test_replaces_the_old_file_at_once(struct fixture *fixture, const void *data)
{
	struct output *output;

	g_assert_true(g_file_set_contents(fixture->path, "old", -1, NULL));
	output = start(fixture->path);
	output_puts(output, "new");
	assert_holds(fixture->path, "old");
	commit(output);
	assert_holds(fixture->path, "new");
	assert_list(fixture, "result.txt ");
}

static void test_abandoned_leaves_the_old_file(struct fixture *fixture, const void *data)
{
	struct output *output;

	g_assert_true(g_file_set_contents(fixture->path, "old", -1, NULL));
	output = start(fixture->path);
	output_puts(output, "new");
	output_abandon(output);
	output_abandon(NULL);
	assert_holds(fixture->path, "old");
	assert_list(fixture, "result.txt ");
}

static void test_mode_is_what_the_umask_leaves(struct fixture *fixture, const void *data)
{
	mode_t before = umask(027);
	struct stat st;

	commit(start(fixture->path));
	umask(before);
	g_assert_cmpint(stat(fixture->path, &st), ==, 0);
	g_assert_cmphex(st.st_mode & 07777, ==, 0640);
}

/* More than the buffers, of bytes that do not compress to nothing. */
static void fill(struct output *output, GString *ret_bytes)
{
	struct prng prng;

	prng_init(&prng, 1, "output");
	while (ret_bytes->len < 3 << 20) {
		uint32_t len = 1 + prng_below(&prng, 1000);
		g_autofree char *bytes = g_malloc(len);

		for (uint32_t i = 0; i < len; i++)
			bytes[i] = (char)prng_below(&prng, 16);
		output_write(output, bytes, len);
		g_string_append_len(ret_bytes, bytes, len);
	}
}

static void assert_reads(const char *path, const GString *expected)
{
	struct input *input = input_open(path, NULL);
	size_t at = 0;

	g_assert_nonnull(input);
	for (;;) {
		const uint8_t *bytes;
		ssize_t got = input_peek(input, 4096, &bytes, NULL);

		g_assert_cmpint(got, >=, 0);
		if (got == 0)
			break;
		g_assert_cmpuint(at + (size_t)got, <=, expected->len);
		g_assert_cmpint(memcmp(bytes, expected->str + at, (size_t)got), ==, 0);
		input_skip(input, (size_t)got);
		at += (size_t)got;
	}
	g_assert_cmpuint(at, ==, expected->len);
	input_close(input);
}

static void test_larger_than_the_buffer_arrives(struct fixture *fixture, const void *data)
{
	g_autofree char *path = g_strconcat(fixture->path, data, NULL);
	g_autoptr(GString) bytes = g_string_new(NULL);
	struct output *output = start(path);
	struct stat st;

	fill(output, bytes);
	commit(output);
	assert_reads(path, bytes);
	g_assert_cmpint(stat(path, &st), ==, 0);
	if (g_str_has_suffix(path, ".zst"))
		g_assert_cmpint(st.st_size, <, (goffset)bytes->len * 6 / 10);
	else
		g_assert_cmpint(st.st_size, ==, (goffset)bytes->len);
}

static void test_empty_zst_is_a_frame(struct fixture *fixture, const void *data)
{
	g_autofree char *path = g_strconcat(fixture->path, ".zst", NULL);
	g_autoptr(GString) nothing = g_string_new(NULL);
	struct stat st;

	commit(start(path));
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_size, >, 0);
	assert_reads(path, nothing);
}

/* The disk cannot be filled in a test; a limit on the size of files fails the same call. */
static void test_failed_write_keeps_the_old_file(struct fixture *fixture, const void *data)
{
	g_autofree char *path = g_strconcat(fixture->path, data, NULL);
	g_autofree char *name = g_path_get_basename(path);
	g_autofree char *expected = g_strconcat(name, " ", NULL);
	g_autoptr(GString) bytes = g_string_new(NULL);
	g_autoptr(GError) error = NULL;
	struct rlimit before, limit;
	struct output *output;
	bool done;

	g_assert_true(g_file_set_contents(path, "old", -1, NULL));
	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
	limit = before;
	limit.rlim_cur = 300000;
	signal(SIGXFSZ, SIG_IGN);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
	output = start(path);
	fill(output, bytes);
	done = output_commit(output, &error);
	setrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_DFL);

	g_assert_false(done);
	g_assert_error(error, SIM_ERROR, SIM_ERROR_OUTPUT);
	g_assert_true(g_str_has_prefix(error->message, path));
	g_assert_true(g_str_has_suffix(error->message, ": File too large"));
	assert_holds(path, "old");
	assert_list(fixture, expected);
}

static void test_vanished_directory_is_an_error(struct fixture *fixture, const void *data)
{
	g_autofree char *inner = g_build_filename(fixture->directory, "inner", NULL);
	g_autofree char *path = g_build_filename(inner, "result.txt", NULL);
	g_autoptr(GError) error = NULL;
	struct output *output;

	g_assert_cmpint(g_mkdir(inner, 0777), ==, 0);
	output = start(path);
	output_puts(output, "lost");
	if (g_rmdir(inner) < 0) {
		g_test_skip("this file system gives a file a name at once");
		output_abandon(output);
		g_rmdir(inner);
		return;
	}
	g_assert_false(output_commit(output, &error));
	g_assert_error(error, SIM_ERROR, SIM_ERROR_OUTPUT);
	g_assert_true(g_str_has_suffix(error->message, "inner/result.txt: No such file or directory"));
	assert_list(fixture, "");
}

static void test_unusable_names(struct fixture *fixture, const void *data)
{
	static const struct {
		const char *under; /* the fixture's directory */
		const char *why;
	} cases[] = {
		{"/missing/result.txt", "/missing/result.txt: No such file or directory"},
		{"", ": Is a directory"},
		{"/new/", "/new/: Is a directory"},
		{"/file/below", "/file/below: Not a directory"},
	};
	g_autofree char *file = g_build_filename(fixture->directory, "file", NULL);

	g_assert_true(g_file_set_contents(file, "", -1, NULL));
	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strconcat(fixture->directory, cases[i].under, NULL);
		g_autoptr(GError) error = NULL;

		g_assert_null(output_new(path, &error));
		g_assert_error(error, SIM_ERROR, SIM_ERROR_OUTPUT);
		g_assert_true(g_str_has_prefix(error->message, path));
		g_assert_true(g_str_has_suffix(error->message, cases[i].why));
	}
	assert_list(fixture, "file ");
}

static void test_longest_name_fits(struct fixture *fixture, const void *data)
{
	g_autofree char *name = g_strnfill(255, 'x');
	g_autofree char *path = g_build_filename(fixture->directory, name, NULL);
	struct output *output = start(path);

	output_puts(output, "long");
	commit(output);
	assert_holds(path, "long");
}

static void test_symbolic_link_stays_one(struct fixture *fixture, const void *data)
{
	g_autofree char *link = g_build_filename(fixture->directory, "link", NULL);
	struct output *output;

	g_assert_true(g_file_set_contents(fixture->path, "old", -1, NULL));
	g_assert_cmpint(symlink("result.txt", link), ==, 0);
	output = start(link);
	output_puts(output, "new");
	commit(output);
	g_assert_true(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
	assert_holds(fixture->path, "new");
	assert_list(fixture, "link result.txt ");
}

/* Stands for every path that is no regular file. A pipe of the test's own, never a device of the machine: code that
 * gets this wrong, run by root, renames a file over it. */
static void test_pipe_is_written_in_place(struct fixture *fixture, const void *data)
{
	g_autofree char *expected = g_strconcat(fixture->path, ": Broken pipe", NULL);
	g_autoptr(GError) error = NULL;
	struct output *output;
	char bytes[16] = "";
	struct stat st;
	int reader;

	g_assert_cmpint(mkfifo(fixture->path, 0666), ==, 0);
	reader = open(fixture->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	g_assert_cmpint(reader, >=, 0);
	output = start(fixture->path);
	output_puts(output, "through");
	commit(output);
	g_assert_cmpint(read(reader, bytes, sizeof(bytes)), ==, 7);
	g_assert_cmpstr(bytes, ==, "through");

	output = start(fixture->path);
	output_puts(output, "nowhere");
	close(reader);
	signal(SIGPIPE, SIG_IGN);
	g_assert_false(output_commit(output, &error));
	signal(SIGPIPE, SIG_DFL);
	g_assert_error(error, SIM_ERROR, SIM_ERROR_OUTPUT);
	g_assert_cmpstr(error->message, ==, expected);

	g_assert_cmpint(lstat(fixture->path, &st), ==, 0);
	g_assert_true(S_ISFIFO(st.st_mode));
	assert_list(fixture, "result.txt ");
}

static void test_dash_is_stdout(struct fixture *fixture, const void *data)
{
	if (g_test_subprocess()) {
		struct output *output = start("-");

		output_puts(output, "through stdout\n");
		commit(output);
		return;
	}
	g_test_trap_subprocess(NULL, 0, 0);
	g_test_trap_assert_passed();
	g_test_trap_assert_stdout("*through stdout\n*");
}

/* Makes the kernel refuse files without a name, as some file systems do. */
static void refuse_nameless_files(void)
{
	const uint32_t flag = O_TMPFILE & ~O_DIRECTORY;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flag, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = G_N_ELEMENTS(filter), .filter = filter};

	g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
	g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), ==, 0);
}

static void test_file_system_without_nameless_files(struct fixture *fixture, const void *data)
{
	g_autofree char *names = NULL;
	struct output *output;

	if (!g_test_subprocess()) {
		g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
		g_test_trap_assert_passed();
		return;
	}
	refuse_nameless_files();
	output = start(fixture->path);
	names = list(fixture->directory);
	g_assert_true(g_str_has_prefix(names, ".result.txt."));
	output_abandon(output);
	assert_list(fixture, "");

	test_visible_only_when_committed(fixture, NULL);
	test_mode_is_what_the_umask_leaves(fixture, NULL);
	test_failed_write_keeps_the_old_file(fixture, "");
}

#define ADD(path, data, function) g_test_add(path, struct fixture, data, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("/io/output/visible-only-when-committed", NULL, test_visible_only_when_committed);
	ADD("/io/output/replaces-the-old-file-at-once", NULL, test_replaces_the_old_file_at_once);
	ADD("/io/output/abandoned-leaves-the-old-file", NULL, test_abandoned_leaves_the_old_file);
	ADD("/io/output/mode-is-what-the-umask-leaves", NULL, test_mode_is_what_the_umask_leaves);
	ADD("/io/output/larger-than-the-buffer-arrives", "", test_larger_than_the_buffer_arrives);
	ADD("/io/output/larger-than-the-buffer-arrives-zst", ".zst", test_larger_than_the_buffer_arrives);
	ADD("/io/output/empty-zst-is-a-frame", NULL, test_empty_zst_is_a_frame);
	ADD("/io/output/failed-write-keeps-the-old-file", "", test_failed_write_keeps_the_old_file);
	ADD("/io/output/failed-write-keeps-the-old-file-zst", ".zst", test_failed_write_keeps_the_old_file);
	ADD("/io/output/vanished-directory-is-an-error", NULL, test_vanished_directory_is_an_error);
	ADD("/io/output/unusable-names", NULL, test_unusable_names);
	ADD("/io/output/longest-name-fits", NULL, test_longest_name_fits);
	ADD("/io/output/symbolic-link-stays-one", NULL, test_symbolic_link_stays_one);
	ADD("/io/output/pipe-is-written-in-place", NULL, test_pipe_is_written_in_place);
	ADD("/io/output/dash-is-stdout", NULL, test_dash_is_stdout);
	ADD("/io/output/file-system-without-nameless-files", NULL, test_file_system_without_nameless_files);
	return g_test_run();
}
