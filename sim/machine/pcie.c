/* SPDX-License-Identifier: MIT */
#include "sim/machine/pcie.h"

#include <glib.h>

/* Raw rate of a lane in 10^6 transfers a second, and how many bits of @code are @bits of data. */
static const struct {
	uint32_t mega_transfers, bits, code;
} pcie_generations[] = {
	[1] = {2500, 8, 10},	 [2] = {5000, 8, 10},	  [3] = {8000, 128, 130},
	[4] = {16000, 128, 130}, [5] = {32000, 128, 130},
};

/** Returns how long @bytes are on the wire. */
static uint64_t pcie_wire_ps(const struct pcie_link *link, uint64_t bytes)
{
	/* In two parts, so that 4 GiB on the slowest link do not overflow. */
	return bytes * (link->ps_of_64k_bytes >> 16) + (bytes * (link->ps_of_64k_bytes & 0xffff) >> 16);
}

static uint64_t pcie_packets(uint64_t bytes, unsigned each_lg2)
{
	return (bytes + (UINT64_C(1) << each_lg2) - 1) >> each_lg2;
}

/** Returns what @bytes that were read are on the wire. */
static uint32_t pcie_answer_bytes(const struct pcie_link *link, uint32_t bytes)
{
	return bytes + (uint32_t)pcie_packets(bytes, link->read_completion_lg2) * PCIE_COMPLETION_BYTES;
}

void pcie_init(struct pcie_link *link, const struct machine_config *config)
{
	uint64_t bit_ps; /* of 2^19 bits: 65536 bytes */

	*link = (struct pcie_link){.plain = config->link_mb_s != 0,
				   .payload_lg2 = (uint8_t)__builtin_ctzll(config->pcie_payload),
				   .read_request = (uint32_t)config->pcie_read_request,
				   .read_completion_lg2 =
					   (uint8_t)__builtin_ctzll(config->pcie_read_completion),
				   .tags = (uint32_t)config->pcie_tags};
	if (link->plain) {
		link->ps_of_64k_bytes = (UINT64_C(1000000) << 16) / config->link_mb_s;
		return;
	}
	bit_ps = (UINT64_C(1000000) << 19) * pcie_generations[config->pcie_generation].code /
		 pcie_generations[config->pcie_generation].bits /
		 (pcie_generations[config->pcie_generation].mega_transfers * config->pcie_lanes);
	link->ps_of_64k_bytes = bit_ps * 100 / (100 - config->pcie_dllp_percent);
	link->latency_ps = config->pcie_latency_ns * 1000;
	link->tag_free_ps = g_new0(uint64_t, link->tags);
	link->request_ps = pcie_wire_ps(link, PCIE_REQUEST_BYTES);
	link->full_read_bytes = pcie_answer_bytes(link, link->read_request);
	link->full_read_ps = pcie_wire_ps(link, link->full_read_bytes);
}

void pcie_finish(struct pcie_link *link)
{
	g_free(link->tag_free_ps);
}

static void pcie_count(struct pcie_direction *direction, uint64_t wire_ps, uint64_t wire_bytes,
		       uint64_t data_bytes)
{
	direction->wire_bytes += wire_bytes;
	direction->data_bytes += data_bytes;
	direction->busy_ps += wire_ps;
}

/** Sends in turn, not before @at_ps. Returns when the last byte has left. */
static uint64_t pcie_send(const struct pcie_link *link, struct pcie_direction *direction, uint64_t at_ps,
			  uint64_t wire_ps)
{
	direction->free_ps = MAX(direction->free_ps + direction->behind_ps, link->now_ps) + wire_ps;
	direction->behind_ps = 0;
	return MAX(direction->free_ps, at_ps + wire_ps);
}

/** What takes @wire_ps goes up between what is sent in turn. With nothing else on the way it is over soon. */
static void pcie_slip_in(struct pcie_link *link, uint64_t wire_ps)
{
	struct pcie_direction *up = &link->up;

	if (up->free_ps + up->behind_ps < link->now_ps) {
		up->free_ps = link->now_ps;
		up->behind_ps = 0;
	}
	up->behind_ps += wire_ps;
}

uint64_t pcie_post(struct pcie_link *link, uint64_t at_ps, uint64_t bytes, unsigned small,
		   unsigned small_bytes)
{
	uint64_t wire_bytes = bytes, wire_ps;

	if (!link->plain)
		wire_bytes +=
			small_bytes + (pcie_packets(bytes, link->payload_lg2) + small) * PCIE_REQUEST_BYTES;
	wire_ps = pcie_wire_ps(link, wire_bytes);
	pcie_count(&link->up, wire_ps, wire_bytes, bytes);
	return pcie_send(link, &link->up, at_ps, wire_ps);
}

uint64_t pcie_post_between(struct pcie_link *link, uint64_t at_ps, unsigned small, unsigned small_bytes)
{
	uint64_t wire_bytes = small_bytes + (uint64_t)small * PCIE_REQUEST_BYTES, wire_ps;

	if (link->plain)
		return at_ps;
	wire_ps = pcie_wire_ps(link, wire_bytes);
	pcie_count(&link->up, wire_ps, wire_bytes, 0);
	pcie_slip_in(link, wire_ps);
	return at_ps + wire_ps;
}

uint64_t pcie_read_start_ps(const struct pcie_link *link, uint64_t at_ps)
{
	at_ps = MAX(at_ps, link->up.free_ps);
	return link->plain ? at_ps : MAX(at_ps, link->tag_free_ps[link->next_tag]);
}

/** Takes the next tag. Returns when the request can leave. */
static uint64_t pcie_take_tag(struct pcie_link *link, uint64_t at_ps, uint64_t **ret_tag)
{
	uint64_t start_ps = MAX(at_ps, link->up.free_ps);

	*ret_tag = &link->tag_free_ps[link->next_tag];
	link->next_tag = link->next_tag + 1 == link->tags ? 0 : link->next_tag + 1;
	link->reads++;
	if (**ret_tag <= start_ps)
		return start_ps;
	link->tag_waits++;
	link->tag_wait_ps += **ret_tag - start_ps;
	return **ret_tag;
}

/** Asks for @bytes, at most one request's. */
static uint64_t pcie_read_once(struct pcie_link *link, uint64_t *at_ps, uint32_t bytes, uint64_t back_ps)
{
	bool full = bytes == link->read_request;
	uint32_t wire_bytes = full ? link->full_read_bytes : pcie_answer_bytes(link, bytes);
	uint64_t wire_ps = full ? link->full_read_ps : pcie_wire_ps(link, wire_bytes), done_ps, *tag;

	/* Requests leave between what is posted, which is late by as much. */
	*at_ps = pcie_take_tag(link, *at_ps, &tag) + link->request_ps;
	pcie_slip_in(link, link->request_ps);
	pcie_count(&link->up, link->request_ps, PCIE_REQUEST_BYTES, 0);
	pcie_count(&link->down, wire_ps, wire_bytes, bytes);
	/* First its turn on the link and then the way, which is the same for all and so changes nothing. */
	done_ps = pcie_send(link, &link->down, *at_ps, wire_ps) + link->latency_ps;
	return *tag = MAX(done_ps, back_ps);
}

uint64_t pcie_read(struct pcie_link *link, uint64_t *at_ps, uint64_t bytes, uint64_t back_ps)
{
	uint64_t done_ps, wire_ps;

	if (link->plain) {
		wire_ps = pcie_wire_ps(link, bytes);
		pcie_count(&link->down, wire_ps, bytes, bytes);
		done_ps = pcie_send(link, &link->down, *at_ps, wire_ps);
		return MAX(done_ps, back_ps);
	}
	for (; bytes > link->read_request; bytes -= link->read_request)
		pcie_read_once(link, at_ps, link->read_request, back_ps);
	return pcie_read_once(link, at_ps, (uint32_t)bytes, back_ps);
}
