/* SPDX-License-Identifier: MIT */
/* decode/zero_memo.h - a hole in a compressed image is one compressed block over and over. Who
 * knows that a block gave nothing but zeros need not decode the same bytes again.
 *
 * Exact: a hit means equal bytes, not an equal hash. For blocks whose output depends on nothing
 * but their bytes; the caller judges that.
 * Threads: a memo belongs to one. */
#ifndef DECODE_ZERO_MEMO_H
#define DECODE_ZERO_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zero_memo { /* all zero: empty */
	uint8_t *block; /* compressed */
	size_t block_len, block_room;
	size_t image_len; /* 0: nothing is known */
};

/* Is this the block that gave zeros? Then *image_len says how many. */
bool zero_memo_knows(const struct zero_memo *memo, const uint8_t *block, size_t len,
		     size_t *image_len);
/* A block and what it gave. Remembers it if that is all zeros; looks no farther than the first
 * other byte, and only at blocks that shrank as zeros do. True: they are zeros. */
bool zero_memo_learn(struct zero_memo *memo, const uint8_t *block, size_t len, const uint8_t *image,
		     size_t image_len);
void zero_memo_free(struct zero_memo *memo);

#endif
