/* SPDX-License-Identifier: MIT */
/* Processors for which there is no such code: sha256_usable() says no, the rest is never called. */
#include "digest/sha256.h"

#include <stdlib.h>

bool sha256_usable(void)
{
	return false;
}

void sha256_blocks(uint32_t *state, const uint8_t *data, size_t blocks)
{
	(void)state, (void)data, (void)blocks;
	abort();
}

void sha256_blocks_pair(uint32_t *a, const uint8_t *a_data, uint32_t *b, const uint8_t *b_data,
			size_t blocks)
{
	(void)a, (void)a_data, (void)b, (void)b_data, (void)blocks;
	abort();
}
