/* SPDX-License-Identifier: MIT */
#include "sim/core/sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include <glib.h>

/* Section 4.2.2. */
static const uint32_t round_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x >> bits | x << (32 - bits);
}

/* Section 6.2.2, steps 1 to 4, with the schedule kept in a ring of 16. */
static void compress_portable(uint32_t state[8], const uint8_t *blocks, size_t count)
{
	for (; count; count--, blocks += 64) {
		uint32_t w[16], v[8];

		memcpy(v, state, sizeof(v));
		for (unsigned t = 0; t < 64; t++) {
			uint32_t *x = &w[t & 15], t1, t2;

			if (t < 16) {
				memcpy(x, blocks + 4 * (size_t)t, 4);
				*x = GUINT32_FROM_BE(*x);
			} else {
				uint32_t w2 = w[(t - 2) & 15], w15 = w[(t - 15) & 15];

				*x += (rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10) + w[(t - 7) & 15] +
				      (rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3);
			}
			t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
			     ((v[4] & v[5]) ^ (~v[4] & v[6])) + round_constants[t] + *x;
			t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
			     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
			memmove(v + 1, v, 7 * sizeof(v[0]));
			v[4] += t1;
			v[0] = t1 + t2;
		}
		for (unsigned i = 0; i < 8; i++)
			state[i] += v[i];
	}
}

#if defined(__x86_64__)

static gboolean has_instructions(void)
{
	unsigned a, b, c, d;

	return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

/* The instructions want the state as A B E F and C D G H, most significant first, and do two rounds each. */
__attribute__((target("sha,sse4.1"))) static void compress_sha(uint32_t state[8], const uint8_t *blocks,
							       size_t count)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i abef = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
	__m128i cdgh = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);

	for (; count; count--, blocks += 64) {
		__m128i abef_before = abef, cdgh_before = cdgh, w[4];

#pragma GCC unroll 16
		for (unsigned i = 0; i < 16; i++) {
			__m128i *x = &w[i & 3], sum;

			if (i < 4) {
				*x = _mm_shuffle_epi8(
					_mm_loadu_si128((const __m128i *)(const void *)(blocks + 16 * i)),
					swap);
			} else {
				__m128i last = w[(i + 3) & 3];

				*x = _mm_add_epi32(_mm_sha256msg1_epu32(*x, w[(i + 1) & 3]),
						   _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
				*x = _mm_sha256msg2_epu32(*x, last);
			}
			sum = _mm_add_epi32(
				*x,
				_mm_loadu_si128((const __m128i *)(const void *)(round_constants + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	state[0] = (uint32_t)_mm_extract_epi32(abef, 3);
	state[1] = (uint32_t)_mm_extract_epi32(abef, 2);
	state[4] = (uint32_t)_mm_extract_epi32(abef, 1);
	state[5] = (uint32_t)_mm_extract_epi32(abef, 0);
	state[2] = (uint32_t)_mm_extract_epi32(cdgh, 3);
	state[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
	state[6] = (uint32_t)_mm_extract_epi32(cdgh, 1);
	state[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}

#endif

void sha256_init_portable(struct sha256 *sha)
{
	sha->len_bytes = 0;
	sha->compress = compress_portable;
	memcpy(sha->state, initial_state, sizeof(sha->state));
}

void sha256_init(struct sha256 *sha)
{
	sha256_init_portable(sha);
#if defined(__x86_64__)
	if (has_instructions())
		sha->compress = compress_sha;
#endif
}

void sha256_update(struct sha256 *sha, const void *bytes, size_t len_bytes)
{
	const uint8_t *at = bytes;
	size_t have = sha->len_bytes % sizeof(sha->block), blocks;

	sha->len_bytes += len_bytes;
	if (have) {
		size_t take = MIN(len_bytes, sizeof(sha->block) - have);

		memcpy(sha->block + have, at, take);
		at += take;
		len_bytes -= take;
		if (have + take < sizeof(sha->block))
			return;
		sha->compress(sha->state, sha->block, 1);
	}
	blocks = len_bytes / sizeof(sha->block);
	sha->compress(sha->state, at, blocks);
	memcpy(sha->block, at + blocks * sizeof(sha->block), len_bytes % sizeof(sha->block));
}

void sha256_finish(struct sha256 *sha, char ret_hex[SHA256_HEX_LEN + 1])
{
	static const uint8_t padding[64] = {0x80};
	uint64_t bits = GUINT64_TO_BE(sha->len_bytes * 8);
	size_t have = sha->len_bytes % sizeof(sha->block);

	sha256_update(sha, padding, (have < 56 ? 56 : 120) - have);
	sha256_update(sha, &bits, sizeof(bits));
	for (unsigned i = 0; i < 8; i++)
		g_snprintf(ret_hex + 8 * (size_t)i, 9, "%08x", sha->state[i]);
}
