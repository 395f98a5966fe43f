/* SPDX-License-Identifier: MIT */
#include "sim/io/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "sim/core/error.h"

#define OUTPUT_BUFFER	  (256u << 10)
#define OUTPUT_ZSTD_LEVEL 3

struct output {
	char *name;	 /* as the caller gave it, for messages */
	char *path;	 /* what commit renames to; NULL: written in place */
	char *temporary; /* NULL: the file has no name yet, or is written in place */
	int fd;
	int error; /* first errno of a write, 0 */
	uint8_t *buffer;
	size_t used;
	ZSTD_CStream *zstd; /* NULL: plain */
	uint8_t *compressed;
	size_t compressed_size;
};

static bool output_fail(GError **error, const char *name, int err)
{
	g_set_error(error, SIM_ERROR, SIM_ERROR_OUTPUT, "%s: %s", name, g_strerror(err));
	return false;
}

static void output_free(struct output *output)
{
	if (output->fd >= 0)
		close(output->fd);
	ZSTD_freeCStream(output->zstd);
	g_free(output->compressed);
	g_free(output->buffer);
	g_free(output->temporary);
	g_free(output->path);
	g_free(output->name);
	g_free(output);
}

/* A hidden name beside @path that a crash would leave recognisable; cut so that it fits where @path's own name did. */
static char *temporary_name(const char *path)
{
	g_autofree char *directory = g_path_get_dirname(path);
	g_autofree char *base = g_path_get_basename(path);
	g_autofree char *name = g_strdup_printf(".%.*s.%08x", NAME_MAX - 10, base, g_random_int());

	return g_build_filename(directory, name, NULL);
}

/* Whether the nameless file can get a name: not in a chroot without /proc. */
static bool output_can_link(const struct output *output)
{
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", output->fd);

	return access(self, F_OK) == 0;
}

/*
 * Opens the file that becomes @output->path. Where the file system can, it has no name until it is whole, so even a
 * killed process leaves nothing. Both ways the kernel applies the umask.
 */
static int output_open(struct output *output)
{
	g_autofree char *directory = g_path_get_dirname(output->path);

	output->fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (output->fd >= 0 && output_can_link(output))
		return 0;
	if (output->fd >= 0)
		close(output->fd);
	else if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return errno;
	for (;;) {
		g_autofree char *temporary = temporary_name(output->path);

		output->fd = open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
		if (output->fd >= 0) {
			output->temporary = g_steal_pointer(&temporary);
			return 0;
		}
		if (errno != EEXIST)
			return errno;
	}
}

/* Gives the nameless file its temporary name. */
static int output_link(struct output *output)
{
	g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", output->fd);

	for (;;) {
		g_autofree char *temporary = temporary_name(output->path);

		if (linkat(AT_FDCWD, self, AT_FDCWD, temporary, AT_SYMLINK_FOLLOW) == 0) {
			output->temporary = g_steal_pointer(&temporary);
			return 0;
		}
		if (errno != EEXIST)
			return errno;
	}
}

/* Returns what @path, or the link it is, stands for; where that is a terminal, a pipe or a device, there is nothing to
 * rename onto, and it is opened as it is. */
static int output_resolve(struct output *output, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") == 0) {
		output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
		return output->fd < 0 ? errno : 0;
	}
	if (*path == '\0')
		return ENOENT;
	if (stat(path, &st) == 0) {
		char *target;

		if (S_ISDIR(st.st_mode))
			return EISDIR;
		if (!S_ISREG(st.st_mode)) {
			output->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
			return output->fd < 0 ? errno : 0;
		}
		target = realpath(path, NULL);
		if (!target)
			return errno;
		output->path = g_strdup(target);
		free(target);
	} else if (g_str_has_suffix(path, "/")) {
		return EISDIR;
	} else {
		output->path = g_strdup(path);
	}
	return output_open(output);
}

struct output *output_new(const char *path, GError **error)
{
	struct output *output = g_new0(struct output, 1);
	int err;

	output->fd = -1;
	output->name = g_strdup(strcmp(path, "-") == 0 ? "stdout" : path);
	err = output_resolve(output, path);
	if (err) {
		output_fail(error, output->name, err);
		output_free(output);
		return NULL;
	}
	output->buffer = g_malloc(OUTPUT_BUFFER);
	if (g_str_has_suffix(path, ".zst")) {
		output->zstd = ZSTD_createCStream();
		g_assert(output->zstd);
		ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_compressionLevel, OUTPUT_ZSTD_LEVEL);
		ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_checksumFlag, 1);
		output->compressed_size = ZSTD_CStreamOutSize();
		output->compressed = g_malloc(output->compressed_size);
	}
	return output;
}

static void write_all(struct output *output, const uint8_t *bytes, size_t len)
{
	while (len && !output->error) {
		ssize_t done = write(output->fd, bytes, len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			output->error = errno;
			return;
		}
		bytes += done;
		len -= (size_t)done;
	}
}

static void output_compress(struct output *output, const uint8_t *bytes, size_t len,
			    ZSTD_EndDirective directive)
{
	ZSTD_inBuffer in = {.src = bytes, .size = len};
	size_t left;

	do {
		ZSTD_outBuffer out = {.dst = output->compressed, .size = output->compressed_size};

		left = ZSTD_compressStream2(output->zstd, &out, &in, directive);
		g_assert(!ZSTD_isError(left));
		write_all(output, output->compressed, out.pos);
	} while (!output->error && (directive == ZSTD_e_end ? left > 0 : in.pos < in.size));
}

static void output_flush(struct output *output)
{
	if (output->zstd)
		output_compress(output, output->buffer, output->used, ZSTD_e_continue);
	else
		write_all(output, output->buffer, output->used);
	output->used = 0;
}

void output_write(struct output *output, const void *bytes, size_t len)
{
	const uint8_t *next = bytes;

	while (len && !output->error) {
		size_t chunk = MIN(len, OUTPUT_BUFFER - output->used);

		memcpy(output->buffer + output->used, next, chunk);
		output->used += chunk;
		next += chunk;
		len -= chunk;
		if (output->used == OUTPUT_BUFFER)
			output_flush(output);
	}
}

void output_puts(struct output *output, const char *text)
{
	output_write(output, text, strlen(text));
}

void output_printf(struct output *output, const char *format, ...)
{
	char line[256]; /* most are shorter, and many */
	g_autofree char *text = NULL;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	g_assert(len >= 0);
	if ((size_t)len < sizeof(line)) {
		output_write(output, line, (size_t)len);
		return;
	}
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	output_puts(output, text);
}

/* Once the file has its name it is whole, whatever becomes of this: only after a power cut may the old one be back. */
static void sync_directory(const char *path)
{
	g_autofree char *directory = g_path_get_dirname(path);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

/* Steps that can fail, in order; the rename, which makes the file visible, last. */
static int output_finish(struct output *output)
{
	int err;

	output_flush(output);
	if (output->zstd && !output->error)
		output_compress(output, NULL, 0, ZSTD_e_end);
	if (output->error || !output->path)
		return output->error;
	if (fsync(output->fd) < 0 && errno != EINVAL)
		return errno;
	if (!output->temporary) {
		err = output_link(output);
		if (err)
			return err;
	}
	if (rename(output->temporary, output->path) < 0)
		return errno;
	g_clear_pointer(&output->temporary, g_free);
	sync_directory(output->path);
	return 0;
}

bool output_commit(struct output *output, GError **error)
{
	int err = output_finish(output);

	if (err)
		output_fail(error, output->name, err);
	output_abandon(output);
	return err == 0;
}

void output_abandon(struct output *output)
{
	if (!output)
		return;
	if (output->temporary)
		unlink(output->temporary);
	output_free(output);
}

bool output_write_text(const char *directory, const char *name, const char *text, GError **error)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	struct output *output = output_new(path, error);

	if (!output)
		return false;
	output_puts(output, text);
	return output_commit(output, error);
}
