/* SPDX-License-Identifier: MIT */
#include "digest/zero_split.h"
#include "base/checked.h"

#include <string.h>

/* Looked at together. A page, as file systems write; smaller blocks are looked at one by one. */
#define GRAIN_BYTES 4096u

static const uint8_t zeros[64 * KIB];

void hasher_update_zeros(struct hasher *hasher, uint64_t len_bytes)
{
	while (len_bytes) {
		size_t n = (size_t)min_u64(len_bytes, sizeof(zeros));

		hasher_update(hasher, zeros, n);
		len_bytes -= n;
	}
}

/* As align_down() and align_up(), also where a file system's block is no power of two. */
static uint64_t round_down(uint64_t n, uint64_t unit)
{
	return n - n % unit;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
	return div_round_up(n, unit) * unit;
}

void zero_split_begin(struct zero_split *split, uint64_t begin_bytes)
{
	split->open = false;
	split->at = split->data_end = begin_bytes;
}

/* Most grains of data say so with their first bytes. */
static bool is_zero(const uint8_t *data, size_t len)
{
	uint64_t first = 0;

	memcpy(&first, data, min_u64(len, sizeof(first)));
	return !first && !memcmp(data, zeros, len);
}

/* Bytes up to the first grain that is all zero, or is not. */
static size_t scan(const struct zero_split *split, const uint8_t *data, size_t len, bool want_zero)
{
	uint64_t grain = min_u64(split->block_bytes, GRAIN_BYTES);
	size_t n = 0;

	while (n < len) {
		size_t next = (size_t)min_u64(grain - (split->at + n) % grain, len - n);

		if (is_zero(data + n, next) != want_zero)
			break;
		n += next;
	}
	return n;
}

static void hash_zeros(const struct zero_split *split, uint64_t len_bytes)
{
	if (split->hasher)
		hasher_update_zeros(split->hasher, len_bytes);
}

static void close_part(struct zero_split *split, uint64_t end)
{
	uint8_t digest[BMAP_DIGEST_MAX_BYTES];

	hash_zeros(split, end - split->data_end);
	if (split->hasher)
		hasher_finish(split->hasher, digest);
	split->on_part(split->arg, split->part_begin, end, split->hasher ? digest : NULL);
	split->open = false;
}

/* Data begins at split->at: what becomes of the zeros in front of it? */
static void settle_zeros(struct zero_split *split)
{
	uint64_t block = split->block_bytes, run_begin, run_end = round_down(split->at, block);

	if (split->open) {
		run_begin = round_up(split->data_end, block);
		if (run_end > run_begin && run_end - run_begin >= split->run_bytes)
			close_part(split, run_begin);
		else
			hash_zeros(split, split->at - split->data_end);
	}
	if (split->open)
		return;
	split->open = true;
	split->part_begin = run_end;
	if (split->hasher)
		hasher_begin(split->hasher);
	hash_zeros(split, split->at - run_end);
}

size_t zero_split_next(struct zero_split *split, const uint8_t *data, size_t len, bool *is_data)
{
	size_t n = scan(split, data, len, true);

	*is_data = n == 0;
	if (*is_data) {
		if (split->at > split->data_end || !split->open)
			settle_zeros(split);
		n = scan(split, data, len, false);
		split->data_end = split->at + n;
	}
	split->at += n;
	return n;
}

void zero_split_end(struct zero_split *split)
{
	if (split->open)
		close_part(split,
			   min_u64(round_up(split->data_end, split->block_bytes), split->at));
}
