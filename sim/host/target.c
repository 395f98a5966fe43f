/* SPDX-License-Identifier: MIT */
#include "sim/host/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/core/error.h"

#define FILE_BLOCK_BYTES 4096 /* where the kernel does not say (before 6.1): enough for every file system */

static bool target_fail(const struct target *target, int err, GError **error)
{
	const char *why = g_strerror(err);

	if (err == EBUSY && target->is_block)
		why = "is mounted or in use (swap, RAID, LVM, …), or a partition of it is";
	return sim_error_plain(error, "%s: %s", target->path, why) == 0;
}

/** Returns the alignment that direct I/O on the file needs; 0: it cannot do it, whatever open() said. */
static uint32_t file_block_bytes(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN))
		return status.stx_dio_offset_align;
#endif
	return FILE_BLOCK_BYTES;
}

static void target_measure_file(struct target *target, const struct stat *status)
{
	uint32_t block_bytes = target->direct ? file_block_bytes(target->fd) : 0;

	if (target->direct && !block_bytes)
		fcntl(target->fd, F_SETFL, fcntl(target->fd, F_GETFL) & ~O_DIRECT);
	target->direct = block_bytes != 0;
	target->block_bytes = MAX(block_bytes, 1);
	target->size_bytes = (uint64_t)status->st_size;
	target->device = status->st_dev;
	target->inode = status->st_ino;
	target->has_holes = (uint64_t)status->st_blocks * 512 < target->size_bytes;
}

static bool target_measure_block(struct target *target, const struct stat *status, bool writes,
				 GError **error)
{
	int block_bytes, read_only = 0;

	target->device = status->st_rdev;
	if (ioctl(target->fd, BLKSSZGET, &block_bytes) < 0 ||
	    ioctl(target->fd, BLKGETSIZE64, &target->size_bytes) < 0 ||
	    ioctl(target->fd, BLKROGET, &read_only) < 0)
		return target_fail(target, errno, error);
	target->block_bytes = (uint32_t)block_bytes;
	return !(writes && read_only) || target_fail(target, EROFS, error);
}

static bool target_measure(struct target *target, bool writes, GError **error)
{
	struct stat status;

	if (fstat(target->fd, &status) < 0)
		return target_fail(target, errno, error);
	if (!target->is_block)
		target_measure_file(target, &status);
	else if (!target_measure_block(target, &status, writes, error))
		return false;
	g_assert((target->block_bytes & (target->block_bytes - 1)) == 0);
	if (target->size_bytes >= target->block_bytes)
		return true;
	return sim_error_plain(error, "%s: holds %" G_GUINT64_FORMAT " bytes, not even one block of %u",
			       target->path, target->size_bytes, target->block_bytes) == 0;
}

static bool target_open_file(struct target *target, bool writes, GError **error)
{
	int flags = O_CLOEXEC | (writes ? O_RDWR : O_RDONLY) | (target->is_block && writes ? O_EXCL : 0);

	target->fd = open(target->path, flags | O_DIRECT);
	target->direct = target->fd >= 0;
	if (target->fd < 0 && errno == EINVAL)
		target->fd = open(target->path, flags);
	return target->fd >= 0 || target_fail(target, errno, error);
}

struct target *target_open(const char *path, bool writes, GError **error)
{
	struct target *target = g_new0(struct target, 1);
	struct stat status;

	target->path = g_strdup(path);
	target->fd = -1;
	/* Looked at first: opening a pipe would wait. */
	if (stat(path, &status) < 0) {
		target_fail(target, errno, error);
		goto out_close;
	}
	target->is_block = S_ISBLK(status.st_mode);
	if (!target->is_block && !S_ISREG(status.st_mode)) {
		sim_error_plain(error, "%s: is neither a file nor a block device", path);
		goto out_close;
	}
	if (!target_open_file(target, writes, error) || !target_measure(target, writes, error))
		goto out_close;
	return target;

out_close:
	target_close(target);
	return NULL;
}

void target_close(struct target *target)
{
	if (!target)
		return;
	if (target->fd >= 0)
		close(target->fd);
	g_free(target->path);
	g_free(target);
}

bool target_is(const struct target *target, const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return false;
	if (target->is_block)
		return S_ISBLK(status.st_mode) && status.st_rdev == target->device;
	return status.st_dev == target->device && status.st_ino == target->inode;
}
