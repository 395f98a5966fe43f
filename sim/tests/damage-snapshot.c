/* SPDX-License-Identifier: MIT */
/*
 * What damage does to a snapshot: "damage-snapshot SNAPSHOT DIR". Every file that it could have been cut to, and every one with
 * one other bit, is written into DIR and checked, as text and compressed: each must be refused with one line. In one process,
 * because there are a hundred thousand.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/io/output.h"
#include "sim/machine/machine.h"
#include "sim/snapshot/snapshot.h"

static void put(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) != 0)
		g_error("%s cannot be written", path);
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

static bool every_cut(const char *path, const char *bytes, size_t len)
{
	for (size_t cut = 0; cut < len; cut++) {
		put(path, bytes, cut);
		if (!refused(path, "cut to", cut))
			return false;
	}
	return true;
}

static bool every_bit(const char *path, char *bytes, size_t len)
{
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		put(path, bytes, len);
		bytes[bit / 8] ^= (char)(1 << bit % 8);
		if (!refused(path, "other bit", bit))
			return false;
	}
	return true;
}

/** Checks the file at @whole, which is sound, and all that damage makes of it, at @path. */
static bool damage(const char *whole, const char *path)
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
	return every_cut(path, bytes, len) && every_bit(path, bytes, len);
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
	g_autofree char *text = argc == 3 ? g_build_filename(argv[2], "bad.snap", NULL) : NULL;
	g_autofree char *packed = argc == 3 ? g_build_filename(argv[2], "whole.snap.zst", NULL) : NULL;
	g_autofree char *bad = argc == 3 ? g_build_filename(argv[2], "bad.snap.zst", NULL) : NULL;

	if (argc != 3) {
		fprintf(stderr, "usage: damage-snapshot SNAPSHOT DIR\n");
		return 2;
	}
	return damage(argv[1], text) && compress(argv[1], packed) && damage(packed, bad) ? 0 : 1;
}
