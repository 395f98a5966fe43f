/* SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_TARGET_H
#define SIM_HOST_TARGET_H

/*
 * A file or block device of this host that real I/O goes to, past the page cache (O_DIRECT) where its file system can do
 * that.
 *
 * A block device that shall be written is opened exclusively: the kernel refuses that while it is mounted, swapped to, part
 * of another device, or held so by somebody else, and for a disk while that holds of a partition. So nobody mounts it
 * meanwhile either.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

struct target {
	char *path;
	int fd;
	bool is_block;
	bool direct;	/* past the page cache */
	bool has_holes; /* a file of which not all has a place on its disk: reading the rest asks no device */
	uint64_t size_bytes;
	uint32_t block_bytes; /* places and sizes must be multiples; a power of two, 1 unless direct */
	dev_t device;	      /* of a block device its own number, else that of its file system */
	ino_t inode;	      /* of a file */
};

/** Opens @path, for writing as well with @writes. Returns NULL with "PATH: why" in *@error. Free with target_close(). */
struct target *target_open(const char *path, bool writes, GError **error);
/** NULL is allowed. */
void target_close(struct target *target);

/** Whether @path, which need not exist, is @target under the same or another name. */
bool target_is(const struct target *target, const char *path);

#endif
