/* SPDX-License-Identifier: MIT */
#ifndef BLOCKDMA_GOLDEN_CASE_H
#define BLOCKDMA_GOLDEN_CASE_H

/*
 * A case of a recording: an environment, requests, and maybe a script of operations on them.
 */
#include <stdbool.h>
#include <stdint.h>

#include "blockdma/request.h"

#include <glib.h>

enum golden_mode {
	GOLDEN_STRICT,
	GOLDEN_LAZY,
	GOLDEN_LAZY1, /* one flush queue */
	GOLDEN_DIRECT,
};

enum golden_pt {
	GOLDEN_PT,	 /* a range in one call */
	GOLDEN_PT_NOSM,	 /* and no iotlb_sync_map */
	GOLDEN_PGTBL,	 /* page by page, of 4K, 2M and 1G */
	GOLDEN_PGTBL_4K, /* of 4K alone */
};

enum golden_level {
	GOLDEN_BLK,
	GOLDEN_META, /* the integrity vectors */
	GOLDEN_NVME,
};

enum golden_p2p {
	GOLDEN_P2P_NONE,
	GOLDEN_P2P_BUS,
	GOLDEN_P2P_HOST,
	GOLDEN_P2P_UNSUP,
};

enum golden_deferred {
	GOLDEN_DEFERRED_NONE,
	GOLDEN_DEFERRED_OK,
	GOLDEN_DEFERRED_FAIL,
};

/** The lines "env" and "lim". All of one type, for the table that reads them; those of a choice hold its enum. */
struct golden_settings {
	uint64_t mode, driver, level, p2p, deferred;
	uint64_t coherent, untrusted, swiotlb, swiotlb_force, forcedac, sgl, meta_sgl, usercmd;
	uint64_t p2p_lo, p2p_hi, bus_offset;
	uint64_t dma_mask_bits, bus_dma_limit, aperture_end;
	uint64_t qid, sgl_threshold, meta_size, interval_exp;
	uint64_t dma_alignment, virt_boundary, seg_boundary, max_segment_size, max_segments, lbs, max_bytes;
};

struct golden_request {
	char *name;
	enum req_op op;
	bool to_device, special;
	GArray *vecs;	    /* of struct bio_vec */
	GArray *bio_first;  /* of uint32_t: index of each bio's first vector */
	GArray *meta_vecs;  /* of struct bio_vec: the integrity vectors */
	GArray *meta_first; /* of uint32_t: likewise */
};

struct golden_case {
	char *name;
	struct golden_settings settings;
	GPtrArray *requests; /* of struct golden_request * */
	GPtrArray *ops;	     /* of char *: the script, "map A" */
};

struct golden_case *golden_case_new(const char *name);
void golden_case_free(struct golden_case *rec);

/** Takes a line of the case's definition in. Returns NULL, or what is wrong with it. */
const char *golden_case_define(struct golden_case *rec, const char *line);

/** Returns the request called @name, or -1. */
int golden_case_request(const struct golden_case *rec, const char *name);

#endif
