/* SPDX-License-Identifier: MIT */
#include "digest/sha256.h"

#include <string.h>

/* FIPS 180-4, 4.2.2 */
const uint32_t sha256_constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

void sha256_begin(struct sha256 *sha)
{
	/* FIPS 180-4, 5.3.3 */
	static const uint32_t initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	memcpy(sha->state, initial, sizeof(initial));
	sha->len_bytes = 0;
}

static size_t partial_len(const struct sha256 *sha)
{
	return sha->len_bytes % SHA256_BLOCK_BYTES;
}

/* Fills the partial block; returns how many bytes it took. */
static size_t fill_partial(struct sha256 *sha, const uint8_t *data, size_t len)
{
	size_t have = partial_len(sha), take = SHA256_BLOCK_BYTES - have;

	if (take > len)
		take = len;
	memcpy(sha->partial + have, data, take);
	sha->len_bytes += take;
	if (have + take == SHA256_BLOCK_BYTES)
		sha256_blocks(sha->state, sha->partial, 1);
	return take;
}

void sha256_update(struct sha256 *sha, const uint8_t *data, size_t len)
{
	size_t taken = 0, blocks;

	if (len && partial_len(sha))
		taken = fill_partial(sha, data, len);
	blocks = (len - taken) / SHA256_BLOCK_BYTES;
	if (blocks) {
		sha256_blocks(sha->state, data + taken, blocks);
		sha->len_bytes += blocks * SHA256_BLOCK_BYTES;
		taken += blocks * SHA256_BLOCK_BYTES;
	}
	if (taken < len)
		fill_partial(sha, data + taken, len - taken);
}

void sha256_update_pair(struct sha256 *a, const uint8_t *a_data, struct sha256 *b,
			const uint8_t *b_data, size_t len)
{
	size_t whole = len - len % SHA256_BLOCK_BYTES;

	/* Pieces of images are whole sectors, but for the last one. */
	if (partial_len(a) || partial_len(b))
		whole = 0;
	if (whole) {
		sha256_blocks_pair(a->state, a_data, b->state, b_data, whole / SHA256_BLOCK_BYTES);
		a->len_bytes += whole;
		b->len_bytes += whole;
	}
	sha256_update(a, a_data + whole, len - whole);
	sha256_update(b, b_data + whole, len - whole);
}

static void store_be32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> (24 - 8 * i));
}

void sha256_finish(struct sha256 *sha, uint8_t *out)
{
	uint64_t bits = sha->len_bytes * 8;
	/* FIPS 180-4, 5.1.1: a one, zeros up to 56 bytes of a block, the length in bits. */
	uint8_t padding[SHA256_BLOCK_BYTES + 8] = { 0x80 };
	size_t have = partial_len(sha);
	size_t zeros_end = have < 56 ? 56 - have : 56 + SHA256_BLOCK_BYTES - have;

	store_be32(padding + zeros_end, (uint32_t)(bits >> 32));
	store_be32(padding + zeros_end + 4, (uint32_t)bits);
	sha256_update(sha, padding, zeros_end + 8);
	for (int i = 0; i < 8; i++)
		store_be32(out + 4 * i, sha->state[i]);
}
