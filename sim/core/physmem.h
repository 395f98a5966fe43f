/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_PHYSMEM_H
#define SIM_CORE_PHYSMEM_H

/*
 * Simulated physical memory.
 *
 * Two kinds of frame:
 * - frames with bytes: what the modelled kernel allocates and a device or a page walk reads (page tables, NVMe queues,
 *   descriptor lists). They lie together from one address on, are handed out last freed first, else at the next higher
 *   address, and so are the same in every run.
 * - data frames: the buffers of requests, at the addresses that a recording names or a layout rule made. They have no bytes,
 *   but owners: the requests know what they hold, and are asked when a device access has to be told from what owns the
 *   frame *now*, which is seldom.
 *
 * Frames are 4 KiB. All addresses are physical and in bytes.
 */
#include <stdbool.h>
#include <stdint.h>

#define FRAME_LG2  12
#define FRAME_SIZE (1u << FRAME_LG2)

/** Frames with bytes start here unless physmem_move() says else: 64 TiB, above what recordings of real machines name and
 *  below 52 bits. */
#define PHYSMEM_BASE (UINT64_C(1) << 46)

#define PHYSMEM_ORDER_MAX   10 /* 4 MiB, as the kernel's page allocator */
#define PHYSMEM_CHUNK_LG2   PHYSMEM_ORDER_MAX /* frames a host allocation: no block lies in two of them */
#define PHYSMEM_CHUNK_FRAME (1u << PHYSMEM_CHUNK_LG2)
#define PHYSMEM_PLACE_MAX   (UINT64_C(1) << 36) /* bytes from the base on where frames can be placed */

#define PHYSMEM_ALIGN ((uint64_t)FRAME_SIZE << PHYSMEM_ORDER_MAX) /* of its base */

enum frame_use {
	FRAME_FREE,
	FRAME_PGTABLE,
	FRAME_NVME_QUEUE,
	FRAME_NVME_POOL, /* PRP and SGL list pools */
	FRAME_NVME_HMB,	 /* host memory buffer */
	FRAME_USES,
};

/** Returns whether a request holds part of the data frame at @paddr; then its number is in *@ret_owner, the latest one's where
 *  several do, as small file-system blocks share frames. */
typedef bool (*physmem_owner_fn)(void *data, uint64_t paddr, uint64_t *ret_owner);

struct physmem {
	uint64_t base;	  /* of the first frame with bytes; whole chunks */
	uint8_t **chunks; /* bytes of PHYSMEM_CHUNK_FRAME frames each; NULL: none of them was handed out */
	uint8_t *use;	  /* enum frame_use of each frame with bytes */
	uint32_t chunk_count;
	uint32_t next_frame;			    /* frames ever handed out; index of the next fresh one */
	uint32_t in_use[FRAME_USES];		    /* frames, by use */
	uint32_t *free_list[PHYSMEM_ORDER_MAX + 1]; /* stacks of frame indices */
	uint32_t free_count[PHYSMEM_ORDER_MAX + 1];
	uint32_t free_capacity[PHYSMEM_ORDER_MAX + 1];
	/* Set by who makes requests, and NULL again before these are gone; NULL: nobody owns data frames. */
	physmem_owner_fn owner;
	void *owner_data; /* of @owner, borrowed */
};

void physmem_init(struct physmem *mem);
void physmem_finish(struct physmem *mem);

/** Returns the smallest order of frames that hold @bytes. */
static inline unsigned physmem_order(uint64_t bytes)
{
	unsigned order = 0;

	while ((uint64_t)FRAME_SIZE << order < bytes)
		order++;
	return order;
}

/** Lets the frames with bytes start at @base, a multiple of 4 MiB: for a machine whose IOMMU or devices reach less than the
 *  usual place. Before the first frame. */
void physmem_move(struct physmem *mem, uint64_t base);

/** Returns the address of 2^@order zeroed frames, aligned to their size, used for @use. Never fails: the caller has
 *  asked its fault point before. */
uint64_t physmem_alloc(struct physmem *mem, unsigned order, enum frame_use use);

/** Puts zeroed frames at @paddr, where others may lie already, which stay: to have memory as it was in another
 *  simulation. Returns whether all of [@paddr, @paddr + @len_bytes) has bytes now: not where it is out of range. Before
 *  the first physmem_alloc() only, which goes on behind. */
bool physmem_place(struct physmem *mem, uint64_t paddr, uint64_t len_bytes, enum frame_use use);

/** Gives back what physmem_alloc() returned with the same @order. */
void physmem_free(struct physmem *mem, uint64_t paddr, unsigned order);

/** Returns whether @paddr lies in a frame with bytes that is in use. */
static inline bool physmem_has_bytes(const struct physmem *mem, uint64_t paddr)
{
	uint64_t frame = (paddr - mem->base) >> FRAME_LG2;

	return paddr >= mem->base && frame < mem->next_frame && mem->use[frame] != FRAME_FREE;
}

/** Returns the bytes at @paddr, which physmem_alloc() handed out; valid to the end of the block it is
 *  part of, until that is freed. */
static inline void *physmem_bytes(const struct physmem *mem, uint64_t paddr)
{
	uint64_t frame = (paddr - mem->base) >> FRAME_LG2;

	return mem->chunks[frame >> PHYSMEM_CHUNK_LG2] +
	       ((frame & (PHYSMEM_CHUNK_FRAME - 1)) << FRAME_LG2 | (paddr & (FRAME_SIZE - 1)));
}

/** Returns whether some request owns the data frame of @paddr; then *@ret_owner is its number. */
bool physmem_owner(const struct physmem *mem, uint64_t paddr, uint64_t *ret_owner);

#endif
