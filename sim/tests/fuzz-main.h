/* SPDX-License-Identifier: MIT */
#ifndef SIM_TESTS_FUZZ_MAIN_H
#define SIM_TESTS_FUZZ_MAIN_H

/*
 * What a fuzz target does without an engine: it replays files, so that what was once found stays tested.
 */
#include <glib.h>
#include <stdbool.h>

/** Replays one file. Returns false, having said why, when it cannot be read; what is wrong with the program aborts. */
typedef bool (*fuzz_file)(const char *path);

/** Calls @file with @path, or with all that is below it. Returns whether each could be read. */
static inline bool fuzz_replay(const char *path, fuzz_file file)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;
	bool ok = true;

	if (!dir)
		return file(path);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *inside = g_build_filename(path, name, NULL);

		ok &= fuzz_replay(inside, file);
	}
	return ok;
}

/** Replays what the command line names. Returns what main() returns. */
static inline int fuzz_main(int argc, char **argv, fuzz_file file)
{
	bool ok = true;

	for (int i = 1; i < argc; i++)
		ok &= fuzz_replay(argv[i], file);
	return ok ? 0 : 1;
}

#endif
