/* SPDX-License-Identifier: MIT */
/* digest/sha256.h - SHA-256 (FIPS 180-4) of two streams at once, for processors on which one stream
 * alone leaves the hash unit half idle: each round needs the result of the one before it, and a
 * second stream's rounds fit in between. bench: 1.5 times the speed of one stream on AMD Zen 5.
 *
 * Only digest.c uses it, and only after sha256_usable() said yes.
 * Threads: a struct sha256 belongs to one thread at a time. */
#ifndef DIGEST_SHA256_H
#define DIGEST_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BLOCK_BYTES 64u
#define SHA256_BYTES 32u

struct sha256 {
	uint32_t state[8];
	uint64_t len_bytes; /* so far */
	uint8_t partial[SHA256_BLOCK_BYTES]; /* len_bytes % 64 of them */
};

/* Does this processor have the instructions? Any thread. */
bool sha256_usable(void);
void sha256_begin(struct sha256 *sha);
void sha256_update(struct sha256 *sha, const uint8_t *data, size_t len);
/* The same as two calls of sha256_update(); a and b are different. */
void sha256_update_pair(struct sha256 *a, const uint8_t *a_data, struct sha256 *b,
			const uint8_t *b_data, size_t len);
void sha256_finish(struct sha256 *sha, uint8_t *out);

/* The part that depends on the processor: whole blocks. */
void sha256_blocks(uint32_t *state, const uint8_t *data, size_t blocks);
void sha256_blocks_pair(uint32_t *a, const uint8_t *a_data, uint32_t *b, const uint8_t *b_data,
			size_t blocks);
extern const uint32_t sha256_constants[64];

#endif
