/* SPDX-License-Identifier: MIT */
/* digest/zero_split.h - finds the data between zeros in bytes that come in order, and says what of
 * them is to be hashed.
 *
 * A stretch of an image, from zero_split_begin() to zero_split_end(), becomes parts: from the first
 * block with data to the last one before a run of at least run_bytes of blocks that are all zero.
 * Zeros at the stretch's begin and end belong to no part, however few: what lies beyond, only the
 * caller knows. The zeros inside of a part are hashed when it turns out that it goes on, from a
 * buffer of zeros: nothing has to be read twice or kept.
 * Threads: one at a time; on_part on the thread that calls. */
#ifndef DIGEST_ZERO_SPLIT_H
#define DIGEST_ZERO_SPLIT_H

#include "digest/digest.h"

struct zero_split {
	/* Set by the user before the first stretch: */
	uint64_t block_bytes; /* parts begin and end on multiples of it, or with the stretch */
	uint64_t run_bytes; /* at least 1 */
	struct hasher *hasher; /* lent; NULL: parts get no digest */
	/* digest: lent for the call; NULL without a hasher. */
	void (*on_part)(void *arg, uint64_t begin_bytes, uint64_t end_bytes, const uint8_t *digest);
	void *arg;
	/* The module's own: */
	bool open; /* a part was begun: */
	uint64_t part_begin;
	uint64_t data_end; /* of what the hasher got */
	uint64_t at; /* offset of the next byte */
};

/* begin_bytes: a multiple of block_bytes. */
void zero_split_begin(struct zero_split *split, uint64_t begin_bytes);
/* data: the stretch's next len > 0 bytes. Takes the first of them, returns how many, at least one.
 * *is_data: the caller has to give them to the hasher before the next call; else they are zeros. */
size_t zero_split_next(struct zero_split *split, const uint8_t *data, size_t len, bool *is_data);
void zero_split_end(struct zero_split *split);

/* Gives len_bytes zeros to the hasher. */
void hasher_update_zeros(struct hasher *hasher, uint64_t len_bytes);

#endif
