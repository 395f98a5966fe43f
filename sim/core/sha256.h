/* SPDX-License-Identifier: MIT */
#ifndef SIM_CORE_SHA256_H
#define SIM_CORE_SHA256_H

/*
 * SHA-256 (FIPS 180-4), with the processor's own instructions where it has them: GChecksum takes longer over a snapshot
 * of millions of mappings than all the rest of a diff.
 */
#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX_LEN 64

struct sha256 {
	uint32_t state[8];
	uint64_t len_bytes;
	uint8_t block[64]; /* what is not a whole block yet */
	void (*compress)(uint32_t state[8], const uint8_t *blocks, size_t count);
};

void sha256_init(struct sha256 *sha);
/** The same without the processor's instructions, for tests. */
void sha256_init_portable(struct sha256 *sha);

void sha256_update(struct sha256 *sha, const void *bytes, size_t len_bytes);

/** Writes the digest of all bytes so far as lower-case hexadecimal digits, NUL-ended. @sha is spent. */
void sha256_finish(struct sha256 *sha, char ret_hex[SHA256_HEX_LEN + 1]);

#endif
