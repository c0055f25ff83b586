/* SPDX-License-Identifier: MIT */
#include "decode/zero_memo.h"

#include <stdlib.h>
#include <string.h>

/* lz4 shrinks zeros to 1/255; whatever stays larger than this is no hole worth a comparison. */
#define LEAST_RATIO 64u
#define BLOCK_MAX_BYTES (128u * 1024u)

bool zero_memo_knows(const struct zero_memo *memo, const uint8_t *block, size_t len,
		     size_t *image_len)
{
	if (!memo->image_len || len != memo->block_len || memcmp(block, memo->block, len) != 0)
		return false;
	*image_len = memo->image_len;
	return true;
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	return len && bytes[0] == 0 && !memcmp(bytes, bytes + 1, len - 1);
}

bool zero_memo_learn(struct zero_memo *memo, const uint8_t *block, size_t len, const uint8_t *image,
		     size_t image_len)
{
	if (!len || len > BLOCK_MAX_BYTES || image_len / len < LEAST_RATIO ||
	    !all_zero(image, image_len))
		return false;
	if (memo->block_room < len) {
		uint8_t *grown = realloc(memo->block, len);

		if (!grown) /* it only saves time */
			return true;
		memo->block = grown;
		memo->block_room = len;
	}
	memcpy(memo->block, block, len);
	memo->block_len = len;
	memo->image_len = image_len;
	return true;
}

void zero_memo_free(struct zero_memo *memo)
{
	free(memo->block);
	*memo = (struct zero_memo){ 0 };
}
