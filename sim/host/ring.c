/* SPDX-License-Identifier: MIT */
#include "sim/host/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/core/error.h"
#include "sim/core/prng.h"

#define PAGE_BYTES   4096u
#define WRITE_BUFFER 0u /* the buffers of reads follow */
#define LAST_WAIT_NS UINT64_C(1000000000)

struct ring {
	struct io_uring uring;
	bool started;
	int fd;
	unsigned slots, in_flight;
	unsigned read_buffers;
	size_t buffer_bytes;
	uint8_t *memory; /* of all buffers; NULL: none yet */
	size_t memory_bytes;
};

static bool ring_fail(int err, GError **error)
{
	const char *hint =
		err == ENOSYS ? " (this kernel has none)"
		: err == EPERM || err == EACCES
			? " (forbidden here: sysctl kernel.io_uring_disabled, or a container's rules)"
			: "";

	return sim_error_plain(error, "io_uring cannot be used: %s%s", g_strerror(err), hint) == 0;
}

static uint8_t *ring_buffer(const struct ring *ring, unsigned number)
{
	return ring->memory + number * ring->buffer_bytes;
}

/** Gives the kernel as many buffers as it lets this process pin: at least one to read into and one to write from. */
static bool ring_register(struct ring *ring, GError **error)
{
	g_autofree struct iovec *vectors = g_new(struct iovec, 1 + ring->read_buffers);
	int err;

	for (unsigned number = 0; number <= ring->read_buffers; number++)
		vectors[number] = (struct iovec){ring_buffer(ring, number), ring->buffer_bytes};
	while ((err = -io_uring_register_buffers(&ring->uring, vectors, 1 + ring->read_buffers)) == ENOMEM &&
	       ring->read_buffers > 1)
		ring->read_buffers /= 2;
	if (err == ENOMEM)
		return sim_error_plain(
			       error, "io_uring cannot pin %zu bytes of buffers: raise the limit (ulimit -l)",
			       2 * ring->buffer_bytes) == 0;
	return !err || ring_fail(err, error);
}

static bool ring_allocate(struct ring *ring, GError **error)
{
	struct prng prng;

	ring->memory_bytes = (1 + ring->read_buffers) * ring->buffer_bytes;
	ring->memory =
		mmap(NULL, ring->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ring->memory == MAP_FAILED) {
		ring->memory = NULL;
		return ring_fail(errno, error);
	}
	prng_init(&prng, 1, "ring");
	for (size_t at = 0; at < ring->buffer_bytes; at += sizeof(uint64_t)) {
		uint64_t word = prng_next(&prng);

		memcpy(ring_buffer(ring, WRITE_BUFFER) + at, &word, sizeof(word));
	}
	return true;
}

struct ring *ring_new(int fd, unsigned slots, uint64_t bytes_max, GError **error)
{
	struct ring *ring = g_new0(struct ring, 1);
	int err;

	g_assert(slots > 0 && slots <= RING_SLOTS_MAX);
	g_assert(bytes_max <= RING_BYTES_MAX);
	ring->fd = fd;
	ring->slots = slots;
	ring->buffer_bytes = (MAX(bytes_max, 1) + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
	ring->read_buffers = (unsigned)CLAMP(RING_PINNED_MAX / ring->buffer_bytes, 1, slots);
	err = -io_uring_queue_init(slots, &ring->uring, 0);
	if (err) {
		ring_fail(err, error);
		goto out_free;
	}
	ring->started = true;
	if (!ring_allocate(ring, error) || !ring_register(ring, error))
		goto out_free;
	return ring;

out_free:
	ring_free(ring);
	return NULL;
}

void ring_free(struct ring *ring)
{
	unsigned slot;
	int32_t result;

	if (!ring)
		return;
	while (ring->in_flight && (ring_reap(ring, &slot, &result) || ring_wait(ring, LAST_WAIT_NS, NULL)))
		;
	if (ring->started)
		io_uring_queue_exit(&ring->uring);
	if (ring->memory)
		munmap(ring->memory, ring->memory_bytes);
	g_free(ring);
}

unsigned ring_read_buffers(const struct ring *ring)
{
	return ring->read_buffers;
}

static void ring_prepare(const struct ring *ring, const struct ring_request *request,
			 struct io_uring_sqe *sqe)
{
	unsigned read_buffer = 1 + request->slot % ring->read_buffers;
	unsigned bytes = (unsigned)request->bytes;
	off_t place = (off_t)request->place_bytes, len = (off_t)request->bytes;

	switch (request->op) {
	case RING_READ:
		g_assert(request->bytes <= ring->buffer_bytes);
		io_uring_prep_read_fixed(sqe, ring->fd, ring_buffer(ring, read_buffer), bytes,
					 request->place_bytes, (int)read_buffer);
		break;
	case RING_WRITE:
		g_assert(request->bytes <= ring->buffer_bytes);
		io_uring_prep_write_fixed(sqe, ring->fd, ring_buffer(ring, WRITE_BUFFER), bytes,
					  request->place_bytes, WRITE_BUFFER);
		break;
	case RING_FLUSH:
		io_uring_prep_fsync(sqe, ring->fd, 0);
		break;
	case RING_DISCARD:
		io_uring_prep_fallocate(sqe, ring->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, place,
					len);
		break;
	case RING_WRITE_ZEROES:
		io_uring_prep_fallocate(sqe, ring->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, place,
					len);
		break;
	}
	io_uring_sqe_set_data64(sqe, request->slot);
}

bool ring_submit(struct ring *ring, const struct ring_request *request, GError **error)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
	int count;

	g_assert(request->slot < ring->slots);
	g_assert(sqe); /* as many entries as slots */
	ring_prepare(ring, request, sqe);
	do {
		count = io_uring_submit(&ring->uring);
	} while (count == -EINTR || count == -EAGAIN);
	if (count < 0)
		return ring_fail(-count, error);
	ring->in_flight++;
	return true;
}

bool ring_reap(struct ring *ring, unsigned *ret_slot, int32_t *ret_result)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(&ring->uring, &cqe) != 0)
		return false;
	*ret_slot = (unsigned)io_uring_cqe_get_data64(cqe);
	*ret_result = cqe->res;
	io_uring_cqe_seen(&ring->uring, cqe);
	ring->in_flight--;
	return true;
}

bool ring_wait(struct ring *ring, uint64_t timeout_ns, GError **error)
{
	struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / 1000000000),
					    .tv_nsec = (int64_t)(timeout_ns % 1000000000)};
	struct io_uring_cqe *cqe;
	int err = -io_uring_wait_cqe_timeout(&ring->uring, &cqe, &timeout);

	return !err || err == ETIME || err == EINTR || err == EAGAIN || ring_fail(err, error);
}
