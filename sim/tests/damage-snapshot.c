/* SPDX-License-Identifier: MIT */
/*
 * What damage does to a snapshot: "damage-snapshot SNAPSHOT DIR". Every file that it could have been cut to, and every one with
 * one other bit, is written into DIR and checked, as text and compressed: each must be refused with one line. In one process, and
 * into one file that stays open, because there are a hundred thousand.
 *
 * A few bits of a compressed file say nothing: how large a window the reader is to have, and what is reserved. With another one
 * of these the text is the same, which its digest proves, and the file is sound.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/io/output.h"
#include "sim/machine/machine.h"
#include "sim/snapshot/snapshot.h"

#define IGNORED_MAX 32 /* bits of a zstd frame that change nothing */

struct damaged {
	int fd;
	char *path;
};

static void put(const struct damaged *file, const char *bytes, size_t len)
{
	if (ftruncate(file->fd, (off_t)len) != 0 || pwrite(file->fd, bytes, len, 0) != (ssize_t)len)
		g_error("%s cannot be written", file->path);
}

/** Returns whether @path is refused as it must be; else says what became of @what at @at. */
static bool refused(const char *path, const char *what, size_t at)
{
	g_autoptr(GError) error = NULL;
	int result = snapshot_check(path, machine_sections, NULL, NULL, &error);

	if (result == -1 && error && !strchr(error->message, '\n'))
		return true;
	printf("%s: %s %zu: result %d, %s\n", path, what, at, result, error ? error->message : "no error");
	return false;
}

static bool every_cut(const struct damaged *file, const char *bytes, size_t len)
{
	for (size_t cut = 0; cut < len; cut++) {
		put(file, bytes, cut);
		if (!refused(file->path, "cut to", cut))
			return false;
	}
	return true;
}

static bool every_bit(const struct damaged *file, char *bytes, size_t len, unsigned ignored_max)
{
	unsigned ignored = 0;

	for (size_t bit = 0; bit < len * 8; bit++) {
		bool sound;

		bytes[bit / 8] ^= (char)(1 << bit % 8);
		put(file, bytes, len);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		sound = ignored < ignored_max &&
			snapshot_check(file->path, machine_sections, NULL, NULL, NULL) == 0;
		ignored += sound;
		if (!sound && !refused(file->path, "other bit", bit))
			return false;
	}
	return true;
}

/** Checks the file at @whole, which is sound, and all that damage makes of it, of which @ignored_max may be sound. */
static bool damage(const struct damaged *file, const char *whole, unsigned ignored_max)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *bytes = NULL;
	size_t len;

	if (snapshot_check(whole, machine_sections, NULL, NULL, &error) != 0 ||
	    !g_file_get_contents(whole, &bytes, &len, &error)) {
		printf("%s is not sound: %s\n", whole, error ? error->message : "there are findings");
		return false;
	}
	printf("%s: %zu bytes\n", whole, len);
	return every_cut(file, bytes, len) && every_bit(file, bytes, len, ignored_max);
}

static bool compress(const char *from, const char *to)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *bytes = NULL;
	struct output *output;
	size_t len;

	output = g_file_get_contents(from, &bytes, &len, &error) ? output_new(to, &error) : NULL;
	if (!output)
		return false;
	output_write(output, bytes, len);
	return output_commit(output, &error);
}

int main(int argc, char **argv)
{
	g_autofree char *packed = argc == 3 ? g_build_filename(argv[2], "whole.snap.zst", NULL) : NULL;
	struct damaged file;
	bool good;

	if (argc != 3) {
		fprintf(stderr, "usage: damage-snapshot SNAPSHOT DIR\n");
		return 2;
	}
	file.path = g_build_filename(argv[2], "bad.snap", NULL);
	file.fd = open(file.path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file.fd < 0)
		g_error("%s cannot be written", file.path);
	good = damage(&file, argv[1], 0) && compress(argv[1], packed) && damage(&file, packed, IGNORED_MAX);
	g_free(file.path);
	close(file.fd);
	return good ? 0 : 1;
}
