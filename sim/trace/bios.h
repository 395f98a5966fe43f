/* SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_BIOS_H
#define SIM_TRACE_BIOS_H

/*
 * Bios that were queued and have not ended, by where they lie. The block layer merges and splits bios on their way to the
 * driver, so a completion of a request ends all bios in its range, and a bio may end in several pieces.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

struct bios {
	GTree *by_place;
	uint64_t sectors_max; /* of any bio so far */
};

void bios_init(struct bios *bios);
void bios_finish(struct bios *bios);

/** Puts in a bio of @bytes, above 0, at sector @lba. @group tells apart what does not end each other: device and operation.
 *  @number is greater with each bio; @slot is the caller's. */
void bios_add(struct bios *bios, uint32_t group, uint64_t lba, uint64_t bytes, uint64_t number,
	      uint32_t slot);

/** Takes the bio out, if it is there. */
void bios_remove(struct bios *bios, uint32_t group, uint64_t lba, uint64_t number);

/** Ends @bytes from sector @lba. Appends the slots of the bios of which nothing is left, by place, to @ended (of uint32_t); they
 *  are gone then. Returns whether any bio lay there. */
bool bios_end(struct bios *bios, uint32_t group, uint64_t lba, uint64_t bytes, GArray *ended);

#endif
