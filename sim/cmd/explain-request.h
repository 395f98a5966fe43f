/* SPDX-License-Identifier: MIT */
#ifndef SIM_CMD_EXPLAIN_REQUEST_H
#define SIM_CMD_EXPLAIN_REQUEST_H

/*
 * The request that a user describes on the command line:
 *
 *	OP [lba=N] [bvec=ADDR+LEN[,ADDR+LEN...][/ADDR+LEN...]] [meta=ADDR+LEN[,ADDR+LEN...]] [queue=N] [dir=in|out]
 *
 * OP is read, write, flush, discard, write-zeroes or passthrough; the words may stand in any order after it, each once.
 * A "/" between two vectors starts the next bio of the request. Addresses are physical, decimal or 0x…, lengths may have
 * a unit ("4k"); lba counts logical blocks of the machine. queue=0 is the admin queue, for passthrough alone, as is dir.
 */
#include "blockdma/request.h"
#include "sim/core/error.h"

#define EXPLAIN_BYTES_MAX (UINT64_C(16) << 20)
#define EXPLAIN_VECS_MAX  4096u

struct explain_request {
	enum req_op op;
	bool to_device;
	bool has_queue;
	uint64_t lba;
	uint64_t queue;
	uint64_t bytes; /* of the vectors */
	struct bio_vec_list vecs;
	GArray *bio_first; /* of uint32_t: number of the first vector of each bio; as many as there are bios, at least 1 */
	struct bio_vec_list meta; /* integrity data, maybe none */
	uint64_t meta_bytes; /* of these */
};

/** Parses @text for a device with blocks of @block_bytes. A discard without bvec gets its range list at
 *  EXPLAIN_RANGES_PADDR. Returns false with *@error. Free with explain_request_clear() in either case. */
bool explain_request_parse(struct explain_request *request, const char *text, uint32_t block_bytes,
			   GError **error);
void explain_request_clear(struct explain_request *request);

/** Where the driver's page of a discard's ranges is put, unless bvec says else. */
#define EXPLAIN_RANGES_PADDR UINT64_C(0x100000000)

#endif
