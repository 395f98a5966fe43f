/* SPDX-License-Identifier: MIT */
#ifndef SIM_MACHINE_PCIE_H
#define SIM_MACHINE_PCIE_H

/*
 * The PCI Express link of one controller, in time: who sends when, and when it arrives.
 *
 * A link has two directions, each with a time from which it is free. What is sent becomes packets (TLPs) of at most the
 * payload size, each with its header and framing; acknowledgements and flow control take a share of the raw rate. The device
 * sends writes to memory and is done with them (posted); a read is a request up and its data down, and holds a tag until the
 * last of it has come. With no tag free the next request waits.
 *
 * Callers set @now_ps, which never goes back, and ask for times from then on: the place in line is that of @now_ps. Sources: PCI Express Base Specification 5.0, sections 2.2 (headers), 2.2.6.2 (tags),
 * 3.4 and 4.2 (framing, encoding); the same sums as in Neugebauer et al., "Understanding PCIe performance for end host
 * networking", SIGCOMM 2018, section 3.
 *
 * With nvme.link-mb-s the link is plain: data alone take time, each direction has that rate, and nothing is far away.
 */
#include <stdbool.h>
#include <stdint.h>

#include "sim/machine/config.h"

/** Bytes of a packet that are not data, with 64-bit addresses: framing and sequence number 4, LCRC 4, header 16; the header
 *  of a completion is 12. */
#define PCIE_REQUEST_BYTES    24
#define PCIE_COMPLETION_BYTES 20

struct pcie_direction {
	uint64_t free_ps;   /* when all that was sent in turn has left */
	uint64_t behind_ps; /* what went in between, and delays what is sent next, if that is soon */
	uint64_t busy_ps;   /* sum, for the utilisation */
	uint64_t wire_bytes, data_bytes;
};

struct pcie_link {
	struct pcie_direction up, down; /* up: to memory */
	uint64_t now_ps;
	uint64_t ps_of_64k_bytes; /* time of 65536 bytes on the wire */
	bool plain;
	uint32_t read_request;			  /* bytes */
	uint8_t payload_lg2, read_completion_lg2; /* of bytes */
	uint64_t request_ps;			  /* a packet without data */
	uint64_t full_read_ps;			  /* the answer of @read_request bytes … */
	uint32_t full_read_bytes;		  /* … on the wire */
	uint64_t latency_ps;			  /* to memory and back */
	uint64_t *tag_free_ps;			  /* a ring: tags are used, and come back, in turn */
	uint32_t tags, next_tag;
	uint64_t reads, tag_waits, tag_wait_ps; /* read requests, of these who waited, and how long in all */
};

void pcie_init(struct pcie_link *link, const struct machine_config *config);
void pcie_finish(struct pcie_link *link);

/** The device writes @bytes of data to memory, and behind them @small further writes of @small_bytes in all, from @at_ps on.
 *  Returns when the last has left. */
uint64_t pcie_post(struct pcie_link *link, uint64_t at_ps, uint64_t bytes, unsigned small,
		   unsigned small_bytes);

/** The same of @small small writes alone, at a time that lies ahead: they go between what others send, and do not wait. */
uint64_t pcie_post_between(struct pcie_link *link, uint64_t at_ps, unsigned small, unsigned small_bytes);

/** Returns when the next read could be asked for, at @at_ps or later. */
uint64_t pcie_read_start_ps(const struct pcie_link *link, uint64_t at_ps);

/** The device reads @bytes, more than 0, of memory; the answers are there at @back_ps at the earliest: a walk. *@at_ps:
 *  from when on; then, when the last request has left. Returns when all data are there. */
uint64_t pcie_read(struct pcie_link *link, uint64_t *at_ps, uint64_t bytes, uint64_t back_ps);

#endif
