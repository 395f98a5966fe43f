/* SPDX-License-Identifier: MIT */
#ifndef SIM_IO_KEYFILE_H
#define SIM_IO_KEYFILE_H

/*
 * Key files (machine file, faults file) as GKeyFile reads them, with what it lacks: line numbers for messages, and
 * duplicate groups and keys refused instead of merged.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct keyfile;

/** Reads @path ("-" is stdin; at most 1 MiB; .gz and .zst as any input). Returns NULL with "FILE:LINE: …" in *@error.
 *  Comments are lines whose first visible character is '#'. UTF-8 only, no NUL bytes. */
struct keyfile *keyfile_load(const char *path, GError **error);

/** The same from @text, called @name in messages. */
struct keyfile *keyfile_parse(const char *name, const char *text, GError **error);

/** NULL is allowed. */
void keyfile_free(struct keyfile *keyfile);

const char *keyfile_name(const struct keyfile *keyfile);

/** Returns the groups in file order, NULL-ended; free with g_strfreev(). */
char **keyfile_groups(const struct keyfile *keyfile);

/** Returns the keys of @group in file order, NULL-ended, none where there is no such group; free with g_strfreev(). */
char **keyfile_keys(const struct keyfile *keyfile, const char *group);

/** Returns the value with white space around it removed, borrowed until the file is freed; NULL if there is none. */
const char *keyfile_get(const struct keyfile *keyfile, const char *group, const char *key);

/** Returns the line of @key in @group, of the group itself where @key is NULL; from 1, 0 where it does not exist. */
uint64_t keyfile_line(const struct keyfile *keyfile, const char *group, const char *key);

#endif
