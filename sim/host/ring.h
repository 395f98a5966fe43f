/* SPDX-License-Identifier: MIT */
#ifndef SIM_HOST_RING_H
#define SIM_HOST_RING_H

/*
 * Real I/O through io_uring: requests with slots, data in registered buffers.
 *
 * Everything of liburing is in ring.c. A ring does what it is told and keeps no time; there is no other way where the
 * kernel refuses io_uring. Nobody looks at the data: reads in flight may share a buffer where memory for one each is
 * more than is allowed, and all writes take theirs, pseudo-random, from one that nothing is read into. Memory: the
 * buffers, which stay pinned.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define RING_SLOTS_MAX	1000u
#define RING_BYTES_MAX	(UINT64_C(64) << 20) /* of one request */
#define RING_PINNED_MAX (UINT64_C(64) << 20) /* of buffers for reads, where one is not more */

enum ring_op {
	RING_READ,
	RING_WRITE,
	RING_FLUSH,	   /* fsync: place and bytes are not used */
	RING_DISCARD,	   /* fallocate, punch a hole */
	RING_WRITE_ZEROES, /* fallocate, zero the range */
};

struct ring_request {
	enum ring_op op;
	unsigned slot; /* not in flight */
	uint64_t place_bytes;
	uint64_t bytes; /* RING_READ, RING_WRITE: at most those of a buffer */
};

struct ring;

/** Starts a ring for the open file @fd (borrowed), for @slots requests at once (1 to RING_SLOTS_MAX) of at most @bytes_max
 *  bytes (up to RING_BYTES_MAX). Returns NULL with *@error where the kernel does not allow that. Free with ring_free(). */
struct ring *ring_new(int fd, unsigned slots, uint64_t bytes_max, GError **error);

/** Waits for what is in flight. NULL is allowed. */
void ring_free(struct ring *ring);

/** Returns how many buffers reads have: fewer than slots where they share. */
unsigned ring_read_buffers(const struct ring *ring);

/** Hands @request to the kernel. Returns false with *@error if it does not take it. */
bool ring_submit(struct ring *ring, const struct ring_request *request, GError **error);

/** Takes a completion, if there is one, without waiting: its slot and what it returned, bytes or a negative errno. Returns
 *  false if there is none. */
bool ring_reap(struct ring *ring, unsigned *ret_slot, int32_t *ret_result);

/** Waits until there is a completion, but not longer than @timeout_ns. It may return early. Returns false with *@error if
 *  the kernel does not let it. */
bool ring_wait(struct ring *ring, uint64_t timeout_ns, GError **error);

#endif
